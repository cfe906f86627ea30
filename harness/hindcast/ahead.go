package hindcast

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"time"

	"yunchu/harness/plot"
	"yunchu/platform/forecast"
)

// Ahead is the forecast of a day that nobody has seen.
type Ahead struct{ of Result }

// Day is the begin of the day, by the clock of the days.
func (a *Ahead) Day() time.Time { return a.of.begin(a.of.days[0].Day) }

// WriteCSV writes a row for each step, as that of a Result; the column of the target is empty, but for
// what was known of the day already.
func (a *Ahead) WriteCSV(w io.Writer) error { return a.of.WriteCSV(w) }

// MarshalJSON has the steps with their quantiles.
func (a *Ahead) MarshalJSON() ([]byte, error) {
	type step struct {
		Time      time.Time `json:"time"`
		Forecast  float64   `json:"forecast"`
		Quantiles []float64 `json:"quantiles"`
	}
	out := struct {
		Target string    `json:"target"`
		Day    string    `json:"day"`
		Levels []float64 `json:"levels"`
		Steps  []step    `json:"steps"`
	}{Target: a.of.options.Target, Day: a.Day().Format(time.DateOnly), Levels: forecast.Levels}
	f := &a.of.days[0]
	for _, v := range a.of.data.came[f.Day] {
		out.Steps = append(out.Steps, step{v.at, f.Value[v.step], f.Quantiles[v.step]})
	}
	return json.Marshal(out)
}

// Print writes the day for people.
func (a *Ahead) Print(w io.Writer) {
	f := &a.of.days[0]
	last := len(forecast.Levels) - 1
	fmt.Fprintf(w, "%s of %s\n%-17s %10s   nine times of ten in\n", a.of.options.Target, a.Day().Format(time.DateOnly), "", "forecast")
	const clock = "2006-01-02 15:04"
	seen := map[string]int{}
	for _, v := range a.of.data.came[f.Day] {
		seen[v.at.Format(clock)]++
	}
	for _, v := range a.of.data.came[f.Day] {
		q, at := f.Quantiles[v.step], v.at.Format(clock)
		if seen[at] > 1 { // the hour that autumn has twice
			at = v.at.Format("15:04 -07:00")
		}
		fmt.Fprintf(w, "%-17s %10.4g   %.4g to %.4g\n", at, f.Value[v.step], q[0], q[last])
	}
}

var aheadPage = template.Must(template.New("ahead").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Forecast of {{.Target}}</title>
` + plot.PageStyle + `</head><body>
<h1>Forecast of {{.Target}}, {{.Day}}</h1>
<p>{{.Data}}. It is forecast from the days before it{{with .Exog}} and from what is known of it: {{range $i, $x := .}}{{if $i}}, {{end}}{{$x}}{{end}}{{end}}.</p>
{{.Figure}}
</body></html>
`))

// WritePage draws the day and the week before it.
func (a *Ahead) WritePage(w io.Writer) error {
	r := &a.of
	s := &r.data.series
	last := len(forecast.Levels) - 1
	var x, came, at, said, low, high []float64
	for day := r.days[0].Day - 7; day < r.days[0].Day; day++ {
		for k, y := range s.Target[day*s.PerDay : (day+1)*s.PerDay] {
			x, came = append(x, float64(day-r.days[0].Day)+float64(k)/float64(s.PerDay)), append(came, y)
		}
	}
	for k, y := range r.days[0].Value {
		at, said = append(at, float64(k)/float64(s.PerDay)), append(said, y)
		low, high = append(low, r.days[0].Quantiles[k][0]), append(high, r.days[0].Quantiles[k][last])
	}
	figure := plot.Figure{
		Title: "The week before, the forecast, and what is in it nine times of ten", X: "days from " + a.Day().Format(time.DateOnly),
		Panels: []plot.Panel{{Y: r.options.Target, Curves: []plot.Curve{
			{Name: "90 %", X: at, Y: high, Low: low, Color: plot.Cyan},
			{Name: "came", X: x, Y: came, Color: plot.Black},
			{Name: "forecast", X: at, Y: said, Color: plot.Blue},
		}}},
	}
	drawn, err := figure.HTML()
	if err != nil {
		return err
	}
	return aheadPage.Execute(w, struct {
		Target, Day, Data string
		Exog              []string
		Figure            template.HTML
	}{r.options.Target, a.Day().Format(time.DateOnly), r.options.Data, r.options.Exog, drawn})
}

package hindcast

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"

	"yunchu/harness/plot"
	"yunchu/platform/forecast"
)

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"number":  func(x float64) string { return fmt.Sprintf("%.4g", x) },
	"percent": func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) },
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Forecast of {{.Options.Target}}</title>
` + plot.PageStyle + `</head><body>
<h1>Forecast of {{.Options.Target}}, {{.From}} to {{.To}}</h1>
<p>{{.Options.Data}}. Each day is forecast from the days before it{{with .Options.Exog}} and from what was known of it: {{range $i, $x := .}}{{if $i}}, {{end}}{{$x}}{{end}}{{end}}. {{.N}} steps{{with .Filled}}; {{.}} that were missing are not scored{{end}}.</p>
<table>
<tr><th></th><th>forecast</th><th>week before</th><th>ratio</th></tr>
<tr><td>MAE</td><td>{{number .MAE}}</td><td>{{number .MAENaive}}</td><td>{{number .RMAE}}</td></tr>
<tr><td>pinball loss</td><td>{{number .Pinball}}</td><td>{{number .PinballNaive}}</td><td>{{number .PinballRatio}}</td></tr>
<tr><td>RMSE</td><td>{{number .RMSE}}</td><td></td><td></td></tr>
<tr><td>sMAPE, %</td><td>{{number .SMAPE}}</td><td></td><td></td></tr>
</table>
{{with .Against}}<table>
<tr><th>against</th><th>its MAE</th><th>ours to it</th><th>Diebold–Mariano</th><th>p</th></tr>
{{range .}}<tr><td>{{.Name}}</td><td>{{number .MAE}}</td><td>{{number .Ratio}}</td><td>{{number .Statistic}}</td><td>{{number .P}}</td></tr>
{{end}}</table>{{end}}
{{range .Figures}}{{.}}
{{end}}
<table>
<tr><th>month</th><th>MAE</th><th>of the week before's</th>{{range .Against}}<th>of {{.Name}}'s</th>{{end}}</tr>
{{$r := .}}{{range .Months}}{{$m := .}}<tr><td>{{.Month}}</td><td>{{number .MAE}}</td><td>{{number .RMAE}}</td>{{range $r.Against}}<td>{{with index $m.Against .Name}}{{number .}}{{end}}</td>{{end}}</tr>
{{end}}</table>
<h2>Quantiles</h2>
<p>Share of what came that was below the quantile; a true one would have its level.</p>
<table>
<tr><th>level</th>{{range .Coverage}}<th>{{percent .Level}}</th>{{end}}</tr>
<tr><td>below it</td>{{range .Coverage}}<td>{{percent .Below}}</td>{{end}}</tr>
</table>
</body></html>
`))

// Coverage is how much of what came was below a quantile.
type Coverage struct{ Level, Below float64 }

// Coverage of every second level.
func (r *Result) Coverage() (out []Coverage) {
	for i := 0; i < len(forecast.Levels); i += 2 {
		c, n := Coverage{Level: forecast.Levels[i]}, 0.0
		for _, f := range r.days {
			for _, v := range r.data.came[f.Day] {
				if !math.IsNaN(v.target) {
					n++
					if v.target < f.Quantiles[v.step][i] {
						c.Below++
					}
				}
			}
		}
		c.Below /= max(n, 1)
		out = append(out, c)
	}
	return out
}

// WritePage writes scores and plots as one HTML file without scripts.
func (r *Result) WritePage(w io.Writer) error {
	weeks := r.days[max(0, len(r.days)-14):]
	figures := []plot.Figure{r.figure("The last days: what came, the forecast, and what is in it nine times of ten", weeks)}
	if len(r.days) > 60 {
		figures = append(figures, r.figure("The first days", r.days[:14]))
	}
	if len(r.days) >= 14 {
		figures = append(figures, r.errors())
	}
	drawn := make([]template.HTML, 0, len(figures))
	for i := range figures {
		svg, err := figures[i].HTML()
		if err != nil {
			return err
		}
		drawn = append(drawn, svg)
	}
	return page.Execute(w, struct {
		*Result
		Options      Options
		PinballRatio float64
		Figures      []template.HTML
	}{r, r.options, 1 - r.SkillPinball, drawn})
}

func (r *Result) figure(title string, days []forecast.Forecast) plot.Figure {
	var x, came, said, low, high []float64
	last := len(forecast.Levels) - 1
	for i, f := range days {
		day := r.data.came[f.Day]
		for k, v := range day {
			x, came, said = append(x, float64(i)+float64(k)/float64(len(day))), append(came, v.target), append(said, f.Value[v.step])
			low, high = append(low, f.Quantiles[v.step][0]), append(high, f.Quantiles[v.step][last])
		}
	}
	return plot.Figure{
		Title: title, X: "days from " + r.begin(days[0].Day).Format("2006-01-02"),
		Panels: []plot.Panel{{Y: r.options.Target, Curves: []plot.Curve{
			{Name: "90 %", X: x, Y: high, Low: low, Color: plot.Cyan},
			{Name: "came", X: x, Y: came, Color: plot.Black},
			{Name: "forecast", X: x, Y: said, Color: plot.Blue},
		}}},
	}
}

// errors is the error of each day beside that of the week before.
func (r *Result) errors() plot.Figure {
	var x, ours, naive []float64
	s := &r.data.series
	for i, f := range r.days {
		truth := s.Target[f.Day*s.PerDay : (f.Day+1)*s.PerDay]
		x = append(x, float64(i))
		ours = append(ours, forecast.Compare(f.Value, truth).MAE)
		naive = append(naive, forecast.Compare(slices.Clone(s.Naive(f.Day)), truth).MAE)
	}
	return plot.Figure{
		Title: "Mean error of each day", X: "days from " + r.From,
		Panels: []plot.Panel{{Y: "|error|, " + r.options.Target, Curves: []plot.Curve{
			{Name: "week before", X: x, Y: naive, Color: plot.Gray, Style: plot.Thin},
			{Name: "forecast", X: x, Y: ours, Color: plot.Blue},
		}}},
	}
}

package main

import (
	"fmt"
	"html/template"
	"io"
	"slices"
	"time"

	"yunchu/harness/plot"
	"yunchu/platform/market"
)

var marketPage = template.Must(template.New("page").Funcs(template.FuncMap{
	"money": func(x float64) string { return fmt.Sprintf("%.2f", x) },
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>What a battery would have earned</title>
` + plot.PageStyle + `</head><body>
<h1>{{money .Total}} {{.Currency}}, {{.From}} to {{.To}}</h1>
<p>What a battery of {{.PowerKW}} kW and {{.EnergyKWh}} kWh, efficiency {{.Battery.Efficiency}}{{with .Battery.VariableCost}}, {{.}} {{$.Currency}} for each MWh sold{{end}}, would have earned at most with {{.Products}}, had it known the prices of {{.Prices}}. {{if .Daily}}Each day is optimised by itself, empty at both ends{{else}}All is optimised as one, empty at both ends; a day's value is what is bought and sold on it{{end}}. Days are those of {{.Zone}}.</p>
<p>No plan earns more than {{money .AtMost}} {{.Currency}}: the plan is that of the optimum within {{printf "%.2g" .Gap}} {{.Currency}}.</p>
{{with .Incomplete}}<p class="none">{{len .}} days are not whole: {{range $i, $d := .}}{{if $i}}, {{end}}{{$d}}{{end}}.</p>{{end}}
{{range .Figures}}{{.}}
{{end}}
<table>
<tr><th>month</th><th>days</th><th>value, {{.Currency}}</th><th>a day</th><th>best day</th><th>its value</th></tr>
{{range .Months}}<tr><td>{{.Month}}</td><td>{{.Days}}</td><td>{{money .Value}}</td><td>{{money .Mean}}</td><td>{{.Best.Date}}</td><td>{{money .Best.Value}}</td></tr>
{{end}}<tr><th>total</th><th>{{.Days}}</th><th>{{money .Total}}</th><th>{{money .Mean}}</th><th>{{.Best.Date}}</th><th>{{money .Best.Value}}</th></tr>
</table>
</body></html>
`))

// marketDay is a day of a backtest.
type marketDay struct {
	Date   string
	Value  float64
	begin  time.Time
	at     []time.Time
	prices []float64
	stored []float64 // MWh at the begin of each interval and at the end of the last
}

// marketMonth is a month, or all of them.
type marketMonth struct {
	Month string
	Days  int
	Value float64
	Best  marketDay
}

// Mean is the value of a day.
func (m *marketMonth) Mean() float64 { return m.Value / float64(m.Days) }

func (m *marketMonth) add(d marketDay) {
	if m.Days == 0 || d.Value > m.Best.Value {
		m.Best = d
	}
	m.Days++
	m.Value += d.Value
}

// marketDays cuts windows into days.
func marketDays(at []time.Time, p market.Prices, windows []market.Result) (days []marketDay) {
	k := 0
	for _, w := range windows {
		n := len(w.Plan.Earned)
		for from := 0; from < n; {
			d := marketDay{Date: at[k+from].Format(time.DateOnly)}
			to := from
			for ; to < n && at[k+to].Format(time.DateOnly) == d.Date; to++ {
				d.Value += w.Plan.Earned[to]
			}
			y, m, day := at[k+from].Date()
			d.begin = time.Date(y, m, day, 0, 0, 0, 0, at[k].Location())
			d.at, d.prices, d.stored = at[k+from:k+to], p.Energy[k+from:k+to], w.Plan.Stored[from:to+1]
			days = append(days, d)
			from = to
		}
		k += n
	}
	return days
}

// writePage writes what was earned as one HTML file to print, without scripts.
func (o *backtest) writePage(w io.Writer, r *backtested, at []time.Time, p market.Prices, windows []market.Result) error {
	days := marketDays(at, p, windows)
	var (
		all    marketMonth
		months []*marketMonth
	)
	for _, d := range days {
		all.add(d)
		month := d.Date[:len("2006-01")]
		if n := len(months); n == 0 || months[n-1].Month != month {
			months = append(months, &marketMonth{Month: month})
		}
		months[len(months)-1].add(d)
	}
	ranked := slices.Clone(days)
	slices.SortStableFunc(ranked, func(a, b marketDay) int {
		switch {
		case a.Value < b.Value:
			return -1
		case a.Value > b.Value:
			return 1
		}
		return 0
	})
	middle := ranked[(len(ranked)-1)/2]
	figures := []plot.Figure{o.figureOfDays(days), o.figureOfDay("The best day", all.Best, p.Hours)}
	if middle.Date != all.Best.Date {
		figures = append(figures, o.figureOfDay("A middle day", middle, p.Hours))
	}
	drawn := make([]template.HTML, len(figures))
	for i := range figures {
		var err error
		if drawn[i], err = figures[i].HTML(); err != nil {
			return err
		}
	}
	products := "energy"
	if o.regulation.Up {
		products += ", regulation up"
	}
	if o.regulation.Down {
		products += ", regulation down"
	}
	return marketPage.Execute(w, struct {
		*backtested
		PowerKW, EnergyKWh               float64
		Battery                          market.Battery
		Products, Prices, Zone, From, To string
		Daily                            bool
		AtMost                           float64
		Figures                          []template.HTML
		Months                           []*marketMonth
		Days                             int
		Mean                             float64
		Best                             marketDay
	}{
		r, o.powerKW, o.energyKWh, o.battery, products, o.prices, at[0].Location().String(), days[0].Date, days[len(days)-1].Date,
		o.window == string(market.Daily), r.Total + r.Gap, drawn, months, all.Days, all.Mean(), all.Best,
	})
}

// figureOfDays is the value of each day.
func (o *backtest) figureOfDays(days []marketDay) plot.Figure {
	c := plot.Curve{Style: plot.Marked}
	for _, d := range days {
		c.X, c.Y = append(c.X, d.begin.Sub(days[0].begin).Hours()/24), append(c.Y, d.Value)
	}
	if len(days) > 60 {
		c.Style = plot.Solid
	}
	return plot.Figure{
		Title: "Value of each day", X: "days from " + days[0].Date,
		Panels: []plot.Panel{{Y: o.currency, Curves: []plot.Curve{c}}},
	}
}

// figureOfDay is what a day's prices were and what the battery held.
func (o *backtest) figureOfDay(title string, d marketDay, hours float64) plot.Figure {
	var price, stored plot.Curve
	stored.Color = plot.Green
	for i, at := range d.at {
		x := at.Sub(d.begin).Hours()
		price.X, price.Y = append(price.X, x, x+hours), append(price.Y, d.prices[i], d.prices[i])
		stored.X, stored.Y = append(stored.X, x), append(stored.Y, 1000*d.stored[i])
	}
	n := len(d.at)
	stored.X, stored.Y = append(stored.X, d.at[n-1].Sub(d.begin).Hours()+hours), append(stored.Y, 1000*d.stored[n])
	return plot.Figure{
		Title: fmt.Sprintf("%s: %s, %.2f %s", title, d.Date, d.Value, o.currency), X: "hours from " + d.begin.Format("2006-01-02 15:04"),
		Panels: []plot.Panel{
			{Y: "price, " + o.currency + "/MWh", Curves: []plot.Curve{price}},
			{Y: "stored, kWh", Curves: []plot.Curve{stored}},
		},
	}
}

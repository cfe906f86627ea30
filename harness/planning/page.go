package planning

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"yunchu/harness/plot"
	"yunchu/platform/market/plan"
	"yunchu/platform/market/plan/worth"
)

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"money": func(x any) string {
		if p, ok := x.(*float64); ok {
			x = *p
		}
		return fmt.Sprintf("%.2f", x)
	},
	"join":  strings.Join,
	"small": func(x float64) string { return fmt.Sprintf("%.4g", x) },
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>A plan</title>
` + plot.PageStyle + `</head><body>
<h1>{{money .Expected}} {{.Currency}}, {{.From}} to {{.To}}</h1>
<p>A plan for {{.Sites}} with {{.Products}}, prices of {{.Prices}}. No plan is worth more than {{small .Gap}} {{.Currency}} above that. {{if .Nothing}}Without the batteries it would be {{money .Nothing}} {{.Currency}}: they bring {{money .Gain}}.{{else}}Without the batteries the limits would not be kept.{{end}}</p>
{{with .Realized}}<p>With the prices that came it is {{money .Plan}} {{$.Currency}}{{with .Rolling}}, {{money .}} planned again and again{{end}}; {{money .Perfect}} had they been known{{with .Nothing}}, {{money .}} without the batteries{{end}}.{{with .Lacked}} {{join . ", "}} did not come and are as they were expected.{{end}}</p>{{end}}
{{with .Risk}}<p>Of {{len .Outcomes}} scenarios {{money .Expected}} is expected, {{money .Worst}} the worst, {{money .TailMean}} the mean of the worst {{printf "%.3g" $.Tail}} %; the plan is the best by {{money $.Value}}, in which the worst count.</p>{{end}}
{{range .Figures}}{{.}}
{{end}}
{{if .Alone}}<p>At any price between the dashed lines an idle interval stays idle. They are no thresholds: where a range of worths is right, the plan is indifferent in all of it, and the lines show one value of the range.</p>{{end}}
<table>
<tr><th>what</th><th>{{.Currency}}</th></tr>
<tr><td>energy</td><td>{{money .Totals.Energy}}</td></tr><tr><td>regulation and reserve</td><td>{{money .Totals.Products}}</td></tr>
<tr><td>wear</td><td>{{money .Totals.Wear}}</td></tr><tr><td>demand charge</td><td>{{money .Totals.Demand}}</td></tr>
{{if .CarbonT}}<tr><td>carbon</td><td>{{money .Totals.Carbon}}</td></tr>{{end}}{{if .Totals.Ending}}<tr><td>stored at the end</td><td>{{money .Totals.Ending}}</td></tr>{{end}}
</table>
{{if .Bounds}}<h2>What binds</h2>
<table><tr><th>bound</th><th class="text">of</th><th>intervals</th><th>first</th><th>one more is worth at most, {{.Currency}}</th></tr>
{{range .Binds}}<tr><td>{{.Name}}</td><td class="text">{{.Of}}</td><td>{{.Intervals}}</td><td>{{.First}}</td><td>{{if .Pinned}}nothing in, nothing out{{else}}{{small .Worth}} a {{.Per}}{{end}}</td></tr>
{{end}}</table>{{if .MoreBounds}}
<p class="none">And {{.MoreBounds}} more; --json has all.</p>{{end}}{{end}}
{{if .Front}}<h2>What less costs</h2>
<table><tr><th>{{.Against}}</th><th>earned, {{.Currency}}</th><th>one less takes at least</th></tr>
{{range .Front}}<tr><td>{{printf "%.3f" .Measure}}</td><td>{{money .Earned}}</td><td>{{small .Rate}}</td></tr>
{{end}}</table>{{end}}
<h2>Why</h2>
{{if .Left}}<p class="none">The first {{len .Rows}} rows; --out has all.</p>{{end}}
<table><tr><th>time</th><th class="text">site</th><th>price</th><th>power, kW</th><th>stored, kWh</th><th class="text">why</th></tr>
{{range .Rows}}<tr><td>{{.Clock}}</td><td class="text">{{.Site}}</td><td>{{money .Price}}</td><td>{{printf "%.0f" .PowerKW}}</td><td>{{printf "%.0f" .StoredKWh}}</td><td class="text">{{.Why}}</td></tr>
{{end}}</table>
</body></html>
`))

// mostRows is how many rows a page has at most.
const mostRows = 500

// WritePage writes the plan as one HTML file to print, without scripts.
func (r *Result) WritePage(w io.Writer) error {
	s := r.Summary(true)
	var figures []template.HTML
	list := []plot.Figure{r.figure()}
	if len(r.Front) > 0 {
		list = append(list, r.front(s))
	}
	if s.Risk != nil {
		list = append(list, outcomes(s))
	}
	for i := range list {
		html, err := list[i].HTML()
		if err != nil {
			return err
		}
		figures = append(figures, html)
	}
	products := []string{"energy"}
	for _, x := range r.Problem.Products {
		products = append(products, x.Name)
	}
	sites := fmt.Sprintf("%d sites", len(r.Problem.Sites))
	if len(r.Problem.Sites) == 1 {
		sites = "one battery"
	}
	left := len(s.Rows) > mostRows
	s.Rows = s.Rows[:min(mostRows, len(s.Rows))]
	form := "2006-01-02 15:04"
	const mostBounds = 40
	binds, more := r.binding(s.Bounds, mostBounds)
	return page.Execute(w, struct {
		*worth.Summary
		From, To, Sites, Products, Prices, Against string
		Alone, Left                                bool
		Tail                                       float64
		Figures                                    []template.HTML
		Binds                                      []Bind
		MoreBounds                                 int
	}{
		s, r.Market.At[0].Format(form), r.Market.end().Format(form), sites, strings.Join(products, ", "), r.Options.Portfolio.Prices, r.against(), len(r.Carried().Sites) == 1, left,
		100 * (1 - r.Options.Level), figures, binds, more,
	})
}

// against is the measure of a front, with its unit.
func (r *Result) against() string {
	switch r.Options.Front {
	case plan.Peak:
		return "peak, kW"
	case plan.Carbon:
		return "carbon, t"
	case plan.Wear:
		return "wear, " + r.Options.Portfolio.Currency
	}
	return ""
}

// figure is prices, powers and what is stored, over the hours of the plan.
func (r *Result) figure() plot.Figure {
	p := r.Carried()
	step := r.Market.Step.Hours()
	stairs := func(name string, color plot.Color, value func(t int) float64) plot.Curve {
		c := plot.Curve{Name: name, Color: color}
		for t := range r.Market.At {
			x := step * float64(t)
			c.X, c.Y = append(c.X, x, x+step), append(c.Y, value(t), value(t))
		}
		return c
	}
	total := func(of func(s *plan.SitePlan) float64) float64 {
		sum := 0.0
		for i := range p.Sites {
			sum += of(&p.Sites[i])
		}
		return sum
	}
	energy := r.Prices()
	prices := []plot.Curve{stairs("price", plot.Blue, func(t int) float64 { return energy[t] })}
	if len(p.Sites) == 1 {
		// A worth far from all prices says only that nothing passes it.
		low, high := slices.Min(energy), slices.Max(energy)
		seen := func(x float64) float64 {
			if x < low-(high-low)/2 || x > high+(high-low)/2 {
				return math.NaN()
			}
			return x
		}
		below := stairs("a MWh bought is worth", plot.Green, func(t int) float64 { return seen(p.Sites[0].Below[t]) })
		above := stairs("a MWh sold costs to replace", plot.Orange, func(t int) float64 { return seen(p.Sites[0].Above[t]) })
		below.Style, above.Style = plot.Dashed, plot.Dashed
		prices = append(prices, below, above)
	}
	powers := []plot.Curve{
		stairs("batteries", plot.Blue, func(t int) float64 {
			return 1000 * total(func(s *plan.SitePlan) float64 { return s.Charge[t] - s.Discharge[t] })
		}),
		stairs("import", plot.Gray, func(t int) float64 { return 1000 * total(func(s *plan.SitePlan) float64 { return s.Net[t] }) }),
	}
	for k, x := range r.Problem.Products {
		powers = append(powers, stairs(x.Name, plot.Cycle(k+1), func(t int) float64 {
			return 1000 * total(func(s *plan.SitePlan) float64 { return s.Offers[k][t] })
		}))
	}
	stored := plot.Curve{Color: plot.Green}
	for t := range len(r.Market.At) + 1 {
		stored.X = append(stored.X, step*float64(t))
		stored.Y = append(stored.Y, 1000*total(func(s *plan.SitePlan) float64 { return s.Stored[t] }))
	}
	return plot.Figure{
		Title: "The plan", X: "hours from " + r.Market.At[0].Format("2006-01-02 15:04"),
		Panels: []plot.Panel{
			{Y: "price, " + r.Options.Portfolio.Currency + "/MWh", Curves: prices},
			{Y: "power, kW, charging up", Curves: powers},
			{Y: "stored, kWh", Curves: []plot.Curve{stored}},
		},
	}
}

// front is what can be earned for each value of the measure.
func (r *Result) front(s *worth.Summary) plot.Figure {
	c := plot.Curve{Style: plot.Marked}
	sorted := slices.Clone(s.Front)
	slices.SortStableFunc(sorted, func(a, b worth.PlanPoint) int {
		switch {
		case a.Measure < b.Measure:
			return -1
		case a.Measure > b.Measure:
			return 1
		}
		return 0
	})
	for _, x := range sorted {
		c.X, c.Y = append(c.X, x.Measure), append(c.Y, x.Earned)
	}
	return plot.Figure{Title: "What can be earned, by " + string(r.Options.Front), X: r.against(), Panels: []plot.Panel{{Y: "earned, " + s.Currency, Curves: []plot.Curve{c}}}}
}

// outcomes are the scenarios from the worst to the best.
func outcomes(s *worth.Summary) plot.Figure {
	c := plot.Curve{Style: plot.Marked}
	for k, x := range slices.Sorted(slices.Values(s.Risk.Outcomes)) {
		c.X, c.Y = append(c.X, 100*(float64(k)+0.5)/float64(len(s.Risk.Outcomes))), append(c.Y, x)
	}
	return plot.Figure{Title: "How it may come out", X: "part of the scenarios, %", Panels: []plot.Panel{{Y: "earned, " + s.Currency, Curves: []plot.Curve{c}}}}
}

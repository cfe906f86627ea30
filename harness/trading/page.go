package trading

import (
	"fmt"
	"html/template"
	"io"
	"slices"
	"time"

	"yunchu/harness/plot"
	"yunchu/platform/market/order"
)

var functions = template.FuncMap{
	"money": func(x float64) string { return fmt.Sprintf("%.2f", x) },
	"utc":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") },
	"percent": func(x float64) string {
		return fmt.Sprintf("%.3g %%", 100*x)
	},
}

const riskPart = `{{define "risk"}}<h2>Limits {{.Limits}}</h2>
{{if .Kept}}<p>All limits are kept.</p>{{else}}<p class="none">{{len .Breaches}} limits would be broken:</p><ul>{{range .Breaches}}<li>{{with .Line}}line {{.}}: {{end}}{{.Msg}}</li>{{end}}</ul>{{end}}
{{if .Scenarios}}<table><tr><th>{{.Scenarios}} scenarios, {{.Currency}}</th><th></th></tr>
<tr><td>earned, expected</td><td>{{money .Expected}}</td></tr>
<tr><td>value at risk at {{percent .Confidence}}, a loss</td><td>{{money .VaR}}</td></tr>
<tr><td>conditional value at risk</td><td>{{money .CVaR}}</td></tr></table>{{end}}{{end}}`

var clearPage = template.Must(template.Must(template.New("clear").Funcs(functions).Parse(riskPart)).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>A cleared market</title>
` + plot.PageStyle + `</head><body>
<h1>{{.Market}}, {{utc .From}} to {{utc .To}}: {{.Earned}} {{.Currency}}</h1>
<p>Bought {{.Bought}} MWh, sold {{.Sold}} MWh; {{.Unfilled}} MWh of our orders were not awarded. Below 0 is paid.</p>
{{range .Figures}}{{.}}
{{end}}
{{with .Risk}}{{template "risk" .}}{{end}}
<h2>Deliveries</h2>
<table><tr><th>begin</th><th class="text">product</th><th>price</th><th>all prices that clear</th><th>volume, MW</th><th>ours, MW</th></tr>
{{range .Cleared}}<tr><td>{{utc .Time}}</td><td class="text">{{.Product}}</td><td>{{with .Price}}{{.}}{{else}}none{{end}}</td><td>{{.Low}} to {{.High}}</td><td>{{.Volume}}{{with .Curtailed}} ({{.}} curtailed){{end}}</td><td>{{.Awarded}}</td></tr>
{{end}}</table>
<p>Ours: above 0 is bought, which charges. Prices are in {{.Currency}} per MWh, of capacity per MW and hour.</p>
</body></html>
`))

var checkPage = template.Must(template.Must(template.New("check").Funcs(functions).Parse(riskPart)).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Bids against limits</title>
` + plot.PageStyle + `</head><body>
<h1>Bids against limits</h1>
{{template "risk" .Checked}}
{{range .Figures}}{{.}}
{{end}}
<h2>Position</h2>
<table><tr><th>begin</th><th class="text">product</th><th>held, MW</th><th>to buy, MW</th><th>to sell, MW</th></tr>
{{range .Position}}<tr><td>{{utc .Time}}</td><td class="text">{{.Product}}</td><td>{{.Held}}</td><td>{{.Buy}}</td><td>{{.Sell}}</td></tr>
{{end}}</table>
</body></html>
`))

// stairs are the two ends of each step.
func stairs(from, to []float64, y []float64) (x, level []float64) {
	for k := range y {
		x, level = append(x, from[k], to[k]), append(level, y[k], y[k])
	}
	return x, level
}

// WritePage writes a cleared market as one HTML file to print, without scripts.
func (r *ClearResult) WritePage(w io.Writer) error {
	var figures []plot.Figure
	if b := r.largest(); b != nil {
		figures = append(figures, b.curves(r.Currency))
	}
	figures = append(figures, r.day())
	drawn, err := draw(figures)
	if err != nil {
		return err
	}
	return clearPage.Execute(w, struct {
		*ClearResult
		Figures []template.HTML
	}{r, drawn})
}

// WritePage writes a check as one HTML file to print, without scripts.
func (c *Checked) WritePage(w io.Writer) error {
	var figures []plot.Figure
	if len(c.Stored) > 0 {
		f := plot.Figure{Title: "What may be stored, whatever part is awarded", X: "hours from " + c.Stored[0].Time.Format("2006-01-02 15:04Z")}
		f.Panels = []plot.Panel{c.stored(c.Stored[0].Time)}
		figures = append(figures, f)
	}
	if n := len(c.earned); n > 0 {
		part := make([]float64, n)
		for i := range part {
			part[i] = (float64(i) + 0.5) / float64(n)
		}
		var curve plot.Curve
		curve.X, curve.Y = c.earned, part
		at := []float64{-c.CVaR, -c.CVaR}
		figures = append(figures, plot.Figure{Title: "What the bids earn in the scenarios", X: "earned, " + c.Currency, Panels: []plot.Panel{{Y: "part of scenarios", Curves: []plot.Curve{
			curve,
			{Name: "mean of the worst", X: at, Y: []float64{0, 1}, Color: plot.Red, Style: plot.Dashed},
		}}}})
	}
	drawn, err := draw(figures)
	if err != nil {
		return err
	}
	return checkPage.Execute(w, struct {
		*Checked
		Figures []template.HTML
	}{c, drawn})
}

func draw(figures []plot.Figure) ([]template.HTML, error) {
	out := make([]template.HTML, len(figures))
	for i := range figures {
		var err error
		if out[i], err = figures[i].HTML(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// largest is the delivery of energy in which most is awarded to us.
func (r *ClearResult) largest() (best *meeting) {
	most := order.KW(-1)
	for i := range r.books {
		b := &r.books[i]
		sum := order.KW(0)
		for k, q := range b.result.Fill {
			if b.ours[k] {
				sum += q
			}
		}
		if b.terms.Product == order.Energy && b.result.Traded && sum > most {
			best, most = b, sum
		}
	}
	return best
}

// curves are supply and demand of a delivery, where they cross, and our part of both.
func (b *meeting) curves(currency string) plot.Figure {
	price := b.result.Price.Float()
	low, high := price, price
	floor, most := b.terms.Bounds()
	for i := range b.orders {
		if l := b.orders[i].Limit; l > floor && l < most {
			low, high = min(low, l.Float()), max(high, l.Float())
		}
	}
	pad := max(0.1*(high-low), 1)
	clip := func(p order.Price) float64 { return min(max(p.Float(), low-pad), high+pad) }
	side := func(s order.Side, ours bool) (x, y []float64) {
		var list []int
		for i := range b.orders {
			if b.orders[i].Side == s && (!ours || b.ours[i]) {
				list = append(list, i)
			}
		}
		slices.SortStableFunc(list, func(i, k int) int {
			d := b.orders[i].Limit - b.orders[k].Limit
			if s == order.Buy {
				d = -d
			}
			return int(min(max(d, -1), 1))
		})
		sum := 0.0
		for _, i := range list {
			x, y = append(x, sum, sum+b.orders[i].KW.MW()), append(y, clip(b.orders[i].Limit), clip(b.orders[i].Limit))
			sum += b.orders[i].KW.MW()
		}
		return x, y
	}
	var curves []plot.Curve
	for _, c := range []struct {
		name  string
		side  order.Side
		ours  bool
		color plot.Color
		style plot.Style
	}{{"demand", order.Buy, false, plot.Blue, plot.Solid}, {"supply", order.Sell, false, plot.Orange, plot.Solid}, {"our buys", order.Buy, true, plot.Green, plot.Dashed}, {"our sales", order.Sell, true, plot.Red, plot.Dashed}} {
		if x, y := side(c.side, c.ours); len(x) > 0 {
			curves = append(curves, plot.Curve{Name: c.name, X: x, Y: y, Color: c.color, Style: c.style})
		}
	}
	curves = append(curves, plot.Curve{Name: "cleared", X: []float64{b.result.Volume.MW()}, Y: []float64{price}, Color: plot.Black, Style: plot.Points})
	return plot.Figure{
		Title: fmt.Sprintf("%s, %s: %s %s per MWh", b.terms.Product, b.at.Format("2006-01-02 15:04Z"), b.result.Price, currency),
		X:     "MW", Panels: []plot.Panel{{Y: "price", Curves: curves}},
	}
}

// day are prices, our awards, and what may be stored.
func (r *ClearResult) day() plot.Figure {
	begin := r.From
	f := plot.Figure{Title: "Prices and our awards", X: "hours from " + begin.Format("2006-01-02 15:04Z")}
	price, kw := plot.Panel{Y: "price"}, plot.Panel{Y: "ours, MW"}
	for n, p := range order.Products {
		var from, to, at, mw []float64
		for i := range r.awards {
			a := &r.awards[i]
			if a.Product != p || a.Price.IsAny() {
				continue
			}
			from, to = append(from, a.At.Sub(begin).Hours()), append(to, a.At.Add(a.Length).Sub(begin).Hours())
			at = append(at, a.Price.Float())
			x := a.KW.MW()
			if a.Side == order.Sell {
				x = -x
			}
			mw = append(mw, x)
		}
		if len(at) == 0 {
			continue
		}
		x, y := stairs(from, to, at)
		price.Curves = append(price.Curves, plot.Curve{Name: string(p), X: x, Y: y, Color: plot.Cycle(n)})
		x, y = stairs(from, to, mw)
		kw.Curves = append(kw.Curves, plot.Curve{Name: string(p), X: x, Y: y, Color: plot.Cycle(n)})
	}
	f.Panels = []plot.Panel{price, kw}
	if r.Risk != nil && len(r.Risk.Stored) > 0 {
		f.Panels = append(f.Panels, r.Risk.stored(begin))
	}
	return f
}

// stored is the range of what may be stored.
func (c *Checked) stored(begin time.Time) plot.Panel {
	var x, low, high []float64
	for _, s := range c.Stored {
		x, low, high = append(x, s.Time.Sub(begin).Hours()), append(low, s.Low), append(high, s.High)
	}
	return plot.Panel{Y: "stored, kWh", Curves: []plot.Curve{
		{X: x, Y: high, Low: low},
		{Name: "at most", X: x, Y: high, Color: plot.Orange},
		{Name: "at least", X: x, Y: low, Color: plot.Green, Style: plot.Dashed},
	}}
}

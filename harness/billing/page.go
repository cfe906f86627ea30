package billing

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"time"

	"yunchu/harness/plot"
	"yunchu/platform/settle"
)

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"local": func(b *settle.Bill, t time.Time) string {
		loc, err := time.LoadLocation(b.Zone)
		if err != nil {
			loc = time.UTC
		}
		return t.In(loc).Format("2006-01-02 15:04 -07:00")
	},
	"first": func(list []settle.Missing) []settle.Missing { return list[:min(len(list), 50)] },
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Settlement</title>
` + plot.PageStyle + `</head><body>
<h1>{{if .ProForma}}Pro forma settlement{{else}}Settlement{{end}}: {{.Total}} {{.Currency}}</h1>
{{if .ProForma}}<p class="none">The readings are simulated. This shows what a bill would be, and is none.</p>{{end}}
{{if not .Complete}}<p class="none">Not complete: what is listed as missing is not billed.</p>{{end}}
{{range .Bills}}{{$b := .}}
<h2>{{.Title}}</h2>
<p>{{with .Site}}Site {{.}}. {{end}}Rule {{.Rule}}, version {{.Version}}, {{.Standing}}. {{local . .From}} to {{local . .To}} ({{.Zone}}). Rounded to {{.Rounding.Digits}} digits, {{.Rounding.Mode}}, by the {{.Rounding.Of}}. Above 0 is earned.</p>
{{range .Months}}<table>
<tr><th>{{.Month}}</th><th class="text"></th><th>quantity</th><th>amount, {{$b.Currency}}</th></tr>
{{range .Lines}}<tr><td>{{.Line}}</td><td class="text">{{.Title}}<br><small>{{.Formula}}</small></td><td>{{.Quantity}}</td><td>{{.Amount}}</td></tr>
{{end}}<tr><th>total</th><td></td><td></td><th>{{.Total}}</th></tr>
</table>{{end}}
{{with .Estimated}}<p class="none">{{.}} intervals were read in part, and are estimated for the rest: the CSV file says which.</p>{{end}}
{{with .Missing}}<h3>Missing</h3><table><tr><th>interval</th><th class="text">line</th><th class="text">what</th></tr>
{{range first .}}<tr><td>{{local $b .At}}</td><td class="text">{{.Line}}</td><td class="text">{{.What}}</td></tr>
{{end}}</table><p>{{len .}} in all.</p>{{end}}
{{end}}
{{with .Reconciled}}<h2>The other party's bill</h2>
<p>{{.Said $.Currency}}{{if ne .Trap "none"}} (trap: {{.Trap}}){{end}}.</p>
<table><tr><th>line</th><th>month</th><th>ours</th><th>theirs</th><th>difference</th><th class="text">by itself</th></tr>
{{range .Lines}}<tr><td>{{.Line}}</td><td>{{.Month}}</td><td>{{.Ours}}</td><td>{{.Theirs}}</td><td>{{.Differ}}</td><td class="text">{{.What}}</td></tr>
{{end}}{{range .LeftOut}}<tr><td>{{.Line}}</td><td>{{.Month}}</td><td>{{.Ours}}</td><td></td><td></td><td class="text">left out</td></tr>
{{end}}</table>
<table><tr><th>how the data may have been read</th><th>apart</th></tr>
{{range .Tried}}<tr><td>{{.What}}</td><td>{{.Apart}}{{if .Explains}} ✓{{end}}</td></tr>
{{end}}</table>{{end}}
{{.Figure}}
<p>Every amount with its interval, price and rows of readings: the CSV file.</p>
</body></html>
`))

var scorePage = template.Must(template.New("score").Funcs(template.FuncMap{
	"number": func(x float64) string { return fmt.Sprintf("%.4f", x) },
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Score of regulation</title>
` + plot.PageStyle + `</head><body>
<h1>{{.Rule}}: {{number .Score}}</h1>
<p>Version {{.Version}}, {{.Standing}}{{with .Variant}}, read as {{.}}{{end}}. Over {{.N}} {{if .PJMResult}}samples{{else}}commands{{end}}, against {{.RatedKW}} kW ({{.From}}). {{.Source}}.</p>
{{with .Doubts}}<ul>{{range .}}<li>in doubt: {{.}}</li>{{end}}</ul>{{end}}
{{with .Fee}}<p>Fee {{printf "%.2f" .}} {{$.Currency}}.</p>{{end}}
{{with .PJMResult}}<table><tr><th>hour from, s</th><th>score</th><th>accuracy</th><th>delay</th><th>precision</th></tr>
{{range .Hours}}<tr><td>{{.At}}{{if not .Whole}} (not whole){{end}}</td><td>{{number .Score}}</td><td>{{number .Accuracy}}</td><td>{{number .PJM.Delay}}</td><td>{{number .Precision}}</td></tr>
{{end}}</table>{{end}}
{{with .KResult}}<table><tr><th>command at, s</th><th>from, kW</th><th>to, kW</th><th>% a minute</th><th>delay, s</th><th>deviation, %</th>{{range $.Names}}<th>{{.}}</th>{{end}}<th>index</th></tr>
{{range .Adjustments}}<tr><td>{{.At}}</td><td>{{.FromKW}}</td><td>{{.TargetKW}}</td><td>{{number .Rate}}</td><td>{{.Delay}}</td><td>{{number .Error}}</td>{{range .Terms}}<td>{{number .}}</td>{{end}}<td>{{number .K}}</td></tr>
{{end}}</table>{{end}}
{{.Figure}}
</body></html>
`))

// WritePage writes the score as one HTML file to print, without scripts.
func (r *ScoreResult) WritePage(w io.Writer) error {
	x, label := plot.Seconds(r.signal.T)
	// Both in the unit of the longer one.
	y := make([]float64, len(r.response.T))
	unit := 1.0
	if n := len(x) - 1; x[n] != 0 {
		unit = r.signal.T[n] / x[n]
	}
	for i, t := range r.response.T {
		y[i] = t / unit
	}
	f := plot.Figure{Title: "Signal and response", X: label, Panels: []plot.Panel{{Y: "power, kW", Curves: []plot.Curve{
		{Name: "signal", X: x, Y: r.signal.KW, Color: plot.Gray}, {Name: "response", X: y, Y: r.response.KW},
	}}}}
	svg, err := f.HTML()
	if err != nil {
		return err
	}
	return scorePage.Execute(w, struct {
		*ScoreResult
		Names  []string
		Figure template.HTML
	}{r, r.terms, svg})
}

// WritePage writes the bills as one HTML file to print, without scripts.
func (r *BillResult) WritePage(w io.Writer) error {
	f := r.figure()
	svg, err := f.HTML()
	if err != nil {
		return err
	}
	return page.Execute(w, struct {
		*BillResult
		Figure template.HTML
	}{r, svg})
}

// figure shows the power of the meter, and each line as it adds up.
func (r *BillResult) figure() plot.Figure {
	begin := r.data.At[0]
	days := func(t time.Time) float64 { return t.Sub(begin).Hours() / 24 }
	var x []float64
	power := make([]float64, len(r.data.At))
	hours := r.rules[0].Step.Hours()
	for i, at := range r.data.At {
		x = append(x, days(at))
		power[i] = r.data.Energy[i] / hours
	}
	money := plot.Panel{Y: "earned so far, " + r.Currency}
	var lines []settle.Line
	for _, t := range r.rules {
		for _, l := range t.Lines {
			if !slices.ContainsFunc(lines, func(have settle.Line) bool { return have.ID == l.ID }) {
				lines = append(lines, l)
			}
		}
	}
	for k, l := range lines {
		c := plot.Curve{Name: l.ID, Color: plot.Cycle(k)}
		sum := 0.0
		for _, b := range r.Bills {
			for _, m := range b.Months {
				for _, s := range m.Lines {
					if s.Line != l.ID {
						continue
					}
					for _, item := range s.Items {
						if v := value(item.Amount); !math.IsNaN(v) {
							sum += v
						}
						c.X, c.Y = append(c.X, days(item.At)), append(c.Y, sum)
					}
				}
			}
		}
		if l.Kind == "demand" {
			c.Style = plot.Points
		}
		money.Curves = append(money.Curves, c)
	}
	return plot.Figure{
		Title: "Power at the meter and what it came to", X: "days from " + begin.In(r.rules[0].Location()).Format("2006-01-02 15:04"),
		Panels: []plot.Panel{{Y: "taken, kW", Curves: []plot.Curve{{X: x, Y: power}}}, money},
	}
}

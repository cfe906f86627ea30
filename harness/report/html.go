package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"yunchu/harness/scenario"
)

var (
	//go:embed assets/report.html.tmpl
	pageSource string
	//go:embed assets/report.css
	pageCSS string
	//go:embed assets/report.js
	pageJS string
	//go:embed assets/uPlot.iife.min.js
	plotJS string
	//go:embed assets/uPlot.min.css
	plotCSS string
	//go:embed assets/uPlot.LICENSE
	plotLicence string
)

var page = template.Must(template.New("report.html").Parse(pageSource))

// relations as they are set on paper.
var relations = strings.NewReplacer("<=", "≤", ">=", "≥", "==", "=")

// fact is one line of the header: what it is, its value, and the whole of a value that is shown cut.
type fact struct{ Name, Value, Full string }

type pageView struct {
	*Report
	Mark         string
	Reason       string
	Facts        []fact
	Provenance   []fact
	ScoreRows    []scoreRow
	CheckRows    []checkRow
	Requirements bool // at least one score names one
	CSS          template.CSS
	PlotJS, JS   template.JS
	Data         template.JS
}

type scoreRow struct {
	Score
	State           Verdict
	Mark            string
	Shown, Interval string
	Samples         string
	Bound           string // limit with unit
	Bullet          template.HTML
}

type checkRow struct {
	Check
	State Verdict
	Mark  string
}

func (run *Run) writeHTML(w io.Writer) error {
	data, err := run.plotData()
	if err != nil {
		return err
	}
	r := &run.Report
	v := pageView{
		Report: r, Mark: marks[r.Verdict].sign, Reason: strings.TrimPrefix(reason(r), ": "),
		Facts: r.facts(), Provenance: run.provenance(),
		CSS: template.CSS(plotCSS + pageCSS),
		// The licence asks to go wherever the code goes.
		PlotJS: template.JS("/*!\n" + strings.ReplaceAll(plotLicence, "*/", "* /") + "*/\n" + plotJS),
		JS:     template.JS(pageJS),
		Data:   template.JS(data),
	}
	for _, s := range r.Scores {
		v.Requirements = v.Requirements || s.Requirement != ""
		st := s.state()
		row := scoreRow{
			Score: s, State: st, Mark: marks[st].sign, Shown: withUnit(s.Value, s.Unit), Interval: s.interval(),
			Samples: count(s.N), Bound: relations.Replace(withLimitUnit(s.Limit, s.Unit)), Bullet: bullet(s),
		}
		v.ScoreRows = append(v.ScoreRows, row)
	}
	for _, c := range r.Checks {
		v.CheckRows = append(v.CheckRows, checkRow{c, c.state(), marks[c.state()].sign})
	}
	return page.Execute(w, v)
}

func (r *Report) facts() []fact {
	fs := []fact{
		{"Simulated", span(r.SimS), ""},
		{"Wall time", span(r.WallS), ""},
		{"Speed", num(r.Speed) + "×", ""},
		{"Devices", count(int64(r.Devices)), ""},
		{"Seed", fmt.Sprint(r.Seed), ""},
		{"Clock", r.Clock, ""},
	}
	if r.Duration > 0 && r.SimS < r.Duration-1e-6 {
		fs[0].Value += " of " + span(r.Duration)
	}
	return fs
}

func (run *Run) provenance() []fact {
	r := &run.Report
	all := []fact{
		{"Starts", "", ""},
		{"Machine", r.Machine, ""},
		{"File system", r.FileSystem, ""},
		{"Kernel", r.Kernel, ""},
		{"Build tags", strings.Join(run.Tags, " "), ""},
		{"Binary", r.Binary, r.Binary},
		{"Journal SHA-256", r.JournalSHA256, r.JournalSHA256},
	}
	if !r.Start.IsZero() {
		all[0].Value = r.Start.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	for _, f := range r.Environment {
		all = append(all, fact{f.Name, f.Value, ""})
	}
	var fs []fact
	for _, f := range all {
		if f.Value != "" {
			fs = append(fs, f)
		}
	}
	return fs
}

// bullet draws where a value lies beside its limit: the permitted side shaded,
// the 95 % interval as a whisker. It is an ornament to the numbers in its row.
func bullet(s Score) template.HTML {
	l, err := scenario.ParseLimit(s.Limit)
	if s.Limit == "" || err != nil || !isFinite(s.Value) {
		return ""
	}
	const w, h = 132.0, 18.0
	lo, hi := min(s.Value, l.Value), max(s.Value, l.Value)
	ci := s.CI95
	if !s.bounded() {
		ci = [2]float64{s.Value, s.Value}
	}
	for _, v := range ci {
		if isFinite(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	gap := max(0.35*(hi-lo), 0.15*math.Abs(l.Value))
	if gap == 0 {
		gap = 1
	}
	hi += gap
	if lo >= 0 && strings.HasPrefix(l.Op, "<") {
		lo = 0
	} else {
		lo -= gap
	}
	x := func(v float64) float64 { return min(max((v-lo)/(hi-lo), 0), 1) * w }
	from, to := 0.0, w
	switch l.Op {
	case "<", "<=":
		to = x(l.Value)
	case ">", ">=":
		from = x(l.Value)
	default:
		from, to = x(l.Value)-2, x(l.Value)+2
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="bullet" width="%g" height="%g" viewBox="0 0 %g %g" aria-hidden="true">`, w, h, w, h)
	fmt.Fprintf(&b, `<rect class="track" x="0" y="6" width="%g" height="6" rx="1"/>`, w)
	fmt.Fprintf(&b, `<rect class="ok" x="%.1f" y="6" width="%.1f" height="6"/>`, from, max(0, to-from))
	fmt.Fprintf(&b, `<line class="bound" x1="%.1f" x2="%.1f" y1="2" y2="16"/>`, x(l.Value), x(l.Value))
	if a, z := x(ci[0]), x(ci[1]); s.bounded() && !math.IsNaN(a) && !math.IsNaN(z) && z-a > 1 {
		fmt.Fprintf(&b, `<line class="ci" x1="%.1f" x2="%.1f" y1="9" y2="9"/>`, a, z)
	}
	fmt.Fprintf(&b, `<circle class="at %s" cx="%.1f" cy="9" r="4"/></svg>`, s.state(), min(max(x(s.Value), 4), w-4))
	return template.HTML(b.String())
}

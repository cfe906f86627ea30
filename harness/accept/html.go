package accept

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"yunchu/harness/metric"
	"yunchu/harness/plot"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/device"
)

var (
	//go:embed assets/accept.html.tmpl
	pageSource string
	//go:embed assets/accept.css
	pageCSS string
)

var page = template.Must(template.New("accept.html").Parse(pageSource))

// pageView is what the template shows.
type pageView struct {
	*Report
	CSS     template.CSS
	Class   string
	When    string
	Units   []deviceView
	Missing []missingView // limits whose number nobody has verified
	Other   []string      // tests with parameters that are not their procedure's
	Links   []report.Kept
}

// missingView is a limit whose number nobody has verified.
type missingView struct{ Limit, Bound, Source, Word, Class string }

type deviceView struct {
	ReportDevice
	ScaleClass string // of its verdict
	Tests      []testView
}

type testView struct {
	ReportTest
	Class       string
	Description string
	Steps       []string
	Values      []parameterView
	Before      []string // preconditions found
	Rows        []limitView
	Plot        template.HTML
	Files       []report.File
	Span, When  string
	Sign        string
}

type parameterView struct{ Name, Value, Unit, Doc, Default string }

type limitView struct {
	Judged
	Class, Shown, Bound, Word string
	Own                       string // that it rests on the device's word alone
}

func (d *Document) writeHTML(w io.Writer, samples []sampleFile) error {
	r := d.Report()
	v := pageView{
		Report: r, CSS: template.CSS(pageCSS), Class: string(d.Verdict), Links: d.Links,
		When: d.Begin.Format(time.DateTime) + " to " + d.End.Format(time.DateTime) + " UTC",
	}
	for i, x := range d.Devices {
		u := deviceView{ReportDevice: r.Devices[i], ScaleClass: string(x.Scale.Verdict)}
		for k, t := range x.Tests {
			tv, err := t.view(r.Devices[i].Tests[k], samples)
			if err != nil {
				return err
			}
			for _, j := range t.Limits {
				if !j.Limit.IsZero() && j.Standing() == scenario.Unverified {
					v.Missing = append(v.Missing, missingView{
						fmt.Sprintf("%s/%s/%s", x.Info.ID, t.Program.Procedure.Name, j.Name), report.Bound(j.Limit.String(), j.Unit), j.Source, Word(j.Verdict), string(j.Verdict),
					})
				}
			}
			if names := r.Devices[i].Tests[k].Changed; len(names) > 0 {
				v.Other = append(v.Other, fmt.Sprintf("%s/%s (%s)", x.Info.ID, t.Program.Procedure.Name, strings.Join(names, ", ")))
			}
			u.Tests = append(u.Tests, tv)
		}
		v.Units = append(v.Units, u)
	}
	return page.Execute(w, v)
}

func (t *TestResult) view(r ReportTest, samples []sampleFile) (testView, error) {
	p := t.Program.Procedure
	v := testView{ReportTest: r, Class: string(t.Verdict), Description: p.Description, Sign: signNote(p), Steps: outline(p.Steps, "")}
	for _, n := range slices.Sorted(maps.Keys(t.Program.Parameters)) {
		def := p.Parameters[n]
		row := parameterView{Name: n, Value: list(t.Program.Parameters[n]), Unit: def.Unit, Doc: def.Doc}
		if d := list(def.Value); d != row.Value {
			row.Default = d
		}
		v.Values = append(v.Values, row)
	}
	for _, j := range t.Limits {
		bound := "reported"
		if !j.Limit.IsZero() {
			bound = report.Bound(j.Limit.String(), j.Unit)
		}
		row := limitView{Judged: j, Class: string(j.Verdict), Shown: j.shown(), Bound: bound, Word: Word(j.Verdict)}
		if j.own() {
			row.Own = asItSays
		}
		if j.Limit.IsZero() && j.Verdict == report.Passed {
			row.Class, row.Word = "mute", "reported"
		}
		v.Rows = append(v.Rows, row)
	}
	if t.Record == nil {
		return v, nil
	}
	v.Span = report.Span(r.DurationS)
	v.When = r.Begin.Format(time.DateTime) + " to " + r.End.Format(time.DateTime) + " UTC"
	v.Before = t.Record.found()
	for _, s := range samples {
		if s.test == t {
			v.Files = append(v.Files, s.File)
		}
	}
	var err error
	v.Plot, err = t.Record.plot()
	return v, err
}

// signNote says which sign the procedure and the report count.
func signNote(p *scenario.Procedure) string {
	if p.Counts == "discharge" {
		return "The procedure counts discharge above zero, as its source does; plots and raw data count charging above zero."
	}
	return "Procedure, plots and raw data count charging above zero."
}

func list(v scenario.Values) string {
	var parts []string
	for _, x := range v {
		parts = append(parts, strconv.FormatFloat(x, 'g', -1, 64))
	}
	return strings.Join(parts, ", ")
}

// found are the preconditions as they were found.
func (r *Record) found() (out []string) {
	if !device.Finite(r.Found.SoC) && r.Found.Age == 0 {
		return nil
	}
	out = append(out, fmt.Sprintf("state of charge %.1f %%", r.Found.SoC),
		fmt.Sprintf("newest reading %.0f ms old", float64(r.Found.Age)/float64(time.Millisecond)),
		fmt.Sprintf("power at rest for %.1f s", r.Found.Quiet.Seconds()))
	return out
}

// plot draws setpoint and power, and the state of charge below.
func (r *Record) plot() (template.HTML, error) {
	if len(r.Samples) == 0 {
		return "", nil
	}
	end := r.at(r.End)
	sx, sy := setpoints(r.Setpoints, end)
	var px, pp, qx, qq []float64
	for _, p := range rising(r.power) {
		px, pp = append(px, p.T), append(pp, p.V)
	}
	for _, p := range rising(r.points(func(s *device.Reading) float64 { return s.SoC })) {
		qx, qq = append(qx, p.T), append(qq, p.V)
	}
	_, label := plot.Seconds([]float64{end})
	scale := func(x []float64) []float64 {
		if len(x) == 0 {
			return x
		}
		all, _ := plot.Seconds(append(slices.Clone(x), end))
		return all[:len(x)]
	}
	curves := []plot.Curve{{Name: "power", X: scale(px), Y: pp, Color: plot.Blue}}
	if len(r.truth) > 0 {
		var x, y []float64
		for _, p := range rising(r.truth) {
			x, y = append(x, p.T), append(y, p.V)
		}
		curves = append(curves, plot.Curve{Name: "reference", X: scale(x), Y: y, Color: plot.Green, Style: plot.Thin})
	}
	curves = append(curves, plot.Curve{Name: "setpoint", X: scale(sx), Y: sy, Color: plot.Orange, Style: plot.Dashed})
	f := plot.Figure{X: label, Panels: []plot.Panel{
		{Y: "power, kW", Curves: curves},
		{Y: "state of charge, %", Curves: []plot.Curve{{X: scale(qx), Y: qq, Color: plot.Gray}}},
	}}
	var b bytes.Buffer
	if err := f.WriteSVG(&b); err != nil {
		return "", err
	}
	svg := b.String()
	if i := strings.Index(svg, "<svg"); i > 0 { // without its XML head
		svg = svg[i:]
	}
	return template.HTML(svg), nil
}

// rising leaves out points that do not come after the one before.
func rising(pts []metric.Point) []metric.Point {
	out := make([]metric.Point, 0, len(pts))
	for _, p := range pts {
		if n := len(out); n == 0 || p.T > out[n-1].T {
			out = append(out, p)
		}
	}
	return out
}

// outline tells the steps of a procedure in words.
func outline(steps []scenario.ProcedureStep, indent string) (out []string) {
	for i := range steps {
		x := &steps[i]
		line := indent + told(x)
		if x.When != "" {
			line += " (where there is " + x.When + ")"
		}
		out = append(out, line)
		out = append(out, outline(x.Steps, indent+"  ")...)
	}
	return out
}

// told is one step in words.
func told(x *scenario.ProcedureStep) string {
	var s string
	switch {
	case x.Steps != nil && x.Repeat != nil:
		s = worth(*x.Repeat) + " times:"
	case x.Steps != nil && x.In != "":
		s = "for each " + x.Each + " of " + x.In + ":"
	case x.Steps != nil:
		s = "in order:"
	case x.Power != nil:
		s = "power " + worth(*x.Power) + " % of rated"
	case x.Series != nil:
		s = "power from " + x.Series.CSV + " " + x.Series.Column
	case x.Setting != nil:
		s = "setting " + x.Setting.Name + " = " + worth(x.Setting.Value)
	case x.Every:
		s = "every setting to another value and back"
	case x.Poll:
		s = "all points polled"
	case x.Probe:
		s = "what must be refused is tried"
	case x.Cut != nil:
		s = "link " + x.Cut.Link + " cut for " + worth(x.Cut.For) + " s"
	case x.Fault != nil:
		s = "fault " + x.Fault.Kind + " for " + worth(x.Fault.For) + " s"
	case x.Grid != nil:
		s = "grid at " + worth(x.Grid.Hz) + " Hz, " + worth(x.Grid.Voltage) + " %"
	case x.Bring != nil:
		s = "state of charge to " + worth(x.Bring.To) + " %"
	case x.EStop:
		s = "emergency stop"
	case x.Reset:
		s = "reset"
	case x.Arm:
		s = "arm"
	case x.Disarm:
		s = "disarm"
	case x.Refused != nil:
		s = "power " + worth(*x.Refused) + " %, to be refused"
	case x.Rest:
		s = "no setpoint"
	}
	switch {
	case x.Hold != nil:
		s += ", for " + worth(*x.Hold) + " s"
	case x.Until != nil && x.Until.AtRest:
		s += ", until the device rests"
	case x.Until != nil && x.Until.Cooled != nil:
		s += ", until it has cooled to " + worth(*x.Until.Cooled) + " °C"
	case x.Until != nil:
		s += ", until " + worth(*x.Until.SoC) + " % charge"
	}
	if x.Measure != nil {
		s += " → " + x.Measure.Name
	}
	return s
}

func worth(v scenario.Value) string {
	switch {
	case v.Name == "":
		return strconv.FormatFloat(v.Number, 'g', -1, 64)
	case v.Minus:
		return "−" + v.Name
	}
	return v.Name
}

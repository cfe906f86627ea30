package accept

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"yunchu/harness/metric"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform"
	"yunchu/platform/device"
)

// Document is a result with all that a report says beside it.
type Document struct {
	*Result
	Operator string
	Rig      string // the rig file, as it was named
	Short    bool
	Binary   string // SHA-256 of the program
	Tags     []string
	Inputs   []report.File
	Links    []report.Kept // recordings of what crossed the links of devices
	Audits   []report.Kept // the audits of what was written to them
}

// notInSuite are the published tests that the suite does not do: a PASS says nothing of them.
var notInSuite = []string{
	"reactive power and power factor as they are asked for (T15)", "curves of voltage and frequency (T12, T14)", "the accuracy of monitoring in a laboratory (T02)",
	"fault ride-through (T23)", "anti-islanding (T24)", "overload (T25)", "power quality (T26)", "thermal tests (T28)", "select before operate of IEC 61850 (T34)",
}

// Word is a verdict as reports of this suite write it.
func Word(v report.Verdict) string {
	switch v {
	case report.Passed:
		return "PASS"
	case report.Failed:
		return "FAIL"
	}
	return strings.ToUpper(string(v))
}

// Report is report.json of the suite.
type Report struct {
	Verdict      string              `json:"verdict"`
	Begin        time.Time           `json:"begin"`
	End          time.Time           `json:"end"`
	Operator     string              `json:"operator"`
	Rig          string              `json:"rig"`
	Short        bool                `json:"short"`
	Version      string              `json:"version"`
	Binary       string              `json:"binary"`
	Tags         []string            `json:"tags"`
	Inputs       []report.File       `json:"inputs"`
	Devices      []ReportDevice      `json:"devices"`
	Requirements []ReportRequirement `json:"requirements"`
	NotInSuite   []string            `json:"not_in_suite"` // what a PASS says nothing of
}

// ReportDevice is one device of it.
type ReportDevice struct {
	Device       string             `json:"device"`
	Kind         string             `json:"kind"`
	Address      string             `json:"address"`
	Manufacturer string             `json:"manufacturer"`
	Model        string             `json:"model"`
	Firmware     string             `json:"firmware"`
	Serials      []string           `json:"serials"` // of the bench, by the rig file
	Serial       string             `json:"serial"`  // of the device, as it says itself
	RatedKW      float64            `json:"rated_kw"`
	RatedKWh     float64            `json:"rated_kwh"`
	Virtual      bool               `json:"virtual"`
	Able         []string           `json:"able"`
	PowerScale   string             `json:"power_scale"` // what confirms it; empty: no power was asked for
	Instruments  []ReportInstrument `json:"instruments"`
	Tests        []ReportTest       `json:"tests"`
}

// ReportInstrument is what was measured with.
type ReportInstrument struct {
	Name       string `json:"name"`
	Serial     string `json:"serial"`
	Calibrated string `json:"calibrated"`
	Overdue    bool   `json:"overdue"` // the calibration is older than a year, or unknown
}

// ReportTest is one test of it.
type ReportTest struct {
	Test       string               `json:"test"`
	Title      string               `json:"title"`
	Source     string               `json:"source"`
	Counts     string               `json:"counts"`
	Verdict    string               `json:"verdict"`
	Why        string               `json:"why,omitempty"`  // of a verdict other than PASS
	Begin      time.Time            `json:"begin,omitzero"` // of the device's time; zero: nothing was done
	End        time.Time            `json:"end,omitzero"`
	DurationS  float64              `json:"duration_s"`
	Parameters map[string][]float64 `json:"parameters"`
	Changed    []string             `json:"changed"` // parameters that are neither the procedure's nor those of its short form
	Limits     []ReportLimit        `json:"limits"`
	Notes      []string             `json:"notes"`
	Samples    int                  `json:"samples"`
}

// ReportLimit is one limit of it. A value that was not measured is null.
type ReportLimit struct {
	Name        string   `json:"name"`
	Measure     string   `json:"measure"`
	Metric      string   `json:"metric"`
	Stat        string   `json:"stat"`
	Value       *float64 `json:"value"`
	Resolution  *float64 `json:"resolution"`
	Unit        string   `json:"unit"`
	N           int      `json:"n"`
	SeenBy      string   `json:"seen_by"` // device, reference, device and reference, or bench; empty: nobody has seen it
	Limit       string   `json:"limit"`
	Source      string   `json:"source"`
	Standing    string   `json:"standing"` // of its number: verified, unverified or own
	Verdict     string   `json:"verdict"`
	Requirement string   `json:"requirement"`
	Note        string   `json:"note"`
}

// ReportRequirement is one line of the matrix.
type ReportRequirement struct {
	Requirement string   `json:"requirement"`
	Limits      []string `json:"limits"`   // device/test/limit
	Verdicts    []string `json:"verdicts"` // of each of them
	Verdict     string   `json:"verdict"`
}

// Class is the verdict as style sheets call it.
func (r ReportRequirement) Class() string {
	switch r.Verdict {
	case Word(report.Passed):
		return string(report.Passed)
	case Word(report.Failed):
		return string(report.Failed)
	}
	return strings.ToLower(r.Verdict)
}

// Report is the document as data.
func (d *Document) Report() *Report {
	r := &Report{
		Verdict: Word(d.Verdict), Begin: d.Begin, End: d.End, Operator: d.Operator, Rig: d.Rig, Short: d.Short,
		Version: platform.Version, Binary: d.Binary, Tags: some(d.Tags), Inputs: some(d.Inputs), Devices: []ReportDevice{}, Requirements: []ReportRequirement{},
		NotInSuite: notInSuite,
	}
	for _, x := range d.Devices {
		r.Devices = append(r.Devices, x.report(d.Begin, d.Short))
	}
	r.Requirements = append(r.Requirements, d.matrix()...)
	return r
}

func some[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (x *DeviceResult) report(now time.Time, short bool) ReportDevice {
	out := ReportDevice{
		Device: string(x.Info.ID), Kind: x.Info.Kind, Address: x.Address, Manufacturer: x.Info.Manufacturer, Model: x.Info.Model,
		Firmware: x.Said.Firmware, Serial: x.Said.Serial, Serials: some(x.Serials), RatedKW: x.Info.RatedKW, RatedKWh: x.Info.CapacityKWh, PowerScale: x.Scale.Text, Virtual: x.Virtual,
		Able: some(x.Able), Instruments: []ReportInstrument{}, Tests: []ReportTest{},
	}
	for _, t := range x.Tools {
		out.Instruments = append(out.Instruments, instrument(t, now))
	}
	for _, t := range x.Tests {
		out.Tests = append(out.Tests, t.report(short))
	}
	return out
}

// calibrationHolds is how long a calibration is taken to hold.
const calibrationHolds = 365 * 24 * time.Hour

func instrument(t scenario.Instrument, now time.Time) ReportInstrument {
	i := ReportInstrument{Name: t.Name, Serial: t.Serial, Overdue: now.Sub(t.Calibrated) > calibrationHolds}
	if !t.Calibrated.IsZero() {
		i.Calibrated = t.Calibrated.UTC().Format(time.DateOnly)
	}
	return i
}

func (t *TestResult) report(short bool) ReportTest {
	p := t.Program.Procedure
	out := ReportTest{
		Test: p.Name, Title: p.Title, Source: p.Source, Counts: p.Counts, Verdict: Word(t.Verdict), Why: t.why(),
		Parameters: map[string][]float64{}, Changed: some(t.Program.others(short)), Limits: []ReportLimit{}, Notes: []string{},
	}
	for n, v := range t.Program.Parameters {
		out.Parameters[n] = v
	}
	if t.Record != nil {
		out.Begin, out.End = t.Record.Begin.UTC(), t.Record.End.UTC()
		out.DurationS, out.Samples, out.Notes = t.Record.End.Sub(t.Record.Begin).Seconds(), len(t.Record.Samples), some(t.Record.Notes)
	}
	for _, j := range t.Limits {
		out.Limits = append(out.Limits, ReportLimit{
			Name: j.Name, Measure: j.Measure, Metric: j.Metric, Stat: j.Stat, Value: number(j.Value), Resolution: number(j.Res),
			Unit: j.Unit, N: j.N, Limit: j.Limit.String(), Source: j.Source, Standing: string(j.Standing()), Verdict: Word(j.Verdict),
			Requirement: j.Requirement, Note: j.Note, SeenBy: j.SeenBy,
		})
	}
	return out
}

// own are the limits that rest on the device's word alone.
func (t *TestResult) own() (names []string) {
	for i := range t.Limits {
		if t.Limits[i].own() {
			names = append(names, t.Limits[i].Name)
		}
	}
	return names
}

// why is the reason of a verdict other than PASS: that of the test as a whole, or the
// first limit that has it.
func (t *TestResult) why() string {
	if t.Why != "" || t.Verdict == report.Passed {
		return t.Why
	}
	for i := range t.Limits {
		if j := &t.Limits[i]; j.Verdict == t.Verdict {
			return j.Name + ": " + j.sentence()
		}
	}
	return "nothing of it was judged"
}

// number is null in JSON for what is none.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// matrix is what each requirement rests on, in alphabetical order.
func (d *Document) matrix() (out []ReportRequirement) {
	type line struct {
		limits, verdicts []string
		judged           []Judged
	}
	all := map[string]*line{}
	for _, x := range d.Devices {
		for _, t := range x.Tests {
			for _, j := range t.shown() {
				if j.Requirement == "" || j.Limit.IsZero() && j.Name != asAWhole {
					continue
				}
				if all[j.Requirement] == nil {
					all[j.Requirement] = &line{}
				}
				l := all[j.Requirement]
				l.limits = append(l.limits, fmt.Sprintf("%s/%s/%s", x.Info.ID, t.Program.Procedure.Name, j.Name))
				l.verdicts = append(l.verdicts, Word(j.Verdict))
				l.judged = append(l.judged, j)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, ReportRequirement{name, all[name].limits, all[name].verdicts, Word(Verdict(all[name].judged))})
	}
	return out
}

// Write leaves the report in a folder.
func Write(dir string, d *Document) error {
	samples, err := d.samples()
	if err != nil {
		return err
	}
	files := []report.Content{
		{Name: "report.json", Write: func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(d.Report())
		}},
		{Name: "accept.html", Write: func(w io.Writer) error { return d.writeHTML(w, samples) }},
		{Name: "junit.xml", Write: d.writeJUnit},
	}
	for _, s := range samples {
		files = append(files, report.Content{Name: s.Name, Write: func(w io.Writer) error { _, err := w.Write(s.text); return err }})
	}
	for _, k := range slices.Concat(d.Links, d.Audits) {
		files = append(files, k.Content())
	}
	return report.WriteFiles(dir, files, func(outputs []report.File) *report.Manifest {
		return &report.Manifest{
			Scenario: "acceptance", Verdict: d.Verdict, Binary: d.Binary, Tags: some(d.Tags), Inputs: some(d.Inputs), Outputs: outputs,
		}
	})
}

// sampleFile is the raw data of one test.
type sampleFile struct {
	report.File
	test *TestResult
	text []byte
}

// samples are the raw data of all tests, one file each, and one more for the reference
// where there is one.
func (d *Document) samples() (out []sampleFile, err error) {
	for _, x := range d.Devices {
		for _, t := range x.Tests {
			if t.Record == nil {
				continue
			}
			add := func(what string, text []byte) {
				name := fmt.Sprintf("%s-%s-%s.csv", what, x.Info.ID, t.Program.Procedure.Name)
				out = append(out, sampleFile{report.HashBytes(name, text), t, text})
			}
			add("samples", t.Record.csv())
			if len(t.Record.Reference) > 0 {
				add("reference", t.Record.referenceCSV())
			}
		}
	}
	return out, nil
}

// csv are the readings, with the setpoint that was in force at each.
func (r *Record) csv() []byte {
	var b bytes.Buffer
	b.WriteString("t_s,at_ms,arrived_ms,setpoint_kw,power_kw,soc_percent,voltage_v,current_a,temperature_c,status,quality,flags\n")
	for i := range r.Samples {
		s := &r.Samples[i]
		t := r.atMS(s.At)
		fmt.Fprintf(&b, "%.3f,%d,%d,%s", t, s.At, s.Arrived, cell(valueAt(r.Setpoints, t)))
		for _, v := range []float64{s.Power, s.SoC, s.Voltage, s.Current, s.Temperature} {
			b.WriteByte(',')
			b.WriteString(cell(v))
		}
		fmt.Fprintf(&b, ",%s,%s,%s\n", strings.NewReplacer(",", " ", "\n", " ").Replace(s.StatusWord()), s.Quality, strings.ReplaceAll(s.Flags.String(), ",", " "))
	}
	return b.Bytes()
}

func (r *Record) referenceCSV() []byte {
	var b bytes.Buffer
	b.WriteString("t_s,power_kw,reactive_kvar,hz,voltage_percent,dc_v,dc_a,soc_percent,temperature_c,in_kwh,out_kwh,aux_kwh\n")
	for i := range r.Reference {
		x := &r.Reference[i]
		fmt.Fprintf(&b, "%.3f", r.at(x.At))
		for _, v := range []float64{x.PowerKW, x.ReactiveKvar, x.Hz, x.Voltage, x.DCVolt, x.DCAmp, x.SoC, x.TempC, x.InKWh, x.OutKWh, x.AuxKWh} {
			b.WriteByte(',')
			b.WriteString(cell(v))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// cell is empty for what is no number.
func cell(v float64) string {
	if !device.Finite(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', 9, 64)
}

// writeJUnit writes one suite for each test and one case for each limit.
func (d *Document) writeJUnit(w io.Writer) error {
	var suites []report.Suite
	for _, x := range d.Devices {
		for _, t := range x.Tests {
			p := t.Program.Procedure
			s := report.Suite{Name: string(x.Info.ID) + "." + p.Name, Timestamp: d.Begin, Properties: [][2]string{
				{"title", p.Title},
				{"source", p.Source},
				{"verdict", Word(t.Verdict)},
				{"binary", d.Binary},
				{"operator", d.Operator},
				{"changed parameters", strings.Join(t.Program.others(d.Short), ", ")},
				{asItSays, strings.Join(t.own(), ", ")},
				{"not in this suite", strings.Join(notInSuite, ", ")},
			}}
			if t.Record != nil {
				s.Time = t.Record.End.Sub(t.Record.Begin).Seconds()
			}
			if whole := t.whole(); whole != nil {
				s.Cases = append(s.Cases, report.Case{Class: "test", Name: whole.Name, Verdict: whole.Verdict, Message: whole.Note, Out: whole.Note})
			}
			for _, j := range t.Limits {
				c := report.Case{Class: j.Measure, Name: strings.TrimSpace(j.Name + " " + j.Limit.String()), Verdict: j.Verdict, Message: j.sentence(), Out: j.sentence()}
				s.Cases = append(s.Cases, c)
			}
			suites = append(suites, s)
		}
	}
	return report.WriteSuites(w, suites)
}

// sentence is a limit and what became of it, in words.
func (j *Judged) sentence() string {
	out := j.Metric + " " + j.shown()
	if !j.Limit.IsZero() {
		out += ", limit " + report.Bound(j.Limit.String(), j.Unit)
	}
	switch j.Standing() {
	case scenario.Unverified:
		out += " (not verified)"
	case scenario.Own:
		out += " (our own figure)"
	}
	if j.own() {
		out += ", " + asItSays
	}
	if j.Note != "" {
		out += "; " + j.Note
	}
	return out
}

// shown is the value with what it may be wrong by.
func (j *Judged) shown() string {
	switch {
	case math.IsNaN(j.Value):
		return "not measured"
	case math.IsInf(j.Value, 1):
		return "not reached"
	case j.Res > 0 && !math.IsInf(j.Res, 1):
		return report.Number(j.Value) + " ± " + report.Quantity(rounded(j.Res), j.Unit)
	}
	return report.Quantity(j.Value, j.Unit)
}

// rounded is an uncertainty with two digits.
func rounded(v float64) float64 {
	x, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 2, 64), 64)
	return x
}

// setpoints are the edges of what was asked for, for a plot.
func setpoints(set []metric.Point, end float64) (x, y []float64) {
	for i, p := range set {
		if i == 0 && p.T > 0 {
			x, y = append(x, 0), append(y, 0)
		}
		if len(y) > 0 {
			x, y = append(x, p.T), append(y, y[len(y)-1])
		}
		x, y = append(x, p.T), append(y, p.V)
	}
	if len(y) > 0 && end > x[len(x)-1] {
		x, y = append(x, end), append(y, y[len(y)-1])
	}
	return x, y
}

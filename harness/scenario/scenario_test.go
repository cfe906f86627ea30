package scenario_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"yunchu/harness/scenario"
)

// opt knows one model set, as the program does.
var opt = scenario.Options{
	Procedure: func(name string) (*scenario.Procedure, error) {
		return scenario.LoadProcedure("../../scenarios/accept/"+name+".yaml", scenario.Options{})
	},
	ProcedureNames: []string{"T05", "T06", "T07"},
	Models:         func(name string) bool { return name == scenario.DefaultModel },
	ModelNames:     []string{scenario.DefaultModel},
}

func load(t *testing.T, name string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Load(filepath.Join("testdata", "good", name), opt)
	if err != nil {
		t.Fatalf("%s is refused:\n%v", name, err)
	}
	return s
}

func TestLoadFillsIn(t *testing.T) {
	s := load(t, "minimal.yaml")
	if s.Duration != 24*time.Hour || s.Step != time.Second || s.Seed != 1 || !s.Virtual() || s.Journal != "events" {
		t.Errorf("defaults of the run: %+v", s)
	}
	if want := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); !s.Start.Equal(want) {
		t.Errorf("start %v, want %v", s.Start, want)
	}
	e := s.Fleet[0]
	if e.ID != "ess" || e.Kind != scenario.Sim || e.Model != scenario.DefaultModel || e.SoC.Mean != 50 {
		t.Errorf("defaults of an entry: %+v", e)
	}
	if want := []string{"ess-001", "ess-002", "ess-003"}; !slices.Equal(s.IDs(), want) {
		t.Errorf("ids %v, want %v", s.IDs(), want)
	}
	if s.Record.Every != 24*time.Second || s.Record.DevicesEvery != s.Record.Every {
		t.Errorf("record every %v, %v; want duration/3600", s.Record.Every, s.Record.DevicesEvery)
	}
	if s.Dispatch.Every != 2*time.Second || s.Dispatch.Strategy != "soc-balancing" {
		t.Errorf("defaults of dispatch: %+v", s.Dispatch)
	}
	if _, asked := s.TargetAt(0); asked {
		t.Error("a scenario without a target asks for something")
	}
	for _, c := range scenario.CheckNames() {
		if !s.Checks.On(c) {
			t.Errorf("check %s is off", c)
		}
	}
}

func TestLoadReadsEverything(t *testing.T) {
	s := load(t, "regulation-hour.yaml")
	if s.Checks.On(scenario.CheckEnergyBalance) || !s.Checks.On(scenario.CheckLimits) {
		t.Errorf("checks %+v", s.Checks)
	}
	if got := s.Site.Load.At(15 * time.Minute); got != 650 {
		t.Errorf("load at 15m %g, want 650", got)
	}
	if got := s.Site.PV.At(0); got != -20 {
		t.Errorf("pv %g, want -20", got)
	}
	if got := s.Site.Price.At(59 * time.Minute); got != 0.4 {
		t.Errorf("price %g, want 0.4", got)
	}
	if got := s.Score[2]; got.Stat != "min" || got.Limit.String() != ">= 5" || got.Requirement != "REQ-SOC-1" {
		t.Errorf("score %+v", got)
	}
	if got := s.Score[0].Stat; got != "last" {
		t.Errorf("default stat %s, want last", got)
	}
	want := []string{"regulation-hour.yaml", "load.csv", "price.csv", "regd.csv"}
	var got []string
	for _, p := range s.Inputs {
		got = append(got, filepath.Base(p))
	}
	if !slices.Equal(got, want) {
		t.Errorf("inputs %v, want %v", got, want)
	}
	c := s.Timeline[6].Command
	if c.Command != "setPower" || *c.PowerKW != 500 || c.Duration != time.Hour || c.Priority != "high" {
		t.Errorf("command %+v", c)
	}
}

func TestTargetAt(t *testing.T) {
	s := load(t, "regulation-hour.yaml")
	for _, tt := range []struct {
		name string
		at   time.Duration
		want scenario.Setpoint
	}{
		{"first row", 0, scenario.Setpoint{KW: -1000}},
		{"held until the next row", 3 * time.Second, scenario.Setpoint{KW: 5000}},
		{"last row holds", 9 * time.Minute, scenario.Setpoint{KW: -2500}},
		{"override", 10 * time.Minute, scenario.Setpoint{KW: -8000}},
		{"override with an end", 16 * time.Minute, scenario.Setpoint{KW: -12000}},
		{"back to the one below", 17 * time.Minute, scenario.Setpoint{KW: -8000}},
		{"import", 40 * time.Minute, scenario.Setpoint{KW: 800, Import: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := s.TargetAt(tt.at); !ok || got != tt.want {
				t.Errorf("TargetAt(%v) = %+v, %v; want %+v", tt.at, got, ok, tt.want)
			}
		})
	}
}

func TestRule(t *testing.T) {
	s, w := load(t, "regulation-hour.yaml"), load(t, "wall.yaml")
	for _, tt := range []struct {
		f    *scenario.Injection
		want string
	}{
		{s.Timeline[2].Fault, "link-down on=both devices=ess-00* for=5m"},
		{s.Timeline[3].Fault, "latency by=200ms jitter=50ms on=both devices=*"},
		{s.Timeline[4].Fault, "bias field=soc by=2.5 on=readings devices=ess-01? for=1m"},
		{s.Timeline[5].Fault, "restart on=both runtime"},
		{w.Timeline[0].Fault, "exception code=4 devices=rig"},
		{w.Timeline[1].Fault, "clock-step by=-1h runtime for=5s"},
	} {
		if got := tt.f.Rule(); got != tt.want {
			t.Errorf("Rule() = %q, want %q", got, tt.want)
		}
	}
}

func TestIDs(t *testing.T) {
	for _, tt := range []struct {
		count       int
		first, last string
	}{
		{0, "ess", "ess"},
		{1, "ess-001", "ess-001"},
		{100, "ess-001", "ess-100"},
		{999, "ess-001", "ess-999"},
		{1000, "ess-0001", "ess-1000"},
		{12345, "ess-00001", "ess-12345"},
	} {
		e := scenario.FleetEntry{Count: tt.count}
		e.ID = "ess"
		ids := e.IDs()
		if ids[0] != tt.first || ids[len(ids)-1] != tt.last || len(ids) != max(1, tt.count) {
			t.Errorf("count %d: %d ids from %s to %s, want %s to %s", tt.count, len(ids), ids[0], ids[len(ids)-1], tt.first, tt.last)
		}
	}
}

func TestMatchDevices(t *testing.T) {
	s := load(t, "wall.yaml")
	for _, tt := range []struct {
		glob string
		want int
	}{{"*", 1003}, {"ess-*", 1000}, {"ess-000?", 9}, {"rig", 1}, {"[or]*", 2}, {"ess", 0}, {"[", 0}} {
		if got := len(s.MatchDevices(tt.glob)); got != tt.want {
			t.Errorf("%q matches %d devices, want %d", tt.glob, got, tt.want)
		}
	}
}

func TestLimit(t *testing.T) {
	for _, tt := range []struct {
		limit string
		v     float64
		want  bool
	}{
		{"< 100", 99.9, true},
		{"< 100", 100, false},
		{"<= 0.02", 0.02, true},
		{"<= 0.02", 0.0201, false},
		{">5", 5.1, true},
		{"> 5", 5, false},
		{">= 1e-3", 1e-3, true},
		{"== 0", 0, true},
		{"== 0", 1, false},
		{"< 100", math.NaN(), false},
		{">= -1", math.NaN(), false},
		{"== 0", math.NaN(), false},
		{"> -5", math.Inf(1), true},
	} {
		l, err := scenario.ParseLimit(tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Holds(tt.v); got != tt.want {
			t.Errorf("%q holds %g: %v, want %v", tt.limit, tt.v, got, tt.want)
		}
	}
	for _, bad := range []string{"", "100", "=< 5", "=> 5", "< ", "< x", "<= 2 %", "< NaN", "< Inf", "< 0x10", "!= 5", "≤ 5"} {
		if l, err := scenario.ParseLimit(bad); err == nil {
			t.Errorf("%q is read as %v", bad, l)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "1h30m": 90 * time.Minute, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour,
		"1.5h": 90 * time.Minute, "200ms": 200 * time.Millisecond, "5us": 5 * time.Microsecond, "0s": 0, "-1h": -time.Hour,
	} {
		if got, err := scenario.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q = %v, %v; want %v", text, got, err, want)
		}
		back, err := scenario.ParseDuration(scenario.FormatDuration(want))
		if err != nil || back != want {
			t.Errorf("%v is written %s and read %v, %v", want, scenario.FormatDuration(want), back, err)
		}
	}
	for text, hint := range map[string]string{
		"10 min": "write 10m", "10min": "write 10m", "10": "write 10s, 10m or 10h", "5 parsecs": "units are d, h, m, s",
		"5 S": "write 5s", "1 小时": "write 1h", "": "write a number", "s": "write a number", "1h 30m": "write 1h30m",
		"1000000d": "write a number", "-": "write a number", "1..5s": "write a number",
	} {
		_, err := scenario.ParseDuration(text)
		e, ok := errors.AsType[*scenario.DurationError](err)
		if !ok || !strings.Contains(e.Hint, hint) {
			t.Errorf("%q: %v, hint %q; want a hint with %q", text, err, e, hint)
		}
	}
}

func TestSeries(t *testing.T) {
	uneven, err := scenario.NewSeries([]float64{1, 2, 10, 11, 500}, []float64{10, 20, 30, 40, 50})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at   time.Duration
		want float64
	}{
		{-time.Hour, 10},
		{0, 10},
		{time.Second, 10},
		{2*time.Second - 1, 10},
		{2 * time.Second, 20},
		{9 * time.Second, 20},
		{10 * time.Second, 30},
		{11 * time.Second, 40},
		{499 * time.Second, 40},
		{500 * time.Second, 50},
		{time.Hour, 50},
	} {
		if got := uneven.At(tt.at); got != tt.want {
			t.Errorf("At(%v) = %g, want %g", tt.at, got, tt.want)
		}
	}
	if got := scenario.Constant(3).At(time.Hour); got != 3 {
		t.Errorf("constant: %g", got)
	}
	for name, tv := range map[string][2][]float64{"empty": {}, "lengths": {{1, 2}, {1}}, "order": {{1, 1}, {1, 2}}, "NaN": {{1, math.NaN()}, {1, 2}}} {
		if _, err := scenario.NewSeries(tv[0], tv[1]); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestSeriesAgreesWithSearch holds the quick look-up against a plain one.
func TestSeriesAgreesWithSearch(t *testing.T) {
	var ts, vs []float64
	x := 0.0
	for i := range 1000 {
		x += 0.1 + float64((i*7919)%13)
		ts, vs = append(ts, x), append(vs, float64(i))
	}
	s, err := scenario.NewSeries(ts, vs)
	if err != nil {
		t.Fatal(err)
	}
	for at := time.Duration(0); at.Seconds() < x+10; at += 137 * time.Millisecond {
		want := 0.0
		for i := range ts {
			if ts[i] <= at.Seconds() {
				want = vs[i]
			}
		}
		if got := s.At(at); got != want {
			t.Fatalf("At(%v) = %g, want %g", at, got, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	for _, m := range scenario.Metrics() {
		name := strings.ReplaceAll(m.Name, "<load>", "sync")
		got, ok := scenario.FindMetric(name)
		if !ok || got.Unit != m.Unit || got.Name != name {
			t.Errorf("%s is found as %+v, %v", name, got, ok)
		}
		if !slices.Contains(scenario.Stats(), m.Stat) {
			t.Errorf("%s has the unknown default stat %q", m.Name, m.Stat)
		}
		if strings.HasSuffix(m.Name, "_ms") && m.Stat != "p99" || strings.HasSuffix(m.Name, "_ratio") && m.Stat != "last" {
			t.Errorf("%s has the default stat %s", m.Name, m.Stat)
		}
	}
	for _, bad := range []string{"", "api.sync", "api.sync.nothing", "fleet.sok", "api..", "API.sync.users"} {
		if m, ok := scenario.FindMetric(bad); ok {
			t.Errorf("%q is found as %+v", bad, m)
		}
	}
}

func TestOtherKinds(t *testing.T) {
	rig, err := scenario.LoadRig("testdata/good/rig.yaml", opt)
	if err != nil {
		t.Fatalf("rig:\n%v", err)
	}
	if d := rig.Devices[0]; d.Serve.SunSpec.Base != 40000 || d.Serve.RTU.Baud != 115200 || d.Serve.CAN.DBC != "pylon-lv" || d.SoC.Mean != 50 {
		t.Errorf("rig device %+v", d)
	}
	c, err := scenario.LoadConfig("testdata/good/config.yaml", opt)
	if err != nil {
		t.Fatalf("config:\n%v", err)
	}
	if c.Data != "/var/lib/yunchu" || c.TLS.Cert != filepath.Join("testdata", "inputs", "cert.pem") || c.Retention.Control != 365*24*time.Hour || !slices.Equal(c.Retention.Tiers, []scenario.Tier{{Step: time.Minute, Keep: 2 * 365 * 24 * time.Hour}, {Step: time.Hour}}) ||
		len(c.Remote) != 1 || c.Remote[0].TokenFile != filepath.Join("testdata", "inputs", "key.pem") || c.Remote[0].MaxBehind != 1000 ||
		!c.Dispatch.Target.Import || c.Dispatch.Target.Series.At(0) != 600 || c.NATS.Replicas != 3 {
		t.Errorf("config %+v", c)
	}
	d := scenario.DefaultConfig()
	if d.Listen != "127.0.0.1:8080" || d.Data != "./data" || d.Dispatch.Every != 2*time.Second || d.NATS.Replicas != 1 || d.Retention.Control == 0 {
		t.Errorf("default config %+v", d)
	}
	tr, err := scenario.LoadTrace("testdata/good/trace.yaml", opt)
	if err != nil {
		t.Fatalf("trace:\n%v", err)
	}
	if tr.Name != "trace" || tr.Topology.Cells() != 4 || tr.SoC.Of(3) != 0.58 || tr.Hysteresis.Of(3) != -0.5 || tr.Topology.ContactOhm.Of(3) != 9e-5 {
		t.Errorf("trace %+v", tr)
	}
	want := []scenario.ProfileRow{{0, scenario.CurrentA, -560}, {30 * time.Minute, scenario.CurrentA, 0}, {time.Hour, scenario.PowerW, 1792}, {90 * time.Minute, scenario.CurrentA, 0}}
	if !slices.Equal(tr.Rows, want) {
		t.Errorf("profile %v, want %v", tr.Rows, want)
	}
	one, err := scenario.NewTrace("testdata/inputs/cell.yaml", "testdata/inputs/profile.csv", opt)
	if err != nil || one.Topology.Cells() != 1 || one.Step != time.Second || one.SoC.Of(0) != 0.5 {
		t.Errorf("short form: %+v, %v", one, err)
	}
}

// TestReferenceTraces reads the trace files beside the shared references.
func TestReferenceTraces(t *testing.T) {
	data := os.Getenv("YUNCHU_DATA")
	if data == "" {
		t.Skip("YUNCHU_DATA is not set")
	}
	files, _ := filepath.Glob(filepath.Join(data, "twin", "reference", "*.yaml"))
	read := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if scenario.KindOf(text) != "Trace" {
			continue
		}
		read++
		if _, err := scenario.LoadTrace(f, opt); err != nil {
			t.Error(err)
		}
	}
	if read < 3 {
		t.Errorf("only %d trace files in %s", read, data)
	}
}

func TestLoadFromFS(t *testing.T) {
	files := fstest.MapFS{
		"runs/day.yaml":        {Data: []byte("apiVersion: yunchu/v1\nkind: Scenario\nname: day\nduration: 1h\nfleet: [{id: a, model: ../models/a.yaml}]\nsite: {load: {csv: inputs/load.csv, column: kw}}\n")},
		"runs/inputs/load.csv": {Data: []byte("t_s,kw\n0,7\n")},
		"models/a.yaml":        {Data: []byte("kind: Model\n")},
	}
	s, err := scenario.Load("runs/day.yaml", scenario.Options{FS: files})
	if err != nil {
		t.Fatal(err)
	}
	if s.Site.Load.At(0) != 7 || s.Fleet[0].Model != "models/a.yaml" || !scenario.IsPath(s.Fleet[0].Model) {
		t.Errorf("read %+v", s)
	}
	_, err = scenario.Load("runs/dya.yaml", scenario.Options{FS: files})
	if err == nil || !strings.Contains(err.Error(), "no such file") || !strings.Contains(err.Error(), `did you mean "day.yaml"`) {
		t.Errorf("a file that is not there: %v", err)
	}
}

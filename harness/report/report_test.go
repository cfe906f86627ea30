package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"yunchu/harness/metric"
	"yunchu/harness/report"
)

var nan = math.NaN()

func TestDecide(t *testing.T) {
	score := func(v float64, pass bool) report.Score { return report.Score{Value: v, Limit: "< 1", Pass: pass} }
	good, bad, missing := score(0.5, true), score(2, false), report.Score{Value: nan, Limit: "< 1", Inconclusive: true}
	ok, broken := report.Check{Pass: true}, report.Check{}
	tests := []struct {
		name    string
		outcome report.Outcome
		scores  []report.Score
		checks  []report.Check
		want    report.Verdict
	}{
		{"all good", report.Outcome{}, []report.Score{good, good}, []report.Check{ok}, report.Passed},
		{"checks alone", report.Outcome{}, nil, []report.Check{ok}, report.Passed},
		{"a score fails", report.Outcome{}, []report.Score{good, bad}, []report.Check{ok}, report.Failed},
		{"a check fails", report.Outcome{}, []report.Score{good}, []report.Check{ok, broken}, report.Failed},
		{"a value is missing", report.Outcome{}, []report.Score{good, missing}, []report.Check{ok}, report.Inconclusive},
		{"a failure outweighs a gap", report.Outcome{}, []report.Score{missing, bad}, nil, report.Failed},
		{"a check fails after a gap", report.Outcome{}, []report.Score{missing}, []report.Check{broken}, report.Failed},
		{"a check could not be made", report.Outcome{}, []report.Score{good}, []report.Check{{Inconclusive: true}}, report.Inconclusive},
		{"no number has not passed, whatever it says", report.Outcome{}, []report.Score{score(nan, true)}, nil, report.Inconclusive},
		{"not recovered is a failure", report.Outcome{}, []report.Score{score(nan, false)}, nil, report.Failed},
		{"nothing judged", report.Outcome{}, nil, nil, report.Inconclusive},
		{"only reported", report.Outcome{}, []report.Score{{Value: 3, Pass: true}}, nil, report.Inconclusive},
		{"reported beside a check", report.Outcome{}, []report.Score{{Value: 3, Pass: true}}, []report.Check{ok}, report.Passed},
		{"interrupted", report.Outcome{Interrupted: true}, []report.Score{good}, []report.Check{ok}, report.Interrupted},
		{"not applicable", report.Outcome{NotApplicable: true}, nil, nil, report.NotApplicable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := report.Decide(tt.outcome, tt.scores, tt.checks); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// source answers every metric with one value.
type source struct {
	v          float64
	ci         [2]float64
	err        error
	resolution float64
}

func (s source) Value(string, string) (float64, string, int64, [2]float64, error) {
	return s.v, "s", 7, s.ci, s.err
}
func (s source) Resolution(string) float64 { return s.resolution }
func (s source) Note(string) string        { return "" }

func TestJudge(t *testing.T) {
	none := [2]float64{nan, nan}
	tests := []struct {
		name         string
		src          source
		limit        string
		pass         bool
		inconclusive bool
	}{
		{"kept", source{5, none, nil, 0}, "<= 5", true, false},
		{"not kept", source{5, none, nil, 0}, "< 5", false, false},
		{"no data", source{nan, none, metric.ErrNoData, 0}, "< 5", false, true},
		{"no data, however the limit is written", source{0, none, metric.ErrNoData, 0}, "== 0", false, true},
		{"NaN without a word", source{nan, none, nil, 0}, ">= 0", false, true},
		{"not recovered", source{nan, none, fmt.Errorf("x: %w", metric.ErrUnrecovered), 0}, "< 5", false, false},
		{"no such metric", source{nan, none, metric.ErrUnknown, 0}, "< 5", false, true},
		{"limit nobody can read", source{5, none, nil, 0}, "about 5", false, true},
		{"sampled too coarsely to pass", source{1, none, nil, 1}, "<= 2", false, true},
		{"too coarse, yet plainly too slow", source{9, none, nil, 1}, "<= 2", false, false},
		{"fine enough", source{1, none, nil, 0.5}, "<= 2", true, false},
		{"only reported", source{5, none, nil, 0}, "", true, false},
		{"interval beyond the limit", source{4.9, [2]float64{4.5, 5.3}, nil, 0}, "<= 5", true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := report.Judge(tt.src, "recovery.time_s", "max", tt.limit, "REQ")
			if s.Pass != tt.pass || s.Inconclusive != tt.inconclusive {
				t.Errorf("pass %v inconclusive %v (%s), want %v %v", s.Pass, s.Inconclusive, s.Note, tt.pass, tt.inconclusive)
			}
			if s.Inconclusive && s.Note == "" {
				t.Error("inconclusive without a reason")
			}
		})
	}
	if s := report.Judge(tests[len(tests)-1].src, "x", "", "<= 5", ""); !strings.Contains(s.Note, "reaches beyond") {
		t.Errorf("note %q says nothing of the interval", s.Note)
	}
}

// report.json keeps the fields, names and order of the contract; what is no
// number is null and comes back as none.
func TestJSON(t *testing.T) {
	r := report.Report{
		Scenario: "regulation-hour", Verdict: report.Failed, Seed: math.MaxUint64, Clock: "virtual", Binary: "b", Kernel: "avx512",
		JournalSHA256: "j", SimS: 3600, WallS: 1.9, Speed: 1894.7, Devices: 100,
		Scores: []report.Score{
			{Metric: "command.latency_ms", Stat: "p99", Value: 12.3, Unit: "ms", N: 180000, CI95: [2]float64{12.1, math.Inf(1)}, Limit: "< 100", Pass: true},
			{Metric: "regulation.k", Stat: "last", Value: nan, CI95: [2]float64{nan, nan}, Limit: ">= 1", Inconclusive: true, Note: "no data"},
		},
		Faults: []report.Window{{From: 1, To: nan, Label: "stuck"}},
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"scenario":"regulation-hour","verdict":"failed","seed":18446744073709551615,"clock":"virtual","binary":"b","kernel":"avx512","journal_sha256":"j",` +
		`"sim_s":3600,"wall_s":1.9,"speed":1894.7,"devices":100,"scores":[` +
		`{"metric":"command.latency_ms","stat":"p99","value":12.3,"unit":"ms","n":180000,"ci95":[12.1,null],"limit":"\u003c 100","pass":true,"requirement":""},` +
		`{"metric":"regulation.k","stat":"last","value":null,"unit":"","n":0,"ci95":null,"limit":"\u003e= 1","pass":false,"requirement":"","inconclusive":true,"note":"no data"}],` +
		`"checks":[],"faults":[{"from_s":1,"to_s":null,"label":"stuck"}]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	var back report.Report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if s := back.Scores; s[0].Value != 12.3 || !math.IsInf(s[0].CI95[1], 1) || !math.IsNaN(s[1].Value) || !math.IsNaN(s[1].CI95[0]) || !math.IsNaN(back.Faults[0].To) {
		t.Errorf("read back: %+v %+v", s, back.Faults)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != want {
		t.Errorf("written again: %s, %v", again, err)
	}
}

func TestWrite(t *testing.T) {
	run, dir := synthetic(t), filepath.Join(t.TempDir(), "out")
	if err := report.Write(dir, run); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"devices.parquet", "journal.jsonl", "junit.xml", "manifest.json", "report.html", "report.json", "signals.csv", "signals.parquet"}
	if !slices.Equal(names, want) {
		t.Fatalf("files %v, want %v", names, want)
	}

	t.Run("report.json", func(t *testing.T) {
		r, err := report.Load(dir)
		if err != nil || r.Verdict != report.Failed || len(r.Scores) != len(run.Scores) || r.Scores[2].Value != run.Scores[2].Value {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("signals.csv", func(t *testing.T) {
		f, err := os.Open(filepath.Join(dir, "signals.csv"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		rows, err := csv.NewReader(f).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		header := "t_s,time,target_kw,power_kw,available_charge_kw,available_discharge_kw,soc_mean_percent,soc_min_percent,soc_max_percent,temperature_max_c,online"
		if got := strings.Join(rows[0], ","); got != header || len(rows) != 3601 {
			t.Errorf("%d rows under %s", len(rows)-1, got)
		}
		if row := rows[1300]; row[0] != "1300" || row[1] != "2026-01-01T00:21:40Z" || row[10] != "60" || row[3] != fmt.Sprint(run.Signals.Power[1299]) {
			t.Errorf("row %v", row)
		}
	})
	t.Run("signals.parquet", func(t *testing.T) {
		type row struct {
			T      float64  `parquet:"t_s"`
			Power  *float64 `parquet:"power_kw,optional"`
			Online *float64 `parquet:"online,optional"`
		}
		rows, err := parquet.ReadFile[row](filepath.Join(dir, "signals.parquet"))
		if err != nil || len(rows) != 3600 || rows[9].T != 10 || *rows[9].Power != run.Signals.Power[9] || *rows[1300].Online != 60 {
			t.Errorf("%d rows, %v", len(rows), err)
		}
	})
	t.Run("devices.parquet", func(t *testing.T) {
		rows, err := parquet.ReadFile[report.DeviceRow](filepath.Join(dir, "devices.parquet"))
		if err != nil || len(rows) != 2500 || rows[2499].Device != "ess-009" || rows[2499].T != 249 {
			t.Errorf("%d rows, %v", len(rows), err)
		}
	})
	t.Run("manifest and verify", func(t *testing.T) {
		m, err := report.LoadManifest(dir)
		if err != nil || len(m.Outputs) != 7 || len(m.Inputs) != 1 || m.Inputs[0].Bytes != 15 {
			t.Fatalf("%+v, %v", m, err)
		}
		if err := report.Verify(dir); err != nil {
			t.Errorf("as written: %v", err)
		}
		path := filepath.Join(dir, "signals.csv")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := report.Verify(dir); err == nil || !strings.Contains(err.Error(), "signals.csv") {
			t.Errorf("one bit turned: %v", err)
		}
	})
	t.Run("again over itself", func(t *testing.T) {
		run.Journal = filepath.Join(dir, "journal.jsonl")
		if err := report.Write(dir, run); err != nil {
			t.Fatal(err)
		}
		if err := report.Verify(dir); err != nil {
			t.Error(err)
		}
	})
}

// A write that does not succeed leaves the report that was there, and nothing else.
func TestWriteLeavesNothingHalf(t *testing.T) {
	run, dir := synthetic(t), t.TempDir()
	if err := report.Write(dir, run); err != nil {
		t.Fatal(err)
	}
	broken := *run
	broken.Journal = filepath.Join(dir, "not-there.jsonl")
	if err := report.Write(dir, &broken); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("journal that is not there: %v", err)
	}
	broken = *run
	broken.Signals.Power = run.Signals.Power[1:]
	if err := report.Write(dir, &broken); err == nil || !strings.Contains(err.Error(), "signal power has 3599 values") {
		t.Fatalf("columns of two lengths: %v", err)
	}
	if err := report.Verify(dir); err != nil {
		t.Errorf("the earlier report: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".report-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWriteWithoutSignals(t *testing.T) {
	run := &report.Run{Report: report.Report{Scenario: "load-only", Verdict: report.Inconclusive}}
	dir := t.TempDir()
	if err := report.Write(dir, run); err != nil {
		t.Fatal(err)
	}
	if err := report.Verify(dir); err != nil {
		t.Error(err)
	}
}

// The page needs no network, and no text of a run can end its script or become
// part of the page.
func TestHTMLIsSelfContainedAndSafe(t *testing.T) {
	run, dir := synthetic(t), t.TempDir()
	run.Scenario = `<img src=x onerror="alert(1)">`
	run.Scores[0].Note = `</td><script>alert(2)</script>`
	if err := report.Write(dir, run); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("<script")); n != 3 {
		t.Errorf("%d script elements, want 3", n)
	}
	if n := bytes.Count(b, []byte("</script>")); n != 3 {
		t.Errorf("%d ends of script, want 3", n)
	}
	if bytes.Contains(b, []byte("<img")) {
		t.Error("the name of the scenario became an element")
	}
	if m := regexp.MustCompile(`(src|href)="?(https?:)?//|url\(|@import|fetch\(`).FindAll(b, -1); m != nil {
		t.Errorf("reaches outside: %q", m)
	}
	if !bytes.Contains(b, []byte("Permission is hereby granted")) {
		t.Error("the licence of the plot library does not go with it")
	}
	data := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindSubmatch(b)
	if data == nil {
		t.Fatal("no data in the page")
	}
	var d struct {
		T      []float64
		S      map[string][]*float64
		Events []struct{ Text string }
	}
	if err := json.Unmarshal(data[1], &d); err != nil {
		t.Fatal(err)
	}
	if len(d.T) != 3600 || len(d.S["power"]) != 3600 || len(d.S) < 15 || len(d.Events) != len(run.EventLog) {
		t.Errorf("%d instants, %d series, %d events", len(d.T), len(d.S), len(d.Events))
	}
	if last := d.Events[len(d.Events)-1].Text; last != run.EventLog[len(run.EventLog)-1].Text {
		t.Errorf("text changed on its way: %q", last)
	}
	if len(b) > 1<<20 {
		t.Errorf("page of %d bytes for an hour", len(b))
	}
}

// A day of seconds is thinned for the page, and its worst moment stays.
func TestHTMLThinsButKeepsTheWorst(t *testing.T) {
	run := &report.Run{Report: report.Report{Scenario: "day", Verdict: report.Passed, SimS: 86400}, RatedKW: 100}
	for i := range 86400 {
		run.Signals.T = append(run.Signals.T, float64(i+1))
		p, hot := 10.0, 25.0
		if i == 40_001 {
			p = -73.5
		}
		if i == 50_003 {
			hot = 61.25
		}
		run.Signals.Target = append(run.Signals.Target, 10)
		run.Signals.Power = append(run.Signals.Power, p)
		run.Signals.TempMax = append(run.Signals.TempMax, hot)
	}
	dir := t.TempDir()
	if err := report.Write(dir, run); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("-73.5")) || !bytes.Contains(b, []byte("61.25")) || len(b) > 1<<20 {
		t.Errorf("worst moments kept: %v %v, %d bytes", bytes.Contains(b, []byte("-73.5")), bytes.Contains(b, []byte("61.25")), len(b))
	}
}

func TestJUnit(t *testing.T) {
	run := synthetic(t)
	run.Checks = append(run.Checks, report.Check{Name: "odd\x00name", Detail: "a & b < c"})
	var b bytes.Buffer
	stopped := &report.Report{Scenario: "stopped", Verdict: report.Interrupted, Checks: []report.Check{{Name: "energy-balance", Pass: true}}}
	skipped := &report.Report{Scenario: "no-meter", Verdict: report.NotApplicable}
	if err := report.WriteJUnit(&b, &run.Report, stopped, skipped); err != nil {
		t.Fatal(err)
	}
	type result struct {
		Message string `xml:"message,attr"`
	}
	var got struct {
		XMLName xml.Name `xml:"testsuites"`
		A       []struct {
			Name  string `xml:"name,attr"`
			Tests int    `xml:"tests,attr"`
			Fail  int    `xml:"failures,attr"`
			Err   int    `xml:"errors,attr"`
			Skip  int    `xml:"skipped,attr"`
			Time  string `xml:"time,attr"`
			Cases []struct {
				Name    string  `xml:"name,attr"`
				Class   string  `xml:"classname,attr"`
				Failure *result `xml:"failure"`
				Error   *result `xml:"error"`
				Skipped *result `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	want := [][4]int{{21, 2, 1, 0}, {2, 0, 1, 0}, {1, 0, 0, 1}}
	for i, s := range got.A {
		var n [4]int
		n[0] = len(s.Cases)
		for _, c := range s.Cases {
			if c.Name == "" || !strings.HasPrefix(c.Class, s.Name+".") {
				t.Errorf("case %q of class %q", c.Name, c.Class)
			}
			for k, r := range []*result{c.Failure, c.Error, c.Skipped} {
				if r != nil {
					n[k+1]++
					if r.Message == "" {
						t.Errorf("%s: no message", c.Name)
					}
				}
			}
		}
		if n != want[i] || [4]int{s.Tests, s.Fail, s.Err, s.Skip} != want[i] {
			t.Errorf("%s: cases %v, attributes %v, want %v", s.Name, n, []int{s.Tests, s.Fail, s.Err, s.Skip}, want[i])
		}
	}
}

func TestText(t *testing.T) {
	run := synthetic(t)
	var b bytes.Buffer
	if err := report.Text(&b, &run.Report, false); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	for _, want := range []string{
		"regulation-hour  seed 42 · virtual clock · 100 devices · 1 h in 1.9 s · 1,894.7× real time",
		"✓ tracking.rms_error_ratio", "✗ command.latency_ms", "? regulation.k", "✓ energy-balance",
		"✗ FAILED: 1 of 20 not met, 1 could not be judged",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("escapes without colour")
	}
	if i := strings.LastIndex(strings.TrimSpace(out), "\n"); !strings.Contains(out[i:], "FAILED") {
		t.Error("the verdict is not last")
	}
	b.Reset()
	if err := report.Text(&b, &run.Report, true); err != nil || !strings.Contains(b.String(), "\x1b[31;1m✗ FAILED") {
		t.Errorf("with colour: %v\n%q", err, b.String())
	}
}

// The script of the page runs to its end in a browser and draws every plot.
func TestHTMLInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine")
	}
	dir := t.TempDir()
	if err := report.Write(dir, synthetic(t)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
		"--user-data-dir="+t.TempDir(), "--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom", "file://"+filepath.Join(dir, "report.html"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	dom, err := cmd.Output()
	if err != nil {
		t.Skipf("chromium does not start here: %v", err)
	}
	if !bytes.Contains(dom, []byte(`data-ready="1"`)) {
		t.Errorf("the script did not reach its end:\n%s", stderr.String())
	}
	if n := bytes.Count(dom, []byte(`class="u-wrap"`)); n != 7 {
		t.Errorf("%d time plots, want 7", n)
	}
	if n := bytes.Count(dom, []byte(`class="curve"`)); n != 3 {
		t.Errorf("%d latency curves, want 3", n)
	}
	if strings.Contains(stderr.String(), "CONSOLE") {
		t.Errorf("the console says:\n%s", stderr.String())
	}
}

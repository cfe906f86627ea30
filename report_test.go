//go:build !nosim

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"yunchu/harness/report"
)

// TestReportFiles looks at every file that a run leaves.
func TestReportFiles(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("an hour of 100 devices; the scripts leave the same files of less")
	}
	p := fresh(t)
	file := scenarioFile(t, "quickstart")
	o := p.run(t, "run", file, "--json", "--out", "out")
	if o.code != exitPassed {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	p.leavesNothing(t)
	at := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(p.dir, "out", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var printed, written report.Report
	decode(t, []byte(o.stdout), &printed)
	decode(t, at("report.json"), &written)
	if printed.JournalSHA256 != written.JournalSHA256 || printed.Verdict != report.Passed || written.Verdict != report.Passed ||
		len(printed.Scores) != len(written.Scores) {
		t.Errorf("--json says %s %.16s…, report.json %s %.16s…", printed.Verdict, printed.JournalSHA256, written.Verdict, written.JournalSHA256)
	}
	if written.SimS != 3600 || written.Devices != 100 || written.Clock != "virtual" || written.Kernel == "" || len(written.Binary) != 64 {
		t.Errorf("report.json says %v s, %d devices, clock %q, kernel %q, binary %q", written.SimS, written.Devices, written.Clock, written.Kernel, written.Binary)
	}
	t.Run("manifest.json", func(t *testing.T) { manifest(t, filepath.Join(p.dir, "out"), filepath.Dir(file), &written) })
	t.Run("signals.csv", func(t *testing.T) { signals(t, at("signals.csv")) })
	t.Run("journal.jsonl", func(t *testing.T) { journal(t, at("journal.jsonl")) })
	t.Run("junit.xml", func(t *testing.T) {
		var suite struct {
			XMLName xml.Name
			Suites  []struct {
				Tests    int `xml:"tests,attr"`
				Failures int `xml:"failures,attr"`
			} `xml:"testsuite"`
		}
		if err := xml.Unmarshal(at("junit.xml"), &suite); err != nil {
			t.Fatal(err)
		}
		if suite.XMLName.Local != "testsuites" || len(suite.Suites) == 0 || suite.Suites[0].Tests == 0 || suite.Suites[0].Failures != 0 {
			t.Errorf("junit.xml says %+v", suite)
		}
	})
	t.Run("report.html", func(t *testing.T) {
		page := at("report.html")
		for _, outside := range []string{`src="http`, `href="http`, `src="//`, "@import", "cdn."} {
			if bytes.Contains(page, []byte(outside)) {
				t.Errorf("report.html asks for something outside of itself: %s", outside)
			}
		}
		for _, inside := range []string{"quickstart", "REQ-TRACK-1", "link-down", written.JournalSHA256[:16]} {
			if !bytes.Contains(page, []byte(inside)) {
				t.Errorf("report.html does not say %q", inside)
			}
		}
	})
	for _, name := range []string{"signals.parquet", "devices.parquet"} {
		if b := at(name); len(b) < 1000 || !bytes.HasPrefix(b, []byte("PAR1")) || !bytes.HasSuffix(b, []byte("PAR1")) {
			t.Errorf("%s: %d bytes and no Parquet file", name, len(b))
		}
	}
}

// manifest checks the sums of inputs and outputs against the files.
func manifest(t *testing.T, out, inputs string, r *report.Report) {
	b, err := os.ReadFile(filepath.Join(out, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m report.Manifest
	decode(t, b, &m)
	if m.JournalSHA256 != r.JournalSHA256 || m.Binary != r.Binary || m.Seed != r.Seed || m.Kernel != r.Kernel {
		t.Errorf("the manifest is of another run than report.json: %+v", m)
	}
	sums := func(dir string, files []report.File) map[string]bool {
		seen := map[string]bool{}
		for _, f := range files {
			text, err := os.ReadFile(filepath.Join(dir, f.Name))
			if err != nil {
				t.Error(err)
				continue
			}
			sum := sha256.Sum256(text)
			if got := hex.EncodeToString(sum[:]); got != f.SHA256 || int64(len(text)) != f.Bytes {
				t.Errorf("%s: %d bytes, sha256 %.16s…; the manifest says %d, %.16s…", f.Name, len(text), got, f.Bytes, f.SHA256)
			}
			seen[f.Name] = true
		}
		return seen
	}
	if in := sums(inputs, m.Inputs); !in["quickstart.yaml"] || !in["inputs/regulation-1h.csv"] || len(in) != 2 {
		t.Errorf("inputs are %v", in)
	}
	listed := sums(out, m.Outputs)
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "manifest.json" && !listed[e.Name()] {
			t.Errorf("%s is not in the manifest", e.Name())
		}
	}
}

// signals checks columns, grid and plausibility.
func signals(t *testing.T, b []byte) {
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	const columns = "t_s,time,target_kw,power_kw,available_charge_kw,available_discharge_kw,soc_mean_percent,soc_min_percent,soc_max_percent,temperature_max_c,online"
	if got := strings.Join(rows[0], ","); got != columns {
		t.Fatalf("columns\n%s, want\n%s", got, columns)
	}
	if n := len(rows) - 1; n != 3601 {
		t.Errorf("%d rows, want one a second, both ends: 3601", n)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	offline, short := 0, 0
	for k, row := range rows[1:] {
		v := make([]float64, len(row))
		for i, cell := range row {
			if i == 1 || cell == "" {
				continue
			}
			if v[i], err = strconv.ParseFloat(cell, 64); err != nil {
				t.Fatalf("row %d: %v", k+1, err)
			}
		}
		at, err := time.Parse(time.RFC3339Nano, row[1])
		if err != nil {
			t.Fatalf("row %d: %v", k+1, err)
		}
		if v[0] != float64(k) || !at.Equal(start.Add(time.Duration(k)*time.Second)) {
			t.Fatalf("row %d is at t_s %v, %s", k+1, v[0], row[1])
		}
		target, power, charge, discharge := v[2], v[3], v[4], v[5]
		if power > charge+1e-6*charge+100 || -power > discharge+100 || v[6] < v[7] || v[6] > v[8] || v[10] > 100 {
			t.Fatalf("row %d contradicts itself: %v", k+1, row)
		}
		if v[10] <= 90 {
			offline++
		}
		if target < -11000 && power < -9000 && power > target+500 {
			short++
		}
	}
	if offline < 290 || offline > 310 {
		t.Errorf("ten units are offline for %d s, want about 300", offline)
	}
	if short < 100 {
		t.Errorf("the impossible target is short for %d s, want about 120", short)
	}
}

// journal checks that every line is an object with its head, in order.
func journal(t *testing.T, b []byte) {
	kinds := map[string]int{}
	last := -1.0
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l struct {
			T    *float64 `json:"t_s"`
			Time time.Time
			Kind string
			Text string
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("%v in %s", err, lines.Bytes())
		}
		if l.T == nil || l.Kind == "" || l.Time.IsZero() {
			t.Fatalf("no t_s, time or kind in %s", lines.Bytes())
		}
		if *l.T < last {
			t.Fatalf("t_s goes back from %v to %v", last, *l.T)
		}
		last = *l.T
		kinds[l.Kind]++
	}
	for kind, want := range map[string]int{"cycle": 1801, "fault": 2, "target": 1, "offline": 1, "online": 1, "shortfall": 1} {
		if kinds[kind] != want {
			t.Errorf("%d lines of kind %s, want %d; all: %v", kinds[kind], kind, want, kinds)
		}
	}
	if kinds["rejected"] == 0 || kinds["reading"]+kinds["ack"]+kinds["command"] > 0 {
		t.Errorf("kinds at level events: %v", kinds)
	}
}

// TestSeveralFiles: one object, or an array and a folder each.
func TestSeveralFiles(t *testing.T) {
	p := fresh(t)
	a, b := brief("first"), brief("second")
	write(t, p, "a.yaml", a)
	write(t, p, "b.yaml", b)
	write(t, p, "c.yaml", a)
	o := p.run(t, "run", "a.yaml", "b.yaml", "--json", "--out", "all")
	if o.code != exitPassed {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	var reports []report.Report
	decode(t, []byte(o.stdout), &reports)
	if len(reports) != 2 || reports[0].Scenario != "first" || reports[1].Scenario != "second" {
		t.Fatalf("%d reports", len(reports))
	}
	for _, r := range reports {
		b, err := os.ReadFile(filepath.Join(p.dir, "all", r.Scenario, "report.json"))
		if err != nil {
			t.Fatal(err)
		}
		var written report.Report
		if decode(t, b, &written); written.JournalSHA256 != r.JournalSHA256 {
			t.Errorf("all/%s holds the report of another run", r.Scenario)
		}
	}
	// Two files of one name would write over each other.
	o = p.run(t, "run", "a.yaml", "c.yaml", "--out", "twice")
	if o.code != exitInput || !strings.Contains(o.stderr, "first") {
		t.Errorf("two scenarios of one name with --out: exit code %d, want %d, and %q", o.code, exitInput, o.stderr)
	}
	p.leavesNothing(t)
}

// brief is a scenario of a minute.
func brief(name string) string {
	return `apiVersion: yunchu/v1
kind: Scenario
name: ` + name + `
duration: 1m
fleet: [{id: u, count: 4, device: sim, model: ess-100kw-215kwh}]
dispatch: {target: {kw: -100}}
`
}

// TestInterrupt: Ctrl-C ends a run of either clock early; what has happened is
// reported as interrupted, and nothing is left behind.
func TestInterrupt(t *testing.T) {
	for _, tt := range []struct{ name, device, text string }{
		{"virtual", "u-001", "duration: 24h\n"},
		{"wall", "load-sync-0020", "clock: wall\nduration: 1h\nload:\n  - {name: sync, api: rest-sync, users: 20, rate: 500, for: 1h}\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := fresh(t)
			write(t, p, "long.yaml", strings.Replace(brief("long"), "duration: 1m\n", tt.text, 1))
			args := []string{"run", "long.yaml", "--json", "--out", "out", "--listen", "127.0.0.1:0"}
			if tt.name == "virtual" {
				args = append(args, "--speed", "100")
			}
			x := p.start(t, args...)
			base, viewer, _ := strings.Cut(x.says(t, "portal: "), "/#token=")
			c := client{base: base, token: viewer}
			eventually(t, "readings", func() bool {
				status, _, err := c.try("GET", "/api/v1/devices/"+tt.device+"/latest", nil)
				return err == nil && status == 200
			})
			if code := x.signal(t, os.Interrupt); code != exitInterrupted {
				t.Errorf("exit code %d after Ctrl-C, want %d", code, exitInterrupted)
			}
			var printed, written report.Report
			decode(t, []byte(x.stdout.String()), &printed)
			b, err := os.ReadFile(filepath.Join(p.dir, "out", "report.json"))
			if err != nil {
				t.Fatal(err)
			}
			decode(t, b, &written)
			if printed.Verdict != report.Interrupted || written.Verdict != report.Interrupted {
				t.Errorf("verdict %s on stdout, %s in report.json, want interrupted", printed.Verdict, written.Verdict)
			}
			for _, check := range written.Checks {
				if !check.Pass {
					t.Errorf("check %s failed: %s", check.Name, check.Detail)
				}
			}
			p.leavesNothing(t)
		})
	}
}

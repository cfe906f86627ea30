package accept_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/device"
)

// TestOwnWordIsTold: a device whose readings all lie by one factor agrees with itself, and no
// measurement finds that. So each limit says, on the terminal, on the page, in junit.xml and in
// report.json, whether it rests on what the device says of itself.
func TestOwnWordIsTold(t *testing.T) {
	const own = "as the device says of itself"
	fine := 50 * time.Millisecond
	for _, tt := range []struct {
		name   string
		change func(*accept.Record)
		seen   map[string]string // by limit
	}{
		{"no reference", func(r *accept.Record) { r.Reference = nil }, map[string]string{"response_time_s": "device", "deviation_percent": "device", "trips": "device", "ack_s": "bench"}},
		{"a reference", func(*accept.Record) {}, map[string]string{"response_time_s": "device and reference", "deviation_percent": "device and reference", "trips": "device", "ack_s": "bench"}},
		{"one too coarse for the time", func(r *accept.Record) {
			r.Reference = nil
			shown(2*time.Second, step(11, 1e9, 100))(r)
		}, map[string]string{"response_time_s": "device", "deviation_percent": "device and reference", "trips": "device", "ack_s": "bench"}},
		{"a measure of it alone", func(r *accept.Record) {
			r.Windows[0].Reference = true
		}, map[string]string{"response_time_s": "reference", "deviation_percent": "reference", "trips": "device", "ack_s": "bench"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := ramped(fine, 0.1, 1e9)
			echoes(fine, step(10, 1e9, 100))(r)
			tt.change(r)
			p := &scenario.Procedure{}
			for metric, text := range map[string]string{"response_time_s": "<= 5", "deviation_percent": "<= 2", "trips": "== 0", "ack_s": "<= 1"} {
				measure := "m"
				if metric == "trips" {
					measure = "test"
				}
				l := limit(t, measure, metric, text).Limits[0]
				l.Name = metric
				p.Limits = append(p.Limits, l)
			}
			g, err := accept.Compile(p, 100, false)
			if err != nil {
				t.Fatal(err)
			}
			x := &accept.TestResult{Program: g, Record: r, Limits: accept.Judge(p, r)}
			if x.Verdict = accept.Verdict(x.Limits); x.Verdict != report.Passed {
				t.Fatalf("%s: %+v", x.Verdict, x.Limits)
			}
			doc := &accept.Document{Result: &accept.Result{Verdict: x.Verdict, Devices: []*accept.DeviceResult{{Info: device.Info{ID: "d"}, Tests: []*accept.TestResult{x}}}}}
			dir := t.TempDir()
			if err := accept.Write(dir, doc); err != nil {
				t.Fatal(err)
			}
			read := func(name string) string {
				text, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			var screen strings.Builder
			if err := doc.Text(&screen, false); err != nil {
				t.Fatal(err)
			}
			var said accept.Report
			if err := json.Unmarshal([]byte(read("report.json")), &said); err != nil {
				t.Fatal(err)
			}
			page, junit := read("accept.html"), read("junit.xml")
			_, list, _ := strings.Cut(junit, `name="`+own+`" value="`)
			list, _, _ = strings.Cut(list, `"`)
			for _, l := range said.Devices[0].Tests[0].Limits {
				want := tt.seen[l.Name]
				if l.SeenBy != want {
					t.Errorf("report.json: %s is seen by %q, want %q", l.Name, l.SeenBy, want)
				}
				alone := want == "device"
				line := ""
				for s := range strings.Lines(screen.String()) {
					if strings.Contains(s, l.Name) {
						line += s
					}
				}
				if got := strings.Contains(line, own) || strings.Contains(line, "the device's own reading"); got != alone {
					t.Errorf("terminal: %q", line)
				}
				_, row, _ := strings.Cut(page, "<td>"+l.Name+"<br>")
				row, _, _ = strings.Cut(row, "</tr>")
				if strings.Contains(row, own) != alone {
					t.Errorf("page: %s", row)
				}
				if strings.Contains(list, l.Name) != alone {
					t.Errorf("junit: %s in %q, want %t", l.Name, list, alone)
				}
			}
		})
	}
}

//go:build !nosim

package main

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"yunchu/harness/report"
)

// hashOf runs a scenario in a process of its own and returns its journal hash.
func hashOf(t *testing.T, p program, file string, args ...string) string {
	t.Helper()
	o := p.run(t, append([]string{"run", file, "--json"}, args...)...)
	if o.code != exitPassed {
		t.Fatalf("yunchu run %s %s: exit code %d\n%s", file, strings.Join(args, " "), o.code, o.stderr)
	}
	var r report.Report
	decode(t, []byte(o.stdout), &r)
	if len(r.JournalSHA256) != 64 {
		t.Fatalf("journal_sha256 is %q", r.JournalSHA256)
	}
	return r.JournalSHA256
}

func scenarioFile(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("scenarios", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSameSeedSameJournal is the promise of virtual time: what happens depends on
// the file and the seed, and on nothing else.
func TestSameSeedSameJournal(t *testing.T) {
	if raced {
		t.Skip("minutes under the race detector, for one goroutine")
	}
	for _, name := range []string{"quickstart", "bad-links"} {
		t.Run(name, func(t *testing.T) {
			file := scenarioFile(t, name)
			const seed = "11"
			want := ""
			same := func(p program, what string, args ...string) {
				t.Helper()
				got := hashOf(t, p, file, append(args, "--seed", seed)...)
				if want == "" {
					want = got
				} else if got != want {
					t.Errorf("%s: journal_sha256 %.16s…, before %.16s…\nyunchu run %s --seed %s", what, got, want, file, seed)
				}
			}
			for _, procs := range []string{"1", "2"} {
				p := fresh(t, "GOMAXPROCS="+procs)
				same(p, "GOMAXPROCS="+procs)
				p.leavesNothing(t)
			}
			elsewhere := fresh(t)
			same(elsewhere, "with a report", "--out", "out")
			if name == "quickstart" {
				same(elsewhere, "paced", "--speed", "20000")
				same(fresh(t, "GOGC=5"), "collecting garbage all the time")
			}
			if other := hashOf(t, elsewhere, file, "--seed", "12"); other == want {
				t.Errorf("seeds 11 and 12 give the same journal %.16s…\nyunchu run %s --seed 12", other, file)
			}
		})
	}
}

// TestManySeedsAreTheSingleRuns: runs side by side share nothing.
func TestManySeedsAreTheSingleRuns(t *testing.T) {
	t.Parallel()
	p := fresh(t, "GOMAXPROCS=2")
	file := scenarioFile(t, "bad-links") // seed 7
	o := p.run(t, "run", file, "--seeds", "2", "--json")
	if o.code != exitPassed {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	var s struct {
		Runs    []report.Report   `json:"runs"`
		Summary []json.RawMessage `json:"summary"`
	}
	decode(t, []byte(o.stdout), &s)
	if len(s.Runs) != 2 || len(s.Summary) == 0 {
		t.Fatalf("%d runs and %d rows of summary, want 2 and some", len(s.Runs), len(s.Summary))
	}
	for i, r := range s.Runs {
		seed := uint64(7 + i)
		if r.Seed != seed {
			t.Fatalf("run %d has seed %d, want %d", i, r.Seed, seed)
		}
		if raced {
			continue // side by side is where a race can be; alone they have been compared without it
		}
		arg := strconv.FormatUint(seed, 10)
		if got := hashOf(t, p, file, "--seed", arg); got != r.JournalSHA256 {
			t.Errorf("seed %d side by side with another: %.16s…, alone %.16s…\nyunchu run %s --seed %d", seed, r.JournalSHA256, got, file, seed)
		}
	}
	if s.Runs[0].JournalSHA256 == s.Runs[1].JournalSHA256 {
		t.Error("two seeds give the same journal")
	}
	p.leavesNothing(t)
}

// TestWatchersDoNotChangeARun: who looks at a run through API and portal sees
// it, also past a restart of its runtime, and it comes out the same.
func TestWatchersDoNotChangeARun(t *testing.T) {
	const token = "watchers-may-only-watch"
	text := strings.Replace(brief("watched"), "duration: 1m\n", `duration: 20m
timeline:
  - {at: 5m, fault: {kind: drop, devices: u-002, ratio: 0.3, for: 10m}}
  - {at: 8m, fault: {kind: restart}}
`, 1)
	alone := fresh(t)
	write(t, alone, "watched.yaml", text)
	want := hashOf(t, alone, "watched.yaml")
	p := fresh(t, "YUNCHU_TOKEN="+token)
	write(t, p, "watched.yaml", text)
	x := p.start(t, "run", "watched.yaml", "--json", "--listen", "127.0.0.1:0", "--speed", "200") // 6 s
	base, _, _ := strings.Cut(x.says(t, "portal: "), "/#")
	c := client{base: base, token: token}
	looks, after := 0, 0
	for done := false; !done; {
		select {
		case <-x.done:
			done = true
		default:
			for _, path := range []string{"/api/v1/devices", "/api/v1/devices/u-002/history?limit=100", "/api/v1/system", "/metrics"} {
				if status, _, err := c.try("GET", path, nil); err == nil && status == 200 {
					looks++
				}
			}
			var r reading
			if status, body, err := c.try("GET", "/api/v1/devices/u-001/latest", nil); err == nil && status == 200 {
				decode(t, body, &r)
				if r.Timestamp > time.Date(2026, 1, 1, 0, 8, 1, 0, time.UTC).UnixMilli() {
					after++
				}
			}
		}
	}
	if code := x.cmd.ProcessState.ExitCode(); code != exitPassed {
		t.Fatalf("exit code %d", code)
	}
	var r report.Report
	decode(t, []byte(x.stdout.String()), &r)
	if r.JournalSHA256 != want {
		t.Errorf("watched %d times: journal %.16s…, alone %.16s…", looks, r.JournalSHA256, want)
	}
	if looks < 20 || after == 0 {
		t.Errorf("%d looks, %d at what came after the restart: nobody watched", looks, after)
	}
	p.leavesNothing(t)
}

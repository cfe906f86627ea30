package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/harness/load"
	"yunchu/platform/market/lp"
)

// TestPrint: ratios are of one round with each other, and who is not there is left out
// with the reason.
func TestPrint(t *testing.T) {
	turns := []figure{{rate: 100, p99: 1, cpu: 10}, {rate: 300, p99: 3, cpu: 30}, {rate: 200, p99: 2, cpu: 20}}
	next := 0
	c := contest{what: "work", unit: "things/s", peers: []peer{
		{name: "ours", promise: "all", turn: func(context.Context, *options) (figure, error) { next++; return turns[next-1], nil }},
		{name: "half", promise: "nothing", turn: func(context.Context, *options) (figure, error) {
			return figure{rate: turns[next-1].rate / 2, p99: turns[next-1].p99 * 4, cpu: turns[next-1].cpu * 3}, nil
		}},
		{name: "nobody", turn: func(context.Context, *options) (figure, error) { return figure{}, errAbsent }},
	}}
	if err := c.play(t.Context(), &options{rounds: 3}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"ours     200        2.0       20.0                   1.00          1.00              1.00             all",
		"half     100        8.0       60.0                   2.00          0.25              3.00             nothing",
		"left out: not here",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it says\n%s\nand not %q", out.String(), want)
		}
	}
}

// TestMeasure: of an aim the median of each value is told.
func TestMeasure(t *testing.T) {
	turns := []float64{30, 10, 20}
	next := 0
	a := aim{name: "work", what: "work done", aim: "25", turn: func(context.Context, *options) ([]value, error) {
		next++
		return []value{{"things/s", turns[next-1]}, {"of them lost", 0}}, nil
	}}
	var out bytes.Buffer
	if err := a.measure(t.Context(), &options{rounds: 3, during: time.Second}, &out); err != nil {
		t.Fatal(err)
	}
	const want = "work done; the aim is 25 (medians of 3 turns of 1s)\n         20.0 things/s\n          0.0 of them lost\n\n"
	if out.String() != want {
		t.Errorf("it says %q, want %q", out.String(), want)
	}
}

// TestUsed: what the children of a process use of the processors is its own.
func TestUsed(t *testing.T) {
	p, err := start(t.TempDir(), nil, "/bin/sh", "-c", "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done); exec sleep 300")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		used, err := p.used()
		if err != nil {
			t.Fatal(err)
		}
		if used >= 50*time.Millisecond {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a loop has used %v", used)
		}
	}
}

// TestSameReading: what the peers are sent says the same.
func TestSameReading(t *testing.T) {
	s := load.Sample{Device: "peers-001", At: 1703123456789, SoC: 75.5, Volts: 382.4, Amps: 125.6, KW: 48.03, Celsius: 25.3}
	const want = `reading,device=peers-001 soc=75.50,voltage=382.4,current=125.6,power=48.03,temperature=25.3,status="charging" 1703123456789`
	if got := string(lineProtocol.Append(nil, &s)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	now := time.UnixMilli(s.At)
	if n := len(frameOf(now)); n < 3600 || n > 4400 {
		t.Errorf("a frame of %d bytes, want 4 kB", n)
	}
	if n := bytes.Count(readingsOf(now), []byte(`"deviceId"`)); n != together {
		t.Errorf("%d readings, want %d", n, together)
	}
}

// TestContest is a short turn of everybody who is here, on real processes.
func TestContest(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector does not see into other processes")
	}
	t.Chdir("../..")
	o := options{rounds: 1, during: time.Second, users: 4, batch: 10, only: "batch"}
	var out bytes.Buffer
	if err := run(t.Context(), &o, &out); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", out.String())
	if !strings.Contains(out.String(), "yunchu serve") {
		t.Errorf("nothing of ours in\n%s", out.String())
	}
	if _, err := os.Stat(o.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", o.dir, err)
	}
}

// TestPlans: what others find is what we find, on the small ones of the plans.
func TestPlans(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector does not see into other processes")
	}
	small := append(plans()[:3], division(200))
	var out bytes.Buffer
	err := comparePlans(t.Context(), t.TempDir(), 1, small, &out)
	t.Logf("\n%s", out.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"yunchu, lp", "yunchu, alloc", "GLPK, simplex", "GLPK, interior point", "HiGHS"} {
		if !strings.Contains(out.String(), name+" ") {
			t.Errorf("nothing of %s", name)
		}
	}
	if strings.Contains(out.String(), "not here: there is") || strings.Contains(out.String(), "left out") {
		if os.Getenv("YUNCHU_PEERS") == "1" {
			t.Fatal("a program of others is missing")
		}
		t.Skip("not all of them are here")
	}
}

// TestPlansDisagree: an objective that is not that of the others is an error.
func TestPlansDisagree(t *testing.T) {
	p := plan{name: "two", build: func() *lp.Problem {
		var p lp.Problem
		p.Var(1, 2, 1)
		return &p
	}}
	wrong := solver{"wrong", func(context.Context, *plan, string) (optimum, error) { return optimum{Objective: 1.001, Wall: 1}, nil }}
	lost := solver{"lost", func(context.Context, *plan, string) (optimum, error) { return optimum{}, errGaveUp }}
	var out bytes.Buffer
	err := p.compare(t.Context(), t.TempDir(), 1, []solver{wrong, lost}, &out)
	if err == nil || !strings.Contains(err.Error(), "two: yunchu, lp finds 1, wrong finds 1.001") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(out.String(), errGaveUp.Error()) {
		t.Errorf("nobody gave up in %s", out.String())
	}
}

// TestProcess: one that ends by itself is told with what it said, and one that is stopped
// leaves no folder.
func TestProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "files")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := start(dir, nil, "/bin/sh", "-c", "echo no such disk; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	err = p.until(t.Context(), func() error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "no such disk") {
		t.Errorf("%v, want what it said", err)
	}
	p.stop()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
	if _, err := find("no-such-program-anywhere", "its-package"); !errors.Is(err, errAbsent) || !strings.Contains(err.Error(), "apt-get install its-package") {
		t.Errorf("%v", err)
	}
}

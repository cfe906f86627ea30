package run

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"yunchu/harness/scenario"
)

// begins and ends bound the fault: readings measured in [begins, ends) are hit.
const begins, ends = 30.0, 90.0

// TestFaults lets every kind of fault that acts at the driver or in the twin act
// on one of three batteries for a minute, and looks at what reached the log.
func TestFaults(t *testing.T) {
	for _, kind := range scenario.FaultKinds() {
		if kind.Wall {
			continue
		}
		t.Run(kind.Name, func(t *testing.T) {
			effect, known := effects[kind.Name]
			if kind.Seam == scenario.SeamTwin {
				effect = func(t *testing.T, _ []line) {}
			} else if !known {
				t.Fatal("no test of this kind of fault")
			}
			length := ", for: 1m"
			if kind.Name == "restart" {
				length = ""
			}
			text := fmt.Sprintf(`seed: 3
duration: 2m
journal: full
fleet: [{id: u, count: 3, device: sim, model: ideal}]
dispatch: {strategy: proportional, target: {kw: 240}}
timeline:
  - {at: 30s, fault: {kind: %s, devices: u-002%s%s}}
`, kind.Name, length, parameters[kind.Name])
			p := play(t, parse(t, text), Options{}, nil, nil)
			if kind.Seam == scenario.SeamTwin {
				if want := []string{"+" + kind.Name + "[1]", "-" + kind.Name + "[1]"}; !slices.Equal(p.world.done, want) {
					t.Errorf("in the physics: %v, want %v", p.world.done, want)
				}
			}
			if n := len(p.journal(t, "fault", "")); n != 2 {
				t.Errorf("%d events of the fault, want its begin and its end", n)
			}
			if len(p.Faults) != 1 || p.Faults[0].From != begins || p.Faults[0].To != ends && length != "" {
				t.Errorf("the report shows the faults %+v", p.Faults)
			}
			for _, c := range p.Checks {
				if !c.Pass {
					t.Errorf("check %s: %s", c.Name, c.Detail)
				}
			}
			if others := p.journal(t, "reading", "u-001"); len(others) != 121 {
				t.Errorf("%d readings of a device without the fault, want 121", len(others))
			}
			// Before and well after the fault nothing is missing or doubtful.
			all := p.journal(t, "reading", "u-002")
			hit := during(all, begins, ends)
			calm := append(during(all, 0, begins), during(all, ends+10, 121)...)
			if len(calm) != 30+21 {
				t.Errorf("%d readings outside of the fault, want 51", len(calm))
			}
			for _, l := range calm {
				if l.Quality != "good" || !near(*l.Voltage, 400, 1e-9) {
					t.Errorf("outside of the fault: %+v", l)
				}
			}
			effect(t, hit)
			again := play(t, parse(t, text), Options{}, nil, nil)
			if again.JournalSHA256 != p.JournalSHA256 {
				t.Error("the same seed gives another journal")
			}
		})
	}
}

var parameters = map[string]string{
	"latency": ", by: 400ms, jitter: 0ms", "drop": ", ratio: 0.5, on: readings", "duplicate": ", ratio: 1", "corrupt": ", ratio: 1",
	"reorder": ", by: 3s", "bias": ", field: soc, by: 5", "noise": ", field: voltage, sd: 10", "stuck": ", field: soc", "overheat": ", to_c: 70",
}

// measured is when a reading was measured, s since the start.
func (l line) measured() float64 { return float64(l.Timestamp-1767225600000) / 1000 }

func during(lines []line, from, to float64) (out []line) {
	for _, l := range lines {
		if at := l.measured(); at >= from && at < to {
			out = append(out, l)
		}
	}
	return out
}

// effects say what the readings measured during the fault look like in the log.
var effects = map[string]func(t *testing.T, hit []line){
	"latency": func(t *testing.T, hit []line) {
		want(t, hit, 60)
		for _, l := range hit {
			if !near(l.T-l.measured(), 0.4, 1e-9) {
				t.Errorf("measured at %v, in the log at %v, want 0.4 s later", l.measured(), l.T)
			}
		}
	},
	"drop": func(t *testing.T, hit []line) {
		if n := len(hit); n < 15 || n > 45 { // 4 standard deviations
			t.Errorf("%d of 60 readings passed, want about 30", n)
		}
	},
	"duplicate": func(t *testing.T, hit []line) { want(t, hit, 60) }, // what comes twice is stored once
	"corrupt": func(t *testing.T, hit []line) {
		want(t, hit, 60)
		wrong, doubted := 0, 0
		for _, l := range hit {
			if !near(*l.Voltage, 400, 1e-9) || !near(*l.Current, 200, 1e-9) || !near(*l.Power, 80, 1e-9) ||
				!near(*l.Temp, 25, 1e-9) || !near(*l.SoC, 50.5, 1) {
				wrong++
			}
			if l.Quality != "good" {
				doubted++
			}
		}
		if wrong != 60 || doubted < 30 {
			t.Errorf("%d of 60 readings are wrong, %d are doubted, want all and most", wrong, doubted)
		}
	},
	"reorder": func(t *testing.T, hit []line) {
		want(t, hit, 60)
		late := 0
		for _, l := range hit {
			if d := l.T - l.measured(); d < 0 || d > 3 {
				t.Errorf("measured at %v, in the log at %v, want at most 3 s later", l.measured(), l.T)
			}
			if slices.Contains(l.Flags, "order") {
				late++
			}
		}
		if late < 10 {
			t.Errorf("%d readings are flagged order, want many", late)
		}
	},
	"bias": func(t *testing.T, hit []line) {
		want(t, hit, 60)
		for _, l := range hit {
			if truth := 50 + l.measured()*80/3600/2; !near(*l.SoC, truth+5, 0.03) {
				t.Errorf("soc %v at %v s, want %v + 5", *l.SoC, l.measured(), truth)
			}
		}
	},
	"noise": func(t *testing.T, hit []line) {
		want(t, hit, 60)
		var squares float64
		for _, l := range hit {
			squares += (*l.Voltage - 400) * (*l.Voltage - 400)
		}
		if sd := math.Sqrt(squares / 60); sd < 6 || sd > 14 {
			t.Errorf("standard deviation %.1f V, want about 10", sd)
		}
	},
	"stuck": func(t *testing.T, hit []line) {
		want(t, hit, 60)
		for _, l := range hit {
			if *l.SoC != *hit[0].SoC {
				t.Fatalf("soc moves from %v to %v", *hit[0].SoC, *l.SoC)
			}
		}
	},
	"frozen": func(t *testing.T, hit []line) {
		want(t, hit, 60)
		flagged := 0
		for _, l := range hit {
			if *l.SoC != *hit[0].SoC || *l.Power != *hit[0].Power || *l.Voltage != *hit[0].Voltage {
				t.Fatalf("values move: %+v", l)
			}
			if slices.Contains(l.Flags, "frozen") && l.Quality == "suspect" {
				flagged++
			}
		}
		if flagged < 30 {
			t.Errorf("%d readings are flagged frozen, want most", flagged)
		}
	},
	"link-down": func(t *testing.T, hit []line) { want(t, hit, 0) },
	"restart": func(t *testing.T, hit []line) {
		want(t, hit, 55)
		if len(hit) > 0 && hit[0].measured() != begins+5 {
			t.Errorf("back at %v s, want 5 s after the restart", hit[0].measured())
		}
	},
}

func want(t *testing.T, hit []line, n int) {
	t.Helper()
	if len(hit) != n {
		t.Errorf("%d readings measured during the fault are in the log, want %d", len(hit), n)
	}
}

package run

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/sched"
)

const calm = `seed: 3
duration: 2m
fleet: [{id: u, count: 3, device: sim, model: ideal}]
dispatch: {strategy: proportional, target: {kw: 120}}
score: [{metric: fleet.power_kw, limit: ">= 0"}]
`

// TestChecks: a good world passes every default check, and each check fails for
// what it is there for, says where, and fails the run.
func TestChecks(t *testing.T) {
	names := []string{scenario.CheckEnergyBalance, scenario.CheckLimits, scenario.CheckReadings, scenario.CheckExpiry}
	for _, tt := range []struct {
		name, fails, says string
		spoil             func(*batteries)
	}{
		{"good", "", "", nil},
		{"energy from nowhere", scenario.CheckEnergyBalance, "2.0e-09", func(b *batteries) { b.residual = 2e-9 }},
		{"beyond a limit", scenario.CheckLimits, "u-001 at 00:00:00.000: charged at 99 %", func(b *batteries) { b.beyond = 1 }},
		{"applied after its expiry", scenario.CheckExpiry, "that had expired at", func(b *batteries) { b.answerAfter = 20 * time.Second }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := play(t, parse(t, calm), Options{}, tt.spoil, nil)
			for _, name := range names {
				c := p.check(t, name)
				if want := name != tt.fails; c.Pass != want {
					t.Errorf("check %s: pass %v, want %v: %s", name, c.Pass, want, c.Detail)
				}
				if name == tt.fails && !strings.Contains(c.Detail, tt.says) {
					t.Errorf("check %s says %q, want it to say %q", name, c.Detail, tt.says)
				}
			}
			want := report.Passed
			if tt.fails != "" {
				want = report.Failed
			}
			if p.Verdict != want {
				t.Errorf("verdict %s, want %s", p.Verdict, want)
			}
		})
	}
}

// TestChecksOff: a check is switched off by its name, and no other with it.
func TestChecksOff(t *testing.T) {
	p := play(t, parse(t, calm+"checks: {off: [energy-balance]}\n"), Options{}, func(b *batteries) { b.residual = 1 }, nil)
	if p.Verdict != report.Passed || len(p.Checks) != 3 {
		t.Errorf("verdict %s with checks %v", p.Verdict, p.Checks)
	}
}

// forgetful is a bus whose first subscriber to readings, the history, misses one
// frame.
type forgetful struct {
	bus.Bus
	subscribed, missed atomic.Bool
}

func (f *forgetful) Subscribe(stream string, from uint64, h bus.Handler) (func(), error) {
	if stream == bus.Data && f.subscribed.CompareAndSwap(false, true) {
		history := h
		h = func(seq uint64, frame device.Frame) {
			if seq == 2 {
				f.missed.Store(true)
				return
			}
			history(seq, frame)
		}
	}
	return f.Bus.Subscribe(stream, from, h)
}

const wall = `clock: wall
duration: 2s
fleet: [{id: u, count: 3, device: sim, model: ideal}]
dispatch: {every: 500ms, target: {kw: 120}}
score: [{metric: data.lost, limit: "== 0"}]
`

// TestLostReading: a history that has lost what the log acknowledged is found.
func TestLostReading(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		var f *forgetful
		opt := Options{Durable: func(dir string) (bus.Bus, error) {
			b, err := durable(dir)
			f = &forgetful{Bus: b}
			f.subscribed.Store(!lossy)
			return f, err
		}}
		p := play(t, parse(t, wall), opt, nil, nil)
		c := p.check(t, scenario.CheckReadings)
		if f.missed.Load() != lossy || c.Pass == lossy {
			t.Errorf("history misses a frame: %v; the check: pass %v, %s", f.missed.Load(), c.Pass, c.Detail)
		}
		if lossy && (p.Scores[0].Value != 3 || !strings.Contains(c.Detail, "3 of ")) {
			t.Errorf("data.lost = %v of a frame of 3 readings; %s", p.Scores[0].Value, c.Detail)
		}
	}
}

// behind is a bus that lets nobody but the history have frames from the third on, until it is told.
type behind struct {
	*forgetful
	told chan struct{}
}

func (b behind) Subscribe(stream string, from uint64, h bus.Handler) (func(), error) {
	if stream == bus.Data && b.subscribed.Load() {
		late := h
		h = func(seq uint64, frame device.Frame) {
			if seq >= 3 {
				<-b.told
			}
			late(seq, frame)
		}
	}
	return b.forgetful.Subscribe(stream, from, h)
}

// TestLostReadingBehind: a frame that the history has and the run has not seen yet does not make
// up for one that the history has lost.
func TestLostReadingBehind(t *testing.T) {
	b := behind{told: make(chan struct{})}
	opt := Options{Durable: func(dir string) (bus.Bus, error) {
		d, err := durable(dir)
		b.forgetful = &forgetful{Bus: d}
		return b, err
	}}
	p := play(t, parse(t, wall), opt, nil, func(r *Run) {
		r.Sched.At(r.Start().Add(r.Scenario.Duration), sched.Check, func(time.Time) {
			time.AfterFunc(100*time.Millisecond, func() { close(b.told) })
		})
	})
	if c := p.check(t, scenario.CheckReadings); !b.missed.Load() || c.Pass || p.Scores[0].Value != 3 {
		t.Errorf("history misses a frame: %v; the check: pass %v, %s; data.lost = %v of a frame of 3 readings", b.missed.Load(), c.Pass, c.Detail, p.Scores[0].Value)
	}
}

// TestLastAnswers: commands that a load gives until the end are answered by their devices, as
// those before.
func TestLastAnswers(t *testing.T) {
	const text = `clock: wall
duration: 1s
fleet: [{id: u, count: 3, device: sim, model: ideal}]
load: [{name: control, api: rest-control, users: 3, rate: 9, for: 1s}]
score: [{metric: command.latency_ms, stat: p99}, {metric: api.control.latency_ms, stat: p99}]
`
	slow := func(b *batteries) { b.answerAfter = 300 * time.Millisecond }
	p := play(t, parse(t, text), Options{}, slow, nil)
	if asked, answered := p.Scores[1].N, p.Scores[0].N; asked == 0 || asked != answered {
		t.Errorf("%d commands were given, %d answered by devices", asked, answered)
	}
}

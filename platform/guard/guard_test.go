package guard_test

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

// plant is a guard with devices of 100 kW, charged to 50 % at 25 °C.
func plant(t testing.TB, devices int) *guard.Guard {
	t.Helper()
	g := &guard.Guard{}
	for s := range devices {
		set(t, g, device.Slot(s), nameplate(), device.Active)
		g.Observe(reading(device.Slot(s), start))
	}
	return g
}

func nameplate() guard.Envelope {
	return guard.EnvelopeOf(&device.Info{RatedKW: 100, SoCMin: 10, SoCMax: 90})
}

func set(t testing.TB, g *guard.Guard, s device.Slot, e guard.Envelope, life device.State) {
	t.Helper()
	if err := g.Set(s, e, life); err != nil {
		t.Fatal(err)
	}
}

func reading(s device.Slot, now time.Time) *device.Reading {
	r := device.Empty()
	r.Slot, r.At, r.Arrived, r.SoC, r.Temperature = s, now.UnixMilli(), now.UnixMilli(), 50, 25
	return &r
}

var seq uint64

func setPower(s device.Slot, now time.Time, kw float64, p device.Priority) device.Command {
	seq++
	return device.Command{Slot: s, Seq: seq, Verb: device.SetPower, Priority: p, Power: kw, At: now.UnixMilli(), Duration: 60_000, Source: "test"}
}

// check judges one command.
func check(g *guard.Guard, now time.Time, c device.Command) guard.Verdict {
	v := make([]guard.Verdict, 1)
	g.Check(now, []device.Command{c}, v)
	return v[0]
}

func TestVerdicts(t *testing.T) {
	type in struct {
		env    func(e *guard.Envelope)
		life   device.State
		see    func(r *device.Reading)
		before []device.Command
		cmd    func(c *device.Command)
	}
	power := func(kw float64) func(c *device.Command) { return func(c *device.Command) { c.Power = kw } }
	held := setPower(0, start, 30, device.High)
	held.Source = "user:ann"
	maintenance := device.Command{Verb: device.SetMode, Mode: device.MaintenanceMode, Priority: device.Normal, At: start.UnixMilli()}
	tests := []struct {
		name string
		in
		power float64
		code  string
		text  string // part of the reason
	}{
		{name: "as asked", in: in{cmd: power(-50)}, power: -50},
		{name: "zero", in: in{cmd: power(0)}, power: 0},
		{name: "at the rating", in: in{cmd: power(100)}, power: 100},
		{name: "beyond the rating", in: in{cmd: power(100.1)}, code: guard.CodeRange, text: "100.1 kW is beyond the rating of 100 kW"},
		{name: "beyond the rating out", in: in{cmd: power(-1e12)}, code: guard.CodeRange},
		{name: "not a number", in: in{cmd: power(math.NaN())}, code: guard.CodeMalformed, text: "NaN is not a number"},
		{name: "infinite", in: in{cmd: power(math.Inf(-1))}, code: guard.CodeMalformed},
		{name: "cap", in: in{env: func(e *guard.Envelope) { e.CapKW = 40 }, cmd: power(60)}, power: 40, text: "reduced from 60 kW: cap"},
		{name: "cap above rating", in: in{env: func(e *guard.Envelope) { e.CapKW = 400 }, cmd: power(100)}, power: 100},
		{name: "device can take less", in: in{see: func(r *device.Reading) { r.MaxCharge = 20 }, cmd: power(60)}, power: 20, text: "reduced from 60 kW: device limit"},
		{name: "device can give less", in: in{see: func(r *device.Reading) { r.MaxDischarge = 20 }, cmd: power(-60)}, power: -20, text: "device limit"},
		{name: "the other limit does not matter", in: in{see: func(r *device.Reading) { r.MaxDischarge = 0 }, cmd: power(60)}, power: 60},
		{name: "device can take nothing", in: in{see: func(r *device.Reading) { r.MaxCharge = 0 }, cmd: power(60)}, code: guard.CodeEnvelope, text: "no power in this direction now: device limit"},
		{name: "nonsense limit is no permission", in: in{see: func(r *device.Reading) { r.MaxCharge = -5 }, cmd: power(60)}, code: guard.CodeEnvelope, text: "device limit"},
		{name: "infinite limit", in: in{see: func(r *device.Reading) { r.MaxCharge = math.Inf(1) }, cmd: power(60)}, power: 60},
		{name: "full", in: in{see: func(r *device.Reading) { r.SoC = 90 }, cmd: power(1)}, code: guard.CodeEnvelope, text: "state of charge high"},
		{name: "full may give", in: in{see: func(r *device.Reading) { r.SoC = 90 }, cmd: power(-1)}, power: -1},
		{name: "empty", in: in{see: func(r *device.Reading) { r.SoC = 10 }, cmd: power(-1)}, code: guard.CodeEnvelope, text: "state of charge low"},
		{name: "cold", in: in{see: func(r *device.Reading) { r.Temperature = 0 }, cmd: power(1)}, code: guard.CodeEnvelope, text: "temperature low"},
		{name: "cold may give", in: in{see: func(r *device.Reading) { r.Temperature = -5 }, cmd: power(-1)}, power: -1},
		{name: "hot", in: in{see: func(r *device.Reading) { r.Temperature = 60 }, cmd: power(-1)}, code: guard.CodeEnvelope, text: "temperature high"},
		{name: "hot by a reading that nobody believes", in: in{see: func(r *device.Reading) { r.Temperature, r.Quality = 61, device.Bad }, cmd: power(-1)}, code: guard.CodeEnvelope, text: "temperature high"},
		{name: "full by a reading that nobody believes", in: in{see: func(r *device.Reading) { r.SoC, r.Quality = 95, device.Suspect }, cmd: power(60)}, power: 60},
		{name: "no rating", in: in{env: func(e *guard.Envelope) { e.RatedKW = 0 }, cmd: power(1)}, code: guard.CodeRange},
		{name: "no rating, zero", in: in{env: func(e *guard.Envelope) { e.RatedKW = 0 }, cmd: power(0)}, power: 0},
		{name: "rating is not a number", in: in{env: func(e *guard.Envelope) { e.RatedKW = math.NaN() }, cmd: power(1)}, code: guard.CodeRange},
		{name: "rating is infinite", in: in{env: func(e *guard.Envelope) { e.RatedKW = math.Inf(1) }, cmd: power(1)}, code: guard.CodeEnvelope},
		{name: "negative cap", in: in{env: func(e *guard.Envelope) { e.CapKW = -1 }, cmd: power(1)}, code: guard.CodeEnvelope},
		{name: "window is not a number", in: in{env: func(e *guard.Envelope) { e.SoCMin = math.NaN() }, cmd: power(1)}, code: guard.CodeEnvelope},
		{name: "unknown device", in: in{cmd: func(c *device.Command) { c.Slot = 7 }}, code: guard.CodeUnknown},
		{name: "no device", in: in{cmd: func(c *device.Command) { c.Slot = device.Plant }}, code: guard.CodeUnknown},
		{name: "inactive", in: in{life: device.Inactive, cmd: power(1)}, code: guard.CodeNotActive},
		{name: "failed", in: in{life: device.Failed, cmd: power(0)}, code: guard.CodeNotActive},
		{name: "60 s old", in: in{cmd: func(c *device.Command) { c.At -= 60_000 }}},
		{name: "older", in: in{cmd: func(c *device.Command) { c.At -= 60_001 }}, code: guard.CodeStale, text: "60.0 s old, at most 1m0s"},
		{name: "5 s ahead", in: in{cmd: func(c *device.Command) { c.At += 5_000 }}},
		{name: "further ahead", in: in{cmd: func(c *device.Command) { c.At += 5_001 }}, code: guard.CodeStale, text: "5.0 s in the future"},
		{name: "the beginning of time", in: in{cmd: func(c *device.Command) { c.At = math.MinInt64 }}, code: guard.CodeStale, text: "s old"},
		{name: "the end of time", in: in{cmd: func(c *device.Command) { c.At = math.MaxInt64 }}, code: guard.CodeStale, text: "future"},
		{name: "no duration", in: in{cmd: func(c *device.Command) { c.Duration = 0 }}, code: guard.CodeMalformed, text: "a setpoint of 0 ms"},
		{name: "negative duration", in: in{cmd: func(c *device.Command) { c.Duration = math.MinInt64 }}, code: guard.CodeMalformed},
		{name: "unknown verb", in: in{cmd: func(c *device.Command) { c.Verb = 99 }}, code: guard.CodeMalformed, text: "unknown command 99"},
		{name: "no verb", in: in{cmd: func(c *device.Command) { c.Verb = 0 }}, code: guard.CodeMalformed},
		{name: "unknown mode", in: in{cmd: func(c *device.Command) { c.Verb, c.Mode = device.SetMode, 9 }}, code: guard.CodeMalformed, text: "unknown mode 9"},
		{name: "a priority above all", in: in{cmd: func(c *device.Command) { c.Priority = 200 }}, code: guard.CodeMalformed, text: "unknown priority 200"},
		{name: "held", in: in{before: []device.Command{held}, cmd: power(1)}, code: guard.CodeHeld, text: "held by user:ann at priority high until 2026-01-01T00:01:00Z"},
		{name: "release of another's hold", in: in{before: []device.Command{held}, cmd: func(c *device.Command) { c.Verb = device.Release }}, code: guard.CodeHeld},
		{name: "stop of another's hold", in: in{before: []device.Command{held}, cmd: func(c *device.Command) { c.Verb = device.Stop }}, code: guard.CodeHeld},
		{name: "equal priority replaces", in: in{before: []device.Command{held}, cmd: func(c *device.Command) { c.Power, c.Priority = 5, device.High }}, power: 5},
		{name: "higher priority replaces", in: in{before: []device.Command{held}, cmd: func(c *device.Command) { c.Power, c.Priority = 5, device.Safety }}, power: 5},
		{name: "in maintenance", in: in{before: []device.Command{maintenance}, cmd: power(1)}, code: guard.CodeMode, text: "in mode maintenance"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := nameplate()
			if tt.env != nil {
				tt.env(&e)
			}
			life := tt.life
			if life == device.Configured {
				life = device.Active
			}
			g := &guard.Guard{}
			set(t, g, 0, e, life)
			r := reading(0, start)
			if tt.see != nil {
				tt.see(r)
			}
			g.Observe(r)
			for _, c := range tt.before {
				if v := check(g, start, c); v.Code != "" {
					t.Fatalf("prepare: %+v", v)
				}
			}
			c := setPower(0, start, 10, device.Normal)
			c.Power = 0
			tt.cmd(&c)
			v := check(g, start, c)
			if v.Code != tt.code || v.Power != tt.power || !strings.Contains(v.Reason, tt.text) {
				t.Errorf("got %v kW, code %q, reason %q; want %v kW, code %q, reason with %q", v.Power, v.Code, v.Reason, tt.power, tt.code, tt.text)
			}
			if v.Reduced != (tt.code == "" && tt.text != "") {
				t.Errorf("reduced = %v with reason %q", v.Reduced, v.Reason)
			}
		})
	}
}

func TestExpiryCountsFromAcceptance(t *testing.T) {
	for _, tt := range []struct{ asked, want time.Duration }{
		{10 * time.Second, 10 * time.Second},
		{time.Millisecond, time.Millisecond},
		{guard.DefaultLease, guard.DefaultLease},
	} {
		g := plant(t, 1)
		c := setPower(0, start.Add(-30*time.Second), 50, device.Normal)
		c.Duration = tt.asked.Milliseconds()
		if v := check(g, start, c); v.Until != at(tt.want).UnixMilli() {
			t.Errorf("duration %v: expires %v after acceptance, want %v", tt.asked, time.Duration(v.Until-start.UnixMilli())*time.Millisecond, tt.want)
		}
	}
}

// What holds a device at rest may hold it longer than a setpoint may.
func TestStopHoldsForItsMaximum(t *testing.T) {
	g := plant(t, 1)
	c := setPower(0, start, 0, device.Normal)
	c.Verb, c.Duration = device.Stop, math.MaxInt64
	if v := check(g, start, c); v.Code != "" || v.Until != at(guard.MaxDuration).UnixMilli() {
		t.Errorf("%+v", v)
	}
}

func TestExpiredSetpointIsCorrectedOnceToZero(t *testing.T) {
	g := plant(t, 1)
	check(g, start, setPower(0, start, 50, device.Normal))
	if out := g.Tick(at(59_999*time.Millisecond), nil); len(out) != 0 {
		t.Errorf("corrected before it expired: %+v", out)
	}
	out := g.Tick(at(time.Minute), nil)
	if len(out) != 1 || out[0].Power != 0 || out[0].Verb != device.SetPower || out[0].Source != "guard" || out[0].Reason != "setpoint expired" {
		t.Fatalf("corrections at expiry: %+v, want one to 0", out)
	}
	if out := g.Tick(at(time.Hour), nil); len(out) != 0 {
		t.Errorf("corrected twice: %+v", out)
	}
	if v := check(g, at(time.Minute), setPower(0, at(time.Minute), 1, device.Low)); v.Code != "" {
		t.Errorf("after expiry: %+v, want the device free", v)
	}
}

func TestHysteresis(t *testing.T) {
	g := plant(t, 1)
	for i, step := range []struct {
		soc, temp float64
		give      bool // discharging is allowed
		take      bool
	}{
		{50, 25, true, true},
		{10, 25, false, true},
		{10.4, 25, false, true},
		{10.5, 25, true, true},
		{90, 25, true, false},
		{89.6, 25, true, false},
		{89.5, 25, true, true},
		{50, 60, false, false},
		{50, 57.1, false, false},
		{50, math.NaN(), false, false},
		{50, 57, true, true},
		{50, -1, true, false},
		{50, 2.9, true, false},
		{50, 3, true, true},
		{math.NaN(), 25, true, true},
	} {
		now := at(time.Duration(i) * time.Second)
		r := reading(0, now)
		r.SoC, r.Temperature = step.soc, step.temp
		g.Observe(r)
		if lo, hi, why := g.Window(0); (lo < 0) != step.give || (hi > 0) != step.take {
			t.Errorf("step %d at %v %%, %v °C: window %v..%v (%s), want give %v, take %v", i, step.soc, step.temp, lo, hi, why, step.give, step.take)
		}
	}
}

// What was measured earlier must not undo what is known.
func TestLateReadingIsNotNews(t *testing.T) {
	g := plant(t, 1)
	full := reading(0, at(10*time.Second))
	full.SoC = 95
	g.Observe(full)
	late := reading(0, at(5*time.Second)) // was at 50 % then
	late.Arrived = at(11 * time.Second).UnixMilli()
	g.Observe(late)
	if _, hi, _ := g.Window(0); hi != 0 {
		t.Errorf("a late reading allows %v kW into a full battery", hi)
	}
}

// A clock that runs ahead must not make the guard deaf.
func TestReadingFromTheFutureIsAsNewAsItsArrival(t *testing.T) {
	g := plant(t, 1)
	ahead := reading(0, at(4*time.Minute))
	ahead.Arrived = at(time.Second).UnixMilli()
	g.Observe(ahead)
	full := reading(0, at(2*time.Second))
	full.SoC = 95
	g.Observe(full)
	if _, hi, _ := g.Window(0); hi != 0 {
		t.Errorf("after a reading from the future the next one is not heard: %v kW allowed into a full battery", hi)
	}
}

// When the plant's own clock is set back, what arrives next is news.
func TestClockSetBack(t *testing.T) {
	g := plant(t, 1)
	full := reading(0, at(-time.Hour))
	full.SoC = 95
	g.Observe(full)
	if _, hi, _ := g.Window(0); hi != 0 {
		t.Errorf("after the clock was set back %v kW are allowed into a full battery", hi)
	}
}

func TestEnvelopeIsEnforcedAtOnce(t *testing.T) {
	tests := []struct {
		name   string
		kw     float64 // in force
		change func(g *guard.Guard)
		want   float64
		why    string
	}{
		{"device limit falls", 80, func(g *guard.Guard) { r := reading(0, at(time.Second)); r.MaxCharge = 30; g.Observe(r) }, 30, "device limit"},
		{"device can give less", -80, func(g *guard.Guard) { r := reading(0, at(time.Second)); r.MaxDischarge = 30; g.Observe(r) }, -30, "device limit"},
		{"full", 80, func(g *guard.Guard) { r := reading(0, at(time.Second)); r.SoC = 91; g.Observe(r) }, 0, "state of charge high"},
		{"hot", -80, func(g *guard.Guard) { r := reading(0, at(time.Second)); r.Temperature = 65; g.Observe(r) }, 0, "temperature high"},
		{"cap", 80, func(g *guard.Guard) { e := nameplate(); e.CapKW = 50; set(t, g, 0, e, device.Active) }, 50, "cap"},
		{"smaller rating", -80, func(g *guard.Guard) { e := nameplate(); e.RatedKW = 50; set(t, g, 0, e, device.Active) }, -50, "rating"},
		{"narrower window", 80, func(g *guard.Guard) { e := nameplate(); e.SoCMax = 40; set(t, g, 0, e, device.Active) }, 0, "state of charge high"},
		{"taken out of service", 80, func(g *guard.Guard) { set(t, g, 0, nameplate(), device.Inactive) }, 0, "not active"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := plant(t, 1)
			check(g, start, setPower(0, start, tt.kw, device.Normal))
			tt.change(g)
			out := g.Tick(at(2*time.Second), nil)
			if len(out) != 1 || out[0].Power != tt.want || out[0].Reason != tt.why || out[0].Until != at(time.Minute).UnixMilli() {
				t.Fatalf("corrections: %+v, want one to %v kW (%s) until the setpoint expires", out, tt.want, tt.why)
			}
			if out := g.Tick(at(3*time.Second), nil); len(out) != 0 {
				t.Errorf("corrected twice: %+v", out)
			}
		})
	}
}

func TestSettle(t *testing.T) {
	tests := []struct {
		name   string
		status device.AckStatus
		held   bool    // the device is held by the command
		power  float64 // in force afterwards
	}{
		{"done", device.Done, true, 60},
		{"rejected", device.Rejected, false, 20},
		{"expired", device.Expired, false, 20},
		{"failed", device.Failure, false, 60}, // may have been taken
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := plant(t, 1)
			check(g, start, setPower(0, start, 20, device.Dispatch))
			c := setPower(0, start, 60, device.High)
			check(g, start, c)
			a := c.Answer(tt.status, at(time.Second).UnixMilli(), "", "")
			g.Settle(device.Time(a.At), &a)
			v := check(g, at(time.Second), setPower(0, at(time.Second), 5, device.Dispatch))
			if (v.Code == guard.CodeHeld) != tt.held || v.Before != tt.power {
				t.Errorf("a command of dispatch afterwards: %+v; want held %v, %v kW in force", v, tt.held, tt.power)
			}
		})
	}
	t.Run("a refused mode does not hold", func(t *testing.T) {
		g := plant(t, 1)
		c := device.Command{Verb: device.SetMode, Mode: device.StandbyMode, Priority: device.Normal, At: start.UnixMilli(), ID: "m", Duration: 60_000}
		check(g, start, c)
		a := c.Answer(device.Rejected, start.UnixMilli(), "", "")
		g.Settle(device.Time(a.At), &a)
		if v := check(g, start, setPower(0, start, 5, device.Low)); v.Code != "" || v.Power != 5 {
			t.Errorf("a command afterwards: %+v, want it allowed", v)
		}
	})
	t.Run("an answer to an older command changes nothing", func(t *testing.T) {
		g := plant(t, 1)
		old, young := setPower(0, start, 60, device.High), setPower(0, start, 30, device.High)
		check(g, start, old)
		check(g, start, young)
		a := old.Answer(device.Rejected, start.UnixMilli(), "", "")
		g.Settle(device.Time(a.At), &a)
		if v := check(g, start, setPower(0, start, 5, device.High)); v.Before != 30 {
			t.Errorf("in force: %v kW, want 30", v.Before)
		}
	})
}

// Commands for one device in one batch are judged one after the other.
func TestOneDeviceTwiceInABatch(t *testing.T) {
	tests := []struct {
		name   string
		second device.Command
		code   string
		power  float64
	}{
		{"weaker priority", setPower(0, start, 5, device.Normal), guard.CodeHeld, 0},
		{"equal priority", setPower(0, start, 5, device.High), "", 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := plant(t, 2)
			v := make([]guard.Verdict, 3)
			g.Check(start, []device.Command{setPower(0, start, 60, device.High), setPower(1, start, 7, device.Low), tt.second}, v)
			if v[0].Power != 60 || v[1].Power != 7 || v[2].Code != tt.code || v[2].Power != tt.power || v[2].Before != 60 {
				t.Errorf("verdicts %+v", v)
			}
		})
	}
	t.Run("power after maintenance", func(t *testing.T) {
		g := plant(t, 1)
		v := make([]guard.Verdict, 2)
		m := device.Command{Verb: device.SetMode, Mode: device.MaintenanceMode, Priority: device.Normal, At: start.UnixMilli(), Duration: 60_000}
		g.Check(start, []device.Command{m, setPower(0, start, 60, device.Normal)}, v)
		if v[0].Code != "" || v[1].Code != guard.CodeMode {
			t.Errorf("verdicts %+v, want the power refused", v)
		}
	})
}

func TestModesHoldAndRunGivesBack(t *testing.T) {
	g := plant(t, 1)
	mode := func(m device.Mode, p device.Priority) guard.Verdict {
		return check(g, start, device.Command{Verb: device.SetMode, Mode: m, Priority: p, At: start.UnixMilli(), Duration: 60_000})
	}
	if v := mode(device.StandbyMode, device.High); v.Code != "" || v.Until != at(time.Minute).UnixMilli() || v.Power != 0 {
		t.Fatalf("standby: %+v", v)
	}
	if v := mode(device.Run, device.Dispatch); v.Code != guard.CodeHeld {
		t.Errorf("run by a weaker one: %+v", v)
	}
	if v := mode(device.Run, device.High); v.Code != "" || v.Until != 0 {
		t.Errorf("run: %+v, want it allowed and holding nothing", v)
	}
	if v := check(g, start, setPower(0, start, 5, device.Low)); v.Code != "" {
		t.Errorf("after run: %+v, want the device free", v)
	}
	check(g, start, setPower(0, start, 50, device.High))
	if v := check(g, start, device.Command{Verb: device.Release, Priority: device.High, At: start.UnixMilli()}); v.Code != "" || v.Until != 0 || v.Before != 50 {
		t.Errorf("release: %+v", v)
	}
	if v := check(g, start, setPower(0, start, 5, device.Low)); v.Code != "" || v.Before != 0 {
		t.Errorf("after release: %+v, want the device free and at 0", v)
	}
}

func TestRestore(t *testing.T) {
	before, after := plant(t, 3), plant(t, 3)
	var log []device.Ack
	do := func(now time.Time, c device.Command) {
		v := check(before, now, c)
		if v.Code != "" {
			t.Fatalf("prepare: %+v", v)
		}
		c.Power, c.Until = v.Power, v.Until
		log = append(log, c.Answer(device.Done, now.UnixMilli(), "", ""))
	}
	do(start, setPower(0, start, 40, device.High))
	do(start, setPower(1, start, 80, device.Dispatch))
	do(start, device.Command{Slot: 2, Verb: device.SetMode, Mode: device.MaintenanceMode, Priority: device.Normal, At: start.UnixMilli(), Duration: 1000})
	refused := setPower(0, start, 99, device.Safety)
	log = append(log, refused.Answer(device.Rejected, start.UnixMilli(), "", ""))
	r := reading(1, at(time.Second))
	r.MaxCharge = 50
	before.Observe(r)
	for _, c := range before.Tick(at(time.Second), nil) {
		a := c.Answer(device.Done, at(time.Second).UnixMilli(), "", "")
		before.Settle(device.Time(a.At), &a)
		log = append(log, a)
	}
	after.Observe(r)
	for i := range log {
		after.Restore(&log[i])
	}
	now := at(2 * time.Second)
	for s := range device.Slot(3) {
		for _, p := range []device.Priority{device.Low, device.Dispatch, device.High} {
			c := setPower(s, now, 10, p)
			if x, y := check(before, now, c), check(after, now, c); x != y {
				t.Errorf("slot %d, priority %v: %+v before the restart, %+v after", s, p, x, y)
			}
		}
	}
	if x, y := len(before.Tick(at(time.Hour), nil)), len(after.Tick(at(time.Hour), nil)); x != y {
		t.Errorf("%d corrections at expiry before, %d after", x, y)
	}
}

// A restart may find the acknowledgements before the registry.
func TestRestoreBeforeSetIsKept(t *testing.T) {
	g := plant(t, 2)
	a := device.Ack{Slot: 5, Status: device.Done, Verb: device.SetPower, Power: 10, At: start.UnixMilli()}
	g.Restore(&a) // nobody knows of it: nothing to restore
	set(t, g, 7, nameplate(), device.Active)
	a.Until, a.Priority = at(time.Minute).UnixMilli(), device.High
	g.Restore(&a)
	set(t, g, 5, nameplate(), device.Active)
	if v := check(g, start, setPower(5, start, 1, device.Low)); v.Code != guard.CodeHeld {
		t.Errorf("after the registry came: %+v, want held", v)
	}
}

func TestHugeSlotCostsNothing(t *testing.T) {
	g := plant(t, 1)
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	for _, s := range []device.Slot{device.Plant, device.Plant - 1, 1 << 31, 1 << 24} {
		if err := g.Set(s, nameplate(), device.Active); err == nil {
			t.Errorf("slot %d is taken", s)
		}
		g.Observe(reading(s, start))
		g.Restore(&device.Ack{Slot: s, Status: device.Done})
		g.Settle(start, &device.Ack{Slot: s})
		if v := check(g, start, setPower(s, start, 1, device.Safety)); v.Code != guard.CodeUnknown {
			t.Errorf("slot %d: %+v, want unknown", s, v)
		}
	}
	runtime.ReadMemStats(&m1)
	if used := m1.TotalAlloc - m0.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
	if err := g.Set(1000, nameplate(), device.Active); err != nil {
		t.Errorf("a gap of failed registrations: %v", err)
	}
	if v := check(g, start, setPower(500, start, 1, device.Safety)); v.Code != guard.CodeUnknown {
		t.Errorf("a slot in the gap: %+v, want unknown", v)
	}
}

func BenchmarkCheck(b *testing.B) {
	const n = 4096
	g := plant(b, n)
	g.RampKWPerS = 1e6
	cmds, verdicts := make([]device.Command, n), make([]guard.Verdict, n)
	for i := range cmds {
		cmds[i] = setPower(device.Slot(i), start, 10, device.Dispatch)
	}
	now := start
	for b.Loop() {
		now = now.Add(time.Second)
		for i := range cmds {
			cmds[i].At = now.UnixMilli()
		}
		g.Check(now, cmds, verdicts)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/command")
}

// TestNameplateBounds: a device gets no more than its nameplate says, however much it is
// configured for, and what it says later counts.
func TestNameplateBounds(t *testing.T) {
	g := &guard.Guard{}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := g.Set(0, guard.EnvelopeOf(&device.Info{Kind: "sim", RatedKW: 110}), device.Active); err != nil {
		t.Fatal(err)
	}
	r := device.Empty()
	r.At, r.Arrived, r.SoC, r.Temperature, r.Voltage, r.Power = now.UnixMilli(), now.UnixMilli(), 50, 25, 800, 0
	g.Observe(&r)
	for i, plate := range []float64{0, 100, 105, 0} {
		g.Plate(0, plate)
		want := 110.0
		if plate > 0 {
			want = plate
		}
		now = now.Add(time.Second)
		v := make([]guard.Verdict, 1)
		g.Check(now, []device.Command{{Verb: device.SetPower, Power: 110, At: now.UnixMilli(), Duration: 1000, Priority: device.Normal, Source: "user:ann"}}, v)
		if v[0].Power != want || v[0].Reduced != (plate > 0) {
			t.Errorf("step %d, nameplate %g kW: %+v", i, plate, v[0])
		}
	}
}

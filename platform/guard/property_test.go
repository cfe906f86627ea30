package guard_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// model is what the guard promises, written down once more and more simply: for
// each device what was last believed of it, and what it has been told.
type model struct {
	env                     guard.Envelope
	life                    device.State
	at, arrived             int64
	soc, temp, charge, give float64
	empty, full, hot, cold  bool
	stopped                 bool  // emergency stop
	reset                   int64 // when it was lifted

	mode     device.Mode
	power    float64
	doubt    float64 // may run at this instead, on the other side of 0
	until    int64
	hold     int64
	priority device.Priority
}

func (m *model) live(now int64) float64 {
	if m.until > now {
		return m.power
	}
	return 0
}

// observe believes a reading.
func (m *model) observe(r *device.Reading) {
	at := min(r.At, r.Arrived)
	if at < m.at && r.Arrived >= m.arrived {
		return
	}
	if r.Quality == device.Good {
		m.at, m.arrived, m.soc, m.charge, m.give, m.temp = at, r.Arrived, r.SoC, r.MaxCharge, r.MaxDischarge, r.Temperature
	} else if math.IsNaN(m.temp) || r.Temperature > m.temp {
		m.temp = r.Temperature
	}
	m.stopped = m.stopped || r.Flags&device.FlagEStop != 0 && at >= m.reset
	m.latch()
}

func (m *model) latch() {
	e := m.env
	set := func(b *bool, on, off bool) { *b = on || *b && !off }
	set(&m.empty, m.soc <= e.SoCMin, m.soc >= e.SoCMin+e.SoCHysteresis)
	set(&m.full, m.soc >= e.SoCMax, m.soc <= e.SoCMax-e.SoCHysteresis)
	set(&m.hot, m.temp >= e.TempMax, m.temp <= e.TempMax-e.TempHysteresis)
	set(&m.cold, m.temp <= e.TempMin, m.temp >= e.TempMin+e.TempHysteresis)
}

// outside says how kw leaves the envelope, "" when it does not.
func (m *model) outside(kw float64) string {
	switch {
	case kw == 0:
		return ""
	case !device.Finite(kw):
		return "not a number"
	case m.life != device.Active:
		return "not active"
	case m.stopped:
		return "emergency stop"
	case m.mode != device.Run:
		return "mode " + m.mode.String()
	case !(math.Abs(kw) <= m.env.RatedKW):
		return fmt.Sprintf("rating %v", m.env.RatedKW)
	case m.env.CapKW != 0 && !(math.Abs(kw) <= m.env.CapKW):
		return fmt.Sprintf("cap %v", m.env.CapKW)
	case kw > 0 && kw > max(0, m.charge):
		return fmt.Sprintf("device takes %v", m.charge)
	case kw < 0 && -kw > max(0, m.give):
		return fmt.Sprintf("device gives %v", m.give)
	case m.hot:
		return "hot"
	case kw > 0 && m.cold:
		return "cold"
	case kw > 0 && m.full:
		return "full"
	case kw < 0 && m.empty:
		return "empty"
	}
	return ""
}

// clamp is the power nearest to kw inside the envelope.
func (m *model) clamp(kw float64) float64 {
	if m.outside(kw) == "" {
		return kw
	}
	side := []float64{m.env.RatedKW, m.charge}
	if kw < 0 {
		side[1] = m.give
	}
	if m.env.CapKW > 0 {
		side = append(side, m.env.CapKW)
	}
	best := math.Abs(kw)
	for _, v := range side {
		if !math.IsNaN(v) {
			best = min(best, max(0, v))
		}
	}
	if best = math.Copysign(best, kw); m.outside(best) != "" {
		return 0
	}
	return best
}

const devices = 4

// wild are numbers that no device should send and that one will.
var wild = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1e300, -1e300, 5e-324}

func value(lo, hi float64) *rapid.Generator[float64] {
	return rapid.Custom(func(t *rapid.T) float64 {
		if rapid.IntRange(0, 7).Draw(t, "wild") == 0 {
			return rapid.SampledFrom(wild).Draw(t, "value")
		}
		return rapid.Float64Range(lo, hi).Draw(t, "value")
	})
}

// world is a guard, its model and what was observed of the sum of setpoints.
type world struct {
	g     *guard.Guard
	now   int64
	m     [devices]model
	ramp  float64
	sums  []point // after each event
	free  float64 // kW, moves so far that the ramp does not bound
	steps bool    // nothing moves but what the ramp bounds
}

type point struct {
	at        int64
	sum, free float64
}

func newWorld(t *rapid.T, ramp float64) *world {
	w := &world{g: &guard.Guard{RampKWPerS: ramp}, now: start.UnixMilli(), ramp: ramp}
	for s := range w.m {
		w.m[s] = model{soc: math.NaN(), temp: math.NaN(), charge: math.NaN(), give: math.NaN()}
		w.set(t, device.Slot(s), nameplate(), device.Active)
	}
	w.note()
	return w
}

func (w *world) set(t *rapid.T, s device.Slot, e guard.Envelope, life device.State) {
	if err := w.g.Set(s, e, life); err != nil {
		t.Fatal(err)
	}
	w.m[s].env, w.m[s].life = e, life
	w.m[s].latch()
}

func (w *world) sum() (kw float64) {
	for i := range w.m {
		kw += w.m[i].live(w.now)
	}
	return kw
}

// pass lets time go on; what expires is free.
func (w *world) pass(ms int64) {
	for i := range w.m {
		m := &w.m[i]
		if m.until > w.now && m.until <= w.now+ms {
			w.free += math.Abs(m.power)
		}
	}
	w.now += ms
}

func (w *world) note() { w.sums = append(w.sums, point{w.now, w.sum(), w.free}) }

// kept compares the sum with all that it was in the second before.
func (w *world) kept(t rapid.TB) {
	if w.ramp == 0 {
		return
	}
	last := w.sums[len(w.sums)-1]
	for i := len(w.sums) - 2; i >= 0; i-- {
		p := w.sums[i]
		if i+1 < len(w.sums) && w.sums[i+1].at <= last.at-1000 { // no longer in force then
			break
		}
		if change := math.Abs(last.sum - p.sum); change > w.ramp+last.free-p.free+1e-6 {
			t.Fatalf("the sum went from %v kW to %v kW between %d ms and %d ms; the ramp allows %v kW, %v kW were free",
				p.sum, last.sum, p.at, last.at, w.ramp, last.free-p.free)
		}
	}
}

func (w *world) time() time.Time { return time.UnixMilli(w.now).UTC() }

// command draws something that somebody may send.
func command(now int64) *rapid.Generator[device.Command] {
	return rapid.Custom(func(t *rapid.T) device.Command {
		seq++
		c := device.Command{
			Slot:     device.Slot(rapid.IntRange(0, devices).Draw(t, "slot")), // one too many
			Seq:      seq,
			Verb:     device.SetPower,
			Priority: device.Priority(rapid.IntRange(0, 4).Draw(t, "priority")),
			Power:    value(-110, 110).Draw(t, "power"),
			At:       now + rapid.Int64Range(-1000, 1000).Draw(t, "age"),
			Duration: rapid.SampledFrom([]int64{0, 1, 500, 3000, 60_000, math.MaxInt64, math.MinInt64}).Draw(t, "duration"),
			Source:   "test",
		}
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			c.Verb = device.Verb(rapid.IntRange(0, 9).Draw(t, "verb"))
			c.Mode = device.Mode(rapid.IntRange(0, 3).Draw(t, "mode"))
		case 1:
			c.Priority = device.Priority(rapid.Uint8().Draw(t, "priority"))
		case 2:
			c.At = rapid.Int64().Draw(t, "at")
		}
		return c
	})
}

func (w *world) check(t *rapid.T, cmds []device.Command) {
	verdicts := make([]guard.Verdict, len(cmds))
	w.g.Check(w.time(), cmds, verdicts)
	acks := make([]device.Ack, 0, len(cmds))
	for i := range cmds {
		c, v := &cmds[i], &verdicts[i]
		if v.Code != "" {
			continue
		}
		if int(c.Slot) >= devices {
			t.Fatalf("a command for nobody is allowed: %+v", c)
		}
		m := &w.m[c.Slot]
		safe := c.Verb == device.EStop || c.Verb == device.Disarm || c.Verb == device.Reset // whoever asks, whenever
		if m.hold > w.now && c.Priority < m.priority && !safe {
			t.Fatalf("priority %v passes a hold of %v: %+v", c.Priority, m.priority, c)
		}
		if c.Priority > device.Safety || c.Verb < device.SetPower || c.Verb > device.Disarm || c.Verb == device.Arm {
			t.Fatalf("nonsense is allowed: %+v", c)
		}
		if m.stopped && !safe {
			t.Fatalf("%v of a device whose emergency stop is latched is allowed", c.Verb)
		}
		if age := w.now - c.At; (age > 60_000 || age < -5_000) && !safe {
			t.Fatalf("a command %d ms old is allowed", age)
		}
		if c.Verb != device.SetPower && v.Power != 0 {
			t.Fatalf("%v ends at %v kW", c.Verb, v.Power)
		}
		if why := m.outside(v.Power); why != "" {
			t.Fatalf("%+v is allowed with %v kW: %s", c, v.Power, why)
		}
		if v.Reduced != (c.Verb == device.SetPower && v.Power != c.Power) || v.Reduced && v.Reason == "" {
			t.Fatalf("asked %v kW, allowed %v kW, reduced %v (%q)", c.Power, v.Power, v.Reduced, v.Reason)
		}
		if !w.steps && v.Power*c.Power < 0 && v.Power*m.live(w.now) < 0 {
			t.Fatalf("asked %v kW at %v kW, allowed %v kW", c.Power, m.live(w.now), v.Power)
		}
		before := *m
		from := before.live(w.now)
		switch inside := m.clamp(from); {
		case c.Verb != device.SetPower:
			w.free += math.Abs(v.Power - from)
		case c.Priority == device.Safety: // towards 0
			w.free += math.Abs(from - min(max(inside, min(0, v.Power)), max(0, v.Power)))
		default:
			w.free += math.Abs(from - inside)
		}
		m.power, m.doubt, m.until, m.hold, m.priority = v.Power, 0, v.Until, v.Until, c.Priority
		most := guard.MaxDuration
		if c.Verb == device.SetPower {
			most = guard.DefaultLease
		}
		if m.until > w.now+most.Milliseconds() {
			t.Fatalf("%+v holds until %d", c, m.until)
		}
		if c.Verb == device.SetMode {
			m.mode = c.Mode
		}
		if c.Verb == device.EStop {
			m.stopped, before.stopped = true, true // whatever becomes of it
		}
		a := c.Answer(device.Done, w.now, "", "")
		last := !slices.ContainsFunc(cmds[i+1:], func(o device.Command) bool { return o.Slot == c.Slot })
		if last && !w.steps && rapid.IntRange(0, 4).Draw(t, "refused") == 0 { // only the last can still be taken back
			a.Status = rapid.SampledFrom([]device.AckStatus{device.Rejected, device.Expired, device.Failure}).Draw(t, "status")
			after := *m
			*m = before
			if a.Status == device.Failure && (before.power == 0 || before.until > w.now) {
				all := []float64{0, before.power, before.doubt, after.power}
				if lo, hi := slices.Min(all), slices.Max(all); lo != slices.Min(all[:3]) || hi != slices.Max(all[:3]) {
					m.power, m.doubt, m.until = hi, lo, max(after.until, before.until)
					if -lo > hi {
						m.power, m.doubt = lo, hi
					}
				}
			}
			w.free += math.Abs(after.live(w.now) - m.live(w.now))
		}
		acks = append(acks, a)
	}
	for i := range acks {
		if a := &acks[i]; a.Verb == device.Reset && a.Status == device.Done && w.m[a.Slot].stopped &&
			!slices.ContainsFunc(acks[i+1:], func(o device.Ack) bool { return o.Slot == a.Slot }) { // what comes after it is what counts
			w.m[a.Slot].stopped, w.m[a.Slot].reset = false, w.now
		}
		w.g.Settle(&acks[i])
	}
}

func (w *world) tick(t *rapid.T) {
	expired := map[device.Slot]bool{}
	for s := range w.m {
		if m := &w.m[s]; m.power != 0 && m.until <= w.now {
			expired[device.Slot(s)] = true
		}
	}
	for _, c := range w.g.Tick(w.time(), nil) {
		m := &w.m[c.Slot]
		if c.Verb != device.SetPower || c.Priority != m.priority && c.Power != 0 {
			t.Fatalf("correction %+v", c)
		}
		if why := m.outside(c.Power); why != "" {
			t.Fatalf("correction %+v: %s", c, why)
		}
		if live := m.live(w.now); math.Abs(c.Power) > math.Abs(live) || c.Power*live < 0 {
			t.Fatalf("correction %+v of %v kW moves away from 0", c, live)
		}
		if expired[c.Slot] && c.Power != 0 {
			t.Fatalf("the setpoint has expired, the correction is %+v", c)
		}
		delete(expired, c.Slot)
		w.free += math.Abs(m.live(w.now) - c.Power)
		m.power, m.doubt = c.Power, 0
		if c.Power == 0 && c.Duration == 0 {
			m.until = 0
		}
		a := c.Answer(device.Done, w.now, "", "")
		w.g.Settle(&a)
	}
	if len(expired) > 0 {
		t.Fatalf("expired setpoints of %v were not brought to 0", expired)
	}
	for s := range w.m {
		m := &w.m[s]
		if why := m.outside(m.live(w.now)); why != "" {
			t.Fatalf("after the corrections device %d is left at %v kW: %s", s, m.live(w.now), why)
		}
		if why := m.outside(m.doubt); why != "" && m.until > w.now {
			t.Fatalf("after the corrections device %d may be left at %v kW: %s", s, m.doubt, why)
		}
	}
}

// No sequence of commands, readings, refusals, changes and waiting takes an output
// out of the envelope, past a hold, or the sum faster than its ramp.
func TestNoSequenceLeavesTheEnvelope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.SampledFrom([]float64{0, 0, 1, 40, 500}).Draw(t, "ramp"))
		t.Repeat(map[string]func(*rapid.T){
			"commands": func(t *rapid.T) {
				w.check(t, rapid.SliceOfN(command(w.now), 1, 6).Draw(t, "commands"))
			},
			"reading": func(t *rapid.T) {
				r := device.Reading{
					Slot: device.Slot(rapid.IntRange(0, devices+1).Draw(t, "slot")),
					At:   w.now + rapid.Int64Range(-5000, 300_000).Draw(t, "at"), Arrived: w.now,
					SoC: value(0, 100).Draw(t, "soc"), Temperature: value(-20, 80).Draw(t, "temperature"),
					MaxCharge: value(-10, 120).Draw(t, "max charge"), MaxDischarge: value(-10, 120).Draw(t, "max discharge"),
					Quality: device.Quality(rapid.IntRange(0, 2).Draw(t, "quality")),
					Voltage: math.NaN(),
				}
				if rapid.IntRange(0, 9).Draw(t, "flags") == 0 {
					r.Flags = device.Flags(rapid.Uint16().Draw(t, "which"))
				}
				w.g.Observe(&r)
				if int(r.Slot) < devices {
					w.m[r.Slot].observe(&r)
				}
			},
			"registry": func(t *rapid.T) {
				e := nameplate()
				e.RatedKW = rapid.SampledFrom([]float64{100, 100, 60, 0}).Draw(t, "rated")
				e.CapKW = rapid.SampledFrom([]float64{0, 0, 30}).Draw(t, "cap")
				e.SoCMax = rapid.SampledFrom([]float64{90, 100, 50}).Draw(t, "soc max")
				life := rapid.SampledFrom([]device.State{device.Active, device.Active, device.Inactive, device.Failed}).Draw(t, "life")
				w.set(t, device.Slot(rapid.IntRange(0, devices-1).Draw(t, "slot")), e, life)
			},
			"wait": func(t *rapid.T) {
				w.pass(rapid.SampledFrom([]int64{1, 10, 300, 999, 1000, 5000, 61_000}).Draw(t, "ms"))
			},
			"tick": func(t *rapid.T) { w.tick(t) },
			"": func(t *rapid.T) {
				w.note()
				w.kept(t)
			},
		})
	})
}

// With nothing else going on, the sum itself keeps to the ramp, whatever the
// signs, sizes and moments of the commands.
func TestRampOverAnySecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.Float64Range(0.5, 200).Draw(t, "ramp"))
		w.steps = true
		t.Repeat(map[string]func(*rapid.T){
			"commands": func(t *rapid.T) {
				var cmds []device.Command
				for range rapid.IntRange(1, 8).Draw(t, "n") {
					c := setPower(device.Slot(rapid.IntRange(0, devices-1).Draw(t, "slot")), w.time(),
						rapid.Float64Range(-100, 100).Draw(t, "power"), device.Priority(rapid.IntRange(0, 3).Draw(t, "priority")))
					c.Duration = guard.DefaultLease.Milliseconds()
					cmds = append(cmds, c)
				}
				w.check(t, cmds)
				if w.free != 0 {
					t.Fatalf("%v kW moved that nothing bounds", w.free)
				}
			},
			"wait": func(t *rapid.T) { w.pass(rapid.Int64Range(0, 1500).Draw(t, "ms")) },
			"": func(t *rapid.T) {
				w.note()
				w.kept(t)
			},
		})
	})
}

// What the ramp takes off one cycle comes in the next ones: the target is reached.
func TestRampReachesTheTarget(t *testing.T) {
	g := plant(t, devices)
	g.RampKWPerS = 50
	verdicts := make([]guard.Verdict, devices)
	want := []float64{100, 80, -60, 90}
	var sum, total float64
	for _, kw := range want {
		total += kw
	}
	for i := range 10 {
		now := at(time.Duration(i) * time.Second)
		var cmds []device.Command
		for s, kw := range want {
			cmds = append(cmds, setPower(device.Slot(s), now, kw, device.Dispatch))
		}
		g.Check(now, cmds, verdicts)
		before := sum
		sum = 0
		for _, v := range verdicts {
			sum += v.Power
		}
		if step := sum - before; step < -1e-9 || step > 50+1e-9 {
			t.Errorf("second %d: the sum goes from %v to %v kW, ramp 50 kW/s", i, before, sum)
		}
		if full := min(total, 50*float64(i+1)); math.Abs(sum-full) > 1e-9 {
			t.Errorf("second %d: sum %v kW, want %v kW: the ramp is there to be used", i, sum, full)
		}
	}
}

// A batch that moves power from one device to another leaves the sum, and so the
// ramp, alone; and cutting one side must not turn the sum round.
func TestRampWithMixedSigns(t *testing.T) {
	tests := []struct {
		name       string
		from, to   []float64
		ramp, want float64 // change of the sum
	}{
		{"exchange", []float64{100, 0}, []float64{0, 100}, 10, 0},
		{"mostly exchange", []float64{90, 0}, []float64{0, 100}, 5, 5},
		{"mostly exchange, down", []float64{100, 0}, []float64{0, 90}, 5, -5},
		{"one way", []float64{0, 0}, []float64{50, 50}, 30, 30},
		{"small against large", []float64{40, 0}, []float64{0, 100}, 30, 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := plant(t, len(tt.from))
			verdicts := make([]guard.Verdict, len(tt.from))
			batch := func(kws []float64) []device.Command {
				var cmds []device.Command
				for s, kw := range kws {
					cmds = append(cmds, setPower(device.Slot(s), start, kw, device.Dispatch))
				}
				return cmds
			}
			g.Check(start, batch(tt.from), verdicts)
			g.RampKWPerS = tt.ramp
			g.Check(start, batch(tt.to), verdicts)
			change := 0.0
			for s, v := range verdicts {
				change += v.Power - tt.from[s]
			}
			if math.Abs(change-tt.want) > 1e-9 {
				t.Errorf("the sum changes by %v kW, want %v kW (%+v)", change, tt.want, verdicts)
			}
		})
	}
}

// Going to a safe state does not wait for the ramp.
func TestRampDoesNotDelaySafety(t *testing.T) {
	for _, verb := range []device.Verb{device.Stop, device.Release, device.SetMode, device.SetPower} {
		g := plant(t, 1)
		check(g, start, setPower(0, start, 100, device.Normal))
		g.RampKWPerS = 1
		c := setPower(0, start, 0, device.Normal)
		c.Verb = verb
		switch verb {
		case device.SetMode:
			c.Mode = device.StandbyMode
		case device.SetPower:
			c.Priority = device.Safety
		}
		if v := check(g, start, c); v.Power != 0 || v.Reduced || v.Code != "" {
			t.Errorf("%v: %+v, want 0 kW at once", verb, v)
		}
	}
}

// No priority takes power past a ramp, or past the rate, but towards 0.
func TestSafetyDoesNotPassTheRamp(t *testing.T) {
	for _, tt := range []struct{ from, to, want float64 }{
		{0, 100, 10}, {0, -100, -10}, {50, 100, 60}, {50, -100, -10}, {50, 20, 20}, {-50, 0, 0}, {-50, 100, 10},
	} {
		for _, whose := range []string{"the fleet's", "its own"} {
			g, e := &guard.Guard{}, nameplate()
			if whose == "its own" {
				e.RampKWPerS = 10
			}
			if err := g.Set(0, nameplate(), device.Active); err != nil {
				t.Fatal(err)
			}
			check(g, start, setPower(0, start, tt.from, device.Normal))
			if err := g.Set(0, e, device.Active); err != nil {
				t.Fatal(err)
			}
			if whose != "its own" {
				g.RampKWPerS = 10
			}
			if v := check(g, start, setPower(0, start, tt.to, device.Safety)); math.Abs(v.Power-tt.want) > 1e-9 {
				t.Errorf("%s ramp of 10 kW/s, from %v to %v kW: %+v, want %v kW", whose, tt.from, tt.to, v, tt.want)
			}
		}
	}
	g, e := &guard.Guard{}, nameplate()
	e.PerSecond = 2
	if err := g.Set(0, e, device.Active); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "", guard.CodeRate} {
		if v := check(g, start, setPower(0, start, float64(10+i), device.Safety)); v.Code != want {
			t.Errorf("setpoint %d: %+v, want %q", i, v, want)
		}
	}
	if v := check(g, start, setPower(0, start, 5, device.Safety)); v.Code != "" {
		t.Errorf("towards 0: %+v", v)
	}
}

// A clock that is set back must neither freeze the ramp nor lift it.
func TestRampWhenTheClockIsSetBack(t *testing.T) {
	g := plant(t, 1)
	g.RampKWPerS = 10
	sum := 0.0
	for i, d := range []time.Duration{0, -time.Hour, -time.Hour + 500*time.Millisecond, -time.Hour + time.Second, -time.Hour + 2*time.Second} {
		want := []float64{10, 10, 10, 20, 30}[i]
		if v := check(g, at(d), setPower(0, at(d), 100, device.Dispatch)); math.Abs(v.Power-want) > 1e-9 {
			t.Errorf("at %v: %v kW after %v kW, want %v kW", d, v.Power, sum, want)
		} else {
			sum = v.Power
		}
	}
}

// rigs are devices on wires that do as they are told. Of the sum of setpoints they keep
// what the ramp has to bound: all that was asked, but for the ways towards 0.
type rigs struct {
	world
	kw      []float64
	until   []int64
	refuses func() bool // what the guard asks for; nil: never
	sum     float64
}

func newRigs(t rapid.TB, ramp float64, rated ...float64) *rigs {
	r := &rigs{kw: make([]float64, len(rated)), until: make([]int64, len(rated))}
	r.world = world{g: &guard.Guard{RampKWPerS: ramp}, now: start.UnixMilli(), ramp: ramp}
	for s, kw := range rated {
		info := device.Info{ID: "rig", Kind: "sunspec", RatedKW: kw, PollMS: 100}
		if err := r.g.Set(device.Slot(s), guard.EnvelopeOf(&info), device.Inactive); err != nil {
			t.Fatal(err)
		}
	}
	r.look(t)
	return r
}

func (r *rigs) live(s device.Slot) float64 {
	if r.until[s] > r.now {
		return r.kw[s]
	}
	return 0
}

// tell gives a device a setpoint, of which the way towards 0 may be free. It has no effect
// when it is refused, and counts as asked all the same.
func (r *rigs) tell(s device.Slot, kw float64, until int64, free, refused bool) {
	from := r.live(s)
	if free {
		from = min(max(from, min(0, kw)), max(0, kw))
	}
	r.sum += kw - from
	r.sums = append(r.sums, point{at: r.now, sum: r.sum})
	if !refused {
		r.kw[s], r.until[s] = kw, until
	}
}

// look lets 100 ms pass, reads all devices and hands them what the guard asks for.
func (r *rigs) look(t rapid.TB) {
	r.now += 100
	for s := range r.kw {
		x := (&wire{now: r.time(), kw: r.live(device.Slot(s))}).reading()
		x.Slot = device.Slot(s)
		r.g.Observe(&x)
	}
	for _, c := range r.g.Tick(r.time(), nil) {
		a := c.Answer(device.Done, r.now, "", "")
		if r.refuses != nil && r.refuses() {
			a.Status = device.Rejected
		}
		r.tell(c.Slot, c.Power, c.Until, true, a.Status != device.Done)
		r.kept(t)
		r.g.Settle(&a)
	}
	r.sums = append(r.sums, point{at: r.now, sum: r.sum})
	r.kept(t)
}

func (r *rigs) ask(t rapid.TB, verb device.Verb, s device.Slot, kw float64, p device.Priority) (code string) {
	seq++
	c := device.Command{Slot: s, Seq: seq, Verb: verb, Priority: p, Power: kw, At: r.now, Duration: 5000, Source: "test"}
	v := check(r.g, r.time(), c)
	if v.Code != "" || verb == device.Arm {
		return v.Code
	}
	r.tell(s, v.Power, v.Until, verb != device.SetPower || p == device.Safety, false)
	r.kept(t)
	a := c.Answer(device.Done, r.now, "", "")
	r.g.Settle(&a)
	return ""
}

// armed is how many devices may act.
func (r *rigs) armed() (n int) {
	for s := range r.kw {
		if r.g.Armed(device.Slot(s)) {
			n++
		}
	}
	return n
}

// Devices that are armed at one moment take their turns within the fleet's ramp, also where
// it is smaller than a single step, and none fails for having waited. Without a ramp they
// are tested at once.
func TestArmingKeepsTheRamp(t *testing.T) {
	for _, tt := range []struct {
		devices int
		ramp    float64
		within  time.Duration
	}{
		{100, 0, 6 * time.Second}, {100, 50, 30 * time.Second}, {20, 7, time.Minute}, {10, 1, 3 * time.Minute}, {2, 0.3, 2 * time.Minute},
	} {
		r := newRigs(t, tt.ramp, slices.Repeat([]float64{100}, tt.devices)...)
		for s := range r.kw {
			if code := r.ask(t, device.Arm, device.Slot(s), 0, device.Normal); code != "" {
				t.Fatal(code)
			}
		}
		for end := r.now + tt.within.Milliseconds(); r.now < end; {
			r.look(t)
		}
		for _, n := range r.g.Notices() {
			if n.Kind != "armed" {
				t.Errorf("ramp %v kW/s: device %d: %s: %s", tt.ramp, n.Slot, n.Kind, n.Text)
			}
		}
		if n := r.armed(); n != tt.devices {
			t.Errorf("ramp %v kW/s: %d of %d devices are armed after %v", tt.ramp, n, tt.devices, tt.within)
		}
	}
}

// What a test asks for on its way towards 0 does not wait for the ramp.
func TestArmingDoesNotDelayRest(t *testing.T) {
	r := newRigs(t, 10, 100, 100)
	r.ask(t, device.Arm, 0, 0, device.Normal)
	for r.look(t); r.kw[0] <= 0; r.look(t) {
	}
	r.g.RampKWPerS, r.ramp = 1e-6, math.Inf(1) // nothing has room any more
	for range 30 {
		r.look(t)
	}
	if kw := r.kw[0]; kw > 0 || kw < -1e-3 {
		t.Errorf("after its charge the device is left at %v kW", kw)
	}
}

// A device that takes nothing fails its test in time, however small the ramp.
func TestArmingFailsUnderTheRamp(t *testing.T) {
	r := newRigs(t, 1, 100)
	r.refuses = func() bool { return true }
	r.ask(t, device.Arm, 0, 0, device.Normal)
	for range 150 {
		r.look(t)
	}
	if n := r.g.Notices(); len(n) != 1 || n[0].Kind != "arm-failed" || n[0].Text != "sign test: it does not follow the setpoint" {
		t.Errorf("%+v", n)
	}
}

// No sequence of arming, disarming, setpoints, refusals and waiting takes the sum of the
// fleet faster than its ramp.
func TestNoSequenceOfArmingPassesTheRamp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRigs(t, rapid.SampledFrom([]float64{0.3, 1, 7, 40}).Draw(t, "ramp"), 100, 100, 30, 500)
		r.refuses = func() bool { return rapid.IntRange(0, 9).Draw(t, "refused") == 0 }
		slot := func(t *rapid.T) device.Slot {
			return device.Slot(rapid.IntRange(0, len(r.kw)-1).Draw(t, "slot"))
		}
		look := func(t *rapid.T) {
			for range rapid.IntRange(1, 60).Draw(t, "looks") {
				r.look(t)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"arm":    func(t *rapid.T) { r.ask(t, device.Arm, slot(t), 0, device.Normal) },
			"disarm": func(t *rapid.T) { r.ask(t, device.Disarm, slot(t), 0, device.Normal) },
			"setpoint": func(t *rapid.T) {
				p := device.Priority(rapid.IntRange(0, 4).Draw(t, "priority"))
				r.ask(t, device.SetPower, slot(t), rapid.Float64Range(-100, 100).Draw(t, "power"), p)
			},
			"look": look, "look on": look,
			"wait": func(t *rapid.T) { r.now += rapid.Int64Range(0, 2500).Draw(t, "ms") },
		})
	})
}

package guard_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// rigs are devices on wires that do as they are told.
type rigs struct {
	g       *guard.Guard
	now     int64
	ramp    float64
	fleet   track
	own     []track
	ownRamp float64 // of each device
	kw      []float64
	until   []int64
	refuses func() bool // what the guard asks for; nil: never
}

func newRigs(t rapid.TB, ramp, own float64, rated ...float64) *rigs {
	r := &rigs{
		g: &guard.Guard{RampKWPerS: ramp}, now: start.UnixMilli(), ramp: ramp, ownRamp: own,
		kw: make([]float64, len(rated)), until: make([]int64, len(rated)), own: make([]track, len(rated)),
	}
	for s, kw := range rated {
		info := device.Info{ID: "rig", Kind: "sunspec", RatedKW: kw, PollMS: 100, Limits: device.Limits{RampKWPerS: own}}
		if err := r.g.Set(device.Slot(s), guard.EnvelopeOf(&info), device.Inactive); err != nil {
			t.Fatal(err)
		}
	}
	r.look(t)
	return r
}

func (r *rigs) time() time.Time { return time.UnixMilli(r.now).UTC() }

func (r *rigs) live(s device.Slot) float64 {
	if r.until[s] > r.now {
		return r.kw[s]
	}
	return 0
}

// moved notes what is in force now.
func (r *rigs) moved() (sum float64) {
	for s := range r.kw {
		kw := r.live(device.Slot(s))
		r.own[s].note(r.now, kw, r.ownRamp)
		sum += kw
	}
	r.fleet.note(r.now, sum, r.ramp)
	return sum
}

// tell gives a device a setpoint, of which the way towards 0 may be free, and looks whether
// the rest keeps the ramps.
func (r *rigs) tell(t rapid.TB, s device.Slot, kw float64, until int64, free bool) {
	sum, was := r.moved(), r.live(s)
	freed := was
	if free {
		freed = min(max(was, min(0, kw)), max(0, kw))
	}
	r.fleet.bounded(t, "the fleet", r.now, sum+freed-was, sum+kw-was, r.ramp)
	r.own[s].bounded(t, "a device", r.now, freed, kw, r.ownRamp)
	r.kw[s], r.until[s] = kw, until
	r.moved()
}

// look lets 100 ms pass, reads all devices and hands them what the guard asks for.
func (r *rigs) look(t rapid.TB) {
	r.now += 100
	for s := range r.kw {
		x := (&wire{now: r.time(), kw: r.live(device.Slot(s))}).reading()
		x.Slot = device.Slot(s)
		r.g.Observe(&x)
	}
	kw, until := slices.Clone(r.kw), slices.Clone(r.until)
	corrections := r.g.Tick(r.time(), nil)
	for _, c := range corrections {
		r.tell(t, c.Slot, c.Power, c.Until, true)
	}
	for _, c := range corrections {
		a := c.Answer(device.Done, r.now, "", "")
		if r.refuses != nil && r.refuses() { // it was asked for all the same
			a.Status = device.Rejected
			r.kw[c.Slot], r.until[c.Slot] = kw[c.Slot], until[c.Slot]
		}
		r.g.Settle(device.Time(a.At), &a)
	}
	r.moved()
}

func (r *rigs) ask(t rapid.TB, verb device.Verb, s device.Slot, kw float64, p device.Priority) (code string) {
	r.moved()
	seq++
	c := device.Command{Slot: s, Seq: seq, Verb: verb, Priority: p, Power: kw, At: r.now, Duration: 5000, Source: "test"}
	v := check(r.g, r.time(), c)
	if v.Code != "" || verb == device.Arm {
		return v.Code
	}
	r.tell(t, s, v.Power, v.Until, verb != device.SetPower || p == device.Safety)
	a := c.Answer(device.Done, r.now, "", "")
	r.g.Settle(device.Time(a.At), &a)
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
// it is smaller than a single step, and none fails for having waited; each keeps its own ramp
// too. Without a ramp they are tested at once.
func TestArmingKeepsTheRamp(t *testing.T) {
	for _, tt := range []struct {
		devices   int
		ramp, own float64
		within    time.Duration
	}{
		{100, 0, 0, 6 * time.Second},
		{100, 50, 0, 30 * time.Second},
		{20, 7, 0, time.Minute},
		{10, 1, 0, 3 * time.Minute},
		{2, 0.3, 0, 2 * time.Minute},
		{100, 0, 2, 20 * time.Second},
		{20, 7, 3, time.Minute},
	} {
		r := newRigs(t, tt.ramp, tt.own, slices.Repeat([]float64{100}, tt.devices)...)
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
	r := newRigs(t, 10, 0, 100, 100)
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
	r := newRigs(t, 1, 0, 100)
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
// fleet, or a device, faster than its ramp.
func TestNoSequenceOfArmingPassesTheRamp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRigs(t, rapid.SampledFrom([]float64{0, 0.3, 1, 7, 40}).Draw(t, "ramp"),
			rapid.SampledFrom([]float64{0, 0, 0.5, 8}).Draw(t, "own ramp"), 100, 100, 30, 500)
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

// TestBatteryWithoutItsChargeIsNotArmed: not by people and not by itself, unless its entry
// answers for that; once it reports it, it is.
func TestBatteryWithoutItsChargeIsNotArmed(t *testing.T) {
	w := wired(t)
	w.g.ArmItself(0)
	w.bend = func(r *device.Reading) { r.SoC = math.NaN() }
	w.pass(time.Second)
	if w.g.Armed(0) {
		t.Error("it has armed itself")
	}
	w.refused(device.Arm, 0, guard.CodeNotArmed, "its state of charge is not known")
	w.bend = nil
	w.pass(time.Second)
	if !w.g.Armed(0) {
		t.Errorf("it reports its charge and is not armed: %q", w.notes)
	}
}

// TestArmingSaysWhatIsNotWatched: people are told of which windows nothing keeps.
func TestArmingSaysWhatIsNotWatched(t *testing.T) {
	for _, blind := range []bool{false, true} {
		w := wired(t, func(i *device.Info) { i.ArmWithoutSoC = blind })
		if blind {
			w.bend = func(r *device.Reading) { r.SoC, r.Temperature = math.NaN(), math.NaN() }
		}
		w.pass(time.Second)
		w.must(device.Arm, 0)
		w.pass(5 * time.Second)
		const told = "it is armed without its state of charge, as its entry says; no window is kept on what it does not report: state of charge, temperature"
		if !w.g.Armed(0) || blind != slices.ContainsFunc(w.notes, func(n string) bool { return strings.HasSuffix(n, told) }) {
			t.Errorf("blind %v: armed %v, noted %q", blind, w.g.Armed(0), w.notes)
		}
	}
}

// TestArmingIsHeldAgainst: what was read in a sign test, from before it to rest after it, is
// shown to whoever compares, and a device that differs is not armed, for that reason.
func TestArmingIsHeldAgainst(t *testing.T) {
	for _, differs := range []string{"", "it differs"} {
		w := wired(t)
		var seen []device.Tried
		w.g.Compare(0, func(window []device.Tried) (string, string) {
			seen = slices.Clone(window)
			return "compared", differs
		})
		w.pass(time.Second)
		w.must(device.Arm, 0)
		w.pass(15 * time.Second)
		if armed := w.g.Armed(0); armed != (differs == "") {
			t.Errorf("differs %q: armed %t, %q", differs, armed, w.notes)
		}
		want, code := "compared", ""
		if differs != "" {
			want, code = "arm-failed: it differs", guard.CodeTwin
		}
		if n := w.notes[len(w.notes)-1]; !strings.HasSuffix(n, want) || w.codes[len(w.codes)-1] != code {
			t.Errorf("differs %q: %q, code %q", differs, w.notes, w.codes)
		}
		if len(seen) < 10 || !math.IsNaN(seen[0].AskedKW) || seen[0].Power != 0 {
			t.Fatalf("%d readings, the first %+v", len(seen), seen)
		}
		steady := map[float64]int{}
		for i, x := range seen {
			if i > 0 && x.At < seen[i-1].At {
				t.Errorf("reading %d is older than the one before", i)
			}
			if !math.IsNaN(x.AskedKW) {
				steady[x.AskedKW]++
				if x.Power != x.AskedKW {
					t.Errorf("steady at %v kW, asked for %v", x.Power, x.AskedKW)
				}
			}
		}
		if len(steady) != 3 || steady[5] < 3 || steady[-5] < 3 || steady[0] < 3 {
			t.Errorf("steady readings by power: %v", steady)
		}
	}
}

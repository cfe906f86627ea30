package guard_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// wire is a plant of one device on a wire that does as it is told, unless bent.
type wire struct {
	t       *testing.T
	g       *guard.Guard
	now     time.Time
	kw      float64 // what the device does
	told    []float64
	stops   int      // emergency stops that were sent
	reasons []string // of those
	modes   []string // that it was put into
	mode    device.Mode
	refuse  func(c *device.Command) string // why it does not do as it is told; nil: it does
	bend    func(r *device.Reading)        // what it says of it
	silent  bool
	slow    time.Duration // until it has taken a command
	holds   time.Duration // the longest that the guard let a setpoint of its own hold
	seq     uint64
	notes   []string
	codes   []string // of notes
}

func wired(t *testing.T, change ...func(*device.Info)) *wire {
	t.Helper()
	info := device.Info{ID: "rig", Kind: "sunspec", State: device.Inactive, RatedKW: 100, PollMS: 100}
	for _, c := range change {
		c(&info)
	}
	w := &wire{t: t, g: new(guard.Guard), now: start}
	if err := w.g.Set(0, guard.EnvelopeOf(&info), info.State); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wire) reading() device.Reading {
	r := device.Reading{
		At: w.now.UnixMilli(), Arrived: w.now.UnixMilli(), SoC: 50, SoH: 100, Voltage: 800 + 0.05*w.kw, Current: w.kw * 1000 / 800,
		Power: w.kw, Temperature: 25, MaxCharge: 100, MaxDischarge: 100, Status: device.Idle,
	}
	if w.bend != nil {
		w.bend(&r)
	}
	return r
}

// pass lets the plant work: a reading every 100 ms, and what the guard does then.
func (w *wire) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(100 * time.Millisecond)
		if !w.silent {
			r := w.reading()
			w.g.Observe(&r)
		}
		w.tick()
	}
}

func (w *wire) tick() {
	for _, c := range w.g.Tick(w.now, nil) {
		w.give(c.Command)
	}
	for _, n := range w.g.Notices() {
		w.notes, w.codes = append(w.notes, n.Kind+": "+n.Text), append(w.codes, n.Code)
	}
}

func (w *wire) give(c device.Command) {
	if c.Verb == device.EStop {
		w.stops++
		w.reasons = append(w.reasons, c.Reason)
	}
	if w.silent {
		a := c.Answer(device.Failure, w.now.UnixMilli(), "", "")
		w.g.Settle(device.Time(a.At), &a)
		return
	}
	if w.refuse != nil {
		if why := w.refuse(&c); why != "" {
			code := "REJECTED"
			if why == guard.CodeUnsupported {
				code = why
			}
			a := c.Answer(device.Rejected, w.now.UnixMilli(), code, why)
			w.g.Settle(device.Time(a.At), &a)
			return
		}
	}
	if c.Verb == device.SetMode {
		w.mode = c.Mode
		w.modes = append(w.modes, fmt.Sprintf("%v at %g kW", c.Mode, c.Power))
	} else {
		w.told = append(w.told, c.Power)
	}
	if c.Source == guard.Source && c.Verb == device.SetPower {
		w.holds = max(w.holds, time.Duration(c.Until-c.At)*time.Millisecond)
	}
	w.now = w.now.Add(w.slow)
	if w.kw = c.Power; w.mode != device.Run {
		w.kw = 0
	}
	a := c.Answer(device.Done, w.now.UnixMilli(), "", "")
	w.g.Settle(device.Time(a.At), &a)
}

func (w *wire) ask(verb device.Verb, kw float64) guard.Verdict { return w.askMode(verb, 0, kw) }

func (w *wire) askMode(verb device.Verb, m device.Mode, kw float64) guard.Verdict {
	w.seq++
	c := device.Command{
		Seq: w.seq, Verb: verb, Mode: m, Power: kw, Priority: device.Normal, At: w.now.UnixMilli(), Duration: 60_000, Source: "user:ann",
	}
	var v [1]guard.Verdict
	w.g.Check(w.now, []device.Command{c}, v[:])
	if v[0].Code == "" && verb != device.Arm {
		c.Power, c.Until = v[0].Power, v[0].Until
		w.give(c)
	}
	return v[0]
}

func (w *wire) must(verb device.Verb, kw float64) {
	w.t.Helper()
	if v := w.ask(verb, kw); v.Code != "" {
		w.t.Fatalf("%v %v kW: %s (%s)", verb, kw, v.Code, v.Reason)
	}
}

func (w *wire) refused(verb device.Verb, kw float64, code, reason string) {
	w.t.Helper()
	if v := w.ask(verb, kw); v.Code != code || !strings.Contains(v.Reason, reason) {
		w.t.Errorf("%v %v kW: %q (%s), want %s because of %q", verb, kw, v.Code, v.Reason, code, reason)
	}
}

// armed is a plant whose device has passed its test.
func armed(t *testing.T, change ...func(*device.Info)) *wire {
	t.Helper()
	w := wired(t, change...)
	w.pass(time.Second)
	w.must(device.Arm, 0)
	w.pass(5 * time.Second)
	if !w.g.Armed(0) {
		t.Fatalf("not armed: %q", w.notes)
	}
	w.notes, w.told = nil, nil
	return w
}

func (w *wire) noted(want string) {
	w.t.Helper()
	if !slices.ContainsFunc(w.notes, func(n string) bool { return strings.HasPrefix(n, want) }) {
		w.t.Errorf("noted %q, want %q", w.notes, want)
	}
}

func TestNothingIsWrittenBeforeArming(t *testing.T) {
	w := wired(t)
	w.pass(time.Minute)
	w.refused(device.SetPower, 50, guard.CodeNotArmed, "not armed")
	w.pass(time.Minute)
	if len(w.told) > 0 {
		t.Errorf("told %v", w.told)
	}
}

// Who is refused for want of a good reading is told which value is wrong, and since when.
func TestNoGoodReadingIsExplained(t *testing.T) {
	nan := math.NaN()
	for name, tt := range map[string]struct {
		silent bool
		first  bool // there has been a good one
		bend   func(r *device.Reading)
		want   string
	}{
		"never":  {true, false, nil, "no fresh and good reading of it: none has come yet"},
		"silent": {true, true, nil, "the newest came 3.0 s ago"},
		"temperature": {false, true, func(r *device.Reading) {
			r.Temperature, r.Flags, r.Quality, r.Beyond = -3276.8, device.FlagRange, device.Bad, device.PointTemperature
		}, "for 2.9 s it has been bad (range: temperature -3276.8 °C)"},
		"two, and never good": {false, false, func(r *device.Reading) {
			r.SoC, r.Flags, r.Quality, r.Beyond = 655.35, device.FlagRange, device.Bad, device.PointSoC|device.PointVoltage
		}, "for 2.9 s it has been bad (range: state of charge 655.35 %, voltage 800 V), and it was never good"},
		"range of something else": {false, true, func(r *device.Reading) { r.Flags, r.Quality = device.FlagRange, device.Bad }, "it has been bad (range)"},
		"power scale": {false, true, func(r *device.Reading) {
			r.Power, r.Current, r.Flags, r.Quality = 9, 112.5, device.FlagLogic, device.Suspect
		}, "it has been suspect (logic: power 9 kW, voltage times current 90 kW)"},
		"heartbeat": {false, true, func(r *device.Reading) { r.Flags, r.Quality = device.FlagHeartbeat, device.Suspect }, "suspect (heartbeat)"},
		"word": {false, true, func(r *device.Reading) {
			r.Status, r.Word, r.Flags, r.Quality = device.OtherStatus, "7", device.FlagRange, device.Suspect
		}, `suspect (range: status "7")`},
		"mute": {false, true, func(r *device.Reading) { r.SoC = nan }, "for 2.9 s it has not said its state of charge"},
	} {
		t.Run(name, func(t *testing.T) {
			w := wired(t)
			if tt.first {
				w.pass(time.Second)
			}
			w.bend, w.silent = tt.bend, tt.silent
			w.pass(3 * time.Second)
			w.refused(device.Arm, 0, guard.CodeNotArmed, tt.want)
		})
	}
}

func TestDisarmed(t *testing.T) {
	flag := func(f device.Flags) func(*wire) {
		return func(w *wire) { w.bend = func(r *device.Reading) { r.Flags |= f } }
	}
	for _, tt := range []struct {
		name, want string
		begin      func(*wire)
		within     time.Duration
		handed     bool // handed over: nobody writes 0
	}{
		{"silence", "link lost", func(w *wire) { w.silent = true }, 2200 * time.Millisecond, false},
		{"heartbeat", "its heartbeat stands still", func(w *wire) {
			w.bend = func(r *device.Reading) { r.Flags, r.Quality = device.FlagHeartbeat, device.Suspect }
		}, 2200 * time.Millisecond, false},
		{"frozen time", "link lost", func(w *wire) {
			at := w.now
			w.bend = func(r *device.Reading) { r.At, r.Arrived = at.UnixMilli(), at.UnixMilli() }
		}, 2200 * time.Millisecond, false},
		{"local", "local control", flag(device.FlagLocal), 100 * time.Millisecond, false},
		{"master", "a second master", flag(device.FlagMaster), 100 * time.Millisecond, true},
		{"against", "its power runs against", func(w *wire) {
			w.bend = func(r *device.Reading) { r.Power, r.Current = -r.Power, -r.Current }
		}, 3 * time.Second, false},
		{"disarm", "disarmed by user:ann", func(w *wire) { w.must(device.Disarm, 0) }, 100 * time.Millisecond, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := armed(t)
			w.must(device.SetPower, 50)
			w.pass(4 * time.Second)
			tt.begin(w)
			w.pass(tt.within)
			w.noted("disarmed: " + tt.want)
			w.silent, w.bend = false, nil
			w.pass(time.Minute)
			if last := w.told[len(w.told)-1]; tt.handed != (last == 50) || !tt.handed && last != 0 {
				t.Errorf("told %v kW", w.told)
			}
			w.refused(device.SetPower, 50, guard.CodeNotArmed, tt.want)
			n := len(w.told)
			w.pass(time.Minute)
			if len(w.told) != n {
				t.Errorf("told %v kW after it was disarmed", w.told[n:])
			}
			w.must(device.Arm, 0)
			w.pass(5 * time.Second)
			w.must(device.SetPower, 50)
		})
	}
}

// A process that stands still and goes on finds its devices as before; they were alone
// meanwhile, and nobody may take that for a short while without news.
func TestStandingStillLosesTheRightToAct(t *testing.T) {
	w := armed(t)
	w.must(device.SetPower, 50)
	w.now = w.now.Add(5 * time.Second)
	r := w.reading() // the first thing that happens is that a reading comes in
	w.g.Observe(&r)
	w.refused(device.SetPower, 60, guard.CodeNotArmed, "link lost: no good reading for 5.0 s")
	w.tick()
	if w.kw != 0 {
		t.Errorf("%v kW", w.kw)
	}
	w.noted("disarmed: link lost")
}

// After a restart a device on a wire is only read: what it was told before is neither
// corrected nor told again.
func TestRestartOnlyReads(t *testing.T) {
	w := wired(t)
	w.g.Restore(&device.Ack{
		Slot: 0, Verb: device.SetPower, Status: device.Done, Power: 50, Priority: device.Normal,
		Until: start.Add(time.Hour).UnixMilli(), Source: "user:ann",
	})
	w.pass(time.Minute)
	if len(w.told) > 0 {
		t.Errorf("told %v", w.told)
	}
	w.must(device.Arm, 0)
	w.pass(10 * time.Second)
	if w.kw != 0 || !w.g.Armed(0) {
		t.Errorf("%v kW after it was armed, told %v", w.kw, w.told)
	}
}

func TestEmulatorArmsItselfOnce(t *testing.T) {
	w := wired(t)
	w.g.ArmItself(0)
	w.pass(100 * time.Millisecond)
	w.noted("armed: it arms itself")
	w.must(device.SetPower, 50)
	w.silent = true
	w.pass(3 * time.Second)
	w.silent = false
	w.pass(time.Minute)
	w.refused(device.SetPower, 50, guard.CodeNotArmed, "link lost")
}

func TestMisfitIsNotArmed(t *testing.T) {
	w := wired(t)
	w.g.Misfit(0, "its nameplate says 50 kW, the configuration 100 kW")
	w.pass(time.Second)
	w.refused(device.Arm, 0, guard.CodeNotArmed, "its nameplate says")
	w.g.ArmItself(0)
	w.pass(time.Second)
	w.refused(device.SetPower, 5, guard.CodeNotArmed, "")
	w.g.Misfit(0, "")
	w.must(device.Arm, 0)
}

func TestSetpointsOfOneSecondAreCounted(t *testing.T) {
	w := armed(t)
	w.now = w.now.Truncate(time.Second).Add(time.Second)
	for range 20 {
		w.must(device.SetPower, 10)
	}
	w.refused(device.SetPower, 10, guard.CodeRate, "")
	w.must(device.Stop, 0) // safety is never counted
	w.must(device.EStop, 0)
}

func TestRampOfADevice(t *testing.T) {
	w := armed(t, func(i *device.Info) { i.Limits.RampKWPerS = 10 })
	for _, want := range []float64{10, 20, 30, 30} {
		w.must(device.SetPower, 30)
		if w.kw != want {
			t.Errorf("%v kW, want %v", w.kw, want)
		}
		w.pass(time.Second)
	}
	w.must(device.Stop, 0)
	if w.kw != 0 {
		t.Errorf("a stop leaves %v kW", w.kw)
	}
}

func TestVoltageWindow(t *testing.T) {
	w := armed(t, func(i *device.Info) { i.VoltMin, i.VoltMax = 600, 876 })
	volt := func(v float64) { w.bend = func(r *device.Reading) { r.Voltage = v }; w.pass(100 * time.Millisecond) }
	w.must(device.SetPower, 50)
	volt(876)
	if w.kw != 0 {
		t.Errorf("charged with %v kW at 876 V", w.kw)
	}
	w.refused(device.SetPower, 50, guard.CodeEnvelope, "voltage high")
	w.must(device.SetPower, -50)
	volt(874) // within the hysteresis
	w.refused(device.SetPower, 50, guard.CodeEnvelope, "voltage high")
	volt(858)
	w.must(device.SetPower, 50)
	volt(600)
	w.refused(device.SetPower, -50, guard.CodeEnvelope, "voltage low")
}

// No sequence of readings, commands, silence and time lets a device on a wire act that
// has not been armed, or whose stop is latched, or that has not been heard of; nor does
// the sign test ask for more than its share.
func TestNoSequenceActsUnarmed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		info := device.Info{ID: "rig", Kind: "modbus", RatedKW: 100, PollMS: 100}
		g := new(guard.Guard)
		if err := g.Set(0, guard.EnvelopeOf(&info), device.Active); err != nil {
			t.Fatal(err)
		}
		var (
			now                    = start
			asked, active, stopped bool
			told                   float64
			good                   time.Time
			seq                    uint64
		)
		follow := func() {
			for _, n := range g.Notices() {
				switch n.Kind {
				case "armed":
					if !asked {
						t.Fatalf("armed by nobody: %+v", n)
					}
					active, asked = true, false
				case "disarmed", "arm-failed":
					active, asked = false, false
				case "e-stop":
					active, asked, stopped = false, false, true
				case "reset":
					stopped = false
				}
			}
		}
		acts := func(c *device.Command, kw float64) {
			if kw == 0 {
				return
			}
			test := c.Source == guard.Source && c.Reason == "sign test"
			switch {
			case stopped:
				t.Fatalf("%+v with the stop latched", c)
			case !active && (!test || !asked):
				t.Fatalf("%+v by a device that is not armed", c)
			case test && math.Abs(kw) > 5.05:
				t.Fatalf("%+v in a sign test", c)
			case now.Sub(good) > 2*time.Second:
				t.Fatalf("%+v to a device that was last heard of %v ago", c, now.Sub(good))
			case math.Abs(kw) > 100:
				t.Fatalf("%+v beyond the rating", c)
			}
		}
		settle := func(c device.Command) {
			status := device.Done
			if rapid.IntRange(0, 5).Draw(t, "answer") == 0 {
				status = rapid.SampledFrom([]device.AckStatus{device.Rejected, device.Failure, device.Expired}).Draw(t, "status")
			} else {
				told = c.Power
			}
			a := c.Answer(status, now.UnixMilli(), "", "")
			g.Settle(device.Time(a.At), &a)
			follow()
		}
		t.Repeat(map[string]func(*rapid.T){
			"reading": func(t *rapid.T) {
				r := device.Reading{
					At: now.UnixMilli(), Arrived: now.UnixMilli(), SoC: 50, Voltage: 800, Power: told, Current: told * 1.25,
					Temperature: 25, MaxCharge: 100, MaxDischarge: 100,
				}
				if rapid.IntRange(0, 7).Draw(t, "odd") == 0 {
					r.Power = value(-110, 110).Draw(t, "power")
					r.Flags = device.Flags(rapid.Uint16().Draw(t, "flags"))
					r.Quality = device.Quality(rapid.IntRange(0, 2).Draw(t, "quality"))
				}
				if r.Quality == device.Good {
					good = now
				}
				g.Observe(&r)
				follow()
			},
			"ask": func(t *rapid.T) {
				seq++
				c := device.Command{
					Seq: seq, Verb: device.Verb(rapid.IntRange(1, 8).Draw(t, "verb")), Power: rapid.Float64Range(-120, 120).Draw(t, "kw"),
					Mode: device.Mode(rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2}).Draw(t, "mode")), Priority: device.Priority(rapid.IntRange(0, 4).Draw(t, "priority")),
					At: now.UnixMilli(), Duration: 60_000, Source: rapid.SampledFrom([]string{"user:ann", guard.Source}).Draw(t, "source"),
				}
				var v [1]guard.Verdict
				g.Check(now, []device.Command{c}, v[:])
				follow()
				if v[0].Code != "" {
					return
				}
				if c.Verb == device.Arm {
					if stopped || active {
						t.Fatalf("%v while armed %v, stopped %v", c.Verb, active, stopped)
					}
					asked = true
					return
				}
				acts(&c, v[0].Power)
				c.Power, c.Until = v[0].Power, v[0].Until
				settle(c)
			},
			"tick": func(t *rapid.T) {
				cs := g.Tick(now, nil)
				follow()
				for _, c := range cs {
					acts(&c.Command, c.Power)
					settle(c.Command)
				}
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.SampledFrom([]int{50, 100, 300, 1000, 2500}).Draw(t, "ms")) * time.Millisecond)
			},
		})
	})
}

// A device that ceases to say what its envelope is kept by is as good as silent, and a limit
// that it ceases to state stays in force.
func TestValuesThatCease(t *testing.T) {
	nan := math.NaN()
	for name, bend := range map[string]func(r *device.Reading){
		"state of charge": func(r *device.Reading) { r.SoC = nan },
		"temperature":     func(r *device.Reading) { r.Temperature = nan },
		"voltage":         func(r *device.Reading) { r.Voltage = nan },
	} {
		w := armed(t, func(i *device.Info) { i.VoltMax = 900 })
		w.must(device.SetPower, 50)
		w.bend = bend
		w.pass(time.Second)
		w.bend = nil
		w.pass(5 * time.Second)
		if !w.g.Armed(0) {
			t.Errorf("%s: disarmed by a moment: %q", name, w.notes)
		}
		w.bend = bend
		w.pass(3 * time.Second)
		if w.g.Armed(0) || w.kw != 0 {
			t.Errorf("%s: still armed, at %g kW", name, w.kw)
		}
	}
	w := armed(t)
	w.bend = func(r *device.Reading) { r.MaxCharge = 30 }
	w.pass(time.Second)
	w.bend = func(r *device.Reading) { r.MaxCharge, r.MaxDischarge = nan, nan }
	w.pass(time.Second)
	w.must(device.SetPower, 80)
	if w.kw != 30 {
		t.Errorf("%g kW, though it could take 30 when it said so last", w.kw)
	}
}

// A device that was not reached is brought to 0 with the first that is heard of it.
func TestCorrectionDoesNotWaitWhenTheLinkIsBack(t *testing.T) {
	w := armed(t)
	w.must(device.SetPower, 50)
	w.silent = true
	w.pass(20 * time.Second) // the next repetition is 15 s after the last
	w.silent, w.told = false, nil
	w.pass(200 * time.Millisecond)
	if !slices.Equal(w.told, []float64{0}) || w.kw != 0 {
		t.Errorf("told %v, at %g kW", w.told, w.kw)
	}
}

// A setpoint that was on its way when another master showed is taken back: the driver would
// renew it.
func TestSetpointOnItsWayToAnotherMaster(t *testing.T) {
	w := armed(t)
	c := device.Command{Seq: 99, Verb: device.SetPower, Power: 50, Priority: device.Normal, At: w.now.UnixMilli(), Duration: 60_000, Source: "user:ann"}
	var v [1]guard.Verdict
	w.g.Check(w.now, []device.Command{c}, v[:])
	w.bend = func(r *device.Reading) { r.Flags |= device.FlagMaster }
	r := w.reading()
	w.g.Observe(&r)
	w.kw = 50 // it has arrived
	a := c.Answer(device.Done, w.now.UnixMilli(), "", "")
	w.g.Settle(device.Time(a.At), &a)
	w.bend = nil
	w.pass(2 * time.Second)
	if w.g.Armed(0) || w.kw != 0 {
		t.Errorf("armed %v, at %g kW", w.g.Armed(0), w.kw)
	}
}

// resting is a device that was put to rest and has lost the right to act there.
func resting(t *testing.T, m device.Mode) *wire {
	t.Helper()
	w := armed(t)
	if v := w.askMode(device.SetMode, m, 0); v.Code != "" {
		t.Fatal(v)
	}
	w.must(device.Disarm, 0)
	w.pass(time.Second)
	w.modes, w.notes, w.told = nil, nil, nil
	return w
}

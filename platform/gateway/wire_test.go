package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

func TestWiresAreReadOnTheirGrid(t *testing.T) {
	onLine(t, 2, false, func(l *line) {
		l.units[1].set(func() { l.units[1].takes = 350 * time.Millisecond }) // slower than its period: it holds up nobody
		begin := time.Now()
		l.pass(2020 * time.Millisecond)
		if n := len(l.units[0].reads); n != 21 {
			t.Errorf("%d readings in 2 s", n)
		}
		for i, at := range l.units[0].reads {
			if want := time.Duration(i) * 100 * time.Millisecond; at.Sub(begin) != want {
				t.Errorf("reading %d after %v, want %v", i, at.Sub(begin), want)
			}
		}
		if n := len(l.units[1].reads); n < 5 || n > 6 {
			t.Errorf("%d readings of the slow one", n)
		}
		fast := 0
		for _, r := range l.rows {
			if r.Slot == 0 {
				fast++
			}
		}
		if fast < 20 {
			t.Errorf("%d of its readings are in the log", fast)
		}
	})
}

func TestWireIsArmedBySomebody(t *testing.T) {
	onLine(t, 1, false, func(l *line) {
		l.pass(time.Second)
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(time.Second)
		l.want("answers", l.answers(), "c1 setPower rejected 50 NOT_ARMED")
		l.ask(device.Command{Verb: device.Arm})
		l.pass(5 * time.Second)
		l.want("answers", l.answers(), "c2 arm done 0")
		l.want("told", slices.Compact(l.units[0].told), "setPower 5", "setPower -5", "setPower 0")
		l.want("life", l.life, "0 active")
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(100 * time.Millisecond)
		l.want("answers", l.answers(), "c3 setPower done 50")
		// Somebody takes the control at the panel: power goes to 0, and stays there.
		l.units[0].set(func() { l.units[0].flags = device.FlagLocal })
		l.pass(200 * time.Millisecond)
		l.units[0].set(func() { l.units[0].flags = 0 })
		l.pass(time.Minute)
		if kw := l.units[0].kw; kw != 0 {
			t.Errorf("%g kW", kw)
		}
		l.want("life", l.life, "0 active", "0 inactive")
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(time.Second)
		l.want("answers", l.answers(), "c4 setPower rejected 50 NOT_ARMED")
	})
}

// TestCorrectionsAreAudited: what the guard writes by itself says what was in force before,
// and why it was ended.
func TestCorrectionsAreAudited(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.pass(time.Second)
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(time.Second)
		l.acks = nil
		l.units[0].set(func() { l.units[0].flags = device.FlagLocal })
		l.pass(2 * time.Second)
		if len(l.acks) != 1 {
			t.Fatalf("answers %+v", l.acks)
		}
		if a := l.acks[0]; a.Source != guard.Source || a.Before != 50 || a.Power != 0 || a.Reason != "local control" {
			t.Errorf("%+v", a)
		}
	})
}

func TestArmingThatFailsIsAnswered(t *testing.T) {
	onLine(t, 1, false, func(l *line) {
		l.pass(time.Second)
		l.ask(device.Command{Verb: device.Arm})
		l.pass(500 * time.Millisecond)
		l.units[0].set(func() { l.units[0].down = true })
		l.pass(10 * time.Second)
		l.want("answers", l.answers(), "c1 arm rejected 0 NOT_ARMED")
		if !slices.ContainsFunc(l.events, func(e string) bool { return strings.HasPrefix(e, "arm-failed: rig-0: link lost") }) {
			t.Errorf("events %q", l.events)
		}
		if !slices.Contains(l.events, "offline: rig-0 offline: device offline") {
			t.Errorf("events %q", l.events)
		}
	})
}

func TestNewerSetpointsOvertakeThoseThatWait(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.pass(time.Second)
		u := l.units[0]
		u.set(func() { u.takes = 300 * time.Millisecond })
		l.pass(250 * time.Millisecond) // it is in an exchange
		l.ask(device.Command{Verb: device.SetPower, Power: 10})
		l.ask(device.Command{Verb: device.SetMode, Mode: device.StandbyMode})
		l.ask(device.Command{Verb: device.SetMode, Mode: device.Run})
		l.ask(device.Command{Verb: device.SetPower, Power: 20})
		l.ask(device.Command{Verb: device.SetPower, Power: 30})
		l.ask(device.Command{Verb: device.EStop})
		l.pass(5 * time.Second)
		l.want("answers", l.answers(),
			"c1 setPower expired 10 SUPERSEDED", "c4 setPower expired 20 SUPERSEDED", "c3 setMode expired 0 SUPERSEDED", "c5 setPower expired 30 SUPERSEDED",
			"c6 eStop done 0", "c2 setMode done 0")
		l.want("told", u.told[:2], "eStop 0", "setMode 0")
	})
}

func TestWhatWaitsIsBounded(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.pass(time.Second)
		u := l.units[0]
		u.set(func() { u.takes = 900 * time.Millisecond })
		l.pass(150 * time.Millisecond)
		for range 20 {
			l.ask(device.Command{Verb: device.SetMode, Mode: device.Run})
		}
		l.pass(50 * time.Millisecond)
		n := 0
		for _, a := range l.answers() {
			if strings.HasSuffix(a, "OVERLOAD") {
				n++
			}
		}
		if n != 4 {
			t.Errorf("%d of 20 are refused, want 4", n)
		}
		l.ask(device.Command{Verb: device.EStop}) // is never refused
		l.pass(2 * time.Second)
		if !slices.Contains(u.told, "eStop 0") {
			t.Errorf("told %q", u.told)
		}
	})
}

func TestLostLinkIsBroughtToZeroAndStaysThere(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.pass(time.Second)
		u := l.units[0]
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(time.Second)
		u.set(func() { u.down = true })
		l.pass(10 * time.Second)
		u.set(func() { u.down = false })
		l.pass(40 * time.Second) // the guard repeats what was not taken after 30 s at most
		if u.kw != 0 {
			t.Errorf("%g kW after the link came back", u.kw)
		}
		l.want("life", l.life, "0 active", "0 inactive")
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(time.Second)
		if got := l.answers(); got[len(got)-1] != "c2 setPower rejected 50 NOT_ARMED" {
			t.Errorf("answers %q", got)
		}
	})
}

func TestNameplateThatDoesNotFit(t *testing.T) {
	onLine(t, 1, false, func(l *line) {
		l.units[0].set(func() { l.units[0].name = device.Info{RatedKW: 50} })
		l.pass(time.Second)
		l.ask(device.Command{Verb: device.Arm})
		l.pass(time.Second)
		l.want("answers", l.answers(), "c1 arm rejected 0 NOT_ARMED")
		if want := "misfit: rig-0: its nameplate says 50 kW, the configuration 100 kW"; !slices.Contains(l.events, want) {
			t.Errorf("events %q", l.events)
		}
	})
}

// renewing is a unit whose driver goes on with a setpoint by itself, as all drivers of
// wires do, and takes none that has expired.
type renewing struct {
	*unit
	live  float64
	until int64
}

func (u *renewing) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	r, err := u.unit.Read(ctx, now)
	if u.until <= now.UnixMilli() {
		u.live = 0
	}
	if err == nil {
		u.set(func() {
			if u.kw = u.live; u.kw != 0 {
				u.told = append(u.told, fmt.Sprintf("renewed %g", u.kw))
			}
		})
	}
	return r, err
}

func (u *renewing) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	if c.Verb == device.SetPower && c.Until <= now.UnixMilli() {
		return c.Answer(device.Expired, now.UnixMilli(), "EXPIRED", "too late"), nil
	}
	if c.Verb != device.SetPower {
		u.live = 0
	}
	a, err := u.unit.Write(ctx, now, c)
	if err == nil && c.Verb == device.SetPower {
		u.live, u.until = c.Power, c.Until
	}
	return a, err
}

func TestLostLinkEndsTheDriversRenewal(t *testing.T) {
	onLineOf(t, 1, true, func(u *unit) device.Driver { return &renewing{unit: u} }, func(l *line) {
		u := l.units[0]
		l.pass(time.Second)
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(time.Second)
		u.set(func() { u.down = true })
		l.pass(10 * time.Second)
		u.set(func() { u.down, u.kw, u.told = false, 0, nil }) // its dead-man has taken it to 0
		l.pass(40 * time.Second)
		if slices.ContainsFunc(u.told, func(s string) bool { return strings.HasPrefix(s, "renewed") }) {
			t.Errorf("while it is disarmed (%q) its driver has %q", l.life, u.told)
		}
	})
}

func TestExpiredSetpointIsTakenBackForGood(t *testing.T) {
	onLineOf(t, 1, true, func(u *unit) device.Driver { return &renewing{unit: u} }, func(l *line) {
		l.pass(time.Second)
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(10 * time.Minute)
		var got []string
		for _, a := range l.acks {
			if a.Source == guard.Source {
				got = append(got, fmt.Sprintf("%v %v %g", a.Verb, a.Status, a.Power))
			}
		}
		l.want("corrections", got, "setPower done 0")
	})
}

// What a device says beside its measurements counts at once, also while those have not
// changed: one that measures once in a second may be asked more often.
func TestRepeatedMeasurementsWithNews(t *testing.T) {
	for name, news := range map[string]func(r *device.Reading){
		"local control": func(r *device.Reading) { r.Flags |= device.FlagLocal },
		"e-stop":        func(r *device.Reading) { r.Flags |= device.FlagEStop },
		"no charging":   func(r *device.Reading) { r.MaxCharge = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			onLine(t, 1, true, func(l *line) {
				u := l.units[0]
				measured := device.Reading{}
				same := func(r *device.Reading) { // a new measurement every second
					if r.At-measured.At >= 1000 {
						measured = *r
					}
					arrived := r.Arrived
					*r = measured
					r.Arrived = arrived
				}
				u.set(func() { u.bend = same })
				l.pass(2050 * time.Millisecond)
				l.ask(device.Command{Verb: device.SetPower, Power: 50})
				l.pass(20 * time.Millisecond)
				if u.kw != 50 {
					t.Fatalf("%g kW, answers %q", u.kw, l.answers())
				}
				u.set(func() { u.bend = func(r *device.Reading) { same(r); news(r) } })
				l.pass(250 * time.Millisecond)
				if u.kw != 0 {
					t.Errorf("%g kW after two readings", u.kw)
				}
			})
		})
	}
}

// buttoned is a device of several parts, of which one has been stopped at itself.
type buttoned struct{ *unit }

func (buttoned) Pressed() string { return "bms" }

// A stop by the button of a part says in the event, in its answer and in what is written to the
// others whose button it was.
func TestStopByTheButtonOfAPart(t *testing.T) {
	onLineOf(t, 1, true, func(u *unit) device.Driver { return buttoned{u} }, func(l *line) {
		l.pass(2 * time.Second)
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(time.Second)
		l.units[0].set(func() { l.units[0].bend = func(r *device.Reading) { r.Flags |= device.FlagEStop } })
		l.pass(time.Second)
		const why = "the emergency stop of its bms is pressed or latched"
		if !slices.ContainsFunc(l.events, func(e string) bool { return strings.Contains(e, why) }) {
			t.Errorf("events %q", l.events)
		}
		var got []string
		for _, a := range l.acks {
			if a.Verb == device.EStop {
				got = append(got, a.Source+": "+a.Reason)
			}
		}
		l.want("stops", got, "guard: "+why, "guard: "+why+": all of the device is told")
	})
}

// A rating that is changed later is held against the nameplate too.
func TestChangedRatingIsHeldAgainstTheNameplate(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.units[0].set(func() { l.units[0].name = device.Info{RatedKW: 100} })
		l.pass(time.Second)
		l.want("life", l.life, "0 active")
		know := func(kw float64) {
			l.gw.Know(device.Info{ID: "rig-0", Kind: "modbus", State: device.Active, RatedKW: kw, PollMS: 100})
			l.pass(time.Second)
		}
		know(500)
		l.ask(device.Command{Verb: device.SetPower, Power: 400})
		l.pass(time.Second)
		l.want("answers", l.answers(), "c1 setPower rejected 400 NOT_ARMED")
		know(100)
		l.ask(device.Command{Verb: device.Arm})
		l.pass(5 * time.Second)
		l.want("answers", l.answers(), "c2 arm done 0")
	})
}

// A device that rests is started to be armed; that stands in the log with who asked, and
// after a restart nothing from before it is in force.
func TestArmingStartsADeviceAtRest(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.pass(time.Second)
		u := l.units[0]
		l.ask(device.Command{Verb: device.SetMode, Mode: device.StandbyMode})
		l.ask(device.Command{Verb: device.Disarm})
		l.pass(time.Second)
		l.answers()
		u.set(func() { u.told = nil })
		l.ask(device.Command{Verb: device.Arm})
		l.pass(20 * time.Millisecond)
		var got []string
		for _, a := range l.acks {
			got = append(got, fmt.Sprintf("%v %v %v %g by %s", a.Verb, a.Mode, a.Status, a.Power, a.Source))
		}
		l.want("the log has", got[:1], "setMode run done 0 by guard")
		l.pass(5 * time.Second)
		l.want("told", slices.Compact(u.told), "setMode 0", "setPower 5", "setPower -5", "setPower 0")
		l.want("answers", l.answers(), "c3 arm done 0")
		if want := "guard: rig-0 put into mode run at 0 kW: to be armed by user:ann"; !slices.Contains(l.events, want) {
			t.Errorf("events %q", l.events)
		}
	})
}

// Who has armed a device has tested it by the rating that it had then.
func TestRatingThatIsRaisedTakesTheRightToAct(t *testing.T) {
	onLine(t, 1, false, func(l *line) {
		l.pass(time.Second)
		l.ask(device.Command{Verb: device.Arm})
		l.pass(5 * time.Second)
		l.want("life", l.life, "0 active")
		know := func(kw float64) {
			l.gw.Know(device.Info{ID: "rig-0", Kind: "modbus", State: device.Active, RatedKW: kw, PollMS: 100})
			l.pass(time.Second)
		}
		know(80)
		know(0) // which forgets nothing
		l.want("life", l.life, "0 active")
		know(500)
		l.want("life", l.life, "0 active", "0 inactive")
		l.ask(device.Command{Verb: device.SetPower, Power: 400})
		l.pass(time.Second)
		l.want("answers", l.answers(), "c1 arm done 0", "c2 setPower rejected 400 NOT_ARMED")
	})
}

// nameless never says its nameplate.
type nameless struct {
	*unit
	asked int
}

func (n *nameless) Describe(ctx context.Context, _ time.Time) (device.Info, error) {
	n.asked++
	<-ctx.Done()
	return device.Info{}, ctx.Err()
}

// A device that does not say its nameplate is asked for it less and less often, and its
// silence neither takes the right to act from it nor holds up a stop.
func TestNameplateThatDoesNotCome(t *testing.T) {
	var n *nameless
	onLineOf(t, 1, true, func(u *unit) device.Driver { n = &nameless{unit: u}; return n }, func(l *line) {
		l.pass(60 * time.Second)
		if n.asked < 3 || n.asked > 8 {
			t.Errorf("asked %d times in a minute", n.asked)
		}
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(time.Second)
		l.want("answers", l.answers(), "c1 setPower done 50")
		l.ask(device.Command{Verb: device.EStop})
		l.pass(1100 * time.Millisecond)
		l.want("answers", l.answers(), "c2 eStop done 0")
	})
}

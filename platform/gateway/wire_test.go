package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
	"yunchu/platform/guard"
	"yunchu/platform/sched"
)

// unit is a device on a wire that takes its time.
type unit struct {
	mu     sync.Mutex
	takes  time.Duration // each exchange
	kw     float64
	told   []string
	reads  []time.Time
	down   bool
	flags  device.Flags
	name   device.Info
	closed bool
	bend   func(r *device.Reading)
}

func (u *unit) exchange(ctx context.Context) error {
	u.mu.Lock()
	d := u.takes
	u.mu.Unlock()
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", device.ErrOffline, ctx.Err())
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down {
		return device.ErrOffline
	}
	return nil
}

func (u *unit) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	u.mu.Lock()
	u.reads = append(u.reads, time.Now())
	u.mu.Unlock()
	if err := u.exchange(ctx); err != nil {
		return device.Reading{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	r := device.Empty()
	r.At, r.Arrived = now.UnixMilli(), time.Now().UnixMilli()
	r.SoC, r.Temperature, r.Voltage, r.MaxCharge, r.MaxDischarge = 50+float64(len(u.reads))*1e-4, 25, 800, 100, 100
	r.Power, r.Current, r.Flags = u.kw, u.kw*1000/800, u.flags
	r.Status = device.Idle
	if u.bend != nil {
		u.bend(&r)
	}
	return r, nil
}

func (u *unit) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	if err := u.exchange(ctx); err != nil {
		return device.Ack{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.kw = c.Power
	if c.Verb != device.SetPower {
		u.kw = 0
	}
	u.told = append(u.told, fmt.Sprintf("%v %g", c.Verb, u.kw))
	return c.Answer(device.Done, time.Now().UnixMilli(), "", ""), nil
}

func (u *unit) Close() error { u.closed = true; return nil }

func (u *unit) Describe(context.Context, time.Time) (device.Info, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.name, nil
}

func (u *unit) set(f func()) { u.mu.Lock(); defer u.mu.Unlock(); f() }

// line is a gateway on the wall clock with units on wires.
type line struct {
	t      *testing.T
	gw     *gateway.Gateway
	sched  *sched.Scheduler
	bus    *local.Bus
	as     func(u *unit) device.Driver
	shut   func()
	prime  func() // before it starts
	units  []*unit
	rows   []device.Reading
	acks   []device.Ack
	events []string
	life   []string
	seq    int
}

// onLine runs f beside a gateway that serves n units every 100 ms.
func onLine(t *testing.T, n int, itself bool, f func(l *line)) {
	t.Helper()
	onLineOf(t, n, itself, func(u *unit) device.Driver { return u }, f)
}

// onLineOf is onLine with drivers of another kind.
func onLineOf(t *testing.T, n int, itself bool, as func(u *unit) device.Driver, f func(l *line)) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, bus: local.New(0), sched: sched.New(sched.NewWall()), as: as}
		for range n {
			l.units = append(l.units, &unit{takes: 2 * time.Millisecond})
		}
		l.open(itself)
		f(l)
		l.shut()
	})
}

// open brings a gateway up on the line's bus, as a start of the program does.
func (l *line) open(itself bool) {
	must := func(err error) {
		l.t.Helper()
		if err != nil {
			l.t.Fatal(err)
		}
	}
	l.gw = gateway.New(gateway.Options{
		Bus: l.bus, Sched: l.sched, Guard: &guard.Guard{}, Log: slog.New(slog.DiscardHandler),
		OnLife: func(s device.Slot, st device.State) { l.life = append(l.life, fmt.Sprintf("%d %v", s, st)) },
	})
	_, data, err := l.bus.Bounds(bus.Data)
	must(err)
	_, control, err := l.bus.Bounds(bus.Control)
	must(err)
	_, err = bus.Readings.Subscribe(l.bus, data+1, func(_ uint64, f *device.Readings) {
		var r device.Reading
		for i := range f.Rows() {
			f.Row(i, &r)
			l.rows = append(l.rows, r)
		}
	})
	must(err)
	_, err = bus.Acks.Subscribe(l.bus, control+1, func(_ uint64, f *device.Acks) { l.acks = append(l.acks, f.List...) })
	must(err)
	_, err = bus.Events.Subscribe(l.bus, control+1, func(_ uint64, f *device.Events) {
		for _, e := range f.List {
			l.events = append(l.events, e.Type+": "+e.Text)
		}
	})
	must(err)
	ctx, cancel := context.WithCancel(l.t.Context())
	var over sync.WaitGroup
	for i, u := range l.units {
		l.gw.Know(device.Info{ID: device.ID(fmt.Sprint("rig-", i)), Slot: device.Slot(i), Kind: "modbus", State: device.Inactive, RatedKW: 100, PollMS: 100})
		over.Add(1)
		u.closed = false
		must(l.gw.Attach(ctx, gateway.Wire{Driver: l.as(u), Slot: device.Slot(i), Period: 100 * time.Millisecond, ArmItself: itself}, over.Done))
	}
	if l.prime != nil {
		l.prime()
	}
	must(l.gw.Start(ctx, l.sched.Now(), time.Second))
	over.Go(func() {
		if err := l.sched.Run(ctx, time.Time{}); !errors.Is(err, context.Canceled) {
			l.t.Error(err)
		}
	})
	l.shut = func() {
		cancel()
		over.Wait()
		for _, u := range l.units {
			if !u.closed {
				l.t.Error("a driver is left open")
			}
		}
	}
}

// restart takes the gateway down and brings another one up from the log, whose devices
// somebody has to arm.
func (l *line) restart() {
	l.shut()
	l.bus.Detach()
	l.sched = sched.New(sched.NewWall())
	l.open(false)
}

// pass lets time go on; what was looked at before it was looked at before.
func (l *line) pass(d time.Duration) {
	l.sched.Post("test", func(time.Time) {})
	time.Sleep(d)
	synctest.Wait()
}

// ask sends commands at once, on the loop.
func (l *line) ask(cmds ...device.Command) {
	for i := range cmds {
		l.seq++
		c := &cmds[i]
		c.ID, c.At, c.Duration, c.Priority, c.Source = fmt.Sprint("c", l.seq), l.sched.Now().UnixMilli(), 60_000, device.Normal, "user:ann"
	}
	l.sched.Post("test", func(time.Time) { bus.Commands.Publish(l.bus, &device.Commands{List: cmds}, nil) })
}

func (l *line) answers() (out []string) {
	for _, a := range l.acks {
		if a.ID == "" {
			continue
		}
		s := fmt.Sprintf("%s %v %v %g", a.ID, a.Verb, a.Status, a.Power)
		if a.Code != "" {
			s += " " + a.Code
		}
		out = append(out, s)
	}
	l.acks = nil
	return out
}

func (l *line) want(what string, got []string, want ...string) {
	l.t.Helper()
	if !slices.Equal(got, want) {
		l.t.Errorf("%s\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

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

// A reset that waits must not start the device again after the emergency stop that came
// later.
func TestEmergencyStopOvertakesAReset(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.pass(time.Second)
		u := l.units[0]
		l.ask(device.Command{Verb: device.EStop})
		l.pass(time.Second)
		u.set(func() { u.takes, u.told = 300*time.Millisecond, nil })
		l.pass(250 * time.Millisecond) // it is in an exchange
		l.ask(device.Command{Verb: device.Reset})
		l.ask(device.Command{Verb: device.EStop})
		l.pass(5 * time.Second)
		l.want("told", u.told, "eStop 0")
		l.want("answers", l.answers(), "c1 eStop done 0", "c2 reset expired 0 SUPERSEDED", "c3 eStop done 0")
		l.ask(device.Command{Verb: device.Arm})
		l.pass(time.Second)
		l.want("answers", l.answers(), "c4 arm rejected 0 E_STOP")
	})
}

// An emergency stop does not wait for the log, and what comes from the log then is the same
// stop: it has no second effect, not even on a device that was reset meanwhile by somebody
// who came after it.
func TestEmergencyStopDoesNotWaitForTheLog(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.pass(time.Second)
		u := l.units[0]
		u.set(func() { u.told = nil })
		stop := device.Command{ID: "s1", Verb: device.EStop, At: l.sched.Now().UnixMilli(), Source: "user:ann"}
		l.gw.Stop(t.Context(), stop)
		l.pass(50 * time.Millisecond)
		l.want("told", u.told, "eStop 0")
		l.pass(3 * time.Second) // the disk is slow
		l.sched.Post("test", func(time.Time) { bus.Commands.Publish(l.bus, &device.Commands{List: []device.Command{stop}}, nil) })
		l.pass(time.Second)
		l.want("told", u.told, "eStop 0")
		l.want("answers", l.answers(), "s1 eStop done 0", "s1 eStop done 0")
		l.ask(device.Command{Verb: device.Reset})
		l.pass(time.Second)
		l.restart()
		l.pass(time.Second)
		l.ask(device.Command{Verb: device.Arm})
		l.pass(20 * time.Second)
		l.want("answers", l.answers(), "c1 reset done 0", "c2 arm done 0") // it is not stopped again by what it knows
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

// Whatever waits for a device, and however much: what takes its power to 0 does not.
func TestStopWaitsForNothing(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.pass(time.Second)
		u := l.units[0]
		l.ask(device.Command{Verb: device.SetPower, Power: 50})
		l.pass(time.Second)
		u.set(func() { u.takes, u.told = 900*time.Millisecond, nil })
		l.pass(150 * time.Millisecond)
		for range 20 {
			l.ask(device.Command{Verb: device.SetMode, Mode: device.Run})
		}
		l.ask(device.Command{Verb: device.Disarm})
		l.pass(2 * time.Second)
		if len(u.told) == 0 || u.told[0] != "stop 0" {
			t.Errorf("told %q", u.told)
		}
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

// A start that waits is not sent any more when the arming has ended.
func TestDisarmingOvertakesTheStart(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.pass(time.Second)
		u := l.units[0]
		l.ask(device.Command{Verb: device.SetMode, Mode: device.StandbyMode})
		l.ask(device.Command{Verb: device.Disarm})
		l.pass(time.Second)
		u.set(func() { u.takes, u.told = 300*time.Millisecond, nil })
		l.pass(250 * time.Millisecond) // it is in an exchange
		l.ask(device.Command{Verb: device.Arm})
		l.ask(device.Command{Verb: device.Disarm})
		l.pass(5 * time.Second)
		l.want("told", u.told, "stop 0", "setMode 0") // which is standby
		if want := "guard: rig-0 put into mode standby at 0 kW: it was not armed"; !slices.Contains(l.events, want) {
			t.Errorf("events %q", l.events)
		}
	})
}

// An emergency stop that a device did not hear before the bridge ended is told by the next
// one, which only reads otherwise, until the device has heard it.
func TestUnheardStopOutlivesTheGateway(t *testing.T) {
	for _, back := range []time.Duration{0, 30 * time.Second} { // after the restart
		onLine(t, 1, true, func(l *line) {
			l.pass(time.Second)
			u := l.units[0]
			l.ask(device.Command{Verb: device.SetPower, Power: 50})
			l.pass(time.Second)
			u.set(func() { u.down = true })
			l.ask(device.Command{Verb: device.EStop})
			l.pass(5 * time.Second)
			l.want("answers", l.answers(), "c1 setPower done 50", "c2 eStop failed 0 OFFLINE")
			u.set(func() { u.told = nil })
			l.restart()
			l.pass(back)
			u.set(func() { u.down = false })
			l.pass(time.Second)
			l.want("told", u.told, "eStop 0")
			if u.kw != 0 {
				t.Errorf("%g kW", u.kw)
			}
			l.ask(device.Command{Verb: device.Arm})
			l.pass(time.Minute)
			l.want("answers", l.answers(), "c3 arm rejected 0 E_STOP")
			l.want("told", u.told, "eStop 0")
			l.restart() // it has heard it
			l.pass(time.Minute)
			l.want("told", u.told, "eStop 0")
			l.ask(device.Command{Verb: device.Reset})
			l.pass(time.Second)
			l.want("answers", l.answers(), "c4 reset done 0")
		})
	}
}

// Arming and resetting are for somebody who is there: what nobody had answered when the
// bridge ended is not done by the next one, however soon it comes.
func TestRestartArmsAndResetsNobody(t *testing.T) {
	onLine(t, 2, false, func(l *line) {
		l.pass(time.Second)
		l.ask(device.Command{Slot: 1, Verb: device.EStop})
		l.pass(time.Second)
		l.ask(device.Command{Verb: device.Arm})
		l.pass(500 * time.Millisecond)
		for _, u := range l.units {
			u.set(func() { u.takes = time.Second })
		}
		l.ask(device.Command{Slot: 1, Verb: device.Reset})
		l.pass(50 * time.Millisecond)
		l.want("answers", l.answers(), "c1 eStop done 0")
		l.prime = func() { // the state view has readings of a moment ago
			for i := range l.units {
				r := device.Empty()
				r.Slot, r.At, r.Arrived = device.Slot(i), time.Now().UnixMilli(), time.Now().UnixMilli()
				r.SoC, r.Temperature, r.Power = 50, 25, 0
				l.gw.Prime(r)
			}
		}
		l.restart()
		for _, u := range l.units {
			u.set(func() { u.takes, u.kw, u.told = 2*time.Millisecond, 0, nil })
		}
		l.life = nil
		l.pass(20 * time.Second)
		l.want("answers", l.answers(), "c2 arm expired 0 EXPIRED", "c3 reset expired 0 EXPIRED")
		l.want("life", l.life)
		for i, u := range l.units {
			l.want(fmt.Sprint("told ", i), u.told)
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

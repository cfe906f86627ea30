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
	writes time.Duration // a command, where that is more than one exchange; 0: takes
	kw     float64
	told   []string
	reads  []time.Time
	down   bool
	flags  device.Flags
	name   device.Info
	closed bool
	bend   func(r *device.Reading)
}

func (u *unit) exchange(ctx context.Context, write bool) error {
	u.mu.Lock()
	d := u.takes
	if write && u.writes > 0 {
		d = u.writes
	}
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
	if err := u.exchange(ctx, false); err != nil {
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
	if err := u.exchange(ctx, true); err != nil {
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

// now is its power, how often it was read, and what it was told.
func (u *unit) now() (kw float64, reads int, told []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.kw, len(u.reads), slices.Clone(u.told)
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

package gateway_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
	"yunchu/platform/guard"
	"yunchu/platform/sched"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

// fleet is devices that do as they are told by the test.
type fleet struct {
	n       int
	silent  map[int]bool // do not report
	change  func(now time.Time, r *device.Reading)
	extra   []device.Reading // beside the others
	readErr error

	// answer is what a command gets; nil: done after 40 ms. false: no answer.
	answer   func(now time.Time, c *device.Command) (device.Ack, bool)
	writeErr error
	took     []device.Command
	tookAt   []time.Time
	reads    int
}

func (f *fleet) Size() int { return f.n }

func (f *fleet) ReadAll(_ context.Context, now time.Time, into *device.Readings) error {
	f.reads++
	for i := range f.n {
		if f.silent[i] {
			continue
		}
		r := healthy(device.Slot(i), now)
		if f.change != nil {
			f.change(now, &r)
		}
		into.Append(&r)
	}
	for i := range f.extra {
		into.Append(&f.extra[i])
	}
	return f.readErr
}

// healthy is a reading that says something new each second.
func healthy(s device.Slot, now time.Time) device.Reading {
	r := device.Empty()
	r.Slot, r.At, r.Arrived = s, now.UnixMilli(), now.UnixMilli()
	r.SoC, r.Temperature, r.Power, r.Status = 50+now.Sub(start).Seconds()/1e4, 25, 0, device.Idle
	return r
}

func (f *fleet) WriteAll(_ context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	for i := range cmds {
		c := cmds[i]
		if f.answer == nil {
			acks = append(acks, c.Answer(device.Done, now.Add(40*time.Millisecond).UnixMilli(), "", ""))
		} else if a, ok := f.answer(now, &c); ok {
			acks = append(acks, a)
		}
		f.took, f.tookAt = append(f.took, c), append(f.tookAt, now)
	}
	return acks, f.writeErr
}

// rig is a gateway on a virtual clock with its fleet, and what came over the bus.
type rig struct {
	t     *testing.T
	bus   *local.Bus
	sched *sched.Scheduler
	guard *guard.Guard
	gw    *gateway.Gateway
	fleet *fleet
	stop  context.CancelFunc
	log   *strings.Builder

	frames []frame // of readings
	acks   []answer
	events []device.Event
}

type frame struct {
	now  time.Time
	rows []device.Reading
}

type answer struct {
	now time.Time
	device.Ack
}

// slots are not the indices of the fleet, so that one taken for the other shows.
func slot(index int) device.Slot { return device.Slot(10 + 2*index) }

func info(index int) device.Info {
	return device.Info{
		ID: device.ID(fmt.Sprintf("ess-%d", index)), Slot: slot(index), Kind: "sim", State: device.Active,
		RatedKW: 100, CapacityKWh: 200, SoCMin: 10, SoCMax: 90,
	}
}

// newRig is a started gateway whose fleet has n devices that are polled each
// second.
func newRig(t *testing.T, n int) *rig {
	t.Helper()
	r := &rig{t: t, bus: local.New(0), sched: sched.New(sched.NewVirtual(start)), fleet: &fleet{n: n, silent: map[int]bool{}}}
	r.open()
	return r
}

// open brings a gateway up on the rig's bus, as a start of the program does.
func (r *rig) open() {
	r.t.Helper()
	r.guard, r.log = &guard.Guard{}, &strings.Builder{}
	r.gw = gateway.New(gateway.Options{Bus: r.bus, Sched: r.sched, Guard: r.guard, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	slots := make([]device.Slot, r.fleet.n)
	for i := range slots {
		slots[i] = slot(i)
		r.gw.Know(info(i))
	}
	r.must(r.gw.Serve(r.fleet, slots))
	_, data, err := r.bus.Bounds(bus.Data)
	r.must(err)
	_, control, err := r.bus.Bounds(bus.Control)
	r.must(err)
	_, err = bus.Readings.Subscribe(r.bus, data+1, func(_ uint64, f *device.Readings) {
		x := frame{now: r.sched.Now()}
		for i := range f.Rows() {
			var row device.Reading
			f.Row(i, &row)
			x.rows = append(x.rows, row)
		}
		r.frames = append(r.frames, x)
	})
	r.must(err)
	_, err = bus.Acks.Subscribe(r.bus, control+1, func(_ uint64, f *device.Acks) {
		for _, a := range f.List {
			r.acks = append(r.acks, answer{r.sched.Now(), a})
		}
	})
	r.must(err)
	_, err = bus.Events.Subscribe(r.bus, control+1, func(_ uint64, f *device.Events) { r.events = append(r.events, f.List...) })
	r.must(err)
	ctx, stop := context.WithCancel(r.t.Context())
	r.stop = stop
	r.must(r.gw.Start(ctx, r.sched.Now().Truncate(time.Second).Add(time.Second), time.Second))
}

// restart takes the gateway down and brings another one up from the log.
func (r *rig) restart() {
	r.stop()
	r.bus.Detach()
	r.open()
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) run(until time.Duration) {
	r.t.Helper()
	r.must(r.sched.Run(r.t.Context(), at(until)))
}

// send publishes commands at a moment.
func (r *rig) send(when time.Duration, cmds ...device.Command) {
	r.sched.At(at(when), sched.Write, func(now time.Time) {
		list := append([]device.Command(nil), cmds...)
		for i := range list {
			if list[i].At == 0 {
				list[i].At = now.UnixMilli()
			}
		}
		bus.Commands.Publish(r.bus, &device.Commands{List: list}, nil)
	})
}

func setPower(index int, id string, kw float64) device.Command {
	return device.Command{Slot: slot(index), ID: id, Verb: device.SetPower, Priority: device.Normal, Power: kw, Duration: 60_000, Source: "user:ann"}
}

// wantAcks compares what was acknowledged, when, and how.
func (r *rig) wantAcks(want ...string) {
	r.t.Helper()
	var got []string
	for _, a := range r.acks {
		s := fmt.Sprintf("%v %s@%d %v", a.now.Sub(start), a.ID, (int(a.Slot)-10)/2, a.Status)
		if a.Code != "" {
			s += " " + a.Code
		}
		got = append(got, s)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Errorf("acknowledged\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	r.acks = nil
}

func (r *rig) wantEvents(want ...string) {
	r.t.Helper()
	var got []string
	for _, e := range r.events {
		got = append(got, fmt.Sprintf("%v %s: %s", device.Time(e.At).Sub(start), e.Type, e.Text))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Errorf("events\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	r.events = nil
}

// wantTook compares what the devices were told.
func (r *rig) wantTook(want ...string) {
	r.t.Helper()
	var got []string
	for i, c := range r.fleet.took {
		got = append(got, fmt.Sprintf("%v %s@%d %v %.6g", r.fleet.tookAt[i].Sub(start), c.ID, c.Slot, c.Verb, c.Power))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Errorf("devices were told\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	r.fleet.took, r.fleet.tookAt = nil, nil
}

package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/fleet"
	"yunchu/platform/fleet/image"
)

// locked is a bus that several goroutines may publish on, as the durable one.
type locked struct {
	*local.Bus
	mu     sync.Mutex
	refuse error
}

func (l *locked) Publish(stream string, f device.Frame, done func(uint64, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		done(0, l.refuse)
		return
	}
	l.Bus.Publish(stream, f, done)
}

func open(t *testing.T, b bus.Bus) *fleet.Fleet {
	t.Helper()
	f := fleet.New(b)
	if err := f.Start(1); err != nil {
		t.Fatal(err)
	}
	return f
}

func register(t *testing.T, f *fleet.Fleet, info device.Info) device.Info {
	t.Helper()
	out, err := f.Register(t.Context(), info, 1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRegister(t *testing.T) {
	f := open(t, local.New(0))
	a := register(t, f, device.Info{ID: "a", Kind: "sim", State: device.Active, RatedKW: 100, Simulated: true})
	b := register(t, f, device.Info{ID: "b", Kind: "push", State: device.Inactive})
	if a.Slot != 0 || b.Slot != 1 {
		t.Errorf("slots %d and %d, want 0 and 1", a.Slot, b.Slot)
	}
	a2 := register(t, f, device.Info{ID: "a", Model: "m", RatedKW: 50, Slot: 77})
	want := device.Info{ID: "a", Slot: 0, Kind: "sim", State: device.Active, Model: "m", RatedKW: 50}
	if !reflect.DeepEqual(a2, want) {
		t.Errorf("changed: %+v, want %+v", a2, want)
	}
	if got, ok := f.Info("a"); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("known: %+v", got)
	}
	if c := register(t, f, device.Info{ID: "c"}); c.Slot != 2 || f.Len() != 3 {
		t.Errorf("the third has slot %d of %d", c.Slot, f.Len())
	}
	for _, id := range []device.ID{"", "a b", "ä", device.ID(strings.Repeat("x", 65))} {
		if _, err := f.Register(t.Context(), device.Info{ID: id}, 1); !errors.Is(err, fleet.ErrInvalidID) {
			t.Errorf("id %q: %v, want ErrInvalidID", id, err)
		}
	}
	if _, ok := f.Slot("nobody"); ok {
		t.Error("nobody has a slot")
	}
	if _, ok := f.Device(99); ok {
		t.Error("slot 99 has a device")
	}
}

// A device that begins to push while it is being registered does not wipe out
// what was said of it.
func TestSelfRegistrationChangesNothing(t *testing.T) {
	b := local.New(0)
	f := open(t, b)
	want := register(t, f, device.Info{ID: "a", Kind: "modbus", State: device.Active, RatedKW: 100, Location: &device.Location{Lat: 1}})
	_, before, _ := b.Bounds(bus.Meta)
	for _, bare := range []device.Info{{ID: "a"}, {ID: "a", Kind: "push", State: device.Inactive}} {
		if got := register(t, f, bare); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if got, _ := f.Info("a"); !reflect.DeepEqual(got, want) {
		t.Errorf("known: %+v, want %+v", got, want)
	}
	if _, after, _ := b.Bounds(bus.Meta); after != before {
		t.Errorf("%d changes were written for nothing", after-before)
	}
}

func TestRegistrationsAtOnce(t *testing.T) {
	f := open(t, &locked{Bus: local.New(0)})
	const devices, callers = 40, 8
	var mu sync.Mutex
	slots := map[device.ID]map[device.Slot]bool{}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range devices {
				id := device.ID(fmt.Sprintf("ess-%03d", (i*7+c)%devices))
				info, err := f.Register(t.Context(), device.Info{ID: id, Model: fmt.Sprint("by ", c)}, 1)
				if err != nil {
					t.Errorf("%s: %v", id, err)
				}
				if s, ok := f.Slot(id); !ok || s != info.Slot {
					t.Errorf("%s: registered with slot %d, found with %d", id, info.Slot, s)
				}
				mu.Lock()
				if slots[id] == nil {
					slots[id] = map[device.Slot]bool{}
				}
				slots[id][info.Slot] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	seen := map[device.Slot]device.ID{}
	for id, list := range slots {
		for s := range list {
			if other, taken := seen[s]; taken || len(list) != 1 || s >= devices {
				t.Errorf("%s has slots %v; slot %d is also %s's", id, list, s, other)
			}
			seen[s] = id
		}
	}
	if f.Len() != devices {
		t.Errorf("%d devices, want %d", f.Len(), devices)
	}
}

func TestRegistrationThatFails(t *testing.T) {
	b := &locked{Bus: local.New(0), refuse: bus.ErrOverload}
	f := open(t, b)
	if _, err := f.Register(t.Context(), device.Info{ID: "a"}, 1); !errors.Is(err, bus.ErrOverload) {
		t.Errorf("Register() = %v, want ErrOverload", err)
	}
	b.refuse = nil
	a := register(t, f, device.Info{ID: "a"})
	if got, ok := f.Device(a.Slot); !ok || !reflect.DeepEqual(got.Info, a) || f.Len() != 1 {
		t.Errorf("again: %+v", got.Info)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = f.Register(ctx, device.Info{ID: "b"}, 1) // may have gone through
	if b := register(t, f, device.Info{ID: "b", Model: "m"}); b.Slot == a.Slot || b.Model != "m" {
		t.Errorf("after a cancelled one: %+v", b)
	}
}

// publish writes a registration as another program on the bus would.
func publish(t *testing.T, b bus.Bus, key string, info device.Info) {
	t.Helper()
	value, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	b.Publish(bus.Meta, &device.Meta{Kind: "device", Key: key, Value: value}, nil)
}

func TestDamagedRegistrationsArePassedOver(t *testing.T) {
	b := local.New(0)
	var told []device.Slot
	f := fleet.New(b)
	f.OnChange(func(i device.Info) { told = append(told, i.Slot) })
	if err := f.Start(1); err != nil {
		t.Fatal(err)
	}
	good := register(t, f, device.Info{ID: "a", RatedKW: 1})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	publish(t, b, "far", device.Info{ID: "far", Slot: device.Plant})
	publish(t, b, "far", device.Info{ID: "far", Slot: 1 << 30})
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("slots far out cost %d bytes", n)
	}
	publish(t, b, "a", device.Info{ID: "a", Slot: 3, RatedKW: 2})     // a device keeps its slot
	publish(t, b, "thief", device.Info{ID: "thief", Slot: good.Slot}) // and a slot its device
	publish(t, b, "", device.Info{Slot: 4})
	b.Publish(bus.Meta, &device.Meta{Kind: "device", Key: "b", Value: []byte(`{"deviceId":`)}, nil)
	b.Publish(bus.Meta, &device.Meta{Kind: "device", Key: "b"}, nil)
	b.Publish(bus.Meta, &device.Meta{Kind: "user", Key: "b", Value: []byte(`{"deviceId":"b","slot":9}`)}, nil)
	if got, ok := f.Info("a"); !ok || !reflect.DeepEqual(got, good) || f.Len() != 1 {
		t.Errorf("known: %+v and %d devices, want %+v alone", got, f.Len(), good)
	}
	publish(t, b, "gap", device.Info{ID: "gap", Slot: 100}) // registrations before it have failed
	if s, ok := f.Slot("gap"); !ok || s != 100 {
		t.Errorf("a slot behind a gap: %d, %v", s, ok)
	}
	if next := register(t, f, device.Info{ID: "next"}); next.Slot != 101 {
		t.Errorf("the next one has slot %d, want 101", next.Slot)
	}
	if want := []device.Slot{0, 100, 101}; !slices.Equal(told, want) {
		t.Errorf("changes of %v are told, want %v", told, want)
	}
}

// Two programs on one bus may register at the same moment: the first in the log
// holds, and the second is told.
func TestSlotTakenByAnotherProgram(t *testing.T) {
	b := local.New(0)
	g := open(t, &thief{Bus: b, t: t})
	if _, err := g.Register(t.Context(), device.Info{ID: "mine"}, 1); !errors.Is(err, fleet.ErrTaken) {
		t.Errorf("Register() = %v, want ErrTaken", err)
	}
	if mine := register(t, g, device.Info{ID: "mine"}); mine.Slot != 1 {
		t.Errorf("again: slot %d, want 1", mine.Slot)
	}
}

// thief registers something else just before the first registration.
type thief struct {
	bus.Bus
	t    *testing.T
	done bool
}

func (x *thief) Publish(stream string, f device.Frame, done func(uint64, error)) {
	if !x.done {
		x.done = true
		publish(x.t, x.Bus, "theirs", device.Info{ID: "theirs", Slot: 0})
	}
	x.Bus.Publish(stream, f, done)
}

// Whoever finds a device in the image may rely on what OnChange does being done.
func TestChangeIsToldBeforeItShows(t *testing.T) {
	f := fleet.New(local.New(0))
	f.OnChange(func(i device.Info) {
		if _, ok := f.Slot(i.ID); ok {
			t.Error("a new device shows before its change is told")
		}
	})
	if err := f.Start(1); err != nil {
		t.Fatal(err)
	}
	register(t, f, device.Info{ID: "a"})
}

func TestPage(t *testing.T) {
	f := open(t, local.New(0))
	ids := []device.ID{"b", "a", "z-9", "A", "_", "0", "m"}
	for _, id := range ids {
		register(t, f, device.Info{ID: id})
	}
	slices.Sort(ids)
	names := func(list []device.Info) (out []device.ID) {
		for _, i := range list {
			out = append(out, i.ID)
		}
		return out
	}
	for _, limit := range []int{1, 2, 3, 7, 8, 1000} {
		var all []device.ID
		after := device.ID("")
		for {
			page := names(f.Page(after, limit))
			if len(page) > limit {
				t.Fatalf("a page of %d has %d devices", limit, len(page))
			}
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
			after = page[len(page)-1]
		}
		if !slices.Equal(all, ids) {
			t.Errorf("pages of %d: %v, want %v", limit, all, ids)
		}
	}
	if got := names(f.Page("c", 2)); !slices.Equal(got, []device.ID{"m", "z-9"}) {
		t.Errorf("after one that does not exist: %v", got)
	}
	for _, limit := range []int{0, -1} {
		if got := f.Page("", limit); len(got) != 0 {
			t.Errorf("a page of %d has %d devices", limit, len(got))
		}
	}
}

// fill writes a history of everything to the log.
func fill(t *testing.T, b bus.Bus, f *fleet.Fleet, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	const n = 12
	for i := range n {
		register(t, f, device.Info{ID: device.ID(fmt.Sprintf("ess-%d", i)), Kind: "sim"})
	}
	for round := range 30 {
		for range rng.IntN(4) {
			info := device.Info{ID: device.ID(fmt.Sprintf("ess-%d", rng.IntN(n))), Kind: "sim", State: device.State(rng.IntN(4)), RatedKW: float64(rng.IntN(100))}
			register(t, f, info)
		}
		var rows device.Readings
		for s := range device.Slot(n + 2) { // some of nobody
			r := device.Empty()
			r.Slot, r.At, r.Arrived = s, int64(1000*(round+rng.IntN(5))), int64(1000*round)
			r.SoC, r.Quality, r.Flags = rng.Float64()*100, device.Quality(rng.IntN(3)), device.Flags(rng.IntN(8))
			if rng.IntN(5) == 0 {
				r.Word = "boosting"
			} else {
				r.Status = device.Idle
			}
			rows.Append(&r)
		}
		b.Publish(bus.Data, &rows, nil)
		var acks device.Acks
		for s := range device.Slot(n + 2) {
			c := device.Command{Slot: s, Verb: device.Verb(1 + rng.IntN(4)), Mode: device.Mode(rng.IntN(3)), Priority: device.Priority(rng.IntN(5)), Power: rng.Float64(), Until: int64(rng.IntN(100_000))}
			acks.List = append(acks.List, c.Answer(device.AckStatus(1+rng.IntN(4)), int64(round), "", ""))
		}
		b.Publish(bus.Control, &acks, nil)
	}
}

func snapshot(f *fleet.Fleet) (out []string) {
	f.View(func(img *image.Image) {
		for i := range img.Devices {
			out = append(out, fmt.Sprintf("%+v", img.Devices[i]))
		}
	})
	return out
}

func TestReplayGivesTheSameImage(t *testing.T) {
	for seed := range uint64(5) {
		b := local.New(0)
		live := open(t, b)
		fill(t, b, live, seed)
		again := open(t, b)
		want, got := snapshot(live), snapshot(again)
		if len(want) != len(got) || len(want) == 0 {
			t.Fatalf("seed %d: %d devices live, %d after a replay", seed, len(want), len(got))
		}
		third := snapshot(open(t, b))
		for i := range got {
			if got[i] != third[i] {
				t.Errorf("seed %d, device %d differs between two replays:\n%s\n%s", seed, i, got[i], third[i])
			}
			if want[i] != got[i] {
				t.Errorf("seed %d, device %d:\nlive   %s\nreplay %s", seed, i, want[i], got[i])
			}
		}
		if !slices.Equal(names(live), names(again)) {
			t.Errorf("seed %d: the registries differ", seed)
		}
		next := device.Info{ID: "next"}
		if x, y := register(t, live, next), register(t, again, next); x.Slot != y.Slot {
			t.Errorf("seed %d: the next slot is %d live, %d after a replay", seed, x.Slot, y.Slot)
		}
	}
}

func names(f *fleet.Fleet) (out []device.ID) {
	for _, i := range f.Page("", 1000) {
		out = append(out, i.ID)
	}
	return out
}

func TestImage(t *testing.T) {
	at := func(ms int64, soc float64, q device.Quality) *device.Reading {
		r := device.Empty()
		r.At, r.Arrived, r.SoC, r.Quality = ms, ms, soc, q
		return &r
	}
	var d image.Device
	if d.Fresh(0, time.Hour) {
		t.Error("a device that was never heard of is fresh")
	}
	d.Put(at(1000, 1, device.Good))
	d.Put(at(3000, 3, device.Bad))
	d.Put(at(2000, 2, device.Good))
	if d.Last.SoC != 3 || d.Good.SoC != 2 {
		t.Errorf("newest %v, newest good %v, want 3 and 2", d.Last.SoC, d.Good.SoC)
	}
	d.Put(at(2000, 2.5, device.Good)) // revised
	d.Put(at(1500, 1.5, device.Good)) // late
	if d.Good.SoC != 2.5 {
		t.Errorf("of two with one time %v is shown, want the later", d.Good.SoC)
	}
	for _, tt := range []struct {
		now   int64
		fresh bool
	}{{2000, true}, {5000, true}, {5001, false}} {
		if got := d.Fresh(tt.now, 3*time.Second); got != tt.fresh {
			t.Errorf("a reading of 2000 is fresh at %d: %v", tt.now, got)
		}
	}
	ahead := at(300_000, 9, device.Good)
	ahead.Arrived = 6000
	d.Put(ahead)
	if d.Fresh(10_000, 3*time.Second) {
		t.Error("a reading from the future makes its device fresh for ever")
	}
}

func TestTold(t *testing.T) {
	var d image.Device
	take := func(seq uint64, verb device.Verb, m device.Mode, s device.AckStatus, p device.Priority, kw float64, until int64) {
		d.Take(seq, &device.Ack{Verb: verb, Mode: m, Status: s, Priority: p, Power: kw, At: 1000, Until: until})
	}
	take(1, device.SetPower, 0, device.Done, device.High, 50, 5000)
	if !d.Told.Held(4999) || d.Told.Held(5000) || d.Told.Power != 50 || d.Told.Seq != 1 {
		t.Errorf("told %+v", d.Told)
	}
	for _, s := range []device.AckStatus{device.Rejected, device.Expired, device.Failure} {
		take(2, device.SetPower, 0, s, device.Safety, 70, 9000)
		if d.Told.Power != 50 {
			t.Errorf("a command that was %v is told: %+v", s, d.Told)
		}
	}
	take(3, device.SetPower, 0, device.Done, device.Dispatch, 20, 5000)
	if !d.Told.Live(4000) || d.Told.Held(4000) {
		t.Errorf("told by dispatch %+v, want it live and not held", d.Told)
	}
	take(4, device.SetMode, device.StandbyMode, device.Done, device.Normal, 0, 5000)
	if !d.Told.Held(4000) || d.Told.Power != 0 {
		t.Errorf("in standby %+v, want it held at 0", d.Told)
	}
	take(5, device.SetMode, device.Run, device.Done, device.Normal, 0, 0)
	if d.Told.Live(0) {
		t.Errorf("back in mode run %+v, want nothing told", d.Told)
	}
	take(6, device.Stop, 0, device.Done, device.Normal, 0, 5000)
	if !d.Told.Held(4000) {
		t.Errorf("stopped %+v, want it held", d.Told)
	}
	take(7, device.Release, 0, device.Done, device.Normal, 0, 0)
	if d.Told != (image.Told{}) {
		t.Errorf("released %+v, want nothing told", d.Told)
	}
}

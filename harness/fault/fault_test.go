package fault_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"yunchu/harness/fault"
	"yunchu/harness/scenario"
	"yunchu/hil/sim"
	"yunchu/platform/device"
	"yunchu/platform/device/devicetest"
	"yunchu/twin"
	"yunchu/twin/params"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fleet is devices whose readings are known: the value of a field is its number,
// plus the device's index, plus a tenth for each second.
type fleet struct {
	n      int
	silent int // this many at the end do not answer, with an error
	calls  []call
}

type call struct {
	now time.Time
	c   device.Command
}

var errSilent = errors.New("some are silent")

func (f *fleet) Size() int { return f.n }

func (f *fleet) ReadAll(_ context.Context, now time.Time, into *device.Readings) error {
	for i := range f.n - f.silent {
		r := genuine(i, now)
		into.Append(&r)
	}
	if f.silent > 0 {
		return errSilent
	}
	return nil
}

func genuine(i int, now time.Time) device.Reading {
	ms, v := now.UnixMilli(), float64(i)+now.Sub(start).Seconds()/10
	return device.Reading{
		Slot: device.Slot(i), At: ms, Arrived: ms, SoC: 10 + v, SoH: 20 + v, Voltage: 30 + v, Current: 40 + v, Power: 50 + v,
		Temperature: 60 + v, MaxCharge: 70 + v, MaxDischarge: 80 + v, Status: device.Charging,
	}
}

func (f *fleet) WriteAll(_ context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	for i := range cmds {
		f.calls = append(f.calls, call{now, cmds[i]})
		if int(cmds[i].Slot) >= f.n {
			acks = append(acks, cmds[i].Answer(device.Rejected, now.UnixMilli(), "REJECTED", "no such device"))
			continue
		}
		acks = append(acks, cmds[i].Answer(device.Done, now.Add(40*time.Millisecond).UnixMilli(), "", ""))
	}
	return acks, nil
}

func wrap(next device.Fleet, seed uint64) *fault.Fleet {
	ids := make([]device.ID, next.Size())
	for i := range ids {
		ids[i] = device.ID(fmt.Sprintf("ess-%d", i))
	}
	return fault.Wrap(next, ids, seed)
}

func at(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }

// read is what arrives of one poll.
func read(t *testing.T, f device.Fleet, now time.Time) (rows []device.Reading) {
	t.Helper()
	var all device.Readings
	if err := f.ReadAll(t.Context(), now, &all); err != nil {
		t.Fatal(err)
	}
	for i := range all.Rows() {
		var r device.Reading
		all.Row(i, &r)
		rows = append(rows, r)
	}
	return rows
}

func write(t *testing.T, f device.Fleet, now time.Time, slots ...device.Slot) []device.Ack {
	t.Helper()
	var cmds []device.Command
	for i, s := range slots {
		cmds = append(cmds, device.Command{Slot: s, Seq: uint64(i + 1), Verb: device.SetPower, Power: 5, At: now.UnixMilli()})
	}
	acks, err := f.WriteAll(t.Context(), now, cmds, nil)
	if err != nil {
		t.Fatal(err)
	}
	return acks
}

// series is what arrives of device 1 of 3 in n polls, one a second.
func series(t *testing.T, inj scenario.Injection, n int) (out []device.Reading) {
	t.Helper()
	f := wrap(&fleet{n: 3}, 1)
	f.Begin(1, &inj, []int{1})
	for s := range n {
		others := 0
		for _, r := range read(t, f, at(s)) {
			if r.Slot == 1 {
				out = append(out, r)
				continue
			}
			if others++; r != genuine(int(r.Slot), at(s)) {
				t.Fatalf("%s on device 1 changes device %d: %+v", inj.Kind, r.Slot, r)
			}
		}
		if others != 2 {
			t.Fatalf("%s on device 1: %d readings of the two others", inj.Kind, others)
		}
	}
	return out
}

func amount(d time.Duration) scenario.Amount { return scenario.Amount{Duration: d} }

func TestReadings(t *testing.T) {
	const n = 1000
	late := func(r *device.Reading) time.Duration { return time.Duration(r.Arrived-r.At) * time.Millisecond }
	t.Run("link-down", func(t *testing.T) {
		for _, kind := range []string{"link-down", "restart"} {
			if got := series(t, scenario.Injection{Kind: kind, On: "both"}, 10); len(got) != 0 {
				t.Errorf("%s: %d readings pass", kind, len(got))
			}
		}
	})
	t.Run("drop", func(t *testing.T) {
		got := series(t, scenario.Injection{Kind: "drop", Ratio: 0.3, On: "both"}, n)
		if len(got) < 650 || len(got) > 750 {
			t.Errorf("%d of %d readings pass a drop of 0.3", len(got), n)
		}
		if all := series(t, scenario.Injection{Kind: "drop", Ratio: 0}, n); len(all) != n {
			t.Errorf("%d of %d readings pass a drop of 0", len(all), n)
		}
		if none := series(t, scenario.Injection{Kind: "drop", Ratio: 1}, n); len(none) != 0 {
			t.Errorf("%d readings pass a drop of 1", len(none))
		}
	})
	t.Run("duplicate", func(t *testing.T) {
		got := series(t, scenario.Injection{Kind: "duplicate", Ratio: 0.3}, n)
		if len(got) < n+250 || len(got) > n+350 {
			t.Errorf("%d readings arrive of %d", len(got), n)
		}
		for i := range got {
			if got[i] != genuine(1, device.Time(got[i].At)) {
				t.Fatalf("a copy differs: %+v", got[i])
			}
		}
	})
	t.Run("latency", func(t *testing.T) {
		least, most := time.Hour, time.Duration(0)
		for _, r := range series(t, scenario.Injection{Kind: "latency", By: amount(200 * time.Millisecond), Jitter: 50 * time.Millisecond}, n) {
			least, most = min(least, late(&r)), max(most, late(&r))
		}
		if least < 150*time.Millisecond || least > 160*time.Millisecond || most > 250*time.Millisecond || most < 240*time.Millisecond {
			t.Errorf("delays from %v to %v, want 200 ms ± 50 ms", least, most)
		}
		for _, r := range series(t, scenario.Injection{Kind: "latency", By: amount(10 * time.Millisecond), Jitter: time.Second}, n) {
			if late(&r) < 0 {
				t.Fatalf("a reading arrives %v before it was measured", -late(&r))
			}
		}
	})
	t.Run("reorder", func(t *testing.T) {
		got := series(t, scenario.Injection{Kind: "reorder", By: amount(3 * time.Second)}, n)
		swapped := 0
		for i := range got {
			if l := late(&got[i]); l < 0 || l > 3*time.Second {
				t.Fatalf("a reading is %v late", l)
			}
			if i > 0 && got[i].Arrived < got[i-1].Arrived {
				swapped++
			}
		}
		if swapped < n/10 {
			t.Errorf("%d of %d readings overtake the one before", swapped, n)
		}
	})
	t.Run("corrupt", func(t *testing.T) {
		wrong := 0
		for _, r := range series(t, scenario.Injection{Kind: "corrupt", Ratio: 0.5}, n) {
			want, fields := genuine(1, device.Time(r.At)), 0
			for _, v := range [][2]float64{{r.SoC, want.SoC}, {r.Voltage, want.Voltage}, {r.Current, want.Current}, {r.Power, want.Power}, {r.Temperature, want.Temperature}} {
				if v[0] != v[1] {
					fields++
				}
				if math.IsNaN(v[0]) {
					t.Fatal("a corrupted value is not a number: it would count as not reported")
				}
			}
			if fields > 1 {
				t.Fatalf("%d fields are corrupted at once", fields)
			}
			wrong += fields
		}
		if wrong < 450 || wrong > 550 {
			t.Errorf("%d of %d readings are corrupted, want half", wrong, n)
		}
	})
	t.Run("bias", func(t *testing.T) {
		for _, field := range []string{"soc", "soh", "voltage", "current", "power", "temperature"} {
			for _, r := range series(t, scenario.Injection{Kind: "bias", Field: field, By: scenario.Amount{Number: -5}}, 3) {
				want := genuine(1, device.Time(r.At))
				*value(&want, field) -= 5
				if r != want {
					t.Errorf("%s: %+v, want %+v", field, r, want)
				}
			}
		}
	})
	t.Run("noise", func(t *testing.T) {
		var sum, square float64
		for _, r := range series(t, scenario.Injection{Kind: "noise", Field: "power", SD: 2}, n) {
			want := genuine(1, device.Time(r.At))
			d := r.Power - want.Power
			sum, square = sum+d, square+d*d
			if r.Power = want.Power; r != want {
				t.Fatalf("more than the power is noisy: %+v", r)
			}
		}
		if mean, sd := sum/n, math.Sqrt(square/n); math.Abs(mean) > 0.2 || math.Abs(sd-2) > 0.2 {
			t.Errorf("noise of mean %v and standard deviation %v, want 0 and 2", mean, sd)
		}
	})
	t.Run("stuck", func(t *testing.T) {
		for _, field := range []string{"soc", "soh", "voltage", "current", "power", "temperature"} {
			for _, r := range series(t, scenario.Injection{Kind: "stuck", Field: field}, 5) {
				want, first := genuine(1, device.Time(r.At)), genuine(1, start)
				*value(&want, field) = *value(&first, field)
				if r != want {
					t.Errorf("%s: %+v, want %+v", field, r, want)
				}
			}
		}
		if got := series(t, scenario.Injection{Kind: "stuck", Field: "status"}, 5); got[4].Status != device.Charging || got[4].SoC != genuine(1, at(4)).SoC {
			t.Errorf("status: %+v", got[4])
		}
	})
	t.Run("frozen", func(t *testing.T) {
		for _, r := range series(t, scenario.Injection{Kind: "frozen"}, 5) {
			want := genuine(1, start)
			want.At, want.Arrived = r.At, r.Arrived
			if r != want || r.Arrived != r.At {
				t.Errorf("%+v, want the first under a fresh timestamp", r)
			}
		}
		if got := series(t, scenario.Injection{Kind: "frozen"}, 5); got[4].At != at(4).UnixMilli() {
			t.Errorf("the last is of %d, want its own time", got[4].At)
		}
	})
	t.Run("commands only", func(t *testing.T) {
		if got := series(t, scenario.Injection{Kind: "drop", Ratio: 1, On: "commands"}, 5); len(got) != 5 {
			t.Errorf("%d of 5 readings pass", len(got))
		}
	})
}

func value(r *device.Reading, field string) *float64 {
	return map[string]*float64{"soc": &r.SoC, "soh": &r.SoH, "voltage": &r.Voltage, "current": &r.Current, "power": &r.Power, "temperature": &r.Temperature}[field]
}

func TestCommands(t *testing.T) {
	begin := func(inj scenario.Injection) (*fleet, *fault.Fleet) {
		next := &fleet{n: 3}
		f := wrap(next, 1)
		f.Begin(1, &inj, []int{1})
		return next, f
	}
	t.Run("link-down", func(t *testing.T) {
		for _, kind := range []string{"link-down", "restart"} {
			next, f := begin(scenario.Injection{Kind: kind, On: "both"})
			acks := write(t, f, start, 0, 1, 2)
			if len(acks) != 3 || acks[1].Status != device.Failure || acks[1].Code != "OFFLINE" || acks[0].Status != device.Done || acks[2].Seq != 3 {
				t.Errorf("%s: %+v", kind, acks)
			}
			if len(next.calls) != 2 {
				t.Errorf("%s: %d commands pass, want those of the two others", kind, len(next.calls))
			}
		}
	})
	t.Run("drop", func(t *testing.T) {
		for _, kind := range []string{"drop", "corrupt"} {
			next, f := begin(scenario.Injection{Kind: kind, Ratio: 1, On: "both"})
			if acks := write(t, f, start, 0, 1, 2); len(acks) != 2 || acks[0].Slot != 0 || acks[1].Slot != 2 || len(next.calls) != 2 {
				t.Errorf("%s: %+v, want the others' alone", kind, acks)
			}
		}
	})
	t.Run("duplicate", func(t *testing.T) {
		next, f := begin(scenario.Injection{Kind: "duplicate", Ratio: 1, On: "both"})
		if acks := write(t, f, start, 0, 1, 2); len(acks) != 3 || len(next.calls) != 4 || next.calls[1].c != next.calls[2].c {
			t.Errorf("%d answers to %d commands that came", len(acks), len(next.calls))
		}
	})
	t.Run("latency", func(t *testing.T) {
		next, f := begin(scenario.Injection{Kind: "latency", By: amount(200 * time.Millisecond), On: "both"})
		acks := write(t, f, start, 0, 1, 2)
		if came := next.calls[1].now; came != start.Add(200*time.Millisecond) || acks[1].At != start.Add(240*time.Millisecond).UnixMilli() {
			t.Errorf("came at %v, answered at %v", came.Sub(start), device.Time(acks[1].At).Sub(start))
		}
		if next.calls[2].now != start {
			t.Errorf("the next device's command is late, too: %v", next.calls[2].now.Sub(start))
		}
	})
	t.Run("reorder", func(t *testing.T) {
		next, f := begin(scenario.Injection{Kind: "reorder", By: amount(2 * time.Second), On: "commands"})
		most := time.Duration(0)
		for range 100 {
			write(t, f, start, 1)
			d := next.calls[len(next.calls)-1].now.Sub(start)
			if most = max(most, d); d < 0 || d > 2*time.Second {
				t.Fatalf("a command is %v late", d)
			}
		}
		if most < time.Second {
			t.Errorf("the latest of 100 commands is %v late", most)
		}
	})
	t.Run("readings only", func(t *testing.T) {
		for _, on := range []string{"readings", ""} {
			if _, f := begin(scenario.Injection{Kind: "drop", Ratio: 1, On: on}); len(write(t, f, start, 1)) != 1 {
				t.Errorf("on %q: the command is lost", on)
			}
		}
	})
	t.Run("nobody", func(t *testing.T) {
		if _, f := begin(scenario.Injection{Kind: "drop", Ratio: 1, On: "both"}); write(t, f, start, 3)[0].Status != device.Rejected {
			t.Error("a command for nobody is not refused")
		}
	})
}

// A later error does not lose the readings in hand.
func TestRowsInHandAreKept(t *testing.T) {
	f := wrap(&fleet{n: 3, silent: 1}, 1)
	f.Begin(1, &scenario.Injection{Kind: "bias", Field: "soc", By: scenario.Amount{Number: 1}}, []int{0})
	var rows device.Readings
	if err := f.ReadAll(t.Context(), start, &rows); !errors.Is(err, errSilent) || rows.Rows() != 2 {
		t.Errorf("%d rows, %v; want the 2 that answered, and the error", rows.Rows(), err)
	}
}

// all is a fault of each kind that draws, on every device.
func all(f *fault.Fleet, devices int) {
	indices := make([]int, devices)
	for i := range indices {
		indices[i] = i
	}
	for n, inj := range []scenario.Injection{
		{Kind: "latency", By: amount(200 * time.Millisecond), Jitter: 50 * time.Millisecond, On: "both"},
		{Kind: "drop", Ratio: 0.3, On: "both"},
		{Kind: "duplicate", Ratio: 0.3, On: "both"},
		{Kind: "corrupt", Ratio: 0.3},
		{Kind: "reorder", By: amount(time.Second)},
		{Kind: "noise", Field: "soc", SD: 1},
	} {
		f.Begin(n, &inj, indices)
	}
}

// history is what arrives of the first two devices, and what they answer.
func history(t *testing.T, f *fault.Fleet) (out []string) {
	for s := range 200 {
		for _, r := range read(t, f, at(s)) {
			if r.Slot < 2 {
				out = append(out, fmt.Sprint(r))
			}
		}
		for _, a := range write(t, f, at(s), 0, 1) {
			out = append(out, fmt.Sprint(a))
		}
	}
	slices.Sort(out) // more devices make other rows lie between
	return out
}

func TestDrawsComeFromSeedFaultAndDevice(t *testing.T) {
	run := func(devices int, seed uint64) []string {
		f := wrap(&fleet{n: devices}, seed)
		all(f, devices)
		return history(t, f)
	}
	want := run(2, 1)
	if !slices.Equal(want, run(2, 1)) {
		t.Error("the same seed makes other things go wrong")
	}
	if !slices.Equal(want, run(5, 1)) {
		t.Error("more devices shift the draws of the others")
	}
	if slices.Equal(want, run(2, 2)) {
		t.Error("another seed makes the same things go wrong")
	}
	f := wrap(&fleet{n: 2}, 1)
	all(f, 2)
	f.Begin(99, &scenario.Injection{Kind: "drop", Ratio: 0, On: "both"}, []int{0, 1})
	if !slices.Equal(want, history(t, f)) {
		t.Error("one more fault shifts the draws of the others")
	}
}

func TestEndEndsItsOwnFaultOnly(t *testing.T) {
	f := wrap(&fleet{n: 2}, 1)
	bias := func(number int, kw float64) func() {
		return f.Begin(number, &scenario.Injection{Kind: "bias", Field: "power", By: scenario.Amount{Number: kw}}, []int{0, 1})
	}
	want := func(offset float64) {
		t.Helper()
		for _, r := range read(t, f, start) {
			if got := r.Power - genuine(int(r.Slot), start).Power; got != offset {
				t.Errorf("device %d is off by %v kW, want %v", r.Slot, got, offset)
			}
		}
	}
	one, two, four := bias(1, 1), bias(2, 2), bias(3, 4)
	want(7)
	two()
	want(5)
	two() // again: nothing more to end
	want(5)
	one()
	want(4)
	eight := bias(4, 8)
	four()
	want(8)
	eight()
	want(0)
}

// Faults act in the order in which they began: what was stuck before it became
// noisy is noisy.
func TestOrder(t *testing.T) {
	f := wrap(&fleet{n: 1}, 1)
	f.Begin(1, &scenario.Injection{Kind: "stuck", Field: "power"}, []int{0})
	f.Begin(2, &scenario.Injection{Kind: "bias", Field: "power", By: scenario.Amount{Number: 3}}, []int{0})
	for s := range 3 {
		if got := read(t, f, at(s))[0].Power; got != genuine(0, start).Power+3 {
			t.Errorf("after %d s: %v kW, want %v", s, got, genuine(0, start).Power+3)
		}
	}
}

func TestInactiveFaultsCostNothing(t *testing.T) {
	next := &fleet{n: 100}
	f := wrap(next, 1)
	f.Begin(1, &scenario.Injection{Kind: "link-down", On: "both"}, []int{0})()
	var rows device.Readings
	poll := func(f device.Fleet) func() {
		return func() {
			rows.Reset()
			if err := f.ReadAll(t.Context(), start, &rows); err != nil {
				t.Fatal(err)
			}
		}
	}
	poll(f)()
	if with, without := testing.AllocsPerRun(10, poll(f)), testing.AllocsPerRun(10, poll(next)); with > without {
		t.Errorf("%v allocations a poll with faults that have ended, %v without", with, without)
	}
	write(t, f, start, make([]device.Slot, 50)...)
	if len(next.calls) != 50 {
		t.Errorf("%d commands of 50 pass", len(next.calls))
	}
}

// unit is one device of a fleet with faults as a Driver.
type unit struct {
	fleet *fault.Fleet
	index int
}

func (u *unit) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	var rows device.Readings
	err := u.fleet.ReadAll(ctx, now, &rows)
	for i := range rows.Rows() {
		if rows.Slot[i] == device.Slot(u.index) {
			var r device.Reading
			rows.Row(i, &r)
			return r, nil
		}
	}
	return device.Reading{}, errors.Join(device.ErrOffline, err)
}

func (u *unit) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	slot := c.Slot
	c.Slot = device.Slot(u.index)
	acks, err := u.fleet.WriteAll(ctx, now, []device.Command{c}, nil)
	if err != nil || len(acks) != 1 {
		return device.Ack{}, errors.Join(device.ErrOffline, err)
	}
	acks[0].Slot = slot
	return acks[0], nil
}

func (u *unit) Close() error               { return nil }
func (u *unit) Fleet() (device.Fleet, int) { return u.fleet, u.index }

// A device behind a wrapper keeps what drivers promise: without a fault, and with
// one on its neighbour, which takes the long way through the wrapper.
func TestWrappedUnitKeepsWhatDriversPromise(t *testing.T) {
	model, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	open := func(t *testing.T, faulty bool) (device.Driver, func(time.Duration) time.Time) {
		twins, err := twin.NewFleet(model, []string{"ess-0", "ess-1"}, twin.Options{SoCMean: 50, Start: start})
		if err != nil {
			t.Fatal(err)
		}
		f := wrap(sim.Fleets(twins)[0], 1)
		if faulty {
			f.Begin(1, &scenario.Injection{Kind: "bias", Field: "soc", By: scenario.Amount{Number: 3}}, []int{1})
		}
		now := start
		return &unit{f, 0}, func(d time.Duration) time.Time {
			now = now.Add(d)
			return now
		}
	}
	t.Run("no fault", func(t *testing.T) {
		devicetest.Run(t, func(t *testing.T) (device.Driver, func(time.Duration) time.Time) { return open(t, false) })
	})
	t.Run("a neighbour's fault", func(t *testing.T) {
		devicetest.Run(t, func(t *testing.T) (device.Driver, func(time.Duration) time.Time) { return open(t, true) })
	})
}

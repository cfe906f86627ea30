package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
)

// adjusted is a unit with settings, and with a trial that it does not refuse.
type adjusted struct {
	*unit
	settings map[string]float64
}

func (a *adjusted) Settings(context.Context) ([]device.Setting, error) {
	return []device.Setting{{Name: "ramp", Unit: "%/s"}, {Name: "limit", Unit: "%"}}, nil
}

func (a *adjusted) Setting(_ context.Context, name string) (float64, error) {
	v, ok := a.settings[name]
	if !ok {
		return math.NaN(), device.ErrUnsupported
	}
	return v, nil
}

func (a *adjusted) Adjust(_ context.Context, name string, v float64) (float64, error) {
	switch {
	case v > 100:
		return math.NaN(), fmt.Errorf("too much: %w", device.ErrRejected)
	case name == "limit": // it keeps whole tens
		a.settings[name] = math.Trunc(v/10) * 10
		return a.settings[name], fmt.Errorf("limit: %w", device.ErrReadBack)
	}
	a.settings[name] = v
	return v, nil
}

func (a *adjusted) Probe(context.Context) ([]device.Trial, error) {
	return []device.Trial{{Name: "read-only", Changed: true, Restored: true, Writes: []device.Write{
		{What: "30010", Asked: 1, Before: 7, After: 1, Status: device.Done},
		{Act: device.Restored, What: "30010", Asked: 7, Before: 1, After: 7, Status: device.Done},
	}}}, nil
}

// Each value that is written to a device beside commands is in the log: by whom, why, what
// it was before and what it is afterwards, however that ended; and before anything is
// written, that somebody is about to.
func TestEveryWriteIsInTheLog(t *testing.T) {
	settings := map[string]float64{"ramp": 20, "limit": 100}
	as := func(u *unit) device.Driver { return &adjusted{u, settings} }
	onLineOf(t, 1, true, as, func(l *line) {
		var writes []device.Write
		if _, err := bus.Writes.Subscribe(l.bus, 1, func(_ uint64, f *device.Writes) { writes = append(writes, f.List...) }); err != nil {
			t.Fatal(err)
		}
		ctx := l.t.Context()
		l.pass(time.Second)
		work := gateway.Work{Kind: "adjusted", Text: "all of it", Writes: true, Source: "user:ann", Reason: "test T03"}
		announced := false
		work.Do = func(ctx context.Context, h *gateway.Held) error {
			announced = len(writes) == 1 && writes[0].Status == 0
			if _, err := h.Settings(ctx); err != nil {
				return err
			}
			_, none := h.Adjust(ctx, "missing", 200)
			_, less := h.Adjust(ctx, "limit", 55)
			_, much := h.Adjust(ctx, "ramp", 101)
			_, err := h.Adjust(ctx, "ramp", 10)
			if err == nil {
				_, err = h.Restore(ctx, "ramp", 20)
			}
			if !errors.Is(none, device.ErrRejected) || !errors.Is(less, device.ErrReadBack) || !errors.Is(much, device.ErrRejected) {
				t.Errorf("%v, %v, %v", none, less, much)
			}
			_, probed := h.Probe(ctx)
			return errors.Join(err, probed)
		}
		if err := l.gw.Exchange(ctx, 0, work); err != nil {
			t.Error(err)
		}
		if !announced {
			t.Errorf("before anything was written the log said %+v", writes)
		}
		l.pass(10 * time.Millisecond)
		var got []string
		for _, w := range writes {
			if w.Source != "user:ann" || w.Reason != "test T03" || w.At == 0 || w.Slot != 0 {
				t.Errorf("%+v", w)
			}
			got = append(got, fmt.Sprintf("%s %s: %g to %g, is %g %s: %v", w.Act, w.What, w.Before, w.Asked, w.After, w.Unit, w.Status))
		}
		want := []string{
			"adjusted : NaN to NaN, is NaN : ",
			"adjusted missing: NaN to 200, is NaN : rejected",
			"adjusted limit: 100 to 55, is 50 %: failed",
			"adjusted ramp: 20 to 101, is 20 %/s: rejected",
			"adjusted ramp: 20 to 10, is 10 %/s: done",
			"restored ramp: 10 to 20, is 20 %/s: done",
			"probed 30010: 7 to 1, is 1 : done",
			"restored 30010: 1 to 7, is 7 : done",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		// Work that did not say so does not write.
		work.Writes = false
		work.Do = func(ctx context.Context, h *gateway.Held) error {
			_, adjust := h.Adjust(ctx, "ramp", 5)
			_, probe := h.Probe(ctx)
			if adjust == nil || probe == nil {
				t.Error("work wrote that was not announced")
			}
			return nil
		}
		if err := l.gw.Exchange(ctx, 0, work); err != nil || settings["ramp"] != 20 {
			t.Errorf("%v, ramp %g", err, settings["ramp"])
		}
		l.pass(10 * time.Millisecond)
		if len(writes) != len(want) {
			t.Errorf("%d writes, want %d", len(writes), len(want))
		}
	})
}

// What the log does not take is not written.
func TestNothingIsWrittenUnlogged(t *testing.T) {
	settings := map[string]float64{"ramp": 20}
	onLineOf(t, 1, true, func(u *unit) device.Driver { return &adjusted{u, settings} }, func(l *line) {
		l.pass(time.Second)
		l.bus.Close()
		err := l.gw.Exchange(l.t.Context(), 0, gateway.Work{Kind: "adjusted", Text: "ramp", Writes: true, Do: func(ctx context.Context, h *gateway.Held) error {
			_, err := h.Adjust(ctx, "ramp", 5)
			return err
		}})
		if !errors.Is(err, gateway.ErrAudit) || settings["ramp"] != 20 {
			t.Errorf("%v, ramp %g", err, settings["ramp"])
		}
	})
}

// remarking is a unit whose driver finds something out, once.
type remarking struct {
	*unit
	list []device.Remark
}

func (r *remarking) Remarks() []device.Remark {
	list := r.list
	r.list = nil
	return list
}

// What a driver finds out about its device becomes an event.
func TestRemarksOfADriver(t *testing.T) {
	as := func(u *unit) device.Driver {
		return &remarking{u, []device.Remark{{Type: "reversion", Severity: device.Warning, Text: "its timer is gone"}}}
	}
	onLineOf(t, 1, true, as, func(l *line) {
		l.pass(2 * time.Second)
		n := 0
		for _, e := range l.events {
			if e == "reversion: rig-0: its timer is gone" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("told %d times: %q", n, l.events)
		}
	})
}

// A command that is not about a power says in which state and mode the device was.
func TestModesBeforeAndAfter(t *testing.T) {
	onLine(t, 1, false, func(l *line) {
		l.pass(time.Second)
		var got []string
		step := func(c device.Command, wait time.Duration) {
			n := len(l.acks)
			l.ask(c)
			l.pass(wait)
			for _, a := range l.acks[n:] {
				if a.ID != "" && a.Was.Known() {
					got = append(got, fmt.Sprintf("%v %v: %v %v, %v %v", a.Verb, a.Status, a.Was.State(), a.Was.Mode(), a.Is.State(), a.Is.Mode()))
				}
			}
		}
		step(device.Command{Verb: device.SetMode, Mode: device.StandbyMode}, time.Second)
		step(device.Command{Verb: device.Arm}, 5*time.Second)
		step(device.Command{Verb: device.SetMode, Mode: device.StandbyMode}, time.Second)
		step(device.Command{Verb: device.SetMode, Mode: device.Run}, time.Second)
		step(device.Command{Verb: device.EStop}, time.Second)
		step(device.Command{Verb: device.Reset}, time.Second)
		want := []string{
			"setMode rejected: inactive run, inactive run",
			"arm done: inactive run, active run",
			"setMode done: active run, active standby",
			"setMode done: active standby, active run",
			"eStop done: active run, failed run",
			"reset done: failed run, inactive run",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

// tried is a unit of which each exchange takes a while, with a trial that it takes.
type tried struct {
	*unit
	takes time.Duration
}

func (x *tried) exchange(ctx context.Context, what string) error {
	select {
	case <-time.After(x.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	x.set(func() { x.told = append(x.told, what) })
	return nil
}

func (x *tried) Settings(context.Context) ([]device.Setting, error) {
	return []device.Setting{{Name: "ramp", Unit: "%/s"}}, nil
}

func (x *tried) Setting(ctx context.Context, name string) (float64, error) {
	return 20, x.exchange(ctx, "read "+name)
}

func (x *tried) Adjust(ctx context.Context, name string, v float64) (float64, error) {
	return v, x.exchange(ctx, fmt.Sprintf("%s %g", name, v))
}

// Probe tries two things, of which the device takes the first.
func (x *tried) Probe(ctx context.Context) (list []device.Trial, err error) {
	for range 2 {
		if device.GiveWay(ctx); ctx.Err() != nil {
			return list, ctx.Err()
		}
		whole := context.WithoutCancel(ctx)
		for _, what := range []string{"try", "look", "undo"} {
			device.GiveWay(ctx)
			if err := x.exchange(whole, what); err != nil {
				return list, err
			}
		}
		list = append(list, device.Trial{Name: "it", Writes: []device.Write{{What: "it", Status: device.Done}}})
	}
	return list, nil
}

// TestStopsGoBeforeWhatIsPutBack: an emergency stop, and a stop, wait for one exchange and no
// more, also while something is tried or put back that must not be left as it is: that goes on
// behind it. What was written is told, however the work ends.
func TestStopsGoBeforeWhatIsPutBack(t *testing.T) {
	restore := func(ctx context.Context, h *gateway.Held) error {
		if _, err := h.Adjust(ctx, "ramp", 10); err != nil {
			return err
		}
		_, err := h.Restore(ctx, "ramp", 20)
		return err
	}
	probe := func(ctx context.Context, h *gateway.Held) error {
		_, err := h.Probe(ctx)
		return err
	}
	for _, tt := range []struct {
		name   string
		verb   device.Verb
		work   func(context.Context, *gateway.Held) error
		after  time.Duration
		want   []string
		writes int
	}{
		{"e-stop, restore", device.EStop, restore, 450 * time.Millisecond, []string{"read ramp", "ramp 10", "read ramp", "eStop 0", "ramp 20"}, 2},
		{"stop, restore", device.Stop, restore, 450 * time.Millisecond, []string{"read ramp", "ramp 10", "read ramp", "stop 0", "ramp 20"}, 2},
		{"e-stop, trial", device.EStop, probe, 50 * time.Millisecond, []string{"try", "eStop 0", "look", "undo"}, 1},
		{"disarm, trial", device.Disarm, probe, 350 * time.Millisecond, []string{"try", "look", "stop 0", "undo"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var x *tried
			onLineOf(t, 1, true, func(u *unit) device.Driver { x = &tried{u, 0}; return x }, func(l *line) {
				var writes []device.Write
				if _, err := bus.Writes.Subscribe(l.bus, 1, func(_ uint64, f *device.Writes) { writes = append(writes, f.List...) }); err != nil {
					t.Fatal(err)
				}
				l.pass(time.Second)
				x.takes = 200 * time.Millisecond
				x.set(func() { x.told = nil })
				answer := make(chan error, 1)
				go func() {
					answer <- l.gw.Exchange(l.t.Context(), 0, gateway.Work{Kind: "probed", Text: "it", Writes: true, Do: tt.work})
				}()
				l.pass(tt.after)
				l.ask(device.Command{Verb: tt.verb})
				l.pass(3 * time.Second)
				if err := <-answer; err != nil && !errors.Is(err, gateway.ErrNotArmed) {
					t.Error(err)
				}
				x.set(func() {
					if len(x.told) < len(tt.want) || !slices.Equal(x.told[:len(tt.want)], tt.want) {
						t.Errorf("told %q, want %q", x.told, tt.want)
					}
				})
				n := 0
				for _, w := range writes {
					if w.Status != 0 {
						n++
					}
				}
				if n < tt.writes {
					t.Errorf("%d of %d writes are in the log: %+v", n, tt.writes, writes)
				}
			})
		})
	}
}

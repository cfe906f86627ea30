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

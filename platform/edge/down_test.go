package edge_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/edge"
)

// hall is a site with one device, whose guard takes everything up to 80 kW.
type hall struct {
	mu    sync.Mutex
	ahead time.Duration // of its clock
	told  []device.Command
	away  bool
}

func (h *hall) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.ahead)
}

func (h *hall) move(by time.Duration) { h.mu.Lock(); h.ahead += by; h.mu.Unlock() }

func (h *hall) Slot(id device.ID) (device.Info, bool) {
	return device.Info{ID: id, Slot: 7}, id == "pcs-1"
}

func (h *hall) Command(_ context.Context, c device.Command) (device.Ack, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.away:
		return device.Ack{}, device.ErrOffline
	case c.Power > 100:
		return c.Answer(device.Rejected, c.At, "OUT_OF_RANGE", "beyond the limits of the site"), nil
	}
	h.told = append(h.told, c)
	a := c.Answer(device.Done, c.At, "", "")
	if a.Power > 80 {
		a.Power, a.Reduced = 80, true
	}
	return a, nil
}

// heard is what the device was told so far.
func (h *hall) heard() []device.Command {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told
}

// link is a Line to a site's end, which may be cut, or hold up what crosses it.
type link struct {
	handle edge.Handler
	before func(request []byte) // nil: nothing
	down   bool
}

func (l *link) Ask(ctx context.Context, request []byte) ([]byte, error) {
	if l.down {
		return nil, edge.ErrDown
	}
	if l.before != nil {
		l.before(request)
	}
	return l.handle(ctx, request), nil
}

func newHall(ahead time.Duration) (*hall, *edge.Orders, *link, device.Driver) {
	h := &hall{ahead: ahead}
	orders := edge.NewOrders(h, h.now, quiet())
	l := &link{handle: orders.Handle}
	down := edge.NewDownlink(l, func() bool { return !l.down }, quiet())
	return h, orders, l, down.Driver("pcs-1", func() (device.Reading, bool) {
		return device.Reading{At: h.now().UnixMilli(), Arrived: time.Now().UnixMilli()}, true
	})
}

func setpoint(kw float64, now time.Time) device.Command {
	return device.Command{Verb: device.SetPower, Power: kw, Priority: device.Normal, Until: now.Add(time.Hour).UnixMilli(), Source: "user:ann"}
}

// TestOrderGoesThroughTheSite: a command is carried out by the site's guard, on the site's
// clock, and answered with what that says; the setpoint is renewed before its lease is over.
func TestOrderGoesThroughTheSite(t *testing.T) {
	for _, ahead := range []time.Duration{0, 3 * time.Hour, -3 * time.Hour} {
		h, _, _, d := newHall(ahead)
		now := time.Now()
		a, err := d.Write(t.Context(), now, setpoint(50, now))
		if err != nil || a.Status != device.Done || a.Power != 50 {
			t.Fatalf("clock %v ahead: %+v, %v", ahead, a, err)
		}
		c := h.heard()[0]
		if c.Slot != 7 || c.Power != 50 || c.Source != "plant:user:ann" || c.Duration <= 0 || c.Duration > edge.Lease.Milliseconds() {
			t.Errorf("the site is told %+v", c)
		}
		if off := h.now().UnixMilli() - c.At; off < 0 || off > 30_000 {
			t.Errorf("by its clock it was told %d ms ago", off)
		}
		for _, tt := range []struct {
			kw, want float64
			status   device.AckStatus
		}{{90, 80, device.Done}, {120, 0, device.Rejected}} {
			a, err := d.Write(t.Context(), now, setpoint(tt.kw, now))
			if err != nil || a.Status != tt.status || a.Power != tt.want && tt.status == device.Done || a.Reduced != (tt.kw == 90) {
				t.Errorf("%v kW: %+v, %v", tt.kw, a, err)
			}
		}
		if a, err := d.Write(t.Context(), now, setpoint(30, now)); err != nil || a.Status != device.Done {
			t.Fatal(a, err)
		}
		told := len(h.heard())
		if _, err := d.Read(t.Context(), now.Add(time.Second)); err != nil || len(h.heard()) != told {
			t.Errorf("after a second it is told again, or cannot be read: %v", err)
		}
		if _, err := d.Read(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		h.away = true
		h.mu.Unlock()
		if a, err := d.Write(t.Context(), now, setpoint(10, now)); err != nil || a.Code != "OFFLINE" {
			t.Errorf("the device is away: %+v, %v", a, err)
		}
	}
}

// TestSetpointIsRenewed: as long as it holds and the device is seen, and no longer.
func TestSetpointIsRenewed(t *testing.T) {
	h, _, l, d := newHall(0)
	now := time.Now()
	long := setpoint(40, now.Add(-time.Minute)) // taken a while ago, as the driver sees it
	if a, err := d.Write(t.Context(), now.Add(-edge.Lease/2), long); err != nil || a.Status != device.Done {
		t.Fatal(a, err)
	}
	if _, err := d.Read(t.Context(), now); err != nil || len(h.heard()) != 2 {
		t.Fatalf("after half its lease it was told %d times, %v; want 2", len(h.heard()), err)
	}
	if a, b := h.heard()[0], h.heard()[1]; a.ID == b.ID || b.Power != 40 || b.Verb != device.SetPower {
		t.Errorf("first %+v, then %+v", a, b)
	}
	l.down = true
	time.Sleep(1100 * time.Millisecond) // it is forgotten what time it is there
	if _, err := d.Read(t.Context(), time.Now()); !errors.Is(err, device.ErrOffline) {
		t.Errorf("the link is down: %v", err)
	}
	if _, err := d.Write(t.Context(), time.Now(), setpoint(60, now)); !errors.Is(err, device.ErrOffline) {
		t.Errorf("a command while the link is down: %v", err)
	}
	l.down = false
	if _, err := d.Read(t.Context(), time.Now().Add(edge.Lease)); len(h.heard()) != 2 {
		t.Errorf("what was refused while the link was down has come: %+v, %v", h.heard(), err)
	}
}

// TestLateOrderIsNotCarriedOut: whatever the clocks say, a command that lay in the link, or
// whose site's clock was set back meanwhile, moves nothing.
func TestLateOrderIsNotCarriedOut(t *testing.T) {
	for name, by := range map[string]time.Duration{"late": 3 * time.Second, "set back": -time.Hour} {
		for _, ahead := range []time.Duration{0, 3 * time.Hour, -3 * time.Hour} {
			h, orders, l, d := newHall(ahead)
			l.before = func(b []byte) {
				if strings.Contains(string(b), "setPower") {
					h.move(by)
				}
			}
			now := time.Now()
			a, err := d.Write(t.Context(), now, setpoint(50, now))
			if err != nil || a.Status != device.Expired || len(h.heard()) != 0 || orders.Late.Load() != 1 {
				t.Errorf("%s, clock %v ahead: %+v, %v; the device was told %v", name, ahead, a, err, h.heard())
			}
		}
	}
}

// TestEmergencyStopIsOwed: one that the site has not answered is told again until it has.
func TestEmergencyStopIsOwed(t *testing.T) {
	h, _, l, d := newHall(0)
	l.down = true
	if _, err := d.Write(t.Context(), time.Now(), device.Command{Verb: device.EStop, Priority: device.Safety}); err == nil {
		t.Error("answered without a link")
	}
	l.down = false
	for range 2 {
		if _, err := d.Read(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
	}
	if got := h.heard(); len(got) != 1 || got[0].Verb != device.EStop {
		t.Errorf("the device was told %+v, want one emergency stop", got)
	}
}

func FuzzOrders(f *testing.F) {
	f.Add([]byte("\x01tnull"))
	f.Add([]byte(`` + "\x01o" + `{"device":"pcs-1","id":"a","verb":"setPower","priority":"normal","power_kw":5,"for_ms":1000,"source":"x","by":1}`))
	f.Add([]byte("\x01o[]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, orders, _, _ := newHall(0)
		if out := orders.Handle(t.Context(), b); len(out) < 2 {
			t.Errorf("the answer is %q", out)
		}
		for _, c := range h.heard() {
			if c.Verb == device.SetPower && (c.Duration <= 0 || c.Duration > edge.Lease.Milliseconds()) {
				t.Errorf("%q makes a setpoint of %d ms", b, c.Duration)
			}
		}
	})
}

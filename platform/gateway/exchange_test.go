package gateway_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/gateway"
)

// adjust is work that changes the device, and notes when it was done.
func adjust(u *unit, text string, takes time.Duration) gateway.Work {
	return gateway.Work{Kind: "adjusted", Text: text, Writes: true, Do: func(ctx context.Context, _ *gateway.Held) error {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return ctx.Err()
		}
		u.set(func() { u.told = append(u.told, text) })
		return nil
	}}
}

func TestWorkWaitsForItsTurnAndForArming(t *testing.T) {
	onLine(t, 1, false, func(l *line) {
		u, ctx := l.units[0], l.t.Context()
		l.pass(time.Second)
		read := false
		err := l.gw.Exchange(ctx, 0, gateway.Work{Kind: "examined", Text: "reading", Do: func(context.Context, *gateway.Held) error { read = true; return nil }})
		if err != nil || !read {
			t.Errorf("reading of a device that is not armed: %v", err)
		}
		if err := l.gw.Exchange(ctx, 0, adjust(u, "ramp", 0)); !errors.Is(err, gateway.ErrNotArmed) {
			t.Errorf("written to before it was armed: %v", err)
		}
		l.ask(device.Command{Verb: device.Arm})
		l.pass(5 * time.Second)
		if err := l.gw.Exchange(ctx, 0, adjust(u, "ramp", time.Millisecond)); err != nil {
			t.Error(err)
		}
		l.pass(10 * time.Millisecond)
		if got := l.events[len(l.events)-1]; got != "adjusted: rig-0: ramp" {
			t.Errorf("event %q", got)
		}
		if got := u.told[len(u.told)-1]; got != "ramp" {
			t.Errorf("told %q", u.told)
		}
		// What fails is told of, and the caller hears it.
		broken := errors.New("broken")
		err = l.gw.Exchange(ctx, 0, gateway.Work{Kind: "adjusted", Text: "limit", Writes: true, Do: func(context.Context, *gateway.Held) error { return broken }})
		l.pass(10 * time.Millisecond)
		if got := l.events[len(l.events)-1]; !errors.Is(err, broken) || got != "adjusted: rig-0: limit: broken" {
			t.Errorf("%v, event %q", err, got)
		}
		if err := l.gw.Exchange(ctx, 7, gateway.Work{Text: "x"}); !errors.Is(err, gateway.ErrNoWire) {
			t.Errorf("work with a device that is not there: %v", err)
		}
	})
}

// An emergency stop does not wait for what is being done either: that is broken off.
func TestEmergencyStopComesBeforeWork(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		u, ctx := l.units[0], l.t.Context()
		l.pass(time.Second)
		answers := make(chan error, 3)
		for _, text := range []string{"first", "second"} {
			go func() { answers <- l.gw.Exchange(ctx, 0, adjust(u, text, 1500*time.Millisecond)) }()
			l.pass(50 * time.Millisecond)
		}
		l.ask(device.Command{Verb: device.EStop})
		l.pass(50 * time.Millisecond)
		if !slices.ContainsFunc(u.told, func(text string) bool { return strings.HasPrefix(text, device.EStop.String()) }) {
			t.Errorf("the emergency stop has waited: told %q", u.told)
		}
		for range 2 {
			if err := <-answers; !errors.Is(err, gateway.ErrNotArmed) || !strings.Contains(err.Error(), "the emergency stop came first") {
				t.Errorf("work that an emergency stop has overtaken: %v", err)
			}
		}
		if slices.Contains(u.told, "first") || slices.Contains(u.told, "second") {
			t.Errorf("told %q", u.told)
		}
		if err := l.gw.Exchange(ctx, 0, adjust(u, "third", 0)); !errors.Is(err, gateway.ErrNotArmed) {
			t.Errorf("written to after the emergency stop: %v", err)
		}
	})
}

// Readings go on between pieces of work, and no more than a few wait.
func TestWorkIsBounded(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		u, ctx := l.units[0], l.t.Context()
		l.pass(time.Second)
		before := len(u.reads)
		answers := make(chan error, 32)
		for range 20 {
			go func() { answers <- l.gw.Exchange(ctx, 0, adjust(u, "many", 150*time.Millisecond)) }()
		}
		l.pass(10 * time.Millisecond)
		l.ask(device.Command{Verb: device.SetPower, Power: 30})
		l.pass(5 * time.Second)
		done, busy := 0, 0
		for range 20 {
			switch err := <-answers; {
			case err == nil:
				done++
			case errors.Is(err, gateway.ErrBusy):
				busy++
			default:
				t.Error(err)
			}
		}
		if done < 8 || done+busy != 20 {
			t.Errorf("%d done, %d refused", done, busy)
		}
		if n := len(u.reads) - before; n < 30 {
			t.Errorf("%d readings in 5 s", n)
		}
		if i := slices.Index(u.told, "setPower 30"); i < 0 || i > 2 {
			t.Errorf("the setpoint waited for the work: %q", u.told)
		}
		// A caller who gives up is not waited for, and one who hangs is cut off.
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if err := l.gw.Exchange(short, 0, adjust(u, "long", time.Hour)); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		begin = time.Now()
		if err := l.gw.Exchange(ctx, 0, adjust(u, "hung", time.Hour)); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// What waits is dropped with the right to act, whoever takes it.
func TestWorkIsDroppedWithTheRightToAct(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		u, ctx := l.units[0], l.t.Context()
		l.pass(time.Second)
		answers := make(chan error, 8)
		for range 8 {
			go func() { answers <- l.gw.Exchange(ctx, 0, adjust(u, "work", 150*time.Millisecond)) }()
		}
		l.pass(10 * time.Millisecond)
		u.set(func() { u.flags = device.FlagLocal })
		l.pass(5 * time.Second)
		refused := 0
		for range 8 {
			if errors.Is(<-answers, gateway.ErrNotArmed) {
				refused++
			}
		}
		if refused < 3 {
			t.Errorf("%d of 8 refused, told %q, life %q", refused, u.told, l.life)
		}
	})
}

// looked is a caller's context of which it is told when it is looked at first.
type looked struct {
	context.Context
	at func()
}

func (x looked) Err() error { x.at(); return x.Context.Err() }

// TestWorkIsNotBegunAfterADisarming: work whose turn has just come is found by what takes the right
// to act, and writes nothing.
func TestWorkIsNotBegunAfterADisarming(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		u := l.units[0]
		l.pass(time.Second)
		u.set(func() { u.takes = 50 * time.Millisecond })
		for was := len(u.reads); len(u.reads) == was; { // until a reading is under way, that is the last before the work
			l.pass(10 * time.Millisecond)
		}
		u.set(func() { u.flags, u.told = device.FlagLocal, nil })
		barred := false
		taken := sync.OnceFunc(func() {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			barred = slices.Contains(l.life, "0 inactive")
		})
		err := l.gw.Exchange(looked{l.t.Context(), taken}, 0, adjust(u, "ramp", time.Millisecond))
		if !errors.Is(err, gateway.ErrNotArmed) || !strings.Contains(err.Error(), "local control") {
			t.Errorf("%v", err)
		}
		if !barred {
			t.Errorf("it was not disarmed before the work began: %q", l.life)
		}
		l.pass(time.Second)
		if slices.Contains(u.told, "ramp") {
			t.Errorf("told %q", u.told)
		}
	})
}

// TestStopEndsWorkThatWrites: after a stop, or a disarming, nothing more of a trial is written
// than the exchange under way and what puts back its value; work that only reads goes on.
func TestStopEndsWorkThatWrites(t *testing.T) {
	for _, tt := range []struct {
		name   string
		verb   device.Verb
		writes bool
		why    string // the work ended before it was done; empty: it was done
	}{
		{"stop", device.Stop, true, "a stop came first"},
		{"disarm", device.Disarm, true, "it was disarmed first"},
		{"e-stop", device.EStop, true, "the emergency stop came first"},
		{"stop of a reading", device.Stop, false, ""},
		{"e-stop of a reading", device.EStop, false, "the emergency stop came first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var x *tried
			onLineOf(t, 1, true, func(u *unit) device.Driver { x = &tried{u, 0}; return x }, func(l *line) {
				l.pass(time.Second)
				x.takes = 100 * time.Millisecond
				x.set(func() { x.told = nil })
				answer := make(chan error, 1)
				go func() {
					answer <- l.gw.Exchange(l.t.Context(), 0, gateway.Work{Kind: "adjusted", Text: "it", Writes: tt.writes, Do: func(ctx context.Context, h *gateway.Held) error {
						if !tt.writes {
							for range 10 {
								if _, err := h.Setting(ctx, "ramp"); err != nil {
									return err
								}
							}
							return nil
						}
						var err error
						for kw := 1.; err == nil && kw < 6; kw++ {
							_, err = h.Adjust(ctx, "ramp", kw)
						}
						_, back := h.Restore(ctx, "ramp", 20)
						return errors.Join(err, back)
					}})
				}()
				l.pass(350 * time.Millisecond) // it has written once, and is about to write again
				l.ask(device.Command{Verb: tt.verb})
				l.pass(3 * time.Second)
				err := <-answer
				if tt.why == "" != (err == nil) || err != nil && (!errors.Is(err, gateway.ErrNotArmed) || !strings.Contains(err.Error(), tt.why)) {
					t.Errorf("%v, want %q", err, tt.why)
				}
				x.set(func() {
					if !tt.writes {
						return
					}
					at := slices.IndexFunc(x.told, func(s string) bool { return strings.HasSuffix(strings.ToLower(s), "stop 0") })
					var after []string
					for _, s := range x.told[max(at, 0):] {
						if strings.HasPrefix(s, "ramp ") {
							after = append(after, s)
						}
					}
					if at < 0 || !slices.Equal(after, []string{"ramp 20"}) {
						t.Errorf("told %q: after the stop %q, want ramp 20 alone", x.told, after)
					}
				})
			})
		})
	}
}

package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
)

// TestSlowLineIsArmed: at 1200 bit/s one exchange takes 0.14 s, a reading three of them and a
// setpoint nine. It is armed all the same, takes setpoints, and keeps its link.
func TestSlowLineIsArmed(t *testing.T) {
	onLine(t, 1, false, func(l *line) {
		u := l.units[0]
		u.set(func() { u.takes, u.writes = 420*time.Millisecond, 1260*time.Millisecond })
		l.pass(3 * time.Second)
		l.ask(device.Command{Verb: device.Arm})
		l.pass(30 * time.Second)
		l.want("answers", l.answers(), "c1 arm done 0")
		for kw := range 10 {
			l.ask(device.Command{Verb: device.SetPower, Power: float64(10 * kw)})
			l.pass(2 * time.Second)
			l.want("answers", l.answers(), fmt.Sprintf("c%d setPower done %d", 2+kw, 10*kw))
		}
		l.want("life", l.life, "0 active")
	})
}

// TestWireTooSlowSaysSo: a device whose readings take longer than its period leaves for them
// is not read, and people are told how long it may take and what to set.
func TestWireTooSlowSaysSo(t *testing.T) {
	onLine(t, 1, false, func(l *line) {
		l.units[0].set(func() { l.units[0].takes = 1300 * time.Millisecond })
		l.pass(10 * time.Second)
		want := "rig-0 offline: no reading within 1s, the most that its period of 100ms leaves for one: "
		hint := "; one that is only slow needs a longer period (poll in its entry, or --poll)"
		if !slices.ContainsFunc(l.events, func(e string) bool { return strings.Contains(e, want) && strings.HasSuffix(e, hint) }) {
			t.Errorf("events %q", l.events)
		}
		if got := l.silence(); !strings.Contains("rig-0 offline: "+got, want) {
			t.Errorf("its silence is %q", got)
		}
		l.units[0].set(func() { l.units[0].takes = 0 })
		l.pass(10 * time.Second)
		if got := l.silence(); got != "" {
			t.Errorf("back again its silence is %q", got)
		}
	})
}

// silence is why the first unit gives no reading.
func (l *line) silence() string {
	said := make(chan string, 1)
	l.sched.Post("test", func(time.Time) { said <- l.gw.Silence(0) })
	return <-said
}

// TestSilenceDuringACommandCounts: the time that a command takes is not held against the
// link, but only of one that the device has answered.
func TestSilenceDuringACommandCounts(t *testing.T) {
	onLine(t, 1, true, func(l *line) {
		l.pass(time.Second)
		u := l.units[0]
		u.set(func() { u.down, u.takes = true, 400*time.Millisecond })
		begin := len(l.events)
		for range 4 {
			l.ask(device.Command{Verb: device.SetPower, Power: 10})
			l.pass(700 * time.Millisecond)
		}
		if !slices.ContainsFunc(l.events[begin:], func(e string) bool { return strings.HasPrefix(e, "disarmed: rig-0: link lost") }) {
			t.Errorf("not disarmed within 2.8 s: %q", l.events)
		}
	})
}

// parted is a unit of which a command, or a reading, takes several exchanges. One that is under
// way is left to end when somebody must not wait.
type parted struct {
	*unit
	reads, writes int
}

func (p *parted) parts(ctx context.Context, n int) error {
	for range n - 1 {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", device.ErrOffline, context.Cause(ctx))
		}
		if err := p.exchange(context.WithoutCancel(ctx), false); err != nil {
			return err
		}
		device.Heard(ctx)
	}
	return nil
}

func (p *parted) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	if err := p.parts(ctx, p.reads); err != nil {
		return device.Reading{}, err
	}
	return p.unit.Read(context.WithoutCancel(ctx), now)
}

func (p *parted) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	n := p.writes
	if c.Verb != device.SetPower {
		n = 1
	}
	if err := p.parts(ctx, n); err != nil {
		return device.Ack{}, err
	}
	return p.unit.Write(context.WithoutCancel(ctx), now, c)
}

// TestAnswersOfALongCommandAreHeard: a command of which each part is answered takes longer than
// a link may be silent, and keeps it; one whose device falls silent in the midst does not.
func TestAnswersOfALongCommandAreHeard(t *testing.T) {
	as := func(u *unit) device.Driver { return &parted{u, 1, 8} }
	onLineOf(t, 1, true, as, func(l *line) {
		l.pass(time.Second)
		u := l.units[0]
		u.set(func() { u.takes = 350 * time.Millisecond })
		l.pass(3 * time.Second)
		l.ask(device.Command{Verb: device.SetPower, Power: 10})
		l.pass(4 * time.Second)
		l.want("answers", l.answers(), "c1 setPower done 10")
		l.want("life", l.life, "0 active")
		l.ask(device.Command{Verb: device.SetPower, Power: 20})
		l.pass(1300 * time.Millisecond)
		u.set(func() { u.takes, u.down = time.Minute, true })
		l.pass(3100 * time.Millisecond) // 2 s, and a look each second
		l.want("life", l.life, "0 active", "0 inactive")
	})
}

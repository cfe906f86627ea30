package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

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

// TestStopWaitsForOneExchange: on a slow line a reading, and a setpoint, take seconds. A stop
// waits for the exchange under way and not for all of them; what it has broken off is no miss,
// and is done after it, so that stops that come all the time do not keep the device from being
// read.
func TestStopWaitsForOneExchange(t *testing.T) {
	const each = 300 * time.Millisecond
	for _, verb := range []device.Verb{device.Stop, device.EStop, device.Disarm} {
		for _, during := range []string{"reading", "setpoint"} {
			t.Run(fmt.Sprint(verb, " in a ", during), func(t *testing.T) {
				as := func(u *unit) device.Driver { return &parted{u, 4, 8} }
				onLineOf(t, 1, true, as, func(l *line) {
					l.pass(time.Second)
					u := l.units[0]
					for _, d := range []time.Duration{100, 200, 300} { // it gets slower
						u.set(func() { u.takes = d * time.Millisecond })
						l.pass(3 * time.Second)
					}
					l.ask(device.Command{Verb: device.SetPower, Power: 50})
					for kw, _, _ := u.now(); kw != 50; kw, _, _ = u.now() {
						l.pass(10 * time.Millisecond)
					}
					_, before, _ := u.now()
					for n := before; n == before; _, n, _ = u.now() { // the last exchange of a reading begins
						l.pass(10 * time.Millisecond)
					}
					l.pass(each)
					if during == "setpoint" {
						l.ask(device.Command{Verb: device.SetPower, Power: 60})
						l.pass(4*each + each/2)
					} else {
						l.pass(each + each/2)
					}
					u.set(func() { u.told = nil })
					l.ask(device.Command{Verb: verb})
					began := time.Now()
					var told []string
					for len(told) == 0 && time.Since(began) < 10*time.Second {
						l.pass(10 * time.Millisecond)
						_, _, told = u.now()
					}
					if took := time.Since(began); took > 2*each+50*time.Millisecond { // the one under way, and its own
						t.Errorf("told %q after %v", told, took)
					}
					_, before, _ = u.now()
					l.pass(3 * time.Second)
					if kw, n, _ := u.now(); n == before || kw != 0 {
						t.Errorf("%d readings afterwards, %g kW", n-before, kw)
					}
					answers := strings.Join(l.answers(), ", ")
					if want := "c2 setPower failed 60 SUPERSEDED"; during == "setpoint" && !strings.Contains(answers, want) {
						t.Errorf("answers %s, want %s", answers, want)
					}
					for _, e := range l.events {
						if strings.Contains(e, "offline") {
							t.Errorf("event %q", e)
						}
					}
				})
			})
		}
	}
}

// TestManyCommandsLeaveRoomForReadings: somebody who tells a device something more often than it
// answers does not keep it from being read, and so from its link.
func TestManyCommandsLeaveRoomForReadings(t *testing.T) {
	for _, tt := range []struct {
		verb  device.Verb
		every time.Duration
	}{{device.Stop, 250 * time.Millisecond}, {device.Stop, 50 * time.Millisecond}, {device.SetPower, 60 * time.Millisecond}} {
		t.Run(fmt.Sprint(tt.verb, tt.every), func(t *testing.T) {
			as := func(u *unit) device.Driver { return &parted{u, 4, 1} }
			onLineOf(t, 1, true, as, func(l *line) {
				l.pass(time.Second)
				u := l.units[0]
				u.set(func() { u.takes = 100 * time.Millisecond })
				l.pass(3 * time.Second)
				_, before, _ := u.now()
				for range 5 * time.Second / tt.every {
					l.ask(device.Command{Verb: tt.verb, Power: 10})
					l.pass(tt.every)
				}
				if _, n, _ := u.now(); n-before < 5 {
					t.Errorf("%d readings in 5 s", n-before)
				}
				l.want("life", l.life, "0 active")
			})
		})
	}
}

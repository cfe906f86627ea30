//go:build !nosim

package shadow

import "yunchu/platform/device"

// link watches the way to the device: what should have come, what comes late or
// twice, what stands still, and what is asked without effect.
type link struct {
	tol *Tolerance

	arrived int64   // ms, of the newest reading
	period  float64 // s, smoothed
	usual   float64 // s, delay of the first readings
	late    float64 // s, delay beyond that, over half a minute
	behind  float64 // readings of the last minute that came after a newer one
	frozen  int     // readings in a row that ingest calls frozen
	count   int
	fields  [fields]still

	slow     hold
	disorder hold
	unheeded hold
	back     hold
	alarm    alarm
}

// The fields that may stand still.
const (
	voltageField = iota
	currentField
	powerField
	socField
	tempField
	fields
)

var fieldNames = [fields]string{"voltage", "current", "power", "soc", "temperature"}

// still is a value that has not changed, and what it should have done meanwhile.
type still struct {
	value    float64
	expected float64 // when it last changed
	last     float64 // expected at the reading before
	up, down float64 // how far it should have moved since, either way, for two readings
	count    int     // readings since
	seconds  float64 // since
	dubious  bool    // it should have moved by now
	stuck    bool    // and has not in twenty readings
}

// step takes in a value and what is expected of it. A value stands still when it should
// have moved one way by limit and what creeps in so many seconds, or both ways by half
// of limit; and it does so until it moves.
func (s *still) step(dt, value, expected, limit, creep float64) {
	if value != s.value {
		*s = still{value: value, expected: expected, last: expected}
		return
	}
	s.count++
	s.seconds += dt
	s.up = max(s.up, min(expected, s.last)-s.expected)
	s.down = max(s.down, s.expected-max(expected, s.last))
	s.last = expected
	far := max(max(s.up, s.down)-creep*s.seconds, 2*min(s.up, s.down))
	s.dubious = s.dubious || s.count >= 3 && far > limit/2
	s.stuck = s.stuck || s.count >= 20 && far > limit
}

// blind reports whether the readings say nothing about the device.
func (l *link) blind() bool {
	if !l.alarm.on {
		return false
	}
	switch l.alarm.finding.What {
	case "delay", "disorder", "setpoint":
		return false
	}
	return true
}

// newest takes in the times of a reading that is newer than all before it.
func (l *link) newest(r *device.Reading, dt float64) {
	l.arrived = r.Arrived
	delay := float64(r.Arrived-r.At) / 1e3
	if l.count < 60 {
		l.usual += (delay - l.usual) / float64(l.count+1)
	}
	l.count++
	if dt > 0 {
		l.period += (min(dt, 3*max(l.period, dt/3)) - l.period) / float64(min(l.count, 16))
		l.late += (delay - l.usual - l.late) * min(dt/30, 1)
		l.behind -= l.behind * min(dt/60, 1)
	}
	if r.Flags&device.FlagFrozen != 0 {
		l.frozen++
	} else {
		l.frozen = 0
	}
}

// older counts a reading that came after a newer one.
func (l *link) older() { l.behind++ }

// disordered is the share of readings that came out of order.
func (l *link) disordered() float64 { return l.behind * l.period / 60 }

// stuck is the field that stands still, or fields when there is none.
func (l *link) stuck() int {
	for i := range l.fields {
		if l.fields[i].stuck {
			return i
		}
	}
	return fields
}

// repeated is for how many readings, and s, the device has repeated itself.
func (l *link) repeated() (readings int, seconds float64) {
	readings, seconds = l.fields[0].count, l.fields[0].seconds
	for i := range l.fields {
		readings, seconds = min(readings, l.fields[i].count), min(seconds, l.fields[i].seconds)
	}
	return readings, seconds
}

// judge raises and clears what the newest reading shows. unheeded is by how much the
// device is off its setpoint, kW, 0 where it follows.
func (l *link) judge(dt float64, unheeded float64) {
	stuck := l.stuck()
	slow := l.slow.over(dt, l.late > l.tol.DelayS, 10)
	disorder := l.disorder.over(dt, l.disordered() > 0.05 && l.behind > 3, 10)
	ignored := l.unheeded.over(dt, unheeded != 0, 10)
	if l.alarm.on {
		l.recover(dt, unheeded)
		return
	}
	same, seconds := l.repeated()
	switch {
	case l.frozen >= 3, ignored && same >= 5: // ingest says so, or the setpoints do
		l.alarm.raise(Communication, "frozen readings", seconds, 0, "s")
	case stuck < fields:
		l.alarm.raise(Communication, fieldNames[stuck]+" stands still", l.fields[stuck].seconds, 0, "s")
	case slow:
		l.alarm.raise(Communication, "delay", l.late, 0, "s")
	case disorder:
		l.alarm.raise(Communication, "disorder", 100*l.disordered(), 0, "%")
	case ignored:
		l.alarm.raise(Communication, "setpoint", unheeded, 0, "kW")
	default:
		return
	}
	l.back = 0
}

// recover clears the finding when it is over.
func (l *link) recover(dt float64, unheeded float64) {
	var gone bool
	need := 10.0
	switch l.alarm.finding.What {
	case "silence":
		gone = true
	case "frozen readings":
		same, _ := l.repeated()
		gone = l.frozen == 0 && same == 0
	case "delay":
		gone = l.late < l.tol.DelayS/2
	case "disorder":
		gone = l.disordered() < 0.025
	case "setpoint":
		gone, need = unheeded == 0, 300
	default:
		gone = l.stuck() == fields
	}
	if l.back.over(dt, gone, need) {
		l.alarm.on = false
	}
}

// silent raises silence when nothing has come for too long.
func (l *link) silent(now int64) {
	if l.count == 0 || l.alarm.on {
		return
	}
	quiet := float64(now-l.arrived) / 1e3
	if quiet > max(l.tol.SilenceS, 5*l.period) {
		l.alarm.raise(Communication, "silence", quiet, 0, "s")
		l.back = 0
	}
}

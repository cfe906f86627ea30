package accept

import (
	"errors"
	"fmt"
	"math"

	"yunchu/platform/device"
)

// errNoState: the metric is about a state that the device does not tell.
var errNoState = errors.New("the device does not say whether it is stopped: that it stays so by itself was not tried")

// unstopped counts the readings of the second half of a stop in which the device says that it
// is at work. That it has no power, and takes no setpoint of ours, is no proof that the stop
// has reached it: its setpoint was taken back too, and who refuses is the guard, past which
// nobody asks. Nor is a switch that reads as it was written. So its own word is needed, and one
// that it does not say whenever it rests: its status, or that it takes and gives nothing.
func (r *Record) unstopped(t *trace, m measured) (measured, error) {
	list := r.samples((t.a+t.b)/2, t.last())
	same := 0
	m.n = 0
	for i := range list {
		s := &list[i]
		switch {
		case s.Status == device.OtherStatus && s.Flags&device.FlagEStop == 0:
			continue
		case s.Status == device.Charging || s.Status == device.Discharging:
			m.Value++
		case s.Flags&device.FlagEStop != 0:
		case s.Status == device.Idle || s.Status == device.Standby && r.rests(func(s *device.Reading) bool { return s.Status == device.Standby }):
			same++
		}
		m.n++
	}
	switch {
	case m.Value > 0 || m.n > 0 && same == 0:
	case r.powerless(list):
		m.n, m.note = len(list), "its status does not tell: it says that it takes and gives nothing, and at rest that it does"
	case m.n == 0:
		return m, errNoState
	default:
		m.doubts = append(m.doubts, fmt.Sprintf("it says %s, as whenever it rests: that the stop has reached it, and that it stays stopped by itself, is not shown; %s",
			list[len(list)-1].StatusWord(), r.wouldShow()))
	}
	return m, nil
}

// powerless reports whether the device says in all of these that it takes and gives nothing, and
// when it rests and is not stopped that it does.
func (r *Record) powerless(list []device.Reading) bool {
	for i := range list {
		if s := &list[i]; s.MaxCharge != 0 || s.MaxDischarge != 0 { // NaN is neither
			return false
		}
	}
	return len(list) > 0 && r.rests(func(s *device.Reading) bool { return max(s.MaxCharge, s.MaxDischarge) > restShare*r.RatedKW })
}

// wouldShow says what of a device like this would show that it is stopped.
func (r *Record) wouldShow() string {
	switch r.Kind {
	case "sunspec":
		return "MANUAL_SHUTDOWN in 701.Alrm or 103.Evt1, a state in 701.InvSt, 103.St or 802.State that it has only then (off, standby, fault), or 802.State DISCONNECTED would show it"
	case "can":
		return "give its profile a signal that is e-stop, fault or status, and says so only then, or permissions (charge-allowed, discharge-allowed) that are taken back then"
	case "mqtt":
		return "a status that it has only then (fault, standby, maintenance), or its event e-stop would show it"
	}
	return "give its profile e_stop, a word of status that it says only then (fault, standby, maintenance, offline), or max_charge_kw and max_discharge_kw (or charge_forbidden and discharge_forbidden) that are 0 (set) then"
}

// rests reports whether something holds at the end of the test, when the device rests and is not
// stopped.
func (r *Record) rests(holds func(*device.Reading) bool) bool {
	if len(r.Windows) == 0 {
		return false
	}
	end := r.at(r.Windows[len(r.Windows)-1].End)
	for i := range r.Samples {
		s := &r.Samples[i]
		if r.atMS(s.At) > end && math.Abs(s.Power) <= restShare*r.RatedKW && holds(s) {
			return true
		}
	}
	return false
}

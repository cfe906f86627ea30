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
// has reached it: its setpoint was taken back too, and who refuses is the guard. So its own
// word is needed, and one that it does not say whenever it rests.
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
		case s.Status == device.Idle || s.Status == device.Standby && r.restsIn(device.Standby):
			same++
		}
		m.n++
	}
	if m.n == 0 {
		return m, errNoState
	}
	if same > 0 && m.Value == 0 {
		m.doubts = append(m.doubts, fmt.Sprintf("it says %s, as whenever it rests: that the stop has reached it, and that it stays stopped by itself, is not shown",
			list[len(list)-1].StatusWord()))
	}
	return m, nil
}

// restsIn reports whether that is what the device says of itself at the end of the test, when
// it rests and is not stopped.
func (r *Record) restsIn(status device.Status) bool {
	if len(r.Windows) == 0 {
		return false
	}
	end := r.at(r.Windows[len(r.Windows)-1].End)
	for i := range r.Samples {
		s := &r.Samples[i]
		if r.atMS(s.At) > end && math.Abs(s.Power) <= restShare*r.RatedKW && s.Status == status {
			return true
		}
	}
	return false
}

package dispatch

import (
	"math"
	"time"

	"yunchu/platform/fleet/image"
)

// chance is how many standard deviations the true state of charge may be off its reading
// with no more than the risk that was chosen, 0 without one: the quantile of the normal
// distribution at 1 − risk. The constraint P(charge leaves its window) <= risk then is one on
// the reading alone.
func (p *Planner) chance() float64 {
	if r := p.Settings.Risk; r > 0 && r < 0.5 {
		return math.Sqrt2 * math.Erfinv(1-2*r)
	}
	return 0
}

// uncertain is why a device does less where its state of charge is not known well enough.
const uncertain = "state of charge uncertain"

// likely bounds lo and hi so that the device stays in its window of charge for the life of
// the setpoint, with margins of the fleet and of its own in percent of charge; its own goes
// first. What it loses on the way is not counted: discharging takes more than the power
// says, by a few percent of what is moved in a few seconds.
func (u *unit) likely(dev *image.Device, lo, hi, fleet, own float64, life time.Duration) (float64, float64) {
	margin := fleet
	if own > 0 {
		margin = own
	}
	if margin == 0 || !charged(dev) {
		return lo, hi
	}
	w := dev.Info.ChargeWindow()
	scale := usable(dev) / 100 / life.Hours() // kW per percent
	if l := -max(0, dev.Good.SoC-margin-w[0]) * scale; l > lo {
		lo, u.low = l, uncertain
	}
	if h := max(0, w[1]-dev.Good.SoC-margin) * scale; h < hi {
		hi, u.high = h, uncertain
	}
	return lo, hi
}

package dispatch

import (
	"fmt"
	"math"

	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
)

// The rule of time to go: M. Evans, S. Tindemans, D. Angeli, "Robustly maximal utilisation
// of energy-constrained distributed resources", PSCC 2018. A device could go on at its full
// power for x = energy/power. Those with the largest x give first, until they have come down
// to the others. Whatever is asked of the fleet later, a target that any sharing could have
// met is met.
//
// Over τ hours the device gives P = Pmax·(x − z)/τ within 0 and Pmax, z being the level that
// the target asks for: the optimum of Σ τ/(2 Pmax) P² − x P. Here giving is negative.

const (
	// goHours is the longest τ. A shorter one follows the rule more closely and makes power
	// of what is noise in the states of charge: 0.05 % of a two-hour battery are 4 s.
	goHours = 1.0 / 6
	// goShare bounds τ by the time that is left, so that the devices run out together.
	goShare = 0.2
	// ableHours is how slowly a device's own limit of power is followed, which moves with
	// each reading of some.
	ableHours = 1.0 / 12
	// mostHours is as long as a time to go may be: longer ones are not told apart.
	mostHours = 1000
)

// toGo is the slope of the cost of a device's power, for how many hours it could go on,
// and half of it times τ its curvature.
func (p *Planner) toGo(s device.Slot, dev *image.Device, charging bool, tau float64) (a, b float64) {
	kw := p.able[s].give
	if charging {
		kw = p.able[s].take
	}
	kw = max(kw, 1e-6*dev.Info.RatedKW)
	x := min(remaining(dev, charging)/kw, mostHours)
	if charging {
		x = -x
	}
	return tau / kw, x
}

// able is the power of a device in both directions as its nameplate and its own readings
// have it, kW, smoothed. What the guard or the fleet's direction bounds is not in it.
type able struct{ give, take float64 }

// follow moves on to what the units say now.
func (p *Planner) follow(img *image.Image) {
	for len(p.able) < len(img.Devices) {
		p.able = append(p.able, able{})
	}
	part := p.Settings.Every.Hours() / (ableHours + p.Settings.Every.Hours())
	for i := range p.units {
		dev := &img.Devices[p.units[i].slot]
		most := dev.Info.Cap()
		x := &p.able[p.units[i].slot]
		x.give = smooth(x.give, dev.Good.MaxDischarge, most, part)
		x.take = smooth(x.take, dev.Good.MaxCharge, most, part)
	}
}

// smooth moves from was a part of the way to now, which says something from above 0 to most.
func smooth(was, now, most, part float64) float64 {
	if !(was > 0 && was <= most) {
		was = most
	}
	if !(now > 0 && now < most) { // no number, none stated, or full and empty
		now = most
	}
	return was + part*(now-was)
}

// remaining is what a device can still give, or take, kWh; half of it where it does not
// report its charge.
func remaining(dev *image.Device, charging bool) float64 {
	w := dev.Info.ChargeWindow()
	share := (w[1] - w[0]) / 2
	if !device.Finite(share) { // nobody knows a window
		return capacity(dev) / 2
	}
	if charged(dev) {
		share = dev.Good.SoC - w[0]
		if charging {
			share = w[1] - dev.Good.SoC
		}
	}
	return max(0, share) / 100 * usable(dev)
}

// level is the τ of this cycle, hours.
func (p *Planner) level(img *image.Image) float64 {
	p.follow(img)
	most := 0.0
	for i := range p.units {
		s := p.units[i].slot
		if hi := p.problem.Hi[i]; hi > p.problem.Lo[i] {
			_, x := p.toGo(s, &img.Devices[s], hi > 0, 0)
			most = max(most, math.Abs(x))
		}
	}
	return max(p.Settings.Every.Hours(), min(goHours, goShare*most))
}

// unavoidable says of a shortfall whether another sharing could have kept it away: only
// where some devices are empty, or full, while others are not. Limits of groups and margins
// of charge are not of the sharing.
func (p *Planner) unavoidable(img *image.Image, d *Decision) string {
	charging := d.Shortfall > 0
	mute, out, unsure, behind := d.Unreachable, 0, 0, 0
	var left, kept float64 // kWh to go, those behind limits apart
	for i := range p.units {
		u := &p.units[i]
		e := remaining(&img.Devices[u.slot], charging)
		switch {
		case u.mute:
			mute++
		case e <= 0:
			out++
		case u.limit >= 0:
			behind++
			kept += e
		case u.why(d.Shortfall) == uncertain:
			unsure++
		default:
			left += e
		}
	}
	what := "empty"
	if charging {
		what = "full"
	}
	able := len(p.units) + d.Unreachable - mute
	all, rest := "all devices", ""
	if mute > 0 {
		all, rest = "all devices that can be told", fmt.Sprintf("; %d cannot", mute)
	}
	switch {
	case able == 0:
		return "no device can be told"
	case out > 0 && left > 0:
		return fmt.Sprintf("%s %s %s while others have %.6g kWh to go: unavoidable unless they were used otherwise before", devices(out), either(out, "is", "are"), what, left)
	case behind > 0:
		return fmt.Sprintf("limits hold %s back that %s %.6g kWh to go", devices(behind), either(behind, "has", "have"), kept)
	case unsure > 0:
		return fmt.Sprintf("%s held back by uncertain charge", devices(unsure)+either(unsure, " is", " are"))
	case out == able:
		return fmt.Sprintf("unavoidable: %s are %s%s", all, what, rest)
	}
	return fmt.Sprintf("unavoidable: %s are at their power%s", all, rest)
}

func devices(n int) string { return fmt.Sprintf("%d %s", n, either(n, "device", "devices")) }

func either(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

package guard

import (
	"math"

	"yunchu/platform/device"
)

// tells takes note of the windows that a device tells of itself: with a reading that is
// believed they are followed, with one that is suspect only to what is narrower, and an edge
// that it ceases to tell stays.
func (d *state) tells(r *device.Reading, good bool) {
	if r.Own == nil || !good && r.Quality != device.Suspect {
		return
	}
	changed := false
	was, is := d.itself.Edges(), r.Own.Edges()
	for i, to := range was {
		v := *is[i]
		upper := i%2 == 1
		switch {
		case !device.Finite(v), i/2 != temperature && v <= 0: // 0 is where nothing was filled in
			continue
		case !good && !math.IsNaN(*to) && (upper && v >= *to || !upper && v <= *to):
			continue
		}
		changed = changed || v != *to
		*to = v
	}
	if changed {
		d.env, d.theirs = d.base.within(&d.itself)
		d.bound()
	}
}

// temperature is the place among the windows of the one that may lie at 0 and below.
const temperature = 1

// volts reports whether there is a window of voltage.
func (e *Envelope) volts() bool { return e.VoltMin > 0 || e.VoltMax > 0 }

// within is e within the windows that a device tells of itself, and which edges of it are
// the device's, by their bits. A window that is told needs its value like one that people
// have set.
func (e Envelope) within(own *device.OwnWindows) (out Envelope, theirs uint8) {
	out = e
	at := [len(edges)]*float64{&out.SoCMin, &out.SoCMax, &out.TempMin, &out.TempMax, &out.VoltMin, &out.VoltMax}
	needs := [...]*bool{&out.NeedsSoC, &out.NeedsTemp, &out.NeedsVolt}
	for i, v := range own.Edges() {
		if math.IsNaN(*v) {
			continue
		}
		*needs[i/2] = true
		none := at[i] == &out.VoltMax && out.VoltMax == 0
		if upper := i%2 == 1; none || upper && *v < *at[i] || !upper && *v > *at[i] {
			*at[i] = *v
			theirs |= 1 << i
		}
	}
	if theirs == 0 {
		return out, 0
	}
	out.SoCHysteresis = hysteresis(out.SoCHysteresis, out.SoCMin, out.SoCMax)
	out.TempHysteresis = hysteresis(out.TempHysteresis, out.TempMin, out.TempMax)
	switch {
	case !out.volts():
	case out.VoltMax == 0:
		out.VoltHysteresis = voltHysteresis * out.VoltMin
	default:
		usual := voltHysteresis * out.VoltMax
		if e.volts() {
			usual = min(usual, e.VoltHysteresis)
		}
		out.VoltHysteresis = hysteresis(usual, out.VoltMin, out.VoltMax)
	}
	return out, theirs
}

// Own are the edges of windows that a device tells of itself and that keep it, since no other
// is tighter; NaN for all others.
func (g *Guard) Own(s device.Slot) device.OwnWindows {
	own := device.Untold()
	if d := g.device(s); d != nil {
		told := d.itself.Edges()
		for i, to := range own.Edges() {
			if d.theirs>>i&1 == 1 {
				*to = *told[i]
			}
		}
	}
	return own
}

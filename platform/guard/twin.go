package guard

import (
	"math"
	"time"

	"yunchu/platform/device"
)

// twin is what the readings of a device's sign test are held against before it is armed. A
// nil one compares nothing.
type twin struct {
	with   func(window []device.Tried) (evidence, differs string)
	last   device.Reading // newest good one
	window []device.Tried
}

// triedBound is how many readings of one sign test are kept: what one lasts, read twenty
// times a second, with the fleet's ramp in between.
const triedBound = 4096

// Compare has each sign test of the device held against what a device of its kind does, as
// with says: a device that differs is not armed. with is called on the guard's own
// goroutine and keeps nothing of the window. nil: nothing is compared.
func (g *Guard) Compare(s device.Slot, with func(window []device.Tried) (evidence, differs string)) {
	d := g.device(s)
	switch {
	case d == nil:
	case with == nil:
		d.twin = nil
	default:
		d.twin = &twin{with: with}
	}
}

// begin opens the window of a sign test with what was read last before it.
func (t *twin) begin() {
	if t == nil {
		return
	}
	t.window = t.window[:0]
	if t.last.At != 0 {
		t.window = append(t.window, device.Tried{Reading: t.last, AskedKW: math.NaN()})
	}
}

// see takes note of a good reading. At the bound every other one goes of those in which the
// device was on its way.
func (t *twin) see(r *device.Reading, testing bool) {
	if t == nil {
		return
	}
	t.last = *r
	if !testing {
		return
	}
	if len(t.window) >= triedBound {
		kept := t.window[:1]
		for i, x := range t.window[1:] {
			if i%2 == 0 || !math.IsNaN(x.AskedKW) {
				kept = append(kept, x)
			}
		}
		t.window = kept
	}
	t.window = append(t.window, device.Tried{Reading: *r, AskedKW: math.NaN()})
}

// mark notes of the newest readings that the device had the time to follow what it was
// asked for, kW.
func (t *twin) mark(kw float64) {
	if t == nil {
		return
	}
	for i := max(0, len(t.window)-patience); i < len(t.window); i++ {
		t.window[i].AskedKW = kw
	}
}

// steady is how long a phase lasts at least. A battery management that tells its current
// once a second needs longer than a converter that tells its power.
func (t *twin) steady() time.Duration {
	if t == nil {
		return testSteady
	}
	return settle
}

// compare is what the comparison says of the sign test that is over.
func (t *twin) compare() (evidence, differs string) {
	if t == nil {
		return "", ""
	}
	return t.with(t.window)
}

package dispatch

import (
	"math"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
)

// lastWord is how long what flows beside the fleet is taken to be as it was when the meter
// fell silent.
const lastWord = 15 * time.Minute

// watch estimates what flows beside some devices, from a meter that shows both. The readings
// of the meter and those of the devices are of different ages, and not all tell theirs, so
// that a change of the devices' own power shows in one before the other. What they had at the
// meter's time is therefore known as a range only: of what was seen of them from the ages
// before it until now, and of where what was told meanwhile may bring them. The estimate is
// the value nearest to the one before that a new reading of the meter leaves possible. So a
// change that some age explains moves nothing, and no loop through our own power is closed;
// and where the devices were highest or lowest, the estimate is on the safe side.
type watch struct {
	other float64 // kW
	at    int64   // of the meter's reading that it is from, ms; 0 none
	heard int64   // when that was taken in, ms
	told  float64 // what the devices were told last, all together, kW
	past  []moment
}

// moment is what devices had together in a cycle, kW.
type moment struct {
	at   int64   // ms
	seen float64 // by their newest readings
	told float64 // before this cycle
}

// ages is how far the readings of a meter and of devices may be apart: three cycles, at least
// 5 s, and the cycle in which it shows.
func (s *Settings) ages() time.Duration { return s.Life() + s.Every }

// join takes in a device with kw that is counted from now on, or with -kw one that is not any
// more; left is when it was counted last. It is taken to have had before what it has now. Who was
// not counted when the meter spoke was other load, and is not any more; join reports that, for
// then what flows in all stays as it was. Who has gone only since then never was.
func (w *watch) join(kw float64, left int64) (was bool) {
	w.told += kw
	for i := range w.past {
		w.past[i].seen += kw
		w.past[i].told += kw
	}
	if was = w.heard != 0 && left <= w.heard; was {
		w.other -= kw
	}
	return was
}

// look takes in what the devices are seen to have together now, after those that have come or
// gone have joined, and the meter's reading if it is a new one; meter may be nil. The first one may
// be of before a restart: moved is what they had more when the meter spoke, NaN: nobody knows.
func (w *watch) look(now int64, s *Settings, meter *image.Device, seen, moved float64) {
	if len(w.past) == 0 {
		w.told = seen
	}
	for n := len(w.past); n > 0 && w.past[n-1].at >= now; n-- {
		w.past = w.past[:n-1]
	}
	old, ages := 0, s.ages().Milliseconds()
	for old < len(w.past) && w.past[old].at < now-s.age().Milliseconds()-ages {
		old++
	}
	w.past = append(w.past[:0], w.past[old:]...)
	w.past = append(w.past, moment{now, seen, w.told})
	if meter == nil || meter.Good.At == 0 || meter.Good.At == w.at || !device.Finite(meter.Good.Power) {
		return
	}
	if !meter.Fresh(now, s.age()) { // of a time that past does not reach back to
		if w.at == 0 && !math.IsNaN(moved) {
			w.other, w.at = meter.Good.Power-seen-moved, meter.Good.At // nobody was absent
		}
		return
	}
	lo, hi := w.between(min(meter.Good.At, now)-ages, seen)
	near := meter.Good.Power - seen
	if w.at != 0 {
		near = w.other
	}
	w.other = min(max(near, meter.Good.Power-hi), meter.Good.Power-lo)
	w.at, w.heard = meter.Good.At, now
}

// moved is what a device that is taken to have kw now had more when meter spoke, where w waits for
// its first reading; NaN: nobody knows. What it had is what was read of it near that time, else
// what it was told then; who was told nothing since does what it did.
func (w *watch) moved(now int64, s *Settings, meter, dev *image.Device, kw float64) float64 {
	if w.at != 0 || meter == nil {
		return 0
	}
	at := meter.Good.At
	switch near := s.age().Milliseconds(); {
	case at-near <= dev.Good.At && dev.Good.At <= at+near:
		return number(dev.Good.Power) - number(kw)
	case rated(dev) && dev.Told.At <= at && dev.Told.Live(at):
		return number(dev.Told.Power) - number(kw)
	case dev.Told.At <= at && dev.Fresh(now, s.age()):
		return 0
	}
	return math.NaN()
}

// between is the range of what the devices may have had since from, kW.
func (w *watch) between(from int64, seen float64) (lo, hi float64) {
	lo, hi = seen, seen
	low, high := seen, seen
	least, most := math.Inf(1), math.Inf(-1) // told so far
	for _, m := range w.past {
		if m.at < from {
			continue
		}
		least, most = min(least, m.told), max(most, m.told)
		lo = min(lo, m.seen, seen+m.told-most)
		hi = max(hi, m.seen, seen+m.told-least)
		low, high = min(low, m.seen, m.told), max(high, m.seen, m.told)
	}
	// What was seen may be what was told last already: nothing comes on top of that.
	return max(lo, low), min(hi, high)
}

// counted remembers by slot what devices had when they were counted last.
type counted []seat

type seat struct {
	kw   float64 // NaN: it is not counted
	left int64   // when it came to be counted no more, ms; 0: it never did
}

// see takes in what a device has now, NaN where it is not counted, and returns what that adds
// by its coming or going, and when it left.
func (c *counted) see(now int64, slot int, kw float64) (joined float64, left int64) {
	for len(*c) <= slot {
		*c = append(*c, seat{kw: math.NaN()})
	}
	s := &(*c)[slot]
	was := s.kw
	s.kw = kw
	switch {
	case math.IsNaN(was) == math.IsNaN(kw):
		return 0, s.left
	case math.IsNaN(kw):
		s.left = now
		return -was, now
	}
	return kw, s.left
}

// silent reports whether a meter, nil for none, says nothing at now that can be used.
func (s *Settings) silent(meter *image.Device, now int64) bool {
	return meter == nil || !meter.Fresh(now, s.age()) || !device.Finite(meter.Good.Power)
}

// known reports whether what the meter said last is young enough to be believed.
func (w *watch) known(now int64) bool { return w.at != 0 && now-w.at <= lastWord.Milliseconds() }

// Beside is what flows at now through the connection that meter measures beside the devices
// that a decision counts: those that it tells, that are held, or that still do what they were
// told. It is not known before the meter has reported, and some time after it fell silent, which
// is told as well.
// It comes before the decision of the cycle.
func (p *Planner) Beside(now time.Time, img *image.Image, meter device.ID) (kw float64, known, silent bool) {
	var (
		at          *image.Device
		seen, moved float64
	)
	for i := range img.Devices {
		if img.Devices[i].Info.ID == meter {
			at = &img.Devices[i]
		}
	}
	ms, maxAge := now.UnixMilli(), p.Settings.age()
	for i := range img.Devices {
		dev, kw := &img.Devices[i], math.NaN()
		ours := rated(dev) && dev != at
		switch {
		case !ours:
		case !dev.Fresh(ms, maxAge):
			if dev.Told.Live(ms) {
				kw = number(dev.Told.Power)
			}
		case dev.Told.Held(ms) || silenced(dev) == "":
			kw = number(dev.Good.Power)
		}
		seen += number(kw)
		if ours {
			moved += p.site.moved(ms, &p.Settings, at, dev, kw)
		}
		if joined, left := p.counted.see(ms, i, kw); joined != 0 {
			p.site.join(joined, left)
		}
	}
	p.site.look(ms, &p.Settings, at, seen, moved)
	return p.site.other, p.site.known(ms), p.Settings.silent(at, ms)
}

package series

import (
	"time"

	"yunchu/platform/device"
)

// MaxGap is how far two readings of power may lie apart for the power between
// them to be taken as known. What lies between readings further apart is a gap:
// no energy is counted there, and Covered says how much of a step is known.
const MaxGap = 10 * time.Minute

const maxGap = int64(MaxGap / time.Millisecond)

// sums are what is kept of one quantity in a bucket, of the readings that report
// it and are not bad.
type sums struct {
	n                   int64
	sum, min, max, last float64
}

func (s *sums) add(x float64) {
	if s.n == 0 {
		*s = sums{1, x, x, x, x}
		return
	}
	s.n++
	s.sum += x
	s.min, s.max = min(s.min, x), max(s.max, x)
	s.last = x
}

func (s *sums) merge(o *sums) {
	switch {
	case o.n == 0:
	case s.n == 0:
		*s = *o
	default:
		s.n += o.n
		s.sum += o.sum
		s.min, s.max = min(s.min, o.min), max(s.max, o.max)
		s.last = o.last
	}
}

// energy is the integral of power over the time in which it is known. In kW·ms
// the sums of what devices report stay exact.
type energy struct {
	in, out float64 // kW·ms into and out of the device, both >= 0
	covered int64   // ms
}

const perKWh = 3_600_000 // kW·ms

// add adds the integral of a power that goes evenly from a to b, kW, in ms.
func (e *energy) add(ms int64, a, b float64) {
	dt := float64(ms)
	switch {
	case a >= 0 && b >= 0:
		e.in += (a + b) / 2 * dt
	case a <= 0 && b <= 0:
		e.out -= (a + b) / 2 * dt
	default: // two triangles meet where the power is 0
		x := a / (a - b) * dt
		if a > 0 {
			e.in += a / 2 * x
			e.out -= b / 2 * (dt - x)
		} else {
			e.out -= a / 2 * x
			e.in += b / 2 * (dt - x)
		}
	}
	e.covered += ms
}

func (e *energy) merge(o energy) {
	e.in += o.in
	e.out += o.out
	e.covered += o.covered
}

// edge is a reading of power that can be integrated: finite, and not bad.
type edge struct {
	at int64
	kw float64
}

// part is what the readings of one slot in one bucket amount to: all of them, or
// those of one place where they lie. Parts of the same bucket are joined by merge
// when their readings do not lie between each other.
type part struct {
	slot        device.Slot
	whole       bool  // it stands for what older tables have of the bucket, too
	at          int64 // begin of the bucket
	first, last int64 // times of the first and the last reading
	arrived     int64 // latest
	n, bad      int64 // readings, and bad ones among them
	values      [values]sums
	powered     bool // head and tail are set
	head, tail  edge // first and last reading of power
	energy           // between head and tail
	status      device.Status
	word        string
	quality     device.Quality
	flags       device.Flags
}

// add takes the next reading, which is later than those before.
func (p *part) add(r *device.Reading) {
	p.last = r.At
	p.arrived = max(p.arrived, r.Arrived)
	p.n++
	p.status, p.word = r.Status, r.Word
	p.quality = max(p.quality, r.Quality)
	p.flags |= r.Flags
	if r.Quality >= device.Bad {
		p.bad++
		return
	}
	for i, v := range reported(r) {
		if x := *v; x == x {
			p.values[i].add(x)
		}
	}
	if device.Finite(r.Power) {
		p.follow(edge{r.At, r.Power})
	}
}

// follow integrates up to the next reading of power.
func (p *part) follow(e edge) {
	if !p.powered {
		p.powered, p.head = true, e
	} else if dt := e.at - p.tail.at; dt <= maxGap {
		p.energy.add(dt, p.tail.kw, e.kw)
	}
	p.tail = e
}

// merge joins a part whose readings are all later.
func (p *part) merge(o *part) {
	p.last = o.last
	p.arrived = max(p.arrived, o.arrived)
	p.n += o.n
	p.bad += o.bad
	p.status, p.word = o.status, o.word
	p.quality = max(p.quality, o.quality)
	p.flags |= o.flags
	for i := range p.values {
		p.values[i].merge(&o.values[i])
	}
	if o.powered {
		p.follow(o.head)
		p.energy.merge(o.energy)
		p.tail = o.tail
	}
}

// overlaps reports whether readings of one may lie between those of the other.
func (p *part) overlaps(o *part) bool { return p.first <= o.last && o.first <= p.last }

// coarser joins parts, ascending, into those of a longer step.
func coarser(parts []part, step int64) (out []part) {
	for i := range parts {
		p := &parts[i]
		begin := Floor(p.at, step)
		if n := len(out); n > 0 && out[n-1].slot == p.slot && out[n-1].at == begin {
			out[n-1].merge(p)
			continue
		}
		out = append(out, *p)
		out[len(out)-1].at, out[len(out)-1].whole = begin, false
	}
	return out
}

// appendParts adds the parts of a frame's readings, by slot and time, in steps.
func appendParts(parts []part, f *device.Readings, step int64) []part {
	for a, b := 0, 0; a < len(f.At); a = b {
		slot, begin := f.Slot[a], Floor(f.At[a], step)
		for b = a + 1; b < len(f.At) && f.Slot[b] == slot && f.At[b] < begin+step; b++ {
		}
		if n := len(parts); n == 0 || parts[n-1].slot != slot || parts[n-1].at != begin {
			parts = append(parts, part{slot: slot, at: begin, first: f.At[a], arrived: f.Arrived[a]})
		}
		parts[len(parts)-1].addRows(f, a, b)
	}
	return parts
}

// addRows adds rows [a, b) of a frame, which are later than those before, as add does one
// after the other. A column at a time is three times as fast.
func (p *part) addRows(f *device.Readings, a, b int) {
	var last device.Reading
	f.Row(b-1, &last)
	p.last, p.status, p.word = last.At, last.Status, last.Word
	p.n += int64(b - a)
	quality, bad := f.Quality[a:b], int64(0)
	for i, q := range quality {
		p.quality = max(p.quality, q)
		p.flags |= f.Flags[a+i]
		p.arrived = max(p.arrived, f.Arrived[a+i])
		if q >= device.Bad {
			bad++
		}
	}
	p.bad += bad
	for k, col := range measured(f) {
		s := p.values[k]
		for i, x := range (*col)[a:b] {
			if x != x || bad > 0 && quality[i] >= device.Bad {
				continue
			}
			if s.n == 0 {
				s = sums{1, x, x, x, x}
				continue
			}
			s.n++
			s.sum += x
			if x < s.min {
				s.min = x
			}
			if x > s.max {
				s.max = x
			}
			s.last = x
		}
		p.values[k] = s
	}
	for i, x := range f.Power[a:b] {
		if device.Finite(x) && quality[i] < device.Bad {
			p.follow(edge{f.At[a+i], x})
		}
	}
}

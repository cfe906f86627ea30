package fleet

import (
	"math"
	"slices"
)

// nearby is how many bends are looked at one by one.
const nearby = 6

// bend is where the slope of a function changes, and by how much.
type bend struct{ at, by float64 }

// pass goes through the intervals of one store, backwards to find what is best and forwards to do it.
//
// With ν what a MWh in the store is worth, each unit does what pays: z(ν) = ẑ + (Stores·ν − q)/ε within its bounds, where q
// is its cost with the prices of limits and ε/2·(z − ẑ)² what it pays for its distance to ẑ. So what must be held at
// the begin of an interval, so that a MWh is worth ν, is E(ν) = E'(ν) − Σ Stores·z(ν) with E' that of the next
// interval: it falls with ν and is made of straight pieces, of which each unit adds two bends. What lies outside
// of the store's bounds is cut off; where that happens is all that the way back needs: ν stays what it
// was, as far as it is within the cuts (N. A. Johnson, J. Computational and Graphical Statistics 22(2), 2013, has the
// same for another use).
type pass struct {
	memory    []bend
	bends     []bend // of memory, from begin on
	begin     int
	low, high []float64 // by interval: the cuts

	// See again.
	asks  []ask
	ends  []int // by interval, of asks
	spans []span
	left  int // intervals to go through
}

// empty makes room for the bends of so many units, on either side.
func (p *pass) empty(units int) {
	if need := 4 * (units + 1); len(p.memory) < need {
		p.memory = make([]bend, need)
	}
	p.begin = len(p.memory) / 2
	p.bends = p.memory[p.begin:p.begin]
}

// add puts in a piece of a slope, and returns where. Prices differ little from round to round, so where it
// was then is where to look first.
func (p *pass) add(from, to, slope float64, last int) int {
	i := place(p.bends, from, last)
	n := len(p.bends)
	j := i
	if i < n && p.bends[i].at < to { // pieces are short
		j += place(p.bends[i:], to, 1)
	}
	if i < n/2 { // what is on the shorter side makes room
		p.begin -= 2
		p.bends = p.memory[p.begin : p.begin+n+2]
		b := p.bends
		copy(b, b[2:i+2])
		copy(b[i+1:j+1], b[i+2:j+2])
	} else {
		p.bends = p.memory[p.begin : p.begin+n+2]
		b := p.bends
		copy(b[j+2:], b[j:n])
		copy(b[i+1:j+1], b[i:j])
	}
	p.bends[i], p.bends[j+1] = bend{from, slope}, bend{to, -slope}
	return i
}

// place is the first of some bends that is at or after some place, which is perhaps near the last one.
func place(b []bend, at float64, last int) int {
	i := min(last, len(b))
	for end := max(i-nearby, 0); i > end && b[i-1].at >= at; {
		i--
	}
	for end := min(i+nearby, len(b)); i < end && b[i].at < at; {
		i++
	}
	if (i == 0 || b[i-1].at < at) && (i == len(b) || b[i].at >= at) {
		return i
	}
	i, _ = slices.BinarySearchFunc(b, at, func(x bend, at float64) int {
		if x.at < at {
			return -1
		}
		return 1
	})
	return i
}

// cut finds where a function that is v at first comes down to want, the slope there, and the bend behind it.
func (p *pass) cut(v, want float64) (at, slope float64, next int) {
	b := p.bends
	for i := range b {
		if i > 0 {
			then := v + slope*(b[i].at-b[i-1].at)
			if then <= want {
				return within(b[i-1].at+(want-v)/slope, b[i-1].at, b[i].at), slope, i
			}
			v = then
		}
		slope += b[i].by
	}
	return b[len(b)-1].at, 0, len(b)
}

// within keeps a place in its piece: where that is flat but for rounding, all of it is as good.
func within(at, lo, hi float64) float64 {
	if !(at >= lo) {
		return lo
	}
	return min(at, hi)
}

// cutBack is the same from the other end; v is what the function is at last.
func (p *pass) cutBack(v, want float64) (at, slope float64, before int) {
	b := p.bends
	for i := len(b) - 1; i >= 0; i-- {
		x := &b[i]
		if i < len(b)-1 {
			then := v - slope*(b[i+1].at-x.at)
			if then >= want {
				return within(b[i+1].at+(want-v)/slope, x.at, b[i+1].at), slope, i
			}
			v = then
		}
		slope -= x.by
	}
	return b[0].at, 0, -1
}

// unit is one with what is asked of it in each round.
type unit struct {
	Unit
	room  float64 // MW between its ends
	share float64 // of each of these in the room
	per   float64 // MW that bring a MWh into the store
	bends bool    // it has room, and what it does is stored
}

func units(s *Store) []unit {
	out := make([]unit, len(s.Units))
	for k, u := range s.Units {
		room := u.Most - u.Least
		out[k] = unit{Unit: u, room: room, share: 1 / room, per: 1 / u.Stores, bends: u.Stores != 0 && room > 0}
	}
	return out
}

// state is what a store does.
type state struct {
	units          []unit
	power, before  []float64 // by unit; in the stage before
	worth          []float64 // by interval
	known          bool      // worth is that of a round before
	places         []int32   // of bends, by unit, in the round before
	end, endBefore float64
}

// run finds what is best for a store at prices of its limits, by interval and MW, with units that pay width for each MW
// at the other end of their range. The value is what that costs. It is not ok where nothing keeps to what is asked.
func (p *pass) run(s *Store, x *state, prices []float64, width float64) (value float64, ok bool) {
	if !x.known || !p.again(s, x, prices, width) {
		worth, ok := p.back(s, x, prices, width)
		if !ok {
			return 0, false
		}
		for t := range x.worth {
			if t > 0 {
				worth = min(max(worth, p.low[t]), p.high[t])
			}
			x.worth[t] = worth
		}
		x.known = true
	}
	held, u, narrow, far := s.Start, 0, 1/width, 0.0
	for t, price := range prices {
		worth := x.worth[t]
		for ; u < len(x.units) && x.units[u].At == t; u++ {
			k := &x.units[u]
			q, before := k.Cost+k.Takes*price, x.before[u]
			z := min(max(before+(k.Stores*worth-q)*k.room*narrow, k.Least), k.Most)
			x.power[u] = z
			held += k.Stores * z
			value += q * z
			if k.room > 0 {
				far += k.share * (z - before) * (z - before)
			}
		}
	}
	value += width / 2 * far
	x.end = held
	value -= s.End.Price * held
	if room := s.End.Most - s.End.Least; room > 0 {
		d := held - x.endBefore
		value += s.width(width) / room / 2 * d * d
	}
	return value, true
}

// width is for a MWh what it is for a MW.
func (s *Store) width(perMW float64) float64 {
	for _, u := range s.Units {
		if u.Stores != 0 {
			return perMW / math.Abs(u.Stores)
		}
	}
	return perMW
}

// back returns what a MWh is worth at the begin.
func (p *pass) back(s *Store, x *state, prices []float64, width float64) (worth float64, ok bool) {
	p.empty(len(x.units))
	first, last := s.End.Most, s.End.Least // of E(ν), from ν = −∞ to ∞
	if room := last - first; room < 0 {
		slope := room / s.width(width)
		p.add(s.End.Price+(s.End.Most-x.endBefore)/slope, s.End.Price+(s.End.Least-x.endBefore)/slope, slope, 0)
	}
	u, narrow := len(x.units), 1/width
	for t := len(prices) - 1; t >= 0; t-- {
		for ; u > 0 && x.units[u-1].At == t; u-- {
			k := &x.units[u-1]
			if !k.bends {
				first -= k.Stores * k.Least
				last -= k.Stores * k.Least
				continue
			}
			q, steep := k.Cost+k.Takes*prices[t], width*k.share
			from := (q + steep*(k.Least-x.before[u-1])) * k.per
			to := from + width*k.per
			if k.Stores > 0 {
				first -= k.Stores * k.Least
				last -= k.Stores * k.Most
			} else {
				from, to = to, from
				first -= k.Stores * k.Most
				last -= k.Stores * k.Least
			}
			x.places[u-1] = int32(p.add(from, to, -k.Stores*k.Stores*k.room*narrow, int(x.places[u-1])))
		}
		if t == 0 {
			break
		}
		p.low[t], p.high[t] = math.Inf(-1), math.Inf(1)
		if first < s.Least || last > s.Most {
			return 0, false
		}
		if first > s.Most {
			at, slope, next := p.cut(first, s.Most)
			p.low[t], first = at, s.Most
			p.bends = p.bends[next-1:]
			p.begin += next - 1
			p.bends[0] = bend{at, slope}
		}
		if last < s.Least {
			at, slope, before := p.cutBack(last, s.Least)
			p.high[t], last = at, s.Least
			p.bends[before+1] = bend{at, -slope}
			p.bends = p.bends[:before+2]
		}
	}
	slack := 1e-9 * (1 + s.Most)
	switch {
	case first < s.Start-slack || last > s.Start+slack:
		return 0, false
	case len(p.bends) == 0:
		return 0, true
	case first <= s.Start:
		return p.bends[0].at, true
	case last >= s.Start:
		return p.bends[len(p.bends)-1].at, true
	}
	worth, _, _ = p.cut(first, s.Start)
	return worth, true
}

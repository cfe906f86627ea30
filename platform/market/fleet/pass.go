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

	asks []ask // of the store's units

	// See again.
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

// unit is what stays of one: what rounds go through is short.
type unit struct{ least, most, cost, stores, takes, room float64 }

// ask is a unit at a price: it does before + (stores·ν − cost)·steep, within its bounds.
type ask struct{ least, most, stores, takes, before, cost, steep float64 }

// state is what a store does.
type state struct {
	units          []unit
	ends           []int32   // by interval, of its units
	power, before  []float64 // by unit; in the stage before
	worth          []float64 // by interval
	known          bool      // worth is that of a round before
	places         []int32   // of bends, by unit, in the round before
	end, endBefore float64
}

func newState(s *Store, intervals int) state {
	n := len(s.Units)
	numbers := make([]float64, 2*n+intervals)
	x := state{
		units: make([]unit, n), ends: make([]int32, intervals), places: make([]int32, n),
		power: numbers[:n:n], before: numbers[n : 2*n : 2*n], worth: numbers[2*n:],
		end: min(max(s.Start, s.End.Least), s.End.Most),
	}
	for k, u := range s.Units {
		x.units[k] = unit{u.Least, u.Most, u.Cost, u.Stores, u.Takes, u.Most - u.Least}
		x.power[k] = min(max(0, u.Least), u.Most)
		x.ends[u.At] = int32(k + 1)
	}
	for t := 1; t < intervals; t++ {
		x.ends[t] = max(x.ends[t], x.ends[t-1])
	}
	return x
}

// run finds what is best for a store at prices of its limits, by interval and MW, with units that pay width for each MW
// at the other end of their range. The value is what that costs. It is not ok where nothing keeps to what is asked.
func (p *pass) run(s *Store, x *state, prices []float64, width float64) (value float64, ok bool) {
	p.ask(x, prices, width)
	if !x.known || !p.again(s, x, width) {
		worth, ok := p.back(s, x, width)
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
	held, u := s.Start, 0
	for t, end := range x.ends {
		worth := x.worth[t]
		for ; u < int(end); u++ {
			a := &p.asks[u]
			z := min(max(a.before+(a.stores*worth-a.cost)*a.steep, a.least), a.most)
			x.power[u] = z
			held += a.stores * z
			value += a.cost * z
			if by := z - a.before; by != 0 {
				value += by * by / (2 * a.steep)
			}
		}
	}
	x.end = held
	value -= s.End.Price * held
	if room := s.End.Most - s.End.Least; room > 0 {
		d := held - x.endBefore
		value += s.width(width) / room / 2 * d * d
	}
	return value, true
}

// ask notes what units are asked at these prices.
func (p *pass) ask(x *state, prices []float64, width float64) {
	if len(p.asks) < len(x.units) {
		p.asks = make([]ask, len(x.units))
	}
	u, narrow := 0, 1/width
	for t, end := range x.ends {
		for price := prices[t]; u < int(end); u++ {
			k := &x.units[u]
			p.asks[u] = ask{k.least, k.most, k.stores, k.takes, x.before[u], k.cost + k.takes*price, k.room * narrow}
		}
	}
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
func (p *pass) back(s *Store, x *state, width float64) (worth float64, ok bool) {
	p.empty(len(x.units))
	first, last := s.End.Most, s.End.Least // of E(ν), from ν = −∞ to ∞
	if room := last - first; room < 0 {
		slope := room / s.width(width)
		p.add(s.End.Price+(s.End.Most-x.endBefore)/slope, s.End.Price+(s.End.Least-x.endBefore)/slope, slope, 0)
	}
	u := len(x.units)
	for t := len(x.ends) - 1; t >= 0; t-- {
		begin := 0
		if t > 0 {
			begin = int(x.ends[t-1])
		}
		for u > begin {
			u--
			a := &p.asks[u]
			if a.stores == 0 || a.steep == 0 {
				first -= a.stores * a.least
				last -= a.stores * a.least
				continue
			}
			from := (a.cost + (a.least-a.before)/a.steep) / a.stores
			to := from + width/a.stores
			if a.stores > 0 {
				first -= a.stores * a.least
				last -= a.stores * a.most
			} else {
				from, to = to, from
				first -= a.stores * a.most
				last -= a.stores * a.least
			}
			x.places[u] = int32(p.add(from, to, -a.stores*a.stores*a.steep, int(x.places[u])))
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

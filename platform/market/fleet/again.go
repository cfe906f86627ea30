package fleet

import (
	"math"
	"slices"
)

const (
	steps = 12    // of Newton's method for a span at most
	often = 8     // how often all intervals are gone through, on average, before it is better to start anew
	exact = 1e-13 // what is held may be off by, of the store: rounds tell prices apart by what comes of them
)

// span is some intervals in which a MWh in the store is worth the same: what is held between them keeps to the store's bounds
// by itself.
type span struct {
	from, to int
	worth    float64
	held     float64 // MWh at the begin
	done     bool    // worth is right for it
}

// again finds what a MWh is worth from what it was in the round before, when prices have not changed so much that
// the store is full and empty at quite other times: in each span Newton's method finds the worth with which what is held goes
// from one bound to the next. A span that comes to pass a bound on its way is split there, and two that a bound no
// longer parts are joined. What it ends with is the optimum, as it keeps to the bounds and what is held at one is worth
// more after it when that is the upper one, and less when it is the lower one. It is not ok where that takes too long.
func (p *pass) again(s *Store, x *state, width float64) (ok bool) {
	p.spans = p.spans[:0]
	for t, worth := range x.worth {
		switch {
		case t == 0:
			p.spans = append(p.spans, span{worth: worth, held: s.Start})
		case worth > x.worth[t-1]:
			p.spans = append(p.spans, span{from: t, worth: worth, held: s.Most})
		case worth < x.worth[t-1]:
			p.spans = append(p.spans, span{from: t, worth: worth, held: s.Least})
		}
		p.spans[len(p.spans)-1].to = t + 1
	}
	p.left = often * len(x.worth)
	for i := 0; i < len(p.spans); {
		at := &p.spans[i]
		if !at.done {
			split, held, ok := p.settle(s, x, i, width)
			if !ok {
				return false
			}
			if split > 0 {
				rest := span{from: split, to: at.to, worth: at.worth, held: held}
				at.to = split
				p.spans = slices.Insert(p.spans, i+1, rest)
				continue
			}
			at.done = true
		}
		if i > 0 {
			before := &p.spans[i-1]
			if at.held == s.Most && at.worth < before.worth || at.held != s.Most && at.worth > before.worth {
				before.to, before.done = at.to, false
				p.spans = slices.Delete(p.spans, i, i+1)
				i--
				continue
			}
		}
		i++
	}
	for _, at := range p.spans {
		for t := at.from; t < at.to; t++ {
			x.worth[t] = at.worth
		}
	}
	return true
}

// settle finds the worth of a span. Where what is held passes a bound in it, that is the interval before which it does so most.
func (p *pass) settle(s *Store, x *state, i int, width float64) (split int, bound float64, ok bool) {
	at := &p.spans[i]
	last := at.to == len(x.ends)
	per, slack, low, high := 0.0, exact*s.Most, math.Inf(-1), math.Inf(1)
	if room := s.End.Most - s.End.Least; last && room > 0 {
		per = room / s.width(width)
	}
	u := 0
	if at.from > 0 {
		u = int(x.ends[at.from-1])
	}
	for range steps {
		if p.left -= at.to - at.from; p.left < 0 {
			return 0, 0, false
		}
		worth, held, steep, most := at.worth, at.held, 0.0, slack
		split = 0
		k := u
		for t := at.from; t < at.to; t++ {
			for end := int(x.ends[t]); k < end; k++ {
				a := &p.asks[k]
				z := a.before + (a.stores*worth-a.cost)*a.steep
				switch {
				case z <= a.least:
					z = a.least
				case z >= a.most:
					z = a.most
				default:
					steep += a.stores * a.stores * a.steep
				}
				held += a.stores * z
			}
			if over := held - s.Most; over > most && t+1 < at.to {
				split, bound, most = t+1, s.Most, over
			}
			if under := s.Least - held; under > most && t+1 < at.to {
				split, bound, most = t+1, s.Least, under
			}
		}
		wanted := 0.0
		switch {
		case !last:
			wanted = p.spans[i+1].held
		case per > 0:
			wanted = x.endBefore + (s.End.Price-worth)*per
			if wanted > s.End.Least && wanted < s.End.Most {
				steep += per
			}
			wanted = min(max(wanted, s.End.Least), s.End.Most)
		default:
			wanted = s.End.Least
		}
		off := wanted - held
		if off <= slack && off >= -slack {
			return split, bound, true
		}
		if off > 0 {
			low = worth
		} else {
			high = worth
		}
		if steep > 0 {
			at.worth += off / steep
		} else {
			at.worth = p.bend(u, k, worth, off)
		}
		switch {
		case at.worth == worth:
			return split, bound, true
		case at.worth > low && at.worth < high:
		case math.IsInf(high-low, 0) || math.IsNaN(at.worth):
			return 0, 0, false
		default:
			at.worth = (low + high) / 2
		}
	}
	return 0, 0, false
}

// bend is where units from and up to some would do what is missing, if the first of them to do more did it alone; none does at
// worth.
func (p *pass) bend(from, to int, worth, off float64) float64 {
	nearest, at := math.Inf(1), math.NaN()
	for k := from; k < to; k++ {
		a := &p.asks[k]
		steep := a.stores * a.stores * a.steep
		if steep == 0 {
			continue
		}
		end := a.least
		if (a.stores > 0) != (off > 0) {
			end = a.most
		}
		starts := (a.cost + (end-a.before)/a.steep) / a.stores
		if far := (starts - worth) * math.Copysign(1, off); far >= 0 && far < nearest {
			nearest, at = far, starts+off/steep
		}
	}
	return at
}

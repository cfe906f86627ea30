package fleet

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"yunchu/platform/market/spread"
)

// solver is where the method stands.
type solver struct {
	p      *Problem
	n      int
	spread float64 // of the costs, per MW

	states []state
	parts  []part
	sets   [][]int // by set of limits that stores share: its limits

	rows   []row
	lows   []float64 // by row
	most   []float64
	prices []float64 // by row
	size   float64   // MW that all units have together in an interval, roughly
	over   float64   // MW that a limit is passed by now
	enough int       // stages
	rounds int

	// What a step is found with: the rows that are free, and their equations.
	free                 []int
	matrix, right, moves []float64
}

// row is a limit in an interval.
type row struct{ limit, t int }

// part is some stores with the same limits, which one processor works on.
type part struct {
	set    int
	stores []int
	pass
	prices []float64 // by interval
	takes  []float64 // MW by interval
	curve  []float64 // minus the second derivative of the value by prices, n × n, the lower half
	value  float64
	ok     bool
	at     []int     // what moves with one worth: the intervals,
	by     []float64 // and how much of the store's energy goes with a price there
}

const partSize = 64

func newSolver(p *Problem) *solver {
	n := p.Intervals
	s := &solver{p: p, n: n, enough: mostStages, states: make([]state, len(p.Stores))}
	for l, x := range p.Limits {
		for t := range n {
			if !math.IsInf(x.Least[t], 0) || !math.IsInf(x.Most[t], 0) {
				s.rows = append(s.rows, row{l, t})
				s.lows, s.most = append(s.lows, x.Least[t]), append(s.most, x.Most[t])
			}
		}
	}
	rows := len(s.rows)
	s.prices = make([]float64, rows)
	s.free, s.matrix, s.right, s.moves = make([]int, 0, rows), make([]float64, rows*rows), make([]float64, rows), make([]float64, rows)
	of := map[string]int{}
	var members [][]int
	for i := range p.Stores {
		x := &p.Stores[i]
		var key strings.Builder
		limits := slices.Sorted(slices.Values(x.Limits))
		for _, l := range limits {
			key.WriteString(strconv.Itoa(l) + " ")
		}
		set, seen := of[key.String()]
		if !seen {
			set = len(s.sets)
			of[key.String()] = set
			s.sets, members = append(s.sets, limits), append(members, nil)
		}
		members[set] = append(members[set], i)
	}
	spread.Over((len(p.Stores)+partSize-1)/partSize, func(k int) {
		for i := k * partSize; i < min((k+1)*partSize, len(p.Stores)); i++ {
			s.states[i] = newState(&p.Stores[i], n)
		}
	})
	for set, list := range members {
		for some := range slices.Chunk(list, partSize) {
			s.parts = append(s.parts, part{
				set: set, stores: some, pass: pass{low: make([]float64, n), high: make([]float64, n)},
				prices: make([]float64, n), takes: make([]float64, n), curve: make([]float64, n*n),
			})
		}
	}
	s.spread, s.size = p.sizes()
	return s
}

// sizes are the spread of what a MW costs, and the MW of an interval.
func (p *Problem) sizes() (spread, size float64) {
	sum, count, mean := 0.0, 0, 0.0
	each := func(do func(u *Unit)) {
		for i := range p.Stores {
			for k := range p.Stores[i].Units {
				if u := &p.Stores[i].Units[k]; u.Takes != 0 && u.Stores != 0 && u.Most > u.Least {
					do(u)
				}
			}
		}
	}
	each(func(u *Unit) {
		sum, count = sum+u.Cost/u.Takes, count+1
		size += u.Most - u.Least
	})
	if count == 0 {
		return 0, 0
	}
	mean = sum / float64(count)
	each(func(u *Unit) { spread += math.Abs(u.Cost/u.Takes - mean) })
	return spread / float64(count), size / float64(p.Intervals)
}

// stages goes on until the gap is as small as wanted, with widths down to least, and returns it, relative, with the width that
// it ended with.
func (s *solver) stages(ctx context.Context, width, least, wanted float64) (gap, ended float64, err error) {
	gap = 1
	for range s.enough {
		s.stay()
		over, err := s.climb(ctx, width, min(max(gap*0.3, kept/3), 1e-3)*s.size, kept/3*s.size)
		if err != nil {
			return gap, width, err
		}
		s.over = over
		cost, bound := s.cost(), s.bound()
		gap = math.Abs(cost-bound) / (1e-9*s.size*s.spread + math.Abs(cost))
		if gap <= wanted && over <= max(kept, wanted*roughly)*s.size || s.rounds > mostRounds {
			break
		}
		width = max(width*falls, least)
	}
	return gap, width, nil
}

// stay makes what the stores do what the next stage goes from.
func (s *solver) stay() {
	for i := range s.states {
		x := &s.states[i]
		copy(x.before, x.power)
		x.endBefore = x.end
	}
}

// look finds what is best for all stores at some prices: the value of that with what the limits are worth, and by row
// what is taken; curve gets minus the second derivative.
func (s *solver) look(prices []float64, width float64, takes []float64, curve *square) (value float64, err error) {
	s.rounds++
	at := make([][]float64, len(s.p.Limits))
	for r, x := range s.rows {
		if at[x.limit] == nil {
			at[x.limit] = make([]float64, s.n)
		}
		at[x.limit][x.t] = prices[r]
	}
	spread.Over(len(s.parts), func(i int) {
		g := &s.parts[i]
		clear(g.prices)
		for _, l := range s.sets[g.set] {
			for t, x := range at[l] {
				g.prices[t] += x
			}
		}
		s.work(g, width)
	})
	clear(takes)
	curve.clear()
	rows := make([][]int, len(s.p.Limits)) // by interval, plus 1
	for r, x := range s.rows {
		if rows[x.limit] == nil {
			rows[x.limit] = make([]int, s.n)
		}
		rows[x.limit][x.t] = r + 1
	}
	for i := range s.parts {
		g := &s.parts[i]
		if !g.ok {
			return 0, ErrInfeasible
		}
		value += g.value
		if next := i + 1; next < len(s.parts) && s.parts[next].set == g.set { // goes into the rows with that
			s.parts[next].add(g)
			continue
		}
		for _, l := range s.sets[g.set] {
			for t, r := range rows[l] {
				if r == 0 {
					continue
				}
				takes[r-1] += g.takes[t]
				for _, k := range s.sets[g.set] {
					for at, c := range rows[k] {
						if c > 0 && c <= r {
							curve.add(r-1, c-1, g.curve[max(t, at)*s.n+min(t, at)])
						}
					}
				}
			}
		}
	}
	for r, x := range prices {
		switch {
		case x > 0:
			value -= x * s.most[r]
		case x < 0:
			value -= x * s.lows[r]
		}
	}
	return value, nil
}

// add takes in what another part with the same limits takes.
func (g *part) add(other *part) {
	for t, x := range other.takes {
		g.takes[t] += x
	}
	n := len(g.takes)
	for t := range n {
		to := g.curve[t*n : t*n+t+1]
		for k, x := range other.curve[t*n : t*n+t+1] {
			to[k] += x
		}
	}
}

// work goes through the stores of a part.
func (s *solver) work(g *part, width float64) {
	clear(g.takes)
	clear(g.curve)
	g.value, g.ok = 0, true
	for _, i := range g.stores {
		value, ok := g.run(&s.p.Stores[i], &s.states[i], g.prices, width)
		if !ok {
			g.ok = false
			return
		}
		g.value += value
		g.slopes(&s.p.Stores[i], &s.states[i], width)
	}
}

// slopes adds what a store takes, and how that changes with prices. As long as ν is the same the store's energy is, so
// that with a and b what the power and the energy of an interval change by with its price, and d what the energy of all
// changes by with ν, the derivative is a·1 − b·bᵀ/d.
func (g *part) slopes(s *Store, x *state, width float64) {
	n := len(g.takes)
	g.at, g.by = g.at[:0], g.by[:0]
	moves, u := 0.0, 0
	flush := func() {
		if moves > 0 {
			for i, t := range g.at {
				row, by := g.curve[t*n:t*n+t+1], g.by[i]/moves
				for k, at := range g.at[:i+1] {
					row[at] -= by * g.by[k]
				}
			}
		}
		g.at, g.by, moves = g.at[:0], g.by[:0], 0
	}
	for t := range g.takes {
		if t > 0 && x.worth[t] != x.worth[t-1] {
			flush()
		}
		a, b := 0.0, 0.0
		for end := int(x.ends[t]); u < end; u++ {
			k, z := &g.asks[u], x.power[u]
			g.takes[t] += k.takes * z
			if z > k.least && z < k.most {
				a += k.takes * k.takes * k.steep
				b += k.takes * k.stores * k.steep
				moves += k.stores * k.stores * k.steep
			}
		}
		if a > 0 {
			g.curve[t*n+t] += a
			g.at, g.by = append(g.at, t), append(g.by, b)
		}
	}
	if room := s.End.Most - s.End.Least; room > 0 {
		per := room / s.width(width)
		if end := x.endBefore + (s.End.Price-x.worth[n-1])*per; end > s.End.Least && end < s.End.Most {
			moves += per
		}
	}
	flush()
}

// total is a sum over all stores.
func (s *solver) total(of func(g *part, x *Store, y *state) float64) (sum float64) {
	sums := make([]float64, len(s.parts))
	spread.Over(len(s.parts), func(k int) {
		g, part := &s.parts[k], 0.0
		for _, i := range g.stores {
			part += of(g, &s.p.Stores[i], &s.states[i])
		}
		sums[k] = part
	})
	for _, x := range sums {
		sum += x
	}
	return sum
}

// cost is that of what the stores do now.
func (s *solver) cost() float64 {
	return s.total(func(_ *part, x *Store, y *state) (sum float64) {
		for k := range y.units {
			sum += y.units[k].cost * y.power[k]
		}
		return sum - x.End.Price*y.end
	})
}

// bound is what nothing costs less than: the sum of what is least for each number by itself, where the rows and what is
// stored have prices (weak duality).
func (s *solver) bound() float64 { return s.floor(1) }

// floor is the same with so much of the costs.
func (s *solver) floor(costs float64) (sum float64) {
	sum = s.total(func(g *part, x *Store, y *state) (sum float64) {
		u := 0
		for t, end := range y.ends {
			for ; u < int(end); u++ {
				k := &y.units[u]
				sum += least(costs*k.cost+k.takes*g.prices[t]-y.worth[t]*k.stores, k.least, k.most)
			}
		}
		sum -= y.worth[0] * x.Start
		for t := 1; t < s.n; t++ {
			sum += least(y.worth[t-1]-y.worth[t], x.Least, x.Most)
		}
		return sum + least(y.worth[s.n-1]-costs*x.End.Price, x.End.Least, x.End.Most)
	})
	for r, x := range s.prices {
		sum += least(-x, s.lows[r], s.most[r])
	}
	return sum
}

// least is what c times something from lo to hi is at least.
func least(c, lo, hi float64) float64 {
	switch {
	case c > 0:
		return c * lo
	case c < 0:
		return c * hi
	}
	return 0
}

// impossible is whether the prices prove that the limits can't be kept to: where nothing costs anything but they, everything
// does (Farkas' lemma). It is asked where they are far above what anything costs.
func (s *solver) impossible() bool {
	high, sum := 0.0, 0.0
	for _, x := range s.prices {
		high, sum = max(high, math.Abs(x)), sum+math.Abs(x)
	}
	return high > absurd*s.spread && s.floor(0) > 1e-6*sum*s.size
}

func (s *solver) solution() *Solution {
	out := &Solution{Cost: s.cost(), Bound: s.bound(), Over: s.over, Rounds: s.rounds}
	for i := range s.states {
		out.Power, out.Worth = append(out.Power, s.states[i].power), append(out.Worth, s.states[i].worth)
	}
	for range s.p.Limits {
		out.Price = append(out.Price, make([]float64, s.n))
	}
	for r, x := range s.rows {
		out.Price[x.limit][x.t] = s.prices[r]
	}
	return out
}

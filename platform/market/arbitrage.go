package market

import "sort"

// Arbitrage finds what energy alone earns, exactly and fast: the value of a battery as a
// function of what it holds is concave and made of straight pieces, and an interval of
// another price puts two more among them. A value of the type is used again and again, not
// by two at a time.
//
// It is the recursion V[t](E) = max over E' of V[t+1](E') + f(E − E'), with f the revenue of
// an interval, whose slope is p/η where it charges and p − v where it discharges. Both are
// concave as long as p/η >= p − v, so their supremal convolution is the pieces of both, sorted
// by slope (R. T. Rockafellar, Convex Analysis, 1970, section 16). What is best is then a pair
// of levels for each interval: charge towards the lower, discharge towards the upper one.
type Arbitrage struct {
	slope, length []float64 // of the pieces, from empty to full, slopes falling
	low, high     []float64 // by interval, MWh
}

// Best returns the value of a battery over intervals of so many hours with known prices, empty
// at both ends, and what it holds at the begin of each and at the end of the last, in stored,
// which has room for one more than there are prices. It is not ok where a price is so far below
// 0 that wasting energy would pay (p·(1/η − 1) + v < 0): see Best.
func (a *Arbitrage) Best(b Battery, hours float64, prices, stored []float64) (value float64, ok bool) {
	return a.From(0, b, hours, prices, stored)
}

// From is Best of a battery that holds something at the begin: what it holds can be sold within
// the intervals. The value is that of an empty one.
func (a *Arbitrage) From(start float64, b Battery, hours float64, prices, stored []float64) (value float64, ok bool) {
	var (
		n       = len(prices)
		in, out = hours * b.Efficiency * b.PowerMW, hours * b.PowerMW // MWh that fit into an interval
		top     = 0.0                                                 // what it may hold at most, to be empty in the end
		worth   = 0.0                                                 // of an empty battery
	)
	a.slope, a.length = a.slope[:0], a.length[:0]
	if cap(a.low) < n {
		a.low, a.high = make([]float64, n), make([]float64, n)
	}
	a.low, a.high = a.low[:n], a.high[:n]
	for t := n - 1; t >= 0; t-- {
		buy, sell := prices[t]/b.Efficiency, prices[t]-b.VariableCost
		if buy < sell {
			return 0, false
		}
		a.low[t] = a.insert(buy, in)
		a.high[t] = a.insert(sell, out)
		if buy > sell { // behind the piece that charges, which is not there to be discharged
			a.high[t] -= in
		}
		// A full interval of charging ends where V began: what lies below empty is cut off.
		worth -= buy * in
		worth += a.cutBelow(in)
		top += out
		if top > b.EnergyMWh {
			a.cutAbove(top - b.EnergyMWh)
			top = b.EnergyMWh
		}
	}
	at := start
	stored[0] = start
	for t := range n {
		switch {
		case at < a.low[t]:
			at = min(a.low[t], at+in)
		case at > a.high[t]:
			at = max(a.high[t], at-out)
		}
		stored[t+1] = at
	}
	return worth, true
}

// insert puts in a piece and returns how long those before it are.
func (a *Arbitrage) insert(slope, length float64) (before float64) {
	i := sort.Search(len(a.slope), func(i int) bool { return a.slope[i] <= slope })
	for _, l := range a.length[:i] {
		before += l
	}
	a.slope, a.length = append(a.slope, 0), append(a.length, 0)
	copy(a.slope[i+1:], a.slope[i:])
	copy(a.length[i+1:], a.length[i:])
	a.slope[i], a.length[i] = slope, length
	return before
}

// cutBelow removes so much from the empty end, and returns what it was worth.
func (a *Arbitrage) cutBelow(length float64) (worth float64) {
	i := 0
	for ; length > 0 && i < len(a.slope); i++ {
		if a.length[i] > length {
			worth += a.slope[i] * length
			a.length[i] -= length
			break
		}
		worth += a.slope[i] * a.length[i]
		length -= a.length[i]
	}
	a.slope = a.slope[:copy(a.slope, a.slope[i:])]
	a.length = a.length[:copy(a.length, a.length[i:])]
	return worth
}

// cutAbove removes so much from the full end.
func (a *Arbitrage) cutAbove(length float64) {
	i := len(a.slope)
	for ; length > 0 && i > 0; i-- {
		if a.length[i-1] > length {
			a.length[i-1] -= length
			break
		}
		length -= a.length[i-1]
	}
	a.slope, a.length = a.slope[:i], a.length[:i]
}

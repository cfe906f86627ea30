package aging

import "math"

// MaxTurns is how many turning points a Rainflow remembers. Swings that grow close
// at once, so only swings each smaller than the one before pile up. When there are
// too many, the oldest, which is the largest, leaves as the half cycle that it
// would be at the end of the record. The sums of depth, seconds and charge stay
// true; only how depth is shared among the cycles around it may differ.
const MaxTurns = 32

// Cycle is a swing of the state of charge that has closed, or half of one.
type Cycle struct {
	Count   float64 // 1, or 0.5 for a half cycle
	Depth   float64 // 0..1, from trough to peak
	SoC     float64 // 0..1, midway
	CRate   float64 // 1/h, mean magnitude, each charge counted with the rate it flowed at
	TempK   float64 // K, mean over time
	Seconds float64 // s, how long it took
}

// FEC is the cycle in full equivalent cycles.
func (c Cycle) FEC() float64 { return c.Count * c.Depth }

// Sample is what held for a while, and the state of charge it ended at.
type Sample struct {
	SoC     float64 // 0..1, at the end
	CRate   float64 // 1/h, of either sign
	TempK   float64 // K
	Seconds float64 // s
}

// Work is what happened on the way to a turning point.
type Work struct {
	Seconds float64 // s
	Charge  float64 // full charges that flowed, either way
	Rate    float64 // 1/h, integral of the C-rate's magnitude over Charge
	Heat    float64 // K s, integral of the temperature over time
}

// Turn is a turning point and the way to it from the one before.
type Turn struct {
	SoC float64
	Work
}

// Rainflow counts cycles online by the rules of ASTM E1049-85 §5.4.4: a range that
// is reached by the next one is a cycle, or half of one if it holds the first point
// of the record, which is then forgotten. A range counts as soon as it is reached,
// not only at the next turning point; that makes no difference to the count.
//
// The state is plain data. All work is handed out exactly once: a cycle gets that
// of its range and of the way back, a half cycle that of its range. Within a sample
// the state of charge moves evenly, so a cycle that closes within it ends there, and
// how a sample is cut makes no difference.
type Rainflow struct {
	Turns [MaxTurns]Turn // from the first point to the last sample
	Len   int
}

// Push adds a sample and hands the cycles it closes to out.
func (r *Rainflow) Push(s Sample, out func(Cycle)) {
	flow := math.Abs(s.CRate)
	charge := flow * s.Seconds / hour
	w := Work{Seconds: s.Seconds, Charge: charge, Rate: flow * charge, Heat: s.TempK * s.Seconds}
	if r.Len == 0 {
		r.append(Turn{SoC: s.SoC})
	}
	if s.SoC != r.last().SoC {
		up := s.SoC > r.last().SoC
		r.turn(up, out)
		r.closeOnTheWay(s.SoC, up, &w, out)
	}
	r.last().SoC = s.SoC
	r.last().add(w, 1)
}

// Flush hands out what is left as half cycles, as the standard does at the end of a
// record, and begins anew at the last sample.
func (r *Rainflow) Flush(out func(Cycle)) {
	for r.Len > 1 {
		r.dropFirst(out)
	}
}

// turn begins a range if the state of charge has not gone that way so far.
func (r *Rainflow) turn(up bool, out func(Cycle)) {
	last := *r.last()
	switch n := r.Len; {
	case n == 1: // rest before the first range belongs to it
		r.Turns[0].Work = Work{}
		r.append(last)
	case up != (last.SoC > r.Turns[n-2].SoC):
		if n == MaxTurns {
			r.dropFirst(out)
		}
		r.append(Turn{SoC: last.SoC})
	}
}

// closeOnTheWay counts the ranges that a move to soc reaches and leaves in w the work
// of what remains of the move.
func (r *Rainflow) closeOnTheWay(soc float64, up bool, w *Work, out func(Cycle)) {
	for r.Len >= 3 {
		last, level := r.last(), r.Turns[r.Len-3].SoC // where the range before the last is reached
		if soc != level && up != (soc > level) {
			return
		}
		share := (level - last.SoC) / (soc - last.SoC)
		last.SoC = level
		last.add(*w, share)
		w.scale(1 - share)
		r.close(out)
	}
}

// close counts the range before the last, which the last has just reached.
func (r *Rainflow) close(out func(Cycle)) {
	if r.Len == 3 {
		r.dropFirst(out)
		return
	}
	closed, back := &r.Turns[r.Len-2], r.last()
	w := closed.Work
	w.add(back.Work, 1)
	out(cycle(1, closed.SoC, back.SoC, w))
	r.Len -= 2
}

// dropFirst hands out the first range as a half cycle and forgets its first point.
func (r *Rainflow) dropFirst(out func(Cycle)) {
	out(cycle(0.5, r.Turns[0].SoC, r.Turns[1].SoC, r.Turns[1].Work))
	copy(r.Turns[:], r.Turns[1:r.Len])
	r.Turns[0].Work = Work{}
	r.Len--
}

func (r *Rainflow) last() *Turn { return &r.Turns[r.Len-1] }

func (r *Rainflow) append(t Turn) {
	r.Turns[r.Len] = t
	r.Len++
}

// add adds a share of v.
func (w *Work) add(v Work, share float64) {
	w.Seconds += share * v.Seconds
	w.Charge += share * v.Charge
	w.Rate += share * v.Rate
	w.Heat += share * v.Heat
}

func (w *Work) scale(share float64) {
	w.Seconds *= share
	w.Charge *= share
	w.Rate *= share
	w.Heat *= share
}

func cycle(count, from, to float64, w Work) Cycle {
	return Cycle{
		Count: count, Depth: math.Abs(to - from), SoC: (from + to) / 2,
		CRate: mean(w.Rate, w.Charge), TempK: mean(w.Heat, w.Seconds), Seconds: w.Seconds,
	}
}

// mean is sum over weight, 0 without weight.
func mean(sum, weight float64) float64 {
	if weight == 0 {
		return 0
	}
	return sum / weight
}

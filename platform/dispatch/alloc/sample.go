package alloc

import "math"

const (
	direct     = 2048 // fleets up to this size are solved without a sample
	sampleSize = 1024
	sampleZ    = 3 // half width of the bracket in standard errors of the sample
)

// bracket returns the multipliers between which the one should lie that takes the
// fleet the part share of the way from all its lower bounds to all its upper ones,
// and how many it tried. It judges by a sample that is taken the same part of its
// own way: so the sizes of its units do not blur the answer, and the bracket closes
// towards either end. Small fleets get the whole range. It takes no view on units
// that are not sound: split refuses them.
func (s *Solver) bracket(p Problem, share float64) (span, int) {
	n := p.Len()
	mid := n / 2
	whole := span{p.B[mid] + float64(p.A[mid]*(p.Lo[mid]+float64(share*(p.Hi[mid]-p.Lo[mid]))-p.R[mid])), beyond}
	if n <= direct {
		return whole, 0
	}
	if s.pick == nil {
		s.pick = make([]unit, 2*sampleSize)
	}
	pick, work := s.pick[:sampleSize], s.pick[sampleSize:]
	lo, hi := 0.0, 0.0
	random := uint64(1)
	for j := range pick {
		// One unit from each of sampleSize strata; the place within is scattered, so that
		// no period in the order of the units hides.
		from, to := j*n/sampleSize, (j+1)*n/sampleSize
		random = random*6364136223846793005 + 1442695040888963407
		i := from + int((random>>32)*uint64(to-from)>>32)
		if !p.sound(i) {
			return whole, 0
		}
		w := 1 / p.A[i]
		pick[j] = unit{p.R[i] + float64((whole.centre-p.B[i])*w), w, p.Lo[i], p.Hi[i]}
		lo += p.Lo[i]
		hi += p.Hi[i]
	}
	if !(lo < hi) {
		return whole, 0
	}

	steps := 0
	at := func(want, tol, start float64) float64 {
		switch {
		case want <= lo:
			return ends(pick).centre - ends(pick).half
		case want >= hi:
			return ends(pick).centre + ends(pick).half
		}
		copy(work, pick)
		t, k := root(work, line{}, want, tol, start, -beyond, beyond)
		steps += k
		return t
	}
	want := lo + float64(share*(hi-lo))
	t := at(want, (hi-lo)*0x1p-12, 0)
	square := 0.0
	for _, u := range pick {
		d := u.at(t) - u.lo - float64(share*(u.hi-u.lo))
		square += float64(d * d)
	}
	err := max(sampleZ*math.Sqrt(square), (hi-lo)*0x1p-12)
	l, u := at(want-err, err/16, t), at(want+err, err/16, t)
	return span{whole.centre + t, max(t-l, u-t)}, steps
}

// ends spans the multipliers from the first breakpoint of us to the last.
func ends(us []unit) span {
	first, last := math.Inf(1), math.Inf(-1)
	for _, u := range us {
		first = min(first, (u.lo-u.x)/u.w)
		last = max(last, (u.hi-u.x)/u.w)
	}
	return span{first/2 + last/2, last/2 - first/2}
}

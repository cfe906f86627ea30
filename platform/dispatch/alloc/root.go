package alloc

import "math"

// beyond is an offset of the multiplier past every breakpoint the limits allow:
// |b + a(lo − r)| stays below 1e61.
const beyond = 1e70

// unit is one unit seen from a multiplier in the middle of things, the centre: at
// centre + t its power is min(max(x + w·t, lo), hi). Counting from a centre near
// the answer keeps all the digits of a soft unit's power.
type unit struct {
	x, w   float64 // power at the centre if there were no bounds, kW; 1/a
	lo, hi float64 // kW
}

func (u unit) at(t float64) float64 { return clip(u.x+float64(u.w*t), u.lo, u.hi) }

func clip(x, lo, hi float64) float64 { return min(max(x, lo), hi) }

// line is the sum of units that are linear over the whole bracket.
type line struct {
	base  float64 // at t = 0, kW
	slope float64
}

func (l line) at(t float64) float64 { return l.base + float64(l.slope*t) }

// sumAt is Σ P_i at centre + t.
func sumAt(us []unit, l line, t float64) float64 {
	sum := 0.0
	for _, u := range us {
		sum += u.at(t)
	}
	return sum + l.at(t)
}

// root finds the t in [tl, tu] at which us and l together take want, to within tol,
// beginning at t, and says how many values it tried. The sum must be at most want
// at tl and at least want at tu. It overwrites us.
//
// Newton's step is exact as soon as it stays on one linear piece. A step that
// leaves the bracket, or that follows one which did not bring the sum four times
// nearer, is replaced by a middling breakpoint, which shrinks the set of units
// whatever the shape of the sum; units without a breakpoint inside the bracket go
// over to the line at once.
func root(us []unit, l line, want, tol, t, tl, tu float64) (float64, int) {
	fl, fu := math.Inf(-1), math.Inf(1) // sum − want at the ends, where known
	last := math.Inf(1)
	for steps := 1; ; steps++ {
		if !(t > tl && t < tu) {
			if t = pivot(us, tl, tu); !(t > tl && t < tu) {
				return onPiece(l, us, want, tl, tu, fl, fu), steps
			}
		}
		rest, f, slope := fold(us, &l, t, tl, tu)
		us = rest
		f -= want
		switch {
		case math.Abs(f) <= tol:
			return t, steps
		case f < 0:
			tl, fl = t, f
		default:
			tu, fu = t, f
		}
		if math.Abs(f) <= last/4 {
			t -= f / slope
		} else {
			t = math.NaN()
		}
		last = math.Abs(f)
	}
}

// fold returns the sum at t and its slope there, and the units that still have a
// breakpoint strictly between tl and tu; the others have gone into l. Selecting
// without branches pays: which unit is at which bound cannot be predicted.
func fold(us []unit, l *line, t, tl, tu float64) (rest []unit, sum, slope float64) {
	k := 0
	var gone line // counted from t
	for _, u := range us {
		x := u.x + float64(u.w*t)
		y := clip(x, u.lo, u.hi)
		w := when(x == y, u.w)
		sum += y
		slope += w
		a, b := u.x+float64(u.w*tl), u.x+float64(u.w*tu)
		open := bit(a < u.lo)&bit(b > u.lo) | bit(a < u.hi)&bit(b > u.hi)
		us[k] = u
		k += open
		gone.base += when(open == 0, y)
		gone.slope += when(open == 0, w)
	}
	sum += l.at(t)
	slope += l.slope
	l.base += gone.base - float64(gone.slope*t)
	l.slope += gone.slope
	return us[:k], sum, slope
}

// bit is 1 for true, 0 for false; it compiles to a flag, not to a branch.
func bit(b bool) int {
	n := 0
	if b {
		n = 1
	}
	return n
}

// when is v or, unless b, 0.
func when(b bool, v float64) float64 {
	return math.Float64frombits(math.Float64bits(v) & -uint64(bit(b)))
}

// onPiece solves the last piece: no unit has a breakpoint between tl and tu.
func onPiece(l line, us []unit, want, tl, tu, fl, fu float64) float64 {
	mid := tl/2 + tu/2
	_, f, slope := fold(us, &l, mid, tl, tu)
	if t := mid - (f-want)/slope; t >= tl && t <= tu {
		return t
	}
	// A flat piece, or one too steep for a float64 to stand on: the nearer end.
	if -fl <= fu {
		return tl
	}
	return tu
}

// pivot is the median of a few breakpoints strictly between tl and tu, NaN if there
// is none.
func pivot(us []unit, tl, tu float64) float64 {
	var found [15]float64
	n := 0
	stride := max(len(us)/8, 1)
	for first := 0; first < stride && n == 0; first++ {
		for i := first; i < len(us) && n < len(found); i += stride {
			u := us[i]
			t := (u.lo - u.x) / u.w
			if i/stride%2 == 1 || !(t > tl && t < tu) {
				if h := (u.hi - u.x) / u.w; h > tl && h < tu {
					t = h
				}
			}
			if !(t > tl && t < tu) {
				continue
			}
			j := n
			for ; j > 0 && found[j-1] > t; j-- {
				found[j] = found[j-1]
			}
			found[j] = t
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return found[n/2]
}

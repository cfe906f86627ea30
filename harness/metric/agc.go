package metric

import "math"

// KRule holds the constants of a K index for automatic generation control:
// K = Weight[0]·K1 + Weight[1]·K2 + Weight[2]·K3 with
// K1 = rate/StandardRate (at most CapRate), K2 = 1 − delay/StandardDelay,
// K3 = 1 − error/StandardError, none of them below 0.
type KRule struct {
	StandardRate  float64 // percent of rated power a minute
	CapRate       float64 // largest K1
	StandardDelay float64 // s
	StandardError float64 // percent of rated power
	Weight        [3]float64

	Counts  float64 // a command counts if it moves more than this, percent of rated power
	Departs float64 // leaving this band around the old power is the response, percent
	Arrives float64 // entering this band around the new target is the arrival, percent
	Holds   float64 // a command that is replaced earlier is void, s
}

// Hunan is the rule of Hunan province of 2025-10-24 with the standard rate of
// storage (100 % of rated power a minute) and the counting thresholds of the
// published settlement codes.
var Hunan = KRule{
	StandardRate: 100, CapRate: 3, StandardDelay: 60, StandardError: 2, Weight: [3]float64{0.4, 0.3, 0.3},
	Counts: 2, Departs: 1, Arrives: 1, Holds: 40,
}

// KpRule holds the constants of the other index, the product Kp = K1·K2·K3 of the
// settlement codes of SolveAGC (CalMoneyHB.m), each factor 1 at its standard, at most 2
// and never below Least:
// K1 = 2 − StandardRate/rate, K2 = 2 − error/StandardError, K3 = 2 − delay/StandardDelay.
// Its K2 is about the error and its K3 about the delay, the other way round than KRule's.
type KpRule struct {
	StandardRate  float64 // percent of rated power a minute
	StandardError float64 // percent of rated power
	StandardDelay float64 // s; 60 in another variant
	Least         float64
}

// SolveAGC is that rule with the constants of the code; provinces have 1 to 1.5 % in it.
var SolveAGC = KpRule{StandardRate: 1.5, StandardError: 1.5, StandardDelay: 20, Least: 0.1}

// Parts are K1, K2 and K3 of one adjustment.
func (r KpRule) Parts(a Adjustment) [3]float64 {
	k := [3]float64{r.Least, max(r.Least, 2-a.Error/r.StandardError), max(r.Least, 2-a.Delay/r.StandardDelay)}
	if a.Rate > 0 { // else it did not move
		k[0] = max(r.Least, 2-r.StandardRate/a.Rate)
	}
	return k
}

// Kp is the index of one adjustment.
func (r KpRule) Kp(a Adjustment) float64 {
	k := r.Parts(a)
	return k[0] * k[1] * k[2]
}

// Adjustment is how one command was followed.
type Adjustment struct {
	Rate  float64 // percent of rated power a minute
	Delay float64 // s until the response
	Error float64 // mean deviation from the target afterwards, percent of rated power
}

// Parts are K1, K2 and K3 of one adjustment.
func (r KRule) Parts(a Adjustment) [3]float64 {
	return [3]float64{
		min(max(a.Rate/r.StandardRate, 0), r.CapRate),
		max(0, 1-a.Delay/r.StandardDelay),
		max(0, 1-a.Error/r.StandardError),
	}
}

// K is the index of one adjustment.
func (r KRule) K(a Adjustment) float64 {
	k := r.Parts(a)
	return r.Weight[0]*k[0] + r.Weight[1]*k[1] + r.Weight[2]*k[2]
}

// agc watches target and power and measures each adjustment as it goes by.
// Where a sampled instant lies between two steps it takes the one that makes the
// battery look slower.
type agc struct {
	rule   KRule
	rated  float64 // kW
	open   bool    // an adjustment is being measured
	target float64 // kW; NaN before the first
	t0, p0 float64 // when, and from which power, it was asked for
	left   float64 // last time it was seen inside the band around p0, s
	seen   float64 // first time it was seen outside, NaN until then
	there  float64 // first time it was seen in the band of the target, NaN until then
	lastT  float64
	lastP  float64
	area   float64 // ∫|error|dt since the arrival, or all of it before one, kW·s
	areaT  float64 // s
	done   series
	each   func(Adjustment) // gets each adjustment, instead of done; nil: done does
}

// step takes the state at t, the end of a step of dt seconds. No target ends what was open.
func (a *agc) step(t, dt, target, power float64) {
	if target != a.target { // true also while either is NaN
		a.close(t - dt)
		a.open = math.Abs(target-a.lastP) > a.rule.Counts/100*a.rated
		a.target, a.t0, a.p0 = target, t-dt, a.lastP
		a.left, a.seen, a.there, a.area, a.areaT = a.t0, math.NaN(), math.NaN(), 0, 0
	}
	if a.open {
		if math.IsNaN(a.seen) {
			if a.toward(power) > a.rule.Departs/100*a.rated {
				a.seen = t
			} else {
				a.left = t
			}
		}
		if math.IsNaN(a.there) && math.Abs(power-target) <= a.rule.Arrives/100*a.rated {
			a.there, a.area, a.areaT = t, 0, 0
		}
		a.area += math.Abs(power-target) * dt
		a.areaT += dt
	}
	a.lastT, a.lastP = t, power
}

// toward is how far power has moved from p0 in the direction asked for.
func (a *agc) toward(power float64) float64 {
	return math.Copysign(1, a.target-a.p0) * (power - a.p0)
}

// close ends what is open at t, when its command was replaced or the run ended.
func (a *agc) close(t float64) {
	if !a.open || t-a.t0 < a.rule.Holds-1e-6 || a.areaT == 0 {
		a.open = false
		return
	}
	a.open = false
	k := Adjustment{Delay: t - a.t0, Error: 100 * a.area / a.areaT / a.rated}
	if !math.IsNaN(a.seen) {
		k.Delay = a.seen - a.t0
		end, moved := t, a.toward(a.lastP)
		if !math.IsNaN(a.there) {
			end, moved = a.there, math.Abs(a.target-a.p0)
		}
		if end > a.left {
			k.Rate = 100 * moved / a.rated / (end - a.left) * 60
		}
	}
	if a.each != nil {
		a.each(k)
		return
	}
	a.done.add(a.rule.K(k))
}

// series is the mean of what was added, with its interval.
type series struct {
	n     int64
	sum   float64
	batch batch
}

func (s *series) add(v float64) {
	s.n++
	s.sum += v
	s.batch.add(v)
}

// Adjustments are how the commands of a signal were followed, by the samples of the power
// that had to follow it, both in kW. ErrNoData where none counts.
func (r KRule) Adjustments(pts []Point, signal func(t float64) float64, ratedKW float64) (list []Adjustment, err error) {
	a := agc{rule: r, rated: ratedKW, target: math.NaN(), each: func(x Adjustment) { list = append(list, x) }}
	if len(pts) > 0 {
		a.lastT, a.lastP = pts[0].T, pts[0].V
	}
	for i := 1; i < len(pts); i++ {
		a.step(pts[i].T, pts[i].T-pts[i-1].T, signal(pts[i].T-1e-6), pts[i].V)
	}
	if len(pts) > 0 {
		a.close(pts[len(pts)-1].T)
	}
	if len(list) == 0 {
		return nil, ErrNoData
	}
	return list, nil
}

// Mean is the mean of what each of them comes to.
func Mean(list []Adjustment, of func(Adjustment) float64) float64 {
	sum := 0.0
	for _, a := range list {
		sum += of(a)
	}
	return sum / float64(len(list)) // NaN of none
}

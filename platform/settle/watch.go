package settle

import "math"

// Counting says which commands count and when one is answered, in percent of rated power.
type Counting struct {
	Counts  float64 `yaml:"counts_percent" json:"counts_percent"`   // a command counts if it moves more than this
	Departs float64 `yaml:"departs_percent" json:"departs_percent"` // leaving this band around the old power is the response
	Arrives float64 `yaml:"arrives_percent" json:"arrives_percent"` // entering this band around the new target is the arrival
	Holds   float64 `yaml:"holds_s" json:"holds_s"`                 // a command that is replaced earlier is void, s
}

// Adjustment is how one command was followed.
type Adjustment struct {
	At       float64 `json:"t_s"`               // when it was asked for
	FromKW   float64 `json:"from_kw"`           // from which power
	TargetKW float64 `json:"target_kw"`         // and to which
	MovedKW  float64 `json:"moved_kw"`          // how far it went in the direction asked for, at most as far as asked
	RateKW   float64 `json:"rate_kw_per_min"`   // speed, kW a minute
	Rate     float64 `json:"rate_percent"`      // speed, percent of rated power a minute
	Delay    float64 `json:"delay_s"`           // s until the response
	Error    float64 `json:"deviation_percent"` // mean deviation from the target afterwards, percent of rated power
}

// Watch watches target and power and measures each adjustment as it goes by. It is a
// value: a copy of it can be closed to see what is open. Where a sampled instant lies
// between two steps it takes the one that makes the battery look slower.
type Watch struct {
	count  Counting
	rated  float64 // kW
	open   bool    // an adjustment is being measured
	target float64 // of the last command, kW; NaN before the first
	t0, p0 float64 // when, and from which power, it was asked for
	left   float64 // last time it was seen inside the band around p0, s
	seen   float64 // first time it was seen outside, NaN until then
	there  float64 // first time it was seen in the band of the target, NaN until then
	most   float64 // furthest it has come toward the target, kW
	lastT  float64
	lastP  float64
	prevP  float64 // power of the step before that
	atOnce bool    // a response at the instant of its command may be in the sample of that instant
	area   float64 // ∫|error|dt since the arrival, or all of it before one, kW·s
	areaT  float64 // s
}

// NewWatch watches a device or a fleet of that rating, kW.
func NewWatch(c Counting, ratedKW float64) Watch {
	return Watch{count: c, rated: ratedKW, target: math.NaN(), lastP: math.NaN(), prevP: math.NaN()}
}

// Last is the time of the last step.
func (w *Watch) Last() float64 { return w.lastT }

// Step takes the state at t, the end of a step of dt seconds, and returns the adjustment
// that ended with it, if one did. What was open is ended by no target, and by one that is
// further from the command's than what counts.
func (w *Watch) Step(t, dt, target, power float64) (done Adjustment, ok bool) {
	if target != w.target && !w.trembles(target) { // true also while either is NaN
		done, ok = w.Close(t - dt)
		p0 := w.lastP
		if w.atOnce && math.Abs(target-w.prevP) > math.Abs(target-p0) {
			p0 = w.prevP
		}
		w.open = math.Abs(target-p0) > w.count.Counts/100*w.rated
		w.target, w.t0, w.p0 = target, t-dt, p0
		w.left, w.seen, w.there, w.most, w.area, w.areaT = w.t0, math.NaN(), math.NaN(), 0, 0, 0
	}
	if w.open {
		if math.IsNaN(w.seen) {
			if w.toward(power) > w.count.Departs/100*w.rated {
				w.seen = t
			} else {
				w.left = t
			}
		}
		if math.IsNaN(w.there) && math.Abs(power-target) <= w.count.Arrives/100*w.rated {
			w.there, w.area, w.areaT = t, 0, 0
		}
		w.most = max(w.most, w.toward(power))
		w.area += math.Abs(power-target) * dt
		w.areaT += dt
	}
	w.lastT, w.lastP, w.prevP = t, power, w.lastP
	return done, ok
}

// trembles tells whether a target is too near that of the command that is measured to be
// another one. It is what power is compared with from now on; the command is still the same.
func (w *Watch) trembles(target float64) bool {
	return w.open && math.Abs(target-w.target) <= w.count.Counts/100*w.rated
}

// toward is how far power has moved from p0 in the direction asked for.
func (w *Watch) toward(power float64) float64 {
	return math.Copysign(1, w.target-w.p0) * (power - w.p0)
}

// Close ends what is open at t, when its command was replaced or there is no more to see.
func (w *Watch) Close(t float64) (a Adjustment, ok bool) {
	if !w.open || t-w.t0 < w.count.Holds-1e-6 || w.areaT == 0 {
		w.open = false
		return a, false
	}
	w.open = false
	asked := math.Abs(w.target - w.p0)
	a = Adjustment{
		At: w.t0, FromKW: w.p0, TargetKW: w.target, MovedKW: min(w.most, asked),
		Delay: t - w.t0, Error: 100 * w.area / w.areaT / w.rated,
	}
	if !math.IsNaN(w.seen) {
		a.Delay = w.seen - w.t0
		end, moved := t, w.toward(w.lastP)
		if !math.IsNaN(w.there) {
			end, moved = w.there, asked
		}
		if end > w.left {
			a.RateKW = moved / (end - w.left) * 60
			a.Rate = 100 * moved / w.rated / (end - w.left) * 60
		}
	}
	return a, true
}

// Adjustments are how the commands of a signal were followed by power, kW at times t, s. Power of the instant of
// a command may be that of the response already.
// ErrNoData where none counts.
func (c Counting) Adjustments(t, power []float64, signal func(t float64) float64, ratedKW float64) (list []Adjustment, err error) {
	w := NewWatch(c, ratedKW)
	w.atOnce = true
	if len(t) > 0 {
		w.lastT, w.lastP = t[0], power[0]
	}
	for i := 1; i < len(t); i++ {
		if a, ok := w.Step(t[i], t[i]-t[i-1], signal(t[i]-1e-6), power[i]); ok {
			list = append(list, a)
		}
	}
	if a, ok := w.Close(w.lastT); ok && len(t) > 0 {
		list = append(list, a)
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

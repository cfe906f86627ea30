package settle

import (
	"math"
	"slices"
)

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
// value: a copy of it can be closed to see what is open. A target holds until the next one,
// a power until the next reading. Where an instant lies between two readings it takes the
// one that makes the battery look slower.
type Watch struct {
	count  Counting
	rated  float64 // kW
	open   bool    // an adjustment is being measured
	target float64 // of the last command, kW; NaN before the first
	now    float64 // what is asked for, kW: the command's target, or one that trembles about it
	t0, p0 float64 // when, and from which power, it was asked for
	left   float64 // last time it was read inside the band around p0, s
	leftP  float64 // and its power then, kW
	seen   float64 // first time it was read outside, NaN until then
	there  float64 // first time it was read in the band of the target, NaN until then
	thereP float64 // and its power then, kW
	most   float64 // furthest it has come toward the target, kW
	last   float64 // s, of a target or of a reading
	read   float64 // s, of the last reading
	power  float64 // of the last reading, kW; NaN before the first
	area   float64 // ∫|error|dt since the arrival, or all of it before one, kW·s
	areaT  float64 // s
}

// NewWatch watches a device or a fleet of that rating, kW.
func NewWatch(c Counting, ratedKW float64) Watch {
	return Watch{count: c, rated: ratedKW, target: math.NaN(), now: math.NaN(), power: math.NaN()}
}

// Last is the time of the last target or reading.
func (w *Watch) Last() float64 { return w.last }

// Step takes the state at t, the end of a step of dt seconds in which target was asked for,
// and returns the adjustment that ended when the step began, if one did.
func (w *Watch) Step(t, dt, target, power float64) (done Adjustment, ok bool) {
	done, ok = w.Ask(t-dt, target)
	w.Read(t, power)
	return done, ok
}

// Ask takes what is asked for from t on, and returns the adjustment that it ended. What is
// open is ended by no target, and by one that is further from the command's than what counts.
func (w *Watch) Ask(t, target float64) (done Adjustment, ok bool) {
	w.pass(t)
	if target != w.target && !w.trembles(target) { // true also while either is NaN
		done, ok = w.Close(t)
		w.target, w.t0 = target, t
		w.begin(w.power)
		w.left, w.leftP = t, w.power
	}
	w.now = target
	return done, ok
}

// Read takes the power from t on. At the very instant of a command it may be the response
// already, or still the power that the command found: the one that is further from the target.
func (w *Watch) Read(t, power float64) {
	w.pass(t)
	if t == w.t0 {
		if math.Abs(w.target-power) > math.Abs(w.target-w.p0) {
			w.begin(power)
		} else if w.toward(power) > w.band(w.count.Departs) {
			w.left = max(w.read, t-mostBefore)
		}
	}
	if w.open {
		if math.IsNaN(w.seen) {
			if w.toward(power) > w.band(w.count.Departs) {
				w.seen = t
			} else {
				w.left, w.leftP = t, power
			}
		}
		if math.IsNaN(w.there) && math.Abs(power-w.now) <= w.band(w.count.Arrives) {
			w.there, w.thereP, w.area, w.areaT = t, power, 0, 0
		}
		w.most = max(w.most, w.toward(power))
	}
	w.read, w.power = t, power
}

// mostBefore is how long before a command a response that is read at its instant is taken to
// have begun, s: with the reading before, but readings may be far apart while nothing moves.
const mostBefore = 1

// begin begins to measure the command from a power.
func (w *Watch) begin(p0 float64) {
	w.open, w.p0 = math.Abs(w.target-p0) > w.band(w.count.Counts), p0
	w.seen, w.there, w.most, w.area, w.areaT = math.NaN(), math.NaN(), 0, 0, 0
}

// pass lets what was asked for and read hold until t.
func (w *Watch) pass(t float64) {
	if dt := t - w.last; w.open && dt > 0 {
		w.area += math.Abs(w.power-w.now) * dt
		w.areaT += dt
	}
	w.last = t
}

// band is percent of rated power, kW.
func (w *Watch) band(percent float64) float64 { return percent / 100 * w.rated }

// trembles tells whether a target is too near that of the command that is measured to be
// another one. It is what power is compared with from now on; the command is still the same.
func (w *Watch) trembles(target float64) bool {
	return w.open && math.Abs(target-w.target) <= w.band(w.count.Counts)
}

// toward is how far power has moved from p0 in the direction asked for.
func (w *Watch) toward(power float64) float64 {
	return math.Copysign(1, w.target-w.p0) * (power - w.p0)
}

// Close ends what is open at t, when its command was replaced or there is no more to see.
//
// The rate is distance by time between the same two instants: the last reading in the band
// around the power before and the first one in the band of the target, or the end.
func (w *Watch) Close(t float64) (a Adjustment, ok bool) {
	w.pass(t)
	if !w.open || t-w.t0 < w.count.Holds-1e-6 || t <= w.t0 {
		w.open = false
		return a, false
	}
	w.open = false
	a = Adjustment{At: w.t0, FromKW: w.p0, TargetKW: w.target, MovedKW: min(w.most, math.Abs(w.target-w.p0)), Delay: t - w.t0}
	off := math.Abs(w.power - w.now) // of an arrival at the end itself
	if w.areaT > 0 {
		off = w.area / w.areaT
	}
	a.Error = 100 * off / w.rated
	if math.IsNaN(w.seen) {
		return a, true
	}
	a.Delay = w.seen - w.t0
	end, power := t, w.power
	if !math.IsNaN(w.there) {
		end, power = w.there, w.thereP
	}
	if end > w.left {
		a.RateKW = (w.toward(power) - w.toward(w.leftP)) / (end - w.left) * 60
		a.Rate = 100 * a.RateKW / w.rated
	}
	return a, true
}

// Adjustments are how the commands of a signal were followed by a response, from its first row to
// its last. A command is given in the row in which the signal changes. ErrNoData where none counts.
func (c Counting) Adjustments(signal, response Curve, ratedKW float64) (list []Adjustment, err error) {
	if len(signal.T) == 0 || len(response.T) == 0 {
		return nil, ErrNoData
	}
	w := NewWatch(c, ratedKW)
	add := func(a Adjustment, ok bool) {
		if ok {
			list = append(list, a)
		}
	}
	begin := response.T[0]
	w.Read(begin, response.KW[0])
	add(w.Ask(begin, signal.At(begin)))
	k, found := slices.BinarySearch(signal.T, begin)
	if found {
		k++
	}
	for i := 1; i < len(response.T); i++ {
		for ; k < len(signal.T) && signal.T[k] <= response.T[i]; k++ {
			add(w.Ask(signal.T[k], signal.KW[k]))
		}
		w.Read(response.T[i], response.KW[i])
	}
	add(w.Close(w.last))
	if len(list) == 0 {
		return nil, ErrNoData
	}
	return list, nil
}

// asks tells whether a signal ever asks for more than what counts, from where the response is. A row of the response at the
// very instant of a command may be the answer already.
func (c Counting) asks(signal, response Curve, ratedKW float64) bool {
	w := NewWatch(c, ratedKW)
	begin, end := response.T[0], response.T[len(response.T)-1]
	far := func(t, target float64) bool {
		i, there := slices.BinarySearch(response.T, t)
		off := math.Abs(target - response.At(t))
		if there && i > 0 {
			off = max(off, math.Abs(target-response.KW[i-1]))
		}
		return off > w.band(c.Counts)
	}
	if far(begin, signal.At(begin)) {
		return true
	}
	for k, t := range signal.T {
		if t > begin && t <= end && far(t, signal.KW[k]) {
			return true
		}
	}
	return false
}

// Mean is the mean of what each of them comes to.
func Mean(list []Adjustment, of func(Adjustment) float64) float64 {
	sum := 0.0
	for _, a := range list {
		sum += of(a)
	}
	return sum / float64(len(list)) // NaN of none
}

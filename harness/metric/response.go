package metric

import (
	"fmt"
	"math"
)

// Point is a value at an instant, in s from any origin.
type Point struct{ T, V float64 }

// Measured is a value and how far the truth may be from it. Times are those of the
// sample at which something was seen: it may have happened since the sample before,
// so that they err to the slow side, by at most Res.
type Measured struct{ Value, Res float64 }

// ErrNotReached says that what was waited for did not happen while it was watched.
var ErrNotReached = fmt.Errorf("not reached: %w", ErrUnrecovered)

// Step is a step of the setpoint that was sent at T0 s, while the power was From, and
// asked for To. Powers are in one unit and sign, Rated among them; Latency is how long
// a reading may have been on its way, s. The definitions are those that GB/T 36548
// describes and IEEE 1547.1 test programs use; the numbers are parameters.
type Step struct{ T0, From, To, Rated, Latency float64 }

// Dead is the time until the power has left its old value by more than band parts of
// the rated power, towards the new one.
func (s Step) Dead(pts []Point, band float64) (Measured, error) {
	return s.first(pts, func(v float64) bool { return s.toward(v) > band*s.Rated })
}

// Response is the time until the power has gone share of the way, 0.9 in most rules.
func (s Step) Response(pts []Point, share float64) (Measured, error) {
	whole := math.Abs(s.To - s.From)
	return s.first(pts, func(v float64) bool { return s.toward(v) >= share*whole })
}

// Settling is the time after which the power stays within band parts of the rated power
// around the setpoint, to the end of what was watched, which must be hold s or longer: who
// leaves the band again has not settled before.
func (s Step) Settling(pts []Point, band, hold float64) (Measured, error) {
	pts = after(pts, s.T0)
	if len(pts) == 0 {
		return lost(), ErrNoData
	}
	begin := len(pts)
	for begin > 0 && math.Abs(pts[begin-1].V-s.To) <= band*s.Rated {
		begin--
	}
	if begin == len(pts) || pts[len(pts)-1].T-pts[begin].T < hold-1e-9 {
		return never(), ErrNotReached
	}
	return s.at(pts, begin), nil
}

// Deviation is how far the mean power of the samples from T on is from the setpoint, in
// parts of the rated power; Res is the standard error of that mean.
func (s Step) Deviation(pts []Point, from float64) (Measured, error) {
	pts = after(pts, from)
	if len(pts) == 0 || s.Rated <= 0 {
		return lost(), ErrNoData
	}
	v := make([]float64, len(pts))
	for i, p := range pts {
		v[i] = (p.V - s.To) / s.Rated
	}
	return Measured{mean(v), stddev(v) / math.Sqrt(float64(len(v)))}, nil
}

// Overshoot is how far the power went beyond the setpoint, in parts of the step; never
// below 0.
func (s Step) Overshoot(pts []Point) (Measured, error) {
	pts = after(pts, s.T0)
	whole := math.Abs(s.To - s.From)
	if len(pts) == 0 || whole == 0 {
		return lost(), ErrNoData
	}
	most := 0.0
	for _, p := range pts {
		most = max(most, s.toward(p.V)/whole-1)
	}
	return Measured{Value: most}, nil
}

// Ramp is the mean slope from 10 to 90 % of the step, in units of power a second,
// crossings found between samples; Res is what the distance of samples leaves open.
// Where both crossings lie between two samples the slope is only known to be at least
// that: Res is then infinite.
func (s Step) Ramp(pts []Point) (Measured, error) {
	whole := s.To - s.From
	seen := after(pts, s.T0)
	if len(seen) == 0 || whole == 0 {
		return lost(), ErrNoData
	}
	last := Point{s.T0, s.From}
	if n := len(pts) - len(seen); n > 0 {
		last.V = pts[n-1].V
	}
	t10, from := math.NaN(), 0
	for i, p := range seen {
		a, b := (last.V-s.From)/whole, (p.V-s.From)/whole
		cross := func(share float64) float64 {
			if b <= a || a >= share {
				return p.T
			}
			return last.T + (p.T-last.T)*(share-a)/(b-a)
		}
		if math.IsNaN(t10) && b >= 0.1 {
			t10, from = cross(0.1), i
		}
		if b >= 0.9 {
			gap := p.T - last.T
			if i == from {
				return Measured{math.Abs(0.8*whole) / max(gap, 1e-9), math.Inf(1)}, nil
			}
			dt := max(cross(0.9)-t10, 1e-9)
			slope := math.Abs(0.8*whole) / dt
			return Measured{slope, slope * gap / dt}, nil
		}
		last = p
	}
	return lost(), ErrNotReached
}

// RampBand holds a ramp against the one that was set, as the test programs of UL 1741 SA
// do: at no moment above From + (rate+accuracy)·t, and not more than slack parts of the
// rated power below From + rate·t until the setpoint. Rate and accuracy are in units of
// power a second. Excess and lack are the worst of each in parts of the rated power,
// 0 where the band was kept.
func (s Step) RampBand(pts []Point, rate, accuracy, slack float64) (excess, lack Measured, err error) {
	pts = after(pts, s.T0)
	if len(pts) == 0 || s.Rated <= 0 || !(rate > 0) {
		return lost(), lost(), ErrNoData
	}
	whole := math.Abs(s.To - s.From)
	last := s.T0
	for _, p := range pts {
		t := p.T - s.T0
		got := s.toward(p.V)
		if x := (got - min((rate+accuracy)*t, whole)) / s.Rated; x > excess.Value {
			excess = Measured{x, (rate + accuracy) * (p.T - last + s.Latency) / s.Rated}
		}
		if x := (min(rate*t, whole)-got)/s.Rated - slack; x > lack.Value {
			lack = Measured{x, rate * (p.T - last + s.Latency) / s.Rated}
		}
		last = p.T
	}
	return excess, lack, nil
}

// Transition is the time from the last sample with at least share of the old power to
// the first one with that share of the new power, which is in the other direction.
func (s Step) Transition(pts []Point, share float64) (Measured, error) {
	left, leftGap := math.NaN(), 0.0
	for i, p := range pts {
		if p.V*sign(s.From) >= share*math.Abs(s.From) {
			left, leftGap = p.T, 0
			if i+1 < len(pts) {
				leftGap = pts[i+1].T - p.T
			}
			continue
		}
		if p.T > s.T0 && p.V*sign(s.To) >= share*math.Abs(s.To) {
			if math.IsNaN(left) {
				return lost(), ErrNoData
			}
			return Measured{p.T - left, leftGap + p.T - pts[max(i-1, 0)].T + s.Latency}, nil
		}
	}
	if len(pts) == 0 || math.IsNaN(left) {
		return lost(), ErrNoData
	}
	return never(), ErrNotReached
}

// Zero is the time from T0 until the power stays at or below band parts of the rated
// power to the end of what was watched.
func (s Step) Zero(pts []Point, band float64) (Measured, error) {
	pts = after(pts, s.T0)
	if len(pts) == 0 {
		return lost(), ErrNoData
	}
	begin := len(pts)
	for begin > 0 && math.Abs(pts[begin-1].V) <= band*s.Rated {
		begin--
	}
	if begin == len(pts) {
		return never(), ErrNotReached
	}
	return s.at(pts, begin), nil
}

// toward is how far v is from the old power in the direction of the new one.
func (s Step) toward(v float64) float64 { return sign(s.To-s.From) * (v - s.From) }

func (s Step) first(pts []Point, is func(v float64) bool) (Measured, error) {
	pts = after(pts, s.T0)
	if len(pts) == 0 {
		return lost(), ErrNoData
	}
	for i, p := range pts {
		if is(p.V) {
			return s.at(pts, i), nil
		}
	}
	return never(), ErrNotReached
}

// at is the time since T0 of a sample, and what the sample before leaves open.
func (s Step) at(pts []Point, i int) Measured {
	before := s.T0
	if i > 0 {
		before = pts[i-1].T
	}
	return Measured{pts[i].T - s.T0, pts[i].T - before + s.Latency}
}

// after are the points later than t.
func after(pts []Point, t float64) []Point {
	i := 0
	for i < len(pts) && pts[i].T <= t {
		i++
	}
	return pts[i:]
}

func sign(x float64) float64 { return math.Copysign(1, x) }

func lost() Measured { return Measured{math.NaN(), math.NaN()} }

func never() Measured { return Measured{Value: math.Inf(1)} }

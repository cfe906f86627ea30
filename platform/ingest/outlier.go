package ingest

import (
	"math"

	"yunchu/platform/device"
)

// madScale makes the median absolute deviation an estimate of the standard deviation of
// normal noise: 1/Φ⁻¹(3/4).
const madScale = 1.4826

// maxHalfWidth is the largest half window of a Profile.
const maxHalfWidth = 50

// The findings of Hampel about one value.
type finding uint8

const (
	usual     finding = iota
	apartEnds         // apart, with fewer neighbours on one side than on the other
	apartFull         // apart from as many neighbours as there can be on both sides
)

// hampel looks for values that are apart from the median m of up to k neighbours on
// either side and themselves by more than max(sigmas · 1.4826 · MAD, floor(m)):
// F. R. Hampel, "The influence curve and its role in robust estimation", JASA 69 (1974);
// R. K. Pearson, "Outliers in process modeling and identification", IEEE TCST 10 (2002).
// NaN is no value. Neighbours farther away than span ms are none. A window of fewer than
// k+1 values says nothing.
//
// A monotone window is never touched, since the value in its middle is its median; nor
// is the edge of a step.
func hampel(at func(i int) (ms int64, x float64), n, k int, sigmas, span float64, floor func(m float64) float64) []finding {
	var found []finding
	var near, dev [2*maxHalfWidth + 1]float64
	for i := range n {
		t, x := at(i)
		if x != x {
			continue
		}
		near[0] = x
		count, before, after := 1, 0, 0
		equal := true
		for _, step := range [2]int{-1, 1} {
			for j, steps := i+step, 0; j >= 0 && j < n && steps < k; j, steps = j+step, steps+1 {
				tj, y := at(j)
				if math.Abs(apart(t, tj)) > span {
					break
				}
				if y != y {
					continue
				}
				if step < 0 {
					before++
				} else {
					after++
				}
				equal = equal && y == x
				near[count] = y
				count++
			}
		}
		if equal || count < k+1 {
			continue
		}
		m := median(near[:count])
		d := math.Abs(x - m)
		if !(d > floor(m)) {
			continue
		}
		for j, y := range near[:count] {
			dev[j] = math.Abs(y - m)
		}
		if !(d > sigmas*madScale*median(dev[:count])) {
			continue
		}
		if found == nil {
			found = make([]finding, n)
		}
		found[i] = apartFull
		if before < k-1 || after < k-1 { // one neighbour may be missing
			found[i] = apartEnds
		}
	}
	return found
}

// median is the median of a few values, which it sorts.
func median(v []float64) float64 {
	for i := 1; i < len(v); i++ {
		x := v[i]
		j := i
		for j > 0 && v[j-1] > x {
			v[j] = v[j-1]
			j--
		}
		v[j] = x
	}
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// outliers leaves out single values that stand apart. Power, voltage and current
// vouch for one another: a setpoint of two seconds stands apart as a spike does, but it
// moves power and current together, so that the residual P − V·I, which is the loss of
// the converter, stays. What the residual does not move with is no outlier.
//
// At the ends of the series, where a value has neighbours on one side, a step cannot be
// told from a spike: there only the residual speaks.
func outliers(p *Profile, info *device.Info, rows []Row) []Row {
	o := &p.Outlier
	if o.Off || len(rows) == 0 {
		return rows
	}
	k := min(max(o.HalfWidth, 1), maxHalfWidth)
	span := 3 * float64(k) * period(rows)
	look := func(x func(r *device.Reading) float64, floor func(m float64) float64) []finding {
		return hampel(func(i int) (int64, float64) { return rows[i].At, x(&rows[i].Reading) }, len(rows), k, o.Sigmas, span, floor)
	}
	ofPower := func(m float64) float64 {
		if info.RatedKW > 0 {
			return o.Power * info.RatedKW
		}
		return o.Power * math.Abs(m)
	}
	volts := typical(rows)
	ofCurrent := func(m float64) float64 {
		if info.RatedKW > 0 && volts > 0 {
			return o.Power * info.RatedKW * 1000 / volts
		}
		return o.Power * math.Abs(m)
	}
	fixed := func(v float64) func(float64) float64 { return func(float64) float64 { return v } }
	found := [quantities][]finding{
		soc:         look(func(r *device.Reading) float64 { return r.SoC }, fixed(o.SoC)),
		soh:         look(func(r *device.Reading) float64 { return r.SoH }, fixed(o.SoC)),
		voltage:     look(func(r *device.Reading) float64 { return r.Voltage }, func(m float64) float64 { return o.Voltage * math.Abs(m) }),
		current:     look(func(r *device.Reading) float64 { return r.Current }, ofCurrent),
		power:       look(func(r *device.Reading) float64 { return r.Power }, ofPower),
		temperature: look(func(r *device.Reading) float64 { return r.Temperature }, fixed(o.Temperature)),
	}
	var loss []finding
	if found[voltage] != nil || found[current] != nil || found[power] != nil {
		loss = look(residual, func(float64) float64 { return ofPower(0) / 2 })
	}
	is := func(f []finding, i int) finding {
		if f == nil {
			return usual
		}
		return f[i]
	}
	for i := range rows {
		r := &rows[i]
		known := !math.IsNaN(residual(&r.Reading))
		var out device.Points
		for q, f := range found {
			one := is(f, i)
			if one == usual {
				continue
			}
			real := one == apartFull // a step would not look like this
			switch q {
			case power, current:
				if known {
					real = is(loss, i) != usual
				}
			case voltage: // at rest it moves the residual by nothing
				if known {
					real = is(loss, i) != usual || real && is(found[current], i) == usual
				}
			}
			if real {
				out |= 1 << q
			}
		}
		r.Outlier |= out
		r.drop(out)
	}
	return rows
}

// residual is the power at the AC terminals less that at the DC terminals, kW: the loss
// of the converter, above zero on either way. NaN where one of the three is not reported.
func residual(r *device.Reading) float64 { return r.Power - r.Voltage*r.Current/1000 }

// typical is the middle voltage of the rows, V; 0 where none is reported.
func typical(rows []Row) float64 {
	var few [2*maxHalfWidth + 1]float64
	n := 0
	for i := 0; i < len(rows) && n < len(few); i += max(1, len(rows)/len(few)) {
		if v := rows[i].Voltage; v > 0 {
			few[n] = v
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return median(few[:n])
}

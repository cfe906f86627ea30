package fit

import (
	"errors"
	"fmt"
	"math"

	"yunchu/twin/cell"
)

// Record is a measurement of one cell at a steady temperature: readings at rising
// times.
type Record struct {
	Name  string    // of the file, for messages and sources
	T     []float64 // s, strictly rising
	I     []float64 // A, above 0 on charge
	V     []float64 // V at the terminals
	TempK float64   // K
	SoC   float64   // 0..1 at the first reading
	Hyst  float64   // -1..1 at the first reading: 1 for a cell that was charged before

	// Mean is the mean current in A over the step that ends at a reading. nil: between
	// readings the current changes evenly, or is that of the later one where they are far
	// apart. See Follow.
	Mean []float64
}

// holdS is how far apart readings are between which the current did not change evenly:
// cyclers space them out in steps of constant current, write the last of a step at its
// end and the first of the next when that has lasted as long.
const holdS = 5.0

// mean is the mean current in A on the way to reading k > 0.
func (r *Record) mean(k int) float64 {
	switch {
	case r.Mean != nil:
		return r.Mean[k]
	case r.T[k]-r.T[k-1] > holdS:
		return r.I[k]
	}
	return (r.I[k] + r.I[k-1]) / 2
}

// followS is how long the charge of the readings may be off that of the counters.
const followS = 600.0

// Follow takes the charge that was moved from the ampere-hour counters of the
// laboratory, in and out in Ah, both rising: a current read once a second misses
// what it does within the second, a per cent of the charge of a drive cycle. The
// counters are too coarse to give the current of one step, so the readings of either
// direction are scaled, over followS at a time, to what the counters gained.
func (r *Record) Follow(in, out []float64) {
	r.Mean = nil
	n := len(r.T)
	mean := make([]float64, n)
	var done [2]float64 // Ah moved by mean so far, in and out
	for from := 1; from < n; {
		to := from
		var moved [2]float64 // Ah of the readings in this stretch
		for ; to < n && (to == from || r.T[to] <= r.T[from-1]+followS); to++ {
			ah := r.mean(to) * (r.T[to] - r.T[to-1]) / 3600
			moved[0] += max(ah, 0)
			moved[1] -= min(ah, 0)
		}
		counted := [2]float64{in[to-1] - in[0], out[to-1] - out[0]}
		scale := [2]float64{1, 1}
		for d := range scale {
			if want := counted[d] - done[d]; moved[d] > 0.5*math.Abs(want) && want > 0.5*moved[d] {
				scale[d] = want / moved[d]
			}
			done[d] += scale[d] * moved[d]
		}
		for ; from < to; from++ {
			i := r.mean(from)
			if i > 0 {
				mean[from] = scale[0] * i
			} else {
				mean[from] = scale[1] * i
			}
		}
	}
	r.Mean = mean
}

// Validate returns all that is wrong with r, joined.
func (r *Record) Validate() error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", r.Name, fmt.Sprintf(format, args...)))
	}
	if n := len(r.T); n < 2 || len(r.I) != n || len(r.V) != n || r.Mean != nil && len(r.Mean) != n {
		add("%d times, %d currents and %d voltages, want two or more of each and as many", n, len(r.I), len(r.V))
	}
	for k := 1; k < len(r.T); k++ {
		if !(r.T[k] > r.T[k-1]) {
			add("time %g s after %g s, want rising", r.T[k], r.T[k-1])
			break
		}
	}
	if !(r.TempK > 200 && r.TempK < 400) {
		add("temperature %g K, want 200..400", r.TempK)
	}
	if !(r.SoC >= 0 && r.SoC <= 1) {
		add("start at a state of charge of %g, want 0..1", r.SoC)
	}
	return errors.Join(errs...)
}

// Moved returns the charge in Ah taken in and given off over the record, both above 0.
func (r *Record) Moved() (in, out float64) {
	for k := 1; k < len(r.T); k++ {
		if ah := r.mean(k) * (r.T[k] - r.T[k-1]) / 3600; ah > 0 {
			in += ah
		} else {
			out -= ah
		}
	}
	return in, out
}

// Count returns the state of charge at every reading: that of the first and what moved
// since, taken in with the coulombic efficiency eta.
func (r *Record) Count(capacityAh, eta float64) []float64 {
	soc := make([]float64, len(r.T))
	z := r.SoC
	for k := range r.T {
		if k > 0 {
			as := r.mean(k) * (r.T[k] - r.T[k-1])
			if as > 0 {
				as *= eta
			}
			z += as / (3600 * capacityAh)
		}
		soc[k] = z
	}
	return soc
}

// Simulate fills v with the voltages in V and soc with the states of charge that a
// cell of the type m has at the readings of r.
func (r *Record) Simulate(m *cell.Model, v, soc []float64) {
	c := m.Cell(cell.State{SoC: r.SoC, Hyst: r.Hyst, TempK: r.TempK}, cell.Nominal)
	var flow cell.Flow
	var tick cell.Tick
	v[0], soc[0] = c.Voltage(r.I[0]), c.SoC()
	for k := 1; k < len(r.T); k++ {
		if dt := r.T[k] - r.T[k-1]; dt != tick.Seconds() {
			tick = m.Tick(dt)
		}
		c.StepCurrent(r.mean(k), r.TempK, &tick, &flow)
		c.SetTemp(r.TempK)
		v[k], soc[k] = c.Voltage(r.I[k]), c.SoC()
	}
}

// Score is how far a simulation is from a record: NaN where N is 0.
type Score struct {
	RMSE float64 // V
	Max  float64 // V
	N    int     // readings
}

// Score compares a cell of the type m with r where its state of charge is within lo..hi.
func (r *Record) Score(m *cell.Model, lo, hi float64) Score {
	v, z := make([]float64, len(r.T)), make([]float64, len(r.T))
	r.Simulate(m, v, z)
	var s Score
	for k := range v {
		if z[k] >= lo && z[k] <= hi {
			d := v[k] - r.V[k]
			s.RMSE += d * d
			s.Max = max(s.Max, math.Abs(d))
			s.N++
		}
	}
	if s.N == 0 { // never a perfect score
		return Score{RMSE: math.NaN(), Max: math.NaN()}
	}
	s.RMSE = math.Sqrt(s.RMSE / float64(s.N))
	return s
}

package fit

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/stat"
)

// SlowCycle is a slow full discharge and a slow full charge at one temperature:
// voltages over the charge moved since the start of each, rising.
type SlowCycle struct {
	Name                    string
	TempK                   float64
	DischargeAh, DischargeV []float64 // from full
	ChargeAh, ChargeV       []float64 // from empty
}

// Branches are the discharge and the charge voltage at one temperature over the
// state of charge. A value that was not measured is NaN.
type Branches struct {
	Name              string
	TempK             float64
	SoC               []float64 // strictly rising in 0..1
	Discharge, Charge []float64 // V
}

// OpenCircuit are the tables of a cell that slow cycles give, over SoC.
type OpenCircuit struct {
	Source string
	SoC    []float64
	U      []float64 // V at the reference temperature, rising
	Gap    []float64 // V, half the distance of the branches, mean over temperatures
	DUDT   []float64 // V/K, 0 where only one temperature is there
}

const ocvPoints = 201

// NewBranches puts slow cycles over one axis of state of charge: the whole is the
// largest charge that any of them moved, or the capacity if that is more. In the
// cold a cycle ends at its voltages before the cell is full or empty.
func NewBranches(cycles []SlowCycle, capacityAh float64) ([]Branches, error) {
	whole := capacityAh
	for _, c := range cycles {
		for _, side := range [][2][]float64{{c.DischargeAh, c.DischargeV}, {c.ChargeAh, c.ChargeV}} {
			ah := side[0]
			if len(ah) < 2 || len(ah) != len(side[1]) || !slices.IsSorted(ah) {
				return nil, fmt.Errorf("%s: want a discharge and a charge branch, each with its charge rising", c.Name)
			}
			whole = max(whole, ah[len(ah)-1])
		}
	}
	var out []Branches
	for _, c := range cycles {
		b := Branches{Name: c.Name, TempK: c.TempK}
		for i := range ocvPoints {
			z := float64(i) / (ocvPoints - 1)
			b.SoC = append(b.SoC, z)
			b.Discharge = append(b.Discharge, within(c.DischargeAh, c.DischargeV, (1-z)*whole))
			b.Charge = append(b.Charge, within(c.ChargeAh, c.ChargeV, z*whole))
		}
		out = append(out, b)
	}
	return out, nil
}

// within interpolates y over rising x; NaN outside.
func within(x, y []float64, at float64) float64 {
	i := sort.SearchFloat64s(x, at)
	switch {
	case i < len(x) && x[i] == at:
		return y[i]
	case i == 0 || i == len(x):
		return math.NaN()
	}
	return y[i-1] + (y[i]-y[i-1])*(at-x[i-1])/(x[i]-x[i-1])
}

// spread within which the entropic coefficient of a cell of any chemistry lies.
const maxDUDT = 1e-3 // V/K

// NewOpenCircuit averages branches to the tables of a cell at tRefK. All must be
// over the same states of charge.
func NewOpenCircuit(all []Branches, tRefK float64) (*OpenCircuit, error) {
	if len(all) == 0 {
		return nil, errors.New("no open-circuit record")
	}
	o := &OpenCircuit{SoC: all[0].SoC}
	n := len(o.SoC)
	mean := make([][]float64, len(all))
	gap := make([][]float64, len(all))
	for k, b := range all {
		if !slices.Equal(b.SoC, o.SoC) {
			return nil, fmt.Errorf("%s: other states of charge than %s", b.Name, all[0].Name)
		}
		var err error
		if mean[k], gap[k], err = b.average(); err != nil {
			return nil, err
		}
	}
	for i := range n {
		var x, u, g []float64
		for k := range all {
			x, u, g = append(x, all[k].TempK-tRefK), append(u, mean[k][i]), append(g, gap[k][i])
		}
		at, slope := stat.Mean(u, nil), 0.0
		if slices.Max(x)-slices.Min(x) > 1 {
			at, slope = stat.LinearRegression(x, u, nil, false)
		}
		if math.Abs(slope) > maxDUDT { // the steep ends, where a shift in charge looks like entropy
			at, slope = stat.Mean(u, nil), 0
		}
		o.U, o.DUDT, o.Gap = append(o.U, at), append(o.DUDT, slope), append(o.Gap, stat.Mean(g, nil))
		if i > 0 {
			o.U[i] = max(o.U[i], o.U[i-1])
		}
	}
	return o, nil
}

// average returns the mean of the branches and half their distance. Where one
// branch is missing, at an end, the distance is that of the nearest state of charge
// that has both; where both are, the voltage goes on in a straight line.
func (b *Branches) average() (u, gap []float64, err error) {
	n := len(b.SoC)
	u, gap = make([]float64, n), make([]float64, n)
	first, last := -1, -1
	for i := range n {
		u[i] = (b.Discharge[i] + b.Charge[i]) / 2
		gap[i] = max(0, (b.Charge[i]-b.Discharge[i])/2)
		if !math.IsNaN(u[i]) {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if last-first < n/2 {
		return nil, nil, fmt.Errorf("%s: the branches share less than half of the states of charge", b.Name)
	}
	fill := func(i, near, next int) {
		gap[i] = gap[near]
		switch {
		case !math.IsNaN(b.Discharge[i]):
			u[i] = b.Discharge[i] + gap[i]
		case !math.IsNaN(b.Charge[i]):
			u[i] = b.Charge[i] - gap[i]
		default:
			u[i] = u[near] + (u[near]-u[next])*(b.SoC[i]-b.SoC[near])/(b.SoC[near]-b.SoC[next])
		}
	}
	for i := first - 1; i >= 0; i-- {
		fill(i, i+1, i+2)
	}
	for i := last + 1; i < n; i++ {
		fill(i, i-1, i-2)
	}
	for i := first; i <= last; i++ {
		if math.IsNaN(u[i]) {
			return nil, nil, fmt.Errorf("%s: no voltage at a state of charge of %g, between others that have one", b.Name, b.SoC[i])
		}
	}
	return u, gap, nil
}

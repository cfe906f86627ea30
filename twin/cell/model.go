package cell

import (
	"errors"
	"fmt"
	"math"
)

// Params are the constants of a cell type.
type Params struct {
	CapacityAh          float64 // Ah
	CoulombicEfficiency float64 // charge stored per charge taken in, 0..1
	TRefK               float64 // K, temperature the tables hold at
	RGas                float64 // J/mol/K

	OCV        Table   // V
	HalfGap    Table   // V, M(z): half the distance of charge and discharge branch
	Gamma      float64 // hysteresis rate per full charge throughput
	Entropy    Table   // V/K, dU/dT
	Resistance Table   // ohm, total at TRefK

	Fraction   [3]float64 // of the total resistance: ohmic, first and second RC pair
	Activation [3]float64 // J/mol, of the same three
	Tau        [2]float64 // s, of the RC pairs
}

// Table is a function of the state of charge: piecewise linear, flat outside.
type Table struct {
	SoC   []float64 // strictly rising
	Value []float64
}

// Model is a cell type ready to be stepped. It is immutable and shared by all
// cells of the type.
type Model struct {
	grid      grid
	arrhenius arrhenius

	coulombs float64 // A*s, rated
	eta      float64
	tRef     float64
	gamma    float64
	frac     [3]float64
	tau      [2]float64
}

// New returns the model of p, or what is impossible about p.
func New(p Params) (*Model, error) {
	var errs []error
	if !(p.CapacityAh > 0) {
		errs = append(errs, fmt.Errorf("capacity %g Ah is not above 0", p.CapacityAh))
	}
	if !(p.CoulombicEfficiency > 0 && p.CoulombicEfficiency <= 1) {
		errs = append(errs, fmt.Errorf("coulombic efficiency %g is not in (0,1]", p.CoulombicEfficiency))
	}
	if !(p.TRefK > 0 && p.RGas > 0) {
		errs = append(errs, fmt.Errorf("reference temperature %g K or gas constant %g is not above 0", p.TRefK, p.RGas))
	}
	if !(p.Tau[0] > 0 && p.Tau[1] > 0) {
		errs = append(errs, fmt.Errorf("time constants %v s are not above 0", p.Tau))
	}
	for _, t := range []struct {
		name string
		Table
	}{{"OCV", p.OCV}, {"half gap", p.HalfGap}, {"entropy", p.Entropy}, {"resistance", p.Resistance}} {
		if err := t.check(); err != nil {
			errs = append(errs, fmt.Errorf("%s table: %w", t.name, err))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("cell parameters: %w", errors.Join(errs...))
	}
	return &Model{
		grid:      newGrid(p.OCV, p.HalfGap, p.Entropy, p.Resistance),
		arrhenius: newArrhenius(p.Activation, p.TRefK, p.RGas),
		coulombs:  3600 * p.CapacityAh,
		eta:       p.CoulombicEfficiency,
		tRef:      p.TRefK,
		gamma:     p.Gamma,
		frac:      p.Fraction,
		tau:       p.Tau,
	}, nil
}

func (t Table) check() error {
	if len(t.SoC) < 2 || len(t.SoC) != len(t.Value) {
		return fmt.Errorf("%d states of charge and %d values, want two or more of either and as many", len(t.SoC), len(t.Value))
	}
	for i := 1; i < len(t.SoC); i++ {
		if !(t.SoC[i] > t.SoC[i-1]) {
			return fmt.Errorf("states of charge do not rise at entry %d", i+1)
		}
	}
	return nil
}

// Tick holds what depends on the cell type and the length of a step only. Make it
// once per step length and share it by all cells.
type Tick struct {
	dt         float64    // s
	decay, phi [2]float64 // exp(-dt/tau) and its mean over the step, per RC pair
}

// Tick prepares steps of dt seconds, dt > 0.
func (m *Model) Tick(dt float64) Tick {
	t := Tick{dt: dt}
	for k, tau := range m.tau {
		t.decay[k] = math.Exp(-dt / tau)
		t.phi[k] = phi(dt / tau)
	}
	return t
}

// Seconds is the length of the step.
func (t *Tick) Seconds() float64 { return t.dt }

// phi returns (1 - exp(-x))/x, the mean of exp(-x*s) over s in 0..1, for x >= 0.
func phi(x float64) float64 {
	if x > 0.02 {
		return -math.Expm1(-x) / x
	}
	// Taylor series; what is left out is below x^6/5040 = 1.3e-14.
	y := x * x
	return 1 - x*(1.0/2) + y*(1.0/6-x*(1.0/24)+y*(1.0/120-x*(1.0/720)))
}

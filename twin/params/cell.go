package params

import (
	"fmt"
	"math"
)

// Cell is the parameter set of one cell, as written in a cell file. Tables are
// piecewise linear in the state of charge (0..1) and flat outside it.
type Cell struct {
	Name                string  `yaml:"name"`
	Kind                string  `yaml:"kind"`
	Convention          string  `yaml:"convention"`
	CapacityAh          float64 `yaml:"capacity_Ah"`
	CoulombicEfficiency float64 `yaml:"coulombic_efficiency_charge"` // charge stored per charge taken in, 0..1
	VMin                float64 `yaml:"V_min"`                       // V
	VMax                float64 `yaml:"V_max"`                       // V
	TRefK               float64 `yaml:"T_ref_K"`                     // temperature the tables hold at
	RGas                float64 `yaml:"R_gas"`                       // J/mol/K
	Interpolation       string  `yaml:"interpolation"`
	Source              string  `yaml:"source,omitempty"` // of the numbers above; tables have their own

	OCV        OCV        `yaml:"ocv"`
	Hysteresis Hysteresis `yaml:"hysteresis"`
	Entropic   Entropic   `yaml:"entropic"`
	Resistance Resistance `yaml:"resistance"`
	Thermal    Thermal    `yaml:"thermal"`
	Fit        *Fit       `yaml:"fit,omitempty"` // how the set was identified, for a set that was
}

// Fit is the record of an identification. Nothing is computed from it.
type Fit struct {
	Source       string        `yaml:"source" json:"source"`               // method and inputs
	Records      []FitRecord   `yaml:"records" json:"records"`             // what was fitted
	CorrelationS float64       `yaml:"correlation_s" json:"correlation_s"` // s, integral correlation time of the residuals
	Confidence   float64       `yaml:"confidence" json:"confidence"`       // of the intervals, 0..1
	Intervals    []FitInterval `yaml:"intervals" json:"intervals"`         // of the identified numbers
}

// FitRecord is one record of a fit and how far the set is from it.
type FitRecord struct {
	Name  string  `yaml:"name" json:"name"`
	TempC float64 `yaml:"temp_c" json:"temp_c"`   // degC
	RMSE  float64 `yaml:"rmse_mV" json:"rmse_mV"` // mV, between 10 and 90 % state of charge
	Max   float64 `yaml:"max_mV" json:"max_mV"`   // mV, likewise
}

// FitInterval is the confidence interval of the number at a key of the set.
type FitInterval struct {
	Key  string  `yaml:"key" json:"key"`
	Low  float64 `yaml:"low" json:"low"`
	High float64 `yaml:"high" json:"high"`
}

// OCV is the open-circuit voltage between the charge and the discharge branch.
type OCV struct {
	Source string    `yaml:"source"`
	SoC    []float64 `yaml:"soc"`
	V      []float64 `yaml:"U_avg_V"`
}

// Hysteresis is the half gap M between the branches and how fast a reversal
// crosses it.
type Hysteresis struct {
	Source string    `yaml:"source"`
	Gamma  float64   `yaml:"gamma"` // 1 per full charge throughput
	SoC    []float64 `yaml:"soc"`
	M      []float64 `yaml:"M_V"`
}

// Entropic is the change of the open-circuit voltage with temperature.
type Entropic struct {
	Source string    `yaml:"source"`
	SoC    []float64 `yaml:"soc"`
	DUDT   []float64 `yaml:"dUdT_V_per_K"`
}

// Resistance is the total resistance at TRefK and its split into an ohmic part
// and two RC pairs, each with its own Arrhenius activation energy.
type Resistance struct {
	Source   string     `yaml:"source"`
	SoC      []float64  `yaml:"soc"`
	RTot     []float64  `yaml:"R_tot_ref_ohm"`
	Frac     Split      `yaml:"frac"` // of RTot, sum 1
	EaPerMol Split      `yaml:"Ea_J_per_mol"`
	Tau      TimeConsts `yaml:"tau_s"`
}

// Split is one value for the ohmic part and one for each RC pair.
type Split struct {
	R0 float64 `yaml:"R0"`
	R1 float64 `yaml:"R1"`
	R2 float64 `yaml:"R2"`
}

// TimeConsts are the time constants of the RC pairs in s.
type TimeConsts struct {
	Tau1 float64 `yaml:"tau1"`
	Tau2 float64 `yaml:"tau2"`
}

// Thermal is the heat capacity of a cell and its free-standing heat loss.
type Thermal struct {
	Source   string  `yaml:"source"`
	MassKg   float64 `yaml:"mass_kg"`
	CpJPerKg float64 `yaml:"cp_J_per_kgK"`
	HAPerK   float64 `yaml:"hA_env_W_per_K"`
}

// HeatCapacity is m*cp in J/K.
func (t Thermal) HeatCapacity() float64 { return t.MassKg * t.CpJPerKg }

// leastEa is an activation energy in J/mol that no resistance of a cell falls below
// unless it has none: what is smaller was written in kJ.
const leastEa = 200.0

// Validate returns all faults of the set, each naming its key, joined.
func (c *Cell) Validate() error {
	var f faults
	if c.Name == "" {
		f.add("name", "missing: give the set a name")
	}
	f.within("capacity_Ah", c.CapacityAh, 1e-6, 1e6)
	if !(c.CoulombicEfficiency > 0 && c.CoulombicEfficiency <= 1) {
		f.add("coulombic_efficiency_charge", "is %g, want above 0 and at most 1", c.CoulombicEfficiency)
	}
	f.positive("V_min", c.VMin)
	f.positive("V_max", c.VMax)
	if c.VMax <= c.VMin {
		f.add("V_max", "is %g V, want more than V_min = %g V", c.VMax, c.VMin)
	}
	if !(c.TRefK > 200 && c.TRefK < 400) {
		f.add("T_ref_K", "is %g, want kelvin between 200 and 400", c.TRefK)
	}
	if math.Abs(c.RGas-8.3144626) > 1e-3 {
		f.add("R_gas", "is %g, want the gas constant 8.314462618 J/mol/K", c.RGas)
	}
	f.table("ocv", "U_avg_V", c.OCV.SoC, c.OCV.V, positive)
	for i := 1; i < len(c.OCV.V); i++ {
		if c.OCV.V[i] < c.OCV.V[i-1] {
			f.add("ocv.U_avg_V", "falls from %g V to %g V at entry %d, want rising with soc", c.OCV.V[i-1], c.OCV.V[i], i+1)
			break
		}
	}
	if !(c.Hysteresis.Gamma >= 0) || math.IsInf(c.Hysteresis.Gamma, 0) {
		f.add("hysteresis.gamma", "is %g, want 0 or more", c.Hysteresis.Gamma)
	}
	f.table("hysteresis", "M_V", c.Hysteresis.SoC, c.Hysteresis.M, notNegative)
	f.table("entropic", "dUdT_V_per_K", c.Entropic.SoC, c.Entropic.DUDT, anyNumber)
	f.table("resistance", "R_tot_ref_ohm", c.Resistance.SoC, c.Resistance.RTot, positive)
	fr := c.Resistance.Frac
	f.positive("resistance.frac.R0", fr.R0)
	f.positive("resistance.frac.R1", fr.R1)
	f.positive("resistance.frac.R2", fr.R2)
	if s := fr.R0 + fr.R1 + fr.R2; !(math.Abs(s-1) < 1e-9) {
		f.add("resistance.frac", "sums to %g, want 1", s)
	}
	ea := c.Resistance.EaPerMol
	for i, v := range []float64{ea.R0, ea.R1, ea.R2} {
		if v != 0 && !(v >= leastEa && v <= 2e5) {
			f.add(fmt.Sprintf("resistance.Ea_J_per_mol.R%d", i), "is %g, want 0 or %g..200000 J/mol, not kJ/mol", v, leastEa)
		}
	}
	f.positive("resistance.tau_s.tau1", c.Resistance.Tau.Tau1)
	f.positive("resistance.tau_s.tau2", c.Resistance.Tau.Tau2)
	f.within("thermal.mass_kg", c.Thermal.MassKg, 1e-6, 1e6)
	f.within("thermal.cp_J_per_kgK", c.Thermal.CpJPerKg, 1, 1e6)
	f.within("thermal.hA_env_W_per_K", c.Thermal.HAPerK, 0, 1e6)
	if c.Fit != nil {
		c.Fit.validate(&f)
	}
	return f.join()
}

func (r *Fit) validate(f *faults) {
	if !(r.Confidence > 0 && r.Confidence < 1) {
		f.add("fit.confidence", "is %g, want a probability between 0 and 1", r.Confidence)
	}
	for i, v := range r.Intervals {
		if !(v.Low <= v.High) {
			f.add("fit.intervals", "entry %d, %s, goes from %g to %g", i+1, v.Key, v.Low, v.High)
		}
	}
}

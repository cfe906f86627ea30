package params

import (
	"math"
	"time"
)

// Model is the parameter set of one storage unit, as written in a model file.
type Model struct {
	APIVersion    string    `yaml:"apiVersion"` // yunchu/v1
	Kind          string    `yaml:"kind"`       // Model
	Name          string    `yaml:"name"`
	Source        string    `yaml:"source"`
	CellName      string    `yaml:"cell"`     // an embedded cell, or a path beside the model file
	Series        int       `yaml:"series"`   // cells in series
	Parallel      int       `yaml:"parallel"` // strings in parallel
	PCS           PCS       `yaml:"pcs"`
	Heat          Heat      `yaml:"heat"`
	Limits        Limits    `yaml:"limits"`
	Strings       *Strings  `yaml:"strings"`   // optional: every cell is stepped
	Grid          *GridSide `yaml:"grid"`      // optional: transformer and auxiliaries
	ContainerName string    `yaml:"container"` // optional, with strings: a shipped container, or a path beside the model file
	RatedKW       float64   `yaml:"rated_kw"`  // AC power, either direction
	RatedKWh      float64   `yaml:"rated_kwh"` // nameplate energy of the cells

	// What the names stand for; set by the loader.
	Cell        *Cell        `yaml:"-"` // of CellName
	Converter   *Converter   `yaml:"-"` // of PCS.Losses
	Transformer *Transformer `yaml:"-"` // of Grid.Transformer, the smallest that carries the rating
	Auxiliary   *Auxiliary   `yaml:"-"` // of Grid.Auxiliary
	Container   *Container   `yaml:"-"` // of ContainerName
	Runaway     *Runaway     `yaml:"-"` // of Strings.RunawayName
	BMS         *BMS         `yaml:"-"` // of Strings.BMSName
}

// Cells is the number of cells in the unit.
func (m *Model) Cells() int { return m.Series * m.Parallel }

// PCS is the power converter. Its loss at AC power P is
// rated*(p0 + k1*p + k2*p^2) with p = |P|/rated on the AC side, and
// DC = AC - loss in both directions (passive sign). Other forms: m0 and divide of
// Loss, the sets that losses names, and a table.
type PCS struct {
	Source        string           `yaml:"source"`
	Charge        Loss             `yaml:"charge"`
	Discharge     Loss             `yaml:"discharge"`
	Losses        string           `yaml:"losses"`          // optional: a shipped converter set, or a path beside the model file, in the place of charge and discharge
	Table         *EfficiencyTable `yaml:"table"`           // optional: a table in the place of charge and discharge
	StandbyW      float64          `yaml:"standby_w"`       // drawn when it moves no power
	Rest          *Rest            `yaml:"rest"`            // optional: without it, in standby at once and awake at once
	Capability    *Capability      `yaml:"capability"`      // optional: without it, rated active power and no reactive
	ResponseDelay Duration         `yaml:"response_delay"`  // a setpoint acts so long after it was taken
	RampPerS      float64          `yaml:"ramp_per_second"` // of rated power
}

// Loss are the coefficients of one direction, per unit of rated power:
// p0*(1 - exp(-m0*p)) + k1*p + k2*p^2, where m0 = 0 leaves the factor of p0 out.
type Loss struct {
	P0     float64 `yaml:"p0"`
	K1     float64 `yaml:"k1"`
	K2     float64 `yaml:"k2"`
	M0     float64 `yaml:"m0"`
	Divide bool    `yaml:"divide"` // charging: DC = AC*p/(p+loss), as Notton defines the efficiency
}

// GridSide is what stands between the converter and the grid, by shipped set or by a
// path beside the model file: the smallest transformer of a series that carries the rated power, and auxiliaries
// scaled to it.
type GridSide struct {
	Transformer string `yaml:"transformer"`
	Auxiliary   string `yaml:"auxiliary"`
}

// Heat is how the heat of a cell leaves it.
type Heat struct {
	Source       string  `yaml:"source"`
	EnvWPerK     float64 `yaml:"env_w_per_k"`    // per cell, fans running
	FanFailRatio float64 `yaml:"fan_fail_ratio"` // of env_w_per_k left when they stop, 0..1
}

// Limits is the window a unit stays in.
type Limits struct {
	Source string       `yaml:"source"`
	SoC    Range        `yaml:"soc_percent"`
	CellV  Range        `yaml:"cell_v"`
	TempC  TempLimits   `yaml:"temp_c"`
	CellA  CurrentLimit `yaml:"cell_a"` // optional, of a lumped unit; with strings see max_current_a
}

// Range is a closed interval.
type Range struct {
	Min float64 `yaml:"min"`
	Max float64 `yaml:"max"`
}

// TempLimits holds the derating of either direction.
type TempLimits struct {
	Charge    Derating `yaml:"charge"`
	Discharge Derating `yaml:"discharge"`
}

// Derating is a trapezoid over the cell temperature in degC: no power outside
// [Min, Max], full power within [FullFrom, FullTo], linear in between.
type Derating struct {
	Min      float64 `yaml:"min"`
	FullFrom float64 `yaml:"full_from"`
	FullTo   float64 `yaml:"full_to"`
	Max      float64 `yaml:"max"`
}

// Validate returns all faults of the set, joined. The cell has its own.
func (m *Model) Validate() error {
	var f faults
	if m.APIVersion != "yunchu/v1" {
		f.add("apiVersion", "is %q, want yunchu/v1", m.APIVersion)
	}
	if m.Kind != "Model" {
		f.add("kind", "is %q, want Model", m.Kind)
	}
	if m.Name == "" {
		f.add("name", "missing: give the set a name")
	}
	if m.CellName == "" {
		f.add("cell", "missing: name a cell set or a cell file")
	}
	if m.Series < 1 {
		f.add("series", "is %d, want at least 1", m.Series)
	}
	if m.Parallel < 1 {
		f.add("parallel", "is %d, want at least 1", m.Parallel)
	}
	f.positive("rated_kw", m.RatedKW)
	f.positive("rated_kwh", m.RatedKWh)
	m.PCS.validate(&f, m.RatedKW)
	if !notNegative(m.Heat.EnvWPerK) {
		f.add("heat.env_w_per_k", "is %g, want 0 or more", m.Heat.EnvWPerK)
	}
	if r := m.Heat.FanFailRatio; !(r >= 0 && r <= 1) {
		f.add("heat.fan_fail_ratio", "is %g, want 0..1", r)
	}
	m.Limits.validate(&f)
	if m.Strings != nil {
		m.Strings.validate(&f, m.Series)
	} else if m.ContainerName != "" {
		f.add("container", "is %q, but only a unit of single cells (strings) has one", m.ContainerName)
	}
	if m.Cell != nil {
		m.validateCell(&f)
	}
	if m.Strings != nil && m.Runaway != nil && m.Runaway.Separator.Ohm == 0 {
		f.add("strings.runaway", "is %q, whose cells would go on working burnt out, want a set with a separator that fails", m.Strings.RunawayName)
	}
	if m.Strings != nil && m.Runaway != nil && (m.Runaway.Watch.TempC == 0 || m.Runaway.Heater.PowerW == 0) {
		f.add("strings.runaway", "is %q, which does not say from where cells are watched and what heats one, want a set with watch and heater", m.Strings.RunawayName)
	}
	if m.Strings != nil && m.Container != nil && m.Container.Loop == nil && m.Strings.ColdWPerK > 0 {
		f.add("strings.coolant_w_per_k", "is %g, but container %s has no coolant loop, want 0", m.Strings.ColdWPerK, m.ContainerName)
	}
	return f.join()
}

func (p PCS) validate(f *faults, ratedKW float64) {
	p.validateLosses(f)
	if p.Rest != nil {
		p.Rest.validate(f, ratedKW)
	}
	if p.Capability != nil {
		p.Capability.validate(f)
	}
	if !notNegative(p.StandbyW) || p.StandbyW > 100*ratedKW {
		f.add("pcs.standby_w", "is %g W, want 0 .. 10 %% of rated power", p.StandbyW)
	}
	if d := time.Duration(p.ResponseDelay); d < 0 || d > time.Minute {
		f.add("pcs.response_delay", "is %v, want 0s .. 1m", d)
	}
	f.positive("pcs.ramp_per_second", p.RampPerS)
}

func (l Limits) validate(f *faults) {
	if !(l.SoC.Min >= 0 && l.SoC.Min < l.SoC.Max && l.SoC.Max <= 100) {
		f.add("limits.soc_percent", "is %g..%g, want a window within 0..100", l.SoC.Min, l.SoC.Max)
	}
	if !(l.CellV.Min > 0 && l.CellV.Min < l.CellV.Max) {
		f.add("limits.cell_v", "is %g..%g V, want a window above 0", l.CellV.Min, l.CellV.Max)
	}
	if !notNegative(l.CellA.Charge) || !notNegative(l.CellA.Discharge) {
		f.add("limits.cell_a", "is %g and %g A, want 0 (no limit) or more", l.CellA.Charge, l.CellA.Discharge)
	}
	for i, d := range []Derating{l.TempC.Charge, l.TempC.Discharge} {
		if !(d.Min <= d.FullFrom && d.FullFrom < d.FullTo && d.FullTo <= d.Max) {
			key := []string{"charge", "discharge"}[i]
			f.add("limits.temp_c."+key, "is %g, %g, %g, %g, want min <= full_from < full_to <= max", d.Min, d.FullFrom, d.FullTo, d.Max)
		}
	}
}

// Complete demands that what the model names has been loaded, as LoadModel does: a set
// built in code may have forgotten it.
func (m *Model) Complete() error {
	var f faults
	for _, x := range []struct {
		key, name string
		loaded    bool
	}{
		{"pcs.losses", m.PCS.Losses, m.Converter != nil},
		{"grid.transformer", m.Grid.names().Transformer, m.Transformer != nil},
		{"grid.auxiliary", m.Grid.names().Auxiliary, m.Auxiliary != nil},
		{"container", m.ContainerName, m.Container != nil},
	} {
		if x.name != "" && !x.loaded {
			f.add(x.key, "is %q, which has not been loaded", x.name)
		}
	}
	return f.join()
}

func (g *GridSide) names() GridSide {
	if g == nil {
		return GridSide{}
	}
	return *g
}

// validateCell checks what only cell and model together can say.
func (m *Model) validateCell(f *faults) {
	c := m.Cell
	if m.Limits.CellV.Min < c.VMin || m.Limits.CellV.Max > c.VMax {
		f.add("limits.cell_v", "is %g..%g V, the cell allows %g..%g V", m.Limits.CellV.Min, m.Limits.CellV.Max, c.VMin, c.VMax)
	}
	var mean float64 // V, over the state of charge
	for i := 1; i < len(c.OCV.SoC) && i < len(c.OCV.V); i++ {
		mean += (c.OCV.SoC[i] - c.OCV.SoC[i-1]) * (c.OCV.V[i] + c.OCV.V[i-1]) / 2
	}
	if kwh := float64(m.Cells()) * c.CapacityAh * mean / 1e3; m.RatedKWh > 0 && math.Abs(kwh/m.RatedKWh-1) > 0.1 {
		f.add("rated_kwh", "is %g, but %d cells of %g Ah hold %.1f kWh", m.RatedKWh, m.Cells(), c.CapacityAh, kwh)
	}
}

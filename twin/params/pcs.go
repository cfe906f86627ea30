package params

import (
	"slices"
	"strings"
	"time"
)

// Converter is the loss of a power converter: two formulas, or a table of measured
// efficiencies. Power is per unit of rated power on the AC side in both directions,
// and DC = AC - loss (passive sign) unless a formula says divide.
type Converter struct {
	Header    `yaml:",inline"`
	Charge    *Loss            `yaml:"charge"`
	Discharge *Loss            `yaml:"discharge"`
	Table     *EfficiencyTable `yaml:"table"`
}

// EfficiencyTable holds measured efficiencies: DC/AC charging, AC/DC discharging. The
// loss is linear between the points in both directions, and its first piece goes on
// to power 0.
type EfficiencyTable struct {
	Power     []float64   `yaml:"power"`     // |AC|/rated, above 0, rising
	DCVolt    []float64   `yaml:"dc_v"`      // V, rising; left out where there is one row
	NominalV  float64     `yaml:"nominal_v"` // V, taken where no voltage is known
	Charge    [][]float64 `yaml:"eta_charge"`
	Discharge [][]float64 `yaml:"eta_discharge"`
}

// The prefixes of the other kinds of set in the folder of the converters.
const (
	transformerPrefix = "transformers-"
	auxiliaryPrefix   = "auxiliary-"
)

// Converters returns the names of the converter sets that ship, sorted.
func Converters() []string {
	return slices.DeleteFunc(shipped("pcs", ""), func(n string) bool {
		return strings.HasPrefix(n, transformerPrefix) || strings.HasPrefix(n, auxiliaryPrefix)
	})
}

// LoadConverter returns the converter set called name, or the one in the file at that
// path. The error lists every fault as "path:line:col: key: message".
func LoadConverter(nameOrPath string) (*Converter, error) {
	return loadSet[Converter]("converter", "pcs", "", nameOrPath)
}

// Validate returns all faults of the set, joined.
func (c *Converter) Validate() error {
	var f faults
	c.validate(&f, "Converter")
	switch formulas := c.Charge != nil && c.Discharge != nil; {
	case c.Table == nil && !formulas:
		f.add("charge", "missing: a converter has charge and discharge, or a table")
	case c.Table != nil && (c.Charge != nil || c.Discharge != nil):
		f.add("table", "stands beside charge or discharge: a converter has either")
	case c.Table != nil:
		c.Table.validate(&f, "table")
	default:
		c.Charge.validate(&f, "charge", false)
		c.Discharge.validate(&f, "discharge", true)
	}
	return f.join()
}

// validate demands a loss that can be turned round: DC power rises with AC power.
func (l *Loss) validate(f *faults, key string, discharge bool) {
	if !(l.P0 >= 0 && l.K1 >= 0 && l.K2 >= 0 && l.M0 >= 0) {
		f.add(key, "has p0 %g, k1 %g, k2 %g, m0 %g, want none below 0", l.P0, l.K1, l.K2, l.M0)
	}
	// The whole range must transmit power, or the converter cannot be inverted.
	if !(l.P0+l.K1+l.K2 < 0.5) || !(l.K1+2*l.K2 < 0.5) {
		f.add(key, "loses half of rated power or more: p0 %g, k1 %g, k2 %g", l.P0, l.K1, l.K2)
	}
	if discharge && l.Divide {
		f.add(key+".divide", "is for charging: discharging, both conventions are the same")
	}
	if !discharge && !l.Divide && !(l.P0*l.M0+l.K1 < 1) {
		f.add(key+".m0", "is %g: the loss would rise faster than the power", l.M0)
	}
}

func (t *EfficiencyTable) validate(f *faults, key string) {
	f.axis(key+".power", t.Power, 2)
	if len(t.Power) > 0 && !(t.Power[0] > 0) {
		f.add(key+".power", "begins with %g, want above 0", t.Power[0])
	}
	rows := max(len(t.DCVolt), 1)
	f.axis(key+".dc_v", t.DCVolt, 0)
	if n := len(t.DCVolt); n > 0 && !(t.NominalV >= t.DCVolt[0] && t.NominalV <= t.DCVolt[n-1]) {
		f.add(key+".nominal_v", "is %g, want a voltage of the table", t.NominalV)
	}
	t.validateRows(f, key+".eta_charge", t.Charge, rows, func(p, eta float64) float64 { return p * eta })
	t.validateRows(f, key+".eta_discharge", t.Discharge, rows, func(p, eta float64) float64 { return p / eta })
}

// validateRows demands efficiencies whose DC power rises.
func (t *EfficiencyTable) validateRows(f *faults, key string, eta [][]float64, rows int, dc func(p, eta float64) float64) {
	if len(eta) != rows {
		f.add(key, "has %d rows, want one for each voltage: %d", len(eta), rows)
	}
	for k, row := range eta {
		if len(row) != len(t.Power) {
			f.add(key, "row %d has %d entries, power has %d", k+1, len(row), len(t.Power))
			continue
		}
		for i, e := range row {
			if !(e > 0 && e <= 1) {
				f.add(key, "row %d entry %d is %g, want above 0 and at most 1", k+1, i+1, e)
				break
			}
			if i > 0 && dc(t.Power[i], e) <= dc(t.Power[i-1], row[i-1]) {
				f.add(key, "row %d entry %d is %g: DC power falls there", k+1, i+1, e)
				break
			}
		}
	}
}

// validateLosses demands one of formulas, a set by name, and a table.
func (p PCS) validateLosses(f *faults) {
	p.Charge.validate(f, "pcs.charge", false)
	p.Discharge.validate(f, "pcs.discharge", true)
	formulas := p.Charge != (Loss{}) || p.Discharge != (Loss{})
	if p.Losses != "" {
		if formulas || p.Table != nil {
			f.add("pcs.losses", "stands beside charge, discharge or table: a converter has one of them")
		}
	}
	if p.Table != nil {
		if formulas {
			f.add("pcs.table", "stands beside charge or discharge: a converter has one of them")
		}
		p.Table.validate(f, "pcs.table")
	}
}

// Rest are the phases a converter falls into at zero power.
type Rest struct {
	Source       string   `yaml:"source"`
	IdleW        float64  `yaml:"idle_w"`        // awake at zero power
	StandbyAfter Duration `yaml:"standby_after"` // at zero power, then standby_w is drawn
	WakeUp       Duration `yaml:"wake_up"`       // from standby until power flows
	OffAfter     Duration `yaml:"off_after"`     // at zero power, then it turns off; 0: never
	OffW         float64  `yaml:"off_w"`
	StartUp      Duration `yaml:"start_up"` // from off until power flows
}

func (r *Rest) validate(f *faults, ratedKW float64) {
	for _, w := range []struct {
		key string
		w   float64
	}{{"idle_w", r.IdleW}, {"off_w", r.OffW}} {
		if !notNegative(w.w) || w.w > 100*ratedKW {
			f.add("pcs.rest."+w.key, "is %g W, want 0 .. 10 %% of rated power", w.w)
		}
	}
	for _, d := range []struct {
		key  string
		d    Duration
		most time.Duration
	}{
		{"standby_after", r.StandbyAfter, 24 * time.Hour},
		{"wake_up", r.WakeUp, time.Hour},
		{"off_after", r.OffAfter, 30 * 24 * time.Hour},
		{"start_up", r.StartUp, time.Hour},
	} {
		if x := time.Duration(d.d); x < 0 || x > d.most {
			f.add("pcs.rest."+d.key, "is %v, want 0s .. %v", x, d.most)
		}
	}
	if r.OffAfter > 0 && r.OffAfter < r.StandbyAfter {
		f.add("pcs.rest.off_after", "is %v, want no less than standby_after", time.Duration(r.OffAfter))
	}
}

// Capability is what a converter is able to do, per unit of rated power.
type Capability struct {
	Source    string    `yaml:"source"`
	S         float64   `yaml:"s"`         // apparent power
	Charge    float64   `yaml:"charge"`    // active power
	Discharge float64   `yaml:"discharge"` // active power
	Absorb    float64   `yaml:"absorb"`    // reactive power, as a coil
	Inject    float64   `yaml:"inject"`    // reactive power, as a capacitor
	QFirst    bool      `yaml:"q_first"`   // the circle cuts active power, else reactive
	DCVolt    []float64 `yaml:"dc_v"`      // V, where share holds; left out: all of it
	Share     []float64 `yaml:"share"`     // of charge and discharge, 0..1
	AirC      struct {  // of the air outside, which cools it
		FullTo float64 `yaml:"full_to"` // degC
		Max    float64 `yaml:"max"`     // degC: nothing there
	} `yaml:"air_c"` // derating of s by the cooling air; left out: none
}

func (c *Capability) validate(f *faults) {
	f.positive("pcs.capability.s", c.S)
	for _, x := range []struct {
		key string
		v   float64
	}{{"charge", c.Charge}, {"discharge", c.Discharge}, {"absorb", c.Absorb}, {"inject", c.Inject}} {
		f.fraction("pcs.capability."+x.key, x.v, 2)
	}
	f.axis("pcs.capability.dc_v", c.DCVolt, 0)
	if len(c.Share) != len(c.DCVolt) {
		f.add("pcs.capability.share", "has %d entries, dc_v has %d", len(c.Share), len(c.DCVolt))
	}
	for _, x := range c.Share {
		f.fraction("pcs.capability.share", x, 1)
	}
	if a := c.AirC; (a.FullTo != 0 || a.Max != 0) && !(a.FullTo < a.Max) {
		f.add("pcs.capability.air_c", "is %g, %g, want full_to < max", a.FullTo, a.Max)
	}
}

// Reactive is the most reactive power in kvar that a unit absorbs and injects, 0, 0
// without pcs.capability.
func (m *Model) Reactive() (absorb, inject float64) {
	c := m.PCS.Capability
	if c == nil {
		return 0, 0
	}
	return m.RatedKW * min(c.Absorb, c.S), m.RatedKW * min(c.Inject, c.S)
}

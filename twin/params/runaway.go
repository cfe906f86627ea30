package params

import "fmt"

// Runaways returns the names of the runaway sets that ship, sorted.
func Runaways() []string { return thermalSets("runaway-") }

// LoadRunaway returns the runaway set called name, or the one in the file at that
// path. The error lists every fault as "path:line:col: key: message".
func LoadRunaway(nameOrPath string) (*Runaway, error) {
	src, err := readThermal(nameOrPath, Runaways())
	if err != nil {
		return nil, fmt.Errorf("load runaway %s: %w", nameOrPath, err)
	}
	return ParseRunaway(nameOrPath, src)
}

// ParseRunaway decodes a runaway file; file is its name in messages.
func ParseRunaway(file string, src []byte) (*Runaway, error) {
	var r Runaway
	if err := decode(file, src, &r); err != nil {
		return nil, err
	}
	if err := r.Validate(); err != nil {
		return nil, locate(file, src, err)
	}
	return &r, nil
}

// Runaway is what a cell type does when it gets too hot. Every part says how sure
// it is: verified, unverified or assumption.
type Runaway struct {
	Kind        string           `yaml:"kind"` // Runaway
	Name        string           `yaml:"name"`
	Source      string           `yaml:"source"`
	GasConstant float64          `yaml:"gas_constant_j_per_mol_k"` // as the source rounds it
	SEI         RunawayReaction  `yaml:"sei"`
	Negative    RunawayReaction  `yaml:"negative"`
	Film        float64          `yaml:"film"` // thickness of the film at first, in its own unit
	Positive    RunawayReaction  `yaml:"positive"`
	Electrolyte RunawayReaction  `yaml:"electrolyte"`
	Short       RunawayShort     `yaml:"short"`     // of any kind; makes no heat when left out
	Separator   RunawaySeparator `yaml:"separator"` // stays whole when left out
	Vent        RunawayVent      `yaml:"vent"`      // never opens when left out
	Watch       RunawayWatch     `yaml:"watch"`     // a battery needs it
	Heater      RunawayHeater    `yaml:"heater"`    // a battery needs it
}

// RunawayReaction is one Arrhenius reaction.
type RunawayReaction struct {
	Status  string  `yaml:"status"`
	A       float64 `yaml:"a_per_s"`
	Ea      float64 `yaml:"ea_j_per_mol"`
	Heat    float64 `yaml:"heat_j_per_kg"`     // of what reacts
	Content float64 `yaml:"content_kg_per_m3"` // of it in the cell
	Initial float64 `yaml:"initial"`           // fraction left; of the positive electrode, converted
}

// RunawayShort is an internal short.
type RunawayShort struct {
	Status string  `yaml:"status"`
	Volt   float64 `yaml:"volt"`  // of the cell meanwhile
	Share  float64 `yaml:"share"` // of the stored energy that becomes heat, 0..1
}

// RunawaySeparator is where the separator leaves a short.
type RunawaySeparator struct {
	Status string  `yaml:"status"`
	TempC  float64 `yaml:"temp_c"`
	Ohm    float64 `yaml:"ohm"`
}

// RunawayVent is a valve that opens once.
type RunawayVent struct {
	Status string  `yaml:"status"`
	TempC  float64 `yaml:"temp_c"`
	Share  float64 `yaml:"share"` // of the reactions' heat that leaves with the gas, 0..1
}

// RunawayWatch is where a battery begins to look at the reactions of each of its cells.
type RunawayWatch struct {
	Status string  `yaml:"status"`
	TempC  float64 `yaml:"temp_c"`
}

// RunawayHeater is what drives a cell of a battery into runaway, as a fault.
type RunawayHeater struct {
	Status string  `yaml:"status"`
	PowerW float64 `yaml:"power_w"`
	UntilC float64 `yaml:"until_c"` // degC at which it is taken away
}

// Validate returns all faults of the set, each naming its key, joined.
func (r *Runaway) Validate() error {
	var f faults
	if r.Kind != "Runaway" {
		f.add("kind", "is %q, want Runaway", r.Kind)
	}
	if r.Name == "" {
		f.add("name", "missing: give the set a name")
	}
	f.positive("gas_constant_j_per_mol_k", r.GasConstant)
	f.positive("film", r.Film)
	for i, x := range []RunawayReaction{r.SEI, r.Negative, r.Positive, r.Electrolyte} {
		x.validate(&f, []string{"sei", "negative", "positive", "electrolyte"}[i])
	}
	if r.Short != (RunawayShort{}) {
		f.status("short", r.Short.Status)
		f.positive("short.volt", r.Short.Volt)
		f.share("short.share", r.Short.Share)
	}
	if r.Separator != (RunawaySeparator{}) {
		f.status("separator", r.Separator.Status)
		f.above("separator.temp_c", r.Separator.TempC)
		f.positive("separator.ohm", r.Separator.Ohm)
	}
	if r.Vent != (RunawayVent{}) {
		f.status("vent", r.Vent.Status)
		f.above("vent.temp_c", r.Vent.TempC)
		f.share("vent.share", r.Vent.Share)
	}
	if r.Watch != (RunawayWatch{}) {
		f.status("watch", r.Watch.Status)
		f.above("watch.temp_c", r.Watch.TempC)
	}
	if r.Heater != (RunawayHeater{}) {
		f.status("heater", r.Heater.Status)
		f.positive("heater.power_w", r.Heater.PowerW)
		f.above("heater.until_c", r.Heater.UntilC)
	}
	return f.join()
}

func (x *RunawayReaction) validate(f *faults, key string) {
	f.status(key, x.Status)
	f.positive(key+".a_per_s", x.A)
	f.positive(key+".ea_j_per_mol", x.Ea)
	if !anyNumber(x.Heat) {
		f.add(key+".heat_j_per_kg", "is %g, want a number", x.Heat) // below 0 where it takes heat
	}
	f.positive(key+".content_kg_per_m3", x.Content)
	f.share(key+".initial", x.Initial)
}

// status demands that a part says how sure it is.
func (f *faults) status(key, v string) {
	if v != "verified" && v != "unverified" && v != "assumption" {
		f.add(key+".status", "is %q, want verified, unverified or assumption", v)
	}
}

// share demands 0..1.
func (f *faults) share(key string, v float64) {
	if !(v >= 0 && v <= 1) {
		f.add(key, "is %g, want 0..1", v)
	}
}

// above demands a temperature at which no cell is operated.
func (f *faults) above(key string, celsius float64) {
	if !(celsius > 60 && celsius < 1000) {
		f.add(key, "is %g degC, want 60..1000", celsius)
	}
}

package params

import "fmt"

// Transformers is a series of transformers, a loss and an impedance for each rating.
type Transformers struct {
	Header  `yaml:",inline"`
	Ratings []Transformer `yaml:"ratings"`
}

// Transformer is one rating.
type Transformer struct {
	KVA        float64 `yaml:"kva"`       // rated apparent power
	NoLoadW    float64 `yaml:"no_load_w"` // P0
	LoadW      float64 `yaml:"load_w"`    // Pk, at rated current
	Impedance  float64 `yaml:"impedance"` // short-circuit voltage per unit, 0: no reactive power
	Magnetised float64 `yaml:"magnetise"` // no-load current per unit, 0: no reactive power
}

// TransformerSeries returns the names of the transformer sets that ship, sorted.
func TransformerSeries() []string { return shipped("pcs", transformerPrefix) }

// LoadTransformers returns the transformer set called name, or the one in the file at
// that path. The error lists every fault as "path:line:col: key: message".
func LoadTransformers(nameOrPath string) (*Transformers, error) {
	return loadSet[Transformers]("transformers", "pcs", transformerPrefix, nameOrPath)
}

// Rated is the smallest transformer of the series that carries kva.
func (t *Transformers) Rated(kva float64) (*Transformer, error) {
	for i := range t.Ratings {
		if t.Ratings[i].KVA >= kva {
			return &t.Ratings[i], nil
		}
	}
	return nil, fmt.Errorf("transformers %s: none carries %g kVA", t.Name, kva)
}

// Validate returns all faults of the set, joined.
func (t *Transformers) Validate() error {
	var f faults
	t.validate(&f, "Transformers")
	if len(t.Ratings) == 0 {
		f.add("ratings", "missing")
	}
	for i, r := range t.Ratings {
		key := fmt.Sprintf("ratings[%d]", i)
		if !positive(r.KVA) || i > 0 && r.KVA <= t.Ratings[i-1].KVA {
			f.add(key+".kva", "is %g, want ratings above 0 that rise", r.KVA)
		}
		f.fraction(key+".no_load_w", r.NoLoadW, 50*r.KVA)
		f.fraction(key+".load_w", r.LoadW, 100*r.KVA)
		f.fraction(key+".impedance", r.Impedance, 0.3)
		f.fraction(key+".magnetise", r.Magnetised, 0.1)
		if r.Impedance > 0 && r.LoadW > r.Impedance*r.KVA*1e3 {
			f.add(key+".impedance", "is %g, less than the resistance of load_w alone", r.Impedance)
		}
	}
	return f.join()
}

// Auxiliary is what a converter or a container draws besides its losses.
type Auxiliary struct {
	Header    `yaml:",inline"`
	RatedKVA  float64 `yaml:"rated_kva"`  // apparent power at which the fans are full on
	ConstantW float64 `yaml:"constant_w"` // control, communication, lights
	FanW      float64 `yaml:"fan_w"`      // fans full on
	FanFrom   float64 `yaml:"fan_from"`   // of rated_kva: the fans begin
	PerLoad   float64 `yaml:"per_load"`   // of the apparent power
}

// Auxiliaries returns the names of the auxiliary sets that ship, sorted.
func Auxiliaries() []string { return shipped("pcs", auxiliaryPrefix) }

// LoadAuxiliary returns the auxiliary set called name, or the one in the file at that
// path. The error lists every fault as "path:line:col: key: message".
func LoadAuxiliary(nameOrPath string) (*Auxiliary, error) {
	return loadSet[Auxiliary]("auxiliary", "pcs", auxiliaryPrefix, nameOrPath)
}

// Validate returns all faults of the set, joined.
func (a *Auxiliary) Validate() error {
	var f faults
	a.validate(&f, "Auxiliary")
	f.positive("rated_kva", a.RatedKVA)
	f.atLeastZero("constant_w", a.ConstantW)
	f.atLeastZero("fan_w", a.FanW)
	if !(a.FanFrom >= 0 && a.FanFrom < 1) {
		f.add("fan_from", "is %g, want 0 or more and below 1", a.FanFrom)
	}
	f.fraction("per_load", a.PerLoad, 0.1)
	return f.join()
}

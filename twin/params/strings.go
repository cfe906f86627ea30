package params

// Strings makes a model one of single cells: every cell of every string is stepped,
// with its own capacity, resistance, charge and temperature. A model without it is
// one representative cell times so many.
type Strings struct {
	Source      string        `yaml:"source"`
	Module      int           `yaml:"module"`            // cells in a row that conduct heat to each other; divides series
	NextWPerK   float64       `yaml:"neighbour_w_per_k"` // between neighbours in a module
	ColdWPerK   float64       `yaml:"coolant_w_per_k"`   // from a cell to the coolant
	ColdAt      string        `yaml:"coolant_at"`        // first, last, both ends of a module, or all cells
	WireOhm     float64       `yaml:"wire_ohm"`          // per string: bars, fuse, contactor, cable
	Spread      StringsSpread `yaml:"spread_percent"`    // from cell to cell
	BMSName     string        `yaml:"bms"`               // optional: a shipped set of battery management, or a path beside the model file
	RunawayName string        `yaml:"runaway"`           // optional: a shipped set of runaway kinetics, or a path beside the model file
	CellM3      float64       `yaml:"cell_m3"`           // m3 of a cell, for them
	MaxCurrent  CurrentLimit  `yaml:"max_current_a"`     // per string
	TaperV      float64       `yaml:"taper_v"`           // width below the voltage limit in which the current is taken back
	TaperSoC    float64       `yaml:"taper_soc_percent"` // the same for the state of charge
	Weakest     float64       `yaml:"weakest_ratio"`     // to the mean resistance, that of the weakest cell as limits take it; to its capacity, the mean one
}

// StringsSpread is the standard deviation from cell to cell inside a unit, in percent
// of nominal, of the state of charge in percent of full.
type StringsSpread struct {
	Capacity   float64 `yaml:"capacity"`
	Resistance float64 `yaml:"resistance"`
	SoC        float64 `yaml:"soc"`
}

// CurrentLimit bounds the current of a string in either direction, A, above 0.
type CurrentLimit struct {
	Charge    float64 `yaml:"charge"`
	Discharge float64 `yaml:"discharge"`
}

// Coolant reports whether the cell at place n of a module of size cells touches the
// coolant.
func (s *Strings) Coolant(n, size int) bool {
	switch s.ColdAt {
	case "first":
		return n == 0
	case "last":
		return n == size-1
	case "both":
		return n == 0 || n == size-1
	}
	return s.ColdAt == "all"
}

func (s *Strings) validate(f *faults, series int) {
	if s.Module < 1 || series%s.Module != 0 {
		f.add("strings.module", "is %d, want a divisor of series = %d", s.Module, series)
	}
	for _, q := range []struct {
		key string
		v   float64
	}{
		{"neighbour_w_per_k", s.NextWPerK},
		{"coolant_w_per_k", s.ColdWPerK},
		{"wire_ohm", s.WireOhm},
	} {
		if !notNegative(q.v) {
			f.add("strings."+q.key, "is %g, want 0 or more", q.v)
		}
	}
	// Draws are clipped at 4 standard deviations: a fifth still leaves a fifth of a cell.
	f.fraction("strings.spread_percent.capacity", s.Spread.Capacity, 20)
	f.fraction("strings.spread_percent.resistance", s.Spread.Resistance, 20)
	f.fraction("strings.spread_percent.soc", s.Spread.SoC, 20)
	switch s.ColdAt {
	case "first", "last", "both", "all":
	case "":
		if s.ColdWPerK > 0 {
			f.add("strings.coolant_at", "missing: say first, last, both or all")
		}
	default:
		f.add("strings.coolant_at", "is %q, want first, last, both or all", s.ColdAt)
	}
	if s.RunawayName != "" {
		f.positive("strings.cell_m3", s.CellM3)
	}
	f.positive("strings.max_current_a.charge", s.MaxCurrent.Charge)
	f.positive("strings.max_current_a.discharge", s.MaxCurrent.Discharge)
	f.positive("strings.taper_v", s.TaperV)
	f.positive("strings.taper_soc_percent", s.TaperSoC)
	f.within("strings.weakest_ratio", s.Weakest, 1, 10)
}

package scenario

import (
	"errors"
	"io/fs"
)

// ModelFacts is what a scenario may be wrong about in a model that it names.
type ModelFacts struct {
	Strings, Cells         int     // strings in parallel, cells in each
	Single                 bool    // every cell is stepped; else one stands for all
	Runaway                bool    // its cells have kinetics of runaway
	Managed                bool    // its strings have a battery management
	SoCMin, SoCMax         float64 // percent, the window it works in
	AbsorbKvar, InjectKvar float64 // reactive power that a unit is able to, both >= 0
}

// facts are those of a model by name or path, nil where nobody knows them. A model file
// that is wrong is noted once, with its own faults.
func (s *source) facts(at, model string) *ModelFacts {
	if s.opt.Model == nil || model == "" || s.opt.FS != nil && IsPath(model) {
		return nil
	}
	if f, known := s.models[model]; known {
		return f
	}
	f, err := s.opt.Model(model)
	switch wrong, ok := errors.AsType[Faults](err); {
	case ok:
		s.faults = append(s.faults, wrong...)
	case errors.Is(err, fs.ErrNotExist): // which is told where the name is read
	case err != nil:
		s.wrong(at, "", "%v", err)
	}
	if err != nil {
		f = nil
	}
	s.models[model] = f
	return f
}

// checkFacts holds what an entry asks of its units against their model.
func (e *FleetEntry) checkFacts(s *source, at string) {
	if s.has(at+".reactive_kvar") && e.Kind != Sim {
		s.misplaced(at, "reactive_kvar", "a "+e.Kind+" device", "only twins are told so; a device on a wire has its own setting")
		return
	}
	if e.Kind != Sim {
		return
	}
	f := s.facts(at+".model", e.Model)
	if f == nil {
		return
	}
	if m := e.SoC.Mean; s.has(at+".soc") && (m < f.SoCMin || m > f.SoCMax) {
		where := at + ".soc"
		if s.has(where + ".mean") {
			where += ".mean"
		}
		s.wrong(where, "it is within "+num(f.SoCMin)+" and "+num(f.SoCMax), "a charge of %s %% is outside the window of %s", num(m), e.Model)
	}
	switch q := e.ReactiveKvar; {
	case q == 0 || q >= -f.InjectKvar && q <= f.AbsorbKvar:
	case f.InjectKvar == 0 && f.AbsorbKvar == 0:
		s.wrong(at+".reactive_kvar", "use a model file whose pcs.capability says what it absorbs and injects", "%s has no reactive power", e.Model)
	default:
		s.wrong(at+".reactive_kvar", "it is within "+num(-f.InjectKvar)+" and "+num(f.AbsorbKvar), "%s kvar is more than %s is able to", num(q), e.Model)
	}
}

// checkTarget looks for what a fault means in the model of a device: a cell, its
// kinetics, a battery management.
func (f *Injection) checkTarget(s *source, at string, d *Device, id string) {
	kind, _ := FindFaultKind(f.Kind) // which has been found before
	params := kind.params()
	_, inString := params["string"]
	_, cell := params["cell"]
	managed := f.Kind == "insulation-fault" || f.Kind == "bms-link-down" || f.Kind == "bms-bias"
	if !inString && !managed || d.Kind != Sim {
		return
	}
	m := s.facts(at+".kind", d.Model)
	switch {
	case m == nil:
	case f.Kind == "thermal-runaway" && !m.Single:
		s.wrong(at+".kind", "name devices whose model has strings, such as ess-1500kw-3mwh", "thermal-runaway needs single cells; in %s of %s one cell stands for all", d.Model, id)
	case f.Kind == "thermal-runaway" && !m.Runaway:
		s.wrong(at+".kind", "add to the strings of the model: runaway: runaway-lfp", "%s of %s has no kinetics of runaway", d.Model, id)
	case managed && !m.Managed:
		s.wrong(at+".kind", "name devices whose model has one (strings.bms), such as ess-1500kw-3mwh", "%s of %s has no battery management", d.Model, id)
	case inString && f.String > m.Strings:
		s.wrong(at+".string", "it is at most "+num(float64(m.Strings)), "there is no string %d in %s of %s", f.String, d.Model, id)
	case cell && f.Cell > m.Cells:
		s.wrong(at+".cell", "it is at most "+num(float64(m.Cells)), "there is no cell %d in a string of %s of %s", f.Cell, d.Model, id)
	}
}

//go:build !nosim

// Package simworld is the only door for twins into the harness: it builds the
// worlds of scenarios, and it runs traces. A production build leaves it out.
package simworld

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/harness/run"
	"yunchu/harness/scenario"
	"yunchu/hil/sim"
	"yunchu/platform/device"
	"yunchu/twin"
	"yunchu/twin/cell"
	"yunchu/twin/kernel"
	"yunchu/twin/params"
)

const kelvin = 273.15

// World is the twins of one scenario.
type World struct {
	parts  []part
	n      int
	beside beside
	last   sampled

	speaker speaker
	faults  map[string][]*fault // in force in a unit, by what they act on, oldest first
}

// fault is one of those that act on the same thing: the youngest is in force, and when
// it ends the one before is again.
type fault struct{ begin func() }

// inForce begins a fault and returns what ends it; clear is for the last one.
func (w *World) inForce(what string, begin, clear func()) (end func()) {
	f := &fault{begin}
	if w.faults == nil {
		w.faults = map[string][]*fault{}
	}
	w.faults[what] = append(w.faults[what], f)
	begin()
	return func() {
		left := slices.DeleteFunc(w.faults[what], func(g *fault) bool { return g == f })
		w.faults[what] = left
		if len(left) > 0 {
			left[len(left)-1].begin()
		} else {
			clear()
		}
	}
}

// drift lays a factor more on the cells of a unit, and returns what takes it away.
func drift(t *twin.Fleet, i int, by cell.Scatter) (end func()) {
	scale := func(c, r float64) {
		was := t.Drifted(i)
		t.Drift(i, cell.Scatter{Capacity: was.Capacity * c, Resistance: was.Resistance * r})
	}
	scale(by.Capacity, by.Resistance)
	return func() { scale(1/by.Capacity, 1/by.Resistance) }
}

// sampled is what the books of all units said at the last sample.
type sampled struct {
	at      time.Time
	in, out float64 // J
}

// part is one entry of the scenario's fleet.
type part struct {
	twins *twin.Fleet
	model *params.Model
	limit device.Limits // of each unit, as the file sets them
	use   device.Use    // likewise
	first int
	bound []binding // by unit
}

var _ run.World = (*World)(nil)

// Open builds the twins of a scenario, from start on.
func Open(s *scenario.Scenario, start time.Time) (run.World, error) {
	w := &World{speaker: speaker{start: start}}
	for i := range s.Fleet {
		e := &s.Fleet[i]
		ids := e.IDs()
		if e.Kind == scenario.Sim {
			if err := w.add(s, e, ids, start); err != nil {
				return nil, err
			}
		}
		if err := w.shadow(e, ids, ambientOf(s)+kelvin); err != nil {
			return nil, err
		}
		w.n += len(ids)
	}
	return w, nil
}

func (w *World) add(s *scenario.Scenario, e *scenario.FleetEntry, ids []string, start time.Time) error {
	model, err := params.LoadModel(e.Model)
	if err != nil {
		return fmt.Errorf("fleet %s: %w", e.ID, err)
	}
	aging, err := agingOf(e)
	if err != nil {
		return fmt.Errorf("fleet %s: %w", e.ID, err)
	}
	twins, err := twin.NewFleet(model, ids, twin.Options{
		Seed: s.Seed, SoCMean: e.SoC.Mean, SoCSpread: e.SoC.Spread,
		CapacitySpread: e.SpreadPercent.Capacity, ResistanceSpread: e.SpreadPercent.Resistance,
		ReactiveVar: 1000 * e.ReactiveKvar, AmbientK: ambientOf(s) + kelvin, Start: start, MaxStep: s.Step, Aging: aging,
	})
	if err != nil {
		return fmt.Errorf("fleet %s: %w", e.ID, err)
	}
	use := e.Use()
	if s.Dispatch.Rest && use.Loss == nil {
		use.Loss = lossOf(model)
	}
	w.parts = append(w.parts, part{twins, model, e.Acting(), use, w.n, make([]binding, twins.Len())})
	return nil
}

// ambientOf is the air temperature that a scenario begins with, °C.
func ambientOf(s *scenario.Scenario) float64 {
	if s.Site.AmbientC == nil {
		return 25
	}
	return s.Site.AmbientC.At(0)
}

// agingOf is how the cells of an entry grow old, nil where they do not.
func agingOf(e *scenario.FleetEntry) (*twin.Aging, error) {
	if e.Aging == nil {
		return nil, nil
	}
	set, err := params.LoadAging(e.Aging.Set)
	if err != nil {
		return nil, err
	}
	return &twin.Aging{Set: set, Scale: e.Aging.Scale}, nil
}

// Fleets implements run.World.
func (w *World) Fleets() []run.Fleet {
	var out []run.Fleet
	for _, p := range w.parts {
		for _, f := range sim.Fleets(p.twins) {
			infos := make([]device.Info, f.Size())
			for i := range infos {
				infos[i] = Info(p.model, p.twins.ID(f.Index(i)))
				infos[i].Limits, infos[i].Use = p.limit, p.use
			}
			out = append(out, run.Fleet{Infos: infos, Devices: f, First: p.first + f.Index(0)})
		}
	}
	return out
}

// Info is the nameplate of a twin of the model. Simulated devices arm by
// themselves.
func Info(m *params.Model, id string) device.Info {
	worst := func(l params.Loss) float64 { return l.P0 + l.K1 + l.K2 }
	return device.Info{
		ID: device.ID(id), Kind: "sim", State: device.Active, Simulated: true,
		DeviceType: "battery-storage", Manufacturer: "Yunchu", Model: m.Name,
		RatedKW: m.RatedKW, CapacityKWh: m.RatedKWh,
		LossKW: m.RatedKW*max(worst(m.PCS.Charge), worst(m.PCS.Discharge)) + m.PCS.StandbyW/1000,
		SoCMin: m.Limits.SoC.Min, SoCMax: m.Limits.SoC.Max,
	}
}

// lossOf is what the converter of a model loses while it runs, the mean of both directions,
// less what it draws at rest.
func lossOf(m *params.Model) *device.Loss {
	c, d := m.PCS.Charge, m.PCS.Discharge
	return &device.Loss{
		FixedKW: max(0, (c.P0+d.P0)/2*m.RatedKW-m.PCS.StandbyW/1000),
		PerKW:   max(0, (c.K1+d.K1)/2),
		PerKW2:  max(1e-9, (c.K2+d.K2)/2/m.RatedKW),
	}
}

// Step implements run.World.
func (w *World) Step(now time.Time) {
	w.stepTwins(now)
	w.Tick(now)
	w.report(now)
}

func (w *World) stepTwins(now time.Time) {
	for _, p := range w.parts {
		p.twins.Step(now)
	}
}

// SetAmbient implements run.World.
func (w *World) SetAmbient(celsius float64) {
	for _, p := range w.parts {
		p.twins.SetAmbient(celsius + kelvin)
	}
	w.beside.setAmbient(celsius + kelvin)
}

// slack is how far rounding may take a state past its limit before the check
// calls it a violation.
const slack = 1e-6

// Sample implements run.World.
func (w *World) Sample(s *run.Sample) {
	s.InKW, s.OutKW = 0, 0
	s.StoredKWh, s.AvailableChargeKW, s.AvailableDischargeKW, s.AuxKWh, s.OutOfLimits = 0, 0, 0, 0, 0
	s.Burnt = 0
	now := sampled{at: w.now()}
	for _, p := range w.parts {
		l := &p.model.Limits
		for i := range p.twins.Len() {
			x := p.twins.State(i)
			n := p.first + i
			kw := x.ACPowerW / 1000
			s.SoC[n], s.TempC[n], s.PowerKW[n], s.Voltage[n] = 100*x.SoC, x.TempK-kelvin, kw, x.PackV
			if s.Limit != nil {
				s.Limit[n], s.Reactive[n] = x.Limit.String(), x.ReactiveVar/1000
			}
			if s.CellMinV != nil {
				s.CellMinV[n], s.CellMaxV[n] = x.CellVMin, x.CellVMax
			}
			if s.SoH != nil {
				s.SoH[n], s.Resistance[n] = 100*x.SoH, 100*x.Growth
			}
			s.Burnt += p.twins.Burnt(i)
			book := p.twins.Energy(i)
			now.in += book.ACInJ
			now.out += book.ACOutJ
			s.StoredKWh += book.StoredJ / 3.6e6
			s.AuxKWh += book.AuxJ / 3.6e6
			s.AvailableChargeKW += x.AvailableChargeW / 1000
			s.AvailableDischargeKW += x.AvailableDischargeW / 1000
			if why := beyond(l, &x, p.model.RatedKW); why != "" {
				s.OutOfLimits++
				s.Offender, s.OffenderWhy = device.ID(p.twins.ID(i)), why
			}
		}
	}
	// By the books, because the twins may have taken several steps since.
	if dt := now.at.Sub(w.last.at).Seconds(); dt > 0 && !w.last.at.IsZero() {
		s.InKW, s.OutKW = (now.in-w.last.in)/dt/1000, (now.out-w.last.out)/dt/1000
	}
	s.SumKW = s.InKW - s.OutKW
	w.last = now
}

// now is the instant that the twins stand at.
func (w *World) now() time.Time {
	if len(w.parts) == 0 {
		return time.Time{}
	}
	return w.parts[0].twins.Now()
}

// beyond says which limit a unit is beyond while power still drives it further. A
// state that is no number is beyond all of them.
func beyond(l *params.Limits, x *twin.State, ratedKW float64) string {
	soc, temp, w := 100*x.SoC, x.LoadedK-kelvin, x.ACPowerW
	heat := l.TempC.Charge
	if w < 0 {
		heat = l.TempC.Discharge
	}
	// With its power stage on, a unit draws what it needs to stand still.
	idle := math.Abs(w) < standing*1000*ratedKW
	switch {
	case !finite(soc, temp, w, x.CellV, x.PackI):
		return fmt.Sprintf("charge %g %%, %g °C, %g W, %g V a cell, %g A: not all numbers", soc, temp, w, x.CellV, x.PackI)
	case soc > l.SoC.Max+slack && w > 0:
		return fmt.Sprintf("charged at %.6f %%, limit %g %%", soc, l.SoC.Max)
	case soc < l.SoC.Min-slack && w < 0:
		return fmt.Sprintf("discharged at %.6f %%, limit %g %%", soc, l.SoC.Min)
	case x.CellV > l.CellV.Max+slack && w > 0:
		return fmt.Sprintf("charged at %.6f V a cell, limit %g V", x.CellV, l.CellV.Max)
	case x.CellV < l.CellV.Min-slack && w < 0:
		return fmt.Sprintf("discharged at %.6f V a cell, limit %g V", x.CellV, l.CellV.Min)
	case !idle && (temp > heat.Max+warm || temp < heat.Min-warm):
		return fmt.Sprintf("%.6g kW at %.3f °C, limits %g and %g °C", w/1000, temp, heat.Min, heat.Max)
	case math.Abs(w) > 1000*ratedKW*(1+slack):
		return fmt.Sprintf("%.6f kW, rated %g kW", w/1000, ratedKW)
	}
	return ""
}

const (
	standing = 0.002 // of rated power
	warm     = 0.05  // K that a cell may move in the step that takes its power away
)

func finite(vs ...float64) bool {
	for _, v := range vs {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// leakV is the voltage at which a leak carries its current, in V.
const leakV = 3.3

// shortCell shorts the cell that f names. In a lumped unit the representative cell
// stands for n cells, so one shorted cell among them is a short of n times the
// resistance there. The 10 mΩ of the default are of the order of a separator that
// has broken down over some mm².
func shortCell(p part, i int, f *scenario.Injection) (begin, clear func(), err error) {
	t := p.twins
	if p.model.Strings == nil {
		return func() { t.ShortCell(i, f.Ohm*float64(p.model.Cells())) }, func() { t.ShortCell(i, 0) }, nil
	}
	if err := oneOf(p, f); err != nil {
		return nil, nil, err
	}
	short := func(ohm float64) func() { return func() { t.ShortOne(i, f.String-1, f.Cell-1, ohm) } }
	return short(f.Ohm), short(0), nil
}

// oneOf refuses a cell that the model does not have.
func oneOf(p part, f *scenario.Injection) error {
	if p.model.Strings != nil && (f.String > p.model.Parallel || f.Cell > p.model.Series) {
		return fmt.Errorf("fault %s: string %d, cell %d: %s has %d strings of %d cells", f.Kind, f.String, f.Cell, p.model.Name, p.model.Parallel, p.model.Series)
	}
	return nil
}

// Inject implements run.World.
func (w *World) Inject(now time.Time, f *scenario.Injection, indices []int) (end func(now time.Time), err error) {
	var undo []func()
	w.stepTwins(now)
	for _, n := range indices {
		p, i, ok := w.find(n)
		if !ok {
			return nil, fmt.Errorf("fault %s: device %d of the scenario has no twin", f.Kind, n)
		}
		t := p.twins
		hold := func(begin, clear func()) {
			what := fmt.Sprint(f.Kind, " ", n)
			switch f.Kind {
			case "bms-bias", "cell-short":
				what += fmt.Sprint(" ", f.String, " ", f.Cell)
			}
			undo = append(undo, w.inForce(what, begin, clear))
		}
		switch f.Kind {
		case "contactor-open":
			hold(func() { t.OpenContactor(i, true) }, func() { t.OpenContactor(i, false) })
		case "e-stop":
			hold(func() { t.EmergencyStop(i, true) }, func() { t.EmergencyStop(i, false) })
		case "insulation-fault", "bms-link-down", "bms-bias":
			set := management(t, i, f)
			if err := set(true); err != nil {
				return nil, fmt.Errorf("fault %s: %w", f.Kind, err)
			}
			hold(func() { _ = set(true) }, func() { _ = set(false) }) // which the unit has taken
		case "fan-fail":
			hold(func() { t.FailFan(i, true) }, func() { t.FailFan(i, false) })
		case "cell-short":
			begin, clear, err := shortCell(p, i, f)
			if err != nil {
				return nil, err
			}
			hold(begin, clear)
		case "resistance-growth":
			undo = append(undo, drift(t, i, cell.Scatter{Capacity: 1, Resistance: 1 + f.By.Number/100}))
		case "capacity-loss":
			undo = append(undo, drift(t, i, cell.Scatter{Capacity: 1 - f.By.Number/100, Resistance: 1}))
		case "thermal-runaway":
			if err := oneOf(p, f); err != nil {
				return nil, err
			}
			if err := t.Runaway(i, f.String-1, f.Cell-1); err != nil {
				return nil, err
			}
		case "leak":
			hold(func() { t.ShortCell(i, leakV/f.By.Number) }, func() { t.ShortCell(i, 0) })
		case "overheat":
			hold(func() { t.Overheat(i, f.ToC+kelvin) }, func() { t.Overheat(i, 0) })
		default:
			return nil, fmt.Errorf("fault %s does not act in a twin", f.Kind)
		}
	}
	return func(now time.Time) {
		w.stepTwins(now)
		for _, u := range undo {
			u()
		}
	}, nil
}

func (w *World) find(n int) (p part, i int, ok bool) {
	for _, p := range w.parts {
		if n >= p.first && n < p.first+p.twins.Len() {
			return p, n - p.first, true
		}
	}
	return part{}, 0, false
}

// Balance implements run.World.
func (w *World) Balance() (ratio float64, worst device.ID) {
	for _, p := range w.parts {
		for i := range p.twins.Len() {
			if r := imbalance(p.twins.Energy(i)); !(r < ratio) { // NaN is the worst
				ratio, worst = r, device.ID(p.twins.ID(i))
			}
		}
	}
	return ratio, worst
}

// imbalance is the residual of a unit over the energy that it moved: on the AC side, on
// the DC side, where an idle converter draws its standby power, or as heat of cells that
// nothing else went through.
func imbalance(e twin.Energy) float64 {
	const least = 1 // J, where there was none of it
	return e.ResidualJ / max(e.ACInJ+e.ACOutJ, e.DCInJ+e.DCOutJ, e.HeatJ, least)
}

// Kernel implements run.World: the kernel of single cells where there are any.
// Lumped units are stepped in plain Go.
func (w *World) Kernel() string {
	for _, p := range w.parts {
		if p.model.Strings != nil {
			k, _ := kernel.Chosen()
			return k.Name
		}
	}
	return "go"
}

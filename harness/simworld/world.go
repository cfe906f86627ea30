//go:build !nosim

// Package simworld is the only door for twins into the harness: it builds the
// worlds of scenarios, and it runs traces. A production build leaves it out.
package simworld

import (
	"cmp"
	"fmt"
	"math"
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
	w.parts = append(w.parts, part{twins, model, w.n, make([]binding, twins.Len())})
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
func shortCell(p part, i int, f *scenario.Injection) (end func(), err error) {
	t := p.twins
	if p.model.Strings == nil {
		t.ShortCell(i, f.Ohm*float64(p.model.Cells()))
		return func() { t.ShortCell(i, 0) }, nil
	}
	if err := oneOf(p, f); err != nil {
		return nil, err
	}
	t.ShortOne(i, f.String-1, f.Cell-1, f.Ohm)
	return func() { t.ShortOne(i, f.String-1, f.Cell-1, 0) }, nil
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
		switch f.Kind {
		case "contactor-open":
			t.OpenContactor(i, true)
			undo = append(undo, func() { t.OpenContactor(i, false) })
		case "e-stop":
			t.EmergencyStop(i, true)
			undo = append(undo, func() { t.EmergencyStop(i, false) })
		case "insulation-fault", "bms-link-down", "bms-bias":
			set := management(t, i, f)
			if err := set(true); err != nil {
				return nil, fmt.Errorf("fault %s: %w", f.Kind, err)
			}
			undo = append(undo, func() { _ = set(false) }) // which the unit has taken before
		case "fan-fail":
			t.FailFan(i, true)
			undo = append(undo, func() { t.FailFan(i, false) })
		case "cell-short":
			end, err := shortCell(p, i, f)
			if err != nil {
				return nil, err
			}
			undo = append(undo, end)
		case "resistance-growth":
			was := t.Drifted(i)
			t.Drift(i, cell.Scatter{Capacity: was.Capacity, Resistance: was.Resistance * (1 + f.By.Number/100)})
			undo = append(undo, func() { t.Drift(i, was) })
		case "capacity-loss":
			was := t.Drifted(i)
			t.Drift(i, cell.Scatter{Capacity: was.Capacity * (1 - f.By.Number/100), Resistance: was.Resistance})
			undo = append(undo, func() { t.Drift(i, was) })
		case "thermal-runaway":
			if err := oneOf(p, f); err != nil {
				return nil, err
			}
			if err := t.Runaway(i, f.String-1, f.Cell-1); err != nil {
				return nil, err
			}
		case "leak":
			t.ShortCell(i, leakV/f.By.Number)
			undo = append(undo, func() { t.ShortCell(i, 0) })
		case "overheat":
			t.Overheat(i, f.ToC+kelvin)
			undo = append(undo, func() { t.Overheat(i, 0) })
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

// imbalance is the residual of a unit over the energy that it moved: on the AC side, or
// where nothing went through its converter, the heat that its cells made by themselves.
func imbalance(e twin.Energy) float64 {
	const least = 1 // J, where there was neither
	return e.ResidualJ / cmp.Or(e.ACInJ+e.ACOutJ, e.HeatJ, least)
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

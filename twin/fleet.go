package twin

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"yunchu/twin/bms"
	"yunchu/twin/cell"
	"yunchu/twin/celltype"
	"yunchu/twin/kernel"
	"yunchu/twin/params"
	"yunchu/twin/pcs"
)

// Options say how the units of a fleet begin and differ.
type Options struct {
	Seed uint64
	// State of charge at the start, percent: mean and standard deviation over the
	// fleet, clipped to the model's window.
	SoCMean, SoCSpread float64
	// Standard deviations of capacity and resistance, percent of nominal, clipped
	// to four of them.
	CapacitySpread, ResistanceSpread float64
	AmbientK                         float64   // K, 298.15 when 0; units start at it
	Start                            time.Time // the instant the fleet begins at

	// ReactiveVar is the reactive power in var, above zero absorbed, that every unit moves
	// beside the power of its setpoints, as far as its converter is able to.
	ReactiveVar float64

	Aging *Aging // how the cells grow old; nil: they do not

	// MaxStep is the longest step the physics takes at once; longer ones are cut.
	// 0: 30 s for lumped units, which is also the most, and 1 s for units of single
	// cells, for which the most is what the series of the hysteresis takes.
	MaxStep time.Duration
	// Workers is how many units of single cells are stepped at the same time; 0: one
	// per processor. The result does not depend on it.
	Workers int
}

// Fleet is a number of units of one model. It is not safe for concurrent use.
type Fleet struct {
	design
	model *params.Model
	kind  *cell.Model
	ids   []string
	start time.Time
	now   time.Duration // since start
	units []unit
	seen  []State // what State answered since the last change; Mode is unseen where it must be worked out

	maxStep time.Duration
	workers int
	cached  tick         // coefficients of the last step length
	ticks   []tick       // of the steps of units of single cells on the way to one instant
	next    atomic.Int64 // the first unit that no worker has taken
	others  sync.WaitGroup
	help    func() // what they run: made once, so that a step allocates nothing
}

// Longest steps of the physics.
const (
	maxStepLumped = 30 * time.Second
	maxStepCells  = time.Second
)

// NewFleet returns one unit per id, all of the given model. The draws of a unit
// depend on the seed and its id alone.
func NewFleet(model *params.Model, ids []string, opt Options) (*Fleet, error) {
	if model == nil || model.Cell == nil {
		return nil, errors.New("new fleet: no model, or a model without its cell")
	}
	if err := errors.Join(model.Validate(), model.Cell.Validate(), model.Complete()); err != nil {
		return nil, fmt.Errorf("new fleet of %s: %w", model.Name, err)
	}
	if opt.AmbientK == 0 {
		opt.AmbientK = 298.15
	}
	if err := opt.check(model); err != nil {
		return nil, fmt.Errorf("new fleet of %s: %w", model.Name, err)
	}
	kind, err := celltype.New(model.Cell)
	if err != nil {
		return nil, fmt.Errorf("new fleet of %s: %w", model.Name, err)
	}
	converter, err := newPCS(model)
	if err != nil {
		return nil, fmt.Errorf("new fleet of %s: %w", model.Name, err)
	}
	f := &Fleet{
		design: design{
			pcs:        converter,
			limits:     newLimits(model),
			cells:      float64(model.Cells()),
			perCell:    1 / float64(model.Cells()),
			series:     float64(model.Series),
			parallel:   float64(model.Parallel),
			capacity:   model.Cell.Thermal.HeatCapacity(),
			toAmbient:  model.Heat.EnvWPerK,
			fanFailure: model.Heat.FanFailRatio,
			ambientK:   opt.AmbientK,
			reactive:   opt.ReactiveVar,
		},
		model:   model,
		kind:    kind,
		ids:     append([]string(nil), ids...),
		start:   opt.Start,
		units:   make([]unit, len(ids)),
		seen:    make([]State, len(ids)),
		workers: cmp.Or(opt.Workers, runtime.GOMAXPROCS(0)),
		maxStep: min(cmp.Or(opt.MaxStep, maxStepLumped), maxStepLumped),
	}
	f.help = func() {
		defer f.others.Done()
		f.work()
	}
	if model.Strings != nil {
		f.places = places(model)
		f.maxStep = min(cmp.Or(opt.MaxStep, maxStepCells), f.longestOfCells())
		f.tick(0, f.maxStep)
	}
	if opt.Aging != nil {
		if f.aging, err = AgingModel(opt.Aging); err != nil {
			return nil, fmt.Errorf("new fleet of %s: %w", model.Name, err)
		}
	}
	f.station = newStation(model)
	if f.bms = newManagement(model); f.bms != nil {
		f.level = newBalance(model)
		c := model.BMS.Contactor
		f.link = bms.Link{Ohm: c.PrechargeOhm, Farad: c.BusFarad, BleedOhm: c.BusBleedOhm}
		f.racks = bms.UnitParams{MatchV: model.BMS.Unit.MatchV}
	}
	if f.fire, err = newFire(model); err != nil {
		return nil, fmt.Errorf("new fleet of %s: %w", model.Name, err)
	}
	if model.Container != nil {
		if f.container, err = newContainer(model); err != nil {
			return nil, fmt.Errorf("new fleet of %s: %w", model.Name, err)
		}
	}
	seen := make(map[string]bool, len(ids))
	for i, id := range f.ids {
		if id == "" || seen[id] {
			return nil, fmt.Errorf("new fleet of %s: id %q of unit %d is empty or taken", model.Name, id, i+1)
		}
		seen[id] = true
		if f.units[i], err = f.draw(id, opt); err != nil {
			return nil, fmt.Errorf("new fleet of %s: %w", model.Name, err)
		}
		if f.aging != nil {
			f.born(&f.units[i])
		}
		f.changed(i)
	}
	return f, nil
}

// longestOfCells is the longest step for units of single cells.
func (f *Fleet) longestOfCells() time.Duration {
	t := kernel.NewTick(f.kind, f.capacity, 1)
	limit := f.model.Strings.MaxCurrent
	longest := t.MaxCurrent(f.kind.Constants().Coulombs) / max(limit.Charge, limit.Discharge)
	return min(maxStepLumped, time.Duration(longest*float64(time.Second)))
}

func (o *Options) check(m *params.Model) error {
	var errs []error
	w := m.Limits.SoC
	if !(o.SoCMean >= w.Min && o.SoCMean <= w.Max) {
		errs = append(errs, fmt.Errorf("mean state of charge %g %% is outside the model's window %g..%g %%", o.SoCMean, w.Min, w.Max))
	}
	for _, s := range []struct {
		name  string
		value float64
		most  float64
	}{{"state of charge", o.SoCSpread, 100}, {"capacity", o.CapacitySpread, 20}, {"resistance", o.ResistanceSpread, 20}} {
		if !(s.value >= 0 && s.value <= s.most) {
			errs = append(errs, fmt.Errorf("spread of %s %g %% is not within 0..%g %%", s.name, s.value, s.most))
		}
	}
	if !(o.AmbientK > 200 && o.AmbientK < 350) {
		errs = append(errs, fmt.Errorf("ambient temperature %g K is not within 200..350 K", o.AmbientK))
	}
	if q := o.ReactiveVar; q != 0 {
		absorb, inject := m.Reactive()
		if !(q >= -inject*1e3 && q <= absorb*1e3) {
			errs = append(errs, fmt.Errorf("reactive power %g kvar is not within %g..%g kvar, what pcs.capability says", q/1e3, 0-inject, absorb))
		}
	}
	return errors.Join(errs...)
}

// draw makes the unit called id.
func (f *Fleet) draw(id string, o Options) (unit, error) {
	h := fnv.New64a()
	h.Write([]byte(id))
	rng := rand.New(rand.NewPCG(o.Seed, h.Sum64()))
	// All three are drawn in any case, so that a change of one spread leaves the others.
	soc, capacity, resistance := rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()
	factor := func(x, spreadPercent float64) float64 {
		return 1 + min(max(x, -4), 4)*spreadPercent/100
	}
	w := f.limits.soc
	s := cell.State{
		SoC:   min(max((o.SoCMean+soc*o.SoCSpread)/100, w.Min), w.Max),
		TempK: o.AmbientK,
	}
	x := cell.Scatter{Capacity: factor(capacity, o.CapacitySpread), Resistance: factor(resistance, o.ResistanceSpread)}
	u := unit{
		cell: f.kind.Cell(s, x), base: x, drift: cell.Nominal, aged: cell.Nominal,
		pcs: pcs.State{Active: pcs.Setpoint{Until: pcs.Never}}, loaded: o.AmbientK,
	}
	if f.model.Strings != nil {
		var err error
		if u.pack, err = f.newPack(id, o, s.SoC, x); err != nil {
			return unit{}, err
		}
		if f.container != nil {
			u.room = f.newRoom(f.model, o.AmbientK)
		}
		u.pack.settle(&f.limits, f.cached.dt)
		return u, nil
	}
	f.end(&u)
	u.limit = LimitNone
	return u, nil
}

// Len is the number of units.
func (f *Fleet) Len() int { return len(f.units) }

// ID is the name of unit i.
func (f *Fleet) ID(i int) string { return f.ids[i] }

// Model is the parameter set of all units.
func (f *Fleet) Model() *params.Model { return f.model }

// Now is the instant the fleet stands at.
func (f *Fleet) Now() time.Time { return f.start.Add(f.now) }

// ResponseDelay is how long unit i takes to begin to act on a setpoint.
func (f *Fleet) ResponseDelay(int) time.Duration { return f.pcs.Delay }

// Step moves every unit on to now. An instant that is not later than the last
// changes nothing.
func (f *Fleet) Step(now time.Time) {
	from, to := f.now, now.Sub(f.start)
	if to <= from {
		return
	}
	if f.model.Strings != nil {
		f.stepPacks(from, to)
	} else {
		f.stepLumpedUnits(from, to)
	}
	f.now = to
	for i := range f.seen {
		f.changed(i)
	}
}

// stepLumpedUnits moves the units in equal parts of at most maxStep.
func (f *Fleet) stepLumpedUnits(from, to time.Duration) {
	parts := (to - from + f.maxStep - 1) / f.maxStep
	for n := range parts {
		k := f.tick(from+(to-from)*n/parts, from+(to-from)*(n+1)/parts)
		for i := range f.units {
			f.step(&f.units[i], k)
		}
	}
}

// stepPacks moves units of single cells, cut at the multiples of maxStep. Each unit
// goes all the way while its cells are in the cache; units share nothing, so they
// may go at the same time in any order.
func (f *Fleet) stepPacks(from, to time.Duration) {
	f.ticks = f.ticks[:0]
	for at := from; at < to; {
		end := min(to, (at/f.maxStep+1)*f.maxStep)
		f.ticks = append(f.ticks, *f.tick(at, end))
		at = end
	}
	f.next.Store(0)
	if n := min(f.workers, len(f.units)) - 1; n > 0 {
		f.helped(n)
	} else {
		f.work()
	}
}

// helped is work with n others at it, who have gone when it returns. The runtime uses
// the goroutines of the last step again, so there is none to keep or to close.
func (f *Fleet) helped(n int) {
	f.others.Add(n)
	for range n {
		go f.help()
	}
	f.work()
	f.others.Wait()
}

// work takes units that nobody has taken yet through all ticks.
func (f *Fleet) work() {
	for {
		i := int(f.next.Add(1)) - 1
		if i >= len(f.units) {
			return
		}
		for n := range f.ticks {
			f.step(&f.units[i], &f.ticks[n])
		}
	}
}

// unseen marks a state that must be worked out.
const unseen Mode = 255

// changed forgets what State answered for unit i.
func (f *Fleet) changed(i int) { f.seen[i].Mode = unseen }

// tick prepares a step, anew only where its length has changed.
func (f *Fleet) tick(from, to time.Duration) *tick {
	k := &f.cached
	if dt := (to - from).Seconds(); dt != k.dt {
		k.dt, k.perS = dt, 1/dt
		k.cell = f.kind.Tick(dt)
		k.heat = newHeat(f.capacity, f.toAmbient, dt)
		k.fanless = newHeat(f.capacity, f.toAmbient*f.fanFailure, dt)
		if f.model.Strings != nil {
			k.pack = kernel.NewTick(f.kind, f.capacity, dt)
		}
	}
	k.from, k.to = from, to
	return k
}

// SetPower gives unit i an AC setpoint in W, with the reactive power of the fleet's
// options, accepted at now: it acts after the
// response delay, and at until the unit ramps to zero by itself (never, if until is
// the zero time). More than rated power is taken as asked and delivered as far as
// possible. A unit that is not in mode Run takes no setpoint and reports false.
func (f *Fleet) SetPower(i int, now time.Time, powerW float64, until time.Time) bool {
	return f.SetPQ(i, now, powerW, f.reactive, until)
}

// SetPQ is SetPower with another reactive power in var, above zero absorbed.
func (f *Fleet) SetPQ(i int, now time.Time, powerW, qVar float64, until time.Time) bool {
	u := &f.units[i]
	if u.mode != Run || u.open() || f.off(u) || !finite(powerW) || !finite(qVar) {
		return false
	}
	expiry := pcs.Never
	if !until.IsZero() {
		expiry = until.Sub(f.start)
	}
	f.pcs.AcceptPQ(&u.pcs, max(now.Sub(f.start), f.now), powerW, qVar, expiry)
	return true
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// SetMode puts unit i into a mode. Whatever it is, setpoints given before are gone.
// Run takes back what has tripped, as far as the cause is gone.
func (f *Fleet) SetMode(i int, m Mode) {
	u := &f.units[i]
	u.mode = m
	u.pcs.Cancel()
	if m == Run && u.told == 0 {
		u.tripped = false
	}
	f.switched(i, m == Run)
}

// SetRamp changes how fast the converters of all units move to a setpoint, in W/s
// from now on; 0 gives them back the ramp of the model.
func (f *Fleet) SetRamp(wPerS float64) {
	if wPerS <= 0 {
		wPerS = f.model.PCS.RampPerS * f.model.RatedKW * 1e3
	}
	f.pcs.RampWPerS = wPerS
}

// SetAmbient changes the temperature around all units, in K.
func (f *Fleet) SetAmbient(k float64) { f.ambientK = k }

// State is what can be known of a unit at the end of the last step.
type State struct {
	SoC                 float64 // 0..1
	SoH                 float64 // capacity over rated capacity, at most 1
	Growth              float64 // resistances over those of the unit as it was drawn
	CellV               float64 // V, the representative cell, or the one nearest to its limit
	CellVMin, CellVMax  float64 // V, over all cells
	PackV               float64 // V, at the battery's terminals
	PackI               float64 // A, at the battery's terminals
	DCPowerW            float64 // W
	ACPowerW            float64 // W
	ReactiveVar         float64 // var, above zero absorbed
	MeanACPowerW        float64 // W, over the last step
	TempK               float64 // K, the hottest cell
	TempMinK            float64 // K, the coldest cell
	LoadedK             float64 // K, the hottest cell behind closed contactors when the power of the last step was decided
	Strings             int     // connected, of a unit of single cells
	AirK, CoolantK      float64 // K, in the container; 0 without one
	AuxW                float64 // W, electric, over the last step: cooling, auxiliaries, loss of the transformer
	Hyst                float64 // -1..1
	AvailableChargeW    float64 // W at AC that could be taken now, >= 0
	AvailableDischargeW float64 // W at AC that could be given now, >= 0
	Limit               Limit
	Mode                Mode
}

// State returns the state of unit i.
func (f *Fleet) State(i int) State {
	if f.seen[i].Mode == unseen {
		f.seen[i] = f.state(i)
	}
	return f.seen[i]
}

func (f *Fleet) state(i int) State {
	u := &f.units[i]
	if u.pack != nil {
		s := f.statePack(u)
		s.AvailableChargeW, s.AvailableDischargeW = f.able(u, s.AvailableChargeW, s.AvailableDischargeW)
		return s
	}
	c := u.cell.State()
	v := u.cell.Voltage(u.amps)
	s := State{
		SoC:          c.SoC,
		SoH:          min(u.cell.Scatter().Capacity, 1),
		Growth:       u.drift.Resistance * u.aged.Resistance,
		CellV:        v,
		CellVMin:     v,
		CellVMax:     v,
		PackV:        v * f.series,
		PackI:        u.amps * f.parallel,
		DCPowerW:     u.amps * v * f.cells,
		ACPowerW:     u.ac,
		ReactiveVar:  u.pcs.QVar,
		MeanACPowerW: u.acMean,
		TempK:        c.TempK,
		TempMinK:     c.TempK,
		LoadedK:      u.loaded,
		Hyst:         c.Hyst,
		Limit:        u.limit,
		Mode:         u.mode,
	}
	if u.open() {
		s.Mode = Fault
	}
	charge, discharge := f.available(u)
	s.AvailableChargeW, s.AvailableDischargeW = f.able(u, charge, discharge)
	return s
}

// Energy returns the book of unit i.
func (f *Fleet) Energy(i int) Energy { return f.units[i].book }

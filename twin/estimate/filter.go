package estimate

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"yunchu/twin/cell"
	"yunchu/twin/celltype"
	"yunchu/twin/params"
)

// Filter tracks one cell from its readings. It is not safe for concurrent use.
type Filter struct {
	opt   Options
	par   *params.Cell
	model *cell.Model

	x vector
	p covariance

	elapsed float64 // s
	last    float64 // A, the last current reading
	started bool    // there was a reading
	offset  bool    // the offset is being estimated
	gated   float64 // s for which readings have been beyond the gate

	rest       Rest
	resistance resistance
	capacity   capacity

	// What follows from the length of the last step.
	dt    float64 // s
	tick  cell.Tick
	decay [2]float64 // of the RC pairs

	// What follows from the last temperature.
	tempK   float64
	factors [3]float64 // of the resistances

	at int // span of the tables that held the state of charge
}

// State is all a filter remembers. It is a value: keep it, and SetState carries on
// from it bit for bit.
type State struct {
	X        [order]float64        // state of charge, V1 (V), V2 (V), hysteresis, current offset (A)
	U        [order][order]float64 // covariance U*diag(D)*Uᵀ, the ones on the diagonal of U left out
	D        [order]float64
	ElapsedS float64 // s since the first reading
	LastA    float64 // A, the last current reading
	Started  bool    // there was a reading
	Offset   bool    // the offset is being estimated
	GatedS   float64 // s for which readings have been beyond the gate

	Rest       Rest
	Resistance ResistanceState
	Capacity   CapacityState
}

// Result is what the filter makes of one reading. Sigmas are standard deviations.
type Result struct {
	SoC      float64 // 0..1
	SoCSigma float64

	VoltageV         float64 // V, expected before the reading was seen
	InnovationV      float64 // V, reading less expectation
	InnovationSigmaV float64 // V
	NIS              float64 // (InnovationV/InnovationSigmaV)^2; 1 in the mean if the errors are as large as the options say
	Gated            bool    // the reading was beyond the gate

	CurrentOffsetA      float64 // A, what the current reads too much; 0 until it is estimated
	CurrentOffsetSigmaA float64 // A; 0 until then

	ResistanceFactor      float64 // on all resistances of the cell set (SoH_R)
	ResistanceFactorSigma float64
	CapacityFactor        float64 // on the capacity of the cell set (SoH_Q)
	CapacityFactorSigma   float64
}

// New returns a filter for a cell of the set p.
func New(p *params.Cell, o Options) (*Filter, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("filter: cell set %s: %w", p.Name, err)
	}
	o = o.withDefaults(p.CapacityAh)
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	m, err := celltype.New(p)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	f := &Filter{opt: o, par: p, model: m, tempK: p.TRefK, factors: m.Factors(p.TRefK)}
	f.x[iSoC], f.x[iHyst] = o.SoC, o.Hyst
	f.p = diagonal(vector{iSoC: o.SoCSigma * o.SoCSigma, iHyst: startHystVar})
	f.resistance.ResistanceState = startResistance
	f.capacity.CapacityState = startCapacity
	return f, nil
}

const startHystVar = 0.25

// State returns all the filter remembers.
func (f *Filter) State() State {
	s := State{
		X: f.x, D: f.p.D, ElapsedS: f.elapsed, LastA: f.last, Started: f.started, Offset: f.offset, GatedS: f.gated,
		Rest: f.rest, Resistance: f.resistance.ResistanceState, Capacity: f.capacity.CapacityState,
	}
	for i := range s.U {
		s.U[i] = f.p.U[i]
	}
	return s
}

// SetState puts the filter into state s.
func (f *Filter) SetState(s State) {
	f.x, f.p.D = s.X, s.D
	for i := range s.U {
		f.p.U[i] = s.U[i]
	}
	f.elapsed, f.last, f.started, f.offset, f.gated = s.ElapsedS, s.LastA, s.Started, s.Offset, s.GatedS
	f.rest, f.resistance.ResistanceState, f.capacity.CapacityState = s.Rest, s.Resistance, s.Capacity
}

// Covariance is that of state of charge, V1, V2, hysteresis and current offset.
func (f *Filter) Covariance() *mat.SymDense { return f.p.dense() }

// Step takes in one reading: currentA in A, above 0 on charge, and voltageV in V at the
// terminals, both dtS seconds after the reading before (the first one: any), and the
// temperature of the cell in K. The current is taken to have changed evenly in between.
// Where current or temperature is no number the last one stands in; a voltage that is
// none is not taken in.
func (f *Filter) Step(dtS, currentA, voltageV, tempK float64) Result {
	if !finite(currentA) {
		currentA = f.last
	}
	if finite(tempK) && tempK != f.tempK {
		f.tempK, f.factors = tempK, f.model.Factors(tempK)
	}
	fresh := !f.started
	if fresh {
		dtS = 0
		f.begin(currentA)
	} else if dtS > 0 {
		f.predict(dtS, (f.last+currentA)/2)
	}
	f.started, f.last = true, currentA
	if !finite(voltageV) || !fresh && !(dtS > 0) { // a second reading at one time tells nothing new
		return f.result()
	}
	return f.correct(dtS, fresh, currentA, voltageV)
}

// workedRate is the mean current that may have flowed before the first reading, as a
// share of the current of one hour.
const workedRate = 0.25

// begin allows for RC pairs that are charged already when the first reading comes.
// The current of that moment tells nothing about the slow pair: it is what the mean
// over tens of minutes has made it.
func (f *Filter) begin(reading float64) {
	r := f.resistances()
	worked := workedRate * f.par.CapacityAh
	v1, v2 := r[1]*math.Hypot(reading, worked), r[2]*worked
	f.p.predict(&unchanged, &vector{iV1: v1 * v1, iV2: v2 * v2})
}

// Noise of the step, as variances that grow with what causes them.
const (
	chargeSigma = 0.005 // share of a full charge that counting is wrong by: the gain of the sensor
	branchSigma = 0.1   // of the hysteresis, gathered while it forgets
	creepV2PerS = 1e-8  // V^2/s, of the RC pairs
)

// predict moves the states on by dt seconds with a mean current reading.
func (f *Filter) predict(dt, reading float64) {
	if dt != f.dt {
		f.setStep(dt)
	}
	i := reading - f.x[iOffset]
	c := f.model.Cell(
		cell.State{SoC: f.x[iSoC], V1: f.x[iV1], V2: f.x[iV2], Hyst: f.x[iHyst], TempK: f.tempK},
		cell.Scatter{Capacity: f.capacity.Factor, Resistance: f.resistance.Factor})
	var flow cell.Flow
	c.StepCurrent(i, f.tempK, &f.tick, &flow)

	r := f.resistances()
	perA, branch := dt/c.Coulombs(), -1.0 // state of charge per ampere
	if i > 0 {
		perA, branch = perA*f.par.CoulombicEfficiency, 1
	}
	moved := perA * math.Abs(i)
	gamma := f.par.Hysteresis.Gamma
	stay := math.Exp(-gamma * moved)
	t := transition{
		keep: vector{iSoC: 1, iV1: f.decay[0], iV2: f.decay[1], iHyst: stay, iOffset: 1},
		offset: vector{
			iSoC: -perA, iV1: -r[1] * (1 - f.decay[0]), iV2: -r[2] * (1 - f.decay[1]),
			iHyst: branch * (f.x[iHyst] - branch) * gamma * perA * stay,
		},
	}
	ripple := perA * f.opt.CurrentSigmaA
	q := vector{
		iSoC:  ripple*ripple/dt + chargeSigma*chargeSigma*moved,
		iV1:   creepV2PerS * dt,
		iV2:   creepV2PerS * dt,
		iHyst: branchSigma * branchSigma * (1 - stay*stay),
	}
	if !f.offset { // an offset that is not a state yet: the square of what it has moved grows by this
		d := f.drift()
		q[iSoC] += d * d * (2*f.elapsed + dt) * dt
	}
	if f.elapsed += dt; !f.offset && f.elapsed >= f.opt.OffsetAfterS {
		f.offset = true
		q[iOffset] = f.opt.OffsetSigmaA * f.opt.OffsetSigmaA
	}
	f.p.predict(&t, &q)
	s := c.State()
	f.x[iSoC], f.x[iV1], f.x[iV2], f.x[iHyst] = s.SoC, s.V1, s.V2, s.Hyst
	f.bound()
	f.capacity.count(branch*moved*f.capacity.Factor, dt)
}

// bound keeps the states within what they can be.
func (f *Filter) bound() {
	f.x[iSoC] = min(max(f.x[iSoC], 0), 1)
	f.x[iHyst] = min(max(f.x[iHyst], -1), 1)
}

// setStep prepares steps of dt seconds.
func (f *Filter) setStep(dt float64) {
	tau := f.par.Resistance.Tau
	f.dt, f.tick = dt, f.model.Tick(dt)
	f.decay = [2]float64{math.Exp(-dt / tau.Tau1), math.Exp(-dt / tau.Tau2)}
}

// resistances are those of the ohmic part and the RC pairs in ohm.
func (f *Filter) resistances() (r [3]float64) {
	var s cell.Span
	s, f.at = f.model.Span(f.at, f.x[iSoC])
	whole := f.resistance.Factor * (s.R0 + s.DR*f.x[iSoC])
	split := f.par.Resistance.Frac
	for k, share := range [3]float64{split.R0, split.R1, split.R2} {
		r[k] = whole * share * f.factors[k]
	}
	return r
}

// correct takes in the reading.
func (f *Filter) correct(dt float64, fresh bool, reading, v float64) Result {
	m := f.measure(fresh, reading-f.x[iOffset], v)
	proj, variance := f.p.project(&m.h)
	noise := f.opt.SensorSigmaV*f.opt.SensorSigmaV + m.bend
	e, s := v-m.v, variance+noise+m.model
	nis, gated := e*e/s, false
	if fresh {
		noise += m.model
	} else {
		noise += m.model * max(1, 2*f.opt.ModelTauS/dt)
	}
	if more := f.beyond(nis, variance+noise); more > 0 {
		gated = true
		noise += more
	}
	gain := f.p.update(&proj, noise)
	rest := e
	for k := range f.x {
		f.x[k] += gain[k] * e
		rest -= m.h[k] * gain[k] * e
	}
	f.bound()
	f.relax(dt, reading-f.x[iOffset], v)
	f.release(gated, dt)
	f.identify(&m, gated, reading-f.x[iOffset], e, rest)

	out := f.result()
	out.VoltageV, out.InnovationV, out.InnovationSigmaV, out.NIS, out.Gated = m.v, e, math.Sqrt(s), nis, gated
	return out
}

// beyond is what makes an innovation, expected with variance s and of normalised square
// nis, just as unlikely as the gate if it is more unlikely than that.
func (f *Filter) beyond(nis, s float64) float64 {
	return s * max(0, nis/(f.opt.GateSigma*f.opt.GateSigma)-1)
}

// result is what is known without the reading.
func (f *Filter) result() Result {
	return Result{
		SoC: f.x[iSoC], SoCSigma: math.Sqrt(f.p.variance(iSoC)),
		CurrentOffsetA: f.x[iOffset], CurrentOffsetSigmaA: math.Sqrt(f.p.variance(iOffset)),
		ResistanceFactor: f.resistance.Factor, ResistanceFactorSigma: f.resistance.sigma(),
		CapacityFactor: f.capacity.Factor, CapacityFactorSigma: f.capacity.sigma(),
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// releaseS is how long readings may be beyond the gate before the state of charge is
// no longer believed.
const releaseS = 600.0

// release gives the state of charge back the variance it started with once readings
// have been beyond the gate for releaseS.
func (f *Filter) release(gated bool, dt float64) {
	if !gated {
		f.gated = 0
		return
	}
	if f.gated += dt; f.gated < releaseS {
		return
	}
	f.gated = 0
	f.p.predict(&unchanged, &vector{iSoC: f.opt.SoCSigma * f.opt.SoCSigma})
}

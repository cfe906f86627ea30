package estimate

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"yunchu/twin/cell"
	"yunchu/twin/params"
)

// Options are what the filter is told besides the cell. Zero stands for the default
// of every field but SoC and Hyst.
type Options struct {
	SoC  float64 // 0..1, believed at the start
	Hyst float64 // -1..1, likewise

	SoCSigma      float64 // of SoC; default 0.2
	SensorSigmaV  float64 // V, white noise of the voltage reading; default 0.002
	ModelSigmaV   float64 // V, what the cell file is wrong by, slowly changing; default 0.006
	ResSigma      float64
	TableSigma    float64
	ModelTauS     float64 // s, how slowly; default 1800
	CurrentSigmaA float64 // A, white noise of the current at 1 s steps; default 0.01 of the current of one hour
	OffsetSigmaA  float64 // A, expected size of a current offset; default 0.01 of the current of one hour
	OffsetAfterS  float64 // s until the offset is estimated; default 3600
	GateSigma     float64 // innovations are taken for no more than so many sigma; default 4

	FixedResistance bool // do not identify ResistanceFactor
	FixedCapacity   bool // do not identify CapacityFactor
}

func (o Options) withDefaults(capacityAh float64) Options {
	o.SoCSigma = cmp.Or(o.SoCSigma, 0.2)
	o.SensorSigmaV = cmp.Or(o.SensorSigmaV, 0.002)
	o.ModelSigmaV = cmp.Or(o.ModelSigmaV, 0.006)
	o.ResSigma = cmp.Or(o.ResSigma, 0.1)
	o.TableSigma = cmp.Or(o.TableSigma, 0.01)
	o.ModelTauS = cmp.Or(o.ModelTauS, 1800)
	o.CurrentSigmaA = cmp.Or(o.CurrentSigmaA, 0.01*capacityAh)
	o.OffsetSigmaA = cmp.Or(o.OffsetSigmaA, 0.01*capacityAh)
	o.OffsetAfterS = cmp.Or(o.OffsetAfterS, 3600)
	o.GateSigma = cmp.Or(o.GateSigma, 4)
	return o
}

func (o Options) check() error {
	var errs []error
	if !(o.SoC >= 0 && o.SoC <= 1) {
		errs = append(errs, fmt.Errorf("soc %g is not within 0..1", o.SoC))
	}
	if !(o.Hyst >= -1 && o.Hyst <= 1) {
		errs = append(errs, fmt.Errorf("hysteresis %g is not within -1..1", o.Hyst))
	}
	for _, v := range []struct {
		name  string
		value float64
	}{
		{"sigma of soc", o.SoCSigma}, {"sigma of the voltage reading", o.SensorSigmaV}, {"sigma of the model", o.ModelSigmaV},
		{"time constant of the model error", o.ModelTauS}, {"sigma of the current", o.CurrentSigmaA},
		{"sigma of the offset", o.OffsetSigmaA}, {"time until the offset is estimated", o.OffsetAfterS}, {"gate", o.GateSigma},
	} {
		if !(v.value > 0) || math.IsInf(v.value, 0) {
			errs = append(errs, fmt.Errorf("%s %g is not above 0", v.name, v.value))
		}
	}
	return errors.Join(errs...)
}

// State is all a filter remembers: save it, and SetState carries on bit for bit.
type State struct {
	X          [order]float64 // SoC, V1 (V), V2 (V), hysteresis, current offset (A)
	U          [order][order]float64
	D          [order]float64 // P = U*diag(D)*Uᵀ, the ones on U's diagonal left out
	ElapsedS   float64        // s since the start
	LastA      float64        // A, the last current reading
	Started    bool           // there was a reading
	Offset     bool           // the offset is being estimated
	Resistance ResistanceState
	Capacity   CapacityState
}

// Result is what the filter makes of one reading.
type Result struct {
	SoC      float64 // 0..1
	SoCSigma float64

	VoltageV         float64 // V, predicted before the reading was seen
	InnovationV      float64 // V, reading less prediction
	InnovationSigmaV float64 // V, expected size of it
	NIS              float64 // (InnovationV/InnovationSigmaV)^2: 1 in the mean for a filter that knows its errors
	Gated            bool    // the reading was taken for less than it says

	CurrentOffsetA      float64 // A, to be taken off the reading; 0 until it is estimated
	CurrentOffsetSigmaA float64 // A

	ResistanceFactor      float64 // on all resistances of the cell file: SoH_R
	ResistanceFactorSigma float64
	CapacityFactor        float64 // on the capacity of the cell file: SoH_Q
	CapacityFactorSigma   float64
}

// Filter tracks one cell from its readings. It is not safe for concurrent use.
type Filter struct {
	opt   Options
	model *cell.Model
	par   *params.Cell

	x vector
	p covariance

	elapsed float64 // s
	last    float64 // A
	started bool
	offset  bool

	res resistanceEstimator
	cap capacityEstimator

	tick  cell.Tick // coefficients of the last step length
	dt    float64   // s, that length
	decay [2]float64
}

// New returns a filter for the cell type p.
func New(p *params.Cell, o Options) (*Filter, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("filter: cell set %s: %w", p.Name, err)
	}
	o = o.withDefaults(p.CapacityAh)
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	m, err := newModel(p)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	f := &Filter{opt: o, model: m, par: p}
	f.x[iSoC], f.x[iHyst] = o.SoC, o.Hyst
	f.p = diagonal(vector{
		iSoC: o.SoCSigma * o.SoCSigma, iHyst: 0.25,
	})
	f.res.init()
	f.cap.init()
	return f, nil
}

// State returns all the filter remembers.
func (f *Filter) State() State {
	s := State{X: f.x, D: f.p.D, ElapsedS: f.elapsed, LastA: f.last, Started: f.started, Offset: f.offset,
		Resistance: f.res.ResistanceState, Capacity: f.cap.CapacityState}
	for i := range s.U {
		s.U[i] = f.p.U[i]
	}
	return s
}

// SetState puts the filter into state s.
func (f *Filter) SetState(s State) {
	f.x, f.p.D, f.elapsed, f.last, f.started, f.offset = s.X, s.D, s.ElapsedS, s.LastA, s.Started, s.Offset
	for i := range s.U {
		f.p.U[i] = s.U[i]
	}
	f.res.ResistanceState, f.cap.CapacityState = s.Resistance, s.Capacity
}

// Covariance is that of [SoC, V1, V2, hysteresis, current offset].
func (f *Filter) Covariance() *mat.SymDense {
	p := mat.NewSymDense(order, nil)
	for k := range order {
		col := make([]float64, order)
		col[k] = 1
		for i := range k {
			col[i] = f.p.U[i][k]
		}
		p.SymRankOne(p, f.p.D[k], mat.NewVecDense(order, col))
	}
	return p
}

// Step takes in one reading, dtS seconds after the last one (any, for the first):
// currentA in A, above 0 on charge, and voltageV in V at the terminals, both at the
// end of the step; tempK in K. The current is taken to have changed evenly since
// the last reading.
func (f *Filter) Step(dtS, currentA, voltageV, tempK float64) Result {
	if f.started && dtS > 0 {
		f.predict(dtS, (f.last+currentA)/2, tempK)
	}
	f.started, f.last = true, currentA
	return f.correct(dtS, currentA, voltageV, tempK)
}

// predict moves the states on by dt seconds with a mean reading of current.
func (f *Filter) predict(dt, reading, tempK float64) {
	if f.dt != dt {
		f.setStep(dt)
	}
	i := reading - f.x[iOffset]
	c := f.cell(tempK)
	var flow cell.Flow
	c.StepCurrent(i, tempK, &f.tick, &flow)
	s := c.State()

	span, _ := f.model.Span(0, f.x[iSoC])
	r := f.resistances(span, f.x[iSoC], tempK)
	perA := dt / c.Coulombs()
	branch := -1.0
	if i > 0 {
		perA *= f.par.CoulombicEfficiency
		branch = 1
	}
	gamma := f.par.Hysteresis.Gamma
	stay := math.Exp(-gamma * perA * math.Abs(i))
	t := transition{
		keep: vector{1, f.decay[0], f.decay[1], stay, 1},
		offset: vector{
			iSoC: -perA, iV1: -r[1] * (1 - f.decay[0]), iV2: -r[2] * (1 - f.decay[1]),
			iHyst: (f.x[iHyst] - branch) * gamma * perA * branch * stay,
		},
	}
	noiseA := f.opt.CurrentSigmaA * f.opt.CurrentSigmaA / dt // variance of a mean over dt
	q := vector{
		iSoC:  perA * perA * noiseA,
		iV1:   1e-8 * dt / 1,
		iV2:   1e-9 * dt,
		iHyst: 0.01 * (1 - stay*stay),
	}
	if f.elapsed += dt; !f.offset && f.elapsed >= f.opt.OffsetAfterS {
		f.offset = true
		q[iOffset] = f.opt.OffsetSigmaA * f.opt.OffsetSigmaA
	}
	f.p.predict(&t, &q)
	f.x[iSoC], f.x[iV1], f.x[iV2], f.x[iHyst] = s.SoC, s.V1, s.V2, s.Hyst
	f.cap.count(i * dt * f.efficiency(i))
}

func (f *Filter) efficiency(i float64) float64 {
	if i > 0 {
		return f.par.CoulombicEfficiency
	}
	return 1
}

// setStep prepares steps of dt seconds.
func (f *Filter) setStep(dt float64) {
	f.dt, f.tick = dt, f.model.Tick(dt)
	tau := f.par.Resistance.Tau
	f.decay = [2]float64{math.Exp(-dt / tau.Tau1), math.Exp(-dt / tau.Tau2)}
}

// cell is the cell as the filter believes it to be.
func (f *Filter) cell(tempK float64) cell.Cell {
	return f.model.Cell(
		cell.State{SoC: f.x[iSoC], V1: f.x[iV1], V2: f.x[iV2], Hyst: f.x[iHyst], TempK: tempK},
		cell.Scatter{Capacity: f.cap.Factor, Resistance: f.res.Factor})
}

// resistances are those of the ohmic part and the RC pairs in ohm.
func (f *Filter) resistances(s cell.Span, z, tempK float64) (r [3]float64) {
	total := f.res.Factor * (s.R0 + s.DR*z)
	a := f.model.Factors(tempK)
	frac := f.par.Resistance.Frac
	return [3]float64{total * frac.R0 * a[0], total * frac.R1 * a[1], total * frac.R2 * a[2]}
}

// correct takes in the reading.
func (f *Filter) correct(dt, reading, v, tempK float64) Result {
	i := reading - f.x[iOffset]
	m := f.linearise(i, tempK)
	proj, variance := f.p.project(&m.h)
	sensor := f.opt.SensorSigmaV * f.opt.SensorSigmaV
	s := variance + sensor + m.residual + m.model
	r := sensor + m.residual + m.model*max(1, 2*f.opt.ModelTauS/dt)
	e := v - m.v
	out := Result{
		VoltageV: m.v, InnovationV: e, InnovationSigmaV: math.Sqrt(s), NIS: e * e / s,
	}
	if g := f.opt.GateSigma * f.opt.GateSigma; out.NIS > g { // Huber: the noise that makes it just so unlikely
		out.Gated = true
		r += (variance + r) * (out.NIS/g - 1)
	}
	gain := f.p.update(&proj, r)
	for k := range f.x {
		f.x[k] += gain[k] * e
	}
	f.x[iSoC] = min(max(f.x[iSoC], 0), 1)
	f.x[iHyst] = min(max(f.x[iHyst], -1), 1)
	f.identify(&out, m.h[iSoC], e, reading-f.x[iOffset], v, tempK)

	out.SoC, out.SoCSigma = f.x[iSoC], math.Sqrt(f.p.variance(iSoC))
	out.CurrentOffsetA, out.CurrentOffsetSigmaA = f.x[iOffset], math.Sqrt(f.p.variance(iOffset))
	out.ResistanceFactor, out.ResistanceFactorSigma = f.res.Factor, f.res.sigma()
	out.CapacityFactor, out.CapacityFactorSigma = f.cap.Factor, f.cap.sigma()
	return out
}

// measurement is the voltage as a line in the states.
type measurement struct {
	v        float64 // V, mean
	h        vector  // sensitivity to each state
	model    float64
	residual float64 // V^2, variance of what the line leaves out
}

// hermite are nodes and weights of the five-point Gauss–Hermite rule for a standard
// normal variable.
var hermite = [5]struct{ x, w float64 }{
	{-2.8569700138728056, 0.011257411327720691}, {-1.3556261799742659, 0.22207592200561266},
	{0, 0.53333333333333333},
	{1.3556261799742659, 0.22207592200561266}, {2.8569700138728056, 0.011257411327720691},
}

// linearise is the voltage as the line in the states that fits best over the spread
// of the state of charge (statistical linear regression): the only state it is not
// linear in anyway.
func (f *Filter) linearise(i, tempK float64) measurement {
	z, sigma := f.x[iSoC], math.Sqrt(f.p.variance(iSoC))
	theta := tempK - f.par.TRefK
	frac0 := f.res.Factor * f.par.Resistance.Frac.R0 * f.model.Factors(tempK)[0]
	var sum, sumX, sumXX float64 // of the part that depends on z
	var gap, r0 float64
	hint := 0
	for _, n := range hermite {
		at := min(max(z+sigma*n.x, 0), 1)
		var s cell.Span
		s, hint = f.model.Span(hint, at)
		m, r := s.M0+s.DM*at, frac0*(s.R0+s.DR*at)
		u := s.U0 + s.DU*at + theta*(s.E0+s.DE*at) + f.x[iHyst]*m
		sum += n.w * u
		sumX += n.w * n.x * u
		sumXX += n.w * u * u
		gap += n.w * m
		r0 += n.w * r
	}
	var out measurement
	if sigma > 0 {
		out.h[iSoC] = sumX / sigma
	}
	slope := out.h[iSoC] * f.opt.TableSigma
	over := f.opt.ResSigma * r0 * i
	out.model = f.opt.ModelSigmaV*f.opt.ModelSigmaV + slope*slope + over*over
	out.v = sum + r0*i + f.x[iV1] + f.x[iV2]
	out.h[iV1], out.h[iV2], out.h[iHyst], out.h[iOffset] = 1, 1, gap, -r0
	out.residual = max(0, sumXX-sum*sum-sumX*sumX)
	return out
}

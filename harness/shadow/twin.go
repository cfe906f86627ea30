//go:build !nosim

package shadow

import (
	"fmt"
	"math"

	"yunchu/twin/cell"
	"yunchu/twin/celltype"
	"yunchu/twin/params"
	"yunchu/twin/pcs"
	"yunchu/twin/thermal"
)

const kelvin = 273.15

// Kind is what all shadows of one model share.
type Kind struct {
	model    *params.Model
	cells    *cell.Model
	pcs      pcs.Params
	series   float64
	parallel float64
	heat     float64 // J/K per cell
	loss     float64 // W/K per cell, to air and coolant
	cooled   bool    // by something that has a temperature of its own
	slopes   [slopes + 1]float64
}

// slopes is how many spans the table of OCV slopes has.
const slopes = 100

// NewKind readies a model, with its cell, to be shadowed.
func NewKind(m *params.Model) (*Kind, error) {
	if m == nil || m.Cell == nil {
		return nil, fmt.Errorf("shadow: no model, or a model without its cell")
	}
	c, err := celltype.New(m.Cell)
	if err != nil {
		return nil, fmt.Errorf("shadow of %s: %w", m.Name, err)
	}
	k := &Kind{
		model: m, cells: c,
		pcs: pcs.Params{
			RatedW: m.RatedKW * 1e3, Charge: pcs.Loss(m.PCS.Charge), Discharge: pcs.Loss(m.PCS.Discharge), StandbyW: m.PCS.StandbyW,
		},
		series: float64(m.Series), parallel: float64(m.Parallel),
		heat: m.Cell.Thermal.HeatCapacity(), loss: m.Heat.EnvWPerK,
	}
	if s := m.Strings; s != nil {
		k.cooled = true
		for n := range s.Module {
			if s.Coolant(n, s.Module) {
				k.loss += s.ColdWPerK / float64(s.Module)
			}
		}
	}
	ocv := func(soc float64) float64 {
		x := c.Cell(cell.State{SoC: min(max(soc, 0), 1), TempK: m.Cell.TRefK}, cell.Nominal)
		return x.OCV()
	}
	for i := range k.slopes {
		z := float64(i) / slopes
		lo, hi := max(z-0.01, 0), min(z+0.01, 1)
		k.slopes[i] = (ocv(hi) - ocv(lo)) / (hi - lo)
	}
	return k, nil
}

// slope is how the open-circuit voltage rises around soc, V per unit of soc.
func (k *Kind) slope(soc float64) float64 {
	return math.Abs(k.slopes[int(min(max(soc, 0), 1)*slopes+0.5)])
}

// ratedA is the current of the pack at rated power, A.
func (k *Kind) ratedA() float64 {
	c := k.model.Cell
	return k.pcs.RatedW / (k.series * (c.VMin + c.VMax) / 2)
}

// coulombs is the capacity of a cell, A*s.
func (k *Kind) coulombs() float64 { return 3600 * k.model.Cell.CapacityAh }

// twin is the representative cell that goes along, and its heat.
type twin struct {
	*Kind
	cell cell.Cell
	hotK float64 // K, what the heat balance makes of the temperature
	airK float64 // K, of the surroundings

	moved float64 // charge in the last step, share of capacity

	// Between two readings the current has been anything between them: what that may
	// have made of the voltage behind the first RC pair, V^2, and of moved.
	unsure      float64
	unsureMoved float64

	tick cell.Tick
	node thermal.Step
	dt   float64 // s, of tick and node
}

// maxStep is the longest step taken at once, s.
const maxStep = 30.0

// begin puts the twin at a state of charge and temperature, at rest.
func (t *twin) begin(soc, tempK float64) {
	t.cell = t.cells.Cell(cell.State{SoC: min(max(soc, 0), 1), TempK: tempK}, cell.Nominal)
	t.hotK = tempK
}

// step lets amps flow through each cell for dt seconds at tempK. The current may have
// been anything within half around amps: a third of that is taken for the standard
// deviation of its mean.
func (t *twin) step(dt, amps, half, tempK float64) {
	from, sigma := t.cell.SoC(), half/3
	r := &t.model.Cell.Resistance
	kept := math.Exp(-dt / r.Tau.Tau1)
	t.unsure = kept*kept*t.unsure + sq(r.Frac.R1/r.Frac.R0*t.ohmic()*(1-kept)*sigma)
	t.unsureMoved = sigma * dt / t.coulombs()
	n := math.Ceil(dt / maxStep)
	if h := dt / n; h != t.dt {
		t.dt = h
		t.tick = t.cells.Tick(h)
		t.node = thermal.NewStep(t.heat, t.loss, h)
	}
	var flow cell.Flow
	for range int(n) {
		t.cell.StepCurrent(amps, tempK, &t.tick, &flow)
		t.cell.SetTemp(tempK)
		t.hotK = t.node.Next(t.hotK, t.airK, flow.HeatW)
	}
	t.moved = t.cell.SoC() - from
}

// anchor draws the twin towards the reported state of charge, by share of the way.
func (t *twin) anchor(soc, share float64) {
	s := t.cell.State()
	s.SoC += share * (soc - s.SoC)
	t.cell.SetState(s)
}

// ohmic is the ohmic resistance of a cell now, ohm.
func (t *twin) ohmic() float64 { return t.cell.Voltage(1) - t.cell.Voltage(0) }

// over is the overpotential while amps flow, V, and the part of it that comes within
// a minute: ohmic and of the first RC pair.
func (t *twin) over(amps float64) (all, quick float64) {
	s := t.cell.State()
	quick = t.ohmic()*amps + s.V1
	return quick + s.V2, quick
}

// directA is the current of the pack that acKW at the AC terminals makes, A, while the
// cells stand at the voltage of amps.
func (t *twin) directA(acKW, amps float64) float64 {
	return t.pcs.DC(acKW*1e3) / (t.series * t.cell.Voltage(amps))
}

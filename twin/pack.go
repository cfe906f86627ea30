package twin

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"

	"yunchu/twin/bms"
	"yunchu/twin/cell"
	"yunchu/twin/kernel"
	"yunchu/twin/params"
)

// pack is the battery of one unit cell by cell: strings of cells in series, in
// parallel on one bus, each behind its wires and its contactor. String s is lane
// s%8 of block s/8; what is left of the last block rests.
//
// Over one step every string is a line, v = A + (B + wire)*i, so the strings share
// the power of the bus by the sum of their conductances, without iteration
// (reference: Thevenin equivalent of sources in parallel).
type pack struct {
	set    *params.Strings
	blocks []*kernel.Block
	string []strand
	shorts []short
	hots   []hot
	marks  []mark  // by cell, nil while there are neither shorts nor hot cells
	eta    float64 // charge stored per charge taken in
	look   scratch
	linkV  float64 // V of the link behind the contactors
	least  int     // strings, fewer connected take no power
	unit   bms.UnitState
	fresh  [32]bms.Event
	events []Event // that nobody has taken
	missed int     // events for which there was no room

	racks    []bms.Rack // what the management of the unit sees of its strings
	commands []bms.Command

	length int     // cells in a string
	dt     float64 // s, of the steps

	busV, busA float64 // V and A into the bus, means over the last step
	loadedK    float64 // K, hottest cell behind closed contactors as the last step began
	lo, hi     float64 // W, range of the bus that the limits leave for the next step
	byLo, byHi Limit   // the limits that make them

	toAirJ, toCoolantJ float64 // J, heat given away in the last step
}

// strand is one string of a pack.
type strand struct {
	amps   float64 // A, in the last step
	expect float64 // A, with which the next step is predicted
	soc    float64 // mean over its cells
	perA   float64 // 1/(A*s), mean over its cells: what one ampere adds to soc in a second
	open   bool    // its contactor
	aged   cell.Scatter
	reach  reach

	level               levelling
	bms                 bms.State
	chargeA, dischargeA float64 // A, both >= 0: what the management announces
	chargeBy, disBy     Limit   // what keeps them from the rating
	off                 Misreading
}

// reach is how far the current of a string may go in the next step.
type reach struct {
	lo, hi     float64 // A
	byLo, byHi Limit
}

// newPack draws the cells of unit id about the charge and the scatter of the unit.
// What is drawn depends on the seed, the id and the place of the cell alone.
func (f *Fleet) newPack(id string, o Options, soc float64, unit cell.Scatter) (*pack, error) {
	m := f.model
	p := &pack{set: m.Strings, string: make([]strand, m.Parallel), length: m.Series, dt: f.cached.dt, eta: f.kind.Constants().Efficiency}
	for range (m.Parallel + kernel.Lanes - 1) / kernel.Lanes {
		b, err := kernel.NewBlock(f.kind, f.places, &f.cached.pack)
		if err != nil {
			return nil, err
		}
		p.blocks = append(p.blocks, b)
	}
	if f.level != nil {
		p.look = scratch{make([]float64, m.Series), make([]float64, m.Series)}
	}
	if f.bms != nil {
		p.least, p.unit.Wanted = m.BMS.Unit.MinRacks, true
		p.racks, p.commands = make([]bms.Rack, m.Parallel), make([]bms.Command, m.Parallel)
	}
	h := fnv.New64a()
	h.Write([]byte(id))
	h.Write([]byte("/cells"))
	rng := rand.New(rand.NewPCG(o.Seed, h.Sum64()))
	draw := func(spreadPercent float64) float64 {
		return min(max(rng.NormFloat64(), -4), 4) * spreadPercent / 100
	}
	spread, window := m.Strings.Spread, f.limits.soc
	for s := range p.string {
		b, l := p.at(s)
		for n := range p.length {
			b.SetCell(n, l, kernel.Cell{
				Scatter: cell.Scatter{
					Capacity:   unit.Capacity * (1 + draw(spread.Capacity)),
					Resistance: unit.Resistance * (1 + draw(spread.Resistance)),
				},
				State: cell.State{SoC: min(max(soc+draw(spread.SoC), window.Min), window.Max), TempK: o.AmbientK},
			})
		}
		x := &p.string[s]
		x.aged = cell.Nominal
		x.chargeA, x.dischargeA = m.Strings.MaxCurrent.Charge, m.Strings.MaxCurrent.Discharge
		x.chargeBy, x.disBy = LimitCurrent, LimitCurrent
		if f.bms != nil {
			x.bms = connected(f.bms)
		}
		if f.level != nil {
			x.level.on = make([]bool, m.Series)
		}
		p.string[s].measure(b, l)
	}
	p.surround(o.AmbientK, o.AmbientK, 1, 1)
	return p, nil
}

// places is how the cells of a string of m lose heat.
func places(m *params.Model) []kernel.Place {
	s := m.Strings
	out := make([]kernel.Place, m.Series)
	for n := range out {
		in := n % s.Module
		out[n].Air = m.Heat.EnvWPerK
		if in < s.Module-1 {
			out[n].Next = s.NextWPerK
		}
		if s.Coolant(in, s.Module) {
			out[n].Coolant = s.ColdWPerK
		}
	}
	return out
}

// at is the block and the lane of string s.
func (p *pack) at(s int) (*kernel.Block, int) {
	return p.blocks[s/kernel.Lanes], s % kernel.Lanes
}

// measure works out the means over the cells of a string anew.
func (s *strand) measure(b *kernel.Block, l int) {
	s.soc, s.perA = 0, 0
	n := float64(b.Len())
	for k := range b.Len() {
		x := b.Slot(k)
		s.soc += x.Z[l] / n
		s.perA += x.InvQ[l] / n
	}
}

// predict freezes the next step with the currents expected.
func (p *pack) predict() {
	for n, b := range p.blocks {
		row := p.row(n, func(s *strand) float64 { return s.expect })
		b.Predict(&row)
	}
}

// row gathers one number of the strings of block n.
func (p *pack) row(n int, of func(*strand) float64) (r kernel.Row) {
	for l := range r {
		if s := n*kernel.Lanes + l; s < len(p.string) {
			r[l] = of(&p.string[s])
		}
	}
	return r
}

// line is the bus voltage of string s over the predicted step as e + r*i.
func (p *pack) line(s int) (e, r float64) {
	b, l := p.at(s)
	return b.Drive.A[l], b.Drive.B[l] + p.set.WireOhm
}

// source is the pack at its bus over the predicted step: a voltage behind a
// resistance. With all contactors open that is nothing behind an infinite one.
func (p *pack) source() (e, r float64) {
	var sum, g float64
	for s := range p.string {
		if p.string[s].open {
			continue
		}
		es, rs := p.line(s)
		sum += es / rs
		g += 1 / rs
	}
	if g == 0 {
		return 0, math.Inf(1)
	}
	return sum / g, 1 / g
}

// open opens the contactors of all strings, or closes them.
func (p *pack) open(open bool) {
	for s := range p.string {
		p.string[s].open = open
	}
}

// connected is the number of strings whose contactors are closed.
func (p *pack) connected() (n int) {
	for s := range p.string {
		if !p.string[s].open {
			n++
		}
	}
	return n
}

// share puts the currents of the strings at bus voltage v into amps and returns
// their sum.
func (p *pack) share(v float64) (sum float64) {
	for s := range p.string {
		x := &p.string[s]
		x.amps = 0
		if !x.open {
			e, r := p.line(s)
			x.amps = (v - e) / r
			sum += x.amps
		}
	}
	return sum
}

// bus is the bus voltage in V at which the pack takes w watt over the predicted
// step. ok is false where it cannot give that much: then it gives the most.
func (p *pack) bus(w float64) (v float64, ok bool) {
	e, r := p.source()
	if math.IsInf(r, 1) {
		return 0, w == 0
	}
	i, ok := root(e, r, w)
	return e + r*i, ok
}

// root solves i*(e + r*i) = w for the current that is 0 with w. Where there is none
// it gives the current of the most there is, -e/(2r).
func root(e, r, w float64) (i float64, ok bool) {
	d := e*e + 4*r*w
	if d <= 0 {
		return -e / (2 * r), false
	}
	return 2 * w / (e + math.Sqrt(d)), true
}

// again is the change of current, as a share of the largest one, after which a step
// is predicted anew: below it, what the middle of the step is off by is of second
// order in the step.
const again = 1e-3

// load is what a pack moved in one step, in W.
type load struct {
	bus, stored, heat, entropic float64
}

// step moves w watt into the bus for one step, or as much of it as the limits allow,
// and says what bound. The step has been predicted.
func (p *pack) step(w, dt float64) (l load, bound Limit) {
	switch {
	case w > p.hi:
		w, bound = p.hi, p.byHi
	case w < p.lo:
		w, bound = p.lo, p.byLo
	}
	var ok bool
	p.busV, ok = p.bus(w)
	p.busA = p.share(p.busV)
	if p.jumped() {
		for s := range p.string {
			p.string[s].expect = p.string[s].amps
		}
		p.predict()
		p.busV, ok = p.bus(w)
		p.busA = p.share(p.busV)
	}
	p.toAirJ, p.toCoolantJ = 0, 0
	for n, b := range p.blocks {
		row := p.row(n, func(s *strand) float64 { return s.amps })
		b.Step(&row, &row)
	}
	for s := range p.string {
		x := &p.string[s]
		b, lane := p.at(s)
		d := &b.Drive
		x.expect = x.amps
		x.soc += (p.kept(x.amps)*x.perA - p.bled(s)) * dt
		l.stored += d.Stored[lane]
		l.entropic += d.Entropic[lane]
		l.heat += d.Over[lane] + d.Bled[lane] + p.set.WireOhm*x.amps*x.amps
		p.toAirJ += d.ToAir[lane] * dt
		p.toCoolantJ += d.ToCoolant[lane] * dt
	}
	l.bus = w // which V*A is to rounding
	if !ok {
		l.bus = p.busV * p.busA
	}
	return l, bound
}

// jumped reports whether the currents are far from those expected.
func (p *pack) jumped() bool {
	for s := range p.string {
		x := &p.string[s]
		if math.Abs(x.amps-x.expect) > again*p.set.MaxCurrent.Charge {
			return true
		}
	}
	return false
}

// settle takes the first look at a pack that has not been stepped: voltages at rest,
// and the range they leave for a first step of dt seconds.
func (p *pack) settle(l *limits, dt float64) {
	for s := range p.string {
		p.string[s].amps, p.string[s].expect = 0, 0
	}
	p.predict()
	for s := range p.string {
		b, lane := p.at(s)
		d := &b.Drive
		x := b.Slot(0)
		d.VMin[lane], d.TMin[lane], d.ZMin[lane] = math.Inf(1), x.T[lane], x.Z[lane]
		d.VMax[lane], d.TMax[lane], d.ZMax[lane] = math.Inf(-1), x.T[lane], x.Z[lane]
		for n := range b.Len() {
			x := b.Slot(n)
			v := x.UM[lane] + x.OV[lane]
			d.VMin[lane], d.VMax[lane] = min(d.VMin[lane], v), max(d.VMax[lane], v)
			d.TMin[lane], d.TMax[lane] = min(d.TMin[lane], x.T[lane]), max(d.TMax[lane], x.T[lane])
			d.ZMin[lane], d.ZMax[lane] = min(d.ZMin[lane], x.Z[lane]), max(d.ZMax[lane], x.Z[lane])
		}
	}
	p.busV, _ = p.bus(0)
	p.linkV = p.busV
	p.busA = 0
	p.loadedK = p.extremes(true).tMax
	p.bound(l, dt)
}

// setTick changes the length of the steps.
func (p *pack) setTick(t *kernel.Tick) {
	for _, b := range p.blocks {
		b.SetTick(t)
	}
	p.predict()
}

// surround sets the temperatures around the cells in K and the shares of the heat
// paths that work.
func (p *pack) surround(airK, coolantK, air, coolant float64) {
	for _, b := range p.blocks {
		for l := range kernel.Lanes {
			b.Drive.Air[l], b.Drive.Coolant[l] = airK, coolantK
			b.Drive.AirK[l], b.Drive.CoolantK[l] = air, coolant
		}
	}
}

// extremes are those over all strings, or over the closed ones if there is any.
func (p *pack) extremes(closed bool) (x extremes) {
	closed = closed && slices.ContainsFunc(p.string, func(s strand) bool { return !s.open })
	x = extremes{vMin: math.Inf(1), vMax: math.Inf(-1), tMin: math.Inf(1), tMax: math.Inf(-1), zMin: math.Inf(1), zMax: math.Inf(-1)}
	for s := range p.string {
		if closed && p.string[s].open {
			continue
		}
		y := p.seen(s)
		x.vMin, x.vMax = min(x.vMin, y.vMin), max(x.vMax, y.vMax)
		x.tMin, x.tMax = min(x.tMin, y.tMin), max(x.tMax, y.tMax)
		x.zMin, x.zMax = min(x.zMin, y.zMin), max(x.zMax, y.zMax)
	}
	return x
}

// soc is the mean state of charge over all cells, 0..1.
func (p *pack) soc() (sum float64) {
	for s := range p.string {
		sum += p.string[s].soc
	}
	return sum / float64(len(p.string))
}

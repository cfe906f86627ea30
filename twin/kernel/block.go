package kernel

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"yunchu/twin/cell"
)

// Block is eight strings of cells of one type, stepped together. It is not safe for
// concurrent use; different blocks share nothing that changes.
//
// A step is taken so: Predict with a current near the right one; work out the
// current of every string from Drive.A and Drive.B; Step with it and with the
// current expected for the step after. From then on every Step has predicted the
// next one, and Predict is needed again only after a jump of the input or a change
// of a cell.
type Block struct {
	Drive Drive // the surroundings in, the results out

	model  *cell.Model
	slots  []Slot // one more than the strings are long
	places []Place
	cells  []Spread // by slot
	aged   Factors
	tick   Tick
	kernel Kernel
	list   []Rare // of one call
}

// Spread is what a slot need not hold: how its cells differ from their type.
type Spread struct{ Capacity, Resistance Row }

// Factors is a factor on capacities and one on resistances for each string.
type Factors struct{ Capacity, Resistance Row }

// Cell is one cell of a block, as a value.
type Cell struct {
	cell.State
	cell.Scatter
	BleedA float64 // A past the cell
	HeatW  float64 // W made in it by something else
}

// NewBlock returns strings of len(places) cells of type m, all nominal at half charge
// and 298.15 K, to be stepped by steps of t. Places may be shared by blocks.
func NewBlock(m *cell.Model, places []Place, t *Tick) (*Block, error) {
	if errChosen != nil {
		return nil, errChosen
	}
	if m == nil || len(places) == 0 {
		return nil, errors.New("new block: no cell type or no places")
	}
	if last := places[len(places)-1].Next; last != 0 {
		return nil, fmt.Errorf("new block: the last cell conducts %g W/K to a next one", last)
	}
	b := &Block{
		model: m, slots: make([]Slot, len(places)+1), places: places,
		cells: make([]Spread, len(places)), tick: *t, kernel: chosen,
		list: make([]Rare, min(len(places), maxCall)),
	}
	for l := range Lanes {
		b.aged.Capacity[l], b.aged.Resistance[l] = 1, 1
		b.Drive.AirK[l], b.Drive.CoolantK[l] = 1, 1
		b.Drive.Air[l], b.Drive.Coolant[l] = 298.15, 298.15
		for n := range places {
			b.SetCell(n, l, Cell{State: cell.State{SoC: 0.5, TempK: 298.15}, Scatter: cell.Nominal})
		}
		guard := &b.slots[len(places)]
		guard.T[l], guard.TM[l] = 298.15, 298.15
	}
	return b, nil
}

// Use makes b run on k.
func (b *Block) Use(k Kernel) { b.kernel = k }

// Len is the number of cells in each string.
func (b *Block) Len() int { return len(b.places) }

// SetTick changes the length of the step; Predict must follow.
func (b *Block) SetTick(t *Tick) {
	b.tick = *t
	for n := range b.places {
		s := &b.slots[n]
		for l := range Lanes {
			s.PerA[l] = t.Dt * s.InvQ[l]
		}
	}
}

// Slot returns the cells at place n, to be read.
func (b *Block) Slot(n int) *Slot { return &b.slots[n] }

// Cell returns the cell at place n of string l.
func (b *Block) Cell(n, l int) Cell {
	s, x := &b.slots[n], &b.cells[n]
	return Cell{
		State:   cell.State{SoC: s.Z[l], V1: s.V1[l], V2: s.V2[l], Hyst: s.H[l], TempK: s.T[l]},
		Scatter: cell.Scatter{Capacity: x.Capacity[l], Resistance: x.Resistance[l]},
		BleedA:  s.Bleed[l],
		HeatW:   s.Heat[l],
	}
}

// SetCell puts the cell at place n of string l into a state; Predict must follow.
func (b *Block) SetCell(n, l int, x Cell) {
	s := &b.slots[n]
	b.cells[n].Capacity[l], b.cells[n].Resistance[l] = x.Capacity, x.Resistance
	s.Z[l], s.V1[l], s.V2[l], s.H[l], s.T[l] = x.SoC, x.V1, x.V2, x.Hyst, x.TempK
	s.TM[l] = x.TempK
	b.Drive.Moved = true
	s.Bleed[l], s.Heat[l] = x.BleedA, x.HeatW
	b.setCapacity(n, l)
	b.setSpan(n, l, x.SoC)
	b.setNode(n, l)
}

// SetBleed sets the current in A that flows past the cell at place n of string l and
// the heat in W that is made in it besides; Predict must follow.
func (b *Block) SetBleed(n, l int, a, heatW float64) {
	b.slots[n].Bleed[l], b.slots[n].Heat[l] = a, heatW
}

// Age sets factors on capacity and resistance of all cells of string l; Predict must
// follow. States of charge stay.
func (b *Block) Age(l int, capacity, resistance float64) {
	b.aged.Capacity[l], b.aged.Resistance[l] = capacity, resistance
	for n := range b.places {
		b.setCapacity(n, l)
		b.setNode(n, l)
	}
}

// Coulombs is the capacity in A*s of the cell at place n of string l.
func (b *Block) Coulombs(n, l int) float64 { return 1 / b.slots[n].InvQ[l] }

func (b *Block) setCapacity(n, l int) {
	s := &b.slots[n]
	s.InvQ[l] = 1 / (b.model.Constants().Coulombs * b.cells[n].Capacity[l] * b.aged.Capacity[l])
	s.PerA[l] = b.tick.Dt * s.InvQ[l]
}

// setSpan puts a cell on the piece of the tables that holds z.
func (b *Block) setSpan(n, l int, z float64) {
	s := &b.slots[n]
	x := &b.tick.pieces[b.tick.find(z)]
	s.From[l], s.To[l] = x.from, x.to
	s.U0[l], s.DU[l] = x.u0, x.du
	s.M0[l], s.DM[l] = x.m0, x.dm
	s.E0[l], s.DE[l] = x.e0, x.de
	s.R0[l], s.DR[l] = x.r0, x.dr
}

// setNode takes the Arrhenius factors of a cell at its temperature.
func (b *Block) setNode(n, l int) {
	s := &b.slots[n]
	c := b.model.Constants()
	f := b.model.Factors(s.T[l])
	kr := b.cells[n].Resistance[l] * b.aged.Resistance[l]
	s.T0[l], s.InvT2[l] = s.T[l], 1/(s.T[l]*s.T[l])
	s.G0[l], s.G1[l], s.G2[l] = c.Fraction[0]*kr*f[0], c.Fraction[1]*kr*f[1], c.Fraction[2]*kr*f[2]
}

// Predict freezes the middle of the next step as ip puts it and sets Drive.A and B.
func (b *Block) Predict(ip *Row) {
	d := &b.Drive
	d.Ip, d.A, d.B = *ip, Row{}, Row{}
	if d.Moved {
		b.exchange()
		d.Moved = false
	}
	b.run(len(b.places))
}

// exchange works out the heat to the outside as temperatures are now.
func (b *Block) exchange() {
	d := &b.Drive
	var flow Row
	for n, p := range b.places {
		s, next := &b.slots[n], &b.slots[n+1]
		for l := range Lanes {
			t := s.T[l]
			on := p.Next * (t - next.T[l])
			s.Lost[l] = p.Air*d.AirK[l]*(t-d.Air[l]) + p.Coolant*d.CoolantK[l]*(t-d.Coolant[l]) + on - flow[l]
			flow[l] = on
		}
	}
}

// Step ends the step that was predicted, with the currents i, and predicts the next
// one as ip puts it.
func (b *Block) Step(i, ip *Row) {
	d := &b.Drive
	d.I, d.Ip = *i, *ip
	d.A, d.B, d.Flow = Row{}, Row{}, Row{}
	d.Stored, d.Over, d.Entropic, d.Bled, d.ToAir, d.ToCoolant = Row{}, Row{}, Row{}, Row{}, Row{}, Row{}
	d.VMin, d.TMin, d.ZMin = most, most, most
	d.VMax, d.TMax, d.ZMax = least, least, least
	b.run(0)
}

var most, least = rows(math.Inf(1)), rows(math.Inf(-1))

func rows(x float64) (r Row) {
	for l := range r {
		r[l] = x
	}
	return r
}

// maxCall bounds the slots of one call into assembly, which cannot be preempted:
// at 60 ns a slot it stays within 50 µs.
const maxCall = 512

// run drives the sweep over all slots, with the rare work after each call of it. The
// first slots are at the end of the step already.
func (b *Block) run(corrected int) {
	d := &b.Drive
	for l := range Lanes {
		d.AirT[l], d.CoolantT[l] = d.AirK[l]*d.Air[l], d.CoolantK[l]*d.Coolant[l]
		d.I[l] += 0 // no -0: the sign of a current tells charge from discharge
		d.Ip[l] += 0
	}
	d.Corrected = corrected
	for n := 0; n < len(b.places); n += maxCall {
		found := b.list[:b.kernel.sweep(b.slots, b.places, &b.tick, d, n, min(n+maxCall, len(b.places)), b.list)]
		if len(found) == 0 {
			continue
		}
		for _, r := range found {
			b.replace(r)
		}
		b.kernel.predict(b.slots, &b.tick, d, found)
		for _, r := range found {
			b.bend(r)
		}
	}
}

// Rare is a slot with cells that need rare work.
type Rare struct {
	Slot  int32
	Lanes int32 // which of them, as bits
}

// replace puts cells that are about to leave their piece of the tables on the one that
// they go to, and takes the Arrhenius factors of others anew.
func (b *Block) replace(r Rare) {
	n := int(r.Slot)
	s, k, d := &b.slots[n], &b.tick, &b.Drive
	for m := uint8(r.Lanes); m != 0; m &= m - 1 {
		l := bits.TrailingZeros8(m) & (Lanes - 1)
		z := s.Z[l]
		if zp := k.next(s, d, l); min(z, zp) < s.From[l] || max(z, zp) > s.To[l] {
			b.setSpan(n, l, zp)
		}
		if math.Abs(s.T[l]-s.T0[l]) > k.Stale {
			b.setNode(n, l)
		}
	}
}

// next is the state of charge of lane l of s after the step that is predicted.
func (k *Tick) next(s *Slot, d *Drive, l int) float64 {
	i, perA := d.Ip[l]-s.Bleed[l], s.PerA[l]
	if i >= 0 {
		perA = k.Eta * perA
	}
	return s.Z[l] + mul(i, perA)
}

// bend adds to the predicted voltage of cells that come from another piece of the
// tables what the mean of the open-circuit voltage on their way differs from the line
// of the piece they go to.
func (b *Block) bend(r Rare) {
	n := int(r.Slot)
	s := &b.slots[n]
	for m := uint8(r.Lanes); m != 0; m &= m - 1 {
		l := bits.TrailingZeros8(m) & (Lanes - 1)
		if z := s.Z[l]; z < s.From[l] || z > s.To[l] {
			u := b.kink(s, l, z, b.tick.next(s, &b.Drive, l))
			s.UM[l] += u
			b.Drive.A[l] += u
		}
	}
}

// kink is what the mean of the open-circuit voltage on the way from z to zp differs,
// in V, from the line of the piece of lane l, which zp is on: from a neighbouring
// piece two lines that meet at the kink, from farther away the integral of the tables.
func (b *Block) kink(s *Slot, l int, z, zp float64) float64 {
	at := b.tick.find(zp)
	x, t := &b.tick.pieces[at], s.T[l]
	if z < x.from {
		y := &b.tick.pieces[at-1]
		if z >= y.from {
			f := x.from - z
			return ((x.du - y.du) + t*(x.de-y.de)) * (f * f) / (zp - z)
		}
	} else {
		y := &b.tick.pieces[at+1]
		if z <= y.to {
			f := z - x.to
			return ((y.du - x.du) + t*(y.de-x.de)) * (f * f) / (z - zp)
		}
	}
	u, e := b.model.MeanOCV(z, zp)
	line := (s.U0[l] + s.DU[l]*(z+zp)) + t*(s.E0[l]+s.DE[l]*(z+zp))
	return u + (t-b.model.Constants().TRefK)*e - line
}

package twin

import (
	"fmt"
	"slices"

	"yunchu/twin/bms"
	"yunchu/twin/cell"
	"yunchu/twin/kernel"
)

// PackCheckpoint is all a battery of single cells remembers.
type PackCheckpoint struct {
	Blocks     []kernel.Checkpoint
	Strings    []StringCheckpoint
	Shorts     []ShortCheckpoint
	Hots       []HotCheckpoint
	StepS      float64
	BusV, BusA float64
	LoadedK    float64
	LinkV      float64
	Unit       bms.UnitState
	Events     []Event // that nobody has taken
	Missed     int
	LoW, HiW   float64
	ByLo, ByHi Limit
}

// StringCheckpoint is all a string remembers beside its cells.
type StringCheckpoint struct {
	AmpsA, ExpectA float64
	SoC, PerA      float64
	Aged           cell.Scatter
	Open           bool
	BMS            bms.State
	Balance        BalanceCheckpoint

	ChargeA, DischargeA float64
	ChargeBy, DisBy     Limit
	Off                 Misreading
}

// stepS is the length of the steps, 1 s where there is no checkpoint.
func (c *PackCheckpoint) stepS() float64 {
	if c == nil {
		return 1
	}
	return c.StepS
}

// ShortCheckpoint is an internal short of one cell.
type ShortCheckpoint struct {
	String, Place int
	Ohm           float64
	Kept          float64
	Dead          bool
}

func (p *pack) checkpoint() *PackCheckpoint {
	c := &PackCheckpoint{StepS: p.dt, BusV: p.busV, BusA: p.busA, LoadedK: p.loadedK, LinkV: p.linkV, Unit: p.unit, Events: slices.Clone(p.events), Missed: p.missed, LoW: p.lo, HiW: p.hi, ByLo: p.byLo, ByHi: p.byHi}
	for _, b := range p.blocks {
		c.Blocks = append(c.Blocks, b.Checkpoint())
	}
	for _, s := range p.string {
		c.Strings = append(c.Strings, StringCheckpoint{s.amps, s.expect, s.soc, s.perA, s.aged, s.open, s.bms, BalanceCheckpoint{s.level.state, slices.Clone(s.level.on), s.level.active}, s.chargeA, s.dischargeA, s.chargeBy, s.disBy, s.off})
	}
	for _, s := range p.shorts {
		c.Shorts = append(c.Shorts, ShortCheckpoint{s.str, s.place, s.ohm, s.kept, s.forever})
	}
	for _, h := range p.hots {
		c.Hots = append(c.Hots, HotCheckpoint{h.str, h.place, h.state, h.ownW, h.heater})
	}
	return c
}

// restore puts the pack where c was taken; t is the step of c.
func (p *pack) restore(c *PackCheckpoint, t *kernel.Tick) error {
	if c == nil || len(c.Blocks) != len(p.blocks) || len(c.Strings) != len(p.string) {
		return fmt.Errorf("no battery of %d strings in the checkpoint", len(p.string))
	}
	for n, b := range p.blocks {
		b.SetTick(t)
		if err := b.Restore(c.Blocks[n]); err != nil {
			return err
		}
	}
	for n, s := range c.Strings {
		p.string[n] = strand{amps: s.AmpsA, expect: s.ExpectA, soc: s.SoC, perA: s.PerA, aged: s.Aged, open: s.Open, bms: s.BMS, level: levelling{s.Balance.State, slices.Clone(s.Balance.On), s.Balance.Active}, chargeA: s.ChargeA, dischargeA: s.DischargeA, chargeBy: s.ChargeBy, disBy: s.DisBy, off: s.Off}
	}
	p.shorts, p.hots, p.marks = nil, nil, nil
	for _, s := range c.Shorts {
		p.short(short{s.String, s.Place, s.Ohm, s.Kept, s.Dead})
	}
	for _, h := range c.Hots {
		p.hots = append(p.hots, hot{h.String, h.Place, h.State, h.OwnW, h.Heater})
		p.mark(h.String, h.Place).hot = int32(len(p.hots))
	}
	p.dt, p.busV, p.busA, p.loadedK = c.StepS, c.BusV, c.BusA, c.LoadedK
	p.linkV, p.unit = c.LinkV, c.Unit
	p.events, p.missed = slices.Clone(c.Events), c.Missed
	p.lo, p.hi, p.byLo, p.byHi = c.LoW, c.HiW, c.ByLo, c.ByHi
	return nil
}

// Strings is the number of strings of a unit whose cells are stepped one by one, and
// of cells in each; 0, 0 for a lumped unit.
func (f *Fleet) Strings() (strings, cells int) {
	if f.model.Strings == nil {
		return 0, 0
	}
	return f.model.Parallel, f.model.Series
}

// Cell returns the cell at a place of a string of unit i, which must be there.
func (f *Fleet) Cell(i, str, place int) kernel.Cell {
	b, l := f.units[i].pack.at(str)
	return b.Cell(place, l)
}

// StringA are the currents of the strings of unit i in A, means over the last step.
func (f *Fleet) StringA(i int) []float64 {
	out := make([]float64, 0, len(f.units[i].pack.string))
	for _, s := range f.units[i].pack.string {
		out = append(out, s.amps)
	}
	return slices.Clip(out)
}

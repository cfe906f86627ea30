package twin

import (
	"fmt"
	"slices"
	"time"

	"yunchu/twin/cell"
	"yunchu/twin/pcs"
)

// Checkpoint is all a fleet remembers, as plain data: encode it as you like, as
// long as the encoding keeps every float64 exactly (gob and JSON do).
type Checkpoint struct {
	Model    string
	IDs      []string
	Start    time.Time
	Elapsed  time.Duration
	AmbientK float64
	Units    []UnitCheckpoint
}

// UnitCheckpoint is all a unit remembers.
type UnitCheckpoint struct {
	Cell      cell.State
	Scatter   cell.Scatter
	PCS       pcs.State
	Energy    Energy
	ACW       float64 // at the end of the last step
	MeanACW   float64
	CellA     float64 // per cell, at the end of the last step
	Limit     Limit
	Mode      Mode
	Open      bool
	FanFailed bool
	ShortOhm  float64
	HotK      float64
}

// Checkpoint returns a copy of all the fleet remembers.
func (f *Fleet) Checkpoint() Checkpoint {
	c := Checkpoint{
		Model: f.model.Name, IDs: slices.Clone(f.ids), Start: f.start, Elapsed: f.now,
		AmbientK: f.ambientK, Units: make([]UnitCheckpoint, len(f.units)),
	}
	for i := range f.units {
		u := &f.units[i]
		c.Units[i] = UnitCheckpoint{
			Cell: u.cell.State(), Scatter: u.cell.Scatter(), PCS: u.pcs, Energy: u.book,
			ACW: u.ac, MeanACW: u.acMean, CellA: u.amps, Limit: u.limit, Mode: u.mode,
			Open: u.open, FanFailed: u.fanFailed, ShortOhm: u.shortOhm, HotK: u.hotK,
		}
	}
	return c
}

// Restore puts the fleet where c was taken. From there it goes on bit by bit as
// the first one did. The model and the ids must be the same.
func (f *Fleet) Restore(c Checkpoint) error {
	if c.Model != f.model.Name || !slices.Equal(c.IDs, f.ids) || len(c.Units) != len(f.units) {
		return fmt.Errorf("restore %d units of %s into a fleet of %d units of %s: not the same fleet", len(c.Units), c.Model, len(f.units), f.model.Name)
	}
	f.start, f.now, f.ambientK = c.Start, c.Elapsed, c.AmbientK
	for i := range f.units {
		u := &c.Units[i]
		f.units[i] = unit{
			cell: f.kind.Cell(u.Cell, u.Scatter), pcs: u.PCS, book: u.Energy,
			ac: u.ACW, acMean: u.MeanACW, amps: u.CellA, limit: u.Limit, mode: u.Mode,
			open: u.Open, fanFailed: u.FanFailed, shortOhm: u.ShortOhm, hotK: u.HotK,
		}
		f.units[i].cell.SetLeak(u.ShortOhm)
		f.changed(i)
	}
	return nil
}

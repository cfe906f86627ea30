package twin

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/twin/bms"
	"yunchu/twin/cell"
	"yunchu/twin/pcs"
	"yunchu/twin/thermal"
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
	Scatter   cell.Scatter // as drawn
	Drift     cell.Scatter
	Aged      cell.Scatter
	PCS       pcs.State
	Energy    Energy
	ACW       float64 // at the end of the last step
	MeanACW   float64
	AuxW      float64
	CellA     float64 // per cell, at the end of the last step
	Limit     Limit
	Mode      Mode
	Cut       bool
	Tripped   bool
	Told      bms.Set
	LoadedK   float64
	FanFailed bool
	ShortOhm  float64
	HotK      float64
	Lives     []LifeCheckpoint
	UnagedS   float64
	Pack      *PackCheckpoint         // of a unit of single cells
	Room      *thermal.ContainerState // the container around them
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
			Cell: u.cell.State(), Scatter: u.base, Drift: u.drift, Aged: u.aged, Lives: u.lifeCheckpoint(), UnagedS: u.unaged, PCS: u.pcs, Energy: u.book,
			ACW: u.ac, MeanACW: u.acMean, AuxW: u.aux, CellA: u.amps, Limit: u.limit, Mode: u.mode,
			Cut: u.cut, Tripped: u.tripped, Told: u.told, FanFailed: u.fanFailed, ShortOhm: u.shortOhm, HotK: u.hotK,
		}
		c.Units[i].LoadedK = u.loaded
		if u.pack != nil {
			c.Units[i].Pack = u.pack.checkpoint()
		}
		if u.room != nil {
			state := u.room.state
			c.Units[i].Room = &state
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
		u, battery, room := &c.Units[i], f.units[i].pack, f.units[i].room
		if room != nil && u.Room != nil {
			room.state = *u.Room
		}
		if battery != nil {
			k := f.tick(0, time.Duration(math.Round(u.Pack.stepS()*1e9)))
			if err := battery.restore(u.Pack, &k.pack); err != nil {
				return fmt.Errorf("restore unit %s: %w", f.ids[i], err)
			}
		}
		f.units[i] = unit{
			pack: battery, room: room,
			cell: f.kind.Cell(u.Cell, u.now()), base: u.Scatter, drift: u.Drift, aged: u.Aged, lives: f.reborn(u.Lives), unaged: u.UnagedS, pcs: u.PCS, book: u.Energy,
			ac: u.ACW, acMean: u.MeanACW, aux: u.AuxW, amps: u.CellA, limit: u.Limit, mode: u.Mode,
			cut: u.Cut, tripped: u.Tripped, told: u.Told, fanFailed: u.FanFailed, shortOhm: u.ShortOhm, hotK: u.HotK,
		}
		f.units[i].loaded = u.LoadedK
		f.units[i].cell.SetLeak(u.ShortOhm)
		f.changed(i)
	}
	return nil
}

// now is how the cell differs from its type by what it was drawn, drift and age.
func (u *UnitCheckpoint) now() cell.Scatter {
	return cell.Scatter{
		Capacity:   u.Drift.Capacity * u.Aged.Capacity * u.Scatter.Capacity,
		Resistance: u.Drift.Resistance * u.Aged.Resistance * u.Scatter.Resistance,
	}
}

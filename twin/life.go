package twin

import (
	"fmt"
	"math"

	"yunchu/twin/aging"
	"yunchu/twin/cell"
	"yunchu/twin/kernel"
	"yunchu/twin/params"
)

// Aging lets the cells of a fleet grow old.
type Aging struct {
	Set *params.Aging
	// Scale is how many hours of age an hour makes, above 0; 1 is real. Time that
	// passes counts so many times, and so does every cycle, as if the same days came
	// again and again: ten years pass in ten days at 365.
	Scale float64
}

// AgingModel readies the laws of a set.
func AgingModel(a *Aging) (*aging.Model, error) {
	p := aging.Params{Anode: (*aging.Anode)(a.Set.Anode), MaxK: a.Set.TMaxK, Scale: a.Scale}
	switch c := a.Set.Calendar; {
	case c.Naumann2018 != nil:
		p.Calendar = (*aging.Naumann2018)(c.Naumann2018)
	case c.Swierczynski2015 != nil:
		p.Calendar = (*aging.Swierczynski2015)(c.Swierczynski2015)
	case c.Schimpe2018 != nil:
		p.Calendar = (*aging.SchimpeCalendar)(c.Schimpe2018)
	case c.BLAST2019 != nil:
		p.Calendar = (*aging.BLASTCalendar)(c.BLAST2019)
	}
	switch c := a.Set.Cycle; {
	case c.Naumann2020 != nil:
		p.Cycle = (*aging.Naumann2020)(c.Naumann2020)
	case c.BLAST2019 != nil:
		p.Cycle = (*aging.BLASTCycle)(c.BLAST2019)
	case c.Wang2011 != nil:
		p.Throughput = (*aging.Wang2011)(c.Wang2011)
	case c.Schimpe2018 != nil:
		p.Throughput = (*aging.SchimpeCycle)(c.Schimpe2018)
	}
	m, err := aging.New(p)
	if err != nil {
		return nil, fmt.Errorf("ageing set %s: %w", a.Set.Name, err)
	}
	return m, nil
}

// life is how old the cells of a unit, or of one string, have become. They age as
// one, at their mean state of charge and temperature.
type life struct {
	cell aging.Cell
	soc  float64 // at the last look
}

// Looks at the age of cells.
const (
	lifeEvery = 60.0 // s between two looks
	noticed   = 1e-5 // change of a factor after which the cells get it
	endOfLife = 0.05 // the least capacity that the laws can leave
)

// grow ages the cells of u by the step of dt seconds that has passed.
func (d *design) grow(u *unit, dt float64) {
	u.unaged += dt
	if u.unaged < lifeEvery {
		return
	}
	span := u.unaged
	u.unaged = 0
	changed := false
	for n := range u.lives {
		l := &u.lives[n]
		soc, temp, now := u.cell.SoC(), u.cell.TempK(), &u.aged
		if p := u.pack; p != nil {
			b, lane := p.at(n)
			soc, temp, now = p.string[n].soc, d.meanK(b, lane), &p.string[n].aged
		}
		l.cell.Advance(span, soc, temp, (soc-l.soc)/span*3600)
		l.soc = soc
		x := cell.Scatter{Capacity: max(l.cell.SoHQ(), endOfLife), Resistance: l.cell.SoHR()}
		if math.Abs(x.Capacity-now.Capacity) > noticed || math.Abs(x.Resistance-now.Resistance) > noticed {
			*now, changed = x, true
		}
	}
	if changed {
		u.rescale(d)
	}
}

// meanK is the mean of the temperatures in K by which the cells of a string age: what
// one that runs away is too hot for the laws does not age the others.
func (d *design) meanK(b *kernel.Block, lane int) (t float64) {
	for n := range b.Len() {
		t += d.aging.Felt(b.Slot(n).T[lane])
	}
	return t / float64(b.Len())
}

// born gives the cells of u their lives.
func (d *design) born(u *unit) {
	u.lives = make([]life, 1)
	if u.pack != nil {
		u.lives = make([]life, len(u.pack.string))
	}
	for n := range u.lives {
		u.lives[n] = life{cell: d.aging.Start(aging.State{}), soc: u.cell.SoC()}
		if u.pack != nil {
			u.lives[n].soc = u.pack.string[n].soc
		}
	}
}

// LifeCheckpoint is all a life remembers.
type LifeCheckpoint struct {
	State aging.State
	SoC   float64
}

func (u *unit) lifeCheckpoint() (out []LifeCheckpoint) {
	for _, l := range u.lives {
		out = append(out, LifeCheckpoint{l.cell.State(), l.soc})
	}
	return out
}

func (d *design) reborn(c []LifeCheckpoint) (out []life) {
	for _, l := range c {
		out = append(out, life{cell: d.aging.Start(l.State), soc: l.SoC})
	}
	return out
}

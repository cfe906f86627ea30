package twin

import (
	"fmt"

	"yunchu/twin/params"
	"yunchu/twin/runaway"
)

// hot is a cell of a pack that may heat itself.
type hot struct {
	str, place int
	state      runaway.State
	heater     bool // something heats it from outside until it heats itself
}

// Temperatures at which a pack looks closer.
const (
	watchK  = 343.15 // K: above it a cell's own reactions are followed
	heatToK = 573.15 // K: there the heater of a fault ends
)

// newKinetics readies the kinetics of a model's cells, nil where it has none.
func newKinetics(m *params.Model) (*runaway.Kinetics, error) {
	if m.Runaway == nil {
		return nil, nil
	}
	k, err := Kinetics(m.Runaway, m.Strings.CellM3)
	if err != nil {
		return nil, fmt.Errorf("runaway set %s: %w", m.Runaway.Name, err)
	}
	return k, nil
}

// Kinetics readies a runaway set for cells of so many m3.
func Kinetics(p *params.Runaway, volume float64) (*runaway.Kinetics, error) {
	reaction := func(r params.RunawayReaction) runaway.Reaction {
		return runaway.Reaction{A: r.A, Ea: r.Ea, HeatVol: r.Heat * r.Content, Initial: r.Initial}
	}
	return runaway.New(runaway.Params{
		GasConstant: p.GasConstant, SEI: reaction(p.SEI), Negative: reaction(p.Negative), Positive: reaction(p.Positive),
		Electrolyte: reaction(p.Electrolyte), Film: p.Film, Volume: volume,
		Short:     runaway.Short{Volt: p.Short.Volt, Share: p.Short.Share},
		Separator: runaway.Separator{TempK: kelvinOr0(p.Separator.TempC, p.Separator.Ohm), Ohm: p.Separator.Ohm},
		Vent:      runaway.Vent{TempK: kelvinOr0(p.Vent.TempC, p.Vent.Share), Share: p.Vent.Share},
	})
}

// kelvinOr0 is a temperature in K, 0 where what belongs to it is left out.
func kelvinOr0(celsius, belongs float64) float64 {
	if belongs == 0 {
		return 0
	}
	return celsius + zeroCelsius
}

// Runaway heats one cell of unit i from outside until its own reactions go on: 2 kW
// until 300 degC. What happens then is up to the cell and its neighbours. The unit
// must be one of single cells whose model has runaway kinetics.
func (f *Fleet) Runaway(i, str, place int) error {
	u := &f.units[i]
	if u.pack == nil || f.kinetics == nil {
		return fmt.Errorf("unit %s of model %s has no runaway kinetics", f.ids[i], f.model.Name)
	}
	f.changed(i)
	n := f.watch(u, str, place)
	u.pack.hots[n].heater = true
	return nil
}

// watch follows the reactions of a cell, and returns its number among the hot ones.
func (d *design) watch(u *unit, str, place int) int {
	p := u.pack
	for n := range p.hots {
		if p.hots[n].str == str && p.hots[n].place == place {
			return n
		}
	}
	b, l := p.at(str)
	x := b.Slot(place)
	stored := x.Z[l] / x.InvQ[l] * nominalV
	p.hots = append(p.hots, hot{str: str, place: place, state: d.kinetics.Fresh(stored)})
	return len(p.hots) - 1
}

// nominalV is the voltage in V at which the charge of a cell is counted as energy
// that a short can turn into heat.
const nominalV = 3.2

// heaterW is the power in W that drives a cell into runaway: a heating pad of its
// size, as in propagation tests.
const heaterW = 2000

// burn works out the heat of the hot cells' reactions for the next step of dt
// seconds, and finds cells that have become hot.
func (d *design) burn(u *unit, dt float64) {
	p := u.pack
	for s := range p.string {
		b, l := p.at(s)
		if b.Drive.TMax[l] < watchK {
			continue
		}
		for n := range b.Len() {
			if b.Slot(n).T[l] >= watchK {
				d.watch(u, s, n)
			}
		}
	}
	for n := range p.hots {
		h := &p.hots[n]
		b, l := p.at(h.str)
		x := b.Slot(h.place)
		around := runaway.Surroundings{}
		h.heater = h.heater && x.T[l] < heatToK
		if h.heater {
			around.HeatW = heaterW
		}
		// Adiabatic over the step: what it gives to its neighbours meanwhile cools it
		// by a fraction of a kelvin, and counts from the next step on.
		_, heat := d.kinetics.AdvanceCoupled(&h.state, dt, x.T[l], d.capacity, around)
		// The heat of the short behind a molten separator is in the kinetics; that the
		// cell also loses its charge by it changes nothing any more.
		b.SetBleed(h.place, l, 0, heat.CellJ()/dt+around.HeatW)
	}
	if len(p.hots) > 0 {
		p.predict()
	}
}

// HotCheckpoint is a cell that may heat itself.
type HotCheckpoint struct {
	String, Place int
	State         runaway.State
	Heater        bool
}

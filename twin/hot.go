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
	ownW       float64 // W that it makes in this step, the heater's with it
	heater     bool    // something heats it from outside until it heats itself
}

// fire is how the cells of a pack go off.
type fire struct {
	kinetics  *runaway.Kinetics
	shortKept float64 // share of the heat of a failed separator's short that stays in its cell
	watchK    float64 // K above which a cell's own reactions are followed
	heaterW   float64 // W that drive a cell into runaway
	heatToK   float64 // K at which they end
}

// newFire readies the runaway set of a model's cells, nil where it has none.
func newFire(m *params.Model) (*fire, error) {
	p := m.Runaway
	if p == nil || m.Strings == nil {
		return nil, nil
	}
	k, err := Kinetics(p, m.Strings.CellM3)
	if err != nil {
		return nil, fmt.Errorf("runaway set %s: %w", p.Name, err)
	}
	return &fire{
		kinetics: k, shortKept: p.Short.Share, watchK: p.Watch.TempC + zeroCelsius,
		heaterW: p.Heater.PowerW, heatToK: p.Heater.UntilC + zeroCelsius,
	}, nil
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

// Runaway heats one cell of unit i from outside until its own reactions go on, with the
// heater of the model's runaway set. What happens then is up to the cell and its
// neighbours. The unit must be one of single cells whose model has such a set.
func (f *Fleet) Runaway(i, str, place int) error {
	u := &f.units[i]
	if u.pack == nil || f.fire == nil {
		return fmt.Errorf("unit %s of model %s has no runaway kinetics", f.ids[i], f.model.Name)
	}
	f.changed(i)
	n := f.watch(u, str, place)
	u.pack.hots[n].heater = true
	return nil
}

// watch follows the reactions of a cell, and returns its number among the hot ones.
// The energy of its charge is left to the short that a failed separator is.
func (d *design) watch(u *unit, str, place int) int {
	p := u.pack
	m := p.mark(str, place)
	if m.hot == 0 {
		p.hots = append(p.hots, hot{str: str, place: place, state: d.fire.kinetics.Fresh(0)})
		m.hot = int32(len(p.hots))
	}
	return int(m.hot) - 1
}

// burn works out the heat of the hot cells' reactions for the next step of dt
// seconds, and finds cells that have become hot. It follows what balancing and shorts
// have set for the step.
func (d *design) burn(u *unit, dt float64) {
	p, fire := u.pack, d.fire
	for s := range p.string {
		b, l := p.at(s)
		if b.Drive.TMax[l] < fire.watchK {
			continue
		}
		for n := range b.Len() {
			if b.Slot(n).T[l] >= fire.watchK {
				d.watch(u, s, n)
			}
		}
	}
	changed := false
	for n := range p.hots {
		h := &p.hots[n]
		b, l := p.at(h.str)
		x := b.Slot(h.place)
		var own float64
		h.heater = h.heater && x.T[l] < fire.heatToK
		if h.heater || x.T[l] >= fire.watchK {
			around := runaway.Surroundings{}
			if h.heater {
				around.HeatW = fire.heaterW
			}
			// Adiabatic over the step: what it gives to its neighbours meanwhile cools it
			// by a fraction of a kelvin, and counts from the next step on.
			_, heat := fire.kinetics.AdvanceCoupled(&h.state, dt, x.T[l], d.capacity, around)
			own = heat.CellJ()/dt + around.HeatW
		}
		shorted := p.shorted(h.str, h.place)
		if h.state.ShortOhm > 0 && !shorted.dead() {
			p.kill(shorted, h.str, h.place, h.state.ShortOhm, fire.shortKept)
		}
		if own == 0 && h.ownW == 0 {
			continue
		}
		heatW := own
		if shorted != nil {
			heatW += x.Heat[l]
		}
		h.ownW, changed = own, true
		b.SetBleed(h.place, l, x.Bleed[l], heatW)
	}
	if changed {
		p.predict()
	}
}

// HotCheckpoint is a cell that may heat itself.
type HotCheckpoint struct {
	String, Place int
	State         runaway.State
	OwnW          float64
	Heater        bool
}

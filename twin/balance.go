package twin

import (
	"time"

	"yunchu/twin/bms"
	"yunchu/twin/params"
)

// newBalance readies the passive balancing of a model's strings, nil where it has
// none.
func newBalance(m *params.Model) *bms.Balance {
	if m.BMS == nil || m.BMS.Balance.Ohm == 0 {
		return nil
	}
	b := m.BMS.Balance
	return &bms.Balance{
		Ohm: b.Ohm, StartV: b.StartV, StopV: b.StopV, MinV: b.MinV, RestA: b.RestA,
		Period: time.Duration(b.Period), Window: time.Duration(b.Window),
	}
}

// levelling is the balancing of one string.
type levelling struct {
	state  bms.BalanceState
	on     []bool // by cell: bleeds in the window under way
	active bool   // some cell may bleed
}

// scratch is room to look at the cells of one string.
type scratch struct{ volt, bleed []float64 }

// balance decides for the step of k which cells bleed, and sets their currents. A
// management that has only voltages levels by them: strings are looked at only where
// a cell stands high enough for the voltage to tell.
func (d *design) balance(u *unit, k *tick) {
	p := u.pack
	changed := false
	for s := range p.string {
		b, l := p.at(s)
		y := &p.string[s].level
		if p.string[s].open || b.Drive.VMax[l] < d.level.MinV {
			if y.active {
				y.active, changed = false, true
				clear(y.on)
				for n := range p.length {
					b.SetBleed(n, l, 0, 0)
				}
			}
			continue
		}
		y.active, changed = true, true
		for n := range p.length {
			x := b.Slot(n)
			i := p.string[s].amps - x.Bleed[l]
			p.look.volt[n] = x.UM[l] + x.OV[l] + (x.US[l]+x.RB[l])*i
		}
		in := bms.BalanceInput{CellV: p.look.volt, CurrentA: p.string[s].amps}
		d.level.Step(&y.state, k.from, k.to, &in, y.on, p.look.bleed)
		for n, g := range p.look.bleed {
			b.SetBleed(n, l, g*p.look.volt[n], 0)
		}
	}
	if changed {
		p.predict()
	}
}

// BalanceCheckpoint is all the balancing of a string remembers.
type BalanceCheckpoint struct {
	State  bms.BalanceState
	On     []bool
	Active bool
}

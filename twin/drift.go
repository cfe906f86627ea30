package twin

import "yunchu/twin/cell"

// Drift lays factors on capacity and resistance of all cells of unit i: 0.9 of the
// capacity is a tenth lost, 1.2 of the resistance a fifth more. 1, 1 takes them
// away. States of charge stay.
func (f *Fleet) Drift(i int, x cell.Scatter) {
	f.changed(i)
	f.units[i].drift = x
	f.units[i].rescale(&f.design)
}

// Drifted returns the factors of unit i.
func (f *Fleet) Drifted(i int) cell.Scatter { return f.units[i].drift }

// rescale gives the cells of u what drift and age have made of them.
func (u *unit) rescale(d *design) {
	x := cell.Scatter{
		Capacity:   u.drift.Capacity * u.aged.Capacity,
		Resistance: u.drift.Resistance * u.aged.Resistance,
	}
	if p := u.pack; p != nil {
		for s := range p.string {
			b, l := p.at(s)
			y := p.string[s].aged
			b.Age(l, x.Capacity*y.Capacity, x.Resistance*y.Resistance)
			p.string[s].measure(b, l)
		}
		p.predict()
		p.bound(&d.limits, p.dt)
		return
	}
	x.Capacity *= u.base.Capacity
	x.Resistance *= u.base.Resistance
	u.cell.SetScatter(x)
	d.end(u)
}

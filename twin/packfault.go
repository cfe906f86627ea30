package twin

// short is an internal short of one cell of a pack.
type short struct {
	str, place int
	ohm        float64
}

// ShortOne lays ohm between the poles of one cell of unit i, inside it: what flows
// through it discharges the cell and its heat stays there. 0 removes it. The unit
// must be one of single cells. No limit stops a short; an empty cell has nothing
// left to give.
func (f *Fleet) ShortOne(i, str, place int, ohm float64) {
	f.changed(i)
	p := f.units[i].pack
	for n, s := range p.shorts {
		if s.str == str && s.place == place {
			p.shorts = append(p.shorts[:n], p.shorts[n+1:]...)
			b, l := p.at(str)
			b.SetBleed(place, l, 0, 0)
			break
		}
	}
	if ohm > 0 {
		p.shorts = append(p.shorts, short{str, place, ohm})
	}
	p.predict()
}

// leak sets the currents of the shorts for the next step from the voltages of the
// last one.
func (p *pack) leak() {
	if len(p.shorts) == 0 {
		return
	}
	for _, s := range p.shorts {
		b, l := p.at(s.str)
		x := b.Slot(s.place)
		v, a := 0.0, 0.0
		if x.Z[l] > 0 {
			i := p.string[s.str].amps - x.Bleed[l]
			e, r := x.UM[l]+x.OV[l], x.US[l]+x.RB[l]
			// v = e + r*(i_string - v/ohm)
			v = (e + r*(i+x.Bleed[l])) / (1 + r/s.ohm)
			a = v / s.ohm
		}
		b.SetBleed(s.place, l, a, v*a)
	}
	p.predict()
}

// heat puts every cell at toK kelvin.
func (p *pack) heat(toK float64) {
	for s := range p.string {
		b, l := p.at(s)
		for n := range p.length {
			x := b.Cell(n, l)
			x.TempK = toK
			b.SetCell(n, l, x)
		}
		b.Drive.TMin[l], b.Drive.TMax[l] = toK, toK
	}
	p.predict()
}

// bled is what flowed past the cells of string s in the last step, as the change of
// the mean state of charge in a second.
func (p *pack) bled(s int) (perS float64) {
	if p.string[s].level.active {
		b, l := p.at(s)
		for n := range p.length {
			x := b.Slot(n)
			perS += x.Bleed[l] * x.InvQ[l]
		}
		return perS / float64(p.length)
	}
	for _, x := range p.shorts {
		if x.str == s {
			b, l := p.at(s)
			slot := b.Slot(x.place)
			perS += slot.Bleed[l] * slot.InvQ[l] / float64(p.length)
		}
	}
	return perS
}

package twin

import "yunchu/twin/kernel"

// short is an internal short of one cell of a pack.
type short struct {
	str, place int
	ohm        float64
	kept       float64 // share of its heat that stays in the cell, 1 but for a dead cell
	forever    bool    // the separator has failed: the cell is dead
}

// ShortOne lays ohm between the poles of one cell of unit i, inside it: what flows
// through it discharges the cell and its heat stays there. 0 removes it, but from a
// cell whose separator has failed. The unit must be one of single cells. No limit
// stops a short; an empty cell has nothing left to give.
func (f *Fleet) ShortOne(i, str, place int, ohm float64) {
	f.changed(i)
	p := f.units[i].pack
	p.lay(str, place, ohm)
	p.predict()
}

// lay is ShortOne without the prediction of the next step.
func (p *pack) lay(str, place int, ohm float64) {
	switch s := p.shorted(str, place); {
	case s.dead():
		return
	case s != nil && ohm > 0:
		s.ohm = ohm
	case s != nil:
		last := p.shorts[len(p.shorts)-1]
		*s, p.shorts = last, p.shorts[:len(p.shorts)-1]
		p.mark(last.str, last.place).short = p.mark(str, place).short
		p.mark(str, place).short = 0
		b, l := p.at(str)
		b.SetBleed(place, l, 0, 0)
	case ohm > 0:
		p.short(short{str: str, place: place, ohm: ohm, kept: 1})
	}
}

// mark is where a cell stands among the hot ones and the shorts, counted from 1.
type mark struct{ hot, short int32 }

// mark returns that of a cell. Packs in which nothing goes wrong have none.
func (p *pack) mark(str, place int) *mark {
	if p.marks == nil {
		p.marks = make([]mark, len(p.string)*p.length)
	}
	return &p.marks[str*p.length+place]
}

// shorted is the short of a cell, nil without.
func (p *pack) shorted(str, place int) *short {
	if n := p.mark(str, place).short; n > 0 {
		return &p.shorts[n-1]
	}
	return nil
}

func (p *pack) short(s short) *short {
	p.shorts = append(p.shorts, s)
	p.mark(s.str, s.place).short = int32(len(p.shorts))
	return &p.shorts[len(p.shorts)-1]
}

// Burnt is the number of cells of unit i whose separator has failed in thermal runaway.
func (f *Fleet) Burnt(i int) (n int) {
	p := f.units[i].pack
	if p == nil {
		return 0
	}
	for k := range p.shorts {
		if p.shorts[k].dead() {
			n++
		}
	}
	return n
}

// dead reports whether s is that of a cell whose separator has failed.
func (s *short) dead() bool { return s != nil && s.forever }

// kill leaves a cell, which may have the short s already, with a failed separator of
// ohm for good.
func (p *pack) kill(s *short, str, place int, ohm, kept float64) {
	if s == nil {
		s = p.short(short{str: str, place: place})
	}
	s.ohm, s.kept, s.forever = ohm, kept, true
}

// leak sets the currents of the shorts for the next step of dt seconds from the
// voltages of the last one: at most what empties the cell, and what a step can take.
func (p *pack) leak(k *kernel.Tick, dt float64) {
	if len(p.shorts) == 0 {
		return
	}
	for _, s := range p.shorts {
		b, l := p.at(s.str)
		x := b.Slot(s.place)
		v, a := 0.0, 0.0
		if x.Z[l] > 0 {
			i, coulombs := p.string[s.str].amps, 1/x.InvQ[l]
			e, r := x.UM[l]+x.OV[l], x.US[l]+x.RB[l] // v = e + r*(i - a) = ohm*a
			a = min((e+r*i)/(s.ohm+r), max(min(x.Z[l]*coulombs/dt, k.MaxCurrent(coulombs))+i, 0))
			v = e + r*(i-a)
		}
		b.SetBleed(s.place, l, a, s.kept*v*a)
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
	b, l := p.at(s)
	amps := p.string[s].amps
	past := func(place int) float64 {
		x := b.Slot(place)
		return (p.kept(amps) - p.kept(amps-x.Bleed[l])) * x.InvQ[l] / float64(p.length)
	}
	if p.string[s].level.active {
		for n := range p.length {
			perS += past(n)
		}
		return perS
	}
	for _, x := range p.shorts {
		if x.str == s {
			perS += past(x.place)
		}
	}
	return perS
}

// kept is the current in A that changes the charge of a cell with i A through it.
func (p *pack) kept(i float64) float64 {
	if i > 0 {
		return p.eta * i
	}
	return i
}

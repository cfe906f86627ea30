package twin

// OpenContactor opens the contactor of unit i or closes it again. While it is open
// nothing flows, setpoints are refused and the mode reads Fault; once closed the
// unit stands at zero power in the mode it had.
func (f *Fleet) OpenContactor(i int, open bool) {
	f.changed(i)
	u := &f.units[i]
	if open {
		f.disconnect(u)
		return
	}
	u.open = u.mode == Fault
}

func (d *design) disconnect(u *unit) {
	u.open = true
	u.pcs.Trip()
	u.ac, u.amps = 0, 0
}

// Overheat puts unit i at toK kelvin and keeps its surroundings there; 0 gives it
// the ambient air back, and it cools as it can.
func (f *Fleet) Overheat(i int, toK float64) {
	f.changed(i)
	u := &f.units[i]
	u.hotK = toK
	switch {
	case toK <= 0:
	case u.pack != nil:
		u.pack.heat(toK)
		u.pack.bound(&f.limits, u.pack.dt)
	default:
		u.cell.SetTemp(toK)
		f.end(u)
	}
}

// FailFan stops the cooling of unit i, or mends it: what is left is the model's
// fan_fail_ratio of the heat path.
func (f *Fleet) FailFan(i int, failed bool) { f.units[i].fanFailed = failed }

// ShortCell lays ohm across every cell of unit i: the current through it discharges
// the cells and its heat stays in them. 0 removes it. As a unit has one
// representative cell, one shorted cell among n is a short of n*ohm here. No limit
// stops a short.
func (f *Fleet) ShortCell(i int, ohm float64) {
	f.changed(i)
	u := &f.units[i]
	if u.pack != nil {
		for str := range u.pack.string {
			for place := range u.pack.length {
				f.ShortOne(i, str, place, ohm)
			}
		}
		return
	}
	u.shortOhm = max(ohm, 0)
	u.cell.SetLeak(u.shortOhm)
	f.end(u)
}

package twin

import (
	"math"

	"yunchu/twin/params"
)

// extremes are what a battery management system sees of a string: its lowest and
// highest cells.
type extremes struct {
	vMin, vMax float64 // V, at amps
	tMin, tMax float64 // K
	zMin, zMax float64 // 0..1
	amps       float64 // A
	charge     float64 // A, >= 0: the most that may flow, before what follows from the rest
	discharge  float64
	chargeBy   Limit // what makes it so
	disBy      Limit
	ohm        float64 // ohm, of its weakest cell
	coulombs   float64 // A*s, of its smallest cell
}

// soft is how far the current of a string may go, the way a battery management
// system takes it back: in a straight line to zero over the last part before a limit
// of voltage or charge, and with the temperature. The voltage is that of the extreme
// cell at the current allowed, not at the last one, so the limit does not hunt; and
// no step of dt seconds ends beyond the window of the state of charge.
func (l *limits) soft(set *params.Strings, x *extremes, dt float64) reach {
	hi, lo := set.MaxCurrent.Charge, set.MaxCurrent.Discharge
	r := reach{hi: min(hi, x.charge), byHi: x.chargeBy, lo: min(lo, x.discharge), byLo: x.disBy}
	lower := func(to float64, by Limit, most *float64, why *Limit) {
		if to < *most {
			*most, *why = max(to, 0), by
		}
	}
	heat := func(full float64, d *params.Derating, most *float64, why *Limit) {
		if x.tMax > d.FullTo {
			lower(full*derated(d, x.tMax), LimitTempHigh, most, why)
		}
		if x.tMin < d.FullFrom {
			lower(full*derated(d, x.tMin), LimitTempLow, most, why)
		}
	}
	heat(hi, &l.charge, &r.hi, &r.byHi)
	heat(lo, &l.discharge, &r.lo, &r.byLo)

	taper := set.TaperSoC / 100
	room := l.soc.Max - x.zMax
	lower(hi*room/taper, LimitSoCHigh, &r.hi, &r.byHi)
	lower(room*x.coulombs/dt, LimitSoCHigh, &r.hi, &r.byHi)
	room = x.zMin - l.soc.Min
	lower(lo*room/taper, LimitSoCLow, &r.lo, &r.byLo)
	lower(room*x.coulombs/dt, LimitSoCLow, &r.lo, &r.byLo)

	rest := x.vMax - x.ohm*x.amps // of the highest cell, without current
	lower(hi*(l.volt.Max-rest)/(set.TaperV+hi*x.ohm), LimitVHigh, &r.hi, &r.byHi)
	rest = x.vMin - x.ohm*x.amps
	lower(lo*(rest-l.volt.Min)/(set.TaperV+lo*x.ohm), LimitVLow, &r.lo, &r.byLo)
	r.lo = -r.lo
	return r
}

// seen is what the last step showed of string s.
func (p *pack) seen(s int) extremes {
	b, l := p.at(s)
	d := &b.Drive
	x := &p.string[s]
	return extremes{
		charge: x.chargeA, discharge: x.dischargeA, chargeBy: x.chargeBy, disBy: x.disBy,
		vMin: d.VMin[l], vMax: d.VMax[l], tMin: d.TMin[l], tMax: d.TMax[l], zMin: d.ZMin[l], zMax: d.ZMax[l],
		amps: p.string[s].amps, ohm: p.set.Weakest * d.B[l] / float64(p.length), coulombs: 1 / (p.string[s].perA * p.set.Weakest),
	}
}

// bound works out the range of the bus for the next step, of dt seconds: the power at
// which the first string reaches the end of its range.
func (p *pack) bound(l *limits, dt float64) {
	vLo, vHi := math.Inf(-1), math.Inf(1)
	p.byLo, p.byHi = LimitContactor, LimitContactor
	for s := range p.string {
		x := &p.string[s]
		if x.open {
			continue
		}
		seen := p.seen(s)
		x.reach = l.soft(p.set, &seen, dt)
		e, r := p.line(s)
		if v := e + r*x.reach.hi; v < vHi {
			vHi, p.byHi = v, x.reach.byHi
		}
		if v := e + r*x.reach.lo; v > vLo {
			vLo, p.byLo = v, x.reach.byLo
		}
	}
	p.lo, p.hi = 0, 0
	if n := p.connected(); n == 0 || n < p.least {
		p.byLo, p.byHi = LimitContactor, LimitContactor
		return
	}
	e, r := p.source()
	p.hi = max(vHi*(vHi-e)/r, 0)
	p.lo = min(vLo*(vLo-e)/r, 0)
}

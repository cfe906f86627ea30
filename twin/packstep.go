package twin

import (
	"math"

	"yunchu/twin/params"
	"yunchu/twin/pcs"
	"yunchu/twin/thermal"
)

// stepPack moves a unit of single cells through k.
func (d *design) stepPack(u *unit, k *tick) {
	p := u.pack
	if p.dt != k.dt {
		p.dt = k.dt
		p.setTick(&k.pack)
		p.bound(&d.limits, k.dt)
	}
	d.surroundPack(u)
	if d.level != nil {
		d.balance(u, k)
	}
	p.leak(&k.pack, k.dt)
	if d.fire != nil {
		d.burn(u, k.dt)
	}
	var ac pcs.Flow
	u.limit = LimitNone
	u.pcs.DCVolt, u.pcs.AirK = p.busV, d.ambientK // the converter draws air from outside
	if d.bms == nil {
		p.open(u.open())
	}
	if d.off(u) {
		u.pcs.Trip()
	} else {
		lo, hi := d.packRange(u)
		d.pcs.Advance(&u.pcs, k.from, k.to, lo.w, hi.w, &ac)
		switch {
		case !ac.Bound:
		case ac.By != pcs.BoundRange: // what the converter itself is not able to do
			u.limit = LimitPower
		case u.pcs.Active.PowerW < 0:
			u.limit = lo.by
		default:
			u.limit = hi.by
		}
	}
	p.loadedK = p.extremes(true).tMax
	asked := ac.ACJ()
	l, limit := p.step(ac.DCJ()*k.perS, k.dt)
	if limit != LimitNone {
		u.limit = limit
		d.pcs.ConstantAt(l.bus, k.dt, d.pcs.At(&u.pcs), &ac)
		u.pcs.PowerW = held(u.pcs.PowerW, ac.ACJ()*k.perS)
	}
	if p.connected() > 0 {
		p.linkV = p.busV
	}
	if d.bms != nil {
		d.manage(u, k.from, k.to, false)
	}
	p.bound(&d.limits, k.dt)
	if u.room != nil {
		u.room.step(k.dt, d.ambientK, p.toAirJ, p.toCoolantJ, p.extremes(false).tMax)
	}
	d.postPack(u, &ac, &l, k.dt)
	u.book.RefusedJ += math.Abs(asked - ac.ACJ())
	u.ac, u.acMean = u.pcs.PowerW, ac.ACJ()*k.perS
}

// held is the power in W a converter goes on from that was at w and delivered only ac.
func held(w, ac float64) float64 {
	if w*ac <= 0 {
		return 0
	}
	return math.Copysign(min(math.Abs(w), math.Abs(ac)), w)
}

// end is the end of a range of AC power in W, and what makes it.
type end struct {
	w  float64
	by Limit
}

// packRange is the AC power that mode, rating and battery allow: what the battery
// management system tells the converter.
func (d *design) packRange(u *unit) (lo, hi end) {
	if u.mode != Run {
		return end{}, end{}
	}
	// A cell too hot stops the whole unit, in whatever string it is.
	t := u.pack.extremes(false).tMax
	lo.w, hi.w = d.limits.acRange(t)
	lo.by, hi.by = ratedBy(&d.limits.discharge, t), ratedBy(&d.limits.charge, t)
	at := d.pcs.At(&u.pcs)
	if w := max(d.pcs.ACAt(u.pack.hi, at), 0); w < hi.w {
		hi = end{w, u.pack.byHi}
	}
	if w := min(d.pcs.ACAt(u.pack.lo, at), 0); w > lo.w {
		lo = end{w, u.pack.byLo}
	}
	return lo, hi
}

// ratedBy is what makes the range of acRange at t kelvin.
func ratedBy(d *params.Derating, t float64) Limit {
	switch {
	case t > d.FullTo:
		return LimitTempHigh
	case t < d.FullFrom:
		return LimitTempLow
	}
	return LimitPower
}

// surroundPack puts the cells of u where they are: air and coolant at their
// temperatures, with what is left of the heat paths when the fans have failed.
func (d *design) surroundPack(u *unit) {
	air, coolant, share, plate := d.ambientK, d.ambientK, 1.0, 1.0
	if r := u.room; r != nil {
		air, coolant, plate = r.state.TempK[thermal.Air], r.state.TempK[thermal.Coolant], r.plate
		r.state.FanFailed = u.fanFailed
	}
	if u.fanFailed {
		share = d.fanFailure
	}
	if u.hotK > 0 {
		air, coolant = u.hotK, u.hotK
	}
	u.pack.surround(air, coolant, share, share*plate)
}

// postPack enters a step into the book.
func (d *design) postPack(u *unit, ac *pcs.Flow, l *load, dt float64) {
	d.besides(u, ac, dt)
	b := &u.book
	b.ACInJ += ac.InJ
	b.ACOutJ += ac.OutJ
	b.PCSLossJ += ac.LossJ
	b.StandbyJ += ac.StandbyJ
	if dc := l.bus * dt; dc > 0 {
		b.DCInJ += dc
	} else {
		b.DCOutJ -= dc
	}
	b.StoredJ += l.stored * dt
	b.HeatJ += l.heat * dt
	b.EntropicJ += l.entropic * dt
	b.ResidualJ += math.Abs(ac.DCJ() - (l.stored+l.heat)*dt)
}

// statePack is what can be known of a unit of single cells. Voltage and current are
// means over the last step.
func (d *design) statePack(u *unit) State {
	p := u.pack
	x := p.extremes(false)
	s := State{
		SoC: p.soc(), SoH: u.soh(), Growth: u.growth(),
		PackV: p.busV, PackI: p.busA, DCPowerW: p.busV * p.busA,
		ACPowerW: u.ac, ReactiveVar: u.pcs.QVar, AuxW: u.aux, MeanACPowerW: u.acMean,
		TempK: x.tMax, TempMinK: x.tMin, LoadedK: p.loadedK, CellV: x.vMax, CellVMin: x.vMin, CellVMax: x.vMax,
		Limit: u.limit, Mode: u.mode,
	}
	if p.busA < 0 {
		s.CellV = x.vMin
	}
	if u.room != nil {
		s.AirK, s.CoolantK = u.room.state.TempK[thermal.Air], u.room.state.TempK[thermal.Coolant]
	}
	s.Strings = p.connected()
	if u.open() || s.Strings == 0 {
		s.Mode = Fault
	}
	if u.mode == Run && !u.open() {
		lo, hi := d.packRange(u)
		s.AvailableChargeW, s.AvailableDischargeW = hi.w, 0-lo.w
	}
	return s
}

// soh is the capacity of the cells of u over what they were drawn with, at most 1.
func (u *unit) soh() (mean float64) {
	for _, s := range u.pack.string {
		mean += s.aged.Capacity
	}
	return min(mean/float64(len(u.pack.string))*u.drift.Capacity, 1)
}

// growth is the resistance of the cells of u over what they were drawn with.
func (u *unit) growth() (mean float64) {
	for _, s := range u.pack.string {
		mean += s.aged.Resistance
	}
	return mean / float64(len(u.pack.string)) * u.drift.Resistance
}

package twin

import (
	"math"

	"yunchu/twin/cell"
	"yunchu/twin/params"
)

// acRange is the AC power in W that rating, temperature and the limit of the cells'
// current, at their voltage now, allow.
func (d *design) acRange(u *unit) (lo, hi float64) {
	c := &u.cell
	lo, hi = d.limits.acRange(c.TempK())
	a := d.limits.amps
	if a.Charge > 0 {
		hi = min(hi, d.pcs.ACAt(a.Charge*c.Voltage(a.Charge)*d.cells, d.pcs.At(&u.pcs)))
	}
	if a.Discharge > 0 {
		lo = max(lo, d.pcs.ACAt(-a.Discharge*c.Voltage(-a.Discharge)*d.cells, d.pcs.At(&u.pcs)))
	}
	return lo, hi
}

// powerLimit says why the converter may not follow its setpoint.
func (d *design) powerLimit(u *unit, tempK float64) Limit {
	der := &d.limits.charge
	if u.pcs.Active.PowerW < 0 {
		der = &d.limits.discharge
	}
	if by := ratedBy(der, tempK); by != LimitPower {
		return by
	}
	switch {
	case d.limits.amps != (params.CurrentLimit{}) && math.Abs(u.pcs.PowerW) < d.limits.ratedW*(1-slack):
		return LimitCurrent
	}
	return LimitPower
}

// outside reports whether a cell is past a limit at the end of a step that moved i
// ampere through its terminals, in the direction of the flow.
func (d *design) outside(c *cell.Cell, i float64) bool {
	v, z, l := c.Voltage(i), c.SoC(), &d.limits
	if i > 0 {
		return v > l.volt.Max+slack || z > l.soc.Max+slack
	}
	return i < 0 && (v < l.volt.Min-slack || z < l.soc.Min-slack)
}

// bind takes the step with as much of the inner current i as keeps every limit at
// its end, and never turns the direction of the flow. u.cell is at the start of the
// step.
func (d *design) bind(u *unit, i float64, k *tick, flow *cell.Flow) (limit Limit) {
	start := u.cell
	d.power(u, 0, 0, k, flow)
	atRest, restFlow, rest := u.cell, *flow, flow.InnerA
	l := &d.limits
	charging := i > rest

	soc, byV, bySoC := l.soc.Min, LimitVLow, LimitSoCLow
	if charging {
		soc, byV, bySoC = l.soc.Max, LimitVHigh, LimitSoCHigh
	}
	if most := start.CurrentTo(soc, k.dt); charging && i > most || !charging && i < most {
		i, limit = most, bySoC
		if charging == (most < rest) { // past the limit already: nothing may flow
			u.cell, *flow = atRest, restFlow
			return limit
		}
	}

	// past is how far the terminals end beyond the voltage limit, in V.
	var end cell.Cell
	past := func(i float64) float64 {
		u.cell = start
		d.inner(u, i, k, flow)
		end = u.cell
		if charging {
			return end.Voltage(flow.CurrentA) - l.volt.Max
		}
		return l.volt.Min - end.Voltage(flow.CurrentA)
	}
	far := past(i)
	if far <= 0 {
		return limit
	}
	limit = byV
	near := l.pastAtRest(&atRest, charging)
	if near >= 0 {
		u.cell, *flow = atRest, restFlow
		return limit
	}
	// Illinois variant of the false position (Dowell and Jarratt 1971): the voltage
	// rises with the current, rest is inside, i outside. Ends inside.
	best, bestFlow, in, out := atRest, restFlow, rest, i
	side := 0
	for range 60 {
		x := in - near*(out-in)/(far-near)
		fx := past(x)
		if fx <= 0 {
			in, near, best, bestFlow = x, fx, end, *flow
			if side == 1 {
				far /= 2
			}
			side = 1
		} else {
			out, far = x, fx
			if side == -1 {
				near /= 2
			}
			side = -1
		}
		if fx <= 0 && fx > -1e-9 || math.Abs(out-in) <= 1e-12*math.Abs(out) {
			break
		}
	}
	u.cell, *flow = best, bestFlow
	return limit
}

// pastAtRest is how far a cell at rest is beyond the voltage limit, in V.
func (l *limits) pastAtRest(c *cell.Cell, charging bool) float64 {
	if charging {
		return c.Voltage(0) - l.volt.Max
	}
	return l.volt.Min - c.Voltage(0)
}

// horizon is how long the power called available can be held before the window of
// the state of charge ends it, in s.
const horizon = 1.0

// available is the AC power in W that u could take and give now, both >= 0.
func (d *design) available(u *unit) (charge, discharge float64) {
	if u.mode != Run || u.open() {
		return 0, 0
	}
	c, l := &u.cell, &d.limits
	lo, hi := d.acRange(u)
	// DC power at the tightest of the bounds; compared with full power first,
	// because the inverse of the converter costs a root.
	if i := min(c.CurrentAtVoltage(l.volt.Max), c.CurrentTo(l.soc.Max, horizon)); i > 0 && hi > 0 {
		charge = hi
		if p := i * c.Voltage(i) * d.cells; p < d.pcs.DCAt(hi, d.pcs.At(&u.pcs)) {
			charge = min(d.pcs.ACAt(p, d.pcs.At(&u.pcs)), hi)
		}
	}
	if i := max(c.CurrentAtVoltage(l.volt.Min), c.CurrentTo(l.soc.Min, horizon)); i < 0 && lo < 0 {
		discharge = -lo
		if p := i * c.Voltage(i) * d.cells; p > d.pcs.DCAt(lo, d.pcs.At(&u.pcs)) {
			discharge = max(-d.pcs.ACAt(p, d.pcs.At(&u.pcs)), 0)
		}
	}
	return charge, discharge
}

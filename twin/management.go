package twin

import (
	"slices"
	"time"

	"yunchu/twin/bms"
	"yunchu/twin/params"
)

// newManagement readies the battery management of a model's strings, nil where it
// has none.
func newManagement(m *params.Model) *bms.Params {
	p := m.BMS
	if p == nil {
		return nil
	}
	b := &bms.Params{
		Charge: direction(p.Charge), Discharge: direction(p.Discharge),
		Limits: bms.Limits{
			FallAPerS: p.Limits.FallAPerS, RiseAPerS: p.Limits.RiseAPerS, BandA: p.Limits.BandA,
			HeatS: time.Duration(p.Limits.HeatTime).Seconds(), HeatFrom: p.Limits.HeatFrom, WarningShare: p.Limits.WarningShare,
		},
		Contactor: bms.Contactor{
			MatchV: p.Contactor.MatchV, Least: time.Duration(p.Contactor.Least), Timeout: time.Duration(p.Contactor.Timeout),
			OpenA: p.Contactor.OpenA, OpenWithin: time.Duration(p.Contactor.OpenWithin),
			LifeClosings: p.Contactor.LifeClosings, LifeHotOpenings: p.Contactor.LifeHotOpenings,
		},
	}
	r := &p.Protect
	for _, x := range []struct {
		of            bms.Quantity
		set           params.Protection
		scale, offset float64
	}{
		{bms.CellVHigh, r.CellVHigh, 1, 0},
		{bms.CellVLow, r.CellVLow, 1, 0},
		{bms.CellVSpread, r.CellVSpread, 1, 0},
		{bms.TempHigh, r.TempHighC, 1, zeroCelsius},
		{bms.TempLow, r.TempLowC, 1, zeroCelsius},
		{bms.TempSpread, r.TempSpreadK, 1, 0},
		{bms.ChargeCurrent, r.ChargeA, 1, 0},
		{bms.DischargeCurrent, r.DischargeA, 1, 0},
		{bms.SoCHigh, r.SoCHigh, 0.01, 0},
		{bms.SoCLow, r.SoCLow, 0.01, 0},
	} {
		for level, t := range []*params.Threshold{x.set.Warning1, x.set.Warning2, x.set.Trip} {
			if t != nil {
				b.Protect[x.of][level] = bms.Level{
					Used: true, Set: t.Set*x.scale + x.offset, Clear: t.Clear*x.scale + x.offset,
					Delay: time.Duration(t.Delay), Recover: time.Duration(t.Recover),
				}
			}
		}
	}
	for of, d := range map[bms.Quantity]params.Delays{
		bms.Insulation: r.Insulation, bms.Communication: r.Communication, bms.EmergencyStop: r.EmergencyStop,
	} {
		b.Protect[of][bms.Trip] = bms.Level{Used: true, Set: 1, Delay: time.Duration(d.Delay), Recover: time.Duration(d.Recover)}
	}
	return b
}

func direction(c params.RackCurrent) bms.Direction {
	return bms.Direction{
		RatedA: c.RatedA, ContinuousA: c.ContinuousA, CellV: bms.Taper(c.CellV),
		Hot:  bms.Taper{Full: c.HotC.Full + zeroCelsius, None: c.HotC.None + zeroCelsius},
		Cold: bms.Taper{Full: c.ColdC.Full + zeroCelsius, None: c.ColdC.None + zeroCelsius},
		SoC:  bms.Taper{Full: c.SoC.Full / 100, None: c.SoC.None / 100},
	}
}

// connected is the management of a string that has long been closed.
func connected(p *bms.Params) bms.State {
	return bms.State{Mode: bms.Connected, ChargeA: p.Charge.RatedA, DischargeA: p.Discharge.RatedA}
}

// manage lets the management of u and of its strings see what the time from one
// instant to the next has brought, and puts contactors and limits into force for what
// follows. No time at all passes when the unit has been told something. reset takes
// back what has tripped.
func (d *design) manage(u *unit, from, to time.Duration, reset bool) {
	p := u.pack
	wanted := !u.open()
	for s := range p.string {
		x := &p.string[s]
		r := bms.Rack{Mode: x.bms.Mode, Ready: x.bms.Ready(), RackV: p.linkV}
		if x.open {
			r.RackV, _ = p.line(s)
		}
		p.racks[s] = r
	}
	d.racks.Step(&p.unit, bms.UnitInput{Close: wanted, Open: !wanted, Reset: reset}, p.racks, p.commands)
	for s := range p.string {
		x := &p.string[s]
		in := p.measured(s)
		in.InsulationFault, in.CommunicationFault = u.told.Has(bms.Insulation), u.told.Has(bms.Communication)
		in.EmergencyStop = u.told.Has(bms.EmergencyStop)
		c := p.commands[s]
		in.Close, in.Open, in.Reset = c.Close, c.Open, c.Reset
		lost := x.bms.Lost
		out, events := d.bms.Step(&x.bms, from, to, &in, p.fresh[:0])
		p.note(s, events)
		p.missed += x.bms.Lost - lost
		x.open = !out.Contacts.Positive
		x.chargeA, x.dischargeA = out.ChargeA, out.DischargeA
		x.chargeBy, x.disBy = limitOf(out.ChargeBy, true), limitOf(out.DischargeBy, false)
	}
	if p.connected() == 0 {
		p.follow(d, (to - from).Seconds())
	}
}

// measured is what the management of string s measures, with what its sensors are
// off by.
func (p *pack) measured(s int) bms.Input {
	x, seen := &p.string[s], p.seen(s)
	rest, _ := p.line(s)
	in := bms.Input{
		MinCellV: seen.vMin, MaxCellV: seen.vMax, MinCellK: seen.tMin, MaxCellK: seen.tMax,
		MinSoC: seen.zMin, MaxSoC: seen.zMax, CurrentA: x.amps + x.off.CurrentA,
		RackV: rest, BusV: p.linkV,
	}
	shift(x.off.CellV, &in.MinCellV, &in.MaxCellV)
	shift(x.off.TempK, &in.MinCellK, &in.MaxCellK)
	shift(x.off.SoC, &in.MinSoC, &in.MaxSoC)
	return in
}

// follow lets the voltage of the link follow for dt seconds without a string behind
// it: that of one which is about to be connected, through the precharge resistor, or
// down through its bleeder. The charge that this takes from the string, some 1e-5 of
// what it holds, is not counted.
func (p *pack) follow(d *design, dt float64) {
	for s := range p.string {
		if p.string[s].bms.Mode == bms.Precharging {
			v, _ := p.line(s)
			p.linkV = d.link.Next(p.linkV, v, dt)
			return
		}
	}
	p.linkV = d.link.Left(p.linkV, dt)
}

// lost reports whether every string has tripped.
func (p *pack) lost() bool {
	return !slices.ContainsFunc(p.string, func(s strand) bool { return s.bms.Mode != bms.Tripped })
}

// open reports whether u is to be disconnected.
func (u *unit) open() bool { return u.cut || u.tripped || u.mode == Fault }

// off reports whether nothing connects u, and nothing is about to.
func (d *design) off(u *unit) bool {
	if d.bms == nil {
		return u.open()
	}
	return u.pack.connected() == 0 && (u.open() || u.pack.lost())
}

// switched acts on what unit i has been told about its contactors. Without a
// management they open at once; a management waits for the current to go, as the
// converter runs down, but not for long.
func (f *Fleet) switched(i int, reset bool) {
	f.changed(i)
	u := &f.units[i]
	if u.open() {
		u.pcs.Cancel()
	}
	if f.bms != nil {
		f.manage(u, f.now, f.now, reset)
		u.pack.bound(&f.limits, u.pack.dt)
	}
	if f.off(u) {
		u.pcs.Trip()
		u.ac, u.amps = 0, 0
	}
}

// limitOf is the name a unit has for what binds a string.
func limitOf(b bms.Bound, charging bool) Limit {
	switch b {
	case bms.BoundCellV:
		if charging {
			return LimitVHigh
		}
		return LimitVLow
	case bms.BoundSoC:
		if charging {
			return LimitSoCHigh
		}
		return LimitSoCLow
	case bms.BoundHot:
		return LimitTempHigh
	case bms.BoundCold:
		return LimitTempLow
	case bms.BoundContactor:
		return LimitContactor
	}
	return LimitCurrent
}

// Event is something the management of a string did or saw; its instant counts from
// the start of the fleet.
type Event struct {
	String int
	bms.Event
}

// maxEvents is how many events a unit keeps until somebody takes them.
const maxEvents = 64

// note keeps events of string s as long as there is room, and counts the others.
func (p *pack) note(s int, events []bms.Event) {
	for _, e := range events {
		if len(p.events) == maxEvents {
			p.missed++
			continue
		}
		p.events = append(p.events, Event{String: s, Event: e})
	}
}

// Events takes the events of unit i that nobody has taken yet, oldest first, and says
// how many more there were for which there was no room. A lumped unit has none.
func (f *Fleet) Events(i int) (events []Event, missed int) {
	p := f.units[i].pack
	if p == nil {
		return nil, 0
	}
	events, missed = p.events, p.missed
	p.events, p.missed = nil, 0
	return events, missed
}

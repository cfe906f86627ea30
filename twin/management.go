package twin

import (
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
			Overlap: time.Duration(p.Contactor.Overlap), OpenA: p.Contactor.OpenA, OpenWithin: time.Duration(p.Contactor.OpenWithin),
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

// manage lets the management of every string see the step of k that has ended, and
// puts its contactors and its limits into force for the next one. wanted says that
// the unit is to be connected.
func (d *design) manage(u *unit, k *tick, wanted bool) {
	p := u.pack
	for s := range p.string {
		x := &p.string[s]
		seen := p.seen(s)
		rest, _ := p.line(s)
		in := bms.Input{
			MinCellV: seen.vMin, MaxCellV: seen.vMax, MinCellK: seen.tMin, MaxCellK: seen.tMax,
			MinSoC: seen.zMin, MaxSoC: seen.zMax, CurrentA: x.amps,
			RackV: rest, BusV: p.linkV,
			Close: wanted && x.bms.Mode == bms.Off, Open: !wanted, Reset: p.reset,
		}
		out, events := d.bms.Step(&x.bms, k.from, k.to, &in, p.fresh[:0])
		p.note(s, events)
		x.open = out.Mode != bms.Connected && out.Mode != bms.Opening
		x.chargeA, x.dischargeA = out.ChargeA, out.DischargeA
		x.chargeBy, x.disBy = limitOf(out.ChargeBy, true), limitOf(out.DischargeBy, false)
	}
	p.reset = false
	p.follow(d, k.dt)
}

// follow lets the voltage of the link behind the contactors follow: at once a string
// that is connected, through the precharge resistor one that is about to be.
func (p *pack) follow(d *design, dt float64) {
	pre := -1
	for s := range p.string {
		if !p.string[s].open {
			p.linkV = p.busV
			return
		}
		if p.string[s].bms.Mode == bms.Precharging {
			pre = s
		}
	}
	if pre >= 0 {
		v, _ := p.line(pre)
		p.linkV, _ = d.link.Next(p.linkV, v, dt)
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

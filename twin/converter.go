package twin

import (
	"fmt"
	"time"

	"yunchu/twin/params"
	"yunchu/twin/pcs"
)

// newPCS readies the converter of a model.
func newPCS(m *params.Model) (pcs.Params, error) {
	rated := m.RatedKW * 1e3
	p := pcs.Params{
		RatedW:    rated,
		Charge:    pcs.Loss(m.PCS.Charge),
		Discharge: pcs.Loss(m.PCS.Discharge),
		StandbyW:  m.PCS.StandbyW,
		Delay:     time.Duration(m.PCS.ResponseDelay),
		RampWPerS: m.PCS.RampPerS * rated,
	}
	table := m.PCS.Table
	if c := m.Converter; c != nil {
		if table = c.Table; table == nil {
			p.Charge, p.Discharge = pcs.Loss(*c.Charge), pcs.Loss(*c.Discharge)
		}
	}
	if t := table; t != nil {
		s, err := pcs.FromEfficiency(t.Power, t.DCVolt, t.Charge, t.Discharge, t.NominalV)
		if err != nil {
			return p, fmt.Errorf("converter of %s: %w", m.Name, err)
		}
		p.Surface = s
	}
	if r := m.PCS.Rest; r != nil {
		p.Rest = pcs.Rest{
			IdleW: r.IdleW, After: time.Duration(r.StandbyAfter), WakeUp: time.Duration(r.WakeUp),
			OffAfter: time.Duration(r.OffAfter), OffW: r.OffW, StartUp: time.Duration(r.StartUp),
		}
	}
	if c := m.PCS.Capability; c != nil {
		p.Capability = &pcs.Capability{
			SVA: c.S * rated, ChargeW: c.Charge * rated, DischargeW: c.Discharge * rated,
			AbsorbVar: c.Absorb * rated, InjectVar: c.Inject * rated, QFirst: c.QFirst,
			DCVolt: c.DCVolt, Share: c.Share,
		}
		if c.AirC.Max != 0 {
			p.Capability.AirFullToK, p.Capability.AirMaxK = c.AirC.FullTo+zeroCelsius, c.AirC.Max+zeroCelsius
		}
	}
	return p, nil
}

// able cuts the AC power in W that the battery of u could take and give, both >= 0, to
// what its converter is able to beside the reactive power of its setpoints.
func (d *design) able(u *unit, charge, discharge float64) (c, dis float64) {
	limits := d.pcs.Capability
	if limits == nil {
		return charge, discharge
	}
	ask := pcs.Request{QVar: d.reactive, LowW: -discharge, HighW: charge, DCVolt: u.pcs.DCVolt, AirK: d.ambientK}
	ask.PowerW = charge
	c = limits.Limit(ask).PowerW
	ask.PowerW = -discharge
	return c, 0 - limits.Limit(ask).PowerW
}

package bms_test

import (
	"testing"
	"time"

	"yunchu/twin/bms"
	"yunchu/twin/params"
)

const zeroC = 273.15 // K

// rack is the management of the set that ships.
func rack(t testing.TB) *bms.Params {
	t.Helper()
	p, err := params.LoadBMS("lfp280-rack")
	if err != nil {
		t.Fatal(err)
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
	protect := func(q bms.Quantity, set params.Protection, scale, offset float64) {
		for k, x := range []*params.Threshold{set.Warning1, set.Warning2, set.Trip} {
			if x != nil {
				b.Protect[q][k] = bms.Level{Used: true, Set: x.Set*scale + offset, Clear: x.Clear*scale + offset, Delay: time.Duration(x.Delay), Recover: time.Duration(x.Recover)}
			}
		}
	}
	protect(bms.CellVHigh, r.CellVHigh, 1, 0)
	protect(bms.CellVLow, r.CellVLow, 1, 0)
	protect(bms.CellVSpread, r.CellVSpread, 1, 0)
	protect(bms.TempHigh, r.TempHighC, 1, zeroC)
	protect(bms.TempLow, r.TempLowC, 1, zeroC)
	protect(bms.TempSpread, r.TempSpreadK, 1, 0)
	protect(bms.ChargeCurrent, r.ChargeA, 1, 0)
	protect(bms.DischargeCurrent, r.DischargeA, 1, 0)
	protect(bms.SoCHigh, r.SoCHigh, 0.01, 0)
	protect(bms.SoCLow, r.SoCLow, 0.01, 0)
	fault := func(q bms.Quantity, d params.Delays) {
		b.Protect[q][bms.Trip] = bms.Level{Used: true, Set: 1, Delay: time.Duration(d.Delay), Recover: time.Duration(d.Recover)}
	}
	fault(bms.Insulation, r.Insulation)
	fault(bms.Communication, r.Communication)
	fault(bms.EmergencyStop, r.EmergencyStop)
	return b
}

func direction(c params.RackCurrent) bms.Direction {
	return bms.Direction{
		RatedA: c.RatedA, ContinuousA: c.ContinuousA, CellV: bms.Taper(c.CellV),
		Hot:  bms.Taper{Full: c.HotC.Full + zeroC, None: c.HotC.None + zeroC},
		Cold: bms.Taper{Full: c.ColdC.Full + zeroC, None: c.ColdC.None + zeroC},
		SoC:  bms.Taper{Full: c.SoC.Full / 100, None: c.SoC.None / 100},
	}
}

func link(t testing.TB) bms.Link {
	t.Helper()
	p, err := params.LoadBMS("lfp280-rack")
	if err != nil {
		t.Fatal(err)
	}
	return bms.Link{Ohm: p.Contactor.PrechargeOhm, Farad: p.Contactor.BusFarad, BleedOhm: p.Contactor.BusBleedOhm}
}

// well is an input at which nothing binds and nothing warns.
func well() bms.Input {
	return bms.Input{
		MinCellV: 3.28, MaxCellV: 3.30, MinCellK: 297, MaxCellK: 300, MinSoC: 0.49, MaxSoC: 0.51,
		RackV: 790, BusV: 790,
	}
}

// connected is a rack that has been closed and announces its rating, at 30 s.
func connected(t testing.TB, p *bms.Params) (s bms.State, now time.Duration) {
	t.Helper()
	in := well()
	in.Close = true
	now = 30 * time.Second
	o, _ := p.Step(&s, 0, now, &in, nil)
	if o.Mode != bms.Connected || o.ChargeA != p.Charge.RatedA || o.DischargeA != p.Discharge.RatedA {
		t.Fatalf("30 s after the close command: %+v", o)
	}
	return s, now
}

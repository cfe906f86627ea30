// Package market decides what a battery offers to a market, and what that is worth.
//
// Amounts are in the currency of the prices. Power is in MW here, positive when it is sold, energy
// in MWh, prices in currency per MWh, and per MW and hour for regulation: the units of markets.
package market

import (
	"context"
	"errors"
	"fmt"
	"math"

	"yunchu/platform/market/lp"
)

// Battery is what is known of a battery before a day begins.
type Battery struct {
	PowerMW    float64 // of charge and of discharge, at the grid
	EnergyMWh  float64 // that can be taken out
	Efficiency float64 // of charging: what of the energy bought can be sold again, 0..1
	// VariableCost of each MWh sold.
	VariableCost float64
}

// Regulation is how capacity for regulation is used, on average and at worst (R. Sioshansi and
// others; as EPRI's StorageVET models it).
type Regulation struct {
	Up, Down bool
	// EnergyUp and EnergyDown are the parts of the capacity offered that are called on
	// average, 0..1.
	EnergyUp, EnergyDown float64
	// Hours for which the whole of an offer must be possible.
	Hours float64
	// Balanced keeps the energy that regulation takes from exceeding what it gives, interval
	// by interval, as StorageVET 1.x does (2·u_dis + (1+η)·u_ch >= 0): without it regulation
	// down may charge the battery.
	Balanced bool
}

// Prices are those of consecutive intervals of equal length. RegUp and RegDown may be nil.
type Prices struct {
	Hours          float64 // of an interval
	Energy         []float64
	RegUp, RegDown []float64
}

// Plan is what a battery does in each interval, and why it is worth it.
type Plan struct {
	Charge, Discharge []float64 // MW
	// Regulation offered, MW, while charging and while discharging.
	UpCharge, UpDischarge, DownCharge, DownDischarge []float64
	Stored                                           []float64 // MWh at the begin of each interval and at the end of the last
	Earned                                           []float64 // by interval, the variable cost taken off
	// Value is the revenue less the variable cost. No plan is worth more than AtMost.
	Value, AtMost float64
}

// MostPrice is beyond any price that a market has, and small enough to be added up. So are MostMW and
// LeastMW of a battery, in MWh of its energy too, and LeastEfficiency.
const (
	MostPrice       = 1e9
	MostMW          = 1e6
	LeastMW         = 1e-6
	LeastEfficiency = 0.01
)

// ErrPrices is what is wrong with prices.
var ErrPrices = errors.New("prices")

func (p *Prices) check(r Regulation) error {
	n := len(p.Energy)
	switch {
	case n == 0:
		return fmt.Errorf("%w: there are none", ErrPrices)
	case !(p.Hours > 0):
		return fmt.Errorf("%w: an interval of %v hours", ErrPrices, p.Hours)
	case r.Up && len(p.RegUp) != n:
		return fmt.Errorf("%w: %d of regulation up for %d of energy", ErrPrices, len(p.RegUp), n)
	case r.Down && len(p.RegDown) != n:
		return fmt.Errorf("%w: %d of regulation down for %d of energy", ErrPrices, len(p.RegDown), n)
	}
	for _, column := range [][]float64{p.Energy, p.RegUp, p.RegDown} {
		for k, x := range column {
			if !(math.Abs(x) <= MostPrice) {
				return fmt.Errorf("%w: %v in interval %d, beyond %v", ErrPrices, x, k, float64(MostPrice))
			}
		}
	}
	return nil
}

func (b *Battery) check() error {
	switch {
	case !(b.PowerMW >= LeastMW && b.PowerMW <= MostMW):
		return fmt.Errorf("a battery of %.12g kW: there are those of %g to %g", 1000*b.PowerMW, 1000*LeastMW, 1000*float64(MostMW))
	case !(b.EnergyMWh >= LeastMW && b.EnergyMWh <= MostMW):
		return fmt.Errorf("a battery of %.12g kWh: there are those of %g to %g", 1000*b.EnergyMWh, 1000*LeastMW, 1000*float64(MostMW))
	case !(b.Efficiency >= LeastEfficiency && b.Efficiency <= 1):
		return fmt.Errorf("an efficiency of %v: it is a part of 1, from %v", b.Efficiency, LeastEfficiency)
	case !(math.Abs(b.VariableCost) <= MostPrice):
		return fmt.Errorf("a variable cost of %v a MWh", b.VariableCost)
	}
	return nil
}

// Best is the plan of the highest value when prices are known, empty at its begin and at its
// end. With
//
//	E[t+1] = E[t] + h·(η·ch − dis − η·kᵤ·uc − kᵤ·ud + η·k_d·dc + k_d·dd)
//	uc <= ch, dc + ch <= P, dd <= dis, ud + dis <= P
//	E[t] + H·(η·dc + dd) <= E_max, E[t] − H·(η·uc + ud) >= 0
//
// it maximises the sum over the intervals of h times
//
//	p·(dis − ch) + pᵤ·(uc + ud) + p_d·(dc + dd) + p·kᵤ·(uc + ud) − p·k_d·(dc + dd) − v·(dis + kᵤ·ud − k_d·dd)
//
// where u and d are regulation up and down, c and d behind them while charging and
// discharging. The program is linear and solved exactly; where prices are so negative that
// wasting energy pays, charge and discharge at once are part of the optimum, as in the published
// cases.
func Best(ctx context.Context, b Battery, r Regulation, p Prices) (*Plan, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	if err := p.check(r); err != nil {
		return nil, err
	}
	if !r.Up && !r.Down {
		if plan := trade(b, p); plan != nil {
			plan.earn(b, r, p)
			return plan, nil
		}
	}
	plan, err := program(ctx, b, r, p)
	if err == nil {
		plan.earn(b, r, p)
	}
	return plan, err
}

// earn says what each interval brings: the summands of what is maximised.
func (plan *Plan) earn(b Battery, r Regulation, p Prices) {
	plan.Earned = make([]float64, len(p.Energy))
	for t, price := range p.Energy {
		up, down := plan.UpCharge[t]+plan.UpDischarge[t], plan.DownCharge[t]+plan.DownDischarge[t]
		sum := price * (plan.Discharge[t] - plan.Charge[t] + r.EnergyUp*up - r.EnergyDown*down)
		sum -= b.VariableCost * (plan.Discharge[t] + r.EnergyUp*plan.UpDischarge[t] - r.EnergyDown*plan.DownDischarge[t])
		if r.Up {
			sum += p.RegUp[t] * up
		}
		if r.Down {
			sum += p.RegDown[t] * down
		}
		plan.Earned[t] = p.Hours * sum
	}
}

// program is the plan that the linear program has.
func program(ctx context.Context, b Battery, r Regulation, p Prices) (*Plan, error) {
	var (
		m                lp.Problem
		n, h, eta, most  = len(p.Energy), p.Hours, b.Efficiency, b.PowerMW
		ch, dis, uc, ud  = make([]lp.Var, n), make([]lp.Var, n), make([]lp.Var, n), make([]lp.Var, n)
		dc, dd, energy   = make([]lp.Var, n), make([]lp.Var, n), make([]lp.Var, n+1)
		inf              = math.Inf(1)
		kUp, kDown       = r.EnergyUp, r.EnergyDown
		upMost, downMost = 0.0, 0.0
	)
	if r.Up {
		upMost = most
	}
	if r.Down {
		downMost = most
	}
	for t := range n {
		price := p.Energy[t]
		up, down := -h*kUp*price, h*kDown*price
		if r.Up {
			up -= h * p.RegUp[t]
		}
		if r.Down {
			down -= h * p.RegDown[t]
		}
		ch[t], dis[t] = m.Var(0, most, h*price), m.Var(0, most, h*(b.VariableCost-price))
		uc[t], ud[t] = m.Var(0, upMost, up), m.Var(0, upMost, up+h*b.VariableCost*kUp)
		dc[t], dd[t] = m.Var(0, downMost, down), m.Var(0, downMost, down-h*b.VariableCost*kDown)
		energy[t] = m.Var(0, b.EnergyMWh, 0)
	}
	m.Row(0, 0, lp.Term{Var: energy[0], By: 1})
	energy[n] = m.Var(0, 0, 0)
	for t := range n {
		m.Row(0, 0,
			lp.Term{Var: energy[t+1], By: -1}, lp.Term{Var: energy[t], By: 1},
			lp.Term{Var: ch[t], By: h * eta}, lp.Term{Var: dis[t], By: -h},
			lp.Term{Var: uc[t], By: -h * eta * kUp}, lp.Term{Var: ud[t], By: -h * kUp},
			lp.Term{Var: dc[t], By: h * eta * kDown}, lp.Term{Var: dd[t], By: h * kDown})
		if r.Up {
			m.Row(-inf, 0, lp.Term{Var: uc[t], By: 1}, lp.Term{Var: ch[t], By: -1})
			m.Row(-inf, most, lp.Term{Var: ud[t], By: 1}, lp.Term{Var: dis[t], By: 1})
			m.Row(0, inf, lp.Term{Var: energy[t], By: 1}, lp.Term{Var: uc[t], By: -r.Hours * eta}, lp.Term{Var: ud[t], By: -r.Hours})
		}
		if r.Down {
			m.Row(-inf, 0, lp.Term{Var: dd[t], By: 1}, lp.Term{Var: dis[t], By: -1})
			m.Row(-inf, most, lp.Term{Var: dc[t], By: 1}, lp.Term{Var: ch[t], By: 1})
			m.Row(-inf, b.EnergyMWh, lp.Term{Var: energy[t], By: 1}, lp.Term{Var: dc[t], By: r.Hours * eta}, lp.Term{Var: dd[t], By: r.Hours})
		}
		if r.Balanced && (r.Up || r.Down) {
			m.Row(0, inf,
				lp.Term{Var: ud[t], By: 2 * kUp}, lp.Term{Var: dd[t], By: -2 * kDown},
				lp.Term{Var: uc[t], By: (1 + eta) * kUp}, lp.Term{Var: dc[t], By: -(1 + eta) * kDown})
		}
	}
	s, err := m.Solve(ctx)
	if err != nil {
		return nil, err
	}
	pick := func(list []lp.Var) []float64 {
		out := make([]float64, len(list))
		for i, v := range list {
			out[i] = s.X[v]
		}
		return out
	}
	out := &Plan{
		Charge: pick(ch), Discharge: pick(dis), UpCharge: pick(uc), UpDischarge: pick(ud),
		DownCharge: pick(dc), DownDischarge: pick(dd), Stored: pick(energy),
		Value: -s.Objective, AtMost: -s.Bound,
	}
	return out, nil
}

// trade is the plan for energy alone, nil where only the program has it.
func trade(b Battery, p Prices) *Plan {
	var (
		a    Arbitrage
		n    = len(p.Energy)
		zero = make([]float64, n)
		out  = &Plan{
			Charge: make([]float64, n), Discharge: make([]float64, n), Stored: make([]float64, n+1),
			UpCharge: zero, UpDischarge: zero, DownCharge: zero, DownDischarge: zero,
		}
	)
	value, ok := a.Best(b, p.Hours, p.Energy, out.Stored)
	if !ok {
		return nil
	}
	out.Value, out.AtMost = value, value
	for t := range n {
		if move := out.Stored[t+1] - out.Stored[t]; move > 0 {
			out.Charge[t] = move / p.Hours / b.Efficiency
		} else {
			out.Discharge[t] = -move / p.Hours
		}
	}
	return out
}

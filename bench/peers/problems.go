package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"yunchu/platform/dispatch/alloc"
	"yunchu/platform/market/fleet"
	"yunchu/platform/market/lp"
)

// plans are those that are compared.
func plans() []plan {
	out := []plan{
		{name: "a day of a battery, 96 intervals", build: func() *lp.Problem { return fleetDay(1) }},
		{name: "the same with regulation up and down", build: regulationDay},
	}
	for _, sites := range []int{10, 100, 1000} {
		x := plan{name: fmt.Sprintf("%d sites behind a feeder, 96 intervals", sites), build: func() *lp.Problem { return fleetDay(sites) }}
		if sites == 1000 {
			x.by, x.exact = "fleet", func() func() (optimum, error) { return byPrices(sites) }
		}
		out = append(out, x)
	}
	return append(out, division(1000), division(10_000))
}

const intervals = 96

// dayPrices are those of a day with two peaks, per MWh.
func dayPrices(rng *rand.Rand) []float64 {
	out := make([]float64, intervals)
	for t := range out {
		out[t] = 50 + 20*math.Sin(4*math.Pi*float64(t)/intervals) + 8*rng.NormFloat64()
	}
	return out
}

// storage is a battery of a fleet: MW, MWh, and what it keeps of what is charged.
type storage struct{ power, energy, efficiency float64 }

// drawn are batteries of different sizes, and a day's prices.
func drawn(sites int) (price []float64, out []storage) {
	rng := rand.New(rand.NewPCG(1, 2))
	price = dayPrices(rng)
	for range sites {
		out = append(out, storage{0.5 + rng.Float64(), 1 + 3*rng.Float64(), 0.8 + 0.15*rng.Float64()})
	}
	return price, out
}

// What a feeder lets out and in, MW for each battery.
const forth, in = 0.3, 0.2

// fleetDay is a day of batteries of different sizes that share the limits of a feeder.
func fleetDay(sites int) *lp.Problem {
	var p lp.Problem
	price, batteries := drawn(sites)
	feeder := make([][]lp.Term, intervals)
	for _, b := range batteries {
		before := p.Var(0.3*b.energy, 0.3*b.energy, 0)
		for t := range intervals {
			ch, dis := p.Var(0, b.power, price[t]/4), p.Var(0, b.power, (2-price[t])/4)
			least := 0.0
			if t == intervals-1 {
				least = 0.3 * b.energy
			}
			next := p.Var(least, b.energy, 0)
			p.Row(0, 0, lp.Term{Var: next, By: -1}, lp.Term{Var: before, By: 1}, lp.Term{Var: ch, By: b.efficiency / 4}, lp.Term{Var: dis, By: -0.25})
			before = next
			feeder[t] = append(feeder[t], lp.Term{Var: dis, By: 1}, lp.Term{Var: ch, By: -1})
		}
	}
	for _, terms := range feeder {
		p.Row(-in*float64(sites), forth*float64(sites), terms...)
	}
	return &p
}

// byPrices solves the same by the prices of the feeder.
func byPrices(sites int) func() (optimum, error) {
	price, batteries := drawn(sites)
	p := fleet.Problem{Intervals: intervals, Limits: make([]fleet.Limit, 1)}
	for _, b := range batteries {
		s := fleet.Store{Start: 0.3 * b.energy, Most: b.energy, End: fleet.End{Least: 0.3 * b.energy, Most: b.energy}, Limits: []int{0}}
		for t := range intervals {
			s.Units = append(s.Units,
				fleet.Unit{At: t, Most: b.power, Cost: price[t] / 4, Stores: b.efficiency / 4, Takes: 1},
				fleet.Unit{At: t, Most: b.power, Cost: (2 - price[t]) / 4, Stores: -0.25, Takes: -1})
		}
		p.Stores = append(p.Stores, s)
	}
	for range intervals {
		l := &p.Limits[0]
		l.Least, l.Most = append(l.Least, -forth*float64(sites)), append(l.Most, in*float64(sites))
	}
	return func() (optimum, error) {
		s, err := p.Solve(context.Background())
		if err != nil {
			return optimum{}, err
		}
		return optimum{Objective: s.Cost, rounds: s.Rounds}, nil
	}
}

// regulationDay is a day of 1 MW and 4 MWh that also sells regulation, of which 30 % and 15 % are called.
func regulationDay() *lp.Problem {
	const h, eta, up, down, most, full = 24. / intervals, 0.85, 0.30, 0.15, 1, 4
	rng := rand.New(rand.NewPCG(3, 4))
	price := dayPrices(rng)
	var p lp.Problem
	before := p.Var(0, 0, 0)
	for t := range intervals {
		forUp, forDown := 5+10*rng.Float64(), 5+10*rng.Float64()
		gainUp, gainDown := h*(up*price[t]+forUp), h*(forDown-down*price[t])
		ch, dis := p.Var(0, most, h*price[t]), p.Var(0, most, h*(2-price[t]))
		upCh, upDis := p.Var(0, most, -gainUp), p.Var(0, most, 2*h*up-gainUp)
		downCh, downDis := p.Var(0, most, -gainDown), p.Var(0, most, -2*h*down-gainDown)
		room := float64(full)
		if t == intervals-1 {
			room = 0
		}
		next := p.Var(0, room, 0)
		p.Row(
			0, 0, lp.Term{Var: next, By: -1}, lp.Term{Var: before, By: 1}, lp.Term{Var: ch, By: h * eta}, lp.Term{Var: dis, By: -h},
			lp.Term{Var: upCh, By: -h * eta * up}, lp.Term{Var: upDis, By: -h * up}, lp.Term{Var: downCh, By: h * eta * down}, lp.Term{Var: downDis, By: h * down},
		)
		p.Row(math.Inf(-1), 0, lp.Term{Var: upCh, By: 1}, lp.Term{Var: ch, By: -1})
		p.Row(math.Inf(-1), most, lp.Term{Var: upDis, By: 1}, lp.Term{Var: dis, By: 1})
		p.Row(0, math.Inf(1), lp.Term{Var: before, By: 1}, lp.Term{Var: upCh, By: -eta}, lp.Term{Var: upDis, By: -1})
		p.Row(math.Inf(-1), 0, lp.Term{Var: downDis, By: 1}, lp.Term{Var: dis, By: -1})
		p.Row(math.Inf(-1), most, lp.Term{Var: downCh, By: 1}, lp.Term{Var: ch, By: 1})
		p.Row(math.Inf(-1), full, lp.Term{Var: before, By: 1}, lp.Term{Var: downCh, By: eta}, lp.Term{Var: downDis, By: 1})
		before = next
	}
	return &p
}

// division is one power among many units, as package alloc has it, with squares.
func division(units int) plan {
	rng := rand.New(rand.NewPCG(5, 6))
	var q alloc.Problem
	target := 0.0
	for range units {
		rated := 20 + 180*rng.Float64()
		q.A, q.B = append(q.A, (0.5+rng.Float64())/rated), append(q.B, 0.2*rng.NormFloat64())
		q.R, q.Lo, q.Hi = append(q.R, 0), append(q.Lo, -rated), append(q.Hi, rated)
		target += 0.4 * rated
	}
	build := func() *lp.Problem {
		var p lp.Problem
		terms := make([]lp.Term, units)
		for i := range units { // ½a(P − r)² + bP with r = 0
			v := p.Var(q.Lo[i], q.Hi[i], q.B[i])
			p.Square(v, q.A[i])
			terms[i] = lp.Term{Var: v, By: 1}
		}
		p.Row(target, target, terms...)
		return &p
	}
	exact := func() func() (optimum, error) {
		var s alloc.Solver
		power := make([]float64, units)
		return func() (optimum, error) {
			if _, err := s.Solve(q, target, power); err != nil {
				return optimum{}, err
			}
			cost := 0.0
			for i, x := range power {
				cost += q.A[i]*x*x/2 + q.B[i]*x
			}
			return optimum{Objective: cost}, nil
		}
	}
	return plan{name: fmt.Sprintf("one power among %d units", units), build: build, squares: true, by: "alloc", exact: exact}
}

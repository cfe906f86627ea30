package lp

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// fleet is a day of batteries that share the limits of a feeder.
func fleet(sites int) *Problem {
	const n = 96
	rng := rand.New(rand.NewPCG(1, 2))
	var p Problem
	price := make([]float64, n)
	for i := range price {
		price[i] = 50 + 20*math.Sin(4*math.Pi*float64(i)/n) + 8*rng.NormFloat64()
	}
	feeder := make([][]Term, n)
	for range sites {
		power, energy, eta := 0.5+rng.Float64(), 1+3*rng.Float64(), 0.8+0.15*rng.Float64()
		before := p.Var(0.3*energy, 0.3*energy, 0)
		for i := range n {
			ch, dis := p.Var(0, power, price[i]/4), p.Var(0, power, (2-price[i])/4)
			least := 0.0
			if i == n-1 {
				least = 0.3 * energy
			}
			next := p.Var(least, energy, 0)
			p.Row(0, 0, Term{next, -1}, Term{before, 1}, Term{ch, eta / 4}, Term{dis, -0.25})
			before = next
			feeder[i] = append(feeder[i], Term{dis, 1}, Term{ch, -1})
		}
	}
	for _, terms := range feeder {
		p.Row(-0.2*float64(sites), 0.3*float64(sites), terms...)
	}
	return &p
}

// TestFleet: what many share is found as well as what each has.
func TestFleet(t *testing.T) {
	s := solved(t, fleet(20))
	if s.Rounds > 60 {
		t.Errorf("it took %d rounds", s.Rounds)
	}
}

// BenchmarkFleet builds and solves; again solves what is there with other costs.
func BenchmarkFleet(b *testing.B) {
	for _, sites := range []int{1, 20, 100, 1000} {
		b.Run(fmt.Sprintf("%d/first", sites), func(b *testing.B) {
			for b.Loop() {
				if _, err := fleet(sites).Solve(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%d/again", sites), func(b *testing.B) {
			p, k := fleet(sites), 0
			for b.Loop() {
				k++
				p.SetCost(Var(1), float64(k%7))
				if _, err := p.Solve(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package fleet

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestAgain: what is best for a store at other prices is the same from where it was before as from nothing, and most
// often it is found from there, also where prices differ by as much as the stores' costs do.
func TestAgain(t *testing.T) {
	for _, p := range []*Problem{feeder(20, 4), nested(40, 4)} {
		s := newSolver(p)
		rng := rand.New(rand.NewPCG(7, 8))
		g := &s.parts[0]
		prices, width := make([]float64, p.Intervals), s.spread
		asked, found := 0, 0
		for _, by := range []float64{1, 1, 0.1, 0.01, 0.5, 1e-3, 1e-9, 0} {
			for k := range prices {
				prices[k] += by * s.spread * rng.NormFloat64()
			}
			for i := range p.Stores {
				x, y := &s.states[i], &p.Stores[i]
				if x.known {
					asked++
					g.ask(x, prices, width)
					if g.again(y, x, width) {
						found++
					}
				}
				value, ok := g.run(y, x, prices, width)
				anew := *x
				anew.known, anew.worth, anew.power = false, make([]float64, p.Intervals), make([]float64, len(x.units))
				want, able := g.run(y, &anew, prices, width)
				if ok != able || math.Abs(value-want) > 1e-9*math.Abs(want) {
					t.Fatalf("store %d costs %v, %v and %v, %v anew", i, value, ok, want, able)
				}
				for k, z := range x.power {
					if math.Abs(z-anew.power[k]) > 1e-8*x.units[k].room {
						t.Fatalf("unit %d of store %d does %v, and %v anew", k, i, z, anew.power[k])
					}
				}
			}
			s.stay()
			width /= 3
		}
		if 4*found < 3*asked {
			t.Errorf("found %d times of %d", found, asked)
		}
	}
}

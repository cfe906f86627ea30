package cell

import "math"

// arrhenius evaluates exp(Ea_k*(1/T - 1/Tref)/R) for the three resistances. Within
// its range it expands around tabulated nodes: x is at most half a node away, where
// the cubic leaves a relative error below 5e-11 for activation energies up to
// 30 kJ/mol (2e-12 at 298 K). It is a function of T alone, with no memory.
type arrhenius struct {
	nodes []node
	ea    [3]float64 // J/mol
	invR  float64    // mol*K/J
	invT0 float64    // 1/K
}

type node struct {
	invT float64 // 1/K
	f    [3]float64
}

const (
	nodeLow   = 200.0 // K, first node
	nodeHigh  = 480.0 // K
	nodesPerK = 8.0
)

func newArrhenius(ea [3]float64, tRef, rGas float64) arrhenius {
	a := arrhenius{ea: ea, invR: 1 / rGas, invT0: 1 / tRef}
	a.nodes = make([]node, int((nodeHigh-nodeLow)*nodesPerK)+1)
	for j := range a.nodes {
		t := nodeLow + float64(j)/nodesPerK
		a.nodes[j] = node{invT: 1 / t, f: a.exact(t)}
	}
	return a
}

func (a *arrhenius) exact(t float64) (f [3]float64) {
	x := (1/t - a.invT0) * a.invR
	for k, ea := range a.ea {
		f[k] = math.Exp(ea * x)
	}
	return f
}

// factors are the three values at one temperature.
type factors struct {
	invT float64 // 1/K
	f    [3]float64
}

// at works out the factors at t kelvin.
func (a *arrhenius) at(t float64, f *factors) {
	f.invT = 1 / t
	if !(t > nodeLow && t < nodeHigh) {
		f.f = a.exact(t)
		return
	}
	n := &a.nodes[uint((t-nodeLow)*nodesPerK+0.5)]
	x := (f.invT - n.invT) * a.invR
	f.f[0] = n.f[0] * exp3(a.ea[0]*x)
	f.f[1] = n.f[1] * exp3(a.ea[1]*x)
	f.f[2] = n.f[2] * exp3(a.ea[2]*x)
}

// nearby returns the factors at a temperature dt kelvin from that of f, by the same
// expansion where dt is small.
func (a *arrhenius) nearby(f *factors, dt float64) (f0, f1, f2 float64) {
	d := dt * f.invT
	if !(math.Abs(d) < 4e-4) { // 0.12 K at 298 K
		var g factors
		a.at(1/f.invT+dt, &g)
		return g.f[0], g.f[1], g.f[2]
	}
	// 1/(T+dt) - 1/T = -(d - d^2 + d^3)/T to a relative 3e-11 of itself.
	x := -d * (1 - d + d*d) * f.invT * a.invR
	return f.f[0] * exp3(a.ea[0]*x), f.f[1] * exp3(a.ea[1]*x), f.f[2] * exp3(a.ea[2]*x)
}

// exp3 is exp(y) for small y.
func exp3(y float64) float64 { return 1 + y + y*y*(0.5+y*(1.0/6)) }

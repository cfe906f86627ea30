package thermal

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Network is a set of nodes with heat capacity, joined by conductances to each
// other and to surroundings that keep their temperature:
//
//	C_i*dT_i/dt = q_i + sum_j G_ij*(T_j - T_i) + sum_b G_ib*(T_b - T_i)
//
// The surroundings of a node enter a step as part of its heat input,
// p_i = q_i + sum_b G_ib*T_b, so that they may change from step to step.
// A network is built once; Spectrum makes it ready for stepping.
type Network struct {
	capacity []float64 // J/K
	joined   []float64 // W/K, n*n row-major: what leaves node i per kelvin of node j
}

// NewNetwork returns nodes of the given heat capacities in J/K, not yet joined.
// It panics if one is not above zero.
func NewNetwork(capacity ...float64) *Network {
	for i, c := range capacity {
		if !(c > 0) || math.IsInf(c, 0) {
			panic(fmt.Sprintf("thermal: heat capacity of node %d is %g J/K", i, c))
		}
	}
	n := len(capacity)
	return &Network{capacity: append([]float64(nil), capacity...), joined: make([]float64, n*n)}
}

// Connect adds a conductance of g W/K between the nodes i and j.
func (w *Network) Connect(i, j int, g float64) {
	n := len(w.capacity)
	w.Ground(i, g)
	w.Ground(j, g)
	w.joined[i*n+j] -= g
	w.joined[j*n+i] -= g
}

// Ground adds a conductance of g W/K from node i to surroundings, whose
// temperature is given with each step. It panics if g is negative.
func (w *Network) Ground(i int, g float64) {
	if !(g >= 0) || math.IsInf(g, 0) {
		panic(fmt.Sprintf("thermal: conductance at node %d is %g W/K", i, g))
	}
	w.joined[i*len(w.capacity)+i] += g
}

// negligible is what share of the largest rate is left out: nothing comes of it in
// the age of the universe, and the QR iteration of gonum 0.17 returns eigenvalues
// in the wrong scale for blocks below 1e-122.
const negligible = 1e-60

// Spectrum solves the network once for all step lengths. Conduction is symmetric,
// so with x = sqrt(C)*T the network is dx/dt = -S*x with S symmetric and without
// negative eigenvalues: S = Q*diag(rate)*Q'. In the amplitudes y = Q'*x every mode
// goes its own way, exactly:
//
//	dy/dt = f - rate*y,  y = Q'*sqrt(C)*T,  f = Q'*p/sqrt(C),  T = Q*y/sqrt(C)
func (w *Network) Spectrum() *Spectrum {
	n := len(w.capacity)
	sym := mat.NewSymDense(n, nil)
	fastest := 0.0 // 1/s
	for i := range n {
		fastest = max(fastest, w.joined[i*n+i]/w.capacity[i])
	}
	for i := range n {
		for j := i; j < n; j++ {
			v := w.joined[i*n+j] / math.Sqrt(w.capacity[i]*w.capacity[j])
			if math.Abs(v) > negligible*fastest {
				sym.SetSym(i, j, v)
			}
		}
	}
	var eig mat.EigenSym
	if !eig.Factorize(sym, true) {
		panic("thermal: a symmetric matrix of finite numbers has no eigenvectors") // the QR iteration always ends
	}
	var q mat.Dense
	eig.VectorsTo(&q)
	s := &Spectrum{n: n, rate: eig.Values(nil), to: make([]float64, n*n), from: make([]float64, n*n)}
	for k := range n {
		s.rate[k] = max(0, s.rate[k]) // rounding may leave -1e-18 where nothing is lost
		for i := range n {
			root := math.Sqrt(w.capacity[i])
			s.to[k*n+i] = q.At(i, k) * root
			s.from[i*n+k] = q.At(i, k) / root
		}
	}
	return s
}

// Spectrum is a network in the coordinates of its modes: immutable, shared by all
// networks alike, good for any step length.
type Spectrum struct {
	n        int
	rate     []float64 // 1/s, decay of each mode
	to, from []float64 // n*n row-major: amplitudes from temperatures and back
}

// Nodes is the number of nodes.
func (s *Spectrum) Nodes() int { return s.n }

// amplitudes puts the modes of the temperatures t into y.
func (s *Spectrum) amplitudes(y, t []float64) { multiply(y, s.to, t) }

// forcing puts the drive of the modes by the heats p (W) into f.
func (s *Spectrum) forcing(f, p []float64) {
	clear(f)
	for i, w := range p {
		for k, v := range s.from[i*s.n : (i+1)*s.n] {
			f[k] += v * w
		}
	}
}

// temperatures is the way back from amplitudes y.
func (s *Spectrum) temperatures(t, y []float64) { multiply(t, s.from, y) }

// multiply is dst = m*x with m row-major.
func multiply(dst, m, x []float64) {
	n := len(x)
	for i := range dst {
		var sum float64
		for j, v := range m[i*n : (i+1)*n] {
			sum += v * x[j]
		}
		dst[i] = sum
	}
}

// decay returns exp(-z) and the functions that average it: phi1 its mean over
// 0..z, and phi(k+1) = (1/k! - phik)/z, each to nearly full precision for z >= 0.
// Over a step of h with z = rate*h a mode with drive f0 + (f1-f0)*t/h moves to
//
//	y(h) = e*y + h*(phi1*f0 + phi2*(f1-f0)),  mean y = phi1*y + h*(phi2*f0 + phi3*(f1-f0))
//
// (Hochbruck & Ostermann, Acta Numerica 19 (2010) 209, section 2.1).
func decay(z float64) (e, phi1, phi2, phi3 float64) {
	if z >= 1 {
		e = math.Exp(-z)
		phi1 = (1 - e) / z
		phi2 = (1 - phi1) / z
		return e, phi1, phi2, (0.5 - phi2) / z
	}
	// The series of phi3, from which the others follow without cancellation; the
	// first term left out is z^15/18! < 2e-16.
	term := 1.0 / 6
	for k := 4; k < 19; k++ {
		phi3 += term
		term *= -z / float64(k)
	}
	phi2 = 0.5 - z*phi3
	phi1 = 1 - z*phi2
	return 1 - z*phi1, phi1, phi2, phi3
}

package thermal_test

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"yunchu/twin/thermal"
)

// moduleChain is the 1p16s row of case D.
var moduleChain = thermal.Chain{Cells: 16, Capacity: 5.42 * 1001, Neighbour: 0.38, Env: 0.25, CoolantFirst: 3}

// One node is the lumped step of this package.
func TestNetworkOfOneNode(t *testing.T) {
	const capacity, g, env, q, t0 = 5425.0, 0.63, 278.15, 12.0, 310.0
	w := thermal.NewNetwork(capacity)
	w.Ground(0, g)
	s := w.Spectrum()
	for _, dt := range []float64{1e-3, 1, 900, 1e6} {
		p, got := s.Propagator(dt), make([]float64, 1)
		inf := env + q/g
		x := g * dt / capacity
		for _, tt := range []struct {
			name string
			m    thermal.Map
			want float64
		}{
			{"end", p.End, inf + (t0-inf)*math.Exp(-x)},
			{"half", p.Half, inf + (t0-inf)*math.Exp(-x/2)},
			{"mean", p.Mean, inf - (t0-inf)*math.Expm1(-x)/x},
		} {
			if tt.m.Apply(got, []float64{t0}, []float64{q + g*env}); math.Abs(got[0]-tt.want) > 2e-11 {
				t.Errorf("%s of %g s: %.14g K, want %.14g K", tt.name, dt, got[0], tt.want)
			}
		}
	}
}

// Two nodes alone exchange heat with the rate (1/C1 + 1/C2)*G and keep its sum.
func TestTwoNodesAlone(t *testing.T) {
	const c0, c1, g = 1200.0, 300.0, 4.0
	w := thermal.NewNetwork(c0, c1)
	w.Connect(0, 1, g)
	got := make([]float64, 2)
	w.Spectrum().Propagator(37).End.Apply(got, []float64{300, 340}, []float64{0, 0})
	common := (c0*300 + c1*340) / (c0 + c1)
	left := math.Exp(-g * (1/c0 + 1/c1) * 37)
	for i, want := range []float64{common + (300-common)*left, common + (340-common)*left} {
		if math.Abs(got[i]-want) > 1e-11 {
			t.Errorf("node %d: %.14g K, want %.14g K", i, got[i], want)
		}
	}
}

// A row without losses, one end heated: after long time all nodes rise alike, and
// the temperature along the row is a parabola (discrete heat equation).
func TestHeatedRowAlone(t *testing.T) {
	c := thermal.Chain{Cells: 5, Capacity: 100, Neighbour: 2}
	const q, dt = 10.0, 1e4
	got, p := make([]float64, 5), make([]float64, 5)
	c.Heat(p, []float64{q, 0, 0, 0, 0}, 0, 0, 0)
	c.Network().Spectrum().Propagator(dt).End.Apply(got, slices.Repeat([]float64{300}, 5), p)
	// The flow from i to i+1 warms what lies behind it: q*(4-i)/5.
	mean := 0.0
	for i := range 4 {
		if want := q * float64(4-i) / 5 / c.Neighbour; math.Abs(got[i]-got[i+1]-want) > 1e-9 {
			t.Errorf("from node %d to %d: %.12g K, want %.12g K", i, i+1, got[i]-got[i+1], want)
		}
	}
	for _, k := range got {
		mean += k / 5
	}
	if want := 300 + q*dt/500; math.Abs(mean-want) > 1e-9 {
		t.Errorf("mean %.12g K, want %.12g K", mean, want)
	}
}

// network is any connected or unconnected network of 2 to 8 nodes with its
// equations as dT/dt = a*T + b*p.
func network(t *rapid.T) (w *thermal.Network, a, b *mat.Dense) {
	n := rapid.IntRange(2, 8).Draw(t, "nodes")
	capacity := rapid.SliceOfN(rapid.Float64Range(100, 1e5), n, n).Draw(t, "capacity")
	w = thermal.NewNetwork(capacity...)
	a, b = mat.NewDense(n, n, nil), mat.NewDense(n, n, nil)
	add := func(i, j int, g float64) { a.Set(i, j, a.At(i, j)+g/capacity[i]) }
	g := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0, 50))
	for i := range n {
		b.Set(i, i, 1/capacity[i])
		ground := g.Draw(t, "ground")
		w.Ground(i, ground)
		add(i, i, -ground)
		for j := range i {
			joint := g.Draw(t, "joint")
			w.Connect(i, j, joint)
			add(i, i, -joint)
			add(j, j, -joint)
			add(i, j, joint)
			add(j, i, joint)
		}
	}
	return w, a, b
}

// Any network against the exponential of the augmented matrix, which carries the
// heats and their growth as constants, and the integral of the temperatures:
// d/dt (T, p, s, z) = (a*T + b*p, s, 0, T).
func TestNetworkAgainstMatrixExponential(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, a, b := network(t)
		n, _ := a.Dims()
		dt := rapid.Float64Range(0.1, 3600).Draw(t, "dt")
		draw := func(name string, lo, hi float64) []float64 {
			return rapid.SliceOfN(rapid.Float64Range(lo, hi), n, n).Draw(t, name)
		}
		temps, p0, p1 := draw("temps", 250, 350), draw("p0", -100, 1e4), draw("p1", -100, 1e4)
		big, x := mat.NewDense(4*n, 4*n, nil), mat.NewVecDense(4*n, nil)
		big.Slice(0, n, 0, n).(*mat.Dense).Copy(a)
		big.Slice(0, n, n, 2*n).(*mat.Dense).Copy(b)
		for i := range n {
			big.Set(n+i, 2*n+i, 1)
			big.Set(3*n+i, i, 1)
			x.SetVec(i, temps[i])
			x.SetVec(n+i, p0[i])
			x.SetVec(2*n+i, (p1[i]-p0[i])/dt)
		}
		at := func(s float64) []float64 {
			var scaled, e mat.Dense
			scaled.Scale(s, big)
			e.Exp(&scaled)
			var y mat.VecDense
			y.MulVec(&e, x)
			return y.RawVector().Data
		}
		end, half := at(dt), at(dt/2)
		mean := slices.Clone(end[3*n:])
		for i := range mean {
			mean[i] /= dt
		}
		p, got := w.Spectrum().Propagator(dt), make([]float64, n)
		for _, tt := range []struct {
			name string
			m    thermal.Map
			want []float64
		}{{"end", p.End, end[:n]}, {"half", p.Half, half[:n]}, {"mean", p.Mean, mean}} {
			tt.m.ApplyRamp(got, temps, p0, p1)
			scale := max(350, slices.Max(tt.want), -slices.Min(tt.want)) // K
			for i, want := range tt.want {
				if math.Abs(got[i]-want) > 1e-8*scale { // what the scaling and squaring of the exponential leaves
					t.Fatalf("%s, node %d: %.14g K, want %.14g K", tt.name, i, got[i], want)
				}
			}
		}
	})
}

// Steps may be cut anywhere, and mean, end and heat agree: what is stored is what
// came in, less what the mean temperatures lost to the surroundings.
func TestNetworkKeepsEnergy(t *testing.T) {
	c := moduleChain
	c.CoolantLast = 1.5
	s := c.Network().Spectrum()
	rapid.Check(t, func(t *rapid.T) {
		dt := rapid.Float64Range(0.1, 1e4).Draw(t, "dt")
		temps := rapid.SliceOfN(rapid.Float64Range(270, 330), c.Cells, c.Cells).Draw(t, "temps")
		q := rapid.SliceOfN(rapid.Float64Range(-20, 60), c.Cells, c.Cells).Draw(t, "q")
		const env, first, last = 298.15, 291.15, 296.15
		p, end, mean := make([]float64, c.Cells), make([]float64, c.Cells), make([]float64, c.Cells)
		c.Heat(p, q, env, first, last)
		whole := s.Propagator(dt)
		whole.End.Apply(end, temps, p)
		whole.Mean.Apply(mean, temps, p)
		var stored, came, moved float64
		for i := range end {
			stored += c.Capacity * (end[i] - temps[i])
			came += dt * (q[i] + c.Env*(env-mean[i]))
			moved += math.Abs(dt*q[i]) + math.Abs(c.Capacity*(end[i]-temps[i]))
		}
		came += dt * (c.CoolantFirst*(first-mean[0]) + c.CoolantLast*(last-mean[c.Cells-1]))
		if math.Abs(stored-came) > 1e-11*moved+1e-6 {
			t.Fatalf("%.12g J stored, %.12g J came", stored, came)
		}
		cut := rapid.Float64Range(0.01, 0.99).Draw(t, "cut") * dt
		mid, both := make([]float64, c.Cells), make([]float64, c.Cells)
		s.Propagator(cut).End.Apply(mid, temps, p)
		s.Propagator(dt-cut).End.Apply(both, mid, p)
		for i := range both {
			if math.Abs(both[i]-end[i]) > 1e-10 {
				t.Fatalf("node %d: in two parts %.14g K, at once %.14g K", i, both[i], end[i])
			}
		}
	})
}

// The row of case D against classical Runge-Kutta at 0.05 s.
func TestChainAgainstRungeKutta(t *testing.T) {
	c := moduleChain
	const dt, h, env, coolant = 10.0, 0.05, 298.15, 293.15
	temps, q := make([]float64, c.Cells), make([]float64, c.Cells)
	for i := range temps {
		temps[i], q[i] = 295.15+0.15*float64(i), 8+float64(i%3)
	}
	rate := func(k []float64) []float64 {
		d := make([]float64, len(k))
		for i := range k {
			flow := q[i] + c.Env*(env-k[i])
			if i > 0 {
				flow += c.Neighbour * (k[i-1] - k[i])
			}
			if i < len(k)-1 {
				flow += c.Neighbour * (k[i+1] - k[i])
			}
			if i == 0 {
				flow += c.CoolantFirst * (coolant - k[i])
			}
			d[i] = flow / c.Capacity
		}
		return d
	}
	plus := func(k, d []float64, by float64) []float64 {
		sum := slices.Clone(k)
		for i := range sum {
			sum[i] += by * d[i]
		}
		return sum
	}
	want := slices.Clone(temps)
	for range int(3600 / h) {
		k1 := rate(want)
		k2 := rate(plus(want, k1, h/2))
		k3 := rate(plus(want, k2, h/2))
		k4 := rate(plus(want, k3, h))
		for i := range want {
			want[i] += h / 6 * (k1[i] + 2*k2[i] + 2*k3[i] + k4[i])
		}
	}
	step := thermal.NewCache(c.Network().Spectrum())
	got, p, next := slices.Clone(temps), make([]float64, c.Cells), make([]float64, c.Cells)
	for range int(3600 / dt) {
		c.Heat(p, q, env, coolant, 0)
		step.For(dt).End.Apply(next, got, p)
		got, next = next, got
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > 1e-9 {
			t.Errorf("cell %d: %.13g K, want %.13g K", i, got[i], want[i])
		}
	}
}

func TestNetworkRefuses(t *testing.T) {
	for name, build := range map[string]func(){
		"no capacity":          func() { thermal.NewNetwork(1, 0) },
		"not a number":         func() { thermal.NewNetwork(math.NaN()) },
		"negative conductance": func() { thermal.NewNetwork(1, 1).Connect(0, 1, -1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			build()
		}()
	}
}

func TestPropagatorAllocatesNothing(t *testing.T) {
	c := thermal.NewCache(moduleChain.Network().Spectrum())
	x, y, p := slices.Repeat([]float64{300}, 16), make([]float64, 16), make([]float64, 16)
	c.For(1)
	if n := testing.AllocsPerRun(100, func() {
		step := c.For(1)
		step.Half.Apply(y, x, p)
		step.Mean.ApplyRamp(y, x, p, p)
		step.End.Apply(y, x, p)
	}); n != 0 {
		t.Errorf("%g allocations a step", n)
	}
}

func BenchmarkChainStep(b *testing.B) {
	step := moduleChain.Network().Spectrum().Propagator(1)
	x, y, p := slices.Repeat([]float64{300}, 16), make([]float64, 16), make([]float64, 16)
	for b.Loop() {
		step.End.Apply(y, x, p)
	}
}

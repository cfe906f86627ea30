package fit

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// ThermalRecord is a measurement of a cell with thermocouples in its core and on its
// surface, at rising times.
type ThermalRecord struct {
	Name                string
	T                   []float64 // s
	I, V                []float64 // A (above 0 on charge), V
	Core, Surface, Envs []float64 // K
}

// TwoNode is a cell as two heat capacities, core and surface. The heat
//
//	q = I*(V - B)
//
// with B = U - T*dU/dT, the voltage at which the current neither heats nor cools, arises
// in both; the core loses heat to the surface and, through the ends, to the
// surroundings:
//
//	C_c dT_c/dt = s*q - G*(T_c - T_s) - G_e*(T_c - T_env)
//	C_s dT_s/dt = (1-s)*q + G*(T_c - T_s) - G_m*(T_s - T_env)
//
// G_m, the mantle's, belongs to the cooling and not to the cell. Over a narrow range of
// state of charge on the plateau of an LFP cell B is a constant. (Lin et al., J. Power
// Sources 257, 2014, have s = 1 and G_e = 0; a cylinder that makes its heat evenly loses
// part of it on the way out and through its ends.)
type TwoNode struct {
	CoreJPerK, SurfaceJPerK float64 // J/K
	LinkWPerK, EndWPerK     float64 // W/K, G and G_e
	CoreShare               float64 // s, 0..1
	BalanceV                float64 // V, B
	ProbeS                  float64 // s
}

func (r *ThermalRecord) check() error {
	n := len(r.T)
	for _, c := range [][]float64{r.I, r.V, r.Core, r.Surface, r.Envs} {
		if n < 2 || len(c) != n {
			return fmt.Errorf("%s: columns of different lengths, or less than two readings", r.Name)
		}
	}
	for k := 1; k < n; k++ {
		if !(r.T[k] > r.T[k-1]) {
			return fmt.Errorf("%s: time %g s after %g s, want rising", r.Name, r.T[k], r.T[k-1])
		}
	}
	return nil
}

// Simulate fills core and surface with the temperatures in K that the cell has at the
// readings of r, beginning with those measured, while its mantle loses mantle W/K.
// Current, voltage and surroundings are constant from one reading to the next.
func (n *TwoNode) Simulate(r *ThermalRecord, mantle float64, core, surface []float64) {
	core[0], surface[0] = r.Core[0], r.Surface[0]
	probe := make([]float64, len(core))
	var s thermalStep
	for k := 1; k < len(r.T); k++ {
		if dt := r.T[k] - r.T[k-1]; dt != s.dt {
			s = n.step(mantle, dt)
		}
		q := r.I[k-1] * (r.V[k-1] - n.BalanceV)
		env := r.Envs[k-1]
		c, u := core[k-1]-env, surface[k-1]-env
		core[k] = env + s.keep[0][0]*c + s.keep[0][1]*u + s.heat[0]*q
		surface[k] = env + s.keep[1][0]*c + s.keep[1][1]*u + s.heat[1]*q
	}
	if n.ProbeS > 0 {
		p := core[0]
		for k := 1; k < len(core); k++ {
			a := math.Exp(-(r.T[k] - r.T[k-1]) / n.ProbeS)
			p = p*a + (1-a)*(core[k-1]+core[k])/2
			core[k-1], core[k] = core[k-1], core[k]
			probe[k] = p
		}
		copy(core[1:], probe[1:])
	}
}

// thermalStep takes temperatures over the surroundings from one reading to the next.
type thermalStep struct {
	dt   float64
	keep [2][2]float64
	heat [2]float64 // K/W
}

// step is the exact step of dt seconds: the exponential of the matrix of the two
// balances with the heat as a third, constant state.
func (n *TwoNode) step(mantle, dt float64) thermalStep {
	var e mat.Dense
	e.Exp(mat.NewDense(3, 3, []float64{
		-dt * (n.LinkWPerK + n.EndWPerK) / n.CoreJPerK, dt * n.LinkWPerK / n.CoreJPerK, dt * n.CoreShare / n.CoreJPerK,
		dt * n.LinkWPerK / n.SurfaceJPerK, -dt * (n.LinkWPerK + mantle) / n.SurfaceJPerK, dt * (1 - n.CoreShare) / n.SurfaceJPerK,
		0, 0, 0,
	}))
	s := thermalStep{dt: dt}
	for i := range 2 {
		s.keep[i] = [2]float64{e.At(i, 0), e.At(i, 1)}
		s.heat[i] = e.At(i, 2)
	}
	return s
}

// ThermalScore is the RMSE of a simulation in K.
type ThermalScore struct{ Core, Surface float64 }

// Score compares the cell with r from the time from on, in s.
func (n *TwoNode) Score(r *ThermalRecord, mantle, from float64) ThermalScore {
	core, surface := make([]float64, len(r.T)), make([]float64, len(r.T))
	n.Simulate(r, mantle, core, surface)
	var s ThermalScore
	count := 0.0
	for k := range core {
		if r.T[k] >= from {
			s.Core += (core[k] - r.Core[k]) * (core[k] - r.Core[k])
			s.Surface += (surface[k] - r.Surface[k]) * (surface[k] - r.Surface[k])
			count++
		}
	}
	return ThermalScore{Core: math.Sqrt(s.Core / count), Surface: math.Sqrt(s.Surface / count)}
}

// Thermal fits a cell and the loss of its mantle in W/K to a record.
func Thermal(r *ThermalRecord) (cell TwoNode, mantle float64, err error) {
	if err := r.check(); err != nil {
		return cell, 0, err
	}
	log := math.Log
	start := []float64{log(100), log(50), log(0.5), log(0.1), 0.8, 3.3, log(0.3), 15}
	node := func(x []float64) (TwoNode, float64) {
		return TwoNode{
			CoreJPerK: math.Exp(x[0]), SurfaceJPerK: math.Exp(x[1]), LinkWPerK: math.Exp(x[2]), EndWPerK: math.Exp(x[3]),
			CoreShare: x[4], BalanceV: x[5],
			ProbeS: x[7],
		}, math.Exp(x[6])
	}
	p := thermalProblem(r, len(r.T), node)
	p.low = []float64{log(1), log(1), log(1e-3), log(1e-4), 0, 2.5, log(1e-3), 0.1}
	p.high = []float64{log(1e5), log(1e5), log(1e3), log(1e2), 1, 4, log(1e3), 200}
	s, err := p.solve(start)
	if err != nil {
		return cell, 0, fmt.Errorf("%s: %w", r.Name, err)
	}
	cell, mantle = node(s.theta)
	return cell, mantle, nil
}

// Mantle fits the loss of the mantle in W/K to the part of a record before until s: the
// cooling of a set-up, for a cell that is known.
func (n *TwoNode) Mantle(r *ThermalRecord, until float64) (float64, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	rows := 0
	for rows < len(r.T) && r.T[rows] < until {
		rows++
	}
	if rows < 2 {
		return 0, errors.New("no reading before the end of the part to fit")
	}
	p := thermalProblem(r, rows, func(x []float64) (TwoNode, float64) { return *n, math.Exp(x[0]) })
	p.low, p.high = []float64{math.Log(1e-3)}, []float64{math.Log(1e3)}
	s, err := p.solve([]float64{math.Log(0.3)})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", r.Name, err)
	}
	return math.Exp(s.theta[0]), nil
}

// thermalProblem is the fit to the first rows of r: differences of core and surface in K.
func thermalProblem(r *ThermalRecord, rows int, node func(x []float64) (TwoNode, float64)) *leastSquares {
	part := &ThermalRecord{T: r.T[:rows], I: r.I[:rows], V: r.V[:rows], Core: r.Core[:rows], Surface: r.Surface[:rows], Envs: r.Envs[:rows]}
	core, surface := make([]float64, rows), make([]float64, rows)
	p := &leastSquares{size: 2 * rows}
	p.residuals = func(dst, x []float64, _ int) {
		n, mantle := node(x)
		n.Simulate(part, mantle, core, surface)
		for k := range core {
			dst[k], dst[rows+k] = core[k]-part.Core[k], surface[k]-part.Surface[k]
		}
	}
	p.step = []float64{1e-4, 1e-4, 1e-4, 1e-4, 1e-4, 1e-5, 1e-4, 1e-2}
	return p
}

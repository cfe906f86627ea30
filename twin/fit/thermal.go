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
	Name          string
	T             []float64 // s
	I, V          []float64 // A (above 0 on charge), V
	Core, Surface []float64 // K
	Env           []float64 // K, of the surroundings
}

// TwoNode is a cell as two heat capacities, core and surface. The heat
//
//	q = I*(V - B)
//
// with B = U - T*dU/dT, the voltage at which the current neither heats nor cools, arises
// in the core, which loses it through the surface and through the ends:
//
//	C_c dT_c/dt = q - G*(T_c - T_s) - G_e*(T_c - T_env)
//	C_s dT_s/dt = G*(T_c - T_s) - G_m*(T_s - T_env)
//
// G_e and G_m belong to the cooling and not to the cell. Over a narrow range of state of
// charge on the plateau of an LFP cell B is a constant. The thermocouple of the core sits
// in the hollow of the winding and follows it with a time constant. (Two nodes: Lin et
// al., J. Power Sources 257, 2014, there with G_e = 0.)
type TwoNode struct {
	CoreJPerK, SurfaceJPerK float64 // J/K
	LinkWPerK               float64 // W/K, G
	BalanceV                float64 // V, B
	ProbeS                  float64 // s, of the thermocouple in the core
}

// Cooling is how a set-up takes heat from a cell.
type Cooling struct {
	MantleWPerK float64 // W/K, G_m
	EndWPerK    float64 // W/K, G_e
}

// ThermalPrior is what is known of a cell from its data sheet.
type ThermalPrior struct {
	JPerK     float64 // J/K, of the whole cell
	LinkWPerK float64 // W/K: 4*pi*k_r*L for a cylinder that makes its heat evenly
}

// How well the data sheet is known, as shares, and what the residuals are like.
const (
	heatCapacitySigma = 0.1
	linkSigma         = 0.2
	thermalSigmaK     = 0.2   // K
	thermalTimeS      = 200.0 // s, correlation time
)

func (r *ThermalRecord) check() error {
	n := len(r.T)
	for _, c := range [][]float64{r.I, r.V, r.Core, r.Surface, r.Env} {
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

// Simulate fills core and surface with the temperatures in K that the thermocouples
// have at the readings of r, beginning with those measured. The current holds from one
// reading to the next, where voltage and surroundings change evenly.
func (n *TwoNode) Simulate(r *ThermalRecord, c Cooling, core, surface []float64) {
	core[0], surface[0] = r.Core[0], r.Surface[0]
	inner := core[0]
	var s thermalStep
	for k := 1; k < len(r.T); k++ {
		if dt := r.T[k] - r.T[k-1]; dt != s.dt {
			s = n.step(c, dt)
		}
		q := r.I[k-1] * ((r.V[k-1]+r.V[k])/2 - n.BalanceV)
		env := (r.Env[k-1] + r.Env[k]) / 2
		x := [3]float64{inner - env, surface[k-1] - env, core[k-1] - env}
		inner, surface[k], core[k] = env+s.of(0, x, q), env+s.of(1, x, q), env+s.of(2, x, q)
	}
}

// thermalStep takes the temperatures of core, surface and thermocouple over the
// surroundings from one reading to the next.
type thermalStep struct {
	dt   float64
	keep [3][3]float64
	heat [3]float64 // K/W
}

func (s *thermalStep) of(i int, x [3]float64, q float64) float64 {
	return s.keep[i][0]*x[0] + s.keep[i][1]*x[1] + s.keep[i][2]*x[2] + s.heat[i]*q
}

// step is the exact step of dt seconds: the exponential of the matrix of the balances,
// with the heat as one more, constant state.
func (n *TwoNode) step(c Cooling, dt float64) thermalStep {
	var e mat.Dense
	a := mat.NewDense(4, 4, []float64{
		-(n.LinkWPerK + c.EndWPerK) / n.CoreJPerK, n.LinkWPerK / n.CoreJPerK, 0, 1 / n.CoreJPerK,
		n.LinkWPerK / n.SurfaceJPerK, -(n.LinkWPerK + c.MantleWPerK) / n.SurfaceJPerK, 0, 0,
		1 / n.ProbeS, 0, -1 / n.ProbeS, 0,
		0, 0, 0, 0,
	})
	a.Scale(dt, a)
	e.Exp(a)
	s := thermalStep{dt: dt}
	for i := range 3 {
		s.keep[i] = [3]float64{e.At(i, 0), e.At(i, 1), e.At(i, 2)}
		s.heat[i] = e.At(i, 3)
	}
	return s
}

// ThermalScore is the RMSE of a simulation in K.
type ThermalScore struct{ Core, Surface float64 }

// Score compares the cell with r from the time from on, in s.
func (n *TwoNode) Score(r *ThermalRecord, c Cooling, from float64) ThermalScore {
	core, surface := make([]float64, len(r.T)), make([]float64, len(r.T))
	n.Simulate(r, c, core, surface)
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

// Thermal fits a cell and the cooling of the set-up to a record.
func Thermal(r *ThermalRecord, prior ThermalPrior) (TwoNode, Cooling, error) {
	of := func(x []float64) (TwoNode, Cooling) {
		return TwoNode{
			CoreJPerK: math.Exp(x[2]), SurfaceJPerK: math.Exp(x[3]), LinkWPerK: math.Exp(x[4]), BalanceV: x[5], ProbeS: math.Exp(x[6]),
		}, coolingOf(x)
	}
	known := func(n TwoNode) []float64 {
		return []float64{
			math.Log((n.CoreJPerK+n.SurfaceJPerK)/prior.JPerK) / heatCapacitySigma,
			math.Log(n.LinkWPerK/prior.LinkWPerK) / linkSigma,
		}
	}
	ln := math.Log
	start := []float64{ln(0.3), ln(0.1), ln(0.8 * prior.JPerK), ln(0.2 * prior.JPerK), ln(prior.LinkWPerK), 3.3, ln(20)}
	s, err := solveThermal(r, len(r.T), start, of, known)
	if err != nil {
		return TwoNode{}, Cooling{}, err
	}
	n, c := of(s)
	return n, c, nil
}

// Cooling fits the cooling of a set-up to the part of a record before until s, for a
// cell that is known.
func (n *TwoNode) Cooling(r *ThermalRecord, until float64) (Cooling, error) {
	rows := 0
	for rows < len(r.T) && r.T[rows] < until {
		rows++
	}
	if rows < 2 {
		return Cooling{}, errors.New("no readings before the end of the part to fit")
	}
	of := func(x []float64) (TwoNode, Cooling) { return *n, coolingOf(x) }
	s, err := solveThermal(r, rows, []float64{math.Log(0.3), math.Log(0.1)}, of, func(TwoNode) []float64 { return nil })
	if err != nil {
		return Cooling{}, err
	}
	return coolingOf(s), nil
}

func coolingOf(x []float64) Cooling {
	return Cooling{MantleWPerK: math.Exp(x[0]), EndWPerK: math.Exp(x[1])}
}

// solveThermal fits parameters to the first rows of r.
func solveThermal(r *ThermalRecord, rows int, start []float64, of func(x []float64) (TwoNode, Cooling), known func(TwoNode) []float64) ([]float64, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	part := &ThermalRecord{T: r.T[:rows], I: r.I[:rows], V: r.V[:rows], Core: r.Core[:rows], Surface: r.Surface[:rows], Env: r.Env[:rows]}
	core, surface := make([]float64, rows), make([]float64, rows)
	n, _ := of(start)
	every := (part.T[rows-1] - part.T[0]) / float64(rows-1)
	scale := math.Sqrt(every/thermalTimeS) / thermalSigmaK
	p := &leastSquares{size: 2*rows + len(known(n))}
	p.residuals = func(dst, x []float64, _ int) {
		n, c := of(x)
		n.Simulate(part, c, core, surface)
		for k := range core {
			dst[k], dst[rows+k] = scale*(core[k]-part.Core[k]), scale*(surface[k]-part.Surface[k])
		}
		copy(dst[2*rows:], known(n))
	}
	for _, x := range start {
		p.low, p.high, p.step = append(p.low, x-5), append(p.high, x+5), append(p.step, 1e-5)
	}
	s, err := p.solve(start)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name, err)
	}
	return s.theta, nil
}

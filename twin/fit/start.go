package fit

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

var (
	tauFast = []float64{5, 10, 20, 40, 80}         // s
	tauSlow = []float64{150, 300, 600, 1200, 2400} // s
)

// start is a first vector of parameters from a separable fit: with the time
// constants given, three constant resistances follow from a linear least-squares
// problem; the pair of time constants that leaves least wins.
func (p *problem) start() []float64 {
	theta := make([]float64, len(p.beliefs))
	for j, b := range p.beliefs {
		theta[j] = b.mean
	}
	theta[atTau], theta[atTau+1] = math.Log(20), math.Log(600)
	best := math.Inf(1)
	for _, fast := range tauFast {
		for _, slow := range tauSlow {
			r, left, ok := p.linear(fast, slow)
			if !ok || left >= best {
				continue
			}
			best = left
			total := r[0] + r[1] + r[2]
			for j := range knots {
				theta[atR+j] = math.Log(total)
			}
			theta[atSplit], theta[atSplit+1] = math.Log(r[1]/r[0]), math.Log(r[2]/r[0])
			theta[atTau], theta[atTau+1] = math.Log(fast), math.Log(slow)
		}
	}
	return theta
}

// linear is the least-squares fit of resistances at the reference temperature, with
// every activation energy at its mean, and the sum of squares it leaves in V^2.
func (p *problem) linear(fast, slow float64) (r [3]float64, left float64, ok bool) {
	n := 0
	for _, rows := range p.rows {
		n += len(rows)
	}
	a, b := mat.NewDense(n, 3, nil), mat.NewVecDense(n, nil)
	at := 0
	for i, rec := range p.Records {
		f := math.Exp(1e3 * activationMean / rGas * (1/rec.TempK - 1/p.TRefK))
		var v1, v2 float64
		z, k := rec.SoC, 0
		for _, w := range p.rows[i] {
			for ; k < w.at; k++ {
				dt, mean := rec.T[k+1]-rec.T[k], rec.mean(k+1)
				v1 = mean + (v1-mean)*math.Exp(-dt/fast)
				v2 = mean + (v2-mean)*math.Exp(-dt/slow)
				if mean > 0 {
					mean *= p.efficiency
				}
				z += mean * dt / (3600 * p.CapacityAh)
			}
			a.SetRow(at, []float64{w.weight * f * rec.I[w.at], w.weight * f * v1, w.weight * f * v2})
			b.SetVec(at, w.weight*(rec.V[w.at]-p.OCV.at(z, rec.TempK, p.TRefK)))
			at++
		}
	}
	var x mat.VecDense
	if err := x.SolveVec(a, b); err != nil {
		return r, 0, false
	}
	var e mat.VecDense
	e.MulVec(a, &x)
	e.SubVec(b, &e)
	for k := range r {
		r[k] = x.AtVec(k)
	}
	return r, mat.Dot(&e, &e), r[0] > 0 && r[1] > 0 && r[2] > 0
}

// at is the open-circuit voltage in V.
func (o *OpenCircuit) at(z, tempK, tRefK float64) float64 {
	n := len(o.SoC) - 1
	x := min(max(z, o.SoC[0]), o.SoC[n])
	return within(o.SoC, o.U, x) + (tempK-tRefK)*within(o.SoC, o.DUDT, x)
}

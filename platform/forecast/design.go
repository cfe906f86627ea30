package forecast

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// What a day is explained by: the target of the days before, the columns that were forecast of
// the day itself and of days before, and the day of the week.
var (
	targetLags = []int{1, 2, 3, 7}
	exogLags   = []int{0, 1, 7}
)

// design is the regression of a window: a row for each day in it, and one for the day after it,
// that is forecast. Columns have mean 0 and variance 1.
type design struct {
	n, p, steps int
	x           []float64 // (n+1) × p, the last row is of the day that is forecast
	y           []float64 // n × steps
	mean, sd    []float64 // of the columns of y, before they were standardised
	low, high   []float64 // of the target at each step, in its own units
	target      scale

	gram  []float64 // XᵀX/n, p × p
	cross []float64 // XᵀY/n, p × steps
}

// newDesign is the regression for day d over so many days before it, or as many as there are.
func newDesign(s *Series, d, days int, asinh bool) *design {
	const deepest = 7
	first := max(d-days, deepest)
	b := s.blocks()
	q := &design{n: d - first, steps: s.PerDay}
	q.p = b*(len(targetLags)+len(exogLags)*len(s.Exog)) + 7

	from := first - deepest // the first day that is read
	read := func(column []float64, last int, asinh bool) (steps, blocks []float64, c scale) {
		c = fitScale(column[from*s.PerDay:d*s.PerDay], asinh)
		steps = make([]float64, (last-from)*s.PerDay)
		for i := range steps {
			steps[i] = c.to(column[from*s.PerDay+i])
		}
		if b == s.PerDay {
			return steps, steps, c
		}
		blocks = make([]float64, (last-from)*b)
		for k := range last - from {
			fold(blocks[k*b:(k+1)*b], steps[k*s.PerDay:(k+1)*s.PerDay])
		}
		return steps, blocks, c
	}
	steps, target, c := read(s.Target, d, asinh)
	q.target = c
	exog := make([][]float64, len(s.Exog))
	for i, column := range s.Exog {
		_, exog[i], _ = read(column, d+1, false)
	}
	q.x = make([]float64, 0, (q.n+1)*q.p)
	for day := first; day <= d; day++ {
		for _, lag := range targetLags {
			k := day - lag - from
			q.x = append(q.x, target[k*b:(k+1)*b]...)
		}
		for _, column := range exog {
			for _, lag := range exogLags {
				k := day - lag - from
				q.x = append(q.x, column[k*b:(k+1)*b]...)
			}
		}
		for w := range 7 {
			is := 0.0
			if (s.Weekday+day)%7 == w {
				is = 1
			}
			q.x = append(q.x, is)
		}
	}
	q.y = slices.Clone(steps[deepest*s.PerDay:])
	standardise(q.x, q.n, q.p)
	q.mean, q.sd = standardise(q.y, q.n, q.steps)
	q.low, q.high = s.reach(first, d)
	return q
}

// standardise gives the columns of a matrix mean 0 and variance 1 over its first n rows. A
// column that is constant there becomes 0, in rows after them too: nothing was learned of it.
func standardise(m []float64, n, p int) (mean, sd []float64) {
	mean, sd = make([]float64, p), make([]float64, p)
	for i := range n {
		for j, v := range m[i*p : (i+1)*p] {
			mean[j] += v / float64(n)
		}
	}
	for i := range n {
		for j, v := range m[i*p : (i+1)*p] {
			sd[j] += (v - mean[j]) * (v - mean[j]) / float64(n)
		}
	}
	for j := range sd {
		sd[j] = math.Sqrt(sd[j])
	}
	for i := range len(m) / p {
		row := m[i*p : (i+1)*p]
		for j := range row {
			if sd[j] < 1e-9 {
				row[j] = 0
				continue
			}
			row[j] = (row[j] - mean[j]) / sd[j]
		}
	}
	return mean, sd
}

// normal computes the normal equations.
func (q *design) normal() {
	q.gram = make([]float64, q.p*q.p)
	q.cross = make([]float64, q.p*q.steps)
	var (
		x = blas64.General{Rows: q.n, Cols: q.p, Stride: q.p, Data: q.x[:q.n*q.p]}
		y = blas64.General{Rows: q.n, Cols: q.steps, Stride: q.steps, Data: q.y}
		c = blas64.General{Rows: q.p, Cols: q.steps, Stride: q.steps, Data: q.cross}
		g = blas64.Symmetric{N: q.p, Stride: q.p, Data: q.gram, Uplo: blas.Upper}
	)
	blas64.Syrk(blas.Trans, 1/float64(q.n), x, 0, g)
	blas64.Gemm(blas.Trans, blas.NoTrans, 1/float64(q.n), x, y, 0, c)
	for i := range q.p {
		for j := range i {
			q.gram[i*q.p+j] = q.gram[j*q.p+i]
		}
	}
}

// correlation is column k of the right side of the normal equations.
func (q *design) correlation(k int) []float64 {
	c := make([]float64, q.p)
	for j := range c {
		c[j] = q.cross[j*q.steps+k]
	}
	return c
}

// today is the row of the day that is forecast.
func (q *design) today() []float64 { return q.x[q.n*q.p:] }

// value is what a standardised forecast of step k means. A regression that is asked far from what it
// has seen may say anything, and asinh would make that worse: it is kept within reach.
func (q *design) value(k int, z float64) float64 {
	return min(max(q.target.from(q.mean[k]+q.sd[k]*z), q.low[k]), q.high[k])
}

func dot(a, b []float64) float64 {
	return blas64.Dot(blas64.Vector{N: len(a), Inc: 1, Data: a}, blas64.Vector{N: len(b), Inc: 1, Data: b})
}

package fit

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"yunchu/twin/cell"
)

// WindowLow and WindowHigh bound the states of charge a fit is made for and scored in.
const (
	WindowLow  = 0.1
	WindowHigh = 0.9
)

// Input is what a cell is fitted to.
type Input struct {
	Records    []*Record
	OCV        *OpenCircuit
	CapacityAh float64 // in the ampere-hours of the records
	Efficiency float64 // coulombic, of charge; 0: from the ends of the records
	TRefK      float64 // K, that of the tables of OCV

	Stop func() error // asked before every simulation; its error ends the fit; may be nil
}

// Result is a fitted cell.
type Result struct {
	Params       cell.Params
	Scores       []Score    // of the cell on each record, within the window
	Intervals    []Interval // of its parameters
	SigmaV       float64    // V, RMSE of the residuals the intervals were taken with
	CorrelationS float64    // s, their integral correlation time
	Iterations   int
}

// Cell fits a cell. The records should move the state of charge through the range
// the cell is for; what they do not show stays near what is known of cells at large.
func Cell(in Input) (*Result, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	p := newProblem(in)
	if err := p.empty(); err != nil {
		return nil, err
	}
	// The weight of the data against what was known before follows from the residuals,
	// so it is worked out from a first fit.
	first, err := p.leastSquares().solve(p.start())
	if err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	p.weigh(first)
	s, err := p.leastSquares().solve(first.theta)
	if err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	return p.result(s)
}

func (in *Input) check() error {
	var errs []error
	if len(in.Records) == 0 {
		errs = append(errs, errors.New("no record to fit"))
	}
	for _, r := range in.Records {
		errs = append(errs, r.Validate())
	}
	if in.OCV == nil {
		errs = append(errs, errors.New("no open-circuit voltage"))
	}
	if !(in.CapacityAh > 0) || math.IsInf(in.CapacityAh, 0) {
		errs = append(errs, fmt.Errorf("capacity %g Ah is not above 0", in.CapacityAh))
	}
	return errors.Join(errs...)
}

// problem is a fit in the making.
type problem struct {
	Input
	efficiency float64 // before the fit

	temps   []float64 // K, of the records, each once
	of      []int     // which of temps a record has
	beliefs []belief
	rows    [][]row // of each record, the readings that count
	size    int     // residuals in all

	sigmaV       float64 // V, of the residuals
	correlationS float64 // s, of the same

	v, z []float64 // workspace of a simulation
	base []float64 // residuals of the last call that any parameter may have changed
}

// row is a reading that counts.
type row struct {
	at     int     // of the record
	weight float64 // 0..1
	dt     float64 // s it stands for
}

const (
	rowEvery      = 5.0   // s, at least, between readings that count
	rowStands     = 10.0  // s that one reading counts for at most
	outsideWeight = 0.2   // of readings outside the window: they shape the ends of the tables
	firstSigmaV   = 0.005 // V, before residuals are there
	firstTimeS    = 300.0 // s, likewise
)

func newProblem(in Input) *problem {
	p := &problem{Input: in, sigmaV: firstSigmaV, correlationS: firstTimeS}
	var etaSigma float64
	p.efficiency, etaSigma = in.efficiency()
	longest := 0
	for _, r := range in.Records {
		k := slices.Index(p.temps, r.TempK)
		if k < 0 {
			k, p.temps = len(p.temps), append(p.temps, r.TempK)
		}
		p.of = append(p.of, k)
		rows := p.choose(r)
		p.rows = append(p.rows, rows)
		p.size += len(rows)
		longest = max(longest, len(r.T))
	}
	p.v, p.z = make([]float64, longest), make([]float64, longest)
	p.beliefs = beliefs(len(p.temps), p.ohm(), p.efficiency, etaSigma)
	p.size += len(p.beliefs) + len(knots) - 2
	p.base = make([]float64, p.size)
	return p
}

// choose picks the readings of r that count.
func (p *problem) choose(r *Record) (rows []row) {
	const margin = 0.02 // the counted state of charge is not that of the fit to the last digit
	next := r.T[0]
	for k, z := range r.Count(p.CapacityAh, p.efficiency) {
		if r.T[k] < next || z < 0.04 || z > 1.02 {
			continue
		}
		w := row{at: k, weight: 1, dt: rowEvery}
		if k > 0 {
			w.dt = min(max(rowEvery, r.T[k]-r.T[k-1]), rowStands)
		}
		if z < WindowLow-margin || z > WindowHigh+margin {
			w.weight = outsideWeight
		}
		rows = append(rows, w)
		next = r.T[k] + rowEvery
	}
	return rows
}

// empty names the records that have no reading within the window.
func (p *problem) empty() error {
	var errs []error
	for i, rows := range p.rows {
		if !slices.ContainsFunc(rows, func(w row) bool { return w.weight == 1 }) {
			errs = append(errs, fmt.Errorf("%s: no reading at a state of charge of %g..%g, counted from %g at its start", p.Records[i].Name, WindowLow, WindowHigh, p.Records[i].SoC))
		}
	}
	return errors.Join(errs...)
}

// ohm is a first guess of the total resistance: several times that of sudden changes.
func (p *problem) ohm() float64 {
	var num, den float64
	for _, r := range p.Records {
		for k := 1; k < len(r.T); k++ {
			di := r.I[k] - r.I[k-1]
			num += di * (r.V[k] - r.V[k-1])
			den += di * di
		}
	}
	if !(num > 0) {
		return 0.1 / p.CapacityAh
	}
	return 3 * num / den
}

func (p *problem) leastSquares() *leastSquares {
	l := &leastSquares{size: p.size, residuals: p.residuals, stop: p.Stop}
	for _, b := range p.beliefs {
		l.low, l.high, l.step = append(l.low, b.low), append(l.high, b.high), append(l.step, b.step)
	}
	return l
}

// touches tells whether parameter j acts on record i.
func (p *problem) touches(j, i int) bool {
	return j < atDeviation || (j-atDeviation)/3 == p.of[i]
}

// roughness is how much the slope of ln R may change from knot to knot.
const roughness = 0.3

// residuals writes what divides simulation and records, then what divides the
// parameters and what was known of them, all in standard deviations.
func (p *problem) residuals(dst, theta []float64, changed int) {
	if changed >= 0 {
		copy(dst, p.base)
	}
	at := 0
	for i, r := range p.Records {
		rows := p.rows[i]
		if changed < 0 || p.touches(changed, i) {
			p.differences(dst[at:at+len(rows)], theta, i, r)
		}
		at += len(rows)
	}
	for j, b := range p.beliefs {
		dst[at] = 0
		if b.sigma > 0 {
			dst[at] = (theta[j] - b.mean) / b.sigma
		}
		at++
	}
	for j := 1; j < len(knots)-1; j++ {
		dst[at] = (theta[atR+j-1] - 2*theta[atR+j] + theta[atR+j+1]) / roughness
		at++
	}
	if changed < 0 {
		copy(p.base, dst)
	}
}

func (p *problem) differences(dst, theta []float64, i int, r *Record) {
	m, err := cell.New(p.params(theta, p.of[i]))
	if err != nil {
		for k := range dst {
			dst[k] = math.Inf(1)
		}
		return
	}
	r.Simulate(m, p.v, p.z)
	for k, w := range p.rows[i] {
		dst[k] = (p.v[w.at] - r.V[w.at]) * w.weight * math.Sqrt(w.dt/p.correlationS) / p.sigmaV
	}
}

// weigh takes RMSE and correlation time from the residuals of s.
func (p *problem) weigh(s *solution) {
	var sum, n, lag float64
	at := 0
	for i, r := range p.Records {
		var e []float64
		for k, w := range p.rows[i] {
			if w.weight == 1 {
				e = append(e, s.residuals[at+k]*p.sigmaV/math.Sqrt(w.dt/p.correlationS))
			}
		}
		at += len(p.rows[i])
		if len(e) < 2 {
			continue
		}
		every := (r.T[len(r.T)-1] - r.T[0]) / float64(len(p.rows[i]))
		lag += float64(len(e)) * every * correlation(e)
		n += float64(len(e))
		for _, x := range e {
			sum += x * x
		}
	}
	if n == 0 {
		return
	}
	p.sigmaV = math.Sqrt(sum / n)
	p.correlationS = max(rowStands, lag/n)
}

// correlation is the integral correlation time of e in samples: twice the sum of its
// autocorrelation up to the first value below 0, the one at lag 0 counted half.
func correlation(e []float64) float64 {
	auto := func(lag int) (s float64) {
		for k := lag; k < len(e); k++ {
			s += e[k] * e[k-lag]
		}
		return s
	}
	whole := auto(0)
	t := 1.0
	for lag := 1; lag < len(e)/2; lag++ {
		a := auto(lag) / whole
		if !(a > 0) {
			break
		}
		t += 2 * a
	}
	return t
}

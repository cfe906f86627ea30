package metric

import "math"

// Energy integrates a power in kW over its samples, by trapezoids, into what went in
// (above zero) and what came out, both >= 0, in kWh. A stretch that crosses zero is cut
// there.
func Energy(pts []Point) (in, out float64) {
	for i := 1; i < len(pts); i++ {
		a, b := pts[i-1], pts[i]
		h := (b.T - a.T) / 3600
		if a.V*b.V < 0 {
			k := a.V / (a.V - b.V)
			part(&in, &out, a.V*h*k/2)
			part(&in, &out, b.V*h*(1-k)/2)
			continue
		}
		part(&in, &out, (a.V+b.V)*h/2)
	}
	return in, out
}

func part(in, out *float64, kwh float64) {
	if kwh > 0 {
		*in += kwh
	} else {
		*out -= kwh
	}
}

// Cycle is one charge and one discharge, energies at the AC terminals and of the
// auxiliaries meanwhile, kWh, all >= 0; an auxiliary energy that nobody metered is NaN.
type Cycle struct{ Charged, Discharged, AuxCharge, AuxDischarge float64 }

// RoundTrip is the rated efficiency of GB/T 36548: the mean over cycles of
// (E_D − W_D)/(E_C + W_C), and the same without the auxiliaries. Res is the standard
// error of the mean.
func RoundTrip(cycles []Cycle) (net, gross Measured, err error) {
	if len(cycles) == 0 {
		return lost(), lost(), ErrNoData
	}
	n, g := make([]float64, len(cycles)), make([]float64, len(cycles))
	for i, c := range cycles {
		if !(c.Charged > 0) {
			return lost(), lost(), ErrNoData
		}
		n[i], g[i] = (c.Discharged-c.AuxDischarge)/(c.Charged+c.AuxCharge), c.Discharged/c.Charged
	}
	of := func(v []float64) Measured { return Measured{mean(v), stddev(v) / math.Sqrt(float64(len(v)))} }
	return of(n), of(g), nil
}

// Counted is the largest difference between a reported state of charge and one that is
// counted from the current, in the unit of the first: the count is scaled so that it
// begins and ends where the report does, over the whole window of use. The points of
// both have the same times; current in A.
func Counted(soc, current []Point) (Measured, error) {
	n := len(soc)
	if n < 3 || len(current) != n {
		return lost(), ErrNoData
	}
	ah := make([]float64, n)
	for i := 1; i < n; i++ {
		ah[i] = ah[i-1] + (current[i].V+current[i-1].V)/2*(current[i].T-current[i-1].T)/3600
	}
	if ah[n-1] == 0 || soc[n-1].V == soc[0].V {
		return lost(), ErrNoData
	}
	per := (soc[n-1].V - soc[0].V) / ah[n-1]
	worst := 0.0
	for i := range soc {
		worst = max(worst, math.Abs(soc[i].V-soc[0].V-per*ah[i]))
	}
	return Measured{Value: worst, Res: quantum(soc)}, nil
}

// quantum is the smallest step between neighbouring samples that are not alike: the
// resolution that a channel shows.
func quantum(pts []Point) float64 {
	q := math.Inf(1)
	for i := 1; i < len(pts); i++ {
		if d := math.Abs(pts[i].V - pts[i-1].V); d > 0 && d < q {
			q = d
		}
	}
	if math.IsInf(q, 1) {
		return 0
	}
	return q
}

func mean(a []float64) float64 {
	var s float64
	for _, v := range a {
		s += v
	}
	return s / float64(len(a))
}

func stddev(a []float64) float64 {
	m := mean(a)
	var s float64
	for _, v := range a {
		s += (v - m) * (v - m)
	}
	return math.Sqrt(s / float64(len(a)))
}

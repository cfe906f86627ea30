package aging

import "math"

// Processes is one number for each process of a law, unused ones 0.
type Processes [3]float64

// Loss is what ageing took and added, as shares of the new cell's values.
type Loss struct {
	Q float64 // of capacity, lost
	R float64 // of resistance, gained
}

// Plus is the sum of both.
func (l Loss) Plus(m Loss) Loss { return Loss{Q: l.Q + m.Q, R: l.R + m.R} }

// growth is the age that a process loss = k*x^p gains per unit of x. A law that
// falls below 0 outside its range heals nothing.
func growth(k, p float64) float64 {
	switch {
	case k <= 0:
		return 0
	case p == 0.5:
		return k * k
	case p == 1:
		return k
	}
	return math.Pow(k, 1/p)
}

// lossAt is the loss of a process of that age.
func lossAt(age, p float64) float64 {
	switch p {
	case 0.5:
		return math.Sqrt(age)
	case 1:
		return age
	}
	return math.Pow(age, p)
}

// Age is how far each process of a law has gone, summed with what rounding left
// out (Kahan), so that years in steps of a minute add up to the last digits.
type Age struct {
	Sum  Processes
	Rest Processes
}

// add lets the processes age at rates for so long.
func (a *Age) add(rates Processes, long float64) {
	for i, rate := range rates {
		x := rate*long + a.Rest[i]
		sum := a.Sum[i] + x
		a.Rest[i] = x - (sum - a.Sum[i])
		a.Sum[i] = sum
	}
}

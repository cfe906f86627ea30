package kernel

import (
	"math"

	"yunchu/twin/cell"
)

// Tick is the coefficients of a step of one length, for one type of cell. The
// assembly knows it by offset.
type Tick struct {
	Dt    float64 // s
	DtC   float64 // K/W, Dt over the heat capacity of a cell
	HalfC float64 // K/W, half of it
	Eta   float64 // charge stored per charge taken in

	Gain [2]float64 // 1 - exp(-Dt/tau)
	Mean [2]float64 // mean over the step of exp(-t/tau)
	Late [2]float64 // 1 - Mean

	// Polynomials, the lowest power first.
	Stay [5]float64    // mean of exp(-x) over a step, in the move of the state of charge
	Move [5]float64    // Gamma times that
	Grow [3][2]float64 // exp(Ea*(1/T-1/T0)) - 1, over x and in x = (T-T0)/T0^2, for each resistance

	Stale float64 // K, |T - T0| beyond which a node is replaced
	Gamma float64 // hysteresis rate per full charge throughput

	pieces []piece
	first  *[finds]uint16 // by state of charge, see find
}

// MaxX is the largest move of the hysteresis in one step, Gamma*|dz|, that the
// polynomials take.
const MaxX = 0.25

// phi approximates (1-exp(-x))/x over 0..MaxX, exactly at 0: it interpolates at the
// zeros of the Chebyshev polynomial T5, stretched so that its first zero is 0. What
// it is off by is below 3e-9.
var phi = [5]float64{1, -0.49999965274161295, 0.16665312085768924, -0.04150168216858791, 0.00753338466313231}

// stale is how far in K a cell may be from the node of its Arrhenius factors. At the
// end the parabola is off by 1.2e-7 of a resistance of 22 kJ/mol, and by another 1e-7
// for every 4 K that the node is from TRef, where its second term is taken.
const stale = 0.3

// NewTick prepares steps of dt seconds for cells of type m with a heat capacity in J/K.
func NewTick(m *cell.Model, heatCapacity, dt float64) Tick {
	c := m.Constants()
	t := Tick{
		Dt: dt, DtC: dt / heatCapacity, HalfC: dt / 2 / heatCapacity,
		Eta: c.Efficiency, Stale: stale, Gamma: c.Gamma, pieces: pieces(m),
	}
	for k, tau := range c.Tau {
		x := dt / tau
		t.Gain[k] = -math.Expm1(-x)
		t.Mean[k] = t.Gain[k] / x
		t.Late[k] = 1 - t.Mean[k]
	}
	first := entries(t.pieces)
	t.first = &first
	power := 1.
	for n, p := range phi {
		t.Stay[n] = p * power
		power *= c.Gamma
		t.Move[n] = p * power
	}
	for k, ea := range c.Activation {
		t.Grow[k] = [2]float64{-ea, ea*ea/2 + ea*c.TRefK}
	}
	return t
}

// MaxCurrent is the largest current in A at which a cell of capacity coulombs may
// take a step of t: the hysteresis moves by MaxX at most.
func (t *Tick) MaxCurrent(coulombs float64) float64 {
	if t.Gamma == 0 {
		return math.Inf(1)
	}
	return MaxX * coulombs / (t.Gamma * t.Dt)
}

// piece is a cell.Span as slots hold it.
type piece struct {
	from, to, u0, du, m0, dm, e0, de, r0, dr float64
}

// pieces are those of the tables of m, in order.
func pieces(m *cell.Model) (all []piece) {
	tRef := m.Constants().TRefK
	const beyond = 1e6 // any state of charge
	for z := -beyond; z < beyond; {
		x, _ := m.Span(len(all), z)
		all = append(all, piece{
			x.From, x.To, x.U0 - tRef*x.E0, (x.DU - tRef*x.DE) / 2,
			x.M0, x.DM / 2, x.E0, x.DE / 2, x.R0, x.DR / 2,
		})
		z = x.To
	}
	return all
}

// finds is how many parts of the range of the state of charge have an entry of their
// own to the pieces.
const finds = 1024

// entries are the pieces that hold the lower ends of those parts.
func entries(pieces []piece) (first [finds]uint16) {
	at := 0
	for n := range first {
		for float64(n)/finds >= pieces[at].to {
			at++
		}
		first[n] = uint16(at)
	}
	return first
}

// find is the number of the piece that holds z.
func (t *Tick) find(z float64) int {
	at := 0
	if n := int(z * finds); n >= finds {
		at = int(t.first[finds-1])
	} else if n > 0 {
		at = int(t.first[n])
	}
	for at < len(t.pieces)-1 && z >= t.pieces[at].to {
		at++
	}
	return at
}

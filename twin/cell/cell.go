package cell

import "math"

// State is all a cell remembers. It is a value: copy it to take a snapshot.
type State struct {
	SoC   float64 // 0..1
	V1    float64 // V across the first RC pair
	V2    float64 // V across the second RC pair
	Hyst  float64 // -1 (discharge branch) .. 1 (charge branch)
	TempK float64 // K
}

// Scatter is how one cell differs from its type.
type Scatter struct {
	Capacity   float64 // factor on the rated capacity
	Resistance float64 // factor on all resistances
}

// Nominal is a cell exactly like its type.
var Nominal = Scatter{Capacity: 1, Resistance: 1}

// Cell is one cell on its way. It is a value; copies go their own ways.
type Cell struct {
	s    State
	m    *Model
	kr   float64 // resistance factor
	kq   float64 // capacity factor
	invQ float64 // 1/(A*s)
	leak float64 // S, conductance of an internal short, 0 without

	// What follows from the state, kept because the end of one step is the start
	// of the next.
	at int     // span of the grid
	u  float64 // V, open-circuit voltage U_a
	en float64 // V/K, entropic coefficient
	e  float64 // V, source voltage: U_a, hysteresis and RC pairs
	r0 float64 // ohm, ohmic resistance
	f  factors // of the resistances
}

// Cell returns a cell of the type in the given state.
func (m *Model) Cell(s State, x Scatter) Cell {
	c := Cell{m: m, kr: x.Resistance, kq: x.Capacity, invQ: 1 / (m.coulombs * x.Capacity)}
	c.SetState(s)
	return c
}

// State returns the state.
func (c *Cell) State() State { return c.s }

// SetState puts the cell into state s.
func (c *Cell) SetState(s State) {
	c.s = s
	c.at = c.m.grid.find(s.SoC)
	c.refresh()
}

// SetTemp puts the cell at t kelvin, the end of every step.
func (c *Cell) SetTemp(t float64) {
	c.s.TempK = t
	c.refresh()
}

// SetLeak lays a resistance of ohm between the terminals inside the cell: what
// flows through it discharges the cell and heats it. 0 removes it.
func (c *Cell) SetLeak(ohm float64) {
	c.leak = 0
	if ohm > 0 {
		c.leak = 1 / ohm
	}
}

// refresh derives what follows from the state; c.at must hold its span.
func (c *Cell) refresh() {
	s := &c.m.grid.spans[c.at]
	d := c.s.SoC - s.from
	c.en = s.e + s.de*d
	c.u = s.u + s.du*d + (c.s.TempK-c.m.tRef)*c.en
	c.e = c.u + c.s.Hyst*(s.m+s.dm*d) + c.s.V1 + c.s.V2
	c.m.arrhenius.at(c.s.TempK, &c.f)
	c.r0 = c.m.frac[0] * c.kr * (s.r + s.dr*d) * c.f.f[0]
}

// SoC is the state of charge, 0..1.
func (c *Cell) SoC() float64 { return c.s.SoC }

// TempK is the temperature in K.
func (c *Cell) TempK() float64 { return c.s.TempK }

// OCV is the open-circuit voltage U_a in V, without hysteresis.
func (c *Cell) OCV() float64 { return c.u }

// Coulombs is the capacity of this cell in A*s.
func (c *Cell) Coulombs() float64 { return 1 / c.invQ }

// Scatter returns how the cell differs from its type.
func (c *Cell) Scatter() Scatter { return Scatter{Capacity: c.kq, Resistance: c.kr} }

// source returns the cell, short included, as seen from its terminals: a voltage
// behind a resistance.
func (c *Cell) source() (e, r float64) {
	k := 1 / (1 + c.leak*c.r0)
	return c.e * k, c.r0 * k
}

// Voltage is the terminal voltage in V while i ampere flow into the terminals.
func (c *Cell) Voltage(i float64) float64 {
	if c.leak == 0 {
		return c.e + c.r0*i
	}
	e, r := c.source()
	return e + r*i
}

// CurrentAtVoltage is the terminal current in A that holds the terminals at v volt.
func (c *Cell) CurrentAtVoltage(v float64) float64 {
	e, r := c.source()
	return (v - e) / r
}

// Current is the terminal current in A that takes p watt now:
// I = 2P/(E + sqrt(E^2 + 4 R P)). Where p asks for more than the cell can give,
// it is the current of the most it can give, -E/(2R).
func (c *Cell) Current(p float64) float64 {
	if p == 0 {
		return 0
	}
	e, r := c.e, c.r0
	if c.leak != 0 {
		e, r = c.source()
	}
	i, _ := root(e, r, p)
	return i
}

// root solves i*(e + r*i) = p for the current that is 0 with p, without
// cancellation at either sign. Where there is none it reports false and the
// current of the most there is, -e/(2r).
func root(e, r, p float64) (i float64, ok bool) {
	d := e*e + 4*r*p
	if d <= 0 {
		return -e / (2 * r), false
	}
	return 2 * p / (e + math.Sqrt(d)), true
}

// MinPower is the most the cell can give now, as a power below zero in W.
func (c *Cell) MinPower() float64 {
	e, r := c.source()
	return -e * e / (4 * r)
}

// Heat is the heat in W the cell makes now while i ampere flow into its terminals.
func (c *Cell) Heat(i float64) float64 {
	if c.leak != 0 {
		i -= c.leak * c.Voltage(i)
	}
	return c.InnerHeat(i)
}

// InnerHeat is Heat with the current through the cell itself given, which differs
// from that at the terminals by the current of a short.
func (c *Cell) InnerHeat(i float64) float64 {
	v := c.e + c.r0*i
	return i*(v-c.u+c.s.TempK*c.en) + c.leak*v*v
}

// CurrentTo is the current in A through the cell itself that takes it to the
// given state of charge within dt seconds.
func (c *Cell) CurrentTo(soc, dt float64) float64 {
	i := (soc - c.s.SoC) / (c.invQ * dt)
	if i > 0 {
		i /= c.m.eta
	}
	return i
}

package cell

// Span is one piece of a cell type's tables, on which all of them are straight
// lines in the state of charge z: U = U0 + DU*z, and so on. Outside the tables the
// lines are flat.
type Span struct {
	From, To float64 // state of charge
	U0, DU   float64 // V, open-circuit voltage at the reference temperature
	M0, DM   float64 // V, half gap of the hysteresis
	E0, DE   float64 // V/K, entropic coefficient dU/dT
	R0, DR   float64 // ohm, total resistance at the reference temperature
}

// Span returns the piece that holds z; hint is the number of one that likely does.
// The number of the piece comes with it.
func (m *Model) Span(hint int, z float64) (Span, int) {
	i := hint
	if uint(i) >= uint(len(m.grid.spans)) {
		i = 0
	}
	i = m.grid.near(i, z)
	s := &m.grid.spans[i]
	return Span{
		From: s.from, To: s.to,
		U0: s.u - s.du*s.from, DU: s.du,
		M0: s.m - s.dm*s.from, DM: s.dm,
		E0: s.e - s.de*s.from, DE: s.de,
		R0: s.r - s.dr*s.from, DR: s.dr,
	}, i
}

// MeanOCV returns the means of the open-circuit voltage at the reference
// temperature in V and of dU/dT in V/K on the way from a to b in state of charge,
// a != b, each state passed at the same speed: the exact integral of the tables.
func (m *Model) MeanOCV(a, b float64) (u, e float64) {
	return m.grid.mean(m.grid.find(a), a, b)
}

// Factors are the three Arrhenius factors of the resistances at t kelvin, exactly.
func (m *Model) Factors(t float64) [3]float64 { return m.arrhenius.exact(t) }

// Constants are the numbers of a cell type beside its tables.
type Constants struct {
	Coulombs   float64    // A*s, rated capacity
	Efficiency float64    // charge stored per charge taken in
	TRefK      float64    // K
	Gamma      float64    // hysteresis rate per full charge throughput
	Fraction   [3]float64 // of the total resistance
	Activation [3]float64 // K, activation energies over the gas constant
	Tau        [2]float64 // s
}

// Constants returns the numbers of the type.
func (m *Model) Constants() Constants {
	c := Constants{
		Coulombs: m.coulombs, Efficiency: m.eta, TRefK: m.tRef, Gamma: m.gamma,
		Fraction: m.frac, Tau: m.tau,
	}
	for k, ea := range m.arrhenius.ea {
		c.Activation[k] = ea * m.arrhenius.invR
	}
	return c
}

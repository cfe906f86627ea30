package cell

// Line is the terminal voltage now as a line in the terminal current i in A:
// v = e + r*i, e in V and r in ohm.
func (c *Cell) Line() (e, r float64) { return c.source() }

// Trial is one step of a cell whose current follows from the cells it is joined to:
// Begin it, read its Line, Try currents until the circuit closes, and End it.
// It is for cells without a short.
type Trial struct {
	arc
	steep float64 // ohm, the part of the slope that is due to U_a

	// What a ramp of the current adds.
	bend         [2]float64 // V, to the RC pairs at the end
	lag          float64    // V, to the mean of U_a
	stored, heat float64    // W, to the products of the means
}

// Begin freezes the middle of a step of c as i ampere put it; tMid is the temperature
// in K half a step on. Where the table of the resistance bends on the way, its mean
// stands for its middle.
func (t *Trial) Begin(c *Cell, i, tMid float64, k *Tick) {
	t.begin(c, i, tMid, k)
	dz := c.moved(i, k)
	s := &c.m.grid.spans[c.m.grid.near(c.at, c.s.SoC+dz/2)]
	t.steep = t.perA / 2 * (s.du + t.theta*s.de)
	if bend := c.m.grid.bend(c.at, c.s.SoC, c.s.SoC+dz); bend != 1 {
		t.r0, t.r1, t.r2 = bend*t.r0, bend*t.r1, bend*t.r2
		t.slope += (bend - 1) * t.rStep
		t.rStep *= bend
	}
	t.bend, t.lag, t.stored, t.heat = [2]float64{}, 0, 0, 0
	t.i, t.z = 0, c.s.SoC
	t.v = c.u + (tMid-c.s.TempK)*c.en + t.m*c.s.Hyst + t.base
}

// moved is by how much i ampere change the state of charge in a step.
func (c *Cell) moved(i float64, k *Tick) float64 {
	if i > 0 {
		i *= c.m.eta
	}
	return i * k.dt * c.invQ
}

// bend is the mean of the resistance on the way from a to b in state of charge, over
// that in the middle. i is the span that holds a.
func (g *grid) bend(i int, a, b float64) float64 {
	s := &g.spans[i]
	if !(b < s.from || b > s.to) {
		return 1
	}
	middle, sum := (a+b)/2, 0.0
	m := &g.spans[g.find(middle)]
	for z := a; ; s = &g.spans[i] {
		end, next := g.way(i, b)
		sum += (end - z) * (s.r + s.dr*((z+end)/2-s.from))
		if next == i {
			return sum / (b - a) / (m.r + m.dr*(middle-m.from))
		}
		z, i = end, next
	}
}

// Ramp refines a step of from that has begun and has been taken once: to is where it
// came to, i0 and i1 are the currents in A there, i1 under what acts during the step.
// What follows from the current then follows a line over the step instead of its mean:
//
//   - the drops F_k = R_k*I. With x = dt/tau_k, phi = (1-exp(-x))/x and psi = 1 - phi -
//     (1-exp(-x))/2, a change of F by dF adds dF*psi to v_k at the end and takes
//     dF*psi/x from its mean: x^2/12 and x/12 of dF for short steps;
//   - the state of charge. A change of I by dI takes dI*dt/(12 Q) from its mean;
//   - power, heat and what is stored: means of products, where changes of the factors
//     by dI and dV add dI*dV/12 to the product of the means.
//
// The currents are those of the step without this, so the first two are left out where
// they would change them too much for that: where a long step meets RC pairs far larger
// than the ohmic resistance, or a steep open-circuit voltage.
func (t *Trial) Ramp(from, to *Cell, i0, i1 float64, k *Tick) {
	a, b, rk := from.drop(i0), to.drop(i1), [2]float64{t.r1, t.r2}
	shift := 0.0
	for n, tau := range from.m.tau {
		psi := 1 - k.phi[n] - (1-k.decay[n])/2
		if 2*psi*rk[n] <= t.r0 {
			t.bend[n] = (b[n] - a[n]) * psi
			shift -= t.bend[n] * tau / k.dt
		}
	}
	if soc := t.slope - t.rStep; 2*soc <= t.rStep {
		shift -= (i1 - i0) / 6 * soc
		t.lag = -(i1 - i0) / 6 * t.steep
	}
	t.base += shift
	t.v += shift
	t.stored = (i1 - i0) * (to.u - from.u) / 12
	t.heat = (i1-i0)*(to.Voltage(i1)-from.Voltage(i0))/12 - t.stored
}

// drop is R_k*i in V of the RC pairs, where they would settle with i ampere.
func (c *Cell) drop(i float64) [2]float64 {
	frac, f := &c.m.frac, &c.f.f
	rest := c.r0 * i / (frac[0] * f[0])
	return [2]float64{rest * frac[1] * f[1], rest * frac[2] * f[2]}
}

// Try works out the step with i ampere and returns the mean terminal voltage in V.
func (t *Trial) Try(c *Cell, i float64) (v float64) {
	t.take(c, i)
	return t.v
}

// Line is the mean terminal voltage of the step as a line in its current, near the
// current tried last (0 A after Begin): v = e + r*i, e in V and r in ohm, r > 0.
func (t *Trial) Line(c *Cell) (e, r float64) {
	r = t.slope
	s := &c.m.grid.spans[c.at]
	if t.z < s.from || t.z > s.to {
		// The mean of U over 0..i moves by (U(end) - mean)/i per ampere.
		end := &c.m.grid.spans[c.m.grid.find(t.z)]
		d := t.z - end.from
		u := end.u + end.du*d + t.theta*(end.e+end.de*d)
		r += (u-t.ocv)/t.i - t.steep
	}
	return t.v - r*t.i, r
}

// End moves c to the end of the step with the current tried last. The temperature
// is left to the caller, who ends the step with SetTemp.
func (t *Trial) End(c *Cell, k *Tick, f *Flow) {
	t.finish(c, k, f)
	c.s.V1 += t.bend[0]
	c.s.V2 += t.bend[1]
	f.StoredW += t.stored + t.i*t.lag
	f.HeatW += t.heat - t.i*t.lag
	f.PowerW += t.stored + t.heat
}

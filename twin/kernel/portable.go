package kernel

import "math"

// What a sweep does, as bits.
const (
	doCorrect = 1 << iota
	doPredict
	doResume // go on at a slot that is corrected already and needs no second look
)

// sweepPortable is the sweep in plain Go, and the definition of what the vector code
// does: slots from..to-1 of s are corrected, predicted or both. It stops before
// predicting a slot that needs rare work and returns its number; it goes on there
// with doResume, which takes up Kink. It returns to at the end.
//
// s has one slot more than the strings are long, whose T and TM are finite.
func sweepPortable(s []Slot, places []Place, k *Tick, d *Drive, from, to, do int) int {
	resume := do&doResume != 0
	for n := from; n < to; n++ {
		c, next, p := &s[n], &s[n+1], &places[n]
		if do&doCorrect != 0 && !resume {
			correct(c, next, p, k, d)
		}
		if do&doPredict == 0 {
			continue
		}
		if resume {
			predict(c, next, p, k, d, &d.Kink)
			resume = false
			continue
		}
		if rare(c, k, &d.Ip) {
			return n
		}
		predict(c, next, p, k, d, &smooth)
	}
	return to
}

// smooth is a step without kinks.
var smooth Row

// stored is the charge that i ampere store in the cell, as a share of i.
func stored(i float64, k *Tick) float64 {
	if i > 0 {
		return k.Eta
	}
	return 1
}

// rare reports whether a cell of c is about to leave its piece of the tables, or has
// left its node.
func rare(c *Slot, k *Tick, ip *Row) bool {
	found := false
	for l := range Lanes {
		i := ip[l] - c.Bleed[l]
		z := c.Z[l]
		zp := math.FMA(i*stored(i, k), k.Dt*c.InvQ[l], z)
		if z < c.From[l] || z > c.To[l] || zp < c.From[l] || zp > c.To[l] ||
			math.Abs(math.FMA(c.T[l], c.InvT0[l], -1)) > k.Stale {
			found = true
		}
	}
	return found
}

// correct moves the cells of c to the end of the step that was predicted.
func correct(c, next *Slot, p *Place, k *Tick, d *Drive) {
	for l := range Lanes {
		i := d.I[l] - c.Bleed[l]
		dz := i * stored(i, k) * (k.Dt * c.InvQ[l])

		u := math.FMA(c.US[l], i, c.UM[l])
		over := math.FMA(c.RB[l], i, c.OV[l])
		v := u + over
		qOver, qEntropic := i*over, i*c.TE[l]
		d.Stored[l] = math.FMA(i, u, d.Stored[l])
		d.Over[l] += qOver
		d.Entropic[l] += qEntropic
		d.Bled[l] = math.FMA(c.Bleed[l], v, d.Bled[l])

		// exp(-x) = 1 - x*phi(x)
		x := k.Gamma * math.Abs(dz)
		far := c.H[l] - math.Copysign(1, dz)
		c.H[l] = math.FMA(-far*x, series(x, k), c.H[l])
		c.Z[l] += dz
		c.V1[l] = math.FMA(k.Decay[0], c.V1[l], c.R1[l]*k.Gain[0]*i)
		c.V2[l] = math.FMA(k.Decay[1], c.V2[l], c.R2[l]*k.Gain[1]*i)

		tm := c.TM[l]
		air := p.Air * d.AirK[l] * (tm - d.Air[l])
		coolant := p.Coolant * d.CoolantK[l] * (tm - d.Coolant[l])
		on := p.Next * (tm - next.TM[l])
		q := (qOver + qEntropic) + c.Heat[l] + d.Flow[l] - air - coolant - on
		d.Flow[l] = on
		d.ToAir[l] += air
		d.ToCoolant[l] += coolant
		c.T[l] = math.FMA(k.DtC, q, c.T[l])

		if v < d.VMin[l] {
			d.VMin[l] = v
		}
		if v > d.VMax[l] {
			d.VMax[l] = v
		}
		if t := c.T[l]; t < d.TMin[l] {
			d.TMin[l] = t
		}
		if t := c.T[l]; t > d.TMax[l] {
			d.TMax[l] = t
		}
		if z := c.Z[l]; z < d.ZMin[l] {
			d.ZMin[l] = z
		}
		if z := c.Z[l]; z > d.ZMax[l] {
			d.ZMax[l] = z
		}
	}
}

// predict freezes the middle of the next step of the cells of c.
func predict(c, next *Slot, p *Place, k *Tick, d *Drive, kink *Row) {
	for l := range Lanes {
		i := d.Ip[l] - c.Bleed[l]
		perA := stored(i, k) * (k.Dt * c.InvQ[l]) // state of charge per ampere
		dz := i * perA
		z := math.FMA(k.Half, dz, c.Z[l])
		m := math.FMA(c.DM[l], z, c.M0[l])
		e := math.FMA(c.DE[l], z, c.E0[l])
		r := math.FMA(c.DR[l], z, c.R0[l])

		// Mean overpotential over the step, but for what the resistances add.
		toward := math.Copysign(1, dz)
		h := math.FMA(c.H[l]-toward, series(k.Gamma*math.Abs(dz), k), toward)
		ov := math.FMA(c.V2[l], k.Mean[1], math.FMA(c.V1[l], k.Mean[0], h*m))

		// Temperature at the middle, with the heat at the start.
		t := c.T[l]
		y := k.Ea[0] * inverse(t, c.InvT0[l])
		r0 := math.FMA(c.G0[l]*r, y, c.G0[l]*r)
		air := p.Air * d.AirK[l] * (t - d.Air[l])
		coolant := p.Coolant * d.CoolantK[l] * (t - d.Coolant[l])
		on := p.Next * (t - next.T[l])
		q := math.FMA(i, math.FMA(r0, i, math.FMA(t, e, ov)), c.Heat[l]) + d.Lean[l] - air - coolant - on
		d.Lean[l] = on
		tm := math.FMA(k.HalfC, q, t)

		x := inverse(tm, c.InvT0[l])
		r0 = c.G0[l] * r * expand(k.Ea[0]*x, k)
		r1 := c.G1[l] * r * expand(k.Ea[1]*x, k)
		r2 := c.G2[l] * r * expand(k.Ea[2]*x, k)
		rb := math.FMA(r2, k.Late[1], math.FMA(r1, k.Late[0], r0))

		theta := tm - k.TRef
		us := math.FMA(theta, c.DE[l], c.DU[l]) * (k.Half * perA)
		um := math.FMA(theta, e, math.FMA(c.DU[l], z, c.U0[l])) + kink[l]
		um = math.FMA(-us, i, um)

		c.UM[l], c.US[l] = um, us
		c.OV[l], c.RB[l] = ov, rb
		c.R1[l], c.R2[l] = r1, r2
		c.TE[l], c.TM[l] = tm*e, tm
		b := us + rb
		d.A[l] += math.FMA(-b, c.Bleed[l], um+ov)
		d.B[l] += b
	}
}

// inverse is 1/t - 1/t0 in 1/K, for t near t0.
func inverse(t, invT0 float64) float64 {
	r := math.FMA(t, invT0, -1)
	return -invT0 * r * math.FMA(r, r-1, 1)
}

// expand is exp(y) for small y.
func expand(y float64, k *Tick) float64 {
	return math.FMA(y, math.FMA(y, math.FMA(y, k.Sixth, k.Half), 1), 1)
}

// series is (1-exp(-x))/x for x up to MaxX.
func series(x float64, k *Tick) float64 {
	f := k.Phi[5]
	for n := 4; n >= 0; n-- {
		f = math.FMA(x, f, k.Phi[n])
	}
	return math.FMA(x, f, 1)
}

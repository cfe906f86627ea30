package kernel

// sweepPortable is the sweep in plain Go, and the definition of what the vector code
// does: it predicts slots from..to-1 of s, each after it has been moved to the end
// of the step, which d.Corrected counts.
//
// It stops before predicting a slot that needs rare work and returns its number; to
// resume there is not to ask again. It returns to at the end.
//
// places are those of all slots; s has one slot more, whose TM is finite.
func sweepPortable(s []Slot, places []Place, k *Tick, d *Drive, from, to int, resume bool) int {
	var w scratch
	for n := from; n < to; n++ {
		for d.Corrected < n+1 {
			c := d.Corrected
			correct(&s[c], &s[c+1], &places[c], k, d, &w)
			d.Corrected++
		}
		if rare(&s[n], k, d, &w) && (!resume || n > from) {
			return n
		}
		predict(&s[n], k, d, &w)
	}
	return to
}

// scratch holds what one loop over the lanes leaves to the next. The loops are short:
// what a processor can look ahead over then spans several lanes, which do not wait
// for each other.
type scratch struct {
	i, perA, z, h, e, r, x, q Row
}

// mul is a product that is rounded before anything is added to it: on no machine is
// it fused with an addition.
func mul(a, b float64) float64 { return float64(a * b) }

// correct moves the cells of c to the end of the step that was predicted.
func correct(c, next *Slot, p *Place, k *Tick, d *Drive, w *scratch) {
	eta := k.Eta
	m0, m1, m2, m3, m4 := k.Move[0], k.Move[1], k.Move[2], k.Move[3], k.Move[4]
	for l := range Lanes {
		i := d.I[l] - c.Bleed[l]
		perA, h := c.PerA[l], c.H[l]
		var dz, y, far float64
		if i < 0 {
			dz = mul(i, perA)
			y, far = 0-dz, h+1
		} else {
			dz = mul(i, eta*perA)
			y, far = dz, h-1
		}
		c.Z[l] += dz
		c.H[l] = h - mul(far*y, m0+mul(y, (m1+mul(y, m2))+mul(y*y, m3+mul(y, m4))))
		if z := c.Z[l]; z < d.ZMin[l] {
			d.ZMin[l] = z
		}
		if z := c.Z[l]; z > d.ZMax[l] {
			d.ZMax[l] = z
		}
	}
	g0, g1 := k.Gain[0], k.Gain[1]
	for l := range Lanes {
		i := d.I[l] - c.Bleed[l]
		c.V1[l] += mul(g0, mul(c.R1[l], i)-c.V1[l])
		c.V2[l] += mul(g1, mul(c.R2[l], i)-c.V2[l])

		u := c.UM[l] + mul(c.US[l], i)
		over := c.OV[l] + mul(c.RB[l], i)
		v := u + over
		qOver, qEntropic := mul(i, over), mul(i, c.TE[l])
		w.q[l] = qOver + qEntropic
		d.Stored[l] += mul(i, u)
		d.Over[l] += qOver
		d.Entropic[l] += qEntropic
		d.Bled[l] += mul(c.Bleed[l], v)
		if v < d.VMin[l] {
			d.VMin[l] = v
		}
		if v > d.VMax[l] {
			d.VMax[l] = v
		}
	}
	toNext, toAir, toCoolant, dtC := p.Next, p.Air, p.Coolant, k.DtC
	for l := range Lanes {
		tm := c.TM[l]
		air := mul(toAir, mul(d.AirK[l], tm)-d.AirT[l])
		coolant := mul(toCoolant, mul(d.CoolantK[l], tm)-d.CoolantT[l])
		on := mul(toNext, tm-next.TM[l])
		lost := ((air + coolant) - d.Flow[l]) + on
		q := w.q[l] + (c.Heat[l] - lost)
		c.Lost[l] = lost
		d.Flow[l] = on
		d.ToAir[l] += air
		d.ToCoolant[l] += coolant
		t := c.T[l] + mul(dtC, q)
		c.T[l] = t
		if t < d.TMin[l] {
			d.TMin[l] = t
		}
		if t > d.TMax[l] {
			d.TMax[l] = t
		}
	}
}

// rare reports whether a cell of c is about to leave its piece of the tables, or has
// left its node. It leaves to predict where the hysteresis will be on average.
func rare(c *Slot, k *Tick, d *Drive, w *scratch) bool {
	eta, stale, found := k.Eta, k.Stale, 0
	s1, s2, s3, s4 := k.Stay[1], k.Stay[2], k.Stay[3], k.Stay[4]
	for l := range Lanes {
		i, z, h := d.Ip[l]-c.Bleed[l], c.Z[l], c.H[l]
		perA := c.PerA[l]
		var dz, y, far, toward, lo, hi float64
		if i < 0 {
			dz = mul(i, perA)
			y, far, toward = 0-dz, h+1, -1
			lo, hi = z+dz, z
		} else {
			perA = eta * perA
			dz = mul(i, perA)
			y, far, toward = dz, h-1, 1
			lo, hi = z, z+dz
		}
		if lo < c.From[l] || hi > c.To[l] {
			found |= 1 << l
		}
		if off := c.T[l] - c.T0[l]; off > stale || off < -stale {
			found |= 1 << l
		}
		w.i[l], w.perA[l], w.z[l] = i, perA, z+(z+dz)
		w.h[l] = toward + mul(far, 1+mul(y, (s1+mul(y, s2))+mul(y*y, s3+mul(y, s4))))
	}
	d.Rare = found
	return found != 0
}

// predict freezes the middle of the next step of the cells of c, after rare.
func predict(c *Slot, k *Tick, d *Drive, w *scratch) {
	// Mean overpotential over the step, but for what the resistances add.
	mean0, mean1 := k.Mean[0], k.Mean[1]
	for l := range Lanes {
		z := w.z[l]
		w.e[l] = c.E0[l] + mul(c.DE[l], z)
		w.r[l] = c.R0[l] + mul(c.DR[l], z)
		c.OV[l] = mul(w.h[l], c.M0[l]+mul(c.DM[l], z)) + (mul(c.V1[l], mean0) + mul(c.V2[l], mean1))
	}

	// Temperature at the middle, with the heat at the start.
	halfC := k.HalfC
	for l := range Lanes {
		i, t := w.i[l], c.T[l]
		v := c.OV[l] + (mul(t, w.e[l]) + mul(c.G0[l]*w.r[l], i))
		c.TM[l] = t + mul(halfC, mul(i, v)+(c.Heat[l]-c.Lost[l]))
	}

	// Mean open-circuit voltage.
	for l := range Lanes {
		tm := c.TM[l]
		te := mul(tm, w.e[l])
		us := (c.DU[l] + mul(tm, c.DE[l])) * w.perA[l]
		um := (c.U0[l] + mul(c.DU[l], w.z[l])) + te
		c.UM[l], c.US[l], c.TE[l] = um-mul(us, w.i[l]), us, te
		w.x[l] = (tm - c.T0[l]) * c.InvT2[l]
	}

	// Resistances.
	a0, a1, b0, b1, c0, c1 := k.Grow[0][0], k.Grow[0][1], k.Grow[1][0], k.Grow[1][1], k.Grow[2][0], k.Grow[2][1]
	late0, late1 := k.Late[0], k.Late[1]
	for l := range Lanes {
		x, r := w.x[l], w.r[l]
		r0 := mul(c.G0[l]*r, 1+mul(x, a0+mul(x, a1)))
		r1 := mul(c.G1[l]*r, 1+mul(x, b0+mul(x, b1)))
		r2 := mul(c.G2[l]*r, 1+mul(x, c0+mul(x, c1)))
		rb := (r0 + mul(r1, late0)) + mul(r2, late1)
		c.R1[l], c.R2[l], c.RB[l] = r1, r2, rb
		b := c.US[l] + rb
		d.A[l] += (c.UM[l] + c.OV[l]) - mul(b, c.Bleed[l])
		d.B[l] += b
	}
}

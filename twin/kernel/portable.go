package kernel

import "math"

// sweepPortable is the sweep in plain Go, and the definition of what the vector code
// does. It moves slots from..to-1 of s to the end of the step, unless d.Corrected says
// that they are there, and predicts the next step of those that need no rare work; the
// others it lists and returns how many there are.
//
// places are those of all slots; s has one slot more, whose TM is finite.
func sweepPortable(s []Slot, places []Place, k *Tick, d *Drive, from, to int, list []Rare) (listed int) {
	var w scratch
	for n := from; n < to; n++ {
		if d.Corrected <= n {
			correct(&s[n], &s[n+1], &places[n], k, d, &w)
			d.Corrected++
		}
		if lanes := expect(&s[n], k, d, &w); lanes != 0 {
			list[listed] = Rare{int32(n), lanes}
			listed++
			continue
		}
		predict(&s[n], k, d, &w)
	}
	return listed
}

// predictPortable predicts the next step of the slots listed, of whom sweepPortable
// did not.
func predictPortable(s []Slot, k *Tick, d *Drive, list []Rare) {
	var w scratch
	for _, r := range list {
		expect(&s[r.Slot], k, d, &w)
		predict(&s[r.Slot], k, d, &w)
	}
}

// scratch holds what one loop over the lanes leaves to the next. The loops are short:
// what a processor can look ahead over then spans several lanes, which do not wait
// for each other.
type scratch struct {
	i, perA, z, h, e, r, x, q Row
}

// fma is a*b + c, rounded once.
func fma(a, b, c float64) float64 { return math.FMA(a, b, c) }

// mul is a product that is rounded before anything is added to it: on no machine is
// it fused with an addition.
func mul(a, b float64) float64 { return float64(a * b) }

// correct moves the cells of c to the end of the step that was predicted.
func correct(c, next *Slot, p *Place, k *Tick, d *Drive, w *scratch) {
	_, _, _, _ = c.Z[0], next.Z[0], d.I[0], w.i[0] // not nil, which no loop has to ask again
	eta := k.Eta
	g0, g1 := k.Gain[0], k.Gain[1]
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
		c.H[l] = fma(-(far * y), fma(y, fma(y*y, fma(y, m4, m3), fma(y, m2, m1)), m0), h)
		if z := c.Z[l]; z < d.ZMin[l] {
			d.ZMin[l] = z
		}
		if z := c.Z[l]; z > d.ZMax[l] {
			d.ZMax[l] = z
		}

		c.V1[l] = fma(g0, fma(c.R1[l], i, -c.V1[l]), c.V1[l])
		c.V2[l] = fma(g1, fma(c.R2[l], i, -c.V2[l]), c.V2[l])

		u := fma(c.US[l], i, c.UM[l])
		over := fma(c.RB[l], i, c.OV[l])
		v := u + over
		qOver, qEntropic := mul(i, over), mul(i, c.TE[l])
		w.q[l] = qOver + qEntropic
		d.Stored[l] = fma(i, u, d.Stored[l])
		d.Over[l] += qOver
		d.Entropic[l] += qEntropic
		d.Bled[l] = fma(c.Bleed[l], v, d.Bled[l])
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
		air := mul(toAir, fma(d.AirK[l], tm, -d.AirT[l]))
		coolant := mul(toCoolant, fma(d.CoolantK[l], tm, -d.CoolantT[l]))
		on := mul(toNext, tm-next.TM[l])
		lost := ((air + coolant) - d.Flow[l]) + on
		q := w.q[l] + (c.Heat[l] - lost)
		c.Lost[l] = lost
		d.Flow[l] = on
		d.ToAir[l] += air
		d.ToCoolant[l] += coolant
		t := fma(dtC, q, c.T[l])
		c.T[l] = t
		if t < d.TMin[l] {
			d.TMin[l] = t
		}
		if t > d.TMax[l] {
			d.TMax[l] = t
		}
	}
}

// expect works out where the state of charge of the cells of c goes in the next step,
// and where their hysteresis will be on average. It returns the lanes, as bits, whose
// cells are about to leave their piece of the tables or have left their node.
func expect(c *Slot, k *Tick, d *Drive, w *scratch) (rare int32) {
	_, _, _ = c.Z[0], d.I[0], w.i[0]
	eta, stale := k.Eta, k.Stale
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
		if lo < c.From[l] || hi > c.To[l] || math.Abs(c.T[l]-c.T0[l]) > stale {
			rare |= 1 << l
		}
		w.i[l], w.perA[l], w.z[l] = i, perA, lo+hi
		w.h[l] = fma(far, fma(y, fma(y*y, fma(y, s4, s3), fma(y, s2, s1)), 1), toward)
	}
	return rare
}

// predict freezes the middle of the next step of the cells of c, after expect.
func predict(c *Slot, k *Tick, d *Drive, w *scratch) {
	_, _, _ = c.Z[0], d.I[0], w.i[0]
	// Mean overpotential over the step, but for what the resistances add.
	mean0, mean1 := k.Mean[0], k.Mean[1]
	for l := range Lanes {
		z := w.z[l]
		w.e[l] = fma(c.DE[l], z, c.E0[l])
		w.r[l] = fma(c.DR[l], z, c.R0[l])
		c.OV[l] = fma(w.h[l], fma(c.DM[l], z, c.M0[l]), fma(c.V1[l], mean0, c.V2[l]*mean1))
	}

	// Temperature at the middle, with the heat at the start.
	halfC := k.HalfC
	for l := range Lanes {
		i, t := w.i[l], c.T[l]
		v := c.OV[l] + fma(c.G0[l]*w.r[l], i, t*w.e[l])
		tm := fma(halfC, fma(i, v, c.Heat[l]-c.Lost[l]), t)
		c.TM[l] = tm

		// Mean open-circuit voltage.
		te := mul(tm, w.e[l])
		us := fma(tm, c.DE[l], c.DU[l]) * w.perA[l]
		um := fma(c.DU[l], w.z[l], c.U0[l]) + te
		c.UM[l], c.US[l], c.TE[l] = fma(-us, w.i[l], um), us, te
		w.x[l] = (tm - c.T0[l]) * c.InvT2[l]
	}

	// Resistances.
	a0, a1, b0, b1, c0, c1 := k.Grow[0][0], k.Grow[0][1], k.Grow[1][0], k.Grow[1][1], k.Grow[2][0], k.Grow[2][1]
	late0, late1 := k.Late[0], k.Late[1]
	for l := range Lanes {
		x, r := w.x[l], w.r[l]
		r0 := c.G0[l] * r * fma(x, fma(x, a1, a0), 1)
		r1 := c.G1[l] * r * fma(x, fma(x, b1, b0), 1)
		r2 := c.G2[l] * r * fma(x, fma(x, c1, c0), 1)
		rb := fma(r2, late1, fma(r1, late0, r0))
		c.R1[l], c.R2[l], c.RB[l] = r1, r2, rb
		b := c.US[l] + rb
		d.A[l] += fma(-b, c.Bleed[l], c.UM[l]+c.OV[l])
		d.B[l] += b
	}
}

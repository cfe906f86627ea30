package runaway

import "math"

// The pair of Dormand and Prince, RK5(4)7M: nodes, coefficients, and the weights of
// the fourth order. The weights of the fifth order are the last row of coefficients,
// so the last derivative of a step is the first of the next.
var (
	node        = [7]float64{0, 1. / 5, 3. / 10, 4. / 5, 8. / 9, 1, 1}
	coefficient = [7][6]float64{
		{},
		{1. / 5},
		{3. / 40, 9. / 40},
		{44. / 45, -56. / 15, 32. / 9},
		{19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
		{9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
		{35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84},
	}
	fourth = [7]float64{5179. / 57600, 0, 7571. / 16695, 393. / 640, -92097. / 339200, 187. / 2100, 1. / 40}
)

// trial takes a step of h seconds from y, whose derivative is stage 0: next and z
// hold its two solutions, temp the temperatures at its end.
func (r *row) trial(at, h float64) {
	for i := 1; i < len(r.stage); i++ {
		r.combine(r.next, h, coefficient[i][:i])
		r.derivative(r.stage[i], r.next, at+node[i]*h)
	}
	r.combine(r.z, h, fourth[:])
}

// combine is dst = y + h*sum of the first stages with their weights.
func (r *row) combine(dst []float64, h float64, weight []float64) {
	copy(dst, r.y)
	for j, w := range weight {
		if w *= h; w != 0 {
			for m, d := range r.stage[j] {
				dst[m] += w * d
			}
		}
	}
}

// advance moves the bodies on by dt seconds in stretches between which separators
// fail, vents open and shorts run dry. It returns what the bodies made and what they
// gave to their surroundings.
func (r *row) advance(dt float64) (heat Heat, lostJ float64) {
	for left := dt; left > 1e-14*dt; {
		span := left
		for i := range r.body {
			b := &r.body[i]
			r.k.open(&b.s, b.t0)
			b.kept, b.shortW = r.k.kept(&b.s), r.k.shortW(&b.s)
			if b.shortW > 0 {
				span = min(span, b.s.ElectricalJ/b.shortW)
			}
		}
		span = r.integrate(span)
		r.commit(span, &heat)
		lostJ += r.y[len(r.y)-1]
		left -= span
	}
	return heat, lostJ
}

// integrate goes on for span seconds, or until something trips, and returns how
// long that was.
func (r *row) integrate(span float64) (at float64) {
	clear(r.y)
	r.derivative(r.stage[0], r.y, 0)
	h := r.guess()
	if !(h > 0) {
		return span // what came in are no numbers
	}
	shortest := 1e-14 * span
	for span-at > shortest {
		h = min(h, span-at)
		r.trial(at, h)
		off := r.distance()
		if !(off <= 1) && h > shortest {
			h = max(shortest, h*rescale(off))
			continue
		}
		tripped := r.tripped()
		if tripped {
			h = r.locate(at, h)
		}
		copy(r.y, r.next)
		copy(r.stage[0], r.stage[6])
		at += h
		if tripped {
			break
		}
		h *= rescale(off)
	}
	return at
}

// rescale is the factor to the next step after one that was off so many times its
// tolerance: a local error of fifth order, with a margin, and never far at once.
func rescale(off float64) float64 {
	if math.IsNaN(off) || math.IsInf(off, 0) {
		return 0.2
	}
	return max(0.2, min(5, 0.9*math.Pow(off, -0.2)))
}

// tripped reports whether a body at the end of a trial has come to where something
// opens: it is the ends of steps that are looked at.
func (r *row) tripped() bool {
	for i := range r.body {
		if short, vent := r.k.due(&r.body[i].s, r.temp[i]); short || vent {
			return true
		}
	}
	return false
}

// locate shortens a trial of h seconds that tripped to one that just does, and
// leaves that one's result.
func (r *row) locate(at, h float64) float64 {
	for low := 0.0; h-low > 1e-12*(at+h); {
		middle := low + (h-low)/2
		if r.trial(at, middle); r.tripped() {
			h = middle
		} else {
			low = middle
		}
	}
	r.trial(at, h)
	return h
}

// commit moves the states of the bodies to y, a span after they started.
func (r *row) commit(span float64, heat *Heat) {
	var c [reactions]float64
	for i := range r.body {
		b := &r.body[i]
		y := r.y[i*perCell : (i+1)*perCell]
		b.t0 = r.temperature(b, y, span, &c)
		r.k.changes(&c, y, &b.s)
		q, short := r.k.heatOf(&c), b.shortW*span
		if short > b.s.ElectricalJ*(1-1e-12) {
			b.s.ElectricalJ = 0 // run dry: the span ended here
		} else {
			b.s.ElectricalJ -= short
		}
		heat.ReactionJ += q
		heat.VentedJ += (1 - b.kept) * q
		heat.ShortJ += short
		r.k.apply(&b.s, &c, y)
	}
}

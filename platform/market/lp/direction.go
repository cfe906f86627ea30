package lp

// direction solves the linear system of a step (S. Wright, Primal-Dual Interior-Point Methods,
// 1997, chapter 11) into d, for rows that miss right and for what prepare puts into g, cDown and cUp. Where more
// than one solution is allowed, there are as many as it takes until what d misses is little. A block is
// worked on as long as it can be, while its numbers are near to the processor: once before the
// border is solved and once after that, which ends with a call of then.
func (w *method) direction(d *step, right []float64, most int, prepare func(*block), then func(*tally, *block)) (solves int, t tally) {
	first := w.sweep(func(t *tally, g *group, b *block) {
		prepare(b)
		for j := b.from; j < b.to; j++ {
			d.x[j] = w.d[j] * w.g[j]
		}
		for _, r := range b.rows {
			d.y[r] = 0
		}
		t.missed = max(t.missed, w.miss(b.rows, w.left, right, d.x))
		b.down(w.left, g)
	}).missed
	for _, r := range w.f.border {
		d.y[r] = 0
	}
	first = max(first, w.miss(w.f.border, w.left, right, d.x))
	for {
		w.f.across(w.left)
		for _, r := range w.f.border {
			d.y[r] += w.left[r]
		}
		t = w.sweep(func(t *tally, g *group, b *block) {
			b.up(w.left, w.f.y, g)
			for _, r := range b.rows {
				d.y[r] += w.left[r]
			}
			w.conclude(d, b)
			then(t, b)
		})
		if solves++; solves >= most {
			return solves, t
		}
		missed := w.miss(w.f.border, w.left, right, d.x)
		missed = max(missed, w.sweep(func(t *tally, _ *group, b *block) {
			t.missed = max(t.missed, w.miss(b.rows, w.left, right, d.x))
		}).missed)
		if missed <= refined*first {
			return solves, t
		}
		w.f.sweep(func(g *group, b *block) { b.down(w.left, g) })
	}
}

// conclude finds the rest of a direction from its prices of rows.
func (w *method) conclude(d *step, b *block) {
	var (
		x                  = d.x[b.from:b.to]
		zDown, zUp         = d.zDown[b.from:b.to][:len(x)], d.zUp[b.from:b.to][:len(x)]
		weight, g          = w.d[b.from:b.to][:len(x)], w.g[b.from:b.to][:len(x)]
		cDown, cUp         = w.cDown[b.from:b.to][:len(x)], w.cUp[b.from:b.to][:len(x)]
		perDown, perUp     = w.perDown[b.from:b.to][:len(x)], w.perUp[b.from:b.to][:len(x)]
		priceDown, priceUp = w.s.zDown[b.from:b.to][:len(x)], w.s.zUp[b.from:b.to][:len(x)]
		ends               = w.a.start[b.from+1 : b.to+1][:len(x)]
		at                 = w.a.start[b.from]
	)
	for j := range x {
		end := ends[j]
		sum := g[j]
		by := w.a.by[at:end]
		for k, r := range w.a.row[at:end] {
			sum += by[k] * d.y[r]
		}
		at = end
		move := weight[j] * sum
		x[j] = move
		zDown[j] = (cDown[j] - priceDown[j]*move) * perDown[j]
		zUp[j] = (cUp[j] + priceUp[j]*move) * perUp[j]
	}
}

const (
	mostRefined = 3
	refined     = 1e-10 // of what there was to be missed at first
)

// measure finds how far the step can go, and what products it leads to.
func (w *method) measure(t *tally, b *block) {
	s, d := w.s, w.step
	for j := b.from; j < b.to; j++ {
		x, zDown, zUp := d.x[j], d.zDown[j], d.zUp[j]
		if v := -x * w.perDown[j]; v > t.primal {
			t.primal = v
		}
		if v := x * w.perUp[j]; v > t.primal {
			t.primal = v
		}
		if v := -zDown * w.perZDown[j]; v > t.dual {
			t.dual = v
		}
		if v := -zUp * w.perZUp[j]; v > t.dual {
			t.dual = v
		}
		t.xz += s.down[j]*zDown + s.up[j]*zUp
		t.zx += (s.zDown[j] - s.zUp[j]) * x
		t.both += (zDown - zUp) * x
	}
}

// try is how much of more is added to the step, and 1 by the room that there is then, at least 0.9.
type try struct{ part, primal, dual float64 }

// choice is how much of more is added to both kinds of numbers, and 1 by the room that there is then.
type choice struct{ partP, partD, primal, dual float64 }

// tryParts finds how far the step can go with parts of more added: with none, and with some
// between the one that is given and all of it.
func (w *method) tryParts(part float64) func(*tally, *block) {
	d, e := w.step, w.more
	parts := [...]float64{0, part, (1 + part) / 2, 1}
	return func(t *tally, b *block) {
		tries := t.tries
		for i := range tries {
			tries[i].part = parts[i]
		}
		for j := b.from; j < b.to; j++ {
			x, moreX := d.x[j], e.x[j]
			down, moreDown := -x*w.perDown[j], -moreX*w.perDown[j]
			up, moreUp := x*w.perUp[j], moreX*w.perUp[j]
			zDown, moreZDown := -d.zDown[j]*w.perZDown[j], -e.zDown[j]*w.perZDown[j]
			zUp, moreZUp := -d.zUp[j]*w.perZUp[j], -e.zUp[j]*w.perZUp[j]
			for i := range tries {
				t := &tries[i]
				if v := down + t.part*moreDown; v > t.primal {
					t.primal = v
				}
				if v := up + t.part*moreUp; v > t.primal {
					t.primal = v
				}
				if v := zDown + t.part*moreZDown; v > t.dual {
					t.dual = v
				}
				if v := zUp + t.part*moreZUp; v > t.dual {
					t.dual = v
				}
			}
		}
		t.tries = tries
	}
}

// choose takes what makes the step longest.
func choose(tries [4]try) choice {
	c := choice{tries[0].part, tries[0].part, tries[0].primal, tries[0].dual}
	for _, t := range tries[1:] {
		if t.primal <= c.primal {
			c.partP, c.primal = t.part, t.primal
		}
		if t.dual <= c.dual {
			c.partD, c.dual = t.part, t.dual
		}
	}
	return c
}

// blend adds what was chosen of more to the step.
func (w *method) blend(b *block, c choice) {
	d, e := w.step, w.more
	for j := b.from; j < b.to; j++ {
		d.x[j] += c.partP * e.x[j]
		d.zDown[j] += c.partD * e.zDown[j]
		d.zUp[j] += c.partD * e.zUp[j]
	}
	w.blendRows(b.rows, c)
}

func (w *method) blendRows(rows []int32, c choice) {
	for _, r := range rows {
		w.step.y[r] += c.partD * w.more.y[r]
	}
}

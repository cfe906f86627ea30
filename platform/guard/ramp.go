package guard

// ramp remembers what the sum of all setpoints was changed by in the last second.
type ramp struct {
	sum   float64 // kW, all changes so far
	marks []mark  // of the last second; the first was in force when it began
}

// mark is what sum was from a millisecond on, and between which values it moved
// within it.
type mark struct {
	at               int64 // ms
	sum, least, most float64
}

// rampWindow is the second of kW/s, in ms.
const rampWindow = 1000

// room is how far the sum may be changed at now, lo <= 0 <= hi, so that it stays
// within limit kW of all that it was in the last second.
func (r *ramp) room(now int64, limit float64) (lo, hi float64) {
	r.forget(now)
	least, most := r.sum, r.sum
	for _, m := range r.marks {
		least, most = min(least, m.least), max(most, m.most)
	}
	return min(0, most-limit-r.sum), max(0, least+limit-r.sum)
}

func (r *ramp) note(now int64, change float64) {
	if change == 0 {
		return
	}
	r.forget(now)
	if len(r.marks) == 0 {
		r.marks = append(r.marks, mark{now - rampWindow, r.sum, r.sum, r.sum})
	}
	r.sum += change
	last := &r.marks[len(r.marks)-1]
	if last.at != now {
		r.marks = append(r.marks, mark{now, r.sum, r.sum, r.sum})
		return
	}
	last.sum, last.least, last.most = r.sum, min(last.least, r.sum), max(last.most, r.sum)
}

// forget drops what no longer counts. When the clock has gone back, what lies
// ahead of it happened now.
func (r *ramp) forget(now int64) {
	for i := range r.marks {
		r.marks[i].at = min(r.marks[i].at, now)
	}
	old := 0
	for old+1 < len(r.marks) && r.marks[old+1].at <= now-rampWindow {
		old++
	}
	r.marks = append(r.marks[:0], r.marks[old:]...)
	if len(r.marks) == 1 { // nothing was changed in the last second
		r.sum, r.marks = 0, r.marks[:0]
		return
	}
	if len(r.marks) > 0 {
		m := &r.marks[0]
		m.least, m.most = m.sum, m.sum
	}
}

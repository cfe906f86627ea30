package series

import (
	"context"
	"maps"
	"math"
	"slices"

	"yunchu/platform/device"
)

// What a store needs that keeps readings elsewhere and answers as this one does: parts are
// made, joined and told by the same arithmetic, whoever keeps them.

// Part is what readings of one slot in one step amount to. Those of a tier are stored as
// PartColumns say.
type Part = part

// Slot is whose readings they are.
func (p *part) Slot() device.Slot { return p.slot }

// At is the begin of the step, ms UTC.
func (p *part) At() int64 { return p.at }

// NewPart is a part without readings, for PartColumns to be set.
func NewPart(slot device.Slot, at int64) Part { return part{slot: slot, at: at} }

// AppendParts adds the parts of a frame's readings, which are sorted by slot and time, in
// steps of so many ms. Values computed on the way are rounded as those of a stored part.
func AppendParts(parts []Part, f *device.Readings, step int64) []Part {
	return appendParts(parts, f, step)
}

// Coarser joins parts, sorted by slot and time, into those of a longer step, ms.
func Coarser(parts []Part, step int64) []Part { return coarser(parts, step) }

// Tidy rounds what was computed, as in a part that is stored.
func (p *part) Tidy() {
	p.in, p.out = tidy(p.in), tidy(p.out)
	for k := range p.values {
		if v := &p.values[k]; v.n > 0 && sameSum(v.sum) {
			v.sum = tidy(v.sum)
		}
	}
}

func sameSum(x float64) bool {
	d := tidy(x) - x
	return max(d, -d) <= 1e-12*max(x, -x)
}

// PartColumn is a column of a table of parts: whole numbers or numbers, one of which is
// null (NaN) where no reading of the part reports the quantity.
type PartColumn struct {
	Name  string
	whole *partInt
	float *partNumber
}

// PartColumns are the columns, beside slot and time, that are needed for some quantities;
// AllFields: all of them. They are set in this order.
func PartColumns(fields Fields) (out []PartColumn) {
	out = append(out,
		PartColumn{Name: "status", whole: &partInt{
			get: func(p *part) int64 { return int64(p.status) }, set: func(p *part, v int64) { p.status = device.Status(v) },
		}},
		PartColumn{Name: "quality", whole: &partInt{
			get: func(p *part) int64 { return int64(p.quality) }, set: func(p *part, v int64) { p.quality = device.Quality(v) },
		}},
		PartColumn{Name: "flags", whole: &partInt{
			get: func(p *part) int64 { return int64(p.flags) }, set: func(p *part, v int64) { p.flags = device.Flags(v) },
		}})
	for i := range partInts {
		if c := &partInts[i]; c.of == 0 || c.of&(fields|Status) != 0 {
			out = append(out, PartColumn{Name: c.name, whole: c})
		}
	}
	for i := range partNumbers {
		if c := &partNumbers[i]; fields&(1<<c.quantity) != 0 {
			out = append(out, PartColumn{Name: c.name, float: c})
		}
	}
	return out
}

// Whole reports whether the column holds whole numbers.
func (c *PartColumn) Whole() bool { return c.whole != nil }

// Int is the column's value in a part.
func (c *PartColumn) Int(p *Part) int64 { return c.whole.get(p) }

// SetInt sets it.
func (c *PartColumn) SetInt(p *Part, v int64) { c.whole.set(p, v) }

// Number is the column's value in a part; false where it has none.
func (c *PartColumn) Number(p *Part) (x float64, ok bool) {
	if p.values[c.float.quantity].n == 0 {
		return 0, false
	}
	x = c.float.get(p) + 0 // -0 becomes 0
	return x, x == x
}

// SetNumber sets it; NaN where it has none. The counts come before the numbers.
func (c *PartColumn) SetNumber(p *Part, v float64) {
	if p.values[c.float.quantity].n > 0 {
		c.float.set(p, v)
	}
}

// Word is the status word of the part's last reading where it is not of the vocabulary.
func (p *part) Word() string { return p.word }

// SetWord sets it.
func (p *part) SetWord(w string) { p.word = w }

// AddPart takes what a part of the step amounts to into the bucket.
func (b *Bucket) AddPart(p *Part) { b.addPart(p) }

// Select clears what of a reading is not selected.
func (f Fields) Select(r *device.Reading) {
	if f&AllFields == AllFields {
		return
	}
	for i, v := range reported(r) {
		if f&(1<<i) == 0 {
			*v = math.NaN()
		}
	}
	if f&Status == 0 {
		r.Status, r.Word = 0, ""
	}
}

// PartSource gives parts of readings that lie elsewhere.
type PartSource interface {
	// Parts calls yield with the parts of the slots' readings in from ≤ t < to, by slot and
	// then time, each within one step of the question, until it returns false. They may
	// go beyond the bounds.
	Parts(ctx context.Context, slots []device.Slot, from, to int64, yield func(*Part) bool) error
}

// AggregateOf answers q from parts. Nothing lies before minAt nor after maxAt, ms UTC;
// window is how much time may be asked for at once, ms.
func AggregateOf(ctx context.Context, q AggregateQuery, src PartSource, minAt, maxAt, window int64) (page AggregatePage, err error) {
	slot, begin, err := q.prepare()
	if err != nil || q.From >= q.To || len(q.Slots) == 0 {
		return page, err
	}
	step := q.Step.Milliseconds()
	from := max(Floor(max(q.From, -farthest), step), Floor(minAt-maxGap, step))
	to := min(ceil(min(q.To, farthest), step), ceil(maxAt+1+maxGap, step))
	if from >= to {
		return page, nil
	}
	a := outside{src, collect(&page, q.Limit), step, max(step, Floor(window, step))}
	if q.Fleet {
		return page, a.fleet(ctx, q.Slots, max(from, Floor(begin, step)), to)
	}
	slots := q.Slots
	for len(slots) > 0 && slots[0] < slot {
		slots = slots[1:]
	}
	if len(slots) > 0 && slots[0] == slot && begin > q.From { // the page begins within this one
		if err := a.devices(ctx, slots[:1], max(from, Floor(begin, step)), to); err != nil {
			return AggregatePage{}, err
		}
		slots = slots[1:]
	}
	// As many devices are asked for at once as fill the page.
	n := int(min(256, 1+int64(q.Limit)/((to-from)/step)))
	for len(slots) > 0 && page.Next == "" {
		n := min(n, len(slots))
		if err := a.devices(ctx, slots[:n], from, to); err != nil {
			return AggregatePage{}, err
		}
		slots = slots[n:]
	}
	return page, nil
}

// outside makes rows of parts that lie elsewhere.
type outside struct {
	src    PartSource
	yield  func(*AggregateRow) bool
	step   int64
	window int64 // whole steps
}

// devices yields the rows of one slot after the other.
func (a *outside) devices(ctx context.Context, slots []device.Slot, from, to int64) error {
	if to-from > a.window && len(slots) > 1 { // one at a time, so that memory is bounded
		full := false
		one := *a
		one.yield = func(r *AggregateRow) bool {
			full = !a.yield(r)
			return !full
		}
		for i := range slots {
			if err := one.devices(ctx, slots[i:i+1], from, to); err != nil || full {
				return err
			}
		}
		return nil
	}
	r := roller{from: from, to: to, step: a.step, emit: a.yield}
	of := slots[0]
	last := to + maxGap
	for at := from - maxGap; at < last && !r.stopped; {
		next := last
		if len(slots) == 1 {
			next = min(last, Floor(at, a.step)+a.window)
		}
		err := a.src.Parts(ctx, slots, at, next, func(p *Part) bool {
			if p.slot != of {
				if r.end(); r.stopped {
					return false
				}
				r, of = roller{from: from, to: to, step: a.step, emit: a.yield}, p.slot
			}
			return r.add(p)
		})
		if err != nil {
			return err
		}
		at = next
	}
	if !r.stopped {
		r.end()
	}
	return nil
}

// fleet yields one row a step over all slots.
func (a *outside) fleet(ctx context.Context, slots []device.Slot, begin, end int64) error {
	for from := begin; from < end; from += a.window {
		to := min(end, from+a.window)
		rows := map[int64]*AggregateRow{}
		whole := outside{a.src, func(row *AggregateRow) bool {
			sum := rows[row.At]
			if sum == nil {
				sum = &AggregateRow{Slot: device.Plant, At: row.At}
				rows[row.At] = sum
			}
			sum.join(row)
			return true
		}, a.step, to - from}
		if err := whole.devices(ctx, slots, from, to); err != nil {
			return err
		}
		for _, at := range slices.Sorted(maps.Keys(rows)) {
			row := rows[at]
			for i := range row.Values {
				row.Values[i].finish()
			}
			if !a.yield(row) {
				return nil
			}
		}
	}
	return nil
}

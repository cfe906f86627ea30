package series

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"yunchu/platform/device"
)

// AggregateQuery asks what readings amount to in steps of time. From is taken
// down and To up to whole steps, which count from 1970 UTC.
type AggregateQuery struct {
	Slots    []device.Slot // ascending
	From, To int64         // ms UTC
	Step     time.Duration // whole seconds
	Fields   Fields        // the quantities that are wanted; Power brings the energy; 0: all
	Fleet    bool          // one row a step over all slots instead of one a step and slot
	Limit    int           // rows, 0 or more than MaxLimit: MaxLimit; of a fleet: steps
	Cursor   string        // Next of the page before, empty for the first
}

// Stat is what one quantity amounts to in a step: of the readings that report it
// and are not bad. Without any, Count is 0 and the rest NaN.
type Stat struct {
	Count           int64
	Mean, Min, Max  float64
	Last            float64 // of a fleet: the sum of its devices' last values
	Sum             float64 // of a fleet: the sum of its devices' means; of a device: its mean
	Devices         int     // that report it
	total, lastsSum float64
}

// AggregateRow is one step. The mean of a device is over its readings; that of a
// fleet is over its devices' means, each of equal weight.
//
// The energy of a step is the integral of power over the step, with a straight
// line between two readings that are at most MaxGap apart, also where one of them
// lies outside of the step. Covered is how much device time that is; what is
// missing to the length of the step is gap. A step without readings has a row when
// a part of it is covered.
type AggregateRow struct {
	Slot       device.Slot // device.Plant for a fleet
	At         int64       // begin of the step, ms UTC
	Count, Bad int64       // readings, and bad ones among them, which count nowhere else
	Devices    int         // with readings
	Values     [values]Stat
	EnergyIn   float64 // kWh into the devices (charged)
	EnergyOut  float64 // kWh out of them (discharged)
	Covered    time.Duration
}

// Value is the statistic of one quantity, nil for Status.
func (r *AggregateRow) Value(f Fields) *Stat {
	for i := range r.Values {
		if f == 1<<i {
			return &r.Values[i]
		}
	}
	return nil
}

// Gap is an interval in which readings are known to be missing from an answer.
type Gap struct {
	From, To int64 // ms UTC, From ≤ t < To
	Reason   string
}

// AggregatePage is a part of the answer: by slot, then time. Next is the cursor of
// what follows, empty at the end.
type AggregatePage struct {
	Rows []AggregateRow
	Next string
	Gaps []Gap
}

// prepare checks the question, sets what it leaves open, and says where its page begins.
func (q *AggregateQuery) prepare() (slot device.Slot, begin int64, err error) {
	if q.Step < time.Second || q.Step%time.Second != 0 {
		return 0, 0, fmt.Errorf("%w: step %s, whole seconds and at least one", ErrQuery, q.Step)
	}
	if !slices.IsSorted(q.Slots) {
		return 0, 0, fmt.Errorf("%w: slots are not ascending", ErrQuery)
	}
	if q.Fields &= AllFields &^ Status; q.Fields == 0 {
		q.Fields = AllFields &^ Status
	}
	if q.Limit <= 0 || q.Limit > MaxLimit {
		q.Limit = MaxLimit
	}
	if q.Cursor == "" {
		return 0, q.From, nil
	}
	if slot, begin, err = parseAggregateCursor(q.Cursor); err != nil {
		return 0, 0, err
	}
	return slot, max(begin, q.From), nil
}

// Aggregate answers q.
func (s *Store) Aggregate(ctx context.Context, q AggregateQuery) (page AggregatePage, err error) {
	slot, begin, err := q.prepare()
	if err != nil {
		return page, err
	}
	step := q.Step.Milliseconds()
	if q.From >= q.To || len(q.Slots) == 0 {
		return page, nil
	}
	from, to := Floor(max(q.From, -farthest), step), ceil(min(q.To, farthest), step)
	err = s.ask(func(v *snapshot) error {
		page = AggregatePage{}
		a := &aggregator{snapshot: v, fields: q.Fields, from: from, to: to, step: step, yield: collect(&page, q.Limit)}
		a.tier, page.Gaps = v.choose(step, func(tier int64) []Gap { return v.gaps(tier, q.Slots[0], q.Slots[len(q.Slots)-1], from, to) })
		// Steps without anything near have no row, so the rest is not looked at.
		a.from = max(a.from, Floor(v.minAt-maxGap, step))
		a.to = min(a.to, ceil(v.maxAt+1+maxGap, step))
		if q.Fleet {
			a.from = max(a.from, Floor(begin, step))
			return a.fleet(ctx, q.Slots)
		}
		for _, x := range q.Slots {
			if x < slot {
				continue
			}
			d := *a
			if x == slot {
				d.from = max(a.from, Floor(begin, step))
			}
			if err := d.device(ctx, x); err != nil || page.Next != "" {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return AggregatePage{}, err
	}
	return page, nil
}

// collect takes rows until the page is full, and then where it goes on.
func collect(page *AggregatePage, limit int) func(*AggregateRow) bool {
	return func(r *AggregateRow) bool {
		if len(page.Rows) == limit {
			slot := r.Slot
			if slot == device.Plant {
				slot = 0
			}
			page.Next = fmt.Sprintf("a%s.%s", strconv.FormatUint(uint64(slot), 36), strconv.FormatInt(r.At, 36))
			return false
		}
		page.Rows = append(page.Rows, *r)
		return true
	}
}

func parseAggregateCursor(text string) (device.Slot, int64, error) {
	if a, b, ok := strings.Cut(text, "."); ok && strings.HasPrefix(a, "a") {
		slot, err1 := strconv.ParseUint(a[1:], 36, 24)
		at, err2 := strconv.ParseInt(b, 36, 64)
		if err1 == nil && err2 == nil {
			return device.Slot(slot), at, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: cursor %q is not one of ours", ErrQuery, text)
}

// farthest bounds times so that steps beside them do not overflow.
const farthest = 1 << 60

// ceil is the multiple of step at or after t.
func ceil(t, step int64) int64 {
	f := Floor(t, step)
	if f == t {
		return t
	}
	return f + step
}

// aggregator makes rows of parts.
type aggregator struct {
	*snapshot
	tier     int64 // whose parts they are; 0: of readings
	fields   Fields
	from, to int64 // whole steps
	step     int64
	yield    func(*AggregateRow) bool
}

// window is how much time is read at once, in whole steps, which bounds memory.
func (a *aggregator) window() int64 {
	if a.tier == 0 {
		return a.step * max(1, day/a.step)
	}
	return a.step * max(1, windowSteps*a.tier/a.step)
}

// device yields the rows of one slot.
func (a *aggregator) device(ctx context.Context, slot device.Slot) error {
	r := roller{from: a.from, to: a.to, step: a.step, emit: a.yield}
	last := a.to + maxGap
	for at := a.from - maxGap; at < last && !r.stopped; {
		next := min(last, Floor(at, a.step)+a.window())
		p := a.open(at, next)
		if p.view != nil {
			p.view.single = true
		}
		err := p.parts(ctx, slot, at, next, r.add)
		if err != nil {
			return err
		}
		at = next
	}
	r.end()
	return nil
}

// fleet yields one row a step over all slots.
func (a *aggregator) fleet(ctx context.Context, slots []device.Slot) error {
	for from := a.from; from < a.to; from += a.window() {
		to := min(a.to, from+a.window())
		rows := make([]*AggregateRow, (to-from)/a.step)
		r := roller{from: from, to: to, step: a.step, take: func(s *step) bool {
			n := (s.at - from) / a.step
			if rows[n] == nil {
				rows[n] = &AggregateRow{Slot: device.Plant, At: s.at}
			}
			rows[n].joinStep(s)
			return true
		}}
		p := a.open(from-maxGap, to+maxGap)
		for _, slot := range slots {
			r.tail, r.powered = edge{}, false
			if err := p.parts(ctx, slot, from-maxGap, to+maxGap, r.add); err != nil {
				return err
			}
			r.end()
		}
		for _, row := range rows {
			if row == nil {
				continue
			}
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

// partSource gives parts of one slot after the other, ascending.
type partSource struct {
	*aggregator
	view *partView // nil: of readings
}

func (a *aggregator) open(from, to int64) *partSource {
	p := &partSource{aggregator: a}
	if a.tier > 0 {
		p.view = a.view(a.tier, Floor(from, a.tier), ceil(to, a.tier), a.fields)
	}
	return p
}

// parts calls yield with the parts of the slot's readings in from ≤ t < to, and of what
// else is in the same steps of a tier, each within one step, in order of time, until it
// returns false.
func (p *partSource) parts(ctx context.Context, slot device.Slot, from, to int64, yield func(*part) bool) error {
	if p.view != nil {
		p.view.until = to // of the last step what is stored comes whole
		return p.view.each(ctx, slot, Floor(from, p.tier), ceil(to, p.tier), yield)
	}
	var of part
	var r device.Reading
	going := true
	err := p.scan(ctx, slot, from, to, p.fields, func(f *device.Readings, i int) bool {
		f.Row(i, &r)
		begin := Floor(r.At, p.step)
		if of.n > 0 && of.at != begin {
			if going = yield(&of); !going {
				return false
			}
			of.n = 0
		}
		if of.n == 0 {
			of = part{slot: slot, at: begin, first: r.At, arrived: r.Arrived}
		}
		of.add(&r)
		return true
	})
	if err == nil && going && of.n > 0 {
		yield(&of)
	}
	return err
}

// join adds the row of a device to that of a fleet.
func (r *AggregateRow) join(d *AggregateRow) {
	r.Count += d.Count
	r.Bad += d.Bad
	r.EnergyIn += d.EnergyIn
	r.EnergyOut += d.EnergyOut
	r.Covered += d.Covered
	if d.Count > 0 {
		r.Devices++
	}
	for i := range r.Values {
		sum, v := &r.Values[i], &d.Values[i]
		if v.Count == 0 {
			continue
		}
		if sum.Count == 0 {
			sum.Min, sum.Max = v.Min, v.Max
		}
		sum.Count += v.Count
		sum.Devices++
		sum.Min, sum.Max = min(sum.Min, v.Min), max(sum.Max, v.Max)
		sum.total += v.Mean
		sum.lastsSum += v.Last
	}
}

// joinStep adds the step of a device, as join adds the row of one.
func (r *AggregateRow) joinStep(s *step) {
	r.Count += s.n
	r.Bad += s.bad
	r.EnergyIn += s.known.in / perKWh
	r.EnergyOut += s.known.out / perKWh
	r.Covered += time.Duration(s.known.covered) * time.Millisecond
	if s.n > 0 {
		r.Devices++
	}
	for i := range s.values {
		v := &s.values[i]
		if v.n == 0 {
			continue
		}
		sum := &r.Values[i]
		if sum.Count == 0 {
			sum.Min, sum.Max = v.min, v.max
		}
		sum.Count += v.n
		sum.Devices++
		sum.Min, sum.Max = min(sum.Min, v.min), max(sum.Max, v.max)
		sum.total += v.sum / float64(v.n)
		sum.lastsSum += v.last
	}
}

func (s *Stat) finish() {
	if s.Count == 0 {
		nan := math.NaN()
		*s = Stat{Mean: nan, Min: nan, Max: nan, Last: nan, Sum: nan}
		return
	}
	s.Sum, s.Last, s.Mean = s.total, s.lastsSum, s.total/float64(s.Devices)
}

// roller makes the rows of one slot of its parts, which come in order of time and
// are each within one step. A row is open until no energy can come to it: parts
// without a reading of power may lie between two that have one.
type roller struct {
	from, to, step int64
	emit           func(*AggregateRow) bool
	take           func(*step) bool // instead of emit
	stopped        bool
	open           []step // ascending
	tail           edge   // last reading of power
	powered        bool
}

// step is a row that is not finished.
type step struct {
	slot   device.Slot
	at     int64
	n, bad int64
	values [values]sums
	known  energy
}

// at is the open row of the step that t is in.
func (r *roller) at(slot device.Slot, t int64) *step {
	begin := Floor(t, r.step)
	i := len(r.open) // few are open, and most often the last is meant
	for i > 0 && r.open[i-1].at >= begin {
		i--
	}
	if i == len(r.open) || r.open[i].at != begin {
		r.open = slices.Insert(r.open, i, step{slot: slot, at: begin})
	}
	return &r.open[i]
}

// end closes all rows.
func (r *roller) end() { r.flush(math.MaxInt64) }

// flush closes the rows of steps that begin before.
func (r *roller) flush(before int64) {
	n := 0
	for ; n < len(r.open) && r.open[n].at < before && !r.stopped; n++ {
		if r.take != nil {
			r.stopped = !r.take(&r.open[n])
			continue
		}
		row := r.open[n].row()
		r.stopped = !r.emit(&row)
	}
	if n > 0 {
		r.open = r.open[:copy(r.open, r.open[n:])]
	}
}

// row is the finished row.
func (s *step) row() AggregateRow {
	row := AggregateRow{
		Slot: s.slot, At: s.at, Count: s.n, Bad: s.bad, EnergyIn: s.known.in / perKWh, EnergyOut: s.known.out / perKWh,
		Covered: time.Duration(s.known.covered) * time.Millisecond,
	}
	nan := math.NaN()
	for i, v := range s.values {
		if v.n == 0 {
			row.Values[i] = Stat{Mean: nan, Min: nan, Max: nan, Last: nan, Sum: nan}
			continue
		}
		mean := v.sum / float64(v.n)
		row.Values[i] = Stat{Count: v.n, Mean: mean, Min: v.min, Max: v.max, Last: v.last, Sum: mean, Devices: 1}
	}
	if s.n > 0 {
		row.Devices = 1
	}
	return row
}

// add takes the next part.
func (r *roller) add(p *part) bool {
	if r.powered && p.first-r.tail.at > maxGap {
		r.powered = false
	}
	if p.powered && r.powered && p.head.at-r.tail.at <= maxGap {
		r.span(p.slot, r.tail, p.head)
	}
	if p.powered {
		r.tail, r.powered = p.tail, true
	}
	if p.at >= r.from && p.at < r.to {
		s := r.at(p.slot, p.at)
		s.n += p.n
		s.bad += p.bad
		s.known.merge(p.energy)
		for i := range s.values {
			s.values[i].merge(&p.values[i])
		}
	}
	done := Floor(p.at, r.step)
	if r.powered {
		done = min(done, Floor(r.tail.at, r.step))
	}
	r.flush(done)
	return !r.stopped
}

// span integrates along the line from a to b, cut at the steps.
func (r *roller) span(slot device.Slot, a, b edge) {
	slope := (b.kw - a.kw) / float64(b.at-a.at)
	kw := func(t int64) float64 { return a.kw + slope*float64(t-a.at) }
	for t := max(a.at, r.from); t < min(b.at, r.to); {
		next := min(Floor(t, r.step)+r.step, b.at)
		r.at(slot, t).known.add(next-t, kw(t), kw(next))
		t = next
	}
}

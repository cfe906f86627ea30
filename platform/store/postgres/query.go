package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// view is what a question is answered from: everything as of one moment.
type view struct {
	tx      pgx.Tx
	store   *Store
	built   int64
	arrived int64
	since   map[int64]int64
	begins  []int64 // of the partitions of readings
	low     int64   // nothing lies before, ms UTC
	high    int64   // nor from here on
	holes   []series.Gap
}

const farthest = int64(1) << 60

// ask answers a question once what was appended before it is committed, or tells what is not.
func (s *Store) ask(ctx context.Context, question func(v *view) error) error {
	behind, err := s.await(ctx)
	if err != nil {
		return err
	}
	err = pgx.BeginTxFunc(ctx, s.pool, snapshot, func(tx pgx.Tx) error {
		v := &view{tx: tx, store: s, built: unknown}
		var err error
		var built *int64
		if err := tx.QueryRow(ctx, `select built_ms, arrived_ms from state`).Scan(&built, &v.arrived); err != nil {
			return err
		}
		if built != nil {
			v.built = *built
		}
		if v.since, err = keptSince(ctx, tx); err != nil {
			return err
		}
		if err := v.extent(ctx); err != nil {
			return err
		}
		if behind {
			v.holes = append(slices.Clip(v.holes), series.Gap{From: v.arrived + 1, To: math.MaxInt64, Reason: whyBehind})
		}
		return question(v)
	})
	return away(err)
}

const (
	whyExpired = "older than the retention; it was removed"
	whyBehind  = "acknowledged and in the log; the history catches up"
)

// extent finds where anything can lie.
func (v *view) extent(ctx context.Context) error {
	s := v.store
	s.mu.Lock()
	v.begins, v.holes = s.spans[0], s.holes
	v.low, v.high = math.MaxInt64, math.MinInt64
	for step, begins := range s.spans {
		if n := len(begins); n > 0 {
			v.low, v.high = min(v.low, begins[0]), max(v.high, begins[n-1]+span(step))
		}
	}
	s.mu.Unlock()
	var lo, hi *int64
	if err := v.tx.QueryRow(ctx, `select min(at_ms), max(at_ms) from reading_other`).Scan(&lo, &hi); err != nil {
		return err
	}
	if lo != nil {
		v.low, v.high = min(v.low, *lo), max(v.high, min(*hi, farthest)+1)
	}
	for step := range v.since { // what is gone of readings may be left of tiers there
		if step > 0 && lo == nil && v.since[0] > math.MinInt64 {
			if err := v.tx.QueryRow(ctx, "select min(at_ms) from "+tierTable(step)+"_other").Scan(&lo); err != nil {
				return err
			}
			if lo != nil {
				v.low = min(v.low, *lo)
			}
		}
	}
	if v.low > v.high {
		v.low, v.high = 0, 0
	}
	return nil
}

// await waits until what was appended before is committed; behind: it is not, and it would
// take too long.
func (s *Store) await(ctx context.Context) (behind bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	goal := s.lastSeq
	patience, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	var stop func()
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	for {
		switch {
		case s.closed:
			return false, series.ErrClosed
		case s.cond.State != series.Ready:
			return false, fmt.Errorf("%w: %s", series.ErrAway, s.cond.Error)
		case s.covered >= goal:
			return false, nil
		case ctx.Err() != nil:
			return false, fmt.Errorf("read history: %w", ctx.Err())
		case s.behind() || patience.Err() != nil:
			return true, nil
		}
		if stop == nil {
			stop = s.wake(patience)
		}
		s.change.Wait()
	}
}

// away makes the error of a server that is gone series.ErrAway.
func away(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, series.ErrQuery) {
		return err
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch class := e.Code[:min(2, len(e.Code))]; class {
		case "08", "53", "57", "58": // connection, resources, intervention, system
		default:
			return fmt.Errorf("read history: %w", err)
		}
	}
	return fmt.Errorf("%w: %w", series.ErrAway, err)
}

var readingSelect = "select " + strings.Join(readingColumns, ", ") + " from reading "

// scan calls yield with readings. What it is given is used again.
func scan(ctx context.Context, from querier, tail string, args []any, yield func(*device.Reading) error) error {
	rows, err := from.Query(ctx, readingSelect+tail, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var (
		slot, flags     int32
		status, quality int16
		word            pgtype.Text
		v               [8]pgtype.Float8
		r               device.Reading
	)
	into := []any{&slot, &r.At, &r.Arrived, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &status, &word, &quality, &flags}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		r.Slot, r.Status, r.Quality, r.Flags = device.Slot(slot), device.Status(status), device.Quality(quality), device.Flags(flags)
		for i, x := range []*float64{&r.SoC, &r.SoH, &r.Voltage, &r.Current, &r.Power, &r.Temperature, &r.MaxCharge, &r.MaxDischarge} {
			if *x = v[i].Float64; !v[i].Valid {
				*x = math.NaN()
			}
		}
		if r.Word = ""; word.Valid {
			r.Word = wordOf(word.String)
		}
		if err := yield(&r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

// windows calls ask with one stretch of from ≤ t < to after the other that may hold
// readings, of one partition at first and then of more, until it returns false.
func (v *view) windows(from, to int64, ask func(from, to int64) (bool, error)) error {
	from, to = max(from, v.low), min(to, v.high)
	n := 1
	for from < to {
		end := to
		if first := max(from, earliest); first > from {
			end = min(to, first)
		} else if i, there := slices.BinarySearch(v.begins, series.Floor(from, day)); i < len(v.begins) && from < latest {
			if !there {
				from = v.begins[i]
			}
			if from >= to {
				return nil
			}
			if last := i + n; last < len(v.begins) {
				end = min(to, v.begins[last])
			}
			n = min(2*n, 32)
		} else if from < latest {
			from = latest
			continue
		}
		going, err := ask(from, end)
		if err != nil || !going {
			return err
		}
		from = end
	}
	return nil
}

// Query returns the page of readings that q asks for. What is known to be missing is told by
// the page's gaps.
func (s *Store) Query(ctx context.Context, q series.Query) (page series.Page, err error) {
	step := q.Step.Milliseconds()
	if q.Step < 0 || q.Step > 0 && step == 0 {
		return page, fmt.Errorf("%w: step %s, at least 1 ms", series.ErrQuery, q.Step)
	}
	from := q.From
	if q.Cursor != "" {
		next, err := series.ParseCursor(q.Cursor)
		if err != nil {
			return page, err
		}
		from = max(from, next)
	}
	if q.Limit <= 0 || q.Limit > series.MaxLimit {
		q.Limit = series.MaxLimit
	}
	if q.Fields &= series.AllFields; q.Fields == 0 {
		q.Fields = series.AllFields
	}
	if from >= q.To {
		return page, nil
	}
	err = s.ask(ctx, func(v *view) error {
		page = series.Page{}
		if step == 0 {
			page.Gaps = v.gaps(0, from, q.To)
			return v.raw(ctx, &page, &q, from)
		}
		return v.stepped(ctx, &page, &q, from, step)
	})
	if err != nil {
		return series.Page{}, err
	}
	return page, nil
}

func (v *view) raw(ctx context.Context, page *series.Page, q *series.Query, from int64) error {
	return v.windows(from, q.To, func(from, to int64) (bool, error) {
		err := scan(ctx, v.tx, "where slot = $1 and at_ms >= $2 and at_ms < $3 order by at_ms limit $4",
			[]any{int64(q.Slot), from, to, q.Limit + 1 - len(page.Rows)}, func(r *device.Reading) error {
				if len(page.Rows) == q.Limit {
					page.Next = series.Cursor(r.At)
					return nil // it was the last
				}
				q.Fields.Select(r)
				page.Rows = append(page.Rows, series.Row{Reading: *r, Count: 1})
				return nil
			})
		return page.Next == "", err
	})
}

// stepped answers in steps: from the coarsest tier that does, and from readings where it is
// not made, or the bounds cut a step of it.
func (v *view) stepped(ctx context.Context, page *series.Page, q *series.Query, from, step int64) error {
	tier, gaps := v.choose(step, func(tier int64) []series.Gap { return series.GapsOfSteps(tier, from, q.To, v.gaps) })
	page.Gaps = gaps
	var b series.Bucket
	begin := int64(math.MinInt64)
	// into opens the bucket that at lies in; false when the page is full.
	into := func(at int64) bool {
		if f := series.Floor(at, step); b.Rows() == 0 || f != begin {
			if b.Rows() > 0 {
				page.Rows = append(page.Rows, b.Close())
				if b.Open(f); len(page.Rows) == q.Limit {
					page.Next = series.Cursor(f)
					return false
				}
			}
			b.Open(f)
			begin = f
		}
		return true
	}
	readings := func(from, to int64) (bool, error) {
		err := v.windows(from, to, func(from, to int64) (bool, error) {
			err := scan(ctx, v.tx, "where slot = $1 and at_ms >= $2 and at_ms < $3 order by at_ms", []any{int64(q.Slot), from, to}, func(r *device.Reading) error {
				if !into(r.At) {
					return errEnough
				}
				q.Fields.Select(r)
				b.Add(r)
				return nil
			})
			return page.Next == "", err
		})
		return page.Next == "", err
	}
	slots := []device.Slot{q.Slot}
	parts := func(from, to int64) (bool, error) {
		err := v.stored(ctx, tier, slots, from, to, q.Fields|series.Status, func(p *series.Part) error {
			if !into(p.At()) {
				return errEnough
			}
			b.AddPart(p)
			return nil
		})
		return page.Next == "", err
	}
	err := v.stretches(ctx, tier, slots, from, q.To, readings, parts)
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && page.Next == "" && b.Rows() > 0 {
		page.Rows = append(page.Rows, b.Close())
	}
	return err
}

// windowSteps is how many steps are read of a tier at a time, which bounds memory.
const windowSteps = 4096

// stretches calls, in order of time, parts where a tier is made of readings of the slots and
// readings where it is not or the bounds cut a step, until one of them returns false.
func (v *view) stretches(ctx context.Context, tier int64, slots []device.Slot, from, to int64, readings, parts func(from, to int64) (bool, error)) error {
	from, to = max(from, v.low), min(to, v.high)
	if from >= to {
		return nil
	}
	if tier == 0 {
		_, err := readings(from, to)
		return err
	}
	whole, end := ceil(from, tier), series.Floor(to, tier)
	if whole >= end {
		_, err := readings(from, to)
		return err
	}
	stale, err := v.stale(ctx, slots, whole, end)
	if err != nil {
		return err
	}
	stale = append(stale, math.MaxInt64)
	going := true
	for at := from; going && at < to && err == nil; {
		h := series.Floor(at, hour)
		for stale[0] < h {
			stale = stale[1:]
		}
		switch {
		case at < whole:
			going, err = readings(at, whole)
			at = whole
		case at >= end || at >= v.built:
			going, err = readings(at, to)
			at = to
		case stale[0] == h:
			next := min(h+hour, to)
			for i := 1; stale[i] == next && next < to; i++ { // those that follow, at once
				next = min(next+hour, to)
			}
			if next > end {
				next = to
			}
			going, err = readings(at, next)
			at = next
		default:
			next := min(stale[0], v.built, end, at+windowSteps*tier)
			going, err = parts(at, next)
			at = next
		}
	}
	return err
}

// stale are the hours in from ≤ t < to whose tiers are not what the slots' readings are.
func (v *view) stale(ctx context.Context, slots []device.Slot, from, to int64) ([]int64, error) {
	rows, err := v.tx.Query(ctx, `select distinct hour_ms from stale where hour_ms >= $1 and hour_ms < $2 and (slot = $3 or slot = any($4)) order by hour_ms`,
		series.Floor(from, hour), to, all, numbers(slots))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

func numbers(slots []device.Slot) []int32 {
	out := make([]int32, len(slots))
	for i, s := range slots {
		out[i] = int32(s)
	}
	return out
}

// stored calls yield with the stored parts of the slots in from ≤ t < to, by slot and time.
func (v *view) stored(ctx context.Context, tier int64, slots []device.Slot, from, to int64, fields series.Fields, yield func(*series.Part) error) error {
	columns := series.PartColumns(fields)
	var q strings.Builder
	q.WriteString("select slot, at_ms, word")
	for _, c := range columns {
		q.WriteString(", " + c.Name)
	}
	fmt.Fprintf(&q, " from %s where slot = any($1) and at_ms >= $2 and at_ms < $3 order by slot, at_ms", tierTable(tier))
	rows, err := v.tx.Query(ctx, q.String(), numbers(slots), from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	var slot int32
	var at int64
	var word pgtype.Text
	whole, floats := make([]int64, len(columns)), make([]pgtype.Float8, len(columns))
	into := []any{&slot, &at, &word}
	for i := range columns {
		if columns[i].Whole() {
			into = append(into, &whole[i])
		} else {
			into = append(into, &floats[i])
		}
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		p := series.NewPart(device.Slot(slot), at)
		if word.Valid {
			p.SetWord(wordOf(word.String))
		}
		for i := range columns {
			switch c := &columns[i]; {
			case c.Whole():
				c.SetInt(&p, whole[i])
			case floats[i].Valid:
				c.SetNumber(&p, floats[i].Float64)
			default:
				c.SetNumber(&p, math.NaN())
			}
		}
		if err := yield(&p); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Aggregate answers q.
func (s *Store) Aggregate(ctx context.Context, q series.AggregateQuery) (page series.AggregatePage, err error) {
	step := q.Step.Milliseconds()
	if q.Step < time.Second || len(q.Slots) == 0 || q.From >= q.To { // it has no answer from anywhere
		return series.AggregateOf(ctx, q, nil, 0, 0, day)
	}
	from, to := series.Floor(max(q.From, -farthest), step), ceil(min(q.To, farthest), step)
	fields := q.Fields & (series.AllFields &^ series.Status)
	if fields == 0 {
		fields = series.AllFields &^ series.Status
	}
	err = s.ask(ctx, func(v *view) error {
		a := &aggregate{view: v, step: step, fields: fields}
		var gaps []series.Gap
		a.tier, gaps = v.choose(step, func(tier int64) []series.Gap { return v.gaps(tier, from, to) })
		window := day
		if a.tier > 0 {
			window = windowSteps * a.tier
		}
		page, err = series.AggregateOf(ctx, q, a, v.low, v.high-1, window)
		page.Gaps = gaps
		return err
	})
	if err != nil {
		return series.AggregatePage{}, err
	}
	return page, nil
}

// aggregate gives the parts that an answer is made of.
type aggregate struct {
	*view
	tier, step int64
	fields     series.Fields
}

// partsAtOnce is about how many parts are in memory, of as many slots as that makes.
const partsAtOnce = 1 << 16

func slotsAtOnce(tier, from, to int64) int {
	if tier == 0 {
		return 64 // their parts are passed on one by one
	}
	return int(min(1024, max(16, partsAtOnce/max(1, (to-from)/tier))))
}

// Parts implements series.PartSource.
func (a *aggregate) Parts(ctx context.Context, slots []device.Slot, from, to int64, yield func(*series.Part) bool) error {
	take := func(p *series.Part) error {
		if !yield(p) {
			return errEnough
		}
		return nil
	}
	for chunk := range slices.Chunk(slots, slotsAtOnce(a.tier, from, to)) {
		if err := a.chunk(ctx, chunk, from, to, take); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (a *aggregate) chunk(ctx context.Context, slots []device.Slot, from, to int64, yield func(*series.Part) error) error {
	if a.tier == 0 {
		from, to = max(from, a.low), min(to, a.high)
		return a.made(ctx, slots, from, to, yield)
	}
	from, to = series.Floor(max(from, -farthest), a.tier), ceil(min(to, farthest), a.tier)
	var list []series.Part
	keep := func(p *series.Part) error {
		list = append(list, *p)
		return nil
	}
	stretches := 0
	if err := a.stretches(ctx, a.tier, slots, from, to, func(from, to int64) (bool, error) {
		stretches++
		return true, a.made(ctx, slots, from, to, keep)
	}, func(from, to int64) (bool, error) {
		stretches++
		return true, a.stored(ctx, a.tier, slots, from, to, a.fields, keep)
	}); err != nil {
		return err
	}
	if stretches > 1 && len(slots) > 1 { // each was by slot
		slices.SortStableFunc(list, func(a, b series.Part) int { return int(a.Slot()) - int(b.Slot()) })
	}
	for i := range list {
		if err := yield(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// made calls yield with the parts of readings in from ≤ t < to, within steps of the answer,
// by slot and time.
func (a *aggregate) made(ctx context.Context, slots []device.Slot, from, to int64, yield func(*series.Part) error) error {
	if from >= to {
		return nil
	}
	var f device.Readings
	take := func() error {
		parts := series.AppendParts(nil, &f, a.step)
		f.Reset()
		for i := range parts {
			if err := yield(&parts[i]); err != nil {
				return err
			}
		}
		return nil
	}
	err := scan(ctx, a.tx, "where slot = any($1) and at_ms >= $2 and at_ms < $3 order by slot, at_ms", []any{numbers(slots), from, to}, func(r *device.Reading) error {
		if n := f.Rows(); n > 0 && (f.Slot[n-1] != r.Slot || n >= device.MaxRows && series.Floor(f.At[n-1], a.step) != series.Floor(r.At, a.step)) {
			if err := take(); err != nil {
				return err
			}
		}
		f.Append(r)
		return nil
	})
	if err == nil && f.Rows() > 0 {
		err = take()
	}
	return err
}

// ceil is the multiple of step at or after t.
func ceil(t, step int64) int64 {
	f := series.Floor(t, step)
	if f == t {
		return t
	}
	return f + step
}

// Has reports whether there is a reading of the slot at that time.
func (s *Store) Has(ctx context.Context, slot device.Slot, at int64) (found bool, err error) {
	err = s.ask(ctx, func(v *view) error {
		return v.tx.QueryRow(ctx, `select exists (select from reading where slot = $1 and at_ms = $2)`, int64(slot), at).Scan(&found)
	})
	return found, err
}

// Count counts the times in from ≤ t < to at which the slot has a reading.
func (s *Store) Count(ctx context.Context, slot device.Slot, from, to int64) (n int64, err error) {
	err = s.ask(ctx, func(v *view) error {
		n = 0
		return v.windows(from, to, func(from, to int64) (bool, error) {
			var some int64
			err := v.tx.QueryRow(ctx, `select count(*) from reading where slot = $1 and at_ms >= $2 and at_ms < $3`, int64(slot), from, to).Scan(&some)
			n += some
			return true, err
		})
	})
	return n, err
}

// Times calls yield with every time in from ≤ t < to at which the slot has a reading,
// ascending, until it returns false.
func (s *Store) Times(ctx context.Context, slot device.Slot, from, to int64, yield func(at int64) bool) error {
	return s.ask(ctx, func(v *view) error {
		going := true
		return v.windows(from, to, func(from, to int64) (bool, error) {
			rows, err := v.tx.Query(ctx, `select at_ms from reading where slot = $1 and at_ms >= $2 and at_ms < $3 order by at_ms`, int64(slot), from, to)
			if err != nil {
				return false, err
			}
			var at int64
			_, err = pgx.ForEachRow(rows, []any{&at}, func() error {
				going = going && yield(at)
				return nil
			})
			return going, err
		})
	})
}

// Gaps are where readings are known to be missing in from ≤ t < to.
func (s *Store) Gaps(_ device.Slot, from, to int64) ([]series.Gap, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := view{holes: s.holes, since: s.since}
	return v.gaps(0, from, to), nil
}

// gaps are where readings, or steps of a tier, are known to be missing in from ≤ t < to.
func (v *view) gaps(step, from, to int64) (out []series.Gap) {
	if since := v.since[step]; from < since {
		out = append(out, series.Gap{From: from, To: min(to, since), Reason: whyExpired})
	}
	for _, g := range v.holes {
		if g.From < to && from < g.To {
			out = append(out, series.Gap{From: max(from, g.From), To: min(to, g.To), Reason: g.Reason})
		}
	}
	return out
}

// choose is the coarsest tier, 0 for readings, that answers steps exactly with the least
// missing.
func (v *view) choose(step int64, gapsOf func(tier int64) []series.Gap) (best int64, gaps []series.Gap) {
	candidates := []int64{0}
	for _, t := range v.store.opt.Tiers {
		candidates = append(candidates, t.Step.Milliseconds())
	}
	least := int64(-1)
	for _, c := range slices.Backward(candidates) {
		if c > 0 && step%c != 0 {
			continue
		}
		list := gapsOf(c)
		missing := int64(0)
		for _, g := range list {
			missing += g.To - g.From
		}
		if least < 0 || missing < least {
			best, gaps, least = c, list, missing
		}
		if missing == 0 {
			break
		}
	}
	return best, gaps
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// verifySpan is how far back a running store looks: what is older has not been written
// since, and an Inspect looks at all of it.
const verifySpan = 2 * day

// Verify compares the tiers of the last two days with their readings, and the state with
// what this process has committed. Hours whose tiers differ are reported and made again.
// Whether the disk gives back what was written is for PostgreSQL to know: its checksums.
func (s *Store) Verify(ctx context.Context) error {
	var wrong []int64
	err := s.ask(ctx, func(v *view) error {
		var seq int64
		if err := v.tx.QueryRow(ctx, `select seq from state`).Scan(&seq); err != nil {
			return err
		}
		if got, want := uint64(seq), s.Covered(); got > want {
			s.fault(series.Fault{Err: fmt.Errorf("the database says that sequence %d is committed, and this process has committed %d", got, want)})
		}
		if v.built == unknown {
			return nil
		}
		var err error
		wrong, err = v.differing(ctx, max(v.low, v.built-verifySpan), v.built, func(h int64, what error) {
			s.fault(series.Fault{Err: what, From: h, To: h + hour, Rebuilt: true})
		})
		return err
	})
	if err != nil || len(wrong) == 0 {
		return err
	}
	if _, err := s.pool.Exec(ctx, `insert into stale select h, $2, $3 from unnest($1::bigint[]) as t(h)
		on conflict (hour_ms, slot) do update set seq = excluded.seq`, wrong, all, int64(s.Covered())); err != nil {
		return away(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.staleHours, s.todo = true, true
	s.change.Broadcast()
	return nil
}

// fault notes a fault.
func (s *Store) fault(f series.Fault) {
	s.log.Error("history damaged", "store", Kind, "error", f.Error())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// differing are the hours in from ≤ t < to whose tiers are made and are not what their
// readings amount to. tell is called with each.
func (v *view) differing(ctx context.Context, from, to int64, tell func(h int64, what error)) (out []int64, err error) {
	stale, err := v.stale(ctx, nil, from, to)
	if err != nil {
		return nil, err
	}
	from = max(from, v.since[0])
	for _, begin := range v.begins {
		for h := max(begin, ceil(from, hour)); h < min(begin+day, to); h += hour {
			if _, marked := slices.BinarySearch(stale, h); marked {
				continue
			}
			var some bool // an hour of which some slots are marked is not looked at
			if err := v.tx.QueryRow(ctx, `select exists (select from stale where hour_ms = $1)`, h).Scan(&some); err != nil {
				return nil, err
			}
			if some {
				continue
			}
			what, err := v.compare(ctx, h)
			if err != nil {
				return nil, err
			}
			if what != nil {
				out = append(out, h)
				tell(h, what)
			}
		}
	}
	return out, nil
}

// compare makes the tiers of an hour again and says how those that are stored differ.
func (v *view) compare(ctx context.Context, h int64) (what, err error) {
	rows, err := v.tx.Query(ctx, `select distinct slot from reading where at_ms >= $1 and at_ms < $2 order by slot`, h, h+hour)
	if err != nil {
		return nil, err
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return nil, err
	}
	counted := map[int64]int64{}
	for some := range slices.Chunk(numbers, slotsAtOnce(1000, 0, hour)) {
		slots := make([]device.Slot, len(some))
		for i, n := range some {
			slots[i] = device.Slot(n)
		}
		for step := range v.since {
			if step == 0 || h < v.since[step] {
				continue
			}
			var want []series.Part
			if err := hourly(ctx, v.tx, h, some, func(f *device.Readings) error {
				want = series.AppendParts(want, f, step)
				return nil
			}); err != nil {
				return nil, err
			}
			i := 0
			if err := v.stored(ctx, step, slots, h, h+hour, series.AllFields, func(p *series.Part) error {
				if i < len(want) && what == nil {
					what = differs(step, p, &want[i])
				}
				i++
				return nil
			}); err != nil {
				return nil, err
			}
			if i != len(want) && what == nil {
				what = fmt.Errorf("%s has %d steps in the hour from %s, and the readings make %d", tierTable(step), i, stamp(h), len(want))
			}
			counted[step] += int64(i)
		}
	}
	for step := range v.since { // steps of slots that have no readings
		if step == 0 || h < v.since[step] {
			continue
		}
		var n int64
		if err := v.tx.QueryRow(ctx, "select count(*) from "+tierTable(step)+" where at_ms >= $1 and at_ms < $2", h, h+hour).Scan(&n); err != nil {
			return nil, err
		}
		if n != counted[step] && what == nil {
			what = fmt.Errorf("%s has %d steps without readings in the hour from %s", tierTable(step), n-counted[step], stamp(h))
		}
	}
	return what, nil
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// differs says how a stored part differs from what its readings amount to.
func differs(step int64, got, want *series.Part) error {
	where := fmt.Errorf("%s, slot %d at %s", tierTable(step), got.Slot(), stamp(got.At()))
	if got.Slot() != want.Slot() || got.At() != want.At() {
		return fmt.Errorf("%w: the readings' next step is of slot %d at %s", where, want.Slot(), stamp(want.At()))
	}
	if got.Word() != want.Word() {
		return fmt.Errorf("%w: status %q, the readings say %q", where, got.Word(), want.Word())
	}
	for i := range partColumns {
		c := &partColumns[i]
		if c.Whole() {
			if g, w := c.Int(got), c.Int(want); g != w {
				return fmt.Errorf("%w: %s %d, the readings say %d", where, c.Name, g, w)
			}
			continue
		}
		g, there := c.Number(got)
		w, wanted := c.Number(want)
		if there != wanted || there && g != w && math.Abs(g-w) > 1e-6+1e-9*math.Abs(w) {
			return fmt.Errorf("%w: %s %g, the readings say %g", where, c.Name, g, w)
		}
	}
	return nil
}

// Inspection is what a look at a history from outside has found.
type Inspection struct {
	Version   string // of the server
	Checksums bool   // the server checks what its disk gives back
	Format    int    // of the tables
	Covered   uint64 // sequence of the log
	Readings  int64
	Hours     int // that tiers are made of
	Stale     int // that are to be made
	Gaps      []series.Gap
	Faults    []error
}

// ErrNone: there is no history in that schema.
var ErrNone = errors.New("there is no history")

// Inspect compares every tier of a history with its readings and changes nothing. A plant
// may be writing.
func Inspect(ctx context.Context, at Server) (r Inspection, err error) {
	if at.Schema == "" {
		at.Schema = defaultSchema
	}
	config, err := at.config()
	if err != nil {
		return r, err
	}
	w, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return r, fmt.Errorf("%w: %w", series.ErrAway, err)
	}
	defer func() { err = errors.Join(err, w.Close(context.WithoutCancel(ctx))) }()
	err = pgx.BeginTxFunc(ctx, w, snapshot, func(tx pgx.Tx) error { return r.fill(ctx, tx, at.Schema) })
	return r, away(err)
}

func (r *Inspection) fill(ctx context.Context, tx pgx.Tx, schema string) error {
	var there bool
	var sums string
	if err := tx.QueryRow(ctx, `select to_regclass($1) is not null, current_setting('server_version'), current_setting('data_checksums')`,
		pgx.Identifier{schema}.Sanitize()+".state").Scan(&there, &r.Version, &sums); err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("%w in the schema %s", ErrNone, schema)
	}
	r.Checksums = sums == "on"
	v := &view{tx: tx, built: unknown}
	var built *int64
	var seq int64
	if err := tx.QueryRow(ctx, `select format, seq, built_ms from state`).Scan(&r.Format, &seq, &built); err != nil {
		return err
	}
	if r.Format > len(migrations) {
		return fmt.Errorf("%w: its tables have format %d and this program knows formats up to %d: run a newer yunchu", ErrRefused, r.Format, len(migrations))
	}
	r.Covered = uint64(seq)
	if built != nil {
		v.built = *built
	}
	var err error
	if v.since, err = keptSince(ctx, tx); err != nil {
		return err
	}
	if v.begins, err = partitions(ctx, tx, tableOf(0)); err != nil {
		return err
	}
	if r.Gaps, err = readGaps(ctx, tx); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, `select (select count(*) from reading), (select count(*) from stale)`).Scan(&r.Readings, &r.Stale); err != nil {
		return err
	}
	for _, begin := range v.begins {
		if v.built > begin {
			r.Hours += int((min(begin+day, v.built) - begin) / hour)
		}
	}
	if v.built == unknown {
		return nil
	}
	_, err = v.differing(ctx, math.MinInt64/2, v.built, func(_ int64, what error) { r.Faults = append(r.Faults, what) })
	return err
}

// Rewind takes the state of a plant's history back to the last sequence of its log, where it
// is beyond, and says what it was. The readings stay. No plant may be writing.
func Rewind(ctx context.Context, at Server, plant string, last uint64) (was uint64, err error) {
	s := &Store{opt: Options{Server: at, Plant: plant}}
	if s.opt.Schema == "" {
		s.opt.Schema = defaultSchema
	}
	config, err := at.config()
	if err != nil {
		return 0, err
	}
	w, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", series.ErrAway, err)
	}
	defer func() { err = errors.Join(err, w.Close(context.WithoutCancel(ctx))) }()
	for until := time.Now().Add(openPatience); ; time.Sleep(firstRetry) {
		err := s.inspect(ctx, w)
		if err == nil {
			break
		} else if !errors.Is(err, errLocked) || time.Now().After(until) {
			return 0, err
		}
	}
	var of string
	var seq int64
	if err := w.QueryRow(ctx, `select plant, seq from state`).Scan(&of, &seq); err != nil {
		return 0, away(err)
	}
	if of != plant {
		return 0, errForeign(s.opt.Schema)
	}
	if uint64(seq) <= last {
		return uint64(seq), nil
	}
	_, err = w.Exec(ctx, `update state set seq = $1`, int64(last))
	return uint64(seq), away(err)
}

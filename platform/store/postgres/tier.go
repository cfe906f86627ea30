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

const (
	unknown = int64(math.MinInt64)
	all     = -1 // in the place of a slot: every one
	// grace is how long after its end the tiers of an hour are made first, so that what is
	// on its way has come.
	grace = int64(5 * time.Minute / time.Millisecond)
	// flushParts is how many parts wait in memory while an hour is made.
	flushParts = 4096
)

// upkeep makes tiers and drops what is kept no longer, until the store is closed.
func (s *Store) upkeep() {
	for {
		s.mu.Lock()
		for !s.closed && (!s.todo || s.cond.State != series.Ready) {
			s.change.Wait()
		}
		closed, now, expireAt := s.closed, s.now, s.expireAt
		s.todo, s.working, s.expireAt = false, true, time.Time{}
		s.mu.Unlock()
		if closed {
			return
		}
		err := s.round(s.life, now, expireAt)
		s.mu.Lock()
		s.working = false
		failed := err != nil && s.life.Err() == nil
		if failed {
			s.log.Error("tiers of the history not made, will try again", "store", Kind, "error", err)
			s.failures++
			s.stats.Failures++
			s.failure = err
			if s.expireAt.IsZero() {
				s.expireAt = expireAt
			}
			s.staleHours = true
		}
		s.change.Broadcast()
		s.mu.Unlock()
		if !failed {
			continue
		}
		timer := time.NewTimer(lastRetry)
		select {
		case <-timer.C:
		case <-s.life.Done():
			timer.Stop()
		}
		s.mu.Lock()
		s.todo = true
		s.mu.Unlock()
	}
}

// round does what upkeep has to do at now.
func (s *Store) round(ctx context.Context, now, expireAt time.Time) error {
	if err := s.claim(ctx, now); err != nil {
		return fmt.Errorf("begin hours: %w", err)
	}
	s.mu.Lock()
	stale := s.staleHours
	s.staleHours = false
	s.mu.Unlock()
	for stale && ctx.Err() == nil {
		h, there, err := s.staleHour(ctx)
		if err != nil {
			return err
		}
		if !there {
			break
		}
		if now.IsZero() || h >= series.Floor(now.UnixMilli()-grace, hour) {
			s.mu.Lock()
			s.staleHours = true
			s.mu.Unlock()
			break
		}
		if err := s.build(ctx, h); err != nil {
			return fmt.Errorf("make the tiers of %s: %w", time.UnixMilli(h).UTC().Format(time.RFC3339), err)
		}
	}
	if !expireAt.IsZero() {
		if err := s.expire(ctx, expireAt); err != nil {
			return fmt.Errorf("drop what is kept no longer: %w", err)
		}
	}
	return ctx.Err()
}

// claim marks the hours that are past at now and have no tiers yet. From then on what comes
// for them marks them again.
func (s *Store) claim(ctx context.Context, now time.Time) error {
	if len(s.opt.Tiers) == 0 || now.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	s.writing.Lock()
	defer s.writing.Unlock()
	end := series.Floor(now.UnixMilli()-grace, hour)
	if s.built == unknown || end <= s.built {
		return nil
	}
	s.mu.Lock()
	days, seq := s.spans[0], s.covered
	s.mu.Unlock()
	var hours []int64
	for _, begin := range days { // what has no partition has no readings
		for h := max(begin, s.built); h < min(begin+day, end); h += hour {
			hours = append(hours, h)
		}
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `insert into stale select h, $2, $3 from unnest($1::bigint[]) as t(h)
			on conflict (hour_ms, slot) do update set seq = excluded.seq`, hours, all, int64(seq)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `update state set built_ms = $1`, end)
		return err
	})
	if err != nil {
		return err
	}
	s.built = end
	s.mu.Lock()
	s.staleHours = true
	s.mu.Unlock()
	return nil
}

// staleHour is the first hour whose tiers are to be made. Where nobody has told the time yet,
// or the clock was set back to before it is past, it waits.
func (s *Store) staleHour(ctx context.Context) (h int64, there bool, err error) {
	err = s.pool.QueryRow(ctx, `select hour_ms from stale order by hour_ms limit 1`).Scan(&h)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	return h, err == nil, err
}

// build makes the tiers of what is stale of an hour. A mark that is set again meanwhile stays.
func (s *Store) build(ctx context.Context, h int64) error {
	for _, t := range s.opt.Tiers {
		step := t.Step.Milliseconds()
		if begin, ok := partition(step, h); ok {
			if err := s.ensure(ctx, s.pool, step, map[int64]bool{begin: true}); err != nil {
				return err
			}
		}
	}
	src, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer src.Release()
	err = pgx.BeginTxFunc(ctx, src, snapshot, func(from pgx.Tx) error {
		rows, err := from.Query(ctx, `select slot, seq from stale where hour_ms = $1`, h)
		if err != nil {
			return err
		}
		var slots []int32
		var seqs []int64
		var slot int32
		var seq int64
		whole := false
		if _, err := pgx.ForEachRow(rows, []any{&slot, &seq}, func() error {
			slots, seqs = append(slots, slot), append(seqs, seq)
			whole = whole || slot == all
			return nil
		}); err != nil {
			return err
		}
		return pgx.BeginFunc(ctx, s.pool, func(to pgx.Tx) error {
			only := slots
			if whole {
				only = nil
			}
			if err := s.rebuild(ctx, from, to, h, only); err != nil {
				return err
			}
			_, err := to.Exec(ctx, `delete from stale using unnest($1::integer[], $2::bigint[]) as d(slot, seq)
				where hour_ms = $3 and stale.slot = d.slot and stale.seq = d.seq`, slots, seqs, h)
			return err
		})
	})
	if err == nil {
		s.mu.Lock()
		s.stats.Hours++
		s.mu.Unlock()
	}
	return err
}

// snapshot is how questions and tiers read: everything as of one moment.
var snapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// rebuild writes the parts of an hour anew, of some slots; nil: of all.
func (s *Store) rebuild(ctx context.Context, from querier, to pgx.Tx, h int64, only []int32) error {
	for _, t := range s.opt.Tiers {
		q, args := "delete from "+tierTable(t.Step.Milliseconds())+" where at_ms >= $1 and at_ms < $2", []any{h, h + hour}
		if only != nil {
			q, args = q+" and slot = any($3)", append(args, only)
		}
		if _, err := to.Exec(ctx, q, args...); err != nil {
			return err
		}
	}
	flush := func(parts []series.Part) error {
		for i, t := range s.opt.Tiers {
			step := t.Step.Milliseconds()
			if i > 0 {
				parts = series.Coarser(parts, step)
			}
			if err := copyParts(ctx, to, tierTable(step), parts); err != nil {
				return err
			}
		}
		return nil
	}
	finest := s.opt.Tiers[0].Step.Milliseconds()
	var parts []series.Part
	err := hourly(ctx, from, h, only, func(f *device.Readings) error {
		parts = series.AppendParts(parts, f, finest)
		if len(parts) < flushParts {
			return nil
		}
		err := flush(parts)
		parts = nil
		return err
	})
	if err == nil && len(parts) > 0 {
		err = flush(parts)
	}
	return err
}

// hourly calls yield with the readings of an hour, those of one slot after the other.
func hourly(ctx context.Context, from querier, h int64, only []int32, yield func(f *device.Readings) error) error {
	where, args := "at_ms >= $1 and at_ms < $2", []any{h, h + hour}
	if only != nil {
		where, args = where+" and slot = any($3)", append(args, only)
	}
	var f device.Readings
	err := scan(ctx, from, "where "+where+" order by slot, at_ms", args, func(r *device.Reading) error {
		if n := f.Rows(); n > 0 && f.Slot[n-1] != r.Slot {
			if err := yield(&f); err != nil {
				return err
			}
			f.Reset()
		}
		f.Append(r)
		return nil
	})
	if err == nil && f.Rows() > 0 {
		err = yield(&f)
	}
	return err
}

var partColumns = series.PartColumns(series.AllFields)

func copyParts(ctx context.Context, to pgx.Tx, table string, parts []series.Part) error {
	columns := []string{"slot", "at_ms", "word"}
	for _, c := range partColumns {
		columns = append(columns, c.Name)
	}
	_, err := to.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromSlice(len(parts), func(i int) ([]any, error) {
		p := &parts[i]
		p.Tidy()
		v := make([]any, 3, len(columns))
		v[0], v[1] = int32(p.Slot()), p.At()
		if w := p.Word(); w != "" {
			v[2] = storedWord(w)
		}
		for i := range partColumns {
			if c := &partColumns[i]; c.Whole() {
				v = append(v, c.Int(p))
			} else if x, ok := c.Number(p); ok {
				v = append(v, x)
			} else {
				v = append(v, nil)
			}
		}
		return v, nil
	}))
	return err
}

// expire drops the partitions of what is kept no longer at now. Readings go once the tiers
// of their hours are made.
func (s *Store) expire(ctx context.Context, now time.Time) error {
	if len(s.opt.Tiers) > 0 && s.opt.Keep > 0 {
		var first *int64
		if err := s.pool.QueryRow(ctx, `select min(hour_ms) from stale`).Scan(&first); err != nil {
			return err
		}
		until := now.Add(-s.opt.Keep).UnixMilli()
		if first != nil {
			until = min(until, *first)
		}
		s.writing.Lock()
		until = min(until, s.built)
		s.writing.Unlock()
		if until != unknown {
			if err := s.drop(ctx, 0, until); err != nil {
				return err
			}
		}
	} else if s.opt.Keep > 0 {
		if err := s.drop(ctx, 0, now.Add(-s.opt.Keep).UnixMilli()); err != nil {
			return err
		}
	}
	for _, t := range s.opt.Tiers {
		if t.Keep > 0 {
			if err := s.drop(ctx, t.Step.Milliseconds(), now.Add(-t.Keep).UnixMilli()); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop takes out the partitions of a table that end before a time. No batch is on its way
// meanwhile that could bring readings of them.
func (s *Store) drop(ctx context.Context, step, until int64) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	until = series.Floor(until, span(step))
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	begins, since := s.spans[step], s.since[step]
	s.mu.Unlock()
	if until <= since {
		return nil
	}
	table := tableOf(step)
	n, _ := slices.BinarySearch(begins, until)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// A question that takes long holds its partitions; then the next time.
		if _, err := tx.Exec(ctx, `set local lock_timeout = '5s'`); err != nil {
			return err
		}
		for _, begin := range begins[:n] {
			if _, err := tx.Exec(ctx, "drop table if exists "+partitionName(table, begin)); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, "delete from "+table+"_other where at_ms < $1", until); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `update kept set since_ms = $2 where step_ms = $1`, step, until)
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans[step] = slices.Clone(begins[n:])
	s.since[step] = until
	return nil
}

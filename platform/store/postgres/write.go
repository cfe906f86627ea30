package postgres

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// batch is readings of consecutive sequences, in the order of the log.
type batch struct {
	list  []device.Reading
	marks []mark
}

// mark is where the readings of a sequence end.
type mark struct {
	seq uint64
	end int
}

func (b *batch) empty() bool   { return len(b.marks) == 0 }
func (b *batch) rows() int     { return len(b.list) }
func (b *batch) first() uint64 { return b.marks[0].seq }
func (b *batch) last() uint64  { return b.marks[len(b.marks)-1].seq }

func (b *batch) reset() { b.list, b.marks = b.list[:0], b.marks[:0] }

// add copies the readings of the next sequence.
func (b *batch) add(seq uint64, f *device.Readings) {
	for i := range f.Slot {
		b.list = append(b.list, device.Reading{})
		f.Row(i, &b.list[len(b.list)-1])
	}
	b.marks = append(b.marks, mark{seq, len(b.list)})
}

// forget removes the readings up to a sequence.
func (b *batch) forget(seq uint64) {
	n := 0
	for n < len(b.marks) && b.marks[n].seq <= seq {
		n++
	}
	if n == 0 {
		return
	}
	end := b.marks[n-1].end
	b.list = slices.Delete(b.list, 0, end)
	b.marks = slices.Delete(b.marks, 0, n)
	for i := range b.marks {
		b.marks[i].end -= end
	}
}

// distinct sorts the readings by slot and time and keeps of equal ones the last. Those that
// cannot be stored are left out and counted.
func (b *batch) distinct(since int64) (rows []device.Reading, impossible, late int64) {
	for i := range b.list {
		switch r := &b.list[i]; {
		case r.Slot >= series.MaxSlot:
			impossible++
		case r.At < since:
			late++
		default:
			rows = append(rows, *r)
		}
	}
	slices.SortStableFunc(rows, func(a, b device.Reading) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.At, b.At))
	})
	n := 0
	for i := range rows {
		if i+1 < len(rows) && rows[i+1].Slot == rows[i].Slot && rows[i+1].At == rows[i].At {
			continue
		}
		rows[n] = rows[i]
		n++
	}
	return rows[:n], impossible, late
}

// run writes what is appended until the store is closed. w is the connection of the start,
// nil for none.
func (s *Store) run(w *pgx.Conn) {
	wait := firstRetry
	for {
		var err error
		if w == nil {
			w, err = s.connect(s.life)
		}
		if err == nil {
			wait = firstRetry
			err = s.write(w)
			s.leave(w)
			w = nil
		}
		if s.life.Err() != nil {
			return
		}
		s.stand(err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.life.Done():
			timer.Stop()
			return
		}
		wait = min(2*wait, lastRetry)
	}
}

// leave gives the schema to whoever comes next and closes the connection. What it says does
// not matter: the server sees the end of the connection by itself, only later.
func (s *Store) leave(w *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.life), time.Second)
	defer cancel()
	_, _ = w.Exec(ctx, `select pg_advisory_unlock_all()`)
	_ = w.Close(ctx)
}

// write commits batches on a connection until it fails or the store is closed.
func (s *Store) write(w *pgx.Conn) error {
	var b batch
	for {
		next, again, ok := s.next(&b)
		if !ok {
			return nil
		}
		if again {
			begin, err := s.replay(next, &b)
			if err != nil {
				return fmt.Errorf("read the log again: %w", err)
			}
			if begin == 0 {
				return fmt.Errorf("the log does not give sequence %d", next)
			}
			if begin > next {
				s.skip(next, begin)
				next = begin
			}
			if b.empty() {
				continue // what comes behind the hole is in memory
			}
		}
		ctx, cancel := context.WithTimeout(s.life, writeTimeout)
		err := s.commit(ctx, w, next-1, &b)
		cancel()
		if err != nil {
			return err
		}
		b.reset()
	}
}

// next waits for readings and takes them into b; again: they are in the log from sequence
// next on. It is false once the store is closed.
func (s *Store) next(b *batch) (next uint64, again, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && s.lastSeq <= s.covered {
		s.change.Wait()
	}
	if s.closed {
		return 0, false, false
	}
	next = s.covered + 1
	if s.buffer.empty() || s.buffer.first() > next {
		return next, true, true
	}
	s.buffer, *b = *b, s.buffer
	s.flight = b.last()
	return next, false, true
}

// skip notes that the log does not give the sequences from next on, before begin. The next batch with
// readings says so in the database.
func (s *Store) skip(next, begin uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	why := fmt.Sprintf("the log has lost its sequences %d to %d, whose readings were not here yet", next, begin-1)
	if s.hole != "" {
		why = s.hole + "; " + why
	}
	s.hole, s.covered = why, begin-1
	s.faults = append(s.faults, series.Fault{Err: errors.New(why)})
	s.log.Error("history damaged", "store", Kind, "error", why)
}

// replay reads the log from a sequence on, up to as much as a batch holds or to where the log lacks
// something. It says where it begins to give: behind from where it has lost something there, and then b
// may be empty, since the buffer has what follows; 0: it gives nothing.
func (s *Store) replay(from uint64, b *batch) (begin uint64, err error) {
	enough, stop := context.WithCancel(s.life)
	defer stop()
	s.mu.Lock()
	last := s.lastSeq
	if !s.buffer.empty() {
		last = s.buffer.first() - 1
	}
	s.mu.Unlock()
	err = s.opt.Source.Replay(enough, from, func(seq uint64, f *device.Readings) {
		if enough.Err() != nil {
			return
		}
		if begin == 0 {
			begin = min(seq, last+1)
		}
		if seq > last || !b.empty() && seq != b.last()+1 {
			stop()
			return
		}
		b.add(seq, f)
		if seq >= last || b.rows() >= bufferRows-device.MaxRows {
			stop()
		}
	})
	s.mu.Lock()
	s.stats.Replayed += int64(len(b.marks))
	s.mu.Unlock()
	if enough.Err() != nil && s.life.Err() == nil { // because it is enough
		return begin, nil
	}
	return begin, err
}

var readingColumns = []string{
	"slot", "at_ms", "arrived_ms", "soc_percent", "soh_percent", "voltage_v", "current_a", "power_kw", "temperature_c",
	"max_charge_kw", "max_discharge_kw", "status", "word", "quality", "flags",
}

// takeOver moves what was copied to where it stays: of a reading that was there already the
// one that came last holds.
var takeOver = func() string {
	var set []string
	for _, c := range readingColumns[2:] {
		set = append(set, c+" = excluded."+c)
	}
	cols := strings.Join(readingColumns, ", ")
	return fmt.Sprintf("insert into reading (%s) select %s from arriving on conflict (slot, at_ms) do update set %s", cols, cols, strings.Join(set, ", "))
}()

// errMoved: somebody else has written meanwhile.
var errMoved = errors.New("the state in the database is not what this process has written")

// commit writes a batch and that it is written. before is what the state says until then.
func (s *Store) commit(ctx context.Context, w *pgx.Conn, before uint64, b *batch) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	since, hole := s.since[0], s.hole
	s.mu.Unlock()
	rows, impossible, late := b.distinct(since)
	days := map[int64]bool{}
	var fresh []device.Slot
	arrived := int64(0)
	for i := range rows {
		if begin, ok := partition(0, rows[i].At); ok {
			days[begin] = true
		}
		if slot := rows[i].Slot; !s.named[slot] && (len(fresh) == 0 || fresh[len(fresh)-1] != slot) {
			fresh = append(fresh, slot)
		}
		arrived = max(arrived, rows[i].Arrived)
	}
	if err := s.ensure(ctx, w, 0, days); err != nil {
		return err
	}
	built := s.built
	if built == unknown && len(rows) > 0 { // tiers begin with the hour in which readings do
		built = series.Floor(rows[0].Arrived, hour)
	}
	marks := staleIn(rows, built)
	if len(s.opt.Tiers) == 0 {
		marks = nil
	}
	var gap *series.Gap
	err := pgx.BeginFunc(ctx, w, func(tx pgx.Tx) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"arriving"}, readingColumns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) { return values(&rows[i]), nil }))
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		if _, err := tx.Exec(ctx, takeOver); err != nil {
			return fmt.Errorf("take over what was copied: %w", err)
		}
		if len(marks) > 0 {
			hours, slots := make([]int64, len(marks)), make([]int32, len(marks))
			for i, m := range marks {
				hours[i], slots[i] = m.hour, int32(m.slot)
			}
			if _, err := tx.Exec(ctx, `insert into stale select h, s, $3 from unnest($1::bigint[], $2::integer[]) as t(h, s)
				on conflict (hour_ms, slot) do update set seq = excluded.seq`, hours, slots, int64(b.last())); err != nil {
				return fmt.Errorf("mark hours: %w", err)
			}
		}
		if err := s.nameDevices(ctx, tx, fresh); err != nil {
			return err
		}
		if hole != "" && len(rows) > 0 {
			if gap, err = s.tell(ctx, tx, hole, rows); err != nil {
				return err
			}
		}
		var built64 *int64
		if built != unknown {
			built64 = &built
		}
		// With a hole the state is behind what the log begins with.
		tag, err := tx.Exec(ctx, `update state set seq = $1, arrived_ms = greatest(arrived_ms, $2), built_ms = $3
			where seq = $4 or $5 and seq < $4`, int64(b.last()), arrived, built64, int64(before), hole != "")
		if err == nil && tag.RowsAffected() != 1 {
			err = errMoved
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, slot := range fresh {
		s.named[slot] = true
	}
	s.built = built
	s.mu.Lock()
	defer s.mu.Unlock()
	if gap != nil {
		s.holes = append(slices.Clip(s.holes), *gap)
	}
	if len(rows) > 0 {
		s.hole = ""
	}
	s.covered, s.flight = b.last(), 0
	s.stats.Rows += int64(len(rows))
	s.stats.Batches++
	s.stats.Dropped += impossible
	s.stats.TooLate += late
	if len(marks) > 0 {
		s.staleHours, s.todo = true, true
	}
	s.change.Broadcast()
	return nil
}

// tell notes that readings are missing before the first of rows.
func (s *Store) tell(ctx context.Context, tx pgx.Tx, why string, rows []device.Reading) (*series.Gap, error) {
	g := &series.Gap{To: rows[0].Arrived, Reason: why}
	for i := range rows {
		g.To = min(g.To, rows[i].Arrived)
	}
	if err := tx.QueryRow(ctx, `select arrived_ms from state`).Scan(&g.From); err != nil {
		return nil, err
	}
	g.To = max(g.To, g.From+1)
	_, err := tx.Exec(ctx, `insert into gap values ($1, $2, $3)`, g.From, g.To, g.Reason)
	return g, err
}

// nameDevices writes the ids of devices, for those who look into the tables.
func (s *Store) nameDevices(ctx context.Context, tx pgx.Tx, fresh []device.Slot) error {
	var slots []int32
	var ids []string
	for _, slot := range fresh {
		if id := s.opt.Name(slot); id != "" {
			slots, ids = append(slots, int32(slot)), append(ids, string(id))
		}
	}
	if len(slots) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `insert into device select * from unnest($1::integer[], $2::text[]) on conflict (slot) do update set id = excluded.id`, slots, ids)
	return err
}

// staleMark is an hour of a slot whose tiers are no longer what its readings are.
type staleMark struct {
	hour int64
	slot device.Slot
}

// staleIn are those that rows, which are sorted, make stale.
func staleIn(rows []device.Reading, built int64) (out []staleMark) {
	if built == unknown {
		return nil
	}
	for i := range rows {
		if rows[i].At >= built {
			continue
		}
		m := staleMark{series.Floor(rows[i].At, hour), rows[i].Slot}
		if len(out) == 0 || out[len(out)-1] != m {
			out = append(out, m)
		}
	}
	return out
}

// values are a reading's columns.
func values(r *device.Reading) []any {
	v := []any{
		int32(r.Slot), r.At, r.Arrived, number(r.SoC), number(r.SoH), number(r.Voltage), number(r.Current), number(r.Power), number(r.Temperature),
		number(r.MaxCharge), number(r.MaxDischarge), int16(r.Status), nil, int16(r.Quality), int32(r.Flags),
	}
	if r.Status == device.OtherStatus && r.Word != "" {
		v[12] = storedWord(r.Word)
	}
	return v
}

// number is null where nothing was reported.
func number(x float64) any {
	if x != x {
		return nil
	}
	return x + 0 // -0 becomes 0
}

// escaped is what a word begins with that is not text as the database takes it.
const escaped = `\x`

// storedWord is a word as the database takes it: one with a zero byte, or one that is not
// UTF-8, is written in hex.
func storedWord(w string) string {
	if strings.HasPrefix(w, escaped) || strings.ContainsRune(w, 0) || !utf8.ValidString(w) {
		return escaped + hex.EncodeToString([]byte(w))
	}
	return w
}

// wordOf is the word that was stored.
func wordOf(text string) string {
	if rest, ok := strings.CutPrefix(text, escaped); ok {
		if b, err := hex.DecodeString(rest); err == nil {
			return string(b)
		}
	}
	return text
}

//go:build unix

package postgres_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"yunchu/platform/device"
	"yunchu/platform/store/postgres"
	"yunchu/platform/store/postgres/pgtest"
	"yunchu/platform/store/series"
	"yunchu/platform/store/storetest"
)

// hung is when a test takes something for never. It does not time it.
const hung = 60 * time.Second

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(hung); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", hung, what)
		}
	}
}

// plant is a log and the history behind it.
type plant struct {
	*postgres.Store
	t    *testing.T
	s    *pgtest.Server
	at   storetest.Place
	want map[device.Slot]map[int64]float64 // power of each slot and time
}

func newPlant(t *testing.T, s *pgtest.Server) *plant {
	p := &plant{t: t, s: s, at: storetest.Place{Dir: t.TempDir(), Log: new(storetest.Log)}, want: map[device.Slot]map[int64]float64{}}
	t.Cleanup(func() {
		if p.Store != nil {
			_ = p.Close() // it may be closed
		}
	})
	return p
}

// start opens the history and gives it what the log has beyond it, as a plant does.
func (p *plant) start() {
	p.t.Helper()
	h, err := postgres.Open(options(p.s, p.at))
	if err != nil {
		p.t.Fatal(err)
	}
	p.Store = h
	if err := p.at.Log.Replay(p.t.Context(), h.Covered()+1, h.Append); err != nil {
		p.t.Fatal(err)
	}
}

// add logs and appends readings, as many slots as there are powers.
func (p *plant) add(at int64, powers ...float64) {
	f := new(device.Readings)
	for i, power := range powers {
		r := device.Empty()
		r.Slot, r.At, r.Arrived, r.Power = device.Slot(i), at, at+7, power
		f.Append(&r)
		if p.want[r.Slot] == nil {
			p.want[r.Slot] = map[int64]float64{}
		}
		p.want[r.Slot][at] = power
	}
	p.Append(p.at.Log.Publish(f), f)
}

func (p *plant) seal() {
	p.t.Helper()
	eventually(p.t, "everything committed", func() bool { return p.Seal(p.t.Context()) == nil })
}

// compare reads everything back.
func (p *plant) compare() {
	p.t.Helper()
	for slot, want := range p.want {
		n := 0
		q := series.Query{Slot: slot, From: math.MinInt64, To: math.MaxInt64}
		for {
			page, err := p.Query(p.t.Context(), q)
			if err != nil {
				p.t.Fatal(err)
			}
			for _, r := range page.Rows {
				if power, there := want[r.At]; !there || power != r.Power {
					p.t.Fatalf("slot %d at %d: %v, want %v, %v", slot, r.At, r.Power, power, there)
				}
				n++
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if n != len(want) {
			p.t.Errorf("%d readings of slot %d, want %d", n, slot, len(want))
		}
	}
}

// sql runs statements on the tables of the plant.
func (p *plant) sql(list ...string) {
	p.t.Helper()
	w, err := pgx.Connect(p.t.Context(), p.s.DSN()+"&search_path="+options(p.s, p.at).Schema)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = w.Close(p.t.Context()) }() // only for this
	for _, q := range list {
		if _, err := w.Exec(p.t.Context(), q); err != nil {
			p.t.Fatalf("%s: %v", q, err)
		}
	}
}

// TestKilledServer kills PostgreSQL in the middle of batches, and the store's side too.
func TestKilledServer(t *testing.T) {
	t.Parallel() // they wait for servers, most of the time
	s := pgtest.New(t)
	p := newPlant(t, s)
	p.start()
	at := int64(storetest.T0)
	load := func(frames int) {
		for range frames {
			powers := make([]float64, 1+rand.IntN(40))
			for i := range powers {
				powers[i] = float64(rand.IntN(1000))
			}
			p.add(at-int64(rand.IntN(20))*1000*int64(rand.IntN(2)), powers...) // some are revised
			at += 1000
		}
	}
	for round := range 3 {
		load(300)
		eventually(t, "a batch", func() bool { return p.Stats().Batches > 0 })
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		s.Kill()
		load(300)
		eventually(t, "the server known to be gone", func() bool { return p.Condition().State == series.Away })
		if _, err := p.Query(t.Context(), series.Query{Slot: 1, To: math.MaxInt64}); !errors.Is(err, series.ErrAway) {
			t.Errorf("Query() = %v, want ErrAway", err)
		}
		if err := p.Seal(t.Context()); err == nil {
			t.Error("Seal() without a server succeeds")
		}
		if c := p.Condition(); c.Behind == 0 || c.Error == "" {
			t.Errorf("Condition() = %+v", c)
		}
		if round%2 == 1 { // this side, too
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			p.start()
			load(10)
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		p.seal()
		p.compare()
	}
	if f := p.Faults(); len(f) > 0 {
		t.Errorf("faults: %v", f)
	}
}

// TestAwayAtTheStart: what does not fit into memory meanwhile is read from the log again.
func TestAwayAtTheStart(t *testing.T) {
	t.Parallel() // they wait for servers, most of the time
	s := pgtest.New(t)
	p := newPlant(t, s)
	p.start()
	p.add(storetest.T0, 1, 2, 3)
	p.seal()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	p.at.Log.Trim(2) // as a plant does with what is covered
	p.start()
	if got := p.Covered(); got != 1 {
		t.Errorf("Covered() = %d, want 1: what the log no longer has", got)
	}
	powers := make([]float64, 2000)
	for i := range int64(60) { // 120,000 readings, more than wait in memory
		for j := range powers {
			powers[j] = float64(i)
		}
		p.add(storetest.T0+1000*i, powers...)
	}
	if got := p.Covered(); got != 1 {
		t.Errorf("Covered() = %d without a server, want 1", got)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	p.seal()
	if st := p.Stats(); st.Replayed == 0 {
		t.Errorf("nothing was read from the log again: %+v", st)
	}
	n := int64(0)
	for slot := range device.Slot(2000) {
		c, err := p.Count(t.Context(), slot, math.MinInt64, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		n += c
	}
	if n != 120_000 {
		t.Errorf("%d readings, want 120000", n)
	}
	if r, err := p.Query(t.Context(), series.Query{Slot: 1, From: storetest.T0, To: storetest.T0 + 1}); err != nil || len(r.Rows) != 1 || r.Rows[0].Power != 0 {
		t.Errorf("the revised reading is %+v, %v", r.Rows, err)
	}
}

// TestRefused: what must not be written to is not, and says why.
func TestRefused(t *testing.T) {
	t.Parallel() // they wait for servers, most of the time
	s := pgtest.New(t)
	p := newPlant(t, s)
	p.start()
	p.add(storetest.T0, 1)
	p.seal()

	second, err := postgres.Open(options(s, p.at))
	if err != nil {
		t.Fatal(err)
	}
	if c := second.Condition(); c.State != series.Refused || !strings.Contains(c.Error, "another process") {
		t.Errorf("a second process stands as %+v", c)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second takes over", func() bool { return second.Condition().State == series.Ready })
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}

	refused := func(what, words string, opt postgres.Options) {
		t.Helper()
		h, err := postgres.Open(opt)
		if err == nil {
			_ = h.Close()
		}
		if !errors.Is(err, postgres.ErrRefused) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: Open() = %v, want ErrRefused with %q", what, err, words)
		}
	}
	opt := options(s, p.at)
	opt.Plant = "somebody else"
	refused("another plant", "another plant", opt)
	opt = options(s, p.at)
	opt.Source = new(storetest.Log)
	refused("a log that ends before", "the log ends at 0", opt)
	if was, err := postgres.Rewind(t.Context(), opt.Server, opt.Plant, 0); was != 1 || err != nil {
		t.Errorf("Rewind() = %d, %v, want 1", was, err)
	}
	h, err := postgres.Open(opt)
	if err != nil {
		t.Fatalf("after Rewind: %v", err)
	}
	if n, err := h.Count(t.Context(), 0, math.MinInt64, math.MaxInt64); n != 1 || err != nil {
		t.Errorf("after Rewind there are %d readings, %v, want 1", n, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	p.sql("update state set format = 99")
	refused("tables of a newer program", "format 99", options(s, p.at))
	if _, err := postgres.Inspect(t.Context(), options(s, p.at).Server); !errors.Is(err, postgres.ErrRefused) {
		t.Errorf("Inspect() of a newer format: %v", err)
	}
	p.sql("update state set format = 2", "alter system set fsync = off", "select pg_reload_conf()")
	eventually(t, "a server without fsync refused", func() bool {
		h, err := postgres.Open(options(s, p.at))
		if err == nil {
			_ = h.Close() // it has not read its configuration yet
		}
		return errors.Is(err, postgres.ErrRefused) && strings.Contains(err.Error(), "fsync is off")
	})
}

// TestUpgrade: tables of the first format become those of this one, with what they hold.
func TestUpgrade(t *testing.T) {
	t.Parallel() // they wait for servers, most of the time
	p := newPlant(t, pgtest.New(t))
	p.start()
	p.add(storetest.T0, 1, 2)
	p.seal()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p.sql("drop view readings", "update state set format = 1")
	p.start()
	p.add(storetest.T0+1000, 3, 4)
	p.seal()
	p.compare()
	p.sql("select 1 / (count(*) - 3) from readings where device in ('0', '1')", // division by zero where there are three
		"do $$ begin if (select count(*) from readings where status = '' and quality = 'good' and measured_at >= '2026-01-01Z') <> 4 then raise 'the view has other rows'; end if; end $$")
	if r, err := postgres.Inspect(t.Context(), options(p.s, p.at).Server); err != nil || r.Format != 2 || r.Readings != 4 {
		t.Errorf("Inspect() = %+v, %v", r, err)
	}
}

// TestHole: a database that was put back to what it was once has a hole where the log was
// trimmed since. It is told, for ever.
func TestHole(t *testing.T) {
	t.Parallel() // they wait for servers, most of the time
	p := newPlant(t, pgtest.New(t))
	p.start()
	p.add(storetest.T0, 1)
	p.seal()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		p.add(storetest.T0+1000+1000*i, 2) // closed: only the log has them
	}
	p.at.Log.Trim(4)
	delete(p.want[0], storetest.T0+1000)
	delete(p.want[0], storetest.T0+2000)
	p.start()
	p.seal()
	p.compare()
	if f := p.Faults(); len(f) != 1 || !strings.Contains(f[0].Error(), "sequences 2 to 3") {
		t.Errorf("faults: %v", f)
	}
	told := func(when string) {
		t.Helper()
		page, err := p.Query(t.Context(), series.Query{Slot: 0, From: 0, To: math.MaxInt64})
		if err != nil || len(page.Gaps) != 1 || page.Gaps[0].From > storetest.T0+1000 || page.Gaps[0].To <= storetest.T0+2000 || !strings.Contains(page.Gaps[0].Reason, "2 to 3") {
			t.Errorf("%s: gaps %+v, %v", when, page.Gaps, err)
		}
		if page, err = p.Query(t.Context(), series.Query{Slot: 0, From: storetest.T0 + 10_000, To: math.MaxInt64}); err != nil || len(page.Gaps) != 0 {
			t.Errorf("%s: gaps of what came later %+v, %v", when, page.Gaps, err)
		}
	}
	told("at first")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p.start()
	told("reopened")
}

// TestWhatTheLogHasLostIsAGap: frames that the log does not give, wherever they lie in what is read again,
// are told in every answer, also after a restart.
func TestWhatTheLogHasLostIsAGap(t *testing.T) {
	t.Parallel() // they wait for servers, most of the time
	p := newPlant(t, pgtest.New(t))
	p.start()
	p.add(storetest.T0, 1)
	p.seal()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(6) {
		p.add(storetest.T0+1000+1000*i, 2) // closed: only the log has them
	}
	for _, seq := range []uint64{2, 5, 6} {
		p.at.Log.Lose(seq)
		delete(p.want[0], storetest.T0+1000*int64(seq-1))
	}
	p.start()
	p.seal()
	p.compare()
	told := func(when string) {
		t.Helper()
		page, err := p.Query(t.Context(), series.Query{Slot: 0, From: 0, To: math.MaxInt64})
		if err != nil || len(page.Gaps) != 2 {
			t.Fatalf("%s: gaps %+v, %v", when, page.Gaps, err)
		}
		for i, lost := range []struct {
			from, to int64
			why      string
		}{{1000, 1000, "sequences 2 to 2"}, {4000, 5000, "sequences 5 to 6"}} {
			if g := page.Gaps[i]; g.From > storetest.T0+lost.from || g.To <= storetest.T0+lost.to || !strings.Contains(g.Reason, lost.why) {
				t.Errorf("%s: gap %+v, want %+v", when, g, lost)
			}
		}
		if page, err = p.Query(t.Context(), series.Query{Slot: 0, From: storetest.T0 + 7_000, To: math.MaxInt64}); err != nil || len(page.Gaps) != 0 {
			t.Errorf("%s: gaps of what came later %+v, %v", when, page.Gaps, err)
		}
	}
	told("at first")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p.start()
	told("reopened")

	// The same while it runs, and at one millisecond.
	p.at.Log.Publish(new(device.Readings))
	p.at.Log.Lose(8)
	p.add(storetest.T0+6001, 3)
	p.seal()
	if page, err := p.Query(t.Context(), series.Query{Slot: 0, From: 0, To: math.MaxInt64}); err != nil || len(page.Gaps) != 3 || !strings.Contains(page.Gaps[2].Reason, "8 to 8") {
		t.Errorf("while it runs: %+v, %v", page.Gaps, err)
	}
	p.compare()
}

// TestLateBeforeTheClock: what comes late before a reopened store, or one whose clock was set
// back, has an hour to make tiers of is not forgotten.
func TestLateBeforeTheClock(t *testing.T) {
	t.Parallel() // they wait for servers, most of the time
	p := newPlant(t, pgtest.New(t))
	now := device.Time(storetest.T0 + 4*3_600_000)
	stale := func() int {
		t.Helper()
		r, err := postgres.Inspect(t.Context(), options(p.s, p.at).Server)
		if err != nil || len(r.Faults) > 0 {
			t.Fatalf("Inspect() = %+v, %v", r, err)
		}
		return r.Stale
	}
	late := func(at int64, when string, to time.Time) {
		t.Helper()
		if !to.IsZero() {
			p.SealIfDue(to)
		}
		p.add(at, 7, 8)
		p.seal()
		p.Settle()
		if stale() == 0 {
			t.Fatalf("%s: nothing waits", when)
		}
		p.SealIfDue(now)
		p.Settle()
		if n := stale(); n != 0 {
			t.Errorf("%s: %d tiers of hours are never made", when, n)
		}
	}
	p.start()
	for i := range int64(120) {
		p.add(storetest.T0+60_000*i, float64(i), 2)
	}
	p.seal()
	p.SealIfDue(now)
	p.Settle()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p.start()
	late(storetest.T0+1_000, "reopened", time.Time{})
	late(storetest.T0+3_700_000, "a clock set back", device.Time(storetest.T0+3_600_000))
	p.compare()
}

// TestVerify: a tier that is not what its readings are is found, and made again.
func TestVerify(t *testing.T) {
	t.Parallel() // they wait for servers, most of the time
	p := newPlant(t, pgtest.New(t))
	p.start()
	for i := range int64(120) {
		p.add(storetest.T0+60_000*i, float64(i), 2)
	}
	p.seal()
	p.SealIfDue(device.Time(storetest.T0 + 4*3_600_000))
	p.Settle()
	at := options(p.s, p.at).Server
	intact := func(when string) {
		t.Helper()
		if r, err := postgres.Inspect(t.Context(), at); err != nil || len(r.Faults) > 0 || r.Readings != 240 || r.Stale != 0 || !r.Checksums {
			t.Errorf("%s: Inspect() = %+v, %v", when, r, err)
		}
		if err := p.Verify(t.Context()); err != nil || len(p.Faults()) > 0 {
			t.Fatalf("%s: Verify() = %v, faults %v", when, err, p.Faults())
		}
	}
	intact("at first")
	for i, damage := range []string{
		"update tier_1m set power_max_kw = power_max_kw + 1 where slot = 0 and at_ms = 1767225660000",
		"delete from tier_15m where slot = 1",
		"insert into tier_1h select 9, at_ms, word, " + "status, quality, flags" + rest(t) + " from tier_1h where slot = 0",
	} {
		p.sql(damage)
		if r, err := postgres.Inspect(t.Context(), at); err != nil || len(r.Faults) == 0 {
			t.Fatalf("%s: Inspect() = %+v, %v", damage, r, err)
		}
		if err := p.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := p.Faults(); len(f) <= i || !f[len(f)-1].Rebuilt {
			t.Fatalf("%s: faults %v", damage, f)
		}
		p.Settle()
		if r, err := postgres.Inspect(t.Context(), at); err != nil || len(r.Faults) > 0 || r.Stale > 0 {
			t.Fatalf("%s: made again it is %+v, %v", damage, r, err)
		}
	}
}

// rest are the columns of a tier after its flags.
func rest(t *testing.T) (out string) {
	t.Helper()
	for _, c := range series.PartColumns(series.AllFields)[3:] {
		out += ", " + c.Name
	}
	return out
}

// TestFarTimes: readings of a device whose clock is wrong make no tables without end.
func TestFarTimes(t *testing.T) {
	t.Parallel() // they wait for servers, most of the time
	p := newPlant(t, pgtest.New(t))
	p.start()
	for _, at := range []int64{-1 << 60, -1, 0, 946_684_799_999, 946_684_800_000, storetest.T0, 7_258_118_400_000, 1 << 60} {
		p.add(at, 1, float64(at%1000))
	}
	p.seal()
	p.compare()
	p.sql("do $$ begin if (select count(*) from pg_inherits where inhparent = 'reading'::regclass) <> 3 then raise 'partitions'; end if; end $$")
}

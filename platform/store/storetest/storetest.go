// Package storetest is what every history of readings promises, as a test suite.
package storetest

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// Place is where a history lies and what is asked of it.
type Place struct {
	Dir   string // empty at first; where the history is elsewhere, what to call it by
	Log   *Log   // that it is a view of
	Keep  time.Duration
	Tiers []series.Tier
}

// Open opens the history of a place.
type Open func(t *testing.T, at Place) series.History

// Log is a log in memory.
type Log struct {
	mu     sync.Mutex
	first  uint64
	frames []*device.Readings
}

// Bounds are the first and the last sequence.
func (l *Log) Bounds() (first, last uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first + 1, l.first + uint64(len(l.frames)), nil
}

// Replay calls fn with the frames from a sequence on.
func (l *Log) Replay(ctx context.Context, from uint64, fn func(seq uint64, f *device.Readings)) error {
	l.mu.Lock()
	first, frames := l.first, l.frames
	l.mu.Unlock()
	for i, f := range frames {
		if seq := first + uint64(i) + 1; seq >= from && f != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			fn(seq, f)
		}
	}
	return nil
}

// Publish appends a frame and says its sequence.
func (l *Log) Publish(f *device.Readings) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = append(l.frames, f)
	return l.first + uint64(len(l.frames))
}

// Lose loses a frame. What asks for it gets the next one.
func (l *Log) Lose(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = slices.Clone(l.frames) // whoever replays has the others
	l.frames[seq-l.first-1] = nil
}

// Trim forgets what lies before a sequence.
func (l *Log) Trim(before uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = l.frames[before-1-l.first:]
	l.first = before - 1
}

// T0 is the time of the first reading of the suite, ms UTC, a full hour.
const T0 = 1_767_225_600_000

// Run runs the suite. Every test has a folder of its own.
func Run(t *testing.T, open Open) {
	tests := []struct {
		name  string
		test  func(t *testing.T, h *harness)
		keep  time.Duration
		tiers []series.Tier
		where []string // nil: everywhere
	}{
		{name: "serves what was appended", test: served},
		{name: "gives values back exactly", test: exact},
		{name: "bounds are from inclusive to exclusive", test: bounds},
		{name: "the reading that came last holds", test: revised},
		{name: "late readings take their place", test: late},
		{name: "a cursor outlives a seal", test: paging},
		{name: "steps are buckets of the epoch", test: stepped},
		{name: "fields select", test: fields},
		{name: "counts each time once", test: counts},
		{name: "a sequence counts once", test: idempotent},
		{name: "what is covered survives, the rest is replayed", test: recovered},
		{name: "refuses wrong questions", test: refused},
		{name: "keeps strange words", test: words},
		{name: "steps are what the readings amount to, from tiers or not", test: tiered, tiers: []series.Tier{{Step: time.Second}, {Step: time.Minute}, {Step: time.Hour}}, where: []string{"head", "mixed"}},
		{name: "readings go, tiers stay, gaps are told", test: expired, keep: 24 * time.Hour, tiers: []series.Tier{{Step: time.Minute, Keep: 48 * time.Hour}, {Step: time.Hour}}, where: []string{"sealed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Every promise holds wherever the readings lie.
			if tt.where == nil {
				tt.where = []string{"head", "sealed", "reopened", "mixed"}
			}
			for _, where := range tt.where {
				t.Run(where, func(t *testing.T) {
					h := &harness{T: t, open: open, at: Place{Dir: t.TempDir(), Log: new(Log), Keep: tt.keep, Tiers: tt.tiers}, where: where}
					h.History = open(t, h.at)
					defer func() {
						if err := h.Close(); err != nil {
							t.Errorf("Close() = %v", err)
						}
					}()
					tt.test(t, h)
				})
			}
		})
	}
}

// harness is a history and the log in front of it.
type harness struct {
	series.History
	*testing.T
	open  Open
	at    Place
	where string
}

// last is the last sequence of the log.
func (h *harness) last() uint64 {
	_, last, _ := h.at.Log.Bounds() // it has no error
	return last
}

// add logs and appends a frame of readings.
func (h *harness) add(readings ...device.Reading) {
	f := new(device.Readings)
	for i := range readings {
		f.Append(&readings[i])
	}
	seq := h.at.Log.Publish(f)
	h.Append(seq, f)
	if h.where == "mixed" && seq%2 == 1 {
		h.seal()
	}
}

// settle brings what was added to where the test wants it.
func (h *harness) settle() {
	h.Helper()
	switch h.where {
	case "sealed":
		h.seal()
	case "reopened":
		h.seal()
		h.reopen()
	}
}

func (h *harness) seal() {
	h.Helper()
	if err := h.Seal(h.Context()); err != nil {
		h.Fatalf("Seal() = %v", err)
	}
	if got, want := h.Covered(), h.last(); got != want {
		h.Fatalf("Covered() = %d after Seal, want %d", got, want)
	}
}

// reopen closes the history, opens it again and replays the log as a start does.
func (h *harness) reopen() {
	h.Helper()
	covered := h.Covered()
	if err := h.Close(); err != nil {
		h.Fatalf("Close() = %v", err)
	}
	h.History = h.open(h.T, h.at)
	// What was being sealed may have been finished by Close.
	if got := h.Covered(); got < covered || got > h.last() {
		h.Fatalf("Covered() = %d after reopening, %d before, the log ends at %d", got, covered, h.last())
	}
	if err := h.at.Log.Replay(h.Context(), h.Covered()+1, h.Append); err != nil {
		h.Fatal(err)
	}
}

func (h *harness) query(q series.Query) []series.Row {
	h.Helper()
	q.Room = make([]series.Row, 3) // with what was there before, and too little of it
	for i := range q.Room {
		r := reading(1000+i, 77)
		r.Status, r.Word, r.Flags, r.Beyond, r.Own = device.OtherStatus, "before", device.FlagGap, 1, &device.OwnWindows{}
		q.Room[i] = series.Row{Reading: r, Count: 99}
	}
	p, err := h.Query(h.Context(), q)
	if err != nil {
		h.Fatalf("Query(%+v) = %v", q, err)
	}
	if p.Next != "" {
		h.Fatalf("Query(%+v) has more than a page: %q", q, p.Next)
	}
	return p.Rows
}

// reading is a reading of slot 3 so many seconds after T0.
func reading(second int, power float64) device.Reading {
	r := device.Empty()
	r.Slot, r.At, r.Arrived = 3, T0+int64(second)*1000, T0+int64(second)*1000+40
	r.SoC, r.Power, r.Status = 55.25, power, device.Charging
	return r
}

func all(slot device.Slot) series.Query {
	return series.Query{Slot: slot, From: math.MinInt64, To: math.MaxInt64}
}

func powers(rows []series.Row) (out []float64) {
	for _, r := range rows {
		out = append(out, r.Power)
	}
	return out
}

func wantPowers(t *testing.T, what string, rows []series.Row, want ...float64) {
	t.Helper()
	if got := powers(rows); !slices.Equal(got, want) {
		t.Errorf("%s: powers %v, want %v", what, got, want)
	}
	for i := 1; i < len(rows); i++ {
		if rows[i-1].At >= rows[i].At {
			t.Errorf("%s: row %d is not later than the one before", what, i)
		}
	}
}

func served(t *testing.T, h *harness) {
	other := reading(1, 8)
	other.Slot = 4
	h.add(reading(0, 1), other)
	h.add(reading(1, 2))
	h.add(reading(2, 3))
	h.settle()
	wantPowers(t, "slot 3", h.query(all(3)), 1, 2, 3)
	wantPowers(t, "slot 4", h.query(all(4)), 8)
	wantPowers(t, "slot 5", h.query(all(5)))
}

func exact(t *testing.T, h *harness) {
	n := math.NaN()
	want := []device.Reading{
		{SoC: 75.5, SoH: n, Voltage: 382.4, Current: -125.6, Power: -48.1, Temperature: 25.3, MaxCharge: 0, MaxDischarge: n, Status: device.Discharging},
		{SoC: 1.0 / 3, SoH: n, Voltage: 1e300, Current: 5e-324, Power: math.Inf(1), Temperature: -0.1, MaxCharge: n, MaxDischarge: n, Status: device.OtherStatus, Word: "balancing", Quality: device.Suspect, Flags: device.FlagRange},
		{SoC: 100, SoH: n, Voltage: 1 << 60, Current: 0.000001, Power: math.Inf(-1), Temperature: 1e9, MaxCharge: 12345.678, MaxDischarge: n, Status: device.Fault, Quality: device.Bad, Flags: 0xffff},
		{SoC: n, SoH: n, Voltage: n, Current: n, Power: n, Temperature: n, MaxCharge: n, MaxDischarge: n, Status: device.OtherStatus},
		{SoC: 0.1 + 0.2, SoH: n, Voltage: 0.3, Current: math.MaxFloat64, Power: -7, Temperature: 999999.999, MaxCharge: 1e15, MaxDischarge: n, Status: device.Offline, Flags: device.FlagSimulated},
	}
	for i := range want {
		want[i].Slot, want[i].At, want[i].Arrived = 3, T0+int64(i), T0+int64(7*i*i)
		h.add(want[i])
	}
	h.settle()
	rows := h.query(all(3))
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, r := range rows {
		w := &want[i]
		if r.At != w.At || r.Arrived != w.Arrived || r.Slot != w.Slot || r.Quality != w.Quality || r.Flags != w.Flags ||
			!r.SameValues(w) || !same(r.MaxCharge, w.MaxCharge) || !same(r.MaxDischarge, w.MaxDischarge) || r.Count != 1 {
			t.Errorf("row %d:\n got %+v\nwant %+v", i, r, *w)
		}
	}
}

func words(t *testing.T, h *harness) {
	list := []string{"", "\x00", "a\x00b", "\xff\xfe", `\\x41`, `\x`, "平衡", "'; drop table reading; --"}
	for i, w := range list {
		r := reading(i, 1)
		r.Status, r.Word = device.OtherStatus, w
		h.add(r)
	}
	h.settle()
	for i, r := range h.query(all(3)) {
		if r.Status != device.OtherStatus || r.Word != list[i] {
			t.Errorf("the word %q has become %v %q", list[i], r.Status, r.Word)
		}
	}
}

func same(a, b float64) bool { return a == b || a != a && b != b }

func bounds(t *testing.T, h *harness) {
	for i := range 5 {
		h.add(reading(i, float64(i)))
	}
	h.settle()
	for _, tt := range []struct {
		from, to int64
		want     []float64
	}{
		{T0 + 1000, T0 + 3000, []float64{1, 2}},
		{T0 + 1001, T0 + 3001, []float64{2, 3}},
		{T0 + 2000, T0 + 2000, nil},
		{T0 + 3000, T0 + 1000, nil},
		{T0 + 9000, T0 + 10000, nil},
	} {
		wantPowers(t, "bounds", h.query(series.Query{Slot: 3, From: tt.from, To: tt.to}), tt.want...)
	}
}

func revised(t *testing.T, h *harness) {
	h.add(reading(0, 1), reading(1, 1), reading(2, 1))
	h.add(reading(1, 2))
	h.add(reading(2, 3), reading(2, 4))
	h.add(reading(2, 5))
	h.settle()
	wantPowers(t, "revised", h.query(all(3)), 1, 2, 5)
}

func late(t *testing.T, h *harness) {
	h.add(reading(4, 4), reading(0, 0))
	h.add(reading(6, 6), reading(3, 3))
	h.add(reading(1, 1))
	h.add(reading(2, 2), reading(5, 5))
	h.settle()
	wantPowers(t, "late", h.query(all(3)), 0, 1, 2, 3, 4, 5, 6)
	wantPowers(t, "late, in the middle", h.query(series.Query{Slot: 3, From: T0 + 2000, To: T0 + 5000}), 2, 3, 4)
}

func paging(t *testing.T, h *harness) {
	for i := range 10 {
		h.add(reading(i, float64(i)))
	}
	h.settle()
	q := all(3)
	q.Limit = 4
	var rows []series.Row
	for n := range 3 {
		p, err := h.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, p.Rows...)
		if (p.Next == "") != (n == 2) {
			t.Fatalf("page %d: next %q", n, p.Next)
		}
		q.Cursor = p.Next
		h.add(reading(-1-n, -1)) // before what is being read
		h.seal()
	}
	wantPowers(t, "pages", rows, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
}

func stepped(t *testing.T, h *harness) {
	a, b, c := reading(0, 10), reading(20, 20), reading(61, 6)
	b.Status, b.Quality, b.Flags, b.SoC = device.Idle, device.Suspect, device.FlagGap, math.NaN()
	a.Flags, c.Temperature = device.FlagSimulated, 30
	h.add(a)
	h.add(b)
	h.add(c, reading(200, 7))
	h.settle()
	q := series.Query{Slot: 3, From: T0, To: T0 + 200_000, Step: time.Minute}
	rows := h.query(q)
	wantPowers(t, "minutes", rows, 15, 6)
	if len(rows) != 2 {
		t.FailNow()
	}
	r := rows[0]
	if r.At != T0 || r.Count != 2 || r.SoC != 55.25 || r.Status != device.Idle || r.Quality != device.Suspect ||
		r.Flags != device.FlagGap|device.FlagSimulated || r.Arrived != b.Arrived || !math.IsNaN(r.Temperature) {
		t.Errorf("first minute: %+v", r)
	}
	if rows[1].At != T0+60_000 || rows[1].Temperature != 30 || rows[1].Count != 1 {
		t.Errorf("second minute: %+v", rows[1])
	}
	q.From, q.To, q.Limit = T0-30_000, T0+300_000, 2
	p, err := h.Query(t.Context(), q)
	if err != nil || len(p.Rows) != 2 || p.Next == "" {
		t.Fatalf("first page: %+v, %v", p, err)
	}
	q.Cursor = p.Next
	wantPowers(t, "second page", h.query(q), 7)
}

func fields(t *testing.T, h *harness) {
	r := reading(0, 1)
	r.Temperature, r.Flags = 20, device.FlagSimulated
	h.add(r)
	h.settle()
	q := all(3)
	q.Fields = series.Power | series.Status
	got := h.query(q)[0]
	if got.Power != 1 || got.Status != device.Charging || !math.IsNaN(got.SoC) || !math.IsNaN(got.Temperature) || got.Flags != device.FlagSimulated {
		t.Errorf("power and status: %+v", got)
	}
}

func counts(t *testing.T, h *harness) {
	h.add(reading(0, 1), reading(1, 1))
	h.add(reading(1, 2))
	h.add(reading(5, 1), reading(1, 3))
	h.settle()
	if n, err := h.Count(t.Context(), 3, math.MinInt64, math.MaxInt64); n != 3 || err != nil {
		t.Errorf("Count() = %d, %v, want 3", n, err)
	}
	if n, err := h.Count(t.Context(), 3, T0+1000, T0+5000); n != 1 || err != nil {
		t.Errorf("Count() of a part = %d, %v, want 1", n, err)
	}
	for _, tt := range []struct {
		slot device.Slot
		at   int64
		want bool
	}{{3, T0, true}, {3, T0 + 1000, true}, {3, T0 + 1001, false}, {3, T0 + 5000, true}, {2, T0, false}, {4, T0, false}, {3, math.MaxInt64, false}} {
		if got, err := h.Has(t.Context(), tt.slot, tt.at); got != tt.want || err != nil {
			t.Errorf("Has(%d, T0%+d) = %v, %v, want %v", tt.slot, tt.at-T0, got, err, tt.want)
		}
	}
}

func idempotent(t *testing.T, h *harness) {
	h.add(reading(0, 1))
	h.add(reading(0, 2))
	h.settle()
	if err := h.at.Log.Replay(t.Context(), 1, h.Append); err != nil {
		t.Fatal(err)
	}
	wantPowers(t, "appended again", h.query(all(3)), 2)
}

func recovered(t *testing.T, h *harness) {
	h.add(reading(0, 0))
	h.add(reading(1, 1))
	h.settle()
	h.add(reading(2, 2), reading(0, 9))
	h.add(reading(3, 3))
	h.reopen()
	wantPowers(t, "reopened", h.query(all(3)), 9, 1, 2, 3)
	h.reopen()
	wantPowers(t, "reopened twice", h.query(all(3)), 9, 1, 2, 3)
}

func refused(t *testing.T, h *harness) {
	h.add(reading(0, 1))
	h.settle()
	for _, q := range []series.Query{
		{Slot: 3, To: T0, Step: -time.Second},
		{Slot: 3, To: T0, Step: time.Microsecond},
		{Slot: 3, To: T0, Cursor: "x"},
		{Slot: 3, To: T0, Cursor: "t!"},
	} {
		if _, err := h.Query(t.Context(), q); !errors.Is(err, series.ErrQuery) {
			t.Errorf("Query(%+v) = %v, want ErrQuery", q, err)
		}
	}
}

package series_test

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// model is a history as a map: the plainest thing that keeps the promise.
type model map[device.Slot]map[int64]device.Reading

func (m model) append(f *device.Readings) {
	var r device.Reading
	for i := range f.Rows() {
		f.Row(i, &r)
		if m[r.Slot] == nil {
			m[r.Slot] = map[int64]device.Reading{}
		}
		m[r.Slot][r.At] = r
	}
}

func (m model) between(slot device.Slot, from, to int64) (out []device.Reading) {
	for _, at := range slices.Sorted(maps.Keys(m[slot])) {
		if from <= at && at < to {
			out = append(out, m[slot][at])
		}
	}
	return out
}

// drawReading draws one of few slots and times, so that readings are late,
// duplicated and revised.
func drawReading(t *rapid.T) device.Reading {
	value := rapid.OneOf(
		rapid.Just(math.NaN()),
		rapid.Map(rapid.IntRange(-50_000, 50_000), func(k int) float64 { return float64(k) / 100 }),
		rapid.Map(rapid.IntRange(-5_000_000, 5_000_000), func(k int) float64 { return float64(k) / 1000 }),
		rapid.Map(rapid.IntRange(0, 20), func(k int) float64 { return float64(k) }),
	)
	if rapid.IntRange(0, 30).Draw(t, "any float") == 0 {
		value = rapid.Float64()
	}
	r := device.Reading{
		Slot: device.Slot(rapid.SampledFrom([]int{0, 1, 2, 7, 300}).Draw(t, "slot")),
		At:   int64(rapid.IntRange(-5, 40).Draw(t, "at")) * 250,
		SoC:  value.Draw(t, "soc"), SoH: math.NaN(), Voltage: value.Draw(t, "voltage"), Current: value.Draw(t, "current"),
		Power: value.Draw(t, "power"), Temperature: value.Draw(t, "temperature"),
		MaxCharge: value.Draw(t, "maxCharge"), MaxDischarge: value.Draw(t, "maxDischarge"),
		Status:  device.Status(rapid.IntRange(0, int(device.Maintenance)).Draw(t, "status")),
		Quality: device.Quality(rapid.IntRange(0, int(device.Bad)).Draw(t, "quality")),
		Flags:   device.Flags(rapid.Uint16().Draw(t, "flags")),
	}
	r.Arrived = r.At + int64(rapid.IntRange(0, 5000).Draw(t, "delay"))
	if r.Status == device.OtherStatus {
		r.Word = rapid.SampledFrom([]string{"", "balancing", "预充", "x"}).Draw(t, "word")
	}
	return r
}

func drawFrame(t *rapid.T) *device.Readings {
	f := new(device.Readings)
	for range rapid.IntRange(0, 12).Draw(t, "rows") {
		r := drawReading(t)
		f.Append(&r)
	}
	return f
}

// TestModel compares the store with the model over random frames, seals, crashes
// (a close without a seal, and a replay of what is not covered) and queries.
func TestModel(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine asks; TestConcurrent and TestHistory do side by side what it does")
	}
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		opt := series.Options{
			Dir: dir, SealRows: rapid.IntRange(20, 200).Draw(rt, "seal rows"), SealEvery: time.Duration(rapid.IntRange(5, 60).Draw(rt, "seal every")) * time.Second,
			Workers: rapid.IntRange(1, 2).Draw(rt, "workers"), JoinFrom: 2, JoinBytes: int64(rapid.SampledFrom([]int{-1, 0, 20_000}).Draw(rt, "join bytes")),
		}
		var s *series.Store
		var log []*device.Readings
		start := func() {
			var err error
			if s, err = series.Open(opt); err != nil {
				rt.Fatal(err)
			}
			for i := s.Covered(); i < uint64(len(log)); i++ {
				s.Append(i+1, log[i])
			}
		}
		start()
		defer func() { s.Close() }()
		want := model{}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				f := drawFrame(t)
				log = append(log, f)
				s.Append(uint64(len(log)), f)
				want.append(f)
			},
			"seal": func(t *rapid.T) {
				if err := s.Seal(rt.Context()); err != nil {
					t.Fatal(err)
				}
			},
			"join": func(t *rapid.T) {
				if err := s.Join(rt.Context()); err != nil {
					t.Fatal(err)
				}
			},
			"crash": func(t *rapid.T) {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				start()
			},
			"query": func(t *rapid.T) {
				slot := device.Slot(rapid.SampledFrom([]int{0, 1, 2, 7, 300, 5}).Draw(t, "slot"))
				from := int64(rapid.IntRange(-2000, 11_000).Draw(t, "from"))
				to := from + int64(rapid.IntRange(-100, 12_000).Draw(t, "span"))
				compare(t, s, want, slot, from, to, rapid.IntRange(0, 7).Draw(t, "limit"))
			},
			"": func(t *rapid.T) {
				if st := s.Stats(); st.Failures > 0 || len(s.Faults()) > 0 {
					t.Fatalf("stats %+v, faults %v", st, s.Faults())
				}
			},
		})
		for slot := range want {
			compare(rt, s, want, slot, math.MinInt64, math.MaxInt64, 0)
		}
	})
}

func compare(t *rapid.T, s *series.Store, m model, slot device.Slot, from, to int64, limit int) {
	t.Helper()
	want := m.between(slot, from, to)
	var got []series.Row
	q := series.Query{Slot: slot, From: from, To: to, Limit: limit}
	for {
		p, err := s.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Rows...)
		if q.Cursor = p.Next; q.Cursor == "" {
			break
		}
		if len(p.Rows) != limit {
			t.Fatalf("a page of %d rows that is not the last, limit %d", len(p.Rows), limit)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("slot %d in [%d, %d): %d rows, want %d", slot, from, to, len(got), len(want))
	}
	for i := range want {
		g, w := &got[i].Reading, &want[i]
		if g.At != w.At || g.Arrived != w.Arrived || g.Quality != w.Quality || g.Flags != w.Flags || !g.SameValues(w) ||
			!same(g.MaxCharge, w.MaxCharge) || !same(g.MaxDischarge, w.MaxDischarge) {
			t.Fatalf("slot %d row %d:\n got %+v\nwant %+v", slot, i, *g, *w)
		}
	}
	if n, err := s.Count(t.Context(), slot, from, to); err != nil || n != int64(len(want)) {
		t.Fatalf("Count(%d, %d, %d) = %d, %v, want %d", slot, from, to, n, err, len(want))
	}
	for _, at := range []int64{from, to, 250, 1000} {
		_, there := m[slot][at]
		if has, err := s.Has(t.Context(), slot, at); err != nil || has != there {
			t.Fatalf("Has(%d, %d) = %v, %v, want %v", slot, at, has, err, there)
		}
	}
}

func same(a, b float64) bool { return a == b || a != a && b != b }

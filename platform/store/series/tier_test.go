package series_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// scattered are frames of three devices over some hours around midnight: gaps, readings
// that come late by minutes or hours, that come twice, that revise others, bad ones, and
// ones that lack quantities.
func scattered(rng *rand.Rand, frames int) (out []*device.Readings) {
	at := 24*hour - 2*hour + rng.Int64N(hour)
	sent := map[device.Slot][]int64{}
	for range frames {
		f := new(device.Readings)
		for range rng.IntN(60) {
			r := device.Empty()
			r.Slot = device.Slot(1 + rng.IntN(3))
			at += rng.Int64N(20_000)
			r.At = at
			switch old := sent[r.Slot]; {
			case rng.IntN(200) == 0:
				at += rng.Int64N(hour)
			case rng.IntN(6) == 0:
				r.At -= rng.Int64N(3 * hour)
			case rng.IntN(6) == 0 && len(old) > 0:
				r.At = old[rng.IntN(len(old))]
			}
			sent[r.Slot] = append(sent[r.Slot], r.At)
			r.Arrived = at
			r.Power = float64(rng.IntN(200_000)-100_000) / 1000
			if rng.IntN(4) > 0 {
				r.SoC, r.Voltage = float64(rng.IntN(10_000))/100, 700+rng.Float64()
			}
			r.Status, r.Flags = device.Status(rng.IntN(8)), device.Flags(rng.IntN(1<<8))
			if r.Status == device.OtherStatus {
				r.Word = []string{"balancing", "预充"}[rng.IntN(2)]
			}
			if rng.IntN(10) == 0 {
				r.Quality = device.Bad
			}
			f.Append(&r)
		}
		out = append(out, f)
	}
	return out
}

const hour = int64(3_600_000)

// TestTiersTellWhatReadingsDo compares answers from tiers with those from readings alone,
// whatever the order and the places in which the readings came, before and after the
// readings were removed.
func TestTiersTellWhatReadingsDo(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		opt := series.Options{
			Dir: t.TempDir(), JoinFrom: 2, JoinBytes: []int64{-1, 0, 40_000}[rng.IntN(3)],
			Tiers: []series.Tier{{Step: time.Second}, {Step: time.Minute}, {Step: 15 * time.Minute}, {Step: time.Hour}}[rng.IntN(2):],
		}
		plain := open(t, series.Options{Tiers: []series.Tier{}})
		s := open(t, opt)
		for i, f := range scattered(rng, 8+rng.IntN(8)) {
			plain.Append(uint64(i+1), f)
			s.Append(uint64(i+1), f)
			if rng.IntN(2) == 0 {
				if err := s.Seal(t.Context()); err != nil {
					t.Fatal(err)
				}
				if rng.IntN(2) == 0 {
					if err := s.Join(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if rng.IntN(3) == 0 {
					s.Close()
					s = open(t, opt)
				}
			}
			alike(t, s, plain, rng, true)
		}
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Join(t.Context()); err != nil {
			t.Fatal(err)
		}
		alike(t, s, plain, rng, true)
		s.Close()
		opt.Keep = time.Hour
		s = open(t, opt)
		if s.Expire(time.UnixMilli(1<<40)) == 0 {
			t.Fatal("no reading has expired")
		}
		for range 10 {
			alike(t, s, plain, rng, false)
		}
		if len(s.Faults()) > 0 {
			t.Fatal(s.Faults())
		}
		s.Close()
		plain.Close()
	}
}

// alike asks both stores a random question.
func alike(t *testing.T, s, plain *series.Store, rng *rand.Rand, readings bool) {
	t.Helper()
	step := []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 2 * time.Hour}[rng.IntN(5)]
	if readings && rng.IntN(4) == 0 {
		step = time.Duration(1+rng.IntN(90)) * time.Second
	}
	from := 18*hour + rng.Int64N(10*hour)
	q := series.AggregateQuery{
		Slots: []device.Slot{1, 2, 3}, From: from, To: from + rng.Int64N(12*hour), Step: step, Fleet: rng.IntN(2) == 0, Limit: 1 + rng.IntN(400),
	}
	what := fmt.Sprintf("%+v", q)
	for {
		got, err := s.Aggregate(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		want, err := plain.Aggregate(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Rows) != len(want.Rows) || got.Next != want.Next || len(got.Gaps) > 0 {
			t.Fatalf("%s: %d rows, next %q, gaps %v; want %d, %q", what, len(got.Rows), got.Next, got.Gaps, len(want.Rows), want.Next)
		}
		for i := range want.Rows {
			if !alikeRows(&got.Rows[i], &want.Rows[i]) {
				t.Fatalf("%s:\n got %+v\nwant %+v", what, got.Rows[i], want.Rows[i])
			}
		}
		if q.Cursor = want.Next; q.Cursor == "" {
			break
		}
	}
	if !readings { // they are needed where bounds cut a step
		from = series.Floor(from, step.Milliseconds())
		q.To = series.Floor(q.To, step.Milliseconds())
	}
	h := series.Query{Slot: device.Slot(1 + rng.IntN(3)), From: from, To: q.To, Step: step, Limit: 1 + rng.IntN(400)}
	for {
		got, err := s.Query(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		want, err := plain.Query(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Rows) != len(want.Rows) || len(got.Gaps) > 0 {
			t.Fatalf("%+v: %d rows, gaps %v; want %d", h, len(got.Rows), got.Gaps, len(want.Rows))
		}
		for i := range want.Rows {
			g, w := &got.Rows[i], &want.Rows[i]
			if g.At != w.At || g.Count != w.Count || g.Arrived != w.Arrived || g.Status != w.Status || g.Word != w.Word || g.Quality != w.Quality ||
				g.Flags != w.Flags || !nearly(g.SoC, w.SoC) || !nearly(g.Power, w.Power) || !nearly(g.Voltage, w.Voltage) {
				t.Fatalf("%+v:\n got %+v\nwant %+v", h, *g, *w)
			}
		}
		if h.Cursor = want.Next; h.Cursor == "" {
			break
		}
	}
}

func alikeRows(g, w *series.AggregateRow) bool {
	ok := g.Slot == w.Slot && g.At == w.At && g.Count == w.Count && g.Bad == w.Bad && g.Devices == w.Devices && g.Covered == w.Covered &&
		nearly(g.EnergyIn, w.EnergyIn) && nearly(g.EnergyOut, w.EnergyOut)
	for i := range w.Values {
		a, b := &g.Values[i], &w.Values[i]
		ok = ok && a.Count == b.Count && a.Devices == b.Devices && nearly(a.Mean, b.Mean) && nearly(a.Min, b.Min) && nearly(a.Max, b.Max) &&
			nearly(a.Last, b.Last) && nearly(a.Sum, b.Sum)
	}
	return ok
}

func nearly(a, b float64) bool { return a != a && b != b || near(a, b) }

package storetest

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// told is what the history must tell: of each slot and time the reading that came last.
type told map[device.Slot]map[int64]device.Reading

func (m told) add(list ...device.Reading) {
	for _, r := range list {
		if m[r.Slot] == nil {
			m[r.Slot] = map[int64]device.Reading{}
		}
		m[r.Slot][r.At] = r
	}
}

// of are the readings of a slot, ascending.
func (m told) of(slot device.Slot) (out []device.Reading) {
	for _, r := range m[slot] {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b device.Reading) int { return cmp.Compare(a.At, b.At) })
	return out
}

// expected is one step, of the power alone.
type expected struct {
	n, bad, reported       int64
	sum, least, most, last float64
	in, out                float64 // kWh
	covered                float64 // s
	socSum                 float64
	socN                   int64
	quality                device.Quality
	flags                  device.Flags
	devices, reporting     int
}

// steps says from the readings what each step amounts to, in the plainest way.
func steps(rows []device.Reading, from, to, step int64) map[int64]*expected {
	out := map[int64]*expected{}
	at := func(t int64) *expected {
		begin := t - ((t%step)+step)%step
		if out[begin] == nil {
			out[begin] = &expected{least: math.Inf(1), most: math.Inf(-1)}
		}
		return out[begin]
	}
	var before *device.Reading
	for i := range rows {
		r := &rows[i]
		if r.At >= from && r.At < to {
			e := at(r.At)
			e.n++
			e.quality, e.flags = max(e.quality, r.Quality), e.flags|r.Flags
			if r.Quality == device.Bad {
				e.bad++
			} else {
				if !math.IsNaN(r.Power) {
					e.reported++
					e.sum += r.Power
					e.least, e.most, e.last = min(e.least, r.Power), max(e.most, r.Power), r.Power
				}
				if !math.IsNaN(r.SoC) {
					e.socN++
					e.socSum += r.SoC
				}
			}
		}
		if r.Quality == device.Bad || math.IsNaN(r.Power) {
			continue
		}
		if before != nil && r.At-before.At <= series.MaxGap.Milliseconds() {
			// In pieces of whole milliseconds between steps and where the power is zero.
			slope := (r.Power - before.Power) / float64(r.At-before.At)
			for t := before.At; t < r.At; {
				next := min(r.At, t-((t%step)+step)%step+step)
				if t >= from && t < to {
					e := at(t)
					a, b := before.Power+slope*float64(t-before.At), before.Power+slope*float64(next-before.At)
					in, out := areas(a, b, float64(next-t)/3_600_000)
					e.in, e.out, e.covered = e.in+in, e.out+out, e.covered+float64(next-t)/1000
				}
				t = next
			}
		}
		before = r
	}
	return out
}

// areas are what lies above and below zero under a line from a to b.
func areas(a, b, width float64) (above, below float64) {
	if a >= 0 == (b >= 0) || a == 0 || b == 0 {
		mean := (a + b) / 2 * width
		return max(mean, 0), max(-mean, 0)
	}
	cut := a / (a - b) * width
	first, second := a/2*cut, b/2*(width-cut)
	return max(first, second, 0), max(-first, -second, 0)
}

func near(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b))
}

// plant is readings of three devices over five hours, as they come: in frames, some late,
// some twice, some bad, with a gap.
func plant(rng *rand.Rand) (frames [][]device.Reading) {
	var frame []device.Reading
	for i := range 900 {
		for slot := device.Slot(2); slot < 5; slot++ {
			if slot == 3 && i > 300 && i < 420 {
				continue // 40 min of nothing
			}
			r := device.Empty()
			r.Slot, r.At = slot, T0+int64(i)*20_000+int64(slot)*37
			r.Arrived = r.At + 40
			r.Power, r.Voltage, r.Status = float64(rng.IntN(2000)-1000)/10, 380, device.Charging
			if rng.IntN(9) > 0 {
				r.SoC = float64(rng.IntN(1000)) / 10
			}
			switch rng.IntN(40) {
			case 0:
				r.Quality, r.Flags = device.Bad, device.FlagRange
			case 1:
				r.Power = math.NaN()
			case 2:
				r.Status, r.Word, r.Quality = device.OtherStatus, "equalising", device.Suspect
			}
			frame = append(frame, r)
		}
		if rng.IntN(30) == 0 {
			again := frame[rng.IntN(len(frame))]
			again.Power, again.Flags = 7, again.Flags|device.FlagRevised
			frame = append(frame, again)
		}
		if len(frame) > 150 {
			if n := len(frames); n > 0 && rng.IntN(4) == 0 { // it comes before the one before
				frames = append(frames, frames[n-1])
				frames[n-1] = frame
			} else {
				frames = append(frames, frame)
			}
			frame = nil
		}
	}
	return append(frames, frame)
}

// made makes the tiers of everything before now.
func (h *harness) made(now time.Time) {
	h.SealIfDue(now)
	h.Settle()
}

func tiered(t *testing.T, h *harness) {
	rng := rand.New(rand.NewPCG(7, 11))
	want := told{}
	frames := plant(rng)
	for _, f := range frames {
		h.add(f...)
		want.add(f...)
	}
	h.settle()
	lengths := []time.Duration{time.Minute, 2 * time.Hour, time.Second, 7 * time.Second, 15 * time.Minute, time.Hour}
	if testing.Short() {
		lengths = lengths[:2]
	}
	check := func(when string) {
		t.Helper()
		for _, step := range lengths {
			compareSteps(t, h, want, when, step, T0-3_600_000, T0+6*3_600_000)
			compareSteps(t, h, want, when, step, T0+4_000_000, T0+9_100_000)
		}
		compareFleet(t, h, want, when, 15*time.Minute)
		compareFleet(t, h, want, when, 30*time.Second)
	}
	check("at first")
	now := device.Time(T0 + 7*3_600_000)
	h.made(now)
	check("with tiers")
	late := make([]device.Reading, 0, 40)
	for i := range 20 { // what was there is revised, and there is more in between
		r := reading(0, float64(i))
		r.Slot, r.At = device.Slot(2+i%3), T0+int64(i)*700_000+int64(2+i%3)*37
		r.At -= r.At % 20_000 * int64(i%2)
		late = append(late, r)
	}
	h.add(late...)
	want.add(late...)
	check("with late readings")
	h.made(now)
	check("with late readings in the tiers")
	h.seal()
	h.reopen()
	h.made(now)
	check("reopened")
	if f := h.Faults(); len(f) > 0 {
		t.Errorf("faults: %v", f)
	}
	if err := h.Verify(t.Context()); err != nil || len(h.Faults()) > 0 {
		t.Errorf("Verify() = %v, faults %v", err, h.Faults())
	}
}

// compareSteps compares what each device amounts to in steps, page after page.
func compareSteps(t *testing.T, h *harness, want told, when string, step time.Duration, from, to int64) {
	t.Helper()
	ms := step.Milliseconds()
	lo, hi := series.Floor(from, ms), series.Floor(to+ms-1, ms)
	got := map[device.Slot]map[int64]series.AggregateRow{}
	q := series.AggregateQuery{Slots: []device.Slot{1, 2, 3, 4}, From: from, To: to, Step: step, Limit: 777}
	for {
		page, err := h.Aggregate(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Rows {
			if got[r.Slot] == nil {
				got[r.Slot] = map[int64]series.AggregateRow{}
			}
			if _, twice := got[r.Slot][r.At]; twice {
				t.Errorf("%s, step %v: slot %d at T0%+d comes twice", when, step, r.Slot, r.At-T0)
			}
			got[r.Slot][r.At] = r
		}
		if len(page.Rows) > 777 || len(page.Gaps) > 0 {
			t.Fatalf("%s, step %v: %d rows, gaps %v", when, step, len(page.Rows), page.Gaps)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	for slot := range want {
		all := steps(want.of(slot), lo, hi, ms)
		if len(all) != len(got[slot]) {
			t.Errorf("%s, step %v: %d steps of slot %d, want %d", when, step, len(got[slot]), slot, len(all))
			continue
		}
		for at, w := range all {
			g, there := got[slot][at]
			p, soc := g.Value(series.Power), g.Value(series.SoC)
			mean, socMean := w.sum/float64(w.reported), w.socSum/float64(w.socN)
			if !there || g.Count != w.n || g.Bad != w.bad || p.Count != w.reported || !near(p.Mean, mean) || !near(soc.Mean, socMean) ||
				w.reported > 0 && (p.Min != w.least || p.Max != w.most || p.Last != w.last) ||
				!near(g.EnergyIn, w.in) || !near(g.EnergyOut, w.out) || !near(g.Covered.Seconds(), w.covered) {
				t.Fatalf("%s, step %v: slot %d at T0%+d s:\n got %+v\nwant %+v, mean %v", when, step, slot, (at-T0)/1000, g, *w, mean)
			}
		}
		compareQuery(t, h, want.of(slot), when, series.Query{Slot: slot, From: from, To: to, Step: step, Limit: 500})
	}
}

// compareQuery compares the rows of a query in steps, whose bounds cut steps.
func compareQuery(t *testing.T, h *harness, rows []device.Reading, when string, q series.Query) {
	t.Helper()
	var in []device.Reading
	for _, r := range rows {
		if r.At >= q.From && r.At < q.To {
			in = append(in, r)
		}
	}
	want := steps(in, q.From, q.To, q.Step.Milliseconds())
	n := 0
	last := int64(math.MinInt64)
	for {
		page, err := h.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range page.Rows {
			w := want[g.At]
			if w == nil || g.At <= last || int64(g.Count) != w.n || g.Quality != w.quality || g.Flags != w.flags || !near(g.Power, w.sum/float64(w.reported)) {
				t.Fatalf("%s, step %v: slot %d at T0%+d s: %+v, want %+v", when, q.Step, q.Slot, (g.At-T0)/1000, g, w)
			}
			last = g.At
			n++
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	for at, w := range want {
		if w.n == 0 { // a step that is only covered
			delete(want, at)
		}
	}
	if n != len(want) {
		t.Errorf("%s, step %v: %d rows of slot %d, want %d", when, q.Step, n, q.Slot, len(want))
	}
}

// compareFleet compares what all devices together amount to.
func compareFleet(t *testing.T, h *harness, want told, when string, step time.Duration) {
	t.Helper()
	from, to := int64(T0), int64(T0+6*3_600_000)
	sums := map[int64]*expected{}
	for slot := range want {
		for at, w := range steps(want.of(slot), from, to, step.Milliseconds()) {
			s := sums[at]
			if s == nil {
				s = &expected{least: math.Inf(1), most: math.Inf(-1)}
				sums[at] = s
			}
			s.n, s.bad, s.reported = s.n+w.n, s.bad+w.bad, s.reported+w.reported
			s.in, s.out, s.covered = s.in+w.in, s.out+w.out, s.covered+w.covered
			if w.n > 0 {
				s.devices++
			}
			if w.reported > 0 {
				s.reporting++
				s.sum += w.sum / float64(w.reported)
				s.last += w.last
				s.least, s.most = min(s.least, w.least), max(s.most, w.most)
			}
		}
	}
	q := series.AggregateQuery{Slots: []device.Slot{2, 3, 4}, From: from, To: to, Step: step, Fleet: true, Fields: series.Power, Limit: 50}
	n := 0
	for {
		page, err := h.Aggregate(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range page.Rows {
			n++
			w, p := sums[g.At], g.Value(series.Power)
			if w == nil || g.Slot != device.Plant || g.Count != w.n || g.Bad != w.bad || g.Devices != w.devices || p.Devices != w.reporting ||
				w.reporting > 0 && (!near(p.Sum, w.sum) || !near(p.Last, w.last) || p.Min != w.least || p.Max != w.most) ||
				!near(g.EnergyIn, w.in) || !near(g.EnergyOut, w.out) || !near(g.Covered.Seconds(), w.covered) {
				t.Fatalf("%s, fleet in steps of %v at T0%+d s:\n got %+v\nwant %+v", when, step, (g.At-T0)/1000, g, w)
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if n != len(sums) {
		t.Errorf("%s: %d steps of the fleet, want %d", when, n, len(sums))
	}
}

// expired: readings are kept a day, the minutes two, the hours for ever.
func expired(t *testing.T, h *harness) {
	const day = int64(24 * time.Hour / time.Millisecond)
	now := device.Time(T0 + 6*day)
	n := int64(0)
	for d := range int64(6) {
		var list []device.Reading
		for at := T0 + d*day; at < T0+(d+1)*day; at += 600_000 {
			r := reading(0, float64(d))
			r.At, r.Arrived = at, at
			list = append(list, r)
			n++
		}
		h.add(list...)
		h.seal()
		h.made(device.Time(T0 + (d+1)*day + 3_600_000))
	}
	h.settle()
	whole := func(step time.Duration) series.AggregatePage {
		t.Helper()
		page, err := h.Aggregate(t.Context(), series.AggregateQuery{Slots: []device.Slot{3}, From: T0, To: T0 + 6*day, Step: step})
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	before := whole(time.Hour)
	if len(before.Rows) != 6*24 || len(before.Gaps) > 0 {
		t.Fatalf("%d hours, gaps %v", len(before.Rows), before.Gaps)
	}
	check := func(when string) {
		t.Helper()
		h.made(now.Add(time.Hour))
		h.Expire(now)
		h.Settle()
		page, err := h.Query(t.Context(), series.Query{Slot: 3, From: T0, To: T0 + 6*day})
		if err != nil {
			t.Fatal(err)
		}
		first := page.Rows[0].At
		if first < T0+4*day-day || first > T0+5*day || int64(len(page.Rows)) != (T0+6*day-first)/600_000 {
			t.Errorf("%s: %d readings from T0%+d h on are left of those that are kept a day", when, len(page.Rows), (first-T0)/3_600_000)
		}
		told := false
		for _, g := range page.Gaps {
			told = told || g.From == T0 && g.To <= first+day && strings.Contains(g.Reason, "retention")
		}
		if gaps, err := h.Gaps(3, T0, T0+6*day); !told || err != nil || len(gaps) == 0 {
			t.Errorf("%s: the gap before is told as %v, and %v, %v", when, page.Gaps, gaps, err)
		}
		if c, err := h.Count(t.Context(), 3, math.MinInt64, math.MaxInt64); c != int64(len(page.Rows)) || err != nil {
			t.Errorf("%s: Count() = %d, %v, and a query has %d", when, c, err, len(page.Rows))
		}
		after := whole(time.Hour)
		if len(after.Rows) != len(before.Rows) || len(after.Gaps) > 0 {
			t.Fatalf("%s: %d hours, gaps %v", when, len(after.Rows), after.Gaps)
		}
		for i := range after.Rows {
			if a, b := after.Rows[i], before.Rows[i]; a.At != b.At || a.Count != b.Count || !near(a.EnergyIn, b.EnergyIn) || a.Value(series.Power).Mean != b.Value(series.Power).Mean {
				t.Fatalf("%s: an hour has become %+v, it was %+v", when, a, b)
			}
		}
		// Where the bounds cut an hour its readings are asked; what is not there of them is told.
		for _, b := range []struct{ from, to int64 }{
			{T0, T0 + 6*day},
			{T0 + 60_000, T0 + 6*day},
			{T0 + 60_000, T0 + 3*3_600_000},
			{T0 + 60_000, T0 + 1_800_000},
			{T0, T0 + 5_400_000},
			{T0 + 2*day + 60_000, T0 + 3*day},
			{T0 + 4*day + 60_000, T0 + 4*day + 7_300_000},
			{T0 + 4*day + 30_500, T0 + 5*day + 1},
		} {
			page, err := h.Query(t.Context(), series.Query{Slot: 3, From: b.from, To: b.to, Step: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			left := (b.to-T0+599_999)/600_000 - (b.from-T0+599_999)/600_000
			for _, r := range page.Rows {
				left -= int64(r.Count)
			}
			missing := int64(0)
			for _, g := range page.Gaps {
				missing += g.To - g.From
			}
			if left > 0 && missing == 0 || left < 0 || missing > 2*3_600_000 || (b.to-b.from)%3_600_000 == 0 && b.from%3_600_000 == 0 && (left > 0 || missing > 0) {
				t.Errorf("%s, hours of T0%+d s to %+d s: %d readings are missing in %d rows, gaps %v",
					when, (b.from-T0)/1000, (b.to-T0)/1000, left, len(page.Rows), page.Gaps)
			}
		}
		minutes := whole(time.Minute)
		if len(minutes.Gaps) == 0 || len(minutes.Rows) == 0 || minutes.Rows[0].At < T0+2*day || minutes.Rows[0].At > T0+4*day {
			t.Errorf("%s: the minutes begin with %+v, gaps %v", when, minutes.Rows[:min(1, len(minutes.Rows))], minutes.Gaps)
		}
	}
	check("expired")
	h.reopen()
	check("reopened")
}

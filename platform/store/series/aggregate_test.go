package series_test

import (
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// TestAggregateIsThatOfTheReadings compares aggregates with what the plainest code
// makes of the same readings: over late and revised rows, seals and restarts.
func TestAggregateIsThatOfTheReadings(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		opt := series.Options{Dir: t.TempDir(), SealRows: rapid.IntRange(30, 200).Draw(rt, "seal rows"), Tiers: []series.Tier{}}
		s, err := series.Open(opt)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { s.Close() }()
		want := model{}
		for seq := range uint64(rapid.IntRange(1, 15).Draw(rt, "frames")) {
			f := drawFrame(rt)
			want.append(f)
			s.Append(seq+1, f)
			switch rapid.IntRange(0, 5).Draw(rt, "then") {
			case 0:
				if err := s.Seal(t.Context()); err != nil {
					rt.Fatal(err)
				}
			case 1:
				if err := s.Seal(t.Context()); err != nil {
					rt.Fatal(err)
				}
				s.Close()
				if s, err = series.Open(opt); err != nil {
					rt.Fatal(err)
				}
			}
		}
		step := int64(rapid.IntRange(1, 7).Draw(rt, "step")) * 1000
		for slot := range want {
			page, err := s.Aggregate(t.Context(), series.AggregateQuery{Slots: []device.Slot{slot}, From: -10_000, To: 20_000, Step: time.Duration(step) * time.Millisecond})
			if err != nil {
				rt.Fatal(err)
			}
			judge(rt, page.Rows, want.between(slot, math.MinInt64, math.MaxInt64), step)
		}
	})
}

// judge compares rows with readings, which all lie inside of the bounds.
func judge(t *rapid.T, rows []series.AggregateRow, readings []device.Reading, step int64) {
	t.Helper()
	var count, covered int64
	var in, out, net float64
	for _, row := range rows {
		var soc []float64
		n, bad := int64(0), int64(0)
		for _, r := range readings {
			if r.At < row.At || r.At >= row.At+step {
				continue
			}
			n++
			if r.Quality == device.Bad {
				bad++
			} else if r.SoC == r.SoC {
				soc = append(soc, r.SoC)
			}
		}
		v := row.Value(series.SoC)
		if row.Count != n || row.Bad != bad || v.Count != int64(len(soc)) {
			t.Fatalf("step at %d: %d readings, %d bad, %d of soc; want %d, %d, %d", row.At, row.Count, row.Bad, v.Count, n, bad, len(soc))
		}
		if len(soc) > 0 {
			sum := 0.0
			for _, x := range soc {
				sum += x
			}
			if !near(v.Mean, sum/float64(len(soc))) || v.Min != slices.Min(soc) || v.Max != slices.Max(soc) || v.Last != soc[len(soc)-1] {
				t.Fatalf("step at %d: %+v of %v", row.At, *v, soc)
			}
		}
		count += row.Count
		covered += row.Covered.Milliseconds()
		in, out = in+row.EnergyIn, out+row.EnergyOut
		if row.EnergyIn < 0 || row.EnergyOut < 0 || row.Covered.Milliseconds() > step {
			t.Fatalf("step at %d: %v kWh in, %v out, %v covered", row.At, row.EnergyIn, row.EnergyOut, row.Covered)
		}
	}
	if count != int64(len(readings)) {
		t.Fatalf("%d readings in all steps, want %d", count, len(readings))
	}
	var last *device.Reading
	span := int64(0)
	for i := range readings {
		r := &readings[i]
		if r.Quality == device.Bad || !device.Finite(r.Power) {
			continue
		}
		if last != nil {
			span += r.At - last.At
			net += (last.Power + r.Power) / 2 * float64(r.At-last.At) / 3_600_000
		}
		last = r
	}
	// In and out may be far larger than their difference, or too large for a number.
	if covered != span || device.Finite(in+out) && math.Abs(in-out-net) > 1e-9*max(1, in, out) {
		t.Fatalf("%d ms covered, %v kWh net; want %d, %v", covered, in-out, span, net)
	}
}

func near(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }

// TestEnergy integrates lines that can be integrated by hand.
func TestEnergy(t *testing.T) {
	s := open(t, series.Options{})
	f := new(device.Readings)
	for _, p := range []struct {
		s  int64
		kw float64
	}{{0, 60}, {60, 60}, {120, -60}, {600, -60}, {600 + 601, 100}, {600 + 601 + 60, 100}} {
		r := device.Empty()
		r.At, r.Power = p.s*1000, p.kw
		f.Append(&r)
	}
	s.Append(1, f)
	page, err := s.Aggregate(t.Context(), series.AggregateQuery{Slots: []device.Slot{0}, To: 3_600_000, Step: time.Hour})
	if err != nil || len(page.Rows) != 1 {
		t.Fatalf("%+v, %v, want one hour", page, err)
	}
	// A minute of 60 kW, a triangle of half a minute, the same out, 8 minutes of
	// -60 kW, a gap of 601 s, a minute of 100 kW.
	r := page.Rows[0]
	if in, out := 1+0.25+100.0/60, 0.25+8.0; !near(r.EnergyIn, in) || !near(r.EnergyOut, out) || r.Covered != 11*time.Minute {
		t.Errorf("%v kWh in, %v out over %v; want %v, %v over 11 min", r.EnergyIn, r.EnergyOut, r.Covered, in, out)
	}
}

// TestExpire removes whole files, and what is left is served, also after another start.
func TestExpire(t *testing.T) {
	dir := t.TempDir()
	sealed(t, dir, 3)
	opt := series.Options{Dir: dir, Keep: time.Minute, Tiers: []series.Tier{{Step: time.Minute, Keep: time.Hour}, {Step: time.Hour}}}
	s := open(t, opt)
	s.Settle()
	if rows := s.Expire(time.UnixMilli(81_000)); rows == 0 {
		t.Error("nothing expired")
	}
	s.Settle()
	if files := tables(t, dir); files != 1+3+3 { // a tier of 15 minutes is kept no longer
		t.Errorf("%d files are left", files)
	}
	check := func(what string, readings int) {
		t.Helper()
		p, err := s.Query(t.Context(), all(1))
		if err != nil || len(p.Rows) != readings || len(p.Gaps) == 0 || len(p.Rows) > 0 && p.Rows[0].At < 20_000 {
			t.Errorf("%s: %d readings, gaps %v, %v; want %d of the last file and a gap", what, len(p.Rows), p.Gaps, err, readings)
		}
		a, err := s.Aggregate(t.Context(), series.AggregateQuery{Slots: []device.Slot{1}, To: 3_600_000, Step: time.Hour})
		if err != nil || len(a.Rows) != 1 || len(a.Gaps) > 0 || a.Rows[0].Count != 27 {
			t.Errorf("%s: %+v, %v; want the hour of all 27 readings and no gap", what, a, err)
		}
	}
	check("expired", 9)
	s.Close()
	if s = open(t, opt); s.Covered() != 30 || len(s.Faults()) > 0 {
		t.Errorf("opened again: covered %d, %v; want 30", s.Covered(), s.Faults())
	}
	s.Expire(time.UnixMilli(81_000))
	check("opened again", 9)
	s.Expire(time.UnixMilli(1 << 40))
	s.Settle()
	check("all readings expired", 0)
	if files := tables(t, dir); files != 3 {
		t.Errorf("%d files are left, want the 3 of the hour", files)
	}
}

// tables counts the files of a store.
func tables(t *testing.T, dir string) (n int) {
	t.Helper()
	for _, glob := range []string{"*.parquet", "*/*.parquet"} {
		files, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil {
			t.Fatal(err)
		}
		n += len(files)
	}
	return n
}

package ingest_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/ingest"
)

// day is a device of 100 kW and 200 kWh that follows a setpoint of some seconds, with
// 2 % of loss, for n seconds.
func day(n int, seed uint64) []device.Reading {
	rng := rand.New(rand.NewPCG(seed, 1))
	rows := make([]device.Reading, n)
	charge, kw, hold := 50.0, 0.0, 0
	for i := range rows {
		if hold--; hold < 0 {
			hold = 2 + rng.IntN(60)
			kw = math.Round(rng.Float64()*160 - 80)
			if rng.IntN(4) == 0 {
				kw = 0
			}
		}
		dc := kw - 0.02*math.Abs(kw) - 0.3
		r := device.Empty()
		r.At = start.UnixMilli() + int64(i)*1000
		r.Arrived = r.At + 20
		charge += dc / 3600 / 200 * 100
		r.SoC = math.Round(charge*100) / 100
		r.Power = kw
		r.Voltage = 780 + 0.4*charge + dc*0.1
		r.Current = dc * 1000 / r.Voltage
		r.Temperature = 25 + 3*math.Sin(float64(i)/2000)
		r.Status = device.Idle
		if kw > 0 {
			r.Status = device.Charging
		} else if kw < 0 {
			r.Status = device.Discharging
		}
		rows[i] = r
	}
	return rows
}

func clean(t testing.TB, p ingest.Profile, raw []device.Reading) []ingest.Row {
	t.Helper()
	return ingest.Clean(&p, info(), raw)
}

// at finds the row of a time.
func at(t *testing.T, rows []ingest.Row, ms int64) *ingest.Row {
	t.Helper()
	for i := range rows {
		if rows[i].At == ms {
			return &rows[i]
		}
	}
	t.Fatalf("there is no row at %d", ms)
	return nil
}

// TestCleanLeavesGoodReadingsAlone: what is right is neither replaced nor filled nor
// doubted.
func TestCleanLeavesGoodReadingsAlone(t *testing.T) {
	for seed := range uint64(5) {
		raw := day(7200, seed)
		rows := clean(t, ingest.Default(), raw)
		if len(rows) != len(raw) {
			t.Fatalf("%d rows of %d readings", len(rows), len(raw))
		}
		touched := 0
		for i := range rows {
			if rows[i].Outlier|rows[i].Filled|rows[i].Doubtful|rows[i].Smoothed != 0 {
				touched++
			}
		}
		if touched*1000 > len(rows) {
			t.Errorf("seed %d: %d of %d good readings were touched, want less than 0.1 %%", seed, touched, len(rows))
		}
	}
}

func TestCleanFinds(t *testing.T) {
	const n = 600
	for _, tt := range []struct {
		name   string
		profil func(p *ingest.Profile)
		harm   func(raw []device.Reading) []device.Reading
		row    int // looked at
		mark   func(r *ingest.Row) device.Points
		want   device.Points
		flags  device.Flags
		near   func(r *ingest.Row) (got, want, within float64)
	}{
		{
			"a spike of power", nil, func(raw []device.Reading) []device.Reading { raw[300].Power += 30; return raw }, 300,
			func(r *ingest.Row) device.Points { return r.Outlier & r.Filled }, device.PointPower, device.FlagOutlier | device.FlagFilled, nil,
		},
		{
			"a spike of current", nil, func(raw []device.Reading) []device.Reading { raw[300].Current -= 60; return raw }, 300,
			func(r *ingest.Row) device.Points { return r.Outlier & r.Filled }, device.PointCurrent, device.FlagOutlier | device.FlagFilled, nil,
		},
		{
			"a spike of voltage", nil, func(raw []device.Reading) []device.Reading { raw[300].Voltage *= 0.9; return raw }, 300,
			func(r *ingest.Row) device.Points { return r.Outlier & r.Filled }, device.PointVoltage, device.FlagOutlier | device.FlagFilled, nil,
		},
		{"two spikes of the state of charge", nil, func(raw []device.Reading) []device.Reading {
			raw[300].SoC, raw[301].SoC = 0, 0
			return raw
		}, 301, func(r *ingest.Row) device.Points { return r.Outlier & r.Filled }, device.PointSoC, device.FlagOutlier | device.FlagFilled, nil},
		{
			"a hot reading", nil, func(raw []device.Reading) []device.Reading { raw[300].Temperature = 85; return raw }, 300,
			func(r *ingest.Row) device.Points { return r.Outlier }, device.PointTemperature, device.FlagOutlier, nil,
		},
		{
			"a temperature that the profile excludes", func(p *ingest.Profile) { p.Range.Temperature = &ingest.Bounds{Min: -20, Max: 26} },
			func(raw []device.Reading) []device.Reading { raw[300].Temperature = 27; return raw }, 300,
			func(r *ingest.Row) device.Points { return r.Filled }, device.PointTemperature, device.FlagFilled, nil,
		},
		{"a state of charge that stands still", nil, func(raw []device.Reading) []device.Reading {
			for i := range raw {
				raw[i].Power, raw[i].Current, raw[i].Status = 60, 58.5e3/raw[i].Voltage, device.Charging
				raw[i].SoC = 50
			}
			return raw
		}, 599, func(r *ingest.Row) device.Points { return r.Doubtful }, device.PointSoC, device.FlagLogic, nil},
		{"power at rest", nil, func(raw []device.Reading) []device.Reading {
			raw[300].Status, raw[300].Power, raw[300].Current = device.Standby, 50, 49e3/raw[300].Voltage
			return raw
		}, 300, func(r *ingest.Row) device.Points { return r.Doubtful & device.PointPower }, device.PointPower, device.FlagLogic, nil},
		{
			"power that is not reported", nil, func(raw []device.Reading) []device.Reading { raw[300].Power = math.NaN(); return raw }, 300,
			func(r *ingest.Row) device.Points { return r.Filled }, device.PointPower, device.FlagFilled, nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(3) {
				good := day(n, seed)
				raw := tt.harm(day(n, seed))
				p := ingest.Default()
				if tt.profil != nil {
					tt.profil(&p)
				}
				r := at(t, clean(t, p, raw), raw[tt.row].At)
				if got := tt.mark(r); got != tt.want || r.Flags&tt.flags != tt.flags || r.Quality != device.Suspect {
					t.Errorf("seed %d: marks %v [%v] %v, want %v [%v]", seed, ingest.Names(got), r.Flags, r.Quality, ingest.Names(tt.want), tt.flags)
				}
				if r.Filled&device.PointPower != 0 {
					if d := math.Abs(r.Power - good[tt.row].Power); d > 2 {
						t.Errorf("seed %d: %v kW were filled in, %v were there", seed, r.Power, good[tt.row].Power)
					}
				}
			}
		})
	}
}

// TestGaps: by how long it is, a gap is held, joined, balanced or left.
func TestGaps(t *testing.T) {
	cut := func(from, to int) []device.Reading {
		raw := day(2000, 7)
		return append(raw[:from:from], raw[to:]...)
	}
	for _, tt := range []struct {
		name   string
		profil func(p *ingest.Profile)
		to     int // the gap is from row 501 to there
		rows   int
		soc    float64 // how far the filled state of charge may be from what was
	}{
		{"one reading", nil, 502, 1, 0.05},
		{"on a line", nil, 529, 28, 0.5},
		{"held", func(p *ingest.Profile) { p.Gaps.Hold = 20 * time.Second }, 511, 10, 0.5},
		{"balanced", nil, 800, 299, 3},
		{"too long", nil, 1200, 0, 0},
		{"not to be filled", func(p *ingest.Profile) { p.Gaps = ingest.Gaps{} }, 511, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := ingest.Default()
			if tt.profil != nil {
				tt.profil(&p)
			}
			raw, was := cut(501, tt.to), day(2000, 7)
			rows := clean(t, p, raw)
			if got := len(rows) - len(raw); got != tt.rows {
				t.Fatalf("%d rows filled in, want %d", got, tt.rows)
			}
			for i := range rows {
				r := &rows[i]
				if !r.Missing() {
					continue
				}
				if r.Quality == device.Good || r.Flags&device.FlagFilled == 0 {
					t.Fatalf("filled in, and %v [%v]", r.Quality, r.Flags)
				}
				if d := math.Abs(r.SoC - was[(r.At-start.UnixMilli())/1000].SoC); !(d <= tt.soc) {
					t.Errorf("row %d: %v %% filled in, %v apart", i, r.SoC, d)
				}
				if tt.name == "held" && r.Power != raw[500].Power {
					t.Errorf("%v kW held, want %v", r.Power, raw[500].Power)
				}
			}
		})
	}
}

// TestBalanceKeepsTheEnergy: the power of a long gap is what moved the state of charge.
func TestBalanceKeepsTheEnergy(t *testing.T) {
	raw := day(2000, 3)
	for i := range raw {
		raw[i].Power, raw[i].Status = 60, device.Charging
		raw[i].SoC = 20 + 58.5/3600*float64(i)/200*100
		raw[i].Voltage = 800
		raw[i].Current = 58.5e3 / 800
	}
	raw[500].Power, raw[500].Current = 10, 8.5e3/800 // the ends say nothing of what was between
	rows := clean(t, ingest.Default(), append(raw[:501:501], raw[800:]...))
	r := at(t, rows, raw[650].At)
	if math.Abs(r.Power-60) > 1 || math.Abs(r.Current-58.5e3/800) > 3 || math.Abs(r.SoC-raw[650].SoC) > 0.05 {
		t.Errorf("in the middle of the gap: %v kW, %v A, %v %%; want 60, 73.1, %v", r.Power, r.Current, r.SoC, raw[650].SoC)
	}
}

// TestCleanFrozen: what a device repeats is not taken for measured, from the second time on.
func TestCleanFrozen(t *testing.T) {
	var m ingest.Memory
	raw := day(400, 2)
	for i := range raw {
		if i > 200 && i < 300 {
			was := raw[200]
			was.At, was.Arrived = raw[i].At, raw[i].Arrived
			was.Power, was.Current, was.Status = raw[200].Power, raw[200].Current, raw[200].Status
			raw[i] = was
		}
		raw[i].Flags = 0
		m.Judge(info(), now(&raw[i]), &raw[i])
	}
	if raw[299].Flags&device.FlagFrozen == 0 {
		t.Fatal("ingest does not know that it is frozen")
	}
	rows := clean(t, ingest.Default(), raw)
	for _, i := range []int{201, 250, 299} {
		if r := at(t, rows, raw[i].At); r.Filled&device.PointSoC == 0 || r.Quality == device.Good {
			t.Errorf("row %d repeats row 200 and is %v, filled %v", i, r.Quality, ingest.Names(r.Filled))
		}
	}
	if r := at(t, rows, raw[200].At); r.Filled != 0 {
		t.Error("the first of them was filled in")
	}
}

// TestFilters: noise becomes less, and a line stays one.
func TestFilters(t *testing.T) {
	for _, kind := range []string{ingest.Exponential, ingest.SavitzkyGolay} {
		p := ingest.Default()
		p.Filter.Kind = kind
		rng := rand.New(rand.NewPCG(1, 2))
		raw := day(600, 1)
		for i := range raw {
			raw[i].Power, raw[i].Current, raw[i].Status = 50+rng.NormFloat64(), math.NaN(), device.Charging
		}
		var before, after ingest.Moments
		rows := clean(t, p, raw)
		sum := func(x float64, s *ingest.Moments) { s.SD += (x - 50) * (x - 50); s.N++ }
		for i := 50; i < 550; i++ {
			sum(rows[i].Raw.Power, &before)
			sum(rows[i].Power, &after)
			if rows[i].Smoothed&device.PointPower == 0 {
				t.Fatalf("%s: row %d is not marked", kind, i)
			}
		}
		// Of white noise σ² · Σw² is left: 0.255 of 9 points, (1−a)/(1+a) ≈ 0.1 at 5 s.
		if left := after.SD / before.SD; left > 0.4 {
			t.Errorf("%s leaves %.2f of the variance", kind, left)
		}
	}
}

func anySeries(t *rapid.T) []device.Reading {
	n := rapid.IntRange(0, 80).Draw(t, "n")
	raw := make([]device.Reading, n)
	ms := start.UnixMilli()
	for i := range raw {
		raw[i] = anyReading().Draw(t, "reading")
		if rapid.IntRange(0, 9).Draw(t, "wild") > 0 {
			ms += int64(rapid.SampledFrom([]int{0, 1000, 1000, 1000, 3000, 60_000}).Draw(t, "after"))
			raw[i].At = ms
		}
		raw[i].Flags = device.Flags(rapid.SampledFrom([]int{0, 0, 1, 2, 32}).Draw(t, "flags"))
		raw[i].Quality = device.Quality(rapid.IntRange(0, 2).Draw(t, "quality"))
	}
	return raw
}

func same(a, b *device.Reading) bool {
	return a.SameValues(b) && a.At == b.At && a.Flags == b.Flags && a.Quality == b.Quality
}

// TestRawIsKept: whatever comes, what was received stands beside what became of it, as
// it was; the same comes out of the same; rows ascend; and what was not measured is not
// good.
func TestRawIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := anySeries(t)
		p := ingest.Default()
		p.Filter.Kind = rapid.SampledFrom([]string{ingest.NoFilter, ingest.Exponential, ingest.SavitzkyGolay}).Draw(t, "filter")
		before := append([]device.Reading(nil), raw...)
		rows := ingest.Clean(&p, info(), raw)
		again := ingest.Clean(&p, info(), raw)
		if len(rows) != len(again) {
			t.Fatalf("%d rows, and %d", len(rows), len(again))
		}
		for i := range raw {
			if !same(&raw[i], &before[i]) {
				t.Fatalf("reading %d was changed", i)
			}
		}
		times := map[int64]*device.Reading{}
		for i := range raw {
			if k := times[raw[i].At]; k == nil || raw[i].Arrived >= k.Arrived {
				times[raw[i].At] = &raw[i]
			}
		}
		for i := range rows {
			r := &rows[i]
			if i > 0 && r.At <= rows[i-1].At {
				t.Fatalf("row %d is not later than the one before", i)
			}
			if !same(&r.Reading, &again[i].Reading) {
				t.Fatalf("row %d is %+v, and %+v", i, r.Reading, again[i].Reading)
			}
			if r.Missing() {
				if r.Quality == device.Good {
					t.Fatal("a row of nothing is good")
				}
				continue
			}
			if k := times[r.At]; k == nil || !same(&r.Raw, k) {
				t.Fatalf("raw of row %d is not what was received", i)
			}
			delete(times, r.At)
			if (r.Filled|r.Outlier) != 0 && r.Quality == device.Good {
				t.Fatal("it was filled in, and is good")
			}
			if r.Filled == 0 && r.Outlier == 0 && r.Smoothed == 0 {
				got, want := r.Reading, r.Raw
				for q, pair := range [][2]float64{{got.SoC, want.SoC}, {got.Voltage, want.Voltage}, {got.Current, want.Current}, {got.Power, want.Power}} {
					if pair[0] == pair[0] && pair[0] != pair[1] {
						t.Fatalf("value %d of row %d was changed without a mark", q, i)
					}
				}
			}
		}
		if delete(times, 0); len(times) > 0 {
			t.Fatalf("%d readings are in no row", len(times))
		}
	})
}

// TestAgainChangesNothing: cleaning what is clean keeps it.
func TestAgainChangesNothing(t *testing.T) {
	raw := day(3600, 9)
	raw[100].Power += 40
	raw = append(raw[:700:700], raw[720:]...)
	var once []device.Reading
	for _, r := range clean(t, ingest.Default(), raw) {
		once = append(once, r.Reading)
	}
	for i, r := range clean(t, ingest.Default(), once) {
		if !r.SameValues(&once[i]) {
			t.Fatalf("row %d became %+v, was %+v", i, r.Reading, once[i])
		}
	}
}

func TestUnits(t *testing.T) {
	u := ingest.Units{Power: "W", Voltage: "mV", Current: "mA", SoC: "ratio", Temperature: "K", Timestamp: "us", Clock: 8 * time.Hour}
	r := reading(0)
	r.Power, r.Voltage, r.Current, r.SoC, r.SoH, r.Temperature = 50_000, 400_000, 125_000, 0.5, 0.99, 298.15
	r.At = (r.At + 8*3600_000) * 1000
	u.Normalise(&r)
	want := reading(0)
	want.SoH = 99
	if math.Abs(r.Power-50) > 1e-9 || math.Abs(r.Temperature-25) > 1e-9 || r.At != want.At || r.SoC != 50 || r.SoH != 99 || r.Voltage != 400 || r.Current != 125 {
		t.Errorf("%+v, want %+v", r, want)
	}
	for _, tt := range []struct {
		unit     string
		at, want int64
	}{
		{"s", 1_703_123_456, 1_703_123_456_000},
		{"ms", 1_703_123_456_789, 1_703_123_456_789},
		{"us", 1_703_123_456_789_000, 1_703_123_456_789},
		{"ns", 1_703_123_456_789_000_000, 1_703_123_456_789},
		{"s", math.MaxInt64, math.MaxInt64},
		{"s", math.MinInt64, math.MinInt64},
		{"", 5, 5},
	} {
		if got := (&ingest.Units{Timestamp: tt.unit}).Millis(tt.at); got != tt.want {
			t.Errorf("%d %s are %d ms, want %d", tt.at, tt.unit, got, tt.want)
		}
	}
	plain := ingest.Default().Units
	if !plain.Plain() || !new(ingest.Units).Plain() || u.Plain() {
		t.Error("which units are plain is not known")
	}
}

func TestValidate(t *testing.T) {
	good := ingest.Default()
	if f := good.Validate(); f != nil {
		t.Errorf("the default: %v", f)
	}
	bad := ingest.Default()
	bad.Range.SoC = &ingest.Bounds{Min: 90, Max: 10}
	bad.Gaps.Hold, bad.Gaps.Model = time.Minute, 2*time.Hour
	bad.Units.Clock = 48 * time.Hour
	var keys []string
	for _, f := range bad.Validate() {
		keys = append(keys, f.Key)
	}
	if want := []string{"range.soc", "gaps", "gaps.model", "units.clock"}; !reflect.DeepEqual(keys, want) {
		t.Errorf("faults in %v, want %v", keys, want)
	}
}

// TestRainflow: the example of ASTM E1049-85, Fig. 6.
func TestRainflow(t *testing.T) {
	got := map[float64]float64{}
	count := func(depth, n float64) { got[depth] += n }
	var f ingest.Rainflow
	for _, x := range []float64{-2, 1, -3, 5, -1, 3, -4, 4, -2} {
		f.Add(x, count)
	}
	f.Rest(count)
	want := map[float64]float64{3: 0.5, 4: 1.5, 6: 0.5, 8: 1, 9: 0.5}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("cycles by range %v, want %v", got, want)
	}
}

// TestMeter: energy is counted by good readings, grows only, and stands in gaps.
func TestMeter(t *testing.T) {
	var m ingest.Meter
	for i := range 3601 {
		r := reading(time.Duration(i) * time.Second)
		r.Power = 36
		if i > 1800 {
			r.Power = -18
		}
		if i == 900 {
			r.Power, r.Quality = 1e9, device.Bad
		}
		m.Add(&r)
	}
	// The step from 36 to −18 lasts a second, two thirds of it above zero.
	in, out := 36*0.5+36*2./3/2/3600, 18*1799./3600+18*1./3/2/3600
	if math.Abs(m.In-in) > 1e-9 || math.Abs(m.Out-out) > 1e-9 || math.Abs(m.Counted-1) > 1e-9 {
		t.Errorf("%v in, %v out in %v h; want %v, %v, 1", m.In, m.Out, m.Counted, in, out)
	}
	before := m
	late, gap := reading(time.Hour-time.Minute), reading(3*time.Hour)
	gap.Flags = device.FlagGap
	m.Add(&late)
	m.Add(&gap)
	if m.In != before.In || m.Out != before.Out {
		t.Error("a late reading or a gap was counted")
	}
	rapid.Check(t, func(t *rapid.T) {
		var m ingest.Meter
		for range 30 {
			r := anyReading().Draw(t, "reading")
			if math.IsInf(r.Power, 0) {
				r.Quality = device.Bad // as ingest would say
			}
			before := m
			m.Add(&r)
			if !(m.In >= before.In) || !(m.Out >= before.Out) {
				t.Fatalf("from %+v to %+v by %+v", before, m, r)
			}
		}
	})
}

func TestClock(t *testing.T) {
	for _, tt := range []struct {
		name   string
		late   func(i int) time.Duration // arrival less own time
		steady bool
		zone   string
	}{
		{"right", func(i int) time.Duration { return 30 * time.Millisecond }, true, ""},
		{"three seconds behind", func(i int) time.Duration { return 3*time.Second + time.Duration(i%7)*time.Millisecond }, true, ""},
		{"eight hours ahead", func(i int) time.Duration { return -8*time.Hour + 200*time.Millisecond }, true, "8h0m0s"},
		{"uploads of an hour", func(i int) time.Duration { return time.Duration(i) * time.Minute }, false, ""},
	} {
		c := ingest.NewCounter(0)
		for i := range 60 {
			r := reading(time.Duration(i) * time.Second)
			r.Arrived = r.At + tt.late(i).Milliseconds()
			c.Add(&r)
		}
		if got := c.Done().Clock; got.Behind == nil || got.Steady != tt.steady || got.Zone != tt.zone {
			t.Errorf("%s: %+v, want steady %v, zone %q", tt.name, got, tt.steady, tt.zone)
		}
	}
}

func BenchmarkClean(b *testing.B) {
	raw, p, i := day(4800, 1), ingest.Default(), info()
	for b.Loop() {
		ingest.Clean(&p, i, raw)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(raw)), "ns/reading")
}

func BenchmarkMeter(b *testing.B) {
	var m ingest.Meter
	r := reading(0)
	for b.Loop() {
		r.At += 1000
		m.Add(&r)
	}
}

package ingest_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/ingest"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// info is a device of 100 kW and 200 kWh that states 3 kW of losses.
func info() *device.Info {
	return &device.Info{ID: "ess-1", RatedKW: 100, CapacityKWh: 200, LossKW: 3}
}

// reading is a good one: 50 kW into 400 V.
func reading(after time.Duration) device.Reading {
	r := device.Empty()
	r.At = start.Add(after).UnixMilli()
	r.SoC, r.Voltage, r.Current, r.Power, r.Temperature, r.Status = 50, 400, 125, 50, 25, device.Charging
	return r
}

func now(r *device.Reading) time.Time { return device.Time(r.At) }

func TestOneReading(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	minus := math.Copysign(0, -1)
	const none = device.Flags(0)
	tests := []struct {
		name    string
		info    func(i *device.Info)
		set     func(r *device.Reading)
		flags   device.Flags
		quality device.Quality
	}{
		{"good", nil, func(r *device.Reading) {}, none, device.Good},
		{"nothing reported", nil, func(r *device.Reading) { at := r.At; *r = device.Empty(); r.At = at }, none, device.Good},
		{"simulated", func(i *device.Info) { i.Simulated = true }, func(r *device.Reading) {}, device.FlagSimulated, device.Good},

		// the status rules the sign
		{"magnitudes while discharging", nil, func(r *device.Reading) { r.Status = device.Discharging }, device.FlagSign, device.Good},
		{"power of the wrong sign", nil, func(r *device.Reading) { r.Power = -50 }, device.FlagSign, device.Good},
		{"current of the wrong sign", nil, func(r *device.Reading) { r.Current = -125 }, device.FlagSign, device.Good},
		{"discharging as it should be", nil, func(r *device.Reading) { r.Power, r.Current, r.Status = -50, -125, device.Discharging }, none, device.Good},
		{"idle rules nothing", nil, func(r *device.Reading) { r.Power, r.Current, r.Status = -0.1, -0.2, device.Idle }, none, device.Good},
		{"no status rules nothing", nil, func(r *device.Reading) { r.Power, r.Current, r.Status = -50, -125, device.OtherStatus }, none, device.Good},
		{"charging with zero", nil, func(r *device.Reading) { r.Power, r.Current = minus, minus }, none, device.Good},
		{"charging with no power reported", nil, func(r *device.Reading) { r.Power = nan }, none, device.Good},

		// what is possible
		{"soc 0", nil, func(r *device.Reading) { r.SoC = 0 }, none, device.Good},
		{"soc 100", nil, func(r *device.Reading) { r.SoC = 100 }, none, device.Good},
		{"soc above", nil, func(r *device.Reading) { r.SoC = 100.01 }, device.FlagRange, device.Bad},
		{"soc below", nil, func(r *device.Reading) { r.SoC = -0.01 }, device.FlagRange, device.Bad},
		{"soc infinite", nil, func(r *device.Reading) { r.SoC = inf }, device.FlagRange, device.Bad},
		{"soh 120", nil, func(r *device.Reading) { r.SoH = 120 }, none, device.Good},
		{"soh above", nil, func(r *device.Reading) { r.SoH = 121 }, device.FlagRange, device.Bad},
		{"voltage below 0", nil, func(r *device.Reading) { r.Voltage, r.Current, r.Power = -1, 0, 0 }, device.FlagRange, device.Bad},
		{"voltage beyond", nil, func(r *device.Reading) { r.Voltage, r.Current, r.Power = 3001, 0, 0 }, device.FlagRange, device.Bad},
		{"temperature beyond", nil, func(r *device.Reading) { r.Temperature = 150.1 }, device.FlagRange, device.Bad},
		{"temperature below", nil, func(r *device.Reading) { r.Temperature = -60.1 }, device.FlagRange, device.Bad},
		{"power at 1.2 of the rating", nil, func(r *device.Reading) { r.Power, r.Current = 120, 300 }, none, device.Good},
		{"power above", nil, func(r *device.Reading) { r.Power, r.Current = 120.1, 300.25 }, device.FlagRange, device.Bad},
		{"power below", nil, func(r *device.Reading) { r.Status, r.Power, r.Current = device.Discharging, -120.1, -300.25 }, device.FlagRange, device.Bad},
		{"power without a rating", func(i *device.Info) { i.RatedKW = 0 }, func(r *device.Reading) { r.Power, r.Current = 5000, 12500 }, none, device.Good},
		{"power infinite without a rating", func(i *device.Info) { i.RatedKW = 0 }, func(r *device.Reading) { r.Power = inf }, device.FlagRange, device.Bad},
		{"current infinite", nil, func(r *device.Reading) { r.Current = inf }, device.FlagRange | device.FlagLogic, device.Bad},
		{"beyond what its driver knows to be valid", nil, func(r *device.Reading) { r.Flags = device.FlagRange }, device.FlagRange, device.Bad},
		{"word outside the vocabulary", nil, func(r *device.Reading) { r.Status, r.Word = device.OtherStatus, "boosting" }, device.FlagRange, device.Suspect},
		{"word and value", nil, func(r *device.Reading) { r.Status, r.Word, r.SoC = device.OtherStatus, "boosting", 200 }, device.FlagRange, device.Bad},

		// |P - V*I| > 5 % of max(|P|, rated) + losses: at 100 kW rated and 3 kW of losses 8 kW
		{"logic within", nil, func(r *device.Reading) { r.Power = 58 }, none, device.Good},
		{"logic beyond", nil, func(r *device.Reading) { r.Power = 58.001 }, device.FlagLogic, device.Suspect},
		{"logic beyond, below", nil, func(r *device.Reading) { r.Power = 41.999 }, device.FlagLogic, device.Suspect},
		{"logic above the rating", nil, func(r *device.Reading) { r.Power, r.Current = 110, 110e3/400-8.5e3/400 }, none, device.Good},
		{"logic beyond above the rating", nil, func(r *device.Reading) { r.Power, r.Current = 110, 110e3/400-8.501e3/400 }, device.FlagLogic, device.Suspect},
		{"logic without losses", func(i *device.Info) { i.LossKW = 0 }, func(r *device.Reading) { r.Power = 55.001 }, device.FlagLogic, device.Suspect},
		{"logic without losses, within", func(i *device.Info) { i.LossKW = 0 }, func(r *device.Reading) { r.Power = 55 }, none, device.Good},
		{"logic without a rating", func(i *device.Info) { i.RatedKW, i.LossKW = 0, 0 }, func(r *device.Reading) { r.Power, r.Current = 10, 28.75 }, none, device.Good},
		{"logic without a rating, beyond", func(i *device.Info) { i.RatedKW, i.LossKW = 0, 0 }, func(r *device.Reading) { r.Power, r.Current = 10, 28.76 }, device.FlagLogic, device.Suspect},
		{"logic without a voltage", nil, func(r *device.Reading) { r.Voltage = nan }, none, device.Good},
		{"logic without a current", nil, func(r *device.Reading) { r.Current = nan }, none, device.Good},
		{"logic on the way to standby", nil, func(r *device.Reading) { r.Power, r.Current, r.Status = 0, 0, device.Standby }, none, device.Good},
		{"the users' own example", func(i *device.Info) { i.RatedKW, i.LossKW = 0, 0 }, func(r *device.Reading) {
			r.SoC, r.Voltage, r.Current, r.Power, r.Temperature = 75.5, 382.4, 125.6, 48.1, 25.3
		}, none, device.Good},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, r := info(), reading(0)
			if tt.info != nil {
				tt.info(i)
			}
			tt.set(&r)
			var m ingest.Memory
			if v := m.Judge(i, now(&r), &r); v != ingest.Store {
				t.Fatalf("verdict %v, want Store", v)
			}
			if r.Flags != tt.flags || r.Quality != tt.quality {
				t.Errorf("%v [%v], want %v [%v]", r.Quality, r.Flags, tt.quality, tt.flags)
			}
			if r.Status == device.Charging && (r.Power < 0 || r.Current < 0) || r.Status == device.Discharging && (r.Power > 0 || r.Current > 0) {
				t.Errorf("%v with %v kW, %v A", r.Status, r.Power, r.Current)
			}
		})
	}
}

func TestFuture(t *testing.T) {
	for _, tt := range []struct {
		ahead time.Duration
		want  ingest.Verdict
	}{
		{0, ingest.Store},
		{ingest.MaxAhead, ingest.Store},
		{ingest.MaxAhead + time.Millisecond, ingest.Future},
		{time.Duration(math.MaxInt64), ingest.Future},
		{-20 * 365 * 24 * time.Hour, ingest.Store},
	} {
		var m ingest.Memory
		r := reading(tt.ahead)
		if got := m.Judge(info(), start, &r); got != tt.want {
			t.Errorf("measured %v ahead: %v, want %v", tt.ahead, got, tt.want)
		}
		if _, seen := m.Last(); seen != (tt.want == ingest.Store) {
			t.Errorf("measured %v ahead: remembered = %v", tt.ahead, seen)
		}
	}
}

// step is one arrival of a sequence.
type step struct {
	at      time.Duration
	set     func(r *device.Reading)
	verdict ingest.Verdict
	flags   device.Flags
}

func soc(v float64) func(*device.Reading)   { return func(r *device.Reading) { r.SoC = v } }
func power(v float64) func(*device.Reading) { return func(r *device.Reading) { r.Power = v } }

func TestSequences(t *testing.T) {
	const s = time.Second
	minus, otherNaN := math.Copysign(0, -1), math.Float64frombits(0xfff8000000000042)
	idle := func(p float64) func(*device.Reading) {
		return func(r *device.Reading) { r.Power, r.Current, r.Status = p, p, device.Idle }
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"the same again", []step{{0, nil, ingest.Store, 0}, {0, nil, ingest.Duplicate, 0}, {0, nil, ingest.Duplicate, 0}}},
		{"zero is zero", []step{{0, idle(0), ingest.Store, 0}, {0, idle(minus), ingest.Duplicate, 0}}},
		{"not a number is not a number", []step{{0, soc(math.NaN()), ingest.Store, 0}, {0, soc(otherNaN), ingest.Duplicate, 0}}},
		{"magnitude and sign are one", []step{{0, nil, ingest.Store, 0}, {0, power(-50), ingest.Duplicate, device.FlagSign}}},
		{"limits are not measured values", []step{{0, nil, ingest.Store, 0}, {0, func(r *device.Reading) { r.MaxCharge = 1 }, ingest.Duplicate, 0}}},
		{"revised", []step{{0, nil, ingest.Store, 0}, {0, soc(51), ingest.Store, device.FlagRevised}, {0, soc(51), ingest.Duplicate, 0}, {0, nil, ingest.Duplicate, 0}}},
		{"revised word", []step{
			{0, func(r *device.Reading) { r.Status, r.Word = device.OtherStatus, "a" }, ingest.Store, device.FlagRange},
			{0, func(r *device.Reading) { r.Status, r.Word = device.OtherStatus, "b" }, ingest.Store, device.FlagRange | device.FlagRevised},
		}},
		{"a late one", []step{{0, nil, ingest.Store, 0}, {2 * s, soc(52), ingest.Store, 0}, {1 * s, soc(51), ingest.Store, device.FlagOrder}, {1 * s, soc(51), ingest.Duplicate, 0}}},
		{"a late one again, other", []step{{0, nil, ingest.Store, 0}, {2 * s, soc(52), ingest.Store, 0}, {1 * s, soc(51), ingest.Store, device.FlagOrder}, {1 * s, soc(50.5), ingest.Store, device.FlagRevised}}},
		{"a repetition of an older one", []step{{0, nil, ingest.Store, 0}, {1 * s, soc(51), ingest.Store, 0}, {0, nil, ingest.Duplicate, 0}}},
		{"a gap", append(every(s, 6), step{9 * s, soc(60), ingest.Store, device.FlagGap}, step{10 * s, soc(61), ingest.Store, 0})},
		{"three periods are none", append(every(s, 6), step{8 * s, soc(60), ingest.Store, 0})},
		{"no gap before the period is known", append(every(s, 3), step{60 * s, soc(60), ingest.Store, 0})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m ingest.Memory
			for i, s := range tt.steps {
				r := reading(s.at)
				if s.set != nil {
					s.set(&r)
				}
				if v := m.Judge(info(), start.Add(time.Hour), &r); v != s.verdict || r.Flags != s.flags {
					t.Errorf("step %d: verdict %v [%v], want %v [%v]", i, v, r.Flags, s.verdict, s.flags)
				}
			}
		})
	}
}

// every is n readings at a steady period, which begins with 0.
func every(period time.Duration, n int) (out []step) {
	for i := range n {
		out = append(out, step{time.Duration(i) * period, soc(50 + float64(i)/10), ingest.Store, 0})
	}
	return out
}

// A device that reports more slowly from now on is not missing readings for ever.
func TestNewPeriodIsLearnt(t *testing.T) {
	var m ingest.Memory
	judge := func(at time.Duration, v float64) device.Flags {
		r := reading(at)
		r.SoC = v
		m.Judge(info(), start.Add(24*time.Hour), &r)
		return r.Flags
	}
	for i := range 30 {
		judge(time.Duration(i)*time.Second, float64(i))
	}
	gaps := 0
	for i := range 30 {
		if judge(time.Minute+time.Duration(i)*10*time.Second, float64(i)+0.5)&device.FlagGap != 0 {
			gaps++
		}
	}
	if gaps == 0 || gaps > 15 {
		t.Errorf("from 1 s to 10 s: %d of 30 readings flagged gap, want the first dozen", gaps)
	}
	// One outage, however long, does not blind the check.
	judge(3*time.Hour, 1)
	judge(3*time.Hour+10*time.Second, 2)
	if judge(3*time.Hour+70*time.Second, 3)&device.FlagGap == 0 {
		t.Error("after an outage of hours a gap of a minute is not seen")
	}
}

func TestFrozen(t *testing.T) {
	tests := []struct {
		name  string
		info  func(i *device.Info)
		set   func(r *device.Reading)
		after time.Duration // flagged from then on; 0: never
	}{
		// 50 kW into 200 kWh are 0.2 % in 28.8 s
		{"under load", nil, func(*device.Reading) {}, 29 * time.Second},
		{"at half the power", nil, func(r *device.Reading) { r.Power, r.Current = 25, 62.5 }, 58 * time.Second},
		{"at rest", nil, func(r *device.Reading) { r.Power, r.Current, r.Status = 0, 0, device.Idle }, 0},
		{"without power", nil, func(r *device.Reading) { r.Power = math.NaN() }, 0},
		{"capacity not known", func(i *device.Info) { i.CapacityKWh = 0 }, func(*device.Reading) {}, 2 * time.Minute},
		{"capacity not known, no power reported", func(i *device.Info) { i.CapacityKWh = 0 }, func(r *device.Reading) { r.Power = math.NaN() }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := info()
			if tt.info != nil {
				tt.info(i)
			}
			var m ingest.Memory
			for at := time.Duration(0); at <= 150*time.Second; at += time.Second {
				r := reading(at)
				tt.set(&r)
				m.Judge(i, now(&r), &r)
				want := tt.after != 0 && at >= tt.after
				if frozen := r.Flags&device.FlagFrozen != 0; frozen != want || frozen != (r.Quality == device.Suspect) {
					t.Fatalf("after %v: flags [%v], quality %v, want frozen %v", at, r.Flags, r.Quality, want)
				}
			}
			r := reading(151 * time.Second)
			tt.set(&r)
			r.SoC += 0.5
			if m.Judge(i, now(&r), &r); r.Flags != 0 {
				t.Errorf("it moves again: [%v], want none", r.Flags)
			}
		})
	}
}

// TestMemory proves how far back repetitions are known.
func TestMemory(t *testing.T) {
	var m ingest.Memory
	for i := range 16 {
		r := reading(time.Duration(i) * time.Second)
		r.SoC = float64(i)
		m.Judge(info(), now(&r), &r)
	}
	for i := range 16 {
		r := reading(time.Duration(i) * time.Second)
		r.SoC = float64(i)
		if v := m.Judge(info(), start.Add(time.Minute), &r); v != ingest.Duplicate {
			t.Errorf("reading %d of the last 16 again: %v, want Duplicate", i, v)
		}
	}
}

var wild = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1e300, -1e300, 5e-324, 100, -50}

func anyReading() *rapid.Generator[device.Reading] {
	value := rapid.OneOf(rapid.SampledFrom(wild), rapid.Float64Range(-200, 1000))
	return rapid.Custom(func(t *rapid.T) device.Reading {
		r := device.Reading{
			At:  start.UnixMilli() + rapid.Int64Range(-3, 12).Draw(t, "at")*1000,
			SoC: value.Draw(t, "soc"), SoH: value.Draw(t, "soh"), Voltage: value.Draw(t, "voltage"), Current: value.Draw(t, "current"),
			Power: value.Draw(t, "power"), Temperature: value.Draw(t, "temperature"), MaxCharge: value.Draw(t, "max charge"), MaxDischarge: value.Draw(t, "max discharge"),
			Status: device.Status(rapid.IntRange(0, 7).Draw(t, "status")),
		}
		if r.Status == device.OtherStatus {
			r.Word = rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "word")
		}
		if rapid.IntRange(0, 9).Draw(t, "far") == 0 {
			r.At = rapid.Int64().Draw(t, "at")
		}
		return r
	})
}

func bits(v float64) uint64 { return math.Float64bits(v) }

// Values are stored as received but for the signs of power and current; and what
// is remembered is recognised, whatever it was.
func TestValuesAreKeptAndRepeatsAreKnown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m ingest.Memory
		i := info()
		i.RatedKW = rapid.SampledFrom([]float64{0, 100, math.NaN()}).Draw(t, "rated")
		i.CapacityKWh = rapid.SampledFrom([]float64{0, 200}).Draw(t, "capacity")
		var sent []device.Reading
		for range rapid.IntRange(1, 15).Draw(t, "n") { // within the memory
			r := anyReading().Draw(t, "reading")
			raw := r
			v := m.Judge(i, start, &r)
			for k, p := range [][2]float64{{raw.SoC, r.SoC}, {raw.SoH, r.SoH}, {raw.Voltage, r.Voltage}, {raw.Temperature, r.Temperature}, {raw.MaxCharge, r.MaxCharge}, {raw.MaxDischarge, r.MaxDischarge}} {
				if bits(p[0]) != bits(p[1]) {
					t.Fatalf("value %d was changed from %v to %v", k, p[0], p[1])
				}
			}
			if bits(math.Abs(raw.Power)) != bits(math.Abs(r.Power)) || bits(math.Abs(raw.Current)) != bits(math.Abs(r.Current)) {
				t.Fatalf("power %v became %v, current %v became %v", raw.Power, r.Power, raw.Current, r.Current)
			}
			if r.At != raw.At || r.Status != raw.Status || r.Word != raw.Word || r.Slot != raw.Slot {
				t.Fatalf("%+v became %+v", raw, r)
			}
			if v == ingest.Store {
				sent = append(sent, raw)
				bad := !(r.SoC >= 0 && r.SoC <= 100) && !math.IsNaN(r.SoC) || math.IsInf(r.Power, 0)
				if bad && r.Quality != device.Bad {
					t.Fatalf("%+v is %v", r, r.Quality)
				}
			}
		}
		memory := m
		for _, again := range sent {
			if v := m.Judge(i, start, &again); v != ingest.Duplicate {
				t.Fatalf("%+v again: %v, want Duplicate", again, v)
			}
		}
		if before, after := snapshot(&memory), snapshot(&m); before != after {
			t.Fatalf("repetitions changed the memory")
		}
	})
}

func snapshot(m *ingest.Memory) [2]uint64 {
	r, _ := m.Last()
	return [2]uint64{uint64(r.At), bits(r.SoC)}
}

func BenchmarkJudge(b *testing.B) {
	var m ingest.Memory
	i, r := info(), reading(0)
	for b.Loop() {
		r.At += 1000
		r.SoC += 1e-9
		r.Flags = 0
		m.Judge(i, now(&r), &r)
	}
}

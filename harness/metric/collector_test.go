package metric_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"yunchu/harness/metric"
	"yunchu/platform/settle"
)

var nan = math.NaN()

// follow runs a fleet of rated 1,000 kW at 1 s steps.
func follow(seconds int, target, power func(t float64) float64) *metric.Collector {
	c := metric.New(metric.Config{RatedKW: 1000, Devices: 10, DurationS: float64(seconds)})
	for i := range seconds + 1 {
		s := metric.Sample{T: float64(i), DT: 1, TargetKW: target(float64(i)), AskedKW: target(float64(i)), PowerKW: power(float64(i)), ImportKW: nan, StoredKWh: nan, PricePerKWh: nan}
		if i == 0 {
			s.DT = 0
		}
		c.Step(s)
	}
	return c
}

func constant(v float64) func(float64) float64 { return func(float64) float64 { return v } }

func want(t *testing.T, c *metric.Collector, name, stat string, want, tolerance float64) {
	t.Helper()
	v, _, _, _, err := c.Value(name, stat)
	if err != nil || math.Abs(v-want) > tolerance {
		t.Errorf("%s %s = %v, %v, want %v", name, stat, v, err, want)
	}
}

func TestTracking(t *testing.T) {
	c := follow(100, constant(-500), func(s float64) float64 {
		if s <= 50 {
			return -480
		}
		return -520
	})
	want(t, c, "tracking.rms_error_ratio", "", 0.02, 1e-12)
	// Too much in the second half does not make up for too little in the first.
	want(t, c, "tracking.delivered_ratio", "", (480+500)/1000.0, 1e-12)
	want(t, c, "fleet.energy_out_kwh", "", 500*100/3600.0, 1e-9)
	want(t, c, "fleet.energy_in_kwh", "", 0, 0)

	wrong := follow(10, constant(-500), constant(500))
	want(t, wrong, "tracking.delivered_ratio", "", 0, 0)
	want(t, wrong, "tracking.rms_error_ratio", "", 1, 1e-12)
}

func TestNothingMeasuredIsNeverAValue(t *testing.T) {
	c := metric.New(metric.Config{RatedKW: 1000, Devices: 10})
	for _, name := range []string{
		"tracking.rms_error_ratio", "tracking.delivered_ratio", "fleet.power_kw", "fleet.soc", "fleet.temperature_c",
		"fleet.cell_voltage_v", "fleet.soh_percent", "fleet.resistance_percent", "fleet.aux_kwh", "fleet.burnt_cells",
		"fleet.energy_in_kwh", "fleet.energy_out_kwh", "fleet.efficiency_percent", "site.import_kw", "limit.excess_kw", "command.latency_ms",
		"control.jitter_ms", "control.direction_changes_per_h", "guard.violations", "sync.delay_ms", "availability_percent",
		"recovery.time_s", "data.lost", "regulation.pjm_score", "regulation.k", "speed",
		"api.sync.latency_ms", "api.sync.rate_per_s", "api.sync.error_ratio", "api.sync.users",
	} {
		for _, stat := range []string{"", "count"} {
			v, _, _, _, err := c.Value(name, stat)
			if !errors.Is(err, metric.ErrNoData) || !math.IsNaN(v) {
				t.Errorf("%s %q of nothing = %v, %v, want NaN and ErrNoData", name, stat, v, err)
			}
		}
	}
	for name, stat := range map[string]string{"fleet.speed": "", "api.x": "", "fleet.soc": "p42", "tracking.rms_error_ratio": "p99", "api.a.b": ""} {
		if _, _, _, _, err := c.Value(name, stat); !errors.Is(err, metric.ErrUnknown) {
			t.Errorf("%s %q: %v, want ErrUnknown", name, stat, err)
		}
	}
}

func TestEfficiency(t *testing.T) {
	run := func(first bool) *metric.Collector {
		c := metric.New(metric.Config{RatedKW: 100, Devices: 1})
		stored := 50.0
		if first {
			c.Step(metric.Sample{TargetKW: nan, ImportKW: nan, StoredKWh: stored, UnitKW: []float64{0}})
		}
		for i := range 2 * 3600 {
			kw := 100.0
			if i >= 3600 {
				kw = -70
			}
			// 5 % are lost each way.
			stored += map[bool]float64{true: kw * 0.95, false: kw / 0.95}[kw > 0] / 3600
			c.Step(metric.Sample{T: float64(i + 1), DT: 1, TargetKW: nan, PowerKW: kw, ImportKW: nan, StoredKWh: stored, UnitKW: []float64{kw}})
		}
		return c
	}
	delta := 95 - 70/0.95
	want(t, run(true), "fleet.efficiency_percent", "", 100*70/(100-delta), 1e-6)
	want(t, run(true), "control.direction_changes_per_h", "", 0.5, 1e-12)
	if _, _, _, _, err := run(false).Value("fleet.efficiency_percent", ""); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("efficiency without the state at the start: %v, want ErrNoData", err)
	}
}

func TestUnitsAreSummedBySign(t *testing.T) {
	c := metric.New(metric.Config{RatedKW: 200, Devices: 2})
	for i := range 3600 {
		// One charges while the other discharges; 0.5 kW around zero is no direction.
		kw := []float64{100, -100}
		if i%2 == 1 {
			kw = []float64{-0.5, 0.5}
		}
		c.Step(metric.Sample{T: float64(i + 1), DT: 1, TargetKW: nan, PowerKW: 0, ImportKW: nan, StoredKWh: nan, UnitKW: kw})
	}
	want(t, c, "fleet.energy_in_kwh", "", 50.25, 1e-9)
	want(t, c, "fleet.energy_out_kwh", "", 50.25, 1e-9)
	want(t, c, "control.direction_changes_per_h", "", 0, 0)
	// Power of the fleet is the sum: 0 here, however hard its units work.
	want(t, c, "fleet.power_kw", "min", 0, 0)
	want(t, c, "fleet.power_kw", "max", 0, 0)
	want(t, c, "fleet.power_kw", "count", 3600, 0)
}

// TestDirectionBySize: a small device beside a large one turns by its own rating.
func TestDirectionBySize(t *testing.T) {
	c := metric.New(metric.Config{RatedKW: 1010, Devices: 2, Units: []metric.Device{{RatedKW: 1000}, {RatedKW: 10}}})
	for i := range 3600 {
		kw := []float64{5, 5} // of the large one within the band, of the small one half its rating
		if i%2 == 1 {
			kw = []float64{-5, -5}
		}
		c.Step(metric.Sample{T: float64(i + 1), DT: 1, TargetKW: nan, ImportKW: nan, StoredKWh: nan, UnitKW: kw})
	}
	want(t, c, "control.direction_changes_per_h", "", 3599.0/2, 1e-9)
}

func TestRecovery(t *testing.T) {
	// The fleet delivers nothing from 20 s to back, and 0 again from gone.
	run := func(back, gone float64, seconds int) *metric.Collector {
		c := metric.New(metric.Config{RatedKW: 1000, Devices: 1})
		for i := range seconds + 1 {
			p := -400.0
			if s := float64(i); s >= 20 && s < back || s >= gone {
				p = 0
			}
			if i == 30 {
				c.FaultEnded(30, "link-down ess-001")
			}
			c.Step(metric.Sample{T: float64(i), DT: 1, TargetKW: -400, PowerKW: p, ImportKW: nan, StoredKWh: nan})
		}
		return c
	}
	t.Run("counted to the begin of the hold", func(t *testing.T) {
		want(t, run(42, 999, 100), "recovery.time_s", "", 12, 0)
		want(t, run(30, 999, 100), "recovery.time_s", "max", 0, 0)
	})
	t.Run("a short stay is no recovery", func(t *testing.T) {
		for _, gone := range []float64{45, 46} {
			if _, _, _, _, err := run(42, gone, 100).Value("recovery.time_s", ""); !errors.Is(err, metric.ErrUnrecovered) {
				t.Errorf("gone after %g s: %v, want ErrUnrecovered", gone-42, err)
			}
		}
	})
	t.Run("never", func(t *testing.T) {
		v, _, n, _, err := run(999, 999, 100).Value("recovery.time_s", "")
		if !errors.Is(err, metric.ErrUnrecovered) || !math.IsNaN(v) || n != 1 || !strings.Contains(err.Error(), "link-down ess-001") {
			t.Errorf("= %v, n %d, %v, want NaN of 1 and ErrUnrecovered naming the fault", v, n, err)
		}
	})
	t.Run("too close to the end to tell", func(t *testing.T) {
		if _, _, _, _, err := run(30, 999, 33).Value("recovery.time_s", ""); !errors.Is(err, metric.ErrNoData) {
			t.Errorf("%v, want ErrNoData", err)
		}
	})
}

func TestKIndex(t *testing.T) {
	// The worked example of the rule: four times the standard rate counts three
	// times, 2 s of delay, 0.5 % of error.
	if k := settle.Hunan.K(settle.Adjustment{Rate: 400, Delay: 2, Error: 0.5}); math.Abs(k-1.715) > 1e-9 {
		t.Errorf("K = %g, want 1.715", k)
	}
	// Nothing negative from what did not move at all.
	if k := settle.Hunan.K(settle.Adjustment{Rate: -1, Delay: 90, Error: 50}); k != 0 {
		t.Errorf("K of no answer = %g, want 0", k)
	}
}

func TestKIndexMeasured(t *testing.T) {
	target := func(s float64) float64 {
		if s <= 60 {
			return 0
		}
		return 600
	}
	// Dead for 2 s, then 10 % of rated a second, then 0.5 % too high.
	power := func(s float64) float64 { return min(max(s-62, 0)*100, 605) }
	c := follow(180, target, power)
	// Last seen unmoved at 62 s, outside at 63 s, there (595..605 kW would be within 1 %) at 68 s.
	wantK := settle.Hunan.K(settle.Adjustment{Rate: 60.0 / 6 * 60, Delay: 3, Error: (0 + 112*0.5) / 113.0})
	want(t, c, "regulation.k", "", wantK, 1e-3)

	void := follow(180, func(s float64) float64 { return 600 * math.Mod(math.Floor(s/30), 2) }, constant(0))
	if v, _, n, _, err := void.Value("regulation.k", ""); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("commands shorter than 40 s: %v of %d, %v, want ErrNoData", v, n, err)
	}
	never := follow(180, target, constant(0))
	want(t, never, "regulation.k", "", 0, 0)
}

func TestRegulationScoreOfARun(t *testing.T) {
	target := func(s float64) float64 { return 800 * math.Sin(s/60) }
	want(t, follow(3600, target, target), "regulation.pjm_score", "", 1, 1e-9)
	want(t, follow(3600, target, func(s float64) float64 { return 0.8 * target(s) }), "regulation.pjm_score", "", (1+1+0.8)/3, 0.02)
	if v, _, _, _, err := follow(300, target, target).Value("regulation.pjm_score", ""); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("five minutes: %v, %v, want ErrNoData", v, err)
	}
	// A target that is only there in the middle is scored there; a hole is not papered over.
	hole := func(s float64) float64 {
		if s > 1800 && s < 1900 {
			return nan
		}
		return target(s)
	}
	if v, _, _, _, err := follow(3600, hole, target).Value("regulation.pjm_score", ""); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("target with a hole: %v, %v, want ErrNoData", v, err)
	}
	ends := func(s float64) float64 {
		if s < 600 || s > 3000 {
			return nan
		}
		return target(s)
	}
	want(t, follow(3600, ends, target), "regulation.pjm_score", "", 1, 1e-9)
}

// TestLateIsNotPerfect: a market's meter sees what is asked and what is delivered at one instant. Who
// follows every setpoint a second late has that in the precision.
func TestLateIsNotPerfect(t *testing.T) {
	asked := func(s float64) float64 { return 1000 * math.Sin(math.Floor(s/10)) } // moves when it is sampled
	c := metric.New(metric.Config{RatedKW: 1000, Devices: 10})
	for i := range 3601 {
		before := asked(float64(i) - 1)
		c.Step(metric.Sample{T: float64(i), DT: min(float64(i), 1), TargetKW: before, AskedKW: asked(float64(i)), PowerKW: before, ImportKW: nan, StoredKWh: nan})
	}
	want(t, c, "tracking.rms_error_ratio", "", 0, 0)
	v, _, _, _, err := c.Value("regulation.pjm_score", "")
	if err != nil || v > 0.9 {
		t.Errorf("scored %.3f, %v", v, err)
	}
}

func TestAvailability(t *testing.T) {
	c := metric.New(metric.Config{RatedKW: 1, Devices: 100})
	for range 600 {
		c.Available(99, 100)
	}
	want(t, c, "availability_percent", "", 99, 1e-12)
	_, unit, n, ci, _ := c.Value("availability_percent", "")
	if unit != "percent" || n != 60_000 || !(ci[0] > 98.9 && ci[0] < 99 && ci[1] > 99 && ci[1] < 99.1) {
		t.Errorf("unit %q n %d interval %v", unit, n, ci)
	}
	// With load it is requests that count, and only those answered within 1 s.
	l := c.Load("sync")
	for range 997 {
		l.Request(metric.Answer{MS: 5})
	}
	l.Request(metric.Answer{MS: 5, Code: "500"})
	l.Request(metric.Answer{MS: 1500})
	l.Request(metric.Answer{MS: 30_000, Code: "timeout"})
	l.Ran(10, 64)
	want(t, c, "availability_percent", "", 99.7, 1e-9)
	want(t, c, "api.sync.error_ratio", "", 0.002, 1e-12)
	want(t, c, "api.sync.rate_per_s", "", 99.8, 1e-9)
	want(t, c, "api.sync.users", "", 64, 0)
	want(t, c, "api.sync.latency_ms", "max", 30_000, 0)
	want(t, c, "api.sync.latency_ms", "", 5, 0.01)
	if note := c.Note("availability_percent"); !strings.Contains(note, "3 of 1,000 trials failed: below 99.9 %") {
		t.Errorf("note %q", note)
	}
	if _, _, _, _, err := c.Value("api.other.latency_ms", ""); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("load that did not run: %v, want ErrNoData", err)
	}
}

func TestClaimSaysHowManyTrials(t *testing.T) {
	for _, tt := range []struct {
		ok, n int64
		want  string
	}{
		{2994, 2994, "2,994 trials without a failure: does not prove 99.9 % at 95 % confidence (needs 2,995)"},
		{2995, 2995, "2,995 trials without a failure: proves 99.9 % at 95 % confidence (needs 2,995)"},
		{4999, 5000, "5,000 trials with 1 failed: proves 99.9 % at 95 % confidence (needs 4,742)"},
		{50_000_000, 86_400_000, "36,400,000 of 86,400,000 trials failed: below 99.9 %"},
	} {
		if got := metric.Claim(tt.ok, tt.n); got != tt.want {
			t.Errorf("%d of %d: got %q, want %q", tt.ok, tt.n, got, tt.want)
		}
	}
}

func TestBackfillCountsApart(t *testing.T) {
	c := metric.New(metric.Config{RatedKW: 1})
	c.SyncDelay(20, false)
	c.SyncDelay(600_000, true)
	want(t, c, "sync.delay_ms", "max", 20, 0)
	if n := c.Dist("sync.delay_ms.backfill").N(); n != 1 {
		t.Errorf("back-filled readings: %d, want 1", n)
	}
}

func TestCounters(t *testing.T) {
	c := metric.New(metric.Config{RatedKW: 1})
	c.Guard(500, 0)
	c.Data(1000, 2)
	c.Speed(3600, 2)
	want(t, c, "guard.violations", "", 0, 0)
	want(t, c, "data.lost", "count", 2, 0)
	want(t, c, "speed", "", 1800, 0)
}

// Who knows what flowed within a step says so: at its end there may be nothing.
func TestEnergyWithinAStep(t *testing.T) {
	c := metric.New(metric.Config{RatedKW: 100, Devices: 1})
	for i := range 60 {
		c.Step(metric.Sample{T: 60 * float64(i+1), DT: 60, TargetKW: nan, PowerKW: -20, ImportKW: nan, StoredKWh: nan, InKW: 30, OutKW: 50, UnitKW: []float64{0}})
	}
	want(t, c, "fleet.energy_in_kwh", "", 30, 1e-9)
	want(t, c, "fleet.energy_out_kwh", "", 50, 1e-9)
}

// Every device in every step is counted, so a step must not allocate.
func TestRecordingDoesNotAllocate(t *testing.T) {
	c := metric.New(metric.Config{RatedKW: 1000, Devices: 100, DurationS: 3600})
	soc, temp, kw := make([]float64, 100), make([]float64, 100), make([]float64, 100)
	i := 0.0
	n := testing.AllocsPerRun(1000, func() {
		for k := range soc {
			soc[k], temp[k], kw[k] = 50+i/100, 25+float64(k)/10, 10*math.Sin(i/10)
		}
		c.Step(metric.Sample{T: i, DT: 1, TargetKW: 100, PowerKW: 90, ImportKW: 20, StoredKWh: 5, SoC: soc, TempC: temp, UnitKW: kw})
		c.CommandLatency(3)
		c.SyncDelay(7, false)
		c.ControlJitter(-0.2)
		c.Available(100, 100)
		i++
	})
	if n != 0 {
		t.Errorf("%g allocations a step", n)
	}
}

func BenchmarkStep(b *testing.B) {
	const devices = 1000
	c := metric.New(metric.Config{RatedKW: 1000, Devices: devices, DurationS: 86400})
	soc, temp, kw := make([]float64, devices), make([]float64, devices), make([]float64, devices)
	for k := range soc {
		soc[k], temp[k], kw[k] = 50+float64(k%20), 25+float64(k%50)/10, float64(k%100)
	}
	b.ReportAllocs()
	i := 0.0
	for b.Loop() {
		i++
		c.Step(metric.Sample{T: i, DT: 1, TargetKW: 100, PowerKW: 90, ImportKW: nan, StoredKWh: 5, SoC: soc, TempC: temp, UnitKW: kw})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/devices, "ns/device")
}

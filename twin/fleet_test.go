package twin_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin"
	"yunchu/twin/params"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const model100 = "ess-100kw-215kwh"

func loadModel(t testing.TB, name string) *params.Model {
	t.Helper()
	m, err := params.LoadModel(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newFleet(t testing.TB, model string, n int, opt twin.Options) *twin.Fleet {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("ess-%03d", i+1)
	}
	if opt.SoCMean == 0 {
		opt.SoCMean = 50
	}
	opt.Start = start
	f, err := twin.NewFleet(loadModel(t, model), ids, opt)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func at(d time.Duration) time.Time { return start.Add(d) }

func TestSetpointShownExactlyWithinASecond(t *testing.T) {
	for _, name := range params.Models() {
		t.Run(name, func(t *testing.T) {
			for _, dt := range []time.Duration{10 * time.Millisecond, 500 * time.Millisecond, time.Second} {
				f := newFleet(t, name, 1, twin.Options{})
				rated := f.Model().RatedKW * 1e3
				now := time.Duration(0)
				for _, w := range []float64{50e3, rated, -rated, rated, -50e3, 0} { // full reversals among them
					f.SetPower(0, at(now), w, at(now+time.Hour))
					for end := now + time.Second; now < end; {
						now += dt
						f.Step(at(now))
					}
					if s := f.State(0); s.ACPowerW != w || s.Limit != twin.LimitNone {
						t.Errorf("step %v: %v W (%v) a second after %v W was asked for", dt, s.ACPowerW, s.Limit, w)
					}
				}
			}
		})
	}
}

func TestMeanPowerIsTheOneAskedFor(t *testing.T) {
	f := newFleet(t, model100, 1, twin.Options{})
	f.SetPower(0, start, -70e3, time.Time{})
	f.Step(at(time.Second))
	for n := 2; n < 600; n++ {
		before := f.Energy(0)
		f.Step(at(time.Duration(n) * time.Second))
		after := f.Energy(0)
		s := f.State(0)
		if s.MeanACPowerW != -70e3 {
			t.Fatalf("mean AC power %v W", s.MeanACPowerW)
		}
		dc := after.DCOutJ - before.DCOutJ
		loss := after.PCSLossJ - before.PCSLossJ
		if math.Abs(dc-loss-70e3) > 70e3*1e-9 {
			t.Fatalf("in one second %v J from the battery, %v J lost, want 70 kJ apart", dc, loss)
		}
		if math.Abs(s.DCPowerW+dc) > 1e-5*dc {
			t.Fatalf("DC power %v W after a second that moved %v J", s.DCPowerW, dc)
		}
	}
}

func TestDeadManRampsToZero(t *testing.T) {
	f := newFleet(t, model100, 1, twin.Options{})
	f.SetPower(0, start, 50e3, at(10*time.Second))
	f.Step(at(10 * time.Second))
	if p := f.State(0).ACPowerW; p != 50e3 {
		t.Errorf("%v W when the setpoint ends, want 50 kW", p)
	}
	f.Step(at(11 * time.Second))
	if p := f.State(0).ACPowerW; p != 0 {
		t.Errorf("%v W a second after the setpoint ended, want 0", p)
	}
}

// Whatever is asked for, in whatever steps and weather: no limit is passed and the
// books close.
func TestLimitsAndBalanceHold(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	models := map[string]*params.Model{}
	for _, name := range params.Models() {
		models[name] = loadModel(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		m := models[rapid.SampledFrom(params.Models()).Draw(t, "model")]
		f, err := twin.NewFleet(m, []string{"a", "b"}, twin.Options{
			Seed: rapid.Uint64().Draw(t, "seed"), Start: start,
			SoCMean: rapid.SampledFrom([]float64{5, 6, 20, 50, 90, 94.5, 95}).Draw(t, "soc"), SoCSpread: 1,
			CapacitySpread: 3, ResistanceSpread: 10,
			AmbientK: rapid.Float64Range(243, 330).Draw(t, "ambient"),
		})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Duration(0)
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "new setpoint") {
				f.SetPower(0, at(now), m.RatedKW*1e3*rapid.Float64Range(-1.3, 1.3).Draw(t, "power"), time.Time{})
				f.SetPower(1, at(now), m.RatedKW*1e3*rapid.SampledFrom([]float64{-1, 0, 1e-6, 1}).Draw(t, "power b"), at(now+10*time.Second))
			}
			now += time.Duration(rapid.SampledFrom([]float64{0.01, 0.5, 1, 1, 7.3, 30, 100, 900}).Draw(t, "dt") * 1e9)
			f.Step(at(now))
			for i := range f.Len() {
				s, e := f.State(i), f.Energy(i)
				if l := m.Limits.SoC; s.SoC*100 < l.Min-1e-7 || s.SoC*100 > l.Max+1e-7 {
					t.Fatalf("soc %.12g outside %v: %+v", s.SoC, l, s)
				}
				if l := m.Limits.CellV; s.CellV < l.Min-1e-9 || s.CellV > l.Max+1e-9 {
					t.Fatalf("cell at %.12g V outside %v: %+v", s.CellV, l, s)
				}
				if math.Abs(s.ACPowerW) > m.RatedKW*1e3 {
					t.Fatalf("%v W of %v kW rated", s.ACPowerW, m.RatedKW)
				}
				if moved := e.ACInJ + e.ACOutJ + e.DCInJ + e.DCOutJ; e.ResidualJ > 1e-9*moved {
					t.Fatalf("residual %v J of %v J: %+v", e.ResidualJ, moved, e)
				}
				if d := e.ACInJ - e.ACOutJ - e.PCSLossJ - e.StandbyJ - e.StoredJ - e.HeatJ; math.Abs(d) > 1e-9*(e.ACInJ+e.ACOutJ+e.DCInJ+e.DCOutJ) {
					t.Fatalf("book of %v J is off by %v J: %+v", e.ACInJ+e.ACOutJ, d, e)
				}
				if p := s.PackV * s.PackI; math.Abs(p-s.DCPowerW) > 1e-9*(1+math.Abs(p)) {
					t.Fatalf("%v V * %v A is not %v W", s.PackV, s.PackI, s.DCPowerW)
				}
			}
		}
	})
}

// StoredJ against the open-circuit voltage table itself: the work of the charge
// moved, with the temperature all but constant.
func TestStoredEnergyMatchesTable(t *testing.T) {
	f := newFleet(t, model100, 1, twin.Options{SoCMean: 20})
	f.SetPower(0, start, 10e3, time.Time{})
	f.Step(at(5 * time.Hour))
	var work float64 // J per A*s and cell
	ocv := f.Model().Cell.OCV
	z0, z1 := 0.2, f.State(0).SoC
	const n = 100000
	for k := range n {
		z := z0 + (z1-z0)*(float64(k)+0.5)/n
		j := int(z * 200)
		w := (z - ocv.SoC[j]) / (ocv.SoC[j+1] - ocv.SoC[j])
		work += (ocv.V[j]*(1-w) + ocv.V[j+1]*w) * (z1 - z0) / n
	}
	want := work * 3600 * 280 * 240
	if got := f.Energy(0).StoredJ; math.Abs(got/want-1) > 1e-5 {
		t.Errorf("stored %.8g J from %.2f to %.4f, the table says %.8g J", got, z0, z1, want)
	}
}

func TestBindingLimits(t *testing.T) {
	for _, tt := range []struct {
		name    string
		opt     twin.Options
		tempC   float64 // forced, 0: as it is
		power   float64
		after   time.Duration
		want    twin.Limit
		between [2]float64 // W at AC at the end
	}{
		{"full", twin.Options{SoCMean: 94.9}, 0, 100e3, 5 * time.Minute, twin.LimitSoCHigh, [2]float64{0, 100}},
		{"empty", twin.Options{SoCMean: 5.1}, 0, -100e3, 5 * time.Minute, twin.LimitSoCLow, [2]float64{0, 100}},
		{"too hot", twin.Options{}, 56, 100e3, 10 * time.Second, twin.LimitTempHigh, [2]float64{0, 0}},
		{"warm", twin.Options{}, 50, 100e3, 2 * time.Second, twin.LimitTempHigh, [2]float64{49e3, 51e3}},
		{"cold", twin.Options{}, 5, 100e3, 2 * time.Second, twin.LimitTempLow, [2]float64{49e3, 51e3}},
		{"cold is no limit to discharge", twin.Options{}, 5, -100e3, 2 * time.Second, twin.LimitNone, [2]float64{-100e3, -100e3}},
		{"more than rated", twin.Options{}, 0, -150e3, 2 * time.Second, twin.LimitPower, [2]float64{-100e3, -100e3}},
		{"none", twin.Options{}, 0, 100e3, 2 * time.Second, twin.LimitNone, [2]float64{100e3, 100e3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet(t, model100, 1, tt.opt)
			if tt.tempC != 0 {
				f.Overheat(0, tt.tempC+273.15)
			}
			f.SetPower(0, start, tt.power, time.Time{})
			for now := time.Second; now <= tt.after; now += time.Second {
				f.Step(at(now))
			}
			s := f.State(0)
			if s.Limit != tt.want || s.ACPowerW < tt.between[0] || s.ACPowerW > tt.between[1] {
				t.Errorf("limit %q at %.1f W, want %q at %v W", s.Limit, s.ACPowerW, tt.want, tt.between)
			}
			if avail := math.Max(s.AvailableChargeW, s.AvailableDischargeW); avail > 100e3 {
				t.Errorf("available %v W of 100 kW", avail)
			}
		})
	}
}

// In the cold a cell is at its voltage limit long before it is full: the current
// tapers and the voltage stands at the limit.
func TestVoltageLimitTapers(t *testing.T) {
	m := *loadModel(t, model100)
	m.Limits.CellV = params.Range{Min: 3.1, Max: 3.4}
	f, err := twin.NewFleet(&m, []string{"a"}, twin.Options{SoCMean: 80, AmbientK: 283.15, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	f.SetPower(0, start, 100e3, time.Time{})
	var tapered, last float64
	for n := 1; n < 3600; n++ {
		f.Step(at(time.Duration(n) * time.Second))
		s := f.State(0)
		if s.CellV > 3.4+1e-9 {
			t.Fatalf("%v V at %d s", s.CellV, n)
		}
		if s.Limit == twin.LimitVHigh {
			if s.CellV < 3.4-1e-6 {
				t.Fatalf("bound by the voltage at %v V, %d s", s.CellV, n)
			}
			if last != 0 && s.ACPowerW > last*1.02 {
				t.Fatalf("power rises from %v to %v W while the voltage binds", last, s.ACPowerW)
			}
			last = s.ACPowerW
			tapered++
		}
	}
	if tapered < 60 || last > 80e3 {
		t.Errorf("the voltage limit bound for %v s and ended at %v W", tapered, last)
	}
	f.SetPower(0, f.Now(), -100e3, time.Time{})
	for n := 3600; n < 14400; n++ {
		f.Step(at(time.Duration(n) * time.Second))
		if s := f.State(0); s.CellV < 3.1-1e-9 {
			t.Fatalf("%v V at %d s", s.CellV, n)
		}
	}
	if s := f.State(0); s.Limit != twin.LimitVLow {
		t.Errorf("limit %q at %v V after two hours of discharge", s.Limit, s.CellV)
	}
}

func TestAvailablePowerCanBeDelivered(t *testing.T) {
	for _, soc := range []float64{5, 5.01, 50, 94.995, 95} {
		for _, sign := range []float64{1, -1} {
			f := newFleet(t, model100, 1, twin.Options{SoCMean: soc})
			f.Step(at(time.Second))
			s := f.State(0)
			p := s.AvailableChargeW
			if sign < 0 {
				p = -s.AvailableDischargeW
			}
			if p == 0 {
				continue
			}
			f.SetPower(0, f.Now(), p, time.Time{})
			f.Step(at(2 * time.Second))
			if got := f.State(0); got.ACPowerW != p && got.Limit != twin.LimitSoCHigh && got.Limit != twin.LimitSoCLow {
				t.Errorf("at %v %%: %v W were available, %v W (%v) delivered", soc, p, got.ACPowerW, got.Limit)
			}
		}
	}
	if s := newFleet(t, model100, 1, twin.Options{SoCMean: 50}).State(0); s.AvailableChargeW != 100e3 || s.AvailableDischargeW != 100e3 {
		t.Errorf("at rest half full %v and %v W are available, want rated power", s.AvailableChargeW, s.AvailableDischargeW)
	}
	if s := newFleet(t, model100, 1, twin.Options{SoCMean: 95}).State(0); s.AvailableChargeW != 0 || s.AvailableDischargeW != 100e3 {
		t.Errorf("full: %v and %v W are available", s.AvailableChargeW, s.AvailableDischargeW)
	}
}

func TestModes(t *testing.T) {
	f := newFleet(t, model100, 1, twin.Options{})
	f.SetPower(0, start, 80e3, time.Time{})
	f.Step(at(2 * time.Second))
	f.SetMode(0, twin.Standby)
	if f.SetPower(0, f.Now(), 10e3, time.Time{}) {
		t.Error("a unit in standby took a setpoint")
	}
	f.Step(at(3 * time.Second))
	before := f.Energy(0)
	f.Step(at(13 * time.Second))
	s, e := f.State(0), f.Energy(0)
	if s.ACPowerW != 0 || s.MeanACPowerW != 0 || s.Mode != twin.Standby || s.AvailableChargeW != 0 {
		t.Errorf("standby: %+v", s)
	}
	if loss := e.StandbyJ - before.StandbyJ; math.Abs(loss-600) > 1e-6 || e.PCSLossJ != before.PCSLossJ {
		t.Errorf("10 s of standby cost %v J, want 600 J", loss)
	}
	f.SetMode(0, twin.Run)
	f.Step(at(20 * time.Second))
	if s := f.State(0); s.ACPowerW != 0 {
		t.Errorf("%v W after standby without a new setpoint", s.ACPowerW)
	}
}

func TestFaults(t *testing.T) {
	t.Run("contactor", func(t *testing.T) {
		f := newFleet(t, model100, 1, twin.Options{})
		f.SetPower(0, start, 80e3, time.Time{})
		f.Step(at(2 * time.Second))
		f.OpenContactor(0, true)
		soc := f.State(0).SoC
		f.Step(at(60 * time.Second))
		if s := f.State(0); s.ACPowerW != 0 || s.PackI != 0 || s.SoC != soc || s.Mode != twin.Fault || f.SetPower(0, f.Now(), 1, time.Time{}) {
			t.Errorf("open: %+v", s)
		}
		f.OpenContactor(0, false)
		if !f.SetPower(0, f.Now(), 30e3, time.Time{}) {
			t.Error("a closed contactor refuses a setpoint")
		}
		f.Step(at(61 * time.Second))
		if s := f.State(0); s.ACPowerW != 30e3 || s.Mode != twin.Run {
			t.Errorf("closed again: %+v", s)
		}
	})
	t.Run("overheat", func(t *testing.T) {
		f := newFleet(t, model100, 1, twin.Options{})
		f.Overheat(0, 334.15)
		f.Step(at(time.Minute))
		if s := f.State(0); math.Abs(s.TempK-334.15) > 0.01 || s.AvailableChargeW != 0 || s.AvailableDischargeW != 0 {
			t.Errorf("overheated: %+v", s)
		}
		f.Overheat(0, 0)
		f.Step(at(5 * time.Hour))
		if s := f.State(0); s.TempK > 299.5 {
			t.Errorf("%v K five hours after", s.TempK)
		}
	})
	t.Run("fan", func(t *testing.T) {
		f := newFleet(t, model100, 2, twin.Options{})
		f.FailFan(1, true)
		for n := 1; n <= 240; n++ { // half an hour each way
			if n%30 == 1 {
				p := 100e3
				if n/30%2 == 1 {
					p = -p
				}
				f.SetPower(0, f.Now(), p, time.Time{})
				f.SetPower(1, f.Now(), p, time.Time{})
			}
			f.Step(at(time.Duration(n) * time.Minute))
		}
		if good, bad := f.State(0).TempK, f.State(1).TempK; bad < good+2 || good < 299 {
			t.Errorf("%v K with fans, %v K without", good, bad)
		}
	})
	t.Run("short", func(t *testing.T) {
		f := newFleet(t, model100, 2, twin.Options{})
		f.ShortCell(0, 0.5)
		before := f.State(0)
		f.Step(at(time.Hour))
		s, other, e := f.State(0), f.State(1), f.Energy(0)
		amps := 3.3 / 0.5
		if lost := (before.SoC - s.SoC) * 280; math.Abs(lost-amps) > 0.05*amps {
			t.Errorf("%v Ah lost in an hour through 0.5 ohm, want about %v Ah", lost, amps)
		}
		if s.TempK < other.TempK+1 {
			t.Errorf("%v K with a short, %v K without", s.TempK, other.TempK)
		}
		if e.BalanceError() > 1e-9 || e.HeatJ < 0.95*3.3*amps*3600*240 {
			t.Errorf("book of a short: %+v", e)
		}
	})
}

// A run restored from a checkpoint goes on bit by bit.
func TestCheckpointIsExact(t *testing.T) {
	drive := func(f *twin.Fleet, from, to int) {
		for n := from; n < to; n++ {
			now := time.Duration(n) * 700 * time.Millisecond
			for i := range f.Len() {
				if (n+i)%5 == 0 {
					f.SetPower(i, at(now+20*time.Millisecond), 1e5*math.Sin(float64(n*(i+1))), at(now+3*time.Second))
				}
			}
			if n == 150 {
				f.SetAmbient(303)
				f.ShortCell(1, 20)
				f.FailFan(2, true)
				f.Overheat(3, 321)
				f.OpenContactor(4, true)
				f.SetMode(5, twin.Standby)
			}
			f.Step(at(now + 700*time.Millisecond))
		}
	}
	options := twin.Options{Seed: 7, SoCMean: 60, SoCSpread: 20, CapacitySpread: 1, ResistanceSpread: 3}
	whole := newFleet(t, model100, 8, options)
	drive(whole, 0, 400)
	for _, tt := range []struct {
		name string
		copy func(c twin.Checkpoint) (out twin.Checkpoint, err error)
	}{
		{"json", func(c twin.Checkpoint) (out twin.Checkpoint, err error) {
			b, err := json.Marshal(c)
			if err != nil {
				return out, err
			}
			return out, json.Unmarshal(b, &out)
		}},
		{"gob", func(c twin.Checkpoint) (out twin.Checkpoint, err error) {
			var b bytes.Buffer
			if err := gob.NewEncoder(&b).Encode(c); err != nil {
				return out, err
			}
			return out, gob.NewDecoder(&b).Decode(&out)
		}},
	} {
		for _, cut := range []int{1, 149, 151, 301} {
			t.Run(fmt.Sprintf("%s at %d", tt.name, cut), func(t *testing.T) {
				first := newFleet(t, model100, 8, options)
				drive(first, 0, cut)
				c, err := tt.copy(first.Checkpoint())
				if err != nil {
					t.Fatal(err)
				}
				second := newFleet(t, model100, 8, twin.Options{Seed: 99})
				if err := second.Restore(c); err != nil {
					t.Fatal(err)
				}
				drive(second, cut, 400)
				for i := range whole.Len() {
					if a, b := whole.State(i), second.State(i); a != b {
						t.Fatalf("unit %d: %+v\nafter restore: %+v", i, a, b)
					}
					if a, b := whole.Energy(i), second.Energy(i); a != b {
						t.Fatalf("book %d: %+v\nafter restore: %+v", i, a, b)
					}
				}
			})
		}
	}
	if err := newFleet(t, model100, 3, options).Restore(whole.Checkpoint()); err == nil {
		t.Error("a checkpoint of eight units went into a fleet of three")
	}
}

func TestSpread(t *testing.T) {
	opt := twin.Options{Seed: 1, SoCMean: 50, SoCSpread: 10, CapacitySpread: 1, ResistanceSpread: 3}
	f := newFleet(t, model100, 2000, opt)
	var soc, soc2, q, q2, r, r2 float64
	for i, u := range f.Checkpoint().Units {
		if s := f.State(i).SoC; s < 0.05 || s > 0.95 {
			t.Fatalf("unit %d starts at %v", i, s)
		}
		soc, soc2 = soc+u.Cell.SoC, soc2+u.Cell.SoC*u.Cell.SoC
		q, q2 = q+u.Scatter.Capacity, q2+u.Scatter.Capacity*u.Scatter.Capacity
		r, r2 = r+u.Scatter.Resistance, r2+u.Scatter.Resistance*u.Scatter.Resistance
	}
	for _, c := range []struct {
		name              string
		sum, sum2, mu, sd float64
	}{{"soc", soc, soc2, 0.5, 0.1}, {"capacity", q, q2, 1, 0.01}, {"resistance", r, r2, 1, 0.03}} {
		mean := c.sum / 2000
		sd := math.Sqrt(c.sum2/2000 - mean*mean)
		if math.Abs(mean-c.mu) > 4*c.sd/math.Sqrt(2000) || math.Abs(sd/c.sd-1) > 0.08 {
			t.Errorf("%s: mean %v, deviation %v, want %v and %v", c.name, mean, sd, c.mu, c.sd)
		}
	}
	// Another unit, another order, another spread of one quantity: the draws stay.
	opt.Start = start
	g, err := twin.NewFleet(loadModel(t, model100), []string{"new", "ess-002", "ess-001"}, opt)
	if err != nil {
		t.Fatal(err)
	}
	if f.State(0) != g.State(2) || f.State(1) != g.State(1) {
		t.Error("a unit changed because another one was added")
	}
	opt.Seed = 2
	if h := newFleet(t, model100, 1, opt); h.State(0) == f.State(0) {
		t.Error("another seed gave the same unit")
	}
}

func TestNewFleetNamesEveryFault(t *testing.T) {
	m := loadModel(t, model100)
	if _, err := twin.NewFleet(m, []string{"a", "a"}, twin.Options{SoCMean: 50}); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("two units of one name: %v", err)
	}
	_, err := twin.NewFleet(m, []string{"a"}, twin.Options{SoCMean: 99, SoCSpread: -1, ResistanceSpread: 30, AmbientK: 25})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"99 %", "spread of state of charge", "spread of resistance", "25 K"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	f := newFleet(t, model100, 10, twin.Options{SoCMean: 94.9, SoCSpread: 0.1})
	now := start
	f.SetPower(0, now, 1e5, time.Time{})
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(10 * time.Second)
		f.Step(now)
		_ = f.State(0)
	}); n != 0 {
		t.Errorf("%v allocations per step, want 0", n)
	}
}

// The same calls give the same bits, and a step into the past does nothing.
func TestStepIsRepeatable(t *testing.T) {
	run := func() []twin.State {
		f := newFleet(t, model100, 5, twin.Options{Seed: 3, SoCSpread: 20})
		for n := range 500 {
			f.SetPower(n%5, f.Now(), 1e5*math.Cos(float64(n)), time.Time{})
			f.Step(at(time.Duration(n) * time.Second))
			f.Step(at(time.Duration(n-1) * time.Second))
		}
		var s []twin.State
		for i := range f.Len() {
			s = append(s, f.State(i))
		}
		return s
	}
	if a, b := run(), run(); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a, b)
	}
}

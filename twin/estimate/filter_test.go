package estimate_test

import (
	"math"
	"math/rand"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yunchu/twin/cell"
	"yunchu/twin/estimate"
	"yunchu/twin/params"
)

func reference(t testing.TB) *params.Cell {
	t.Helper()
	p, err := params.LoadCell("lfp280_ref")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// source is a cell whose readings a filter is to track.
type source struct {
	cell cell.Cell
	tick cell.Tick
	flow cell.Flow
	last float64
}

func newSource(t testing.TB, p *params.Cell, s cell.State, x cell.Scatter, dt float64) *source {
	t.Helper()
	r := p.Resistance
	m, err := cell.New(cell.Params{
		CapacityAh: p.CapacityAh, CoulombicEfficiency: p.CoulombicEfficiency, TRefK: p.TRefK, RGas: p.RGas,
		OCV:        cell.Table{SoC: p.OCV.SoC, Value: p.OCV.V},
		HalfGap:    cell.Table{SoC: p.Hysteresis.SoC, Value: p.Hysteresis.M},
		Gamma:      p.Hysteresis.Gamma,
		Entropy:    cell.Table{SoC: p.Entropic.SoC, Value: p.Entropic.DUDT},
		Resistance: cell.Table{SoC: r.SoC, Value: r.RTot},
		Fraction:   [3]float64{r.Frac.R0, r.Frac.R1, r.Frac.R2},
		Activation: [3]float64{r.EaPerMol.R0, r.EaPerMol.R1, r.EaPerMol.R2},
		Tau:        [2]float64{r.Tau.Tau1, r.Tau.Tau2},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &source{cell: m.Cell(s, x), tick: m.Tick(dt)}
}

// step moves the cell on to the current i and returns its voltage then.
func (s *source) step(i float64) float64 {
	k := s.cell.TempK()
	s.cell.StepCurrent((s.last+i)/2, k, &s.tick, &s.flow)
	s.cell.SetTemp(k)
	s.last = i
	return s.cell.Voltage(i)
}

// cycle is a day of work within the given states of charge: blocks of constant
// current with rests and a ripple on top, at rate times the current of one hour.
func cycle(z, low, high, rate, ah float64, t int, charging *bool) float64 {
	if z > high {
		*charging = false
	} else if z < low {
		*charging = true
	}
	i := rate * ah
	if !*charging {
		i = -i
	}
	if t%1200 < 200 {
		i = 0
	}
	return i * (1 + 0.3*math.Sin(float64(t)/7))
}

// What the filter expects is what the cell's own equations say: with the readings
// all but ignored it runs along a cell that starts like it.
func TestPredictsLikeTheCell(t *testing.T) {
	p := reference(t)
	s := newSource(t, p, cell.State{SoC: 0.62, Hyst: 0.3, TempK: 288.15}, cell.Nominal, 2)
	f, err := estimate.New(p, estimate.Options{
		SoC: 0.62, Hyst: 0.3, SoCSigma: 1e-9, SensorSigmaV: 1e6, OffsetSigmaA: 1e-9, FixedResistance: true, FixedCapacity: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Step(0, 0, s.cell.Voltage(0), 288.15)
	charging := false
	for k := range 2000 {
		i := cycle(s.cell.SoC(), 0.2, 0.8, 1, 280, k, &charging)
		v := s.step(i)
		r := f.Step(2, i, v, 288.15)
		// The mean over what spread there is differs from the voltage at its middle by the curvature.
		if math.Abs(r.InnovationV) > 2e-4 || math.Abs(r.SoC-s.cell.SoC()) > 1e-7 {
			t.Fatalf("step %d: expects %.9g V at %.9g, the cell has %.9g V at %.9g", k, r.VoltageV, r.SoC, v, s.cell.SoC())
		}
	}
}

// From a start 20 % off, with noise, 1 % of current offset and 0.5 % of gain, the
// state of charge is found, with an honest sigma, and so is the offset.
func TestTracksState(t *testing.T) {
	for _, start := range []float64{-0.2, 0.2} {
		p := reference(t)
		s := newSource(t, p, cell.State{SoC: 0.7, Hyst: 1, TempK: 298.15}, cell.Nominal, 1)
		f, err := estimate.New(p, estimate.Options{SoC: 0.7 + start})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewSource(7))
		charging := false
		var r estimate.Result
		var worst, nis float64
		const total, scored = 24 * 3600, 6 * 3600
		for k := range total {
			i := cycle(s.cell.SoC(), 0.08, 0.95, 0.4, 280, k, &charging)
			v := s.step(i)
			r = f.Step(1, 1.005*i+2.8+rng.NormFloat64(), v+0.001*rng.NormFloat64(), 298.15)
			if k > scored {
				worst = max(worst, math.Abs(r.SoC-s.cell.SoC()))
				nis += r.NIS / (total - scored)
				if e := math.Abs(r.SoC - s.cell.SoC()); e > 4*r.SoCSigma {
					t.Fatalf("at %d s: %.4f, want %.4f, and sigma is %.4f", k, r.SoC, s.cell.SoC(), r.SoCSigma)
				}
			}
		}
		if worst > 0.02 {
			t.Errorf("start %+g: up to %.4f off after six hours, want 0.02", start, worst)
		}
		if math.Abs(r.CurrentOffsetA-2.8) > 0.5 {
			t.Errorf("start %+g: current offset %.2f A +- %.2f, want 2.8", start, r.CurrentOffsetA, r.CurrentOffsetSigmaA)
		}
		if nis > 1.2 {
			t.Errorf("start %+g: mean NIS %.2f, want about 1 or less", start, nis)
		}
	}
}

// An injected rise of all resistances by 20 % is recovered as 15 to 25 %, whatever
// the temperature and without being told the state of charge.
func TestFindsResistance(t *testing.T) {
	for _, factor := range []float64{0.8, 1, 1.2, 1.5} {
		p := reference(t)
		s := newSource(t, p, cell.State{SoC: 0.6, TempK: 283.15}, cell.Scatter{Capacity: 1, Resistance: factor}, 1)
		f, err := estimate.New(p, estimate.Options{SoC: 0.7})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewSource(3))
		charging := false
		var r estimate.Result
		for k := range 2 * 3600 {
			i := cycle(s.cell.SoC(), 0.2, 0.9, 0.5, 280, k, &charging)
			v := s.step(i)
			r = f.Step(1, i+0.3*rng.NormFloat64(), v+0.001*rng.NormFloat64(), 283.15)
		}
		if math.Abs(r.ResistanceFactor-factor) > 0.05 {
			t.Errorf("resistance factor %.3f +- %.3f, want %g", r.ResistanceFactor, r.ResistanceFactorSigma, factor)
		}
	}
}

// A cell at rest, or at a current that does not change, teaches nothing about its
// resistance, and nothing is forgotten meanwhile.
func TestResistanceNeedsExcitation(t *testing.T) {
	p := reference(t)
	s := newSource(t, p, cell.State{SoC: 0.5, TempK: 298.15}, cell.Scatter{Capacity: 1, Resistance: 1.5}, 1)
	f, err := estimate.New(p, estimate.Options{SoC: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	first := f.Step(0, 0, s.cell.Voltage(0), 298.15)
	var r estimate.Result
	for range 3 * 3600 {
		r = f.Step(1, 0, s.step(0), 298.15)
	}
	if r.ResistanceFactor != first.ResistanceFactor || r.ResistanceFactorSigma != first.ResistanceFactorSigma {
		t.Errorf("after three hours at rest %.4f +- %.4f, before %.4f +- %.4f", r.ResistanceFactor, r.ResistanceFactorSigma, first.ResistanceFactor, first.ResistanceFactorSigma)
	}
}

// A capacity of 80 or 90 % shows in a few swings through the steep ends of the curve.
func TestFindsCapacity(t *testing.T) {
	for seed := range int64(3) {
		for _, factor := range []float64{0.8, 0.9, 1} {
			p := reference(t)
			s := newSource(t, p, cell.State{SoC: 0.5, TempK: 298.15}, cell.Scatter{Capacity: factor, Resistance: 1}, 2)
			f, err := estimate.New(p, estimate.Options{SoC: 0.5})
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewSource(seed))
			charging := false
			var r estimate.Result
			for k := range 48 * 1800 {
				i := cycle(s.cell.SoC(), 0.05, 0.985, 0.4, 280, 2*k, &charging)
				v := s.step(i)
				r = f.Step(2, i+rng.NormFloat64(), v+0.001*rng.NormFloat64(), 298.15)
			}
			if math.Abs(r.CapacityFactor-factor) > 0.02 || math.Abs(r.CapacityFactor-factor) > 3*r.CapacityFactorSigma {
				t.Errorf("noise %d: capacity factor %.3f +- %.3f, want %g", seed, r.CapacityFactor, r.CapacityFactorSigma, factor)
			}
		}
	}
}

// A full cell at rest is known to be full at once, whatever the filter is told.
func TestFullAtRest(t *testing.T) {
	p := reference(t)
	s := newSource(t, p, cell.State{SoC: 1, Hyst: 1, TempK: 298.15}, cell.Nominal, 1)
	for told := 0.0; told <= 1; told += 0.1 {
		f, err := estimate.New(p, estimate.Options{SoC: told})
		if err != nil {
			t.Fatal(err)
		}
		r := f.Step(0, 0, s.cell.Voltage(0), 298.15)
		for range 600 {
			r = f.Step(1, 0, s.step(0), 298.15)
		}
		if math.Abs(r.SoC-1) > 0.05 || math.Abs(r.SoC-1) > 3*r.SoCSigma {
			t.Errorf("told %.1f: after ten minutes %.3f +- %.3f, want 1", told, r.SoC, r.SoCSigma)
		}
	}
}

// A cell that has been at work when the filter is switched on holds an unknown voltage
// in its RC pairs and an unknown hysteresis. Whatever the filter is told and whichever
// way its current sensor is wrong, it stays within its own sigma.
func TestStartsAtWork(t *testing.T) {
	p := reference(t)
	for _, at := range []float64{0.85, 0.7, 0.5, 0.35} {
		for _, told := range []float64{-0.2, 0, 0.2} {
			for _, sign := range []float64{-1, 1} {
				s := newSource(t, p, cell.State{SoC: at, TempK: 298.15}, cell.Nominal, 1)
				f, err := estimate.New(p, estimate.Options{SoC: min(at+told, 1)})
				if err != nil {
					t.Fatal(err)
				}
				rng := rand.New(rand.NewSource(11))
				charging := sign > 0
				const before, after, total = 3000, 3600, 24 * 3600
				var worst float64
				for k := range before + total {
					i := cycle(s.cell.SoC(), 0.1, 0.95, 0.25, 280, k, &charging)
					v := s.step(i)
					if k < before {
						continue
					}
					r := f.Step(1, i*(1+0.005*sign)+2.8*sign+rng.NormFloat64(), v+0.001*rng.NormFloat64(), 298.15)
					e := math.Abs(r.SoC - s.cell.SoC())
					if k > before+after && e > 3*r.SoCSigma {
						t.Fatalf("at %g told %+g sign %+g: after %d s %.3f +- %.3f, want %.3f", at, told, sign, k-before, r.SoC, r.SoCSigma, s.cell.SoC())
					}
					if k > before+total/2 {
						worst = max(worst, e)
					}
				}
				if worst > 0.03 {
					t.Errorf("at %g told %+g sign %+g: up to %.3f off after twelve hours, want 0.03", at, told, sign, worst)
				}
			}
		}
	}
}

// A rest tells what the slow RC pair holds: nothing where the voltage stands still,
// and hardly anything certain where it moves.
func TestRestTellsSlowPair(t *testing.T) {
	p := reference(t)
	tau := p.Resistance.Tau
	wait := int(3*tau.Tau1) + 600
	for _, v2 := range []float64{0, -0.03} {
		s := newSource(t, p, cell.State{SoC: 0.5, V2: v2, TempK: 298.15}, cell.Nominal, 1)
		f, err := estimate.New(p, estimate.Options{SoC: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		f.Step(0, 0, s.cell.Voltage(0), 298.15)
		first := math.Sqrt(f.Covariance().At(2, 2))
		for range wait {
			f.Step(1, 0, s.step(0), 298.15)
		}
		got, sigma := f.State().X[2], math.Sqrt(f.Covariance().At(2, 2))
		if want := s.cell.State().V2; math.Abs(got-want) > 2*sigma {
			t.Errorf("from %g V: %.4f +- %.4f V, want %.4f", v2, got, sigma, want)
		}
		if v2 == 0 && sigma > first/3 {
			t.Errorf("the voltage stands still: sigma %.4f V, at first %.4f", sigma, first)
		}
	}
}

// A filter that was given a wrong state of charge with false confidence finds back.
func TestReleasesFalseCertainty(t *testing.T) {
	p := reference(t)
	s := newSource(t, p, cell.State{SoC: 0.05, TempK: 298.15}, cell.Nominal, 1)
	f, err := estimate.New(p, estimate.Options{SoC: 0.6, SoCSigma: 0.2})
	if err != nil {
		t.Fatal(err)
	}
	state := f.State()
	state.D[0] = 1e-10
	f.SetState(state)
	var r estimate.Result
	for range 2 * 3600 {
		r = f.Step(1, 0, s.step(0), 298.15)
	}
	if math.Abs(r.SoC-0.05) > 0.03 {
		t.Errorf("after two hours at rest %.3f, want 0.05", r.SoC)
	}
}

// A filter put into the state of another one goes on bit for bit like it.
func TestStateCarriesOn(t *testing.T) {
	p := reference(t)
	s := newSource(t, p, cell.State{SoC: 0.4, TempK: 298.15}, cell.Nominal, 1)
	a, _ := estimate.New(p, estimate.Options{SoC: 0.5})
	b, _ := estimate.New(p, estimate.Options{SoC: 0.9})
	charging := false
	for k := range 8000 { // taken over in the middle of a rest
		i := cycle(s.cell.SoC(), 0.1, 0.95, 0.8, 280, k, &charging)
		v := s.step(i)
		ra := a.Step(1, i, v, 298.15)
		if k >= 3700 {
			if rb := b.Step(1, i, v, 298.15); ra != rb {
				t.Fatalf("step %d: %+v, want %+v", k, rb, ra)
			}
		}
		if k == 3699 {
			b.SetState(a.State())
		}
	}
	if a.State() != b.State() {
		t.Error("states differ at the end")
	}
}

// Whatever the readings, what comes out is finite and the covariance is one.
func TestAnyReadings(t *testing.T) {
	p := reference(t)
	rapid.Check(t, func(t *rapid.T) {
		f, err := estimate.New(p, estimate.Options{SoC: rapid.Float64Range(0, 1).Draw(t, "soc")})
		if err != nil {
			t.Fatal(err)
		}
		odd := rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 1e4, -1e4})
		pick := func(low, high float64, name string) float64 {
			if rapid.IntRange(0, 9).Draw(t, "odd "+name) == 0 {
				return odd.Draw(t, name)
			}
			return rapid.Float64Range(low, high).Draw(t, name)
		}
		var r estimate.Result
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			dt := rapid.SampledFrom([]float64{0, 0.1, 1, 10, 900, 5000}).Draw(t, "dt")
			r = f.Step(dt, pick(-300, 300, "A"), pick(2, 4, "V"), rapid.Float64Range(250, 330).Draw(t, "K"))
		}
		for _, x := range []float64{r.SoC, r.SoCSigma, r.CurrentOffsetA, r.ResistanceFactor, r.CapacityFactor, r.NIS} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("%+v", r)
			}
		}
		if r.SoC < 0 || r.SoC > 1 || !(r.SoCSigma > 0) {
			t.Fatalf("state of charge %g +- %g", r.SoC, r.SoCSigma)
		}
		for _, d := range f.State().D {
			if !(d >= 0) || math.IsInf(d, 0) {
				t.Fatalf("covariance with the factors %v", f.State().D)
			}
		}
		if v := f.Covariance().At(0, 0); math.Abs(math.Sqrt(v)-r.SoCSigma) > 1e-9*r.SoCSigma {
			t.Fatalf("variance %g, sigma %g", v, r.SoCSigma)
		}
	})
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := estimate.New(reference(t), estimate.Options{SoC: 80, Hyst: -2, SensorSigmaV: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"soc 80", "hysteresis -2", "SensorSigmaV"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	f, err := estimate.New(reference(t), estimate.Options{SoC: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	f.Step(1, 0, 3.3, 298.15)
	k := 0.0
	if n := testing.AllocsPerRun(100, func() {
		k++
		f.Step(1, 50*math.Sin(k), 3.3+0.02*math.Sin(k), 298.15+k/100)
	}); n != 0 {
		t.Errorf("%g allocations per step, want 0", n)
	}
}

// BenchmarkStep is one reading, at a temperature that changes.
func BenchmarkStep(b *testing.B) {
	f, err := estimate.New(reference(b), estimate.Options{SoC: 0.5})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	k := 0.0
	for b.Loop() {
		k++
		f.Step(1, 100, 3.3, 298.15+0.001*k)
		if k == 1000 {
			k = 0
		}
	}
}

package twin_test

import (
	"bytes"
	"encoding/gob"
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"

	"yunchu/twin"
	"yunchu/twin/params"
)

const modelCells = "ess-1500kw-3mwh"

// A unit of single cells delivers what it is asked for, its books close and its
// cells stay together.
func TestCellsFollowTheSetpoint(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	f := newFleet(t, modelCells, 2, twin.Options{SoCMean: 50})
	rated := f.Model().RatedKW * 1e3
	now := time.Duration(0)
	for _, w := range []float64{rated, -rated, 0.3 * rated, 0} {
		f.SetPower(0, at(now), w, time.Time{})
		for range 120 {
			now += 5 * time.Second
			f.Step(at(now))
		}
		s, e := f.State(0), f.Energy(0)
		if s.ACPowerW != w || math.Abs(s.MeanACPowerW-w) > 1e-6*rated {
			t.Errorf("asked for %g W: %g W, mean %g W (%v)", w, s.ACPowerW, s.MeanACPowerW, s.Limit)
		}
		if r := e.BalanceError(); !(r < 1e-12) {
			t.Errorf("energy balance is off by %g", r)
		}
		t.Logf("%+v", s)
	}
}

func BenchmarkPack(b *testing.B) {
	f := newFleet(b, modelCells, 32, twin.Options{SoCMean: 50, SoCSpread: 5})
	rated := f.Model().RatedKW * 1e3
	for i := range f.Len() {
		f.SetPower(i, at(0), -rated/2, time.Time{})
	}
	now := time.Duration(0)
	for b.Loop() {
		now += 5 * time.Second
		f.Step(at(now))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*5*32*8*416), "ns/cell-step")
}

// run drives a fleet through a fixed day of setpoints, faults among them.
func runPack(f *twin.Fleet, from, to int) {
	rated := f.Model().RatedKW * 1e3
	for n := from; n < to; n++ {
		now := time.Duration(n) * 5 * time.Second
		if n%7 == 0 {
			for i := range f.Len() {
				f.SetPower(i, at(now), rated*math.Sin(float64(n*(i+1))), time.Time{})
			}
		}
		if n == 20 {
			f.ShortOne(1, 3, 100, 0.05)
		}
		f.Step(at(now + 5*time.Second))
	}
}

func gobOf(t *testing.T, f *twin.Fleet) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(f.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Any number of workers and a restart from a checkpoint give the same bits.
func TestCellsAreDeterministic(t *testing.T) {
	want := newFleet(t, modelCells, 3, twin.Options{SoCMean: 50, Workers: 1})
	runPack(want, 0, 60)
	bits := gobOf(t, want)
	for _, workers := range []int{2, 5} {
		f := newFleet(t, modelCells, 3, twin.Options{SoCMean: 50, Workers: workers})
		runPack(f, 0, 60)
		if !bytes.Equal(gobOf(t, f), bits) {
			t.Errorf("%d workers: another result", workers)
		}
	}
	half := newFleet(t, modelCells, 3, twin.Options{SoCMean: 50})
	runPack(half, 0, 31)
	var c twin.Checkpoint
	if err := gob.NewDecoder(bytes.NewReader(gobOf(t, half))).Decode(&c); err != nil {
		t.Fatal(err)
	}
	again := newFleet(t, modelCells, 3, twin.Options{SoCMean: 20, Seed: 99})
	if err := again.Restore(c); err != nil {
		t.Fatal(err)
	}
	runPack(again, 31, 60)
	if !bytes.Equal(gobOf(t, again), bits) {
		t.Error("another result after a checkpoint")
	}
}

// Whatever is asked for, no cell leaves its limits and the books close.
func TestCellsKeepTheirLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	for _, q := range []struct {
		soc, share float64
		ambientK   float64
		by         twin.Limit
	}{
		{90, 1, 298, twin.LimitSoCHigh}, {10, -1, 298, twin.LimitSoCLow}, {50, 1, 278, twin.LimitTempLow}, {50, -1, 331, twin.LimitTempHigh},
	} {
		f := newFleet(t, modelCells, 1, twin.Options{SoCMean: q.soc, AmbientK: q.ambientK})
		m := f.Model()
		f.SetPower(0, at(0), q.share*m.RatedKW*1e3, time.Time{})
		bound := false
		for n := range 1500 {
			f.Step(at(time.Duration(n+1) * 2 * time.Second))
			s, e := f.State(0), f.Energy(0)
			if s.CellVMax > m.Limits.CellV.Max || s.CellVMin < m.Limits.CellV.Min {
				t.Fatalf("cells between %g and %g V", s.CellVMin, s.CellVMax)
			}
			if r := e.BalanceError(); !(r < 1e-12) {
				t.Fatalf("energy balance is off by %g", r)
			}
			bound = bound || s.Limit == q.by
		}
		s := f.State(0)
		if !bound {
			t.Errorf("from %g %% at %g K with %g of rated power: limit %v, want %v; %+v", q.soc, q.ambientK, q.share, s.Limit, q.by, s)
		}
		for str := range m.Parallel {
			for n := range m.Series {
				if z := 100 * f.Cell(0, str, n).SoC; z > m.Limits.SoC.Max+equalise || z < m.Limits.SoC.Min-equalise {
					t.Fatalf("cell %d of string %d at %g %%", n, str, z)
				}
			}
		}
		t.Logf("%v: %+v", q.by, s)
	}
}

// equalise is what the currents between the strings, which no limit of the bus can
// stop, may move a cell beyond its window, in percent.
const equalise = 0.01

// A narrow window of the voltage binds before the charge does.
func TestCellsKeepTheirVoltage(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	for _, share := range []float64{1, -1} {
		m := *loadModel(t, modelCells)
		m.Limits.CellV = params.Range{Min: 3.24, Max: 3.36}
		f, err := twin.NewFleet(&m, []string{"a"}, twin.Options{SoCMean: 50, Start: start})
		if err != nil {
			t.Fatal(err)
		}
		f.SetPower(0, at(0), share*m.RatedKW*1e3, time.Time{})
		want := map[float64]twin.Limit{1: twin.LimitVHigh, -1: twin.LimitVLow}[share]
		bound := false
		for n := range 3000 {
			f.Step(at(time.Duration(n+1) * time.Second))
			s := f.State(0)
			bound = bound || s.Limit == want
			if s.CellVMax > m.Limits.CellV.Max || s.CellVMin < m.Limits.CellV.Min {
				t.Fatalf("after %d s cells between %.6f and %.6f V: %+v", n+1, s.CellVMin, s.CellVMax, s)
			}
		}
		if !bound {
			t.Errorf("limit %v never bound", want)
		}
	}
}

// A step allocates nothing, and nothing of its workers is left when it is done.
func TestCellsDoNotAllocate(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	for _, workers := range []int{1, 2, 5} {
		f := newFleet(t, modelCells, 6, twin.Options{SoCMean: 50, Workers: workers})
		f.SetPower(0, at(0), 1e6, time.Time{})
		n := 0
		step := func() { n++; f.Step(at(time.Duration(n) * time.Second)) }
		for range 5 {
			step()
		}
		if a := testing.AllocsPerRun(50, step); a != 0 {
			t.Errorf("%d workers: %g allocations in a step", workers, a)
		}
	}
	goleak.VerifyNone(t)
}

// With the contactors open nothing flows, not even between the strings, and the
// cells cool; closed again the unit goes on.
func TestCellsBehindOpenContactors(t *testing.T) {
	f := newFleet(t, modelCells, 1, twin.Options{SoCMean: 50})
	f.SetPower(0, at(0), 1e6, time.Time{})
	f.Step(at(time.Minute))
	f.OpenContactor(0, true)
	f.Step(at(time.Minute + 3*time.Second)) // the current goes before they open
	before := f.Energy(0)
	f.Step(at(2 * time.Minute))
	s, e := f.State(0), f.Energy(0)
	if s.ACPowerW != 0 || s.PackI != 0 || s.Mode != twin.Fault || s.AvailableChargeW != 0 || e.StoredJ != before.StoredJ {
		t.Errorf("behind open contactors: %+v, stored %g J", s, e.StoredJ-before.StoredJ)
	}
	for n, a := range f.StringA(0) {
		if a != 0 {
			t.Errorf("%g A in string %d", a, n)
		}
	}
	f.OpenContactor(0, false)
	f.SetPower(0, at(2*time.Minute), -1e6, time.Time{})
	f.Step(at(3 * time.Minute))
	if s := f.State(0); s.ACPowerW != -1e6 {
		t.Errorf("closed again: %+v", s)
	}
}

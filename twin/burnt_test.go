package twin_test

import (
	"bytes"
	"encoding/gob"
	"math"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/kernel"
	"yunchu/twin/params"
)

// charge is the mean state of charge over all cells of unit i of f, and their charge
// in A*s.
func charge(f *twin.Fleet, i int) (mean, coulombs float64) {
	m := f.Model()
	strings, cells := f.Strings()
	for s := range strings {
		for n := range cells {
			x := f.Cell(i, s, n)
			mean += x.SoC / float64(strings*cells)
			coulombs += x.SoC * x.Capacity * m.Cell.CapacityAh * 3600
		}
	}
	return mean, coulombs
}

// What the strings took, times the efficiency of charging, is what their cells hold,
// and the unit says so.
func TestChargeIsCounted(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	for _, eta := range []float64{1, 0.99} {
		b := newBench(t, func(m *params.Model) {
			c := *m.Cell
			c.CoulombicEfficiency, m.Cell = eta, &c
			m.Limits.SoC = params.Range{Min: 5, Max: 95}
		})
		cells := float64(b.Model().Series)
		_, before := charge(b.Fleet, 0)
		var moved, turned float64
		rated := b.Model().RatedKW * 1e3
		for n := range 7200 {
			if n%600 == 0 {
				b.ask(rated * 0.6 * math.Cos(float64(n/600)))
			}
			b.pass(1)
			for _, a := range b.StringA(0) {
				if a > 0 {
					a *= eta
				}
				moved += a * cells
				turned += math.Abs(a) * cells
			}
		}
		mean, after := charge(b.Fleet, 0)
		if off := math.Abs(after - before - moved); off > 1e-11*turned {
			t.Errorf("efficiency %g: %g of %g A*s are nowhere", eta, off, turned)
		}
		if s := b.State(0).SoC; math.Abs(s-mean) > 1e-10 {
			t.Errorf("efficiency %g: the unit says %g, its cells hold %g", eta, s, mean)
		}
	}
}

// A cell that bleeds counts what it stores of the current that is left to it.
func TestChargeOfAShortedCell(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	b := newBench(t, func(m *params.Model) {
		c := *m.Cell
		c.CoulombicEfficiency, m.Cell = 0.98, &c
	})
	b.ShortOne(0, 2, 40, 0.1)
	b.ask(0.4 * b.Model().RatedKW * 1e3)
	b.pass(1800)
	mean, _ := charge(b.Fleet, 0)
	if s := b.State(0).SoC; math.Abs(s-mean) > 1e-10 {
		t.Errorf("the unit says %g, its cells hold %g", s, mean)
	}
}

// An internal short heats its cell until the cell's own reactions go on: it does not
// end where they are looked at.
func TestShortLeadsToRunaway(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	b := newBench(t, nil)
	b.FailFan(0, true)
	b.ShortOne(0, 0, 26, 0.004)
	peak, bled := 0.0, 0.0
	for range 5400 {
		b.pass(1)
		c := b.Cell(0, 0, 26)
		peak = max(peak, c.TempK)
		if c.TempK > 345 && c.TempK < 400 && c.SoC > 0.01 {
			bled = max(bled, c.BleedA)
		}
	}
	if peak < 600 {
		t.Errorf("the cell reached %.0f K", peak)
	}
	if bled < 100 {
		t.Errorf("the short carried %g A while the cell was hot", bled)
	}
}

// A cell that has burnt out is a short for good: it holds no charge, its string stays
// tripped whatever it is told, and the unit's limit is that of its temperature.
func TestBurntCellIsDead(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	b := newBench(t, nil)
	if err := b.Runaway(0, 2, 26); err != nil {
		t.Fatal(err)
	}
	rated := b.Model().RatedKW * 1e3
	named := map[twin.Limit]int{}
	for n := range 6 * 3600 {
		if n%600 == 0 {
			b.ask(-rated / 2)
		}
		b.pass(1)
		if s := b.State(0); s.TempK > 373 && s.Strings > 0 {
			named[s.Limit]++
		}
	}
	if len(named) != 1 || named[twin.LimitTempHigh] == 0 {
		t.Errorf("with a cell beyond 100 degC what bound was %v", named)
	}
	b.SetMode(0, twin.Run)
	for n := range 3600 {
		if n%600 == 0 {
			b.ask(rated / 2)
		}
		b.pass(1)
	}
	c, next, s := b.Cell(0, 2, 26), b.Cell(0, 2, 25), b.State(0)
	if c.SoC > 0.01 {
		t.Errorf("the burnt cell holds %g of its charge, its neighbour %g", c.SoC, next.SoC)
	}
	if open := b.strings()[2].Open; !open || s.Strings != b.Model().Parallel-1 {
		t.Errorf("string 3 is open: %v, %d strings connected", open, s.Strings)
	}
	if math.Abs(s.ACPowerW-rated/2) > 1 {
		t.Errorf("the other strings took %g W of %g", s.ACPowerW, rated/2)
	}
	b.ShortOne(0, 2, 26, 0) // what nobody can mend
	if b.pass(1); len(b.Checkpoint().Units[0].Pack.Shorts) != 1 {
		t.Error("the failed separator is gone")
	}
}

// A battery whose cells could burn out and go on working is refused.
func TestSeparatorIsNeeded(t *testing.T) {
	m := *loadModel(t, modelCells)
	r := *m.Runaway
	r.Separator, m.Runaway = params.RunawaySeparator{}, &r
	if _, err := twin.NewFleet(&m, []string{"a"}, twin.Options{}); err == nil {
		t.Error("no error")
	}
}

// From where cells are watched and what heats one is what the set says.
func TestHeaterAndWatchAreParameters(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	peak := func(change func(*params.Runaway)) (k float64, watched int) {
		m := *loadModel(t, modelCells)
		r := *m.Runaway
		change(&r)
		m.Runaway = &r
		f, err := twin.NewFleet(&m, []string{"a"}, twin.Options{SoCMean: 50, Start: start})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Runaway(0, 0, 20); err != nil {
			t.Fatal(err)
		}
		for n := range 1800 {
			f.Step(at(time.Duration(n+1) * time.Second))
			k = max(k, f.Cell(0, 0, 20).TempK)
		}
		f.Overheat(0, 335)
		f.Step(f.Now().Add(time.Second))
		return k, len(f.Checkpoint().Units[0].Pack.Hots)
	}
	if k, n := peak(func(*params.Runaway) {}); k < 700 || n != 1 {
		t.Errorf("as shipped: %.0f K, %d cells watched", k, n)
	}
	if k, _ := peak(func(r *params.Runaway) { r.Heater.UntilC = 100 }); k < 370 || k > 380 {
		t.Errorf("a heater until 100 degC heats to %.0f K", k)
	}
	if k, _ := peak(func(r *params.Runaway) { r.Heater.PowerW = 20 }); k > 315 {
		t.Errorf("a heater of 20 W heats to %.0f K", k)
	}
	if _, n := peak(func(r *params.Runaway) { r.Watch.TempC = 61 }); n != 8*416 {
		t.Errorf("%d cells watched from 61 degC on", n)
	}
	m := *loadModel(t, modelCells)
	r := *m.Runaway
	r.Heater, m.Runaway = params.RunawayHeater{}, &r
	if _, err := twin.NewFleet(&m, []string{"a"}, twin.Options{SoCMean: 50}); err == nil {
		t.Error("a battery whose set has no heater is taken")
	}
}

// One cell on fire does not make the others old.
func TestRunawayDoesNotAgeTheString(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	set, err := params.LoadAging("sony-naumann")
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, modelCells, 1, twin.Options{SoCMean: 60, Aging: &twin.Aging{Set: set, Scale: 1}})
	if err := f.Runaway(0, 2, 26); err != nil {
		t.Fatal(err)
	}
	peak := 0.0
	for n := range 3600 {
		f.Step(at(time.Duration(n+1) * time.Second))
		peak = max(peak, f.Cell(0, 2, 26).TempK)
	}
	if peak < 700 {
		t.Fatalf("the cell reached %.0f K", peak)
	}
	if s := f.State(0); s.Growth > 1.001 || s.SoH < 0.998 {
		t.Errorf("in an hour resistances grew to %g, capacity fell to %g", s.Growth, s.SoH)
	}
}

// What binds is called by its name, with a battery management and without.
func TestLimitsOfStringsAreNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	rated := func(m *params.Model) float64 { return m.RatedKW * 1e3 }
	for _, tt := range []struct {
		name    string
		change  func(*params.Model)
		ambient float64 // degC
		soc     float64 // percent
		share   float64 // of rated power
		want    twin.Limit
	}{
		{"cold, charging", nil, 5, 50, 1, twin.LimitTempLow},
		{"cold, discharging", nil, -15, 50, -1, twin.LimitTempLow},
		{"hot, charging", nil, 52, 50, 1, twin.LimitTempHigh},
		{"rating", nil, 25, 50, 1.5, twin.LimitPower},
		{"current", func(m *params.Model) {
			m.Strings.MaxCurrent = params.CurrentLimit{Charge: 50, Discharge: 50}
		}, 25, 50, 1, twin.LimitCurrent},
		{"converter, cells cold", func(m *params.Model) {
			m.PCS.Capability = &params.Capability{S: 0.2, Charge: 0.2, Discharge: 0.2}
		}, 5, 50, 1, twin.LimitPower},
		{"full", nil, 25, 94.9, 1, twin.LimitSoCHigh},
		{"empty", nil, 25, 5.1, -1, twin.LimitSoCLow},
	} {
		for _, managed := range []bool{true, false} {
			m := *loadModel(t, modelCells)
			s := *m.Strings
			m.Strings, m.Container, m.ContainerName = &s, nil, ""
			s.ColdWPerK = 0
			s.Spread = params.StringsSpread{}
			if !managed {
				m.BMS, s.BMSName = nil, ""
			}
			if tt.change != nil {
				tt.change(&m)
			}
			f, err := twin.NewFleet(&m, []string{"a"}, twin.Options{SoCMean: tt.soc, AmbientK: tt.ambient + 273.15, Start: start})
			if err != nil {
				t.Fatal(err)
			}
			f.SetPower(0, start, tt.share*rated(&m), time.Time{})
			for n := range 60 {
				f.Step(at(time.Duration(n+1) * time.Second))
				if got := f.State(0).Limit; got != tt.want {
					t.Errorf("%s, managed %v, second %d: %v, want %v", tt.name, managed, n+1, got, tt.want)
					break
				}
			}
		}
	}
}

// Cells that have been hot and are cool again cost nothing to watch.
func TestCooledCellsAreLeftAlone(t *testing.T) {
	f := newFleet(t, modelCells, 1, twin.Options{})
	f.Step(at(time.Second))
	f.Overheat(0, 345)
	f.Step(at(2 * time.Second))
	strings, cells := f.Strings()
	if hots := f.Checkpoint().Units[0].Pack.Hots; len(hots) != strings*cells || hots[0].OwnW == 0 {
		t.Fatalf("%d cells are watched", len(hots))
	}
	f.Overheat(0, 300)
	f.Overheat(0, 0)
	f.Step(at(3 * time.Second))
	for _, h := range f.Checkpoint().Units[0].Pack.Hots {
		if h.OwnW != 0 {
			t.Fatalf("cell %d of string %d makes %g W", h.Place, h.String, h.OwnW)
		}
	}
}

// trouble drives a fleet through an hour in which everything happens.
func trouble(t *testing.T, f *twin.Fleet, from, to int) {
	t.Helper()
	rated := f.Model().RatedKW * 1e3
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := from; n < to; n++ {
		now := at(time.Duration(n) * 5 * time.Second)
		if n%11 == 0 {
			for i := range f.Len() {
				f.SetPower(i, now, rated*math.Sin(float64(n*(i+1))), time.Time{})
			}
		}
		switch n {
		case 10:
			must(f.Runaway(0, 1, 20))
			f.ShortOne(1, 3, 20, 0.005)
		case 20:
			f.OpenContactor(2, true)
			f.FailFan(1, true)
		case 60:
			f.OpenContactor(2, false)
			f.EmergencyStop(0, true)
		case 90:
			f.EmergencyStop(0, false)
			f.SetMode(0, twin.Run)
			f.Overheat(2, 350)
		case 100:
			f.Overheat(2, 0)
			f.SetAmbient(300)
		}
		f.Step(now.Add(5 * time.Second))
	}
}

// More than eight strings, runaways, shorts, trips, containers and ageing: any number
// of workers, any kernel and a restart at any instant give the same bits, of everything
// that can be asked for.
func TestTroubleIsDeterministic(t *testing.T) {
	set, err := params.LoadAging("sony-naumann")
	if err != nil {
		t.Fatal(err)
	}
	m := *loadModel(t, modelCells)
	s := *m.Strings
	s.NextWPerK, s.Module = 8, 52
	m.Strings, m.Series, m.Parallel = &s, 104, 9
	m.RatedKWh = float64(m.Cells()) * 3.2 * 0.28
	m.RatedKW = m.RatedKWh / 2
	fleet := func(workers int, seed uint64) *twin.Fleet {
		f, err := twin.NewFleet(&m, []string{"a", "b", "c"}, twin.Options{
			SoCMean: 60, SoCSpread: 3, Seed: seed, Workers: workers, Start: start, Aging: &twin.Aging{Set: set, Scale: 500},
		})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	const steps = 240
	want := fleet(1, 1)
	trouble(t, want, 0, steps)
	bits := gobOf(t, want)
	if c := want.Checkpoint(); c.Units[0].Pack.Hots == nil || c.Units[0].Pack.Shorts == nil || c.Units[1].Room == nil || want.State(1).SoH > 0.9999 {
		t.Fatal("too little happened")
	}
	for _, workers := range []int{2, 7} {
		f := fleet(workers, 1)
		trouble(t, f, 0, steps)
		if !bytes.Equal(gobOf(t, f), bits) {
			t.Errorf("%d workers: another result", workers)
		}
	}
	if testing.Short() {
		return // the rest computes the same again
	}
	for _, k := range kernel.Kernels() {
		f := fleet(2, 1)
		f.Use(k)
		trouble(t, f, 0, steps)
		if !bytes.Equal(gobOf(t, f), bits) {
			t.Errorf("kernel %s: another result", k.Name)
		}
	}
	for _, cut := range []int{5, 12, 21, 62, 91, 150} {
		half := fleet(2, 1)
		trouble(t, half, 0, cut)
		var c twin.Checkpoint
		if err := gob.NewDecoder(bytes.NewReader(gobOf(t, half))).Decode(&c); err != nil {
			t.Fatal(err)
		}
		again := fleet(2, 99)
		if err := again.Restore(c); err != nil {
			t.Fatal(err)
		}
		for i := range half.Len() {
			if a, b := half.State(i), again.State(i); a != b {
				t.Errorf("restored at step %d, unit %d is\n%+v, was\n%+v", cut, i, b, a)
			}
		}
		trouble(t, again, cut, steps)
		if !bytes.Equal(gobOf(t, again), bits) {
			t.Errorf("restored at step %d: another result", cut)
		}
	}
}

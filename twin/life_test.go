package twin_test

import (
	"math"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/params"
)

func agingSet(t *testing.T, name string, scale float64) *twin.Aging {
	t.Helper()
	set, err := params.LoadAging(name)
	if err != nil {
		t.Fatal(err)
	}
	return &twin.Aging{Set: set, Scale: scale}
}

// A unit that stands for ten years at 25 degC and half charge has lost what the law
// says (Naumann 2018), whether the years pass or are scaled, and its capacity and its
// resistance are those of its cells.
func TestYearsOnTheShelf(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	const q, r = 0.13444663548904712, 0.16826448318336 // of the oracle for 10 years
	for _, tt := range []struct {
		model string
		scale float64
		run   time.Duration
	}{
		{model100, 3650, 24 * time.Hour},
		{model100, 365, 240 * time.Hour},
		{modelCells, 365 * 240, time.Hour},
	} {
		f := newFleet(t, tt.model, 1, twin.Options{SoCMean: 50, Aging: agingSet(t, "sony-naumann", tt.scale)})
		f.OpenContactor(0, true)
		f.FailFan(0, true)
		for n := range 24 {
			f.Step(at(tt.run * time.Duration(n+1) / 24))
		}
		s := f.State(0)
		soc, temp := 1e-4, 1e-4
		if tt.model == modelCells {
			soc, temp = 0.02, 0.3 // the cells differ in charge, the container in temperature
		}
		if math.Abs(s.SoH-(1-q)) > soc*0.1+noticed || math.Abs(s.Growth-(1+r)) > temp*0.1+noticed {
			t.Errorf("%s, scale %g: capacity %.6f, resistance %.6f, want %.6f and %.6f", tt.model, tt.scale, s.SoH, s.Growth, 1-q, 1+r)
		}
	}
}

// noticed is the change of a factor below which the cells are not told.
const noticed = 1e-5

// With use the capacity that is left shows in how long a unit can discharge.
func TestOldCellsHoldLess(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	minutes := func(scale float64) float64 {
		opt := twin.Options{SoCMean: 90}
		if scale > 0 {
			opt.Aging = agingSet(t, "sony-naumann", scale)
		}
		f := newFleet(t, model100, 1, opt)
		f.SetPower(0, at(0), -50e3, time.Time{})
		n := 0
		for ; f.State(0).Limit == twin.LimitNone && n < 600; n++ {
			f.Step(at(time.Duration(n+1) * time.Minute))
		}
		return float64(n)
	}
	fresh, old := minutes(0), minutes(10*365*24/4) // ten years in the four hours of the discharge
	if !(old < 0.97*fresh && old > 0.7*fresh) {
		t.Errorf("%g minutes when new, %g minutes on the way through ten years", fresh, old)
	}
}

// A checkpoint in the middle of a life changes nothing.
func TestLifeGoesOnAfterCheckpoint(t *testing.T) {
	opt := twin.Options{SoCMean: 50, Aging: agingSet(t, "sony-naumann", 1000)}
	run := func(f *twin.Fleet, from, to int) {
		for n := from; n < to; n++ {
			f.SetPower(0, at(time.Duration(n)*time.Minute), 80e3*math.Sin(float64(n)/40), time.Time{})
			f.Step(at(time.Duration(n+1) * time.Minute))
		}
	}
	a := newFleet(t, model100, 1, opt)
	run(a, 0, 500)
	b := newFleet(t, model100, 1, opt)
	run(b, 0, 233)
	c := newFleet(t, model100, 1, opt)
	if err := c.Restore(b.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	run(c, 233, 500)
	if a.State(0) != c.State(0) || a.State(0).SoH >= 1 {
		t.Errorf("%+v after a checkpoint, %+v without", c.State(0), a.State(0))
	}
}

// A unit that goes up and down between two states of charge loses what the law of
// cycles says of so many of them (Naumann 2020), beside what time takes, and works with
// what is left, whether it is one representative cell or strings of them.
func TestYearsOfCycles(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	lumped, cells := *loadModel(t, model100), *loadModel(t, modelCells)
	s := *cells.Strings
	s.Module, s.ColdWPerK, s.Spread = 8, 0, params.StringsSpread{}
	cells.Strings, cells.Series, cells.Parallel, cells.RatedKW, cells.RatedKWh = &s, 8, 1, 3.5, 8*3.2*0.28
	cells.ContainerName, cells.Container, cells.Grid, cells.PCS.StandbyW = "", nil, nil, 3
	lumped.Heat.EnvWPerK, cells.Heat.EnvWPerK = 1e4, 50 // keep their temperature
	for _, m := range []*params.Model{&lumped, &cells} {
		t.Run(m.Name, func(t *testing.T) { cycle(t, m) })
	}
}

func cycle(t *testing.T, m *params.Model) {
	const low, high, cycles = 0.3, 0.7, 40
	opt := twin.Options{SoCMean: 100 * low, Aging: agingSet(t, "sony-naumann", 1), Start: start}
	f, err := twin.NewFleet(m, []string{"a"}, opt)
	if err != nil {
		t.Fatal(err)
	}
	turns, minutes := 0, 0
	power := m.RatedKWh * 1e3 / 4 // a quarter of what it holds in an hour
	f.SetPower(0, start, power, time.Time{})
	for ; turns < 2*cycles; minutes++ {
		f.Step(at(time.Duration(minutes+1) * time.Minute))
		if z := f.State(0).SoC; power > 0 && z >= high || power < 0 && z <= low {
			power, turns = -power, turns+1
			f.SetPower(0, f.Now(), power, time.Time{})
		}
	}
	laws, err := twin.AgingModel(opt.Aging)
	if err != nil {
		t.Fatal(err)
	}
	c := laws.Start(f.Checkpoint().Units[0].Lives[0].State)
	shelf, closed := c.Losses()
	c.Flush() // turning points differ by a minute's flow, so some swings are open yet
	_, got := c.Losses()
	depth := high - low
	rate := depth * 2 * cycles / (float64(minutes) / 60) // 1/h
	fec := cycles * depth
	cube := func(x float64) float64 { return x * x * x }
	q := (0.0630*rate + 0.0971) * (4.0253*cube(depth-0.6) + 1.0923) * math.Sqrt(fec) / 100
	r := (-0.0020*rate + 0.0021) * (6.8477*cube(depth-0.5) + 0.9182) * fec / 100
	if math.Abs(got.Q/q-1) > 0.01 || math.Abs(got.R/r-1) > 0.02 {
		t.Errorf("after %g full cycles of %g at %.3g/h capacity fell by %.7f, resistance rose by %.8f, want %.7f and %.8f", fec, depth, rate, got.Q, got.R, q, r)
	}
	s := f.State(0)
	if math.Abs(s.SoH-(1-shelf.Q-closed.Q)) > 2*noticed || math.Abs(s.Growth-(1+shelf.R+closed.R)) > 2*noticed {
		t.Errorf("the unit shows %g and %g, its cells have lost %v and %v", s.SoH, s.Growth, shelf, closed)
	}
}

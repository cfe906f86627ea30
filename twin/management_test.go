package twin_test

import (
	"bytes"
	"encoding/gob"
	"math"
	"slices"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/bms"
	"yunchu/twin/params"
)

// bench is one unit of single cells that is stepped second by second.
type bench struct {
	*twin.Fleet
	t   *testing.T
	now time.Duration
}

func newBench(t *testing.T, change func(*params.Model)) *bench {
	t.Helper()
	m := *loadModel(t, modelCells)
	management := *m.BMS
	m.BMS = &management
	if change != nil {
		change(&m)
	}
	f, err := twin.NewFleet(&m, []string{"a"}, twin.Options{SoCMean: 50, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Fleet: f, t: t}
}

// pass lets n seconds pass, and the books close in each.
func (b *bench) pass(n int) {
	b.t.Helper()
	for range n {
		b.now += time.Second
		b.Step(at(b.now))
		if r := b.Energy(0).BalanceError(); !(r <= 1e-9) {
			b.t.Fatalf("energy balance is off by %g", r)
		}
	}
}

func (b *bench) ask(w float64) bool { return b.SetPower(0, at(b.now), w, time.Time{}) }

// took are the events since the last call, of one kind.
func (b *bench) took(kind bms.Kind) (out []twin.Event) {
	events, missed := b.Events(0)
	if missed > 0 {
		b.t.Fatalf("%d events missed", missed)
	}
	for _, e := range events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

func (b *bench) strings() []twin.StringCheckpoint { return b.Checkpoint().Units[0].Pack.Strings }

func (b *bench) modes() (out []bms.Mode) {
	for _, s := range b.strings() {
		out = append(out, s.BMS.Mode)
	}
	return out
}

// Told to close, the strings precharge one after the other.
func TestStringsCloseOneByOne(t *testing.T) {
	b := newBench(t, nil)
	b.OpenContactor(0, true)
	b.pass(30)
	if n := b.State(0).Strings; n != 0 {
		t.Fatalf("%d strings are connected", n)
	}
	b.Events(0)
	b.OpenContactor(0, false)
	for range 30 {
		b.pass(1)
		if n := len(slices.DeleteFunc(b.modes(), func(m bms.Mode) bool { return m != bms.Precharging })); n > 1 {
			t.Fatalf("%d strings precharge at once", n)
		}
	}
	closed := b.took(bms.Closed)
	if len(closed) != 8 || b.State(0).Strings != 8 {
		t.Fatalf("%d strings are connected: %v", b.State(0).Strings, closed)
	}
	for n, e := range closed[1:] {
		if d := e.At - closed[n].At; d < 500*time.Millisecond {
			t.Errorf("string %d closes %v after string %d", e.String+1, d, closed[n].String+1)
		}
	}
}

// A healthy unit that is told to run has nothing to say about it.
func TestRunLeavesHealthyStringsAlone(t *testing.T) {
	b := newBench(t, nil)
	b.ask(-1e6)
	b.pass(60)
	b.Events(0)
	b.SetMode(0, twin.Run)
	b.pass(10)
	if events, _ := b.Events(0); len(events) != 0 {
		t.Errorf("%v", events)
	}
}

// A string that has been reset waits until the others are near its voltage, and joins
// them then. The others were never asked to reset.
func TestResetStringWaitsForTheBus(t *testing.T) {
	b := newBench(t, func(m *params.Model) { m.BMS.Contactor.MatchV, m.BMS.Unit.MatchV = 8, 8 })
	b.ask(-1e6)
	b.pass(60)
	if err := b.Misread(0, 2, twin.Misreading{TempK: 40}); err != nil {
		t.Fatal(err)
	}
	b.pass(30)
	if trips := b.took(bms.TripRaised); len(trips) == 0 || trips[0].String != 2 || trips[0].Quantity != bms.TempHigh || b.State(0).Strings != 7 {
		t.Fatalf("%v, %d strings", trips, b.State(0).Strings)
	}
	if s := b.State(0); s.Mode != twin.Run || s.ACPowerW != -1e6 {
		t.Errorf("with seven strings: %+v", s)
	}
	if err := b.Misread(0, 2, twin.Misreading{}); err != nil {
		t.Fatal(err)
	}
	b.pass(60)
	b.Events(0)
	b.SetMode(0, twin.Run)
	if !b.ask(-1e6) {
		t.Fatal("refused")
	}
	b.pass(60)
	events, _ := b.Events(0)
	if len(events) != 1 || events[0].Kind != bms.WasReset || events[0].String != 2 || b.modes()[2] != bms.Off {
		t.Errorf("under load: %v, %v", events, b.modes())
	}
	b.ask(0)
	b.pass(600)
	if closed := b.took(bms.Closed); len(closed) != 1 || closed[0].String != 2 || b.State(0).Strings != 8 {
		t.Errorf("at rest: %v, %v", closed, b.modes())
	}
}

// The button trips at once and under current, and the unit stays off after it is
// released, until somebody resets it.
func TestEmergencyStop(t *testing.T) {
	b := newBench(t, nil)
	b.ask(-1e6)
	b.pass(60)
	before := b.Energy(0)
	b.EmergencyStop(0, true)
	if s := b.State(0); s.Strings != 0 || s.Mode != twin.Fault || s.ACPowerW != 0 || b.ask(1e5) {
		t.Errorf("at once: %+v", s)
	}
	b.pass(10)
	b.SetMode(0, twin.Run)
	b.pass(10)
	if refused := b.took(bms.ResetRefused); len(refused) != 8 || b.State(0).Strings != 0 {
		t.Errorf("reset while pressed: %v", refused)
	}
	b.EmergencyStop(0, false)
	b.pass(600)
	e := b.Energy(0)
	if s := b.State(0); s.Strings != 0 || s.Mode != twin.Fault || e.ACOutJ != before.ACOutJ || e.StoredJ != before.StoredJ {
		t.Errorf("ten minutes after it was released: %+v", s)
	}
	for n, s := range b.strings() {
		if s.BMS.HotOpenings != 1 || !s.BMS.Trips.Has(bms.EmergencyStop) {
			t.Errorf("string %d: %+v", n, s.BMS)
		}
	}
	b.Events(0)
	b.SetMode(0, twin.Run)
	b.pass(30)
	if closed := b.took(bms.Closed); len(closed) != 8 || !b.ask(-1e6) {
		t.Fatalf("reset: %v", closed)
	}
	b.pass(60)
	if s := b.State(0); s.ACPowerW != -1e6 || s.Mode != twin.Run {
		t.Errorf("reset: %+v", s)
	}
}

// The same holds for a unit without a battery management.
func TestEmergencyStopOfOneCell(t *testing.T) {
	f := newFleet(t, model100, 1, twin.Options{})
	f.SetPower(0, start, 80e3, time.Time{})
	f.Step(at(2 * time.Second))
	for _, x := range []struct {
		what string
		do   func()
		open bool
	}{
		{"pressed", func() { f.EmergencyStop(0, true) }, true},
		{"reset while pressed", func() { f.SetMode(0, twin.Run) }, true},
		{"released", func() { f.EmergencyStop(0, false) }, true},
		{"contactor fault over", func() { f.OpenContactor(0, false) }, true},
		{"standby", func() { f.SetMode(0, twin.Standby) }, true},
		{"reset", func() { f.SetMode(0, twin.Run) }, false},
	} {
		x.do()
		f.Step(f.Now().Add(time.Minute))
		if s := f.State(0); (s.Mode == twin.Fault) != x.open || s.ACPowerW != 0 || f.SetPower(0, f.Now(), 0, time.Time{}) == x.open {
			t.Errorf("%s: %+v", x.what, s)
		}
	}
	if f.Insulation(0, true) == nil || f.LoseLink(0, true) == nil || f.Misread(0, 0, twin.Misreading{}) == nil {
		t.Error("a unit without a battery management has one")
	}
}

// Told to open, the contactors wait for the current to go. A converter too slow leaves
// them to open under it, which wears them.
func TestOpeningWaitsForTheCurrent(t *testing.T) {
	for _, slow := range []bool{false, true} {
		b := newBench(t, func(m *params.Model) {
			m.BMS.Contactor.LifeHotOpenings = 1
			if slow {
				m.PCS.RampPerS, m.BMS.Limits.FallAPerS = 0.05, 5
			}
		})
		b.ask(-1e6)
		b.pass(60)
		b.Events(0)
		b.OpenContactor(0, true)
		if s := b.State(0); s.Strings != 8 || s.Mode != twin.Fault || b.ask(0) {
			t.Errorf("slow %v, at once: %+v", slow, s)
		}
		b.pass(1)
		if slow && b.State(0).PackI > -100 {
			t.Errorf("%g A", b.State(0).PackI)
		}
		b.pass(9)
		events, _ := b.Events(0)
		opened, worn, last := 0, 0, time.Duration(0)
		for _, e := range events {
			switch e.Kind {
			case bms.Opened:
				opened, last = opened+1, e.At
			case bms.WornOut:
				worn++
			}
		}
		took := last - time.Minute
		if s := b.State(0); opened != 8 || s.Strings != 0 || s.ACPowerW != 0 || s.PackI != 0 {
			t.Errorf("slow %v: %d opened, %+v", slow, opened, s)
		}
		if slow && (worn != 8 || took != 3*time.Second) || !slow && (worn != 0 || took > 2*time.Second) {
			t.Errorf("slow %v: %d worn, after %v", slow, worn, took)
		}
	}
}

// The link behind open contactors discharges, so that the first string has to bring it
// up again; soon after an opening there is nothing to bring up.
func TestLinkDischarges(t *testing.T) {
	for rest, want := range map[int][2]time.Duration{1: {0, time.Second}, 1800: {1600 * time.Millisecond, 3 * time.Second}} {
		b := newBench(t, nil)
		b.OpenContactor(0, true)
		b.pass(rest)
		b.OpenContactor(0, false)
		from := b.now
		b.pass(60)
		if closed := b.took(bms.Closed); len(closed) != 8 || closed[0].At-from < want[0] || closed[0].At-from > want[1] {
			t.Errorf("%d s after the opening: %v, want the first after %v", rest, closed, want)
		}
	}
}

// Insulation and the link to the plant trip after their delays.
func TestInsulationAndCommunication(t *testing.T) {
	for _, q := range []bms.Quantity{bms.Insulation, bms.Communication} {
		b := newBench(t, nil)
		set := b.Insulation
		if q == bms.Communication {
			set = b.LoseLink
		}
		b.ask(-1e6)
		b.pass(10)
		if err := set(0, true); err != nil {
			t.Fatal(err)
		}
		b.pass(4)
		if n := b.State(0).Strings; n != 8 {
			t.Errorf("%v: %d strings before the delay is over", q, n)
		}
		b.pass(3)
		trips := b.took(bms.TripRaised)
		if len(trips) != 8 || trips[0].Quantity != q || trips[0].At != 15*time.Second || b.State(0).Strings != 0 {
			t.Errorf("%v: %v", q, trips)
		}
		if err := set(0, false); err != nil {
			t.Fatal(err)
		}
		b.pass(60)
		b.SetMode(0, twin.Run)
		b.pass(30)
		if n := b.State(0).Strings; n != 8 {
			t.Errorf("%v: %d strings after the reset", q, n)
		}
	}
}

// A sensor that is off takes the current of its string away, and names what it shows;
// the cell is as it was.
func TestManagementMisreads(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	for _, x := range []struct {
		by   twin.Misreading
		w    float64
		want twin.Limit
	}{
		{twin.Misreading{CellV: 0.25}, 1e6, twin.LimitVHigh},
		{twin.Misreading{CellV: -0.5}, -1e6, twin.LimitVLow},
		{twin.Misreading{TempK: 27}, 1e6, twin.LimitTempHigh},
		{twin.Misreading{TempK: -22}, 1e6, twin.LimitTempLow},
		{twin.Misreading{SoC: 0.48}, 1e6, twin.LimitSoCHigh},
	} {
		b := newBench(t, nil)
		if err := b.Misread(0, 0, x.by); err != nil {
			t.Fatal(err)
		}
		b.ask(x.w)
		b.pass(5)
		s := b.State(0)
		if s.Limit != x.want || math.Abs(s.ACPowerW) > 0.9e6 || s.TempK > 300 || s.CellVMax > 3.4 {
			t.Errorf("%+v: limit %v, %+v", x.by, s.Limit, s)
		}
	}
}

// Fewer strings than the unit needs carry no power.
func TestTooFewStrings(t *testing.T) {
	b := newBench(t, func(m *params.Model) { m.BMS.Unit.MinRacks = 8 })
	b.ask(-1e6)
	b.pass(10)
	if s := b.State(0); s.ACPowerW != -1e6 {
		t.Fatalf("%+v", s)
	}
	if err := b.Misread(0, 7, twin.Misreading{CurrentA: -400}); err != nil {
		t.Fatal(err)
	}
	b.pass(20)
	if s := b.State(0); s.Strings != 7 || s.AvailableChargeW > 1e3 || s.AvailableDischargeW != 0 || s.MeanACPowerW < 0 || s.Limit != twin.LimitContactor {
		t.Errorf("%+v", s)
	}
}

// Any number of workers and a restart in the middle of all this give the same bits.
func TestManagementIsDeterministic(t *testing.T) {
	drive := func(f *twin.Fleet, from, to int) {
		for n := from; n < to; n++ {
			for i := range f.Len() {
				switch (n + 7*i) % 100 {
				case 0, 95:
					f.SetPower(i, f.Now(), -1e6, time.Time{})
				case 20:
					f.OpenContactor(i, true)
				case 24:
					f.OpenContactor(i, false)
				case 40:
					f.EmergencyStop(i, true)
				case 45:
					f.EmergencyStop(i, false)
				case 50:
					f.SetMode(i, twin.Run)
				case 70:
					if err := f.Misread(i, i, twin.Misreading{TempK: 45, CellV: -0.1}); err != nil {
						t.Error(err)
					}
				case 90:
					if err := f.Misread(i, i, twin.Misreading{}); err != nil {
						t.Error(err)
					}
				}
			}
			f.Step(at(time.Duration(n+1) * time.Second))
		}
	}
	opt := twin.Options{SoCMean: 50, Workers: 1}
	want := newFleet(t, modelCells, 3, opt)
	drive(want, 0, 200)
	cuts := 12
	if testing.Short() {
		cuts = 2
	}
	for cut := range cuts {
		opt.Workers = 2 + cut%4
		half := newFleet(t, modelCells, 3, opt)
		drive(half, 0, 15*cut+1)
		var c twin.Checkpoint
		if err := gob.NewDecoder(bytes.NewReader(gobOf(t, half))).Decode(&c); err != nil {
			t.Fatal(err)
		}
		again := newFleet(t, modelCells, 3, opt)
		if err := again.Restore(c); err != nil {
			t.Fatal(err)
		}
		drive(again, 15*cut+1, 200)
		if !bytes.Equal(gobOf(t, again), gobOf(t, want)) {
			t.Errorf("%d workers, restart after %d s: another result", opt.Workers, 15*cut+1)
		}
	}
}

// Whatever the contactors do: each cell of a string has taken the charge that its
// string has carried.
func TestContactorsConserveCharge(t *testing.T) {
	b := newBench(t, nil)
	var before, carried [8]float64 // A*s
	held := func(str int) float64 {
		c := b.Cell(0, str, 17)
		return c.SoC * c.Capacity * b.Model().Cell.CapacityAh * 3600
	}
	for str := range before {
		before[str] = held(str)
	}
	for n := range 300 {
		switch n {
		case 0, 150, 250:
			b.ask(-1e6)
		case 50:
			b.OpenContactor(0, true)
		case 60:
			b.OpenContactor(0, false)
		case 200:
			b.EmergencyStop(0, true)
		case 210:
			b.EmergencyStop(0, false)
			b.SetMode(0, twin.Run)
		}
		b.pass(1)
		for str, a := range b.StringA(0) {
			carried[str] += a
		}
	}
	for str := range before {
		if got := held(str) - before[str]; math.Abs(carried[str]) < 1e3 || !(math.Abs(got-carried[str]) <= 1e-9*math.Abs(carried[str])) {
			t.Errorf("string %d: %.12g A s in a cell, %.12g A s carried", str, got, carried[str])
		}
	}
}

package bms_test

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin/bms"
)

// spoil makes an input that every kind of protection watches a bad one.
var spoil = map[bms.Quantity]func(in *bms.Input){
	bms.CellVHigh:        func(in *bms.Input) { in.MaxCellV = 3.66; in.MinCellV = 3.6 },
	bms.CellVLow:         func(in *bms.Input) { in.MinCellV = 2.39; in.MaxCellV = 2.5 },
	bms.CellVSpread:      func(in *bms.Input) { in.MinCellV = 2.41; in.MaxCellV = 3.42 },
	bms.TempHigh:         func(in *bms.Input) { in.MaxCellK = zeroC + 61; in.MinCellK = zeroC + 55 },
	bms.TempLow:          func(in *bms.Input) { in.MinCellK = zeroC - 26; in.MaxCellK = zeroC - 20 },
	bms.TempSpread:       func(in *bms.Input) { in.MinCellK = 290; in.MaxCellK = 311 },
	bms.ChargeCurrent:    func(in *bms.Input) { in.CurrentA = 217 },
	bms.DischargeCurrent: func(in *bms.Input) { in.CurrentA = -217 },
	bms.Insulation:       func(in *bms.Input) { in.InsulationFault = true },
	bms.Communication:    func(in *bms.Input) { in.CommunicationFault = true },
	bms.EmergencyStop:    func(in *bms.Input) { in.EmergencyStop = true },
}

// Each protection trips after its delay, to the nanosecond, however time is cut, and
// does not when the cause goes a nanosecond before.
func TestTripDelays(t *testing.T) {
	p := rack(t)
	for q, bad := range spoil {
		delay := p.Protect[q][bms.Trip].Delay
		for _, dt := range []time.Duration{time.Millisecond, 730 * time.Millisecond, time.Minute} {
			t.Run(fmt.Sprint(q, " ", dt), func(t *testing.T) {
				s, begin := connected(t, p)
				in := well()
				bad(&in)
				trip := begin + delay
				events := make([]bms.Event, 0, 64)
				for now := begin; now < trip+time.Second; now += dt {
					_, events = p.Step(&s, now, now+dt, &in, events)
				}
				if s.Mode != bms.Tripped || !s.Trips.Has(q) {
					t.Fatalf("%v, %b tripped", s.Mode, s.Trips)
				}
				if s.Since != trip {
					t.Errorf("tripped %v after the cause, want %v", s.Since-begin, delay)
				}
				if last := events[len(events)-1]; last.Kind != bms.TripRaised && s.Trips.Len() == 1 {
					found := false
					for _, e := range events {
						found = found || e.Kind == bms.TripRaised && e.Quantity == q && e.At == trip
					}
					if !found {
						t.Errorf("no event of the trip in %+v", events)
					}
				}
				if s.ChargeA != 0 || s.DischargeA != 0 {
					t.Errorf("announces %g and %g A", s.ChargeA, s.DischargeA)
				}
			})
		}
		if delay > 0 {
			s, begin := connected(t, p)
			in := well()
			bad(&in)
			p.Step(&s, begin, begin+delay-1, &in, nil)
			in = well()
			p.Step(&s, begin+delay-1, begin+delay+time.Minute, &in, nil)
			if s.Mode != bms.Connected {
				t.Errorf("%v: %v though the cause went before the delay was over", q, s.Mode)
			}
		}
	}
}

// Warnings come and go by their thresholds and delays.
func TestWarnings(t *testing.T) {
	p := rack(t)
	s, now := connected(t, p)
	events := make([]bms.Event, 0, 16)
	in := well()
	for _, x := range []struct {
		v    float64
		held time.Duration
		want int
	}{
		{3.53, 9 * time.Second, 0},
		{3.53, 2 * time.Second, 1},
		{3.61, 19 * time.Second, 1},
		{3.61, 2 * time.Second, 2},
		{3.53, time.Hour, 2}, // above 3.52, where it clears
		{3.50, 19 * time.Second, 2},
		{3.50, 2 * time.Second, 1},
		{3.45, time.Hour, 1}, // above 3.44
		{3.44, 11 * time.Second, 0},
	} {
		in.MaxCellV = x.v
		var o bms.Output
		o, events = p.Step(&s, now, now+x.held, &in, events)
		if o.Warning != x.want {
			t.Errorf("warning of level %d at %v after %v at %g V, want %d", o.Warning, now, x.held, x.v, x.want)
		}
		now += x.held
	}
	var kinds []bms.Kind
	for _, e := range events {
		if e.Quantity == bms.CellVHigh {
			kinds = append(kinds, e.Kind)
		}
	}
	if want := []bms.Kind{bms.WarningRaised, bms.WarningRaised, bms.WarningCleared, bms.WarningCleared}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
}

// draw is any input, often a bad one.
func draw(t *rapid.T) bms.Input {
	in := well()
	one := func(name string) bool { return rapid.IntRange(0, 9).Draw(t, name) == 0 }
	in.Close, in.Open, in.Reset = rapid.Bool().Draw(t, "close"), one("open"), rapid.Bool().Draw(t, "reset")
	if rapid.Bool().Draw(t, "well") {
		return in
	}
	pick := func(name string, x ...float64) float64 { return rapid.SampledFrom(x).Draw(t, name) }
	in.MinCellV = pick("min V", 3.28, 3.28, 2.9, 2.75, 2.5, 2.3)
	in.MaxCellV = pick("max V", 3.30, 3.30, 3.48, 3.55, 3.62, 3.7)
	in.MinCellK = zeroC + pick("min T", 25, 25, 5, -10, -30)
	in.MaxCellK = zeroC + pick("max T", 27, 27, 48, 52, 65)
	in.MinSoC, in.MaxSoC = pick("min SoC", 0.5, 0.5, 0.04, 0.01), pick("max SoC", 0.5, 0.5, 0.97, 0.99)
	in.CurrentA = pick("I", 0, 0, 100, -100, 190, -220, 3)
	in.RackV, in.BusV = pick("rack", 790, 790, 800), pick("bus", 790, 790, 0, 770, 806, math.NaN())
	in.InsulationFault, in.CommunicationFault, in.EmergencyStop = one("insulation"), one("communication"), one("stop")
	return in
}

// span draws how long an input lasts.
func span(t *rapid.T, name string) time.Duration {
	return time.Duration(rapid.SampledFrom([]int64{1, 1e6, 4e8, 6e8, 3e9, 5e9, 11e9, 40e9, 100e9}).Draw(t, name))
}

// Whatever comes in, in whatever order: the positive contactor closes only where the
// voltages match, a trip stays until a reset with its causes gone, and while anything
// has tripped the contactors are open and no current is announced.
func TestNoSequenceIsUnsafe(t *testing.T) {
	p := rack(t)
	seen := map[bms.Kind]int{}
	rapid.Check(t, func(t *rapid.T) {
		var s bms.State
		var now time.Duration
		var last bms.Output
		wasReset := false
		for range rapid.IntRange(1, 40).Draw(t, "inputs") {
			in := draw(t)
			before := s
			dt := span(t, "dt")
			events := make([]bms.Event, 0, 128)
			var o bms.Output
			o, events = p.Step(&s, now, now+dt, &in, events)
			edge := in.Reset && !wasReset
			wasReset = in.Reset
			for _, e := range events {
				seen[e.Kind]++
				if e.Kind == bms.Closed && !(in.RackV-in.BusV <= p.Contactor.MatchV && in.BusV-in.RackV <= p.Contactor.MatchV) {
					t.Fatalf("closed with %g V on the rack and %g V on the bus", in.RackV, in.BusV)
				}
				if e.Kind == bms.WasReset && (!edge || e.At != now) {
					t.Fatalf("reset without a command: %+v", e)
				}
				if e.At < now || e.At > now+dt {
					t.Fatalf("%+v in a step from %v to %v", e, now, now+dt)
				}
			}
			if before.Trips&^s.Trips != 0 && !edge {
				t.Fatalf("trips %b became %b without a reset", before.Trips, s.Trips)
			}
			if o.Contacts.Positive && !last.Contacts.Positive && s.Closings == before.Closings {
				t.Fatal("the positive contactor closed by another way")
			}
			if (o.Trips != 0) != (o.Mode == bms.Tripped) || o.Mode == bms.Tripped && o.Contacts != (bms.Contacts{}) {
				t.Fatalf("%+v", o)
			}
			if o.Mode != bms.Connected && o.Mode != bms.Opening && (o.ChargeA != 0 || o.DischargeA != 0) {
				t.Fatalf("%v and %g, %g A announced", o.Mode, o.ChargeA, o.DischargeA)
			}
			if o.ChargeA < 0 || o.ChargeA > p.Charge.RatedA || o.DischargeA < 0 || o.DischargeA > p.Discharge.RatedA {
				t.Fatalf("%g and %g A announced", o.ChargeA, o.DischargeA)
			}
			if s.Lost != 0 {
				t.Fatalf("%d events lost", s.Lost)
			}
			last = o
			now += dt
		}
	})
	for k := bms.WarningRaised; k <= bms.WasReset; k++ {
		if seen[k] == 0 {
			t.Errorf("no event %v in any of the sequences: they prove little", k)
		}
	}
}

// The same inputs, cut into other steps, give the same events at the same instants,
// the same modes and the same currents.
func TestCutsDoNotMatter(t *testing.T) {
	p := rack(t)
	p.Limits.HeatS = 0 // taken at the start of a step
	rapid.Check(t, func(t *rapid.T) {
		var whole, cut bms.State
		var now time.Duration
		for range rapid.IntRange(1, 12).Draw(t, "inputs") {
			in := draw(t)
			end := now + span(t, "dt")
			a, b := make([]bms.Event, 0, 256), make([]bms.Event, 0, 256)
			_, a = p.Step(&whole, now, end, &in, a)
			for t0 := now; t0 < end; {
				t1 := min(end, t0+span(t, "cut"))
				_, b = p.Step(&cut, t0, t1, &in, b)
				t0 = t1
			}
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("events\n%+v at once,\n%+v in parts", a, b)
			}
			near := func(x, y float64) bool { return x-y < 1e-6 && y-x < 1e-6 }
			if whole.Mode != cut.Mode || whole.Since != cut.Since || whole.Alarms != cut.Alarms || !near(whole.ChargeA, cut.ChargeA) || !near(whole.DischargeA, cut.DischargeA) {
				t.Fatalf("%+v at once,\n%+v in parts", whole, cut)
			}
			now = end
		}
	})
}

package delivery_test

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"yunchu/platform/market/delivery"
	"yunchu/platform/market/order"
)

var begin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }

// awards of two gates, with a hole of half an hour.
func awards() []order.Award {
	quarter := 15 * time.Minute
	return []order.Award{
		{At: at(0), Length: time.Hour, Product: order.Energy, Side: order.Buy, KW: 800, Price: 10},
		{At: at(90), Length: quarter, Product: order.Energy, Side: order.Sell, KW: 500, Price: 40},
		{At: at(30), Length: quarter, Product: order.Energy, Side: order.Sell, KW: 300, Price: 30}, // sold back
		{At: at(105), Length: quarter, Product: order.Energy, KW: 0, Price: 50},
		{At: at(0), Length: time.Hour, Product: order.RegUp, Side: order.Sell, KW: 100, Price: 5},
	}
}

// TestSchedule: awards add up, and what is not traded is 0.
func TestSchedule(t *testing.T) {
	t.Parallel()
	want := []delivery.Step{{at(0), 800}, {at(30), 500}, {at(45), 800}, {at(60), 0}, {at(90), -500}, {at(105), 0}, {at(120), 0}}
	if got := delivery.Schedule(awards()); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	sold, err := delivery.Net(awards(), order.Energy)
	if err != nil || len(sold) != 4 || sold[0].KWh != -800 || sold[1].KWh != 75 || sold[2].KWh != 125 || sold[3].KWh != 0 || sold[3].Price != 50 {
		t.Errorf("%+v", sold)
	}
}

// TestEnergyOfOnePrice: what was sold twice has one price, or no bill of two settlements.
func TestEnergyOfOnePrice(t *testing.T) {
	t.Parallel()
	twice := []order.Award{
		{At: at(0), Length: time.Hour, Product: order.Energy, Side: order.Sell, KW: 800, Price: 10},
		{At: at(0), Length: time.Hour, Product: order.Energy, Side: order.Sell, KW: 200, Price: 10},
	}
	if sold, err := delivery.Net(twice, order.Energy); err != nil || len(sold) != 1 || sold[0].KWh != 1000 {
		t.Errorf("%v, %v", sold, err)
	}
	twice[1].Price++
	if _, err := delivery.Net(twice, order.Energy); !errors.Is(err, delivery.ErrPrices) {
		t.Errorf("two prices: %v", err)
	}
}

// energy that a schedule moves from one instant to another, kWh.
func energy(steps []delivery.Step, from, to time.Time) (sum float64) {
	for i, s := range steps {
		a, b := s.At, to
		if i+1 < len(steps) {
			b = steps[i+1].At
		}
		if a.Before(from) {
			a = from
		}
		if b.After(to) {
			b = to
		}
		if b.After(a) {
			sum += s.TargetKW * b.Sub(a).Hours()
		}
	}
	return sum
}

// TestRamp: a ramp moves an eighth of itself times the jump from one delivery to the next, and
// nothing in all; no step is larger than its part of the jump.
func TestRamp(t *testing.T) {
	t.Parallel()
	steps := delivery.Schedule(awards())
	ramped := delivery.Ramp(steps, 10*time.Minute, time.Minute)
	if a, b := energy(steps, at(-60), at(180)), energy(ramped, at(-60), at(180)); math.Abs(a-b) > 1e-9 {
		t.Errorf("%v kWh, and ramped %v", a, b)
	}
	// From 800 to 500 at minute 30, back at 45: the quarter between has an eighth of 10 minutes
	// times 300 kW more at both ends.
	want := 125 + 2*300.0*10/60/8
	if got := energy(ramped, at(30), at(45)); math.Abs(got-want) > 1e-9 {
		t.Errorf("%v kWh in a quarter, want %v", got, want)
	}
	before := 0.0
	for i, s := range ramped {
		if math.Abs(s.TargetKW-before) > 80+1e-9 || i > 0 && !s.At.After(ramped[i-1].At) {
			t.Errorf("at %v from %v to %v", s.At, before, s.TargetKW)
		}
		before = s.TargetKW
	}
	if !reflect.DeepEqual(delivery.Ramp(steps, 0, 0), steps) {
		t.Error("no ramp is no change")
	}
}

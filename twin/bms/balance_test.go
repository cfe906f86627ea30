package bms_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin/bms"
)

var level = bms.Balance{
	Ohm: 33, StartV: 0.005, StopV: 0.002, MinV: 3.4, RestA: 2,
	Period: 10 * time.Second, Window: 8 * time.Second,
}

func TestBalanceDecisions(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   bms.BalanceInput
		on   []bool // before
		want []bool
	}{
		{name: "charging", in: bms.BalanceInput{CellV: []float64{3.45, 3.456, 3.452}, CurrentA: 50}, want: []bool{false, true, false}},
		{name: "at rest", in: bms.BalanceInput{CellV: []float64{3.45, 3.456, 3.452}, CurrentA: -1}, want: []bool{false, true, false}},
		{name: "discharging", in: bms.BalanceInput{CellV: []float64{3.45, 3.456, 3.452}, CurrentA: -5}, on: []bool{false, true, false}, want: []bool{false, false, false}},
		{name: "goes on in the band", in: bms.BalanceInput{CellV: []float64{3.45, 3.453, 3.453}}, on: []bool{false, true, false}, want: []bool{false, true, false}},
		{name: "ends below it", in: bms.BalanceInput{CellV: []float64{3.45, 3.4515, 3.45}}, on: []bool{false, true, false}, want: []bool{false, false, false}},
		{name: "too low", in: bms.BalanceInput{CellV: []float64{3.30, 3.39, 3.41}}, want: []bool{false, false, true}},
	} {
		on, bleed := make([]bool, 3), make([]float64, 3)
		copy(on, tt.on)
		var s bms.BalanceState
		level.Step(&s, 0, time.Second, &tt.in, on, bleed)
		for i := range on {
			g := 0.0
			if tt.want[i] {
				g = 1 / 33.0
			}
			if on[i] != tt.want[i] || !(math.Abs(bleed[i]-g) <= 1e-15) {
				t.Errorf("%s: %v, %v S, want %v", tt.name, on, bleed, tt.want)
			}
		}
	}
}

// Over whole periods a cell is bled for the window, and however time is cut the
// charge it loses is the same.
func TestBalanceDuty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := bms.BalanceInput{CellV: []float64{3.45, 3.47}}
		end := time.Duration(rapid.IntRange(1, 6).Draw(t, "periods")) * level.Period
		on, bleed := make([]bool, 2), make([]float64, 2)
		var s bms.BalanceState
		var sum float64 // S*s
		for now := time.Duration(0); now < end; {
			next := min(end, now+time.Duration(rapid.Int64Range(1e6, 25e9).Draw(t, "dt")))
			level.Step(&s, now, next, &in, on, bleed)
			sum += bleed[1] * (next - now).Seconds()
			if bleed[0] != 0 {
				t.Fatal("the lowest cell is bled")
			}
			now = next
		}
		if want := 0.8 * end.Seconds() / 33; !(math.Abs(sum-want) <= 1e-9) {
			t.Fatalf("%g S*s, want %g", sum, want)
		}
	})
}

// A string at rest is levelled to the band and no further.
func TestBalanceLevels(t *testing.T) {
	const n, ampHours, slope = 16, 280, 1.5 // V per unit of state of charge, at the upper end
	v := make([]float64, n)
	for i := range v {
		v[i] = 3.42 + 0.002*float64(i)
	}
	low := v[0]
	on, bleed := make([]bool, n), make([]float64, n)
	var s bms.BalanceState
	in := bms.BalanceInput{CellV: v}
	const dt = time.Minute
	for now := time.Duration(0); now < 200*time.Hour; now += dt {
		level.Step(&s, now, now+dt, &in, on, bleed)
		for i := range v {
			v[i] -= slope * v[i] * bleed[i] * dt.Seconds() / (ampHours * 3600)
		}
	}
	if v[0] != low {
		t.Errorf("the lowest cell went from %g to %g V", low, v[0])
	}
	for i := range v {
		if d := v[i] - low; d > level.StartV || i > 2 && d < level.StopV-0.001 {
			t.Errorf("cell %d ends %.1f mV above the lowest", i, d*1e3)
		}
		if on[i] {
			t.Errorf("cell %d is still bled", i)
		}
	}
}

func TestBalanceDoesNotAllocate(t *testing.T) {
	in := bms.BalanceInput{CellV: []float64{3.45, 3.47}}
	on, bleed := make([]bool, 2), make([]float64, 2)
	var s bms.BalanceState
	var now time.Duration
	if n := testing.AllocsPerRun(100, func() {
		level.Step(&s, now, now+time.Second, &in, on, bleed)
		now += time.Second
	}); n != 0 {
		t.Errorf("%g allocations a step", n)
	}
}

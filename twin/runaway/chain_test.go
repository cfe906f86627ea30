package runaway_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"yunchu/twin/runaway"
)

// A module of 280 Ah cells.
const (
	moduleCapacity = 5425.0 // J/K of a cell
	moduleVolume   = 2.5e-3 // m3
)

func chain(t testing.TB, k *runaway.Kinetics, joined ...float64) *runaway.Chain {
	t.Helper()
	c, err := runaway.NewChain(k, moduleCapacity, joined)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func freshCells(k *runaway.Kinetics, n int, storedJ, tempK float64) []runaway.Cell {
	return slices.Repeat([]runaway.Cell{{State: k.Fresh(storedJ), TempK: tempK}}, n)
}

// onsets heats the first of n cells with 2 kW until it is at 550 K and returns when
// each cell got to 500 K, NaN if it did not in four hours.
func onsets(t *testing.T, n int, joint, loss float64) []float64 {
	k := kinetics(t, "runaway-lco", moduleVolume)
	c := chain(t, k, slices.Repeat([]float64{joint}, n-1)...)
	cells := freshCells(k, n, 0, 298.15)
	around := slices.Repeat([]runaway.Surroundings{{EnvK: 298.15, WPerK: loss}}, n)
	around[0].HeatW = 2000
	when := slices.Repeat([]float64{math.NaN()}, n)
	var f runaway.ChainFlow
	for at := 1.0; at <= 4*3600; at++ {
		c.Step(cells, around, 1, &f)
		if cells[0].TempK > 550 {
			around[0].HeatW = 0
		}
		for i := range cells {
			if math.IsNaN(when[i]) && cells[i].TempK >= 500 {
				when[i] = at
			}
		}
	}
	return when
}

// Runaway walks along the row, the faster the better the cells are joined.
func TestPropagationDelayFallsWithConductance(t *testing.T) {
	last := math.Inf(1)
	for _, joint := range []float64{0.5, 1, 2, 4, 8} {
		when := onsets(t, 5, joint, 0.1)
		for i := 1; i < len(when); i++ {
			if !(when[i] > when[i-1]) {
				t.Fatalf("joined by %g W/K: cells go at %v s, want one after the other", joint, when)
			}
		}
		// From the second cell on: the first pair is blurred by the heater.
		delay := (when[3] - when[1]) / 2
		t.Logf("joined by %g W/K: cells go at %v s, one every %.0f s", joint, when, delay)
		if !(delay < last) {
			t.Errorf("joined by %g W/K: %g s a cell, was %g s with less", joint, delay, last)
		}
		last = delay
	}
}

// Below a critical conductance the neighbours stay cool, above it they go; the
// bound between is sharp, and cooling shifts it up.
func TestNoPropagationBelowCriticalConductance(t *testing.T) {
	critical := func(loss float64) float64 {
		low, high := 0.001, 10.0
		for high/low > 1.02 {
			if g := math.Sqrt(low * high); math.IsNaN(onsets(t, 2, g, loss)[1]) {
				low = g
			} else {
				high = g
			}
		}
		return high
	}
	weak, strong := critical(0.3), critical(1.2)
	t.Logf("the neighbour goes from %.3f W/K on with 0.3 W/K of cooling, from %.3f W/K with 1.2 W/K", weak, strong)
	if !(weak > 0.002 && strong > 1.5*weak && strong < 9) {
		t.Errorf("critical conductances %g and %g W/K", weak, strong)
	}
}

// Whatever happens to a row, stored heat is what was made and given less what was
// lost and vented.
func TestChainKeepsEnergy(t *testing.T) {
	k := kinetics(t, "runaway-lfp", moduleVolume)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "cells")
		c, err := runaway.NewChain(k, moduleCapacity, rapid.SliceOfN(rapid.Float64Range(0, 20), n-1, n-1).Draw(t, "joined"))
		if err != nil {
			t.Fatal(err)
		}
		cells := freshCells(k, n, 3e6, 0)
		around := make([]runaway.Surroundings, n)
		for i := range cells {
			cells[i].TempK = rapid.Float64Range(290, 600).Draw(t, "temp")
			if rapid.Bool().Draw(t, "nail") {
				cells[i].State.ShortOhm = rapid.Float64Range(5e-4, 0.1).Draw(t, "ohm")
			}
			around[i] = runaway.Surroundings{
				HeatW:     rapid.Float64Range(0, 3000).Draw(t, "heat"),
				EnvK:      rapid.Float64Range(280, 400).Draw(t, "env"),
				WPerK:     rapid.Float64Range(0, 5).Draw(t, "loss"),
				RadiantK4: rapid.Float64Range(0, 5e-9).Draw(t, "radiant"),
			}
		}
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			dt := rapid.Float64Range(0.01, 600).Draw(t, "dt")
			stored, moved, left := 0.0, 1.0, 0.0
			for i := range cells {
				stored -= moduleCapacity * cells[i].TempK
				left += k.LeftJ(&cells[i].State) + cells[i].State.ElectricalJ
			}
			var f runaway.ChainFlow
			c.Step(cells, around, dt, &f)
			for i := range cells {
				stored += moduleCapacity * cells[i].TempK
				left -= k.LeftJ(&cells[i].State) + cells[i].State.ElectricalJ
			}
			moved += f.ReactionJ + f.ShortJ + f.GivenJ + math.Abs(f.LostJ)
			if off := stored - f.CellJ() - f.GivenJ + f.LostJ; math.Abs(off) > 1e-9*moved {
				t.Fatalf("%g J of %g J moved appear from nowhere: %+v", off, moved, f)
			}
			if off := left - f.ReactionJ - f.ShortJ; math.Abs(off) > 1e-9*(moved+1e6) {
				t.Fatalf("%g J of %g J made appear from nowhere: %+v", off, moved, f)
			}
		}
	})
}

// A row of one is a cell alone, and a row does not care for its direction nor for
// the length of its steps.
func TestChainIsConsistent(t *testing.T) {
	k := kinetics(t, "runaway-lfp", moduleVolume)
	around := runaway.Surroundings{HeatW: 3000, EnvK: 298.15, WPerK: 0.5}
	one := chain(t, k)
	cells := freshCells(k, 1, 3e6, 298.15)
	s, temp := k.Fresh(3e6), 298.15
	var f runaway.ChainFlow
	for range 600 {
		one.Step(cells, []runaway.Surroundings{around}, 1, &f)
		temp, _ = k.AdvanceCoupled(&s, 1, temp, moduleCapacity, around)
	}
	if cells[0].TempK != temp || cells[0].State != s {
		t.Errorf("row of one %+v, alone %g K %+v", cells[0], temp, s)
	}

	end := func(dt float64, backwards bool) []runaway.Cell {
		joined, heat := []float64{2, 3, 4}, make([]runaway.Surroundings, 4)
		for i := range heat {
			heat[i] = runaway.Surroundings{EnvK: 298.15, WPerK: 0.1 * float64(i+1)}
		}
		heat[0].HeatW = 2500
		cells := freshCells(k, 4, 3e6, 298.15)
		cells[3].State.ShortOhm = 0.5
		if backwards {
			slices.Reverse(joined)
			slices.Reverse(heat)
			slices.Reverse(cells)
		}
		c := chain(t, k, joined...)
		for range int(1200 / dt) {
			c.Step(cells, heat, dt, &f)
		}
		if backwards {
			slices.Reverse(cells)
		}
		return cells
	}
	want := end(1, false)
	if want[0].TempK < 600 {
		t.Errorf("the first cell is at %g K and has not run away", want[0].TempK)
	}
	for _, got := range [][]runaway.Cell{end(1, true), end(0.1, false), end(60, false), end(1200, false)} {
		for i := range got {
			if math.Abs(got[i].TempK-want[i].TempK) > 0.01 {
				t.Errorf("cell %d ends at %.6f K, want %.6f K", i, got[i].TempK, want[i].TempK)
			}
		}
	}
}

func TestNewChainRefuses(t *testing.T) {
	k := kinetics(t, "runaway-lco", moduleVolume)
	if _, err := runaway.NewChain(k, 0, nil); err == nil {
		t.Error("no heat capacity: no error")
	}
	if _, err := runaway.NewChain(k, 1, []float64{-1}); err == nil {
		t.Error("negative conductance: no error")
	}
}

func TestChainStepAllocatesNothing(t *testing.T) {
	k := kinetics(t, "runaway-lfp", moduleVolume)
	c, cells := chain(t, k, 1, 1, 1), freshCells(k, 4, 3e6, 440)
	around := make([]runaway.Surroundings, 4)
	var f runaway.ChainFlow
	if n := testing.AllocsPerRun(20, func() { c.Step(cells, around, 1, &f) }); n != 0 {
		t.Errorf("%g allocations a step", n)
	}
}

func BenchmarkChain16(b *testing.B) {
	k := kinetics(b, "runaway-lfp", moduleVolume)
	c, fresh := chain(b, k, slices.Repeat([]float64{0.38}, 15)...), freshCells(k, 16, 3e6, 330)
	around := make([]runaway.Surroundings, 16)
	var f runaway.ChainFlow
	cells := slices.Clone(fresh)
	for b.Loop() {
		copy(cells, fresh)
		c.Step(cells, around, 1, &f)
	}
}

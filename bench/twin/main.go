// Twin measures the steps of twin/kernel on one core, all in one run: the kernels of
// this machine, the same step in C with AVX-512 intrinsics, and the speeds that other
// tools have published.
//
//	go run ./bench/twin
//
// Every contender moves the same cells, one after the other in small turns, so what
// else the machine does falls on all of them. Figures are medians over the turns;
// ratios are medians of ratios within a round.
package main

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"yunchu/twin/cell"
	"yunchu/twin/celltype"
	"yunchu/twin/kernel"
	"yunchu/twin/params"
)

const length = 416 // cells in a string, 8 strings in a block

func main() {
	few := flag.Int("few", 100_000, "cells of the first table")
	many := flag.Int("many", 10_000_000, "cells of the second table; 0 leaves it out (270 bytes a cell)")
	rounds := flag.Int("rounds", 15, "turns of every contender")
	flag.Parse()
	if err := run(*few, *many, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(few, many, rounds int) error {
	runtime.LockOSThread()
	contenders := kernel.Kernels()
	if c, ok := peer(); ok {
		contenders = append(contenders, c)
	} else {
		fmt.Println("no C to compare with: it needs cgo, a compiler and AVX-512")
	}
	small, err := newWork(few)
	if err != nil {
		return err
	}
	small.pass = 60
	fmt.Printf("full physics of the cell, constant power, steps of 1 s, one core, %d cells, %d steps per pass\n\n", small.cells(), small.pass)
	first := small.race(contenders, rounds)
	if err := table(contenders, first); err != nil {
		return err
	}
	if err := anchors(first[0]); err != nil || many == 0 {
		return err
	}
	big, err := newWork(many)
	if err != nil {
		return err
	}
	fmt.Printf("\n%s, by the number of cells and of steps that a block takes before the next one\n\n", contenders[0].Name)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "steps\t%d cells\t%d cells\tratio\t\n", small.cells(), big.cells())
	for _, pass := range []int{1, 5, 60} {
		small.pass, big.pass = pass, pass
		var a, b []float64
		for range max(rounds/5, 3) {
			a = append(a, small.turn(contenders[0], 60*big.cells()))
			b = append(b, big.turn(contenders[0], 60*big.cells()))
		}
		fmt.Fprintf(w, "%d\t%.2f ns\t%.2f ns\t%.2f\t\n", pass, median(a), median(b), median(ratios(b, a)))
	}
	return w.Flush()
}

// work is blocks of strings, each of which is to take a constant power.
type work struct {
	blocks []*kernel.Block
	powers []kernel.Row // W
	steps  int
	pass   int // steps that a block takes while its cells are in the cache
}

func newWork(cells int) (*work, error) {
	p, err := params.LoadCell("lfp280_ref")
	if err != nil {
		return nil, err
	}
	m, err := celltype.New(p)
	if err != nil {
		return nil, err
	}
	t := kernel.NewTick(m, p.Thermal.HeatCapacity(), 1)
	places := make([]kernel.Place, length)
	for n := range places {
		places[n] = kernel.Place{Next: 0.38, Air: 0.05, Coolant: 0.5}
	}
	places[length-1].Next = 0
	rng := rand.New(rand.NewPCG(1, 1))
	w := &work{pass: 60}
	for range max(1, cells/(length*kernel.Lanes)) {
		b, err := kernel.NewBlock(m, places, &t)
		if err != nil {
			return nil, err
		}
		var power kernel.Row
		for l := range kernel.Lanes {
			b.Drive.AirK[l], b.Drive.CoolantK[l] = 1, 1
			soc := 0.35 + 0.3*rng.Float64()
			for n := range length {
				b.SetCell(n, l, kernel.Cell{
					State:   cell.State{SoC: soc + 0.01*rng.NormFloat64(), TempK: 298.15 + rng.NormFloat64()},
					Scatter: cell.Scatter{Capacity: 1 + 0.01*rng.NormFloat64(), Resistance: 1 + 0.03*rng.NormFloat64()},
				})
			}
			power[l] = (300 + 100*rng.Float64()) * length // a third of 1C
		}
		b.Predict(&kernel.Row{})
		w.blocks, w.powers = append(w.blocks, b), append(w.powers, power)
	}
	return w, nil
}

func (w *work) cells() int { return len(w.blocks) * length * kernel.Lanes }

// turn steps w with k by about so many cell-steps and returns what one of them took
// in ns. Half an hour of charging is followed by half an hour of discharging.
func (w *work) turn(k kernel.Kernel, cellSteps int) float64 {
	runtime.GC() // what it would do during the turn
	begun := time.Now()
	passes := max(1, cellSteps/(w.cells()*w.pass))
	for range passes {
		sign := 1.
		if w.steps/1800%2 == 1 {
			sign = -1
		}
		for n, b := range w.blocks {
			b.Use(k)
			for range w.pass {
				step(b, &w.powers[n], sign)
			}
		}
		w.steps += w.pass
	}
	return float64(time.Since(begun).Nanoseconds()) / float64(passes*w.cells()*w.pass)
}

// step takes a string's power by i*(A + B*i) = P.
func step(b *kernel.Block, power *kernel.Row, sign float64) {
	var i kernel.Row
	for l := range i {
		e, r, p := b.Drive.A[l], b.Drive.B[l], sign*power[l]
		i[l] = 2 * p / (e + math.Sqrt(e*e+4*r*p))
	}
	b.Step(&i, &i)
}

// race gives every contender so many turns and returns what a cell-step took in each.
func (w *work) race(contenders []kernel.Kernel, rounds int) [][]float64 {
	times := make([][]float64, len(contenders))
	for r := range rounds + 1 {
		for n, k := range contenders {
			ns := w.turn(k, 20_000_000)
			if r > 0 { // the first brings everything into place
				times[n] = append(times[n], ns)
			}
		}
	}
	return times
}

func table(contenders []kernel.Kernel, times [][]float64) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\tns a cell-step\tmillion/s\t")
	for _, k := range contenders {
		if k.Name == "go" || k.Name == "C" {
			fmt.Fprintf(w, "times %s\t", k.Name)
		}
	}
	fmt.Fprintln(w)
	for n, k := range contenders {
		ns := median(times[n])
		fmt.Fprintf(w, "%s\t%.2f (%.2f … %.2f)\t%.0f\t", k.Name, ns, slices.Min(times[n]), slices.Max(times[n]), 1e3/ns)
		for m, other := range contenders {
			if other.Name == "go" || other.Name == "C" {
				fmt.Fprintf(w, "%.2f\t", median(ratios(times[m], times[n])))
			}
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// anchors are speeds of other tools on one core, in ns per cell-step, as measured or
// published by others: not in this run, and with less physics where it says so.
func anchors(ours []float64) error {
	ns := median(ours)
	fmt.Printf("\nto other tools, at %.2f ns:\n\n", ns)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, a := range []struct {
		what   string
		lo, hi float64
	}{
		{"SLIDE Cell_ECM<2> (Euler, constant R, no heat, no hysteresis)", 38, 49},
		{"SLIDE series module", 73, 105},
		{"SLIDE parallel group of 16, a cell", 9400. / 16, 9400. / 16},
		{"SimSES, one battery as a whole", 3800, 3800},
		{"SimSES with ageing", 5500, 5500},
		{"liionpack, 5,000 cells in 1.63 s", 1.63e9 / 5000, 1.63e9 / 5000},
	} {
		if a.lo == a.hi {
			fmt.Fprintf(w, "%s\t%.0f ns\t%.0f ×\t\n", a.what, a.lo, a.lo/ns)
		} else {
			fmt.Fprintf(w, "%s\t%.0f–%.0f ns\t%.0f–%.0f ×\t\n", a.what, a.lo, a.hi, a.lo/ns, a.hi/ns)
		}
	}
	return w.Flush()
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}

func ratios(a, b []float64) (r []float64) {
	for n := range a {
		r = append(r, a[n]/b[n])
	}
	return r
}

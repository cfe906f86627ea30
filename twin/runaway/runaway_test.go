package runaway_test

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"yunchu/twin/params"
	"yunchu/twin/runaway"
)

const zeroCelsius = 273.15 // K

// kinetics is a runaway set in a cell of so many m3.
func kinetics(t testing.TB, name string, volume float64) *runaway.Kinetics {
	t.Helper()
	k, err := runaway.New(config(t, name, volume))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func config(t testing.TB, name string, volume float64) runaway.Params {
	t.Helper()
	p, err := params.LoadRunaway(name)
	if err != nil {
		t.Fatal(err)
	}
	reaction := func(r params.RunawayReaction) runaway.Reaction {
		return runaway.Reaction{A: r.A, Ea: r.Ea, HeatVol: r.Heat * r.Content, Initial: r.Initial}
	}
	cfg := runaway.Params{
		GasConstant: p.GasConstant,
		SEI:         reaction(p.SEI),
		Negative:    reaction(p.Negative),
		Positive:    reaction(p.Positive),
		Electrolyte: reaction(p.Electrolyte),
		Film:        p.Film,
		Volume:      volume,
		Short:       runaway.Short{Volt: p.Short.Volt, Share: p.Short.Share},
	}
	if p.Separator != (params.RunawaySeparator{}) {
		cfg.Separator = runaway.Separator{TempK: p.Separator.TempC + zeroCelsius, Ohm: p.Separator.Ohm}
	}
	if p.Vent != (params.RunawayVent{}) {
		cfg.Vent = runaway.Vent{TempK: p.Vent.TempC + zeroCelsius, Share: p.Vent.Share}
	}
	return cfg
}

// The cell of the oven cases, an 18650.
const (
	radius, length = 0.009, 0.065 // m
	volume         = math.Pi * radius * radius * length
	area           = 2*math.Pi*radius*length + 2*math.Pi*radius*radius
	capacity       = 2580 * 830 * volume // J/K
	emissivity     = 0.8
	sigma          = 5.670374419e-8 // W/m2/K4
	startK         = 301.15
)

func oven(tempK, convection float64) runaway.Surroundings {
	return runaway.Surroundings{EnvK: tempK, WPerK: convection * area, RadiantK4: emissivity * sigma * area}
}

// reactionsOnly is a set without short, separator and vent, as the oracles are.
func reactionsOnly(t testing.TB, name string) *runaway.Kinetics {
	t.Helper()
	cfg := config(t, name, volume)
	cfg.Short, cfg.Separator, cfg.Vent = runaway.Short{}, runaway.Separator{}, runaway.Vent{}
	k, err := runaway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func readCSV(t *testing.T, path string) [][]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The oven at 140 degC, which the cell survives, at several step lengths against
// the exact solver: the whole trace of temperature and fractions.
func TestOvenTrace(t *testing.T) {
	rows := readCSV(t, filepath.Join("..", "testdata", "reference", "F2_tr_oven_140C.csv"))
	k := kinetics(t, "runaway-lco", volume)
	for _, dt := range []float64{0.5, 5, 60, 900} {
		s, temp, at := k.Fresh(0), startK, 0.0
		var kelvin, fraction, peak float64
		n := 0
		for _, row := range rows {
			when := number(t, row[0])
			if math.Mod(when, max(dt, 5)) != 0 {
				continue
			}
			for ; at < when; at += dt {
				temp, _ = k.AdvanceCoupled(&s, dt, temp, capacity, oven(413.15, 7.17))
			}
			n++
			peak = max(peak, temp)
			kelvin = max(kelvin, math.Abs(temp-number(t, row[1])))
			for i, v := range []float64{s.SEI, s.Negative, s.Film, s.Positive, s.Electrolyte} {
				fraction = max(fraction, math.Abs(v-number(t, row[2+i])))
			}
		}
		t.Logf("dt %3g s, %d rows: temperature %.2g K, fractions %.2g; highest row %.4f K", dt, n, kelvin, fraction, peak)
		if kelvin > 5e-5 || fraction > 1e-6 {
			t.Errorf("dt %g s: %g K, %g off", dt, kelvin, fraction)
		}
	}
}

// run is an oven test of two hours: the peak and where it is, the time to 500 K or
// NaN, and the end. Peak and crossing lie between steps; as a state is a value, they
// are found by stepping from before them with other lengths.
func run(k *runaway.Kinetics, around runaway.Surroundings, dt float64) (peakK, peakS, t500 float64, s runaway.State, endK float64) {
	type point struct {
		s    runaway.State
		temp float64
	}
	after := func(p point, dt float64) point {
		p.temp, _ = k.AdvanceCoupled(&p.s, dt, p.temp, capacity, around)
		return p
	}
	now := point{k.Fresh(0), startK}
	last := now
	t500 = math.NaN()
	for at := dt; at <= 7200; at += dt {
		next := after(now, dt)
		if math.IsNaN(t500) && next.temp >= 500 {
			low, high := 0.0, dt
			for high-low > 1e-9 {
				if mid := (low + high) / 2; after(now, mid).temp < 500 {
					low = mid
				} else {
					high = mid
				}
			}
			t500 = at - dt + high
		}
		if now.temp > peakK && now.temp >= last.temp && now.temp >= next.temp {
			low, high := 0.0, 2*dt // after last
			for high-low > 1e-4 {
				a, b := low+(high-low)/3, high-(high-low)/3
				if after(last, a).temp < after(last, b).temp {
					low = a
				} else {
					high = b
				}
			}
			peakK, peakS = after(last, low).temp, at-2*dt+low
		}
		last, now = now, next
	}
	return peakK, peakS, t500, now.s, now.temp
}

// Ovens from 130 to 220 degC, both positive electrodes and two convections, against
// an implicit integration of the plain equations (testdata/oven.py).
func TestOvens(t *testing.T) {
	for _, row := range readCSV(t, "testdata/oven.csv") {
		name := row[0]
		want := make([]float64, len(row))
		for i := 1; i < len(row); i++ {
			want[i] = number(t, row[i])
		}
		set := "runaway-lco"
		if name == "lfp" {
			set = "runaway-lfp"
		}
		k := reactionsOnly(t, set)
		for _, dt := range []float64{1, 50} {
			peakK, peakS, t500, s, endK := run(k, oven(want[1]+zeroCelsius, want[2]), dt)
			offPeak, off500 := math.Abs(peakK-want[3]), math.Abs(t500-want[5])
			off := math.Abs(endK - want[6])
			for i, v := range []float64{s.SEI, s.Negative, s.Film, s.Positive, s.Electrolyte} {
				off = max(off, math.Abs(v-want[7+i]))
			}
			t.Logf("%-9s %g degC, dt %2g s: peak %.4f K (off %.2g), at %.1f s (%.2g), 500 K after %.3f s (%.2g); end off %.2g",
				name, want[1], dt, peakK, offPeak, peakS, math.Abs(peakS-want[4]), t500, off500, off)
			if offPeak > 2e-4 || off > 1e-6 || math.IsNaN(t500) != math.IsNaN(want[5]) || off500 > 1e-3 {
				t.Errorf("%s %g degC, dt %g s: peak %.6f K, want %.6f K; 500 K at %.4f s, want %.4f s; end off %g", name, want[1], dt, peakK, want[3], t500, want[5], off)
			}
		}
	}
}

func BenchmarkAdvance(b *testing.B) {
	k := kinetics(b, "runaway-lco", volume)
	for _, temp := range []float64{300, 350, 400} {
		b.Run(strconv.FormatFloat(temp, 'g', -1, 64)+"K", func(b *testing.B) {
			fresh := k.Fresh(0)
			for b.Loop() {
				s := fresh
				k.Advance(&s, 1, temp, temp+0.01)
			}
		})
	}
}

func BenchmarkAdvanceCoupled(b *testing.B) {
	k := kinetics(b, "runaway-lco", volume)
	for _, temp := range []float64{300, 350, 400, 500} {
		b.Run(strconv.FormatFloat(temp, 'g', -1, 64)+"K", func(b *testing.B) {
			fresh := k.Fresh(0)
			for b.Loop() {
				s := fresh
				k.AdvanceCoupled(&s, 1, temp, capacity, runaway.Surroundings{HeatW: 1})
			}
		})
	}
}

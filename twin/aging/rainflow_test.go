package aging_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"yunchu/twin/aging"
)

// count pushes a record and returns its cycles with what was left at the end.
func count(record []float64, tail bool) (cycles []aging.Cycle) {
	var r aging.Rainflow
	out := func(c aging.Cycle) { cycles = append(cycles, c) }
	for _, soc := range record {
		r.Push(aging.Sample{SoC: soc, CRate: 1, TempK: 300, Seconds: 1}, out)
	}
	if tail {
		r.Flush(out)
	}
	return cycles
}

// The example of ASTM E1049-85, Figure 6: counts by range.
func TestRainflowExampleOfTheStandard(t *testing.T) {
	got := map[float64]float64{}
	for _, c := range count([]float64{-2, 1, -3, 5, -1, 3, -4, 4, -2}, true) {
		got[c.Depth] += c.Count
	}
	want := map[float64]float64{3: 0.5, 4: 1.5, 6: 0.5, 8: 1, 9: 0.5}
	for depth, n := range want {
		if got[depth] != n {
			t.Errorf("range %g counts %g, want %g", depth, got[depth], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("ranges counted: %v, want those of %v", got, want)
	}
}

func TestRainflowStep(t *testing.T) {
	for _, tt := range []struct {
		name   string
		record []float64
		want   []aging.Cycle // Count, Depth, SoC
	}{
		{"nothing", nil, nil},
		{"one point", []float64{0.5}, nil},
		{"rest", []float64{0.5, 0.5, 0.5}, nil},
		{"one way", []float64{0.1, 0.4, 0.4, 0.9}, nil},
		{"inner cycle closes", []float64{0, 0.75, 0.5, 0.8}, []aging.Cycle{{Count: 1, Depth: 0.25, SoC: 0.625}}},
		{"growing swings", []float64{0.5, 0.75, 0.25, 1}, []aging.Cycle{{Count: 0.5, Depth: 0.25, SoC: 0.625}, {Count: 0.5, Depth: 0.5, SoC: 0.5}}},
		{"equal swings", []float64{0.25, 0.75, 0.25, 0.75}, []aging.Cycle{{Count: 0.5, Depth: 0.5, SoC: 0.5}, {Count: 0.5, Depth: 0.5, SoC: 0.5}}},
		{"shrinking swings stay open", []float64{0, 1, 0.2, 0.8, 0.4}, nil},
		{"two close at once", []float64{0, 0.9, 0.2, 0.6, 0.4, 1}, []aging.Cycle{{Count: 1, Depth: 0.2, SoC: 0.5}, {Count: 1, Depth: 0.7, SoC: 0.55}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := count(tt.record, false)
			if len(got) != len(tt.want) {
				t.Fatalf("cycles %+v, want %+v", got, tt.want)
			}
			for i, c := range got {
				if w := tt.want[i]; c.Count != w.Count || !near(c.Depth, w.Depth, 1e-15) || !near(c.SoC, w.SoC, 1e-15) {
					t.Errorf("cycle %d: %+v, want %+v", i, c, w)
				}
			}
		})
	}
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

// turns are the first and last point of a record and its peaks and troughs.
func turns(record []float64) (out []float64) {
	for _, x := range record {
		n := len(out)
		switch {
		case n > 0 && x == out[n-1]:
		case n > 1 && (x > out[n-1]) == (out[n-1] > out[n-2]):
			out[n-1] = x
		default:
			out = append(out, x)
		}
	}
	return out
}

// offline is ASTM E1049-85 §5.4.4 to the letter over the whole record.
func offline(record []float64) (cycles []aging.Cycle) {
	points := turns(record)
	rng := func(i int) float64 { return math.Abs(points[i+1] - points[i]) }
	emit := func(n float64, i int) {
		cycles = append(cycles, aging.Cycle{Count: n, Depth: rng(i), SoC: (points[i] + points[i+1]) / 2})
	}
	for read := 2; read < len(points); {
		switch y := read - 2; {
		case rng(y+1) < rng(y): // X < Y: read the next point
			read++
		case y == 0: // Y holds the starting point
			emit(0.5, y)
			points = points[1:]
			read = max(read-1, 2)
		default:
			emit(1, y)
			points = slices.Delete(points, y, y+2)
			read = max(read-2, 2)
		}
	}
	for i := range len(points) - 1 {
		emit(0.5, i)
	}
	return cycles
}

func sorted(cycles []aging.Cycle) []aging.Cycle {
	slices.SortFunc(cycles, func(a, b aging.Cycle) int {
		switch {
		case a.Depth != b.Depth:
			return int(math.Copysign(1, a.Depth-b.Depth))
		case a.SoC != b.SoC:
			return int(math.Copysign(1, a.SoC-b.SoC))
		}
		return int(2 * (a.Count - b.Count))
	})
	return cycles
}

// The state of charge is drawn from a coarse grid, where equal ranges are common,
// or a fine one.
func records(t *rapid.T, length int) []float64 {
	steps := rapid.SampledFrom([]int{4, 16, 1 << 20}).Draw(t, "steps")
	record := rapid.SliceOfN(rapid.IntRange(0, steps), 0, length).Draw(t, "record")
	out := make([]float64, len(record))
	for i, x := range record {
		out[i] = float64(x) / float64(steps)
	}
	return out
}

// Online and offline counts are the same as long as the residue has room, which a
// record with no more turning points than that has for certain.
func TestRainflowIsTheOfflineCount(t *testing.T) {
	same := func(t *rapid.T, record []float64) {
		got, want := sorted(count(record, true)), sorted(offline(record))
		if len(got) != len(want) {
			t.Fatalf("%d cycles online, %d offline", len(got), len(want))
		}
		for i := range got {
			if got[i].Count != want[i].Count || got[i].Depth != want[i].Depth || got[i].SoC != want[i].SoC {
				t.Fatalf("cycle %d: online %+v, offline %+v", i, got[i], want[i])
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) { same(t, records(t, aging.MaxTurns)) })
	rapid.Check(t, func(t *rapid.T) {
		record := records(t, 1000)
		if residue(record) >= aging.MaxTurns {
			t.Skip("no room")
		}
		same(t, record)
	})
}

// residue is the largest number of turning points that a count without bounds would
// remember.
func residue(record []float64) (most int) {
	var open []float64
	for _, x := range turns(record) {
		for open = append(open, x); len(open) >= 3; {
			n := len(open)
			if math.Abs(open[n-1]-open[n-2]) < math.Abs(open[n-2]-open[n-3]) {
				break
			}
			if n == 3 {
				open = open[1:]
			} else {
				open = append(open[:n-3], open[n-1])
			}
		}
		most = max(most, len(open))
	}
	return most
}

// Whatever the record: all that the state of charge moved, all time and heat are in the
// cycles, once.
func TestRainflowConserves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		record := records(t, 300)
		var r aging.Rainflow
		var depth, seconds, heat float64
		out := func(c aging.Cycle) {
			depth += 2 * c.FEC()
			seconds += c.Seconds
			heat += c.TempK * c.Seconds
		}
		var wantDepth, wantSeconds, wantHeat float64
		for i, soc := range record {
			s := aging.Sample{SoC: soc, TempK: rapid.Float64Range(270, 320).Draw(t, "K"), Seconds: rapid.Float64Range(1, 900).Draw(t, "s")}
			wantSeconds += s.Seconds
			wantHeat += s.TempK * s.Seconds
			if i > 0 {
				wantDepth += math.Abs(soc - record[i-1])
			}
			r.Push(s, out)
			if r.Len > aging.MaxTurns {
				t.Fatalf("%d turning points remembered", r.Len)
			}
		}
		var left aging.Work
		for _, turn := range r.Turns[:r.Len] {
			left.Seconds += turn.Seconds
		}
		if !near(seconds+left.Seconds, wantSeconds, 1e-9*wantSeconds) {
			t.Fatalf("%g s counted and %g s open, want %g s", seconds, left.Seconds, wantSeconds)
		}
		r.Flush(out)
		if wantDepth == 0 {
			return // no swing took the time
		}
		if !near(depth, wantDepth, 1e-12*wantDepth) {
			t.Fatalf("cycles of %g, but the state of charge moved %g", depth, wantDepth)
		}
		trailing := r.Turns[0].Work
		if !near(seconds+trailing.Seconds, wantSeconds, 1e-12*wantSeconds) || !near(heat+trailing.Heat, wantHeat, 1e-12*wantHeat) {
			t.Fatalf("cycles of %g s, %g K s, want %g s, %g K s", seconds, heat, wantSeconds, wantHeat)
		}
	})
}

// Swings each within the one before never close. When there is no more room the
// oldest leave as half cycles, and the sum of depths stays true, also when all of
// them close after all.
func TestRainflowFull(t *testing.T) {
	const swings = 200
	var record []float64
	var moved float64
	for i := range swings {
		record = append(record, 0.5+0.4*math.Pow(-0.98, float64(i)))
		if i > 0 {
			moved += math.Abs(record[i] - record[i-1])
		}
	}
	for _, tail := range [][]float64{nil, {1, 0}} {
		all, want := slices.Concat(record, tail), moved
		for i, soc := range tail {
			want += math.Abs(soc - all[swings+i-1])
		}
		var r aging.Rainflow
		var cycles []aging.Cycle
		var fec float64
		out := func(c aging.Cycle) {
			cycles = append(cycles, c)
			fec += c.FEC()
		}
		for i, soc := range all {
			r.Push(aging.Sample{SoC: soc, Seconds: 1}, out)
			if r.Len > aging.MaxTurns || i < swings && r.Len != min(i+1, aging.MaxTurns) {
				t.Fatalf("%d turning points remembered after %d", r.Len, i+1)
			}
			if n := len(cycles); i < swings && n > 0 && (cycles[n-1].Count != 0.5 || cycles[n-1].Depth != math.Abs(record[n]-record[n-1])) {
				t.Fatalf("cycle %d is %+v, want half of the oldest range", n, cycles[n-1])
			}
		}
		r.Flush(out)
		if !near(2*fec, want, 1e-12*want) {
			t.Errorf("cycles of %g, but the state of charge moved %g", 2*fec, want)
		}
	}
}

// At a constant rate the duration of a cycle is twice its depth over the rate, that
// of a half cycle half of it, nested or not, and the mean rate is the rate.
func TestRainflowWork(t *testing.T) {
	const rate, step = 0.5, 1.0 / 4096 // 1/h, of the state of charge
	rapid.Check(t, func(t *rapid.T) {
		targets := rapid.SliceOfN(rapid.IntRange(0, 4096), 2, 30).Draw(t, "targets")
		stride := rapid.SampledFrom([]int{1, 5, 64, 5000}).Draw(t, "stride")
		var r aging.Rainflow
		check := func(c aging.Cycle) {
			want := 2 * c.FEC() / rate * 3600
			if !near(c.Seconds, want, 1e-9*want) || !near(c.CRate, rate, 1e-12) || !near(c.TempK, 300, 1e-9) {
				t.Fatalf("%+v, want %g s at %g C and 300 K", c, want, rate)
			}
		}
		at := targets[0]
		r.Push(aging.Sample{SoC: float64(at) * step, TempK: 300}, check)
		for _, target := range targets {
			for at != target {
				move := min(max(target-at, -stride), stride)
				at += move
				r.Push(aging.Sample{
					SoC: float64(at) * step, CRate: math.Copysign(rate, float64(move)),
					TempK: 300, Seconds: math.Abs(float64(move)) * step / rate * 3600,
				}, check)
			}
		}
		r.Flush(check)
	})
}

// A year of frequency regulation around a slow drift, minute by minute: what the
// residue holds at most.
func TestRainflowResidueOfAYear(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var record []float64
	soc := 0.5
	for minute := range 365 * 24 * 60 {
		daily := 0.3 * math.Sin(2*math.Pi*float64(minute)/1440)
		soc += 0.01 * rng.NormFloat64()
		soc += 0.01 * (0.5 - soc)
		record = append(record, min(max(soc+daily, 0), 1))
	}
	most := residue(record)
	t.Logf("residue of a year of noise at 1 min: at most %d turning points of %d", most, aging.MaxTurns)
	if most >= aging.MaxTurns {
		t.Errorf("%d turning points open, room for %d", most, aging.MaxTurns)
	}
}

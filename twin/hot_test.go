package twin_test

import (
	"slices"
	"testing"
	"time"

	"yunchu/twin"
)

// temps are the temperatures in K of the cells of string str of unit 0.
func temps(f *twin.Fleet, str int) []float64 {
	_, cells := f.Strings()
	out := make([]float64, cells)
	for n := range out {
		out[n] = f.Cell(0, str, n).TempK
	}
	return out
}

// A cell driven into runaway gets far hotter than the heater alone can make it, cells
// next to it follow one after the other when they touch well and not when they are
// apart, and nothing of it reaches another string.
func TestRunawaySpreads(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	for _, tt := range []struct {
		name    string
		next    float64 // W/K
		spreads bool
	}{{"apart", 0.05, false}, {"pressed", 8, true}} {
		t.Run(tt.name, func(t *testing.T) {
			m := *loadModel(t, modelCells)
			s := *m.Strings
			s.NextWPerK, m.Strings = tt.next, &s
			f, err := twin.NewFleet(&m, []string{"a"}, twin.Options{SoCMean: 80, Start: start})
			if err != nil {
				t.Fatal(err)
			}
			f.FailFan(0, true)
			if err := f.Runaway(0, 2, 26); err != nil {
				t.Fatal(err)
			}
			peak := make([]float64, m.Series)
			first := make([]int, m.Series)
			for n := range 7200 {
				f.Step(at(time.Duration(n+1) * time.Second))
				if n%10 != 0 {
					continue
				}
				for k, x := range temps(f, 2) {
					peak[k] = max(peak[k], x)
					if x > 500 && first[k] == 0 {
						first[k] = n
					}
				}
			}
			if peak[26] < 650 {
				t.Errorf("the cell itself reached %.0f K", peak[26])
			}
			went := 0
			for _, x := range peak[:m.Strings.Module] {
				if x > 500 {
					went++
				}
			}
			if tt.spreads != (went > 10) || !tt.spreads && went != 1 {
				t.Errorf("%d cells of the module went", went)
			}
			if tt.spreads && !slices.IsSorted(first[26:30]) {
				t.Errorf("order of the cells: %v", first[24:32])
			}
			if peak[m.Strings.Module] > 400 {
				t.Errorf("a cell of the next module reached %.0f K", peak[m.Strings.Module])
			}
			for k, x := range temps(f, 3) {
				if x > 330 {
					t.Errorf("cell %d of another string at %.0f K", k, x)
				}
			}
			t.Logf("peaks %.0f, times %v", peak[20:34], first[20:34])
		})
	}
}

package aging_test

import (
	"testing"

	"pgregory.net/rapid"

	"yunchu/twin/aging"
	"yunchu/twin/params"
)

var duty = aging.Duty{CRate: 0.25, TempK: 298.15, SoC: 0.5, EndLoss: 0.2}

func segments(t *testing.T, m *aging.Model, n int) []aging.Segment {
	t.Helper()
	list, err := m.DepthSegments(n, duty)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Of one power law k(depth)*FEC^p with end of life at L, a cycle takes the share
// depth*(k/L)^(1/p) of life.
func TestDepthSegmentsOfNaumann(t *testing.T) {
	set, err := params.LoadAging("sony-naumann")
	if err != nil {
		t.Fatal(err)
	}
	y := set.Cycle.Naumann2020
	share := func(depth float64) float64 {
		k := (y.QRateSlope*duty.CRate + y.QRateOffset) * (y.QDepthSlope*cube(depth-y.QDepthCentre) + y.QDepthOffset) / 100
		return depth * square(k/duty.EndLoss)
	}
	w := worst{t: t}
	var sum float64
	for i, s := range segments(t, load(t, "sony-naumann", 1), 16) {
		sum += s.Share
		if s.From != float64(i)/16 || s.To != float64(i+1)/16 {
			t.Errorf("segment %d is %g..%g", i, s.From, s.To)
		}
		w.check("share up to a depth", sum, share(s.To))
	}
	w.report("depth segments against the closed form")
}

// A life of cycles of one depth, as the cell itself lives it.
func TestDepthSegmentsAreALife(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		m := load(t, set, 1)
		for _, s := range segments(t, m, 1) {
			cycles := 1 / s.Share
			half := 3600 / duty.CRate
			c := m.Start(aging.State{})
			c.Advance(1e-9, 0, duty.TempK, 0)
			soc := func(end float64) float64 { // laws by charge see the middle of the swing
				if set == "sony-schimpe" || set == "a123-wang" {
					return duty.SoC
				}
				return end
			}
			for range int(cycles) {
				c.Advance(half, soc(1), duty.TempK, duty.CRate)
				c.Advance(half, soc(0), duty.TempK, -duty.CRate)
			}
			c.Flush()
			_, cycle := c.Losses()
			t.Logf("%.0f full cycles at C/4 and 25 degC to 20 %%", cycles)
			if !near(cycle.Q, duty.EndLoss, duty.EndLoss*2/cycles) {
				t.Errorf("after %.0f cycles %g of capacity is lost, want %g", cycles, cycle.Q, duty.EndLoss)
			}
		}
	})
}

func TestDepthSegmentsConvex(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		m := load(t, set, 1)
		rapid.Check(t, func(t *rapid.T) {
			n := rapid.IntRange(1, 60).Draw(t, "n")
			list, err := m.DepthSegments(n, duty)
			if err != nil {
				t.Fatal(err)
			}
			var law, convex float64
			for i, s := range list {
				law, convex = law+s.Share, convex+s.Convex
				if i > 0 && s.Convex < list[i-1].Convex {
					t.Fatalf("segment %d costs %g after %g", i, s.Convex, list[i-1].Convex)
				}
				if convex > law*(1+1e-12) {
					t.Fatalf("up to %g the convex share is %g, above %g", s.To, convex, law)
				}
			}
			if !near(law, convex, 1e-12*law) || !(law > 0) {
				t.Fatalf("shares sum to %g, convex ones to %g", law, convex)
			}
		})
	})
}

// A law by charge knows no depth: all slices cost the same.
func TestDepthSegmentsByCharge(t *testing.T) {
	for _, set := range []string{"a123-wang", "sony-schimpe"} {
		list := segments(t, load(t, set, 1), 10)
		for i, s := range list {
			if !near(s.Share, list[0].Share, 1e-12*s.Share) || !near(s.Convex, s.Share, 1e-12*s.Share) {
				t.Errorf("%s: segment %d is %+v, the first %+v", set, i, s, list[0])
			}
		}
	}
}

func TestDepthSegmentsRefuse(t *testing.T) {
	m := load(t, "sony-naumann", 1)
	for _, tt := range []struct {
		n int
		d aging.Duty
	}{{0, duty}, {4, aging.Duty{}}, {4, aging.Duty{CRate: -1, TempK: 300, EndLoss: 0.2}}, {4, aging.Duty{CRate: 1, TempK: 300}}} {
		if list, err := m.DepthSegments(tt.n, tt.d); err == nil {
			t.Errorf("%d segments for %+v: %v, want an error", tt.n, tt.d, list)
		}
	}
}

func TestDepthSegmentsWithoutLaw(t *testing.T) {
	m, err := aging.New(aging.Params{Scale: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segments(t, m, 3) {
		if s.Share != 0 || s.Convex != 0 {
			t.Errorf("%+v costs life without a law", s)
		}
	}
}

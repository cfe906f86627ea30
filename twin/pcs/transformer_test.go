package pcs_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin/params"
	"yunchu/twin/pcs"
)

func transformers(t *testing.T) map[float64]pcs.Transformer {
	t.Helper()
	all := map[float64]pcs.Transformer{}
	for _, name := range params.TransformerSeries() {
		s, err := params.LoadTransformers(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range s.Ratings {
			all[r.KVA] = pcs.NewTransformer(r.KVA*1e3, r.NoLoadW, r.LoadW, r.Impedance, r.Magnetised)
		}
	}
	return all
}

func TestTransformer(t *testing.T) {
	for kva, tr := range transformers(t) {
		// The peak of the efficiency is where both losses are equal.
		best, at := 0.0, 0.0
		for x := 0.01; x < 1.2; x += 1e-4 {
			p := x * tr.RatedVA
			gridP, _ := tr.Grid(p, 0)
			if eta := p / gridP; eta > best {
				best, at = eta, x
			}
		}
		if want := math.Sqrt(tr.NoLoadW / tr.LoadW); !(math.Abs(at-want) <= 2e-4) {
			t.Errorf("%g kVA: most efficient at %.4f of its rating, want %.4f", kva, at, want)
		}
		if best < 0.98 {
			t.Errorf("%g kVA: efficiency %.4f at best", kva, best)
		}
		rapid.Check(t, func(t *rapid.T) {
			p, q := rapid.Float64Range(-1.2, 1.2).Draw(t, "p")*tr.RatedVA, rapid.Float64Range(-1.2, 1.2).Draw(t, "q")*tr.RatedVA
			gridP, gridQ := tr.Grid(p, q)
			if back := tr.Converter(gridP, q); !(math.Abs(back-p) <= 1e-12*tr.RatedVA) {
				t.Fatalf("%g W at the grid is %g W at the converter, want %g W", gridP, back, p)
			}
			if d := math.Abs(gridP - p - tr.LossW(p, q)); !(d <= 1e-12*tr.RatedVA) || gridQ <= q {
				t.Fatalf("loss off by %g W, %g var at the grid for %g", d, gridQ, q)
			}
		})
	}
}

// The loss of a transformer behind a converter that ramps is exact for the step.
func TestTransformerLossOnARamp(t *testing.T) {
	tr := transformers(t)[100]
	s := rest()
	var f pcs.Flow
	converter.Accept(&s, 0, -75e3, pcs.Never)
	converter.Advance(&s, 0, time.Second, -100e3, 100e3, &f)
	got := tr.LossJ(f.VA2S, 1)
	want := 130.0 + 1250*(0.75*0.75)*(0.3/3+0.66) // 40 ms of nothing, 0.3 s of ramp, 0.66 s at 75 kW
	if !(math.Abs(got-want) <= 1e-9) {
		t.Errorf("%.12g J lost, want %.12g J", got, want)
	}
}

func TestAuxiliary(t *testing.T) {
	set, err := params.LoadAuxiliary("auxiliary-pcs-250kva")
	if err != nil {
		t.Fatal(err)
	}
	a := pcs.Auxiliary{RatedVA: set.RatedKVA * 1e3, ConstantW: set.ConstantW, FanW: set.FanW, FanFrom: set.FanFrom, PerLoad: set.PerLoad}
	for va, want := range map[float64]float64{0: 150, 50e3: 175, 150e3: 150 + 75 + 600*0.125, 250e3: 875, 300e3: 900} {
		if got := a.W(va); !(math.Abs(got-want) <= 1e-9) {
			t.Errorf("%g W at %g VA, want %g W", got, va, want)
		}
	}
}

package fit_test

import (
	"math"
	"math/rand"
	"strings"
	"testing"

	"yunchu/twin/cell"
	"yunchu/twin/fit"
)

// known is a cell with round numbers, its tables on the knots of a fit.
func known() (cell.Params, *fit.OpenCircuit) {
	o := &fit.OpenCircuit{Source: "made up"}
	for k := range 101 {
		z := float64(k) / 100
		o.SoC = append(o.SoC, z)
		o.U = append(o.U, 3.2+0.25*z-0.7*math.Exp(-25*z)+0.15*math.Exp(-30*(1-z)))
		o.Gap, o.DUDT = append(o.Gap, 0.006), append(o.DUDT, 1e-4*(z-0.4))
	}
	return cell.Params{
		CapacityAh: 2.5, CoulombicEfficiency: 0.995, TRefK: 298.15, RGas: 8.314462618,
		OCV: cell.Table{SoC: o.SoC, Value: o.U}, HalfGap: cell.Table{SoC: o.SoC, Value: o.Gap}, Entropy: cell.Table{SoC: o.SoC, Value: o.DUDT},
		Resistance: cell.Table{SoC: []float64{0, 0.5, 1}, Value: []float64{0.055, 0.045, 0.05}},
		Fraction:   [3]float64{0.3, 0.3, 0.4}, Activation: [3]float64{14e3, 16e3, 17e3}, Tau: [2]float64{25, 700}, Gamma: 12,
	}, o
}

// drive is three hours and a half of a drive cycle from full to empty, with sensors of
// sigma volt whose error has the correlation time tau.
func drive(t testing.TB, p cell.Params, tempK, sigma, tau float64, seed int64) *fit.Record {
	t.Helper()
	m, err := cell.New(p)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewSource(seed))
	r := &fit.Record{Name: "drive", TempK: tempK, SoC: 1, Hyst: 1}
	i := 0.0
	for k := range 12600 {
		switch {
		case k < 120 || k >= 12300:
			i = 0
		case k%8 == 0:
			i = min(max(-0.74+4*rng.NormFloat64(), -12), 8)
		}
		r.T, r.I = append(r.T, float64(k)), append(r.I, i)
	}
	r.V = make([]float64, len(r.T))
	r.Simulate(m, r.V, make([]float64, len(r.T)))
	keep := math.Exp(-1 / tau)
	e := sigma * rng.NormFloat64()
	for k := range r.V {
		e = keep*e + sigma*math.Sqrt(1-keep*keep)*rng.NormFloat64()
		r.V[k] += e
	}
	return r
}

// From records with an error that lasts, at two temperatures, the cell comes back: its
// voltage at a third one, its parameters within their intervals.
func TestRecoversCell(t *testing.T) {
	p, o := known()
	var inside, all int
	for seed := range int64(3) {
		in := fit.Input{OCV: o, CapacityAh: p.CapacityAh, TRefK: p.TRefK}
		for k, tempK := range []float64{278.15, 308.15} {
			in.Records = append(in.Records, drive(t, p, tempK, 0.003, 200, 10*seed+int64(k)))
		}
		got, err := fit.Cell(in)
		if err != nil {
			t.Fatal(err)
		}
		m, err := cell.New(got.Params)
		if err != nil {
			t.Fatal(err)
		}
		if s := drive(t, p, 293.15, 0, 1, 99).Score(m, 0.1, 0.9); s.RMSE > 0.0025 {
			t.Errorf("seed %d: %.2f mV at a temperature that was not fitted, want 2.5", seed, 1e3*s.RMSE)
		}
		if got.SigmaV < 0.002 || got.SigmaV > 0.004 || got.CorrelationS < 150 || got.CorrelationS > 800 {
			t.Errorf("seed %d: residuals of %.2f mV over %.0f s, the noise has 3 mV over twice 200 s", seed, 1e3*got.SigmaV, got.CorrelationS)
		}
		want := map[string]float64{
			"resistance.R_tot_ref_ohm[0]": 0.055, "resistance.R_tot_ref_ohm[3]": 0.049, "resistance.R_tot_ref_ohm[5]": 0.045, "resistance.R_tot_ref_ohm[8]": 0.048,
			"resistance.frac.R0": 0.3, "resistance.frac.R1": 0.3, "resistance.frac.R2": 0.4,
			"resistance.Ea_J_per_mol.R0": 14e3, "resistance.Ea_J_per_mol.R1": 16e3, "resistance.Ea_J_per_mol.R2": 17e3,
			"resistance.tau_s.tau1": 25, "resistance.tau_s.tau2": 700, "hysteresis.gamma": 12, "coulombic_efficiency_charge": 0.995,
		}
		for _, i := range got.Intervals {
			w, ok := want[i.Key]
			if !ok {
				continue
			}
			delete(want, i.Key)
			all++
			if w >= i.Low && w <= i.High {
				inside++
			} else {
				t.Logf("seed %d: %s is %g, its interval %g..%g", seed, i.Key, w, i.Low, i.High)
			}
		}
		if len(want) > 0 {
			t.Errorf("no intervals of %v", want)
		}
	}
	// 95 % of 42; they are not independent of each other.
	if inside < all*85/100 {
		t.Errorf("%d of %d true parameters lie within their intervals, want nearly all", inside, all)
	}
	t.Logf("%d of %d within", inside, all)
}

// Without noise the ohmic resistance and the time constant are those of the cell.
func TestRecoversOhmicPart(t *testing.T) {
	p, o := known()
	in := fit.Input{OCV: o, CapacityAh: p.CapacityAh, Efficiency: p.CoulombicEfficiency, TRefK: p.TRefK, Records: []*fit.Record{drive(t, p, 298.15, 1e-4, 1, 1)}}
	got, err := fit.Cell(in)
	if err != nil {
		t.Fatal(err)
	}
	r0 := got.Params.Fraction[0] * got.Params.Resistance.Value[5]
	if want := 0.3 * 0.045; math.Abs(r0/want-1) > 0.02 {
		t.Errorf("ohmic part %.5g ohm, want %.5g", r0, want)
	}
	if math.Abs(got.Params.Tau[0]/25-1) > 0.1 {
		t.Errorf("time constant %.3g s, want 25", got.Params.Tau[0])
	}
	if s := got.Scores[0]; s.RMSE > 5e-4 {
		t.Errorf("RMSE %.3f mV, want 0.5", 1e3*s.RMSE)
	}
}

func TestCellNamesEveryFault(t *testing.T) {
	_, err := fit.Cell(fit.Input{Records: []*fit.Record{
		{Name: "a.csv", T: []float64{0, 1, 1}, I: []float64{0, 0, 0}, V: []float64{3, 3, 3}, TempK: 298},
		{Name: "b.csv", T: []float64{0}, TempK: 25, SoC: 50},
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"a.csv: time 1 s after 1 s", "b.csv: 1 times", "b.csv: temperature 25 K", "b.csv: start at a state of charge of 50", "no open-circuit", "capacity 0 Ah"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
}

// With counters the simulated charge is theirs, whatever the readings miss.
func TestFollowsCounters(t *testing.T) {
	r := &fit.Record{}
	var in, out []float64
	var a, b float64
	for k := range 5000 {
		i := 3 * math.Sin(float64(k)/40)
		r.T, r.I = append(r.T, float64(k)), append(r.I, i)
		a += max(i, 0) * 1.01 / 3600
		b -= min(i, 0) * 1.02 / 3600
		in, out = append(in, math.Round(1e4*a)/1e4), append(out, math.Round(1e4*b)/1e4)
	}
	r.Follow(in, out)
	gotIn, gotOut := r.Moved()
	if math.Abs(gotIn-a) > 2e-4 || math.Abs(gotOut-b) > 2e-4 {
		t.Errorf("moved %.5f and %.5f Ah, the counters say %.5f and %.5f", gotIn, gotOut, a, b)
	}
	for k := 1; k < len(r.T); k++ {
		if even := (r.I[k] + r.I[k-1]) / 2; math.Abs(r.Mean[k]-even) > 0.08*math.Abs(even)+1e-12 {
			t.Fatalf("step %d: mean current %g A between readings of %g and %g", k, r.Mean[k], r.I[k-1], r.I[k])
		}
	}
}

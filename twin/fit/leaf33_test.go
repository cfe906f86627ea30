package fit_test

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/interp"

	"yunchu/twin/cell"
	"yunchu/twin/fit"
)

// A cell of another chemistry (LMO-NMC, 33 Ah) fitted to a pulse test at 25 degC, whose
// rests are its open-circuit voltage, predicts a discharge in one hour, in which it warms
// up unrecorded. No bar is set for it; half a per cent of the voltage is sane.
func TestLeaf33(t *testing.T) {
	c := columns(t, measured(t, "nmc_leaf33_ornl", "leaf33_cell_hppc_25C.csv"))
	pulses := part(c, 5, 1e9)
	pulses.SoC, pulses.Hyst = 1, 1
	_, given := pulses.Moved()
	taken, _ := pulses.Moved()
	capacity := given - taken // it ends empty

	var z, v []float64 // at the ends of the rests, falling
	ah := 0.0
	for k := 1; k < len(pulses.T); k++ {
		if pulses.I[k-1] > -0.1 && pulses.I[k-1] < 0.1 && pulses.I[k] < -1 {
			z, v = append(z, 1+ah/capacity), append(v, pulses.V[k-1])
		}
		i := (pulses.I[k] + pulses.I[k-1]) / 2
		if pulses.T[k]-pulses.T[k-1] > 5 {
			i = pulses.I[k]
		}
		ah += i * (pulses.T[k] - pulses.T[k-1]) / 3600
	}
	// A curve through the rests; empty, the cell rests at 3.147 V (its other record).
	knots, volts := []float64{0}, []float64{3.147}
	for k, v0 := range slices.Backward(z) {
		knots, volts = append(knots, v0), append(volts, v[k])
	}
	var curve interp.FritschButland
	if err := curve.Fit(knots, volts); err != nil {
		t.Fatal(err)
	}
	b := fit.Branches{Name: "rests", TempK: 298.15}
	for k := range 101 {
		x := float64(k) / 100
		b.SoC, b.Discharge = append(b.SoC, x), append(b.Discharge, curve.Predict(x))
	}
	b.Charge = b.Discharge
	o, err := fit.NewOpenCircuit([]fit.Branches{b}, 298.15)
	if err != nil {
		t.Fatal(err)
	}
	got, err := fit.Cell(fit.Input{Records: []*fit.Record{pulses}, OCV: o, CapacityAh: capacity, Efficiency: 1, TRefK: 298.15})
	if err != nil {
		t.Fatal(err)
	}
	m, err := cell.New(got.Params)
	if err != nil {
		t.Fatal(err)
	}
	discharge := part(columns(t, measured(t, "nmc_leaf33_ornl", "leaf33_cell_discharge_1C.csv")), 2, 13655)
	discharge.SoC, discharge.Hyst = 1, 1
	s := discharge.Score(m, 0.1, 0.9)
	t.Logf("%.2f Ah; pulses: RMSE %.2f mV, at most %.1f mV; 1C discharge: RMSE %.2f mV, at most %.1f mV", capacity, 1e3*got.Scores[0].RMSE, 1e3*got.Scores[0].Max, 1e3*s.RMSE, 1e3*s.Max)
	if got.Scores[0].RMSE > 0.01 || s.RMSE > 0.015 {
		t.Errorf("RMSE %.2f mV of the pulses, %.2f mV of the discharge", 1e3*got.Scores[0].RMSE, 1e3*s.RMSE)
	}
}

// part is a record from the first row of a step of the cycler until a time.
func part(c map[string][]float64, step, until float64) *fit.Record {
	r := &fit.Record{Name: "leaf33", TempK: 298.15}
	for k, t := range c["t_s"] {
		if len(r.T) == 0 && c["step"][k] != step || t >= until || len(r.T) > 0 && t <= r.T[len(r.T)-1] {
			continue
		}
		r.T, r.I, r.V = append(r.T, t), append(r.I, c["I_A"][k]), append(r.V, c["V_V"][k])
	}
	r.SoC = math.NaN()
	return r
}

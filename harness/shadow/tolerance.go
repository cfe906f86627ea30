//go:build !nosim

package shadow

import (
	"cmp"
	"errors"
	"fmt"
)

// Tolerance is what device and model may be apart by when nothing is wrong. A field
// that is 0 stands for its default.
type Tolerance struct {
	NoiseV        float64 // V per cell, one sigma of readings against a perfect model; default 1 mV
	ReportStepV   float64 // V, step in which the pack reports its voltage; default 0.1
	Overpotential float64 // share, one sigma of the twin's overpotential; default 0.01
	SoC           float64 // 0..1, one sigma of the state of charge as it moves the open-circuit voltage; default 0.003
	ModelV        float64 // V per cell: slow deviations up to this are the model's; default 12 mV

	OffsetV    float64 // V per cell, smallest sudden offset that counts; default 4 mV
	Resistance float64 // share, smallest rise that counts; default 0.10. A fall counts from three times this on
	SoCJump    float64 // 0..1, default 0.02
	Capacity   float64 // share, default 0.05
	LeakPerH   float64 // share of capacity lost per hour, default 0.001
	Current    float64 // share of rated current, default 0.02
	TempK      float64 // K, default 2, and 10 where nobody knows the temperature of air and coolant
	TempJumpK  float64 // K within one reading, default 1.5
	DelayS     float64 // s beyond the usual delay of readings, default 2
	SilenceS   float64 // s, and at least five periods; default 10
	Power      float64 // share of rated power that a device may be off its setpoint, default 0.05
}

func (t Tolerance) withDefaults(series float64, airKnown bool) Tolerance {
	t.ReportStepV = cmp.Or(t.ReportStepV, 0.1)
	t.NoiseV = cmp.Or(t.NoiseV, 1e-3)
	t.Overpotential = cmp.Or(t.Overpotential, 0.01)
	t.SoC = cmp.Or(t.SoC, 0.003)
	t.ModelV = cmp.Or(t.ModelV, 12e-3)
	t.OffsetV = cmp.Or(t.OffsetV, 4e-3)
	t.Resistance = cmp.Or(t.Resistance, 0.10)
	t.SoCJump = cmp.Or(t.SoCJump, 0.02)
	t.Capacity = cmp.Or(t.Capacity, 0.05)
	t.LeakPerH = cmp.Or(t.LeakPerH, 1e-3)
	t.Current = cmp.Or(t.Current, 0.02)
	t.TempJumpK = cmp.Or(t.TempJumpK, 1.5)
	t.DelayS = cmp.Or(t.DelayS, 2)
	t.SilenceS = cmp.Or(t.SilenceS, 10)
	t.Power = cmp.Or(t.Power, 0.05)
	if t.TempK == 0 {
		t.TempK = 2
		if !airKnown {
			t.TempK = 10
		}
	}
	// Nothing smaller than the steps of the report can be told from rounding.
	t.OffsetV = max(t.OffsetV, 2*t.ReportStepV/series)
	t.NoiseV = max(t.NoiseV, t.ReportStepV/series/2)
	return t
}

func (t *Tolerance) check() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value float64
	}{
		{"noise", t.NoiseV},
		{"report step", t.ReportStepV},
		{"overpotential", t.Overpotential},
		{"state of charge", t.SoC},
		{"model voltage", t.ModelV},
		{"offset", t.OffsetV},
		{"resistance", t.Resistance},
		{"jump of the state of charge", t.SoCJump},
		{"capacity", t.Capacity},
		{"leak", t.LeakPerH},
		{"current", t.Current},
		{"temperature", t.TempK},
		{"jump of the temperature", t.TempJumpK},
		{"delay", t.DelayS},
		{"silence", t.SilenceS},
		{"power", t.Power},
	} {
		if !(f.value > 0) {
			errs = append(errs, fmt.Errorf("tolerance of %s %g is not above 0", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

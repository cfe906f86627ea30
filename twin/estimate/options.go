package estimate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
)

// Options are what the filter is told besides the cell. Zero stands for the default
// of every field but SoC and Hyst.
type Options struct {
	SoC  float64 // 0..1, believed at the start
	Hyst float64 // -1..1, likewise

	SoCSigma        float64 // of SoC; default 0.2
	SensorSigmaV    float64 // V, white noise of the voltage reading; default 0.002
	ModelSigmaV     float64 // V, what the model is wrong by; default 0.006
	TableSigma      float64 // state of charge, shift of the model's tables; default 0.01
	ResistanceSigma float64 // share of the ohmic voltage the model is wrong by; default 0.1
	ModelTauS       float64 // s, correlation time of those three; default 1800
	CurrentSigmaA   float64 // A, white noise of the current reading at 1 s; default 0.01 of the current of one hour
	OffsetSigmaA    float64 // A, size of an offset of the current; default 0.02 of the current of one hour
	OffsetAfterS    float64 // s until the offset is estimated; default 3600
	GateSigma       float64 // where the gate is; default 4

	FixedResistance bool // leave ResistanceFactor at 1
	FixedCapacity   bool // leave CapacityFactor at 1
}

func (o Options) withDefaults(capacityAh float64) Options {
	o.SoCSigma = cmp.Or(o.SoCSigma, 0.2)
	o.SensorSigmaV = cmp.Or(o.SensorSigmaV, 0.002)
	o.ModelSigmaV = cmp.Or(o.ModelSigmaV, 0.006)
	o.TableSigma = cmp.Or(o.TableSigma, 0.01)
	o.ResistanceSigma = cmp.Or(o.ResistanceSigma, 0.1)
	o.ModelTauS = cmp.Or(o.ModelTauS, 1800)
	o.CurrentSigmaA = cmp.Or(o.CurrentSigmaA, 0.01*capacityAh)
	o.OffsetSigmaA = cmp.Or(o.OffsetSigmaA, 0.02*capacityAh)
	o.OffsetAfterS = cmp.Or(o.OffsetAfterS, 3600)
	o.GateSigma = cmp.Or(o.GateSigma, 4)
	return o
}

func (o Options) check() error {
	var errs []error
	if !(o.SoC >= 0 && o.SoC <= 1) {
		errs = append(errs, fmt.Errorf("soc %g is not within 0..1", o.SoC))
	}
	if !(o.Hyst >= -1 && o.Hyst <= 1) {
		errs = append(errs, fmt.Errorf("hysteresis %g is not within -1..1", o.Hyst))
	}
	for _, v := range []struct {
		name  string
		value float64
	}{
		{"SoCSigma", o.SoCSigma},
		{"SensorSigmaV", o.SensorSigmaV},
		{"ModelSigmaV", o.ModelSigmaV},
		{"TableSigma", o.TableSigma},
		{"ResistanceSigma", o.ResistanceSigma},
		{"ModelTauS", o.ModelTauS},
		{"CurrentSigmaA", o.CurrentSigmaA},
		{"OffsetSigmaA", o.OffsetSigmaA},
		{"OffsetAfterS", o.OffsetAfterS},
		{"GateSigma", o.GateSigma},
	} {
		if !(v.value > 0) || math.IsInf(v.value, 0) {
			errs = append(errs, fmt.Errorf("%s %g is not above 0", v.name, v.value))
		}
	}
	return errors.Join(errs...)
}

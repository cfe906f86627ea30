package dispatch

import (
	"errors"
	"fmt"
	"math"
)

// Droop is a fleet's answer to the frequency of the grid: below nominal it discharges, above
// it charges, all of its rated power at a deviation of Percent of the nominal frequency.
type Droop struct {
	NominalHz  float64 // 50 or 60
	Percent    float64 // of NominalHz, above 0
	DeadbandHz float64 // a deviation within it asks for nothing, and one beyond it for what lies beyond
	MostKW     float64 // bound of the answer in either direction; 0 = rated power
	// Within the deadband the fleet goes back to RecoverPercent of charge, with at most
	// RecoverKW; 0: it does not.
	RecoverKW      float64
	RecoverPercent float64
}

// Validate returns all that is wrong with d.
func (d *Droop) Validate() error {
	var errs []error
	for _, x := range [...]struct {
		ok   bool
		what string
	}{
		{d.NominalHz >= 10 && d.NominalHz <= 400, fmt.Sprintf("a nominal frequency of %g Hz", d.NominalHz)},
		{d.Percent > 0 && d.Percent <= 100, fmt.Sprintf("a droop of %g %%", d.Percent)},
		{d.DeadbandHz >= 0 && d.DeadbandHz < d.NominalHz, fmt.Sprintf("a deadband of %g Hz", d.DeadbandHz)},
		{d.MostKW >= 0, fmt.Sprintf("a bound of %g kW", d.MostKW)},
		{d.RecoverKW >= 0 && d.RecoverPercent >= 0 && d.RecoverPercent <= 100, fmt.Sprintf("a recovery of %g kW to %g %%", d.RecoverKW, d.RecoverPercent)},
	} {
		if !x.ok {
			errs = append(errs, errors.New(x.what+" is none"))
		}
	}
	return errors.Join(errs...)
}

// Power is what the fleet shall do at a frequency, kW: (f − f0 ∓ deadband)/(droop·f0) of its
// rated power. A frequency that is no number asks for nothing.
func (d *Droop) Power(hz, ratedKW float64) float64 {
	off := hz - d.NominalHz
	switch {
	case d.within(hz) || math.IsNaN(off):
		return 0
	case off > 0:
		off -= d.DeadbandHz
	default:
		off += d.DeadbandHz
	}
	most := ratedKW
	if d.MostKW > 0 {
		most = min(most, d.MostKW)
	}
	return min(max(off/(d.Percent/100*d.NominalHz)*ratedKW, -most), most)
}

// Plausible reports whether a frequency is one that a grid has, within a tenth of nominal.
func (d *Droop) Plausible(hz float64) bool {
	return math.Abs(hz-d.NominalHz) <= d.NominalHz/10 // NaN compares false
}

// within reports whether a frequency lies in the deadband, its edges with it.
func (d *Droop) within(hz float64) bool {
	const rounding = 1e-9 // Hz
	return math.Abs(hz-d.NominalHz) <= d.DeadbandHz+rounding
}

// recoverHours is the time in which recovery would close a difference in charge, were it not
// for its bound.
const recoverHours = 0.25

// Recover is what brings the fleet's charge, in percent of its energy in kWh, back while the
// frequency is within the deadband, kW.
func (d *Droop) Recover(hz, soc, kwh float64) float64 {
	if d.RecoverKW == 0 || !d.within(hz) {
		return 0
	}
	kw := (d.RecoverPercent - soc) / 100 * kwh / recoverHours
	if math.IsNaN(kw) {
		return 0
	}
	return min(max(kw, -d.RecoverKW), d.RecoverKW)
}

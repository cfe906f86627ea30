package device

import (
	"errors"
	"fmt"
)

// WearStep is what the use of a battery costs between the depth of the step before it and
// its own: money for each kWh that is taken out there and put back. Depth is in percent of
// the capacity, counted as rainflow counting counts cycles.
type WearStep struct {
	ToPercent  float64 `json:"to_percent" exclusiveMinimum:"0" maximum:"100" doc:"depth that the step goes to, percent of the capacity"`
	CostPerKWh float64 `json:"cost_per_kwh" minimum:"0" maximum:"1000" doc:"money for each kWh taken out there and put back"`
}

// Wear is the cost of depth in steps, the shallowest first. Costs never fall with depth: of
// others the energy that is cheapest to use next is not known.
type Wear []WearStep

// MaxWearSteps bounds what a device may bring with it.
const MaxWearSteps = 64

// Validate returns what is wrong with w; steps that none are is not.
func (w Wear) Validate() error {
	var errs []error
	if len(w) > MaxWearSteps {
		return fmt.Errorf("wear has %d steps, the most are %d", len(w), MaxWearSteps)
	}
	depth, cost := 0.0, 0.0
	for i, s := range w {
		if !(s.ToPercent > depth && s.ToPercent <= 100) {
			errs = append(errs, fmt.Errorf("step %d of wear goes to %g %%: depths rise from above 0 to 100", i+1, s.ToPercent))
		}
		if !(s.CostPerKWh >= cost && s.CostPerKWh <= 1000) {
			errs = append(errs, fmt.Errorf("step %d of wear costs %g per kWh: costs do not fall with depth and are at most 1000", i+1, s.CostPerKWh))
		}
		depth, cost = s.ToPercent, s.CostPerKWh
	}
	if len(w) > 0 && len(errs) == 0 && depth != 100 {
		errs = append(errs, fmt.Errorf("the last step of wear goes to %g %%, not to 100", depth))
	}
	return errors.Join(errs...)
}

// Loss is what a converter loses while it runs, by its AC power P in kW in either
// direction: FixedKW + PerKW·|P| + PerKW2·P². One at zero power rests and loses none of it.
type Loss struct {
	FixedKW float64 `json:"fixed_kw" minimum:"0" maximum:"1e9" doc:"lost while it runs, whatever its power, kW"`
	PerKW   float64 `json:"per_kw" minimum:"0" maximum:"1" doc:"lost of each kW"`
	PerKW2  float64 `json:"per_kw2" exclusiveMinimum:"0" maximum:"1000" doc:"lost by the square of the power, 1/kW"`
}

// At is the loss at an AC power, kW.
func (l *Loss) At(kw float64) float64 {
	if kw < 0 {
		kw = -kw
	}
	return l.FixedKW + (l.PerKW+l.PerKW2*kw)*kw
}

// Validate returns what is wrong with l.
func (l *Loss) Validate() error {
	if !(l.FixedKW >= 0 && l.FixedKW <= 1e9 && l.PerKW >= 0 && l.PerKW <= 1 && l.PerKW2 > 0 && l.PerKW2 <= 1000) {
		return fmt.Errorf("a loss of %g kW + %g·P + %g·P² is none: the first two are not negative, the last is above 0", l.FixedKW, l.PerKW, l.PerKW2)
	}
	return nil
}

// Use is what dispatch is told of a device beside its nameplate, by its configuration. The
// zero value says nothing.
type Use struct {
	Tier int  `json:"tier,omitempty" minimum:"0" maximum:"100" doc:"0 is used first, the next one only for what those before it cannot give"`
	Wear Wear `json:"wear,omitempty" doc:"cost of depth, the shallowest step first; it does not fall with depth and ends at 100 percent"`
	// Loss of its converter; nil: not known.
	Loss *Loss `json:"loss,omitempty" doc:"what its converter loses while it runs"`
	// SoCSD is the standard deviation of its state of charge, percent; 0 = not known.
	SoCSD float64 `json:"socSd,omitempty" minimum:"0" maximum:"50" doc:"standard deviation of its state of charge, percent"`
}

// MaxTier is the last tier.
const MaxTier = 100

// Validate returns all that is wrong with u.
func (u *Use) Validate() error {
	var errs []error
	if u.Tier < 0 || u.Tier > MaxTier {
		errs = append(errs, fmt.Errorf("tier %d is none of 0 to %d", u.Tier, MaxTier))
	}
	errs = append(errs, u.Wear.Validate())
	if u.Loss != nil {
		errs = append(errs, u.Loss.Validate())
	}
	if !(u.SoCSD >= 0 && u.SoCSD <= 50) {
		errs = append(errs, fmt.Errorf("a standard deviation of the state of charge of %g %% is not within 0 and 50", u.SoCSD))
	}
	return errors.Join(errs...)
}

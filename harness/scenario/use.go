package scenario

import (
	"yunchu/platform/device"
)

// Uses is what dispatch is told of a device beside its nameplate.
type Uses struct {
	Tier  int        `yaml:"tier,omitempty" jsonschema:"minimum=0,maximum=100,default=0" doc:"0 is dispatched first, the next tier only for what those before it cannot give."`
	Wear  []WearStep `yaml:"wear,omitempty" doc:"What the depth of its use costs, the shallowest step first, as yunchu wear writes it; for strategy cost."`
	Loss  *Loss      `yaml:"loss,omitempty" doc:"What its converter loses while it runs, fixed_kw + per_kw |P| + per_kw2 P^2; a twin's is that of its model where dispatch.rest asks for it."`
	SoCSD float64    `yaml:"soc_sd_percent,omitempty" jsonschema:"minimum=0,maximum=50" doc:"Standard deviation of its state of charge, percent; for dispatch.risk."`
}

// WearStep is a step of depth and what its use costs.
type WearStep struct {
	ToPercent  float64 `yaml:"to_percent" jsonschema:"required,exclusiveMinimum=0,maximum=100" doc:"The depth that it goes to, percent of the capacity; the last goes to 100."`
	CostPerKWh float64 `yaml:"cost_per_kwh" jsonschema:"required,minimum=0,maximum=1000" doc:"Money for each kWh taken out there and put back; it does not fall with depth."`
}

// Loss is what a converter loses while it runs.
type Loss struct {
	FixedKW float64 `yaml:"fixed_kw" jsonschema:"required,minimum=0,maximum=1e9" doc:"Lost while it runs, whatever its power, kW."`
	PerKW   float64 `yaml:"per_kw" jsonschema:"required,minimum=0,maximum=1" doc:"Lost of each kW."`
	PerKW2  float64 `yaml:"per_kw2" jsonschema:"required,exclusiveMinimum=0,maximum=1000" doc:"Lost by the square of the power, 1/kW."`
}

// Use is what dispatch is told.
func (u *Uses) Use() device.Use {
	out := device.Use{Tier: u.Tier, SoCSD: u.SoCSD}
	for _, w := range u.Wear {
		out.Wear = append(out.Wear, device.WearStep(w))
	}
	if u.Loss != nil {
		l := device.Loss(*u.Loss)
		out.Loss = &l
	}
	return out
}

// checkWear holds the steps of depth against each other.
func (u *Uses) checkWear(s *source, at string) {
	if !s.has(at + ".wear") {
		return
	}
	if err := u.Use().Wear.Validate(); err != nil {
		s.wrong(at+".wear", "yunchu wear writes them from the laws of ageing", "%v", err)
	}
}

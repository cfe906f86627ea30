//go:build !nosim

package simworld

import (
	"fmt"

	"yunchu/platform/device"
	"yunchu/twin"
	"yunchu/twin/aging"
	"yunchu/twin/params"
)

// WearOptions say of which device, by which laws and at which use its wear is told.
type WearOptions struct {
	Model    string  // a model set, or the path of a model file
	Aging    string  // an ageing set, or the path of one
	Price    float64 // of new cells, money per kWh
	Segments int     // steps of depth, of equal height
	CRate    float64 // 1/h; 0: rated power over rated energy of the model
	TempC    float64 // of the cells, degC
	SoC      float64 // midway, percent
	EndSoH   float64 // capacity at the end of life, percent of the new cells'
}

// Worn is what a table of wear was made from.
type Worn struct {
	Model string      `json:"model"`
	Aging string      `json:"aging"`
	CRate float64     `json:"c_rate"`
	Whole float64     `json:"cycles_of_whole_depth"` // until the end of life, by use alone
	Wear  device.Wear `json:"wear"`
}

// Wear is what the use of a model's cells costs by its depth: in each step the money for new
// cells times the part of their life that a cycle through it takes, over its energy. The
// costs are the largest that do not fall with depth and nowhere add up to more than the law
// says. Age that comes with time is not in it, and cells have no value at the end.
func Wear(o WearOptions) (*Worn, error) {
	m, err := params.LoadModel(o.Model)
	if err != nil {
		return nil, err
	}
	set, err := params.LoadAging(o.Aging)
	if err != nil {
		return nil, err
	}
	laws, err := twin.AgingModel(&twin.Aging{Set: set, Scale: 1})
	if err != nil {
		return nil, err
	}
	if o.CRate == 0 {
		o.CRate = m.RatedKW / m.RatedKWh
	}
	switch {
	case !(o.Price > 0):
		return nil, fmt.Errorf("a price of %g for a kWh of new cells: want one above 0", o.Price)
	case !(o.EndSoH > 0 && o.EndSoH < 100):
		return nil, fmt.Errorf("an end of life at %g %% of the capacity: want one within 0 and 100", o.EndSoH)
	case o.Segments > device.MaxWearSteps:
		return nil, fmt.Errorf("%d segments: the most are %d", o.Segments, device.MaxWearSteps)
	}
	list, err := laws.DepthSegments(o.Segments, aging.Duty{
		CRate: o.CRate, TempK: o.TempC + kelvin, SoC: o.SoC / 100, EndLoss: 1 - o.EndSoH/100,
	})
	if err != nil {
		return nil, err
	}
	w := &Worn{Model: m.Name, Aging: set.Name, CRate: o.CRate}
	share, cost := 0.0, 0.0
	for _, s := range list {
		share += s.Share
		cost = max(cost, o.Price*s.Convex/(s.To-s.From)) // equal ones differ by rounding
		w.Wear = append(w.Wear, device.WearStep{ToPercent: 100 * s.To, CostPerKWh: cost})
	}
	w.Whole = 1 / share
	return w, w.Wear.Validate()
}

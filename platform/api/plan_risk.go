package api

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"yunchu/platform/market/plan"
)

// PlanBeside is what a plan may be asked beside what is expected. The members are those of market plan.
type PlanBeside struct {
	Scenarios []planScenario `json:"scenarios,omitempty" maxItems:"200" nullable:"false" doc:"how it may come: one plan is made for all"`
	CVaR      *planCVaR      `json:"cvar,omitempty" doc:"counts the worst of the scenarios"`
	Robust    *planRobust    `json:"robust,omitempty" doc:"counts prices that go against the plan, instead of scenarios"`
	Committed *planCommitted `json:"committed,omitempty" doc:"energy that has been sold before, of all sites together; what is off is settled, and the value is that of what is off"`
	Carbon    []float64      `json:"carbon_t_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"t of each MWh taken; what is given back is credited"`
	CarbonFee float64        `json:"carbon_price_per_t,omitempty" minimum:"0" maximum:"1e9"`
	Pareto    *planPareto    `json:"pareto,omitempty" doc:"what can be earned at most for each value of a measure; with what is expected, or scenarios on average"`
}

type planScenario struct {
	Weight *float64    `json:"weight,omitempty" minimum:"0" maximum:"1e9" doc:"of its probability; default 1"`
	Energy []float64   `json:"energy_per_mwh" minItems:"1" maxItems:"9000" nullable:"false"`
	Export []float64   `json:"export_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"default: as far from energy_per_mwh as it is expected to be"`
	Sites  []planComes `json:"sites,omitempty" maxItems:"1000" nullable:"false" doc:"sites at which more than the prices is other than expected"`
}

type planComes struct {
	ID   string    `json:"id"`
	Load []float64 `json:"load_kw,omitempty" maxItems:"9000" nullable:"false" doc:"default: as expected"`
	PV   []float64 `json:"pv_kw,omitempty" maxItems:"9000" nullable:"false" doc:"output, above 0; default: as expected"`
}

type planCVaR struct {
	Weight float64 `json:"weight" minimum:"0" maximum:"1" doc:"what the mean of the worst outcomes counts; what is expected counts the rest"`
	Level  float64 `json:"level" minimum:"0" exclusiveMaximum:"1" doc:"the worst outcomes are those of the part 1 - level"`
}

type planRobust struct {
	Budget    float64   `json:"budget" minimum:"0" maximum:"9000" doc:"in how many intervals prices go against the plan at once"`
	Deviation []float64 `json:"deviation_per_mwh" minItems:"1" maxItems:"9000" nullable:"false" doc:"how far, in each interval"`
}

type planCommitted struct {
	Target []float64 `json:"target_kw" minItems:"1" maxItems:"9000" nullable:"false" doc:"what is taken, as market award writes it: + is bought"`
	Short  []float64 `json:"short_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"price of what is missing; default: the price of energy"`
	Long   []float64 `json:"long_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"of what is left over"`
}

type planPareto struct {
	Measure string `json:"measure" enum:"wear,peak,carbon" doc:"what is set against money"`
	Points  int    `json:"points,omitempty" minimum:"2" maximum:"50" default:"11"`
}

// programs is how many plans as large as the one without scenarios and front it takes at most to answer.
func (q *PlanBeside) programs() int {
	n := max(1, len(q.Scenarios))
	if q.Pareto != nil {
		n *= 1 + q.Pareto.Points + 2 // the plan, the points, and where the front ends
	}
	return n
}

// sensible refuses values that no market has.
func (q *PlanBeside) sensible() error {
	list := []error{sensible("carbon_t_per_mwh", q.Carbon)}
	for i := range q.Scenarios {
		x := &q.Scenarios[i]
		list = append(list, sensible(fmt.Sprintf("price of scenario %d,", i), x.Energy, x.Export))
	}
	if x := q.Robust; x != nil {
		list = append(list, sensible("deviation_per_mwh", x.Deviation))
	}
	if x := q.Committed; x != nil {
		list = append(list, sensible("target_kw", x.Target), sensible("price of what is off,", x.Short, x.Long))
	}
	return cmp.Or(list...)
}

// contrary is what does not go together.
func (q *PlanBeside) contrary() error {
	switch some := len(q.Scenarios) > 0; {
	case q.CVaR != nil && !some:
		return errors.New("cvar needs scenarios: what may come")
	case q.Robust != nil && some:
		return errors.New("robust and scenarios are two ways to count what may come: keep one")
	case q.Committed != nil && (some || q.Robust != nil):
		return errors.New("committed is planned for with the prices that are expected: take scenarios and robust away")
	case q.Pareto != nil && (q.CVaR != nil || q.Robust != nil):
		return errors.New("pareto draws what is earned on average: it goes with scenarios, and with neither cvar nor robust")
	case len(q.Carbon) == 0 && (q.CarbonFee > 0 || q.Pareto != nil && plan.Measure(q.Pareto.Measure) == plan.Carbon):
		return errors.New("there is no carbon_t_per_mwh: it says how many tonnes each MWh that is taken makes")
	}
	return nil
}

// aside is what may come, what is counted of it, and what has been sold, of a portfolio that has what is expected.
func (in *planInput) aside(p *plan.Portfolio) error {
	q := &in.Body
	if err := q.contrary(); err != nil {
		return err
	}
	whole := func(name string, list []float64) error {
		if len(list) != 0 && len(list) != p.Intervals {
			return fmt.Errorf("%s has %d values for %d intervals", name, len(list), p.Intervals)
		}
		return nil
	}
	if err := cmp.Or(whole("export_per_mwh", q.Export), whole("carbon_t_per_mwh", q.Carbon)); err != nil {
		return err
	}
	p.CarbonPrice = q.CarbonFee
	for i := range p.Sites {
		if len(q.Carbon) > 0 {
			p.Sites[i].Carbon = q.Carbon
		}
	}
	for k := range q.Scenarios {
		x := &q.Scenarios[k]
		name := func(of string) string { return fmt.Sprintf("%s of scenario %d", of, k) }
		if err := cmp.Or(whole(name("energy_per_mwh"), x.Energy), whole(name("export_per_mwh"), x.Export)); err != nil {
			return err
		}
		s, err := in.scenario(x, p)
		if err != nil {
			return fmt.Errorf("scenario %d: %w", k, err)
		}
		p.Scenarios = append(p.Scenarios, s)
	}
	if x := q.CVaR; x != nil {
		p.Risk.Weight, p.Risk.Level = x.Weight, x.Level
	}
	if x := q.Robust; x != nil {
		if err := whole("deviation_per_mwh", x.Deviation); err != nil {
			return err
		}
		p.Risk.Budget, p.Risk.Deviation = x.Budget, x.Deviation
	}
	x := q.Committed
	if x == nil {
		return nil
	}
	if err := cmp.Or(whole("target_kw", x.Target), whole("short_per_mwh", x.Short), whole("long_per_mwh", x.Long)); err != nil {
		return err
	}
	p.Position = &plan.Position{Short: q.Energy, Long: q.Energy}
	if len(x.Short) > 0 {
		p.Position.Short = x.Short
	}
	if len(x.Long) > 0 {
		p.Position.Long = x.Long
	}
	for _, kw := range x.Target {
		p.Position.Sold = append(p.Position.Sold, -kw/1000)
	}
	none := make([]float64, p.Intervals)
	for i := range p.Sites { // all energy is settled together
		p.Sites[i].Buy, p.Sites[i].Sell = none, nil
	}
	return nil
}

// scenario is how it may come at all sites.
func (in *planInput) scenario(x *planScenario, p *plan.Portfolio) (plan.Scenario, error) {
	out := plan.Scenario{Weight: 1}
	if x.Weight != nil {
		out.Weight = *x.Weight
	}
	var export []float64
	switch {
	case len(x.Export) > 0:
		export = x.Export
	case len(in.Body.Export) > 0:
		for t, price := range in.Body.Export {
			export = append(export, price+x.Energy[t]-in.Body.Energy[t])
		}
	}
	for i := range p.Sites {
		o := p.Sites[i].Outlook
		o.Buy, o.Sell = x.Energy, export
		out.Sites = append(out.Sites, o)
	}
	for k, c := range x.Sites {
		i := slices.IndexFunc(p.Sites, func(s plan.Site) bool { return s.Name == c.ID })
		switch {
		case i < 0:
			return out, fmt.Errorf("it names %s, and there is no such site", quote(c.ID))
		case slices.ContainsFunc(x.Sites[:k], func(o planComes) bool { return o.ID == c.ID }):
			return out, fmt.Errorf("it has site %s twice", quote(c.ID))
		}
		if err := produces(c.ID, c.PV); err != nil {
			return out, err
		}
		if len(c.Load) > 0 {
			out.Sites[i].Load = mega(c.Load)
		}
		if len(c.PV) > 0 {
			out.Sites[i].PV = mega(c.PV)
		}
	}
	return out, nil
}

// produces refuses output below 0.
func produces(site string, pv []float64) error {
	if t := slices.IndexFunc(pv, func(kw float64) bool { return kw < 0 }); t >= 0 {
		return fmt.Errorf("site %s: pv_kw of interval %d is %v: output is above 0", quote(site), t, pv[t])
	}
	return nil
}

func mega(kw []float64) (mw []float64) {
	for _, x := range kw {
		mw = append(mw, x/1000)
	}
	return mw
}

// PlanRisk is how scenarios come out.
type PlanRisk struct {
	Expected float64   `json:"expected"`
	Worst    float64   `json:"worst"`
	Best     float64   `json:"best"`
	TailMean float64   `json:"tail_mean" doc:"of the worst outcomes, those of the part 1 - level"`
	Level    float64   `json:"level"`
	Outcomes []float64 `json:"outcomes" doc:"by scenario"`
}

// outcomes says how scenarios come out; one of no weight does not count.
func outcomes(p *plan.Portfolio, came []float64) *PlanRisk {
	out := &PlanRisk{Worst: math.Inf(1), Best: math.Inf(-1), Level: p.Risk.Level, Outcomes: came}
	total := 0.0
	var order []int
	for k, s := range p.Scenarios {
		if s.Weight > 0 {
			total += s.Weight
			order = append(order, k)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(came[a], came[b]) })
	left := 1 - p.Risk.Level
	for _, k := range order {
		weight := p.Scenarios[k].Weight / total
		part := min(weight, max(0, left))
		left -= part
		out.Expected += weight * came[k]
		out.TailMean += part * came[k] / (1 - p.Risk.Level)
		out.Worst, out.Best = min(out.Worst, came[k]), max(out.Best, came[k])
	}
	return out
}

// PlanPoint is one of a front.
type PlanPoint struct {
	Measure float64 `json:"measure" doc:"money of wear, kW of peak, t of carbon"`
	Earned  float64 `json:"earned" doc:"the money of the measure itself left out"`
	Rate    float64 `json:"rate" doc:"what one unit less of the measure takes here, at least"`
}

// front is that of a portfolio.
func (q *planPareto) front(p *plan.Portfolio) ([]PlanPoint, error) {
	list, err := p.Front(plan.Measure(q.Measure), q.Points)
	if err != nil {
		return nil, err
	}
	unit := 1.0
	if plan.Measure(q.Measure) == plan.Peak {
		unit = 1000 // kW of a MW
	}
	out := make([]PlanPoint, len(list))
	for k, x := range list {
		out[k] = PlanPoint{Measure: unit * x.Measure, Earned: x.Money, Rate: x.Rate / unit}
	}
	return out, nil
}

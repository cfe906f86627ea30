package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"yunchu/platform/market/plan"
	"yunchu/platform/market/plan/sites"
	"yunchu/platform/market/plan/worth"
	"yunchu/platform/plural"
	"yunchu/platform/promql"
)

// PlanBeside is what a plan may be asked beside what is expected. The members are those of market plan.
type PlanBeside struct {
	Scenarios []planScenario `json:"scenarios,omitempty" maxItems:"200" nullable:"false" doc:"how it may come: one plan is made for all"`
	Levels    []float64      `json:"levels,omitempty" maxItems:"99" nullable:"false" doc:"of quantiles, rising, as a forecast answers them"`
	Quantiles [][]float64    `json:"quantiles,omitempty" maxItems:"9000" nullable:"false" doc:"of the price of energy, by interval, then level: scenarios are drawn from them instead"`
	Draws     int            `json:"draws,omitempty" minimum:"2" maximum:"200" default:"50" doc:"how many scenarios are drawn from quantiles"`
	Seed      *uint64        `json:"seed,omitempty" doc:"what is drawn follows from it; default 1"`
	CVaR      *planCVaR      `json:"cvar,omitempty" doc:"counts the worst of the scenarios"`
	Robust    *planRobust    `json:"robust,omitempty" doc:"counts prices that go against the plan, as far as it says, or as scenarios or quantiles do, which are no scenarios then"`
	Committed *planCommitted `json:"committed,omitempty" doc:"energy that has been sold before, of all sites together; what is off is settled, and the value is that of what is off"`
	Carbon    []float64      `json:"carbon_t_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"t of each MWh taken; what is given back is credited"`
	CarbonFee float64        `json:"carbon_price_per_t,omitempty" minimum:"0" maximum:"1e9"`
	Pareto    *planPareto    `json:"pareto,omitempty" doc:"what can be earned at most for each value of a measure; with what is expected, or scenarios on average"`

	Actual  *planActual `json:"actual,omitempty" doc:"the prices that came: what the plan comes to with them"`
	Rolling string      `json:"rolling,omitempty" maxLength:"64" example:"24h/15m" doc:"HORIZON/EVERY of planning again and again, with KNOWN of the prices that came where it is not EVERY, as 24h/24h/0s; needs actual"`
	Keep    *float64    `json:"persistence,omitempty" minimum:"0" maximum:"1" doc:"of rolling: what is left after an hour of how far the last known price was off; default 0.95"`
}

type planActual struct {
	Energy   []float64     `json:"energy_per_mwh" minItems:"1" maxItems:"9000" nullable:"false"`
	Export   []float64     `json:"export_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"default: as far from energy_per_mwh as it is expected to be"`
	Carbon   []float64     `json:"carbon_t_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"default: as expected"`
	Products []planPayment `json:"products,omitempty" maxItems:"8" nullable:"false" doc:"products whose price is other than expected"`
}

type planPayment struct {
	Name  string    `json:"name"`
	Price []float64 `json:"per_mw" minItems:"1" maxItems:"9000" nullable:"false"`
}

type planScenario struct {
	Weight *float64    `json:"weight,omitempty" minimum:"0" maximum:"1e9" doc:"of its probability; default 1"`
	Energy []float64   `json:"energy_per_mwh" minItems:"1" maxItems:"9000" nullable:"false"`
	Export []float64   `json:"export_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"default: as far from energy_per_mwh as it is expected to be"`
	Sites  []planComes `json:"sites,omitempty" maxItems:"1000" nullable:"false" doc:"sites at which more than the prices is other than expected"`
}

// more is whether it says more than the price of energy.
func (x planScenario) more() bool { return x.Weight != nil || len(x.Export)+len(x.Sites) > 0 }

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
	Budget    float64   `json:"budget" minimum:"0" maximum:"9000" doc:"in how many intervals prices go against the plan at once; 0: in none, and scenarios are what they are"`
	Deviation []float64 `json:"deviation_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"how far, in each interval; default: half of what lies between the outer quantiles, or the outer scenarios"`
}

type planCommitted struct {
	Target []float64 `json:"target_kw" minItems:"1" maxItems:"9000" nullable:"false" doc:"what is taken, as market award writes it: + is bought"`
	Short  []float64 `json:"short_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"price of what is missing; default: the price of energy"`
	Long   []float64 `json:"long_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"of what is left over; default: what is paid for export, or else the price of energy"`
}

type planPareto struct {
	Measure string `json:"measure" enum:"wear,peak,carbon" doc:"what is set against money"`
	Points  int    `json:"points,omitempty" minimum:"2" maximum:"50" default:"11"`
}

// programs is how many plans as large as the one without scenarios and front it takes at most to answer.
func (q *PlanBeside) programs() int {
	n := max(1, len(q.Scenarios))
	if len(q.Quantiles) > 0 {
		n = q.Draws
	}
	if q.robust() {
		n = 1
	}
	if q.Pareto != nil {
		n *= 1 + q.Pareto.Points + 2 // the plan, the points, and where the front ends
	}
	if q.Actual != nil {
		n++ // with the prices known
	}
	return n
}

// robust is whether prices go against the plan.
func (q *PlanBeside) robust() bool { return q.Robust != nil && q.Robust.Budget > 0 }

// comesPV is whether PV is told by scenario.
func (q *PlanBeside) comesPV() bool {
	return slices.ContainsFunc(q.Scenarios, func(x planScenario) bool {
		return slices.ContainsFunc(x.Sites, func(c planComes) bool { return len(c.PV) > 0 })
	})
}

// windows is how many intervals are planned in all by planning again and again over n of them.
func (q *PlanBeside) windows(n, minutes int) (sum int, err error) {
	r, err := q.again(minutes)
	if r == nil || err != nil {
		return 0, err
	}
	for from := 0; from < n; from += r.Every {
		sum += min(r.Horizon, n-from)
	}
	return sum, nil
}

// again is how plans are made again and again; nil: one is made once.
func (q *PlanBeside) again(minutes int) (*plan.Rolling, error) {
	if q.Rolling == "" {
		return nil, nil
	}
	r, err := worth.ParseRolling(q.Rolling, func(text string) (time.Duration, error) {
		ms, err := promql.ParseDuration(text)
		return time.Duration(ms) * time.Millisecond, err
	})
	if err != nil {
		return nil, err
	}
	keep := 0.95
	if q.Keep != nil {
		keep = *q.Keep
	}
	return r.In(time.Duration(minutes)*time.Minute, keep)
}

// sensible refuses values that no market has.
func (q *PlanBeside) sensible() error {
	list := []error{sensible("carbon_t_per_mwh", q.Carbon)}
	for i := range q.Scenarios {
		x := &q.Scenarios[i]
		list = append(list, sensible(fmt.Sprintf("price of scenario %d,", i), x.Energy, x.Export))
		for _, c := range x.Sites {
			list = append(list, sensible(fmt.Sprintf("load_kw of scenario %d,", i), c.Load), sensible(fmt.Sprintf("pv_kw of scenario %d,", i), c.PV))
		}
	}
	if x := q.Robust; x != nil {
		list = append(list, sensible("deviation_per_mwh", x.Deviation))
	}
	if x := q.Committed; x != nil {
		list = append(list, sensible("target_kw", x.Target), sensible("price of what is off,", x.Short, x.Long))
	}
	if x := q.Actual; x != nil {
		list = append(list, sensible("price that came,", x.Energy, x.Export), sensible("carbon_t_per_mwh that came,", x.Carbon))
		for _, p := range x.Products {
			list = append(list, sensible("price that came of "+quote(p.Name)+",", p.Price))
		}
	}
	list = append(list, sensible("quantile", q.Quantiles...))
	return cmp.Or(list...)
}

// contrary is what does not go together.
func (q *PlanBeside) contrary() error {
	far := q.Robust != nil && len(q.Robust.Deviation) > 0
	switch some := len(q.Scenarios)+len(q.Quantiles) > 0; {
	case len(q.Scenarios) > 0 && len(q.Quantiles) > 0:
		return errors.New("scenarios and quantiles are two ways to say what may come: keep one")
	case q.Committed != nil && q.Actual != nil:
		return errors.New("committed is planned for with the prices that are expected: take actual away")
	case q.Rolling != "" && q.Actual == nil:
		return errors.New("rolling needs actual: the prices that came")
	case q.CVaR != nil && !some:
		return errors.New("cvar needs scenarios: what may come")
	case q.CVaR != nil && q.robust():
		return errors.New("cvar and robust are two ways to count what may come: keep one")
	case q.robust() && len(q.Quantiles) == 0 && len(q.Scenarios) < 2 && !far:
		return errors.New("robust needs two scenarios, quantiles or deviation_per_mwh: how far prices may go")
	case some && far:
		return errors.New("deviation_per_mwh of robust and scenarios are two ways to say how far prices may go: keep one")
	case q.robust() && slices.ContainsFunc(q.Scenarios, planScenario.more):
		return errors.New("robust counts the energy_per_mwh of scenarios alone: take their weight, export_per_mwh and sites away")
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
			return fmt.Errorf("%s has %s for %s", name, plural.Count(len(list), "value", "values"), plural.Count(p.Intervals, "interval", "intervals"))
		}
		return nil
	}
	if err := cmp.Or(whole("export_per_mwh", q.Export), whole("carbon_t_per_mwh", q.Carbon)); err != nil {
		return err
	}
	if x := q.Robust; x != nil {
		if err := whole("deviation_per_mwh", x.Deviation); err != nil {
			return err
		}
		if t := slices.IndexFunc(x.Deviation, func(x float64) bool { return x < 0 }); t >= 0 {
			return fmt.Errorf("deviation_per_mwh of interval %d is %v: it is how far prices may go, 0 or more", t, x.Deviation[t])
		}
	}
	for _, x := range q.Products {
		if err := whole("committed_kw of "+quote(x.Name), x.SoldKW); err != nil {
			return err
		}
	}
	if x := q.Actual; x != nil {
		if slices.ContainsFunc(q.Products, func(p planProduct) bool { return len(p.SoldKW) > 0 }) {
			return errors.New("committed_kw is planned for with the prices that are expected: take actual away")
		}
		if err := x.fits(q.Products, whole); err != nil {
			return err
		}
	}
	p.CarbonPrice = q.CarbonFee
	for i := range p.Sites {
		if len(q.Carbon) > 0 {
			p.Sites[i].Carbon = q.Carbon
		}
	}
	list, err := in.comes(p, whole)
	if err != nil {
		return err
	}
	switch x := q.Robust; {
	case !q.robust():
		for k := range list {
			s, err := in.scenario(&list[k], p)
			if err != nil {
				return fmt.Errorf("scenario %d: %w", k, err)
			}
			p.Scenarios = append(p.Scenarios, s)
		}
	case len(x.Deviation) > 0:
		p.Risk.Budget, p.Risk.Deviation = x.Budget, x.Deviation
	default:
		columns := make([][]float64, len(list))
		for k := range list {
			columns[k] = list[k].Energy
		}
		p.Risk.Budget, p.Risk.Deviation = x.Budget, plan.Deviation(columns)
	}
	if x := q.CVaR; x != nil {
		p.Risk.Weight, p.Risk.Level = x.Weight, x.Level
	}
	x := q.Committed
	if x == nil {
		return nil
	}
	if err := cmp.Or(whole("target_kw", x.Target), whole("short_per_mwh", x.Short), whole("long_per_mwh", x.Long)); err != nil {
		return err
	}
	var sold []float64
	for _, kw := range x.Target {
		sold = append(sold, -kw/1000)
	}
	p.Position = sites.Position(sold, q.Energy, q.Export, x.Short, x.Long)
	none := make([]float64, p.Intervals)
	for i, fees := range in.fees() { // all energy is settled together
		besides := fees.Tariff(none, nil)
		p.Sites[i].Buy, p.Sites[i].Sell = besides.Buy, besides.Sell
	}
	return nil
}

// scenario is how it may come at all sites.
func (in *planInput) scenario(x *planScenario, p *plan.Portfolio) (plan.Scenario, error) {
	out := plan.Scenario{Weight: 1}
	if x.Weight != nil {
		out.Weight = *x.Weight
	}
	export := x.Export
	if len(export) == 0 {
		export = in.exportWith(x.Energy)
	}
	for i, fees := range in.fees() {
		o := fees.Tariff(x.Energy, export)
		o.Load, o.PV = p.Sites[i].Load, p.Sites[i].PV
		out.Sites = append(out.Sites, o)
	}
	seen := map[int]bool{}
	for _, c := range x.Sites {
		places := in.among(c.ID)
		if len(places) == 0 {
			return out, fmt.Errorf("it names %s, and there is no such site", quote(c.ID))
		}
		if err := produces(c.ID, c.PV); err != nil {
			return out, err
		}
		for _, i := range places {
			if seen[i] {
				return out, fmt.Errorf("it has site %s twice", quote(p.Sites[i].Name))
			}
			seen[i] = true
			if len(c.Load) > 0 {
				out.Sites[i].Load = mega(c.Load)
			}
			if len(c.PV) > 0 {
				out.Sites[i].PV = mega(c.PV)
			}
		}
	}
	return out, nil
}

// exportWith are the prices of export where those of energy are others.
func (in *planInput) exportWith(energy []float64) []float64 {
	return sites.Export(energy, in.Body.Energy, in.Body.Export)
}

// comes are the scenarios, or those that are drawn from quantiles. What prices go against are the quantiles themselves.
func (in *planInput) comes(p *plan.Portfolio, whole func(name string, list []float64) error) ([]planScenario, error) {
	q := &in.Body
	if len(q.Quantiles)+len(q.Levels) == 0 {
		for k := range q.Scenarios {
			x := &q.Scenarios[k]
			name := func(of string) string { return fmt.Sprintf("%s of scenario %d", of, k) }
			if err := cmp.Or(whole(name("energy_per_mwh"), x.Energy), whole(name("export_per_mwh"), x.Export)); err != nil {
				return nil, err
			}
		}
		return q.Scenarios, nil
	}
	columns, err := q.columns(p.Intervals)
	if err != nil {
		return nil, err
	}
	if !q.robust() {
		seed := uint64(1)
		if q.Seed != nil {
			seed = *q.Seed
		}
		columns = plan.Draw(columns, q.Levels, q.Draws, p.Hours, rand.New(rand.NewPCG(seed, 0)))
	}
	var list []planScenario
	for _, energy := range columns {
		list = append(list, planScenario{Energy: energy})
	}
	return list, nil
}

// columns are the quantiles by level and then by interval.
func (q *PlanBeside) columns(intervals int) ([][]float64, error) {
	n := len(q.Levels)
	if n < 2 || !(q.Levels[0] > 0) || !(q.Levels[n-1] < 1) || !slices.IsSorted(q.Levels) || len(slices.Compact(slices.Clone(q.Levels))) < n {
		return nil, errors.New("levels of quantiles rise between 0 and 1, as in [0.05,0.5,0.95], and are two at least")
	}
	if len(q.Quantiles) != intervals {
		return nil, fmt.Errorf("quantiles has %s for %s", plural.Count(len(q.Quantiles), "value", "values"), plural.Count(intervals, "interval", "intervals"))
	}
	columns := make([][]float64, n)
	for t, row := range q.Quantiles {
		if len(row) != n || !slices.IsSorted(row) {
			return nil, fmt.Errorf("quantiles of interval %d: there is one for each of the %d levels, and they rise", t, n)
		}
		for k, x := range row {
			columns[k] = append(columns[k], x)
		}
	}
	return columns, nil
}

// realize compares with the prices that came; what did not come is as it was expected.
func (in *planInput) realize(ctx context.Context, r *worth.Result) error {
	x, q := in.Body.Actual, &in.Body
	again, err := q.again(q.Minutes)
	if err != nil {
		return err
	}
	came := *r.Problem
	came.Scenarios, came.Risk, came.Sites, came.Products = nil, plan.Risk{}, slices.Clone(came.Sites), slices.Clone(came.Products)
	var lacked []string
	export, carbon := x.Export, x.Carbon
	if len(export) == 0 && len(q.Export) > 0 {
		export = in.exportWith(x.Energy)
		lacked = append(lacked, "export_per_mwh")
	}
	if len(carbon) == 0 && len(q.Carbon) > 0 {
		carbon = q.Carbon
		lacked = append(lacked, "carbon_t_per_mwh")
	}
	for i, fees := range in.fees() {
		s, o := &came.Sites[i], fees.Tariff(x.Energy, export)
		s.Buy, s.Sell, s.Carbon = o.Buy, o.Sell, carbon
	}
	var unpaid []string
	for k := range came.Products {
		one := &came.Products[k]
		if i := slices.IndexFunc(x.Products, func(p planPayment) bool { return p.Name == one.Name }); i >= 0 {
			one.Price = x.Products[i].Price
		} else {
			unpaid = append(unpaid, one.Name+"_per_mw")
		}
	}
	slices.Sort(unpaid)
	return r.Realize(ctx, &came, x.Energy, append(lacked, unpaid...), again)
}

// fits says what of the prices that came fits no interval or no product.
func (x *planActual) fits(q []planProduct, whole func(name string, list []float64) error) error {
	list := []error{whole("energy_per_mwh of actual", x.Energy), whole("export_per_mwh of actual", x.Export), whole("carbon_t_per_mwh of actual", x.Carbon)}
	for k, p := range x.Products {
		list = append(list, whole("per_mw of "+quote(p.Name)+" of actual", p.Price))
		switch named := func(o planPayment) bool { return o.Name == p.Name }; {
		case !slices.ContainsFunc(q, func(o planProduct) bool { return o.Name == p.Name }):
			list = append(list, fmt.Errorf("actual has a price of %s, and there is no such product", quote(p.Name)))
		case slices.ContainsFunc(x.Products[:k], named):
			list = append(list, fmt.Errorf("actual has product %s twice", quote(p.Name)))
		}
	}
	return cmp.Or(list...)
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

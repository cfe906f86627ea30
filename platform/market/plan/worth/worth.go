// Package worth says what a plan comes to, in one form for commands and for the API: its worth, its reasons, how scenarios
// come out, and what becomes of it with the prices that came.
package worth

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"yunchu/platform/market/plan"
)

// Result is a plan and what is to be said of it.
type Result struct {
	At       []time.Time // of the begins of its intervals, in the zone that is told
	Step     time.Duration
	Energy   []float64 // price that is expected of each interval, per MWh
	Carbon   bool      // whether carbon is known
	Currency string

	Problem  *plan.Portfolio
	Plan     *plan.Plan
	Nothing  *float64     // what leaving the batteries alone is worth; nil: it keeps to no limit
	Measure  plan.Measure // of the front
	Front    []plan.Point
	Realized *Realized // nil: nothing has come
}

// Summary is what is answered as JSON. Amounts are in the currency of the prices, costs below 0.
type Summary struct {
	Value    float64       `json:"value" doc:"what is optimised: what is expected, less what counts of risk"`
	AtMost   float64       `json:"at_most" doc:"no plan is worth more"`
	Gap      float64       `json:"gap" doc:"what is not proved of the value"`
	Nothing  *float64      `json:"nothing" doc:"what leaving the batteries alone earns on average; null where that keeps to no limit"`
	Expected float64       `json:"expected" doc:"what is earned on average"`
	Gain     *float64      `json:"gain" doc:"of what is expected over nothing"`
	Currency string        `json:"currency"`
	Totals   PlanTotals    `json:"totals" doc:"of what is expected"`
	PeakKW   float64       `json:"peak_kw" doc:"the most that all sites take together"`
	CarbonT  *float64      `json:"carbon_t,omitempty" doc:"where carbon_t_per_mwh is known"`
	Risk     *PlanRisk     `json:"risk,omitempty" doc:"how the scenarios come out"`
	Realized *PlanRealized `json:"realized,omitempty" doc:"what it comes to with the prices that came"`
	Front    []PlanPoint   `json:"front,omitempty" doc:"of pareto"`
	Bounds   []PlanBound   `json:"bounds" doc:"what binds, the dearest first"`
	Solved   int           `json:"programs" doc:"that were solved for the plan"`
	Rows     []PlanStep    `json:"intervals,omitempty" doc:"what is done; with rolling what the plans that followed each other have done, with reasons of the moment"`
}

// PlanTotals are what is earned, costs below 0.
type PlanTotals struct {
	Energy   float64 `json:"energy"`
	Products float64 `json:"products"`
	Wear     float64 `json:"wear"`
	Demand   float64 `json:"demand"`
	Carbon   float64 `json:"carbon"`
	Ending   float64 `json:"ending" doc:"what is stored at the end more than at the begin"`
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

// PlanRealized is what a plan comes to with the prices that came.
type PlanRealized struct {
	Plan    float64  `json:"plan" doc:"made once, with what was expected"`
	Rolling *float64 `json:"rolling,omitempty" doc:"made again and again"`
	Nothing *float64 `json:"nothing" doc:"without the batteries; null where that keeps to no limit"`
	Perfect float64  `json:"perfect" doc:"with the prices known"`
	Lacked  []string `json:"as_expected,omitempty" doc:"prices that did not come: they count as expected"`
}

// PlanPoint is one of a front.
type PlanPoint struct {
	Measure float64 `json:"measure" doc:"money of wear, kW of peak, t of carbon"`
	Earned  float64 `json:"earned" doc:"the money of the measure itself left out"`
	Rate    float64 `json:"rate" doc:"what one unit less of the measure takes here, at least"`
}

// PlanBound is a limit that binds.
type PlanBound struct {
	Name      string  `json:"name"`
	Of        string  `json:"of,omitempty"`
	Worth     float64 `json:"worth" doc:"of one more, over the whole plan, at most"`
	Per       string  `json:"per" enum:"kW,kWh" doc:"more of what"`
	Intervals int     `json:"intervals"`
	First     string  `json:"first" format:"date-time" doc:"of the intervals"`
	Pinned    bool    `json:"pinned,omitempty" doc:"it lets nothing in and nothing out, so that any worth would be right; worth is 0 then"`
}

// PlanStep is what a site does in an interval.
type PlanStep struct {
	Time        string    `json:"time" format:"date-time"`
	Site        string    `json:"site"`
	Price       float64   `json:"energy_per_mwh" doc:"that is expected; with rolling what came"`
	ChargeKW    float64   `json:"charge_kw"`
	DischargeKW float64   `json:"discharge_kw"`
	PowerKW     float64   `json:"power_kw" doc:"+ charges"`
	RegUpKW     float64   `json:"regup_kw" doc:"of the product of this name"`
	RegDownKW   float64   `json:"regdown_kw" doc:"of the product of this name"`
	ReserveKW   float64   `json:"reserve_kw" doc:"of the product of this name"`
	OffersKW    []float64 `json:"offers_kw,omitempty" doc:"by product"`
	StoredKWh   float64   `json:"stored_kwh" doc:"at the begin"`
	ImportKW    float64   `json:"import_kw" doc:"with the energy that is called on average"`
	CurtailedKW float64   `json:"curtailed_kw" doc:"of PV"`
	Earned      float64   `json:"earned"`
	Wear        float64   `json:"wear" doc:"variable cost included"`
	Below       float64   `json:"charge_below" doc:"what a MWh bought then is worth: idle at no less"`
	Above       float64   `json:"discharge_above" doc:"what one sold then costs to replace: idle at no more"`
	Why         string    `json:"why"`

	Clock string `json:"-"` // Time for people
}

// Thousandths rounds a number for files.
func Thousandths(x float64) float64 { return math.Round(1e3*x)/1e3 + 0 }

// tenths are those of a thousandth: finer differences are the solver's.
func tenths(x float64) float64 { return math.Round(1e4*x)/1e4 + 0 }

func millionths(x float64) float64 { return math.Round(1e6*x)/1e6 + 0 }

// Labels are what intervals are called in reasons.
func Labels(at []time.Time, step time.Duration) (list []string) {
	form := "15:04"
	if n := len(at); n > 0 && at[n-1].Add(step).Sub(at[0]) > 24*time.Hour {
		form = "Jan 2 15:04"
	}
	seen := map[string]int{}
	for _, t := range at {
		seen[t.Format(form)]++
	}
	for _, t := range at {
		label := t.Format(form)
		if seen[label] > 1 { // the hour that autumn has twice
			label = t.Format(form + " -07:00")
		}
		list = append(list, label)
	}
	return list
}

// Carried is what is to be carried out: the plan, or what came of planning again and again.
func (r *Result) Carried() *plan.Plan {
	if r.Realized != nil && r.Realized.Executed != nil {
		return r.Realized.Executed
	}
	return r.Plan
}

// Prices are those that it was carried out at.
func (r *Result) Prices() []float64 {
	if r.Realized != nil && r.Realized.Executed != nil {
		return r.Realized.Energy
	}
	return r.Energy
}

// Summary is what the result comes to; intervals only where rows are wanted.
func (r *Result) Summary(rows bool) *Summary {
	p := r.Plan
	s := &Summary{
		Value: millionths(p.Value), AtMost: millionths(p.AtMost), Gap: max(0, p.AtMost-p.Value), Currency: r.Currency,
		PeakKW: Thousandths(1000 * p.PeakMW), Solved: p.Nodes,
		Totals: PlanTotals{millionths(p.Totals.Energy), millionths(p.Totals.Products), millionths(p.Totals.Wear), millionths(p.Totals.Demand), millionths(p.Totals.Carbon), millionths(p.Totals.Ending)},
	}
	s.Expected = millionths(p.Totals.Sum())
	if r.Nothing != nil {
		nothing, gain := millionths(*r.Nothing), millionths(p.Totals.Sum()-*r.Nothing)
		s.Nothing, s.Gain = &nothing, &gain
	}
	if r.Carbon {
		t := millionths(p.CarbonT)
		s.CarbonT = &t
	}
	if len(r.Problem.Scenarios) > 0 {
		s.Risk = risk(r.Problem, p.Outcomes)
	}
	if x := r.Realized; x != nil {
		s.Realized = &x.PlanRealized
	}
	unit := 1.0
	if r.Measure == plan.Peak {
		unit = 1000 // kW of a MW
	}
	for _, x := range r.Front {
		s.Front = append(s.Front, PlanPoint{millionths(unit * x.Measure), millionths(x.Money), millionths(x.Rate / unit)})
	}
	s.Bounds = []PlanBound{}
	for _, b := range p.Bounds {
		per := "kW"
		if strings.HasPrefix(b.Name, "energy") {
			per = "kWh"
		}
		s.Bounds = append(s.Bounds, PlanBound{b.Name, b.Of, millionths(b.Worth / 1000), per, b.Intervals, r.Clock(b.First), b.Pinned})
	}
	if rows {
		s.Rows = r.Intervals()
	}
	return s
}

// Clock is when an interval begins, or where the last one ends.
func (r *Result) Clock(t int) string {
	if t >= len(r.At) {
		return r.At[len(r.At)-1].Add(r.Step).Format(time.RFC3339)
	}
	return r.At[t].Format(time.RFC3339)
}

// risk says how scenarios come out; one of no weight does not count.
func risk(p *plan.Portfolio, came []float64) *PlanRisk {
	level, total := p.Risk.Level, 0.0
	out := &PlanRisk{Level: level}
	var order []int
	for k, s := range p.Scenarios {
		if s.Weight > 0 {
			total += s.Weight
			order = append(order, k)
		}
		out.Outcomes = append(out.Outcomes, millionths(came[k]))
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(came[a], came[b]) })
	left := 1 - level
	for _, k := range order {
		weight := p.Scenarios[k].Weight / total
		part := min(weight, max(0, left))
		left -= part
		out.Expected += weight * came[k]
		out.TailMean += part * came[k] / (1 - level)
	}
	out.Expected, out.TailMean = millionths(out.Expected), millionths(out.TailMean)
	out.Worst, out.Best = millionths(came[order[0]]), millionths(came[order[len(order)-1]])
	return out
}

// Intervals are the rows of what is carried out, by time and then by site.
func (r *Result) Intervals() (rows []PlanStep) {
	p, prices := r.Carried(), r.Prices()
	rows = make([]PlanStep, 0, len(r.At)*len(p.Sites))
	for t := range r.At {
		clock := r.Clock(t)
		for i := range p.Sites {
			s := &p.Sites[i]
			x := PlanStep{
				Time: clock, Clock: r.Problem.Labels[t], Site: r.Problem.Sites[i].Name, Price: prices[t],
				ChargeKW: Thousandths(1000 * s.Charge[t]), DischargeKW: Thousandths(1000 * s.Discharge[t]), PowerKW: Thousandths(1000 * (s.Charge[t] - s.Discharge[t])),
				StoredKWh: Thousandths(1000 * s.Stored[t]), ImportKW: Thousandths(1000 * s.Net[t]), CurtailedKW: Thousandths(1000 * s.Curtailed[t]),
				Earned: tenths(s.Earned[t]), Wear: tenths(s.Wear[t]), Below: Thousandths(s.Below[t]), Above: Thousandths(s.Above[t]), Why: s.Why[t],
			}
			for k, product := range r.Problem.Products {
				kw := Thousandths(1000 * s.Offers[k][t])
				x.OffersKW = append(x.OffersKW, kw)
				switch product.Name {
				case "regup":
					x.RegUpKW = kw
				case "regdown":
					x.RegDownKW = kw
				case "reserve":
					x.ReserveKW = kw
				}
			}
			rows = append(rows, x)
		}
	}
	return rows
}

// Target is what all batteries together do in an interval, kW, positive charging.
func (r *Result) Target(t int) float64 {
	sum := 0.0
	for i := range r.Carried().Sites {
		s := &r.Carried().Sites[i]
		sum += s.Charge[t] - s.Discharge[t]
	}
	return Thousandths(1000 * sum)
}

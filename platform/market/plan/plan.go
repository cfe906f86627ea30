// Package plan decides ahead what the batteries of one or many sites do: one optimisation of
// energy, regulation and reserve, of wear, peaks and carbon, under the limits of batteries, sites and
// feeders, with a bound that no plan can pass and a reason for each interval.
//
// As in package market, power is in MW, energy in MWh, prices are per MWh, or per MW and hour for
// capacity. Import into a site, load and charge are counted up, and so is net: what a site takes.
//
// The plan is that of a linear program wherever it is free to charge and discharge, or to import and
// export, at once and does not; where it would, a branch-and-bound search over those intervals makes
// it choose, and AtMost says how far the search got.
package plan

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"yunchu/platform/plural"
)

// Battery is one at a site. The zero value is none.
type Battery struct {
	ChargeMW, DischargeMW float64 // at the grid
	// MWh is the energy that a full cycle takes; what is stored stays from Least to Most of it.
	MWh, Least, Most float64
	// In and Out are the efficiencies of charging and discharging, 0..1: of what is bought, In is
	// stored; of what is taken from the store, Out is sold.
	In, Out float64
	Start   float64 // MWh stored at the begin
	End     End
	// VariableCost of each MWh discharged, at the grid.
	VariableCost float64
	Wear         []Segment
	Held         []float64 // MWh in each segment of wear at the begin; nil: the shallow ones are full
}

// End is what is asked of the energy stored at the end: to lie from Least to Most MWh, and each MWh
// more than at the begin is worth Price.
type End struct{ Least, Most, Price float64 }

// Segment is a slice of the depth of a cycle, 0..1, up to To. Each MWh taken from the store out of
// it costs PerMWh, which must not fall with depth: then cheap slices are used first, and the cost
// is that of the depths of all discharging half-cycles as rainflow counting finds them (B. Xu et al., IEEE Trans.
// Power Systems 33(2), 2018, 2248). At the begin the shallow slices are full.
type Segment struct{ To, PerMWh float64 }

// Outlook is what is expected at a site, or known, by interval. Sell may be nil: what is exported
// earns Buy. Load and PV may be nil: there is none.
type Outlook struct {
	Buy, Sell []float64 // price of import and of export, per MWh
	Load, PV  []float64 // MW
}

// Demand is a charge on the highest mean import of an interval.
type Demand struct {
	PerMW  float64
	SoFar  float64 // MW, the peak that is paid for anyway
	Within []bool  // by interval, whether it counts; nil: all do
}

// Site is a grid connection.
type Site struct {
	Name string
	Outlook
	Battery Battery
	Curtail bool // PV may be turned down
	// ImportMW and ExportMW bound the exchange with the grid, also when everything offered is called
	// for; +Inf is no bound.
	ImportMW, ExportMW float64
	Demand             []Demand
	Carbon             []float64 // t for each MWh taken, by interval; what is given back is credited; nil: none

	more, less []float64 // what a schedule that is settled has offered, MW by interval: see promised
}

// Limit bounds what several sites take together: from -ExportMW to ImportMW.
type Limit struct {
	Name               string
	Sites              []int // places in Portfolio.Sites
	ImportMW, ExportMW float64
}

// Product is capacity that is sold beside energy: to give Up, or to take, on call.
type Product struct {
	Name   string
	Up     bool
	Price  []float64 // per MW and hour, by interval
	Called float64   // the part that is called on average, 0..1, at the price of energy
	Hours  float64   // for which the whole of it must be possible
	MostMW float64   // of all sites; +Inf: no bound
	// Committed is by interval what has been sold already and must be kept, no more and no less, MW. What lies behind its
	// end has not been sold yet. Each MW and hour that cannot be kept costs Penalty.
	Committed []float64
	Penalty   float64
}

// NotKept is the penalty of capacity at such prices where nobody says another one: so dear that what has been sold is kept
// wherever it can be.
func NotKept(price []float64) float64 { return 10 * (1 + slices.Max(price)) }

// Position is energy that has been sold at another market before, for the sites together, and how what
// is off is settled. The prices of the sites are then what is paid besides, such as fees.
type Position struct {
	Sold        []float64 // MW by interval, positive when it is sold
	Short, Long []float64 // price of each MWh that is missing, or left over
}

// Scenario is how it may come, with the weight of its probability.
type Scenario struct {
	Weight float64
	Sites  []Outlook
}

// Risk is what is counted of a bad outcome.
type Risk struct {
	// Weight (β) of the conditional value at risk: what counts is (1−β)·E + β·(the mean of the worst
	// outcomes, 1−Level of all) (R. T. Rockafellar and S. Uryasev, J. Risk 2(3), 2000).
	Weight, Level float64
	// Budget (Γ) is in how many intervals the price goes against the plan by Deviation at once, by
	// interval, per MWh: the worst of these counts (D. Bertsimas and M. Sim, Operations Research 52(1), 2004).
	Budget    float64
	Deviation []float64
}

// Weights are what money of a kind counts in what is optimised; what is reported is not weighted.
type Weights struct{ Wear, Demand float64 }

// Even counts all money as what it is.
var Even = Weights{1, 1}

// Portfolio is what is planned as one.
type Portfolio struct {
	Hours     float64 // of an interval
	Intervals int
	Sites     []Site
	Limits    []Limit
	Products  []Product
	// Balanced keeps the energy that products take in from exceeding what they give, interval by
	// interval, as market.Regulation says.
	Balanced    bool
	CarbonPrice float64 // per t
	Position    *Position
	Scenarios   []Scenario // one schedule for all; none: the outlooks of the sites
	Risk        Risk
	Weights     Weights
	Nodes       int      // of the search at most; 0: 12 to 100, by size
	Labels      []string // what intervals are called in reasons
}

// ErrPortfolio is what is wrong with one.
var ErrPortfolio = errors.New("portfolio")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrPortfolio, fmt.Sprintf(format, args...))
}

func intervals(n int) string { return plural.Count(n, "interval", "intervals") }

func (p *Portfolio) check() error {
	if !(p.Hours > 0) || p.Intervals < 1 {
		return wrong("%s of %v h", intervals(p.Intervals), p.Hours)
	}
	for i := range p.Sites {
		s := &p.Sites[i]
		if err := s.check(p.Intervals); err != nil {
			return fmt.Errorf("site %s: %w", s.Name, err)
		}
	}
	for k := range p.Products {
		x := &p.Products[k]
		switch {
		case len(x.Price) != p.Intervals:
			return wrong("%s has %s for %s", x.Name, plural.Count(len(x.Price), "price", "prices"), intervals(p.Intervals))
		case len(x.Committed) > p.Intervals:
			return wrong("%s has %s for %s", x.Name, plural.Count(len(x.Committed), "commitment", "commitments"), intervals(p.Intervals))
		case !(x.Called >= 0 && x.Called <= 1) || !(x.Hours >= 0):
			return wrong("%s is called for %v of it and for %v hours", x.Name, x.Called, x.Hours)
		}
	}
	for _, l := range p.Limits {
		for _, i := range l.Sites {
			if i < 0 || i >= len(p.Sites) {
				return wrong("limit %s has site %d of %d", l.Name, i, len(p.Sites))
			}
		}
	}
	if x := p.Position; x != nil {
		for t := range p.Intervals {
			if len(x.Sold) != p.Intervals || len(x.Short) != p.Intervals || len(x.Long) != p.Intervals {
				return wrong("a position of %s for %d", intervals(len(x.Sold)), p.Intervals)
			}
			if x.Short[t] < x.Long[t] {
				return wrong("interval %d pays more for what is left over than it costs to be short", t)
			}
		}
	}
	total := 0.0
	for k, s := range p.Scenarios {
		total += s.Weight
		if len(s.Sites) != len(p.Sites) || !(s.Weight >= 0) {
			return wrong("scenario %d has %s and the weight %v", k, plural.Count(len(s.Sites), "site", "sites"), s.Weight)
		}
		for i := range s.Sites {
			if err := s.Sites[i].check(p.Intervals); err != nil {
				return fmt.Errorf("scenario %d: %w", k, err)
			}
		}
	}
	switch r := p.Risk; {
	case len(p.Scenarios) > 0 && !(total > 0):
		return wrong("no scenario has a weight")
	case !(r.Weight >= 0 && r.Weight <= 1) || !(r.Level >= 0 && r.Level < 1):
		return wrong("a risk of weight %v at level %v", r.Weight, r.Level)
	case !(r.Budget >= 0) || r.Budget > 0 && len(r.Deviation) != p.Intervals:
		return wrong("a budget of %v and %s for %s", r.Budget, plural.Count(len(r.Deviation), "deviation", "deviations"), intervals(p.Intervals))
	case len(r.Deviation) > 0 && slices.Min(r.Deviation) < 0:
		return wrong("a deviation of %v per MWh: prices go so far either way, 0 or more", slices.Min(r.Deviation))
	}
	return nil
}

func (s *Site) check(n int) error {
	if err := s.Outlook.check(n); err != nil {
		return err
	}
	if s.Carbon != nil && len(s.Carbon) != n {
		return wrong("%s of carbon for %s", plural.Count(len(s.Carbon), "value", "values"), intervals(n))
	}
	for _, d := range s.Demand {
		if !(d.PerMW >= 0) || d.Within != nil && len(d.Within) != n {
			return wrong("a demand charge of %v for %d of %s", d.PerMW, len(d.Within), intervals(n))
		}
	}
	if !(s.ImportMW >= 0) || !(s.ExportMW >= 0) {
		return wrong("limits of %s of import and %s of export", signed(s.ImportMW), signed(s.ExportMW))
	}
	return s.Battery.check()
}

func (o *Outlook) check(n int) error {
	if len(o.Buy) != n {
		return wrong("%s for %s", plural.Count(len(o.Buy), "price", "prices"), intervals(n))
	}
	for _, list := range [][]float64{o.Buy, o.Sell, o.Load, o.PV} {
		if list != nil && len(list) != n {
			return wrong("%s for %s", plural.Count(len(list), "value", "values"), intervals(n))
		}
		for _, x := range list {
			if !(math.Abs(x) <= largest) {
				return wrong("a value of %v, more than %g", x, largest)
			}
		}
	}
	for _, list := range [][]float64{o.Load, o.PV} {
		for t, mw := range list {
			if !(math.Abs(mw) <= largestMW) {
				return wrong("a load or PV of %v kW in interval %d, more than %g", kilo(mw), t, kilo(largestMW))
			}
		}
	}
	return nil
}

// largest is the most MW, MWh and money for each of them that is planned with: with more the figures of a sum get lost.
const largest = 1e9

// largestMW is the most that is consumed or produced at a site: beside more nothing that a battery does can be told.
const largestMW = 1e6

// kilo is a number of MW or MWh in kW or kWh, in which people write them, without what multiplying leaves of digits.
func kilo(x float64) float64 {
	out, err := strconv.ParseFloat(strconv.FormatFloat(1000*x, 'g', 12, 64), 64)
	if err != nil { // it is beyond all numbers
		return 1000 * x
	}
	return out
}

// there is whether there is a battery.
func (b *Battery) there() bool { return b.ChargeMW > 0 || b.DischargeMW > 0 }

func (b *Battery) check() error {
	if !b.there() {
		return nil
	}
	switch {
	case max(b.ChargeMW, b.DischargeMW, b.MWh) > largest:
		return wrong("a battery of %v and %v kW and %v kWh, more than %g", kilo(b.ChargeMW), kilo(b.DischargeMW), kilo(b.MWh), kilo(largest))
	case !(b.ChargeMW >= 0 && b.DischargeMW >= 0):
		return wrong("a battery of %v and %v kW", kilo(b.ChargeMW), kilo(b.DischargeMW))
	case !(b.MWh > 0) || !(0 <= b.Least && b.Least <= b.Most && b.Most <= b.MWh):
		return wrong("a battery of %v kWh, used from %v to %v", kilo(b.MWh), kilo(b.Least), kilo(b.Most))
	case !(b.In > 0 && b.In <= 1 && b.Out > 0 && b.Out <= 1):
		return wrong("efficiencies of %v and %v: they are parts of 1", b.In, b.Out)
	case !(b.Least <= b.Start && b.Start <= b.Most):
		return wrong("%v kWh are stored at the begin, outside of %v to %v", kilo(b.Start), kilo(b.Least), kilo(b.Most))
	case !(b.End.Least <= b.End.Most && b.End.Most >= b.Least && b.End.Least <= b.Most) || !(math.Abs(b.End.Price) <= largest):
		return wrong("%v to %v kWh are wanted at the end, of %v to %v", kilo(b.End.Least), kilo(b.End.Most), kilo(b.Least), kilo(b.Most))
	case !(math.Abs(b.VariableCost) <= largest):
		return wrong("a variable cost of %v", b.VariableCost)
	}
	to, cost := 0.0, 0.0
	for _, s := range b.Wear {
		if !(s.To > to) || !(s.PerMWh >= cost) {
			return wrong("a segment of wear up to depth %v at %v per MWh after one up to %v at %v: depths rise, costs do not fall", s.To, s.PerMWh, to, cost)
		}
		to, cost = s.To, s.PerMWh
	}
	if b.Held != nil && len(b.Held) != len(b.Wear) {
		return wrong("%s of wear for %s that they hold", plural.Count(len(b.Wear), "segment", "segments"), plural.Count(len(b.Held), "energy", "energies"))
	}
	if len(b.Wear) > 0 && math.Abs(to-1) > 1e-9 {
		return wrong("the segments of wear end at depth %v: the last one ends at 1", to)
	}
	return nil
}

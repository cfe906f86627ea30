package planning

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"yunchu/harness/scenario"
	"yunchu/harness/sheet"
	"yunchu/platform/market"
	"yunchu/platform/market/plan"
	"yunchu/platform/market/plan/sites"
	"yunchu/platform/market/plan/worth"
)

// Columns of a file of prices.
const (
	timeColumn     = "time"
	energyColumn   = "energy_per_mwh"
	forecastColumn = "forecast" // as forecast backtest writes it
	exportColumn   = "export_per_mwh"
	carbonColumn   = "carbon_t_per_mwh"
)

// productColumns are those of products.
var productColumns = map[string]string{"regup": "regup_per_mw", "regdown": "regdown_per_mw", "reserve": "reserve_per_mw"}

// Prices are those of consecutive intervals.
type Prices struct {
	At             []time.Time
	Step           time.Duration
	Energy, Export []float64 // Export is nil where it is Energy
	Carbon         []float64 // t/MWh; nil: not known
	Short, Long    []float64 // of energy that is missing, or left over, of what has been sold; nil: not known
	Product        map[string][]float64
}

func (p *Prices) end() time.Time { return p.At[len(p.At)-1].Add(p.Step) }

// mostIntervals is what is planned as one at most: a quarter of a year of quarter-hours.
const mostIntervals = 9000

// readPrices reads a file of prices, from an instant up to another one. Those of energy are in the column that is
// named, or in forecast, or in energy_per_mwh. Without one of a product it is refused, unless that is let be.
func readPrices(path, energy string, p *scenario.Portfolio, from, to time.Time, lacking bool) (*Prices, error) {
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		return nil, err
	}
	wanted := []string{energy, energyColumn, forecastColumn, exportColumn, carbonColumn, shortColumn, longColumn}
	for _, name := range p.Products {
		wanted = append(wanted, productColumns[name])
	}
	s, err := sheet.Read(path, func(column string) bool { return slices.Contains(wanted, column) }, timeColumn)
	if err != nil {
		return nil, err
	}
	times := s.Times
	if zone != time.UTC {
		times = func(column string) ([]time.Time, error) { return s.InZone(column, zone) }
	}
	at, err := times(timeColumn)
	if err != nil {
		return nil, err
	}
	first, last := 0, len(at)
	for first < len(at) && at[first].Before(from) {
		first++
	}
	for !to.IsZero() && last > first && !at[last-1].Before(to) {
		last--
	}
	switch n := last - first; {
	case n == 0:
		return nil, scenario.Faults{{Path: path, Msg: fmt.Sprintf("no row lies within --from and --to; there are rows from %s to %s", at[0].Format(time.RFC3339), at[len(at)-1].Format(time.RFC3339))}}
	case len(at) < 2:
		return nil, scenario.Faults{{Path: path, Msg: "one row does not say how long an interval is"}}
	case n > mostIntervals:
		return nil, scenario.Faults{{Path: path, Msg: fmt.Sprintf("%d intervals are more than are planned as one, %d", n, mostIntervals), Hint: "pick some: --from 2020-01-01 --to 2020-01-02"}}
	}
	out := &Prices{Step: at[1].Sub(at[0]), Product: map[string][]float64{}}
	if first+1 < len(at) {
		out.Step = at[first+1].Sub(at[first])
	}
	for k := first; k < last; k++ {
		if k > first && at[k].Sub(at[k-1]) != out.Step {
			return nil, s.At(k, []string{timeColumn}, "intervals are equally long, and none is left out", "%v after the row before, where the first two are %v apart", at[k].Sub(at[k-1]), out.Step)
		}
		out.At = append(out.At, at[k].In(zone))
	}
	column := func(names ...string) (list []float64) {
		if err == nil {
			if list, err = s.Full(names...); err == nil {
				list = list[first:last]
			}
		}
		return list
	}
	priced := func(names ...string) []float64 {
		list := column(names...)
		if err == nil {
			err = sensible(s, list, first, names...)
		}
		return list
	}
	switch {
	case energy != "":
		out.Energy = priced(energy)
	case s.Has(forecastColumn): // beside it stands what came, or nothing yet
		out.Energy = priced(forecastColumn)
	default:
		out.Energy = priced(energyColumn, forecastColumn)
	}
	if s.Has(exportColumn) {
		out.Export = priced(exportColumn)
	}
	if s.Has(shortColumn) {
		out.Short = priced(shortColumn)
	}
	if s.Has(longColumn) {
		out.Long = priced(longColumn)
	}
	if s.Has(carbonColumn) {
		out.Carbon = column(carbonColumn)
	}
	for _, name := range p.Products {
		if name != "energy" && (s.Has(productColumns[name]) || !lacking) {
			out.Product[name] = priced(productColumns[name])
		}
	}
	return out, err
}

// sensible is an error where a price, of those from a row on, is beyond all that are planned with.
func sensible(s *sheet.Sheet, list []float64, first int, column ...string) error {
	for t, x := range list {
		if math.Abs(x) > market.MostPrice {
			return s.At(first+t, column, "beside such a price the others vanish; it is per MWh, or per MW and hour", "%v is no price of a market: %v is the most", x, float64(market.MostPrice))
		}
	}
	return nil
}

// exportWith are the prices of export where those of energy are others.
func (p *Prices) exportWith(energy []float64) []float64 {
	return sites.Export(energy, p.Energy, p.Export)
}

// fill takes what is lacking from what was expected, and names its columns.
func (p *Prices) fill(expected *Prices) (names []string) {
	if p.Export == nil && expected.Export != nil {
		p.Export = expected.exportWith(p.Energy)
		names = append(names, exportColumn)
	}
	if p.Carbon == nil && expected.Carbon != nil {
		p.Carbon = expected.Carbon
		names = append(names, carbonColumn)
	}
	for _, name := range slices.Sorted(maps.Keys(expected.Product)) {
		if p.Product[name] == nil {
			p.Product[name] = expected.Product[name]
			names = append(names, productColumns[name])
		}
	}
	return names
}

// build makes of a portfolio what is optimised.
func build(p *scenario.Portfolio, prices *Prices) (*plan.Portfolio, error) {
	inf := math.Inf(1)
	out := &plan.Portfolio{Hours: prices.Step.Hours(), Intervals: len(prices.At), Weights: plan.Even, CarbonPrice: p.CarbonPrice, Balanced: p.Regulation.Balanced, Labels: worth.Labels(prices.At, prices.Step)}
	for _, name := range []string{"regup", "regdown", "reserve"} {
		if !slices.Contains(p.Products, name) {
			continue
		}
		x := plan.Product{Name: name, Up: name != "regdown", Price: prices.Product[name], Hours: p.Regulation.Duration.Hours(), MostMW: inf}
		switch name {
		case "regup":
			x.Called = p.Regulation.EnergyUp
		case "regdown":
			x.Called = p.Regulation.EnergyDown
		case "reserve":
			x.Hours = p.Regulation.ReserveDuration.Hours()
		}
		out.Products = append(out.Products, x)
	}
	out.Balanced = out.Balanced && slices.ContainsFunc(out.Products, func(x plan.Product) bool { return x.Called > 0 })
	for i := range p.Sites {
		x := &p.Sites[i]
		s, err := site(x, prices)
		if err != nil {
			return nil, err
		}
		for _, s.Name = range x.Entry().IDs() {
			out.Sites = append(out.Sites, s)
		}
	}
	for _, l := range p.Limits {
		x := plan.Limit{Name: l.Name, ImportMW: inf, ExportMW: inf}
		if l.ImportKW != nil {
			x.ImportMW = *l.ImportKW / 1000
		}
		if l.ExportKW != nil {
			x.ExportMW = *l.ExportKW / 1000
		}
		x.Sites = p.Among(l)
		out.Limits = append(out.Limits, x)
	}
	return out, nil
}

func site(x *scenario.PortfolioSite, prices *Prices) (plan.Site, error) {
	inf := math.Inf(1)
	s := plan.Site{
		Name: x.ID, Outlook: fees(x).Tariff(prices.Energy, prices.Export), Curtail: x.Curtail,
		ImportMW: inf, ExportMW: inf, Carbon: prices.Carbon,
	}
	if x.ImportLimitKW != nil {
		s.ImportMW = *x.ImportLimitKW / 1000
	}
	if x.ExportLimitKW != nil {
		s.ExportMW = *x.ExportLimitKW / 1000
	}
	for _, c := range []struct {
		what string
		s    *scenario.Series
		to   *[]float64
		by   float64
	}{{"load", x.Load, &s.Load, 1e-3}, {"pv", x.PV, &s.PV, -1e-3}} {
		if c.s == nil {
			continue
		}
		if !c.s.Spans(prices.At[0], prices.end()) {
			return s, scenario.Faults{{Path: c.s.CSV, Msg: fmt.Sprintf("the %s of %s does not reach from %s to %s", c.what, x.ID, prices.At[0].Format(time.RFC3339), prices.end().Format(time.RFC3339)), Hint: "pick what it has: --from, --to"}}
		}
		*c.to = make([]float64, len(prices.At))
		for t, at := range prices.At {
			(*c.to)[t] = c.by * c.s.Mean(at, at.Add(prices.Step))
		}
	}
	if x.DemandCharge > 0 {
		s.Demand = sites.Months(prices.At, x.DemandCharge, x.PeakKW)
	}
	b := &x.Battery
	if b.EnergyKWh == 0 {
		return s, nil
	}
	s.Battery = plan.Battery{
		ChargeMW: b.ChargeKW / 1000, DischargeMW: b.PowerKW / 1000, MWh: b.EnergyKWh / 1000, Least: b.LeastKWh / 1000, Most: b.MostKWh / 1000,
		In: b.Efficiency, Out: b.DischargeEfficiency, Start: b.BeginKWh / 1000, VariableCost: b.VariableCost,
		End: plan.End{Least: b.BeginKWh / 1000, Most: b.BeginKWh / 1000},
	}
	switch {
	case b.EndValue != nil:
		s.Battery.End = plan.End{Least: s.Battery.Least, Most: s.Battery.Most, Price: *b.EndValue}
	case b.EndKWh != nil:
		s.Battery.End = plan.End{Least: *b.EndKWh / 1000, Most: *b.EndKWh / 1000}
	}
	for _, w := range b.Wear {
		s.Battery.Wear = append(s.Battery.Wear, plan.Segment{To: w.To, PerMWh: w.Cost})
	}
	return s, nil
}

// fees are those of a site.
func fees(x *scenario.PortfolioSite) sites.Fees {
	return sites.Fees{Import: x.ImportFee, Export: x.ExportFee}
}

package planning

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"yunchu/harness/scenario"
	"yunchu/harness/sheet"
	"yunchu/platform/market/plan"
	"yunchu/platform/plural"
)

// notScenarios are columns that stand beside scenarios of the price of energy and are none.
var notScenarios = []string{energyColumn, forecastColumn, exportColumn, carbonColumn, shortColumn, longColumn, "regup_per_mw", "regdown_per_mw", "reserve_per_mw"}

// uncertain adds the prices that may come.
func (o *Options) uncertain(p *plan.Portfolio, prices *Prices) error {
	s, err := sheet.Read(o.Scenarios, func(column string) bool { return column != timeColumn }, timeColumn)
	if err != nil {
		return err
	}
	at, err := s.Times(timeColumn)
	if err != nil {
		return err
	}
	first := slices.IndexFunc(at, prices.At[0].Equal)
	if first < 0 || first+len(prices.At) > len(at) || !at[first+len(prices.At)-1].Equal(prices.At[len(prices.At)-1]) {
		return scenario.Faults{{Path: o.Scenarios, Msg: fmt.Sprintf("the scenarios do not have all %d intervals from %s to %s", len(prices.At), prices.At[0].Format(time.RFC3339), prices.end().Format(time.RFC3339)), Hint: "both files have the same intervals"}}
	}
	var levels []float64
	var names []string
	var columns [][]float64
	quantiles := slices.ContainsFunc(s.Header, func(name string) bool { return level(name) > 0 })
	for _, name := range s.Header {
		if name == timeColumn || slices.Contains(notScenarios, name) || quantiles && level(name) == 0 {
			continue
		}
		list, err := s.Full(name)
		if err != nil {
			return err
		}
		list = list[first : first+len(prices.At)]
		if err := sensible(s, list, first, name); err != nil {
			return err
		}
		for t, x := range list {
			if last := len(columns) - 1; quantiles && last >= 0 && levels[last] < level(name) && columns[last][t] > x {
				return s.At(first+t, []string{name}, "quantiles rise", "%s is above %s: %v and %v", names[last], name, columns[last][t], x)
			}
		}
		names, levels, columns = append(names, name), append(levels, level(name)), append(columns, list)
	}
	if len(columns) < 2 || quantiles && !slices.IsSorted(levels) {
		return scenario.Faults{{Path: o.Scenarios, Msg: plural.Count(len(columns), "column", "columns") + " of prices that may come", Hint: "a column for each scenario, or columns q05, q10, … q95 of quantiles in their order"}}
	}
	if o.Budget > 0 {
		p.Risk.Budget, p.Risk.Deviation = o.Budget, plan.Deviation(columns)
		return nil
	}
	if quantiles {
		columns = plan.Draw(columns, levels, o.Draws, prices.Step.Hours(), rand.New(rand.NewPCG(o.Seed, 0)))
	}
	for _, energy := range columns {
		sc, export := plan.Scenario{Weight: 1}, prices.exportWith(energy)
		for i := range o.Portfolio.Sites {
			x := &o.Portfolio.Sites[i]
			for range max(1, x.Count) {
				base := p.Sites[len(sc.Sites)].Outlook
				outlook := fees(x).Tariff(energy, export)
				outlook.Load, outlook.PV = base.Load, base.PV
				sc.Sites = append(sc.Sites, outlook)
			}
		}
		p.Scenarios = append(p.Scenarios, sc)
	}
	p.Risk.Weight, p.Risk.Level = o.Tail, o.Level
	return nil
}

// level is that of a column of quantiles as q05 names it, 0 of any other.
func level(name string) float64 {
	digits, ok := strings.CutPrefix(name, "q")
	x, err := strconv.Atoi(digits)
	if !ok || err != nil || len(digits) != 2 || x < 1 || x > 99 {
		return 0
	}
	return float64(x) / 100
}

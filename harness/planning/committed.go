package planning

import (
	"fmt"
	"slices"
	"time"

	"yunchu/harness/scenario"
	"yunchu/harness/sheet"
	"yunchu/platform/market/plan"
)

// Columns of what is off from what has been sold, in a file of prices, and of what has been sold.
const (
	shortColumn  = "short_per_mwh"
	longColumn   = "long_per_mwh"
	targetColumn = "target_kw"
)

// commit holds the portfolio to what has been sold before: energy as a schedule of what all sites take, as market award
// writes it, whose deviations are settled at the prices of being short and long; capacity as it is.
func (o *Options) commit(p *plan.Portfolio, prices *Prices) error {
	wanted := []string{targetColumn}
	for _, x := range p.Products {
		wanted = append(wanted, x.Name+"_kw")
	}
	s, err := sheet.Read(o.Committed, func(column string) bool { return slices.Contains(wanted, column) }, timeColumn)
	if err != nil {
		return err
	}
	at, err := s.Times(timeColumn)
	if err != nil {
		return err
	}
	if at[0].After(prices.At[0]) {
		return scenario.Faults{{Path: o.Committed, Msg: fmt.Sprintf("nothing says what is committed before %s", at[0].Format(time.RFC3339)), Hint: "it begins no later than the prices; each row holds until the next one"}}
	}
	last := len(at) - 1
	until := at[last].Add(prices.Step) // the last row holds as long as the one before
	if last > 0 {
		until = at[last].Add(at[last].Sub(at[last-1]))
	}
	held := func(column string) ([]float64, error) {
		list, err := s.Full(column)
		if err != nil {
			return nil, err
		}
		if list[last] != 0 && until.Before(prices.end()) {
			return nil, s.At(last, []string{column}, fmt.Sprintf("add a row where it ends, as %s,0; the prices end at %s", until.Format(time.RFC3339), prices.end().Format(time.RFC3339)),
				"%v kW are committed from %s on, and nothing says until when", list[last], at[last].Format(time.RFC3339))
		}
		out, k := make([]float64, len(prices.At)), 0
		for t, begin := range prices.At {
			for k+1 < len(at) && !at[k+1].After(begin) {
				k++
			}
			out[t] = list[k] / 1000
		}
		return out, nil
	}
	some := false
	for k := range p.Products {
		x := &p.Products[k]
		if !s.Has(x.Name + "_kw") {
			continue
		}
		if x.Committed, err = held(x.Name + "_kw"); err != nil {
			return err
		}
		some, x.Penalty = true, plan.NotKept(x.Price)
	}
	if s.Has(targetColumn) {
		taken, err := held(targetColumn)
		if err != nil {
			return err
		}
		some = true
		pos := &plan.Position{Short: prices.Short, Long: prices.Long}
		for _, mw := range taken {
			pos.Sold = append(pos.Sold, -mw)
		}
		p.Position = pos
		none, n := make([]float64, len(prices.At)), 0
		for i := range o.Portfolio.Sites {
			x := &o.Portfolio.Sites[i]
			for range max(1, x.Count) {
				besides := fees(x).Tariff(none, nil)
				p.Sites[n].Buy, p.Sites[n].Sell = besides.Buy, besides.Sell
				n++
			}
		}
	}
	if !some {
		return s.Fault(1, 1, "its columns are among: time, target_kw and, of products that are planned, regup_kw, regdown_kw, reserve_kw", "nothing is committed in this file")
	}
	return nil
}

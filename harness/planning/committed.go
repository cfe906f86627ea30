package planning

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"yunchu/harness/scenario"
	"yunchu/harness/sheet"
	"yunchu/platform/market/plan"
	"yunchu/platform/market/plan/sites"
)

// Columns of what is off from what has been sold, in a file of prices, and of what has been sold.
const (
	shortColumn  = "short_per_mwh"
	longColumn   = "long_per_mwh"
	targetColumn = "target_kw"
)

// commitments are a file of what has been sold, each row of which holds until the next one.
type commitments struct {
	*sheet.Sheet
	at     []time.Time
	prices *Prices
}

// commit holds the portfolio to what has been sold before: energy as a schedule of what all sites take, as market award
// writes it, whose deviations are settled at the prices of being short and long; capacity as it is.
func (o *Options) commit(p *plan.Portfolio, prices *Prices) error {
	s, err := sheet.Read(o.Committed, isSold, timeColumn)
	if err != nil {
		return err
	}
	if err := understood(s, p.Products); err != nil {
		return err
	}
	at, err := s.Times(timeColumn)
	if err != nil {
		return err
	}
	if at[0].After(prices.At[0]) {
		return scenario.Faults{{Path: o.Committed, Msg: fmt.Sprintf("nothing says what is committed before %s", at[0].Format(time.RFC3339)), Hint: "it begins no later than the prices; each row holds until the next one"}}
	}
	sold, some := commitments{s, at, prices}, false
	for k := range p.Products {
		x := &p.Products[k]
		if !s.Has(x.Name + "_kw") {
			continue
		}
		if x.Committed, err = sold.capacity(x.Name + "_kw"); err != nil {
			return err
		}
		some, x.Penalty = true, plan.NotKept(x.Price)
	}
	if s.Has(targetColumn) {
		taken, err := sold.mean(targetColumn)
		if err != nil {
			return err
		}
		some = true
		for t := range taken {
			taken[t] = -taken[t]
		}
		pos := sites.Position(taken, prices.Energy, prices.Export, prices.Short, prices.Long)
		for t, at := range prices.At {
			if pos.Long[t] > pos.Short[t] {
				said := fmt.Sprintf("from %s on what is left over is paid %v, and what is missing costs %v: to be off both ways at once would pay", at.Format(time.RFC3339), pos.Long[t], pos.Short[t])
				return scenario.Faults{{Path: o.Portfolio.Prices, Msg: said, Hint: "write what being off costs, short_per_mwh and long_per_mwh; without them these are energy_per_mwh and export_per_mwh"}}
			}
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
		return s.Fault(1, 1, soldColumns, "nothing is committed in this file")
	}
	return nil
}

// soldColumns says what a file of what has been sold may have.
const soldColumns = "its columns are among: time, target_kw and, of products that are planned, regup_kw, regdown_kw, reserve_kw"

// isSold tells whether a column says how much has been sold.
func isSold(column string) bool { return column == targetColumn || product(column) != "" }

// product is that of a column of capacity, empty where it is none.
func product(column string) string {
	name, kw := strings.CutSuffix(column, "_kw")
	if _, known := productColumns[name]; known && kw {
		return name
	}
	return ""
}

// mostKW is the most that has been sold, as it is over the API.
const mostKW = 1e9

// understood is an error where the file says that more has been sold than is planned for: a column that is not known, capacity
// of a product that is not planned, or more than there is. Prices may stand beside it.
func understood(s *sheet.Sheet, planned []plan.Product) error {
	for i, column := range s.Header {
		if column == timeColumn || strings.Contains(column, "_per_") {
			continue
		}
		if !isSold(column) {
			return s.Named(i, soldColumns, "column %s is not known here", column)
		}
		name, at := product(column), s.Header[i:i+1]
		lacks := name != "" && !slices.ContainsFunc(planned, func(x plan.Product) bool { return x.Name == name })
		for k, kw := range s.Column[i] {
			switch {
			case math.Abs(kw) > mostKW:
				return s.At(k, at, "write kW", "%v kW are committed, more than %v", kw, float64(mostKW))
			case name != "" && kw < 0:
				return s.At(k, at, "what has been sold of it is 0 or more", "%v kW of %s are committed", kw, name)
			case lacks && kw > 0:
				return s.At(k, at, fmt.Sprintf("add %s to them, or take the column away", name), "%v kW of %s are committed, which is not among the products", kw, name)
			}
		}
	}
	return nil
}

// mean is that of a column over each interval, MW.
func (c *commitments) mean(column string) ([]float64, error) {
	list, err := c.Full(column)
	if err != nil {
		return nil, err
	}
	last := len(c.at) - 1
	until := c.at[last].Add(c.prices.Step) // the last row holds as long as the one before
	if last > 0 {
		until = c.at[last].Add(c.at[last].Sub(c.at[last-1]))
	}
	if list[last] != 0 && until.Before(c.prices.end()) {
		return nil, c.At(last, []string{column}, fmt.Sprintf("add a row where it ends, as %s,0; the prices end at %s", until.Format(time.RFC3339), c.prices.end().Format(time.RFC3339)),
			"%v kW are committed from %s on, and nothing says until when", list[last], c.at[last].Format(time.RFC3339))
	}
	series, err := scenario.Held(c.at, list)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(c.prices.At))
	for t, begin := range c.prices.At {
		out[t] = series.Mean(begin, begin.Add(c.prices.Step)) / 1000
	}
	return out, nil
}

// capacity is the mean of a column that changes within no interval: an interval offers one capacity, and the mean would be
// less than what has been sold of a part of it.
func (c *commitments) capacity(column string) ([]float64, error) {
	out, err := c.mean(column)
	if err != nil {
		return nil, err
	}
	list, _ := c.Full(column)
	first := c.prices.At[0]
	for k := 1; k < len(c.at) && c.at[k].Before(c.prices.end()); k++ {
		since := c.at[k].Sub(first)
		if list[k] == list[k-1] || since <= 0 || since%c.prices.Step == 0 {
			continue
		}
		begin := first.Add(since.Truncate(c.prices.Step))
		return nil, c.At(k, []string{column}, "let it change where an interval of the prices begins, or take prices of shorter intervals",
			"%s changes within the interval from %s to %s", column, begin.Format(time.RFC3339), begin.Add(c.prices.Step).Format(time.RFC3339))
	}
	return out, nil
}

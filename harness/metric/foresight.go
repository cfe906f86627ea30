package metric

import (
	"context"
	"fmt"
	"math"

	"yunchu/platform/market/plan"
)

// foresight is what the fleet could have earned at most, had it known all prices: as one battery of its rated
// power, its usable energy and the efficiency that it had, half of the losses each way, that begins and ends
// with the charge with which it did. Prices are means over 5 minutes, over 15 in runs beyond two days.
func (c *Collector) foresight() (most float64, err error) {
	m := &c.money
	efficiency, _, err := c.efficiency()
	if err != nil {
		return math.NaN(), fmt.Errorf("of a fleet whose losses are not known nobody can say what it could earn: %w", err)
	}
	if !(m.first >= 0 && m.last >= 0) {
		return math.NaN(), fmt.Errorf("what was stored at the begin or at the end is not known: %w", ErrNoData)
	}
	total := 0.0
	for _, p := range m.prices {
		if math.IsNaN(p.perKWh) {
			return math.NaN(), fmt.Errorf("for a part of the time no price was known: %w", ErrNoData)
		}
		total += p.s
	}
	step := 300.0
	if total > 2*86400 {
		step = 900
	}
	n := int(math.Ceil(total/step - 1e-9))
	price := make([]float64, n)
	k, used := 0, 0.0 // of the stretch, s
	for i := range price {
		left := step
		for left > 1e-9 && k < len(m.prices) {
			part := min(left, m.prices[k].s-used)
			price[i] += 1000 * m.prices[k].perKWh * part
			left -= part
			if used += part; used >= m.prices[k].s-1e-9 {
				k, used = k+1, 0
			}
		}
		price[i] /= step - left // the last one may be short
	}
	var whole, least, full float64 // MWh
	for _, u := range m.units {
		high := u.SoCMax
		if high == 0 {
			high = 100
		}
		whole += u.CapacityKWh / 1000
		least += u.CapacityKWh / 1000 * u.SoCMin / 100
		full += u.CapacityKWh / 1000 * high / 100
	}
	begin, end := m.first/1000, m.last/1000
	least, full = min(least, begin, end), max(full, begin, end)
	way := math.Sqrt(min(efficiency/100, 1))
	mw := c.cfg.RatedKW / 1000
	p := plan.Portfolio{Hours: step / 3600, Intervals: n, Weights: plan.Even, Sites: []plan.Site{{
		Outlook: plan.Outlook{Buy: price}, ImportMW: mw, ExportMW: mw,
		Battery: plan.Battery{
			ChargeMW: mw, DischargeMW: mw, MWh: whole, Least: least, Most: full, In: way, Out: way, Start: begin,
			End: plan.End{Least: end, Most: end},
		},
	}}}
	best, err := p.Best(context.Background()) // of one battery, which takes a moment
	if err != nil {
		return math.NaN(), fmt.Errorf("what the fleet could have earned: %w", err)
	}
	return best.AtMost, nil
}

// revenueRatio is market.revenue_ratio.
func (c *Collector) revenueRatio() (v float64, n int64, err error) {
	got, n, err := c.money.earned()
	if err != nil {
		return math.NaN(), n, err
	}
	most, err := c.foresight()
	if err != nil {
		return math.NaN(), n, err
	}
	if !(most > 0) {
		return math.NaN(), n, fmt.Errorf("with all prices known it would have earned %.4g: there is nothing to be a part of: %w", most, ErrNoData)
	}
	return got / most, n, nil
}

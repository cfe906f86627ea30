package trading

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform"
	"yunchu/platform/dispatch"
	"yunchu/platform/market/delivery"
	"yunchu/platform/market/order"
	"yunchu/platform/plural"
)

// AwardOptions say what becomes of awards.
type AwardOptions struct {
	Awards   []string
	Ramp     time.Duration
	Every    time.Duration // steps of a ramp
	Strategy string        // of dispatch
	RealTime string        // prices of real time, for the bill
	Column   string        // of energy in it
}

// AwardResult is what awards come to.
type AwardResult struct {
	From     time.Time   `json:"from"`
	To       time.Time   `json:"to"`
	Earned   json.Number `json:"earned"` // of energy, to the cent: what a bill of two settlements has as sold the day before
	Capacity json.Number `json:"earned_capacity"`
	Bought   json.Number `json:"bought_mwh"`
	Sold     json.Number `json:"sold_mwh"`
	Steps    []Step      `json:"schedule"`

	options AwardOptions
	awards  []order.Award
	steps   []delivery.Step
}

// Step is one of a schedule.
type Step struct {
	At       time.Time `json:"at"`
	TargetKW float64   `json:"target_kw"` // into the device
}

// Award reads awards and makes a schedule of them, which is empty where none is of energy.
func Award(o AwardOptions) (*AwardResult, error) {
	awards, err := readAwards(o.Awards)
	if err != nil {
		return nil, err
	}
	r := &AwardResult{options: o, awards: awards}
	energy, capacity, bought, sold := new(big.Rat), new(big.Rat), 0.0, 0.0
	shortest := time.Duration(0)
	for i := range awards {
		a := &awards[i]
		if r.From.IsZero() {
			r.From = a.At
		}
		if end := a.At.Add(a.Length); end.After(r.To) {
			r.To = end
		}
		if a.Product != order.Energy {
			capacity.Add(capacity, a.Earns())
			continue
		}
		energy.Add(energy, a.Earns())
		if shortest == 0 || a.Length < shortest {
			shortest = a.Length
		}
		if a.Side == order.Buy {
			bought += a.KW.MW() * a.Length.Hours()
		} else {
			sold += a.KW.MW() * a.Length.Hours()
		}
	}
	r.Earned, r.Capacity, r.Bought, r.Sold = json.Number(money(energy)), json.Number(money(capacity)), number(bought), number(sold)
	if shortest > 0 && o.Ramp > 0 && (o.Every <= 0 || o.Ramp%(2*o.Every) != 0 || o.Ramp > shortest) {
		return nil, fmt.Errorf("a ramp of %v in steps of %v: it is an even number of steps, and no longer than a delivery, %v", o.Ramp, o.Every, shortest)
	}
	r.steps = delivery.Ramp(delivery.Schedule(awards), o.Ramp, o.Every)
	for _, s := range r.steps {
		r.Steps = append(r.Steps, Step(s))
	}
	return r, nil
}

// follows is an error for awards of capacity alone.
func (r *AwardResult) follows() error {
	if len(r.steps) > 0 {
		return nil
	}
	return scenario.Faults{{Path: r.options.Awards[0], Msg: "there are no awards of energy, so there is nothing to follow", Hint: "--bill takes awards of capacity alone"}}
}

// WriteCSV writes the schedule: what a scenario takes as dispatch.target.
func (r *AwardResult) WriteCSV(w io.Writer) error {
	if err := r.follows(); err != nil {
		return err
	}
	c := csv.NewWriter(w)
	_ = c.Write([]string{timeColumn, "target_kw"}) // told by Error
	for _, s := range r.steps {
		_ = c.Write([]string{s.At.UTC().Format(time.RFC3339), strconv.FormatFloat(s.TargetKW, 'f', -1, 64)})
	}
	c.Flush()
	return c.Error()
}

// WriteDispatch writes the schedule as the body of PUT /api/v1/dispatch.
func (r *AwardResult) WriteDispatch(w io.Writer) error {
	if err := r.follows(); err != nil {
		return err
	}
	set := platform.Settings{Enabled: true, Strategy: dispatch.Strategy(r.options.Strategy)}
	for _, s := range r.steps {
		set.Schedule = append(set.Schedule, platform.Step{At: s.At.UTC(), TargetKW: s.TargetKW})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(set)
}

// capacities are the columns of capacity in the data of a bill, of two-settlement-capacity.
var capacities = []struct {
	product      order.Product
	amount, cost string
}{{order.RegUp, "regup_kwh", "regup_price"}, {order.RegDown, "regdown_kwh", "regdown_price"}, {order.Reserve, "reserve_kwh", "reserve_price"}}

// WriteData writes what the bill of two settlements needs beside the readings, of all time from the first
// delivery to the end of the last: where nothing was sold of energy it is 0 kWh. Without prices of
// real time a deviation has the price of the day before; where there is neither it is an error. There are no
// contracts for differences. Capacity that was awarded has columns of its own.
func (r *AwardResult) WriteData(w io.Writer) error {
	energy, err := r.whole(order.Energy)
	if err != nil {
		return err
	}
	step := r.awards[0].Length
	for i := range r.awards {
		step = min(step, r.awards[i].Length)
	}
	var market *prices
	var column []float64
	if o := r.options; o.RealTime != "" {
		if market, err = readPrices(o.RealTime, func(c string) bool { return c == o.Column }); err != nil {
			return err
		}
		if column, err = market.column(o.Column); err != nil {
			return err
		}
		step = min(step, market.width)
	}
	head := []string{timeColumn, "da_kwh", "da_price", "rt_price", "cfd_kwh", "cfd_price", "ref_price"}
	var held [][]delivery.Sold
	if slices.ContainsFunc(r.awards, func(a order.Award) bool { return a.Product != order.Energy }) {
		for _, x := range capacities {
			list, err := r.whole(x.product)
			if err != nil {
				return err
			}
			head, held = append(head, x.amount, x.cost), append(held, list)
		}
	}
	c := csv.NewWriter(w)
	_ = c.Write(head) // told by Error
	for at := r.From; at.Before(r.To); at = at.Add(step) {
		kwh, before, err := part(energy, at, step)
		if err != nil {
			return err
		}
		now := before
		switch {
		case market != nil:
			x, ok := market.value(column, at)
			if !ok {
				return r.lacks(market, at)
			}
			now = strconv.FormatFloat(x, 'f', -1, 64)
		case before == "":
			return scenario.Faults{{
				Path: r.options.Awards[0], Msg: fmt.Sprintf("no energy has a price at %s, so that it is not known what a deviation costs there", at.UTC().Format(time.RFC3339)),
				Hint: "name prices of real time: --real-time FILE",
			}}
		}
		row := []string{at.UTC().Format(time.RFC3339), kwh, cmp.Or(before, "0"), now, "0", "0", "0"}
		for _, list := range held {
			kwh, price, err := part(list, at, step)
			if err != nil {
				return err
			}
			row = append(row, kwh, cmp.Or(price, "0"))
		}
		_ = c.Write(row)
	}
	c.Flush()
	return c.Error()
}

// part is what a step has of the delivery that it lies in, of a list without holes, and the price of that; none is "".
func part(list []delivery.Sold, at time.Time, step time.Duration) (kwh, price string, err error) {
	i, _ := slices.BinarySearchFunc(list, at, func(s delivery.Sold, at time.Time) int {
		if at.Before(s.At.Add(s.Length)) {
			return 1
		}
		return -1
	})
	s := list[i]
	if s.Length%step != 0 || at.Sub(s.At)%step != 0 {
		return "", "", fmt.Errorf("a delivery of %v at %s does not fit into steps of %v, the shortest of the awards and the prices", s.Length, s.At.UTC().Format(time.RFC3339), step)
	}
	if !s.Price.IsAny() {
		price = s.Price.String()
	}
	return strconv.FormatFloat(s.KWh/float64(s.Length/step), 'f', -1, 64), price, nil
}

// lacks is the fault of prices that have none at an instant, at the row that should have it or the last before.
func (r *AwardResult) lacks(p *prices, at time.Time) error {
	i, there := slices.BinarySearchFunc(p.at, at, time.Time.Compare)
	if !there {
		i = max(i-1, 0)
	}
	return p.At(i, []string{r.options.Column}, fmt.Sprintf("the awards are from %s to %s, and a bill needs a price in all of that; without --real-time it is that of the day before",
		r.From.UTC().Format(time.RFC3339), r.To.UTC().Format(time.RFC3339)), "there is no %s of %s", r.options.Column, at.UTC().Format(time.RFC3339))
}

// whole are the sales of a product from the first delivery to the end of the last, what lies between filled with sales of
// nothing at no price.
func (r *AwardResult) whole(product order.Product) (out []delivery.Sold, err error) {
	sold, err := delivery.Net(r.awards, product)
	if err != nil {
		return nil, fmt.Errorf("%w: --bill is for the awards of the auction alone", err)
	}
	at := r.From
	until := func(next time.Time) {
		if at.Before(next) {
			out = append(out, delivery.Sold{At: at, Length: next.Sub(at), Price: order.Any(order.Buy)})
		}
	}
	for _, s := range sold {
		if s.At.Before(at) {
			return nil, scenario.Faults{{
				Path: strings.Join(r.options.Awards, ", "), Msg: fmt.Sprintf("two deliveries of %s overlap at %s", product, s.At.UTC().Format(time.RFC3339)),
				Hint: "look at time and minutes of these rows; --bill is for the awards of one auction",
			}}
		}
		until(s.At)
		out = append(out, s)
		at = s.At.Add(s.Length)
	}
	until(r.To)
	return out, nil
}

// Print prints for people.
func (r *AwardResult) Print(w io.Writer) {
	fmt.Fprintf(w, "%s to %s: bought %s MWh, sold %s MWh, earned %s of energy and %s of capacity\n", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), r.Bought, r.Sold, r.Earned, r.Capacity)
	fmt.Fprintf(w, "%s of a schedule\n", plural.Count(len(r.steps), "step", "steps"))
}

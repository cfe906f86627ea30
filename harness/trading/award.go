package trading

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform"
	"yunchu/platform/dispatch"
	"yunchu/platform/market/delivery"
	"yunchu/platform/market/order"
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

// Award reads awards and makes a schedule of them.
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
	if shortest == 0 {
		return nil, scenario.Faults{{Path: o.Awards[0], Msg: "there are no awards of energy, so there is nothing to follow"}}
	}
	r.Earned, r.Capacity, r.Bought, r.Sold = json.Number(money(energy)), json.Number(money(capacity)), number(bought), number(sold)
	if o.Ramp > 0 && (o.Every <= 0 || o.Ramp%(2*o.Every) != 0 || o.Ramp > shortest) {
		return nil, fmt.Errorf("a ramp of %v in steps of %v: it is an even number of steps, and no longer than a delivery, %v", o.Ramp, o.Every, shortest)
	}
	r.steps = delivery.Ramp(delivery.Schedule(awards), o.Ramp, o.Every)
	for _, s := range r.steps {
		r.Steps = append(r.Steps, Step(s))
	}
	return r, nil
}

// WriteCSV writes the schedule: what a scenario takes as dispatch.target.
func (r *AwardResult) WriteCSV(w io.Writer) error {
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
	set := platform.Settings{Enabled: true, Strategy: dispatch.Strategy(r.options.Strategy)}
	for _, s := range r.steps {
		set.Schedule = append(set.Schedule, platform.Step{At: s.At.UTC(), TargetKW: s.TargetKW})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(set)
}

// WriteData writes what the bill of two settlements needs beside the readings, of all time from the first
// delivery to the end of the last: where nothing was sold of energy it is 0 kWh. Without prices of
// real time a deviation has the price of the day before. There are no contracts for differences.
func (r *AwardResult) WriteData(w io.Writer) error {
	sold, err := delivery.Energy(r.awards)
	if err != nil {
		return fmt.Errorf("%w: --bill is for the awards of the auction alone", err)
	}
	step := sold[0].Length
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
	c := csv.NewWriter(w)
	_ = c.Write([]string{timeColumn, "da_kwh", "da_price", "rt_price", "cfd_kwh", "cfd_price", "ref_price"}) // told by Error
	for _, s := range r.whole(sold) {
		if s.Length%step != 0 {
			return fmt.Errorf("a delivery of %v and prices by %v do not fit", s.Length, step)
		}
		n := int(s.Length / step)
		for k := range n {
			at := s.At.Add(time.Duration(k) * step)
			before := s.Price.String()
			now := before
			if s.Price.IsAny() { // nothing was sold, and what a deviation costs is not known
				before, now = "0", ""
			}
			if market != nil {
				now = "" // a bill tells what is missing
				if x, ok := market.value(column, at); ok {
					now = strconv.FormatFloat(x, 'f', -1, 64)
				}
			}
			_ = c.Write([]string{at.UTC().Format(time.RFC3339), strconv.FormatFloat(s.KWh/float64(n), 'f', -1, 64), before, now, "0", "0", "0"})
		}
	}
	c.Flush()
	return c.Error()
}

// whole fills what lies between deliveries of energy, before and after them, with sales of nothing at no price.
func (r *AwardResult) whole(sold []delivery.Sold) (out []delivery.Sold) {
	at := r.From
	until := func(next time.Time) {
		if at.Before(next) {
			out = append(out, delivery.Sold{At: at, Length: next.Sub(at), Price: order.Any(order.Buy)})
		}
	}
	for _, s := range sold {
		until(s.At)
		out = append(out, s)
		at = s.At.Add(s.Length)
	}
	until(r.To)
	return out
}

// Print prints for people.
func (r *AwardResult) Print(w io.Writer) {
	fmt.Fprintf(w, "%s to %s: bought %s MWh, sold %s MWh, earned %s of energy and %s of capacity\n", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), r.Bought, r.Sold, r.Earned, r.Capacity)
	fmt.Fprintf(w, "%d steps of a schedule\n", len(r.steps))
}

package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/scenario"
	"yunchu/harness/sheet"
	"yunchu/platform/market"
	"yunchu/platform/plural"
)

func marketCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "market",
		Short: "What a battery is worth on a market",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(marketPlanCommand(), marketBacktestCommand())
	c.AddCommand(tradingCommands()...)
	c.AddCommand(exchangeCommands()...)
	return c
}

// Columns of a file of prices.
const (
	timeColumn    = "time"
	energyColumn  = "energy_per_mwh"
	regUpColumn   = "regup_per_mw"
	regDownColumn = "regdown_per_mw"
)

// backtest are the flags of market backtest.
type backtest struct {
	prices, window, out, currency string
	zoneName, page                string
	zone                          *time.Location
	products                      []string
	powerKW, energyKWh            float64
	duration                      time.Duration
	battery                       market.Battery
	regulation                    market.Regulation
	json                          bool
}

func marketBacktestCommand() *cobra.Command {
	var o backtest
	c := &cobra.Command{
		Use:   "backtest --prices FILE --power-kw N --energy-kwh N",
		Short: "What a battery would have earned, prices being known",
		Long: `What a battery would have earned at most, prices being known: the yardstick for every plan.

The file has the columns time (of the begin of an interval; UTC, or with a zone), energy_per_mwh
and, for the products that need them, regup_per_mw and regdown_per_mw (per MW and hour). Each window is
optimised by itself, the battery empty at both ends: each day in UTC or of --zone, or the file as one.
Days that the file does not have in full are told as incomplete; what they lack the battery sits out.
The objective is the revenue less the variable cost. The efficiency acts on charging. Of what is offered
for regulation, parts are called on average, and the whole must be possible for the duration.

The optimum is exact for energy alone, and proved by its dual for regulation; gap is how far apart
both are at most.`,
		Example: `  yunchu market backtest --prices 2020.csv --power-kw 1000 --energy-kwh 4000 --efficiency 0.85 --window daily --json
  yunchu market backtest --prices 2020.csv --power-kw 1000 --energy-kwh 4000 --efficiency 0.85 \
    --products energy,regup,regdown --variable-cost 2 --out plan.csv --page page.html`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.StringVar(&o.prices, "prices", "", "CSV of prices")
	f.Float64Var(&o.powerKW, "power-kw", 0, "power of charge and of discharge at the grid, kW")
	f.Float64Var(&o.energyKWh, "energy-kwh", 0, "energy that can be taken out, kWh")
	f.Float64Var(&o.battery.Efficiency, "efficiency", 1, "what of the energy bought can be sold again, 0..1")
	f.StringVar(&o.window, "window", string(market.Daily), "what is optimised as one: daily or all")
	f.StringVar(&o.zoneName, "zone", "UTC", "whose days they are, as Europe/Berlin")
	f.StringSliceVar(&o.products, "products", []string{"energy"}, "what is sold: energy, regup, regdown")
	f.Float64Var(&o.battery.VariableCost, "variable-cost", 0, "cost of each MWh sold")
	f.Float64Var(&o.regulation.EnergyUp, "regulation-energy-up", 0.30, "part of regulation up that is called on average, 0..1")
	f.Float64Var(&o.regulation.EnergyDown, "regulation-energy-down", 0.15, "part of regulation down that is called on average, 0..1")
	f.DurationVar(&o.duration, "regulation-duration", time.Hour, "how long the whole of an offer for regulation must be possible")
	f.BoolVar(&o.regulation.Balanced, "regulation-balanced", true, "regulation takes in no more energy than it gives, interval by interval")
	f.StringVar(&o.currency, "currency", "USD", "what the prices are in; a name, nothing is converted")
	f.StringVar(&o.out, "out", "", "CSV file for what is done in each interval")
	f.StringVar(&o.page, "page", "", "HTML file with the value of the days, and prices and stored energy of two of them")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	return c
}

// backtested is what market backtest prints.
type backtested struct {
	Total      float64         `json:"total"`
	Daily      []backtestedDay `json:"daily"`
	Incomplete []string        `json:"incomplete,omitempty"` // days that are not whole, or not there
	Currency   string          `json:"currency"`
	Gap        float64         `json:"gap"`
}

type backtestedDay struct {
	Date      string  `json:"date"`
	Objective float64 `json:"objective"`
}

func (o *backtest) run(c *cobra.Command) error {
	if err := o.check(); err != nil {
		return fail(exitInput, err)
	}
	at, p, err := o.read()
	if err != nil {
		return failed(c.Context(), err)
	}
	if r := o.regulation; r.Down && r.Balanced && r.EnergyDown > 0 && !(r.Up && r.EnergyUp > 0) {
		fmt.Fprintln(c.ErrOrStderr(), "regulation down is 0 under --regulation-balanced: no regulation up gives the energy that it takes in; --regulation-balanced=false lifts it")
	}
	days, err := market.Backtest(c.Context(), o.battery, o.regulation, at, p, market.Window(o.window))
	if err != nil {
		return failed(c.Context(), err)
	}
	r := backtested{Currency: o.currency}
	for _, d := range days {
		r.Daily = append(r.Daily, backtestedDay{d.Date, d.Objective})
		r.Total += d.Objective
		r.Gap += d.AtMost - d.Objective
	}
	if o.window == string(market.Daily) {
		r.Incomplete = market.Incomplete(at, time.Duration(math.Round(p.Hours*float64(time.Hour))))
	}
	if o.out != "" {
		b, err := plansCSV(at, p, days)
		if err == nil {
			err = os.WriteFile(o.out, b, 0o644)
		}
		if err != nil {
			return fail(exitEnvironment, err)
		}
	}
	if err := writeFile(o.page, func(w io.Writer) error { return o.writePage(w, &r, at, p, days) }); err != nil {
		return fail(exitEnvironment, err)
	}
	if n := both(days); n > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "in %s the optimum charges and discharges at once, as the linear program allows: a bound that one converter may not reach\n", plural.Count(n, "interval", "intervals"))
	}
	w := c.OutOrStdout()
	if o.json {
		return printJSON(w, r)
	}
	best := slices.MaxFunc(r.Daily, func(a, b backtestedDay) int { return int(math.Copysign(1, a.Objective-b.Objective)) })
	fmt.Fprintf(w, "%.2f %s in %s, at most %.2g more\n", r.Total, r.Currency, counted(len(r.Daily), "window"), r.Gap)
	fmt.Fprintf(w, "%.2f %s in the best, from %s on\n", best.Objective, r.Currency, best.Date)
	if n := len(r.Incomplete); n > 0 {
		const most = 10
		more := ""
		if n > most {
			more = ", …"
		}
		are := "are"
		if n == 1 {
			are = "is"
		}
		fmt.Fprintf(w, "%s %s not whole: %s%s\n", counted(n, "day"), are, strings.Join(r.Incomplete[:min(n, most)], ", "), more)
	}
	return nil
}

// counted is so many of a thing.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (o *backtest) check() error {
	if o.prices == "" {
		return errors.New("name the prices: yunchu market backtest --prices FILE --power-kw N --energy-kwh N")
	}
	if err := batteryGood(o.powerKW, o.energyKWh, o.battery.Efficiency, o.battery.VariableCost); err != nil {
		return err
	}
	if err := callsGood(&o.regulation); err != nil {
		return err
	}
	if w := market.Window(o.window); w != market.Daily && w != market.All {
		return fmt.Errorf("--window %s: write daily or all", o.window)
	}
	if o.duration < 0 {
		return fmt.Errorf("--regulation-duration %v is below 0", o.duration)
	}
	if err := parseZone(o.zoneName, &o.zone); err != nil {
		return err
	}
	energy := false
	for _, name := range o.products {
		switch strings.TrimSpace(name) {
		case "energy":
			energy = true
		case "regup":
			o.regulation.Up = true
		case "regdown":
			o.regulation.Down = true
		default:
			return fmt.Errorf("--products %s: there are energy, regup and regdown", name)
		}
	}
	if !energy {
		return errors.New("--products without energy: what regulation takes has to be bought")
	}
	o.battery.PowerMW, o.battery.EnergyMWh, o.regulation.Hours = o.powerKW/1000, o.energyKWh/1000, o.duration.Hours()
	return nil
}

// inRange is an error where a flag is no number of its range.
func inRange(flag string, value, least, most float64) error {
	if value >= least && value <= most {
		return nil
	}
	return fmt.Errorf("--%s %v: write a number from %v to %v", flag, value, least, most)
}

// batteryGood is the first thing that no battery of a market is.
func batteryGood(powerKW, energyKWh, efficiency, cost float64) error {
	const least, most = 1000 * market.LeastMW, 1000 * market.MostMW
	return cmp.Or(
		inRange("power-kw", powerKW, least, most),
		inRange("energy-kwh", energyKWh, least, most),
		inRange("efficiency", efficiency, market.LeastEfficiency, 1),
		inRange("variable-cost", cost, 0, market.MostPrice))
}

// callsGood is the first part that regulation cannot call.
func callsGood(r *market.Regulation) error {
	return cmp.Or(inRange("regulation-energy-up", r.EnergyUp, 0, 1), inRange("regulation-energy-down", r.EnergyDown, 0, 1))
}

// read reads the prices. A row that is no step from the one before is a fault of its line, and so is
// a gap in what is optimised as one.
func (o *backtest) read() ([]time.Time, market.Prices, error) {
	var p market.Prices
	wanted := []string{energyColumn}
	if o.regulation.Up {
		wanted = append(wanted, regUpColumn)
	}
	if o.regulation.Down {
		wanted = append(wanted, regDownColumn)
	}
	s, err := sheet.Read(o.prices, func(column string) bool { return slices.Contains(wanted, column) }, timeColumn)
	if err != nil {
		return nil, p, err
	}
	var at []time.Time
	if o.zone == nil || o.zone == time.UTC {
		at, err = s.Times(timeColumn)
	} else {
		at, err = s.InZone(timeColumn, o.zone)
	}
	if err != nil {
		return nil, p, err
	}
	if p.Energy, err = s.Full(energyColumn); err == nil && o.regulation.Up {
		p.RegUp, err = s.Full(regUpColumn)
	}
	if err == nil && o.regulation.Down {
		p.RegDown, err = s.Full(regDownColumn)
	}
	if err != nil {
		return nil, p, err
	}
	for i, column := range [][]float64{p.Energy, p.RegUp, p.RegDown} {
		for k, x := range column {
			if math.Abs(x) > market.MostPrice {
				name := []string{energyColumn, regUpColumn, regDownColumn}[i]
				return nil, p, s.At(k, []string{name}, "beside such a price the others vanish; it is per MWh, or per MW and hour", "%v is no price of a market: %v is the most", x, float64(market.MostPrice))
			}
		}
	}
	if len(at) < 2 {
		return nil, p, scenario.Faults{{Path: o.prices, Msg: "one row does not say how long an interval is"}}
	}
	step := at[1].Sub(at[0])
	for k := 2; k < len(at); k++ {
		step = min(step, at[k].Sub(at[k-1]))
	}
	p.Hours = step.Hours()
	all := o.window == string(market.All)
	for k := 1; k < len(at); k++ {
		d := at[k].Sub(at[k-1])
		switch {
		case all && d != step:
			return nil, p, s.At(k, []string{timeColumn}, "none is left out of what is optimised as one; --window daily sits out what is missing",
				"%v after the row before, where others are %v apart", d, step)
		case at[k].Format(time.DateOnly) == at[k-1].Format(time.DateOnly) && d%step != 0:
			return nil, p, s.At(k, []string{timeColumn}, "intervals are equally long", "%v after the row before, where others are %v apart", d, step)
		}
	}
	return at, p, nil
}

// both counts the intervals in which a plan charges and discharges.
func both(days []market.Result) (n int) {
	const nothing = 1e-6 // MW
	for _, d := range days {
		for i := range d.Plan.Charge {
			if d.Plan.Charge[i] > nothing && d.Plan.Discharge[i] > nothing {
				n++
			}
		}
	}
	return n
}

// plansCSV has a line for each interval.
func plansCSV(at []time.Time, p market.Prices, days []market.Result) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{
		timeColumn, energyColumn, "charge_kw", "discharge_kw", "regup_charging_kw", "regup_discharging_kw",
		"regdown_charging_kw", "regdown_discharging_kw", "stored_kwh",
	}) // a buffer takes it
	k := 0
	for _, d := range days {
		for i := range d.Plan.Charge {
			row := []string{at[k].Format(time.RFC3339), strconv.FormatFloat(p.Energy[k], 'g', -1, 64)}
			for _, mw := range [][]float64{
				d.Plan.Charge, d.Plan.Discharge, d.Plan.UpCharge, d.Plan.UpDischarge, d.Plan.DownCharge, d.Plan.DownDischarge, d.Plan.Stored,
			} {
				row = append(row, strconv.FormatFloat(math.Round(mw[i]*1e9)/1e6, 'f', -1, 64))
			}
			_ = w.Write(row)
			k++
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

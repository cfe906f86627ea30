package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/trading"
	"yunchu/platform/dispatch"
	"yunchu/platform/market"
	"yunchu/platform/plural"
)

// tradingCommands are those of a desk: from a forecast or a plan to bids, awards and a schedule.
func tradingCommands() []*cobra.Command {
	return []*cobra.Command{marketBidCommand(), marketCheckCommand(), marketClearCommand(), marketAwardCommand(), marketPositionCommand(), marketReplayCommand(), marketRulesCommand()}
}

const marketUsage = "rules of the market, that ship or of a file (yunchu market rules)"

// deskFlags are what bids are made with.
func deskFlags(c *cobra.Command, d *trading.Desk) {
	f := c.Flags()
	f.StringVar(&d.Market, "market", "day-ahead-hourly", marketUsage)
	f.Float64Var(&d.Battery.PowerKW, "power-kw", 0, "power of charge and of discharge at the grid, kW")
	f.Float64Var(&d.Battery.EnergyKWh, "energy-kwh", 0, "energy that can be taken out, kWh")
	f.Float64Var(&d.Battery.Efficiency, "efficiency", 1, "what of the energy bought can be sold again, 0..1")
	f.Float64Var(&d.Battery.StoredKWh, "stored-kwh", 0, "energy stored at the begin")
	f.Float64Var(&d.Cost, "variable-cost", 0, "cost of each MWh sold")
	f.StringVar(&d.Forecast, "forecast", "", "CSV of the prices that are expected, as yunchu forecast backtest --out writes it")
	f.Float64Var(&d.Calls.EnergyUp, "regulation-energy-up", 0.30, "part of regulation up that is called on average, 0..1")
	f.Float64Var(&d.Calls.EnergyDown, "regulation-energy-down", 0.15, "part of regulation down that is called on average, 0..1")
	f.DurationVar(&d.Battery.Hold, "regulation-duration", time.Hour, "how long the whole of an offer for regulation must be possible")
	f.BoolVar(&d.Calls.Balanced, "regulation-balanced", true, "regulation takes in no more energy than it gives, interval by interval")
}

func deskGood(d *trading.Desk) error {
	b := &d.Battery
	if err := cmp.Or(batteryGood(b.PowerKW, b.EnergyKWh, b.Efficiency, d.Cost), inRange("stored-kwh", b.StoredKWh, 0, b.EnergyKWh), callsGood(&d.Calls)); err != nil {
		return err
	}
	if b.Hold < 0 {
		return fmt.Errorf("--regulation-duration %v is below 0", b.Hold)
	}
	d.Calls.Hours, b.CalledUp, b.CalledDown = b.Hold.Hours(), d.Calls.EnergyUp, d.Calls.EnergyDown
	return nil
}

// slopeGood is an error for what no market's prices move by.
func slopeGood(slope float64) error {
	if slope >= 0 && slope <= market.MostPrice {
		return nil
	}
	return fmt.Errorf("--slope %v: whoever buys does not make it cheaper, nor dearer by more than %v", slope, float64(market.MostPrice))
}

// riskFlags are what bids are checked against.
func riskFlags(c *cobra.Command, o *trading.CheckOptions) {
	f := c.Flags()
	f.StringVar(&o.Limits, "limits", "", "file of limits (kind: TradingLimits)")
	f.StringSliceVar(&o.Held, "held", nil, "awards that are held already")
	f.StringVar(&o.History, "history", "", "CSV of past prices: each whole day before the delivery is a scenario")
	f.StringVar(&o.Errors, "errors", "", "or CSV of forecasts, as forecast backtest --out writes it: each past day's errors, added to the forecast of the delivery, are one")
	f.IntVar(&o.Days, "days", 250, "how many of the last days; 0: all")
	f.StringVar(&o.Scenarios, "scenarios", "", "or a CSV with a column of prices for each scenario")
}

// refused is the end of orders that break a limit.
func refused(c *trading.Checked) error {
	if c == nil || c.Kept {
		return nil
	}
	return fail(exitFailed, fmt.Errorf("refused: %s would be broken", plural.Count(len(c.Breaches), "limit", "limits")))
}

func marketBidCommand() *cobra.Command {
	var (
		o      trading.BidOptions
		out    string
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "bid --strategy NAME --forecast FILE|--plan FILE --power-kw N --energy-kwh N --out FILE",
		Short: "Make bids for a day from a plan or from a forecast",
		Long: `Make bids for a day: time, product, side, quantity_mw, price_per_mwh (empty: any price; of capacity per MW
and hour), a row for each step.

price-taker  what is best at the prices that are expected, or a --plan (time and charge_kw and discharge_kw,
             or target_kw; regup_kw, regdown_kw, reserve_kw), at any price, in whole lots
quantile     the same with limits, by what stored energy is worth, so that whatever part is awarded can be
             delivered; what is left over is offered where a quantile of the forecast (q05 ...) may pay
regulation   energy and regulation planned together, at any price

--limits checks the bids before they are written; those that break a limit are not (exit code 1).`,
		Example: `  yunchu market bid --strategy quantile --forecast forecast.csv --date 2017-03-01 --power-kw 1000 --energy-kwh 4000 --efficiency 0.85 --out bids.csv
  yunchu market bid --strategy price-taker --plan plan.csv --power-kw 1000 --energy-kwh 4000 --efficiency 0.85 --limits limits.yaml --out bids.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !slices.Contains(trading.Strategies, o.Strategy) {
				return fail(exitInput, fmt.Errorf("--strategy %s: there are %s", o.Strategy, strings.Join(trading.Strategies, ", ")))
			}
			if err := deskGood(&o.Desk); err != nil {
				return fail(exitInput, err)
			}
			o.Calls.Up, o.Calls.Down = o.Strategy == trading.Regulation, o.Strategy == trading.Regulation
			o.Check.Column = o.Column
			r, err := trading.Bid(c.Context(), o)
			if err != nil {
				return failed(c.Context(), err)
			}
			if r.Risk == nil || r.Risk.Kept {
				if err := writeFile(out, r.WriteCSV); err != nil {
					return fail(exitEnvironment, err)
				}
			}
			if asJSON {
				if err := printJSON(c.OutOrStdout(), r); err != nil {
					return err
				}
			} else {
				r.Print(c.OutOrStdout())
			}
			return refused(r.Risk)
		},
	}
	f := c.Flags()
	deskFlags(c, &o.Desk)
	f.StringVar(&o.Strategy, "strategy", trading.PriceTaker, strings.Join(trading.Strategies, ", "))
	f.StringVar(&o.Plan, "plan", "", "CSV of a plan, as yunchu market plan or backtest writes it")
	f.StringVar(&o.Date, "date", "", "delivery day of the forecast, on the clock of the market")
	f.StringVar(&o.Column, "forecast-column", energyColumn, "of energy, where the forecast has no column forecast; of --history and --errors too")
	riskFlags(c, &o.Check)
	f.StringVar(&out, "out", "", "CSV file for the bids")
	f.BoolVar(&asJSON, "json", false, "print what is bid as JSON")
	return c
}

func marketCheckCommand() *cobra.Command {
	var (
		o         trading.CheckOptions
		now, page string
		asJSON    bool
	)
	c := &cobra.Command{
		Use:   "check --bids FILE --limits FILE",
		Short: "Check bids against the market's rules and a desk's limits before they are sent",
		Long: `Check bids against the market's rules and a desk's limits before they are sent. The exit code is 2 where the
market would refuse them (told with their lines), 1 where a limit would be broken (told by name and number).

Risk is that of what the bids earn in scenarios: past days, of --history, at whose prices those trade that
the price is as good for as their limit; or the forecast of the delivery with the errors of past days, of --errors,
which yunchu forecast backtest --out writes; or the columns of --scenarios, such as its quantiles. VaR and CVaR are losses. What is stored is bounded for whatever part is awarded.`,
		Example: `  yunchu market check --bids bids.csv --limits limits.yaml --history prices.csv --json
  yunchu market check --bids bids.csv --limits limits.yaml --scenarios forecast.csv --held awards.csv --now 2026-03-01T11:00:00Z`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Bids == "" || o.Limits == "" {
				return fail(exitInput, errors.New("name bids and limits: yunchu market check --bids FILE --limits FILE"))
			}
			if now != "" {
				var err error
				if o.Now, err = time.Parse(time.RFC3339, now); err != nil {
					return fail(exitInput, fmt.Errorf("--now %s: write it as 2026-03-01T11:00:00Z", now))
				}
			}
			r, err := trading.Check(o)
			if err != nil {
				return failed(c.Context(), err)
			}
			if err := writeFile(page, r.WritePage); err != nil {
				return fail(exitEnvironment, err)
			}
			if asJSON {
				if err := printJSON(c.OutOrStdout(), r); err != nil {
					return err
				}
			} else {
				r.Print(c.OutOrStdout())
			}
			return refused(r)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Bids, "bids", "", "CSV of bids")
	f.StringVar(&o.Market, "market", "day-ahead-hourly", marketUsage)
	riskFlags(c, &o)
	f.StringVar(&o.Column, "column", energyColumn, "of --history and --errors, the price of energy that came")
	f.StringVar(&now, "now", "", "when they are sent: the gate must be open then (default: it is not looked at)")
	f.StringVar(&page, "page", "", "HTML file to print")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func marketClearCommand() *cobra.Command {
	var (
		o         trading.ClearOptions
		out, page string
		asJSON    bool
	)
	c := &cobra.Command{
		Use:   "clear --bids FILE --prices FILE|--others FILE --out FILE",
		Short: "Clear bids on a simulated market",
		Long: `Clear bids on a simulated market: each product of each delivery as an auction at one price, for the whole of
the days that are bid for. The others are orders of their own (--others, the form of bids with a column party),
or prices that they come to by themselves (--prices; energy_per_mwh, regup_per_mw, regdown_per_mw, reserve_per_mw), which
each MW that is bought besides moves up by --slope, and each that is sold down.

The awards have a row for each product and delivery, one of 0 MW where nothing is awarded, with its price (none
where nobody trades) and what it earns. A market that ranks offers of regulation (hunan-regulation) needs --demand-mw and a column
index_k, and takes a column storage (1 or 0).`,
		Example: `  yunchu market clear --bids bids.csv --prices prices.csv --slope 0.05 --out awards.csv --page day.html
  yunchu market clear --bids bids.csv --others others.csv --market rules.yaml --out awards.csv --json
  yunchu market clear --bids offers.csv --market hunan-regulation --demand-mw 300 --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Bids == "" {
				return fail(exitInput, errors.New("name the bids: yunchu market clear --bids FILE --prices FILE"))
			}
			if err := slopeGood(o.Slope); err != nil {
				return fail(exitInput, err)
			}
			o.Risk.Column = o.Column
			r, err := trading.Clear(o)
			if err != nil {
				return failed(c.Context(), err)
			}
			return tell(c, r, asJSON, errors.Join(writeFile(out, r.WriteCSV), writeFile(page, r.WritePage)))
		},
	}
	f := c.Flags()
	f.StringVar(&o.Bids, "bids", "", "CSV of bids")
	f.StringVar(&o.Market, "market", "day-ahead-hourly", marketUsage)
	f.StringVar(&o.Others, "others", "", "CSV of the others' bids")
	f.StringVar(&o.Prices, "prices", "", "or CSV of the prices that they come to")
	f.StringVar(&o.Column, "column", energyColumn, "of --prices, the price of energy")
	f.Float64Var(&o.Slope, "slope", 0, "what a MW besides moves the price of energy by, per MWh")
	f.StringVar(&o.Currency, "currency", "", "what the prices are in (default: that of the market); a name, nothing is converted")
	f.Float64Var(&o.Demand, "demand-mw", 0, "of regulation, where the market ranks offers")
	riskFlags(c, &o.Risk)
	f.StringVar(&out, "out", "", "CSV file for the awards")
	f.StringVar(&page, "page", "", "HTML file with the curves, the awards and the position")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func marketAwardCommand() *cobra.Command {
	var (
		o                   trading.AwardOptions
		out, dispatched, of string
		asJSON              bool
	)
	c := &cobra.Command{
		Use:   "award --awards FILE --out FILE",
		Short: "Turn awards into a schedule for dispatch and into what their bill needs",
		Long: `Turn awards into a schedule: time, target_kw from then on, above 0 is charging. A scenario takes it as
dispatch.target {csv, time: time, column: target_kw}; --dispatch writes it as the body of PUT /api/v1/dispatch.

--bill writes what yunchu settle bill --rule two-settlement needs beside the readings (da_kwh, da_price, rt_price,
...), and with awards of capacity what two-settlement-capacity needs (regup_kwh, regup_price, ...). Without
prices of --real-time a deviation has the price of the day before; where there is neither, or --real-time ends
before the awards do, nothing is written. What is printed as earned is the lines of that bill. Awards of
capacity alone have a bill and no schedule. A row that a file has twice, or two files have alike, is refused:
what is not the same, as trades of yunchu market match, has different words in a column trade.

--ramp puts half of a ramp before and half behind each change; a delivery then has an eighth of the ramp times
the change less or more.`,
		Example: `  yunchu market award --awards awards.csv --out schedule.csv --dispatch body.json --bill data.csv --real-time prices.csv
  yunchu settle bill --rule two-settlement --readings meter.csv --data data.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(o.Awards) == 0 {
				return fail(exitInput, errors.New("name the awards: yunchu market award --awards FILE"))
			}
			r, err := trading.Award(o)
			if err != nil {
				return failed(c.Context(), err)
			}
			for _, w := range []struct {
				path  string
				write func(io.Writer) error
			}{{of, r.WriteData}, {out, r.WriteCSV}, {dispatched, r.WriteDispatch}} {
				if err := writeFile(w.path, w.write); err != nil {
					if _, disk := errors.AsType[*os.PathError](err); disk {
						return fail(exitEnvironment, err)
					}
					return failed(c.Context(), err)
				}
			}
			return tell(c, r, asJSON, nil)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.Awards, "awards", nil, "CSV of awards; several are one")
	f.StringVar(&out, "out", "", "CSV file for the schedule")
	f.StringVar(&dispatched, "dispatch", "", "JSON file for the body of PUT /api/v1/dispatch")
	f.StringVar(&o.Strategy, "strategy", string(dispatch.SoCBalancing), "of dispatch, in that body")
	f.DurationVar(&o.Ramp, "ramp", 0, "length of the ramp at each change")
	f.DurationVar(&o.Every, "ramp-step", time.Minute, "of the ramp")
	f.StringVar(&of, "bill", "", "CSV file for the data of the bill")
	f.StringVar(&o.RealTime, "real-time", "", "CSV of prices of real time, for it")
	f.StringVar(&o.Column, "column", energyColumn, "of --real-time, the price of energy")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func marketPositionCommand() *cobra.Command {
	var (
		o      trading.PositionOptions
		out    string
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "position --awards FILE [--intraday FILE] [--readings FILE]",
		Short: "Add up what is held by delivery, and what of it was delivered",
		Long: `Add up what is held of each product in each delivery, over the gates: awards of the day ahead, trades since, and
what the readings say was delivered (time, power_kw of a meter, or yunchu export, or readings.csv of a run). Above 0 is
bought, or went into the devices. It is no bill: simulated readings count.`,
		Example: "  yunchu market position --awards awards.csv --intraday intraday.csv --readings run/readings.csv --out position.csv",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(o.Awards)+len(o.Intraday) == 0 {
				return fail(exitInput, errors.New("name the awards: yunchu market position --awards FILE"))
			}
			r, err := trading.Position(o)
			if err != nil {
				return failed(c.Context(), err)
			}
			return tell(c, r, asJSON, writeFile(out, r.WriteCSV))
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.Awards, "awards", nil, "CSV of awards of the day ahead")
	f.StringSliceVar(&o.Intraday, "intraday", nil, "CSV of awards since, as yunchu market match writes them")
	f.StringVar(&o.Readings, "readings", "", "CSV of a meter, or an export of devices")
	f.StringVar(&out, "out", "", "CSV file for the position by delivery")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func marketReplayCommand() *cobra.Command {
	var (
		o      trading.ReplayOptions
		out    string
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "replay --prices FILE --strategy NAME,... --power-kw N --energy-kwh N",
		Short: "Trade past days again by strategies, against perfect foresight",
		Long: `Trade past days again: each day a strategy bids from what was expected of it (--forecast; without it the prices
of the day before), and each delivery is cleared at the price that came, moved by --slope for each MW. What is
awarded is delivered; the ratio is that to the most that could have been earned with the prices known, each day by itself.
Days are those of the market's zone that are known in full.`,
		Example: `  yunchu market replay --prices prices.csv --strategy price-taker,quantile --power-kw 1000 --energy-kwh 4000 --efficiency 0.85 --variable-cost 2
  yunchu market replay --prices prices.csv --price-column Price --forecast forecast.csv --strategy quantile --power-kw 1000 --energy-kwh 4000 --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Prices == "" {
				return fail(exitInput, errors.New("name the prices: yunchu market replay --prices FILE --strategy NAME --power-kw N --energy-kwh N"))
			}
			for _, name := range o.Strategies {
				if !slices.Contains(trading.Strategies, name) {
					return fail(exitInput, fmt.Errorf("--strategy %s: there are %s", name, strings.Join(trading.Strategies, ", ")))
				}
			}
			if err := slopeGood(o.Slope); err != nil {
				return fail(exitInput, err)
			}
			var from, to time.Time
			if err := errors.Join(deskGood(&o.Desk), parseDay(o.From, &from), parseDay(o.To, &to)); err != nil {
				return fail(exitInput, err)
			}
			if o.Battery.StoredKWh != 0 {
				return fail(exitInput, errors.New("--stored-kwh: what perfect foresight begins with is an empty battery"))
			}
			r, err := trading.Replay(c.Context(), o)
			if err != nil {
				return failed(c.Context(), err)
			}
			return tell(c, r, asJSON, writeFile(out, r.WriteCSV))
		},
	}
	f := c.Flags()
	deskFlags(c, &o.Desk)
	f.StringSliceVar(&o.Strategies, "strategy", []string{trading.PriceTaker, trading.Quantile}, strings.Join(trading.Strategies, ", "))
	f.StringVar(&o.Prices, "prices", "", "CSV of the prices that came")
	f.StringVar(&o.PriceColumn, "price-column", energyColumn, "of energy in it")
	f.StringVar(&o.Column, "forecast-column", energyColumn, "of energy in --forecast, where it has no column forecast")
	f.Float64Var(&o.Slope, "slope", 0, "what a MW besides moves the price of energy by, per MWh")
	f.StringVar(&o.From, "from", "", "the first delivery day")
	f.StringVar(&o.To, "to", "", "the last one")
	f.StringVar(&out, "out", "", "CSV file for the awards of the first strategy")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func marketRulesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rules [NAME]",
		Short: "List the rules of markets that ship, or print the file of one to start another from",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			w := c.OutOrStdout()
			if len(args) == 0 {
				return trading.ListRules(w)
			}
			src, err := trading.RuleText(args[0])
			if err != nil {
				return fail(exitInput, err)
			}
			_, err = w.Write(src)
			return err
		},
	}
}

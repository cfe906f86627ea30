package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/hindcast"
)

func forecastCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "forecast",
		Short: "Forecast a price, a load or a production a day ahead",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(forecastBacktestCommand(), forecastNextCommand())
	return c
}

func forecastBacktestCommand() *cobra.Command {
	var (
		o                  hindcast.Options
		exog, zone         string
		from, to           string
		out, page, against string
		asJSON             bool
	)
	c := &cobra.Command{
		Use:   "backtest --data FILE --target COLUMN --exog COLUMN,COLUMN --from DATE --to DATE",
		Short: "Forecast each day of a past period from the days before it, and score that",
		Long: `Forecast each day of a past period from the days before it, and score that.

A day is forecast from the target up to the day before and from the --exog columns, which are what
was known of the day beforehand (forecasts of load, wind, ...), up to the day itself. Every day is
calibrated anew. The rows are at equal steps that divide a day; a hole of up to 3 hours is filled
with the value before it and not scored.

An auction clears the hours of a local day together. Where the times of the file are instants,
--zone names the zone whose days they are, or else a day of UTC is forecast from hours that were
cleared together with it.

rmae is the error against that of the week before (mae / mae_naive), pinball the mean over the
quantiles 0.05, 0.10, ... 0.95, pinball_naive that of the week before with the quantiles of its own
errors. --against is a CSV with forecasts of others, a column each, for the ratio of errors, the
Diebold-Mariano statistic (negative: ours is better) and its probability.`,
		Example: `  yunchu forecast backtest --data prices.csv --target Price --exog "Grid load forecast,Wind power forecast" --from 2016-12-27 --to 2017-12-31 --json
  yunchu forecast backtest --data germany.csv --target Price --exog Load,Wind --zone Europe/Berlin --from 2024-03-01
  yunchu forecast backtest --data load.csv --target load_kw --from 2024-03-01 --out forecast.csv --page forecast.html`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Data == "" || o.Target == "" || from == "" {
				return fail(exitInput, errors.New("name a file, its target and the first day: yunchu forecast backtest --data FILE --target COLUMN --from DATE"))
			}
			o.Exog = names(exog)
			if err := errors.Join(parseDay(from, &o.From), parseDay(to, &o.To), parseZone(zone, &o.Zone)); err != nil {
				return fail(exitInput, err)
			}
			o.Against = against
			o.Stop = c.Context().Err
			r, err := hindcast.Run(o)
			if err != nil {
				return failed(c.Context(), err)
			}
			return tell(c, r, asJSON, errors.Join(writeFile(out, r.WriteCSV), writeFile(page, r.WritePage)))
		},
	}
	f := c.Flags()
	f.StringVar(&o.Data, "data", "", "CSV with the time, the target and the columns that were known beforehand")
	f.StringVar(&o.Time, "time", "", "its column of times (default: the first)")
	f.StringVar(&o.Target, "target", "", "its column that is forecast")
	f.StringVar(&exog, "exog", "", "its columns that were known of a day beforehand, separated by commas")
	f.StringVar(&zone, "zone", "", "whose days they are, as Europe/Berlin; the times then carry a zone (default: UTC, or the clock of the file where they carry none)")
	f.StringVar(&from, "from", "", "the first day that is forecast")
	f.StringVar(&to, "to", "", "the last day that is forecast (default: the last whole day of the file)")
	f.StringVar(&against, "against", "", "CSV with forecasts of others")
	f.StringVar(&out, "out", "", "CSV file for the forecasts and their quantiles")
	f.StringVar(&page, "page", "", "HTML file with scores and plots")
	f.BoolVar(&asJSON, "json", false, "print the scores as JSON")
	return c
}

func forecastNextCommand() *cobra.Command {
	var (
		o                     hindcast.Options
		exog, zone, out, page string
		asJSON                bool
	)
	c := &cobra.Command{
		Use:   "next --data FILE --target COLUMN --exog COLUMN,COLUMN",
		Short: "Forecast the day after the last one that is known",
		Long: `Forecast the day after the last one that is known.

It is the first day of which the target is not known to its end. The --exog columns must be known of
that day: its rows are in the file, with the target left empty. The forecast is what backtest would
have had for that day, and --out has the same form: the time, the forecast and its quantiles.

Anything that goes by days can be forecast: a price, a load, a production, or what a fleet could give
and take, as a run or a plant has written it.`,
		Example: `  yunchu forecast next --data prices.csv --target Price --exog "Grid load forecast,Wind power forecast" --out tomorrow.csv
  yunchu forecast next --data load.csv --target load_kw --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Data == "" || o.Target == "" {
				return fail(exitInput, errors.New("name a file and its target: yunchu forecast next --data FILE --target COLUMN"))
			}
			o.Exog = names(exog)
			if err := parseZone(zone, &o.Zone); err != nil {
				return fail(exitInput, err)
			}
			o.Stop = c.Context().Err
			a, err := hindcast.Next(o)
			if err != nil {
				return failed(c.Context(), err)
			}
			return tell(c, a, asJSON, errors.Join(writeFile(out, a.WriteCSV), writeFile(page, a.WritePage)))
		},
	}
	f := c.Flags()
	f.StringVar(&o.Data, "data", "", "CSV with the time, the target and the columns that are known beforehand")
	f.StringVar(&o.Time, "time", "", "its column of times (default: the first)")
	f.StringVar(&o.Target, "target", "", "its column that is forecast")
	f.StringVar(&exog, "exog", "", "its columns that are known of a day beforehand, separated by commas")
	f.StringVar(&zone, "zone", "", "whose day it is, as Europe/Berlin; the times then carry a zone (default: UTC, or the clock of the file where they carry none)")
	f.StringVar(&out, "out", "", "CSV file for the forecast and its quantiles")
	f.StringVar(&page, "page", "", "HTML file with a plot")
	f.BoolVar(&asJSON, "json", false, "print the forecast as JSON")
	return c
}

// names are those of a list with commas.
func names(list string) (out []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// parseDay reads a day, where there is one.
func parseDay(text string, day *time.Time) (err error) {
	if text == "" {
		return nil
	}
	if *day, err = time.Parse(time.DateOnly, text); err != nil {
		return fmt.Errorf("%q is no day: write it as 2017-01-31", text)
	}
	return nil
}

// parseZone reads the name of a zone, where there is one.
func parseZone(name string, zone **time.Location) (err error) {
	if name == "" {
		return nil
	}
	if *zone, err = time.LoadLocation(name); err != nil || name == "Local" {
		return fmt.Errorf("--zone %s is no zone: write it as Europe/Berlin", name)
	}
	return nil
}

// tell prints a result, for people or as JSON, when the files that were asked for are written.
func tell(c *cobra.Command, r interface{ Print(w io.Writer) }, asJSON bool, written error) error {
	if written != nil {
		return fail(exitEnvironment, written)
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), r)
	}
	r.Print(c.OutOrStdout())
	return nil
}

// writeFile writes a file, where one is asked for. What fails before leaves none.
func writeFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

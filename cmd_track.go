//go:build !nosim

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	picture "yunchu/harness/plot"
	"yunchu/harness/simworld"
)

func trackCommand() *cobra.Command {
	var o simworld.TrackOptions
	var tempC float64
	var out, plot string
	var asJSON bool
	c := &cobra.Command{
		Use:   "track --cell FILE --data CSV --soc0 PERCENT",
		Short: "Run the estimator over a record and score it against counted charge",
		Long: `Run the estimator over a record and score it against counted charge.

The record has t_s, I_A (> 0 charges) and V_V; a temperature T_C in degC is used if it is there.
The filter is told --soc0, which may be wrong, and sees the current times --gain plus
--add-current-a. The true state of charge starts at --true-soc and is counted without those:
with the counters chgAh and disAh of the record, else from its current; capacity and coulombic
efficiency are those of the cell file unless given.

rmse_percent and max_percent are over true states of charge of 10 to 90 % after the first hour;
where no row counts they are null, and the exit code is 1. whole_record is over all rows. The
temperature is --temp-c, the column of the record, a part of its name (_P25 is 25 degC, _N05 -5), or 25 degC.`,
		Example: `  yunchu track --cell cell.yaml --data dyn_P05.csv --soc0 80 --json
  yunchu track --cell cell.yaml --data dyn.csv --temp-c 5 --soc0 80 --add-current-a 0.02 --gain 1.005 --out rows.csv --plot track.svg`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Cell == "" || o.Data == "" {
				return fail(exitInput, errors.New("name a cell and a record: yunchu track --cell FILE --data CSV --soc0 PERCENT"))
			}
			if c.Flags().Changed("temp-c") {
				o.TempC = &tempC
			}
			var rows, svg bytes.Buffer // what fails leaves no file
			if out != "" {
				o.Rows = &rows
			}
			var figure picture.Figure
			if plot != "" {
				o.Figure = &figure
			}
			o.Stop = c.Context().Err
			r, err := simworld.Track(o)
			if err == nil && plot != "" {
				err = figure.WriteSVG(&svg)
			}
			if err != nil {
				return failed(c.Context(), err)
			}
			for path, b := range map[string]*bytes.Buffer{out: &rows, plot: &svg} {
				if path == "" {
					continue
				}
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					return fail(exitEnvironment, err)
				}
			}
			w := c.OutOrStdout()
			if asJSON {
				e := json.NewEncoder(w)
				e.SetIndent("", "  ")
				if err := e.Encode(r); err != nil {
					return fail(exitEnvironment, err)
				}
				return scored(r)
			}
			if r.Rows > 0 {
				fmt.Fprintf(w, "state of charge  RMSE %.2f %%, at most %.2f %% between 10 and 90 %% after the first hour; %.2f %% and %.2f %% over all\n", r.RMSE, r.Max, r.Whole.RMSE, r.Whole.Max)
			}
			fmt.Fprintf(w, "at the end       %.2f %%, counted %.2f %%\n", r.End.SoC, r.Truth.EndSoC)
			fmt.Fprintf(w, "current offset   %.4f A +- %.4f\n", r.End.CurrentOffsetA, r.End.CurrentSigmaA)
			fmt.Fprintf(w, "resistance       %.3f +- %.3f of the cell file\n", r.End.ResistanceFactor, r.End.ResistanceSigma)
			fmt.Fprintf(w, "capacity         %.3f +- %.3f of the cell file\n", r.End.CapacityFactor, r.End.CapacitySigma)
			return scored(r)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Cell, "cell", "", "cell file, or the name of a set that ships")
	f.StringVar(&o.Data, "data", "", "CSV of the record")
	f.Float64Var(&o.SoC, "soc0", 50, "state of charge the filter is told at the start, %")
	f.Float64Var(&o.AddA, "add-current-a", 0, "offset added to the current the filter sees, A")
	f.Float64Var(&o.Gain, "gain", 1, "factor on the current the filter sees")
	f.Float64Var(&tempC, "temp-c", 25, "temperature of the cell, degC (default: from the record)")
	f.Float64Var(&o.TrueSoC, "true-soc", 100, "true state of charge at the start, %")
	f.Float64Var(&o.Ah, "capacity-ah", 0, "capacity of the true state of charge, Ah (default: that of the cell file)")
	f.Float64Var(&o.Eta, "efficiency", 0, "coulombic efficiency of the true state of charge, 0..1 (default: that of the cell file)")
	f.StringVar(&out, "out", "", "CSV file for all rows")
	f.StringVar(&plot, "plot", "", "SVG file for a plot of state of charge, error, innovation and offset")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

// scored fails a result that no row counts for: it says nothing about the filter.
func scored(r *simworld.TrackResult) error {
	if r.Rows > 0 {
		return nil
	}
	return fail(exitFailed, fmt.Errorf("%s: nothing to score: the true state of charge goes from %.4g to %.4g %%, and what counts is 10 to 90 %% after the first hour", r.Data, r.Truth.StartSoC, r.Truth.EndSoC))
}

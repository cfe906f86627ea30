//go:build !nosim

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"yunchu/harness/simworld"
	"yunchu/twin/params"
)

func fitCommand() *cobra.Command {
	var o simworld.FitOptions
	var to fitOutput
	c := &cobra.Command{
		Use:   "fit --pulses CSV --ocv CSV --capacity-ah N --out FILE",
		Short: "Identify a cell from laboratory records and write a cell file",
		Long: `Identify a cell from laboratory records and write a cell file with confidence intervals.

--pulses is a dynamic record (drive cycle, pulses): t_s, I_A (> 0 charges), V_V; chgAh and
disAh, the counters of the cycler, and a temperature T_C in degC are used if they are there.
Give it several times for records at several temperatures: then the resistances get their
activation energies.

--ocv is a slow cycle (a discharge from full and a charge from empty, such as C/30) with the
same columns, or a table z, U_dis, U_chg; tables of several temperatures have columns such as
U_dis_P25_V. Slow cycles at several temperatures give the entropic coefficient as well.

The temperature of a record is --temp-c, the mean of its column, a part of its name (_P25 is
25 degC, _N05 -5), that of the open-circuit records, or 25 degC. The coulombic efficiency follows from records that begin and end
at rest where the voltage is steep, unless it is given.`,
		Example: `  yunchu fit --pulses dyn_P25.csv --ocv ocv_C30_P25.csv --capacity-ah 2.05 --out cell.yaml
  yunchu fit --pulses dyn_P05.csv --pulses dyn_P45.csv --ocv ocv_C30_P05.csv --ocv ocv_C30_P45.csv --score dyn_P25.csv --capacity-ah 2.05 --out cell.yaml --plot fit.svg
  yunchu fit --pulses cold.csv --pulses hot.csv --temp-c 5,45 --ocv slow5.csv --ocv slow45.csv --ocv-temp-c 5,45 --capacity-ah 2.05 --out cell.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Stop = c.Context().Err
			r, err := simworld.Fit(o)
			if err != nil {
				return failed(c.Context(), err)
			}
			for _, note := range r.Notes {
				fmt.Fprintln(c.ErrOrStderr(), note)
			}
			return to.write(r, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.Pulses, "pulses", nil, "CSV of a dynamic record; may be repeated")
	f.Float64SliceVar(&o.TempC, "temp-c", nil, "temperature of the records, degC: one, or one for each")
	f.Float64SliceVar(&o.SoC, "soc", nil, "state of charge at the start of the records, %: one, or one for each (default: from the first voltage)")
	f.StringArrayVar(&o.OCV, "ocv", nil, "CSV of a slow cycle or of an open-circuit table; may be repeated")
	f.Float64SliceVar(&o.OCVTempC, "ocv-temp-c", nil, "temperature of the open-circuit records, degC (default: from the files, or those of the records)")
	f.StringArrayVar(&o.Score, "score", nil, "CSV of a record to score the fitted cell on, not to fit; may be repeated")
	f.StringVar(&to.plot, "plot", "", "SVG file for a plot of measured and simulated voltages")
	f.Float64Var(&o.CapacityAh, "capacity-ah", 0, "capacity, Ah")
	f.Float64Var(&o.Efficiency, "efficiency", 0, "coulombic efficiency of charge, 0..1 (default: from the ends of the records)")
	f.StringVar(&o.Name, "name", "", "name of the cell set (default: that of the first record)")
	f.Float64Var(&o.VMin, "v-min", 0, "lowest voltage of the cell, V (default: 0.1 V below the records)")
	f.Float64Var(&o.VMax, "v-max", 0, "highest voltage of the cell, V (default: 0.1 V above the records)")
	f.Float64Var(&o.MassKg, "mass-kg", 0, "mass of the cell, kg (default: an assumption, named in the file)")
	f.Float64Var(&o.CpJPerKg, "cp", 0, "specific heat of the cell, J/kg/K (likewise)")
	f.Float64Var(&o.HAPerK, "ha", 0, "heat loss of the free-standing cell, W/K (likewise)")
	f.StringVar(&to.cell, "out", "", "file for the cell instead of stdout")
	f.BoolVar(&to.json, "json", false, "print the figures and intervals as JSON; the cell goes to --out alone")
	return c
}

// fitOutput is where a fit goes.
type fitOutput struct {
	cell, plot string // files; empty: the cell to stdout, no plot
	json       bool
}

// write puts the cell where it belongs and says how good it is.
func (to *fitOutput) write(r *simworld.FitResult, stdout io.Writer) error {
	text, err := simworld.WriteCell(r.Cell)
	if err != nil {
		return fail(exitInput, err)
	}
	if to.cell != "" {
		if err := os.WriteFile(to.cell, text, 0o644); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	if to.plot != "" {
		var svg bytes.Buffer
		if err := r.Plot(&svg); err != nil {
			return fail(exitInput, err)
		}
		if err := os.WriteFile(to.plot, svg.Bytes(), 0o644); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	switch {
	case to.json:
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(struct {
			*params.Fit
			Scored []params.FitRecord `json:"scored,omitempty"`
		}{r.Cell.Fit, r.Scored})
	case to.cell == "":
		_, err = stdout.Write(text)
	default:
		figures(stdout, "fitted", r.Cell.Fit.Records)
		figures(stdout, "not fitted", r.Scored)
	}
	if err != nil {
		return fail(exitEnvironment, err)
	}
	return nil
}

func figures(w io.Writer, what string, records []params.FitRecord) {
	for _, r := range records {
		fmt.Fprintf(w, "%s at %g degC, %s: RMSE %.2f mV, at most %.1f mV between 10 and 90 %%\n", r.Name, r.TempC, what, r.RMSE, r.Max)
	}
}

//go:build !nosim

package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"yunchu/harness/simworld"
)

func wearCommand() *cobra.Command {
	var o simworld.WearOptions
	var asJSON bool
	c := &cobra.Command{
		Use:   "wear --cells-price-per-kwh N",
		Short: "Write what the depth of a battery's use costs, from the laws of ageing of its cells",
		Long: `Write what the depth of a battery's use costs, from the laws of ageing of its cells.

The line stands in a scenario's fleet or a configuration's devices as it is; with --json its
"wear" goes into PUT /api/v1/devices/{id}. Strategy cost then counts how deep each battery has
been used, and takes from those whose next kilowatt-hour wears least. A step costs the price
of new cells times the part of their life that a cycle through it takes; costs never fall with
depth. What age alone does is not in it.`,
		Example: `  yunchu wear --model ess-100kw-215kwh --cells-price-per-kwh 80 --segments 8
  yunchu wear --aging sony-schimpe --cells-price-per-kwh 120 --c-rate 0.25 --temp-c 35 --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w, err := simworld.Wear(o)
			if err != nil {
				return fail(exitInput, err)
			}
			out := c.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(w)
			}
			fmt.Fprintf(out, "# %s by %s at %.2f C: %.0f cycles of the whole depth are a life\nwear: [", w.Model, w.Aging, w.CRate, w.Whole)
			for i, s := range w.Wear {
				if i > 0 {
					fmt.Fprint(out, ", ")
				}
				fmt.Fprintf(out, "{to_percent: %.6g, cost_per_kwh: %.4g}", s.ToPercent, s.CostPerKWh)
			}
			_, err = fmt.Fprintln(out, "]")
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.Model, "model", "ess-100kw-215kwh", "model set, or model file")
	f.StringVar(&o.Aging, "aging", "sony-naumann", "ageing set, or ageing file")
	f.Float64Var(&o.Price, "cells-price-per-kwh", 0, "money for a kWh of new cells")
	f.IntVar(&o.Segments, "segments", 8, "steps of depth")
	f.Float64Var(&o.CRate, "c-rate", 0, "rate of use, 1/h (default: rated power over rated energy)")
	f.Float64Var(&o.TempC, "temp-c", 25, "temperature of the cells, degC")
	f.Float64Var(&o.SoC, "soc", 50, "state of charge midway, percent")
	f.Float64Var(&o.EndSoH, "end-soh", 80, "capacity at the end of life, percent")
	f.BoolVar(&asJSON, "json", false, "print the steps and what they were made from as JSON")
	return c
}

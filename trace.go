//go:build !nosim

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
)

func traceCommand() *cobra.Command {
	var cell, profile, out string
	c := &cobra.Command{
		Use:   "trace [FILE]",
		Short: "Step one cell through a current or power profile",
		Example: `  yunchu trace case.trace.yaml --out result.csv
  yunchu trace --cell cell.yaml --profile pulse.csv`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			var t *scenario.Trace
			switch {
			case len(args) == 1 && cell == "" && profile == "":
				t, err = scenario.LoadTrace(args[0], scenarioOptions())
			case len(args) == 0 && cell != "" && profile != "":
				t, err = scenario.NewTrace(cell, profile, scenarioOptions())
			default:
				err = errors.New("name a trace file, or a cell and a profile: yunchu trace --cell FILE --profile FILE")
			}
			if err != nil {
				return fail(exitInput, err)
			}
			return runTrace(t, out, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&out, "out", "", "file for the result instead of stdout")
	c.Flags().StringVar(&cell, "cell", "", "cell file (the short form for one cell)")
	c.Flags().StringVar(&profile, "profile", "", "CSV with t_s and current_a or power_w")
	return c
}

func runTrace(t *scenario.Trace, path string, stdout io.Writer) error {
	w := stdout
	var file bytes.Buffer // what fails at once leaves no file
	if path != "" {
		w = &file
	}
	err := simworld.Trace(t, w)
	if file.Len() > 0 {
		if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	switch {
	case errors.Is(err, simworld.ErrVoltage):
		return fail(exitFailed, fmt.Errorf("%s: %w", t.Path, err))
	case err != nil:
		return fail(exitInput, fmt.Errorf("%s: %w", t.Path, err))
	}
	return nil
}

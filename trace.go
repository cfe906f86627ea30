//go:build !nosim

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
)

// traceOptions is where the result of a trace goes.
type traceOptions struct {
	out, plot string // files; empty: the result to stdout, no plot
	reference string // a CSV to compare with; empty: none
	json      bool   // the summary to stdout instead of the result
}

func traceCommand() *cobra.Command {
	var cell, profile string
	var opt traceOptions
	c := &cobra.Command{
		Use:   "trace [FILE]",
		Short: "Step one cell or module through a current, power or voltage profile",
		Example: `  yunchu trace case.trace.yaml --out result.csv --plot result.svg
  yunchu trace module.trace.yaml --reference exact.csv --plot difference.svg --json
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
			return opt.run(c.Context(), t, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&opt.out, "out", "", "file for the result instead of stdout")
	c.Flags().StringVar(&opt.plot, "plot", "", "SVG file for a plot")
	c.Flags().StringVar(&opt.reference, "reference", "", "CSV of another solution, to compare with in the plot and in the summary")
	c.Flags().BoolVar(&opt.json, "json", false, "print a summary as JSON: energy balance, differences from the reference; the result goes to --out alone")
	c.Flags().StringVar(&cell, "cell", "", "cell file or the name of a set that ships (the short form for one cell, free-standing in air of 25 degC)")
	c.Flags().StringVar(&profile, "profile", "", "CSV with t_s and current_a, power_w or voltage_v")
	return c
}

// run steps the trace and writes what was asked for. What fails at once leaves no file;
// what ends at a voltage limit leaves what was reached.
func (opt *traceOptions) run(ctx context.Context, t *scenario.Trace, stdout, stderr io.Writer) error {
	var file bytes.Buffer
	w := stdout
	switch {
	case opt.out != "":
		w = &file
	case opt.json:
		w = nil
	}
	rec, err := opt.recording(t)
	if err != nil {
		return fail(exitInput, err)
	}
	summary, err := simworld.Trace(ctx, t, w, rec)
	if err != nil && ctx.Err() != nil {
		return fail(exitInterrupted, fmt.Errorf("%s: interrupted after %g s", t.Path, summary.EndS))
	}
	if warning := summary.Warning(); warning != "" {
		fmt.Fprintf(stderr, "%s: %s\n", t.Path, warning)
	}
	if err != nil && !errors.Is(err, simworld.ErrVoltage) {
		return fail(exitInput, fmt.Errorf("%s: %w", t.Path, err))
	}
	if opt.out != "" {
		if err := os.WriteFile(opt.out, file.Bytes(), 0o644); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	if opt.plot != "" {
		file.Reset()
		if err := rec.Plot(&file); err != nil {
			return fail(exitInput, fmt.Errorf("%s: %w", t.Path, err))
		}
		if err := os.WriteFile(opt.plot, file.Bytes(), 0o644); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	if opt.json {
		if err := json.NewEncoder(stdout).Encode(summary); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	if err != nil {
		return fail(exitFailed, fmt.Errorf("%s: %w", t.Path, err))
	}
	return nil
}

// recording is what a plot and a comparison need, nil when neither is asked for.
func (opt *traceOptions) recording(t *scenario.Trace) (*simworld.Recording, error) {
	if opt.reference == "" {
		if opt.plot == "" {
			return nil, nil
		}
		return simworld.NewRecording(nil), nil
	}
	ref, err := simworld.LoadTraceReference(opt.reference, t.Topology.Cells())
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	return simworld.NewRecording(ref), nil
}

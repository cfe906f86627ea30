package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/harness/scenario/schema"
	"yunchu/twin/params"
)

func validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check scenario, config, rig, model, cell and trace files",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			var faults scenario.Faults
			for _, file := range files {
				kind, err := check(file)
				var wrong scenario.Faults
				switch {
				case errors.As(err, &wrong):
					faults = append(faults, wrong...)
				case err != nil:
					return fail(exitInput, err)
				default:
					fmt.Fprintf(c.OutOrStdout(), "%s: a good %s\n", file, kind)
				}
			}
			if len(faults) > 0 {
				return fail(exitInput, faults)
			}
			return nil
		},
	}
}

// check reads one file as what it says it is.
func check(file string) (kind string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		_, err = scenario.Load(file, scenarioOptions()) // says so in the form of all faults
		return "", err
	}
	opt := scenarioOptions()
	switch kind = scenario.KindOf(text); kind {
	case "Rig":
		_, err = scenario.LoadRig(file, opt)
	case "Config":
		_, err = scenario.LoadConfig(file, opt)
	case "Trace":
		_, err = scenario.LoadTrace(file, opt)
	case "Model":
		_, err = params.LoadModel(file)
	case "":
		if _, cellErr := params.LoadCell(file); cellErr == nil {
			return "Cell", nil
		}
		_, err = scenario.Load(file, opt)
	default:
		var sc *scenario.Scenario
		if sc, err = scenario.Load(file, opt); err == nil {
			err = buildable(sc)
		}
	}
	return kind, err
}

// buildable builds the twins of a scenario and forgets them: some values are only
// wrong for the model they meet.
func buildable(s *scenario.Scenario) error {
	if openWorld == nil || slices.ContainsFunc(s.Fleet, func(e scenario.FleetEntry) bool { return e.Kind != scenario.Sim }) {
		return nil
	}
	if _, err := openWorld(s, s.Start); err != nil {
		return fmt.Errorf("%s: %w", s.Path, err)
	}
	return nil
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "schema KIND",
		Short:     "Print the JSON Schema of a kind of file",
		Long:      "Print the JSON Schema (2020-12) of scenario, config, rig, model, cell, trace, profile, rules or report.",
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"scenario", "config", "rig", "model", "cell", "trace", "profile", "rules", "report"},
		RunE: func(c *cobra.Command, args []string) error {
			return writeSchema(c.OutOrStdout(), args[0])
		},
	}
}

func writeSchema(w io.Writer, kind string) error {
	set := schema.New()
	set.Register("model", params.Model{})
	set.Register("cell", params.Cell{})
	set.Register("report", report.Report{})
	b, err := set.JSON(kind)
	if err != nil {
		return fail(exitInput, err)
	}
	if _, err := w.Write(b); err != nil {
		return fail(exitEnvironment, err)
	}
	return nil
}

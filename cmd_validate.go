package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"yunchu/harness/billing"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/harness/scenario/schema"
	"yunchu/harness/trading"
	"yunchu/hil/can"
	"yunchu/hil/modbus"
	"yunchu/platform/settle"
	"yunchu/twin/params"
)

func validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check scenario, config, rig, load, procedure, portfolio, rule, model, cell, trace and parameter files",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			var faults scenario.Faults
			for _, file := range files {
				kind, err := check(file)
				wrong, ok := faultsOf(err)
				switch {
				case ok:
					for _, f := range wrong {
						if !slices.Contains(faults, f) { // of a file that several name
							faults = append(faults, f)
						}
					}
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
	if strings.HasSuffix(file, ".dbc") {
		_, err = can.LoadDatabase(file)
		return "CAN database", err
	}
	opt := scenarioOptions()
	switch kind = scenario.KindOf(text); kind {
	case "Rig":
		_, err = scenario.LoadRig(file, opt)
	case "Config":
		_, err = scenario.LoadConfig(file, opt)
	case "Procedure":
		_, err = scenario.LoadProcedure(file, opt)
	case "Load":
		_, err = scenario.LoadLoad(file, opt)
	case "Trace":
		var t *scenario.Trace
		if t, err = scenario.LoadTrace(file, opt); err == nil {
			_, err = params.LoadCell(t.Cell)
		}
	case "Portfolio":
		_, err = scenario.LoadPortfolio(file, opt)
	case "Profile":
		_, err = modbus.LoadProfile(file)
	case "CANProfile":
		_, err = can.LoadProfile(file)
	case billing.ScoreKind:
		_, err = billing.LoadScore(file)
	case billing.BillKind:
		_, err = billing.LoadTariff(file)
	case trading.RulesKind:
		_, err = trading.LoadRules(file)
	case trading.LimitsKind:
		_, err = trading.LoadLimits(file)
	case "Model", "Aging", "Container", "Runaway", "BMS", "Converter", "Transformers", "Auxiliary":
		err = parameters[kind](file)
	default:
		if cellKeys.Match(text) { // whose kind is a text in words
			_, err = params.LoadCell(file)
			return "Cell", err
		}
		var sc *scenario.Scenario
		if sc, err = scenario.Load(file, opt); err == nil {
			err = buildable(sc)
		}
	}
	return kind, err
}

// parameters load the kinds of parameter files.
var parameters = map[string]func(file string) error{
	"Model":        func(f string) error { _, err := params.LoadModel(f); return err },
	"Aging":        func(f string) error { _, err := params.LoadAging(f); return err },
	"Container":    func(f string) error { _, err := params.LoadContainer(f); return err },
	"Runaway":      func(f string) error { _, err := params.LoadRunaway(f); return err },
	"BMS":          func(f string) error { _, err := params.LoadBMS(f); return err },
	"Converter":    func(f string) error { _, err := params.LoadConverter(f); return err },
	"Transformers": func(f string) error { _, err := params.LoadTransformers(f); return err },
	"Auxiliary":    func(f string) error { _, err := params.LoadAuxiliary(f); return err },
}

// cellKeys tell a cell file by a key that no other file has at its top.
var cellKeys = regexp.MustCompile(`(?m)^(capacity_Ah|U_avg_V|ocv|entropic):`)

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
		Long:      "Print the JSON Schema (2020-12) of scenario, config, rig, model, cell, trace, procedure,\nload, portfolio, aging, container, runaway, bms, converter, profile, rules\n(of scores, bills and markets), limits (of trading) or report.",
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"scenario", "config", "rig", "model", "cell", "trace", "procedure", "load", "portfolio", "aging", "container", "runaway", "bms", "converter", "profile", "rules", "limits", "report"},
		RunE: func(c *cobra.Command, args []string) error {
			return writeSchema(c.OutOrStdout(), args[0])
		},
	}
}

func writeSchema(w io.Writer, kind string) error {
	set := schema.New()
	set.Register("model", params.Model{})
	set.Register("cell", params.Cell{})
	set.Register("aging", params.Aging{})
	set.Register("container", params.Container{})
	set.Register("runaway", params.Runaway{})
	set.Register("bms", params.BMS{})
	set.Register("converter", params.Converter{})
	set.Register("portfolio", scenario.Portfolio{})
	set.Register("profile", modbus.Profile{})
	set.Register("score-rules", settle.Score{})
	set.Register("bill-rules", settle.Tariff{})
	set.Register("market-rules", trading.MarketRules{})
	set.AnyOf("rules", "score-rules", "bill-rules", "market-rules")
	set.Register("limits", trading.Limits{})
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

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestSiteRefusesFlagsOfABattery: with --site a flag does something, or it is refused.
func TestSiteRefusesFlagsOfABattery(t *testing.T) {
	t.Parallel()
	works := []string{
		"actual", "committed", "cvar", "draws", "from", "json", "nodes", "out", "page", "pareto", "persistence", "points",
		"prices", "robust", "rolling", "scenarios", "schedule", "seed", "site", "to",
	}
	values := map[string]string{"string": "1", "float64": "1", "int": "3", "uint64": "3", "bool": "true", "duration": "1h0m0s", "stringSlice": "energy"}
	marketPlanCommand().LocalFlags().VisitAll(func(x *pflag.Flag) {
		if x.Name == "help" {
			return
		}
		c := marketPlanCommand()
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetArgs([]string{"--" + x.Name + "=" + values[x.Value.Type()], "--site", "none.yaml"})
		err := c.Execute()
		if err == nil {
			t.Fatalf("--%s: a file that is not there is planned", x.Name)
		}
		refused := strings.Contains(err.Error(), "--"+x.Name+" belongs to one battery by flags; with --site it stands in the file")
		if refused == slices.Contains(works, x.Name) {
			t.Errorf("--%s with --site: %v", x.Name, err)
		}
	})
}

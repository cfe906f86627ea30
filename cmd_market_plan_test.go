package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
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

// TestMarketIsInterrupted: what is computed on a market ends with Ctrl-C as other commands do.
func TestMarketIsInterrupted(t *testing.T) {
	t.Parallel()
	prices := filepath.Join(t.TempDir(), "prices.csv")
	if err := os.WriteFile(prices, []byte("time,energy_per_mwh,regup_per_mw,regdown_per_mw\n2026-01-01T00:00:00Z,20,1,1\n2026-01-01T01:00:00Z,60,1,1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, args := range [][]string{
		{"plan"},
		{"backtest", "--products", "energy,regup"},
		{"replay", "--strategy", "price-taker", "--regulation-energy-up", "0.3"},
	} {
		var out strings.Builder
		args = append([]string{"market"}, append(args, "--prices", prices, "--power-kw", "100", "--energy-kwh", "100")...)
		if code := execute(ctx, args, io.Discard, &out); code != exitInterrupted {
			t.Errorf("%v: exit code %d, want %d\n%s", args, code, exitInterrupted, out.String())
		}
	}
}

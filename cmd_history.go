package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"yunchu/harness/scenario"
	"yunchu/platform"
	"yunchu/platform/bus"
	"yunchu/platform/store/postgres"
	"yunchu/platform/store/series"
)

func historyCommand() *cobra.Command {
	c := &cobra.Command{Use: "history", Short: "Look after the history of a plant"}
	c.AddCommand(historyVerifyCommand(), historyRewindCommand())
	return c
}

func historyVerifyCommand() *cobra.Command {
	var data, config string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Compare every file of the history with its manifest",
		Long: `Compare every file of the history, byte for byte, with its manifest, and name those that are
missing, cut off, changed, or not listed. Nothing is changed; the plant may run. A plant does
the same at its start and once a day.

A history in PostgreSQL is named by the plant's configuration, -c FILE. Its tiers are compared
with its readings, every hour that is made; whether the disk gives back what was written is
checked by the server alone, with data checksums, and it is told whether they are on.

Exit codes: 0 intact; 1 damaged; 3 there is no history.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			at, dir, err := placeOf(config, data)
			if err != nil {
				return err
			}
			var faults []error
			var good string
			if at != nil {
				faults, good, err = verifyPostgres(c.Context(), *at)
			} else {
				faults, good, err = verifyFiles(c.Context(), filepath.Join(dir, "history"))
			}
			if err != nil {
				return fail(exitEnvironment, err)
			}
			for _, f := range faults {
				fmt.Fprintf(c.OutOrStdout(), "damaged: %v\n", f)
			}
			if len(faults) > 0 {
				return silently(exitFailed)
			}
			fmt.Fprintln(c.OutOrStdout(), good)
			return nil
		},
	}
	c.Flags().StringVar(&data, "data", "data", "the data folder of the plant")
	c.Flags().StringVarP(&config, "config", "c", "", "the configuration of the plant, which names its data folder or database")
	return c
}

func historyRewindCommand() *cobra.Command {
	var config string
	c := &cobra.Command{
		Use:   "rewind -c FILE",
		Short: "Continue a history in PostgreSQL whose log was restored from a backup",
		Long: `Continue a history in PostgreSQL whose log was restored from a backup and ends before what the
database has seen. The readings that the database has stay there; what the log is given from now
on follows them. The plant must be stopped.

Exit codes: 0 done, or nothing to do; 2 the configuration names no database; 3 it does not answer
or belongs to another plant.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if config == "" {
				return fail(exitInput, errors.New("history rewind: -c FILE is missing"))
			}
			at, dir, err := placeOf(config, "")
			if err != nil {
				return err
			}
			if at == nil {
				return fail(exitInput, errors.New("history rewind: the configuration keeps the history in the data folder, whose backup has both"))
			}
			from, to, err := rewind(c.Context(), *at, dir)
			if err != nil {
				return fail(exitEnvironment, err)
			}
			if from <= to {
				fmt.Fprintf(c.OutOrStdout(), "nothing to do: the database has seen sequence %d, and the log ends at %d\n", from, to)
				return nil
			}
			fmt.Fprintf(c.OutOrStdout(), "rewound from sequence %d to %d, where the log ends\n", from, to)
			return nil
		},
	}
	c.Flags().StringVarP(&config, "config", "c", "", "the configuration of the plant")
	return c
}

// rewind takes the database back to the end of the log in dir.
func rewind(ctx context.Context, at postgres.Server, dir string) (from, to uint64, err error) {
	k, err := platform.HistoryOf(dir)
	if err != nil {
		return 0, 0, err
	}
	b, err := openStopped(dir)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if _, to, err = b.Bounds(bus.Data); err != nil {
		return 0, 0, err
	}
	from, err = postgres.Rewind(ctx, at, k.Plant, to)
	return from, to, err
}

func verifyFiles(ctx context.Context, dir string) (faults []error, good string, err error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, "", err
	}
	r, err := series.Inspect(ctx, dir)
	return r.Faults, fmt.Sprintf("intact: %d files, %d bytes", r.Files, r.Bytes), err
}

func verifyPostgres(ctx context.Context, at postgres.Server) (faults []error, good string, err error) {
	r, err := postgres.Inspect(ctx, at)
	sums := "are on"
	if !r.Checksums {
		sums = "are off, so that nobody would notice a bit that its disk has turned"
	}
	good = fmt.Sprintf("intact: %d readings up to sequence %d of the log, tiers of %d hours agree with them, %d to be made\nPostgreSQL %s, whose data checksums %s",
		r.Readings, r.Covered, r.Hours, r.Stale, r.Version, sums)
	for _, g := range r.Gaps {
		good += fmt.Sprintf("\ngap: from %d to %d ms: %s", g.From, g.To, g.Reason)
	}
	return r.Faults, good, err
}

// placeOf is the database that a configuration names for the history, or the data folder
// that it is in. A folder whose history is elsewhere needs the configuration.
func placeOf(config, data string) (*postgres.Server, string, error) {
	if config != "" {
		cfg, err := scenario.LoadConfig(config, scenarioOptions())
		if err != nil {
			return nil, "", fail(exitInput, err)
		}
		at, err := historyServer(cfg)
		if err != nil {
			return nil, "", fail(exitInput, err)
		}
		return at, cfg.Data, nil
	}
	k, err := platform.HistoryOf(data)
	if err == nil && k.Store != platform.HistoryFiles {
		err = fmt.Errorf("%w; name the plant's configuration with -c FILE", elsewhere(data, k))
	}
	if err != nil {
		return nil, "", fail(exitEnvironment, err)
	}
	return nil, data, nil
}

func elsewhere(data string, k platform.Kept) error {
	return fmt.Errorf("the history of the plant in %s is in %s", data, k.Store)
}

// historyServer is the database that a configuration names for the history; nil: it is in
// the data folder.
func historyServer(cfg *scenario.Config) (*postgres.Server, error) {
	h := &cfg.History
	if h.Store != scenario.HistoryPostgres {
		return nil, nil
	}
	at := &postgres.Server{DSN: h.DSN, Schema: h.Schema}
	if h.Password != "" {
		b, err := os.ReadFile(h.Password)
		if err != nil {
			return nil, fmt.Errorf("%s: history.password_file: %w", cfg.Path, err)
		}
		if at.Password = strings.TrimSpace(string(b)); at.Password == "" {
			return nil, errors.New(cfg.Path + ": history.password_file: the file is empty")
		}
	}
	return at, nil
}

// historyFigures registers how a history elsewhere stands.
func historyFigures(reg *prometheus.Registry, h series.Elsewhere) {
	labels := prometheus.Labels{"store": h.Condition().Store}
	for _, f := range []struct {
		name, help string
		value      func(c series.Condition) float64
	}{
		{"up", "1 while the store of readings answers and may be used.", func(c series.Condition) float64 {
			if c.State == series.Ready || c.State == series.Behind {
				return 1
			}
			return 0
		}},
		{"behind", "Messages of the log that the store of readings does not have yet.", func(c series.Condition) float64 { return float64(c.Behind) }},
	} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "yunchu_history_" + f.name, Help: f.help, ConstLabels: labels},
			func() float64 { return f.value(h.Condition()) }))
	}
}

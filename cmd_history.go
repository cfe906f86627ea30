package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"yunchu/platform/store/series"
)

func historyCommand() *cobra.Command {
	c := &cobra.Command{Use: "history", Short: "Look after the history of a plant"}
	c.AddCommand(historyVerifyCommand())
	return c
}

func historyVerifyCommand() *cobra.Command {
	var data string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Compare every file of the history with its manifest",
		Long: `Compare every file of the history, byte for byte, with its manifest, and name those that are
missing, cut off, changed, or not listed. Nothing is changed; the plant may run. A plant does
the same at its start and once a day.

Exit codes: 0 intact; 1 damaged; 3 there is no history.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir := filepath.Join(data, "history")
			if _, err := os.Stat(dir); err != nil {
				return fail(exitEnvironment, err)
			}
			r, err := series.Inspect(c.Context(), dir)
			if err != nil {
				return fail(exitEnvironment, err)
			}
			for _, f := range r.Faults {
				fmt.Fprintf(c.OutOrStdout(), "damaged: %v\n", f)
			}
			if len(r.Faults) > 0 {
				return silently(exitFailed)
			}
			fmt.Fprintf(c.OutOrStdout(), "intact: %d files, %d bytes\n", r.Files, r.Bytes)
			return nil
		},
	}
	c.Flags().StringVar(&data, "data", "data", "the data folder of the plant")
	return c
}

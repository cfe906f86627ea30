package main

import (
	"github.com/spf13/cobra"

	"yunchu/harness/report"
)

func reportCommand() *cobra.Command {
	c := &cobra.Command{Use: "report", Short: "Work with the reports of runs"}
	var json bool
	diff := &cobra.Command{
		Use:   "diff A B",
		Short: "Show what changed between two runs (folders or report.json files)",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := report.DiffPaths(args[0], args[1])
			if err != nil {
				return fail(exitInput, err)
			}
			if json {
				err = writeJSON(c.OutOrStdout(), d)
			} else {
				err = d.Text(c.OutOrStdout(), isTerminal(c.OutOrStdout()))
			}
			if err != nil {
				return fail(exitEnvironment, err)
			}
			return nil
		},
	}
	diff.Flags().BoolVar(&json, "json", false, "print the difference as JSON")
	c.AddCommand(diff)
	return c
}

//go:build !nosim

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"yunchu/harness/backend"
	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
)

// openRig serves rigs; see nosim.go for the build without.
var openRig = simworld.OpenRig

func rigCommand() *cobra.Command {
	var faults []string
	c := &cobra.Command{
		Use:   "rig FILE",
		Short: "Serve twins as real Modbus, SunSpec, CAN and MQTT devices for somebody else's controller",
		Long: `Serve the twins of a rig file on real sockets and pseudo-terminals until Ctrl-C. What
is served where is printed; "ready" is printed when all of it answers.`,
		Example: `  yunchu rig rig.yaml
  yunchu rig rig.yaml --fault sign-flip            with every device broken from the start
  yunchu rig rig.yaml --fault rig-1=soc-frozen     with one`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := scenario.LoadRig(args[0], scenarioOptions())
			if err != nil {
				return fail(exitInput, err)
			}
			return serveRig(c.Context(), r, faults, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringArrayVar(&faults, "fault", nil, "break it from the start: KIND, or ID=KIND (repeatable)")
	return c
}

func serveRig(ctx context.Context, r *scenario.Rig, faults []string, stdout, stderr io.Writer) error {
	served, err := openRig(r, logger(stderr, slog.LevelWarn))
	if err != nil {
		return fail(exitEnvironment, err)
	}
	rig := served.(*simworld.Rig)
	if len(rig.Lines()) == 0 {
		return fail(exitInput, fmt.Errorf("%s serves nothing: give a device serve", r.Path))
	}
	for _, f := range faults {
		if err := breakRig(ctx, rig, r, f); err != nil {
			return fail(exitInput, err)
		}
	}
	for _, l := range rig.Lines() {
		fmt.Fprintln(stdout, l)
	}
	fmt.Fprintln(stdout, "ready")
	if err := rig.Serve(ctx); err != nil {
		return fail(exitEnvironment, err)
	}
	return nil
}

// breakRig injects KIND into all served devices, or ID=KIND into one.
func breakRig(ctx context.Context, rig *simworld.Rig, r *scenario.Rig, what string) error {
	id, kind, one := strings.Cut(what, "=")
	if !one {
		kind = what
	}
	hit := false
	for i := range r.Devices {
		d := &r.Devices[i]
		if d.Serve == nil || one && d.ID != id {
			continue
		}
		hit = true
		if _, err := rig.Inject(ctx, d.ID, backend.Fault{Kind: kind, ToC: 60}); err != nil {
			if known, kerr := rig.Faults(ctx); kerr == nil && errors.Is(err, backend.ErrUnknown) {
				return fmt.Errorf("--fault %s: known are %s", what, strings.Join(known, ", "))
			}
			return fmt.Errorf("--fault %s: %w", what, err)
		}
	}
	if !hit {
		return fmt.Errorf("--fault %s: the rig serves no such device", what)
	}
	return nil
}

//go:build nosim

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/accept"
	"yunchu/harness/run"
	"yunchu/harness/scenario"
	"yunchu/platform"
	"yunchu/platform/device"
)

// buildTags are the tags of this build, for reports and attestation.
var buildTags = []string{"nosim"}

// openWorld is nil: this build has no twins.
var openWorld func(*scenario.Scenario, time.Time) (run.World, error)

// openBench is nil, likewise.
var openBench func(*scenario.RigDevice, time.Time, time.Duration) (*accept.Bench, error)

// twinOf compares nothing: a device on a wire is held against its nameplate, whatever model
// is named.
func twinOf(d *scenario.Device) (device.Comparison, error) {
	if d.Model == "" {
		return nil, nil
	}
	return func(said *device.Info, _ []device.Tried) (evidence, differs string) {
		if said == nil {
			said = &device.Info{}
		}
		return fmt.Sprintf("held against its nameplate alone, %g kW and %g kWh: built without simulation, it is not compared with the model %s",
			said.RatedKW, said.CapacityKWh, d.Model), ""
	}, nil
}

// openRig is nil: this build serves no twins.
var openRig func(*scenario.Rig, *slog.Logger) (run.Rig, error)

var errNoSimulation = errors.New("built without simulation")

func addSimulated(context.Context, *platform.Plant, platform.Config, []scenario.ConfigDevice, string) error {
	return fail(exitInput, errNoSimulation)
}

func rigCommand() *cobra.Command {
	return without("rig", "Serve twins as real devices for somebody else's controller")
}

func demoCommand() *cobra.Command {
	return without("demo", "Show a live simulated fleet with its portal")
}

func traceCommand() *cobra.Command {
	return without("trace", "Step one cell through a current or power profile")
}

func fitCommand() *cobra.Command {
	return without("fit", "Identify a cell from laboratory records and write a cell file")
}

func trackCommand() *cobra.Command {
	return without("track", "Run the estimator over a record and score it against counted charge")
}

func wearCommand() *cobra.Command {
	return without("wear", "Write what the depth of a battery's use costs, from the laws of ageing of its cells")
}

// without is a command that this build does not have.
func without(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short + " (not in this build)", DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error { return fail(exitInput, errNoSimulation) },
	}
}

//go:build !nosim

package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/run"
	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
	"yunchu/platform"
	"yunchu/platform/sched"
	"yunchu/web"
)

// buildTags are the tags of this build, for reports and attestation.
var buildTags = []string{}

// openWorld builds twins; see nosim.go for the build without.
var openWorld = simworld.Open

// openBench builds the twin that the acceptance suite is done with.
var openBench = simworld.OpenBench

// twinOf is what a device on a wire is held against before it is armed.
var twinOf = simworld.Compare

// addSimulated serves the simulated devices of a configuration, and puts shadows
// beside those that ask for one.
func addSimulated(ctx context.Context, p *platform.Plant, on platform.Config, devices []scenario.ConfigDevice, dir string) error {
	s := &scenario.Scenario{Path: filepath.Join(dir, "config"), Seed: 1, Dispatch: scenario.Dispatch{Rest: on.Dispatch.Rest}}
	for _, d := range devices {
		s.Fleet = append(s.Fleet, scenario.FleetEntry{Device: d.Device, Shadow: d.Shadow})
	}
	w, err := simworld.Open(s, on.Sched.Now())
	if err != nil {
		return fail(exitInput, err)
	}
	for _, f := range w.Fleets() {
		if err := p.Add(ctx, f.Infos, f.Devices); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	if s.Shadows() == 0 {
		return nil
	}
	beside := w.(*simworld.World)
	if err := beside.Follow(on.Bus, p.Fleet.Slot); err != nil {
		return fail(exitEnvironment, err)
	}
	on.Sched.Every(on.Sched.Now(), time.Second, sched.Check, func(now time.Time) bool {
		beside.Tick(now)
		return ctx.Err() == nil
	})
	return nil
}

func demoCommand() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show a live simulated fleet with its portal; nothing is kept",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := scenario.Parse("demo", []byte(demoScenario), scenarioOptions())
			if err != nil {
				return fail(exitInput, err)
			}
			stderr := c.ErrOrStderr()
			_, err = run.Do(c.Context(), s, run.Options{
				World: openWorld, Durable: durable, Binary: binaryHash(), Tags: buildTags, Log: logger(stderr, slog.LevelWarn),
				Listen: listen, UI: web.Dist, Token: os.Getenv(tokenVariable), Endless: true, Initial: demoTarget,
				Listening: func(portal string) { fmt.Fprintf(stderr, "portal: %s\nStop with Ctrl-C.\n", portal) },
			})
			if err != nil {
				return fail(exitEnvironment, err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address of portal and API")
	return c
}

// demoScenario is a fleet that stands for ever; its target is an operator's to
// change in the portal.
const demoScenario = `apiVersion: yunchu/v1
kind: Scenario
name: demo
clock: wall
duration: 24h
step: 500ms
fleet:
  - {id: ess, count: 100, device: sim, model: ess-100kw-215kwh, soc: {mean: 50, spread: 7}, spread_percent: {capacity: 1, resistance: 3}}
score:
  - {metric: tracking.rms_error_ratio, limit: "<= 0.05"}
  - {metric: command.latency_ms, stat: p99, limit: "< 100"}
  - {metric: sync.delay_ms, stat: p99, limit: "< 1000"}
  - {metric: availability_percent, limit: "> 99.9"}
  - {metric: guard.violations, limit: "== 0"}
`

// demoTarget is 2 MW out and in again every quarter of an hour, with a ripple
// every minute and a half: enough to see, and neutral in energy.
func demoTarget(now time.Time) platform.Target {
	t := float64(now.UnixMilli()) / 1000
	kw := -2000*math.Sin(2*math.Pi*t/900) - 500*math.Sin(2*math.Pi*t/90)
	return platform.Target{KW: math.Round(kw), Enabled: true}
}

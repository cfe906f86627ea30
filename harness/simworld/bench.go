//go:build !nosim

package simworld

import (
	"context"
	"fmt"
	"slices"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/backend"
	"yunchu/harness/scenario"
	"yunchu/platform/device"
)

// Bench is one twin for the acceptance suite, in virtual time, and what can be done
// behind it. Its grid does not move.
type Bench struct {
	world *World
	fleet device.Fleet
	info  device.Info
	now   time.Time
}

var _ accept.World = (*Bench)(nil)

// OpenBench builds the twin of a device of a rig file. physics is the longest step.
func OpenBench(d *scenario.RigDevice, start time.Time, physics time.Duration) (*accept.Bench, error) {
	s := &scenario.Scenario{Seed: 1, Start: start, Step: physics}
	if d.AmbientC != nil {
		s.Site.AmbientC = scenario.Constant(*d.AmbientC)
	}
	e := scenario.FleetEntry{Device: d.Device}
	e.Kind, e.Count = scenario.Sim, 0
	if e.Model == "" {
		e.Model = scenario.DefaultModel
	}
	s.Fleet = []scenario.FleetEntry{e}
	w, err := Open(s, start)
	if err != nil {
		return nil, err
	}
	f := w.Fleets()[0]
	b := &Bench{world: w.(*World), fleet: f.Devices, info: f.Infos[0], now: start}
	return &accept.Bench{Info: b.info, World: b, Loopback: true, Serials: d.Serial, Tools: d.Tools, Address: "a twin of " + e.Model + " in virtual time"}, nil
}

// Devices implements accept.World.
func (b *Bench) Devices() device.Fleet { return b.fleet }

// Step implements accept.World.
func (b *Bench) Step(now time.Time) {
	b.now = now
	b.world.Step(now)
}

// protections are the faults that a battery's protection has to see, by what raises
// them in a twin.
var protections = map[string]scenario.Injection{
	"over-temperature": {Kind: "overheat", ToC: 65},
}

// Faults implements backend.Face.
func (b *Bench) Faults(context.Context) ([]string, error) {
	kinds := []string{"contactor-open", "e-stop", "fan-fail", "over-temperature", "overheat"}
	if m := b.world.parts[0].model; m.BMS != nil {
		kinds = append(kinds, "bms-link-down", "insulation-fault")
	}
	slices.Sort(kinds)
	return kinds, nil
}

// Inject implements backend.Face.
func (b *Bench) Inject(ctx context.Context, id string, f backend.Fault) (func(context.Context) error, error) {
	kinds, err := b.Faults(ctx)
	if err != nil {
		return nil, err
	}
	if id != string(b.info.ID) || !slices.Contains(kinds, f.Kind) {
		return nil, fmt.Errorf("fault %s of %s: %w", f.Kind, id, backend.ErrUnknown)
	}
	inj, ok := protections[f.Kind]
	if !ok {
		inj = scenario.Injection{Kind: f.Kind, ToC: 65}
	}
	if f.ToC != 0 {
		inj.ToC = f.ToC
	}
	end, err := b.world.Inject(b.now, &inj, []int{0})
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { end(b.now); return nil }, nil
}

// Grid implements backend.Face.
func (b *Bench) Grid(context.Context, string, float64, float64) error {
	return fmt.Errorf("the grid of a twin in virtual time does not move: %w", backend.ErrUnknown)
}

// Truth implements backend.Face.
func (b *Bench) Truth(_ context.Context, id string) (backend.Truth, error) {
	if id != string(b.info.ID) {
		return backend.Truth{}, fmt.Errorf("device %s: %w", id, backend.ErrUnknown)
	}
	t := b.world.parts[0].twins
	x, book := t.State(0), t.Energy(0)
	return backend.Truth{
		At: b.now, PowerKW: x.ACPowerW / 1000, ReactiveKvar: x.ReactiveVar / 1000, Hz: 50, Voltage: 100,
		DCVolt: x.PackV, DCAmp: x.PackI, SoC: 100 * x.SoC, SoH: 100 * x.SoH, TempC: x.TempK - kelvin,
		InKWh: book.ACInJ / 3.6e6, OutKWh: book.ACOutJ / 3.6e6, AuxKWh: book.AuxJ / 3.6e6,
	}, nil
}

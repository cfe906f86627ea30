//go:build !nosim

package simworld

import (
	"fmt"
	"time"

	"yunchu/harness/run"
	"yunchu/harness/scenario"
	"yunchu/harness/shadow"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/twin/params"
)

// beside are the shadows of a world. Most have none.
type beside struct {
	runner *shadow.Runner // nil: nobody is followed
	ids    []device.ID
	each   []*shadow.Shadow // by ids
}

var _ run.Follower = (*World)(nil)

// shadow puts a shadow beside each device of an entry. The temperature around a twin
// is known, that around a device on a wire is not.
func (w *World) shadow(e *scenario.FleetEntry, ids []string, ambientK float64) error {
	if e.Shadow == nil || !e.Shadow.On {
		return nil
	}
	model, err := params.LoadModel(e.Shadow.Model)
	if err != nil {
		return fmt.Errorf("shadow of %s: %w", e.ID, err)
	}
	kind, err := shadow.NewKind(model)
	if err != nil {
		return fmt.Errorf("shadow of %s: %w", e.ID, err)
	}
	var opt shadow.Options
	if e.Kind == scenario.Sim {
		opt.AmbientK = ambientK
	}
	if w.beside.runner == nil {
		w.beside.runner = shadow.NewRunner()
	}
	for _, id := range ids {
		s, err := kind.Shadow(opt)
		if err != nil {
			return fmt.Errorf("shadow of %s: %w", e.ID, err)
		}
		w.beside.ids = append(w.beside.ids, device.ID(id))
		w.beside.each = append(w.beside.each, s)
	}
	return nil
}

// Compare is what a device on a wire is held against before it is armed: the twin of its
// model, nil where it names none.
func Compare(d *scenario.Device) (device.Comparison, error) {
	if d.Model == "" {
		return nil, nil
	}
	model, err := params.LoadModel(d.Model)
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", d.ID, err)
	}
	kind, err := shadow.NewKind(model)
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", d.ID, err)
	}
	var m shadow.Margin
	if c := d.Compare; c != nil {
		m = shadow.Margin{
			SoC: c.SoC / 100, Voltage: c.Voltage / 100, Resistance: c.Resistance, Power: c.Power / 100, Nameplate: c.Nameplate / 100, VoltStep: c.VoltStep,
		}
	}
	return kind.Comparison(m)
}

// Follow implements run.Follower. The shadows keep what they know over a restart.
func (w *World) Follow(b bus.Bus, slot func(device.ID) (device.Slot, bool)) error {
	w.speaker.bus, w.speaker.slot = b, slot
	if w.beside.runner == nil {
		return nil
	}
	for i, id := range w.beside.ids {
		s, ok := slot(id)
		if !ok {
			return fmt.Errorf("shadow of %s: the plant does not know the device", id)
		}
		w.beside.runner.Watch(s, w.beside.each[i])
	}
	return w.beside.runner.Follow(b)
}

// Tick lets the shadows notice at now what has not come.
func (w *World) Tick(now time.Time) {
	if w.beside.runner != nil {
		w.beside.runner.Tick(now)
	}
}

func (b *beside) setAmbient(k float64) {
	if b.runner != nil {
		b.runner.SetAmbient(k)
	}
}

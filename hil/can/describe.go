package can

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/device"
)

// Describe implements device.Described: the manufacturer's name, the modules and cells,
// and the capacity, as far as the device has sent them. Energy is capacity at the nominal
// voltage; where the device does not name that, at the voltage that is there, which for
// cells with a flat curve is within a few percent of it.
func (d *Driver) Describe(ctx context.Context, now time.Time) (device.Info, error) {
	if _, err := d.Read(ctx, now); err != nil {
		return device.Info{}, err
	}
	d.await(ctx, d.opt.Timeout, time.Time{}, describes)
	d.mu.Lock()
	defer d.mu.Unlock()
	p, _ := d.state.at(d.clock(now))
	info := device.Info{Kind: "can", DeviceType: "BMS", Manufacturer: p.maker, Model: d.model(&p)}
	kwh := p.number(CapacityAh) * orElse(p.number(NominalVoltage), p.number(Voltage)) / 1000
	if device.Finite(kwh) {
		info.CapacityKWh = kwh
	}
	info.VoltStep = d.profile.voltStep()
	return info, nil
}

// voltStep is the step of the database in which a voltage is sent, V; 0: in none.
func (p *Profile) voltStep() float64 {
	for _, m := range p.Messages {
		for _, u := range m.Signals {
			if u.Is != Voltage {
				continue
			}
			def := p.db.Message(m.Name)
			if s := def.Signals[def.Signal(u.Name)]; !s.Float {
				return math.Abs(s.Factor)
			}
		}
	}
	return 0
}

// model is what there is of one: the protocol, and how many modules and cells.
func (d *Driver) model(p *picture) string {
	s := d.profile.Name
	if n := p.number(Modules); !math.IsNaN(n) {
		s += fmt.Sprintf(", %.0f modules", n)
	}
	if n := p.number(Cells); !math.IsNaN(n) {
		s += fmt.Sprintf(", %.0f cells", n)
	}
	return s
}

// describes reports whether a message says what the device is.
func describes(m *MessageUse) bool {
	return slices.ContainsFunc(m.Signals, func(s SignalUse) bool {
		switch s.Is {
		case Manufacturer, Modules, Cells, CapacityAh, NominalVoltage:
			return true
		}
		return false
	})
}

//go:build !nosim

package simworld

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/twin"
	"yunchu/twin/bms"
)

// speaker puts what the battery managements of twins do and see on the bus.
type speaker struct {
	bus   bus.Bus // nil before the plant has come up
	slot  func(device.ID) (device.Slot, bool)
	start time.Time
	n     int // events so far
}

// report publishes what has happened in the strings of the twins since the last call,
// and which limits bind other units than before.
func (w *World) report(now time.Time) {
	if w.speaker.bus == nil {
		return
	}
	list := w.limits(now)
	for _, p := range w.parts {
		if p.model.BMS == nil {
			continue
		}
		for i := range p.twins.Len() {
			slot, ok := w.speaker.slot(device.ID(p.twins.ID(i)))
			if !ok {
				continue // the plant has not heard of it yet: the unit keeps them
			}
			events, missed := p.twins.Events(i)
			if len(events) == 0 {
				continue
			}
			for _, e := range events {
				list = append(list, w.speaker.event(&e, slot))
			}
			if missed > 0 {
				list[len(list)-1].Text += fmt.Sprintf(" (and %d more events than there was room for)", missed)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b device.Event) int { return cmp.Compare(a.At, b.At) })
	for len(list) > 0 {
		n := min(len(list), device.MaxRows)
		bus.Events.Publish(w.speaker.bus, &device.Events{List: list[:n:n]}, nil)
		list = list[n:]
	}
}

func (s *speaker) event(e *twin.Event, slot device.Slot) device.Event {
	at := s.start.Add(e.At).UnixMilli()
	s.n++
	return device.Event{
		ID: fmt.Sprintf("bms-%d-%d", at, s.n), Slot: slot, Type: "bms-" + e.Kind.String(),
		Severity: severity(&e.Event), Text: tells(e), At: at,
	}
}

// management begins and ends a fault that the battery management of a twin sees.
func management(t *twin.Fleet, i int, f *scenario.Injection) func(there bool) error {
	switch f.Kind {
	case "insulation-fault":
		return func(there bool) error { return t.Insulation(i, there) }
	case "bms-link-down":
		return func(there bool) error { return t.LoseLink(i, there) }
	}
	return func(there bool) error {
		var by twin.Misreading
		if there {
			switch f.Field {
			case "soc":
				by.SoC = f.By.Number / 100
			case "voltage":
				by.CellV = f.By.Number
			case "current":
				by.CurrentA = f.By.Number
			case "temperature":
				by.TempK = f.By.Number
			}
		}
		return t.Misread(i, f.String-1, by)
	}
}

// tells is the event in words: the string, and of a warning or a trip the quantity with
// its value.
func tells(e *twin.Event) string {
	text := fmt.Sprintf("string %d", e.String+1)
	if e.Kind <= bms.TripCleared {
		text += fmt.Sprintf(": %v%s", e.Quantity, value(e.Quantity, e.Value))
	}
	if e.Level > 0 {
		text += fmt.Sprintf(", level %d", e.Level)
	}
	return text
}

// value is what was measured, with its unit; nothing where it is yes or no.
func value(q bms.Quantity, x float64) string {
	switch q {
	case bms.TempHigh, bms.TempLow:
		return fmt.Sprintf(" at %.1f °C", x-kelvin)
	case bms.TempSpread:
		return fmt.Sprintf(" at %.3g K", x)
	case bms.CellVHigh, bms.CellVLow, bms.CellVSpread:
		return fmt.Sprintf(" at %.4g V", x)
	case bms.ChargeCurrent, bms.DischargeCurrent:
		return fmt.Sprintf(" at %.4g A", x)
	case bms.SoCHigh, bms.SoCLow:
		return fmt.Sprintf(" at %.3g %%", 100*x)
	}
	return ""
}

func severity(e *bms.Event) device.Severity {
	switch e.Kind {
	case bms.TripRaised:
		return device.Critical
	case bms.WarningRaised, bms.CloseRefused, bms.ResetRefused, bms.WornOut:
		return device.Warning
	}
	return device.Information
}

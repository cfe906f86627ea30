//go:build !nosim

package shadow

import (
	"fmt"
	"sync"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// The types of the events that a Runner publishes.
const (
	Diverged  = "shadow-divergence"
	Recovered = "shadow-recovered"
)

// Runner follows devices on the bus and keeps a shadow for each. What the shadows
// find it publishes as events of the device: the same readings in the same order make
// the same events, whatever the clock.
type Runner struct {
	mu      sync.Mutex
	bus     bus.Bus
	shadows []*Shadow // by slot, nil where nobody is followed
	events  uint64
}

// NewRunner returns a runner that follows nobody.
func NewRunner() *Runner { return &Runner{} }

// Watch follows the device in slot with s from here on.
func (r *Runner) Watch(slot device.Slot, s *Shadow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for int(slot) >= len(r.shadows) {
		r.shadows = append(r.shadows, nil)
	}
	r.shadows[slot] = s
}

// Follow listens to what is published on b from now on, and publishes there. It is
// called again with the bus that a restart leaves behind.
func (r *Runner) Follow(b bus.Bus) error {
	r.mu.Lock()
	r.bus = b
	r.mu.Unlock()
	_, data, err := b.Bounds(bus.Readings.Stream)
	if err != nil {
		return fmt.Errorf("follow the readings: %w", err)
	}
	if _, err := bus.Readings.Subscribe(b, data+1, r.readings); err != nil {
		return fmt.Errorf("follow the readings: %w", err)
	}
	_, control, err := b.Bounds(bus.Acks.Stream)
	if err != nil {
		return fmt.Errorf("follow the acknowledgements: %w", err)
	}
	if _, err := bus.Acks.Subscribe(b, control+1, r.acks); err != nil {
		return fmt.Errorf("follow the acknowledgements: %w", err)
	}
	return nil
}

// SetAmbient tells all shadows that know the temperature around their unit, K.
func (r *Runner) SetAmbient(k float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.shadows {
		if s != nil {
			s.SetAmbient(k)
		}
	}
}

// Tick notices at now which devices have fallen silent.
func (r *Runner) Tick(now time.Time) {
	r.mu.Lock()
	var out []device.Event
	for slot, s := range r.shadows {
		if s != nil {
			out = r.tell(out, device.Slot(slot), s.Tick(now.UnixMilli()))
		}
	}
	b := r.bus
	r.mu.Unlock()
	publish(b, out)
}

func (r *Runner) readings(_ uint64, f *device.Readings) {
	r.mu.Lock()
	var (
		out []device.Event
		row device.Reading
	)
	for i, slot := range f.Slot {
		if int(slot) < len(r.shadows) && r.shadows[slot] != nil {
			f.Row(i, &row)
			out = r.tell(out, slot, r.shadows[slot].Step(&row))
		}
	}
	b := r.bus
	r.mu.Unlock()
	publish(b, out)
}

func (r *Runner) acks(_ uint64, f *device.Acks) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range f.List {
		if a := &f.List[i]; int(a.Slot) < len(r.shadows) && r.shadows[a.Slot] != nil {
			r.shadows[a.Slot].Expect(a)
		}
	}
}

// tell appends the events of changes.
func (r *Runner) tell(to []device.Event, slot device.Slot, changes []Change) []device.Event {
	for _, c := range changes {
		kind, severity := Diverged, device.Warning
		if c.Over {
			kind, severity = Recovered, device.Information
		}
		r.events++
		to = append(to, device.Event{
			ID: fmt.Sprintf("%s-%d-%d", kind, c.At, r.events), Slot: slot, Type: kind, Severity: severity, Text: c.Finding.String(), At: c.At,
		})
	}
	return to
}

// publish runs without the lock: a bus may answer before it returns.
func publish(b bus.Bus, events []device.Event) {
	for b != nil && len(events) > 0 {
		n := min(len(events), device.MaxRows)
		bus.Events.Publish(b, &device.Events{List: events[:n:n]}, nil)
		events = events[n:]
	}
}

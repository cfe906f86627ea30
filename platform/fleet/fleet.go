// Package fleet keeps the process image of the plant from the log: readings,
// acknowledgements and registrations go in as they are stored, and the image
// shows the plant as of the last one. It is rebuilt from the log at start.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"sync"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
)

// Fleet is the image and its registry. All methods are safe for use by several
// goroutines.
type Fleet struct {
	bus bus.Bus

	mu      sync.RWMutex
	image   image.Image
	slots   map[device.ID]device.Slot
	ids     []device.ID // sorted
	next    device.Slot
	changed func(device.Info)

	reserved map[device.ID]chan struct{} // registrations on their way to the log
}

// New returns an empty fleet on the bus. Start fills it.
func New(b bus.Bus) *Fleet {
	return &Fleet{bus: b, slots: map[device.ID]device.Slot{}, reserved: map[device.ID]chan struct{}{}}
}

// OnChange calls fn with each registration or change of a device, in the order
// of the log and before the change shows in the image's readers. It is called
// before Start.
func (f *Fleet) OnChange(fn func(device.Info)) { f.changed = fn }

// Start replays registrations and readings from the log, the latter from sequence
// dataFrom on, and follows them from there. Readings that the log does not hold any
// more are given to Prime.
func (f *Fleet) Start(dataFrom uint64) error {
	if _, err := bus.Metas.Subscribe(f.bus, 1, f.meta); err != nil {
		return fmt.Errorf("follow the registry: %w", err)
	}
	if _, err := bus.Readings.Subscribe(f.bus, dataFrom, f.readings); err != nil {
		return fmt.Errorf("follow the readings: %w", err)
	}
	return nil
}

// Prime puts a reading into the image that the log no longer holds.
func (f *Fleet) Prime(r *device.Reading) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if int(r.Slot) < len(f.image.Devices) {
		f.image.Devices[r.Slot].Put(r)
	}
}

func (f *Fleet) meta(_ uint64, m *device.Meta) {
	if m.Kind != "device" {
		return
	}
	var info device.Info
	if err := json.Unmarshal(m.Value, &info); err != nil {
		return // a value of another version: the registry's own check has reported it
	}
	if !f.fits(&info) {
		return
	}
	if f.changed != nil {
		f.changed(info)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for int(info.Slot) >= len(f.image.Devices) {
		f.image.Devices = append(f.image.Devices, image.Device{})
	}
	if _, known := f.slots[info.ID]; !known {
		i := sort.Search(len(f.ids), func(i int) bool { return f.ids[i] >= info.ID })
		f.ids = slices.Insert(f.ids, i, info.ID)
		f.slots[info.ID] = info.Slot
		f.next = max(f.next, info.Slot+1)
	}
	f.image.Devices[info.Slot].Info = info
}

// maxGap is how far beyond all known slots a new one may lie. Slots are given
// densely but for registrations that failed; a number far out is a damaged one,
// and must not cost memory for all that lie between.
const maxGap = 1 << 16

// fits reports whether a registration agrees with those before it: a device keeps
// its slot, and a slot its device. The first in the log holds.
func (f *Fleet) fits(info *device.Info) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if !info.ID.Valid() || int64(info.Slot) > int64(len(f.image.Devices))+maxGap {
		return false
	}
	if s, known := f.slots[info.ID]; known {
		return s == info.Slot
	}
	return int(info.Slot) >= len(f.image.Devices) || f.image.Devices[info.Slot].Info.ID == ""
}

func (f *Fleet) readings(_ uint64, frame *device.Readings) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var r device.Reading
	for i := range frame.Slot {
		if int(frame.Slot[i]) < len(f.image.Devices) {
			frame.Row(i, &r)
			f.image.Devices[r.Slot].Put(&r)
		}
	}
}

// Acks takes note of acknowledgements at a sequence of log.control. Whoever
// follows that stream calls it with all of them, in order.
func (f *Fleet) Acks(seq uint64, frame *device.Acks) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range frame.List {
		if a := &frame.List[i]; int(a.Slot) < len(f.image.Devices) {
			f.image.Devices[a.Slot].Take(seq, a)
		}
	}
}

// View calls fn with the image. fn may neither change nor keep it, and must be
// quick: readings wait meanwhile.
func (f *Fleet) View(fn func(*image.Image)) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	fn(&f.image)
}

// Slot finds a device by its id.
func (f *Fleet) Slot(id device.ID) (device.Slot, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s, ok := f.slots[id]
	return s, ok
}

// Device is a copy of one device's part of the image.
func (f *Fleet) Device(s device.Slot) (image.Device, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if int(s) >= len(f.image.Devices) {
		return image.Device{}, false
	}
	return f.image.Devices[s], true
}

// Kind is how the device in a slot is reached, empty when there is none.
func (f *Fleet) Kind(s device.Slot) string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if int(s) >= len(f.image.Devices) {
		return ""
	}
	return f.image.Devices[s].Info.Kind
}

// Info is what is known of a device by its id.
func (f *Fleet) Info(id device.ID) (device.Info, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s, ok := f.slots[id]
	if !ok {
		return device.Info{}, false
	}
	return f.image.Devices[s].Info, true
}

// Page lists up to limit devices in the order of their ids, after the one named.
func (f *Fleet) Page(after device.ID, limit int) []device.Info {
	f.mu.RLock()
	defer f.mu.RUnlock()
	i := sort.Search(len(f.ids), func(i int) bool { return f.ids[i] > after })
	out := make([]device.Info, 0, max(0, min(limit, len(f.ids)-i)))
	for ; i < len(f.ids) && len(out) < limit; i++ {
		out = append(out, f.image.Devices[f.slots[f.ids[i]]].Info)
	}
	return out
}

// Len counts the registered devices.
func (f *Fleet) Len() int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return len(f.ids)
}

// ErrInvalidID is returned for an id that may not name a device.
var ErrInvalidID = errors.New("a device id has 1 to 64 of the characters A-Z a-z 0-9 _ -")

// ErrTaken is returned when somebody else on the bus has given the device another
// slot, or its slot to another device, at the same moment: try again.
var ErrTaken = errors.New("taken by another registration")

// Register makes a device known, or changes what is known of it, and returns
// when the log holds it. A new device gets the next slot; a known one keeps its
// own, and its kind and life cycle unless the new ones say something. An info that
// says no more than a device can say that registers itself leaves a known one as
// it is: both may meet. Who asks is device.SourceOf(ctx).
func (f *Fleet) Register(ctx context.Context, info device.Info, now int64) (device.Info, error) {
	if !info.ID.Valid() {
		return info, fmt.Errorf("register %q: %w", info.ID, ErrInvalidID)
	}
	done, err := f.begin(ctx, &info)
	if err != nil {
		return info, fmt.Errorf("register %s: %w", info.ID, err)
	}
	if done == nil {
		return info, nil
	}
	defer done()
	value, err := json.Marshal(info)
	if err != nil {
		return info, fmt.Errorf("register %s: %w", info.ID, err)
	}
	m := &device.Meta{Kind: "device", Key: string(info.ID), Value: value, At: now, By: device.SourceOf(ctx)}
	if _, err := bus.PublishWait(ctx, f.bus, bus.Meta, m); err != nil {
		return info, fmt.Errorf("register %s: %w", info.ID, err)
	}
	if s, known := f.Slot(info.ID); !known || s != info.Slot {
		return info, fmt.Errorf("register %s: slot %d: %w", info.ID, info.Slot, ErrTaken)
	}
	return info, nil
}

// begin fills in what info keeps of an earlier registration, or the slot of a new
// one, and makes others who register the same device wait until done is called.
// Different devices go to the log together. done is nil when there is nothing to
// write: info is what is known already.
func (f *Fleet) begin(ctx context.Context, info *device.Info) (done func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		busy, ok := f.reserved[info.ID]
		if !ok {
			break
		}
		f.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
		}
		f.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if s, known := f.slots[info.ID]; known {
		old := f.image.Devices[s].Info
		info.Slot = s
		if bare(info) {
			*info = old
			return nil, nil
		}
		if info.Kind == "" {
			info.Kind = old.Kind
		}
		if info.State == device.Configured {
			info.State = old.State
		}
	} else {
		info.Slot = f.next
		f.next++ // a slot whose registration fails is never used
	}
	busy := make(chan struct{})
	f.reserved[info.ID] = busy
	return func() {
		f.mu.Lock()
		delete(f.reserved, info.ID)
		f.mu.Unlock()
		close(busy)
	}, nil
}

// bare reports whether info says only that there is such a device.
func bare(info *device.Info) bool {
	return reflect.DeepEqual(*info, device.Info{ID: info.ID, Slot: info.Slot}) ||
		reflect.DeepEqual(*info, device.Info{ID: info.ID, Slot: info.Slot, Kind: "push", State: device.Inactive})
}

package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/gateway"
	"yunchu/platform/sched"
)

// Wired is one device on a wire.
type Wired struct {
	Info   device.Info
	Driver device.Driver
	Period time.Duration // 0: the plant's
	// ArmItself: an emulator on this machine. Every other device acts only once
	// somebody has armed it.
	ArmItself bool
	// Twin, when set, is what its sign test is held against before it is armed.
	Twin device.Comparison
	// Told, when set, is told of each command that the device is given, and ended when it has
	// answered or not.
	Told func(c device.Command) (ended func())
}

// Attach registers devices on wires and serves them until the plant is closed, which
// closes their drivers; after an error those that were not attached are the caller's. They may be read and must not act: whatever the registry says from
// before, nobody has armed them since.
func (p *Plant) Attach(ctx context.Context, wires []Wired) error {
	for i, w := range wires {
		w.Period = cmp.Or(w.Period, p.cfg.Period)
		w.Info.State, w.Info.PollMS = device.Inactive, int(w.Period.Milliseconds())
		info, err := p.register(ctx, w.Info)
		if err != nil {
			return err
		}
		p.serving.Add(1)
		err = p.Gateway.Attach(p.life, gateway.Wire{
			Driver: w.Driver, Slot: info.Slot, Period: w.Period, ArmItself: w.ArmItself, Twin: w.Twin, Told: w.Told,
			Phase: w.Period * time.Duration(i) / time.Duration(len(wires)),
		}, p.serving.Done)
		if err != nil {
			p.serving.Done()
			return err
		}
	}
	return nil
}

// Rest notes that devices of before do not act, but those that are configured: whatever the
// log says of one that nobody serves any more, or not yet, it is not armed.
func (p *Plant) Rest(ctx context.Context, configured func(device.ID) bool) error {
	for page := p.Fleet.Page("", restPage); len(page) > 0; page = p.Fleet.Page(page[len(page)-1].ID, restPage) {
		for _, info := range page {
			if info.State != device.Active || configured(info.ID) {
				continue
			}
			info.State = device.Inactive
			if _, err := p.register(ctx, info); err != nil {
				return err
			}
		}
	}
	return nil
}

// restPage is how many registrations are looked at at once.
const restPage = 1000

// Take serves a device that connects to us and sends its readings: d carries commands to
// it, and listening says whether it is there to hear them. silence is how old its newest
// reading may be before it counts as gone. Like a device on a wire of ours it acts once
// somebody has armed it. The driver is closed with the plant.
func (p *Plant) Take(ctx context.Context, slot device.Slot, d device.Driver, silence time.Duration, listening func() bool) error {
	known, ok := p.Fleet.Device(slot)
	switch {
	case p.sched.Virtual():
		return errors.New("nobody connects to a plant on a virtual clock")
	case !ok || known.Info.Kind != pushed:
		return fmt.Errorf("slot %d is no device that sends to us", slot)
	}
	period := silence / 3
	info := known.Info
	info.State, info.PollMS = device.Inactive, int(period.Milliseconds())
	if _, err := p.register(ctx, info); err != nil {
		return err
	}
	p.listening.Store(slot, listening)
	p.sched.Post("take", func(time.Time) {
		if p.life.Err() != nil {
			return
		}
		p.serving.Add(1)
		err := p.Gateway.Attach(p.life, gateway.Wire{Driver: d, Slot: slot, Period: period, Pushed: true}, p.serving.Done)
		if err != nil {
			p.serving.Done()
			p.log.Error("device not taken in", "device", info.ID, "error", err)
		}
	})
	return nil
}

// hears reports whether a device that sends to us would hear a command. An emergency stop
// and a disarming are for the gateway to remember, if the device has ever listened.
func (p *Plant) hears(c *device.Command) bool {
	listening, ok := p.listening.Load(c.Slot)
	if !ok {
		return false
	}
	return c.Verb == device.EStop || c.Verb == device.Disarm || listening.(func() bool)()
}

// change is a change of one registration.
type change struct {
	slot device.Slot
	with func(*device.Info)
}

// changesBound is how many changes of registrations may wait for the log. They come
// one or two for a device, when it is armed or disarmed.
const changesBound = 4096

// lived notes what a device has become in the registry.
func (p *Plant) lived(s device.Slot, state device.State) {
	p.change(s, func(i *device.Info) { i.State = state })
}

// Activate lets a device act that nobody has to arm, from now on: a recording, from when its
// device was armed.
func (p *Plant) Activate(s device.Slot) { p.lived(s, device.Active) }

// described fills in the registration what only the device itself knows.
func (p *Plant) described(s device.Slot, said device.Info) {
	p.change(s, func(i *device.Info) {
		fill := func(to *string, from string) { *to = cmp.Or(*to, from) }
		fill(&i.Manufacturer, said.Manufacturer)
		fill(&i.Model, said.Model)
		fill(&i.DeviceType, said.DeviceType)
		fill(&i.Serial, said.Serial)
		fill(&i.Firmware, said.Firmware)
		number := func(to *float64, from float64) {
			if *to == 0 && from > 0 && !math.IsInf(from, 0) {
				*to = from
			}
		}
		number(&i.RatedKW, said.RatedKW)
		number(&i.CapacityKWh, said.CapacityKWh)
		number(&i.SoCMin, said.SoCMin)
		number(&i.SoCMax, said.SoCMax)
		number(&i.VoltMin, said.VoltMin)
		number(&i.VoltMax, said.VoltMax)
	})
}

func (p *Plant) change(s device.Slot, with func(*device.Info)) {
	if p.sched.Virtual() { // not at once: a handler of the bus may not wait for it
		p.sched.At(p.sched.Now(), sched.Image, func(time.Time) { p.apply(context.Background(), change{s, with}) })
		return
	}
	select {
	case p.changes <- change{s, with}:
	default:
		p.log.Error("change of a registration dropped: too many wait for the log", "slot", s)
	}
}

// applyChanges writes changes to the log, in their order, until the plant closes: the
// loop must not wait for a disk.
func (p *Plant) applyChanges() {
	for {
		select {
		case c := <-p.changes:
			p.apply(p.life, c)
		case <-p.life.Done():
			return
		}
	}
}

func (p *Plant) apply(ctx context.Context, c change) {
	d, ok := p.Fleet.Device(c.slot)
	if !ok || d.Info.ID == "" {
		return
	}
	info := d.Info
	c.with(&info)
	if sameInfo(&info, &d.Info) {
		return
	}
	if _, err := p.Fleet.Register(device.WithSource(ctx, "gateway"), info, p.sched.Now().UnixMilli()); err != nil && ctx.Err() == nil {
		p.log.Error("change of a registration not stored", "device", info.ID, "error", err)
	}
}

package hil

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"yunchu/hil/can"
	"yunchu/hil/modbus"
	"yunchu/hil/mqtt"
	"yunchu/hil/record"
	"yunchu/hil/sunspec"
	"yunchu/platform/device"
)

// openLink opens the driver of one link of a device.
func openLink(d *Device, name string, l Link) (device.Driver, error) {
	tap := d.tap(name)
	switch l.Kind {
	case "can":
		p, err := can.LoadProfile(l.DBC)
		if err != nil {
			return nil, err
		}
		return can.New(can.Options{
			Address: l.Address, Profile: p, CurrentSign: l.BatteryPositive, Timeout: l.Timeout, Tap: tap, Timed: d.Timed,
		})
	case "modbus":
		return modbus.New(registers(d, l, tap))
	case "sunspec":
		conn, err := modbus.Dial(registers(d, l, tap))
		if err != nil {
			return nil, err
		}
		return openSunSpec(d, l, conn, false)
	case "mqtt":
		return mqtt.New(mqtt.Options{
			ID: d.ID, Timeout: l.Timeout, DeadMan: l.DeadMan, Log: d.Log, Tap: tap, Timed: d.Timed,
			Access: mqtt.Access{Address: l.Address, User: l.User, Password: l.Password, Cert: l.Cert, Key: l.Key, CA: l.CA},
		})
	}
	return nil, fmt.Errorf("kind %s cannot be opened by this version", l.Kind)
}

// registers are what Modbus needs to know, with or without a profile.
func registers(d *Device, l Link, tap device.Tap) modbus.Options {
	return modbus.Options{
		Address: l.Address, Unit: byte(l.Unit), Timeout: l.Timeout, Cert: l.Cert, Key: l.Key, CA: l.CA,
		Profile: l.Profile, DeadMan: l.DeadMan, Log: d.Log, Tap: tap, Timed: d.Timed,
	}
}

func openSunSpec(d *Device, l Link, conn modbus.Conn, mute bool) (device.Driver, error) {
	return sunspec.New(sunspec.Options{
		Conn: conn, Base: l.Base, Unit: byte(l.Unit), BatteryPositive: l.BatteryPositive, DeadMan: l.DeadMan, Log: d.Log, Mute: mute,
		Recorded: d.Recording != "" || d.Replayed != nil,
	})
}

// replayed is a driver whose links are answered from a recording. Time is what its
// caller says, and no other clock shows in what it answers.
type replayed struct {
	device.Driver
	links    []interface{ SetNow(time.Time) }
	id       device.ID     // as it was recorded
	shift    time.Duration // against when it was recorded
	ratedKW  float64
	commands []record.Command
	// The newest command that is taken for one of now: when it was given, and answered.
	given, told time.Time
}

// ahead is how much earlier or later than now a write may have been made when it was
// recorded: the jitter of a cycle, and the device's answer. It is for recordings that do
// not say what was asked for.
const ahead = 100 * time.Millisecond

// What is asked for now is taken for what was asked for then when it is so near to it: a
// busy machine has late cycles, and decides on readings a moment older.
const (
	nearTime = time.Second
	nearKW   = 0.005 // of the rating
)

// Read implements device.Driver.
func (r *replayed) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	r.setNow(r.untold(now))
	x, err := r.Driver.Read(ctx, now)
	x.Arrived = now.UnixMilli()
	return x, err
}

// Write implements device.Driver. A command that is like one that was recorded is that one,
// so that the device answers as it did, as soon as it did. Any other meets a device that
// does what it did then.
func (r *replayed) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	at, from, to := now, now.Add(-ahead), now.Add(ahead)
	if was := r.like(now, &c); was != nil {
		c.Power, r.given, r.told = was.PowerKW, was.At, was.Done
		at, from, to = now.Add(was.Done.Sub(was.At)), was.At, was.Done
	}
	r.setNow(to)
	for _, l := range r.links {
		if x, ok := l.(interface{ Exchange(from, to time.Time) }); ok {
			x.Exchange(from, to)
		}
	}
	a, err := r.Driver.Write(ctx, now, c)
	a.At = at.UnixMilli()
	return a, err
}

// like is the command of the recording that c is, if there is one: that which was given
// nearest to now.
func (r *replayed) like(now time.Time, c *device.Command) (best *record.Command) {
	near := nearTime
	for i := range r.commands {
		was := &r.commands[i]
		if was.Verb != c.Verb || c.Verb == device.SetPower && math.Abs(was.PowerKW-c.Power) > nearKW*r.ratedKW {
			continue
		}
		if d := was.At.Sub(now).Abs(); d <= near {
			best, near = was, d
		}
	}
	return best
}

// untold is now, or the moment before what the device was told by now and is about to be
// told again: it does not know yet.
func (r *replayed) untold(now time.Time) time.Time {
	for i := range r.commands {
		if at := r.commands[i].At; at.After(r.given) && !at.After(now) && now.Sub(at) < nearTime {
			return at
		}
	}
	return now
}

// setNow plays the links up to now, and never to before what the device has been told.
func (r *replayed) setNow(now time.Time) {
	if now.Before(r.told) {
		now = r.told
	}
	for _, l := range r.links {
		l.SetNow(now)
	}
}

// openReplay opens the driver that was recorded, over what it was answered then.
func openReplay(d Device) (device.Driver, error) {
	rec := d.Replayed
	if rec == nil {
		var err error
		if rec, err = record.Open(d.Recording); err != nil {
			return nil, err
		}
	}
	var was Device
	if err := json.Unmarshal(rec.Device, &was); err != nil {
		return nil, fmt.Errorf("recording %s: its device: %w", d.Recording, err)
	}
	start := d.Started
	if start.IsZero() {
		start = time.Now()
	}
	r := &replayed{id: rec.ID, shift: start.Sub(rec.Began), commands: rec.Commands(start), ratedKW: cmp.Or(rec.Info.RatedKW, was.RatedKW)}
	open := func(name string, l Link) (device.Driver, error) {
		x, err := r.openLink(&d, l, rec.Crossings(name, start))
		if err != nil {
			return nil, fmt.Errorf("recording %s: %w", d.Recording, err)
		}
		return x, nil
	}
	if len(was.Parts) == 0 {
		x, err := open("", was.Link)
		r.Driver = x
		return r, err
	}
	p := &Parts{}
	for name, to := range map[string]*device.Driver{"pcs": &p.PCS, "bms": &p.BMS, "meter": &p.Meter} {
		l, ok := was.Parts[name]
		if !ok {
			continue
		}
		x, err := open(name, l)
		if err != nil {
			return nil, err
		}
		*to = x
	}
	r.Driver = p
	return r, nil
}

var errReplay = errors.New("a recording of this kind of link cannot be replayed")

func (r *replayed) openLink(d *Device, l Link, list []device.Crossing) (device.Driver, error) {
	switch l.Kind {
	case "modbus":
		conn := modbus.NewReplay(list)
		r.links = append(r.links, conn)
		o := registers(d, l, nil)
		o.Conn = struct { // the driver sets no time
			modbus.Conn
			modbus.Single
		}{conn, conn}
		o.Mute = true
		return modbus.New(o)
	case "sunspec":
		conn := modbus.NewReplay(list)
		r.links = append(r.links, conn)
		return openSunSpec(d, l, conn, true)
	case "can":
		p, err := can.LoadProfile(l.DBC)
		if err != nil {
			return nil, err
		}
		bus, err := can.NewReplay(list)
		if err != nil {
			return nil, err
		}
		r.links = append(r.links, bus)
		return can.New(can.Options{
			Profile: p, CurrentSign: l.BatteryPositive, Timeout: l.Timeout,
			Dial: func(context.Context) (can.Bus, error) { return bus, nil },
		})
	case "mqtt":
		broker := mqtt.NewReplay(list, r.shift)
		r.links = append(r.links, broker)
		return mqtt.New(mqtt.Options{ID: r.id, Replay: broker, Log: d.Log})
	}
	return nil, fmt.Errorf("%s: %w", l.Kind, errReplay)
}

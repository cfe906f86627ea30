package sunspec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"yunchu/hil/modbus"
	"yunchu/platform/device"
)

// Options say which device is driven.
type Options struct {
	Conn modbus.Conn // to the unit; the driver closes it
	Base int         // address of the map, or Anywhere
	Unit byte        // of Conn, which Probe must know to ask another one
	// BatteryPositive is which way the device counts battery current: Charge (the
	// default) or Discharge.
	BatteryPositive string
	// DeadMan is after how long a device that hears no more of us goes to 0 by itself;
	// default DefaultDeadMan, in whole seconds.
	DeadMan time.Duration
	// Recorded: the device is answered from a recording. Its timers run as they did then, and
	// are not held against what it is told now.
	Recorded bool
	// Mute leaves heartbeats alone, ours and those of somebody who commands the device
	// too: those of a recording were made then.
	Mute bool
	Log  *slog.Logger
}

// The ways to count battery current.
const (
	Charge    = "charge"
	Discharge = "discharge"
)

// DefaultDeadMan outlives two lost renewals, which come every third of it.
const DefaultDeadMan = 6 * time.Second

// Driver is one SunSpec device.
type Driver struct {
	opt     Options
	sign    float64 // of battery points
	deadMan time.Duration
	layout  *layout // nil: the device is to be scanned

	mode     device.Mode
	stopped  bool // by EStop, until Reset
	stopping bool // EStop has not reached the device yet
	live     live
	master   time.Time // somebody else was found to command the device; zero: never
	beat     beat
	pulses   map[string]*pulse
	alarmed  map[place]bool // alarms that the device has told

	now        time.Time        // of the last Read or Write
	told       uint64           // commands that came
	kept       map[string]*kept // settings that the device takes back by itself, by name
	gone       time.Time        // the timer of a setpoint was found to be gone last
	distrusted time.Time        // until then the device gets no power
	remarks    []device.Remark
}

var (
	_ device.Driver     = (*Driver)(nil)
	_ device.Described  = (*Driver)(nil)
	_ device.Adjustable = (*Driver)(nil)
	_ device.Probed     = (*Driver)(nil)
	_ device.Remarking  = (*Driver)(nil)
)

// New returns a driver. The device need not be there; an error means that the options
// are wrong.
func New(o Options) (*Driver, error) {
	if o.Conn == nil {
		return nil, errors.New("a SunSpec device needs a connection")
	}
	if o.Base != Anywhere && (o.Base < 0 || o.Base >= addresses) {
		return nil, fmt.Errorf("base address %d, want 0 to %d, or %d to look for it", o.Base, addresses-1, Anywhere)
	}
	d := &Driver{opt: o, sign: 1, deadMan: cmp.Or(o.DeadMan, DefaultDeadMan), pulses: map[string]*pulse{}, alarmed: map[place]bool{}}
	switch o.BatteryPositive {
	case "", Charge:
	case Discharge:
		d.sign = -1
	default:
		return nil, fmt.Errorf("battery current counted positive when %q, want %s or %s", o.BatteryPositive, Charge, Discharge)
	}
	if d.deadMan < time.Second {
		return nil, fmt.Errorf("dead-man time of %v, want at least 1 s", o.DeadMan)
	}
	d.opt.DeadMan = d.deadMan
	if d.opt.Log == nil {
		d.opt.Log = slog.New(slog.DiscardHandler)
	}
	return d, nil
}

// Close implements device.Driver. A setpoint that is in force lapses by itself.
func (d *Driver) Close() error { return d.opt.Conn.Close() }

// connect scans the device unless that is done.
func (d *Driver) connect(ctx context.Context) error {
	if d.layout != nil {
		return nil
	}
	found, err := Scan(ctx, d.opt.Conn, d.opt.Base)
	if err != nil {
		return err
	}
	if !found.Ended {
		d.opt.Log.Warn("chain of models breaks off", "base", found.Base, "models", len(found.Blocks))
	}
	l := newLayout(found)
	if !found.Ended && l.power.block == nil && l.soc.block == nil && l.voltage.block == nil {
		return fmt.Errorf("%w at %d: it breaks off before anything that can be read", ErrNoMap, found.Base)
	}
	d.layout = l
	if s := d.layout.setter; s != nil && !s.revert().value().OK() {
		d.opt.Log.Warn("the device has no time to revert: it takes power only while it keeps a heartbeat", "model", s.revert().block.ID, "heartbeats", len(l.beats))
	}
	d.beat.forget()
	return nil
}

// fetch reads blocks. A device that refuses to be read across models is asked model by
// model from then on.
func (d *Driver) fetch(ctx context.Context, which func(*layout) []request) error {
	l := d.layout
	err := l.fetch(ctx, d.opt.Conn, which(l))
	if errors.Is(err, modbus.IllegalAddress) && !l.alone {
		l.alone = true
		l.plan()
		err = l.fetch(ctx, d.opt.Conn, which(l))
	}
	return err
}

func monitorPlan(l *layout) []request { return l.monitor }
func commandPlan(l *layout) []request { return l.command }
func controlPlan(l *layout) []request { return l.controls }

// lost notes an error after which nothing is known of the device any more. A refusal is
// none: then the link is up and the map where it was.
func (d *Driver) lost(err error) error {
	if errors.Is(err, device.ErrStopFirst) { // the stop needs the layout
		return err
	}
	if errors.Is(err, device.ErrOffline) || errors.Is(err, errMoved) {
		d.layout = nil
	}
	return err
}

// offline is err as what a caller of Read and Write branches on.
func offline(err error) error {
	if errors.Is(err, device.ErrOffline) {
		return err
	}
	return fmt.Errorf("%w: %w", device.ErrOffline, err)
}

// Read implements device.Driver. It also renews the setpoint in force, takes it back
// when its time is over, and beats the heart. While the device has yet to hear a stop, it is
// tried to be reached each second. A poll that fails in the middle is no
// reading; what fails after it is for the next one to find.
func (d *Driver) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	began := time.Now()
	d.now = now
	if x := &d.live; d.stopping || x.on && !x.until.IsZero() && !now.Before(x.until) {
		modbus.InsistOwed(d.opt.Conn)
	}
	err := d.connect(ctx)
	if err == nil {
		plan := monitorPlan
		if d.live.on || d.beat.begun {
			plan = commandPlan
		}
		err = d.fetch(ctx, plan)
	}
	if err != nil {
		return device.Reading{}, offline(d.lost(err))
	}
	arrived := now.Add(time.Since(began))
	d.watch(now)
	r := d.reading(now)
	r.At, r.Arrived = now.UnixMilli(), arrived.UnixMilli()
	if err := d.lost(d.upkeep(ctx, now)); err != nil {
		d.opt.Log.Warn("upkeep of setpoint and heartbeat", "error", err)
	} else if err := d.lost(d.keep(ctx, now)); err != nil {
		d.opt.Log.Warn("upkeep of settings that revert", "error", err)
	}
	return r, nil
}

// write writes registers of a block: one with the function for one, which SunSpec
// demands (Device Information Model Specification V1.2, 6.3) and some devices insist on.
func (d *Driver) write(ctx context.Context, b *Block, at int, regs []uint16) error {
	addr := uint16(b.Addr + at)
	if one, ok := d.opt.Conn.(modbus.Single); ok && len(regs) == 1 {
		return one.WriteOne(ctx, addr, regs[0])
	}
	return d.opt.Conn.Write(ctx, addr, regs)
}

package unit

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Wire is what is broken about the faces of a unit. The zero value is nothing.
type Wire struct {
	Late           time.Duration // answers come so much later
	Previous       bool          // each answer is that of the request before
	Exception      byte          // every request is answered with this Modbus exception; 0 none
	Reset          bool          // connections are torn down in the middle of an answer
	NotImplemented bool          // points answer that they are not implemented
	ScaleChange    bool          // scale factors are one decade larger than they were, with the values to match
	Lossy          bool          // every fifth CAN frame is lost
	BusOff         bool          // the CAN controller is off the bus
	Retained       bool          // the broker holds an old command
	Paused         bool          // the process of the unit stands still: it answers nothing
	Down           bool          // the link is cut
}

// values are faults of what is displayed.
type values struct {
	flip       bool
	heartbeat  *uint32
	soc, volts *float64
}

func (f *values) show(v *View, now time.Time) {
	if f.flip {
		v.ACW, v.ACVar, v.DCA, v.DCW = -v.ACW, -v.ACVar, -v.DCA, -v.DCW
	}
	if f.heartbeat != nil {
		v.Heartbeat = *f.heartbeat
	}
	if f.soc != nil {
		v.SoC = *f.soc
	}
	if f.volts != nil {
		v.DCV = *f.volts
	}
}

// master is somebody else who writes setpoints.
type master struct {
	w     float64
	every time.Duration
	at    time.Time
}

// Fault is what a test breaks, by the names of scenario files.
type Fault struct {
	Kind string
	By   time.Duration // of late-answer
	Code byte          // of exception
	ToC  float64       // of overheat
	KW   float64       // of second-master: what it writes
}

// secondMasterEvery is how often a second master writes.
const secondMasterEvery = time.Second

// Inject begins a fault at now and returns what ends it. ErrUnable for a kind that
// does not act in a served unit.
func (u *Unit) Inject(now time.Time, f Fault) (end func(now time.Time), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tick(now)
	begin, clear, err := u.fault(now, f)
	if err != nil {
		return nil, fmt.Errorf("fault %s of %s: %w", f.Kind, u.opt.ID, err)
	}
	begin()
	u.tick(now)
	return func(now time.Time) {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.tick(now)
		clear()
		u.tick(now)
	}, nil
}

func (u *Unit) fault(now time.Time, f Fault) (begin, clear func(), err error) {
	w, v := &u.wire, &u.values
	onOff := func(b *bool) (func(), func(), error) {
		return func() { *b = true }, func() { *b = false }, nil
	}
	switch f.Kind {
	case "late-answer":
		return func() { w.Late = cmp.Or(f.By, 1100*time.Millisecond) }, func() { w.Late = 0 }, nil
	case "previous-answer":
		return onOff(&w.Previous)
	case "exception":
		return func() { w.Exception = cmp.Or(f.Code, 4) }, func() { w.Exception = 0 }, nil
	case "reset":
		return onOff(&w.Reset)
	case "not-implemented":
		return onOff(&w.NotImplemented)
	case "scale-change":
		return onOff(&w.ScaleChange)
	case "frames-lost":
		return onOff(&w.Lossy)
	case "bus-off":
		return onOff(&w.BusOff)
	case "retained-command":
		return onOff(&w.Retained)
	case "pause":
		return onOff(&w.Paused)
	case "link-down":
		return onOff(&w.Down)
	case "sign-flip":
		return onOff(&v.flip)
	case "local":
		return onOff(&u.local)
	case "ramp-ignored":
		return func() { u.freeRamp = true; u.setRamp() }, func() { u.freeRamp = false; u.setRamp() }, nil
	case "heartbeat-frozen":
		n := u.view(now, false).Heartbeat
		return func() { v.heartbeat = &n }, func() { v.heartbeat = nil }, nil
	case "soc-frozen":
		soc := u.view(now, true).SoC
		return func() { v.soc = &soc }, func() { v.soc = nil }, nil
	case "voltage-frozen":
		volts := u.view(now, true).DCV
		return func() { v.volts = &volts }, func() { v.volts = nil }, nil
	case "second-master":
		kw := cmp.Or(f.KW, u.model.RatedKW/4)
		return func() { u.master = &master{w: kw * 1000, every: secondMasterEvery} }, func() { u.master = nil }, nil
	case "e-stop":
		return func() { u.press() }, func() { u.button = false }, nil
	case "contactor-open":
		return func() { u.stuck = true; u.open(true) }, func() { u.stuck = false; u.open(u.latched&protecting != 0) }, nil
	case "fan-fail":
		return func() { u.twin.FailFan(0, true); u.raised |= AlarmFan }, func() { u.twin.FailFan(0, false); u.raised &^= AlarmFan }, nil
	case "overheat":
		return func() { u.twin.Overheat(0, f.ToC+kelvin) }, func() { u.twin.Overheat(0, 0) }, nil
	}
	if a, ok := raised[f.Kind]; ok {
		return func() { u.raised |= a; u.trip(a) }, func() { u.raised &^= a }, nil
	}
	return nil, nil, ErrUnable
}

// raised are the protections that a test mode of the battery management raises.
var raised = map[string]Alarm{
	"over-voltage": AlarmOverVolt, "under-voltage": AlarmUnderVolt, "over-temperature": AlarmOverTemp,
	"under-temperature": AlarmUnderTemp, "over-current": AlarmOverCurrent, "ground-fault": AlarmGround,
}

// protecting are the alarms that take permissions away.
const protecting = AlarmOverVolt | AlarmUnderVolt | AlarmOverTemp | AlarmUnderTemp | AlarmOverCurrent | AlarmGround | AlarmEStop

// Kinds are the faults that a unit knows.
func Kinds() []string {
	kinds := []string{
		"late-answer", "previous-answer", "exception", "reset", "not-implemented", "scale-change", "frames-lost", "bus-off", "retained-command",
		"pause", "link-down", "sign-flip", "local", "ramp-ignored", "heartbeat-frozen", "soc-frozen", "voltage-frozen", "second-master", "e-stop",
		"contactor-open",
		"fan-fail", "overheat",
	}
	for k := range raised {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	return kinds
}

// trip is what a protection does: the contactors open at once, the setpoint is gone,
// and only Acknowledge closes them again.
func (u *Unit) trip(a Alarm) {
	u.latched |= a
	u.set.lapsed = true
	u.open(true)
}

// open opens the contactors or closes them, where they can be closed.
func (u *Unit) open(opened bool) {
	opened = opened || u.stuck
	if u.opened != opened {
		u.opened = opened
		u.switched(opened)
	}
}

// switched tells the twin of its contactors.
func (u *Unit) switched(opened bool) {
	u.effective = 0
	u.twin.OpenContactor(0, opened)
}

func (u *Unit) press() {
	u.button, u.stopped, u.started = true, true, false
	u.set.lapsed = true
	u.effective = 0
	u.twin.EmergencyStop(0, true)
}

// EStop presses the button from outside: it latches like the real one, which
// Acknowledge lifts.
func (u *Unit) EStop(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tick(now)
	u.press()
	u.button = false
	u.tick(now)
}

// Grid changes the grid that the unit stands at: Hz, and V in parts of the nominal
// voltage.
func (u *Unit) Grid(now time.Time, hz, pu float64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tick(now)
	if !(hz > 0 && hz < 100) || !(pu >= 0 && pu < 2) || math.IsNaN(hz+pu) {
		return fmt.Errorf("a grid of %g Hz at %g of its voltage: %w", hz, pu, ErrRange)
	}
	u.hz, u.pu = hz, pu
	u.tick(now)
	return nil
}

// Wire is what is broken about the unit's faces now.
func (u *Unit) Wire() Wire {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.wire
}

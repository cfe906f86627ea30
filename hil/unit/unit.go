// Package unit is one storage unit as it is served to somebody else's controller: a
// twin of its battery and converter, the control panel that all of its faces share,
// and what can be broken about it. The faces themselves (SunSpec, plain registers,
// CAN, MQTT) are the emulators, which show a View and turn what is written to them
// into orders.
//
// Signs are passive and units SI: watts and amperes are positive into the unit. What a
// protocol counts the other way round is converted where its registers are.
//
// A unit starts connected, started and remote. A setpoint lasts for ever, unless the
// writer gave a time to revert, or has begun a heartbeat: from its first beat on,
// silence for longer than the watchdog takes the power to zero, where it stays until a
// new setpoint is written.
package unit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"yunchu/twin"
	"yunchu/twin/params"
)

// Errors of what is written to a unit.
var (
	// ErrLocal: the switch on the panel says local, nobody writes from outside.
	ErrLocal = errors.New("the unit is in local control")
	// ErrRange: the value is beyond what the unit takes.
	ErrRange = errors.New("out of range")
	// ErrUnable: the unit has no such ability.
	ErrUnable = errors.New("not able to")
)

// DefaultWatchdog is how long a heartbeat that has begun may be silent: five missed
// beats of one a second, the patience that battery managements have with an inverter.
const DefaultWatchdog = 5 * time.Second

// Options say what is served.
type Options struct {
	ID       string
	Model    *params.Model
	SoC      float64 // percent
	Seed     uint64
	AmbientC float64 // °C
	Start    time.Time
	Watchdog time.Duration // 0: DefaultWatchdog
	Response *Response     // to frequency; nil: none
	Ramp     float64       // share of rated power a second to begin with; 0: its register is not implemented
}

// Response is how the unit supports the frequency of the grid by itself: outside the
// dead band its power moves by one rated power for a deviation of Droop x NominalHz.
type Response struct {
	DeadbandHz   float64 // Hz to either side
	DroopPercent float64 // of the nominal frequency
	LimitPercent float64 // of rated power, at most
}

// NominalHz and NominalV are the grid that a unit stands at.
const (
	NominalHz = 50.0
	NominalV  = 400.0 // V, line to line
)

// The unit leaves the grid when the voltage is outside this window, in parts of
// NominalV, for longer than rideThrough, and comes back when it has been within for
// reconnect. An assumption of the class: wider than the 86 % to 109 % of GB/T 36548 in
// which a unit must not trip.
const (
	leastV      = 0.80
	mostV       = 1.15
	rideThrough = 200 * time.Millisecond
	reconnect   = 5 * time.Second
)

// Op is what the unit can be told to do.
type Op uint8

// The operations of SunSpec 715, which others have under other names.
const (
	OpStop Op = iota
	OpStart
	OpStandby
	OpLeaveStandby
)

// Unit is one served unit. All methods may be called from any goroutine; now is the
// instant of the call and moves the physics on.
type Unit struct {
	mu    sync.Mutex
	twin  *twin.Fleet
	model *params.Model
	opt   Options

	controls
	effective float64 // W that the twin was told
	freeRamp  bool    // its ramp is shown, and does nothing
	local     bool
	button    bool // of the emergency stop, pressed

	hz, pu  float64   // of the grid
	outside time.Time // since when the voltage is outside the window
	within  time.Time // since when it is inside again, while tripped
	tripped bool      // by voltage

	wire   Wire
	values values
	since  time.Time
	stuck  bool // the contactors do not close
	master *master
	raised Alarm // causes that are there
}

// controls are what a unit was told and has made of it, as values: what several orders
// come to is known before any of it is so.
type controls struct {
	set     setpoint
	beat    beat
	limit   limit
	ramp    float64 // share of rated power a second; NaN: the register is not implemented
	reserve float64 // percent of charge that is kept; NaN: none

	connected bool      // as asked
	closes    time.Time // the switch that was opened; zero: when it is asked to
	opened    bool      // the contactors are
	started   bool
	standby   bool
	stopped   bool  // emergency stop is latched
	latched   Alarm // what protections have tripped on, until it is acknowledged
}

// setpoint is what was written last.
type setpoint struct {
	w      float64
	by     string
	at     time.Time
	until  time.Time // zero: for ever
	lapsed bool      // the time is over, or the heartbeat silent: 0 until it is written anew
}

// limit is a bound on the power of both directions.
type limit struct {
	share float64 // of rated power
	on    bool
	until time.Time
}

// beat is the heartbeat of whoever commands the unit.
type beat struct {
	begun bool
	n     uint32
	at    time.Time
	lost  bool
}

// New returns a unit at rest.
func New(o Options) (*Unit, error) {
	o.Watchdog = cmp.Or(o.Watchdog, DefaultWatchdog)
	t, err := twin.NewFleet(o.Model, []string{o.ID}, twin.Options{
		Seed: o.Seed, SoCMean: o.SoC, AmbientK: o.AmbientC + kelvin, Start: o.Start, MaxStep: time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", o.ID, err)
	}
	if r := o.Response; r != nil && !(r.DroopPercent > 0 && r.DeadbandHz >= 0) {
		return nil, fmt.Errorf("serve %s: frequency response with a dead band of %g Hz and a droop of %g %%", o.ID, r.DeadbandHz, r.DroopPercent)
	}
	u := &Unit{
		twin: t, model: o.Model, opt: o, since: o.Start, hz: NominalHz, pu: 1,
		controls: controls{ramp: math.NaN(), reserve: math.NaN(), limit: limit{share: 1}, connected: true, started: true},
	}
	if o.Ramp != 0 {
		if err := u.Do(o.Start, Ramp(o.Ramp)); err != nil {
			return nil, fmt.Errorf("serve %s: %w", o.ID, err)
		}
	}
	return u, nil
}

const kelvin = 273.15

// ID is the unit's name.
func (u *Unit) ID() string { return u.opt.ID }

// Model is what the twin is built from.
func (u *Unit) Model() *params.Model { return u.model }

// tickEvery is how often the panel looks at its timers: a tenth of the shortest time
// that a test of a unit resolves.
const tickEvery = 10 * time.Millisecond

// Run lets the unit's timers run on the wall clock until ctx ends.
func (u *Unit) Run(ctx context.Context) error {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			u.Tick(now)
		}
	}
}

// Tick moves physics and panel on to now.
func (u *Unit) Tick(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tick(now)
}

func (u *Unit) tick(now time.Time) {
	u.guardGrid(now)
	if m := u.master; m != nil && now.Sub(m.at) >= m.every {
		m.at = now
		u.set = setpoint{w: m.w, by: "second master", at: now}
	}
	if s := &u.set; !s.lapsed && !s.until.IsZero() && !now.Before(s.until) {
		s.lapsed = true
	}
	if l := &u.limit; l.on && !l.until.IsZero() && !now.Before(l.until) {
		*l = limit{share: 1}
	}
	if !u.closes.IsZero() && !now.Before(u.closes) {
		u.connected, u.closes = true, time.Time{}
	}
	if b := &u.beat; b.begun && !b.lost && now.Sub(b.at) > u.opt.Watchdog {
		b.lost = true
		u.set.lapsed = true
	}
	u.apply(now)
	u.twin.Step(now)
}

// apply tells the twin what the panel comes to, where that has changed.
func (u *Unit) apply(now time.Time) {
	w := u.wanted()
	if w == u.effective {
		return
	}
	u.twin.Step(now)
	if u.twin.SetPower(0, now, w, time.Time{}) || w == 0 {
		u.effective = w
	}
}

// wanted is the power that the unit is to have, in W.
func (u *Unit) wanted() float64 {
	if !u.running() {
		return 0
	}
	rated := u.model.RatedKW * 1000
	w := 0.0
	if !u.set.lapsed {
		w = u.set.w
	}
	w += u.support() * rated
	bound := rated
	if u.limit.on {
		bound = min(bound, u.limit.share*rated)
	}
	if !math.IsNaN(u.reserve) && w < 0 && 100*u.twin.State(0).SoC <= u.reserve {
		w = 0
	}
	return min(max(w, -bound), bound)
}

// running reports whether the converter may move power.
func (u *Unit) running() bool {
	return u.connected && u.started && !u.standby && !u.stopped && !u.tripped && !u.opened
}

// support is the answer to the frequency in parts of rated power: charging when it is
// high. Power moves by one rated power per DroopPercent of the nominal frequency that
// lies outside the dead band.
func (u *Unit) support() float64 {
	r := u.opt.Response
	if r == nil {
		return 0
	}
	d := u.hz - NominalHz
	off := max(math.Abs(d)-r.DeadbandHz, 0)
	most := cmp.Or(r.LimitPercent, 100) / 100
	return math.Copysign(min(off/(NominalHz*r.DroopPercent/100), most), d)
}

// guardGrid takes the unit off a grid whose voltage is not fit.
func (u *Unit) guardGrid(now time.Time) {
	if fit := u.pu >= leastV && u.pu <= mostV; fit {
		u.outside = time.Time{}
		if !u.tripped {
			return
		}
		if u.within.IsZero() {
			u.within = now
		}
		if now.Sub(u.within) >= reconnect {
			u.tripped = false
		}
		return
	}
	u.within = time.Time{}
	if u.outside.IsZero() {
		u.outside = now
	}
	if now.Sub(u.outside) >= rideThrough {
		u.tripped = true
	}
}

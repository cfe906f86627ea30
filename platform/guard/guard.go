// Package guard is the safety envelope between everybody who commands and every
// device, as a pure state machine: commands and readings go in with the time,
// verdicts and corrections come out. Nothing reaches a device but through it, and
// no order of inputs makes an output leave the envelope.
//
// A setpoint that is taken holds its device until it expires; a weaker priority
// is refused meanwhile. What is asked beyond the device's rating is refused, what
// is asked beyond what the device can do at this moment is reduced.
//
// The guard learns how a command ended from Settle: what a device has refused is
// not in force, and holds nobody off. Its own corrections are repeated until the
// device has taken them.
package guard

import (
	"fmt"
	"math"
	"time"

	"yunchu/platform/device"
)

// Codes of refusals, stable for API clients.
const (
	CodeUnknown   = "UNKNOWN_DEVICE"
	CodeNotActive = "NOT_ACTIVE"
	CodeStale     = "STALE_COMMAND"
	CodeHeld      = "HELD"
	CodeRange     = "OUT_OF_RANGE"
	CodeEnvelope  = "ENVELOPE"
	CodeMode      = "MAINTENANCE"
	CodeMalformed = "MALFORMED"
	CodeNotArmed  = "NOT_ARMED"
	CodeEStop     = "E_STOP"
	CodeRate      = "RATE_LIMIT"
	CodeLease     = "LEASE"
	CodeSign      = "WRONG_SIGN"
	CodeTwin      = "TWIN_DIFFERS"

	// CodeUnsupported is the answer of drivers whose device has no such command.
	CodeUnsupported = "UNSUPPORTED"
)

// Limits of time.
const (
	// MaxAge is how old a command may be when it is accepted.
	MaxAge = 60 * time.Second
	// MaxAhead is how far in the future it may have been issued.
	MaxAhead = 5 * time.Second
	// MaxDuration bounds how long a stop or a mode may hold a device, and every lease.
	MaxDuration = 7 * 24 * time.Hour
	// DefaultLease is how long a setpoint may hold without being renewed.
	DefaultLease = 24 * time.Hour
)

// maxGap is how far beyond all known slots a new one may lie. Slots are given
// densely but for registrations that failed; a number far out is a damaged one,
// and must not cost memory for all that lie between.
const maxGap = 1 << 16

// Envelope is what one device may be asked to do. Powers in kW, both positive.
type Envelope struct {
	RatedKW        float64 // in either direction; 0 refuses every power but 0
	CapKW          float64 // a cap below the rating; 0 = none
	SoCMin, SoCMax float64 // percent; discharging stops at SoCMin, charging at SoCMax
	SoCHysteresis  float64 // percent that the state of charge must come back before power is allowed again
	TempMin        float64 // °C; no charging at or below
	TempMax        float64 // °C; no power at or above
	TempHysteresis float64 // K
	VoltMin        float64 // V, DC: no discharging at or below; 0 = none
	VoltMax        float64 // V, DC: no charging at or above; 0 = none
	VoltHysteresis float64 // V
	RampKWPerS     float64 // how much its setpoint may change within a second; 0 = no bound
	PerSecond      int     // setpoints that it takes within any second, but for those that need not wait; 0 = no bound

	// NeedsSoC and so on: without a value no power, as a window would be kept blindly.
	NeedsSoC, NeedsTemp, NeedsVolt bool

	// WithoutSoC: on a wire it may be armed although it does not say its state of charge.
	WithoutSoC bool

	// Wired: on a wire it acts only while it is armed. StaleAfter is how old its
	// newest good reading may be; older, its link counts as lost.
	Wired      bool
	StaleAfter time.Duration
}

// What a device on a wire is held to. A setpoint every 50 ms is more than any
// controller of storage sends; a link is lost after three readings, and after 2 s.
const (
	wiredPerSecond = 20
	leastStale     = 2 * time.Second
	stalePolls     = 3
)

// How far the state of charge, the temperature and the voltage must come back into their
// windows before power is allowed again, at most a quarter of the window. The voltage of a
// battery at rated power lies 1 or 2 % from that at rest: less would let it begin again as
// soon as it has stopped.
const (
	socHysteresis  = 0.5  // percent
	tempHysteresis = 3    // K
	voltHysteresis = 0.02 // of the larger bound
)

// hysteresis is that of a window.
func hysteresis(usual, low, top float64) float64 { return min(usual, max(0, top-low)/4) }

// EnvelopeOf is the envelope of a device by its registration: by the tightest of its
// nameplate and of what people have set. A window that somebody has set needs to be
// looked through: a device that does not say where it is gets no power.
func EnvelopeOf(i *device.Info) Envelope {
	l := i.Acting()
	e := Envelope{
		RatedKW: i.RatedKW, CapKW: l.CapKW, RampKWPerS: l.RampKWPerS,
		SoCMin: l.SoC[0], SoCMax: l.SoC[1], SoCHysteresis: hysteresis(socHysteresis, l.SoC[0], l.SoC[1]),
		TempMin: l.Temperature[0], TempMax: l.Temperature[1], TempHysteresis: hysteresis(tempHysteresis, l.Temperature[0], l.Temperature[1]),
		VoltMin: l.Voltage[0], VoltMax: l.Voltage[1],
	}
	if e.VoltMax == math.MaxFloat64 { // it has a lower bound alone
		e.VoltMax, e.VoltHysteresis = 0, voltHysteresis*e.VoltMin
	} else {
		e.VoltHysteresis = hysteresis(voltHysteresis*e.VoltMax, e.VoltMin, e.VoltMax)
	}
	for _, by := range [...]*device.Limits{&i.Limits, &i.Narrowed} {
		e.NeedsSoC = e.NeedsSoC || by.SoC.Set()
		e.NeedsVolt = e.NeedsVolt || by.Voltage.Set()
		e.NeedsTemp = e.NeedsTemp || by.Temperature.Set()
	}
	if i.Wired() {
		e.Wired, e.PerSecond = true, wiredPerSecond
		e.WithoutSoC = i.ArmWithoutSoC || i.Kind == "edge" // the guard of its site looks after that
		e.StaleAfter = max(leastStale, stalePolls*time.Duration(i.PollMS)*time.Millisecond)
	}
	return e
}

// power is the largest power in either direction. An envelope with a value that
// makes no sense allows nothing.
func (e *Envelope) power() (kw float64, why string) {
	for _, v := range [...]float64{
		e.SoCMin, e.SoCMax, e.SoCHysteresis, e.TempMin, e.TempMax, e.TempHysteresis, e.VoltMin, e.VoltMax, e.VoltHysteresis,
	} {
		if !device.Finite(v) {
			return 0, "envelope not valid"
		}
	}
	switch {
	case !(e.RatedKW >= 0) || math.IsInf(e.RatedKW, 0) || !(e.CapKW >= 0):
		return 0, "envelope not valid"
	case e.CapKW > 0 && e.CapKW < e.RatedKW:
		return e.CapKW, "cap"
	}
	return e.RatedKW, "rating"
}

// Guard judges commands for the devices of one plant. The zero value has no
// fleet ramp limit. It is used by one goroutine.
type Guard struct {
	// RampKWPerS bounds how far commands may take the sum of all setpoints, in either
	// direction, from all that it was in the last second; 0 = no bound. What makes devices
	// safe is never delayed by it, but counts in it: setpoints of Safety priority as far as
	// they go towards 0, stop, release and changes of mode, expiry, and the guard's own
	// corrections. Where those have gone further, nothing else goes on that way. Sign tests
	// are none of them: they wait for their turn.
	RampKWPerS float64
	// Lease is how long a setpoint may hold without being renewed, at most MaxDuration;
	// 0 = DefaultLease. A longer one is refused. PlannerLease is that of dispatch, which
	// renews in every cycle; 0 = Lease.
	Lease, PlannerLease time.Duration
	// CommandsPerS is how many commands the fleet takes within any second; 0 =
	// DefaultPerDevice for each device, at least DefaultPerSecond. What brings a device to
	// rest is no part of them and is never refused for them.
	CommandsPerS int

	devices []state
	ramp    ramp
	soonest int64 // ms, no power in force changes by itself before
	heeded  int64 // ms, when that was looked for last
	flow    flow
	round   uint64 // counts groups of commands for different devices

	// Reductions and Refusals count interventions.
	Reductions, Refusals uint64

	notices []Notice
	bounds  []Bound
}

// state is all that is known of one device.
type state struct {
	known  bool
	active bool
	env    Envelope // that acts: base within what the device tells of itself
	base   Envelope // by its registration
	itself device.OwnWindows
	theirs uint8   // edges of env that are the device's, by their bit
	rated  float64 // kW, the newest rating that was one
	most   float64 // kW, of env.power and the nameplate
	by     string  // what sets it
	plate  float64 // kW, of its nameplate; 0: it has told none

	at       int64 // ms, of the newest reading that was believed
	arrived  int64 // ms, when it arrived
	soc      float64
	temp     float64
	charge   float64 // kW the device says it can take; NaN = does not say
	give     float64 // kW the device says it can give
	noCharge bool    // blocked until the hysteresis is passed
	noGive   bool
	hot      bool
	cold     bool
	volt     float64 // V, DC
	amps     bool    // it reports a current
	high     bool    // the voltage is too high to charge
	low      bool    // and too low to discharge
	told     told    // what was last said of its limits
	moved    bool    // something that bounds the power was heard of since the last look

	again bool // the setpoint in force is handed to the device once more

	doubt *doubt // what is wrong with the newest reading, of a device on a wire; nil: nothing

	life life  // whether it may act at all, beyond what active says
	twin *twin // what its sign test is held against; nil: nothing
	own  *ramp // of its own setpoint; nil: it has none
	rate rate

	ramped float64 // kW, the power in force of which the ramps have taken note

	set    setpoint // in force
	before setpoint // in force again when the device does not take what is asked last
	asked  request  // what set came from, until it is settled
	busy   busy     // with what it was told
	fix    fix      // the correction that the device has yet to take

	earlier earlier // what asked has replaced before its answer came

	corrections uint64 // commands of the guard's own so far, which their answers tell apart
	round       uint64 // the group of commands that it was last in
}

// setpoint is what a device has been told.
type setpoint struct {
	mode     device.Mode
	priority device.Priority
	power    float64 // kW
	doubt    float64 // kW, of the other sign: what the device may run at instead of power; 0 = power is sure
	until    int64   // ms, when the power expires
	hold     int64   // ms, until when weaker priorities are refused
	source   string
}

// earlier is what was asked before asked and was open then.
type earlier struct {
	request
	was, set setpoint // without and with it
}

// request tells the commands for one device apart.
type request struct {
	seq        uint64
	id, source string
}

// live is the power in force at now: 0 when it has expired.
func (s *setpoint) live(now int64) float64 {
	if s.until > now {
		return s.power
	}
	return 0
}

// Set makes the device known, or changes its envelope and life cycle. Devices
// that are not active are refused all commands, and one that acts is stopped; one on a
// wire whose rating is raised has to be armed again. An
// error means that the slot is not one that a registry gives out.
func (g *Guard) Set(s device.Slot, e Envelope, life device.State) error {
	if int64(s) > int64(len(g.devices))+maxGap {
		return fmt.Errorf("slot %d lies far beyond the %d that are known", s, len(g.devices))
	}
	for int(s) >= len(g.devices) {
		g.devices = append(g.devices, state{})
	}
	d := &g.devices[s]
	if !d.known {
		d.known = true
		d.soc, d.temp, d.charge, d.give, d.volt = math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN()
		d.itself = device.Untold()
	}
	if was := d.rated; was > 0 && e.RatedKW > was && (d.life.armed || d.life.test.running()) {
		g.bar(s, d, fmt.Sprintf("its rating was raised from %.6g kW to %.6g kW", was, e.RatedKW)) // it was tested by the other
	}
	if e.RatedKW > 0 {
		d.rated = e.RatedKW
	}
	if !(e.RampKWPerS > 0) {
		d.own = nil
	} else if d.own == nil {
		d.own = new(ramp)
	}
	d.base, d.active = e, life == device.Active
	d.env, d.theirs = e.within(&d.itself)
	d.bound()
	g.latch(s, d)
	return nil
}

// bound is the most power that the device may have.
func (d *state) bound() {
	d.most, d.by = d.env.power()
	if d.plate > 0 && d.plate < d.most {
		d.most, d.by = d.plate, "nameplate"
	}
	d.moved = true
}

// Plate takes note of the rated power, kW, that a device gives of itself: it never gets more
// than that. 0: it gives none.
func (g *Guard) Plate(s device.Slot, kw float64) {
	if d := g.device(s); d != nil && device.Finite(kw) && kw >= 0 {
		d.plate = kw
		d.bound()
	}
}

// device is the state of a known device, nil for any other.
func (g *Guard) device(s device.Slot) *state {
	if int(s) >= len(g.devices) || !g.devices[s].known {
		return nil
	}
	return &g.devices[s]
}

// Observe takes note of a reading. One that was measured before what is known is
// passed over; one that claims to be from the future is as new as its arrival.
// Only good ones are believed, but for a temperature above the one that is known:
// it counts whoever doubts it.
func (g *Guard) Observe(r *device.Reading) {
	d := g.device(r.Slot)
	if d == nil {
		return
	}
	at := r.At
	if r.Arrived > 0 {
		at = min(at, r.Arrived)
	}
	if at < d.at && r.Arrived >= d.arrived { // an arrival that goes back is the clock's doing
		return
	}
	gone := d.mute(r)
	good := r.Quality == device.Good && gone == ""
	if good || !d.env.Wired {
		d.doubt = nil
	} else {
		d.doubt = d.doubt.and(r, gone)
	}
	if gap := d.gap(r); good && d.env.Wired && (d.arrived == 0 || d.silence(r.Arrived) > d.env.StaleAfter) {
		if d.life.armed || d.life.test.running() {
			g.bar(r.Slot, d, d.lost(gap))
		}
		d.fix.sent, d.life.rest.sent, d.life.tell.sent = 0, 0, 0 // it can be reached again: what it did not take meanwhile does not wait
	}
	d.amps = d.amps || good && !math.IsNaN(r.Current)
	if good {
		d.at, d.arrived = at, r.Arrived
		d.busy.told = 0
		d.soc, d.volt = r.SoC, r.Voltage
		if !d.env.Wired || !math.IsNaN(r.MaxCharge) {
			d.charge = r.MaxCharge
		}
		if !d.env.Wired || !math.IsNaN(r.MaxDischarge) {
			d.give = r.MaxDischarge
		}
	}
	if r.Quality == device.Suspect {
		d.narrow(r)
	}
	d.tells(r, good)
	g.watch(r, d)
	if good || r.Temperature > d.temp || math.IsNaN(d.temp) {
		d.temp = r.Temperature
	}
	g.latch(r.Slot, d)
}

// narrow lets a device on a wire lower its own limits with a reading that is not believed
// otherwise.
func (d *state) narrow(r *device.Reading) {
	if !d.env.Wired {
		return
	}
	for _, x := range []struct {
		limit *float64
		now   float64
	}{{&d.charge, r.MaxCharge}, {&d.give, r.MaxDischarge}} {
		if x.now < *x.limit || math.IsNaN(*x.limit) { // NaN says nothing
			*x.limit, d.moved = x.now, true
		}
	}
}

// mute says what a device on a wire has ceased to say although its envelope is kept by it:
// that is no better than silence. A limit of power that it ceases to state stays in force.
func (d *state) mute(r *device.Reading) string {
	e := &d.env
	gone := func(was, is float64) bool { return math.IsNaN(is) && !math.IsNaN(was) }
	switch {
	case !e.Wired:
	case gone(d.soc, r.SoC):
		return "state of charge"
	case gone(d.temp, r.Temperature):
		return "temperature"
	case e.volts() && gone(d.volt, r.Voltage):
		return "voltage"
	}
	return ""
}

// latch blocks what the state of charge and the temperature forbid. What they do
// not say leaves it as it is.
func (d *state) latch() {
	e := &d.env
	latch(&d.noGive, d.soc <= e.SoCMin, d.soc >= e.SoCMin+e.SoCHysteresis)
	latch(&d.noCharge, d.soc >= e.SoCMax, d.soc <= e.SoCMax-e.SoCHysteresis)
	latch(&d.hot, d.temp >= e.TempMax, d.temp <= e.TempMax-e.TempHysteresis)
	latch(&d.cold, d.temp <= e.TempMin, d.temp >= e.TempMin+e.TempHysteresis)
	latch(&d.low, d.volt <= e.VoltMin && e.VoltMin > 0, d.volt >= e.VoltMin+e.VoltHysteresis || e.VoltMin == 0)
	latch(&d.high, d.volt >= e.VoltMax && e.VoltMax > 0, d.volt <= e.VoltMax-e.VoltHysteresis || e.VoltMax == 0)
	d.moved = true
}

func latch(b *bool, set, clear bool) {
	if set {
		*b = true
	} else if clear {
		*b = false
	}
}

// blind says which value is missing that a window is kept by, "" for none.
func (d *state) blind() string {
	switch e := &d.env; {
	case e.NeedsSoC && math.IsNaN(d.soc):
		return "state of charge not known"
	case e.NeedsTemp && math.IsNaN(d.temp):
		return "temperature not known"
	case e.NeedsVolt && math.IsNaN(d.volt):
		return "voltage not known"
	}
	return ""
}

// window is the power that a device may have, lo <= 0 <= hi, and what sets each
// side.
type window struct {
	lo, hi    float64 // kW
	low, high string
}

func (w *window) clamp(kw float64) float64 { return min(max(kw, w.lo), w.hi) }

// why is what keeps a device from kw.
func (w *window) why(kw float64) string {
	if kw < 0 {
		return w.low
	}
	return w.high
}

func (d *state) window() window {
	if why := d.barred(); why != "" {
		return window{0, 0, why, why}
	}
	switch {
	case d.hot:
		return window{0, 0, "temperature high", "temperature high"}
	case d.blind() != "":
		return window{0, 0, d.blind(), d.blind()}
	case d.set.mode != device.Run:
		return window{0, 0, "not in mode run", "not in mode run"}
	}
	kw, why := d.most, d.by
	if d.life.test.running() {
		kw, why = min(kw, testMost*d.env.RatedKW), "sign test"
	}
	w := window{-kw, kw, why, why}
	if l := min(0, -d.give); l > w.lo { // NaN compares false
		w.lo, w.low = l, "device limit"
	}
	if h := max(0, d.charge); h < w.hi {
		w.hi, w.high = h, "device limit"
	}
	if d.noGive {
		w.lo, w.low = 0, "state of charge low"
	}
	if d.noCharge {
		w.hi, w.high = 0, "state of charge high"
	}
	if d.low {
		w.lo, w.low = 0, "voltage low"
	}
	if d.high {
		w.hi, w.high = 0, "voltage high"
	}
	if d.cold {
		w.hi, w.high = 0, "temperature low"
	}
	return w
}

// Sides are the power that the device may have now, lo <= 0 <= hi, kW, and what sets either
// side.
func (g *Guard) Sides(s device.Slot) (lo, hi float64, low, high string) {
	d := g.device(s)
	if d == nil {
		return 0, 0, "not known", "not known"
	}
	w := d.window()
	return w.lo, w.hi, w.low, w.high
}

// Window is the power that the device may have now, for those who plan: lo <= 0
// <= hi, and what sets the narrower side.
func (g *Guard) Window(s device.Slot) (lo, hi float64, why string) {
	d := g.device(s)
	if d == nil {
		return 0, 0, "not known"
	}
	w := d.window()
	if -w.lo < w.hi {
		return w.lo, w.hi, w.low
	}
	return w.lo, w.hi, w.high
}

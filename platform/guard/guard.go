// Package guard is the safety envelope between everybody who commands and every
// device, as a pure state machine: commands and readings go in with the time,
// verdicts and corrections come out. Nothing reaches a device but through it, and
// no order of inputs makes an output leave the envelope.
//
// A setpoint that is taken holds its device until it expires; a weaker priority
// is refused meanwhile. What is asked beyond the device's rating is refused, what
// is asked beyond what the device can do at this moment is reduced.
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
)

// Limits of time.
const (
	// MaxAge is how old a command may be when it is accepted.
	MaxAge = 60 * time.Second
	// MaxAhead is how far in the future it may have been issued.
	MaxAhead = 5 * time.Second
	// MaxDuration bounds how long one setpoint may hold.
	MaxDuration = 7 * 24 * time.Hour
)

// Envelope is what one device may be asked to do. Powers in kW, both positive.
type Envelope struct {
	RatedKW        float64 // in either direction; 0 refuses every power but 0
	CapKW          float64 // a cap below the rating; 0 = none
	SoCMin, SoCMax float64 // percent; discharging stops at SoCMin, charging at SoCMax
	SoCHysteresis  float64 // percent that the state of charge must come back before power is allowed again
	TempMin        float64 // °C; no charging below
	TempMax        float64 // °C; no power above
	TempHysteresis float64 // K
}

// EnvelopeOf is the envelope of a device by its nameplate. Without a stated
// window the whole range of charge is allowed. 0 °C is the usual lower bound for
// charging lithium iron phosphate cells, 60 °C the usual upper bound of use.
func EnvelopeOf(i *device.Info) Envelope {
	e := Envelope{
		RatedKW: i.RatedKW, CapKW: i.CapKW, SoCMin: i.SoCMin, SoCMax: i.SoCMax, SoCHysteresis: 0.5,
		TempMin: 0, TempMax: 60, TempHysteresis: 3,
	}
	if e.SoCMax == 0 {
		e.SoCMax = 100
	}
	return e
}

// Verdict is what the guard makes of a command. Power is what may be handed to
// the device; Code is empty when the command is allowed.
type Verdict struct {
	Power   float64
	Before  float64 // the setpoint that was in force, kW
	Until   int64
	Reduced bool
	Code    string
	Reason  string
}

// Guard judges commands for the devices of one plant. The zero value has no
// fleet ramp limit. It is used by one goroutine.
type Guard struct {
	// RampKWPerS bounds how fast the sum of all setpoints may change, in either
	// direction; 0 = no bound. Commands of Safety priority are exempt: they may
	// always go to a safe state.
	RampKWPerS float64

	devices []state
	budget  float64 // kW that the sum may change by now
	filled  int64   // ms, when budget was last filled

	// Reductions and Refusals count interventions.
	Reductions, Refusals uint64
}

type state struct {
	known    bool
	active   bool
	env      Envelope
	soc      float64
	temp     float64
	charge   float64 // kW the device says it can take; NaN = does not say
	give     float64 // kW the device says it can give
	noCharge bool    // blocked until the hysteresis is passed
	noGive   bool
	hot      bool
	cold     bool

	mode     device.Mode
	power    float64 // live setpoint, kW
	priority device.Priority
	until    int64
	source   string
}

// Set makes the device known, or changes its envelope and life cycle. Devices
// that are not active are refused all commands.
func (g *Guard) Set(s device.Slot, e Envelope, life device.State) {
	d := g.at(s)
	if !d.known {
		*d = state{known: true, soc: math.NaN(), temp: math.NaN(), charge: math.NaN(), give: math.NaN()}
	}
	d.env, d.active = e, life == device.Active
}

func (g *Guard) at(s device.Slot) *state {
	for int(s) >= len(g.devices) {
		g.devices = append(g.devices, state{})
	}
	return &g.devices[s]
}

// Observe takes note of a reading. Bad ones are not believed, unless they are
// worse for the device than what was known: a temperature above the limit stops
// it whoever doubts it.
func (g *Guard) Observe(r *device.Reading) {
	if int(r.Slot) >= len(g.devices) {
		return
	}
	d := &g.devices[r.Slot]
	if r.Quality == device.Good {
		d.soc, d.charge, d.give = r.SoC, r.MaxCharge, r.MaxDischarge
	}
	if r.Quality == device.Good || r.Temperature > d.temp {
		d.temp = r.Temperature
	}
	latch(&d.noGive, d.soc <= d.env.SoCMin, d.soc >= d.env.SoCMin+d.env.SoCHysteresis)
	latch(&d.noCharge, d.soc >= d.env.SoCMax, d.soc <= d.env.SoCMax-d.env.SoCHysteresis)
	latch(&d.hot, d.temp >= d.env.TempMax, d.temp <= d.env.TempMax-d.env.TempHysteresis)
	latch(&d.cold, d.temp <= d.env.TempMin, d.temp >= d.env.TempMin+d.env.TempHysteresis)
}

func latch(b *bool, set, clear bool) {
	if set {
		*b = true
	} else if clear {
		*b = false
	}
}

// window is the power that the device may have now, lo <= 0 <= hi.
func (d *state) window() (lo, hi float64, why string) {
	hi = max(0, d.env.RatedKW)
	why = "rating"
	if c := d.env.CapKW; c > 0 && c < hi {
		hi, why = c, "cap"
	}
	lo = -hi
	if d.give >= 0 && -d.give > lo { // NaN compares false
		lo, why = -d.give, "device limit"
	}
	if d.charge >= 0 && d.charge < hi {
		hi, why = d.charge, "device limit"
	}
	switch {
	case d.hot:
		return 0, 0, "temperature high"
	case d.mode != device.Run:
		return 0, 0, "not in mode run"
	}
	if d.noGive {
		lo, why = 0, "state of charge low"
	}
	if d.noCharge {
		hi, why = 0, "state of charge high"
	}
	if d.cold {
		hi, why = 0, "temperature low"
	}
	return lo, hi, why
}

// Check judges commands that arrive together and notes those that are allowed as
// in force. verdicts has a place for each command. The fleet's ramp is shared
// among them in proportion to what each wants to change.
func (g *Guard) Check(now time.Time, cmds []device.Command, verdicts []Verdict) {
	ms := now.UnixMilli()
	g.fill(ms)
	var up float64 // kW, change of the sum that is asked
	for i := range cmds {
		verdicts[i] = g.judge(ms, &cmds[i])
		if v := &verdicts[i]; v.Code == "" && g.RampKWPerS > 0 && cmds[i].Priority < device.Safety {
			up += v.Power - g.devices[cmds[i].Slot].live(ms)
		}
	}
	share := 1.0
	if g.RampKWPerS > 0 && math.Abs(up) > g.budget {
		share = g.budget / math.Abs(up)
	}
	for i := range cmds {
		v := &verdicts[i]
		if v.Code != "" {
			g.Refusals++
			continue
		}
		d := &g.devices[cmds[i].Slot]
		was := d.live(ms)
		v.Before = was
		if step := v.Power - was; share < 1 && cmds[i].Priority < device.Safety && step*up > 0 {
			v.Power, v.Reduced, v.Reason = was+share*step, true, "fleet ramp limit"
		}
		if v.Reduced {
			g.Reductions++
		}
		g.enforce(d, &cmds[i], v)
	}
	if g.RampKWPerS > 0 {
		g.budget = max(0, g.budget-math.Abs(up)*share)
	}
}

func (d *state) live(now int64) float64 {
	if d.until > now {
		return d.power
	}
	return 0
}

// fill lets the budget of the fleet's ramp grow with time, to at most what one
// second allows.
func (g *Guard) fill(now int64) {
	if g.filled == 0 {
		g.budget = g.RampKWPerS
	} else {
		g.budget = min(g.RampKWPerS, g.budget+g.RampKWPerS*float64(now-g.filled)/1000)
	}
	g.filled = now
}

func (g *Guard) judge(now int64, c *device.Command) Verdict {
	if int(c.Slot) >= len(g.devices) || !g.devices[c.Slot].known {
		return refuse(CodeUnknown, "the device is not registered")
	}
	d := &g.devices[c.Slot]
	switch {
	case !d.active:
		return refuse(CodeNotActive, "the device is not active: it may be read but must not act")
	case now-c.At > MaxAge.Milliseconds():
		return refuse(CodeStale, "the command is %.1f s old, at most %v is accepted", float64(now-c.At)/1000, MaxAge)
	case c.At-now > MaxAhead.Milliseconds():
		return refuse(CodeStale, "the command was issued %.1f s in the future, at most %v is accepted", float64(c.At-now)/1000, MaxAhead)
	case d.until > now && c.Priority < d.priority:
		return refuse(CodeHeld, "held by %s at priority %s until %s", d.source, d.priority, device.Time(d.until).Format(time.RFC3339))
	}
	switch c.Verb {
	case device.SetPower:
		return d.setPower(now, c)
	case device.SetMode:
		if c.Mode > device.MaintenanceMode {
			return refuse(CodeMalformed, "unknown mode %d", c.Mode)
		}
		return Verdict{Until: now + duration(c)}
	case device.Stop:
		return Verdict{Until: now + duration(c)}
	case device.Release:
		return Verdict{}
	}
	return refuse(CodeMalformed, "unknown command %d", c.Verb)
}

func (d *state) setPower(now int64, c *device.Command) Verdict {
	if !device.Finite(c.Power) {
		return refuse(CodeMalformed, "power %v is not a number", c.Power)
	}
	if d.mode != device.Run {
		return refuse(CodeMode, "the device is in mode %s", d.mode)
	}
	if limit := d.env.RatedKW; math.Abs(c.Power) > limit*(1+1e-9) {
		return refuse(CodeRange, "%.6g kW is beyond the rating of %.6g kW", c.Power, limit)
	}
	lo, hi, why := d.window()
	v := Verdict{Power: min(max(c.Power, lo), hi), Until: now + duration(c)}
	if v.Power == c.Power {
		return v
	}
	if v.Power == 0 {
		return refuse(CodeEnvelope, "no power in this direction now: %s", why)
	}
	v.Reduced, v.Reason = true, fmt.Sprintf("reduced from %.6g kW: %s", c.Power, why)
	return v
}

func duration(c *device.Command) int64 {
	return min(max(c.Duration, 0), MaxDuration.Milliseconds())
}

func refuse(code, format string, args ...any) Verdict {
	return Verdict{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// enforce notes an allowed command as in force.
func (g *Guard) enforce(d *state, c *device.Command, v *Verdict) {
	d.power, d.priority, d.until, d.source = v.Power, c.Priority, v.Until, c.Source
	switch c.Verb {
	case device.SetMode:
		d.mode = c.Mode
		if c.Mode == device.Run {
			d.until = 0
		}
	case device.Release:
		d.until = 0
	}
}

// Restore takes note of a command that was acknowledged before a restart.
func (g *Guard) Restore(a *device.Ack) {
	if a.Status != device.Done || int(a.Slot) >= len(g.devices) {
		return
	}
	d := &g.devices[a.Slot]
	c := device.Command{Verb: a.Verb, Mode: a.Mode, Priority: a.Priority, Source: a.Source}
	g.enforce(d, &c, &Verdict{Power: a.Power, Until: a.Until})
}

// Tick appends to out what must be corrected at now: a setpoint that has expired
// becomes 0, one that has left the envelope is moved to its edge. The caller
// hands them to the devices at once.
func (g *Guard) Tick(now time.Time, out []device.Command) []device.Command {
	ms := now.UnixMilli()
	g.fill(ms)
	for i := range g.devices {
		d := &g.devices[i]
		if !d.known || (d.until == 0 && d.power == 0) {
			continue
		}
		was := d.power
		if d.until <= ms {
			d.until, d.power = 0, 0
			if was != 0 && d.mode == device.Run {
				out = append(out, correction(device.Slot(i), d.priority, ms, 0, 0, "setpoint expired"))
			}
			continue
		}
		if lo, hi, why := d.window(); d.power < lo || d.power > hi {
			d.power = min(max(d.power, lo), hi)
			g.Reductions++
			out = append(out, correction(device.Slot(i), d.priority, ms, d.power, d.until-ms, why))
		}
	}
	return out
}

func correction(s device.Slot, p device.Priority, now int64, power float64, left int64, why string) device.Command {
	return device.Command{
		Slot: s, Verb: device.SetPower, Priority: p, Power: power,
		At: now, Duration: left, Until: now + left, Source: "guard", Reason: why,
	}
}

// Window is the power that the device may have now, for those who plan: lo <= 0
// <= hi, and what sets the narrower side.
func (g *Guard) Window(s device.Slot) (lo, hi float64, why string) {
	if int(s) >= len(g.devices) || !g.devices[s].known || !g.devices[s].active {
		return 0, 0, "not active"
	}
	return g.devices[s].window()
}

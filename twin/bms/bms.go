// Package bms is the battery management of a rack and of a unit of racks: it watches
// cells, warns, narrows the current, opens the contactors when it must, closes them
// when it may, and levels the cells.
//
// A rack is Off until a close command; then it precharges the bus through a resistor
// and closes when the voltages match; it opens on command after the current has
// gone, or at once when a protection trips. A trip stays until it is reset by hand,
// which works only when its cause is gone.
//
// Every protection has two levels of warning and a trip, each with a delay and, for
// the way back, a threshold and a delay of its own. Below them the permitted currents
// taper off near the limits of voltage, temperature, state of charge and current, as
// Allowed says; what is announced follows that at limited rates and with a band, so
// that it does not flap.
//
// Inputs hold for the whole of a step, and everything that takes time is worked out
// to the instant inside it. So delays, precharge and the announced currents do not
// depend on how a time is cut into steps; only the heat of the current (Limits) is
// taken at the start of a step. Current above zero charges.
package bms

import (
	"math"
	"time"
)

// Params are the constants of the management of a rack. They may be shared.
type Params struct {
	Protect   [Quantities]Protection
	Charge    Direction
	Discharge Direction
	Limits    Limits
	Contactor Contactor
}

// Input is what a rack measures and is told. It holds for a whole step.
type Input struct {
	MinCellV, MaxCellV float64 // V
	MinCellK, MaxCellK float64 // K
	MinSoC, MaxSoC     float64 // 0..1
	CurrentA           float64 // A of the rack
	RackV, BusV        float64 // V on either side of the contactors

	InsulationFault    bool
	CommunicationFault bool
	EmergencyStop      bool

	Close bool // acts when it becomes true
	Open  bool // acts while it is true, and before Close
	Reset bool // acts when it becomes true
}

// Mode is what a rack is doing.
type Mode uint8

// The modes. In Off and Tripped all contactors are open.
const (
	Off         Mode = iota
	Precharging      // the bus is charged through a resistor
	Connected
	Opening // told to open, until the current has gone
	Tripped // until it is reset
)

func (m Mode) String() string {
	return [...]string{"off", "precharging", "connected", "opening", "tripped"}[min(m, Tripped)]
}

// State is all a rack remembers. It is a value: copy it to take a snapshot.
type State struct {
	Mode       Mode
	Since      time.Duration // when the mode began
	Alarms     Alarms
	Trips      Set     // what tripped, until the reset
	ChargeA    float64 // A, announced, >= 0
	DischargeA float64 // A, announced discharging, >= 0
	Rising     [2]bool // the announced current charging and discharging is on its way up
	Heat       float64 // A^2, mean square of the current over the last while

	Closings    int // of the contactors
	HotOpenings int // openings under current
	Lost        int // events that found no room

	ClosePressed, ResetPressed bool // commands of the last step
}

// Output is what a rack announces at the end of a step.
type Output struct {
	Mode                  Mode
	Contacts              Contacts
	Warning               int     // level of the worst warning, 0 without
	Trips                 Set     // what tripped and was not reset
	ChargeA, DischargeA   float64 // A, most that may flow, both >= 0
	ChargeBy, DischargeBy Bound   // what keeps them from the rating
}

// Step moves s from one instant to a later one under in. What happened is appended
// to events as far as its capacity goes; the rest is counted in s.Lost.
func (p *Params) Step(s *State, from, to time.Duration, in *Input, events []Event) (Output, []Event) {
	log := log{room: events, lost: &s.Lost}
	closing, reset := in.Close && !s.ClosePressed, in.Reset && !s.ResetPressed
	s.ClosePressed, s.ResetPressed = in.Close, in.Reset
	p.watch(&s.Alarms, from, in)
	charge, discharge := p.left(in)
	for t := from; ; {
		p.ring(s, t, in, &log)
		p.turn(s, t, in, closing, reset, &log)
		closing, reset = false, false
		if t >= to {
			break
		}
		next := min(to, p.nextAlarm(&s.Alarms), p.nextTurn(s, t, in))
		p.follow(s, p.allowed(s, charge, discharge), (next - t).Seconds(), in.CurrentA)
		t = next
	}
	return p.output(s, p.allowed(s, charge, discharge)), log.room
}

func (p *Params) output(s *State, allowed Allowed) Output {
	return Output{
		Mode: s.Mode, Contacts: s.contacts(), Warning: s.Alarms.warning(), Trips: s.Trips,
		ChargeA: s.ChargeA, DischargeA: s.DischargeA,
		ChargeBy: allowed.ChargeBy, DischargeBy: allowed.DischargeBy,
	}
}

// follow lets dt seconds pass for the announced currents and the heat of amps.
func (p *Params) follow(s *State, allowed Allowed, dt, amps float64) {
	p.Limits.follow(&s.ChargeA, &s.Rising[0], allowed.ChargeA, p.Charge.RatedA, dt)
	p.Limits.follow(&s.DischargeA, &s.Rising[1], allowed.DischargeA, p.Discharge.RatedA, dt)
	if tau := p.Limits.HeatS; tau > 0 {
		i2 := amps * amps
		s.Heat = i2 + (s.Heat-i2)*math.Exp(-dt/tau)
	}
}

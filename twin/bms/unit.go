package bms

import "math"

// UnitParams are the constants of the management of racks in parallel on one bus.
type UnitParams struct {
	MatchV   float64 // V between a rack and the bus at which it may join
	MinRacks int     // fewer connected: no current
	ShareA   float64 // A of the unit above which the measured shares of the racks count
}

// Rack is what the unit knows of one of its racks.
type Rack struct {
	Mode                Mode
	Ready               bool    // it would follow a close command (State.Ready)
	RackV               float64 // V
	CurrentA            float64 // A
	ChargeA, DischargeA float64 // A, announced
}

// Command is what the unit tells a rack.
type Command struct {
	Close, Open, Reset bool
}

// UnitInput is what the unit is told. It closes and opens as a rack does.
type UnitInput struct {
	Close, Open, Reset bool
}

// UnitState is all a unit remembers.
type UnitState struct {
	Wanted bool // it is to be connected
	Asked  int  // 1 + the rack that was told to close in the last step, 0: none
}

// UnitOutput is what a unit announces.
type UnitOutput struct {
	Connected, Tripped  int     // racks
	Waiting             int     // racks that are ready and too far from the bus
	ChargeA, DischargeA float64 // A of all racks together, both >= 0
	ChargeBy, DisBy     int     // the rack that binds, -1: none
}

// Step tells each rack in commands, which is as long as racks, what to do. The racks
// close one after the other: first the one with the most others within MatchV of it,
// then those within MatchV of the bus, the nearest first.
func (p *UnitParams) Step(s *UnitState, in UnitInput, racks []Rack, commands []Command) UnitOutput {
	if in.Close {
		s.Wanted = true
	}
	if in.Open {
		s.Wanted = false
	}
	o := UnitOutput{ChargeBy: -1, DisBy: -1}
	var busV float64
	busy := false
	for i, r := range racks {
		commands[i] = Command{Open: !s.Wanted, Reset: in.Reset}
		switch r.Mode {
		case Connected:
			o.Connected++
			busV += r.RackV
		case Tripped:
			o.Tripped++
		case Precharging, Opening:
			busy = true
		}
	}
	first := o.Connected == 0
	if !first {
		busV /= float64(o.Connected)
	}
	next := -1
	best := math.Inf(-1)
	for i, r := range racks {
		if !r.Ready {
			continue
		}
		merit := -math.Abs(r.RackV - busV)
		if first {
			merit = float64(p.near(racks, r.RackV))
		} else if -merit > p.MatchV {
			o.Waiting++
			continue
		}
		if merit > best {
			best, next = merit, i
		}
	}
	// A rack closes when the command becomes true, so one that did not follow is let go
	// for a step before it is asked again.
	asked := s.Asked
	s.Asked = 0
	if s.Wanted && !busy && next >= 0 && asked != next+1 {
		commands[next].Close = true
		s.Asked = next + 1
	}
	p.limit(racks, &o)
	return o
}

// near is how many racks that are ready lie within MatchV of volt.
func (p *UnitParams) near(racks []Rack, volt float64) (n int) {
	for _, r := range racks {
		if r.Ready && math.Abs(r.RackV-volt) <= p.MatchV {
			n++
		}
	}
	return n
}

// limit is the current of the unit at which the first rack reaches its own limit. The
// racks share the current equally or, once it is large enough to tell, at least as
// unequally as is measured.
func (p *UnitParams) limit(racks []Rack, o *UnitOutput) {
	if o.Connected == 0 || o.Connected < p.MinRacks {
		return
	}
	var total float64
	for _, r := range racks {
		if r.Mode == Connected {
			total += r.CurrentA
		}
	}
	o.ChargeA, o.DischargeA = math.Inf(1), math.Inf(1)
	for i, r := range racks {
		if r.Mode != Connected {
			continue
		}
		share := 1 / float64(o.Connected)
		if math.Abs(total) > p.ShareA {
			share = max(share, r.CurrentA/total)
		}
		if a := r.ChargeA / share; a < o.ChargeA {
			o.ChargeA, o.ChargeBy = a, i
		}
		if a := r.DischargeA / share; a < o.DischargeA {
			o.DischargeA, o.DisBy = a, i
		}
	}
}

package bms

import "math"

// UnitParams are the constants of the management of racks in parallel on one bus.
type UnitParams struct {
	MatchV float64 // V between a rack and the bus at which it may join
}

// Rack is what the unit knows of one of its racks.
type Rack struct {
	Mode  Mode
	Ready bool    // it would follow a close command (State.Ready)
	RackV float64 // V, of the bus where it is connected
}

// Command is what the unit tells a rack.
type Command struct {
	Close, Open, Reset bool
}

// UnitInput is what the unit is told: Close and Open act while they are true, Open
// before Close, Reset on the racks that have tripped.
type UnitInput struct {
	Close, Open, Reset bool
}

// UnitState is all a unit remembers.
type UnitState struct {
	Wanted bool // it is to be connected
	Asked  int  // 1 + the rack that was told to close in the last step, 0: none
}

// UnitOutput is what a unit sees of its racks.
type UnitOutput struct {
	Connected, Tripped int // racks
	Waiting            int // racks that are ready and too far from the bus
}

// Step tells each rack in commands, which is as long as racks, what to do. The racks
// close one after the other: first the one with the most others within MatchV of it,
// then those within MatchV of the bus, the nearest first.
func (p *UnitParams) Step(s *UnitState, in UnitInput, racks []Rack, commands []Command) UnitOutput {
	s.Wanted = (s.Wanted || in.Close) && !in.Open
	var o UnitOutput
	var sum float64 // V
	busy := false
	for i, r := range racks {
		commands[i] = Command{Open: !s.Wanted, Reset: in.Reset && r.Mode == Tripped}
		switch r.Mode {
		case Connected:
			o.Connected++
			sum += r.RackV
		case Tripped:
			o.Tripped++
		case Precharging, Opening:
			busy = true
		}
	}
	var next int
	if o.Connected == 0 {
		next = p.first(racks)
	} else {
		next, o.Waiting = p.nearest(racks, sum/float64(o.Connected))
	}
	// A rack closes when the command becomes true, so one that did not follow is let go
	// for a step before it is asked again.
	asked := s.Asked
	s.Asked = 0
	if s.Wanted && !busy && next >= 0 && asked != next+1 {
		commands[next].Close = true
		s.Asked = next + 1
	}
	return o
}

// first is the rack that is ready with the most others near it, -1 without.
func (p *UnitParams) first(racks []Rack) int {
	next, most := -1, 0
	for i, r := range racks {
		if !r.Ready {
			continue
		}
		if n := p.near(racks, r.RackV); n > most {
			next, most = i, n
		}
	}
	return next
}

// nearest is the rack that is ready whose voltage is nearest to that of the bus and
// within MatchV of it, -1 without, and how many are not within.
func (p *UnitParams) nearest(racks []Rack, busV float64) (next, waiting int) {
	next = -1
	least := p.MatchV
	for i, r := range racks {
		if !r.Ready {
			continue
		}
		if d := math.Abs(r.RackV - busV); d > p.MatchV {
			waiting++
		} else if d < least || next < 0 {
			next, least = i, d
		}
	}
	return next, waiting
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

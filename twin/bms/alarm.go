package bms

import (
	"math/bits"
	"time"
)

// Quantity is something that is watched.
type Quantity uint8

// The quantities. The last but one are yes or no: 1 is the fault. Precharge has no
// levels: it trips by itself when the bus does not come up.
const (
	CellVHigh        Quantity = iota // V, the highest cell
	CellVLow                         // V, the lowest cell
	CellVSpread                      // V, between them
	TempHigh                         // K, the warmest cell
	TempLow                          // K, the coldest cell
	TempSpread                       // K, between them
	ChargeCurrent                    // A
	DischargeCurrent                 // A
	SoCHigh                          // 0..1, the fullest cell
	SoCLow                           // 0..1, the emptiest cell
	Insulation
	Communication
	EmergencyStop
	Precharge

	Quantities = int(Precharge) + 1
)

var quantityNames = [Quantities]string{
	"cell-v-high", "cell-v-low", "cell-v-spread", "temp-high", "temp-low", "temp-spread", "charge-current",
	"discharge-current", "soc-high", "soc-low", "insulation", "communication", "emergency-stop", "precharge",
}

func (q Quantity) String() string { return quantityNames[min(q, Precharge)] }

// low reports whether low values are the bad ones.
func (q Quantity) low() bool { return q == CellVLow || q == TempLow || q == SoCLow }

// The levels of a protection: two warnings and the trip.
const (
	Warning1 = iota
	Warning2
	Trip

	Levels
)

// Level is one threshold. Zero is a level that is not used.
type Level struct {
	Used    bool
	Set     float64       // raised when the quantity has been at it or beyond for Delay
	Clear   float64       // cleared when it has been at it or within for Recover
	Delay   time.Duration // >= 0
	Recover time.Duration // >= 0
}

// Protection are the levels of one quantity, from warnings to the trip.
type Protection [Levels]Level

// Set is a set of quantities.
type Set uint32

// Has reports whether q is in the set.
func (s Set) Has(q Quantity) bool { return s&(1<<q) != 0 }

// With is the set with q in it, or without.
func (s Set) With(q Quantity, in bool) Set {
	s.put(q, in)
	return s
}

// Len is the number of quantities in the set.
func (s Set) Len() int { return bits.OnesCount32(uint32(s)) }

// all yields the quantities of the set in order.
func (s Set) all(yield func(Quantity) bool) {
	for s != 0 {
		q := Quantity(bits.TrailingZeros32(uint32(s)))
		if !yield(q) {
			return
		}
		s &= s - 1
	}
}

// put adds q to the set or takes it out.
func (s *Set) put(q Quantity, in bool) {
	if in {
		*s |= 1 << q
	} else {
		*s &^= 1 << q
	}
}

// Alarms is the state of all levels of all quantities.
type Alarms struct {
	On      [Levels]Set
	Pending [Levels]Set                       // about to change
	Since   [Levels][Quantities]time.Duration // when that last changed
}

// values are the quantities that are watched, in in.
func values(in *Input) [Precharge]float64 {
	return [...]float64{
		CellVHigh: in.MaxCellV, CellVLow: in.MinCellV, CellVSpread: in.MaxCellV - in.MinCellV,
		TempHigh: in.MaxCellK, TempLow: in.MinCellK, TempSpread: in.MaxCellK - in.MinCellK,
		ChargeCurrent: in.CurrentA, DischargeCurrent: -in.CurrentA,
		SoCHigh: in.MaxSoC, SoCLow: in.MinSoC,
		Insulation: yes(in.InsulationFault), Communication: yes(in.CommunicationFault), EmergencyStop: yes(in.EmergencyStop),
	}
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// beyond reports whether x is at a threshold or on the bad side of it, and within
// whether at it or on the good side.
func (q Quantity) beyond(x, threshold float64) bool {
	if q.low() {
		return x <= threshold
	}
	return x >= threshold
}

func (q Quantity) within(x, threshold float64) bool {
	if q.low() {
		return x >= threshold
	}
	return x <= threshold
}

// watch compares in with every threshold, from the instant at. A value that is not
// a number changes nothing.
func (p *Params) watch(a *Alarms, at time.Duration, in *Input) {
	for i, x := range values(in) {
		q := Quantity(i)
		for k := range p.Protect[q] {
			level := &p.Protect[q][k]
			if !level.Used {
				continue
			}
			on := a.On[k].Has(q)
			change := on && q.within(x, level.Clear) || !on && q.beyond(x, level.Set)
			if change == a.Pending[k].Has(q) {
				continue
			}
			a.Since[k][q] = at
			a.Pending[k].put(q, change)
		}
	}
}

// due is when the pending level k of q changes.
func (p *Params) due(a *Alarms, q Quantity, k int) time.Duration {
	level := &p.Protect[q][k]
	if a.On[k].Has(q) {
		return a.Since[k][q] + level.Recover
	}
	return a.Since[k][q] + level.Delay
}

// ring changes the levels that are due at t, and trips.
func (p *Params) ring(s *State, t time.Duration, in *Input, log *log) {
	a := &s.Alarms
	for k := range Levels {
		for q := range a.Pending[k].all {
			if p.due(a, q, k) > t {
				continue
			}
			on := !a.On[k].Has(q)
			a.On[k].put(q, on)
			a.Pending[k].put(q, false)
			e := Event{At: t, Kind: WarningCleared, Quantity: q, Level: k + 1, Value: values(in)[q]}
			switch {
			case k == Trip && on:
				p.trip(s, t, q, in, log)
				continue
			case k == Trip:
				e.Kind, e.Level = TripCleared, 0
			case on:
				e.Kind = WarningRaised
			}
			log.add(e)
		}
	}
}

// nextAlarm is when the next pending level changes.
func (p *Params) nextAlarm(a *Alarms) time.Duration {
	next := never
	for k := range Levels {
		for q := range a.Pending[k].all {
			next = min(next, p.due(a, q, k))
		}
	}
	return next
}

// tripping reports whether a cause to trip is there, be it that its delay still runs.
func (a *Alarms) tripping() bool { return a.On[Trip]|a.Pending[Trip] != 0 }

// warning is the level of the worst warning that is on.
func (a *Alarms) warning() int {
	switch {
	case a.On[Warning2] != 0:
		return 2
	case a.On[Warning1] != 0:
		return 1
	}
	return 0
}

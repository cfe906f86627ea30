package bms

import "math"

// Link is the capacitor of the bus, and the resistor it is precharged through.
type Link struct {
	Ohm, Farad float64
}

// Next is the voltage of the bus, and what the resistor has lost in J, dt seconds
// after it was connected to a rack of rackV volt.
func (l Link) Next(busV, rackV, dt float64) (nextV, lossJ float64) {
	before := rackV - busV
	after := before * math.Exp(-dt/(l.Ohm*l.Farad))
	return rackV - after, l.Farad / 2 * (before*before - after*after)
}

// Time is how long the precharge of an empty bus takes, in s, until no more than
// matchV is left to rackV.
func (l Link) Time(rackV, matchV float64) float64 {
	return l.Ohm * l.Farad * math.Log(rackV/matchV)
}

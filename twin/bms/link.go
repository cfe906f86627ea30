package bms

import "math"

// Link is the capacitor of the bus, the resistor it is precharged through, and the one
// that discharges it.
type Link struct {
	Ohm, Farad float64
	BleedOhm   float64
}

// Next is the voltage of the bus dt seconds after the resistor was connected to a rack
// of rackV volt. It ends below that by what flows through the bleeder meanwhile.
func (l Link) Next(busV, rackV, dt float64) float64 {
	share := l.BleedOhm / (l.BleedOhm + l.Ohm)
	end := rackV * share
	return end + (busV-end)*math.Exp(-dt/(l.Ohm*share*l.Farad))
}

// Left is the voltage of the bus dt seconds after everything was disconnected.
func (l Link) Left(busV, dt float64) float64 {
	return busV * math.Exp(-dt/(l.BleedOhm*l.Farad))
}

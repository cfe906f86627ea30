package estimate

import "math"

// CapacityState is what the identification of the capacity remembers.
type CapacityState struct {
	Factor      float64 // on the capacity of the cell set
	Information float64 // 1/variance of Factor
	From, Best  Anchor  // where the swing began, and the surest state at a distance since
	Now         Way     // since From
}

// Anchor is a state of charge that the voltage told by itself.
type Anchor struct {
	SoC      float64 // 0..1
	Variance float64 // of SoC; 0: there is no anchor
	Way      Way     // to it
}

// Way is what was counted since the start of a swing.
type Way struct {
	Charge  float64 // capacities of the cell set, above 0 on charge
	Seconds float64 // s
}

// startCapacity is 1 give or take 0.1.
var startCapacity = CapacityState{Factor: 1, Information: 1 / (0.1 * 0.1)}

const (
	minCapacity  = 0.4
	maxCapacity  = 1.2
	anchorSigma  = 0.02 // of the state of charge of an anchor, at most
	shortSwing   = 0.3  // of state of charge, the least that tells the capacity
	passed       = 0.1  // of state of charge, how far behind an anchor is done with
	sameTables   = 0.01 // of the factor, an error that all swings share
	keepPerSwing = 0.8  // of the information
)

type capacity struct{ CapacityState }

func (c *capacity) sigma() float64 { return math.Sqrt(1/c.Information + sameTables*sameTables) }

// count adds a step of dt seconds that moved charge, in capacities of the cell set.
func (c *capacity) count(charge, dt float64) {
	c.Now.Charge += charge
	c.Now.Seconds += dt
}

// learn takes in the measurement m after the update, which left rest volt unexplained
// at the state of charge z. drift is the error of the count per second, in capacities.
func (c *capacity) learn(z float64, m *measurement, rest, drift float64) {
	slope := m.h[iSoC]
	variance := m.model / (slope * slope) // infinite where the curve is flat
	if c.Best.Variance > 0 && (math.Abs(z-c.Best.SoC) > passed || variance > 4*anchorSigma*anchorSigma) {
		c.take(drift)
	}
	if !(variance < anchorSigma*anchorSigma) || m.bend > m.model { // flat, or no line
		return
	}
	told := Anchor{SoC: min(max(z+rest/slope, 0), 1), Variance: variance, Way: c.Now}
	switch near := math.Abs(told.SoC-c.From.SoC) < shortSwing; {
	case c.From.Variance == 0, near && variance <= c.From.Variance:
		told.Way, c.Now = Way{}, Way{}
		c.From, c.Best = told, Anchor{}
	case !near && (c.Best.Variance == 0 || variance < c.Best.Variance):
		c.Best = told
	}
}

// take learns from the swing between the anchors and begins the next one.
func (c *capacity) take(drift float64) {
	distance := c.Best.SoC - c.From.SoC
	factor := c.Best.Way.Charge / distance
	if factor > minCapacity && factor < maxCapacity {
		counted := drift * c.Best.Way.Seconds / factor
		variance := factor * factor * (c.From.Variance + c.Best.Variance + counted*counted) / (distance * distance)
		c.Information = keepPerSwing*c.Information + 1/variance
		c.Factor += (factor - c.Factor) / (variance * c.Information)
	}
	c.Now.Charge -= c.Best.Way.Charge
	c.Now.Seconds -= c.Best.Way.Seconds
	c.From, c.Best = Anchor{SoC: c.Best.SoC, Variance: c.Best.Variance}, Anchor{}
}

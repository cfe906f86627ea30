package thermal

import "fmt"

// Mode is what the plant of a container does.
type Mode uint8

// The modes. In a band the duty is proportional to how far the medium is past its
// set point.
const (
	Idle Mode = iota
	Cool      // at full duty
	Heat
	CoolBand
	HeatBand
	modes
)

// String names the mode.
func (m Mode) String() string {
	if m < modes {
		return [modes]string{"idle", "cool", "heat", "cool-band", "heat-band"}[m]
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// ControlKind is how the plant is told what to do.
type ControlKind uint8

const (
	// Thermostat switches by the hottest battery: full cooling from SetK+ThresholdK
	// until SetK, full heating from SetK-ThresholdK until SetK.
	Thermostat ControlKind = iota
	// Proportional sets the duty by the medium: cooling rises from nothing at SetK
	// to full at SetK+BandK, heating from nothing at HeatSetK to full at
	// HeatSetK-BandK.
	Proportional
)

// Control is the set point control of a container.
type Control struct {
	Kind       ControlKind
	SetK       float64 // K
	ThresholdK float64 // K, of the thermostat
	HeatSetK   float64 // K, of proportional heating, at most SetK
	BandK      float64 // K, proportional
}

func (c Control) check() error {
	switch {
	case !(c.SetK > 0):
		return fmt.Errorf("set point %g K is not above 0", c.SetK)
	case c.Kind == Thermostat && !(c.ThresholdK > 0):
		return fmt.Errorf("threshold %g K is not above 0", c.ThresholdK)
	case c.Kind == Proportional && !(c.BandK > 0):
		return fmt.Errorf("proportional band %g K is not above 0", c.BandK)
	case c.Kind == Proportional && !(c.HeatSetK > 0 && c.HeatSetK <= c.SetK):
		return fmt.Errorf("heating set point %g K is not in 0..%g K", c.HeatSetK, c.SetK)
	case c.Kind > Proportional:
		return fmt.Errorf("control kind %d is unknown", c.Kind)
	}
	return nil
}

// guard is one way out of a mode: the temperature of a node passes a level.
type guard struct {
	node  int
	side  float64 // +1: leaves upwards, -1: downwards
	level float64 // K
	next  Mode
}

// gap is how far past its level the guard is at t kelvin, negative before.
func (g *guard) gap(t float64) float64 { return g.side * (t - g.level) }

// overlap is how far a border between two bands lies beyond the band that is left,
// so that rounding cannot take a switch back.
const overlap = 1e-9 // K

// guards lists the ways out of each mode.
func (c Control) guards(medium int, heats bool) (g [modes][]guard) {
	if c.Kind == Thermostat {
		g[Idle] = []guard{{Battery, 1, c.SetK + c.ThresholdK, Cool}}
		g[Cool] = []guard{{Battery, -1, c.SetK, Idle}}
		g[Heat] = []guard{{Battery, 1, c.SetK, Idle}}
		if heats {
			g[Idle] = append(g[Idle], guard{Battery, -1, c.SetK - c.ThresholdK, Heat})
		}
		return g
	}
	up := func(level float64, next Mode) guard { return guard{medium, 1, level + overlap, next} }
	down := func(level float64, next Mode) guard { return guard{medium, -1, level - overlap, next} }
	g[Idle] = []guard{up(c.SetK, CoolBand)}
	g[CoolBand] = []guard{up(c.SetK+c.BandK, Cool), down(c.SetK, Idle)}
	g[Cool] = []guard{down(c.SetK+c.BandK, CoolBand)}
	g[HeatBand] = []guard{up(c.HeatSetK, Idle), down(c.HeatSetK-c.BandK, Heat)}
	g[Heat] = []guard{up(c.HeatSetK-c.BandK, HeatBand)}
	if heats {
		g[Idle] = append(g[Idle], down(c.HeatSetK, HeatBand))
	}
	return g
}

// nextSwitch is how long the mode of s lasts, at most left, and the mode after it,
// which is the same if it outlasts the step.
func (c *Container) nextSwitch(g *segment, s *ContainerState, in *ContainerInput, at, left float64) (float64, Mode) {
	if s.FanFailed || s.PlantFailed {
		return left, s.Mode
	}
	span, next := left, s.Mode
	for i := range c.guards[s.Mode] {
		guard := &c.guards[s.Mode][i]
		var t float64
		var passes bool
		if c.outside && guard.node == Battery {
			t, passes = guard.ramp(in, at, span)
		} else if guard.gap(s.TempK[guard.node]) > 0 {
			passes = true
		} else if span > 0 {
			t, passes = g.first(guard, 0, span)
		}
		if passes {
			span, next = t, guard.next
		}
	}
	return span, next
}

// ramp is when the hottest cell, which goes linearly through the step, passes the
// guard, counted from at.
func (g *guard) ramp(in *ContainerInput, at, span float64) (float64, bool) {
	var slope float64 // K/s
	if in.Seconds > 0 {
		slope = (in.Hottest1K - in.Hottest0K) / in.Seconds
	}
	gap := g.gap(in.Hottest0K + slope*at)
	if gap > 0 {
		return 0, true
	}
	t := -gap / (g.side * slope)
	return t, g.side*slope > 0 && t <= span
}

package thermal

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// The nodes of a container. A container without a coolant loop, or whose racks
// are stepped elsewhere, leaves those nodes as they are.
const (
	Battery = iota // all cells lumped
	Air
	Inner   // skin of the wall
	Middle  // insulation
	Outer   // skin of the wall, where the sun shines
	Coolant // reservoir of the loop, which is the supply to the plates
	Nodes   // how many there are
)

// ContainerConfig is what a container is made of.
type ContainerConfig struct {
	Walls     Walls
	Batteries Batteries
	Loop      Loop // zero for a container cooled by air
	Plant     Plant
	Control   Control
}

// Batteries are the cells of a container, taken together.
type Batteries struct {
	Capacity float64 // J/K; 0 when the racks are stepped elsewhere
	Air      float64 // W/K to the air, fans running; 0 when their heat comes as AirW of the input
}

// Plant is the machine that cools and heats: an HVAC unit that conditions the air,
// or a chiller with a heater in the coolant loop.
type Plant struct {
	CoolW, HeatW float64 // W of heat at full duty
	CopCool      Curve   // heat removed per electric energy, over the ambient in K
	CopHeat      Curve   // heat given per electric energy
	CirculationW float64 // electric power of fan or pump, all of it heat in the medium
	StillRatio   float64 // of the conductances into the medium left when fan or pump stop, 0..1
}

// Container is a type of container ready to be stepped. It is immutable and shared
// by all containers alike. Its medium is the coolant if it has a loop, else the air.
type Container struct {
	cfg     ContainerConfig
	medium  int
	outside bool  // the racks are stepped elsewhere
	plain   tuned // medium moving, duty constant
	cooling tuned // duty proportional to medium - SetK
	heating tuned // duty proportional to HeatSetK - medium
	still   tuned // medium standing
	guards  [modes][]guard
}

// tuned is the network as it is in some of the modes.
type tuned struct {
	spectrum *Spectrum
	air      float64 // W/K, batteries to air
	plate    float64 // W/K, batteries to coolant
	band     float64 // W/K, of the plant on the medium
}

// ContainerState is all a container remembers. It is a value: copy it to take a
// snapshot.
type ContainerState struct {
	TempK       [Nodes]float64 // K
	Mode        Mode
	ModeSeconds float64 // s since the mode was entered
	FanFailed   bool    // fan or pump stands: no forced convection and no duty
	PlantFailed bool    // the medium still moves, without duty
}

// ContainerInput is what acts on a container during a step. Where two values are
// given, the input goes from one to the other linearly.
type ContainerInput struct {
	Seconds              float64 // s, length of the step
	Ambient0K, Ambient1K float64 // K
	SolarW               float64 // W absorbed by the outer wall
	BatteryW             float64 // W of heat made in the lumped batteries
	AirW, CoolantW       float64 // W of other heat given to air and coolant
	Racks0K, Racks1K     float64 // K, racks stepped elsewhere: mean cell, which Batteries.Air and Loop.Plate join
	Hottest0K, Hottest1K float64 // K, racks stepped elsewhere: hottest cell, which the thermostat reads
}

// ContainerFlow is what a step moved.
type ContainerFlow struct {
	ElectricJ    float64 // taken by the plant and by fan or pump
	CoolingJ     float64 // heat the plant took out of the medium
	HeatingJ     float64 // heat the plant gave to the medium
	AmbientJ     float64 // heat that came in from the ambient
	RacksJ       float64 // heat that went from the batteries into air and coolant
	AirMeanK     float64 // over the step
	CoolantMeanK float64
	Switches     int // of the mode
}

// NewContainer returns the container of cfg, or all that is impossible about it.
func NewContainer(cfg ContainerConfig) (*Container, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("container: %w", err)
	}
	c := &Container{cfg: cfg, medium: Air, outside: cfg.Batteries.Capacity == 0}
	if cfg.Loop.Capacity > 0 {
		c.medium = Coolant
	}
	c.plain = c.tune(0, false)
	c.still = c.tune(0, true)
	c.cooling, c.heating = c.plain, c.plain
	if cfg.Control.Kind == Proportional {
		c.cooling = c.tune(cfg.Plant.CoolW/cfg.Control.BandK, false)
		c.heating = c.tune(cfg.Plant.HeatW/cfg.Control.BandK, false)
	}
	c.guards = cfg.Control.guards(c.medium, cfg.Plant.HeatW > 0)
	return c, nil
}

func (cfg *ContainerConfig) check() error {
	var errs []error
	demand := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	w := cfg.Walls
	parts := []float64{w.Air, w.Inner, w.Middle, w.Outer, w.AirInner, w.InnerMiddle, w.MiddleOuter, w.OuterToAmbient}
	demand(slices.Min(parts) > 0 && !math.IsInf(slices.Max(parts), 0), "walls %+v are not all above 0", w)
	demand(cfg.Batteries.Capacity >= 0 && cfg.Batteries.Air >= 0, "batteries %+v are below 0", cfg.Batteries)
	l := cfg.Loop
	demand(l == Loop{} || l.Capacity > 0 && l.Flow > 0 && l.Plate >= 0, "coolant loop %+v has no capacity or flow", l)
	p := cfg.Plant
	demand(p.CoolW >= 0 && p.HeatW >= 0 && p.CirculationW >= 0, "plant powers %g, %g, %g W are below 0", p.CoolW, p.HeatW, p.CirculationW)
	demand(p.StillRatio >= 0 && p.StillRatio <= 1, "still ratio %g is not in 0..1", p.StillRatio)
	for _, cop := range []Curve{p.CopCool, p.CopHeat} {
		demand(cop.valid(), "coefficient of performance %+v is no curve above 0", cop)
	}
	return errors.Join(append(errs, cfg.Control.check())...)
}

// absent is the heat capacity in J/K of a node that the container does not have.
// Nothing is joined to it.
const absent = 1.0

// tune builds the network with band W/K between medium and a set point, its medium
// moving or still.
func (c *Container) tune(band float64, still bool) tuned {
	cfg, w := &c.cfg, c.cfg.Walls
	v := tuned{air: cfg.Batteries.Air, plate: cfg.Loop.Conductance(), band: band}
	film := w.AirInner
	if still && c.medium == Coolant {
		v.plate = cfg.Loop.Plate * cfg.Plant.StillRatio
	} else if still {
		v.air *= cfg.Plant.StillRatio
		film *= cfg.Plant.StillRatio
	}
	n := NewNetwork(cmp.Or(cfg.Batteries.Capacity, absent), w.Air, w.Inner, w.Middle, w.Outer, cmp.Or(cfg.Loop.Capacity, absent))
	n.Connect(Air, Inner, film)
	n.Connect(Inner, Middle, w.InnerMiddle)
	n.Connect(Middle, Outer, w.MiddleOuter)
	n.Ground(Outer, w.OuterToAmbient)
	n.Ground(c.medium, band)
	if c.outside {
		n.Ground(Air, v.air)
		n.Ground(Coolant, v.plate)
	} else {
		n.Connect(Battery, Air, v.air)
		n.Connect(Battery, Coolant, v.plate)
	}
	v.spectrum = n.Spectrum()
	return v
}

// tunedFor is the network that acts in state s.
func (c *Container) tunedFor(s *ContainerState) *tuned {
	switch {
	case s.FanFailed:
		return &c.still
	case s.Mode == CoolBand:
		return &c.cooling
	case s.Mode == HeatBand:
		return &c.heating
	}
	return &c.plain
}

// Step moves s on by in.Seconds and says in f what flowed. The step is exact: the
// network is solved in closed form and cut where the mode switches, so that its
// length does not matter beyond how well constant and linear inputs describe the
// true ones. Stored heat changes by what f and in account for.
func (c *Container) Step(s *ContainerState, in *ContainerInput, f *ContainerFlow) {
	*f = ContainerFlow{}
	if s.FanFailed || s.PlantFailed {
		c.enter(s, Idle)
	}
	for at := 0.0; ; {
		var seg segment
		c.begin(&seg, s, in, at)
		left := in.Seconds - at
		span, next := c.nextSwitch(&seg, s, in, at, left)
		c.advance(&seg, s, span, f)
		at += span
		if next == s.Mode {
			break
		}
		c.enter(s, next)
		f.Switches++
	}
	if in.Seconds > 0 {
		f.AirMeanK /= in.Seconds
		f.CoolantMeanK /= in.Seconds
	}
}

func (c *Container) enter(s *ContainerState, m Mode) {
	if s.Mode != m {
		s.Mode, s.ModeSeconds = m, 0
	}
}

// begin sets up the exact solution from at on.
func (c *Container) begin(g *segment, s *ContainerState, in *ContainerInput, at float64) {
	g.tuned = c.tunedFor(s)
	perSecond := 0.0
	if in.Seconds > 0 {
		perSecond = 1 / in.Seconds
	}
	g.ambientSlope = (in.Ambient1K - in.Ambient0K) * perSecond
	g.ambient = in.Ambient0K + g.ambientSlope*at
	toAmbient := c.cfg.Walls.OuterToAmbient
	p := [Nodes]float64{Battery: in.BatteryW, Air: in.AirW, Outer: in.SolarW + toAmbient*g.ambient}
	slope := [Nodes]float64{Outer: toAmbient * g.ambientSlope}
	if c.medium == Coolant {
		p[Coolant] = in.CoolantW
	}
	if c.outside {
		rise := (in.Racks1K - in.Racks0K) * perSecond
		racks := in.Racks0K + rise*at
		s.TempK[Battery] = racks
		p[Battery] = absent * rise // so that the node follows the racks
		p[Air] += g.tuned.air * racks
		p[Coolant] += g.tuned.plate * racks
		slope[Air], slope[Coolant] = g.tuned.air*rise, g.tuned.plate*rise
	}
	if !s.FanFailed {
		p[c.medium] += c.cfg.Plant.CirculationW
	}
	p[c.medium] += c.constantDuty(s.Mode)
	g.start(&s.TempK, &p, &slope)
}

// constantDuty is the heat in W that the plant gives to a medium of 0 K.
func (c *Container) constantDuty(m Mode) float64 {
	switch m {
	case Cool:
		return -c.cfg.Plant.CoolW
	case Heat:
		return c.cfg.Plant.HeatW
	case CoolBand:
		return c.cooling.band * c.cfg.Control.SetK
	case HeatBand:
		return c.heating.band * c.cfg.Control.HeatSetK
	}
	return 0
}

// advance moves s to the end of a span without switches and books what flows.
func (c *Container) advance(g *segment, s *ContainerState, span float64, f *ContainerFlow) {
	var mean [Nodes]float64
	g.mean(&mean, span)
	c.bookPlant(g, s, span, mean[c.medium], f)
	f.AmbientJ += c.cfg.Walls.OuterToAmbient * (g.ambient + g.ambientSlope*span/2 - mean[Outer]) * span
	f.RacksJ += (g.tuned.air*(mean[Battery]-mean[Air]) + g.tuned.plate*(mean[Battery]-mean[Coolant])) * span
	f.AirMeanK += mean[Air] * span
	f.CoolantMeanK += mean[Coolant] * span
	g.at(&s.TempK, span)
	s.ModeSeconds += span
}

// bookPlant adds the energies of plant and circulation.
func (c *Container) bookPlant(g *segment, s *ContainerState, span, mediumMean float64, f *ContainerFlow) {
	if !s.FanFailed {
		f.ElectricJ += c.cfg.Plant.CirculationW * span
	}
	if s.Mode == Idle {
		return
	}
	constant := c.constantDuty(s.Mode)
	duty := constant - g.tuned.band*mediumMean // W into the medium, mean
	cop := &c.cfg.Plant.CopHeat
	if s.Mode == Cool || s.Mode == CoolBand {
		cop = &c.cfg.Plant.CopCool
		f.CoolingJ -= duty * span
	} else {
		f.HeatingJ += duty * span
	}
	middle := 1 / cop.At(g.ambient+g.ambientSlope*span/2)
	f.ElectricJ += math.Abs(duty) * span * middle
	if len(cop.X) == 1 {
		return
	}
	// What the changing ambient adds, to which the changing duty matters little.
	for i, x := range gaussAt {
		at := x * span
		if g.tuned.band > 0 {
			duty = constant - g.tuned.band*g.node(c.medium, at)
		}
		f.ElectricJ += gaussWeight[i] * span * math.Abs(duty) * (1/cop.At(g.ambient+g.ambientSlope*at) - middle)
	}
}

// Abscissas and weights of Gauss-Legendre quadrature on 0..1.
var (
	gaussAt     = [3]float64{0.5 - 0.3872983346207417, 0.5, 0.5 + 0.3872983346207417} // 0.5 -+ sqrt(0.15)
	gaussWeight = [3]float64{5.0 / 18, 8.0 / 18, 5.0 / 18}
)

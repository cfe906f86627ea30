package twin

import (
	"fmt"

	"yunchu/twin/params"
	"yunchu/twin/thermal"
)

// room is the container around the strings of one unit: walls, air, coolant and the
// plant that cools them with its own electric power.
type room struct {
	kind  *thermal.Container
	state thermal.ContainerState
	flow  thermal.ContainerFlow
	plate float64 // share of the cells' conductance to the coolant that its flow can use
}

// newContainer readies the container set of m, whose racks are stepped cell by cell.
func newContainer(m *params.Model) (*thermal.Container, error) {
	c, err := thermal.NewContainer(ContainerConfig(m.Container))
	if err != nil {
		return nil, fmt.Errorf("container set %s: %w", m.Container.Name, err)
	}
	return c, nil
}

// ContainerConfig is the container of a set with no batteries of its own.
func ContainerConfig(p *params.Container) thermal.ContainerConfig {
	cfg := thermal.ContainerConfig{
		Walls: thermal.Box{
			Length: p.Box.Length, Width: p.Box.Width, Height: p.Box.Height,
			FilmInner: p.Box.FilmInner, FilmOuter: p.Box.FilmOuter,
			AirDensity: p.Air.Density, AirCp: p.Air.Cp,
			Layers: [3]thermal.Layer{layer(p.Box.Inner), layer(p.Box.Middle), layer(p.Box.Outer)},
		}.Walls(),
		Plant: thermal.Plant{
			CoolW: p.Plant.CoolW, HeatW: p.Plant.HeatW,
			CopCool: cop(p.Plant.CopCool), CopHeat: cop(p.Plant.CopHeat),
			CirculationW: p.Plant.CirculationW, StillRatio: p.Plant.StillRatio,
		},
		Control: thermal.Control{
			SetK: p.Control.SetC + zeroCelsius, ThresholdK: p.Control.ThresholdK,
			HeatSetK: p.Control.HeatSetC + zeroCelsius, BandK: p.Control.BandK,
		},
	}
	if p.Control.Kind == "proportional" {
		cfg.Control.Kind = thermal.Proportional
	}
	if p.Loop != nil {
		cfg.Loop = thermal.Loop{Capacity: p.Loop.Capacity, Flow: p.Loop.Flow}
	}
	return cfg
}

func layer(l params.WallLayer) thermal.Layer {
	return thermal.Layer{Thickness: l.Thickness, Conductivity: l.Conductivity, Density: l.Density, Cp: l.Cp}
}

func cop(t params.COPTable) thermal.Curve {
	c := thermal.Curve{Y: t.COP}
	for _, x := range t.AmbientC {
		c.X = append(c.X, x+zeroCelsius)
	}
	return c
}

// newRoom is the container of a unit that has stood at k kelvin.
func (d *design) newRoom(m *params.Model, k float64) *room {
	r := &room{kind: d.container, plate: 1}
	for n := range r.state.TempK {
		r.state.TempK[n] = k
	}
	if p := m.Container; p.Loop != nil {
		touching := 0.0
		for _, place := range d.places {
			touching += place.Coolant
		}
		touching *= float64(m.Parallel)
		if touching > 0 {
			r.plate = thermal.Loop{Flow: p.Loop.Flow, Plate: touching}.Conductance() / touching
		}
	}
	return r
}

// step moves the container on by dt seconds with the heat in J that its cells gave to
// air and coolant, the hottest of them at hottestK, and the ambient at ambientK. The
// cells in turn see the air and the coolant as they were at the beginning of the
// step: both have time constants of more than 20 s.
func (r *room) step(dt, ambientK, toAirJ, toCoolantJ, hottestK float64) {
	in := thermal.ContainerInput{
		Seconds: dt, Ambient0K: ambientK, Ambient1K: ambientK,
		AirW: toAirJ / dt, CoolantW: toCoolantJ / dt,
		Racks0K: hottestK, Racks1K: hottestK, Hottest0K: hottestK, Hottest1K: hottestK,
	}
	r.kind.Step(&r.state, &in, &r.flow)
}

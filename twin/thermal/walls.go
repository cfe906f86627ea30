package thermal

import "math"

// Box is the air space of a container and what surrounds it.
type Box struct {
	Length, Width, Height float64  // m, inside
	FilmInner, FilmOuter  float64  // W/m2/K, from a wall to the air on that side
	AirDensity            float64  // kg/m3
	AirCp                 float64  // J/kg/K
	Layers                [3]Layer // from the inside out; the middle one insulates
}

// Layer is one layer of the wall.
type Layer struct {
	Thickness    float64 // m
	Conductivity float64 // W/m/K
	Density      float64 // kg/m3
	Cp           float64 // J/kg/K
}

// Walls are the air and wall nodes that follow from a Box.
type Walls struct {
	Area   float64 // m2, all six faces of the air space
	Volume float64 // m3

	Air, Inner, Middle, Outer                          float64 // J/K
	AirInner, InnerMiddle, MiddleOuter, OuterToAmbient float64 // W/K
}

// Walls works out the nodes: all faces carry the same layers, the metal skins are
// nodes at their far side, and the insulation is one node in its own middle (the
// container of SimSES, which takes the area of the air space for every layer).
func (b Box) Walls() Walls {
	area := 2 * (b.Length*b.Width + b.Length*b.Height + b.Width*b.Height)
	volume := b.Length * b.Width * b.Height
	capacity := func(l Layer) float64 { return l.Density * l.Cp * l.Thickness * area }
	resistance := func(l Layer) float64 { return l.Thickness / (l.Conductivity * area) }
	in, mid, out := b.Layers[0], b.Layers[1], b.Layers[2]
	return Walls{
		Area:           area,
		Volume:         volume,
		Air:            b.AirDensity * b.AirCp * volume,
		Inner:          capacity(in),
		Middle:         capacity(mid),
		Outer:          capacity(out),
		AirInner:       b.FilmInner * area,
		InnerMiddle:    1 / (resistance(in) + resistance(mid)/2),
		MiddleOuter:    1 / (resistance(out) + resistance(mid)/2),
		OuterToAmbient: b.FilmOuter * area,
	}
}

// Loss is the conductance of the whole wall in W/K, air to ambient.
func (w Walls) Loss() float64 {
	return 1 / (1/w.AirInner + 1/w.InnerMiddle + 1/w.MiddleOuter + 1/w.OuterToAmbient)
}

// Loop is the coolant of a liquid-cooled container, well mixed in its reservoir.
type Loop struct {
	Capacity float64 // J/K, of the coolant
	Flow     float64 // W/K, heat capacity rate through the plates
	Plate    float64 // W/K, from the batteries to the coolant that passes
}

// Conductance is the W/K from batteries to reservoir: the coolant warms on its way
// along batteries of one temperature, so a flow F through plates of conductance G
// takes up F*(1-exp(-G/F)) per kelvin (a heat exchanger whose other side keeps its
// temperature; Incropera et al., Fundamentals of Heat and Mass Transfer, 11.4).
func (l Loop) Conductance() float64 {
	if l.Flow == 0 {
		return 0
	}
	return -l.Flow * math.Expm1(-l.Plate/l.Flow)
}

// ReturnK is the temperature at which the coolant comes back.
func (l Loop) ReturnK(supplyK, batteryK float64) float64 {
	return supplyK + (batteryK-supplyK)*l.Conductance()/l.Flow
}

// Package plot draws figures of lines over a shared axis as SVG: panels from top to
// bottom, each with its own unit, for the results of traces and for documentation.
// It is pure: the same figure gives the same bytes.
package plot

import (
	"fmt"
	"image/color"
	"math"
)

// Figure is panels above each other that share their horizontal axis.
type Figure struct {
	Title  string
	X      string  // label of the horizontal axis, unit included
	LogX   bool    // the axis is logarithmic
	Panels []Panel // from top to bottom
}

// Panel is curves of one quantity.
type Panel struct {
	Y      string // label of the vertical axis, unit included
	LogY   bool   // the axis is logarithmic
	Curves []Curve
}

// Curve is a line through the points (X[i], Y[i]), X rising; with Low the area from
// (X[i], Low[i]) up to it. A point that is not a number, or that a logarithmic axis
// cannot show, is a gap.
type Curve struct {
	Name  string // in the legend of its panel; none when empty
	X, Y  []float64
	Low   []float64
	Color Color
	Style Style
}

// Style is how a curve is drawn.
type Style uint8

// The styles of a curve.
const (
	Solid  Style = iota
	Thin         // one of many
	Dashed       // what others are compared with
	Points       // no line
	Marked       // a line with its points
)

// Color is a color of the palette, distinct on white for most readers.
type Color uint8

// The palette.
const (
	Blue Color = iota
	Orange
	Green
	Purple
	Red
	Cyan
	Gray
	Black
	colors = int(iota)
)

// Cycle is the color of the n-th of many curves.
func Cycle(n int) Color { return Color(n % (colors - 1)) }

// palette follows Okabe and Ito, Color Universal Design (2008), darkened where thin
// lines would be too light.
var palette = [colors]color.NRGBA{
	Blue:   {R: 0x00, G: 0x6b, B: 0xb3, A: 0xff},
	Orange: {R: 0xd9, G: 0x82, B: 0x00, A: 0xff},
	Green:  {R: 0x00, G: 0x8f, B: 0x6a, A: 0xff},
	Purple: {R: 0xa8, G: 0x5c, B: 0x8c, A: 0xff},
	Red:    {R: 0xc8, G: 0x50, B: 0x0a, A: 0xff},
	Cyan:   {R: 0x3f, G: 0x97, B: 0xc9, A: 0xff},
	Gray:   {R: 0x80, G: 0x80, B: 0x80, A: 0xff},
	Black:  {R: 0x20, G: 0x20, B: 0x20, A: 0xff},
}

// Seconds returns times in s in the unit that suits their span, and the label of an
// axis that shows them.
func Seconds(t []float64) (x []float64, label string) {
	end := 0.0
	for _, v := range t {
		end = max(end, v)
	}
	per, label := 1.0, "time, s"
	switch {
	case end >= 5*86400:
		per, label = 86400, "time, d"
	case end >= 2*3600:
		per, label = 3600, "time, h"
	case end >= 300:
		per, label = 60, "time, min"
	}
	x = make([]float64, len(t))
	for i, v := range t {
		x[i] = v / per
	}
	return x, label
}

// check returns what is wrong with the figure.
func (f *Figure) check() error {
	if len(f.Panels) == 0 {
		return fmt.Errorf("plot %q: no panels", f.Title)
	}
	for i := range f.Panels {
		p := &f.Panels[i]
		for _, c := range p.Curves {
			if len(c.X) != len(c.Y) || c.Low != nil && len(c.Low) != len(c.X) {
				return fmt.Errorf("plot %q: %q has %d abscissas for %d and %d values", f.Title, c.Name, len(c.X), len(c.Y), len(c.Low))
			}
			for k := range c.X {
				if !finite(c.X[k]) || k > 0 && c.X[k] < c.X[k-1] {
					return fmt.Errorf("plot %q: %q does not rise at point %d", f.Title, c.Name, k+1)
				}
			}
		}
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

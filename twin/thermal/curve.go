package thermal

// Curve is a piecewise linear function, flat outside its first and last point.
type Curve struct {
	X []float64 // strictly rising
	Y []float64 // as many
}

// Flat is the curve that is y everywhere.
func Flat(y float64) Curve { return Curve{X: []float64{0}, Y: []float64{y}} }

// At is the value at x.
func (c Curve) At(x float64) float64 {
	last := len(c.X) - 1
	if x <= c.X[0] {
		return c.Y[0]
	}
	for i := 1; i <= last; i++ {
		if x < c.X[i] {
			return c.Y[i-1] + (c.Y[i]-c.Y[i-1])*(x-c.X[i-1])/(c.X[i]-c.X[i-1])
		}
	}
	return c.Y[last]
}

// valid reports whether the curve is one, above zero everywhere.
func (c Curve) valid() bool {
	if len(c.X) == 0 || len(c.X) != len(c.Y) {
		return false
	}
	for i, y := range c.Y {
		if !(y > 0) || i > 0 && !(c.X[i] > c.X[i-1]) {
			return false
		}
	}
	return true
}

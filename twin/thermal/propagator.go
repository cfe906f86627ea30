package thermal

// Map is what a span of time does to all nodes of a network: with heat inputs
// that go from p0 to p1 linearly over the step,
//
//	T' = Keep*T + Rise*p0 + Ramp*(p1 - p0)
//
// The matrices are n*n and row-major, for use in kernels of others.
type Map struct {
	Keep []float64 // of the temperatures
	Rise []float64 // K/W, of constant heat
	Ramp []float64 // K/W, of heat that grows from 0
}

// Apply puts what becomes of t (K) under constant heat p (W) into dst, which is
// neither t nor p.
func (m *Map) Apply(dst, t, p []float64) {
	n := len(t)
	for i := range dst {
		keep, rise := m.Keep[i*n:(i+1)*n], m.Rise[i*n:(i+1)*n]
		var sum float64
		for j := range keep {
			sum += keep[j]*t[j] + rise[j]*p[j]
		}
		dst[i] = sum
	}
}

// ApplyRamp does the same for heat that goes from p0 to p1 over the step.
func (m *Map) ApplyRamp(dst, t, p0, p1 []float64) {
	n := len(t)
	m.Apply(dst, t, p0)
	for i := range dst {
		for j, r := range m.Ramp[i*n : (i+1)*n] {
			dst[i] += r * (p1[j] - p0[j])
		}
	}
}

// Propagator is a step of one length: where it ends, where it is half-way, and
// the mean over it. It is immutable; share it by all networks alike.
type Propagator struct {
	Seconds         float64
	End, Half, Mean Map
}

// Propagator prepares steps of dt seconds, exact for constant and for linearly
// changing heat and surroundings, whatever dt.
func (s *Spectrum) Propagator(dt float64) *Propagator {
	n := s.n
	p := &Propagator{Seconds: dt}
	e, half, mean := make([]float64, 3*n), make([]float64, 3*n), make([]float64, 3*n)
	for k, rate := range s.rate {
		keep, phi1, phi2, phi3 := decay(rate * dt)
		e[k], e[n+k], e[2*n+k] = keep, dt*phi1, dt*phi2
		mean[k], mean[n+k], mean[2*n+k] = phi1, dt*phi2, dt*phi3
		keep, phi1, phi2, _ = decay(rate * dt / 2)
		// Half-way the ramp has come half as high.
		half[k], half[n+k], half[2*n+k] = keep, dt/2*phi1, dt/4*phi2
	}
	p.End, p.Half, p.Mean = s.compose(e), s.compose(half), s.compose(mean)
	return p
}

// compose turns factors per mode into matrices over nodes: n factors of the
// amplitude, n of the drive, n of its growth.
func (s *Spectrum) compose(factor []float64) Map {
	n := s.n
	m := Map{Keep: make([]float64, n*n), Rise: make([]float64, n*n), Ramp: make([]float64, n*n)}
	for i := range n {
		for j := range n {
			for k := range n {
				v := s.from[i*n+k]
				m.Keep[i*n+j] += v * factor[k] * s.to[k*n+j]
				m.Rise[i*n+j] += v * factor[n+k] * s.from[j*n+k]
				m.Ramp[i*n+j] += v * factor[2*n+k] * s.from[j*n+k]
			}
		}
	}
	return m
}

// Cache keeps the propagators of a network by step length, for callers whose
// steps are cut now and then. It is for one goroutine.
type Cache struct {
	spectrum *Spectrum
	made     []*Propagator
}

// NewCache returns an empty cache.
func NewCache(s *Spectrum) *Cache { return &Cache{spectrum: s} }

// For returns the propagator of dt seconds, made at the first call.
func (c *Cache) For(dt float64) *Propagator {
	for _, p := range c.made {
		if p.Seconds == dt {
			return p
		}
	}
	p := c.spectrum.Propagator(dt)
	c.made = append(c.made, p)
	return p
}

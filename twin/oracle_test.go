package twin_test

import (
	"math"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/cell"
)

// oracle solves the equations of a module a second time, sharing no code with the
// step: the continuous equations, written down once, in an extrapolation method
// (Gragg, Bulirsch and Stoer: Hairer, Norsett, Wanner, Solving Ordinary Differential
// Equations I, §II.9) of controlled error. It lands on every kink, those of the tables
// and that of the hysteresis at zero current, so that what it integrates is smooth.
type oracle struct {
	p     twin.ModuleParams
	drive twin.Drive
	cells []oracleCell
	y     []float64 // z, v1, v2, h, T of each cell
	h     float64   // s, step that is likely right

	amps []float64 // A, of the last slope
	work [][]float64
	tab  [][]float64
}

type oracleCell struct {
	twin.Member
	span [4]int  // of OCV, half gap, entropy, resistance: knots before z
	sign float64 // of the current, -1 or 1
}

const perCell = 5

func newOracle(p twin.ModuleParams) *oracle {
	o := &oracle{p: p, h: 1}
	for _, m := range p.Cells {
		s := m.State
		o.y = append(o.y, s.SoC, s.V1, s.V2, s.Hyst, s.TempK)
		c := oracleCell{Member: m, sign: 1}
		for k := range c.span {
			xs, _ := o.table(k)
			c.span[k] = sort.SearchFloat64s(xs, s.SoC)
		}
		o.cells = append(o.cells, c)
	}
	n := len(o.y)
	for range 5 {
		o.work = append(o.work, make([]float64, n))
	}
	for range columns {
		o.tab = append(o.tab, make([]float64, n))
	}
	o.amps = make([]float64, len(p.Cells))
	return o
}

func (o *oracle) table(k int) (x, y []float64) {
	c := o.p.Cell
	switch k {
	case 0:
		return c.OCV.SoC, c.OCV.V
	case 1:
		return c.Hysteresis.SoC, c.Hysteresis.M
	case 2:
		return c.Entropic.SoC, c.Entropic.DUDT
	}
	return c.Resistance.SoC, c.Resistance.RTot
}

// value is table k of c at z, with the line of its span.
func (o *oracle) value(c *oracleCell, k int, z float64) float64 {
	x, y := o.table(k)
	i := c.span[k]
	switch i {
	case 0:
		return y[0]
	case len(x):
		return y[i-1]
	}
	return y[i-1] + (y[i]-y[i-1])*(z-x[i-1])/(x[i]-x[i-1])
}

// source is what c shows at its terminals: a voltage and a resistance.
func (o *oracle) source(c *oracleCell, y []float64) (ua, e, r float64, rk [3]float64) {
	p := o.p.Cell
	x := (1/y[4] - 1/p.TRefK) / p.RGas
	ua = o.value(c, 0, y[0]) + (y[4]-p.TRefK)*o.value(c, 2, y[0])
	rt := c.Resistance * o.value(c, 3, y[0])
	f, ea := p.Resistance.Frac, p.Resistance.EaPerMol
	rk = [3]float64{rt * f.R0 * math.Exp(ea.R0*x), rt * f.R1 * math.Exp(ea.R1*x), rt * f.R2 * math.Exp(ea.R2*x)}
	return ua, ua + y[3]*o.value(c, 1, y[0]) + y[1] + y[2], rk[0], rk
}

// share puts the current of every cell into o.amps and returns those of the module.
func (o *oracle) share(y []float64) (amps, volts float64) {
	var eth, rth float64
	group := func(g int) (e, r float64) {
		var sum, ge float64
		for k := g; k < g+o.p.Parallel; k++ {
			c := &o.cells[k]
			_, ek, rk, _ := o.source(c, y[k*perCell:])
			sum += 1 / (rk + c.ContactOhm)
			ge += ek / (rk + c.ContactOhm)
		}
		return ge / sum, 1 / sum
	}
	for g := 0; g < len(o.cells); g += o.p.Parallel {
		e, r := group(g)
		eth += e
		rth += r
	}
	amps = o.drive.Value
	switch o.drive.Kind {
	case twin.ByPower:
		amps = 2 * o.drive.Value / (eth + math.Sqrt(eth*eth+4*rth*o.drive.Value))
	case twin.ByVoltage:
		amps = (o.drive.Value - eth) / rth
	}
	for g := 0; g < len(o.cells); g += o.p.Parallel {
		e, r := group(g)
		for k := g; k < g+o.p.Parallel; k++ {
			c := &o.cells[k]
			_, ek, rk, _ := o.source(c, y[k*perCell:])
			o.amps[k] = (e + r*amps - ek) / (rk + c.ContactOhm)
			if o.p.Parallel == 1 {
				o.amps[k] = amps
			}
		}
	}
	return amps, eth + rth*amps
}

// slope is dy/dt.
func (o *oracle) slope(dy, y []float64) {
	o.share(y)
	p, heat := o.p.Cell, o.p.Heat
	capacity := p.Thermal.MassKg * p.Thermal.CpJPerKg
	for k := range o.cells {
		c, i, s, d := &o.cells[k], o.amps[k], y[k*perCell:], dy[k*perCell:]
		ua, e, r0, rk := o.source(c, s)
		through := i
		if c.sign > 0 {
			through *= p.CoulombicEfficiency
		}
		q := 3600 * p.CapacityAh * c.Capacity
		d[0] = through / q
		d[1] = (rk[1]*i - s[1]) / p.Resistance.Tau.Tau1
		d[2] = (rk[2]*i - s[2]) / p.Resistance.Tau.Tau2
		d[3] = p.Hysteresis.Gamma / q * (through - c.sign*through*s[3])
		w := i*(e+r0*i-ua) + i*s[4]*o.value(c, 2, s[0]) + heat.EnvWPerK*(heat.EnvK-s[4])
		if k > 0 {
			w += heat.NeighbourWPerK * (y[(k-1)*perCell+4] - s[4])
		}
		if k < len(o.cells)-1 {
			w += heat.NeighbourWPerK * (y[(k+1)*perCell+4] - s[4])
		}
		if k == 0 && heat.CoolFirst {
			w += heat.CoolantWPerK * (heat.CoolantK - s[4])
		}
		if k == len(o.cells)-1 && heat.CoolLast {
			w += heat.CoolantWPerK * (heat.CoolantK - s[4])
		}
		d[4] = w / capacity
	}
}

const columns = 9

// try extrapolates a step of h seconds from o.y into o.tab[0] and tells whether
// it is accurate, and after how many columns.
func (o *oracle) try(h float64) (ok bool, used int) {
	a, b, c, d0, d := o.work[0], o.work[1], o.work[2], o.work[3], o.work[4]
	o.slope(d0, o.y)
	for j := range columns {
		n := 2 * (j + 1)
		s := h / float64(n)
		for k, v := range o.y {
			a[k], b[k] = v, v+s*d0[k]
		}
		for range n - 1 {
			o.slope(d, b)
			for k := range a {
				c[k] = a[k] + 2*s*d[k]
			}
			a, b, c = b, c, a
		}
		o.slope(d, b)
		for k := range a {
			c[k] = (a[k] + b[k] + s*d[k]) / 2
		}
		// Aitken-Neville in s^2; tab[i] holds the entry that began with column i.
		worst := 0.0
		copy(o.tab[j], c)
		for i := j - 1; i >= 0; i-- {
			w := float64(j+1) / float64(i+1)
			w = w*w - 1
			for k := range c {
				delta := (o.tab[i+1][k] - o.tab[i][k]) / w
				o.tab[i][k] = o.tab[i+1][k] + delta
				if i == 0 {
					worst = max(worst, math.Abs(delta)/([perCell]float64{1e-13, 1e-13, 1e-13, 1e-11, 1e-10}[k%perCell]))
				}
			}
		}
		if j > 1 && worst < 1 {
			return true, j
		}
	}
	return false, columns
}

// What is on a kink, and steps too short to matter on which side of one they are.
const (
	onKnot  = 1e-12 // of state of charge
	noAmps  = 1e-7  // A
	instant = 1e-5  // s
)

// advance solves the next dt seconds under d.
func (o *oracle) advance(d twin.Drive, dt float64) {
	o.drive = d
	o.share(o.y)
	for k, i := range o.amps {
		if math.Abs(i) > noAmps {
			o.cells[k].sign = math.Copysign(1, i)
		}
	}
	before := make([]float64, len(o.amps))
	for t := 0.0; t < dt; {
		o.share(o.y)
		copy(before, o.amps)
		h := min(o.h, dt-t)
		for n := 0; ; n++ {
			ok, used := o.try(h)
			if !ok {
				h /= 2
				o.h = h
				if h < 1e-9 {
					panic("oracle: the step vanishes")
				}
				continue
			}
			if h == o.h && used < columns-2 {
				o.h *= 1.5
			}
			o.share(o.tab[0])
			if n < 9 && o.turn(before) {
				continue
			}
			part := o.kink(before)
			if part == 1 || h <= instant {
				break
			}
			h = max(h*part, instant)
		}
		copy(o.y, o.tab[0])
		t += h
	}
}

// turn puts what begins the step on a kink on the side where it goes, and tells whether
// there was any.
func (o *oracle) turn(before []float64) (turned bool) {
	for k := range o.cells {
		c, z0, z1 := &o.cells[k], o.y[k*perCell], o.tab[0][k*perCell]
		if math.Abs(before[k]) <= 2*noAmps && o.amps[k]*c.sign < -2*noAmps {
			c.sign, turned = -c.sign, true
		}
		for m := range c.span {
			x, _ := o.table(m)
			if i := c.span[m]; i < len(x) && z0 >= x[i]-2*onKnot && z1 > x[i]+onKnot {
				c.span[m], turned = i+1, true
			} else if i > 0 && z0 <= x[i-1]+2*onKnot && z1 < x[i-1]-onKnot {
				c.span[m], turned = i-1, true
			}
		}
	}
	return turned
}

// kink is the part of the step from o.y to o.tab[0] that has no kink inside; the
// currents are before at its start and o.amps at its end.
func (o *oracle) kink(before []float64) float64 {
	part := 1.0
	for k := range o.cells {
		c, z0, z1 := &o.cells[k], o.y[k*perCell], o.tab[0][k*perCell]
		for m, i := range c.span {
			x, _ := o.table(m)
			if i < len(x) && z1 > x[i]+onKnot {
				part = min(part, (x[i]-z0)/(z1-z0))
			}
			if i > 0 && z1 < x[i-1]-onKnot {
				part = min(part, (x[i-1]-z0)/(z1-z0))
			}
		}
		if o.amps[k]*c.sign < -2*noAmps && before[k]*c.sign > 0 {
			part = min(part, before[k]/(before[k]-o.amps[k]))
		}
	}
	return max(part, 0)
}

// row is what a trace should say at this moment under d.
func (o *oracle) row(d twin.Drive) twin.TraceRow {
	o.drive = d
	i, v := o.share(o.y)
	r := twin.TraceRow{CurrentA: i, VoltageV: v, PowerW: v * i}
	for k := range o.cells {
		s := o.y[k*perCell:]
		_, e, r0, _ := o.source(&o.cells[k], s)
		r.Cells = append(r.Cells, twin.TraceCell{
			State:    cell.State{SoC: s[0], V1: s[1], V2: s[2], Hyst: s[3], TempK: s[4]},
			CurrentA: o.amps[k], VoltageV: e + r0*o.amps[k],
		})
	}
	return r
}

// The oracle agrees with the reference traces, which other solvers made.
func TestOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("computes; what is stepped side by side is that of TestCellsAreDeterministic")
	}
	dir := referenceDir()
	for _, ref := range references() {
		t.Run(ref.name, func(t *testing.T) {
			c := ref.traceCase(t, dir)
			want := readReference(t, filepath.Join(dir, ref.name+".csv"))
			o := newOracle(c.ModuleParams)
			var d off
			at, last := time.Duration(0), len(c.Profile)-1
			look := func(drive twin.Drive) {
				if w, ok := want[at.Milliseconds()]; ok {
					w.compare(o.row(drive), &d)
				}
			}
			for k, p := range c.Profile[:last] {
				for end := c.Profile[k+1].T; at < end; {
					look(p.Drive)
					step := min(50*time.Second, end-at)
					o.advance(p.Drive, step.Seconds())
					at += step
				}
			}
			look(c.Profile[last].Drive)
			t.Log(d)
			if !d.within(bar{2e-9, 2e-7, 1e-6}) {
				t.Errorf("%v apart", d)
			}
		})
	}
}

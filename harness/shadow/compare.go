//go:build !nosim

package shadow

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"yunchu/platform/device"
	"yunchu/twin/cell"
)

// Margin is what a device and the twin of its model may be apart by in its sign test. A
// field that is 0 stands for its default.
type Margin struct {
	SoC        float64 // 0..1, what the reported state of charge may be off by; default 0.05
	Voltage    float64 // share of the voltage, what the instrument may be off by; default 0.01
	Resistance float64 // how many times its model's the resistance may be, for age and cold cells; default 3
	Power      float64 // share of rated power, of what was asked for and of what the converter loses; default 0.02
	Nameplate  float64 // share, of rated power and energy: makers round; default 0.1
	VoltStep   float64 // V, in which the voltage moves where that is coarser than declared; 0: as declared
}

// What no entry changes.
const (
	stiffer   = 0.65  // of the model's resistance: less is a larger battery
	socMoves  = 0.015 // 0..1, beyond the twin's: reports in whole percent, and one correction
	tempMoves = 3.0   // K: a sensor of whole degrees, and another cell that is the hottest
	stepV     = 0.1   // V, in which packs report their voltage unless they are seen or said to be coarser
	wholeV    = 1.0   // V, that of whole volts which nobody declares
	coarser   = 10    // times what is declared, at most, is what a voltage is seen to move in
	ampShare  = 0.1   // of the current, beyond what the losses explain
	tellsStep = 3     // times the error of the difference, from which on the voltage tells a resistance, or stands still
)

func (m Margin) withDefaults() Margin {
	m.SoC = cmp.Or(m.SoC, 0.05)
	m.Voltage = cmp.Or(m.Voltage, 0.01)
	m.Resistance = cmp.Or(m.Resistance, 3)
	m.Power = cmp.Or(m.Power, 0.02)
	m.Nameplate = cmp.Or(m.Nameplate, 0.1)
	return m
}

func (m *Margin) check() error {
	if !(m.SoC > 0 && m.Voltage > 0 && m.Power > 0 && m.Nameplate > 0 && m.VoltStep >= 0) || !(m.Resistance >= 1) {
		return errors.New("a margin is above 0, and that of the resistance at least 1")
	}
	return nil
}

// Comparison holds the sign test of a device against the twin of the model, which begins
// at the state of charge and temperature that the device reported before, and takes the
// power that the device took. Nothing of it is fitted. Per cell, at state of charge z,
//
//	V within V_twin(z, I) ± ( |U(z ± soc) - U(z)|          the report of z
//	                        + M(z)                         hysteresis, whose past nobody knows
//	                        + (R1 + R2) I_rated            what flowed before, and still relaxes
//	                        + (resistance - 1) R0 |I|      an old or a cold cell
//	                        + 12 mV                        the model
//	                        + voltage V )                  the instrument
//
// and for the whole device: power within what was asked for ± power P_rated; current within
// that of the converter's losses ± (power P_rated/V + I/10); the voltage's step from
// discharging to charging, less the straight line from before to after, within 0.65 and
// resistance times the twin's, where the report resolves it; a voltage that stands still has
// no step where the twin's is three of those in which it is written; state of charge and temperature
// move as the twin's do within 1.5 points and 3 K; rated power and energy of the nameplate
// are the model's within its share.
func (k *Kind) Comparison(m Margin) (device.Comparison, error) {
	m = m.withDefaults()
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("comparison with %s: %w", k.model.Name, err)
	}
	return func(said *device.Info, window []device.Tried) (evidence, differs string) {
		c := comparison{Kind: k, Margin: m}
		if said == nil {
			said = &device.Info{}
		}
		c.VoltStep = cmp.Or(c.VoltStep, said.VoltStep)
		c.nameplate(said)
		c.follow(window)
		c.judge()
		of := "the twin of " + k.model.Name
		if len(c.apart) > 0 {
			return "", "it differs from " + of + ": " + strings.Join(c.apart, "; ")
		}
		evidence = "compared with " + of + ": " + cmp.Or(strings.Join(c.alike, "; "), "nothing")
		if len(c.silent) > 0 {
			evidence += "; not compared: " + strings.Join(c.silent, ", ")
		}
		return evidence, ""
	}, nil
}

// moment is one reading and what the twin does then.
type moment struct {
	*device.Tried
	t     float64 // s since the first
	volt  float64 // V of the pack
	amps  float64 // A of the pack
	slack float64 // V of the pack, what the voltage may be off by
	soc   float64 // 0..1
	hotK  float64
}

// comparison is one sign test beside its twin.
type comparison struct {
	*Kind
	Margin
	list []moment
	soc  bool // the device reports its state of charge

	apart, alike, silent []string
}

// hold compares one quantity.
func (c *comparison) hold(what, unit string, measured, expected, tolerance float64) {
	c.between(what, unit, measured, expected, expected-tolerance, expected+tolerance, "± "+figure(tolerance, tolerance))
}

// between is hold with bounds, and how they are told.
func (c *comparison) between(what, unit string, measured, expected, lo, hi float64, told string) {
	tolerance := (hi - lo) / 2
	text := fmt.Sprintf("%s %s %s, expected %s %s %s", what, figure(measured, tolerance), unit, figure(expected, tolerance), told, unit)
	if measured < lo || measured > hi {
		c.apart = append(c.apart, text)
	} else {
		c.alike = append(c.alike, text)
	}
}

// figure is v with as many decimals as a tolerance is worth.
func figure(v, tolerance float64) string {
	decimals := int(min(max(2-math.Floor(math.Log10(tolerance)), 0), 6))
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "-0" {
		return "0"
	}
	return text
}

// nameplate compares what the device says of itself with what the model says.
func (c *comparison) nameplate(said *device.Info) {
	for _, q := range []struct {
		what, unit     string
		said, expected float64
	}{{"rated power", "kW", said.RatedKW, c.model.RatedKW}, {"rated energy", "kWh", said.CapacityKWh, c.model.RatedKWh}} {
		if q.said > 0 {
			c.hold(q.what+" on its nameplate", q.unit, q.said, q.expected, c.Nameplate*q.expected)
		} else {
			c.silent = append(c.silent, q.what)
		}
	}
}

// follow lets a twin take the power that the device took.
func (c *comparison) follow(window []device.Tried) {
	for len(window) > 0 && window[0].Power != window[0].Power {
		window = window[1:]
	}
	if len(window) == 0 {
		return
	}
	first := &window[0]
	limits := &c.model.Limits.SoC
	z, tempK := (limits.Min+limits.Max)/200, c.model.Cell.TRefK
	if c.soc = first.SoC == first.SoC; c.soc {
		z = first.SoC / 100
	}
	if first.Temperature == first.Temperature {
		tempK = first.Temperature + kelvin
	}
	t := twin{Kind: c.Kind, airK: tempK}
	t.begin(z, tempK)
	was, at := 0.0, first.At
	for i := range window {
		r := &window[i]
		if r.Power != r.Power || r.At < at {
			continue
		}
		amps := t.directA(r.Power, was) / c.parallel
		if dt := float64(r.At-at) / 1e3; dt > 0 {
			t.step(dt, (was+amps)/2, (amps-was)/2, tempK)
		}
		was, at = amps, r.At
		c.list = append(c.list, moment{
			Tried: r, t: float64(r.At-first.At) / 1e3, amps: amps * c.parallel,
			volt: c.series * t.cell.Voltage(amps), slack: c.slack(&t, amps), soc: t.cell.SoC(), hotK: t.hotK,
		})
	}
}

// slack is what the voltage of the pack may be off by, V; see Comparison.
func (c *comparison) slack(t *twin, amps float64) float64 {
	s := t.cell.State()
	at := func(soc, hyst float64) (rest, ocv float64) {
		x := c.cells.Cell(cell.State{SoC: min(max(soc, 0), 1), Hyst: hyst, TempK: s.TempK}, cell.Nominal)
		return x.Voltage(0), x.OCV()
	}
	off, limits := c.SoC, &c.model.Limits.SoC
	if !c.soc {
		off = (limits.Max - limits.Min) / 200
	}
	rest, here := at(s.SoC, 1)
	_, above := at(s.SoC+off, 0)
	_, below := at(s.SoC-off, 0)
	r := &c.model.Cell.Resistance.Frac
	relaxes := (r.R1 + r.R2) / r.R0 * t.ohmic() * c.ratedA() / c.parallel
	perCell := max(above-here, here-below) + math.Abs(rest-here) + relaxes + (c.Resistance-1)*t.ohmic()*math.Abs(amps) + Tolerance{}.withDefaults(c.series, true).ModelV
	return c.series * (perCell + c.Voltage*t.cell.Voltage(amps))
}

// judge compares what the device reported with the twin's.
func (c *comparison) judge() {
	if len(c.list) == 0 {
		c.silent = append(c.silent, "its readings")
		return
	}
	rated := c.model.RatedKW
	c.worst("power", "kW", true, func(m *moment) (measured, expected, tolerance float64) {
		return m.Power, m.AskedKW, c.Power * rated
	})
	c.worst("voltage", "V", false, func(m *moment) (measured, expected, tolerance float64) {
		return m.Voltage, m.volt, m.slack
	})
	c.worst("current", "A", true, func(m *moment) (measured, expected, tolerance float64) {
		return m.Current, m.amps, c.Power*rated*1e3/m.volt + ampShare*math.Abs(m.amps)
	})
	c.step()
	first := &c.list[0]
	c.worst("movement of the state of charge", "%", false, func(m *moment) (measured, expected, tolerance float64) {
		return m.SoC - first.SoC, 100 * (m.soc - first.soc), 100 * socMoves
	})
	c.worst("movement of the temperature", "K", false, func(m *moment) (measured, expected, tolerance float64) {
		return m.Temperature - first.Temperature, m.hotK - first.hotK, tempMoves
	})
}

// worst compares the moment at which a quantity is the furthest off, in its tolerance: of
// those at which the device had the time to follow, or of all.
func (c *comparison) worst(what, unit string, steady bool, of func(m *moment) (measured, expected, tolerance float64)) {
	var measured, expected, tolerance float64
	off := -1.0
	for i := range c.list {
		if steady && c.list[i].AskedKW != c.list[i].AskedKW {
			continue
		}
		m, e, t := of(&c.list[i])
		if d := math.Abs(m-e) / t; d > off {
			measured, expected, tolerance, off = m, e, t, d
		}
	}
	if off < 0 {
		c.silent = append(c.silent, what)
		return
	}
	c.hold(what, unit, measured, expected, tolerance)
}

// step compares the resistance, by how far the voltage lies higher while the device
// charges. What still relaxes of the time before moves on about straight meanwhile: the
// line from before the test to after it is taken off both.
func (c *comparison) step() {
	const what = "step of the voltage"
	var in, out, after phase
	for i := range c.list {
		switch m := &c.list[i]; {
		case m.Voltage != m.Voltage:
		case m.AskedKW > 0:
			in.add(m)
		case m.AskedKW < 0:
			out.add(m)
		case m.AskedKW == 0:
			after.add(m)
		}
	}
	first := &c.list[0]
	if in.n == 0 || out.n == 0 || after.n == 0 || first.Voltage != first.Voltage || !(after.t/after.n > 0) {
		c.silent = append(c.silent, what)
		return
	}
	part := (in.t/in.n - out.t/out.n) / (after.t / after.n) // of the line, less than 0
	measured := in.volt/in.n - out.volt/out.n - part*(after.volt/after.n-first.Voltage)
	expected := in.twin/in.n - out.twin/out.n - part*(after.twin/after.n-first.volt)
	written, finest, still := c.steps()
	// Each of the four is rounded by half a step.
	resolved := max(stepV, finest) * (1 - part)
	lo, hi := stiffer*expected-resolved, c.Resistance*expected+resolved
	told := fmt.Sprintf("(%s to %s)", figure(lo, hi-lo), figure(hi, hi-lo))
	switch {
	case still && expected >= tellsStep*written:
		// Whatever relaxes meanwhile, half of the step lies between some two of the four.
		c.apart = append(c.apart, fmt.Sprintf("%s 0 V, expected %s V: it stands still at %s V, in steps of %s V",
			what, figure(expected, expected), figure(first.Voltage, written), figure(written, written)))
	case expected >= tellsStep*resolved:
		c.between(what, "V", measured, expected, lo, hi, told)
	default:
		c.silent = append(c.silent, what+", which is too small to tell")
	}
}

// steps are those in which the voltage is written, as it is declared or else as it looks, and
// the finest in which it was seen to move, both V; still: it was not.
func (c *comparison) steps() (written, finest float64, still bool) {
	var seen []float64
	written = wholeV
	for i := range c.list {
		if v := c.list[i].Voltage; v == v {
			seen = append(seen, v)
			if v != math.Round(v) {
				written = stepV
			}
		}
	}
	written = cmp.Or(c.VoltStep, written)
	slices.Sort(seen)
	finest, still = coarser*written, true
	for i := 1; i < len(seen); i++ {
		if d := seen[i] - seen[i-1]; d > 1e-6 {
			finest, still = min(finest, d), false
		}
	}
	return written, finest, still
}

// phase sums up moments of one phase.
type phase struct{ n, t, volt, twin float64 }

func (x *phase) add(m *moment) {
	x.n++
	x.t += m.t
	x.volt += m.Voltage
	x.twin += m.volt
}

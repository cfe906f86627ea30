//go:build !nosim

package shadow

import (
	"fmt"
	"math"

	"yunchu/platform/device"
)

// Options are what a shadow is told besides its model.
type Options struct {
	Tolerance Tolerance
	// AmbientK is the temperature around the unit, K. 0: nobody knows it; it is
	// learnt, and the thermal channel tolerates more.
	AmbientK float64
}

// Shadow is the twin beside one device and what it has found. It is not safe for
// concurrent use. Its time is that of the readings.
type Shadow struct {
	tol   Tolerance
	twin  twin
	learn bool // the ambient temperature

	at    int64 // ms, of the newest reading; 0 before the first
	amps  float64
	moved float64 // charge since the start, share of capacity
	ready bool    // the twin has a state of charge
	lost  bool    // the link was blind: the twin must begin anew

	voltage voltage
	charge  charge
	current current
	heat    heat
	link    link

	changes []Change
}

// gap is the longest time between two readings that the twin goes on through, ms.
const gap = 10 * 60 * 1000

// anchorS is the time in which the twin follows the reported state of charge, s.
const anchorS = 600.0

// Shadow returns a shadow that has not seen a reading.
func (k *Kind) Shadow(o Options) (*Shadow, error) {
	tol := o.Tolerance.withDefaults(k.series, o.AmbientK > 0)
	if err := tol.check(); err != nil {
		return nil, fmt.Errorf("shadow of %s: %w", k.model.Name, err)
	}
	s := &Shadow{tol: tol, learn: !(o.AmbientK > 0)}
	s.twin = twin{Kind: k, airK: o.AmbientK}
	s.voltage = newVoltage(&s.tol)
	s.charge = newCharge(&s.tol, k.model.Cell.CapacityAh*k.parallel)
	s.current = current{limit: tol.Current * k.ratedA()}
	s.heat = heat{tol: &s.tol}
	s.link = link{tol: &s.tol}
	return s, nil
}

// SetAmbient tells the temperature around the unit, K.
func (s *Shadow) SetAmbient(k float64) {
	if !s.learn {
		s.twin.airK = k
	}
}

// SetSoC tells the state of charge, 0..1, of a device that does not report it.
func (s *Shadow) SetSoC(soc, tempK float64) {
	s.twin.begin(soc, tempK)
	s.ready = true
}

// Findings appends what is diverging now.
func (s *Shadow) Findings(to []Finding) []Finding {
	for _, a := range s.alarms() {
		if a.on {
			to = append(to, a.finding)
		}
	}
	return to
}

func (s *Shadow) alarms() [5]*alarm {
	return [...]*alarm{&s.link.alarm, &s.current.alarm, &s.charge.alarm, &s.voltage.alarm, &s.heat.alarm}
}

// Step takes in a reading and returns what it changes, valid until the next call.
func (s *Shadow) Step(r *device.Reading) []Change {
	if s.at != 0 && r.At <= s.at {
		if r.Flags&device.FlagOrder != 0 {
			s.link.older()
		}
		return nil
	}
	before := s.state()
	dt := float64(r.At-s.at) / 1e3
	if fresh := s.at == 0; fresh || r.At-s.at > gap {
		dt = 0
	}
	s.at = r.At
	s.link.newest(r, dt)
	if dt == 0 {
		s.begin(r)
	} else {
		s.advance(r, dt)
	}
	return s.diff(before, r.Arrived)
}

// Expect takes in an acknowledgement: from here on the device should do as it said.
func (s *Shadow) Expect(a *device.Ack) {
	if a.Status != device.Done || a.Repeat {
		return
	}
	s.link.order = order{kw: a.Power, from: a.At, until: a.Until, on: a.Verb == device.SetPower}
}

// Tick notices at now, in ms, that nothing comes, and returns what that changes.
func (s *Shadow) Tick(now int64) []Change {
	before := s.state()
	s.link.silent(now)
	return s.diff(before, now)
}

// begin puts the twin where the device says it is, at the start or after a gap.
func (s *Shadow) begin(r *device.Reading) {
	s.voltage.restart()
	s.charge.restart()
	s.heat.begun = false
	if r.Quality == device.Bad {
		return
	}
	s.lost = false
	s.amps = r.Current / s.twin.parallel
	tempK := r.Temperature + kelvin
	if tempK != tempK {
		tempK = s.twin.model.Cell.TRefK
	}
	if s.twin.airK == 0 {
		s.twin.airK = tempK
	}
	s.twin.hotK = tempK
	if r.SoC == r.SoC {
		s.twin.begin(r.SoC/100, tempK)
		s.ready = true
	}
}

// advance moves the twin on by dt seconds to the reading and lets every channel look.
func (s *Shadow) advance(r *device.Reading, dt float64) {
	if r.Quality == device.Bad || r.Current != r.Current {
		s.link.judge(dt, fields, 0)
		return
	}
	if !s.ready || s.lost && !s.link.blind() {
		s.begin(r)
	}
	if !s.ready {
		s.link.judge(dt, fields, 0)
		return
	}
	amps := r.Current / s.twin.parallel
	mean := (amps + s.amps) / 2 // a step between two readings lies anywhere between them
	s.amps = amps
	tempK := r.Temperature + kelvin
	if !s.heat.trusted() || tempK != tempK {
		tempK = s.twin.hotK
	}
	moved := s.twin.step(dt, mean, tempK)
	s.moved += moved

	s.link.judge(dt, s.stuck(r), s.unheeded(r))
	if s.link.blind() {
		s.lost = true
		return
	}
	s.lookAtCurrent(r, dt)
	s.lookAtCharge(r, dt, moved)
	s.lookAtVoltage(r, dt, amps, mean)
	s.lookAtHeat(r, dt)
}

func (s *Shadow) lookAtCurrent(r *device.Reading, dt float64) {
	if d := r.Current - s.twin.directA(r.Power, s.amps); d == d && r.Status != device.Fault {
		s.current.step(dt, d)
	}
}

func (s *Shadow) lookAtCharge(r *device.Reading, dt, moved float64) {
	if r.SoC != r.SoC {
		return
	}
	soc := r.SoC / 100
	s.charge.step(dt, soc, moved, soc-s.twin.cell.SoC(), s.current.doubtful())
	if s.charge.trusted() {
		s.twin.anchor(soc, -math.Expm1(-dt/anchorS))
	}
}

func (s *Shadow) lookAtVoltage(r *device.Reading, dt, amps, mean float64) {
	soc, window := s.twin.cell.SoC(), &s.twin.model.Limits.SoC
	if !(r.Voltage > 0) || r.Status == device.Fault || r.Status == device.Offline || soc < window.Min/100 || soc > window.Max/100 {
		return
	}
	over, quick := s.twin.over(amps)
	s.voltage.step(&sample{
		dt: dt, left: r.Voltage/s.twin.series - s.twin.cell.Voltage(amps), amps: amps, mean: mean,
		ohmic: s.twin.ohmic(), over: over, quick: quick, slope: s.twin.slope(soc),
		anchored: r.SoC == r.SoC,
	}, s.current.doubtful() || !s.charge.trusted())
}

func (s *Shadow) lookAtHeat(r *device.Reading, dt float64) {
	tempK := r.Temperature + kelvin
	if tempK != tempK {
		return
	}
	difference := tempK - s.twin.hotK
	s.heat.step(dt, difference, s.current.doubtful())
	if s.learn && !s.heat.alarm.on && s.twin.loss > 0 {
		// Four time constants of the cell: critically damped.
		s.twin.airK += difference * min(dt*s.twin.loss/(4*s.twin.heat), 1)
	}
}

// stuck is the field that stands still while the twin says that it should move, or
// fields when there is none.
func (s *Shadow) stuck(r *device.Reading) int {
	t, f := &s.twin, &s.link.fields
	volt := t.series * t.cell.Voltage(s.amps)
	found := fields
	for i, x := range [fields]struct{ value, expected, limit float64 }{
		voltageField: {r.Voltage, volt, t.series * 0.01},
		currentField: {r.Current, t.directA(r.Power, s.amps), 0.05 * t.ratedA()},
		powerField:   {r.Power, r.Current * r.Voltage / 1e3, 0.05 * t.model.RatedKW},
		socField:     {r.SoC / 100, s.moved, 0.01},
		tempField:    {r.Temperature, t.hotK, s.tol.TempK * 2 / 3},
	} {
		if f[i].step(x.value, x.expected, x.limit) && found == fields {
			found = i
		}
	}
	return found
}

// unheeded is how far the device is from the setpoint that it has taken, kW, 0 where
// it follows, may not, or has not had the time.
func (s *Shadow) unheeded(r *device.Reading) float64 {
	o, m := &s.link.order, s.twin.model
	takes := 2e3 * (1 + 2/m.PCS.RampPerS) // ms, from one end of the range to the other, and as much again
	if !o.on || float64(r.At-o.from) < takes || (o.until != 0 && r.At >= o.until) || r.Power != r.Power {
		return 0
	}
	if r.Status == device.Fault || r.Status == device.Offline {
		return 0
	}
	want := o.kw
	if r.MaxCharge == r.MaxCharge && r.MaxDischarge == r.MaxDischarge {
		want = min(max(want, -r.MaxDischarge), r.MaxCharge)
	} else if !s.free(r) {
		return 0
	}
	if d := r.Power - want; math.Abs(d) > s.tol.Power*m.RatedKW {
		return d
	}
	return 0
}

// free reports whether the device is so far inside its limits that none of them can
// keep it from its setpoint.
func (s *Shadow) free(r *device.Reading) bool {
	l := &s.twin.model.Limits
	cold := max(l.TempC.Charge.FullFrom, l.TempC.Discharge.FullFrom)
	hot := min(l.TempC.Charge.FullTo, l.TempC.Discharge.FullTo)
	return r.SoC > l.SoC.Min+3 && r.SoC < l.SoC.Max-3 && r.Temperature > cold && r.Temperature < hot
}

// state is which alarms are on.
func (s *Shadow) state() (on [5]bool) {
	for i, a := range s.alarms() {
		on[i] = a.on
	}
	return on
}

// diff lists what has changed since before.
func (s *Shadow) diff(before [5]bool, at int64) []Change {
	s.changes = s.changes[:0]
	for i, a := range s.alarms() {
		if a.on == before[i] {
			continue
		}
		if a.on {
			a.finding.Since = at
		}
		s.changes = append(s.changes, Change{Finding: a.finding, Over: !a.on, At: at})
	}
	return s.changes
}

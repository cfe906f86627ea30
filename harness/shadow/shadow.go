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
	// AmbientK is the temperature around the unit, K. 0: nobody knows it. Then, and
	// where a coolant has a temperature of its own, it is learnt, and the thermal
	// channel tolerates more.
	AmbientK float64
}

// Shadow is the twin beside one device and what it has found. It is not safe for
// concurrent use. Its time is that of the readings.
type Shadow struct {
	tol   Tolerance
	twin  twin
	learn bool // the ambient temperature

	at     int64 // ms, of the newest reading; 0 before the first
	driven int64 // ms, of the newest reading that moved the twin; 0 before the first
	amps   float64
	moved  float64 // charge since the start, share of capacity
	ready  bool    // the twin has a state of charge
	lost   bool    // the readings said nothing: the twin must begin anew

	voltage voltage
	charge  charge
	current current
	heat    heat
	link    link
	plan    plan

	changes []Change
}

// gap is the longest time between two readings that the twin goes on through, s.
const gap = 600.0

// anchorS is the time in which the twin follows the reported state of charge, s.
const anchorS = 600.0

// Shadow returns a shadow that has not seen a reading.
func (k *Kind) Shadow(o Options) (*Shadow, error) {
	known := o.AmbientK > 0 && !k.cooled
	tol := o.Tolerance.withDefaults(k.series, known)
	if err := tol.check(); err != nil {
		return nil, fmt.Errorf("shadow of %s: %w", k.model.Name, err)
	}
	s := &Shadow{tol: tol, twin: twin{Kind: k}, learn: !known}
	if known {
		s.twin.airK = o.AmbientK
	}
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
	dt := 0.0
	if s.at != 0 {
		dt = float64(r.At-s.at) / 1e3
	}
	s.at = r.At
	s.link.newest(r, dt)
	if r.Quality == device.Bad || r.Current != r.Current {
		s.link.judge(dt, 0)
	} else {
		s.take(r)
	}
	return s.diff(before, r.Arrived)
}

// take lets a reading that can be used move the twin on.
func (s *Shadow) take(r *device.Reading) {
	dt := float64(r.At-s.driven) / 1e3
	fresh := s.driven == 0 || dt > gap
	s.driven = r.At
	if fresh || !s.ready {
		s.begin(r)
		return
	}
	mean := s.drive(r, dt)
	s.watch(r, dt)
	s.link.judge(dt, s.unheeded(r))
	switch {
	case s.link.blind():
		s.lost = true
	case s.lost:
		s.begin(r)
	default:
		s.look(r, dt, mean)
	}
}

// Expect takes in an acknowledgement: from here on the device should do as it said.
func (s *Shadow) Expect(a *device.Ack) {
	if a.Status == device.Done && !a.Repeat {
		s.plan.told(a)
	}
}

// Tick notices at now, in ms, that nothing comes, and returns what that changes.
func (s *Shadow) Tick(now int64) []Change {
	before := s.state()
	s.link.silent(now)
	return s.diff(before, now)
}

// begin puts the twin where the device says it is, at the start or after a gap.
func (s *Shadow) begin(r *device.Reading) {
	s.lost = false
	s.voltage.restart()
	s.charge.restart()
	s.heat.restart()
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

// drive moves the twin on by dt seconds to the reading and returns the mean current of
// a cell since the last one, A. Where the device follows setpoints, what it was told
// says how its power went in between; else a change of current lies anywhere there.
func (s *Shadow) drive(r *device.Reading, dt float64) (mean float64) {
	amps := r.Current / s.twin.parallel
	mean, half := (s.amps+amps)/2, (amps-s.amps)/2
	follows := math.Abs(r.Power-s.plan.kw) < s.tol.Power*s.twin.model.RatedKW
	if more, told := s.plan.between(r, follows); told {
		more := s.twin.directA(r.Power+more, amps) - s.twin.directA(r.Power, amps)
		mean, half = amps+more/s.twin.parallel, 0
	}
	s.amps = amps
	tempK := r.Temperature + kelvin
	if !s.heat.trusted() || tempK != tempK {
		tempK = s.twin.hotK
	}
	s.twin.step(dt, mean, half, tempK)
	s.moved += s.twin.moved
	return mean
}

// look lets every channel look at what the twin leaves of the reading. The current
// comes first, because the others rest on it.
func (s *Shadow) look(r *device.Reading, dt, mean float64) {
	s.lookAtCurrent(r, dt)
	s.lookAtCharge(r, dt)
	s.lookAtVoltage(r, dt, mean)
	s.lookAtHeat(r, dt)
}

func (s *Shadow) lookAtCurrent(r *device.Reading, dt float64) {
	if d := r.Current - s.twin.directA(r.Power, s.amps); d == d && r.Status != device.Fault {
		s.current.step(dt, d)
	}
}

func (s *Shadow) lookAtCharge(r *device.Reading, dt float64) {
	if r.SoC != r.SoC {
		return
	}
	soc := r.SoC / 100
	s.charge.step(&count{
		dt: dt, soc: soc, moved: s.twin.moved, unsure: s.twin.unsureMoved, away: soc - s.twin.cell.SoC(),
	}, s.current.doubtful() || s.link.fields[socField].dubious)
	if s.charge.trusted() {
		s.twin.anchor(soc, -math.Expm1(-dt/anchorS))
	}
}

func (s *Shadow) lookAtVoltage(r *device.Reading, dt, mean float64) {
	s.voltage.lag.step(mean, dt)
	soc, window := s.twin.cell.SoC(), &s.twin.model.Limits.SoC
	if !(r.Voltage > 0) || r.Status == device.Fault || r.Status == device.Offline || soc < window.Min/100 || soc > window.Max/100 {
		return
	}
	quiet := s.current.doubtful() || !s.charge.trusted() || s.charge.doubtful() || s.link.fields[voltageField].dubious
	over, quick := s.twin.over(s.amps)
	s.voltage.step(&sample{
		dt: dt, left: r.Voltage/s.twin.series - s.twin.cell.Voltage(s.amps), amps: s.amps,
		ohmic: s.twin.ohmic(), over: over, quick: quick, slope: s.twin.slope(soc), unsure: s.twin.unsure,
		anchored: r.SoC == r.SoC,
	}, quiet)
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

// trickle is the charge, as a share of capacity per second, that may flow one way for
// ever while the state of charge stands still: more than any leak takes.
const trickle = 0.1 / 3600

// watch holds every field against what the twin, or another field, says of it.
func (s *Shadow) watch(r *device.Reading, dt float64) {
	t, f := &s.twin, &s.link.fields
	f[voltageField].step(dt, r.Voltage, t.series*t.cell.Voltage(s.amps), max(t.series*s.tol.OffsetV, 3*s.tol.ReportStepV), 0)
	f[currentField].step(dt, r.Current, t.directA(r.Power, s.amps), 0.05*t.ratedA(), 0)
	f[powerField].step(dt, r.Power, r.Current*r.Voltage/1e3, 0.05*t.model.RatedKW, 0)
	f[socField].step(dt, r.SoC, s.moved, max(0.003, 3*s.charge.steps), trickle)
	f[tempField].step(dt, r.Temperature, t.hotK, s.tol.TempK*2/3, 0)
}

// unheeded is how far the device is from what it has been told, kW, 0 where it follows
// or may not. On its way it is anywhere between one setpoint and the next.
func (s *Shadow) unheeded(r *device.Reading) float64 {
	p, m := &s.plan, s.twin.model
	if !p.on || r.Power != r.Power || r.Status == device.Fault || r.Status == device.Offline {
		return 0
	}
	lo, hi := p.kw, p.kw
	if way := 2e3 * (1 + 2/m.PCS.RampPerS); float64(r.At-p.from) < way { // twice the time from end to end, ms
		lo, hi = min(lo, p.was), max(hi, p.was)
	}
	if r.MaxCharge == r.MaxCharge && r.MaxDischarge == r.MaxDischarge {
		lo, hi = min(max(lo, -r.MaxDischarge), r.MaxCharge), min(max(hi, -r.MaxDischarge), r.MaxCharge)
	} else if !s.free(r) {
		return 0
	}
	switch slack := s.tol.Power * m.RatedKW; {
	case r.Power < lo-slack:
		return r.Power - lo
	case r.Power > hi+slack:
		return r.Power - hi
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

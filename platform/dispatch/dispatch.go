// Package dispatch decides, purely, what each device of a fleet shall do: the
// image of the fleet and a target go in, commands with their reasons come out.
//
// The share of each device is the exact optimum of a convex quadratic cost under
// the target and every device's limits (package alloc); a strategy is nothing but
// the choice of that cost.
package dispatch

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch/alloc"
	"yunchu/platform/fleet/image"
)

// Strategy names a cost.
type Strategy string

// The strategies.
const (
	// Proportional gives every device the same share of what it can do.
	Proportional Strategy = "proportional"
	// SoCBalancing lets fuller devices discharge more and charge less, so that
	// states of charge meet.
	SoCBalancing Strategy = "soc-balancing"
	// Cost minimises what the energy costs in losses and in wear.
	Cost Strategy = "cost"
)

// Strategies lists all of them.
var Strategies = []Strategy{Proportional, SoCBalancing, Cost}

// Valid reports whether the strategy exists.
func (s Strategy) Valid() bool { return slices.Contains(Strategies, s) }

// Settings are what an operator chooses.
type Settings struct {
	Every    time.Duration // the cycle
	Strategy Strategy
	MaxAge   time.Duration // older readings make a device unreachable; 0 = 3 s
}

// Life is how long the setpoints of a cycle hold: three cycles, at least 5 s.
func (s Settings) Life() time.Duration { return max(3*s.Every, 5*time.Second) }

// Weights of the costs.
const (
	// balanceHours is the time in which soc-balancing would close a difference
	// in state of charge if nothing else was asked of the fleet.
	balanceHours = 0.5
	// keep is the weight of staying at the previous setpoint against the
	// strategy's own curvature. It removes flapping between devices that are
	// equal but for noise, and moves a share by a factor 1/(1+keep) less per
	// cycle.
	keep = 0.25
	// Wear of lithium iron phosphate per throughput grows with the C-rate c as
	// 0.0630 c + 0.0971 (Naumann et al., J. Power Sources 451 (2020) 227666,
	// stress factor of the capacity loss): relative to rest, by 0.649 per C.
	wearPerC = 0.0630 / 0.0971
	// lossShare is the part of conversion loss that grows with the square of
	// power, at rated power; typical of the inverters in twin/params.
	lossShare = 0.035
	// lossPrice and wearPrice weigh a kWh lost against a kWh put through: a
	// battery of 150 $/kWh that lasts 6,000 cycles wears 0.0125 $ per kWh in or
	// out; energy at 0.1 $/kWh.
	wearPrice = 0.0125
	lossPrice = 0.1
)

// Decision is one cycle's outcome. All powers in kW.
type Decision struct {
	At                 time.Time
	Target             float64
	Planned            float64 // what the fleet will do if every command is taken
	Shortfall          float64 // Target − Planned, with its sign
	AvailableCharge    float64 // what the fleet could take, held devices as they are
	AvailableDischarge float64 // what the fleet could give, >= 0
	Held, Unreachable  int     // devices outside the allocation
	HeldPower          float64
	Assumed            float64 // power that unreachable devices are taken to run at
	Reason             string  // why there is a shortfall, empty without one
	Commands           []device.Command
}

// Planner makes the decisions of one fleet, cycle after cycle. It remembers the
// previous setpoints and nothing else; it has no clock.
type Planner struct {
	Settings Settings
	Seq      uint64 // of the last command given out
	// Window, when set, is the power that a device may have now by those who judge its
	// commands, lo <= 0 <= hi, and why no more: what they would refuse others carry.
	Window func(s device.Slot) (lo, hi float64, why string)

	solver   alloc.Solver
	units    []unit
	problem  alloc.Problem
	out      []float64
	previous []float64 // by slot; NaN = none
}

// unit is a device that takes part in the allocation.
type unit struct {
	slot      device.Slot
	mute      bool   // takes no setpoint now
	low, high string // what keeps it from its rating, giving and taking
}

// Decide allocates target over the devices of img at now. The commands of the
// decision are appended to cmds. A device that is in fault or out of service
// carries nothing and is told nothing.
func (p *Planner) Decide(now time.Time, img *image.Image, target float64, cmds []device.Command) (Decision, error) {
	d := Decision{At: now, Target: target}
	if !device.Finite(target) {
		return d, fmt.Errorf("a target of %v kW cannot be allocated", target)
	}
	ms := now.UnixMilli()
	p.collect(ms, img, &d)
	free := target - d.HeldPower - d.Assumed
	for i := range p.problem.Lo {
		d.AvailableDischarge -= p.problem.Lo[i]
		d.AvailableCharge += p.problem.Hi[i]
	}
	p.oneWay(free)
	p.costs(img)
	p.out = resize(p.out, len(p.units))
	// What lies beyond the fleet is as far as one step beyond it.
	within := min(max(free, -d.AvailableDischarge-1), d.AvailableCharge+1)
	res, err := p.solver.Solve(p.problem, within, p.out)
	if err != nil {
		return d, fmt.Errorf("allocate %.6g kW over %d devices: %w", free, len(p.units), err)
	}
	d.Planned = d.HeldPower + d.Assumed + res.Sum
	d.Shortfall = target - d.Planned
	if math.Abs(d.Shortfall) <= 1e-6*max(1, math.Abs(target)) {
		d.Shortfall = 0
	}
	d.Reason = p.reason(&d)
	life := p.Settings.Life().Milliseconds()
	for i := range p.units {
		u := &p.units[i]
		p.previous[u.slot] = p.out[i]
		if u.mute {
			continue
		}
		p.Seq++
		cmds = append(cmds, device.Command{
			Slot: u.slot, Seq: p.Seq, Verb: device.SetPower, Priority: device.Dispatch, Power: p.out[i],
			At: ms, Duration: life, Until: ms + life, Source: device.Planner, Reason: u.why(free),
		})
	}
	d.Commands = cmds
	return d, nil
}

// collect sorts the devices into those that can be told, those that are held and
// those that cannot be reached.
func (p *Planner) collect(now int64, img *image.Image, d *Decision) {
	maxAge := p.Settings.MaxAge
	if maxAge <= 0 {
		maxAge = 3 * time.Second
	}
	for len(p.previous) < len(img.Devices) {
		p.previous = append(p.previous, math.NaN())
	}
	q := &p.problem
	p.units, q.Lo, q.Hi = p.units[:0], q.Lo[:0], q.Hi[:0]
	for i := range img.Devices {
		dev := &img.Devices[i]
		if dev.Info.State != device.Active || !(dev.Info.RatedKW >= minRatedKW && dev.Info.RatedKW <= maxRatedKW) {
			continue
		}
		if !dev.Fresh(now, maxAge) {
			d.Unreachable++
			if dev.Told.Live(now) {
				d.Assumed += number(dev.Told.Power)
			}
			p.previous[i] = math.NaN()
			continue
		}
		if dev.Told.Held(now) {
			d.Held++
			d.HeldPower += held(dev, now)
			p.previous[i] = math.NaN()
			continue
		}
		u := unit{slot: device.Slot(i)}
		lo, hi := u.limits(dev)
		if p.Window != nil {
			lo, hi = u.within(lo, hi, p.Window)
		}
		p.units = append(p.units, u)
		q.Lo = append(q.Lo, lo)
		q.Hi = append(q.Hi, hi)
	}
}

// number is v, or 0 where nothing was said.
func number(v float64) float64 {
	if device.Finite(v) {
		return v
	}
	return 0
}

// settle is how long a held device may take to be where it was told to be. After
// that its reading says what it does: one that lost its setpoint in a restart, or
// cannot keep it, must not be planned with as if it did.
const settle = 5 * time.Second

// held is the power that a held device is planned with.
func held(dev *image.Device, now int64) float64 {
	if now-dev.Told.At > settle.Milliseconds() && device.Finite(dev.Good.Power) {
		return dev.Good.Power
	}
	return number(dev.Told.Power)
}

// limits is what a device can do now by its last good reading, lo <= 0 <= hi, and
// notes what keeps it from its rating.
func (u *unit) limits(dev *image.Device) (lo, hi float64) {
	g := &dev.Good
	if dev.Mode != device.Run { // whatever its status word says
		u.mute, u.low, u.high = true, "mode "+dev.Mode.String(), "mode "+dev.Mode.String()
		return 0, 0
	}
	switch g.Status {
	case device.Fault, device.Offline, device.Maintenance, device.Standby:
		u.mute, u.low, u.high = true, g.Status.String(), g.Status.String()
		return 0, 0
	}
	hi = dev.Info.Cap()
	if hi < dev.Info.RatedKW {
		u.low, u.high = "cap", "cap"
	}
	lo = -hi
	if l := min(0, -g.MaxDischarge); l > lo { // NaN compares false
		lo, u.low = l, "discharge limit"
	}
	if h := max(0, g.MaxCharge); h < hi {
		hi, u.high = h, "charge limit"
	}
	soc := dev.Info.ChargeWindow()
	if g.SoC <= soc[0] {
		lo, u.low = 0, "state of charge low"
	}
	if g.SoC >= soc[1] {
		hi, u.high = 0, "state of charge high"
	}
	return lo, hi
}

// within is what a window leaves of lo and hi.
func (u *unit) within(lo, hi float64, window func(device.Slot) (lo, hi float64, why string)) (float64, float64) {
	l, h, why := window(u.slot)
	if l > lo {
		lo, u.low = l, why
	}
	if h < hi {
		hi, u.high = h, why
	}
	return lo, hi
}

// why is what limits the device in the direction of the fleet.
func (u *unit) why(free float64) string {
	if free < 0 {
		return u.low
	}
	return u.high
}

// oneWay keeps devices from working against each other: when the fleet
// discharges none charges, and the other way round.
func (p *Planner) oneWay(free float64) {
	q := &p.problem
	for i := range q.Lo {
		if free <= 0 {
			q.Hi[i] = 0
		}
		if free >= 0 {
			q.Lo[i] = 0
		}
	}
}

// costs fills in the columns A, B and R of the strategy.
func (p *Planner) costs(img *image.Image) {
	n := len(p.units)
	q := &p.problem
	q.A, q.B, q.R = resize(q.A, n), resize(q.B, n), resize(q.R, n)
	var mean, energy float64
	if p.Settings.Strategy == SoCBalancing {
		for i := range p.units {
			dev := &img.Devices[p.units[i].slot]
			if e := capacity(dev); charged(dev) {
				mean += e * dev.Good.SoC
				energy += e
			}
		}
		if energy > 0 {
			mean /= energy
		}
	}
	for i := range p.units {
		s := p.units[i].slot
		dev := &img.Devices[s]
		span := max(q.Hi[i]-q.Lo[i], 1e-6*dev.Info.RatedKW)
		a, b, r := 1/span, 0.0, 0.0
		switch p.Settings.Strategy {
		case SoCBalancing:
			if e := capacity(dev); charged(dev) {
				r = e * (mean - dev.Good.SoC) / 100 / balanceHours
			}
		case Cost:
			a = 2*lossPrice*lossShare/dev.Info.RatedKW + wearPrice*wearPerC*2/capacity(dev)
			b = wearPrice
			if q.Hi[i] <= 0 {
				b = -wearPrice
			}
		}
		if prev := p.previous[s]; prev*(q.Lo[i]+q.Hi[i]) > 0 { // same direction; NaN compares false
			w := keep * a
			r = (a*r + w*prev) / (a + w)
			a += w
		}
		q.A[i], q.B[i], q.R[i] = a, b, r
	}
}

// What a nameplate can say, so that one wrong entry does not put an end to all
// decisions.
const (
	minRatedKW = 1e-3
	maxRatedKW = 1e7
	minHours   = 1e-2 // capacity over rating
	maxHours   = 1e4
)

// charged reports whether the device says how full it is.
func charged(d *image.Device) bool { return d.Good.SoC >= 0 && d.Good.SoC <= 100 }

// capacity is the device's energy in kWh; where it is not known or makes no
// sense, two hours of rated power.
func capacity(d *image.Device) float64 {
	if e, kw := d.Info.CapacityKWh, d.Info.RatedKW; e >= minHours*kw && e <= maxHours*kw {
		return e
	}
	return 2 * d.Info.RatedKW
}

func resize(s []float64, n int) []float64 {
	if cap(s) < n {
		return make([]float64, n, n+n/4)
	}
	return s[:n]
}

func (p *Planner) reason(d *Decision) string {
	if d.Shortfall == 0 {
		return ""
	}
	limited, most := 0, ""
	counts := map[string]int{}
	for i := range p.units {
		if w := p.units[i].why(d.Shortfall); w != "" {
			limited++
			counts[w]++
			if counts[w] > counts[most] || (counts[w] == counts[most] && w < most) {
				most = w
			}
		}
	}
	can, way := d.AvailableDischarge, "give"
	if d.Shortfall > 0 {
		can, way = d.AvailableCharge, "take"
	}
	s := fmt.Sprintf("the fleet can %s %.6g kW", way, can)
	if limited > 0 {
		s += fmt.Sprintf("; %d of %d devices limited, most by %s", limited, len(p.units), most)
	}
	if d.Held > 0 {
		s += fmt.Sprintf("; %d held at %.6g kW", d.Held, d.HeldPower)
	}
	if d.Unreachable > 0 {
		s += fmt.Sprintf("; %d unreachable", d.Unreachable)
	}
	return s
}

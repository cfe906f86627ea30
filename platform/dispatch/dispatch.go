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
	"strings"
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
	// TimeToGo lets the devices give first that could go on longest, so that none is
	// empty while others could still give; charging, those that are longest from full.
	TimeToGo Strategy = "time-to-go"
)

// Strategies lists all of them.
var Strategies = []Strategy{Proportional, SoCBalancing, Cost, TimeToGo}

// Valid reports whether the strategy exists.
func (s Strategy) Valid() bool { return slices.Contains(Strategies, s) }

// Settings are what an operator chooses.
type Settings struct {
	Every    time.Duration // the cycle
	Strategy Strategy
	MaxAge   time.Duration // older readings make a device unreachable; 0 = 3 s

	// SoHWeight lets devices of lower state of health do less: a share is as if multiplied
	// with (SoH/100)^SoHWeight. 0: health does not count.
	SoHWeight float64
	// Risk is how likely, at most, a device may leave its window of charge within the life
	// of a setpoint where its state of charge is known to a standard deviation of SoCSD
	// percent, or of its own. 0: readings are taken as they are.
	Risk  float64
	SoCSD float64
	// Rest lets devices rest whose converters would lose more by running than it saves to
	// share with them. It needs their losses, and strategy cost.
	Rest bool
	// StartCost is what the start of a converter costs, money; the choice counts it over RunFor,
	// at least 10 minutes. RunFor is how long one that was started runs at least.
	StartCost float64
	RunFor    time.Duration
}

// Life is how long the setpoints of a cycle hold: three cycles, at least 5 s.
func (s Settings) Life() time.Duration { return max(3*s.Every, 5*time.Second) }

// age is how old a reading of a device may be.
func (s *Settings) age() time.Duration {
	if s.MaxAge <= 0 {
		return 3 * time.Second
	}
	return s.MaxAge
}

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
	Assumed            float64  // power that unreachable devices are taken to run at
	Reason             string   // why there is a shortfall, or a limit that cannot be kept; else empty
	Bounds             []Bound  // limits of groups that hold devices back
	Silent             []string // limits whose meter does not report
	Overlaps           []Overlap
	Aims               []Aim // sites with targets of their own
	Resting            int   // devices that rest for others to run at less loss
	Commands           []device.Command
}

// Planner makes the decisions of one fleet, cycle after cycle. It remembers the
// previous setpoints, how deep batteries with known wear have been used, and which units
// rest; it has no clock.
type Planner struct {
	Settings Settings
	Seq      uint64 // of the last command given out
	// Window, when set, is the power that a device may have now by those who judge its
	// commands, lo <= 0 <= hi, and why no more: what they would refuse others carry.
	Window func(s device.Slot) (lo, hi float64, why string)

	solver    alloc.Solver
	nested    alloc.Nested
	groups    groups
	site      watch // of all devices, for Beside
	counted   counted
	units     []unit
	problem   alloc.Problem
	low, high []float64 // by unit: what it can do, whatever the fleet's direction
	tiers     [2]int    // first and last of the units
	tierB     []float64
	out       []float64
	previous  []float64 // by slot; NaN = none
	depth     []depth   // by slot
	able      []able    // by slot
	rest      rest
	aims      []Aim // of the last sharing
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
	p.collect(now, img, &d)
	free := target - d.HeldPower - d.Assumed
	low, high := p.reach(now, img, &d)
	d.AvailableDischarge, d.AvailableCharge = max(0, -low), max(0, high)
	p.oneWay(free)
	if p.groups.on() {
		p.turn(free)
	}
	p.costs(img)
	p.out = resize(p.out, len(p.units))
	// What lies beyond the fleet is as far as one step beyond it.
	within := min(max(free, low-1), high+1)
	sum, err := p.run(img, within, &d)
	if err != nil {
		return d, fmt.Errorf("allocate %.6g kW over %d devices: %w", free, len(p.units), err)
	}
	d.Aims = p.aims
	d.Planned = d.HeldPower + d.Assumed + sum
	p.site.told = d.Planned
	p.groups.told(p.out)
	d.Shortfall = target - d.Planned
	if math.Abs(d.Shortfall) <= 1e-6*max(1, math.Abs(target)) {
		d.Shortfall = 0
	}
	d.Reason = p.reason(img, &d)
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
			At: ms, Duration: life, Until: ms + life, Source: device.Planner, Reason: p.why(i, free),
		})
	}
	d.Commands = cmds
	return d, nil
}

// collect sorts the devices into those that can be told, those that are held and
// those that cannot be reached.
func (p *Planner) collect(at time.Time, img *image.Image, d *Decision) {
	now, grouped := at.UnixMilli(), p.groups.on()
	maxAge := p.Settings.age()
	for len(p.previous) < len(img.Devices) {
		p.previous = append(p.previous, math.NaN())
	}
	q := &p.problem
	p.units, q.Lo, q.Hi = p.units[:0], q.Lo[:0], q.Hi[:0]
	g := &p.groups
	if grouped {
		d.Overlaps = g.place(img)
		g.begin()
	}
	chance := p.chance()
	p.tiers = [2]int{device.MaxTier, 0}
	for i := range img.Devices {
		dev := &img.Devices[i]
		if grouped {
			g.see(i, img, now, &p.Settings)
		}
		if !rated(dev) {
			if grouped && Flows(dev) && dev.Fresh(now, maxAge) { // not ours to tell, but it is there
				g.count(i, number(dev.Good.Power))
			}
			continue
		}
		if !dev.Fresh(now, maxAge) {
			d.Unreachable++
			if dev.Told.Live(now) {
				d.Assumed += number(dev.Told.Power)
				if grouped {
					g.keep(i, number(dev.Told.Power))
				}
			}
			p.previous[i] = math.NaN()
			continue
		}
		if dev.Told.Held(now) {
			d.Held++
			d.HeldPower += held(dev, now)
			if grouped {
				g.keep(i, held(dev, now))
			}
			p.previous[i] = math.NaN()
			continue
		}
		u := unit{slot: device.Slot(i), limit: -1}
		lo, hi := u.limits(dev)
		if p.Window != nil {
			lo, hi = u.within(lo, hi, p.Window)
		}
		if chance > 0 {
			lo, hi = u.likely(dev, lo, hi, p.Settings.SoCSD*chance, dev.Info.SoCSD*chance, p.Settings.Life())
		}
		if grouped {
			lo, hi = g.take(i, &u, dev, lo, hi)
		}
		p.tiers = [2]int{min(p.tiers[0], dev.Info.Tier), max(p.tiers[1], dev.Info.Tier)}
		p.units = append(p.units, u)
		q.Lo = append(q.Lo, lo)
		q.Hi = append(q.Hi, hi)
	}
}

// reach is what the units can have together, kW; with groups, within their limits.
func (p *Planner) reach(now time.Time, img *image.Image, d *Decision) (low, high float64) {
	q := &p.problem
	if !p.groups.on() {
		for i := range q.Lo {
			low += q.Lo[i]
			high += q.Hi[i]
		}
		return low, high
	}
	p.low, p.high = append(p.low[:0], q.Lo...), append(p.high[:0], q.Hi...)
	p.groups.bound(now, img, &p.Settings)
	for k, l := range p.groups.limits {
		if p.groups.silent[k] {
			d.Silent = append(d.Silent, l.Name)
		}
	}
	low, high = p.groups.reach(q.Lo, q.Hi)
	if p.groups.aim(now, q.Lo, q.Hi) {
		low, high = p.groups.reach(q.Lo, q.Hi)
	}
	return low, high
}

// why is what limits a unit in its direction, which may be against free in a group.
func (p *Planner) why(i int, free float64) string {
	u := &p.units[i]
	if p.out[i] != 0 {
		free = p.out[i]
	}
	if w := u.why(free); w != "" || u.limit < 0 {
		return w
	}
	if !math.IsNaN(p.groups.aims[u.limit]) {
		return "target of " + p.groups.limits[u.limit].Name
	}
	return "limit " + p.groups.limits[u.limit].Name
}

func (p *Planner) reason(img *image.Image, d *Decision) string {
	limits := p.groups.said(d.Bounds, d.Shortfall != 0)
	for i := range d.Aims {
		if a := &d.Aims[i]; !a.met() {
			limits = strings.TrimPrefix(limits+"; "+a.String(), "; ")
		}
	}
	if d.Shortfall == 0 {
		return limits
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
	if limits != "" {
		s += "; " + limits
	}
	if p.Settings.Strategy == TimeToGo {
		s += "; " + p.unavoidable(img, d)
	}
	return s
}

package platform

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/fleet/image"
)

// group readies what dispatch does beside sharing a target.
func (p *Plant) group() error {
	limits := slices.Clone(p.cfg.Limits)
	for i := range limits {
		limits[i].Target = p.siteTarget(limits[i].Name, limits[i].Target)
	}
	if err := p.planner.SetLimits(limits); err != nil {
		return fmt.Errorf("limits of dispatch: %w", err)
	}
	if d := p.cfg.Droop; d != nil {
		if err := d.Validate(); err != nil {
			return fmt.Errorf("droop: %w", err)
		}
		if p.cfg.Frequency == nil && p.cfg.Hertz == "" {
			return errors.New("droop: nobody tells the frequency")
		}
	}
	return nil
}

// siteTarget is what the devices behind a connection are asked for: by an operator, else as
// the configuration says.
func (p *Plant) siteTarget(name string, configured func(time.Time) float64) func(time.Time) float64 {
	return func(now time.Time) float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i := range p.settings.Sites {
			if x := &p.settings.Sites[i]; x.Name == name && p.cfg.Target == nil {
				return stepAt(now, x.TargetKW, x.Schedule)
			}
		}
		if configured == nil {
			return math.NaN()
		}
		return configured(now)
	}
}

// cycle decides once and publishes the commands.
func (p *Plant) cycle(now time.Time) {
	if p.cfg.Droop != nil {
		p.Fleet.View(func(img *image.Image) { p.charge = chargeOf(img) })
	}
	asked, limit, site, ok := p.asked(now)
	if !ok {
		return
	}
	target := min(asked, limit)
	var (
		d   dispatch.Decision
		err error
	)
	cmds := p.take()
	p.Fleet.View(func(img *image.Image) { d, err = p.planner.Decide(now, img, target, cmds) })
	if err != nil {
		p.log.Error("no decision in this cycle", "error", err)
		return
	}
	if target < asked { // the site's limit comes before what is asked of the fleet
		d.Target, d.Shortfall = asked, asked-d.Planned
		d.Reason = strings.TrimSuffix(fmt.Sprintf("the import limit of the site leaves %.6g kW; %s", target, d.Reason), "; ")
	}
	if !site.OK {
		d.Reason = strings.TrimSuffix("what flows beside the fleet is not known, and the import target asks for nothing; "+d.Reason, "; ")
	}
	p.frequency(now, &d)
	p.shortfall(now, &d)
	p.limits(now, &d)
	if site.Meter != "" && !slices.ContainsFunc(p.cfg.Limits, func(l dispatch.Limit) bool { return l.Meter == site.Meter }) {
		p.silence(now, "", "import target", site.Meter, site.Silent)
	}
	for from := 0; from < len(d.Commands); from += device.MaxRows {
		list := d.Commands[from:min(from+device.MaxRows, len(d.Commands))]
		bus.Commands.Publish(p.bus, &device.Commands{List: list}, func(_ uint64, err error) {
			if err != nil {
				p.log.Error("commands lost before the log", "count", len(list), "error", err)
			}
		})
	}
	for _, fn := range p.onPlan {
		fn(&d)
	}
	n := uint64(len(d.Commands))
	if p.sched.Virtual() {
		p.cmds = d.Commands[:0] // the local bus is done with them
	}
	d.Commands = nil
	p.mu.Lock()
	p.decision = d
	p.sent += n
	p.mu.Unlock()
}

// take is memory for the commands of a cycle.
func (p *Plant) take() []device.Command {
	c := p.cmds
	p.cmds = nil
	return c[:0]
}

// Asked is the power that is asked of the fleet at now, by whoever drives it, and
// whether anything is. It runs on the loop.
func (p *Plant) Asked(now time.Time) (kw float64, ok bool) {
	kw, _, _, ok = p.asked(now)
	return kw, ok
}

// asked is Asked with the most that the site's import limit allows, +Inf without, and the site
// as far as an import target needs it.
func (p *Plant) asked(now time.Time) (kw, limit float64, needs Site, ok bool) {
	limit, needs.OK = math.Inf(1), true
	var t Target
	if p.cfg.Target != nil {
		t = p.cfg.Target(now)
	} else {
		p.mu.Lock()
		chosen := p.chosen
		t = p.settings.target(now)
		p.planner.Settings.Strategy = p.settings.Strategy
		p.mu.Unlock()
		if !chosen && p.cfg.Initial != nil {
			t = p.cfg.Initial(now)
		}
	}
	var site Site
	if p.cfg.Site != nil {
		site = p.cfg.Site(now)
	}
	if math.IsNaN(t.KW) && t.Enabled { // the fleet does what its sites, or the grid, ask for
		if sum, any := p.planner.Aims(now); any || p.cfg.Droop != nil {
			t.KW = sum
		}
	}
	if !t.Enabled || math.IsNaN(t.KW) {
		return 0, limit, needs, false
	}
	kw = t.KW
	if t.Import {
		needs = site
	}
	switch {
	case t.Import && site.OK:
		kw -= site.Net
	case t.Import: // nobody knows what flows beside: the fleet rests, within its limits
		kw = 0
	}
	if hz, known := p.hertz(now); known {
		kw += p.cfg.Droop.Power(hz, p.charge.ratedKW) + p.cfg.Droop.Recover(hz, p.charge.soc, p.charge.kwh)
	}
	if site.OK && p.cfg.ImportLimitKW > 0 {
		limit = p.cfg.ImportLimitKW - site.Net
	}
	return kw, limit, needs, true
}

// hertz is the frequency that the fleet answers at now, and whether it is to and knows it.
func (p *Plant) hertz(now time.Time) (hz float64, known bool) {
	switch {
	case p.cfg.Droop == nil:
		return 0, false
	case p.cfg.Hertz == "":
		return p.cfg.Frequency(now), true
	}
	info, _ := p.Fleet.Info(p.cfg.Hertz)
	dev, _ := p.Fleet.Device(info.Slot)
	hz = dev.Good.Frequency
	return hz, dev.Info.ID == p.cfg.Hertz && dev.Fresh(now.UnixMilli(), p.planner.Settings.MaxAge) && p.cfg.Droop.Plausible(hz)
}

// frequency reports when the frequency ceases to be known and is known again, and says so in
// the reason of a decision.
func (p *Plant) frequency(now time.Time, d *dispatch.Decision) {
	_, known := p.hertz(now)
	adrift := p.cfg.Droop != nil && !known
	if adrift {
		d.Reason = strings.TrimSuffix("the frequency is not known and not answered; "+d.Reason, "; ")
	}
	if p.adrift == adrift {
		return
	}
	p.adrift = adrift
	if adrift {
		p.Gateway.Event(now, device.Plant, "frequency-silent", device.Warning, fmt.Sprintf("%s tells no frequency that can be used: the droop of dispatch asks for nothing", p.cfg.Hertz))
	} else {
		p.Gateway.Event(now, device.Plant, "frequency-back", device.Information, fmt.Sprintf("%s tells the frequency again, and the droop of dispatch answers it", p.cfg.Hertz))
	}
}

// Metered is the site behind the device that measures its connection: what that shows beyond
// the power of what dispatch counts with. It is not OK before the meter has reported, and a
// while after it fell silent. It runs on the loop.
func (p *Plant) Metered(now time.Time, meter device.ID) (s Site) {
	s.Meter = meter
	p.Fleet.View(func(img *image.Image) { s.Net, s.OK, s.Silent = p.planner.Beside(now, img, meter) })
	return s
}

// SetStrategy changes the strategy from the next cycle on. It runs on the loop.
func (p *Plant) SetStrategy(s dispatch.Strategy) { p.planner.Settings.Strategy = s }

// shortfall reports when a target begins and ends to be more than the fleet can
// do: above 1 % of the target.
func (p *Plant) shortfall(now time.Time, d *dispatch.Decision) {
	good := math.Abs(d.Shortfall) <= 0.01*math.Abs(d.Target)
	if good == p.wasGood {
		return
	}
	p.wasGood = good
	if good {
		p.Gateway.Event(now, device.Plant, "shortfall-end", device.Information, "the target is within what the fleet can do again")
		return
	}
	p.Gateway.Event(now, device.Plant, "shortfall", device.Warning,
		fmt.Sprintf("target %.6g kW, %.6g kW short: %s", d.Target, d.Shortfall, d.Reason))
}

// charge is what a fleet is rated at, all of it, and what those have that are in service: the
// frequency is answered for a fleet of its rated power whoever of it has failed.
type charge struct{ ratedKW, kwh, soc float64 } // soc in percent, the mean by energy

func chargeOf(img *image.Image) (c charge) {
	for i := range img.Devices {
		d := &img.Devices[i]
		if !dispatch.Flows(d) {
			continue
		}
		c.ratedKW += d.Info.RatedKW
		if e := d.Info.CapacityKWh; e > 0 && d.Good.SoC >= 0 && d.Info.State == device.Active {
			c.kwh += e
			c.soc += e * d.Good.SoC
		}
	}
	c.soc /= c.kwh
	return c
}

// limits reports when a limit of a group begins and ends to be out of reach of what its
// devices can do, when its meter falls silent and comes back, and devices behind two that do not
// lie within each other.
func (p *Plant) limits(now time.Time, d *dispatch.Decision) {
	for _, o := range d.Overlaps {
		p.Gateway.Event(now, o.Slot, "limit-overlap", device.Warning,
			fmt.Sprintf("behind both %s and %s, of which neither lies within the other: it counts in %s alone, and so do others like it", o.In, o.Other, o.In))
	}
	for _, l := range p.cfg.Limits {
		broken := ""
		for _, b := range d.Bounds {
			if b.Name == l.Name && !b.Kept {
				broken = fmt.Sprintf("limit %s of %.6g kW cannot be kept by its devices: %.6g kW", b.Name, b.KW, b.SumKW)
			}
		}
		if was := p.broken[l.Name]; was != (broken != "") {
			p.broken[l.Name] = !was
			if was {
				p.Gateway.Event(now, device.Plant, "limit-kept", device.Information, fmt.Sprintf("limit %s is within what its devices can do again", l.Name))
			} else {
				p.Gateway.Event(now, device.Plant, "limit-broken", device.Critical, broken)
			}
		}
		p.site(now, d, l.Name)
		if l.Meter != "" {
			p.silence(now, l.Name, "limit "+l.Name, l.Meter, slices.Contains(d.Silent, l.Name))
		}
	}
}

// site reports when a site begins and ends to have less or more than it is asked for: by more
// than 1 %, and 1 kW.
func (p *Plant) site(now time.Time, d *dispatch.Decision, name string) {
	missed := ""
	for i := range d.Aims {
		a := &d.Aims[i]
		if a.Name == name && math.Abs(a.PlannedKW-a.TargetKW) > max(1, 0.01*math.Abs(a.TargetKW)) {
			missed = a.String()
		}
	}
	if p.short[name] == (missed != "") {
		return
	}
	if p.short[name] = missed != ""; missed != "" {
		p.Gateway.Event(now, device.Plant, "site-shortfall", device.Warning, missed)
	} else {
		p.Gateway.Event(now, device.Plant, "site-shortfall-end", device.Information, name+" has what it is asked for again")
	}
}

// silence reports when the meter of what needs it falls silent and comes back; name is that of
// the limit.
func (p *Plant) silence(now time.Time, name, what string, meter device.ID, is bool) {
	if p.mute[name] == is {
		return
	}
	p.mute[name] = is
	if is {
		p.Gateway.Event(now, device.Plant, "meter-silent", device.Warning, fmt.Sprintf("%s: its meter %s does not report, its other load is taken as it was last", what, meter))
	} else {
		p.Gateway.Event(now, device.Plant, "meter-back", device.Information, fmt.Sprintf("%s: its meter %s reports again", what, meter))
	}
}

// Decision is the newest decision of dispatch, without its commands.
func (p *Plant) Decision() dispatch.Decision {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.decision
}

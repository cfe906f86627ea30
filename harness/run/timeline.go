package run

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"yunchu/harness/fault"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/sched"
)

// timeline puts the scenario's events on the scheduler. Targets need no event:
// they are a function of time.
func (r *Run) timeline() {
	for i := range r.Scenario.Timeline {
		e := &r.Scenario.Timeline[i]
		switch {
		case e.Fault != nil:
			r.at(e.At, sched.Physics, func(now time.Time) { r.inject(now, i, e.Fault) })
		case e.Command != nil:
			r.at(e.At, sched.Image, func(now time.Time) { r.command(now, i, e.Command) })
		case e.Strategy != "":
			r.at(e.At, sched.Image, func(now time.Time) {
				r.plant.SetStrategy(dispatch.Strategy(e.Strategy))
				r.note(now, "strategy", "dispatch changes to "+e.Strategy)
			})
		case e.TargetKW != nil:
			r.at(e.At, sched.Image, func(now time.Time) { r.note(now, "target", fmt.Sprintf("target %.6g kW", *e.TargetKW)) })
		case e.ImportKW != nil:
			r.at(e.At, sched.Image, func(now time.Time) { r.note(now, "target", fmt.Sprintf("import %.6g kW", *e.ImportKW)) })
		}
	}
}

func (r *Run) note(now time.Time, kind, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event(now, kind, device.Information, device.Plant, text)
}

// command sends a user's command the way the API does: over the bus.
func (r *Run) command(now time.Time, number int, c *scenario.Command) {
	name := c.Command
	if name == "" {
		name = "setPower"
		if c.Mode != "" {
			name = "setMode"
		}
	}
	verb, _ := device.ParseVerb(name) // the file was checked
	mode, _ := device.ParseMode(c.Mode)
	priority, _ := device.ParsePriority(c.Priority)
	var list []device.Command
	for k, id := range r.Scenario.MatchDevices(c.Device) {
		slot, ok := r.plant.Fleet.Slot(device.ID(id))
		if !ok {
			continue
		}
		cmd := device.Command{
			Slot: slot, ID: fmt.Sprintf("timeline-%d-%d", number+1, k+1), Verb: verb, Mode: mode, Priority: priority,
			At: now.UnixMilli(), Duration: c.Duration.Milliseconds(), Source: "user:timeline",
		}
		if c.PowerKW != nil {
			cmd.Power = *c.PowerKW
		}
		list = append(list, cmd)
	}
	for len(list) > 0 {
		n := min(len(list), device.MaxRows)
		bus.Commands.Publish(r.bus, &device.Commands{List: list[:n:n]}, nil)
		list = list[n:]
	}
}

// inject begins a fault and puts its end on the scheduler.
func (r *Run) inject(now time.Time, number int, f *scenario.Injection) {
	kind, _ := scenario.FindFaultKind(f.Kind) // the file was checked
	from := r.elapsed(now).Seconds()
	r.mu.Lock()
	r.event(now, "fault", device.Warning, device.Plant, "begins: "+f.Rule())
	r.windows = append(r.windows, report.Window{From: from, To: math.NaN(), Label: f.Rule(), Devices: f.Devices})
	window := len(r.windows) - 1
	r.mu.Unlock()
	ended := func(now time.Time) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.windows[window].To = r.elapsed(now).Seconds()
		r.event(now, "fault", device.Information, device.Plant, "ends: "+f.Rule())
		r.Metrics.FaultEnded(r.elapsed(now).Seconds(), f.Rule())
	}
	if f.Devices == "" && kind.Runtime && f.Kind != "clock-step" {
		if err := r.strike(f); err != nil {
			r.fail(fmt.Errorf("fault %s: %w", f.Kind, err))
			return
		}
		ended(r.Sched.Now())
		return
	}
	var ends []func(now time.Time)
	switch kind.Seam {
	case scenario.SeamDriver:
		for k := range r.fleets {
			if mine := r.indices(f.Devices, k); len(mine) > 0 {
				end := r.faulty[k].Begin(number, f, mine)
				ends = append(ends, func(time.Time) { end() })
			}
		}
		want := r.matching(f.Devices)
		for _, w := range r.wires {
			if want[string(w.spec.ID)] {
				end := w.faulty.Begin(number, f)
				ends = append(ends, func(time.Time) { end() })
			}
		}
	case scenario.SeamTwin:
		end, err := r.injectTwins(now, f)
		if err != nil {
			r.fail(fmt.Errorf("inject at %s: %w", r.elapsed(now), err))
			return
		}
		ends = append(ends, end)
	case scenario.SeamWire:
		end, err := r.injectWire(f)
		if err != nil {
			r.fail(fmt.Errorf("inject at %s: %w", r.elapsed(now), err))
			return
		}
		ends = append(ends, end)
	default:
		if f.Kind == "clock-step" {
			r.setClock(f.By.Duration)
			ends = append(ends, func(time.Time) { r.setClock(-f.By.Duration) })
			break
		}
		if f.Kind != "second-master" {
			r.fail(fmt.Errorf("fault %s cannot be injected by this version", f.Kind))
			return
		}
		end, err := r.injectWire(f)
		if err != nil {
			r.fail(fmt.Errorf("inject at %s: %w", r.elapsed(now), err))
			return
		}
		ends = append(ends, end)
	}
	r.active++
	length := f.For
	if f.Kind == "restart" && length == 0 {
		length = fault.Restarting
	}
	if length <= 0 {
		return // to the end of the run
	}
	r.at(r.elapsed(now)+length, sched.Physics, func(now time.Time) {
		for _, end := range ends {
			end(now)
		}
		r.active--
		ended(now)
	})
}

// downFor is how long a runtime that was killed stays away, and one that was paused
// stands still, where the scenario does not say.
const downFor = 5 * time.Second

// strike lets a fault act on the runtime itself, between two events, when nothing is
// half done: the plant goes down here and comes up from its log. On wires nothing is
// heard of it meanwhile, and nobody tells the devices why.
func (r *Run) strike(f *scenario.Injection) error {
	length := cmp.Or(f.For, downFor)
	switch f.Kind {
	case "restart":
		return r.restart(0)
	case "kill":
		return r.restart(length)
	case "pause":
		// As SIGSTOP would: loop and wires stand still, in the middle of what they do.
		var ends []func()
		for _, w := range r.wires {
			ends = append(ends, w.faulty.Hold())
		}
		time.Sleep(length)
		for _, end := range ends {
			end()
		}
		return nil
	}
	return errors.New("it cannot be injected by this version")
}

// injectTwins begins a fault in the physics, of twins in this process and of those
// that the rig serves.
func (r *Run) injectTwins(now time.Time, f *scenario.Injection) (end func(time.Time), err error) {
	var here []int
	served := false
	for _, i := range r.global(f.Devices) {
		if r.wired(r.Scenario.IDs()[i]) {
			served = true
		} else {
			here = append(here, i)
		}
	}
	var ends []func(time.Time)
	if len(here) > 0 {
		e, err := r.world.Inject(r.own(now), f, here)
		if err != nil {
			return nil, err
		}
		ends = append(ends, func(now time.Time) { e(r.own(now)) })
	}
	if served {
		e, err := r.injectWire(f)
		if err != nil {
			return nil, err
		}
		ends = append(ends, e)
	}
	return func(now time.Time) {
		for _, e := range ends {
			e(now)
		}
	}, nil
}

// indices are the devices of fleet k that a glob matches, by index in the fleet.
func (r *Run) indices(glob string, k int) []int {
	want := r.matching(glob)
	var out []int
	for i, info := range r.fleets[k].Infos {
		if want[string(info.ID)] {
			out = append(out, i)
		}
	}
	return out
}

// global are the devices that a glob matches, by index in the scenario.
func (r *Run) global(glob string) []int {
	want := r.matching(glob)
	var out []int
	for i, id := range r.Scenario.IDs() {
		if want[id] {
			out = append(out, i)
		}
	}
	return out
}

func (r *Run) matching(glob string) map[string]bool {
	if glob == "" {
		glob = "*"
	}
	set := map[string]bool{}
	for _, id := range r.Scenario.MatchDevices(glob) {
		set[id] = true
	}
	return set
}

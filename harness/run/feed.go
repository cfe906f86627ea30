package run

import (
	"fmt"
	"math"
	"time"

	"yunchu/harness/metric"
	"yunchu/harness/report"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/fleet/image"
	"yunchu/platform/sched"
)

// notes are what the default checks and the report are made from.
type notes struct {
	stored      []uint64 // readings in the log by slot, those that replace another not counted
	commands    int64    // acknowledged, whatever the answer
	late        int64    // done after their expiry
	lateExample string
	outOfLimits int64 // device-steps
	unguarded   int64 // setpoints that were taken and should have been refused or cut
	steps       int64
	offender    string
	kinds       map[string]int
	online      int
	newest      dispatch.Decision
	plans       int64
	bander      metric.Bander
}

// follow subscribes to what the plant publishes, after the plant's own views, so
// that what is seen here is visible to everybody.
func (r *Run) follow() error {
	if r.notes.kinds == nil {
		r.notes.kinds = map[string]int{}
	}
	for _, sub := range []func() error{
		func() error { return after(r.bus, bus.Readings, r.readings) },
		func() error { return after(r.bus, bus.Acks, r.acks) },
		func() error { return after(r.bus, bus.Events, r.happened) },
		func() error { return after(r.bus, bus.Commands, r.commands) },
	} {
		if err := sub(); err != nil {
			return fmt.Errorf("watch the bus: %w", err)
		}
	}
	for i, stream := range watched {
		_, last, err := r.bus.Bounds(stream)
		if err == nil {
			r.noted[i].Store(last)
			_, err = r.bus.Subscribe(stream, last+1, func(seq uint64, _ device.Frame) { r.noted[i].Store(seq) })
		}
		if err != nil {
			return fmt.Errorf("watch the bus: %w", err)
		}
	}
	return nil
}

// watched are the streams that notes are taken of.
var watched = [...]string{bus.Data, bus.Control}

// allNoted reports whether notes are taken of all that the log holds.
func (r *Run) allNoted() (bool, error) {
	for i, stream := range watched {
		_, last, err := r.bus.Bounds(stream)
		if err != nil || r.noted[i].Load() < last {
			return false, err
		}
	}
	return true, nil
}

// after subscribes to what is published from now on.
func after[F device.Frame](b bus.Bus, t bus.Topic[F], h func(f F)) error {
	_, last, err := b.Bounds(t.Stream)
	if err != nil {
		return err
	}
	_, err = t.Subscribe(b, last+1, func(_ uint64, f F) { h(f) })
	return err
}

// readings runs when a frame is in the log, in the history and in the image.
func (r *Run) readings(f *device.Readings) {
	now := r.Sched.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	for i, s := range f.Slot {
		for int(s) >= len(r.notes.stored) {
			r.notes.stored = append(r.notes.stored, 0)
		}
		if f.Flags[i]&device.FlagRevised == 0 {
			r.notes.stored[s]++
		}
		r.Metrics.SyncDelay(float64(r.since(now, f.At[i])), f.Flags[i]&device.FlagOrder != 0)
	}
	if r.journal.full() {
		r.journal.readings(now, f, r.name)
	}
}

func (r *Run) acks(f *device.Acks) {
	now := r.Sched.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.plant.Fleet.View(func(img *image.Image) {
		for i := range f.List {
			if a := &f.List[i]; a.Status == device.Done && !a.Repeat && int(a.Slot) < len(img.Devices) {
				r.envelope(now, a, &img.Devices[a.Slot])
			}
		}
	})
	for i := range f.List {
		a := &f.List[i]
		if a.Repeat { // an answer given before, to somebody who asked again
			r.journal.ack(now, a, r.name)
			continue
		}
		r.notes.commands++
		latency := float64(r.since(now, a.Issued))
		if a.Status == device.Failure || a.Status == device.Expired {
			// It never took effect: it counts with what it took to know, and with
			// no less than the second that a device has to answer.
			r.Metrics.CommandLatency(max(latency, 1000))
		}
		if a.Status == device.Done {
			r.Metrics.CommandLatency(latency)
			if a.Until != 0 && a.At > a.Until && a.Source != "guard" {
				r.notes.late++
				r.notes.lateExample = fmt.Sprintf("%s took a setpoint of %s at %s that had expired at %s",
					r.name(a.Slot), a.Source, clock(a.At), clock(a.Until))
			}
		} else {
			text := fmt.Sprintf("%s %s: %s", verb(a), a.Status, a.Reason)
			r.event(now, a.Status.String(), device.Warning, a.Slot, text)
		}
		r.journal.ack(now, a, r.name)
	}
}

// envelope holds a setpoint that a device has taken against the limits that act on it and
// its own last good reading: what the guard must have refused or cut counts as a
// violation, whatever the device made of it. The caller holds mu.
func (r *Run) envelope(now time.Time, a *device.Ack, d *image.Device) {
	if a.Verb != device.SetPower || a.Power == 0 {
		return
	}
	limit, why := d.Info.Cap(), ""
	known := d.Good.At != 0 && d.Good.At <= a.Issued
	heard := known && d.Good.Arrived <= a.Issued
	l, g := d.Info.Acting(), &d.Good
	soc := l.SoC
	switch {
	case !(math.Abs(a.Power) <= limit*(1+1e-9)):
		why = fmt.Sprintf("more than %g kW", limit)
	case known && a.Power < 0 && d.Good.SoC <= soc[0]:
		why = fmt.Sprintf("at %g %% of charge, lowest %g %%", d.Good.SoC, soc[0])
	case known && a.Power > 0 && d.Good.SoC >= soc[1]:
		why = fmt.Sprintf("at %g %% of charge, highest %g %%", d.Good.SoC, soc[1])
	case heard && (g.Temperature >= l.Temperature[1] || a.Power > 0 && g.Temperature <= l.Temperature[0]):
		why = fmt.Sprintf("at %g °C, within %g and %g °C", g.Temperature, l.Temperature[0], l.Temperature[1])
	case heard && l.Voltage.Set() && (a.Power < 0 && g.Voltage <= l.Voltage[0] || a.Power > 0 && g.Voltage >= l.Voltage[1]):
		why = fmt.Sprintf("at %g V, within %g and %g V", g.Voltage, l.Voltage[0], l.Voltage[1])
	default:
		return
	}
	r.notes.unguarded++
	if r.notes.offender == "" {
		r.notes.offender = fmt.Sprintf("%s took %.6g kW at %s: %s", r.name(a.Slot), a.Power, now.Format("15:04:05.000"), why)
	}
}

func verb(a *device.Ack) string {
	if a.Verb == device.SetPower {
		return fmt.Sprintf("setPower %.6g kW by %s", a.Power, a.Source)
	}
	return fmt.Sprintf("%s by %s", a.Verb, a.Source)
}

func clock(ms int64) string { return device.Time(ms).Format("15:04:05.000") }

func (r *Run) commands(f *device.Commands) {
	if !r.journal.commands() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range f.List {
		if !r.over {
			r.journal.command(r.Sched.Now(), &f.List[i], r.name)
		}
	}
}

// diverged is the type of the events with which a World that is a Follower names what
// has diverged.
const diverged = "shadow-divergence"

// armed is the type of the events with which the guard lets a device on a wire act.
const armed = "armed"

func (r *Run) happened(f *device.Events) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	for i := range f.List {
		e := &f.List[i]
		switch e.Type {
		case diverged:
			r.Metrics.Diverged()
		case armed:
			r.noteArmed(e.Slot)
		}
		r.event(device.Time(e.At), e.Type, e.Severity, e.Slot, e.Text)
	}
}

// maxEvents bounds the table of the report; the journal has all of them.
const maxEvents = 5000

// event notes something for the report and the journal. The caller holds mu.
func (r *Run) event(now time.Time, kind string, sev device.Severity, slot device.Slot, text string) {
	r.notes.kinds[kind]++
	name := ""
	if slot != device.Plant {
		name = r.name(slot)
	}
	r.journal.event(now, kind, sev, name, text)
	if len(r.events) < maxEvents {
		r.events = append(r.events, report.Event{
			T: r.elapsed(now).Seconds(), Kind: kind, Severity: sev.String(), Device: name, Text: text,
		})
	}
}

func (r *Run) name(s device.Slot) string {
	if i := int(s); i < len(r.names) {
		return r.names[i]
	}
	if d, ok := r.plant.Fleet.Device(s); ok {
		return string(d.Info.ID)
	}
	return fmt.Sprintf("slot %d", s)
}

// decided runs on the loop after each cycle of dispatch.
func (r *Run) decided(d *dispatch.Decision) {
	now := r.Sched.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes.newest = *d
	r.notes.newest.Commands = nil
	r.notes.plans++
	every := r.Scenario.Dispatch.Every
	if r.due.Before(r.cycles) { // the first cycle, or the first after a restart
		r.due = r.cycles
	}
	late := now.Sub(r.due)
	r.Metrics.ControlJitter(float64(late) / 1e6)
	r.due = r.due.Add((max(late, 0)/every + 1) * every) // a missed cycle is late by as much
	r.journal.cycle(now, d)
}

// clockwork puts the physics, the samples and the availability on the scheduler.
func (r *Run) clockwork() {
	s := r.Scenario
	r.names = make([]string, 0, len(s.IDs()))
	for _, f := range r.fleets {
		for i := range f.Infos {
			slot, _ := r.plant.Fleet.Slot(f.Infos[i].ID)
			for len(r.names) <= int(slot) {
				r.names = append(r.names, "")
			}
			r.names[slot] = string(f.Infos[i].ID)
		}
	}
	for _, w := range r.wires {
		slot, _ := r.plant.Fleet.Slot(w.spec.ID)
		for len(r.names) <= int(slot) {
			r.names = append(r.names, "")
		}
		r.names[slot] = string(w.spec.ID)
	}
	if len(r.names) == 0 {
		return
	}
	period := r.period()
	var last time.Time
	record := s.Record.Every
	if record <= 0 {
		record = max(s.Duration/3600, s.ReadEvery)
	}
	var recorded time.Time
	// The sample is taken with the step, before anything is decided at the same
	// instant: what the fleet delivered is held against the target that was in
	// force while it did.
	r.Sched.Every(r.start, period, sched.Physics, func(now time.Time) bool {
		dt := 0.0
		if !last.IsZero() {
			dt = r.own(now).Sub(r.own(last)).Seconds()
		}
		last = now
		if r.world != nil {
			r.world.Step(r.own(now))
			if s.Site.AmbientC != nil { // after the step: the air holds from now on, not since the last step
				r.world.SetAmbient(s.Site.AmbientC.At(r.elapsed(now)))
			}
			r.world.Sample(&r.sample)
		}
		r.sampleWires()
		r.mu.Lock()
		r.measure(now, dt)
		if recorded.IsZero() || r.own(now).Sub(recorded) >= record {
			recorded = r.own(now)
			r.record(now)
		}
		r.mu.Unlock()
		return true
	})
	counted := r.start.Add(3 * period) // until then the first readings are on their way
	r.Sched.Every(r.start, time.Second, sched.Check, func(now time.Time) bool {
		good := r.fresh(now)
		r.mu.Lock()
		r.notes.online = good
		if own := r.own(now); own.After(counted) {
			// Seconds that nobody counted, because nothing ran, were not available.
			missed := max(0, int64(own.Sub(counted)/time.Second)-1)
			r.Metrics.Available(int64(good), int64(len(s.IDs()))*(1+missed))
			counted = own
		}
		r.mu.Unlock()
		return true
	})
	if s.Record.Devices != "" {
		r.recordDevices()
	}
}

// measure feeds the metrics with the state at the end of a step.
func (r *Run) measure(now time.Time, dt float64) {
	x := &r.sample
	m := metric.Sample{
		T: r.elapsed(now).Seconds(), DT: dt, TargetKW: math.NaN(), AskedKW: math.NaN(), PricePerKWh: math.NaN(), PowerKW: x.SumKW, ImportKW: math.NaN(),
		InKW: x.InKW, OutKW: x.OutKW, StoredKWh: x.StoredKWh, SoC: x.SoC, TempC: x.TempC, UnitKW: x.PowerKW,
		CellMinV: x.CellMinV, CellMaxV: x.CellMaxV, SoH: x.SoH, Resistance: x.Resistance, AuxKWh: x.AuxKWh, Burnt: x.Burnt,
	}
	// What was asked during the step, whether or not dispatch has looked since: a
	// slow or late dispatch is part of what is scored.
	if kw, ok := r.plant.Asked(now.Add(-time.Duration(dt * float64(time.Second)))); ok && dt > 0 {
		m.TargetKW = kw
	}
	if kw, ok := r.plant.Asked(now); ok {
		m.AskedKW = kw
	}
	if p := r.Scenario.Site.Price; p != nil && dt > 0 {
		m.PricePerKWh = p.At(r.elapsed(now) - time.Duration(dt*float64(time.Second)))
	}
	if site := r.site(now); site.OK {
		m.ImportKW = site.Net + x.SumKW
	}
	r.Metrics.Step(m)
	if len(r.behind) > 0 {
		r.Metrics.Excess(r.excess(r.elapsed(now)))
	}
	r.notes.steps += int64(len(x.SoC))
	if x.OutOfLimits > 0 {
		r.notes.outOfLimits += int64(x.OutOfLimits)
		if r.notes.offender == "" {
			r.notes.offender = fmt.Sprintf("%s at %s: %s", x.Offender, now.Format("15:04:05.000"), x.OffenderWhy)
		}
	}
}

// record appends a row to the signals.
func (r *Run) record(now time.Time) {
	g, x := &r.signals, &r.sample
	g.T = append(g.T, r.elapsed(now).Seconds())
	target, ok := r.plant.Asked(now)
	if !ok {
		target = math.NaN()
	}
	g.Target = append(g.Target, target)
	g.Power = append(g.Power, x.SumKW)
	g.AvailCharge = append(g.AvailCharge, x.AvailableChargeKW)
	g.AvailDischarge = append(g.AvailDischarge, x.AvailableDischargeKW)
	g.AddSoC(r.notes.bander.Of(x.SoC))
	g.AddTemp(r.notes.bander.Of(x.TempC))
	g.Online = append(g.Online, float64(r.notes.online))
	if site := r.site(now); site.OK {
		g.SiteImport = append(g.SiteImport, site.Net+x.SumKW)
		t := r.elapsed(now)
		if l := r.Scenario.Site.Load; l != nil {
			g.SiteLoad = append(g.SiteLoad, l.At(t))
		}
		if pv := r.Scenario.Site.PV; pv != nil {
			g.SitePV = append(g.SitePV, pv.At(t))
		}
	}
	if p := r.Scenario.Site.Price; p != nil {
		g.Price = append(g.Price, p.At(r.elapsed(now)))
	}
}

// maxDeviceRows bounds devices.parquet.
const maxDeviceRows = 5_000_000

func (r *Run) recordDevices() {
	s := r.Scenario
	wanted := map[string]bool{}
	for _, id := range s.MatchDevices(s.Record.Devices) {
		wanted[id] = true
	}
	every := s.Record.DevicesEvery
	if every <= 0 {
		every = max(s.Record.Every, s.Duration/3600, s.ReadEvery)
	}
	ids := s.IDs()
	r.Sched.Every(r.start, every, sched.Check, func(now time.Time) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, id := range ids {
			if !wanted[id] || len(r.devices) >= maxDeviceRows {
				continue
			}
			r.devices = append(r.devices, report.DeviceRow{
				T: r.elapsed(now).Seconds(), Device: id, PowerKW: r.sample.PowerKW[i], SoC: r.sample.SoC[i],
				TempC: r.sample.TempC[i], Voltage: r.sample.Voltage[i], Status: r.status(id),
				Limit: r.sample.Limit[i], ReactiveKvar: r.sample.Reactive[i],
			})
		}
		return true
	})
}

func (r *Run) status(id string) string {
	if s, ok := r.plant.Fleet.Slot(device.ID(id)); ok {
		d, _ := r.plant.Fleet.Device(s)
		return d.Last.StatusWord()
	}
	return ""
}

// fresh counts devices with a good reading younger than three periods.
func (r *Run) fresh(now time.Time) (good int) {
	ms, age := now.UnixMilli(), 3*r.period()
	r.plant.Fleet.View(func(img *image.Image) {
		for i := range img.Devices {
			if d := &img.Devices[i]; i < len(r.names) && r.names[i] != "" && d.Good.At != 0 && ms-d.Good.At < age.Milliseconds() {
				good++
			}
		}
	})
	return good
}

package run

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"yunchu/harness/backend"
	"yunchu/harness/fault"
	"yunchu/harness/keep"
	"yunchu/harness/links"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/hil"
	"yunchu/hil/record"
	"yunchu/platform"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
	"yunchu/platform/sched"
)

// Rig serves twins on wires while a run goes on. It is opened by whoever knows twins
// (harness/simworld).
type Rig interface {
	backend.Face
	// Serve answers until ctx ends.
	Serve(ctx context.Context) error
}

// ErrRig is returned when a device on a wire does not answer, or a rig cannot be served.
var ErrRig = links.ErrNotThere

// wire is one device of the scenario that is not a twin in this process.
type wire struct {
	index  int // in the scenario
	slot   device.Slot
	entry  *scenario.FleetEntry
	spec   hil.Device
	info   device.Info
	faulty *fault.Driver
	tape   *record.Writer
}

// answersWithin is how long a device on a wire may take to be there.
const answersWithin = 5 * time.Second

// connect serves the scenario's rig, and finds its devices on wires.
func (r *Run) connect(ctx context.Context) error {
	s := r.Scenario
	if s.Served != nil {
		if r.opt.Rig == nil {
			return fmt.Errorf("scenario %s serves a rig: %w", s.Name, ErrNoSimulation)
		}
		rig, err := r.opt.Rig(s.Served, r.opt.Log)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRig, err)
		}
		r.rig = rig
		serving, end := context.WithCancel(context.WithoutCancel(ctx))
		r.endRig = end
		r.serve.Go(func() {
			if err := rig.Serve(serving); err != nil {
				r.opt.Log.Error("rig not served any more", "error", err)
			}
		})
	}
	n := 0
	for i := range s.Fleet {
		e := &s.Fleet[i]
		if e.Kind == scenario.Sim {
			n += max(e.Count, 1)
			continue
		}
		spec, err := links.Of(&e.Device, r.opt.Log)
		if err != nil {
			return fmt.Errorf("fleet %s: %w", e.ID, err)
		}
		w := &wire{index: n, entry: e, spec: spec, info: spec.Info()}
		w.info.Use = e.Use()
		n++
		if err := r.find(ctx, w); err != nil {
			return fmt.Errorf("fleet %s: %w", e.ID, err)
		}
		r.wires = append(r.wires, w)
		r.ratedKW += w.info.RatedKW
	}
	return nil
}

// find looks whether the device is there, and takes its first reading.
func (r *Run) find(ctx context.Context, w *wire) (err error) {
	if w.spec.Recording != "" {
		w.spec.Started = r.start
		rec, err := record.Open(w.spec.Recording)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrWorld, err)
		}
		w.spec.Replayed = rec
		known := w.info
		w.info = rec.Info
		w.info.Limits = rec.Info.Limits.Within(known.Limits)
		w.info.ID, w.info.Slot, w.info.Kind, w.info.Use = known.ID, 0, known.Kind, known.Use
		return nil
	}
	d, err := hil.Open(w.spec)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWorld, err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	first, said, err := links.Await(ctx, d, answersWithin)
	if err != nil {
		return err
	}
	links.Fill(&w.info, said)
	r.seen(w.index, &first)
	return nil
}

// attach opens the drivers, and gives them to the plant.
func (r *Run) attach() error {
	var wired []platform.Wired
	for _, w := range r.wires {
		if w.tape == nil && w.spec.Recording == "" {
			var err error
			if w.tape, err = r.tapes.Begin(&w.spec, w.info); err != nil {
				return err
			}
		}
		d, err := hil.Open(w.spec)
		if err != nil {
			return fmt.Errorf("fleet %s: %w", w.entry.ID, err)
		}
		if w.faulty == nil {
			w.faulty = fault.WrapDriver(d, w.spec.ID, r.Scenario.Seed)
			if w.tape != nil {
				w.faulty.Told = w.tape.Told
			}
		} else {
			w.faulty.Renew(d)
		}
		if w.spec.Recording != "" {
			w.info.State = device.Active
			if at, noted := r.armed(w); noted && r.Sched.Now().Before(at) {
				w.info.State = device.Inactive
			}
			if err := r.plant.Add(r.work, []device.Info{w.info}, apart{device.Solo(w.faulty), r}); err != nil {
				return fmt.Errorf("add %s: %w", w.entry.ID, err)
			}
			continue
		}
		x := platform.Wired{Info: w.info, Driver: w.faulty, Period: w.entry.Poll, ArmItself: w.spec.Loopback()}
		if r.opt.Twin != nil {
			if x.Twin, err = r.opt.Twin(&w.entry.Device); err != nil {
				return fmt.Errorf("%w: %w", ErrWorld, err)
			}
		}
		wired = append(wired, x)
	}
	if err := r.plant.Attach(r.work, wired); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	for _, w := range r.wires {
		w.slot, _ = r.plant.Fleet.Slot(w.spec.ID)
	}
	return nil
}

// armed is when a recorded device was armed, in the time of this run; false where the
// recording does not say: then it may act from the start.
func (r *Run) armed(w *wire) (time.Time, bool) {
	rec := w.spec.Replayed
	if rec == nil || rec.Armed.IsZero() {
		return time.Time{}, false
	}
	return r.start.Add(rec.Armed.Sub(rec.Began)), true
}

// noteArmed has the recording of a device say from when on it may act.
func (r *Run) noteArmed(s device.Slot) {
	for _, w := range r.wires {
		if w.slot == s && w.tape != nil {
			w.tape.Armed(time.Now()) // as what crosses the link is noted
		}
	}
}

// activate lets recorded devices act from when they were armed.
func (r *Run) activate() {
	for _, w := range r.wires {
		if at, noted := r.armed(w); noted {
			r.Sched.At(at, sched.Image, func(time.Time) { r.plant.Activate(w.slot) })
		}
	}
}

// arm asks for the devices that somebody has named to be armed. Their name goes to
// the audit.
func (r *Run) arm(now time.Time) {
	who := "user:run"
	if u, err := user.Current(); err == nil {
		who = "user:" + u.Username
	}
	var list []device.Command
	for _, id := range r.opt.Arm {
		if slot, ok := r.plant.Fleet.Slot(device.ID(id)); ok {
			list = append(list, device.Command{
				Slot: slot, ID: "arm-" + id, Verb: device.Arm, Priority: device.Normal, At: now.UnixMilli(), Source: who,
			})
		}
	}
	if len(list) > 0 {
		bus.Commands.Publish(r.bus, &device.Commands{List: list}, nil)
	}
}

// seen puts what a device on a wire reports into the sample, where a twin's own state
// would be.
func (r *Run) seen(index int, g *device.Reading) {
	x := &r.sample
	x.SoC[index], x.TempC[index], x.PowerKW[index], x.Voltage[index] = g.SoC, g.Temperature, g.Power, g.Voltage
}

// sampleWires adds the devices on wires, by their good readings, to the sample of the
// twins.
func (r *Run) sampleWires() {
	if len(r.wires) == 0 {
		return
	}
	x := &r.sample
	if r.world == nil {
		x.SumKW, x.InKW, x.OutKW, x.AvailableChargeKW, x.AvailableDischargeKW = 0, 0, 0, 0, 0
	}
	r.plant.Fleet.View(func(img *image.Image) {
		for _, w := range r.wires {
			if int(w.slot) >= len(img.Devices) || img.Devices[w.slot].Good.At == 0 {
				continue
			}
			g := &img.Devices[w.slot].Good
			r.seen(w.index, g)
			x.SumKW += g.Power
			x.InKW += max(g.Power, 0)
			x.OutKW += max(-g.Power, 0)
			x.AvailableChargeKW += max(g.MaxCharge, 0)
			x.AvailableDischargeKW += max(g.MaxDischarge, 0)
		}
	})
}

// injectWire begins a fault of a wire in the rig that is served beside the run.
func (r *Run) injectWire(f *scenario.Injection) (end func(now time.Time), err error) {
	if r.rig == nil {
		return nil, fmt.Errorf("fault %s acts in a served rig: the scenario names none (rig: FILE)", f.Kind)
	}
	ctx := r.ctx
	var ends []func(context.Context) error
	undo := func(time.Time) {
		for _, e := range ends {
			if err := e(ctx); err != nil {
				r.opt.Log.Warn("fault not ended", "fault", f.Kind, "error", err)
			}
		}
	}
	for id := range r.matching(f.Devices) {
		e, err := r.rig.Inject(ctx, id, backend.Fault{Kind: f.Kind, By: f.By.Duration, Code: f.Code, ToC: f.ToC})
		if errors.Is(err, backend.ErrUnknown) && !r.wired(id) {
			continue // a twin in this process, which a glob has matched
		}
		if err != nil {
			undo(time.Time{})
			return nil, err
		}
		ends = append(ends, e)
	}
	if len(ends) == 0 {
		return nil, fmt.Errorf("fault %s: the rig serves none of %q", f.Kind, f.Devices)
	}
	return undo, nil
}

func (r *Run) wired(id string) bool {
	for _, w := range r.wires {
		if string(w.spec.ID) == id {
			return true
		}
	}
	return false
}

// real reports whether a device of that id is on a wire, and no recording.
func (r *Run) real(id device.ID) bool {
	return slices.ContainsFunc(r.wires, func(w *wire) bool { return w.spec.ID == id && w.spec.Recording == "" })
}

// audited reports whether there is an audit of what is written to devices on wires.
func (r *Run) audited() bool {
	return r.opt.Out != "" && !r.Scenario.Virtual() && slices.ContainsFunc(r.wires, func(w *wire) bool { return w.spec.Recording == "" })
}

// restsWithin is how long devices may take to be disarmed when a run is over.
const restsWithin = 2 * time.Second

// rest disarms the devices on wires that may act, when the run is over: what is written to
// them last has somebody who asked for it, and stands in the audit like all before.
func (r *Run) rest() error {
	acting := func() (list []device.Command) {
		for _, w := range r.wires {
			if d, ok := r.plant.Fleet.Device(w.slot); ok && w.spec.Recording == "" && d.Info.State == device.Active {
				list = append(list, device.Command{
					Slot: w.slot, ID: "end-" + string(w.spec.ID), Verb: device.Disarm, Priority: device.Safety,
					At: r.Sched.Now().UnixMilli(), Source: "run", Reason: "the run is over",
				})
			}
		}
		return list
	}
	list := acting()
	if len(list) == 0 {
		return nil
	}
	bus.Commands.Publish(r.bus, &device.Commands{List: list}, nil)
	for end := r.Sched.Now().Add(restsWithin); r.Sched.Now().Before(end) && len(acting()) > 0; {
		if err := r.Sched.Run(r.ctx, r.Sched.Now().Add(50*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// keep adds to the report what crossed the links, and the audit of what was written.
func (r *Run) keep(out *report.Run) error {
	out.Kept = append(out.Kept, r.kept...)
	if !r.audited() {
		return nil
	}
	at := filepath.Join(r.dir, "audit")
	if err := keep.Audit(at, filepath.Join(r.dir, "data")); err != nil {
		return err
	}
	files, err := keep.Folder("audit", at)
	out.Kept = append(out.Kept, files...)
	return err
}

// closeWires closes tapes and the rig.
func (r *Run) closeWires() (err error) {
	r.kept, err = r.tapes.Close()
	if r.endRig != nil {
		r.endRig()
	}
	return err
}

// Package run is the engine behind yunchu run: it brings up a plant for a
// scenario, lets the world and the timeline act on it, watches what happens, and
// scores it. What dispatches and what reads and writes devices is the production
// code of platform; this package only plays the world around it and takes notes.
package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"yunchu/harness/fault"
	"yunchu/harness/keep"
	"yunchu/harness/metric"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform"
	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/sched"
)

// ErrNoSimulation is returned for a scenario with twins in a build without them.
var ErrNoSimulation = errors.New("built without simulation")

// ErrWorld is returned for a scenario whose devices cannot be built as it says.
var ErrWorld = errors.New("the scenario's devices cannot be built")

// Options are how a scenario is run.
type Options struct {
	// World opens the twins; nil in a build without simulation.
	World func(s *scenario.Scenario, start time.Time) (World, error)
	// Rig serves the rig of a scenario; nil in a build without simulation.
	Rig func(r *scenario.Rig, log *slog.Logger) (Rig, error)
	// Twin is what a device on a wire is held against before it is armed; nil: its nameplate.
	Twin func(d *scenario.Device) (device.Comparison, error)
	// Arm names devices on wires that may act, after their sign test.
	Arm []string
	// Durable opens the bus of a run on the wall clock in a folder.
	Durable func(dir string) (bus.Bus, error)
	// Listen, when set, is where API and portal are served while it runs; a
	// scenario with load opens them on a free loopback port otherwise.
	Listen string
	// Listening, when set, is told where the portal is.
	Listening func(portal string)
	UI        fs.FS  // the portal's files
	Token     string // an engineer token beside the generated ones; at least 16 characters
	// Endless lets a run on the wall clock go on past its duration, until it is
	// stopped, and keeps no journal.
	Endless bool
	// Initial is the target until an operator sets one; for scenarios without.
	Initial func(now time.Time) platform.Target
	// Progress, when set, is called about five times a second.
	Progress func(Progress)
	Log      *slog.Logger
	Binary   string // hash of the program, for the report
	Tags     []string
	Out      string // folder for the report's files; empty: none are written
}

// Progress is how far a run has come.
type Progress struct {
	Sim, Of time.Duration
	Wall    time.Duration
	Faults  int // active now
	Done    bool
}

// Run is a scenario being run.
type Run struct {
	Scenario *scenario.Scenario
	Metrics  *metric.Collector
	Sched    *sched.Scheduler

	opt     Options
	start   time.Time // of the run's own time
	machine machine
	jumps   atomic.Pointer[[]jump] // of the plant's time, which the loop adds to
	began   time.Time              // on the wall
	dir     string                 // temporary
	world   World
	wires   []*wire
	tapes   keep.Tapes
	kept    []report.Kept // what the tapes hold, once they are closed
	rig     Rig
	endRig  context.CancelFunc
	fleets  []Fleet
	faulty  []*fault.Fleet
	bus     bus.Bus
	hash    hash.Hash
	journal *journal

	plant  *platform.Plant
	ctx    context.Context    // ends with close, so that what was begun can end
	work   context.Context    // of the plant as it runs now
	stop   context.CancelFunc // of work
	serve  sync.WaitGroup
	cycles time.Time // from when on dispatch decides
	due    time.Time // of the next cycle of dispatch
	access *access   // to the API
	api    *server

	loading  sync.WaitGroup
	loadErrs []error
	acked    map[string][]int64 // timestamps of readings that a load got acknowledged

	noted   [len(watched)]atomic.Uint64 // the last sequence of each that notes are taken of
	mu      sync.Mutex                  // guards what the bus's and the loop's goroutines share
	over    bool                        // what follows is no part of the run
	notes   notes
	signals report.Signals
	events  []report.Event
	windows []report.Window
	devices []report.DeviceRow
	sample  Sample
	meters  []int    // meter of each limit of a group, by index; -1 none
	behind  [][]int  // devices of each limit of a group that are in none within, by index
	names   []string // of devices by slot
	ratedKW float64
	active  int
	failure error
	cancel  context.CancelFunc // ends the loop and the loads
}

// Do runs a scenario to its end, or until ctx ends, and returns its report.
func Do(ctx context.Context, s *scenario.Scenario, opt Options) (*report.Run, error) {
	r := newRun(s, opt)
	ctx, r.cancel = context.WithCancel(ctx)
	defer r.cancel()
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r.playOut(ctx)
}

func newRun(s *scenario.Scenario, opt Options) *Run {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Run{Scenario: s, opt: opt, tapes: keep.Tapes{Out: opt.Out}, hash: sha256.New(), acked: map[string][]int64{}}
}

// playOut lets what was opened run to its end, scores it, and closes it.
func (r *Run) playOut(ctx context.Context) (*report.Run, error) {
	loopErr := r.loop(ctx)
	if loopErr == nil && len(r.Scenario.Load) > 0 {
		loopErr = r.linger(ctx)
	}
	r.loading.Wait()
	if r.api != nil { // who still sends readings would keep the log from its end
		if err := r.closeAPI(); err != nil {
			return nil, errors.Join(err, r.close())
		}
	}
	out, err := r.finish(loopErr)
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	err = errors.Join(r.rest(), r.down())
	if r.opt.Out != "" {
		err = errors.Join(err, r.keep(out), report.Write(r.opt.Out, out))
	}
	if err := errors.Join(err, r.leave()); err != nil {
		return nil, err
	}
	if loopErr != nil && !errors.Is(loopErr, context.Canceled) {
		return nil, loopErr
	}
	return out, nil
}

// open brings everything up, up to the first event.
func (r *Run) open(ctx context.Context) (err error) {
	s := r.Scenario
	var clock sched.Clock = sched.NewWallOn(r.machine.now)
	r.start = time.Now().UTC()
	if s.Virtual() {
		r.start = s.Start
		v := sched.NewVirtual(s.Start)
		if s.Speed > 0 {
			v.SetPace(float64(s.Speed))
		}
		clock = v
	}
	r.Sched = sched.New(clock)
	if r.dir, err = temporary(s.Virtual()); err != nil {
		return err
	}
	if r.journal, err = newJournal(filepath.Join(r.dir, "journal.jsonl"), r.level(), r.elapsed); err != nil {
		return err
	}
	if s.Virtual() {
		b := local.New(0)
		b.Spill = r.dir
		b.Tap = func(_ string, frame []byte) { r.hash.Write(frame) }
		r.bus = b
	} else if r.bus, err = r.opt.Durable(filepath.Join(r.dir, "bus")); err != nil {
		return fmt.Errorf("open the durable bus: %w", err)
	}
	r.ctx = context.WithoutCancel(ctx)
	if err := r.populate(ctx); err != nil {
		return err
	}
	if err := r.assemble(); err != nil {
		return err
	}
	if !s.Virtual() { // what came before was building, not running
		r.start = time.Now().UTC()
		for _, w := range r.wires {
			if w.tape != nil {
				w.tape.Begin(r.start)
			}
		}
	}
	if err := r.plant.Start(r.work, r.start); err != nil {
		return fmt.Errorf("start the plant: %w", err)
	}
	r.cycles = r.plant.FirstCycle()
	r.clockwork()
	r.timeline()
	r.Sched.At(r.start.Add(time.Second), sched.Image, r.arm) // by then they have been read
	r.activate()
	r.began = time.Now()
	return r.join(ctx)
}

// join opens the API where somebody wants it, and starts the loads.
func (r *Run) join(ctx context.Context) (err error) {
	address := r.opt.Listen
	if address == "" && len(r.Scenario.Load) == 0 {
		return nil
	}
	if address == "" {
		address = "127.0.0.1:0"
	}
	if r.access, err = newAccess(r.ctx, r.opt); err != nil {
		return err
	}
	if r.api, err = r.listen(address); err != nil {
		return err
	}
	if r.opt.Listening != nil {
		r.opt.Listening(r.portal())
	}
	r.loads(ctx, r.api)
	return nil
}

func (r *Run) level() string {
	if r.opt.Endless {
		return "none"
	}
	return r.Scenario.Journal
}

// temporary makes a folder that the run leaves nothing of. On the wall clock it
// must lie on a real disk, or a sync would prove nothing.
func temporary(virtual bool) (string, error) {
	base := ""
	if !virtual && inMemory(os.TempDir()) {
		base = "/var/tmp"
	}
	dir, err := os.MkdirTemp(base, "yunchu-run-")
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w", err)
	}
	return dir, nil
}

// populate opens the world and wraps its fleets for faults, and finds the devices on
// wires.
func (r *Run) populate(ctx context.Context) error {
	s := r.Scenario
	n, twins := len(s.IDs()), false
	for i := range s.Fleet {
		twins = twins || s.Fleet[i].Kind == scenario.Sim || s.Fleet[i].Shadow != nil
	}
	if twins && r.opt.World == nil {
		return fmt.Errorf("scenario %s has simulated devices: %w", s.Name, ErrNoSimulation)
	}
	column := func() []float64 { return make([]float64, n) }
	r.sample = Sample{SoC: column(), TempC: column(), PowerKW: column(), Voltage: column()}
	if s.Record.Devices != "" {
		r.sample.Limit, r.sample.Reactive = make([]string, n), column()
	}
	if r.scores("fleet.cell_voltage_v") {
		r.sample.CellMinV, r.sample.CellMaxV = column(), column()
	}
	if r.scores("fleet.soh_percent") || r.scores("fleet.resistance_percent") || r.scores("fleet.aux_kwh") {
		r.sample.SoH, r.sample.Resistance = column(), column()
	}
	var units []metric.Device
	if twins {
		w, err := r.opt.World(s, r.start)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrWorld, err)
		}
		r.world = w
		r.fleets = w.Fleets()
		for _, f := range r.fleets {
			ids := make([]device.ID, len(f.Infos))
			for i := range f.Infos {
				ids[i] = f.Infos[i].ID
				r.ratedKW += f.Infos[i].RatedKW
				units = append(units, deviceOf(&f.Infos[i]))
			}
			r.faulty = append(r.faulty, fault.Wrap(apart{f.Devices, r}, ids, s.Seed))
		}
	}
	if err := r.connect(ctx); err != nil {
		return err
	}
	for _, w := range r.wires {
		units = append(units, deviceOf(&w.info))
	}
	r.Metrics = metric.New(metric.Config{RatedKW: r.ratedKW, Devices: n, Shadows: s.Shadows(), Units: units, DurationS: s.Duration.Seconds()})
	if len(s.Dispatch.Limits) > 0 {
		r.behind = s.Dispatch.Behind(s.IDs())
		for _, l := range s.Dispatch.Limits {
			r.meters = append(r.meters, slices.Index(s.IDs(), l.Meter))
		}
	}
	return nil
}

// deviceOf is what the score of a run knows of a device.
func deviceOf(info *device.Info) metric.Device {
	soc := info.ChargeWindow()
	return metric.Device{RatedKW: info.RatedKW, CapacityKWh: info.CapacityKWh, SoCMin: soc[0], SoCMax: soc[1], Wear: info.Wear}
}

// scores reports whether the scenario asks for a metric.
func (r *Run) scores(name string) bool {
	return slices.ContainsFunc(r.Scenario.Score, func(s scenario.Score) bool { return s.Metric == name })
}

// assemble puts the plant together on the bus, as a start of the program does;
// after a restart it recovers from the log.
func (r *Run) assemble() error {
	s := r.Scenario
	limit := 0.0
	if s.Site.ImportLimitKW != nil {
		limit = *s.Site.ImportLimitKW
	}
	cfg := platform.Config{
		Name: s.Name, Bus: r.bus, Sched: r.Sched, Log: r.opt.Log, Dir: filepath.Join(r.dir, "data"),
		Period:        r.period(),
		Origin:        r.start,
		Dispatch:      s.Dispatch.Settings(),
		Limits:        s.Dispatch.GroupLimits(r.elapsed),
		Droop:         s.Dispatch.Droop.Device(),
		Site:          r.site,
		Initial:       r.opt.Initial,
		Retain:        retain,
		ImportLimitKW: limit,
		RampKWPerS:    s.Dispatch.Ramp,
		Lease:         s.Guard.Lease,
		CommandsPerS:  s.Guard.CommandsPerS,
		Audit:         r.audited(),
		AuditOf:       r.real,
		Later:         slices.ContainsFunc(r.wires, func(w *wire) bool { return w.spec.Recording != "" }),
	}
	if d := s.Dispatch.Droop; d != nil {
		if cfg.Hertz = device.ID(d.Meter); d.Frequency != nil {
			cfg.Frequency = func(now time.Time) float64 { return d.Frequency.At(r.elapsed(now)) }
		}
	}
	if s.Dispatch.Target != nil || s.Dispatch.Droop != nil || s.Dispatch.SitesAsk() || r.hasTargets() {
		cfg.Target = r.target
	}
	p, err := platform.New(cfg)
	if err != nil {
		return fmt.Errorf("assemble the plant: %w", err)
	}
	r.plant = p
	r.work, r.stop = context.WithCancel(r.ctx)
	for i, f := range r.fleets {
		if err := p.Add(r.work, f.Infos, r.faulty[i]); err != nil {
			return fmt.Errorf("add the fleet: %w", err)
		}
	}
	if err := r.attach(); err != nil {
		return err
	}
	p.OnDecision(r.decided)
	if err := r.follow(); err != nil {
		return err
	}
	if f, ok := r.world.(Follower); ok {
		if err := f.Follow(r.bus, p.Fleet.Slot); err != nil {
			return err
		}
	}
	if r.opt.Listen != "" || !s.Virtual() {
		ctx := r.work
		r.serve.Go(func() { _ = p.Run(ctx) }) // returns nil when ctx ends
	}
	return nil
}

// retain is how long a run keeps commands in its log. They are only needed to
// recover after a restart, and a day of a large fleet has gigabytes of them.
const retain = time.Hour

// period is how often devices are read and the world is stepped.
func (r *Run) period() time.Duration { return r.Scenario.ReadEvery }

func (r *Run) hasTargets() bool {
	for _, e := range r.Scenario.Timeline {
		if e.TargetKW != nil || e.ImportKW != nil {
			return true
		}
	}
	return false
}

// Plant is the plant as it runs now; a restart replaces it.
func (r *Run) Plant() *platform.Plant { return r.plant }

// Bus is the run's bus.
func (r *Run) Bus() bus.Bus { return r.bus }

// Start is the instant at which the run began, in its own time.
func (r *Run) Start() time.Time { return r.start }

func (r *Run) target(now time.Time) platform.Target {
	t, ok := r.Scenario.TargetAt(r.elapsed(now))
	if !ok && r.Scenario.Dispatch.SitesAsk() {
		t.KW = math.NaN() // the sum of what they ask for
	}
	return platform.Target{KW: t.KW, Import: t.Import, Enabled: ok || r.Scenario.Dispatch.Droop != nil || r.Scenario.Dispatch.SitesAsk()}
}

func (r *Run) site(now time.Time) platform.Site {
	s := &r.Scenario.Site
	if s.Load == nil && s.PV == nil {
		return platform.Site{}
	}
	t := r.elapsed(now)
	var net float64
	if s.Load != nil {
		net += s.Load.At(t)
	}
	if s.PV != nil {
		net += s.PV.At(t)
	}
	return platform.Site{Net: net, OK: true}
}

// restart takes the plant down without a word and brings it up from its log after a
// time. The API goes with it and comes back at the same address.
func (r *Run) restart(after time.Duration) error {
	address := ""
	if r.api != nil {
		address = r.api.address
		if err := r.closeAPI(); err != nil {
			return fmt.Errorf("restart: %w", err)
		}
	}
	r.stop()
	err := r.plant.Close()
	if b, ok := r.bus.(*local.Bus); ok {
		b.Detach()
	} else {
		err = errors.Join(err, r.bus.Close())
		again, openErr := r.opt.Durable(filepath.Join(r.dir, "bus"))
		if openErr != nil {
			return fmt.Errorf("reopen the durable bus: %w", errors.Join(err, openErr))
		}
		r.bus = again
	}
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	time.Sleep(after) // nobody is there
	if err := r.assemble(); err != nil {
		return err
	}
	// It keeps to the grid of the steps.
	period := r.period()
	begin := r.start.Add(r.Sched.Now().Sub(r.start)/period*period + period)
	if err := r.plant.Start(r.work, begin); err != nil {
		return fmt.Errorf("start the plant: %w", err)
	}
	r.cycles = r.plant.FirstCycle()
	if address == "" {
		return nil
	}
	r.api, err = r.listen(address)
	return err
}

// loop lets time pass to the end.
func (r *Run) loop(ctx context.Context) error {
	if r.opt.Progress != nil {
		r.progress(ctx)
	}
	r.Sched.At(r.start, sched.Check, func(time.Time) {}) // so that the first instant exists
	for {
		until := r.instant(r.Scenario.Duration)
		if r.opt.Endless {
			until = time.Time{}
		}
		err := r.Sched.Run(ctx, until)
		if r.failure != nil {
			return r.failure
		}
		if err != nil || until.Equal(r.instant(r.Scenario.Duration)) { // else the clock was set meanwhile
			return err
		}
	}
}

// linger lets time pass until the loads have their last answers: what is asked at the end
// finds a plant that works as at any other time.
func (r *Run) linger(ctx context.Context) error {
	asking, answered := context.WithCancel(ctx)
	defer answered()
	go func() {
		r.loading.Wait()
		answered()
	}()
	err := r.Sched.Run(asking, time.Time{})
	switch {
	case r.failure != nil:
		return r.failure
	case ctx.Err() != nil:
		return err
	}
	return nil
}

// fail ends the run with an error of its own.
func (r *Run) fail(err error) {
	if r.failure == nil {
		r.failure = err
	}
	r.cancel()
}

// progress reports from the loop, looking at the wall clock once in a while.
func (r *Run) progress(ctx context.Context) {
	last := time.Now()
	period := max(r.Scenario.Step, r.Scenario.Duration/2000)
	if !r.Scenario.Virtual() {
		period = 200 * time.Millisecond
	}
	r.Sched.Every(r.start, period, sched.Check, func(now time.Time) bool {
		if t := time.Now(); t.Sub(last) >= 200*time.Millisecond {
			last = t
			r.opt.Progress(Progress{Sim: r.elapsed(now), Of: r.Scenario.Duration, Wall: t.Sub(r.began), Faults: r.active})
		}
		return ctx.Err() == nil
	})
}

// close takes everything down and leaves nothing behind.
func (r *Run) close() error { return errors.Join(r.down(), r.leave()) }

// leave leaves nothing behind but the report.
func (r *Run) leave() error {
	r.tapes.Remove()
	if r.dir == "" {
		return nil
	}
	return os.RemoveAll(r.dir)
}

// down takes everything down.
func (r *Run) down() error {
	var errs []error
	if r.api != nil {
		errs = append(errs, r.closeAPI())
	}
	if r.stop != nil {
		r.stop()
	}
	if r.plant != nil {
		errs = append(errs, r.plant.Close()) // before the rig: what acts is let go of while it still answers
	}
	errs = append(errs, r.closeWires())
	r.serve.Wait()
	if r.bus != nil {
		errs = append(errs, r.bus.Close())
	}
	if r.journal != nil {
		errs = append(errs, r.journal.close())
	}
	return errors.Join(errs...)
}

func (r *Run) journalHash() string {
	if !r.Scenario.Virtual() {
		return ""
	}
	return hex.EncodeToString(r.hash.Sum(nil))
}

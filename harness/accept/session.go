package accept

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"yunchu/harness/backend"
	"yunchu/harness/fault"
	"yunchu/harness/keep"
	"yunchu/harness/metric"
	"yunchu/harness/scenario"
	"yunchu/hil"
	"yunchu/platform"
	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
	"yunchu/platform/sched"
)

// session is a plant with the device of one bench, up and running.
type session struct {
	b   *Bench
	opt *Options

	dir    string
	bus    bus.Bus
	sched  *sched.Scheduler
	plant  *platform.Plant
	slot   device.Slot
	period time.Duration
	ctx    context.Context // of the plant
	stop   context.CancelFunc
	serve  sync.WaitGroup
	links  map[string]breakable
	framed []device.Framed // its wires that count frames
	able   map[string]bool
	said   device.Info // what the device says of itself

	inbox    inbox
	player   *Player // of the test that is being done
	rec      *Record
	undo     restore
	doing    sync.Mutex // one job at a time
	doingFor string     // why it is done, for the audit
	jobs     context.Context
	end      context.CancelFunc // of jobs
	ticked   time.Time          // when there was a look last
	seen     device.Reading
	polled   atomic.Bool // an exchange was timed: it is asked, and does not tell by itself
	silent   string      // why it does not answer, as far as was told; empty: it does
	kept     time.Time   // of the newest sample that was kept
	ref      bool        // the reference is sampled
}

// breakable is a link that can be cut.
type breakable interface {
	Begin(number int, inj *scenario.Injection) (end func())
}

// inbox collects what comes from the bus and from jobs until the player looks.
type inbox struct {
	mu sync.Mutex
	batch
}

// batch is what has come since the last look.
type batch struct {
	readings  []device.Reading
	acks      []device.Ack
	events    []device.Event
	done      []Done
	truths    []backend.Truth
	skews     []time.Duration // of truths; none in virtual time
	exchanges []Exchange
	reactive  []kvar
}

// kvar is the reactive power that the device showed at a moment.
type kvar struct {
	at time.Time
	v  float64
}

func (b *inbox) put(f func(b *batch)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.batch)
}

func (b *inbox) take() batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.batch
	b.batch = batch{}
	return out
}

// start is where virtual time begins.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// pauseOver is how late a look may be before the machine counts as having stood still.
const pauseOver = 100 * time.Millisecond

// hereWithin is how long a device on a wire may take to be there.
const hereWithin = 5 * time.Second

// open brings the plant up and waits for the device's first reading.
func open(ctx context.Context, b *Bench, opt *Options) (s *session, err error) {
	s = &session{b: b, opt: opt, period: b.Period, able: map[string]bool{}, links: map[string]breakable{}}
	if s.period <= 0 {
		s.period = defaultPeriod
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp(diskFolder(), "yunchu-accept-"); err != nil {
		return s, fmt.Errorf("make a temporary folder: %w", err)
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if b.World != nil {
		s.sched = sched.New(sched.NewVirtual(s.begin()))
		s.bus = local.New(0)
	} else {
		s.sched = sched.New(sched.NewWall())
		if s.bus, err = opt.Durable(filepath.Join(s.dir, "bus")); err != nil {
			return s, fmt.Errorf("open the durable bus: %w", err)
		}
	}
	s.plant, err = platform.New(platform.Config{
		Name: "acceptance of " + string(b.Info.ID), Bus: s.bus, Sched: s.sched, Log: opt.Log,
		Dir: filepath.Join(s.dir, "data"), Period: s.period, Retain: time.Hour,
		Audit: b.World == nil,
	})
	if err != nil {
		return s, fmt.Errorf("assemble the plant: %w", err)
	}
	if err = s.attach(); err != nil {
		return s, err
	}
	s.slot, _ = s.plant.Fleet.Slot(b.Info.ID)
	if err = s.follow(); err != nil {
		return s, err
	}
	if err = s.plant.Start(s.ctx, s.sched.Now()); err != nil {
		return s, fmt.Errorf("start the plant: %w", err)
	}
	if !s.sched.Virtual() {
		s.serve.Go(func() { _ = s.plant.Run(s.ctx) }) // returns nil when ctx ends
	}
	s.clockwork()
	if err = s.await(ctx); err != nil {
		return s, err
	}
	s.capabilities(ctx)
	return s, nil
}

func (s *session) begin() time.Time {
	if s.opt.Start.IsZero() {
		return start
	}
	return s.opt.Start
}

// attach gives the device to the plant, behind links that can be cut.
func (s *session) attach() error {
	b := s.b
	if b.World != nil {
		f := fault.Wrap(b.World.Devices(), []device.ID{b.Info.ID}, 1)
		s.links["device"] = fleetLink{f}
		if err := s.plant.Add(s.ctx, []device.Info{b.Info}, f); err != nil {
			return fmt.Errorf("add the twin: %w", err)
		}
		return nil
	}
	d, err := b.Open(func(took time.Duration, err error) {
		s.polled.Store(true)
		s.inbox.put(func(x *batch) { x.exchanges = append(x.exchanges, Exchange{took, err}) })
	})
	if err != nil {
		return fmt.Errorf("open the device: %w", err)
	}
	count := func(x device.Driver) {
		if f, ok := x.(device.Framed); ok {
			s.framed = append(s.framed, f)
		}
	}
	count(d)
	if p, ok := d.(*hil.Parts); ok {
		for name, at := range map[string]*device.Driver{"pcs": &p.PCS, "bms": &p.BMS, "meter": &p.Meter} {
			if *at != nil {
				count(*at)
				w := fault.WrapDriver(*at, b.Info.ID, 1)
				s.links[name], *at = w, w
			}
		}
	}
	w := fault.WrapDriver(d, b.Info.ID, 1)
	s.links["device"] = w
	if tape := b.Tape; tape != nil {
		tape.Begin(time.Now())
		w.Told = tape.Told
	}
	// It does not arm itself, not even an emulator: the suite asks for the sign test.
	if err := s.plant.Attach(s.ctx, []platform.Wired{{Info: b.Info, Driver: w, Period: s.period, Twin: b.Twin}}); err != nil {
		return errors.Join(fmt.Errorf("attach the device: %w", err), d.Close())
	}
	return nil
}

// fleetLink is the link of a twin.
type fleetLink struct{ f *fault.Fleet }

func (l fleetLink) Begin(n int, inj *scenario.Injection) func() { return l.f.Begin(n, inj, []int{0}) }

// follow collects what the bus says of the device.
func (s *session) follow() error {
	_, err := bus.Readings.Subscribe(s.bus, 1, func(_ uint64, f *device.Readings) {
		var r device.Reading
		for i := range f.Rows() {
			if f.Row(i, &r); r.Slot == s.slot {
				s.inbox.put(func(x *batch) { x.readings = append(x.readings, r) })
			}
		}
	})
	if err == nil {
		_, err = bus.Acks.Subscribe(s.bus, 1, func(_ uint64, f *device.Acks) {
			for _, a := range f.List {
				if a.Slot == s.slot {
					s.inbox.put(func(x *batch) { x.acks = append(x.acks, a) })
				}
			}
		})
	}
	if err == nil {
		_, err = bus.Events.Subscribe(s.bus, 1, func(_ uint64, f *device.Events) {
			s.inbox.put(func(x *batch) { x.events = append(x.events, f.List...) })
		})
	}
	if err != nil {
		return fmt.Errorf("follow the bus: %w", err)
	}
	return nil
}

// clockwork puts the physics, the reference and the player on the scheduler.
func (s *session) clockwork() {
	first := s.sched.Now()
	if w := s.b.World; w != nil {
		s.sched.Every(first, s.period, sched.Physics, func(now time.Time) bool {
			w.Step(now)
			if s.ref {
				if t, err := w.Truth(s.ctx, string(s.b.Info.ID)); err == nil {
					s.inbox.put(func(x *batch) { x.truths = append(x.truths, t) })
				}
			}
			return s.ctx.Err() == nil
		})
	} else if s.b.Backend != nil {
		s.serve.Go(s.sampleReference)
	}
	s.sched.Every(first, s.period, sched.Decide, func(now time.Time) bool {
		s.tick(now)
		return s.ctx.Err() == nil
	})
}

// sampleReference reads the bench's perfect instrument beside the device.
func (s *session) sampleReference() {
	t := time.NewTicker(s.period)
	defer t.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
		}
		sent := time.Now()
		if truth, err := s.b.Backend.Truth(s.ctx, string(s.b.Info.ID)); err == nil {
			off := skew(truth.At, sent, time.Now(), s.period)
			s.inbox.put(func(x *batch) { x.truths, x.skews = append(x.truths, truth), append(x.skews, off) })
		}
	}
}

// sampleReactive reads the reactive power, which no reading has, beside the readings.
func (s *session) sampleReactive(ctx context.Context) {
	t := time.NewTicker(reactiveEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		q := kvar{at: s.sched.Now()}
		err := s.exchange(ctx, "adjusted", "reactive power", false, func(ctx context.Context, h *gateway.Held) (err error) {
			q.at = s.sched.Now()
			q.v, err = h.Setting(ctx, device.SettingReactive)
			return err
		})
		if err == nil {
			s.inbox.put(func(x *batch) { x.reactive = append(x.reactive, q) })
		}
	}
}

// reactiveEvery is seldom enough to leave the readings their time.
const reactiveEvery = time.Second

// tick shows the player what there is to see, and does what it asks for.
func (s *session) tick(now time.Time) {
	in := s.inbox.take()
	if n := len(in.readings); n > 0 {
		s.seen = in.readings[n-1]
	}
	for i := range in.events {
		if e := &in.events[i]; e.Slot == s.slot && e.Type == "offline" {
			s.silent = e.Text
		} else if e.Slot == s.slot && e.Type == "online" {
			s.silent = ""
		}
	}
	if s.player == nil {
		return
	}
	s.record(&in)
	if late := now.Sub(s.ticked) - s.period; late > pauseOver && !s.ticked.Before(s.rec.Begin) {
		s.rec.Pauses = append(s.rec.Pauses, metric.Point{T: s.rec.at(s.ticked), V: late.Seconds()})
	}
	s.ticked = now
	o := Observation{Reading: s.seen, Has: s.seen.At != 0, Acks: in.acks, Done: in.done}
	for i := range in.events {
		if in.events[i].Slot == s.slot {
			o.Events = append(o.Events, in.events[i])
		}
	}
	info, _ := s.plant.Fleet.Device(s.slot)
	o.Armed, o.Stopped = info.Info.State == device.Active, info.Info.State == device.Failed
	for _, a := range s.player.Step(now, &o) {
		if a.Command != nil {
			s.send(a.Command)
		} else {
			s.job(a.Job)
		}
	}
}

// record keeps what came.
func (s *session) record(in *batch) {
	every := s.player.g.Procedure.SampleEvery
	if s.player.Preparing() {
		every = max(every, time.Second) // it is shown, and not measured
	}
	for i := range in.readings {
		r := &in.readings[i]
		if at := device.Time(r.At); every <= s.period || at.Sub(s.kept) >= every-s.period/2 {
			s.rec.Samples = append(s.rec.Samples, *r)
			s.kept = at
		}
	}
	for i, t := range in.truths {
		if n := len(s.rec.Reference); n == 0 || t.At.Sub(s.rec.Reference[n-1].At) >= max(every, s.period)-s.period/2 {
			s.rec.Reference = append(s.rec.Reference, t)
			if i < len(in.skews) {
				s.rec.Skews = append(s.rec.Skews, in.skews[i])
			}
		}
	}
	for _, q := range in.reactive {
		s.rec.Reactive = append(s.rec.Reactive, metric.Point{T: s.rec.at(q.at), V: q.v})
	}
	s.rec.Exchanges = append(s.rec.Exchanges, in.exchanges...)
	for _, e := range in.events {
		if e.Slot == s.slot {
			s.rec.Events = append(s.rec.Events, e)
		}
	}
}

// source is who commands, for the audit.
func (s *session) source() string {
	if s.opt.Operator != "" {
		return "user:" + s.opt.Operator
	}
	return "accept"
}

func (s *session) send(c *device.Command) {
	c.Slot, c.Source = s.slot, s.source()
	if c.Verb == device.EStop {
		s.plant.Gateway.Stop(s.ctx, *c)
	}
	bus.Commands.Publish(s.bus, &device.Commands{List: []device.Command{*c}}, func(_ uint64, err error) {
		if err != nil {
			s.opt.Log.Error("command lost before the log", "id", c.ID, "error", err)
		}
	})
}

// await lets time pass until the device has been read.
func (s *session) await(ctx context.Context) error {
	limit := s.sched.Now().Add(hereWithin)
	for s.seen.At == 0 {
		if !s.sched.Now().Before(limit) {
			if s.silent != "" {
				return fmt.Errorf("%w: %s at %s has not answered within %v: %s", ErrNotThere, s.b.Info.ID, s.b.Address, hereWithin, s.silent)
			}
			return fmt.Errorf("%w: %s at %s has not answered within %v", ErrNotThere, s.b.Info.ID, s.b.Address, hereWithin)
		}
		if err := s.sched.Run(ctx, s.sched.Now().Add(s.period)); err != nil {
			return err
		}
	}
	return s.sched.Run(ctx, s.sched.Now().Add(4*s.period)) // so that its nameplate is known
}

// play does one program to its end. When ctx ends the test is broken off, and the
// device still brought to rest.
func (s *session) play(ctx context.Context, g *Program) *Record {
	info, _ := s.plant.Fleet.Device(s.slot)
	now := s.sched.Now()
	s.rec = &Record{
		Test: g.Procedure.Name, Begin: now, Period: max(s.period, g.Procedure.SampleEvery), RefPeriod: max(s.period, g.Procedure.SampleEvery),
		RatedKW: g.RatedKW, RatedKWh: info.Info.CapacityKWh, Usable: usable(&info.Info), MaxAge: max(g.pre.age, 3*s.period, 3*g.Procedure.SampleEvery), Parts: len(s.links) > 1, Kind: info.Info.Kind,
		VoltStep: cmp.Or(s.b.VoltStep, s.said.VoltStep),
		Silent:   s.silent, Apart: apart(s.b.Over, s.opt.Over),
	}
	s.kept = time.Time{}
	s.ref = referenced(g.Procedure)
	s.inbox.take()
	p := NewPlayer(g, s.rec, func(what string) bool { return s.able[what] })
	s.player = p
	run, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	s.jobs, s.end = context.WithCancel(s.ctx)
	defer func() { s.end() }()
	s.sched.Every(now, s.period, sched.Check, func(now time.Time) bool {
		if s.opt.Progress != nil {
			s.opt.Progress(string(s.b.Info.ID), g.Procedure.Name, p.Brings(), now.Sub(s.rec.Begin))
		}
		if ctx.Err() != nil {
			p.Abort(now, "interrupted")
		}
		if p.Over() {
			done()
		}
		return !p.Over()
	})
	if s.able[device.SettingReactive] && slices.ContainsFunc(g.Procedure.Limits, func(l scenario.ProcedureLimit) bool { return l.Metric == "reactive_error_percent" }) {
		s.serve.Go(func() { s.sampleReactive(run) })
	}
	_ = s.sched.Run(run, time.Time{}) // ends when the player is over
	s.player, s.ref = nil, false
	s.rec.End = s.sched.Now()
	if ctx.Err() == nil && slices.ContainsFunc(g.Procedure.Limits, func(l scenario.ProcedureLimit) bool { return l.Metric == "frozen_channels" }) {
		s.rescale(ctx)
	}
	return s.rec
}

// rescale asks a device on a wire that is there in which steps it writes its voltage now: where
// its scale is read with it, it may have become coarser in the test.
func (s *session) rescale(ctx context.Context) {
	if s.rec.VoltStep == 0 || s.b.World != nil || s.sched.Now().Sub(device.Time(s.seen.At)) > s.rec.MaxAge {
		return
	}
	now := make(chan float64, 1)
	s.aside(ctx, func(ctx context.Context) {
		_ = s.exchange(ctx, "examined", "nameplate", false, func(ctx context.Context, h *gateway.Held) error {
			said, err := h.Describe(ctx, time.Now())
			now <- said.VoltStep
			return err
		})
	})
	select {
	case step := <-now:
		s.rec.VoltStep = max(s.rec.VoltStep, step)
	default:
	}
}

// usable is the share of the rated energy that the device's window of charge leaves.
func usable(i *device.Info) float64 {
	soc := i.ChargeWindow()
	if soc[1] <= soc[0] {
		return 1
	}
	return (soc[1] - soc[0]) / 100
}

// referenced reports whether a procedure needs the bench's reference.
func referenced(p *scenario.Procedure) bool {
	for _, l := range p.Limits {
		switch l.Metric {
		case "power_error_percent", "reactive_error_percent", "soc_truth_error_percent", "temperature_error_c", "voltage_error_v", "efficiency_net_percent", "flat_s", "frozen_channels", "time_offset_ms":
			return true
		}
	}
	var of func(steps []scenario.ProcedureStep) bool
	of = func(steps []scenario.ProcedureStep) bool {
		return slices.ContainsFunc(steps, func(x scenario.ProcedureStep) bool {
			return x.Measure != nil && x.Measure.Of == "reference" || of(x.Steps)
		})
	}
	return of(p.Steps)
}

// close disarms the device and takes everything down.
func (s *session) close() error {
	var errs []error
	if s.stop != nil && s.plant != nil && s.plant.Ready() {
		if s.b.World == nil {
			s.send(&device.Command{ID: "accept-end", Verb: device.Disarm, Priority: device.Safety, At: s.sched.Now().UnixMilli()})
			errs = append(errs, s.sched.Run(context.Background(), s.sched.Now().Add(max(4*s.period, 300*time.Millisecond))))
		}
	}
	if s.stop != nil {
		s.stop()
	}
	if s.plant != nil {
		errs = append(errs, s.plant.Close())
	}
	s.serve.Wait()
	if s.bus != nil {
		errs = append(errs, s.bus.Close())
	}
	if s.plant != nil && s.b.World == nil && s.opt.Audit != "" {
		errs = append(errs, keep.Audit(filepath.Join(s.opt.Audit, string(s.b.Info.ID)), filepath.Join(s.dir, "data")))
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// diskFolder is where temporary folders go: a real disk, where /tmp is memory.
func diskFolder() string {
	if fi, err := os.Stat("/var/tmp"); err == nil && fi.IsDir() {
		return "/var/tmp"
	}
	return ""
}

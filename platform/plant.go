// Package platform assembles a running plant: bus, gateway, fleet image,
// dispatch, history and state on one scheduler. The same assembly runs on the
// wall clock over the durable bus and in simulated time over the local one; what
// the devices are is not known here.
package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"yunchu/platform/audit"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/fleet"
	"yunchu/platform/fleet/image"
	"yunchu/platform/gateway"
	"yunchu/platform/guard"
	"yunchu/platform/ingest"
	"yunchu/platform/sched"
	"yunchu/platform/store/postgres"
	"yunchu/platform/store/series"
	"yunchu/platform/store/state"
)

// Site is what lies behind the grid meter beside the fleet, in kW.
type Site struct {
	Net float64 // load minus local generation; the import without the fleet
	OK  bool    // whether it is known
	// Meter is the device that it is read from, "" for none, and Silent tells that this does
	// not report.
	Meter  device.ID
	Silent bool
}

// Target is what the fleet shall do.
type Target struct {
	KW      float64
	Import  bool // KW is the import at the grid meter, not the fleet's power
	Enabled bool
}

// Config is what a plant is assembled from.
type Config struct {
	Name  string
	Bus   bus.Bus
	Sched *sched.Scheduler
	Log   *slog.Logger
	// Dir holds the history and the state view.
	Dir string
	// Period is how often devices are read.
	Period time.Duration
	// Origin is the instant that dispatch cycles count from; zero: the start of the
	// plant. A plant that comes up again keeps to the cycles it had.
	Origin time.Time
	// Dispatch is used until an operator's settings are found in the log.
	Dispatch dispatch.Settings
	// Target, when set, is asked in every cycle and rules over what operators
	// set: a scenario drives.
	Target func(now time.Time) Target
	// Initial, when set, is asked until an operator sets something.
	Initial func(now time.Time) Target
	// Site, when set, is asked for the import target and limit.
	Site          func(now time.Time) Site
	ImportLimitKW float64 // 0 = none
	// Limits bound what the devices behind one connection have together.
	Limits []dispatch.Limit
	// Droop, when set, adds the fleet's answer to the frequency, in Hz, to every target; a
	// target is 0 where there is none.
	Droop     *dispatch.Droop
	Frequency func(now time.Time) float64
	// Hertz is the device whose readings tell the frequency, in place of Frequency. While it
	// tells none that can be used there is no such answer.
	Hertz device.ID
	// RampKWPerS bounds how fast the sum of all setpoints may change; 0 = none.
	RampKWPerS float64
	// Lease is how long a setpoint may hold unless it is renewed, and CommandsPerS how many
	// commands the fleet takes within any second; 0 = as of guard.Guard.
	Lease        time.Duration
	CommandsPerS int
	// Later lets dispatch begin with its second cycle on a virtual clock too, as it does
	// on the wall clock, where the first readings of devices are on their way meanwhile.
	Later bool
	// Quality says how readings are cleaned, the first rule whose glob matches a
	// device's id; ingest.Default where none does.
	Quality []QualityRule
	// Needs, when set, is the first message of the readings' log that somebody still
	// reads; the log is kept from there on. It is called once a second.
	Needs func() uint64
	// Retain is how long commands, acknowledgements and events stay in the log;
	// 0 = for ever.
	Retain time.Duration
	// RetainHistory is how long readings are served, in whole files of the history;
	// 0 = for ever.
	RetainHistory time.Duration
	// Tiers are what is stored of readings in steps, and how long; nil: as of
	// series.DefaultTiers.
	Tiers []series.Tier
	// Postgres, when set, is the database that holds the history instead of Dir. It is for
	// the wall clock.
	Postgres *postgres.Server
	// Audit keeps the audit in Dir, of all devices or of those that AuditOf names. It is for
	// the wall clock.
	Audit   bool
	AuditOf func(device.ID) bool
}

// QualityRule is the profile of devices.
type QualityRule struct {
	Devices string // a glob, as of path.Match
	Profile ingest.Profile
}

// profile is how readings of a device are judged and cleaned.
func (p *Plant) profile(id device.ID) ingest.Profile {
	for i := range p.cfg.Quality {
		if ok, err := path.Match(p.cfg.Quality[i].Devices, string(id)); ok && err == nil {
			return p.cfg.Quality[i].Profile
		}
	}
	return ingest.Default()
}

// Plant is a running plant.
type Plant struct {
	cfg     Config
	sched   *sched.Scheduler
	bus     bus.Bus
	log     *slog.Logger
	Fleet   *fleet.Fleet
	Gateway *gateway.Gateway
	History series.History
	State   *state.Store
	Audit   *audit.Log // nil without Config.Audit

	guard    *guard.Guard
	converts bool // some profile has units of its own
	planner  dispatch.Planner
	cmds     []device.Command
	wasGood  bool            // no shortfall was reported
	broken   map[string]bool // limits that could not be kept in the last cycle
	mute     map[string]bool // limits whose meter was silent; "": the import target
	charge   charge          // of the fleet in the last cycle, for its droop
	adrift   bool            // its droop did not know the frequency
	short    map[string]bool // sites that had not what they are asked for
	onPlan   []func(*dispatch.Decision)

	damage    damage
	lowSpace  bool         // the disk was nearly full
	holds     atomic.Int32 // backups that run; nothing is trimmed meanwhile
	scrubbed  time.Time    // when the log was compared with its checkpoints last
	verified  time.Time    // when the history was compared with its manifest last
	expired   time.Time    // when what is kept no longer was looked for last
	marks     []mark
	sessions  sessions
	kept      time.Time // when upkeep was done last
	first     time.Time // cycle of dispatch
	flushed   time.Time // when the state view was written last
	flushedAt int64     // newest arrival in the state view
	uplink    *held     // nil where this plant is no site of another

	changes   chan change     // of registrations, on the wall clock
	listening sync.Map        // of device.Slot: func() bool, of devices that send to us and take commands
	life      context.Context // of what Attach serves
	end       context.CancelFunc
	serving   sync.WaitGroup

	closed  chan struct{}
	ready   atomic.Bool
	waiters waiters

	mu        sync.Mutex
	settings  Settings
	chosen    bool              // an operator has set settings
	decision  dispatch.Decision // newest, without its commands
	sent      uint64            // commands of dispatch
	rate      float64           // of them a second, when last asked
	askedAt   time.Time
	askedSent uint64
}

// Settings are an operator's choices for dispatch, kept in log.meta.
type Settings struct {
	Enabled  bool              `json:"enabled"`
	Strategy dispatch.Strategy `json:"strategy"`
	TargetKW *float64          `json:"target_kw"`          // nil: nothing is dispatched but by the schedule
	Schedule []Step            `json:"schedule,omitempty"` // ascending; rules over TargetKW from its first step on
	Sites    []SiteTarget      `json:"sites,omitempty"`    // they rule over those of the configuration
}

// SiteTarget is what the devices behind a connection are asked for, beneath the fleet's target.
type SiteTarget struct {
	Name     string   `json:"name"`      // of its limit
	TargetKW *float64 `json:"target_kw"` // nil: nothing of its own but by the schedule
	Schedule []Step   `json:"schedule,omitempty"`
}

// Step is one step of a schedule: from At on the target is TargetKW.
type Step struct {
	At       time.Time `json:"at"`
	TargetKW float64   `json:"target_kw"`
}

// target is what the settings ask for at now.
func (s *Settings) target(now time.Time) Target {
	return Target{KW: stepAt(now, s.TargetKW, s.Schedule), Enabled: s.Enabled}
}

// stepAt is the target of a schedule at now, before its first step kw, NaN where that is nil.
func stepAt(now time.Time, kw *float64, schedule []Step) float64 {
	at := math.NaN()
	if kw != nil {
		at = *kw
	}
	for _, step := range schedule {
		if step.At.After(now) {
			break
		}
		at = step.TargetKW
	}
	return at
}

// New opens the stores, recovers the plant from the log and returns it. Fleets
// are added with Add; Start lets it run.
func New(cfg Config) (*Plant, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Period <= 0 {
		cfg.Period = time.Second
	}
	if cfg.Dispatch.Every <= 0 {
		cfg.Dispatch.Every = 2 * time.Second
	}
	if cfg.Dispatch.Strategy == "" {
		cfg.Dispatch.Strategy = dispatch.SoCBalancing
	}
	if cfg.Dispatch.MaxAge <= 0 {
		cfg.Dispatch.MaxAge = max(3*cfg.Period, 3*time.Second)
	}
	p := &Plant{
		closed: make(chan struct{}), changes: make(chan change, changesBound),
		cfg: cfg, sched: cfg.Sched, bus: cfg.Bus, log: cfg.Log, wasGood: true,
		guard: &guard.Guard{
			RampKWPerS: cfg.RampKWPerS, Lease: cfg.Lease, PlannerLease: cfg.Dispatch.Life(), CommandsPerS: cfg.CommandsPerS,
		},
		settings: Settings{Strategy: cfg.Dispatch.Strategy},
	}
	p.life, p.end = context.WithCancel(context.Background())
	p.planner.Settings, p.planner.Window = cfg.Dispatch, p.guard.Window
	p.broken, p.mute, p.short = map[string]bool{}, map[string]bool{}, map[string]bool{}
	if err := p.group(); err != nil {
		p.end()
		return nil, err
	}
	p.converts = slices.ContainsFunc(cfg.Quality, func(r QualityRule) bool { return !r.Profile.Units.Plain() })
	p.waiters.open = map[awaited][]waiter{}
	if err := p.open(); err != nil {
		p.end()
		return nil, errors.Join(err, p.closeStores())
	}
	if !p.sched.Virtual() {
		p.serving.Go(p.applyChanges)
	}
	if p.Audit != nil {
		p.serving.Go(func() { p.Audit.Run(p.life) })
	}
	return p, nil
}

func (p *Plant) open() (err error) {
	p.Fleet = fleet.New(p.bus)
	p.Gateway = gateway.New(gateway.Options{
		Bus: p.bus, Sched: p.sched, Guard: p.guard, Log: p.log, OnLife: p.lived, OnNameplate: p.described,
	})
	p.Fleet.OnChange(p.Gateway.Know)
	if err := p.openHistory(); err != nil {
		return fmt.Errorf("open the history: %w", err)
	}
	p.State, err = state.Open(filepath.Join(p.cfg.Dir, "state.db"))
	if err != nil {
		return fmt.Errorf("open the state view: %w", err)
	}
	p.inspect()
	if err = p.agree(); err != nil {
		return err
	}
	// The order matters: a reading is in the history before it shows in the
	// image, and the image has it before anybody who follows later.
	covered := p.History.Covered()
	if _, err = bus.Readings.Subscribe(p.bus, covered+1, p.History.Append); err != nil {
		return fmt.Errorf("recover the history: %w", err)
	}
	p.missed(covered)
	if _, err = bus.Metas.Subscribe(p.bus, 1, p.meta); err != nil {
		return fmt.Errorf("recover the configuration: %w", err)
	}
	if !p.sched.Virtual() {
		if err = p.mend(); err != nil {
			return fmt.Errorf("recover the configuration: %w", err)
		}
	}
	// The log may hold readings that the history covers already; they are the
	// newest of devices that the state view does not have yet.
	if err = p.Fleet.Start(1); err != nil {
		return err
	}
	if _, err = p.bus.Subscribe(bus.Control, 1, p.control); err != nil {
		return fmt.Errorf("recover the commands and sessions: %w", err)
	}
	if p.cfg.Audit {
		p.Audit, err = audit.Open(audit.Options{
			Data: p.cfg.Dir, Bus: p.bus, Now: p.sched.Now, Log: p.log, Of: p.cfg.AuditOf,
			Name: func(s device.Slot) device.ID { d, _ := p.Fleet.Device(s); return d.Info.ID },
		})
		if err != nil {
			return err
		}
		if what := p.Audit.Damage(); what != "" {
			p.damaged("audit", what)
		}
	}
	p.prime()
	return nil
}

// prime gives the image and the checks each device's newest reading where the
// log no longer holds it.
func (p *Plant) prime() {
	var infos []device.Info
	p.Fleet.View(func(img *image.Image) {
		for i := range img.Devices {
			if img.Devices[i].Info.ID != "" {
				infos = append(infos, img.Devices[i].Info)
			}
		}
	})
	for _, info := range infos {
		if d, _ := p.Fleet.Device(info.Slot); d.Last.At == 0 {
			r, err := p.State.Latest(info.Slot)
			if err == nil {
				p.Fleet.Prime(&r)
			} else if !errors.Is(err, state.ErrNotFound) {
				p.damaged("state", err.Error())
			}
		}
		if d, _ := p.Fleet.Device(info.Slot); d.Last.At != 0 {
			p.Gateway.Prime(d.Last)
		}
	}
}

func (p *Plant) meta(seq uint64, m *device.Meta) {
	if err := p.State.Apply(seq, m); err != nil {
		p.log.Error("change in the log passed over", "sequence", seq, "kind", m.Kind, "key", m.Key, "error", err)
	}
	if m.Kind != "setting" || m.Key != "dispatch" {
		return
	}
	var s Settings
	if err := json.Unmarshal(m.Value, &s); err != nil {
		p.log.Error("dispatch settings in the log are not readable", "sequence", seq, "error", err)
		return
	}
	p.mu.Lock()
	p.settings, p.chosen = s, true
	p.mu.Unlock()
}

// Add registers devices and serves them. infos[i] is the device with index i of
// the fleet; a device that the log knows keeps its slot.
func (p *Plant) Add(ctx context.Context, infos []device.Info, f device.Fleet) error {
	slots := make([]device.Slot, len(infos))
	for i := range infos {
		info, err := p.register(ctx, infos[i])
		if err != nil {
			return err
		}
		slots[i] = info.Slot
	}
	return p.Gateway.Serve(f, slots)
}

// register writes a registration unless the log says the same already.
func (p *Plant) register(ctx context.Context, info device.Info) (device.Info, error) {
	if old, ok := p.Fleet.Info(info.ID); ok {
		info.Slot, info.Narrowed = old.Slot, old.Narrowed
		if reflect.DeepEqual(info.Use, device.Use{}) { // the file says nothing of it, the API may have
			info.Use = old.Use
		}
		if sameInfo(&old, &info) {
			return old, nil
		}
	}
	return p.Fleet.Register(device.WithSource(ctx, "configuration"), info, p.sched.Now().UnixMilli())
}

func sameInfo(a, b *device.Info) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// OnDecision calls fn with every decision of dispatch. It is called before
// Start; fn may not keep the commands.
func (p *Plant) OnDecision(fn func(*dispatch.Decision)) { p.onPlan = append(p.onPlan, fn) }

// Start puts polling, dispatch and upkeep on the scheduler, from start on. They
// stop when ctx ends. The plant is ready from here on.
func (p *Plant) Start(ctx context.Context, start time.Time) error {
	p.kept, p.scrubbed = start, start
	if err := p.Gateway.Start(ctx, start, p.cfg.Period); err != nil {
		return err
	}
	first := start
	if late := start.Sub(p.cfg.Origin) % p.cfg.Dispatch.Every; !p.cfg.Origin.IsZero() && late > 0 {
		first = start.Add(p.cfg.Dispatch.Every - late)
	}
	if !p.sched.Virtual() || p.cfg.Later { // the first readings are on their way to the log
		first = start.Add(p.cfg.Dispatch.Every)
	}
	p.first = first
	p.sched.Every(first, p.cfg.Dispatch.Every, sched.Decide, func(now time.Time) bool {
		if ctx.Err() != nil {
			return false
		}
		p.cycle(now)
		return true
	})
	p.sched.Every(start.Add(time.Second), time.Second, sched.Check, func(now time.Time) bool {
		if ctx.Err() != nil {
			return false
		}
		p.upkeep(now)
		return true
	})
	p.ready.Store(true)
	return nil
}

// FirstCycle is when dispatch decides first after Start.
func (p *Plant) FirstCycle() time.Time { return p.first }

// Run commits what devices push to the plant until ctx ends.
func (p *Plant) Run(ctx context.Context) error { return p.Gateway.Run(ctx) }

// flushEvery is how often the state view is written and the log trimmed. What came since is read
// from the log at the next start. Commands wait meanwhile, 2,000 devices some 15 ms.
const flushEvery = 10 * time.Second

// upkeep keeps the views close behind the log and the log short. On a virtual
// clock, where a day passes in a minute, it does so every ten minutes, and waits
// for what is being written: what a restart finds must not depend on how fast
// the machine is.
func (p *Plant) upkeep(now time.Time) {
	if p.sched.Virtual() {
		if now.Sub(p.kept) < 10*time.Minute {
			return
		}
		p.History.Settle()
	}
	p.kept = now
	p.tell(now)
	p.watchSpace(now)
	p.scrub(now)
	// What is trimmed below is in the history, and its newest readings are in
	// the state view before it is: a quiet device keeps its latest value.
	var covered uint64
	var flushed error
	if p.sched.Virtual() || now.Sub(p.flushed) >= flushEvery || now.Before(p.flushed) {
		p.flushed = now
		covered = p.History.Covered()
		if flushed = p.flush(now); flushed != nil {
			p.log.Error("state view not written", "error", flushed)
		}
	}
	p.History.SealIfDue(now)
	if p.holds.Load() > 0 {
		return
	}
	if now.Sub(p.expired) >= time.Minute || now.Before(p.expired) {
		p.expired = now
		p.History.Expire(now)
	}
	if err := p.retain(now); err != nil {
		p.log.Error("commands not trimmed", "error", err)
	}
	if covered > 0 && flushed == nil {
		before := covered + 1
		if p.uplink != nil {
			if _, last, err := p.bus.Bounds(bus.Data); err == nil {
				before = p.uplink.before(now, before, last)
			}
		}
		if p.cfg.Needs != nil {
			before = min(before, p.cfg.Needs())
		}
		if err := p.bus.Trim(bus.Data, before); err != nil {
			p.log.Error("log not trimmed", "error", err)
		}
	}
}

// mark is how far log.control was at a moment.
type mark struct {
	at  time.Time
	seq uint64
}

// control follows log.control, from its beginning at start.
func (p *Plant) control(seq uint64, f device.Frame) {
	switch f := f.(type) {
	case *device.Acks:
		p.acks(seq, f)
	case *device.Meta:
		p.session(seq, f)
	}
}

// acks follows the acknowledgements: for the image, for those who wait for one, and to know
// how old the log is where.
func (p *Plant) acks(seq uint64, f *device.Acks) {
	p.Fleet.Acks(seq, f)
	p.waiters.answer(seq, f)
	if f.Rows() > 0 {
		p.mark(f.List[0].At, seq)
	}
}

// mark notes how old log.control is at a sequence.
func (p *Plant) mark(ms int64, seq uint64) {
	if p.cfg.Retain <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := device.Time(ms); len(p.marks) == 0 || at.Sub(p.marks[len(p.marks)-1].at) >= p.cfg.Retain/16 {
		p.marks = append(p.marks, mark{at, seq})
	}
}

// retain trims commands and acknowledgements that are older than the retention,
// but none that still holds a device or its mode: a restart must find it. What the
// audit has not signed stays as well.
func (p *Plant) retain(now time.Time) error {
	if p.cfg.Retain <= 0 {
		return nil
	}
	var before uint64
	p.mu.Lock()
	for len(p.marks) > 1 && now.Sub(p.marks[1].at) > p.cfg.Retain {
		before = p.marks[1].seq // what lies before is older than the retention
		p.marks = p.marks[1:]
	}
	p.mu.Unlock()
	if before == 0 {
		return nil
	}
	p.Fleet.View(func(img *image.Image) {
		for i := range img.Devices {
			d := &img.Devices[i]
			if d.Told.Held(now.UnixMilli()) {
				before = min(before, d.Told.Seq)
			}
			if d.Mode != device.Run {
				before = min(before, d.ModeSeq)
			}
			if d.StopSeq != 0 {
				before = min(before, d.StopSeq)
			}
		}
	})
	if p.Audit != nil {
		covered, _ := p.Audit.Covered()
		before = min(before, covered+1)
	}
	return p.bus.Trim(bus.Control, before)
}

// flush writes each device's newest reading to the state view.
func (p *Plant) flush(now time.Time) error {
	var f device.Readings
	put := func() {
		if f.Rows() > 0 {
			p.State.Put(&f)
			f.Reset()
		}
	}
	since := p.flushedAt
	if since > now.UnixMilli() { // the clock was set back
		since, p.flushedAt = 0, 0
	}
	p.Fleet.View(func(img *image.Image) {
		for i := range img.Devices {
			if r := &img.Devices[i].Last; r.At != 0 && r.Arrived >= since {
				f.Append(r)
				p.flushedAt = max(p.flushedAt, r.Arrived)
			}
			if f.Rows() == device.MaxRows {
				put()
			}
		}
	})
	put()
	return p.State.Flush()
}

// Ready reports whether the log is replayed and the plant runs.
func (p *Plant) Ready() bool { return p.ready.Load() }

// Close closes the stores. The bus is the caller's.
func (p *Plant) Close() error {
	p.ready.Store(false)
	close(p.closed)
	p.end()
	p.serving.Wait() // drivers have let go of their devices
	if p.sched.Virtual() {
		p.History.Settle()
	}
	return errors.Join(p.flush(p.sched.Now()), p.closeStores())
}

func (p *Plant) closeStores() error {
	var errs []error
	if p.Audit != nil {
		errs = append(errs, p.Audit.Close())
	}
	if p.State != nil {
		errs = append(errs, p.State.Close())
	}
	if p.History != nil {
		errs = append(errs, p.History.Close())
	}
	return errors.Join(errs...)
}

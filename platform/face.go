package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"yunchu/platform/api"
	"yunchu/platform/auth"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/edge"
	"yunchu/platform/fleet/image"
	"yunchu/platform/ingest"
	"yunchu/platform/store/series"
)

// Driver is the scenario behind a plant, where there is one.
type Driver interface {
	Run() api.Run
	Scores() []api.Score
}

// Face shows the plant to the API.
type Face struct {
	plant *Plant
	about api.About
	run   Driver // may be nil
}

// Face returns what the API needs of the plant. run is nil in production.
func (p *Plant) Face(about api.About, run Driver) api.Plant {
	f := &Face{p, about, run}
	out := api.Plant{
		Intake: f, Registry: f, Latest: f, History: f, Control: f, Dispatch: f, System: f, Live: f, Backup: f,
		Quality: f,
	}
	if p.Audit != nil {
		out.Audit = p.Audit
	}
	return out
}

// Normalise implements api.Intake.
func (f *Face) Normalise(id device.ID, r *device.Reading) {
	if !f.plant.converts {
		return
	}
	p := f.plant.profile(id)
	p.Units.Normalise(r)
}

// Push implements api.Intake.
func (f *Face) Push(ctx context.Context, rows []device.Reading) error {
	verdicts, err := f.plant.Gateway.Push(ctx, rows)
	if err != nil {
		return err
	}
	if i := slices.Index(verdicts, ingest.Future); i >= 0 {
		return fmt.Errorf("%w: reading %d lies more than %v in the future", api.ErrInvalid, i, ingest.MaxAhead)
	}
	return nil
}

// Slot implements api.Registry.
func (f *Face) Slot(id device.ID) (device.Slot, bool) { return f.plant.Fleet.Slot(id) }

// Device implements api.Registry.
func (f *Face) Device(s device.Slot) (device.Info, bool) {
	d, ok := f.plant.Fleet.Device(s)
	return d.Info, ok && d.Info.ID != ""
}

// Kept implements api.Registry: the guard is asked on the loop, which it belongs to.
func (f *Face) Kept(ctx context.Context, s device.Slot) (api.Kept, error) {
	answer := make(chan api.Kept, 1)
	f.plant.sched.Post("api", func(time.Time) {
		k := api.Kept{Own: f.plant.guard.Own(s), Silent: f.plant.Gateway.Silence(s)}
		k.MinKW, k.MaxKW, k.MinBy, k.MaxBy = f.plant.guard.Sides(s)
		answer <- k
	})
	select {
	case k := <-answer:
		return k, nil
	case <-ctx.Done():
		return api.Kept{}, ctx.Err()
	case <-f.plant.closed:
		return api.Kept{}, bus.ErrClosed
	}
}

// ReadByUs implements api.Registry.
func (f *Face) ReadByUs(s device.Slot) bool { return f.plant.Fleet.Kind(s) != pushed }

// pushed is the kind of a device that sends its readings itself.
const pushed = "push"

// Devices implements api.Registry.
func (f *Face) Devices(after device.ID, limit int) []device.Info {
	return f.plant.Fleet.Page(after, limit)
}

// Register implements api.Registry. A device that registers itself pushes to us;
// it may be read and must not act.
func (f *Face) Register(ctx context.Context, info device.Info) (device.Info, error) {
	if info.Kind == "" {
		if _, known := f.plant.Fleet.Slot(info.ID); !known {
			info.Kind, info.State = pushed, device.Inactive
		}
	}
	now := f.plant.sched.Now().UnixMilli()
	registered := make(chan device.Info, 1)
	err := f.plant.onLoop(func() error {
		out, err := f.plant.Fleet.Register(ctx, info, now)
		registered <- out
		return err
	})
	if err != nil {
		return device.Info{}, err
	}
	return <-registered, nil
}

// Latest implements api.Latest.
func (f *Face) Latest(s device.Slot, goodOnly bool) (device.Reading, bool) {
	d, ok := f.plant.Fleet.Device(s)
	r := d.Last
	if goodOnly {
		r = d.Good
	}
	return r, ok && r.At != 0
}

// Online implements api.Latest.
func (f *Face) Online(s device.Slot) bool {
	d, ok := f.plant.Fleet.Device(s)
	return ok && d.Fresh(f.plant.sched.Now().UnixMilli(), f.plant.cfg.Dispatch.MaxAge)
}

// Query implements api.History.
func (f *Face) Query(ctx context.Context, q api.Query) (api.Page, error) {
	if q.Clean {
		page, err := f.cleaned(ctx, q)
		if err == nil { // asked last, so that damage found on the way is among them
			page.Gaps, err = f.plant.History.Gaps(q.Slot, q.From, q.To)
		}
		return page, invalid(err)
	}
	page, err := f.plant.History.Query(ctx, series.Query{
		Slot: q.Slot, From: q.From, To: q.To, Step: q.Step, Fields: q.Fields, Limit: q.Limit, Cursor: q.Cursor, Room: q.Room,
	})
	if err != nil {
		return api.Page{}, invalid(err)
	}
	return api.Page{Rows: page.Rows, Next: page.Next, Gaps: page.Gaps}, nil
}

// Aggregate implements api.History.
func (f *Face) Aggregate(ctx context.Context, q series.AggregateQuery) (series.AggregatePage, error) {
	page, err := f.plant.History.Aggregate(ctx, q)
	return page, invalid(err)
}

// Summaries implements series.Summarizer, where the history does.
func (f *Face) Summaries(ctx context.Context, slots []device.Slot, of series.Fields, step time.Duration, from, to int64, yield func(device.Slot, []series.Summary) error) error {
	if h, ok := f.plant.History.(series.Summarizer); ok {
		return h.Summaries(ctx, slots, of, step, from, to, yield)
	}
	return nil
}

// Command implements api.Control.
func (f *Face) Command(ctx context.Context, c device.Command) (device.Ack, error) {
	if k := f.plant.Fleet.Kind(c.Slot); (k == pushed || k == edge.Kind) && !f.plant.hears(&c) {
		return device.Ack{}, fmt.Errorf("nobody is listening for this device: %w", device.ErrOffline)
	}
	return f.plant.Command(ctx, c)
}

// Settings implements api.Dispatch.
func (f *Face) Settings() api.Settings {
	p := f.plant
	if p.cfg.Target != nil {
		t := p.cfg.Target(p.sched.Now())
		return api.Settings{Enabled: t.Enabled, Strategy: string(p.cfg.Dispatch.Strategy), TargetKW: &t.KW}
	}
	p.mu.Lock()
	s, chosen := p.settings, p.chosen
	p.mu.Unlock()
	if !chosen && p.cfg.Initial != nil {
		t := p.cfg.Initial(p.sched.Now())
		out := api.Settings{Enabled: t.Enabled, Strategy: string(s.Strategy)}
		if !t.Import { // an import is no power of the fleet
			out.TargetKW = &t.KW
		}
		return out
	}
	out := api.Settings{Enabled: s.Enabled, Strategy: string(s.Strategy), TargetKW: s.TargetKW}
	for _, step := range s.Schedule {
		out.Schedule = append(out.Schedule, api.Step(step))
	}
	for _, x := range s.Sites {
		site := api.SiteTarget{Name: x.Name, TargetKW: x.TargetKW}
		for _, step := range x.Schedule {
			site.Schedule = append(site.Schedule, api.Step(step))
		}
		out.Sites = append(out.Sites, site)
	}
	return out
}

// Apply implements api.Dispatch.
func (f *Face) Apply(ctx context.Context, by string, s api.Settings) error {
	p := f.plant
	if p.cfg.Target != nil {
		return fmt.Errorf("%w: a scenario drives this plant", api.ErrInvalid)
	}
	if !dispatch.Strategy(s.Strategy).Valid() {
		return fmt.Errorf("%w: unknown strategy %q", api.ErrInvalid, s.Strategy)
	}
	set := Settings{Enabled: s.Enabled, Strategy: dispatch.Strategy(s.Strategy), TargetKW: s.TargetKW}
	for _, step := range s.Schedule {
		set.Schedule = append(set.Schedule, Step(step))
	}
	if !slices.IsSortedFunc(set.Schedule, func(a, b Step) int { return a.At.Compare(b.At) }) {
		return fmt.Errorf("%w: the schedule is not ascending in time", api.ErrInvalid)
	}
	for _, x := range s.Sites {
		site := SiteTarget{Name: x.Name, TargetKW: x.TargetKW}
		for _, step := range x.Schedule {
			site.Schedule = append(site.Schedule, Step(step))
		}
		if !slices.IsSortedFunc(site.Schedule, func(a, b Step) int { return a.At.Compare(b.At) }) {
			return fmt.Errorf("%w: the schedule of site %s is not ascending in time", api.ErrInvalid, x.Name)
		}
		if !slices.ContainsFunc(p.cfg.Limits, func(l dispatch.Limit) bool { return l.Name == x.Name }) {
			return fmt.Errorf("%w: site %q is no limit of dispatch in the configuration", api.ErrInvalid, x.Name)
		}
		if slices.ContainsFunc(set.Sites, func(y SiteTarget) bool { return y.Name == x.Name }) {
			return fmt.Errorf("%w: site %s is given twice", api.ErrInvalid, x.Name)
		}
		set.Sites = append(set.Sites, site)
	}
	value, err := json.Marshal(set)
	if err != nil {
		return fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	p.log.Info("dispatch settings changed", "by", by)
	return p.publish(ctx, bus.Meta, &device.Meta{Kind: "setting", Key: "dispatch", Value: value, At: p.sched.Now().UnixMilli(), By: by})
}

// About implements api.System.
func (f *Face) About() api.About {
	a := f.about
	a.Damage = f.plant.Damages()
	a.History = f.plant.storeOf()
	if f.run != nil {
		r := f.run.Run()
		a.Run = &r
	}
	return a
}

// Ready implements api.System.
func (f *Face) Ready() bool { return f.plant.Ready() }

// Scores implements api.Live.
func (f *Face) Scores() []api.Score {
	if f.run == nil {
		return nil
	}
	return f.run.Scores()
}

// Fleet implements api.Live.
func (f *Face) Fleet() api.FleetState {
	p := f.plant
	now := p.sched.Now()
	d, rate := p.progress(now)
	nan := math.NaN()
	s := api.FleetState{
		Time: now.UnixMilli(), TargetKW: nan, ShortfallKW: nan, Reason: d.Reason, CommandsPerS: rate,
		Interventions: int64(p.Gateway.Stats.Interventions.Load()), Speed: 1,
		SoCMean: nan, SoCMin: nan, SoCP5: nan, SoCP95: nan, SoCMax: nan, TemperatureMaxC: nan,
	}
	if !d.At.IsZero() && now.Sub(d.At) <= 2*p.cfg.Dispatch.Life() {
		s.TargetKW, s.ShortfallKW = d.Target, d.Shortfall
	}
	if f.run != nil {
		s.Speed = f.run.Run().Speed
	}
	var socs []float64
	maxAge := p.cfg.Dispatch.MaxAge
	p.Fleet.View(func(img *image.Image) {
		for i := range img.Devices {
			dev := &img.Devices[i]
			if dev.Info.ID == "" {
				continue
			}
			s.Devices++
			if !dev.Fresh(s.Time, maxAge) {
				continue
			}
			s.Online++
			g := &dev.Good
			s.PowerKW += number(g.Power)
			s.AvailableChargeKW += number(g.MaxCharge)
			s.AvailableDischargeKW += number(g.MaxDischarge)
			if !math.IsNaN(g.SoC) {
				socs = append(socs, g.SoC)
			}
			if !(g.Temperature <= s.TemperatureMaxC) && !math.IsNaN(g.Temperature) {
				s.TemperatureMaxC = g.Temperature
			}
		}
	})
	if n := len(socs); n > 0 {
		slices.Sort(socs)
		at := func(q float64) float64 { return socs[int(math.Round(q*float64(n-1)))] }
		s.SoCMin, s.SoCP5, s.SoCP95, s.SoCMax = socs[0], at(0.05), at(0.95), socs[n-1]
		s.SoCMean = 0
		for _, v := range socs {
			s.SoCMean += v / float64(n)
		}
	}
	return s
}

func number(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// progress is the newest decision, and the rate of commands since it was asked
// for last.
func (p *Plant) progress(now time.Time) (d dispatch.Decision, rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if dt := now.Sub(p.askedAt).Seconds(); dt >= 1 {
		if !p.askedAt.IsZero() {
			p.rate = float64(p.sent-p.askedSent) / dt
		}
		p.askedAt, p.askedSent = now, p.sent
	}
	return p.decision, p.rate
}

// Records keeps users and tokens in log.meta, and sessions in log.control.
func (p *Plant) Records() auth.Records { return &records{p} }

type records struct{ plant *Plant }

// Put implements auth.Records.
func (r *records) Put(kind, key, by string, value []byte, done func(error)) {
	p := r.plant
	p.put(&device.Meta{Kind: kind, Key: key, Value: value, At: p.sched.Now().UnixMilli(), By: by}, done)
}

// Act implements auth.Records.
func (r *records) Act(a device.Act) {
	p := r.plant
	a.At = p.sched.Now().UnixMilli()
	bus.Acts.Publish(p.bus, &device.Acts{List: []device.Act{a}}, func(_ uint64, err error) {
		if err != nil {
			p.log.Error("act not in the log", "type", a.Type, "source", a.Source, "subject", a.Subject, "error", err)
		}
	})
}

// Load implements auth.Records.
func (r *records) Load(kind string, each func(key string, value []byte)) error {
	return r.plant.records(kind, each)
}

// Version is the version of the program, set when it is released.
const Version = "0.1.0"

// AboutThis is what this program says about itself.
func AboutThis(name, binary string, tags []string, simulation bool, started time.Time) api.About {
	return api.About{
		Name: name, Version: Version + " " + runtime.Version(), Tags: tags, Simulation: simulation,
		BinarySHA256: binary, Started: started,
	}
}

// Package gateway is the only way between the bus and the devices: it reads
// drivers into the log by way of ingest, and hands commands from the bus to the
// drivers by way of the guard. Every command is acknowledged on the bus, once.
//
// All decisions run on the scheduler's goroutine. Readings that devices push to
// us come in through Push from any goroutine.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/guard"
	"yunchu/platform/ingest"
	"yunchu/platform/sched"
)

// Codes of refusals that do not come from the guard.
const (
	CodeOffline  = "OFFLINE"
	CodeNoAnswer = "NO_ANSWER"
	CodeRejected = "REJECTED"
	CodeIDUsed   = "COMMAND_ID_USED"
	CodeExpired  = "EXPIRED"
)

const (
	// answerWithin is how long a device may take to answer a command before it
	// counts as failed.
	answerWithin = time.Second
	// missedPolls is how many readings in a row a device may miss before it is
	// reported offline.
	missedPolls = 3
	// outcomes is how many commandIds are remembered, so that each takes effect
	// once.
	outcomes = 1 << 16
)

// Options are what a gateway needs.
type Options struct {
	Bus   bus.Bus
	Sched *sched.Scheduler
	Guard *guard.Guard
	Log   *slog.Logger
	// QueueRows bounds the readings that wait for the log in Push; 0 = 65,536.
	QueueRows int
	// OnLife and OnNameplate, when set, are told on the loop what a device's state
	// has become, and what a device says of itself.
	OnLife      func(s device.Slot, state device.State)
	OnNameplate func(s device.Slot, said device.Info)
}

// Gateway serves the devices of one plant.
type Gateway struct {
	bus   bus.Bus
	sched *sched.Scheduler
	guard *guard.Guard
	log   *slog.Logger

	links  []*link
	served []place // by slot

	seen  map[request]device.Ack // outcomes; Status 0 while open
	order []request              // keys of seen, oldest first

	claims claims

	// Until they are judged, behind the first readings or before the first
	// command, whichever is first:
	open []device.Command // commands that a restart found unanswered
	over []device.Command // those that are not carried out any more

	scratch scratch
	fixes   []guard.Correction                // memory
	fixing  map[device.Slot]*guard.Correction // while corrections are handed over

	inbox       inbox            // of devices on wires
	lingering   *device.Readings // their newest readings, on the way to the log; nil for none
	onLife      func(device.Slot, device.State)
	onNameplate func(device.Slot, device.Info)
	frames      sync.Pool
	befores     sync.Pool // *[]before
	pushes      sync.Pool // of callers who have heard what became of theirs
	events      uint64

	mu     sync.Mutex
	infos  []device.Info   // by slot
	memory []ingest.Memory // by slot
	// attended are devices that push their readings and take commands: the guard sees
	// those readings too.
	attended map[device.Slot]bool
	queue    chan *push   // of Push
	queued   atomic.Int64 // rows in queue
	bound    int64
	ended    chan struct{} // closed when nobody commits any more

	// Stats are counters for metrics.
	Stats struct {
		Readings, Duplicates, Refused, Shed atomic.Uint64
		Commands, Rejected                  atomic.Uint64
		Interventions, Overruns             atomic.Uint64
	}
}

// link is one fleet of devices that are read and written together.
type link struct {
	fleet  device.Fleet
	slots  []device.Slot // by index in the fleet
	missed []uint16      // polls in a row without a reading, by index
	here   []uint64      // number of the last poll with a reading, by index
	polls  uint64
	failed bool // the last poll failed as a whole

	// While commands are handed over:
	cmds    []device.Command
	reduce  []guard.Verdict // of cmds
	answers []device.Ack
}

// place is who serves a device: a link together with others, or a wire.
type place struct {
	link  *link
	index int
	wire  *wire
}

// New returns a gateway that serves nobody yet.
func New(o Options) *Gateway {
	if o.QueueRows <= 0 {
		o.QueueRows = 1 << 16
	}
	g := &Gateway{
		bus: o.Bus, sched: o.Sched, guard: o.Guard, log: o.Log,
		onLife: o.OnLife, onNameplate: o.OnNameplate,
		seen: map[request]device.Ack{}, claims: claims{first: map[request]asked{}}, attended: map[device.Slot]bool{}, ended: make(chan struct{}), queue: make(chan *push, o.QueueRows), bound: int64(o.QueueRows),
	}
	g.frames.New = func() any { return new(device.Readings) }
	g.befores.New = func() any { return new([]before) }
	g.pushes.New = func() any { return &push{done: make(chan struct{}, 1)} }
	return g
}

// maxGap is how far beyond all known slots a new one may lie; see guard.Set.
const maxGap = 1 << 16

// Know tells the gateway and its guard about a registered device, or about a
// change of it. It runs in the order of the log.
func (g *Gateway) Know(info device.Info) {
	g.mu.Lock()
	if int64(info.Slot) > int64(len(g.infos))+maxGap {
		g.mu.Unlock()
		g.log.Error("registration passed over: its slot lies far beyond all others", "device", info.ID, "slot", info.Slot)
		return
	}
	for int(info.Slot) >= len(g.infos) {
		g.infos = append(g.infos, device.Info{})
		g.memory = append(g.memory, ingest.Memory{})
	}
	g.infos[info.Slot] = info
	g.mu.Unlock()
	g.onLoop(func(now time.Time) {
		if err := g.guard.Set(info.Slot, guard.EnvelopeOf(&info), info.State); err != nil {
			g.log.Error("device not guarded, so it takes no command", "device", info.ID, "error", err)
		}
		if int(info.Slot) < len(g.served) && g.served[info.Slot].wire != nil {
			g.fits(now, g.served[info.Slot].wire)
		}
	})
}

// Prime gives the guard and the ingest checks a device's newest reading after a
// restart.
func (g *Gateway) Prime(r device.Reading) {
	g.onLoop(func(time.Time) { g.guard.Observe(&r) })
	judged := r
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known(r.Slot) {
		g.memory[r.Slot].Judge(&g.infos[r.Slot], device.Time(r.At), &judged)
	}
}

// known reports whether a device is registered. The caller holds mu.
func (g *Gateway) known(s device.Slot) bool { return int(s) < len(g.infos) && g.infos[s].ID != "" }

// Serve adds a fleet whose device with index i has slot slots[i]. A fleet has at
// most device.MaxRows devices, all of them known. It is called before Start, or on
// the loop.
func (g *Gateway) Serve(f device.Fleet, slots []device.Slot) error {
	if f.Size() != len(slots) || f.Size() > device.MaxRows {
		return fmt.Errorf("serve a fleet of %d devices with %d slots: at most %d, and one slot each", f.Size(), len(slots), device.MaxRows)
	}
	g.mu.Lock()
	unknown := slices.IndexFunc(slots, func(s device.Slot) bool { return !g.known(s) })
	g.mu.Unlock()
	if unknown >= 0 {
		return fmt.Errorf("serve a fleet: its device %d has slot %d, which is not registered", unknown, slots[unknown])
	}
	l := &link{fleet: f, slots: slices.Clone(slots), missed: make([]uint16, len(slots)), here: make([]uint64, len(slots))}
	g.links = append(g.links, l)
	for i, s := range slots {
		for int(s) >= len(g.served) {
			g.served = append(g.served, place{})
		}
		g.served[s] = place{link: l, index: i}
	}
	return nil
}

// Start follows the commands on the bus and polls every period from start on. It
// replays the acknowledgements of the log first, so that holds and commandIds
// outlive a restart.
func (g *Gateway) Start(ctx context.Context, start time.Time, period time.Duration) error {
	last, err := g.recover(ctx)
	if err != nil {
		return fmt.Errorf("recover the commands: %w", err)
	}
	_, err = bus.Commands.Subscribe(g.bus, last+1, func(_ uint64, f *device.Commands) {
		if g.sched.Virtual() {
			g.arrive(ctx, g.sched.Now(), f.List)
			return
		}
		list := append([]device.Command(nil), f.List...)
		g.sched.Post("gateway", func(now time.Time) { g.arrive(ctx, now, list) })
	})
	if err != nil {
		return fmt.Errorf("follow the commands: %w", err)
	}
	g.sched.At(start, sched.Image, func(now time.Time) { g.arrive(ctx, now, nil) })
	g.sched.Every(start, period, sched.Arrival, func(now time.Time) bool {
		if ctx.Err() != nil {
			return false
		}
		g.Poll(ctx, now)
		return true
	})
	return nil
}

func (g *Gateway) onLoop(fn func(now time.Time)) {
	if g.sched.Virtual() {
		fn(g.sched.Now())
		return
	}
	g.sched.Post("gateway", fn)
}

// Poll reads every fleet once and lets the guard correct what has left its
// envelope.
func (g *Gateway) Poll(ctx context.Context, now time.Time) {
	for _, l := range g.links {
		g.poll(ctx, now, l)
	}
	g.correct(ctx, now)
}

func andMore(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more devices)", n)
}

func (g *Gateway) poll(ctx context.Context, now time.Time, l *link) {
	f := g.frames.Get().(*device.Readings)
	f.Reset()
	err := l.fleet.ReadAll(ctx, now, f)
	if err != nil && !l.failed {
		g.log.Warn("read failed", "device", g.name(l.slots[0]), "error", err)
	}
	l.failed = err != nil
	l.polls++
	ms := now.UnixMilli()
	var (
		r     device.Reading
		words []device.Word
		late  []device.Reading
		kept  int

		strangers int
	)
	g.mu.Lock()
	for i := range f.Slot {
		f.Row(i, &r)
		index := r.Slot
		if int(index) >= len(l.slots) {
			strangers++
			continue
		}
		l.here[index] = l.polls
		r.Slot = l.slots[index]
		if r.Arrived > ms {
			late = append(late, r)
			continue
		}
		if g.judge(now, &r) {
			if r.Status == device.OtherStatus && r.Word != "" {
				words = append(words, device.Word{Row: uint32(kept), Text: r.Word})
			}
			f.Set(kept, &r)
			kept++
			g.guard.Observe(&r)
		}
	}
	g.mu.Unlock()
	if strangers > 0 {
		g.log.Error("readings of devices that the fleet does not have", "device", g.name(l.slots[0]), "rows", strangers)
	}
	f.Truncate(kept, words)
	g.publish(f)
	g.postpone(ctx, now, late)
	g.presence(now, l)
}

// judge runs the checks on one reading and reports whether it is to be stored. Of one that
// is stored already the guard is told here. The caller holds mu and is on the loop.
func (g *Gateway) judge(now time.Time, r *device.Reading) bool {
	switch g.memory[r.Slot].Judge(&g.infos[r.Slot], now, r) {
	case ingest.Duplicate:
		g.Stats.Duplicates.Add(1)
		g.guard.Repeat(r)
		return false
	case ingest.Future:
		g.Stats.Refused.Add(1)
		return false
	}
	return true
}

// publish hands a frame to the log and takes its memory back afterwards.
func (g *Gateway) publish(f *device.Readings) {
	if f.Rows() == 0 {
		g.frames.Put(f)
		return
	}
	rows := uint64(f.Rows())
	bus.Readings.Publish(g.bus, f, func(_ uint64, err error) {
		if err != nil {
			g.Stats.Shed.Add(rows)
			g.log.Error("readings lost before the log", "rows", rows, "error", err)
		} else {
			g.Stats.Readings.Add(rows)
		}
		g.frames.Put(f)
	})
}

// postpone delivers readings that are still on their way when they arrive, unless
// the gateway has ended by then.
func (g *Gateway) postpone(ctx context.Context, now time.Time, late []device.Reading) {
	sort.SliceStable(late, func(i, j int) bool { return late[i].Arrived < late[j].Arrived })
	for len(late) > 0 {
		n := 1
		for n < len(late) && late[n].Arrived == late[0].Arrived {
			n++
		}
		rows := late[:n]
		late = late[n:]
		g.sched.At(later(now, rows[0].Arrived-now.UnixMilli()), sched.Arrival, func(now time.Time) {
			if ctx.Err() != nil {
				return
			}
			f := g.frames.Get().(*device.Readings)
			f.Reset()
			g.mu.Lock()
			for i := range rows {
				if g.judge(now, &rows[i]) {
					f.Append(&rows[i])
					g.guard.Observe(&rows[i])
				}
			}
			g.mu.Unlock()
			g.publish(f)
		})
	}
}

// presence reports devices that stopped or began to answer.
func (g *Gateway) presence(now time.Time, l *link) {
	var gone, back []device.Slot
	for i := range l.missed {
		if l.here[i] == l.polls {
			if l.missed[i] >= missedPolls {
				back = append(back, l.slots[i])
			}
			l.missed[i] = 0
			continue
		}
		if l.missed[i] < missedPolls {
			if l.missed[i]++; l.missed[i] == missedPolls {
				gone = append(gone, l.slots[i])
			}
		}
	}
	g.report(now, gone, "offline", device.Warning)
	g.report(now, back, "online", device.Information)
}

func (g *Gateway) report(now time.Time, slots []device.Slot, what string, sev device.Severity) {
	if len(slots) == 0 {
		return
	}
	slot, names := g.together(slots)
	g.Event(now, slot, what, sev, names+" "+what)
}

// together is how one event speaks of devices: about one of them, or the plant, and the
// names of the first three.
func (g *Gateway) together(slots []device.Slot) (about device.Slot, names string) {
	list := make([]string, 0, 4)
	for _, s := range slots[:min(3, len(slots))] {
		list = append(list, g.name(s))
	}
	about = slots[0]
	if len(slots) > 1 {
		about = device.Plant
	}
	return about, strings.Join(list, ", ") + andMore(len(slots)-len(list))
}

func (g *Gateway) name(s device.Slot) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if int(s) < len(g.infos) {
		return string(g.infos[s].ID)
	}
	return fmt.Sprintf("slot %d", s)
}

// Event publishes an event. It runs on the loop.
func (g *Gateway) Event(now time.Time, s device.Slot, kind string, sev device.Severity, text string) {
	g.events++
	bus.Events.Publish(g.bus, &device.Events{List: []device.Event{{
		ID: fmt.Sprintf("%s-%d-%d", kind, now.UnixMilli(), g.events), Slot: s, Type: kind, Severity: sev, Text: text, At: now.UnixMilli(),
	}}}, nil)
}

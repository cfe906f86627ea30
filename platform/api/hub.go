package api

import (
	"bytes"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"yunchu/platform/api/graph"
	"yunchu/platform/auth"
	"yunchu/platform/bus"
	"yunchu/platform/device"
)

const (
	lookEvery  = 100 * time.Millisecond // whether tokens still hold
	stateEvery = 10                     // looks
	// waiting bounds the single readings that wait for the next flush, and acknowledgements and
	// events likewise.
	waiting = 1 << 16
	// remembered is how many events a snapshot shows, kept how many events and
	// acknowledgements there are to ask for.
	remembered = 100
	kept       = 4096
)

// kinds are types of frames, as a set.
type kinds uint16

const (
	kindSnapshot kinds = 1 << iota
	kindReading        // one frame for each reading
	kindReadings       // the newest reading of each device, many in a frame
	kindAck
	kindEvent
	kindAlarm
	kindState
	kindScore
	defaultKinds = kindSnapshot | kindReading | kindAck | kindEvent | kindAlarm | kindState
)

var kindNames = map[string]kinds{
	"snapshot": kindSnapshot, "reading": kindReading, "readings": kindReadings, "ack": kindAck,
	"event": kindEvent, "alarm": kindAlarm, "state": kindState, "score": kindScore,
}

// hub takes what comes on the bus and hands it to the WebSockets. The bus is
// never kept waiting: its frames are copied aside, and a goroutine that lives
// while there are clients encodes and delivers them.
type hub struct {
	plant Plant
	max   int

	count   atomic.Int64 // clients
	dropped atomic.Uint64
	shed    prometheus.Counter
	wake    chan struct{} // one token when the inbox has something
	writers []writer
	placed  atomic.Uint64 // WebSockets that writers were given

	inbox struct {
		sync.Mutex
		newest  []device.Reading // by device, the last one since the flush
		index   map[device.Slot]int
		every   []device.Reading // all, while somebody wants single ones
		lost    uint64           // of every, for want of room
		acks    []device.Ack
		events  []device.Event
		untold  uint64         // of these two, for want of room; who asks for them later is told all
		history []device.Event // newest last, kept of them or some more
		answers []device.Ack   // those to commands with an id, as history
		singles bool           // somebody wants single ones
	}

	mu      sync.Mutex
	spare   struct{ newest, every []device.Reading } // memory of the last flush, for the inbox
	closed  bool
	running bool
	clients []*client
	filters map[filterKey]*filter
	news    news
	ids     []device.ID // by slot, as far as asked
	scores  []byte      // as they were told last
	ended   sync.WaitGroup
}

func newHub(p Plant, limit int) *hub {
	h := &hub{plant: p, max: limit, filters: map[filterKey]*filter{}, wake: make(chan struct{}, 1), writers: make([]writer, runtime.GOMAXPROCS(0))}
	h.inbox.index = map[device.Slot]int{}
	for i := range h.writers {
		h.writers[i].ended = &h.ended
	}
	return h
}

// full refuses a client for whom there is no room.
func (h *hub) full() *Problem {
	h.shed.Inc()
	return refuse(CodeOverload, "too many clients listen already")
}

// subscribe follows the bus from now on.
func (h *hub) subscribe(b bus.Bus) error {
	for _, stream := range []string{bus.Data, bus.Control} {
		_, last, err := b.Bounds(stream)
		if err == nil {
			_, err = b.Subscribe(stream, last+1, h.frame)
		}
		if err != nil {
			return fmt.Errorf("follow %s: %w", stream, err)
		}
	}
	return nil
}

// frame is called by the bus.
func (h *hub) frame(_ uint64, f device.Frame) {
	h.take(f)
	if h.count.Load() > 0 {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

func (h *hub) take(f device.Frame) {
	in := &h.inbox
	switch f := f.(type) {
	case *device.Readings:
		if h.count.Load() == 0 {
			return
		}
		in.Lock()
		defer in.Unlock()
		var r device.Reading
		for i := range f.Slot {
			f.Row(i, &r)
			if at, there := in.index[r.Slot]; there {
				if r.At >= in.newest[at].At {
					in.newest[at] = r
				}
			} else {
				in.index[r.Slot] = len(in.newest)
				in.newest = append(in.newest, r)
			}
			if !in.singles {
				continue
			}
			if len(in.every) >= waiting {
				in.lost++
				continue
			}
			in.every = append(in.every, r)
		}
	case *device.Acks:
		in.Lock()
		defer in.Unlock()
		for i := range f.List {
			if f.List[i].ID == "" { // those of dispatch have none
				continue
			}
			in.answers = remember(in.answers, f.List[i])
			switch {
			case h.count.Load() == 0:
			case len(in.acks) >= waiting:
				in.untold++
			default:
				in.acks = append(in.acks, f.List[i])
			}
		}
	case *device.Events:
		in.Lock()
		defer in.Unlock()
		in.history = remember(in.history, f.List...)
		if h.count.Load() > 0 {
			room := min(len(f.List), waiting-len(in.events))
			in.events = append(in.events, f.List[:room]...)
			in.untold += uint64(len(f.List) - room)
		}
	}
}

// remember appends to a list that keeps the newest. It is cut rarely, so that
// appending costs little.
func remember[T any](list []T, more ...T) []T {
	list = append(list, more...)
	if n := len(list); n > 2*kept {
		list = slices.Delete(list, 0, n-kept)
	}
	return list
}

// recent are up to n that want lets through, the newest first.
func recent[T any](list []T, n int, want func(*T) bool) []T {
	var out []T
	for i := len(list) - 1; i >= max(0, len(list)-kept) && len(out) < n; i-- {
		if want(&list[i]) {
			out = append(out, list[i])
		}
	}
	return out
}

// filter decides which devices a client hears of. Clients that ask for the same
// share it, and with it what is encoded.
type filter struct {
	filterKey
	clients []*client
	takes   kinds     // that any of them takes
	values  int       // of clients, those that take values
	known   []int8    // by slot: 0 not asked yet, 1 yes, -1 no
	told    uint64    // the flush up to which its clients have the newest readings
	due     time.Time // of the next ones, at the earliest
}

// filterKey says which devices: what is given must hold. sites and kinds are lists
// that joined has made comparable.
type filterKey struct {
	glob         string
	sites, kinds string
	only         device.ID // of a device token
	// by is whose decisions count, nil where every device is open to it.
	by    *auth.Principal
	fleet bool // the plant as a whole may be heard of
}

// joined is a list as a part of a key: nil lets any through, an empty one none.
func joined(list []string) string {
	switch {
	case list == nil:
		return ""
	case len(list) == 0:
		return mark
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return mark + strings.Join(slices.Compact(list), mark) + mark
}

// mark stands around each word of a joined list.
const mark = "\x00"

func listed(list, word string) bool {
	return list == "" || strings.Contains(list, mark+word+mark)
}

// lets reports whether the client hears of the device.
func (k *filterKey) lets(d *device.Info) bool {
	if k.only != "" && k.only != d.ID || k.by != nil && !k.by.MayOn(auth.Read, d.ID) || !listed(k.kinds, d.Kind) || !listed(k.sites, graph.Site(d)) {
		return false
	}
	ok, err := path.Match(k.glob, string(d.ID))
	return ok && err == nil
}

// whole reports whether the client may hear of the plant as a whole.
func (k *filterKey) whole() bool { return k.fleet }

// matches asks the filter about a device. The caller holds mu.
func (h *hub) matches(f *filter, s device.Slot, id device.ID) bool {
	for int(s) >= len(f.known) {
		f.known = append(f.known, 0)
	}
	if f.known[s] == 0 {
		d := device.Info{ID: id}
		if f.sites != "" || f.kinds != "" {
			d, _ = h.plant.Registry.Device(s)
		}
		if f.known[s] = -1; f.lets(&d) {
			f.known[s] = 1
		}
	}
	return f.known[s] > 0
}

// forget has the filters ask again about sites, which people change and policies may
// ask for. The caller holds mu.
func (h *hub) forget() {
	for key, f := range h.filters {
		if key.sites != "" || key.by != nil {
			f.known = f.known[:0]
		}
	}
}

// add takes a client in; it is false when there are too many, or none any more.
func (h *hub) add(c *client) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.clients) >= h.max {
		return false
	}
	if c.principal != nil {
		c.policies = c.principal.Policies()
	}
	h.clients = append(h.clients, c)
	h.count.Add(1)
	h.ended.Add(1)
	if !h.running {
		h.running = true
		h.ended.Go(h.run)
	}
	return true
}

// identify notes whose client it is.
func (h *hub) identify(c *client, p *auth.Principal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.principal, c.policies = p, p.Policies()
}

func (h *hub) remove(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.clients, c); i >= 0 {
		h.clients = slices.Delete(h.clients, i, i+1)
		h.count.Add(-1)
		h.unfilter(c)
		h.wants()
		h.ended.Done()
	}
}

func (h *hub) unfilter(c *client) {
	if f := c.filter; f != nil {
		if c.values {
			f.values--
		}
		if i := slices.Index(f.clients, c); i >= 0 {
			f.clients = slices.Delete(f.clients, i, i+1)
		}
		f.takes = 0
		for _, c := range f.clients {
			f.takes |= c.kinds
		}
		if len(f.clients) == 0 {
			delete(h.filters, f.filterKey)
		}
		c.filter = nil
	}
}

// wants tells the inbox whether single readings are to be kept. The caller holds
// mu.
func (h *hub) wants() {
	singles := false
	for _, f := range h.filters {
		singles = singles || f.takes&kindReading != 0
	}
	h.inbox.Lock()
	h.inbox.singles = singles
	if !singles {
		h.inbox.every = nil
	}
	h.inbox.Unlock()
}

// listen changes what a client hears of from now on. A snapshot, if asked for,
// comes before everything else.
func (h *hub) listen(c *client, key filterKey, k kinds) {
	snapshot := k&kindSnapshot != 0
	if snapshot {
		c.queue.hold()
	}
	h.mu.Lock()
	h.unfilter(c)
	f := h.filters[key]
	if f == nil {
		f = &filter{filterKey: key}
		h.filters[key] = f
	}
	if f.takes&kindReadings == 0 { // what came before is in the snapshot
		f.told = h.news.flush
	}
	f.clients = append(f.clients, c)
	f.takes |= k
	if c.values {
		f.values++
	}
	c.filter, c.kinds = f, k
	h.wants()
	h.mu.Unlock()
	if snapshot {
		m := answerTo(h.snapshot(key))
		c.queue.release(m)
		c.await(m)
	}
}

// run delivers until there are no clients.
func (h *hub) run() {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	due := time.NewTimer(time.Hour) // for those who were not due when something came
	defer due.Stop()
	var rested time.Time
	for n, alive := 1, true; alive; {
		select {
		case <-h.wake:
		case <-due.C:
		case <-look.C:
			alive = h.look(n%stateEvery == 0)
			n++
			continue
		}
		time.Sleep(time.Until(rested))
		now := time.Now()
		var next time.Time
		if next, alive = h.deliver(now); !next.IsZero() {
			due.Reset(time.Until(next))
		}
		end := time.Now()
		rested = end.Add(rest(end.Sub(now)))
	}
}

// deliver flushes, and says when somebody is due for what has come; alive is false when
// there is nobody any more.
func (h *hub) deliver(now time.Time) (next time.Time, alive bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.empties() {
		return next, false
	}
	return h.flush(now), true
}

// look ends the clients whose token does not hold any more, and tells the others of the
// fleet. It is false when there is nobody any more.
func (h *hub) look(tell bool) bool {
	var (
		fleet  FleetState
		scores []Score
	)
	if tell {
		fleet, scores = h.plant.Live.Fleet(), h.plant.Live.Scores()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.empties() {
		return false
	}
	if tell {
		h.state(&fleet, scores)
		h.forget()
	}
	now := device.Millis(time.Now())
	for _, c := range h.clients {
		c.checkToken()
		if c.line != nil && now >= c.pingAt {
			c.pingAt = now + pingEvery.Milliseconds()
			h.push(c, ping)
		}
	}
	return true
}

// empties forgets what nobody listens to any more, and whether that is so. The caller
// holds mu.
func (h *hub) empties() bool {
	if len(h.clients) > 0 {
		return false
	}
	h.running = false
	h.empty()
	h.spare.newest, h.spare.every = nil, nil
	h.news.clear()
	return true
}

// state tells how the fleet does, and the scores where they have changed. The
// caller holds mu.
func (h *hub) state(fleet *FleetState, list []Score) {
	m := newMessage(append(appendFleet(textOf("state", ""), fleet), '}'), 0, true)
	m.value = (*graph.FleetState)(fleet)
	h.send(m, kindState, func(f *filter) bool { return f.whole() })
	if scores := appendScores(nil, list); !bytes.Equal(scores, h.scores) {
		h.scores = scores
		m := newMessage(append(append(textOf("score", ""), scores...), '}'), 0, false)
		h.send(m, kindScore, func(f *filter) bool { return f.whole() })
	}
}

// id names the device in a slot, empty for the plant. The caller holds mu.
func (h *hub) id(s device.Slot) device.ID {
	if int(s) < len(h.ids) && h.ids[s] != "" {
		return h.ids[s]
	}
	if s == device.Plant {
		return ""
	}
	info, ok := h.plant.Registry.Device(s)
	if !ok {
		return ""
	}
	for int(s) >= len(h.ids) {
		h.ids = append(h.ids, "")
	}
	h.ids[s] = info.ID
	return info.ID
}

// close ends all clients and waits for them.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	for _, c := range h.clients {
		c.end(closeGoingAway, "the plant is stopping")
	}
	h.mu.Unlock()
	h.ended.Wait()
}

// longest is how many frames wait for the slowest client.
func (h *hub) longest() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, c := range h.clients {
		n = max(n, c.queue.len())
	}
	return n
}

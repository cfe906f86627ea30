package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// Source is what an Uplink needs of the site's own plant.
type Source interface {
	// Devices are all that are registered here.
	Devices() []device.Info
	// Device is what is known of the device in a slot.
	Device(s device.Slot) (device.Info, bool)
	// Rows calls each with the readings of a device in from ≤ t < to, ascending.
	Rows(ctx context.Context, s device.Slot, from, to int64, each func(*device.Reading)) error
}

// Options are what an Uplink needs.
type Options struct {
	Bus    bus.Bus
	Line   Line
	Source Source
	File   string // where the position is kept
	Log    *slog.Logger
	Now    func() time.Time
	// Verify is how often the histories of both ends are compared; 0 = every hour.
	Verify time.Duration
	// Span is how far back they are compared every time; 0 = a day. What has never been
	// compared is, however old it is.
	Span time.Duration
}

const (
	// batchRows bounds one message.
	batchRows  = device.MaxRows
	askWithin  = 30 * time.Second // for an answer
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
	// saveEvery is how often the position is written down. What lies between is sent again
	// after a crash.
	saveEvery = time.Second
	// settled is how long after its end an hour is compared: what is still on its way must
	// have come.
	settled = 2 * time.Minute
)

// position is how far the site has come, on its disk.
type position struct {
	Log      string `json:"log"`      // the site's log, by a name made at random
	Data     uint64 `json:"data"`     // the last sequence of readings that the plant has
	Control  uint64 `json:"control"`  // of log.control
	Verified int64  `json:"verified"` // ms UTC: all readings before were compared and the same
}

// Uplink sends a site's log on to its plant.
type Uplink struct {
	opt  Options
	wake chan struct{}

	mu   sync.Mutex
	pos  position
	up   bool
	why  string // it is not
	save time.Time

	registry uint64 // digest of what the plant was told, used by Run alone

	// Sent and Repaired count readings; Failures the requests that were not answered.
	Sent, Repaired, Failures atomic.Uint64
}

// NewUplink reads the position that it goes on from.
func NewUplink(o Options) (*Uplink, error) {
	if o.Verify <= 0 {
		o.Verify = time.Hour
	}
	if o.Span <= 0 {
		o.Span = 24 * time.Hour
	}
	u := &Uplink{opt: o, wake: make(chan struct{}, 1), why: "not joined yet"}
	var err error
	if u.pos, err = load(o.File); err != nil {
		return nil, fmt.Errorf("position of the uplink: %w", err)
	}
	for stream, at := range map[string]*uint64{bus.Data: &u.pos.Data, bus.Control: &u.pos.Control} {
		_, last, err := o.Bus.Bounds(stream)
		if err != nil {
			return nil, err
		}
		if *at > last { // another log than this one
			u.pos = position{Log: newLog(), Verified: u.pos.Verified}
			break
		}
	}
	return u, nil
}

// State is how an uplink is doing.
type State struct {
	Up      bool   // the plant has answered the last request
	Why     string // it has not
	Behind  uint64 // frames of readings that the plant does not have yet
	Checked int64  // ms UTC: all readings before were compared and the same; 0: none yet
}

// State tells.
func (u *Uplink) State() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := State{Up: u.up, Why: u.why, Checked: u.pos.Verified}
	if _, last, err := u.opt.Bus.Bounds(bus.Data); err == nil && last > u.pos.Data {
		s.Behind = last - u.pos.Data
	}
	return s
}

// Has is the last sequence of a stream that the plant has: the log must not be trimmed
// past it without need.
func (u *Uplink) Has(stream string) uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if stream == bus.Control {
		return u.pos.Control
	}
	return u.pos.Data
}

// Run sends until ctx ends.
func (u *Uplink) Run(ctx context.Context) error {
	for _, stream := range []string{bus.Data, bus.Control, bus.Meta} {
		_, last, err := u.opt.Bus.Bounds(stream)
		if err != nil {
			return err
		}
		cancel, err := u.opt.Bus.Subscribe(stream, last+1, func(uint64, device.Frame) { u.signal() })
		if err != nil {
			return fmt.Errorf("follow %s: %w", stream, err)
		}
		defer cancel()
	}
	defer u.store(true)
	retry := firstRetry
	greeted := false
	verify := u.opt.Now() // at once: what was sent while nobody looked
	for ctx.Err() == nil {
		err := u.round(ctx, &greeted)
		if err == nil && !u.opt.Now().Before(verify) {
			if err = u.verify(ctx); err == nil {
				verify = u.opt.Now().Add(u.opt.Verify)
			}
		}
		wait := verify.Sub(u.opt.Now())
		if u.note(err); err != nil && ctx.Err() == nil {
			if errors.Is(err, ErrDown) {
				greeted = false // the plant may be another process when it is back
			}
			wait, retry = retry, min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		wake := u.wake
		if err != nil {
			wake = nil // not before it is time to try again
		}
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

func (u *Uplink) signal() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// note remembers how the last round ended, and tells when that has changed.
func (u *Uplink) note(err error) {
	u.mu.Lock()
	was := u.up
	u.up, u.why = err == nil, ""
	if err != nil {
		u.why = err.Error()
		u.Failures.Add(1)
	}
	u.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil && (was || errors.Is(err, ErrRefused)):
		u.opt.Log.Warn("the plant does not take what this site sends; it is kept", "error", err)
	case err == nil && !was:
		u.opt.Log.Info("the plant takes what this site sends")
	}
}

// round sends everything that is there.
func (u *Uplink) round(ctx context.Context, greeted *bool) error {
	if !*greeted {
		var g greeting
		if err := u.askJSON(ctx, askHello, greeting{Log: u.pos.Log}, &g); err != nil {
			return err
		}
		u.move(func(p *position) {
			if g.Log == p.Log { // answers that were lost on their way
				p.Data = max(p.Data, g.Seq)
			}
		})
		*greeted, u.registry = true, 0
	}
	if err := u.devices(ctx); err != nil {
		return err
	}
	if err := u.readings(ctx); err != nil {
		return err
	}
	return u.events(ctx)
}

func (u *Uplink) askJSON(ctx context.Context, kind byte, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return askJSON(ctx, u.opt.Line, kind, body, answer)
}

// devices tells the plant what is registered here, when that has changed.
func (u *Uplink) devices(ctx context.Context) error {
	list := u.opt.Source.Devices()
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	h := fnv.New64a()
	h.Write(b)
	if sum := h.Sum64(); sum != u.registry {
		for len(list) > 0 {
			n := min(len(list), 1000)
			if err := u.askJSON(ctx, askDevices, list[:n], nil); err != nil {
				return err
			}
			list = list[n:]
		}
		u.registry = sum
	}
	return nil
}

// readings sends the log of readings from the position on.
func (u *Uplink) readings(ctx context.Context) error {
	batch := device.Readings{}
	upTo := u.Has(bus.Data)
	send := func() error {
		if upTo == u.Has(bus.Data) {
			return nil
		}
		if err := u.send(ctx, upTo, &batch); err != nil {
			return err
		}
		batch.Reset()
		u.move(func(p *position) { p.Data = upTo })
		return nil
	}
	var failed error
	replay, stop := context.WithCancel(ctx)
	defer stop()
	err := bus.Readings.Replay(replay, u.opt.Bus, upTo+1, func(seq uint64, f *device.Readings) {
		if failed != nil {
			return
		}
		if batch.Rows()+f.Rows() > batchRows {
			if failed = send(); failed != nil {
				stop()
				return
			}
		}
		var r device.Reading
		for i := range f.Rows() {
			f.Row(i, &r)
			batch.Append(&r)
		}
		upTo = seq
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	return send()
}

// send sends rows; seq is the sequence that they reach up to, 0 for a repair.
func (u *Uplink) send(ctx context.Context, seq uint64, rows *device.Readings) error {
	m := readings{Log: u.pos.Log, Seq: seq, IDs: map[device.Slot]device.ID{}, Rows: rows}
	for _, s := range rows.Slot {
		if _, there := m.IDs[s]; there {
			continue
		}
		info, ok := u.opt.Source.Device(s)
		if !ok {
			return fmt.Errorf("the log has a reading of slot %d, which is not registered", s)
		}
		m.IDs[s] = info.ID
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if _, err := ask(ctx, u.opt.Line, askReadings, m.append(nil)); err != nil {
		return err
	}
	u.Sent.Add(uint64(rows.Rows()))
	return nil
}

// events sends what happened here.
func (u *Uplink) events(ctx context.Context) error {
	var list []siteEvent
	upTo := u.Has(bus.Control)
	err := u.opt.Bus.Replay(ctx, bus.Control, upTo+1, func(seq uint64, f device.Frame) {
		upTo = seq
		if e, ok := f.(*device.Events); ok {
			for _, x := range e.List {
				se := siteEvent{Event: x}
				if info, ok := u.opt.Source.Device(x.Slot); ok && x.Slot != device.Plant {
					se.Device = info.ID
				}
				list = append(list, se)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	for rest := list; len(rest) > 0; {
		n := min(len(rest), 1000)
		if err := u.askJSON(ctx, askEvents, rest[:n], nil); err != nil {
			return err
		}
		rest = rest[n:]
	}
	u.move(func(p *position) { p.Control = upTo })
	return nil
}

// verify compares the hours of both histories that have not been compared, and those of
// the last Span again, and sends what differs.
func (u *Uplink) verify(ctx context.Context) error {
	const hour = int64(time.Hour / time.Millisecond)
	now := u.opt.Now()
	end := now.Add(-settled).UnixMilli() / hour * hour
	u.mu.Lock()
	begin := u.pos.Verified
	u.mu.Unlock()
	begin = min(begin, now.Add(-u.opt.Span).UnixMilli()) / hour * hour
	list := u.opt.Source.Devices()
	if begin <= 0 { // never yet: from the first reading on
		begin = u.oldest(ctx, list, end)
	}
	for from := begin; from < end; from += hour {
		for rest := list; len(rest) > 0; {
			n := min(len(rest), 1000)
			if err := u.compare(ctx, rest[:n], from, from+hour); err != nil {
				return err
			}
			rest = rest[n:]
		}
		u.move(func(p *position) { p.Verified = max(p.Verified, from+hour) })
	}
	return nil
}

// oldest is the hour of the first reading here, end when there is none.
func (u *Uplink) oldest(ctx context.Context, list []device.Info, end int64) int64 {
	const hour = int64(time.Hour / time.Millisecond)
	first := end
	for _, info := range list {
		only, stop := context.WithCancel(ctx)
		_ = u.opt.Source.Rows(only, info.Slot, 0, first, func(r *device.Reading) { // ends with the first
			first = min(first, r.At)
			stop()
		})
		stop()
	}
	return first / hour * hour
}

// compare compares a span of some devices, and repairs it where it differs.
func (u *Uplink) compare(ctx context.Context, list []device.Info, from, to int64) error {
	var infos []device.Info
	var spans []Span
	var mine []Sum
	for _, info := range list {
		t := newSummer()
		if err := u.opt.Source.Rows(ctx, info.Slot, from, to, t.add); err != nil {
			return err
		}
		if t.rows > 0 {
			infos, spans, mine = append(infos, info), append(spans, Span{info.ID, from, to}), append(mine, t.sum())
		}
	}
	theirs, err := u.sums(ctx, spans)
	if err != nil {
		return err
	}
	for i := range spans {
		if theirs[i] == mine[i] {
			continue
		}
		if err := u.repair(ctx, infos[i], from, to); err != nil {
			return err
		}
	}
	return nil
}

// sums asks for the plant's sums of spans.
func (u *Uplink) sums(ctx context.Context, spans []Span) (theirs []Sum, err error) {
	if len(spans) == 0 {
		return nil, nil
	}
	if err := u.askJSON(ctx, askSums, spans, &theirs); err != nil {
		return nil, err
	}
	if len(theirs) != len(spans) {
		return nil, fmt.Errorf("%w: %d sums of %d spans", ErrMessage, len(theirs), len(spans))
	}
	return theirs, nil
}

// repair sends the minutes of a span again that the plant has in another way.
func (u *Uplink) repair(ctx context.Context, info device.Info, from, to int64) error {
	const minute = int64(time.Minute / time.Millisecond)
	rows := map[int64][]device.Reading{}
	err := u.opt.Source.Rows(ctx, info.Slot, from, to, func(r *device.Reading) {
		k := r.At / minute * minute
		rows[k] = append(rows[k], *r)
	})
	if err != nil {
		return err
	}
	var spans []Span
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		spans = append(spans, Span{info.ID, k, k + minute})
	}
	theirs, err := u.sums(ctx, spans)
	if err != nil {
		return err
	}
	repaired := 0
	for i, x := range spans {
		mine := newSummer()
		for k := range rows[x.From] {
			mine.add(&rows[x.From][k])
		}
		if theirs[i] == mine.sum() {
			continue
		}
		for list := range slices.Chunk(rows[x.From], batchRows) {
			f := device.Readings{}
			for k := range list {
				f.Append(&list[k])
			}
			if err := u.send(ctx, 0, &f); err != nil {
				return err
			}
			repaired += len(list)
		}
	}
	u.Repaired.Add(uint64(repaired))
	u.opt.Log.Warn("the plant's history differed from this site's and was sent again", "device", info.ID, "from", device.Time(from), "to", device.Time(to), "readings", repaired)
	return nil
}

// move changes the position and writes it down now and then.
func (u *Uplink) move(fn func(*position)) {
	u.mu.Lock()
	fn(&u.pos)
	u.mu.Unlock()
	u.store(false)
}

func (u *Uplink) store(now bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at := u.opt.Now(); now || at.Sub(u.save) >= saveEvery || at.Before(u.save) {
		u.save = at
		if err := u.pos.write(u.opt.File); err != nil {
			u.opt.Log.Error("position of the uplink not written", "error", err)
		}
	}
}

package mqtt

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"yunchu/platform/device"
)

// Counts are of what came and was not used.
type Counts struct {
	Malformed  uint64 // not of the form, or another device's
	Unasked    uint64 // answers to nothing that waits for one: late, twice, or to others
	Refused    uint64 // readings from the future, or retained ones that are old
	Late       uint64 // readings that were measured before one that had come already
	Superseded uint64 // readings that a newer one replaced before they were read
}

// ahead is how far in the future a device may claim to have measured.
const ahead = 5 * time.Minute

// masterShown is for how long a second master is told of.
const masterShown = 3 * time.Second

// inbox is what has come of one device. It keeps the newest reading, and no queue: a
// reader who comes late wants to know how things are now.
type inbox struct {
	id     device.ID
	base   string // of our commandIds
	maxAge time.Duration

	mu     sync.Mutex
	row    device.Reading
	has    bool
	seen   bool // the row has been read
	gone   bool // the device has said so
	local  bool
	eStop  int64     // ms UTC, since when; 0: not
	held   bool      // a setpoint of ours is in force
	master time.Time // when a second one was noticed meanwhile
	told   bool      // a reading has said so
	open   map[string]*question
	counts Counts
}

// question is a command that waits for its answer.
type question struct {
	name   string
	answer chan Ack // holds one
}

// answered is the answer, if it is there. A nil question has none.
func (q *question) answered() (Ack, bool) {
	if q == nil {
		return Ack{}, false
	}
	select {
	case a := <-q.answer:
		return a, true
	default:
		return Ack{}, false
	}
}

// expect begins to wait for the answer to a command.
func (b *inbox) expect(name string) *question {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := &question{name, make(chan Ack, 1)}
	b.open[name] = q
	return q
}

// forget waits no longer; what comes then is unasked.
func (b *inbox) forget(q *question) {
	if q == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, q.name)
}

func (b *inbox) counted() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts
}

func (b *inbox) data(m Message) {
	rows, bad, _ := ParseData(b.id, m.Body) // counted: what strangers send fills no log
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.Malformed += uint64(bad)
	for i := range rows {
		rows[i].At += m.Shift.Milliseconds()
		b.take(&rows[i], &m)
	}
}

// take keeps a reading that is newer than the one in hand. One in hand that claims to be
// of the future gives way to any: its device's clock was ahead and has been set right.
func (b *inbox) take(r *device.Reading, m *Message) {
	r.Arrived = m.At.UnixMilli()
	age := r.Arrived - r.At
	switch {
	case age < -ahead.Milliseconds(), m.Retained && (age < 0 || age > b.maxAge.Milliseconds()):
		b.counts.Refused++
		return
	case b.has && r.At < b.row.At && b.row.At <= r.Arrived:
		b.counts.Late++
		return
	case b.has && !b.seen:
		b.counts.Superseded++
	}
	b.row, b.has, b.seen = *r, true, false
	if !m.Retained {
		b.gone = false
	}
	if r.Status != device.Fault && r.At > b.eStop {
		b.eStop = 0
	}
}

func (b *inbox) ack(m Message) {
	a, err := ParseAck(b.id, m.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.counts.Malformed++
		return
	}
	q, ok := b.open[a.CommandID]
	if !ok || m.Retained {
		b.counts.Unasked++
		return
	}
	delete(b.open, a.CommandID)
	q.answer <- a
}

func (b *inbox) event(m Message) {
	e, err := ParseEvent(b.id, m.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.counts.Malformed++
		return
	}
	if m.Retained { // of the past
		return
	}
	switch e.EventType {
	case EventOnline:
		b.local, b.eStop = false, 0
	case EventOffline:
		b.gone = true
	case EventLocal:
		b.local = true
	case EventRemote:
		b.local = false
	case EventEStop:
		b.eStop = max(min(e.Timestamp+m.Shift.Milliseconds(), m.At.UnixMilli()), 1)
	case EventSecondMaster:
		b.overruled(m.At)
	}
}

// overruled notes a second master, if we are one.
func (b *inbox) overruled(at time.Time) {
	if b.held {
		b.master, b.told = at, false
	}
}

// begin says that a setpoint of ours is on its way. Who was master before does not matter
// any more, who commands meanwhile does.
func (b *inbox) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held, b.master = true, time.Time{}
}

// hold says whether a setpoint of ours is in force.
func (b *inbox) hold(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = on
}

// contested reports whether there is a second master of whom no reading has told yet.
func (b *inbox) contested() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.master.IsZero() && !b.told
}

// control looks at what the device is told: what we have not said comes from somebody
// else. A retained command moves no device.
func (b *inbox) control(m Message) {
	c, err := ParseControl(b.id, m.Body)
	if err != nil || m.Retained || strings.Contains(c.CommandID, b.base) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.overruled(m.At)
}

var (
	errGone   = errors.New("it has said that it goes")
	errSilent = errors.New("it has sent nothing yet")
)

// newest is the newest reading with what is known beside it. Its age counts from when it
// was measured or came, whichever is longer ago: a clock that is ahead makes nothing
// young.
func (b *inbox) newest(now time.Time) (device.Reading, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.row
	if b.local {
		r.Flags |= device.FlagLocal
	}
	if b.eStop != 0 {
		r.Flags |= device.FlagEStop
	}
	if !b.master.IsZero() && (!b.told || now.Sub(b.master) < masterShown) {
		r.Flags |= device.FlagMaster
	}
	age := func(ms int64) time.Duration { return time.Duration(now.UnixMilli()-ms) * time.Millisecond }
	switch {
	case b.gone:
		return r, errGone
	case !b.has:
		return r, errSilent
	case age(r.Arrived) > b.maxAge:
		return r, fmt.Errorf("its newest reading came %.1f s ago", age(r.Arrived).Seconds())
	case age(r.At) > b.maxAge:
		return r, fmt.Errorf("its newest reading came in time, but is of %.1f s ago by its own clock", age(r.At).Seconds())
	}
	b.seen, b.told = true, true
	return r, nil
}

// isLocal reports whether its panel has the control, as far as is known.
func (b *inbox) isLocal() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.local
}

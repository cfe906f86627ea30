package api

import (
	"slices"
	"time"

	"yunchu/platform/api/graph"
	"yunchu/platform/device"
)

const (
	// The newest readings go to the same clients no more often than every leastPace, and
	// every mostPace at the latest; see pace. That is a little less than the 100 ms of many
	// sources: one that was late once, and had to wait the next time, is not behind for ever.
	leastPace = 20 * time.Millisecond
	mostPace  = 90 * time.Millisecond
	// mostRest bounds what a source may be late without having to wait afterwards, and how
	// long the hub rests.
	mostRest   = 100 * time.Millisecond
	perReading = time.Millisecond
	perClient  = 100 * time.Microsecond
	// leastRest is how long what comes together in small pieces is gathered.
	leastRest = 2 * time.Millisecond
	// chunk is how many readings one frame carries.
	chunk = 256
)

// pace is how long after some of the newest readings the next ones go to the same
// clients: the longer the more they were, and the more clients there are. Who looks at few
// devices hears of each change at once, and the plant does not send more than some 10,000
// such frames a second, or eleven to each client.
func pace(readings, clients int) time.Duration {
	return min(max(leastPace, time.Duration(readings)*perReading, time.Duration(clients)*perClient), mostPace)
}

// following is when the next ones are due after those that were due at due and go out at
// now. A source that keeps pace never waits, also when its readings are late now and then
// by up to mostRest.
func following(due, now time.Time, pace time.Duration) time.Time {
	if least := now.Add(-mostRest); due.Before(least) {
		due = least
	}
	return due.Add(pace)
}

// rest is how long the hub rests after a flush that took so long: it takes a fifth of
// one processor at most, while that does not keep others waiting too long.
func rest(took time.Duration) time.Duration {
	return min(max(4*took, leastRest), mostRest)
}

// news are the newest readings of devices of which somebody was not told yet, because he
// was not due when they came.
type news struct {
	flush uint64   // counts those that brought some
	rows  []change // in their order
	at    map[device.Slot]int
	stale int // of rows
}

type change struct {
	device.Reading
	flush uint64
	stale bool // a newer one of the device is behind it
}

// add takes what came since the last flush, a reading for each device.
func (n *news) add(rows []device.Reading) {
	n.flush++
	if n.at == nil {
		n.at = map[device.Slot]int{}
	}
	for i := range rows {
		r := &rows[i]
		if at, there := n.at[r.Slot]; there {
			if r.At < n.rows[at].At {
				continue
			}
			n.rows[at].stale = true
			n.stale++
		}
		n.at[r.Slot] = len(n.rows)
		n.rows = append(n.rows, change{Reading: *r, flush: n.flush})
	}
}

// since are the changes after a flush, the stale ones too.
func (n *news) since(told uint64) []change {
	i, _ := slices.BinarySearchFunc(n.rows, told+1, func(c change, flush uint64) int {
		if c.flush < flush {
			return -1
		}
		return 1
	})
	return n.rows[i:]
}

// forget drops what everybody knows: the changes up to a flush, and the stale ones when
// they are many.
func (n *news) forget(told uint64) {
	switch {
	case len(n.rows) == 0:
		return
	case told >= n.flush:
		n.clear()
		return
	case n.rows[0].flush > told && 2*n.stale < len(n.rows):
		return
	}
	kept := n.rows[:0]
	clear(n.at)
	for _, c := range n.rows {
		if c.flush > told && !c.stale {
			n.at[c.Slot] = len(kept)
			kept = append(kept, c)
		}
	}
	clear(n.rows[len(kept):])
	n.rows, n.stale = kept, 0
}

func (n *news) clear() {
	clear(n.at)
	n.stale = 0
	if cap(n.rows) > 16*chunk {
		n.rows = nil
		return
	}
	clear(n.rows)
	n.rows = n.rows[:0]
}

// flush delivers what the inbox holds, the newest readings to those who are due. Next is
// when others are, zero when nobody waits. The caller holds mu.
func (h *hub) flush(now time.Time) (next time.Time) {
	newest, every, acks, events, lost := h.empty()
	h.dropped.Add(lost)
	if len(newest) > 0 {
		h.news.add(newest)
	}
	next = h.flushNewest(now)
	if len(every) > 0 || lost > 0 {
		h.flushSingle(every, lost)
	}
	h.spare.newest, h.spare.every = again(newest), again(every)
	for i := range acks {
		a := &acks[i]
		id := h.id(a.Slot)
		b := textOf("ack", id)
		m := newMessage(append(appendAck(b, a), '}'), 0, false)
		m.value = &graph.Ack{Ack: *a, DeviceID: id}
		h.send(m, kindAck, func(f *filter) bool { return h.matches(f, a.Slot, id) })
	}
	for i := range events {
		e := &events[i]
		id := h.id(e.Slot)
		b := textOf("event", id)
		m := newMessage(append(appendEvent(b, id, e), '}'), 0, false)
		m.value = &graph.Event{Event: *e, Device: id}
		h.send(m, kindEvent, func(f *filter) bool {
			if e.Slot == device.Plant {
				return f.whole()
			}
			return h.matches(f, e.Slot, id)
		})
	}
	return next
}

// empty takes what is in the inbox.
func (h *hub) empty() (newest, every []device.Reading, acks []device.Ack, events []device.Event, lost uint64) {
	in := &h.inbox
	in.Lock()
	defer in.Unlock()
	newest, every, acks, events, lost = in.newest, in.every, in.acks, in.events, in.lost
	h.dropped.Add(in.untold)
	in.newest, in.every, in.acks, in.events, in.lost, in.untold = h.spare.newest, nil, nil, nil, 0, 0
	if in.singles {
		in.every = h.spare.every
	}
	h.spare.newest, h.spare.every = nil, nil
	clear(in.index)
	return
}

// again is the memory of rows that nobody needs any more, unless it has grown large.
func again(rows []device.Reading) []device.Reading {
	if cap(rows) > 16*chunk {
		return nil
	}
	return rows[:0]
}

// textOf begins the text of a frame; what follows is its data and a brace.
func textOf(kind string, id device.ID) []byte {
	b := append(make([]byte, 0, 384), `{"type":"`...)
	b = append(b, kind...)
	if id != "" {
		b = append(b, `","deviceId":"`...)
		b = append(b, id...)
	}
	return append(b, `","data":`...)
}

func (h *hub) send(m *message, k kinds, matches func(*filter) bool) {
	for _, f := range h.filters {
		if f.takes&k != 0 && matches(f) {
			h.pushAll(f, k, m)
		}
	}
}

// pushAll hands a message to the clients of a filter that take its kind.
func (h *hub) pushAll(f *filter, k kinds, m *message) {
	for _, c := range f.clients {
		if c.kinds&k != 0 {
			h.push(c, m)
		}
	}
}

func (h *hub) push(c *client, m *message) {
	dropped, ok := c.queue.push(m)
	h.dropped.Add(uint64(dropped))
	if !ok {
		c.end(closeTooSlow, "too slow: what may not be left out has filled the queue")
	}
}

// flushNewest tells the filters that are due of what their clients do not know.
func (h *hub) flushNewest(now time.Time) (next time.Time) {
	known := h.news.flush // by everybody
	for _, f := range h.filters {
		if f.takes&kindReadings == 0 || f.told == h.news.flush {
			continue
		}
		if now.Before(f.due) {
			if next.IsZero() || f.due.Before(next) {
				next = f.due
			}
			known = min(known, f.told)
			continue
		}
		frames, n := h.encode(f, h.news.since(f.told))
		f.told = h.news.flush
		if n > 0 {
			f.due = following(f.due, now, pace(n, len(h.clients)))
		}
		for _, m := range frames {
			h.pushAll(f, kindReadings, m)
		}
	}
	h.news.forget(known)
	return next
}

// encode makes the frames of the changes that the filter lets through, n readings in all.
func (h *hub) encode(f *filter, changes []change) (list []*message, n int) {
	var (
		b      []byte
		rows   int // of b
		values []graph.Reading
	)
	end := func() {
		if rows > 0 {
			m := newMessage(append(b, "]}"...), rows, true)
			m.value, values = values, nil
			list = append(list, m)
			n += rows
			rows = 0
		}
	}
	for i := range changes {
		c := &changes[i]
		if c.stale {
			continue
		}
		id := h.id(c.Slot)
		if !h.matches(f, c.Slot, id) {
			continue
		}
		if rows == 0 {
			b = append(make([]byte, 0, 32+224*min(chunk, len(changes)-i)), `{"type":"readings","data":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendReading(b, id, &c.Reading)
		if f.values > 0 {
			values = append(values, graph.Reading{Reading: c.Reading, DeviceID: id})
		}
		if rows++; rows == chunk {
			end()
		}
	}
	end()
	return list, n
}

// flushSingle tells of each reading in a frame of its own.
func (h *hub) flushSingle(rows []device.Reading, lost uint64) {
	frames := make([]*message, len(rows))
	for _, f := range h.filters {
		if f.takes&kindReading == 0 {
			continue
		}
		for _, c := range f.clients {
			if lost > 0 && c.kinds&kindReading != 0 {
				c.queue.missed(lost)
			}
		}
		for i := range rows {
			id := h.id(rows[i].Slot)
			if !h.matches(f, rows[i].Slot, id) {
				continue
			}
			if frames[i] == nil {
				b := append(textOf("reading", id), '{')
				frames[i] = newMessage(append(appendFindings(b, &rows[i]), "}}"...), 1, true)
			}
			h.pushAll(f, kindReading, frames[i])
		}
	}
}

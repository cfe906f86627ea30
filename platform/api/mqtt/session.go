package mqtt

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"yunchu/platform/api"
	"yunchu/platform/auth"
	"yunchu/platform/device"
)

// Bounds of what one connection may have on its way.
const (
	window      = 32      // messages; MQTT 5 clients are told
	windowBytes = 1 << 20 // beyond one message
	// patience is how long a reading waits for room in the plant before it is shed.
	patience = time.Second
	// smallList is how many bytes of readings one may bring at a time without a turn, and
	// largeTurns how many with more have one. Who finds no room for what was decoded has
	// decoded in vain; where all do so at once, nothing else gets done.
	smallList  = 64 << 10
	largeTurns = 4
	// writeWithin is how long an answer may take while the connection is not read.
	writeWithin = 10 * time.Second
	// complainEvery is how often a device that sends what cannot be used is told of in an
	// event.
	complainEvery = 10 * time.Second
)

// session is a client that has said who it is.
type session struct {
	broker *Broker
	client *mochi.Client
	by     *auth.Principal
	name   string // its client identifier, with whom it speaks for: one connection for each
	v5     bool

	post    *post // of the device that listens on it; nil: nobody
	watches map[string]struct{}

	mu     sync.Mutex
	room   sync.Cond
	queue  []*item
	bytes  int
	busy   bool // a goroutine works on the queue
	closed bool

	blocked atomic.Bool // the reader waits for room

	complained time.Time // of what cannot be used
	unusable   int       // since
}

// item is a message that waits for its answer.
type item struct {
	id      device.ID
	what    string
	body    []byte
	packet  uint16
	answers bool // QoS 1

	came   time.Time
	settle chan struct{} // closed when code is there; nil: it is, or it is a reading
	code   packets.Code
	detail string // for people, of a refusal
}

func newSession(b *Broker, cl *mochi.Client, p *auth.Principal, name string) *session {
	s := &session{broker: b, client: cl, by: p, name: name, v5: cl.Properties.ProtocolVersion == 5, watches: map[string]struct{}{}}
	s.room.L = &s.mu
	return s
}

// put queues a message, and waits while the queue is full: then the connection is not read.
func (s *session) put(x *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && len(s.queue) > 0 && (len(s.queue) >= window || s.bytes+len(x.body) > windowBytes) {
		s.blocked.Store(true)
		s.room.Wait()
	}
	s.blocked.Store(false)
	if s.closed {
		return
	}
	s.queue = append(s.queue, x)
	s.bytes += len(x.body)
	if !s.busy {
		s.busy = true
		s.broker.works.Go(s.work)
	}
}

// end lets nobody wait for the queue.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.queue, s.bytes = nil, 0
	s.room.Broadcast()
}

// work answers what is queued, in its order, until nothing is.
func (s *session) work() {
	var list []*item
	for {
		s.mu.Lock()
		for i := range list {
			s.bytes -= len(list[i].body)
		}
		if s.closed {
			s.bytes = 0
		} else {
			s.queue = s.queue[len(list):]
		}
		s.room.Broadcast()
		if len(s.queue) == 0 {
			s.queue, s.busy = nil, false
			s.mu.Unlock()
			return
		}
		list = append(list[:0], s.queue...)
		s.mu.Unlock()
		s.store(list)
		for _, x := range list {
			if !s.answer(x) {
				s.end()
				s.client.Stop(packets.ErrServerBusy)
				break
			}
		}
	}
}

// store commits the readings of a list together.
func (s *session) store(list []*item) {
	var (
		items []*item
		todo  []*api.Delivery
		bytes int
	)
	for _, x := range list {
		if x.what == data {
			items = append(items, x)
			todo = append(todo, &api.Delivery{By: s.by, Device: x.id, Body: x.body})
			bytes += len(x.body)
		}
	}
	if bytes > smallList {
		select {
		case s.broker.turns <- struct{}{}:
			defer func() { <-s.broker.turns }()
		case <-time.After(patience):
			for _, x := range items {
				s.refused(x, &api.Problem{Code: api.CodeOverload, Detail: "too many large messages come at once"})
			}
			return
		}
	}
	for pause := 10 * time.Millisecond; len(todo) > 0; pause = min(2*pause, 250*time.Millisecond) {
		s.broker.api.Deliver(s.broker.life, todo)
		var again []*api.Delivery
		var late []*item
		for i, d := range todo {
			x := items[i]
			if d.Problem != nil && d.Problem.Code == api.CodeOverload && x.answers && time.Since(x.came) < patience && !s.over() {
				d.Problem = nil
				again, late = append(again, d), append(late, x)
				continue
			}
			s.delivered(x, d)
		}
		todo, items = again, late
		if len(todo) > 0 {
			time.Sleep(pause/2 + rand.N(pause/2)) // others wait too
		}
	}
}

func (s *session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// delivered says what has become of a body of readings.
func (s *session) delivered(x *item, d *api.Delivery) {
	m := &s.broker.metrics
	if d.Problem != nil {
		s.refused(x, d.Problem)
		return
	}
	m.messages[data].Inc()
	x.code = packets.CodeSuccess
	s.broker.station.tell(x.id, data, x.body)
	if len(d.Rejected) > 0 {
		r := d.Rejected[0]
		s.complain(x, fmt.Sprintf("%d of %d readings refused, the first: %s: %s", len(d.Rejected), len(d.Rejected)+d.Accepted, r.Code, r.Detail))
	}
}

// refused says why a message was not taken.
func (s *session) refused(x *item, p *api.Problem) {
	m := &s.broker.metrics
	x.code, x.detail = reason(p), p.Error()
	switch x.code {
	case packets.ErrQuotaExceeded:
		m.shed.Inc()
	case packets.ErrImplementationSpecificError:
		m.failed.Inc()
	default:
		m.unusable.Inc()
		s.complain(x, p.Error())
	}
}

// reason is a refusal in the words of MQTT 5.
func reason(p *api.Problem) packets.Code {
	switch {
	case p.Code == api.CodeOverload, p.Code == api.CodeRateLimited:
		return packets.ErrQuotaExceeded
	case p.Status >= 500:
		return packets.ErrImplementationSpecificError
	case p.Code == api.CodeForbidden, p.Code == api.CodeForbiddenDevice, p.Code == api.CodeUnknownDevice, p.Code == api.CodeReadByUs:
		return packets.ErrNotAuthorized
	case p.Status == 400, p.Status == 413, p.Status == 422:
		return packets.ErrPayloadFormatInvalid
	}
	return packets.ErrUnspecifiedError // of a command: refused
}

// comesBack reports whether a message that was refused so may be sent again.
func comesBack(c packets.Code) bool {
	return c == packets.ErrQuotaExceeded || c == packets.ErrImplementationSpecificError
}

// complain tells in an event of what cannot be used, now and then.
func (s *session) complain(x *item, why string) {
	s.mu.Lock()
	s.unusable++
	n := s.unusable
	if time.Since(s.complained) < complainEvery {
		s.mu.Unlock()
		return
	}
	s.complained, s.unusable = time.Now(), 0
	s.mu.Unlock()
	s.broker.complain(x.id, s.by, x.what, why, n)
}

// answer sends the PUBACK of a message. It is false when the message must come again and
// there is no word for that.
func (s *session) answer(x *item) bool {
	if x.settle != nil {
		<-x.settle
	}
	if !x.answers {
		return true
	}
	if !s.v5 && comesBack(x.code) {
		return false
	}
	out := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: x.packet}
	if s.v5 {
		out.ReasonCode = x.code.Code
		out.Properties.ReasonString = x.detail
	}
	if s.blocked.Load() { // nobody sets its deadlines meanwhile
		_ = s.client.Net.Conn.SetDeadline(time.Now().Add(writeWithin))
	}
	if err := s.client.WritePacket(out); err != nil {
		return s.over() // it is gone, and ends by itself
	}
	return true
}

// take is called with each message of the client, in their order.
func (s *session) take(pk *packets.Packet) {
	id, what, _ := parseTopic(pk.TopicName) // the policy has seen it
	x := &item{id: id, what: what, body: pk.Payload, packet: pk.PacketID, answers: pk.FixedHeader.Qos > 0, came: time.Now()}
	b := s.broker
	switch what {
	case data:
	case ack:
		b.metrics.messages[ack].Inc()
		b.station.tell(id, ack, x.body)
	case event:
		s.happened(x)
	case control:
		if pk.FixedHeader.Retain {
			x.code, x.detail = packets.ErrRetainNotSupported, "a command must not be retained: it would be of the past"
			b.metrics.unusable.Inc()
			s.complain(x, "a retained command was refused")
			break
		}
		x.settle = make(chan struct{})
		b.works.Go(func() {
			defer close(x.settle)
			if p := b.api.Order(b.life, s.by, id, x.body); p != nil {
				x.code, x.detail = reason(p), p.Error()
				if !comesBack(x.code) {
					b.metrics.refused.Inc()
				}
				return
			}
			b.metrics.messages[control].Inc()
		})
	}
	if what == data || x.answers || x.settle != nil {
		s.put(x)
	}
}

// happened takes an event of the device into the log.
func (s *session) happened(x *item) {
	b := s.broker
	slot, known := b.registry.Slot(x.id)
	e, err := parseEvent(x.id, x.body)
	switch {
	case err != nil:
		b.metrics.unusable.Inc()
		x.code, x.detail = packets.ErrPayloadFormatInvalid, err.Error()
		s.complain(x, err.Error())
		return
	case !known:
		x.code, x.detail = packets.ErrNotAuthorized, fmt.Sprintf("there is no device %s", x.id)
		return
	}
	b.station.tell(x.id, event, x.body)
	e.Slot = slot
	x.settle = make(chan struct{})
	b.publish(e, func(err error) {
		if err != nil {
			x.code, x.detail = packets.ErrQuotaExceeded, err.Error()
			b.metrics.shed.Inc()
		} else {
			b.metrics.messages[event].Inc()
		}
		close(x.settle)
	})
}

// listens notes a subscription that was granted.
func (s *session) listens(ctx context.Context, filter string) {
	if s.by.Device == "" {
		if _, known := s.watches[filter]; !known {
			s.watches[filter] = struct{}{}
			s.broker.fan.watchers.Add(1)
		}
		return
	}
	if s.post != nil { // it has subscribed again
		return
	}
	p, err := s.broker.station.take(ctx, s.by.Device, func(p *post) bool { return p.count.Load() > 0 })
	if err != nil {
		s.broker.log.Warn("device not commanded over MQTT", "device", s.by.Device, "error", err)
		return
	}
	s.post = p
	p.count.Add(1)
}

// leaves notes the end of a subscription.
func (s *session) leaves(filter string) {
	if _, known := s.watches[filter]; known {
		delete(s.watches, filter)
		s.broker.fan.watchers.Add(-1)
	}
	if s.post != nil && filter == topic(s.by.Device, control) {
		s.post.count.Add(-1)
		s.post = nil
	}
}

// gone notes the end of the connection.
func (s *session) gone() {
	s.end()
	for f := range s.watches {
		s.leaves(f)
	}
	if s.post != nil {
		s.leaves(topic(s.by.Device, control))
	}
}

package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// stream is one stream of the log, its committer, its settler and its
// subscribers.
type stream struct {
	bus  *Bus
	name string
	js   jetstream.Stream
	pub  jetstream.JetStream // with the acknowledgements of this stream alone

	maxFlight int
	patience  time.Duration     // how long an embedded server may take for the next answer
	silence   *time.Timer       // of the settler
	sent      chan *publication // from the committer to the settler, in order
	workers   sync.WaitGroup

	mu      sync.Mutex
	wake    sync.Cond // of the committer
	queue   []*publication
	flight  int // publications whose done is still to come
	bytes   int // of them
	closed  bool
	subs    []*subscription // replaced, never changed
	begun   uint64          // the last sequence whose delivery has begun
	handled uint64          // the last sequence that all subscribers have handled
	waiting []*publication  // acknowledged and not yet handled, by sequence; cluster only
	lost    map[uint64]bool // sequences that cannot be read and have been reported

	check *checkpoint // nil on a cluster

	follower jetstream.MessagesContext // cluster only
	quit     chan struct{}             // ends its retries
}

type publication struct {
	frame  device.Frame
	raw    *[]byte
	done   func(uint64, error)
	answer jetstream.PubAckFuture
	err    error
	seq    uint64
}

type subscription struct {
	from      uint64
	h         bus.Handler
	cancelled atomic.Bool
}

// buffers are binary forms on their way to the server.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func newStream(b *Bus, name string, js jetstream.Stream, last uint64, maxFlight int) (*stream, error) {
	options := []jetstream.JetStreamOpt{jetstream.WithPublishAsyncMaxPending(maxFlight)}
	if b.srv == nil { // a cluster may lose one answer and give the next
		options = append(options, jetstream.WithPublishAsyncTimeout(answerTimeout))
	}
	pub, err := jetstream.New(b.nc, options...)
	if err != nil {
		return nil, err
	}
	s := &stream{
		bus: b, name: name, js: js, pub: pub,
		maxFlight: maxFlight, patience: answerTimeout, silence: time.NewTimer(answerTimeout),
		sent:  make(chan *publication, maxFlight),
		begun: last, handled: last, quit: make(chan struct{}),
	}
	s.wake.L = &s.mu
	return s, nil
}

// start begins to commit and, on a cluster, to follow the log.
func (s *stream) start() error {
	if s.bus.srv == nil {
		if err := s.follow(); err != nil {
			return err
		}
	}
	s.workers.Go(s.commit)
	s.workers.Go(s.settle)
	return nil
}

// publish queues f. An error means that done will not be called.
func (s *stream) publish(f device.Frame, done func(uint64, error)) error {
	if n := f.Rows(); n > device.MaxRows {
		return fmt.Errorf("%w: %d rows, at most %d", ErrTooLarge, n, device.MaxRows)
	}
	if err := s.room(); err != nil {
		return err
	}
	raw := buffers.Get().(*[]byte)
	*raw = f.AppendBinary((*raw)[:0])
	size := len(*raw)
	if limit := s.bus.payload; size > limit {
		buffers.Put(raw)
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, limit)
	}
	if err := s.enqueue(&publication{frame: f, raw: raw, done: done}, size); err != nil {
		buffers.Put(raw)
		return err
	}
	return nil
}

func (s *stream) enqueue(p *publication, size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return bus.ErrClosed
	case s.bus.Err() != nil:
		return s.bus.Err()
	case s.flight >= s.maxFlight || s.flight > 0 && s.bytes+size > maxFlightBytes:
		return bus.ErrOverload
	}
	s.flight++
	s.bytes += size
	s.queue = append(s.queue, p)
	s.wake.Signal()
	return nil
}

// commit sends what is queued to the server, in order and without waiting for
// answers, until the stream is closed and the queue empty.
func (s *stream) commit() {
	defer close(s.sent)
	var batch []*publication
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.closed {
			s.wake.Wait()
		}
		batch, s.queue = s.queue, batch[:0]
		s.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for i, p := range batch {
			if p.err = s.bus.Err(); p.err == nil {
				// No retries: a frame sent twice could be stored twice, and one sent
				// later would overtake others.
				p.answer, p.err = s.pub.PublishMsgAsync(&nats.Msg{Subject: s.name, Data: *p.raw},
					jetstream.WithRetryAttempts(0))
			}
			s.sent <- p // never blocks: it holds as many as may be in flight
			batch[i] = nil
		}
	}
}

// settle takes the server's answers in the order of sending.
func (s *stream) settle() {
	for p := range s.sent {
		seq, err := s.wait(p)
		switch {
		case err != nil:
			s.finish(p, 0, fmt.Errorf("publish on %s: %w", s.name, err))
		case s.bus.srv != nil:
			err := s.note(seq, *p.raw)
			if err == nil {
				err = s.deliver(seq, p.frame)
			}
			s.finish(p, seq, err)
		default:
			s.await(p, seq)
		}
	}
}

// note takes an acknowledged frame into the checkpoint, and before it what others have
// written meanwhile.
func (s *stream) note(seq uint64, raw []byte) error {
	now := time.Now()
	if next := s.check.last() + 1; next < seq {
		err := s.scan(context.Background(), next, seq-1, func(_ uint64, raw []byte, fault error) {
			s.check.add(raw, now) // deliver finds out what cannot be read
		})
		if err != nil {
			return fmt.Errorf("checkpoint of %s: %w", s.name, err)
		}
	}
	if seq > s.check.last() {
		s.check.add(raw, now)
	}
	return nil
}

// wait returns the sequence under which p, the next to be answered, is stored. An
// embedded server that does not answer could not write. Its time counts from here: one
// that has many frames to sync before this one is slow and has not failed.
func (s *stream) wait(p *publication) (uint64, error) {
	if p.err == nil {
		var silent <-chan time.Time
		if s.bus.srv != nil {
			s.silence.Reset(s.patience)
			silent = s.silence.C
		}
		select {
		case ack := <-p.answer.Ok():
			// What came after a failure is not vouched for.
			return ack.Sequence, s.bus.Err()
		case p.err = <-p.answer.Err():
		case <-silent:
			p.err = fmt.Errorf("none for %v", s.patience)
		case <-s.bus.failed:
			return 0, s.bus.Err()
		}
	}
	if _, refused := errors.AsType[*jetstream.APIError](p.err); s.bus.srv != nil && !refused {
		s.bus.fail(fmt.Errorf("no answer from the log %s: %w", s.name, p.err))
	}
	return 0, p.err
}

// finish gives p's room back and calls its done.
func (s *stream) finish(p *publication, seq uint64, err error) {
	s.mu.Lock()
	s.flight--
	s.bytes -= len(*p.raw)
	s.mu.Unlock()
	buffers.Put(p.raw)
	if p.done == nil {
		return
	}
	if err != nil {
		seq = 0
	}
	p.done(seq, err)
}

// deliver hands sequence seq to the subscribers, and before it whatever lies
// between it and the last one. Only one goroutine of the stream calls it.
func (s *stream) deliver(seq uint64, f device.Frame) error {
	if next := s.begun + 1; next < seq {
		if err := s.read(context.Background(), next, seq-1, s.hand); err != nil {
			err = fmt.Errorf("deliver %s: %w", s.name, err)
			if s.bus.srv != nil || errors.Is(err, ErrMissing) || errors.Is(err, device.ErrFrame) {
				s.bus.lost(err)
			}
			return err
		}
	}
	if seq > s.begun {
		s.hand(seq, f)
	}
	return nil
}

func (s *stream) hand(seq uint64, f device.Frame) {
	s.mu.Lock()
	s.begun = seq
	subs := s.subs
	s.mu.Unlock()
	for _, sub := range subs {
		sub.call(seq, f)
	}
	s.mu.Lock()
	s.handled = seq
	s.mu.Unlock()
}

func (sub *subscription) call(seq uint64, f device.Frame) {
	if seq >= sub.from && !sub.cancelled.Load() {
		sub.h(seq, f)
	}
}

// subscribe hands over what is stored and joins the live frames at the first one
// whose delivery has not begun.
func (s *stream) subscribe(from uint64, h bus.Handler) (cancel func(), err error) {
	sub := &subscription{from: max(from, 1), h: h}
	for next := sub.from; ; {
		s.mu.Lock()
		last := s.begun
		if next > last {
			s.subs = append(slices.Clip(s.subs), sub)
			s.mu.Unlock()
			return func() { s.unsubscribe(sub) }, nil
		}
		s.mu.Unlock()
		if err := s.read(context.Background(), next, last, sub.call); err != nil {
			return nil, err
		}
		next = last + 1
	}
}

func (s *stream) unsubscribe(sub *subscription) {
	sub.cancelled.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs = slices.DeleteFunc(slices.Clone(s.subs), func(o *subscription) bool { return o == sub })
}

// close settles what was published and ends the stream's goroutines.
func (s *stream) close() {
	s.mu.Lock()
	s.closed = true
	s.wake.Signal()
	s.mu.Unlock()
	s.workers.Wait()
	s.unfollow()
}

// follow delivers the log of a cluster as it grows, whoever publishes.
func (s *stream) follow() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	c, err := s.js.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       s.begun + 1,
		InactiveThreshold: time.Minute,
	})
	if err == nil {
		s.follower, err = c.Messages(jetstream.PullMaxBytes(batchBytes + maxPayload))
	}
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	s.bus.workers.Go(s.pump)
	return nil
}

// pump delivers what the follower brings until it is stopped. What cannot be
// delivered now, as while a cluster elects a leader, is tried again.
func (s *stream) pump() {
	for {
		m, err := s.follower.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return
		}
		if err == nil {
			err = s.arrived(m)
		}
		for err != nil {
			s.bus.log.Warn("follow the log", "stream", s.name, "error", err)
			select {
			case <-s.bus.failed:
				return
			case <-s.quit:
				return
			case <-time.After(100 * time.Millisecond):
			}
			if m == nil {
				break
			}
			err = s.arrived(m)
		}
	}
}

func (s *stream) arrived(m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	seq := meta.Sequence.Stream
	f, err := device.DecodeFrame(m.Data())
	if err != nil {
		err = fmt.Errorf("sequence %d: %w", seq, err)
		s.bus.lost(err)
		return err
	}
	if err := s.deliver(seq, f); err != nil {
		return err
	}
	s.mu.Lock()
	n := 0
	for n < len(s.waiting) && s.waiting[n].seq <= s.handled {
		n++
	}
	ready := slices.Clone(s.waiting[:n])
	s.waiting = slices.Delete(s.waiting, 0, n)
	s.mu.Unlock()
	for _, p := range ready {
		s.finish(p, p.seq, nil)
	}
	return nil
}

// await calls p's done once sequence seq has been handled.
func (s *stream) await(p *publication, seq uint64) {
	p.seq = seq
	s.mu.Lock()
	early := s.handled < seq
	if early {
		i, _ := slices.BinarySearchFunc(s.waiting, seq, func(p *publication, seq uint64) int { return int(int64(p.seq - seq)) })
		s.waiting = slices.Insert(s.waiting, i, p)
	}
	s.mu.Unlock()
	if !early {
		s.finish(p, seq, nil)
	}
}

// unfollow gives subscribers what was published here and stops following.
func (s *stream) unfollow() {
	if s.follower == nil {
		return
	}
	for end := time.Now().Add(answerTimeout); time.Now().Before(end) && s.bus.Err() == nil; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		n := len(s.waiting)
		s.mu.Unlock()
		if n == 0 {
			break
		}
	}
	close(s.quit)
	s.follower.Stop()
	s.mu.Lock()
	left := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for _, p := range left {
		s.finish(p, 0, fmt.Errorf("publish on %s: sequence %d is stored and was not delivered: %w", s.name, p.seq, bus.ErrClosed))
	}
}

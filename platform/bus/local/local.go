// Package local is the bus of virtual time: in process, on one goroutine,
// deterministic. Its log keeps the same promises as the durable one, in memory
// and, past a bound, in a temporary folder, so that a simulated restart runs the
// same recovery code as a real one.
package local

import (
	"context"
	"fmt"
	"os"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// DefaultMemory is how many bytes of log stay in memory before the oldest are
// spilled to files.
const DefaultMemory = 256 << 20

// Bus implements bus.Bus. A frame is handed to all subscribers before Publish
// returns; what a handler publishes waits until its own frame is done. It is not
// safe for use by several goroutines.
type Bus struct {
	// Tap, when set, sees the binary form of every frame in the order of the
	// log. It may not keep the bytes.
	Tap func(stream string, frame []byte)

	// Spill is where the folder for what does not fit into memory is made; empty
	// for the system's place for temporary files.
	Spill string

	streams map[string]*stream
	pending []publication
	busy    bool
	closed  bool
	memory  int64
	bound   int64
	free    [][]byte // memory of segments that are gone
	dir     string   // of spilled segments, made when needed
}

type publication struct {
	stream *stream
	frame  device.Frame
	done   func(uint64, error)
}

type stream struct {
	name string
	log  log
	subs []*subscription
}

type subscription struct{ h bus.Handler }

var _ bus.Bus = (*Bus)(nil)

// New returns an empty bus that keeps at most memory bytes of log in memory;
// 0 stands for DefaultMemory.
func New(memory int64) *Bus {
	if memory <= 0 {
		memory = DefaultMemory
	}
	return &Bus{streams: map[string]*stream{}, bound: memory}
}

func (b *Bus) stream(name string) *stream {
	s := b.streams[name]
	if s == nil {
		s = &stream{name: name, log: log{first: 1, last: 0}}
		b.streams[name] = s
	}
	return s
}

// Publish implements bus.Bus.
func (b *Bus) Publish(name string, f device.Frame, done func(uint64, error)) {
	if b.closed {
		if done != nil {
			done(0, bus.ErrClosed)
		}
		return
	}
	b.pending = append(b.pending, publication{b.stream(name), f, done})
	if b.busy {
		return
	}
	b.busy = true
	for i := 0; i < len(b.pending); i++ {
		p := b.pending[i]
		b.pending[i] = publication{}
		b.deliver(p)
	}
	b.pending = b.pending[:0]
	b.busy = false
}

func (b *Bus) deliver(p publication) {
	seq, raw, err := b.append(p.stream, p.frame)
	if err == nil {
		if b.Tap != nil {
			b.Tap(p.stream.name, raw)
		}
		for i := 0; i < len(p.stream.subs); i++ {
			if s := p.stream.subs[i]; s.h != nil {
				s.h(seq, p.frame)
			}
		}
	}
	if p.done != nil {
		p.done(seq, err)
	}
}

// Subscribe implements bus.Bus.
func (b *Bus) Subscribe(name string, from uint64, h bus.Handler) (func(), error) {
	s := b.stream(name)
	if err := b.replay(context.Background(), s, from, h); err != nil {
		return nil, err
	}
	sub := &subscription{h}
	s.subs = append(s.subs, sub)
	return func() { sub.h = nil }, nil
}

// Replay implements bus.Bus.
func (b *Bus) Replay(ctx context.Context, name string, from uint64, h bus.Handler) error {
	return b.replay(ctx, b.stream(name), from, h)
}

func (b *Bus) replay(ctx context.Context, s *stream, from uint64, h bus.Handler) error {
	last := s.log.last
	for seq := max(from, s.log.first); seq <= last; seq++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := s.log.at(seq)
		if err != nil {
			return fmt.Errorf("replay %s at %d: %w", s.name, seq, err)
		}
		f, err := device.DecodeFrame(raw)
		if err != nil {
			return fmt.Errorf("replay %s at %d: %w", s.name, seq, err)
		}
		h(seq, f)
	}
	return nil
}

// Bounds implements bus.Bus.
func (b *Bus) Bounds(name string) (first, last uint64, err error) {
	l := &b.stream(name).log
	return l.first, l.last, nil
}

// Trim implements bus.Bus. Segments are dropped whole.
func (b *Bus) Trim(name string, before uint64) error {
	if name == bus.Meta {
		return nil
	}
	freed, err := b.stream(name).log.trim(before, b.recycle)
	b.memory -= freed
	if err != nil {
		return fmt.Errorf("trim %s: %w", name, err)
	}
	return nil
}

// Detach forgets every subscriber and keeps the log: what a restart of the
// runtime leaves of the bus.
func (b *Bus) Detach() {
	for _, s := range b.streams {
		for _, sub := range s.subs {
			sub.h = nil
		}
		s.subs = nil
	}
}

// Close implements bus.Bus and removes what was spilled.
func (b *Bus) Close() error {
	b.closed = true
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

// Package bus is the one way between the parts of a plant: typed topics over
// streams of frames, and the log that those streams are. A stream is both: what
// is published is appended, synced, and then handed to every subscriber in the
// order of the log.
//
// Two implementations answer the same conformance suite (bustest): bus/local is
// deterministic and in process, for virtual time; bus/nats is durable, embedded
// or a cluster, for the wall clock.
package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"yunchu/platform/device"
)

// The streams of the log.
const (
	// Data carries readings; a shard's number follows. It is trimmed once the
	// history covers it.
	Data = "log.data.0"
	// Control carries commands, acknowledgements, events, acts and sessions, kept as
	// retention says.
	Control = "log.control"
	// Meta carries what the plant knows about itself: registry, users, tokens,
	// configuration. It is never trimmed.
	Meta = "log.meta"
)

// Streams lists every stream, in the order in which a start replays them.
var Streams = []string{Meta, Control, Data}

// Errors that callers branch on.
var (
	// ErrOverload: the bus has more in flight than it may hold. Nothing was
	// stored; the sender may try again.
	ErrOverload = errors.New("bus overloaded")
	// ErrNoSpace: the disk is nearly full, and what room there is is kept for commands.
	// Nothing was stored.
	ErrNoSpace = errors.New("no space for readings")
	// ErrClosed: the bus has been closed. Nothing was stored.
	ErrClosed = errors.New("bus closed")
)

// Handler is called with one frame of a stream after the other. It may neither
// keep the frame nor change it, and it may publish.
type Handler func(seq uint64, f device.Frame)

// Bus carries frames and keeps the log. Sequence numbers begin at 1 and grow by
// one in each stream.
type Bus interface {
	// Publish appends f to the stream. done, which may be nil, is called exactly
	// once: with the sequence after f is durable and every subscriber of this
	// process has handled it, or with an error when it is not stored
	// (ErrOverload, ErrClosed) or when nobody can say (any other). The frame
	// belongs to the bus until then and must not be changed.
	Publish(stream string, f device.Frame, done func(seq uint64, err error))
	// Subscribe calls h with every frame of the stream from sequence from on
	// (0 and 1: the beginning; Last+1: what comes), those that are stored first,
	// without a gap between them and what follows. Subscribers of one stream are
	// called in the order of their subscription.
	Subscribe(stream string, from uint64, h Handler) (cancel func(), err error)
	// Replay calls h with what is stored from sequence from on and returns when
	// the end, as it was at the call, is reached. A frame that cannot be read is
	// an error that names its sequence, unless it has been reported as a Damage: it
	// is never passed over silently.
	Replay(ctx context.Context, stream string, from uint64, h Handler) error
	// Bounds are the first and the last sequence stored; first is last+1 when
	// the stream is empty.
	Bounds(stream string) (first, last uint64, err error)
	// Trim forgets what lies before sequence before. Meta is never trimmed.
	Trim(stream string, before uint64) error
	// Close lets what was published become durable and stops.
	Close() error
}

// Damage is a part of a stream that is lost, or is not what was written.
type Damage struct {
	Stream string `json:"stream"`
	// From and To are the first and the last sequence; 0 where nobody can say.
	From uint64 `json:"from_sequence"`
	To   uint64 `json:"to_sequence"`
	// Since and Until are the instants between which the frames were written; zero
	// where nobody can say.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	What  string    `json:"what"`
	Found time.Time `json:"found"`
	Fresh bool      `json:"-"` // found by this process, not by an earlier one
}

// Checked is a Bus that compares its log with checkpoints outside of it.
type Checked interface {
	// Damages lists what has been found, at this start and at earlier ones.
	Damages() []Damage
	// Scrub compares the whole log again.
	Scrub(ctx context.Context) error
}

// Topic is one kind of frame on its stream.
type Topic[F device.Frame] struct{ Stream string }

// The typed topics.
var (
	Readings = Topic[*device.Readings]{Data}
	Commands = Topic[*device.Commands]{Control}
	Acks     = Topic[*device.Acks]{Control}
	Events   = Topic[*device.Events]{Control}
	Acts     = Topic[*device.Acts]{Control}
	Writes   = Topic[*device.Writes]{Control}
	Metas    = Topic[*device.Meta]{Meta}
)

// Publish publishes f on the topic.
func (t Topic[F]) Publish(b Bus, f F, done func(seq uint64, err error)) {
	b.Publish(t.Stream, f, done)
}

// Subscribe subscribes to the topic's kind of frame and passes over others of
// the same stream.
func (t Topic[F]) Subscribe(b Bus, from uint64, h func(seq uint64, f F)) (cancel func(), err error) {
	return b.Subscribe(t.Stream, from, t.only(h))
}

// Replay replays the topic's kind of frame.
func (t Topic[F]) Replay(ctx context.Context, b Bus, from uint64, h func(seq uint64, f F)) error {
	return b.Replay(ctx, t.Stream, from, t.only(h))
}

func (t Topic[F]) only(h func(seq uint64, f F)) Handler {
	return func(seq uint64, f device.Frame) {
		if g, ok := f.(F); ok {
			h(seq, g)
		}
	}
}

// PublishWait publishes and returns when done would have been called, or with
// ctx's error, in which case nobody can say whether f is stored. It must not be
// used from a handler, nor on the loop of a virtual clock.
func PublishWait(ctx context.Context, b Bus, stream string, f device.Frame) (uint64, error) {
	type answer struct {
		seq uint64
		err error
	}
	ch := make(chan answer, 1)
	b.Publish(stream, f, func(seq uint64, err error) { ch <- answer{seq, err} })
	select {
	case a := <-ch:
		return a.seq, a.err
	case <-ctx.Done():
		return 0, fmt.Errorf("publish on %s: %w", stream, ctx.Err())
	}
}

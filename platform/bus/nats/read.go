package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// One request for stored frames asks for at most this much.
const (
	batchFrames = 1024
	batchBytes  = 1 << 20
)

// errNotFound is the server's "no such message".
const errNotFound = 10037

func (s *stream) replay(ctx context.Context, from uint64, h bus.Handler) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, last, err := s.bounds(ctx)
	if err != nil {
		return err
	}
	return s.read(ctx, max(from, 1), last, h)
}

func (s *stream) bounds(ctx context.Context) (first, last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	info, err := s.js.Info(ctx)
	if err != nil {
		return 0, 0, err
	}
	first, last = info.State.FirstSeq, info.State.LastSeq
	if info.State.Msgs == 0 {
		first = last + 1
	}
	return first, last, nil
}

func (s *stream) trim(ctx context.Context, before uint64) error {
	if s.name == bus.Meta {
		return errors.New("this stream is never trimmed")
	}
	first, last, err := s.bounds(ctx)
	if err != nil {
		return err
	}
	// A purge past the end would skip sequences, and one of everything leaves
	// nothing from which a restart could tell the last one.
	before = min(before, last)
	if before <= first {
		return nil
	}
	if s.check != nil {
		if before, err = s.anchor(ctx, first, before); err != nil || before <= first {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return s.js.Purge(ctx, jetstream.WithPurgeSequence(before))
}

// anchor makes the checkpoint begin at sequence before, so that what stays can still be
// verified, and returns it; an earlier one where lost frames lie before it.
func (s *stream) anchor(ctx context.Context, first, before uint64) (uint64, error) {
	p := s.check.below(before - 1)
	q, whole := p, true
	err := s.scan(ctx, p.seq+1, before-1, func(seq uint64, raw []byte, fault error) {
		if whole = whole && fault == nil && seq == q.seq+1; whole {
			at := q.at
			q = q.next(raw)
			q.at = at
		}
	})
	if err != nil {
		return 0, err
	}
	if whole && q.seq == before-1 {
		p = q
	}
	if p.seq+1 <= first {
		return 0, nil
	}
	return p.seq + 1, s.check.anchor(p)
}

// read calls h with the stored frames of sequences from to to. What has been
// trimmed is left out, and what has been reported as lost; any other sequence that
// cannot be read is an error that names it.
func (s *stream) read(ctx context.Context, from, to uint64, h bus.Handler) error {
	return s.each(ctx, from, to, func(seq uint64, raw []byte, fault error) error {
		if fault == nil {
			var f device.Frame
			if f, fault = device.DecodeFrame(raw); fault == nil {
				h(seq, f)
				return nil
			}
		}
		s.mu.Lock()
		reported := s.lost[seq]
		s.mu.Unlock()
		if reported {
			return nil
		}
		return fmt.Errorf("sequence %d: %w", seq, fault)
	})
}

// scan calls visit with the bytes of every sequence from to to that has not been trimmed,
// or with why they cannot be read or understood.
func (s *stream) scan(ctx context.Context, from, to uint64, visit func(seq uint64, raw []byte, fault error)) error {
	return s.each(ctx, from, to, func(seq uint64, raw []byte, fault error) error {
		if fault == nil {
			_, fault = device.DecodeFrame(raw)
		}
		visit(seq, raw, fault)
		return nil
	})
}

// each calls fn with what is stored under the sequences from to to, until it returns an
// error. What cannot be read is ErrMissing.
func (s *stream) each(ctx context.Context, from, to uint64, fn func(seq uint64, raw []byte, fault error) error) error {
	if from > to {
		return nil
	}
	inbox := s.bus.nc.NewInbox()
	sub, err := s.bus.nc.SubscribeSync(inbox + ".*")
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only with the connection
	next := from
	hand := func(seq uint64, raw []byte) error {
		if err := fn(seq, raw, nil); err != nil {
			return err
		}
		next = seq + 1
		return ctx.Err()
	}
	for n := 0; next <= to; n++ {
		begin := next
		if err := s.batch(ctx, sub, inbox+"."+strconv.Itoa(n), next, to, hand); err != nil {
			return err
		}
		if next == begin { // the first is not there, or not on the server that answered
			first, raw, err := s.confirm(ctx, next)
			switch {
			case errors.Is(err, ErrMissing):
				if err := fn(next, nil, ErrMissing); err != nil {
					return err
				}
				next++
			case err != nil:
				return err
			case first > next:
				next = first
			default:
				if err := hand(next, raw); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// batch asks for the sequences from to to and calls hand with those that come
// without a hole, fewer when the server gives fewer.
func (s *stream) batch(ctx context.Context, sub *nats.Subscription, reply string, from, to uint64, hand func(uint64, []byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	count := min(to-from+1, batchFrames)
	request := fmt.Appendf(nil, `{"seq":%d,"batch":%d,"max_bytes":%d}`, from, count, batchBytes)
	if err := s.bus.nc.PublishRequest("$JS.API.DIRECT.GET."+streamName(s.name), reply, request); err != nil {
		return err
	}
	for next := from; ; {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return fmt.Errorf("sequence %d: %w", next, err)
		}
		if m.Subject != reply {
			continue // of a batch that was given up
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204", "404":
			return nil
		default:
			return fmt.Errorf("sequence %d: the server answers %s %s", next, status, m.Header.Get("Description"))
		}
		seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
		if err != nil {
			return fmt.Errorf("sequence %d: %w", next, err)
		}
		if seq != next || seq > to {
			return nil
		}
		if err := hand(seq, m.Data); err != nil {
			return err
		}
		next++
	}
}

// confirm asks the stream's leader for one frame that did not come. When it has
// been trimmed, first is the first sequence that is still there.
func (s *stream) confirm(ctx context.Context, seq uint64) (first uint64, raw []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	m, err := s.bus.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+streamName(s.name), fmt.Appendf(nil, `{"seq":%d}`, seq))
	if err != nil {
		return 0, nil, fmt.Errorf("sequence %d: %w", seq, err)
	}
	var answer struct {
		Message *struct {
			Seq  uint64 `json:"seq"`
			Data []byte `json:"data"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return 0, nil, fmt.Errorf("sequence %d: %w", seq, err)
	case answer.Message != nil && answer.Message.Seq == seq:
		return seq, answer.Message.Data, nil
	case answer.Error != nil && answer.Error.ErrorCode != errNotFound:
		return 0, nil, fmt.Errorf("sequence %d: %w", seq, answer.Error)
	}
	first, _, err = s.bounds(ctx)
	if err != nil {
		return 0, nil, err
	}
	if first > seq {
		return first, nil, nil
	}
	return 0, nil, fmt.Errorf("sequence %d: %w", seq, ErrMissing)
}

package platform

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"yunchu/platform/auth"
	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// sessions are the records of logins. Each refresh of a token is one, and a session is over
// after half a day: they are in log.control, which is trimmed, and log.meta would keep them
// for ever.
type sessions struct {
	mu    sync.Mutex
	newer map[string]session // the newest ones; without a value those that have ended and log.meta names
}

type session struct {
	value []byte
	at    int64  // ms UTC
	seq   uint64 // in log.control
}

// session follows the records in log.control.
func (p *Plant) session(seq uint64, m *device.Meta) {
	if m.Kind != auth.KindSession {
		return
	}
	_, err := p.State.Meta(m.Kind, m.Key)
	s := &p.sessions
	s.mu.Lock()
	if len(m.Value) == 0 && err != nil {
		delete(s.newer, m.Key)
	} else {
		if s.newer == nil {
			s.newer = map[string]session{}
		}
		s.newer[m.Key] = session{slices.Clone(m.Value), m.At, seq}
	}
	s.mu.Unlock()
	p.mark(m.At, seq)
}

// put makes a record durable.
func (p *Plant) put(m *device.Meta, done func(error)) {
	stream := bus.Meta
	if m.Kind == auth.KindSession {
		stream = bus.Control
		if _, err := p.State.Meta(m.Kind, m.Key); err == nil && len(m.Value) == 0 {
			// An earlier version has it in log.meta. It has ended when it has ended there too.
			ended := *m
			done = both(done)
			p.bus.Publish(bus.Meta, &ended, func(_ uint64, err error) { done(err) })
		}
	}
	p.bus.Publish(stream, m, func(_ uint64, err error) { done(err) })
}

// both calls done when it was called twice itself.
func both(done func(error)) func(error) {
	var (
		mu    sync.Mutex
		calls int
		all   error
	)
	return func(err error) {
		mu.Lock()
		calls++
		all = errors.Join(all, err)
		last := calls == 2
		mu.Unlock()
		if last {
			done(all)
		}
	}
}

// doubtful reports whether log.control has lost what may have been the end of a session, or
// a newer record of it with another refresh token.
func (s session) doubtful(lost []bus.Damage) bool {
	return slices.ContainsFunc(lost, func(d bus.Damage) bool {
		switch {
		case d.Stream != bus.Control:
			return false
		case d.To == 0: // nobody can say where
			return s.at <= d.Found.UnixMilli()
		}
		return s.seq < d.To
	})
}

// records calls each with the newest records of a kind, but for sessions that may have ended:
// people sign in again.
func (p *Plant) records(kind string, each func(key string, value []byte)) error {
	if kind != auth.KindSession {
		return p.State.Each(kind, func(key string, value []byte) bool {
			each(key, value)
			return true
		})
	}
	p.sessions.mu.Lock()
	newer := maps.Clone(p.sessions.newer)
	p.sessions.mu.Unlock()
	var lost []bus.Damage
	if c, ok := p.bus.(bus.Checked); ok {
		lost = c.Damages()
	}
	ended := 0
	tell := func(key string, s session) {
		switch {
		case len(s.value) == 0:
		case s.doubtful(lost):
			ended++
		default:
			each(key, s.value)
		}
	}
	err := p.State.Each(kind, func(key string, value []byte) bool {
		if _, ok := newer[key]; !ok {
			tell(key, session{value: value})
		}
		return true
	})
	for _, key := range slices.Sorted(maps.Keys(newer)) {
		tell(key, newer[key])
	}
	if ended > 0 {
		const why = "what log.control has lost may have been their end"
		p.log.Warn("sessions ended", "sessions", ended, "why", why)
		p.Records().Act(device.Act{Type: "sessions-ended", Subject: fmt.Sprintf("%d sessions", ended), Outcome: "done", Text: why})
	}
	return err
}

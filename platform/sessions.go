package platform

import (
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
	mu     sync.Mutex
	values map[string][]byte // the newest ones; empty for those that have ended and log.meta names
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
		delete(s.values, m.Key)
	} else {
		if s.values == nil {
			s.values = map[string][]byte{}
		}
		s.values[m.Key] = slices.Clone(m.Value)
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
			// An earlier version has it in log.meta. It has ended there too.
			ended := *m
			p.bus.Publish(bus.Meta, &ended, nil)
		}
	}
	p.bus.Publish(stream, m, func(_ uint64, err error) { done(err) })
}

// records calls each with the newest records of a kind.
func (p *Plant) records(kind string, each func(key string, value []byte)) error {
	var newer map[string][]byte
	if kind == auth.KindSession {
		p.sessions.mu.Lock()
		newer = maps.Clone(p.sessions.values)
		p.sessions.mu.Unlock()
	}
	err := p.State.Each(kind, func(key string, value []byte) bool {
		if _, ok := newer[key]; !ok {
			each(key, value)
		}
		return true
	})
	for _, key := range slices.Sorted(maps.Keys(newer)) {
		if value := newer[key]; len(value) > 0 {
			each(key, value)
		}
	}
	return err
}

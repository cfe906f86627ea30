package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

var success = []byte(`{"code":"SUCCESS"}`)

// sync answers POST /api/v1/device/data/sync.
func (s *Server) sync(w http.ResponseWriter, r *http.Request) int {
	p, refused := s.who(r, bearer(r), auth.Ingest)
	if refused != nil {
		return refused.write(w, r)
	}
	m := s.borrow()
	if refused = s.read(w, m, r, maxArray); refused != nil {
		s.giveBack(m)
		return refused.write(w, r)
	}
	m.dec.reset(m.body)
	if m.dec.peek() == '[' {
		return s.syncMany(w, r, p, m)
	}
	if refused = s.syncOne(r.Context(), p, m); refused != nil {
		s.metrics.readings.rejected.Inc()
		return refused.write(w, r)
	}
	s.metrics.readings.accepted.Inc()
	w.Header()["Content-Type"] = jsonType
	w.Write(success)
	return http.StatusOK
}

// syncOne stores a single body. It owns m.
func (s *Server) syncOne(ctx context.Context, p *auth.Principal, m *scratch) *Problem {
	e := &m.entry
	parsed := m.dec.reading(e) && m.dec.end()
	switch {
	case !parsed:
		defer s.giveBack(m)
		return refuse(CodeMalformedJSON, m.dec.fault)
	case len(m.body) > maxBody:
		s.giveBack(m)
		return refuse(CodeTooLarge, "a single reading is larger than 1 MB")
	}
	now := s.now()
	slot, found, ok := s.check(p, "", e, now)
	if !ok {
		defer s.giveBack(m)
		return refuse(e.code, e.detail)
	}
	if !found {
		info, err := s.plant.Registry.Register(device.WithSource(ctx, p.Name), device.Info{ID: e.id})
		if err != nil {
			s.giveBack(m)
			return s.problemOf(ctx, err)
		}
		slot = info.Slot
	}
	e.reading.Slot, e.reading.Arrived = slot, now.UnixMilli()
	m.rows = append(m.rows[:0], e.reading)
	return s.push(ctx, m)
}

// check looks at what a decoded body says. Its slot is found when the device is
// known; ok is false when the body is refused, with the reason in e. only, if there is one, is
// the device that it must be about.
func (s *Server) check(p *auth.Principal, only device.ID, e *entry, now time.Time) (slot device.Slot, found, ok bool) {
	if e.code != "" {
		return 0, false, false
	}
	if only != "" && only != e.id || !p.MayOn(auth.Ingest, e.id) {
		e.refuse(CodeForbiddenDevice, "the token belongs to another device than "+string(e.id))
		return 0, false, false
	}
	slot, found = s.plant.Registry.Slot(e.id)
	s.plant.Intake.Normalise(e.id, &e.reading)
	if limit := now.Add(maxAhead).UnixMilli(); e.reading.At > limit {
		e.refuse(CodeFutureTimestamp, fmt.Sprintf("timestamp %d is %d ms ahead of the plant", e.reading.At, e.reading.At-now.UnixMilli()))
		return 0, false, false
	}
	if !found && !p.MayOn(auth.Register, e.id) {
		e.refuse(CodeUnknownDevice, "there is no device "+string(e.id))
		return 0, false, false
	}
	if found && s.plant.Registry.ReadByUs(slot) {
		e.refuse(CodeReadByUs, string(e.id)+" is read by a driver of this plant")
		return 0, false, false
	}
	return slot, found, true
}

// push hands on m.rows. After an error they are the plant's, so m is forgotten.
func (s *Server) push(ctx context.Context, m *scratch) *Problem {
	if err := s.plant.Intake.Push(ctx, m.rows); err != nil {
		if m.taken > 0 {
			s.large.give(m.taken)
		}
		return s.problemOf(ctx, err)
	}
	s.giveBack(m)
	return nil
}

// syncMany stores an array of bodies. It owns m.
func (s *Server) syncMany(w http.ResponseWriter, r *http.Request, p *auth.Principal, m *scratch) int {
	b := batch{server: s, principal: p, now: s.now(), scratch: m}
	m.rows = m.rows[:0]
	if refused := b.decode(); refused != nil {
		s.giveBack(m)
		return refused.write(w, r)
	}
	if refused := b.register(r.Context()); refused != nil {
		s.giveBack(m)
		return refused.write(w, r)
	}
	accepted := len(m.rows)
	if accepted > 0 {
		if refused := s.push(r.Context(), m); refused != nil {
			return refused.write(w, r)
		}
	} else {
		s.giveBack(m)
	}
	s.metrics.readings.accepted.Add(float64(accepted))
	s.metrics.readings.rejected.Add(float64(len(b.rejected)))
	if accepted == 0 && len(b.rejected) > 0 {
		refused := refuse(CodeAllRejected, "none of the readings was stored")
		refused.Accepted, refused.Rejected = &accepted, b.rejected
		return refused.write(w, r)
	}
	w.Header()["Content-Type"] = jsonType
	w.Write(answerOf(accepted, b.rejected, 0))
	return http.StatusOK
}

// batch is an array of readings on its way.
type batch struct {
	server    *Server
	principal *auth.Principal
	only      device.ID // the only one that it may speak of; empty: any
	now       time.Time
	scratch   *scratch
	n         int // elements
	rejected  []Rejection
	unknown   []unknown
}

// row takes over the entry that was decoded last, or says in rejected why not.
func (b *batch) row() {
	m := b.scratch
	e := &m.entry
	slot, found, ok := b.server.check(b.principal, b.only, e, b.now)
	if !ok {
		b.rejected = append(b.rejected, Rejection{b.n - 1, e.code, e.detail})
		return
	}
	if !found {
		b.unknown = append(b.unknown, unknown{len(m.rows), e.id})
	}
	e.reading.Slot, e.reading.Arrived = slot, b.now.UnixMilli()
	m.rows = append(m.rows, e.reading)
}

// unknown is a row whose device is to be registered.
type unknown struct {
	row int
	id  device.ID
}

func (b *batch) decode() *Problem {
	m := b.scratch
	whole := m.dec.array(func() bool {
		if b.n++; b.n > MaxReadings {
			return false
		}
		if !m.dec.reading(&m.entry) {
			return false
		}
		b.row()
		return true
	})
	switch {
	case b.n > MaxReadings:
		return refuse(CodeTooLarge, fmt.Sprintf("the array has more than %d readings", MaxReadings))
	case !whole || !m.dec.end():
		return refuse(CodeMalformedJSON, m.dec.fault)
	}
	return nil
}

// register makes the unknown devices known.
func (b *batch) register(ctx context.Context) *Problem {
	for _, u := range b.unknown {
		slot, found := b.server.plant.Registry.Slot(u.id) // an earlier row may have brought it
		if !found {
			info, err := b.server.plant.Registry.Register(device.WithSource(ctx, b.principal.Name), device.Info{ID: u.id})
			if err != nil {
				return b.server.problemOf(ctx, err)
			}
			slot = info.Slot
		}
		b.scratch.rows[u.row].Slot = slot
	}
	return nil
}

// answerOf says what became of an array; more are the rejected ones that are not told singly.
func answerOf(accepted int, rejected []Rejection, more int) []byte {
	out := make([]byte, 0, 64+96*len(rejected))
	if len(rejected) == 0 {
		out = append(out, `{"code":"SUCCESS","accepted":`...)
	} else {
		out = append(out, `{"code":"PARTIAL","accepted":`...)
	}
	out = strconv.AppendInt(out, int64(accepted), 10)
	out = append(out, `,"rejected":[`...)
	for i, x := range rejected {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"index":`...)
		out = strconv.AppendInt(out, int64(x.Index), 10)
		out = append(out, `,"code":"`...)
		out = append(out, x.Code...)
		out = append(out, `","detail":`...)
		out = appendString(out, x.Detail)
		out = append(out, '}')
	}
	out = append(out, ']')
	if more > 0 {
		out = strconv.AppendInt(append(out, `,"more":`...), int64(more), 10)
	}
	return append(out, '}')
}

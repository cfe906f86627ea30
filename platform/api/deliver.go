package api

import (
	"context"
	"crypto/x509"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

// Delivery is a body of the sync that came another way than over HTTP.
type Delivery struct {
	By     *auth.Principal
	Device device.ID // the only one that the body may speak of; empty: any that By may send readings for
	Body   []byte

	Accepted int
	Rejected []Rejection // in order; of a single body, index 0
	Problem  *Problem    // why nothing of it was stored; nil when Accepted > 0
}

// Deliver stores what the bodies say, all in one step, and says in each what became of
// it. It returns when what was accepted is durable.
func (s *Server) Deliver(ctx context.Context, list []*Delivery) {
	if !s.isReady() {
		for _, d := range list {
			d.Problem = refuse(CodeNotReady, "")
		}
		return
	}
	m := s.borrow()
	m.rows = m.rows[:0]
	now := s.now()
	for _, d := range list {
		before := len(m.rows)
		if d.Device != "" && !d.By.MayOn(auth.Ingest, d.Device) {
			d.Problem = refuse(CodeForbiddenDevice, "the token does not speak for "+string(d.Device))
			continue
		}
		if d.Problem = s.within(d.By, auth.Ingest); d.Problem != nil {
			continue
		}
		b := batch{server: s, principal: d.By, only: d.Device, now: now, scratch: m}
		d.Problem = b.body(d.Body)
		if d.Problem == nil {
			d.Problem = b.register(ctx)
		}
		if d.Problem != nil {
			m.rows = m.rows[:before]
			continue
		}
		d.Accepted, d.Rejected = len(m.rows)-before, b.rejected
	}
	var failed *Problem
	stored := len(m.rows)
	if stored > 0 {
		failed = s.push(ctx, m)
	} else {
		s.giveBack(m)
	}
	for _, d := range list {
		if d.Accepted > 0 && failed != nil {
			d.Accepted, d.Rejected, d.Problem = 0, nil, failed
		}
		if d.Accepted == 0 && d.Problem == nil && len(d.Rejected) > 0 {
			d.Problem = refuse(d.Rejected[0].Code, d.Rejected[0].Detail)
		}
		s.metrics.readings.accepted.Add(float64(d.Accepted))
		s.metrics.readings.rejected.Add(float64(len(d.Rejected)))
	}
}

// body decodes one body, a reading or an array of them.
func (b *batch) body(text []byte) *Problem {
	m := b.scratch
	m.dec.reset(text)
	if m.dec.peek() == '[' {
		return b.decode()
	}
	if b.n++; !m.dec.reading(&m.entry) || !m.dec.end() {
		return refuse(CodeMalformedJSON, m.dec.fault)
	}
	b.row()
	return nil
}

// Order hands the body of a control that came another way than over HTTP to the plant. It
// returns when the command is in the log and its answer there, or open for a moment. The
// body may speak of one device only.
func (s *Server) Order(ctx context.Context, by *auth.Principal, only device.ID, body []byte) *Problem {
	if !s.isReady() {
		return refuse(CodeNotReady, "")
	}
	if !by.MayOn(auth.Control, only) {
		return refuse(CodeForbidden, "the token does not allow to command "+string(only))
	}
	if refused := s.within(by, auth.Control); refused != nil {
		return refused
	}
	m := s.borrow()
	m.dec.reset(body)
	refused := m.dec.order(&m.order)
	o := m.order
	s.giveBack(m)
	switch {
	case refused != nil:
		return refused
	case o.id != only:
		return refuse(CodeForbiddenDevice, "the body is for another device than "+string(only))
	}
	_, _, refused = s.command(ctx, by, o.id, o.command)
	return refused
}

// Principal finds who a token speaks for.
func (s *Server) Principal(token string) (*auth.Principal, error) {
	return s.auth.Check(token, s.wall())
}

// Certified is who a verified certificate speaks for, nil for nobody.
func (s *Server) Certified(c *x509.Certificate) *auth.Principal {
	return s.auth.Certified(c, s.wall())
}

// Spokesman is who speaks for devices that somebody else has let in: for one, or for all of
// them, the new ones too, where the id is empty.
func (s *Server) Spokesman(name string, id device.ID) *auth.Principal {
	if id == "" {
		return s.auth.Spokesman(name, auth.Engineer, "")
	}
	return s.auth.Spokesman(name, auth.Device, id)
}

// AppendReading appends a reading as every listener tells of it.
func AppendReading(b []byte, id device.ID, r *device.Reading) []byte { return appendReading(b, id, r) }

// AppendEvent appends an event as every listener tells of it.
func AppendEvent(b []byte, id device.ID, e *device.Event) []byte { return appendEvent(b, id, e) }

// AppendAck appends the answer to a command for the device.
func AppendAck(b []byte, id device.ID, a *device.Ack) []byte {
	b = append(b, `{"deviceId":"`...)
	b = append(b, id...)
	b = append(b, `",`...)
	head := len(b)
	b = appendAck(b, a)
	copy(b[head:], b[head+1:]) // its brace
	return b[:len(b)-1]
}

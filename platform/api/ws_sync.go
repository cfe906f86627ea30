package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net"

	"yunchu/platform/auth"
)

const (
	maxMessageID = 64  // how long the id of a message may be, as it stands there
	maxTold      = 512 // readings that were refused, more than a message has room for whole ones
)

// take stores the readings of one message and answers it when they are on the disk. The next
// message is read after that, so a client has one of them on its way; whoever has many
// readings sends arrays.
func (s *Server) take(c *client, id, body json.RawMessage) {
	if len(id) > maxMessageID || len(id) > 0 && (id[0] == '{' || id[0] == '[') {
		c.complain(CodeInvalidType, "id must be a string or a number of up to 64 bytes")
		return
	}
	b := append(make([]byte, 0, 128), `{"type":"sync"`...)
	if len(id) > 0 {
		b = append(append(b, `,"id":`...), id...)
	}
	b = append(b, `,"data":`...)
	b = append(b, s.taken(c, body)...)
	c.answer(append(b, '}'))
}

// taken is what a sync over HTTP would be answered, but for refusals beyond maxTold, which
// are counted: an answer over HTTP waits in no queue.
func (s *Server) taken(c *client, body []byte) []byte {
	if !s.readings.enter() {
		return s.readings.full().text()
	}
	defer s.readings.leave()
	if c.ended() { // its token was revoked while it waited
		return refuse(CodeUnauthorized, "").text()
	}
	if p := c.principal; !p.May(auth.Ingest) {
		from := c.conn.RemoteAddr().String()
		if host, _, err := net.SplitHostPort(from); err == nil {
			from = host
		}
		why := "the role " + p.Role.String() + " does not allow " + auth.Ingest.String()
		s.auth.Refused(s.wall(), p, from, "sync over "+wsPath, why)
		return refuse(CodeForbidden, why).text()
	}
	d := &Delivery{By: c.principal, Body: body}
	s.Deliver(context.Background(), []*Delivery{d})
	more := max(0, len(d.Rejected)-maxTold)
	d.Rejected = d.Rejected[:len(d.Rejected)-more]
	switch {
	case !bytes.HasPrefix(body, []byte("[")):
		if d.Problem != nil {
			return d.Problem.text()
		}
		return success
	case d.Problem != nil && len(d.Rejected) > 0:
		p := refuse(CodeAllRejected, "none of the readings was stored")
		p.Accepted, p.Rejected, p.More = &d.Accepted, d.Rejected, more
		return p.text()
	case d.Problem != nil:
		return d.Problem.text()
	}
	return answerOf(d.Accepted, d.Rejected, more)
}

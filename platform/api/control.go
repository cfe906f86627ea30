package api

import (
	"context"
	"errors"
	"net/http"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

var accepted = []byte(`{"code":"ACCEPTED"}`)

// control answers POST /api/v1/device/control.
func (s *Server) control(w http.ResponseWriter, r *http.Request) int {
	p, refused := s.who(bearer(r), s.wall(), auth.Control)
	if refused != nil {
		return refused.write(w, r)
	}
	m := s.borrow()
	if refused = s.read(m, r, maxBody); refused == nil {
		m.dec.reset(m.body)
		refused = m.dec.order(&m.order)
	}
	id, c := m.order.id, m.order.command
	s.giveBack(m)
	if refused != nil {
		return refused.write(w, r)
	}
	if c.Priority == device.Safety && p.Role != auth.Admin {
		return refuse(CodeForbidden, "the priority safety is for administrators").write(w, r)
	}
	if (c.Verb == device.Arm || c.Verb == device.Reset) && !p.May(auth.Arming) {
		return refuse(CodeForbidden, "to "+c.Verb.String()+" a device is for engineers").write(w, r)
	}
	var known bool
	if c.Slot, known = s.plant.Registry.Slot(id); !known {
		return refuse(CodeUnknownDevice, "there is no device "+string(id)).write(w, r)
	}
	if c.At == 0 {
		c.At = s.now().UnixMilli()
	}
	c.Source = p.Name
	ctx, cancel := context.WithTimeout(r.Context(), commandWait)
	ack, err := s.plant.Control.Command(ctx, c)
	cancel()
	switch {
	case errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil:
		w.Header()["Content-Type"] = jsonType
		w.WriteHeader(http.StatusAccepted)
		w.Write(accepted)
		return http.StatusAccepted
	case err != nil:
		return s.problemOf(r.Context(), err).write(w, r)
	case ack.Slot != c.Slot:
		return refuse(CodeCommandIDUsed, "commandId "+quote(c.ID)+" was used for another device").write(w, r)
	case ack.Status != device.Done:
		return ackProblem(ack).write(w, r)
	}
	w.Header()["Content-Type"] = jsonType
	if ack.Reduced {
		w.Write(reduced(ack))
	} else {
		w.Write(success)
	}
	return http.StatusOK
}

// reduced answers a command that was taken with less power than it asked for.
func reduced(a device.Ack) []byte {
	b := append([]byte(nil), `{"code":"SUCCESS","reduced":true,"power":`...)
	b = appendNumber(b, a.Power)
	b = append(b, `,"reason":`...)
	b = appendString(b, a.Reason)
	return append(b, '}')
}

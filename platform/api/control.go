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
	p, refused := s.who(r, bearer(r), auth.Control)
	if refused != nil {
		return refused.write(w, r)
	}
	m := s.borrow()
	if refused = s.read(w, m, r, maxBody); refused == nil {
		m.dec.reset(m.body)
		refused = m.dec.order(&m.order)
	}
	id, c := m.order.id, m.order.command
	s.giveBack(m)
	if refused != nil {
		return refused.write(w, r)
	}
	ack, open, refused := s.command(r.Context(), p, id, c)
	switch {
	case refused != nil:
		return refused.write(w, r)
	case open:
		w.Header()["Content-Type"] = jsonType
		w.WriteHeader(http.StatusAccepted)
		w.Write(accepted)
		return http.StatusAccepted
	}
	w.Header()["Content-Type"] = jsonType
	if ack.Reduced {
		w.Write(reduced(ack))
	} else {
		w.Write(success)
	}
	return http.StatusOK
}

// command has a device told what somebody asks for, and waits for a moment. What
// comes back is the acknowledgement that it is done; or it is open still; or it was
// refused.
func (s *Server) command(ctx context.Context, p *auth.Principal, id device.ID, c device.Command) (ack device.Ack, open bool, refused *Problem) {
	if !p.MayOn(auth.Control, id) {
		return ack, false, refuse(CodeForbiddenDevice, "the policies do not let it command "+string(id))
	}
	if c.Priority == device.Safety && !p.MayOn(auth.Safety, id) {
		return ack, false, refuse(CodeForbidden, "the priority safety is for administrators")
	}
	if (c.Verb == device.Arm || c.Verb == device.Reset) && !p.MayOn(auth.Arming, id) {
		return ack, false, refuse(CodeForbidden, "to "+c.Verb.String()+" a device is for engineers")
	}
	var known bool
	if c.Slot, known = s.plant.Registry.Slot(id); !known {
		return ack, false, refuse(CodeUnknownDevice, "there is no device "+string(id))
	}
	if c.At == 0 {
		c.At = s.now().UnixMilli()
	}
	c.Source = p.Name
	wait, cancel := context.WithTimeout(ctx, commandWait)
	ack, err := s.plant.Control.Command(wait, c)
	cancel()
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return ack, true, nil
	case err != nil:
		return ack, false, s.problemOf(ctx, err)
	case ack.Verb != c.Verb && ack.Verb != 0: // an emergency stop has taken its place
		return ack, false, refuse(CodeCommandIDUsed, "commandId "+quote(c.ID)+" was used for "+ack.Verb.String()+", and "+c.Verb.String()+" was not done")
	case ack.Status != device.Done:
		return ack, false, ackProblem(ack)
	}
	return ack, false, nil
}

// reduced answers a command that was taken with less power than it asked for.
func reduced(a device.Ack) []byte {
	b := append([]byte(nil), `{"code":"SUCCESS","reduced":true,"power":`...)
	b = appendNumber(b, a.Power)
	b = append(b, `,"reason":`...)
	b = appendString(b, a.Reason)
	return append(b, '}')
}

package can

import (
	"math"
	"time"
)

// Controller messages are built and recognised here.

// Request finds which message of the controller a frame is: the one with its identifier
// whose fixed signals have its values. -1 if it is none.
func (p *Profile) Request(f *Frame) int {
	for i := range p.Controller {
		if p.Controller[i].is(p, f) {
			return i
		}
	}
	return -1
}

func (t *Transmit) is(p *Profile, f *Frame) bool {
	want := t.frame(p, nil)
	if f.ID != want.ID || f.IsExtended != want.IsExtended || f.IsRemote {
		return false
	}
	if t.Message == "" {
		return true
	}
	def := p.db.Message(t.Message)
	for _, v := range t.Set {
		s := &def.Signals[def.Signal(v.Name)]
		if v.Is == "" && (int(f.Length) < s.bytes || s.Raw(&f.Data) != s.Raw(&want.Data)) {
			return false
		}
	}
	return true
}

// frame is the message with the values that number knows; nil knows none.
func (t *Transmit) frame(p *Profile, number func(name string) float64) Frame {
	if t.Message == "" {
		return Frame{ID: t.ID, IsExtended: t.Extended, Length: uint8(t.Length)}
	}
	def := p.db.Message(t.Message)
	f := def.Frame()
	for _, v := range t.Set {
		x := v.Value
		if v.Is != "" && number != nil {
			x = number(v.Is)
		}
		if math.IsNaN(x) {
			x = 0
		}
		def.Signals[def.Signal(v.Name)].Encode(&f.Data, x)
	}
	return f
}

// sender keeps when each message of the controller is due.
type sender struct {
	profile *Profile
	next    []time.Time
	foreign []time.Time // when another controller was heard to send it
	estop   bool
}

func newSender(p *Profile) *sender {
	return &sender{profile: p, next: make([]time.Time, len(p.Controller)), foreign: make([]time.Time, len(p.Controller))}
}

// heard takes note of a frame of another controller.
func (s *sender) heard(f *Frame, at time.Time) {
	if i := s.profile.Request(f); i >= 0 {
		s.foreign[i] = at
	}
}

// due lists the messages to send at now, and when each is next. A period counts from when
// it was due, as long as that is not long past, so that callers who come a little late do
// not slow the heartbeat down.
func (s *sender) due(now time.Time) []int {
	var out []int
	for i := range s.profile.Controller {
		t := &s.profile.Controller[i]
		if !s.wanted(t, i, now) || now.Before(s.next[i]) {
			continue
		}
		if s.next[i] = s.next[i].Add(t.Every); !s.next[i].After(now) {
			s.next[i] = now.Add(t.Every)
		}
		out = append(out, i)
	}
	return out
}

// hold is for how many periods a heartbeat is left to another controller that was heard.
const hold = 3

func (s *sender) wanted(t *Transmit, i int, now time.Time) bool {
	switch {
	case t.When == OnEStop:
		return s.estop
	case t.StopOnEStop && s.estop:
		return false
	case t.Heartbeat && !s.foreign[i].IsZero() && now.Sub(s.foreign[i]) < hold*t.Every:
		return false
	}
	return true
}

// stops reports whether an emergency stop has any effect.
func (p *Profile) stops() bool {
	for _, t := range p.Controller {
		if t.When == OnEStop || t.StopOnEStop {
			return true
		}
	}
	return false
}

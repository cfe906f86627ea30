package can

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"yunchu/hil/strict"
	"yunchu/platform/device"
)

// The longest that anything in a profile may take: what is slower is no control.
const maxPeriod = time.Hour

// checked is a file whose profile is being looked at.
type checked struct{ *strict.File }

// profile finds what is wrong with p beyond its form, and completes it.
func (r checked) profile(p *Profile, open func(name string) ([]byte, error)) {
	r.OneOf("apiVersion", p.APIVersion, "yunchu/v1")
	r.OneOf("kind", p.Kind, "CANProfile")
	if p.Name == "" {
		r.Wrong("name", "", "name: missing: give the profile a name")
	}
	r.OneOf("current_sign", p.CurrentSign, Charge, Discharge)
	r.OneOf("limit_sign", p.LimitSign, Positive, Signed, Magnitude)
	if _, err := BitRateCommand(p.BitRate); err != nil {
		r.Wrong("bit_rate", "", "bit_rate: %v", err)
	}
	if p.ShownSeries < 0 {
		r.Wrong("shown_series", "", "shown_series: is %d, want the number of cells in series, or nothing", p.ShownSeries)
	}
	if !r.database(p, open) {
		return
	}
	if len(p.Messages) == 0 {
		r.Wrong("messages", "", "messages: missing: say what the device sends")
	}
	ids := map[uint64]string{}
	for i := range p.Messages {
		r.message(fmt.Sprintf("messages[%d]", i), p, &p.Messages[i], ids)
	}
	for i := range p.Controller {
		r.transmit(fmt.Sprintf("controller[%d]", i), p, i)
	}
}

// database reads the database that the profile names.
func (r checked) database(p *Profile, open func(name string) ([]byte, error)) bool {
	if p.DBC == "" {
		r.Wrong("dbc", "", "dbc: missing: name the database beside this file")
		return false
	}
	src, err := open(p.DBC)
	if err != nil {
		r.Wrong("dbc", "paths are relative to this file", "dbc: %s: %v", p.DBC, err)
		return false
	}
	p.db, err = ParseDatabase(r.Beside(p.DBC), src)
	if faults, ok := errors.AsType[strict.Faults](err); ok {
		r.Also(faults)
	}
	return err == nil
}

func (r checked) duration(key string, d time.Duration, least time.Duration) {
	if d < least || d > maxPeriod {
		r.Wrong(key, "", "%s: is %v, want %v to %v", key, d, least, maxPeriod)
	}
}

func (r checked) message(key string, p *Profile, m *MessageUse, ids map[uint64]string) {
	def := p.db.Message(m.Name)
	if def == nil {
		r.Wrong(key+".name", strict.Suggest(m.Name, p.db.names()), "%s.name: the database has no message %q", key, m.Name)
		return
	}
	id := key32(def.ID&p.mask(), def.Extended)
	if other, ok := ids[id]; ok {
		r.Wrong(key+".name", "let id_mask have the bits that tell them apart", "%s.name: %s cannot be told from %s", key, m.Name, other)
	}
	ids[id] = m.Name
	if m.Timeout == 0 {
		m.Timeout = 5 * m.Period
	}
	r.duration(key+".period", m.Period, time.Millisecond)
	r.duration(key+".timeout", m.Timeout, m.Period)
	if m.Answers != "" && !slices.ContainsFunc(p.Controller, func(t Transmit) bool { return t.Name == m.Answers }) {
		r.Wrong(key+".answers", "", "%s.answers: the controller has no message %q", key, m.Answers)
	}
	if len(m.Signals) == 0 {
		r.Wrong(key+".signals", "", "%s.signals: missing: say what %s holds", key, m.Name)
	}
	seen := map[string]bool{}
	for i := range m.Signals {
		s := &m.Signals[i]
		at := fmt.Sprintf("%s.signals[%d]", key, i)
		j := def.Signal(s.Name)
		switch {
		case j < 0:
			r.Wrong(at+".name", strict.Suggest(s.Name, def.names()), "%s.name: message %s has no signal %q", at, m.Name, s.Name)
			continue
		case seen[s.Name+" "+s.Is] && s.Mask == 0:
			r.Wrong(at+".name", "", "%s.name: a second use of %s", at, s.Name)
		}
		seen[s.Name+" "+s.Is] = true
		r.signal(at, s, &def.Signals[j])
	}
}

func (r checked) signal(key string, s *SignalUse, def *Signal) {
	r.OneOf(key+".is", s.Is, Quantities()...)
	condition := slices.Contains(conditions, s.Is)
	if s.Mask != 0 && (!condition || s.Mask > def.ones()) {
		r.Wrong(key+".mask", "", "%s.mask: is 0x%X, want some of the %d bits of a condition", key, s.Mask, def.Length)
	}
	if s.Active != nil && (!condition || *s.Active > def.ones()) {
		r.Wrong(key+".active", "", "%s.active: is %d, want a value of the %d bits of a condition", key, *s.Active, def.Length)
	}
	if s.Inactive != 0 && (!condition || s.Active == nil || s.Inactive > def.ones() || s.Inactive == *s.Active) {
		r.Wrong(key+".inactive", "", "%s.inactive: want another value than active, of the %d bits of a condition", key, def.Length)
	}
	for i, a := range s.Of {
		r.OneOf(fmt.Sprintf("%s.of[%d]", key, i), a, Alarms()...)
	}
	if len(s.Of) > 0 && s.Is != FaultCondition && s.Is != WarningCondition {
		r.Wrong(key+".of", "", "%s.of: belongs to fault and warning", key)
	}
	if (s.Is == StatusWord) != (len(s.Words) > 0) {
		r.Wrong(key+".words", "", "%s.words: a status has words, and nothing else has", key)
	}
	for raw, w := range s.Words {
		if _, ok := device.ParseStatus(w); !ok {
			r.Wrong(fmt.Sprintf("%s.words.%d", key, raw), "", "%s.words: unknown status %q", key, w)
		}
	}
	if s.Is == Manufacturer && (def.Length%8 != 0 || def.Start%8 != 0 || def.BigEndian) {
		r.Wrong(key+".is", "", "%s.is: a text takes whole bytes", key)
	}
}

func (r checked) transmit(key string, p *Profile, i int) {
	t := &p.Controller[i]
	if t.Name == "" || slices.ContainsFunc(p.Controller[:i], func(o Transmit) bool { return o.Name == t.Name }) {
		r.Wrong(key+".name", "", "%s.name: want a name of its own, got %q", key, t.Name)
	}
	if t.When == "" {
		t.When = Always
	}
	r.OneOf(key+".when", t.When, Always, OnEStop)
	r.duration(key+".every", t.Every, 10*time.Millisecond)
	if t.Watched != 0 {
		r.duration(key+".watched", t.Watched, t.Every)
		if !t.Heartbeat {
			r.Wrong(key+".watched", "", "%s.watched: belongs to a heartbeat", key)
		}
	}
	if t.StopOnEStop && !t.Heartbeat {
		r.Wrong(key+".stop_on_estop", "", "%s.stop_on_estop: belongs to a heartbeat", key)
	}
	if t.Message == "" {
		r.plain(key, t)
		return
	}
	def := p.db.Message(t.Message)
	if def == nil {
		r.Wrong(key+".message", strict.Suggest(t.Message, p.db.names()), "%s.message: the database has no message %q", key, t.Message)
		return
	}
	if t.ID != 0 || t.Extended || t.Length != 0 {
		r.Wrong(key+".message", "", "%s.message: want a message of the database or an identifier, not both", key)
	}
	for i, s := range t.Set {
		at := fmt.Sprintf("%s.set[%d]", key, i)
		if def.Signal(s.Name) < 0 {
			r.Wrong(at+".name", strict.Suggest(s.Name, def.names()), "%s.name: message %s has no signal %q", at, t.Message, s.Name)
		}
		if s.Is != "" {
			r.OneOf(at+".is", s.Is, numbers...)
		}
	}
}

// plain checks a message that is not in the database.
func (r checked) plain(key string, t *Transmit) {
	if t.Length < 0 || t.Length > 8 {
		r.Wrong(key+".length", "", "%s.length: is %d, want 0 to 8", key, t.Length)
	}
	most := uint32(0x7FF)
	if t.Extended {
		most = 0x1FFFFFFF
	}
	if t.ID > most {
		r.Wrong(key+".id", "", "%s.id: is 0x%X, want at most 0x%X", key, t.ID, most)
	}
	if len(t.Set) > 0 {
		r.Wrong(key+".set", "", "%s.set: belongs to a message of the database", key)
	}
}

// key32 is an identifier with its kind, as a key.
func key32(id uint32, extended bool) uint64 {
	if extended {
		return uint64(id) | 1<<32
	}
	return uint64(id)
}

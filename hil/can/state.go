package can

import (
	"math"
	"slices"
	"strings"
	"time"

	"yunchu/platform/device"
)

// state is the newest value of every signal that a profile uses, and when it came.
type state struct {
	profile  *Profile
	byID     map[uint64]int
	messages []messageState
	newest   time.Time // of any message
	frames   uint64    // taken
	others   uint64    // of messages that the profile does not use
	beat     beat
	silence  time.Duration // that lets the device count as standing still
	loose    bool          // all messages are optional

	address uint32        // what the device has in the bits of identifiers that the profile leaves open
	beside  time.Time     // when frames with another address came last
	longest time.Duration // that anything it has said counts
}

// messageState is one message as it came last.
type messageState struct {
	use    *MessageUse
	def    *Message
	bound  bool // it carries limits or permissions
	uses   []signalUse
	values []float64
	raw    []uint64
	blank  bool // it says nothing
	seen   time.Time
	rhythm rhythm
}

// signalUse is a SignalUse whose names are looked up.
type signalUse struct {
	*SignalUse
	signal   int
	ones     uint64 // of the signal
	quantity int    // index in numbers; -1 for anything else
}

// beat is the counter by which a device shows that it lives.
type beat struct {
	message, signal int // -1: the device has none
	raw             uint64
	changed         time.Time
}

// standingStill is how long a device may be silent, or its counter stand, before it is
// flagged.
const standingStill = 3 * time.Second

func newState(p *Profile) *state {
	s := &state{profile: p, byID: map[uint64]int{}, messages: make([]messageState, len(p.Messages)), beat: beat{message: -1}}
	shortest := maxPeriod
	for i := range p.Messages {
		m := &s.messages[i]
		m.use = &p.Messages[i]
		m.def = p.db.Message(m.use.Name)
		m.values, m.raw = make([]float64, len(m.def.Signals)), make([]uint64, len(m.def.Signals))
		for j := range m.use.Signals {
			use := &m.use.Signals[j]
			signal := m.def.Signal(use.Name)
			u := signalUse{use, signal, m.def.Signals[signal].ones(), slices.Index(numbers, use.Is)}
			m.uses = append(m.uses, u)
			m.bound = m.bound || binds(u.Is)
			if u.Is == Heartbeat {
				s.beat.message, s.beat.signal = i, u.signal
			}
		}
		m.rhythm.period = m.use.Period
		s.byID[key32(m.def.ID&p.mask(), m.def.Extended)] = i
		shortest, s.longest = min(shortest, m.use.Period), max(s.longest, m.use.Timeout)
	}
	s.loose = !slices.ContainsFunc(p.Messages, func(m MessageUse) bool { return !m.Optional })
	s.silence = max(standingStill, 3*shortest)
	return s
}

// binds reports whether a quantity bounds the power.
func binds(is string) bool {
	switch is {
	case ChargeCurrentLimit, DischargeCurrentLimit, ChargeVoltageLimit, DischargeVoltageLimit,
		ChargeAllowed, DischargeAllowed, ChargeForbidden, DischargeForbidden:
		return true
	}
	return false
}

// take decodes a frame that came at the given time; false for one that is none of the
// device's.
func (s *state) take(f *Frame, at time.Time) bool {
	i, ok := s.byID[key32(f.ID&s.profile.mask(), f.IsExtended)]
	if !ok || f.IsRemote {
		s.others++
		return false
	}
	address := f.ID &^ s.profile.mask()
	if address != s.address && !s.newest.IsZero() && at.Sub(s.newest) <= s.longest {
		s.beside = at
		s.others++
		return false
	}
	s.address = address // nothing of one before counts any more
	m := &s.messages[i]
	m.def.Decode(f, m.values, m.raw)
	m.blank, m.seen, s.newest = blank(f), at, at
	if m.use.Answers == "" {
		m.rhythm.take(at)
	}
	s.frames++
	if b := &s.beat; b.message == i && !math.IsNaN(m.values[b.signal]) && (m.raw[b.signal] != b.raw || b.changed.IsZero()) {
		b.raw, b.changed = m.raw[b.signal], at
	}
	return true
}

// contested reports whether two units speak as the device, of which it is one.
func (s *state) contested(now time.Time) bool {
	return !s.beside.IsZero() && now.Sub(s.beside) <= s.silence
}

// fresh reports whether what the message says still counts.
func (m *messageState) fresh(now time.Time) bool {
	return !m.seen.IsZero() && now.Sub(m.seen) <= m.use.Timeout
}

// complete reports whether each of the given messages has come since a time.
func (s *state) complete(since time.Time, of func(*MessageUse) bool) bool {
	for i := range s.messages {
		m := &s.messages[i]
		if of(m.use) && (m.seen.IsZero() || m.seen.Before(since)) {
			return false
		}
	}
	return true
}

// picture is what a device says of itself at one moment.
type picture struct {
	numbers           []float64 // by the index in numbers; the device's own signs
	charge, discharge bool      // permitted
	fault, estop      bool
	status            device.Status
	maker             string
	measured          time.Time // when the newest of it came
	still             bool      // it is silent, or its counter stands
	limited           [2]bool   // the profile has a limit for charging, discharging
	chargeSign        string
	limitSign         string
}

// at draws the picture of the device at now. ok is false when nothing that it has to send
// counts any more.
func (s *state) at(now time.Time) (p picture, ok bool) {
	p = picture{
		numbers: make([]float64, len(numbers)), charge: true, discharge: true,
		chargeSign: s.profile.CurrentSign, limitSign: s.profile.LimitSign,
	}
	for i := range p.numbers {
		p.numbers[i] = math.NaN()
	}
	for i := range s.messages {
		m := &s.messages[i]
		fresh := m.fresh(now)
		if fresh {
			ok = ok || !m.use.Optional || s.loose
			if m.seen.After(p.measured) {
				p.measured = m.seen
			}
		} else if m.bound && (!m.use.Optional || !m.seen.IsZero()) {
			p.charge, p.discharge = false, false
		}
		for _, u := range m.uses {
			switch u.Is {
			case ChargeCurrentLimit:
				p.limited[0] = true
			case DischargeCurrentLimit:
				p.limited[1] = true
			}
			if fresh {
				p.take(u, m.values[u.signal], m.raw[u.signal], m.blank)
			}
		}
	}
	p.still = now.Sub(s.newest) > s.silence || s.beat.message >= 0 && now.Sub(s.beat.changed) > s.silence
	return p, ok
}

// take puts one signal of a frame, which may be blank, into the picture. A permission that
// is not known is none, and a fault that is not known permits nothing.
func (p *picture) take(u signalUse, v float64, raw uint64, blank bool) {
	known := !math.IsNaN(v)
	if u.quantity >= 0 {
		p.numbers[u.quantity] = v
		return
	}
	holds := known && u.holds(raw)
	if (u.Is == FaultCondition || u.Is == EStopCondition) && (blank || u.undefined(raw)) {
		p.charge, p.discharge = false, false
	}
	switch u.Is {
	case ChargeAllowed:
		p.charge = p.charge && holds
	case DischargeAllowed:
		p.discharge = p.discharge && holds
	case ChargeForbidden:
		p.charge = p.charge && known && !holds
	case DischargeForbidden:
		p.discharge = p.discharge && known && !holds
	case FaultCondition:
		p.fault = p.fault || u.holds(raw) && u.there(v, raw)
	case EStopCondition:
		p.estop = p.estop || u.holds(raw) && u.there(v, raw)
	case StatusWord:
		if word, ok := u.Words[raw]; known && ok {
			p.status, _ = device.ParseStatus(word)
		}
	case Manufacturer:
		if known {
			p.maker = text(raw)
		}
	}
}

// holds reports whether the bits say that the condition is there.
func (u *SignalUse) holds(raw uint64) bool {
	if u.Mask != 0 {
		raw &= u.Mask
	}
	if u.Active != nil {
		return raw == *u.Active
	}
	return raw != 0
}

// there reports whether the frame has the signal. Bits that are all set are bits that are
// set, though a number of nothing but ones is none.
func (u *signalUse) there(v float64, raw uint64) bool { return !math.IsNaN(v) || raw == u.ones }

// undefined reports whether the bits of a condition with a value of its own are all ones,
// which is neither that value nor the other.
func (u *signalUse) undefined(raw uint64) bool {
	ones := u.ones
	if u.Mask != 0 {
		raw, ones = raw&u.Mask, ones&u.Mask
	}
	return u.Active != nil && *u.Active != 0 && raw == ones && ones != *u.Active && ones != u.Inactive
}

// text is up to eight characters of ASCII, the first in the lowest byte.
func text(raw uint64) string {
	var b strings.Builder
	for ; raw != 0; raw >>= 8 {
		if c := byte(raw); c >= ' ' && c < 0x7F {
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}

func (p *picture) number(name string) float64 { return p.numbers[slices.Index(numbers, name)] }

// soc is the finer of the two values where both agree: some devices fill the place of the
// fine one with zeros.
func (p *picture) soc() float64 {
	coarse, fine := p.number(SoC), p.number(SoCFine)
	if math.IsNaN(coarse) || math.Abs(fine-coarse) <= 1 {
		return orElse(fine, coarse)
	}
	return coarse
}

func orElse(a, b float64) float64 {
	if math.IsNaN(a) {
		return b
	}
	return a
}

// current is positive when it charges.
func (p *picture) current() float64 {
	i := p.number(Current)
	if p.chargeSign == Discharge {
		i = 0 - i
	}
	return i
}

// limits are the currents that are permitted now, in A >= 0. NaN: the profile knows none.
func (p *picture) limits() (charge, discharge float64) {
	one := func(i int, name string, permitted bool, sign float64) float64 {
		x := p.number(name)
		switch {
		case !permitted:
			return 0
		case !p.limited[i]:
			return math.NaN()
		case math.IsNaN(x):
			return 0 // it has to say so, and does not
		case p.limitSign == Magnitude:
			return math.Abs(x)
		case p.limitSign == Signed:
			x *= sign
		}
		return max(x, 0)
	}
	return one(0, ChargeCurrentLimit, p.charge, 1), one(1, DischargeCurrentLimit, p.discharge, -1)
}

// power are the limits in kW: the permitted current at the voltage that is there. While it
// charges the voltage only rises, so that charging power is never over the limit of
// current; while it discharges the current limit is the converter's to keep as the voltage
// sags. At the voltage that ends a charge nothing more is charged, at the one that ends a
// discharge nothing more discharged; a pair of them the wrong way round permits nothing. A
// limit whose voltage is not known is 0.
func (p *picture) power() (charge, discharge float64) {
	v, top, bottom := p.number(Voltage), p.number(ChargeVoltageLimit), p.number(DischargeVoltageLimit)
	charge, discharge = p.limits()
	if bottom > 0 && top <= bottom {
		charge, discharge = charge*0, discharge*0
	}
	if v >= top {
		charge *= 0
	}
	if v <= bottom {
		discharge *= 0
	}
	kw := max(orElse(v, 0), 0) / 1000
	return charge * kw, discharge * kw
}

// word is the status of a reading. What moves the current decides between charging and
// discharging: a word that lags behind would turn its sign.
func (p *picture) word() device.Status {
	switch {
	case p.fault || p.estop:
		return device.Fault
	case p.status == device.Standby || p.status == device.Fault || p.status == device.Maintenance:
		return p.status
	}
	switch i := p.current(); {
	case i > 0:
		return device.Charging
	case i < 0:
		return device.Discharging
	case i == 0:
		return device.Idle
	}
	return device.OtherStatus
}

// reading is the picture as a Reading, without its times.
func (p *picture) reading() device.Reading {
	r := device.Empty()
	r.SoC, r.SoH = p.soc(), p.number(SoH)
	r.Voltage, r.Current = p.number(Voltage), p.current()
	r.Temperature = orElse(p.number(CellTemperatureMax), p.number(Temperature))
	r.MaxCharge, r.MaxDischarge = p.power()
	own := device.Untold()
	own.Voltage = device.Span{p.number(DischargeVoltageLimit), p.number(ChargeVoltageLimit)}
	r.Own = own.Told()
	if r.Status = p.word(); r.Status == device.OtherStatus {
		r.Word = "unknown"
	}
	if p.still {
		r.Flags |= device.FlagHeartbeat
	}
	if p.estop {
		r.Flags |= device.FlagEStop
	}
	return r
}

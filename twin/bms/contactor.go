package bms

import (
	"math"
	"time"
)

const never = time.Duration(math.MaxInt64)

// Contactor is how a rack is connected and disconnected.
type Contactor struct {
	MatchV     float64       // V, most between rack and bus at which it closes
	Least      time.Duration // of precharge
	Timeout    time.Duration // of precharge, then it trips
	OpenA      float64       // A, the current is gone
	OpenWithin time.Duration // then it opens under current

	LifeClosings    int // 0: not watched
	LifeHotOpenings int // openings at more than OpenA; 0: not watched
}

// Contacts are the contactors of a rack, true for closed.
type Contacts struct {
	Positive, Negative, Precharge bool
}

func (s *State) contacts() Contacts {
	switch s.Mode {
	case Precharging:
		return Contacts{Negative: true, Precharge: true}
	case Connected, Opening:
		return Contacts{Negative: true, Positive: true}
	}
	return Contacts{}
}

// wear counts one more operation of a contactor that is good for life of them, and
// tells when it is the last.
func wear(count *int, life int, t time.Duration, log *log) {
	if *count++; *count == life {
		log.add(Event{At: t, Kind: WornOut})
	}
}

// matches reports whether the positive contactor may close.
func (c *Contactor) matches(in *Input) bool { return math.Abs(in.RackV-in.BusV) <= c.MatchV }

// Ready reports whether a close command would be followed.
func (s *State) Ready() bool { return s.Mode == Off && !s.Alarms.tripping() }

// turn does what is due at t to the contactors.
func (p *Params) turn(s *State, t time.Duration, in *Input, closing, reset bool, log *log) {
	c := &p.Contactor
	if reset {
		p.reset(s, t, log)
	}
	if closing && !in.Open {
		if s.Ready() {
			s.enter(Precharging, t)
			log.add(Event{At: t, Kind: PrechargeBegun})
		} else {
			log.add(Event{At: t, Kind: CloseRefused})
		}
	}
	switch s.Mode {
	case Precharging:
		switch {
		case in.Open:
			s.enter(Off, t)
			log.add(Event{At: t, Kind: Opened})
		case t-s.Since >= c.Least && c.matches(in):
			s.enter(Connected, t)
			log.add(Event{At: t, Kind: Closed})
			wear(&s.Closings, c.LifeClosings, t, log)
		case t-s.Since >= c.Timeout:
			p.trip(s, t, Precharge, in, log)
		}
	case Connected:
		if in.Open {
			s.enter(Opening, t)
			log.add(Event{At: t, Kind: OpeningBegun})
		}
	}
	if s.Mode == Opening && (math.Abs(in.CurrentA) <= c.OpenA || t-s.Since >= c.OpenWithin) {
		p.open(s, t, in, log)
		s.enter(Off, t)
		log.add(Event{At: t, Kind: Opened})
	}
}

// nextTurn is when turn has something to do after t, under the same input.
func (p *Params) nextTurn(s *State, t time.Duration, in *Input) time.Duration {
	c := &p.Contactor
	switch {
	case s.Mode == Precharging && c.matches(in):
		return max(t, s.Since+c.Least)
	case s.Mode == Precharging:
		return s.Since + c.Timeout
	case s.Mode == Opening:
		return s.Since + c.OpenWithin
	}
	return never
}

// trip opens the contactors at once, and nothing closes them before a reset.
func (p *Params) trip(s *State, t time.Duration, q Quantity, in *Input, log *log) {
	s.Trips |= 1 << q
	if s.Mode != Tripped {
		p.open(s, t, in, log)
		s.enter(Tripped, t)
	}
	e := Event{At: t, Kind: TripRaised, Quantity: q}
	if q < Precharge {
		e.Value = values(in)[q]
	}
	log.add(e)
}

// open takes the announced currents away and counts an opening under current.
func (p *Params) open(s *State, t time.Duration, in *Input, log *log) {
	if (s.Mode == Connected || s.Mode == Opening) && math.Abs(in.CurrentA) > p.Contactor.OpenA {
		wear(&s.HotOpenings, p.Contactor.LifeHotOpenings, t, log)
	}
	s.ChargeA, s.DischargeA, s.Rising = 0, 0, [2]bool{}
}

// reset takes a trip back whose causes are gone.
func (p *Params) reset(s *State, t time.Duration, log *log) {
	if s.Mode != Tripped || s.Alarms.tripping() {
		log.add(Event{At: t, Kind: ResetRefused})
		return
	}
	s.Trips = 0
	s.enter(Off, t)
	log.add(Event{At: t, Kind: WasReset})
}

func (s *State) enter(m Mode, t time.Duration) { s.Mode, s.Since = m, t }

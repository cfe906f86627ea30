package pcs

import "time"

// Rest are the phases a converter falls into when it moves no power. Without it (all
// zero) the converter is in standby as soon as its power is zero and needs no time to
// leave it.
type Rest struct {
	IdleW    float64       // W, awake at zero power: it switches, or is ready to
	After    time.Duration // at zero power, then it goes to standby
	WakeUp   time.Duration // from standby until power flows
	OffAfter time.Duration // at zero power, then it turns off; 0: never
	OffW     float64       // W, off
	StartUp  time.Duration // from off until power flows
}

func (r *Rest) given() bool { return *r != Rest{} }

// Phase is how far asleep a converter is that moves no power.
type Phase uint8

// The phases. A converter whose power is not zero is awake.
const (
	Awake Phase = iota
	Asleep
	Off
	Waking
)

func (p Phase) String() string {
	return [...]string{"awake", "standby", "off", "waking"}[min(p, Waking)]
}

// RestW is what s draws while it moves no power, in W.
func (p *Params) RestW(s *State) float64 {
	switch {
	case !p.Rest.given() || s.Phase == Asleep:
		return p.StandbyW
	case s.Phase == Off:
		return p.Rest.OffW
	}
	return p.Rest.IdleW
}

// phaseEnds is when the phase of a converter at rest, with no power asked for, ends
// by itself.
func (p *Params) phaseEnds(s *State) time.Duration {
	switch {
	case !p.Rest.given():
		return Never
	case s.Phase == Waking:
		return s.WakeAt
	case s.Phase == Awake:
		return s.Since + p.Rest.After
	case s.Phase == Asleep && p.Rest.OffAfter > 0:
		return s.Since + p.Rest.OffAfter
	}
	return Never
}

// nextPhase is what follows when phaseEnds has come.
func (p *Params) nextPhase(s *State) {
	switch s.Phase {
	case Waking:
		s.Phase, s.Since = Awake, s.WakeAt
	case Awake:
		s.Phase = Asleep
	case Asleep:
		s.Phase = Off
	}
}

// rest answers until when, and whether, s moves no power from t on though target is
// where it should be: asleep it wakes first.
func (p *Params) rest(s *State, target point, t, end time.Duration) (until time.Duration, resting bool) {
	if target != (point{}) {
		switch s.Phase {
		case Awake:
			return t, false
		case Asleep:
			s.Phase, s.WakeAt = Waking, t+p.Rest.WakeUp
		case Off:
			s.Phase, s.WakeAt = Waking, t+p.Rest.StartUp
		}
	}
	return max(t, min(end, p.phaseEnds(s))), true
}

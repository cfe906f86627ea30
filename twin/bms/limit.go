package bms

// Taper is a line from full current at Full to none at None. Which side is the bad
// one follows from their order; equal, it does not bind.
type Taper struct {
	Full, None float64
}

// share is how much of the rating is left at x, 0..1.
func (t Taper) share(x float64) float64 {
	switch span := t.None - t.Full; {
	case span == 0 || span > 0 && x <= t.Full || span < 0 && x >= t.Full:
		return 1
	case span > 0 && x < t.None || span < 0 && x > t.None:
		return (t.None - x) / span
	}
	return 0 // also where x is not known
}

// Direction is what bounds the current of one direction.
type Direction struct {
	RatedA      float64 // A, never more
	ContinuousA float64 // A, for as long as one likes; 0: as RatedA
	CellV       Taper   // V, the highest cell charging, the lowest discharging
	Hot         Taper   // K, the warmest cell
	Cold        Taper   // K, the coldest cell
	SoC         Taper   // 0..1, the fullest cell charging, the emptiest discharging
}

// Limits is how the announced currents follow what is allowed.
type Limits struct {
	FallAPerS float64 // A/s
	RiseAPerS float64 // A/s
	BandA     float64 // A by which more must be allowed before an announced current rises

	// The mean square of the current over HeatS seconds (0: not watched) narrows the
	// current from RatedA to ContinuousA on its way from HeatFrom to all of
	// ContinuousA^2.
	HeatS    float64 // s
	HeatFrom float64 // share of ContinuousA^2, below 1

	WarningShare [2]float64 // of the rating left by a warning of level 1 and 2, 0..1
}

// Bound names what keeps a current from its rating.
type Bound uint8

// The bounds.
const (
	BoundNone      Bound = iota
	BoundContactor       // the rack is not connected
	BoundCellV
	BoundHot
	BoundCold
	BoundSoC
	BoundHeat    // of the current
	BoundWarning // a warning is on
)

func (b Bound) String() string {
	return [...]string{"", "contactor", "cell-v", "temp-high", "temp-low", "soc", "current", "warning"}[min(b, BoundWarning)]
}

// Allowed is what may flow in A, both at least 0, and what binds.
type Allowed struct {
	ChargeA, DischargeA   float64
	ChargeBy, DischargeBy Bound
}

// Allowed is what a rack may carry under in, with the mode, the warnings and the heat
// of s: connected, the rating times the least of the shares that are left, which is
// continuous in every value of in and falls towards the bad side; else nothing.
func (p *Params) Allowed(in *Input, s *State) Allowed {
	charge, discharge := p.left(in)
	return p.allowed(s, charge, discharge)
}

// left is a share of a rating and what keeps it from the whole.
type left struct {
	share float64
	by    Bound
}

// narrow takes a share if it is less.
func (l *left) narrow(share float64, by Bound) {
	if share < l.share {
		*l = left{share, by}
	}
}

// left is what the values of in leave of either direction.
func (p *Params) left(in *Input) (charge, discharge left) {
	charge = p.Charge.left(in.MaxCellV, in.MaxSoC, in)
	discharge = p.Discharge.left(in.MinCellV, in.MinSoC, in)
	return charge, discharge
}

func (d *Direction) left(cellV, soc float64, in *Input) left {
	l := left{share: 1}
	l.narrow(d.CellV.share(cellV), BoundCellV)
	l.narrow(d.Hot.share(in.MaxCellK), BoundHot)
	l.narrow(d.Cold.share(in.MinCellK), BoundCold)
	l.narrow(d.SoC.share(soc), BoundSoC)
	return l
}

func (p *Params) allowed(s *State, charge, discharge left) Allowed {
	if s.Mode != Connected {
		return Allowed{ChargeBy: BoundContactor, DischargeBy: BoundContactor}
	}
	charge.narrow(p.heatShare(&p.Charge, s.Heat), BoundHeat)
	charge.narrow(p.warningShare(s, true), BoundWarning)
	discharge.narrow(p.heatShare(&p.Discharge, s.Heat), BoundHeat)
	discharge.narrow(p.warningShare(s, false), BoundWarning)
	return Allowed{
		ChargeA: p.Charge.RatedA * charge.share, DischargeA: p.Discharge.RatedA * discharge.share,
		ChargeBy: charge.by, DischargeBy: discharge.by,
	}
}

// heatShare is what the mean square of the current leaves, in A^2.
func (p *Params) heatShare(d *Direction, heat float64) float64 {
	l, c := &p.Limits, d.ContinuousA
	if l.HeatS <= 0 || c <= 0 || heat <= l.HeatFrom*c*c {
		return 1
	}
	warm := Taper{Full: l.HeatFrom * c * c, None: c * c}
	return (c + (d.RatedA-c)*warm.share(heat)) / d.RatedA
}

// warningShare is what the warnings leave that concern a direction.
func (p *Params) warningShare(s *State, charge bool) float64 {
	other := Set(1<<CellVHigh | 1<<SoCHigh | 1<<ChargeCurrent)
	if charge {
		other = 1<<CellVLow | 1<<SoCLow | 1<<DischargeCurrent
	}
	share := 1.0
	for k, after := range p.Limits.WarningShare {
		if s.Alarms.On[k]&^other != 0 {
			share = min(share, after)
		}
	}
	return share
}

// follow moves an announced current towards what is allowed for dt seconds: down at
// once and by any amount, up only from a band below it, or to the full rating.
func (l *Limits) follow(amps *float64, rising *bool, allowed, rated, dt float64) {
	switch up := allowed - *amps; {
	case up <= 0:
		*rising = false
		*amps = max(allowed, *amps-l.FallAPerS*dt)
	case *rising || up >= l.BandA || allowed >= rated:
		*amps = min(allowed, *amps+l.RiseAPerS*dt)
		*rising = *amps < allowed
	}
}

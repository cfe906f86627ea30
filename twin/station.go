package twin

import (
	"math"

	"yunchu/twin/params"
	"yunchu/twin/pcs"
)

// station is what stands between the converters of a unit and the grid: a transformer
// and the auxiliary loads. What they take is not part of the unit's own power.
type station struct {
	transformer pcs.Transformer
	auxiliary   pcs.Auxiliary
	scale       float64 // of the auxiliary's rating to the unit's
}

// newStation readies the grid side of a model, nil where it has none.
func newStation(m *params.Model) *station {
	if m.Grid == nil {
		return nil
	}
	s := &station{}
	if t := m.Transformer; t != nil {
		s.transformer = pcs.NewTransformer(t.KVA*1e3, t.NoLoadW, t.LoadW, t.Impedance, t.Magnetised)
	}
	if a := m.Auxiliary; a != nil {
		s.auxiliary = pcs.Auxiliary{RatedVA: a.RatedKVA * 1e3, ConstantW: a.ConstantW, FanW: a.FanW, FanFrom: a.FanFrom, PerLoad: a.PerLoad}
		s.scale = m.RatedKW / a.RatedKVA
	}
	return s
}

// takes is what transformer and auxiliaries take in J during a step of dt seconds.
func (s *station) takes(ac *pcs.Flow, dt float64) (j float64) {
	if s.transformer.RatedVA > 0 {
		j = s.transformer.LossJ(ac.VA2S, dt)
	}
	if s.scale > 0 {
		va := math.Sqrt(ac.VA2S / dt)
		j += s.scale * s.auxiliary.W(va/s.scale) * dt
	}
	return j
}

// besides books what the plant of the container and the grid side take in a step.
func (d *design) besides(u *unit, ac *pcs.Flow, dt float64) {
	aux := 0.0
	if u.room != nil {
		aux = u.room.flow.ElectricJ
	}
	if d.station != nil {
		aux += d.station.takes(ac, dt)
	}
	u.book.AuxJ += aux
	u.aux = aux / dt
}

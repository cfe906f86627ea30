// Package celltype makes a cell type that can be stepped out of a parameter set.
package celltype

import (
	"fmt"

	"yunchu/twin/cell"
	"yunchu/twin/params"
)

// New readies a cell set for stepping. The error says what is impossible about it.
func New(p *params.Cell) (*cell.Model, error) {
	r := p.Resistance
	m, err := cell.New(cell.Params{
		CapacityAh:          p.CapacityAh,
		CoulombicEfficiency: p.CoulombicEfficiency,
		TRefK:               p.TRefK,
		RGas:                p.RGas,
		OCV:                 cell.Table{SoC: p.OCV.SoC, Value: p.OCV.V},
		HalfGap:             cell.Table{SoC: p.Hysteresis.SoC, Value: p.Hysteresis.M},
		Gamma:               p.Hysteresis.Gamma,
		Entropy:             cell.Table{SoC: p.Entropic.SoC, Value: p.Entropic.DUDT},
		Resistance:          cell.Table{SoC: r.SoC, Value: r.RTot},
		Fraction:            [3]float64{r.Frac.R0, r.Frac.R1, r.Frac.R2},
		Activation:          [3]float64{r.EaPerMol.R0, r.EaPerMol.R1, r.EaPerMol.R2},
		Tau:                 [2]float64{r.Tau.Tau1, r.Tau.Tau2},
	})
	if err != nil {
		return nil, fmt.Errorf("cell set %s: %w", p.Name, err)
	}
	return m, nil
}

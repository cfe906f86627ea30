package pcs

import (
	"errors"
	"fmt"
	"slices"
)

// Surface is a measured loss over AC power and DC voltage, bilinear between its
// points. Beyond the last power the last piece goes on; beyond the voltages the
// nearest holds. Its slices belong to it.
type Surface struct {
	Power     []float64   // |S|/rated on the AC side, rising from 0
	Volt      []float64   // V, DC, rising; one entry: the loss does not depend on it
	Charge    [][]float64 // loss/rated by voltage, then power; at power 0 its limit
	Discharge [][]float64
	Nominal   float64 // V, taken where no voltage is known
}

// FromEfficiency makes a surface of measured efficiencies, by voltage, then power:
// DC/AC charging and AC/DC discharging, at AC powers above 0 over rated power. A
// single row needs no voltage. The first piece of the loss goes on to power 0, where
// it stays at 0 or above.
func FromEfficiency(power, volt []float64, charge, discharge [][]float64, nominal float64) (*Surface, error) {
	if len(volt) == 0 {
		volt = []float64{nominal}
	}
	s := &Surface{
		Power: append([]float64{0}, power...), Volt: volt, Nominal: nominal,
		Charge:    make([][]float64, len(charge)),
		Discharge: make([][]float64, len(discharge)),
	}
	for k, eta := range charge {
		s.Charge[k] = fromZero(power, eta, func(p, eta float64) float64 { return p * (1 - eta) })
	}
	for k, eta := range discharge {
		s.Discharge[k] = fromZero(power, eta, func(p, eta float64) float64 { return p * (1/eta - 1) })
	}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("surface from efficiencies: %w", err)
	}
	return s, nil
}

// fromZero is the loss at power 0 and at each power.
func fromZero(power, eta []float64, loss func(p, eta float64) float64) []float64 {
	row := make([]float64, 1, len(eta)+1)
	for i := range min(len(eta), len(power)) {
		row = append(row, loss(power[i], eta[i]))
	}
	if len(row) > 2 {
		row[0] = max(row[1]-(row[2]-row[1])/(power[1]-power[0])*power[0], 0)
	}
	return row
}

// Check tells what keeps s from being a map between DC and AC power that can be
// turned round: axes that do not rise, a loss below zero, a DC power that does not
// rise with the AC power.
func (s *Surface) Check() error {
	if len(s.Power) < 2 || s.Power[0] != 0 || !rising(s.Power) {
		return errors.New("power axis: want two entries or more that rise from 0")
	}
	if len(s.Volt) == 0 || !rising(s.Volt) {
		return errors.New("voltage axis: want an entry or more that rise")
	}
	if len(s.Charge) != len(s.Volt) || len(s.Discharge) != len(s.Volt) {
		return fmt.Errorf("%d rows for charge and %d for discharge at %d voltages", len(s.Charge), len(s.Discharge), len(s.Volt))
	}
	for k := range s.Volt {
		if err := s.checkRow(s.Charge[k], -1); err != nil {
			return fmt.Errorf("charge at %g V: %w", s.Volt[k], err)
		}
		if err := s.checkRow(s.Discharge[k], 1); err != nil {
			return fmt.Errorf("discharge at %g V: %w", s.Volt[k], err)
		}
	}
	return nil
}

// checkRow demands that power + sign*loss rises.
func (s *Surface) checkRow(row []float64, sign float64) error {
	if len(row) != len(s.Power) {
		return fmt.Errorf("%d entries at %d powers", len(row), len(s.Power))
	}
	for i, l := range row {
		if !(l >= 0 && l < 1) {
			return fmt.Errorf("loss %g at power %g is not within 0..1 of rated power", l, s.Power[i])
		}
		if i > 0 && s.Power[i]+sign*l <= s.Power[i-1]+sign*row[i-1] {
			return fmt.Errorf("DC power does not rise from AC power %g to %g", s.Power[i-1], s.Power[i])
		}
	}
	return nil
}

func rising(x []float64) bool {
	for i := 1; i < len(x); i++ {
		if !(x[i] > x[i-1]) {
			return false
		}
	}
	return true
}

// cut is the curve of s at volt.
func (s *Surface) cut(charging bool, volt float64) curve {
	rows := s.Discharge
	if charging {
		rows = s.Charge
	}
	if volt == 0 {
		volt = s.Nominal
	}
	k, last := segment(s.Volt, volt), len(s.Volt)-1
	c := curve{power: s.Power, low: rows[k], high: rows[min(k+1, last)]}
	if k < last {
		c.weight = min(max((volt-s.Volt[k])/(s.Volt[k+1]-s.Volt[k]), 0), 1)
	}
	return c
}

// segment is the piece of a rising axis that holds x: the last k with x[k] <= x
// that has a neighbour above, or 0.
func segment(axis []float64, x float64) int {
	k, found := slices.BinarySearch(axis, x)
	if !found {
		k--
	}
	return max(min(k, len(axis)-2), 0)
}

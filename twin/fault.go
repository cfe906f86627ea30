package twin

import (
	"fmt"

	"yunchu/twin/bms"
)

// OpenContactor opens the contactors of unit i or closes them again. From then on
// setpoints are refused and the mode reads Fault; once closed the unit stands at zero
// power in the mode it had. A battery management takes its time for either: it opens
// when the current has gone, or has not within its patience, and closes string by
// string after the precharge.
func (f *Fleet) OpenContactor(i int, open bool) {
	f.units[i].cut = open
	f.switched(i, false)
}

// EmergencyStop presses the button of unit i or releases it. Pressed, it trips the
// unit, which stays so until it is told to run with the button released.
func (f *Fleet) EmergencyStop(i int, pressed bool) { f.tell(i, bms.EmergencyStop, pressed) }

// Insulation is too low in unit i, or well again. Like LoseLink it is seen by a
// battery management and trips what that guards; a unit without one is an error.
func (f *Fleet) Insulation(i int, low bool) error { return f.tellManagement(i, bms.Insulation, low) }

// LoseLink parts the battery management of unit i from the plant, or joins them.
func (f *Fleet) LoseLink(i int, lost bool) error {
	return f.tellManagement(i, bms.Communication, lost)
}

func (f *Fleet) tellManagement(i int, what bms.Quantity, there bool) error {
	if f.bms == nil {
		return fmt.Errorf("%v of unit %s: model %s has no battery management", what, f.ids[i], f.model.Name)
	}
	f.tell(i, what, there)
	return nil
}

// tell lets unit i know that a cause to trip is there, or gone.
func (f *Fleet) tell(i int, what bms.Quantity, there bool) {
	u := &f.units[i]
	u.told = u.told.With(what, there)
	u.tripped = u.tripped || there && f.bms == nil
	f.switched(i, false)
}

// Misreading is what the sensors of a string's battery management are off by. One
// sensor of many is off: above zero it is that of the highest cell, below zero that of
// the lowest.
type Misreading struct {
	CellV    float64 // V
	TempK    float64 // K
	SoC      float64 // 0..1
	CurrentA float64 // A
}

// shift moves the end of a range that the sensor off by some amount belongs to.
func shift(by float64, lowest, highest *float64) {
	*lowest += min(by, 0)
	*highest += max(by, 0)
}

// Misread lets the battery management of a string of unit i see what is not there.
// The cells, and the limits of the model, stay as they are.
func (f *Fleet) Misread(i, str int, by Misreading) error {
	u := &f.units[i]
	if f.bms == nil || str < 0 || str >= len(u.pack.string) {
		return fmt.Errorf("sensors of string %d of unit %s: model %s has no battery management there", str+1, f.ids[i], f.model.Name)
	}
	u.pack.string[str].off = by
	return nil
}

// Overheat puts unit i at toK kelvin and keeps its surroundings there; 0 gives it
// the ambient air back, and it cools as it can.
func (f *Fleet) Overheat(i int, toK float64) {
	f.changed(i)
	u := &f.units[i]
	u.hotK = toK
	switch {
	case toK <= 0:
	case u.pack != nil:
		u.pack.heat(toK)
		u.pack.bound(&f.limits, u.pack.dt)
	default:
		u.cell.SetTemp(toK)
		f.end(u)
	}
}

// FailFan stops the cooling of unit i, or mends it: what is left is the model's
// fan_fail_ratio of the heat path.
func (f *Fleet) FailFan(i int, failed bool) { f.units[i].fanFailed = failed }

// ShortCell lays ohm across every cell of unit i: the current through it discharges
// the cells and its heat stays in them. 0 removes it. As a unit has one
// representative cell, one shorted cell among n is a short of n*ohm here. No limit
// stops a short.
func (f *Fleet) ShortCell(i int, ohm float64) {
	f.changed(i)
	u := &f.units[i]
	if u.pack != nil {
		for str := range u.pack.string {
			for place := range u.pack.length {
				u.pack.lay(str, place, ohm)
			}
		}
		u.pack.predict()
		return
	}
	u.shortOhm = max(ohm, 0)
	u.cell.SetLeak(u.shortOhm)
	f.end(u)
}

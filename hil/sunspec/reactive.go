package sunspec

import (
	"fmt"
	"slices"
)

// reactive is one way in which a device is asked for reactive power: as such, or by a power
// factor. Asked for, it is taken back by the device after a time, like power.
type reactive struct {
	model uint16
	asks  map[string]float64 // the points that ask for it, and the value with which each asks for none
	// A power factor and which way its reactive power goes: that asks for none by itself.
	factor, way string
	timer, left string       // left: empty where the model has none
	enable      string       // that it is taken back at all; empty likewise
	back        []assignment // and to what: to none
	wayBack     string       // which goes the same way
}

// A power factor of 1 goes with no reactive power.
var reactives = []reactive{
	{
		model: 704, asks: map[string]float64{"VarSetEna": 0, "VarSet": 0, "VarSetPct": 0},
		timer: "VarSetRvrtTms", left: "VarSetRvrtRem", enable: "VarSetEnaRvrt",
		back: []assignment{{"VarSetRvrt", 0, wanted}, {"VarSetPctRvrt", 0, wanted}},
	},
	powerFactor("PFWInj"),
	powerFactor("PFWAbs"),
	{
		model: 123, asks: map[string]float64{"VArPct_Ena": 0, "VArWMaxPct": 0, "VArMaxPct": 0, "VArAvalPct": 0},
		timer: "VArPct_RvrtTms",
	},
	{model: 123, asks: map[string]float64{"OutPFSet_Ena": 0, "OutPFSet": 1}, timer: "OutPFSet_RvrtTms"},
}

// powerFactor is that of 704 while active power is given or taken.
func powerFactor(name string) reactive {
	return reactive{
		model: 704, asks: map[string]float64{name + "Ena": 0, name + ".PF": 1}, factor: name + ".PF", way: name + ".Ext",
		timer: name + "RvrtTms", left: name + "RvrtRem", enable: name + "EnaRvrt",
		back: []assignment{{name + "Rvrt.PF", 1, wanted}}, wayBack: name + "Rvrt.Ext",
	}
}

// reactiveOf is what a point asks for reactive power with; nil: it does not.
func reactiveOf(p point) *reactive {
	for i := range reactives {
		r := &reactives[i]
		if _, asks := r.asks[p.field.Name]; p.block.ID == r.model && (asks || r.way != "" && r.way == p.field.Name) {
			return r
		}
	}
	return nil
}

// untimed reports whether a point asks for reactive power that the device would never take
// back.
func untimed(p point) bool {
	r := reactiveOf(p)
	return r != nil && !pointOf(p.block, r.timer).value().OK()
}

// reverting lets a setting that asks for reactive power hold for no longer than others do:
// its time to revert is written first, and with each renewal.
func (d *Driver) reverting(x *setting, p point) {
	r := reactiveOf(p)
	if r == nil {
		return
	}
	x.timer, x.left, x.timed = pointOf(p.block, r.timer), pointOf(p.block, r.left), true
	x.back = append([]assignment{{r.enable, enabled, wanted}}, r.back...)
	for _, name := range []string{r.timer, r.left, r.factor, r.way} {
		x.points = appendOK(x.points, pointOf(p.block, name))
	}
	for _, a := range x.back {
		x.points = appendOK(x.points, pointOf(p.block, a.name))
	}
	none, asks := r.asks[p.field.Name]
	x.reverts = func(v float64) bool {
		if !asks { // which way it goes matters where there is any
			return p.block.Float(r.factor) != 1
		}
		return v != none
	}
	value := x.steps
	x.steps = func(v float64) ([]step, error) {
		own, err := value(v)
		if err != nil || !x.reverts(v) {
			return own, err
		}
		back := slices.Clone(r.back)
		if way := p.block.Value(r.way); r.way == p.field.Name {
			back = append(back, assignment{r.wayBack, v, wanted})
		} else if way.OK() {
			back = append(back, assignment{r.wayBack, way.Float(), wanted})
		}
		steps, err := p.block.sequence([]assignment{{r.enable, enabled, wanted}, {r.timer, d.settingRevert(), wanted}}, back)
		return append(steps, own...), err
	}
}

// unarmed says what of a setting that is to be taken back after a time, in s, is not as it
// was written; "" for nothing.
func (x *setting) unarmed(revert float64) string {
	if t := x.timer.value(); t.OK() && !(t.Float() > 0 && t.Float() <= revert) {
		return fmt.Sprintf("told to revert after %g s, the device holds %g s", revert, t.Float())
	}
	for _, a := range x.back {
		if p := pointOf(x.timer.block, a.name); p.value().OK() && p.float() != a.value {
			return fmt.Sprintf("%s: told %g, the device holds %g", p.name(), a.value, p.float())
		}
	}
	return ""
}

package bms_test

import (
	"math"
	"testing"
	"time"

	"yunchu/twin/bms"
)

var shared = bms.UnitParams{MatchV: 15}

// plant is a unit of racks on one bus without load: the bus is at the voltage of the
// racks that are connected, or charged by the one that precharges.
type plant struct {
	p     *bms.Params
	unit  bms.UnitState
	racks []bms.State
	volts []float64
	busV  float64
	now   time.Duration
}

func (w *plant) step(t testing.TB, in bms.UnitInput) bms.UnitOutput {
	view, commands := make([]bms.Rack, len(w.racks)), make([]bms.Command, len(w.racks))
	for i := range w.racks {
		s := &w.racks[i]
		view[i] = bms.Rack{Mode: s.Mode, Ready: s.Ready(), RackV: w.volts[i]}
	}
	o := shared.Step(&w.unit, in, view, commands)
	const dt = 100 * time.Millisecond
	precharging := 0
	for i := range w.racks {
		x := well()
		x.RackV, x.BusV = w.volts[i], w.busV
		x.Close, x.Open, x.Reset = commands[i].Close, commands[i].Open, commands[i].Reset
		before := w.racks[i].Mode
		w.p.Step(&w.racks[i], w.now, w.now+dt, &x, nil)
		if w.racks[i].Mode == bms.Precharging {
			precharging++
		}
		if w.racks[i].Mode == bms.Connected && before != bms.Connected && !(math.Abs(w.volts[i]-w.busV) <= 15) {
			t.Errorf("rack %d closed at %g V on a bus of %g V", i, w.volts[i], w.busV)
		}
	}
	if precharging > 1 {
		t.Errorf("%d racks precharge at once", precharging)
	}
	w.now += dt
	var sum float64
	n := 0
	for i := range w.racks {
		if w.racks[i].Mode == bms.Connected {
			sum, n = sum+w.volts[i], n+1
		}
	}
	l := link(t)
	for i := range w.racks {
		if n == 0 && w.racks[i].Mode == bms.Precharging {
			w.busV = l.Next(w.busV, w.volts[i], dt.Seconds())
		}
	}
	if n > 0 {
		w.busV = sum / float64(n)
	}
	return o
}

func TestUnitConnectsWhatMatches(t *testing.T) {
	w := plant{p: rack(t), volts: []float64{760, 790, 795, 802, 830}}
	w.racks = make([]bms.State, len(w.volts))
	var o bms.UnitOutput
	for range 300 {
		o = w.step(t, bms.UnitInput{Close: true})
	}
	if o.Connected != 3 || o.Waiting != 2 || w.racks[0].Mode != bms.Off || w.racks[4].Mode != bms.Off {
		t.Errorf("%+v: want the three racks that match, and two that wait", o)
	}
	w.volts[0] = 790 // it has come near meanwhile
	for range 100 {
		o = w.step(t, bms.UnitInput{})
	}
	if o.Connected != 4 || o.Waiting != 1 {
		t.Errorf("%+v after one came near", o)
	}
	for range 100 {
		o = w.step(t, bms.UnitInput{Open: true})
	}
	if o.Connected != 0 {
		t.Errorf("%+v after the open command", o)
	}
}

// A reset is for the racks that have tripped: the others have nothing to take back.
func TestUnitResetsWhatTripped(t *testing.T) {
	var s bms.UnitState
	racks := []bms.Rack{{Mode: bms.Connected}, {Mode: bms.Tripped}, {Mode: bms.Off}}
	commands := make([]bms.Command, len(racks))
	o := shared.Step(&s, bms.UnitInput{Close: true, Reset: true}, racks, commands)
	for i, c := range commands {
		if c.Reset != (racks[i].Mode == bms.Tripped) {
			t.Errorf("a rack that is %v: reset %v", racks[i].Mode, c.Reset)
		}
	}
	if o != (bms.UnitOutput{Connected: 1, Tripped: 1}) {
		t.Errorf("%+v", o)
	}
}

package bms_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/twin/bms"
)

var shared = bms.UnitParams{MatchV: 15, MinRacks: 1, ShareA: 20}

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
		view[i] = bms.Rack{Mode: s.Mode, Ready: s.Ready(), RackV: w.volts[i], ChargeA: s.ChargeA, DischargeA: s.DischargeA}
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
			w.busV, _ = l.Next(w.busV, w.volts[i], dt.Seconds())
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
	if !(math.Abs(o.ChargeA-3*196) <= 1e-9) || !(math.Abs(o.DischargeA-3*196) <= 1e-9) {
		t.Errorf("%g and %g A of three racks", o.ChargeA, o.DischargeA)
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
	if o.Connected != 0 || o.ChargeA != 0 {
		t.Errorf("%+v after the open command", o)
	}
}

// The current of a unit never asks more of a rack than that rack announces, be the
// racks as unequal as they are measured to be.
func TestUnitCurrent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		racks := make([]bms.Rack, rapid.IntRange(1, 8).Draw(t, "racks"))
		var total float64
		for i := range racks {
			racks[i] = bms.Rack{Mode: bms.Connected, RackV: 790, CurrentA: rapid.Float64Range(20, 100).Draw(t, "I"), ChargeA: rapid.Float64Range(0, 196).Draw(t, "limit"), DischargeA: 196}
			total += racks[i].CurrentA
		}
		var s bms.UnitState
		o := shared.Step(&s, bms.UnitInput{}, racks, make([]bms.Command, len(racks)))
		equal := o.ChargeA / float64(len(racks))
		for i, r := range racks {
			if measured := o.ChargeA * r.CurrentA / total; max(measured, equal) > r.ChargeA*(1+1e-12) {
				t.Fatalf("rack %d gets %g or %g A, announces %g A", i, measured, equal, r.ChargeA)
			}
		}
		if b := racks[o.ChargeBy]; b.ChargeA > o.ChargeA {
			t.Fatalf("rack %d does not bind", o.ChargeBy)
		}
	})
	few := bms.UnitParams{MatchV: 15, MinRacks: 3}
	var s bms.UnitState
	racks := []bms.Rack{{Mode: bms.Connected, ChargeA: 100}, {Mode: bms.Connected, ChargeA: 100}, {Mode: bms.Tripped}}
	if o := few.Step(&s, bms.UnitInput{}, racks, make([]bms.Command, 3)); o.ChargeA != 0 || o.ChargeBy != -1 || o.Tripped != 1 {
		t.Errorf("%+v with two racks of three", o)
	}
}

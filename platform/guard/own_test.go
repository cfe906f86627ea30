package guard_test

import (
	"fmt"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// TestWindowsThatTheDeviceTells: of its own windows and those of the configuration the
// tighter edge acts, with a hysteresis, is named as the device's, moves with what it tells,
// and stays when it ceases to.
func TestWindowsThatTheDeviceTells(t *testing.T) {
	w := armed(t, func(i *device.Info) { i.Limits = device.Limits{Voltage: device.Span{600, 850}} })
	own := device.Untold()
	see := func(v, temperature float64, tells bool) {
		w.bend = func(r *device.Reading) {
			r.Voltage, r.Temperature = v, temperature
			if tells {
				r.Own = own.Told()
			}
		}
		w.pass(100 * time.Millisecond)
	}
	said := func() (out []string) {
		for _, b := range w.g.Bounds() {
			out = append(out, fmt.Sprint(b.Text, b.Free))
		}
		return out
	}
	acts := func(want string) {
		t.Helper()
		if got := w.g.Own(0); fmt.Sprint(got) != want {
			t.Errorf("its own that act are %v, want %s", got, want)
		}
	}
	w.must(device.SetPower, 50)
	acts("{[NaN NaN] [NaN NaN] [NaN NaN]}")
	own.Voltage, own.Temperature = device.Span{500, 820}, device.Span{-10, 45}
	see(820, 25, true)
	acts("{[NaN NaN] [NaN 820] [NaN 45]}")
	if w.kw != 0 {
		t.Errorf("charged with %v kW at 820 V", w.kw)
	}
	if got := fmt.Sprint(said()); got != "[voltage high, no charging at or above 820 V, which the device tells of itselffalse]" {
		t.Errorf("said %s", got)
	}
	w.refused(device.SetPower, 50, guard.CodeEnvelope, "voltage high")
	see(810, 25, false) // it does not say any more, and is not above the hysteresis
	w.refused(device.SetPower, 50, guard.CodeEnvelope, "voltage high")
	own.Voltage[1] = 900 // it moves its own: that of the configuration acts
	see(830, 25, true)
	acts("{[NaN NaN] [NaN NaN] [NaN 45]}")
	w.must(device.SetPower, 50)
	_ = said()
	see(850, 25, true)
	if got := fmt.Sprint(said()); got != "[voltage high, no charging at or above 850 Vfalse]" {
		t.Errorf("said %s", got)
	}
	see(600, 25, true) // its own lower edge is wider
	w.refused(device.SetPower, -50, guard.CodeEnvelope, "voltage low")
	see(700, 45, true)
	w.refused(device.SetPower, -50, guard.CodeEnvelope, "temperature high")
	see(700, 0, true) // the usual lower bound of charging is tighter than -10 °C
	w.refused(device.SetPower, 50, guard.CodeEnvelope, "temperature low")
	w.must(device.SetPower, -50)
}

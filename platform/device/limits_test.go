package device_test

import (
	"math"
	"testing"

	"yunchu/platform/device"
)

// TestWindowsNobodyFilledIn: registers of 0 are no windows, and one edge at 0 is.
func TestWindowsNobodyFilledIn(t *testing.T) {
	own := device.Untold()
	if own.Told() != nil {
		t.Error("nothing is told as something")
	}
	own.SoC, own.Temperature, own.Voltage = device.Span{}, device.Span{}, device.Span{}
	if got := own.Told(); got != nil {
		t.Errorf("windows from 0 to 0 are told as %v", *got)
	}
	own.Temperature = device.Span{0, 45}
	got := own.Told()
	if got == nil || got.Temperature != own.Temperature || !math.IsNaN(got.SoC[1]) || !math.IsNaN(got.Voltage[0]) {
		t.Errorf("told is %v", got)
	}
}

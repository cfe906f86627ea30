package hil_test

import (
	"testing"

	"yunchu/hil"
)

// What is behind a broker or a daemon on this machine may be a real battery: it does not
// arm itself.
func TestLoopbackIsAnEmulator(t *testing.T) {
	for address, want := range map[string]bool{
		"tcp://127.0.0.1:502": true, "tls://localhost:802": true, "slcan://127.0.0.1:15904": true, "tcp://[::1]:502": true,
		"tcp://10.0.0.11:502": false, "rtu:///dev/ttyUSB0": false, "socketcan://can0": false,
		"mqtt://127.0.0.1:1883": false, "mqtts://localhost:8883": false, "socketcand://127.0.0.1:29536/can0": false,
	} {
		d := hil.Device{Link: hil.Link{Address: address}}
		if got := d.Loopback(); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	d := hil.Device{Parts: map[string]hil.Link{"pcs": {Address: "tcp://127.0.0.1:502"}, "bms": {Address: "socketcand://127.0.0.1:29536/can0"}}}
	if d.Loopback() {
		t.Error("a unit with one real part arms itself")
	}
}

//go:build !nosim && unix

package main

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"yunchu/harness/backend"
)

// TestServeAnswersTheFrequency: serve answers the frequency that a device on a wire reads at its
// terminals, without anybody's target, and one that is pushed beside it is shown as it came.
func TestServeAnswersTheFrequency(t *testing.T) {
	port := ports(t, 2)
	p := fresh(t, "YUNCHU_TOKEN="+rigToken)
	p.write(t, "rig.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Rig
backend: {address: "tcp://127.0.0.1:%d"}
devices:
  - {id: reg-1, soc: 50, serve: {modbus: {address: "tcp://127.0.0.1:%d", profile: pcs-generic}}}
`, port[0], port[1]))
	p.write(t, "plant.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Config
devices:
  - {id: reg-1, device: modbus, address: "tcp://127.0.0.1:%d", profile: pcs-generic, poll: 100ms}
dispatch: {every: 500ms, droop: {meter: reg-1, droop_percent: 4, deadband_hz: 0.02}}
`, port[1]))
	rig := p.start(t, "rig", "rig.yaml")
	eventually(t, "the rig is ready", func() bool { return strings.Contains(rig.stdout.String(), "ready") })
	back, err := backend.Dial(t.Context(), fmt.Sprintf("tcp://127.0.0.1:%d", port[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	_, c := serving(t, p, "-c", "plant.yaml")
	c.token = rigToken
	eventually(t, "it can be armed", func() bool {
		status, _, err := c.try(http.MethodPost, "/api/v1/device/control", order{Device: "reg-1", ID: "arm-1", Command: "arm"})
		return err == nil && status == http.StatusAccepted
	})
	latest := func() (power, hz float64) {
		var l struct {
			Data struct{ Power, Frequency float64 }
		}
		c.get(t, "/api/v1/devices/reg-1/latest", &l)
		return l.Data.Power, l.Data.Frequency
	}
	for _, tt := range []struct{ hz, kw float64 }{ // 0.2 Hz beyond the deadband are a tenth of 100 kW
		{49.78, -10}, {50, 0}, {50.22, 10},
	} {
		if err := back.Grid(t.Context(), "reg-1", tt.hz, 100); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("%g kW at %g Hz", tt.kw, tt.hz), func() bool {
			kw, hz := latest()
			return math.Abs(kw-tt.kw) < 0.6 && math.Abs(hz-tt.hz) < 0.011
		})
	}
	c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", map[string]any{
		"deviceId": "grid", "timestamp": 1703123456789,
		"data": map[string]any{"soc": 0, "voltage": 0, "current": 0, "power": 5, "temperature": 20, "status": "idle", "frequency": 49.98},
	})
	var l struct{ Data map[string]any }
	c.get(t, "/api/v1/devices/grid/latest", &l)
	if l.Data["frequency"] != 49.98 {
		t.Errorf("latest shows %v, want the frequency that was pushed", l.Data)
	}
}

//go:build !nosim && unix

package main

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/harness/backend"
)

// TestLimitsOnRealWires: what a configuration sets for devices on Modbus, SunSpec, and Modbus
// with CAN is never exceeded in the registers and at the terminals of the emulators, whatever
// commands ask for: cap and ramp at every moment, and the windows of charge, voltage and
// temperature once they are left.
func TestLimitsOnRealWires(t *testing.T) {
	const capKW, rampKWPerS = 60.0, 40.0
	ids := []string{"reg-1", "sun-1", "two-1"}
	port := ports(t, 5)
	p := fresh(t, "YUNCHU_TOKEN="+rigToken)
	p.write(t, "rig.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Rig
backend: {address: "tcp://127.0.0.1:%d"}
devices:
  - {id: reg-1, soc: 50, serve: {modbus: {address: "tcp://127.0.0.1:%d", profile: pcs-generic}}}
  - {id: sun-1, soc: 50, serve: {sunspec: {address: "tcp://127.0.0.1:%d"}}}
  - {id: two-1, soc: 50, serve: {modbus: {address: "tcp://127.0.0.1:%d", profile: pcs-generic}, can: {address: "slcan://127.0.0.1:%d", dbc: ecube-hv-pcs}}}
`, port[0], port[1], port[2], port[3], port[4]))
	limits := fmt.Sprintf("poll: 100ms, limits: {cap_kw: %g, ramp_kw_per_s: %g, soc_percent: [20, 80], voltage_v: [500, 1000], temperature_c: [5, 45]}", capKW, rampKWPerS)
	p.write(t, "plant.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Config
devices:
  - {id: reg-1, device: modbus, address: "tcp://127.0.0.1:%[1]d", profile: pcs-generic, %[5]s}
  - {id: sun-1, device: sunspec, address: "tcp://127.0.0.1:%[2]d", %[5]s}
  - {id: two-1, parts: {pcs: {device: modbus, address: "tcp://127.0.0.1:%[3]d", profile: pcs-generic}, bms: {device: can, address: "slcan://127.0.0.1:%[4]d", dbc: ecube-hv-pcs}}, %[5]s}
guard: {commands_per_s: 1000}
`, port[1], port[2], port[3], port[4], limits))
	rig := p.start(t, "rig", "rig.yaml")
	eventually(t, "the rig is ready", func() bool { return strings.Contains(rig.stdout.String(), "ready") })
	back, err := backend.Dial(t.Context(), fmt.Sprintf("tcp://127.0.0.1:%d", port[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	_, c := serving(t, p, "-c", "plant.yaml")
	c.token = rigToken
	n := 0
	ask := func(id, command string, parameters map[string]any) string {
		n++
		status, answer, err := c.try(http.MethodPost, "/api/v1/device/control", order{
			Device: id, ID: fmt.Sprint("limit-", n), Command: command, Parameters: parameters,
		})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(status, " ", string(answer))
	}
	for _, id := range ids {
		eventually(t, id+" can be armed", func() bool { return strings.HasPrefix(ask(id, "arm", nil), "202") })
	}
	for _, id := range ids {
		eventually(t, id+" is armed", func() bool {
			var d struct{ State string }
			c.get(t, "/api/v1/devices/"+id, &d)
			return d.State == "active"
		})
		var l struct {
			Acting struct {
				Voltage [2]float64 `json:"voltage_v"`
			}
			ActingBy struct {
				Voltage [2]string `json:"voltage_v"`
				SoC     [2]string `json:"soc_percent"`
			}
		}
		c.get(t, "/api/v1/devices/"+id+"/limits", &l)
		if v := l.Acting.Voltage; !(v[0] > 500 && v[1] < 1000) || l.ActingBy.Voltage != [2]string{"device", "device"} || l.ActingBy.SoC != [2]string{"configured", "configured"} {
			t.Errorf("%s is kept to %+v, want the window of voltage that it tells of itself", id, l)
		}
	}

	watch := watched(t, back, ids)
	// all asks every device for a power again and again, until each of them answers so and
	// holds one.
	all := func(what string, asked float64, answer string, holds func(x backend.Truth) bool) {
		t.Helper()
		eventually(t, what, func() bool {
			there := true
			for _, id := range ids {
				got := ask(id, "setPower", map[string]any{"power": asked, "duration": 3, "priority": "high"})
				there = there && strings.Contains(got, answer) && holds(watch.last(id))
			}
			return there
		})
	}
	at := func(kw float64) func(backend.Truth) bool {
		return func(x backend.Truth) bool { return math.Abs(x.SetKW-kw) < 0.2 && math.Abs(x.PowerKW-kw) < 1 }
	}
	none := func(x backend.Truth) bool { return x.SetKW == 0 && math.Abs(x.PowerKW) < 1 }
	narrow := func(l map[string]any) {
		t.Helper()
		for _, id := range ids {
			c.do(t, http.StatusOK, http.MethodPut, "/api/v1/devices/"+id, map[string]any{"limits": l})
		}
	}
	shut := func(why string, asked float64) {
		t.Helper()
		why = "no power in this direction now: " + why
		all(why, asked, why, none)
		watch.forbid(asked)
		for range 10 { // and it stays so while commands ask for more
			all(why, asked, why, none)
			time.Sleep(50 * time.Millisecond)
		}
		watch.forbid(0)
	}
	all("charges with the cap", 100, "cap", at(capKW))
	all("discharges with the cap", -100, "cap", at(-capKW))
	narrow(map[string]any{"soc_percent": [2]float64{20, 40}})
	shut("state of charge high", 100)
	narrow(map[string]any{})
	all("charges again", 100, "cap", at(capKW))
	narrow(map[string]any{"voltage_v": [2]float64{500, 600}})
	shut("voltage high", 100)
	narrow(map[string]any{"voltage_v": [2]float64{950, 1000}})
	shut("voltage low", -100)
	narrow(map[string]any{})
	for _, id := range ids {
		if _, err := back.Inject(t.Context(), id, backend.Fault{Kind: "overheat", ToC: 50}); err != nil {
			t.Fatal(err)
		}
	}
	shut("temperature high", 100)
	shut("temperature high", -100)
	watch.end(capKW, rampKWPerS)
}

// watching is what the perfect instruments of a rig have shown.
type watching struct {
	t    *testing.T
	stop func()

	mu        sync.Mutex
	all       map[string][]backend.Truth
	forbidden float64 // a power of this sign must not be held; 0: none is forbidden
}

func watched(t *testing.T, back *backend.Client, ids []string) *watching {
	w := &watching{t: t, all: map[string][]backend.Truth{}}
	done := make(chan struct{})
	var over sync.WaitGroup
	over.Go(func() {
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			for _, id := range ids {
				x, err := back.Truth(t.Context(), id)
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				w.mu.Lock()
				w.all[id] = append(w.all[id], x)
				if w.forbidden*x.SetKW > 0 {
					t.Errorf("%s holds %g kW, which is forbidden", id, x.SetKW)
				}
				w.mu.Unlock()
			}
		}
	})
	w.stop = sync.OnceFunc(func() { close(done); over.Wait() })
	t.Cleanup(w.stop)
	return w
}

func (w *watching) last(id string) (x backend.Truth) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.all[id]); n > 0 {
		x = w.all[id][n-1]
	}
	return x
}

func (w *watching) forbid(kw float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forbidden = kw
}

// end holds all that was seen against cap and ramp. The way to 0 is one that no ramp delays
// where it is a correction or an expiry: away from there the ramp holds.
func (w *watching) end(capKW, ramp float64) {
	w.stop()
	for id, list := range w.all {
		most := 0.0
		for i, x := range list {
			if most = max(most, math.Abs(x.SetKW)); math.Abs(x.SetKW) > capKW+0.01 || math.Abs(x.PowerKW) > capKW+1 {
				w.t.Fatalf("%s was told %g kW and had %g kW, the cap is %g kW", id, x.SetKW, x.PowerKW, capKW)
			}
			for _, y := range list[i+1:] {
				if y.At.Sub(x.At) > 900*time.Millisecond {
					break
				}
				if away := math.Abs(y.SetKW) > math.Abs(x.SetKW) && x.SetKW*y.SetKW >= 0; away && math.Abs(y.SetKW-x.SetKW) > ramp+0.1 {
					w.t.Fatalf("%s went from %g kW to %g kW within %v, the ramp is %g kW/s", id, x.SetKW, y.SetKW, y.At.Sub(x.At), ramp)
				}
			}
		}
		if most < capKW-0.2 || len(list) < 50 {
			w.t.Errorf("%s: %d looks, at most %g kW: the test has not seen what it is about", id, len(list), most)
		}
	}
}

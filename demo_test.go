//go:build !nosim

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo plays the two test cases of the design over real HTTP against the
// demo, and looks at what is open and what is closed around them.
func TestDemo(t *testing.T) {
	const token = "engineer-token-of-the-tests"
	p := fresh(t, "YUNCHU_TOKEN="+token)
	x := p.start(t, "demo", "--listen", "127.0.0.1:0")
	base, viewer, ok := strings.Cut(x.says(t, "portal: "), "/#token=")
	if !ok || strings.HasSuffix(base, ":0") || !strings.HasPrefix(base, "http://127.0.0.1:") {
		t.Fatalf("portal at %q with a viewer token %q", base, viewer)
	}
	c := client{base: base, token: token}
	page := client{base: base}.do(t, http.StatusOK, http.MethodGet, "/", nil)
	if !bytes.Contains(page, []byte("<script")) {
		t.Errorf("the portal is %.200q", page)
	}
	eventually(t, "a fleet of 100 that is followed by readings", func() bool {
		status, _, err := c.try(http.MethodGet, "/api/v1/devices/ess-100/latest", nil)
		return err == nil && status == http.StatusOK
	})

	t.Run("a reading of TEST_DEVICE_001 is read back", func(t *testing.T) { readBack(t, c) })
	t.Run("setPower 50 for an hour", func(t *testing.T) { setPower(t, c) })
	t.Run("the same through GraphQL", func(t *testing.T) { graphQL(t, c) })
	t.Run("who may do what", func(t *testing.T) { access(t, c, viewer) })
	t.Run("it stops", func(t *testing.T) {
		if code := x.signal(t, os.Interrupt); code != exitPassed {
			t.Errorf("exit code %d after Ctrl-C, want %d", code, exitPassed)
		}
		p.leavesNothing(t)
		if left, err := os.ReadDir(p.dir); err != nil || len(left) > 0 {
			t.Errorf("left in the working folder: %v, %v", left, err)
		}
	})
}

// graphQL commands a twin and sees it act.
func graphQL(t *testing.T, c client) {
	acks := c.subscribe(t, `subscription { acks(devices: "ess-002") { commandId status power } }`)
	var done struct {
		Control struct {
			Typename string `json:"__typename"`
			Power    float64
		}
	}
	// The subscription may be taken in after a command that is sent at once.
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		var ack struct {
			Acks struct {
				CommandID, Status string
				Power             float64
			}
		}
		if next(t, acks, &ack); ack.Acks.Status != "done" || ack.Acks.Power != -20 {
			t.Errorf("the subscriber hears %+v", ack)
		}
	}()
	for n := 0; ; n++ {
		c.ask(t, fmt.Sprintf(`mutation { control(input: {deviceId: "ess-002", commandId: "graph-%d", command: setPower, parameters: {power: -20, duration: 600}}) {
			__typename ... on CommandDone { power }
		} }`, n), &done)
		if done.Control.Typename != "CommandDone" || done.Control.Power != -20 {
			t.Fatalf("control is answered %+v", done)
		}
		select {
		case <-heard:
		case <-time.After(100 * time.Millisecond):
			continue
		}
		break
	}
	eventually(t, "a twin that discharges with 20 kW", func() bool {
		var got struct {
			Device struct{ Latest struct{ Power float64 } }
		}
		c.ask(t, `{ device(id: "ess-002") { latest { power } } }`, &got)
		return got.Device.Latest.Power == -20
	})
	var got struct {
		Fleet      struct{ Devices, Online int }
		Aggregates []struct{ Devices int }
		Device     struct{ Commands []struct{ CommandID string } }
	}
	c.ask(t, `{ fleet { devices online } aggregates(by: kind, filter: {kind: "sim"}) { devices } device(id: "ess-002") { commands(first: 1) { commandId } } }`, &got)
	if got.Fleet.Online < 100 || len(got.Aggregates) != 1 || got.Aggregates[0].Devices != 100 || len(got.Device.Commands) != 1 || !strings.HasPrefix(got.Device.Commands[0].CommandID, "graph-") {
		t.Errorf("the demo shows %+v", got)
	}
}

// readBack is the first test case of the design.
func readBack(t *testing.T, c client) {
	sent := reading{
		Device: "TEST_DEVICE_001", Timestamp: time.Now().UnixMilli(),
		Data: values{SoC: 75.5, Voltage: 382.4, Current: 125.6, Power: 48.1, Temperature: 25.3, Status: "charging"},
	}
	var answer struct{ Code string }
	decode(t, c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", sent), &answer)
	if answer.Code != "SUCCESS" {
		t.Fatalf("sync answers %+v", answer)
	}
	var got reading
	c.get(t, "/api/v1/devices/TEST_DEVICE_001/latest", &got) // at once: what is acknowledged is there
	if got.Device != sent.Device || got.Timestamp != sent.Timestamp || got.Data != sent.Data || got.Quality != "good" {
		t.Errorf("latest is\n%+v, sent\n%+v", got, sent)
	}
	all := c.history(t, "TEST_DEVICE_001")
	if len(all) != 1 || all[0].Timestamp != sent.Timestamp || all[0].Data != sent.Data {
		t.Errorf("history is\n%+v, sent\n%+v", all, sent)
	}
	// The same again changes nothing; a later one is the latest.
	c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", sent)
	if n := len(c.history(t, "TEST_DEVICE_001")); n != 1 {
		t.Errorf("%d readings after the same one was sent twice, want 1", n)
	}
	sent.Timestamp++
	sent.Data.SoC = 75.6
	c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", []reading{sent})
	c.get(t, "/api/v1/devices/TEST_DEVICE_001/latest", &got)
	if got.Data.SoC != 75.6 {
		t.Errorf("latest has soc %v after 75.6 was sent", got.Data.SoC)
	}
}

// setPower is the second test case of the design.
func setPower(t *testing.T, c client) {
	const unit = "ess-001"
	latest := func() (r reading) {
		c.get(t, "/api/v1/devices/"+unit+"/latest", &r)
		return r
	}
	began := time.Now()
	body := c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/control", order{ // after a second it would be 202
		Device: unit, ID: "CMD_20231201_001", Command: "setPower", Timestamp: began.UnixMilli(),
		Parameters: map[string]any{"power": 50.0, "duration": 3600, "priority": "high"},
	})
	if string(bytes.TrimSpace(body)) != `{"code":"SUCCESS"}` {
		t.Errorf("control answers %s", body)
	}
	eventually(t, "power of exactly 50.0 kW", func() bool { return latest().Data.Power == 50 })
	for _, r := range c.history(t, unit) { // by their own time, however long it takes to ask
		if late := r.Timestamp - began.UnixMilli(); late > 2000 && r.Data.Power != 50 {
			t.Errorf("power %v kW %d ms after the command, want 50 within 2 s", r.Data.Power, late)
		}
	}

	// It stays there while dispatch moves the others around it.
	first, until := latest(), time.Now().Add(5*time.Second)
	readings := map[int64]bool{}
	for time.Now().Before(until) {
		r := latest()
		readings[r.Timestamp] = true
		if r.Data.Power != 50 || r.Data.Status != "charging" {
			t.Fatalf("%.1f s after the command: %+v", time.Since(began).Seconds(), r)
		}
		time.Sleep(100 * time.Millisecond) // between two looks
	}
	if r := latest(); r.Timestamp-first.Timestamp < 4000 || len(readings) < 9 {
		t.Errorf("%d readings in 5 s, up to %d ms after the first: a unit reports at least every 500 ms", len(readings), r.Timestamp-first.Timestamp)
	}
	// Somebody weaker is told who holds it; somebody who repeats himself is heard once.
	weak := order{Device: unit, ID: "weak", Command: "setPower", Parameters: map[string]any{"power": 10, "priority": "low"}}
	if b := c.do(t, http.StatusConflict, http.MethodPost, "/api/v1/device/control", weak); !bytes.Contains(b, []byte(`"HELD"`)) {
		t.Errorf("a weaker command is answered %s", b)
	}
	c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/control", order{
		Device: unit, ID: "go", Command: "release", Parameters: map[string]any{"priority": "high"},
	})
	eventually(t, "dispatch having the unit again", func() bool { return latest().Data.Power != 50 })
}

// access looks at who may do what.
func access(t *testing.T, c client, viewer string) {
	nobody := client{base: c.base}
	for _, path := range []string{"/", "/healthz"} {
		nobody.do(t, http.StatusOK, http.MethodGet, path, nil)
	}
	for _, path := range []string{
		"/api/v1/devices", "/api/v1/devices/ess-001/latest", "/api/v1/devices/ess-001/history", "/api/v1/dispatch",
		"/api/v1/system", "/api/v1/tokens", "/openapi.json", "/metrics", "/api/v1/ws", "/api/v1/devices/no-such/latest",
	} {
		nobody.do(t, http.StatusUnauthorized, http.MethodGet, path, nil)
		client{base: c.base, token: "yc_viewer_wrong"}.do(t, http.StatusUnauthorized, http.MethodGet, path, nil)
	}
	for _, path := range []string{"/api/v1/device/data/sync", "/api/v1/device/control", "/api/v1/tokens"} {
		nobody.do(t, http.StatusUnauthorized, http.MethodPost, path, map[string]string{})
	}
	look := client{base: c.base, token: viewer}
	for _, path := range []string{"/api/v1/devices", "/api/v1/devices/ess-001/latest", "/api/v1/dispatch", "/api/v1/system", "/openapi.json"} {
		look.do(t, http.StatusOK, http.MethodGet, path, nil)
	}
	move := order{Device: "ess-002", ID: "by-a-viewer", Command: "setPower", Parameters: map[string]any{"power": 1}}
	for _, refused := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPost, "/api/v1/device/control", move},
		{http.MethodPost, "/api/v1/device/data/sync", reading{Device: "X", Timestamp: time.Now().UnixMilli(), Data: values{Status: "idle"}}},
		{http.MethodPut, "/api/v1/dispatch", map[string]any{"enabled": false}},
		{http.MethodPost, "/api/v1/tokens", map[string]any{"role": "admin"}},
		{http.MethodPut, "/api/v1/devices/ess-002", map[string]any{"model": "x"}},
	} {
		body := look.do(t, http.StatusForbidden, refused.method, refused.path, refused.body)
		var problem struct{ Code, Hint string }
		decode(t, body, &problem)
		if problem.Code == "" {
			t.Errorf("%s %s is refused with %s", refused.method, refused.path, body)
		}
	}
	if b := c.do(t, http.StatusOK, http.MethodGet, "/metrics", nil); !bytes.Contains(b, []byte("\nyunchu_")) {
		t.Errorf("no metric of ours in %.300s", b)
	}
	var api struct {
		OpenAPI string
		Paths   map[string]any
	}
	c.get(t, "/openapi.json", &api)
	for _, path := range []string{"/api/v1/device/data/sync", "/api/v1/device/control", "/api/v1/devices/{id}/latest", "/healthz"} {
		if api.Paths[path] == nil {
			t.Errorf("openapi.json %s does not know %s", api.OpenAPI, path)
		}
	}
	var system struct {
		Simulation   bool
		Tags         []string
		BinarySHA256 string `json:"binary_sha256"`
	}
	c.get(t, "/api/v1/system", &system)
	if !system.Simulation || len(system.BinarySHA256) != 64 {
		t.Errorf("system says %+v of a simulation", system)
	}
}

// TestDemoPortTaken: an address that is in use is said, and nothing is left.
func TestDemoPortTaken(t *testing.T) {
	p := fresh(t)
	x := p.start(t, "demo", "--listen", "127.0.0.1:0")
	base, _, _ := strings.Cut(x.says(t, "portal: "), "/#")
	address := strings.TrimPrefix(base, "http://")
	other := fresh(t)
	for _, args := range [][]string{{"demo", "--listen", address}, {"serve", "--listen", address}} {
		o := other.run(t, args...)
		if o.code != exitEnvironment || !strings.Contains(o.stderr, address) || !strings.Contains(o.stderr, "in use") {
			t.Errorf("yunchu %s on an address in use: exit code %d, want %d, and %q", args[0], o.code, exitEnvironment, o.stderr)
		}
	}
	other.leavesNothing(t)
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Errorf("exit code %d after SIGTERM, want %d", code, exitPassed)
	}
	if s := fmt.Sprint(x.stderr); strings.Contains(s, "level=ERROR") {
		t.Errorf("errors in an ordinary life:\n%s", s)
	}
}

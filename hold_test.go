//go:build !nosim

package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const twoUnits = `apiVersion: yunchu/v1
kind: Config
simulation: true
devices:
  - {id: unit-1, device: sim, model: ess-100kw-215kwh, soc: 50}
  - {id: unit-2, device: sim, model: ess-100kw-215kwh, soc: 50}
`

// TestKillKeepsCommands: what the runtime has promised about commands outlives a
// power cut: a hold holds, and the same commandId takes effect once.
func TestKillKeepsCommands(t *testing.T) {
	const token = "token-of-an-operator"
	p := fresh(t, "YUNCHU_TOKEN="+token)
	if err := os.WriteFile(filepath.Join(p.dir, "plant.yaml"), []byte(twoUnits), 0o600); err != nil {
		t.Fatal(err)
	}
	x, c := serving(t, p, "-c", "plant.yaml")
	c.token = token
	send := func(want int, device, id, command string, parameters map[string]any) []byte {
		t.Helper()
		return c.do(t, want, http.MethodPost, "/api/v1/device/control", order{Device: device, ID: id, Command: command, Parameters: parameters})
	}
	take := func(device, id, command string, parameters map[string]any) { // a slow machine may need more than a second
		t.Helper()
		status, answer, err := c.try(http.MethodPost, "/api/v1/device/control", order{Device: device, ID: id, Command: command, Parameters: parameters})
		if err != nil || status != http.StatusOK && status != http.StatusAccepted {
			t.Fatalf("command %s: status %d: %s, %v", id, status, answer, err)
		}
	}
	power := func(device string) float64 {
		var r reading
		c.get(t, "/api/v1/devices/"+device+"/latest", &r)
		return r.Data.Power
	}
	seen := func(device string) bool {
		status, _, err := c.try(http.MethodGet, "/api/v1/devices/"+device+"/latest", nil)
		return err == nil && status == http.StatusOK
	}
	eventually(t, "readings of both units", func() bool { return seen("unit-1") && seen("unit-2") })
	once := map[string]any{"power": 40.0, "duration": 3600}
	take("unit-1", "once", "setPower", once)
	eventually(t, "unit-1 at 40 kW", func() bool { return power("unit-1") == 40 })
	take("unit-1", "let go", "release", nil)
	eventually(t, "unit-1 at rest", func() bool { return power("unit-1") == 0 })
	take("unit-2", "hold", "setPower", map[string]any{"power": 30.0, "duration": 3600, "priority": "high"})

	x.kill(t)
	x, c = serving(t, p, "-c", "plant.yaml")
	c.token = token
	eventually(t, "readings of both units", func() bool { return seen("unit-1") && seen("unit-2") })
	take("unit-1", "once", "setPower", once) // its answer, without a second effect
	if b := send(http.StatusConflict, "unit-2", "weaker", "setPower", map[string]any{"power": 5.0}); !bytes.Contains(b, []byte(`"HELD"`)) {
		t.Errorf("a weaker command after the power cut is answered %s", b)
	}
	// Whoever asks for something else under a commandId that was used is not told that it is done.
	for command, parameters := range map[string]map[string]any{"setPower": {"power": 41.0, "duration": 3600}, "stop": nil, "disarm": nil} {
		if b := send(http.StatusConflict, "unit-1", "once", command, parameters); !bytes.Contains(b, []byte(`"COMMAND_ID_USED"`)) {
			t.Errorf("another command, %s %v, under a commandId that was used is answered %s", command, parameters, b)
		}
		var got struct{ Control struct{ Code string } }
		in := "command: " + command
		if parameters != nil {
			in += ", parameters: {power: 41}"
		}
		c.ask(t, `mutation { control(input: {deviceId: "unit-1", commandId: "once", `+in+`}) { ... on CommandRefused { code } } }`, &got)
		if got.Control.Code != "COMMAND_ID_USED" {
			t.Errorf("GraphQL answers %s with %q", in, got.Control.Code)
		}
	}
	until := time.Now().Add(1500 * time.Millisecond)
	for time.Now().Before(until) {
		if kw := power("unit-1"); kw != 0 {
			t.Fatalf("unit-1 is at %v kW: a commandId took effect twice", kw)
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
	take("unit-2", "stronger", "setPower", map[string]any{"power": 20.0, "priority": "high"})
	eventually(t, "unit-2 at 20 kW", func() bool { return power("unit-2") == 20 })
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Errorf("exit code %d, want %d", code, exitPassed)
	}
}

// TestServeRefusesSimulation: production takes no twin for a battery unless it is
// told to.
func TestServeRefusesSimulation(t *testing.T) {
	p := fresh(t)
	text := bytes.Replace([]byte(twoUnits), []byte("simulation: true\n"), nil, 1)
	if err := os.WriteFile(filepath.Join(p.dir, "plant.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	o := p.run(t, "serve", "-c", "plant.yaml", "--listen", "127.0.0.1:0")
	if o.code != exitInput || !bytes.Contains([]byte(o.stderr), []byte("simulation: true")) {
		t.Errorf("exit code %d, want %d, and %q", o.code, exitInput, o.stderr)
	}
}

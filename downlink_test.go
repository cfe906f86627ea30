//go:build linux && !nosim

package main

import (
	"crypto/tls"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestCommandsBehindALink: a device of a site in a network of its own is armed and commanded
// from the plant, through the guards of both. While the link is cut commands are refused, its
// setpoint ends by its lease, and nothing of the past moves it when the link is mended.
func TestCommandsBehindALink(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	plant, site := fresh(t, "YUNCHU_TOKEN="+rigToken), fresh(t, "YUNCHU_TOKEN="+rigToken)
	site.by = []string{"ip", "netns", "exec", n.name}
	certificateFor(t, plant.dir, n.plant)
	port := ports(t, 1)[0]
	pem, err := os.ReadFile(filepath.Join(plant.dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	site.write(t, "plant.pem", string(pem))
	plant.write(t, "north.secret", "a secret of the north\n")
	site.write(t, "north.secret", "a secret of the north\n")
	plant.write(t, "plant.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Config
tls: {cert: cert.pem, key: key.pem}
sites:
  listen: "%s:%d"
  list:
    - {name: north, secret_file: north.secret}
`, n.plant, port))
	site.write(t, "site.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Config
simulation: true
devices:
  - {id: north-1, device: sim}
edge: {name: north, plant: "tls://%s:%d", secret_file: north.secret, ca: plant.pem}
`, n.plant, port))
	atPlant, pc := serving(t, plant, "-c", "plant.yaml")
	pc.token, pc.by = rigToken, &http.Client{Timeout: hung, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // of this test's own making
	atSite, sc := serving(t, site, "--role", "edge", "-c", "site.yaml")
	sc.token, sc.by = rigToken, n.inside()

	sent := 0
	send := func(c client, command string, parameters map[string]any) string {
		t.Helper()
		sent++
		status, answer, err := c.try(http.MethodPost, "/api/v1/device/control", order{
			Device: "north-1", ID: fmt.Sprintf("%s-%d", command, sent), Command: command, Parameters: parameters,
		})
		if err != nil {
			t.Fatal(err)
		}
		var a struct{ Code string }
		decode(t, answer, &a)
		return fmt.Sprint(status, " ", a.Code)
	}
	power := func(c client) float64 {
		status, body, err := c.try(http.MethodGet, "/api/v1/devices/north-1/latest", nil)
		if err != nil || status != http.StatusOK {
			return math.NaN()
		}
		var r struct{ Data struct{ Power float64 } }
		decode(t, body, &r)
		return r.Data.Power
	}
	at := func(c client, kw float64, what string) {
		t.Helper()
		eventually(t, what, func() bool { return math.Abs(power(c)-kw) < 0.5 })
	}
	arm := func() {
		t.Helper()
		eventually(t, "it can be armed at the plant", func() bool { return send(pc, "arm", nil) == "202 ACCEPTED" })
		eventually(t, "it is armed at the plant", func() bool {
			var d struct{ State string }
			pc.get(t, "/api/v1/devices/north-1", &d)
			return d.State == "active"
		})
	}

	eventually(t, "the plant hears of the device, and asks to have it armed", func() bool { return send(pc, "setPower", hold) == "409 NOT_ARMED" })
	arm()
	if got := send(pc, "setPower", hold); got != "200 SUCCESS" {
		t.Fatalf("setPower at the plant: %s", got)
	}
	at(sc, 50, "the device follows at its site")
	at(pc, 50, "the plant sees it")
	if got := send(pc, "setPower", map[string]any{"power": 1e6, "duration": 60}); got != "409 OUT_OF_RANGE" {
		t.Errorf("far beyond its rating: %s", got)
	}
	// The site's own guard has the last word.
	if got := send(sc, "setMode", map[string]any{"mode": "maintenance"}); got != "200 SUCCESS" {
		t.Fatalf("maintenance at the site: %s", got)
	}
	if got := send(pc, "setPower", hold); got[:3] != "409" {
		t.Errorf("a command for a device that its site works on: %s", got)
	}
	at(sc, 0, "it rests while people work on it")
	if got := send(sc, "setMode", map[string]any{"mode": "run"}); got != "200 SUCCESS" {
		t.Fatalf("back to run: %s", got)
	}
	eventually(t, "the plant commands it again", func() bool {
		switch got := send(pc, "setPower", hold); got {
		case "200 SUCCESS":
			return true
		case "409 NOT_ARMED":
			arm()
		}
		return false
	})
	at(sc, 50, "it follows again")

	n.cut(t, true)
	eventually(t, "without the link commands are refused", func() bool {
		got := send(pc, "setPower", map[string]any{"power": 70, "duration": 3600})
		return got[:3] == "409"
	})
	at(sc, 0, "its setpoint ends with its lease")
	for range 3 {
		if got := send(pc, "setPower", map[string]any{"power": 70, "duration": 3600}); got[:3] == "200" {
			t.Errorf("a command without the link: %s", got)
		}
	}
	n.cut(t, false)
	eventually(t, "the plant sees it again", func() bool {
		got := send(pc, "setPower", map[string]any{"power": 0, "duration": 60})
		return got == "200 SUCCESS" || got == "409 NOT_ARMED"
	})
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if kw := power(sc); math.Abs(kw) > 0.5 {
			t.Fatalf("after the link was mended %v kW flow, which nobody means", kw)
		}
	}
	for _, x := range []*process{atSite, atPlant} {
		if code := x.signal(t, os.Interrupt); code != exitPassed && code != exitInterrupted {
			t.Errorf("exit code %d", code)
		}
	}
}

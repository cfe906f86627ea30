//go:build !nosim

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const limitedUnit = `apiVersion: yunchu/v1
kind: Config
simulation: true
devices:
  - {id: unit-1, device: sim, soc: 50, limits: {cap_kw: 40, soc_percent: [10, 90]}}
guard: {lease: 1h, commands_per_s: 1000}
`

// TestLimitsOfAConfiguration: what the file says binds whoever commands; the API makes it
// tighter, at once and across a power cut, and no wider.
func TestLimitsOfAConfiguration(t *testing.T) {
	const token = "token-of-an-engineer"
	p := fresh(t, "YUNCHU_TOKEN="+token)
	if err := os.WriteFile(filepath.Join(p.dir, "plant.yaml"), []byte(limitedUnit), 0o600); err != nil {
		t.Fatal(err)
	}
	x, c := serving(t, p, "-c", "plant.yaml")
	c.token = token
	const unit = "/api/v1/devices/unit-1"
	power := func() float64 {
		var r reading
		if status, _, err := c.try(http.MethodGet, unit+"/latest", nil); err != nil || status != http.StatusOK {
			return -1
		}
		c.get(t, unit+"/latest", &r)
		return r.Data.Power
	}
	n := 0
	ask := func(kw, duration float64) (status int, answer string) {
		t.Helper()
		n++
		status, b, err := c.try(http.MethodPost, "/api/v1/device/control", order{
			Device: "unit-1", ID: fmt.Sprint("limits-", n), Command: "setPower",
			Parameters: map[string]any{"power": kw, "duration": duration, "priority": "high"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return status, string(b)
	}
	take := func(kw float64) { // a slow machine may need more than a second
		t.Helper()
		status, answer := ask(kw, 3600)
		if status != http.StatusOK && status != http.StatusAccepted || status == http.StatusOK && !strings.Contains(answer, `"reason":"reduced from 80 kW: cap"`) {
			t.Errorf("%g kW are answered %d %s", kw, status, answer)
		}
	}
	put := func(want int, body map[string]any) string {
		t.Helper()
		return string(c.do(t, want, http.MethodPut, unit, body))
	}
	cap := func(kw float64) map[string]any { return map[string]any{"limits": map[string]any{"cap_kw": kw}} }

	eventually(t, "a reading", func() bool { return power() == 0 })
	if status, b := ask(10, 3601); status != http.StatusAccepted && (status != http.StatusConflict || !strings.Contains(b, `"LEASE"`)) {
		t.Errorf("a setpoint beyond the lease: %d %s", status, b)
	}
	take(80)
	eventually(t, "40 kW, the cap of the file", func() bool { return power() == 40 })

	if b := put(http.StatusConflict, cap(41)); !strings.Contains(b, `"LIMIT_WIDENED"`) {
		t.Errorf("a wider cap: %s", b)
	}
	put(http.StatusOK, map[string]any{"ratedKw": 500}) // which raises no limit
	put(http.StatusOK, cap(20))
	eventually(t, "20 kW: the cap of the API acts on what is in force", func() bool { return power() == 20 })

	x.kill(t)
	_, c = serving(t, p, "-c", "plant.yaml")
	c.token = token
	var info struct{ Limits, ConfiguredLimits map[string]any }
	c.get(t, unit, &info)
	if fmt.Sprint(info.Limits) != "map[cap_kw:20]" || fmt.Sprint(info.ConfiguredLimits) != "map[cap_kw:40 soc_percent:[10 90]]" {
		t.Errorf("after the power cut: %+v", info)
	}
	eventually(t, "a reading", func() bool { return power() >= 0 })
	take(80)
	eventually(t, "20 kW, the cap of the API", func() bool { return power() == 20 })
	var kept struct {
		Configured, Set, Acting map[string]any
		Envelope                struct {
			MinKW, MaxKW float64
			MinBy, MaxBy string
		}
	}
	c.get(t, unit+"/limits", &kept)
	if fmt.Sprint(kept.Configured["cap_kw"], kept.Set["cap_kw"], kept.Acting["cap_kw"], kept.Envelope) != "40 20 20 {-20 20 cap cap}" {
		t.Errorf("the limits are %+v", kept)
	}
	status, answer, err := c.try(http.MethodPost, "/graphql", map[string]any{
		"query": `{device(id: "unit-1") {limits {configured {capKw} set {capKw} acting {capKw socPercent {min max} rampKwPerS} envelope {minKw minBy maxKw maxBy}}}}`,
	})
	const want = `{"configured":{"capKw":40},"set":{"capKw":20},"acting":{"capKw":20,"socPercent":{"min":10,"max":90},"rampKwPerS":null},` +
		`"envelope":{"minKw":-20,"minBy":"cap","maxKw":20,"maxBy":"cap"}}`
	if err != nil || status != http.StatusOK || !strings.Contains(string(answer), want) {
		t.Errorf("%d %s %v, want %s", status, answer, err, want)
	}
	put(http.StatusOK, map[string]any{"limits": map[string]any{}})
	take(80)
	eventually(t, "40 kW again", func() bool { return power() == 40 })
}

package api_test

import (
	"fmt"
	"testing"

	"yunchu/platform/device"
)

// Who has the API may make the limits of a device tighter, and never wider than the
// configuration.
func TestLimitsAreOnlyTightened(t *testing.T) {
	w := newWorld(t)
	configured := device.Limits{CapKW: 80, RampKWPerS: 20, SoC: device.Span{10, 90}, Voltage: device.Span{600, 800}}
	if _, err := w.Register(t.Context(), device.Info{ID: "ess", Kind: "sim", RatedKW: 100, SoCMin: 5, SoCMax: 95, Limits: configured}); err != nil {
		t.Fatal(err)
	}
	put := func(body string) answer { return w.do("PUT", "/api/v1/devices/ess", "engineer", body) }
	m := put(`{"limits":{"cap_kw":60,"soc_percent":[20,80],"temperature_c":[5,45]}}`).want(200, "").json()
	if fmt.Sprint(m["limits"]) != "map[cap_kw:60 soc_percent:[20 80] temperature_c:[5 45]]" {
		t.Errorf("limits %v", m["limits"])
	}
	if fmt.Sprint(m["configuredLimits"]) != "map[cap_kw:80 ramp_kw_per_s:20 soc_percent:[10 90] voltage_v:[600 800]]" {
		t.Errorf("configured %v", m["configuredLimits"])
	}
	for _, body := range []string{
		`{"limits":{"cap_kw":80.5}}`,
		`{"limits":{"ramp_kw_per_s":21}}`,
		`{"limits":{"soc_percent":[9,80]}}`,
		`{"limits":{"soc_percent":[20,91]}}`,
		`{"limits":{"voltage_v":[599,700]}}`,
		`{"limits":{"temperature_c":[-5,45]}}`, // the usual window, as the file says none
		`{"limits":{"temperature_c":[5,61]}}`,
		`{"ratedKw":500,"limits":{"cap_kw":100}}`,
	} {
		put(body).want(409, "LIMIT_WIDENED")
	}
	for _, body := range []string{
		`{"limits":{"cap_kw":-1}}`,
		`{"limits":{"soc_percent":[80,20]}}`,
		`{"limits":{"soc_percent":[20]}}`,
		`{"limits":{"soc_percent":[20,30,40]}}`,
		`{"limits":{"soc_percent":"20"}}`,
		`{"limits":{"soc_percent":[40,40.5]}}`,
		`{"limits":{"voltage_v":[600,99999]}}`,
		`{"limits":{"cap":10}}`,
		`{"configuredLimits":{}}`,
	} {
		put(body).want(400, "INVALID_REQUEST")
	}
	w.do("PUT", "/api/v1/devices/ess", "operator", `{"limits":{"cap_kw":10}}`).want(403, "FORBIDDEN")

	m = put(`{"model":"m"}`).want(200, "").json()
	if fmt.Sprint(m["limits"]) != "map[cap_kw:60 soc_percent:[20 80] temperature_c:[5 45]]" {
		t.Errorf("after a change of something else: %v", m["limits"])
	}
	m = put(`{"limits":{}}`).want(200, "").json()
	if m["limits"] != nil || m["configuredLimits"] == nil {
		t.Errorf("lifted: %v, configured %v", m["limits"], m["configuredLimits"])
	}
	// A device that no file names has no bounds but what can be.
	w.do("PUT", "/api/v1/devices/own", "engineer", `{"ratedKw":100,"limits":{"voltage_v":[40,60],"cap_kw":500}}`).want(200, "")
}

// TestRatingOfAWireIsItsFiles: what the guard sees of a wrong sign or a second master is
// measured against the rating, so the API does not raise that of a configured wire.
func TestRatingOfAWireIsItsFiles(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Register(t.Context(), device.Info{ID: "rig", Kind: "modbus", RatedKW: 100, Limits: device.Limits{CapKW: 100}}); err != nil {
		t.Fatal(err)
	}
	w.do("PUT", "/api/v1/devices/rig", "engineer", `{"ratedKw":2000}`).want(409, "LIMIT_WIDENED")
	w.do("PUT", "/api/v1/devices/rig", "engineer", `{"ratedKw":90}`).want(200, "")
	w.do("PUT", "/api/v1/devices/rig", "engineer", `{"ratedKw":100}`).want(200, "")
}

// TestActingLimitsNameWhoSetsThem: what acts has the windows that the device tells of itself
// where they are the tightest, and each edge says whose it is; over both interfaces.
func TestActingLimitsNameWhoSetsThem(t *testing.T) {
	w := newWorld(t)
	info, err := w.Register(t.Context(), device.Info{
		ID: "ess", Kind: "sim", RatedKW: 100, SoCMin: 5, SoCMax: 95, VoltMin: 600,
		Limits: device.Limits{SoC: device.Span{10, 96}}, Narrowed: device.Limits{Temperature: device.Span{5, 50}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const graph = `{"query":"{device(id: \"ess\") {limits {acting {socPercent {min max minBy maxBy} voltageV {min max minBy maxBy} temperatureC {min max minBy maxBy}}}}}"}`
	check := func(acting, by, acts string) {
		t.Helper()
		m := w.do("GET", "/api/v1/devices/ess/limits", "viewer", "").want(200, "").json()
		if got := fmt.Sprint(m["acting"]); got != acting {
			t.Errorf("acts\n %s\nwant\n %s", got, acting)
		}
		if got := fmt.Sprint(m["actingBy"]); got != by {
			t.Errorf("by\n %s\nwant\n %s", got, by)
		}
		m = w.do("POST", "/graphql", "viewer", graph).want(200, "").json()
		if got := fmt.Sprint(m["data"]); got != "map[device:map[limits:map[acting:"+acts+"]]]" {
			t.Errorf("over GraphQL\n %s\nwant\n %s", got, acts)
		}
	}
	check("map[soc_percent:[10 95] temperature_c:[5 50] voltage_v:[600 0]]",
		"map[soc_percent:[configured nameplate] temperature_c:[set set] voltage_v:[nameplate ]]",
		"map[socPercent:map[max:95 maxBy:nameplate min:10 minBy:configured] temperatureC:map[max:50 maxBy:set min:5 minBy:set] "+
			"voltageV:map[max:<nil> maxBy:<nil> min:600 minBy:nameplate]]")
	own := device.Untold()
	own.SoC[1], own.Voltage[1], own.Temperature[1] = 90, 820, 45
	w.mu.Lock()
	w.own = map[device.Slot]device.OwnWindows{info.Slot: own}
	w.mu.Unlock()
	check("map[soc_percent:[10 90] temperature_c:[5 45] voltage_v:[600 820]]",
		"map[soc_percent:[configured device] temperature_c:[set device] voltage_v:[nameplate device]]",
		"map[socPercent:map[max:90 maxBy:device min:10 minBy:configured] temperatureC:map[max:45 maxBy:device min:5 minBy:set] "+
			"voltageV:map[max:820 maxBy:device min:600 minBy:nameplate]]")
}

package api_test

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"yunchu/platform/api"
	"yunchu/platform/device"
)

// graphAnswer is what a query of GraphQL is answered.
type graphAnswer struct {
	t      testing.TB
	status int
	text   string
	Data   map[string]any
	Errors []struct {
		Message    string
		Path       []any
		Locations  []any
		Extensions map[string]any
	}
}

// ask sends a query over a socket with a role's token, or with none.
func (w *world) ask(role, query string, variables ...any) graphAnswer {
	w.t.Helper()
	in := map[string]any{"query": query}
	if len(variables) > 0 {
		vars := map[string]any{}
		for i := 0; i+1 < len(variables); i += 2 {
			vars[variables[i].(string)] = variables[i+1]
		}
		in["variables"] = vars
	}
	text, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.send(role, http.MethodPost, "/graphql", string(text), "Content-Type", "application/json")
}

func (w *world) send(role, method, path, body string, headers ...string) graphAnswer {
	w.t.Helper()
	if w.http == nil {
		w.listen()
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token := cmp.Or(w.tokens[role], role); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := graphAnswer{t: w.t, status: res.StatusCode, text: string(text)}
	if err := json.Unmarshal(text, &a); err != nil && res.StatusCode == http.StatusOK {
		w.t.Fatalf("not JSON: %v\n%s", err, text)
	}
	return a
}

// code is that of the first error, empty when there is none.
func (a graphAnswer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	code, _ := a.Errors[0].Extensions["code"].(string)
	return code
}

// ok is an answer without errors.
func (a graphAnswer) ok() graphAnswer {
	a.t.Helper()
	if a.status != http.StatusOK || len(a.Errors) > 0 {
		a.t.Fatalf("status %d\n%s", a.status, a.text)
	}
	return a
}

// at is a value of the data: names of fields and indexes of lists.
func (a graphAnswer) at(way ...any) any {
	a.t.Helper()
	var v any = a.Data
	for _, step := range way {
		switch step := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				a.t.Fatalf("no %q of %v in %s", step, way, a.text)
			}
			v = m[step]
		case int:
			list, ok := v.([]any)
			if !ok || step >= len(list) {
				a.t.Fatalf("no element %d of %v in %s", step, way, a.text)
			}
			v = list[step]
		}
	}
	return v
}

func (a graphAnswer) is(want any, way ...any) {
	a.t.Helper()
	if got := a.at(way...); got != want {
		a.t.Errorf("%v is %v, want %v", way, got, want)
	}
}

// TestGraphReads asks for everything that can be read.
func TestGraphReads(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Register(t.Context(), device.Info{
		ID: "MINE", Model: "m-1", DeviceType: "container", CapacityKWh: 215, RatedKW: 100,
		Location: &device.Location{Lat: 31.2, Lon: 121.5, Name: "hall 3"}, InstallDate: "2025-05-01",
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		w.sync("MINE", start-2000+int64(i)*1000)
	}
	w.sync("FOREIGN", start-1000)
	w.event("MINE", "of mine")
	w.event("", "of the plant")
	w.do("POST", "/api/v1/device/control", "operator", `{"deviceId":"MINE","commandId":"g-1","command":"setPower","parameters":{"power":95}}`).want(200, "SUCCESS")
	passed := true
	w.scores = []api.Score{{Metric: "tracking", Stat: "last", Value: 0.5, Limit: "<= 1", Pass: &passed}}

	a := w.ask("viewer", `{
		device(id: "MINE") {
			id kind state online status type manufacturer model capacityKwh ratedKw simulated installDate
			location { lat lon name }
			latest { deviceId timestamp soc soh voltage current power temperature status quality flags }
			good: latest(good: true) { timestamp }
			history(limit: 2) { items { timestamp soc power status } next }
			events { eventId deviceId eventType severity description timestamp }
			commands { commandId deviceId command source priority status code reason power reduced issued until timestamp }
		}
		devices(first: 2) { items { id } next }
		events(severity: warning) { description deviceId }
		commands { commandId }
		fleet { time targetKw powerKw socMean temperatureMaxC online devices interventions speed }
		dispatch { enabled strategy targetKw schedule { at targetKw } }
		scores { metric stat value unit limit pass }
		system { name version tags simulation binarySha256 started role run { scenario } }
	}`).ok()
	for _, c := range []struct {
		want any
		way  []any
	}{
		{"container", []any{"device", "type"}},
		{nil, []any{"device", "manufacturer"}},
		{true, []any{"device", "online"}},
		{"charging", []any{"device", "status"}},
		{"inactive", []any{"device", "state"}},
		{215.0, []any{"device", "capacityKwh"}},
		{"hall 3", []any{"device", "location", "name"}},
		{float64(start), []any{"device", "latest", "timestamp"}},
		{48.1, []any{"device", "latest", "power"}},
		{nil, []any{"device", "latest", "soh"}},
		{"good", []any{"device", "latest", "quality"}},
		{"MINE", []any{"device", "latest", "deviceId"}},
		{float64(start - 2000), []any{"device", "history", "items", 0, "timestamp"}},
		{75.5, []any{"device", "history", "items", 1, "soc"}},
		{"of mine", []any{"device", "events", 0, "description"}},
		{"warning", []any{"device", "events", 0, "severity"}},
		{"g-1", []any{"device", "commands", 0, "commandId"}},
		{"setPower", []any{"device", "commands", 0, "command"}},
		{true, []any{"device", "commands", 0, "reduced"}},
		{90.0, []any{"device", "commands", 0, "power"}},
		{"FOREIGN", []any{"devices", "items", 0, "id"}},
		{"of the plant", []any{"events", 0, "description"}}, // the newest first
		{nil, []any{"events", 0, "deviceId"}},
		{"MINE", []any{"events", 1, "deviceId"}},
		{"g-1", []any{"commands", 0, "commandId"}},
		{-12.5, []any{"fleet", "powerKw"}},
		{nil, []any{"fleet", "socMean"}},         // NaN
		{nil, []any{"fleet", "temperatureMaxC"}}, // infinite
		{"soc-balancing", []any{"dispatch", "strategy"}},
		{0.5, []any{"scores", 0, "value"}},
		{"viewer", []any{"system", "role"}},
		{nil, []any{"system", "run"}},
	} {
		a.is(c.want, c.way...)
	}
	if a.at("device", "history", "next") == "" || a.at("devices", "next") == "" {
		t.Errorf("no cursor where more follows: %s", a.text)
	}
	next := w.ask("viewer", `query($after: String!, $cursor: String!) {
		devices(after: $after) { items { id } next }
		device(id: "MINE") { history(limit: 2, cursor: $cursor) { items { timestamp } next } }
	}`, "after", a.at("devices", "next"), "cursor", a.at("device", "history", "next")).ok()
	next.is("OFFLINE", "devices", "items", 0, "id")
	next.is("SLOW", "devices", "items", 1, "id")
	next.is("", "devices", "next")
	next.is(float64(start), "device", "history", "items", 0, "timestamp")
	next.is("", "device", "history", "next")
}

// TestGraphHistorySteps: means over steps, in a span that is given in both ways.
func TestGraphHistorySteps(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		w.sync("MINE", start-10_000+int64(i)*1000)
	}
	a := w.ask("viewer", `query($to: Timestamp) { device(id: "MINE") {
		history(from: "2023-11-14T22:13:15Z", to: $to, step: "2s") { items { timestamp soc } }
		wrong: history(step: "soon") { next }
	} }`, "to", start-1000)
	if a.code() != "INVALID_REQUEST" || a.Errors[0].Path[1] != "wrong" {
		t.Errorf("a wrong step: %s", a.text)
	}
	if n := len(a.at("device", "history", "items").([]any)); n != 3 {
		t.Errorf("%d rows of 2 s in 4 s that begin between two of them, want 3: %s", n, a.text)
	}
}

// TestGraphFilters: every filter alone and two together.
func TestGraphFilters(t *testing.T) {
	w := newWorld(t)
	for id, site := range map[device.ID]string{"a-1": "north", "a-2": "south", "b-1": "north"} {
		if _, err := w.Register(t.Context(), device.Info{ID: id, Kind: "modbus", Model: "m", Location: &device.Location{Name: site}}); err != nil {
			t.Fatal(err)
		}
	}
	w.sync("MINE", start)
	for filter, want := range map[string]string{
		`glob: "a-*"`:                "a-1 a-2",
		`kind: "modbus"`:             "a-1 a-2 b-1",
		`site: "north"`:              "a-1 b-1",
		`model: "m"`:                 "a-1 a-2 b-1",
		`online: true`:               "MINE",
		`state: active`:              "",
		`glob: "a-*", site: "north"`: "a-1",
	} {
		a := w.ask("viewer", `{ devices(filter: {`+filter+`}) { items { id } next } }`).ok()
		var got []string
		for _, d := range a.at("devices", "items").([]any) {
			got = append(got, d.(map[string]any)["id"].(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("filter %s lets %v through, want %s", filter, got, want)
		}
	}
	// The page is filled with what the filter lets through.
	a := w.ask("viewer", `{ devices(first: 1, filter: {site: "north"}) { items { id } next } }`).ok()
	a = w.ask("viewer", `query($a: String!) { devices(after: $a, filter: {site: "north"}) { items { id } next } }`, "a", a.at("devices", "next")).ok()
	a.is("b-1", "devices", "items", 0, "id")
	if a := w.ask("viewer", `{ devices(filter: {glob: "["}) { next } }`); a.code() != "INVALID_PARAMETER" {
		t.Errorf("a glob that is none: %s", a.text)
	}
}

// TestGraphAggregates compares with sums that are made by hand.
func TestGraphAggregates(t *testing.T) {
	w := newWorld(t)
	for i := range 360 { // 48.1 kW for an hour
		w.sync("MINE", start-3_600_000+int64(i)*10_000)
	}
	w.sync("MINE", start)
	w.sync("FOREIGN", start)
	a := w.ask("viewer", `{
		aggregates(by: kind) { group devices online powerKw socMean socMin socMax ratedKw capacityKwh energy(to: 1700000000000) { inKwh outKwh } }
		sites: aggregates(by: site, filter: {online: false}) { group devices online powerKw energy { inKwh } }
	}`).ok()
	a.is("push", "aggregates", 0, "group")
	a.is(4.0, "aggregates", 0, "devices")
	a.is(2.0, "aggregates", 0, "online")
	a.is(96.2, "aggregates", 0, "powerKw")
	a.is(75.5, "aggregates", 0, "socMean")
	a.is(75.5, "aggregates", 0, "socMin")
	a.is(75.5, "aggregates", 0, "socMax")
	a.is(400.0, "aggregates", 0, "ratedKw")
	a.is(nil, "aggregates", 0, "capacityKwh")
	if in := a.at("aggregates", 0, "energy", "inKwh").(float64); in < 48.09 || in > 48.11 {
		t.Errorf("%v kWh in an hour of 48.1 kW", in)
	}
	a.is(0.0, "aggregates", 0, "energy", "outKwh")
	a.is(0.0, "sites", 0, "energy", "inKwh")
	a.is(2.0, "sites", 0, "devices")
	a.is(nil, "sites", 0, "powerKw")
	own := w.ask("device", `{ aggregates(by: kind) { devices powerKw } }`).ok()
	own.is(1.0, "aggregates", 0, "devices")
	own.is(48.1, "aggregates", 0, "powerKw")
}

// TestGraphStatistics: a device and a fleet in steps, with pages.
func TestGraphStatistics(t *testing.T) {
	w := newWorld(t)
	const minute = start - start%60_000
	for i := range 12 { // two minutes
		w.sync("MINE", minute-120_000+int64(i)*10_000)
		w.sync("FOREIGN", minute-120_000+int64(i)*10_000)
	}
	const span = `from: "2023-11-14T22:11:00Z", to: "2023-11-14T22:13:00Z"`
	a := w.ask("viewer", `{
		device(id: "MINE") { statistics(`+span+`, limit: 1) { items { timestamp devices count bad energyInKwh coveredS power { mean min max last } soh { mean } } next gaps { reason } } }
		statistics(`+span+`) { items { timestamp devices count power { mean sum } } next }
	}`).ok()
	first := []any{"device", "statistics", "items", 0}
	for name, want := range map[string]any{"timestamp": float64(minute - 120_000), "devices": 1.0, "count": 6.0, "bad": 0.0, "coveredS": 60.0} {
		a.is(want, append(first[:4:4], name)...)
	}
	if e := a.at("device", "statistics", "items", 0, "energyInKwh").(float64); e < 0.8016 || e > 0.8018 {
		t.Errorf("%v kWh in a minute of 48.1 kW", e)
	}
	a.is(48.1, "device", "statistics", "items", 0, "power", "max")
	a.is(nil, "device", "statistics", "items", 0, "soh", "mean")
	a.is(2.0, "statistics", "items", 1, "devices")
	a.is(96.2, "statistics", "items", 1, "power", "sum")
	next := w.ask("viewer", `query($c: String!) { device(id: "MINE") { statistics(`+span+`, cursor: $c) { items { timestamp } next } } }`,
		"c", a.at("device", "statistics", "next")).ok()
	next.is(float64(minute-60_000), "device", "statistics", "items", 0, "timestamp")
	next.is("", "device", "statistics", "next")
	w.ask("device", `{ statistics(`+span+`) { items { devices } } }`).ok().is(1.0, "statistics", "items", 0, "devices")
	for _, step := range []string{"soon", "0s", "1500ms"} {
		if a := w.ask("viewer", `{ statistics(step: "`+step+`") { next } }`); a.code() != "INVALID_REQUEST" {
			t.Errorf("step %s is answered %s", step, a.text)
		}
	}
}

// TestGraphControl: the outcomes of commands, and that the REST interface answers the
// same.
func TestGraphControl(t *testing.T) {
	w := newWorld(t)
	const mutation = `mutation($in: ControlInput!) { control(input: $in) { __typename
		... on CommandDone { commandId reduced power reason }
		... on CommandOpen { commandId }
		... on CommandRefused { commandId code reason hint }
	} }`
	command := func(id, device, verb string, parameters map[string]any) map[string]any {
		return map[string]any{"deviceId": device, "commandId": id, "command": verb, "parameters": parameters}
	}
	for _, c := range []struct {
		id, device, verb string
		parameters       map[string]any
		outcome, code    string
	}{
		{"c1", "MINE", "setPower", map[string]any{"power": 50.0, "duration": 3600, "priority": "high"}, "CommandDone", ""},
		{"c2", "MINE", "setPower", map[string]any{"power": 95}, "CommandDone", ""},
		{"c3", "MINE", "stop", nil, "CommandDone", ""},
		{"c4", "SLOW", "stop", nil, "CommandOpen", ""},
		{"c5", "OFFLINE", "stop", nil, "CommandRefused", "OFFLINE"},
		{"c6", "MINE", "setPower", map[string]any{"power": 500}, "CommandRefused", "OUT_OF_RANGE"},
		{"c7", "NOBODY", "stop", nil, "", "UNKNOWN_DEVICE"},
		{"c8", "MINE", "setPower", nil, "", "MISSING_FIELD"},
		{"c9", "MINE", "setMode", nil, "", "MISSING_FIELD"},
		{"c\n", "MINE", "stop", nil, "", "INVALID_COMMAND_ID"},
		{"c11", "MINE", "setPower", map[string]any{"power": 1, "duration": -1}, "", "INVALID_PARAMETER"},
		{"c12", "MINE", "stop", map[string]any{"priority": "safety"}, "", "FORBIDDEN"},
		{"c13", "MINE", "arm", nil, "", "FORBIDDEN"},
		{"c1", "MINE", "stop", nil, "CommandRefused", "COMMAND_ID_USED"},
	} {
		in := command(c.id, c.device, c.verb, c.parameters)
		a := w.ask("operator", mutation, "in", in)
		outcome, _ := a.at("control").(map[string]any)
		if c.outcome == "" {
			if outcome != nil || a.code() != c.code {
				t.Errorf("%v is answered %s, want the error %s", in, a.text, c.code)
			}
		} else if outcome["__typename"] != c.outcome || c.code != "" && outcome["code"] != c.code {
			t.Errorf("%v is answered %s, want %s %s", in, a.text, c.outcome, c.code)
		}
		if c.id == "c2" && (outcome["reduced"] != true || outcome["power"] != 90.0) {
			t.Errorf("a command that is reduced: %s", a.text)
		}
		if len(c.parameters) == 0 {
			delete(in, "parameters")
		}
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		rest := w.do("POST", "/api/v1/device/control", "operator", string(text)).json()
		want := cmp.Or(c.code, map[string]string{"CommandDone": "SUCCESS", "CommandOpen": "ACCEPTED"}[c.outcome])
		if rest["code"] != want {
			t.Errorf("REST answers %v with %v, GraphQL with %s", in, rest["code"], want)
		}
	}
	if a := w.send("operator", http.MethodGet, "/graphql?query="+url.QueryEscape(`mutation { setDispatch(input: {enabled: false, strategy: "cost"}) { enabled } }`), ""); a.status != http.StatusMethodNotAllowed {
		t.Errorf("a mutation by GET: status %d %s", a.status, a.text)
	}
}

// TestGraphChanges: what is set is what holds, and the bounds are those of REST.
func TestGraphChanges(t *testing.T) {
	w := newWorld(t)
	a := w.ask("engineer", `mutation {
		registerDevice(id: "new-1", input: {model: "m", ratedKw: 100, location: {lat: 1, lon: 2, name: "x"}}) { id kind model ratedKw location { name } }
		setDispatch(input: {enabled: true, strategy: "cost", targetKw: -40, schedule: [{at: "2026-01-01T00:00:00Z", targetKw: 5}]}) { enabled targetKw schedule { at targetKw } }
	}`).ok()
	a.is("push", "registerDevice", "kind")
	a.is("x", "registerDevice", "location", "name")
	a.is(-40.0, "setDispatch", "targetKw")
	a.is("2026-01-01T00:00:00Z", "setDispatch", "schedule", 0, "at")
	a = w.ask("engineer", `mutation { setDispatch(input: {enabled: false}) { enabled strategy } }`).ok()
	a.is(false, "setDispatch", "enabled")
	a.is("cost", "setDispatch", "strategy")
	w.ask("engineer", `mutation { setDispatch(input: {enabled: true, strategy: "cost", targetKw: -40}) { enabled } }`).ok()
	w.ask("viewer", `{ device(id: "new-1") { model } }`).ok().is("m", "device", "model")
	if got := w.do("GET", "/api/v1/dispatch", "viewer", "").json()["target_kw"]; got != -40.0 {
		t.Errorf("REST sees a target of %v", got)
	}
	for mutation, code := range map[string]string{
		`registerDevice(id: "x", input: {ratedKw: -1}) { id }`:                                                           "INVALID_PARAMETER",
		`registerDevice(id: "x", input: {installDate: "soon"}) { id }`:                                                   "INVALID_PARAMETER",
		`registerDevice(id: "not a name", input: {}) { id }`:                                                             "INVALID_PARAMETER",
		`registerDevice(id: "x", input: {model: "` + strings.Repeat("m", 129) + `"}) { id }`:                             "INVALID_PARAMETER",
		`setDispatch(input: {enabled: true}) { enabled }`:                                                                "INVALID_REQUEST",
		`setDispatch(input: {enabled: true, strategy: "best"}) { enabled }`:                                              "INVALID_PARAMETER",
		`setDispatch(input: {enabled: true, strategy: "cost", targetKw: 1e999}) { enabled }`:                             "INVALID_QUERY",
		`setDispatch(input: {enabled: true, strategy: "cost", schedule: [{at: "` + twice + `targetKw: 1}]}) { enabled }`: "INVALID_REQUEST",
	} {
		if a := w.ask("engineer", `mutation { `+mutation+` }`); a.code() != code {
			t.Errorf("%.70s is answered %s, want %s", mutation, a.text, code)
		}
	}
}

const twice = `2026-01-01T00:00:00Z", targetKw: 5}, {at: "2026-01-01T00:00:00Z", `

// graphProbes ask for each root field. %s stands for the device; fields that are
// about no device have none.
var graphProbes = map[string]string{
	"Query.devices":           `{ x: devices { items { id } } }`,
	"Query.device":            `{ x: device(id: "%s") { latest { soc } history { next } events { eventId } commands { commandId } } }`,
	"Query.aggregates":        `{ x: aggregates(by: kind) { devices } }`,
	"Query.statistics":        `{ x: statistics(devices: "%s") { items { count } } }`,
	"Query.events":            `{ x: events(device: "%s") { deviceId } }`,
	"Query.commands":          `{ x: commands(device: "%s") { deviceId } }`,
	"Query.fleet":             `{ x: fleet { devices } }`,
	"Query.dispatch":          `{ x: dispatch { strategy } }`,
	"Query.scores":            `{ x: scores { metric } }`,
	"Query.system":            `{ x: system { name } }`,
	"Mutation.control":        `mutation { x: control(input: {deviceId: "%s", commandId: "%s-1", command: stop}) { __typename } }`,
	"Mutation.registerDevice": `mutation { x: registerDevice(id: "%s", input: {model: "x"}) { id } }`,
	"Mutation.setDispatch":    `mutation { x: setDispatch(input: {enabled: false, strategy: "cost"}) { enabled } }`,
	"Subscription.readings":   `subscription { x: readings(devices: "%s") { lag } }`,
	"Subscription.events":     `subscription { x: events(devices: "%s") { deviceId } }`,
	"Subscription.acks":       `subscription { x: acks(devices: "%s") { deviceId } }`,
	"Subscription.fleet":      `subscription { x: fleet { lag } }`,
}

// TestGraphSeesAtOnce: an answered reading is in the next query.
func TestGraphSeesAtOnce(t *testing.T) {
	w := newWorld(t)
	for i := range 50 {
		at := start - 50_000 + int64(i)*1000
		w.sync("MINE", at)
		w.ask("viewer", `{ device(id: "MINE") { latest { timestamp } } }`).ok().is(float64(at), "device", "latest", "timestamp")
	}
}

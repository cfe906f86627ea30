package api_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"yunchu/platform/auth"
)

var update = flag.Bool("update", false, "write testdata/matrix.txt from what the server does")

// routes lists every operation of the OpenAPI document as "METHOD /path".
func routes(t *testing.T, w *world) []string {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(w.do("GET", "/openapi.json", "viewer", "").want(200, "").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var list []string
	for path, item := range doc.Paths {
		for method := range item {
			list = append(list, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(list)
	return list
}

// probes are requests that succeed for whoever is allowed. %s stands for the
// device; routes that are about no device have none.
var probes = map[string]struct{ path, body string }{
	"GET /api/v1/audit":                 {"/api/v1/audit?from=0", ""},
	"GET /api/v1/audit/checkpoint":      {"/api/v1/audit/checkpoint", ""},
	"GET /api/v1/audit/inclusion":       {"/api/v1/audit/inclusion?entry=0", ""},
	"GET /api/v1/audit/consistency":     {"/api/v1/audit/consistency?from=1", ""},
	"POST /api/v1/device/data/sync":     {"/api/v1/device/data/sync", `{"deviceId":"%s","timestamp":1700000000000,"data":` + dataJSON + `}`},
	"POST /api/v1/device/control":       {"/api/v1/device/control", `{"deviceId":"%s","commandId":"%s-1","command":"stop"}`},
	"GET /api/v1/ws":                    {"/api/v1/ws", ""},
	"POST /graphql":                     {"/graphql", `{"query":"{ devices { next } }"}`},
	"GET /graphql":                      {"/graphql?query={devices{next}}", ""},
	"GET /api/v1/devices":               {"/api/v1/devices", ""},
	"GET /api/v1/devices/{id}":          {"/api/v1/devices/%s", ""},
	"PUT /api/v1/devices/{id}":          {"/api/v1/devices/%s", `{"model":"x"}`},
	"GET /api/v1/devices/{id}/latest":   {"/api/v1/devices/%s/latest", ""},
	"GET /api/v1/devices/{id}/history":  {"/api/v1/devices/%s/history", ""},
	"GET /api/v1/devices/{id}/features": {"/api/v1/devices/%s/features", ""},
	"GET /api/v1/devices/{id}/limits":   {"/api/v1/devices/%s/limits", ""},
	"GET /api/v1/history/aggregate":     {"/api/v1/history/aggregate", ""},
	"GET /api/v1/history/export":        {"/api/v1/history/export", ""},
	"GET /api/v1/dispatch":              {"/api/v1/dispatch", ""},
	"PUT /api/v1/dispatch":              {"/api/v1/dispatch", `{"enabled":false,"strategy":"cost","target_kw":null}`},
	"GET /api/v1/tokens":                {"/api/v1/tokens", ""},
	"POST /api/v1/tokens":               {"/api/v1/tokens", `{"role":"viewer"}`},
	"DELETE /api/v1/tokens/{id}":        {"/api/v1/tokens/none", ""},
	"GET /api/v1/users":                 {"/api/v1/users", ""},
	"PUT /api/v1/users/{user}":          {"/api/v1/users/bob", `{"role":"viewer","password":"a long password"}`},
	"DELETE /api/v1/users/{user}":       {"/api/v1/users/none", ""},
	"GET /api/v1/system":                {"/api/v1/system", ""},
	"GET /api/v1/query":                 {"/api/v1/query?query=1", ""},
	"POST /api/v1/query":                {"/api/v1/query?query=1", ""},
	"GET /api/v1/query_range":           {"/api/v1/query_range?query=1&start=1&end=2&step=1", ""},
	"POST /api/v1/query_range":          {"/api/v1/query_range?query=1&start=1&end=2&step=1", ""},
	"POST /api/v1/market/backtest":      {"/api/v1/market/backtest", `{"start":"2020-01-01T00:00:00Z","power_kw":1000,"energy_kwh":4000,"energy_per_mwh":[10,50]}`},
	"POST /api/v1/market/plan":          {"/api/v1/market/plan", `{"start":"2020-01-01T00:00:00Z","energy_per_mwh":[10,50],"sites":[{"id":"a","battery":{"power_kw":100,"energy_kwh":200}}]}`},
	"POST /api/v1/forecast":             {"/api/v1/forecast", `{"first_day":"2024-01-01","per_day":1,"target":[` + strings.Repeat("1,", 59) + `1]}`},
	"POST /api/v1/forecast/backtest":    {"/api/v1/forecast/backtest", `{"first_day":"2024-01-01","per_day":1,"from":"2024-02-29","target":[` + strings.Repeat("1,", 59) + `1]}`},
	"POST /api/v1/settle/ledger":        {"/api/v1/settle/ledger", `{"ledger":""}`},
	"POST /api/v1/settle/score":         {"/api/v1/settle/score", `{"rule":"hunan","period_s":10,"signal_kw":[0,100` + strings.Repeat(",100", 20) + `],"response_kw":[0,0` + strings.Repeat(",100", 20) + `]}`},
	"POST /api/v1/settle/bill":          {"/api/v1/settle/bill", `{"rule":"tou-demand","devices":"%s","from":"2024-01-01T08:00:00Z","to":"2024-01-01T09:00:00Z"}`},
	"GET /api/v1/series":                {"/api/v1/series?match[]=x", ""},
	"POST /api/v1/series":               {"/api/v1/series?match[]=x", ""},
	"GET /api/v1/labels":                {"/api/v1/labels", ""},
	"POST /api/v1/labels":               {"/api/v1/labels", ""},
	"GET /api/v1/label/{name}/values":   {"/api/v1/label/device/values", ""},
	"GET /api/v1/metadata":              {"/api/v1/metadata", ""},
	"GET /api/v1/status/buildinfo":      {"/api/v1/status/buildinfo", ""},
	"GET /openapi.json":                 {"/openapi.json", ""},
	"GET /api/v1/backup":                {"/api/v1/backup", ""},
	"GET /metrics":                      {"/metrics", ""},
	"GET /healthz":                      {"/healthz", ""},
	"POST /api/v1/setup":                {"/api/v1/setup", `{"token":"x","user":"y","password":"z"}`},
	"POST /api/v1/login":                {"/api/v1/login", `{"user":"y","password":"z"}`},
	"POST /api/v1/refresh":              {"/api/v1/refresh", `{"refreshToken":"x"}`},
	"POST /api/v1/logout":               {"/api/v1/logout", `{"refreshToken":"x"}`},
	"GET /.well-known/jwks.json":        {"/.well-known/jwks.json", ""},
}

// changing are the routes that change the world of whoever asks next.
var changing = regexp.MustCompile(`^(PUT|DELETE) |^POST .*/(sync|control|tokens|setup|login|refresh|logout)$`)

// TestMatrix asks every route with every role, about its own device, a foreign
// one and one that does not exist, and compares with testdata/matrix.txt, where
// the answers were reviewed. A new route without a probe fails.
func TestMatrix(t *testing.T) {
	var got strings.Builder
	fmt.Fprintf(&got, "%-36s %-8s", "route", "device")
	roles := []string{"none"}
	for _, r := range auth.Roles {
		roles = append(roles, r.String())
	}
	for _, r := range roles {
		fmt.Fprintf(&got, " %8s", r)
	}
	got.WriteByte('\n')
	world := func() *world {
		w := newWorld(t, withAudit(t))
		for _, known := range []string{"MINE", "FOREIGN"} {
			w.do("POST", syncPath, "engineer", body(known, start-1)).want(200, "SUCCESS")
		}
		return w
	}
	reading := world()
	for _, route := range routes(t, reading) {
		probe, ok := probes[route]
		if !ok {
			t.Errorf("%s has no probe", route)
			continue
		}
		devices := []string{"-"}
		if strings.Contains(probe.path+probe.body, "%s") {
			devices = []string{"MINE", "FOREIGN", "NOBODY"}
		}
		method, _, _ := strings.Cut(route, " ")
		for _, id := range devices {
			fmt.Fprintf(&got, "%-36s %-8s", route, id)
			w := reading
			for i, role := range roles {
				if changing.MatchString(route) && i%4 == 0 { // more logins in one world would be slowed down
					w = world()
				}
				a := w.do(method, strings.ReplaceAll(probe.path, "%s", id), strings.TrimPrefix(role, "none"), strings.ReplaceAll(probe.body, "%s", id))
				fmt.Fprintf(&got, " %8d", a.Code)
			}
			got.WriteByte('\n')
		}
	}
	const file = "testdata/matrix.txt"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		var g, w string
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Errorf("line %d\n got %s\nwant %s", i+1, g, w)
		}
	}
}

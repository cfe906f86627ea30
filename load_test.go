package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yunchu/harness/report"
)

const loadToken = "YUNCHU_TOKEN=an-engineer-of-the-tests"

// TestLoad: load on the production runtime over REST, GraphQL, MQTT and WebSocket, in a process
// of its own: everything is counted, what was acknowledged is found in the history,
// and the report is there.
func TestLoad(t *testing.T) {
	p := fresh(t, loadToken)
	config := filepath.Join(p.dir, "config.yaml")
	if err := os.WriteFile(config, []byte("apiVersion: yunchu/v1\nkind: Config\nmqtt: {listen: \"tcp://127.0.0.1:0\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	x, c := serving(t, p, "-c", config)
	file := filepath.Join(p.dir, "load.yaml")
	text := `apiVersion: yunchu/v1
kind: Load
name: mixed
url: ` + c.base + `
mqtt: mqtt://` + x.says(t, "mqtt on ") + `
load:
  - {name: sync, api: rest-sync, users: 50, rate: 200, for: 4s, ramp: 1s, arrivals: poisson}
  - {name: batch, api: rest-sync, users: 4, rate: 20, for: 3s, batch: 25, devices: 40}
  - {name: read, api: rest-read, users: 5, rate: 50, at: 3s, for: 1s, ask: "load-batch-*"}
  - {name: graphql, api: graphql, users: 5, rate: 50, at: 3s, for: 1s, ask: "load-batch-*"}
  - {name: mqtt, api: mqtt, users: 20, rate: 60, for: 3s}
  - {name: ws, api: ws, users: 10, for: 4s, ask: "load-sync-*"}
score:
  - {metric: api.sync.error_ratio, limit: "== 0"}
  - {metric: api.sync.rate_per_s, limit: "> 100"}
  - {metric: api.batch.readings_per_s, limit: "> 250"}
  - {metric: api.read.error_ratio, limit: "== 0"}
  - {metric: api.graphql.error_ratio, limit: "== 0"}
  - {metric: api.mqtt.error_ratio, limit: "== 0"}
  - {metric: api.ws.error_ratio, limit: "== 0"}
  - {metric: api.ws.readings_per_s, limit: "> 10"}
  - {metric: sync.delay_ms, stat: p50, limit: "< 20000"}
  - {metric: data.lost, limit: "== 0"}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := p.run(t, "validate", file); o.code != exitPassed {
		t.Fatalf("validate: %d %s", o.code, o.stderr)
	}
	out := filepath.Join(p.dir, "out")
	o := p.run(t, "load", file, "--json", "--out", out)
	var r report.Report
	if err := json.Unmarshal([]byte(o.stdout), &r); err != nil {
		t.Fatalf("%v: %s %s", err, o.stdout, o.stderr)
	}
	late := strings.Contains(o.stdout, "the generator was late by") && r.Verdict == report.Inconclusive // on a machine that stands still
	if (o.code != exitPassed || r.Verdict != report.Passed) && !late {
		t.Fatalf("exit code %d, verdict %s:\n%s", o.code, r.Verdict, o.stdout)
	}
	loads := map[string]report.LoadResult{}
	for _, l := range r.Loads {
		loads[l.Name] = l
	}
	if l := loads["sync"]; l.Users != 50 || l.Sent < 550 || l.Sent > 850 || l.OK != l.Sent { // 700 are expected
		t.Errorf("sync: %+v", l)
	}
	if l := loads["batch"]; l.Sent != 60 || l.OK != 60 {
		t.Errorf("batch: %+v", l)
	}
	if l := loads["mqtt"]; l.Users != 20 || l.Sent != 180 || l.OK != 180 {
		t.Errorf("mqtt: %+v", l)
	}
	if l := loads["ws"]; l.Users != 10 || l.OK == 0 || l.Latency.Max <= 0 {
		t.Errorf("ws: %+v", l)
	}
	for _, name := range []string{"report.html", "report.json", "junit.xml", "manifest.json"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !strings.Contains(string(page), `"name":"sync","t":[0.5,1.5`) {
		t.Errorf("the page has no series of the load: %v", err)
	}
	found := false
	for _, check := range r.Checks {
		found = found || check.Name == "no-lost-readings" && check.Pass && strings.Contains(check.Detail, "all in the history")
	}
	if !found {
		t.Errorf("checks %+v", r.Checks)
	}

	// One load by flags, people's summary, limits that fail.
	o = p.run(t, "load", "--url", c.base, "--api", "rest-read", "--ask", "load-*", "--users", "5", "--closed", "--think", "10ms", "--for", "1s",
		"--limit", "latency_ms p99 < 0.000001", "--limit", "error_ratio <= 0.001")
	for _, want := range []string{"5 users in a closed loop, thinking 10ms for 1s", "p99.9=", "✗ api.rest-read.latency_ms", "✓ api.rest-read.error_ratio", "FAILED"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("%q is missing in\n%s", want, o.stdout)
		}
	}
	if o.code != exitFailed {
		t.Errorf("exit code %d after a limit that failed", o.code)
	}
}

// TestLoadRefuses: what is wrong with flags, files, tokens and hosts is said before
// anything is sent.
func TestLoadRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p := fresh(t, loadToken)
	for _, tt := range []struct {
		code int
		says string
		args []string
	}{
		{exitEnvironment, "the plant does not answer", []string{"--url", nobody, "--for", "1s"}},
		{exitInput, "--yes-load-this-host", []string{"--url", "http://192.0.2.1:8080"}},
		{exitInput, "--yes-load-this-host", []string{"--api", "mqtt", "--mqtt", "mqtt://broker.example:1883"}},
		{exitInput, "say where the broker is", []string{"--api", "mqtt"}},
		{exitInput, "unknown api", []string{"--api", "soap"}},
		{exitInput, "closed loop has no rate", []string{"--closed", "--rate", "5"}},
		{exitInput, "is not a limit", []string{"--limit", "fast"}},
		{exitInput, "there is no metric", []string{"--limit", "fleet.speed < 5"}},
		{exitInput, "does not go with a file", []string{"x.yaml", "--users", "5"}},
		{exitInput, "no such file", []string{"x.yaml"}},
	} {
		if o := p.run(t, append([]string{"load"}, tt.args...)...); o.code != tt.code || !strings.Contains(o.stderr, tt.says) {
			t.Errorf("load %s: exit code %d, want %d with %q:\n%s", strings.Join(tt.args, " "), o.code, tt.code, tt.says, o.stderr)
		}
	}
	_, c := serving(t, p)
	o := p.run(t, "load", "--url", c.base, "--token", "wrong-wrong-wrong-wrong", "--for", "1s")
	if o.code != exitEnvironment || !strings.Contains(o.stderr, "401") {
		t.Errorf("with a wrong token: %d %s", o.code, o.stderr)
	}
}

package api_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"yunchu/platform/api"
	"yunchu/platform/device"
)

func TestSystem(t *testing.T) {
	w := newWorld(t)
	m := w.do("GET", "/api/v1/system", "auditor", "").want(200, "").json()
	if m["role"] != "auditor" || m["name"] != "test" || m["run"] != nil || m["tags"] == nil || m["binary_sha256"] != "00" {
		t.Errorf("system: %v", m)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.do("POST", syncPath, "device", body("MINE", start)).want(200, "SUCCESS")
	w.do("POST", syncPath, "device", "").want(400, "MALFORMED_JSON")
	w.do("POST", syncPath, "engineer", "["+body("MINE", start+1)+",1]").want(200, "PARTIAL")
	w.do("GET", "/api/v1/devices", "viewer", "").want(200, "")
	w.do("GET", "/nothing", "viewer", "").want(404, "NOT_FOUND")
	got := w.do("GET", "/metrics", "viewer", "").want(200, "").Body.String()
	for _, want := range []string{
		`yunchu_http_requests_total{route="POST /api/v1/device/data/sync",status="200"} 2`,
		`yunchu_http_requests_total{route="POST /api/v1/device/data/sync",status="400"} 1`,
		`yunchu_http_requests_total{route="GET /api/v1/devices",status="200"} 1`,
		`yunchu_http_requests_total{route="unknown",status="404"} 1`,
		`yunchu_http_request_duration_seconds_count{route="POST /api/v1/device/data/sync"} 3`,
		`yunchu_sync_readings_total{result="accepted"} 2`,
		`yunchu_sync_readings_total{result="rejected"} 2`,
		`yunchu_http_in_flight 1`,
		`yunchu_ws_clients 0`,
		`go_goroutines `,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

func TestUnknownRoutesAndMethods(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/nothing", "/api/v1/", "/api/v2/devices", "/api/v1/devices/MINE/secrets", "/assets/", "/index"} {
		w.do("GET", path, "admin", "").want(404, "NOT_FOUND")
	}
	for _, tt := range []struct{ method, path, allow string }{
		{"GET", syncPath, "POST"},
		{"PUT", controlPath, "POST"},
		{"DELETE", "/api/v1/dispatch", "GET, HEAD, PUT"},
		{"POST", "/api/v1/devices", "GET, HEAD"},
		{"POST", "/api/v1/ws", "GET, HEAD"},
		{"HEAD", "/api/v1/ws", "GET"},
		{"POST", "/", "GET, HEAD"},
	} {
		a := w.do(tt.method, tt.path, "admin", "").want(405, "METHOD_NOT_ALLOWED")
		if got := a.Header().Get("Allow"); got != tt.allow {
			t.Errorf("%s %s: Allow is %q, want %q", tt.method, tt.path, got, tt.allow)
		}
	}
	w.do("PUT", "/api/v1/dispatch", "admin", `<x/>`, "Content-Type", "text/xml").want(415, "UNSUPPORTED_MEDIA_TYPE")
}

func TestPortal(t *testing.T) {
	w := newWorld(t)
	a := w.do("GET", "/", "", "").want(200, "")
	h := a.Header()
	for name, want := range map[string]string{
		"Content-Type":           "text/html; charset=utf-8",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
		"Cache-Control":          "no-cache",
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
	if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %q", csp)
	}
	if h.Get("Access-Control-Allow-Origin") != "" {
		t.Error("other origins are let in")
	}
	if a := w.do("GET", "/", "", "", "If-None-Match", h.Get("Etag")); a.Code != 304 || a.Body.Len() != 0 {
		t.Errorf("an unchanged file: status %d and %d bytes", a.Code, a.Body.Len())
	}
	z := w.do("GET", "/assets/portal.js", "", "", "Accept-Encoding", "br, gzip;q=0.8").want(200, "")
	if z.Header().Get("Content-Encoding") != "gzip" || z.Header().Get("Vary") != "Accept-Encoding" || z.Header().Get("Etag") == "" {
		t.Errorf("headers of a compressed file: %v", z.Header())
	}
	r, err := gzip.NewReader(z.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != string(portal["assets/portal.js"].Data) {
		t.Errorf("decompressed: %d bytes, %v", len(b), err)
	}
	if a := w.do("GET", "/assets/portal.js", "", "", "Accept-Encoding", "gzip;q=0"); a.Header().Get("Content-Encoding") != "" {
		t.Error("gzip was refused and sent")
	}
	if a := w.do("HEAD", "/favicon.svg", "", ""); a.Code != 200 || a.Body.Len() != 0 || a.Header().Get("Content-Type") != "image/svg+xml" {
		t.Errorf("HEAD: %d, %d bytes, %v", a.Code, a.Body.Len(), a.Header())
	}
	bare := newWorld(t, func(o *api.Options) { o.UI = nil })
	bare.do("GET", "/", "", "").want(404, "NOT_FOUND")
}

func TestPanicsAreAnswered(t *testing.T) {
	w := newWorld(t, func(o *api.Options) {
		o.Plant.System = panicking{o.Plant.System}
		o.Plant.Intake = nil
		o.Plant.Intake = panickingIntake{}
	})
	w.do("GET", "/api/v1/system", "viewer", "").want(500, "INTERNAL")
	w.do("POST", syncPath, "device", body("MINE", start)).want(500, "INTERNAL")
}

type panicking struct{ api.System }

func (panicking) About() api.About { panic("a broken invariant") }

type panickingIntake struct{ api.Intake }

// forAnybody are the routes that need no token.
var forAnybody = []string{"/healthz", "/api/v1/setup", "/api/v1/login", "/api/v1/refresh", "/api/v1/logout", "/.well-known/jwks.json"}

func TestOpenAPI(t *testing.T) {
	w := newWorld(t)
	w.do("GET", "/openapi.json", "", "").want(401, "UNAUTHORIZED")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Summary     string
			Security    []map[string][]string
			Action      string `json:"x-action"`
			Responses   map[string]any
		}
		Components struct{ Schemas map[string]any }
	}
	raw := w.do("GET", "/openapi.json", "viewer", "").want(200, "").Body.Bytes()
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Responses) < 2 && path != "/healthz" {
				t.Errorf("%s %s is not described: %+v", method, path, op)
			}
			ids[op.OperationID] = true
			if open := slices.Contains(forAnybody, path); open != (len(op.Security) == 0) || open != (op.Action == "") {
				t.Errorf("%s %s: security %v, action %q", method, path, op.Security, op.Action)
			}
		}
	}
	for _, id := range []string{"sync", "control", "live", "get-history", "get-metrics"} {
		if !ids[id] {
			t.Errorf("the operation %s is missing", id)
		}
	}
	for _, ref := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllSubmatch(raw, -1) {
		if doc.Components.Schemas[string(ref[1])] == nil {
			t.Errorf("the schema %s is missing", ref[1])
		}
	}
}

func TestTheDocumentationNamesEveryCodeAndRoute(t *testing.T) {
	doc, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range api.Codes() {
		if !strings.Contains(string(doc), "`"+string(c)+"`") {
			t.Errorf("docs/api.md does not explain %s", c)
		}
	}
	for _, r := range routes(t, newWorld(t)) {
		method, path, _ := strings.Cut(r, " ")
		if !regexp.MustCompile("`" + method + ` ` + regexp.QuoteMeta(path) + "`").Match(doc) {
			t.Errorf("docs/api.md does not describe %s", r)
		}
	}
}

// TestTheDocumentationTellsEveryFlag: whoever finds a flag beside a reading finds its meaning.
func TestTheDocumentationTellsEveryFlag(t *testing.T) {
	doc, err := os.ReadFile("../../docs/quality.md")
	if err != nil {
		t.Fatal(err)
	}
	all := ^device.Flags(0)
	for _, name := range all.Names() {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/quality.md does not explain the flag %s", name)
		}
	}
}

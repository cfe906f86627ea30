package api_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"yunchu/platform/api"
)

func TestPrincipalsAskNoMoreThanTheyMay(t *testing.T) {
	var ahead atomic.Int64
	began := time.Now()
	w := newWorld(t, func(o *api.Options) {
		o.Wall = func() time.Time { return began.Add(time.Duration(ahead.Load())) }
		o.Limits = api.Limits{Queries: api.Rate{PerSecond: 1, Burst: 3}, Commands: api.Rate{PerSecond: 0.5, Burst: 2}}
	})
	for range 3 {
		w.do("GET", "/api/v1/devices", "viewer", "").want(200, "")
	}
	a := w.do("GET", "/api/v1/devices", "viewer", "").want(429, "RATE_LIMITED")
	if got := a.Header().Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After %q", got)
	}
	if got := w.ask("viewer", `{ x: devices { next } }`).status; got != 429 {
		t.Errorf("GraphQL is answered %d", got)
	}
	order := func(n int) string { return fmt.Sprintf(`{"deviceId":"MINE","commandId":"c%d","command":"stop"}`, n) }
	mutation := `mutation { x: control(input: {deviceId: "MINE", commandId: "g", command: stop}) { __typename } }`
	w.do("POST", "/api/v1/device/control", "operator", order(1)).want(200, "SUCCESS")
	if got := w.ask("operator", mutation); got.status != 200 || got.code() != "" {
		t.Errorf("a command of GraphQL: %d %s", got.status, got.code())
	}
	if got := w.do("POST", "/api/v1/device/control", "operator", order(2)).want(429, "RATE_LIMITED").Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After of a command %q", got)
	}
	if got := w.ask("operator", mutation).code(); got != "RATE_LIMITED" {
		t.Errorf("a command too many of GraphQL: %q", got)
	}
	// Others are not held up, and readings have no bound unless one is set.
	w.do("POST", "/api/v1/device/control", "admin", order(3)).want(200, "SUCCESS")
	for i := range 50 {
		w.do("POST", syncPath, "device", body("MINE", start+int64(i))).want(200, "SUCCESS")
	}
	ahead.Store(int64(2 * time.Second))
	w.do("GET", "/api/v1/devices", "viewer", "").want(200, "")
	w.do("POST", "/api/v1/device/control", "operator", order(4)).want(200, "SUCCESS")
	text := w.do("GET", "/metrics", "auditor", "").want(200, "").Body.String()
	for _, want := range []string{`yunchu_api_limited_total{class="queries"} 2`, `yunchu_api_limited_total{class="commands"} 2`, `yunchu_api_limited_total{class="telemetry"} 0`} {
		if !strings.Contains(text, want) {
			t.Errorf("the figures have no %s", want)
		}
	}
	// Other bounds hold from the next request on.
	w.server.SetLimits(api.Limits{Telemetry: api.Rate{PerSecond: 1, Burst: 1}})
	w.do("POST", syncPath, "device", body("MINE", start+100)).want(200, "SUCCESS")
	w.do("POST", syncPath, "device", body("MINE", start+101)).want(429, "RATE_LIMITED")
	for range 20 {
		w.do("GET", "/api/v1/devices", "viewer", "").want(200, "")
	}
}

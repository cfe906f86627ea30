package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"yunchu/platform/auth"
)

// rule replaces the policies that are added to those that ship.
func (w *world) rule(text string) {
	w.t.Helper()
	p, err := auth.ParsePolicies("test.cedar", []byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	w.auth.SetPolicies(p)
}

// TestPoliciesHoldEverywhere: a device that a policy closes to somebody is in no answer to
// them, on any interface; for others it is as before.
func TestPoliciesHoldEverywhere(t *testing.T) {
	w := newWorld(t).listen()
	w.rule(`
		forbid (principal in Role::"operator", action, resource == Device::"FOREIGN");
		permit (principal in Role::"viewer", action == Action::"control", resource == Device::"MINE");
		forbid (principal in Role::"auditor", action == Action::"read", resource == Plant::"plant");
	`)
	w.do("POST", syncPath, "engineer", "["+body("MINE", start-10)+","+body("FOREIGN", start-10)+"]").want(200, "SUCCESS")
	hidden := func(name, text string) {
		t.Helper()
		if strings.Contains(text, "FOREIGN") || !strings.Contains(text, "MINE") {
			t.Errorf("%s: an operator is answered %s", name, text)
		}
	}
	for _, path := range []string{"/api/v1/devices", "/api/v1/label/device/values", "/api/v1/query?query=yunchu_device_power_kw"} {
		hidden(path, w.do("GET", path, "operator", "").want(200, "").Body.String())
		if text := w.do("GET", path, "viewer", "").want(200, "").Body.String(); !strings.Contains(text, "FOREIGN") {
			t.Errorf("%s: a viewer is answered %s", path, text)
		}
	}
	for _, path := range []string{"", "/latest", "/history", "/features"} {
		w.do("GET", "/api/v1/devices/FOREIGN"+path, "operator", "").want(403, "FORBIDDEN_DEVICE")
	}
	order := func(id string) string { return `{"deviceId":"` + id + `","commandId":"x-` + id + `","command":"stop"}` }
	w.do("POST", "/api/v1/device/control", "operator", order("FOREIGN")).want(403, "FORBIDDEN_DEVICE")
	w.do("POST", "/api/v1/device/control", "operator", order("MINE")).want(200, "SUCCESS")
	w.do("POST", "/api/v1/device/control", "viewer", order("MINE")).want(200, "SUCCESS")
	w.do("POST", "/api/v1/device/control", "viewer", order("FOREIGN")).want(403, "FORBIDDEN_DEVICE")
	w.do("GET", "/api/v1/dispatch", "auditor", "").want(403, "FORBIDDEN")
	list := w.ask("operator", `{ x: devices { items { id } } y: aggregates(by: kind) { devices } }`)
	hidden("GraphQL", list.text)
	w.event("FOREIGN", "one")
	w.event("MINE", "two")
	hidden("events", w.ask("operator", `{ x: events { deviceId } y: commands { deviceId } }`).text)
	if got := w.ask("operator", `{ x: device(id: "FOREIGN") { id } }`).code(); got != "FORBIDDEN_DEVICE" {
		t.Errorf("GraphQL answers %q", got)
	}

	s := w.open("operator", "*", "reading", "snapshot")
	w.settled(1)
	hidden("snapshot", string(s.next("snapshot").Data))
	w.sync("FOREIGN", start)
	w.sync("MINE", start)
	if got := s.next("reading"); got.DeviceID != "MINE" {
		t.Errorf("an operator hears of %s", got.DeviceID)
	}
	// Who listens when the policies change is sent away, to ask again.
	w.rule("")
	s.SetReadDeadline(time.Now().Add(hung))
	for {
		if _, _, err := s.ReadMessage(); err != nil {
			if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
				t.Errorf("after a change of policies the connection ends with %v", err)
			}
			break
		}
	}
	w.do("GET", "/api/v1/devices/FOREIGN", "operator", "").want(200, "")
}

// TestPoliciesFollowADevice: who may only what is at a site loses a device that is moved
// away, in answers at once, and on an open WebSocket within the next telling of the fleet.
func TestPoliciesFollowADevice(t *testing.T) {
	w := newWorld(t).listen()
	w.rule(`forbid (principal in Role::"operator", action, resource is Device) unless { resource.site == "north" };`)
	place := func(id, site string) {
		t.Helper()
		w.do("PUT", "/api/v1/devices/"+id, "engineer", `{"location":{"lat":1,"lon":2,"name":"`+site+`"}}`).want(200, "")
	}
	order := func(id string) answer {
		return w.do("POST", controlPath, "operator", `{"deviceId":"MINE","commandId":"`+id+`","command":"stop"}`)
	}
	place("MINE", "south")
	place("SLOW", "north")
	order("one").want(403, "FORBIDDEN_DEVICE")
	place("MINE", "north")
	order("two").want(200, "SUCCESS")
	s := w.open("operator", "*", "snapshot", "reading", "state")
	w.settled(1)
	s.next("snapshot")
	w.sync("MINE", start)
	if got := s.next("reading"); got.DeviceID != "MINE" {
		t.Errorf("an operator hears of %s", got.DeviceID)
	}
	place("MINE", "south")
	order("three").want(403, "FORBIDDEN_DEVICE")
	if text := w.do("GET", "/api/v1/devices", "operator", "").want(200, "").Body.String(); strings.Contains(text, "MINE") {
		t.Errorf("the list still has it: %s", text)
	}
	s.next("state") // this one may have been on its way
	s.next("state")
	w.sync("MINE", start+1)
	w.sync("SLOW", start+1)
	if got := s.next("reading"); got.DeviceID != "SLOW" {
		t.Errorf("an operator hears of %s, which is not there any more", got.DeviceID)
	}
}

// TestDocumentNamesTheRoles: the roles that a route is open to are those of the policies.
func TestDocumentNamesTheRoles(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			Roles []string `json:"x-roles"`
		}
	}
	if err := json.Unmarshal(newWorld(t).do("GET", "/openapi.json", "viewer", "").want(200, "").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(doc.Paths["/api/v1/device/data/sync"]["post"].Roles, " "); got != "engineer admin device" {
		t.Errorf("the sync is open to %q", got)
	}
}

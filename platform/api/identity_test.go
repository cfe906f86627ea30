package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yunchu/platform/auth/authtest"
)

func TestSetupLoginAndTokens(t *testing.T) {
	w := newWorld(t)
	setup := fmt.Sprintf(`{"token":%q,"user":"alice","password":%q}`, w.setup, adminPassword)
	w.do("POST", "/api/v1/setup", "", strings.Replace(setup, w.setup, "yc_setup_guess", 1)).want(403, "WRONG_SETUP_TOKEN")
	a := w.do("POST", "/api/v1/setup", "", strings.Replace(setup, adminPassword, "short", 1)).want(400, "INVALID_REQUEST")
	if strings.Contains(a.Body.String(), "short\"") {
		t.Errorf("the password is repeated: %s", a.Body)
	}
	m := w.do("POST", "/api/v1/setup", "", setup).want(201, "").json()
	admin := m["token"].(string)
	if m["role"] != "admin" || !strings.HasPrefix(m["refreshToken"].(string), "yc_refresh_") {
		t.Errorf("setup answers %v", m)
	}
	w.do("POST", "/api/v1/setup", "", setup).want(409, "SETUP_DONE")
	w.do("GET", "/api/v1/tokens", admin, "").want(200, "")

	login := fmt.Sprintf(`{"user":"alice","password":%q}`, adminPassword)
	m = w.do("POST", "/api/v1/login", "", login).want(200, "").json()
	for key, want := range map[string]time.Duration{"expires": 15 * time.Minute, "refreshExpires": 12 * time.Hour} {
		at, err := time.Parse(time.RFC3339, m[key].(string))
		if d := time.Until(at); err != nil || d < want-time.Minute || d > want {
			t.Errorf("%s is in %s, %v; want %v", key, d, err, want)
		}
	}
	for range 5 {
		w.do("POST", "/api/v1/login", "", `{"user":"alice","password":"a wrong password"}`).want(401, "WRONG_CREDENTIALS")
	}
	if got := w.do("POST", "/api/v1/login", "", login).want(429, "TOO_MANY_ATTEMPTS").Header().Get("Retry-After"); got == "" {
		t.Error("no Retry-After")
	}
	for _, bad := range []string{``, `{`, `{"user":"alice"}`, `{"user":1,"password":"x"}`, `{"user":"a","password":"b","role":"admin"}`} {
		w.do("POST", "/api/v1/login", "", bad).want(400, "INVALID_REQUEST")
	}

	m = w.do("POST", "/api/v1/tokens", admin, `{"role":"device","deviceId":"BOX_1","name":"box"}`).want(201, "").json()
	box := m["token"].(string)
	w.do("POST", syncPath, box, body("BOX_1", start)).want(200, "SUCCESS")
	w.do("POST", syncPath, box, body("MINE", start)).want(403, "FORBIDDEN_DEVICE")
	list := w.do("GET", "/api/v1/tokens", admin, "").want(200, "")
	if s := list.Body.String(); strings.Contains(s, box) || !strings.Contains(s, m["id"].(string)) || strings.Contains(s, "sha256") {
		t.Errorf("the list shows secrets, or not the token: %s", s)
	}
	w.do("DELETE", "/api/v1/tokens/"+m["id"].(string), admin, "").want(204, "")
	w.do("DELETE", "/api/v1/tokens/"+m["id"].(string), admin, "").want(404, "NOT_FOUND")
	w.do("POST", syncPath, box, body("BOX_1", start)).want(401, "UNAUTHORIZED")
	for _, bad := range []string{
		`{"role":"god"}`, `{"role":"device"}`, `{"role":"viewer","deviceId":"MINE"}`, `{"role":"device","deviceId":"a b"}`,
		`{"role":"viewer","expires":"2020-01-01T00:00:00Z"}`, `{"role":"viewer","expires":"soon"}`,
	} {
		w.do("POST", "/api/v1/tokens", admin, bad).want(400, "INVALID_REQUEST")
	}

	w.do("PUT", "/api/v1/users/bob", admin, `{"role":"operator","password":"bob's long password"}`).want(204, "")
	m = w.do("POST", "/api/v1/login", "", `{"user":"bob","password":"bob's long password"}`).want(200, "").json()
	w.do("GET", "/api/v1/users", m["token"].(string), "").want(403, "FORBIDDEN")
	if s := w.do("GET", "/api/v1/users", admin, "").want(200, "").Body.String(); !strings.Contains(s, `"bob"`) || strings.Contains(s, "argon2") {
		t.Errorf("users: %s", s)
	}
	w.do("DELETE", "/api/v1/users/bob", admin, "").want(204, "")
	w.do("GET", "/api/v1/devices", m["token"].(string), "").want(401, "UNAUTHORIZED")
	w.do("DELETE", "/api/v1/users/alice", admin, "").want(409, "LAST_ADMIN")
}

func TestCrossOriginPostsAreRefused(t *testing.T) {
	w := newWorld(t)
	w.do("POST", "/api/v1/login", "", `{"user":"a","password":"b"}`, "Sec-Fetch-Site", "cross-site").want(403, "CROSS_ORIGIN")
	w.do("POST", "/api/v1/login", "", `{"user":"a","password":"b"}`, "Origin", "https://evil.example").want(403, "CROSS_ORIGIN")
	w.do("POST", "/api/v1/login", "", `{"user":"a","password":"b"}`, "Sec-Fetch-Site", "same-origin").want(401, "WRONG_CREDENTIALS")
}

func TestSessions(t *testing.T) {
	w := newWorld(t)
	m := w.do("POST", "/api/v1/setup", "", fmt.Sprintf(`{"token":%q,"user":"alice","password":%q}`, w.setup, adminPassword)).want(201, "").json()
	refresh := func(m map[string]any) string { return fmt.Sprintf(`{"refreshToken":%q}`, m["refreshToken"]) }
	next := w.do("POST", "/api/v1/refresh", "", refresh(m)).want(200, "").json()
	w.do("GET", "/api/v1/users", next["token"].(string), "").want(200, "")
	if s := w.do("GET", "/api/v1/tokens", next["token"].(string), "").want(200, "").Body.String(); !strings.Contains(s, next["id"].(string)) {
		t.Errorf("the session is not listed: %s", s)
	}
	w.do("POST", "/api/v1/refresh", "", refresh(m)).want(401, "WRONG_REFRESH_TOKEN")
	w.do("GET", "/api/v1/users", next["token"].(string), "").want(401, "UNAUTHORIZED")

	login := fmt.Sprintf(`{"user":"alice","password":%q}`, adminPassword)
	m = w.do("POST", "/api/v1/login", "", login).want(200, "").json()
	w.do("POST", "/api/v1/logout", "", refresh(m)).want(204, "")
	w.do("GET", "/api/v1/users", m["token"].(string), "").want(401, "UNAUTHORIZED")
	w.do("POST", "/api/v1/logout", "", refresh(m)).want(401, "WRONG_REFRESH_TOKEN")

	m = w.do("POST", "/api/v1/login", "", login).want(200, "").json()
	other := w.do("POST", "/api/v1/login", "", login).want(200, "").json()
	w.do("DELETE", "/api/v1/tokens/"+m["id"].(string), other["token"].(string), "").want(204, "")
	w.do("GET", "/api/v1/users", m["token"].(string), "").want(401, "UNAUTHORIZED")

	keys := w.do("GET", "/.well-known/jwks.json", "", "").want(200, "").Body.String()
	if header, _ := authtest.Parse(t, other["token"].(string)); !strings.Contains(keys, header["kid"].(string)) || strings.Contains(keys, `"d"`) {
		t.Errorf("keys %s, the token names %v", keys, header["kid"])
	}
}

package api_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

const syncPath = "/api/v1/device/data/sync"

func TestSyncStoresAReading(t *testing.T) {
	w := newWorld(t)
	a := w.do("POST", syncPath, "device", body("MINE", start)).want(200, "SUCCESS")
	if got := a.Body.String(); got != `{"code":"SUCCESS"}` {
		t.Errorf("the answer is %s", got)
	}
	got := w.do("GET", "/api/v1/devices/MINE/latest", "device", "").want(200, "")
	want := fmt.Sprintf(`{"deviceId":"MINE","timestamp":%d,"data":%s,"quality":"good","flags":[]}`, int64(start), dataJSON)
	if got.Body.String() != want {
		t.Errorf("latest is\n%s, want\n%s", got.Body, want)
	}
}

func TestSyncRegistersForAnEngineer(t *testing.T) {
	w := newWorld(t)
	w.do("POST", syncPath, "engineer", body("NEW", start)).want(200, "SUCCESS")
	m := w.do("GET", "/api/v1/devices/NEW", "viewer", "").want(200, "").json()
	if m["deviceId"] != "NEW" || m["kind"] != "push" {
		t.Errorf("the new device is %v", m)
	}
	w.do("POST", syncPath, "engineer", "["+body("A", start)+","+body("B", start)+","+body("A", start+1)+"]").want(200, "SUCCESS")
	for id, at := range map[string]int64{"A": start + 1, "B": start} {
		if m := w.do("GET", "/api/v1/devices/"+id+"/latest", "viewer", "").want(200, "").json(); m["timestamp"] != float64(at) {
			t.Errorf("latest of %s: %v, want %d", id, m["timestamp"], at)
		}
	}
}

func TestSyncRefuses(t *testing.T) {
	w := newWorld(t)
	with := func(old, new string) string { return strings.Replace(body("MINE", start), old, new, 1) }
	tests := []struct {
		name, role, body string
		status           int
		code             string
	}{
		{"no token", "", body("MINE", start), 401, "UNAUTHORIZED"},
		{"unknown token", "yc_device_guess", body("MINE", start), 401, "UNAUTHORIZED"},
		{"viewer", "viewer", body("MINE", start), 403, "FORBIDDEN"},
		{"operator", "operator", body("MINE", start), 403, "FORBIDDEN"},
		{"foreign device", "device", body("FOREIGN", start), 403, "FORBIDDEN_DEVICE"},
		{"foreign and unknown", "device", body("NOBODY", start), 403, "FORBIDDEN_DEVICE"},
		{"empty", "device", "", 400, "MALFORMED_JSON"},
		{"cut short", "device", body("MINE", start)[:60], 400, "MALFORMED_JSON"},
		{"trailing text", "device", body("MINE", start) + "x", 400, "MALFORMED_JSON"},
		{"byte order mark", "device", "\ufeff" + body("MINE", start), 400, "MALFORMED_JSON"},
		{"not UTF-8", "device", with("charging", "charg\xffing"), 400, "MALFORMED_JSON"},
		{"half a surrogate", "device", with("charging", `\ud800`), 400, "MALFORMED_JSON"},
		{"nested too deep", "device", with(`"soc"`, `"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`,"soc"`), 400, "MALFORMED_JSON"},
		{"a number", "device", "5", 400, "INVALID_TYPE"},
		{"soc missing", "device", with(`"soc":75.5,`, ``), 400, "MISSING_FIELD"},
		{"soc null", "device", with(`75.5`, `null`), 400, "MISSING_FIELD"},
		{"soc a string", "device", with(`75.5`, `"75.5"`), 400, "INVALID_TYPE"},
		{"soc twice", "device", with(`"soc"`, `"soc":1,"soc"`), 400, "DUPLICATE_FIELD"},
		{"soc in other case", "device", with(`"soc"`, `"SoC"`), 400, "MISSING_FIELD"},
		{"soc beyond a double", "device", with(`75.5`, `1e400`), 400, "INVALID_NUMBER"},
		{"soc octal", "device", with(`75.5`, `075`), 400, "MALFORMED_JSON"},
		{"status a number", "device", with(`"charging"`, `1`), 400, "INVALID_TYPE"},
		{"status too long", "device", with(`charging`, strings.Repeat("x", 65)), 400, "INVALID_STATUS"},
		{"data an array", "device", with(dataJSON, `[]`), 400, "INVALID_TYPE"},
		{"data null", "device", with(dataJSON, `null`), 400, "MISSING_FIELD"},
		{"bad id", "engineer", body("a b", start), 400, "INVALID_DEVICE_ID"},
		{"empty id", "engineer", body("", start), 400, "INVALID_DEVICE_ID"},
		{"long id", "engineer", body(strings.Repeat("x", 65), start), 400, "INVALID_DEVICE_ID"},
		{"id a number", "engineer", with(`"MINE"`, `7`), 400, "INVALID_TYPE"},
		{"timestamp a string", "device", with(fmt.Sprint(int64(start)), `"x"`), 400, "INVALID_TYPE"},
		{"timestamp a fraction", "device", with(fmt.Sprint(int64(start)), `1.5`), 400, "INVALID_TIMESTAMP"},
		{"timestamp with exponent", "device", with(fmt.Sprint(int64(start)), `1e12`), 400, "INVALID_TIMESTAMP"},
		{"timestamp negative", "device", with(fmt.Sprint(int64(start)), `-1`), 400, "INVALID_TIMESTAMP"},
		{"timestamp beyond int64", "device", with(fmt.Sprint(int64(start)), `92233720368547758070`), 400, "INVALID_TIMESTAMP"},
		{"timestamp ahead", "device", body("MINE", start+300_001), 400, "FUTURE_TIMESTAMP"},
		{"single above 1 MB", "device", body("MINE", start) + strings.Repeat(" ", 1<<20), 413, "TOO_LARGE"},
		{"above 8 MB", "device", "[" + strings.Repeat(" ", 8<<20) + "]", 413, "TOO_LARGE"},
		{"too many", "engineer", "[" + strings.Repeat("0,", 10_000) + "0]", 413, "TOO_LARGE"},
		{"array cut short", "engineer", "[" + body("MINE", start) + ",", 400, "MALFORMED_JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := w.do("POST", syncPath, tt.role, tt.body)
			a.t = t
			a.want(tt.status, tt.code)
		})
	}
	if _, stored := w.Latest(0, false); stored {
		t.Error("a refused reading was stored")
	}
}

func TestSyncAccepts(t *testing.T) {
	w := newWorld(t)
	with := func(old, new string) string { return strings.Replace(body("MINE", start), old, new, 1) }
	tests := []struct{ name, body, want string }{
		{"unknown fields", with(`"soc"`, `"x":{"y":[1,null,"z"]},"soc"`), `"soc":75.5`},
		{"soh", with(`"soc"`, `"soh":98.5,"soc"`), `"soh":98.5`},
		{"soh null", with(`"soc"`, `"soh":null,"soc"`), `"status":"charging"}`},
		{"another word", with("charging", "sleeping"), `"status":"sleeping"`},
		{"an escaped word", with("charging", `\u0063harging`), `"status":"charging"`},
		{"a word beyond ASCII", with("charging", `充电\ud83d\udd0b`), `充电🔋`},
		{"an escaped key", with(`"soc"`, `"s\u006fc"`), `"soc":75.5`},
		{"white space", " \t\r\n" + with(":", " \n: ") + " \n", ``},
		{"exponents", with("75.5", "7.55E+1"), `"soc":75.5`},
		{"a tiny number", with("75.5", "1e-400"), `"soc":0`},
		{"minus zero", with("75.5", "-0"), `"soc":-0`},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := int64(start + 300_000 - len(tests) + i)
			a := w.do("POST", syncPath, "device", strings.Replace(tt.body, fmt.Sprint(int64(start)), fmt.Sprint(at), 1))
			a.t = t
			a.want(200, "SUCCESS")
			if got := w.do("GET", "/api/v1/devices/MINE/latest", "device", "").Body.String(); !strings.Contains(got, tt.want) {
				t.Errorf("latest is %s, want %s in it", got, tt.want)
			}
		})
	}
}

func TestSyncAcceptsAClockFiveMinutesAhead(t *testing.T) {
	w := newWorld(t)
	w.do("POST", syncPath, "device", body("MINE", start+300_000)).want(200, "SUCCESS")
}

func TestSyncArray(t *testing.T) {
	w := newWorld(t)
	good, foreign, future := body("MINE", start), body("FOREIGN", start), body("MINE", start+1e9)
	tests := []struct {
		name, body string
		status     int
		want       string
	}{
		{"empty", `[]`, 200, `{"code":"SUCCESS","accepted":0,"rejected":[]}`},
		{"all good", "[" + good + "," + body("MINE", start+1) + "]", 200, `{"code":"SUCCESS","accepted":2,"rejected":[]}`},
		{
			"some good", "[" + foreign + ",7," + good + "," + future + "]", 200,
			`{"code":"PARTIAL","accepted":1,"rejected":[` +
				`{"index":0,"code":"FORBIDDEN_DEVICE","detail":"the token belongs to another device than FOREIGN"},` +
				`{"index":1,"code":"INVALID_TYPE","detail":"a reading must be an object, not a number"},` +
				`{"index":3,"code":"FUTURE_TIMESTAMP","detail":"timestamp 1701000000000 is 1000000000 ms ahead of the plant"}]}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := w.do("POST", syncPath, "device", tt.body)
			a.t = t
			if got := a.want(tt.status, "").Body.String(); got != tt.want {
				t.Errorf("the answer is\n%s, want\n%s", got, tt.want)
			}
		})
	}
	m := w.do("POST", syncPath, "device", "["+foreign+","+future+"]").want(422, "ALL_REJECTED").json()
	if m["accepted"] != 0.0 || len(m["rejected"].([]any)) != 2 {
		t.Errorf("all rejected: %v", m)
	}
	// The largest array that is allowed fits into 8 MB and is one push.
	big := "[" + strings.TrimSuffix(strings.Repeat(good+",", 10_000), ",") + "]"
	if m := w.do("POST", syncPath, "device", big).want(200, "SUCCESS").json(); m["accepted"] != 10_000.0 {
		t.Errorf("of 10,000 readings %v were accepted", m["accepted"])
	}
}

func TestSyncUnderOverload(t *testing.T) {
	w := newWorld(t)
	fail := func(err error) { w.pushErr.Store(&err) }
	fail(fmt.Errorf("push: %w", bus.ErrOverload))
	a := w.do("POST", syncPath, "device", body("MINE", start)).want(429, "OVERLOAD")
	if a.Header().Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.Header().Get("Retry-After"))
	}
	w.do("POST", syncPath, "device", "["+body("MINE", start)+"]").want(429, "OVERLOAD")
	fail(bus.ErrClosed)
	w.do("POST", syncPath, "device", body("MINE", start)).want(503, "CLOSING")
	fail(errTest)
	a = w.do("POST", syncPath, "device", body("MINE", start)).want(500, "INTERNAL")
	if strings.Contains(a.Body.String(), "secret") {
		t.Errorf("an inner error is shown: %s", a.Body)
	}
}

func TestNotReady(t *testing.T) {
	w := newWorld(t)
	w.notReady.Store(true)
	for _, r := range [][3]string{{"POST", syncPath, body("MINE", start)}, {"GET", "/api/v1/devices", ""}, {"GET", "/api/v1/ws", ""}, {"GET", "/healthz", ""}} {
		w.do(r[0], r[1], "engineer", r[2]).want(503, "NOT_READY")
	}
	w.do("GET", "/", "", "").want(200, "")
	w.notReady.Store(false)
	w.do("GET", "/healthz", "", "").want(200, "")
	w.do("POST", syncPath, "device", body("MINE", start)).want(200, "SUCCESS")
}

func TestRequestID(t *testing.T) {
	w := newWorld(t)
	if got := w.do("POST", syncPath, "device", body("MINE", start), "X-Request-Id", "abc-1").Header().Get("X-Request-Id"); got != "abc-1" {
		t.Errorf("a sender's request id comes back as %q", got)
	}
	a := w.do("POST", syncPath, "device", "", "X-Request-Id", "two words").want(400, "MALFORMED_JSON")
	if got := a.Header().Get("X-Request-Id"); got == "" || strings.Contains(got, " ") {
		t.Errorf("an id that is not fit for logs comes back as %q", got)
	}
}

func TestABodyThatBreaksOff(t *testing.T) {
	w := newWorld(t)
	r := strings.NewReader(body("MINE", start)[:50])
	req := newRequest("POST", syncPath, &breaking{r}, w.tokens["device"])
	rec := serve(w, req)
	rec.want(400, "INVALID_REQUEST")
}

type breaking struct{ *strings.Reader }

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil {
		err = errors.New("connection reset")
	}
	return n, err
}

// Nobody speaks for a device that the plant reads by itself: a forged state of
// charge would reach dispatch and the guard.
func TestSyncOfADeviceThatIsRead(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Register(t.Context(), device.Info{ID: "READ", Kind: "sim", RatedKW: 100}); err != nil {
		t.Fatal(err)
	}
	w.do("POST", syncPath, "engineer", body("READ", start)).want(409, "READ_BY_DRIVER")
	w.do("POST", syncPath, "engineer", "["+body("READ", start)+","+body("MINE", start)+"]").want(200, "PARTIAL")
	w.do("GET", "/api/v1/devices/READ/latest", "viewer", "").want(404, "NO_READING")
}

package api_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/platform/api"
	"yunchu/platform/device"
)

func TestDevicesComeInPages(t *testing.T) {
	w := newWorld(t)
	for i := range 2500 {
		if _, err := w.Register(t.Context(), device.Info{ID: device.ID(fmt.Sprintf("ess-%04d", i)), Kind: "sim"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{1000, 833, 0} {
		var ids []string
		for cursor, pages := "", 0; ; pages++ {
			query := "?cursor=" + url.QueryEscape(cursor)
			if limit > 0 {
				query += fmt.Sprint("&limit=", limit)
			}
			m := w.do("GET", "/api/v1/devices"+query, "viewer", "").want(200, "").json()
			for _, item := range m["items"].([]any) {
				ids = append(ids, item.(map[string]any)["deviceId"].(string))
			}
			if cursor = m["next"].(string); cursor == "" {
				break
			}
			if pages > 5 {
				t.Fatal("the pages have no end")
			}
		}
		if len(ids) != 2504 {
			t.Errorf("limit %d: %d devices, want 2504", limit, len(ids))
		}
		for i := 1; i < len(ids); i++ {
			if ids[i-1] >= ids[i] {
				t.Fatalf("limit %d: %s before %s", limit, ids[i-1], ids[i])
			}
		}
	}
	for _, bad := range []string{"limit=0", "limit=1001", "limit=x", "cursor=%21", "cursor=IQ"} {
		w.do("GET", "/api/v1/devices?"+bad, "viewer", "").want(400, "INVALID_REQUEST")
	}
}

func TestADeviceSeesItself(t *testing.T) {
	w := newWorld(t)
	m := w.do("GET", "/api/v1/devices", "device", "").want(200, "").json()
	if items := m["items"].([]any); len(items) != 1 || items[0].(map[string]any)["deviceId"] != "MINE" {
		t.Errorf("a device sees %v", m)
	}
}

func TestRegister(t *testing.T) {
	w := newWorld(t)
	all := `{"deviceType":"ESS","manufacturer":"Haitai","model":"HT-100","capacityKwh":215,"ratedKw":100,` +
		`"location":{"lat":31.2,"lon":121.5,"name":"Shanghai"},"installDate":"2025-06-01"}`
	m := w.do("PUT", "/api/v1/devices/HT_ESS_001", "engineer", all).want(200, "").json()
	if m["ratedKw"] != 100.0 || m["capacityKwh"] != 215.0 || m["kind"] != "push" || m["location"].(map[string]any)["name"] != "Shanghai" {
		t.Errorf("registered as %v", m)
	}
	m = w.do("PUT", "/api/v1/devices/HT_ESS_001", "engineer", `{"ratedKw":80}`).want(200, "").json()
	if m["ratedKw"] != 80.0 || m["capacityKwh"] != 215.0 || m["manufacturer"] != "Haitai" {
		t.Errorf("after a change of the rating: %v", m)
	}
	for name, bad := range map[string]string{
		"unknown field":     `{"slot":5}`,
		"kind":              `{"kind":"sim"}`,
		"negative rating":   `{"ratedKw":-1}`,
		"rating a string":   `{"ratedKw":"1"}`,
		"date":              `{"installDate":"yesterday"}`,
		"latitude":          `{"location":{"lat":91,"lon":0}}`,
		"not JSON":          `{`,
		"a very long model": `{"model":"` + strings.Repeat("x", 129) + `"}`,
	} {
		a := w.do("PUT", "/api/v1/devices/X1", "engineer", bad)
		if a.Code != 400 {
			t.Errorf("%s: status %d, want 400: %s", name, a.Code, a.Body)
			continue
		}
		a.want(400, "INVALID_REQUEST")
	}
	w.do("PUT", "/api/v1/devices/a%20b", "engineer", all).want(400, "INVALID_REQUEST")
	w.do("GET", "/api/v1/devices/X1", "engineer", "").want(404, "UNKNOWN_DEVICE")
}

func TestLatest(t *testing.T) {
	w := newWorld(t)
	w.do("GET", "/api/v1/devices/MINE/latest", "viewer", "").want(404, "NO_READING")
	good := device.Reading{At: start, SoC: 50, Status: device.Idle, SoH: 99}
	bad := device.Reading{At: start + 1, SoC: 150, Status: device.Idle, Quality: device.Bad, Flags: device.FlagRange | device.FlagOrder}
	if err := w.Push(t.Context(), []device.Reading{good, bad}); err != nil {
		t.Fatal(err)
	}
	m := w.do("GET", "/api/v1/devices/MINE/latest", "viewer", "").want(200, "").json()
	if m["timestamp"] != start+1.0 || m["quality"] != "bad" || fmt.Sprint(m["flags"]) != "[range order]" {
		t.Errorf("latest of any quality: %v", m)
	}
	m = w.do("GET", "/api/v1/devices/MINE/latest?quality=good", "viewer", "").want(200, "").json()
	if m["timestamp"] != start+0.0 || m["data"].(map[string]any)["soh"] != 99.0 || len(m["flags"].([]any)) != 0 {
		t.Errorf("latest good: %v", m)
	}
	w.do("GET", "/api/v1/devices/MINE/latest?quality=bad", "viewer", "").want(400, "INVALID_REQUEST")
	w.do("GET", "/api/v1/devices/NOBODY/latest", "viewer", "").want(404, "UNKNOWN_DEVICE")
	w.do("GET", "/api/v1/devices/NOBODY/latest", "device", "").want(403, "FORBIDDEN_DEVICE")
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	var rows []device.Reading
	for i := range 100 {
		r := device.Empty()
		r.At, r.SoC, r.Power, r.Status = start+int64(i)*1000, float64(i), -float64(i)/10, device.Discharging
		rows = append(rows, r)
	}
	if err := w.Push(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	get := func(query string) answer { return w.do("GET", "/api/v1/devices/MINE/history?"+query, "viewer", "") }
	rfc := func(ms int64) string { return url.QueryEscape(device.Time(ms).Format(time.RFC3339)) }

	want := fmt.Sprintf(`{"items":[{"timestamp":%d,"data":{"soc":2,"power":-0.2,"soh":null}},{"timestamp":%d,"data":{"soc":3,"power":-0.3,"soh":null}}],"next":""}`,
		start+2000, start+3000)
	for name, query := range map[string]string{
		"milliseconds": fmt.Sprintf("from=%d&to=%d&fields=soc,power,soh", start+2000, start+4000),
		"RFC 3339":     fmt.Sprintf("from=%s&to=%s&fields=power,soc,soh&values=raw", rfc(start+2000), rfc(start+4000)),
	} {
		if got := get(query).want(200, "").Body.String(); got != want {
			t.Errorf("%s:\n%s, want\n%s", name, got, want)
		}
	}
	if got := get(fmt.Sprintf("from=%d&to=%d", start, start+1)).want(200, "").Body.String(); !strings.Contains(got, `"voltage":null`) || strings.Contains(got, "soh") {
		t.Errorf("without fields: %s", got)
	}

	all := fmt.Sprintf("from=%d&to=%d", start, start+100_000)
	seen, cursor := 0, ""
	for range 20 {
		m := get(all+"&limit=7&cursor="+url.QueryEscape(cursor)).want(200, "").json()
		for _, item := range m["items"].([]any) {
			if got := item.(map[string]any)["timestamp"]; got != float64(start+seen*1000) {
				t.Fatalf("row %d has timestamp %v", seen, got)
			}
			seen++
		}
		if cursor = m["next"].(string); cursor == "" {
			break
		}
	}
	if seen != 100 {
		t.Errorf("the pages have %d rows, want 100", seen)
	}
	if m := get(all+"&step=10s").want(200, "").json(); len(m["items"].([]any)) != 10 {
		t.Errorf("steps of 10 s: %d rows, want 10", len(m["items"].([]any)))
	}
	w.mu.Lock()
	w.now = w.now.Add(100 * time.Second)
	w.mu.Unlock()
	if m := get("").want(200, "").json(); len(m["items"].([]any)) != 100 {
		t.Errorf("the last hour has %d rows, want 100", len(m["items"].([]any)))
	}

	for _, tt := range []struct{ query, code string }{
		{"from=yesterday", "INVALID_REQUEST"},
		{"to=2026-13-01T00:00:00Z", "INVALID_REQUEST"},
		{"from=2&to=1", "INVALID_REQUEST"},
		{"step=0s", "INVALID_REQUEST"},
		{"step=1ns", "INVALID_REQUEST"},
		{"step=32d", "INVALID_REQUEST"},
		{"step=9999999999999d", "INVALID_REQUEST"},
		{"step=fortnight", "INVALID_REQUEST"},
		{"limit=10001", "INVALID_REQUEST"},
		{"limit=0", "INVALID_REQUEST"},
		{"values=tidy", "INVALID_REQUEST"},
		{"cursor=%F0", "INVALID_REQUEST"},
		{"fields=soc,price", "UNKNOWN_FIELD"},
		{"values=clean", "NOT_AVAILABLE"},
	} {
		a := get(tt.query)
		if a.Code != 400 || a.json()["code"] != tt.code {
			t.Errorf("%s: status %d, %s; want 400 %s", tt.query, a.Code, a.Body, tt.code)
		}
	}
}

// TestPagesShareNothing: pages of the history are made in memory that is used again, and
// nobody sees anything of another's.
func TestPagesShareNothing(t *testing.T) {
	w := newWorld(t).listen()
	var rows []device.Reading
	for i := range 3000 {
		r := device.Empty()
		r.Slot, r.At, r.Power = device.Slot(i%4), start+int64(i/4)*1000, float64(i)
		if i%4 == 3 {
			r.Status, r.Word = device.OtherStatus, strings.Repeat("w", 1+i%60)
		}
		rows = append(rows, r)
	}
	if err := w.Push(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	var paths, want []string
	for i, id := range []string{"MINE", "FOREIGN", "OFFLINE", "SLOW"} {
		for _, fields := range []string{"", "&fields=power", "&fields=status,soh&step=2s"} {
			path := fmt.Sprintf("/api/v1/devices/%s/history?from=%d&to=%d&limit=%d%s", id, start, start+750_000, 750-100*i, fields)
			paths, want = append(paths, path), append(want, w.do("GET", path, "viewer", "").want(200, "").Body.String())
		}
	}
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for i := range 3 * len(paths) {
				n := (i*5 + k) % len(paths)
				r, err := http.NewRequest(http.MethodGet, w.http.URL+paths[n], nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Authorization", "Bearer "+w.tokens["viewer"])
				a, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(a.Body)
				a.Body.Close()
				if err != nil || string(got) != want[n] || a.ContentLength != int64(len(want[n])) {
					t.Errorf("%s: %v, %d bytes of %d and not as it is asked for alone", paths[n], err, len(got), len(want[n]))
				}
			}
		})
	}
	wg.Wait()
}

func TestDispatch(t *testing.T) {
	w := newWorld(t)
	const path = "/api/v1/dispatch"
	if got := w.do("GET", path, "viewer", "").want(200, "").Body.String(); strings.TrimSpace(got) != `{"enabled":false,"strategy":"soc-balancing","target_kw":null}` {
		t.Errorf("at first: %s", got)
	}
	target := `{"enabled":true,"strategy":"cost","target_kw":-4000}`
	if got := w.do("PUT", path, "operator", target).want(200, "").Body.String(); strings.TrimSpace(got) != target {
		t.Errorf("after PUT: %s", got)
	}
	schedule := `{"enabled":true,"strategy":"proportional","target_kw":null,"schedule":[{"at":"2026-01-01T00:00:00Z","target_kw":5},{"at":"2026-01-01T01:00:00+08:00","target_kw":-5}]}`
	w.do("PUT", path, "operator", schedule).want(400, "INVALID_REQUEST") // the second step is the earlier one
	schedule = strings.Replace(schedule, "+08:00", "Z", 1)
	if got := w.do("PUT", path, "operator", schedule).want(200, "").Body.String(); strings.TrimSpace(got) != schedule {
		t.Errorf("a schedule comes back as %s", got)
	}
	for _, bad := range []string{`{"enabled":true}`, `{"enabled":true,"strategy":"luck","target_kw":1}`, `{"enabled":true,"strategy":"cost","target_kw":"1"}`, `[]`} {
		w.do("PUT", path, "operator", bad).want(400, "INVALID_REQUEST")
	}
	off := `{"enabled":false,"strategy":"proportional","target_kw":null}` // the strategy stays
	if got := w.do("PUT", path, "operator", `{"enabled":false}`).want(200, "").Body.String(); strings.TrimSpace(got) != off {
		t.Errorf("switched off: %s", got)
	}
	nan := math.NaN()
	w.settings.TargetKW = &nan
	if m := w.do("GET", path, "viewer", "").want(200, "").json(); m["target_kw"] != nil {
		t.Errorf("a target that is not a number: %v, want null", m["target_kw"])
	}
	w.ruled = true
	a := w.do("PUT", path, "operator", target).want(400, "INVALID_REQUEST")
	if !strings.Contains(a.Body.String(), "a scenario drives") {
		t.Errorf("the plant's reason is not shown: %s", a.Body)
	}
}

func TestNewNeedsAPlant(t *testing.T) {
	if _, err := api.New(api.Options{}); err == nil {
		t.Error("New without a plant: no error")
	}
}

// TestFeaturesTellGaps: what readings amount to comes with where some are missing.
func TestFeaturesTellGaps(t *testing.T) {
	w := newWorld(t)
	a := w.do("GET", fmt.Sprintf("/api/v1/devices/MINE/features?from=%d&to=%d", start, start+1000), "viewer", "").want(200, "")
	for _, want := range []string{`"readings":`, `"energy":{`, fmt.Sprintf(`"gaps":[{"from":%d,"to":%d,"reason":"lost"}]`, start, start+1)} {
		if !strings.Contains(a.Body.String(), want) {
			t.Errorf("the features lack %s: %s", want, a.Body)
		}
	}
}

// TestNoReadingSaysWhy: of a wire that gives nothing the answer says what was the matter.
func TestNoReadingSaysWhy(t *testing.T) {
	w := newWorld(t)
	for id, kind := range map[device.ID]string{"rig": "modbus", "twin": "sim"} {
		if _, err := w.Register(t.Context(), device.Info{ID: id, Kind: kind, RatedKW: 100}); err != nil {
			t.Fatal(err)
		}
	}
	detail := func(path string) any {
		t.Helper()
		return w.do("GET", "/api/v1/devices/"+path, "viewer", "").want(404, "NO_READING").json()["detail"]
	}
	if got := detail("rig/latest"); got != "there is no such reading of rig" {
		t.Errorf("at first: %v", got)
	}
	w.silent = "bms: no frame of the device"
	for path, want := range map[string]string{
		"rig/latest":              "there is no such reading of rig, which is offline: bms: no frame of the device",
		"rig/latest?values=clean": "there is no such reading of rig, which is offline: bms: no frame of the device",
		"twin/latest":             "there is no such reading of twin",
	} {
		if got := detail(path); got != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
}

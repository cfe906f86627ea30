package backend_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"yunchu/harness/backend"
)

// FuzzHandler asks a face whatever a client may: it is told nothing but what was well
// formed, once, and every answer is one that a client can read.
func FuzzHandler(f *testing.F) {
	for _, x := range [][3]string{
		{"GET", "/faults", ""},
		{"GET", "/devices/rig-1/truth", ""},
		{"PUT", "/devices/rig-1/grid", `{"hz":50.2,"voltage_percent":100}`},
		{"PUT", "/devices/rig-1/grid", `{"hz":50}{"hz":-1}`},
		{"PUT", "/devices/rig-1/grid", `null`},
		{"POST", "/devices/rig-1/faults", `{"kind":"sign-flip","by_ns":5,"code":4}`},
		{"POST", "/devices/a%2Fb/faults", `{"kind":1e999}`},
		{"DELETE", "/faults/1", ""},
		{"PATCH", "//devices/../faults", "["},
	} {
		f.Add(x[0], x[1], []byte(x[2]))
	}
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		b := &bench{}
		r := &http.Request{Method: method, URL: u, Host: "127.0.0.1", Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
		w := httptest.NewRecorder()
		backend.Handler(b).ServeHTTP(w, r.WithContext(t.Context()))
		if len(b.did) > 1 {
			t.Fatalf("%s %s did %q", method, path, b.did)
		}
		if len(b.did) == 1 && !json.Valid(body) {
			t.Fatalf("%s %s with %q did %q", method, path, body, b.did)
		}
		switch w.Code {
		case http.StatusOK:
			if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s %s: %s", method, path, w.Body)
			}
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnprocessableEntity,
			http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect: // of a path that is not clean
		default:
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	})
}

// FuzzClient hears whatever a server may answer: an error, or what the answer says.
func FuzzClient(f *testing.F) {
	f.Add(200, []byte(`{"power_kw":-12.5,"contactors":true}`))
	f.Add(200, []byte(`{"id":"1"}`))
	f.Add(200, []byte(`["sign-flip"]`))
	f.Add(404, []byte("device x: not there"))
	f.Add(500, []byte("\xff"))
	f.Add(200, []byte("{"))
	var status int
	var text []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if text == nil {
			_, _ = w.Write([]byte("[]")) // of Dial
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write(text) // who has gone hears nothing
	}))
	defer s.Close()
	c, err := backend.Dial(f.Context(), "tcp"+strings.TrimPrefix(s.URL, "http"))
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	f.Fuzz(func(t *testing.T, code int, answer []byte) {
		if code < 200 || code > 599 || code == http.StatusNoContent || code == http.StatusNotModified || code >= 300 && code < 400 {
			return // a server of ours does not redirect, and says something
		}
		status, text = code, append([]byte{}, answer...)
		good := code == http.StatusOK && json.Valid(answer)
		if _, err := c.Truth(t.Context(), "rig-1"); err == nil && !good {
			t.Fatalf("%d %q is a truth", code, answer)
		}
		if _, err := c.Faults(t.Context()); err == nil && !good {
			t.Fatalf("%d %q is a list of faults", code, answer)
		}
		if end, err := c.Inject(t.Context(), "rig-1", backend.Fault{Kind: "sign-flip"}); err == nil && (!good || end == nil) {
			t.Fatalf("%d %q is a fault", code, answer)
		}
		if err := c.Grid(t.Context(), "rig-1", 50, 100); (err == nil) != (code == http.StatusOK) {
			t.Fatalf("%d: %v", code, err)
		}
	})
}

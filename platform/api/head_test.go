package api

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

// FuzzHead: what is taken for a POST of readings, net/http takes for the same one.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"POST /api/v1/device/data/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: 3\r\n\r\nabc",
		"POST /api/v1/device/data/sync HTTP/1.1\r\nhost: [::1]:80\r\nX-Request-ID: q\r\nauthorization:Bearer t\r\ncontent-length: 0\r\nConnection: Keep-Alive\r\nAccept: */*\r\n\r\n",
		"POST /api/v1/device/data/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
		"POST /api/v1/device/data/sync HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\n b\r\nContent-Length: 3\r\n\r\n",
		"POST /api/v1/device/data/sync HTTP/1.1\r\nHost: x\nContent-Length: +3\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseHead(b)
		if !ok {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", b, err)
		}
		if r.Method != "POST" || r.URL.Path != syncPath || r.Proto != "HTTP/1.1" || r.Close || len(r.TransferEncoding) > 0 ||
			r.ContentLength != int64(h.length) || r.Host != string(h.host) || r.Header.Get("Authorization") != string(h.token) ||
			len(r.Header["Authorization"]) != 1 || r.Header.Get("X-Request-Id") != string(h.id) {
			t.Errorf("%q is %+v for us and %+v for net/http", b, h, r)
		}
		if end := bytes.Index(b, []byte("\r\n\r\n")); h.size != end+4 {
			t.Errorf("the head of %q ends at %d", b, h.size)
		}
	})
}

package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serveSockets has the server answer on a port of loopback until the test ends.
func (w *world) serveSockets() net.Addr {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, l) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			w.t.Error(err)
		}
	})
	return l.Addr()
}

// TestOneConnectionForAll: whatever comes on a connection, in whatever form and pieces,
// is answered in order and as it should be.
func TestOneConnectionForAll(t *testing.T) {
	w := newWorld(t)
	at := w.serveSockets()
	at0 := int64(start)
	post := func(token, text string, headers ...string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n%s\r\n%s",
			syncPath, token, len(text), strings.Join(append(headers, ""), "\r\n"), text)
	}
	mine := func(headers ...string) string {
		at0++
		return post(w.tokens["device"], body("MINE", at0), headers...)
	}
	many := func(n int) string {
		list := make([]string, n)
		for i := range list {
			at0++
			list[i] = body("MINE", at0)
		}
		return post(w.tokens["device"], "["+strings.Join(list, ",")+"]")
	}
	chunked := func() string {
		at0++
		text := body("MINE", at0)
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
			syncPath, w.tokens["device"], len(text), text)
	}
	get := "GET /api/v1/devices HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + w.tokens["viewer"] + "\r\n\r\n"
	// Each part is a write of its own.
	for name, tt := range map[string]struct {
		parts []string
		want  []int
	}{
		"one":                       {[]string{mine()}, []int{200}},
		"two after each other":      {[]string{mine(), mine()}, []int{200, 200}},
		"three in one piece":        {[]string{mine() + mine() + mine()}, []int{200, 200, 200}},
		"head and body":             {strings.SplitAfter(mine(), "\r\n\r\n"), []int{200}},
		"a head in pieces":          {strings.SplitAfter(mine(), "Host"), []int{200}},
		"one and a half, half":      {[]string{mine() + mine()[:60], mine()[60:]}, []int{200, 200}},
		"an array, then one":        {[]string{many(100), mine()}, []int{200, 200}},
		"an array and one together": {[]string{many(100) + mine()}, []int{200, 200}},
		"a large array, then one":   {[]string{many(2000), mine()}, []int{200, 200}},
		"chunks between":            {[]string{mine(), chunked(), mine()}, []int{200, 200, 200}},
		"a question between":        {[]string{mine(), get, mine()}, []int{200, 200, 200}},
		"all together":              {[]string{mine() + get + chunked() + mine()}, []int{200, 200, 200, 200}},
		"nobody":                    {[]string{post("nobody", body("MINE", start)), mine()}, []int{401, 200}},
		"nobody's array":            {[]string{post("nobody", strings.Repeat(" ", 9000)), mine()}, []int{401, 200}},
		"somebody else's device":    {[]string{post(w.tokens["device"], body("FOREIGN", start)), mine()}, []int{403, 200}},
		"no JSON":                   {[]string{post(w.tokens["device"], "{"), mine()}, []int{400, 200}},
		"with an id":                {[]string{mine("X-Request-Id: mine")}, []int{200}},
		"to be closed":              {[]string{mine("Connection: close")}, []int{200}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(hung)); err != nil {
				t.Fatal(err)
			}
			go func() {
				for i, p := range tt.parts {
					if i > 0 {
						time.Sleep(20 * time.Millisecond) // so that it is likely to be read by itself
					}
					if _, err := io.WriteString(c, p); err != nil {
						return // the reader sees what became of it
					}
				}
			}()
			in := bufio.NewReader(c)
			for i, want := range tt.want {
				r, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatalf("answer %d: %v", i, err)
				}
				text, err := io.ReadAll(r.Body)
				if err != nil || r.StatusCode != want {
					t.Errorf("answer %d: %v %d %s, want %d", i, err, r.StatusCode, text, want)
				}
				if r.Header.Get("Date") == "" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/") {
					t.Errorf("answer %d has the headers %v", i, r.Header)
				}
				if name == "with an id" && r.Header.Get("X-Request-Id") != "mine" {
					t.Errorf("the id has become %q", r.Header.Get("X-Request-Id"))
				}
			}
			if name == "to be closed" {
				if n, err := in.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%d more bytes, %v", n, err)
				}
			}
		})
	}
}

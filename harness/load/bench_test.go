package load

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// responder answers every request of a connection with the least that HTTP allows,
// so that what is measured is the client.
func responder(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() }) // ends the goroutines below
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) > 2 {
						if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							length := 0
							for _, d := range bytes.TrimSpace(n) {
								length = 10*length + int(d-'0')
							}
							for len(line) > 2 {
								if line, err = in.ReadSlice('\n'); err != nil {
									return
								}
							}
							if _, err := in.Discard(length); err != nil {
								return
							}
							if _, err := c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")); err != nil {
								return
							}
						}
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// BenchmarkRequest is a reading that is made, sent and answered, one after the
// other on one connection: by this package, and by the client of net/http.
func BenchmarkRequest(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		s := Spec{Name: "b", API: RESTSync, Users: 1, Senders: []string{"a"}, Target: Target{Address: responder(b), Token: "secret"}}
		s.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
		c := newRequester(&s, 0, rand.New(rand.NewPCG(1, 1)))
		if err := c.connect(b.Context()); err != nil {
			b.Fatal(err)
		}
		defer c.close()
		b.ReportAllocs()
		for b.Loop() {
			now := time.Now()
			if _, code, err := c.exchange(now, now.Add(giveUp)); code != "" || err != nil {
				b.Fatal(code, err)
			}
		}
	})
	b.Run("net-http", func(b *testing.B) {
		url := "http://" + responder(b) + "/api/v1/device/data/sync"
		r := newReadings(&Spec{Users: 1, Senders: []string{"a"}}, 0, rand.New(rand.NewPCG(1, 1)))
		c := http.Client{Transport: &http.Transport{}, Timeout: giveUp}
		defer c.CloseIdleConnections()
		b.ReportAllocs()
		for b.Loop() {
			q, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, strings.NewReader(string(r.append(nil, time.Now()))))
			if err != nil {
				b.Fatal(err)
			}
			q.Header.Set("Authorization", "Bearer secret")
			q.Header.Set("Content-Type", "application/json")
			a, err := c.Do(q)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, a.Body); err != nil {
				b.Fatal(err)
			}
			_ = a.Body.Close() // it is read
			r.taken()
		}
	})
}

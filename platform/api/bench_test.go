package api_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yunchu/platform/api"
	"yunchu/platform/device"
)

// sink is a ResponseWriter that keeps the status alone.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { s.status = max(s.status, 200); return len(b), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

// taken is an Intake that takes everything: the handler is measured, not a log.
type taken struct{}

func (taken) Normalise(device.ID, *device.Reading) {}

func (taken) Push(context.Context, []device.Reading) error { return nil }

type loop struct{ strings.Reader }

func (*loop) Close() error { return nil }

func benchmarkSync(b *testing.B, body string, readings int) {
	w := newWorld(b, func(o *api.Options) { o.Plant.Intake = taken{} })
	r := newRequest("POST", syncPath, nil, w.tokens["device"])
	r.ContentLength = int64(len(body))
	in := &loop{}
	r.Body = in
	out := &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(body)
		clear(out.header)
		out.status = 0
		w.server.ServeHTTP(out, r)
		if out.status != 200 {
			b.Fatal(out.status)
		}
	}
	b.ReportMetric(float64(b.N*readings)/b.Elapsed().Seconds(), "readings/s")
}

func BenchmarkSyncHandler(b *testing.B) { benchmarkSync(b, body("MINE", start), 1) }

func BenchmarkSyncHandlerArray100(b *testing.B) {
	benchmarkSync(b, "["+strings.TrimSuffix(strings.Repeat(body("MINE", start)+",", 100), ",")+"]", 100)
}

// BenchmarkSyncSockets is the whole way over 1,000 kept-alive connections, each
// with one request on its way; the clients run in the same process.
func BenchmarkSyncSockets(b *testing.B) {
	w := newWorld(b, func(o *api.Options) { o.Plant.Intake = taken{} })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := contextOf(b)
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, l) }()
	text := body("MINE", start)
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		syncPath, w.tokens["device"], len(text), text)
	conns := make([]net.Conn, 1000)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			b.Fatal(err)
		}
	}
	var (
		left  atomic.Int64
		mu    sync.Mutex
		times []time.Duration
		group sync.WaitGroup
	)
	left.Store(int64(b.N))
	b.ResetTimer()
	for _, c := range conns {
		group.Go(func() {
			var own []time.Duration
			answer := make([]byte, 4096)
			for left.Add(-1) >= 0 {
				began := time.Now()
				if _, err := c.Write(request); err != nil {
					b.Error(err)
					return
				}
				n, err := c.Read(answer) // the answer is one packet
				if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 200")) {
					b.Errorf("%v: %s", err, answer[:n])
					return
				}
				own = append(own, time.Since(began))
			}
			mu.Lock()
			times = append(times, own...)
			mu.Unlock()
		})
	}
	group.Wait()
	b.StopTimer()
	slices.Sort(times)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
	for _, c := range conns {
		c.Close()
	}
	cancel()
	if err := <-served; err != nil {
		b.Error(err)
	}
}

// BenchmarkGraphQuery is a page of 100 devices with their newest readings, and one
// device, without sockets.
func BenchmarkGraphQuery(b *testing.B) {
	w := newWorld(b)
	for i := range 1000 {
		id := fmt.Sprintf("ess-%04d", i)
		w.do("POST", syncPath, "engineer", body(id, start)).want(200, "SUCCESS")
	}
	for _, q := range []struct{ name, query string }{
		{"one", `{ device(id: \"ess-0007\") { id state online latest { timestamp soc power status quality } } }`},
		{"page", `{ devices(first: 100) { items { id state online latest { timestamp soc power status quality } } next } }`},
		{"aggregates", `{ aggregates(by: kind) { group devices online powerKw socMean } }`},
	} {
		b.Run(q.name, func(b *testing.B) {
			text := `{"query":"` + q.query + `"}`
			r := newRequest("POST", "/graphql", nil, w.tokens["viewer"])
			r.Header.Set("Content-Type", "application/json")
			r.ContentLength = int64(len(text))
			in := &loop{}
			r.Body = in
			out := &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				in.Reset(text)
				clear(out.header)
				out.status = 0
				w.server.ServeHTTP(out, r)
				if out.status != 200 {
					b.Fatal(out.status)
				}
			}
		})
	}
}

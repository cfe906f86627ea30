package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

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

package load_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yunchu/harness/load"
	"yunchu/harness/metric"
)

// serve answers with h on a free port and returns its address.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func answer(w http.ResponseWriter, status int) {
	const body = `{"code":"SUCCESS"}`
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // a client that is gone is its own affair
}

func run(t *testing.T, s load.Spec) load.Result {
	t.Helper()
	if s.Name == "" {
		s.Name = "test"
	}
	if s.API == "" {
		s.API = "rest-sync"
	}
	s.Token = "secret"
	for i := range s.Users {
		s.Senders = append(s.Senders, fmt.Sprintf("load-%s-%04d", s.Name, i+1))
	}
	r, err := load.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// scores asks for the metrics of a result as a score would.
type scores struct {
	t *testing.T
	c *metric.Collector
}

func score(t *testing.T, r load.Result) scores {
	c := metric.New(metric.Config{RatedKW: 1, Devices: 1, DurationS: 1})
	c.Load("test").Merge(r.Load)
	return scores{t, c}
}

func (s scores) value(name, stat string) float64 {
	s.t.Helper()
	v, _, _, _, err := s.c.Value(name, stat)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s scores) requests() int64 { return s.c.Dist("api.test.latency_ms").N() }

// TestRateIsKept: with a server that answers at once, every request is sent, in
// time, each on the connection of its user, and all are counted.
func TestRateIsKept(t *testing.T) {
	var (
		mu    sync.Mutex
		peers = map[string]int{}
		tests atomic.Int64
	)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		peers[r.RemoteAddr]++
		mu.Unlock()
		if r.Header.Get("Authorization") == "Bearer secret" && r.URL.Path == "/api/v1/device/data/sync" {
			tests.Add(1)
		}
		answer(w, http.StatusOK)
	})
	r := run(t, load.Spec{Users: 40, Profile: load.Steady(400, time.Second, 0), Target: load.Target{Address: address}, Seed: 1})
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	s := score(t, r)
	if n := s.requests(); n != 400 || tests.Load() != 400 {
		t.Errorf("%d requests counted, %d arrived with token and path, want 400", n, tests.Load())
	}
	if len(peers) != 40 {
		t.Errorf("%d connections, want one for each of 40 users", len(peers))
	}
	for peer, n := range peers {
		if n != 10 {
			t.Errorf("%s sent %d requests, want 10", peer, n)
		}
	}
	if u := s.value("api.test.users", "last"); u != 40 {
		t.Errorf("users = %v, want 40", u)
	}
	if rate := s.value("api.test.rate_per_s", "last"); math.Abs(rate-400) > 20 {
		t.Errorf("rate = %v/s, want 400", rate)
	}
	if e := s.value("api.test.error_ratio", "last"); e != 0 {
		t.Errorf("error ratio = %v", e)
	}
	if a := s.value("availability_percent", "last"); a < 99 {
		t.Errorf("availability = %v %%", a)
	}
	acked := 0
	for _, at := range r.Acked {
		acked += len(at)
	}
	if acked != 400 {
		t.Errorf("%d readings acknowledged, want 400", acked)
	}
}

// TestStallIsCharged is the open-loop property: requests are due whatever the
// server does, so one that stands still for a second is charged with everything
// that was due meanwhile, not only with the few requests it held in its hands.
func TestStallIsCharged(t *testing.T) {
	const (
		users, rate = 20, 200
		length      = 2 * time.Second
		stall       = time.Second
	)
	var begin atomic.Int64
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now().UnixNano()
		begin.CompareAndSwap(0, now)
		// From 0.5 s to 1.5 s nothing is answered.
		from := begin.Load() + int64(500*time.Millisecond)
		if to := from + int64(stall); now >= from && now < to {
			time.Sleep(time.Duration(to - now)) // the stall itself
		}
		answer(w, http.StatusOK)
	})
	r := run(t, load.Spec{Users: users, Profile: load.Steady(rate, length, 0), Target: load.Target{Address: address}, Seed: 1})
	s := score(t, r)
	if n := s.requests(); n != rate*int64(length/time.Second) {
		t.Errorf("%d requests, want all %d that were due", n, rate*int64(length/time.Second))
	}
	// Of 400 requests 200 fell due in the stall, evenly: a quarter of all waited
	// more than 500 ms, an eighth more than 750 ms. A closed loop would have
	// seen 20 slow ones, a twentieth.
	for _, q := range []struct {
		stat     string
		from, to float64
	}{{"p50", 0, 150}, {"p90", 600, 1000}, {"p99", 880, 1200}, {"max", 950, 1400}} {
		if v := s.value("api.test.latency_ms", q.stat); v < q.from || v > q.to {
			t.Errorf("%s = %.0f ms, want %.0f … %.0f", q.stat, v, q.from, q.to)
		}
	}
	if mean := s.value("api.test.latency_ms", "mean"); math.Abs(mean-250) > 80 {
		t.Errorf("mean = %.0f ms, want about 250: half of the requests waited 500 ms on average", mean)
	}
}

// TestFailuresCount: whatever is not 2xx is an error, and only what is 200 counts
// as acknowledged.
func TestFailuresCount(t *testing.T) {
	var n atomic.Int64
	statuses := []int{200, 429, 200, 503, 200, 202, 404, 200, 307, 200}
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, statuses[int(n.Add(1)-1)%len(statuses)])
	})
	r := run(t, load.Spec{Users: 10, Profile: load.Steady(200, time.Second, 0), Target: load.Target{Address: address}, Seed: 1})
	s := score(t, r)
	if e := s.value("api.test.error_ratio", "last"); math.Abs(e-0.4) > 1e-9 {
		t.Errorf("error ratio = %v, want 0.4", e)
	}
	if a := s.value("availability_percent", "last"); math.Abs(a-60) > 1e-9 {
		t.Errorf("availability = %v %%, want 60", a)
	}
	if r.Err == nil {
		t.Error("no word about answers that were errors")
	}
}

// TestBrokenConnections: a request whose connection breaks is an error, and its
// user comes back.
func TestBrokenConnections(t *testing.T) {
	var n atomic.Int64
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%10 == 0 {
			panic(http.ErrAbortHandler)
		}
		answer(w, http.StatusOK)
	})
	r := run(t, load.Spec{Users: 5, Profile: load.Steady(200, time.Second, 0), Target: load.Target{Address: address}, Seed: 1})
	s := score(t, r)
	if got := s.requests(); got != 200 {
		t.Errorf("%d requests, want 200", got)
	}
	if e := s.value("api.test.error_ratio", "last"); math.Abs(e-0.1) > 0.02 {
		t.Errorf("error ratio = %v, want 0.1", e)
	}
}

// TestNobodyThere: a server that is not there fails every request and no run.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := run(t, load.Spec{Users: 3, Profile: load.Steady(30, 500*time.Millisecond, 0), Target: load.Target{Address: address}})
	s := score(t, r)
	if n, e := s.requests(), s.value("api.test.error_ratio", "last"); n != 15 || e != 1 {
		t.Errorf("%d requests with error ratio %v, want 15 and 1", n, e)
	}
	if u := s.value("api.test.users", "last"); u != 0 {
		t.Errorf("%v users were connected, want none", u)
	}
	if r.Err == nil {
		t.Error("no word about it")
	}
}

// TestServerThatHangs: what nobody answers within ten seconds is given up, and
// what falls due meanwhile is charged without a queue that never ends.
func TestServerThatHangs(t *testing.T) {
	if os.Getenv("YUNCHU_LONG") == "" {
		t.Skip("takes ten seconds: YUNCHU_LONG=1 runs it")
	}
	end := make(chan struct{})
	address := serve(t, func(http.ResponseWriter, *http.Request) { <-end })
	t.Cleanup(func() { close(end) }) // before the server closes
	began := time.Now()
	r := run(t, load.Spec{Users: 2, Profile: load.Steady(100, 2*time.Second, 0), Target: load.Target{Address: address}})
	s := score(t, r)
	if n, e := s.requests(), s.value("api.test.error_ratio", "last"); n != 200 || e != 1 {
		t.Errorf("%d requests with error ratio %v, want 200 and 1", n, e)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took %v, want a little more than ten seconds after the last was due", took)
	}
	if p := s.value("api.test.latency_ms", "p50"); p < 8000 {
		t.Errorf("p50 = %v ms of a server that never answers", p)
	}
}

// TestReadings: what rest-sync sends is what a device would send: its own device,
// moments that never repeat, power that is voltage times current; the same seed
// sends the same values.
func TestReadings(t *testing.T) {
	type body struct {
		DeviceID  string
		Timestamp int64
		Data      struct {
			SoC, Voltage, Current, Power, Temperature float64
			Status                                    string
		}
	}
	collect := func() (map[string][]body, load.Result) {
		var mu sync.Mutex
		got := map[string][]body{}
		address := serve(t, func(w http.ResponseWriter, r *http.Request) {
			var b body
			if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
				t.Error(err)
			}
			mu.Lock()
			got[b.DeviceID] = append(got[b.DeviceID], b)
			mu.Unlock()
			answer(w, http.StatusOK)
		})
		r := run(t, load.Spec{Users: 4, Profile: load.Steady(400, 250*time.Millisecond, 0), Target: load.Target{Address: address}, Seed: 9})
		return got, r
	}
	first, r := collect()
	if len(first) != 4 {
		t.Fatalf("devices %v, want 4", slices.Sorted(maps.Keys(first)))
	}
	for id, list := range first {
		var at []int64
		for _, b := range list {
			at = append(at, b.Timestamp)
			if d := &b.Data; math.Abs(d.Power-d.Voltage*d.Current/1000) > 0.1 || d.SoC < 0 || d.SoC > 100 || d.Status != "charging" {
				t.Errorf("%s reports %+v", id, b)
			}
		}
		for i := 1; i < len(at); i++ {
			if at[i] <= at[i-1] {
				t.Errorf("%s repeats a moment or goes back: %d after %d", id, at[i], at[i-1])
			}
		}
		if !slices.Equal(at, r.Acked[id]) {
			t.Errorf("%s: sent at %v, acknowledged %v", id, at, r.Acked[id])
		}
	}
	second, _ := collect()
	for id, list := range first {
		for i := range min(len(list), len(second[id])) {
			if list[i].Data != second[id][i].Data {
				t.Fatalf("%s, reading %d: %+v and, with the same seed, %+v", id, i, list[i].Data, second[id][i].Data)
			}
		}
	}
}

// TestOtherAPIs: reads go around the devices, commands have an id each.
func TestOtherAPIs(t *testing.T) {
	var (
		mu    sync.Mutex
		paths = map[string]int{}
		ids   = map[string]int{}
	)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths[r.Method+" "+r.URL.Path]++
		if r.Method == http.MethodPost {
			var b struct {
				DeviceID, CommandID, Command string
				Parameters                   struct{ Power, Duration float64 }
			}
			if err := json.NewDecoder(r.Body).Decode(&b); err != nil || b.Command != "setPower" || b.Parameters.Duration <= 0 {
				t.Errorf("command %+v: %v", b, err)
			}
			ids[b.CommandID]++
		}
		answer(w, http.StatusOK)
	})
	devices := []string{"a", "b", "c"}
	run(t, load.Spec{API: "rest-read", Users: 3, Profile: load.Steady(300, 300*time.Millisecond, 0), Target: load.Target{Address: address}, Asked: devices})
	run(t, load.Spec{API: "rest-control", Users: 3, Profile: load.Steady(300, 300*time.Millisecond, 0), Target: load.Target{Address: address}, Asked: devices})
	for _, d := range devices {
		if n := paths["GET /api/v1/devices/"+d+"/latest"]; n != 30 {
			t.Errorf("device %s was read %d times, want 30", d, n)
		}
	}
	if n := paths["POST /api/v1/device/control"]; n != 90 || len(ids) != 90 {
		t.Errorf("%d commands with %d ids, want 90", n, len(ids))
	}
	for _, s := range []load.Spec{{API: "carrier-pigeon", Users: 1}, {API: "mqtt", Users: 1, Profile: load.Steady(1, time.Second, 0)}, {API: "rest-read", Users: 1, Profile: load.Steady(1, time.Second, 0)}} {
		if _, err := load.Run(t.Context(), s); !errors.Is(err, load.ErrUnsupported) {
			t.Errorf("load on %s without what it needs: %v", s.API, err)
		}
	}
}

// TestCancel: a load that is cancelled ends at once, with what it has seen.
func TestCancel(t *testing.T) {
	var n atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 20 {
			cancel()
		}
		answer(w, http.StatusOK)
	})
	began := time.Now()
	r, err := load.Run(ctx, load.Spec{Name: "test", API: "rest-sync", Users: 4, Senders: []string{"a", "b", "c", "d"}, Profile: load.Steady(100, time.Hour, 0), Target: load.Target{Address: address}})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("ended %v after its begin", took)
	}
	if got := score(t, r).requests(); got < 20 || got > 30 {
		t.Errorf("%d requests, want about 20", got)
	}
}

// TestAnswersByHand: what a strange server may say is an error, never a hang.
func TestAnswersByHand(t *testing.T) {
	for _, said := range []string{
		"SMTP ready\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", strings.Repeat("x", 5000),
	} {
		t.Run(fmt.Sprintf("%.30q", said), func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() }) // ends the goroutine below
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
							_, _ = io.WriteString(c, said)
						}
					}()
				}
			}()
			r := run(t, load.Spec{Users: 1, Profile: load.Steady(20, 100*time.Millisecond, 0), Target: load.Target{Address: l.Addr().String()}})
			if e := score(t, r).value("api.test.error_ratio", "last"); e != 1 {
				t.Errorf("error ratio %v, want 1", e)
			}
		})
	}
}

package load

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble is a plant in a bubble: it answers each request after what the instant
// since the begin of the bubble asks for. It returns how users reach it.
func inBubble(t *testing.T, took func(at time.Duration) time.Duration) func(context.Context, string) (net.Conn, error) {
	begin := time.Now()
	return func(context.Context, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			in := bufio.NewReader(there)
			for {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return
				}
				time.Sleep(took(time.Since(begin)))
				if _, err := io.WriteString(there, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
					return
				}
			}
		}()
		return here, nil
	}
}

func bubbled(t *testing.T, s Spec, took func(time.Duration) time.Duration) Result {
	t.Helper()
	s.Name, s.API, s.Asked, s.Dial = "test", RESTRead, []string{"a"}, inBubble(t, took)
	r, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(got >= want-within && got <= want+within) {
		t.Errorf("%s = %v, want %v ± %v", what, got, want, within)
	}
}

// TestStallInOpenLoop, in exact time: a server that answers in 1 ms and stands still
// from 4 s to 5 s of ten. Of 1,000 requests of an open loop 100 were due in the
// stall and waited half a second on average; nothing of that may be omitted.
func TestStallInOpenLoop(t *testing.T) {
	stall := func(at time.Duration) time.Duration {
		if at >= 4*time.Second && at < 5*time.Second {
			return 5*time.Second - at
		}
		return time.Millisecond
	}
	synctest.Test(t, func(t *testing.T) {
		r := bubbled(t, Spec{Users: 10, Profile: Steady(100, 10*time.Second, 0)}, stall)
		d := r.Load.Latency()
		near(t, "requests", float64(d.N()), 1000, 0)
		near(t, "median", d.Quantile(0.5), 1, 0.1)
		near(t, "p90", d.Quantile(0.90), 1, 15) // 10 % were due in it
		near(t, "p95", d.Quantile(0.95), 500, 25)
		near(t, "p99", d.Quantile(0.99), 900, 25)
		near(t, "max", d.Quantile(1), 1000, 25)
		near(t, "lateness of the generator", r.Load.Lateness().Quantile(1), 0, 0.01)
		s := r.Load.Series()
		near(t, "p99 of the second of the stall", s.P99[4], 1000, 50)
		near(t, "p90 of the second before", s.P90[3], 1, 0.1)
		near(t, "due in it", s.Due[4], 100, 2)
	})
	// A closed loop of as many users asks nothing while it waits, and so does not see it.
	synctest.Test(t, func(t *testing.T) {
		r := bubbled(t, Spec{Users: 10, Profile: Steady(1, 10*time.Second, 0), Closed: true, Think: 99 * time.Millisecond}, stall)
		d := r.Load.Latency()
		near(t, "requests of a closed loop", float64(d.N()), 910, 11)
		near(t, "its p95", d.Quantile(0.95), 1, 0.1)
		if d.Quantile(1) < 500 {
			t.Errorf("its slowest took %v ms", d.Quantile(1))
		}
	})
}

// TestDropped: what falls due behind a server that stands still for longer than
// anybody would wait is dropped, counted, and charged.
func TestDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Spec{Name: "test", API: RESTRead, Asked: []string{"a"}, Users: 1, Profile: Steady(10, 30*time.Second, 0)}
		s.Dial = inBubble(t, func(at time.Duration) time.Duration {
			if at < 20*time.Second {
				return 20*time.Second - at
			}
			return 0
		})
		r, err := Run(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		c := r.Load.Counts()
		if c.Sent != 300 || c.OK+c.Errors["dropped"]+c.Errors["timeout"] != 300 || c.Errors["timeout"] == 0 || c.Dropped != c.Errors["dropped"] {
			t.Errorf("%+v, want 300 in all, some of them in time, dropped, and timed out", c)
		}
		if c.Dropped < 30 || c.OK < 80 {
			t.Errorf("%d dropped and %d answered", c.Dropped, c.OK)
		}
		if r.Err == nil {
			t.Error("no word about it")
		}
	})
}

// TestRampCounts: the rate is that after the ramp, everything else is of all.
func TestRampCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bubbled(t, Spec{Users: 7, Profile: Steady(200, 20*time.Second, 10*time.Second), Ramp: 10 * time.Second}, func(time.Duration) time.Duration { return time.Millisecond })
		c := r.Load.Counts()
		near(t, "requests", float64(c.Sent), 3000, 1)
		near(t, "rate after the ramp", c.PerS, 200, 1)
		s := r.Load.Series()
		near(t, "rate in the first second", s.Due[0], 10, 1)
		near(t, "rate in the tenth", s.Due[9], 190, 1)
		near(t, "rate in the last", s.Due[19], 200, 1)
	})
}

// TestThink: users of a closed loop come during the ramp and think as long as they are told.
func TestThink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bubbled(t, Spec{Users: 10, Profile: Steady(1, 20*time.Second, 0), Ramp: 10 * time.Second, Closed: true, Think: 900 * time.Millisecond},
			func(time.Duration) time.Duration { return 100 * time.Millisecond })
		c := r.Load.Counts()
		near(t, "requests", float64(c.Sent), 10*15+5, 10) // a second each, 10.5 to 20 s of it
		near(t, "rate after the ramp", c.PerS, 10, 0.2)
		near(t, "latency", r.Load.Latency().Quantile(0.5), 100, 1)
	})
}

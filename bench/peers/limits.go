package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"yunchu/harness/load"
	"yunchu/harness/metric"
)

// peak follows the memory of a process until stop is called, which returns the most of it.
func (p *process) peak() (stop func() (float64, error)) {
	end, done := make(chan struct{}), make(chan struct{})
	var most float64
	var failed error
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			m, err := p.memory()
			if most = max(most, m); err != nil {
				failed = err
				return
			}
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	}()
	return func() (float64, error) {
		close(end)
		<-done
		return most, failed
	}
}

// clients measures many WebSockets that all hear the same frames.
func clients(ctx context.Context, o *options) ([]value, error) {
	p, err := serve(ctx, o)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	before, err := p.memory()
	if err != nil {
		return nil, err
	}
	peak := p.peak()
	f, missed, err := hear(ctx, p.process, listeners(p.address, o.clients, o.during), poster("http://"+p.address+"/api/v1/device/data/sync", readingsOf))
	most, failed := peak()
	return []value{
		{"frames/s", f.rate},
		{"missed", float64(missed)},
		{"p50 from the time of a reading to its arrival, ms", f.p50},
		{"p99 from the time of a reading to its arrival, ms", f.p99},
		{"server's µs for each", f.cpu},
		{"kB of memory a client at most", (most - before) / 1000 / float64(o.clients)},
	}, errors.Join(err, failed)
}

// idle measures many MQTT connections of which hardly any says something.
func idle(ctx context.Context, o *options) ([]value, error) {
	p, err := serve(ctx, o)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	before, err := p.memory()
	if err != nil {
		return nil, err
	}
	s := load.Spec{
		Target: load.Target{Broker: p.broker, Token: token}, Name: "peers", API: load.MQTT, Users: o.idle,
		Profile: load.Steady(10, o.during, 0), Seed: 1,
	}
	for i := range o.idle {
		s.Senders = append(s.Senders, fmt.Sprintf("peers-%05d", i))
	}
	peak := p.peak()
	r, err := load.Run(ctx, s)
	most, failed := peak()
	if err = errors.Join(err, failed, r.Err); err != nil {
		return nil, err
	}
	return []value{
		{"connections", float64(r.Load.Counts().Users)},
		{"MB at most", most / 1e6},
		{"MB of them before the first", before / 1e6},
		{"p99 of PUBACK, ms", r.Load.Latency().Quantile(0.99)},
	}, nil
}

const (
	probe      = "peers-probe"
	probeEvery = 37 * time.Millisecond // which falls on all phases of what is done in steps
	underLoad  = 10_000                // readings a second meanwhile
)

// delay measures how long a reading takes, from before it is sent until those who listen
// have it, while many others come in.
func delay(ctx context.Context, o *options) ([]value, error) {
	p, err := serve(ctx, o)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	s := writers(o, p.address, 1)
	s.Users, s.Closed = 2000, false
	s.Senders = senders(s.Users)
	s.Ramp = 3 * ramp
	s.Profile = load.Steady(underLoad, o.during+s.Ramp, s.Ramp)

	post := poster("http://"+p.address+"/api/v1/device/data/sync", func(now time.Time) []byte {
		return fmt.Appendf(nil, `{"deviceId":%q,"timestamp":%d,%s}`, probe, now.UnixMilli(), values)
	})
	if err := post(ctx, time.Now()); err != nil { // it is known before somebody asks for it
		return nil, err
	}
	sent := probes{at: map[int64]time.Time{}}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		wg   sync.WaitGroup
		errs = make(chan error, 3)
		ears = []*ear{{name: "WebSocket", open: openFrames, seen: metric.NewLatency()}, {name: "GraphQL", open: openGraph, seen: metric.NewLatency()}}
	)
	for _, x := range ears {
		c, err := x.open(ctx, p.address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.name, err)
		}
		over := context.AfterFunc(ctx, func() { _ = c.Close() })
		defer over()
		wg.Go(func() {
			if err := x.listen(c, &sent); ctx.Err() == nil {
				errs <- fmt.Errorf("%s: %w", x.name, err)
			}
		})
	}
	wg.Go(func() {
		select {
		case <-time.After(s.Ramp):
		case <-ctx.Done():
		}
		for ctx.Err() == nil {
			now := time.Now()
			sent.note(now)
			if err := post(ctx, now); err != nil && ctx.Err() == nil {
				errs <- err
				return
			}
			select {
			case <-time.After(probeEvery):
			case <-ctx.Done():
			}
		}
	})
	r, err := load.Run(ctx, s)
	stop()
	wg.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	if err != nil {
		return nil, err
	}
	c := r.Load.Counts()
	out := []value{
		{"readings/s beside", c.PerS},
		{"of them failed", float64(c.Sent - c.OK)},
		{"p99 of their POST, ms", r.Load.Latency().Quantile(0.99)},
		{"p99 by which the generator was late, ms", r.Load.Lateness().Quantile(0.99)},
	}
	for _, x := range ears {
		out = append(out, value{x.name + ", p50, ms", x.seen.Quantile(0.5)}, value{x.name + ", p99, ms", x.seen.Quantile(0.99)},
			value{x.name + ", heard of " + strconv.Itoa(sent.n), float64(x.seen.N())})
	}
	return out, nil
}

// probes are readings whose way is followed, by their time in ms.
type probes struct {
	mu sync.Mutex
	at map[int64]time.Time
	n  int
}

func (p *probes) note(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[now.UnixMilli()] = now
	p.n++
}

func (p *probes) since(ms int64, now time.Time) (float64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, known := p.at[ms]
	return float64(now.Sub(at)) / 1e6, known
}

// ear is one who listens for them.
type ear struct {
	name string
	open func(ctx context.Context, address string) (*websocket.Conn, error)
	seen *metric.Dist
}

// heard is what both kinds of frames have.
type heard struct {
	Type string
	Data struct {
		Timestamp int64
	}
	Payload struct {
		Data struct {
			Readings struct {
				Readings []struct{ Timestamp float64 }
			}
		}
	}
}

func (x *ear) listen(c *websocket.Conn, sent *probes) error {
	for {
		_, b, err := c.ReadMessage()
		now := time.Now()
		if err != nil {
			return err
		}
		var f heard
		if err := json.Unmarshal(b, &f); err != nil {
			return fmt.Errorf("%.200s: %w", b, err)
		}
		times := []int64{f.Data.Timestamp}
		for _, r := range f.Payload.Data.Readings.Readings {
			times = append(times, int64(r.Timestamp))
		}
		if f.Type == "error" {
			return fmt.Errorf("the server complains: %.200s", b)
		}
		for _, ms := range times {
			if d, known := sent.since(ms, now); known {
				x.seen.Add(d)
			}
		}
	}
}

func dial(ctx context.Context, url string, protocols ...string) (*websocket.Conn, error) {
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: 10 * time.Second}
	c, _, err := d.DialContext(ctx, url, http.Header{"Authorization": {"Bearer " + token}}) //nolint:bodyclose // it has been read
	return c, err
}

func openFrames(ctx context.Context, address string) (*websocket.Conn, error) {
	c, err := dial(ctx, "ws://"+address+"/api/v1/ws")
	if err != nil {
		return nil, err
	}
	return c, c.WriteMessage(websocket.TextMessage, []byte(`{"subscribe":{"devices":"`+probe+`","types":["reading"]}}`))
}

func openGraph(ctx context.Context, address string) (*websocket.Conn, error) {
	c, err := dial(ctx, "ws://"+address+"/graphql", "graphql-transport-ws")
	if err != nil {
		return nil, err
	}
	if err := c.WriteMessage(websocket.TextMessage, []byte(`{"type":"connection_init"}`)); err != nil {
		return nil, err
	}
	if _, b, err := c.ReadMessage(); err != nil {
		return nil, fmt.Errorf("%.200s: %w", b, err)
	}
	return c, c.WriteMessage(websocket.TextMessage,
		[]byte(`{"id":"1","type":"subscribe","payload":{"query":"subscription { readings(devices: \"`+probe+`\") { readings { timestamp } } }"}}`))
}

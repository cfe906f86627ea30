package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"yunchu/harness/load"
)

const (
	fanOut   = 500                    // WebSockets of the contest
	every    = 100 * time.Millisecond // between frames
	together = 22                     // devices in a frame, which makes 4 kB
	settling = 2 * time.Second        // in which clients come, for each thousand at least
)

// listeners is the load of clients that hear frames of many readings.
func listeners(address string, clients int, during time.Duration) load.Spec {
	ramp := settling + settling*time.Duration(clients/1000)
	return load.Spec{
		Target: load.Target{Address: address, Token: token}, Name: "peers", API: load.WS, Users: clients,
		Profile: load.Steady(1, during+ramp, 0), Ramp: ramp, Asked: []string{"peers-*"}, Frames: "readings", Seed: 1,
	}
}

// hear puts it on a server while a source speaks, and says besides how many frames were
// missed.
func hear(ctx context.Context, on *process, s load.Spec, post func(context.Context, time.Time) error) (figure, int64, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- speak(ctx, post) }()
	before, err := on.used()
	if err != nil {
		return figure{}, 0, err
	}
	r, err := load.Run(ctx, s)
	after, fault := on.used()
	err = errors.Join(err, fault)
	stop()
	if e := <-failed; e != nil && !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return figure{}, 0, err
	}
	c := r.Load.Counts()
	if r.Err != nil {
		return figure{}, 0, r.Err
	}
	return figure{
		rate: float64(c.Readings) / c.Seconds, p50: r.Load.Latency().Quantile(0.5), p99: r.Load.Latency().Quantile(0.99),
		cpu: float64((after - before).Microseconds()) / float64(c.OK), // also those of the ramp
	}, c.Errors["missed"], nil
}

// speak sends a body at each instant of a grid.
func speak(ctx context.Context, post func(context.Context, time.Time) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := post(ctx, time.Now()); err != nil {
			return err
		}
	}
}

// poster sends bodies to a URL.
func poster(url string, body func(now time.Time) []byte) func(context.Context, time.Time) error {
	return func(ctx context.Context, now time.Time) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body(now)))
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err == nil && a.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s answers %s: %.200s", url, a.Status, text)
		}
		return err
	}
}

const values = `"data":{"soc":51.23,"voltage":382.4,"current":125.6,"power":48.03,"temperature":25.3,"status":"charging"}`

// readingsOf is an array of readings of all devices of a frame.
func readingsOf(now time.Time) []byte {
	b := []byte{'['}
	for i := range together {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"deviceId":"peers-%03d","timestamp":%d,%s}`, i, now.UnixMilli(), values)
	}
	return append(b, ']')
}

// frameOf is what our WebSockets are sent of them.
func frameOf(now time.Time) []byte {
	b := []byte(`{"type":"readings","data":[`)
	for i := range together {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"deviceId":"peers-%03d","timestamp":%d,%s,"quality":"good","flags":[]}`, i, now.UnixMilli(), values)
	}
	return append(b, "]}"...)
}

func oursFanOut() peer {
	return peer{
		name: "yunchu serve", promise: "kept: readings are in the log before they are sent on",
		turn: func(ctx context.Context, o *options) (figure, error) {
			p, err := serve(ctx, o)
			if err != nil {
				return figure{}, err
			}
			defer p.stop()
			f, _, err := hear(ctx, p.process, listeners(p.address, fanOut, o.during), poster("http://"+p.address+"/api/v1/device/data/sync", readingsOf))
			return f, err
		},
	}
}

//go:embed fanout.mjs
var fanOutServer []byte

func nodeFanOut() peer {
	return peer{
		name: "node, ws 8", promise: "lost: it keeps nothing",
		turn: func(ctx context.Context, o *options) (figure, error) {
			p, at, err := startNode(ctx, o)
			if err != nil {
				return figure{}, err
			}
			defer p.stop()
			f, _, err := hear(ctx, p, listeners(at, fanOut, o.during), poster("http://"+at+"/", frameOf))
			return f, err
		},
	}
}

func startNode(ctx context.Context, o *options) (*process, string, error) {
	node, err := find("node", "nodejs")
	if err != nil {
		return nil, "", err
	}
	// The package is fetched once, beside the folders of the turns.
	if !isFile(filepath.Join(o.dir, "node_modules", "ws", "package.json")) {
		npm, err := find("npm", "npm")
		if err != nil {
			return nil, "", err
		}
		if out, err := exec.CommandContext(ctx, npm, "install", "--prefix", o.dir, "--no-audit", "--no-fund", "ws@8").CombinedOutput(); err != nil {
			return nil, "", fmt.Errorf("%w: npm install ws: %w: %.300s", errAbsent, err, out)
		}
	}
	dir, err := os.MkdirTemp(o.dir, "node-")
	if err != nil {
		return nil, "", err
	}
	script := filepath.Join(dir, "fanout.mjs")
	if err := os.WriteFile(script, fanOutServer, 0o600); err != nil {
		return nil, "", err
	}
	at, err := free()
	if err != nil {
		return nil, "", err
	}
	p, err := start(dir, nil, node, script, at)
	if err != nil {
		return nil, "", err
	}
	if err := p.until(ctx, open(at)); err != nil {
		p.stop()
		return nil, "", err
	}
	return p, at, nil
}

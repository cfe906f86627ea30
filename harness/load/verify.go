package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"yunchu/harness/metric"
)

// Client asks a plant what it has, over its API. Make one with [NewClient].
type Client struct {
	target Target
	base   string
	http   *http.Client
}

// ErrNotThere is returned for a plant that does not answer, or does not let us in.
var ErrNotThere = errors.New("the plant does not answer")

// errUnknownDevice is returned for what the plant has never heard of.
var errUnknownDevice = errors.New("the plant knows no such device")

// NewClient makes one; [Client.Close] ends it.
func NewClient(t Target) *Client {
	scheme := "http"
	if t.TLS != nil {
		scheme = "https"
	}
	c := &Client{target: t, base: scheme + "://" + t.Address, http: &http.Client{Timeout: 2 * giveUp}}
	c.http.Transport = &http.Transport{TLSClientConfig: t.TLS, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		if t.Dial != nil {
			return t.Dial(ctx, address)
		}
		d := net.Dialer{Timeout: giveUp}
		return d.DialContext(ctx, "tcp", address)
	}}
	return c
}

// Close gives up its connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// get decodes the answer to a GET.
func (c *Client) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, into)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.target.Token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotThere, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotThere, err)
	}
	if code := member(text, "code"); answer.StatusCode == http.StatusNotFound && code == "UNKNOWN_DEVICE" {
		return errUnknownDevice
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%w: %s %s: %s %s", ErrNotThere, method, path, answer.Status, member(text, "code"))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// About is what the plant attests of itself.
type About struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Binary     string   `json:"binary_sha256"`
	Tags       []string `json:"tags"`
	Simulation bool     `json:"simulation"`
	Role       string   `json:"role"`
}

// About asks it.
func (c *Client) About(ctx context.Context) (a About, err error) {
	return a, c.get(ctx, "/api/v1/system", &a)
}

// Devices are the ids of the plant's devices, by id; those that act alone where active is set.
func (c *Client) Devices(ctx context.Context, active bool) ([]string, error) {
	var ids []string
	for cursor := ""; ; {
		var page struct {
			Items []struct {
				DeviceID string `json:"deviceId"`
				State    string `json:"state"`
			} `json:"items"`
			Next string `json:"next"`
		}
		if err := c.get(ctx, "/api/v1/devices?limit=1000&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		for _, d := range page.Items {
			if !active || d.State == "active" {
				ids = append(ids, d.DeviceID)
			}
		}
		if cursor = page.Next; cursor == "" {
			return ids, nil
		}
	}
}

// Verified is what came of looking for acknowledged readings in the history.
type Verified struct {
	Acked, Looked, Lost int64
	Devices             int // that were looked at
	Example             string
}

// Verify looks for acknowledged readings in the history: all of them, or those of
// every k-th device where there are more than limit.
func (c *Client) Verify(ctx context.Context, acked map[string][]int64, limit int64) (Verified, error) {
	var v Verified
	ids := make([]string, 0, len(acked))
	for id, at := range acked {
		v.Acked += int64(len(at))
		if len(at) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	every := 1
	if v.Acked > limit {
		every = int((v.Acked + limit - 1) / limit)
	}
	for i := 0; i < len(ids); i += every {
		id := ids[i]
		lost, err := c.absent(ctx, id, acked[id])
		if err != nil {
			return v, fmt.Errorf("look for the acknowledged readings of %s: %w", id, err)
		}
		v.Devices++
		v.Looked += int64(len(acked[id]))
		if v.Lost += lost; lost > 0 && v.Example == "" {
			v.Example = fmt.Sprintf("%d of %d of %s", lost, len(acked[id]), id)
		}
	}
	return v, nil
}

// absent counts the timestamps that the history of a device does not have.
func (c *Client) absent(ctx context.Context, id string, at []int64) (int64, error) {
	left := make(map[int64]struct{}, len(at))
	from, to := at[0], at[0]
	for _, t := range at {
		left[t] = struct{}{}
		from, to = min(from, t), max(to, t)
	}
	for cursor := ""; ; {
		var page struct {
			Items []struct {
				Timestamp int64 `json:"timestamp"`
			} `json:"items"`
			Next string `json:"next"`
		}
		path := fmt.Sprintf("/api/v1/devices/%s/history?fields=soc&limit=10000&from=%d&to=%d&cursor=%s", id, from, to+1, url.QueryEscape(cursor))
		switch err := c.get(ctx, path, &page); {
		case errors.Is(err, errUnknownDevice): // acknowledged, and not even the device is there
			return int64(len(left)), nil
		case err != nil:
			return 0, err
		}
		for _, x := range page.Items {
			delete(left, x.Timestamp)
		}
		if cursor = page.Next; cursor == "" {
			return int64(len(left)), nil
		}
	}
}

// probe is the device that Delay sends readings of.
const probe = "load-probe"

// Delay measures until ctx ends, five times a second, how long after its own time
// a reading can be read back: it is sent, and the newest reading asked for until it
// is that one. Each probe is due at its instant, whatever became of the one before.
// It returns the delays in ms, and how many probes have failed.
func (c *Client) Delay(ctx context.Context) (d *metric.Dist, failed int64, acked []int64) {
	d = metric.NewLatency()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last int64
	for {
		var due time.Time
		select {
		case due = <-tick.C: // one that could not be taken in time waits, with its own time
		case <-ctx.Done():
			return d, failed, acked
		}
		at := max(due.UnixMilli(), last+1)
		last = at
		body := strconv.AppendInt([]byte(`{"deviceId":"`+probe+`","timestamp":`), at, 10)
		body = append(body, `,"data":{"soc":50,"voltage":380,"current":100,"power":38,"temperature":25,"status":"charging"}}`...)
		err := c.do(ctx, http.MethodPost, "/api/v1/device/data/sync", body, nil)
		if err == nil {
			acked = append(acked, at)
			err = c.seen(ctx, at, due.Add(giveUp))
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			failed++
		default:
			d.Add(max(float64(time.Now().UnixMicro())/1000-float64(at), 0))
		}
	}
}

// seen waits until the newest reading of the probe is that of an instant.
func (c *Client) seen(ctx context.Context, at int64, deadline time.Time) error {
	for {
		var latest struct {
			Timestamp int64 `json:"timestamp"`
		}
		if err := c.get(ctx, "/api/v1/devices/"+probe+"/latest", &latest); err != nil {
			return err
		}
		if latest.Timestamp >= at {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("it is not to be seen")
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

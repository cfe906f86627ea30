package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const token = "restart-0123456789abcdef"

// question is a request, and those that its answer's cursor asks for.
type question struct {
	name, path string
	values     url.Values
}

// ask starts the production binary on the folder and asks for the history over REST: a
// day of one device, an hour of the fleet, and the fleet's power in PromQL.
func ask(dir string, turns int) error {
	binary := filepath.Join(dir, "yunchu")
	if out, err := exec.Command("go", "build", "-tags", "nosim", "-o", binary, ".").CombinedOutput(); err != nil { //nolint:noctx // it ends by itself
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return err
	}
	address := l.Addr().String()
	l.Close() //nolint:errcheck // only its address is wanted
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("apiVersion: yunchu/v1\nkind: Config\nlisten: %q\ndata: %q\n", address, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	serve := exec.Command(binary, "serve", "-c", config) //nolint:noctx // it is stopped below
	serve.Env = append(os.Environ(), "YUNCHU_TOKEN="+token)
	var said strings.Builder
	serve.Stdout, serve.Stderr = &said, &said
	if err := serve.Start(); err != nil {
		return err
	}
	defer func() {
		_ = serve.Process.Signal(os.Interrupt)
		_ = serve.Wait()
	}()
	base := "http://" + address
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := get(new(bytes.Buffer), base+"/healthz"); err == nil {
			break
		} else if time.Now().After(until) {
			_ = serve.Process.Kill()
			_ = serve.Wait()
			return fmt.Errorf("serve does not become ready: %w\n%s", err, said.String())
		}
	}
	now := time.Now()
	to, day := now.Truncate(time.Minute), now.Truncate(time.Minute).Add(-24*time.Hour)
	ms := func(t time.Time) string { return fmt.Sprint(t.UnixMilli()) }
	s := func(t time.Time) string { return fmt.Sprint(t.Unix()) }
	device := "/api/v1/devices/ess-00007/history"
	for _, q := range []question{
		{"a day of a device, as stored", device, url.Values{"from": {ms(day)}, "to": {ms(to)}, "limit": {"10000"}}},
		{"a day of a device, power alone", device, url.Values{"from": {ms(day)}, "to": {ms(to)}, "limit": {"10000"}, "fields": {"power"}}},
		{"a day of a device by the minute", device, url.Values{"from": {ms(day)}, "to": {ms(to)}, "limit": {"10000"}, "step": {"1m"}}},
		{"an hour of the fleet by the minute", "/api/v1/history/aggregate", url.Values{"from": {ms(to.Add(-2 * time.Hour))}, "to": {ms(to.Add(-time.Hour))}, "step": {"1m"}, "fields": {"power,soc"}}},
		{"an hour of the fleet by the hour", "/api/v1/history/aggregate", url.Values{"from": {ms(to.Add(-2 * time.Hour))}, "to": {ms(to.Add(-time.Hour))}, "step": {"1h"}, "fields": {"power,soc"}}},
		{"PromQL: a day of sum(power) of the fleet by 5 minutes", "/api/v1/query_range", url.Values{"query": {"sum(yunchu_device_power_kw)"}, "start": {s(day)}, "end": {s(to)}, "step": {"5m"}}},
		{"PromQL: a day of hourly means of power of the fleet", "/api/v1/query_range", url.Values{"query": {"sum(avg_over_time(yunchu_device_power_kw[1h]))"}, "start": {s(day.Truncate(time.Hour))}, "end": {s(to.Truncate(time.Hour))}, "step": {"1h"}}},
		{"PromQL: the same of the state of charge", "/api/v1/query_range", url.Values{"query": {"avg(avg_over_time(yunchu_device_soc_percent[1h]))"}, "start": {s(day.Truncate(time.Hour))}, "end": {s(to.Truncate(time.Hour))}, "step": {"1h"}}},
	} {
		if err := q.measure(base, turns); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return nil
}

// measure tells the median of some turns.
func (q *question) measure(base string, turns int) error {
	var took []time.Duration
	var (
		size, requests int
		room           bytes.Buffer
	)
	for range turns {
		begin := time.Now()
		size, requests = 0, 0
		values := url.Values{}
		maps.Copy(values, q.values)
		for {
			next, err := get(&room, base+q.path+"?"+values.Encode())
			if err != nil {
				return err
			}
			size, requests = size+room.Len(), requests+1
			if next == "" {
				break
			}
			values.Set("cursor", next)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	fmt.Fprintf(os.Stdout, "%s: %.1f ms (%.1f to %.1f), %d requests, %d kB\n", q.name, float64(took[len(took)/2].Microseconds())/1000,
		float64(took[0].Microseconds())/1000, float64(took[len(took)-1].Microseconds())/1000, requests, size/1000)
	return nil
}

// get reads what a URL answers into room, which is made once: how long a client takes to find
// memory is its own. It returns the cursor at the end of a page.
func get(room *bytes.Buffer, address string) (next string, err error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer a.Body.Close()
	room.Reset()
	if _, err := room.ReadFrom(a.Body); err != nil {
		return "", err
	}
	b := room.Bytes()
	if a.StatusCode != http.StatusOK {
		return "", errors.New(a.Status + ": " + string(b[:min(len(b), 300)]))
	}
	// The whole answer is not parsed: that would be the client's time.
	var tail struct {
		Next string `json:"next"`
	}
	if i := lastIndex(b, `],"next":`); i >= 0 {
		_ = json.Unmarshal(append([]byte("{"), b[i+2:]...), &tail) // without one there is no next page
	}
	return tail.Next, nil
}

func lastIndex(b []byte, s string) int {
	from := max(0, len(b)-4096)
	for i := len(b) - len(s); i >= from; i-- {
		if string(b[i:i+len(s)]) == s {
			return i
		}
	}
	return -1
}

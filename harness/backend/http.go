package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Handler answers for a face over HTTP:
//
//	GET    /faults                       the kinds that can be injected
//	GET    /devices/{id}/truth           what a perfect instrument shows
//	PUT    /devices/{id}/grid            {"hz":50,"voltage_percent":100}
//	POST   /devices/{id}/faults          {"kind":…}, answers {"id":"1"}
//	DELETE /faults/{id}                  ends it
//
// A fault lasts until it is ended; faults that a client has left behind end with the
// process.
func Handler(f Face) http.Handler {
	h := &server{face: f, ends: map[string]func(context.Context) error{}}
	m := http.NewServeMux()
	m.HandleFunc("GET /faults", h.kinds)
	m.HandleFunc("GET /devices/{id}/truth", h.truth)
	m.HandleFunc("PUT /devices/{id}/grid", h.grid)
	m.HandleFunc("POST /devices/{id}/faults", h.inject)
	m.HandleFunc("DELETE /faults/{id}", h.end)
	return m
}

type server struct {
	face Face
	mu   sync.Mutex
	n    int
	ends map[string]func(context.Context) error
}

func (h *server) kinds(w http.ResponseWriter, r *http.Request) {
	k, err := h.face.Faults(r.Context())
	reply(w, k, err)
}

func (h *server) truth(w http.ResponseWriter, r *http.Request) {
	t, err := h.face.Truth(r.Context(), r.PathValue("id"))
	reply(w, t, err)
}

type gridBody struct {
	Hz      float64 `json:"hz"`
	Voltage float64 `json:"voltage_percent"`
}

func (h *server) grid(w http.ResponseWriter, r *http.Request) {
	var g gridBody
	if !body(w, r, &g) {
		return
	}
	reply(w, struct{}{}, h.face.Grid(r.Context(), r.PathValue("id"), g.Hz, g.Voltage))
}

type number struct {
	ID string `json:"id"`
}

func (h *server) inject(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if !body(w, r, &f) {
		return
	}
	end, err := h.face.Inject(r.Context(), r.PathValue("id"), f)
	if err != nil {
		reply(w, nil, err)
		return
	}
	h.mu.Lock()
	h.n++
	id := strconv.Itoa(h.n)
	h.ends[id] = end
	h.mu.Unlock()
	reply(w, number{id}, nil)
}

func (h *server) end(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	h.mu.Lock()
	end, ok := h.ends[id]
	delete(h.ends, id)
	h.mu.Unlock()
	if !ok {
		reply(w, nil, fmt.Errorf("fault %s: %w", id, ErrUnknown))
		return
	}
	reply(w, struct{}{}, end(r.Context()))
}

func body(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("want one object, and nothing behind it")
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func reply(w http.ResponseWriter, v any, err error) {
	switch {
	case errors.Is(err, ErrUnknown):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // who has gone hears nothing
	}
}

// Client is the face of a rig that another process on this machine serves.
type Client struct {
	base string
	http *http.Client
}

var _ Face = (*Client)(nil)

// answerWithin bounds one request: what is asked is done at once, or not.
const answerWithin = 2 * time.Second

// Dial returns the face behind an address tcp://host:port and asks whether it is
// there.
func Dial(ctx context.Context, address string) (*Client, error) {
	host, ok := strings.CutPrefix(address, "tcp://")
	if !ok {
		return nil, fmt.Errorf("backend %q: write tcp://host:port", address)
	}
	c := &Client{"http://" + host, &http.Client{Timeout: answerWithin}}
	if _, err := c.Faults(ctx); err != nil {
		c.http.CloseIdleConnections()
		return nil, fmt.Errorf("backend %s: %w", address, err)
	}
	return c, nil
}

// Close lets go of the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Faults implements Face.
func (c *Client) Faults(ctx context.Context) (kinds []string, err error) {
	return kinds, c.do(ctx, http.MethodGet, "/faults", nil, &kinds)
}

// Truth implements Face.
func (c *Client) Truth(ctx context.Context, device string) (t Truth, err error) {
	return t, c.do(ctx, http.MethodGet, "/devices/"+device+"/truth", nil, &t)
}

// Grid implements Face.
func (c *Client) Grid(ctx context.Context, device string, hz, voltage float64) error {
	return c.do(ctx, http.MethodPut, "/devices/"+device+"/grid", gridBody{hz, voltage}, nil)
}

// Inject implements Face.
func (c *Client) Inject(ctx context.Context, device string, f Fault) (end func(context.Context) error, err error) {
	var n number
	if err := c.do(ctx, http.MethodPost, "/devices/"+device+"/faults", f, &n); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return c.do(ctx, http.MethodDelete, "/faults/"+n.ID, nil, nil) }, nil
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) (err error) {
	var send io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		send = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, send)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	a, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer func() { err = errors.Join(err, a.Body.Close()) }()
	text, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	switch {
	case a.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %w", strings.TrimSpace(string(text)), ErrUnknown)
	case a.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s: %s", method, path, strings.TrimSpace(string(text)))
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// ErrNotLocal: the backend of a rig is for this machine alone.
var ErrNotLocal = errors.New("a backend listens on this machine only: 127.0.0.1 or [::1]")

// Listen opens the listener of a backend at tcp://host:port.
func Listen(address string) (net.Listener, error) {
	host, ok := strings.CutPrefix(address, "tcp://")
	if !ok {
		return nil, fmt.Errorf("backend %q: write tcp://host:port", address)
	}
	if h, _, err := net.SplitHostPort(host); err != nil {
		return nil, fmt.Errorf("backend %q: %w", address, err)
	} else if ip := net.ParseIP(h); h != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("backend %q: %w", address, ErrNotLocal)
	}
	l, err := net.Listen("tcp", host)
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	return l, nil
}

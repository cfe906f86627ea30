package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"yunchu/harness/metric"
)

// readRoom takes a frame of 4 kB whole, so that it is one call of the system.
const readRoom = 8 << 10

// subscriber is a WebSocket that hears the readings of a device. What it measures
// is their age when they arrive, by the time that they carry themselves, and how
// many it has missed.
type subscriber struct {
	spec *Spec
	glob string
	conn *websocket.Conn
	lag  int64 // as it was told last
}

func newSubscriber(s *Spec, glob string) *subscriber { return &subscriber{spec: s, glob: glob} }

func (s *subscriber) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	scheme := "ws"
	if s.spec.TLS != nil {
		scheme = "wss"
	}
	d := websocket.Dialer{
		NetDialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return s.spec.Dial(ctx, address)
		},
		TLSClientConfig: s.spec.TLS, HandshakeTimeout: giveUp, ReadBufferSize: readRoom, WriteBufferSize: 256,
	}
	c, answer, err := d.DialContext( //nolint:bodyclose // the library has read what it shows of it
		ctx, scheme+"://"+s.spec.Address+"/api/v1/ws", http.Header{"Authorization": {"Bearer " + s.spec.Token}},
	)
	if errors.Is(err, websocket.ErrBadHandshake) {
		return fmt.Errorf("the WebSocket is refused with %s", answer.Status)
	}
	if err != nil {
		return err
	}
	var ask struct {
		Subscribe struct {
			Devices string   `json:"devices"`
			Types   []string `json:"types"`
		} `json:"subscribe"`
	}
	frames := s.spec.Frames
	if frames == "" {
		frames = "reading"
	}
	ask.Subscribe.Devices, ask.Subscribe.Types = s.glob, []string{frames}
	if err := c.WriteJSON(ask); err != nil {
		return errors.Join(err, c.Close())
	}
	s.conn, s.lag = c, 0
	return nil
}

func (*subscriber) exchange(time.Time, time.Time) (int, string, error) {
	return 0, "", errors.ErrUnsupported // a subscriber asks for nothing: see user.subscribe
}

func (*subscriber) restEvery() time.Duration { return 0 }

func (*subscriber) rest(time.Time) error { return nil }

func (s *subscriber) close() {
	if s.conn != nil {
		_ = s.conn.Close() // nothing is lost: what has arrived is counted
		s.conn = nil
	}
}

// subscribe hears to the end of the load. A connection that ends is an error, and
// is made again a second later.
func (u *user) subscribe(ctx context.Context, s *subscriber) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-u.begun:
			time.AfterFunc(time.Until(u.start.Add(u.length)), stop)
		case <-ctx.Done():
		}
	}()
	for ctx.Err() == nil {
		if !u.up {
			if u.connect(ctx); !u.up {
				u.broken(ctx, "not connected")
				continue
			}
		}
		conn := s.conn
		over := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // wakes the reader
		err := u.hear(s)
		over()
		if ctx.Err() != nil {
			return
		}
		u.failed(err)
		u.broken(ctx, reason(err))
	}
}

// counts reports whether the load has begun. What is heard before is not measured.
func (u *user) counts(now time.Time) bool {
	select {
	case <-u.begun:
		return !now.Before(u.start)
	default:
		return false
	}
}

// broken notes that nothing can be heard, and waits a second.
func (u *user) broken(ctx context.Context, code string) {
	if ctx.Err() != nil {
		return
	}
	if now := time.Now(); u.counts(now) {
		u.note(metric.Answer{DueS: now.Sub(u.start).Seconds(), Code: code})
	}
	u.wait(ctx, time.Now().Add(time.Second))
}

// hear counts what arrives until the connection ends.
func (u *user) hear(s *subscriber) error {
	var buf bytes.Buffer
	for {
		_, r, err := s.conn.NextReader()
		if err != nil {
			return err
		}
		buf.Reset()
		if _, err := buf.ReadFrom(r); err != nil {
			return err
		}
		now := time.Now()
		f, err := parseFrame(buf.Bytes())
		if err != nil {
			return err
		}
		if f.kind == "error" {
			return fmt.Errorf("the server complains: %.200s", buf.Bytes())
		}
		if !u.counts(now) { // u.start is not known yet
			s.lag = max(s.lag, f.lag)
			continue
		}
		since := now.Sub(u.start)
		a := metric.Answer{DueS: since.Seconds(), Ramp: since < u.Ramp}
		if f.kind == "reading" || f.kind == "readings" {
			a.Items = 1
			// The machine that stamps a reading may be ahead of ours by a little.
			a.MS = max(float64(now.UnixMicro())/1000-float64(f.at), 0)
			u.note(a)
		}
		for ; s.lag < f.lag; s.lag++ { // each of them was due and did not come
			u.note(metric.Answer{DueS: a.DueS, Ramp: a.Ramp, Code: "missed", MS: a.MS})
		}
	}
}

// frame is what is looked at of a frame of the server.
type frame struct {
	kind string
	at   int64 // timestamp of a reading, ms
	lag  int64
}

// parseFrame reads what the server sends: {"type":…,"data":{"timestamp":…},"lag":n}, or
// a list of data, of which the first counts.
// The usual form, in which type and timestamp come first, takes no allocation.
func parseFrame(b []byte) (frame, error) {
	if rest, ok := bytes.CutPrefix(b, []byte(`{"type":"readings","data":[{"deviceId":"`)); ok {
		_, rest, ok = bytes.Cut(rest, []byte(`","timestamp":`))
		digits := rest[:max(bytes.IndexByte(rest, ','), 0)]
		at, err := strconv.ParseInt(string(digits), 10, 64)
		if ok && err == nil {
			return frame{kind: "readings", at: at}, nil
		}
	}
	if rest, ok := bytes.CutPrefix(b, []byte(`{"type":"reading","deviceId":"`)); ok && !bytes.Contains(b, []byte(`"lag"`)) {
		if _, rest, ok = bytes.Cut(rest, []byte(`","data":{"timestamp":`)); ok {
			digits := rest[:max(bytes.IndexByte(rest, ','), 0)]
			if at, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
				return frame{kind: "reading", at: at}, nil
			}
		}
	}
	var in struct {
		Type string          `json:"type"`
		Lag  float64         `json:"lag"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return frame{}, fmt.Errorf("a frame that is not JSON: %w", err)
	}
	f := frame{kind: in.Type, lag: int64(min(max(in.Lag, 0), 1e6))}
	if in.Type == "readings" {
		var list []json.RawMessage
		if err := json.Unmarshal(in.Data, &list); err != nil || len(list) == 0 {
			return frame{}, fmt.Errorf("a frame without readings: %.100s", b)
		}
		in.Data = list[0]
	}
	if in.Type == "reading" || in.Type == "readings" {
		var data struct {
			Timestamp *int64 `json:"timestamp"`
		}
		if err := json.Unmarshal(in.Data, &data); err != nil || data.Timestamp == nil {
			return frame{}, fmt.Errorf("a reading without a timestamp: %.100s", b)
		}
		f.at = *data.Timestamp
	}
	return f, nil
}

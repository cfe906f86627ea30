// Package remotewrite sends readings to a store that takes Prometheus's remote write
// 1.0: Prometheus itself, VictoriaMetrics, Mimir, Thanos and others.
//
// It reads the log behind ingest and keeps nobody waiting. How far it has come lies
// in a file, which is written after what it stands for was acknowledged: each
// reading is sent at least once, across restarts and outages of the receiver, as
// long as the log reaches back. The plant keeps the log for it up to a bound
// (Needs); what was trimmed beyond is counted as skipped.
package remotewrite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/durable"
	"yunchu/platform/promql"
	"yunchu/platform/sample"
)

const (
	rowsARequest = 500    // about 5,000 samples
	rowsARound   = 20_000 // that are held at once
	pollEvery    = time.Second
	firstRetry   = 100 * time.Millisecond
	lastRetry    = 30 * time.Second
	defaultMax   = 200_000
)

// Options say where to and from where. URL, Bus, Device and File are required.
type Options struct {
	URL       string
	TokenFile string // of a bearer token, read for each request; empty: none
	// MaxBehind is how many messages of the log are kept for a receiver that does not
	// answer; 0 = 200,000.
	MaxBehind uint64
	Bus       bus.Bus
	Device    func(device.Slot) (device.Info, bool)
	File      string // of the position
	Client    *http.Client
	Log       *slog.Logger
}

// Stats count since the start.
type Stats struct {
	Samples  atomic.Int64 // acknowledged by the receiver
	Rejected atomic.Int64 // readings that it refuses for good, such as late ones
	Retries  atomic.Int64
	Skipped  atomic.Int64 // messages of the log that were trimmed before they were sent
	Behind   atomic.Int64 // messages of the log that wait
}

// Writer sends to one receiver.
type Writer struct {
	opt   Options
	name  string // of the receiver, without its password
	Stats Stats
	pos   atomic.Uint64 // the last message that is done with
	last  atomic.Uint64 // of the log, as seen last
	saved uint64
	body  []byte
}

// position is what lies in the file.
type position struct {
	URL string `json:"url"` // without its password
	Seq uint64 `json:"seq"`
}

// New reads the position. Without one, or with that of another receiver, it begins
// with what the log still has.
func New(opt Options) (*Writer, error) {
	if opt.MaxBehind == 0 {
		opt.MaxBehind = defaultMax
	}
	if opt.Client == nil {
		opt.Client = &http.Client{Timeout: 30 * time.Second}
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	u, err := url.Parse(opt.URL)
	if err != nil {
		return nil, fmt.Errorf("remote write: %w", err)
	}
	w := &Writer{opt: opt, name: u.Redacted()}
	data, err := os.ReadFile(opt.File)
	var p position
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read the position of remote write: %w", err)
	case json.Unmarshal(data, &p) != nil:
		return nil, fmt.Errorf("the position of remote write in %s cannot be read; remove it to begin with what the log has", opt.File)
	case p.URL == w.name:
		w.pos.Store(p.Seq)
		w.saved = p.Seq
	}
	return w, nil
}

// Needs is the first message of the log that must be kept for the receiver.
func (w *Writer) Needs() uint64 {
	next := w.pos.Load() + 1
	if last := w.last.Load(); last > w.opt.MaxBehind {
		next = max(next, last-w.opt.MaxBehind)
	}
	return next
}

// Run sends until ctx ends. What goes wrong meanwhile is logged and tried again.
func (w *Writer) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		more, err := w.round(ctx)
		if e := w.save(); err == nil {
			err = e
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// The log and the disk are others' to stop for. This goes on when they do.
			w.opt.Log.Error("remote write stands still", "receiver", w.name, "error", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// row is a reading and the message that it came with.
type row struct {
	device.Reading
	seq uint64
}

// round sends up to about rowsARound readings; more reports whether others wait.
func (w *Writer) round(ctx context.Context) (more bool, err error) {
	first, last, err := w.opt.Bus.Bounds(bus.Data)
	if err != nil {
		return false, err
	}
	w.last.Store(last)
	pos := w.pos.Load()
	if pos > last { // of another log
		pos = 0
		w.pos.Store(0)
	}
	if first > pos+1 {
		if pos > 0 {
			w.Stats.Skipped.Add(int64(first - pos - 1))
			w.opt.Log.Warn("remote write has missed what the log no longer has", "receiver", w.name, "messages", first-pos-1)
		}
		pos = first - 1
		w.pos.Store(pos)
	}
	w.Stats.Behind.Store(int64(last - pos))
	if pos >= last {
		return false, nil
	}
	var rows []row
	enough, stop := context.WithCancel(ctx)
	defer stop()
	err = w.opt.Bus.Replay(enough, bus.Data, pos+1, func(seq uint64, f device.Frame) {
		if enough.Err() != nil {
			return
		}
		if r, ok := f.(*device.Readings); ok {
			for i := range r.Slot {
				rows = append(rows, row{seq: seq})
				r.Row(i, &rows[len(rows)-1].Reading)
			}
		}
		pos = seq
		if len(rows) >= rowsARound {
			stop()
		}
	})
	if err != nil && (enough.Err() == nil || ctx.Err() != nil) { // not because it is enough
		return false, err
	}
	for len(rows) > 0 {
		n := min(len(rows), rowsARequest)
		if err := w.send(ctx, rows[:n]); err != nil {
			return false, err
		}
		// A message is done with when all of its readings are.
		if n == len(rows) {
			break
		}
		w.pos.Store(rows[n].seq - 1)
		rows = rows[n:]
	}
	w.pos.Store(pos)
	w.Stats.Behind.Store(int64(last - pos))
	return pos < last, nil
}

// errRefused: the receiver will never take these readings.
var errRefused = errors.New("refused by the receiver")

// send sends readings until the receiver has them or refuses them for good. Of a
// request that it refuses both halves are sent by themselves, so that a reading that
// it does not want takes no other with it.
func (w *Writer) send(ctx context.Context, rows []row) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		after, err := w.post(ctx, rows)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errRefused) && len(rows) > 1:
			if err := w.send(ctx, rows[:len(rows)/2]); err != nil {
				return err
			}
			return w.send(ctx, rows[len(rows)/2:])
		case errors.Is(err, errRefused):
			w.Stats.Rejected.Add(1)
			w.opt.Log.Debug("a reading is refused", "receiver", w.name, "slot", rows[0].Slot, "at", rows[0].At, "error", err)
			return nil
		}
		if w.Stats.Retries.Add(1); wait == firstRetry || wait == lastRetry {
			w.opt.Log.Warn("remote write fails, will try again", "receiver", w.name, "error", err)
		}
		timer := time.NewTimer(max(wait, after))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// post sends one request. after is how long the receiver wants to be left alone.
func (w *Writer) post(ctx context.Context, rows []row) (after time.Duration, err error) {
	var samples int
	w.body, samples = w.encode(w.body[:0], rows)
	if samples == 0 {
		return 0, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.opt.URL, bytes.NewReader(snappy.Encode(nil, w.body)))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	r.Header.Set("User-Agent", "yunchu")
	if w.opt.TokenFile != "" {
		token, err := os.ReadFile(w.opt.TokenFile)
		if err != nil {
			return 0, fmt.Errorf("read the token: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	a, err := w.opt.Client.Do(r)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(a.Body, 512))
	if a.StatusCode/100 == 2 {
		w.Stats.Samples.Add(int64(samples))
		return 0, nil
	}
	err = fmt.Errorf("%s: %s", a.Status, bytes.TrimSpace(text))
	switch a.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return 0, fmt.Errorf("%w: %w", errRefused, err)
	}
	// What is left, a wrong token among it, somebody can mend.
	if s, e := strconv.Atoi(a.Header.Get("Retry-After")); e == nil && s > 0 {
		after = min(time.Duration(s)*time.Second, 5*time.Minute)
	}
	return after, err
}

// encode appends a prometheus.WriteRequest: series of labels and samples, those of a
// series in the order of the rows.
func (w *Writer) encode(b []byte, rows []row) (_ []byte, samples int) {
	bySlot := map[device.Slot][]int{}
	var slots []device.Slot
	for i := range rows {
		s := rows[i].Slot
		if bySlot[s] == nil {
			slots = append(slots, s)
		}
		bySlot[s] = append(bySlot[s], i)
	}
	var one, part []byte
	for _, s := range slots {
		info, ok := w.opt.Device(s)
		if !ok {
			continue
		}
		for k := range sample.Devices {
			m := &sample.Devices[k]
			one = one[:0]
			n := 0
			for _, i := range bySlot[s] {
				v, ok := m.Value(&rows[i].Reading)
				if !ok {
					continue
				}
				if n == 0 {
					one = appendLabels(one, sample.Labels(m, &info))
				}
				part = protowire.AppendTag(part[:0], 1, protowire.Fixed64Type)
				part = protowire.AppendFixed64(part, math.Float64bits(v))
				part = protowire.AppendTag(part, 2, protowire.VarintType)
				part = protowire.AppendVarint(part, uint64(rows[i].At))
				one = protowire.AppendTag(one, 2, protowire.BytesType)
				one = protowire.AppendBytes(one, part)
				n++
			}
			if n > 0 {
				b = protowire.AppendTag(b, 1, protowire.BytesType)
				b = protowire.AppendBytes(b, one)
				samples += n
			}
		}
	}
	return b, samples
}

func appendLabels(b []byte, l promql.Labels) []byte {
	var part []byte
	for i := range l {
		part = protowire.AppendTag(part[:0], 1, protowire.BytesType)
		part = protowire.AppendString(part, l[i].Name)
		part = protowire.AppendTag(part, 2, protowire.BytesType)
		part = protowire.AppendString(part, l[i].Value)
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		b = protowire.AppendBytes(b, part)
	}
	return b
}

// save makes the position durable, if it has changed.
func (w *Writer) save() error {
	p := position{w.name, w.pos.Load()}
	if p.Seq == w.saved {
		return nil
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	err = errors.Join(os.MkdirAll(filepath.Dir(w.opt.File), 0o700), durable.WriteFile(w.opt.File, data, 0o600))
	if err != nil {
		return fmt.Errorf("write the position of remote write: %w", err)
	}
	w.saved = p.Seq
	return nil
}

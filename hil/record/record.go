// Package record keeps what crossed the links of a device, so that a device can be
// answered from the recording later. A recording is JSON lines that a person can
// read: a head, then one line for each message, in order, and at last a line that says
// how it ended. A name that ends in .gz is compressed.
package record

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"yunchu/platform/device"
)

// Head is the first line: how the device is to be reached again.
type Head struct {
	Yunchu  string          `json:"yunchu"` // recording
	Version int             `json:"version"`
	ID      device.ID       `json:"id"`
	Started time.Time       `json:"started"`
	Info    device.Info     `json:"info"`   // its nameplate
	Device  json.RawMessage `json:"device"` // what hil.Open was given: kind, profile, unit, rating, and no secrets
}

const (
	mark    = "recording"
	version = 3 // 1 knew neither began nor commands, 2 not when the device was armed
)

// line is one message, or with Command one command that has ended, or with Began where
// the time of the run begins, or with Armed where the device may act from, or with End the
// last line.
type line struct {
	MS      float64 `json:"t_ms"` // since Started
	Link    string  `json:"link,omitempty"`
	Out     bool    `json:"out,omitempty"`
	Data    string  `json:"data,omitempty"` // hex
	Command string  `json:"command,omitempty"`
	PowerKW float64 `json:"power_kw,omitempty"`
	TookMS  float64 `json:"took_ms,omitempty"`
	Began   bool    `json:"began,omitempty"`
	Armed   bool    `json:"armed,omitempty"`
	End     string  `json:"end,omitempty"`
}

// Command is what the device was asked for: what crossed its links meanwhile says so in
// its own words.
type Command struct {
	At, Done time.Time // handed over, and answered
	Verb     device.Verb
	PowerKW  float64
}

// How a recording ends.
const (
	closed = "closed"
	full   = "full"
)

// DefaultLimit bounds a recording, in bytes before compression: a rig that is polled
// ten times a second fills it in about a day.
const DefaultLimit = 1 << 30

// maxData bounds a message, in bytes: a Modbus frame has 260, an MQTT message is bounded
// by its broker, or not.
const maxData = 1 << 20

// flushEvery bounds, in time that was recorded, what a crash of this process loses.
const flushEvery = time.Second

// Writer writes a recording. It may be used by several goroutines. A Writer that has
// failed drops what follows; Close returns the first error.
type Writer struct {
	mu      sync.Mutex
	file    io.Closer
	size    counter
	zip     *gzip.Writer // nil: not compressed
	out     *bufio.Writer
	started time.Time
	left    int           // bytes
	last    time.Duration // of the newest message
	flushed time.Duration // when the file held all of it
	full    bool
	err     error
	dropped int
}

// Create makes a recording at path. limit bounds its bytes, 0 is DefaultLimit.
func Create(path string, h Head, limit int) (*Writer, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	w, err := newWriter(f, strings.HasSuffix(path, ".gz"), h, limit)
	if err != nil {
		return nil, fmt.Errorf("record: %w", errors.Join(err, f.Close()))
	}
	return w, nil
}

func newWriter(to io.WriteCloser, zip bool, h Head, limit int) (*Writer, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	h.Yunchu, h.Version, h.Started = mark, version, h.Started.UTC()
	w := &Writer{file: to, started: h.Started, left: limit, size: counter{to: to}}
	if zip {
		w.zip = gzip.NewWriter(&w.size)
		w.out = bufio.NewWriter(w.zip)
	} else {
		w.out = bufio.NewWriter(&w.size)
	}
	w.line(h)
	w.flush()
	return w, w.err
}

// Tap notes what crosses a link; its name tells the links of one device apart.
func (w *Writer) Tap(link string) device.Tap {
	return func(c device.Crossing) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.full || len(c.Data) > maxData {
			w.dropped++
			return
		}
		w.note(c.At, line{Link: link, Out: c.Out, Data: hex.EncodeToString(c.Data)})
	}
}

// Command notes that the device was given a command, and has answered or not.
func (w *Writer) Command(c Command) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full || !device.Finite(c.PowerKW) {
		w.dropped++
		return
	}
	w.note(c.Done, line{Command: c.Verb.String(), PowerKW: c.PowerKW, TookMS: milliseconds(c.Done.Sub(c.At))})
}

// Told notes a command that the device is given now; its answer is there when ended is called.
func (w *Writer) Told(c device.Command) (ended func()) {
	at := time.Now() // as what crosses the link is noted
	return func() { w.Command(Command{At: at, Done: time.Now(), Verb: c.Verb, PowerKW: c.Power}) }
}

// Begin notes when the run began that is recorded, and with it the time of its timeline.
func (w *Writer) Begin(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.full {
		w.note(at, line{Began: true})
	}
}

// Armed notes from when on the device may act.
func (w *Writer) Armed(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.full {
		w.note(at, line{Armed: true})
	}
}

// note writes a line, in the order in which it came, whatever two clocks say of it. The
// caller holds mu.
func (w *Writer) note(at time.Time, l line) {
	w.last = max(w.last, at.Sub(w.started))
	l.MS = w.ms()
	w.line(l)
	if w.left <= 0 {
		w.full = true
		w.line(line{MS: w.ms(), End: full})
	}
	if w.full || w.last-w.flushed >= flushEvery {
		w.flush()
		w.flushed = w.last
	}
}

// ms is the time of the newest message, in microseconds' steps. The caller holds mu.
func (w *Writer) ms() float64 { return milliseconds(w.last) }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// line writes v. The caller holds mu.
func (w *Writer) line(v any) {
	if w.err != nil {
		return
	}
	b, err := json.Marshal(v)
	if err == nil {
		w.left -= len(b) + 1
		_, err = w.out.Write(append(b, '\n'))
	}
	w.err = err
}

// flush hands all to the operating system. The caller holds mu.
func (w *Writer) flush() {
	err := w.out.Flush()
	if err == nil && w.zip != nil {
		err = w.zip.Flush()
	}
	if w.err == nil {
		w.err = err
	}
}

// Close ends the recording. Full, it holds less than crossed, and says so.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.full {
		w.line(line{MS: w.ms(), End: closed})
	}
	w.full = true // whoever still taps is late
	w.flush()
	errs := []error{w.err}
	if w.zip != nil {
		errs = append(errs, w.zip.Close())
	}
	return errors.Join(append(errs, w.file.Close())...)
}

// counter counts what is written to a file.
type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}

// written is how many bytes the file has.
func (w *Writer) written() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.size.n
}

// failed is the first error.
func (w *Writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Dropped is how many messages were not taken: by a full recording, or longer than it
// keeps.
func (w *Writer) Dropped() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

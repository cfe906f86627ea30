// Package record keeps what crossed the links of a device, so that a device can be
// answered from the recording later. A recording is JSON lines that a person can
// read: a head, then one line for each message, in order. A name that ends in .gz is
// compressed.
package record

import (
	"bufio"
	"bytes"
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
	Device  json.RawMessage `json:"device"` // what hil.Open was given, without secrets
}

const (
	mark    = "recording"
	version = 1
	// maxLine bounds a line: a Modbus frame has 260 bytes, an MQTT message is bounded
	// by its broker.
	maxLine = 4 << 20
)

// line is one message, or with End the last line of a recording that was closed.
type line struct {
	MS   float64 `json:"t_ms"` // since Started
	Link string  `json:"link,omitempty"`
	Out  bool    `json:"out,omitempty"`
	Data string  `json:"data,omitempty"` // hex
	End  string  `json:"end,omitempty"`  // closed, or full
}

// Errors of reading.
var (
	// ErrFormat: the file is no recording, or not of this version.
	ErrFormat = errors.New("not a recording")
)

// DefaultLimit bounds a recording, in bytes before compression: a rig that is polled
// ten times a second fills it in about a day.
const DefaultLimit = 1 << 30

// Writer writes a recording. It may be used by several goroutines. A Writer that has
// failed drops what follows; Close returns the first error.
type Writer struct {
	mu      sync.Mutex
	file    io.Closer
	zip     *gzip.Writer
	out     *bufio.Writer
	started time.Time
	left    int
	last    float64
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
	w, err := newWriter(f, f, strings.HasSuffix(path, ".gz"), h, limit)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

func newWriter(to io.Writer, file io.Closer, zip bool, h Head, limit int) (*Writer, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	h.Yunchu, h.Version, h.Started = mark, version, h.Started.UTC()
	w := &Writer{file: file, started: h.Started, left: limit}
	if zip {
		w.zip = gzip.NewWriter(to)
		to = w.zip
	}
	w.out = bufio.NewWriterSize(to, 1<<16)
	w.line(h)
	return w, w.err
}

// Tap notes what crosses a link; its name tells the links of one device apart.
func (w *Writer) Tap(link string) device.Tap {
	return func(c device.Crossing) {
		w.mu.Lock()
		defer w.mu.Unlock()
		// In the order in which they crossed, whatever two clocks say of it.
		w.last = max(w.last, float64(c.At.Sub(w.started).Microseconds())/1000)
		if w.full {
			w.dropped++
			return
		}
		w.line(line{MS: w.last, Link: link, Out: c.Out, Data: hex.EncodeToString(c.Data)})
		if w.left <= 0 {
			w.full = true
			w.line(line{MS: w.last, End: "full"})
		}
	}
}

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

// Close ends the recording. Full, it holds less than crossed, and says so.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.full {
		w.line(line{MS: w.last, End: "closed"})
	}
	errs := []error{w.err, w.out.Flush()}
	if w.zip != nil {
		errs = append(errs, w.zip.Close())
	}
	return errors.Join(append(errs, w.file.Close())...)
}

// Dropped is how many messages a full recording has not taken.
func (w *Writer) Dropped() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Recording is what was recorded.
type Recording struct {
	Head
	// Torn: the last line was cut, as by a crash, and is left out. Whole: it was
	// closed, neither torn nor full.
	Torn, Whole bool

	links map[string][]device.Crossing
	last  time.Duration
}

// Open reads a recording.
func Open(path string) (*Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	defer f.Close()
	return Read(f, path)
}

// Read reads a recording; name is for errors, and tells whether it is compressed.
func Read(from io.Reader, name string) (*Recording, error) {
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(from)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", name, ErrFormat, err)
		}
		from = z
	}
	in := bufio.NewScanner(from)
	in.Buffer(make([]byte, 1<<16), maxLine)
	r := &Recording{links: map[string][]device.Crossing{}}
	n := 0
	var bad error // of the line before: an error unless it was the last
	for in.Scan() {
		n++
		if bad != nil {
			return nil, bad
		}
		text := bytes.TrimSpace(in.Bytes())
		switch {
		case n == 1:
			if err := json.Unmarshal(text, &r.Head); err != nil || r.Yunchu != mark {
				return nil, fmt.Errorf("%s:1: %w: its first line is no head of one", name, ErrFormat)
			}
			if r.Version != version {
				return nil, fmt.Errorf("%s:1: %w of version %d, which is all that this program reads: it is of version %d", name, ErrFormat, version, r.Version)
			}
		case len(text) > 0:
			if err := r.add(text); err != nil {
				bad = fmt.Errorf("%s:%d: %w", name, n, err)
			}
		}
	}
	switch err := in.Err(); {
	case errors.Is(err, io.ErrUnexpectedEOF): // a compressed one that was cut
		r.Torn = true
	case err != nil:
		return nil, fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	if n == 0 {
		return nil, fmt.Errorf("%s: %w: it is empty", name, ErrFormat)
	}
	r.Torn = r.Torn || bad != nil
	return r, nil
}

func (r *Recording) add(text []byte) error {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	at := time.Duration(l.MS * 1e6)
	if l.MS < 0 || l.MS > 1e12 || at < r.last {
		return fmt.Errorf("%w: time %g ms goes back", ErrFormat, l.MS)
	}
	r.last = at
	if l.End != "" {
		r.Whole = l.End == "closed"
		return nil
	}
	data, err := hex.DecodeString(l.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	r.links[l.Link] = append(r.links[l.Link], device.Crossing{At: r.Started.Add(at), Out: l.Out, Data: data})
	return nil
}

// Length is how long was recorded.
func (r *Recording) Length() time.Duration { return r.last }

// Links are the names of the links that something crossed.
func (r *Recording) Links() (names []string) {
	for n := range r.links {
		names = append(names, n)
	}
	return names
}

// Crossings are what crossed a link, as if the recording had begun at start.
func (r *Recording) Crossings(link string, start time.Time) []device.Crossing {
	by := start.Sub(r.Started)
	out := make([]device.Crossing, len(r.links[link]))
	for i, c := range r.links[link] {
		c.At = c.At.Add(by)
		out[i] = c
	}
	return out
}

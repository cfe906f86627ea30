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
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"yunchu/platform/device"
)

// ErrFormat: the file is no recording, or not of this version.
var ErrFormat = errors.New("not a recording")

// Bounds of what is read.
const (
	maxLine       = 2*maxData + 1<<10 // bytes
	maxFile int64 = 2 * DefaultLimit  // bytes, unpacked: no file of some kilobytes fills the memory
	maxMS         = 1e12              // 30 years
)

// Recording is what was recorded.
type Recording struct {
	Head
	// Torn: the last line was cut, as by a crash, and is left out. Whole: it was
	// closed, neither torn nor full.
	Torn, Whole bool
	// Began is when the run began that was recorded; its devices were opened before.
	Began time.Time
	// Armed is from when on the device might act; zero where nobody noted it.
	Armed time.Time

	links    map[string][]device.Crossing
	commands []Command
	last     time.Duration
	ended    bool
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
	return read(from, name, maxFile)
}

func read(from io.Reader, name string, limit int64) (*Recording, error) {
	r := &Recording{links: map[string][]device.Crossing{}}
	in := bufio.NewReaderSize(from, maxLine)
	size := int64(0)
	for n := 1; ; n++ {
		text, err := in.ReadSlice('\n')
		if size += int64(len(text)); size > limit {
			return nil, fmt.Errorf("%s:%d: %w: longer than %d bytes", name, n, ErrFormat, limit)
		}
		switch {
		case err == nil:
			if err := r.take(n, bytes.TrimSpace(text)); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, n, err)
			}
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF): // the latter of a compressed one that was cut
			if n == 1 {
				return nil, fmt.Errorf("%s:1: %w: it has no head", name, ErrFormat)
			}
			r.Torn = len(text) > 0 || errors.Is(err, io.ErrUnexpectedEOF)
			r.Whole = r.Whole && !r.Torn
			return r, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%s:%d: %w: a line of more than %d bytes", name, n, ErrFormat, maxLine)
		default:
			return nil, fmt.Errorf("%s:%d: %w: %w", name, n, ErrFormat, err)
		}
	}
}

// take reads line n.
func (r *Recording) take(n int, text []byte) error {
	switch {
	case n == 1:
		return r.head(text)
	case r.ended:
		return fmt.Errorf("%w: more after its end", ErrFormat)
	}
	return r.add(text)
}

func (r *Recording) head(text []byte) error {
	switch err := json.Unmarshal(text, &r.Head); {
	case err != nil:
		return fmt.Errorf("%w: its first line is no head of one: %w", ErrFormat, err)
	case r.Yunchu != mark:
		return fmt.Errorf("%w: its first line is no head of one", ErrFormat)
	case r.Version < 1 || r.Version > version:
		return fmt.Errorf("%w of a version up to %d, which is all that this program reads: it is of version %d", ErrFormat, version, r.Version)
	case !r.ID.Valid():
		return fmt.Errorf("%w: %.80q may not name a device", ErrFormat, r.ID)
	case r.Started.IsZero():
		return fmt.Errorf("%w: its head does not say when it started", ErrFormat)
	}
	r.Began = r.Started
	return nil
}

func (r *Recording) add(text []byte) error {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !(l.MS >= 0 && l.MS <= maxMS) {
		return fmt.Errorf("%w: t_ms %g is not within 0 and %g", ErrFormat, l.MS, float64(maxMS))
	}
	at := time.Duration(math.Round(l.MS*1000)) * time.Microsecond
	if at < r.last {
		return fmt.Errorf("%w: t_ms %g is before the line above", ErrFormat, l.MS)
	}
	r.last = at
	switch l.End {
	case "":
	case closed, full:
		r.ended, r.Whole = true, l.End == closed
		return nil
	default:
		return fmt.Errorf("%w: it ends %.80q", ErrFormat, l.End)
	}
	switch {
	case l.Began:
		r.Began = r.Started.Add(at)
		return nil
	case l.Armed:
		if r.Armed.IsZero() {
			r.Armed = r.Started.Add(at)
		}
		return nil
	case l.Command != "":
		return r.command(at, &l)
	}
	data, err := hex.DecodeString(l.Data)
	if err != nil {
		return fmt.Errorf("%w: data: %w", ErrFormat, err)
	}
	r.links[l.Link] = append(r.links[l.Link], device.Crossing{At: r.Started.Add(at), Out: l.Out, Data: data})
	return nil
}

func (r *Recording) command(at time.Duration, l *line) error {
	verb, ok := device.ParseVerb(l.Command)
	if !ok {
		return fmt.Errorf("%w: %.80q is no command", ErrFormat, l.Command)
	}
	if !(l.TookMS >= 0 && l.TookMS <= maxMS) {
		return fmt.Errorf("%w: took_ms %g is not within 0 and %g", ErrFormat, l.TookMS, float64(maxMS))
	}
	done := r.Started.Add(at)
	r.commands = append(r.commands, Command{done.Add(-time.Duration(l.TookMS * float64(time.Millisecond))), done, verb, l.PowerKW})
	return nil
}

// Length is how long was recorded.
func (r *Recording) Length() time.Duration { return r.last }

// Links are the names of the links that something crossed, in order.
func (r *Recording) Links() []string { return slices.Sorted(maps.Keys(r.links)) }

// Commands are what the device was asked for, in the order in which it answered, as if
// the run had begun at start.
func (r *Recording) Commands(start time.Time) []Command {
	by := start.Sub(r.Began)
	out := slices.Clone(r.commands)
	for i := range out {
		out[i].At, out[i].Done = out[i].At.Add(by), out[i].Done.Add(by)
	}
	return out
}

// Crossings are what crossed a link, as if the run had begun at start.
func (r *Recording) Crossings(link string, start time.Time) []device.Crossing {
	by := start.Sub(r.Began)
	out := slices.Clone(r.links[link])
	for i := range out {
		out[i].At = out[i].At.Add(by)
	}
	return out
}

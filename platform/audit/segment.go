package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"yunchu/platform/durable"
)

// Entries lie in segments, files of JSON lines that are named after their first entry.
// A full one is packed; the newest grows.
const (
	segmentPrefix = "entries-"
	openSuffix    = ".jsonl"
	packedSuffix  = ".jsonl.gz"
	segmentBytes  = 8 << 20
)

type segment struct {
	first  int64
	packed bool
}

func (s segment) path(dir string) string {
	suffix := openSuffix
	if s.packed {
		suffix = packedSuffix
	}
	return filepath.Join(dir, fmt.Sprintf("%s%012d%s", segmentPrefix, s.first, suffix))
}

// listSegments finds the segments in their order. Where a crash has left a segment
// open and packed, the open one counts.
func listSegments(dir string) ([]segment, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []segment
	for _, f := range files {
		rest, ours := strings.CutPrefix(f.Name(), segmentPrefix)
		digits, open := strings.CutSuffix(rest, openSuffix)
		if !open {
			var packed bool
			if digits, packed = strings.CutSuffix(rest, packedSuffix); !packed {
				continue
			}
		}
		if n, err := strconv.ParseInt(digits, 10, 64); ours && err == nil {
			list = append(list, segment{n, !open})
		}
	}
	slices.SortFunc(list, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.first, b.first), order01(a.packed, b.packed))
	})
	return slices.CompactFunc(list, func(a, b segment) bool { return a.first == b.first }), nil
}

func order01(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// lines calls each with the lines of the segment, without their newlines, until it
// returns false. A line belongs to each for the call alone. A last line without a
// newline is half of one, and left out.
func (s segment) lines(dir string, each func(line []byte) bool) (err error) {
	f, err := os.Open(s.path(dir))
	if err != nil {
		return err
	}
	defer f.Close()
	var in io.Reader = f
	if s.packed {
		z, err := gzip.NewReader(bufio.NewReaderSize(f, 64<<10))
		if err != nil {
			return fmt.Errorf("%s: %w", s.path(dir), err)
		}
		in = z
	}
	r := bufio.NewReaderSize(in, 64<<10)
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", s.path(dir), err)
		}
		if len(long) > 0 {
			long = append(long, part...)
			part = long
		}
		if !each(bytes.TrimSuffix(part, []byte("\n"))) {
			return nil
		}
		long = long[:0]
	}
}

// began is the time of the segment's first entry.
func (s segment) began(dir string) (at int64, err error) {
	err = s.lines(dir, func(line []byte) bool {
		var e struct {
			At int64 `json:"timestamp"`
		}
		if json.Unmarshal(line, &e) == nil {
			at = e.At
		}
		return false
	})
	return at, err
}

// pack replaces the open file by a packed one.
func (s segment) pack(dir string) (segment, error) {
	in, err := os.Open(s.path(dir))
	if err != nil {
		return s, err
	}
	defer in.Close()
	done := segment{s.first, true}
	tmp := done.path(dir) + ".tmp"
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return s, err
	}
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, err = io.Copy(z, in)
	err = errors.Join(err, z.Close(), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(tmp, done.path(dir))
	}
	if err == nil {
		err = durable.SyncDir(dir)
	}
	if err != nil {
		return s, errors.Join(err, os.Remove(tmp))
	}
	return done, os.Remove(s.path(dir))
}

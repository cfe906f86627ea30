package local

import (
	"fmt"
	"os"
	"path/filepath"

	"yunchu/platform/device"
)

// segmentSize is how many bytes one segment collects before the next begins.
const segmentSize = 8 << 20

// log is the frames of one stream in segments, the oldest of which may lie in
// files.
type log struct {
	first, last uint64
	segments    []*segment
}

type segment struct {
	first  uint64
	ends   []int  // end offset of each frame
	data   []byte // nil when spilled
	path   string // of the file when spilled
	spills bool
}

func (b *Bus) append(s *stream, f device.Frame) (seq uint64, raw []byte, err error) {
	l := &s.log
	var g *segment
	if n := len(l.segments); n > 0 {
		g = l.segments[n-1]
	}
	if g == nil || g.spills || len(g.data) >= segmentSize {
		g = &segment{first: l.last + 1}
		if f.Rows() > 64 { // a busy stream: one allocation instead of twenty
			g.data = b.memoryFor()
			b.memory += int64(cap(g.data))
		}
		l.segments = append(l.segments, g)
		if err := b.spill(); err != nil {
			return 0, nil, err
		}
	}
	from, before := len(g.data), cap(g.data)
	g.data = f.AppendBinary(g.data)
	g.ends = append(g.ends, len(g.data))
	l.last++
	b.memory += int64(cap(g.data) - before)
	return l.last, g.data[from:], nil
}

// spill writes the oldest full segments to files until the rest is within the
// bound.
func (b *Bus) spill() error {
	for b.memory > b.bound {
		s, g := b.oldest()
		if g == nil {
			return nil
		}
		if b.dir == "" {
			dir, err := os.MkdirTemp(b.Spill, "yunchu-log-")
			if err != nil {
				return fmt.Errorf("spill the log: %w", err)
			}
			b.dir = dir
		}
		path := filepath.Join(b.dir, fmt.Sprintf("%s-%d", s.name, g.first))
		if err := os.WriteFile(path, g.data, 0o600); err != nil {
			return fmt.Errorf("spill the log: %w", err)
		}
		b.memory -= int64(cap(g.data))
		b.recycle(g.data)
		g.data, g.path, g.spills = nil, path, true
	}
	return nil
}

// memoryFor is room for a segment, used before where there is some.
func (b *Bus) memoryFor() []byte {
	if n := len(b.free); n > 0 {
		m := b.free[n-1]
		b.free = b.free[:n-1]
		return m
	}
	return make([]byte, 0, segmentSize+segmentSize/4)
}

// recycle keeps the memory of a segment that is gone for the next one.
func (b *Bus) recycle(m []byte) {
	if cap(m) >= segmentSize && len(b.free) < 4 {
		b.free = append(b.free, m[:0])
	}
}

// oldest is the largest stream's first segment that is full and in memory.
func (b *Bus) oldest() (*stream, *segment) {
	var (
		bestStream *stream
		best       *segment
		bestCount  int
	)
	for _, s := range b.streams {
		for i, g := range s.log.segments[:max(0, len(s.log.segments)-1)] {
			if g.spills {
				continue
			}
			if n := len(s.log.segments) - i; n > bestCount {
				bestStream, best, bestCount = s, g, n
			}
			break
		}
	}
	return bestStream, best
}

// at is the binary form of one frame.
func (l *log) at(seq uint64) ([]byte, error) {
	lo, hi := 0, len(l.segments)
	for hi-lo > 1 {
		if m := (lo + hi) / 2; l.segments[m].first <= seq {
			lo = m
		} else {
			hi = m
		}
	}
	if lo >= len(l.segments) || seq < l.first || seq > l.last {
		return nil, fmt.Errorf("sequence %d is not in the log", seq)
	}
	g := l.segments[lo]
	i := int(seq - g.first)
	from := 0
	if i > 0 {
		from = g.ends[i-1]
	}
	if !g.spills {
		return g.data[from:g.ends[i]], nil
	}
	f, err := os.Open(g.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw := make([]byte, g.ends[i]-from)
	_, err = f.ReadAt(raw, int64(from))
	return raw, err
}

// trim drops the segments that lie wholly before seq.
func (l *log) trim(before uint64, recycle func([]byte)) (freed int64, err error) {
	for len(l.segments) > 1 && l.segments[1].first <= before {
		g := l.segments[0]
		freed += int64(cap(g.data))
		recycle(g.data)
		if g.spills {
			if e := os.Remove(g.path); e != nil && err == nil {
				err = e
			}
		}
		l.segments[0] = nil
		l.segments = l.segments[1:]
		l.first = l.segments[0].first
	}
	return freed, err
}

package nats

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"yunchu/platform/durable"
)

// A checkpoint file lies outside the server's own and vouches for one stream. It begins
// with two places for the newest point, written in turn so that a cut in the middle of
// one leaves the other; permanent points follow, ascending. The first of them is the
// anchor, up to which the stream has been trimmed.
//
// JetStream alone forgets silently: after a crash it cuts a stream off at the first
// record that it cannot read, and says nothing of what came behind.
const (
	checkpointFolder = "checkpoints"
	checkpointsWord  = "checkpoints" // in streamsFile: the folder has them

	pointSize  = 64
	headPlace  = 512 // bytes of each place of the newest point: a sector of its own
	pointsFrom = 2 * headPlace
	// pointEvery is how many frames lie between two permanent points. As many have to be
	// read when a stream is trimmed.
	pointEvery = 1024
	// checkpointEvery is how often the newest point is written while frames come. What
	// was acknowledged after it and before a crash is vouched for by the server alone.
	checkpointEvery = 250 * time.Millisecond
)

// point says what all frames up to a sequence hash to.
type point struct {
	seq uint64
	at  int64 // ms UTC, of writing the point
	sum [sha256.Size]byte
}

// next is the point behind one more frame.
func (p point) next(raw []byte) point {
	var head [sha256.Size + 8]byte
	copy(head[:], p.sum[:])
	binary.BigEndian.PutUint64(head[sha256.Size:], p.seq+1)
	h := sha256.New()
	h.Write(head[:])
	h.Write(raw)
	q := point{seq: p.seq + 1}
	h.Sum(q.sum[:0])
	return q
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (p point) append(b []byte) []byte {
	from := len(b)
	b = binary.BigEndian.AppendUint64(b, p.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(p.at))
	b = append(b, p.sum[:]...)
	b = append(b, make([]byte, pointSize-4-(len(b)-from))...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

var errPoint = errors.New("a point of the checkpoint is damaged")

func parsePoint(b []byte) (p point, err error) {
	if len(b) < pointSize || crc32.Checksum(b[:pointSize-4], castagnoli) != binary.BigEndian.Uint32(b[pointSize-4:]) {
		return p, errPoint
	}
	p.seq, p.at = binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))
	copy(p.sum[:], b[16:])
	return p, nil
}

// checkpoint is what is known of one stream beside the stream.
type checkpoint struct {
	path string
	file *os.File

	mu     sync.Mutex
	points []point // permanent, ascending; the frames up to the first, the anchor, have been trimmed
	head   point   // of the newest acknowledged frame
	stored uint64  // head's sequence in the file
	turn   int64   // place that is written next
	room   int64   // size of the file
	saved  int     // of points, how many the file has
}

// readCheckpoint reads what the file says. The errors name what of it is damaged; the rest
// holds. fs.ErrNotExist when there is no file.
func readCheckpoint(path string) (points []point, head point, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, point{}, err
	}
	var errs []error
	if len(b) < pointsFrom {
		return nil, point{}, fmt.Errorf("%w: the file is cut off", errPoint)
	}
	for _, place := range [][]byte{b[:headPlace], b[headPlace:pointsFrom]} {
		if !slices.ContainsFunc(place, func(c byte) bool { return c != 0 }) {
			continue // not written yet
		}
		p, err := parsePoint(place)
		if err != nil {
			errs = append(errs, err)
		} else if p.seq >= head.seq {
			head = p
		}
	}
	for rest := b[pointsFrom:]; len(rest) > 0; {
		n := min(len(rest), pointSize)
		p, err := parsePoint(rest[:n])
		if err == nil && len(points) > 0 && p.seq <= points[len(points)-1].seq {
			err = errPoint
		}
		if err == nil {
			points = append(points, p)
		} else if n == pointSize { // what is shorter was being written when the power failed
			errs = append(errs, err)
		}
		rest = rest[n:]
	}
	if len(points) > 0 && points[len(points)-1].seq > head.seq {
		head = points[len(points)-1]
	}
	return points, head, errors.Join(errs...)
}

// newCheckpoint writes the file anew, whole or not at all, and keeps it open.
func newCheckpoint(path string, points []point, head point) (*checkpoint, error) {
	c := &checkpoint{path: path, points: slices.Clone(points), head: head}
	if err := c.rewrite(); err != nil {
		return nil, fmt.Errorf("write the checkpoint %s: %w", path, err)
	}
	return c, nil
}

// rewrite is called with the lock held, or by the only one who knows c.
func (c *checkpoint) rewrite() error {
	b := make([]byte, pointsFrom)
	copy(b, c.head.append(nil))
	for _, p := range c.points {
		b = p.append(b)
	}
	f, err := os.CreateTemp(filepath.Dir(c.path), "tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync())
	if err == nil {
		err = os.Rename(f.Name(), c.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if c.file != nil {
		_ = c.file.Close() // nobody reads it any more
	}
	c.file, c.stored, c.turn, c.room, c.saved = f, c.head.seq, headPlace, int64(len(b)), len(c.points)
	return durable.SyncDir(filepath.Dir(c.path))
}

// add takes the next acknowledged frame.
func (c *checkpoint) add(raw []byte, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = c.head.next(raw)
	c.head.at = now.UnixMilli()
	if c.head.seq%pointEvery == 0 {
		c.points = append(c.points, c.head)
	}
}

// last is the newest sequence that was acknowledged.
func (c *checkpoint) last() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head.seq
}

// sync makes the newest point durable, and permanent ones that the file lacks.
func (c *checkpoint) sync() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stored == c.head.seq && c.saved == len(c.points) {
		return nil
	}
	var more []byte
	for _, p := range c.points[c.saved:] {
		more = p.append(more)
	}
	if _, err := c.file.WriteAt(more, c.room); err != nil {
		return err
	}
	if _, err := c.file.WriteAt(c.head.append(nil), c.turn); err != nil {
		return err
	}
	if err := c.file.Sync(); err != nil {
		return err
	}
	c.room += int64(len(more))
	c.turn = headPlace - c.turn
	c.saved, c.stored = len(c.points), c.head.seq
	return nil
}

// below is the newest permanent point whose sequence is at most seq, and the anchor where
// seq lies before it.
func (c *checkpoint) below(seq uint64) point {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, exact := slices.BinarySearchFunc(c.points, seq, func(p point, seq uint64) int { return cmp.Compare(p.seq, seq) })
	if exact {
		return c.points[i]
	}
	return c.points[max(0, i-1)]
}

// anchor makes p the first point: the stream is trimmed up to it afterwards.
func (c *checkpoint) anchor(p point) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, exact := slices.BinarySearchFunc(c.points, p.seq, func(q point, seq uint64) int { return cmp.Compare(q.seq, seq) })
	if exact {
		i++
	}
	before := c.points
	c.points = append([]point{p}, c.points[i:]...)
	if err := c.rewrite(); err != nil {
		c.points = before
		return err
	}
	return nil
}

// all are the permanent points and the newest one.
func (c *checkpoint) all() []point {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.points)
	if list[len(list)-1].seq < c.head.seq {
		list = append(list, c.head)
	}
	return list
}

func (c *checkpoint) close() error { return errors.Join(c.sync(), c.file.Close()) }

// keepCheckpoints writes the newest points of all streams while frames come.
func (b *Bus) keepCheckpoints() {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	behind := false
	for {
		select {
		case <-tick.C:
		case <-b.srv.stopped:
			return
		}
		var errs []error
		for _, s := range b.streams {
			errs = append(errs, s.check.sync())
		}
		// The log goes on: it is only vouched for up to an older point meanwhile.
		err := errors.Join(append(errs, b.record())...)
		if err != nil && !behind {
			b.log.Error("checkpoint not written", "error", err)
		}
		behind = err != nil
	}
}

func checkpointPath(dir, stream string) string { return filepath.Join(dir, checkpointFolder, stream) }

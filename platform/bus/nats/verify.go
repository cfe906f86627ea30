package nats

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/durable"
)

// damageFile lists, a line of JSON each, what has been found damaged. Who has dealt with it
// moves the file away.
const damageFile = "DAMAGE"

// Gap is the Kind of a Meta that stands where a lost frame was, in any stream.
const Gap = "gap"

// vouch compares an embedded stream with its checkpoint, reports what is not as it was
// written, and fills what is gone from the end, so that no sequence is given twice and no
// view takes what comes for what it has already.
func (s *stream) vouch(ctx context.Context, expected bool) error {
	path := checkpointPath(s.bus.srv.dir, s.name)
	points, head, err := readCheckpoint(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if expected {
			s.bus.report(bus.Damage{Stream: s.name, What: "the checkpoint is missing: nobody can say whether the log is whole"})
		}
	case errors.Is(err, errPoint):
		s.bus.report(bus.Damage{Stream: s.name, What: err.Error()})
	case err != nil:
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	first, last, err := s.bounds(ctx)
	if err != nil {
		return err
	}
	if head.seq > last { // acknowledged, and gone
		s.bus.report(bus.Damage{
			Stream: s.name, From: last + 1, To: head.seq, What: "gone from the end of the log",
			Since: timeOf(upTo(points, last)), Until: timeOf(head),
		})
	}
	if len(points) == 0 { // nobody knows what was trimmed
		points = []point{{seq: min(first-1, last)}}
	}
	if points[len(points)-1].seq < head.seq {
		points = append(points, head)
	}
	v := verifier{stream: s, points: points}
	if err := v.run(ctx, first, last); err != nil {
		return err
	}
	s.check, err = newCheckpoint(path, v.fresh, v.at)
	if err != nil {
		return err
	}
	for seq := last + 1; seq <= head.seq; seq++ {
		raw := (&device.Meta{Kind: Gap, At: time.Now().UnixMilli()}).AppendBinary(nil)
		ack, err := s.bus.js.Publish(ctx, s.name, raw)
		if err != nil {
			return fmt.Errorf("fill sequence %d: %w", seq, err)
		}
		if ack.Sequence != seq {
			return fmt.Errorf("fill sequence %d: the server gave %d", seq, ack.Sequence)
		}
		s.check.add(raw, time.Now())
	}
	s.begun = max(s.begun, head.seq)
	s.handled = s.begun
	return s.check.sync()
}

// verifier reads a stream and compares it with points.
type verifier struct {
	stream *stream
	points []point // still to be compared

	at    point   // of the frame that was read last
	from  point   // the last point that was compared
	lost  bool    // frames since cannot be read, so that the sum is not known
	fresh []point // permanent points of what is there
}

// run verifies what lies behind the first point, the anchor, where the stream has the
// sequences first to last.
func (v *verifier) run(ctx context.Context, first, last uint64) error {
	v.at = v.points[0]
	v.from, v.fresh = v.at, []point{v.at}
	if v.at.seq+1 < first {
		end := min(first-1, v.points[len(v.points)-1].seq)
		if v.at.seq < end {
			v.stream.bus.report(bus.Damage{
				Stream: v.stream.name, From: v.at.seq + 1, To: end, What: "gone from the beginning of the log",
				Since: timeOf(v.at), Until: timeOf(after(v.points, end)),
			})
		}
		v.at = point{seq: first - 1, at: v.at.at}
		v.lost, v.fresh = true, []point{v.at}
	}
	first = max(first, v.at.seq+1) // what was to be trimmed when the process ended is still there
	return v.stream.scan(ctx, first, last, func(seq uint64, raw []byte, fault error) {
		if fault != nil {
			v.stream.bus.lose(v.stream, seq, fault, timeOf(v.from), timeOf(after(v.points, seq)))
			v.at = point{seq: seq, at: v.at.at, sum: v.at.sum}
			v.lost = true
		} else {
			at := v.at.at
			v.at = v.at.next(raw)
			v.at.at = at
		}
		v.compare()
		if seq%pointEvery == 0 {
			v.fresh = append(v.fresh, v.at)
		}
	})
}

// compare looks whether there is a point at what was read last. Behind a frame that is lost
// the sum goes on from the next point, which knew it.
func (v *verifier) compare() {
	for len(v.points) > 0 && v.points[0].seq < v.at.seq {
		v.points = v.points[1:]
	}
	if len(v.points) == 0 || v.points[0].seq != v.at.seq {
		return
	}
	p := v.points[0]
	if !v.lost && p.sum != v.at.sum {
		v.stream.bus.report(bus.Damage{
			Stream: v.stream.name, From: v.from.seq + 1, To: p.seq, What: "other frames than were written", Since: timeOf(v.from), Until: timeOf(p),
		})
	}
	v.at, v.from, v.lost = p, p, false
}

// upTo is the newest point that is at most seq.
func upTo(points []point, seq uint64) (p point) {
	for _, q := range points {
		if q.seq <= seq {
			p = q
		}
	}
	return p
}

// after is the oldest point at or behind sequence seq.
func after(points []point, seq uint64) point {
	for _, p := range points {
		if p.seq >= seq {
			return p
		}
	}
	return point{}
}

func timeOf(p point) time.Time {
	if p.at == 0 {
		return time.Time{}
	}
	return device.Time(p.at)
}

// Scrub reads the whole log again and compares it with its checkpoints, frame by frame; what
// is not as it was written is reported. It may run beside everything else. A cluster looks
// after itself: there it does nothing.
func (b *Bus) Scrub(ctx context.Context) error {
	if b.srv == nil {
		return nil
	}
	mended, err := mend(b.srv.dir, false)
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	for _, d := range mended {
		b.report(d)
	}
	for _, name := range bus.Streams {
		s := b.streams[name]
		points := s.check.all()
		first, _, err := s.bounds(ctx)
		if err != nil {
			return fmt.Errorf("scrub %s: %w", name, err)
		}
		v := verifier{stream: s, points: points}
		err = v.run(ctx, first, points[len(points)-1].seq)
		if trimmed, _, e := s.bounds(ctx); err != nil && e == nil && trimmed > first {
			continue // it was trimmed meanwhile
		}
		if err != nil {
			return fmt.Errorf("scrub %s: %w", name, err)
		}
	}
	return nil
}

// lose notes a sequence that cannot be read. Neighbours make one damage.
func (b *Bus) lose(s *stream, seq uint64, fault error, since, until time.Time) {
	s.mu.Lock()
	known := s.lost[seq]
	if s.lost == nil {
		s.lost = map[uint64]bool{}
	}
	s.lost[seq] = true
	s.mu.Unlock()
	if known {
		return
	}
	b.report(bus.Damage{Stream: s.name, From: seq, To: seq, What: fault.Error(), Since: since, Until: until})
}

// report notes what is damaged, unless it is known. The file has it from the next write of
// the checkpoints on.
func (b *Bus) report(d bus.Damage) {
	d.Found = time.Now().UTC().Truncate(time.Millisecond)
	b.damage.Lock()
	defer b.damage.Unlock()
	for i := range b.damages {
		if k := &b.damages[i]; k.Stream == d.Stream && k.From <= d.From && d.To <= k.To && k.From > 0 {
			return
		}
	}
	if n := len(b.damages); n > 0 {
		if l := &b.damages[n-1]; l.Fresh && l.Stream == d.Stream && l.To+1 == d.From && l.What == d.What && l.From > 0 {
			l.To, l.Until = d.To, d.Until
			return
		}
	}
	d.Fresh = true
	b.damages = append(b.damages, d)
	b.log.Error("the log is damaged", "stream", d.Stream, "from_sequence", d.From, "to_sequence", d.To, "what", d.What)
}

// Damages implements bus.Checked.
func (b *Bus) Damages() []bus.Damage {
	b.damage.Lock()
	defer b.damage.Unlock()
	return slices.Clone(b.damages)
}

// recall reads what earlier starts have found.
func (b *Bus) recall() error {
	f, err := os.Open(filepath.Join(b.srv.dir, damageFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var d bus.Damage
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			b.log.Error("a line of the list of damages is not readable", "file", f.Name(), "error", err)
			b.damages = append(b.damages, bus.Damage{What: "a line of the list of earlier damages is not readable", Found: time.Now().UTC()})
			continue
		}
		b.damages = append(b.damages, d)
	}
	b.listed = len(b.damages)
	return lines.Err()
}

// record writes the list of damages where it has grown.
func (b *Bus) record() error {
	b.damage.Lock()
	defer b.damage.Unlock()
	if b.listed == len(b.damages) {
		return nil
	}
	var text bytes.Buffer
	for _, d := range b.damages {
		line, err := json.Marshal(d)
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	if err := durable.WriteFile(filepath.Join(b.srv.dir, damageFile), text.Bytes(), 0o600); err != nil {
		return err
	}
	b.listed = len(b.damages)
	return nil
}

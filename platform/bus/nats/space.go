package nats

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"yunchu/platform/bus"
)

const (
	// reserveFile holds room for commands, acknowledgements and changes when others have
	// taken the rest of the disk.
	reserveFile = "RESERVE"
	// The floor is where readings are refused: a fiftieth of the disk, within these.
	minFloor, maxFloor = 32 << 20, 256 << 20
	// ext4 counts as free what it gives nobody: a fiftieth of the disk, this at most.
	maxHidden = 16 << 20
	// slice is what is taken of the reserve at a time.
	slice = 512 << 10
	// Logs are given room ahead from so many floors down. Above that nobody fills a disk
	// between two looks.
	aheadBelow = 8
	// spaceEvery is how often the disk is looked at while nothing is published.
	spaceEvery = 100 * time.Millisecond
)

// space keeps the last of the disk for what control needs.
type space struct {
	dir string
	say func(low bool, free uint64)

	mu       sync.Mutex
	low      bool
	near     bool  // to being low
	reserved int64 // bytes of reserveFile
	want     int64 // of them, when there is room

	ahead []*ahead // touched by keepSpace alone
}

// look reports whether readings must be refused. A publication that will be written is given
// a slice of the reserve when there is no other room: only as much as it needs, because
// whoever has filled the disk may still be at it.
func (s *space) look(write bool) (low bool) {
	free, total, err := Space(s.dir)
	if err != nil {
		return false // the write will tell
	}
	floor := min(max(total/50, minFloor), maxFloor)
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.low
	s.near = free < aheadBelow*floor
	switch {
	case free < floor:
		s.low = true
	case free > floor+floor/4:
		s.low = false
	}
	path := filepath.Join(s.dir, reserveFile)
	switch {
	case write && free < min(total/50, maxHidden)+slice && s.reserved > 0:
		s.reserved = max(0, s.reserved-slice)
		if shrink(path, s.reserved) != nil {
			s.reserved = 0
		}
	case free > 3*floor && s.reserved < s.want:
		if reserve(path, s.want) == nil {
			s.reserved = s.want
		}
	}
	if s.low != was {
		s.say(s.low, free)
	}
	return s.low
}

// shrink gives room back. The file system has it only after the sync.
func shrink(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

// reserve writes a file of size bytes, all of which the disk has really given.
func reserve(path string, size int64) error {
	if info, err := os.Stat(path); err == nil && info.Size() == size {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for n := int64(0); n < size && err == nil; n += int64(len(zeros)) {
		_, err = f.Write(zeros[:min(int64(len(zeros)), size-n)])
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// keepSpace looks at the disk until the server stops.
func (b *Bus) keepSpace() {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.space.look(false)
			b.space.stretch()
		case <-b.srv.stopped:
			return
		}
	}
}

// stretch keeps room ahead of the logs while the disk is nearly low.
func (s *space) stretch() {
	s.mu.Lock()
	near := s.near
	s.mu.Unlock()
	if near {
		for _, a := range s.ahead {
			a.keep()
		}
	}
}

// room refuses readings while the disk is nearly full.
func (s *stream) room() error {
	if s.bus.space == nil || !s.bus.space.look(s.name != bus.Data) || s.name != bus.Data {
		return nil
	}
	return bus.ErrNoSpace
}

func newSpace(b *Bus, dir string, want int64) *space {
	s := &space{dir: dir, want: want, say: func(low bool, free uint64) {
		if low {
			b.log.Error("disk nearly full: readings are refused, commands are not", "folder", dir, "free_bytes", free)
		} else {
			b.log.Info("the disk has room again: readings are taken", "folder", dir, "free_bytes", free)
		}
	}}
	if info, err := os.Stat(filepath.Join(dir, reserveFile)); err == nil {
		s.reserved = info.Size()
	}
	for _, name := range bus.Streams {
		s.ahead = append(s.ahead, newAhead(dir, name))
	}
	return s
}

// unlimited is the most that the server may keep: how much there is room for is judged here.
const unlimited = math.MaxInt64 / 4

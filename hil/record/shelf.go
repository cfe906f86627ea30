package record

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"yunchu/platform/device"
)

// Shelf is a folder of recordings that goes on for ever and is bounded: what is too old, or
// too much, is removed in whole files, the oldest first. It is looked through once; from then
// on the shelf knows what is in it.
type Shelf struct {
	Dir       string
	Keep      time.Duration // how long a file is kept after it was written last
	MaxBytes  int64         // of all files together
	FileBytes int64         // of one file, after which the next is begun
	Log       *slog.Logger  // nil: none

	mu    sync.Mutex
	known bool             // the folder is there, and the rest is what it holds
	files []shelved        // those that are complete, the oldest first
	open  map[string]int64 // bytes of those that are being written, by path
	said  string           // the newest complaint
}

// rollEnd is how the names of a shelf's files end.
const rollEnd = ".rec.gz"

// shelved is one file of a shelf.
type shelved struct {
	path  string
	at    time.Time
	bytes int64
}

// Bytes are how many bytes of recordings the folder holds; of what is being written, as it was
// at the last look.
func (s *Shelf) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		_ = s.look() // what cannot be read is none
	}
	return s.bytes()
}

func (s *Shelf) bytes() (all int64) {
	for _, f := range s.files {
		all += f.bytes
	}
	for _, n := range s.open {
		all += n
	}
	return all
}

// look sees to it that the folder is there and known. One that is gone is made again: that is
// told once, and what was in it, files that are being written too, is none of the shelf's any
// more.
func (s *Shelf) look() error {
	_, err := os.Stat(s.Dir)
	switch {
	case err == nil && s.known:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if s.known && s.Log != nil {
			s.Log.Warn("the folder of recordings is gone with what was in it, and made again", "folder", s.Dir)
		}
		s.known, s.files, s.open = false, nil, nil
		err = os.MkdirAll(s.Dir, 0o700)
	}
	if err != nil {
		return err
	}
	files, err := shelvedIn(s.Dir)
	if err != nil {
		return err
	}
	s.files = slices.DeleteFunc(files, func(f shelved) bool { _, open := s.open[f.path]; return open })
	s.known = true
	return nil
}

// shelvedIn are the recordings in a folder, the oldest first.
func shelvedIn(dir string) (files []shelved, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), rollEnd) {
			continue
		}
		if i, err := e.Info(); err == nil { // else it is gone meanwhile
			files = append(files, shelved{filepath.Join(dir, e.Name()), i.ModTime(), i.Size()})
		}
	}
	slices.SortFunc(files, func(a, b shelved) int { return a.at.Compare(b.at) })
	return files, err
}

// upkeep removes what is too old at now, and what is too much. What is wrong is told once.
func (s *Shelf) upkeep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := ""
	if err := s.tidy(now); err != nil {
		text = err.Error()
	}
	if text != s.said && text != "" && s.Log != nil {
		s.Log.Error("recordings are not kept within their bounds", "folder", s.Dir, "error", text)
	}
	s.said = text
}

// tidy is upkeep, with what is wrong. A file that is being written is never removed.
func (s *Shelf) tidy(now time.Time) error {
	if err := s.look(); err != nil {
		return err
	}
	var errs []error
	all := s.bytes()
	kept := s.files[:0]
	for i, f := range s.files {
		if now.Sub(f.at) <= s.Keep && all <= s.MaxBytes { // so are those after it
			kept = append(kept, s.files[i:]...)
			break
		}
		switch err := os.Remove(f.path); {
		case errors.Is(err, fs.ErrNotExist): // somebody else tidies too: it is looked through again
			s.known = false
		case err != nil:
			errs = append(errs, err)
			kept = append(kept, f)
			continue
		}
		all -= f.bytes
	}
	s.files = kept
	return errors.Join(errs...)
}

// begin has room made for a new file of a device, and takes note of its path: it is being
// written from now on.
func (s *Shelf) begin(id device.ID, now time.Time) (path string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.tidy(now); err != nil {
		return "", err
	}
	path = s.free(id, now)
	if s.open == nil {
		s.open = map[string]int64{}
	}
	s.open[path] = 0
	return path, nil
}

// grown takes note of the size of a file that is being written; false: it is gone.
func (s *Shelf) grown(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := os.Lstat(path)
	_, open := s.open[path]
	if err == nil && open {
		s.open[path] = i.Size()
	}
	return open && !errors.Is(err, fs.ErrNotExist)
}

// ended takes note that a file is written no more, and is complete unless it is gone.
func (s *Shelf) ended(path string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.open[path]; !open {
		return
	}
	delete(s.open, path)
	if i, err := os.Lstat(path); err == nil && s.known {
		s.files = append(s.files, shelved{path, now, i.Size()})
	}
}

// free is the path of a new file of a device: no file is written twice, whatever the clock
// does.
func (s *Shelf) free(id device.ID, now time.Time) string {
	for {
		path := filepath.Join(s.Dir, fmt.Sprintf("links-%s-%s%s", id, now.UTC().Format("20060102T150405.000Z"), rollEnd))
		_, open := s.open[path]
		if _, err := os.Lstat(path); err != nil && !open {
			return path
		}
		now = now.Add(time.Millisecond)
	}
}

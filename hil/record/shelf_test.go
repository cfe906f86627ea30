package record

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/platform/device"
)

// put writes a file of a shelf.
func put(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *Shelf) mustBegin(t *testing.T, id device.ID, now time.Time) string {
	t.Helper()
	path, err := s.begin(id, now)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestShelfNeverRemovesWhatIsWritten: from the moment at which a file has its name until it is
// complete.
func TestShelfNeverRemovesWhatIsWritten(t *testing.T) {
	s, now := &Shelf{Dir: filepath.Join(t.TempDir(), "links")}, time.Now() // it keeps nothing
	a, b := s.mustBegin(t, "a", now), s.mustBegin(t, "a", now)
	if a == b {
		t.Fatal("two files have one name")
	}
	put(t, a, 100)
	for range 2 {
		s.upkeep(now.Add(time.Hour))
		if !s.grown(a) || s.Bytes() != 100 {
			t.Errorf("what is being written is gone; %d bytes", s.Bytes())
		}
	}
	s.ended(a, now)
	if s.ended(b, now); s.Bytes() != 100 {
		t.Errorf("%d bytes with one that was never made", s.Bytes())
	}
	s.upkeep(now.Add(time.Hour))
	if _, err := os.Stat(a); !os.IsNotExist(err) || s.Bytes() != 0 {
		t.Errorf("what is complete and too old is kept: %v, %d bytes", err, s.Bytes())
	}
}

// TestShelfIsLookedThroughOnce: what it holds is known then, unless somebody else removes from
// it; the oldest go first.
func TestShelfIsLookedThroughOnce(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	at := func(name string) string { return filepath.Join(dir, name+rollEnd) }
	for i, name := range []string{"b", "a", "c"} { // of now, and of before a restart
		put(t, at(name), 100)
		if err := os.Chtimes(at(name), now, now.Add(time.Duration(i-3)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(dir, "else"), 100)
	s := &Shelf{Dir: dir, Keep: 24 * time.Hour, MaxBytes: 300}
	s.upkeep(now)
	put(t, at("strange"), 1000)
	if s.upkeep(now); s.Bytes() != 300 {
		t.Errorf("%d bytes, want 300: it was looked through again", s.Bytes())
	}
	path := s.mustBegin(t, "rig", now)
	put(t, path, 150)
	s.grown(path)
	s.upkeep(now)
	left := func() (names string) {
		files, err := shelvedIn(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			names += " " + strings.TrimSuffix(filepath.Base(f.path), rollEnd)
		}
		return names
	}
	if got := left(); !strings.HasPrefix(got, " c strange links-rig-") || s.Bytes() != 250 {
		t.Errorf("left are%s, %d bytes", got, s.Bytes())
	}
	if err := os.Remove(at("c")); err != nil {
		t.Fatal(err)
	}
	s.MaxBytes = 200 // c would go, and is gone: what else is gone or has come?
	s.upkeep(now)
	if s.upkeep(now); s.Bytes() != 150 {
		t.Errorf("%d bytes, want those that are being written:%s", s.Bytes(), left())
	}
}

// TestShelfWhoseFolderIsGone: it is told once and made again, and one that was not made yet
// is no complaint. What cannot be helped is told once too.
func TestShelfWhoseFolderIsGone(t *testing.T) {
	var said bytes.Buffer
	lines := func() string {
		defer said.Reset()
		return said.String()
	}
	parent := filepath.Join(t.TempDir(), "data")
	s := &Shelf{Dir: filepath.Join(parent, "links"), Keep: time.Hour, MaxBytes: 1000, Log: slog.New(slog.NewTextHandler(&said, nil))}
	now := time.Now()
	s.upkeep(now)
	path := s.mustBegin(t, "rig", now)
	put(t, path, 10)
	if got := lines(); !s.grown(path) || got != "" {
		t.Errorf("it says %s", got)
	}
	for range 2 {
		if err := os.RemoveAll(s.Dir); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s.upkeep(now)
		}
		if got := lines(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "made again") {
			t.Errorf("of a folder that is gone it says %q", got)
		}
		if i, err := os.Stat(s.Dir); err != nil || !i.IsDir() || s.grown(path) || s.Bytes() != 0 {
			t.Errorf("it is not made again: %v; %d bytes", err, s.Bytes())
		}
		s.ended(path, now)
	}
	if err := os.RemoveAll(parent); err != nil {
		t.Fatal(err)
	}
	put(t, parent, 1) // where the folder would be
	for range 3 {
		s.upkeep(now)
	}
	if got := lines(); strings.Count(got, "not kept within") != 1 {
		t.Errorf("of a folder that cannot be made it says %q", got)
	}
	if err := os.Remove(parent); err != nil {
		t.Fatal(err)
	}
	s.upkeep(now)
	if got := lines(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "made again") || s.mustBegin(t, "rig", now) == "" {
		t.Errorf("of one that can be made again it says %q", got)
	}
}

// TestRollGoesOnWhenItsFolderIsGone: in a new file, which stands alone.
func TestRollGoesOnWhenItsFolderIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Shelf{Dir: filepath.Join(t.TempDir(), "links"), Keep: time.Hour, MaxBytes: 1 << 20, FileBytes: 1 << 20}
		r := s.NewRoll("rig", func() (Head, error) { return head(), nil })
		tap := r.Tap("")
		say := func(text string) {
			tap(device.Crossing{At: time.Now(), Data: []byte(text)})
			synctest.Wait()
		}
		say("scan")
		time.Sleep(2 * opening)
		say("one")
		if err := os.RemoveAll(s.Dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * rollLook)
		say("two")
		r.Close()
		list, _ := rolled(t, s)
		if len(list) != 1 || !list[0].Whole {
			t.Fatalf("%d files", len(list))
		}
		var got []string
		for _, c := range list[0].Crossings("", list[0].Started) {
			got = append(got, string(c.Data))
		}
		if text := strings.Join(got, " "); text != "scan two" {
			t.Errorf("the new file has %q", text)
		}
	})
}

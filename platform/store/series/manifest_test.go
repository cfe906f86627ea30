package series_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// TestMissing takes one file after the other away, the oldest among them, or cuts it off,
// before the store is opened and while it is open: it is reported, readings that are gone
// are a gap in answers, and a tier is made again.
func TestMissing(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine asks; TestConcurrent and TestHistory do side by side what it does")
	}
	whole := t.TempDir()
	files := sealed(t, whole, 3)
	for i, file := range files {
		for _, tier := range []string{"", "1m", "1h"} {
			for _, cut := range []bool{false, true} {
				for _, running := range []bool{false, true} {
					missing(t, whole, filepath.Join(tier, filepath.Base(file)), tier == "", cut, running && i == 1)
				}
			}
		}
	}
}

func missing(t *testing.T, whole, name string, readings, cut, running bool) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
		t.Fatal(err)
	}
	var s *series.Store
	if running {
		s = open(t, series.Options{Dir: dir})
	}
	path := filepath.Join(dir, name)
	err := os.Truncate(path, 1000)
	if !cut {
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !running {
		s = open(t, series.Options{Dir: dir})
	}
	defer s.Close()
	page, err := s.Query(t.Context(), all(1))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if running {
		if err := s.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if f := s.Faults(); len(f) != 1 || f[0].Rebuilt == readings || f[0].From >= f[0].To {
		t.Fatalf("%s, cut %v, running %v: faults %v", name, cut, running, f)
	}
	if want := map[bool]int{true: 18, false: 27}[readings]; len(page.Rows) != want || (len(page.Gaps) == 1) != readings {
		t.Errorf("%s, cut %v, running %v: %d readings, gaps %v; want %d", name, cut, running, len(page.Rows), page.Gaps, want)
	}
	s.Settle()
	a, err := s.Aggregate(t.Context(), series.AggregateQuery{Slots: []device.Slot{1}, To: 3_600_000, Step: time.Hour})
	if err != nil || len(a.Rows) != 1 || a.Rows[0].Count != 27 || len(a.Gaps) > 0 {
		t.Errorf("%s: hour %+v, %v", name, a, err)
	}
	if r, err := series.Inspect(t.Context(), dir); err != nil || (len(r.Faults) > 0) != readings {
		t.Errorf("%s: %v, %v; want what is lost and nothing else", name, r.Faults, err)
	}
}

// TestDamagedManifest cuts the manifest off at every line, takes lines out, turns bits, and
// removes it: that is reported, and all readings are served by what the files say.
func TestDamagedManifest(t *testing.T) {
	whole := t.TempDir()
	sealed(t, whole, 3)
	b, err := os.ReadFile(filepath.Join(whole, series.Manifest))
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(bytes.Lines(b))
	damaged := [][]byte{nil, {}}
	for i := range lines {
		damaged = append(damaged, bytes.Join(lines[:i], nil), bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil))
		turned := bytes.Clone(b)
		turned[len(bytes.Join(lines[:i], nil))+len(lines[i])*2/3] ^= 4
		damaged = append(damaged, turned)
	}
	for i, text := range damaged {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, series.Manifest)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, series.Options{Dir: dir})
		if len(s.Faults()) == 0 {
			t.Errorf("manifest %d: %q: nothing is reported", i, text)
		}
		p, err := s.Query(t.Context(), all(1))
		if err != nil || len(p.Rows) != 27 || len(p.Gaps) > 0 || s.Covered() != 30 {
			t.Errorf("manifest %d: %d readings, gaps %v, covered %d, %v", i, len(p.Rows), p.Gaps, s.Covered(), err)
		}
		s.Close()
		s = open(t, series.Options{Dir: dir})
		if len(s.Faults()) > 0 {
			t.Errorf("manifest %d: opened again: %v", i, s.Faults())
		}
		s.Close()
	}
}

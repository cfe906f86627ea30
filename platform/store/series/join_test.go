package series_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// tablesOf lists the files of all tables of a folder, relative to it.
func tablesOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func copyInto(t *testing.T, dir, from string, names ...string) {
	t.Helper()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJoinCrash takes the store down at every point of a join: while the new files get their
// names, before and after the manifest lists them, and while the old ones are removed. Each
// time, and also when the manifest is gone on top of that, every reading is served once and
// counts once in every step.
func TestJoinCrash(t *testing.T) {
	dir := t.TempDir()
	sealed(t, dir, 4)
	before := tablesOf(t, dir)
	manifest, err := os.ReadFile(filepath.Join(dir, series.Manifest))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, series.Options{Dir: dir, JoinFrom: 2})
	release := s.Hold()
	if err := s.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	if st := s.Stats(); st.Segments != 2 {
		t.Fatalf("%d segments, want the newest and one that was joined of three", st.Segments)
	}
	whole := t.TempDir() // old and new files
	if err := os.CopyFS(whole, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	release()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after := tablesOf(t, dir)
	gone := slices.DeleteFunc(slices.Clone(before), func(name string) bool { return slices.Contains(after, name) })
	made := slices.DeleteFunc(slices.Clone(after), func(name string) bool { return slices.Contains(before, name) })
	if len(gone) != 3*4 || len(made) != 4 {
		t.Fatalf("%d files replaced by %d, want 12 by 4", len(gone), len(made))
	}
	// Readings get their name first.
	slices.SortStableFunc(made, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	state := func(files []string, old bool) string {
		into := t.TempDir()
		copyInto(t, into, whole, files...)
		if old {
			if err := os.WriteFile(filepath.Join(into, series.Manifest), manifest, 0o600); err != nil {
				t.Fatal(err)
			}
		} else {
			copyInto(t, into, whole, series.Manifest)
		}
		return into
	}
	for n := range len(made) + 1 {
		files := append(slices.Clone(before), made[:n]...)
		afterCrash(t, state(files, true), n, true)
	}
	for n := range len(gone) + 1 {
		afterCrash(t, state(append(slices.Clone(after), gone[n:]...), false), n, true)
	}
	for n := range len(gone) + 1 { // and the manifest is gone, too
		into := state(append(slices.Clone(after), gone[n:]...), false)
		if err := os.Remove(filepath.Join(into, series.Manifest)); err != nil {
			t.Fatal(err)
		}
		afterCrash(t, into, n, false)
	}
}

// afterCrash opens what four segments of sealed have become.
func afterCrash(t *testing.T, dir string, n int, manifest bool) {
	t.Helper()
	want := model{}
	for seq := uint64(1); seq <= 40; seq++ {
		want.append(crashFrame(seq))
	}
	for _, round := range []string{"first", "second"} {
		s := open(t, series.Options{Dir: dir, JoinBytes: -1})
		if f := s.Faults(); len(f) > 0 && manifest {
			t.Fatalf("%d, %s start: %v", n, round, f)
		}
		if s.Covered() != 40 {
			t.Errorf("%d, %s start: covered %d, want 40", n, round, s.Covered())
		}
		for slot := device.Slot(0); slot < crashDevices; slot += 7 {
			rows := pages(t, s, all(slot))
			if len(rows) != len(want[slot]) {
				t.Fatalf("%d, %s start: slot %d has %d readings, want %d", n, round, slot, len(rows), len(want[slot]))
			}
			for _, r := range rows {
				if w := want[slot][r.At]; !w.SameValues(&r.Reading) {
					t.Fatalf("%d, %s start: slot %d serves %+v, want %+v", n, round, slot, r.Reading, w)
				}
			}
		}
		for _, step := range []time.Duration{time.Minute, time.Hour} {
			a, err := s.Aggregate(t.Context(), series.AggregateQuery{Slots: []device.Slot{1}, To: 3_600_000, Step: step})
			count := int64(0)
			for _, r := range a.Rows {
				count += r.Count
			}
			if err != nil || len(a.Gaps) > 0 || count != int64(len(want[1])) {
				t.Fatalf("%d, %s start: %d readings in steps of %s, gaps %v, %v; want %d", n, round, count, step, a.Gaps, err, len(want[1]))
			}
		}
		s.Settle()
		if err := s.Verify(t.Context()); err != nil || manifest && len(s.Faults()) > 0 {
			t.Fatalf("%d, %s start: %v, %v", n, round, err, s.Faults())
		}
		s.Close()
		if r, err := series.Inspect(t.Context(), dir); err != nil || len(r.Faults) > 0 {
			t.Fatalf("%d, %s start: %v, %v", n, round, r.Faults, err)
		}
		manifest = true
	}
}

// TestJoin joins segments under readers that hold the old ones: who has begun goes on, the
// old files go when the last of them is done, and nothing else changes.
func TestJoin(t *testing.T) {
	dir := t.TempDir()
	sealed(t, dir, 9)
	want := func(s *series.Store) {
		t.Helper()
		for slot := range device.Slot(3) {
			if rows := pages(t, s, all(slot)); len(rows) != 81 {
				t.Fatalf("slot %d has %d readings, want 81", slot, len(rows))
			}
		}
		p, err := s.Query(t.Context(), series.Query{Slot: 1, To: 1 << 40, Step: time.Minute})
		if err != nil || len(p.Rows) != 2 || p.Rows[0].Count+p.Rows[1].Count != 81 {
			t.Fatalf("by the minute: %+v, %v", p.Rows, err)
		}
	}
	s := open(t, series.Options{Dir: dir, JoinBytes: -1})
	if err := s.Join(t.Context()); err != nil || s.Stats().Segments != 9 {
		t.Fatalf("%v, %d segments: nothing was to be joined", err, s.Stats().Segments)
	}
	s.Close()
	s = open(t, series.Options{Dir: dir}) // eight and the newest: the default
	defer s.Close()
	reading := 0
	err := s.Times(t.Context(), 1, 0, 1<<40, func(at int64) bool {
		if reading++; reading == 1 { // the first file is open, the others are not
			if err := s.Join(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Settle()
			want(s)
		}
		return true
	})
	if err != nil || reading != 81 {
		t.Fatalf("a reader that had begun saw %d readings, %v, want 81", reading, err)
	}
	st := s.Stats()
	if files := tablesOf(t, dir); st.Segments != 2 || len(files) != 2*4 || st.Rows != 81*crashDevices {
		t.Fatalf("%d segments of %d readings, files %v", st.Segments, st.Rows, files)
	}
	want(s)
}

// TestJoinDamage: what is damaged is found before it is joined, and reported as ever.
func TestJoinDamage(t *testing.T) {
	dir := t.TempDir()
	files := sealed(t, dir, 4)
	s := open(t, series.Options{Dir: dir, JoinFrom: 1 << 20})
	s.Close()
	b, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, series.Options{Dir: dir, JoinFrom: 1 << 20})
	b[len(b)/3] ^= 1
	if err := os.WriteFile(files[1], b, 0o600); err != nil {
		t.Fatal(err)
	}
	f := crashFrame(50)
	for i := range f.At { // the day is over
		f.At[i] += 2 * 24 * hour
	}
	s.Append(41, f)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := s.Query(t.Context(), series.Query{Slot: 1, To: 1 << 26})
	if err != nil || len(p.Gaps) != 1 || len(p.Rows) != 27 || len(s.Faults()) != 1 {
		t.Errorf("%d readings, gaps %v, %v, faults %v; want 27 and the gap that the damaged segment leaves", len(p.Rows), p.Gaps, err, s.Faults())
	}
}

// TestJoinKeepsRetention: segments are not joined to more time than an eighth of what they
// are kept for, so that nothing is kept much longer for its neighbours.
func TestJoinKeepsRetention(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine asks; TestConcurrent and TestHistory do side by side what it does")
	}
	dir := t.TempDir()
	s := open(t, series.Options{Dir: dir, JoinFrom: 2, Keep: 8 * time.Minute, Tiers: []series.Tier{{Step: time.Minute, Keep: 8 * time.Minute}}})
	defer s.Close()
	for seq := uint64(1); seq <= 400; seq++ {
		s.Append(seq, crashFrame(seq))
		if seq%10 == 0 {
			if err := s.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Segments; n < 400/60 || n >= 40 {
		t.Errorf("%d segments of 400 s, want some of less than a minute each", n)
	}
	s.Expire(time.UnixMilli(400_000).Add(8*time.Minute - 100*time.Second))
	if n, err := s.Count(t.Context(), 1, 0, 1<<40); err != nil || n < 90 || n > 150 {
		t.Errorf("%d readings left, %v; want those of 100 s and at most a minute more", n, err)
	}
}

// TestOpenFiles reads from more files than are kept open, at once and one after the other.
func TestOpenFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine asks; TestConcurrent and TestHistory do side by side what it does")
	}
	if _, err := os.ReadDir("/proc/self/fd"); err != nil {
		t.Skip("this system does not list what a process has open")
	}
	dir := t.TempDir()
	s := open(t, series.Options{Dir: dir, JoinBytes: -1, Tiers: []series.Tier{{Step: time.Minute}}})
	defer s.Close()
	const segments = 90
	for seq := uint64(1); seq <= segments; seq++ {
		s.Append(seq, crashFrame(seq+1))
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	opened := func() (n int) {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if path, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && strings.HasPrefix(path, dir) {
				n++
			}
		}
		return n
	}
	most, rows := 0, 0
	if err := s.Times(t.Context(), 1, 0, 1<<40, func(int64) bool {
		most, rows = max(most, opened()), rows+1
		return true
	}); err != nil || rows != segments-segments/10 {
		t.Fatalf("%d readings, %v", rows, err)
	}
	a, err := s.Aggregate(t.Context(), series.AggregateQuery{Slots: []device.Slot{1, 2, 3}, To: 1 << 24, Step: time.Hour, Fleet: true})
	if most = max(most, opened()); err != nil || len(a.Rows) == 0 || most > 70 || most < 20 {
		t.Errorf("%d files open at once, %v, want 64 and those that are being read", most, err)
	}
}

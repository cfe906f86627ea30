package series_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// TestDamagedPage turns a bit in a file that was joined of others, somewhere among its
// readings. The page is given up and told as a gap; all other readings are served, the tiers
// tell of all of them, and the log gives back what it has.
func TestDamagedPage(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine asks; TestConcurrent and TestHistory do side by side what it does")
	}
	const devices, seconds = 12, 2400
	dir := t.TempDir()
	opt := series.Options{Dir: dir, SealRows: devices * 800, JoinFrom: 1 << 20}
	f := newFleet(devices)
	from := f.at
	want := model{}
	var log []*device.Readings
	s := open(t, opt)
	push := func() {
		log = append(log, clone(f.next()))
		s.Append(uint64(len(log)), log[len(log)-1])
	}
	for range seconds {
		push()
		want.append(log[len(log)-1])
	}
	f.at += 2 * 24 * hour // the day is over
	push()
	if err := errors.Join(s.Seal(t.Context()), s.Join(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Segments; n != 2 {
		t.Fatalf("%d segments, want what was joined and the next day", n)
	}
	s.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	name, size := "", int64(0)
	for _, path := range files {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st.Size() > size {
			name, size = filepath.Base(path), st.Size()
		}
	}
	damage := func(dir string, at int64) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		b[at] ^= 0x10
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// missing counts the readings that are not served: each lies in a gap, and the others are right.
	missing := func(s *series.Store) (n int) {
		t.Helper()
		for slot := range device.Slot(devices) {
			p, err := s.Query(t.Context(), series.Query{Slot: slot, From: from, To: from + hour})
			if err != nil {
				t.Fatal(err)
			}
			rows := p.Rows
			for _, w := range want.between(slot, from, from+hour) {
				if len(rows) > 0 && rows[0].At == w.At {
					if !rows[0].SameValues(&w) {
						t.Fatalf("slot %d serves %+v, want %+v", slot, rows[0].Reading, w)
					}
					rows = rows[1:]
					continue
				}
				n++
				told := false
				for _, g := range p.Gaps {
					told = told || g.From <= w.At && w.At < g.To
				}
				if !told {
					t.Fatalf("slot %d has no reading of %d, and the gaps %v", slot, w.At, p.Gaps)
				}
			}
			a, err := s.Aggregate(t.Context(), series.AggregateQuery{Slots: []device.Slot{slot}, From: from, To: from + hour, Step: time.Hour})
			if err != nil || len(a.Gaps) > 0 || len(a.Rows) != 1 || a.Rows[0].Count != seconds {
				t.Fatalf("slot %d: hour %+v, %v, want all %d readings", slot, a, err, seconds)
			}
		}
		return n
	}
	for i := range int64(6) {
		into := t.TempDir()
		if err := os.CopyFS(into, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		opt.Dir = into
		lost := 0
		for k, at := range []int64{size * (2*i + 1) / 16, size * (2*i + 2) / 16} {
			damage(into, at)
			s := open(t, opt)
			if n := len(s.Faults()); n != 1 || !errors.Is(s.Faults()[0].Err, series.ErrCorrupt) {
				t.Fatalf("byte %d: faults %v, want one", at, s.Faults())
			}
			n := missing(s)
			if n <= 0 || n > (k+1)*seconds {
				t.Fatalf("byte %d: %d of %d readings are missing, want those of a page", at, n, devices*seconds)
			}
			lost = max(lost, n)
			if err := s.Verify(t.Context()); err != nil || len(s.Faults()) != 1 {
				t.Fatalf("byte %d: verified: %v, %v", at, err, s.Faults())
			}
			s.Close()
		}
		s := open(t, opt)
		if n := missing(s); n != lost || len(s.Faults()) > 0 {
			t.Fatalf("opened again: %d readings are missing, faults %v, want %d", n, s.Faults(), lost)
		}
		for seq := s.Covered() + 1; seq <= uint64(len(log)); seq++ {
			s.Append(seq, log[seq-1])
		}
		if n := missing(s); n > 0 {
			t.Fatalf("given again: %d readings are missing", n)
		}
		if err := s.Seal(t.Context()); err != nil || s.Covered() != uint64(len(log)) {
			t.Fatalf("sealed again: %v, covered %d, want %d", err, s.Covered(), len(log))
		}
		s.Close()
		s = open(t, opt)
		if n := missing(s); n > 0 || s.Covered() != uint64(len(log)) {
			t.Fatalf("and opened: %d readings are missing, covered %d, want %d", n, s.Covered(), len(log))
		}
		s.Close()
	}
}

// badDisk is a file of which some bytes cannot be read.
type badDisk struct {
	series.Handle
	from, to int64
	on       *atomic.Bool
	at       int64 // of Read
}

func (b *badDisk) ReadAt(p []byte, at int64) (int, error) {
	if b.on.Load() && at < b.to && b.from < at+int64(len(p)) {
		return 0, syscall.EIO
	}
	return b.Handle.ReadAt(p, at)
}

func (b *badDisk) Read(p []byte) (int, error) {
	if b.on.Load() && b.at < b.to && b.from < b.at+int64(len(p)) {
		return 0, syscall.EIO
	}
	n, err := b.Handle.Read(p)
	b.at += int64(n)
	return n, err
}

// TestUnreadablePage: a sector that the disk does not give costs its page and nothing else, also
// after a restart; and where there are no more files to open, or the disk gives it after all,
// nothing is given up.
func TestUnreadablePage(t *testing.T) {
	const devices, seconds = 12, 2400
	dir := t.TempDir()
	f := newFleet(devices)
	from := f.at
	var full, bad atomic.Bool
	defer series.Between(func(path string, open func(string) (series.Handle, error)) (series.Handle, error) {
		if full.Load() {
			return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
		}
		h, err := open(path)
		if err != nil {
			return nil, err
		}
		st, err := h.Stat()
		if err != nil || st.Size() < 100_000 {
			return h, err
		}
		return &badDisk{Handle: h, from: st.Size() / 2, to: st.Size()/2 + 512, on: &bad}, nil
	})()
	opt := series.Options{Dir: dir, SealRows: devices * 800, JoinFrom: 1 << 20}
	s := open(t, opt)
	seq := uint64(0)
	push := func() {
		seq++
		s.Append(seq, clone(f.next()))
	}
	for range seconds {
		push()
	}
	f.at += 2 * 24 * hour // the day is over
	push()
	if err := errors.Join(s.Seal(t.Context()), s.Join(t.Context())); err != nil {
		t.Fatal(err)
	}
	// count is how many readings are served, and whether gaps tell of others.
	count := func() (n int, told bool, err error) {
		t.Helper()
		for slot := range device.Slot(devices) {
			p, err := s.Query(t.Context(), series.Query{Slot: slot, From: from, To: from + hour})
			if err != nil {
				return n, told, err
			}
			n, told = n+len(p.Rows), told || len(p.Gaps) > 0
		}
		return n, told, nil
	}
	whole := func(when string) {
		t.Helper()
		if n, told, err := count(); n != devices*seconds || told || err != nil {
			t.Fatalf("%s: %d of %d readings, a gap is told: %v, %v", when, n, devices*seconds, told, err)
		}
	}
	whole("at first")
	bad.Store(true)
	full.Store(true)
	if _, _, err := count(); !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("with no more files to open: %v", err)
	}
	bad.Store(false)
	full.Store(false)
	whole("after that")
	bad.Store(true)
	check := func(when string) {
		t.Helper()
		n, told, err := count()
		if lost := devices*seconds - n; lost <= 0 || lost > seconds || !told || err != nil {
			t.Fatalf("%s: %d of %d readings are missing, a gap is told: %v, %v", when, lost, devices*seconds, told, err)
		}
	}
	for range 2 { // the second time with what is left
		if err := s.Verify(t.Context()); err != nil || len(s.Faults()) != 1 {
			t.Fatalf("verified: %v, faults %v, want one", err, s.Faults())
		}
		check("a bad sector")
	}
	s.Close()
	s = open(t, opt)
	defer s.Close()
	check("opened again")
}

// TestLostWhileRunning: what was given before it was lost is not given again by what follows it.
func TestLostWhileRunning(t *testing.T) {
	dir := t.TempDir()
	s := open(t, series.Options{Dir: dir})
	seq := uint64(0)
	seal := func() {
		t.Helper()
		for range 10 {
			seq++
			s.Append(seq, crashFrame(seq))
		}
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	seal()
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	seal()
	if err := os.Truncate(files[0], 100); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		p, err := s.Query(t.Context(), all(3))
		if err != nil || len(p.Gaps) != 1 {
			t.Fatalf("after %d seals: gaps %v, %v, want one", round, p.Gaps, err)
		}
		if round == 2 {
			s.Close()
			s = open(t, series.Options{Dir: dir})
			seq = max(seq, s.Covered())
		}
		seal()
	}
}

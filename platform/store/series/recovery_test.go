package series_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// The log of the crash test is made of frame number seq alone, so that parent and
// child have the same one without sharing a file.
const crashDevices, crashFrames = 50, 4000

func crashFrame(seq uint64) *device.Readings {
	f := new(device.Readings)
	for i := range crashDevices {
		r := device.Empty()
		r.Slot, r.At, r.Power, r.Status = device.Slot(i), int64(seq)*1000, float64(seq)/10, device.Idle
		r.Arrived = r.At
		if seq%10 == 0 { // late, and revises the frame before
			r.At -= 1000
		}
		f.Append(&r)
	}
	return f
}

// TestMain is also the process that the crash test kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("YUNCHU_SERIES_CRASH"); dir != "" {
		s, err := series.Open(series.Options{Dir: dir, SealRows: 20 * crashDevices, JoinFrom: 2})
		if err != nil {
			slog.Error("open", "error", err)
			os.Exit(1)
		}
		in := bufio.NewScanner(os.Stdin)
		for seq := s.Covered() + 1; seq <= crashFrames; seq++ {
			s.Append(seq, crashFrame(seq))
			if seq%20 == 0 {
				fmt.Fprintln(os.Stdout, s.Covered())
				in.Scan() // one more round is allowed
			}
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKill kills the store with -9 while it seals, again and again, then replays
// the log: every reading is there once, with the value that came last.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 4))
	kills := 6
	if testing.Short() {
		kills = 2
	}
	for range kills {
		kill(t, dir, 1+rng.IntN(12))
	}
	if err := os.WriteFile(filepath.Join(dir, "seal-123.tmp"), []byte("half a segment"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, series.Options{Dir: dir, SealRows: 1000 * crashDevices, JoinBytes: -1}) // what is being joined has temporary files, too
	if len(s.Faults()) > 0 {
		t.Fatalf("faults after kill -9: %v", s.Faults())
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
	covered := s.Covered()
	if covered == 0 || covered >= crashFrames {
		t.Fatalf("Covered() = %d: the test killed too early or too late", covered)
	}
	t.Logf("covered %d of %d frames", covered, crashFrames)
	want := model{}
	for seq := uint64(1); seq <= crashFrames; seq++ {
		f := crashFrame(seq)
		want.append(f)
		if seq > covered {
			s.Append(seq, f)
		}
	}
	if err := s.Verify(t.Context()); err != nil || len(s.Faults()) > 0 {
		t.Errorf("%v, %v", err, s.Faults())
	}
	for slot := range device.Slot(crashDevices) {
		rows := 0
		q := all(slot)
		for _, r := range pages(t, s, q) {
			rows++
			if w, ok := want[slot][r.At]; !ok || w.Power != r.Power {
				t.Fatalf("slot %d at %d: power %v, want %v", slot, r.At, r.Power, w.Power)
			}
		}
		if rows != len(want[slot]) {
			t.Fatalf("slot %d: %d rows, want %d", slot, rows, len(want[slot]))
		}
	}
}

// kill runs a child that appends and seals, allows it some rounds more than it
// waits for, and kills it in the middle of them.
func kill(t *testing.T, dir string, lines int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "YUNCHU_SERIES_CRASH="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	rounds, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(rounds, strings.Repeat("\n", lines+2)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	for n := 0; n < lines && in.Scan(); n++ {
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself before it was killed")
	}
}

func pages(t *testing.T, s *series.Store, q series.Query) (rows []series.Row) {
	t.Helper()
	for {
		p, err := s.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, p.Rows...)
		if q.Cursor = p.Next; q.Cursor == "" {
			return rows
		}
	}
}

func all(slot device.Slot) series.Query { return series.Query{Slot: slot, From: -1 << 62, To: 1 << 62} }

// sealed makes a store of n segments of ten frames each and closes it.
func sealed(t *testing.T, dir string, n int) (files []string) {
	t.Helper()
	s := open(t, series.Options{Dir: dir})
	for seq := uint64(1); seq <= uint64(n*10); seq++ {
		s.Append(seq, crashFrame(seq))
		if seq%10 == 0 {
			if err := s.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(files) != n {
		t.Fatalf("%d segments, want %d (%v)", len(files), n, err)
	}
	return files
}

// TestDamage flips one byte after the other of a file in the middle: of readings, and of
// each tier. Whatever byte it is, it is reported, the answer tells the gap that it leaves,
// and a wrong reading is never served.
func TestDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine asks; TestConcurrent and TestHistory do side by side what it does")
	}
	dir := t.TempDir()
	files := sealed(t, dir, 3)
	want := model{}
	for seq := uint64(1); seq <= 30; seq++ {
		want.append(crashFrame(seq))
	}
	for _, name := range []string{"", "1m", "1h"} {
		path := filepath.Join(dir, name, filepath.Base(files[1]))
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		step := max(1, len(whole)/11)
		for at := 0; at < len(whole); at += step {
			into := t.TempDir()
			if err := os.CopyFS(into, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			b := append([]byte(nil), whole...)
			b[at] ^= 0x10
			if err := os.WriteFile(filepath.Join(into, name, filepath.Base(path)), b, 0o600); err != nil {
				t.Fatal(err)
			}
			damagedByte(t, into, want, name == "", fmt.Sprintf("%s byte %d", name, at))
		}
	}
}

// damagedByte opens a store of which a byte of one file is wrong.
func damagedByte(t *testing.T, dir string, want model, readings bool, what string) {
	t.Helper()
	s := open(t, series.Options{Dir: dir})
	defer s.Close()
	if f := s.Faults(); len(f) != 1 || !errors.Is(f[0].Err, series.ErrCorrupt) || f[0].Rebuilt == readings {
		t.Fatalf("%s: %v", what, f)
	}
	covered := uint64(30)
	if readings {
		covered = 10
	}
	if s.Covered() != covered {
		t.Fatalf("%s: covered %d, want %d", what, s.Covered(), covered)
	}
	for slot := range device.Slot(crashDevices) {
		p, err := s.Query(t.Context(), all(slot))
		if err != nil || (len(p.Gaps) == 1) != readings || (len(p.Rows) == len(want[slot])) == readings {
			t.Fatalf("%s: slot %d has %d rows, gaps %v, %v", what, slot, len(p.Rows), p.Gaps, err)
		}
		for _, r := range p.Rows {
			if w := want[slot][r.At]; !w.SameValues(&r.Reading) {
				t.Fatalf("%s: slot %d serves %+v, want %+v", what, slot, r.Reading, w)
			}
		}
		a, err := s.Aggregate(t.Context(), series.AggregateQuery{Slots: []device.Slot{slot}, To: 3_600_000, Step: time.Hour})
		if err != nil || len(a.Rows) != 1 || a.Rows[0].Count != int64(len(want[slot])) || len(a.Gaps) > 0 {
			t.Fatalf("%s: slot %d: hour %+v, %v, want all %d readings", what, slot, a, err, len(want[slot]))
		}
	}
}

// TestSetAside restores from the log what a damaged segment held.
func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	files := sealed(t, dir, 3)
	if err := os.Truncate(files[1], 100); err != nil {
		t.Fatal(err)
	}
	for _, round := range []string{"damaged", "opened again", "and again"} {
		s := open(t, series.Options{Dir: dir})
		for seq := s.Covered() + 1; seq <= 30; seq++ {
			s.Append(seq, crashFrame(seq))
		}
		if n, err := s.Count(t.Context(), 3, -1<<62, 1<<62); n != 27 || err != nil {
			t.Errorf("%s: %d readings, %v, want 27", round, n, err)
		}
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.Covered() != 30 {
			t.Errorf("%s: Covered() = %d, want 30", round, s.Covered())
		}
		s.Close()
	}
	if _, err := os.Stat(files[1] + ".bad"); err != nil {
		t.Errorf("the damaged segment is not kept: %v", err)
	}
}

// TestFullDisk takes the folder away: appends go on until memory is full, Seal
// says why, and when the folder is back everything is sealed.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	s := open(t, series.Options{Dir: dir})
	s.Append(1, crashFrame(1))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "sequence 1") {
		t.Fatalf("Seal() = %v, want that the folder does not exist", err)
	}
	s.Append(2, crashFrame(2))
	if n, err := s.Count(t.Context(), 0, 0, 1<<62); n != 2 || err != nil {
		t.Errorf("Count() = %d, %v, want 2 from memory", n, err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(t.Context()); err != nil { // what is due is retried within a second
		t.Fatal(err)
	}
	if st := s.Stats(); s.Covered() != 2 || st.Rows != 2*crashDevices || st.HeadRows != 0 || st.Failures == 0 {
		t.Errorf("after the folder is back: covered %d, %+v", s.Covered(), st)
	}
}

// TestConcurrent queries while one goroutine appends and segments are published
// under it; for the race detector, and for rows that vanish in the hand-over.
func TestConcurrent(t *testing.T) {
	s := open(t, series.Options{SealRows: 60 * crashDevices})
	const frames = 600
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for slot := range device.Slot(3) {
		wg.Go(func() {
			seen := int64(0)
			for {
				n, err := s.Count(t.Context(), slot, 0, 1<<62)
				if err != nil || n < seen {
					t.Errorf("slot %d: %d readings, %v, there were %d", slot, n, err, seen)
					return
				}
				if _, err := s.Query(t.Context(), series.Query{Slot: slot, To: 1 << 62, Step: time.Minute}); err != nil {
					t.Error(err)
					return
				}
				seen = n
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for seq := uint64(1); seq <= frames; seq++ {
		s.Append(seq, crashFrame(seq))
	}
	close(stop)
	wg.Wait()
	if n, err := s.Count(t.Context(), 1, 0, 1<<62); n != frames-frames/10 || err != nil {
		t.Errorf("%d readings, %v, want %d", n, err, frames-frames/10)
	}
}

// TestLeavesNothing opens a store in a temporary folder, as a run in virtual time
// does, and closes it in the middle of everything.
func TestLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine asks; TestConcurrent and TestHistory do side by side what it does")
	}
	dir := filepath.Join(t.TempDir(), "run")
	s := open(t, series.Options{Dir: dir, SealRows: 100})
	for seq := uint64(1); seq <= 50; seq++ {
		s.Append(seq, crashFrame(seq))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s.Append(51, crashFrame(51))
	if err := s.Seal(t.Context()); err != nil && !errors.Is(err, series.ErrClosed) {
		t.Error(err)
	}
	if _, err := s.Query(t.Context(), all(1)); !errors.Is(err, series.ErrClosed) {
		t.Errorf("Query() after Close: %v, want ErrClosed", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is back: %v", err)
	}
}

// TestSealIfDue seals a plant that has fallen silent.
func TestSealIfDue(t *testing.T) {
	s := open(t, series.Options{SealEvery: time.Minute})
	s.Append(1, crashFrame(1))
	s.SealIfDue(time.UnixMilli(1000).Add(59 * time.Second))
	if st := s.Stats(); st.HeadRows != crashDevices {
		t.Fatalf("sealed too early: %+v", st)
	}
	s.SealIfDue(time.UnixMilli(1000).Add(60 * time.Second))
	if err := s.Seal(t.Context()); err != nil { // waits for the one that has begun
		t.Fatal(err)
	}
	if s.Covered() != 1 {
		t.Errorf("Covered() = %d, want 1", s.Covered())
	}
}

func TestImpossibleSlots(t *testing.T) {
	s := open(t, series.Options{})
	f := crashFrame(1)
	f.Slot[3] = device.Plant
	s.Append(1, f)
	if st := s.Stats(); st.Dropped != 1 || st.HeadRows != crashDevices-1 {
		t.Errorf("%+v, want one row dropped", st)
	}
}

// TestLostForGood takes a file whose readings the log no longer has. What comes after is no
// proof of what was lost: the gap is told when there are new readings, when these are sealed,
// and after each restart, at which the log is asked from where it goes on.
func TestLostForGood(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine asks; TestConcurrent and TestHistory do side by side what it does")
	}
	for _, which := range []int{0, 1, 2} {
		dir := t.TempDir()
		files := sealed(t, dir, 3)
		if err := os.Truncate(files[which], 100); err != nil {
			t.Fatal(err)
		}
		for round := range uint64(4) {
			s := open(t, series.Options{Dir: dir})
			told := func(when string) {
				t.Helper()
				p, err := s.Query(t.Context(), all(3))
				if err != nil || len(p.Gaps) != 1 {
					t.Fatalf("file %d, round %d, %s: gaps %v, %v, want one", which, round, when, p.Gaps, err)
				}
			}
			told("opened")
			if round > 1 && s.Covered() != 30+round { // its log is not asked any more for what it did not have
				t.Errorf("file %d, round %d: Covered() = %d, want %d", which, round, s.Covered(), 30+round)
			}
			for seq := max(31, s.Covered()+1); seq <= 31+round; seq++ { // the log begins at 31
				s.Append(seq, crashFrame(seq))
			}
			told("with new readings")
			if round > 0 {
				if err := s.Seal(t.Context()); err != nil {
					t.Fatal(err)
				}
				told("sealed")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

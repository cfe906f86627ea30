package record

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"yunchu/platform/device"
)

// rolled are the files of a shelf, the oldest first.
func rolled(t *testing.T, s *Shelf) (list []*Recording, bytes int64) {
	t.Helper()
	files, err := shelvedIn(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		bytes += f.bytes
		r, err := Open(f.path)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list, bytes
}

// settle waits until the roll has taken all that was put into it.
func settle(t *testing.T, r *Roll) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); r.waiting.Load() > 0 || len(r.queue) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the roll does not take what waits")
		}
	}
}

// TestRollIsBounded: a recording without an end stays within its bytes, in files of which
// each begins with what its device said first, and none lacks a message in its midst.
func TestRollIsBounded(t *testing.T) {
	s := &Shelf{Dir: filepath.Join(t.TempDir(), "links"), Keep: time.Hour, MaxBytes: 60_000, FileBytes: 10_000}
	r := s.NewRoll("rig", func() (Head, error) { return head(), nil })
	tap := r.Tap("")
	data, rng := make([]byte, 40), rand.New(rand.NewPCG(1, 2))
	const n = 8000
	for i := range n {
		at := began.Add(time.Duration(i) * 500 * time.Millisecond)
		for k := range data {
			data[k] = byte(rng.Uint32())
		}
		if i < 4 {
			copy(data, "scan")
		}
		tap(device.Crossing{At: at, Out: i%2 == 0, Data: data})
		if i%1000 == 999 {
			r.Told(device.Command{Verb: device.SetPower, Power: float64(i)})()
			settle(t, r)
		}
	}
	r.Close()
	list, bytes := rolled(t, s)
	if len(list) < 3 || bytes > s.MaxBytes+2*s.FileBytes || r.Shed() != 0 {
		t.Fatalf("%d files of %d bytes, %d messages shed", len(list), bytes, r.Shed())
	}
	var last time.Time
	for i, f := range list {
		all := f.Crossings("", f.Started)
		if !f.Whole || f.ID != "rig" {
			t.Errorf("file %d: whole %t, of %s", i, f.Whole, f.ID)
		}
		for k, c := range all[:4] {
			if string(c.Data[:4]) != "scan" || i > 0 && !c.At.Equal(f.Started) {
				t.Errorf("file %d: message %d of its beginning is %x at %v", i, k, c.Data, c.At)
			}
		}
		for k := 1; k < len(all); k++ { // behind the beginning all messages lie half a second apart
			if d := all[k].At.Sub(all[k-1].At); d != 0 && d != 500*time.Millisecond {
				t.Fatalf("file %d: %v between two messages", i, d)
			}
		}
		if i > 0 && f.Started.Sub(last) != 500*time.Millisecond {
			t.Errorf("file %d begins %v after the last message", i, f.Started.Sub(last))
		}
		last = all[len(all)-1].At
	}
	if want := began.Add((n - 1) * 500 * time.Millisecond); !last.Equal(want) {
		t.Errorf("the last message is of %v, want %v", last, want)
	}
	if s.Bytes() != bytes {
		t.Errorf("the shelf counts %d bytes of %d", s.Bytes(), bytes)
	}
	if s.Keep = 0; s.tidy(time.Now().Add(time.Hour)) != nil || s.Bytes() != 0 {
		t.Errorf("%d bytes are kept for longer than they are to be", s.Bytes())
	}
}

// TestRollSheds: whoever taps does not wait for a disk that stands still or fails, what is
// not recorded is counted, and it goes on when the disk does.
func TestRollSheds(t *testing.T) {
	t.Run("stands still", func(t *testing.T) {
		s := &Shelf{Dir: t.TempDir(), Keep: time.Hour, MaxBytes: 1 << 20, FileBytes: 1 << 20}
		held, first := make(chan struct{}), make(chan struct{})
		var once sync.Once
		r := s.NewRoll("rig", func() (Head, error) { once.Do(func() { close(first) }); <-held; return head(), nil })
		tap := r.Tap("")
		tap(device.Crossing{At: began, Data: []byte("scan")})
		tap(device.Crossing{At: began.Add(opening), Data: []byte("scan")})
		<-first
		for i := range rollQueue + 100 {
			tap(device.Crossing{At: began.Add(opening + time.Duration(i)*time.Millisecond), Data: []byte{1}})
		}
		if got := r.Shed(); got != 100 {
			t.Errorf("%d messages were shed", got)
		}
		close(held)
		r.Close()
		if list, _ := rolled(t, s); len(list) != 1 || len(list[0].Crossings("", began)) != rollQueue+2 {
			t.Errorf("%d files", len(list))
		}
	})
	t.Run("fails", func(t *testing.T) {
		s := &Shelf{Dir: t.TempDir(), Keep: time.Hour, MaxBytes: 1 << 20, FileBytes: 1 << 20}
		r := s.NewRoll("rig", func() (Head, error) { return Head{}, errors.New("no disk") })
		tap := r.Tap("")
		for i := range 20 {
			tap(device.Crossing{At: began.Add(time.Duration(i) * time.Second), Data: []byte{1}})
		}
		r.Close()
		if got := r.Shed(); got != 20 {
			t.Errorf("%d of 20 messages count as shed", got)
		}
	})
	t.Run("too large", func(t *testing.T) {
		s := &Shelf{Dir: t.TempDir(), Keep: time.Hour, MaxBytes: 1 << 20, FileBytes: 1 << 20}
		r := s.NewRoll("rig", func() (Head, error) { return head(), nil })
		r.Tap("")(device.Crossing{At: began, Data: make([]byte, maxData+1)})
		r.Close()
		if files, err := os.ReadDir(s.Dir); r.Shed() != 1 || err != nil || len(files) != 0 {
			t.Errorf("%d shed, files %v, %v", r.Shed(), files, err)
		}
	})
}

// A device that is not heard yet is asked again and again; of that no more is kept than of
// any beginning, and its recording begins when it is there.
func TestRollOfADeviceThatComesLate(t *testing.T) {
	s := &Shelf{Dir: t.TempDir(), Keep: time.Hour, MaxBytes: 1 << 30, FileBytes: 1 << 30}
	r := s.NewRoll("rig", func() (Head, error) { return head(), nil })
	tap := r.Tap("")
	ask := make([]byte, 1<<10)
	for i := range 3000 {
		tap(device.Crossing{At: began.Add(time.Duration(i) * time.Second), Out: true, Data: ask})
		if i%500 == 0 {
			settle(t, r)
		}
	}
	settle(t, r)
	here := began.Add(3000 * time.Second)
	for i := range 20 {
		tap(device.Crossing{At: here.Add(time.Duration(i) * time.Second), Data: fmt.Appendf(nil, "%d", i)})
	}
	r.Close()
	list, _ := rolled(t, s)
	if len(list) != 1 {
		t.Fatalf("%d files", len(list))
	}
	all := list[0].Crossings("", list[0].Started)
	if n := len(all); n < 500 || n > 1100 || string(all[n-1].Data) != "19" || !all[n-1].At.Equal(here.Add(19*time.Second)) {
		t.Errorf("%d messages, the last %q at %v", n, all[n-1].Data, all[n-1].At)
	}
}

// What comes before a device is heard is bounded, messages without data and commands too.
func TestRollOfADeviceThatNeverComes(t *testing.T) {
	s := &Shelf{Dir: t.TempDir(), Keep: time.Hour, MaxBytes: 1 << 30, FileBytes: 1 << 30}
	r := s.NewRoll("rig", func() (Head, error) { return head(), nil })
	tap := r.Tap("")
	for i := range 20_000 {
		tap(device.Crossing{At: began.Add(time.Duration(i) * time.Second), Out: true})
		if r.Told(device.Command{Verb: device.Stop})(); i%1000 == 0 {
			settle(t, r)
		}
	}
	r.Close()
	if most := openingMost/crossedMost + 1; len(r.start) == 0 || len(r.start) > most || r.Shed() < 10_000 {
		t.Errorf("%d messages wait for a device that never comes, at most %d; %d are shed", len(r.start), most, r.Shed())
	}
}

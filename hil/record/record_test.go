package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/platform/device"
)

var began = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func head() Head {
	return Head{ID: "rig", Started: began, Device: json.RawMessage(`{"kind":"modbus"}`)}
}

func write(t *testing.T, path string, limit, n int) *Writer {
	t.Helper()
	w, err := Create(path, head(), limit)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		w.Tap("pcs")(device.Crossing{At: began.Add(time.Duration(i) * 100 * time.Millisecond), Out: i%2 == 0, Data: []byte{3, byte(i)}})
	}
	w.Tap("bms")(device.Crossing{At: began.Add(time.Hour), Data: nil})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRoundTrip(t *testing.T) {
	for _, name := range []string{"a.rec", "a.rec.gz"} {
		path := filepath.Join(t.TempDir(), name)
		write(t, path, 0, 5)
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if r.ID != "rig" || !r.Started.Equal(began) || string(r.Device) != `{"kind":"modbus"}` || !r.Whole || r.Torn || r.Length() != time.Hour {
			t.Errorf("%s: %+v", name, r)
		}
		start := began.Add(24 * time.Hour)
		got := r.Crossings("pcs", start)
		if len(got) != 5 || len(r.Crossings("bms", start)) != 1 || len(r.Links()) != 2 {
			t.Fatalf("%s: %d crossings, links %v", name, len(got), r.Links())
		}
		want := device.Crossing{At: start.Add(300 * time.Millisecond), Data: []byte{3, 3}}
		if !reflect.DeepEqual(got[3], want) {
			t.Errorf("%s: %+v, want %+v", name, got[3], want)
		}
	}
}

// A crash cuts the last line; what was before it counts. Damage in the middle is told.
func TestTornAndDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.rec")
	write(t, path, 0, 5)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	cut := bytes.Join(lines[:4], nil)
	r, err := Read(bytes.NewReader(append(cut, lines[4][:len(lines[4])/2]...)), "a.rec")
	if err != nil || !r.Torn || r.Whole || len(r.Crossings("pcs", began)) != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	for name, text := range map[string]string{
		"empty":         "",
		"no head":       "{}\n",
		"other version": strings.Replace(string(lines[0]), `"version":1`, `"version":9`, 1),
		"damage":        string(cut) + "{\"t_ms\":\n" + string(lines[4]),
		"time back":     string(whole) + "{\"t_ms\":1}\n{\"t_ms\":2}\n",
		"no hex":        string(cut) + "{\"t_ms\":1e9,\"data\":\"zz\"}\n" + string(lines[4]),
	} {
		if r, err := Read(strings.NewReader(text), "x.rec"); !errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), "x.rec") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestFullSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.rec")
	w := write(t, path, 300, 100)
	r, err := Open(path)
	if err != nil || r.Whole || r.Torn {
		t.Fatalf("%+v, %v", r, err)
	}
	if n := len(r.Crossings("pcs", began)); n+w.Dropped() != 101 || n == 0 {
		t.Errorf("%d kept and %d dropped of 101", n, w.Dropped())
	}
}

func TestManyLinksAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.rec.gz")
	w, err := Create(path, head(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, link := range []string{"a", "b", "c"} {
		all.Go(func() {
			for i := range 500 {
				w.Tap(link)(device.Crossing{At: began.Add(time.Duration(i) * time.Millisecond), Data: []byte{byte(i)}})
			}
		})
	}
	all.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range r.Links() {
		for i, c := range r.Crossings(link, began) {
			if c.Data[0] != byte(i) {
				t.Fatalf("link %s: message %d is %d", link, i, c.Data[0])
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("{\"yunchu\":\"recording\",\"version\":1}\n{\"t_ms\":1,\"data\":\"00\"}\n{\"t_ms\":2,\"end\":\"closed\"}\n")
	f.Add("{\"yunchu\":\"recording\",\"version\":1}\n{\"t_ms\":1e300}")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Read(strings.NewReader(text), "x")
		if err == nil {
			for _, l := range r.Links() {
				r.Crossings(l, began)
			}
		}
	})
}

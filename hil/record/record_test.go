package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
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

// What was asked for, and when the run began, move with the time of the replay; a
// recording of before there were any of these is read as one that began when it started.
func TestCommandsAndBegin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.rec")
	w, err := Create(path, head(), 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Begin(began.Add(2 * time.Second))
	w.Tap("")(device.Crossing{At: began.Add(3 * time.Second), Data: []byte{3}})
	w.Armed(began.Add(3 * time.Second))
	w.Armed(began.Add(3500 * time.Millisecond)) // again: it had been disarmed
	w.Command(Command{At: began.Add(2500 * time.Millisecond), Done: began.Add(4 * time.Second), Verb: device.SetPower, PowerKW: -7.5})
	w.Command(Command{At: began, Done: began, Verb: device.SetPower, PowerKW: math.NaN()}) // no line of JSON says that
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Armed.Equal(began.Add(3 * time.Second)) {
		t.Errorf("armed at %v", r.Armed)
	}
	start := began.Add(time.Hour)
	want := []Command{{At: start.Add(500 * time.Millisecond), Done: start.Add(2 * time.Second), Verb: device.SetPower, PowerKW: -7.5}}
	if got := r.Commands(start); !reflect.DeepEqual(got, want) {
		t.Errorf("commands %+v, want %+v", got, want)
	}
	if got := r.Crossings("", start); len(got) != 1 || !got[0].At.Equal(start.Add(time.Second)) || w.Dropped() != 1 {
		t.Errorf("crossings %+v, %d dropped", got, w.Dropped())
	}
	old, err := Read(strings.NewReader(`{"yunchu":"recording","version":1,"id":"rig","started":"2026-03-04T05:06:07Z","device":{}}`+"\n{\"t_ms\":1}\n"), "x")
	if err != nil || !old.Began.Equal(began) || !old.Armed.IsZero() {
		t.Errorf("%+v, %v", old, err)
	}
}

// A crash cuts the last line; what was before it counts. Damage elsewhere is told, with
// its line.
func TestTornAndDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.rec")
	write(t, path, 0, 5)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	cut := string(bytes.Join(lines[:4], nil))
	for n := range len(lines[4]) { // wherever it is cut
		r, err := Read(strings.NewReader(cut+string(lines[4][:n])), "a.rec")
		if err != nil || r.Torn != (n > 0) || r.Whole || len(r.Crossings("pcs", began)) != 3 {
			t.Fatalf("cut after %d bytes: %+v, %v", n, r, err)
		}
	}
	edit := func(old, by string) string {
		t.Helper()
		if !bytes.Contains(lines[0], []byte(old)) {
			t.Fatalf("no %q in %s", old, lines[0])
		}
		return strings.Replace(string(whole), old, by, 1)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "x.rec:1: "},
		{"half a head", string(lines[0][:20]), "x.rec:1: "},
		{"no JSON", "recording\n", "x.rec:1: "},
		{"other JSON", "{}\n", "x.rec:1: "},
		{"other version", edit(`"version":3`, `"version":9`), "version 9"},
		{"no id", edit(`"id":"rig"`, `"id":"a/b"`), "may not name a device"},
		{"no time", edit(`"started":"2026-03-04T05:06:07Z",`, ""), "when it started"},
		{"damage", cut + "{\"t_ms\":\n" + string(lines[4]), "x.rec:5: "},
		{"damage at last", cut + "{\"t_ms\":\n", "x.rec:5: "},
		{"an empty line", cut + "\n" + string(lines[4]), "x.rec:5: "},
		{"time goes back", cut + "{\"t_ms\":1}\n", "before the line above"},
		{"no time of ours", cut + "{\"t_ms\":-1}\n", "not within"},
		{"no time of anybody's", cut + "{\"t_ms\":1e300}\n", "not within"},
		{"no command", cut + "{\"t_ms\":1e9,\"command\":\"jump\"}\n", `"jump" is no command`},
		{"a command of no time", cut + "{\"t_ms\":1e9,\"command\":\"stop\",\"took_ms\":-1}\n", "took_ms"},
		{"no hex", cut + "{\"t_ms\":1e9,\"data\":\"zz\"}\n", "x.rec:5: "},
		{"an end of its own", cut + "{\"t_ms\":1e9,\"end\":\"soon\"}\n", `"soon"`},
		{"more after its end", string(whole) + "{\"t_ms\":1e9}\n", "more after its end"},
		{"a line without an end", cut + strings.Repeat(" ", maxLine+1), "x.rec:5: "},
	} {
		if r, err := Read(strings.NewReader(tt.text), "x.rec"); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "x.rec:") {
			t.Errorf("%s: %+v, %v; want it to tell of %s", tt.name, r, err, tt.want)
		}
	}
	if _, err := Read(strings.NewReader("no zip"), "x.gz"); !errors.Is(err, ErrFormat) {
		t.Errorf("not compressed: %v", err)
	}
	if _, err := read(bytes.NewReader(whole), "x.rec", int64(len(whole)-1)); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte too long: %v", err)
	}
	if r, err := read(bytes.NewReader(whole), "x.rec", int64(len(whole))); err != nil || !r.Whole {
		t.Errorf("as long as may be: %+v, %v", r, err)
	}
}

// Of a process that is killed, what crossed until a second before is in the file.
func TestKilledWriter(t *testing.T) {
	for _, name := range []string{"a.rec", "a.rec.gz"} {
		path := filepath.Join(t.TempDir(), name)
		w, err := Create(path, head(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			w.Tap("")(device.Crossing{At: began.Add(time.Duration(i) * 100 * time.Millisecond), Data: []byte{byte(i)}})
		}
		r, err := Open(path) // without Close
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := len(r.Crossings("", began)); n < 90 || r.Whole || r.Torn != (name == "a.rec.gz") {
			t.Errorf("%s: %d of 100 messages, whole %v, torn %v", name, n, r.Whole, r.Torn)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(whole); n += 7 { // cut anywhere it is torn, and never wrong
			r, err := Read(bytes.NewReader(whole[:n]), name)
			if err == nil {
				for i, c := range r.Crossings("", began) {
					if c.Data[0] != byte(i) {
						t.Fatalf("%s cut after %d bytes: message %d is %d", name, n, i, c.Data[0])
					}
				}
			}
		}
	}
}

func TestWhatIsTooLongIsLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.rec.gz")
	w, err := Create(path, head(), 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Tap("")(device.Crossing{At: began, Data: make([]byte, maxData+1)})
	w.Tap("")(device.Crossing{At: began, Data: make([]byte, maxData)})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w.Tap("")(device.Crossing{At: began}) // too late, and harmless
	r, err := Open(path)
	if err != nil || len(r.Crossings("", began)) != 1 || w.Dropped() != 2 || !r.Whole {
		t.Errorf("%d kept, %d left out, %v", len(r.Crossings("", began)), w.Dropped(), err)
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

// FuzzRead: no file makes the reader panic; what it accepts is in order, and comes back
// when it is written again.
func FuzzRead(f *testing.F) {
	const start = `{"yunchu":"recording","version":1,"id":"rig","started":"2026-03-04T05:06:07Z","device":{}}` + "\n"
	f.Add(start + "{\"t_ms\":1,\"data\":\"00\"}\n{\"t_ms\":2,\"end\":\"closed\"}\n")
	f.Add(start + "{\"t_ms\":0.0015,\"link\":\"bms\",\"out\":true}\n{\"t_ms\":1e300}")
	f.Add(start + "{\"t_ms\":1,\"data\":\"0")
	f.Add(start + "{\"t_ms\":1,\"began\":true}\n{\"t_ms\":2,\"command\":\"setPower\",\"power_kw\":-5,\"took_ms\":3}\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Read(strings.NewReader(text), "x")
		if err != nil {
			return
		}
		var out buffer
		w, err := newWriter(&out, false, r.Head, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range r.Links() {
			last := r.Started
			for _, c := range r.Crossings(l, r.Began) {
				if c.At.Before(last) {
					t.Fatalf("%v after %v", c.At, last)
				}
				last = c.At
			}
		}
		links := r.Links()
		if len(links) != 1 { // the order across links is not kept
			return
		}
		for _, c := range r.Crossings(links[0], r.Began) {
			w.Tap(links[0])(c)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&out.Buffer, "x")
		if err != nil || !reflect.DeepEqual(again.links, r.links) {
			t.Fatalf("%+v came back as %+v, %v", r, again, err)
		}
	})
}

type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

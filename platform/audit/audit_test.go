package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"yunchu/platform/audit"
	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func name(s device.Slot) device.ID { return device.ID(fmt.Sprintf("ess-%d", s)) }

func open(t testing.TB, data string, b bus.Bus) *audit.Log {
	t.Helper()
	l, err := audit.Open(audit.Options{
		Data: data, Bus: b, Name: name, Now: func() time.Time { return start.Add(time.Hour) }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// act publishes acts first to last.
func act(b bus.Bus, first, last int) {
	for i := first; i <= last; i++ {
		bus.Acts.Publish(b, &device.Acts{List: []device.Act{{
			Type: "login", Source: fmt.Sprintf("user:u%d", i), Outcome: "done", At: start.Add(time.Duration(i) * time.Second).UnixMilli(),
		}}}, nil)
	}
}

func verify(t testing.TB, data string, kept []byte) *audit.Report {
	t.Helper()
	r, err := audit.VerifyFolder(data, "", kept)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func intact(t testing.TB, data string, entries int64, kept []byte) {
	t.Helper()
	if r := verify(t, data, kept); !r.Intact() || r.Entries != entries {
		t.Fatalf("%d entries, faults %q; want %d and none", r.Entries, r.Faults, entries)
	}
}

// TestEntriesSayWhoDidWhat: a command with before, after, source, reason and outcome; a
// record before and after, without its secrets.
func TestEntriesSayWhoDidWhat(t *testing.T) {
	b := local.New(0)
	l := open(t, t.TempDir(), b)
	defer l.Close()
	bus.Metas.Publish(b, &device.Meta{Kind: "user", Key: "ann", Value: []byte(`{"name":"ann","role":"viewer","password":"$argon2id$x"}`), At: 1, By: "setup"}, nil)
	bus.Metas.Publish(b, &device.Meta{Kind: "user", Key: "ann", Value: []byte(`{"name":"ann","role":"admin","password":"$argon2id$y"}`), At: 2, By: "user:bob"}, nil)
	bus.Metas.Publish(b, &device.Meta{Kind: "user", Key: "ann", At: 3, By: "user:bob"}, nil)
	c := device.Command{Slot: 7, ID: "C1", Verb: device.SetPower, Power: 50, Priority: device.High, At: 4, Duration: 60_000, Source: "user:ann", Reason: "test of the <meter>"}
	bus.Commands.Publish(b, &device.Commands{List: []device.Command{c}}, nil)
	a := c.Answer(device.Done, 5, "", "reduced to the rating")
	a.Before, a.Power, a.Reduced = -10, 40, true
	again := a
	again.Repeat = true
	bus.Acks.Publish(b, &device.Acks{List: []device.Ack{a, again}}, nil)
	d := []device.Command{
		{Slot: 1, Seq: 1, Verb: device.SetPower, Power: 5, Priority: device.Dispatch, At: 6, Source: "dispatch", Reason: "target"},
		{Slot: 2, Seq: 2, Verb: device.SetPower, Power: 6, Priority: device.Dispatch, At: 6, Source: "dispatch", Reason: "target"},
	}
	bus.Commands.Publish(b, &device.Commands{List: d}, nil)
	bus.Acks.Publish(b, &device.Acks{List: []device.Ack{d[0].Answer(device.Done, 7, "", ""), d[1].Answer(device.Rejected, 7, "HELD", "held by user:ann")}}, nil)
	bus.Events.Publish(b, &device.Events{List: []device.Event{{ID: "e1", Slot: 7, Type: "guard", Severity: device.Warning, Text: "set to 0 kW", At: 8}}}, nil)
	stop := device.Command{Slot: 7, ID: "C2", Verb: device.EStop, Priority: device.Safety, At: 9, Source: "user:ann"}
	stopped := stop.Answer(device.Done, 9, "", "")
	stopped.Was, stopped.Is = device.Stand(device.Active, device.StandbyMode), device.Stand(device.Failed, device.StandbyMode)
	bus.Acks.Publish(b, &device.Acks{List: []device.Ack{stopped}}, nil)
	nan := math.NaN()
	bus.Writes.Publish(b, &device.Writes{List: []device.Write{
		{Slot: 7, At: 10, Act: "adjusted", Asked: nan, Before: nan, After: nan, Source: "user:ann", Reason: "test T03", Text: "setting ramp to 5"},
		{Slot: 7, At: 11, Act: "adjusted", What: "ramp", Unit: "%/s", Asked: 5, Before: 20, After: 4, Status: device.Failure, Source: "user:ann", Reason: "test T03", Text: "read back differently"},
	}}, nil)
	if err := l.Commit(); err != nil {
		t.Fatal(err)
	}
	page, err := l.Query(audit.Query{Limit: 100})
	if err != nil || page.Next != -1 {
		t.Fatalf("next %d, %v", page.Next, err)
	}
	want := []string{
		`{"n":0,"log":"log.meta","seq":1,"timestamp":1,"kind":"user","source":"setup","subject":"ann","act":"added","new":{"name":"ann","role":"viewer"}}`,
		`{"n":1,"log":"log.meta","seq":2,"timestamp":2,"kind":"user","source":"user:bob","subject":"ann","act":"changed","text":"a secret was changed","old":{"name":"ann","role":"viewer"},"new":{"name":"ann","role":"admin"}}`,
		`{"n":2,"log":"log.meta","seq":3,"timestamp":3,"kind":"user","source":"user:bob","subject":"ann","act":"removed","old":{"name":"ann","role":"admin"}}`,
		`{"n":3,"log":"log.control","seq":1,"timestamp":4,"kind":"command","deviceId":"ess-7","source":"user:ann","act":"setPower","commandId":"C1","asked_kw":50,"priority":"high","duration_s":60,"reason":"test of the <meter>"}`,
		`{"n":4,"log":"log.control","seq":2,"timestamp":5,"kind":"outcome","deviceId":"ess-7","source":"user:ann","act":"setPower","commandId":"C1","asked_kw":50,"before_kw":-10,"after_kw":40,"priority":"high","outcome":"done","reduced":true,"reason":"test of the <meter>","text":"reduced to the rating"}`,
		`{"n":5,"log":"log.control","seq":3,"timestamp":6,"kind":"command","source":"dispatch","act":"setPower","priority":"dispatch","reason":"target","items":[{"deviceId":"ess-1","asked_kw":5},{"deviceId":"ess-2","asked_kw":6}]}`,
		`{"n":6,"log":"log.control","seq":4,"timestamp":7,"kind":"outcome","source":"dispatch","act":"setPower","priority":"dispatch","outcome":"done","reason":"target","items":[{"deviceId":"ess-1","before_kw":0,"after_kw":5},{"deviceId":"ess-2","asked_kw":6,"before_kw":0,"outcome":"rejected","code":"HELD","text":"held by user:ann"}]}`,
		`{"n":7,"log":"log.control","seq":5,"timestamp":8,"kind":"event","deviceId":"ess-7","subject":"e1","act":"guard","text":"set to 0 kW","severity":"warning"}`,
		`{"n":8,"log":"log.control","seq":6,"timestamp":9,"kind":"outcome","deviceId":"ess-7","source":"user:ann","act":"eStop","commandId":"C2","before_kw":0,"after_kw":0,"before_state":"active","after_state":"failed","before_mode":"standby","after_mode":"standby","priority":"safety","outcome":"done"}`,
		`{"n":9,"log":"log.control","seq":7,"timestamp":10,"kind":"work","deviceId":"ess-7","source":"user:ann","act":"adjusted","reason":"test T03","text":"setting ramp to 5"}`,
		`{"n":10,"log":"log.control","seq":7,"timestamp":11,"kind":"write","deviceId":"ess-7","source":"user:ann","subject":"ramp","act":"adjusted","asked":5,"before":20,"after":4,"unit":"%/s","outcome":"failed","reason":"test T03","text":"read back differently"}`,
	}
	for i := range max(len(want), len(page.Lines)) {
		if i >= len(want) || i >= len(page.Lines) || string(page.Lines[i]) != want[i] {
			t.Errorf("entry %d:\n got %s\nwant %s", i, at(page.Lines, i), at(want, i))
		}
	}
	for _, tt := range []struct {
		q    audit.Query
		want string
	}{
		{audit.Query{Device: "ess-2"}, "56"},
		{audit.Query{Device: "ess-7", Kind: "outcome"}, "48"},
		{audit.Query{Device: "ess-7", Kind: "write"}, "10"},
		{audit.Query{From: 3, To: 5}, "23"},
		{audit.Query{Kind: "user", After: 1}, "12"},
		{audit.Query{Kind: "reason"}, ""}, // a word of every line
	} {
		tt.q.Limit = 100
		got := ""
		page, err := l.Query(tt.q)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range page.Lines {
			var e audit.Entry
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			got += fmt.Sprint(e.N)
		}
		if got != tt.want {
			t.Errorf("%+v finds %q, want %q", tt.q, got, tt.want)
		}
	}
	if page, err = l.Query(audit.Query{Limit: 3}); err != nil || len(page.Lines) != 3 || page.Next != 3 {
		t.Errorf("a page of 3 has %d entries and goes on with %d, %v", len(page.Lines), page.Next, err)
	}
}

func at[T any](list []T, i int) string {
	if i >= len(list) {
		return "nothing"
	}
	return fmt.Sprintf("%s", any(list[i]))
}

// TestProofs: what the audit proves is checked with another hand's code.
func TestProofs(t *testing.T) {
	b := local.New(0)
	data := t.TempDir()
	l := open(t, data, b)
	defer l.Close()
	var trees []tlog.Tree
	for i := range 40 {
		act(b, i, i)
		if err := l.Commit(); err != nil {
			t.Fatal(err)
		}
		c, signed, key := l.Checkpoint()
		v, err := note.NewVerifier(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := audit.ParseCheckpoint(signed, v); err != nil || got.Size != int64(i)+1 || got.Root != c.Root {
			t.Fatalf("the checkpoint reads as %+v, %v", got, err)
		}
		trees = append(trees, tlog.Tree{N: c.Size, Hash: c.Root})
	}
	page, err := l.Query(audit.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	last := trees[len(trees)-1]
	for n, line := range page.Lines {
		p, err := l.Inclusion(int64(n), last.N)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(p, last.N, last.Hash, int64(n), tlog.RecordHash(line)); err != nil {
			t.Errorf("entry %d: %v", n, err)
		}
		if tlog.CheckRecord(p, last.N, last.Hash, int64(n), tlog.RecordHash(append(line, ' '))) == nil {
			t.Errorf("entry %d is proved with another text", n)
		}
		tree := trees[n]
		c, err := l.Consistency(tree.N, last.N)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(c, last.N, last.Hash, tree.N, tree.Hash); err != nil {
			t.Errorf("the first %d: %v", tree.N, err)
		}
	}
	for _, err := range []error{second(l.Inclusion(40, 40)), second(l.Inclusion(-1, 3)), second(l.Inclusion(0, 41)), second(l.Consistency(0, 4)), second(l.Consistency(5, 4)), second(l.Consistency(1, 41))} {
		if !errors.Is(err, audit.ErrRange) {
			t.Errorf("a proof of what is not there: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestTampering changes the files in every way and wants each found and named.
func TestTampering(t *testing.T) {
	segment := filepath.Join(audit.Folder, "entries-000000000000.jsonl")
	lines := func(change func([][]byte) [][]byte) func(t *testing.T, data string) {
		return func(t *testing.T, data string) {
			path := filepath.Join(data, segment)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			list := change(bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")))
			text = bytes.Join(list, nil)
			if len(text) > 0 && text[len(text)-1] != '\n' {
				text = append(text, '\n')
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, data string)
		first  int64
		says   string
	}{
		{"edit", lines(func(l [][]byte) [][]byte {
			l[17] = bytes.Replace(l[17], []byte("user:u17"), []byte("user:u18"), 1)
			return l
		}), 17, "entry 17 was changed"},
		{"edit the last", lines(func(l [][]byte) [][]byte {
			l[29] = bytes.Replace(l[29], []byte("done"), []byte("dune"), 1)
			return l
		}), 29, "entry 29 was changed"},
		{"edit the first", lines(func(l [][]byte) [][]byte {
			l[0] = bytes.Replace(l[0], []byte("done"), []byte("dune"), 1)
			return l
		}), 0, "entry 0 was changed"},
		{"delete", lines(func(l [][]byte) [][]byte { return append(l[:5], l[6:]...) }), 5, "entry 5 was removed"},
		{"delete three", lines(func(l [][]byte) [][]byte { return append(l[:5], l[8:]...) }), 5, "entries 5 to 7 were removed"},
		{"reorder", lines(func(l [][]byte) [][]byte { l[9], l[20] = l[20], l[9]; return l }), 9, "moved"},
		{"swap neighbours", lines(func(l [][]byte) [][]byte { l[9], l[10] = l[10], l[9]; return l }), 9, "moved"},
		{"insert", lines(func(l [][]byte) [][]byte {
			return append(l[:3:3], append([][]byte{[]byte("{\"n\":3}\n")}, l[3:]...)...)
		}), 3, "put in before entry 3"},
		{"truncate", lines(func(l [][]byte) [][]byte { return l[:26] }), 26, "entries 26 to 29 are missing"},
		{"remove the segment", func(t *testing.T, data string) {
			if err := os.Remove(filepath.Join(data, segment)); err != nil {
				t.Fatal(err)
			}
		}, 0, "entries 0 to 29 are missing"},
		{"change a hash", func(t *testing.T, data string) {
			path := filepath.Join(data, audit.Folder, "hashes")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text[tlog.StoredHashIndex(0, 4)*tlog.HashSize] ^= 1
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}, 4, "file of hashes was changed"},
		{"change an entry and its hash", func(t *testing.T, data string) {
			lines(func(l [][]byte) [][]byte {
				l[17] = bytes.Replace(l[17], []byte("user:u17"), []byte("user:u18"), 1)
				path := filepath.Join(data, audit.Folder, "hashes")
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				leaf := tlog.RecordHash(bytes.TrimSuffix(l[17], []byte("\n")))
				copy(text[tlog.StoredHashIndex(0, 17)*tlog.HashSize:], leaf[:])
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
				return l
			})(t, data)
		}, 0, "entries and hashes were both changed"},
		{"forge the checkpoint", func(t *testing.T, data string) {
			path := filepath.Join(data, audit.Folder, "checkpoint")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, bytes.Replace(text, []byte("\n30\n"), []byte("\n29\n"), 1), 0o600); err != nil {
				t.Fatal(err)
			}
		}, -1, "not signed by the key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, data := local.New(0), t.TempDir()
			l := open(t, data, b)
			act(b, 0, 29)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			intact(t, data, 30, nil)
			tt.change(t, data)
			r := verify(t, data, nil)
			if r.Intact() || r.First != tt.first || !strings.Contains(strings.Join(r.Faults, "\n"), tt.says) {
				t.Errorf("first %d, faults %q; want %d and %q", r.First, r.Faults, tt.first, tt.says)
			}
			// The plant sees it as well, sets it aside and goes on.
			l = open(t, data, b)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			aside, err := filepath.Glob(filepath.Join(data, audit.Folder+".damaged-*"))
			if err != nil || len(aside) != 1 {
				t.Fatalf("set aside: %v, %v", aside, err)
			}
			intact(t, data, 31, nil) // all of the log again, and that it was set aside
		})
	}
}

// TestRolledBack: an old state of the whole folder is signed and whole, and only a
// checkpoint that was kept elsewhere shows it.
func TestRolledBack(t *testing.T) {
	b, data := local.New(0), t.TempDir()
	l := open(t, data, b)
	act(b, 0, 9)
	if err := l.Commit(); err != nil {
		t.Fatal(err)
	}
	old := t.TempDir()
	if err := os.CopyFS(filepath.Join(old, "copy"), os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	_, tenth, _ := l.Checkpoint()
	act(b, 10, 19)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, kept, _ := l.Checkpoint()
	intact(t, data, 20, kept)
	intact(t, data, 20, tenth)
	back := filepath.Join(old, "copy")
	intact(t, back, 10, nil)
	if r := verify(t, back, kept); r.Intact() || !strings.Contains(r.Faults[0], "rolled back") {
		t.Errorf("a rolled back folder: %q", r.Faults)
	}
	// Another history on top of the old state does not hide it.
	other := local.New(0)
	act(other, 0, 9)
	act(other, 100, 130)
	l = open(t, back, other)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	intact(t, back, 41, tenth)
	if r := verify(t, back, kept); r.Intact() || !strings.Contains(r.Faults[0], "kept checkpoint") {
		t.Errorf("another history: %q", r.Faults)
	}
	// A new key does not either.
	if err := os.Remove(filepath.Join(back, "keys", "audit.key")); err != nil {
		t.Fatal(err)
	}
	l = open(t, back, other)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, back, tenth); r.Intact() || !strings.Contains(r.Faults[0], "another key") {
		t.Errorf("another key: %q", r.Faults)
	}
}

// TestKilledAnywhere: whatever a crash has left after the checkpoint, the entries come
// again from the log, and what was signed stays.
func TestKilledAnywhere(t *testing.T) {
	b, data := local.New(0), t.TempDir()
	l := open(t, data, b)
	act(b, 0, 9)
	if err := l.Commit(); err != nil {
		t.Fatal(err)
	}
	_, kept, _ := l.Checkpoint()
	act(b, 10, 19) // never committed: l is not closed
	for _, tear := range []struct{ file, text string }{
		{"entries-000000000000.jsonl", "{\"n\":10}\n{\"n\":1"},
		{"hashes", "half a hash"},
		{"entries-000000000010.jsonl", "{\"n\":10}\n"},
		{"checkpoint.tmp", "half a checkpoint"},
		{"entries-000000000000.jsonl.gz.tmp", "half"},
	} {
		f, err := os.OpenFile(filepath.Join(data, audit.Folder, tear.file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(tear.text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, data, b)
	control, _ := again.Covered()
	if control != 20 {
		t.Errorf("covered up to %d, want 20", control)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	intact(t, data, 20, kept)
}

// TestGapIsSaid: a log that was trimmed before the audit had read it leaves an entry.
func TestGapIsSaid(t *testing.T) {
	b, data := local.New(0), t.TempDir()
	const n = 100
	for range n { // enough that the bus lets a part of it go
		bus.Acts.Publish(b, &device.Acts{List: []device.Act{{Type: "test", Text: strings.Repeat("x", 256<<10)}}}, nil)
	}
	if err := b.Trim(bus.Control, n); err != nil {
		t.Fatal(err)
	}
	first, _, err := b.Bounds(bus.Control)
	if err != nil || first == 1 {
		t.Fatalf("the log begins at %d, %v", first, err)
	}
	l := open(t, data, b)
	defer l.Close()
	page, err := l.Query(audit.Query{Kind: "gap", Limit: 10})
	if err != nil || len(page.Lines) != 1 || !strings.Contains(string(page.Lines[0]), fmt.Sprintf("begins at %d", first)) {
		t.Errorf("gap: %s, %v", page.Lines, err)
	}
}

// TestSegments: full segments are packed, read and verified like the open one.
func TestSegments(t *testing.T) {
	b, data := local.New(0), t.TempDir()
	l := open(t, data, b)
	text := strings.Repeat("x", 64<<10)
	const n = 300 // 19 MB
	for i := range n {
		bus.Acts.Publish(b, &device.Acts{List: []device.Act{{Type: "test", Text: text, At: start.Add(time.Duration(i) * time.Minute).UnixMilli()}}}, nil)
		if i%10 == 0 {
			if err := l.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Commit(); err != nil {
		t.Fatal(err)
	}
	packed, err := filepath.Glob(filepath.Join(data, audit.Folder, "*.gz"))
	if err != nil || len(packed) < 2 {
		t.Fatalf("packed segments: %v, %v", packed, err)
	}
	seen, pages := 0, 0
	for after := int64(0); after >= 0; pages++ {
		page, err := l.Query(audit.Query{After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		seen, after = seen+len(page.Lines), page.Next
	}
	if seen != n || pages < 4 {
		t.Errorf("%d entries in %d pages, want %d in several", seen, pages, n)
	}
	page, err := l.Query(audit.Query{From: start.Add(250 * time.Minute).UnixMilli(), Limit: 1000})
	if err != nil || len(page.Lines) != 50 {
		t.Errorf("the last 50 minutes have %d entries, %v", len(page.Lines), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	intact(t, data, n, nil)
	l = open(t, data, b)
	act(b, 0, 0)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	intact(t, data, n+1, nil)
	// One bit of a packed segment.
	raw, err := os.ReadFile(packed[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 4
	if err := os.WriteFile(packed[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, data, nil); r.Intact() || r.First < 0 || r.First > 150 {
		t.Errorf("a damaged segment: first %d, %q", r.First, r.Faults)
	}
}

// TestKeyIsPrivate: the key is its owner's alone.
func TestKeyIsPrivate(t *testing.T) {
	data := t.TempDir()
	if err := open(t, data, local.New(0)).Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(data, "keys", "audit.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v, %v", info.Mode(), err)
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	data := f.TempDir()
	l := open(f, data, local.New(0))
	_, signed, key := l.Checkpoint()
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := audit.ParseCheckpoint(b, v); err == nil {
			if c.Size != 0 || !bytes.Equal(b, signed) {
				t.Fatalf("%q passes for signed", b)
			}
		} else if !errors.Is(err, audit.ErrCheckpoint) {
			t.Fatal(err)
		}
	})
}

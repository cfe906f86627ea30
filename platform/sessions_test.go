package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"yunchu/platform/auth"
	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/sched"
)

// trimmed is a bus that notes up to where log.control is wanted no more: the one in memory
// forgets large pieces only.
type trimmed struct {
	*local.Bus
	before uint64
}

func (b *trimmed) Trim(stream string, before uint64) error {
	if stream == bus.Control {
		b.before = before
	}
	return b.Bus.Trim(stream, before)
}

// TestSessionsLeaveTheLog: a year of logins and refreshes leaves no more in the log than its
// retention, and a plant that starts on that log has the sessions that have not ended, with
// their newest records. One that an earlier version has put into log.meta ends there too.
func TestSessionsLeaveTheLog(t *testing.T) {
	const days, refreshes = 365, 24
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, b := sched.New(sched.NewVirtual(now)), &trimmed{local.New(0), 1}
	start := func() *Plant {
		t.Helper()
		p, err := New(Config{Name: "test", Bus: b, Sched: s, Dir: t.TempDir(), Retain: 7 * 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	published := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	held := func(p *Plant) map[string]string {
		t.Helper()
		out := map[string]string{}
		if err := p.Records().Load(auth.KindSession, func(key string, value []byte) { out[key] = string(value) }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	settle := func() {
		t.Helper()
		if err := s.Run(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	p := start()
	defer p.Close()
	bus.Metas.Publish(b, &device.Meta{Kind: auth.KindSession, Key: "old", Value: []byte(`{"n":1}`), At: now.UnixMilli()}, nil)
	settle()
	if got := held(p); !maps.Equal(got, map[string]string{"old": `{"n":1}`}) {
		t.Fatalf("sessions %v, want the old one", got)
	}
	r := p.Records()
	r.Put(auth.KindSession, "old", "user:ann", []byte(`{"n":2}`), published)
	settle()
	if got := held(p); got["old"] != `{"n":2}` {
		t.Fatalf("sessions %v, want the newest record", got)
	}
	r.Put(auth.KindSession, "old", "user:ann", nil, published)
	settle()
	for name, p := range map[string]*Plant{"this plant": p, "one that starts": start()} {
		if got := held(p); len(got) > 0 {
			t.Fatalf("%s has sessions %v, want none", name, got)
		}
	}
	_, meta, err := b.Bounds(bus.Meta)
	if err != nil {
		t.Fatal(err)
	}
	most := uint64(0)
	for day := range days {
		key := fmt.Sprint("s-", day)
		for n := range refreshes {
			now = now.Add(24 * time.Hour / refreshes)
			r.Put(auth.KindSession, key, "user:ann", fmt.Appendf(nil, `{"n":%d}`, n), published)
			settle()
		}
		if day < days-1 {
			r.Put(auth.KindSession, key, "expired", nil, published)
			settle()
		}
		if err := p.retain(now); err != nil {
			t.Fatal(err)
		}
		_, last, err := b.Bounds(bus.Control)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, last-b.before+1)
	}
	if _, last, err := b.Bounds(bus.Meta); err != nil || last != meta {
		t.Errorf("log.meta has grown from %d to %d, %v", meta, last, err)
	}
	if most > 9*(refreshes+1) {
		t.Errorf("up to %d records in the log, want those of 7 days and what is trimmed together", most)
	}
	want := map[string]string{fmt.Sprint("s-", days-1): fmt.Sprintf(`{"n":%d}`, refreshes-1)}
	for name, p := range map[string]*Plant{"this plant": p, "one that starts": start()} {
		if got := held(p); !maps.Equal(got, want) {
			t.Errorf("%s has sessions %v, want %v", name, got, want)
		}
	}
}

// lossy is a bus whose log.meta can be full, and that tells of damages.
type lossy struct {
	*local.Bus
	full    error // of log.meta
	damages []bus.Damage
}

func (b *lossy) Publish(stream string, f device.Frame, done func(uint64, error)) {
	if b.full != nil && stream == bus.Meta {
		done(0, b.full)
		return
	}
	b.Bus.Publish(stream, f, done)
}

func (b *lossy) Damages() []bus.Damage { return b.damages }

func (b *lossy) Scrub(context.Context) error { return nil }

// TestSessionsEndWhereTheirEndMayBeLost: a session that ended may not live again. Its end is done
// when it is wherever the session is, and where log.control has lost frames, those sessions are
// over whose newest record is older.
func TestSessionsEndWhereTheirEndMayBeLost(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, b := sched.New(sched.NewVirtual(now)), &lossy{Bus: local.New(0)}
	start := func() *Plant {
		t.Helper()
		p, err := New(Config{Name: "test", Bus: b, Sched: s, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	settle := func() {
		t.Helper()
		if err := s.Run(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	held := func(p *Plant) (out []string) {
		t.Helper()
		if err := p.Records().Load(auth.KindSession, func(key string, _ []byte) { out = append(out, key) }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	p := start()
	put := func(key, value string) (err error) {
		t.Helper()
		err = errors.New("not answered")
		p.Records().Put(auth.KindSession, key, "user:ann", []byte(value), func(e error) { err = e })
		settle()
		return err
	}
	bus.Metas.Publish(b, &device.Meta{Kind: auth.KindSession, Key: "old", Value: []byte(`{"n":1}`), At: now.UnixMilli()}, nil)
	settle()
	b.full = errors.New("full")
	if err := put("old", ""); !errors.Is(err, b.full) {
		t.Fatalf("the end that log.meta does not have is answered %v", err)
	}
	b.full = nil
	if err := errors.Join(put("old", ""), put("early", `{"n":1}`), put("lost", `{"n":1}`), put("late", `{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	_, last, err := b.Bounds(bus.Control)
	if err != nil {
		t.Fatal(err)
	}
	acts := 0
	if _, err := b.Subscribe(bus.Control, last+1, func(_ uint64, f device.Frame) {
		if a, ok := f.(*device.Acts); ok && a.List[0].Type == "sessions-ended" {
			acts++
		}
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		damage bus.Damage
		want   string
	}{
		{bus.Damage{Stream: bus.Data, From: 1, To: last}, "[early late lost]"},
		{bus.Damage{Stream: bus.Control, From: 1, To: last - 3}, "[early late lost]"},
		{bus.Damage{Stream: bus.Control, From: last - 1, To: last - 1}, "[late lost]"},
		{bus.Damage{Stream: bus.Control, From: last + 1, To: last + 1}, "[]"},
		{bus.Damage{Stream: bus.Control, Found: now}, "[]"},
		{bus.Damage{Stream: bus.Control, Found: now.Add(-time.Hour)}, "[early late lost]"},
	} {
		b.damages, acts = []bus.Damage{c.damage}, 0
		got := held(start())
		settle()
		if fmt.Sprint(got) != c.want || (acts > 0) != (len(got) < 3) {
			t.Errorf("%+v: sessions %v and %d acts, want %s", c.damage, got, acts, c.want)
		}
	}
}

package edge_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/edge"
)

// store is a registry and a history in memory: what a plant is to this package.
type store struct {
	mu     sync.Mutex
	infos  []device.Info
	rows   map[device.ID]map[int64]device.Reading
	order  map[device.ID][]int64 // times, as they came
	events []device.Event
	full   bool // takes nothing for want of room
}

func newStore() *store {
	return &store{rows: map[device.ID]map[int64]device.Reading{}, order: map[device.ID][]int64{}}
}

func (s *store) Register(_ context.Context, info device.Info) (device.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.infos, func(x device.Info) bool { return x.ID == info.ID }); i >= 0 {
		info.Slot = s.infos[i].Slot
		s.infos[i] = info
		return info, nil
	}
	info.Slot = device.Slot(len(s.infos))
	s.infos = append(s.infos, info)
	return info, nil
}

func (s *store) Slot(id device.ID) (device.Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.infos {
		if x.ID == id {
			return x, true
		}
	}
	return device.Info{}, false
}

func (s *store) Device(slot device.Slot) (device.Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(slot) < len(s.infos) {
		return s.infos[slot], true
	}
	return device.Info{}, false
}

func (s *store) Devices() []device.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.infos)
}

func (s *store) Push(_ context.Context, rows []device.Reading) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return bus.ErrOverload
	}
	for _, r := range rows {
		id := s.infos[r.Slot].ID
		if s.rows[id] == nil {
			s.rows[id] = map[int64]device.Reading{}
		}
		if _, there := s.rows[id][r.At]; !there {
			s.order[id] = append(s.order[id], r.At)
		}
		s.rows[id][r.At] = r
	}
	return nil
}

func (s *store) Tell(_ context.Context, events []device.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
	return nil
}

func (s *store) Rows(ctx context.Context, slot device.Slot, from, to int64, each func(*device.Reading)) error {
	info, _ := s.Device(slot)
	s.mu.Lock()
	var list []device.Reading
	for at, r := range s.rows[info.ID] {
		if at >= from && at < to {
			list = append(list, r)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b device.Reading) int { return int(a.At - b.At) })
	for i := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		each(&list[i])
	}
	return nil
}

// times are those of a device's readings, as they came.
func (s *store) times(id device.ID) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order[id])
}

// weather is a line that loses requests, or answers to what was done.
type weather struct {
	mu   sync.Mutex
	to   edge.Handler
	lose func() (request, answer bool)
}

func (w *weather) Ask(ctx context.Context, b []byte) ([]byte, error) {
	w.mu.Lock()
	to, lose := w.to, w.lose
	w.mu.Unlock()
	request, answer := false, false
	if lose != nil {
		request, answer = lose()
	}
	if request {
		return nil, edge.ErrDown
	}
	out := to(ctx, b)
	if answer {
		return nil, edge.ErrDown
	}
	return out, nil
}

func (w *weather) change(to edge.Handler, lose func() (bool, bool)) {
	w.mu.Lock()
	w.to, w.lose = to, lose
	w.mu.Unlock()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// origin is the hour in which the tests begin.
var origin = time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)

// site is a site with two devices, its log and its history.
type site struct {
	*testing.T
	bus   bus.Bus
	own   *store
	file  string
	clock time.Time
	mu    sync.Mutex
	at    int64
}

func newSite(t *testing.T) *site {
	t.Helper()
	b, err := nats.Open(nats.Options{Dir: filepath.Join(t.TempDir(), "bus")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &site{T: t, bus: b, own: newStore(), file: filepath.Join(t.TempDir(), "uplink.json"), clock: origin, at: origin.UnixMilli()}
	for _, id := range []device.ID{"other", "pcs-1", "pcs-2"} { // other: slots differ from the plant's
		if _, err := s.own.Register(t.Context(), device.Info{ID: id, Kind: "modbus", RatedKW: 100, State: device.Active}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *site) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

func (s *site) let(pass time.Duration) {
	s.mu.Lock()
	s.clock = s.clock.Add(pass)
	s.mu.Unlock()
}

// reads stores n frames of readings of both devices, a second apart. It waits for a minute of
// them at a time: the log syncs what is waiting together.
func (s *site) reads(n int) {
	s.Helper()
	for ; n > 0; n -= 60 {
		var rows []device.Reading
		stored := make(chan error, 60)
		frames := min(n, 60)
		for range frames {
			s.at += 1000
			f := &device.Readings{}
			for slot := device.Slot(1); slot <= 2; slot++ {
				r := device.Reading{
					Slot: slot, At: s.at, Arrived: s.at + 5, Power: float64(s.at%977) + float64(slot), SoC: 50, SoH: math.NaN(), Voltage: 800, Current: 1,
					Temperature: 25, MaxCharge: math.NaN(), MaxDischarge: math.NaN(), Status: device.OtherStatus, Word: "warming",
				}
				f.Append(&r)
				rows = append(rows, r)
			}
			bus.Readings.Publish(s.bus, f, func(_ uint64, err error) { stored <- err })
		}
		for range frames {
			if err := <-stored; err != nil {
				s.Fatal(err)
			}
		}
		if err := s.own.Push(s.Context(), rows); err != nil {
			s.Fatal(err)
		}
	}
}

// uplink runs one until the test ends or stop is called.
func (s *site) uplink(l edge.Line) (u *edge.Uplink, stop func()) {
	s.Helper()
	u, err := edge.NewUplink(edge.Options{Bus: s.bus, Line: l, Source: s.own, File: s.file, Log: quiet(), Now: s.now})
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				s.Error(err)
			}
		})
	}
	s.Cleanup(stop)
	return u, stop
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// same holds when the plant has all that the site has, each once and in order.
func same(t *testing.T, own, plant *store) {
	t.Helper()
	for _, id := range []device.ID{"pcs-1", "pcs-2"} {
		want, got := own.times(id), plant.times(id)
		if !slices.Equal(want, got) {
			t.Errorf("%s: %d readings here, %d there, in order %v", id, len(want), len(got), slices.IsSorted(got))
		}
		for _, at := range got {
			mine, theirs := own.rows[id][at], plant.rows[id][at]
			if theirs.Power != mine.Power || theirs.Word != mine.Word || !math.IsNaN(theirs.SoH) {
				t.Fatalf("%s at %d: %+v, want %+v", id, at, theirs, mine)
			}
		}
	}
}

func TestEverythingArrivesOnceAndInOrder(t *testing.T) {
	s, plant := newSite(t), newStore()
	var counted sync.Mutex
	random := rand.New(rand.NewPCG(1, 2))
	line := &weather{}
	storm := func() (bool, bool) {
		counted.Lock()
		defer counted.Unlock()
		return random.IntN(4) == 0, random.IntN(4) == 0
	}
	line.change(edge.NewSite("north", plant, quiet()).Handle, storm)
	u, stop := s.uplink(line)
	for range 6 {
		s.reads(20)
	}
	stop()
	s.reads(50) // while nobody sends
	line.change(edge.NewSite("north", plant, quiet()).Handle, storm)
	u, stop = s.uplink(line) // the plant is another process, too
	s.reads(20)
	line.change(edge.NewSite("north", plant, quiet()).Handle, nil)
	eventually(t, "all is sent", func() bool { return u.State().Behind == 0 })
	stop()
	same(t, s.own, plant)
	for _, x := range plant.infos {
		if x.Kind != edge.Kind || x.Edge != "north" || x.State != device.Inactive || x.RatedKW != 100 {
			t.Errorf("registered as %+v", x)
		}
	}
}

func TestLongOutageIsCaughtUp(t *testing.T) {
	s, plant := newSite(t), newStore()
	line := &weather{}
	line.change(edge.NewSite("north", plant, quiet()).Handle, func() (bool, bool) { return true, false })
	u, _ := s.uplink(line)
	s.reads(3600) // an hour of seconds
	eventually(t, "it is told", func() bool { return !u.State().Up && u.State().Behind == 3600 && u.State().Why != "" })
	line.change(edge.NewSite("north", plant, quiet()).Handle, nil)
	eventually(t, "all is sent", func() bool { return u.State().Behind == 0 && u.State().Up })
	same(t, s.own, plant)
}

func TestFullPlantIsAskedAgain(t *testing.T) {
	s, plant := newSite(t), newStore()
	plant.full = true
	line := &weather{}
	line.change(edge.NewSite("north", plant, quiet()).Handle, nil)
	u, _ := s.uplink(line)
	s.reads(10)
	eventually(t, "it is refused", func() bool { return u.Failures.Load() > 0 })
	plant.mu.Lock()
	plant.full = false
	plant.mu.Unlock()
	eventually(t, "all is sent", func() bool { return u.State().Behind == 0 && u.State().Up })
	same(t, s.own, plant)
}

// TestDigestsFindWhatIsMissing: what neither log has any more comes from the history, and
// nothing but that.
func TestDigestsFindWhatIsMissing(t *testing.T) {
	s, plant := newSite(t), newStore()
	line := &weather{}
	line.change(edge.NewSite("north", plant, quiet()).Handle, nil)
	u, stop := s.uplink(line)
	s.reads(7200)
	eventually(t, "all is sent", func() bool { return u.State().Behind == 0 })
	stop()
	first := origin.UnixMilli() + 1000
	plant.mu.Lock()
	for at := first + 600_000; at < first+630_000; at += 1000 { // half a minute is gone
		delete(plant.rows["pcs-1"], at)
	}
	odd := plant.rows["pcs-2"][first+4_000_000]
	odd.Power++
	plant.rows["pcs-2"][first+4_000_000] = odd
	plant.mu.Unlock()
	s.let(3 * time.Hour)
	u, _ = s.uplink(line)
	eventually(t, "it is compared", func() bool { return u.State().Checked >= origin.Add(2*time.Hour).UnixMilli() })
	if n := u.Repaired.Load(); n != 60+60 { // the minutes in which something differs; the gap lies in one
		t.Errorf("%d readings sent again", n)
	}
	plant.mu.Lock()
	defer plant.mu.Unlock()
	for _, id := range []device.ID{"pcs-1", "pcs-2"} {
		for at, want := range s.own.rows[id] {
			if got := plant.rows[id][at]; got.Power != want.Power {
				t.Fatalf("%s at %d: %v, want %v", id, at, got.Power, want.Power)
			}
		}
	}
}

func TestEventsArrive(t *testing.T) {
	s, plant := newSite(t), newStore()
	line := &weather{}
	line.change(edge.NewSite("north", plant, quiet()).Handle, nil)
	u, _ := s.uplink(line)
	for i, slot := range []device.Slot{2, device.Plant} {
		e := device.Event{ID: fmt.Sprint("e", i), Slot: slot, Type: "offline", Text: "it is gone", At: s.at}
		if _, err := bus.PublishWait(t.Context(), s.bus, bus.Control, &device.Events{List: []device.Event{e}}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "both are there", func() bool { return u.Has(bus.Control) == 2 })
	plant.mu.Lock()
	defer plant.mu.Unlock()
	want := slices.IndexFunc(plant.infos, func(x device.Info) bool { return x.ID == "pcs-2" })
	if len(plant.events) != 2 || plant.events[0].Slot != device.Slot(want) || plant.events[0].ID != "north/e0" || plant.events[1].Slot != device.Plant {
		t.Errorf("%+v", plant.events)
	}
}

// TestSiteSpeaksForItselfOnly: whoever has the secret of one site can neither write nor read
// what belongs to another one or to the plant.
func TestSiteSpeaksForItselfOnly(t *testing.T) {
	plant := newStore()
	own, err := plant.Register(t.Context(), device.Info{ID: "pcs-1", Kind: "modbus"})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	line := &weather{}
	line.change(edge.NewSite("north", plant, quiet()).Handle, nil)
	u, _ := s.uplink(line)
	s.reads(1)
	eventually(t, "it is refused", func() bool { return u.Failures.Load() > 0 })
	if info, _ := plant.Slot("pcs-1"); !reflect.DeepEqual(info, own) {
		t.Errorf("it is now %+v", info)
	}
	if n := len(plant.times("pcs-1")); n != 0 {
		t.Errorf("%d readings of somebody else's device were stored", n)
	}
	if st := u.State(); st.Up || st.Behind != 1 {
		t.Errorf("%+v", st)
	}
}

func TestPositionOfAnotherLog(t *testing.T) {
	s, plant := newSite(t), newStore()
	line := &weather{}
	north := edge.NewSite("north", plant, quiet())
	line.change(north.Handle, nil)
	u, stop := s.uplink(line)
	s.reads(30)
	eventually(t, "all is sent", func() bool { return u.State().Behind == 0 })
	stop()
	again := newSite(t) // the folder of the log was lost, that of the position was not
	again.file, again.at = s.file, s.at
	u, _ = again.uplink(line)
	again.reads(3)
	eventually(t, "what is new is sent", func() bool { return u.State().Behind == 0 && len(plant.times("pcs-1")) == 33 })
}

func FuzzHandle(f *testing.F) {
	f.Add([]byte("\x01h{}"))
	f.Add([]byte("\x01d[{\"deviceId\":\"a\"}]"))
	f.Add([]byte("\x01r\x00\x00\x01\x00\x01a"))
	f.Add([]byte("\x01s[{\"device\":\"a\",\"from\":0,\"to\":9}]"))
	f.Add([]byte("\x01e[{\"device\":\"a\"}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := edge.NewSite("north", newStore(), quiet())
		if out := s.Handle(t.Context(), b); len(out) < 2 {
			t.Errorf("the answer is %q", out)
		}
	})
}

func TestStrangeAnswerIsTold(t *testing.T) {
	line := &weather{}
	line.change(func(context.Context, []byte) []byte { return []byte("?") }, nil)
	s := newSite(t)
	u, _ := s.uplink(line)
	eventually(t, "it is told", func() bool { return u.State().Why != "" && u.Failures.Load() > 0 })
}

package api

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
)

// slots is a registry of devices that are called after their slots.
type slots struct{ Registry }

func (slots) Device(s device.Slot) (device.Info, bool) {
	return device.Info{ID: device.ID(fmt.Sprintf("d-%d", s)), Kind: "push", Slot: s}, true
}

// quietHub has no goroutine: a test says when it flushes.
type quietHub struct {
	*hub
	now time.Time
}

func newQuietHub() *quietHub {
	return &quietHub{newHub(Plant{Registry: slots{}}, 10_000), time.UnixMilli(1_700_000_000_000)}
}

// ear is a client whose queue the test looks into.
func (h *quietHub) ear(glob string, k kinds) *client {
	c := &client{hub: h.hub, ending: make(chan struct{})}
	c.queue.notify = func() {}
	h.clients = append(h.clients, c)
	h.count.Add(1)
	h.listen(c, filterKey{glob: glob, fleet: true}, k)
	return c
}

// says puts readings on the bus, whose time is their power.
func (h *quietHub) says(at int64, from ...device.Slot) {
	var f device.Readings
	for _, s := range from {
		f.Append(&device.Reading{Slot: s, At: at, Arrived: at, Power: float64(at)})
	}
	h.take(&f)
}

// heard empties a queue: the readings of each frame as id and time.
func heard(t *testing.T, c *client) [][]string {
	t.Helper()
	var out [][]string
	for m, lag, ok := c.queue.take(); ok; m, lag, ok = c.queue.take() {
		var f struct {
			Type     string
			DeviceID device.ID
			Data     json.RawMessage
		}
		type row struct {
			DeviceID  device.ID
			Timestamp int64
		}
		var rows []row
		if err := json.Unmarshal(m.raw, &f); err != nil || lag > 0 {
			t.Fatalf("%s: %v, lag %d", m.raw, err, lag)
		}
		if f.Type == "readings" {
			if err := json.Unmarshal(f.Data, &rows); err != nil {
				t.Fatal(err)
			}
		} else {
			rows = []row{{DeviceID: f.DeviceID}}
			if err := json.Unmarshal(f.Data, &rows[0]); err != nil {
				t.Fatal(err)
			}
		}
		var texts []string
		for _, r := range rows {
			texts = append(texts, fmt.Sprintf("%s@%d", r.DeviceID, r.Timestamp))
		}
		out = append(out, texts)
	}
	return out
}

func want(t *testing.T, c *client, frames ...[]string) {
	t.Helper()
	if got := heard(t, c); fmt.Sprint(got) != fmt.Sprint(frames) {
		t.Errorf("heard %v, want %v", got, frames)
	}
}

// TestNewestReadings: what comes after a rest goes out at once; what comes too soon after it
// is gathered, a reading for each device, until its clients are due. What others are told
// meanwhile does not keep them waiting.
func TestNewestReadings(t *testing.T) {
	h := newQuietHub()
	for range 999 { // with so many clients the pace is 90 ms
		h.ear("nobody", kindReadings)
	}
	all, one := h.ear("*", kindReadings), h.ear("d-7", kindReadings)
	flush := func(at time.Duration) (next time.Duration) {
		t.Helper()
		due := h.flush(h.now.Add(at))
		if due.IsZero() {
			return 0
		}
		return due.Sub(h.now)
	}
	const ms = time.Millisecond
	h.says(1, 1, 2)
	if next := flush(0); next != 0 {
		t.Errorf("somebody is due at %v after everybody was told", next)
	}
	want(t, all, []string{"d-1@1", "d-2@1"})
	h.says(2, 1)
	if next := flush(5 * ms); next != 0 { // a second time after a rest
		t.Errorf("somebody is due at %v after everybody was told", next)
	}
	want(t, all, []string{"d-1@2"})
	h.says(3, 1, 7)
	if next := flush(10 * ms); next != 80*ms {
		t.Errorf("those who wait are due at %v, want 80 ms", next)
	}
	want(t, all)
	want(t, one, []string{"d-7@3"}) // to whom nothing was said before
	h.says(5, 1, 2)
	h.says(4, 1) // late: older than what is known
	if next := flush(79 * ms); next != 80*ms {
		t.Errorf("those who wait are due at %v, want 80 ms", next)
	}
	want(t, all)
	if next := flush(80 * ms); next != 0 {
		t.Errorf("somebody is due at %v after everybody was told", next)
	}
	want(t, all, []string{"d-7@3", "d-1@5", "d-2@5"})
	want(t, one)
	if len(h.news.rows) != 0 || len(h.news.at) != 0 {
		t.Errorf("%d changes are kept that everybody knows", len(h.news.rows))
	}
}

// TestNewClientsOfAFilter: who comes to a filter later hears what it is not told of yet, and
// who asks for nothing but single readings gets each at the next flush.
func TestNewClientsOfAFilter(t *testing.T) {
	h := newQuietHub()
	for range 999 {
		h.ear("nobody", kindReadings)
	}
	first, single := h.ear("d-*", kindReadings), h.ear("d-*", kindReading)
	for at := range int64(4) {
		h.says(at, 1)
		h.flush(h.now.Add(time.Duration(at) * time.Millisecond))
	}
	second := h.ear("d-*", kindReadings|kindReading)
	want(t, first, []string{"d-1@0"}, []string{"d-1@1"})
	want(t, single, []string{"d-1@0"}, []string{"d-1@1"}, []string{"d-1@2"}, []string{"d-1@3"})
	h.flush(h.now.Add(time.Second))
	want(t, first, []string{"d-1@3"})
	want(t, second, []string{"d-1@3"})
	h.says(9, 1)
	h.flush(h.now.Add(2 * time.Second))
	want(t, second, []string{"d-1@9"}, []string{"d-1@9"}) // once of each kind
}

// TestNewestOfMany: whatever the order of flushes and of those who are due, everybody ends
// with the newest reading of each device, hears of none twice and of none that is older than
// one that he knows.
func TestNewestOfMany(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	h := newQuietHub()
	ears := map[string]*client{}
	known := map[string]map[string]int64{}
	for _, glob := range []string{"*", "d-1*", "d-?", "d-13"} {
		ears[glob], known[glob] = h.ear(glob, kindReadings), map[string]int64{}
	}
	newest := map[string]int64{}
	hear := func() {
		for glob, c := range ears {
			for _, frame := range heard(t, c) {
				for _, text := range frame {
					id, at := cut(t, text)
					if before, there := known[glob][id]; there && at <= before {
						t.Fatalf("%s hears of %s at %d after %d", glob, id, at, before)
					}
					known[glob][id] = at
				}
			}
		}
	}
	for step := range int64(3000) {
		var from []device.Slot
		for range rng.IntN(4) {
			s := device.Slot(rng.IntN(20))
			from = append(from, s)
			newest[fmt.Sprintf("d-%d", s)] = step
		}
		h.says(step, from...)
		if rng.IntN(3) == 0 {
			h.now = h.now.Add(time.Duration(rng.IntN(60)) * time.Millisecond)
			h.flush(h.now)
			hear()
		}
	}
	h.flush(h.now.Add(time.Second))
	hear()
	for glob, c := range ears {
		n := 0
		for id, at := range newest {
			if !c.filter.lets(&device.Info{ID: device.ID(id)}) {
				continue
			}
			if n++; known[glob][id] != at {
				t.Errorf("%s knows %s at %d, want %d", glob, id, known[glob][id], at)
			}
		}
		if n != len(known[glob]) {
			t.Errorf("%s knows %d devices, want %d", glob, len(known[glob]), n)
		}
	}
}

func cut(t *testing.T, text string) (id string, at int64) {
	t.Helper()
	id, rest, _ := strings.Cut(text, "@")
	at, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return id, at
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// TestPace: how often the same clients are told follows from how much that is, and a source
// that keeps the pace never waits, also where it is late now and then.
func TestPace(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		readings, clients int
		want              time.Duration
	}{
		{1, 1, 20 * ms},
		{22, 1, 22 * ms},
		{1000, 1, 90 * ms},
		{1, 500, 50 * ms},
		{22, 5000, 90 * ms},
	} {
		if got := pace(tt.readings, tt.clients); got != tt.want {
			t.Errorf("pace of %d readings to one of %d clients is %v, want %v", tt.readings, tt.clients, got, tt.want)
		}
	}
	for took, want := range map[time.Duration]time.Duration{0: 2 * ms, 5 * ms: 20 * ms, time.Second: 100 * ms} {
		if got := rest(took); got != want {
			t.Errorf("the hub rests %v after %v, want %v", got, took, want)
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	start := time.UnixMilli(1e12)
	var due time.Time
	for i := range 10_000 {
		now := start.Add(time.Duration(i)*100*ms + time.Duration(rng.IntN(100))*ms)
		if now.Before(due) {
			t.Fatalf("reading %d comes at %v and waits until %v", i, now.Sub(start), due.Sub(start))
		}
		due = following(due, now, 100*ms)
	}
	// One that kept others from being told, and came twice at once then, has caught up soon.
	due = start
	for i, late := range []time.Duration{0, 130 * ms, 35 * ms, 0, 0, 0, 0, 0, 0} {
		now := start.Add(time.Duration(i)*100*ms + late)
		if wait := due.Sub(now); i > 6 && wait > 0 {
			t.Errorf("reading %d waits %v", i, wait)
		}
		due = following(due, maxTime(now, due), pace(22, 5000))
	}
	// One that never stops is told of at its pace, and a burst after a rest is short.
	due = start
	n := 0
	for now := start.Add(time.Hour); now.Before(start.Add(time.Hour + time.Second)); now = now.Add(ms) {
		if !now.Before(due) {
			due = following(due, now, 20*ms)
			n++
		}
	}
	if n < 50 || n > 56 {
		t.Errorf("%d frames in a second at a pace of 20 ms after a rest, want 50 and up to 6 more", n)
	}
}

// TestInboxIsBounded: acknowledgements and events that come faster than they are told fill
// their room and no more. What there is no room for is counted, and whoever asks for it later
// is told all the same.
func TestInboxIsBounded(t *testing.T) {
	h := newQuietHub()
	c := h.ear("d-7", kindAck|kindEvent)
	const beyond = 1000
	says := func(slot device.Slot, from, n int) {
		for end := from + n; from < end; from += device.MaxRows {
			var acks device.Acks
			var events device.Events
			for i := from; i < min(end, from+device.MaxRows); i++ {
				acks.List = append(acks.List, device.Ack{ID: fmt.Sprint("c-", i), Slot: slot})
				events.List = append(events.List, device.Event{ID: fmt.Sprint("e-", i), Slot: slot})
			}
			h.take(&acks)
			h.take(&events)
		}
	}
	told := func() (out []string) {
		for m, lag, ok := c.queue.take(); ok; m, lag, ok = c.queue.take() {
			var f struct {
				Data struct{ CommandID, EventID string }
			}
			if err := json.Unmarshal(m.raw, &f); err != nil || lag > 0 {
				t.Fatalf("%s: %v, lag %d", m.raw, err, lag)
			}
			out = append(out, f.Data.CommandID+f.Data.EventID)
		}
		return out
	}
	says(7, 0, 1)
	says(1, 1, waiting-2)
	says(7, waiting-1, 2) // one finds room
	says(1, waiting+1, beyond-1)
	in := &h.inbox
	if len(in.acks) != waiting || len(in.events) != waiting || in.untold != 2*beyond {
		t.Fatalf("%d acknowledgements and %d events wait, %d are left out; want %d of each and %d", len(in.acks), len(in.events), in.untold, waiting, 2*beyond)
	}
	h.flush(h.now)
	last := fmt.Sprint(waiting - 1)
	if got := told(); !slices.Equal(got, []string{"c-0", "c-" + last, "e-0", "e-" + last}) {
		t.Errorf("told of %q, want the first and the last for which there was room", got)
	}
	if n := h.dropped.Load(); n != 2*beyond {
		t.Errorf("%d are counted as left out, want %d", n, 2*beyond)
	}
	answers := recent(in.answers, beyond+1, func(*device.Ack) bool { return true })
	events := recent(in.history, beyond+1, func(*device.Event) bool { return true })
	for i := range beyond {
		if want := fmt.Sprint(waiting + beyond - 1 - i); answers[i].ID != "c-"+want || events[i].ID != "e-"+want {
			t.Fatalf("asked for later: %s and %s, want those of %s", answers[i].ID, events[i].ID, want)
		}
	}
	says(7, waiting+beyond, 1)
	h.flush(h.now)
	if got := told(); len(got) != 2 || in.untold != 0 {
		t.Errorf("told of %q and %d left out when there is room again, want both", got, in.untold)
	}
}

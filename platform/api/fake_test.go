package api_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"yunchu/platform/api"
	"yunchu/platform/audit"
	"yunchu/platform/auth"
	"yunchu/platform/auth/authtest"
	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/ingest"
	"yunchu/platform/store/series"
)

// commandID is what a device's sender has chosen.
type commandID struct {
	slot device.Slot
	id   string
}

// plant is a small plant over the local bus: readings and commands go through
// the log, the rest follows from it.
type plant struct {
	mu       sync.Mutex // also makes the bus, which is for one goroutine, safe
	bus      *local.Bus
	now      time.Time
	slots    map[device.ID]device.Slot
	infos    []device.Info
	rows     map[device.Slot][]device.Reading
	acks     map[commandID]device.Ack
	settings api.Settings
	fleet    api.FleetState
	scores   []api.Score
	silent   string                            // why the wires of all give no reading
	own      map[device.Slot]device.OwnWindows // of those that tell windows

	pushErr  atomic.Pointer[error]
	notReady atomic.Bool
	slow     map[device.ID]bool // never answer
	history  *series.Store
	ruled    bool // a scenario drives

	lost       []series.Gap // told with every page of history
	summarized atomic.Int64 // questions that were answered from tiers
}

// hung is when the tests take something for hanging. They do not time it.
const hung = 30 * time.Second

const start = 1_700_000_000_000

func newPlant() *plant {
	p := &plant{
		bus: local.New(0), now: device.Time(start), slots: map[device.ID]device.Slot{}, rows: map[device.Slot][]device.Reading{},
		acks: map[commandID]device.Ack{}, slow: map[device.ID]bool{},
		settings: api.Settings{Strategy: "soc-balancing"},
		fleet: api.FleetState{
			Time: start, TargetKW: math.NaN(), PowerKW: -12.5, SoCMean: math.NaN(), SoCMin: math.NaN(), SoCP5: math.NaN(),
			SoCP95: math.NaN(), SoCMax: math.NaN(), TemperatureMaxC: math.Inf(1), Speed: 1,
		},
	}
	if _, err := bus.Readings.Subscribe(p.bus, 1, p.readings); err != nil {
		panic(err)
	}
	if _, err := bus.Commands.Subscribe(p.bus, 1, p.commands); err != nil {
		panic(err)
	}
	return p
}

func (p *plant) api() api.Plant {
	return api.Plant{Intake: p, Registry: p, Latest: p, History: p, Control: p, Dispatch: p, System: p, Live: p, Quality: p}
}

func (p *plant) readings(seq uint64, f *device.Readings) {
	p.history.Append(seq, f)
	var r device.Reading
	for i := range f.Slot {
		f.Row(i, &r)
		list := p.rows[r.Slot]
		at, there := slices.BinarySearchFunc(list, r.At, func(x device.Reading, at int64) int { return cmp.Compare(x.At, at) })
		if there {
			list[at] = r
		} else {
			list = slices.Insert(list, at, r)
		}
		p.rows[r.Slot] = list
	}
}

func (p *plant) commands(_ uint64, f *device.Commands) {
	for _, c := range f.List {
		if p.slow[p.infos[c.Slot].ID] {
			continue
		}
		a := device.Ack{Slot: c.Slot, ID: c.ID, Status: device.Done, At: p.now.UnixMilli(), Issued: c.At, Verb: c.Verb, Priority: c.Priority, Power: c.Power, Before: -1.5, Source: c.Source}
		switch {
		case p.now.UnixMilli()-c.At > 60_000 || c.At-p.now.UnixMilli() > 5_000:
			a.Status, a.Code, a.Reason = device.Rejected, "STALE_COMMAND", "the command is too old or too new"
		case math.Abs(c.Power) > 100:
			a.Status, a.Code, a.Reason = device.Rejected, "OUT_OF_RANGE", "beyond the rating of 100 kW"
		case c.Power > 90:
			a.Power, a.Reduced, a.Reason = 90, true, "device limit"
		case c.Power == 66:
			a.Status, a.Reason = device.Failure, "the device did not answer"
		case c.Power == 67:
			a.Status = device.Expired
		}
		p.acks[commandID{c.Slot, c.ID}] = a
		bus.Acks.Publish(p.bus, &device.Acks{List: []device.Ack{a}}, nil)
	}
}

func (p *plant) Push(_ context.Context, rows []device.Reading) error {
	if err := p.pushErr.Load(); err != nil {
		return *err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(rows) > 0 {
		n := min(len(rows), device.MaxRows)
		var f device.Readings
		for i := range rows[:n] {
			f.Append(&rows[i])
		}
		rows = rows[n:]
		bus.Readings.Publish(p.bus, &f, nil)
	}
	return nil
}

func (p *plant) Normalise(device.ID, *device.Reading) {}

// Kept is that of an empty device, with the windows that a test has it tell.
func (p *plant) Kept(_ context.Context, s device.Slot) (api.Kept, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own, ok := p.own[s]
	if !ok {
		own = device.Untold()
	}
	return api.Kept{Envelope: api.Envelope{MinKW: 0, MinBy: "state of charge low", MaxKW: 40, MaxBy: "cap"}, Own: own, Silent: p.silent}, nil
}

func (p *plant) ReadByUs(s device.Slot) bool {
	info, ok := p.Device(s)
	return ok && info.Kind != "" && info.Kind != "push"
}

func (p *plant) Slot(id device.ID) (device.Slot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.slots[id]
	return s, ok
}

func (p *plant) Device(s device.Slot) (device.Info, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(s) >= len(p.infos) {
		return device.Info{}, false
	}
	return p.infos[s], true
}

func (p *plant) Devices(after device.ID, limit int) []device.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.infos)
	slices.SortFunc(list, func(a, b device.Info) int { return cmp.Compare(a.ID, b.ID) })
	i, there := slices.BinarySearchFunc(list, after, func(x device.Info, id device.ID) int { return cmp.Compare(x.ID, id) })
	if there {
		i++
	}
	return list[i:min(len(list), i+limit)]
}

func (p *plant) Register(_ context.Context, info device.Info) (device.Info, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, known := p.slots[info.ID]; known {
		info.Slot, info.Kind, info.State = s, p.infos[s].Kind, p.infos[s].State
		p.infos[s] = info
		return info, nil
	}
	info.Slot, info.State, info.Kind = device.Slot(len(p.infos)), device.Inactive, cmp.Or(info.Kind, "push")
	p.slots[info.ID] = info.Slot
	p.infos = append(p.infos, info)
	return info, nil
}

func (p *plant) Latest(s device.Slot, goodOnly bool) (device.Reading, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range slices.Backward(p.rows[s]) {
		if !goodOnly || r.Quality == device.Good {
			return r, true
		}
	}
	return device.Reading{}, false
}

func (p *plant) Online(s device.Slot) bool {
	r, ok := p.Latest(s, true)
	return ok && p.clock().UnixMilli()-r.At <= 5_000
}

func (p *plant) Cleaned(_ context.Context, s device.Slot, goodOnly bool) (ingest.Row, bool, error) {
	r, ok := p.Latest(s, goodOnly)
	return ingest.Row{Reading: r, Raw: r}, ok, nil
}

func (p *plant) Features(_ context.Context, s device.Slot, from, to int64) (api.Features, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := ingest.NewCounter(0)
	for i := range p.rows[s] {
		if r := &p.rows[s][i]; r.At >= from && r.At < to {
			c.Add(r)
		}
	}
	return api.Features{Features: c.Done(), Gaps: []series.Gap{{From: from, To: from + 1, Reason: "lost"}}}, nil
}

func (p *plant) Query(_ context.Context, q api.Query) (api.Page, error) {
	if q.Clean {
		return api.Page{}, fmt.Errorf("%w: these readings are too dense", api.ErrNotAvailable)
	}
	if q.Cursor != "" {
		if _, err := fmt.Sscanf(q.Cursor, "t%d", &q.From); err != nil {
			return api.Page{}, fmt.Errorf("%w: cursor", api.ErrInvalid)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	page := api.Page{Rows: q.Room[:0]}
	for _, r := range p.rows[q.Slot] {
		if r.At < q.From || r.At >= q.To {
			continue
		}
		if q.Step > 0 {
			r.At -= r.At % q.Step.Milliseconds()
			if n := len(page.Rows); n > 0 && page.Rows[n-1].At == r.At {
				continue // the first of a step stands for it
			}
		}
		if len(page.Rows) == q.Limit {
			page.Next = fmt.Sprintf("t%d", r.At)
			break
		}
		page.Rows = append(page.Rows, series.Row{Reading: r, Count: 1})
	}
	page.Gaps = p.lost
	return page, nil
}

func (p *plant) Summaries(ctx context.Context, slots []device.Slot, of series.Fields, step time.Duration, from, to int64, yield func(device.Slot, []series.Summary) error) error {
	return p.history.Summaries(ctx, slots, of, step, from, to, func(slot device.Slot, list []series.Summary) error {
		p.summarized.Add(1)
		return yield(slot, list)
	})
}

func (p *plant) Aggregate(ctx context.Context, q series.AggregateQuery) (series.AggregatePage, error) {
	page, err := p.history.Aggregate(ctx, q)
	if errors.Is(err, series.ErrQuery) {
		err = fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	return page, err
}

func (p *plant) Command(ctx context.Context, c device.Command) (device.Ack, error) {
	p.mu.Lock()
	if a, known := p.acks[commandID{c.Slot, c.ID}]; known {
		p.mu.Unlock()
		return a, nil
	}
	if p.infos[c.Slot].ID == "OFFLINE" {
		p.mu.Unlock()
		return device.Ack{}, fmt.Errorf("command %s: %w", c.ID, device.ErrOffline)
	}
	bus.Commands.Publish(p.bus, &device.Commands{List: []device.Command{c}}, nil)
	a, answered := p.acks[commandID{c.Slot, c.ID}]
	p.mu.Unlock()
	if !answered {
		<-ctx.Done()
		return device.Ack{}, ctx.Err()
	}
	return a, nil
}

func (p *plant) Settings() api.Settings {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settings
}

func (p *plant) Apply(_ context.Context, _ string, s api.Settings) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ruled {
		return fmt.Errorf("%w: a scenario drives", api.ErrInvalid)
	}
	p.settings = s
	return nil
}

func (p *plant) About() api.About {
	return api.About{Name: "test", Version: "0", BinarySHA256: "00", Started: device.Time(start)}
}

func (p *plant) Ready() bool { return !p.notReady.Load() }

func (p *plant) Fleet() api.FleetState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fleet
}

func (p *plant) Scores() []api.Score {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scores
}

func (p *plant) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// event publishes an event of the device, or of the plant.
func (p *plant) event(id device.ID, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slot := device.Plant
	if id != "" {
		slot = p.slots[id]
	}
	bus.Events.Publish(p.bus, &device.Events{List: []device.Event{{ID: "e-" + text, Slot: slot, Type: "test", Severity: device.Warning, Text: text, At: start}}}, nil)
}

// records keeps users and tokens in memory.
type records struct{ sync.Map }

func (r *records) Put(kind, key, _ string, value []byte, done func(error)) {
	r.Store(kind+"/"+key, value)
	done(nil)
}

func (r *records) Act(device.Act) {}

func (r *records) Load(string, func(string, []byte)) error { return nil }

const (
	engineerToken = "engineer-of-the-tests"
	adminPassword = "correct horse battery"
)

// world is a server over a small plant, with a token for each role. The device
// token is that of MINE; FOREIGN is another device.
type world struct {
	*plant
	t      testing.TB
	auth   *auth.Authority
	server *api.Server
	http   *httptest.Server
	tokens map[string]string // by role
	setup  string
}

var portal = fstest.MapFS{
	"index.html":       {Data: []byte("<!doctype html><title>Yunchu</title>" + strings.Repeat("<p>text</p>", 50))},
	"favicon.svg":      {Data: []byte("<svg/>")},
	"assets/portal.js": {Data: []byte(strings.Repeat("export const x = 1;\n", 100))},
}

func newWorld(t testing.TB, change ...func(*api.Options)) *world {
	t.Helper()
	w := &world{plant: newPlant(), t: t, tokens: map[string]string{"engineer": engineerToken}}
	var err error
	if w.history, err = series.Open(series.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.history.Close() })
	w.auth, err = auth.New(&records{}, time.Now(), auth.Options{Static: engineerToken, Keys: authtest.Keys(t, time.Now())})
	if err != nil {
		t.Fatal(err)
	}
	if w.setup, _, err = w.auth.NewSetup(time.Now()); err != nil {
		t.Fatal(err)
	}
	o := api.Options{
		Plant: w.api(), Auth: w.auth, Bus: w.bus, Log: slog.New(slog.DiscardHandler), UI: portal, Now: w.clock,
	}
	for _, f := range change {
		f(&o)
	}
	if w.server, err = api.New(o); err != nil {
		t.Fatal(err)
	}
	for _, id := range []device.ID{"MINE", "FOREIGN", "OFFLINE", "SLOW"} {
		if _, err := w.Register(t.Context(), device.Info{ID: id, Kind: "push", RatedKW: 100}); err != nil {
			t.Fatal(err)
		}
	}
	w.slow["SLOW"] = true
	for _, role := range auth.Roles {
		if role == auth.Engineer {
			continue
		}
		g := auth.Grant{Role: role}
		if role == auth.Device {
			g.Device = "MINE"
		}
		got, err := w.auth.Issue(t.Context(), time.Now(), "test", g)
		if err != nil {
			t.Fatal(err)
		}
		w.tokens[role.String()] = got.Secret
	}
	return w
}

// listen opens the server on a real socket.
func (w *world) listen() *world {
	w.http = httptest.NewServer(w.server)
	w.t.Cleanup(w.http.Close)
	return w
}

type answer struct {
	*httptest.ResponseRecorder
	t testing.TB
}

// do sends a request with a role's token; the role may also be a token, or
// empty for none.
func (w *world) do(method, path, role, body string, headers ...string) answer {
	w.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(method, path, nil)
	}
	if token := cmp.Or(w.tokens[role], role); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	return answer{rec, w.t}
}

// json reads the answer.
func (a answer) json() map[string]any {
	a.t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.Body.Bytes(), &m); err != nil {
		a.t.Fatalf("the answer is not JSON: %v\n%s", err, a.Body)
	}
	return m
}

// want checks the status, and the code where one is given; refusals must be
// whole problems.
func (a answer) want(status int, code string) answer {
	a.t.Helper()
	if a.Code != status {
		a.t.Fatalf("status %d, want %d\n%s", a.Code, status, a.Body)
	}
	if code == "" {
		return a
	}
	m := a.json()
	if m["code"] != code {
		a.t.Errorf("code %v, want %s\n%s", m["code"], code, a.Body)
	}
	if status >= 400 {
		if got := a.Header().Get("Content-Type"); got != "application/problem+json" {
			a.t.Errorf("a refusal has Content-Type %q", got)
		}
		if m["requestId"] == "" || m["requestId"] != a.Header().Get("X-Request-Id") {
			a.t.Errorf("requestId %v, header %q", m["requestId"], a.Header().Get("X-Request-Id"))
		}
		if m["status"] != float64(status) || m["title"] != http.StatusText(status) {
			a.t.Errorf("the problem says %v %v", m["status"], m["title"])
		}
	}
	return a
}

var errTest = errors.New("a fault that nobody foresaw: secret detail")

const dataJSON = `{"soc":75.5,"voltage":382.4,"current":125.6,"power":48.1,"temperature":25.3,"status":"charging"}`

func body(id string, at int64) string {
	return fmt.Sprintf(`{"deviceId":%q,"timestamp":%d,"data":%s}`, id, at, dataJSON)
}

func newRequest(method, path string, body io.Reader, token string) *http.Request {
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func serve(w *world, r *http.Request) answer {
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	return answer{rec, w.t}
}

func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// withAudit gives the plant an audit with an entry.
func withAudit(t testing.TB) func(*api.Options) {
	return func(o *api.Options) {
		l, err := audit.Open(audit.Options{Data: t.TempDir(), Bus: o.Bus, Name: func(device.Slot) device.ID { return "" }, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		bus.Acts.Publish(o.Bus, &device.Acts{List: []device.Act{{Type: "test", Source: "user:ann", At: start}}}, nil)
		if err := l.Commit(); err != nil {
			t.Fatal(err)
		}
		o.Plant.Audit = l
	}
}

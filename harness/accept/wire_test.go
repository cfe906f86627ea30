package accept_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"yunchu/harness/accept"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
)

// pcs is a device on a wire with two settings. Its sign may be wrong, and a setpoint
// that nobody renews runs out.
type pcs struct {
	mu       sync.Mutex
	timed    device.Timed
	sign     float64
	kw       float64
	until    time.Time
	settings map[string]float64
	told     []string
	down     bool
	bend     func(*device.Reading) // what it says of itself
	closed   bool

	reading, telling time.Duration // what they take
}

var (
	_ device.Driver     = (*pcs)(nil)
	_ device.Adjustable = (*pcs)(nil)
	_ device.Probed     = (*pcs)(nil)
	_ device.Described  = (*pcs)(nil)
)

func (p *pcs) exchange() func() {
	p.mu.Lock()
	begin := time.Now()
	return func() {
		if p.timed != nil {
			p.timed(time.Since(begin), nil)
		}
		p.mu.Unlock()
	}
}

func (p *pcs) Read(_ context.Context, now time.Time) (device.Reading, error) {
	defer p.exchange()()
	time.Sleep(p.reading)
	if p.down {
		return device.Reading{}, device.ErrOffline
	}
	if time.Now().After(p.until) {
		p.kw = 0
	}
	r := device.Empty()
	r.At, r.Arrived = now.UnixMilli(), time.Now().UnixMilli()
	r.Power = p.sign * math.Copysign(min(math.Abs(p.kw), p.settings["power-limit"]), p.kw)
	r.SoC, r.Temperature, r.Voltage, r.Current = 50, 25, 800+0.05*p.kw, r.Power*1000/800
	r.MaxCharge, r.MaxDischarge, r.Status = 100, 100, device.Idle
	if p.bend != nil {
		p.bend(&r)
	}
	return r, nil
}

func (p *pcs) Write(_ context.Context, _ time.Time, c device.Command) (device.Ack, error) {
	defer p.exchange()()
	time.Sleep(p.telling)
	p.told = append(p.told, fmt.Sprintf("%v %g", c.Verb, c.Power))
	p.kw = 0
	if c.Verb == device.SetPower {
		p.kw, p.until = c.Power, device.Time(c.Until)
	}
	return c.Answer(device.Done, time.Now().UnixMilli(), "", ""), nil
}

func (p *pcs) Close() error { p.closed = true; return nil }

func (p *pcs) Describe(context.Context, time.Time) (device.Info, error) {
	return device.Info{Manufacturer: "Acme", Model: "P100", Firmware: "1.2.3", RatedKW: 100, CapacityKWh: 200}, nil
}

func (p *pcs) Settings(context.Context) ([]device.Setting, error) {
	return []device.Setting{
		{Name: "ramp", Unit: "%/s", Min: 1, Max: 100, Step: 1},
		{Name: "power-limit", Unit: "%", Min: 0, Max: 100, Step: 1},
		{Name: "serial", ReadOnly: true},
	}, nil
}

func (p *pcs) Setting(_ context.Context, name string) (float64, error) {
	defer p.exchange()()
	v, ok := p.settings[name]
	if !ok {
		return 0, device.ErrUnsupported
	}
	return v, nil
}

func (p *pcs) Adjust(_ context.Context, name string, v float64) (float64, error) {
	defer p.exchange()()
	p.settings[name] = v
	p.told = append(p.told, fmt.Sprintf("%s %g", name, v))
	return v, nil
}

func (p *pcs) Probe(context.Context) ([]device.Trial, error) {
	return []device.Trial{
		{Name: "wrong unit", Refused: true},
		{Name: "read-only", Want: "exception 2", Got: "taken", Changed: true, Restored: true, Writes: []device.Write{
			{What: "power", Unit: "W", Asked: 1, Before: 0, After: 1, Status: device.Done},
			{Act: device.Restored, What: "power", Unit: "W", Asked: 0, Before: 1, After: 0, Status: device.Done},
		}},
		{Name: "another role", Skipped: "the link has none"},
	}, nil
}

// onWire does procedures with a device on a wire, on the wall clock and the durable bus.
func onWire(t *testing.T, ctx context.Context, p *pcs, opt accept.Options, list ...*scenario.Procedure) (*accept.Result, error) {
	t.Helper()
	p.settings = map[string]float64{"ramp": 100, "power-limit": 100}
	b := &accept.Bench{
		Info: device.Info{ID: "rig-1", Kind: "modbus", RatedKW: 100, CapacityKWh: 200, State: device.Inactive}, Loopback: true, Period: 20 * time.Millisecond,
		Open: func(timed device.Timed) (device.Driver, error) { p.timed = timed; return p, nil },
	}
	if len(opt.Arm) > 0 { // not an emulator
		b.Loopback = false
	}
	opt.Durable = func(dir string) (bus.Bus, error) { return nats.Open(nats.Options{Dir: dir}) }
	r, err := accept.Run(ctx, []*accept.Bench{b}, list, opt)
	if !p.closed && r != nil && len(r.Devices) > 0 {
		t.Error("the driver is left open")
	}
	return r, err
}

const wired = `counts: charge
requires: [power, ramp, link]
steps:
  - {power_percent: 60, hold_s: 0.5}
  - {setting: {name: power-limit, value: 30}, hold_s: 0.5, measure: {name: limited, kind: limit, limit_percent: 30, after_s: 0.2}}
  - {setting: {name: power-limit, value: 100}}
  - {settings_all: true, measure: {name: settings, kind: settings}}
  - {poll_all: true, hold_s: 0.3, measure: {name: polls, kind: exchange}}
  - {probe: true, measure: {name: trials, kind: probe}}
  - {power_percent: -50, hold_s: 0.5, measure: {name: step, kind: step, settle_s: 0.2}}
  - {cut: {for_s: 2.5}, measure: {name: lost, kind: zero}}
  - {refused_percent: 50, measure: {name: rearm, kind: refused}}
  - {arm: true}
  - {power_percent: 50, hold_s: 0.3}
  - {e_stop: true, hold_s: 0.5, measure: {name: stop, kind: zero}}
  - {refused_percent: 50, measure: {name: latched, kind: refused}}
  - {reset: true}
limits:
  - {name: exceeding, measure: limited, metric: exceeding_samples, limit: "< 5", source: test}
  - {name: mismatches, measure: settings, metric: mismatches, limit: "== 0", source: test}
  - {name: tried, measure: settings, metric: settings_tried, limit: "== 2", source: test}
  - {name: exchange_ms, measure: polls, metric: exchange_ms, limit: "< 500", source: test}
  - {name: not_refused, measure: trials, metric: not_refused, limit: "== 0", source: test}
  - {name: response_s, measure: step, metric: response_time_s, limit: "<= 1", source: test}
  - {name: lost_s, measure: lost, metric: zero_time_s, limit: "<= 8", source: test}
  - {name: rearm, measure: rearm, metric: accepted, limit: "== 0", source: test}
  - {name: stop_s, measure: stop, metric: zero_time_s, limit: "<= 1", source: test}
  - {name: latched, measure: latched, metric: accepted, limit: "== 0", source: test}
`

const sign = `steps:
  - {arm: true}
  - {power_percent: 5, hold_s: 0.4, measure: {name: sign, kind: hold, after_s: 0.2}}
  - {power_percent: -5, hold_s: 0.4, measure: {name: sign, kind: hold, after_s: 0.2}}
limits:
  - {name: wrong_sign, measure: sign, metric: wrong_sign, stat: sum, limit: "== 0", source: test}
`

func signTest(t *testing.T) *scenario.Procedure {
	p := procedure(t, sign)
	p.Name = accept.SignTest
	return p
}

// The state view's own goroutine looks once a second whether it has been closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/tidwall/buntdb.(*DB).backgroundManager"))
}

func TestDeviceOnAWire(t *testing.T) {
	t.Parallel()
	p := &pcs{sign: 1}
	r, err := onWire(t, t.Context(), p, accept.Options{}, signTest(t), procedure(t, wired))
	if err != nil {
		t.Fatal(err)
	}
	d := r.Devices[0]
	if d.Tests[0].Verdict != report.Passed {
		t.Errorf("sign test %s: %s", d.Tests[0].Verdict, d.Tests[0].Why)
	}
	if d.Said.Firmware != "1.2.3" || !slices.Contains(d.Able, "ramp") || slices.Contains(d.Able, "connect") || slices.Contains(d.Able, "grid") {
		t.Errorf("%+v is able to %v", d.Said, d.Able)
	}
	want := map[string]report.Verdict{"not_refused": report.Failed, "lost_s": report.Inconclusive} // nobody saw it, without a reference
	for _, j := range d.Tests[1].Limits {
		w := want[j.Name]
		if w == "" {
			w = report.Passed
		}
		if j.Verdict != w {
			t.Errorf("%s: %v is %s (%s), want %s", j.Name, j.Value, j.Verdict, j.Note, w)
		}
	}
	if d.Tests[1].Record.Aborted != "" {
		t.Errorf("broken off: %s", d.Tests[1].Record.Aborted)
	}
	if n := d.Tests[1].Record.Notes; len(n) > 0 {
		t.Errorf("notes %q", n)
	}
	if p.settings["power-limit"] != 100 || p.settings["ramp"] != 100 {
		t.Errorf("settings are left at %v", p.settings)
	}
	if p.kw != 0 {
		t.Errorf("the device is left at %g kW", p.kw)
	}
}

func TestWrongSignOnAWireIsAFinding(t *testing.T) {
	t.Parallel()
	r, err := onWire(t, t.Context(), &pcs{sign: -1}, accept.Options{}, signTest(t), procedure(t, wired))
	if err != nil {
		t.Fatal(err)
	}
	a, b := r.Devices[0].Tests[0], r.Devices[0].Tests[1]
	if a.Verdict != report.Failed || !strings.Contains(a.Why, "WRONG_SIGN") {
		t.Errorf("sign test %s: %s", a.Verdict, a.Why)
	}
	if b.Verdict != report.Inconclusive || b.Record != nil {
		t.Errorf("the other is %s: %s", b.Verdict, b.Why)
	}
}

// Who has a value wrong in a profile is told which, since when, and what to look at.
func TestValueThatCannotBeIsNamed(t *testing.T) {
	t.Parallel()
	p := &pcs{sign: 1, bend: func(r *device.Reading) { r.Temperature = -3276.8 }}
	r, err := onWire(t, t.Context(), p, accept.Options{}, signTest(t), procedure(t, reads))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"no fresh and good reading", "bad (range: temperature -3276.8 °C), and it was never good", "not_implemented"}
	for _, w := range want {
		if x := r.Devices[0].Tests[0]; x.Verdict != report.Inconclusive || !strings.Contains(x.Why, w) {
			t.Errorf("%s: %q, want %q", x.Verdict, x.Why, w)
		}
	}
	if j := r.Devices[0].Tests[1].Limits[0]; !strings.Contains(j.Note, ": temperature -3276.8 °C)") {
		t.Errorf("%s: %s", j.Verdict, j.Note)
	}
}

const reads = `requires: [link]
steps:
  - {poll_all: true, hold_s: 0.5, measure: {name: polls, kind: exchange}}
  - {rest: true, hold_s: 0.5, measure: {name: rest, kind: hold}}
limits:
  - {name: error, measure: rest, metric: max_error_percent, limit: "<= 1", source: test}
`

func TestWhatIsNotOnThisMachineIsArmedByName(t *testing.T) {
	t.Parallel()
	p := &pcs{sign: 1}
	r, err := onWire(t, t.Context(), p, accept.Options{Arm: []string{"rig-2"}}, signTest(t))
	if err != nil {
		t.Fatal(err)
	}
	if x := r.Devices[0].Tests[0]; x.Verdict != report.Inconclusive || !strings.Contains(x.Why, "--arm rig-1") {
		t.Errorf("%s: %s", x.Verdict, x.Why)
	}
	if slices.ContainsFunc(p.told, func(s string) bool { return strings.HasPrefix(s, "setPower") }) {
		t.Errorf("it was told %q", p.told)
	}
}

func TestRigThatIsNotThere(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for the device")
	}
	if _, err := onWire(t, t.Context(), &pcs{sign: 1, down: true}, accept.Options{}, signTest(t)); !errors.Is(err, accept.ErrNotThere) {
		t.Errorf("%v", err)
	}
}

func TestInterruptionOnAWire(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := &pcs{sign: 1}
	opt := accept.Options{Progress: func(_, test, _ string, _ time.Duration) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if test == "X" && p.kw == 60 {
			cancel()
		}
	}}
	r, err := onWire(t, ctx, p, opt, signTest(t), procedure(t, wired))
	if err != nil || r.Verdict != report.Interrupted {
		t.Fatal(r.Verdict, err)
	}
	if p.kw != 0 || !slices.ContainsFunc(p.told, func(s string) bool { return strings.HasPrefix(s, "stop") }) {
		t.Errorf("left at %g kW, told %q", p.kw, p.told)
	}
	if dirs, _ := filepath.Glob("/var/tmp/yunchu-accept-*"); len(dirs) > 0 {
		t.Logf("folders that another run may have left: %v", dirs)
	}
}

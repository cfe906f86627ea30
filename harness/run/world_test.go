package run

import (
	"context"
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

	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
)

// batteries is a world of ideal batteries, 100 kW and 200 kWh each at 400 V: a
// setpoint is reached at once and nothing is lost. What a test wants to go wrong
// in it is a field.
type batteries struct {
	soc, power []float64 // percent, kW
	until      []int64   // ms UTC, when the setpoint expires
	last       time.Time

	answerAfter time.Duration // of commands
	residual    float64       // of the energy balance
	beyond      int           // devices outside their limits in each step
	done        []string      // faults in the physics: "+kind indices" and "-kind indices"
	ambient     []float64
	writes      int
}

func newBatteries(s *scenario.Scenario) *batteries {
	n := len(s.IDs())
	b := &batteries{soc: make([]float64, n), power: make([]float64, n), until: make([]int64, n), answerAfter: 10 * time.Millisecond}
	for i := range n {
		b.soc[i] = 50
	}
	return b
}

func (b *batteries) Fleets() []Fleet {
	infos := make([]device.Info, len(b.soc))
	for i := range infos {
		infos[i] = device.Info{
			ID: device.ID(fmt.Sprintf("u-%03d", i+1)), Kind: "sim", State: device.Active, Simulated: true,
			RatedKW: 100, CapacityKWh: 200, SoCMin: 5, SoCMax: 95,
		}
	}
	return []Fleet{{Infos: infos, Devices: b}}
}

func (b *batteries) Step(now time.Time) {
	ms := now.UnixMilli()
	for i := range b.soc {
		if !b.last.IsZero() {
			b.soc[i] += 100 * b.power[i] * now.Sub(b.last).Hours() / 200
		}
		if b.until[i] <= ms {
			b.power[i] = 0
		}
	}
	b.last = now
}

func (b *batteries) SetAmbient(c float64) { b.ambient = append(b.ambient, c) }

func (b *batteries) Sample(s *Sample) {
	*s = Sample{SoC: s.SoC, TempC: s.TempC, PowerKW: s.PowerKW, Voltage: s.Voltage, Limit: s.Limit, Reactive: s.Reactive, OutOfLimits: b.beyond}
	for i := range b.soc {
		s.SoC[i], s.TempC[i], s.PowerKW[i], s.Voltage[i] = b.soc[i], 25, b.power[i], 400
		s.SumKW += b.power[i]
		s.InKW += max(b.power[i], 0)
		s.OutKW -= min(b.power[i], 0)
		s.StoredKWh += 2 * b.soc[i]
		s.AvailableChargeKW += 100
		s.AvailableDischargeKW += 100
	}
	if b.beyond > 0 {
		s.Offender, s.OffenderWhy = "u-001", "charged at 99 %, limit 95 %"
	}
}

func (b *batteries) Inject(_ time.Time, f *scenario.Injection, indices []int) (func(time.Time), error) {
	b.done = append(b.done, fmt.Sprint("+", f.Kind, indices))
	return func(time.Time) { b.done = append(b.done, fmt.Sprint("-", f.Kind, indices)) }, nil
}

func (b *batteries) Balance() (float64, device.ID) { return b.residual, "u-001" }
func (b *batteries) Kernel() string                { return "ideal" }
func (b *batteries) Size() int                     { return len(b.soc) }

func (b *batteries) ReadAll(_ context.Context, now time.Time, into *device.Readings) error {
	ms := now.UnixMilli()
	for i := range b.soc {
		status := device.Idle
		if b.power[i] > 0 {
			status = device.Charging
		} else if b.power[i] < 0 {
			status = device.Discharging
		}
		into.Append(&device.Reading{
			Slot: device.Slot(i), At: ms, Arrived: ms, SoC: b.soc[i], SoH: 100, Voltage: 400, Current: 2.5 * b.power[i],
			Power: b.power[i], Temperature: 25, MaxCharge: 100, MaxDischarge: 100, Status: status,
		})
	}
	return nil
}

func (b *batteries) WriteAll(_ context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	for i := range cmds {
		c := &cmds[i]
		b.writes++
		b.power[c.Slot], b.until[c.Slot] = 0, c.Until
		if c.Verb == device.SetPower {
			b.power[c.Slot] = c.Power
		}
		acks = append(acks, c.Answer(device.Done, now.Add(b.answerAfter).UnixMilli(), "", ""))
	}
	return acks, nil
}

// parse writes a scenario to a file and reads it; what every one of them has is
// put before it.
func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	text = "apiVersion: yunchu/v1\nkind: Scenario\nname: test\n" + text
	path := filepath.Join(t.TempDir(), "test.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Load(path, scenario.Options{Models: func(string) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// played is a scenario that was run on batteries.
type played struct {
	*report.Run
	world *batteries
	dir   string // of the report
}

// play runs a scenario on batteries the way Do does it. change may spoil the
// world, begin may put more on the scheduler.
func play(t *testing.T, s *scenario.Scenario, opt Options, change func(*batteries), begin func(*Run)) played {
	t.Helper()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	out := played{dir: t.TempDir()}
	opt.World = func(s *scenario.Scenario, _ time.Time) (World, error) {
		out.world = newBatteries(s)
		if change != nil {
			change(out.world)
		}
		return out.world, nil
	}
	if opt.Durable == nil {
		opt.Durable = durable
	}
	opt.Out = out.dir
	r := newRun(s, opt)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.cancel = cancel
	if err := r.open(ctx); err != nil {
		t.Fatal(errors.Join(err, r.close()))
	}
	if begin != nil {
		begin(r)
	}
	var err error
	if out.Run, err = r.playOut(ctx); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("left behind: %s", e.Name())
	}
	return out
}

func durable(dir string) (bus.Bus, error) {
	return nats.Open(nats.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
}

// check is the outcome of a default check.
func (p played) check(t *testing.T, name string) report.Check {
	t.Helper()
	for _, c := range p.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %s among %v", name, p.Checks)
	return report.Check{}
}

// line is one line of the journal with the fields that the tests look at.
type line struct {
	T         float64 `json:"t_s"`
	Kind      string
	Device    string
	Text      string
	ID        string `json:"command_id"`
	Status    string
	Code      string
	Timestamp int64
	SoC       *float64
	Voltage   *float64
	Current   *float64
	Power     *float64
	Temp      *float64 `json:"temperature"`
	Word      string   `json:"-"`
	Flags     []string
	Quality   string
}

// journal is the journal's lines of a kind, of one device unless it is empty.
func (p played) journal(t *testing.T, kind, device string) (out []line) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(b)) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if l.Kind == kind && (device == "" || l.Device == device) {
			out = append(out, l)
		}
	}
	return out
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

package platform_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"yunchu/platform"
	"yunchu/platform/api"
	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/sched"
)

// house is two batteries, one that is not in service, and the meter of the site that they are at.
type house struct {
	load   float64    // kW
	kw     [3]float64 // of the batteries
	lost   bool       // the first battery does not report, and does what it was told
	silent bool       // the meter does not report
	hz     float64    // that the meter reports; 0 none
}

func (h *house) Size() int { return 4 }

// flow is what flows through the meter, kW.
func (h *house) flow() float64 { return h.load + h.kw[0] + h.kw[1] + h.kw[2] }

func (h *house) ReadAll(_ context.Context, now time.Time, into *device.Readings) error {
	for i := range 4 {
		r := device.Empty()
		r.Slot, r.At, r.Arrived, r.Status = device.Slot(i), now.UnixMilli(), now.UnixMilli(), device.Idle
		if i < 3 {
			r.Power, r.SoC = h.kw[i], 50+0.01*float64(now.Unix()%7)
		} else {
			r.Power, r.Frequency = h.flow(), h.hz
		}
		if i == 0 && h.lost || i == 3 && h.silent {
			continue
		}
		into.Append(&r)
	}
	return nil
}

func (h *house) WriteAll(_ context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	for i := range cmds {
		h.kw[cmds[i].Slot] = cmds[i].Power
		acks = append(acks, cmds[i].Answer(device.Done, now.UnixMilli(), "", ""))
	}
	return acks, nil
}

func inHouse() []device.Info {
	return []device.Info{
		{ID: "a", Kind: "sim", State: device.Active, RatedKW: 100, CapacityKWh: 200, Simulated: true},
		{ID: "b", Kind: "sim", State: device.Active, RatedKW: 50, CapacityKWh: 100, Simulated: true},
		{ID: "c", Kind: "sim", State: device.Inactive, RatedKW: 50, CapacityKWh: 100, Simulated: true},
		{ID: "meter", Kind: "sim", State: device.Inactive, Simulated: true},
	}
}

// TestImportIsHeld: an import target within a limit is met whatever flows of devices that
// dispatch tells nothing, goes on when a link is lost, and stays within the limit when the
// meter is silent for longer than what it said last counts.
func TestImportIsHeld(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(h *house)
		lasts  time.Duration // from the change on
		want   float64       // import, kW
	}{
		{"nothing happens", func(*house) {}, 20 * time.Second, 100},
		{"a battery that is not in service gives", func(h *house) { h.kw[2] = -40 }, 20 * time.Second, 100},
		{"a link is lost", func(h *house) { h.lost = true }, 5 * time.Second, 100},
		{"the meter is silent", func(h *house) { h.silent = true }, 10 * time.Minute, 100},
		{"the meter stays silent", func(h *house) { h.silent = true }, 20 * time.Minute, 120},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			s, b := sched.New(sched.NewVirtual(start)), local.New(0)
			h := &house{load: 150}
			limit, most := 120.0, 0.0
			var p *platform.Plant
			p, err := platform.New(platform.Config{
				Name: "test", Bus: b, Sched: s, Dir: t.TempDir(), Dispatch: dispatch.Settings{Every: time.Second},
				Limits:  []dispatch.Limit{{Name: "site", Import: limit, Export: math.Inf(1), Meter: "meter"}},
				Initial: func(time.Time) platform.Target { return platform.Target{KW: 100, Import: true, Enabled: true} },
				Site:    func(now time.Time) platform.Site { return p.Metered(now, "meter") },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			ctx := t.Context()
			if err := p.Add(ctx, inHouse(), h); err != nil {
				t.Fatal(err)
			}
			if err := p.Start(ctx, start); err != nil {
				t.Fatal(err)
			}
			at := start.Add(10 * time.Second)
			if err := s.Run(ctx, at); err != nil {
				t.Fatal(err)
			}
			tt.change(h)
			for end := at.Add(tt.lasts); at.Before(end); {
				at = at.Add(time.Second)
				if err := s.Run(ctx, at); err != nil {
					t.Fatal(err)
				}
				most = max(most, h.flow())
			}
			if got := h.flow(); math.Abs(got-tt.want) > 1e-6 || most > max(limit, tt.want)+1e-6 {
				t.Errorf("the import is %g kW, at most %g, want %g; %s", got, most, tt.want, p.Decision().Reason)
			}
		})
	}
}

// TestMeter: with a meter at its connection a plant holds an import, and keeps a limit around
// its fleet; while the meter is silent the limit stays with what was known, and it is told.
func TestMeter(t *testing.T) {
	for _, tt := range []struct {
		name   string
		target platform.Target
		limits []dispatch.Limit
		want   map[string]float64 // import at the end of each part of the day
	}{
		{"an import", platform.Target{KW: 100, Import: true, Enabled: true}, nil, map[string]float64{"low": 100, "high": 100, "silent": 100}},
		{
			"a limit",
			platform.Target{KW: 80, Enabled: true},
			[]dispatch.Limit{{Name: "site", Import: 150, Export: math.Inf(1), Meter: "meter"}},
			map[string]float64{"low": 120, "high": 150, "silent": 150},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			s, b := sched.New(sched.NewVirtual(start)), local.New(0)
			h := &house{load: 40}
			var p *platform.Plant
			p, err := platform.New(platform.Config{
				Name: "test", Bus: b, Sched: s, Dir: t.TempDir(), Limits: tt.limits,
				Initial: func(time.Time) platform.Target { return tt.target },
				Site:    func(now time.Time) platform.Site { return p.Metered(now, "meter") },
			})
			if err != nil {
				t.Fatal(err)
			}
			told := map[string]bool{}
			if _, err := bus.Events.Subscribe(b, 1, func(_ uint64, f *device.Events) {
				for _, e := range f.List {
					told[e.Type] = true
				}
			}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := p.Add(ctx, inHouse(), h); err != nil {
				t.Fatal(err)
			}
			if err := p.Start(ctx, start); err != nil {
				t.Fatal(err)
			}
			at := start
			for _, part := range []string{"low", "high", "silent"} {
				if part == "high" {
					h.load = 180
				}
				h.silent = part == "silent"
				at = at.Add(10 * time.Second)
				if part == "silent" {
					at = at.Add(-7 * time.Second) // setpoints hold for six seconds
				}
				if err := s.Run(ctx, at); err != nil {
					t.Fatal(err)
				}
				if got := h.flow(); math.Abs(got-tt.want[part]) > 1e-6 {
					t.Errorf("%s: the import is %g kW, want %g; %s", part, got, tt.want[part], p.Decision().Reason)
				}
			}
			if err := s.Run(ctx, at.Add(20*time.Second)); err != nil {
				t.Fatal(err)
			}
			if !told["meter-silent"] || tt.limits != nil && !strings.Contains(strings.Join(p.Decision().Silent, ","), "site") {
				t.Errorf("events %v, silent %v: the meter's silence is not told", told, p.Decision().Silent)
			}
			if tt.limits == nil { // what flows beside is not known any more
				at = at.Add(20 * time.Minute)
				if err := s.Run(ctx, at); err != nil {
					t.Fatal(err)
				}
				if d := p.Decision(); d.Planned != 0 || !strings.Contains(d.Reason, "the import target asks for nothing") {
					t.Errorf("planned %g kW, want 0: %q", d.Planned, d.Reason)
				}
				h.silent, at = false, at.Add(10*time.Second)
				if err := s.Run(ctx, at); err != nil {
					t.Fatal(err)
				}
				if d := p.Decision(); !told["meter-back"] || d.Reason != "" || math.Abs(h.flow()-100) > 1e-6 {
					t.Errorf("the import is %g kW, want 100: %q, events %v", h.flow(), d.Reason, told)
				}
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDroopOfAFleetWithFailures: the frequency is answered for the rated power of all devices,
// whether or not all of them are in service.
func TestDroopOfAFleetWithFailures(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := sched.New(sched.NewVirtual(start))
	p, err := platform.New(platform.Config{
		Name: "test", Bus: local.New(0), Sched: s, Dir: t.TempDir(),
		Initial:   func(time.Time) platform.Target { return platform.Target{Enabled: true} },
		Droop:     &dispatch.Droop{NominalHz: 50, Percent: 4},
		Frequency: func(time.Time) float64 { return 49.8 },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := errors.Join(p.Add(t.Context(), inHouse(), &house{}), p.Start(t.Context(), start), s.Run(t.Context(), start.Add(5*time.Second))); err != nil {
		t.Fatal(err)
	}
	// 0.2 Hz of 4 % of 50 Hz is a tenth of the 200 kW, of which 50 kW are not in service.
	if d := p.Decision(); math.Abs(d.Target+20) > 1e-9 {
		t.Errorf("the target is %g kW, want -20", d.Target)
	}
}

// TestDroopByAMeter: the frequency that a device reports is answered without anybody's target,
// one that is old or no frequency of a grid is not, and both are told.
func TestDroopByAMeter(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, b := sched.New(sched.NewVirtual(start)), local.New(0)
	h := &house{hz: 49.8}
	p, err := platform.New(platform.Config{
		Name: "test", Bus: b, Sched: s, Dir: t.TempDir(),
		Initial: func(time.Time) platform.Target { return platform.Target{KW: math.NaN(), Enabled: true} },
		Droop:   &dispatch.Droop{NominalHz: 50, Percent: 4}, Hertz: "meter",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	told := map[string]int{}
	if _, err := bus.Events.Subscribe(b, 1, func(_ uint64, f *device.Events) {
		for _, e := range f.List {
			told[e.Type]++
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Add(t.Context(), inHouse(), h), p.Start(t.Context(), start)); err != nil {
		t.Fatal(err)
	}
	at := start
	for i, tt := range []struct {
		change func()
		want   float64 // kW
		silent bool
	}{
		{func() {}, -20, false},
		{func() { h.hz = 50.1 }, 10, false},
		{func() { h.silent = true }, 0, true},
		{func() { h.silent = false }, 10, false},
		{func() { h.hz = 0 }, 0, true},
		{func() { h.hz = 60 }, 0, true},
		{func() { h.hz = 49.9 }, -10, false},
	} {
		tt.change()
		at = at.Add(10 * time.Second)
		if err := s.Run(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if d := p.Decision(); math.Abs(d.Target-tt.want) > 1e-6 || strings.Contains(d.Reason, "frequency") != tt.silent {
			t.Errorf("step %d: the target is %g kW, want %g: %q", i, d.Target, tt.want, d.Reason)
		}
	}
	if told["frequency-silent"] != 2 || told["frequency-back"] != 2 {
		t.Errorf("events %v, want the frequency silent and back twice", told)
	}
}

// TestSitesAskedByOperators: a site that an operator sets a target for has it beneath that of the
// fleet, by a schedule too, and before one of the configuration; without a target of the fleet
// nothing but the sites' is done.
func TestSitesAskedByOperators(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, b := sched.New(sched.NewVirtual(start)), local.New(0)
	p, err := platform.New(platform.Config{
		Name: "test", Bus: b, Sched: s, Dir: t.TempDir(), Dispatch: dispatch.Settings{Every: time.Second},
		Initial: func(time.Time) platform.Target { return platform.Target{KW: math.NaN(), Enabled: true} },
		Limits: []dispatch.Limit{
			{Name: "north", Devices: "a", Import: math.Inf(1), Export: math.Inf(1), Target: func(time.Time) float64 { return -30 }},
			{Name: "south", Devices: "b", Import: math.Inf(1), Export: math.Inf(1)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	h := &house{}
	if err := errors.Join(p.Add(t.Context(), inHouse(), h), p.Start(t.Context(), start)); err != nil {
		t.Fatal(err)
	}
	face := p.Face(api.About{}, nil)
	kw := func(x float64) *float64 { return &x }
	at := start
	set := func(fleet *float64, sites ...api.SiteTarget) func() error {
		return func() error {
			value, err := json.Marshal(api.Settings{Enabled: true, Strategy: "proportional", TargetKW: fleet, Sites: sites})
			bus.Metas.Publish(b, &device.Meta{Kind: "setting", Key: "dispatch", Value: value}, func(uint64, error) {})
			return err
		}
	}
	for i, tt := range []struct {
		set  func() error
		a, b float64 // kW
	}{
		{func() error { return nil }, -30, 0},
		{set(kw(-50)), -30, -20},
		{set(kw(-50), api.SiteTarget{Name: "north", TargetKW: kw(-45)}), -45, -5},
		{set(nil, api.SiteTarget{Name: "south", TargetKW: kw(10)}), -30, 10},
		{set(kw(-60), api.SiteTarget{Name: "north"}), -40, -20},
		{set(kw(-50), api.SiteTarget{Name: "north", Schedule: []api.Step{{At: start.Add(55 * time.Second), TargetKW: -35}}}), -35, -15},
	} {
		at = at.Add(10 * time.Second)
		if err := errors.Join(tt.set(), s.Run(t.Context(), at)); err != nil {
			t.Fatal(err)
		}
		if math.Abs(h.kw[0]-tt.a) > 1e-6 || math.Abs(h.kw[1]-tt.b) > 1e-6 {
			t.Errorf("step %d: sites have %v, want %g and %g; %+v", i, h.kw[:2], tt.a, tt.b, p.Decision())
		}
	}
	if got := face.Dispatch.Settings().Sites; len(got) != 1 || got[0].Name != "north" || len(got[0].Schedule) != 1 {
		t.Errorf("settings have the sites %+v", got)
	}
	for _, wrong := range [][]api.SiteTarget{{{Name: "west"}}, {{Name: "north"}, {Name: "north"}}} {
		err := face.Dispatch.Apply(t.Context(), "user:ann", api.Settings{Strategy: "proportional", Sites: wrong})
		if !errors.Is(err, api.ErrInvalid) {
			t.Errorf("%+v is taken: %v", wrong, err)
		}
	}
}

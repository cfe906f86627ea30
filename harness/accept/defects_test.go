package accept

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/harness/backend"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/device"
)

// made is a device of 100 kW with its battery, its bench and a guard in front of it, as far as
// procedures look at them. The bench's reference shows its power; what it says of itself is that
// too. A defect bends what it aims at, or what it says.
type made struct {
	now           time.Time
	kw, set       float64
	ideal         float64   // what it would have without its defect
	until         time.Time // of the setpoint
	rate, limit   float64   // percent/s, percent
	connected     bool
	cut           time.Time // its link, since; zero: it is not
	hz, volts     float64
	stopped, trip bool
	fault         string // that the bench has put in
	armed         bool
	soc           float64
	changed       time.Time // when setpoint, setting, grid or link changed last, or it was reset
	gridAt        time.Time // when the grid changed last
	resetAt, back time.Time // when it was reset, and its link was there again

	bounds  map[string]scenario.Limit         // limits that its rig has
	late    time.Duration                     // what an answer takes
	deaf    string                            // a setting that it takes and does not keep
	lacks   string                            // what the bench is not able to
	lies    bool                              // it says that it has what it should
	guarded bool                              // the guard cuts setpoints to what it says that it gives
	aims    func(m *made, kw float64) float64 // the defect
	says    func(m *made, s *device.Reading)
	latches func(m *made) bool // of a protection

	acks []device.Ack
	done []Done
}

// past is how long ago something was, in s.
func (m *made) past(t time.Time) float64 { return m.now.Sub(t).Seconds() }

// step is the physics of 50 ms.
func (m *made) step() {
	want := 0.0
	if m.now.Before(m.until) {
		want = m.set
	}
	if !m.cut.IsZero() && m.now.Sub(m.cut) > 3*time.Second {
		m.armed = false // the guard has noticed
	}
	c := compiler{g: &Program{RatedKW: 100}}
	want += c.response(m.hz, 0.05, 2)
	if m.fault == "" && m.trip && m.latches != nil && !m.latches(m) {
		m.trip = false
	}
	if m.stopped || m.trip || !m.connected && m.deaf != "connect" {
		want = 0
	}
	if m.soc >= 100 && want > 0 || m.soc <= 0 && want < 0 {
		want = 0
	}
	rate := m.rate
	if m.stopped || m.trip || !m.connected {
		rate = 250
	}
	due := min(max(want, -m.limit), m.limit)
	if !m.connected {
		due = 0
	}
	m.ideal += min(max(due-m.ideal, -rate*0.05), rate*0.05)
	if m.aims != nil {
		want = m.aims(m, want)
	}
	if m.deaf != "power-limit" {
		want = min(max(want, -m.limit), m.limit)
	}
	if m.deaf == "ramp" {
		rate = 250
	}
	m.kw += min(max(want-m.kw, -rate*0.05), rate*0.05)
	m.soc = min(max(m.soc+m.kw*0.05/3600/200*100, 0), 100)
}

func (m *made) reading() device.Reading {
	s := device.Empty()
	s.At, s.Arrived, s.Quality = m.now.UnixMilli(), m.now.UnixMilli(), device.Good
	kw := m.kw
	if m.lies {
		kw = m.ideal
	}
	s.Power, s.SoC, s.Temperature = kw, m.soc, 25
	s.Voltage = math.Round(10*(800+0.05*kw+m.soc/10)) / 10
	s.Current = 1000 * kw / s.Voltage
	s.MaxCharge, s.MaxDischarge, s.Status = 100, 100, device.Idle
	switch {
	case m.stopped || m.trip:
		s.Status = device.Fault
	case kw > 0.05:
		s.Status = device.Charging
	case kw < -0.05:
		s.Status = device.Discharging
	}
	if m.says != nil {
		m.says(m, &s)
	}
	return s
}

// do is what bench, guard and device make of what a player asks for.
func (m *made) do(a Action) {
	if a.Job != nil {
		j, d := a.Job, Done{ID: a.Job.ID}
		m.changed = m.now
		switch j.Kind {
		case JobCut:
			if d.Unable = j.Name != "device"; d.Unable {
				d.Err = errUnable
			} else {
				m.cut = m.now
			}
		case JobUncut:
			m.cut, m.back = time.Time{}, m.now
		case JobFault:
			m.fault, m.trip = j.Name, true
		case JobEndFault:
			m.fault = ""
		case JobGrid:
			m.hz, m.volts, m.gridAt = j.Value, j.Voltage, m.now
		case JobSetting:
			switch j.Name {
			case "ramp":
				m.rate = j.Value
			case "power-limit":
				m.limit = j.Value
			case "connect":
				m.connected = j.Value != 0
			}
		case JobRestore:
			m.cut, m.fault, m.hz, m.volts, m.rate, m.limit, m.connected = time.Time{}, "", 50, 100, 250, 100, true
		}
		m.done = append(m.done, d)
		return
	}
	c := *a.Command
	ack := c.Answer(device.Done, m.now.Add(m.late).UnixMilli(), "", "")
	ack.Power = c.Power
	switch {
	case !m.cut.IsZero():
		ack.Status, ack.Code = device.Failure, "OFFLINE"
	case c.Verb == device.SetPower && (!m.armed || m.stopped || m.trip):
		ack.Status, ack.Code = device.Rejected, "NOT_ARMED"
	case c.Verb == device.SetPower:
		if c.Power != m.set {
			m.changed = m.now
		}
		if m.guarded && math.Abs(c.Power) > m.limit {
			c.Power = math.Copysign(m.limit, c.Power)
			ack.Power, ack.Reduced, ack.Reason = c.Power, true, "reduced to what the device gives"
		}
		m.set, m.until = c.Power, m.now.Add(time.Duration(c.Duration)*time.Millisecond)
	case c.Verb == device.EStop:
		m.stopped, m.armed, m.set = true, false, 0
	case c.Verb == device.Reset:
		m.stopped, m.trip, m.changed, m.resetAt = false, false, m.now, m.now
	case c.Verb == device.Arm:
		m.armed = true
	default:
		m.set, m.until = 0, m.now
	}
	m.acks = append(m.acks, ack)
}

// played leaves out a test when short: a player and a device that is made are one goroutine. What is done beside it
// is raced by the tests on a wire.
func played(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("one goroutine, for many hours of its time")
	}
}

// accepted is what a procedure that ships comes to on a device.
func (m *made) accepted(t *testing.T, name string, short bool) (report.Verdict, string) {
	t.Helper()
	list := procedures(t)
	p := list[slices.IndexFunc(list, func(p *scenario.Procedure) bool { return p.Name == name })]
	g, err := Compile(p, 100, short, Overrides{Limits: m.bounds})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const period = 50 * time.Millisecond
	every := max(period, p.SampleEvery)
	rec := &Record{
		Test: name, Begin: begin, Period: every, RefPeriod: every, RatedKW: 100, RatedKWh: 200, Usable: 1,
		MaxAge: max(time.Second, 3*every), Apart: apartPercent / 100, VoltStep: 0.1, Kind: "modbus",
	}
	*m = made{
		bounds: m.bounds, late: m.late, deaf: m.deaf, lies: m.lies, lacks: m.lacks, guarded: m.guarded, aims: m.aims, says: m.says, latches: m.latches,
		rate: 250, limit: 100, connected: true, armed: true, hz: 50, volts: 100, soc: 50,
	}
	player := NewPlayer(g, rec, func(what string) bool { return what != m.lacks })
	last := begin
	for m.now = begin; !player.Over(); m.now = m.now.Add(period) {
		if m.now.Sub(begin) > 48*time.Hour {
			t.Fatal("it does not end")
		}
		m.step()
		s := m.reading()
		o := &Observation{Reading: s, Has: true, Done: m.done, Armed: m.armed, Stopped: m.stopped}
		m.done = nil
		m.acks = slices.DeleteFunc(m.acks, func(a device.Ack) bool {
			due := a.At <= m.now.UnixMilli()
			if due {
				o.Acks = append(o.Acks, a)
			}
			return due
		})
		if m.now.Sub(last) >= every-period/2 {
			last = m.now
			if m.cut.IsZero() {
				rec.Samples = append(rec.Samples, s)
			}
			rec.Reference = append(rec.Reference, backend.Truth{At: m.now, PowerKW: m.kw, SoC: m.soc, TempC: 25, DCVolt: s.Voltage, DCAmp: s.Current})
		}
		for _, a := range player.Step(m.now, o) {
			m.do(a)
		}
	}
	rec.End = m.now
	limits := Judge(g.Procedure, rec)
	v, why := Verdict(limits), rec.Aborted
	if rec.Unrest != "" {
		v = report.Failed
	}
	for _, j := range limits {
		if j.Verdict != report.Passed {
			why += "; " + j.Name + " " + string(j.Verdict) + ": " + j.shown() + " " + j.Note
		}
	}
	return v, strings.TrimPrefix(why, "; ")
}

// forTests are those of which good devices and bad ones are made here.
var forTests = []string{"T05", "T06", "T07", "T08", "T09", "T10", "T11", "T13", "T19", "T21", "T22", "T27", "T29", "T30", "T31", "T32"}

// TestGoodDevicePasses: a device without a defect passes in full and in short, quick or slow to
// answer.
func TestGoodDevicePasses(t *testing.T) {
	played(t)
	for _, name := range forTests {
		for _, late := range []time.Duration{0, 700 * time.Millisecond} {
			if late > 0 && name == "T32" { // asks for an answer within 0.5 s
				continue
			}
			for _, short := range []bool{true, false} {
				if v, why := (&made{late: late}).accepted(t, name, short); v != report.Passed {
					t.Errorf("%s, short %t, answers after %v: %s: %s", name, short, late, v, why)
				}
			}
		}
	}
}

// TestAgedBatteryClimbsTheLadder: a sound battery that has not much of its rated energy any more
// fails no test that is not about that, unless its rig says how much it must have.
func TestAgedBatteryClimbsTheLadder(t *testing.T) {
	aged := made{aims: func(m *made, kw float64) float64 {
		if m.soc > 60 && kw > 0 || m.soc < 10 && kw < 0 {
			return 0
		}
		return kw
	}}
	if v, why := aged.accepted(t, "T31", true); v != report.Passed {
		t.Errorf("%s: %s", v, why)
	}
}

// TestDefectsAreFound: what a device may have wrong that the limit of a test does not look at
// first. None of them passes.
func TestDefectsAreFound(t *testing.T) {
	played(t)
	once := func(t time.Time) bool { return !t.IsZero() }
	for _, tt := range []struct {
		test, name string
		of         made
		want       report.Verdict
		why        string
	}{
		{"T05", "it drops out for a second", made{aims: func(m *made, kw float64) float64 {
			if at := m.past(m.changed); at > 5 && at < 6 {
				return 0
			}
			return kw
		}}, report.Failed, "settling_s"},
		{"T05", "it keeps a tenth at rest", made{aims: func(_ *made, kw float64) float64 {
			if kw == 0 {
				return -10
			}
			return kw
		}}, report.Failed, ""},
		{"T06", "it waits at rest before it turns", made{aims: func(m *made, kw float64) float64 {
			if m.past(m.changed) < 3 {
				return 0
			}
			return kw
		}}, report.Failed, "transition_s"},
		{"T06", "it drops out when it has turned", made{aims: func(m *made, kw float64) float64 {
			if m.past(m.changed) > 5.5 {
				return 0
			}
			return kw
		}}, report.Failed, "settled"},
		{"T06", "it charges and does not discharge", made{aims: func(_ *made, kw float64) float64 { return max(kw, 0) }}, report.Failed, "settled"},
		{"T06", "it goes beyond", made{aims: func(m *made, kw float64) float64 {
			if at := m.past(m.changed); at > 0.9 && at < 1.2 {
				return 1.1 * kw
			}
			return kw
		}}, report.Failed, "overshoot_percent"},
		{"T07", "it drops out for half a second at each level", made{aims: func(m *made, kw float64) float64 {
			if at := m.past(m.changed); at > 2 && at < 2.5 || at > 20 && at < 20.5 {
				return 0
			}
			return kw
		}}, report.Failed, "swing_percent"},
		{"T07", "it keeps what it has where it is to have less", made{aims: func(m *made, kw float64) float64 {
			if kw != 0 && kw*m.kw > 0 && math.Abs(kw) < math.Abs(m.kw) {
				return m.kw
			}
			return kw
		}}, report.Failed, "reversals"},
		{"T07", "it stands on the side that it comes from", made{aims: func(m *made, kw float64) float64 {
			if math.Abs(m.kw-kw) <= 0.81 {
				return m.kw
			}
			return kw + math.Copysign(0.8, m.kw-kw)
		}}, report.Failed, "hysteresis_percent"},
		{"T07", "it swings", made{aims: func(m *made, kw float64) float64 { return kw + 8*math.Sin(3*m.past(m.changed)) }}, report.Failed, "swing_percent"},
		{"T08", "it takes the limit and does not keep it", made{deaf: "power-limit"}, report.Failed, "exceeding"},
		{"T08", "it does not keep it, and says that it gives no more", made{deaf: "power-limit", guarded: true, lacks: "grid"}, report.Inconclusive, "the guard had cut"},
		{"T08", "it rests under a limit", made{aims: func(m *made, kw float64) float64 {
			if m.limit < 100 {
				return 0
			}
			return kw
		}}, report.Inconclusive, "at rest"},
		{"T08", "it keeps the limit for 5 s", made{deaf: "power-limit", aims: func(m *made, kw float64) float64 {
			if m.past(m.changed) < 5 {
				return min(max(kw, -m.limit), m.limit)
			}
			return kw
		}}, report.Failed, "exceeding"},
		{"T08", "it keeps the limit at 50 Hz", made{deaf: "power-limit", aims: func(m *made, kw float64) float64 {
			if m.hz == 50 {
				return min(max(kw, -m.limit), m.limit)
			}
			return kw
		}}, report.Failed, "exceeding"},
		{"T09", "it keeps its setpoint", made{aims: func(m *made, kw float64) float64 {
			if !m.cut.IsZero() {
				return m.set
			}
			return kw
		}}, report.Failed, "reversion_s"},
		{"T09", "it reverts to a part of it", made{aims: func(m *made, kw float64) float64 {
			if !m.cut.IsZero() && kw == 0 {
				return m.set / 10
			}
			return kw
		}}, report.Failed, "reversion_s"},
		{"T10", "it takes the disconnect and goes on", made{deaf: "connect"}, report.Failed, "disconnect_s"},
		{"T10", "the same, slow to answer", made{deaf: "connect", late: 700 * time.Millisecond}, report.Failed, "disconnect_s"},
		{"T10", "it connects by itself again", made{deaf: "connect", aims: func(m *made, kw float64) float64 {
			if !m.connected && m.past(m.changed) < 4 {
				return 0
			}
			return kw
		}}, report.Failed, "disconnect_s"},
		{"T10", "it has its power again before it is asked", made{aims: func(m *made, kw float64) float64 {
			if m.connected && m.set == 0 && once(m.changed) && m.past(m.changed) < 2.5 {
				return -50
			}
			return kw
		}}, report.Failed, "early"},
		{"T11", "it takes the ramp and does not keep it", made{deaf: "ramp"}, report.Failed, "excess_percent"},
		{"T11", "it stands at its power and does not go down", made{aims: func(_ *made, kw float64) float64 {
			if kw != 0 {
				return -100
			}
			return kw
		}}, report.Inconclusive, "nothing had to be done"},
		{"T13", "it does not answer to the frequency", made{aims: func(*made, float64) float64 { return 0 }}, report.Failed, "lag_s"},
		{"T13", "it answers by half", made{aims: func(_ *made, kw float64) float64 { return kw / 2 }}, report.Failed, "rise_s"},
		{"T13", "it answers the wrong way", made{aims: func(_ *made, kw float64) float64 { return -kw }}, report.Failed, "rise_s"},
		{"T13", "it keeps its answer for a while when the frequency is back", made{aims: func(m *made, kw float64) float64 {
			if m.hz == 50 && once(m.gridAt) && m.past(m.gridAt) < 4.5 {
				return m.kw
			}
			return kw
		}}, report.Failed, "back"},
		{"T19", "it reaches 95 %", made{aims: func(_ *made, kw float64) float64 { return 0.95 * kw }}, report.Failed, "reached"},
		{"T21", "it arrives 3 % short", made{aims: func(_ *made, kw float64) float64 {
			return kw - math.Copysign(min(3, math.Abs(kw)), kw)
		}}, report.Failed, "reached_percent"},
		{"T22", "it trips for 4 s when the voltage changes", made{aims: func(m *made, kw float64) float64 {
			if once(m.gridAt) && m.past(m.gridAt) < 4 {
				return 0
			}
			return kw
		}}, report.Failed, "trips"},
		{"T22", "the same, as its status says", made{says: func(m *made, s *device.Reading) {
			if once(m.gridAt) && m.past(m.gridAt) < 1 {
				s.Status = device.Fault
			}
		}}, report.Failed, "faults"},
		{"T22", "it has no power at 86 %", made{aims: func(m *made, kw float64) float64 {
			if m.volts < 90 {
				return 0
			}
			return kw
		}}, report.Failed, "trips"},
		{"T27", "its protections do not latch", made{latches: func(m *made) bool { return m.fault != "" }}, report.Failed, "accepted"},
		{"T27", "it does not see a current", made{aims: func(m *made, kw float64) float64 {
			if m.fault == "over-current" {
				return m.set
			}
			return kw
		}}, report.Failed, "protection_s"},
		{"T27", "it starts again with the reset", made{aims: func(m *made, kw float64) float64 {
			if once(m.resetAt) && m.past(m.resetAt) < 1.5 {
				return -20
			}
			return kw
		}}, report.Failed, "restart"},
		{"T29", "it keeps its power", made{aims: func(m *made, kw float64) float64 {
			if !m.cut.IsZero() {
				return m.set
			}
			return kw
		}}, report.Failed, "safe_s"},
		{"T29", "it starts again with its link", made{aims: func(m *made, kw float64) float64 {
			if once(m.back) && m.past(m.back) < 2 {
				return 50
			}
			return kw
		}}, report.Failed, "restart"},
		{"T29", "it starts in the cut", made{aims: func(m *made, kw float64) float64 {
			if !m.cut.IsZero() && m.past(m.cut) > 7 {
				return 10
			}
			return kw
		}}, report.Failed, "idle"},
		{"T30", "it starts again by itself", made{aims: func(m *made, kw float64) float64 {
			if m.stopped && m.past(m.changed) > 5 {
				return 20
			}
			return kw
		}}, report.Failed, "stop_s"},
		{"T30", "it starts again with the reset", made{aims: func(m *made, kw float64) float64 {
			if once(m.resetAt) && m.past(m.resetAt) < 2 {
				return -50
			}
			return kw
		}}, report.Failed, "restart"},
		{"T31", "it derates after 8 s", made{aims: func(m *made, kw float64) float64 {
			if m.past(m.changed) > 6 {
				return 0.8 * kw
			}
			return kw
		}}, report.Failed, "drift_percent"},
		{"T31", "it is full at 60 %", made{bounds: map[string]scenario.Limit{"energy_percent": {Op: ">=", Value: 70}}, aims: func(m *made, kw float64) float64 {
			if m.soc > 60 && kw > 0 {
				return 0
			}
			return kw
		}}, report.Failed, "energy_percent"},
		{"T32", "it does it once", made{aims: func(m *made, kw float64) float64 {
			if m.now.Sub(time.Date(2026, 1, 1, 0, 0, 8, 0, time.UTC)) > 0 {
				return 0
			}
			return kw
		}}, report.Failed, "response_s"},
		{"T32", "it is slow", made{aims: func(m *made, kw float64) float64 {
			if m.past(m.changed) < 3 {
				return 0
			}
			return kw
		}}, report.Failed, "response_s"},
	} {
		for _, short := range []bool{true, false} {
			if !short && tt.test == "T31" { // a day of its time
				continue
			}
			if v, why := tt.of.accepted(t, tt.test, short); v != tt.want || !strings.Contains(why, tt.why) {
				t.Errorf("%s, short %t, %s: %s: %s; want %s: %s", tt.test, short, tt.name, v, why, tt.want, tt.why)
			}
			if tt.of.aims == nil && tt.of.deaf == "" {
				continue
			}
			liar := tt.of // which only the reference finds out
			liar.lies = true
			if v, why := liar.accepted(t, tt.test, short); v == report.Passed {
				t.Errorf("%s, short %t, %s, and says that it does not: passed; %s", tt.test, short, tt.name, why)
			}
		}
	}
}

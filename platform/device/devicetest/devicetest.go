// Package devicetest is what every Driver promises, as a test suite: whoever reads
// and writes a device may rely on it, whatever the device is and however it is
// reached.
//
// A device under test is healthy, in mode run, at rest, far from the ends of its
// state of charge and of its temperature, and follows 10 kW in either direction.
package devicetest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"yunchu/platform/device"
)

// Within is how soon a device has reached any setpoint.
const Within = time.Second

// Open returns a fresh device, and what lets time pass for it: settle waits for d
// and returns the instant that it is then. A device in simulated time is moved on,
// one on a wire is waited for.
type Open func(t *testing.T) (d device.Driver, settle func(d time.Duration) time.Time)

// Run opens a fresh device for each promise.
func Run(t *testing.T, open Open) { run(t, open, 2*time.Minute) }

// RunOnWire is Run for a device whose time is the wall's. It does not wait until the
// state of charge has moved; settle reads the device meanwhile, as the runtime does,
// so that its setpoints are renewed. The promises are tried side by side, each on a device
// of its own.
func RunOnWire(t *testing.T, open Open) { run(t, open, 0) }

func run(t *testing.T, open Open, drift time.Duration) {
	for _, p := range []struct {
		name string
		test func(*subject)
	}{
		{"FollowsSetpoints", followsSetpoints},
		{"ChargesAboveZero", chargesAboveZero},
		{"FallsBackWhenASetpointExpires", fallsBack},
		{"RenewedSetpointGoesOn", goesOn},
		{"ExpiredCommandIsNotTaken", expiredIsNotTaken},
		{"StopsAndReleases", stopsAndReleases},
		{"ModesHoldPowerAtZero", modes},
		{"AnswersWhatItWasAsked", answers},
		{"RefusesWithAnAnswer", refuses},
		{"ReadingsGoOnInTime", readingsGoOn},
		{"FleetAnswersLikeItsMembers", fleetAnswers},
		{"FleetReadsLikeItsMembers", fleetReads},
		{"Closes", closes},
	} {
		t.Run(p.name, func(t *testing.T) {
			if drift == 0 { // most of it is waiting
				t.Parallel()
			}
			s := &subject{t: t, drift: drift}
			s.device, s.settle = open(t)
			s.now = s.settle(0)
			s.test(p.test)
		})
	}
}

// subject is one device under test.
type subject struct {
	t      *testing.T
	device device.Driver
	settle func(time.Duration) time.Time
	drift  time.Duration // how long charge is watched; 0: not
	now    time.Time
	seq    uint64
}

func (s *subject) test(f func(*subject)) {
	f(s)
	if err := s.device.Close(); err != nil {
		s.t.Errorf("Close() = %v", err)
	}
}

func (s *subject) pass(d time.Duration) { s.now = s.settle(d) }

// slot is what commands carry: a driver gives it back as it came.
const slot = 4711

// command is one that holds for as long as given.
func (s *subject) command(verb device.Verb, kw float64, holds time.Duration) device.Command {
	s.seq++
	return device.Command{
		Slot: slot, Seq: s.seq, ID: fmt.Sprintf("test-%d", s.seq), Verb: verb, Priority: device.Normal, Power: kw,
		At: s.now.UnixMilli(), Duration: holds.Milliseconds(), Until: s.now.Add(holds).UnixMilli(), Source: "devicetest",
	}
}

func (s *subject) setPower(kw float64, holds time.Duration) device.Command {
	return s.command(device.SetPower, kw, holds)
}

func (s *subject) setMode(m device.Mode) device.Command {
	c := s.command(device.SetMode, 0, time.Minute)
	c.Mode = m
	return c
}

func (s *subject) write(c device.Command) device.Ack {
	s.t.Helper()
	a, err := s.device.Write(s.t.Context(), s.now, c)
	if err != nil {
		s.t.Fatalf("%v %v kW: %v", c.Verb, c.Power, err)
	}
	return a
}

// do writes what the device must take.
func (s *subject) do(c device.Command) {
	s.t.Helper()
	if a := s.write(c); a.Status != device.Done {
		s.t.Fatalf("%v %v kW: %v %s (%s), want done", c.Verb, c.Power, a.Status, a.Code, a.Reason)
	}
}

func (s *subject) read() device.Reading {
	s.t.Helper()
	r, err := s.device.Read(s.t.Context(), s.now)
	if err != nil {
		s.t.Fatalf("read: %v", err)
	}
	return r
}

func (s *subject) wantPower(when string, kw float64) {
	s.t.Helper()
	if r := s.read(); r.Power != kw {
		s.t.Errorf("%s: %v kW (%v), want %v kW", when, r.Power, r.Status, kw)
	}
}

func followsSetpoints(s *subject) {
	for _, kw := range []float64{10, -10, 4.5, 0, -0.5, 10} {
		s.do(s.setPower(kw, time.Minute))
		s.pass(Within)
		s.wantPower(fmt.Sprintf("%v after setPower %v kW", Within, kw), kw)
	}
}

func chargesAboveZero(s *subject) {
	for _, tt := range []struct {
		kw   float64
		want device.Status
	}{{10, device.Charging}, {-10, device.Discharging}, {0, device.Idle}} {
		s.do(s.setPower(tt.kw, 10*time.Minute))
		s.pass(Within)
		first := s.read()
		s.pass(s.drift)
		last := s.read()
		if last.Power*tt.kw < 0 || last.Current*tt.kw < 0 || tt.kw != 0 && last.Current == 0 {
			s.t.Errorf("at %v kW: reads %v kW, %v A", tt.kw, last.Power, last.Current)
		}
		if rise := last.SoC - first.SoC; rise*tt.kw < 0 || tt.kw != 0 && rise == 0 && s.drift > 0 {
			s.t.Errorf("%v at %v kW: state of charge from %v %% to %v %%", s.drift, tt.kw, first.SoC, last.SoC)
		}
		if last.Status != tt.want {
			s.t.Errorf("at %v kW: status %v, want %v", tt.kw, last.Status, tt.want)
		}
	}
}

// A device follows its last setpoint to its end and then goes to 0 by itself:
// losing its controller stops it.
func fallsBack(s *subject) {
	s.do(s.setPower(10, 5*time.Second))
	s.pass(4 * time.Second)
	s.wantPower("before the setpoint expires", 10)
	s.pass(time.Second + Within)
	s.wantPower("after the setpoint has expired", 0)
}

func goesOn(s *subject) {
	for range 3 {
		s.do(s.setPower(-10, 5*time.Second))
		s.pass(4 * time.Second)
		s.wantPower("with a setpoint that is renewed", -10)
	}
}

func expiredIsNotTaken(s *subject) {
	c := s.setPower(10, time.Second)
	s.pass(2 * time.Second)
	if a := s.write(c); a.Status != device.Expired && a.Status != device.Rejected || a.Code == "" {
		s.t.Errorf("a setpoint that had expired when it came: %v (code %q), want expired", a.Status, a.Code)
	}
	s.pass(Within)
	s.wantPower("after a setpoint that had expired when it came", 0)
}

func stopsAndReleases(s *subject) {
	for _, verb := range []device.Verb{device.Stop, device.Release} {
		s.do(s.setPower(10, time.Minute))
		s.pass(Within)
		c := s.command(verb, 0, time.Minute)
		if verb == device.Release {
			c.Until = 0 // holds nothing
		}
		s.do(c)
		s.pass(Within)
		s.wantPower("after "+verb.String(), 0)
		s.pass(time.Second)
		s.wantPower("later after "+verb.String(), 0)
	}
}

func modes(s *subject) {
	for _, tt := range []struct {
		mode device.Mode
		want device.Status
	}{{device.StandbyMode, device.Standby}, {device.MaintenanceMode, device.Maintenance}} {
		s.do(s.setPower(10, time.Minute))
		s.pass(Within)
		s.do(s.setMode(tt.mode))
		s.pass(Within)
		s.wantPower("in mode "+tt.mode.String(), 0)
		if r := s.read(); r.Status != tt.want {
			s.t.Errorf("in mode %v: status %v, want %v", tt.mode, r.Status, tt.want)
		}
		if a := s.write(s.setPower(10, time.Minute)); a.Status != device.Rejected || a.Code == "" {
			s.t.Errorf("setPower in mode %v: %v (code %q), want rejected", tt.mode, a.Status, a.Code)
		}
		s.pass(Within)
		s.wantPower("after setPower in mode "+tt.mode.String(), 0)
		s.do(s.setMode(device.Run))
		s.pass(Within)
		s.wantPower("back in mode run: what was told before is gone:", 0)
		s.do(s.setPower(-10, time.Minute))
		s.pass(Within)
		s.wantPower("back in mode run", -10)
	}
}

// wantAnswer checks what every acknowledgement of c given at now must say.
func wantAnswer(t *testing.T, now time.Time, c *device.Command, a *device.Ack) {
	t.Helper()
	if a.Slot != c.Slot || a.Seq != c.Seq || a.ID != c.ID || a.Verb != c.Verb || a.Issued != c.At || a.Source != c.Source {
		t.Errorf("asked %+v, answered %+v", *c, *a)
	}
	if a.At < now.UnixMilli() {
		t.Errorf("answered %d ms before it was asked", now.UnixMilli()-a.At)
	}
	if a.Status == 0 || a.Status > device.Failure || (a.Code == "") != (a.Status == device.Done) {
		t.Errorf("answered with status %d, code %q", a.Status, a.Code)
	}
	if a.Status == device.Done && a.Until != c.Until {
		t.Errorf("the setpoint holds until %d, asked %d", a.Until, c.Until)
	}
}

// mixture is commands of all kinds, some of which no device takes.
func (s *subject) mixture() []device.Command {
	unknown := s.command(device.Verb(99), 0, time.Minute)
	return []device.Command{
		s.setPower(10, time.Minute), s.setPower(math.NaN(), time.Minute), unknown, s.setPower(-10, time.Minute),
		s.command(device.Stop, 0, time.Minute), s.setMode(device.StandbyMode), s.setPower(10, time.Minute),
		s.setMode(device.Run), s.setPower(10, -time.Minute), s.setPower(5, time.Minute), s.setPower(5, time.Minute),
	}
}

func answers(s *subject) {
	for _, c := range s.mixture() {
		a := s.write(c)
		wantAnswer(s.t, s.now, &c, &a)
	}
	s.pass(Within)
	s.wantPower("after all of them", 5)
}

// A refusal is an answer; an error would mean that nobody knows.
func refuses(s *subject) {
	refused := func(c device.Command) {
		if a := s.write(c); a.Status != device.Rejected || a.Code == "" || a.Reason == "" {
			s.t.Errorf("verb %d, mode %d, %v kW: %v, code %q, reason %q, want it rejected with both", c.Verb, c.Mode, c.Power, a.Status, a.Code, a.Reason)
		}
	}
	for _, kw := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		refused(s.setPower(kw, time.Minute))
	}
	s.pass(Within)
	s.wantPower("after powers that are none", 0)
	s.do(s.setMode(device.MaintenanceMode))
	refused(s.command(0, 0, time.Minute))
	refused(s.command(99, 0, time.Minute))
	refused(s.setMode(99))
	s.pass(Within)
	if r := s.read(); r.Status != device.Maintenance {
		s.t.Errorf("after what was refused: %v, want it in maintenance as before", r.Status)
	}
}

func readingsGoOn(s *subject) {
	s.do(s.setPower(10, time.Minute))
	last := s.read()
	for range 10 {
		s.pass(Within)
		r := s.read()
		if r.At <= last.At || r.At > s.now.UnixMilli() {
			s.t.Errorf("at %d ms a reading was measured at %d ms, the one before at %d ms", s.now.UnixMilli(), r.At, last.At)
		}
		if r.Arrived < r.At {
			s.t.Errorf("a reading arrived %d ms before it was measured", r.At-r.Arrived)
		}
		for _, v := range []struct {
			name   string
			v      float64
			lo, hi float64
		}{
			{"soc", r.SoC, 0, 100},
			{"soh", r.SoH, 0, 120},
			{"voltage", r.Voltage, 0, 3000},
			{"temperature", r.Temperature, -60, 150},
			{"max charge", r.MaxCharge, 0, math.MaxFloat64},
			{"max discharge", r.MaxDischarge, 0, math.MaxFloat64},
		} {
			if v.v < v.lo || v.v > v.hi {
				s.t.Errorf("%s %v is not within %v..%v", v.name, v.v, v.lo, v.hi)
			}
		}
		last = r
	}
}

// member is the device's place in its fleet; the test is passed over without one.
func (s *subject) member() (f device.Fleet, index int) {
	m, ok := s.device.(device.Member)
	if !ok {
		s.t.Skip("the device is not read with a fleet")
	}
	f, index = m.Fleet()
	if index < 0 || index >= f.Size() {
		s.t.Fatalf("member %d of a fleet of %d", index, f.Size())
	}
	return f, index
}

// All commands at once get the answers that they get one by one, in their order.
func fleetAnswers(s *subject) {
	f, index := s.member()
	list := s.mixture()
	single := make([]device.Ack, len(list))
	for i, c := range list {
		single[i] = s.write(c)
	}
	s.do(s.setPower(0, time.Minute))
	s.pass(Within)
	for i := range list { // again, for now
		c := &list[i]
		moved := s.now.UnixMilli() - c.At
		c.Slot, c.At, c.Until = device.Slot(index), c.At+moved, c.Until+moved
	}
	first := device.Ack{Code: "BEFORE"}
	acks, err := f.WriteAll(s.t.Context(), s.now, list, []device.Ack{first})
	if err != nil || len(acks) != len(list)+1 || acks[0] != first {
		s.t.Fatalf("%d commands: %d answers after what was there, %v", len(list), len(acks)-1, err)
	}
	for i := range list {
		a := acks[i+1]
		wantAnswer(s.t, s.now, &list[i], &a)
		if a.Status != single[i].Status || a.Code != single[i].Code {
			s.t.Errorf("command %d (%v): %v %q among others, %v %q alone", i, list[i].Verb, a.Status, a.Code, single[i].Status, single[i].Code)
		}
	}
	s.pass(Within)
	s.wantPower("after all of them", 5)

	none, err := f.WriteAll(s.t.Context(), s.now, nil, nil)
	if err != nil || len(none) != 0 {
		s.t.Errorf("no command: %d answers, %v", len(none), err)
	}
	c := s.setPower(1, time.Minute)
	c.Slot = device.Slot(f.Size())
	if acks, err := f.WriteAll(s.t.Context(), s.now, []device.Command{c}, nil); err != nil || len(acks) != 1 || acks[0].Status != device.Rejected {
		s.t.Errorf("a command for nobody: %+v, %v, want it rejected", acks, err)
	}
}

func fleetReads(s *subject) {
	f, index := s.member()
	s.do(s.setPower(10, time.Minute))
	s.pass(Within)
	first := device.Empty()
	first.Slot = 99
	var rows device.Readings
	rows.Append(&first)
	if err := f.ReadAll(s.t.Context(), s.now, &rows); err != nil {
		s.t.Fatal(err)
	}
	if rows.Rows() != f.Size()+1 || rows.Slot[0] != 99 {
		s.t.Fatalf("a fleet of %d: %d rows after what was there", f.Size(), rows.Rows()-1)
	}
	want := s.read()
	for i := 1; i < rows.Rows(); i++ {
		var r device.Reading
		if rows.Row(i, &r); r.Slot != device.Slot(i-1) {
			s.t.Errorf("row %d is of device %d", i-1, r.Slot)
		}
		if int(r.Slot) == index && (!r.SameValues(&want) || r.At != want.At) {
			s.t.Errorf("with its fleet: %+v\nalone: %+v", r, want)
		}
	}
}

func closes(s *subject) { s.do(s.setPower(10, time.Minute)) }

package modbus_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/platform/device"
)

// direct is a Conn to registers in memory, which notes what is asked of it.
type direct struct {
	emul.Memory
	asked  []string
	refuse map[string]error // by what is asked
	cut    uint16           // more is not taken, and nothing said; 0: all
	deaf   map[uint16]bool  // addresses at which nothing is taken, and nothing said
}

func newDirect() *direct {
	return &direct{
		Memory: emul.Memory{Holding: make([]uint16, 100), Input: make([]uint16, 100), Coils: make([]bool, 10), Discrete: make([]bool, 10)},
		refuse: map[string]error{},
	}
}

func (d *direct) note(format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	d.asked = append(d.asked, what)
	return d.refuse[what]
}

func (d *direct) Read(_ context.Context, t modbus.Table, addr, n uint16) ([]uint16, error) {
	if err := d.note("read %v %d+%d", t, addr, n); err != nil {
		return nil, err
	}
	return d.Memory.Read(t, addr, n)
}

func (d *direct) Write(_ context.Context, addr uint16, values []uint16) error {
	if err := d.note("write %d %v", addr, values); err != nil {
		return err
	}
	if d.deaf[addr] {
		return nil
	}
	if d.cut > 0 {
		values = []uint16{min(values[0], d.cut)}
	}
	return d.Memory.Write(addr, values)
}

func (d *direct) WriteOne(_ context.Context, addr, value uint16) error {
	if err := d.note("write one %d %v", addr, value); err != nil {
		return err
	}
	return d.Memory.Write(addr, []uint16{value})
}

func (d *direct) WriteCoil(_ context.Context, addr uint16, on bool) error {
	if err := d.note("coil %d %v", addr, on); err != nil {
		return err
	}
	return d.WriteCoils(addr, []bool{on})
}

func (d *direct) Close() error { return nil }

// writes are the requests that wrote since the last call.
func (d *direct) writes() (list []string) {
	for _, a := range d.asked {
		if a[0] != 'r' {
			list = append(list, a)
		}
	}
	d.asked = nil
	return list
}

// driver is one of a profile that is given as text, and the time of its reader.
type driver struct {
	*modbus.Driver
	*direct
	t   *testing.T
	now time.Time
}

// profileFile is the path of a profile that is given as text, behind its head.
func profileFile(t *testing.T, points string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte("apiVersion: yunchu/v1\nkind: Profile\nname: mine\n"+points), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newDriver(t *testing.T, points string) *driver {
	t.Helper()
	d := newDirect()
	m, err := modbus.New(modbus.Options{Conn: d, Profile: profileFile(t, points)})
	if err != nil {
		t.Fatal(err)
	}
	return &driver{m, d, t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (d *driver) read() device.Reading {
	d.t.Helper()
	r, err := d.Driver.Read(d.t.Context(), d.now)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func (d *driver) write(v device.Verb, kw float64, holds time.Duration) device.Ack {
	d.t.Helper()
	c := device.Command{Verb: v, Power: kw, At: d.now.UnixMilli(), Until: d.now.Add(holds).UnixMilli()}
	a, err := d.Driver.Write(d.t.Context(), d.now, c)
	if err != nil {
		d.t.Fatal(err)
	}
	return a
}

func TestProfileThatHasNothing(t *testing.T) {
	d := newDriver(t, "points:\n  soc: {address: 0}\n")
	r := d.read()
	if r.SoC != 0 || !math.IsNaN(r.Power) || !math.IsNaN(r.Voltage) || !math.IsNaN(r.Current) || !math.IsNaN(r.Temperature) ||
		!math.IsNaN(r.MaxCharge) || !math.IsNaN(r.MaxDischarge) || r.Status != device.Idle || r.Flags != 0 {
		t.Errorf("%+v", r)
	}
	for _, v := range []device.Verb{device.SetPower, device.Stop, device.Release, device.SetMode, device.EStop, device.Reset, device.Arm, device.Disarm} {
		if a := d.write(v, 1, time.Minute); a.Status != device.Rejected || a.Code != "UNSUPPORTED" {
			t.Errorf("%v: %v %s", v, a.Status, a.Code)
		}
	}
	if got := d.writes(); got != nil {
		t.Errorf("wrote %v", got)
	}
}

// All ones in a field of bits are all of its bits, and what a condition has no word for is
// not taken for the good one.
func TestAlarmsOfAllOnes(t *testing.T) {
	d := newDriver(t, `points:
  power: {address: 0, type: int16}
  voltage: {address: 1}
  alarms: {address: 2, type: uint32}
  max_charge_kw: {address: 4}
  max_discharge_kw: {address: 5}
  charge_forbidden: {address: 6, values: {active: 0xAA, inactive: [0, 1]}}
  discharge_forbidden: {address: 7, values: {active: 0xAA}}
  e_stop: {address: 8, bit: 3}
`)
	for _, tt := range []struct {
		regs              []uint16
		status            device.Status
		flags             device.Flags
		charge, discharge float64
	}{
		{[]uint16{0, 700, 0, 0, 50, 60, 1, 0, 0}, device.Idle, 0, 50, 60},
		{[]uint16{0, 700, 0xFFFF, 0xFFFF, 50, 60, 0, 0, 0}, device.Fault, 0, 50, 60},
		{[]uint16{0, 700, 0, 0, 50, 60, 0xFFFF, 0xFFFF, 0}, device.Idle, 0, 0, 60}, // of discharge, all but one value permit
		{[]uint16{0, 700, 0, 0, 50, 60, 0xAA, 0xAA, 0}, device.Idle, 0, 0, 0},
		{[]uint16{0, 700, 0, 0, 50, 60, 0, 0, 0xFFFF}, device.Fault, device.FlagEStop, 50, 60},
	} {
		copy(d.Holding, tt.regs)
		if r := d.read(); r.Status != tt.status || r.Flags != tt.flags || r.MaxCharge != tt.charge || r.MaxDischarge != tt.discharge {
			t.Errorf("%x: %v, flags %v, at most %v and %v kW, want %+v", tt.regs, r.Status, r.Flags, r.MaxCharge, r.MaxDischarge, tt)
		}
	}
}

func TestStatusWithoutAWord(t *testing.T) {
	d := newDriver(t, "points:\n  power: {address: 0, type: int16, scale: 0.01}\n  alarms: {address: 1, mask: 0x0F}\n  e_stop: {address: 2}\n")
	for _, tt := range []struct {
		regs []uint16
		want device.Status
	}{
		{[]uint16{100, 0, 0}, device.Charging},
		{[]uint16{0xFF00, 0, 0}, device.Discharging},
		{[]uint16{4, 0, 0}, device.Idle},
		{[]uint16{0xFFFC, 0xF0, 0}, device.Idle},
		{[]uint16{0, 2, 0}, device.Fault},
		{[]uint16{0, 0, 1}, device.Fault},
	} {
		copy(d.Holding, tt.regs)
		if r := d.read(); r.Status != tt.want {
			t.Errorf("% x is %v, want %v", tt.regs, r.Status, tt.want)
		}
	}
}

// A device that was put to rest, by whomever, is told by its mode where its status says
// nothing of that: arming has to start it.
func TestRestShowsInTheMode(t *testing.T) {
	d := newDriver(t, "watched: true\npoints:\n  status: {address: 0, values: {idle: 1, fault: 2}}\n  setpoint: {address: 1}\n  mode: {address: 2, values: {run: 0, standby: 7}}\n")
	for _, tt := range []struct {
		regs []uint16
		want device.Status
	}{
		{[]uint16{1, 0, 7}, device.Standby},
		{[]uint16{1, 0, 0}, device.Idle},
		{[]uint16{2, 0, 7}, device.Fault},
	} {
		copy(d.Holding, tt.regs)
		if r := d.read(); r.Status != tt.want {
			t.Errorf("%v is %v, want %v", tt.regs, r.Status, tt.want)
		}
	}
}

func TestStatusThatTheProfileDoesNotKnow(t *testing.T) {
	d := newDriver(t, "points:\n  status: {address: 0, values: {idle: 1}}\n")
	d.Holding[0] = 17
	if r := d.read(); r.Status != device.OtherStatus || r.Word != "17" || r.StatusWord() != "17" {
		t.Errorf("status %v, word %q", r.Status, r.Word)
	}
}

func TestLimits(t *testing.T) {
	d := newDriver(t, `points:
  voltage: {address: 0}
  charge_limit_a: {address: 1, type: int16}
  discharge_limit_a: {address: 2, not_implemented: 0xFFFF}
  max_charge_kw: {address: 3, type: int16}
  charge_forbidden: {address: 4, values: {active: 0xAA}}
`)
	nan := math.NaN()
	for _, tt := range []struct {
		regs              []uint16
		charge, discharge float64
	}{
		{[]uint16{800, 100, 50, 100, 0}, 80, 40},
		{[]uint16{800, 100, 50, 70, 0}, 70, 40},
		{[]uint16{800, 0, 0xFFFF, 70, 0}, 0, nan},
		{[]uint16{800, 0xFFF0, 50, 70, 0}, 0, 40}, // below zero permits nothing
		{[]uint16{800, 100, 50, 100, 0xAA}, 0, 40},
		{[]uint16{800, 100, 50, 100, 1}, 80, 40},
	} {
		copy(d.Holding, tt.regs)
		r := d.read()
		if r.MaxCharge != tt.charge || r.MaxDischarge != tt.discharge && !(math.IsNaN(tt.discharge) && math.IsNaN(r.MaxDischarge)) {
			t.Errorf("%v: charge %v kW, discharge %v kW, want %v and %v", tt.regs, r.MaxCharge, r.MaxDischarge, tt.charge, tt.discharge)
		}
	}
}

// What a device tells of its own windows goes with the reading, and its voltage bounds what it
// takes and gives at once.
func TestOwnWindows(t *testing.T) {
	d := newDriver(t, `points:
  soc: {address: 0}
  soc_min: {address: 1, not_implemented: 0xFFFF}
  voltage: {address: 2}
  voltage_max: {address: 3, scale: 0.1, not_implemented: 0xFFFF}
  temperature: {address: 4, type: int16}
  temperature_min: {address: 5, type: int16, unit: K, not_implemented: 0x8000}
  max_charge_kw: {address: 6}
`)
	copy(d.Holding, []uint16{50, 7, 800, 8200, 25, 263, 100})
	r := d.read()
	if o := r.Own; o == nil || o.SoC[0] != 7 || !math.IsNaN(o.SoC[1]) || o.Voltage[1] != 820 || !math.IsNaN(o.Voltage[0]) || math.Abs(o.Temperature[0]+10.15) > 1e-9 {
		t.Errorf("own windows %+v", o)
	}
	if r.MaxCharge != 100 {
		t.Errorf("takes %v kW", r.MaxCharge)
	}
	d.Holding[2] = 820
	if r := d.read(); r.MaxCharge != 0 {
		t.Errorf("takes %v kW at its own voltage_max", r.MaxCharge)
	}
	copy(d.Holding, []uint16{50, 0xFFFF, 800, 0xFFFF, 25, 0x8000, 100})
	if r := d.read(); r.Own != nil {
		t.Errorf("own windows %+v of registers that are not implemented", r.Own)
	}
}

// A value that cannot be is passed on, and said to be one.
func TestRangeIsFlagged(t *testing.T) {
	d := newDriver(t, "points:\n  soc: {address: 0, valid: {min: 0, max: 100}}\n")
	d.Holding[0] = 65535
	if r := d.read(); r.SoC != 65535 || r.Flags != device.FlagRange || r.Beyond != device.PointSoC {
		t.Errorf("%v %%, flags %v, beyond %b", r.SoC, r.Flags, r.Beyond)
	}
}

const controlled = `points:
  power: {address: 0, type: int16}
  revert_s: {address: 10}
  setpoint: {address: 11, type: int16, positive: discharge}
  setpoint_enable: {address: 12}
  controller_heartbeat: {address: 13}
`

func TestOrderOfWrites(t *testing.T) {
	d := newDriver(t, controlled)
	if a := d.write(device.SetPower, 20, time.Minute); a.Status != device.Done || a.Power != 20 {
		t.Fatalf("%+v", a)
	}
	if got := d.writes(); !slices.Equal(got, []string{"write 13 [1]", "write 10 [6]", "write 11 [65516]", "write 12 [1]"}) {
		t.Errorf("a setpoint: %v", got)
	}
	d.read()
	if got := d.writes(); got != nil {
		t.Errorf("at once: %v", got)
	}
	d.now = d.now.Add(time.Second)
	d.read()
	if got := d.writes(); !slices.Equal(got, []string{"write 13 [2]"}) {
		t.Errorf("after 1 s: %v", got)
	}
	d.now = d.now.Add(time.Second)
	d.read()
	if got := d.writes(); !slices.Equal(got, []string{"write 10 [6]", "write 11 [65516]", "write 12 [1]", "write 13 [3]"}) {
		t.Errorf("after 2 s: %v", got)
	}
	d.now = d.now.Add(57 * time.Second)
	d.read()
	if got := d.writes(); !slices.Equal(got, []string{"write 10 [1]", "write 11 [65516]", "write 12 [1]", "write 13 [4]"}) {
		t.Errorf("1 s before its end: %v", got)
	}
	d.now = d.now.Add(time.Second)
	d.read()
	if got := d.writes(); !slices.Equal(got, []string{"write 11 [0]", "write 13 [5]"}) {
		t.Errorf("at its end: %v", got)
	}
}

func TestSingleWrites(t *testing.T) {
	d := newDriver(t, "watched: true\nrequests: {write: single}\npoints:\n  setpoint: {address: 11, type: int16}\n  setpoint_enable: {table: coil, address: 3}\n")
	if a := d.write(device.SetPower, 20, time.Minute); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	if got := d.writes(); !slices.Equal(got, []string{"write one 11 20", "coil 3 true"}) {
		t.Errorf("%v", got)
	}
}

// A setpoint that the device does not hold as it was told is not done, and taken back.
func TestReadBack(t *testing.T) {
	d := newDriver(t, "watched: true\npoints:\n  setpoint: {address: 11, type: int16, scale: 0.1}\n")
	d.cut = 300
	if a := d.write(device.SetPower, 29.96, time.Minute); a.Status != device.Done || a.Power != 29.9 {
		t.Errorf("within its resolution: %+v", a)
	}
	d.writes()
	if a := d.write(device.SetPower, 50, time.Minute); a.Status != device.Failure || a.Code != "READ_BACK" {
		t.Errorf("a device that holds 30 kW of 50: %+v", a)
	}
	if got := d.writes(); !slices.Equal(got, []string{"write 11 [500]", "write 11 [0]"}) {
		t.Errorf("wrote %v", got)
	}
	d.now = d.now.Add(5 * time.Second)
	d.read()
	if got := d.writes(); got != nil {
		t.Errorf("afterwards: %v", got)
	}
}

// TestReadBackSaysWhoseItIs: a device that still holds what it held does not take what it is
// told; one that holds a third power has cut it, or has been told that by somebody else.
func TestReadBackSaysWhoseItIs(t *testing.T) {
	for name, tt := range map[string]struct {
		deaf map[uint16]bool
		cut  uint16
		want string
	}{
		"deaf": {map[uint16]bool{11: true}, 0, "the device was told 50 kW and holds 20 kW as before: it does not take it"},
		"cut":  {nil, 30, "the device was told 50 kW and holds 30 kW, which is not the 20 kW of before either: it has cut it, or a second master has written since"},
	} {
		d := newDriver(t, "watched: true\npoints:\n  setpoint: {address: 11, type: int16}\n")
		d.Holding[11], d.deaf, d.cut = 20, tt.deaf, tt.cut
		if a := d.write(device.SetPower, 50, time.Minute); a.Status != device.Failure || a.Code != "READ_BACK" || a.Reason != tt.want {
			t.Errorf("%s: %v %s: %s", name, a.Status, a.Code, a.Reason)
		}
	}
}

// TestDeadManIsReadBack: a device that does not hold the time to revert would go on without us.
func TestDeadManIsReadBack(t *testing.T) {
	for name, tt := range map[string]struct {
		holds uint16
		kw    float64
		want  device.AckStatus
	}{
		"switched off": {holds: 0, kw: 50, want: device.Failure},
		"longer":       {holds: 60, kw: 50, want: device.Failure},
		"shorter":      {holds: 3, kw: 50, want: device.Done},
		"no power":     {holds: 0, kw: 0, want: device.Done},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDriver(t, "points:\n  revert_s: {address: 10}\n  setpoint: {address: 11, type: int16}\n")
			d.Holding[10], d.deaf = tt.holds, map[uint16]bool{10: true}
			a := d.write(device.SetPower, tt.kw, time.Minute)
			if a.Status != tt.want || tt.want == device.Failure && (a.Code != "READ_BACK" || d.Holding[11] != 0) {
				t.Errorf("%+v, and the device holds %d kW", a, d.Holding[11])
			}
		})
	}
}

// TestTimeToRevertHasRoom: a range that forbids the dead-man that is configured, or any at
// all, is told before anything is written.
func TestTimeToRevertHasRoom(t *testing.T) {
	for revert, want := range map[string]string{
		"range: {min: 10, max: 600}":                       "points.revert_s.range: begins at 10 s, which is above the dead-man time of 6s",
		"range: {min: 0, max: 0}":                          "points.revert_s.range: ends at 0 s, so that no setpoint would ever be taken back",
		"range: {min: -5, max: 0}":                         "points.revert_s.range: ends at 0 s",
		"type: float32, range: {min: -5, max: -1}":         "points.revert_s.range: ends at -1 s",
		"unit: ms, range: {min: 10000, max: 60000}":        "begins at 10 s",
		"range: {min: 0, max: 0.4}":                        "ends at 0.4 s",
		"range: {min: 6, max: 600}":                        "",
		"range: {min: 0, max: 3}":                          "",
		"range: {min: 10, max: 600}, access: read":         "belongs to a value that is written",
		"table: input, access: read":                       "",
		"unit: ms, range: {min: 100, max: 400}":            "",
		"type: float32, range: {min: 0, max: 0.5}":         "",
		"scale: 0.1, range: {min: 0, max: 0.4, step: 0.1}": "",
	} {
		path := profileFile(t, "watched: true\npoints:\n  setpoint: {address: 20, type: int16}\n  revert_s: {address: 10, "+revert+"}\n")
		_, err := modbus.New(modbus.Options{Conn: newDirect(), Profile: path})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", revert, err, want)
		}
	}
	path := profileFile(t, "points:\n  setpoint: {address: 11}\n  revert_s: {address: 10, range: {min: 10, max: 600}}\n")
	if _, err := modbus.New(modbus.Options{Conn: newDirect(), Profile: path, DeadMan: 10 * time.Second}); err != nil {
		t.Errorf("a dead-man as long as the device wants it: %v", err)
	}
}

// TestEmergencyStopIsReadBack: a device that answers and goes on has not stopped.
func TestEmergencyStopIsReadBack(t *testing.T) {
	d := newDriver(t, "points:\n  revert_s: {address: 10}\n  setpoint: {address: 11, type: int16}\n")
	if a := d.write(device.SetPower, 50, time.Minute); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	d.deaf = map[uint16]bool{11: true}
	if a := d.write(device.EStop, 0, 0); a.Status != device.Failure || a.Code != "READ_BACK" {
		t.Errorf("%+v, and the device holds %d kW", a, d.Holding[11])
	}
	d.deaf = nil
	d.read() // which tells it again
	if d.Holding[11] != 0 {
		t.Errorf("%d kW", d.Holding[11])
	}
}

// TestSecondMasterInTheSameCycle: somebody who writes just before we do is seen before his
// setpoint is overwritten.
func TestSecondMasterInTheSameCycle(t *testing.T) {
	d := newDriver(t, "watched: true\npoints:\n  setpoint: {address: 11, type: int16, scale: 0.1}\n")
	if a := d.write(device.SetPower, 10, time.Minute); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	if err := d.Memory.Write(11, []uint16{250}); err != nil {
		t.Fatal(err)
	}
	d.writes()
	d.now = d.now.Add(time.Second)
	if a := d.write(device.SetPower, 20, time.Minute); a.Status != device.Rejected || d.writes() != nil {
		t.Errorf("%+v, and it was overwritten", a)
	}
	if got := d.read().Flags; got&device.FlagMaster == 0 {
		t.Errorf("flags %v", got)
	}
	d.now = d.now.Add(10 * time.Second)
	if a := d.write(device.SetPower, 20, time.Minute); a.Status != device.Done { // whoever armed it since means it
		t.Errorf("%+v", a)
	}
}

func TestRefusals(t *testing.T) {
	d := newDriver(t, controlled+"  local: {address: 20}\n  e_stop: {address: 21}\n  mode: {address: 22, values: {run: 0, standby: 1}}\n")
	for _, tt := range []struct {
		name   string
		set    func()
		kw     float64
		code   string
		writes int // before it is refused, and to take it back
	}{
		{"local control", func() { d.Holding[20] = 1 }, 10, "LOCAL", 0},
		{"emergency stop", func() { d.Holding[21] = 1 }, 10, "DEVICE_FAULT", 0},
		{"in standby by itself", func() { d.Holding[22] = 1 }, 10, "DEVICE_FAULT", 0},
		{"does not fit", func() {}, 40000, "REJECTED", 0},
		{"exception", func() { d.refuse["write 11 [65526]"] = modbus.IllegalValue }, 10, "REJECTED", 4},
	} {
		clear(d.Holding)
		clear(d.refuse)
		tt.set()
		d.writes()
		if a := d.write(device.SetPower, tt.kw, time.Minute); a.Status != device.Rejected || a.Code != tt.code || a.Reason == "" {
			t.Errorf("%s: %+v", tt.name, a)
		}
		if got := d.writes(); len(got) != tt.writes {
			t.Errorf("%s: wrote %v", tt.name, got)
		}
	}
	clear(d.Holding)
	clear(d.refuse)
	d.refuse["write 12 [1]"] = modbus.DeviceFailure // the enable that is refused takes the setpoint with it
	d.writes()
	if a := d.write(device.SetPower, 10, time.Minute); a.Status != device.Rejected {
		t.Errorf("%+v", a)
	}
	if got := d.writes(); !slices.Equal(got, []string{"write 10 [6]", "write 11 [65526]", "write 12 [1]", "write 11 [0]"}) {
		t.Errorf("wrote %v", got)
	}

	d.refuse["write 11 [65526]"] = fmt.Errorf("%w: gone", device.ErrOffline)
	c := device.Command{Verb: device.SetPower, Power: 10, Until: d.now.Add(time.Minute).UnixMilli()}
	if a, err := d.Driver.Write(t.Context(), d.now, c); !errors.Is(err, device.ErrOffline) {
		t.Errorf("nobody knows: %+v, %v", a, err)
	}
}

// An emergency stop goes through all of its steps, whatever one of them says.
func TestEStopGoesOn(t *testing.T) {
	d := newDriver(t, controlled+"  operate: {address: 23, values: {stop: 2, start: 1}}\n  connect: {table: coil, address: 1}\n")
	d.refuse["write 11 [0]"] = modbus.DeviceFailure
	if a := d.write(device.EStop, 0, time.Minute); a.Status != device.Rejected {
		t.Errorf("%+v", a)
	}
	if got := d.writes(); !slices.Equal(got, []string{"write 11 [0]", "write 23 [2]", "coil 1 false"}) {
		t.Errorf("wrote %v", got)
	}
	if a := d.write(device.SetPower, 1, time.Minute); a.Status != device.Rejected {
		t.Errorf("a setpoint after it: %+v", a)
	}
	clear(d.refuse)
	d.writes()
	if a := d.write(device.Reset, 0, time.Minute); a.Status != device.Done {
		t.Errorf("reset: %+v", a)
	}
	if got := d.writes(); !slices.Equal(got, []string{"write 11 [0]", "coil 1 true", "write 23 [1]"}) {
		t.Errorf("wrote %v", got)
	}
}

func TestOwnSettings(t *testing.T) {
	d := newDriver(t, "points:\n  soc: {address: 0}\nsettings:\n  fan_start_c: {address: 30, unit: degC, scale: 0.1, range: {min: 20, max: 50}}\n  runtime_h: {table: input, address: 4, type: uint32, unit: h}\n")
	d.Input[5] = 4711
	list, err := d.Settings(t.Context())
	want := []device.Setting{
		{Name: "fan_start_c", Unit: "degC", Min: 20, Max: 50, Step: 0.1},
		{Name: "runtime_h", Unit: "h", Step: 1, ReadOnly: true},
	}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("%+v, %v", list, err)
	}
	if v, err := d.Adjust(t.Context(), "fan_start_c", 33.3); err != nil || v != 33.3 || d.Holding[30] != 333 {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := d.Setting(t.Context(), "runtime_h"); err != nil || v != 4711 {
		t.Errorf("%v, %v", v, err)
	}
	for name, want := range map[string]error{"fan_start_c": device.ErrRejected, "runtime_h": device.ErrRejected, "soc": device.ErrUnsupported, "none": device.ErrUnsupported} {
		if _, err := d.Adjust(t.Context(), name, 99); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	d.refuse["write 30 [400]"] = modbus.DeviceBusy
	if _, err := d.Adjust(t.Context(), "fan_start_c", 40); !errors.Is(err, device.ErrRejected) {
		t.Errorf("refused: %v", err)
	}
}

func TestOneReadForADevice(t *testing.T) {
	m := newDirect()
	d, err := modbus.New(modbus.Options{Conn: m, Profile: "pcs-generic"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(t.Context(), time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"read holding 1+5", "read input 0+33", "read discrete 0+4"}; !slices.Equal(m.asked, want) {
		t.Errorf("asked %v, want %v", m.asked, want)
	}
}

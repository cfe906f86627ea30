package emul_test

import (
	"cmp"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/hil/unit"
	"yunchu/platform/device"
	"yunchu/platform/device/devicetest"
	"yunchu/twin/params"
)

// clock is the time of a served unit, which a test moves on.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *clock) now() time.Time       { return device.Time(c.ms.Load()) }
func (c *clock) pass(d time.Duration) { c.ms.Add(d.Milliseconds()) }

func newUnit(t testing.TB, c *clock) *unit.Unit {
	t.Helper()
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	u, err := unit.New(unit.Options{ID: "rig-1", Model: m, SoC: 50, Seed: 1, AmbientC: 25, Start: c.now()})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func profile(t testing.TB, name string) *modbus.Profile {
	t.Helper()
	p, err := modbus.LoadProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rig is a served unit, and the driver that reads it.
type rig struct {
	*clock
	t      *testing.T
	unit   *unit.Unit
	bank   *emul.Device
	addr   string
	driver *modbus.Driver
}

func newRig(t *testing.T, address, name string, o modbus.Options) *rig {
	t.Helper()
	r := &rig{clock: newClock(), t: t}
	r.unit = newUnit(t, r.clock)
	var err error
	if r.bank, err = emul.NewDevice(emul.DeviceOptions{Unit: r.unit, Profile: profile(t, name), Now: r.now}); err != nil {
		t.Fatal(err)
	}
	r.addr = serve(t, emul.Options{Address: address, Units: map[byte]emul.Served{1: {Bank: r.bank, Wire: r.bank.Wire}}}).Addr()
	if strings.HasPrefix(r.addr, "rtu:") {
		r.addr += "?baud=921600" // a pseudo-terminal has no speed, but clients wait as if it had
	}
	o.Address, o.Unit, o.Profile = r.addr, 1, name
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second) // where it is not what is tested, a busy machine fails no test
	if r.driver, err = modbus.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.driver.Close() })
	return r
}

// poll lets time pass as the driver's reader does: once a second, or in a long time every
// other.
func (r *rig) poll(d time.Duration) time.Time {
	r.t.Helper()
	every := time.Second
	if d > 10*time.Second {
		every = 2 * time.Second
	}
	for ; d > 0; d -= every {
		r.pass(min(d, every))
		if _, err := r.driver.Read(r.t.Context(), r.now()); err != nil {
			r.t.Fatal(err)
		}
	}
	return r.now()
}

func TestDriverKeepsItsPromises(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"tcp://127.0.0.1:0", "pty"} {
		t.Run(address[:3], func(t *testing.T) {
			t.Parallel()
			devicetest.Run(t, func(t *testing.T) (device.Driver, func(time.Duration) time.Time) {
				at := address
				if at == "pty" {
					at = "pty://" + filepath.Join(t.TempDir(), "line")
				}
				r := newRig(t, at, "pcs-generic", modbus.Options{})
				return r.driver, r.poll
			})
		})
	}
}

func (r *rig) read() device.Reading {
	r.t.Helper()
	x, err := r.driver.Read(r.t.Context(), r.now())
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

func (r *rig) command(v device.Verb, kw float64, holds time.Duration) device.Command {
	return device.Command{Verb: v, Power: kw, At: r.now().UnixMilli(), Duration: holds.Milliseconds(), Until: r.now().Add(holds).UnixMilli()}
}

func (r *rig) write(c device.Command) device.Ack {
	r.t.Helper()
	a, err := r.driver.Write(r.t.Context(), r.now(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) do(v device.Verb, kw float64) {
	r.t.Helper()
	if a := r.write(r.command(v, kw, time.Minute)); a.Status != device.Done {
		r.t.Fatalf("%v %v kW: %v %s (%s)", v, kw, a.Status, a.Code, a.Reason)
	}
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

// Every shipped profile shows what the unit's instruments show, in both directions.
func TestProfilesShowTheUnit(t *testing.T) {
	for _, name := range modbus.Shipped() {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "tcp://127.0.0.1:0", name, modbus.Options{})
			for _, kw := range []float64{50, -50} {
				if err := r.unit.Do(r.now(), unit.SetPower("test", kw*1000, 0)); err != nil {
					t.Fatal(err)
				}
				r.pass(5 * time.Second)
				v, x := r.unit.View(r.now()), r.read()
				own := device.Untold()
				if x.Own != nil {
					own = *x.Own
				} else if !math.IsNaN(x.SoC) {
					t.Error("a battery tells no windows of its own")
				}
				charge, discharge := v.ChargeW/1000, v.DischargeW/1000
				if name == "bms-generic" { // it knows of no converter
					charge, discharge = v.ChargeA*v.DCV/1000, v.DischargeA*v.DCV/1000
				}
				for _, c := range []struct {
					name      string
					got, want float64
					tolerance float64
				}{
					{"power", x.Power, v.ACW / 1000, 0.001},
					{"soc", x.SoC, v.SoC, 0.051},
					{"soh", x.SoH, v.SoH, 0.051},
					{"voltage", x.Voltage, v.DCV, 0.051},
					{"current", x.Current, v.DCA, 0.051},
					{"temperature", x.Temperature, v.TempMaxC, 0.051},
					{"max charge", x.MaxCharge, charge, 0.2},
					{"frequency", x.Frequency, v.Hz, 0.011},
					{"max discharge", x.MaxDischarge, discharge, 0.2},
					{"own soc low", own.SoC[0], v.SoCMin, 0.051},
					{"own soc high", own.SoC[1], v.SoCMax, 0.051},
					{"own voltage low", own.Voltage[0], v.DischargeV, 0.051},
					{"own voltage high", own.Voltage[1], v.ChargeV, 0.051},
					{"own temperature low", own.Temperature[0], v.TempCLow, 0.051},
					{"own temperature high", own.Temperature[1], v.TempCHigh, 0.051},
				} {
					if !near(c.got, c.want, c.tolerance) && !math.IsNaN(c.got) {
						t.Errorf("at %v kW: %s is %v, the unit shows %v", kw, c.name, c.got, c.want)
					}
				}
				if math.IsNaN(x.Power) && math.IsNaN(x.Current) {
					t.Errorf("at %v kW: it reads nothing: %+v", kw, x)
				}
			}
		})
	}
}

func TestDeadMan(t *testing.T) {
	r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{})
	r.do(device.SetPower, 20)
	if v := r.unit.View(r.now()); v.SetUntil.Sub(v.At) != 6*time.Second {
		t.Errorf("the unit reverts after %v, want 6 s", v.SetUntil.Sub(v.At))
	}
	r.poll(10 * time.Second)
	if x := r.read(); x.Power != 20 {
		t.Errorf("a setpoint that is renewed: %v kW", x.Power)
	}
	r.pass(6 * time.Second) // nobody reads: the controller is lost
	r.unit.Tick(r.now())
	r.pass(time.Second)
	if v := r.unit.View(r.now()); v.SetActive || v.ACW != 0 {
		t.Errorf("without its controller the unit does %v W", v.ACW)
	}
	// The setpoint still holds, and the controller is back.
	r.poll(2 * time.Second)
	if x := r.read(); x.Power != 20 || x.Flags != 0 {
		t.Errorf("with its controller back: %v kW, flags %v", x.Power, x.Flags)
	}
	// A setpoint of 3 s is over after 3 s, whatever becomes of the controller.
	r.write(r.command(device.SetPower, 30, 3*time.Second))
	r.pass(3 * time.Second)
	if v := r.unit.View(r.now()); v.SetActive {
		t.Errorf("a setpoint of 3 s holds until %v", v.SetUntil.Sub(v.At))
	}
}

func TestNobodyCommandsNobodyWrites(t *testing.T) {
	r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{})
	r.poll(5 * time.Second)
	if v := r.unit.View(r.now()); v.ControllerBeat != 0 || v.SetBy != "" {
		t.Errorf("a device that nobody commands was written to: beat %d, setpoint by %q", v.ControllerBeat, v.SetBy)
	}
	r.do(device.SetPower, 5)
	first := r.unit.View(r.now()).ControllerBeat
	r.poll(5 * time.Second)
	if n := r.unit.View(r.now()).ControllerBeat - first; first == 0 || n < 4 || n > 5 {
		t.Errorf("%d beats in 5 s after the first, which is %d", n, first)
	}
}

func TestSecondMaster(t *testing.T) {
	for name, meddle := range map[string]func(r *rig) error{
		"setpoint": func(r *rig) error {
			_, err := r.unit.Inject(r.now(), unit.Fault{Kind: "second-master", KW: 7})
			return err
		},
		"heartbeat": func(r *rig) error { return r.unit.Do(r.now(), unit.Beat(4711)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{})
			r.do(device.SetPower, 20)
			r.poll(3 * time.Second)
			if x := r.read(); x.Flags != 0 {
				t.Fatalf("before: flags %v", x.Flags)
			}
			if err := meddle(r); err != nil {
				t.Fatal(err)
			}
			r.pass(time.Second)
			if x := r.read(); x.Flags != device.FlagMaster {
				t.Errorf("flags %v, want the second master told", x.Flags)
			}
			before := r.unit.View(r.now())
			r.poll(5 * time.Second)
			if v := r.unit.View(r.now()); name == "setpoint" && v.SetW != 7000 || v.ControllerBeat != before.ControllerBeat {
				t.Errorf("after it was handed over: setpoint %v W, beat %d after %d", v.SetW, v.ControllerBeat, before.ControllerBeat)
			}
			if x := r.read(); x.Flags != 0 {
				t.Errorf("later: flags %v", x.Flags)
			}
		})
	}
}

func TestWhatTheDeviceTells(t *testing.T) {
	for _, tt := range []struct {
		kind  string
		flags device.Flags
		check func(x device.Reading) bool
	}{
		{"heartbeat-frozen", device.FlagHeartbeat, func(x device.Reading) bool { return x.Power == 10 }},
		{"local", device.FlagLocal, func(x device.Reading) bool { return x.Power == 0 }}, // our setpoint lapses
		{"e-stop", device.FlagEStop, func(x device.Reading) bool {
			return x.Status == device.Fault && x.MaxCharge == 0 && x.MaxDischarge == 0
		}},
		{"over-voltage", 0, func(x device.Reading) bool { return x.MaxCharge == 0 && x.MaxDischarge == 0 }},
		{"sign-flip", 0, func(x device.Reading) bool { return x.Power == -10 }},
		{"not-implemented", 0, func(x device.Reading) bool {
			return math.IsNaN(x.Power) && math.IsNaN(x.SoC) && math.IsNaN(x.Voltage) && math.IsNaN(x.Temperature) && math.IsNaN(x.MaxCharge)
		}},
		{"scale-change", 0, func(x device.Reading) bool { return x.Power == 10 }},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{})
			r.do(device.SetPower, 10)
			r.poll(2 * time.Second)
			end, err := r.unit.Inject(r.now(), unit.Fault{Kind: tt.kind})
			if err != nil {
				t.Fatal(err)
			}
			r.poll(8 * time.Second)
			if x := r.read(); x.Flags != tt.flags || !tt.check(x) {
				t.Errorf("reads %+v with flags %v, want flags %v", x, x.Flags, tt.flags)
			}
			if tt.kind == "local" {
				if a := r.write(r.command(device.SetPower, 10, time.Minute)); a.Status != device.Rejected || a.Code != "LOCAL" {
					t.Errorf("a setpoint under local control: %v %s", a.Status, a.Code)
				}
				if v := r.unit.View(r.now()); !v.BeatLost {
					t.Error("under local control it was written to")
				}
			}
			end(r.now())
			r.poll(2 * time.Second)
			if x := r.read(); x.Flags&(device.FlagHeartbeat|device.FlagLocal) != 0 {
				t.Errorf("after it: flags %v", x.Flags)
			}
		})
	}
}

func TestEStopAndReset(t *testing.T) {
	r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{})
	r.do(device.SetPower, 40)
	r.poll(2 * time.Second)
	r.do(device.EStop, 0)
	if v := r.unit.View(r.now()); v.Started || v.Connected || v.SetW != 0 {
		t.Errorf("after the emergency stop: started %v, connected %v, setpoint %v W", v.Started, v.Connected, v.SetW)
	}
	if a := r.write(r.command(device.SetPower, 10, time.Minute)); a.Status != device.Rejected || a.Code != "DEVICE_FAULT" {
		t.Errorf("a setpoint after it: %v %s", a.Status, a.Code)
	}
	if _, err := r.driver.Adjust(t.Context(), device.SettingConnect, 1); !errors.Is(err, device.ErrRejected) || r.unit.View(r.now()).Connected {
		t.Errorf("connected by a setting after it: %v", err)
	}
	r.do(device.Reset, 0)
	r.poll(2 * time.Second)
	if v := r.unit.View(r.now()); !v.Started || !v.Connected || v.ACW != 0 {
		t.Errorf("after the reset: started %v, connected %v, %v W", v.Started, v.Connected, v.ACW)
	}
	r.do(device.SetPower, 10)
	r.poll(2 * time.Second)
	if x := r.read(); x.Power != 10 {
		t.Errorf("a setpoint after the reset: %v kW", x.Power)
	}

	// The button itself: it is reset only once it is released.
	end, err := r.unit.Inject(r.now(), unit.Fault{Kind: "e-stop"})
	if err != nil {
		t.Fatal(err)
	}
	if a := r.write(r.command(device.SetPower, 10, time.Minute)); a.Status != device.Rejected || a.Code != "DEVICE_FAULT" {
		t.Errorf("a setpoint with the button pressed: %v %s", a.Status, a.Code)
	}
	if a := r.write(r.command(device.Reset, 0, time.Minute)); a.Status == device.Done {
		t.Errorf("reset with the button pressed: %v", a.Status)
	}
	end(r.now())
	r.do(device.Reset, 0)
	r.do(device.SetPower, 10)
}

func TestSettings(t *testing.T) {
	r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{})
	list, err := r.driver.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
		if (s.Max <= s.Min || !(s.Step > 0)) && !s.ReadOnly {
			t.Errorf("%+v", s)
		}
	}
	for _, want := range []string{device.SettingRamp, device.SettingPowerLimit, device.SettingRevert, device.SettingConnect, device.SettingReserve, "frequency"} {
		if !slices.Contains(names, want) {
			t.Errorf("settings %v lack %s", names, want)
		}
	}
	for _, tt := range []struct {
		name  string
		value float64
		check func(v unit.View) bool
	}{
		{device.SettingRamp, 20, func(v unit.View) bool { return near(v.Ramp, 0.2, 1e-9) }},
		{device.SettingPowerLimit, 66, func(v unit.View) bool { return v.LimitOn && near(v.LimitShare, 0.66, 1e-9) }},
		{device.SettingPowerLimit, 100, func(v unit.View) bool { return !v.LimitOn }},
		{device.SettingReserve, 12.3, func(v unit.View) bool { return near(v.Reserve, 12.3, 1e-9) }},
		{device.SettingConnect, 0, func(v unit.View) bool { return !v.Connected }},
		{device.SettingConnect, 1, func(v unit.View) bool { return v.Connected }},
		{device.SettingRevert, 4, func(unit.View) bool { return true }},
	} {
		got, err := r.driver.Adjust(t.Context(), tt.name, tt.value)
		if err != nil || !near(got, tt.value, 0.051) || !tt.check(r.unit.View(r.now())) {
			t.Errorf("%s set to %v: %v, %v", tt.name, tt.value, got, err)
		}
	}
	r.do(device.SetPower, 1) // with the time to revert that was set
	if v := r.unit.View(r.now()); v.SetUntil.Sub(v.At) != 4*time.Second {
		t.Errorf("the unit reverts after %v, want 4 s", v.SetUntil.Sub(v.At))
	}
	if hz, err := r.driver.Setting(t.Context(), "frequency"); err != nil || hz != 50 {
		t.Errorf("frequency %v, %v", hz, err)
	}
	info, err := r.driver.Describe(t.Context(), r.now())
	if v := r.unit.View(r.now()); err != nil || info.RatedKW != 100 || info.VoltStep != 0.1 || info.CapacityKWh != v.RatedWh/1000 ||
		info.Manufacturer != v.Maker || info.Model != v.Model || info.Serial != v.ID || info.Firmware != v.Version {
		t.Errorf("nameplate %+v, %v", info, err)
	}
}

// A setting makes the dead-man shorter and never longer than it was configured: what is
// adjusted is not what somebody has answered for.
func TestRevertIsOnlyShortened(t *testing.T) {
	r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{DeadMan: 5 * time.Second})
	reverts := func() time.Duration {
		t.Helper()
		r.do(device.SetPower, 1)
		v := r.unit.View(r.now())
		return v.SetUntil.Sub(v.At)
	}
	for _, s := range []float64{5.1, 30, 3600, 0, -1, math.NaN()} { // 0: never
		if got, err := r.driver.Adjust(t.Context(), device.SettingRevert, s); !errors.Is(err, device.ErrRejected) {
			t.Errorf("%g s: %v, %v", s, got, err)
		}
		if got := reverts(); got != 5*time.Second {
			t.Errorf("%g s: reverts after %v", s, got)
		}
	}
	for _, s := range []float64{2, 5} { // and back, as configured
		if _, err := r.driver.Adjust(t.Context(), device.SettingRevert, s); err != nil {
			t.Errorf("%g s: %v", s, err)
		}
		if got := reverts().Seconds(); got != s {
			t.Errorf("%g s: reverts after %g s", s, got)
		}
	}
	list, err := r.driver.Settings(t.Context())
	if i := slices.IndexFunc(list, func(s device.Setting) bool { return s.Name == device.SettingRevert }); err != nil || list[i].Min != 0.1 || list[i].Max != 5 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestWrites(t *testing.T) {
	r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{})
	for _, tt := range []struct {
		name   string
		addr   uint16
		values []uint16
		want   error
	}{
		{"revert, setpoint and enable at once", 0, []uint16{100, 0, 5000, 1}, nil},
		{"beyond rated power", 1, []uint16{2, 0}, modbus.IllegalValue},
		{"good setpoint with a mode that is none", 1, []uint16{0, 9000, 1, 1, 7}, modbus.IllegalValue},
		{"setpoint that ends outside", 9, []uint16{1, 2}, modbus.IllegalAddress},
		{"outside", 500, []uint16{1}, modbus.IllegalAddress},
		{"limit out of its range", 8, []uint16{1001}, modbus.IllegalValue},
		{"enable that is neither", 3, []uint16{2}, modbus.IllegalValue},
		{"half of a setpoint", 2, []uint16{6000}, nil},
	} {
		if err := r.bank.Write(tt.addr, tt.values); err != tt.want { //nolint:errorlint // the bank's own
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	v := r.unit.View(r.now())
	if v.SetW != 6000 || !v.SetActive || v.SetUntil.Sub(v.At) != 10*time.Second {
		t.Errorf("setpoint %v W, in force %v for %v", v.SetW, v.SetActive, v.SetUntil.Sub(v.At))
	}
	if err := r.bank.WriteCoils(2, []bool{true}); err != modbus.IllegalAddress { //nolint:errorlint // the bank's own
		t.Errorf("a coil outside: %v", err)
	}
	if _, err := r.bank.Read(modbus.Input, 0, 60); err != nil {
		t.Errorf("60 registers with gaps: %v", err)
	}
	if _, err := r.bank.Read(modbus.Input, 100, 61); err != modbus.IllegalAddress { //nolint:errorlint // the bank's own
		t.Errorf("beyond the map: %v", err)
	}
}

// A large unit's power does not fit the registers of a small one, but for its power of ten.
func TestPowerOfTen(t *testing.T) {
	c := newClock()
	u := newUnit(t, c)
	p, err := modbus.ParseProfile("x.yaml", []byte("apiVersion: yunchu/v1\nkind: Profile\nname: x\npoints:\n  power: {address: 0, type: int16, unit: W, exponent: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := emul.NewDevice(emul.DeviceOptions{Unit: u, Profile: p, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Do(c.now(), unit.SetPower("test", 90000, 0)); err != nil {
		t.Fatal(err)
	}
	c.pass(3 * time.Second)
	for _, want := range [][]uint16{{9000, 1}, {900, 2}} {
		if got, err := d.Read(modbus.Holding, 0, 2); err != nil || !slices.Equal(got, want) {
			t.Errorf("90 kW: %v, %v, want %v", got, err, want)
		}
		if _, err := u.Inject(c.now(), unit.Fault{Kind: "scale-change"}); err != nil {
			t.Fatal(err)
		}
	}
}

// A unit takes as many registers in a request as its manual says, and no more.
func TestRequestsAreAsLongAsTheManualSays(t *testing.T) {
	for name, most := range map[string]uint16{"../../../docs/practice/pcs-hx100.yaml": 64, "pcs-generic": modbus.MaxRead} {
		c := newClock()
		d, err := emul.NewDevice(emul.DeviceOptions{Unit: newUnit(t, c), Profile: profile(t, name), Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		table, addr := modbus.Holding, uint16(100)
		if most == modbus.MaxRead {
			table, addr = modbus.Input, 0
		}
		if got, err := d.Read(table, addr, most); err != nil || len(got) != int(most) {
			t.Errorf("%s: %d registers: %d, %v", name, most, len(got), err)
		}
		if _, err := d.Read(table, addr, most+1); most < modbus.MaxRead && !errors.Is(err, modbus.IllegalValue) {
			t.Errorf("%s: %d registers: %v, want exception 3", name, most+1, err)
		}
		if err := d.Write(200, make([]uint16, 65)); most == 64 && !errors.Is(err, modbus.IllegalValue) {
			t.Errorf("%s: 65 registers written: %v, want exception 3", name, err)
		}
	}
}

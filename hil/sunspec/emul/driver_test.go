package emul_test

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"yunchu/hil/unit"
	"yunchu/platform/device"
)

func (r *rig) write(c device.Command) device.Ack {
	r.t.Helper()
	a, err := r.driver.Write(r.t.Context(), r.now, c)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) setPower(kw float64, holds time.Duration) {
	r.t.Helper()
	c := device.Command{Verb: device.SetPower, Power: kw, At: r.now.UnixMilli(), Duration: holds.Milliseconds(), Until: r.now.Add(holds).UnixMilli()}
	if a := r.write(c); a.Status != device.Done || a.Power != kw {
		r.t.Fatalf("%v kW: %+v", kw, a)
	}
}

func (r *rig) do(v device.Verb) {
	r.t.Helper()
	if a := r.write(device.Command{Verb: v}); a.Status != device.Done {
		r.t.Fatalf("%v: %+v", v, a)
	}
}

// TestReadingIsTheUnit: the driver gives back what the unit's instruments show.
func TestReadingIsTheUnit(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	for _, kw := range []float64{40, -40} {
		r.setPower(kw, time.Hour)
		r.pass(2 * time.Minute)
		v, got := r.unit.View(r.now), r.read()
		for _, tt := range []struct {
			name            string
			got, want, step float64
		}{
			{"power", got.Power, v.ACW / 1000, 0.01},
			{"soc", got.SoC, v.SoC, 0.01},
			{"soh", got.SoH, v.SoH, 0.01},
			{"voltage", got.Voltage, v.DCV, 0.1},
			{"frequency", got.Frequency, v.Hz, 0.01},
			{"current", got.Current, v.DCA, 0.1},
			{"temperature", got.Temperature, v.TempMaxC, 0.01},
			{"max charge", got.MaxCharge, v.ChargeW / 1000, 0.1},
			{"max discharge", got.MaxDischarge, v.DischargeW / 1000, 0.1},
			{"own soc low", got.Own.SoC[0], v.SoCMin, 0.01},
			{"own soc high", got.Own.SoC[1], v.SoCMax, 0.01},
			{"own voltage low", got.Own.Voltage[0], v.DischargeV, 0.1},
			{"own voltage high", got.Own.Voltage[1], v.ChargeV, 0.1},
		} {
			if !(math.Abs(tt.got-tt.want) <= tt.step) {
				t.Errorf("at %v kW: %s %v, the unit has %v", kw, tt.name, tt.got, tt.want)
			}
		}
	}
	info, err := r.driver.Describe(t.Context(), r.now)
	want := device.Info{
		Kind: "sunspec", DeviceType: "battery-storage", Manufacturer: "Yunchu", Model: "ess-100kw-215kwh",
		RatedKW: 100, CapacityKWh: 215, SoCMin: 5, SoCMax: 95, Serial: "rig-1", Firmware: "1", VoltStep: 0.1,
	}
	if err != nil || !reflect.DeepEqual(info, want) {
		t.Errorf("describes itself as %+v, %v, want %+v", info, err, want)
	}
}

// TestLosingTheControllerStopsTheDevice: whoever commands it need only be silent.
func TestLosingTheControllerStopsTheDevice(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.setPower(40, time.Hour)
	r.pass(10 * time.Second)
	r.wantKW("commanded", 40)
	r.later(7 * time.Second)
	r.later(time.Second)
	r.wantKW("after seven seconds of silence", 0)
	// The controller stood still and goes on: its setpoint holds, and nobody else was there.
	if got := r.read().Flags; got != 0 {
		t.Errorf("flags %v", got)
	}
	r.pass(3 * time.Second)
	r.wantKW("commanded again", 40)
}

// TestFlags: what is wrong with a device is told with its readings, and ends with it.
func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		kind  string
		flag  device.Flags
		after time.Duration // it is told by then
		then  device.Flags  // that stays when it is over
	}{
		{"heartbeat-frozen", device.FlagHeartbeat, 4500 * time.Millisecond, 0},
		{"local", device.FlagLocal, 500 * time.Millisecond, 0},
		{"second-master", device.FlagMaster, 1500 * time.Millisecond, 0},
		{"e-stop", device.FlagEStop, 500 * time.Millisecond, device.FlagEStop},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			r := newRig(t, "ess-100kw-215kwh")
			r.setPower(40, time.Hour)
			r.pass(5 * time.Second)
			if got := r.read().Flags; got != 0 {
				t.Fatalf("before: %v", got)
			}
			end := r.inject(unit.Fault{Kind: tt.kind})
			r.pass(tt.after)
			if got := r.read().Flags; got != tt.flag {
				t.Errorf("flags %v, want %v", got, tt.flag)
			}
			end()
			r.pass(2 * time.Second)
			if got := r.read().Flags; got != tt.then {
				t.Errorf("after it: %v, want %v", got, tt.then)
			}
		})
	}
}

// TestSecondMasterIsLeftAlone: its setpoint holds, ours is not renewed against it.
func TestSecondMasterIsLeftAlone(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.setPower(40, time.Hour)
	r.pass(5 * time.Second)
	end := r.inject(unit.Fault{Kind: "second-master", KW: -25})
	r.pass(4 * time.Second)
	r.wantKW("while somebody else writes", -25)
	end()
	r.pass(4 * time.Second)
	if r.kw() > 0 {
		t.Errorf("after it has gone: %v kW", r.kw())
	}
}

// TestStopAndReset: an emergency stop holds whatever comes, until it is reset; and power
// stays 0 then.
func TestStopAndReset(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.setPower(40, time.Hour)
	r.pass(2 * time.Second)
	r.do(device.EStop)
	r.pass(time.Second)
	r.wantKW("stopped", 0)
	if v := r.unit.View(r.now); v.Started || v.Contactors {
		t.Errorf("started %t, contactors %t", v.Started, v.Contactors)
	}
	if got := r.read(); got.Flags != 0 || got.MaxCharge != 0 || got.MaxDischarge != 0 {
		t.Errorf("%+v", got)
	}
	if a := r.write(device.Command{Verb: device.SetPower, Power: 10}); a.Status != device.Rejected || a.Code != "DEVICE_FAULT" {
		t.Errorf("a setpoint then: %+v", a)
	}
	if _, err := r.driver.Adjust(t.Context(), device.SettingConnect, 1); !errors.Is(err, device.ErrRejected) {
		t.Errorf("connected by a setting then: %v", err)
	}
	r.do(device.Reset)
	r.pass(3 * time.Second)
	r.wantKW("reset", 0)
	if got := r.read(); got.Flags != 0 || got.Status != device.Idle {
		t.Errorf("%+v", got)
	}
	r.setPower(-10, time.Minute)
	r.pass(time.Second)
	r.wantKW("commanded again", -10)
}

// TestButton: an emergency stop that was pressed on the device.
func TestButton(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.setPower(40, time.Hour)
	r.pass(2 * time.Second)
	release := r.inject(unit.Fault{Kind: "e-stop"})
	r.pass(2 * time.Second)
	if got := r.read(); got.Status != device.Fault || got.Flags != device.FlagEStop {
		t.Errorf("%+v", got)
	}
	if a := r.write(device.Command{Verb: device.Reset}); a.Status != device.Rejected || a.Code != "DEVICE_FAULT" {
		t.Errorf("reset while it is pressed: %+v", a)
	}
	release()
	r.do(device.Reset)
	r.pass(20 * time.Second)
	r.wantKW("reset", 0)
	if got := r.read(); got.Status != device.Idle || got.Flags != 0 {
		t.Errorf("%+v", got)
	}
}

// TestProtection: when the battery management trips, no direction is left, and a setpoint
// is refused.
func TestProtection(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.setPower(40, time.Hour)
	r.pass(2 * time.Second)
	end := r.inject(unit.Fault{Kind: "over-voltage"})
	r.pass(time.Second)
	r.wantKW("tripped", 0)
	if got := r.read(); got.MaxCharge != 0 || got.MaxDischarge != 0 || got.Status != device.Fault {
		t.Errorf("%+v", got)
	}
	end()
	r.do(device.Reset)
	r.pass(10 * time.Second)
	r.wantKW("reset", 0)
	r.setPower(10, time.Minute)
}

// TestSettings: each is written, read back, and acts on the unit.
func TestSettings(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	if _, err := r.driver.Setting(t.Context(), device.SettingRamp); !errors.Is(err, device.ErrUnsupported) {
		t.Errorf("a ramp that nobody has written: %v", err)
	}
	for _, tt := range []struct {
		name  string
		value float64
		check func(v unit.View) bool
	}{
		{device.SettingRamp, 20, func(v unit.View) bool { return v.Ramp == 0.2 }},
		{device.SettingPowerLimit, 40, func(v unit.View) bool { return v.LimitOn && v.LimitShare == 0.4 }},
		{device.SettingPowerLimit, 100, func(v unit.View) bool { return !v.LimitOn }},
		{device.SettingConnect, 0, func(v unit.View) bool { return !v.Connected }},
		{device.SettingConnect, 1, func(v unit.View) bool { return v.Connected }},
		{device.SettingReserve, 25.5, func(v unit.View) bool { return v.Reserve == 25.5 }},
		{device.SettingRevert, 4, func(unit.View) bool { return true }},
		{"121.WGra", 50.25, func(v unit.View) bool { return math.Abs(v.Ramp-0.5025) < 1e-12 }},
	} {
		got, err := r.driver.Adjust(t.Context(), tt.name, tt.value)
		if err != nil || math.Abs(got-tt.value) > 1e-9 {
			t.Errorf("%s = %v: holds %v, %v", tt.name, tt.value, got, err)
		}
		if again, err := r.driver.Setting(t.Context(), tt.name); err != nil || again != got {
			t.Errorf("%s: reads %v, %v, held %v", tt.name, again, err, got)
		}
		if v := r.unit.View(r.now); !tt.check(v) {
			t.Errorf("%s = %v: %+v", tt.name, tt.value, v)
		}
	}
	if v := r.unit.View(r.now); v.SetActive || v.SetBy != "" || r.show("715.ControllerHb") != 0 {
		t.Errorf("a setting was a setpoint: %+v", v)
	}
}

// TestRevertSetting: setpoints after it hold so long without their controller, and never
// longer than was configured.
func TestRevertSetting(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	for s, refused := range map[float64]bool{1: false, 3: false, 6: false, 7: true, 65534: true} {
		got, err := r.driver.Adjust(t.Context(), device.SettingRevert, s)
		if refused != errors.Is(err, device.ErrRejected) || !refused && got != s {
			t.Errorf("%g s: %v, %v", s, got, err)
		}
		r.setPower(40, time.Hour)
		if got := r.show("704.WSetRvrtTms"); !refused && got != s || got > 6 {
			t.Errorf("set to %g s, it reverts after %v s", s, got)
		}
	}
}

func TestRefusedSettings(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	for _, tt := range []struct {
		name  string
		value float64
		want  error
	}{
		{device.SettingPowerLimit, 101, device.ErrRejected},
		{device.SettingPowerLimit, -1, device.ErrRejected},
		{device.SettingPowerLimit, math.NaN(), device.ErrRejected},
		{device.SettingRamp, 0, device.ErrRejected},
		{device.SettingRevert, 0, device.ErrRejected},
		{device.SettingReserve, 101, device.ErrRejected},
		{"704.WRmpRef", 9, device.ErrRejected},
		{"704.WMaxLimPctEna", 1, device.ErrUnsupported}, // the setting has a time to revert
		{"123.WMaxLimPct", 70, device.ErrUnsupported},
		{"123.Conn", 0, device.ErrUnsupported},
		{"704.VarSetEna", 1, device.ErrUnsupported}, // not implemented
		{"704.WSet", 5000, device.ErrUnsupported},   // a setpoint is no setting
		{"715.OpCtl", 0, device.ErrUnsupported},
		{"802.SetOp", 2, device.ErrUnsupported},
		{"704.WSetRvrtTms", 2, device.ErrUnsupported}, // the setting has a bound
		{"124.InOutWRte_RvrtTms", 2, device.ErrUnsupported},
		{"701.W", 5, device.ErrUnsupported},
		{"1.Mn", 5, device.ErrUnsupported},
		{"999.W", 5, device.ErrUnsupported},
		{"nonsense", 5, device.ErrUnsupported},
	} {
		before := r.control()
		if got, err := r.driver.Adjust(t.Context(), tt.name, tt.value); !errors.Is(err, tt.want) {
			t.Errorf("%s = %v: holds %v, %v, want %v", tt.name, tt.value, got, err, tt.want)
		}
		if r.control() != before {
			t.Errorf("%s = %v changed something", tt.name, tt.value)
		}
	}
	r.inject(unit.Fault{Kind: "local"})
	if _, err := r.driver.Adjust(t.Context(), device.SettingPowerLimit, 50); !errors.Is(err, device.ErrRejected) {
		t.Errorf("under local control: %v", err)
	}
}

// TestListOfSettings: all that is listed can be read, and what can be written can be
// written as it is.
func TestListOfSettings(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	if _, err := r.driver.Adjust(t.Context(), device.SettingRamp, 100); err != nil {
		t.Fatal(err)
	}
	list, err := r.driver.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	writable := 0
	for _, s := range list {
		names = append(names, s.Name)
		v, err := r.driver.Setting(t.Context(), s.Name)
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if s.Step <= 0 {
			t.Errorf("%s in steps of %v", s.Name, s.Step)
		}
		if s.ReadOnly || s.Name == device.SettingRevert {
			continue
		}
		writable++
		if got, err := r.driver.Adjust(t.Context(), s.Name, v); err != nil || got != v {
			t.Errorf("%s = %v: holds %v, %v", s.Name, v, got, err)
		}
	}
	for _, want := range []string{
		device.SettingRamp, device.SettingPowerLimit, device.SettingRevert, device.SettingConnect,
		"704.WMaxLimPct", "704.WSet", "121.WGra", "123.Conn", "124.WChaMax", "715.OpCtl", "802.CtrlHb", "701.Hz",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not listed: %q", want, names)
		}
	}
	if writable < 8 {
		t.Errorf("only %d settings can be written", writable)
	}
}

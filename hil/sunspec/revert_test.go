package sunspec_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/platform/device"
)

// remarks are what the driver has found out since the last call.
func remarks(d *sunspec.Driver) (out []string) {
	for _, r := range d.Remarks() {
		out = append(out, fmt.Sprintf("%v: %s", r.Severity, r.Text))
	}
	return out
}

// older is a device with model 123 and no way to be given power.
func older(t *testing.T) (r *registers, at123 int) {
	t.Helper()
	return chain(0, fresh(t, 103, 0, nil), fresh(t, 123, 0, map[string]any{
		"WMaxLimPct_SF": int64(-1), "WMaxLimPct": 100.0, "WMaxLim_Ena": uint64(0), "WMaxLimPct_RvrtTms": uint64(0),
		"Conn": uint64(1), "Conn_RvrtTms": uint64(0), "Conn_WinTms": uint64(9),
	})), 2 + 52
}

// TestSettingsThatRevertAreRenewed: a limit and an open switch hold twice the dead-man time
// and are written again a third of it later, until they are lifted; then no more.
func TestSettingsThatRevertAreRenewed(t *testing.T) {
	r, at123 := older(t)
	d := open(t, r)
	read(t, d, 0)
	for name, v := range map[string]float64{device.SettingPowerLimit: 40, device.SettingConnect: 0} {
		if got, err := d.Adjust(t.Context(), name, v); err != nil || got != v {
			t.Fatalf("%s: holds %v, %v", name, got, err)
		}
	}
	both := []string{
		fmt.Sprintf("%d 0 12", at123+2), fmt.Sprintf("%d 0", at123+4), // connect
		fmt.Sprintf("%d 12", at123+7), fmt.Sprintf("%d 400", at123+5), fmt.Sprintf("%d 1", at123+9), // power-limit
	}
	for s := 1.0; s <= 4; s++ {
		r.writes = nil
		read(t, d, s)
		if want := map[bool][]string{true: both, false: nil}[s == 2 || s == 4]; !slices.Equal(r.writes, want) {
			t.Errorf("after %g s: writes %q, want %q", s, r.writes, want)
		}
	}
	if got := remarks(d); got != nil {
		t.Errorf("%q", got)
	}
	for name, v := range map[string]float64{device.SettingPowerLimit: 100, device.SettingConnect: 1} {
		if got, err := d.Adjust(t.Context(), name, v); err != nil || got != v {
			t.Fatalf("%s: holds %v, %v", name, got, err)
		}
	}
	if r.get(at123+3) != 0 || r.get(at123+7) != 0 {
		t.Errorf("what is lifted still reverts: %d, %d", r.get(at123+3), r.get(at123+7))
	}
	r.writes = nil
	if read(t, d, 30); len(r.writes) != 0 {
		t.Errorf("renewed although it was lifted: %q", r.writes)
	}
}

// TestSettingWhoseTimerVanishes: it is armed again and told of; where it vanishes once more,
// the setting is left and that is told as critical.
func TestSettingWhoseTimerVanishes(t *testing.T) {
	r, at123 := older(t)
	d := open(t, r)
	read(t, d, 0)
	if _, err := d.Adjust(t.Context(), device.SettingPowerLimit, 40); err != nil {
		t.Fatal(err)
	}
	r.set(at123+7, 0)
	read(t, d, 1)
	if got := remarks(d); r.get(at123+7) != 12 || len(got) != 1 || !strings.HasPrefix(got[0], "warning: setting power-limit = 40 is written again: told to revert after 12 s") {
		t.Errorf("reverts after %d s, %q", r.get(at123+7), got)
	}
	r.set(at123+9, 0) // and now somebody lifts it
	read(t, d, 1.5)
	if got := remarks(d); len(got) != 1 || got[0] != "critical: setting power-limit = 40 does not stay, and is left: told 40, the device holds 100" {
		t.Errorf("%q", got)
	}
	r.writes = nil
	if read(t, d, 30); len(r.writes) != 0 {
		t.Errorf("fought over: %q", r.writes)
	}
	// A device that was alone for longer has taken it back, as it should.
	if _, err := d.Adjust(t.Context(), device.SettingPowerLimit, 40); err != nil {
		t.Fatal(err)
	}
	r.set(at123+9, 0)
	read(t, d, 50)
	if got := remarks(d); r.get(at123+9) != 1 || len(got) != 1 || !strings.Contains(got[0], "was taken back by the device, and is written again") {
		t.Errorf("in force %d, %q", r.get(at123+9), got)
	}
	// A switch that does not move is found out.
	if got, err := openStubborn(t, r, at123+4).Adjust(t.Context(), device.SettingConnect, 0); !errors.Is(err, device.ErrReadBack) {
		t.Errorf("connect = 0 where it stays 1: holds %v, %v", got, err)
	}
	// One that does not keep the time it is told is found out at once.
	stubborn := openStubborn(t, r, at123+7)
	r.set(at123+7, 0)
	if _, err := stubborn.Adjust(t.Context(), device.SettingPowerLimit, 30); err == nil || !strings.Contains(err.Error(), "told to revert after 12 s, the device holds 0 s") {
		t.Errorf("%v", err)
	}
}

// TestSetpointWhoseTimerVanishes: it is noticed with the next reading, not with the next
// command: armed again once, and the second time there is no power for a while.
func TestSetpointWhoseTimerVanishes(t *testing.T) {
	for name, vanish := range map[string]func(r *registers){
		"time to revert": func(r *registers) { r.set(at704+31, 0, 0) },
		"longer time":    func(r *registers) { r.set(at704+31, 0, 600) },
		"stopped":        func(r *registers) { r.set(at704+33, 0, 0) }, // WSetRvrtRem
		"other power":    func(r *registers) { r.set(at704+26, 0, 5000) },
		"not enabled":    func(r *registers) { r.set(at704+30, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			r := pcs(t)
			r.set(at704+33, 0, 6)
			d := open(t, r)
			if a := write(t, d, 0, power(10, 0, 600)); a.Status != device.Done {
				t.Fatalf("%+v", a)
			}
			vanish(r)
			r.writes = nil
			read(t, d, 0.5)
			got := remarks(d)
			if len(got) != 1 || !strings.HasPrefix(got[0], "warning: the setpoint would not be taken back, and is written again: ") {
				t.Fatalf("%q", got)
			}
			if !slices.Contains(r.writes, fmt.Sprintf("%d 1 0 6", at704+30)) {
				t.Errorf("writes %q", r.writes)
			}
			if name == "stopped" {
				r.set(at704+33, 0, 6)
				read(t, d, 3) // renewed, and runs
			}
			vanish(r)
			read(t, d, 3.5)
			if got := remarks(d); len(got) != 1 || !strings.HasPrefix(got[0], "critical: the device does not keep its time to revert, so it is taken to 0 kW") {
				t.Errorf("%q", got)
			}
			if r.get(at704+24) != 0 || r.get(at704+25) != 0 {
				t.Errorf("the device is left with %d %d W", r.get(at704+24), r.get(at704+25))
			}
			if a := write(t, d, 10, power(10, 10, 60)); a.Status != device.Rejected {
				t.Errorf("power 6 s later: %+v", a)
			}
			if a := write(t, d, 10, power(0, 10, 60)); a.Status != device.Done {
				t.Errorf("0 kW 6 s later: %+v", a)
			}
			if a := write(t, d, 64, power(10, 64, 60)); a.Status != device.Done {
				t.Errorf("a minute later: %+v", a)
			}
		})
	}
}

// TestPermissionsAreReadBack: that the reversion is enabled, and that charging from the grid
// is allowed, are read back with the setpoint.
func TestPermissionsAreReadBack(t *testing.T) {
	r := pcs(t)
	a := write(t, openStubborn(t, r, at704+30), 0, power(10, 0, 60))
	if a.Status != device.Failure || a.Code != "READ_BACK" || !strings.Contains(a.Reason, "704.WSetEnaRvrt: told 1, the device holds 0") {
		t.Errorf("%+v", a)
	}
	r = pcs(t, fresh(t, 124, 0, map[string]any{
		"WChaMax_SF": int64(0), "WChaMax": 50000.0, "StorCtl_Mod": uint64(0), "InOutWRte_SF": int64(-2),
		"OutWRte": 0.0, "InWRte": 0.0, "InOutWRte_RvrtTms": uint64(0), "ChaGriSet": uint64(0),
	}))
	r.set(at704+22, 0xFFFF) // only 124 is left
	d := openStubborn(t, r, at124+17)
	if a := write(t, d, 0, power(10, 0, 60)); a.Status != device.Failure || !strings.Contains(a.Reason, "124.ChaGriSet: told 1, the device holds 0") {
		t.Errorf("charging: %+v", a)
	}
	if a := write(t, d, 1, power(-10, 1, 60)); a.Status != device.Done {
		t.Errorf("discharging: %+v", a)
	}
}

// TestEmergencyStopStaysOpen: the switch that an emergency stop opens does not close by
// itself, whatever time to revert somebody has left there.
func TestEmergencyStopStaysOpen(t *testing.T) {
	r, at123 := older(t)
	r.set(at123+3, 30)
	d := open(t, r)
	if a := write(t, d, 0, device.Command{Verb: device.EStop}); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	if r.get(at123+2) != 0 || r.get(at123+3) != 0 || r.get(at123+4) != 0 {
		t.Errorf("window %d s, reverts after %d s, connected %d", r.get(at123+2), r.get(at123+3), r.get(at123+4))
	}
}

// TestPeerPymodbusReversion: limit and switch of model 123 at a server of somebody else's,
// whose timers another client stops.
func TestPeerPymodbusReversion(t *testing.T) {
	const m123 = 40228
	change := func(offset, value int) string { return fmt.Sprintf("%d=%d", m123+offset, value) }
	address := pymodbus(t, change(2, 5), change(3, 0), change(4, 1), change(5, 1000), change(7, 0), change(9, 0), change(23, 0xFFFF))
	d, err := sunspec.New(sunspec.Options{Conn: dial(t, address), Base: 40000})
	if err != nil {
		t.Fatal(err)
	}
	other := dial(t, address)
	holds := func(want ...uint16) {
		t.Helper()
		regs, err := other.Read(t.Context(), modbus.Holding, m123+2, 8)
		if err != nil || !slices.Equal([]uint16{regs[0], regs[1], regs[2], regs[3], regs[5], regs[7]}, want) {
			t.Errorf("the server holds %d, %v, want %d", regs, err, want)
		}
	}
	read(t, d, 0)
	for name, v := range map[string]float64{device.SettingPowerLimit: 40, device.SettingConnect: 0} {
		if got, err := d.Adjust(t.Context(), name, v); err != nil || got != v {
			t.Fatalf("%s: holds %v, %v", name, got, err)
		}
	}
	holds(0, 12, 0, 400, 12, 1) // Conn_WinTms, Conn_RvrtTms, Conn, WMaxLimPct, its RvrtTms, WMaxLim_Ena
	if err := other.Write(t.Context(), m123+3, []uint16{0}); err != nil {
		t.Fatal(err)
	}
	read(t, d, 1)
	holds(0, 12, 0, 400, 12, 1)
	if got := remarks(d); len(got) != 1 || !strings.HasPrefix(got[0], "warning: setting connect = 0 is written again") {
		t.Errorf("%q", got)
	}
}

// TestReactivePowerReverts: what asks for reactive power has a time to revert before it has
// its value, is renewed with it, and goes back to none when this process is gone.
func TestReactivePowerReverts(t *testing.T) {
	const at123 = 2 + 52
	older := chain(0, fresh(t, 103, 0, nil), fresh(t, 123, 0, map[string]any{
		"VArPct_SF": int64(-1), "VArWMaxPct": 0.0, "VArPct_Ena": uint64(0), "VArPct_RvrtTms": uint64(0), "Conn": uint64(1),
	}))
	newer := chain(0, fresh(t, 704, 0, map[string]any{
		"VarSet_SF": int64(0), "VarSet": 0.0, "VarSetEna": uint64(0), "VarSetRvrt": 70.0, "VarSetRvrtTms": uint64(0),
	}))
	for _, tt := range []struct {
		r        *registers
		name, on string
		value    float64
		want     []string
	}{
		{older, "123.VArWMaxPct", "123.VArPct_Ena", 20, []string{fmt.Sprintf("%d 12", at123+19), fmt.Sprintf("%d 200", at123+15)}},
		{newer, "704.VarSet", "704.VarSetEna", 5000, []string{"47 0 12", "42 0 0", "40 0 5000"}},
	} {
		d := open(t, tt.r)
		read(t, d, 0)
		tt.r.writes = nil
		if got, err := d.Adjust(t.Context(), tt.name, tt.value); err != nil || got != tt.value {
			t.Fatalf("%s: %v, %v", tt.name, got, err)
		}
		if !slices.Equal(tt.r.writes, tt.want) {
			t.Errorf("%s: writes %q, want %q", tt.name, tt.r.writes, tt.want)
		}
		if got, err := d.Adjust(t.Context(), tt.on, 1); err != nil || got != 1 {
			t.Errorf("%s: %v, %v", tt.on, got, err)
		}
		tt.r.writes = nil
		for s := 1.0; s <= 8; s++ {
			read(t, d, s)
		}
		if n := len(tt.r.writes); n < 2*len(tt.want) || !slices.Contains(tt.r.writes, tt.want[0]) {
			t.Errorf("%s is renewed with %q", tt.name, tt.r.writes)
		}
		for name, v := range map[string]float64{tt.name: 0, tt.on: 0} {
			if got, err := d.Adjust(t.Context(), name, v); err != nil || got != v {
				t.Errorf("%s to 0: %v, %v", name, got, err)
			}
		}
		tt.r.writes = nil
		for s := 9.0; s <= 20; s++ {
			read(t, d, s)
		}
		if len(tt.r.writes) != 0 {
			t.Errorf("%s: renewed after it was lifted: %q", tt.name, tt.r.writes)
		}
		if _, err := d.Adjust(t.Context(), strings.SplitN(tt.name, ".", 2)[0]+map[bool]string{true: ".VarSetRvrtTms", false: ".VArPct_RvrtTms"}[tt.value == 5000], 0); err == nil {
			t.Errorf("%s: its time to revert can be taken from it", tt.name)
		}
	}
}

// TestPowerFactorReverts: a power factor goes with reactive power, and so goes back to 1 by
// itself as well: its time, and what the device goes back to, are written before it.
func TestPowerFactorReverts(t *testing.T) {
	const at123 = 2 + 52
	older := func() *registers {
		return chain(0, fresh(t, 103, 0, nil), fresh(t, 123, 0, map[string]any{
			"OutPFSet_SF": int64(-2), "OutPFSet": 1.0, "OutPFSet_Ena": uint64(0), "OutPFSet_RvrtTms": uint64(0), "Conn": uint64(1),
		}))
	}
	newer := func() *registers {
		points := map[string]any{"PF_SF": int64(-2)}
		for _, way := range []string{"PFWInj", "PFWAbs"} {
			points[way+"Ena"], points[way+"EnaRvrt"], points[way+"RvrtTms"], points[way+"RvrtRem"] = uint64(0), uint64(0), uint64(0), uint64(0)
			points[way+".PF"], points[way+".Ext"], points[way+"Rvrt.PF"], points[way+"Rvrt.Ext"] = 1.0, uint64(1), 0.5, uint64(0)
		}
		return chain(0, fresh(t, 704, 0, points))
	}
	b := sunspec.NewBlock(sunspec.Lookup(704), 0, 0)
	write := func(name string, regs ...any) string {
		f, _ := b.Field(name)
		return strings.Trim(fmt.Sprintln(append([]any{2 + f.At}, regs...)...), "\n")
	}
	timed := func(way string) []string { // before anything of 704 acts
		return []string{write(way+"EnaRvrt", 1, 0, 12), write(way+"Rvrt.PF", 100, 1)}
	}
	for _, tt := range []struct {
		r           *registers
		name, timer string
		value, none float64
		want        []string
	}{
		{older(), "123.OutPFSet", "123.OutPFSet_RvrtTms", 0.9, 1, []string{fmt.Sprintf("%d 12", at123+12), fmt.Sprintf("%d 90", at123+10)}},
		{older(), "123.OutPFSet_Ena", "123.OutPFSet_RvrtTms", 1, 0, []string{fmt.Sprintf("%d 12", at123+12), fmt.Sprintf("%d 1", at123+14)}},
		{newer(), "704.PFWInj.PF", "704.PFWInjRvrtTms", 0.9, 1, append(timed("PFWInj"), write("PFWInj.PF", 90))},
		{newer(), "704.PFWInjEna", "704.PFWInjRvrtTms", 1, 0, append(timed("PFWInj"), write("PFWInjEna", 1))},
		{newer(), "704.PFWAbs.PF", "704.PFWAbsRvrtTms", 0.9, 1, append(timed("PFWAbs"), write("PFWAbs.PF", 90))},
		{newer(), "704.PFWAbsEna", "704.PFWAbsRvrtTms", 1, 0, append(timed("PFWAbs"), write("PFWAbsEna", 1))},
	} {
		d := open(t, tt.r)
		read(t, d, 0)
		tt.r.writes = nil
		if got, err := d.Adjust(t.Context(), tt.name, tt.value); err != nil || got != tt.value {
			t.Fatalf("%s: %v, %v", tt.name, got, err)
		}
		if !slices.Equal(tt.r.writes, tt.want) {
			t.Errorf("%s: writes %q, want %q", tt.name, tt.r.writes, tt.want)
		}
		tt.r.writes = nil
		for s := 1.0; s <= 8; s++ {
			read(t, d, s)
		}
		if n := len(tt.r.writes); n < 2*len(tt.want) || !slices.Contains(tt.r.writes, tt.want[0]) {
			t.Errorf("%s is renewed with %q", tt.name, tt.r.writes)
		}
		if got, err := d.Adjust(t.Context(), tt.name, tt.none); err != nil || got != tt.none {
			t.Errorf("%s to %g: %v, %v", tt.name, tt.none, got, err)
		}
		tt.r.writes = nil
		for s := 9.0; s <= 20; s++ {
			read(t, d, s)
		}
		if len(tt.r.writes) != 0 {
			t.Errorf("%s: renewed after it was lifted: %q", tt.name, tt.r.writes)
		}
		for _, name := range []string{tt.timer, "704.PFWInjEnaRvrt", "704.PFWInjRvrt.PF", "704.VarSetRvrt", "704.VarSetEnaRvrt"} {
			if _, err := d.Adjust(t.Context(), name, 0); !errors.Is(err, device.ErrUnsupported) {
				t.Errorf("%s can be set, by which a time to revert is taken: %v", name, err)
			}
		}
	}

	// Which way the reactive power goes acts while there is any.
	r := newer()
	d := open(t, r)
	read(t, d, 0)
	if _, err := d.Adjust(t.Context(), "704.PFWInj.Ext", 0); err != nil || len(r.writes) != 1 {
		t.Errorf("at a power factor of 1: %q, %v", r.writes, err)
	}
	if _, err := d.Adjust(t.Context(), "704.PFWInj.PF", 0.9); err != nil {
		t.Fatal(err)
	}
	r.writes = nil
	if _, err := d.Adjust(t.Context(), "704.PFWInj.Ext", 1); err != nil || len(r.writes) != 3 || r.writes[0] != timed("PFWInj")[0] {
		t.Errorf("at a power factor of 0.9: %q, %v", r.writes, err)
	}
	if _, err := d.Adjust(t.Context(), "704.PFWInj.PF", 1); err != nil {
		t.Fatal(err)
	}
	r.writes = nil
	for s := 1.0; s <= 10; s++ {
		read(t, d, s)
	}
	if len(r.writes) != 0 {
		t.Errorf("renewed at a power factor of 1: %q", r.writes)
	}
}

// TestNothingReactiveWithoutATimer: a device that has no time to revert for it, or does not
// keep what it is told to go back to, is asked for no reactive power and no power factor.
func TestNothingReactiveWithoutATimer(t *testing.T) {
	points := map[string]any{
		"VarSet_SF": int64(0), "VarSet": 0.0, "VarSetEna": uint64(0), "PF_SF": int64(-2),
		"PFWInjEna": uint64(0), "PFWInj.PF": 1.0, "PFWInj.Ext": uint64(0), "PFWAbsEna": uint64(0), "PFWAbs.PF": 1.0, "PFWAbs.Ext": uint64(0),
	}
	r := chain(0, fresh(t, 704, 0, points), fresh(t, 123, 0, map[string]any{
		"OutPFSet_SF": int64(-2), "OutPFSet": 1.0, "OutPFSet_Ena": uint64(0), "VArPct_SF": int64(-1), "VArWMaxPct": 0.0, "VArPct_Ena": uint64(0), "Conn": uint64(1),
	}))
	d := open(t, r)
	read(t, d, 0)
	for name, v := range map[string]float64{
		"704.VarSet": 100, "704.VarSetEna": 1, "704.PFWInjEna": 1, "704.PFWInj.PF": 0.9, "704.PFWAbsEna": 1, "704.PFWAbs.PF": 0.9,
		"123.OutPFSet": 0.9, "123.OutPFSet_Ena": 1, "123.VArWMaxPct": 10, "123.VArPct_Ena": 1,
	} {
		if got, err := d.Adjust(t.Context(), name, v); !errors.Is(err, device.ErrUnsupported) || len(r.writes) != 0 {
			t.Errorf("%s: holds %v, %v, %q", name, got, err, r.writes)
		}
	}
	for name, v := range map[string]float64{"704.PFWInj.PF": 1, "704.PFWInjEna": 0} { // asks for nothing
		if _, err := d.Adjust(t.Context(), name, v); err != nil {
			t.Errorf("%s to %g: %v", name, v, err)
		}
	}
	list, err := d.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if strings.HasPrefix(s.Name, "704.PFW") && !s.ReadOnly {
			t.Errorf("%+v may be written", s)
		}
	}

	points["PFWInjRvrtTms"], points["PFWInjEnaRvrt"], points["PFWInjRvrt.PF"] = uint64(0), uint64(0), 0.5
	for _, name := range []string{"PFWInjEnaRvrt", "PFWInjRvrt.PF"} {
		f, _ := sunspec.NewBlock(sunspec.Lookup(704), 0, 0).Field(name)
		d := openStubborn(t, chain(0, fresh(t, 704, 0, points)), 2+f.At)
		if _, err := d.Adjust(t.Context(), "704.PFWInj.PF", 0.9); !errors.Is(err, device.ErrReadBack) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s stays as it was: %v", name, err)
		}
	}
}

// TestBusyWhenItIsReadBack: a device that is busy when it is asked what it holds of a setpoint is
// asked again, a few times.
func TestBusyWhenItIsReadBack(t *testing.T) {
	for _, tt := range []struct {
		what modbus.Exception
		n    int
		want device.AckStatus
	}{
		{modbus.DeviceBusy, 2, device.Done},
		{modbus.Acknowledge, 2, device.Done},
		{modbus.DeviceBusy, 3, device.Failure},
		{modbus.IllegalAddress, 2, device.Failure},
	} {
		r := pcs(t)
		d := open(t, r)
		read(t, d, 0)
		n := 0
		r.onRead = func(int) error {
			if len(r.writes) > 0 && n < tt.n { // it has been told
				n++
				return tt.what
			}
			return nil
		}
		if a := write(t, d, 1, power(10, 1, 600)); a.Status != tt.want {
			t.Errorf("%v, %d times: %v %s, want %v", tt.what, tt.n, a.Status, a.Reason, tt.want)
		}
	}
}

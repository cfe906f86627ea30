package sunspec_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/platform/device"
)

// TestCommandsTheGoldenDevice: the image implements 124 and not 704, and no time to
// revert.
func TestCommandsTheGoldenDevice(t *testing.T) {
	r := image(t)
	d := open(t, r)
	a := write(t, d, 0, power(250, 0, 60))
	if a.Status != device.Done || a.Power != 250 {
		t.Fatalf("%+v", a)
	}
	// 802.CtrlHb, which was 7: before the power, as it is the only dead-man. OutWRte = -25 %,
	// InWRte = 25 %; StorCtl_Mod = both.
	want := []string{"40655 8", "40266 63036 2500", "40259 3"}
	if !slices.Equal(r.writes, want) {
		t.Errorf("writes %q, want %q", r.writes, want)
	}
}

// TestWritesOf704: what is written, in which order and in as few requests as the model
// allows, as pysunspec2 writes points that follow each other.
func TestWritesOf704(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	read(t, d, 0)
	if len(r.writes) > 0 {
		t.Errorf("before any command: %q", r.writes)
	}
	if a := write(t, d, 1, power(400, 1, 60)); a.Status != device.Done || a.Power != 400 {
		t.Fatalf("%+v", a)
	}
	reg := func(addr int, values ...any) string {
		return strings.Trim(fmt.Sprint(append([]any{addr}, values...)), "[]")
	}
	want := []string{
		reg(at704+30, 1, 0, 6),                 // reverts to what follows, after 6 s
		reg(at704+23, 1, 0xFFF9, 0xE580, 0, 0), // watts, -400000, and 0 to revert to
		reg(at704+22, 1),                       // enabled last
		reg(at715+5, 0, 42), reg(at802+19, 8),  // heartbeats
	}
	if !slices.Equal(r.writes, want) {
		t.Fatalf("writes\n%q, want\n%q", r.writes, want)
	}
	r.writes = nil
	read(t, d, 1.5)
	if len(r.writes) > 0 {
		t.Errorf("after half a second: %q", r.writes)
	}
	read(t, d, 2)
	if want := []string{reg(at715+5, 0, 43), reg(at802+19, 9)}; !slices.Equal(r.writes, want) {
		t.Errorf("after a second: %q, want %q", r.writes, want)
	}
	r.writes = nil
	read(t, d, 3)
	want = []string{
		reg(at704+30, 1, 0, 6), reg(at704+23, 1, 0xFFF9, 0xE580, 0, 0), reg(at704+22, 1), reg(at715+5, 0, 44), reg(at802+19, 10),
	}
	if !slices.Equal(r.writes, want) {
		t.Errorf("after a third of the dead-man time: %q, want it renewed: %q", r.writes, want)
	}
}

// TestSetpointEnds: it is taken to 0 when its time is over, and the time to revert never
// lasts beyond that.
func TestSetpointEnds(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	write(t, d, 0, power(-10, 0, 4))
	if got := r.get(at704 + 32); got != 4 {
		t.Errorf("reverts after %d s, want 4", got)
	}
	read(t, d, 2)
	if got := r.get(at704 + 32); got != 2 {
		t.Errorf("renewed with 2 s to go: reverts after %d s", got)
	}
	read(t, d, 3.9)
	if got := r.get(at704 + 25); got != 10000 {
		t.Errorf("before its end: %d W", got)
	}
	read(t, d, 4)
	if got := r.get(at704 + 25); got != 0 {
		t.Errorf("at its end: %d W", got)
	}
	r.writes = nil
	for s := 5.0; s < 20; s++ {
		read(t, d, s)
	}
	for _, w := range r.writes {
		if !strings.HasPrefix(w, fmt.Sprint(at715+5)) && !strings.HasPrefix(w, fmt.Sprint(at802+19)) {
			t.Errorf("after its end %q", w)
		}
	}
}

// TestSetpointOfAMapThatIsGone: a device that comes back without the points of its
// setpoint, as one that starts may, holds none of ours.
func TestSetpointOfAMapThatIsGone(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	read(t, d, 0)
	if a := write(t, d, 0, power(-50, 0, 600)); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	without := chain(40000, fresh(t, 1, 0, nil), fresh(t, 103, 0, map[string]any{"W_SF": int64(0), "W": 5000.0}))
	r.regs = append(without.regs, make([]uint16, 400)...)
	if _, err := d.Read(t.Context(), at(1)); !errors.Is(err, device.ErrOffline) {
		t.Errorf("%v, want ErrOffline", err)
	}
	if got := read(t, d, 2).Power; got != -5 {
		t.Errorf("%v kW, want -5", got)
	}
}

// TestSecondMasterInTheSameCycle: somebody who writes just before we do is seen before his
// setpoint is overwritten.
func TestSecondMasterInTheSameCycle(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	write(t, d, 0, power(10, 0, 60))
	read(t, d, 1)
	r.set(at704+24, 0, 999)
	r.writes = nil
	if a := write(t, d, 2, power(20, 2, 60)); a.Status != device.Rejected || len(r.writes) > 0 {
		t.Errorf("%+v, written %q", a, r.writes)
	}
	if got := read(t, d, 2.5).Flags; got&device.FlagMaster == 0 {
		t.Errorf("flags %v", got)
	}
	if a := write(t, d, 10, power(20, 10, 60)); a.Status != device.Done { // whoever armed it since means it
		t.Errorf("%+v", a)
	}
}

// TestSecondMaster: a setpoint or a heartbeat that somebody else has written is told, and
// the device is left to him.
func TestSecondMaster(t *testing.T) {
	for name, change := range map[string]func(r *registers){
		"setpoint":  func(r *registers) { r.set(at704+24, 0, 999) },
		"disabled":  func(r *registers) { r.set(at704+22, 0) },
		"percent":   func(r *registers) { r.set(at704+23, 0) },
		"heartbeat": func(r *registers) { r.set(at715+5, 0, 500) },
		"CtrlHb":    func(r *registers) { r.set(at802+19, 500) },
	} {
		t.Run(name, func(t *testing.T) {
			r := pcs(t)
			d := open(t, r)
			write(t, d, 0, power(10, 0, 60))
			if got := read(t, d, 1).Flags; got != 0 {
				t.Fatalf("flags %v before", got)
			}
			change(r)
			r.writes = nil
			for s := 2.0; s < 12; s++ {
				if got := read(t, d, s).Flags; (got&device.FlagMaster != 0) != (s < 5) { // told for three seconds
					t.Fatalf("second %v: flags %v", s, got)
				}
			}
			if len(r.writes) > 0 {
				t.Errorf("against another master: %q", r.writes)
			}
			if a := write(t, d, 12, power(10, 12, 60)); a.Status != device.Done {
				t.Fatalf("%+v", a)
			}
			if got := read(t, d, 12.5).Flags; got&device.FlagMaster != 0 {
				t.Errorf("commanded anew: flags %v", got)
			}
		})
	}
}

// TestSetpointThatIsNotShown: a device that stops showing its setpoint has no second
// master for that.
func TestSetpointThatIsNotShown(t *testing.T) {
	for name, change := range map[string]func(r *registers){
		"WSetEna": func(r *registers) { r.set(at704+22, 0xFFFF) },
		"WSet":    func(r *registers) { r.set(at704+24, 0x8000, 0) },
		"WSet_SF": func(r *registers) { r.set(at704+55, 0x8000) },
	} {
		r := pcs(t)
		d := open(t, r)
		write(t, d, 0, power(10, 0, 60))
		change(r)
		if got := read(t, d, 1).Flags; got != 0 {
			t.Errorf("%s: flags %v", name, got)
		}
	}
}

// TestPowerLimit: the time to revert and the limit before it is enabled, by the model
// that has them.
func TestPowerLimit(t *testing.T) {
	older := chain(0, fresh(t, 103, 0, nil), fresh(t, 123, 0, map[string]any{
		"WMaxLimPct_SF": int64(-1), "WMaxLimPct": 100.0, "WMaxLim_Ena": uint64(0), "WMaxLimPct_RvrtTms": uint64(9), "Conn": uint64(1),
	}))
	const at123 = 2 + 52
	for _, tt := range []struct {
		name string
		r    *registers
		want []string
	}{
		{"704", pcs(t), []string{fmt.Sprintf("%d 0 12", at704+18), fmt.Sprintf("%d 4000", at704+15), fmt.Sprintf("%d 1", at704+14)}},
		{"123", older, []string{fmt.Sprintf("%d 12", at123+7), fmt.Sprintf("%d 400", at123+5), fmt.Sprintf("%d 1", at123+9)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, tt.r)
			if got, err := d.Adjust(t.Context(), device.SettingPowerLimit, 40); err != nil || got != 40 {
				t.Fatalf("holds %v, %v", got, err)
			}
			if !slices.Equal(tt.r.writes, tt.want) {
				t.Errorf("writes %q, want %q", tt.r.writes, tt.want)
			}
			if got, err := d.Adjust(t.Context(), device.SettingPowerLimit, 100); err != nil || got != 100 {
				t.Errorf("lifted: holds %v, %v", got, err)
			}
			tt.r.readOnly = true
			if got, err := d.Adjust(t.Context(), device.SettingPowerLimit, 30); !errors.Is(err, device.ErrReadBack) {
				t.Errorf("not taken: holds %v, %v, want ErrReadBack", got, err)
			}
		})
	}
}

// TestReadBack: a device that acknowledges and keeps what it had is found out, and told 0.
func TestReadBack(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	read(t, d, 0)
	r.readOnly = true
	a := write(t, d, 0, power(10, 0, 60))
	if a.Status != device.Failure || a.Code != "READ_BACK" || a.Reason == "" {
		t.Errorf("%+v", a)
	}
	last := r.writes[len(r.writes)-2]
	if want := fmt.Sprintf("%d 1 0 0 0 0", at704+23); last != want {
		t.Errorf("then %q, want it told 0: %q", last, want)
	}
	r.readOnly, r.writes = false, nil
	for s := 1.0; s < 10; s++ {
		read(t, d, s)
	}
	if len(r.writes) > 0 {
		t.Errorf("renewed: %q", r.writes)
	}
}

// meddled is a device that holds another power than it was told.
type meddled struct {
	*registers
	w uint16
}

func (x *meddled) Write(ctx context.Context, addr uint16, values []uint16) error {
	err := x.registers.Write(ctx, addr, values)
	if w := x.w; addr == at704+23 && w != 0 {
		x.set(at704+24, 0, w)
		x.w = 0
	}
	return err
}

// TestReadBackSaysWhoseItIs: a device that still holds what it held does not take what it is
// told; one that holds a third power has cut it, or has been told that by somebody else.
func TestReadBackSaysWhoseItIs(t *testing.T) {
	for w, want := range map[uint16]string{
		10000: "told -20 kW, the device holds -10 kW as before: it does not take it",
		15000: "told -20 kW, the device holds -15 kW, which is not the -10 kW of before either: it has cut it, or a second master has written since",
	} {
		x := &meddled{pcs(t), 0}
		d, err := sunspec.New(sunspec.Options{Conn: x, Base: 40000, Unit: 1})
		if err != nil {
			t.Fatal(err)
		}
		write(t, d, 0, power(-10, 0, 600))
		x.w = w
		if a := write(t, d, 1, power(-20, 1, 600)); a.Code != "READ_BACK" || !strings.HasSuffix(a.Reason, want) {
			t.Errorf("%v %s: %s", a.Status, a.Code, a.Reason)
		}
	}
}

// revertsTo is a device that keeps its own power to revert to.
type revertsTo struct {
	*registers
	w uint16
}

func (x revertsTo) Write(ctx context.Context, addr uint16, values []uint16) error {
	err := x.registers.Write(ctx, addr, values)
	x.regs[at704+27-x.base] = x.w
	return err
}

// TestPowerToRevertToIsReadBack: a dead-man that leads to another power than 0 is none.
func TestPowerToRevertToIsReadBack(t *testing.T) {
	for w, want := range map[uint16]device.AckStatus{0: device.Done, 20000: device.Failure} {
		r := pcs(t)
		d, err := sunspec.New(sunspec.Options{Conn: revertsTo{r, w}, Base: r.base, Unit: 1})
		if err != nil {
			t.Fatal(err)
		}
		read(t, d, 0)
		if a := write(t, d, 0, power(10, 0, 60)); a.Status != want {
			t.Errorf("reverts to %d W: %+v", w, a)
		}
	}
}

// writesFail is a device that answers some writes with an error.
type writesFail struct {
	*registers
	at   int
	with error
}

func (w writesFail) Write(ctx context.Context, addr uint16, values []uint16) error {
	if int(addr) == w.at {
		return w.with
	}
	return w.registers.Write(ctx, addr, values)
}

func TestRefusedWrites(t *testing.T) {
	for _, tt := range []struct {
		with error
		at   int
		code string // empty: an error
	}{
		{modbus.IllegalValue, at704 + 23, "REJECTED"},
		{modbus.IllegalAddress, at704 + 30, "REJECTED"},
		{modbus.DeviceFailure, at704 + 22, "DEVICE_FAULT"},
		{modbus.DeviceBusy, at704 + 23, "DEVICE_FAULT"},
		{fmt.Errorf("write: %w", device.ErrOffline), at704 + 23, ""},
	} {
		r := pcs(t)
		d, err := sunspec.New(sunspec.Options{Conn: writesFail{r, tt.at, tt.with}, Base: 40000})
		if err != nil {
			t.Fatal(err)
		}
		a, err := d.Write(t.Context(), start, power(10, 0, 60))
		switch {
		case tt.code == "" && !errors.Is(err, device.ErrOffline):
			t.Errorf("%v: %+v, %v, want ErrOffline", tt.with, a, err)
		case tt.code != "" && (err != nil || a.Status != device.Rejected || a.Code != tt.code):
			t.Errorf("%v: %v %s, %v, want rejected %s", tt.with, a.Status, a.Code, err, tt.code)
		}
		if r.get(at704+25) != 0 || r.get(at704+24) != 0 {
			t.Errorf("%v: the device is left with a setpoint", tt.with)
		}
		r.writes = nil
		for s := 1.0; s < 10; s++ {
			read(t, d, s)
		}
		timer := fmt.Sprintf("%d ", at704+30)
		if slices.ContainsFunc(r.writes, func(w string) bool {
			return tt.code != "" || !strings.HasPrefix(w, timer) // taking it back begins with that, and is owed
		}) {
			t.Errorf("%v: renewed: %q", tt.with, r.writes)
		}
	}
}

func TestEmergencyStop(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	write(t, d, 0, power(10, 0, 60))
	r.writes = nil
	if a := write(t, d, 1, device.Command{Verb: device.EStop}); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	want := []string{
		fmt.Sprintf("%d 1 0 6", at704+30), fmt.Sprintf("%d 1 0 0 0 0", at704+23), fmt.Sprintf("%d 1", at704+22),
		fmt.Sprintf("%d 0", at715+8), fmt.Sprintf("%d 2", at802+50),
	}
	if !slices.Equal(r.writes, want) {
		t.Errorf("writes %q, want %q", r.writes, want)
	}
	if a := write(t, d, 2, power(10, 2, 60)); a.Status != device.Rejected || a.Code != "DEVICE_FAULT" {
		t.Errorf("a setpoint then: %+v", a)
	}
	if got := read(t, d, 2).Flags; got != 0 { // it was no button of the device
		t.Errorf("flags %v", got)
	}
	r.writes = nil
	if a := write(t, d, 3, device.Command{Verb: device.Reset}); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	want = append(want[:3], fmt.Sprintf("%d 1", at715+7), fmt.Sprintf("%d 1", at802+20), fmt.Sprintf("%d 1", at802+50), fmt.Sprintf("%d 1", at715+8))
	if !slices.Equal(r.writes, want) {
		t.Errorf("reset writes %q, want %q", r.writes, want)
	}
	if got := read(t, d, 3).Flags; got != 0 {
		t.Errorf("flags %v", got)
	}
}

// TestEmergencyStopOfASilentDevice: it is stopped when it answers again, unasked.
func TestEmergencyStopOfASilentDevice(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	write(t, d, 0, power(10, 0, 600))
	r.onRead = func(int) error { return device.ErrOffline }
	if a, err := d.Write(t.Context(), at(1), device.Command{Verb: device.EStop}); !errors.Is(err, device.ErrOffline) {
		t.Fatalf("%+v, %v", a, err)
	}
	r.onRead = nil
	read(t, d, 2)
	if r.get(at704+25) != 0 || r.get(at715+8) != 0 || r.get(at802+50) != 2 {
		t.Errorf("WSet %d, OpCtl %d, SetOp %d", r.get(at704+25), r.get(at715+8), r.get(at802+50))
	}
}

// TestFaultEndsTheSetpoint: power does not come back by itself when a fault is over.
func TestFaultEndsTheSetpoint(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	write(t, d, 0, power(10, 0, 60))
	r.set(at701+4, 6)
	read(t, d, 1)
	if got := r.get(at704 + 25); got != 0 {
		t.Errorf("in fault: %d W", got)
	}
	if a := write(t, d, 1, power(10, 1, 60)); a.Code != "DEVICE_FAULT" {
		t.Errorf("a setpoint in fault: %+v", a)
	}
	r.set(at701+4, 3)
	for s := 2.0; s < 6; s++ {
		read(t, d, s)
	}
	if got := r.get(at704 + 25); got != 0 {
		t.Errorf("after the fault: %d W", got)
	}
}

func TestModes(t *testing.T) {
	withoutOp := pcs(t)
	withoutOp.set(at715+8, 0xFFFF)
	for _, tt := range []struct {
		name     string
		r        *registers
		addr     int
		standby  uint16
		run      uint16
		standing func(r *registers, on bool)
	}{{"715", pcs(t), at715 + 8, 2, 3, nil}, {"802", withoutOp, at802 + 51, 2, 3, nil}} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, tt.r)
			for _, m := range []device.Mode{device.StandbyMode, device.MaintenanceMode} {
				write(t, d, 0, power(10, 0, 60))
				if a := write(t, d, 0, device.Command{Verb: device.SetMode, Mode: m}); a.Status != device.Done {
					t.Fatalf("%+v", a)
				}
				if tt.r.get(tt.addr) != tt.standby || tt.r.get(at704+25) != 0 {
					t.Errorf("%v: %d, %d W", m, tt.r.get(tt.addr), tt.r.get(at704+25))
				}
				if a := write(t, d, 0, power(10, 0, 60)); a.Status != device.Rejected {
					t.Errorf("a setpoint in %v: %+v", m, a)
				}
				if a := write(t, d, 0, device.Command{Verb: device.SetMode}); a.Status != device.Done || tt.r.get(tt.addr) != tt.run {
					t.Fatalf("%+v, %d", a, tt.r.get(tt.addr))
				}
			}
		})
	}
}

func TestWhatADeviceCannotDo(t *testing.T) {
	r := chain(0, fresh(t, 103, 0, map[string]any{"W_SF": int64(0), "W": 0.0}))
	d := open(t, r)
	for _, verb := range []device.Verb{device.SetPower, device.Stop, device.Release, device.EStop, device.Arm, device.Disarm} {
		c := power(5, 0, 60)
		c.Verb = verb
		if a := write(t, d, 0, c); a.Status != device.Rejected || a.Code != "UNSUPPORTED" {
			t.Errorf("%v: %v %s", verb, a.Status, a.Code)
		}
	}
	if got := read(t, d, 0); !math.IsNaN(got.SoC) || !math.IsNaN(got.MaxCharge) || got.Power != 0 {
		t.Errorf("%+v", got)
	}
}

// TestStopOfflineEndsTheSetpoint: what was stopped while the device could not be reached
// is not written again when it can.
func TestStopOfflineEndsTheSetpoint(t *testing.T) {
	for _, verb := range []device.Verb{device.Stop, device.Release, device.SetMode, device.Reset} {
		r := pcs(t)
		d := open(t, r)
		read(t, d, 0)
		write(t, d, 1, power(400, 1, 3600))
		r.onRead = func(int) error { return device.ErrOffline }
		if a, err := d.Write(t.Context(), at(5), device.Command{Verb: verb}); err == nil {
			t.Fatalf("%+v", a)
		}
		r.onRead, r.writes = nil, nil
		read(t, d, 20)
		for _, w := range r.writes {
			if strings.Contains(w, " 65529 58752 ") { // 400 kW into the device
				t.Errorf("%v: written again: %q", verb, r.writes)
			}
		}
	}
}

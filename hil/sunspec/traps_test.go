package sunspec_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"

	"yunchu/hil/sunspec"
	"yunchu/platform/device"
)

// TestBatteryPortOf714: the port of the battery is found among others.
func TestBatteryPortOf714(t *testing.T) {
	port := func(i, kind int, amperes, volts float64) map[string]any {
		name := func(point string) string { return fmt.Sprintf("Prt[%d].%s", i, point) }
		return map[string]any{name("PrtTyp"): uint64(kind), name("DCA"): amperes, name("DCV"): volts}
	}
	nan := math.NaN()
	for _, tt := range []struct {
		name           string
		ports          []map[string]any
		total          float64 // of all ports
		volts, amperes float64
	}{
		{"the only one", []map[string]any{port(0, 1, -62.5, 800)}, -62.5, 800, -62.5},
		{"behind photovoltaics", []map[string]any{port(0, 0, 10, 600), port(1, 1, -62.5, 800)}, -52.5, 800, -62.5},
		{"both ways, without a word of storage", []map[string]any{port(0, 0, 10, 600), port(1, 5, -62.5, 800)}, -52.5, 800, -62.5},
		{"storage before what may be", []map[string]any{port(0, 5, 1, 700), port(1, 1, -62.5, 800)}, -61.5, 800, -62.5},
		{"one that says no current", []map[string]any{port(0, 1, nan, 800)}, -62.5, 800, -62.5},
		{"photovoltaics alone", []map[string]any{port(0, 0, 10, 600)}, 10, nan, nan},
		{"no port", nil, -62.5, nan, -62.5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := map[string]any{"DCA_SF": int64(-1), "DCV_SF": int64(-1), "DCA": tt.total}
			for _, p := range tt.ports {
				maps.Copy(set, p)
			}
			got := read(t, open(t, chain(40000, fresh(t, 714, len(tt.ports), set))), 0)
			if !near(got.Voltage, tt.volts) || !near(got.Current, tt.amperes) {
				t.Errorf("%v V, %v A, want %v V, %v A", got.Voltage, got.Current, tt.volts, tt.amperes)
			}
		})
	}
}

// TestAlarmsThatSayNothing: a device that had alarms and whose alarms are all ones, which
// SunSpec has for what is not implemented, is not taken for one without alarms. One that
// never had any is.
func TestAlarmsThatSayNothing(t *testing.T) {
	at := func(addr int, id uint16, name string) int {
		f, ok := sunspec.NewBlock(sunspec.Lookup(id), 0, 0).Field(name)
		if !ok {
			t.Fatalf("no %d.%s", id, name)
		}
		return addr + f.At
	}
	for name, addr := range map[string]int{"701.Alrm": at(at701, 701, "Alrm"), "802.Evt1": at(at802, 802, "Evt1")} {
		for _, x := range [][]uint16{{0xFFFF, 0xFFFF}, {0x8000, 0}} {
			r := pcs(t)
			d := open(t, r)
			if got := read(t, d, 0); got.MaxCharge != 80 || got.MaxDischarge != 160 {
				t.Fatalf("%s is 0: %+v", name, got)
			}
			r.set(addr, x...)
			if got := read(t, d, 1); got.MaxCharge != 0 || got.MaxDischarge != 0 || got.Flags != 0 {
				t.Errorf("%s is %x: at most %v and %v kW, flags %v", name, x, got.MaxCharge, got.MaxDischarge, got.Flags)
			}
			r.set(addr, 0, 0)
			if got := read(t, d, 2); got.MaxCharge != 80 || got.MaxDischarge != 160 {
				t.Errorf("%s is 0 again: %+v", name, got)
			}
			r.set(addr, x...)
			if got := read(t, open(t, r), 0); got.MaxCharge != 80 || got.MaxDischarge != 160 {
				t.Errorf("without %s from the start: %+v", name, got)
			}
		}
	}
}

// TestAlarmsOfADeviceThatComesBack: the alarms of a device that has restarted, or whose link was
// lost, and that says nothing of them any more, are not taken for none.
func TestAlarmsOfADeviceThatComesBack(t *testing.T) {
	field := func(id uint16, name string) int {
		f, _ := sunspec.NewBlock(sunspec.Lookup(id), 0, 0).Field(name)
		return f.At
	}
	for name, addr := range map[string]int{"701.Alrm": at701 + field(701, "Alrm"), "802.Evt1": at802 + field(802, "Evt1")} {
		r := pcs(t)
		d := open(t, r)
		if got := read(t, d, 0); got.MaxCharge != 80 || got.MaxDischarge != 160 {
			t.Fatalf("%s is 0: %+v", name, got)
		}
		r.onRead = func(int) error { return device.ErrOffline }
		if _, err := d.Read(t.Context(), at(1)); !errors.Is(err, device.ErrOffline) {
			t.Fatal(err)
		}
		r.onRead = nil
		r.set(addr, 0xFFFF, 0xFFFF)
		for s := 2.0; s < 4; s++ {
			if got := read(t, d, s); got.MaxCharge != 0 || got.MaxDischarge != 0 {
				t.Errorf("back without %s: at most %v and %v kW", name, got.MaxCharge, got.MaxDischarge)
			}
		}
		r.set(addr, 0, 0)
		if got := read(t, d, 4); got.MaxCharge != 80 || got.MaxDischarge != 160 {
			t.Errorf("%s is 0 again: %+v", name, got)
		}
		// Another device there has models of its own.
		other := chain(40000, fresh(t, 1, 0, nil), fresh(t, 103, 0, map[string]any{"W_SF": int64(0), "W": 5000.0}),
			fresh(t, 802, 0, map[string]any{"V_SF": int64(-1), "V": 800.0, "AMax_SF": int64(0), "AChaMax": 100.0, "ADisChaMax": 200.0}))
		r.regs = append(other.regs, make([]uint16, 400)...)
		_, _ = d.Read(t.Context(), at(5)) // which finds that the map has changed
		if got := read(t, d, 6); got.MaxCharge != 80 || got.MaxDischarge != 160 {
			t.Errorf("another one, without alarms from the start: %+v", got)
		}
	}
}

// TestVoltagesEndChargeAndDischarge: 802.VMax and VMin bound where there is no limit of
// current, and where there is one.
func TestVoltagesEndChargeAndDischarge(t *testing.T) {
	for _, tt := range []struct {
		volts             float64
		charge, discharge float64
	}{{800, 80, 160}, {900, 0, 180}, {901, 0, 180.2}, {700, 70, 0}, {699, 69.9, 0}} {
		r := pcs(t)
		r.set(at802+34, uint16(10*tt.volts), 9000, 7000) // V, VMax, VMin
		got := read(t, open(t, r), 0)
		if got.Own == nil || got.Own.Voltage != (device.Span{700, 900}) {
			t.Errorf("own windows %+v", got.Own)
		}
		if !near(got.MaxCharge, tt.charge) || !near(got.MaxDischarge, tt.discharge) {
			t.Errorf("at %v V: takes %v kW and gives %v kW, want %v and %v", tt.volts, got.MaxCharge, got.MaxDischarge, tt.charge, tt.discharge)
		}
	}
}

// TestMissingTheControllerForbidsNothing: else a device that had to be left alone for a
// while would never be commanded again.
func TestMissingTheControllerForbidsNothing(t *testing.T) {
	r := pcs(t)
	r.set(at802+27, 1<<0) // COMMUNICATION_ERROR
	if got := read(t, open(t, r), 0); got.MaxCharge != 80 || got.MaxDischarge != 160 {
		t.Errorf("takes %v kW and gives %v kW", got.MaxCharge, got.MaxDischarge)
	}
}

// TestAdjustedRatingBounds: a setting of the converter's power bounds from then on.
func TestAdjustedRatingBounds(t *testing.T) {
	r := pcs(t, fresh(t, 702, 0, map[string]any{"W_SF": int64(2), "WChaRteMaxRtg": 90000.0, "WChaRteMax": 75000.0, "WDisChaRteMaxRtg": 90000.0}))
	d := open(t, r)
	if got := read(t, d, 0); got.MaxCharge != 75 || got.MaxDischarge != 90 {
		t.Errorf("takes %v kW and gives %v kW", got.MaxCharge, got.MaxDischarge)
	}
	if got, err := d.Adjust(t.Context(), "702.WChaRteMax", 40000); err != nil || got != 40000 {
		t.Fatalf("holds %v, %v", got, err)
	}
	if got := read(t, d, 1); got.MaxCharge != 40 || got.MaxDischarge != 90 {
		t.Errorf("adjusted: takes %v kW and gives %v kW", got.MaxCharge, got.MaxDischarge)
	}
}

// TestHeartbeatThatIsNotKept: a device that shows something else than our heartbeat is not
// one that is commanded by somebody else.
func TestHeartbeatThatIsNotKept(t *testing.T) {
	r := pcs(t)
	d := openStubborn(t, r, at802+19)
	write(t, d, 0, power(10, 0, 60))
	for s := 1.0; s < 10; s++ {
		if got := read(t, d, s).Flags; got&device.FlagMaster != 0 {
			t.Fatalf("second %v: flags %v", s, got)
		}
	}
	r.set(at715+5, 0, 500) // which it does keep
	if got := read(t, d, 10).Flags; got&device.FlagMaster == 0 {
		t.Errorf("another controller: flags %v", got)
	}
}

// TestSetpointStaysWithinWhatWasAsked: what the registers have no number for is rounded
// towards 0, and the answer says so.
func TestSetpointStaysWithinWhatWasAsked(t *testing.T) {
	for _, tt := range []struct{ kw, want float64 }{{12.99, 12}, {-12.99, -12}, {0.4, 0}, {-7, -7}, {7, 7}} {
		r := pcs(t)
		r.set(at704+55, 3) // WSet in kW
		d := open(t, r)
		if a := write(t, d, 0, power(tt.kw, 0, 60)); a.Status != device.Done || a.Power != tt.want {
			t.Errorf("%v kW: %+v, want %v kW taken", tt.kw, a, tt.want)
		}
		if w := int16(r.get(at704 + 25)); float64(w) != -tt.want {
			t.Errorf("%v kW: WSet %d", tt.kw, w)
		}
		r.writes = nil
		for s := 1.0; s < 5; s++ {
			if got := read(t, d, s).Flags; got&device.FlagMaster != 0 {
				t.Errorf("%v kW: flags %v", tt.kw, got)
			}
		}
	}
	for _, kw := range []float64{123.4, -0.3, 4.35, 99.999, 0.001} { // all steps of 1 W
		if a := write(t, open(t, pcs(t)), 0, power(kw, 0, 60)); a.Power != kw {
			t.Errorf("%v kW: %v kW taken", kw, a.Power)
		}
	}
}

// TestDeadManIsReadBack: a device that keeps another time to revert than it was told is
// found out, and told 0.
func TestDeadManIsReadBack(t *testing.T) {
	for name, held := range map[string]uint16{"none": 0, "a longer one": 600} {
		r := pcs(t)
		r.set(at704+32, held)
		d := openStubborn(t, r, at704+32)
		a := write(t, d, 0, power(10, 0, 60))
		if a.Status != device.Failure || a.Code != "READ_BACK" {
			t.Errorf("%s: %+v", name, a)
		}
		if r.get(at704+24) != 0 || r.get(at704+25) != 0 {
			t.Errorf("%s: the device is left with a setpoint", name)
		}
	}
}

// TestPowerNeedsADeadMan: a device that would go on for ever when the bridge dies takes no
// power. A heartbeat that it keeps is enough, and begins before the setpoint.
func TestPowerNeedsADeadMan(t *testing.T) {
	none704 := func(r *registers) { r.set(at704+31, 0xFFFF, 0xFFFF) } // WSetRvrtTms
	none715 := func(r *registers) { r.set(at715+5, 0xFFFF, 0xFFFF) }  // ControllerHb
	none802 := func(r *registers) { r.set(at802+19, 0xFFFF) }         // CtrlHb
	none124 := func(r *registers) { r.set(at124+15, 0xFFFF) }         // InOutWRte_RvrtTms
	by124 := func(r *registers) { r.set(at704+22, 0xFFFF) }           // 704.WSetEna: only 124 is left
	for name, tt := range map[string]struct {
		without []func(*registers)
		deaf    int // a register that keeps nothing
		refused bool
		first   int // register that is written, 0: whatever
	}{
		"time to revert and heartbeats":  {},
		"time to revert":                 {without: []func(*registers){none715, none802}},
		"heartbeat of 715":               {without: []func(*registers){none704, none802}, first: at715 + 5},
		"heartbeat of 802":               {without: []func(*registers){none704, none715}, first: at802 + 19},
		"one heartbeat that is not kept": {without: []func(*registers){none704}, deaf: at802 + 19},
		"heartbeat that is not kept":     {without: []func(*registers){none704, none715}, deaf: at802 + 19, refused: true},
		"nothing":                        {without: []func(*registers){none704, none715, none802}, refused: true},
		"124: time to revert":            {without: []func(*registers){by124, none715, none802}},
		"124: heartbeat":                 {without: []func(*registers){by124, none124, none715}},
		"124: nothing":                   {without: []func(*registers){by124, none124, none715, none802}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := pcs(t, fresh(t, 124, 0, map[string]any{
				"WChaMax_SF": int64(0), "WChaMax": 50000.0, "StorCtl_Mod": uint64(0), "InOutWRte_SF": int64(-2),
				"OutWRte": 0.0, "InWRte": 0.0, "InOutWRte_RvrtTms": uint64(0),
			}))
			for _, change := range tt.without {
				change(r)
			}
			d := openStubborn(t, r, tt.deaf)
			if tt.deaf == 0 {
				d = open(t, r)
			}
			for s := range 2 { // the second time the heart beats already
				r.writes = nil
				a := write(t, d, float64(s), power(10, float64(s), 60))
				switch {
				case !tt.refused && (a.Status != device.Done || a.Power != 10):
					t.Errorf("%+v", a)
				case tt.refused && (a.Status != device.Rejected || a.Code != "REJECTED" || !strings.Contains(a.Reason, "dead-man")):
					t.Errorf("%+v, want it refused", a)
				case s == 0 && (len(r.writes) == 0) != (tt.refused && tt.deaf == 0), s == 0 && tt.first != 0 && !strings.HasPrefix(r.writes[0], fmt.Sprintf("%d ", tt.first)):
					t.Errorf("writes %q", r.writes)
				}
			}
			for _, c := range []device.Command{power(0, 3, 60), {Verb: device.Stop}, {Verb: device.Release}, {Verb: device.EStop}} {
				if a := write(t, d, 3, c); a.Status != device.Done {
					t.Errorf("%v: %+v", c.Verb, a)
				}
			}
		})
	}
}

// TestFinestRamp: of several registers for a ramp that is used which can hold it.
func TestFinestRamp(t *testing.T) {
	r := chain(40000,
		fresh(t, 704, 0, map[string]any{"WRmp": uint64(100)}),
		fresh(t, 121, 0, map[string]any{"WGra_SF": int64(-2), "WGra": 100.0}))
	if got, err := open(t, r).Adjust(t.Context(), device.SettingRamp, 0.5); err != nil || got != 0.5 {
		t.Errorf("0.5 %%/s: holds %v, %v", got, err)
	}
	if v := r.get(40002 + 67 + 12); v != 50 {
		t.Errorf("121.WGra is %d", v)
	}
}

// TestBaseOfPercentagesIsNoSetting: a setpoint in percent of it would change with it.
func TestBaseOfPercentagesIsNoSetting(t *testing.T) {
	r := image(t)
	d := open(t, r)
	if a := write(t, d, 0, power(500, 0, 60)); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	if got, err := d.Adjust(t.Context(), "124.WChaMax", 900000); !errors.Is(err, device.ErrUnsupported) {
		t.Errorf("holds %v, %v", got, err)
	}
}

// TestSwitchesOfStringsAreNoSettings: they act, whichever model has them.
func TestSwitchesOfStringsAreNoSettings(t *testing.T) {
	r := pcs(t, fresh(t, 804, 0, map[string]any{"SetEna": uint64(2), "SetCon": uint64(2)}))
	d := open(t, r)
	for _, name := range []string{"804.SetEna", "804.SetCon"} {
		if got, err := d.Adjust(t.Context(), name, 1); !errors.Is(err, device.ErrUnsupported) {
			t.Errorf("%s holds %v, %v", name, got, err)
		}
	}
	if len(r.writes) > 0 {
		t.Errorf("wrote %q", r.writes)
	}
}

// stubborn is a device one of whose registers stays as it is.
type stubborn struct {
	*registers
	at int
}

func (s stubborn) Write(ctx context.Context, addr uint16, values []uint16) error {
	was := s.get(s.at)
	defer s.set(s.at, was)
	return s.registers.Write(ctx, addr, values)
}

func openStubborn(t *testing.T, r *registers, at int) *sunspec.Driver {
	t.Helper()
	d, err := sunspec.New(sunspec.Options{Conn: stubborn{r, at}, Base: r.base})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// scales is a device that changes the scale of its setpoint before a write to it.
type scales struct {
	*registers
	at     int // of the write
	change func()
}

func (x *scales) Write(ctx context.Context, addr uint16, values []uint16) error {
	if int(addr) == x.at && x.change != nil {
		x.change()
		x.change = nil
	}
	return x.registers.Write(ctx, addr, values)
}

// TestScaleOfARenewedSetpoint: a scale factor that changes while a setpoint is in force is no
// second master, and makes no power ten times as large: the setpoint is written again in it.
// Where it changes between the last look and the renewal, the power is taken to 0.
func TestScaleOfARenewedSetpoint(t *testing.T) {
	const factor = at704 + 55
	w := func(r *registers) float64 { // of the setpoint
		return float64(int32(uint32(r.get(at704+24))<<16|uint32(r.get(at704+25)))) * math.Pow10(int(int16(r.get(factor))))
	}
	for name, tt := range map[string]struct {
		kw     float64
		change func(r *registers)
		during bool // the renewal
		want   float64
	}{
		"coarser":             {50.04, func(r *registers) { r.set(factor, 2) }, false, -50000},
		"finer":               {50, func(r *registers) { r.set(factor, 0xFFFE) }, false, -50000},
		"with its number":     {-50, func(r *registers) { r.set(factor, 2); r.set(at704+24, 0, 500) }, false, 50000},
		"while it is renewed": {50, func(r *registers) { r.set(factor, 1) }, true, 0},
		"somebody else's":     {50, func(r *registers) { r.set(factor, 2); r.set(at704+24, 0, 7) }, false, 700},
	} {
		x := &scales{registers: pcs(t), at: at704 + 23}
		d, err := sunspec.New(sunspec.Options{Conn: x, Base: 40000, Unit: 1})
		if err != nil {
			t.Fatal(err)
		}
		write(t, d, 0, power(tt.kw, 0, 600))
		read(t, d, 1)
		if tt.during {
			x.change = func() { tt.change(x.registers) }
		} else {
			tt.change(x.registers)
		}
		master := device.Flags(0)
		for s := 2.0; s < 5; s++ {
			master |= read(t, d, s).Flags & device.FlagMaster
			if got := w(x.registers); got != tt.want {
				t.Errorf("%s: at %g s it holds %g W, want %g W", name, s, got, tt.want)
			}
		}
		if theirs := name == "somebody else's"; theirs != (master != 0) {
			t.Errorf("%s: flags %v", name, master)
		}
	}
}

package sunspec_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/platform/device"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }

func open(t testing.TB, r *registers) *sunspec.Driver {
	t.Helper()
	d, err := sunspec.New(sunspec.Options{Conn: r, Base: r.base, Unit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func read(t testing.TB, d *sunspec.Driver, s float64) device.Reading {
	t.Helper()
	r, err := d.Read(t.Context(), at(s))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func power(kw float64, now, holds float64) device.Command {
	return device.Command{Verb: device.SetPower, Power: kw, At: at(now).UnixMilli(), Until: at(now + holds).UnixMilli(), Duration: int64(1000 * holds)}
}

func write(t testing.TB, d *sunspec.Driver, s float64, c device.Command) device.Ack {
	t.Helper()
	a, err := d.Write(t.Context(), at(s), c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// pcs is a device with the newer models, at rest.
func pcs(t testing.TB, more ...[]uint16) *registers {
	t.Helper()
	blocks := [][]uint16{
		fresh(t, 1, 0, map[string]any{"Mn": "Maker", "Md": "Type 5"}),
		fresh(t, 701, 0, map[string]any{"W_SF": int64(1), "W": 0.0, "InvSt": uint64(3), "Alrm": uint64(0)}),
		fresh(t, 704, 0, map[string]any{
			"WSet_SF": int64(0), "WSetEna": uint64(0), "WSetMod": uint64(0), "WSet": 0.0, "WSetRvrt": 0.0, "WSetPct_SF": int64(-2),
			"WSetPct": 0.0, "WSetPctRvrt": 0.0, "WSetEnaRvrt": uint64(0), "WSetRvrtTms": uint64(0),
			"WMaxLimPct_SF": int64(-2), "WMaxLimPct": 100.0, "WMaxLimPctEna": uint64(0), "WMaxLimPctRvrtTms": uint64(0), "WMaxLimPctEnaRvrt": uint64(0),
		}),
		fresh(t, 715, 0, map[string]any{"LocRemCtl": uint64(0), "DERHb": uint64(0), "ControllerHb": uint64(41), "AlarmReset": uint64(0), "OpCtl": uint64(1)}),
		fresh(t, 802, 0, map[string]any{
			"SoC_SF": int64(-2), "SoC": 50.0, "SoH_SF": int64(-1), "SoH": 98.5, "V_SF": int64(-1), "V": 800.0, "A_SF": int64(-1), "A": 0.0,
			"AMax_SF": int64(0), "AChaMax": 100.0, "ADisChaMax": 200.0, "State": uint64(3), "Evt1": uint64(0), "ReqInvState": uint64(0),
			"LocRemCtl": uint64(0), "Hb": uint64(0), "CtrlHb": uint64(7), "AlmRst": uint64(0), "SetOp": uint64(1), "SetInvState": uint64(3),
		}),
	}
	return chain(40000, append(blocks, more...)...)
}

// Where pcs has its models.
const (
	at701 = 40070
	at704 = at701 + 155
	at715 = at704 + 67
	at802 = at715 + 9
	at124 = at802 + 64 // where that follows
)

// set changes registers of the device behind the driver's back.
func (r *registers) set(addr int, values ...uint16) { copy(r.regs[addr-r.base:], values) }

func (r *registers) get(addr int) uint16 { return r.regs[addr-r.base] }

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 || math.IsNaN(a) && math.IsNaN(b) }

func TestReadsTheGoldenDevice(t *testing.T) {
	r := image(t)
	d := open(t, r)
	got := read(t, d, 0)
	want := device.Reading{
		At: at(0).UnixMilli(), SoC: 55, SoH: 98, Voltage: 800, Current: -625, Power: -500, Temperature: 35,
		MaxCharge: 1000, MaxDischarge: 1000, Frequency: 50, Status: device.Discharging,
	}
	want.Arrived = got.Arrived
	if got != want || got.Arrived < got.At {
		t.Errorf("reads %+v\nwant  %+v", got, want)
	}
	if len(r.writes) != 0 {
		t.Errorf("written to a device that nobody commands: %q", r.writes)
	}
	info, err := d.Describe(t.Context(), at(1))
	if err != nil || info.Manufacturer != "VPP-HIL" || info.Model != "SimBESS-1MW" || info.RatedKW != 1000 || info.CapacityKWh != 2000 || info.VoltStep != 0.1 {
		t.Errorf("describes itself as %+v, %v", info, err)
	}
}

// TestReactivePowerIsShown: counted as absorbed above zero, in kvar, and only read.
func TestReactivePowerIsShown(t *testing.T) {
	r := pcs(t)
	r.set(at701+12, 300) // Var, generated
	r.set(at701+119, 1)  // Var_SF
	d := open(t, r)
	if q, err := d.Setting(t.Context(), device.SettingReactive); err != nil || q != -3 {
		t.Errorf("it absorbs %v kvar, %v", q, err)
	}
	list, err := d.Settings(t.Context())
	if i := slices.IndexFunc(list, func(s device.Setting) bool { return s.Name == device.SettingReactive }); err != nil || i < 0 || !list[i].ReadOnly || list[i].Step != 0.01 {
		t.Errorf("settings %+v, %v", list, err)
	}
	if _, err := d.Adjust(t.Context(), device.SettingReactive, 1); !errors.Is(err, device.ErrUnsupported) {
		t.Errorf("the reactive power that flows is written: %v", err)
	}
}

// TestScaleFactorIsFollowed: a device that changes its scale factors at run-time is read
// and written in those of the moment.
func TestScaleFactorIsFollowed(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	r.set(at701+10, 0xFFFF) // W = -10
	if got := read(t, d, 0).Power; got != 0.01 {
		t.Errorf("charging with 10 W: %v kW", got)
	}
	r.set(at701+116, 3) // W_SF
	if got := read(t, d, 1).Power; got != 1 {
		t.Errorf("the same register in kW: %v kW", got)
	}
	r.set(at704+55, 2) // WSet_SF, after the last poll
	if a := write(t, d, 1, power(-50, 1, 60)); a.Status != device.Done || a.Power != -50 {
		t.Fatalf("%+v", a)
	}
	if got := r.get(at704 + 25); got != 500 {
		t.Errorf("50 kW in hundreds of watts: %d", got)
	}
	if a := write(t, d, 1, power(-50.04, 1, 60)); a.Status != device.Done || a.Power != -50 {
		t.Errorf("40 W more than the register can tell: %+v", a)
	}
	r.set(at704+55, 0x8000)
	if a := write(t, d, 2, power(-50, 2, 60)); a.Status != device.Rejected {
		t.Errorf("without a scale factor: %+v", a)
	}
}

// TestNoHalfReading: a poll that fails in the middle is no reading, and what it read is
// not used for any other.
func TestNoHalfReading(t *testing.T) {
	for name, fail := range map[string]error{"silence": device.ErrOffline, "exception": modbus.DeviceFailure} {
		t.Run(name, func(t *testing.T) {
			r := pcs(t)
			d := open(t, r)
			read(t, d, 0)
			before := r.reads
			read(t, d, 1)
			n := r.reads - before
			if n < 2 {
				t.Fatalf("%d requests a poll: there is no middle", n)
			}
			for k := range n {
				r.set(at701+10, 100)
				first := r.reads
				r.onRead = func(i int) error {
					if i > first+k {
						return fmt.Errorf("poll: %w", fail)
					}
					return nil
				}
				x, err := d.Read(t.Context(), at(2))
				if !errors.Is(err, device.ErrOffline) {
					t.Errorf("request %d of %d fails: %+v, %v, want ErrOffline", k+1, n, x, err)
				}
				r.onRead = nil
				r.set(at701+10, 200)
				if got := read(t, d, 3).Power; got != -2 {
					t.Errorf("after request %d failed: %v kW, want that of now", k+1, got)
				}
			}
		})
	}
}

// TestMapThatMoves: a device whose models are elsewhere than they were is not decoded
// from where they were.
func TestMapThatMoves(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	read(t, d, 0)
	other := chain(40000, fresh(t, 1, 0, nil), fresh(t, 103, 0, map[string]any{"W_SF": int64(0), "W": 5000.0}))
	r.regs = append(other.regs, make([]uint16, 400)...)
	if x, err := d.Read(t.Context(), at(1)); !errors.Is(err, device.ErrOffline) {
		t.Errorf("%+v, %v, want ErrOffline", x, err)
	}
	if got := read(t, d, 2).Power; got != -5 {
		t.Errorf("scanned again: %v kW, want -5", got)
	}
}

// TestMapThatIsNone: what looks like a map and has nothing to read, as through muddled
// answers, is not taken for the device's: it is looked for again.
func TestMapThatIsNone(t *testing.T) {
	r := pcs(t)
	whole := r.regs
	r.regs = append([]uint16{0x5375, 0x6e53, 0x5375, 0x6e53}, make([]uint16, 400)...)
	d := open(t, r)
	if x, err := d.Read(t.Context(), at(0)); !errors.Is(err, device.ErrOffline) {
		t.Errorf("%+v, %v, want ErrOffline", x, err)
	}
	r.regs = whole
	if got := read(t, d, 1).SoC; got != 50 {
		t.Errorf("SoC %v", got)
	}
}

// TestReadAcrossModelsRefused: such a device is asked model by model.
func TestReadAcrossModelsRefused(t *testing.T) {
	r := pcs(t)
	r.refuse = func(addr, n int) error {
		if addr >= at701 && addr < at802 && addr+n > at802+2 { // the header of the next is read with a model
			return modbus.IllegalAddress
		}
		return nil
	}
	d := open(t, r)
	for s := range 3 {
		if got := read(t, d, float64(s)); got.SoC != 50 {
			t.Errorf("SoC %v", got.SoC)
		}
	}
	before := r.reads
	read(t, d, 4)
	if n := r.reads - before; n != 3 {
		t.Errorf("%d requests a poll, want one for each of 701, 715 and 802", n)
	}
}

func TestFewestRequests(t *testing.T) {
	for _, tt := range []struct {
		name    string
		regs    *registers
		command bool
		want    int
	}{
		{"701 and, in one, 715 and 802", pcs(t), false, 2},
		{"and 704 while a setpoint is in force", pcs(t), true, 3},
		{"models of the older kind in one", chain(0, fresh(t, 103, 0, map[string]any{"W_SF": int64(0), "W": 1.0}), fresh(t, 124, 0, map[string]any{"ChaState_SF": int64(0), "ChaState": 50.0})), false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, tt.regs)
			read(t, d, 0)
			if tt.command {
				write(t, d, 0, power(1, 0, 60))
			}
			before := tt.regs.reads
			read(t, d, 0.1)
			if n := tt.regs.reads - before; n != tt.want {
				t.Errorf("%d requests, want %d", n, tt.want)
			}
		})
	}
}

// TestNotImplementedIsNoNumber: marks that come at run-time are not values, and no other
// point takes the place of one.
func TestNotImplementedIsNoNumber(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	read(t, d, 0)
	r.set(at701+10, 0x8000)                 // W
	r.set(at802+11, 0xFFFF, 0xFFFF, 0xFFFF) // SoC, DoD, SoH
	r.set(at802+34, 0xFFFF)                 // V
	r.set(at802+44, 0x8000, 0xFFFF, 0xFFFF) // A, AChaMax, ADisChaMax
	got := read(t, d, 1)
	for name, v := range map[string]float64{
		"power": got.Power, "soc": got.SoC, "soh": got.SoH, "voltage": got.Voltage, "current": got.Current,
		"temperature": got.Temperature, "max charge": got.MaxCharge, "max discharge": got.MaxDischarge,
	} {
		if !math.IsNaN(v) {
			t.Errorf("%s is %v", name, v)
		}
	}
}

func TestSigns(t *testing.T) {
	for _, tt := range []struct {
		positive string
		want     float64
	}{{"", 12.5}, {sunspec.Charge, 12.5}, {sunspec.Discharge, -12.5}} {
		r := pcs(t)
		r.set(at802+44, 125)
		r.set(at701+10, 0xFC18) // -1000: 10 kW absorbed
		d, err := sunspec.New(sunspec.Options{Conn: r, Base: 40000, BatteryPositive: tt.positive})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, d, 0); got.Current != tt.want || got.Power != 10 || got.Status != device.Charging {
			t.Errorf("positive %q: %v A, %v kW, %v", tt.positive, got.Current, got.Power, got.Status)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name              string
		change            func(r *registers)
		charge, discharge float64
	}{
		{"current times voltage", func(*registers) {}, 80, 160},
		{"charging forbidden by its current", func(r *registers) { r.set(at802+45, 0) }, 0, 160},
		{"discharging forbidden by its current", func(r *registers) { r.set(at802+46, 0) }, 80, 0},
		{"least of amperes and watts", func(r *registers) { r.set(at802+54, 3); r.set(at802+4, 70, 300) }, 70, 160},
		{"watts alone", func(r *registers) { r.set(at802+54, 3); r.set(at802+4, 70, 300); r.set(at802+45, 0xFFFF, 0xFFFF) }, 70, 300},
		{"disconnected", func(r *registers) { r.set(at802+22, 1) }, 0, 0},
		{"initializing", func(r *registers) { r.set(at802+22, 2) }, 0, 0},
		{"in standby", func(r *registers) { r.set(at802+22, 4) }, 80, 160},
		{"suspending", func(r *registers) { r.set(at802+22, 6) }, 0, 0},
		{"in fault", func(r *registers) { r.set(at802+22, 99) }, 0, 0},
		{"asks to stop", func(r *registers) { r.set(at802+48, 2) }, 0, 0},
		{"over temperature", func(r *registers) { r.set(at802+27, 1<<1) }, 0, 0},
		{"over temperature, a warning", func(r *registers) { r.set(at802+27, 1<<2) }, 80, 160},
		{"over charge current", func(r *registers) { r.set(at802+27, 1<<5) }, 0, 160},
		{"over discharge current", func(r *registers) { r.set(at802+27, 1<<7) }, 80, 0},
		{"over voltage", func(r *registers) { r.set(at802+27, 1<<9) }, 0, 160},
		{"under voltage", func(r *registers) { r.set(at802+27, 1<<11) }, 80, 0},
		{"under the least charge", func(r *registers) { r.set(at802+27, 1<<13) }, 80, 0},
		{"over the greatest charge", func(r *registers) { r.set(at802+27, 1<<15) }, 0, 160},
		{"contactor", func(r *registers) { r.set(at802+26, 1<<4) }, 0, 0},
		{"fan", func(r *registers) { r.set(at802+26, 1<<5) }, 80, 160},
		{"ground fault", func(r *registers) { r.set(at802+26, 1<<6) }, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := pcs(t)
			d := open(t, r)
			tt.change(r)
			if got := read(t, d, 0); !near(got.MaxCharge, tt.charge) || !near(got.MaxDischarge, tt.discharge) {
				t.Errorf("takes %v kW and gives %v kW, want %v and %v", got.MaxCharge, got.MaxDischarge, tt.charge, tt.discharge)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	const chaSt = at802 + 16
	for _, tt := range []struct {
		name  string
		inv   uint16 // 701.InvSt
		cha   uint16 // 802.ChaSt
		bank  uint16 // 802.State
		power int16  // 10 W, + generates
		want  device.Status
	}{
		{"charging as it says", 3, 4, 3, -100, device.Charging},
		{"its word against its sign", 3, 4, 3, 100, device.Charging},
		{"discharging", 4, 3, 3, 100, device.Discharging},
		{"holding", 3, 6, 3, 0, device.Idle},
		{"full", 3, 5, 3, 0, device.Idle},
		{"without a word", 3, 0xFFFF, 3, -100, device.Charging},
		{"off", 0, 6, 3, 0, device.Standby},
		{"sleeping", 1, 6, 3, 0, device.Standby},
		{"standby", 7, 6, 3, 0, device.Standby},
		{"fault of the converter", 6, 6, 3, 0, device.Fault},
		{"fault of the battery", 3, 6, 99, 0, device.Fault},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := pcs(t)
			r.set(at701+4, tt.inv)
			r.set(chaSt, tt.cha)
			r.set(at802+22, tt.bank)
			r.set(at701+10, uint16(tt.power))
			if got := read(t, open(t, r), 0).Status; got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
	for st, want := range map[uint16]device.Status{1: device.Standby, 4: device.Idle, 5: device.Idle, 7: device.Fault, 8: device.Standby} {
		r := chain(0, fresh(t, 103, 0, map[string]any{"W_SF": int64(0), "W": 0.0, "St": uint64(st)}))
		if got := read(t, open(t, r), 0).Status; got != want {
			t.Errorf("103.St %d: %v, want %v", st, got, want)
		}
	}
}

func TestHeartbeatMustChange(t *testing.T) {
	for _, addr := range []int{at715 + 4, at802 + 18} {
		r := pcs(t)
		d := open(t, r)
		for s := range 20 {
			r.set(at715+4, uint16(s))
			r.set(at802+18, uint16(s))
			if s >= 10 {
				r.set(addr, 10) // stands still from 10 s on, and is there all the time
			}
			got := read(t, d, float64(s)).Flags.Names()
			if want := s > 13; slices.Contains(got, "heartbeat") != want {
				t.Errorf("register %d, second %d: flags %v", addr, s, got)
			}
		}
		r.set(addr, 0) // it begins anew
		if got := read(t, d, 20).Flags; got != 0 {
			t.Errorf("after it has moved: %v", got)
		}
	}
}

func TestLocalControl(t *testing.T) {
	for _, addr := range []int{at715 + 2, at802 + 17} {
		r := pcs(t)
		d := open(t, r)
		write(t, d, 0, power(10, 0, 60))
		r.set(addr, 1)
		r.writes = nil
		for _, verb := range []device.Verb{device.SetPower, device.Stop, device.Release, device.EStop, device.Reset, device.SetMode} {
			c := power(5, 1, 60)
			c.Verb = verb
			if a := write(t, d, 1, c); a.Status != device.Rejected || a.Code != "LOCAL" {
				t.Errorf("%v under local control: %v %s", verb, a.Status, a.Code)
			}
		}
		if got := read(t, d, 3); got.Flags&device.FlagLocal == 0 {
			t.Errorf("flags %v", got.Flags)
		}
		if len(r.writes) > 0 {
			t.Errorf("under local control: %q", r.writes)
		}
	}
}

func TestWrongOptions(t *testing.T) {
	c := pcs(t)
	for name, o := range map[string]sunspec.Options{
		"no connection": {}, "base": {Conn: c, Base: 70000}, "sign": {Conn: c, BatteryPositive: "up"}, "dead man": {Conn: c, DeadMan: time.Millisecond},
	} {
		if _, err := sunspec.New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// FuzzDriver: no image makes the driver panic, or take a setpoint for one of the other
// direction.
func FuzzDriver(f *testing.F) {
	f.Add(bytes(pcs(f).regs), 10.0)
	f.Add(bytes(chain(0, fresh(f, 103, 0, nil), fresh(f, 124, 0, map[string]any{
		"WChaMax_SF": int64(0), "WChaMax": 50000.0, "StorCtl_Mod": uint64(0), "InOutWRte_SF": int64(-2), "InWRte": 0.0, "OutWRte": 0.0,
	})).regs), -3.0)
	f.Add(bytes(chain(0, fresh(f, 714, 2, nil), fresh(f, 803, 3, nil), fresh(f, 160, 1, nil), fresh(f, 804, 2, nil)).regs), 0.0)
	f.Fuzz(func(t *testing.T, b []byte, kw float64) {
		r := &registers{}
		for i := 0; i+1 < len(b) && i < 1<<14; i += 2 {
			r.regs = append(r.regs, uint16(b[i])<<8|uint16(b[i+1]))
		}
		d := open(t, r)
		x, err := d.Read(t.Context(), start)
		if err != nil && !errors.Is(err, device.ErrOffline) {
			t.Fatalf("%+v, %v", x, err)
		}
		a, err := d.Write(t.Context(), start, power(kw, 0, 60))
		if err != nil && !errors.Is(err, device.ErrOffline) {
			t.Fatalf("%+v, %v", a, err)
		}
		if err == nil && a.Status == device.Done && a.Power*kw < 0 {
			t.Fatalf("told %v kW, holds %v", kw, a.Power)
		}
		_, _ = d.Settings(t.Context())
		_, _ = d.Describe(t.Context(), start)
		_, _ = d.Adjust(t.Context(), device.SettingRamp, 1)
		_, _ = d.Read(t.Context(), at(10))
		if a, err := d.Write(t.Context(), at(10), device.Command{Verb: device.EStop}); err == nil && a.Status == 0 {
			t.Fatalf("%+v", a)
		}
	})
}

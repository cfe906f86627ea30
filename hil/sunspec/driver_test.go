package sunspec_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
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
		MaxCharge: 1000, MaxDischarge: 1000, Status: device.Discharging,
	}
	want.Arrived = got.Arrived
	if got != want || got.Arrived < got.At {
		t.Errorf("reads %+v\nwant  %+v", got, want)
	}
	if len(r.writes) != 0 {
		t.Errorf("written to a device that nobody commands: %q", r.writes)
	}
	info, err := d.Describe(t.Context(), at(1))
	if err != nil || info.Manufacturer != "VPP-HIL" || info.Model != "SimBESS-1MW" || info.RatedKW != 1000 || info.CapacityKWh != 2000 {
		t.Errorf("describes itself as %+v, %v", info, err)
	}
}

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
		if len(r.writes) > 0 {
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

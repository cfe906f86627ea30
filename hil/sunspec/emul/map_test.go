package emul_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/hil/sunspec/emul"
	"yunchu/hil/unit"
	"yunchu/platform/device"
	"yunchu/twin/params"
)

func (r *rig) scan() *sunspec.Device {
	r.t.Helper()
	d, err := sunspec.Scan(r.t.Context(), r.conn, sunspec.Anywhere)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// show is what a point shows now.
func (r *rig) show(name string) float64 {
	r.t.Helper()
	b, f, ok := r.scan().Find(name)
	if !ok {
		r.t.Fatalf("no point %s", name)
	}
	return b.At(f).Float()
}

// put writes a point as a client does that knows nothing else: one request.
func (r *rig) put(name string, x float64) error {
	r.t.Helper()
	b, f, ok := r.scan().Find(name)
	if !ok {
		r.t.Fatalf("no point %s", name)
	}
	regs, err := b.Encode(f, x)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.bank.Write(uint16(b.Addr+f.At), regs)
}

func (r *rig) must(name string, x float64) {
	r.t.Helper()
	if err := r.put(name, x); err != nil {
		r.t.Fatalf("%s = %g: %v", name, x, err)
	}
}

// window writes OutWRte and InWRte of 124 in one request.
func (r *rig) window(out, in float64) {
	r.t.Helper()
	b, f, _ := r.scan().Find("124.OutWRte")
	first, err := b.Encode(f, out)
	if err != nil {
		r.t.Fatal(err)
	}
	second, _ := b.Encode(f, in)
	if err := r.bank.Write(uint16(b.Addr+f.At), append(first, second...)); err != nil {
		r.t.Fatal(err)
	}
}

// later moves time without anybody polling.
func (r *rig) later(d time.Duration) { r.step(d) }

func (r *rig) kw() float64 { return r.unit.View(r.now).ACW / 1000 }

func (r *rig) wantKW(when string, want float64) {
	r.t.Helper()
	if got := r.kw(); math.Abs(got-want) > 1e-3 {
		r.t.Errorf("%s: %.3f kW, want %.3f", when, got, want)
	}
}

func (r *rig) inject(f unit.Fault) (end func()) {
	r.t.Helper()
	stop, err := r.unit.Inject(r.now, f)
	if err != nil {
		r.t.Fatal(err)
	}
	return func() { stop(r.now) }
}

func TestMap(t *testing.T) {
	for _, base := range []int{0, 40000, 50000} {
		r := newRig(t, "ess-100kw-215kwh")
		var err error
		r.bank, err = emul.New(emul.Options{Unit: r.unit, Base: base, Now: r.clock})
		if err != nil {
			t.Fatal(err)
		}
		r.conn.Bank = r.bank
		d := r.scan()
		var models []uint16
		for _, b := range d.Blocks {
			models = append(models, b.ID)
		}
		want := []uint16{1, 103, 120, 121, 122, 123, 124, 160, 701, 702, 704, 713, 714, 715, 802, 803}
		if d.Base != base || !d.Ended || !slices.Equal(models, want) {
			t.Errorf("at %d: models %v, ended %t, want %v at %d", d.Base, models, d.Ended, want, base)
		}
	}
	r := newRig(t, "ess-100kw-215kwh")
	if _, err := emul.New(emul.Options{Unit: r.unit, Base: 65000, Now: r.clock}); err == nil {
		t.Error("a map beyond the last address was made")
	}
}

// TestShowsTheUnit compares points with the unit, each within half of its resolution,
// for all models and while charging and discharging.
func TestShowsTheUnit(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine writes and looks")
	}
	for _, model := range params.Models() {
		for _, share := range []float64{0, 0.8, -0.8} {
			t.Run(fmt.Sprintf("%s at %g", model, share), func(t *testing.T) {
				m, err := params.LoadModel(model)
				if err != nil {
					t.Fatal(err)
				}
				r := newRig(t, model)
				r.unit, err = unit.New(unit.Options{ID: "rig-1", Model: m, SoC: 50, AmbientC: 25, Start: start})
				if err != nil {
					t.Fatal(err)
				}
				if r.bank, err = emul.New(emul.Options{Unit: r.unit, Base: 40000, Now: r.clock}); err != nil {
					t.Fatal(err)
				}
				r.conn.Bank = r.bank
				if err := r.unit.Do(r.now, unit.SetPower("test", share*m.RatedKW*1000, 0)); err != nil {
					t.Fatal(err)
				}
				r.later(2 * time.Second)
				r.later(2 * time.Minute)
				v := r.unit.View(r.now)
				pf := 1.0
				if share != 0 {
					pf = -v.ACW / v.ACVA
				}
				d := r.scan()
				for _, tt := range []struct {
					point string
					want  float64
					step  float64 // the coarsest that is good enough
				}{
					{"701.W", -v.ACW, 1e-3 * v.RatedW},
					{"103.W", -v.ACW, 1e-3 * v.RatedW},
					{"701.VA", v.ACVA, 1e-3 * v.RatedW},
					{"701.Var", -v.ACVar, 1e-3 * v.RatedW},
					{"701.Hz", v.Hz, 0.001},
					{"103.Hz", v.Hz, 0.01},
					{"701.LLV", v.LineV, 0.1},
					{"701.LNV", v.LineV / math.Sqrt(3), 0.1},
					{"701.AL2", v.ACA, 1},
					{"701.A", 3 * v.ACA, 1},
					{"701.PF", pf, 0.001},
					{"103.PF", 100 * pf, 0.01},
					{"701.TotWhInj", math.Floor(v.OutWh), 1},
					{"701.TotWhAbs", math.Floor(v.InWh), 1},
					{"713.SoC", v.SoC, 0.01},
					{"713.SoH", v.SoH, 0.01},
					{"713.WHRtg", v.RatedWh, 1e-3 * v.RatedWh},
					{"124.ChaState", v.SoC, 0.01},
					{"714.DCA", v.DCA, 1},
					{"714.DCW", v.DCW, 1e-3 * v.RatedW},
					{"714.Prt[0].DCV", v.DCV, 0.1},
					{"714.Prt[0].Tmp", v.TempMaxC, 0.01},
					{"802.SoC", v.SoC, 0.01},
					{"802.SoH", v.SoH, 0.01},
					{"802.V", v.DCV, 0.1},
					{"802.A", v.DCA, 1},
					{"802.W", v.DCW, 1e-3 * v.RatedW},
					{"802.CellVMax", v.CellVMax, 0.001},
					{"802.CellVMin", v.CellVMin, 0.001},
					{"802.SoCMax", v.SoCMax, 0.01},
					{"802.SoCMin", v.SoCMin, 0.01},
					{"802.AChaMax", v.ChargeA, 1},
					{"802.ADisChaMax", v.DischargeA, 1},
					{"802.WChaRteMax", v.RatedW, 1e-3 * v.RatedW},
					{"802.AHRtg", v.CapacityAh, 1},
					{"802.WHRtg", v.RatedWh, 1e-3 * v.RatedWh},
					{"803.ModTmpMax", v.TempMaxC, 0.01},
					{"803.NStr", float64(v.Strings), 1},
					{"803.string[0].StrSoC", v.SoC, 0.01},
					{"803.string[0].StrA", v.DCA / float64(v.Strings), 1},
					{"160.module[0].DCA", max(v.DCA, 0), 1},
					{"160.module[1].DCA", max(-v.DCA, 0), 1},
					{"120.WRtg", v.RatedW, 1e-3 * v.RatedW},
					{"702.WMaxRtg", v.RatedW, 1e-3 * v.RatedW},
					{"715.DERHb", float64(v.Heartbeat), 1},
					{"802.Hb", float64(v.Heartbeat), 1},
				} {
					b, f, ok := d.Find(tt.point)
					if !ok {
						t.Errorf("no point %s", tt.point)
						continue
					}
					got, step := b.At(f).Float(), b.Step(f)
					off := step / 2
					if f.Scale == "AMax_SF" { // a limit is rounded down
						off = step
					}
					if step > tt.step || !(math.Abs(got-tt.want) <= off+1e-9*math.Abs(tt.want)) {
						t.Errorf("%s = %v in steps of %g, want %v in steps of %g or less", tt.point, got, step, tt.want, tt.step)
					}
				}
			})
		}
	}
}

// TestReads: quantities and addresses that are none are refused, and every window on the
// map shows the same registers.
func TestReads(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	for _, tt := range []struct {
		table   modbus.Table
		addr, n uint16
		want    error
	}{
		{modbus.Holding, 40000, 0, modbus.IllegalValue},
		{modbus.Holding, 40000, 126, modbus.IllegalValue},
		{modbus.Holding, 39999, 2, modbus.IllegalAddress},
		{modbus.Holding, 45000, 2, modbus.IllegalAddress},
		{modbus.Holding, 65535, 2, modbus.IllegalAddress},
		{modbus.Input, 40000, 2, modbus.IllegalFunction},
		{modbus.Coils, 40000, 2, modbus.IllegalFunction},
	} {
		if got, err := r.bank.Read(tt.table, tt.addr, tt.n); !errors.Is(err, tt.want) {
			t.Errorf("%d of table %v from %d: %v, %v, want %v", tt.n, tt.table, tt.addr, got, err, tt.want)
		}
	}
	if err := r.bank.WriteCoils(40000, []bool{true}); !errors.Is(err, modbus.IllegalFunction) {
		t.Errorf("coils: %v", err)
	}
	var whole []uint16
	for addr := uint16(40000); ; addr++ {
		one, err := r.bank.Read(modbus.Holding, addr, 1)
		if err != nil {
			break
		}
		whole = append(whole, one...)
	}
	if end := whole[len(whole)-2:]; end[0] != 0xFFFF || end[1] != 0 {
		t.Errorf("the map ends with %x", end)
	}
	for from := 0; from < len(whole); from += 7 {
		n := min(125, len(whole)-from)
		got, err := r.bank.Read(modbus.Holding, uint16(40000+from), uint16(n))
		if err != nil || !slices.Equal(got, whole[from:from+n]) {
			t.Fatalf("%d registers from %d on differ from the single ones, %v", n, from, err)
		}
	}
}

// control are all registers that a write could change.
func (r *rig) control() string {
	r.t.Helper()
	var b strings.Builder
	for _, block := range r.scan().Blocks {
		for f := range block.Fields() {
			if f.RW {
				fmt.Fprintln(&b, block.ID, f.Name, block.At(f).Any())
			}
		}
	}
	v := r.unit.View(r.now)
	fmt.Fprintln(&b, v.SetW, v.SetBy, v.SetActive, v.SetUntil, v.LimitShare, v.LimitOn, v.Ramp, v.Reserve, v.Connected, v.Started, v.Standby, v.Contactors)
	return b.String()
}

// TestRefusedWritesChangeNothing: all of a request or nothing.
func TestRefusedWritesChangeNothing(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	d := r.scan()
	at := func(name string) int {
		b, f, ok := d.Find(name)
		if !ok {
			t.Fatalf("no point %s", name)
		}
		return b.Addr + f.At
	}
	for _, tt := range []struct {
		name string
		addr int
		regs []uint16
		want modbus.Exception
	}{
		{"a measurement", at("701.W"), []uint16{0}, modbus.IllegalValue},
		{"an ID", at("704.ID"), []uint16{704}, modbus.IllegalValue},
		{"a scale factor", at("704.WSet_SF"), []uint16{0}, modbus.IllegalValue},
		{"the mark of the map", 40000, []uint16{0x5375, 0x6E53}, modbus.IllegalValue},
		{"a point that is not implemented", at("704.VarSetEna"), []uint16{1}, modbus.IllegalValue},
		{"half a setpoint", at("704.WSet"), []uint16{0}, modbus.IllegalValue},
		{"the other half", at("704.WSet") + 1, []uint16{5}, modbus.IllegalValue},
		{"a setpoint and half of the next point", at("704.WSet"), []uint16{0, 5000, 0}, modbus.IllegalValue},
		{"a setpoint with a read-only point behind", at("704.WSetRvrtTms"), []uint16{0, 6, 0, 0}, modbus.IllegalValue},
		{"a good mode before a bad setpoint", at("704.WSetMod"), []uint16{0, 0x7FFF, 0}, modbus.IllegalValue},
		{"beyond the rating", at("704.WSet"), []uint16{1, 0x86A1}, modbus.IllegalValue},
		{"the mark of what is not implemented", at("704.WSet"), []uint16{0x8000, 0}, modbus.IllegalValue},
		{"another value to revert to", at("704.WSetRvrt"), []uint16{0, 1}, modbus.IllegalValue},
		{"an enumeration out of range", at("704.WSetEna"), []uint16{2}, modbus.IllegalValue},
		{"an operation that does not exist", at("715.OpCtl"), []uint16{4}, modbus.IllegalValue},
		{"a limit above all", at("123.WMaxLimPct"), []uint16{10001}, modbus.IllegalValue},
		{"a ramp of nothing", at("704.WRmp"), []uint16{0}, modbus.IllegalValue},
		{"a reserve above all", at("124.MinRsvPct"), []uint16{10001}, modbus.IllegalValue},
		{"a window without inside", at("124.OutWRte"), []uint16{0xEC78, 1000}, modbus.IllegalValue}, // -50 %, 10 %
		{"charging from PV", at("124.ChaGriSet"), []uint16{0}, modbus.IllegalValue},
		{"before the map", 39999, []uint16{0}, modbus.IllegalAddress},
		{"behind the map", 45000, []uint16{0}, modbus.IllegalAddress},
		{"across the end", 40000 + 1400, make([]uint16, 123), modbus.IllegalAddress},
		{"nothing", at("704.WSet"), nil, modbus.IllegalValue},
		{"too much", at("704.WSet"), make([]uint16, 124), modbus.IllegalValue},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "a window without inside" {
				r.must("124.StorCtl_Mod", 3)
			}
			before := r.control()
			if err := r.bank.Write(uint16(tt.addr), tt.regs); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if after := r.control(); after != before {
				t.Errorf("changed\n%s\nto\n%s", before, after)
			}
		})
	}
}

// TestSetpoints: whatever way it is written in, it takes effect once it is enabled.
func TestSetpoints(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine writes and looks")
	}
	for _, tt := range []struct {
		name  string
		write func(r *rig)
		want  float64
	}{
		{"WSet, then WSetEna", func(r *rig) { r.must("704.WSet", -20000); r.must("704.WSetEna", 1) }, 20},
		{"WSetEna, then WSet", func(r *rig) { r.must("704.WSetEna", 1); r.must("704.WSet", 30000) }, -30},
		{"WSet without WSetEna", func(r *rig) { r.must("704.WSet", -20000) }, 0},
		{"all in one request", func(r *rig) {
			b, f, _ := r.scan().Find("704.WSetEna")
			// WSetEna, WSetMod, WSet, WSetRvrt, WSetPct, WSetPctRvrt, WSetEnaRvrt, WSetRvrtTms
			if err := r.bank.Write(uint16(b.Addr+f.At), []uint16{1, 1, 0xFFFF, 0xB1E0, 0, 0, 0, 0, 1, 0, 60}); err != nil {
				r.t.Fatal(err)
			}
		}, 20},
		{"in percent", func(r *rig) { r.must("704.WSetMod", 0); r.must("704.WSetPct", -12.5); r.must("704.WSetEna", 1) }, 12.5},
		{"disabled again", func(r *rig) { r.must("704.WSet", -20000); r.must("704.WSetEna", 1); r.must("704.WSetEna", 0) }, 0},
		{"changed while enabled", func(r *rig) { r.must("704.WSetEna", 1); r.must("704.WSet", -20000); r.must("704.WSet", -10000) }, 10},
		{"124, charge", func(r *rig) { r.must("124.InWRte", 20); r.must("124.StorCtl_Mod", 1) }, 20},
		{"124, discharge", func(r *rig) { r.must("124.OutWRte", 20); r.must("124.StorCtl_Mod", 2) }, -20},
		{"124, charging forced by a negative rate", func(r *rig) { r.must("124.OutWRte", -20); r.must("124.StorCtl_Mod", 2) }, 20},
		{"124, both bounds", func(r *rig) { r.must("124.InWRte", 20); r.must("124.OutWRte", -20); r.must("124.StorCtl_Mod", 3) }, 20},
		{"124, room for nothing to do", func(r *rig) { r.must("124.InWRte", 20); r.must("124.OutWRte", 50); r.must("124.StorCtl_Mod", 3) }, 0},
		{"124, of a smaller base", func(r *rig) { r.must("124.WChaMax", 50000); r.must("124.InWRte", 20); r.must("124.StorCtl_Mod", 1) }, 10},
		{"124, no mode", func(r *rig) { r.must("124.InWRte", 20) }, 0},
		{"124, and off again", func(r *rig) { r.must("124.InWRte", 20); r.must("124.StorCtl_Mod", 1); r.must("124.StorCtl_Mod", 0) }, 0},
		{"124 after 704", func(r *rig) {
			r.must("704.WSet", -20000)
			r.must("704.WSetEna", 1)
			r.window(-30, 30)
		}, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "ess-100kw-215kwh")
			tt.write(r)
			r.later(2 * time.Second)
			r.wantKW("after two seconds", tt.want)
			if tt.want != 0 {
				if got := r.show("704.WSet"); got != -1000*tt.want || r.show("704.WSetEna") != 1 {
					t.Errorf("704 shows %v W", got)
				}
			}
		})
	}
}

// TestReversion: a setpoint lapses after its time to revert, for ever holds without one,
// and not without a heartbeat once that has begun.
func TestReversion(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(r *rig)
		after time.Duration // it has lapsed then, and not a second before; 0: never
		rem   float64       // that 704 shows after a second
	}{
		{"no time to revert", func(r *rig) { r.must("704.WSet", -20000); r.must("704.WSetEna", 1) }, 0, 0},
		{"704", func(r *rig) { r.must("704.WSetRvrtTms", 10); r.must("704.WSet", -20000); r.must("704.WSetEna", 1) }, 10 * time.Second, 9},
		{"704, the time after the setpoint", func(r *rig) { r.must("704.WSet", -20000); r.must("704.WSetEna", 1); r.must("704.WSetRvrtTms", 10) }, 10 * time.Second, 9},
		{"124", func(r *rig) {
			r.must("124.InOutWRte_RvrtTms", 10)
			r.must("124.InWRte", 20)
			r.must("124.StorCtl_Mod", 1)
		}, 10 * time.Second, 9},
		{"a heartbeat that stops", func(r *rig) { r.must("704.WSet", -20000); r.must("704.WSetEna", 1); r.must("715.ControllerHb", 1) }, unit.DefaultWatchdog + time.Second, 0},
		{"that of 802", func(r *rig) { r.must("704.WSet", -20000); r.must("704.WSetEna", 1); r.must("802.CtrlHb", 1) }, unit.DefaultWatchdog + time.Second, 0},
		{"a heartbeat that never changed", func(r *rig) { r.must("704.WSet", -20000); r.must("704.WSetEna", 1); r.must("802.CtrlHb", 0) }, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "ess-100kw-215kwh")
			tt.write(r)
			r.later(time.Second)
			if got := r.show("704.WSetRvrtRem"); got != tt.rem {
				t.Errorf("after a second %v s remain, want %v", got, tt.rem)
			}
			if tt.after == 0 {
				r.later(time.Hour / 4)
				r.wantKW("a quarter of an hour later", 20)
				return
			}
			r.later(tt.after - 2*time.Second)
			r.wantKW("a second before", 20)
			r.later(time.Second)
			r.later(time.Second)
			r.wantKW("after it", 0)
			if r.show("704.WSet") != 0 || r.show("704.WSetEna") != 1 {
				t.Errorf("704 shows %v W, enabled %v", r.show("704.WSet"), r.show("704.WSetEna"))
			}
		})
	}
}

// TestHeartbeatsKeepASetpoint: beats in either register do, and a beat does not move the
// register of the other.
func TestHeartbeatsKeepASetpoint(t *testing.T) {
	for _, name := range []string{"715.ControllerHb", "802.CtrlHb"} {
		r := newRig(t, "ess-100kw-215kwh")
		r.must("704.WSet", -20000)
		r.must("704.WSetEna", 1)
		for n := range 30 {
			r.must(name, float64(65530+n%5))
			r.later(time.Second)
		}
		r.wantKW(name, 20)
		if r.show("715.ControllerHb")+r.show("802.CtrlHb") != 65534 {
			t.Errorf("%v and %v", r.show("715.ControllerHb"), r.show("802.CtrlHb"))
		}
	}
}

// TestAnotherFacesBeat: a beat that came another way shows in both.
func TestAnotherFacesBeat(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.must("715.ControllerHb", 7)
	if err := r.unit.Do(r.now, unit.Beat(1000)); err != nil {
		t.Fatal(err)
	}
	if r.show("715.ControllerHb") != 1000 || r.show("802.CtrlHb") != 1000 {
		t.Errorf("%v and %v", r.show("715.ControllerHb"), r.show("802.CtrlHb"))
	}
}

func TestControls(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine writes and looks")
	}
	for _, tt := range []struct {
		name  string
		write func(r *rig)
		check func(v unit.View) bool
		show  map[string]float64
	}{
		{
			"limit by 123", func(r *rig) { r.must("123.WMaxLimPct", 40); r.must("123.WMaxLim_Ena", 1) },
			func(v unit.View) bool { return v.LimitOn && v.LimitShare == 0.4 },
			map[string]float64{"704.WMaxLimPct": 40, "704.WMaxLimPctEna": 1, "701.ThrotPct": 40, "701.InvSt": 4, "103.St": 5},
		},
		{
			"limit by 704", func(r *rig) { r.must("704.WMaxLimPct", 40); r.must("704.WMaxLimPctEna", 1) },
			func(v unit.View) bool { return v.LimitOn && v.LimitShare == 0.4 },
			map[string]float64{"123.WMaxLimPct": 40, "123.WMaxLim_Ena": 1},
		},
		{
			"limit not enabled", func(r *rig) { r.must("704.WMaxLimPct", 40) },
			func(v unit.View) bool { return !v.LimitOn },
			map[string]float64{"704.WMaxLimPct": 40},
		},
		{"limit that reverts", func(r *rig) {
			r.must("704.WMaxLimPctRvrtTms", 5)
			r.must("704.WMaxLimPct", 40)
			r.must("704.WMaxLimPctEna", 1)
			r.later(6 * time.Second)
		}, func(v unit.View) bool { return !v.LimitOn }, map[string]float64{"704.WMaxLimPct": 100, "704.WMaxLimPctEna": 0}},
		{
			"ramp by 704", func(r *rig) { r.must("704.WRmp", 10) },
			func(v unit.View) bool { return v.Ramp == 0.1 },
			map[string]float64{"121.WGra": 10, "124.WChaGra": 10, "124.WDisChaGra": 10},
		},
		{"ramp by 121", func(r *rig) { r.must("121.WGra", 50.25) }, func(v unit.View) bool { return math.Abs(v.Ramp-0.5025) < 1e-12 }, map[string]float64{"704.WRmp": 50}},
		{"ramp by 124", func(r *rig) { r.must("124.WChaGra", 10) }, func(v unit.View) bool { return v.Ramp == 0.1 }, map[string]float64{"124.WChaGra": 10}},
		{"reserve", func(r *rig) { r.must("124.MinRsvPct", 20) }, func(v unit.View) bool { return v.Reserve == 20 }, map[string]float64{"124.MinRsvPct": 20}},
		{
			"disconnect", func(r *rig) { r.must("123.Conn", 0) }, func(v unit.View) bool { return !v.Connected },
			map[string]float64{"701.ConnSt": 0, "701.InvSt": 0, "122.ECPConn": 1},
		},
		{
			"connect again", func(r *rig) { r.must("123.Conn", 0); r.must("123.Conn", 1) }, func(v unit.View) bool { return v.Connected },
			map[string]float64{"701.ConnSt": 1, "122.ECPConn": 2},
		},
		{
			"stop", func(r *rig) { r.must("715.OpCtl", 0) }, func(v unit.View) bool { return !v.Started },
			map[string]float64{"715.OpCtl": 0, "701.InvSt": 0, "701.St": 0, "802.SetInvState": 1},
		},
		{"start again", func(r *rig) { r.must("715.OpCtl", 0); r.must("715.OpCtl", 1) }, func(v unit.View) bool { return v.Started }, map[string]float64{"715.OpCtl": 1, "701.InvSt": 3}},
		{
			"standby", func(r *rig) { r.must("715.OpCtl", 2) }, func(v unit.View) bool { return v.Standby },
			map[string]float64{"715.OpCtl": 2, "701.InvSt": 7, "103.St": 8, "802.State": 4, "802.SetInvState": 2},
		},
		{"and out of it", func(r *rig) { r.must("715.OpCtl", 2); r.must("715.OpCtl", 3) }, func(v unit.View) bool { return !v.Standby }, map[string]float64{"715.OpCtl": 3, "802.State": 3}},
		{"standby by 802", func(r *rig) { r.must("802.SetInvState", 2) }, func(v unit.View) bool { return v.Standby }, map[string]float64{"802.SetInvState": 2}},
		{"started by 802", func(r *rig) { r.must("802.SetInvState", 2); r.must("802.SetInvState", 3) }, func(v unit.View) bool { return !v.Standby && v.Started }, map[string]float64{"802.SetInvState": 3}},
		{
			"contactors", func(r *rig) { r.must("802.SetOp", 2) }, func(v unit.View) bool { return !v.Contactors },
			map[string]float64{"802.SetOp": 2, "802.State": 1, "803.NStrCon": 0, "803.string[0].StrSt": 1, "802.AChaMax": 0, "802.ADisChaMax": 0},
		},
		{"contactors closed", func(r *rig) { r.must("802.SetOp", 2); r.must("802.SetOp", 1) }, func(v unit.View) bool { return v.Contactors }, map[string]float64{"802.SetOp": 1, "802.State": 3, "803.NStrCon": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "ess-100kw-215kwh")
			if got := r.show("704.WRmp"); !math.IsNaN(got) {
				t.Errorf("before anybody has written one the ramp is %v", got)
			}
			tt.write(r)
			if v := r.unit.View(r.now); !tt.check(v) {
				t.Errorf("the unit: %+v", v)
			}
			for name, want := range tt.show {
				if got := r.show(name); got != want {
					t.Errorf("%s shows %v, want %v", name, got, want)
				}
			}
		})
	}
}

// TestEmergencyStop: only who acknowledges first may start and connect again.
func TestEmergencyStop(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.must("704.WSet", -20000)
	r.must("704.WSetEna", 1)
	release := r.inject(unit.Fault{Kind: "e-stop"})
	for name, want := range map[string]float64{
		"701.InvSt": 6, "103.St": 7, "802.State": 99, "802.ReqInvState": 2, "704.WSet": 0, "701.Alrm": 1<<6 | 1<<3, "802.AChaMax": 0,
	} {
		if got := r.show(name); got != want {
			t.Errorf("%s shows %v, want %v", name, got, want)
		}
	}
	refused := func(name string, x float64) {
		t.Helper()
		if err := r.put(name, x); !errors.Is(err, modbus.DeviceFailure) {
			t.Errorf("%s = %v: %v, want exception 4", name, x, err)
		}
	}
	refused("715.OpCtl", 1)
	refused("802.SetOp", 1)
	r.must("715.AlarmReset", 1) // while the button is pressed
	refused("715.OpCtl", 1)
	release()
	refused("715.OpCtl", 1)
	b, f, _ := r.scan().Find("715.AlarmReset")
	if err := r.bank.Write(uint16(b.Addr+f.At), []uint16{1, 1}); err != nil { // with OpCtl behind it
		t.Fatal(err)
	}
	r.later(2 * time.Second)
	if v := r.unit.View(r.now); v.EStop || !v.Started {
		t.Errorf("%+v", v)
	}
	r.wantKW("started again", 0)
}

func TestLocalControl(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	end := r.inject(unit.Fault{Kind: "local"})
	if r.show("715.LocRemCtl") != 1 || r.show("802.LocRemCtl") != 1 {
		t.Error("it does not show")
	}
	before := r.control()
	for _, name := range []string{"704.WSet", "715.ControllerHb", "715.AlarmReset", "802.CtrlHb"} {
		if err := r.put(name, 1); !errors.Is(err, modbus.DeviceFailure) {
			t.Errorf("%s: %v, want exception 4", name, err)
		}
	}
	if after := r.control(); after != before {
		t.Errorf("changed\n%s\nto\n%s", before, after)
	}
	end()
	r.must("704.WSet", 1)
}

// TestAlarms: what protections raise is shown in 802 and 701.
func TestAlarms(t *testing.T) {
	for kind, want := range map[string][2]float64{ // 802.Evt1 and 701.Alrm, without the contactor's
		"over-temperature": {1 << 1, 1 << 7}, "under-temperature": {1 << 3, 1 << 13}, "over-current": {1<<5 | 1<<7, 0},
		"over-voltage": {1 << 9, 1 << 1}, "under-voltage": {1 << 11, 0}, "ground-fault": {1 << 22, 1},
	} {
		r := newRig(t, "ess-100kw-215kwh")
		end := r.inject(unit.Fault{Kind: kind})
		const contactor, open = 1 << 20, 1 << 3
		if evt, alrm := r.show("802.Evt1"), r.show("701.Alrm"); evt != want[0]+contactor || alrm != want[1]+open {
			t.Errorf("%s: Evt1 %b, Alrm %b", kind, int(evt), int(alrm))
		}
		if r.show("802.AChaMax") != 0 || r.show("802.ADisChaMax") != 0 {
			t.Errorf("%s: currents are allowed", kind)
		}
		end()
		r.must("802.AlmRst", 1)
		if evt := r.show("802.Evt1"); evt != 0 {
			t.Errorf("%s acknowledged: Evt1 %b", kind, int(evt))
		}
	}
}

// TestNotImplementedFault: measurements are marked, and what is written still counts.
func TestNotImplementedFault(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.pass(time.Second)
	end := r.inject(unit.Fault{Kind: "not-implemented"})
	got := r.read()
	for name, v := range map[string]float64{"soc": got.SoC, "power": got.Power, "voltage": got.Voltage, "current": got.Current, "temperature": got.Temperature, "soh": got.SoH} {
		if !math.IsNaN(v) {
			t.Errorf("%s is %v", name, v)
		}
	}
	end()
	if got := r.read(); got.SoC != 50 || got.Power != 0 {
		t.Errorf("after it %+v", got)
	}
	// A driver that finds the device like that comes to know its points later.
	end = r.inject(unit.Fault{Kind: "not-implemented"})
	d, err := sunspec.New(sunspec.Options{Conn: r.conn, Base: 40000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(t.Context(), r.now); err != nil {
		t.Fatal(err)
	}
	end()
	if got, err := d.Read(t.Context(), r.now); err != nil || got.SoC != 50 || got.Power != 0 || got.Voltage < 100 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestScaleChangeFault: registers have a tenth of what they had and the factors ten times,
// so that the values stay and one who kept a factor is off by ten.
func TestScaleChangeFault(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.must("704.WSet", -40000)
	r.must("704.WSetEna", 1)
	r.later(2 * time.Second)
	before := r.scan()
	want := r.read()
	end := r.inject(unit.Fault{Kind: "scale-change"})
	after := r.scan()
	for _, name := range []string{"701.W", "802.V", "802.SoC", "704.WSet"} {
		b, f, _ := before.Find(name)
		a, _, _ := after.Find(name)
		now, was := a.At(f).Float(), b.At(f).Float()
		if math.Abs(now-was) > a.Step(f) || a.Step(f) != 10*b.Step(f) {
			t.Errorf("%s: %v in steps of %v, was %v in steps of %v", name, now, a.Step(f), was, b.Step(f))
		}
		raw, _ := a.At(f).Raw()
		cached := scaled(raw) * b.Step(f)
		if math.Abs(10*cached-was) > 10*b.Step(f) {
			t.Errorf("%s with the old factor is %v, want a tenth of %v", name, cached, was)
		}
	}
	got := r.read()
	if math.Abs(got.Power-want.Power) > 0.1 || math.Abs(got.Voltage-want.Voltage) > 1 || math.Abs(got.SoC-want.SoC) > 0.1 {
		t.Errorf("the driver reads %+v, before %+v", got, want)
	}
	if a, err := r.driver.Write(t.Context(), r.now, device.Command{Verb: device.SetPower, Power: -30, Until: r.now.Add(time.Minute).UnixMilli()}); err != nil || a.Power != -30 {
		t.Errorf("%+v, %v", a, err)
	}
	r.later(2 * time.Second)
	r.wantKW("told in the new scale", -30)
	end()
	if got := r.read(); got.Power != -30 {
		t.Errorf("after it %+v", got)
	}
	r.pass(10 * time.Second)
	r.wantKW("renewed in the old scale", -30)
	if got := r.read().Flags; got != 0 {
		t.Errorf("flags %v", got)
	}
}

// scaled is a signed register as a number.
func scaled(raw uint64) float64 { return float64(int64(raw)) }

// FuzzWrite: nothing that is written breaks the map, and what is refused changes nothing.
func FuzzWrite(f *testing.F) {
	r := newRig(f, "ess-100kw-215kwh")
	for _, name := range []string{"704.WSetEna", "704.WSet", "704.WSetRvrtTms", "704.WMaxLimPctEna", "123.Conn", "124.WChaMax", "124.OutWRte", "715.ControllerHb", "715.OpCtl", "802.CtrlHb", "802.SetOp", "701.W"} {
		b, field, _ := r.scan().Find(name)
		for _, regs := range [][]byte{{0, 1}, {0, 0, 0, 1}, {0xFF, 0xFF}, {0x80, 0, 0, 0}, {0, 1, 0, 1, 0, 1}} {
			f.Add(uint16(b.Addr+field.At), regs)
		}
	}
	f.Fuzz(func(t *testing.T, addr uint16, b []byte) {
		r := newRig(t, "ess-100kw-215kwh")
		values := make([]uint16, 0, len(b)/2)
		for i := 0; i+1 < len(b); i += 2 {
			values = append(values, uint16(b[i])<<8|uint16(b[i+1]))
		}
		before := r.control()
		err := r.bank.Write(addr, values)
		if _, ok := errors.AsType[modbus.Exception](err); err != nil && !ok {
			t.Fatalf("%v is no exception", err)
		}
		if err != nil && r.control() != before {
			t.Fatalf("refused with %v, and changed", err)
		}
		r.later(time.Second)
		v := r.unit.View(r.now)
		if math.IsNaN(v.ACW) || math.Abs(v.ACW) > v.RatedW*1.001 || math.IsNaN(v.SetW) {
			t.Fatalf("%v W, setpoint %v W", v.ACW, v.SetW)
		}
		if d := r.scan(); !d.Ended {
			t.Fatal("the map has no end")
		}
	})
}

package sunspec_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/platform/device"
)

// chain is a map of blocks behind "SunS", with an end.
func chain(base int, blocks ...[]uint16) *registers {
	regs := []uint16{0x5375, 0x6E53}
	for _, b := range blocks {
		regs = append(regs, b...)
	}
	return &registers{base: base, regs: append(regs, 0xFFFF, 0)}
}

// fresh are the registers of a model with n instances and no point implemented.
func fresh(t testing.TB, id uint16, n int, set map[string]any) []uint16 {
	t.Helper()
	b := sunspec.NewBlock(sunspec.Lookup(id), 0, n)
	for _, scales := range []bool{true, false} { // values are in their scale
		for name, x := range set {
			if f, ok := b.Field(name); !ok || (f.Type == sunspec.ScaleFactor) != scales {
				if !ok {
					t.Fatalf("model %d has no %s", id, name)
				}
				continue
			}
			if err := b.Set(name, x); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b.Regs
}

func blank(id uint16, length int) []uint16 {
	regs := make([]uint16, 2+length)
	regs[0], regs[1] = id, uint16(length)
	for i := range length {
		regs[2+i] = uint16(1000 + i)
	}
	return regs
}

func TestBases(t *testing.T) {
	for _, tt := range []struct{ is, asked int }{
		{0, sunspec.Anywhere}, {40000, sunspec.Anywhere}, {50000, sunspec.Anywhere}, {0, 0}, {50000, 50000}, {1234, 1234},
	} {
		t.Run(fmt.Sprintf("%d asked %d", tt.is, tt.asked), func(t *testing.T) {
			d := scan(t, chain(tt.is, fresh(t, 103, 0, nil)), tt.asked)
			if d.Base != tt.is || len(d.Blocks) != 1 || d.Blocks[0].Addr != tt.is+2 || !d.Ended {
				t.Errorf("%+v", d)
			}
		})
	}
	for name, r := range map[string]*registers{
		"another base": chain(1000, fresh(t, 103, 0, nil)),
		"other values": {base: 40000, regs: make([]uint16, 10)},
	} {
		if d, err := sunspec.Scan(t.Context(), r, sunspec.Anywhere); !errors.Is(err, sunspec.ErrNoMap) {
			t.Errorf("%s: %+v, %v, want ErrNoMap", name, d, err)
		}
	}
	if _, err := sunspec.Scan(t.Context(), chain(40000, fresh(t, 103, 0, nil)), 0); !errors.Is(err, sunspec.ErrNoMap) {
		t.Errorf("at 0, where there is none: %v, want ErrNoMap", err)
	}
}

// TestChains: lengths are taken as the device gives them.
func TestChains(t *testing.T) {
	longer := append(fresh(t, 713, 0, map[string]any{"Pct_SF": int64(-1), "SoC": 55.0}), 7, 7, 7)
	longer[1] += 3
	shorter := fresh(t, 802, 0, map[string]any{"SoC_SF": int64(-1), "SoC": 55.0, "SetOp": uint64(1)})[:50] // no scale factors, no SetOp
	shorter[1] = 48
	for _, tt := range []struct {
		name   string
		regs   *registers
		models []uint16
		ended  bool
		check  func(t *testing.T, d *sunspec.Device)
	}{
		{"unknown models are passed over", chain(0, blank(64001, 300), longer, blank(64002, 0), fresh(t, 103, 0, nil)), []uint16{64001, 713, 64002, 103}, true, nil},
		{"longer than known", chain(0, longer, fresh(t, 103, 0, nil)), []uint16{713, 103}, true, func(t *testing.T, d *sunspec.Device) {
			if got := d.Block(713).Float("SoC"); got != 55 {
				t.Errorf("SoC %v", got)
			}
		}},
		{"shorter than known", chain(0, shorter, fresh(t, 103, 0, nil)), []uint16{802, 103}, true, func(t *testing.T, d *sunspec.Device) {
			b := d.Block(802)
			if b.Value("SoC").OK() || b.Value("SetOp").OK() || b.Set("SetOp", uint64(1)) == nil {
				t.Error("points beyond the length, or without a scale factor, are there")
			}
		}},
		{"more than a request has room for", chain(0, fresh(t, 701, 0, map[string]any{"W_SF": int64(1), "W": -1230.0, "MnAlrmInfo": "x"})), []uint16{701}, true, func(t *testing.T, d *sunspec.Device) {
			if b := d.Block(701); b.Float("W") != -1230 || b.Value("MnAlrmInfo").Text() != "x" {
				t.Errorf("W %v, MnAlrmInfo %v", b.Float("W"), b.Value("MnAlrmInfo").Any())
			}
		}},
		{"no instances", chain(0, fresh(t, 714, 0, nil), fresh(t, 803, 0, nil), fresh(t, 160, 0, nil)), []uint16{714, 803, 160}, true, func(t *testing.T, d *sunspec.Device) {
			for _, b := range d.Blocks {
				if b.Instances() != 0 || b.Value("Prt[0].DCV").OK() || b.Value("string[0].StrSoC").OK() || b.Value("module[0].DCA").OK() {
					t.Errorf("model %d has instances", b.ID)
				}
			}
		}},
		{"instances, the last of five", chain(0, fresh(t, 803, 5, map[string]any{"SoC_SF": int64(-1), "string[4].StrSoC": 54.8})), []uint16{803}, true, func(t *testing.T, d *sunspec.Device) {
			b := d.Block(803)
			if b.Instances() != 5 || b.Float("string[4].StrSoC") != 54.8 || b.Value("string[5].StrSoC").OK() || b.Value("string[-1].StrSoC").OK() {
				t.Errorf("%d instances, the last %v %%", b.Instances(), b.Float("string[4].StrSoC"))
			}
		}},
		{"no end", &registers{regs: chain(0, fresh(t, 103, 0, nil)).regs[:2+52]}, []uint16{103}, false, nil},
		{"an end of one register", &registers{regs: chain(0, fresh(t, 103, 0, nil)).regs[:2+52+1]}, []uint16{103}, true, nil},
		{"a length beyond the map", chain(0, blank(103, 50)[:20]), []uint16{103}, false, nil},
		{"a length beyond all addresses", chain(0, []uint16{103, 65534}), []uint16{103}, false, nil},
		{"nothing but the end", chain(0), nil, true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := scan(t, tt.regs, 0)
			var models []uint16
			for _, b := range d.Blocks {
				models = append(models, b.ID)
			}
			if fmt.Sprint(models) != fmt.Sprint(tt.models) || d.Ended != tt.ended {
				t.Fatalf("models %v, ended %t, want %v, %t", models, d.Ended, tt.models, tt.ended)
			}
			if tt.check != nil {
				tt.check(t, d)
			}
		})
	}
}

// TestCountBeyondTheLength: a device that counts more instances than it has registers for.
func TestCountBeyondTheLength(t *testing.T) {
	regs := fresh(t, 714, 1, nil)
	regs[4] = 9 // NPrt
	if n := scan(t, chain(0, regs), 0).Block(714).Instances(); n != 1 {
		t.Errorf("%d instances, want 1", n)
	}
}

// TestMapsWithoutEnd: no map keeps a scan busy.
func TestMapsWithoutEnd(t *testing.T) {
	for name, regs := range map[string][]uint16{
		"empty models":    make([]uint16, 65536),
		"models in a row": make([]uint16, 65536),
	} {
		copy(regs, []uint16{0x5375, 0x6E53})
		for i := 2; i+1 < len(regs); i += 2 {
			regs[i] = 64000
		}
		if name == "models in a row" {
			for i := 2; i+1 < len(regs); i += 66 {
				regs[i], regs[i+1] = 802, 64
			}
		}
		r := &registers{regs: regs}
		if d, err := sunspec.Scan(t.Context(), r, 0); err == nil && d.Ended {
			t.Errorf("%s: ended", name)
		} else if r.reads > 1000 {
			t.Errorf("%s: %d requests", name, r.reads)
		}
	}
}

func TestScanOfASilentDevice(t *testing.T) {
	for after := range 4 {
		r := chain(0, fresh(t, 1, 0, nil), fresh(t, 103, 0, nil))
		r.onRead = func(n int) error {
			if n > after {
				return fmt.Errorf("read: %w", device.ErrOffline)
			}
			return nil
		}
		if d, err := sunspec.Scan(t.Context(), r, 0); !errors.Is(err, device.ErrOffline) || d != nil {
			t.Errorf("silent after %d requests: %+v, %v, want ErrOffline", after, d, err)
		}
	}
}

// TestRefusedModel: a model that the device does not let read has no points, and the
// rest is found all the same.
func TestRefusedModel(t *testing.T) {
	r := chain(0, fresh(t, 103, 0, nil), fresh(t, 713, 0, map[string]any{"Pct_SF": int64(0), "SoC": 55.0}))
	r.refuse = func(addr, n int) error {
		if addr < 2+10 && addr+n > 2+4 {
			return modbus.IllegalAddress
		}
		return nil
	}
	d := scan(t, r, 0)
	if len(d.Blocks) != 2 || d.Block(103).Value("W").OK() || d.Block(713).Float("SoC") != 55 {
		t.Errorf("%d models, W %v, SoC %v", len(d.Blocks), d.Block(103).Value("W").Any(), d.Block(713).Float("SoC"))
	}
}

// TestScanOfABusyDevice: what a busy device or a gateway says once is no word about the map.
func TestScanOfABusyDevice(t *testing.T) {
	models := [][]uint16{fresh(t, 103, 0, nil), fresh(t, 701, 0, nil), fresh(t, 713, 0, nil)}
	for _, e := range []modbus.Exception{modbus.Acknowledge, modbus.DeviceBusy, modbus.GatewayNoPath, modbus.GatewayNoResponse} {
		for after := 1; ; after++ {
			r := chain(0, models...)
			r.onRead = func(n int) error {
				if n == after {
					return fmt.Errorf("busy: %w", e)
				}
				return nil
			}
			d, err := sunspec.Scan(t.Context(), r, 0)
			if r.reads < after {
				if err != nil || len(d.Blocks) != len(models) {
					t.Errorf("not in its way: %+v, %v", d, err)
				}
				break
			}
			if !errors.Is(err, device.ErrOffline) || d != nil {
				t.Errorf("%v as answer %d: %+v, %v, want ErrOffline", e, after, d, err)
			}
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte{0x53, 0x75, 0x6E, 0x53, 0xFF, 0xFF, 0, 0})
	f.Add([]byte{0x53, 0x75, 0x6E, 0x53, 0, 103, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0xFF, 0xFF, 0, 0})
	f.Add([]byte{0x53, 0x75, 0x6E, 0x53, 0x02, 0xCA, 0, 5, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0})
	f.Add([]byte{0x53, 0x75, 0x6E, 0x53, 0x03, 0x23, 0xFF, 0xF0, 0xFF, 0xFF})
	for _, id := range []uint16{1, 103, 160, 701, 704, 714, 802, 803, 804} {
		f.Add(bytes(chain(0, fresh(f, id, 2, nil)).regs))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &registers{}
		for i := 0; i+1 < len(b) && i < 1<<17; i += 2 {
			r.regs = append(r.regs, uint16(b[i])<<8|uint16(b[i+1]))
		}
		d, err := sunspec.Scan(t.Context(), r, 0)
		if r.reads > 2000 {
			t.Fatalf("%d requests", r.reads)
		}
		if err != nil {
			return
		}
		for _, b := range d.Blocks {
			for f := range b.Fields() {
				v := b.At(f)
				if !v.OK() || b.Step(f) != 1 && math.Abs(v.Float())/b.Step(f) >= 1<<48 {
					continue // what has more digits than a float is not written in a scale
				}
				regs, err := b.Encode(f, v.Any())
				if err != nil {
					t.Fatalf("%d.%s: %v cannot be written again: %v", b.ID, f.Name, v.Any(), err)
				}
				was := append([]uint16(nil), b.Regs[f.At:f.At+f.Size]...)
				copy(b.Regs[f.At:], regs)
				again := b.At(f)
				copy(b.Regs[f.At:], was)
				if again.Any() != v.Any() {
					t.Fatalf("%d.%s: %v becomes %v", b.ID, f.Name, v.Any(), again.Any())
				}
			}
		}
	})
}

func bytes(regs []uint16) (b []byte) {
	for _, r := range regs {
		b = append(b, byte(r>>8), byte(r))
	}
	return b
}

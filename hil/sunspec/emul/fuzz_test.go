package emul_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/hil/sunspec/emul"
	"yunchu/hil/sunspec/internal/memory"
)

// registers are all registers of a map, and where its models are.
func registers(t testing.TB, r *rig) (regs []uint16, d *sunspec.Device) {
	t.Helper()
	d, err := sunspec.Scan(t.Context(), &memory.Conn{Bank: r.bank}, emul.DefaultBase)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range d.Blocks {
		regs = append(regs, b.Regs...)
	}
	return regs, d
}

// near is how many registers from the base on the fuzzer reaches, which is a little more
// than there are.
const near = 1 << 10

// write is one request as the fuzzer has it: the address, how many registers, and they.
func write(addr int, values ...uint16) []byte {
	b := append(binary.BigEndian.AppendUint16(nil, uint16(addr-emul.DefaultBase)), byte(len(values)))
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// FuzzSequence sends writes of any kind, one after another. What is refused changes nothing,
// what is taken is in the map or in a point that acts and goes back by itself, and only
// points that can be written ever are.
func FuzzSequence(f *testing.F) {
	r := newRig(f, "ess-100kw-215kwh")
	_, d := registers(f, r)
	at := func(name string) int {
		b, field, ok := d.Find(name)
		if !ok {
			f.Fatalf("no %s", name)
		}
		return b.Addr + field.At
	}
	f.Add(write(at("704.WSetMod"), 1, 0xFFFF, 0xD8F0))
	f.Add(append(write(at("704.WSet"), 0, 20000), write(at("704.WSetEna"), 1)...))
	f.Add(append(write(at("704.WSetEna"), 1, 1, 0, 20000), write(at("715.OpCtl"), 0)...))
	f.Add(append(write(at("124.OutWRte"), 0xEC78, 5000), write(at("124.StorCtl_Mod"), 3)...))
	f.Add(write(at("124.OutWRte"), 5000, 0xEC78)) // at most less than at least
	f.Add(append(write(at("802.SetOp"), 2, 1), write(at("715.AlarmReset"), 1, 1)...))
	f.Add(append(write(at("123.WMaxLimPct"), 5000), write(at("123.WMaxLim_Ena"), 1)...))
	f.Add(append(write(at("704.WRmp"), 0), write(at("121.WGra"), 0)...))
	f.Add(append(write(at("715.ControllerHb"), 0, 1), write(at("802.CtrlHb"), 7, 1)...))
	f.Add(write(at("701.W"), 1))
	f.Add(write(emul.DefaultBase, 0x5375, 0x6E53))
	f.Add(write(emul.DefaultBase+near-2, 1, 2))
	f.Add(write(at("704.WSet"), 5))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newRig(t, "ess-100kw-215kwh")
		for n := 0; len(in) >= 3 && n < 20; n++ {
			addr, count := emul.DefaultBase+binary.BigEndian.Uint16(in)%near, int(in[2])
			in = in[3:]
			values := make([]uint16, min(count, len(in)/2))
			for i := range values {
				values[i] = binary.BigEndian.Uint16(in[2*i:])
			}
			in = in[2*len(values):]
			before, d := registers(t, r)
			err := r.bank.Write(addr, values)
			after, _ := registers(t, r)
			if e, refused := errors.AsType[modbus.Exception](err); err != nil {
				if !refused || e < modbus.IllegalAddress || e > modbus.DeviceFailure {
					t.Fatalf("write %d %v: %v", addr, values, err)
				}
				if !slices.Equal(before, after) {
					t.Fatalf("write %d %v was refused with %v and changed %s", addr, values, err, changed(d, before, after))
				}
			} else if name := readOnly(d, int(addr), len(values)); name != "" {
				t.Fatalf("write %d %v took %s", addr, values, name)
			}
			r.now = r.now.Add(300 * time.Millisecond)
		}
	})
}

// changed names the points in which two maps differ.
func changed(d *sunspec.Device, a, b []uint16) (names []string) {
	at := 0
	for _, m := range d.Blocks {
		for f := range m.Fields() {
			if x, y := a[at+f.At:at+f.At+f.Size], b[at+f.At:at+f.At+f.Size]; !slices.Equal(x, y) {
				names = append(names, f.Name)
			}
		}
		at += len(m.Regs)
	}
	return names
}

// readOnly names a point among the registers that cannot be written.
func readOnly(d *sunspec.Device, addr, n int) string {
	covered := 0
	for _, b := range d.Blocks {
		for f := range b.Fields() {
			if from := b.Addr + f.At; from < addr+n && from+f.Size > addr {
				covered += f.Size
				if !f.RW {
					return f.Name
				}
			}
		}
	}
	if covered != n {
		return "what is no point, or a part of one"
	}
	return ""
}

package emul_test

import (
	"math"
	"slices"
	"testing"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/hil/unit"
)

// Whatever a client writes: a request that is refused changes nothing, and no setpoint is
// beyond the rating.
func FuzzWrite(f *testing.F) {
	f.Add(uint16(0), []byte{0, 60, 0, 0, 0x27, 0x10, 0, 1}, false)
	f.Add(uint16(5), []byte{0, 2, 0, 0}, false)
	f.Add(uint16(0), []byte{1, 1}, true)
	p := profile(f, "pcs-generic")
	f.Fuzz(func(t *testing.T, addr uint16, b []byte, coils bool) {
		c := newClock()
		u := newUnit(t, c)
		d, err := emul.NewDevice(emul.DeviceOptions{Unit: u, Profile: p, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		written := func() []uint16 {
			holding, err := d.Read(modbus.Holding, 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			bits, err := d.Read(modbus.Coils, 0, 2)
			if err != nil {
				t.Fatal(err)
			}
			return append(holding, bits...)
		}
		before := written()
		if coils {
			on := make([]bool, len(b))
			for i, x := range b {
				on[i] = x&1 != 0
			}
			err = d.WriteCoils(addr, on)
		} else {
			values := make([]uint16, min(len(b)/2, modbus.MaxWrite))
			for i := range values {
				values[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
			}
			err = d.Write(addr, values)
		}
		if after := written(); err != nil && !slices.Equal(before, after) {
			t.Errorf("refused with %v, and %v became %v", err, before, after)
		}
		if v := u.View(c.now()); math.Abs(v.SetW) > v.RatedW || v.Wire != (unit.Wire{}) {
			t.Errorf("a setpoint of %v W", v.SetW)
		}
	})
}

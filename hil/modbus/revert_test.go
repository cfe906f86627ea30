package modbus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/platform/device"
)

// timed is a device with a time to revert.
const timed = `
apiVersion: yunchu/v1
kind: Profile
name: timed
points:
  power:    {address: 0, type: int16}
  setpoint: {address: 1, type: int16}
  revert_s: {address: 5, scale: 0.1}
`

const revertAt = 5

// stubborn answers an exception for one register, and may lose what is written there.
type stubborn struct {
	*cut
	refuses, loses bool
	busy           int // so many reads of it are answered with what, which passes
	what           modbus.Exception
}

func (c *stubborn) Read(ctx context.Context, t modbus.Table, addr, n uint16) ([]uint16, error) {
	if t == modbus.Holding && addr <= revertAt && addr+n > revertAt {
		switch {
		case c.refuses:
			return nil, modbus.IllegalAddress
		case c.busy > 0:
			c.busy--
			return nil, c.what
		}
	}
	return c.cut.Read(ctx, t, addr, n)
}

func (c *stubborn) Write(ctx context.Context, addr uint16, values []uint16) error {
	err := c.cut.Write(ctx, addr, values)
	if c.loses && addr == revertAt {
		c.Do(func(m *emul.Memory) { m.Holding[revertAt] = 0 })
	}
	return err
}

// TestTimeToRevertThatVanishes: in mid-run, by itself, by somebody else, or by an exception
// where it was: it is written again once, and the second time there is no power for a while.
func TestTimeToRevertThatVanishes(t *testing.T) {
	for name, vanish := range map[string]func(c *stubborn){
		"gone":      func(c *stubborn) { c.Do(func(m *emul.Memory) { m.Holding[revertAt] = 0 }) },
		"longer":    func(c *stubborn) { c.Do(func(m *emul.Memory) { m.Holding[revertAt] = 6000 }) },
		"exception": func(c *stubborn) { c.refuses = true },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, timed)
			c := &stubborn{cut: r.link}
			d, err := modbus.New(modbus.Options{Profile: r.path, Conn: c})
			if err != nil {
				t.Fatal(err)
			}
			r.Driver = d
			remarks := func() (out []string) {
				for _, x := range d.Remarks() {
					out = append(out, fmt.Sprintf("%v: %s", x.Severity, x.Text))
				}
				return out
			}
			held := func() (v uint16) { c.Do(func(m *emul.Memory) { v = m.Holding[revertAt] }); return v }
			r.must(device.SetPower, 10)
			r.reads(3)
			if got := remarks(); got != nil {
				t.Fatalf("nothing has happened: %q", got)
			}
			vanish(c)
			r.reads(1)
			if got := remarks(); len(got) != 1 || !strings.HasPrefix(got[0], "warning: the setpoint would not be taken back, and is written again: ") {
				t.Fatalf("%q", got)
			}
			if v := held(); v != 60 {
				t.Errorf("the device holds a time of %d", v)
			}
			r.holds("written again", 10)
			vanish(c)
			r.reads(1)
			if got := remarks(); len(got) != 1 || !strings.HasPrefix(got[0], "critical: the device does not keep its time to revert, so it is taken to 0 kW") {
				t.Fatalf("%q", got)
			}
			r.holds("taken back", 0)
			c.refuses = false
			r.reads(5)
			if a, err := r.command(device.SetPower, 10); err != nil || a.Status != device.Rejected || !strings.Contains(a.Reason, "has not kept its time to revert") {
				t.Errorf("power some seconds later: %+v, %v", a, err)
			}
			r.must(device.SetPower, 0)
			r.reads(60)
			r.must(device.SetPower, 10)
			r.reads(2)
			if got := remarks(); got != nil {
				t.Errorf("a minute later: %q", got)
			}
		})
	}
}

// TestTimeToRevertOfABusyDevice: a device that is busy, or has only acknowledged, when it is
// asked for its time to revert has not lost it. It is asked again a few times, and then has.
func TestTimeToRevertOfABusyDevice(t *testing.T) {
	for _, what := range []modbus.Exception{modbus.Acknowledge, modbus.DeviceBusy} {
		t.Run(what.Error(), func(t *testing.T) {
			r := newRig(t, timed)
			c := &stubborn{cut: r.link, what: what}
			d, err := modbus.New(modbus.Options{Profile: r.path, Conn: c})
			if err != nil {
				t.Fatal(err)
			}
			r.Driver = d
			c.busy = 2
			r.must(device.SetPower, 10) // read back at the third time
			for range 5 {
				r.reads(3)
				c.busy = 2
			}
			r.reads(3)
			if got := d.Remarks(); got != nil || c.busy != 0 {
				t.Errorf("busy for a while: %+v, %d left", got, c.busy)
			}
			r.holds("busy for a while", 10)
			c.busy = 1000
			r.reads(2)
			if got := d.Remarks(); got != nil {
				t.Errorf("after two looks: %+v", got)
			}
			r.reads(1)
			if got := d.Remarks(); len(got) != 1 || got[0].Severity != device.Warning {
				t.Errorf("after three looks: %+v", got)
			}
			r.reads(3)
			if got := d.Remarks(); len(got) != 1 || got[0].Severity != device.Critical {
				t.Errorf("after six looks: %+v", got)
			}
			r.holds("busy for ever", 0)
		})
	}
	// A setpoint that cannot be read back is not taken.
	r := newRig(t, timed)
	c := &stubborn{cut: r.link, what: modbus.DeviceBusy, busy: 3}
	d, err := modbus.New(modbus.Options{Profile: r.path, Conn: c})
	if err != nil {
		t.Fatal(err)
	}
	r.Driver = d
	if a, err := r.command(device.SetPower, 10); err != nil || a.Status != device.Rejected {
		t.Errorf("%+v, %v", a, err)
	}
	r.holds("not read back", 0)
}

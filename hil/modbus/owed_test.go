package modbus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/platform/device"
)

// simple is a device without a time to revert: nothing but its driver takes power back.
const simple = `
apiVersion: yunchu/v1
kind: Profile
name: simple
points:
  power:                {address: 0, type: int16}
  setpoint:             {address: 1, type: int16}
  controller_heartbeat: {address: 2}
  local:                {table: discrete, address: 0}
`

const (
	setpoint = 1
	ourBeat  = 2
)

// cut is a link to registers that a test cuts.
type cut struct {
	*emul.Memory
	down   bool
	writes func(addr uint16) error // what becomes of a write that was taken, or, with refuse, is not
	refuse bool
}

var errCut = errors.Join(device.ErrOffline, errors.New("the link is cut"))

func (c *cut) Read(_ context.Context, t modbus.Table, addr, n uint16) ([]uint16, error) {
	if c.down {
		return nil, errCut
	}
	return c.Memory.Read(t, addr, n)
}

func (c *cut) Write(_ context.Context, addr uint16, values []uint16) error {
	if c.down {
		return errCut
	}
	var err error
	if c.writes != nil {
		err = c.writes(addr)
	}
	if c.refuse && err != nil {
		return err
	}
	return errors.Join(c.Memory.Write(addr, values), err)
}

func (c *cut) WriteCoil(context.Context, uint16, bool) error { return modbus.IllegalFunction }

func (c *cut) Close() error { return nil }

// rig is a driver of a simple device.
type rig struct {
	t *testing.T
	*modbus.Driver
	link *cut
	now  time.Time
	path string // of its profile
}

func newRig(t *testing.T, text string) *rig {
	t.Helper()
	path := filepath.Join(t.TempDir(), "simple.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &cut{Memory: &emul.Memory{Holding: make([]uint16, 10), Discrete: make([]bool, 1)}}
	d, err := modbus.New(modbus.Options{Profile: path, Conn: c})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, d, c, time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), path}
}

func (r *rig) command(v device.Verb, kw float64) (device.Ack, error) {
	return r.Write(r.t.Context(), r.now, device.Command{Verb: v, Power: kw, Until: r.now.Add(time.Minute).UnixMilli()})
}

// must carries out what the device takes.
func (r *rig) must(v device.Verb, kw float64) {
	r.t.Helper()
	if a, err := r.command(v, kw); err != nil || a.Status != device.Done {
		r.t.Fatalf("%v %g kW: %v %s, %v", v, kw, a.Status, a.Reason, err)
	}
}

// reads reads once a second.
func (r *rig) reads(n int) (last device.Reading) {
	for range n {
		r.now = r.now.Add(time.Second)
		last, _ = r.Read(r.t.Context(), r.now) // a cut link is part of the test
	}
	return last
}

func (r *rig) holds(what string, want int16) {
	r.t.Helper()
	r.link.Do(func(m *emul.Memory) {
		if got := int16(m.Holding[setpoint]); got != want {
			r.t.Errorf("%s: the setpoint register holds %d kW, want %d", what, got, want)
		}
	})
}

func (r *rig) local(on bool) { r.link.Do(func(m *emul.Memory) { m.Discrete[0] = on }) }

// A power that nobody answers for is taken back as soon as the device can be reached.
func TestPowerIsTakenBack(t *testing.T) {
	t.Run("setpoint of unknown fate", func(t *testing.T) {
		r := newRig(t, simple)
		r.link.writes = func(addr uint16) error {
			if addr != setpoint {
				return nil
			}
			r.link.down = true
			return errCut
		}
		if a, err := r.command(device.SetPower, 50); !errors.Is(err, device.ErrOffline) {
			t.Fatalf("%+v, %v, want it offline", a, err)
		}
		r.link.writes = nil
		r.reads(3)
		r.holds("while the link is cut", 50)
		r.link.down = false
		r.reads(1)
		r.holds("afterwards", 0)
	})
	t.Run("stop while the link is cut", func(t *testing.T) {
		r := newRig(t, simple)
		r.must(device.SetPower, 50)
		r.link.down = true
		if a, err := r.command(device.Stop, 0); !errors.Is(err, device.ErrOffline) {
			t.Fatalf("%+v, %v, want it offline", a, err)
		}
		r.reads(1)
		r.link.down = false
		r.reads(1)
		r.holds("afterwards", 0)
	})
	t.Run("mode while the link is cut", func(t *testing.T) {
		r := newRig(t, simple)
		r.must(device.SetPower, 50)
		r.link.down = true
		if a, err := r.Write(t.Context(), r.now, device.Command{Verb: device.SetMode, Mode: device.StandbyMode}); !errors.Is(err, device.ErrOffline) {
			t.Fatalf("%+v, %v, want it offline", a, err)
		}
		r.link.down = false
		r.reads(1)
		r.holds("afterwards", 0)
	})
	t.Run("emergency stop while the link is cut", func(t *testing.T) {
		r := newRig(t, simple)
		r.must(device.SetPower, 50)
		r.link.down = true
		if a, err := r.command(device.EStop, 0); !errors.Is(err, device.ErrOffline) {
			t.Fatalf("%+v, %v, want it offline", a, err)
		}
		r.link.down = false
		r.reads(1)
		r.holds("afterwards", 0)
		if a, err := r.command(device.SetPower, 50); err != nil || a.Status != device.Rejected {
			t.Errorf("before it was reset: %+v, %v", a, err)
		}
	})
	t.Run("expiry while the link is cut", func(t *testing.T) {
		r := newRig(t, simple)
		r.must(device.SetPower, 50)
		r.link.down = true
		r.now = r.now.Add(2 * time.Minute)
		r.reads(1)
		r.link.down = false
		r.reads(1)
		r.holds("afterwards", 0)
	})
	t.Run("local control", func(t *testing.T) {
		r := newRig(t, simple)
		r.must(device.SetPower, 50)
		r.local(true)
		if f := r.reads(5).Flags; f&device.FlagLocal == 0 {
			t.Errorf("flags %v, want local", f)
		}
		r.holds("nothing is written", 50)
		r.local(false)
		r.reads(1)
		r.holds("afterwards", 0)
	})
}

// A device that nobody has commanded, or that has refused to be, is not written to.
func TestNothingOwedNothingWritten(t *testing.T) {
	r := newRig(t, simple)
	r.local(true)
	for _, v := range []device.Verb{device.SetPower, device.Stop, device.EStop, device.Reset} {
		if a, err := r.command(v, 50); err != nil || a.Status != device.Rejected || a.Code != "LOCAL" {
			t.Errorf("%v in local control: %+v, %v", v, a, err)
		}
	}
	r.local(false)
	r.reads(5)
	r.link.Do(func(m *emul.Memory) {
		if m.Writes != 0 {
			t.Errorf("%d writes", m.Writes)
		}
	})
	r.link.refuse, r.link.writes = true, func(addr uint16) error {
		if addr == ourBeat {
			return modbus.DeviceBusy
		}
		return nil
	}
	if a, err := r.command(device.SetPower, 50); err != nil || a.Status != device.Rejected {
		t.Errorf("a device that refuses our heartbeat: %+v, %v", a, err)
	}
	r.holds("refused", 0)
}

// A heartbeat that the device took, and whose answer was lost, is our own.
func TestBeatOfUnknownFateIsOurs(t *testing.T) {
	for name, taken := range map[string]bool{"taken": true, "lost": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, simple)
			r.must(device.SetPower, 50)
			r.reads(2)
			r.link.refuse, r.link.writes = !taken, func(addr uint16) error {
				if addr == ourBeat {
					return errCut
				}
				return nil
			}
			r.reads(1)
			r.link.refuse, r.link.writes = false, nil
			if f := r.reads(3).Flags; f != 0 {
				t.Errorf("flags %v, want none", f)
			}
			r.holds("goes on", 50)
			r.link.Do(func(m *emul.Memory) { m.Holding[ourBeat] += 7 })
			if f := r.reads(1).Flags; f&device.FlagMaster == 0 {
				t.Errorf("flags %v after somebody else's heartbeat, want master", f)
			}
		})
	}
}

// A device that reverts sooner than we would like gets its setpoint renewed sooner.
func TestRenewalKeepsToTheDevicesTime(t *testing.T) {
	r := newRig(t, simple+"  revert_s: {address: 3, range: {min: 0, max: 3}}\n")
	written := 0
	r.link.writes = func(addr uint16) error {
		if addr == setpoint {
			written++
		}
		return nil
	}
	r.must(device.SetPower, 50)
	r.reads(6)
	if written < 6 {
		t.Errorf("written %d times in 6 s, reverting after 3 s; want it every second", written)
	}
}

// An emergency stop that did not reach the device is completed when it can be reached.
func TestEmergencyStopIsCompleted(t *testing.T) {
	r := newRig(t, simple+"  operate: {address: 4, values: {stop: 0, start: 1}}\n")
	r.must(device.SetPower, 50)
	r.link.Do(func(m *emul.Memory) { m.Holding[4] = 1 })
	r.link.down = true
	if a, err := r.command(device.EStop, 0); !errors.Is(err, device.ErrOffline) {
		t.Fatalf("%+v, %v, want it offline", a, err)
	}
	r.reads(3)
	r.link.down = false
	r.reads(1)
	r.holds("afterwards", 0)
	r.link.Do(func(m *emul.Memory) {
		if m.Holding[4] != 0 {
			t.Error("the device is left in operation")
		}
	})
	r.must(device.Reset, 0)
	r.reads(3)
	r.link.Do(func(m *emul.Memory) {
		if m.Holding[4] != 1 {
			t.Error("stopped again after the reset")
		}
	})
}

// Rounding to the register's steps does not lead beyond what was asked for.
func TestSetpointIsRoundedTowardsZero(t *testing.T) {
	r := newRig(t, simple)
	for kw, want := range map[float64]int16{30.6: 30, -30.6: -30, 30: 30, -29.9999999: -30, 0.7: 0} {
		r.must(device.SetPower, kw)
		r.holds(fmt.Sprint(kw, " kW"), want)
	}
}

// An emergency stop that the device was too busy for is told again, whatever else it refuses.
func TestEmergencyStopOfABusyDevice(t *testing.T) {
	r := newRig(t, simple+"  operate: {address: 4, values: {stop: 0, start: 1}}\n  connect: {address: 5, values: {inactive: 0, active: 1}}\n")
	r.must(device.SetPower, 50)
	r.link.Do(func(m *emul.Memory) { m.Holding[4], m.Holding[5] = 1, 1 })
	busy := true
	r.link.refuse, r.link.writes = true, func(addr uint16) error {
		switch {
		case addr == 4:
			return modbus.IllegalValue
		case addr == 5 && busy:
			busy = false
			return modbus.DeviceBusy
		}
		return nil
	}
	_, _ = r.command(device.EStop, 0)
	r.reads(2)
	r.holds("afterwards", 0)
	r.link.Do(func(m *emul.Memory) {
		if m.Holding[5] != 0 {
			t.Error("the device is left connected")
		}
	})
}

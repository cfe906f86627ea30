package modbus_test

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// TestDeadUnitLeavesTheLineToItsNeighbours: of three units on a serial line one does not
// answer. Each attempt to read it costs its neighbours the line for twice the timeout, and is
// made ever more seldom; a command to it is tried at once, and once it answers it is read as
// often as before.
func TestDeadUnitLeavesTheLineToItsNeighbours(t *testing.T) {
	t.Parallel()
	const timeout = 400 * time.Millisecond
	var dead atomic.Bool
	var attempts atomic.Int32
	units := map[byte]emul.Served{}
	for n := byte(1); n <= 3; n++ {
		units[n] = emul.Served{Bank: &emul.Memory{Holding: make([]uint16, 10), Discrete: make([]bool, 1)}}
	}
	units[2] = emul.Served{Bank: units[2].Bank, Wire: func() unit.Wire {
		attempts.Add(1)
		return unit.Wire{Down: dead.Load()}
	}}
	addr := serve(t, emul.Options{Address: pseudo(t), Units: units})
	profile := filepath.Join(t.TempDir(), "simple.yaml")
	if err := os.WriteFile(profile, []byte(simple), 0o600); err != nil {
		t.Fatal(err)
	}
	drivers := map[byte]*modbus.Driver{}
	for n := range units {
		d, err := modbus.New(modbus.Options{Address: addr, Unit: n, Profile: profile, Timeout: timeout})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		drivers[n] = d
	}
	read := func(n byte) error { _, err := drivers[n].Read(t.Context(), time.Now()); return err }
	for n := range units {
		if err := read(n); err != nil {
			t.Fatalf("unit %d: %v", n, err)
		}
	}

	dead.Store(true)
	attempts.Store(0)
	const span = 3800 * time.Millisecond
	var longest [4]time.Duration
	var over sync.WaitGroup
	begin := time.Now()
	for n := range units {
		over.Go(func() {
			last := time.Now()
			for time.Since(begin) < span {
				if err := read(n); err == nil {
					longest[n], last = max(longest[n], time.Since(last)), time.Now()
				} else if n != 2 {
					t.Errorf("unit %d: %v", n, err)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	over.Wait()
	// At 0, 0.8, 2.0 and 4.0 s: each takes 0.4 s, is left alone for 0.1, 0.8 and 1.6 s after that,
	// and what may still come is waited for.
	if n := attempts.Load(); n < 1 || n > 3 {
		t.Errorf("the dead unit was tried %d times in %v, want at most 3", n, span)
	}
	for _, n := range []byte{1, 3} {
		if longest[n] > 2*timeout+2*time.Second { // and what a busy machine takes
			t.Errorf("unit %d was not read for %v", n, longest[n])
		}
	}

	dead.Store(false)
	a, err := drivers[2].Write(t.Context(), time.Now(), device.Command{Verb: device.Stop})
	if err != nil || a.Status != device.Done {
		t.Errorf("a command while it is left alone: %v %s, %v", a.Status, a.Reason, err)
	}
	for range 3 {
		if err := read(2); err != nil {
			t.Errorf("it answers again: %v", err)
		}
	}
}

// TestOwedStopsLeaveTheLineToTheNeighbours: of four units on a serial line two die with a setpoint
// whose time is over. Each try to reach them costs their neighbours the line for twice the
// timeout: together they have a third of it, in turn.
func TestOwedStopsLeaveTheLineToTheNeighbours(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	var dead atomic.Bool
	var attempts [5]atomic.Int32
	units := map[byte]emul.Served{}
	for n := byte(1); n <= 4; n++ {
		units[n] = emul.Served{
			Bank: &emul.Memory{Holding: make([]uint16, 10), Discrete: make([]bool, 1)},
			Wire: func() unit.Wire { attempts[n].Add(1); return unit.Wire{Down: n > 2 && dead.Load()} },
		}
	}
	addr := serve(t, emul.Options{Address: pseudo(t), Units: units})
	profile := filepath.Join(t.TempDir(), "simple.yaml")
	if err := os.WriteFile(profile, []byte(simple), 0o600); err != nil {
		t.Fatal(err)
	}
	drivers := map[byte]*modbus.Driver{}
	for n := range units {
		d, err := modbus.New(modbus.Options{Address: addr, Unit: n, Profile: profile, Timeout: timeout})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		drivers[n] = d
		a, err := d.Write(t.Context(), time.Now(), device.Command{Verb: device.SetPower, Power: 5, Until: time.Now().Add(time.Minute).UnixMilli()})
		if err != nil || a.Status != device.Done {
			t.Fatalf("unit %d: %v %s, %v", n, a.Status, a.Reason, err)
		}
	}

	dead.Store(true)
	for n := range attempts {
		attempts[n].Store(0)
	}
	const span = 7 * time.Second
	var longest [5]time.Duration
	var over sync.WaitGroup
	begin := time.Now()
	for n, d := range drivers {
		over.Go(func() {
			last := time.Now()
			for time.Since(begin) < span {
				now := time.Now()
				if n > 2 {
					now = now.Add(time.Hour) // when its setpoint is over
				}
				if _, err := d.Read(t.Context(), now); err == nil {
					longest[n], last = max(longest[n], time.Since(last)), time.Now()
				} else if n <= 2 {
					t.Errorf("unit %d: %v", n, err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	over.Wait()
	tried := [2]int32{attempts[3].Load(), attempts[4].Load()}
	// Each fails once, and once more soon after that; then there is a try in six timeouts.
	if n := tried[0] + tried[1]; n > 4+int32(span/(6*timeout)) || min(tried[0], tried[1]) < 2 || max(tried[0]-tried[1], tried[1]-tried[0]) > 1 {
		t.Errorf("the dead units were tried %d times in %v", tried, span)
	}
	for n := 1; n <= 2; n++ {
		if longest[n] > 4*timeout+2*time.Second { // and what a busy machine takes
			t.Errorf("unit %d was not read for %v", n, longest[n])
		}
	}
}

// TestOwedStopIsHeardWithTheFirstReading: a unit on a serial line that answers again gets the stop
// that it is owed with the first reading, of which no request is taken for one more try.
func TestOwedStopIsHeardWithTheFirstReading(t *testing.T) {
	t.Parallel()
	var dead atomic.Bool
	var answered, failed atomic.Int32
	bank := &emul.Memory{Holding: make([]uint16, 10), Discrete: make([]bool, 1)}
	addr := serve(t, emul.Options{Address: pseudo(t), Units: map[byte]emul.Served{1: {
		Bank: bank, Wire: func() unit.Wire { return unit.Wire{Down: dead.Load()} },
	}}})
	profile := filepath.Join(t.TempDir(), "simple.yaml")
	if err := os.WriteFile(profile, []byte(simple), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := modbus.New(modbus.Options{
		Address: addr, Unit: 1, Profile: profile, Timeout: 300 * time.Millisecond,
		Timed: func(_ time.Duration, err error) {
			if err == nil {
				answered.Add(1)
			} else {
				failed.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a, err := d.Write(t.Context(), time.Now(), device.Command{Verb: device.SetPower, Power: 5, Until: time.Now().Add(time.Minute).UnixMilli()})
	if err != nil || a.Status != device.Done {
		t.Fatalf("%v %s, %v", a.Status, a.Reason, err)
	}
	later := func() time.Time { return time.Now().Add(time.Hour) } // when its setpoint is over
	dead.Store(true)
	waitFor(t, func() bool { // until it has a part of the line
		if _, err := d.Read(t.Context(), later()); err == nil {
			t.Fatal("it answers")
		}
		return failed.Load() >= 2
	})
	dead.Store(false)
	answered.Store(0)
	waitFor(t, func() bool {
		_, err = d.Read(t.Context(), later())
		return answered.Load() > 0
	})
	if err != nil {
		t.Errorf("the reading in which it has answered: %v", err)
	}
	bank.Do(func(m *emul.Memory) {
		if m.Holding[setpoint] != 0 {
			t.Errorf("the setpoint register holds %d kW after it", m.Holding[setpoint])
		}
	})
}

// TestDeadNeighboursDoNotDelayAnOwedStop: how often a unit is tried that has yet to hear a stop
// depends on how many such units its line has, and not on who else does not answer there.
func TestDeadNeighboursDoNotDelayAnOwedStop(t *testing.T) {
	t.Parallel()
	const timeout = 200 * time.Millisecond
	o := modbus.Options{Address: "rtu://" + filepath.Join(t.TempDir(), "line"), Timeout: timeout} // which there is not
	fails := func(c modbus.Conn, n int) {
		for range n {
			modbus.Insist(c)
			if _, err := c.Read(t.Context(), modbus.Holding, 0, 1); err == nil {
				t.Fatal("it answers")
			}
		}
	}
	for n := range byte(20) {
		o.Unit = 10 + n
		fails(dial(t, o), 6)
	}
	var tries atomic.Int32
	o.Unit, o.Timed = 1, func(time.Duration, error) { tries.Add(1) }
	c := dial(t, o)
	fails(c, 6) // its own back-off is longer than what it is to wait
	tries.Store(0)
	for began := time.Now(); tries.Load() == 0; time.Sleep(20 * time.Millisecond) {
		modbus.InsistOwed(c)
		_, _ = c.Read(t.Context(), modbus.Holding, 0, 1)
		if waited := time.Since(began); waited > 5*time.Second {
			t.Fatalf("not tried for %v: its turn comes each second", waited)
		}
	}
}

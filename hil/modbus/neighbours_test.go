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

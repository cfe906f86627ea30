package modbus_test

import (
	"context"
	"errors"
	"net"
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

// An exchange that was answered shows that the device is there, with an exception too; one
// without an answer does not.
func TestAnswersAreHeard(t *testing.T) {
	addr := toy(t, func(c net.Conn, tx uint16, unit byte, pdu []byte) {
		switch pdu[2] {
		case 0:
			_, _ = c.Write(modbus.AppendTCP(nil, tx, unit, []byte{3, 2, 0, 7}))
		case 1:
			_, _ = c.Write(modbus.AppendTCP(nil, tx, unit, []byte{0x83, 2}))
		default:
			c.Close()
		}
	})
	c := dial(t, modbus.Options{Address: addr, Timeout: 10 * time.Second})
	heard := 0
	ctx := device.WithHeard(t.Context(), func() { heard++ })
	for i, want := range []int{1, 2, 2} {
		if _, err := c.Read(ctx, modbus.Holding, uint16(i), 1); heard != want || (err == nil) != (i == 0) {
			t.Errorf("exchange %d: heard %d times, want %d: %v", i, heard, want, err)
		}
	}
}

// TestOwedStopDoesNotWaitForTheBackOff: a unit that answers no more is left alone for longer and
// longer. An emergency stop reaches out for it with each of its steps all the same, and until it
// was heard the unit is tried each second.
func TestOwedStopDoesNotWaitForTheBackOff(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	addr := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{1: {
		Bank: &emul.Memory{Holding: make([]uint16, 10), Discrete: make([]bool, 1)},
		Wire: func() unit.Wire { return unit.Wire{Down: down.Load()} },
	}}})
	path := filepath.Join(t.TempDir(), "simple.yaml")
	if err := os.WriteFile(path, []byte(simple+"  operate: {address: 4, values: {stop: 2, start: 1}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var tried []time.Time
	timed := func(took time.Duration, _ error) {
		mu.Lock()
		defer mu.Unlock()
		tried = append(tried, time.Now().Add(-took))
	}
	attempts := func() []time.Time { mu.Lock(); defer mu.Unlock(); return tried }
	c := dial(t, modbus.Options{Address: addr, Unit: 1, Timeout: 100 * time.Millisecond, Timed: timed})
	d, err := modbus.New(modbus.Options{Profile: path, Conn: c})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		a, err := d.Write(t.Context(), time.Now(), device.Command{Verb: device.SetPower, Power: 5, Until: time.Now().Add(time.Minute).UnixMilli()})
		return err == nil && a.Status == device.Done
	})

	down.Store(true)
	for range 7 { // up to 5 s
		modbus.Insist(c)
		if _, err := c.Read(t.Context(), modbus.Holding, 0, 1); err == nil {
			t.Fatal("it answers")
		}
	}
	n := len(attempts())
	if _, err := d.Write(t.Context(), time.Now(), device.Command{Verb: device.EStop}); !errors.Is(err, device.ErrOffline) {
		t.Errorf("%v", err)
	}
	if got := len(attempts()) - n; got < 4 { // what forbids it, the setpoint, operate, and what the setpoint holds
		t.Errorf("%d attempts to tell the emergency stop, want one for each of its steps", got)
	}
	n = len(attempts())
	waitFor(t, func() bool {
		_, err := d.Read(t.Context(), time.Now())
		return err != nil && len(attempts()) >= n+2
	})
	for i, at := range attempts()[n : n+2] {
		if gap := at.Sub(attempts()[n+i-1]); gap < time.Second || gap > 4*time.Second {
			t.Errorf("tried again after %v, want 1 s", gap)
		}
	}
	down.Store(false)
	waitFor(t, func() bool { _, err := d.Read(t.Context(), time.Now()); return err == nil })
	v, err := c.Read(t.Context(), modbus.Holding, 4, 1)
	if err != nil || v[0] != 2 {
		t.Errorf("operate holds %d, want the stop: %v", v, err)
	}
}

// TestStopLeavesTheExchangeToItsEnd: a line that an exchange was given up on must be listened to
// until nothing can come any more. A stop has it sooner when the exchange under way ends, and
// no other one of what was broken off begins.
func TestStopLeavesTheExchangeToItsEnd(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"tcp://127.0.0.1:0", pseudo(t)} {
		t.Run(address[:3], func(t *testing.T) {
			const timeout = 5 * time.Second
			var late atomic.Int64
			began := make(chan struct{}, 1)
			wire := func() unit.Wire {
				w := unit.Wire{Late: time.Duration(late.Swap(0))}
				if w.Late > 0 {
					began <- struct{}{}
				}
				return w
			}
			addr := serve(t, emul.Options{Address: address, Units: map[byte]emul.Served{1: {Bank: memory(), Wire: wire}}})
			c := dial(t, modbus.Options{Address: addr, Timeout: timeout})
			mustRead(t, c, 3, 1)
			late.Store(int64(300 * time.Millisecond))
			ctx, end := context.WithCancelCause(t.Context())
			go func() {
				<-began
				end(device.ErrStopFirst)
			}()
			if v, err := c.Read(ctx, modbus.Holding, 100, 1); err != nil || v[0] != 100 {
				t.Errorf("the exchange under way: %v, %v", v, err)
			}
			if _, err := c.Read(ctx, modbus.Holding, 100, 1); !errors.Is(err, device.ErrStopFirst) || !errors.Is(err, device.ErrOffline) {
				t.Errorf("the next one: %v", err)
			}
			stop := time.Now()
			mustRead(t, c, 200, 1)
			if took := time.Since(stop); took > timeout/2 {
				t.Errorf("the stop has waited for %v", took)
			}
		})
	}
}

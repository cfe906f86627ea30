package emul_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// What the driver makes of each fault of a wire: no reading, never a wrong one, and all is
// well again when the fault ends.
func TestWireFaults(t *testing.T) {
	t.Parallel()
	const timeout = 150 * time.Millisecond
	for _, tt := range []struct {
		fault    unit.Fault
		offline  bool // the error says that the device is
		refuses  bool // a command is answered, with a refusal
		previous bool // answers to other requests may fit
	}{
		{fault: unit.Fault{Kind: "late-answer", By: timeout + 10*time.Millisecond}, offline: true},
		{fault: unit.Fault{Kind: "late-answer", By: 2 * timeout}, offline: true},
		{fault: unit.Fault{Kind: "previous-answer"}, offline: true, previous: true},
		{fault: unit.Fault{Kind: "exception", Code: 4}, refuses: true},
		{fault: unit.Fault{Kind: "exception", Code: 6}, refuses: true},
		{fault: unit.Fault{Kind: "reset"}, offline: true},
		{fault: unit.Fault{Kind: "pause"}, offline: true},
		{fault: unit.Fault{Kind: "link-down"}, offline: true},
	} {
		for _, address := range []string{"tcp", "pty"} {
			t.Run(tt.fault.Kind+"/"+address, func(t *testing.T) {
				t.Parallel()
				at := "tcp://127.0.0.1:0"
				if address == "pty" {
					at = "pty://" + filepath.Join(t.TempDir(), "line")
				}
				r := newRig(t, at, "pcs-generic", modbus.Options{Timeout: timeout})
				r.answered() // so short a time-out may be over before a busy machine has opened the line
				r.do(device.SetPower, 10)
				r.poll(2 * time.Second)
				want := r.read()
				end, err := r.unit.Inject(r.now(), tt.fault)
				if err != nil {
					t.Fatal(err)
				}
				failed := false
				for range 4 {
					began := time.Now()
					x, err := r.driver.Read(t.Context(), r.now())
					if took := time.Since(began); took > 6*timeout {
						t.Errorf("a read took %v", took)
					}
					switch {
					case err == nil && !tt.previous:
						t.Fatalf("a reading over a broken wire: %+v", x)
					case err != nil:
						failed = true
						if _, ok := errors.AsType[modbus.Exception](err); ok == tt.offline || errors.Is(err, device.ErrOffline) != tt.offline {
							t.Errorf("read: %v", err)
						}
					}
					time.Sleep(timeout / 2)
				}
				if !failed {
					t.Error("no reading has failed")
				}
				a, err := r.driver.Write(t.Context(), r.now(), r.command(device.SetPower, -10, time.Minute))
				switch {
				case tt.refuses && (err != nil || a.Status != device.Rejected || a.Code != "REJECTED"):
					t.Errorf("a command that is refused: %+v, %v", a, err)
				case tt.offline && err == nil && a.Status == device.Done:
					t.Errorf("a command of which nobody knows: %+v", a)
				}
				end(r.now())
				got := r.answered()
				if got.SoC != want.SoC || got.Voltage != want.Voltage || got.Status != want.Status {
					t.Errorf("after the fault: %+v, before: %+v", got, want)
				}
			})
		}
	}
}

// answered is the first reading that comes.
func (r *rig) answered() device.Reading {
	r.t.Helper()
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		x, err := r.driver.Read(r.t.Context(), r.now())
		if err == nil {
			return x
		}
		if time.Now().After(until) {
			r.t.Fatal(err)
		}
	}
}

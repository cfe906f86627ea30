package emul_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"yunchu/hil/modbus"
	modbusemul "yunchu/hil/modbus/emul"
	"yunchu/hil/sunspec"
	"yunchu/hil/sunspec/internal/memory"
	"yunchu/hil/unit"
	"yunchu/platform/device"
	"yunchu/platform/device/devicetest"
	"yunchu/twin/params"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve has a Modbus server answer for the rig's unit and returns its address.
func serve(t testing.TB, r *rig) string {
	t.Helper()
	s, err := modbusemul.Listen(modbusemul.Options{
		Address: "tcp://127.0.0.1:0",
		Units:   map[byte]modbusemul.Served{memory.Unit: {Bank: r.bank, Wire: r.bank.Wire}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return s.Addr()
}

// onTCP puts a driver at the rig's unit over a socket.
func onTCP(t testing.TB, r *rig, timeout time.Duration) {
	t.Helper()
	conn, err := modbus.Dial(modbus.Options{Address: serve(t, r), Unit: memory.Unit, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	r.driver, err = sunspec.New(sunspec.Options{Conn: conn, Base: sunspec.Anywhere, Unit: memory.Unit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.driver.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOverTCPDriverKeepsWhatDriversPromise(t *testing.T) {
	devicetest.Run(t, func(t *testing.T) (device.Driver, func(time.Duration) time.Time) {
		r := newRig(t, params.Models()[0])
		onTCP(t, r, time.Second)
		return r.driver, r.pass
	})
}

// TestWireFaults: no reading comes out of a wire that is broken, and good ones come again
// when it is mended.
func TestWireFaults(t *testing.T) {
	for _, f := range []unit.Fault{
		{Kind: "late-answer", By: 150 * time.Millisecond},
		{Kind: "previous-answer"},
		{Kind: "exception", Code: 4},
		{Kind: "exception", Code: 6},
		{Kind: "reset"},
		{Kind: "pause"},
		{Kind: "link-down"},
	} {
		t.Run(f.Kind, func(t *testing.T) {
			r := newRig(t, "ess-100kw-215kwh")
			onTCP(t, r, 100*time.Millisecond)
			r.setPower(20, time.Hour)
			r.pass(2 * time.Second)
			want := r.read()
			if want.Power != 20 {
				t.Fatalf("before: %+v", want)
			}
			end := r.inject(f)
			for range 3 {
				r.later(100 * time.Millisecond)
				x, err := r.driver.Read(t.Context(), r.now)
				if !errors.Is(err, device.ErrOffline) && !(err == nil && x.Power == 20) {
					t.Errorf("%+v, %v, want ErrOffline or the truth", x, err)
				}
			}
			end()
			deadline := time.Now().Add(5 * time.Second)
			for {
				x, err := r.driver.Read(t.Context(), r.now)
				if err == nil && x.Power == 20 {
					break
				}
				if !errors.Is(err, device.ErrOffline) || time.Now().After(deadline) {
					t.Fatalf("mended: %+v, %v", x, err)
				}
				time.Sleep(20 * time.Millisecond) // the back-off of the link runs on the wall clock
			}
			r.pass(3 * time.Second)
			if got := r.read(); got.Flags != 0 || got.Power != 20 {
				t.Errorf("a moment later: %+v", got)
			}
		})
	}
}

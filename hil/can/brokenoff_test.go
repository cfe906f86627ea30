package can_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/hil/can"
	"yunchu/platform/device"
)

// TestReadThatIsBrokenOff: what is asked first instead, such as a stop, finds the bus as it was,
// without a back-off; a bus that does not open or takes nothing is left alone, with its reason.
func TestReadThatIsBrokenOff(t *testing.T) {
	p := load(t, "victron-sma-lv")
	for name, dial := range map[string]func(ctx context.Context) (can.Bus, error){
		"takes nothing": func(context.Context) (can.Bus, error) { return full{&mute{make(chan struct{})}}, nil },
		"does not open": func(ctx context.Context) (can.Bus, error) { <-ctx.Done(); return nil, ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dials := 0
				d, err := can.New(can.Options{Profile: p, Dial: func(ctx context.Context) (can.Bus, error) { dials++; return dial(ctx) }})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				for range 3 {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(time.Millisecond, cancel)
					from := time.Now()
					if _, err := d.Read(ctx, from); !errors.Is(err, device.ErrOffline) || time.Since(from) != time.Millisecond {
						t.Errorf("broken off: %v after %v", err, time.Since(from))
					}
				}
				if want := map[string]int{"takes nothing": 1, "does not open": 3}[name]; dials != want {
					t.Errorf("opened %d times, want %d", dials, want)
				}
				before := dials
				_, _ = d.Read(t.Context(), time.Now())
				_, err = d.Read(t.Context(), time.Now())
				if !errors.Is(err, device.ErrOffline) || !errors.Is(err, context.DeadlineExceeded) || dials > before+1 {
					t.Errorf("afterwards: %v, opened %d times more", err, dials-before)
				}
			})
		})
	}
}

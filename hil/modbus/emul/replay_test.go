package emul_test

import (
	"errors"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/platform/device"
)

// A driver that is answered from the recording of another reads the same.
func TestReplay(t *testing.T) {
	var crossed []device.Crossing
	var r *rig
	r = newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{Tap: func(c device.Crossing) {
		c.At = r.now() // the recording is in the time of the unit
		c.Data = append([]byte(nil), c.Data...)
		crossed = append(crossed, c)
	}})
	begin := r.now()
	var live []device.Reading
	play := func(d device.Driver, pass func(time.Duration), now func() time.Time) (list []device.Reading) {
		for i := range 8 {
			pass(time.Second)
			if i == 2 {
				c := device.Command{Verb: device.SetPower, Power: 25, At: now().UnixMilli(), Until: now().Add(time.Minute).UnixMilli()}
				if a, err := d.Write(t.Context(), now(), c); err != nil || a.Status != device.Done || a.Power != 25 {
					t.Fatalf("%+v, %v", a, err)
				}
			}
			x, err := d.Read(t.Context(), now())
			if err != nil {
				t.Fatal(err)
			}
			x.Arrived = 0
			list = append(list, x)
		}
		return list
	}
	live = play(r.driver, r.pass, r.now)

	replay := modbus.NewReplay(crossed)
	d, err := modbus.New(modbus.Options{Conn: replay, Profile: "pcs-generic"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(t.Context(), begin); !errors.Is(err, device.ErrOffline) {
		t.Errorf("before the recording: %v", err)
	}
	at := begin
	again := play(d, func(x time.Duration) { at = at.Add(x) }, func() time.Time { return at })
	for i := range live {
		if !live[i].SameValues(&again[i]) || live[i].At != again[i].At || live[i].Flags != again[i].Flags {
			t.Errorf("reading %d was %+v, is %+v", i, live[i], again[i])
		}
	}
	if n := replay.Diverged(); n != 0 {
		t.Errorf("%d writes diverge", n)
	}
	if a, err := d.Write(t.Context(), at, device.Command{Verb: device.SetPower, Power: 30, Until: at.Add(time.Minute).UnixMilli()}); err != nil || a.Status != device.Failure || a.Code != "READ_BACK" {
		t.Errorf("a setpoint that the device never took: %+v, %v", a, err)
	}
	if n := replay.Diverged(); n != 2 { // the setpoint, and taking it back
		t.Errorf("%d writes diverge, want 2", n)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.Read(t.Context(), at); !errors.Is(err, device.ErrOffline) {
		t.Errorf("after Close: %v", err)
	}
}

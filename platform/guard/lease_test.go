package guard_test

import (
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// Whoever sends a setpoint has it for a lease, and what asks for more is refused.
func TestLease(t *testing.T) {
	for _, tt := range []struct {
		name           string
		lease, planner time.Duration // of the guard
		source         string
		asked          time.Duration
		code           string
	}{
		{"a day by default", 0, 0, "user:ann", 24 * time.Hour, ""},
		{"no more", 0, 0, "user:ann", 24*time.Hour + time.Millisecond, guard.CodeLease},
		{"for ever", 0, 0, "token:x", time.Duration(1<<63 - 1), guard.CodeLease},
		{"a shorter one", time.Hour, 0, "user:ann", 61 * time.Minute, guard.CodeLease},
		{"a longer one", 48 * time.Hour, 0, "user:ann", 30 * time.Hour, ""},
		{"none beyond a week", 1000 * time.Hour, 0, "user:ann", 169 * time.Hour, guard.CodeLease},
		{"dispatch by its own", time.Hour, 6 * time.Second, device.Planner, 6 * time.Second, ""},
		{"dispatch no longer", time.Hour, 6 * time.Second, device.Planner, 7 * time.Second, guard.CodeLease},
		{"somebody else at the priority of dispatch", time.Hour, 6 * time.Second, "user:ann", time.Minute, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := plant(t, 1)
			g.Lease, g.PlannerLease = tt.lease, tt.planner
			c := setPower(0, start, 50, device.Dispatch)
			c.Source, c.Duration = tt.source, tt.asked.Milliseconds()
			v := check(g, start, c)
			if v.Code != tt.code {
				t.Fatalf("%+v, want code %q", v, tt.code)
			}
			if tt.code == "" && v.Until != at(tt.asked).UnixMilli() {
				t.Errorf("holds until %v", device.Time(v.Until))
			}
		})
	}
}

// Renewed in time a setpoint goes on; left alone it ends with its lease.
func TestLeaseIsRenewed(t *testing.T) {
	g := plant(t, 1)
	g.Lease = time.Minute
	now := start
	for range 10 {
		if v := check(g, now, setPower(0, now, 50, device.Normal)); v.Code != "" {
			t.Fatal(v)
		}
		now = now.Add(50 * time.Second)
		if out := g.Tick(now, nil); len(out) != 0 {
			t.Fatalf("corrected although it was renewed: %+v", out)
		}
	}
	now = now.Add(10 * time.Second)
	if out := g.Tick(now, nil); len(out) != 1 || out[0].Power != 0 || out[0].Reason != "setpoint expired" {
		t.Errorf("at the end of the lease: %+v", out)
	}
}

// What the log tells of before a restart holds no longer than a lease of now allows.
func TestLeaseOfARestoredSetpoint(t *testing.T) {
	g := plant(t, 1)
	g.Lease = time.Hour
	g.Restore(&device.Ack{
		Status: device.Done, Verb: device.SetPower, Priority: device.High, Power: 50, Source: "user:ann",
		At: start.UnixMilli(), Until: at(100 * time.Hour).UnixMilli(),
	})
	if v := check(g, at(59*time.Minute), setPower(0, at(59*time.Minute), 10, device.Normal)); v.Code != guard.CodeHeld {
		t.Errorf("within the lease: %+v", v)
	}
	if out := g.Tick(at(time.Hour), nil); len(out) != 1 || out[0].Power != 0 {
		t.Errorf("at its end: %+v", out)
	}
}

// The second of a rate slides: what lies on both sides of a full one counts together.
func TestRateOverAnySecond(t *testing.T) {
	for _, whose := range []string{"a device's", "the fleet's"} {
		g := plant(t, 1)
		if whose == "the fleet's" {
			g.CommandsPerS = 3
		} else {
			e := nameplate()
			e.PerSecond = 3
			set(t, g, 0, e, device.Active)
		}
		for _, x := range []struct {
			ms   int
			code string
		}{{900, ""}, {950, ""}, {999, ""}, {1000, guard.CodeRate}, {1899, guard.CodeRate}, {1900, ""}, {1901, guard.CodeRate}, {1950, ""}, {1999, ""}, {5000, ""}} {
			now := at(time.Duration(x.ms) * time.Millisecond)
			if v := check(g, now, setPower(0, now, 10, device.Normal)); v.Code != x.code {
				t.Errorf("%s rate at %d ms: %+v, want code %q", whose, x.ms, v, x.code)
			}
			if v := check(g, now, setPower(0, now, 0, device.Normal)); v.Code != "" {
				t.Errorf("%s rate at %d ms, to 0: %+v", whose, x.ms, v)
			}
		}
	}
}

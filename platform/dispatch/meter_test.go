package dispatch_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/fleet/image"
)

// says gives d a reading of kw, measured at.
func says(d *image.Device, at time.Time, kw float64) {
	r := device.Empty()
	r.Slot, r.At, r.Arrived, r.Power, r.SoC, r.Status = d.Info.Slot, at.UnixMilli(), at.UnixMilli(), kw, 50, device.Idle
	r.MaxCharge, r.MaxDischarge = 100, 100
	d.Put(&r)
}

// withMeter adds a meter to img, without a reading, and returns its index.
func withMeter(img *image.Image) int {
	n := len(img.Devices)
	img.Devices = append(img.Devices, image.Device{Info: device.Info{ID: "meter", Slot: device.Slot(n), State: device.Inactive}})
	return n
}

var behindMeter = dispatch.Limit{Name: "f", Devices: "n-*", Import: 120, Export: 80, Meter: "meter"}

// connection is two devices behind a meter with a load, and two elsewhere. What is read of
// them is some cycles old, and says so or not.
type connection struct {
	t                    *testing.T
	img                  *image.Image
	meter                int
	p                    *dispatch.Planner
	meterLate, fleetLate int  // cycles
	honest               bool // readings carry the time at which they were measured
	every                int  // cycles between readings of the meter
	load                 func(k int) float64
	past                 [][5]float64 // by cycle: power of the devices, and the load
}

func connect(t *testing.T, limits ...dispatch.Limit) *connection {
	c := &connection{t: t, img: named(50, "n-1", "n-2", "s-1", "s-2"), p: limited(t, dispatch.Proportional, limits...), every: 1}
	c.p.Settings.Every = time.Second
	c.meter = withMeter(c.img)
	c.load = func(int) float64 { return 70 }
	return c
}

// cycle reads and decides; ask is told what flows beside the fleet.
func (c *connection) cycle(k int, ask func(beside float64, known bool) float64) (flow float64) {
	now := start.Add(time.Duration(k) * time.Second)
	var x [5]float64
	if k > 0 {
		x = c.past[k-1]
	}
	x[4] = c.load(k)
	c.past = append(c.past, x)
	read := func(late int) ([5]float64, time.Time) {
		at := now
		if c.honest {
			at = now.Add(-time.Duration(late) * time.Second)
		}
		return c.past[max(0, k-late)], at
	}
	for i := range 4 {
		x, at := read(c.fleetLate)
		says(&c.img.Devices[i], at, x[i])
	}
	if k%c.every == 0 {
		x, at := read(c.meterLate)
		says(&c.img.Devices[c.meter], at, x[0]+x[1]+x[4])
	}
	beside, known, _ := c.p.Beside(now, c.img, "meter")
	d := decide(c.t, c.p, now, c.img, ask(beside, known))
	copy(c.past[k][:4], powers(&d, 5)[:4])
	x = c.past[k]
	return x[0] + x[1] + x[4]
}

// TestAgesOfReadings: with a steady target and load what flows settles at the limit without
// passing it, however old the readings of the meter and the devices are, and whether or not
// they say so; a load that steps is met when the readings can show it.
func TestAgesOfReadings(t *testing.T) {
	for _, honest := range []bool{true, false} {
		for meterLate := range 4 {
			for fleetLate := range 4 {
				for _, every := range []int{1, 3} {
					if honest && meterLate+every > 4 {
						continue // older than a reading may be
					}
					t.Run(fmt.Sprintf("honest %v, meter %d, devices %d, every %d", honest, meterLate, fleetLate, every), func(t *testing.T) {
						c := connect(t, behindMeter)
						c.honest, c.meterLate, c.fleetLate, c.every = honest, meterLate, fleetLate, every
						c.load = func(k int) float64 {
							if k >= 30 {
								return 100
							}
							return 70
						}
						for k := range 60 {
							flow := c.cycle(k, func(float64, bool) float64 { return 250 })
							if seen := 30 + meterLate + every; flow > 120+1e-6 && (k < 30 || k >= seen) {
								t.Errorf("cycle %d: %g kW flow in, more than 120", k, flow)
							}
							if k >= 15 && k < 30 || k >= 45 {
								if math.Abs(flow-120) > 1e-6 {
									t.Errorf("cycle %d: %g kW flow in, not 120", k, flow)
								}
							}
						}
					})
				}
			}
		}
	}
}

// TestMeterThatIsAlwaysLate: readings that are older than a reading may be are those of a silent
// meter: what they show is not matched with a fleet that has moved on.
func TestMeterThatIsAlwaysLate(t *testing.T) {
	for _, late := range []int{4, 8, 12, 30} {
		c := connect(t, behindMeter)
		c.honest, c.meterLate = true, late
		for k := range 100 {
			if flow := c.cycle(k, func(float64, bool) float64 { return 250 * float64(k/40%2) }); flow > 120+1e-6 {
				t.Errorf("%d cycles late, cycle %d: %g kW flow in, more than 120", late, k, flow)
			}
		}
	}
}

// TestAgesUnderAnImportTarget is the same for an import that is held.
func TestAgesUnderAnImportTarget(t *testing.T) {
	for _, honest := range []bool{true, false} {
		for meterLate := range 4 {
			for fleetLate := range 4 {
				c := connect(t)
				c.honest, c.meterLate, c.fleetLate = honest, meterLate, fleetLate
				c.load = func(k int) float64 { return 70 + 40*float64(k/30) }
				for k := range 60 {
					c.img.Devices[2].Info.State, c.img.Devices[3].Info.State = device.Inactive, device.Inactive
					flow := c.cycle(k, func(beside float64, known bool) float64 {
						if !known {
							t.Fatalf("cycle %d: nothing is known", k)
						}
						return 100 - beside
					})
					if (k >= 3 && k < 30 || k >= 40) && math.Abs(flow-100) > 1e-6 {
						t.Errorf("honest %v, meter %d, devices %d, cycle %d: %g kW flow in, not 100", honest, meterLate, fleetLate, k, flow)
					}
				}
			}
		}
	}
}

// TestMovingFleetBehindAMeter: while the target swings all the time, and the load drifts, the
// limit is passed by no more than the load changes in one swing.
func TestMovingFleetBehindAMeter(t *testing.T) {
	for meterLate := range 4 {
		for fleetLate := range 4 {
			c := connect(t, behindMeter)
			c.meterLate, c.fleetLate = meterLate, fleetLate
			const drift, swing = 0.3, 34 // kW a cycle; cycles, with those that readings may be old
			c.load = func(k int) float64 { return 60 + drift*float64(k%100) }
			for k := range 300 {
				flow := c.cycle(k, func(float64, bool) float64 { return 250 * math.Sin(float64(k)/4) })
				if k%100 > swing && (flow > 120+drift*swing || flow < -80-drift*swing) {
					t.Errorf("meter %d, devices %d, cycle %d: %g kW flow, beyond -80 to 120", meterLate, fleetLate, k, flow)
				}
			}
		}
	}
}

// TestFastSwingBehindAMeter: a drift of the load shows at each turning point, however short the
// swing is beside the ages of readings; on both sides of the connection.
func TestFastSwingBehindAMeter(t *testing.T) {
	for _, side := range []float64{1, -1} {
		for half := 1; half <= 3; half++ {
			for late := range 8 {
				c := connect(t, behindMeter)
				c.meterLate, c.fleetLate = late%4, late/4*2
				const drift, swing = 0.6, 14 // kW a cycle; cycles, with those that readings may be old
				// From where nothing binds to where the limit does.
				limit := 100 + 20*side
				c.load = func(k int) float64 { return side * (limit - 50 + drift*max(0, float64(min(k, 100)-10))) }
				for k := range 110 {
					flow := c.cycle(k, func(float64, bool) float64 { return 50 * float64(1-2*(k/half%2)) })
					if side*flow > limit+drift*swing {
						t.Errorf("side %g, swing of %d, meter %d, devices %d, cycle %d: %g kW flow, beyond %g", side, half, c.meterLate, c.fleetLate, k, flow, limit)
						break
					}
				}
			}
		}
	}
}

// TestLostBehindAMeter: what a device was told that cannot be read any more is behind the
// meter, and is counted once.
func TestLostBehindAMeter(t *testing.T) {
	for _, tt := range []struct{ held, target, want float64 }{{-90, 100, 120}, {90, -300, -40}} {
		now := start.Add(10 * time.Second)
		img := named(50, "n-1", "n-2", "n-3")
		for i := 1; i < 3; i++ {
			says(&img.Devices[i], now, 0)
		}
		lost := &img.Devices[0]
		lost.Good.At, lost.Good.Arrived = 1, 1
		lost.Told = image.Told{Verb: device.SetPower, Priority: device.Normal, Power: tt.held, At: now.UnixMilli() - 8000, Until: now.UnixMilli() + 600_000}
		says(&img.Devices[withMeter(img)], now, 70+tt.held)
		d := decide(t, limited(t, dispatch.Proportional, behindMeter), now, img, tt.target)
		x := powers(&d, 4)
		if flow := 70 + tt.held + x[1] + x[2]; math.Abs(flow-tt.want) > 1e-6 {
			t.Errorf("%g kW held: %g kW flow, want %g; %v", tt.held, flow, tt.want, x)
		}
	}
}

// TestBackBehindAMeter: a device that nobody could read was other load; once it is read again
// it is not, at once, so that nothing is counted twice.
func TestBackBehindAMeter(t *testing.T) {
	img := named(50, "n-1", "n-2", "n-3")
	m := withMeter(img)
	p := limited(t, dispatch.Proportional, behindMeter)
	x := []float64{50, 0, 0} // the first does what it likes
	for k := range 20 {
		now := start.Add(time.Duration(k) * 2 * time.Second)
		for i := range x {
			if i > 0 || k >= 10 {
				says(&img.Devices[i], now, x[i])
			} else {
				img.Devices[i].Good.At = 1
			}
		}
		says(&img.Devices[m], now, 70+x[0]+x[1]+x[2])
		beside, _, _ := p.Beside(now, img, "meter")
		d := decide(t, p, now, img, -300)
		for i, kw := range powers(&d, 4)[:3] {
			if !math.IsNaN(kw) {
				x[i] = kw
			}
		}
		want := 70.0
		if k < 10 {
			want += 50
		}
		if flow := 70 + x[0] + x[1] + x[2]; flow < -80-1e-6 || math.Abs(beside-want) > 1e-6 {
			t.Errorf("cycle %d: %g kW flow, beyond -80; %g kW beside, want %g", k, flow, beside, want)
		}
	}
}

// TestBackBehindASilentMeter: a device that comes back while the meter is silent is counted once,
// whether it was other load when the meter spoke last, or was ours then and has only been away;
// behind the meter of its feeder, and behind one around that.
func TestBackBehindASilentMeter(t *testing.T) {
	outer := dispatch.Limit{Name: "site", Import: 120, Export: 80, Meter: "outer"}
	inner := behindMeter
	inner.Within = "site"
	for _, tt := range []struct {
		name         string
		away, again  [2]int // from cycle, to cycle
		inner, outer int    // the last cycle in which the inner, and the outer, meter reports
	}{
		{"unread, then both silent", [2]int{0, 13}, [2]int{}, 10, 10},
		{"unread, then the outer silent", [2]int{0, 13}, [2]int{}, 40, 10},
		{"away while both are silent", [2]int{12, 20}, [2]int{}, 10, 10},
		{"twice while both are silent", [2]int{12, 20}, [2]int{30, 35}, 10, 10},
		{"away while the outer is silent", [2]int{12, 20}, [2]int{}, 40, 10},
	} {
		img := named(50, "n-1", "n-2", "n-3")
		m := withMeter(img)
		img.Devices = append(img.Devices, image.Device{Info: device.Info{ID: "outer", Slot: device.Slot(m + 1), State: device.Inactive}})
		p := limited(t, dispatch.Proportional, inner, outer)
		x := []float64{50, 0, 0}
		for k := range 40 {
			now := start.Add(time.Duration(k) * 2 * time.Second)
			away := k >= tt.away[0] && k < tt.away[1] || k >= tt.again[0] && k < tt.again[1]
			for i := range x {
				if i > 0 || !away {
					says(&img.Devices[i], now, x[i])
				} else if k == 0 {
					img.Devices[i].Good.At = 1
				}
			}
			flow := 70 + x[0] + x[1] + x[2]
			if k <= tt.inner {
				says(&img.Devices[m], now, flow)
			}
			if k <= tt.outer {
				says(&img.Devices[m+1], now, flow+10)
			}
			d := decide(t, p, now, img, -300)
			for i, kw := range powers(&d, 4)[:3] {
				if !math.IsNaN(kw) && !away {
					x[i] = kw
				}
			}
			if flow := 70 + x[0] + x[1] + x[2]; !away && math.Abs(flow+80) > 1e-6 {
				t.Errorf("%s, cycle %d: %g kW flow, not -80; %v", tt.name, k, flow, d.Bounds)
			}
		}
	}
}

// TestRestartBehindAMeter: what the meter said before a restart is of a time at which the devices
// did what they were told then; where nobody knows that, only what relieves is allowed until the
// meter reports.
func TestRestartBehindAMeter(t *testing.T) {
	limit := dispatch.Limit{Name: "f", Devices: "n-*", Import: 250, Export: 80, Meter: "meter"}
	const spoke = -8 * time.Second // the meter, from the restart on
	for _, tt := range []struct {
		name         string
		load, had    float64       // kW; of each device when the meter spoke
		read         time.Duration // when the devices were read last, from the restart on; 0: they are again
		told         time.Duration // when they were told that, for six seconds
		target       float64
		beside, want float64 // NaN: it is not known
	}{
		{"read near the meter's time", 200, -45, spoke, -9 * time.Second, 150, 200, 50},
		{"told at the meter's time", 200, -45, 0, -9 * time.Second, 150, 200, 50},
		{"charging", 70, 45, spoke, -9 * time.Second, -190, 70, -150},
		{"charging, read again", 70, 45, 0, -9 * time.Second, -190, 70, -150},
		{"told since, and read again", 200, -45, 0, -7 * time.Second, 150, math.NaN(), 0},
		{"never read since", 200, -45, -time.Hour, -time.Hour, 150, math.NaN(), 0},
	} {
		img := named(50, "n-1", "n-2")
		m := withMeter(img)
		says(&img.Devices[m], start.Add(spoke), tt.load+2*tt.had)
		p := limited(t, dispatch.Proportional, limit)
		for i := range 2 {
			dev := &img.Devices[i]
			told := start.Add(tt.told)
			dev.Told = image.Told{Verb: device.SetPower, Priority: device.Dispatch, Power: tt.had, At: told.UnixMilli(), Until: told.Add(6 * time.Second).UnixMilli()}
			if dev.Good.At = 0; tt.read != 0 {
				says(dev, start.Add(tt.read), tt.had)
			} else {
				says(dev, start, 0)
			}
		}
		for k := range 4 {
			now := start.Add(time.Duration(k) * time.Second)
			want, beside := tt.want, tt.beside
			if k == 3 {
				want, beside = min(max(tt.target, -80-tt.load), 250-tt.load), tt.load
				says(&img.Devices[m], now, tt.load)
			}
			for i := range 2 {
				if k == 3 || k > 0 && tt.read != -time.Hour {
					says(&img.Devices[i], now, 0)
				}
			}
			if kw, known, _ := p.Beside(now, img, "meter"); known == math.IsNaN(beside) || known && math.Abs(kw-beside) > 1e-6 {
				t.Errorf("%s, cycle %d: %g kW beside, known %v; want %g", tt.name, k, kw, known, beside)
			}
			d := decide(t, p, now, img, tt.target)
			if k > 0 && math.Abs(d.Planned-want) > 1e-6 {
				t.Errorf("%s, cycle %d: planned %g kW, want %g", tt.name, k, d.Planned, want)
			}
		}
	}
}

// TestSilentMeter: the last that a meter said is believed for a while, whoever was there to
// hear it; then, and where it never said anything, only what relieves the limit is allowed.
func TestSilentMeter(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ago     time.Duration // of its only reading; 0: none
		target  float64
		planned float64
		reason  string
	}{
		{"a minute", time.Minute, 150, 50, "the meter of f is silent, its other load taken as 200 kW"},
		{"an hour", time.Hour, 150, 0, "the meter of f is silent, and what flows there is not known"},
		{"nothing yet", 0, 150, 0, "not known"},
		{"relief is allowed", 0, -150, -150, ""},
	} {
		img := named(50, "n-1", "n-2")
		m := withMeter(img)
		if tt.ago > 0 {
			says(&img.Devices[m], start.Add(-tt.ago), 200)
		}
		d := decide(t, limited(t, dispatch.Proportional, dispatch.Limit{Name: "f", Devices: "n-*", Import: 250, Export: inf, Meter: "meter"}), start, img, tt.target)
		if math.Abs(d.Planned-tt.planned) > 1e-6 || len(d.Silent) != 1 || !strings.Contains(d.Reason, tt.reason) {
			t.Errorf("%s: planned %g kW, want %g; silent %v; %q", tt.name, d.Planned, tt.planned, d.Silent, d.Reason)
		}
	}
}

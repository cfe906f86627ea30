package sunspec_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/platform/device"
)

// leftAlone is a device that after a failure is not asked again unless somebody insists.
type leftAlone struct {
	*registers
	lose    int  // so many exchanges are not answered
	after   int  // so many others
	taken   bool // what is written and not answered has arrived
	waits   bool
	owed    int // it was insisted on for a stop that it has yet to hear
	refused int // requests while it was left alone
}

func (x *leftAlone) Insist(within time.Duration) {
	x.waits = false
	if within > 0 {
		x.owed++
	}
}

func (x *leftAlone) ask() error {
	if x.waits {
		x.refused++
		return device.ErrOffline
	}
	if x.after > 0 {
		x.after--
	} else if x.lose > 0 {
		x.lose--
		x.waits = true
		return device.ErrOffline
	}
	return nil
}

func (x *leftAlone) Read(ctx context.Context, t modbus.Table, addr, n uint16) ([]uint16, error) {
	if err := x.ask(); err != nil {
		return nil, err
	}
	return x.registers.Read(ctx, t, addr, n)
}

func (x *leftAlone) Write(ctx context.Context, addr uint16, values []uint16) error {
	waits := x.waits
	if err := x.ask(); err != nil {
		if x.taken && !waits {
			err = errors.Join(err, x.registers.Write(ctx, addr, values))
		}
		return err
	}
	return x.registers.Write(ctx, addr, values)
}

// TestEmergencyStopInsists: an answer that does not come keeps none of the steps of an emergency
// stop back, and one that was not heard is told as soon as the device answers again.
func TestEmergencyStopInsists(t *testing.T) {
	stopped := func(t *testing.T, r *registers) {
		t.Helper()
		if r.get(at715+8) != 0 || r.get(at802+50) != 2 {
			t.Errorf("OpCtl %d, SetOp %d", r.get(at715+8), r.get(at802+50))
		}
	}
	for lose := 1; lose <= 2; lose++ {
		x := &leftAlone{registers: pcs(t)}
		d, err := sunspec.New(sunspec.Options{Conn: x, Base: 40000, Unit: 1})
		if err != nil {
			t.Fatal(err)
		}
		write(t, d, 0, power(10, 0, 600))
		x.lose = lose
		_, err = d.Write(t.Context(), at(1), device.Command{Verb: device.EStop})
		if (err == nil) != (lose == 1) {
			t.Errorf("%d lost: %v", lose, err)
		}
		if lose == 1 {
			stopped(t, x.registers)
			continue
		}
		read(t, d, 2)
		stopped(t, x.registers)
		if x.owed == 0 {
			t.Error("it was left alone while the stop was owed")
		}
	}
	// Without an emergency stop it is left alone.
	x := &leftAlone{registers: pcs(t)}
	d, err := sunspec.New(sunspec.Options{Conn: x, Base: 40000, Unit: 1})
	if err != nil {
		t.Fatal(err)
	}
	read(t, d, 0)
	x.lose = 1
	for s := range 5 {
		if _, err := d.Read(t.Context(), at(float64(s+1))); err == nil || x.owed != 0 {
			t.Errorf("%v, owed %d", err, x.owed)
		}
	}
}

// TestStopIsOwedUntilItIsAnswered: a stop of which any exchange is not answered, whether it has
// arrived or not, is repeated until it is, and what the device holds meanwhile is nobody else's.
func TestStopIsOwedUntilItIsAnswered(t *testing.T) {
	for _, taken := range []bool{false, true} {
		for after, done := 0, false; !done; after++ {
			x := &leftAlone{registers: pcs(t), taken: taken}
			d, err := sunspec.New(sunspec.Options{Conn: x, Base: 40000, Unit: 1})
			if err != nil {
				t.Fatal(err)
			}
			write(t, d, 0, power(10, 0, 600))
			read(t, d, 0.5)
			x.after, x.lose = after, 1
			_, err = d.Write(t.Context(), at(1), device.Command{Verb: device.Stop})
			if done = err == nil; done {
				if after < 4 {
					t.Errorf("done with %d exchanges", after)
				}
				break
			}
			for s := range 2 {
				r, err := d.Read(t.Context(), at(1.5+float64(s)))
				if r.Flags&device.FlagMaster != 0 || s > 0 && err != nil {
					t.Errorf("exchange %d lost, arrived %t: flags %v, %v", after, taken, r.Flags, err)
				}
				x.waits = false // its back-off is over
			}
			if hi, lo := x.get(at704+24), x.get(at704+25); hi != 0 || lo != 0 {
				t.Errorf("exchange %d lost, arrived %t: it still holds %#x %#x", after, taken, hi, lo)
			}
			n := len(x.writes)
			read(t, d, 2.6)
			for _, w := range x.writes[n:] {
				if strings.HasPrefix(w, fmt.Sprintf("%d ", at704+23)) {
					t.Errorf("exchange %d lost, arrived %t: told once more: %s", after, taken, w)
				}
			}
		}
	}
}

// TestAStopKeepsTheLayout: a reading that gives way to a stop says nothing of the device, which
// is not scanned anew for that.
func TestAStopKeepsTheLayout(t *testing.T) {
	r := pcs(t)
	d := open(t, r)
	read(t, d, 0)
	r.onRead = func(int) error { return fmt.Errorf("%w: %w", device.ErrOffline, device.ErrStopFirst) }
	if _, err := d.Read(t.Context(), at(1)); !errors.Is(err, device.ErrStopFirst) {
		t.Errorf("%v", err)
	}
	r.onRead, r.reads = nil, 0
	write(t, d, 1, device.Command{Verb: device.Stop})
	if r.reads > 4 {
		t.Errorf("%d requests for a stop: it was scanned again", r.reads)
	}
}

// TestPowerOfUnknownFateIsTakenBack: a setpoint of which any exchange is not answered, whether it
// has arrived or not, is not left with the device though taking it back is not answered either:
// 0 is owed until it is. Where the power itself had not been written, what was in force stays.
func TestPowerOfUnknownFateIsTakenBack(t *testing.T) {
	for _, before := range []float64{0, 10} {
		for _, taken := range []bool{false, true} {
			for after, done := 0, false; !done; after++ {
				x := &leftAlone{registers: pcs(t), taken: taken}
				d, err := sunspec.New(sunspec.Options{Conn: x, Base: 40000, Unit: 1})
				if err != nil {
					t.Fatal(err)
				}
				write(t, d, 0, power(before, 0, 600))
				read(t, d, 0.5)
				x.after, x.lose = after, 1
				_, err = d.Write(t.Context(), at(1), power(20, 1, 600))
				if done = err == nil; done {
					if after < 4 {
						t.Errorf("done with %d exchanges", after)
					}
					break
				}
				told := after >= 3 // behind two readings and the time to revert
				for s := range 2 {
					r, err := d.Read(t.Context(), at(1.5+float64(s)))
					if r.Flags&device.FlagMaster != 0 || s > 0 && err != nil {
						t.Errorf("exchange %d lost, arrived %t: flags %v, %v", after, taken, r.Flags, err)
					}
					x.waits = false // its back-off is over
				}
				want := -1000 * int32(before)
				if told {
					want = 0
				}
				if got := int32(uint32(x.get(at704+24))<<16 | uint32(x.get(at704+25))); got != want {
					t.Errorf("exchange %d lost, arrived %t, %g kW before: it holds %d W, want %d W", after, taken, before, got, want)
				}
				if told && x.owed == 0 {
					t.Errorf("exchange %d lost, arrived %t: it was left alone while 0 was owed", after, taken)
				}
			}
		}
	}
}

// moody answers writes as it likes.
type moody struct {
	*registers
	says func(addr int) (err error, taken bool)
}

func (x *moody) Write(ctx context.Context, addr uint16, values []uint16) error {
	if x.says == nil {
		return x.registers.Write(ctx, addr, values)
	}
	err, taken := x.says(int(addr))
	if err == nil || taken {
		err = errors.Join(err, x.registers.Write(ctx, addr, values))
	}
	return err
}

// TestRefusalDoesNotCancelWhatIsOwed: a device that is busy, or refuses what a setpoint of 0 does
// not need, is told 0 and its emergency stop all the same, and until it holds them.
func TestRefusalDoesNotCancelWhatIsOwed(t *testing.T) {
	const timer, setpoint, enable, operate = at704 + 30, at704 + 23, at704 + 22, at715 + 8
	stop := device.Command{Verb: device.Stop}
	for name, tt := range map[string]struct {
		command device.Command
		lost    bool  // the first setpoint is not answered, and has arrived
		busy    []int // addresses that are refused, as often as they are here
		never   int   // that is always refused
	}{
		"power of unknown fate, busy":           {command: power(20, 1, 600), lost: true, busy: []int{timer}},
		"power of unknown fate, busy for long":  {command: power(20, 1, 600), lost: true, busy: []int{timer, setpoint, setpoint, timer}},
		"power of unknown fate, no timer of 0":  {command: power(20, 1, 600), lost: true, never: timer},
		"stop, busy before the setpoint":        {command: stop, busy: []int{timer}},
		"stop, busy at the setpoint":            {command: stop, busy: []int{setpoint}},
		"stop, busy behind the setpoint":        {command: stop, busy: []int{enable}},
		"stop, busy all the time for a while":   {command: stop, busy: []int{timer, timer, setpoint, setpoint, enable}},
		"stop, no timer of 0":                   {command: stop, never: timer},
		"emergency stop, busy at the operation": {command: device.Command{Verb: device.EStop}, busy: []int{operate}},
		"emergency stop, busy at the setpoint":  {command: device.Command{Verb: device.EStop}, busy: []int{setpoint}},
	} {
		t.Run(name, func(t *testing.T) {
			x := &moody{registers: pcs(t)}
			d, err := sunspec.New(sunspec.Options{Conn: x, Base: 40000, Unit: 1})
			if err != nil {
				t.Fatal(err)
			}
			write(t, d, 0, power(10, 0, 600))
			lost, busy := tt.lost, tt.busy
			x.says = func(addr int) (error, bool) {
				if lost {
					lost = addr != setpoint
					if !lost {
						return device.ErrOffline, true
					}
					return nil, true
				}
				if i := slices.Index(busy, addr); i >= 0 {
					busy = slices.Concat(busy[:i], busy[i+1:])
					return modbus.DeviceBusy, false
				}
				if tt.never == addr {
					return modbus.IllegalValue, false
				}
				return nil, true
			}
			_, _ = d.Write(t.Context(), at(1), tt.command) // however it ends
			for s := range 8 {
				if _, err := d.Read(t.Context(), at(2+float64(s))); err != nil {
					t.Errorf("after %d s: %v", s, err)
				}
			}
			if hi, lo := x.get(at704+24), x.get(at704+25); hi != 0 || lo != 0 {
				t.Errorf("it still holds %#x %#x", hi, lo)
			}
			if tt.command.Verb == device.EStop && x.get(operate) != 0 {
				t.Error("it is left in operation")
			}
			n := len(x.writes)
			read(t, d, 10.1)
			for _, w := range x.writes[n:] {
				if strings.HasPrefix(w, fmt.Sprintf("%d ", setpoint)) {
					t.Errorf("told once more: %s", w)
				}
			}
		})
	}
}

// TestPowerThatIsNotTakenBackStaysOwed: a device that takes no write at all is asked with each
// reading, until it takes one.
func TestPowerThatIsNotTakenBackStaysOwed(t *testing.T) {
	x := &moody{registers: pcs(t)}
	d, err := sunspec.New(sunspec.Options{Conn: x, Base: 40000, Unit: 1})
	if err != nil {
		t.Fatal(err)
	}
	write(t, d, 0, power(10, 0, 600))
	x.says = func(int) (error, bool) { return modbus.IllegalFunction, false }
	if a := write(t, d, 1, device.Command{Verb: device.Stop}); a.Status != device.Rejected {
		t.Errorf("%+v", a)
	}
	read(t, d, 2)
	x.says = nil
	read(t, d, 3)
	if hi, lo := x.get(at704+24), x.get(at704+25); hi != 0 || lo != 0 {
		t.Errorf("it still holds %#x %#x", hi, lo)
	}
}

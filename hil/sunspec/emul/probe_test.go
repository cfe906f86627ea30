package emul_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// refused demands that all that was tried was refused, but for roles, which are said not to
// be tried.
func refused(t *testing.T, trials []device.Trial) {
	t.Helper()
	if len(trials) != 7 {
		t.Errorf("%d trials", len(trials))
	}
	writes := 0
	for _, x := range trials {
		if x.Skipped != "" && x.Name == "another role" {
			continue
		}
		if !x.Refused || x.Changed || x.Restored {
			t.Errorf("%+v", x)
		}
		for _, w := range x.Writes {
			writes++
			if w.Status != device.Rejected || math.IsNaN(w.Asked) || w.After != w.Before || w.Asked == w.Before {
				t.Errorf("%+v", w)
			}
		}
	}
	if writes != 2 {
		t.Errorf("%d writes", writes)
	}
}

// TestProbe: the emulator refuses all that a device must refuse.
func TestProbe(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	trials, err := r.driver.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refused(t, trials)
}

// lax is a unit that acknowledges every write, and takes a strange value for another one.
type lax struct{ *rig }

func (l *lax) Read(t modbus.Table, addr, n uint16) ([]uint16, error) { return l.bank.Read(t, addr, n) }

func (l *lax) Write(_ uint16, values []uint16) error {
	if len(values) == 1 && values[0] == 999 {
		return l.unit.Do(l.now, unit.Reserve(10))
	}
	return nil
}

// TestProbeFindsWhatIsTaken: a device that takes what it must refuse is found out.
func TestProbeFindsWhatIsTaken(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	r.conn.Bank = &lax{r}
	trials, err := r.driver.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, x := range trials {
		got[x.Name] = fmt.Sprintf("%t %t", x.Refused, x.Changed)
	}
	if got["write to a read-only point"] != "false false" || got["write a value out of range"] != "false true" {
		t.Errorf("%v", got)
	}
}

// taker is a unit whose registers take every write, and keep it.
type taker struct {
	*rig
	kept   map[uint16]uint16
	writes int
}

func (k *taker) Read(t modbus.Table, addr, n uint16) ([]uint16, error) {
	regs, err := k.bank.Read(t, addr, n)
	for i := range regs {
		if v, ok := k.kept[addr+uint16(i)]; ok {
			regs[i] = v
		}
	}
	return regs, err
}

func (k *taker) Write(addr uint16, values []uint16) error {
	k.writes++
	for i, v := range values {
		k.kept[addr+uint16(i)] = v
	}
	return nil
}

// TestProbePutsBack: what a device takes that it must refuse is put back, and both are told.
func TestProbePutsBack(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	k := &taker{rig: r, kept: map[uint16]uint16{}}
	r.conn.Bank = k
	trials, err := r.driver.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range trials {
		for _, w := range x.Writes {
			got = append(got, fmt.Sprintf("%s%s %g>%g=%g %v", w.Act, w.What, w.Before, w.Asked, w.After, w.Status))
		}
		if len(x.Writes) > 0 && (x.Refused || !x.Changed || !x.Restored) {
			t.Errorf("%+v", x)
		}
	}
	want := []string{
		"701.W 0>10=10 done", "restored701.W 10>0=0 done",
		"704.WMaxLimPctEnaRvrt 0>999=999 done", "restored704.WMaxLimPctEnaRvrt 999>0=0 done",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || k.writes != 4 {
		t.Errorf("%d writes: %q, want %q", k.writes, got, want)
	}
	for addr, v := range k.kept {
		if is, err := r.bank.Read(modbus.Holding, addr, 1); err != nil || is[0] != v {
			t.Errorf("register %d holds %d, and %d before, %v", addr, v, is, err)
		}
	}
}

func TestProbeOverTCP(t *testing.T) {
	r := newRig(t, "ess-100kw-215kwh")
	onTCP(t, r, 100*time.Millisecond)
	trials, err := r.driver.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refused(t, trials)
}

// TestStopInTheMidstOfTrials: an emergency stop is told between any two exchanges of the
// trials, which end then.
func TestStopInTheMidstOfTrials(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine writes and looks")
	}
	for at := 1; ; at++ {
		r := newRig(t, "ess-100kw-215kwh")
		ctx, stop := context.WithCancel(t.Context())
		n := 0
		trials, err := r.driver.Probe(device.WithWay(ctx, func() {
			if n++; n != at {
				return
			}
			a, err := r.driver.Write(t.Context(), r.now, device.Command{Verb: device.EStop, Priority: device.Safety, At: r.now.UnixMilli()})
			if err != nil || a.Status != device.Done {
				t.Errorf("way %d: %+v, %v", at, a, err)
			}
			stop()
		}))
		stop()
		if n < at {
			if err != nil || at < 15 {
				t.Errorf("%d ways: %v", n, err)
			}
			return
		}
		if v := r.unit.View(r.now); v.Started && v.Connected || n > at+4 || len(trials) > at {
			t.Fatalf("way %d: %v, %d trials, %d ways, the unit %+v", at, err, len(trials), n, v)
		}
	}
}

// left are the registers that do not hold what they did before the trials.
func (k *taker) left(t *testing.T) (list []uint16) {
	t.Helper()
	for addr, v := range k.kept {
		is, err := k.bank.Read(modbus.Holding, addr, 1)
		if err != nil {
			t.Error(err)
		} else if is[0] != v {
			list = append(list, addr)
		}
	}
	return list
}

// TestStopInTheMidstOfTrialsIsLost: a stop between any two exchanges of the trials that the device
// does not answer ends them, as nothing is known of the device any more. What a trial has changed
// is put back all the same, and told.
func TestStopInTheMidstOfTrialsIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine writes and looks")
	}
	for _, tt := range []struct {
		verb  device.Verb
		lose  int  // so many exchanges are not answered
		again bool // it is told once more at once, and answered
	}{{device.Stop, 1, false}, {device.Stop, 1, true}, {device.EStop, 2, false}, {device.EStop, 2, true}} {
		for at := 1; ; at++ {
			r := newRig(t, "ess-100kw-215kwh")
			k := &taker{rig: r, kept: map[uint16]uint16{}}
			r.conn.Bank = k
			lose := 0
			r.conn.Before = func(string) error {
				if lose == 0 {
					return nil
				}
				lose--
				return device.ErrOffline
			}
			tell := func() error {
				_, err := r.driver.Write(t.Context(), r.now, device.Command{Verb: tt.verb, Priority: device.Safety, At: r.now.UnixMilli()})
				return err
			}
			n, changed := 0, false
			trials, err := r.driver.Probe(device.WithWay(t.Context(), func() {
				if n++; n != at {
					return
				}
				changed, lose = len(k.left(t)) > 0, tt.lose
				if err := tell(); !errors.Is(err, device.ErrOffline) {
					t.Errorf("%v, way %d: %v, want it offline", tt.verb, at, err)
				}
				if tt.again {
					if err := tell(); err != nil {
						t.Errorf("%v, way %d, once more: %v", tt.verb, at, err)
					}
				}
			}))
			if n < at {
				if err != nil || at < 15 {
					t.Errorf("%d ways: %v", n, err)
				}
				break
			}
			if !errors.Is(err, device.ErrOffline) || n > at+4 {
				t.Errorf("%v, way %d: %v after %d trials, %d ways", tt.verb, at, err, len(trials), n)
			}
			if changed && (len(trials) == 0 || !trials[len(trials)-1].Changed || !trials[len(trials)-1].Restored) {
				t.Errorf("%v, way %d: what was changed is not told, or not put back: %+v", tt.verb, at, trials)
			}
			if tt.again { // it has written too
				continue
			}
			if left := k.left(t); len(left) > 0 {
				t.Errorf("%v, way %d: registers %d are not as they were: %+v", tt.verb, at, left, trials)
			}
			if _, err := r.driver.Read(t.Context(), r.now); err != nil {
				t.Errorf("%v, way %d: the device is not found again: %v", tt.verb, at, err)
			}
		}
	}
}

// TestStopIsNotWhatATrialHasChanged: what a command has changed in the midst of a trial is not
// held against the device.
func TestStopIsNotWhatATrialHasChanged(t *testing.T) {
	for at := 1; ; at++ {
		r := newRig(t, "ess-100kw-215kwh")
		tell := func(c device.Command) {
			c.At = r.now.UnixMilli()
			if a, err := r.driver.Write(t.Context(), r.now, c); err != nil || a.Status != device.Done {
				t.Errorf("way %d: %+v, %v", at, a, err)
			}
		}
		tell(device.Command{Verb: device.SetPower, Power: 10, Until: r.now.Add(time.Minute).UnixMilli()})
		n := 0
		trials, err := r.driver.Probe(device.WithWay(t.Context(), func() {
			if n++; n == at {
				tell(device.Command{Verb: device.EStop, Priority: device.Safety})
			}
		}))
		if err != nil || len(trials) < 6 {
			t.Errorf("way %d: %d trials, %v", at, len(trials), err)
		}
		for _, x := range trials {
			if x.Changed {
				t.Errorf("way %d: %+v", at, x)
			}
		}
		if n < at {
			return
		}
	}
}

// TestProbePutsBackAtLast: what a trial has changed is put back whoever has left meanwhile, and
// though an answer does not come.
func TestProbePutsBackAtLast(t *testing.T) {
	for lose := range 5 { // the request after the write, 0 for none
		r := newRig(t, "ess-100kw-215kwh")
		k := &taker{rig: r, kept: map[uint16]uint16{}}
		r.conn.Bank = k
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		r.conn.Before = func(string) error {
			if k.writes == 0 {
				return nil
			}
			cancel()
			if n++; n == lose {
				return device.ErrOffline
			}
			return nil
		}
		trials, err := r.driver.Probe(ctx)
		cancel()
		for addr, v := range k.kept {
			if is, e := r.bank.Read(modbus.Holding, addr, 1); e != nil || is[0] != v {
				t.Errorf("request %d lost: register %d holds %d, and %d before: %+v, %v", lose, addr, v, is, trials, err)
			}
		}
		if len(k.kept) == 0 {
			t.Error("nothing was written")
		}
	}
}

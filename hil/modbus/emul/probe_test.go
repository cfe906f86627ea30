package emul_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

func TestProbe(t *testing.T) {
	r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{})
	r.do(device.SetPower, 10)
	trials, err := r.driver.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(trials) < 11 {
		t.Errorf("%d trials", len(trials))
	}
	tried := false
	for _, x := range trials {
		if x.Skipped != "" {
			if x.Name != "another role" {
				t.Errorf("%+v", x)
			}
			continue
		}
		if w := x.Writes; x.Name == "write to a read-only register, map_version" {
			tried = len(w) == 1 && w[0].What == "map_version" && w[0].Before == 0 && w[0].Asked == 1 && w[0].After == 0 && w[0].Status == device.Rejected
		}
		if strings.HasPrefix(x.Name, "revert") { // who took that would have no dead-man
			t.Errorf("%+v", x)
		}
		if !x.Refused || x.Changed {
			t.Errorf("%+v", x)
		}
	}
	if !tried {
		t.Errorf("no write to a read-only register: %+v", trials)
	}
	if x := r.read(); x.Flags != 0 {
		t.Errorf("after the trials: flags %v", x.Flags)
	}
}

// openLax is a driver of a device that takes all that is written to it.
func openLax(t *testing.T, wire func() unit.Wire) (*emul.Memory, *modbus.Driver) {
	t.Helper()
	const text = `apiVersion: yunchu/v1
kind: Profile
name: lax
points:
  frequency: {address: 3, scale: 0.01}
  soc:       {table: input, address: 0}
  reserve:   {address: 5, range: {min: 0, max: 100}}
settings:
  wide:      {address: 7, type: uint32}
`
	file := filepath.Join(t.TempDir(), "lax.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &emul.Memory{Holding: make([]uint16, 1<<16), Input: []uint16{50}}
	m.Holding[3], m.Holding[5], m.Holding[8], m.Holding[0xFFFF] = 5001, 20, 77, 9
	addr := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{1: {Bank: m, Wire: wire}}}).Addr()
	d, err := modbus.New(modbus.Options{Address: addr, Unit: 1, Profile: file, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return m, d
}

// TestProbePutsBack: what a device takes that it must refuse is found out, and is put back,
// whether it is read-only, out of a setting's range, or outside of the map.
func TestProbePutsBack(t *testing.T) {
	t.Parallel()
	m, d := openLax(t, nil)
	before := slices.Clone(m.Holding)
	trials, err := d.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, x := range trials {
		for _, w := range x.Writes {
			got[x.Name] += fmt.Sprintf("%s%s %g>%g=%g %v; ", w.Act, w.What, w.Before, w.Asked, w.After, w.Status)
		}
		if x.Writes != nil {
			got[x.Name] += fmt.Sprintf("refused %t, changed %t, restored %t", x.Refused, x.Changed, x.Restored)
		}
	}
	for name, want := range map[string]string{
		"write outside of the map":                 "holding 65535 9>0=0 done; restoredholding 65535 0>9=9 done; refused false, changed true, restored true",
		"reserve out of its range":                 "reserve 20>101=101 done; restoredreserve 101>20=20 done; refused false, changed true, restored true",
		"write to a read-only register, frequency": "frequency 50.01>50=50 done; restoredfrequency 50>50.01=50.01 done; refused false, changed true, restored true",
	} {
		if got[name] != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got[name], want)
		}
	}
	m.Do(func(m *emul.Memory) {
		if !slices.Equal(m.Holding, before) {
			t.Error("the device is not as it was before the trials")
		}
		if m.Writes != 6 {
			t.Errorf("%d writes, want three and as many that put back", m.Writes)
		}
	})
}

// TestStopInTheMidstOfTrials: an emergency stop is told between any two exchanges of the
// trials, which end then, and what the device holds is as it was.
func TestStopInTheMidstOfTrials(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine writes and looks")
	}
	for at := 1; ; at++ {
		r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{})
		r.do(device.SetPower, 10)
		ctx, stop := context.WithCancel(t.Context())
		n := 0
		trials, err := r.driver.Probe(device.WithWay(ctx, func() {
			if n++; n == at {
				r.do(device.EStop, 0)
				stop()
			}
		}))
		stop()
		if n < at {
			if err != nil || at < 20 {
				t.Errorf("%d ways: %v", n, err)
			}
			return
		}
		if v := r.unit.View(r.now()); v.Started && v.Connected || v.SetActive && v.SetW != 0 || err == nil && len(trials) < 11 {
			t.Fatalf("way %d: %v, %d trials, the unit %+v", at, err, len(trials), v)
		}
		if n > at+4 {
			t.Errorf("way %d: %d more exchanges", at, n-at)
		}
	}
}

// TestStopIsNotWhatATrialHasChanged: what a command has changed in the midst of a trial is not
// held against the device.
func TestStopIsNotWhatATrialHasChanged(t *testing.T) {
	for at := 1; ; at += 3 {
		r := newRig(t, "tcp://127.0.0.1:0", "pcs-generic", modbus.Options{})
		r.do(device.SetPower, 10)
		n := 0
		trials, err := r.driver.Probe(device.WithWay(t.Context(), func() {
			if n++; n == at {
				r.do(device.EStop, 0)
			}
		}))
		if err != nil || len(trials) < 11 {
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

// TestProbePutsBackAtLast: what a trial has changed is put back however long a stop takes that
// goes first, whoever has left meanwhile, and though an answer does not come.
func TestProbePutsBackAtLast(t *testing.T) {
	t.Parallel()
	const farAddress = 0xFFFF
	for name, tt := range map[string]struct {
		way  time.Duration
		lose int64 // the exchange after the write that is not answered, 0 for none
	}{"slow stop": {2500 * time.Millisecond, 0}, "look lost": {0, 1}, "write back lost": {0, 2}, "look after it lost": {0, 3}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n, written atomic.Int64
			wire := func() unit.Wire {
				at := written.Load()
				return unit.Wire{Down: at > 0 && n.Add(1) == tt.lose}
			}
			m, d := openLax(t, wire)
			holds := func() (v uint16) { m.Do(func(m *emul.Memory) { v = m.Holding[farAddress] }); return v }
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := d.Probe(device.WithWay(ctx, func() {
				if holds() != 9 && written.Swap(1) == 0 {
					cancel()
					time.Sleep(tt.way)
				}
			}))
			if v := holds(); v != 9 || written.Load() != 1 {
				t.Errorf("it holds %d: %v", v, err)
			}
		})
	}
}

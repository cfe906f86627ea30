package main

import (
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/platform/device"
)

// The servers of the tests are this program, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-serve" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestPoll(t *testing.T) {
	t.Chdir("../..")
	if err := poll(t.Context(), 20, 100*time.Millisecond, 300*time.Millisecond); err != nil {
		t.Error(err)
	}
	if err := poll(t.Context(), 20, 100*time.Millisecond, 0); err == nil {
		t.Error("nothing polled, and no error")
	}
}

func TestPeerRace(t *testing.T) {
	t.Chdir("../..")
	err := race(t.Context(), 1, 100)
	if errors.Is(err, errAlone) && os.Getenv("CI") != "true" && os.Getenv("YUNCHU_PEERS") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
}

// What the table says of its polls holds: one request, of so many registers.
func TestOneRequestPerPoll(t *testing.T) {
	t.Chdir("../..")
	s, err := startOurs(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	var asked []string
	d, err := modbus.New(modbus.Options{Address: s.address(), Unit: 1, Profile: profile, Tap: func(c device.Crossing) {
		if c.Out {
			asked = append(asked, hex.EncodeToString(c.Data))
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Read(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	want := hex.EncodeToString(modbus.AppendRequest(nil, &modbus.Request{Function: modbus.ReadHolding, Addr: first, Count: count}))
	if !slices.Equal(asked, []string{want}) {
		t.Errorf("asked %v, want %s", asked, want)
	}
}

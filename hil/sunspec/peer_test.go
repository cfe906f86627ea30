package sunspec_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/platform/device"
)

// absent passes a test over whose peer is not installed; where peers are promised, it
// fails.
func absent(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
		t.Fatalf("%s is not installed", what)
	}
	t.Skipf("%s is not installed", what)
}

const python = "/usr/bin/python3" // Debian's, which has the packages of Debian

// pymodbus serves the golden image with some registers changed, and is ended with the
// test.
func pymodbus(t *testing.T, changes ...string) (address string) {
	t.Helper()
	dir := os.Getenv("YUNCHU_DATA")
	if dir == "" {
		t.Skip("YUNCHU_DATA is not set: the register image is not part of the repository")
	}
	if err := exec.Command(python, "-c", "import pymodbus.server").Run(); err != nil {
		absent(t, "pymodbus")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"testdata/pymodbus_server.py", filepath.Join(dir, "sunspec", "bess_image.json"), port}, changes...)
	c := exec.Command(python, args...)
	c.Stderr = t.Output()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = c.Wait() // it was killed
	})
	deadline := time.Now().Add(10 * time.Second)
	for {
		x, err := net.Dial("tcp", address)
		if err == nil {
			x.Close()
			return "tcp://" + address
		}
		if time.Now().After(deadline) {
			t.Fatalf("pymodbus does not listen: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func dial(t *testing.T, address string) modbus.Conn {
	t.Helper()
	c, err := modbus.Dial(modbus.Options{Address: address, Unit: 1, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPeerPymodbus scans, reads and commands an independent server.
func TestPeerPymodbus(t *testing.T) {
	// 704 is implemented in this one, in steps of 10 W, with a time to revert.
	const wset = 40506 // of model 704
	change := func(offset, value int) string { return fmt.Sprintf("%d=%d", wset+offset, value) }
	address := pymodbus(
		t, change(22, 0), change(23, 0), change(24, 0), change(25, 0), change(26, 0), change(27, 0), change(30, 0), change(31, 0), change(32, 0), change(55, 1))
	conn := dial(t, address)
	found, err := sunspec.Scan(t.Context(), conn, sunspec.Anywhere)
	if err != nil {
		t.Fatal(err)
	}
	want := scan(t, image(t), sunspec.Anywhere)
	if len(found.Blocks) != len(want.Blocks) || !found.Ended {
		t.Fatalf("%d models, ended %t, want %d", len(found.Blocks), found.Ended, len(want.Blocks))
	}
	for i, b := range found.Blocks {
		if b.ID != 704 && !slices.Equal(b.Regs, want.Blocks[i].Regs) {
			t.Errorf("model %d differs", b.ID)
		}
	}
	d, err := sunspec.New(sunspec.Options{Conn: conn, Base: 40000})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got := read(t, d, 0); got.Power != -500 || got.SoC != 55 || got.Voltage != 800 || got.Current != -625 {
		t.Errorf("%+v", got)
	}
	if a := write(t, d, 0, power(-400, 0, 60)); a.Status != device.Done || a.Power != -400 {
		t.Fatalf("%+v", a)
	}
	regs, err := conn.Read(t.Context(), modbus.Holding, wset+22, 11)
	// WSetEna, WSetMod, WSet 40000 x 10 W, WSetRvrt, WSetPct and its reversion (not implemented), WSetEnaRvrt, WSetRvrtTms
	if wantRegs := []uint16{1, 1, 0, 40000, 0, 0, 0x8000, 0x8000, 1, 0, 6}; err != nil || !slices.Equal(regs, wantRegs) {
		t.Errorf("the server holds %d, %v, want %d", regs, err, wantRegs)
	}
	if got := read(t, d, 1).Flags; got != 0 {
		t.Errorf("flags %v", got)
	}
	for _, verb := range []device.Verb{device.Stop, device.EStop, device.Reset} {
		if a := write(t, d, 2, device.Command{Verb: verb}); a.Status != device.Done {
			t.Errorf("%v: %+v", verb, a)
		}
	}
	if got, err := d.Adjust(t.Context(), "802.SocRsvMax", 95); !errors.Is(err, device.ErrUnsupported) {
		t.Errorf("a point that is not implemented: holds %v, %v", got, err)
	}
}

// TestPeerPymodbus124 commands the image as it is, in which only 124 is implemented.
func TestPeerPymodbus124(t *testing.T) {
	conn := dial(t, pymodbus(t))
	d, err := sunspec.New(sunspec.Options{Conn: conn, Base: sunspec.Anywhere})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if a := write(t, d, 0, power(123.4, 0, 60)); a.Status != device.Done || a.Power != 123.4 {
		t.Fatalf("%+v", a)
	}
	regs, err := conn.Read(t.Context(), modbus.Holding, 40254, 14)
	if err != nil || regs[5] != 3 || int16(regs[12]) != -1234 || regs[13] != 1234 {
		t.Errorf("the server holds %d, %v", regs, err)
	}
}

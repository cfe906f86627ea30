package sunspec_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/platform/device"
)

const python = "/usr/bin/python3" // Debian's, which has the packages of Debian

// pymodbus serves the golden image with some registers changed until the test ends.
func pymodbus(t *testing.T, changes ...string) (address string) {
	t.Helper()
	if out, err := exec.Command(python, "-c", "import pymodbus.server.async_io").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
			t.Fatalf("no pymodbus: %v\n%s", err, out)
		}
		t.Skipf("no pymodbus: %v", err)
	}
	c := exec.Command(python, append([]string{"testdata/pymodbus_server.py", "testdata/image.json"}, changes...)...)
	c.Stderr = t.Output()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait() // it was killed
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("pymodbus opened no port: %v", err)
	}
	return "tcp://127.0.0.1:" + strings.TrimSpace(port)
}

func dial(t *testing.T, address string) modbus.Conn {
	t.Helper()
	c, err := modbus.Dial(modbus.Options{Address: address, Unit: 1, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestPeerPymodbus scans and decodes the golden image at a server of somebody else's, and
// writes to it.
func TestPeerPymodbus(t *testing.T) {
	c := dial(t, pymodbus(t))
	d := scan(t, c, sunspec.Anywhere)
	decodes(t, d)
	writesPoints(t, c, d)
}

// writesPoints writes points as pysunspec2 does, which sends those that follow each other
// in one request, and reads them back.
func writesPoints(t *testing.T, c modbus.Conn, d *sunspec.Device) {
	for _, tt := range []struct {
		name   string
		points []string
		values []any
		addr   uint16 // of the request
		regs   []uint16
	}{
		{"one register", []string{"802.CtrlHb"}, []any{uint64(8)}, 40655, []uint16{8}},
		{"a point of two registers", []string{"715.ControllerHb"}, []any{uint64(1 << 20)}, 40632, []uint16{16, 0}},
		{"points that follow each other", []string{"124.OutWRte", "124.InWRte"}, []any{-12.5, 12.5}, 40266, []uint16{64286, 1250}},
		{"operation and inverter state", []string{"802.SetOp", "802.SetInvState"}, []any{uint64(1), uint64(3)}, 40686, []uint16{1, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, regs := uint16(0), []uint16(nil)
			for i, name := range tt.points {
				b, f, ok := d.Find(name)
				if !ok {
					t.Fatalf("no %s", name)
				}
				if i == 0 {
					addr = uint16(b.Addr + f.At)
				}
				r, err := b.Encode(f, tt.values[i])
				if err != nil {
					t.Fatal(err)
				}
				regs = append(regs, r...)
			}
			if addr != tt.addr || !slices.Equal(regs, tt.regs) {
				t.Fatalf("%d %v, want %d %v", addr, regs, tt.addr, tt.regs)
			}
			if err := c.Write(t.Context(), addr, regs); err != nil {
				t.Fatal(err)
			}
			again := scan(t, c, d.Base)
			for i, name := range tt.points {
				b, f, _ := again.Find(name)
				if got := b.At(f).Any(); got != tt.values[i] {
					t.Errorf("%s = %v, wrote %v", name, got, tt.values[i])
				}
			}
		})
	}
}

// TestPeerPymodbus704 commands an independent server through 704.
func TestPeerPymodbus704(t *testing.T) {
	// 704 is implemented in this one, in steps of 10 W, with a time to revert.
	const (
		wset   = 40506 // model 704
		ctrlHb = 40655 // 802.CtrlHb
	)
	change := func(offset, value int) string { return fmt.Sprintf("%d=%d", wset+offset, value) }
	address := pymodbus(
		t, change(22, 0), change(23, 0), change(24, 0), change(25, 0), change(26, 0), change(27, 0), change(30, 0), change(31, 0), change(32, 0), change(55, 1))
	conn := dial(t, address)
	d, err := sunspec.New(sunspec.Options{Conn: conn, Base: 40000})
	if err != nil {
		t.Fatal(err)
	}
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
	beat := func() uint16 {
		t.Helper()
		regs, err := conn.Read(t.Context(), modbus.Holding, ctrlHb, 1)
		if err != nil {
			t.Fatal(err)
		}
		return regs[0]
	}
	was := beat()
	if got := read(t, d, 1).Flags; got != 0 || beat() != was+1 {
		t.Errorf("a second later: flags %v, our heartbeat from %d to %d", got, was, beat())
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
	if a := write(t, d, 0, power(123.4, 0, 60)); a.Status != device.Done || a.Power != 123.4 {
		t.Fatalf("%+v", a)
	}
	regs, err := conn.Read(t.Context(), modbus.Holding, 40254, 14)
	if err != nil || regs[5] != 3 || int16(regs[12]) != -1234 || regs[13] != 1234 {
		t.Errorf("the server holds %d, %v", regs, err)
	}
}

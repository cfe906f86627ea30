package sunspec_test

import (
	"bufio"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/platform/device"
)

const python = "/usr/bin/python3"

// pymodbus serves the golden image and returns its address.
func pymodbus(t *testing.T) string {
	t.Helper()
	if out, err := exec.Command(python, "-c", "import pymodbus.server.async_io").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
			t.Fatalf("no pymodbus: %v\n%s", err, out)
		}
		t.Skipf("no pymodbus: %v", err)
	}
	c := exec.Command(python, filepath.Join("testdata", "pymodbus_server.py"), filepath.Join("testdata", "image.json"))
	var complaints strings.Builder
	c.Stderr = &complaints
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Process.Kill() // it may have ended
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait()
		if t.Failed() && complaints.Len() > 0 {
			t.Logf("pymodbus: %s", complaints.String())
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("pymodbus opened no port: %v\n%s", err, complaints.String())
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

// TestPeerPymodbus scans the golden image at a server of somebody else's, over TCP, and
// writes to it.
func TestPeerPymodbus(t *testing.T) {
	address := pymodbus(t)
	c := dial(t, address)
	d := scan(t, c, sunspec.Anywhere)
	decodes(t, d)
	t.Run("points", func(t *testing.T) { writesPoints(t, c, d) })
	t.Run("driver", func(t *testing.T) { drives(t, dial(t, address), c) })
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

// drives has the driver read the image, command it through 124, as its 704 is not
// implemented, and adjust it; c looks from beside.
func drives(t *testing.T, to, c modbus.Conn) {
	d, err := sunspec.New(sunspec.Options{Conn: to, Base: sunspec.Anywhere, Unit: 1})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r, err := d.Read(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	want := device.Empty()
	want.SoC, want.SoH, want.Voltage, want.Current, want.Power = 55, 98, 800, -625, -500
	want.Temperature = 35 // of the cabinet: the modules' is not implemented
	want.Status = device.Discharging
	if !r.SameValues(&want) || r.MaxCharge != 1000 || r.MaxDischarge != 1000 || r.Flags != 0 {
		t.Errorf("%+v\nwant %+v", r, want)
	}
	info, err := d.Describe(t.Context(), now)
	if err != nil || info.Manufacturer != "VPP-HIL" || info.Model != "SimBESS-1MW" || info.RatedKW != 1000 || info.CapacityKWh != 2000 {
		t.Errorf("%+v, %v", info, err)
	}
	register := func(addr uint16) uint16 {
		t.Helper()
		v, err := c.Read(t.Context(), modbus.Holding, addr, 1)
		if err != nil {
			t.Fatal(err)
		}
		return v[0]
	}
	const storCtlMod, outWRte, inWRte, ctrlHb = 40259, 40266, 40267, 40655
	for _, kw := range []float64{-400, 123.4, 0} {
		a, err := d.Write(t.Context(), now, device.Command{Verb: device.SetPower, Power: kw, Until: now.Add(time.Minute).UnixMilli()})
		if err != nil || a.Status != device.Done || math.Abs(a.Power-kw) > 1e-9 {
			t.Fatalf("%g kW: %+v, %v", kw, a, err)
		}
		percent := int16(math.Round(kw / 1000 * 1e4)) // of 1 MW, in steps of 0.01 %
		if in, out, mode := register(inWRte), register(outWRte), register(storCtlMod); int16(in) != percent || int16(out) != -percent || mode != 3 {
			t.Errorf("%g kW: InWRte %d, OutWRte %d, StorCtl_Mod %d", kw, int16(in), int16(out), mode)
		}
	}
	beat := register(ctrlHb)
	if _, err := d.Read(t.Context(), now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if n := register(ctrlHb); n != beat+1 {
		t.Errorf("a second later the heartbeat went from %d to %d", beat, n)
	}
	if got, err := d.Adjust(t.Context(), "124.WChaMax", 900000); err != nil || got != 900000 {
		t.Errorf("WChaMax %g, %v", got, err)
	}
}

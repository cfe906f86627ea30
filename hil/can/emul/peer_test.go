package emul_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"yunchu/hil/can"
	"yunchu/hil/can/emul"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

const python = "/usr/bin/python3"

// needPeers passes the test over where python-can or socat is not installed, unless it has
// to be.
func needPeers(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("socat")
	if err == nil {
		err = exec.Command(python, "-c", "import can, serial").Run()
	}
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
		t.Fatalf("no python-can, pyserial or socat: %v", err)
	}
	t.Skipf("no python-can, pyserial or socat: %v", err)
}

// run starts a program and ends it with the test.
func run(t *testing.T, name string, args ...string) *bufio.Scanner {
	t.Helper()
	c := exec.Command(name, args...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = &lines{t: t, name: filepath.Base(name)}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait()
	})
	return bufio.NewScanner(out)
}

// lines logs what a peer complains of.
type lines struct {
	t    *testing.T
	name string
}

func (l *lines) Write(p []byte) (int, error) {
	l.t.Logf("%s: %s", l.name, p)
	return len(p), nil
}

// cable is a pair of pseudo-terminals, end to end.
func cable(t *testing.T) (a, b string) {
	t.Helper()
	dir := t.TempDir()
	a, b = filepath.Join(dir, "a"), filepath.Join(dir, "b")
	run(t, "socat", "pty,raw,echo=0,link="+a, "pty,raw,echo=0,link="+b)
	for deadline := time.Now().Add(5 * time.Second); ; {
		_, errA := os.Stat(a)
		_, errB := os.Stat(b)
		if errA == nil && errB == nil {
			return a, b
		}
		if time.Now().After(deadline) {
			t.Fatal("socat makes no pseudo-terminals")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// The frames of devices that python-can sends, and what the driver makes of them.
func TestPeerSendsFrames(t *testing.T) {
	t.Parallel()
	needPeers(t)
	for _, tt := range []struct {
		profile string
		frames  string
		want    device.Reading
	}{
		{
			"pylon-lv", "351#1402740E740ECC01\n355#1A006400\n356#7A13F2FE6B01\n359#0000000002504E\n35C#C0\n35E#50594C4F4E202020\n",
			device.Reading{SoC: 26, SoH: 100, Voltage: 49.86, Current: -27, Temperature: 36.3, MaxCharge: 370 * 49.86 / 1000, MaxDischarge: 370 * 49.86 / 1000},
		},
		{
			"ecube-hv-pcs",
			"18001800#9021E803401AE803\n18101800#2E0063000000\n18201800#B91F50FB\n18301800#420D08052C0D0B02\n18401800#2C01010101010101\n18501800#0301010000000000\n1C001800#0000000000000000\n",
			device.Reading{SoC: 46, SoH: 99, Voltage: 812.1, Current: 120, Temperature: 30, MaxCharge: 81.21, MaxDischarge: 81.21},
		},
		{
			"pylon-hv", "00004210#A50930759D042E64\n00004220#8C0AE9074A794A79\n00004250#0300000000000000\n00004280#00AA000000000000\n",
			device.Reading{SoC: 46, SoH: 100, Voltage: 246.9, Current: 0, Temperature: 18.1, MaxCharge: 246.9 * 105 / 1000, MaxDischarge: 0},
		},
	} {
		t.Run(tt.profile, func(t *testing.T) {
			t.Parallel()
			near, far := cable(t)
			file := filepath.Join(t.TempDir(), "frames")
			if err := os.WriteFile(file, []byte(tt.frames), 0o600); err != nil {
				t.Fatal(err)
			}
			p := profile(t, tt.profile)
			peer := run(t, python, "testdata/peer.py", "send", far, strconv.Itoa(p.BitRate), file)
			if !peer.Scan() || peer.Text() != "ready" {
				t.Fatalf("the peer says %q", peer.Text())
			}
			d := newDriver(t, can.Options{Profile: p, Address: "slcan://" + near, Timeout: 500 * time.Millisecond})
			until(t, d, "what the peer sends", func(r device.Reading, err error) bool {
				return err == nil && r.Flags == 0 && near1(r.SoC, tt.want.SoC) && near1(r.SoH, tt.want.SoH) && near1(r.Voltage, tt.want.Voltage) && near1(r.Current, tt.want.Current) &&
					near1(r.Temperature, tt.want.Temperature) && near1(r.MaxCharge, tt.want.MaxCharge) && near1(r.MaxDischarge, tt.want.MaxDischarge)
			})
		})
	}
}

func near1(a, b float64) bool { return near(a, b, 1e-9) }

// heard is what the peer has decoded.
type heard struct {
	Voltage, Current, Temperature, SoC, SoH, Top, Bottom, Charge, Discharge float64

	MayCharge    *bool  `json:"may_charge"`
	MayDischarge *bool  `json:"may_discharge"`
	Maker        string `json:"maker"`
}

// What python-can hears of the emulator, decoded in Python, is what the unit is.
func TestPeerHearsTheEmulator(t *testing.T) {
	t.Parallel()
	needPeers(t)
	for _, name := range can.Shipped() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			link := filepath.Join(t.TempDir(), "can0")
			p := profile(t, name)
			u, _ := serve(t, emul.Options{Profile: p, Address: "pty://" + link})
			if err := u.Do(time.Now(), unit.SetPower("test", -60e3, 0)); err != nil {
				t.Fatal(err)
			}
			peer := run(t, python, "testdata/peer.py", "hear", link, strconv.Itoa(p.BitRate), name)
			if !peer.Scan() || peer.Text() != "ready" {
				t.Fatalf("the peer says %q", peer.Text())
			}
			unasked := name == "victron-sma-lv" // it permits by its limits alone
			deadline := time.Now().Add(8 * time.Second)
			for peer.Scan() {
				var got heard
				if err := json.Unmarshal(peer.Bytes(), &got); err != nil {
					t.Fatalf("%s: %v", peer.Text(), err)
				}
				v := u.Truth(time.Now())
				k := shown(p, &v)
				if near(got.Voltage, v.DCV/k, 0.2) && near(got.Current, v.DCA*k, 0.5*k) && got.Current < 0 && near(got.SoC, v.SoC, 1) && near(got.SoH, v.SoH, 1) &&
					near(got.Temperature, v.TempMaxC, 1) && near(got.Top, v.ChargeV/k, 0.1) && near(got.Bottom, v.DischargeV/k, 0.1) &&
					near(got.Charge, v.ChargeA*k, 0.5*k) && near(got.Discharge, v.DischargeA*k, 0.5*k) &&
					(unasked || got.MayCharge != nil && *got.MayCharge && got.MayDischarge != nil && *got.MayDischarge) {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("the peer hears %s\nof %+v", peer.Text(), v)
				}
			}
			t.Fatal("the peer has ended")
		})
	}
}

// Two adapters, a cable between: the emulator is a node like the driver.
func TestPeerCable(t *testing.T) {
	t.Parallel()
	needPeers(t)
	near, far := cable(t)
	p := profile(t, "pylon-hv")
	u, _ := serve(t, emul.Options{Profile: p, Address: "slcan://" + far + "?baud=115200"})
	meets(t, newDriver(t, can.Options{Profile: p, Address: "slcan://" + near}), p, u)
}

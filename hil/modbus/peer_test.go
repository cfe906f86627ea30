package modbus_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/hil/pty"
)

// needs passes a test over where a program is not installed, unless all peers must be there.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
			t.Fatalf("%s is not installed", p)
		}
		t.Skipf("%s is not installed: apt-get install mbpoll libmodbus-dev python3-pymodbus gcc pkg-config", p)
	}
}

// libmodbus compiles the peer over libmodbus.
func libmodbus(t testing.TB) string {
	t.Helper()
	needs(t, "gcc", "pkg-config")
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "libmodbus").Output()
	if err != nil {
		needs(t, "libmodbus")
	}
	bin := filepath.Join(t.TempDir(), "peer")
	args := append([]string{"-O2", "-o", bin, filepath.Join("testdata", "peer.c")}, strings.Fields(string(flags))...)
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return bin
}

// run runs a program to its end.
func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start runs a server that prints its port, until the test ends.
func start(t testing.TB, program string, args ...string) (port string) {
	t.Helper()
	c := exec.Command(program, args...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()         // killed
	})
	in := bufio.NewScanner(out)
	if !in.Scan() {
		t.Fatalf("%s says no port\n%s", program, said.String())
	}
	return in.Text()
}

func port(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

func TestPeerLibmodbusClient(t *testing.T) {
	bin := libmodbus(t)
	m := memory()
	m.Input[7] = 1007
	m.Coils, m.Discrete = make([]bool, 100), make([]bool, 100)
	addr := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{1: {Bank: m}}})
	if got := run(t, bin, "check", "tcp", port(addr)); got != "ok\n" {
		t.Errorf("over TCP: %s", got)
	}
	line := serve(t, emul.Options{Address: pseudo(t), Units: map[byte]emul.Served{1: {Bank: m}}})
	if got := run(t, bin, "check", "rtu", strings.TrimPrefix(line, "rtu://")); got != "ok\n" {
		t.Errorf("on a serial line: %s", got)
	}
}

// cable connects two pseudo-terminals, so that a server and a client can open one end each.
func cable(t *testing.T) (a, b string) {
	t.Helper()
	var ends [2]*pty.Terminal
	for i := range ends {
		p, err := pty.Open(filepath.Join(t.TempDir(), "end"))
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = p
	}
	var wg sync.WaitGroup
	for i := range ends {
		wg.Go(func() { _, _ = io.Copy(ends[i], ends[1-i]) }) // ends with Close
	}
	t.Cleanup(func() { ends[0].Close(); ends[1].Close(); wg.Wait() })
	return ends[0].Link(), ends[1].Link()
}

func TestPeerLibmodbusServer(t *testing.T) {
	bin := libmodbus(t)
	t.Run("tcp", func(t *testing.T) {
		peerServes(t, "tcp://127.0.0.1:"+start(t, bin, "serve", "tcp"))
	})
	t.Run("rtu", func(t *testing.T) {
		theirs, ours := cable(t)
		start(t, bin, "serve", "rtu", theirs)
		peerServes(t, "rtu://"+ours+"?baud=115200")
	})
}

func TestPeerPymodbusServer(t *testing.T) {
	const python = "/usr/bin/python3"
	needs(t, python)
	if err := exec.Command(python, "-c", "import pymodbus.server.async_io").Run(); err != nil {
		needs(t, "python3-pymodbus")
	}
	peerServes(t, "tcp://127.0.0.1:"+start(t, python, filepath.Join("testdata", "pymodbus_server.py")))
}

// peerServes asks somebody else's server for everything.
func peerServes(t *testing.T, addr string) {
	t.Helper()
	c := dial(t, modbus.Options{Address: addr, Timeout: 5 * time.Second})
	mustRead(t, c, 40, 60)
	mustRead(t, c, 0, modbus.MaxRead)
	if v, err := c.Read(t.Context(), modbus.Input, 7, 1); err != nil || v[0] != 1007 {
		t.Errorf("input register: %v, %v", v, err)
	}
	if err := c.Write(t.Context(), 200, []uint16{1, 0xFFFF}); err != nil {
		t.Error(err)
	}
	if err := c.(modbus.Single).WriteOne(t.Context(), 202, 77); err != nil {
		t.Error(err)
	}
	if v, err := c.Read(t.Context(), modbus.Holding, 200, 3); err != nil || fmt.Sprint(v) != "[1 65535 77]" {
		t.Errorf("written: %v, %v", v, err)
	}
	if err := c.WriteCoil(t.Context(), 4, true); err != nil {
		t.Error(err)
	}
	if v, err := c.Read(t.Context(), modbus.Coils, 3, 3); err != nil || fmt.Sprint(v) != "[0 1 0]" {
		t.Errorf("coils: %v, %v", v, err)
	}
	if _, err := c.Read(t.Context(), modbus.Holding, 60000, 1); !strings.Contains(fmt.Sprint(err), modbus.IllegalAddress.Error()) {
		t.Errorf("an address that is not there: %v", err)
	}
	mustRead(t, c, 10, 2)
}

// mbpollLines are the values that mbpoll prints, as address: value.
var mbpollLines = regexp.MustCompile(`(?m)^\[(\d+)\]:\s+(\S+)`)

func TestPeerMbpoll(t *testing.T) {
	needs(t, "mbpoll")
	m := memory()
	tcp := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{1: {Bank: m}}})
	rtu := serve(t, emul.Options{Address: pseudo(t), Units: map[byte]emul.Served{1: {Bank: m}}})
	for name, link := range map[string][]string{
		"tcp": {"-m", "tcp", "-p", port(tcp), "127.0.0.1"},
		"rtu": {"-m", "rtu", "-b", "115200", "-P", "none", strings.TrimPrefix(rtu, "rtu://")},
	} {
		t.Run(name, func(t *testing.T) {
			poll := func(args []string, values ...string) string {
				args = append(append([]string{"-a", "1", "-0", "-1"}, args...), link[:len(link)-1]...)
				out := run(t, "mbpoll", append(append(args, link[len(link)-1]), values...)...)
				var got []string
				for _, x := range mbpollLines.FindAllStringSubmatch(out, -1) {
					got = append(got, x[1]+":"+x[2])
				}
				return strings.Join(got, " ")
			}
			if got := poll([]string{"-t", "4", "-r", "40", "-c", "3"}); got != "40:40 41:41 42:42" {
				t.Errorf("holding: %s", got)
			}
			if got := poll([]string{"-t", "3", "-r", "7", "-c", "1"}); got != "7:1007" {
				t.Errorf("input: %s", got)
			}
			if got := poll([]string{"-t", "1", "-r", "3", "-c", "1"}); got != "3:1" {
				t.Errorf("discrete: %s", got)
			}
			poll([]string{"-t", "4", "-r", "50"}, "1234", "4321")
			if got := poll([]string{"-t", "4", "-r", "50", "-c", "2"}); got != "50:1234 51:4321" {
				t.Errorf("written: %s", got)
			}
			poll([]string{"-t", "0", "-r", "5"}, "1")
			if got := poll([]string{"-t", "0", "-r", "5", "-c", "1"}); got != "5:1" {
				t.Errorf("coil: %s", got)
			}
			m.Do(func(m *emul.Memory) { m.Coils[5] = false; m.Holding[50], m.Holding[51] = 50, 51 })
		})
	}
}

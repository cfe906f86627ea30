package modbus_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
)

// The peers are mbpoll, libmodbus with programs of our own in C, and pymodbus.

const python = "/usr/bin/python3"

// missing passes a test over whose peer is not installed, unless it has to be.
func missing(t *testing.T, peer string, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
		t.Fatalf("no %s: %v", peer, err)
	}
	t.Skipf("no %s: %v", peer, err)
}

func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program, err)
	}
	return path
}

// compile makes a program of libmodbus out of a source in testdata.
func compile(t *testing.T, name string) string {
	t.Helper()
	cc := need(t, "gcc")
	flags, err := exec.Command(need(t, "pkg-config"), "--cflags", "--libs", "libmodbus").Output()
	if err != nil {
		missing(t, "libmodbus", err)
	}
	to := filepath.Join(t.TempDir(), name)
	args := append([]string{"-O2", filepath.Join("testdata", name+".c"), "-o", to}, strings.Fields(string(flags))...)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return to
}

// start runs a program until the test ends; what it complains of is logged.
func start(t *testing.T, program string, args ...string) *bufio.Reader {
	t.Helper()
	c := exec.Command(program, args...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	c.Stderr = &complaints
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait()
		if t.Failed() && complaints.Len() > 0 {
			t.Logf("%s: %s", filepath.Base(program), complaints.String())
		}
	})
	return bufio.NewReader(out)
}

// output runs a program to its end.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", filepath.Base(program), args, err, out)
	}
	return string(out)
}

// cable is a pair of pseudo-terminals, end to end, that is not of our making.
func cable(t *testing.T) (a, b string) {
	t.Helper()
	dir := t.TempDir()
	a, b = filepath.Join(dir, "a"), filepath.Join(dir, "b")
	start(t, need(t, "socat"), "pty,raw,echo=0,link="+a, "pty,raw,echo=0,link="+b)
	waitFor(t, func() bool {
		_, errA := os.Stat(a)
		_, errB := os.Stat(b)
		return errA == nil && errB == nil
	})
	return a, b
}

// ours is one of our servers, over TCP or on a pseudo-terminal, in a peer's words: the
// kind of link, and the port or path.
func ours(t *testing.T, m *emul.Memory) map[string]string {
	t.Helper()
	units := map[byte]emul.Served{1: {Bank: m}}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: units}), "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimPrefix(serve(t, emul.Options{Address: pseudo(t), Units: units}), "rtu://")
	return map[string]string{"tcp": port, "rtu": line}
}

func TestPeerMbpoll(t *testing.T) {
	mbpoll := need(t, "mbpoll")
	m := memory()
	for kind, at := range ours(t, m) {
		t.Run(kind, func(t *testing.T) {
			base := []string{"-m", "rtu", "-b", "115200", "-P", "none", "-a", "1", "-0", "-1", "-o", "2"}
			where := []string{"--", at}
			if kind == "tcp" {
				base = []string{"-m", "tcp", "-p", at, "-a", "1", "-0", "-1", "-o", "2"}
				where = []string{"--", "127.0.0.1"}
			}
			poll := func(args ...string) string {
				return output(t, mbpoll, slices.Concat(base, args[:len(args)-1], where, strings.Fields(args[len(args)-1]))...)
			}
			registers := poll("-t", "4", "-r", "40", "-c", "60", "")
			for i := 40; i < 100; i++ {
				if want := fmt.Sprintf("[%d]: \t%d\n", i, i); !strings.Contains(registers, want) {
					t.Fatalf("no %q in\n%s", want, registers)
				}
			}
			if got := poll("-t", "3", "-r", "7", ""); !strings.Contains(got, "[7]: \t1007\n") {
				t.Errorf("input register:\n%s", got)
			}
			if got := poll("-t", "1", "-r", "3", ""); !strings.Contains(got, "[3]: \t1\n") {
				t.Errorf("discrete input:\n%s", got)
			}
			poll("-t", "4", "-r", "5", "54321")
			poll("-t", "4:float", "-B", "-r", "200", "-12.5")
			poll("-t", "0", "-r", "9", "1")
			m.Do(func(m *emul.Memory) {
				if m.Holding[5] != 54321 || m.Holding[200] != 0xC148 || m.Holding[201] != 0 || !m.Coils[9] {
					t.Errorf("written: %d, %x, coil %v", m.Holding[5], m.Holding[200:202], m.Coils[9])
				}
				m.Holding[5], m.Holding[200], m.Coils[9] = 5, 200, false
			})
		})
	}
}

func TestPeerLibmodbusClient(t *testing.T) {
	client := compile(t, "client")
	want := []string{
		"holding" + sequence(40, 60), "input 1007 0", "write one ok", "write several ok", "one 1234", "several 9 65535 0 77 13",
		"write coil ok", "write coils ok", "coils 0 1 0 1 1 0", "outside Illegal data address", "write outside Illegal data address", "afterwards 40 41",
	}
	m := memory()
	for kind, at := range ours(t, m) {
		t.Run(kind, func(t *testing.T) {
			if got := strings.Split(strings.TrimSpace(output(t, client, kind, at, "check")), "\n"); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			m.Do(func(m *emul.Memory) {
				if !slices.Equal(m.Holding[9:14], []uint16{9, 65535, 0, 77, 13}) || m.Holding[5] != 1234 {
					t.Errorf("written: %v, %v", m.Holding[9:14], m.Holding[5])
				}
				copy(m.Holding[5:], memory().Holding[5:14])
			})
		})
	}
}

func sequence(from, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " %d", from+i)
	}
	return b.String()
}

// peers checks our client on a server of another make whose holding registers hold their
// addresses, its input registers 1000 more, and of whose bits every third is set.
func peers(t *testing.T, address string) {
	t.Helper()
	c := dial(t, modbus.Options{Address: address, Timeout: 5 * time.Second})
	waitFor(t, func() bool { _, err := c.Read(t.Context(), modbus.Holding, 0, 1); return err == nil }) // it may be starting
	mustRead(t, c, 40, 60)
	mustRead(t, c, 0, modbus.MaxRead)
	if v, err := c.Read(t.Context(), modbus.Input, 7, 2); err != nil || !slices.Equal(v, []uint16{1007, 1008}) {
		t.Errorf("input: %v, %v", v, err)
	}
	if err := errors.Join(c.Write(t.Context(), 10, []uint16{65535, 0, 77}), c.(modbus.Single).WriteOne(t.Context(), 5, 1234), c.WriteCoil(t.Context(), 4, true)); err != nil {
		t.Error(err)
	}
	if v, err := c.Read(t.Context(), modbus.Holding, 5, 9); err != nil || !slices.Equal(v, []uint16{1234, 6, 7, 8, 9, 65535, 0, 77, 13}) {
		t.Errorf("written: %v, %v", v, err)
	}
	if v, err := c.Read(t.Context(), modbus.Coils, 0, 7); err != nil || !slices.Equal(v, []uint16{1, 0, 0, 1, 1, 0, 1}) {
		t.Errorf("coils: %v, %v", v, err)
	}
	if v, err := c.Read(t.Context(), modbus.Discrete, 0, 7); err != nil || !slices.Equal(v, []uint16{1, 0, 0, 1, 0, 0, 1}) {
		t.Errorf("discrete inputs: %v, %v", v, err)
	}
	for _, read := range []struct {
		what string
		err  error
	}{
		{"read outside", func() error { _, err := c.Read(t.Context(), modbus.Holding, 65000, 1); return err }()},
		{"write outside", c.Write(t.Context(), 65000, []uint16{1})},
	} {
		if e, ok := errors.AsType[modbus.Exception](read.err); !ok || e != modbus.IllegalAddress {
			t.Errorf("%s: %v, want exception 2", read.what, read.err)
		}
	}
	mustRead(t, c, 40, 2)
}

func TestPeerLibmodbusServer(t *testing.T) {
	server := compile(t, "server")
	t.Run("tcp", func(t *testing.T) {
		line, err := start(t, server, "tcp").ReadString('\n')
		port, numbered := strings.CutPrefix(strings.TrimSpace(line), "port ")
		if err != nil || !numbered {
			t.Fatalf("it says %q, %v", line, err)
		}
		peers(t, "tcp://127.0.0.1:"+port)
	})
	t.Run("rtu", func(t *testing.T) {
		a, b := cable(t)
		if line, err := start(t, server, "rtu", a).ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("it says %q, %v", line, err)
		}
		peers(t, "rtu://"+b+"?baud=115200")
	})
}

func TestPeerPymodbusServer(t *testing.T) {
	if err := exec.Command(python, "-c", "import pymodbus").Run(); err != nil {
		missing(t, "pymodbus", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // it cannot choose a port itself
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	start(t, python, filepath.Join("testdata", "pymodbus_server.py"), strconv.Itoa(port))
	peers(t, "tcp://127.0.0.1:"+strconv.Itoa(port))
}

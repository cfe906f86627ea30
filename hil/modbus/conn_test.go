package modbus_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/hil/pty"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server until the test ends.
func serve(t testing.TB, o emul.Options) string {
	t.Helper()
	s, err := emul.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	return s.Addr()
}

func memory() *emul.Memory {
	m := &emul.Memory{Holding: make([]uint16, 1000), Input: make([]uint16, 200), Coils: make([]bool, 20), Discrete: make([]bool, 20)}
	for i := range m.Holding {
		m.Holding[i] = uint16(i)
	}
	m.Input[7], m.Discrete[3] = 1007, true
	return m
}

func dial(t testing.TB, o modbus.Options) modbus.Conn {
	t.Helper()
	if o.Unit == 0 {
		o.Unit = 1
	}
	c, err := modbus.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func pseudo(t *testing.T) string { return "pty://" + filepath.Join(t.TempDir(), "line") }

// mustRead reads registers that hold their own addresses.
func mustRead(t *testing.T, c modbus.Conn, addr, n uint16) {
	t.Helper()
	values, err := c.Read(t.Context(), modbus.Holding, addr, n)
	if err != nil {
		t.Fatalf("read from %d on: %v", addr, err)
	}
	for i, v := range values {
		if v != addr+uint16(i) {
			t.Fatalf("read from %d on: %v", addr, values)
		}
	}
}

func TestConn(t *testing.T) {
	for _, address := range []string{"tcp://127.0.0.1:0", pseudo(t)} {
		t.Run(address[:3], func(t *testing.T) {
			m := memory()
			addr := serve(t, emul.Options{Address: address, Units: map[byte]emul.Served{1: {Bank: m}}})
			c := dial(t, modbus.Options{Address: addr})
			mustRead(t, c, 40, 60)
			if v, err := c.Read(t.Context(), modbus.Input, 7, 1); err != nil || !slices.Equal(v, []uint16{1007}) {
				t.Errorf("input: %v, %v", v, err)
			}
			if v, err := c.Read(t.Context(), modbus.Discrete, 2, 3); err != nil || !slices.Equal(v, []uint16{0, 1, 0}) {
				t.Errorf("discrete: %v, %v", v, err)
			}
			if err := c.Write(t.Context(), 5, []uint16{7, 8}); err != nil {
				t.Error(err)
			}
			if err := c.(modbus.Single).WriteOne(t.Context(), 7, 9); err != nil {
				t.Error(err)
			}
			if v, err := c.Read(t.Context(), modbus.Holding, 5, 3); err != nil || !slices.Equal(v, []uint16{7, 8, 9}) {
				t.Errorf("written: %v, %v", v, err)
			}
			if err := c.WriteCoil(t.Context(), 4, true); err != nil {
				t.Error(err)
			}
			if v, err := c.Read(t.Context(), modbus.Coils, 4, 1); err != nil || !slices.Equal(v, []uint16{1}) {
				t.Errorf("coil: %v, %v", v, err)
			}
			_, err := c.Read(t.Context(), modbus.Holding, 999, 2)
			if e, ok := errors.AsType[modbus.Exception](err); !ok || e != modbus.IllegalAddress || errors.Is(err, device.ErrOffline) {
				t.Errorf("outside: %v, want exception 2", err)
			}
			mustRead(t, c, 1, 1) // at once: an exception is an answer
			for _, n := range []uint16{0, 126} {
				if _, err := c.Read(t.Context(), modbus.Holding, 0, n); !errors.Is(err, modbus.ErrMalformed) {
					t.Errorf("%d registers: %v", n, err)
				}
				pdu, err := c.(modbus.Raw).Raw(t.Context(), 1, []byte{3, 0, 0, 0, byte(n)})
				if err != nil || hex.EncodeToString(pdu) != "8303" {
					t.Errorf("%d registers, asked nevertheless: % x, %v", n, pdu, err)
				}
			}
			mustRead(t, c, 1, 1)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if _, err := c.Read(t.Context(), modbus.Holding, 1, 1); !errors.Is(err, device.ErrOffline) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

// The defect this package guards against: after a time-out the late answer must not be
// taken for that of the next request. Registers hold their addresses, so that an answer to
// another request is seen.
func TestLateAnswerIsNobodyElses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"tcp://127.0.0.1:0", pseudo(t)} {
		t.Run(address[:3], func(t *testing.T) {
			const timeout = 250 * time.Millisecond
			var late atomic.Int64
			wire := func() unit.Wire { return unit.Wire{Late: time.Duration(late.Swap(0))} }
			addr := serve(t, emul.Options{Address: address, Units: map[byte]emul.Served{1: {Bank: memory(), Wire: wire}}})
			c := dial(t, modbus.Options{Address: addr, Timeout: timeout})
			mustRead(t, c, 1, 2)
			// The second comes while the device is asked again already, after the first back-off.
			for _, by := range []time.Duration{timeout + 20*time.Millisecond, timeout + 200*time.Millisecond} {
				late.Store(int64(by))
				if v, err := c.Read(t.Context(), modbus.Holding, 100, 2); !errors.Is(err, device.ErrOffline) {
					t.Fatalf("an answer %v late: %v, %v, want it offline", by, v, err)
				}
				answers := 0
				for end := time.Now().Add(2 * timeout); time.Now().Before(end) || answers == 0; time.Sleep(time.Millisecond) {
					at := uint16(500 + 100*(answers%3))
					v, err := c.Read(t.Context(), modbus.Holding, at, 2) // all of one size
					if err != nil {
						continue
					}
					if answers++; !slices.Equal(v, []uint16{at, at + 1}) {
						t.Fatalf("asked for %d, got the answer %v", at, v)
					}
				}
			}
		})
	}
}

// toy answers each frame over TCP as a test says.
func toy(t *testing.T, answer func(c net.Conn, transaction uint16, unit byte, pdu []byte)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				buf := make([]byte, modbus.MaxPDU)
				for {
					tx, unit, pdu, err := modbus.ReadTCP(c, buf)
					if err != nil {
						return
					}
					answer(c, tx, unit, pdu)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "tcp://" + l.Addr().String()
}

func TestAnswerMustFitTheRequest(t *testing.T) {
	for name, answer := range map[string]func(tx uint16, unit byte) []byte{
		"another transaction": func(tx uint16, u byte) []byte { return modbus.AppendTCP(nil, tx-1, u, []byte{3, 4, 0, 1, 0, 2}) },
		"another unit":        func(tx uint16, u byte) []byte { return modbus.AppendTCP(nil, tx, u+1, []byte{3, 4, 0, 1, 0, 2}) },
		"another function":    func(tx uint16, u byte) []byte { return modbus.AppendTCP(nil, tx, u, []byte{4, 4, 0, 1, 0, 2}) },
		"fewer registers":     func(tx uint16, u byte) []byte { return modbus.AppendTCP(nil, tx, u, []byte{3, 2, 0, 1}) },
		"wrong byte count":    func(tx uint16, u byte) []byte { return modbus.AppendTCP(nil, tx, u, []byte{3, 2, 0, 1, 0, 2}) },
		"no protocol": func(tx uint16, u byte) []byte {
			b := modbus.AppendTCP(nil, tx, u, []byte{3, 4, 0, 1, 0, 2})
			b[2] = 9
			return b
		},
		"nothing":     func(uint16, byte) []byte { return nil },
		"half of one": func(tx uint16, u byte) []byte { return modbus.AppendTCP(nil, tx, u, []byte{3, 4, 0, 1, 0, 2})[:9] },
	} {
		t.Run(name, func(t *testing.T) {
			addr := toy(t, func(c net.Conn, tx uint16, unit byte, _ []byte) { _, _ = c.Write(answer(tx, unit)) })
			c := dial(t, modbus.Options{Address: addr, Timeout: 50 * time.Millisecond})
			if v, err := c.Read(t.Context(), modbus.Holding, 10, 2); !errors.Is(err, device.ErrOffline) {
				t.Errorf("%v, %v, want it offline", v, err)
			}
		})
	}
}

func TestBackOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // nobody is there
	var timed, good atomic.Int32
	c := dial(t, modbus.Options{Address: "tcp://" + addr, Timed: func(_ time.Duration, err error) {
		timed.Add(1)
		if err == nil {
			good.Add(1)
		}
	}})
	read := func() error {
		_, err := c.Read(t.Context(), modbus.Holding, 0, 1)
		return err
	}
	if err := read(); !errors.Is(err, device.ErrOffline) {
		t.Fatalf("nobody there: %v", err)
	}
	began := time.Now()
	for range 100 {
		if err := read(); !errors.Is(err, device.ErrOffline) || !strings.Contains(err.Error(), "refused") {
			t.Fatalf("left alone: %v, want the reason told", err)
		}
	}
	if took := time.Since(began); took > 80*time.Millisecond || timed.Load() != 1 {
		t.Errorf("100 requests to a device that is left alone took %v, %d of them on the wire", took, timed.Load()-1)
	}
	// Within 1 s there is room for attempts at 0, 0.1, 0.3 and 0.7 s.
	for time.Since(began) < time.Second {
		_ = read() // counted by timed
		time.Sleep(5 * time.Millisecond)
	}
	if n := timed.Load(); n < 3 || n > 4 {
		t.Errorf("%d attempts within a second, want 4", n)
	}
	serveAt(t, addr)
	waitFor(t, func() bool { return read() == nil })
	if good.Load() != 1 {
		t.Errorf("%d exchanges timed as good, want 1", good.Load())
	}
}

func serveAt(t *testing.T, host string) {
	t.Helper()
	serve(t, emul.Options{Address: "tcp://" + host, Units: map[byte]emul.Served{1: {Bank: memory()}}})
}

// waitFor waits for a condition.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it does not come true")
		}
	}
}

// blackhole is a port on this machine that lets no connection come about: its queue is full.
func blackhole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for range 4 { // fill it
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this system's queues of connections cannot be filled")
	return ""
}

// The library's own dial takes 5 s and knows no context.
func TestDialKeepsToTimeAndContext(t *testing.T) {
	addr := "tcp://" + blackhole(t)
	c := dial(t, modbus.Options{Address: addr, Timeout: 100 * time.Millisecond})
	began := time.Now()
	if _, err := c.Read(t.Context(), modbus.Holding, 0, 1); !errors.Is(err, device.ErrOffline) {
		t.Errorf("no connection: %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("gave up after %v, timeout 100 ms", took)
	}
	d := dial(t, modbus.Options{Address: addr, Timeout: 10 * time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began = time.Now()
	if _, err := d.Read(ctx, modbus.Holding, 0, 1); !errors.Is(err, device.ErrOffline) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no connection: %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("gave up after %v, its context ended after 50 ms", took)
	}
}

// A caller that leaves an exchange gets its answer at once, and nobody the answer that
// comes after.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"tcp://127.0.0.1:0", pseudo(t)} {
		t.Run(address[:3], func(t *testing.T) {
			var late atomic.Int64
			wire := func() unit.Wire { return unit.Wire{Late: time.Duration(late.Swap(0))} }
			addr := serve(t, emul.Options{Address: address, Units: map[byte]emul.Served{1: {Bank: memory(), Wire: wire}}})
			c := dial(t, modbus.Options{Address: addr, Timeout: 1500 * time.Millisecond})
			mustRead(t, c, 3, 1)
			late.Store(int64(time.Second))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			began := time.Now()
			_, err := c.Read(ctx, modbus.Holding, 100, 1)
			if took := time.Since(began); !errors.Is(err, device.ErrOffline) || took > 800*time.Millisecond {
				t.Errorf("left after %v: %v", took, err)
			}
			waitFor(t, func() bool {
				v, err := c.Read(t.Context(), modbus.Holding, 200, 1)
				if err == nil && v[0] != 200 {
					t.Fatalf("asked for 200, got the answer %d", v[0])
				}
				return err == nil
			})
			waitFor(t, func() bool { return late.Load() == 0 })
		})
	}
}

// Several units share a line and are asked in turn; one that is silent does not take the
// others with it.
func TestUnitsShareALine(t *testing.T) {
	banks := map[byte]emul.Served{}
	for u := byte(1); u <= 3; u++ {
		banks[u] = emul.Served{Bank: &emul.Memory{Holding: []uint16{uint16(u)}}}
	}
	addr := serve(t, emul.Options{Address: pseudo(t), Units: banks})
	if _, err := modbus.Dial(modbus.Options{Address: addr + "?baud=4"}); err == nil {
		t.Error("4 bit/s: want an error")
	}
	var wg sync.WaitGroup
	var answered [5]int
	for u := byte(1); u <= 4; u++ { // nobody is unit 4
		c := dial(t, modbus.Options{Address: addr, Unit: u, Timeout: 60 * time.Millisecond})
		wg.Go(func() {
			for until := time.Now().Add(700 * time.Millisecond); time.Now().Before(until); time.Sleep(time.Millisecond) {
				v, err := c.Read(t.Context(), modbus.Holding, 0, 1)
				switch {
				case err == nil && v[0] != uint16(u):
					t.Errorf("unit %d answers for unit %d", v[0], u)
				case err == nil:
					answered[u]++
				case u != 4:
					t.Errorf("unit %d: %v", u, err)
				}
			}
		})
	}
	if _, err := modbus.Dial(modbus.Options{Address: addr + "?baud=115200"}); err == nil {
		t.Error("another speed on a line in use: want an error")
	}
	wg.Wait()
	for u := 1; u <= 3; u++ {
		if answered[u] < 3 {
			t.Errorf("unit %d was answered for %d times: %v", u, answered[u], answered)
		}
	}
}

func TestNoSuchLine(t *testing.T) {
	c := dial(t, modbus.Options{Address: "rtu:///nowhere/tty"})
	if _, err := c.Read(t.Context(), modbus.Holding, 0, 1); !errors.Is(err, device.ErrOffline) || !strings.Contains(err.Error(), "/nowhere/tty") {
		t.Errorf("no such line: %v", err)
	}
}

// A line that is babbled on never becomes silent; nothing is read from it, and nobody
// waits for ever.
func TestNoise(t *testing.T) {
	p, err := pty.Open(filepath.Join(t.TempDir(), "line"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			_ = p.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = p.Write([]byte{0x55}) // nobody reads it for ever
			time.Sleep(time.Millisecond)
		}
	})
	wg.Go(func() { _, _ = io.Copy(io.Discard, p) })
	t.Cleanup(func() { cancel(); p.Close(); wg.Wait() })
	c := dial(t, modbus.Options{Address: "rtu://" + p.Link(), Timeout: 50 * time.Millisecond})
	for range 3 {
		began := time.Now()
		_, err := c.Read(t.Context(), modbus.Holding, 0, 1)
		if took := time.Since(began); !errors.Is(err, device.ErrOffline) || took > 300*time.Millisecond {
			t.Errorf("a noisy line: %v after %v", err, took)
		}
		time.Sleep(120 * time.Millisecond)
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct{ address, want string }{
		{"", "want tcp://"},
		{"127.0.0.1:502", "address"},
		{"udp://127.0.0.1:502", "want tcp://"},
		{"tcp://127.0.0.1", "host:port"},
		{"tcp://:502", "host:port"},
		{"tcp://127.0.0.1:502/x", "nothing may follow"},
		{"rtu://", "want rtu:///dev"},
		{"rtu:///dev/ttyS0?baud=fast", "baud=fast"},
		{"rtu:///dev/ttyS0?parity=some", "none, even or odd"},
		{"rtu:///dev/ttyS0?stop=3", "want 1 to 2"},
		{"rtu:///dev/ttyS0?speed=9600", "unknown parameter speed"},
		{"tls://127.0.0.1:802", "certificate"},
	} {
		if c, err := modbus.Dial(modbus.Options{Address: tt.address}); err == nil {
			c.Close()
			t.Errorf("%q is taken", tt.address)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want something about %q", tt.address, err, tt.want)
		}
	}
	for _, address := range []string{"tcp://[::1]:502", "tcp://pcs.site:502", "rtu:///dev/ttyUSB0?baud=115200&parity=even&stop=2&data=7"} {
		c, err := modbus.Dial(modbus.Options{Address: address})
		if err != nil {
			t.Errorf("%q: %v", address, err)
			continue
		}
		c.Close()
	}
	if _, err := os.Stat("/dev/ttyUSB0"); err == nil {
		t.Log("Dial opens nothing, whatever is there")
	}
}

func TestTap(t *testing.T) {
	addr := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{1: {Bank: memory()}}})
	var got []string
	c := dial(t, modbus.Options{Address: addr, Tap: func(x device.Crossing) {
		way := "<"
		if x.Out {
			way = ">"
		}
		got = append(got, way+hex.EncodeToString(x.Data))
		if x.At.IsZero() {
			t.Error("a message that crossed at no time")
		}
	}})
	mustRead(t, c, 10, 2)
	_, refused := c.Read(t.Context(), modbus.Holding, 2000, 1)
	if err := errors.Join(c.Write(t.Context(), 5, []uint16{7}), c.WriteCoil(t.Context(), 1, true)); err != nil || refused == nil {
		t.Error(err, refused)
	}
	want := []string{
		">03000a0002", "<0304000a000b", ">0307d00001", "<8302", ">1000050001020007", "<1000050001", ">050001ff00", "<050001ff00",
	}
	if !slices.Equal(got, want) {
		t.Errorf("crossed %v\nwant    %v", got, want)
	}
}

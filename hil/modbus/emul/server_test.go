package emul_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/hil/unit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server until the test ends.
func serve(t *testing.T, o emul.Options) *emul.Server {
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
	return s
}

func memory() *emul.Memory {
	m := &emul.Memory{Holding: make([]uint16, 200), Input: make([]uint16, 200), Coils: make([]bool, 2000), Discrete: make([]bool, 100)}
	for i := range m.Holding {
		m.Holding[i], m.Input[i] = uint16(i), uint16(1000+i)
	}
	m.Discrete[3] = true
	return m
}

// wires is a wire that a test breaks while it is served.
type wires struct{ atomic.Pointer[unit.Wire] }

func (w *wires) wire() unit.Wire {
	if p := w.Load(); p != nil {
		return *p
	}
	return unit.Wire{}
}

// client speaks to a server byte by byte.
type client struct {
	t *testing.T
	c io.ReadWriteCloser
}

func dialTCP(t *testing.T, addr string) client {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(addr, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return client{t, c}
}

func (c client) send(transaction uint16, unit byte, pdu string) {
	c.t.Helper()
	b, err := hex.DecodeString(pdu)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.c.Write(modbus.AppendTCP(nil, transaction, unit, b)); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) receive() (transaction uint16, pdu string, err error) {
	c.c.(net.Conn).SetReadDeadline(time.Now().Add(5 * time.Second))
	transaction, _, b, err := modbus.ReadTCP(c.c, make([]byte, modbus.MaxPDU))
	return transaction, hex.EncodeToString(b), err
}

func (c client) want(unit byte, request, answer string) {
	c.t.Helper()
	c.send(77, unit, request)
	tx, got, err := c.receive()
	if err != nil || tx != 77 || got != answer {
		c.t.Errorf("%s to unit %d: %s in transaction %d, %v, want %s", request, unit, got, tx, err, answer)
	}
}

func TestFunctions(t *testing.T) {
	m := memory()
	s := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{1: {Bank: m}, 7: {Bank: memory()}}})
	c := dialTCP(t, s.Addr())
	for _, tt := range []struct {
		name, request, answer string
	}{
		{"read holding", "03000a0002", "0304000a000b"},
		{"read input", "04000a0001", "040203f2"},
		{"read discrete", "0200000004", "020108"},
		{"write one", "0600051234", "0600051234"},
		{"write several", "100006000204000100ff", "1000060002"},
		{"what was written", "0300050003", "0306" + "123400010" + "0ff"},
		{"write coil", "050002ff00", "050002ff00"},
		{"write coils", "0f0000000a02cd01", "0f0000000a"},
		{"coils written", "010000000a", "0102cd01"},
		{"most registers", "030000007d", ""},
		{"no registers", "0300000000", "8303"},
		{"126 registers", "030000007e", "8303"},
		{"2001 coils", "01000007d1", "8103"},
		{"outside", "0300c70002", "8302"},
		{"write outside", "1000c7000204000a000b", "9002"},
		{"beyond 65535", "03ffff0002", "8302"},
		{"coil neither on nor off", "0500020001", "8503"},
		{"byte count that is wrong", "1000060002030001", "9003"},
		{"unknown function", "2b0e0100", "ab01"},
		{"mask write, which is not served", "1600040f0f1010", "9601"},
		{"cut", "0300", "8303"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := client{t, c.c} // the same connection: no refusal ends it
			if tt.answer == "" {
				c.send(1, 1, tt.request)
				if _, got, err := c.receive(); err != nil || len(got) != 2*(2+250) {
					t.Errorf("answer of %d bytes, %v", len(got)/2, err)
				}
				return
			}
			c.want(1, tt.request, tt.answer)
		})
	}
	m.Do(func(m *emul.Memory) {
		if m.Holding[199] != 199 {
			t.Error("a write that began inside and ended outside has changed what is inside")
		}
	})
	c.want(7, "0300050001", "03020005") // another unit is another
	c.want(9, "0300050001", "830b")     // nobody is there
	c.send(1, 1, "0300010001")          // two requests at once are answered in their order
	c.send(2, 1, "0300020001")
	for want := range uint16(2) {
		if tx, got, err := c.receive(); tx != want+1 || err != nil {
			t.Errorf("answer %d is %s of transaction %d, %v", want+1, got, tx, err)
		}
	}
}

func TestNoModbus(t *testing.T) {
	s := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{1: {Bank: memory()}}})
	c := dialTCP(t, s.Addr())
	if _, err := c.c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.receive(); !errors.Is(err, io.EOF) && !isReset(err) {
		t.Errorf("a client of another protocol: %v, want it closed", err)
	}
	dialTCP(t, s.Addr()).want(1, "0300050001", "03020005")
}

func isReset(err error) bool { return err != nil && strings.Contains(err.Error(), "reset") }

func TestBounds(t *testing.T) {
	s := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{1: {Bank: memory()}}, MaxConns: 2, Idle: 300 * time.Millisecond})
	a, b := dialTCP(t, s.Addr()), dialTCP(t, s.Addr())
	a.want(1, "0300050001", "03020005")
	b.want(1, "0300050001", "03020005")
	third := dialTCP(t, s.Addr())
	if _, _, err := third.receive(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a third connection: %v, want it closed", err)
	}
	if _, _, err := a.receive(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an idle connection: %v, want it closed", err)
	}
	if _, _, err := b.receive(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an idle connection: %v, want it closed", err)
	}
	dialTCP(t, s.Addr()).want(1, "0300050001", "03020005") // there is room again
}

func TestWireFaultsTCP(t *testing.T) {
	var w wires
	m := memory()
	s := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{1: {Bank: m, Wire: w.wire}, 2: {Bank: memory()}}})
	fault := func(x unit.Wire) { w.Store(&x) }

	c := dialTCP(t, s.Addr())
	fault(unit.Wire{Exception: 6})
	c.want(1, "0300050001", "8306")
	c.want(1, "0600051234", "8606")
	c.want(2, "0300050001", "03020005")

	fault(unit.Wire{Previous: true})
	c.want(1, "0300050001", "03020005") // nothing was before
	c.want(1, "0300060001", "03020005")
	c.want(1, "0300070001", "03020006")
	fault(unit.Wire{})
	c.want(1, "0300070001", "03020007")

	fault(unit.Wire{Late: 100 * time.Millisecond})
	began := time.Now()
	c.want(1, "0300070001", "03020007")
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("a late answer came after %v", took)
	}

	fault(unit.Wire{Paused: true})
	c.send(3, 1, "0300080001")
	c.c.(net.Conn).SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := c.c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a unit that stands still: %d bytes, %v", n, err)
	}
	fault(unit.Wire{})
	if tx, got, err := c.receive(); tx != 3 || got != "03020008" || err != nil {
		t.Errorf("a unit that goes on answers %s, %v", got, err)
	}

	fault(unit.Wire{Reset: true})
	c.send(4, 1, "0300080001")
	if _, _, err := c.receive(); !isReset(err) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a reset in mid-frame: %v", err)
	}

	c = dialTCP(t, s.Addr())
	fault(unit.Wire{Down: true})
	c.send(4, 1, "0300080001")
	if _, _, err := c.receive(); !errors.Is(err, io.EOF) && !isReset(err) {
		t.Errorf("a cut link: %v", err)
	}
	dialTCP(t, s.Addr()).want(2, "0300050001", "03020005") // the other unit's is whole
}

// line opens the far end of a served pseudo-terminal.
func line(t *testing.T, addr string) client {
	t.Helper()
	f, err := os.OpenFile(strings.TrimPrefix(addr, "rtu://"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return client{t, f}
}

// ask sends bytes to a serial line and returns all that comes within a while.
func (c client) ask(frame []byte, patience time.Duration) string {
	c.t.Helper()
	if _, err := c.c.Write(frame); err != nil {
		c.t.Fatal(err)
	}
	f := c.c.(*os.File)
	f.SetReadDeadline(time.Now().Add(patience))
	var all []byte
	buf := make([]byte, 300)
	for {
		n, err := f.Read(buf)
		if all = append(all, buf[:n]...); err != nil {
			return hex.EncodeToString(all)
		}
		f.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	}
}

func rtu(t *testing.T, unit byte, pdu string) []byte {
	t.Helper()
	b, err := hex.DecodeString(pdu)
	if err != nil {
		t.Fatal(err)
	}
	return modbus.AppendRTU(nil, unit, b)
}

func TestSerialLine(t *testing.T) {
	var w wires
	m1, m2 := memory(), memory()
	s := serve(t, emul.Options{
		Address: "pty://" + filepath.Join(t.TempDir(), "line"),
		Units:   map[byte]emul.Served{1: {Bank: m1, Wire: w.wire}, 2: {Bank: m2}},
	})
	c := line(t, s.Addr())
	want := func(what string, frame []byte, unit byte, answer string) {
		t.Helper()
		expect := ""
		if answer != "" {
			expect = hex.EncodeToString(rtu(t, unit, answer))
		}
		patience := time.Second
		if expect == "" {
			patience = 100 * time.Millisecond
		}
		if got := c.ask(frame, patience); got != expect {
			t.Errorf("%s: %s, want %s", what, got, expect)
		}
	}
	want("read", rtu(t, 1, "03000a0002"), 1, "0304000a000b")
	want("unit 2", rtu(t, 2, "04000a0001"), 2, "040203f2")
	want("write", rtu(t, 1, "100006000204000100ff"), 1, "1000060002")
	want("outside", rtu(t, 1, "0300c70002"), 1, "8302")
	want("no registers", rtu(t, 1, "0300000000"), 1, "8303")
	want("unknown function", rtu(t, 1, "2b0e0100"), 1, "ab01")
	want("nobody", rtu(t, 3, "0300050001"), 3, "")
	broken := rtu(t, 1, "0300050001")
	broken[3] ^= 0x10
	want("a wrong bit", broken, 1, "")
	want("noise", []byte{0xFF, 0x00, 0x12}, 1, "")
	want("after noise", rtu(t, 1, "0300050001"), 1, "03020005")
	half := rtu(t, 1, "0300050001")
	want("half a frame", half[:4], 1, "")
	want("after half a frame", half, 1, "03020005")
	want("broadcast", rtu(t, 0, "060009beef"), 0, "")
	for i, m := range []*emul.Memory{m1, m2} {
		m.Do(func(m *emul.Memory) {
			if m.Holding[9] != 0xBEEF {
				t.Errorf("a broadcast has not reached unit %d", i+1)
			}
		})
	}

	w.Store(&unit.Wire{Exception: 4})
	want("exception", rtu(t, 1, "0300050001"), 1, "8304")
	w.Store(&unit.Wire{Paused: true})
	want("paused", rtu(t, 1, "0300050001"), 1, "")
	want("the other one", rtu(t, 2, "0300050001"), 2, "03020005")
	w.Store(&unit.Wire{Reset: true})
	if got, whole := c.ask(rtu(t, 1, "0300050001"), time.Second), hex.EncodeToString(rtu(t, 1, "03020005")); len(got) >= len(whole) || got == "" || !strings.HasPrefix(whole, got) {
		t.Errorf("a frame that breaks off: %s of %s", got, whole)
	}
	w.Store(&unit.Wire{Late: 100 * time.Millisecond})
	want("late", rtu(t, 1, "0300050001"), 1, "03020005")
}

func TestWrongOptions(t *testing.T) {
	for _, tt := range []struct {
		o    emul.Options
		want string
	}{
		{emul.Options{Address: "udp://127.0.0.1:0"}, "tcp://host:port"},
		{emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{4: {}}}, "unit 4"},
		{emul.Options{Address: "tls://127.0.0.1:0"}, "certificate"},
		{emul.Options{Address: "rtu:///nowhere/tty"}, "/nowhere/tty"},
		{emul.Options{Address: "pty:///nowhere/tty"}, "/nowhere/tty"},
	} {
		s, err := emul.Listen(tt.o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want something about %q", tt.o.Address, err, tt.want)
		}
	}
}

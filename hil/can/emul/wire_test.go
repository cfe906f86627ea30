package emul_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/hil/can"
	"yunchu/hil/can/emul"
	"yunchu/hil/pty"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// serve runs an emulator of a unit on the wall clock until the test ends.
func serve(t *testing.T, o emul.Options) (*unit.Unit, *emul.Emulator) {
	t.Helper()
	if o.Unit == nil {
		o.Unit = newUnit(t, time.Now())
	}
	e, err := emul.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	return o.Unit, e
}

func newDriver(t *testing.T, o can.Options) *can.Driver {
	t.Helper()
	d, err := can.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return d
}

// until reads until a reading is as wanted.
func until(t *testing.T, d *can.Driver, what string, ok func(r device.Reading, err error) bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		now := time.Now()
		r, err := d.Read(t.Context(), now)
		if ok(r, err) {
			return
		}
		if now.After(deadline) {
			t.Fatalf("%s: last %+v, %v", what, r, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// agrees reports whether a reading is what the unit is, as far as the wire resolves it.
func agrees(p *can.Profile, u *unit.Unit, r *device.Reading) bool {
	v := u.Truth(time.Now())
	k := shown(p, &v)
	return near(r.SoC, v.SoC, 1) && near(r.Voltage, v.DCV/k, 0.5) && near(r.Current, v.DCA*k, 0.5*k) && near(r.MaxCharge, v.ChargeA*v.DCV/1000, 1)
}

// meets checks that the driver on a wire follows its unit.
func meets(t *testing.T, d *can.Driver, p *can.Profile, u *unit.Unit) {
	t.Helper()
	healthy := func(r device.Reading, err error) bool { return err == nil && agrees(p, u, &r) && r.Flags == 0 }
	until(t, d, "at rest", healthy)
	if err := u.Do(time.Now(), unit.SetPower("test", -40e3, 0)); err != nil {
		t.Fatal(err)
	}
	until(t, d, "discharging", func(r device.Reading, err error) bool {
		return healthy(r, err) && r.Status == device.Discharging && r.Voltage*r.Current < -38e3
	})
}

func TestOverSLCANonTCP(t *testing.T) {
	t.Parallel()
	for _, name := range can.Shipped() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := profile(t, name)
			u, e := serve(t, emul.Options{Profile: p, Address: "slcan://127.0.0.1:0"})
			meets(t, newDriver(t, can.Options{Profile: p, Address: e.Addr()}), p, u)
		})
	}
}

func TestOverPseudoTerminal(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"victron-sma-lv", "ecube-hv-pcs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			link := filepath.Join(t.TempDir(), "can0")
			p := profile(t, name)
			u, _ := serve(t, emul.Options{Profile: p, Address: "pty://" + link})
			d := newDriver(t, can.Options{Profile: p, Address: "slcan://" + link})
			meets(t, d, p, u)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			// The next one opens the same port, and takes nothing from before for its own.
			meets(t, newDriver(t, can.Options{Profile: p, Address: "slcan://" + link}), p, u)
		})
	}
}

func TestWrongEmulators(t *testing.T) {
	u, p := newUnit(t, time.Now()), profile(t, "pylon-lv")
	for _, o := range []emul.Options{
		{Profile: p, Address: "slcan://127.0.0.1:0"},
		{Unit: u, Address: "slcan://127.0.0.1:0"},
		{Unit: u, Profile: &can.Profile{}, Address: "slcan://127.0.0.1:0"},
		{Unit: u, Profile: p, Address: "tcp://127.0.0.1:0"},
		{Unit: u, Profile: p, Address: "slcan://256.0.0.1:0"},
		{Unit: u, Profile: p, Address: "slcan:///dev/no-such-port"},
		{Unit: u, Profile: p, Address: "pty:///no/such/folder/can0"},
	} {
		if e, err := emul.New(o); err == nil {
			t.Errorf("New(%q): no error", o.Address)
			_ = e.Close()
		}
	}
	h := newHub(t)
	e, err := emul.New(emul.Options{Unit: u, Profile: p, Address: "socketcand://" + h.listener.Addr().String() + "/can0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Step(t.Context(), time.Now()); err == nil {
		t.Error("a bus on the wall clock is stepped")
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// hub is a socketcand server with one bus: what a client sends, the others get.
type hub struct {
	listener net.Listener
	mu       sync.Mutex
	raw      map[net.Conn]bool
	wg       sync.WaitGroup
}

func newHub(t *testing.T) *hub {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{listener: l, raw: map[net.Conn]bool{}}
	h.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.raw[c] = false
			h.mu.Unlock()
			h.wg.Go(func() { h.client(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		h.mu.Lock()
		for c := range h.raw {
			_ = c.Close()
		}
		h.mu.Unlock()
		h.wg.Wait()
	})
	return h
}

func (h *hub) client(c net.Conn) {
	defer c.Close()
	fmt.Fprint(c, "< hi >")
	in := bufio.NewReader(c)
	for {
		message, err := in.ReadString('>')
		if err != nil {
			h.mu.Lock()
			delete(h.raw, c)
			h.mu.Unlock()
			return
		}
		words := strings.Fields(strings.Trim(message, "<> "))
		switch {
		case len(words) == 2 && words[0] == "open" && words[1] == "can0":
			fmt.Fprint(c, "< ok >")
		case len(words) == 1 && words[0] == "rawmode":
			h.mu.Lock()
			h.raw[c] = true // before it is told so: from then on it may rely on it
			fmt.Fprint(c, "< ok >")
			h.mu.Unlock()
		case len(words) >= 3 && words[0] == "send":
			h.mu.Lock()
			for o, raw := range h.raw {
				if o != c && raw {
					fmt.Fprintf(o, "< frame %s 1.000000 %s >", words[1], strings.Join(words[3:], ""))
				}
			}
			h.mu.Unlock()
		default:
			fmt.Fprint(c, "< error unknown command >")
		}
	}
}

func TestOverSocketcand(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	address := "socketcand://" + h.listener.Addr().String() + "/can0"
	p := profile(t, "pylon-hv")
	u, _ := serve(t, emul.Options{Profile: p, Address: address})
	exchanges := 0
	timed := func(took time.Duration, err error) {
		if exchanges++; err != nil || took <= 0 || took > can.DefaultTimeout {
			t.Errorf("an exchange took %v: %v", took, err)
		}
	}
	meets(t, newDriver(t, can.Options{Profile: p, Address: address, Timed: timed}), p, u)
	if exchanges < 2 {
		t.Errorf("%d exchanges were timed", exchanges)
	}

	d := newDriver(t, can.Options{Profile: p, Address: "socketcand://" + h.listener.Addr().String() + "/can9"})
	if _, err := d.Read(t.Context(), time.Now()); !errors.Is(err, device.ErrOffline) || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("a bus that the server has not: %v", err)
	}
}

func TestLinkThatIsCutComesBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"link-down", "reset"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := profile(t, "victron-sma-lv")
			u, e := serve(t, emul.Options{Profile: p, Address: "slcan://127.0.0.1:0"})
			d := newDriver(t, can.Options{Profile: p, Address: e.Addr(), Timeout: 300 * time.Millisecond})
			healthy := func(r device.Reading, err error) bool { return err == nil && agrees(p, u, &r) && r.Flags == 0 }
			until(t, d, "at first", healthy)
			end, err := u.Inject(time.Now(), unit.Fault{Kind: kind})
			if err != nil {
				t.Fatal(err)
			}
			until(t, d, "cut", func(_ device.Reading, err error) bool { return errors.Is(err, device.ErrOffline) })
			end(time.Now())
			until(t, d, "back", healthy)
			if s := d.Stats(); s.Dials < 2 {
				t.Errorf("%+v: the bus was not opened again", s)
			}
		})
	}
}

// Backing off answers at once, and the waits grow.
func TestBacksOff(t *testing.T) {
	t.Parallel()
	dials := 0
	d := newDriver(t, can.Options{Profile: profile(t, "pylon-lv"), Dial: func(context.Context) (can.Bus, error) {
		dials++
		return nil, io.ErrUnexpectedEOF
	}})
	for end := time.Now().Add(800 * time.Millisecond); time.Now().Before(end); {
		if _, err := d.Read(t.Context(), time.Now()); !errors.Is(err, device.ErrOffline) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%v, want ErrOffline and why", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if dials < 3 || dials > 4 { // at 0, 100, 300, 700 ms
		t.Errorf("%d dials in 800 ms, want 4", dials)
	}
}

// dialog is one who types commands at an adapter.
type dialog struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (d *dialog) ask(command, want string) {
	d.t.Helper()
	fmt.Fprint(d.conn, command)
	for {
		got, err := d.in.ReadBytes(want[len(want)-1])
		if err != nil {
			d.t.Fatalf("%q: %q, %v, want %q", command, got, err, want)
		}
		if bytes.HasPrefix(bytes.ToLower(got), []byte("t")) { // a frame came between
			continue
		}
		if string(got) != want {
			d.t.Errorf("%q: %q, want %q", command, got, want)
		}
		return
	}
}

func dialAdapter(t *testing.T, address string) *dialog {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(address, "slcan://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	return &dialog{t, c, bufio.NewReader(c)}
}

func TestAdapterSpeaksLawicel(t *testing.T) {
	_, e := serve(t, emul.Options{Profile: profile(t, "pylon-hv"), Address: "slcan://127.0.0.1:0"})
	a, b := dialAdapter(t, e.Addr()), dialAdapter(t, e.Addr())
	for _, d := range []*dialog{a, b} {
		d.ask("C\r", "\a") // it is closed
		d.ask("T000042008"+strings.Repeat("0", 16)+"\r", "\a")
		d.ask("S9\r", "\a")
		d.ask("S6\r", "\r")
		d.ask("V\r", "V1013\r")
		d.ask("F\r", "F00\r")
		d.ask("?\r", "\a")
		d.ask("O\r", "\r")
		d.ask("S6\r", "\a") // not while it is open
	}
	a.ask("t1230\r", "z\r")
	if line, err := b.in.ReadString('\r'); err != nil || line != "t1230\r" {
		t.Errorf("the other node hears %q, %v", line, err)
	}
	a.ask("T000042008"+strings.Repeat("0", 16)+"\r", "Z\r")
	if line, err := b.in.ReadString('\r'); err != nil || !strings.HasPrefix(line, "T00004200") {
		t.Errorf("the other node hears %q, %v", line, err)
	}
	if line, err := a.in.ReadString('\r'); err != nil || !strings.HasPrefix(line, "T000042108") {
		t.Errorf("the answer is %q, %v", line, err)
	}
	a.ask("C\r", "\r")
}

// At another bit rate nothing is heard.
func TestWrongBitRate(t *testing.T) {
	t.Parallel()
	_, e := serve(t, emul.Options{Profile: profile(t, "victron-sma-lv"), Address: "slcan://127.0.0.1:0"})
	d := dialAdapter(t, e.Addr())
	d.ask("S5\r", "\r")
	d.ask("O\r", "\r")
	_ = d.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if b, err := d.in.ReadByte(); err == nil {
		t.Errorf("heard %q", b)
	}
}

// An adapter may know no bit rate.
func TestAdapterThatRefuses(t *testing.T) {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewReader(far)
		for {
			line, err := in.ReadString('\r')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "S") {
				fmt.Fprint(far, "\a")
			}
		}
	}()
	if b, err := can.NewSLCAN(t.Context(), near, 500_000); err == nil || !strings.Contains(err.Error(), "S6") {
		t.Errorf("NewSLCAN() = %v, %v, want S6 refused", b, err)
	}
	<-done
	_ = far.Close()
	if _, err := can.NewSLCAN(t.Context(), near, 12345); err == nil {
		t.Error("a bit rate that slcan has not")
	}
}

// A serial port whose far end takes nothing holds nobody up.
func TestPortThatTakesNothing(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "tty")
	far, err := pty.Open(link)
	if err != nil {
		t.Skip(err)
	}
	defer far.Close()
	b, err := can.Dial(t.Context(), "slcan://"+link, 500_000)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for err == nil {
		err = b.Send(ctx, can.Frame{ID: 1, Length: 8})
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Send() = %v, want that it waits", err)
	}
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Errorf("Close() = %v", err)
		}
	case <-time.After(3 * time.Second):
		t.Error("Close() does not return")
	}
}

package emul_test

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	modbusemul "yunchu/hil/modbus/emul"
	"yunchu/hil/sunspec/emul"
	"yunchu/hil/unit"
	"yunchu/twin/params"
)

// served is a unit of 100 kW at a socket of its own, on the wall clock.
func served(t *testing.T) (u *unit.Unit, address string) {
	t.Helper()
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	u, err = unit.New(unit.Options{ID: "rig-1", Model: m, SoC: 50, AmbientC: 25, Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := emul.New(emul.Options{Unit: u, Base: emul.DefaultBase})
	if err != nil {
		t.Fatal(err)
	}
	s, err := modbusemul.Listen(modbusemul.Options{
		Address: "tcp://127.0.0.1:0", Units: map[byte]modbusemul.Served{1: {Bank: b, Wire: u.Wire}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- s.Serve(ctx) }()
	go func() { done <- u.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return u, s.Addr()
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(8 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// mbpoll runs the program of that name.
type mbpoll struct {
	t    *testing.T
	path string
	port string
}

func newMbpoll(t *testing.T, address string) *mbpoll {
	t.Helper()
	path, err := exec.LookPath("mbpoll")
	if err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
			t.Fatalf("no mbpoll: %v", err)
		}
		t.Skipf("no mbpoll: %v", err)
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(address, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	return &mbpoll{t, path, port}
}

func (m *mbpoll) run(addr int, args ...string) (string, error) {
	list := append([]string{"-m", "tcp", "-p", m.port, "-a", "1", "-t", "4", "-0", "-1", "-o", "2", "-r", strconv.Itoa(addr)}, args...)
	out, err := exec.CommandContext(m.t.Context(), m.path, list...).CombinedOutput()
	return string(out), err
}

// read reads registers one to a line, such as "[40000]: \t21365".
func (m *mbpoll) read(addr, n int) []uint16 {
	m.t.Helper()
	out, err := m.run(addr, "-c", strconv.Itoa(n), "127.0.0.1")
	if err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	var regs []uint16
	for line := range strings.Lines(out) {
		place, value, ok := strings.Cut(line, "]:")
		if !ok || !strings.HasPrefix(place, "[") {
			continue
		}
		v, err := strconv.Atoi(strings.Fields(value)[0])
		if err != nil || place != fmt.Sprintf("[%d", addr+len(regs)) {
			m.t.Fatalf("line %q", line)
		}
		regs = append(regs, uint16(v))
	}
	if len(regs) != n {
		m.t.Fatalf("%d registers, want %d:\n%s", len(regs), n, out)
	}
	return regs
}

func (m *mbpoll) write(addr int, values ...int) (string, error) {
	args := []string{"--", "127.0.0.1"}
	for _, v := range values {
		args = append(args, strconv.Itoa(v))
	}
	return m.run(addr, args...)
}

// TestPeerMbpoll walks the map of a served unit with a client of somebody else's, reads
// what stands in it and moves the unit.
func TestPeerMbpoll(t *testing.T) {
	u, address := served(t)
	m := newMbpoll(t, address)
	if mark := m.read(emul.DefaultBase, 2); mark[0] != 0x5375 || mark[1] != 0x6E53 {
		t.Fatalf("%x is not SunS", mark)
	}
	at := map[uint16]int{}
	addr := emul.DefaultBase + 2
	for head := m.read(addr, 2); head[0] != 0xFFFF; head = m.read(addr, 2) {
		at[head[0]] = addr
		addr += 2 + int(head[1])
	}
	for _, id := range []uint16{1, 103, 120, 121, 122, 123, 124, 160, 701, 702, 704, 713, 714, 715, 802, 803} {
		if at[id] == 0 {
			t.Fatalf("no model %d in %v", id, at)
		}
	}
	if mn := m.read(at[1]+2, 3); string([]byte{byte(mn[0] >> 8), byte(mn[0]), byte(mn[1] >> 8), byte(mn[1]), byte(mn[2] >> 8), byte(mn[2])}) != "Yunchu" {
		t.Errorf("manufacturer %x", mn)
	}
	if soc, scale := m.read(at[802]+11, 1), m.read(at[802]+56, 1); soc[0] != 5000 || int16(scale[0]) != -2 {
		t.Errorf("SoC %d, scale %d, want 50.00 %%", soc[0], int16(scale[0]))
	}

	const wSetEna, wSetMod, wSet, wSetRvrtTms = 22, 23, 24, 31
	minus20kW := -20000 // discharging is positive: this charges
	for _, w := range []struct {
		name   string
		at     int
		values []int
	}{
		{"time to revert", wSetRvrtTms, []int{0, 60}},
		{"watts", wSetMod, []int{1}},
		{"WSet alone, as two registers", wSet, []int{int(uint16(minus20kW >> 16)), int(uint16(minus20kW))}},
	} {
		if out, err := m.write(at[704]+w.at, w.values...); err != nil {
			t.Fatalf("%s: %v\n%s", w.name, err, out)
		}
	}
	if v := u.View(time.Now()); v.SetActive {
		t.Errorf("a setpoint of %g W is in force before it is enabled", v.SetW)
	}
	if out, err := m.write(at[704]+wSetEna, 1); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	v := u.View(time.Now())
	if !v.SetActive || v.SetW != 20000 || v.SetUntil.IsZero() {
		t.Errorf("in force %t, %g W, until %v", v.SetActive, v.SetW, v.SetUntil)
	}
	await(t, "the unit charges", func() bool { return u.View(time.Now()).ACW == 20000 })
	watts, scale := m.read(at[701]+10, 1), m.read(at[701]+116, 1)
	if got := float64(int16(watts[0])) * math.Pow10(int(int16(scale[0]))); got != -20000 {
		t.Errorf("701.W = %g", got)
	}
	for name, refused := range map[string]func() (string, error){
		"a point that is read only": func() (string, error) { return m.write(at[701]+10, 5) },
		"half of a point":           func() (string, error) { return m.write(at[704]+wSet, 5) },
		"behind the map":            func() (string, error) { return m.write(addr+2, 5) },
	} {
		if out, err := refused(); err == nil && !strings.Contains(out, "failed") {
			t.Errorf("%s was written:\n%s", name, out)
		}
	}
	if w := u.View(time.Now()).SetW; w != 20000 {
		t.Errorf("after what was refused: %g W", w)
	}
}

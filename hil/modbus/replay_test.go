package modbus_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/platform/device"
)

// A session over a socket is recorded and then answered from the recording, moment by
// moment.
func TestReplay(t *testing.T) {
	m := memory()
	addr := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]emul.Served{1: {Bank: m}}})
	var tape []device.Crossing
	live := dial(t, modbus.Options{Address: addr, Tap: func(c device.Crossing) {
		c.Data = bytes.Clone(c.Data)
		tape = append(tape, c)
	}})
	var moments []time.Time // after each reading
	for _, v := range []uint16{7, 8, 9} {
		m.Do(func(m *emul.Memory) { m.Holding[50] = v })
		if _, err := live.Read(t.Context(), modbus.Holding, 50, 1); err != nil {
			t.Fatal(err)
		}
		moments = append(moments, time.Now())
	}
	if err := errors.Join(live.Write(t.Context(), 5, []uint16{1, 2}), live.WriteCoil(t.Context(), 3, true)); err != nil {
		t.Fatal(err)
	}
	if _, err := live.Read(t.Context(), modbus.Holding, 5000, 1); err == nil {
		t.Fatal("read outside")
	}

	r := modbus.NewReplay(tape)
	read := func(addr uint16) (uint16, error) {
		v, err := r.Read(t.Context(), modbus.Holding, addr, 1)
		if err != nil {
			return 0, err
		}
		return v[0], nil
	}
	r.SetNow(moments[0].Add(-time.Hour))
	if v, err := read(50); !errors.Is(err, device.ErrOffline) {
		t.Errorf("before it began: %d, %v", v, err)
	}
	for i, want := range []uint16{7, 8, 9} {
		r.SetNow(moments[i])
		if v, err := read(50); v != want || err != nil {
			t.Errorf("moment %d: %d, %v, want %d", i, v, err, want)
		}
	}
	r.SetNow(moments[2].Add(time.Hour))
	if v, err := read(50); v != 9 || err != nil {
		t.Errorf("after it ended: %d, %v, want the last", v, err)
	}
	if v, err := read(51); !errors.Is(err, device.ErrOffline) {
		t.Errorf("never asked: %d, %v", v, err)
	}
	if _, err := read(5000); !errors.Is(err, modbus.IllegalAddress) || errors.Is(err, device.ErrOffline) {
		t.Errorf("refused when recorded: %v", err)
	}
	if err := errors.Join(r.Write(t.Context(), 5, []uint16{1, 2}), r.WriteCoil(t.Context(), 3, true)); err != nil || r.Diverged() != 0 {
		t.Errorf("writes that were made: %v, %d of them others", err, r.Diverged())
	}
	if err := errors.Join(r.Write(t.Context(), 5, []uint16{1, 3}), r.WriteOne(t.Context(), 5, 1), r.WriteCoil(t.Context(), 3, false)); err != nil || r.Diverged() != 3 {
		t.Errorf("writes that were not made: %v, %d counted", err, r.Diverged())
	}
	if _, err := r.Read(t.Context(), modbus.Holding, 0, 126); !errors.Is(err, modbus.ErrMalformed) {
		t.Errorf("126 registers: %v", err)
	}
}

// Within an exchange the same request is answered in the order in which it was.
func TestReplayOfAnExchange(t *testing.T) {
	t0 := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	q := modbus.Request{Function: modbus.ReadHolding, Addr: 2, Count: 1}
	var tape []device.Crossing
	for i, v := range []uint16{7, 7, 8, 9} { // asked every second
		at := t0.Add(time.Duration(i) * time.Second)
		tape = append(tape, device.Crossing{At: at, Out: true, Data: modbus.AppendRequest(nil, &q)},
			device.Crossing{At: at.Add(time.Millisecond), Data: modbus.AppendAnswer(nil, &q, []uint16{v})})
	}
	r := modbus.NewReplay(tape)
	for _, tt := range []struct {
		from, to time.Duration
		want     []uint16
	}{
		{500 * time.Millisecond, 2500 * time.Millisecond, []uint16{7, 8, 8}}, // asked once more than then
		{2500 * time.Millisecond, 2600 * time.Millisecond, []uint16{8}},      // not asked then
		{0, 5 * time.Second, []uint16{7, 7, 8, 9}},
	} {
		r.Exchange(t0.Add(tt.from), t0.Add(tt.to))
		for i, want := range tt.want {
			if v, err := r.Read(t.Context(), modbus.Holding, 2, 1); err != nil || v[0] != want {
				t.Errorf("%v to %v, request %d: %v, %v, want %d", tt.from, tt.to, i+1, v, err, want)
			}
		}
	}
}

// What was not answered is not answered again, until the moment of the next answer.
func TestReplayOfAnOutage(t *testing.T) {
	t0 := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	second := func(n float64) time.Time { return t0.Add(time.Duration(n * float64(time.Second))) }
	q := modbus.Request{Function: modbus.ReadInput, Addr: 2, Count: 2}
	ask := modbus.AppendRequest(nil, &q)
	answer := func(v uint16) []byte { return modbus.AppendAnswer(nil, &q, []uint16{v, v}) }
	write := modbus.AppendRequest(nil, &modbus.Request{Function: modbus.WriteRegister, Addr: 9, Count: 1, Values: []uint16{4}})
	r := modbus.NewReplay([]device.Crossing{
		{At: second(0), Out: true, Data: ask},
		{At: second(0.1), Data: answer(1)},
		{At: second(1), Out: true, Data: ask}, // nobody answers
		{At: second(2), Out: true, Data: ask},
		{At: second(2.5), Data: answer(2)},
		{At: second(3), Out: true, Data: write},
		{At: second(3.1), Data: modbus.AppendException(nil, modbus.WriteRegister, modbus.DeviceBusy)},
		{At: second(4), Out: true, Data: ask},
		{At: second(4.1), Data: []byte{4, 2, 0, 0}}, // an answer to another request
		{At: second(5), Out: true, Data: ask},       // the recording ends
	})
	for _, tt := range []struct {
		at   float64
		want uint16 // 0: offline
	}{{0.05, 0}, {0.1, 1}, {0.9, 1}, {1, 0}, {2.4, 0}, {2.5, 2}, {3.9, 2}, {4.2, 0}, {6, 0}} {
		r.SetNow(second(tt.at))
		v, err := r.Read(t.Context(), modbus.Input, 2, 2)
		if tt.want == 0 && !errors.Is(err, device.ErrOffline) || tt.want != 0 && !slices.Equal(v, []uint16{tt.want, tt.want}) {
			t.Errorf("at %g s: %v, %v, want %d", tt.at, v, err, tt.want)
		}
	}
	for _, at := range []float64{2.9, 3.2} { // a little early, and after
		r.SetNow(second(at))
		if err := r.WriteOne(t.Context(), 9, 4); !errors.Is(err, modbus.DeviceBusy) || errors.Is(err, device.ErrOffline) {
			t.Errorf("at %g s, a write that was refused: %v", at, err)
		}
	}
	if r.Diverged() != 0 {
		t.Errorf("%d divergences", r.Diverged())
	}
}

package can_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/hil/can"
)

func TestMemoryReachesAllOthers(t *testing.T) {
	bus := can.NewMemory()
	a, b, c := bus.Node(), bus.Node(), bus.Node()
	a.SetNow(start)
	want := frame(t, 0x351, "01 02")
	if err := a.Send(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	for _, n := range []can.Stepped{b, c} {
		if f, at, ok := n.Poll(); !ok || f != want || !at.Equal(start) {
			t.Errorf("got %v at %v, %v", f, at, ok)
		}
	}
	if f, _, ok := a.Poll(); ok {
		t.Errorf("the sender hears itself: %v", f)
	}
	if err := a.Send(t.Context(), can.Frame{ID: 0x800}); err == nil {
		t.Error("a frame that cannot be is sent")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.Receive(t.Context()); !errors.Is(err, can.ErrClosed) {
		t.Errorf("Receive() of a closed node = %v", err)
	}
	if err := b.Send(t.Context(), want); !errors.Is(err, can.ErrClosed) {
		t.Errorf("Send() of a closed node = %v", err)
	}
}

func TestQueueDropsTheOldest(t *testing.T) {
	bus := can.NewMemory()
	a, b := bus.Node(), bus.Node()
	const n = 1024 + 100
	for i := range n {
		f := can.Frame{ID: 1, Length: 2}
		binary.LittleEndian.PutUint16(f.Data[:], uint16(i))
		if err := a.Send(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if b.Dropped() != 100 {
		t.Errorf("dropped %d, want 100", b.Dropped())
	}
	for i := 100; i < n; i++ {
		f, err := b.Receive(t.Context())
		if got := int(binary.LittleEndian.Uint16(f.Data[:])); err != nil || got != i {
			t.Fatalf("frame %d, %v, want %d", got, err, i)
		}
	}
}

func TestReceiveWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := can.NewMemory()
		a, b := bus.Node(), bus.Node()
		go func() {
			time.Sleep(time.Hour)
			_ = a.Send(t.Context(), can.Frame{ID: 5})
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := b.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Receive() of nothing = %v", err)
		}
		if f, err := b.Receive(t.Context()); err != nil || f.ID != 5 {
			t.Errorf("Receive() = %v, %v", f, err)
		}
		go func() {
			time.Sleep(time.Hour)
			_ = b.Close()
		}()
		if _, err := b.Receive(t.Context()); !errors.Is(err, can.ErrClosed) {
			t.Errorf("Receive() while closed = %v", err)
		}
	})
}

// kernel is the far end of a SocketCAN socket: it speaks in struct can_frame.
func kernel(t *testing.T) (can.Bus, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	b := can.NewSocketCAN(near)
	t.Cleanup(func() {
		_ = b.Close()
		_ = far.Close()
	})
	return b, far
}

// canFrame is struct can_frame of linux/can.h.
func canFrame(id uint32, length byte, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, id)
	b = append(b, length, 0, 0, 0)
	return append(b, append(data, make([]byte, 8-len(data))...)...)
}

func TestSocketCANFrames(t *testing.T) {
	b, far := kernel(t)
	go func() {
		_, _ = far.Write(canFrame(0x351, 2, 0x14, 2))
		_, _ = far.Write(canFrame(0x20000004, 8)) // an error frame, of the controller
		_, _ = far.Write(canFrame(0x123, 15))     // more data than a frame has
		_, _ = far.Write(canFrame(0x80004210, 1, 0xAA))
		_, _ = far.Write(canFrame(0x40000305, 8))
	}()
	for _, want := range []string{"351#1402", "00004210#AA", "305#R8"} {
		f, err := b.Receive(t.Context())
		if err != nil || f.String() != want {
			t.Fatalf("%v, %v, want %s", f, err, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := b.Send(ctx, can.Frame{ID: 1}); err == nil {
		t.Error("sent to nobody")
	}
	// The deadline of one frame is not that of the next.
	sent := make(chan []byte, 1)
	go func() {
		buf := make([]byte, 16)
		n, _ := far.Read(buf)
		sent <- buf[:n]
	}()
	if err := b.Send(t.Context(), can.Frame{ID: 0x4200, IsExtended: true, Length: 1, Data: can.Data{2}}); err != nil {
		t.Fatal(err)
	}
	if got, want := string(<-sent), string(canFrame(0x80004200, 1, 2)); got != want {
		t.Errorf("sent % X, want % X", got, want)
	}
	go func() { _, _ = far.Write(canFrame(0x20000040, 8)) }() // CAN_ERR_BUSOFF
	if _, err := b.Receive(t.Context()); !errors.Is(err, can.ErrBusOff) {
		t.Errorf("Receive() = %v, want bus-off", err)
	}
}

// TestSocketCANInterface runs where the kernel has a virtual interface vcan0.
func TestSocketCANInterface(t *testing.T) {
	a, err := can.Dial(t.Context(), "socketcan://vcan0", 500_000)
	if err != nil {
		t.Skipf("no SocketCAN interface vcan0 here: %v", err)
	}
	defer a.Close()
	b, err := can.Dial(t.Context(), "socketcan://vcan0", 500_000)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	want := frame(t, 0x4210, "A5 09 30 75 9D 04 2E 64")
	if err := a.Send(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Receive(t.Context()); err != nil || got != want {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

// A server that hangs up while the bus is opened, and one that says nothing.
func TestSocketcandThatFails(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		_, _ = far.Write([]byte("< hi >"))
		_ = far.Close()
	}()
	if _, err := can.NewSocketcand(t.Context(), near, "can0"); err == nil {
		t.Error("opened on a connection that was closed")
	}
	near, far = net.Pipe()
	defer far.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := can.NewSocketcand(ctx, near, "can0"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent server: %v", err)
	}
}

// Adapters that never answer commands are understood, and garbage on the line is read over.
func TestAdapterThatNeverAnswers(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	said := make(chan string, 1)
	go func() {
		var all strings.Builder
		buf := make([]byte, 64)
		for !strings.Contains(all.String(), "O\r") {
			n, err := far.Read(buf)
			if err != nil {
				break
			}
			all.Write(buf[:n])
		}
		said <- all.String()
		_, _ = far.Write([]byte("\x00\xffrubbish\rt351\rt3552AABB\rT000042101CC"))
		_, _ = far.Write([]byte("\rz\r"))
		_, _ = far.Read(buf) // C
	}()
	b, err := can.NewSLCAN(t.Context(), near, 250_000)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-said; got != "\r\rC\rS5\rO\r" {
		t.Errorf("said %q", got)
	}
	for _, want := range []string{"355#AABB", "00004210#CC"} {
		if f, err := b.Receive(t.Context()); err != nil || f.String() != want {
			t.Errorf("%v, %v, want %s", f, err, want)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Send(t.Context(), can.Frame{ID: 1}); !errors.Is(err, can.ErrClosed) {
		t.Errorf("Send() on a closed bus = %v", err)
	}
}

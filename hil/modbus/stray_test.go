package modbus_test

import (
	"errors"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/pty"
	"yunchu/platform/device"
)

// sent is a frame that a device puts on the line, after a while.
type sent struct {
	frame []byte
	late  time.Duration
}

// badLine is a serial line with a device on it that answers each request as a test says.
func badLine(t *testing.T, answer func(unit byte, r *modbus.Request) []sent) string {
	t.Helper()
	line, err := pty.Open(filepath.Join(t.TempDir(), "line"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, modbus.MaxRTU)
		for {
			n, err := line.Read(buf)
			if err != nil {
				return
			}
			unit, pdu, err := modbus.ParseRTU(buf[:n])
			if err != nil {
				continue
			}
			r, err := modbus.ParseRequest(pdu)
			if err != nil {
				continue
			}
			for _, s := range answer(unit, &r) {
				if s.late == 0 {
					_, _ = line.Write(s.frame) // a test that has ended reads no more
					continue
				}
				wg.Go(func() {
					time.Sleep(s.late)
					_, _ = line.Write(s.frame)
				})
			}
		}
	})
	t.Cleanup(func() { line.Close(); wg.Wait() })
	return "rtu://" + line.Link() + "?baud=115200"
}

// own answers a read with registers that hold their addresses.
func own(unit byte, r *modbus.Request) []byte {
	values := make([]uint16, r.Count)
	for i := range values {
		values[i] = r.Addr + uint16(i)
	}
	return modbus.AppendRTU(nil, unit, modbus.AppendAnswer(nil, r, values))
}

// A device, a repeater or a second master may put a frame on a serial line that nobody
// asked for. It has all the marks of an answer, so it must be gone before the next request
// leaves: otherwise each answer is taken for that of the request after, for ever.
func TestStrayFrameIsNoAnswer(t *testing.T) {
	c := dial(t, modbus.Options{Timeout: 200 * time.Millisecond, Address: badLine(t, func(unit byte, r *modbus.Request) []sent {
		return []sent{{frame: own(unit, r)}, {frame: own(unit, r)}}
	})})
	for at := range uint16(50) {
		mustRead(t, c, 10*at, 2)
	}
}

// Whatever a line does to frames, a reading that is returned is the one that was asked for.
// Of an answer that comes late, this holds for as long again as an answer may take.
func TestBadLine(t *testing.T) {
	t.Parallel()
	const (
		timeout = 250 * time.Millisecond // more than the back-off, and the device is slow, so that
		slow    = 60 * time.Millisecond  // a late answer would come before that to the next request
	)
	rng := rand.New(rand.NewPCG(3, 5))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	faults := []func(unit byte, r *modbus.Request) []sent{
		func(byte, *modbus.Request) []sent { return nil },
		func(u byte, r *modbus.Request) []sent {
			return []sent{{own(u, r), timeout + time.Duration(150+rng.IntN(20))*time.Millisecond}}
		},
		func(u byte, r *modbus.Request) []sent { return []sent{{frame: own(u, r)}, {frame: own(u, r)}} },
		func(u byte, r *modbus.Request) []sent {
			b := own(u, r)
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			return []sent{{frame: b}}
		},
		func(u byte, r *modbus.Request) []sent { return []sent{{frame: own(u+1, r)}} },
		func(u byte, r *modbus.Request) []sent { // one of another size
			q := *r
			q.Count++
			return []sent{{frame: own(u, &q)}}
		},
		func(u byte, r *modbus.Request) []sent { // one of another function
			q := *r
			q.Function = modbus.ReadInput
			return []sent{{frame: own(u, &q)}}
		},
		func(u byte, r *modbus.Request) []sent { return []sent{{frame: own(u, r)[:3+rng.IntN(4)]}} },
		func(u byte, r *modbus.Request) []sent {
			return []sent{{frame: noise(1 + rng.IntN(20))}, {frame: own(u, r)}}
		},
		func(u byte, r *modbus.Request) []sent {
			return []sent{{frame: own(u, r)}, {frame: noise(1 + rng.IntN(300))}}
		},
	}
	asked := 0
	c := dial(t, modbus.Options{Timeout: timeout, Address: badLine(t, func(u byte, r *modbus.Request) []sent {
		if asked++; asked%3 == 0 {
			return faults[asked/3%len(faults)](u, r)
		}
		return []sent{{own(u, r), slow}}
	})})
	good, addresses := 0, rand.New(rand.NewPCG(7, 9))
	for until := time.Now().Add(20 * time.Second); good < 22; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d readings in 20 s", good)
		}
		at := uint16(addresses.UintN(60000))
		v, err := c.Read(t.Context(), modbus.Holding, at, 2)
		if err == nil && !slices.Equal(v, []uint16{at, at + 1}) {
			t.Fatalf("asked for %d, got the answer %v", at, v)
		}
		if err == nil {
			good++
		}
	}
}

// A refusal is an answer, whatever its code: the device is there and is asked again at once.
func TestExceptionOfAMaker(t *testing.T) {
	addr := toy(t, func(c net.Conn, tx uint16, unit byte, pdu []byte) {
		_, _ = c.Write(modbus.AppendTCP(nil, tx, unit, modbus.AppendException(nil, modbus.Function(pdu[0]), 0xC3)))
	})
	c := dial(t, modbus.Options{Address: addr})
	for range 2 {
		_, err := c.Read(t.Context(), modbus.Holding, 0, 1)
		if e, ok := errors.AsType[modbus.Exception](err); !ok || e != 0xC3 || errors.Is(err, device.ErrOffline) {
			t.Errorf("exception 195: %v", err)
		}
	}
}

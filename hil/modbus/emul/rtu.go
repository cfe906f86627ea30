package emul

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"go.bug.st/serial"

	"yunchu/hil/modbus"
	"yunchu/hil/pty"
)

// serialLine is a serial port or a pseudo-terminal.
type serialLine interface {
	io.WriteCloser
	// receive returns what has come; nothing when nothing comes for a while, or with 0,
	// waits until something does.
	receive(buf []byte, patience time.Duration) (int, error)
}

type realLine struct{ serial.Port }

func (l realLine) receive(buf []byte, patience time.Duration) (int, error) {
	if patience == 0 {
		patience = serial.NoTimeout
	}
	if err := l.SetReadTimeout(patience); err != nil {
		return 0, err
	}
	return l.Read(buf)
}

type pseudoLine struct{ *pty.Terminal }

func (l pseudoLine) receive(buf []byte, patience time.Duration) (int, error) {
	var until time.Time
	if patience > 0 {
		until = time.Now().Add(patience)
	}
	if err := l.SetReadDeadline(until); err != nil {
		return 0, err
	}
	n, err := l.Read(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, err
}

// framing is what a frame has beside its protocol data unit: address and check sum, in bytes.
const framing = 3

// serveLine answers on a serial line for all units that stand on it.
func (s *Server) serveLine(ctx context.Context) error {
	var late sync.WaitGroup // answers under way
	defer late.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out sync.Mutex
	send := func(frame []byte) {
		out.Lock()
		defer out.Unlock()
		if _, err := s.line.Write(frame); err != nil {
			s.log.Debug("answer not sent", "error", err)
		}
	}
	var in splitter
	buf := make([]byte, modbus.MaxRTU)
	for {
		patience := time.Duration(0)
		if in.waiting() {
			patience = modbus.Pause
		}
		n, err := s.line.receive(buf, patience)
		if err != nil {
			return err
		}
		unit, req, err := modbus.ParseRTU(in.feed(buf[:n]))
		if err != nil {
			continue // no answer to what is none of ours
		}
		if unit == 0 {
			s.broadcast(req)
			continue
		}
		t, ok := s.units[unit]
		if !ok {
			continue
		}
		w := t.wire()
		if w.Down || w.Paused {
			continue
		}
		answer := modbus.AppendRTU(nil, unit, t.answer(nil, req, &w))
		if w.Reset {
			answer = answer[:len(answer)/2]
		}
		if !wait(ctx, modbus.FrameTime(s.baud, len(req)+framing)+modbus.FrameTime(s.baud, len(answer))) {
			return nil
		}
		if w.Late > 0 {
			late.Go(func() {
				if wait(ctx, w.Late) {
					send(answer)
				}
			})
			continue
		}
		send(answer)
	}
}

// broadcast gives a write to every unit; nobody answers one.
func (s *Server) broadcast(pdu []byte) {
	r, err := modbus.ParseRequest(pdu)
	if err != nil || r.Reads() {
		return
	}
	for _, t := range s.units {
		if w := t.wire(); !w.Down && !w.Paused {
			t.answer(nil, pdu, &w)
		}
	}
}

// splitter finds frames in what comes over a serial line. A frame ends where its length
// says; one whose length is not known, or which is no frame, ends with silence.
type splitter struct {
	held  []byte
	blind bool // until silence
}

func (f *splitter) waiting() bool { return len(f.held) > 0 }

// feed takes what has come, nothing for silence, and returns a frame when it is complete.
// What comes behind a frame without silence between is dropped: a master waits for the
// answer.
func (f *splitter) feed(b []byte) []byte {
	if len(b) == 0 {
		frame := slices.Clone(f.held)
		f.held, f.blind = f.held[:0], false
		return frame
	}
	if f.held = append(f.held, b...); len(f.held) > modbus.MaxRTU {
		f.held, f.blind = f.held[:modbus.MaxRTU], true
	}
	if f.blind {
		return nil
	}
	size, err := modbus.RequestRTU(f.held)
	if err != nil {
		f.blind = true
		return nil
	}
	if size == 0 || len(f.held) < size {
		return nil
	}
	frame := slices.Clone(f.held[:size])
	if _, _, err := modbus.ParseRTU(frame); err != nil {
		f.blind = true
		return nil
	}
	f.held = f.held[:0]
	return frame
}

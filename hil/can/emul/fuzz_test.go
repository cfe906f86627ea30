package emul

import (
	"bytes"
	"testing"

	"yunchu/hil/can"
)

// FuzzAnswer sends an adapter whatever a client may, among others who listen: each line has
// one answer, and only frames of a client with an open channel at the bus's bit rate arrive,
// as they were sent.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"S6\rO\rt3518010203040506070\rC\r", "O\rT18FF50E5811\r", "S6\rO\rr3050\rT000004210\rV\rN\rF\r", "S9\rS\rO\rO\rS6\rC\rC\r", "\a\r\r\n", "t8000\rz\r",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		a, err := newAdapter(500000)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{out: make(chan []byte, linesLength)}
		other := &client{out: make(chan []byte, linesLength), open: true}
		a.conns = []*client{c, other}
		c.lines.Feed(stream, func(line []byte, _ byte) {
			open, deaf := c.open, c.deaf
			frame, parsed := can.ParseSLCAN(line)
			a.command(c, line)
			if len(c.out) != 1 {
				t.Fatalf("%q has %d answers", line, len(c.out))
			}
			answer := <-c.out
			if n := len(answer); n == 0 || n > 6 || bytes.ContainsAny(answer[:n-1], "\r\a") || answer[n-1] != '\r' && answer[n-1] != '\a' {
				t.Fatalf("%q is answered with %q", line, answer)
			}
			sent := parsed == nil && open
			if taken := !bytes.Equal(answer, no); parsed == nil && taken != open {
				t.Fatalf("%q with the channel open %t is answered with %q", line, open, answer)
			}
			if heard := sent && !deaf; (len(a.frames) == 1) != heard || (len(other.out) == 1) != heard {
				t.Fatalf("%q, open %t, deaf %t: %d frames, and %d lines at another client", line, open, deaf, len(a.frames), len(other.out))
			} else if heard {
				if got := <-a.frames; got != frame {
					t.Fatalf("%q arrives as %+v", line, got)
				}
				again := <-other.out
				if got, err := can.ParseSLCAN(bytes.TrimSuffix(again, []byte{'\r'})); err != nil || got != frame {
					t.Fatalf("%q is told as %q: %v", line, again, err)
				}
			}
			if parsed == nil && (c.open != open || c.deaf != deaf) {
				t.Fatalf("the frame %q changes the channel", line)
			}
		})
	})
}

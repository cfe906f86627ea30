package mqtt

import (
	"errors"
	"io"
	"net"
	"testing"

	"yunchu/platform/device"
)

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"eventId":"e","deviceId":"d","eventType":"door","severity":"warning","description":"open","timestamp":1}`))
	f.Add([]byte(`{"deviceId":"d","eventType":"x","severity":"?"}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := parseEvent("d", body)
		if err != nil {
			return
		}
		if e.Type == "" || len(e.Type) > maxWord || len(e.ID) > maxWord || len(e.Text) > maxText || e.Severity > device.Critical || e.At < 0 {
			t.Errorf("%q became %+v", body, e)
		}
		frame := device.Events{List: []device.Event{e}}
		if _, err := device.DecodeFrame(frame.AppendBinary(nil)); err != nil {
			t.Errorf("%q is no event for the log: %v", body, err)
		}
	})
}

func FuzzTopic(f *testing.F) {
	for _, s := range []string{"device/d/data", "device//data", "device/d/data/x", "device/+/data", "$SYS", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, what, ok := parseTopic(s)
		if ok && (topic(id, what) != s || !id.Valid()) {
			t.Errorf("%q is taken for %q of %q", s, what, id)
		}
	})
}

func FuzzFirstPacket(f *testing.F) {
	f.Add([]byte{0x10, 0x0c, 0, 4}, 2)
	f.Add([]byte{0x10, 0xff, 0xff, 0xff, 0x7f}, 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		// In whatever pieces it comes, the length is judged the same.
		whole, pieces := first(b, len(b)), first(b, cut)
		if whole != pieces {
			t.Errorf("% x: refused %v whole, %v in pieces of %d", b, whole, pieces, cut)
		}
	})
}

// first reports whether a first packet is refused that comes in pieces of n bytes.
func first(b []byte, n int) bool {
	c := &conn{Conn: &piecewise{b: b, n: max(n, 1)}}
	p := make([]byte, 64)
	for {
		_, err := c.Read(p)
		if err != nil {
			return errors.Is(err, errFirstPacket)
		}
	}
}

type piecewise struct {
	net.Conn
	b []byte
	n int
}

func (p *piecewise) Read(into []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(into, p.b[:min(p.n, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}

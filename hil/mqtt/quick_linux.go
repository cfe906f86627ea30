package mqtt

import (
	"net"
	"syscall"
)

// quick acknowledges what it has read at once. Brokers send small packets one by one, and
// wait with each until the one before is acknowledged (RFC 896) where they are not told
// otherwise: Mosquitto is not, and an answer is 40 ms late then (RFC 1122, 4.2.3.2).
type quick struct {
	net.Conn
	raw syscall.RawConn
}

func newQuick(c net.Conn) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	return &quick{c, raw}
}

// Read implements net.Conn. The system forgets the option, which tcp(7) says.
func (q *quick) Read(b []byte) (int, error) {
	n, err := q.Conn.Read(b)
	if err == nil {
		_ = q.raw.Control(func(fd uintptr) { // without it is slower, and right
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		})
	}
	return n, err
}

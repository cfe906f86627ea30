package can

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"go.einride.tech/can/pkg/socketcan"
)

// defaultBaud is the speed of the serial port to an adapter. Those on USB do not care.
const defaultBaud = 115200

// address is where a bus is reached.
type address struct {
	scheme string
	host   string // host:port, or the kernel's interface
	path   string // of a serial port, or the server's bus
	baud   int
}

// parseAddress reads one of the forms that the package lists.
func parseAddress(text string) (address, error) {
	u, err := url.Parse(text)
	if err != nil {
		return address{}, fmt.Errorf("address %q: want a form like slcan:///dev/ttyACM0", text)
	}
	a := address{scheme: u.Scheme, host: u.Host, baud: defaultBaud}
	if b := u.Query().Get("baud"); b != "" {
		if a.baud, err = strconv.Atoi(b); err != nil || a.baud <= 0 {
			return address{}, fmt.Errorf("address %q: %q is no baud rate", text, b)
		}
	}
	switch u.Scheme {
	case "slcan":
		if u.Port() != "" {
			return a, nil
		}
		a.host, a.path = "", u.Host+u.Path
		if a.path == "" || a.path == "/" {
			return address{}, fmt.Errorf("address %q: want a serial port, as in slcan:///dev/ttyACM0, or host:port", text)
		}
	case "socketcand":
		a.path = strings.Trim(u.Path, "/")
		if u.Port() == "" || a.path == "" || strings.ContainsAny(a.path, " <>") {
			return address{}, fmt.Errorf("address %q: want host, port and bus, as in socketcand://host:29536/can0", text)
		}
	case "socketcan":
		if u.Host == "" {
			return address{}, fmt.Errorf("address %q: want an interface, as in socketcan://can0", text)
		}
	default:
		return address{}, fmt.Errorf("address %q: want slcan://, socketcand:// or socketcan://", text)
	}
	return a, nil
}

// Dial opens the bus at an address, at bitRate where the adapter is told one: those of
// socketcand and of the kernel have theirs already.
func Dial(ctx context.Context, addr string, bitRate int) (Bus, error) {
	a, err := parseAddress(addr)
	if err != nil {
		return nil, err
	}
	return a.dial(ctx, bitRate)
}

func (a *address) dial(ctx context.Context, bitRate int) (Bus, error) {
	switch {
	case a.scheme == "socketcan":
		conn, err := socketcan.DialContext(ctx, "can", a.host, socketcan.WithReceiveErrorFrames())
		if err != nil {
			return nil, err
		}
		return NewSocketCAN(conn), nil
	case a.host == "":
		port, err := openSerial(a.path, a.baud)
		if err != nil {
			return nil, err
		}
		return NewSLCAN(ctx, port, bitRate)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", a.host)
	if err != nil {
		return nil, err
	}
	if a.scheme == "socketcand" {
		return NewSocketcand(ctx, conn, a.path)
	}
	return NewSLCAN(ctx, conn, bitRate)
}

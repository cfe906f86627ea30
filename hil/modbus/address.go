package modbus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"

	lib "github.com/simonvetter/modbus"
)

// target is where a unit is reached.
type target struct {
	host   string // host:port; empty on a serial line
	secure bool   // TLS
	cert   *tls.Certificate
	roots  *x509.CertPool

	device string // path of the serial line
	baud   uint
	data   uint
	parity uint // of the library
	stop   uint
}

// Serial lines are 8N1 at 9600 bit/s unless the address says otherwise, as most devices
// are delivered; the standard asks for even parity at 19200.
const (
	defaultBaud = 9600
	defaultData = 8
	defaultStop = 1
)

// parseAddress reads tcp://host:port, tls://host:port and
// rtu:///dev/tty?baud=115200&parity=none|even|odd&stop=1|2&data=7|8.
func parseAddress(address string) (target, error) {
	u, err := url.Parse(address)
	if err != nil {
		return target{}, fmt.Errorf("address %q: %w", address, err)
	}
	wrong := func(format string, args ...any) (target, error) {
		return target{}, fmt.Errorf("address %q: %s", address, fmt.Sprintf(format, args...))
	}
	switch u.Scheme {
	case "tcp", "tls":
		if _, port, err := net.SplitHostPort(u.Host); err != nil || port == "" || u.Hostname() == "" {
			return wrong("want %s://host:port", u.Scheme)
		}
		if u.Path != "" || u.RawQuery != "" {
			return wrong("nothing may follow the port")
		}
		return target{host: u.Host, secure: u.Scheme == "tls"}, nil
	case "rtu":
		t := target{device: u.Host + u.Path, baud: defaultBaud, data: defaultData, stop: defaultStop}
		if t.device == "" {
			return wrong("want rtu:///dev/ttyUSB0?baud=9600")
		}
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			return wrong("%v", err)
		}
		for key, values := range query {
			if err := t.set(key, values[len(values)-1]); err != nil {
				return wrong("%v", err)
			}
		}
		return t, nil
	}
	return wrong("want tcp://host:port, tls://host:port or rtu:///dev/ttyUSB0?baud=9600")
}

// set takes one parameter of a serial line.
func (t *target) set(key, value string) error {
	number := func(to *uint, least, most uint64) error {
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%s=%s: want %d to %d", key, value, least, most)
		}
		*to = uint(n)
		return nil
	}
	switch key {
	case "baud":
		return number(&t.baud, 300, 4_000_000)
	case "data":
		return number(&t.data, 7, 8)
	case "stop":
		return number(&t.stop, 1, 2)
	case "parity":
		p, ok := map[string]uint{"none": lib.PARITY_NONE, "even": lib.PARITY_EVEN, "odd": lib.PARITY_ODD}[value]
		if !ok {
			return fmt.Errorf("parity=%s: want none, even or odd", value)
		}
		t.parity = p
		return nil
	}
	return fmt.Errorf("unknown parameter %s: want baud, parity, stop or data", key)
}

// secrets reads the keys that a TLS link needs: its side is proved to the other by cert
// and key, and the other's to it by ca.
func (t *target) secrets(cert, key, ca string) error {
	if !t.secure {
		if cert+key+ca != "" { // whoever names them does not want to speak in the clear
			return errors.New("it is not encrypted, but certificates are given: write tls://")
		}
		return nil
	}
	if cert == "" || key == "" || ca == "" {
		return errors.New("Modbus over TLS needs a certificate, its key and the authority's certificate (cert, key, ca)") //nolint:staticcheck // the protocol's name
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	t.cert, t.roots = &pair, x509.NewCertPool()
	if !t.roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("authority: %s holds no certificate", ca)
	}
	return nil
}

// url is the target in the library's words.
func (t *target) url() string {
	switch {
	case t.device != "":
		return "rtu://" + t.device
	case t.secure:
		return "tcp+tls://" + t.host
	}
	return "tcp://" + t.host
}

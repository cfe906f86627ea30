package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// Access is how a broker is reached, and as whom. Devices with the same access share a
// connection.
type Access struct {
	Address        string // mqtt://host:port or mqtts://host:port; the port may be left out
	User, Password string // of a device: its id and its token
	Cert, Key, CA  string // paths, PEM; for mqtts. CA is who must have signed the broker's
}

// The ports that IANA has registered.
const (
	plainPort  = "1883"
	securePort = "8883"
)

// dialer makes connections to the broker of an access.
type dialer struct {
	address string
	secure  *tls.Config // nil: in the clear
}

// dialer checks an access and loads its certificates.
func (a Access) dialer() (*dialer, error) {
	u, err := url.Parse(a.Address)
	if err != nil || u.Hostname() == "" || u.Scheme != "mqtt" && u.Scheme != "mqtts" || strings.Trim(u.Path, "/")+u.RawQuery+u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the address of a broker: write mqtt://host:port or mqtts://host:port", a.Address)
	}
	switch {
	case u.User != nil: // addresses are logged and reported
		return nil, fmt.Errorf("the address of the broker at %s holds a user: user and password have options of their own", u.Host)
	case (a.Cert == "") != (a.Key == ""):
		return nil, fmt.Errorf("certificate for %s: cert and key belong together", a.Address)
	case u.Scheme == "mqtt" && a.Cert+a.CA != "": // whoever names them does not want to speak in the clear
		return nil, fmt.Errorf("%s is not encrypted, but certificates are given: write mqtts://", a.Address)
	case u.Scheme == "mqtt":
		return &dialer{address: withPort(u, plainPort)}, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	if a.CA != "" {
		pem, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, fmt.Errorf("authority of %s: %w", a.Address, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority of %s: %s holds no certificate", a.Address, a.CA)
		}
	}
	if a.Cert != "" {
		pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate for %s: %w", a.Address, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return &dialer{address: withPort(u, securePort), secure: c}, nil
}

func withPort(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	plain, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.address)
	if err != nil {
		return nil, err
	}
	conn := newQuick(plain)
	if d.secure == nil {
		return conn, nil
	}
	encrypted := tls.Client(conn, d.secure)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return encrypted, nil
}

// Check says what is wrong with an access, before anything is connected.
func (a Access) Check() error {
	_, err := a.dialer()
	return err
}

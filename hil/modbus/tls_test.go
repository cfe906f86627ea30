package modbus_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/platform/device"
)

// authority issues certificates for tests.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes a certificate and its key to files named after it.
func (a *authority) issue(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(a.path(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out, key
}

func (a *authority) path(file string) string { return filepath.Join(a.dir, file) }

func (a *authority) leaf(name string) {
	a.issue(name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

// Each side proves itself to the other: a client that nobody vouches for is not served,
// and to a server that nobody vouches for nothing is said.
func TestTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	a.leaf("device")
	a.leaf("plant")
	stranger.leaf("plant")
	addr := serve(t, emul.Options{
		Address: "tls://127.0.0.1:0", Units: map[byte]emul.Served{1: {Bank: memory()}},
		Cert: a.path("device.pem"), Key: a.path("device.key"), CA: a.path("ca.pem"),
	})
	open := func(cert *authority, ca *authority) modbus.Conn {
		return dial(t, modbus.Options{
			Address: addr, Timeout: 2 * time.Second, Cert: cert.path("plant.pem"), Key: cert.path("plant.key"), CA: ca.path("ca.pem"),
		})
	}
	c := open(a, a)
	mustRead(t, c, 40, 60)
	if pdu, err := c.(modbus.Raw).Raw(t.Context(), 1, []byte{3, 0, 0, 0, 0}); err != nil || hex.EncodeToString(pdu) != "8303" {
		t.Errorf("raw: % x, %v", pdu, err)
	}
	mustRead(t, c, 40, 60)
	if _, err := open(stranger, a).Read(t.Context(), modbus.Holding, 0, 1); !errors.Is(err, device.ErrOffline) {
		t.Errorf("a client that nobody vouches for: %v", err)
	}
	if _, err := open(a, stranger).Read(t.Context(), modbus.Holding, 0, 1); !errors.Is(err, device.ErrOffline) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
	raw, err := tls.Dial("tcp", strings.TrimPrefix(addr, "tls://"), &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		_, err = raw.Read(make([]byte, 1))
		raw.Close()
	}
	if err == nil {
		t.Error("a client without a certificate is served")
	}
	for name, o := range map[string]modbus.Options{
		"no key":       {Cert: a.path("plant.pem"), Key: a.path("none.key"), CA: a.path("ca.pem")},
		"no authority": {Cert: a.path("plant.pem"), Key: a.path("plant.key"), CA: a.path("none.pem")},
		"empty":        {Cert: a.path("plant.pem"), Key: a.path("plant.key"), CA: a.path("plant.key")},
	} {
		o.Address = addr
		if _, err := modbus.Dial(o); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

// Nothing is written through a link of which one end does without TLS.
func TestTLSHasTwoEnds(t *testing.T) {
	a, m := newAuthority(t), memory()
	a.leaf("device")
	units := map[byte]emul.Served{1: {Bank: m}}
	secure := serve(t, emul.Options{
		Address: "tls://127.0.0.1:0", Units: units, Cert: a.path("device.pem"), Key: a.path("device.key"), CA: a.path("ca.pem"),
	})
	open := serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Units: units})
	for _, o := range []modbus.Options{
		{Address: "tcp" + strings.TrimPrefix(secure, "tls")},
		{Address: "tls" + strings.TrimPrefix(open, "tcp"), Cert: a.path("device.pem"), Key: a.path("device.key"), CA: a.path("ca.pem")},
	} {
		o.Timeout = 200 * time.Millisecond
		if err := dial(t, o).Write(t.Context(), 9, []uint16{1}); !errors.Is(err, device.ErrOffline) {
			t.Errorf("%s: %v, want it offline", o.Address, err)
		}
	}
	// Who names certificates does not want to speak in the clear.
	for _, o := range []modbus.Options{{Cert: a.path("device.pem")}, {Key: a.path("device.key")}, {CA: a.path("ca.pem")}} {
		o.Address = open
		if c, err := modbus.Dial(o); err == nil {
			t.Errorf("%+v opens %s", o, c)
		}
	}
	m.Do(func(m *emul.Memory) {
		if m.Writes != 0 {
			t.Errorf("%d writes", m.Writes)
		}
	})
}

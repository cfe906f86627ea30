package modbus_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/platform/device"
)

// authority signs certificates of both sides.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key, a.path, _ = a.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// make signs a certificate and writes it and its key.
func (a *authority) make(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil { // the authority itself
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	name := filepath.Join(a.dir, c.SerialNumber.String())
	for suffix, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name+suffix, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key, name + ".crt", name + ".key"
}

// issue makes the certificate of one side at 127.0.0.1.
func (a *authority) issue(name string, usage x509.ExtKeyUsage, until time.Time) (cert, key string) {
	a.t.Helper()
	_, _, cert, key = a.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	return cert, key
}

// Both sides prove who they are: whoever cannot is neither read nor written to.
func TestTLS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	var never time.Time // the usual hour
	m := memory()
	served := emul.Options{Address: "tls://127.0.0.1:0", CA: ours.path, Units: map[byte]emul.Served{1: {Bank: m}}}
	served.Cert, served.Key = ours.issue("device", x509.ExtKeyUsageServerAuth, never)
	addr := serve(t, served)
	stranger := emul.Options{Address: "tls://127.0.0.1:0", CA: ours.path, Units: served.Units}
	stranger.Cert, stranger.Key = others.issue("device", x509.ExtKeyUsageServerAuth, never)
	strange := serve(t, stranger)

	dialWith := func(addr string, a *authority, until time.Time) modbus.Conn {
		cert, key := a.issue("client", x509.ExtKeyUsageClientAuth, until)
		return dial(t, modbus.Options{Address: addr, Timeout: 2 * time.Second, Cert: cert, Key: key, CA: ours.path})
	}
	c := dialWith(addr, ours, never)
	mustRead(t, c, 40, 60)
	if err := c.Write(t.Context(), 5, []uint16{7, 8}); err != nil {
		t.Error(err)
	}
	if pdu, err := c.(modbus.Raw).Raw(t.Context(), 1, []byte{3, 0, 0, 0, 126}); err != nil || !slices.Equal(pdu, []byte{0x83, 3}) {
		t.Errorf("126 registers, asked nevertheless: % x, %v", pdu, err)
	}
	mustRead(t, c, 40, 60)
	for name, c := range map[string]modbus.Conn{
		"a client of another authority": dialWith(addr, others, never),
		"a client whose time is over":   dialWith(addr, ours, time.Now().Add(-time.Minute)),
		"a device of another authority": dialWith(strange, ours, never),
		"TLS with a plain device":       dialWith("tls://"+plain(t), ours, never),
	} {
		if err := c.Write(t.Context(), 9, []uint16{1}); !errors.Is(err, device.ErrOffline) {
			t.Errorf("%s: %v, want it offline", name, err)
		}
	}
	open := dial(t, modbus.Options{Address: "tcp://" + addr[len("tls://"):], Timeout: 200 * time.Millisecond})
	if err := open.Write(t.Context(), 9, []uint16{1}); !errors.Is(err, device.ErrOffline) {
		t.Errorf("a client without TLS: %v, want it offline", err)
	}
	m.Do(func(m *emul.Memory) {
		if m.Writes != 1 || m.Holding[9] != 9 {
			t.Errorf("%d writes reached the registers, want 1", m.Writes)
		}
	})
}

// plain is a server without TLS.
func plain(t *testing.T) string {
	t.Helper()
	return serve(t, emul.Options{Address: "tcp://127.0.0.1:0", Idle: time.Second, Units: map[byte]emul.Served{1: {Bank: memory()}}})[len("tcp://"):]
}

//go:build !nosim && unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// certificates writes NAME.pem and NAME.key, signed by the authority ca.pem.
func certificates(t *testing.T, p program, ca string, names ...string) {
	t.Helper()
	var parent *x509.Certificate
	var by *ecdsa.PrivateKey
	for i, name := range append([]string{ca}, names...) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: i == 0, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		if i == 0 {
			c.KeyUsage, parent, by = x509.KeyUsageCertSign, c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if parent, err = x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			}
		}
		secret, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		p.write(t, name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		p.write(t, name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})))
	}
}

// TestRigOverTLS: a rig file serves registers and SunSpec over TLS, the same file reaches
// them, and nobody else does.
func TestRigOverTLS(t *testing.T) {
	t.Parallel()
	p, at := fresh(t), ports(t, 2)
	certificates(t, p, "ca", "unit", "plant")
	certificates(t, p, "stranger", "nobody")
	const pems = "cert: unit.pem, key: unit.key, ca: ca.pem"
	p.write(t, "rig.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Rig
devices:
  - {id: reg, serve: {modbus: {address: "tls://127.0.0.1:%d", %s}}}
  - {id: too, serve: {modbus: {address: "tls://127.0.0.1:%d", unit: 2, %s}}}
  - {id: sun, serve: {sunspec: {address: "tls://127.0.0.1:%d", %s}}}
`, at[0], pems, at[0], pems, at[1], pems))
	reach := func(cert, ca string) string {
		name := cert + "-" + ca + ".yaml"
		p.write(t, name, fmt.Sprintf(`apiVersion: yunchu/v1
kind: Rig
devices:
  - {id: reg, device: modbus, profile: pcs-generic, address: "tls://127.0.0.1:%d", cert: %s.pem, key: %s.key, ca: %s.pem, rated_kw: 100, rated_kwh: 215}
`, at[0], cert, cert, ca))
		return name
	}
	unit := p.start(t, "rig", "rig.yaml")
	eventually(t, "the rig is ready", func() bool { return strings.Contains(unit.stdout.String(), "ready") })

	for _, x := range [][2]string{{"rig.yaml", "too"}, {"rig.yaml", "sun"}, {reach("plant", "ca"), "reg"}} {
		// How fast a busy machine answers is another test's.
		r := p.run(t, "accept", "--rig", x[0], "--device", x[1], "--test", "T04", "--short", "--set", "T04.hold_s=1", "--set", "T04.limits.silence_s=<= 20",
			"--set", "T04.limits.gaps=>= 0", "--set", "T04.limits.error_percent=<= 100", "--set", "T04.limits.exchange_ms=< 5000")
		if r.code != exitPassed {
			t.Errorf("%s of %s: exit %d\n%s%s", x[1], x[0], r.code, r.stdout, r.stderr)
		}
	}
	for file, says := range map[string]string{
		reach("plant", "stranger"): "certificate signed by unknown authority",
		reach("nobody", "ca"):      "certificate required", // it shows none that the unit would not believe
	} {
		if r := p.run(t, "accept", "--rig", file, "--test", "T04", "--short"); r.code != exitEnvironment || !strings.Contains(r.stderr, says) {
			t.Errorf("%s: exit %d, want %d with %q\n%s%s", file, r.code, exitEnvironment, says, r.stdout, r.stderr)
		}
	}
	raw, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", at[1]), &tls.Config{InsecureSkipVerify: true})
	if err == nil { // in TLS 1.3 the refusal comes with the first answer
		_, err = raw.Read(make([]byte, 1))
		_ = raw.Close()
	}
	if err == nil {
		t.Error("a client without a certificate is served")
	}
}

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/harness/scenario"
)

// TestListenerSpeaksTLS13: nothing older is spoken.
func TestListenerSpeaksTLS13(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := scenario.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.TLS.Cert, cfg.TLS.Key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{
		cfg.TLS.Cert: {Type: "CERTIFICATE", Bytes: der}, cfg.TLS.Key: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := listenOn(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake() // the client says how it went
			_ = conn.Close()
		}
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	for _, tt := range []struct {
		most uint16
		ok   bool
	}{{tls.VersionTLS12, false}, {tls.VersionTLS13, true}} {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, MaxVersion: tt.most})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tls.VersionName(tt.most), err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

// TestOwnCertificate: it is made once, fits where it says, and a changed file is served
// without a restart; one that does not fit is not.
func TestOwnCertificate(t *testing.T) {
	cfg := scenario.DefaultConfig()
	cfg.Listen, cfg.Data, cfg.TLS.Own = "127.0.0.1:0", t.TempDir(), true
	var first, second strings.Builder
	for _, out := range []*strings.Builder{&first, &second} {
		if err := ownCertificate(cfg, time.Now(), out); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() || !strings.Contains(first.String(), "SHA-256") {
		t.Errorf("fingerprints %q and %q", first.String(), second.String())
	}
	if info, err := os.Stat(cfg.TLS.Key); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the key: %v, %v", info.Mode(), err)
	}
	l, err := listenOn(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	served := func(name string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(cfg.Data, "keys", "trusted"))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(text)
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS13})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Raw
	}
	trust := func() {
		t.Helper()
		text, err := os.ReadFile(cfg.TLS.Cert)
		if err == nil {
			err = os.WriteFile(filepath.Join(cfg.Data, "keys", "trusted"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// later moves the files ahead of the clock's grain, and lets the time of a look pass.
	later := func(d time.Duration) {
		t.Helper()
		for _, path := range []string{cfg.TLS.Cert, cfg.TLS.Key} {
			if err := os.Chtimes(path, time.Time{}, time.Now().Add(d)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(lookEvery)
	}
	trust()
	old := served("localhost")
	for _, name := range []string{"127.0.0.1", "::1"} {
		served(name)
	}
	if err := makeCertificate(cfg, time.Now()); err != nil {
		t.Fatal(err)
	}
	trust()
	later(time.Minute)
	renewed := served("localhost")
	if bytes.Equal(renewed, old) {
		t.Error("the old certificate is served")
	}
	if err := os.WriteFile(cfg.TLS.Cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	later(time.Hour)
	if !bytes.Equal(served("localhost"), renewed) {
		t.Error("a file that holds no certificate took the place of one that does")
	}
}

// TestListenerAsConfigured: TLS 1.2 where min says so, and nobody without a certificate
// where one is required.
func TestListenerAsConfigured(t *testing.T) {
	for _, tt := range []struct {
		min      string
		required bool
		most     uint16
		ok       bool
	}{{"1.2", false, tls.VersionTLS12, true}, {"1.3", false, tls.VersionTLS12, false}, {"1.3", false, tls.VersionTLS13, true}, {"1.3", true, tls.VersionTLS13, false}} {
		cfg := scenario.DefaultConfig()
		cfg.Listen, cfg.Data, cfg.TLS.Own = "127.0.0.1:0", t.TempDir(), true
		if err := ownCertificate(cfg, time.Now(), io.Discard); err != nil {
			t.Fatal(err)
		}
		cfg.TLS.ClientCA, cfg.TLS.Require, cfg.TLS.Min = cfg.TLS.Cert, tt.required, tt.min
		l, err := listenOn(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				err = conn.(*tls.Conn).Handshake()
				_ = conn.Close()
			}
			served <- err
		}()
		roots := x509.NewCertPool()
		text, err := os.ReadFile(cfg.TLS.Cert)
		if err != nil {
			t.Fatal(err)
		}
		roots.AppendCertsFromPEM(text)
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, MaxVersion: tt.most})
		if got := <-served; (got == nil) != tt.ok {
			t.Errorf("%+v: the server says %v, the client %v", tt, got, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
		_ = l.Close()
	}
}

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"yunchu/harness/scenario"
)

func scheme(cfg *scenario.Config) string {
	if cfg.TLS.Cert != "" {
		return "https"
	}
	return "http"
}

func listenOn(cfg *scenario.Config, log *slog.Logger) (net.Listener, error) {
	return listenAt(cfg.Listen, cfg.TLS, cfg.TLS.Cert != "", log)
}

func listenAt(address string, use scenario.TLS, secure bool, log *slog.Logger) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if !secure {
		return l, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS13}
	if use.Min == "1.2" {
		c.MinVersion = tls.VersionTLS12
	}
	pair := &certificate{cert: use.Cert, key: use.Key, log: log}
	if err := pair.load(time.Now()); err != nil {
		return nil, errors.Join(fmt.Errorf("load the certificate: %w", err), l.Close())
	}
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.current(time.Now()), nil }
	if use.ClientCA != "" {
		authorities, err := os.ReadFile(use.ClientCA)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("load the clients' authority: %w", err), l.Close())
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if use.Require {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
		if !c.ClientCAs.AppendCertsFromPEM(authorities) {
			return nil, errors.Join(fmt.Errorf("%s holds no certificate", use.ClientCA), l.Close())
		}
	}
	return tls.NewListener(l, c), nil
}

// lookEvery is how often the files of a certificate are looked at, at most.
const lookEvery = time.Second

// certificate is a pair of files, read again when they change.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamp  [2]time.Time // of the files when they were read
	pair   *tls.Certificate
}

func (c *certificate) stamps() (s [2]time.Time) {
	for i, path := range []string{c.cert, c.key} {
		if info, err := os.Stat(path); err == nil {
			s[i] = info.ModTime()
		}
	}
	return s
}

func (c *certificate) load(now time.Time) error {
	c.looked, c.stamp = now, c.stamps() // before the files: a change in between is seen next time
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.pair = &pair
	return nil
}

// current is the newest pair that fits.
func (c *certificate) current(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) < lookEvery {
		return c.pair
	}
	c.looked = now
	if c.stamps() == c.stamp {
		return c.pair
	}
	if err := c.load(now); err != nil {
		c.log.Error("the new certificate cannot be used, the old one stays", "file", c.cert, "error", err)
	} else {
		c.log.Info("certificate read again", "file", c.cert)
	}
	return c.pair
}

// ownLife is how long a certificate that serve makes is good.
const ownLife = 10 * 365 * 24 * time.Hour

// ownCertificate makes the certificate of `serve --tls` in the data folder, unless it is
// there, and prints its fingerprint.
func ownCertificate(cfg *scenario.Config, now time.Time, stderr io.Writer) error {
	if !cfg.TLS.Own {
		return nil
	}
	dir := filepath.Join(cfg.Data, "keys")
	cfg.TLS.Cert, cfg.TLS.Key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if _, err := os.Stat(cfg.TLS.Cert); errors.Is(err, fs.ErrNotExist) {
		if err := makeCertificate(cfg, now); err != nil {
			return fmt.Errorf("make a certificate: %w", err)
		}
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		return fmt.Errorf("load the certificate: %w", err)
	}
	fmt.Fprintf(stderr, "certificate %s, SHA-256 fingerprint %X\n", cfg.TLS.Cert, sha256.Sum256(pair.Certificate[0]))
	return nil
}

func makeCertificate(cfg *scenario.Config, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "yunchu"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(ownLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return err
	}
	machine, _ := os.Hostname() // without one there is one name less
	for _, name := range []string{machine, host} {
		if ip := net.ParseIP(name); ip != nil {
			if !ip.IsUnspecified() && !ip.IsLoopback() {
				c.IPAddresses = append(c.IPAddresses, ip)
			}
		} else if name != "" && !slices.Contains(c.DNSNames, name) {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(cfg.TLS.Key), 0o700); err != nil {
		return err
	}
	// The key first: the certificate says that both are there.
	if err := os.WriteFile(cfg.TLS.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(cfg.TLS.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

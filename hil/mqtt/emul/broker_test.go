package emul_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"yunchu/hil/mqtt"
)

// peer finds a program that others wrote. Without it the test skips, unless the
// machine must have it.
func peer(t testing.TB, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed (Debian: mosquitto, mosquitto-clients)", name)
	return ""
}

// embedded is a broker within this program.
func embedded(t *testing.T) mqtt.Access {
	t.Helper()
	b := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := b.AddHook(&auth.AllowHook{}, nil); err != nil {
		t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "test", Address: "127.0.0.1:0"})
	if err := b.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return mqtt.Access{Address: "mqtt://" + l.Address()}
}

// mosquitto is a broker of a test.
type mosquitto struct {
	t    testing.TB
	port int
	conf string
	cmd  *exec.Cmd
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// newBroker starts a broker with lines of configuration of its own.
func newBroker(t testing.TB, lines ...string) *mosquitto {
	t.Helper()
	program := peer(t, "mosquitto")
	m := &mosquitto{t: t, port: freePort(t), conf: filepath.Join(t.TempDir(), "mosquitto.conf")}
	if len(lines) == 0 {
		lines = []string{"allow_anonymous true"}
	}
	text := fmt.Sprintf("listener %d 127.0.0.1\npersistence false\n%s\n", m.port, strings.Join(lines, "\n"))
	if err := os.WriteFile(m.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start(program)
	t.Cleanup(m.stop)
	return m
}

func (m *mosquitto) start(program string) {
	m.t.Helper()
	m.cmd = exec.Command(program, "-c", m.conf)
	if os.Getuid() == 0 {
		// It gives up root's rights and must still read its files.
		m.cmd = exec.Command(program, "-c", m.conf)
		text, err := os.ReadFile(m.conf)
		if err != nil {
			m.t.Fatal(err)
		}
		if !strings.Contains(string(text), "user root") {
			if err := os.WriteFile(m.conf, append([]byte("user root\n"), text...), 0o600); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	await(m.t, "the broker listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", m.port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (m *mosquitto) stop() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

func (m *mosquitto) access() mqtt.Access {
	return mqtt.Access{Address: fmt.Sprintf("mqtt://127.0.0.1:%d", m.port)}
}

// pub publishes with the broker's own client.
func (m *mosquitto) pub(topic, body string, flags ...string) {
	m.t.Helper()
	args := append([]string{"-h", "127.0.0.1", "-p", fmt.Sprint(m.port), "-q", "1", "-t", topic, "-m", body}, flags...)
	if out, err := exec.Command(peer(m.t, "mosquitto_pub"), args...).CombinedOutput(); err != nil {
		m.t.Fatalf("mosquitto_pub: %v: %s", err, out)
	}
}

// sub collects what the broker's own client receives on a topic.
func (m *mosquitto) sub(topic string) (lines func() []string) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var out safe
	c := exec.CommandContext(ctx, peer(m.t, "mosquitto_sub"), "-h", "127.0.0.1", "-p", fmt.Sprint(m.port), "-q", "1", "-t", topic, "-v")
	c.Stdout = &out
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { cancel(); _ = c.Wait() })
	time.Sleep(100 * time.Millisecond) // it does not say when it listens
	return func() []string { return strings.Split(strings.TrimSpace(out.String()), "\n") }
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in 10 s not: %s", what)
		}
	}
}

// certificates writes an authority, and a certificate of it for the names given.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	make := func(name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: parent == nil,
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		if parent == nil {
			parent, by = c, k
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &k.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: raw}} {
			if err := os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return c, k
	}
	authority, by := make("ca", nil, nil)
	make("server", authority, by)
	return filepath.Join(dir, "ca.pem"), filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
}

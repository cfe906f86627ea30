//go:build linux && !nosim

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is a network of its own, joined to this one by a cable that can be cut.
type namespace struct {
	name         string
	outer, inner string // the ends of the cable
	plant        string // address of the outer one
}

// namespaces counts those of this process.
var namespaces atomic.Int32

// newNamespace makes one. It skips where nobody may.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may make a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip command here: install iproute2")
	}
	id := (os.Getpid() + 7919*int(namespaces.Add(1))) % 60000 // the cable of an earlier one may not be gone yet
	n := &namespace{name: fmt.Sprintf("yunchu%d", id), outer: fmt.Sprintf("yo%d", id), inner: fmt.Sprintf("yi%d", id)}
	subnet := fmt.Sprintf("10.%d.%d", 100+id/250%100, id%250)
	n.plant = subnet + ".1"
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %s", out)
	}
	t.Cleanup(func() { shell(t, "ip", "netns", "del", n.name) }) // the cable goes with it
	shell(t, "ip", "link", "add", n.outer, "type", "veth", "peer", "name", n.inner, "netns", n.name)
	shell(t, "ip", "addr", "add", n.plant+"/30", "dev", n.outer)
	shell(t, "ip", "link", "set", n.outer, "up")
	for _, line := range []string{
		"ip addr add " + subnet + ".2/30 dev " + n.inner, "ip link set " + n.inner + " up", "ip link set lo up",
	} {
		shell(t, "ip", append([]string{"netns", "exec", n.name}, strings.Fields(line)...)...)
	}
	return n
}

// cut takes the cable away, or puts it back.
func (n *namespace) cut(t *testing.T, away bool) {
	t.Helper()
	shell(t, "ip", "link", "set", n.outer, map[bool]string{true: "down", false: "up"}[away])
}

// inside is a client that calls from the namespace.
func (n *namespace) inside() *http.Client {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		type answer struct {
			c   net.Conn
			err error
		}
		got := make(chan answer, 1)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, and its namespace
			f, err := os.Open("/var/run/netns/" + n.name)
			if err == nil {
				err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
				f.Close()
			}
			var c net.Conn
			if err == nil {
				c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
			}
			got <- answer{c, err}
		}()
		a := <-got
		return a.c, a.err
	}
	return &http.Client{Timeout: hung, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// certificateFor writes a certificate for an address, and its key.
func certificateFor(t *testing.T, dir, address string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// outage is how long the link to a site is cut; an hour in the long tests.
func outage() time.Duration {
	if long {
		return time.Hour
	}
	return 12 * time.Second
}

// TestSiteBehindACutLink: a site in a network of its own goes on while its link is cut and
// both ends are killed, and afterwards the plant has every reading of it, once, in order, as
// the site has it.
func TestSiteBehindACutLink(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	plant, site := fresh(t, "YUNCHU_TOKEN="+rigToken), fresh(t, "YUNCHU_TOKEN="+rigToken)
	site.by = []string{"ip", "netns", "exec", n.name}
	certificateFor(t, plant.dir, n.plant)
	port := ports(t, 1)[0]
	write := func(p program, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pem, err := os.ReadFile(filepath.Join(plant.dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	write(site, "plant.pem", string(pem))
	write(plant, "north.secret", "a secret of the north\n")
	write(site, "north.secret", "a secret of the north\n")
	write(plant, "plant.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Config
tls: {cert: cert.pem, key: key.pem}
sites:
  listen: "%s:%d"
  list:
    - {name: north, secret_file: north.secret}
`, n.plant, port))
	write(site, "site.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Config
simulation: true
devices:
  - {id: north-1, device: sim}
  - {id: north-2, device: sim}
edge: {name: north, plant: "tls://%s:%d", secret_file: north.secret, ca: plant.pem}
`, n.plant, port))
	insecure := &http.Client{Timeout: hung, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // of this test's own making
	startPlant := func() (*process, client) {
		x, c := serving(t, plant, "-c", "plant.yaml")
		c.token, c.by = rigToken, insecure
		return x, c
	}
	startSite := func() (*process, client) {
		x, c := serving(t, site, "--role", "edge", "-c", "site.yaml")
		c.token, c.by = rigToken, n.inside()
		return x, c
	}
	// newest is the time of the plant's newest reading, 0 for none.
	newest := func(c client, id string) int64 {
		status, body, err := c.try(http.MethodGet, "/api/v1/devices/"+id+"/latest", nil)
		if err != nil || status != http.StatusOK {
			return 0
		}
		var r reading
		decode(t, body, &r)
		return r.Timestamp
	}

	atPlant, pc := startPlant()
	atSite, _ := startSite()
	eventually(t, "readings arrive at the plant", func() bool { return newest(pc, "north-1") > 0 && newest(pc, "north-2") > 0 })
	n.cut(t, true)
	cut := newest(pc, "north-1")
	third := outage() / 3
	time.Sleep(third)
	atSite.kill(t)
	atSite, sc := startSite()
	time.Sleep(third)
	atPlant.kill(t)
	atPlant, pc = startPlant()
	time.Sleep(third)
	if now := newest(pc, "north-1"); now != 0 && now > cut+5000 {
		t.Errorf("the link was cut at %d, and the plant has a reading of %d", cut, now)
	}
	mended := time.Now().UnixMilli()
	n.cut(t, false)
	eventually(t, "the plant has what was read after the link was mended", func() bool {
		return newest(pc, "north-1") >= mended && newest(pc, "north-2") >= mended
	})
	for _, id := range []string{"north-1", "north-2"} {
		until := func(list []reading) []reading {
			i := slices.IndexFunc(list, func(r reading) bool { return r.Timestamp >= mended })
			if i < 0 {
				t.Fatalf("%s has no reading after %d", id, mended)
			}
			return list[:i]
		}
		want, got := until(sc.history(t, id)), until(pc.history(t, id))
		if len(want) < int(outage().Seconds()) {
			t.Errorf("the site itself has %d readings of %s", len(want), id)
		}
		for i := range max(len(want), len(got)) {
			if i >= len(want) || i >= len(got) || want[i].Timestamp != got[i].Timestamp || !reflect.DeepEqual(want[i].Data, got[i].Data) {
				t.Fatalf("%s: %d readings at the site, %d at the plant, reading %d differs", id, len(want), len(got), i)
			}
		}
		var last reading
		pc.get(t, "/api/v1/devices/"+id+"/latest", &last)
		if !slices.Contains(last.Flags, "simulated") {
			t.Errorf("%s: the plant does not know that it is simulated: %v", id, last.Flags)
		}
	}
	for c, want := range map[*client]string{&pc: `yunchu_site_joined{site="north"} 1`, &sc: "yunchu_edge_up 1"} {
		if text := c.do(t, http.StatusOK, http.MethodGet, "/metrics", nil); !strings.Contains(string(text), want) {
			t.Errorf("the figures do not have %s", want)
		}
	}
	var d struct{ Kind, Edge, State string }
	pc.get(t, "/api/v1/devices/north-1", &d)
	if d.Kind != "edge" || d.Edge != "north" {
		t.Errorf("the plant knows it as %+v", d)
	}
	for _, x := range []*process{atSite, atPlant} {
		if code := x.signal(t, os.Interrupt); code != exitPassed && code != exitInterrupted {
			t.Errorf("exit code %d", code)
		}
	}
}

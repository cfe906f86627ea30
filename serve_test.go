package main

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serving starts the production runtime and returns it with its address.
func serving(t *testing.T, p program, args ...string) (*process, client) {
	t.Helper()
	x := p.start(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	return x, client{base: x.says(t, "listening on ")}
}

const password = "three wet bicycles"

// TestServeFirstStart: a new plant has no user and no password; whoever reads its
// setup token makes the first administrator, once.
func TestServeFirstStart(t *testing.T) {
	p := fresh(t)
	x, c := serving(t, p)
	first := x.says(t, "setup token: ")
	status, _, err := c.try(http.MethodGet, "/healthz", nil)
	if err != nil || status != http.StatusOK {
		t.Errorf("healthz answers %d, %v", status, err)
	}
	noDefaults(t, c)
	ownerOnly(t, filepath.Join(p.dir, "data"))

	// Not used: the next start prints another one, and the first is void.
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Errorf("exit code %d after SIGTERM, want %d", code, exitPassed)
	}
	x, c = serving(t, p)
	second := x.says(t, "setup token: ")
	if first == second {
		t.Error("two starts print the same setup token")
	}
	setup := func(token string) map[string]string {
		return map[string]string{"token": token, "user": "ann", "password": password}
	}
	c.do(t, http.StatusForbidden, http.MethodPost, "/api/v1/setup", setup(first))
	c.do(t, http.StatusForbidden, http.MethodPost, "/api/v1/setup", setup("yc_setup_guess"))
	var admin struct{ Token, Role string }
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/setup", setup(second)), &admin)
	if admin.Role != "admin" || admin.Token == "" {
		t.Fatalf("setup gives role %q and token %q", admin.Role, admin.Token)
	}
	if status, body, err := c.try(http.MethodPost, "/api/v1/setup", setup(second)); err != nil || status < 400 || status >= 500 {
		t.Errorf("the setup token works twice: %d %s, %v", status, body, err)
	}
	// The administrator lets a machine in; the token is shown once.
	c.token = admin.Token
	var machine struct{ Token, ID string }
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/tokens", map[string]string{"role": "device", "deviceId": "HT_ESS_001"}), &machine)
	if list := c.do(t, http.StatusOK, http.MethodGet, "/api/v1/tokens", nil); strings.Contains(string(list), machine.Token) {
		t.Error("the list of tokens shows a secret")
	}
	device := client{base: c.base, token: machine.Token}
	now := time.Now().UnixMilli()
	mine := reading{Device: "HT_ESS_001", Timestamp: now, Data: values{SoC: 50, Voltage: 400, Current: 10, Power: 4, Temperature: 20, Status: "charging"}}
	device.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", mine)
	other := mine
	other.Device = "HT_ESS_002"
	device.do(t, http.StatusForbidden, http.MethodPost, "/api/v1/device/data/sync", other)
	// It pushes to us and nobody listens there: commands end in a reason.
	engineer := c
	body := engineer.do(t, http.StatusConflict, http.MethodPost, "/api/v1/device/control", order{
		Device: "HT_ESS_001", ID: "c1", Command: "setPower", Parameters: map[string]any{"power": 1},
	})
	var problem struct{ Code, Detail string }
	if decode(t, body, &problem); problem.Code != "OFFLINE" && problem.Code != "NOT_ACTIVE" {
		t.Errorf("a command to a device that nobody listens on is answered %s", body)
	}
	c.do(t, http.StatusNotFound, http.MethodPost, "/api/v1/device/control", order{
		Device: "NO_SUCH", ID: "c2", Command: "setPower", Parameters: map[string]any{"power": 1},
	})

	// From now on no start prints a setup token; the administrator logs in.
	if code := x.signal(t, os.Interrupt); code != exitPassed {
		t.Errorf("exit code %d after Ctrl-C, want %d", code, exitPassed)
	}
	if strings.Contains(x.stderr.String(), password) || strings.Contains(x.stderr.String(), machine.Token) {
		t.Error("a secret stands in the log")
	}
	secretsStayOut(t, filepath.Join(p.dir, "data"), password, machine.Token, second)
	x, c = serving(t, p)
	if strings.Contains(x.stderr.String(), "setup token") {
		t.Error("a plant with an administrator prints a setup token")
	}
	c.do(t, http.StatusUnauthorized, http.MethodPost, "/api/v1/login", map[string]string{"user": "ann", "password": "wrong password!"})
	var session struct{ Token string }
	decode(t, c.do(t, http.StatusOK, http.MethodPost, "/api/v1/login", map[string]string{"user": "ann", "password": password}), &session)
	c.token = session.Token
	c.do(t, http.StatusOK, http.MethodGet, "/api/v1/system", nil)
	device = client{base: c.base, token: machine.Token}
	mine.Timestamp++
	device.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", mine)
	if got := c.history(t, "HT_ESS_001"); len(got) != 2 {
		t.Errorf("%d readings after a restart and one more, want 2", len(got))
	}
}

// noDefaults tries what people forget to change.
func noDefaults(t *testing.T, c client) {
	t.Helper()
	for _, user := range []string{"admin", "root", "yunchu", "operator"} {
		for _, password := range []string{"", "admin", "password", "yunchu", "123456", "admin123456"} {
			status, body, err := c.try(http.MethodPost, "/api/v1/login", map[string]string{"user": user, "password": password})
			if err != nil || status < 400 || status >= 500 {
				t.Fatalf("login as %s/%q: status %d %s, %v", user, password, status, body, err)
			}
		}
	}
	for _, token := range []string{"admin", "yunchu", "token", "test", "null", "undefined", "0123456789abcdef"} {
		client{base: c.base, token: token}.do(t, http.StatusUnauthorized, http.MethodGet, "/api/v1/system", nil)
	}
}

// ownerOnly: the data folder is nobody else's to look into.
func ownerOnly(t *testing.T, dir string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if m := info.Mode().Perm(); m != 0o700 {
		t.Errorf("%s has mode %v, want -rwx------", filepath.Base(dir), m)
	}
}

// secretsStayOut: the data folder holds hashes, no secrets.
func secretsStayOut(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, s := range secrets {
			if strings.Contains(string(text), s) {
				t.Errorf("%s holds the secret %.12s…", path, s)
			}
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Fatalf("looked through %d files: %v", files, err)
	}
}

// TestServeOpenFolder: a data folder that was made by somebody else is used, and
// its mode is said.
func TestServeOpenFolder(t *testing.T) {
	p := fresh(t)
	if err := os.Mkdir(filepath.Join(p.dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	x, _ := serving(t, p)
	if !strings.Contains(x.stderr.String(), "chmod 700") {
		t.Errorf("a data folder that all may read is served without a word:\n%s", x.stderr)
	}
}

// TestServeTwice: two processes never write one log.
func TestServeTwice(t *testing.T) {
	p := fresh(t)
	_, c := serving(t, p)
	o := p.run(t, "serve", "--listen", "127.0.0.1:0")
	if o.code != exitEnvironment || !strings.Contains(o.stderr, "in use by another process") || strings.Contains(o.stderr, "setup token") {
		t.Errorf("a second process on the same data: exit code %d, want %d, and %q", o.code, exitEnvironment, o.stderr)
	}
	c.do(t, http.StatusOK, http.MethodGet, "/healthz", nil)
}

// TestServeStopsUnderLoad: a stop answers what was begun, and takes no new work.
func TestServeStopsUnderLoad(t *testing.T) {
	const token = "token-of-an-engineer"
	p := fresh(t, "YUNCHU_TOKEN="+token)
	x, c := serving(t, p)
	c.token = token
	w := startWriters(c, 32, 0, 4)
	eventually(t, "a thousand acknowledged readings", func() bool { return w.acknowledged() >= 1000 })
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Errorf("exit code %d after SIGTERM under load, want %d", code, exitPassed)
	}
	w.stop()
	_, c = serving(t, p)
	c.token = token
	w.verify(t, c)
}

// TestServeEngineerToken: the token of the environment is an engineer's, and one
// that is too short is refused at the start.
func TestServeEngineerToken(t *testing.T) {
	o := fresh(t, "YUNCHU_TOKEN=short").run(t, "serve", "--listen", "127.0.0.1:0")
	if o.code == exitPassed || !strings.Contains(o.stderr, "16") {
		t.Errorf("a short token: exit code %d, %q", o.code, o.stderr)
	}
	const token = "sixteen-and-more"
	_, c := serving(t, fresh(t, "YUNCHU_TOKEN="+token))
	c.token = token
	c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", reading{
		Device: "unknown-before", Timestamp: time.Now().UnixMilli(),
		Data: values{SoC: 50, Voltage: 400, Power: 0, Temperature: 20, Status: "idle"},
	})
	var info struct{ DeviceID, Kind, State string }
	c.get(t, "/api/v1/devices/unknown-before", &info)
	if info.DeviceID != "unknown-before" || info.Kind != "push" || info.State == "active" {
		t.Errorf("registered by its first reading as %+v, want a device that pushes and must not act", info)
	}
	c.do(t, http.StatusForbidden, http.MethodPost, "/api/v1/tokens", map[string]string{"role": "admin"})
}

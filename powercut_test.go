//go:build linux && !nosim

package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The number of power cuts and of kills that TestPowerCut makes, from the environment.
const (
	cutsVariable  = "YUNCHU_CUTS"
	killsVariable = "YUNCHU_KILLS"
)

// disk is a file system of its own in an image file. What is copied from the image
// has what the disk had, and nothing of the page cache, which survives a kill.
type disk struct {
	kind, image, at string
}

// mounted makes a file system of the kind and mounts it. It skips where nobody may.
func mounted(t *testing.T, kind, size string) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a loop device")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("no loop devices here:", err)
	}
	mkfs, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		t.Skip("cannot make a file system:", err)
	}
	dir := t.TempDir()
	d := &disk{kind: kind, image: filepath.Join(dir, "0.img"), at: filepath.Join(dir, "disk")}
	shell(t, "truncate", "-s", size, d.image)
	shell(t, mkfs, "-q", d.image)
	if err := os.Mkdir(d.at, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", d.at).Run() }) // nobody uses it any more
	d.mount(t)
	return d
}

func (d *disk) mount(t *testing.T) {
	t.Helper()
	shell(t, "mount", "-o", "loop", d.image, d.at)
}

// snapshot copies the image: this is what is left when the power fails now.
func (d *disk) snapshot(t *testing.T) (image string) {
	t.Helper()
	image = d.image + "+"
	shell(t, "cp", "--sparse=always", d.image, image)
	return image
}

// replug mounts the copy instead; the file system replays its own journal.
func (d *disk) replug(t *testing.T, image string) {
	t.Helper()
	shell(t, "umount", d.at)
	if err := os.Remove(d.image); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(image, d.image); err != nil {
		t.Fatal(err)
	}
	d.mount(t)
}

func shell(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// pause stops the process where it stands, as SIGSTOP does.
func (x *process) pause(t *testing.T) {
	t.Helper()
	if err := x.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // what it had said is on its way to the writers
}

// commander sends one command after the other to one unit.
type commander struct {
	c      client
	device string
	sent   int
	taken  []order // acknowledged, in order
	unsure order   // without an answer
}

func (m *commander) run(stop *sync.WaitGroup) {
	stop.Go(func() {
		for m.send() {
		}
	})
}

func (m *commander) send() bool {
	m.sent++
	o := order{
		Device: m.device, ID: fmt.Sprintf("%s-%d", m.device, m.sent), Command: "setPower",
		Parameters: map[string]any{"power": float64(m.sent%90 + 1), "duration": 3600, "priority": "high"},
	}
	m.unsure = o
	status, _, err := m.c.try(http.MethodPost, "/api/v1/device/control", o)
	if err != nil {
		return false
	}
	if status == http.StatusOK {
		m.taken = append(m.taken, o)
		m.unsure = order{}
	}
	return true
}

// verify asks for the last acknowledged commands again: each is known, so none has a
// second effect, and the newest is in force. A command whose answer did not come may be
// in force too.
func (m *commander) verify(t *testing.T, c client) {
	t.Helper()
	if len(m.taken) == 0 {
		t.Errorf("no command for %s was acknowledged", m.device)
		return
	}
	m.c = c
	begun := time.Now().UnixMilli() // what the plant remembers of before does not count
	power := func() float64 {
		status, body, err := c.try(http.MethodGet, "/api/v1/devices/"+m.device+"/latest", nil)
		if err != nil || status != http.StatusOK {
			return -1
		}
		var r reading
		decode(t, body, &r)
		if r.Timestamp < begun {
			return -1
		}
		return r.Data.Power
	}
	want := []any{m.taken[len(m.taken)-1].Parameters["power"], m.unsure.Parameters["power"]}
	holds := func() bool {
		kw := power()
		return kw == want[0] || kw == want[1]
	}
	eventually(t, fmt.Sprintf("%s at %v kW", m.device, want), holds)
	for _, o := range m.taken[max(0, len(m.taken)-5):] {
		status, answer, err := c.try(http.MethodPost, "/api/v1/device/control", o)
		if err != nil || status != http.StatusOK {
			t.Errorf("command %s was acknowledged and is now answered %d %s, %v", o.ID, status, answer, err)
		}
	}
	for range 8 { // a second effect would show in the next readings
		time.Sleep(100 * time.Millisecond)
		if !holds() {
			t.Errorf("%s is at %v kW, want one of %v: a command has taken effect twice", m.device, power(), want)
		}
	}
}

// settings are what an administrator was answered.
type settings struct {
	target float64
	sites  int
	tokens []string
}

// TestPowerCut cuts the power of the production runtime under load, or kills it, again and
// again on the same data: whatever it had acknowledged is there afterwards. YUNCHU_CUTS
// and YUNCHU_KILLS say how often; root and loop devices are needed.
func TestPowerCut(t *testing.T) {
	cuts, _ := strconv.Atoi(os.Getenv(cutsVariable))
	kills, _ := strconv.Atoi(os.Getenv(killsVariable))
	if cuts <= 0 {
		t.Skip(cutsVariable + " is not set: mounts loop devices, needs root")
	}
	t.Run("ext4", func(t *testing.T) { powerCuts(t, "ext4", cuts, kills) })
	t.Run("xfs", func(t *testing.T) { powerCuts(t, "xfs", cuts, 0) })
}

func powerCuts(t *testing.T, kind string, cuts, kills int) {
	const token = "token-of-an-engineer"
	d := mounted(t, kind, "1G")
	p := fresh(t, "YUNCHU_TOKEN="+token)
	config := twoUnits + "data: " + filepath.Join(d.at, "data") + "\n"
	if err := os.WriteFile(filepath.Join(p.dir, "plant.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	x, c := serving(t, p, "-c", "plant.yaml")
	var admin struct{ Token string }
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/setup", map[string]string{
		"token": x.says(t, "setup token: "), "user": "ann", "password": password,
	}), &admin)

	var (
		before []*writers
		set    settings
		boss   = &commander{device: "unit-1"}
		total  int64
	)
	for round := range cuts + kills {
		cut := round*cuts/(cuts+kills) != (round+1)*cuts/(cuts+kills) // evenly among the kills
		c.token = token
		set.change(t, client{base: c.base, token: admin.Token}, round)
		var commanding sync.WaitGroup
		boss.c = c
		boss.run(&commanding)
		w := startWriters(c, 32, round, []int{4, 64, 1000}[round%3])
		eventually(t, "writers at work", func() bool { return w.acknowledged() > 500 })
		after := rand.N(time.Second)
		time.Sleep(after)
		image := ""
		if cut {
			x.pause(t)
			image = d.snapshot(t)
		}
		x.kill(t)
		w.stop()
		commanding.Wait()
		if cut {
			d.replug(t, image)
		}
		before = append(before, w)
		total += w.acknowledged()

		began := time.Now()
		x, c = serving(t, p, "-c", "plant.yaml")
		c.token = token
		t.Logf("round %d, power cut: %v; %d readings and %d commands acknowledged, %v after the first 500; back in %v",
			round+1, cut, w.acknowledged(), len(boss.taken), after.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		again := before[max(0, len(before)-2):]
		if round == cuts+kills-1 {
			again = before[max(0, len(before)-20):]
		}
		for _, w := range again {
			w.verify(t, c)
		}
		boss.verify(t, c)
		set.verify(t, c, admin.Token)
		if strings.Contains(x.stderr.String(), "damaged") {
			t.Errorf("a cut is taken for damage:\n%s", x.stderr)
		}
		if t.Failed() {
			return
		}
	}
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Errorf("exit code %d, want %d", code, exitPassed)
	}
	t.Logf("%s: %d cuts and %d kills: %d readings and %d commands acknowledged, all there", kind, cuts, kills, total, len(boss.taken))
}

// change makes an administrator's changes of this round.
func (s *settings) change(t *testing.T, admin client, round int) {
	t.Helper()
	s.target = -10 - float64(round)
	admin.do(t, http.StatusOK, http.MethodPut, "/api/v1/dispatch", map[string]any{"enabled": true, "strategy": "cost", "target_kw": s.target})
	status, body, err := admin.try(http.MethodPut, fmt.Sprintf("/api/v1/devices/site-%d", round), map[string]any{"ratedKw": 100 + round, "capacityKwh": 215, "model": "M"})
	if err != nil || status/100 != 2 {
		t.Fatalf("register: %d %s, %v", status, body, err)
	}
	s.sites = round + 1
	var issued struct{ Token string }
	decode(t, admin.do(t, http.StatusCreated, http.MethodPost, "/api/v1/tokens", map[string]string{"role": "viewer"}), &issued)
	s.tokens = append(s.tokens, issued.Token)
}

func (s *settings) verify(t *testing.T, c client, admin string) {
	t.Helper()
	for _, token := range append(s.tokens[max(0, len(s.tokens)-5):], admin) {
		client{base: c.base, token: token}.do(t, http.StatusOK, http.MethodGet, "/api/v1/system", nil)
	}
	for r := max(0, s.sites-5); r < s.sites; r++ {
		var info struct{ RatedKW float64 }
		c.get(t, fmt.Sprintf("/api/v1/devices/site-%d", r), &info)
		if info.RatedKW != float64(100+r) {
			t.Errorf("registration %d has become %+v", r, info)
		}
	}
	var now struct {
		Enabled bool
		Target  float64 `json:"target_kw"`
	}
	c.get(t, "/api/v1/dispatch", &now)
	if !now.Enabled || now.Target != s.target {
		t.Errorf("dispatch settings have become %+v, want a target of %v kW", now, s.target)
	}
}

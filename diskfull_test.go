//go:build linux && !nosim

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDiskFull fills the disk of the production runtime to the last byte under load: readings
// are refused and not acknowledged, commands go on, nothing that was acknowledged is lost, and
// readings are taken again within five seconds of room, without a restart.
func TestDiskFull(t *testing.T) {
	if os.Getenv(cutsVariable) == "" {
		t.Skip(cutsVariable + " is not set: mounts loop devices, needs root")
	}
	const token = "token-of-an-engineer"
	d := mounted(t, "ext4", "300M")
	p := fresh(t, "YUNCHU_TOKEN="+token)
	config := twoUnits + "data: " + filepath.Join(d.at, "data") + "\n"
	if err := os.WriteFile(filepath.Join(p.dir, "plant.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	x, c := serving(t, p, "-c", "plant.yaml")
	c.token = token
	w := startWriters(c, 8, 0, 64)
	eventually(t, "readings before", func() bool { return w.acknowledged() > 1000 })

	fill(t, filepath.Join(d.at, "filler"))
	w.wg.Wait() // each ends with its first refusal
	probe := func(device string) (int, string) {
		status, body, err := c.try(http.MethodPost, "/api/v1/device/data/sync", reading{
			Device: device, Timestamp: time.Now().UnixMilli(), Data: values{SoC: 50, Voltage: 400, Temperature: 20, Status: "idle"},
		})
		if err != nil {
			t.Fatalf("the plant is gone: %v", err)
		}
		return status, string(body)
	}
	if status, body := probe("crash-0-000"); status != http.StatusInsufficientStorage || !strings.Contains(body, "INSUFFICIENT_STORAGE") {
		t.Errorf("a reading on a full disk is answered %d %s, want 507", status, body)
	}
	boss := &commander{c: c, device: "unit-1"}
	for range 50 {
		if !boss.send() {
			t.Fatal("the plant is gone")
		}
	}
	if len(boss.taken) < 50 {
		t.Errorf("%d of 50 commands were taken on a full disk", len(boss.taken))
	}
	if err := os.Remove(filepath.Join(d.at, "filler")); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	eventually(t, "a reading is taken again", func() bool { status, _ := probe("after"); return status == http.StatusOK })
	took := time.Since(begun)
	t.Logf("%d readings before, %d commands on the full disk, readings again after %v", w.acknowledged(), len(boss.taken), took)
	if took > 5*time.Second {
		t.Errorf("readings are taken again after %v, want 5 s at most", took)
	}
	w.verify(t, c)
	x.kill(t)
	x, c = serving(t, p, "-c", "plant.yaml")
	c.token = token
	w.verify(t, c)
	boss.verify(t, c)
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Errorf("exit code %d", code)
	}
}

// fill writes until not a byte is left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 16
		}
	}
	if err := f.Sync(); err != nil {
		t.Log(err)
	}
}

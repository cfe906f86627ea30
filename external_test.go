//go:build linux && !nosim

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"yunchu/harness/backend"
)

// externalBroker is a Mosquitto that keeps sessions over a restart.
type externalBroker struct {
	t    *testing.T
	path string
	dir  string
	port int // in the clear
	tls  int // encrypted
	cmd  *exec.Cmd
}

func newExternalBroker(t *testing.T) *externalBroker {
	t.Helper()
	list := ports(t, 2)
	b := &externalBroker{t: t, dir: t.TempDir(), port: list[0], tls: list[1]}
	certificateFor(t, b.dir, "127.0.0.1")
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		if found, err := exec.LookPath(name); err == nil {
			b.path = found
		}
	}
	if b.path == "" && os.Getenv("YUNCHU_PEERS") == "1" {
		t.Fatal("mosquitto is not installed (Debian: mosquitto)")
	}
	if b.path == "" {
		t.Skip("mosquitto is not installed (Debian: mosquitto)")
	}
	config := fmt.Sprintf(`listener %d 127.0.0.1
listener %d 127.0.0.1
certfile %[3]s/cert.pem
keyfile %[3]s/key.pem
allow_anonymous true
persistence true
persistence_location %[3]s/
max_queued_messages 0
log_type error
`, b.port, b.tls, b.dir)
	if os.Geteuid() == 0 {
		config += "user root\n"
	}
	if err := os.WriteFile(filepath.Join(b.dir, "mosquitto.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait() // it was killed
	})
	return b
}

func (b *externalBroker) start() {
	b.t.Helper()
	b.cmd = exec.Command(b.path, "-c", filepath.Join(b.dir, "mosquitto.conf"))
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "the external broker listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", b.port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// stop ends it in order: it writes down the sessions.
func (b *externalBroker) stop() {
	b.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	_ = b.cmd.Wait() // it exits with whatever it likes
}

// publishing sends readings of a device until ctx ends, on connections that are made again,
// and notes those that the broker has acknowledged.
func (b *externalBroker) publishing(ctx context.Context, id string, note func(at int64)) {
	for at := time.Now().UnixMilli() - 3_600_000; ctx.Err() == nil; {
		o := paho.NewClientOptions().AddBroker(fmt.Sprintf("tcp://127.0.0.1:%d", b.port)).SetClientID(id).SetAutoReconnect(false)
		client := paho.NewClient(o)
		if tk := client.Connect(); !tk.WaitTimeout(5*time.Second) || tk.Error() != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		for ctx.Err() == nil {
			at++
			body := fmt.Sprintf(`{"deviceId":%q,"timestamp":%d,"data":{"soc":50,"voltage":400,"current":100,"power":40,"temperature":25,"status":"charging"}}`, id, at)
			tk := client.Publish("device/"+id+"/data", 1, false, body)
			if !tk.WaitTimeout(5*time.Second) || tk.Error() != nil || !client.IsConnected() {
				break
			}
			note(at)
		}
		client.Disconnect(0)
	}
}

// TestExternalBrokerLosesNothing: what somebody else's broker has acknowledged to devices is
// in the history, though the plant is killed and the broker restarted meanwhile.
func TestExternalBrokerLosesNothing(t *testing.T) {
	t.Parallel()
	b := newExternalBroker(t)
	p := fresh(t, "YUNCHU_TOKEN="+rigToken)
	p.write(t, "plant.yaml", fmt.Sprintf("apiVersion: yunchu/v1\nkind: Config\nmqtt: {broker: \"tls://127.0.0.1:%d\", ca: %q, client: plant-1, register: true}\n", b.tls, filepath.Join(b.dir, "cert.pem")))
	start := func() (*process, client) {
		x, c := serving(t, p, "-c", "plant.yaml")
		c.token = rigToken
		return x, c
	}
	connected := func(c client) func() bool {
		return func() bool {
			return strings.Contains(string(c.do(t, http.StatusOK, http.MethodGet, "/metrics", nil)), "yunchu_mqtt_bridge_connected 1")
		}
	}
	x, c := start()
	eventually(t, "the plant has joined the broker", connected(c)) // from now on the broker keeps what comes
	const devices = 8
	var (
		acked [devices][]int64
		total atomic.Int64
		over  sync.WaitGroup
	)
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	for i := range devices {
		over.Go(func() {
			b.publishing(ctx, fmt.Sprintf("ext-%02d", i), func(at int64) {
				acked[i] = append(acked[i], at)
				total.Add(1)
			})
		})
	}
	more := func(what string) {
		t.Helper()
		from := total.Load()
		eventually(t, what, func() bool { return total.Load() > from+500 })
	}
	more("devices at work")
	x.kill(t)
	more("devices at work without the plant")
	x, c = start()
	more("devices at work with a new one")
	b.stop()
	b.start()
	more("devices at work with the broker's next life")
	eventually(t, "the plant has joined again", connected(c))
	enough()
	over.Wait()
	for i := range devices {
		id := fmt.Sprintf("ext-%02d", i)
		missing := int64(0)
		eventually(t, "every reading of "+id+" is in the history", func() bool {
			there := map[int64]bool{}
			for _, r := range c.history(t, id) {
				there[r.Timestamp] = true
			}
			for _, at := range acked[i] {
				if !there[at] {
					missing = at
					return false
				}
			}
			return true
		})
		if t.Failed() {
			t.Fatalf("%s: the reading of %d was acknowledged and is lost", id, missing)
		}
	}
	t.Logf("%d readings were acknowledged", total.Load())
	if code := x.signal(t, os.Interrupt); code != exitPassed && code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

// TestDeviceOnAnExternalBroker: a device behind somebody else's broker is read, armed and
// commanded as one on our own, its setpoint ends without us, and without the broker a
// command is refused and not kept.
func TestDeviceOnAnExternalBroker(t *testing.T) {
	t.Parallel()
	b := newExternalBroker(t)
	back := ports(t, 1)[0]
	x := &plantOnARig{T: t, p: fresh(t, "YUNCHU_TOKEN="+rigToken)}
	x.p.write(t, "plant.yaml", fmt.Sprintf("apiVersion: yunchu/v1\nkind: Config\nmqtt: {broker: \"mqtt://127.0.0.1:%d\"}\n", b.port))
	x.p.write(t, "rig.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Rig
backend: {address: "tcp://127.0.0.1:%d"}
devices:
  - {id: rig-1, model: ess-100kw-215kwh, soc: 50, serve: {mqtt: {address: "mqtt://127.0.0.1:%d"}}}
`, back, b.port))
	x.bridge, x.client = serving(t, x.p, "-c", "plant.yaml")
	x.token = rigToken
	status, _, err := x.try(http.MethodPut, "/api/v1/devices/rig-1", map[string]any{"ratedKw": 100, "capacityKwh": 215})
	if err != nil || status/100 != 2 {
		t.Fatalf("register: %d, %v", status, err)
	}
	x.rig = x.p.start(t, "rig", "rig.yaml")
	eventually(t, "the rig is ready", func() bool { return strings.Contains(x.rig.stdout.String(), "ready") })
	client, err := backend.Dial(t.Context(), fmt.Sprintf("tcp://127.0.0.1:%d", back))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	x.back = client
	eventually(t, "it is heard, and must be armed", func() bool { return x.send("setPower", hold) == "409 NOT_ARMED" })
	x.arm()
	if got := x.send("setPower", hold); got != "200 SUCCESS" {
		t.Fatalf("setPower: %s", got)
	}
	x.at(50)
	b.stop()
	x.at(0) // the dead-man of its setpoint, which nobody can renew
	if got := x.send("setPower", hold); got == "200 SUCCESS" {
		t.Errorf("a command without the broker: %s", got)
	}
	b.start()
	eventually(t, "it is heard again", func() bool {
		got := x.send("setPower", map[string]any{"power": 0, "duration": 60})
		return !strings.Contains(got, "OFFLINE")
	})
	x.quiet(2 * time.Second) // what was refused is not carried out later
	x.at(0)
}

//go:build !nosim && unix

package main

import (
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"yunchu/harness/backend"
)

// broker is the address of the broker that a process has told.
func (x *process) broker(t *testing.T) string { t.Helper(); return x.says(t, "mqtt on ") }

// tokenOf is a new token for a device.
func tokenOf(t *testing.T, c client, id string) string {
	t.Helper()
	var issued struct{ Token string }
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/tokens", map[string]string{"role": "device", "deviceId": id}), &issued)
	return issued.Token
}

// setUp makes the first administrator of a plant.
func setUp(t *testing.T, x *process, c client) client {
	t.Helper()
	var admin struct{ Token string }
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/setup", map[string]string{
		"token": x.says(t, "setup token: "), "user": "ann", "password": password,
	}), &admin)
	c.token = admin.Token
	return c
}

// TestDeviceOnOurOwnBroker: a device that is connected to the broker of a plant is read,
// armed and commanded, and its setpoint ends with the plant.
func TestDeviceOnOurOwnBroker(t *testing.T) {
	t.Parallel()
	list := ports(t, 2)
	port, back := list[0], list[1]
	x := &plantOnARig{T: t, p: fresh(t)}
	x.p.write(t, "plant.yaml", fmt.Sprintf("apiVersion: yunchu/v1\nkind: Config\nmqtt: {listen: \"tcp://127.0.0.1:%d\"}\n", port))
	x.p.write(t, "rig.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Rig
backend: {address: "tcp://127.0.0.1:%d"}
devices:
  - {id: rig-1, model: ess-100kw-215kwh, soc: 50, serve: {mqtt: {address: "mqtt://127.0.0.1:%d", user: rig-1, password_file: token}}}
`, back, port))
	x.bridge, x.client = serving(t, x.p, "-c", "plant.yaml")
	x.client = setUp(t, x.bridge, x.client)
	x.p.write(t, "token", tokenOf(t, x.client, "rig-1"))
	status, _, err := x.try(http.MethodPut, "/api/v1/devices/rig-1", map[string]any{"ratedKw": 100, "capacityKwh": 215})
	if err != nil || status/100 != 2 {
		t.Fatalf("register: %d, %v", status, err)
	}
	if got := x.send("setPower", hold); got != "409 OFFLINE" {
		t.Errorf("with nobody listening: %s", got)
	}
	x.rig = x.p.start(t, "rig", "rig.yaml")
	eventually(t, "the rig is ready", func() bool { return strings.Contains(x.rig.stdout.String(), "ready") })
	client, err := backend.Dial(t.Context(), fmt.Sprintf("tcp://127.0.0.1:%d", back))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	x.back = client
	eventually(t, "readings come", func() bool {
		status, _, err := x.try(http.MethodGet, "/api/v1/devices/rig-1/latest?quality=good", nil)
		return err == nil && status == http.StatusOK
	})
	eventually(t, "it listens, and must be armed", func() bool { return x.send("setPower", hold) == "409 NOT_ARMED" })
	x.arm()
	if got := x.send("setPower", hold); got != "200 SUCCESS" {
		t.Fatalf("setPower: %s", got)
	}
	x.at(50)
	eventually(t, "the reading shows the power", func() bool {
		var r struct{ Data struct{ Power float64 } }
		x.get(t, "/api/v1/devices/rig-1/latest", &r)
		return math.Abs(r.Data.Power-50) < 0.5
	})
	x.bridge.kill(t)
	x.at(0) // the dead-man of its setpoint
}

// TestPeerMosquittoPublishes: the clients of another implementation are understood, in both
// versions of the protocol.
func TestPeerMosquittoPublishes(t *testing.T) {
	t.Parallel()
	pub, err := exec.LookPath("mosquitto_pub")
	if err != nil {
		t.Skip("mosquitto_pub is not installed (Debian: mosquitto-clients)")
	}
	p := fresh(t)
	p.write(t, "plant.yaml", "apiVersion: yunchu/v1\nkind: Config\nmqtt: {listen: \"tcp://127.0.0.1:0\"}\n")
	x, c := serving(t, p, "-c", "plant.yaml")
	_, port, _ := strings.Cut(x.broker(t), ":")
	c = setUp(t, x, c)
	token := tokenOf(t, c, "dev-1")
	send := func(version, password, topic, body string, more ...string) (string, error) {
		out, err := exec.Command(pub, append([]string{"-V", version, "-h", "127.0.0.1", "-p", port, "-u", "dev-1", "-P", password, "-q", "1", "-t", topic, "-m", body}, more...)...).CombinedOutput()
		return string(out), err
	}
	at := time.Now().UnixMilli() - 10_000
	body := func(i int64) string {
		return fmt.Sprintf(`{"deviceId":"dev-1","timestamp":%d,"data":{"soc":75.5,"voltage":382.4,"current":125.6,"power":48.1,"temperature":25.3,"status":"charging"}}`, at+i)
	}
	for i, version := range []string{"311", "5"} {
		if out, err := send(version, token, "device/dev-1/data", body(int64(i))); err != nil {
			t.Fatalf("version %s: %v %s", version, err, out)
		}
		if n := len(c.history(t, "dev-1")); n != i+1 {
			t.Errorf("after a PUBACK of version %s there are %d readings, want %d", version, n, i+1)
		}
		if out, err := send(version, "wrong-token-of-nobody", "device/dev-1/data", body(9)); err == nil {
			t.Errorf("version %s, a wrong token: taken: %s", version, out)
		}
	}
	if out, _ := send("5", token, "device/other/data", body(9)); !strings.Contains(strings.ToLower(out), "not authorized") {
		t.Errorf("a foreign topic: %s", out)
	}
	if out, _ := send("5", token, "device/dev-1/data", "{"); !strings.Contains(strings.ToLower(out), "payload format invalid") {
		t.Errorf("a malformed body: %s", out)
	}
	if out, err := send("311", token, "device/dev-1/data", "{"); err != nil {
		t.Errorf("a malformed body in 3.1.1 is not answered: %v %s", err, out)
	}
	if n := len(c.history(t, "dev-1")); n != 2 {
		t.Errorf("%d readings at the end, want 2", n)
	}
}

// TestKillLosesNothingOverMQTT kills the plant while devices publish, and reads back what
// had a PUBACK.
func TestKillLosesNothingOverMQTT(t *testing.T) {
	t.Parallel()
	port := ports(t, 1)[0]
	p := fresh(t, "YUNCHU_TOKEN="+rigToken)
	p.write(t, "plant.yaml", fmt.Sprintf("apiVersion: yunchu/v1\nkind: Config\nmqtt: {listen: \"tcp://127.0.0.1:%d\"}\n", port))
	x, c := serving(t, p, "-c", "plant.yaml")
	c.token = rigToken
	const writers = 16
	var (
		acked [writers][]int64
		total atomic.Int64
		over  sync.WaitGroup
	)
	for i := range writers {
		id := fmt.Sprintf("mqtt-crash-%02d", i)
		o := paho.NewClientOptions().AddBroker(fmt.Sprintf("tcp://127.0.0.1:%d", port)).SetClientID(id).SetUsername("token").SetPassword(rigToken)
		o.SetAutoReconnect(false).SetCleanSession(true)
		client := paho.NewClient(o)
		if tk := client.Connect(); tk.Wait() && tk.Error() != nil {
			t.Fatal(tk.Error())
		}
		over.Go(func() {
			at := time.Now().UnixMilli() - 3_600_000
			for {
				at++
				body := fmt.Sprintf(`{"deviceId":%q,"timestamp":%d,"data":{"soc":50,"voltage":400,"current":100,"power":40,"temperature":25,"status":"charging"}}`, id, at)
				tk := client.Publish("device/"+id+"/data", 1, false, body)
				if !tk.WaitTimeout(10*time.Second) || tk.Error() != nil || !client.IsConnected() {
					return
				}
				acked[i] = append(acked[i], at)
				total.Add(1)
			}
		})
	}
	eventually(t, "devices at work", func() bool { return total.Load() > 1000 })
	x.kill(t)
	over.Wait()
	_, c = serving(t, p, "-c", "plant.yaml")
	c.token = rigToken
	for i := range writers {
		there := map[int64]bool{}
		for _, r := range c.history(t, fmt.Sprintf("mqtt-crash-%02d", i)) {
			there[r.Timestamp] = true
		}
		for _, at := range acked[i] {
			if !there[at] {
				t.Errorf("device %d: the reading of %d had its PUBACK and is lost", i, at)
			}
		}
	}
	t.Logf("%d readings had their PUBACK", total.Load())
}

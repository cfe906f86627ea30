//go:build !nosim && unix

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestDesignCasesOverMQTTAndWebSocket: the two test cases of the design, with the
// device behind a broker that others wrote and somebody listening over WebSocket.
// A reading that a device publishes is the newest one, in the history and on the
// WebSocket; a command that is posted moves the device within two seconds, and its
// answer and its power come over the WebSocket, over which a reading may also be sent.
// Over REST they are those of TestDemo.
func TestDesignCasesOverMQTTAndWebSocket(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("mosquitto_pub"); err != nil && os.Getenv("YUNCHU_PEERS") != "1" {
		t.Skip("mosquitto_pub is not installed (Debian: mosquitto-clients)")
	}
	broker := mosquitto(t)
	if broker == 0 {
		t.Skip("mosquitto is not installed (Debian: mosquitto)")
	}
	p := fresh(t, loadToken)
	p.write(t, "rig.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Rig
devices:
  - id: TEST_DEVICE_001
    model: ess-100kw-215kwh
    soc: 50
    serve: {mqtt: {address: "mqtt://127.0.0.1:%d"}}
`, broker))
	p.write(t, "config.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Config
devices:
  - {id: TEST_DEVICE_001, device: mqtt, address: "mqtt://127.0.0.1:%[1]d", rated_kw: 100, rated_kwh: 215}
  - {id: TEST_DEVICE_002, device: mqtt, address: "mqtt://127.0.0.1:%[1]d", rated_kw: 100, rated_kwh: 215}
`, broker))
	rig := p.start(t, "rig", "rig.yaml")
	eventually(t, "the rig", func() bool { return strings.Contains(rig.stdout.String()+rig.stderr.String(), "ready") })
	_, c := serving(t, p, "-c", "config.yaml")
	c.token = strings.TrimPrefix(loadToken, "YUNCHU_TOKEN=")
	heard := listen(t, c, "TEST_DEVICE_00*")

	t.Run("data sync", func(t *testing.T) {
		sent := reading{
			Device: "TEST_DEVICE_002", Timestamp: time.Now().UnixMilli(),
			Data: values{SoC: 50, Voltage: 380, Current: 100, Power: 38, Temperature: 25, Status: "charging"},
		}
		body, err := json.Marshal(map[string]any{"deviceId": sent.Device, "timestamp": sent.Timestamp, "data": sent.Data})
		if err != nil {
			t.Fatal(err)
		}
		var got reading
		eventually(t, "the reading that was published", func() bool { // once the plant has subscribed
			if out, err := exec.Command("mosquitto_pub", "-p", fmt.Sprint(broker), "-q", "1", "-t", "device/TEST_DEVICE_002/data", "-m", string(body)).CombinedOutput(); err != nil {
				t.Fatalf("mosquitto_pub: %v %s", err, out)
			}
			status, b, err := c.try(http.MethodGet, "/api/v1/devices/TEST_DEVICE_002/latest", nil)
			return err == nil && status == http.StatusOK && json.Unmarshal(b, &got) == nil
		})
		if got.Timestamp != sent.Timestamp || got.Data != sent.Data {
			t.Errorf("latest is\n%+v, sent\n%+v", got, sent)
		}
		if all := c.history(t, "TEST_DEVICE_002"); len(all) != 1 || all[0].Data != sent.Data {
			t.Errorf("history is\n%+v, sent\n%+v", all, sent)
		}
		eventually(t, "the reading over WebSocket", func() bool {
			return heard.any(func(f heardFrame) bool {
				return f.Type == "reading" && f.DeviceID == sent.Device && f.Data.Timestamp == sent.Timestamp && f.Data.Data == sent.Data
			})
		})
	})

	t.Run("data sync over WebSocket", func(t *testing.T) {
		sent := reading{
			Device: "TEST_DEVICE_003", Timestamp: time.Now().UnixMilli(),
			Data: values{SoC: 50, Voltage: 380, Current: 100, Power: 38, Temperature: 25, Status: "charging"},
		}
		device := listen(t, c, "none")
		if err := device.conn.WriteJSON(map[string]any{"id": "first", "sync": map[string]any{"deviceId": sent.Device, "timestamp": sent.Timestamp, "data": sent.Data}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the answer over WebSocket", func() bool {
			return device.any(func(f heardFrame) bool { return f.Type == "sync" && f.ID == "first" && f.Data.Code == "SUCCESS" })
		})
		var got reading
		if c.get(t, "/api/v1/devices/TEST_DEVICE_003/latest", &got); got.Timestamp != sent.Timestamp || got.Data != sent.Data {
			t.Errorf("latest is\n%+v, sent\n%+v", got, sent)
		}
		if all := c.history(t, "TEST_DEVICE_003"); len(all) != 1 || all[0].Data != sent.Data {
			t.Errorf("history is\n%+v, sent\n%+v", all, sent)
		}
		eventually(t, "the reading over WebSocket", func() bool {
			return heard.any(func(f heardFrame) bool {
				return f.Type == "reading" && f.DeviceID == sent.Device && f.Data.Timestamp == sent.Timestamp && f.Data.Data == sent.Data
			})
		})
	})

	t.Run("control", func(t *testing.T) {
		const unit = "TEST_DEVICE_001"
		eventually(t, "the device may act", func() bool { // after its sign test
			var d struct{ State string }
			c.get(t, "/api/v1/devices/"+unit, &d)
			if d.State == "active" {
				return true
			}
			_, _, _ = c.try(http.MethodPost, "/api/v1/device/control", order{Device: unit, ID: fmt.Sprint("ARM_", time.Now().UnixNano()), Command: "arm"})
			return false
		})
		began := time.Now()
		var answer struct{ Code string }
		decode(t, c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/control", order{
			Device: unit, ID: "TEST_CMD_001", Command: "setPower", Parameters: map[string]any{"power": 50.0, "duration": 3600},
		}), &answer)
		if answer.Code != "SUCCESS" {
			t.Fatalf("control answers %+v", answer)
		}
		eventually(t, "answer and power over WebSocket", func() bool {
			return heard.any(func(f heardFrame) bool {
				return f.Type == "ack" && f.Data.CommandID == "TEST_CMD_001" && f.Data.Status == "done"
			}) && heard.any(func(f heardFrame) bool {
				return f.Type == "reading" && f.DeviceID == unit && f.Data.Data.Power == 50 && f.Data.Timestamp >= began.UnixMilli()
			})
		})
		for _, r := range c.history(t, unit) { // by their own time, however long it takes to ask
			if late := r.Timestamp - began.UnixMilli(); late > 2000 && r.Data.Power != 50 {
				t.Errorf("power %v kW %d ms after the command, want 50 within 2 s", r.Data.Power, late)
			}
		}
		var got reading
		if c.get(t, "/api/v1/devices/"+unit+"/latest", &got); got.Data.Power != 50 {
			t.Errorf("latest says %v kW", got.Data.Power)
		}
	})
}

// heardFrame is what is looked at of a frame.
type heardFrame struct {
	Type, DeviceID, ID string
	Data               struct {
		CommandID, Status, Code string
		Timestamp               int64
		Data                    values
	}
}

// listener is a WebSocket that keeps what it hears.
type listener struct {
	conn   *websocket.Conn
	mu     sync.Mutex
	frames []heardFrame
}

func (l *listener) any(is func(heardFrame) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.frames, is)
}

func listen(t *testing.T, c client, devices string) *listener {
	t.Helper()
	conn, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(c.base, "http")+"/api/v1/ws", http.Header{"Authorization": {"Bearer " + c.token}})
	if err != nil {
		t.Fatal(err, answer)
	}
	ask := map[string]any{"subscribe": map[string]any{"devices": devices, "types": []string{"reading", "ack"}}}
	if err := conn.WriteJSON(ask); err != nil {
		t.Fatal(err)
	}
	l, done := &listener{conn: conn}, make(chan struct{})
	go func() {
		defer close(done)
		for {
			var f heardFrame
			if err := conn.ReadJSON(&f); err != nil {
				return
			}
			l.mu.Lock()
			l.frames = append(l.frames, f)
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close() // ends the reader
		<-done
	})
	return l
}

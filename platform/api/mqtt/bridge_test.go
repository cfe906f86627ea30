package mqtt_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/prometheus/client_golang/prometheus"

	"yunchu/platform/api/mqtt"
)

// external is somebody else's broker.
func external(t *testing.T) (*mochi.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.AddListener(listeners.NewNet("t", l)); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, "mqtt://" + l.Addr().String()
}

// TestBridgeTakesWhatItCanUse: what somebody else's broker sends passes the same checks as
// all else. What cannot be used is acknowledged, so that it does not come again, counted and
// told; what waits for the log is not acknowledged, and holds up the broker, not its loss.
func TestBridgeTakesWhatItCanUse(t *testing.T) {
	broker, address := external(t)
	var o mqtt.BridgeOptions
	w := open(t, func(from *mqtt.Options) {
		o = mqtt.BridgeOptions{API: from.API, Registry: from.Registry, Bus: from.Bus, Address: address, Client: "plant-1", Metrics: prometheus.NewRegistry()}
	})
	if _, err := mqtt.NewBridge(mqtt.BridgeOptions{API: o.API, Registry: o.Registry, Bus: o.Bus, Client: "x", Address: "http://host"}); err == nil {
		t.Error("http://host is taken for a broker")
	}
	w.device("known")
	b, err := mqtt.NewBridge(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	figure := func(name string) float64 {
		families, err := o.Metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == name {
				return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatalf("there is no figure %s", name)
		return 0
	}
	eventually(t, "the bridge is connected", func() bool { return figure("yunchu_mqtt_bridge_connected") == 1 })
	send := func(topic, body string, retain bool) {
		t.Helper()
		if err := broker.Publish(topic, []byte(body), retain, 1); err != nil {
			t.Fatal(err)
		}
	}
	// inFlight is what the broker still waits for.
	inFlight := func() int {
		cl, ok := broker.Clients.Get("plant-1")
		if !ok {
			return -1
		}
		return cl.State.Inflight.Len()
	}
	at := time.Now().UnixMilli() - 60_000
	send("device/known/data", reading("known", at), false)
	send("device/stranger/data", reading("stranger", at), false)
	send("device/known/data", reading("stranger", at), false)
	send("device/known/data", "{", false)
	send("device/not an id/data", reading("known", at+1), false)
	send("device/known/event", `{"eventId":"e-1","deviceId":"known","eventType":"door","severity":"info","description":"open","timestamp":1703123456789}`, false)
	send("device/known/event", "no event", false)
	eventually(t, "the reading is stored", func() bool { return w.stored("known", at) })
	eventually(t, "the event is stored", func() bool { return w.told("door") == 1 })
	eventually(t, "all is acknowledged", func() bool { return inFlight() == 0 })
	if n := figure("yunchu_mqtt_bridge_refused_total"); n != 5 {
		t.Errorf("%v messages cannot be used, want 5", n)
	}
	eventually(t, "what cannot be used is told", func() bool { return w.told("mqtt-refused") > 0 })

	// While the plant has no room nothing is acknowledged; afterwards it is there.
	w.intake.fill(true)
	const many = 20
	for i := range int64(many) {
		send("device/known/data", reading("known", at+100+i), false)
	}
	eventually(t, "the broker waits", func() bool { return inFlight() == many })
	if !w.stored("known", at) {
		t.Error("a reading is stored for which there was no room")
	}
	w.intake.fill(false)
	eventually(t, "the broker waits no more", func() bool { return inFlight() == 0 })
	if n := figure("yunchu_mqtt_bridge_readings_total"); n != many+1 || !w.stored("known", at+100+many-1) {
		t.Errorf("what was acknowledged is not there: %v messages of readings, want %d", n, many+1)
	}
}

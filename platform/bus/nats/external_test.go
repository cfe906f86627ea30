package nats_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"yunchu/platform/bus"
	"yunchu/platform/bus/bustest"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
)

func TestExternalServer(t *testing.T) {
	urls := map[bus.Bus]string{}
	bustest.Run(t, func(t *testing.T) bus.Bus {
		url := external(t, nil)
		b := open(t, nats.Options{URL: url})
		urls[b] = url
		return b
	}, func(t *testing.T, b bus.Bus) bus.Bus {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, nats.Options{URL: urls[b]})
	})
}

// external runs a server as somebody else would, on a free port.
func external(t testing.TB, change func(*server.Options)) (url string) {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true}
	if change != nil {
		change(o)
	}
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the external server did not start")
	}
	return srv.ClientURL()
}

func TestTwoProcessesOnOneServerSeeOneOrder(t *testing.T) {
	url := external(t, nil)
	buses := []*nats.Bus{open(t, nats.Options{URL: url}), open(t, nats.Options{URL: url})}
	var (
		mu   sync.Mutex
		seen [2][]string
	)
	for i, b := range buses {
		_, err := bus.Events.Subscribe(b, 1, func(seq uint64, f *device.Events) {
			mu.Lock()
			defer mu.Unlock()
			seen[i] = append(seen[i], fmt.Sprint(seq, " ", f.List[0].ID))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const each = 100
	var wg sync.WaitGroup
	for i, b := range buses {
		wg.Go(func() {
			for n := range each {
				id := fmt.Sprint(i, "-", n)
				seq := publish(t, b, bus.Control, event(id))
				mu.Lock()
				handled := slices.Contains(seen[i], fmt.Sprint(seq, " ", id))
				mu.Unlock()
				if !handled {
					t.Errorf("done of %s (%d) came before its own process had handled it", id, seq)
				}
			}
		})
	}
	wg.Wait()
	count := func() (int, int) { mu.Lock(); defer mu.Unlock(); return len(seen[0]), len(seen[1]) }
	eventually(t, "both processes have all frames", func() bool { a, b := count(); return a == 2*each && b == 2*each })
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(seen[0], seen[1]) {
		t.Errorf("the two processes saw different orders:\n%v\n%v", seen[0], seen[1])
	}
}

func TestServerThatCouldLoseFramesIsRefused(t *testing.T) {
	t.Run("SmallMessages", func(t *testing.T) {
		url := external(t, func(o *server.Options) { o.MaxPayload = 4096 })
		if _, err := nats.Open(nats.Options{URL: url}); err == nil || !strings.Contains(err.Error(), "max_payload") {
			t.Errorf("Open() = %v, want a word about max_payload", err)
		}
	})
	for name, c := range map[string]jetstream.StreamConfig{
		"limit":         {MaxMsgs: 10, AllowDirect: true},
		"memory":        {Storage: jetstream.MemoryStorage, AllowDirect: true},
		"async persist": {PersistMode: jetstream.AsyncPersistMode, AllowDirect: true},
		"work queue":    {Retention: jetstream.WorkQueuePolicy, AllowDirect: true},
		"subject":       {Subjects: []string{"other"}, AllowDirect: true},
	} {
		t.Run(name, func(t *testing.T) {
			url := external(t, nil)
			nc, err := natsgo.Connect(url)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			c.Name = "log_control"
			if c.Subjects == nil {
				c.Subjects = []string{bus.Control}
			}
			if _, err := js.CreateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if b, err := nats.Open(nats.Options{URL: url}); err == nil || !strings.Contains(err.Error(), bus.Control) {
				t.Errorf("Open() = %v, want an error about %s", err, bus.Control)
				if err == nil {
					_ = b.Close()
				}
			}
		})
	}
}

func TestExternalServerRestarts(t *testing.T) {
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true}
	start := func() *server.Server {
		t.Helper()
		srv, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		go srv.Start()
		if !srv.ReadyForConnections(10 * time.Second) {
			t.Fatal("the server did not start")
		}
		return srv
	}
	srv := start()
	o.Port = srv.Addr().(*net.TCPAddr).Port
	b := open(t, nats.Options{URL: srv.ClientURL()})
	var (
		mu   sync.Mutex
		seen []uint64
	)
	if _, err := b.Subscribe(bus.Control, 1, func(seq uint64, _ device.Frame) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, seq)
	}); err != nil {
		t.Fatal(err)
	}
	publish(t, b, bus.Control, event("before"))
	srv.Shutdown()
	srv.WaitForShutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := bus.PublishWait(ctx, b, bus.Control, event("away")); err == nil || ctx.Err() != nil {
		t.Errorf("Publish() while the server is away = %v, want an error of its own", err)
	}
	srv = start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	eventually(t, "publishing works again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		_, err := bus.PublishWait(ctx, b, bus.Control, event("after"))
		return err == nil
	})
	_, last, err := b.Bounds(bus.Control)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, seq := range seen {
		if seq != uint64(i+1) {
			t.Fatalf("delivered %v, want each sequence once", seen)
		}
	}
	if uint64(len(seen)) != last {
		t.Errorf("%d frames delivered, %d stored", len(seen), last)
	}
	if err := b.Err(); err != nil {
		t.Errorf("a restart of the server failed the bus: %v", err)
	}
}

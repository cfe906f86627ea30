package nats

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"yunchu/platform/bus"
)

// TestPatience: a disk that needs long for each of many frames has not failed, though the last of
// them wait for longer than it may take for one; a disk that stands still has.
func TestPatience(t *testing.T) {
	t.Parallel()
	const patience = time.Second
	for _, tt := range []struct {
		name    string
		every   time.Duration // between two answers; 0 = none comes
		answers uint64
	}{
		{"slow", patience / 4, 6},
		{"still", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv, err := server.NewServer(&server.Options{DontListen: true})
			if err != nil {
				t.Fatal(err)
			}
			srv.Start()
			t.Cleanup(srv.Shutdown)
			nc, err := nats.Connect("", nats.InProcessServer(srv))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			seq := uint64(0)
			if _, err := nc.Subscribe(bus.Meta, func(m *nats.Msg) {
				if seq == tt.answers {
					return
				}
				seq++
				time.Sleep(tt.every) // its sync
				_ = m.Respond(fmt.Appendf(nil, `{"stream":"x","seq":%d}`, seq))
			}); err != nil {
				t.Fatal(err)
			}
			b := &Bus{nc: nc, srv: &embedded{}, failed: make(chan struct{}), log: slog.New(slog.DiscardHandler)}
			s, err := newStream(b, bus.Meta, nil, 0, 16)
			if err != nil {
				t.Fatal(err)
			}
			s.patience = patience
			var sent []*publication
			for range max(tt.answers, 1) {
				p := &publication{}
				if p.answer, p.err = s.pub.PublishMsgAsync(&nats.Msg{Subject: bus.Meta}); p.err != nil {
					t.Fatal(p.err)
				}
				sent = append(sent, p)
			}
			for i, p := range sent {
				got, err := s.wait(p)
				if failed := b.Err() != nil; failed != (tt.answers == 0) || failed != (err != nil) {
					t.Fatalf("frame %d: %v, the bus %v", i+1, err, b.Err())
				}
				if err == nil && got != uint64(i+1) {
					t.Errorf("frame %d has sequence %d", i+1, got)
				}
			}
		})
	}
}

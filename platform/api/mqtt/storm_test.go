package mqtt_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"yunchu/platform/api/mqtt"
)

// TestStorm: when all come back at once as many are taken in as there is room for, the
// others' connections end, strangers who say nothing are gone in five seconds, and then
// there is room again.
func TestStorm(t *testing.T) {
	const most, all = 20, 100
	w := open(t, func(o *mqtt.Options) { o.MaxClients = most })
	var (
		wg       sync.WaitGroup
		in, away atomic.Int64
		mu       sync.Mutex
		held     []net.Conn
	)
	for i := range all {
		wg.Go(func() {
			c, err := net.Dial("tcp", w.address)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			held = append(held, c)
			mu.Unlock()
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			r := &raw{t, c, 5}
			if i%2 == 0 { // half of them say nothing
				if _, err := c.Read(make([]byte, 1)); err != nil {
					away.Add(1)
				}
				return
			}
			pk := hello("storm-" + string(rune('a'+i)))
			if err := r.write(pk); err != nil {
				away.Add(1)
				return
			}
			if pk, err := r.read(); err == nil && pk.ReasonCode == 0 {
				in.Add(1)
			} else {
				away.Add(1)
			}
		})
	}
	wg.Wait() // the silent ones within five seconds
	if n := in.Load(); n > most || n+away.Load() != all {
		t.Errorf("of %d that came at once %d were let in and %d ended; there is room for %d", all, n, away.Load(), most)
	}
	for _, c := range held {
		_ = c.Close()
	}
	eventually(t, "somebody is let in again", func() bool {
		c, err := net.Dial("tcp", w.address)
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		r := &raw{t, c, 5}
		pk := hello("after")
		if r.write(pk) != nil {
			return false
		}
		answer, err := r.read()
		return err == nil && answer.ReasonCode == 0
	})
}

// hello is the first packet of an engineer's client.
func hello(id string) packets.Packet {
	return packets.Packet{
		ProtocolVersion: 5, FixedHeader: packets.FixedHeader{Type: packets.Connect},
		Connect: packets.ConnectParams{
			ProtocolName: []byte("MQTT"), ClientIdentifier: id, Keepalive: 30, Clean: true,
			UsernameFlag: true, PasswordFlag: true, Username: []byte("token"), Password: []byte(engineer),
		},
	}
}

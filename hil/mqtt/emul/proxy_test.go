package emul_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"yunchu/hil/mqtt"
)

// proxy stands between a client and a broker, and can be told what gets through.
type proxy struct {
	listener net.Listener
	broker   string
	accepted atomic.Int32
	deaf     atomic.Bool // what the broker says is swallowed
	forbids  atomic.Bool // all subscriptions are refused
	mu       sync.Mutex
	open     map[net.Conn]bool
	over     sync.WaitGroup
}

func (m *mosquitto) behindProxy() *proxy {
	m.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	p := &proxy{listener: l, broker: fmt.Sprintf("127.0.0.1:%d", m.port), open: map[net.Conn]bool{}}
	p.over.Go(p.serve)
	m.t.Cleanup(func() { l.Close(); p.drop(); p.over.Wait() })
	return p
}

func (p *proxy) access() mqtt.Access {
	return mqtt.Access{Address: "mqtt://" + p.listener.Addr().String()}
}

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", p.broker)
		if err != nil {
			c.Close()
			continue
		}
		p.accepted.Add(1)
		p.mu.Lock()
		p.open[c], p.open[b] = true, true
		p.mu.Unlock()
		p.over.Go(func() { defer b.Close(); _, _ = io.Copy(b, c) })
		p.over.Go(func() { defer c.Close(); _, _ = io.Copy(censor{c, p}, b) })
	}
}

// censor is what becomes of what the broker says.
type censor struct {
	io.Writer
	*proxy
}

func (c censor) Write(b []byte) (int, error) {
	if c.deaf.Load() {
		return len(b), nil
	}
	if c.forbids.Load() {
		refuse(b)
	}
	return c.Writer.Write(b)
}

// refuse changes the codes of the answers to subscriptions to those of a failure. Packets
// of a test are short.
func refuse(b []byte) {
	const suback, failure = 0x90, 0x80
	for len(b) >= 2 && len(b) >= 2+int(b[1]) && b[1] < 0x80 {
		packet := b[:2+int(b[1])]
		if packet[0] == suback {
			for i := range packet[4:] {
				packet[4+i] = failure
			}
		}
		b = b[len(packet):]
	}
}

// drop ends all connections.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
	clear(p.open)
}

// A thousand devices behind one broker are one connection.
func TestPeerManyDevicesShareAConnection(t *testing.T) {
	t.Parallel()
	const devices = 1000
	b := newBroker(t)
	p := b.behindProxy()
	var all []*mqtt.Driver
	for i := range devices {
		d, err := mqtt.New(mqtt.Options{ID: id("many", i), Access: p.access()})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	hand := connect(t, b.access())
	await(t, "the driver is there", func() bool { return !away(t, all[devices-1]) })
	for round := range 2 {
		for i := range devices {
			hand.data(id("many", i), float64(i))
		}
		for i, d := range all {
			await(t, fmt.Sprintf("device %d reports its own power", i), func() bool { return power(t, d) == float64(i) })
		}
		if n := p.accepted.Load(); int(n) != round+1 {
			t.Errorf("%d connections for %d devices in round %d", n, devices, round)
		}
		p.drop() // all of them come back with the connection
		await(t, "the connection is there again", func() bool { return int(p.accepted.Load()) == round+2 && !away(t, all[0]) })
	}
	for i, d := range all {
		if err := d.Close(); err != nil {
			t.Errorf("device %d: %v", i, err)
		}
	}
	await(t, "the last one closes it", func() bool {
		d, err := mqtt.New(mqtt.Options{ID: "other", Access: p.access()})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		await(t, "another one is there", func() bool { return !away(t, d) })
		return p.accepted.Load() > 3
	})
}

// A command that was on its way when the connection ended has failed: it is not sent
// again on the next one, when nobody means it any more.
func TestPeerNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p := b.behindProxy()
	d, err := mqtt.New(mqtt.Options{ID: "rig", Access: p.access(), Timeout: 300 * timeUnit})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	hand := connect(t, b.access())
	await(t, "it reports", func() bool { hand.data("rig", 1); return power(t, d) == 1 })
	heard := hand.hear("rig")
	p.deaf.Store(true) // no acknowledgement of the broker comes back
	setPower(t, d, 40, wantOffline)
	await(t, "the broker has it once", func() bool { return len(heard()) == 1 })
	p.drop()
	setPower(t, d, 50, wantOffline) // away
	p.deaf.Store(false)
	await(t, "it reports again", func() bool { hand.data("rig", 2); return power(t, d) == 2 })
	setPower(t, d, 60, wantOffline) // nobody answers it
	await(t, "the newest command arrives", func() bool { return len(heard()) > 1 })
	if got := heard(); len(got) != 2 || *got[0].Parameters.Power != 40 || *got[1].Parameters.Power != 60 {
		t.Errorf("the device was told %+v", got)
	}
}

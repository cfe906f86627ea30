//go:build !nosim

package bench

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"yunchu/hil/modbus"
	modbusemul "yunchu/hil/modbus/emul"
	"yunchu/hil/sunspec"
	sunspecemul "yunchu/hil/sunspec/emul"
	"yunchu/hil/unit"
	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
	"yunchu/platform/guard"
	"yunchu/platform/sched"
	"yunchu/twin/params"
)

// cycle is how often the unit is polled.
const cycle = 100 * time.Millisecond

// bridge is a gateway that serves a SunSpec unit on loopback, on the bus that syncs every
// frame before it is delivered.
type bridge struct {
	b     *testing.B
	sched *sched.Scheduler
	guard *guard.Guard
	bus   bus.Bus
	gw    *gateway.Gateway
	life  context.Context
	unit  *unit.Unit
	cut   func() // the unit answers no more
	end   func()
	n     int

	acks  chan device.Ack
	wrote chan time.Time // writes that went out

	mu    sync.Mutex
	watch bool
	heard time.Time // when the unit's last answer came
}

func newBridge(b *testing.B) *bridge {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	log, err := nats.Open(nats.Options{Dir: b.TempDir()})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var over sync.WaitGroup
	end := sync.OnceFunc(func() { cancel(); over.Wait(); _ = log.Close() })
	b.Cleanup(end)
	m, err := params.LoadModel(params.Models()[0])
	must(err)
	u, err := unit.New(unit.Options{ID: "rig", Model: m, SoC: 50, AmbientC: 25, Start: time.Now()})
	must(err)
	bank, err := sunspecemul.New(sunspecemul.Options{Unit: u, Base: 40000})
	must(err)
	linked, cut := context.WithCancel(ctx)
	server, err := modbusemul.Listen(modbusemul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]modbusemul.Served{1: {Bank: bank}}})
	must(err)
	over.Go(func() { _ = server.Serve(linked) })
	over.Go(func() { _ = u.Run(ctx) })

	x := &bridge{
		b: b, sched: sched.New(sched.NewWall()), guard: &guard.Guard{}, bus: log, unit: u, cut: cut, end: end,
		acks: make(chan device.Ack, 64), wrote: make(chan time.Time, 64),
	}
	conn, err := modbus.Dial(modbus.Options{Address: server.Addr(), Unit: 1, Tap: x.crossed})
	must(err)
	driver, err := sunspec.New(sunspec.Options{Conn: conn, Base: sunspec.Anywhere, Unit: 1})
	must(err)
	gw := gateway.New(gateway.Options{Bus: x.bus, Sched: x.sched, Guard: x.guard, Log: slog.New(slog.DiscardHandler)})
	_, err = bus.Acks.Subscribe(x.bus, 1, func(_ uint64, f *device.Acks) {
		for _, a := range f.List {
			if a.ID != "" && !a.Repeat {
				x.acks <- a
			}
		}
	})
	must(err)
	x.gw, x.life = gw, ctx
	gw.Know(device.Info{ID: "rig", Kind: "sunspec", State: device.Inactive, RatedKW: m.RatedKW, PollMS: int(cycle.Milliseconds())})
	over.Add(1)
	must(gw.Attach(ctx, gateway.Wire{Driver: driver, Period: cycle, ArmItself: true}, over.Done))
	must(gw.Start(ctx, x.sched.Now(), time.Second))
	over.Go(func() { _ = x.sched.Run(ctx, time.Time{}) })
	x.armed()
	return x
}

// armed waits until the unit may act.
func (x *bridge) armed() {
	for {
		is := make(chan bool, 1)
		x.sched.Post("bench", func(time.Time) { is <- x.guard.Armed(0) })
		if <-is {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// zero reports whether a request sets the power to 0: model 704 from WSetMod to WSetRvrt.
// The time to revert goes before it, and heartbeats at any time.
func zero(pdu []byte) bool {
	r, err := modbus.ParseRequest(pdu)
	return err == nil && !r.Reads() && r.Count == 5 && r.Values[1] == 0 && r.Values[2] == 0
}

func (x *bridge) crossed(c device.Crossing) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !c.Out {
		x.heard = time.Now()
	}
	if x.watch && c.Out && zero(c.Data) {
		x.watch = false
		x.wrote <- time.Now()
	}
}

// ask sends a command and waits until the device has taken it.
func (x *bridge) ask(verb device.Verb, kw float64) (took time.Duration) {
	x.n++
	c := device.Command{
		ID: fmt.Sprint("c", x.n), Verb: verb, Power: kw, Priority: device.Normal, Duration: 60_000, Source: "user:bench",
	}
	begin := time.Now()
	x.sched.Post("bench", func(now time.Time) {
		c.At = now.UnixMilli()
		if verb == device.EStop { // as a plant does
			x.gw.Stop(x.life, c)
		}
		bus.Commands.Publish(x.bus, &device.Commands{List: []device.Command{c}}, nil)
	})
	if a := <-x.acks; a.Status != device.Done {
		x.b.Fatalf("%v: %+v", verb, a)
	}
	return time.Since(begin)
}

func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
	b.ReportMetric(ms(took[len(took)-1]), "max-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCommandReadBack is from a command that is issued to its setpoint written and
// read back: `go test -run '^$' -bench CommandReadBack -benchtime 1000x ./bench`. It keeps
// to the 20 setpoints a second that the guard lets through.
func BenchmarkCommandReadBack(b *testing.B) {
	x := newBridge(b)
	took := make([]time.Duration, 0, b.N)
	for i := range b.N {
		took = append(took, x.ask(device.SetPower, float64(10+i%50)))
		time.Sleep(55 * time.Millisecond)
	}
	report(b, took)
}

// BenchmarkEmergencyStop is from an emergency stop that is issued to the request for power 0
// on the wire.
func BenchmarkEmergencyStop(b *testing.B) {
	x := newBridge(b)
	took := make([]time.Duration, 0, b.N)
	for i := range b.N {
		x.ask(device.SetPower, 50)
		time.Sleep(time.Duration(50+i%50) * time.Millisecond) // at any moment of a poll
		x.mu.Lock()
		x.watch = true
		x.mu.Unlock()
		begin := time.Now()
		x.ask(device.EStop, 0)
		took = append(took, (<-x.wrote).Sub(begin))
		x.ask(device.Reset, 0)
		x.sched.Post("bench", func(time.Time) { x.guard.ArmItself(0) })
		x.armed()
	}
	report(b, took)
}

// BenchmarkLostLink is from the last answer of a unit at 50 kW, its plug pulled at any moment
// of a cycle, until it stands at 0 by itself. Late is what that is beyond its watchdog:
// `go test -run '^$' -bench LostLink -benchtime 20x ./bench`.
func BenchmarkLostLink(b *testing.B) {
	took := make([]time.Duration, 0, b.N)
	for i := range b.N {
		x := newBridge(b)
		x.ask(device.SetPower, 50)
		for math.Abs(x.unit.Truth(time.Now()).ACW-50_000) > 1000 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second + time.Duration(i)*7*time.Millisecond%cycle) // the heartbeat has begun
		x.cut()
		for math.Abs(x.unit.Truth(time.Now()).ACW) > 10 {
			time.Sleep(time.Millisecond)
		}
		safe := time.Now()
		x.mu.Lock()
		took = append(took, safe.Sub(x.heard))
		x.mu.Unlock()
		x.end()
	}
	report(b, took)
	b.ReportMetric(float64(took[len(took)-1]-unit.DefaultWatchdog)/1e6, "late-ms")
}

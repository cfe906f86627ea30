//go:build !nosim

package bench

import (
	"context"
	"fmt"
	"log/slog"
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
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
	"yunchu/platform/guard"
	"yunchu/platform/sched"
	"yunchu/twin/params"
)

// bridge is a gateway that serves a SunSpec unit on loopback, polled ten times a second.
type bridge struct {
	b     *testing.B
	sched *sched.Scheduler
	guard *guard.Guard
	bus   *local.Bus
	n     int

	acks  chan device.Ack
	wrote chan time.Time // writes that went out

	mu    sync.Mutex
	watch bool
}

func newBridge(b *testing.B) *bridge {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var over sync.WaitGroup
	b.Cleanup(func() { cancel(); over.Wait() })
	m, err := params.LoadModel(params.Models()[0])
	must(err)
	u, err := unit.New(unit.Options{ID: "rig", Model: m, SoC: 50, AmbientC: 25, Start: time.Now()})
	must(err)
	bank, err := sunspecemul.New(sunspecemul.Options{Unit: u, Base: 40000})
	must(err)
	server, err := modbusemul.Listen(modbusemul.Options{Address: "tcp://127.0.0.1:0", Units: map[byte]modbusemul.Served{1: {Bank: bank}}})
	must(err)
	over.Go(func() { _ = server.Serve(ctx) })
	over.Go(func() { _ = u.Run(ctx) })

	x := &bridge{
		b: b, sched: sched.New(sched.NewWall()), guard: &guard.Guard{}, bus: local.New(0),
		acks: make(chan device.Ack, 64), wrote: make(chan time.Time, 64),
	}
	conn, err := modbus.Dial(modbus.Options{Address: server.Addr(), Unit: 1, Tap: x.crossed})
	must(err)
	driver, err := sunspec.New(sunspec.Options{Conn: conn, Base: sunspec.Anywhere, Unit: 1})
	must(err)
	gw := gateway.New(gateway.Options{Bus: x.bus, Sched: x.sched, Guard: x.guard, Log: slog.New(slog.DiscardHandler)})
	_, err = bus.Acks.Subscribe(x.bus, 1, func(_ uint64, f *device.Acks) {
		for _, a := range f.List {
			if a.ID != "" {
				x.acks <- a
			}
		}
	})
	must(err)
	gw.Know(device.Info{ID: "rig", Kind: "sunspec", State: device.Inactive, RatedKW: m.RatedKW, PollMS: 100})
	over.Add(1)
	must(gw.Attach(ctx, gateway.Wire{Driver: driver, Period: 100 * time.Millisecond, ArmItself: true}, over.Done))
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

package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
	"yunchu/platform/guard"
	"yunchu/platform/ingest"
	"yunchu/platform/sched"
)

// disk is a bus that takes its time, and may refuse, as one that syncs does. It
// may be used by several goroutines.
type disk struct {
	*local.Bus
	mu       sync.Mutex
	work     chan func()
	delay    time.Duration
	hold     chan struct{} // when set, nothing is written until it is closed
	refuse   atomic.Bool
	messages atomic.Int64
}

var errDisk = errors.New("disk full")

func newDisk(t *testing.T, delay time.Duration) *disk {
	d := &disk{Bus: local.New(0), work: make(chan func(), 1000), delay: delay}
	var wg sync.WaitGroup
	wg.Go(func() {
		for f := range d.work {
			f()
		}
	})
	t.Cleanup(func() { close(d.work); wg.Wait() })
	return d
}

func (d *disk) Publish(stream string, f device.Frame, done func(uint64, error)) {
	d.work <- func() {
		if d.hold != nil {
			<-d.hold
		}
		time.Sleep(d.delay)
		if d.refuse.Load() {
			done(0, errDisk)
			return
		}
		d.messages.Add(1)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.Bus.Publish(stream, f, done)
	}
}

// Subscribe keeps off the bus while something is written.
func (d *disk) Subscribe(stream string, from uint64, h bus.Handler) (func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	stop, err := d.Bus.Subscribe(stream, from, h)
	if err != nil {
		return nil, err
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		stop()
	}, nil
}

// stored is what the log holds, in its order.
func (d *disk) stored(t *testing.T) (rows []device.Reading) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	err := bus.Readings.Replay(t.Context(), d.Bus, 1, func(_ uint64, f *device.Readings) {
		for i := range f.Rows() {
			var r device.Reading
			f.Row(i, &r)
			rows = append(rows, r)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// pushRig is a gateway on the wall clock for devices that push.
type pushRig struct {
	t    *testing.T
	disk *disk
	gw   *gateway.Gateway
	end  func() // ends Run and waits for it
	now  time.Time
}

func newPushRig(t *testing.T, devices, queue int, delay time.Duration) *pushRig {
	t.Helper()
	r := &pushRig{t: t, disk: newDisk(t, delay), now: time.Now()}
	r.gw = gateway.New(gateway.Options{Bus: r.disk, Sched: sched.New(sched.NewWall()), Guard: &guard.Guard{}, QueueRows: queue})
	for i := range devices {
		x := info(i)
		x.State = device.Inactive
		r.gw.Know(x)
	}
	return r
}

// start lets the gateway commit.
func (r *pushRig) start() {
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.gw.Run(ctx); err != nil {
			r.t.Errorf("Run() = %v", err)
		}
	})
	r.end = func() { cancel(); wg.Wait() }
	r.t.Cleanup(r.end)
}

// row is reading number n of a device.
func (r *pushRig) row(index, n int) device.Reading {
	x := device.Empty()
	x.Slot, x.At, x.SoC, x.Status = slot(index), r.now.Add(time.Duration(n-1000)*time.Second).UnixMilli(), 50+float64(n)/100, device.Idle
	return x
}

func (r *pushRig) push(rows ...device.Reading) ([]ingest.Verdict, error) {
	return r.gw.Push(r.t.Context(), rows)
}

func TestPushesShareMessages(t *testing.T) {
	const callers, each = 100, 10
	r := newPushRig(t, callers, 0, 2*time.Millisecond)
	r.start()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := range each {
				if v, err := r.push(r.row(c, n)); err != nil || v[0] != ingest.Store {
					t.Errorf("caller %d, reading %d: %v, %v", c, n, v, err)
				}
			}
		})
	}
	wg.Wait()
	last := map[device.Slot]int64{}
	rows := r.disk.stored(t)
	for _, x := range rows {
		if x.At <= last[x.Slot] || x.Flags != 0 {
			t.Errorf("slot %d: %d after %d [%v]", x.Slot, x.At, last[x.Slot], x.Flags)
		}
		last[x.Slot] = x.At
	}
	if m := r.disk.messages.Load(); len(rows) != callers*each || m > callers*each/4 {
		t.Errorf("%d readings in %d messages, want %d in few", len(rows), m, callers*each)
	}
	if n := r.gw.Stats.Readings.Load(); n != callers*each {
		t.Errorf("%d readings counted", n)
	}
}

// The order of the log is the order of judgement: who judges the log again finds
// the same.
func TestLogIsInTheOrderOfJudgement(t *testing.T) {
	const callers, devices = 30, 3
	r := newPushRig(t, devices, 0, time.Millisecond)
	r.start()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := range 20 {
				rows := []device.Reading{r.row(c%devices, n*c%50), r.row((c+1)%devices, n)}
				rows[0].SoC += float64(c % 2)
				if _, err := r.push(rows...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var again [devices]ingest.Memory
	rows := r.disk.stored(t)
	for i, x := range rows {
		index := (int(x.Slot) - 10) / 2
		y, device := x, info(index)
		y.Flags, y.Quality = 0, 0
		if v := again[index].Judge(&device, time.Now(), &y); v != ingest.Store || y.Flags != x.Flags || y.Quality != x.Quality {
			t.Fatalf("row %d of the log: [%v] %v, judged again %v [%v] %v", i, x.Flags, x.Quality, v, y.Flags, y.Quality)
		}
	}
	if len(rows) == 0 {
		t.Error("nothing was stored")
	}
}

func TestPushVerdicts(t *testing.T) {
	r := newPushRig(t, 2, 0, 0)
	r.start()
	future := r.row(0, 0)
	future.At = time.Now().Add(10 * time.Minute).UnixMilli()
	revised := r.row(0, 1)
	revised.SoC = 1
	v, err := r.push(r.row(0, 1), r.row(0, 1), future, revised, r.row(1, 1))
	if want := fmt.Sprint([]ingest.Verdict{ingest.Store, ingest.Duplicate, ingest.Future, ingest.Store, ingest.Store}); err != nil || fmt.Sprint(v) != want {
		t.Errorf("verdicts %v, %v, want %v", v, err, want)
	}
	if v, err := r.push(r.row(0, 1)); err != nil || v[0] != ingest.Duplicate {
		t.Errorf("again: %v, %v, want Duplicate and no error", v, err)
	}
	if rows := r.disk.stored(t); len(rows) != 3 || rows[1].Flags != device.FlagRevised || rows[0].Arrived < r.now.UnixMilli() {
		t.Errorf("stored %+v", rows)
	}
	if s, d, f := r.gw.Stats.Readings.Load(), r.gw.Stats.Duplicates.Load(), r.gw.Stats.Refused.Load(); s != 3 || d != 2 || f != 1 {
		t.Errorf("%d stored, %d duplicates, %d refused counted, want 3, 2, 1", s, d, f)
	}
}

func TestPushRefuses(t *testing.T) {
	r := newPushRig(t, 1, 0, 0)
	r.start()
	if v, err := r.push(); err != nil || len(v) != 0 {
		t.Errorf("nothing: %v, %v", v, err)
	}
	for name, s := range map[string]device.Slot{"in a gap": slot(0) - 1, "beyond all": 1 << 20, "none": device.Plant} {
		x := r.row(0, 1)
		x.Slot = s
		if _, err := r.push(r.row(0, 2), x); err == nil {
			t.Errorf("a slot %s is taken", name)
		}
	}
	if rows := r.disk.stored(t); len(rows) != 0 {
		t.Errorf("%d rows of refused pushes are stored", len(rows))
	}
}

func TestOverload(t *testing.T) {
	r := newPushRig(t, 1, 10, 0)
	r.disk.hold = make(chan struct{})
	r.start()
	type result struct {
		n   int
		err error
	}
	results := make(chan result, 30)
	for n := range 30 {
		go func() {
			_, err := r.push(r.row(0, 2*n), r.row(0, 2*n+1))
			results <- result{n, err}
		}()
	}
	shed := map[int]bool{}
	for range 25 { // those that do not fit are told at once
		x := <-results
		if !errors.Is(x.err, bus.ErrOverload) {
			t.Fatalf("push %d: %v, want ErrOverload", x.n, x.err)
		}
		shed[x.n] = true
	}
	close(r.disk.hold)
	for range 5 {
		if x := <-results; x.err != nil {
			t.Errorf("push %d: %v", x.n, x.err)
		}
	}
	rows := r.disk.stored(t)
	for _, x := range rows {
		if n := int((x.At - r.row(0, 0).At) / 2000); shed[n] {
			t.Errorf("push %d was refused and is stored", n)
		}
	}
	if n := r.gw.Stats.Shed.Load(); len(rows) != 10 || n != 50 {
		t.Errorf("%d rows stored, %d shed, want 10 and 50", len(rows), n)
	}
	if _, err := r.push(r.row(0, 999)); err != nil {
		t.Errorf("after the rush: %v", err)
	}
}

// TestArrayKeepsItsRoom: an array of several messages has its room before its first one is
// written, so that others who come meanwhile make nothing of it vain; one that is larger than
// all room there is gets in when it is alone.
func TestArrayKeepsItsRoom(t *testing.T) {
	for name, queue := range map[string]int{"fits": 3 * device.MaxRows, "larger than all room": 2 * device.MaxRows} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newPushRig(t, 1, queue, time.Millisecond)
				array := make([]device.Reading, 3*device.MaxRows)
				for i := range array {
					array[i] = r.row(0, 1)
					array[i].At = r.now.UnixMilli() - int64(len(array)-i)
				}
				done := make(chan error)
				go func() {
					v, err := r.push(array...)
					if len(v) != len(array) || slices.Contains(v, ingest.Duplicate) {
						t.Errorf("%d verdicts on %d readings", len(v), len(array))
					}
					done <- err
				}()
				synctest.Wait()
				if _, err := r.push(r.row(0, 2)); !errors.Is(err, bus.ErrOverload) {
					t.Errorf("who comes meanwhile: %v, want ErrOverload", err)
				}
				r.start()
				if err := <-done; err != nil {
					t.Errorf("the array: %v", err)
				}
				synctest.Wait()
				if _, err := r.push(r.row(0, 2)); err != nil {
					t.Errorf("after it: %v", err)
				}
				if rows := r.disk.stored(t); len(rows) != len(array)+1 {
					t.Errorf("%d rows are stored, want %d", len(rows), len(array)+1)
				}
			})
		})
	}
}

// What the log did not take is not a duplicate when it comes again.
func TestRefusedByTheLog(t *testing.T) {
	r := newPushRig(t, 2, 0, 0)
	r.start()
	if _, err := r.push(r.row(0, 1)); err != nil {
		t.Fatal(err)
	}
	r.disk.refuse.Store(true)
	for range 2 {
		if _, err := r.push(r.row(0, 1), r.row(0, 2), r.row(0, 3), r.row(1, 1)); !errors.Is(err, errDisk) {
			t.Fatalf("while the disk is full: %v", err)
		}
	}
	if n := r.gw.Stats.Readings.Load(); n != 1 {
		t.Errorf("%d readings counted, want 1", n)
	}
	r.disk.refuse.Store(false)
	v, err := r.push(r.row(0, 1), r.row(0, 2), r.row(0, 3), r.row(1, 1))
	if want := fmt.Sprint([]ingest.Verdict{ingest.Duplicate, ingest.Store, ingest.Store, ingest.Store}); err != nil || fmt.Sprint(v) != want {
		t.Errorf("again: %v, %v, want %v", v, err, want)
	}
	for _, x := range r.disk.stored(t) {
		if x.Flags != 0 {
			t.Errorf("slot %d at %d: [%v], want no trace of the failure", x.Slot, x.At, x.Flags)
		}
	}
	if rows := r.disk.stored(t); len(rows) != 4 {
		t.Errorf("%d rows stored, want 4", len(rows))
	}
}

// Who gives up before the turn of his readings came knows that none was stored.
func TestCallerLeaves(t *testing.T) {
	r := newPushRig(t, 1, 0, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.gw.Push(ctx, []device.Reading{r.row(0, 1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Push() = %v, want Canceled", err)
	}
	r.start()
	if v, err := r.push(r.row(0, 1)); err != nil || v[0] != ingest.Store {
		t.Errorf("the same again: %v, %v, want it stored now", v, err)
	}
	if rows := r.disk.stored(t); len(rows) != 1 {
		t.Errorf("%d rows stored, want 1", len(rows))
	}
}

func TestRunEndsWithWhatWaits(t *testing.T) {
	const n = 50
	r := newPushRig(t, 1, 0, time.Millisecond)
	r.start()
	var wg sync.WaitGroup
	var ok, closed atomic.Int64
	for i := range n {
		wg.Go(func() {
			switch _, err := r.push(r.row(0, i)); {
			case err == nil:
				ok.Add(1)
			case errors.Is(err, bus.ErrClosed):
				closed.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	r.end()
	wg.Wait()
	if rows := r.disk.stored(t); int64(len(rows)) != ok.Load() || ok.Load()+closed.Load() != n {
		t.Errorf("%d stored, %d answered stored, %d answered closed", len(rows), ok.Load(), closed.Load())
	}
	if _, err := r.push(r.row(0, 99)); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after the end: %v, want ErrClosed", err)
	}
}

// In simulated time the loop judges and stores, and the guard hears of it.
func TestPushInVirtualTime(t *testing.T) {
	r := newRig(t, 0)
	x := info(0)
	r.gw.Know(x)
	ctx, cancel := context.WithCancel(t.Context())
	var run, loop sync.WaitGroup
	run.Go(func() {
		if err := r.gw.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	loopCtx, stop := context.WithCancel(t.Context())
	// 1000 times real time, so that it does not end before something came
	r.sched.At(start, sched.Check, func(time.Time) {})
	pushed := make(chan struct{})
	r.sched.Every(at(time.Second), time.Second, sched.Check, func(time.Time) bool {
		select {
		case <-pushed:
			return false
		default:
			time.Sleep(100 * time.Microsecond)
			return true
		}
	})
	loop.Go(func() {
		if err := r.sched.Run(loopCtx, time.Time{}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	hot := healthy(slot(0), start)
	hot.Temperature = 80
	if v, err := r.gw.Push(t.Context(), []device.Reading{hot}); err != nil || v[0] != ingest.Store {
		t.Errorf("%v, %v", v, err)
	}
	close(pushed)
	stop()
	loop.Wait()
	if len(r.frames) != 1 || r.frames[0].rows[0].Arrived != r.frames[0].now.UnixMilli() {
		t.Errorf("stored %+v", r.frames)
	}
	if _, hi, why := r.guard.Window(slot(0)); hi != 0 || why != "temperature high" {
		t.Errorf("the guard allows %v kW (%s) into a hot device", hi, why)
	}
	// The loop has ended: nobody may wait for it for ever.
	answered := make(chan error, 1)
	go func() {
		_, err := r.gw.Push(t.Context(), []device.Reading{healthy(slot(0), at(time.Second))})
		answered <- err
	}()
	time.Sleep(time.Millisecond)
	cancel()
	run.Wait()
	if err := <-answered; !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after the loop has ended: %v, want ErrClosed", err)
	}
}

// On the wall clock what devices push reaches the guard by way of the loop, and
// a restart finds the holds.
func TestWallClock(t *testing.T) {
	d := newDisk(t, 0)
	open := func() (gw *gateway.Gateway, stop func()) {
		s := sched.New(sched.NewWall())
		gw = gateway.New(gateway.Options{Bus: d, Sched: s, Guard: &guard.Guard{}})
		gw.Know(info(0))
		if err := gw.Serve(&fleet{n: 1}, []device.Slot{slot(0)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := gw.Start(ctx, time.Now(), time.Hour); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = gw.Run(ctx) })
		wg.Go(func() { _ = s.Run(ctx, time.Time{}) })
		return gw, func() { cancel(); wg.Wait() }
	}
	acks := make(chan device.Ack, 10)
	follow := func() {
		if _, err := bus.Acks.Subscribe(d, 1, func(_ uint64, f *device.Acks) {
			for _, a := range f.List {
				acks <- a
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	command := func(id string, kw float64, p device.Priority) device.Ack {
		t.Helper()
		c := setPower(0, id, kw)
		c.At, c.Priority = time.Now().UnixMilli(), p
		d.Publish(bus.Control, &device.Commands{List: []device.Command{c}}, func(_ uint64, err error) {
			if err != nil {
				t.Error(err)
			}
		})
		for {
			select {
			case a := <-acks:
				if a.ID == id {
					return a
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("command %s is not answered", id)
			}
		}
	}
	gw, stop := open()
	follow()
	if a := command("held", 20, device.High); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	hot := healthy(slot(0), start)
	hot.At, hot.Temperature = time.Now().UnixMilli()+1, 80
	if v, err := gw.Push(t.Context(), []device.Reading{hot}); err != nil || v[0] != ingest.Store {
		t.Fatalf("%v, %v", v, err)
	}
	if a := command("into a hot one", 20, device.High); a.Code != guard.CodeEnvelope {
		t.Errorf("%+v, want it refused", a)
	}
	stop()
	d.mu.Lock()
	d.Detach()
	d.mu.Unlock()
	_, stop = open()
	defer stop()
	follow()
	if a := command("weak", 5, device.Low); a.Code != guard.CodeHeld {
		t.Errorf("after a restart: %+v, want the device held", a)
	}
	if a := command("held", 5, device.High); a.Power != 20 {
		t.Errorf("the same id after a restart: %+v, want the first answer", a)
	}
}

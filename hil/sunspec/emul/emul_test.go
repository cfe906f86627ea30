package emul_test

import (
	"sync"
	"testing"
	"time"

	"yunchu/hil/sunspec"
	"yunchu/hil/sunspec/emul"
	"yunchu/hil/sunspec/internal/memory"
	"yunchu/hil/unit"
	"yunchu/platform/device"
	"yunchu/platform/device/devicetest"
	"yunchu/twin/params"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// rig is a served unit in simulated time with a driver at it.
type rig struct {
	t      testing.TB
	mu     sync.Mutex // of now, which a server asks for
	now    time.Time
	unit   *unit.Unit
	bank   *emul.Bank
	conn   *memory.Conn
	driver *sunspec.Driver
}

func newRig(t testing.TB, model string) *rig {
	t.Helper()
	m, err := params.LoadModel(model)
	if err != nil {
		t.Fatal(err)
	}
	if m.RatedKW > 1000 { // a string of it: the 10 kW of the suite are less than the whole loses
		m.RatedKW, m.RatedKWh = m.RatedKW/float64(m.Parallel), m.RatedKWh/float64(m.Parallel)
		m.PCS.StandbyW /= float64(m.Parallel)
		m.Parallel = 1
	}
	return newRigOf(t, m)
}

func newRigOf(t testing.TB, m *params.Model) *rig {
	t.Helper()
	var err error
	r := &rig{t: t, now: start}
	r.unit, err = unit.New(unit.Options{ID: "rig-1", Model: m, SoC: 50, AmbientC: 25, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	r.bank, err = emul.New(emul.Options{Unit: r.unit, Base: emul.DefaultBase, Now: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	r.conn = &memory.Conn{Bank: r.bank}
	r.driver, err = sunspec.New(sunspec.Options{Conn: r.conn, Base: sunspec.Anywhere, Unit: memory.Unit})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// step moves time and the unit on.
func (r *rig) step(d time.Duration) {
	r.mu.Lock()
	r.now = r.now.Add(d)
	r.mu.Unlock()
	r.unit.Tick(r.now)
}

// pass lets d pass, the device polled every half second as a gateway would.
func (r *rig) pass(d time.Duration) time.Time {
	const every = 500 * time.Millisecond
	for end := r.now.Add(d); r.now.Before(end); {
		r.step(min(every, end.Sub(r.now)))
		_, _ = r.driver.Read(r.t.Context(), r.now) // what it finds is for whoever asks
	}
	return r.now
}

func (r *rig) read() device.Reading {
	r.t.Helper()
	x, err := r.driver.Read(r.t.Context(), r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

func TestDriverKeepsWhatDriversPromise(t *testing.T) {
	models := params.Models()
	if testing.Short() {
		models = models[:1]
	}
	for _, model := range models {
		t.Run(model, func(t *testing.T) {
			devicetest.Run(t, func(t *testing.T) (device.Driver, func(time.Duration) time.Time) {
				r := newRig(t, model)
				return r.driver, r.pass
			})
		})
	}
}

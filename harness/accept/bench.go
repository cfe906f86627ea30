package accept

import (
	"errors"
	"log/slog"
	"time"

	"yunchu/harness/backend"
	"yunchu/harness/scenario"
	"yunchu/hil/record"
	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// Bench is one device under test and what can be done around it. Exactly one of World
// and Open is set.
type Bench struct {
	// Info is what is known of the device, its nameplate included.
	Info device.Info
	// World is a twin, in virtual time.
	World World
	// Open opens the driver of a device on a wire, in real time. timed, when the driver
	// can, is told of each exchange. It is called once, and the driver is closed at the end.
	Open func(timed device.Timed) (device.Driver, error)
	// Tape, when set, is told when the tests begin and what the device is asked for, beside
	// what crosses its links.
	Tape *record.Writer
	// Loopback: an emulator on this machine. Any other device is armed only where
	// Options name it.
	Loopback bool
	// Twin, when set, is what its sign test is held against before it is armed.
	Twin device.Comparison
	// VoltStep is in which steps its voltage moves, V, where its entry says so; 0: as its
	// registers declare.
	VoltStep float64
	// Backend is what a test can do behind the device; nil: nothing.
	Backend backend.Face
	// Period is how often the device is read; 0: 50 ms.
	Period time.Duration

	Address string // for the report
	Serials []string
	Tools   []scenario.Instrument
	// Over are the changes of procedures that the rig file asks for, by test.
	Over map[string]Overrides
}

// World is a twin and its backend, in virtual time. All of it is called on one
// goroutine, that of the scheduler.
type World interface {
	backend.Face
	// Devices is a fleet of one.
	Devices() device.Fleet
	// Step moves the physics to now; what the backend does, it does at the last of
	// these instants.
	Step(now time.Time)
}

// Options are how a suite is done.
type Options struct {
	// Durable opens the bus of a plant in real time in a folder.
	Durable func(dir string) (bus.Bus, error)
	Short   bool     // with the procedures' short parameters
	Arm     []string // devices that are not emulators and may be armed
	// Over are changes of procedures over those of the bench, by test.
	Over     map[string]Overrides
	Operator string
	// Audit is a folder that keeps, by the id of each device on a wire, the audit of what
	// was written to it; empty: it is not kept.
	Audit string
	Log   *slog.Logger
	// Progress, when set, is told what is being done, and of what takes long before a test can
	// begin also why; at is since the test began.
	Progress func(device, test, why string, at time.Duration)
	// Start is where virtual time begins; zero: 2026-01-01.
	Start time.Time
}

// defaultPeriod is how often a device under test is read.
const defaultPeriod = 50 * time.Millisecond

// ErrNotThere: the device did not answer.
var ErrNotThere = errors.New("the rig is not there")

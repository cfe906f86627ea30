package device

import (
	"context"
	"errors"
	"time"
)

// This file is what a Driver may be able to do beyond reading and writing. Each is
// an interface of its own, found by assertion; a device that lacks one is none the
// worse for the plant.

// ErrReadBack: a register does not hold what was written to it.
var ErrReadBack = errors.New("read back differently")

// Described is a Driver whose device can be asked for its nameplate.
type Described interface {
	// Describe returns what the device says of itself; what it does not say is zero.
	// ErrOffline when it does not answer.
	Describe(ctx context.Context, now time.Time) (Info, error)
}

// Tried is one reading of a device while a small power is asked of it both ways.
type Tried struct {
	Reading
	// AskedKW is what the device had been asked for long enough to follow, kW; NaN: it was
	// on its way.
	AskedKW float64
}

// Comparison holds what a device was read while small powers were tried on it, in order
// of time and beginning with a reading from before them, against what a device of its kind
// does for the same power from the same state. said is its nameplate, nil where it has told
// none. evidence tells what was compared with what, and what could not be; differs names
// each quantity that is another one, with what was measured, what was expected and the
// tolerance, and is empty where nothing differs.
type Comparison func(said *Info, window []Tried) (evidence, differs string)

// Framed is a Driver whose device sends frames by itself, in known periods. Frames may be
// called while the driver is in use.
type Framed interface {
	// Frames are how many have come until now, and how many are missing.
	Frames(now time.Time) (came, lost int64)
}

// Setting is one adjustable value of a device. Value, Min and Max are in Unit, after
// scale factors; the step is the resolution of its register.
type Setting struct {
	Name     string // one of the names below, or the device's own, such as 704.WMaxLimPct
	Unit     string
	Min, Max float64 // what may be written; both 0: not known
	Step     float64
	ReadOnly bool
}

// Names of settings that mean the same on every device which has them.
const (
	SettingRamp       = "ramp"        // %/s of rated power; how fast power moves to a setpoint
	SettingPowerLimit = "power-limit" // % of rated power, of both directions; 100 lifts it
	SettingRevert     = "revert"      // s, after which a setpoint that nobody renews reverts to 0; at most the dead-man time that is configured
	SettingConnect    = "connect"     // 1 connected, 0 not
	SettingReserve    = "reserve"     // %, state of charge that is not discharged below
	SettingReactive   = "reactive"    // kvar, above zero absorbed: the reactive power that flows, which is only read
)

// Adjustable is a Driver whose device has settings. ErrUnsupported for a name that
// it does not have, or that it has not implemented.
type Adjustable interface {
	// Settings lists what the device has. It may have to ask it.
	Settings(ctx context.Context) ([]Setting, error)
	// Setting reads one value.
	Setting(ctx context.Context, name string) (float64, error)
	// Adjust writes one value and returns what the device holds afterwards, as read
	// back. ErrReadBack when that differs by more than the setting's step,
	// ErrRejected when the device refuses.
	Adjust(ctx context.Context, name string, value float64) (float64, error)
}

// Trial is something that a device must refuse, as it was tried on it.
type Trial struct {
	Name    string // such as "write to a read-only register"
	Want    string // the refusal that the protocol asks for, such as "exception 2"
	Got     string // what came back
	Refused bool   // Got is the refusal that was wanted
	Changed bool   // the device's state is another one than before
	// Writes are what was written for it, first what was tried and then, if the device took
	// that, what put it back: What, Unit, Asked, Before, After, Status and Text of each, and
	// the Act of the latter.
	Writes []Write
	// Skipped says why it was not tried, where it does not apply to the device.
	Skipped string
	// Restored: what the device took was put back, and reads so.
	Restored bool
}

// Restored is the Act of a Write that puts back what a trial has changed.
const Restored = "restored"

// Probed is a Driver that can try on its device what it must refuse. Between two exchanges
// of a trial it gives way (GiveWay). When ctx ends no other trial is begun, but what the
// device has taken is put back, and the trial is among those returned.
type Probed interface {
	Probe(ctx context.Context) ([]Trial, error)
}

// wayKey is the key of what GiveWay calls.
type wayKey struct{}

// WithWay returns a context in which way is called wherever a driver can be interrupted: it
// may hand the same driver a command that cannot wait.
func WithWay(ctx context.Context, way func()) context.Context {
	return context.WithValue(ctx, wayKey{}, way)
}

// GiveWay lets go first what cannot wait. A driver calls it before each exchange of
// something that takes several.
func GiveWay(ctx context.Context) {
	if way, ok := ctx.Value(wayKey{}).(func()); ok {
		way()
	}
}

// heardKey is the key of what Heard calls.
type heardKey struct{}

// WithHeard returns a context in which heard is called whenever the device has answered a part
// of what it is asked, with a refusal too: it is there, though it cannot be read meanwhile.
// heard is called from any goroutine.
func WithHeard(ctx context.Context, heard func()) context.Context {
	return context.WithValue(ctx, heardKey{}, heard)
}

// Heard tells that the device has answered. A driver whose commands take several exchanges
// calls it after each that was answered.
func Heard(ctx context.Context) {
	if heard, ok := ctx.Value(heardKey{}).(func()); ok {
		heard()
	}
}

// ErrStopFirst is the cause (context.Cause) of a context that has ended because a command came
// that must not wait for what is being done: no other exchange begins, but the one that is
// under way is left to end, since a line that is given up in its midst is of no use to anybody
// for a while.
var ErrStopFirst = errors.New("a stop came first")

// Remark is something that a driver has found out about its device and that people should
// know; it becomes an event.
type Remark struct {
	Type     string
	Severity Severity
	Text     string
}

// Remarking is a Driver that has remarks.
type Remarking interface {
	// Remarks returns what was found since the last call, oldest first.
	Remarks() []Remark
}

// Parted is a Driver of a device of several parts.
type Parted interface {
	// Pressed names the parts whose emergency stop is pressed or latched by the newest
	// reading, "" for none.
	Pressed() string
}

// Crossing is one message that crossed a link.
type Crossing struct {
	At   time.Time
	Out  bool   // from us to the device
	Data []byte // in the protocol's own form; valid during the call only
}

// Tap is told of every message that crosses a link, in order. It must not block.
type Tap func(Crossing)

// Timed is told how long each exchange with a device took, and how it ended. It
// must not block and may be called from any goroutine.
type Timed func(took time.Duration, err error)

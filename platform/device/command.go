package device

import "math"

// Verb is what a command asks for.
type Verb uint8

// The commands that exist.
const (
	SetPower Verb = iota + 1
	SetMode
	Stop    // power 0 now and hold it
	Release // give the device back to dispatch
	EStop   // power 0 now, opened where the device can; refused everything until Reset
	Reset   // lift what latched; power stays 0 until the device is armed or asked again
	Arm     // let a device on a wire act
	Disarm  // power 0, and no more commands until Arm
)

var verbNames = [...]string{"", "setPower", "setMode", "stop", "release", "eStop", "reset", "arm", "disarm"}

// String is the verb's name in the API.
func (v Verb) String() string { return name(verbNames[:], int(v)) }

// ParseVerb finds a verb by its name in the API.
func ParseVerb(s string) (v Verb, ok bool) {
	for i, n := range verbNames[1:] {
		if n == s {
			return Verb(i + 1), true
		}
	}
	return 0, false
}

// Mode is what SetMode puts a device into.
type Mode uint8

// Run follows setpoints, StandbyMode holds power at 0 with the power stage off,
// MaintenanceMode does the same while people work on the device, and shows it.
// Only another SetMode leaves either of them; until then setpoints are refused.
const (
	Run Mode = iota
	StandbyMode
	MaintenanceMode
)

var modeNames = [...]string{"run", "standby", "maintenance"}

// String is the mode's name in the API.
func (m Mode) String() string { return name(modeNames[:], int(m)) }

// ParseMode finds a mode by its name in the API.
func ParseMode(s string) (m Mode, ok bool) {
	for i, n := range modeNames {
		if n == s {
			return Mode(i), true
		}
	}
	return 0, false
}

// Priority orders who may command a device.
type Priority uint8

// From the weakest to the strongest. Normal is the default of people's commands.
const (
	Low Priority = iota
	Dispatch
	Normal
	High
	Safety
)

var priorityNames = [...]string{"low", "dispatch", "normal", "high", "safety"}

// String is the priority's name in the API.
func (p Priority) String() string { return name(priorityNames[:], int(p)) }

// ParsePriority finds a priority by its name in the API.
func ParsePriority(s string) (p Priority, ok bool) {
	for i, n := range priorityNames {
		if n == s {
			return Priority(i), true
		}
	}
	return 0, false
}

// Command asks one device for something. The zero ID is for dispatch, whose
// commands are told apart by Seq alone.
type Command struct {
	Slot     Slot
	Seq      uint64 // counts the commands of one source
	ID       string // the sender's commandId: the same one takes effect once
	Verb     Verb
	Mode     Mode
	Priority Priority
	Power    float64 // kW, + charges; of SetPower
	At       int64   // ms UTC, when it was issued
	Duration int64   // ms that it holds, counted from acceptance
	Until    int64   // ms UTC, when a setpoint expires; set at acceptance
	Source   string  // who asked: dispatch, guard, timeline, user:<name>
	Reason   string  // why, for the audit
}

// AckStatus is how a command ended.
type AckStatus uint8

// Done means that the device has taken the setpoint (read back on a wire), not
// that it has reached it.
const (
	Done AckStatus = iota + 1
	Rejected
	Expired
	Failure
)

var ackNames = [...]string{"", "done", "rejected", "expired", "failed"}

// String is the status's name in the API.
func (s AckStatus) String() string { return name(ackNames[:], int(s)) }

// Ack is the answer to a command.
type Ack struct {
	Slot     Slot
	Seq      uint64
	ID       string
	Status   AckStatus
	Code     string // stable, such as STALE_COMMAND; empty when done
	Reason   string // for people
	At       int64  // ms UTC, when the device answered
	Issued   int64  // ms UTC, the command's At
	Until    int64  // ms UTC, when the accepted setpoint expires; 0 for none
	Verb     Verb
	Mode     Mode
	Priority Priority
	Power    float64 // kW that the device has taken
	Source   string
	// Before and Reduced are what an audit asks for: the setpoint that was in
	// force, and whether the guard cut the request to Power.
	Before  float64
	Reduced bool
	// Was and Is say the same of what the device may do and in which mode, of commands
	// that are not about a power.
	Was, Is Standing
	// Repeat marks the outcome of an earlier command, given once more to somebody
	// who sent its commandId again. It answers the sender and changes nothing:
	// nobody may take it for something that has happened now.
	Repeat bool
}

// Answer is the acknowledgement of c with the given outcome.
func (c *Command) Answer(status AckStatus, at int64, code, reason string) Ack {
	return Ack{
		Slot: c.Slot, Seq: c.Seq, ID: c.ID, Status: status, Code: code, Reason: reason,
		At: at, Issued: c.At, Until: c.Until,
		Verb: c.Verb, Mode: c.Mode, Priority: c.Priority, Power: c.Power, Source: c.Source,
	}
}

// Standing is the state of a device in its life cycle and its mode, as they were or are at
// some moment. The zero value is for not known.
type Standing uint8

const (
	standing      Standing = 1 << 7
	standingState          = 4 // bits that the state lies above the mode
)

// Stand is the standing of a device in that state and mode.
func Stand(s State, m Mode) Standing { return standing | Standing(s)<<standingState | Standing(m) }

// Known reports whether s says anything.
func (s Standing) Known() bool { return s != 0 }

// State is where the device stands in its life cycle: failed while its emergency stop is
// latched, inactive while it may not act.
func (s Standing) State() State { return State(s &^ standing >> standingState) }

// Mode is what it was put into last.
func (s Standing) Mode() Mode { return Mode(s & (1<<standingState - 1)) }

// valid reports whether s is the zero value or one that Stand makes.
func (s Standing) valid() bool {
	return s == 0 || s&standing != 0 && s.State() <= Failed && s.Mode() <= MaintenanceMode
}

// Severity grades an event.
type Severity uint8

// As the API names them.
const (
	Information Severity = iota
	Warning
	Critical
)

var severityNames = [...]string{"info", "warning", "critical"}

// String is the severity's name in the API.
func (s Severity) String() string { return name(severityNames[:], int(s)) }

// MarshalText writes the name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name.
func (s *Severity) UnmarshalText(b []byte) error {
	return parseName(s, severityNames[:], "severity", b)
}

// Event is something that happened and that people may want to know.
type Event struct {
	ID       string
	Slot     Slot // Plant when it belongs to no device
	Type     string
	Severity Severity
	Text     string
	At       int64 // ms UTC
}

// Finite reports whether x is a number.
func Finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

package device

import (
	"fmt"
	"math"
	"strings"
)

// Status is the operating word of a reading.
type Status uint8

// The words of the vocabulary. OtherStatus stands for any other word, which is
// kept beside it.
const (
	OtherStatus Status = iota
	Charging
	Discharging
	Idle
	Standby
	Fault
	Offline
	Maintenance
)

var statusNames = [...]string{"other", "charging", "discharging", "idle", "standby", "fault", "offline", "maintenance"}

// ParseStatus finds a word of the vocabulary; ok is false for any other.
func ParseStatus(word string) (s Status, ok bool) {
	for i, n := range statusNames[1:] {
		if n == word {
			return Status(i + 1), true
		}
	}
	return OtherStatus, false
}

// String is the word.
func (s Status) String() string { return name(statusNames[:], int(s)) }

// Quality says whether a reading may be acted on. Dispatch and settlement use
// only Good ones.
type Quality uint8

// Good may be used, Suspect is plausible but unproven, Bad contradicts itself or
// the device.
const (
	Good Quality = iota
	Suspect
	Bad
)

var qualityNames = [...]string{"good", "suspect", "bad"}

// String is the quality's name in the API.
func (q Quality) String() string { return name(qualityNames[:], int(q)) }

// MarshalText writes the name.
func (q Quality) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText reads a name.
func (q *Quality) UnmarshalText(b []byte) error { return parseName(q, qualityNames[:], "quality", b) }

// Flags are the findings of ingest about one reading.
type Flags uint16

// What ingest may find, from FlagHeartbeat on what a driver finds, and from FlagFilled
// on what cleaning made of it. FlagRange makes a reading bad; FlagLogic, FlagFrozen,
// FlagRevised, FlagHeartbeat, what cleaning says and a strange status word make it
// suspect; the others leave it good.
const (
	FlagRange     Flags = 1 << iota // a value outside what is possible, or a status word outside the vocabulary
	FlagLogic                       // power does not match voltage times current
	FlagOrder                       // measured before a reading that is already there
	FlagSign                        // the status corrected the sign of power and current
	FlagGap                         // readings are missing before this one
	FlagFrozen                      // the device repeats itself under fresh timestamps
	FlagRevised                     // replaces another reading of the same device and time
	FlagSimulated                   // no real battery stands behind it
	FlagHeartbeat                   // the device's own heartbeat stands still
	FlagLocal                       // the device's panel has the control: it must not be written to
	FlagMaster                      // a setpoint of ours was changed by somebody else
	FlagEStop                       // its emergency stop is pressed or latched
	FlagFilled                      // cleaned: a value was not received, or not believed, and filled in
	FlagOutlier                     // cleaned: a value that stood apart was left out
	FlagConflict                    // fused: the sources contradict one another
)

var flagNames = [...]string{
	"range", "logic", "order", "sign", "gap", "frozen", "revised", "simulated",
	"heartbeat", "local", "second-master", "e-stop",
	"filled", "outlier", "conflict",
}

// Names lists the flags' names in a fixed order; never nil, so that JSON shows [].
func (f Flags) Names() []string {
	out := make([]string, 0, 2)
	for i, n := range flagNames {
		if f&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// String joins the names with commas.
func (f Flags) String() string { return strings.Join(f.Names(), ",") }

// Reading is one device's report of one moment. NaN means that the device does
// not report the quantity.
type Reading struct {
	Slot    Slot
	At      int64 // ms UTC, when it was measured
	Arrived int64 // ms UTC, when it reached us

	SoC          float64 // percent
	SoH          float64 // percent
	Voltage      float64 // V, DC
	Current      float64 // A, DC, + charges
	Power        float64 // kW, AC, + charges
	Temperature  float64 // °C, hottest cell
	MaxCharge    float64 // kW >= 0 that the device can take now, AC
	MaxDischarge float64 // kW >= 0 that the device can give now, AC
	// Frequency of the grid at its terminals, Hz; it reports one where that is above 0. The log
	// and the latest reading have it, the history does not.
	Frequency float64

	Status  Status
	Word    string // the status word as received when Status is OtherStatus
	Quality Quality
	Flags   Flags
	// Beyond are the values that FlagRange is about, as far as who raised it says. It
	// goes with the reading through this process, and not into the log.
	Beyond Points
	// Own are the windows that the device tells of itself, nil for none; like Beyond they do
	// not go into the log. Who has them changes nothing of them.
	Own *OwnWindows
}

// Points are values of a reading.
type Points uint16

// The values that can be out of range.
const (
	PointSoC Points = 1 << iota
	PointSoH
	PointVoltage
	PointCurrent
	PointPower
	PointTemperature
	PointMaxCharge
	PointMaxDischarge
)

// Told lists some of the reading's values in words, such as "power 9 kW".
func (r *Reading) Told(p Points) string {
	var out []string
	for i, v := range []struct {
		name, unit string
		value      float64
	}{
		{"state of charge", "%", r.SoC},
		{"state of health", "%", r.SoH},
		{"voltage", "V", r.Voltage},
		{"current", "A", r.Current},
		{"power", "kW", r.Power},
		{"temperature", "°C", r.Temperature},
		{"power that it takes", "kW", r.MaxCharge},
		{"power that it gives", "kW", r.MaxDischarge},
	} {
		if p&(1<<i) != 0 {
			out = append(out, fmt.Sprintf("%s %.6g %s", v.name, v.value, v.unit))
		}
	}
	return strings.Join(out, ", ")
}

// StatusWord is the status as it was received.
func (r *Reading) StatusWord() string {
	if r.Status == OtherStatus {
		return r.Word
	}
	return r.Status.String()
}

// SameValues reports whether two readings carry the same measured values,
// whatever their times and findings. NaN equals NaN.
func (r *Reading) SameValues(o *Reading) bool {
	return same(r.SoC, o.SoC) && same(r.SoH, o.SoH) && same(r.Voltage, o.Voltage) && same(r.Current, o.Current) &&
		same(r.Power, o.Power) && same(r.Temperature, o.Temperature) && r.Status == o.Status && r.Word == o.Word
}

func same(a, b float64) bool { return a == b || (a != a && b != b) }

// Empty is a reading of nothing: every value NaN, and no frequency.
func Empty() Reading {
	n := math.NaN()
	return Reading{SoC: n, SoH: n, Voltage: n, Current: n, Power: n, Temperature: n, MaxCharge: n, MaxDischarge: n}
}

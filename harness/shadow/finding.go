//go:build !nosim

package shadow

import "fmt"

// Cause is a class of divergence.
type Cause uint8

// The causes that are told apart.
const (
	Resistance     Cause = iota + 1 // the cell's resistance is not its model's
	SensorOffset                    // a reading is off: voltage, current, temperature, soc
	CapacityOrLeak                  // charge is lost, or the capacity is not the model's
	Thermal                         // heat is made or taken away otherwise than in the model
	Communication                   // readings are missing, late, repeated, or commands without effect
)

var causeNames = [...]string{"", "resistance", "sensor-offset", "capacity-or-leak", "thermal", "communication"}

// String is the cause's name in events.
func (c Cause) String() string { return causeNames[min(int(c), len(causeNames)-1)] }

// Finding is one named divergence with its evidence.
type Finding struct {
	Cause Cause
	What  string  // the quantity: resistance, voltage, current, temperature, soc, capacity, leak, silence, ...
	Value float64 // the estimate, in Unit
	Sigma float64 // its standard deviation, 0 where there is none
	Unit  string  // %, mV, A, K, s
	Since int64   // ms UTC, when it was raised
}

// String says what diverged and by how much.
func (f Finding) String() string {
	s := fmt.Sprintf("%s: %s %+.3g %s", f.Cause, f.What, f.Value, f.Unit)
	if f.Sigma > 0 {
		s += fmt.Sprintf(" (1 sigma %.2g)", f.Sigma)
	}
	return s
}

// Change is a finding that was raised, or one that is over.
type Change struct {
	Finding Finding
	Over    bool
	At      int64 // ms UTC
}

// alarm is the one finding that a channel may have.
type alarm struct {
	on      bool
	finding Finding
}

func (a *alarm) raise(c Cause, what string, value, sigma float64, unit string) {
	a.on = true
	a.finding = Finding{Cause: c, What: what, Value: value, Sigma: sigma, Unit: unit}
}

func (a *alarm) is(what string) bool { return a.on && a.finding.What == what }

// hold is how long a condition has stood without a break, in s.
type hold float64

// over reports whether the condition has now stood for limit seconds.
func (h *hold) over(dt float64, condition bool, limit float64) bool {
	if !condition {
		*h = 0
		return false
	}
	*h += hold(dt)
	return float64(*h) >= limit
}

// Package device is the vocabulary that every other package shares: what a
// device is called, what it reports, what it can be told to do, and the small
// interface behind which every real or simulated one stands.
//
// # Signs and units
//
// Power and current are positive into the device (charging) and negative out of
// it (discharging). Power is at the AC terminals, voltage and current are at the
// battery's DC terminals, temperature is the hottest cell's. Values here are in
// the units people use outside: kW, V, A, °C, percent, milliseconds since 1970
// UTC. Drivers convert at the register; nobody else does.
package device

import (
	"errors"
	"fmt"
	"time"
)

// ID names a device for people, addresses and files: 1 to 64 of [A-Za-z0-9_-].
type ID string

// Valid reports whether id may name a device.
func (id ID) Valid() bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// Slot is the dense number of a device in one plant. It is given at
// registration, written to log.meta and never reused, so that frames and columns
// can be indexed by it instead of looking names up.
type Slot uint32

// Plant is the slot of things that belong to no single device, such as an event
// of the fleet or a command to all.
const Plant Slot = 1<<32 - 1

// State is where a device stands in its life cycle.
type State uint8

// A device is configured (known), inactive (read, may not act), active, or
// failed.
const (
	Configured State = iota
	Inactive
	Active
	Failed
)

var stateNames = [...]string{"configured", "inactive", "active", "failed"}

// String is the state's name in the API.
func (s State) String() string { return name(stateNames[:], int(s)) }

// MarshalText writes the name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name.
func (s *State) UnmarshalText(b []byte) error { return parseName(s, stateNames[:], "state", b) }

// Location is where a device stands. Degrees in WGS 84.
type Location struct {
	Lat  float64 `json:"lat"`
	Lon  float64 `json:"lon"`
	Name string  `json:"name,omitempty"`
}

// Info is what is known of a device without asking it.
type Info struct {
	ID    ID     `json:"deviceId"`
	Slot  Slot   `json:"slot"`
	Kind  string `json:"kind"` // sim, push, edge, fused, modbus, sunspec, can, mms, mqtt, replay
	State State  `json:"state"`
	Edge  string `json:"edge,omitempty"` // the site that serves it, of kind edge

	DeviceType   string    `json:"deviceType,omitempty"`
	Manufacturer string    `json:"manufacturer,omitempty"`
	Model        string    `json:"model,omitempty"`
	Location     *Location `json:"location,omitempty"`
	InstallDate  string    `json:"installDate,omitempty"` // YYYY-MM-DD
	Serial       string    `json:"serial,omitempty"`
	Firmware     string    `json:"firmware,omitempty"`

	RatedKW     float64 `json:"ratedKw,omitempty"`     // AC power in either direction; 0 = not known
	CapacityKWh float64 `json:"capacityKwh,omitempty"` // usable energy when new; 0 = not known
	LossKW      float64 `json:"lossKw,omitempty"`      // largest stated conversion loss at rated power
	// What the device says of itself:
	SoCMin  float64 `json:"socMin,omitempty"`  // percent
	SoCMax  float64 `json:"socMax,omitempty"`  // percent; 0 = 100
	VoltMin float64 `json:"voltMin,omitempty"` // V, DC; 0 = none
	VoltMax float64 `json:"voltMax,omitempty"` // V, DC; 0 = none
	// VoltStep is the step in which its battery's voltage is written, as its registers, models
	// or database declare it, V; 0 = they do not.
	VoltStep float64 `json:"-"`

	// ArmWithoutSoC: its entry says that it may act although it does not report its state of
	// charge.
	ArmWithoutSoC bool `json:"armWithoutSoc,omitempty"`

	Use // what dispatch is told of it

	PollMS    int  `json:"pollMs,omitempty"` // how often it is read, where that is its own
	Simulated bool `json:"simulated,omitempty"`

	// What people have set; of this and what the device says the tightest acts.
	Limits   Limits `json:"configuredLimits,omitzero"` // by the configuration
	Narrowed Limits `json:"limits,omitzero"`           // by the API, within those
}

// Wired reports whether the device is reached over a wire, ours or its own, so that it acts
// only once somebody has armed it.
func (i *Info) Wired() bool {
	switch i.Kind {
	case "modbus", "sunspec", "can", "mms", "mqtt", "parts", "push", "edge":
		return true
	}
	return false
}

// Errors that callers branch on.
var (
	// ErrOffline: the device did not answer, or nobody is listening for it.
	ErrOffline = errors.New("device offline")
	// ErrUnsupported: the device has no such command.
	ErrUnsupported = errors.New("not supported by the device")
	// ErrRejected: the device answered and refused.
	ErrRejected = errors.New("rejected by the device")
)

// Millis is t in milliseconds since 1970 UTC, the unit of all wire timestamps.
func Millis(t time.Time) int64 { return t.UnixMilli() }

// Time is the instant of a wire timestamp, in UTC.
func Time(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%d", i)
}

func parseName[T ~uint8](dst *T, names []string, what string, b []byte) error {
	for i, n := range names {
		if n == string(b) {
			*dst = T(i)
			return nil
		}
	}
	return fmt.Errorf("unknown %s %q", what, b)
}

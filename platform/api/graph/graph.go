// Package graph is the GraphQL interface without a plant: its schema, what gqlgen
// makes of it, the types that its fields are read from, and the limits that every
// query is held to. Package api resolves the fields.
package graph

//go:generate go tool gqlgen generate --config gqlgen.yml

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"yunchu/platform/device"
)

// ErrInput: an argument cannot be what it must; the text says why and is shown to
// the sender.
var ErrInput = errors.New("invalid argument")

// Device is a device as the registry knows it, and where its newest readings are.
type Device struct {
	device.Info
	Newest Newest
}

// Newest knows the newest readings.
type Newest interface {
	// Latest is the newest reading by its own time, or the newest good one.
	Latest(s device.Slot, goodOnly bool) (device.Reading, bool)
	// Online reports whether the newest good reading is fresh enough to act on.
	Online(s device.Slot) bool
}

// The methods of a device take no context, so that gqlgen starts no goroutine for
// what is in memory.

// Online is whether it may be acted on.
func (d *Device) Online() bool { return d.Newest.Online(d.Slot) }

// Status is the status word of the newest reading, nil without one.
func (d *Device) Status() *string {
	last, ok := d.Newest.Latest(d.Slot, false)
	if !ok {
		return nil
	}
	word := last.StatusWord()
	return &word
}

// Latest is the newest reading, or the newest good one; nil without one.
func (d *Device) Latest(good bool) *Reading {
	last, ok := d.Newest.Latest(d.Slot, good)
	if !ok {
		return nil
	}
	return &Reading{last, d.ID}
}

// Type is what kind of thing it is, nil when nobody has said.
func (d *Device) Type() *string { return text(d.DeviceType) }

// Manufacturer is nil when nobody has said.
func (d *Device) Manufacturer() *string { return text(d.Info.Manufacturer) }

// Model is nil when nobody has said.
func (d *Device) Model() *string { return text(d.Info.Model) }

// Serial is nil when nobody has said.
func (d *Device) Serial() *string { return text(d.Info.Serial) }

// Firmware is nil when nobody has said.
func (d *Device) Firmware() *string { return text(d.Info.Firmware) }

// InstallDate is nil when nobody has said.
func (d *Device) InstallDate() *string { return text(d.Info.InstallDate) }

// Capacity is in kWh, NaN when nobody has said.
func (d *Device) Capacity() float64 { return known(d.CapacityKWh) }

// Rated is in kW, NaN when nobody has said.
func (d *Device) Rated() float64 { return known(d.RatedKW) }

// Location is nil when nobody has said.
func (d *Device) Location() *Location { return (*Location)(d.Info.Location) }

// Location is where a device stands. Degrees in WGS 84.
type Location device.Location

// Site is the name of the location of a device, empty when it has none.
func Site(d *device.Info) string {
	if d.Location == nil {
		return ""
	}
	return d.Location.Name
}

// Reading is a reading, or a row of history, of a device.
type Reading struct {
	device.Reading
	DeviceID device.ID
}

// Flags are the names of what ingest has found.
func (r *Reading) Flags() []string { return r.Reading.Flags.Names() }

// Event is an event; the device is empty where it belongs to none.
type Event struct {
	device.Event
	Device device.ID
}

// EventID is the event's id.
func (e *Event) EventID() string { return e.ID }

// DeviceID is nil where it belongs to no device.
func (e *Event) DeviceID() *device.ID {
	if e.Device == "" {
		return nil
	}
	return &e.Device
}

// Ack is the answer to a command.
type Ack struct {
	device.Ack
	DeviceID device.ID
}

// CommandID is the id that the sender gave.
func (a *Ack) CommandID() string { return a.ID }

// Code is nil when the command is done.
func (a *Ack) Code() *string { return text(a.Ack.Code) }

// Reason is nil when there is none.
func (a *Ack) Reason() *string { return text(a.Ack.Reason) }

// IssuedAt is nil when nobody has said.
func (a *Ack) IssuedAt() *int64 { return moment(a.Issued) }

// UntilAt is nil when no setpoint is in force.
func (a *Ack) UntilAt() *int64 { return moment(a.Until) }

// FleetState has the fields of the type of package api of this name, from which it
// is converted.
type FleetState struct {
	Time                 int64
	TargetKW             float64
	PowerKW              float64
	AvailableChargeKW    float64
	AvailableDischargeKW float64
	ShortfallKW          float64
	Reason               string
	SoCMean              float64
	SoCMin               float64
	SoCP5                float64
	SoCP95               float64
	SoCMax               float64
	TemperatureMaxC      float64
	Online               int
	Devices              int
	CommandsPerS         float64
	Interventions        int64
	Speed                float64
}

// Score has the fields of the type of package api of this name, from which it is
// converted.
type Score struct {
	Metric string
	Stat   string
	Value  float64
	Unit   string
	Limit  string
	Pass   *bool
}

// Aggregate is a group of devices. Powers in kW, + charges, and states of charge in
// percent are of those that are online; NaN is a number that is not known.
type Aggregate struct {
	Group                string
	Devices, Online      int
	PowerKW              float64
	AvailableChargeKW    float64
	AvailableDischargeKW float64
	SoCMean              float64
	SoCMin, SoCMax       float64
	RatedKW, CapacityKWh float64
	WithSoC              int           // of those that are online, how many tell their state of charge
	Slots                []device.Slot // of all
	Turn                 *sync.Mutex   // of the groups of one answer: their energy is counted one after the other
}

// Energy went into and out of some devices, kWh ≥ 0 at their AC terminals.
type Energy struct{ InKWh, OutKWh, CoveredS float64 }

// Gap is where readings are missing. It has the fields of the type of package
// series of this name, from which it is converted.
type Gap struct {
	From, To int64
	Reason   string
}

// Step is what readings amount to in a step of time that begins At.
type Step struct {
	At                                             int64
	Devices                                        int
	Count, Bad                                     int64
	EnergyInKWh, EnergyOutKWh, CoveredS            float64
	SoC, SoH, Voltage, Current, Power, Temperature Stat
}

// Stat is what one quantity amounts to; NaN is a number that is not known.
type Stat struct{ Mean, Min, Max, Last, Sum float64 }

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func known(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}

func moment(ms int64) *int64 {
	if ms == 0 {
		return nil
	}
	return &ms
}

// The functions below are how gqlgen writes and reads the scalars. What they cannot
// read is ErrInput.

func write(b []byte) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = w.Write(b) // a buffer, which takes everything
	})
}

// MarshalFloat writes what is not a number as null.
func MarshalFloat(v float64) graphql.Marshaler {
	if !device.Finite(v) {
		return graphql.Null
	}
	form := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		form = 'e'
	}
	return write(strconv.AppendFloat(nil, v, form, -1, 64))
}

// UnmarshalFloat reads a finite number.
func UnmarshalFloat(v any) (float64, error) {
	f, err := graphql.UnmarshalFloat(v)
	if _, word := v.(string); err != nil || word || !device.Finite(f) {
		return 0, fmt.Errorf("%w: %s is not a number that fits into a double", ErrInput, shown(v))
	}
	return f, nil
}

// MarshalInt writes a whole number.
func MarshalInt(v int) graphql.Marshaler { return write(strconv.AppendInt(nil, int64(v), 10)) }

// UnmarshalInt reads a whole number of 32 bits.
func UnmarshalInt(v any) (int, error) {
	n, err := graphql.UnmarshalInt32(v)
	if _, word := v.(string); err != nil || word {
		return 0, fmt.Errorf("%w: %s is not a whole number of 32 bits", ErrInput, shown(v))
	}
	return int(n), nil
}

// MarshalID writes the id of a device.
func MarshalID(id device.ID) graphql.Marshaler { return graphql.MarshalString(string(id)) }

// UnmarshalID reads what may name a device.
func UnmarshalID(v any) (device.ID, error) {
	word, _ := v.(string)
	if id := device.ID(word); id.Valid() {
		return id, nil
	}
	return "", fmt.Errorf("%w: %s may not name a device", ErrInput, shown(v))
}

// MarshalTimestamp writes milliseconds.
func MarshalTimestamp(ms int64) graphql.Marshaler { return write(strconv.AppendInt(nil, ms, 10)) }

// UnmarshalTimestamp reads milliseconds, or RFC 3339.
func UnmarshalTimestamp(v any) (int64, error) {
	if word, ok := v.(string); ok {
		if t, err := time.Parse(time.RFC3339, word); err == nil {
			return t.UnixMilli(), nil
		}
	} else if ms, err := graphql.UnmarshalInt64(v); err == nil && ms >= 0 {
		return ms, nil
	}
	return 0, fmt.Errorf("%w: %s is neither whole milliseconds since 1970 UTC nor RFC 3339", ErrInput, shown(v))
}

// MarshalDeviceState writes the name.
func MarshalDeviceState(s device.State) graphql.Marshaler { return graphql.MarshalString(s.String()) }

// UnmarshalDeviceState reads a name.
func UnmarshalDeviceState(v any) (device.State, error) {
	return named(v, parsed[device.State])
}

// MarshalQuality writes the name.
func MarshalQuality(q device.Quality) graphql.Marshaler { return graphql.MarshalString(q.String()) }

// UnmarshalQuality reads a name.
func UnmarshalQuality(v any) (device.Quality, error) {
	return named(v, parsed[device.Quality])
}

// MarshalSeverity writes the name.
func MarshalSeverity(s device.Severity) graphql.Marshaler { return graphql.MarshalString(s.String()) }

// UnmarshalSeverity reads a name.
func UnmarshalSeverity(v any) (device.Severity, error) {
	return named(v, parsed[device.Severity])
}

// MarshalAckStatus writes the name.
func MarshalAckStatus(s device.AckStatus) graphql.Marshaler { return graphql.MarshalString(s.String()) }

// UnmarshalAckStatus reads a name.
func UnmarshalAckStatus(v any) (device.AckStatus, error) {
	return named(v, func(word string) (device.AckStatus, bool) {
		for s := device.Done; s <= device.Failure; s++ {
			if s.String() == word {
				return s, true
			}
		}
		return 0, false
	})
}

// MarshalCommandVerb writes the name.
func MarshalCommandVerb(c device.Verb) graphql.Marshaler { return graphql.MarshalString(c.String()) }

// UnmarshalCommandVerb reads a name.
func UnmarshalCommandVerb(v any) (device.Verb, error) { return named(v, device.ParseVerb) }

// MarshalCommandMode writes the name.
func MarshalCommandMode(m device.Mode) graphql.Marshaler { return graphql.MarshalString(m.String()) }

// UnmarshalCommandMode reads a name.
func UnmarshalCommandMode(v any) (device.Mode, error) { return named(v, device.ParseMode) }

// MarshalCommandPriority writes the name.
func MarshalCommandPriority(p device.Priority) graphql.Marshaler {
	return graphql.MarshalString(p.String())
}

// UnmarshalCommandPriority reads a name.
func UnmarshalCommandPriority(v any) (device.Priority, error) { return named(v, device.ParsePriority) }

// parsed reads a name by what T reads of a text.
func parsed[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](word string) (t T, ok bool) {
	err := P(&t).UnmarshalText([]byte(word))
	return t, err == nil
}

// named reads one of the words that find knows.
func named[T any](v any, find func(string) (T, bool)) (T, error) {
	if word, ok := v.(string); ok {
		if t, ok := find(word); ok {
			return t, nil
		}
	}
	var none T
	return none, fmt.Errorf("%w: there is no %s", ErrInput, shown(v))
}

// shown is a value in an error, not longer than people read.
func shown(v any) string {
	s := fmt.Sprintf("%v", v)
	if word, ok := v.(string); ok {
		s = strconv.Quote(word)
	}
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

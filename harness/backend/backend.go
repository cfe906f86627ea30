// Package backend is the face of a served rig that is not its devices' own: with it a
// test moves the grid that they stand at, breaks their wires, raises the protections
// of their batteries, and asks what a perfect instrument would show. The same
// interface is answered in the process that serves the rig and, over HTTP on this
// machine, from another one.
package backend

import (
	"context"
	"errors"
	"time"
)

// ErrUnknown: there is no such device, fault or ability behind this rig.
var ErrUnknown = errors.New("not there")

// Fault is something that a test breaks. Kind is a name of scenario files, or one of
// the protections of a battery's test mode (over-voltage, under-voltage,
// over-temperature, under-temperature, over-current, ground-fault).
type Fault struct {
	Kind string        `json:"kind"`
	By   time.Duration `json:"by_ns,omitempty"` // of late-answer
	Code int           `json:"code,omitempty"`  // of exception
	ToC  float64       `json:"to_c,omitempty"`  // of overheat, °C
	KW   float64       `json:"kw,omitempty"`    // of second-master: what it writes
}

// Truth is what a perfect instrument beside a unit shows. Passive sign.
type Truth struct {
	At           time.Time `json:"at"`
	PowerKW      float64   `json:"power_kw"` // AC
	ReactiveKvar float64   `json:"reactive_kvar"`
	SetKW        float64   `json:"set_kw"` // the setpoint in force, 0 when none is
	Hz           float64   `json:"hz"`
	Voltage      float64   `json:"voltage_percent"` // of nominal, AC
	DCVolt       float64   `json:"dc_v"`
	DCAmp        float64   `json:"dc_a"`
	SoC          float64   `json:"soc_percent"`
	SoH          float64   `json:"soh_percent"`
	TempC        float64   `json:"temp_max_c"`
	InKWh        float64   `json:"in_kwh"`
	OutKWh       float64   `json:"out_kwh"`
	AuxKWh       float64   `json:"aux_kwh"`
	Contactors   bool      `json:"contactors"` // closed
	Tripped      bool      `json:"tripped"`
}

// Face is what a test can do behind the devices of a rig. ErrUnknown for what is not
// there.
type Face interface {
	// Inject begins a fault and returns what ends it.
	Inject(ctx context.Context, device string, f Fault) (end func(context.Context) error, err error)
	// Grid moves the grid that a device stands at: Hz, and voltage in percent of nominal.
	Grid(ctx context.Context, device string, hz, voltage float64) error
	// Truth reads the perfect instrument.
	Truth(ctx context.Context, device string) (Truth, error)
	// Faults lists the kinds that Inject knows.
	Faults(ctx context.Context) ([]string, error)
}

// Package modbus is the driver of devices that speak Modbus over TCP, TLS or a serial
// line, with their registers described by a profile.
//
// A device is known by its profile: a YAML file that says which register means what. For a
// new one, copy profiles/pcs-generic.yaml, whose comments explain each key, strike out what
// the device does not have, and put in the addresses of its manual. What is left out is not
// reported, or refused; what is wrong is told with its line.
//
// Power and current are positive into the device everywhere but in the registers, whose
// direction the profile says. The driver reads all points of a reading in as few requests as
// the device bears. It writes nothing until it is first told a power. From then on it writes
// the time to revert, the setpoint and its enable, in this order, reads them back, renews
// them every third of the dead-man time, looks once a second whether the time to revert is
// still held, and beats the controller's heartbeat as often, so that a device that has such registers stops by itself when its controller is lost.
//
// Dial gives the bare registers, for whoever knows their meaning otherwise.
package modbus

import (
	"context"
	"fmt"
)

// Table is one of the four tables of a Modbus device.
type Table uint8

// The tables.
const (
	Holding Table = iota
	Input
	Coils
	Discrete
)

var tableNames = [...]string{"holding", "input", "coil", "discrete"}

// String is the table's name in profiles.
func (t Table) String() string {
	if int(t) < len(tableNames) {
		return tableNames[t]
	}
	return fmt.Sprintf("table %d", byte(t))
}

// MaxRead and MaxWrite are the most registers of one request.
const (
	MaxRead  = 125
	MaxWrite = 123
)

// Conn carries requests to one unit. It is used by one goroutine at a time. An error
// that is an Exception is the device's answer; every other one wraps
// device.ErrOffline, and then the link was closed and is opened anew by the next
// request, so that an answer that comes late can be taken for no other's.
type Conn interface {
	// Read returns n registers, or n bits as 0 and 1, from addr on. n is at most MaxRead.
	Read(ctx context.Context, t Table, addr, n uint16) ([]uint16, error)
	// Write writes holding registers from addr on in one request, at most MaxWrite.
	Write(ctx context.Context, addr uint16, values []uint16) error
	// WriteCoil writes one coil.
	WriteCoil(ctx context.Context, addr uint16, on bool) error
	Close() error
}

// Single is a Conn that can write one holding register with the function that is made
// for it: some devices take no other.
type Single interface {
	WriteOne(ctx context.Context, addr, value uint16) error
}

// Raw is a Conn that can send what no careful client sends, to any unit: trials of what
// a device must refuse need it. It returns the protocol data unit that came back, an
// exception too; an error wraps device.ErrOffline.
type Raw interface {
	Raw(ctx context.Context, unit byte, pdu []byte) ([]byte, error)
}

// Exception is a refusal by the device, with the code of the protocol.
type Exception byte

// The exceptions that devices answer with.
const (
	IllegalFunction   Exception = 1
	IllegalAddress    Exception = 2
	IllegalValue      Exception = 3
	DeviceFailure     Exception = 4
	Acknowledge       Exception = 5
	DeviceBusy        Exception = 6
	MemoryParity      Exception = 8
	GatewayNoPath     Exception = 10
	GatewayNoResponse Exception = 11
)

// Transient reports whether the same request may be answered otherwise in a moment: the device
// has taken it and needs time for it, or is busy with something else.
func (e Exception) Transient() bool { return e == Acknowledge || e == DeviceBusy }

func (e Exception) Error() string { return fmt.Sprintf("exception %d", byte(e)) }

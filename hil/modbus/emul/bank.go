// Package emul serves registers over Modbus, the physics behind them.
package emul

import (
	"yunchu/hil/modbus"
)

// Bank is the registers of one unit. Errors that are a modbus.Exception are answered
// with it, any other with exception 4. A server calls it from one goroutine at a time.
type Bank interface {
	// Read returns n registers (or bits, as 0 and 1) of a table from addr on.
	Read(t modbus.Table, addr, n uint16) ([]uint16, error)
	// Write takes holding registers that arrived in one request: all of them or none.
	Write(addr uint16, values []uint16) error
	// WriteCoils takes coils that arrived in one request: all of them or none.
	WriteCoils(addr uint16, on []bool) error
}

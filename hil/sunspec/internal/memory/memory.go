// Package memory is a link to a register map in the same process, for tests.
package memory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"yunchu/hil/modbus"
	"yunchu/platform/device"
)

// Bank is what the maps of emulators are.
type Bank interface {
	Read(t modbus.Table, addr, n uint16) ([]uint16, error)
	Write(addr uint16, values []uint16) error
}

// Conn is a modbus.Conn to unit 1, whose registers are a Bank.
type Conn struct {
	Bank   Bank
	Before func(request string) error // what happens to a request on its way; nil: nothing
	Log    []string                   // of requests, such as "read 40000 2" and "write 40530 65529 58752"
}

var (
	_ modbus.Conn   = (*Conn)(nil)
	_ modbus.Single = (*Conn)(nil)
	_ modbus.Raw    = (*Conn)(nil)
)

// Unit answers, no other does.
const Unit = 1

func (c *Conn) pass(ctx context.Context, format string, args ...any) error {
	request := fmt.Sprintf(format, args...)
	c.Log = append(c.Log, request)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", device.ErrOffline, err)
	}
	if c.Before != nil {
		return c.Before(request)
	}
	return nil
}

// Read implements modbus.Conn.
func (c *Conn) Read(ctx context.Context, t modbus.Table, addr, n uint16) ([]uint16, error) {
	if err := c.pass(ctx, "read %d %d", addr, n); err != nil {
		return nil, err
	}
	return c.Bank.Read(t, addr, n)
}

// Write implements modbus.Conn.
func (c *Conn) Write(ctx context.Context, addr uint16, values []uint16) error {
	if err := c.pass(ctx, "write %d %s", addr, strings.Trim(fmt.Sprint(values), "[]")); err != nil {
		return err
	}
	return c.Bank.Write(addr, values)
}

// WriteOne implements modbus.Single.
func (c *Conn) WriteOne(ctx context.Context, addr, value uint16) error {
	return c.Write(ctx, addr, []uint16{value})
}

// WriteCoil implements modbus.Conn.
func (c *Conn) WriteCoil(context.Context, uint16, bool) error { return modbus.IllegalFunction }

// Raw implements modbus.Raw for reading and writing of holding registers.
func (c *Conn) Raw(_ context.Context, unit byte, pdu []byte) ([]byte, error) {
	r, err := modbus.ParseRequest(pdu)
	if unit != Unit {
		return nil, device.ErrOffline
	}
	var values []uint16
	switch {
	case err != nil:
	case r.Reads():
		values, err = c.Bank.Read(r.Table(), r.Addr, r.Count)
	default:
		err = c.Bank.Write(r.Addr, r.Values)
	}
	if e, ok := errors.AsType[modbus.Exception](err); ok {
		return []byte{pdu[0] | 0x80, byte(e)}, nil
	} else if err != nil {
		return nil, err
	}
	if !r.Reads() {
		return pdu[:5], nil
	}
	out := []byte{pdu[0], byte(2 * len(values))}
	for _, v := range values {
		out = binary.BigEndian.AppendUint16(out, v)
	}
	return out, nil
}

// Close implements modbus.Conn.
func (c *Conn) Close() error { return nil }

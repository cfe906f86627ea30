package sunspec

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"yunchu/hil/modbus"
	"yunchu/platform/device"
)

// Anywhere makes Scan look for the map at the three addresses that SunSpec names.
const Anywhere = -1

// bases are those addresses, the usual one first.
var bases = []int{40000, 0, 50000}

// The mark at the start of a map, "SunS", and the ID that ends it.
const (
	mark1, mark2 = 0x5375, 0x6E53
	endID        = 0xFFFF
)

// A map that is larger than this is none: a device that lies about its lengths must not
// keep anybody busy.
const (
	maxModels    = 256
	maxRegisters = 16384
	addresses    = 1 << 16
)

// ErrNoMap: there is no SunSpec map where it was looked for.
var ErrNoMap = errors.New("no SunSpec map")

// Device is what a map held when it was scanned.
type Device struct {
	Base   int
	Blocks []*Block
	// Ended: the chain of models ended as it should. Where it broke off, what was found
	// until then is here.
	Ended bool
}

// Block is the first model with the ID; nil: the device has none.
func (d *Device) Block(id uint16) *Block {
	for _, b := range d.Blocks {
		if b.ID == id {
			return b
		}
	}
	return nil
}

// Find finds a point by model and name, such as 704.WSet.
func (d *Device) Find(name string) (b *Block, f Field, ok bool) {
	model, point, _ := strings.Cut(name, ".")
	for _, b := range d.Blocks {
		if fmt.Sprint(b.ID) == model {
			f, ok := b.Field(point)
			return b, f, ok
		}
	}
	return nil, Field{}, false
}

// Scan finds the map of a device and reads all models of it that are known here; others
// are passed over. It takes lengths as the device gives them: registers beyond what is
// known are left alone, points beyond the length are not implemented.
//
// ErrNoMap when there is none at base, device.ErrOffline when the device does not answer.
func Scan(ctx context.Context, c modbus.Conn, base int) (*Device, error) {
	list := bases
	if base != Anywhere {
		list = []int{base}
	}
	for _, at := range list {
		s := scanner{ctx, c, 0}
		d, err := s.walk(at)
		if !errors.Is(err, ErrNoMap) {
			return d, err
		}
	}
	return nil, fmt.Errorf("%w at %v", ErrNoMap, list)
}

// scanner walks one map.
type scanner struct {
	ctx  context.Context
	conn modbus.Conn
	read int // registers, so far
}

func (s *scanner) walk(base int) (*Device, error) {
	mark, err := s.registers(base, 2)
	if refused(err) || err == nil && (mark[0] != mark1 || mark[1] != mark2) {
		return nil, ErrNoMap
	}
	if err != nil {
		return nil, err
	}
	d := &Device{Base: base}
	addr := base + 2
	head, err := s.header(addr)
	for ; err == nil; head, err = s.next(d, addr) {
		if head == nil {
			return d, nil
		}
		if head[0] == endID {
			d.Ended = true
			return d, nil
		}
		if len(d.Blocks) == maxModels {
			return nil, fmt.Errorf("SunSpec map at %d: more than %d models", base, maxModels)
		}
		b := &Block{ID: head[0], Addr: addr, Model: Lookup(head[0]), Regs: head}
		d.Blocks = append(d.Blocks, b)
		addr += headerSize + int(head[1])
	}
	return nil, err
}

// next reads what is known of the last model of d, and the header of the next, which is
// at addr.
func (s *scanner) next(d *Device, addr int) (head []uint16, err error) {
	b := d.Blocks[len(d.Blocks)-1]
	body := b.known(int(b.Regs[1]))
	from := b.Addr + headerSize
	if from+body == addr && body > 0 && body+headerSize <= modbus.MaxRead {
		regs, err := s.registers(from, body+headerSize)
		if err == nil {
			b.Regs = append(b.Regs, regs[:body]...)
			return regs[body:], nil
		}
		if !refused(err) {
			return nil, err
		}
	}
	switch regs, err := s.registers(from, body); {
	case err == nil:
		b.Regs = append(b.Regs, regs...)
	case !refused(err): // a model that is refused has no points
		return nil, err
	}
	return s.header(addr)
}

// known are the registers behind the header that the tables have points for.
func (b *Block) known(length int) int {
	switch {
	case b.Model == nil:
		return 0
	case b.Model.Repeat == nil:
		return min(length, b.Model.Size-headerSize)
	}
	return length
}

// header reads ID and length of a model; nil where the chain breaks off. Some devices
// end it with the ID alone.
func (s *scanner) header(addr int) ([]uint16, error) {
	regs, err := s.registers(addr, headerSize)
	if refused(err) {
		if regs, err = s.registers(addr, 1); err == nil && regs[0] != endID {
			return nil, nil
		}
	}
	if refused(err) {
		return nil, nil
	}
	return regs, err
}

// registers reads n holding registers in as many requests as it takes.
func (s *scanner) registers(addr, n int) ([]uint16, error) {
	if addr+n > addresses {
		return nil, modbus.IllegalAddress
	}
	if s.read += n; s.read > maxRegisters {
		return nil, fmt.Errorf("SunSpec map of more than %d registers", maxRegisters)
	}
	regs, err := readRegisters(s.ctx, s.conn, addr, n)
	if e, ok := errors.AsType[modbus.Exception](err); ok && passing(e) {
		return nil, fmt.Errorf("%w: %v", device.ErrOffline, err) //nolint:errorlint // no refusal: what is there may not be taken for missing
	}
	return regs, err
}

// passing reports whether an exception says nothing about the map: the device is busy, or a
// gateway does not reach it.
func passing(e modbus.Exception) bool {
	return e.Transient() || e == modbus.GatewayNoPath || e == modbus.GatewayNoResponse
}

func readRegisters(ctx context.Context, c modbus.Conn, addr, n int) ([]uint16, error) {
	regs := make([]uint16, 0, n)
	for n > 0 {
		k := min(n, modbus.MaxRead)
		got, err := c.Read(ctx, modbus.Holding, uint16(addr), uint16(k))
		if err != nil {
			return nil, fmt.Errorf("read %d registers at %d: %w", k, addr, err)
		}
		if len(got) != k {
			return nil, fmt.Errorf("read %d registers at %d: got %d: %w", k, addr, len(got), device.ErrOffline)
		}
		regs, addr, n = append(regs, got...), addr+k, n-k
	}
	return regs, nil
}

// refused reports whether the device answered with an exception.
func refused(err error) bool {
	var e modbus.Exception
	return errors.As(err, &e)
}

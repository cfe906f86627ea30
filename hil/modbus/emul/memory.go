package emul

import (
	"sync"

	"yunchu/hil/modbus"
)

// Memory is registers that remember what is written to them, with nothing behind. Its
// tables are as long as their slices. Do changes it from outside while it is served.
type Memory struct {
	mu              sync.Mutex
	Holding, Input  []uint16
	Coils, Discrete []bool
	Writes          int // requests that wrote
}

var _ Bank = (*Memory)(nil)

// Do runs f while nobody else reads or writes.
func (m *Memory) Do(f func(m *Memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

// Read implements Bank.
func (m *Memory) Read(t modbus.Table, addr, n uint16) ([]uint16, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	registers, bits := m.Holding, m.Coils
	if t == modbus.Input {
		registers = m.Input
	}
	if t == modbus.Discrete {
		bits = m.Discrete
	}
	from, to := int(addr), int(addr)+int(n)
	out := make([]uint16, n)
	switch {
	case (t == modbus.Holding || t == modbus.Input) && to <= len(registers):
		copy(out, registers[from:to])
	case (t == modbus.Coils || t == modbus.Discrete) && to <= len(bits):
		for i, b := range bits[from:to] {
			if b {
				out[i] = 1
			}
		}
	default:
		return nil, modbus.IllegalAddress
	}
	return out, nil
}

// Write implements Bank.
func (m *Memory) Write(addr uint16, values []uint16) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if int(addr)+len(values) > len(m.Holding) {
		return modbus.IllegalAddress
	}
	copy(m.Holding[addr:], values)
	m.Writes++
	return nil
}

// WriteCoils implements Bank.
func (m *Memory) WriteCoils(addr uint16, on []bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if int(addr)+len(on) > len(m.Coils) {
		return modbus.IllegalAddress
	}
	copy(m.Coils[addr:], on)
	m.Writes++
	return nil
}

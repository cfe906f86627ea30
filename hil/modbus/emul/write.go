package emul

import (
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// face is the name under which this face of a unit writes.
const face = "modbus"

// change is one point that a request writes, decoded.
type change struct {
	modbus.Register
	regs []uint16
	v    float64 // of a number; a condition is 1 or 0
	word string
}

// Write implements Bank.
func (d *Device) Write(addr uint16, values []uint16) error {
	return d.write(modbus.Holding, addr, values)
}

// WriteCoils implements Bank.
func (d *Device) WriteCoils(addr uint16, on []bool) error {
	values := make([]uint16, len(on))
	for i, b := range on {
		if b {
			values[i] = 1
		}
	}
	return d.write(modbus.Coils, addr, values)
}

// kept is what the device itself remembers of what was written to it.
type kept struct {
	revert      time.Duration       // of the setpoints to come
	staged      *float64            // kW, a setpoint that waits to be enabled
	maintenance bool                // people work on it: shown, and otherwise a standby
	own         map[string][]uint16 // the profile's own settings
}

// write takes all of a request or nothing.
func (d *Device) write(t modbus.Table, addr uint16, values []uint16) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tooMany(t, len(values)) {
		return modbus.IllegalValue
	}
	now := d.now()
	v := d.unit.View(now)
	list, err := d.changes(t, addr, values, &v)
	if err != nil {
		return err
	}
	if v.Local {
		return modbus.DeviceFailure
	}
	w := writing{kept: d.kept, stages: d.has["setpoint_enable"] && (!v.SetActive || d.staged != nil), setKW: v.SetW / 1000}
	w.own = maps.Clone(w.own)
	for _, c := range list {
		if outOfRange(&c, &v) {
			return modbus.IllegalValue
		}
		w.take(&c)
	}
	if err := d.unit.Do(now, w.orders...); err != nil {
		d.log.Debug("write refused", "table", t, "address", addr, "error", err)
		return refusal(err)
	}
	d.kept = w.kept
	return nil
}

// refusal is the exception of what a unit does not take.
func refusal(err error) error {
	if errors.Is(err, unit.ErrRange) {
		return modbus.IllegalValue
	}
	return modbus.DeviceFailure
}

// first are points that others of the same request build on.
var first = []string{"revert_s", "setpoint", "setpoint_enable", "reset", "connect"}

// changes decodes a request. Each of its registers must belong to a point that is written;
// of one that it covers in part, the rest stays.
func (d *Device) changes(t modbus.Table, addr uint16, values []uint16, v *unit.View) ([]change, error) {
	covered := make([]bool, len(values))
	var list []change
	for _, r := range d.points {
		table, at, n := r.Span()
		from, to := max(int(at), int(addr)), min(int(at)+int(n), int(addr)+len(values))
		if table != t || from >= to {
			continue
		}
		if !r.Writes() {
			return nil, modbus.IllegalValue
		}
		regs := make([]uint16, n)
		if to-from < int(n) {
			copy(regs, d.show(r, v))
		}
		copy(regs[from-int(at):], values[from-int(addr):to-int(addr)])
		for i := from; i < to; i++ {
			covered[i-int(addr)] = true
		}
		c, err := decode(r, regs)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	if slices.Contains(covered, false) {
		return nil, modbus.IllegalAddress
	}
	slices.SortStableFunc(list, func(a, b change) int { return rank(a.Name()) - rank(b.Name()) })
	return list, nil
}

func rank(name string) int {
	if i := slices.Index(first, name); i >= 0 {
		return i
	}
	return len(first)
}

func decode(r modbus.Register, regs []uint16) (c change, err error) {
	c = change{Register: r, regs: regs}
	ok := true
	switch {
	case r.Own():
	case r.Form() == modbus.Number:
		c.v, ok = r.Number(regs)
	case r.Form() == modbus.Word:
		c.word, ok = r.Word(regs)
	case r.Form() == modbus.Condition:
		var holds bool
		if holds, ok = r.Condition(regs); holds {
			c.v = 1
		}
	}
	if !ok {
		return c, modbus.IllegalValue
	}
	return c, nil
}

// outOfRange reports a value that the unit would not take, or not when it is needed.
func outOfRange(c *change, v *unit.View) bool {
	switch c.Name() {
	case "setpoint":
		return math.Abs(c.v)*1000 > v.RatedW*(1+1e-9)
	case "revert_s":
		return c.v < 0 || c.v > (24*time.Hour).Seconds()
	case "power_limit", "reserve":
		return c.v < 0 || c.v > 100
	case "ramp":
		return c.v <= 0
	}
	return false
}

// writing is one request in the making: what the device will remember, and what the unit
// is told.
type writing struct {
	kept
	stages bool    // a setpoint waits to be enabled
	setKW  float64 // that is in force, or was last
	orders []unit.Order
}

func (w *writing) tell(o unit.Order) { w.orders = append(w.orders, o) }

// take does what a point says.
func (w *writing) take(c *change) {
	if c.Own() {
		w.own[c.Name()] = c.regs
		return
	}
	switch c.Name() {
	case "revert_s":
		w.revert = time.Duration(c.v * float64(time.Second))
	case "setpoint":
		if w.stages {
			w.staged = &c.v
			return
		}
		w.power(c.v)
	case "setpoint_enable": // lets the setpoint act that was written, or takes it back
		kw := w.setKW
		if w.staged != nil {
			kw = *w.staged
		}
		w.staged = nil
		if c.v != 1 {
			w.tell(unit.Clear())
			return
		}
		w.power(kw)
	case "controller_heartbeat":
		w.tell(unit.Beat(uint32(c.Count(c.regs))))
	case "mode":
		op := unit.OpStandby
		if c.word == device.Run.String() {
			op = unit.OpLeaveStandby
		}
		w.maintenance = c.word == device.MaintenanceMode.String()
		w.tell(unit.Operate(op))
	case "operate":
		op := unit.OpStop
		if c.word == "start" {
			op = unit.OpStart
		}
		w.tell(unit.Operate(op))
	case "connect":
		w.tell(unit.Connect(c.v == 1, 0))
	case "reset":
		if c.v == 1 {
			w.tell(unit.Acknowledge())
		}
	case "ramp":
		w.tell(unit.Ramp(c.v / 100))
	case "power_limit":
		w.tell(unit.Limit(c.v/100, c.v < 100, 0))
	case "reserve":
		w.tell(unit.Reserve(c.v))
	}
}

func (w *writing) power(kw float64) {
	w.setKW = kw
	w.tell(unit.SetPower(face, kw*1000, w.revert))
}

package emul

import (
	"errors"
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

// write takes all of a request or nothing: everything is looked at before anything is done.
func (d *Device) write(t modbus.Table, addr uint16, values []uint16) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	v := d.unit.View(now)
	list, err := d.changes(t, addr, values)
	if err != nil {
		return err
	}
	if v.Local {
		return modbus.DeviceFailure
	}
	for _, c := range list {
		if err := d.check(&c, &v, list); err != nil {
			return err
		}
	}
	for _, c := range list {
		if err := d.apply(now, &c, &v); err != nil {
			d.log.Warn("a write that was looked at is not taken", "point", c.Name(), "error", err)
			return refusal(err)
		}
	}
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
func (d *Device) changes(t modbus.Table, addr uint16, values []uint16) ([]change, error) {
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
			v := d.unit.View(d.now())
			copy(regs, d.show(r, &v))
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

// check says what the unit would refuse.
func (d *Device) check(c *change, v *unit.View, list []change) error {
	with := func(name string) bool {
		return slices.ContainsFunc(list, func(o change) bool { return o.Name() == name && o.v == 1 })
	}
	bad := false
	switch c.Name() {
	case "setpoint":
		bad = math.Abs(c.v)*1000 > v.RatedW*(1+1e-9)
	case "revert_s":
		bad = c.v < 0 || c.v > (24*time.Hour).Seconds()
	case "power_limit", "reserve":
		bad = c.v < 0 || c.v > 100
	case "ramp":
		bad = c.v <= 0
	case "operate":
		if c.word == "start" && v.EStop && !with("reset") {
			return modbus.DeviceFailure
		}
	}
	if bad {
		return modbus.IllegalValue
	}
	return nil
}

// apply does what a point says.
func (d *Device) apply(now time.Time, c *change, v *unit.View) error {
	u := d.unit
	if c.Own() {
		d.own[c.Name()] = c.regs
		return nil
	}
	switch c.Name() {
	case "revert_s":
		d.revert = time.Duration(c.v * float64(time.Second))
	case "setpoint":
		if d.has["setpoint_enable"] && (!v.SetActive || d.staged != nil) {
			d.staged = &c.v
			return nil
		}
		return u.SetPower(now, face, c.v*1000, d.revert)
	case "setpoint_enable":
		return d.enable(now, c.v == 1)
	case "controller_heartbeat":
		return u.Beat(now, uint32(c.Count(c.regs)))
	case "mode":
		op := unit.OpStandby
		if c.word == device.Run.String() {
			op = unit.OpLeaveStandby
		}
		d.maintenance = c.word == device.MaintenanceMode.String()
		return u.Operate(now, op)
	case "operate":
		if c.word == "start" {
			return u.Operate(now, unit.OpStart)
		}
		return u.Operate(now, unit.OpStop)
	case "connect":
		return u.Connect(now, c.v == 1, 0)
	case "reset":
		if c.v == 1 {
			return u.Acknowledge(now)
		}
	case "ramp":
		return u.Ramp(now, c.v/100)
	case "power_limit":
		return u.Limit(now, c.v/100, c.v < 100, 0)
	case "reserve":
		return u.Reserve(now, c.v)
	}
	return nil
}

// enable lets the setpoint act that was written, or takes it back.
func (d *Device) enable(now time.Time, on bool) error {
	if !on {
		d.staged = nil
		return d.unit.Clear(now)
	}
	v := d.unit.View(now)
	kw := d.number("setpoint", &v)
	d.staged = nil
	return d.unit.SetPower(now, face, kw*1000, d.revert)
}

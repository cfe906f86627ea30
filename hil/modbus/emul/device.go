package emul

import (
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// DeviceOptions say what stands behind the registers of a profile.
type DeviceOptions struct {
	Unit    *unit.Unit
	Profile *modbus.Profile
	Now     func() time.Time // the unit's clock; nil: the wall clock
	Log     *slog.Logger
}

// Device serves a unit in the registers of a profile. A setpoint acts once it is enabled,
// where the profile has a point for that; with a time to revert written before, it lapses
// unless it is written again. Registers between those of the profile read 0; others are
// not there. A request for more registers than the profile has for one is refused.
type Device struct {
	unit    *unit.Unit
	now     func() time.Time
	log     *slog.Logger
	points  []modbus.Register
	has     map[string]bool
	decades map[key]int // the power of ten in each register that has one
	ends    map[modbus.Table]span
	most    int // registers in a request

	mu sync.Mutex
	kept
}

type key struct {
	table modbus.Table
	addr  uint16
}

// span is the addresses from first up to, not including, end.
type span struct{ first, end int }

var _ Bank = (*Device)(nil)

// NewDevice returns the registers of a unit.
func NewDevice(o DeviceOptions) (*Device, error) {
	if o.Unit == nil || o.Profile == nil {
		return nil, errors.New("serve registers: a unit and a profile are needed")
	}
	d := &Device{
		unit: o.Unit, now: o.Now, log: o.Log, points: o.Profile.Registers(), most: o.Profile.Requests.MaxRegisters,
		has: map[string]bool{}, decades: map[key]int{}, ends: map[modbus.Table]span{}, kept: kept{own: map[string][]uint16{}},
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	v := d.unit.View(d.now())
	for _, r := range d.points {
		d.has[r.Name()] = true
		t, addr, n := r.Span()
		d.cover(t, addr, n)
		if r.Own() {
			d.own[r.Name()] = make([]uint16, n)
		}
		if e, ok := r.Exponent(); ok {
			d.cover(t, e, 1)
			k := key{t, e}
			d.decades[k] = max(d.decades[k], decade(r, largest(r.Name(), &v)))
		}
	}
	return d, nil
}

// cover makes the map of a table reach as far as a value.
func (d *Device) cover(t modbus.Table, addr, n uint16) {
	s, ok := d.ends[t]
	if !ok {
		s.first = int(addr)
	}
	d.ends[t] = span{min(s.first, int(addr)), max(s.end, int(addr)+int(n))}
}

// decade is the least power of ten with which a value fits.
func decade(r modbus.Register, v float64) int {
	for e := range 10 {
		if _, ok := r.Put(v, e); ok {
			return e
		}
	}
	return 0
}

// largest is what a quantity with a power of ten can come to.
func largest(name string, v *unit.View) float64 {
	switch name {
	case "power", "reactive", "max_charge_kw", "max_discharge_kw":
		return 1.2 * v.RatedW / 1000
	case "current", "charge_limit_a", "discharge_limit_a":
		return 1.5 * v.RatedW / max(v.DischargeV, 1)
	case "voltage":
		return 1.2 * v.ChargeV
	}
	return 0
}

// Wire is what is broken about the unit's wire.
func (d *Device) Wire() unit.Wire { return d.unit.View(d.now()).Wire }

// Read implements Bank.
func (d *Device) Read(t modbus.Table, addr, n uint16) ([]uint16, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read(t, addr, n)
}

func (d *Device) read(t modbus.Table, addr, n uint16) ([]uint16, error) {
	if d.tooMany(t, int(n)) {
		return nil, modbus.IllegalValue
	}
	end := int(addr) + int(n)
	if s := d.ends[t]; int(addr) < s.first || end > s.end {
		return nil, modbus.IllegalAddress
	}
	v := d.unit.View(d.now())
	out := make([]uint16, n)
	for _, r := range d.points {
		table, at, size := r.Span()
		if table != t || int(at) >= end || int(at)+int(size) <= int(addr) || !r.Reads() {
			continue
		}
		for i, x := range d.show(r, &v) {
			if a := int(at) + i - int(addr); a >= 0 && a < int(n) {
				out[a] |= x // several may share a register by bits
			}
		}
	}
	for k := range d.decades {
		if k.table == t && k.addr >= addr && int(k.addr) < end {
			out[k.addr-addr] = uint16(int16(d.decade(k, &v)))
		}
	}
	return out, nil
}

// tooMany reports whether a request is longer than its maker says.
func (d *Device) tooMany(t modbus.Table, n int) bool {
	return n > d.most && (t == modbus.Holding || t == modbus.Input)
}

// decade is the power of ten that is shown.
func (d *Device) decade(k key, v *unit.View) int {
	e := d.decades[k]
	if v.Wire.ScaleChange {
		e++
	}
	return e
}

// show is what lies in the registers of a point.
func (d *Device) show(r modbus.Register, v *unit.View) []uint16 {
	if r.Own() {
		return d.own[r.Name()]
	}
	switch r.Form() {
	case modbus.Number:
		if v.Wire.NotImplemented && !r.Writes() {
			return r.Absent()
		}
		e := 0
		if addr, ok := r.Exponent(); ok {
			t, _, _ := r.Span()
			e = d.decade(key{t, addr}, v)
		}
		regs, _ := r.Put(d.number(r.Name(), v), e)
		return regs
	case modbus.Counter:
		if r.Name() == "heartbeat" {
			return r.PutCount(uint64(v.Heartbeat))
		}
		return r.PutCount(uint64(v.ControllerBeat))
	case modbus.Condition:
		if r.Name() == "alarms" && v.Alarms != 0 {
			if regs := r.PutCount(uint64(v.Alarms)); slices.Max(regs) > 0 {
				return regs
			}
		}
		return r.PutCondition(d.condition(r.Name(), v))
	case modbus.Word:
		for _, w := range d.words(r.Name(), v) {
			if regs, ok := r.PutWord(w); ok {
				return regs
			}
		}
		return r.Absent()
	default:
		return r.PutText(map[string]string{"maker": v.Maker, "model": v.Model, "serial": v.ID, "firmware": v.Version}[r.Name()])
	}
}

// number is a quantity of the view, in the units and signs of platform/device.
func (d *Device) number(name string, v *unit.View) float64 {
	kW := func(w float64) float64 { return w / 1000 }
	switch name {
	case "power":
		return kW(v.ACW)
	case "reactive":
		return kW(v.ACVar)
	case "frequency":
		return v.Hz
	case "grid_voltage":
		return v.LineV
	case "voltage":
		return v.DCV
	case "current":
		return v.DCA
	case "soc":
		return v.SoC
	case "soh":
		return v.SoH
	case "temperature":
		return v.TempMaxC
	case "cell_v_max":
		return v.CellVMax
	case "cell_v_min":
		return v.CellVMin
	case "max_charge_kw":
		return kW(math.Floor(v.ChargeW))
	case "max_discharge_kw":
		return kW(math.Floor(v.DischargeW))
	case "charge_limit_a":
		return v.ChargeA
	case "discharge_limit_a":
		return v.DischargeA
	case "soc_min":
		return v.SoCMin
	case "soc_max":
		return v.SoCMax
	case "voltage_min":
		return v.DischargeV
	case "voltage_max":
		return v.ChargeV
	case "temperature_min":
		return v.TempCLow
	case "temperature_max":
		return v.TempCHigh
	case "setpoint":
		if d.staged != nil {
			return *d.staged
		}
		return kW(v.SetW)
	case "revert_s":
		return d.revert.Seconds()
	case "ramp":
		return 100 * v.Ramp
	case "power_limit":
		if !v.LimitOn {
			return 100
		}
		return 100 * v.LimitShare
	case "reserve":
		return v.Reserve
	case "rated_kw":
		return kW(v.RatedW)
	case "rated_kwh":
		return kW(v.RatedWh)
	}
	return math.NaN()
}

func (d *Device) condition(name string, v *unit.View) bool {
	switch name {
	case "charge_forbidden":
		return !v.ChargeOK
	case "discharge_forbidden":
		return !v.DischargeOK
	case "local":
		return v.Local
	case "e_stop":
		return v.EStop
	case "alarms":
		return v.Alarms != 0
	case "setpoint_enable":
		return v.SetActive && d.staged == nil
	case "connect":
		return v.Connected
	}
	return false // reset
}

// words are those that a status or mode can show, the fittest first.
func (d *Device) words(name string, v *unit.View) []string {
	standby, maintenance := device.StandbyMode.String(), device.MaintenanceMode.String()
	switch name {
	case "operate":
		if v.Started {
			return []string{"start"}
		}
		return []string{"stop"}
	case "mode":
		switch {
		case d.maintenance:
			return []string{maintenance, standby}
		case v.Standby:
			return []string{standby}
		}
		return []string{device.Run.String()}
	}
	const least = 0.5 // W: less is nothing
	var list []string
	switch {
	case v.Fault:
		list = []string{device.Fault.String()}
	case d.maintenance:
		list = []string{maintenance, standby}
	case v.Standby || !v.Started || !v.Connected:
		list = []string{standby}
	case v.ACW >= least:
		list = []string{device.Charging.String()}
	case v.ACW <= -least:
		list = []string{device.Discharging.String()}
	}
	return append(list, device.Idle.String())
}

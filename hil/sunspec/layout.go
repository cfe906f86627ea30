package sunspec

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"yunchu/hil/modbus"
)

// point is one point of one block of a device; the zero point is never implemented.
type point struct {
	block *Block
	field Field
}

func (p point) value() Value {
	if p.block == nil {
		return Value{}
	}
	return p.block.At(p.field)
}

func (p point) float() float64 { return p.value().Float() }

// exists reports whether the device's model has the point, implemented or not.
func (p point) exists() bool { return p.block != nil && p.field.At+p.field.Size <= len(p.block.Regs) }

// name is model.point.
func (p point) name() string { return fmt.Sprintf("%d.%s", p.block.ID, p.field.Name) }

// choose is the first point that was implemented when the device was scanned; without
// any the first that exists, as it may come to be implemented.
func choose(d *Device, names ...string) point {
	var first point
	for _, name := range names {
		b, f, ok := d.Find(name)
		if !ok {
			continue
		}
		p := point{b, f}
		if p.value().OK() {
			return p
		}
		if first.block == nil && p.exists() {
			first = p
		}
	}
	return first
}

// only is the point, if it was implemented when the device was scanned.
func only(d *Device, name string) point {
	if p := choose(d, name); p.value().OK() {
		return p
	}
	return point{}
}

// layout is which points of a device serve for what, and how they are read.
type layout struct {
	device *Device

	power, frequency, soc, soh, voltage, current, temperature point
	chargeA, dischargeA, chargeW, dischargeW                  point
	chargeV, dischargeV                                       point // that end a charge and a discharge
	socMin, socMax, reserveMin, reserveMax                    point // windows of charge: the battery's, and as it is set
	ratedChargeW, ratedDischargeW                             point // as they were when the device was scanned or adjusted
	inverter, inverter10x                                     point // operating states, of 701 and 101 to 103
	alarms, alarms10x                                         point
	battery, charging, request, events                        point // of 802
	localPCS, localBMS                                        point
	pulses                                                    []point // the device's heartbeats
	beats                                                     []point // ours

	operate, setOp, setInverter point // 715.OpCtl, 802.SetOp, 802.SetInvState
	resets                      []point
	connect                     point // 123.Conn
	setter                      setter

	alone    bool      // blocks are not read together
	monitor  []request // what a reading needs
	command  []request // that, and what a setpoint in force needs
	controls []request // what must be known before a command is written
}

// battery714 are the voltage of the port of 714 that has the battery, and its current: the
// first port that is said to be storage, or else the first that is not photovoltaics. The
// current of all ports is the battery's where no other is among them.
func battery714(d *Device) (voltage, current []string) {
	const pv, storage = 0, 1 // of PrtTyp
	b := d.Block(714)
	if b == nil {
		return nil, nil
	}
	port, stored, others := -1, false, false
	for i := range b.Instances() {
		kind := b.Value(fmt.Sprintf("Prt[%d].PrtTyp", i))
		others = others || i > 0 || kind.Is(pv)
		if port < 0 && !kind.Is(pv) || !stored && kind.Is(storage) {
			port, stored = i, kind.Is(storage)
		}
	}
	if port >= 0 {
		voltage, current = []string{fmt.Sprintf("714.Prt[%d].DCV", port)}, []string{fmt.Sprintf("714.Prt[%d].DCA", port)}
	}
	if !others {
		current = append(current, "714.DCA")
	}
	return voltage, current
}

func newLayout(d *Device) *layout {
	voltage714, current714 := battery714(d)
	l := &layout{
		device:      d,
		power:       choose(d, "701.W", "103.W", "102.W", "101.W"),
		soc:         choose(d, "802.SoC", "713.SoC", "124.ChaState"),
		soh:         choose(d, "802.SoH", "713.SoH"),
		voltage:     choose(d, slices.Concat([]string{"802.V"}, voltage714, []string{"124.InBatV", "103.DCV", "102.DCV", "101.DCV"})...),
		current:     choose(d, slices.Concat([]string{"802.A"}, current714)...),
		temperature: choose(d, "803.ModTmpMax", "804.ModTmpMax", "701.TmpCab", "103.TmpCab", "102.TmpCab", "101.TmpCab"),
		frequency:   choose(d, "701.Hz", "103.Hz", "102.Hz", "101.Hz"),
		chargeA:     choose(d, "802.AChaMax"), dischargeA: choose(d, "802.ADisChaMax"),
		chargeW: choose(d, "802.WChaRteMax"), dischargeW: choose(d, "802.WDisChaRteMax"),
		chargeV: only(d, "802.VMax"), dischargeV: only(d, "802.VMin"),
		socMin: only(d, "802.SoCMin"), socMax: only(d, "802.SoCMax"),
		reserveMin: only(d, "802.SoCRsvMin"), reserveMax: only(d, "802.SocRsvMax"),
		inverter: choose(d, "701.InvSt"), alarms: choose(d, "701.Alrm"),
		inverter10x: choose(d, "103.St", "102.St", "101.St"), alarms10x: choose(d, "103.Evt1", "102.Evt1", "101.Evt1"),
		battery: choose(d, "802.State"), charging: choose(d, "802.ChaSt", "124.ChaSt"), request: choose(d, "802.ReqInvState"),
		events:   choose(d, "802.Evt1"),
		localPCS: choose(d, "715.LocRemCtl"), localBMS: choose(d, "802.LocRemCtl"),
		ratedChargeW:    choose(d, "702.WChaRteMax", "702.WChaRteMaxRtg", "120.MaxChaRte"),
		ratedDischargeW: choose(d, "702.WDisChaRteMax", "702.WDisChaRteMaxRtg", "120.MaxDisChaRte"),
		operate:         only(d, "715.OpCtl"), setOp: only(d, "802.SetOp"), setInverter: only(d, "802.SetInvState"),
		connect: only(d, "123.Conn"),
	}
	if l.inverter.value().OK() { // one source is enough, and the newer one is asked
		l.inverter10x, l.alarms10x = point{}, point{}
	}
	for _, name := range []string{"715.DERHb", "802.Hb"} {
		l.pulses = appendOK(l.pulses, only(d, name))
	}
	for _, name := range []string{"715.ControllerHb", "802.CtrlHb"} {
		l.beats = appendOK(l.beats, only(d, name))
	}
	for _, name := range []string{"715.AlarmReset", "802.AlmRst"} {
		l.resets = appendOK(l.resets, only(d, name))
	}
	l.setter = newSetter(d)
	l.plan()
	return l
}

func appendOK(list []point, p point) []point {
	if p.block == nil {
		return list
	}
	return append(list, p)
}

// plan decides on the requests.
func (l *layout) plan() {
	state := []point{l.inverter, l.inverter10x, l.alarms, l.alarms10x, l.battery, l.localPCS, l.localBMS}
	read := append([]point{
		l.power, l.frequency, l.soc, l.soh, l.voltage, l.current, l.temperature, l.chargeA, l.dischargeA, l.chargeW, l.dischargeW,
		l.chargeV, l.dischargeV, l.charging, l.request, l.events,
		l.socMin, l.socMax, l.reserveMin, l.reserveMax,
	}, state...)
	read = append(append(read, l.pulses...), l.beats...)
	l.monitor = l.requests(read)
	control := append(state, l.beats...)
	if l.setter != nil {
		read, control = append(read, l.setter.points()...), append(control, l.setter.points()...)
	}
	l.command, l.controls = l.requests(read), l.requests(control)
}

// request is one read: registers that are of one moment.
type request struct {
	addr, n int
	parts   []part
}

// part is how much of a block is read, from its ID on. All that is needed of a block,
// scale factors with it, comes with one request, so that a value is never scaled by the
// factor of another moment.
type part struct {
	block *Block
	n     int
}

// requests are the fewest that read points: parts are taken in the order of their
// addresses, as many as one request has room for, with whatever lies between.
func (l *layout) requests(points []point) []request {
	var parts []part
	for _, p := range points {
		if p.block == nil {
			continue
		}
		i := slices.IndexFunc(parts, func(x part) bool { return x.block == p.block })
		if i < 0 {
			i = len(parts)
			parts = append(parts, part{p.block, headerSize})
		}
		end := p.field.At + p.field.Size
		if p.field.Scale != "" {
			end = max(end, p.block.Model.point(p.field.Scale).Offset+1)
		}
		parts[i].n = min(max(parts[i].n, end), len(p.block.Regs))
	}
	slices.SortFunc(parts, func(a, b part) int { return a.block.Addr - b.block.Addr })
	var out []request
	for _, p := range parts {
		if k := len(out) - 1; k >= 0 && !l.alone && p.block.Addr+p.n-out[k].addr <= modbus.MaxRead {
			out[k].n = p.block.Addr + p.n - out[k].addr
			out[k].parts = append(out[k].parts, p)
			continue
		}
		out = append(out, request{p.block.Addr, p.n, []part{p}})
	}
	return out
}

// errMoved: the registers of a model are no longer where they were.
var errMoved = errors.New("the device's map has changed")

// fetch reads the blocks of all requests, or none of them.
func (l *layout) fetch(ctx context.Context, c modbus.Conn, requests []request) error {
	got := make([][]uint16, len(requests))
	for i, r := range requests {
		regs, err := readRegisters(ctx, c, r.addr, r.n)
		if err != nil {
			return err
		}
		for _, p := range r.parts {
			if at := regs[p.block.Addr-r.addr:]; at[0] != p.block.Regs[0] || at[1] != p.block.Regs[1] {
				return fmt.Errorf("model %d at %d: %w", p.block.ID, p.block.Addr, errMoved)
			}
		}
		got[i] = regs
	}
	for i, r := range requests {
		for _, p := range r.parts {
			copy(p.block.Regs, got[i][p.block.Addr-r.addr:][:p.n])
		}
	}
	return nil
}

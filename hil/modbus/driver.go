package modbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"yunchu/platform/device"
)

// DefaultDeadMan is after how long a setpoint that nobody renews reverts to 0 in the
// device: two misses of a renewal, which comes after a third of it.
const DefaultDeadMan = 6 * time.Second

// Times of what a driver does and finds by itself.
const (
	beatEvery   = 950 * time.Millisecond // a second, however punctual the reader is
	masterShown = 3 * time.Second        // how long a second master is told of
)

var nan = math.NaN()

// Driver is one device whose registers a profile describes.
type Driver struct {
	profile *Profile
	conn    Conn
	deadMan time.Duration
	mute    bool
	log     *slog.Logger

	configured time.Duration // dead-man time, which settings only shorten

	poll   *image // of what a reading is made of
	before *image // of what forbids a write

	live    setpoint
	timer   timer
	owed    bool        // power 0: the device may hold one that nobody answers for
	mode    device.Mode // as it was told
	told    uint64      // commands that came
	stopped bool        // emergency stop, until it is reset
	// stopping: the emergency stop has not reached the device yet.
	stopping bool
	beat     beat
	pulse    pulse
	master   time.Time // when somebody else was found to write; zero: never
}

// setpoint is the one in force, which is renewed until its time is over.
type setpoint struct {
	on      bool
	kw      float64
	regs    []uint16 // as the device holds it
	until   time.Time
	renewed time.Time
	revert  time.Duration // that the device was given
}

// beat is our own heartbeat, from the first setpoint on.
type beat struct {
	on     bool
	n      uint64 // as the device holds it
	unsure bool   // or one more: the last was not answered
	at     time.Time
}

// pulse is the device's heartbeat.
type pulse struct {
	seen  bool
	n     uint64
	since time.Time
}

var (
	_ device.Driver     = (*Driver)(nil)
	_ device.Described  = (*Driver)(nil)
	_ device.Adjustable = (*Driver)(nil)
	_ device.Probed     = (*Driver)(nil)
)

// polled are the points that a reading is made of.
var polled = []string{
	"status", "heartbeat", "power", "soc", "soh", "voltage", "current", "temperature", "max_charge_kw", "max_discharge_kw",
	"charge_limit_a", "discharge_limit_a", "charge_forbidden", "discharge_forbidden", "local", "e_stop", "alarms", "mode",
	"soc_min", "soc_max", "voltage_min", "voltage_max", "temperature_min", "temperature_max",
	"setpoint", "controller_heartbeat", "frequency",
}

// forbidding are those that are looked at once more before anything is written.
var forbidding = []string{"local", "e_stop", "mode", "setpoint"}

// New returns a driver. The device need not be there: the first Read connects. An error
// means that the options are wrong.
func New(o Options) (*Driver, error) {
	p, err := LoadProfile(o.Profile)
	if err != nil {
		return nil, err
	}
	if o.DeadMan < 0 {
		return nil, fmt.Errorf("dead-man time of %v", o.DeadMan)
	}
	d := &Driver{profile: p, conn: o.Conn, deadMan: cmp.Or(o.DeadMan, DefaultDeadMan), mute: o.Mute, log: o.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.configured = d.deadMan
	if err := p.holdsDeadMan(d.deadMan); err != nil {
		return nil, fmt.Errorf("profile %s: %w", o.Profile, err)
	}
	if d.conn == nil {
		if d.conn, err = Dial(o); err != nil {
			return nil, err
		}
	}
	d.poll, d.before = newImage(p, p.readable(polled)), newImage(p, p.readable(forbidding))
	return d, nil
}

// holdsDeadMan finds a range of the time to revert that has no room for a dead-man: it would
// be bent into the range, to one that is longer than anybody asked for, or to none.
func (p *Profile) holdsDeadMan(t time.Duration) error {
	x := p.find("revert_s")
	if x == nil || !x.writes || x.limits == nil {
		return nil
	}
	if x.limits.Min > t.Seconds() {
		return fmt.Errorf("points.revert_s.range: begins at %g s, which is above the dead-man time of %v", x.limits.Min, t)
	}
	raw, err := x.encode(inSteps(x, t).Seconds())
	if err != nil || !(x.number(x.registers(raw), 0) > 0) {
		return fmt.Errorf("points.revert_s.range: ends at %g s, so that no setpoint would ever be taken back", x.limits.Max)
	}
	return nil
}

// readable are the points of some names that the profile has and that can be read.
func (p *Profile) readable(names []string) (list []*point) {
	for _, n := range names {
		if x := p.find(n); x != nil && x.reads {
			list = append(list, x)
		}
	}
	return list
}

func (d *Driver) point(name string) *point { return d.profile.find(name) }

// Read implements device.Driver. It also does what is due: the setpoint in force is
// renewed, one whose time is over is taken back, and heartbeats go on. While the device has yet
// to hear a stop, it is tried to be reached each second, or as often as its line has room for.
func (d *Driver) Read(ctx context.Context, now time.Time) (device.Reading, error) {
	began := time.Now()
	d.tell(now)
	if s := &d.live; d.owed || d.stopping || s.on && !s.until.IsZero() && !now.Before(s.until) {
		InsistOwed(d.conn)
	}
	if err := d.poll.read(ctx, d.conn); err != nil {
		return device.Reading{}, err
	}
	r := d.reading(now)
	r.At, r.Arrived = now.UnixMilli(), now.Add(time.Since(began)).UnixMilli()
	if err := d.keep(ctx, now, r.Flags); err != nil {
		d.log.Debug("setpoint not kept", "error", err)
	}
	return r, nil
}

// tell gives the time to a connection that lives in its reader's.
func (d *Driver) tell(now time.Time) {
	if c, ok := d.conn.(interface{ SetNow(now time.Time) }); ok {
		c.SetNow(now)
	}
}

// Close implements device.Driver.
func (d *Driver) Close() error { return d.conn.Close() }

// reading is what was polled, in the plant's words.
func (d *Driver) reading(now time.Time) device.Reading {
	m := d.poll
	value := func(name string) float64 { return m.number(d.point(name)) }
	r := device.Reading{
		SoC: value("soc"), SoH: value("soh"), Voltage: value("voltage"), Current: value("current"),
		Power: value("power"), Temperature: value("temperature"),
		MaxCharge:    d.most("max_charge_kw", "charge_limit_a", "charge_forbidden"),
		MaxDischarge: d.most("max_discharge_kw", "discharge_limit_a", "discharge_forbidden"),
		Frequency:    d.frequency(),
	}
	if most := value("voltage_max"); most > 0 && r.Voltage >= most { // 0 is where nothing was filled in
		r.MaxCharge = 0
	}
	if r.Voltage <= value("voltage_min") {
		r.MaxDischarge = 0
	}
	r.Own = device.OwnWindows{
		SoC:         device.Span{value("soc_min"), value("soc_max")},
		Voltage:     device.Span{value("voltage_min"), value("voltage_max")},
		Temperature: device.Span{value("temperature_min"), value("temperature_max")},
	}.Told()
	r.Status, r.Word = d.status(r.Power)
	r.Flags, r.Beyond = d.findings(now)
	return r
}

// frequency is that of the grid, Hz; one that is out of its valid range is none, and says
// nothing of the rest of the reading.
func (d *Driver) frequency() float64 {
	x := d.point("frequency")
	hz := d.poll.number(x)
	if x != nil && x.valid != nil && !(hz >= x.valid.Min && hz <= x.valid.Max) {
		return 0
	}
	return hz
}

// most is the power in kW that can be had in a direction: the least of a bound of power
// and one of current, and none where that is forbidden.
func (d *Driver) most(power, current, forbidden string) float64 {
	if d.poll.holds(d.point(forbidden)) {
		return 0
	}
	p, i, v := d.poll.number(d.point(power)), d.poll.number(d.point(current)), d.poll.number(d.point("voltage"))
	least := p
	if byCurrent := i * v / 1000; !(least <= byCurrent) && !math.IsNaN(byCurrent) { // the first, or less
		least = byCurrent
	}
	if least < 0 {
		return 0
	}
	return least
}

// idleKW is the power below which a converter does nothing worth a word.
const idleKW = 0.05

// status is the device's word; without one, what its other values come to. A mode that
// the driver was told, or that the device holds, shows unless there is worse.
func (d *Driver) status(kw float64) (device.Status, string) {
	var s device.Status
	raw := ""
	if x := d.point("status"); d.poll.has(x) {
		w, n, _ := x.meaning(d.poll.registers(x))
		s, _ = device.ParseStatus(w)
		raw = strconv.FormatUint(n, 10)
	} else {
		s = device.Idle
		switch {
		case d.poll.holds(d.point("e_stop")) || d.poll.holds(d.point("alarms")):
			s = device.Fault
		case kw > idleKW:
			s = device.Charging
		case kw < -idleKW:
			s = device.Discharging
		}
	}
	if s != device.Fault && s != device.Offline {
		switch cmp.Or(d.mode, d.modeIn(d.poll)) {
		case device.StandbyMode:
			s = device.Standby
		case device.MaintenanceMode:
			s = device.Maintenance
		}
	}
	if s != device.OtherStatus {
		raw = ""
	}
	return s, raw
}

// shownAs is what of a reading a point becomes.
var shownAs = map[string]device.Points{
	"soc": device.PointSoC, "soh": device.PointSoH, "voltage": device.PointVoltage, "current": device.PointCurrent,
	"power": device.PointPower, "temperature": device.PointTemperature,
	"max_charge_kw": device.PointMaxCharge, "charge_limit_a": device.PointMaxCharge,
	"max_discharge_kw": device.PointMaxDischarge, "discharge_limit_a": device.PointMaxDischarge,
}

// findings are the flags of the reading, the values that are beyond what is valid, and
// what follows from them for the driver.
func (d *Driver) findings(now time.Time) (f device.Flags, beyond device.Points) {
	m := d.poll
	for _, r := range d.profile.readable(polled) {
		if v := m.number(r); r.valid != nil && r.name != "frequency" && (v < r.valid.Min || v > r.valid.Max) {
			f |= device.FlagRange
			beyond |= shownAs[r.name]
		}
	}
	if m.holds(d.point("local")) {
		f |= device.FlagLocal
	}
	if m.holds(d.point("e_stop")) {
		f |= device.FlagEStop
	}
	if x := d.point("heartbeat"); m.has(x) {
		n := x.raw(m.registers(x))
		if p := &d.pulse; !p.seen || p.n != n {
			*p = pulse{seen: true, n: n, since: now}
		}
		if now.Sub(d.pulse.since) > x.patience {
			f |= device.FlagHeartbeat
		}
	}
	if d.replaced(m, now) || d.beaten() {
		d.handOver(now)
	}
	if !d.master.IsZero() && now.Sub(d.master) < masterShown {
		f |= device.FlagMaster
	}
	return f, beyond
}

// handOver leaves the device to somebody else who writes.
func (d *Driver) handOver(now time.Time) {
	d.log.Warn("second master: the setpoint was changed by somebody else, it is given up", "setpoint_kw", d.live.kw)
	d.live.on, d.beat.on, d.master = false, false, now
}

// replaced reports whether the setpoint register does not hold what the device was told.
// A setpoint that the device itself may have taken back by now proves nothing.
func (d *Driver) replaced(m *image, now time.Time) bool {
	x := d.point("setpoint")
	return d.live.on && m.has(x) && now.Sub(d.live.renewed) < d.live.revert && x.raw(m.registers(x)) != x.raw(d.live.regs)
}

// beaten reports whether our heartbeat has moved by itself.
func (d *Driver) beaten() bool {
	m := d.poll
	x, b := d.point("controller_heartbeat"), &d.beat
	if !b.on || !m.has(x) {
		return false
	}
	got := x.raw(m.registers(x))
	if b.unsure && got == b.next(x) {
		b.n = got
	}
	b.unsure = false
	return got != b.n
}

// next is what follows in a register.
func (b *beat) next(x *point) uint64 { return (b.n + 1) & (math.MaxUint64 >> (64 - x.bits())) }

// keep does what is due to a setpoint in force, and beats.
func (d *Driver) keep(ctx context.Context, now time.Time, f device.Flags) error {
	s, b := &d.live, &d.beat
	if s.on && (f&(device.FlagLocal|device.FlagEStop) != 0 || !s.until.IsZero() && !now.Before(s.until)) {
		s.on, d.owed = false, true // it does not come back by itself
	}
	if f&device.FlagLocal != 0 {
		return nil
	}
	errs := []error{d.watchRevert(ctx, now)}
	switch {
	case d.stopping:
		errs = append(errs, d.eStop(ctx))
	case d.owed:
		errs = append(errs, d.takeBack(ctx))
	case s.on && now.Sub(s.renewed) >= min(d.deadMan, s.revert)/3:
		errs = append(errs, d.renew(ctx, now))
	}
	if b.on && now.Sub(b.at) >= beatEvery {
		errs = append(errs, d.strike(ctx, now))
	}
	return errors.Join(errs...)
}

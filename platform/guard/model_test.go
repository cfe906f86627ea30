package guard_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/guard"
)

// model is what the guard promises, written down once more and more simply: for
// each device what was last believed of it, and what it has been told.
type model struct {
	base, env                     guard.Envelope // registered, and with what the device tells of itself
	rated                         float64        // the newest rating that was one
	own                           [6]float64     // that: edges of charge, temperature and voltage
	life                          device.State
	at, arrived                   int64
	soc, temp, volt, charge, give float64
	empty, full, hot, cold        bool
	low, high                     bool
	stopped                       bool  // emergency stop
	reset                         int64 // when it was lifted
	armed, itself                 bool  // on a wire; and whether it arms itself

	mode     device.Mode
	power    float64
	doubt    float64 // may run at this instead, on the other side of 0
	until    int64
	hold     int64
	priority device.Priority
}

func unheard() model {
	nan := math.NaN()
	return model{soc: nan, temp: nan, volt: nan, charge: nan, give: nan, own: [6]float64{nan, nan, nan, nan, nan, nan}}
}

func (m *model) live(now int64) float64 {
	if m.until > now {
		return m.power
	}
	return 0
}

func (m *model) stale(now int64) bool {
	return m.env.Wired && (m.arrived == 0 || now-m.arrived > m.env.StaleAfter.Milliseconds())
}

// bar takes the right to act from a device on a wire.
func (m *model) bar() {
	if m.env.Wired {
		m.armed, m.itself = false, false
	}
}

// mute says whether a device on a wire keeps silent about what it is kept by.
func (m *model) mute(r *device.Reading) bool {
	gone := func(was, is float64) bool { return !math.IsNaN(was) && math.IsNaN(is) }
	volts := m.env.VoltMin > 0 || m.env.VoltMax > 0
	return m.env.Wired && (gone(m.soc, r.SoC) || gone(m.temp, r.Temperature) || volts && gone(m.volt, r.Voltage))
}

// observe believes a reading.
func (m *model) observe(r *device.Reading) {
	at := min(r.At, r.Arrived)
	if at < m.at && r.Arrived >= m.arrived {
		return
	}
	good := r.Quality == device.Good && !m.mute(r)
	if good {
		if m.armed && m.stale(r.Arrived) {
			m.bar()
		}
		m.at, m.arrived, m.soc, m.volt = at, r.Arrived, r.SoC, r.Voltage
		for _, x := range [][2]*float64{{&m.charge, &r.MaxCharge}, {&m.give, &r.MaxDischarge}} {
			if !m.env.Wired || !math.IsNaN(*x[1]) {
				*x[0] = *x[1]
			}
		}
	}
	if m.env.Wired && r.Quality == device.Suspect {
		for _, x := range [][2]*float64{{&m.charge, &r.MaxCharge}, {&m.give, &r.MaxDischarge}} {
			if *x[1] < *x[0] || math.IsNaN(*x[0]) {
				*x[0] = *x[1]
			}
		}
	}
	m.told(r, good)
	m.flagged(r, at)
	if good || math.IsNaN(m.temp) || r.Temperature > m.temp {
		m.temp = r.Temperature
	}
	m.latch()
}

// told follows the windows that a device tells of itself.
func (m *model) told(r *device.Reading, good bool) {
	if r.Own == nil || !good && r.Quality != device.Suspect {
		return
	}
	for i, x := range []float64{r.Own.SoC[0], r.Own.SoC[1], r.Own.Temperature[0], r.Own.Temperature[1], r.Own.Voltage[0], r.Own.Voltage[1]} {
		narrower := i%2 == 0 && x > m.own[i] || i%2 == 1 && x < m.own[i]
		says := device.Finite(x) && (x > 0 || i == 2 || i == 3)
		if says && (good || narrower || math.IsNaN(m.own[i])) {
			m.own[i] = x
		}
	}
	m.act()
}

// act works out the envelope that acts: of two edges the inner one.
func (m *model) act() {
	e := m.base
	for i, edge := range []*float64{&e.SoCMin, &e.SoCMax, &e.TempMin, &e.TempMax, &e.VoltMin, &e.VoltMax} {
		x := m.own[i]
		if math.IsNaN(x) {
			continue
		}
		*[]*bool{&e.NeedsSoC, &e.NeedsTemp, &e.NeedsVolt}[i/2] = true
		if i%2 == 0 {
			*edge = max(*edge, x)
		} else if *edge = min(*edge, x); i == 5 && m.base.VoltMax == 0 {
			*edge = x
		}
	}
	m.env = e
	if e == m.base {
		return
	}
	room := func(usual, low, top float64) float64 { return min(usual, max(0, top-low)/4) }
	m.env.SoCHysteresis = room(e.SoCHysteresis, e.SoCMin, e.SoCMax)
	m.env.TempHysteresis = room(e.TempHysteresis, e.TempMin, e.TempMax)
	volts := 0.02 * max(e.VoltMax, e.VoltMin)
	if e.VoltMax > 0 {
		volts = 0.02 * e.VoltMax
		if m.base.VoltMin > 0 || m.base.VoltMax > 0 {
			volts = min(volts, m.base.VoltHysteresis)
		}
		volts = room(volts, e.VoltMin, e.VoltMax)
	}
	m.env.VoltHysteresis = volts
}

// flagged is what a reading says about the life of a device.
func (m *model) flagged(r *device.Reading, at int64) {
	if r.Flags&device.FlagEStop != 0 && at >= m.reset && !m.stopped {
		m.stopped = true
		m.bar()
	}
	if m.armed && r.Flags&device.FlagMaster != 0 { // handed over as it is
		m.power, m.doubt, m.until, m.hold = 0, 0, 0, 0
	}
	if m.armed && r.Flags&(device.FlagMaster|device.FlagLocal) != 0 {
		m.bar()
	}
	taken := r.Flags & (device.FlagMaster | device.FlagLocal | device.FlagHeartbeat)
	if m.itself && r.Quality == device.Good && !m.stopped && taken == 0 && (!math.IsNaN(m.soc) || m.base.WithoutSoC) {
		m.armed, m.itself = true, false
	}
}

func (m *model) latch() {
	e := m.env
	set := func(b *bool, on, off bool) { *b = on || *b && !off }
	set(&m.empty, m.soc <= e.SoCMin, m.soc >= e.SoCMin+e.SoCHysteresis)
	set(&m.full, m.soc >= e.SoCMax, m.soc <= e.SoCMax-e.SoCHysteresis)
	set(&m.hot, m.temp >= e.TempMax, m.temp <= e.TempMax-e.TempHysteresis)
	set(&m.cold, m.temp <= e.TempMin, m.temp >= e.TempMin+e.TempHysteresis)
	set(&m.low, e.VoltMin > 0 && m.volt <= e.VoltMin, e.VoltMin == 0 || m.volt >= e.VoltMin+e.VoltHysteresis)
	set(&m.high, e.VoltMax > 0 && m.volt >= e.VoltMax, e.VoltMax == 0 || m.volt <= e.VoltMax-e.VoltHysteresis)
}

// edges are the edges of its windows that it has reached.
func (m *model) edges() map[string]bool {
	return map[string]bool{
		"state of charge low": m.empty, "state of charge high": m.full, "temperature low": m.cold,
		"temperature high": m.hot, "voltage low": m.low, "voltage high": m.high,
	}
}

// outside says how kw leaves the envelope, "" when it does not.
func (m *model) outside(kw float64) string {
	e := &m.env
	switch {
	case kw == 0:
		return ""
	case !device.Finite(kw):
		return "not a number"
	case e.Wired && !m.armed:
		return "not armed"
	case !e.Wired && m.life != device.Active:
		return "not active"
	case m.stopped:
		return "emergency stop"
	case m.mode != device.Run:
		return "mode " + m.mode.String()
	case !(math.Abs(kw) <= e.RatedKW):
		return fmt.Sprintf("rating %v", e.RatedKW)
	case e.CapKW != 0 && !(math.Abs(kw) <= e.CapKW):
		return fmt.Sprintf("cap %v", e.CapKW)
	case kw > 0 && kw > max(0, m.charge):
		return fmt.Sprintf("device takes %v", m.charge)
	case kw < 0 && -kw > max(0, m.give):
		return fmt.Sprintf("device gives %v", m.give)
	case e.NeedsSoC && math.IsNaN(m.soc), e.NeedsTemp && math.IsNaN(m.temp), e.NeedsVolt && math.IsNaN(m.volt):
		return "not known where it is"
	case m.hot:
		return "hot"
	case kw > 0 && (m.cold || m.full || m.high):
		return fmt.Sprintf("cold %v, full %v, voltage high %v", m.cold, m.full, m.high)
	case kw < 0 && (m.empty || m.low):
		return fmt.Sprintf("empty %v, voltage low %v", m.empty, m.low)
	}
	return ""
}

// clamp is the power nearest to kw inside the envelope.
func (m *model) clamp(kw float64) float64 {
	if m.outside(kw) == "" {
		return kw
	}
	side := []float64{m.env.RatedKW, m.charge}
	if kw < 0 {
		side[1] = m.give
	}
	if m.env.CapKW > 0 {
		side = append(side, m.env.CapKW)
	}
	best := math.Abs(kw)
	for _, v := range side {
		if !math.IsNaN(v) {
			best = min(best, max(0, v))
		}
	}
	if best = math.Copysign(best, kw); m.outside(best) != "" {
		return 0
	}
	return best
}

const devices = 4

// wild are numbers that no device should send and that one will.
var wild = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1e300, -1e300, 5e-324}

func value(lo, hi float64) *rapid.Generator[float64] {
	return rapid.Custom(func(t *rapid.T) float64 {
		if rapid.IntRange(0, 7).Draw(t, "wild") == 0 {
			return rapid.SampledFrom(wild).Draw(t, "value")
		}
		return rapid.Float64Range(lo, hi).Draw(t, "value")
	})
}

// track is what a setpoint, or the sum of them, was after each event.
type track []point

type point struct {
	at       int64
	kw, ramp float64 // ramp 0: none
}

func (k *track) note(now int64, kw, ramp float64) { *k = append(*k, point{now, kw, ramp}) }

// bounded looks whether the ramp has kept what it bounds to itself: a move to kw, from where
// moves that nothing bounds have brought it at that moment, stays within the ramp of all that
// it was in the second before. Where those have gone further there is no move at all. Of a
// ramp that has changed meanwhile the wider counts.
func (k track) bounded(t rapid.TB, whose string, now int64, freed, kw, ramp float64) {
	least, most := freed, freed
	for i := len(k) - 1; i >= 0 && ramp > 0 && k[i].ramp > 0; i-- {
		if i+1 < len(k) && k[i+1].at <= now-1000 { // no longer in force then
			break
		}
		ramp = max(ramp, k[i].ramp)
		least, most = min(least, k[i].kw), max(most, k[i].kw)
	}
	if ramp > 0 && (kw > max(freed, least+ramp)+1e-6 || kw < min(freed, most-ramp)-1e-6) {
		t.Fatalf("%s goes from %v kW to %v kW at %d ms, and was between %v kW and %v kW within a second; the ramp allows %v kW",
			whose, freed, kw, now, least, most, ramp)
	}
}

// world is a guard, its model and what was observed of its setpoints.
type world struct {
	g     *guard.Guard
	now   int64
	m     [devices]model
	fleet track
	own   [devices]track
	given [devices][]int64 // when each was given what counts in its rate
	all   []int64          // when the fleet was
	edges [devices]map[string]bool
	steps bool // nothing moves but what the ramp bounds
}

func newWorld(t *rapid.T, ramp float64) *world {
	w := &world{g: &guard.Guard{RampKWPerS: ramp}, now: start.UnixMilli()}
	for s := range w.m {
		w.m[s], w.edges[s] = unheard(), map[string]bool{}
		w.set(t, device.Slot(s), nameplate(), device.Active)
	}
	w.kept(t)
	return w
}

func (w *world) set(t *rapid.T, s device.Slot, e guard.Envelope, life device.State) {
	if err := w.g.Set(s, e, life); err != nil {
		t.Fatal(err)
	}
	m := &w.m[s]
	if m.rated > 0 && e.RatedKW > m.rated && m.armed {
		m.bar()
	}
	if e.RatedKW > 0 {
		m.rated = e.RatedKW
	}
	m.base, m.life = e, life
	m.act()
	m.latch()
}

// see lets a device report. One that is handed over to somebody else moves without us.
func (w *world) see(r *device.Reading) {
	w.g.Observe(r)
	if int(r.Slot) < devices {
		w.m[r.Slot].observe(r)
	}
}

// itself lets a device on a wire arm itself with its next good reading.
func (w *world) itself(s device.Slot) {
	w.g.ArmItself(s)
	w.m[s].itself = true
}

// powers are what is in force of each device, and their sum.
func (w *world) powers() (kw [devices]float64, sum float64) {
	for s := range w.m {
		kw[s] = w.m[s].live(w.now)
		sum += kw[s]
	}
	return kw, sum
}

// moved notes what is in force now.
func (w *world) moved() {
	kw, sum := w.powers()
	for s := range w.m {
		w.own[s].note(w.now, kw[s], w.m[s].env.RampKWPerS)
	}
	w.fleet.note(w.now, sum, w.g.RampKWPerS)
}

// kept notes after each event what is in force, and looks whether what was said of the
// edges of windows is what is so.
func (w *world) kept(t *rapid.T) {
	w.moved()
	for _, b := range w.g.Bounds() {
		name, _, edge := strings.Cut(b.Text, ",")
		if !edge {
			continue // a cap, a ramp, a limit of the device's own
		}
		if w.edges[b.Slot][name] != b.Free {
			t.Fatalf("%+v, although it was so", b)
		}
		w.edges[b.Slot][name] = !b.Free
	}
	for s := range w.m {
		for name, is := range w.m[s].edges() {
			if w.edges[s][name] != is {
				t.Fatalf("device %d: %s is %v and said to be %v", s, name, is, w.edges[s][name])
			}
		}
	}
}

func (w *world) time() time.Time { return time.UnixMilli(w.now).UTC() }

// command draws something that somebody may send.
func command(now int64) *rapid.Generator[device.Command] {
	return rapid.Custom(func(t *rapid.T) device.Command {
		seq++
		c := device.Command{
			Slot:     device.Slot(rapid.IntRange(0, devices).Draw(t, "slot")), // one too many
			Seq:      seq,
			Verb:     device.SetPower,
			Priority: device.Priority(rapid.IntRange(0, 4).Draw(t, "priority")),
			Power:    value(-110, 110).Draw(t, "power"),
			At:       now + rapid.Int64Range(-1000, 1000).Draw(t, "age"),
			Duration: rapid.SampledFrom([]int64{0, 1, 500, 2000, 2000, 3000, 60_000, 3_600_000, math.MaxInt64, math.MinInt64}).Draw(t, "duration"),
			Source:   rapid.SampledFrom([]string{"test", device.Planner}).Draw(t, "source"),
		}
		if rapid.Bool().Draw(t, "round") {
			c.Power = rapid.SampledFrom([]float64{100, 60, 25, 10, -10, -25, -60, -100}).Draw(t, "power")
		}
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			c.Verb = device.Verb(rapid.IntRange(0, 9).Draw(t, "verb"))
			c.Mode = device.Mode(rapid.IntRange(0, 3).Draw(t, "mode"))
		case 1:
			c.Priority = device.Priority(rapid.Uint8().Draw(t, "priority"))
		case 2:
			c.At = rapid.Int64().Draw(t, "at")
		}
		return c
	})
}

// calms reports whether a command brings a device to rest, which is never refused for
// how often it comes.
func calms(c *device.Command) bool {
	switch c.Verb {
	case device.SetPower:
		return c.Power == 0
	case device.SetMode:
		return c.Mode != device.Run
	case device.Stop, device.Release, device.EStop, device.Disarm:
		return true
	}
	return false
}

// may looks whether a command that the guard allows may be allowed at all.
func (w *world) may(t *rapid.T, c *device.Command, v *guard.Verdict) {
	if int(c.Slot) >= devices {
		t.Fatalf("a command for nobody is allowed: %+v", c)
	}
	m := &w.m[c.Slot]
	safe := c.Verb == device.EStop || c.Verb == device.Disarm || c.Verb == device.Reset // whoever asks, whenever
	if m.hold > w.now && c.Priority < m.priority && !safe {
		t.Fatalf("priority %v passes a hold of %v: %+v", c.Priority, m.priority, c)
	}
	if c.Priority > device.Safety || c.Verb < device.SetPower || c.Verb > device.Disarm || c.Verb == device.Arm {
		t.Fatalf("nonsense is allowed: %+v", c)
	}
	if m.stopped && !safe {
		t.Fatalf("%v of a device whose emergency stop is latched is allowed", c.Verb)
	}
	if age := w.now - c.At; (age > 60_000 || age < -5_000) && !safe {
		t.Fatalf("a command %d ms old is allowed", age)
	}
	if c.Verb != device.SetPower && v.Power != 0 {
		t.Fatalf("%v ends at %v kW", c.Verb, v.Power)
	}
	if why := m.outside(v.Power); why != "" {
		t.Fatalf("%+v is allowed with %v kW: %s", c, v.Power, why)
	}
	if v.Power != 0 && m.stale(w.now) {
		t.Fatalf("%+v is allowed with %v kW, and nothing was heard of the device since %d", c, v.Power, m.arrived)
	}
	if v.Reduced != (c.Verb == device.SetPower && v.Power != c.Power) || v.Reduced && v.Reason == "" {
		t.Fatalf("asked %v kW, allowed %v kW, reduced %v (%q)", c.Power, v.Power, v.Reduced, v.Reason)
	}
	if !w.steps && v.Power*c.Power < 0 && v.Power*m.live(w.now) < 0 {
		t.Fatalf("asked %v kW at %v kW, allowed %v kW", c.Power, m.live(w.now), v.Power)
	}
	if v.Until > w.now+w.lease(c).Milliseconds() {
		t.Fatalf("%+v holds until %d", c, v.Until)
	}
	w.counted(t, c)
}

// lease is how long a command may hold.
func (w *world) lease(c *device.Command) time.Duration {
	switch {
	case c.Verb != device.SetPower:
		return guard.MaxDuration
	case c.Source == device.Planner && w.g.PlannerLease > 0:
		return w.g.PlannerLease
	case w.g.Lease > 0:
		return w.g.Lease
	}
	return guard.DefaultLease
}

// counted holds an allowed command against the rates of its device and of the fleet.
func (w *world) counted(t *rapid.T, c *device.Command) {
	if calms(c) || c.Verb == device.SetPower && c.Priority == device.Safety {
		return
	}
	within := func(list []int64) (n int) {
		for _, at := range list {
			if at > w.now-1000 {
				n++
			}
		}
		return n
	}
	w.all = append(w.all, w.now)
	if n, most := within(w.all), w.g.CommandsPerS; most > 0 && n > most {
		t.Fatalf("%d commands to the fleet within a second, at most %d", n, most)
	}
	if most := w.m[c.Slot].env.PerSecond; c.Verb == device.SetPower && most > 0 {
		given := append(w.given[c.Slot], w.now)
		if w.given[c.Slot] = given; within(given) > most {
			t.Fatalf("%d setpoints to device %d within a second, at most %d", within(given), c.Slot, most)
		}
	}
}

func (w *world) check(t *rapid.T, cmds []device.Command) {
	verdicts := make([]guard.Verdict, len(cmds))
	w.g.Check(w.time(), cmds, verdicts)
	before := make([]model, len(cmds))
	for from := 0; from < len(cmds); {
		to := from
		for seen := map[device.Slot]bool{}; to < len(cmds) && !seen[cmds[to].Slot]; to++ {
			seen[cmds[to].Slot] = cmds[to].Slot < devices
		}
		w.together(t, cmds[from:to], verdicts[from:to], before[from:to])
		from = to
	}
	w.settle(t, cmds, verdicts, before)
}

// together follows the verdicts on commands for different devices, which are for one moment,
// and keeps what was before each.
func (w *world) together(t *rapid.T, cmds []device.Command, verdicts []guard.Verdict, before []model) {
	freed, all := w.powers()
	for i := range cmds {
		c, v := &cmds[i], &verdicts[i]
		if v.Code != "" {
			if v.Code == guard.CodeRate && calms(c) {
				t.Fatalf("%+v brings to rest and is refused: %s", c, v.Reason)
			}
			continue
		}
		w.may(t, c, v)
		m := &w.m[c.Slot]
		before[i] = *m
		was := freed[c.Slot]
		switch inside := m.clamp(was); {
		case c.Verb != device.SetPower:
			freed[c.Slot] = v.Power
		case c.Priority == device.Safety: // towards 0
			freed[c.Slot] = min(max(inside, min(0, v.Power)), max(0, v.Power))
		default:
			freed[c.Slot] = inside
		}
		all += freed[c.Slot] - was
		if w.steps && freed[c.Slot] != was {
			t.Fatalf("%+v moves freely from %v to %v kW", c, was, freed[c.Slot])
		}
		m.power, m.doubt, m.until, m.hold, m.priority = v.Power, 0, v.Until, v.Until, c.Priority
		if c.Verb == device.SetMode {
			m.mode = c.Mode
		}
		if c.Verb == device.EStop {
			m.stopped = true
		}
		if c.Verb == device.EStop || c.Verb == device.Disarm {
			m.bar()
		}
	}
	kw, sum := w.powers()
	for s := range w.m {
		w.own[s].bounded(t, fmt.Sprintf("device %d", s), w.now, freed[s], kw[s], w.m[s].env.RampKWPerS)
	}
	w.fleet.bounded(t, "the sum", w.now, all, sum, w.g.RampKWPerS)
	w.moved()
}

// settle lets the devices answer. What one has refused it is back from.
func (w *world) settle(t *rapid.T, cmds []device.Command, verdicts []guard.Verdict, befores []model) {
	acks := make([]device.Ack, 0, len(cmds))
	for i := range cmds {
		c := &cmds[i]
		if verdicts[i].Code != "" {
			continue
		}
		m, before := &w.m[c.Slot], befores[i]
		before.stopped, before.armed, before.itself = m.stopped, m.armed, m.itself // whatever becomes of it
		a := c.Answer(device.Done, w.now, "", "")
		last := !slices.ContainsFunc(cmds[i+1:], func(o device.Command) bool { return o.Slot == c.Slot })
		if last && !w.steps && rapid.IntRange(0, 4).Draw(t, "refused") == 0 { // only the last can still be taken back
			a.Status = rapid.SampledFrom([]device.AckStatus{device.Rejected, device.Expired, device.Failure}).Draw(t, "status")
			after := *m
			*m = before
			if a.Status == device.Failure && (before.power == 0 || before.until > w.now) {
				all := []float64{0, before.power, before.doubt, after.power}
				if lo, hi := slices.Min(all), slices.Max(all); lo != slices.Min(all[:3]) || hi != slices.Max(all[:3]) {
					m.power, m.doubt, m.until = hi, lo, max(after.until, before.until)
					if -lo > hi {
						m.power, m.doubt = lo, hi
					}
				}
			}
		}
		acks = append(acks, a)
	}
	for i := range acks {
		if a := &acks[i]; a.Verb == device.Reset && a.Status == device.Done && w.m[a.Slot].stopped &&
			!slices.ContainsFunc(acks[i+1:], func(o device.Ack) bool { return o.Slot == a.Slot }) { // what comes after it is what counts
			w.m[a.Slot].stopped, w.m[a.Slot].reset = false, w.now
		}
		w.g.Settle(device.Time(acks[i].At), &acks[i])
	}
}

func (w *world) tick(t *rapid.T) {
	expired := map[device.Slot]bool{}
	for s := range w.m {
		m := &w.m[s]
		if m.armed && m.stale(w.now) {
			m.bar()
		}
		if m.power != 0 && m.until <= w.now {
			expired[device.Slot(s)] = true
		}
	}
	for _, c := range w.g.Tick(w.time(), nil) {
		m := &w.m[c.Slot]
		stop := c.Verb == device.EStop && m.stopped && m.env.Wired // it has not taken it
		if !stop && (c.Verb != device.SetPower || c.Priority != m.priority && c.Power != 0) {
			t.Fatalf("correction %+v", c)
		}
		if why := m.outside(c.Power); why != "" {
			t.Fatalf("correction %+v: %s", c, why)
		}
		if live := m.live(w.now); math.Abs(c.Power) > math.Abs(live) || c.Power*live < 0 {
			t.Fatalf("correction %+v of %v kW moves away from 0", c, live)
		}
		if expired[c.Slot] && c.Power != 0 {
			t.Fatalf("the setpoint has expired, the correction is %+v", c)
		}
		delete(expired, c.Slot)
		m.power, m.doubt = c.Power, 0
		if c.Power == 0 && c.Duration == 0 {
			m.until = 0
		}
		if stop {
			m.hold, m.priority = 0, device.Safety
		}
		a := c.Answer(device.Done, w.now, "", "")
		w.g.Settle(device.Time(a.At), &a)
	}
	if len(expired) > 0 {
		t.Fatalf("expired setpoints of %v were not brought to 0", expired)
	}
	for s := range w.m {
		m := &w.m[s]
		if why := m.outside(m.live(w.now)); why != "" {
			t.Fatalf("after the corrections device %d is left at %v kW: %s", s, m.live(w.now), why)
		}
		if why := m.outside(m.doubt); why != "" && m.until > w.now {
			t.Fatalf("after the corrections device %d may be left at %v kW: %s", s, m.doubt, why)
		}
	}
}

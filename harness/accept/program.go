package accept

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform/device"
)

// action is what an operation does.
type action uint8

const (
	actPower action = iota
	actSeries
	actSetting
	actSettingsAll
	actPollAll
	actProbe
	actCut
	actFault
	actGrid
	actBring
	actEStop
	actReset
	actArm
	actDisarm
	actRefused
	actRest
	actCheck // of the preconditions
)

// op is one operation of a program: a step of a procedure with its numbers filled in.
type op struct {
	act   action
	label string   // for people: what it is and which of how many
	when  []string // capabilities that it needs

	kw      float64 // of power, refused and bring
	series  func(t time.Duration) float64
	name    string     // of a setting, a link or a fault
	value   float64    // of a setting; Hz of a grid
	voltage float64    // percent, of a grid
	numbers [3]float64 // by_s, code, to_c of a fault
	within  float64    // percent, of bring

	hold    time.Duration // how long it lasts once it is done
	until   until
	soc     float64 // percent
	cooled  float64 // °C
	timeout time.Duration
	measure *Measure
}

// disconnects reports whether the device is to open its connection.
func (o *op) disconnects() bool {
	return o.act == actSetting && o.name == device.SettingConnect && o.value == 0
}

// until is what ends an operation, beside its time.
type until uint8

const (
	untilTime until = iota
	untilRest
	untilSoC
	untilCool
)

// Measure is a measure of a step with its numbers filled in. Shares are parts of one.
type Measure struct {
	Name, Kind string
	Reference  bool // of the bench's reference, where there is one

	Band, Dead, Share, Zero float64
	Settle, After           time.Duration
	LimitKW                 float64 // of kind limit
	RateKWPerS              float64 // of kind ramp
	ResponseKW              float64 // of kind frequency: what is to be added to the power before
}

// Program is a procedure made ready for one device.
type Program struct {
	Procedure  *scenario.Procedure
	Parameters map[string]scenario.Values // as they are used
	RatedKW    float64

	pre struct {
		socMin, socMax float64 // percent
		age            time.Duration
		quiet          time.Duration
	}
	ops    []op
	writes bool // something in it acts on the device
}

// Acts reports whether something in it acts on the device, which the sign test comes before.
func (g *Program) Acts() bool { return g.writes }

// asksPower reports whether what the program tests is done with power. The sign test asks
// for too little to say anything of its scale.
func (g *Program) asksPower() bool {
	return g.Procedure.Name != SignTest && slices.ContainsFunc(g.ops, func(o op) bool {
		return o.act == actPower && o.kw != 0 || o.act == actSeries || o.act == actBring
	})
}

// others are the parameters that are neither the procedure's nor, with short, those of
// its short form.
func (g *Program) others(short bool) (names []string) {
	for _, n := range slices.Sorted(maps.Keys(g.Parameters)) {
		own := g.Procedure.Parameters[n].Value
		if s, ok := g.Procedure.Short[n]; ok && short {
			own = s
		}
		if !slices.Equal(g.Parameters[n], own) {
			names = append(names, n)
		}
	}
	return names
}

// mostOps bounds what repetitions in a file can make of it.
const mostOps = 20_000

// Overrides are changes of a procedure's numbers: from its own short form, from a rig
// file, from the command line, the later over the earlier.
type Overrides struct {
	Parameters map[string]scenario.Values
	Limits     map[string]scenario.Limit
}

// Compile makes a procedure ready for a device. An error is one of the overrides, or
// of a parameter that makes no sense.
func Compile(p *scenario.Procedure, ratedKW float64, short bool, over ...Overrides) (*Program, error) {
	g := &Program{Procedure: p, Parameters: map[string]scenario.Values{}, RatedKW: ratedKW}
	for n, v := range p.Parameters {
		g.Parameters[n] = v.Value
	}
	if short {
		maps.Copy(g.Parameters, p.Short)
	}
	q := *p
	q.Limits = slices.Clone(p.Limits)
	g.Procedure = &q
	for _, o := range over {
		for n, v := range o.Parameters {
			if _, ok := g.Parameters[n]; !ok {
				return nil, fmt.Errorf("%s has no parameter %q: %s", p.Name, n, scenario.Suggest(n, slices.Sorted(maps.Keys(g.Parameters))))
			}
			if len(v) > 1 && len(p.Parameters[n].Value) == 1 {
				return nil, fmt.Errorf("%s: %s is one number, not %d", p.Name, n, len(v))
			}
			g.Parameters[n] = v
		}
		for n, l := range o.Limits {
			i := slices.IndexFunc(q.Limits, func(l scenario.ProcedureLimit) bool { return l.Name == n })
			if i < 0 {
				var names []string
				for _, l := range q.Limits {
					names = append(names, l.Name)
				}
				return nil, fmt.Errorf("%s has no limit %q: %s", p.Name, n, scenario.Suggest(n, names))
			}
			q.Limits[i] = changed(p.Limits[i], l)
		}
	}
	c := compiler{g: g, scope: map[string]float64{}}
	for n, v := range g.Parameters {
		if len(v) == 0 {
			return nil, fmt.Errorf("%s: parameter %s has no value", p.Name, n)
		}
		c.scope[n] = v[0]
	}
	if len(p.Prepare) > 0 {
		c.steps("prepare", p.Prepare)
	}
	c.check(&p.Preconditions)
	c.steps("step", p.Steps)
	if c.err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, c.err)
	}
	for i := range g.ops {
		switch g.ops[i].act {
		case actPollAll, actRest, actCheck:
		default:
			g.writes = true
		}
	}
	return g, nil
}

// changed is a limit with another bound. What its source says does not hold for it any more.
func changed(l scenario.ProcedureLimit, to scenario.Limit) scenario.ProcedureLimit {
	if to == l.Limit {
		return l
	}
	was := l.Limit.String()
	if l.Limit.IsZero() {
		was = "reported"
	}
	l.Source, l.Verified, l.Limit = fmt.Sprintf("changed from %s (%s)", was, l.Source), false, to
	return l
}

// Lasts is how long the program takes at least, as far as its holds tell.
func (g *Program) Lasts() (d time.Duration) {
	for i := range g.ops {
		d += g.ops[i].hold
	}
	return d
}

type compiler struct {
	g     *Program
	scope map[string]float64
	when  []string // of the sequences around
	err   error
}

func (c *compiler) of(v scenario.Value) float64 { return v.Of(c.scope) }

func (c *compiler) or(v *scenario.Value, preset float64) float64 {
	if v == nil {
		return preset
	}
	return v.Of(c.scope)
}

func (c *compiler) seconds(v *scenario.Value, preset float64) time.Duration {
	return time.Duration(c.or(v, preset) * float64(time.Second))
}

// kw turns a percentage of rated power, counted as the file counts, into kW of ours.
func (c *compiler) kw(percent float64) float64 {
	if c.g.Procedure.Counts == "discharge" {
		percent = -percent
	}
	return percent/100*c.g.RatedKW + 0 // no -0
}

func (c *compiler) check(p *scenario.Preconditions) {
	g := c.g
	g.pre.socMin, g.pre.socMax = c.or(p.SoCMin, 0), c.or(p.SoCMax, 100)
	g.pre.age, g.pre.quiet = c.seconds(p.ReadingAge, 1), c.seconds(p.Quiet, 0)
	g.ops = append(g.ops, op{act: actCheck, label: "preconditions"})
}

func (c *compiler) steps(at string, steps []scenario.ProcedureStep) {
	for i := range steps {
		c.step(fmt.Sprintf("%s %d", at, i+1), &steps[i])
	}
}

func (c *compiler) step(at string, x *scenario.ProcedureStep) {
	if c.err != nil {
		return
	}
	if x.When != "" {
		c.when = append(c.when, x.When)
		defer func() { c.when = c.when[:len(c.when)-1] }()
	}
	if x.Steps == nil {
		c.single(at, x)
		return
	}
	asked := c.or(x.Repeat, 1)
	times := int(asked)
	if times < 1 || times > mostOps || float64(times) != asked {
		c.err = fmt.Errorf("%s: repeat %g times", at, asked)
		return
	}
	for n := range times {
		here := at
		if x.Repeat != nil && times > 1 {
			here = fmt.Sprintf("%s, round %d", at, n+1)
		}
		if x.In == "" {
			c.steps(here+" ·", x.Steps)
			continue
		}
		was, shadowed := c.scope[x.Each]
		for _, v := range c.g.Parameters[x.In] {
			c.scope[x.Each] = v
			c.steps(fmt.Sprintf("%s, %s %g ·", here, strings.ReplaceAll(x.Each, "_", " "), v), x.Steps)
		}
		if delete(c.scope, x.Each); shadowed {
			c.scope[x.Each] = was
		}
	}
	if len(c.g.ops) > mostOps {
		c.err = fmt.Errorf("it has more than %d steps", mostOps)
	}
}

func (c *compiler) single(at string, x *scenario.ProcedureStep) {
	o := op{label: at, when: slices.Clone(c.when), hold: c.seconds(x.Hold, 0)}
	switch {
	case x.Power != nil:
		o.act, o.kw = actPower, c.kw(c.of(*x.Power))
	case x.Series != nil:
		o.act = actSeries
		s, sign := x.Series, c.kw(1)
		o.series = func(t time.Duration) float64 { return s.At(t) * sign }
	case x.Setting != nil:
		o.act, o.name, o.value = actSetting, x.Setting.Name, c.of(x.Setting.Value)
	case x.Every:
		o.act = actSettingsAll
	case x.Poll:
		o.act = actPollAll
	case x.Probe:
		o.act = actProbe
	case x.Cut != nil:
		o.act, o.name, o.hold = actCut, x.Cut.Link, c.seconds(&x.Cut.For, 0)
	case x.Fault != nil:
		f := x.Fault
		o.act, o.name, o.hold = actFault, f.Kind, c.seconds(&f.For, 0)
		o.numbers = [3]float64{c.of(f.By), c.of(f.Code), c.of(f.ToC)}
	case x.Grid != nil:
		o.act, o.value, o.voltage = actGrid, c.of(x.Grid.Hz), c.of(x.Grid.Voltage)
	case x.Bring != nil:
		b := x.Bring
		o.act, o.until, o.soc, o.within = actBring, untilSoC, c.of(b.To), c.of(b.Within)
		o.kw, o.timeout = c.of(b.Power)/100*c.g.RatedKW, c.seconds(&b.Timeout, 0)
	case x.EStop:
		o.act = actEStop
	case x.Reset:
		o.act = actReset
	case x.Arm:
		o.act = actArm
	case x.Disarm:
		o.act = actDisarm
	case x.Refused != nil:
		o.act, o.kw = actRefused, c.kw(c.of(*x.Refused))
	case x.Rest:
		o.act = actRest
	}
	if u := x.Until; u != nil {
		o.until, o.soc, o.cooled, o.timeout = untilRest, c.or(u.SoC, nan), c.or(u.Cooled, nan), c.seconds(&u.Timeout, 0)
		if u.SoC != nil {
			o.until = untilSoC
		} else if u.Cooled != nil {
			o.until = untilCool
		}
	}
	if o.hold < 0 || o.timeout < 0 {
		c.err = fmt.Errorf("%s: it lasts %v", at, min(o.hold, o.timeout))
	}
	if x.Measure != nil {
		o.measure = c.measure(x.Measure)
	}
	c.g.ops = append(c.g.ops, o)
}

func (c *compiler) measure(m *scenario.StepMeasure) *Measure {
	out := &Measure{
		Name: m.Name, Kind: m.Kind, Reference: m.Of == "reference",
		Band: c.or(m.Band, 2) / 100, Dead: c.or(m.Dead, 1) / 100, Share: c.or(m.Share, 90) / 100, Zero: c.or(m.Zero, 2) / 100,
		Settle: c.seconds(m.Settle, 5), After: c.seconds(m.After, 0),
		LimitKW: c.or(m.Limit, 0) / 100 * c.g.RatedKW, RateKWPerS: c.or(m.Rate, 0) / 100 * c.g.RatedKW,
	}
	if m.Kind == "frequency" {
		out.ResponseKW = c.response(c.or(m.Hz, nominalHz), c.or(m.DeadbandHz, 0), c.or(m.Droop, 0))
	}
	return out
}

// nominalHz is the frequency that droops are counted from.
const nominalHz = 50.0

// response is the power that a droop adds at a frequency, in kW of ours: a grid that is
// too fast is helped by charging.
func (c *compiler) response(hz, deadband, droop float64) float64 {
	off := hz - nominalHz
	switch {
	case off > deadband:
		off -= deadband
	case off < -deadband:
		off += deadband
	default:
		return 0
	}
	if droop <= 0 {
		return 0
	}
	return min(max(off/(droop/100*nominalHz), -1), 1) * c.g.RatedKW
}

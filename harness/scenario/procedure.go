package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Procedure is one test of the acceptance suite: what is done to a device, what is
// measured meanwhile, and what that must be. Powers and energies in it are counted as
// Counts says, as the standards count discharge above zero.
type Procedure struct {
	Head          `yaml:",inline"`
	Title         string               `yaml:"title" jsonschema:"required" example:"Step response" doc:"What is tested, in a few words."`
	Source        string               `yaml:"source" jsonschema:"required" example:"GB/T 36548-2024 §7" doc:"The standard or reference that the test follows, with its section."`
	Counts        string               `yaml:"counts,omitempty" jsonschema:"enum=charge,enum=discharge,default=charge" doc:"Which direction of power is above zero in this file."`
	Requires      []string             `yaml:"requires,omitempty" jsonschema:"enum=power,enum=reactive,enum=meter,enum=settings,enum=ramp,enum=power-limit,enum=revert,enum=connect,enum=grid,enum=backend,enum=link,enum=poll,enum=probe,enum=arm,enum=time" noun:"capability" doc:"What a device and its bench must be able to do; without it the test does not apply."`
	SampleEvery   time.Duration        `yaml:"sample_every,omitempty" jsonschema:"minimum=0" doc:"Readings closer together are not kept; by default all are."`
	Parameters    map[string]Parameter `yaml:"parameters,omitempty" doc:"Numbers that steps name."`
	Short         map[string]Values    `yaml:"short,omitempty" doc:"What parameters are in a quick run."`
	Preconditions Preconditions        `yaml:"preconditions,omitempty" doc:"What must hold before the first step."`
	Prepare       []ProcedureStep      `yaml:"prepare,omitempty" doc:"Steps before the preconditions are looked at."`
	Steps         []ProcedureStep      `yaml:"steps" jsonschema:"required" example:"[{power_percent: 50, hold_s: 10}]" doc:"What is done, in order."`
	Limits        []ProcedureLimit     `yaml:"limits" jsonschema:"required" example:"[{name: response_s, measure: step, metric: response_time_s}]" doc:"What is judged."`

	Path   string   `yaml:"-"` // the file, as it was named
	Inputs []string `yaml:"-"` // every file that was opened for it, itself first
}

// Parameter is a number, or a list of them, that steps use by its name.
type Parameter struct {
	Value Values `yaml:"value" jsonschema:"required" example:"10" doc:"A number, or a list of numbers."`
	Unit  string `yaml:"unit" jsonschema:"required" example:"s" doc:"Its unit, for the report."`
	Doc   string `yaml:"doc" jsonschema:"required" example:"how long each level is held" doc:"What it is."`
}

// Preconditions are what must hold before a test; a test whose preconditions are missed
// is inconclusive.
type Preconditions struct {
	SoCMin     *Value `yaml:"soc_min_percent,omitempty" doc:"State of charge, at least."`
	SoCMax     *Value `yaml:"soc_max_percent,omitempty" doc:"State of charge, at most."`
	ReadingAge *Value `yaml:"reading_age_s,omitempty" doc:"How old a reading may be, before the test and during measurements; default 1, at least three readings."`
	Quiet      *Value `yaml:"quiet_s,omitempty" doc:"How long the power must have been at rest."`
}

// ProcedureStep does one thing. A step with Steps is a sequence.
type ProcedureStep struct {
	Repeat *Value          `yaml:"repeat,omitempty" doc:"The steps below are done so many times."`
	Each   string          `yaml:"each,omitempty" jsonschema:"pattern=^[a-z][a-z0-9_]*$" hint:"small letters, digits and _" doc:"The steps below are done for each value of the list that in names; this is what they call it."`
	In     string          `yaml:"in,omitempty" doc:"The parameter that each goes through."`
	Steps  []ProcedureStep `yaml:"steps,omitempty" doc:"What is done, in order."`
	When   string          `yaml:"when,omitempty" jsonschema:"enum=power,enum=reactive,enum=meter,enum=settings,enum=ramp,enum=power-limit,enum=revert,enum=connect,enum=grid,enum=backend,enum=link,enum=poll,enum=probe,enum=arm,enum=time" noun:"capability" doc:"Done only where this can be done."`

	Power   *Value       `yaml:"power_percent,omitempty" doc:"A setpoint, percent of rated power; renewed while the step lasts."`
	Series  *Series      `yaml:"series,omitempty" unit:"percent" doc:"Setpoints from a CSV file, percent of rated power, for hold_s."`
	Setting *SetSetting  `yaml:"setting,omitempty" doc:"A setting of the device is changed; put back when the test ends."`
	Every   bool         `yaml:"settings_all,omitempty" doc:"Every setting is written with another legal value, read back, and restored."`
	Poll    bool         `yaml:"poll_all,omitempty" doc:"Readings, and every setting over and over, for hold_s, each exchange timed."`
	Probe   bool         `yaml:"probe,omitempty" doc:"What the device must refuse is tried on it."`
	Cut     *Cut         `yaml:"cut,omitempty" doc:"A link is cut."`
	Fault   *StepFault   `yaml:"fault,omitempty" doc:"Something behind the device is broken."`
	Grid    *Grid        `yaml:"grid,omitempty" doc:"The grid is moved; put back when the test ends."`
	Bring   *Bring       `yaml:"bring_soc,omitempty" doc:"Charge or discharge until the state of charge is there."`
	EStop   bool         `yaml:"e_stop,omitempty" doc:"The emergency stop."`
	Reset   bool         `yaml:"reset,omitempty" doc:"It is lifted."`
	Arm     bool         `yaml:"arm,omitempty" doc:"A device on a wire is armed, after its sign test; done at once where nothing needs arming."`
	Disarm  bool         `yaml:"disarm,omitempty" doc:"And disarmed."`
	Refused *Value       `yaml:"refused_percent,omitempty" doc:"A setpoint that must be refused, percent of rated power."`
	Rest    bool         `yaml:"rest,omitempty" doc:"Nothing is asked for: no setpoint is in force."`
	Hold    *Value       `yaml:"hold_s,omitempty" doc:"How long the step lasts once it is done."`
	Until   *Until       `yaml:"until,omitempty" doc:"How long the step lasts, by what happens."`
	Measure *StepMeasure `yaml:"measure,omitempty" doc:"What is looked at while it lasts."`
}

// doings are the keys of which a step has exactly one.
var doings = []string{
	"steps", "power_percent", "series", "setting", "settings_all", "poll_all", "probe", "cut", "fault", "grid", "bring_soc",
	"e_stop", "reset", "arm", "disarm", "refused_percent", "rest",
}

// SetSetting is a change of a device's setting.
type SetSetting struct {
	Name  string `yaml:"name" jsonschema:"required" example:"ramp" doc:"ramp, power-limit, revert, connect, reserve, or the device's own name."`
	Value Value  `yaml:"value" jsonschema:"required" example:"100" doc:"In the unit of the setting."`
}

// Cut is a link that is silent for a while.
type Cut struct {
	Link string `yaml:"link,omitempty" jsonschema:"default=device" doc:"device, or a part of it: pcs, bms, meter."`
	For  Value  `yaml:"for_s" jsonschema:"required" example:"10" doc:"How long."`
}

// StepFault is a fault behind the device.
type StepFault struct {
	Kind string `yaml:"kind" jsonschema:"required" example:"over-temperature" doc:"A kind that the bench knows; with another one the step is left out."`
	For  Value  `yaml:"for_s" jsonschema:"required" example:"10" doc:"How long."`
	By   Value  `yaml:"by_s,omitempty" doc:"Of late-answer: the delay."`
	Code Value  `yaml:"code,omitempty" doc:"Of exception: its code."`
	ToC  Value  `yaml:"to_c,omitempty" doc:"Of overheat and over-temperature, degC."`
}

// Grid is the grid that the device stands at.
type Grid struct {
	Hz      Value `yaml:"hz,omitempty" jsonschema:"default=50" doc:"Its frequency."`
	Voltage Value `yaml:"voltage_percent,omitempty" jsonschema:"default=100" doc:"Its voltage, percent of nominal."`
}

// Bring is a state of charge to be brought about.
type Bring struct {
	To      Value `yaml:"to" jsonschema:"required" example:"50" doc:"Percent."`
	Within  Value `yaml:"within,omitempty" jsonschema:"default=2" doc:"Percent; nothing is done where it is there already."`
	Power   Value `yaml:"at_percent,omitempty" jsonschema:"default=50" doc:"With which power, percent of rated power, without a sign."`
	Timeout Value `yaml:"timeout_s,omitempty" jsonschema:"default=14400" doc:"For how long at most."`
}

// Until is how a step ends by what happens.
type Until struct {
	SoC     *Value `yaml:"soc_percent,omitempty" doc:"The state of charge has come here, from wherever it was."`
	Cooled  *Value `yaml:"temperature_c,omitempty" doc:"The temperature has fallen to this, degC."`
	AtRest  bool   `yaml:"at_rest,omitempty" doc:"The device has taken its power away by itself, or may have none: it is full or empty."`
	Timeout Value  `yaml:"timeout_s" jsonschema:"required" example:"3600" doc:"For how long at most."`
}

// StepMeasure is what is looked at while a step lasts. Steps that share a name are
// judged together.
type StepMeasure struct {
	Name string `yaml:"name" jsonschema:"required" example:"step" doc:"What limits call it."`
	Kind string `yaml:"kind" jsonschema:"required" noun:"kind of measure" example:"step" doc:"What it is, of the table in harness/README.md."`
	Of   string `yaml:"of,omitempty" jsonschema:"enum=device,enum=reference,default=device" doc:"Whose power: that of the device's readings, or of the bench's reference where there is one."`

	Band       *Value `yaml:"band_percent,omitempty" doc:"Of settling, percent of rated power; default 2."`
	Settle     *Value `yaml:"settle_s,omitempty" doc:"How long it must stay in the band; default 5."`
	Dead       *Value `yaml:"dead_percent,omitempty" doc:"Of the dead time, percent of rated power; default 1."`
	Share      *Value `yaml:"share_percent,omitempty" doc:"Of the response, percent of the step; default 90."`
	Zero       *Value `yaml:"zero_percent,omitempty" doc:"What counts as no power, percent of rated power; default 2."`
	Limit      *Value `yaml:"limit_percent,omitempty" doc:"Of kind limit: the power that is allowed, percent of rated power."`
	After      *Value `yaml:"after_s,omitempty" doc:"Nothing is looked at before; default 0."`
	Rate       *Value `yaml:"rate_percent_per_s,omitempty" doc:"Of kind ramp: the ramp that was set, percent of rated power a second."`
	DeadbandHz *Value `yaml:"deadband_hz,omitempty" doc:"Of kind frequency: the dead band of the response that is asked for."`
	Droop      *Value `yaml:"droop_percent,omitempty" doc:"Of kind frequency: its droop, percent of the nominal frequency for one rated power."`
	Hz         *Value `yaml:"hz,omitempty" doc:"Of kind frequency: where the grid has been moved to."`
}

// ProcedureLimit is one thing that is judged, or reported when it has no limit.
type ProcedureLimit struct {
	Name        string `yaml:"name" jsonschema:"required,pattern=^[a-z][a-z0-9_]*$" example:"response_s" hint:"small letters, digits and _" doc:"What rig files call it."`
	Measure     string `yaml:"measure" jsonschema:"required" example:"step" doc:"The measure it is about; test for the whole of it."`
	Metric      string `yaml:"metric" jsonschema:"required" example:"response_time_s" doc:"A metric of its kind."`
	Stat        string `yaml:"stat,omitempty" jsonschema:"enum=worst,enum=mean,enum=p99,enum=sum,default=worst" doc:"How several measures become one value; worst is the largest, with a limit from below the smallest, with == the farthest from it."`
	Limit       Limit  `yaml:"limit,omitempty" doc:"What it must be; without one it is only reported."`
	Source      string `yaml:"source" jsonschema:"required" example:"GB/T 40595-2021" doc:"Where the number is from; unverified for one that nobody has looked up, own proposal for one that no document asks for."`
	Verified    bool   `yaml:"verified,omitempty" doc:"Somebody has seen the number in its source."`
	Requirement string `yaml:"requirement,omitempty" doc:"The requirement that it proves, for the matrix of the report."`
}

// Standing says what stands behind the number of a limit.
func (l *ProcedureLimit) Standing() Standing {
	switch {
	case strings.HasPrefix(l.Source, OwnProposal):
		return Own
	case l.Verified:
		return Verified
	}
	return Unverified
}

// Standing is what stands behind a number.
type Standing string

// Somebody has seen it in the source that is named; nobody has; or there is none, because
// the number is a proposal of ours. A conformity is claimed from verified numbers only.
const (
	Verified   Standing = "verified"
	Unverified Standing = "unverified"
	Own        Standing = "own"
)

// OwnProposal begins the source of a number that no document asks for.
const OwnProposal = "own proposal"

// Value is a number, or the name of a parameter; with a minus before it, less that.
type Value struct {
	Number float64
	Name   string // of a parameter, or of what each calls its value; empty: Number counts
	Minus  bool   // of Name
}

func (v *Value) read(s *source, n ast.Node, at string, r rules) {
	text, quoted, ok := scalar(n)
	if ok && !quoted {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			v.Number, _ = s.number(n, at, r)
			return
		}
	}
	bare := strings.TrimPrefix(text, "-")
	if !ok || !parameterName(bare) {
		s.fault(start(n), "write a number, or the name of a parameter", "%s is a number or a parameter, got %s", name(at), describe(n))
		return
	}
	*v = Value{Name: bare, Minus: bare != text}
}

func (v *Value) preset(text string) (err error) {
	v.Number, err = strconv.ParseFloat(text, 64)
	return err
}

func parameterName(text string) bool {
	for i, c := range text {
		letter, other := c >= 'a' && c <= 'z', c == '_' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return text != ""
}

// Of is the value with the given parameters.
func (v Value) Of(p map[string]float64) float64 {
	switch {
	case v.Name == "":
		return v.Number
	case v.Minus:
		return -p[v.Name]
	}
	return p[v.Name]
}

func (*Procedure) root() {}

// LoadProcedure reads a procedure file. Its error is Faults.
func LoadProcedure(path string, opt Options) (*Procedure, error) {
	data, err := readFile(path, opt)
	if err != nil {
		return nil, err
	}
	return ParseProcedure(path, data, opt)
}

// ParseProcedure is LoadProcedure for a text at hand.
func ParseProcedure(name string, data []byte, opt Options) (*Procedure, error) {
	p := new(Procedure)
	s, err := decodeFile(name, data, "Procedure", p, opt)
	if err != nil {
		return nil, err
	}
	p.Path = name
	p.check(s)
	p.Inputs = s.inputs
	if err := s.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// longestProcedure is how long the input of a procedure may go on: a week.
const longestProcedure = 7 * 24 * time.Hour

func (p *Procedure) check(s *source) {
	if !s.has("name") {
		s.fault(place{1, 1}, "add: name: T05", "required key %q is missing", "name")
	}
	for n, v := range p.Parameters {
		if !parameterName(n) {
			s.wrong(join("parameters", n), "use small letters, digits and _", "parameter %q is not a name", short(n))
		}
		if v.Value != nil && len(v.Value) == 0 {
			s.wrong(join("parameters", n)+".value", "write at least one number", "%s has no values", n)
		}
	}
	for n := range p.Short {
		if _, ok := p.Parameters[n]; !ok {
			s.wrong(join("short", n), suggest(n, p.names()), "there is no parameter %q", short(n))
		}
	}
	c := checker{s: s, p: p, known: map[string]bool{}, used: map[string]bool{}, kinds: map[string][]string{"test": {"test"}}}
	for n, v := range p.Parameters {
		c.known[n] = len(v.Value) <= 1 // none: reported already
	}
	pre := &p.Preconditions
	for key, v := range map[string]*Value{
		"soc_min_percent": pre.SoCMin, "soc_max_percent": pre.SoCMax, "reading_age_s": pre.ReadingAge, "quiet_s": pre.Quiet,
	} {
		c.value("preconditions."+key, v)
	}
	c.steps("prepare", p.Prepare)
	c.steps("steps", p.Steps)
	if s.has("steps") && p.Steps != nil && len(p.Steps) == 0 {
		s.wrong("steps", "add: - {power_percent: 50, hold_s: 10}", "nothing is done")
	}
	for _, n := range p.names() {
		if !c.used[n] {
			s.fault(s.key(join("parameters", n)), "take it away, or name it where its number is meant", "no step uses the parameter %q", n)
		}
	}
	c.limits(p.Limits)
}

// names are the parameters in alphabetical order.
func (p *Procedure) names() []string {
	var names []string
	for n := range p.Parameters {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// checker looks at the steps of a procedure.
type checker struct {
	s     *source
	p     *Procedure
	known map[string]bool     // names that a value may have; false: a list
	used  map[string]bool     // parameters that something names
	kinds map[string][]string // of measures, by name
}

func (c *checker) value(at string, v *Value) {
	if v == nil || v.Name == "" {
		return
	}
	c.used[v.Name] = true
	switch single, ok := c.known[v.Name]; {
	case !ok:
		var names []string
		for n, single := range c.known {
			if single {
				names = append(names, n)
			}
		}
		slices.Sort(names)
		c.s.wrong(at, suggest(v.Name, names), "there is no parameter %q here", short(v.Name))
	case !single:
		c.s.wrong(at, "go through it with each and in, or give it one value", "%s is a list", v.Name)
	}
}

func (c *checker) steps(at string, steps []ProcedureStep) {
	for i := range steps {
		c.step(fmt.Sprintf("%s[%d]", at, i), &steps[i])
	}
}

func (c *checker) step(at string, x *ProcedureStep) {
	s := c.s
	var given []string
	for _, a := range doings {
		if s.has(join(at, a)) {
			given = append(given, a)
		}
	}
	switch {
	case len(given) == 0:
		s.wrong(at, "give it one of "+strings.Join(doings, ", "), "this step does nothing")
	case len(given) > 1:
		s.fault(s.key(join(at, given[1])), "write two steps", "a step does one thing, this one has %s and %s", given[0], given[1])
	}
	c.value(at+".repeat", x.Repeat)
	if x.Steps != nil {
		c.sequence(at, x)
		return
	}
	for _, key := range []string{"repeat", "each", "in"} {
		s.misplaced(at, key, "a step without steps", "it belongs to a sequence of steps")
	}
	for key, v := range map[string]*Value{"power_percent": x.Power, "refused_percent": x.Refused, "hold_s": x.Hold} {
		c.value(join(at, key), v)
	}
	x.Series.load(s, at+".series", time.Time{}, longestProcedure)
	if x.Series != nil && x.Hold == nil {
		s.wrong(at+".series", "add: hold_s: 3600", "nothing says how long the series is followed")
	}
	if q := x.Setting; q != nil {
		c.value(at+".setting.value", &q.Value)
	}
	if q := x.Cut; q != nil {
		c.value(at+".cut.for_s", &q.For)
	}
	if q := x.Fault; q != nil {
		for key, v := range map[string]*Value{"for_s": &q.For, "by_s": &q.By, "code": &q.Code, "to_c": &q.ToC} {
			c.value(at+".fault."+key, v)
		}
	}
	if q := x.Grid; q != nil {
		c.value(at+".grid.hz", &q.Hz)
		c.value(at+".grid.voltage_percent", &q.Voltage)
	}
	if q := x.Bring; q != nil {
		for key, v := range map[string]*Value{"to": &q.To, "within": &q.Within, "at_percent": &q.Power, "timeout_s": &q.Timeout} {
			c.value(at+".bring_soc."+key, v)
		}
	}
	if q := x.Until; q != nil {
		c.value(at+".until.soc_percent", q.SoC)
		c.value(at+".until.temperature_c", q.Cooled)
		c.value(at+".until.timeout_s", &q.Timeout)
		ends := 0
		for _, given := range []bool{q.SoC != nil, q.Cooled != nil, q.AtRest} {
			if given {
				ends++
			}
		}
		if ends != 1 {
			s.wrong(at+".until", "write one of soc_percent, temperature_c and at_rest", "nothing, or too much, says what ends this step")
		}
		if x.Hold != nil {
			s.wrong(at+".hold_s", "keep one of hold_s and until", "a step ends in one way")
		}
	}
	c.measure(at+".measure", x.Measure)
}

// sequence looks at steps that are done several times.
func (c *checker) sequence(at string, x *ProcedureStep) {
	s := c.s
	if (x.Each == "") != (x.In == "") {
		s.wrong(at, "write each: level and in: levels", "each and in belong together")
	}
	if x.In != "" {
		c.used[x.In] = true
		if _, ok := c.p.Parameters[x.In]; !ok {
			s.wrong(at+".in", suggest(x.In, c.p.names()), "there is no parameter %q", short(x.In))
		}
	}
	for _, key := range []string{"hold_s", "until", "measure"} {
		s.misplaced(at, key, "a sequence", "it belongs to one of its steps")
	}
	if x.Each != "" {
		before, was := c.known[x.Each]
		c.known[x.Each] = true
		defer func() {
			if delete(c.known, x.Each); was {
				c.known[x.Each] = before
			}
		}()
	}
	c.steps(at+".steps", x.Steps)
}

func (c *checker) measure(at string, m *StepMeasure) {
	if m == nil {
		return
	}
	for key, v := range map[string]*Value{
		"band_percent": m.Band, "settle_s": m.Settle, "dead_percent": m.Dead, "share_percent": m.Share, "zero_percent": m.Zero,
		"limit_percent": m.Limit, "after_s": m.After, "rate_percent_per_s": m.Rate, "deadband_hz": m.DeadbandHz, "droop_percent": m.Droop, "hz": m.Hz,
	} {
		c.value(join(at, key), v)
	}
	if m.Kind != "" && !slices.Contains(MeasureKinds(), m.Kind) {
		c.s.wrong(at+".kind", suggest(m.Kind, MeasureKinds()), "unknown kind of measure %q", short(m.Kind))
		return
	}
	for key, kind := range map[string]string{"limit_percent": "limit", "rate_percent_per_s": "ramp", "deadband_hz": "frequency", "droop_percent": "frequency", "hz": "frequency"} {
		if m.Kind == kind && !c.s.has(join(at, key)) {
			c.s.wrong(at, "add: "+key+": …", "a measure of kind %s needs %s", kind, key)
		}
	}
	if m.Name == "test" {
		c.s.wrong(at+".name", "call it otherwise", "test is the whole of the test")
	}
	if !slices.Contains(c.kinds[m.Name], m.Kind) {
		c.kinds[m.Name] = append(c.kinds[m.Name], m.Kind)
	}
}

func (c *checker) limits(list []ProcedureLimit) {
	s := c.s
	if s.has("limits") && list != nil && len(list) == 0 {
		s.wrong("limits", "add: - {name: …, measure: …, metric: …}", "nothing is judged")
	}
	seen := map[string]bool{}
	for i := range list {
		l, at := &list[i], fmt.Sprintf("limits[%d]", i)
		if l.Name != "" && seen[l.Name] {
			s.wrong(at+".name", "give each limit a name of its own", "there are two limits named %q", l.Name)
		}
		seen[l.Name] = true
		if l.Verified && (l.Source == string(Unverified) || l.Standing() == Own) {
			s.wrong(at+".verified", "name the source, or take verified away", "a limit of no source cannot be verified")
		}
		if l.Measure == "" || l.Metric == "" {
			continue // reported as missing
		}
		kinds, ok := c.kinds[l.Measure]
		if !ok {
			var names []string
			for n := range c.kinds {
				names = append(names, n)
			}
			slices.Sort(names)
			s.wrong(at+".measure", suggest(l.Measure, names), "no step measures %q", short(l.Measure))
			continue
		}
		m, ok := FindTestMetric(l.Metric)
		switch {
		case !ok:
			s.wrong(at+".metric", suggest(l.Metric, testMetricNames()), "unknown metric %q", short(l.Metric))
		case !slices.ContainsFunc(kinds, func(k string) bool { return slices.Contains(m.Kinds, k) }):
			s.wrong(at+".metric", "it is one of "+strings.Join(m.Kinds, ", "), "%s is no metric of a measure of kind %s", l.Metric, strings.Join(kinds, ", "))
		}
	}
}

package scenario

import (
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Event is one thing that happens at an instant of the run: exactly one of
// its pointers (or Strategy) is set.
type Event struct {
	At       time.Duration `yaml:"at,omitempty" jsonschema:"minimum=0" doc:"When, counted from the start."`
	TargetKW *float64      `yaml:"target_kw,omitempty" jsonschema:"minimum=-1e9,maximum=1e9" doc:"From now on the fleet is asked for this power, kW."`
	ImportKW *float64      `yaml:"import_kw,omitempty" jsonschema:"minimum=-1e9,maximum=1e9" doc:"From now on the fleet holds the site at this import, kW."`
	For      time.Duration `yaml:"for,omitempty" jsonschema:"exclusiveMinimum=0" doc:"How long a target_kw or import_kw acts; without it, to the end."`
	Fault    *Injection    `yaml:"fault,omitempty" doc:"A fault begins."`
	Command  *Command      `yaml:"command,omitempty" doc:"A user sends a command."`
	Strategy string        `yaml:"strategy,omitempty" jsonschema:"enum=proportional,enum=soc-balancing,enum=cost,enum=time-to-go" doc:"Dispatch changes its strategy."`
}

// actions are the keys of which an event has exactly one.
var actions = []string{"target_kw", "import_kw", "fault", "command", "strategy"}

// Command is what a user sends to devices, through the same way as the API.
type Command struct {
	Device   string        `yaml:"device,omitempty" jsonschema:"default=*" hint:"a device id or a glob" doc:"Device id, or a glob: one command each."`
	Command  string        `yaml:"command,omitempty" jsonschema:"enum=setPower,enum=setMode,enum=stop,enum=release" doc:"Default setPower with power_kw, setMode with mode."`
	PowerKW  *float64      `yaml:"power_kw,omitempty" doc:"Of setPower: AC power, positive charges, kW."`
	Mode     string        `yaml:"mode,omitempty" jsonschema:"enum=run,enum=standby,enum=maintenance" doc:"Of setMode."`
	Duration time.Duration `yaml:"duration,omitempty" jsonschema:"exclusiveMinimum=0,default=60s" doc:"How long it holds, from its acceptance."`
	Priority string        `yaml:"priority,omitempty" jsonschema:"enum=low,enum=dispatch,enum=normal,enum=high,enum=safety,default=normal" doc:"Against other commands."`
}

// Target is what the fleet is asked for: power of its own, or the import that
// the site is held at.
type Target struct {
	Import bool    // the series is the wanted import of the site, not power of the fleet
	Series *Series // kW
}

func (t *Target) read(s *source, n ast.Node, at string, _ rules) {
	pairs, _ := pairsOf(n)
	imports := slices.IndexFunc(pairs, func(kv *ast.MappingValueNode) bool { return keyText(kv.Key) == "import_kw" })
	if imports < 0 {
		t.Series = new(Series)
		t.Series.read(s, n, at, rules{unit: "kw"})
		return
	}
	var form struct {
		ImportKW float64 `yaml:"import_kw" jsonschema:"required"`
	}
	for i, kv := range pairs {
		if key := keyText(kv.Key); i != imports && key != "import_kw" {
			s.fault(start(kv.Key), "a target is one of kw, import_kw and csv", "%s does not belong beside import_kw", key)
		}
	}
	if len(pairs) == 1 {
		s.mapping(n, elem(&form), at)
	}
	t.Import, t.Series = true, Constant(form.ImportKW)
}

// Setpoint is what the fleet is asked for at one instant.
type Setpoint struct {
	KW     float64
	Import bool // KW is the wanted import of the site
}

// override is a target_kw or import_kw of the timeline.
type override struct {
	from, to time.Duration
	Setpoint
}

// TargetAt is what is asked for t after the start: the latest event of the
// timeline that still acts, else the target of dispatch. False means that
// nothing is asked for.
func (s *Scenario) TargetAt(t time.Duration) (Setpoint, bool) {
	for _, o := range slices.Backward(s.overrides) {
		if o.from <= t && t < o.to {
			return o.Setpoint, true
		}
	}
	if s.Dispatch.Target == nil {
		return Setpoint{}, false
	}
	return Setpoint{s.Dispatch.Target.Series.At(t), s.Dispatch.Target.Import}, true
}

// overrides collects the targets of the timeline, latest beginning last.
func overrides(timeline []Event) []override {
	var all []override
	for _, e := range timeline {
		o := override{from: e.At, to: 1<<63 - 1}
		switch {
		case e.TargetKW != nil:
			o.Setpoint = Setpoint{KW: *e.TargetKW}
		case e.ImportKW != nil:
			o.Setpoint = Setpoint{*e.ImportKW, true}
		default:
			continue
		}
		if e.For > 0 {
			o.to = e.At + e.For
		}
		all = append(all, o)
	}
	slices.SortStableFunc(all, func(a, b override) int { return int(min(max(a.from-b.from, -1), 1)) })
	return all
}

// check looks at one event as a whole and against the run.
func (e *Event) check(s *source, at string, sc *Scenario) {
	if sc.Duration > 0 && e.At > sc.Duration {
		s.wrong(at+".at", "the run ends at "+FormatDuration(sc.Duration)+"; make duration longer or the event earlier",
			"an event at %s is after the end", FormatDuration(e.At))
	}
	var given []string
	for _, a := range actions {
		if s.has(join(at, a)) {
			given = append(given, a)
		}
	}
	switch {
	case len(given) == 0:
		s.wrong(at, "give it one of target_kw, import_kw, fault, command, strategy", "this event does nothing")
	case len(given) > 1:
		s.fault(s.key(join(at, given[1])), "write two events with the same at", "an event does one thing, this one has %s and %s", given[0], given[1])
	}
	if s.has(at+".for") && !s.has(at+".target_kw") && !s.has(at+".import_kw") {
		hint := "only target_kw and import_kw end by themselves"
		if s.has(at + ".fault") {
			hint = "write for inside the fault"
		}
		s.fault(s.key(at+".for"), hint, "for does not belong to this event")
	}
	if e.ImportKW != nil && sc.Site.Load == nil {
		s.needsLoad(at + ".import_kw")
	}
	if e.Fault != nil {
		e.Fault.check(s, at+".fault", sc)
	}
	if e.Command != nil {
		e.Command.check(s, at+".command", sc)
	}
}

func (s *source) needsLoad(at string) {
	s.wrong(at, "add site: {load: {csv: …, column: …}}: import is the load plus the fleet", "an import target needs the load of the site")
}

// check fills in the command from its parameters and finds those of others.
func (c *Command) check(s *source, at string, sc *Scenario) {
	if l := sc.Guard.Lease; c.Duration > l && l > 0 && s.has(at+".power_kw") {
		s.wrong(at+".duration", "it holds at most "+FormatDuration(l)+" unless it is renewed; guard: {lease: …} says so", "a setpoint cannot hold %s", FormatDuration(c.Duration))
	}
	if c.Command == "" && !s.has(at+".command") {
		switch {
		case c.PowerKW != nil:
			c.Command = "setPower"
		case c.Mode != "":
			c.Command = "setMode"
		default:
			s.wrong(at, "give it power_kw, mode, or command: stop", "this command says nothing")
			return
		}
	}
	power, mode := s.has(at+".power_kw"), s.has(at+".mode")
	switch c.Command {
	case "setPower":
		if !power {
			s.wrong(at, "add: power_kw: 50", "setPower needs power_kw")
		}
	case "setMode":
		if !mode {
			s.wrong(at, "add: mode: standby", "setMode needs a mode")
		}
	}
	if power && c.Command != "setPower" && c.Command != "" {
		s.misplaced(at, "power_kw", c.Command, "it belongs to setPower")
	}
	if mode && c.Command != "setMode" && c.Command != "" {
		s.misplaced(at, "mode", c.Command, "it belongs to setMode")
	}
	sc.mustMatch(s, at+".device", c.Device)
}

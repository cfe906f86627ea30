package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Injection is a fault to be injected: what, where and for how long. Only the
// parameters of its kind are set; Rule prints it.
type Injection struct {
	Kind    string        `yaml:"kind" jsonschema:"required" example:"link-down" doc:"Which fault; see the table in harness/README.md."`
	Devices string        `yaml:"devices,omitempty" hint:"a glob over device ids, such as ess-00*" doc:"Which devices (a glob); default all. Without it restart, kill, pause, partition and clock-step act on the runtime."`
	For     time.Duration `yaml:"for,omitempty" jsonschema:"exclusiveMinimum=0" doc:"How long; without it, to the end of the run."`
	On      string        `yaml:"on,omitempty" jsonschema:"enum=readings,enum=commands,enum=both" doc:"Which way: both for link-down, restart, latency and drop, else readings."`
	By      Amount        `yaml:"by,omitempty" doc:"A duration for latency, reorder and clock-step; a number in the field's unit for bias and bms-bias (V of a cell, A of a string), in percent for resistance-growth and capacity-loss, in A for leak."`
	Jitter  time.Duration `yaml:"jitter,omitempty" jsonschema:"minimum=0" doc:"Of latency: uniform, up to this much more or less."`
	Ratio   float64       `yaml:"ratio,omitempty" jsonschema:"minimum=0,maximum=1" doc:"Of drop, duplicate and corrupt: which share."`
	Field   string        `yaml:"field,omitempty" jsonschema:"enum=soc,enum=soh,enum=voltage,enum=current,enum=power,enum=temperature,enum=status" noun:"field of a reading" doc:"Of bias, noise and stuck: which field; of bms-bias: soc, voltage, current or temperature."`
	SD      float64       `yaml:"sd,omitempty" jsonschema:"minimum=0" doc:"Of noise: standard deviation in the field's unit."`
	ToC     float64       `yaml:"to_c,omitempty" jsonschema:"minimum=-40,maximum=150" doc:"Of overheat: the temperature reached, degC; what is hotter burns (thermal-runaway)."`
	String  int           `yaml:"string,omitempty" jsonschema:"minimum=1" doc:"Of cell-short, thermal-runaway and bms-bias: which string of a unit of single cells, from 1."`
	Cell    int           `yaml:"cell,omitempty" jsonschema:"minimum=1" doc:"Of cell-short and thermal-runaway: which cell of the string, from 1."`
	Ohm     float64       `yaml:"ohm,omitempty" jsonschema:"exclusiveMinimum=0" doc:"Of cell-short: the resistance of the short."`
	Code    int           `yaml:"code,omitempty" jsonschema:"minimum=1,maximum=255" doc:"Of exception: the Modbus exception code."`
}

// Amount is the by of a fault: a duration or a number, as its kind wants.
type Amount struct {
	Duration time.Duration
	Number   float64
}

func (a *Amount) read(s *source, n ast.Node, at string, r rules) {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.NanNode, *ast.InfinityNode:
		a.Number, _ = s.number(n, at, r)
		return
	}
	if text, quoted, ok := scalar(n); ok && !quoted { // 1e1 reaches us as a text
		if x, err := strconv.ParseFloat(text, 64); err == nil && decimal(text) {
			a.Number = x
			return
		}
	}
	a.Duration, _ = s.duration(n, at, rules{})
}

// FaultSeam says where in the chain a kind of fault acts.
type FaultSeam string

const (
	SeamDriver  FaultSeam = "driver"  // between gateway and driver; any device, any clock
	SeamTwin    FaultSeam = "twin"    // in the physics; devices with a twin behind them
	SeamWire    FaultSeam = "wire"    // in an emulator or on a wire; wire devices
	SeamRuntime FaultSeam = "runtime" // processes, clocks, the network; wall clock only
)

// FaultKind is one kind of fault and what belongs to it.
type FaultKind struct {
	Name    string
	Seam    FaultSeam
	Params  string   // its parameters with their defaults, as in "by=200ms jitter=50ms"
	On      string   // the default direction; empty: it has none
	Runtime bool     // acts on the runtime when no devices are named
	Wall    bool     // on the wall clock only
	Wires   []string // device kinds it is known to; nil: all its seam reaches
	Doc     string
}

var faultKinds = []FaultKind{
	{Name: "latency", Seam: SeamDriver, Params: "by=200ms jitter=50ms", On: "both", Doc: "readings and commands arrive later"},
	{Name: "drop", Seam: SeamDriver, Params: "ratio=0.1", On: "both", Doc: "a share is lost"},
	{Name: "duplicate", Seam: SeamDriver, Params: "ratio=0.1", On: "readings", Doc: "a share arrives twice"},
	{Name: "corrupt", Seam: SeamDriver, Params: "ratio=0.1", On: "readings", Doc: "a share carries a wrong value"},
	{Name: "reorder", Seam: SeamDriver, Params: "by=2s", On: "readings", Doc: "order is lost within this time"},
	{Name: "bias", Seam: SeamDriver, Params: "field=soc by=5", On: "readings", Doc: "one field is off by a constant"},
	{Name: "noise", Seam: SeamDriver, Params: "field=power sd=1", On: "readings", Doc: "one field is noisy"},
	{Name: "stuck", Seam: SeamDriver, Params: "field=soc", On: "readings", Doc: "one field keeps its value"},
	{Name: "frozen", Seam: SeamDriver, On: "readings", Doc: "the whole reading repeats under fresh timestamps"},
	{Name: "link-down", Seam: SeamDriver, On: "both", Doc: "nothing passes"},
	{Name: "restart", Seam: SeamDriver, On: "both", Runtime: true, Doc: "the device, or without devices the runtime, starts anew"},
	{Name: "contactor-open", Seam: SeamTwin, Doc: "the battery is cut off"},
	{Name: "fan-fail", Seam: SeamTwin, Doc: "cooling stops"},
	{Name: "cell-short", Seam: SeamTwin, Params: "string=1 cell=1 ohm=0.01", Doc: "a cell discharges inside"},
	{Name: "thermal-runaway", Seam: SeamTwin, Params: "string=1 cell=1", Doc: "a cell goes into thermal runaway; it does not end (models with strings)"},
	{Name: "resistance-growth", Seam: SeamTwin, Params: "by=20", Doc: "all cells have this many percent more resistance"},
	{Name: "capacity-loss", Seam: SeamTwin, Params: "by=10", Doc: "all cells have this many percent less capacity"},
	{Name: "leak", Seam: SeamTwin, Params: "by=0.5", Doc: "all cells lose about this many amperes inside"},
	{Name: "overheat", Seam: SeamTwin, Params: "to_c=60", Doc: "the hottest cell reaches this temperature"},
	{Name: "e-stop", Seam: SeamTwin, Doc: "somebody presses the red button; the unit stays off until mode: run"},
	{Name: "insulation-fault", Seam: SeamTwin, Doc: "the battery management finds too little insulation (models with one)"},
	{Name: "bms-link-down", Seam: SeamTwin, Doc: "battery management and plant do not hear each other (models with one)"},
	{Name: "bms-bias", Seam: SeamTwin, Params: "string=1 field=temperature by=5", Doc: "a sensor of a string's battery management is off (models with one)"},
	{Name: "late-answer", Seam: SeamWire, Wall: true, Doc: "the answer comes after the timeout"},
	{Name: "previous-answer", Seam: SeamWire, Wall: true, Wires: []string{Modbus, SunSpec}, Doc: "the answer belongs to the request before"},
	{Name: "exception", Seam: SeamWire, Params: "code=4", Wall: true, Wires: []string{Modbus, SunSpec}, Doc: "the device answers with an exception"},
	{Name: "reset", Seam: SeamWire, Wall: true, Wires: []string{Modbus, SunSpec, CAN}, Doc: "the connection is torn down"},
	{Name: "heartbeat-frozen", Seam: SeamWire, Wall: true, Wires: []string{Modbus, SunSpec, CAN}, Doc: "the heartbeat counter stands still"},
	{Name: "soc-frozen", Seam: SeamWire, Wall: true, Doc: "the device shows the state of charge that it had"},
	{Name: "not-implemented", Seam: SeamWire, Wall: true, Doc: "points answer not implemented"},
	{Name: "scale-change", Seam: SeamWire, Wall: true, Wires: []string{Modbus, SunSpec}, Doc: "a scale factor changes while running"},
	{Name: "sign-flip", Seam: SeamWire, Wall: true, Doc: "power changes its sign"},
	{Name: "bus-off", Seam: SeamWire, Wall: true, Wires: []string{CAN}, Doc: "the CAN controller goes bus-off"},
	{Name: "retained-command", Seam: SeamWire, Wall: true, Wires: []string{MQTT}, Doc: "the broker holds an old command"},
	{Name: "pause", Seam: SeamWire, Runtime: true, Wall: true, Doc: "the process of the device, or without devices the runtime, stands still"},
	{Name: "kill", Seam: SeamRuntime, Runtime: true, Wall: true, Doc: "the process of the runtime is killed; of devices not in this version"},
	{Name: "partition", Seam: SeamRuntime, Runtime: true, Wall: true, Doc: "the bus is cut in two; not in this version"},
	{Name: "clock-step", Seam: SeamRuntime, Params: "by=1h", Runtime: true, Wall: true, Doc: "the wall clock jumps"},
	{Name: "second-master", Seam: SeamRuntime, Wall: true, Doc: "somebody else writes setpoints too"},
}

// FaultKinds is the table of faults.
func FaultKinds() []FaultKind { return slices.Clone(faultKinds) }

// FindFaultKind returns the kind of that name.
func FindFaultKind(name string) (FaultKind, bool) {
	i := slices.IndexFunc(faultKinds, func(k FaultKind) bool { return k.Name == name })
	if i < 0 {
		return FaultKind{}, false
	}
	return faultKinds[i], true
}

func faultNames() []string {
	var names []string
	for _, k := range faultKinds {
		names = append(names, k.Name)
	}
	return names
}

// params are the parameters of a kind with their defaults.
func (k FaultKind) params() map[string]string {
	m := map[string]string{}
	for p := range strings.FieldsSeq(k.Params) {
		key, value, _ := strings.Cut(p, "=")
		m[key] = value
	}
	return m
}

// Rule is the fault in one line, as journals show it: its kind and, in a fixed
// order, everything that acts, such as
// "latency by=200ms jitter=50ms on=both devices=ess-00* for=5m".
func (f *Injection) Rule() string {
	var b strings.Builder
	b.WriteString(f.Kind)
	k, _ := FindFaultKind(f.Kind)
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	for p := range strings.FieldsSeq(k.Params) {
		key, preset, _ := strings.Cut(p, "=")
		value := ""
		switch key {
		case "by":
			value = FormatDuration(f.By.Duration)
			if k.byIsNumber() {
				value = number(f.By.Number)
			}
		case "jitter":
			value = FormatDuration(f.Jitter)
		case "ratio":
			value = number(f.Ratio)
		case "field":
			value = f.Field
		case "sd":
			value = number(f.SD)
		case "to_c":
			value = number(f.ToC)
		case "code":
			value = strconv.Itoa(f.Code)
		case "string":
			value = strconv.Itoa(f.String)
		case "cell":
			value = strconv.Itoa(f.Cell)
		case "ohm":
			value = number(f.Ohm)
		default:
			value = preset
		}
		fmt.Fprintf(&b, " %s=%s", key, value)
	}
	if f.On != "" {
		b.WriteString(" on=" + f.On)
	}
	if f.Devices != "" {
		b.WriteString(" devices=" + f.Devices)
	} else if k.Runtime {
		b.WriteString(" runtime")
	}
	if f.For > 0 {
		b.WriteString(" for=" + FormatDuration(f.For))
	}
	return b.String()
}

// byIsNumber tells what the by of a kind is; a duration elsewhere.
func (k FaultKind) byIsNumber() bool {
	by := k.params()["by"]
	_, err := strconv.ParseFloat(by, 64)
	return err == nil
}

// check fills in the defaults of the kind and finds what does not belong to it.
func (f *Injection) check(s *source, at string, sc *Scenario) {
	if f.Kind == "" {
		return // reported as missing
	}
	k, ok := FindFaultKind(f.Kind)
	if !ok {
		s.wrong(at+".kind", suggest(f.Kind, faultNames()), "unknown fault %q", short(f.Kind))
		return
	}
	params := k.params()
	for _, key := range []string{"by", "jitter", "ratio", "field", "sd", "to_c", "code", "string", "cell", "ohm"} {
		preset, belongs := params[key]
		switch {
		case !belongs && s.has(join(at, key)):
			hint := k.Name + " has no parameters of its own"
			if len(params) > 0 {
				hint = k.Name + " has " + strings.Join(slices.Sorted(maps.Keys(params)), ", ")
			}
			s.misplaced(at, key, k.Name, hint)
		case belongs && !s.has(join(at, key)):
			f.preset(s, key, preset)
		}
	}
	f.checkBy(s, at, k)
	if f.Field == "status" && k.Name != "stuck" && s.has(at+".field") {
		s.wrong(at+".field", "status is a word; only stuck can hold it", "%s needs a number, status is none", k.Name)
	}
	if k.Name == "bms-bias" && f.Field != "status" && !slices.Contains([]string{"soc", "voltage", "current", "temperature"}, f.Field) && s.has(at+".field") {
		s.wrong(at+".field", "it measures soc, voltage, current and temperature", "a battery management measures no %s", f.Field)
	}
	f.checkOn(s, at, k)
	if k.Wall && sc.Virtual() {
		s.wrong(at+".kind", "set clock: wall, or use another fault", "%s acts on the wall clock only", k.Name)
	} else if k.Name == "partition" {
		s.wrong(at+".kind", "link-down cuts off devices, kill takes the runtime away", "partition is not in this version")
	}
	f.checkDevices(s, at, k, sc)
}

func (f *Injection) preset(s *source, key, text string) {
	switch key {
	case "by":
		if x, err := strconv.ParseFloat(text, 64); err == nil {
			f.By.Number = x
		} else {
			f.By.Duration, _ = ParseDuration(text)
		}
	case "jitter":
		f.Jitter, _ = ParseDuration(text)
	case "ratio":
		s.presetText(elem(&f.Ratio), text)
	case "field":
		f.Field = text
	case "sd":
		s.presetText(elem(&f.SD), text)
	case "to_c":
		s.presetText(elem(&f.ToC), text)
	case "code":
		s.presetText(elem(&f.Code), text)
	case "string":
		s.presetText(elem(&f.String), text)
	case "cell":
		s.presetText(elem(&f.Cell), text)
	case "ohm":
		s.presetText(elem(&f.Ohm), text)
	}
}

// byWithin and biasWithin are what the by of faults in twins may be: beyond, nothing is
// left to simulate. Those of bms-bias go by the field, in percent, V, A and K.
var (
	byWithin = map[string][2]float64{
		"resistance-growth": {-90, 1000}, "capacity-loss": {-90, 90}, "leak": {0.001, 1000},
	}
	biasWithin = map[string][2]float64{
		"soc": {-100, 100}, "voltage": {-5, 5}, "current": {-1e4, 1e4}, "temperature": {-200, 200},
	}
)

// checkBy holds the by of the file against what the kind counts in.
func (f *Injection) checkBy(s *source, at string, k FaultKind) {
	at += ".by"
	if _, belongs := k.params()["by"]; !belongs || !s.has(at) {
		return
	}
	within, bounded := byWithin[k.Name]
	if k.Name == "bms-bias" {
		within, bounded = biasWithin[f.Field]
	}
	switch {
	case bounded && f.By.Duration == 0 && !(f.By.Number >= within[0] && f.By.Number <= within[1]):
		s.wrong(at, "it is within "+num(within[0])+" and "+num(within[1]), "%s by %s is impossible", k.Name, num(f.By.Number))
	case k.byIsNumber() && f.By.Duration != 0:
		s.wrong(at, "write it in the unit of the field: by: 5", "the by of %s is a number, not a duration", k.Name)
	case !k.byIsNumber() && f.By.Number != 0:
		s.wrong(at, "write it with its unit: by: 200ms", "the by of %s is a duration and needs a unit", k.Name)
	case !k.byIsNumber() && f.By.Duration < 0 && k.Name != "clock-step":
		s.wrong(at, "it is at least 0s", "%s cannot be negative", k.Name)
	}
}

// checkOn fills in the direction, where the kind has one.
func (f *Injection) checkOn(s *source, at string, k FaultKind) {
	given := s.has(at + ".on")
	switch {
	case k.On == "" && given:
		s.misplaced(at, "on", k.Name, "it has no direction")
	case k.On != "" && !given:
		f.On = k.On
	case given && f.On != "" && f.On != "readings" && slices.Contains([]string{"bias", "noise", "stuck", "frozen"}, k.Name):
		s.wrong(at+".on", "write on: readings, or leave it out", "%s acts on readings only", k.Name)
	}
}

// checkDevices fills in which devices are meant and whether the fault can
// reach them.
func (f *Injection) checkDevices(s *source, at string, k FaultKind, sc *Scenario) {
	path := at + ".devices"
	switch {
	case s.has(path):
	case k.Runtime:
		return
	default:
		f.Devices = "*"
	}
	if s.has(path) && (k.Name == "partition" || k.Name == "clock-step") {
		s.misplaced(at, "devices", k.Name, "it acts on the runtime")
		return
	}
	if len(sc.mustMatch(s, path, f.Devices)) == 0 || k.Wall && sc.Virtual() {
		return
	}
	devices, ids := sc.entries(f.Devices)
	for i, d := range devices {
		before := len(s.faults)
		kinds := strings.Join(d.kinds(), "+")
		switch {
		case k.Seam == SeamTwin && d.Kind == Replay:
			s.wrong(path, "name devices that have one", "%s needs a twin; %s is a recording", k.Name, ids[i])
		case (k.Seam == SeamWire || k.Name == "kill" || k.Name == "second-master") && !d.Wire():
			s.wrong(path, "name wire devices with devices: GLOB", "%s needs a wire; %s is a %s device", k.Name, ids[i], kinds)
		case k.Name == "kill":
			s.wrong(path, "pause lets the device's process stand still; kill without devices acts on the runtime", "kill of a device is not in this version")
		case k.Wires != nil && !slices.ContainsFunc(d.kinds(), func(kind string) bool { return slices.Contains(k.Wires, kind) }):
			s.wrong(path, "it belongs to "+strings.Join(k.Wires, ", "), "%s is unknown to %s, a %s device", k.Name, ids[i], kinds)
		default:
			f.checkTarget(s, at, d, ids[i])
		}
		if len(s.faults) > before {
			return // the glob is wrong; one example says why
		}
	}
}

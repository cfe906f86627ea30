package scenario

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Device kinds.
const (
	Sim     = "sim"
	Modbus  = "modbus"
	SunSpec = "sunspec"
	CAN     = "can"
	MMS     = "mms"
	MQTT    = "mqtt"
	Replay  = "replay"
)

// DefaultModel is the model of a simulated device that names none.
const DefaultModel = "ess-100kw-215kwh"

// maxDevices is the largest fleet a scenario may have.
const maxDevices = 1_000_000

// Device is one device as scenarios, rigs and configurations name it: what it
// is, how it is reached, and what stands on its nameplate.
type Device struct {
	ID            string `yaml:"id,omitempty" jsonschema:"pattern=^[A-Za-z0-9_-]{1\\,64}$" hint:"letters, digits, _ and -, at most 64" doc:"Its id; with count N: ess-001 and so on."`
	Kind          string `yaml:"device,omitempty" jsonschema:"enum=sim,enum=modbus,enum=sunspec,enum=can,enum=mms,enum=mqtt,enum=replay" noun:"device kind" doc:"What answers: a twin (sim), a wire protocol, or a recording."`
	Model         string `yaml:"model,omitempty" doc:"A model set by name, or the path of a model file. A device on a wire is compared with it before it is armed."`
	SoC           SoC    `yaml:"soc,omitempty" jsonschema:"default=50" doc:"State of charge at the start, percent."`
	SpreadPercent Spread `yaml:"spread_percent,omitempty" doc:"Standard deviation of the units' properties, percent."`
	Link          `yaml:",inline"`
	Recording     string  `yaml:"recording,omitempty" doc:"What a replay device answers from."`
	RatedKW       float64 `yaml:"rated_kw,omitempty" jsonschema:"exclusiveMinimum=0" doc:"Rated power on the nameplate of a wire device, kW."`
	RatedKWh      float64 `yaml:"rated_kwh,omitempty" jsonschema:"exclusiveMinimum=0" doc:"Rated energy on its nameplate, kWh."`
	Limits        Limits  `yaml:"limits,omitempty" doc:"What the guard keeps it to, whoever commands; of this and what the device says itself the tighter acts."`
	ArmWithoutSoC bool    `yaml:"arm_without_soc,omitempty" doc:"Let a device on a wire act that does not report its state of charge: nothing but itself then keeps it from being emptied or overcharged. Each arming says so in the audit."`
	Uses          `yaml:",inline"`
	Compare       *Compare `yaml:"compare,omitempty" doc:"What a device on a wire may be apart from the twin of its model by when it is armed."`
	Parts         *Parts   `yaml:"parts,omitempty" doc:"PCS, BMS and meter on wires of their own, as one device."`
}

// Compare is what a device on a wire may be apart from the twin of its model by when it is
// armed.
type Compare struct {
	SoC        float64 `yaml:"soc,omitempty" jsonschema:"exclusiveMinimum=0,maximum=100,default=5" doc:"What its reported state of charge may be off by, percent."`
	Voltage    float64 `yaml:"voltage_percent,omitempty" jsonschema:"exclusiveMinimum=0,maximum=50,default=1" doc:"What its voltage may be off by, percent of it."`
	Resistance float64 `yaml:"resistance,omitempty" jsonschema:"minimum=1,maximum=100,default=3" doc:"How many times its model's its resistance may be, for age and cold cells."`
	Power      float64 `yaml:"power_percent,omitempty" jsonschema:"exclusiveMinimum=0,maximum=50,default=2" doc:"How exactly it follows a setpoint and how well its losses are known, percent of rated power."`
	VoltStep   float64 `yaml:"voltage_step,omitempty" jsonschema:"exclusiveMinimum=0,maximum=100" doc:"In which steps its voltage moves, V, where these are coarser than those of its registers; default: what these declare."`
	Nameplate  float64 `yaml:"nameplate_percent,omitempty" jsonschema:"exclusiveMinimum=0,maximum=100,default=10" doc:"What rated power and energy of its nameplate may be off the model's by, percent."`
}

// FleetEntry is one device of a scenario's fleet, or many alike.
type FleetEntry struct {
	Device       `yaml:",inline"`
	Count        int     `yaml:"count,omitempty" jsonschema:"minimum=1,maximum=1000000" doc:"How many alike; simulated devices only."`
	Aging        *Aging  `yaml:"aging,omitempty" doc:"How the cells of simulated devices grow old; without it they do not."`
	Shadow       *Shadow `yaml:"shadow,omitempty" doc:"A twin beside each device that names what diverges from it: true, or {model: …}."`
	ReactiveKvar float64 `yaml:"reactive_kvar,omitempty" jsonschema:"minimum=-1e6,maximum=1e6" doc:"Reactive power of each unit beside its setpoints, above zero absorbed, kvar; of models whose pcs.capability has some."`
}

// Aging is how the cells of a fleet grow old in the run.
type Aging struct {
	Set   string  `yaml:"set,omitempty" jsonschema:"default=sony-naumann" doc:"An ageing set by name, or the path of one."`
	Scale float64 `yaml:"scale,omitempty" jsonschema:"exclusiveMinimum=0,maximum=100000,default=1" doc:"Hours of age that an hour makes: 365 lets a day age the cells like a year of such days."`
}

// Parts are the wires of a device that has several.
type Parts struct {
	PCS   *Part `yaml:"pcs,omitempty" doc:"The power conversion system."`
	BMS   *Part `yaml:"bms,omitempty" doc:"The battery management system."`
	Meter *Part `yaml:"meter,omitempty" doc:"The meter at its AC terminals."`
}

// Part is one wire of a device.
type Part struct {
	Kind string `yaml:"device" jsonschema:"required,enum=modbus,enum=sunspec,enum=can,enum=mms,enum=mqtt" noun:"device kind of a part" example:"modbus" doc:"The protocol."`
	Link `yaml:",inline"`
}

// Link is how a device on a wire is reached, and what is to be known about the wire.
type Link struct {
	Address string        `yaml:"address,omitempty" doc:"Where it is reached: tcp://host:port, tls://, rtu:///dev/ttyUSB0?baud=115200, slcan://, socketcand://, socketcan://, mqtt://."`
	Unit    int           `yaml:"unit,omitempty" jsonschema:"minimum=0,maximum=255,default=1" doc:"Modbus unit."`
	Profile string        `yaml:"profile,omitempty" doc:"Device profile (register map), by name or path."`
	DBC     string        `yaml:"dbc,omitempty" doc:"CAN database, by name or path."`
	Poll    time.Duration `yaml:"poll,omitempty" jsonschema:"exclusiveMinimum=0" doc:"How often it is read; default as often as the plant reads, 500 ms in serve."`
	Timeout time.Duration `yaml:"timeout,omitempty" jsonschema:"exclusiveMinimum=0" doc:"How long an answer may take; default 500 ms, and on a serial line below 9600 bit/s as much longer as its largest frames take."`
	DeadMan time.Duration `yaml:"dead_man,omitempty" jsonschema:"exclusiveMinimum=0" doc:"After this silence the device takes its power to zero by itself, default 6s; armed with every setpoint."`
	Base    int           `yaml:"base,omitempty" jsonschema:"minimum=-1,maximum=65534,default=-1" doc:"SunSpec: the register of its mark; -1 looks at 0, 40000 and 50000."`
	Battery string        `yaml:"battery_current,omitempty" jsonschema:"enum=charge,enum=discharge" doc:"Which direction the battery's current counts above zero; default as the profile says."`
	Cert    string        `yaml:"cert,omitempty" doc:"tls://, mqtts://: path of our certificate, PEM."`
	Key     string        `yaml:"key,omitempty" doc:"Path of its key, PEM."`
	CA      string        `yaml:"ca,omitempty" doc:"Path of the authority that the device's certificate must be signed by, PEM."`
	User    string        `yaml:"user,omitempty" doc:"mqtt: user name."`
	Secret  string        `yaml:"password_file,omitempty" doc:"mqtt: path of a file that holds the password."`
}

// SoC is the state of charge at the start, percent. Over a fleet it is drawn
// from a normal distribution clipped to the window of the model.
type SoC struct {
	Mean   float64 `yaml:"mean,omitempty" jsonschema:"minimum=0,maximum=100,default=50"`
	Spread float64 `yaml:"spread,omitempty" jsonschema:"minimum=0,maximum=100"`
}

func (c *SoC) read(s *source, n ast.Node, at string, _ rules) {
	if _, mapping := pairsOf(n); mapping {
		s.mapping(n, elem(c), at)
		return
	}
	low, high := 0.0, 100.0
	c.Mean, _ = s.number(n, at, rules{min: &low, max: &high})
}

func (c *SoC) preset(text string) (err error) {
	c.Mean, err = strconv.ParseFloat(text, 64)
	return err
}

// Spread is how much the units of a fleet differ, as standard deviations in percent.
type Spread struct {
	Capacity   float64 `yaml:"capacity,omitempty" jsonschema:"minimum=0,maximum=20" doc:"Of the capacity."`
	Resistance float64 `yaml:"resistance,omitempty" jsonschema:"minimum=0,maximum=20" doc:"Of the resistance."`
}

// IDs are the device ids of an entry: the id itself without a count, else the
// id with a number of at least three digits, as many as the count has.
func (e *FleetEntry) IDs() []string {
	if e.Count == 0 {
		return []string{e.ID}
	}
	digits := max(3, len(strconv.Itoa(e.Count)))
	ids := make([]string, e.Count)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%0*d", e.ID, digits, i+1)
	}
	return ids
}

// IDs are all device ids of the scenario in the order of the fleet. The slice
// is shared: do not write to it.
func (s *Scenario) IDs() []string { return s.ids }

// MatchDevices returns the ids a glob matches (path.Match), in the order of
// the fleet.
func (s *Scenario) MatchDevices(glob string) []string {
	if glob == "*" {
		return s.ids
	}
	var found []string
	for _, id := range s.ids {
		if ok, err := path.Match(glob, id); err == nil && ok {
			found = append(found, id)
		}
	}
	return found
}

// kinds are the device kinds that answer for an entry: its own, or those of
// its parts.
func (d *Device) kinds() []string {
	if d.Parts == nil {
		return []string{d.Kind}
	}
	var kinds []string
	for _, p := range []*Part{d.Parts.PCS, d.Parts.BMS, d.Parts.Meter} {
		if p != nil {
			kinds = append(kinds, p.Kind)
		}
	}
	return kinds
}

// Wire tells whether a device is reached over a wire rather than being a twin
// or a recording.
func (d *Device) Wire() bool {
	return d.Parts != nil || d.Kind != Sim && d.Kind != Replay && d.Kind != ""
}

// IsPath tells a path from the name of a shipped set: in Model, Profile and DBC
// either may stand. Paths are returned ready to open.
func IsPath(name string) bool {
	return strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") ||
		strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".dbc")
}

var setName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// check looks at one device entry as a whole. Served tells that twins stand
// behind it (a rig that is served), so that model and soc belong to it.
func (d *Device) check(s *source, at string, served bool) {
	if d.Parts != nil {
		d.checkParts(s, at)
	} else if !s.has(at+".device") && served {
		for _, key := range append(slices.Clone(wireKeys), "recording") {
			s.misplaced(at, key, "an entry without device", "what is served stands under serve, and what is reached needs device")
		}
	} else {
		d.checkKind(s, at, served)
	}
	d.checkModel(s, at)
	d.checkWear(s, at)
	if s.has(at+".compare") && !s.has(at+".model") && d.Kind != Sim && d.Kind != Replay && !served {
		s.fault(s.key(at+".compare"), "add: model: NAME", "there is no model to compare the device with")
	}
	d.checkLimits(s, at)
	d.files(s, at)
	if s.has(at + ".recording") {
		s.exists(at+".recording", &d.Recording)
	}
}

func (d *Device) checkKind(s *source, at string, served bool) {
	const nameplate = "its rating comes from its model"
	misplaced := func(hint string, keys ...string) {
		for _, key := range keys {
			s.misplaced(at, key, "a "+d.Kind+" device", hint)
		}
	}
	switch d.Kind {
	case Sim:
		misplaced("a simulated device is reached without a wire", append(slices.Clone(wireKeys), "recording")...)
		misplaced(nameplate, "rated_kw", "rated_kwh")
		misplaced("a twin is like its model", "compare")
		misplaced("a twin knows its state of charge, and is not armed", "arm_without_soc")
		return
	case Replay:
		misplaced("a recording is not armed", "arm_without_soc")
		misplaced("a recording is reached without a wire", append(slices.Clone(wireKeys), "soc", "spread_percent", "compare")...)
		if !s.has(at + ".recording") {
			s.fault(s.key(at), "add: recording: PATH", "a replay device needs a recording%s", within(at))
		}
		return
	case Modbus:
		misplaced("that belongs to another protocol", "dbc", "base", "user", "password_file", "recording")
		misplaced("its profile says so (positive)", "battery_current")
	case SunSpec:
		misplaced("that belongs to another protocol", "dbc", "profile", "user", "password_file", "recording")
	case CAN:
		misplaced("that belongs to another protocol", "unit", "base", "profile", "dead_man", "user", "password_file", "recording")
	case MMS, MQTT:
		misplaced("that belongs to another protocol", "unit", "dbc", "base", "profile", "battery_current", "recording")
	default:
		return // an unknown kind has been reported
	}
	if !served {
		misplaced("only twins can be set; a wire device is what it is", "soc", "spread_percent")
	}
	if !s.has(at + ".address") {
		s.fault(s.key(at), "add: address: "+addressExample[d.Kind], "a %s device needs an address%s", d.Kind, within(at))
		return
	}
	s.address(at+".address", d.Address, d.Kind, reachedBy[d.Kind])
	s.meaning(at, d.Kind)
}

// meaning demands what says what a wire's registers or frames mean.
func (s *source) meaning(at, kind string) {
	key, ok := map[string]string{Modbus: "profile", CAN: "dbc"}[kind]
	if ok && !s.has(at+"."+key) {
		s.fault(s.key(at), "add: "+key+": "+map[string]string{Modbus: "./my-device.yaml", CAN: "pylon-lv"}[kind],
			"a %s device needs a %s%s", kind, key, within(at))
	}
}

func (d *Device) checkParts(s *source, at string) {
	for _, key := range append([]string{"device", "recording"}, wireKeys...) {
		if key == "poll" { // the device is read as a whole
			continue
		}
		s.misplaced(at, key, "a device of parts", "write it in the part it belongs to")
	}
	parts := []struct {
		name string
		part *Part
	}{{"pcs", d.Parts.PCS}, {"bms", d.Parts.BMS}, {"meter", d.Parts.Meter}}
	any := false
	for _, p := range parts {
		if p.part == nil {
			continue
		}
		any = true
		here := at + ".parts." + p.name
		if p.part.Kind != "" && !s.has(here+".address") {
			s.wrong(here, "add: address: "+addressExample[p.part.Kind], "required key \"address\" is missing in %s", here)
		} else if p.part.Address != "" && p.part.Kind != "" {
			s.address(here+".address", p.part.Address, p.part.Kind, reachedBy[p.part.Kind])
		}
		s.meaning(here, p.part.Kind)
		s.misplaced(here, "poll", "a part", "the parts of a device are read together: write it in the device")
		p.part.files(s, here)
	}
	if !any {
		s.wrong(at+".parts", "name at least one of pcs, bms, meter", "a device of parts has at least one")
	}
}

// files looks for what a link names: shipped sets or files.
func (l *Link) files(s *source, at string) {
	s.nameOrFile(at+".profile", &l.Profile, s.opt.Profiles)
	s.nameOrFile(at+".dbc", &l.DBC, s.opt.Databases)
	s.files(at, map[string]*string{"cert": &l.Cert, "key": &l.Key, "ca": &l.CA, "password_file": &l.Secret})
	s.encryption(at, l.Address)
}

// files looks for the files that keys name.
func (s *source) files(at string, paths map[string]*string) {
	for _, key := range slices.Sorted(maps.Keys(paths)) {
		if s.has(at + "." + key) {
			s.exists(at+"."+key, paths[key])
		}
	}
}

// encryption holds the certificates of a link or a face against its address: Modbus over
// TLS has both sides prove themselves, a broker need not ask us, and who names
// certificates does not want to speak in the clear.
func (s *source) encryption(at, address string) {
	scheme, _, ok := strings.Cut(address, "://")
	if !ok {
		return // reported as missing, or as no address
	}
	keys := []string{"cert", "key", "ca"}
	switch scheme {
	case "tls":
		for _, key := range keys {
			if !s.has(at + "." + key) {
				s.fault(s.key(at), "add "+key+": PATH; cert and key are ours, ca has signed the other side's", "%s needs %s%s", short(address), key, within(at))
			}
		}
	case "mqtts":
		if s.has(at+".cert") != s.has(at+".key") {
			s.fault(s.key(at), "give both cert and key", "a certificate and its key belong together")
		}
	default:
		hint := "leave it out: there is no encryption on such a wire"
		if with, ok := map[string]string{"tcp": "tls", "mqtt": "mqtts"}[scheme]; ok {
			hint = "write " + with + "://, or leave it out"
		}
		for _, key := range keys {
			if s.has(at + "." + key) {
				s.wrong(at+"."+key, hint, "%s is given, and %s is not encrypted", key, short(address))
			}
		}
	}
}

// wireKeys are those of a link, which other devices do not have.
var wireKeys = []string{"address", "unit", "profile", "dbc", "poll", "timeout", "dead_man", "base", "battery_current", "cert", "key", "ca", "user", "password_file"}

// checkModel looks for the model: a known set, or a file beside this one.
func (d *Device) checkModel(s *source, at string) {
	at += ".model"
	before := len(s.faults)
	defer func() {
		if s.has(at) && len(s.faults) == before {
			s.facts(at, d.Model)
		}
	}()
	switch {
	case !s.has(at) || d.Model == "":
	case IsPath(d.Model):
		s.exists(at, &d.Model)
	case s.opt.Models != nil && !s.opt.Models(d.Model):
		hint := suggest(d.Model, s.opt.ModelNames)
		if hint == "" {
			hint = "name a model set, or the path of a model file beside this one"
		}
		s.wrong(at, hint, "unknown model %q", d.Model)
	case !setName.MatchString(d.Model):
		s.wrong(at, "name a model set, or the path of a model file beside this one", "%q is not a model name", d.Model)
	}
}

// nameOrFile checks a key that holds a shipped name or a path, and looks into what it
// names. A file that is wrong is noted once, with its own faults.
func (s *source) nameOrFile(at string, value *string, sets Sets) {
	if !s.has(at) {
		return
	}
	key := at[strings.LastIndexByte(at, '.')+1:]
	before := len(s.faults)
	switch {
	case IsPath(*value):
		s.exists(at, value)
	case !setName.MatchString(*value):
		s.wrong(at, "a shipped name, or a path beside this file", "%q is neither a name nor a path", short(*value))
	case sets.Names != nil && !slices.Contains(sets.Names, *value):
		hint := suggest(*value, sets.Names)
		if nearest(*value, sets.Names) == "" {
			hint += "; a file of your own is named by its path, such as ./" + *value + fileEnd[key]
		}
		s.wrong(at, hint, "unknown %s %q", key, short(*value))
	}
	once := key + " " + *value
	if len(s.faults) > before || s.looked[once] || sets.Look == nil || s.opt.FS != nil && IsPath(*value) {
		return
	}
	s.looked[once] = true
	err := sets.Look(*value)
	if wrong, ok := errors.AsType[Faults](err); ok {
		s.faults = append(s.faults, wrong...)
	} else if err != nil {
		s.wrong(at, "", "%v", err)
	}
}

// fileEnd is how the files end that a key names.
var fileEnd = map[string]string{"profile": ".yaml", "dbc": ".dbc"}

// misplaced reports a key that does not belong to this kind of thing.
func (s *source) misplaced(at, key, thing, hint string) {
	if p := join(at, key); s.has(p) {
		s.fault(s.key(p), hint, "%s does not belong to %s", key, thing)
	}
}

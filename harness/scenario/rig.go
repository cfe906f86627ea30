package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Rig is a bench: devices that `yunchu rig` serves from twins, and that the
// acceptance suite is pointed at.
type Rig struct {
	Head    `yaml:",inline"`
	Backend *RigBackend `yaml:"backend,omitempty" doc:"Where tests move what is behind the devices: grid, faults, protections."`
	Accept  RigAccept   `yaml:"accept,omitempty" doc:"Numbers of the acceptance suite that are others on this bench, by test."`
	Devices []RigDevice `yaml:"devices" jsonschema:"required" example:"[{id: rig-1, model: ess-100kw-215kwh, serve: {…}}]" doc:"The devices."`

	Path   string   `yaml:"-"` // the file, as it was named
	Inputs []string `yaml:"-"` // every file that was opened for it, itself first
}

// RigBackend is the face of a served rig that is not the devices' own.
type RigBackend struct {
	Address string `yaml:"address" jsonschema:"required" example:"tcp://127.0.0.1:1600" doc:"Where it listens; on this machine only."`
}

// RigAccept is what a bench changes in procedures, by test.
type RigAccept map[string]RigTest

// RigTest is what a bench changes in one test: numbers of its parameters, and limits
// by name.
type RigTest struct {
	Parameters map[string]Values
	Limits     map[string]Limit
}

func (a *RigAccept) read(s *source, n ast.Node, at string, _ rules) {
	*a = RigAccept{}
	tests, ok := pairsOf(n)
	if !ok {
		s.fault(start(n), "write T05: {hold_s: 5}", "%s is a mapping of tests, got %s", name(at), describe(n))
		return
	}
	for _, t := range tests {
		test := RigTest{Parameters: map[string]Values{}, Limits: map[string]Limit{}}
		here := join(at, keyText(t.Key))
		s.keys[here] = start(t.Key)
		pairs, ok := pairsOf(s.resolve(t.Value))
		if !ok {
			s.fault(start(t.Value), "write T05: {hold_s: 5, limits: {response_s: \"<= 0.8\"}}", "%s is a mapping of parameters, got %s", here, describe(t.Value))
			continue
		}
		for _, kv := range pairs {
			key := keyText(kv.Key)
			s.keys[join(here, key)] = start(kv.Key)
			if key == "limits" {
				s.decode(kv.Value, elem(&test.Limits), join(here, key), rules{})
				continue
			}
			var v Values
			s.decode(kv.Value, elem(&v), join(here, key), rules{})
			if len(v) > 0 {
				test.Parameters[key] = v
			}
		}
		if _, twice := (*a)[keyText(t.Key)]; twice {
			s.fault(start(t.Key), "keep one of the two", "duplicate key %q", keyText(t.Key))
		}
		(*a)[keyText(t.Key)] = test
	}
}

// RigDevice is one device of a rig: how it is reached, how it is served, or both.
type RigDevice struct {
	Device   `yaml:",inline"`
	Serve    *Serve             `yaml:"serve,omitempty" doc:"The faces a twin of it is served with."`
	AmbientC *float64           `yaml:"ambient_c,omitempty" jsonschema:"minimum=-40,maximum=80" doc:"Air temperature around a served twin, degC; 25 when left out."`
	Watchdog time.Duration      `yaml:"watchdog,omitempty" jsonschema:"exclusiveMinimum=0" doc:"How long a heartbeat that has begun may be silent before a served twin goes to zero; default 5s."`
	Ramp     float64            `yaml:"ramp_percent_per_s,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1000" doc:"A served twin has a register for its ramp, which is this, percent of rated power a second; without it the register is not implemented."`
	Response *FrequencyResponse `yaml:"frequency_response,omitempty" doc:"A served twin supports the frequency of its grid by itself."`
	Serial   []string           `yaml:"serials,omitempty" doc:"Serial numbers of what stands on the bench, for the report."`
	Tools    []Instrument       `yaml:"instruments,omitempty" doc:"What it is measured with, for the report."`
}

// FrequencyResponse is how a served twin supports the grid.
type FrequencyResponse struct {
	DeadbandHz   float64 `yaml:"deadband_hz,omitempty" jsonschema:"minimum=0,maximum=5,default=0.05" doc:"No response within it."`
	DroopPercent float64 `yaml:"droop_percent,omitempty" jsonschema:"exclusiveMinimum=0,maximum=100,default=2" doc:"Of the nominal frequency, for one rated power."`
	LimitPercent float64 `yaml:"limit_percent,omitempty" jsonschema:"exclusiveMinimum=0,maximum=100,default=100" doc:"Of rated power, at most."`
}

// Instrument is one measuring instrument of a bench.
type Instrument struct {
	Name       string    `yaml:"name" jsonschema:"required" example:"power analyser" doc:"What it is."`
	Serial     string    `yaml:"serial,omitempty" doc:"Its serial number."`
	Calibrated time.Time `yaml:"calibrated,omitempty" doc:"When it was calibrated last."`
}

// Serve are the faces of a served twin; any of them may be nil.
type Serve struct {
	SunSpec *ServeSunSpec `yaml:"sunspec,omitempty" doc:"Over Modbus TCP, with its models discoverable."`
	Modbus  *ServeModbus  `yaml:"modbus,omitempty" doc:"Plain registers of a device profile, over TCP."`
	RTU     *ServeRTU     `yaml:"rtu,omitempty" doc:"The same on a serial line."`
	CAN     *ServeCAN     `yaml:"can,omitempty" doc:"BMS frames of a CAN database."`
	MQTT    *ServeMQTT    `yaml:"mqtt,omitempty" doc:"As a client of that broker."`
	MMS     *ServeMMS     `yaml:"mms,omitempty" doc:"IEC 61850."`
}

// ServeSunSpec is a SunSpec face.
type ServeSunSpec struct {
	Address string `yaml:"address" jsonschema:"required" example:"tcp://127.0.0.1:1502" doc:"Where it listens."`
	Unit    int    `yaml:"unit,omitempty" jsonschema:"minimum=0,maximum=255,default=1" doc:"Modbus unit."`
	Base    int    `yaml:"base,omitempty" jsonschema:"minimum=0,maximum=65534,default=40000" doc:"Register of the SunS mark: 0, 40000 or 50000."`
	PEM     `yaml:",inline"`
}

// ServeModbus is a face of plain registers over TCP.
type ServeModbus struct {
	Address string `yaml:"address" jsonschema:"required" example:"tcp://127.0.0.1:1503" doc:"Where it listens."`
	Unit    int    `yaml:"unit,omitempty" jsonschema:"minimum=0,maximum=255,default=1" doc:"Modbus unit."`
	Profile string `yaml:"profile,omitempty" jsonschema:"default=pcs-generic" doc:"Device profile, by name or path."`
	PEM     `yaml:",inline"`
}

// ServeRTU is a face of plain registers on a serial line.
type ServeRTU struct {
	Address string `yaml:"address" jsonschema:"required" example:"pty://./rtu0" doc:"A pseudo-terminal to make, or a serial port."`
	Baud    int    `yaml:"baud,omitempty" jsonschema:"minimum=300,maximum=4000000,default=115200" doc:"Bits per second."`
	Unit    int    `yaml:"unit,omitempty" jsonschema:"minimum=0,maximum=255,default=1" doc:"Modbus unit."`
	Profile string `yaml:"profile,omitempty" jsonschema:"default=pcs-generic" doc:"Device profile, by name or path."`
}

// ServeCAN is a CAN face.
type ServeCAN struct {
	Address string `yaml:"address" jsonschema:"required" example:"pty://./can0" doc:"A pseudo-terminal to make (slcan), or a bus."`
	DBC     string `yaml:"dbc,omitempty" jsonschema:"default=pylon-lv" doc:"CAN database, by name or path."`
}

// ServeMQTT is an MQTT face.
type ServeMQTT struct {
	Address string `yaml:"address" jsonschema:"required" example:"mqtt://127.0.0.1:1883" doc:"The broker."`
	User    string `yaml:"user,omitempty" doc:"User name at the broker; at our own it is the id of the device."`
	Secret  string `yaml:"password_file,omitempty" doc:"Path of a file that holds the password; at our own broker a token of the device."`
	PEM     `yaml:",inline"`
}

// PEM is what encrypts a face.
type PEM struct {
	Cert string `yaml:"cert,omitempty" doc:"tls://, mqtts://: path of the device's certificate, PEM."`
	Key  string `yaml:"key,omitempty" doc:"Path of its key, PEM."`
	CA   string `yaml:"ca,omitempty" doc:"Path of the authority that the other side's certificate must be signed by, PEM."`
}

// ServeMMS is an IEC 61850 face.
type ServeMMS struct {
	Address string `yaml:"address" jsonschema:"required" example:"tcp://127.0.0.1:10102" doc:"Where it listens."`
}

func (*Rig) root() {}

// LoadRig reads a rig file. Its error is Faults.
func LoadRig(path string, opt Options) (*Rig, error) {
	data, err := readFile(path, opt)
	if err != nil {
		return nil, err
	}
	return ParseRig(path, data, opt)
}

// ParseRig is LoadRig for a text at hand.
func ParseRig(name string, data []byte, opt Options) (*Rig, error) {
	r := new(Rig)
	s, err := decodeFile(name, data, "Rig", r, opt)
	if err != nil {
		return nil, err
	}
	r.Path = name
	r.check(s)
	r.Inputs = s.inputs
	if err := s.err(); err != nil {
		return nil, err
	}
	return r, nil
}

// check looks whether the tests, their parameters and their limits exist.
func (a RigAccept) check(s *source) {
	if s.opt.Procedure == nil {
		return
	}
	for test, changes := range a {
		at := join("accept", test)
		p, err := s.opt.Procedure(test)
		if err != nil {
			s.fault(s.key(at), suggest(test, s.opt.ProcedureNames), "there is no test %q", short(test))
			continue
		}
		var limits []string
		for _, l := range p.Limits {
			limits = append(limits, l.Name)
		}
		for n := range changes.Parameters {
			if _, ok := p.Parameters[n]; !ok {
				s.fault(s.key(join(at, n)), suggest(n, p.names()), "%s has no parameter %q", test, short(n))
			}
		}
		for n := range changes.Limits {
			if !slices.Contains(limits, n) {
				s.fault(s.key(join(join(at, "limits"), n)), suggest(n, limits), "%s has no limit %q", test, short(n))
			}
		}
	}
}

func (r *Rig) check(s *source) {
	r.Accept.check(s)
	if s.has("devices") && r.Devices != nil && len(r.Devices) == 0 {
		s.wrong("devices", "add: - {id: rig-1, …}", "the rig has no device")
	}
	listening := map[string]string{}
	if b := r.Backend; b != nil && b.Address != "" {
		s.address("backend.address", b.Address, "backend", []string{"tcp"})
		listening[b.Address] = "backend"
	}
	seen := map[string]bool{}
	for i := range r.Devices {
		d, at := &r.Devices[i], fmt.Sprintf("devices[%d]", i)
		s.uniqueID(at, d.ID, seen)
		served := s.has(at + ".serve")
		d.check(s, at, served)
		if d.Kind == "" && d.Parts == nil && !served && !s.has(at+".device") {
			s.wrong(at, "add serve: to serve a twin of it, or device and address to reach one", "nothing says how this device is reached")
		}
		if served && d.Model == "" && !s.has(at+".model") {
			d.Model = DefaultModel
		}
		if !served {
			for _, key := range []string{"ambient_c", "watchdog", "frequency_response"} {
				s.misplaced(at, key, "a device that is not served", "only a twin is told so")
			}
		}
		if d.Serve != nil {
			d.Serve.check(s, at+".serve", listening)
		}
	}
}

// uniqueID reports an id that is missing or not the only one of its kind.
func (s *source) uniqueID(at, id string, seen map[string]bool) {
	switch {
	case !s.has(at + ".id"):
		s.wrong(at, "add: id: rig-1", "required key %q is missing%s", "id", within(at))
	case id != "" && seen[id]:
		s.wrong(at+".id", "give each device an id of its own", "device %q stands here twice", id)
	}
	seen[id] = true
}

// check looks at the faces. Listening is shared by all devices of the file:
// only units of one protocol may share an address.
func (v *Serve) check(s *source, at string, listening map[string]string) {
	any := false
	face := func(key, kind, addr string, unit int, pem *PEM) {
		any = true
		here := join(at, key)
		if addr == "" {
			return // reported as missing
		}
		s.address(here+".address", addr, kind, servedBy[kind])
		if pem != nil {
			s.files(here, map[string]*string{"cert": &pem.Cert, "key": &pem.Key, "ca": &pem.CA})
			s.encryption(here, addr)
		}
		if kind == MQTT {
			return
		}
		if pem != nil {
			if shown, taken := listening[addr+" shows"]; taken && shown != fmt.Sprint(*pem) {
				s.wrong(here+".address", "units behind one address have the same cert, key and ca", "another certificate is shown at %s already", addr)
			}
			listening[addr+" shows"] = fmt.Sprint(*pem)
		}
		use := fmt.Sprintf("%s unit %d", addr, unit)
		if other, taken := listening[addr]; taken && other != kind {
			s.wrong(here+".address", "give each protocol an address of its own", "%s is served at %s already", other, addr)
		} else if _, twice := listening[use]; twice {
			s.wrong(here+".address", "give it another address or unit", "%s is taken by another device", use)
		}
		if _, taken := listening[addr]; !taken {
			listening[addr] = kind
		}
		listening[use] = kind
	}
	if f := v.SunSpec; f != nil {
		face("sunspec", SunSpec, f.Address, f.Unit, &f.PEM)
	}
	if f := v.Modbus; f != nil {
		face("modbus", Modbus, f.Address, f.Unit, &f.PEM)
		s.nameOrFile(at+".modbus.profile", &f.Profile, s.opt.Profiles)
	}
	if f := v.RTU; f != nil {
		face("rtu", "rtu", f.Address, f.Unit, nil)
		s.nameOrFile(at+".rtu.profile", &f.Profile, s.opt.Profiles)
	}
	if f := v.CAN; f != nil {
		face("can", CAN, f.Address, 0, nil)
		s.nameOrFile(at+".can.dbc", &f.DBC, s.opt.Databases)
	}
	if f := v.MQTT; f != nil {
		face("mqtt", MQTT, f.Address, 0, &f.PEM)
		s.files(at+".mqtt", map[string]*string{"password_file": &f.Secret})
	}
	if f := v.MMS; f != nil {
		face("mms", MMS, f.Address, 0, nil)
	}
	if !any {
		s.wrong(at, "name at least one of sunspec, modbus, rtu, can, mqtt, mms", "nothing is served")
	}
}

// Reached is the device as a client of the rig reaches it: as the file says, or else by
// the faces that it is served with. Of several faces SunSpec comes first, then registers,
// which together with a CAN face are one device of two parts; then MQTT. Over TLS it shows
// the certificate of the face, whose authority both sides trust. It is false for a device
// that nobody can reach.
func (d *RigDevice) Reached() (Device, bool) {
	out := d.Device
	if d.Kind != "" || d.Parts != nil {
		return out, true
	}
	v := d.Serve
	if v == nil {
		return out, false
	}
	common := Link{Unit: 1, Base: -1, Poll: d.Poll, Timeout: d.Timeout, DeadMan: d.DeadMan}
	shows := func(l *Link, p PEM) { l.Cert, l.Key, l.CA = p.Cert, p.Key, p.CA }
	registers := common
	switch {
	case v.Modbus != nil:
		registers.Address, registers.Unit, registers.Profile = v.Modbus.Address, v.Modbus.Unit, v.Modbus.Profile
		shows(&registers, v.Modbus.PEM)
	case v.RTU != nil:
		registers.Address, registers.Unit, registers.Profile = clientOf(v.RTU.Address, "rtu"), v.RTU.Unit, v.RTU.Profile
		if !strings.Contains(registers.Address, "baud=") {
			registers.Address += fmt.Sprintf("?baud=%d", v.RTU.Baud)
		}
	}
	bus := common
	if v.CAN != nil {
		bus.Address, bus.DBC = clientOf(v.CAN.Address, "slcan"), v.CAN.DBC
	}
	switch {
	case v.SunSpec != nil:
		out.Kind, out.Link = SunSpec, common
		out.Address, out.Unit, out.Base = v.SunSpec.Address, v.SunSpec.Unit, v.SunSpec.Base
		shows(&out.Link, v.SunSpec.PEM)
	case registers.Address != "" && v.CAN != nil:
		out.Link = Link{Poll: d.Poll}
		out.Parts = &Parts{PCS: &Part{Kind: Modbus, Link: registers}, BMS: &Part{Kind: CAN, Link: bus}}
	case registers.Address != "":
		out.Kind, out.Link = Modbus, registers
	case v.MQTT != nil:
		out.Kind, out.Link = MQTT, common
		out.Address, out.User, out.Secret = v.MQTT.Address, v.MQTT.User, v.MQTT.Secret
		shows(&out.Link, v.MQTT.PEM)
	case v.CAN != nil:
		out.Kind, out.Link = CAN, bus
	default:
		return out, false
	}
	return out, true
}

// clientOf is where a client opens what a server makes: the other end of a
// pseudo-terminal.
func clientOf(address, scheme string) string {
	if rest, ok := strings.CutPrefix(address, "pty://"); ok {
		return scheme + "://" + rest
	}
	return address
}

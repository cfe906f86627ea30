package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// APIVersion is what every file begins with.
const APIVersion = "yunchu/v1"

// Head is how every file begins.
type Head struct {
	APIVersion  string `yaml:"apiVersion" jsonschema:"required,enum=yunchu/v1" example:"yunchu/v1" doc:"The version of this grammar."`
	Kind        string `yaml:"kind" jsonschema:"required" doc:"What the file is."`
	Name        string `yaml:"name,omitempty" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9._-]{0\\,63}$" hint:"letters, digits, dot, _ and -, at most 64; it names folders" doc:"Names the file in reports and folders."`
	Description string `yaml:"description,omitempty" doc:"What it is for, in a sentence."`
}

// Scenario is a run: a fleet, what happens to it, and how it is scored.
type Scenario struct {
	Head     `yaml:",inline"`
	Seed     uint64        `yaml:"seed,omitempty" jsonschema:"default=1" doc:"Every random draw of the run follows from it."`
	Clock    string        `yaml:"clock,omitempty" jsonschema:"enum=virtual,enum=wall,default=virtual" doc:"virtual: as fast as it goes, the same every time. wall: real time, real sockets."`
	Speed    Speed         `yaml:"speed,omitempty" jsonschema:"default=max" doc:"Pace of the virtual clock: max, or times real time."`
	Journal  string        `yaml:"journal,omitempty" jsonschema:"enum=events,enum=commands,enum=full,default=events" doc:"How much journal.jsonl tells."`
	Start    time.Time     `yaml:"start,omitempty" jsonschema:"default=2026-01-01T00:00:00Z" doc:"The instant the run begins at, in simulated time."`
	Duration time.Duration `yaml:"duration" jsonschema:"required,exclusiveMinimum=0" example:"1h" doc:"How long it runs."`
	Step     time.Duration `yaml:"step,omitempty" jsonschema:"exclusiveMinimum=0,default=1s" doc:"Step of the physics."`
	// ReadEvery is how often devices are read and the run is sampled.
	ReadEvery time.Duration `yaml:"read_every,omitempty" jsonschema:"exclusiveMinimum=0" doc:"How often devices are read and the run is sampled, a multiple of step; default every step, on the wall clock at least every 500 ms."`
	Rig       string        `yaml:"rig,omitempty" doc:"Path of a rig file whose twins are served while the scenario runs, for devices on wires to reach; wall clock only."`
	Fleet     []FleetEntry  `yaml:"fleet,omitempty" doc:"The devices."`
	Site      Site          `yaml:"site,omitempty" doc:"What else is at the site."`
	Dispatch  Dispatch      `yaml:"dispatch,omitempty" doc:"What the fleet is asked for, and how it is shared out."`
	Guard     Guard         `yaml:"guard,omitempty" doc:"What bounds commands, whoever gives them."`
	Timeline  []Event       `yaml:"timeline,omitempty" doc:"What happens during the run."`
	Load      []LoadEntry   `yaml:"load,omitempty" doc:"Load on the API; wall clock only."`
	Record    Record        `yaml:"record,omitempty" doc:"What goes into signals and devices.parquet."`
	Score     []Score       `yaml:"score,omitempty" doc:"What is measured, and what it must be."`
	Checks    Checks        `yaml:"checks,omitempty" doc:"The default checks."`

	Path   string   `yaml:"-"` // the file, as it was named
	Inputs []string `yaml:"-"` // every file that was opened for it, itself first

	Served *Rig `yaml:"-"` // what Rig names

	ids       []string // of all devices, in the order of the fleet
	overrides []override
}

// Virtual tells whether the run is in virtual time.
func (s *Scenario) Virtual() bool { return s.Clock == "virtual" }

// Speed is the pace of the virtual clock as a multiple of real time; 0 is as
// fast as it goes.
type Speed float64

func (v *Speed) read(s *source, n ast.Node, at string, _ rules) {
	text, _, _ := scalar(n)
	x, err := ParseSpeed(text)
	if err != nil {
		s.fault(start(n), "write max, or how many times real time: 60", "%s is max or a positive number, got %s", name(at), describe(n))
		return
	}
	*v = x
}

func (v *Speed) preset(text string) (err error) { *v, err = ParseSpeed(text); return err }

// ParseSpeed reads "max" or a positive multiple of real time.
func ParseSpeed(text string) (Speed, error) {
	if text == "max" {
		return 0, nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x > 0 && x <= 1e9) {
		return 0, fmt.Errorf("speed %q: neither max nor a positive number", text)
	}
	return Speed(x), nil
}

// Site is what else is at the grid connection. Power is positive when it is
// consumed, so a PV series is negative or scaled with a negative factor.
type Site struct {
	Load          *Series  `yaml:"load,omitempty" unit:"kw" doc:"Consumption of the site in kW."`
	PV            *Series  `yaml:"pv,omitempty" unit:"kw" doc:"PV in kW; generation is negative."`
	Price         *Series  `yaml:"price,omitempty" doc:"Price of energy, currency per kWh."`
	AmbientC      *Series  `yaml:"ambient_c,omitempty" doc:"Air temperature in degC; 25 when left out."`
	ImportLimitKW *float64 `yaml:"import_limit_kw,omitempty" jsonschema:"minimum=0" doc:"The most the site may draw from the grid, kW."`
}

// Record is what is written during the run, beside the journal.
type Record struct {
	Every        time.Duration `yaml:"every,omitempty" jsonschema:"exclusiveMinimum=0" doc:"Distance of the rows of signals; default duration/3600, at least a step."`
	Devices      string        `yaml:"devices,omitempty" hint:"a glob over device ids, such as ess-00*" doc:"Which devices go into devices.parquet (a glob); default none."`
	Readings     string        `yaml:"readings,omitempty" hint:"a glob over device ids, such as ess-00*" doc:"Which devices' readings go into readings.csv, as yunchu export writes them (a glob); default none."`
	DevicesEvery time.Duration `yaml:"devices_every,omitempty" jsonschema:"exclusiveMinimum=0" doc:"Distance of their rows; default record.every."`
}

// Score is one thing measured, and what it must be.
type Score struct {
	Metric      string `yaml:"metric" jsonschema:"required" example:"tracking.rms_error_ratio" doc:"A metric of the table in harness/README.md."`
	Stat        string `yaml:"stat,omitempty" jsonschema:"enum=min,enum=max,enum=mean,enum=last,enum=sum,enum=count,enum=p50,enum=p90,enum=p95,enum=p99,enum=p999" doc:"Which statistic of it; each metric has a default."`
	Limit       Limit  `yaml:"limit,omitempty" doc:"What it must be, as in \"< 100\"; without a limit it is only reported."`
	Requirement string `yaml:"requirement,omitempty" doc:"The requirement it proves, for reports."`
}

// The checks that are on in every run.
const (
	CheckEnergyBalance = "energy-balance"     // what went in is stored, lost or came out
	CheckLimits        = "limits-kept"        // no device left its envelope
	CheckReadings      = "no-lost-readings"   // every acknowledged reading is in the history
	CheckExpiry        = "no-expired-command" // no command acted after its expiry
	CheckOnTime        = "generator-on-time"  // a load generator sent what was due when it was due
)

// CheckNames lists the default checks in the order of reports.
func CheckNames() []string {
	return []string{CheckEnergyBalance, CheckLimits, CheckReadings, CheckExpiry, CheckOnTime}
}

// Checks switches default checks off, by name.
type Checks struct {
	Off []string `yaml:"off,omitempty" jsonschema:"enum=energy-balance,enum=limits-kept,enum=no-lost-readings,enum=no-expired-command,enum=generator-on-time" noun:"check" doc:"Checks that are not made."`
}

// On tells whether a default check is made.
func (c Checks) On(check string) bool {
	return !slices.Contains(c.Off, check)
}

func (*Scenario) root() {}

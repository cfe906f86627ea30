package modbus

import (
	"maps"
	"slices"

	"yunchu/platform/device"
)

// form is what kind of value a point is.
type form uint8

const (
	number    form = iota
	counter        // a whole number that counts on
	condition      // holds or does not
	word           // one of several
	text
)

// quantity is what a point of a profile can be.
type quantity struct {
	form     form
	unit     string          // of a number, as platform/device has it
	units    map[string]unit // others that a profile may give it in
	directed bool            // counts a direction of power positive
	written  bool            // a device takes it
	warns    bool            // a condition that says what is wrong or forbidden
	words    []string
}

// unit converts to the quantity's own: x*factor + shift.
type unit struct{ factor, shift float64 }

const (
	milli = 1e-3
	kilo  = 1e3
	zeroC = 273.15 // K
)

var (
	kilowatts = map[string]unit{"W": {milli, 0}, "MW": {kilo, 0}}
	volts     = map[string]unit{"mV": {milli, 0}, "kV": {kilo, 0}}
	amperes   = map[string]unit{"mA": {milli, 0}}
	celsius   = map[string]unit{"K": {1, -zeroC}}
)

// statusWords are those of platform/device.
var statusWords = func() (words []string) {
	for s := device.Charging; s <= device.Maintenance; s++ {
		words = append(words, s.String())
	}
	return words
}()

// Words of conditions, modes and operations.
const (
	active   = "active"
	inactive = "inactive"
	start    = "start"
	stop     = "stop"
)

var (
	conditionWords = []string{active, inactive}
	modeWords      = []string{device.Run.String(), device.StandbyMode.String(), device.MaintenanceMode.String()}
	operateWords   = []string{start, stop}
)

// quantities are all that a profile can have, by name.
var quantities = map[string]quantity{
	"status":      {form: word, words: statusWords},
	"heartbeat":   {form: counter},
	"power":       {unit: "kW", units: kilowatts, directed: true},
	"reactive":    {unit: "kvar", units: map[string]unit{"var": {milli, 0}}, directed: true},
	"soc":         {unit: "%"},
	"soh":         {unit: "%"},
	"voltage":     {unit: "V", units: volts},
	"current":     {unit: "A", units: amperes, directed: true},
	"temperature": {unit: "degC", units: celsius},
	"cell_v_max":  {unit: "V", units: volts},
	"cell_v_min":  {unit: "V", units: volts},

	"max_charge_kw":       {unit: "kW", units: kilowatts},
	"max_discharge_kw":    {unit: "kW", units: kilowatts},
	"charge_limit_a":      {unit: "A", units: amperes},
	"discharge_limit_a":   {unit: "A", units: amperes},
	"soc_min":             {unit: "%"},
	"soc_max":             {unit: "%"},
	"voltage_min":         {unit: "V", units: volts},
	"voltage_max":         {unit: "V", units: volts},
	"temperature_min":     {unit: "degC", units: celsius},
	"temperature_max":     {unit: "degC", units: celsius},
	"charge_forbidden":    {form: condition, words: conditionWords, warns: true},
	"discharge_forbidden": {form: condition, words: conditionWords, warns: true},
	"frequency":           {unit: "Hz"},
	"grid_voltage":        {unit: "V", units: volts},
	"local":               {form: condition, words: conditionWords},
	"e_stop":              {form: condition, words: conditionWords, warns: true},
	"alarms":              {form: condition, words: conditionWords, warns: true},

	"setpoint":             {unit: "kW", units: kilowatts, directed: true, written: true},
	"setpoint_enable":      {form: condition, words: conditionWords, written: true},
	"revert_s":             {unit: "s", units: map[string]unit{"ms": {milli, 0}, "min": {60, 0}}, written: true},
	"controller_heartbeat": {form: counter, written: true},
	"mode":                 {form: word, words: modeWords, written: true},
	"operate":              {form: word, words: operateWords, written: true},
	"connect":              {form: condition, words: conditionWords, written: true},
	"reset":                {form: condition, words: conditionWords, written: true},
	"ramp":                 {unit: "%/s", written: true},
	"power_limit":          {unit: "%", written: true},
	"reserve":              {unit: "%", written: true},

	"rated_kw":  {unit: "kW", units: kilowatts},
	"rated_kwh": {unit: "kWh", units: map[string]unit{"Wh": {milli, 0}, "MWh": {kilo, 0}}},
	"maker":     {form: text},
	"model":     {form: text},
	"serial":    {form: text},
	"firmware":  {form: text},
}

// Names are the points that a profile can have.
func Names() []string { return slices.Sorted(maps.Keys(quantities)) }

func (q *quantity) unitNames() []string {
	return append([]string{q.unit}, slices.Sorted(maps.Keys(q.units))...)
}

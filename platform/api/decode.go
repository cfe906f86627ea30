package api

import (
	"math"
	"strings"

	"yunchu/platform/device"
)

// maxStatus is the longest status word that is kept, in bytes.
const maxStatus = 64

// entry is one body of the sync, decoded. What is wrong with its form is in code
// and detail, the first fault of it; code is empty when the form is right.
type entry struct {
	id      device.ID
	reading device.Reading // without Slot and Arrived
	code    Code
	detail  string
}

func (e *entry) refuse(c Code, detail string) {
	if e.code == "" {
		e.code, e.detail = c, detail
	}
}

// The fields of a sync body, as bits.
const (
	fieldDeviceID = 1 << iota
	fieldTimestamp
	fieldData
	fieldSoC
	fieldVoltage
	fieldCurrent
	fieldPower
	fieldTemperature
	fieldStatus
	fieldSoH
	fieldFrequency

	bodyFields = fieldDeviceID | fieldTimestamp | fieldData
	dataFields = fieldSoC | fieldVoltage | fieldCurrent | fieldPower | fieldTemperature | fieldStatus
)

var fieldNames = map[int]string{
	fieldDeviceID: "deviceId", fieldTimestamp: "timestamp", fieldData: "data", fieldSoC: "data.soc",
	fieldVoltage: "data.voltage", fieldCurrent: "data.current", fieldPower: "data.power",
	fieldTemperature: "data.temperature", fieldStatus: "data.status", fieldSoH: "data.soh",
	fieldFrequency: "data.frequency",
}

// decoder reads the bodies of the sync and of control.
type decoder struct {
	scanner
	seen int
}

// once notes that a field is there and refuses a second one.
func (d *decoder) once(e *entry, field int) {
	if d.seen&field != 0 {
		e.refuse(CodeDuplicateField, fieldNames[field]+" is there twice")
	}
	d.seen |= field
}

// reading walks over one body of the sync. It returns false when the text is not
// JSON; everything else that is wrong is noted in e. Fields that are not known
// are passed over.
func (d *decoder) reading(e *entry) bool {
	*e = entry{reading: device.Reading{SoH: math.NaN(), MaxCharge: math.NaN(), MaxDischarge: math.NaN()}}
	d.seen = 0
	if c := d.peek(); c != '{' {
		e.refuse(CodeInvalidType, "a reading must be an object, not "+kindOf(c))
		return d.skip()
	}
	ok := d.object(func(key []byte) bool {
		switch string(key) {
		case "deviceId":
			d.once(e, fieldDeviceID)
			return d.deviceID(&e.id, e)
		case "timestamp":
			d.once(e, fieldTimestamp)
			return d.timestamp(&e.reading.At, e)
		case "data":
			d.once(e, fieldData)
			return d.data(e)
		}
		return d.skip()
	})
	if !ok {
		return false
	}
	if missing := (bodyFields | dataFields) &^ d.seen; missing != 0 {
		e.refuse(CodeMissingField, missingFields(missing))
	}
	return true
}

func missingFields(missing int) string {
	if missing&fieldData != 0 {
		missing &^= dataFields
	}
	var names []string
	for bit := 1; bit <= fieldSoH; bit <<= 1 {
		if missing&bit != 0 {
			names = append(names, fieldNames[bit])
		}
	}
	return strings.Join(names, ", ") + " missing"
}

func (d *decoder) data(e *entry) bool {
	if c := d.peek(); c != '{' {
		return d.wrongType(e, "data", "an object", c)
	}
	r := &e.reading
	return d.object(func(key []byte) bool {
		switch string(key) {
		case "soc":
			return d.quantity(e, fieldSoC, &r.SoC)
		case "voltage":
			return d.quantity(e, fieldVoltage, &r.Voltage)
		case "current":
			return d.quantity(e, fieldCurrent, &r.Current)
		case "power":
			return d.quantity(e, fieldPower, &r.Power)
		case "temperature":
			return d.quantity(e, fieldTemperature, &r.Temperature)
		case "soh":
			if d.peek() == 'n' { // not reported
				d.once(e, fieldSoH)
				return d.skip()
			}
			return d.quantity(e, fieldSoH, &r.SoH)
		case "frequency":
			if d.peek() == 'n' { // not reported
				d.once(e, fieldFrequency)
				return d.skip()
			}
			return d.quantity(e, fieldFrequency, &r.Frequency)
		case "status":
			d.once(e, fieldStatus)
			return d.status(e)
		}
		return d.skip()
	})
}

// wrongType walks over a value that should have been of another type. A null is
// as good as nothing.
func (d *decoder) wrongType(e *entry, name, want string, c byte) bool {
	if c == 'n' {
		e.refuse(CodeMissingField, name+" is null")
	} else {
		e.refuse(CodeInvalidType, name+" must be "+want+", not "+kindOf(c))
	}
	return d.skip()
}

func (d *decoder) quantity(e *entry, field int, v *float64) bool {
	d.once(e, field)
	if c := d.peek(); !numeric(c) {
		return d.wrongType(e, fieldNames[field], "a number", c)
	}
	raw, _, ok := d.number()
	if !ok {
		return false
	}
	f, fits := float(raw)
	if !fits {
		e.refuse(CodeInvalidNumber, fieldNames[field]+" does not fit into a double")
	}
	*v = f
	return true
}

func (d *decoder) status(e *entry) bool {
	if c := d.peek(); c != '"' {
		return d.wrongType(e, "data.status", "a string", c)
	}
	word, ok := d.string()
	if !ok {
		return false
	}
	r := &e.reading
	switch {
	case len(word) > maxStatus:
		e.refuse(CodeInvalidStatus, "data.status is longer than 64 bytes")
	case string(word) == "charging":
		r.Status = device.Charging
	case string(word) == "discharging":
		r.Status = device.Discharging
	default:
		w := string(word)
		var known bool
		if r.Status, known = device.ParseStatus(w); !known {
			r.Word = w
		} else {
			r.Word = ""
		}
	}
	return true
}

func (d *decoder) deviceID(id *device.ID, e *entry) bool {
	if c := d.peek(); c != '"' {
		return d.wrongType(e, "deviceId", "a string", c)
	}
	text, ok := d.string()
	if !ok {
		return false
	}
	if len(text) > 64 {
		e.refuse(CodeInvalidDeviceID, "deviceId is longer than 64 characters")
		return true
	}
	if *id = device.ID(text); !id.Valid() {
		e.refuse(CodeInvalidDeviceID, "deviceId "+quote(string(text))+" may not name a device")
	}
	return true
}

func (d *decoder) timestamp(at *int64, e *entry) bool {
	if c := d.peek(); !numeric(c) {
		return d.wrongType(e, "timestamp", "a number", c)
	}
	raw, whole, ok := d.number()
	if !ok {
		return false
	}
	ms, fits := int64(0), false
	if whole {
		ms, fits = integer(raw)
	}
	if !fits || ms < 0 {
		e.refuse(CodeInvalidTimestamp, "timestamp "+shorten(string(raw))+" is not whole milliseconds since 1970 UTC")
	}
	*at = ms
	return true
}

// The fields of a control body, as bits.
const (
	controlDeviceID = 1 << iota
	controlCommandID
	controlCommand
	controlParameters
	controlTimestamp
	parameterPower
	parameterDuration
	parameterPriority
	parameterMode
)

var controlNames = map[int]string{
	controlDeviceID: "deviceId", controlCommandID: "commandId", controlCommand: "command",
	controlParameters: "parameters", controlTimestamp: "timestamp", parameterPower: "parameters.power",
	parameterDuration: "parameters.duration", parameterPriority: "parameters.priority", parameterMode: "parameters.mode",
}

// order is a control body, decoded.
type order struct {
	id      device.ID
	command device.Command // without Slot and Source; At is 0 when left out
}

// Bounds of what people may ask for.
const (
	defaultDuration = 60_000        // ms
	maxDuration     = 7 * 24 * 3600 // s
	maxCommandID    = 128           // bytes
)

// order walks over a whole control body and returns what is wrong with it.
// Fields that are not known are refused: a misspelt duration must not turn into
// the default.
func (d *decoder) order(o *order) *Problem {
	*o = order{command: device.Command{Priority: device.Normal, Duration: defaultDuration}}
	d.seen = 0
	var e entry
	if c := d.peek(); c != '{' && c != 0 {
		if !d.skip() || !d.end() {
			return refuse(CodeMalformedJSON, d.fault)
		}
		return refuse(CodeInvalidType, "a command must be an object, not "+kindOf(c))
	}
	ok := d.object(func(key []byte) bool {
		switch string(key) {
		case "deviceId":
			d.onceControl(&e, controlDeviceID)
			return d.deviceID(&o.id, &e)
		case "commandId":
			d.onceControl(&e, controlCommandID)
			return d.commandID(o, &e)
		case "command":
			d.onceControl(&e, controlCommand)
			return d.verb(o, &e)
		case "timestamp":
			d.onceControl(&e, controlTimestamp)
			if d.peek() == 'n' {
				return d.skip()
			}
			return d.timestamp(&o.command.At, &e)
		case "parameters":
			d.onceControl(&e, controlParameters)
			return d.parameters(o, &e)
		}
		e.refuse(CodeUnknownField, "there is no field "+quote(string(key)))
		return d.skip()
	})
	if !ok || !d.end() {
		return refuse(CodeMalformedJSON, d.fault)
	}
	for _, field := range [...]int{controlDeviceID, controlCommandID, controlCommand} {
		if d.seen&field == 0 {
			e.refuse(CodeMissingField, controlNames[field]+" missing")
		}
	}
	switch {
	case o.command.Verb == device.SetPower && d.seen&parameterPower == 0:
		e.refuse(CodeMissingField, "parameters.power missing")
	case o.command.Verb == device.SetMode && d.seen&parameterMode == 0:
		e.refuse(CodeMissingField, "parameters.mode missing")
	}
	if e.code != "" {
		p := refuse(e.code, e.detail)
		if e.code == CodeMissingField {
			p.Hint = "deviceId, commandId and command are required, setPower needs parameters.power, setMode needs parameters.mode"
		}
		return p
	}
	return nil
}

func (d *decoder) onceControl(e *entry, field int) {
	if d.seen&field != 0 {
		e.refuse(CodeDuplicateField, controlNames[field]+" is there twice")
	}
	d.seen |= field
}

func (d *decoder) commandID(o *order, e *entry) bool {
	if c := d.peek(); c != '"' {
		return d.wrongType(e, "commandId", "a string", c)
	}
	text, ok := d.string()
	if !ok {
		return false
	}
	o.command.ID = string(text)
	if len(text) == 0 || len(text) > maxCommandID || !printable(o.command.ID) {
		e.refuse(CodeInvalidCommandID, "commandId "+quote(o.command.ID)+" may not name a command")
	}
	return true
}

func (d *decoder) verb(o *order, e *entry) bool {
	if c := d.peek(); c != '"' {
		return d.wrongType(e, "command", "a string", c)
	}
	text, ok := d.string()
	if !ok {
		return false
	}
	var known bool
	if o.command.Verb, known = device.ParseVerb(string(text)); !known {
		e.refuse(CodeInvalidCommand, "there is no command "+quote(string(text)))
	}
	return true
}

func (d *decoder) parameters(o *order, e *entry) bool {
	if c := d.peek(); c != '{' {
		if c == 'n' {
			return d.skip()
		}
		return d.wrongType(e, "parameters", "an object", c)
	}
	return d.object(func(key []byte) bool {
		switch string(key) {
		case "power":
			return d.parameter(e, parameterPower, &o.command.Power)
		case "duration":
			var seconds float64
			if !d.parameter(e, parameterDuration, &seconds) {
				return false
			}
			if e.code == "" {
				if o.command.Duration = int64(math.Round(seconds * 1000)); !(seconds > 0 && seconds <= maxDuration) || o.command.Duration == 0 {
					e.refuse(CodeInvalidParameter, "parameters.duration must be more than 0 s and at most 7 days")
				}
			}
			return true
		case "priority":
			return d.choice(e, parameterPriority, func(w string) (ok bool) {
				o.command.Priority, ok = device.ParsePriority(w)
				return ok
			})
		case "mode":
			return d.choice(e, parameterMode, func(w string) (ok bool) {
				o.command.Mode, ok = device.ParseMode(w)
				return ok
			})
		}
		e.refuse(CodeUnknownField, "there is no parameter "+quote(string(key)))
		return d.skip()
	})
}

func (d *decoder) parameter(e *entry, field int, v *float64) bool {
	d.onceControl(e, field)
	if c := d.peek(); !numeric(c) {
		return d.wrongType(e, controlNames[field], "a number", c)
	}
	raw, _, ok := d.number()
	if !ok {
		return false
	}
	f, fits := float(raw)
	if !fits {
		e.refuse(CodeInvalidNumber, controlNames[field]+" does not fit into a double")
	}
	*v = f
	return true
}

func (d *decoder) choice(e *entry, field int, parse func(string) bool) bool {
	d.onceControl(e, field)
	if c := d.peek(); c != '"' {
		return d.wrongType(e, controlNames[field], "a string", c)
	}
	text, ok := d.string()
	if !ok {
		return false
	}
	if word := string(text); !parse(word) {
		e.refuse(CodeInvalidParameter, controlNames[field]+" cannot be "+quote(word))
	}
	return true
}

// printable reports whether s has no control characters.
func printable(s string) bool {
	for _, r := range s {
		if r < 0x20 || 0x7f <= r && r < 0xa0 {
			return false
		}
	}
	return true
}

// shorten keeps what a stranger sent from filling the answer.
func shorten(s string) string {
	if len(s) <= 40 {
		return s
	}
	return strings.ToValidUTF8(s[:40], "") + "…"
}

func quote(s string) string { return `"` + shorten(s) + `"` }

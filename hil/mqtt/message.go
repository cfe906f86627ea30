package mqtt

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/device"
)

// Topic is one of a device's.
func Topic(id device.ID, what string) string { return "device/" + string(id) + "/" + what }

// Data is the body of a sync.
type Data struct {
	DeviceID  device.ID `json:"deviceId"`
	Timestamp int64     `json:"timestamp"` // ms UTC
	Data      Values    `json:"data"`
}

// Values are what a device measures; what it does not is left out.
type Values struct {
	SoC         *float64 `json:"soc,omitempty"`
	Voltage     *float64 `json:"voltage,omitempty"`
	Current     *float64 `json:"current,omitempty"`
	Power       *float64 `json:"power,omitempty"`
	Temperature *float64 `json:"temperature,omitempty"`
	SoH         *float64 `json:"soh,omitempty"`
	Frequency   *float64 `json:"frequency,omitempty"` // Hz
	Status      string   `json:"status,omitempty"`
}

// Control is the body of a command.
type Control struct {
	DeviceID   device.ID  `json:"deviceId"`
	CommandID  string     `json:"commandId"`
	Command    string     `json:"command"`
	Parameters Parameters `json:"parameters"`
	Timestamp  int64      `json:"timestamp,omitempty"` // ms UTC, when it was issued
}

// Parameters are those of a command.
type Parameters struct {
	Power    *float64 `json:"power,omitempty"`    // kW
	Duration *float64 `json:"duration,omitempty"` // s
	Mode     string   `json:"mode,omitempty"`
	Priority string   `json:"priority,omitempty"`
}

// Ack is a device's answer to a command.
type Ack struct {
	DeviceID  device.ID `json:"deviceId"`
	CommandID string    `json:"commandId"`
	Status    string    `json:"status"` // done, rejected, expired, failed
	Reason    string    `json:"reason,omitempty"`
	Timestamp int64     `json:"timestamp"`
}

// Event is something that happened at a device.
type Event struct {
	EventID     string    `json:"eventId"`
	DeviceID    device.ID `json:"deviceId"`
	EventType   string    `json:"eventType"`
	Severity    string    `json:"severity"`
	Description string    `json:"description"`
	Timestamp   int64     `json:"timestamp"`
}

// Types of events that a driver heeds; devices may have others.
const (
	EventOnline       = "online"        // it is there (again): what was known of its panel is not known any more
	EventOffline      = "offline"       // it goes, or is its last will
	EventLocal        = "local"         // its panel has the control
	EventRemote       = "remote"        // and gives it back
	EventEStop        = "e-stop"        // its emergency stop is pressed or latched, until its status is no fault
	EventSecondMaster = "second-master" // somebody else has changed its setpoint
)

// ErrMessage: what came is not of the form that it must have.
var ErrMessage = errors.New("malformed message")

// Bounds of what is looked at: a frame of readings fits.
const (
	maxMessage = 1 << 20 // bytes
	maxRows    = device.MaxRows
)

// decode reads one JSON value.
func decode(body []byte, v any) error {
	if len(body) > maxMessage {
		return fmt.Errorf("%w: %d bytes", ErrMessage, len(body))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return nil
}

// ParseData reads one body, or an array of them, for the device, in order of time. The
// bodies of an array stand for themselves: bad counts those that are not of the form.
func ParseData(id device.ID, body []byte) (rows []device.Reading, bad int, err error) {
	list := []json.RawMessage{body}
	if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		if err := decode(body, &list); err != nil {
			return nil, 1, err
		}
	}
	if len(list) > maxRows {
		return nil, len(list), fmt.Errorf("%w: %d readings, at most %d", ErrMessage, len(list), maxRows)
	}
	var errs []error
	for _, one := range list {
		r, err := parseReading(id, one)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b device.Reading) int { return cmp.Compare(a.At, b.At) })
	return rows, len(errs), errors.Join(errs...)
}

func parseReading(id device.ID, body []byte) (device.Reading, error) {
	var d Data
	if err := decode(body, &d); err != nil {
		return device.Reading{}, err
	}
	switch {
	case d.DeviceID != id:
		return device.Reading{}, fmt.Errorf("%w: of device %.80q on the topic of %q", ErrMessage, d.DeviceID, id)
	case d.Timestamp <= 0 || d.Timestamp > maxTime:
		return device.Reading{}, fmt.Errorf("%w: timestamp %d", ErrMessage, d.Timestamp)
	case len(d.Data.Status) > maxStatus:
		return device.Reading{}, fmt.Errorf("%w: a status of %d bytes", ErrMessage, len(d.Data.Status))
	}
	return d.Data.reading(d.Timestamp), nil
}

const (
	maxTime   = 1 << 53 // ms, the last whole number that JSON carries everywhere
	maxStatus = 64      // bytes
)

func (v *Values) reading(at int64) device.Reading {
	r := device.Empty()
	r.At = at
	for _, f := range []struct{ to, from *float64 }{
		{&r.SoC, v.SoC},
		{&r.Voltage, v.Voltage},
		{&r.Current, v.Current},
		{&r.Power, v.Power},
		{&r.Temperature, v.Temperature},
		{&r.SoH, v.SoH},
		{&r.Frequency, v.Frequency},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	s, ok := device.ParseStatus(v.Status)
	switch {
	case ok:
		r.Status = s
	case v.Status != "":
		r.Word = v.Status
	default: // it does not say
		r.Status = moving(r.Power)
	}
	return r
}

// moving is the status of a device that reports none.
func moving(kw float64) device.Status {
	switch {
	case kw > 0:
		return device.Charging
	case kw < 0:
		return device.Discharging
	}
	return device.Idle
}

// ValuesOf is a reading as a body; NaN is left out.
func ValuesOf(r *device.Reading) Values {
	number := func(x float64) *float64 {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
		return &x
	}
	values := Values{
		SoC: number(r.SoC), Voltage: number(r.Voltage), Current: number(r.Current), Power: number(r.Power),
		Temperature: number(r.Temperature), SoH: number(r.SoH), Status: r.StatusWord(),
	}
	if r.Frequency > 0 {
		values.Frequency = number(r.Frequency)
	}
	return values
}

// ParseAck reads an answer to the device's commands.
func ParseAck(id device.ID, body []byte) (Ack, error) {
	var a Ack
	if err := decode(body, &a); err != nil {
		return a, err
	}
	if a.DeviceID != id || a.CommandID == "" {
		return a, fmt.Errorf("%w: an answer of %.80q to %.80q on the topic of %q", ErrMessage, a.DeviceID, a.CommandID, id)
	}
	if _, ok := statuses[a.Status]; !ok {
		return a, fmt.Errorf("%w: status %.80q", ErrMessage, a.Status)
	}
	return a, nil
}

var statuses = map[string]device.AckStatus{
	"done": device.Done, "rejected": device.Rejected, "expired": device.Expired, "failed": device.Failure,
}

// ParseControl reads a command, on the device's side.
func ParseControl(id device.ID, body []byte) (Control, error) {
	var c Control
	if err := decode(body, &c); err != nil {
		return c, err
	}
	if c.DeviceID != id || c.CommandID == "" || len(c.CommandID) > maxCommandID {
		return c, fmt.Errorf("%w: a command %.80q for %.80q on the topic of %q", ErrMessage, c.CommandID, c.DeviceID, id)
	}
	return c, nil
}

const maxCommandID = 128 // bytes

// ParseEvent reads an event of the device.
func ParseEvent(id device.ID, body []byte) (Event, error) {
	var e Event
	if err := decode(body, &e); err != nil {
		return e, err
	}
	if e.DeviceID != id || e.EventType == "" {
		return e, fmt.Errorf("%w: an event %.80q of %.80q on the topic of %q", ErrMessage, e.EventType, e.DeviceID, id)
	}
	return e, nil
}

// control is the body of c, whose power holds for d.
func control(id device.ID, name string, c *device.Command, d time.Duration, now time.Time) Control {
	out := Control{DeviceID: id, CommandID: name, Command: c.Verb.String(), Timestamp: now.UnixMilli()}
	switch c.Verb {
	case device.SetPower:
		kw, s := c.Power, d.Seconds()
		out.Parameters = Parameters{Power: &kw, Duration: &s, Priority: c.Priority.String()}
	case device.SetMode:
		out.Parameters = Parameters{Mode: c.Mode.String()}
	}
	return out
}

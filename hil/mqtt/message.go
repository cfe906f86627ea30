package mqtt

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
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

// ErrMessage: what came is not of the form that it must have.
var ErrMessage = errors.New("malformed message")

// maxMessage bounds what is looked at: an array of 4,096 readings fits.
const maxMessage = 1 << 20

// ParseData reads one body, or an array of them, for the device.
func ParseData(id device.ID, body []byte) ([]device.Reading, error) {
	if len(body) > maxMessage {
		return nil, fmt.Errorf("%w: %d bytes", ErrMessage, len(body))
	}
	var list []Data
	if strings.HasPrefix(strings.TrimLeft(string(body[:min(len(body), 64)]), " \t\r\n"), "[") {
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMessage, err)
		}
	} else {
		var one Data
		if err := json.Unmarshal(body, &one); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMessage, err)
		}
		list = []Data{one}
	}
	out := make([]device.Reading, 0, len(list))
	for _, d := range list {
		if d.DeviceID != id {
			return nil, fmt.Errorf("%w: of device %q on the topic of %q", ErrMessage, d.DeviceID, id)
		}
		if d.Timestamp <= 0 {
			return nil, fmt.Errorf("%w: timestamp %d", ErrMessage, d.Timestamp)
		}
		out = append(out, d.Data.reading(d.Timestamp))
	}
	return out, nil
}

func (v *Values) reading(at int64) device.Reading {
	r := device.Empty()
	r.At = at
	for _, f := range []struct {
		to   *float64
		from *float64
	}{
		{&r.SoC, v.SoC}, {&r.Voltage, v.Voltage}, {&r.Current, v.Current}, {&r.Power, v.Power},
		{&r.Temperature, v.Temperature}, {&r.SoH, v.SoH},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if s, ok := device.ParseStatus(v.Status); ok {
		r.Status = s
	} else {
		r.Word = v.Status
	}
	return r
}

// ValuesOf is a reading as a body; NaN is left out.
func ValuesOf(r *device.Reading) Values {
	number := func(x float64) *float64 {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
		return &x
	}
	return Values{
		SoC: number(r.SoC), Voltage: number(r.Voltage), Current: number(r.Current), Power: number(r.Power),
		Temperature: number(r.Temperature), SoH: number(r.SoH), Status: r.StatusWord(),
	}
}

// ParseAck reads an answer to the device's commands.
func ParseAck(id device.ID, body []byte) (Ack, error) {
	var a Ack
	if len(body) > maxMessage {
		return a, fmt.Errorf("%w: %d bytes", ErrMessage, len(body))
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return a, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if a.DeviceID != id || a.CommandID == "" {
		return a, fmt.Errorf("%w: an answer of %q to %q on the topic of %q", ErrMessage, a.DeviceID, a.CommandID, id)
	}
	if _, ok := statuses[a.Status]; !ok {
		return a, fmt.Errorf("%w: status %q", ErrMessage, a.Status)
	}
	return a, nil
}

var statuses = map[string]device.AckStatus{
	"done": device.Done, "rejected": device.Rejected, "expired": device.Expired, "failed": device.Failure,
}

// ParseControl reads a command, on the device's side.
func ParseControl(id device.ID, body []byte) (Control, error) {
	var c Control
	if len(body) > maxMessage {
		return c, fmt.Errorf("%w: %d bytes", ErrMessage, len(body))
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if c.DeviceID != id || c.CommandID == "" || len(c.CommandID) > 128 {
		return c, fmt.Errorf("%w: a command %q for %q on the topic of %q", ErrMessage, c.CommandID, c.DeviceID, id)
	}
	return c, nil
}

// control is the body of c, whose power holds for d.
func control(id device.ID, name string, c *device.Command, d time.Duration, now time.Time) Control {
	out := Control{DeviceID: id, CommandID: name, Command: c.Verb.String(), Timestamp: now.UnixMilli()}
	switch c.Verb {
	case device.SetPower:
		kw, s := c.Power, d.Seconds()
		out.Parameters = Parameters{Power: &kw, Duration: &s}
	case device.SetMode:
		out.Parameters = Parameters{Mode: c.Mode.String()}
	}
	return out
}

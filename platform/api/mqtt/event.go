package mqtt

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"yunchu/platform/device"
)

// Bounds of what an event may say.
const (
	maxEvent = 8 << 10 // bytes
	maxWord  = 64      // bytes of its id and type
	maxText  = 1024    // bytes of its description
)

var errEvent = errors.New("not an event")

// parseEvent reads what a device tells of itself. The slot is the caller's.
func parseEvent(id device.ID, body []byte) (device.Event, error) {
	if len(body) > maxEvent {
		return device.Event{}, fmt.Errorf("%w: %d bytes, at most %d", errEvent, len(body), maxEvent)
	}
	var e struct {
		EventID     string    `json:"eventId"`
		DeviceID    device.ID `json:"deviceId"`
		EventType   string    `json:"eventType"`
		Severity    string    `json:"severity"`
		Description string    `json:"description"`
		Timestamp   int64     `json:"timestamp"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return device.Event{}, fmt.Errorf("%w: %w", errEvent, err)
	}
	switch {
	case e.DeviceID != id:
		return device.Event{}, fmt.Errorf("%w of %s: the body is of %.64q", errEvent, id, e.DeviceID)
	case e.EventType == "" || len(e.EventType) > maxWord || len(e.EventID) > maxWord:
		return device.Event{}, fmt.Errorf("%w of %s: eventType needs 1 to %d bytes, eventId at most as many", errEvent, id, maxWord)
	case e.Timestamp < 0 || e.Timestamp > 1<<53:
		return device.Event{}, fmt.Errorf("%w of %s: timestamp %d", errEvent, id, e.Timestamp)
	}
	out := device.Event{ID: e.EventID, Type: e.EventType, Text: e.Description, At: e.Timestamp}
	if len(out.Text) > maxText {
		out.Text = strings.ToValidUTF8(out.Text[:maxText], "")
	}
	if err := out.Severity.UnmarshalText([]byte(e.Severity)); err != nil {
		out.Severity = severity(e.Severity)
	}
	return out, nil
}

// severity is a word that is not ours. What is not understood is better seen than not.
func severity(word string) device.Severity {
	switch word {
	case "", "info", "information", "notice", "debug":
		return device.Information
	case "critical", "error", "alarm", "fatal":
		return device.Critical
	}
	return device.Warning
}

// Package edge joins a site to its plant over a link that may be gone for hours: the site
// keeps its own log and history, and sends them on, in order, from where it stopped.
//
// The site's end is an Uplink: it follows the site's log and asks the plant, one request
// after the other, to take what is in it. The plant's end is a Site: it stores what comes
// under its own slots and answers when it is durable. What was answered is never sent again
// but after a crash, and then the plant drops it, because (device, time) is the key of its
// history. What the link and both logs have lost all the same is found by comparing digests
// of whole hours of both histories, on a schedule, and sent again from the site's history.
//
// The link is a NATS leaf node: Listen is the plant's end of it, Join the site's. Each site
// has an account of its own there, so that none can speak for another one or reach the
// plant's log, and all that crosses the link is compressed.
package edge

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"yunchu/platform/device"
)

// Errors that callers branch on.
var (
	// ErrDown: the other end of the link does not answer. Ask again later.
	ErrDown = errors.New("the link is down")
	// ErrBusy: the plant has too much to do. Ask again later.
	ErrBusy = errors.New("the plant is busy")
	// ErrRefused: the plant does not want it, now or later.
	ErrRefused = errors.New("refused by the plant")
	// ErrMessage: the bytes are not a message of this version.
	ErrMessage = errors.New("not a readable message")
)

// Line carries a request to the other end of a link and brings the answer.
type Line interface {
	// Ask returns the answer. ErrDown when there is none before ctx ends, or nobody to ask.
	Ask(ctx context.Context, request []byte) ([]byte, error)
}

// Handler answers requests. It is called by several goroutines.
type Handler func(ctx context.Context, request []byte) []byte

// A request is a version, what it asks for, and its body. An answer is a version, how it
// ended, and a body or the reason.
const version = 1

const (
	askHello    = 'h' // JSON greeting → JSON greeting: how far the plant has come
	askDevices  = 'd' // JSON array of devices: the site's registry
	askReadings = 'r' // readings
	askEvents   = 'e' // JSON events
	askSums     = 's' // JSON question → JSON sums

	endOK      = 'k'
	endBusy    = 'b'
	endRefused = 'x'
)

func request(kind byte, body []byte) []byte {
	return append([]byte{version, kind}, body...)
}

func parse(b []byte) (kind byte, body []byte, err error) {
	if len(b) < 2 || b[0] != version {
		return 0, nil, fmt.Errorf("%w: no header of version %d", ErrMessage, version)
	}
	return b[1], b[2:], nil
}

// greeting is who speaks, and up to where the plant has stored its log. Log tells one log
// from another one that a site with the same name has had before.
type greeting struct {
	Log string `json:"log"`
	Seq uint64 `json:"seq"`
}

// readings are rows of one site. Seq is the sequence in the site's log that they reach up
// to; 0 for what is sent again.
type readings struct {
	Log  string
	Seq  uint64
	IDs  map[device.Slot]device.ID // of the site's slots
	Rows *device.Readings
}

// The most that a message of readings holds beside its frame.
const maxName = 256

func (m *readings) append(b []byte) []byte {
	b = appendText(b, m.Log)
	b = binary.AppendUvarint(b, m.Seq)
	b = binary.AppendUvarint(b, uint64(len(m.IDs)))
	for slot, id := range m.IDs {
		b = binary.AppendUvarint(b, uint64(slot))
		b = appendText(b, string(id))
	}
	return m.Rows.AppendBinary(b)
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// parseReadings reads what append wrote. Every row's slot has an id.
func parseReadings(b []byte) (*readings, error) {
	m := &readings{}
	var err error
	number := func() (n uint64) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err = fmt.Errorf("%w: it ends within a number", ErrMessage)
			b = nil
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() string {
		n := number()
		if n > maxName || n > uint64(len(b)) {
			err = fmt.Errorf("%w: a name of %d bytes", ErrMessage, n)
			b = nil
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	m.Log, m.Seq = text(), number()
	count := number()
	if err == nil && count > device.MaxRows {
		return nil, fmt.Errorf("%w: %d devices in a frame", ErrMessage, count)
	}
	m.IDs = make(map[device.Slot]device.ID, count)
	for i := uint64(0); i < count && err == nil; i++ {
		slot, id := number(), device.ID(text())
		if err == nil && (slot > 1<<32-1 || !id.Valid()) {
			err = fmt.Errorf("%w: slot %d with the id %.70q", ErrMessage, slot, id)
		}
		m.IDs[device.Slot(slot)] = id
	}
	if err != nil {
		return nil, err
	}
	f, err := device.DecodeFrame(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	rows, ok := f.(*device.Readings)
	if !ok {
		return nil, fmt.Errorf("%w: a frame of %T", ErrMessage, f)
	}
	m.Rows = rows
	for _, slot := range rows.Slot {
		if _, named := m.IDs[slot]; !named {
			return nil, fmt.Errorf("%w: nobody says which device has slot %d", ErrMessage, slot)
		}
	}
	return m, nil
}

// ask sends a request and makes an error of an answer that is one.
func ask(ctx context.Context, l Line, kind byte, body []byte) ([]byte, error) {
	answer, err := l.Ask(ctx, request(kind, body))
	if err != nil {
		return nil, err
	}
	end, body, err := parse(answer)
	switch {
	case err != nil:
		return nil, err
	case end == endOK:
		return body, nil
	case end == endBusy:
		return nil, fmt.Errorf("%w: %s", ErrBusy, body)
	case end == endRefused:
		return nil, fmt.Errorf("%w: %s", ErrRefused, body)
	}
	return nil, fmt.Errorf("%w: an answer of kind %q", ErrMessage, end)
}

// askJSON is ask with JSON both ways.
func askJSON(ctx context.Context, l Line, kind byte, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if b, err = ask(ctx, l, kind, b); err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return nil
}

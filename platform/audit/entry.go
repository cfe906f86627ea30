package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"yunchu/platform/device"
)

// Entry is one line of the audit. What an entry's kind has no use for is left out.
//
// Kinds: command (somebody asks), outcome (how it ended: who asked, what was in force
// before, what is now), work (somebody asks for something to be written to a device
// beside commands), write (one value that was written), event (corrections of the guard, arming, alarms), the kinds of
// configuration (device, user, token, setting …: the value before and after), the acts
// of people (login, login-failed, refused …), and gap (the log was trimmed before the
// audit had read it).
type Entry struct {
	N    int64  `json:"n"`   // position in the tree, from 0
	Log  string `json:"log"` // the stream that it was made from
	Seq  uint64 `json:"seq"` // and the sequence there
	At   int64  `json:"timestamp"`
	Kind string `json:"kind"`

	Device  string `json:"deviceId,omitempty"`
	Source  string `json:"source,omitempty"`  // who
	From    string `json:"from,omitempty"`    // the address it came from
	Subject string `json:"subject,omitempty"` // what else it was about; of a write the setting or register
	// Act is the command, what became of a record (added, changed, removed), or what a
	// write was (adjusted, probed, restored).
	Act     string `json:"act,omitempty"`
	Command string `json:"commandId,omitempty"`

	Asked  *float64 `json:"asked_kw,omitempty"`
	Before *float64 `json:"before_kw,omitempty"`
	After  *float64 `json:"after_kw,omitempty"`
	Mode   string   `json:"mode,omitempty"`

	// Of the outcome of a command that is not about a power: what the device might do
	// (active, inactive, failed while its emergency stop is latched) and its mode, before
	// and after.
	StateBefore string `json:"before_state,omitempty"`
	StateAfter  string `json:"after_state,omitempty"`
	ModeBefore  string `json:"before_mode,omitempty"`
	ModeAfter   string `json:"after_mode,omitempty"`

	// Of a write, in Unit.
	Wrote *float64 `json:"asked,omitempty"`
	Was   *float64 `json:"before,omitempty"`
	Is    *float64 `json:"after,omitempty"` // read back
	Unit  string   `json:"unit,omitempty"`

	Priority string  `json:"priority,omitempty"`
	Duration float64 `json:"duration_s,omitempty"`
	Outcome  string  `json:"outcome,omitempty"` // done, rejected, expired, failed; of an act done, failed, refused
	Code     string  `json:"code,omitempty"`
	Reduced  bool    `json:"reduced,omitempty"` // by the guard
	Reason   string  `json:"reason,omitempty"`  // why it was asked
	Text     string  `json:"text,omitempty"`    // what was answered or has happened
	Severity string  `json:"severity,omitempty"`

	Old json.RawMessage `json:"old,omitempty"` // without secrets
	New json.RawMessage `json:"new,omitempty"`

	// Items are the devices of one moment where one source commands many: dispatch.
	Items []DeviceEntry `json:"items,omitempty"`
}

// DeviceEntry is one device's part of an Entry about many.
type DeviceEntry struct {
	Device  string   `json:"deviceId"`
	Asked   *float64 `json:"asked_kw,omitempty"`
	Before  *float64 `json:"before_kw,omitempty"`
	After   *float64 `json:"after_kw,omitempty"`
	Outcome string   `json:"outcome,omitempty"` // where it is not the entry's
	Code    string   `json:"code,omitempty"`
	Reduced bool     `json:"reduced,omitempty"`
	Reason  string   `json:"reason,omitempty"` // where it is not the entry's
	Text    string   `json:"text,omitempty"`
}

// reader makes entries of frames. It is a pure state machine: the same frames give the
// same entries.
type reader struct {
	name func(device.Slot) device.ID
	// values has the newest value of each record, to say what it was before.
	values map[record][]byte
	// open has what was asked by commands that nobody has answered yet, for their
	// outcomes; the oldest are forgotten when there are too many.
	open  map[order]asked
	queue []order
}

type record struct{ kind, key string }

// order tells commands apart: by the sender's id, or by the count of its source.
type order struct {
	slot   device.Slot
	seq    uint64
	id     string
	source string
}

type asked struct {
	power  float64
	reason string
}

// openBound is how many commands may wait for their outcome here: more than a hundred
// cycles of a thousand devices. An outcome beyond that is kept without its reason.
const openBound = 1 << 17

func newReader(name func(device.Slot) device.ID) *reader {
	return &reader{name: name, values: map[record][]byte{}, open: map[order]asked{}}
}

// read calls each with the entries of a frame; their N is not set yet.
func (r *reader) read(stream string, seq uint64, f device.Frame, each func(*Entry)) {
	switch f := f.(type) {
	case *device.Commands:
		r.commands(stream, seq, f, each)
	case *device.Acks:
		r.outcomes(stream, seq, f, each)
	case *device.Events:
		for i := range f.List {
			e := &f.List[i]
			each(&Entry{
				Log: stream, Seq: seq, At: e.At, Kind: "event", Device: r.device(e.Slot), Act: e.Type,
				Subject: e.ID, Severity: e.Severity.String(), Text: e.Text,
			})
		}
	case *device.Writes:
		for i := range f.List {
			each(r.write(stream, seq, &f.List[i]))
		}
	case *device.Acts:
		for i := range f.List {
			a := &f.List[i]
			each(&Entry{
				Log: stream, Seq: seq, At: a.At, Kind: a.Type, Source: a.Source, From: a.From, Subject: a.Subject,
				Outcome: a.Outcome, Text: a.Text,
			})
		}
	case *device.Meta:
		each(r.meta(stream, seq, f))
	}
}

func (r *reader) device(s device.Slot) string {
	if s == device.Plant {
		return ""
	}
	if id := r.name(s); id != "" {
		return string(id)
	}
	return fmt.Sprintf("slot:%d", s)
}

func (r *reader) write(stream string, seq uint64, w *device.Write) *Entry {
	e := &Entry{
		Log: stream, Seq: seq, At: w.At, Kind: "write", Device: r.device(w.Slot), Source: w.Source, Subject: w.What, Act: w.Act,
		Wrote: number(w.Asked), Was: number(w.Before), Is: number(w.After), Unit: w.Unit, Reason: w.Reason, Text: w.Text,
	}
	if w.Status == 0 {
		e.Kind = "work"
	} else {
		e.Outcome = w.Status.String()
	}
	return e
}

func number(v float64) *float64 {
	if !device.Finite(v) {
		return nil
	}
	return &v
}

func (r *reader) commands(stream string, seq uint64, f *device.Commands, each func(*Entry)) {
	var many *Entry
	for i := range f.List {
		c := &f.List[i]
		r.remember(order{c.Slot, c.Seq, c.ID, c.Source}, asked{c.Power, c.Reason})
		if c.ID == "" && c.Verb == device.SetPower { // one of many of dispatch
			if many == nil {
				many = &Entry{Log: stream, Seq: seq, At: c.At, Kind: "command", Act: c.Verb.String(), Source: c.Source, Priority: c.Priority.String(), Reason: c.Reason}
			}
			item := DeviceEntry{Device: r.device(c.Slot), Asked: number(c.Power)}
			if c.Reason != many.Reason {
				item.Reason = c.Reason
			}
			many.Items = append(many.Items, item)
			continue
		}
		e := Entry{
			Log: stream, Seq: seq, At: c.At, Kind: "command", Device: r.device(c.Slot), Act: c.Verb.String(), Command: c.ID,
			Source: c.Source, Priority: c.Priority.String(), Reason: c.Reason, Duration: float64(c.Duration) / 1000,
		}
		e.setpoint(c.Verb, c.Mode)
		if c.Verb == device.SetPower {
			e.Asked = number(c.Power)
		}
		each(&e)
	}
	if many != nil {
		each(many)
	}
}

func (e *Entry) setpoint(v device.Verb, m device.Mode) {
	if v == device.SetMode {
		e.Mode = m.String()
	}
}

func (e *Entry) stood(a *device.Ack) {
	if a.Was.Known() {
		e.StateBefore, e.ModeBefore = a.Was.State().String(), a.Was.Mode().String()
	}
	if a.Is.Known() {
		e.StateAfter, e.ModeAfter = a.Is.State().String(), a.Is.Mode().String()
	}
}

func (r *reader) outcomes(stream string, seq uint64, f *device.Acks, each func(*Entry)) {
	var many *Entry
	for i := range f.List {
		a := &f.List[i]
		if a.Repeat { // said before
			continue
		}
		was, known := r.take(order{a.Slot, a.Seq, a.ID, a.Source})
		if a.ID == "" && a.Verb == device.SetPower && (many == nil || many.Source == a.Source) {
			if many == nil {
				many = &Entry{
					Log: stream, Seq: seq, At: a.At, Kind: "outcome", Act: a.Verb.String(), Source: a.Source, Priority: a.Priority.String(),
					Reason: was.reason, Outcome: a.Status.String(),
				}
			}
			item := DeviceEntry{Device: r.device(a.Slot), Before: number(a.Before), Code: a.Code, Reduced: a.Reduced, Text: a.Reason}
			if a.Status == device.Done {
				item.After = number(a.Power)
			}
			if known && (a.Reduced || a.Status != device.Done) {
				item.Asked = number(was.power)
			}
			if s := a.Status.String(); s != many.Outcome {
				item.Outcome = s
			}
			if was.reason != many.Reason {
				item.Reason = was.reason
			}
			many.Items = append(many.Items, item)
			continue
		}
		e := Entry{
			Log: stream, Seq: seq, At: a.At, Kind: "outcome", Device: r.device(a.Slot), Act: a.Verb.String(), Command: a.ID,
			Source: a.Source, Priority: a.Priority.String(), Reason: was.reason, Before: number(a.Before),
			Outcome: a.Status.String(), Code: a.Code, Reduced: a.Reduced, Text: a.Reason,
		}
		e.setpoint(a.Verb, a.Mode)
		e.stood(a)
		if a.Status == device.Done {
			e.After = number(a.Power)
		}
		if known && a.Verb == device.SetPower {
			e.Asked = number(was.power)
		}
		each(&e)
	}
	if many != nil {
		each(many)
	}
}

func (r *reader) remember(o order, a asked) {
	if _, again := r.open[o]; !again {
		r.queue = append(r.queue, o)
	}
	r.open[o] = a
	for len(r.open) > openBound || len(r.queue) > 2*openBound {
		delete(r.open, r.queue[0])
		r.queue = r.queue[1:]
	}
}

func (r *reader) take(o order) (asked, bool) {
	a, ok := r.open[o]
	delete(r.open, o)
	return a, ok
}

func (r *reader) meta(stream string, seq uint64, m *device.Meta) *Entry {
	key := record{m.Kind, m.Key}
	old, was := r.values[key]
	e := &Entry{Log: stream, Seq: seq, At: m.At, Kind: m.Kind, Subject: m.Key, Source: m.By, Old: public(old), New: public(m.Value)}
	if m.Kind == "device" {
		e.Device, e.Subject = m.Key, ""
	}
	switch {
	case len(m.Value) == 0:
		e.Act = "removed"
		delete(r.values, key)
	case was:
		e.Act = "changed"
	default:
		e.Act = "added"
	}
	if len(m.Value) > 0 {
		r.values[key] = bytes.Clone(m.Value)
	}
	if was && secretsDiffer(old, m.Value) {
		e.Text = "a secret was changed"
	}
	return e
}

// secret are the members of records that stay out of the audit.
var secret = []string{"password", "sha256", "secret", "hash", "token", "key", "credentials", "private"}

// maxValue is how large a record may be and still be kept as it is.
const maxValue = 16 << 10

// public is a record without its secrets, or what it was like where it is too large.
func public(value []byte) json.RawMessage {
	if len(value) == 0 {
		return nil
	}
	var members map[string]json.RawMessage
	err := json.Unmarshal(value, &members)
	if err == nil {
		for _, s := range secret {
			delete(members, s)
		}
		if value, err = json.Marshal(members); err == nil && len(value) <= maxValue {
			return value
		}
	}
	sum := sha256.Sum256(value)
	out, err := json.Marshal(struct {
		Bytes int    `json:"bytes"`
		Hash  string `json:"sha256"`
	}{len(value), hex.EncodeToString(sum[:])})
	if err != nil {
		panic(err) // a number and a string
	}
	return out
}

func secretsDiffer(old, now []byte) bool {
	var a, b map[string]json.RawMessage
	if json.Unmarshal(old, &a) != nil || json.Unmarshal(now, &b) != nil {
		return false
	}
	for _, s := range secret {
		if !bytes.Equal(a[s], b[s]) {
			return true
		}
	}
	return false
}

// line is the entry as it is kept and hashed: one line of JSON, without its newline.
func (e *Entry) line() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		panic(err) // numbers are finite, and what is raw was written by us
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

package device

import (
	"cmp"
	"slices"
)

// MaxRows is the most rows that one frame carries.
const MaxRows = 4096

// Frame is what travels on the bus and lies in the log: rows of one kind that
// belong together. The types below are all there are.
type Frame interface {
	// AppendBinary appends the frame's binary form, which DecodeFrame reads.
	AppendBinary(b []byte) []byte
	// Rows counts the rows.
	Rows() int
	kind() frameKind
}

// Readings is a frame of readings as columns of equal length; NaN means "not
// reported".
type Readings struct {
	Slot         []Slot
	At           []int64
	Arrived      []int64
	SoC          []float64
	SoH          []float64
	Voltage      []float64
	Current      []float64
	Power        []float64
	Temperature  []float64
	MaxCharge    []float64
	MaxDischarge []float64
	Frequency    []float64 // empty where no row has one; else 0 in the rows that have none
	Status       []Status
	Quality      []Quality
	Flags        []Flags
	Words        []Word // status words outside the vocabulary, by row, ascending
}

// Word is a status word outside the vocabulary.
type Word struct {
	Row  uint32
	Text string
}

// Rows counts the readings.
func (f *Readings) Rows() int { return len(f.Slot) }

// Reset empties the frame and keeps its memory.
func (f *Readings) Reset() {
	f.Slot, f.At, f.Arrived = f.Slot[:0], f.At[:0], f.Arrived[:0]
	f.SoC, f.SoH, f.Voltage, f.Current = f.SoC[:0], f.SoH[:0], f.Voltage[:0], f.Current[:0]
	f.Power, f.Temperature, f.MaxCharge, f.MaxDischarge = f.Power[:0], f.Temperature[:0], f.MaxCharge[:0], f.MaxDischarge[:0]
	f.Status, f.Quality, f.Flags, f.Words = f.Status[:0], f.Quality[:0], f.Flags[:0], f.Words[:0]
	f.Frequency = f.Frequency[:0]
}

// Append adds r as the last row.
func (f *Readings) Append(r *Reading) {
	if r.Status == OtherStatus && r.Word != "" {
		f.Words = append(f.Words, Word{uint32(len(f.Slot)), r.Word})
	}
	f.setFrequency(len(f.Slot), r.Frequency)
	f.Slot = append(f.Slot, r.Slot)
	f.At = append(f.At, r.At)
	f.Arrived = append(f.Arrived, r.Arrived)
	f.SoC = append(f.SoC, r.SoC)
	f.SoH = append(f.SoH, r.SoH)
	f.Voltage = append(f.Voltage, r.Voltage)
	f.Current = append(f.Current, r.Current)
	f.Power = append(f.Power, r.Power)
	f.Temperature = append(f.Temperature, r.Temperature)
	f.MaxCharge = append(f.MaxCharge, r.MaxCharge)
	f.MaxDischarge = append(f.MaxDischarge, r.MaxDischarge)
	f.Status = append(f.Status, r.Status)
	f.Quality = append(f.Quality, r.Quality)
	f.Flags = append(f.Flags, r.Flags)
}

// Row copies row i into r.
func (f *Readings) Row(i int, r *Reading) {
	// One by one, which takes half the time of a whole reading: that would be made elsewhere
	// and copied here.
	r.Slot, r.At, r.Arrived = f.Slot[i], f.At[i], f.Arrived[i]
	r.SoC, r.SoH, r.Voltage, r.Current, r.Power = f.SoC[i], f.SoH[i], f.Voltage[i], f.Current[i], f.Power[i]
	r.Temperature, r.MaxCharge, r.MaxDischarge = f.Temperature[i], f.MaxCharge[i], f.MaxDischarge[i]
	r.Status, r.Quality, r.Flags = f.Status[i], f.Quality[i], f.Flags[i]
	r.Word, r.Beyond, r.Own, r.Frequency = "", 0, nil, 0
	if len(f.Frequency) > 0 {
		r.Frequency = f.Frequency[i]
	}
	if r.Status == OtherStatus {
		r.Word = f.word(i)
	}
}

func (f *Readings) word(row int) string {
	i, ok := slices.BinarySearchFunc(f.Words, uint32(row), func(w Word, row uint32) int { return cmp.Compare(w.Row, row) })
	if !ok {
		return ""
	}
	return f.Words[i].Text
}

// Set overwrites row i with r. The word of an OtherStatus row stays what it was
// when the frame was built.
func (f *Readings) Set(i int, r *Reading) {
	f.Slot[i], f.At[i], f.Arrived[i] = r.Slot, r.At, r.Arrived
	f.SoC[i], f.SoH[i], f.Voltage[i], f.Current[i], f.Power[i] = r.SoC, r.SoH, r.Voltage, r.Current, r.Power
	f.Temperature[i], f.MaxCharge[i], f.MaxDischarge[i] = r.Temperature, r.MaxCharge, r.MaxDischarge
	f.Status[i], f.Quality[i], f.Flags[i] = r.Status, r.Quality, r.Flags
	f.setFrequency(i, r.Frequency)
}

// setFrequency gives row i, which may be the one after the last, a frequency or none.
func (f *Readings) setFrequency(i int, hz float64) {
	has := hz > 0 // NaN compares false
	if !has {
		hz = 0
	}
	if len(f.Frequency) == 0 {
		if !has {
			return
		}
		f.Frequency = slices.Grow(f.Frequency, cap(f.Slot))[:len(f.Slot)]
		clear(f.Frequency)
	}
	if i == len(f.Frequency) {
		f.Frequency = append(f.Frequency, hz)
		return
	}
	f.Frequency[i] = hz
}

// Commands is a frame of commands.
type Commands struct{ List []Command }

// Rows counts the commands.
func (f *Commands) Rows() int { return len(f.List) }

// Acks is a frame of acknowledgements.
type Acks struct{ List []Ack }

// Rows counts the acknowledgements.
func (f *Acks) Rows() int { return len(f.List) }

// Events is a frame of events.
type Events struct{ List []Event }

// Rows counts the events.
func (f *Events) Rows() int { return len(f.List) }

// Acts is a frame of acts.
type Acts struct{ List []Act }

// Rows counts the acts.
func (f *Acts) Rows() int { return len(f.List) }

// Act is something that somebody did or tried and that changes neither a device nor
// the configuration, such as a login. It is in the log for the audit, and nobody
// else hears of it.
type Act struct {
	Type    string // login, token-issued, refused …
	Source  string // who: user:<name>, device:<id>, token:<name>; may be empty
	From    string // the address it came from; may be empty
	Subject string // what it was about: user:<name>, token:<id>, a route
	Outcome string // done, failed, refused
	Text    string // for people
	At      int64  // ms UTC
}

// Writes is a frame of writes.
type Writes struct{ List []Write }

// Rows counts the writes.
func (f *Writes) Rows() int { return len(f.List) }

// Write is one value that was written, or is about to be written, to a device on a wire
// beside commands: a setting, or what a trial has tried on it. It is in the log for the
// audit. Asked, Before and After are in Unit, NaN for what nobody knows.
type Write struct {
	Slot   Slot
	At     int64  // ms UTC
	Act    string // adjusted, probed, restored
	What   string // the setting, or the register as its protocol names it; empty of work that is asked for
	Unit   string
	Asked  float64
	Before float64   // read before it was written
	After  float64   // read back
	Status AckStatus // 0: somebody asks for the work, and nothing has been written yet
	Source string    // who
	Reason string    // why
	Text   string    // what the device answered, or what is asked for
}

// Meta is one change of what the plant knows about itself: a device, a user, a
// token, the configuration. The newest Meta of a Kind and Key holds; an empty
// Value deletes it.
type Meta struct {
	Kind  string // device, user, token, setting
	Key   string
	Value []byte // JSON
	At    int64  // ms UTC
	By    string // who asked for it, for the audit: user:<name>, configuration; may be empty
}

// Rows is always 1.
func (f *Meta) Rows() int { return 1 }

// Truncate keeps the first n rows; words names the status words among them.
func (f *Readings) Truncate(n int, words []Word) {
	f.Slot, f.At, f.Arrived = f.Slot[:n], f.At[:n], f.Arrived[:n]
	f.SoC, f.SoH, f.Voltage, f.Current = f.SoC[:n], f.SoH[:n], f.Voltage[:n], f.Current[:n]
	f.Power, f.Temperature, f.MaxCharge, f.MaxDischarge = f.Power[:n], f.Temperature[:n], f.MaxCharge[:n], f.MaxDischarge[:n]
	f.Status, f.Quality, f.Flags, f.Words = f.Status[:n], f.Quality[:n], f.Flags[:n], words
	f.Frequency = f.Frequency[:min(n, len(f.Frequency))]
}

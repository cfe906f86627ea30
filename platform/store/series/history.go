package series

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"yunchu/platform/device"
)

// History is what the rest of the house asks of a store of readings. storetest
// holds its promises as a test suite.
type History interface {
	// Append takes the readings of log sequence seq. It is called in the order
	// of the log; a sequence that was there before is passed over. The frame may
	// be changed as soon as Append returns.
	Append(seq uint64, f *device.Readings)
	// Covered is the last log sequence whose readings are durable here, 0 for
	// none. The log may be trimmed up to and including it, and is replayed from
	// the one after it when the store was opened.
	Covered() uint64
	// Seal makes everything appended so far durable.
	Seal(ctx context.Context) error
	// SealIfDue begins to write what has waited long enough at now, and tiers of what is
	// past; it does not wait for it.
	SealIfDue(now time.Time)
	// Expire takes out what is kept no longer at now; it may go on behind. It returns how
	// many readings it knows of that are no longer served.
	Expire(now time.Time) (rows int64)
	// Settle returns when nothing is being written or is to be, or when an attempt to has
	// failed.
	Settle()
	// Query returns readings of one device, ascending in time.
	Query(ctx context.Context, q Query) (Page, error)
	// Aggregate answers what readings of many devices amount to in steps of time.
	Aggregate(ctx context.Context, q AggregateQuery) (AggregatePage, error)
	// Has reports whether there is a reading of the device at that time.
	Has(ctx context.Context, slot device.Slot, at int64) (bool, error)
	// Count counts the readings of the device in from ≤ t < to, one for each
	// time.
	Count(ctx context.Context, slot device.Slot, from, to int64) (int64, error)
	// Times calls yield with every time in from ≤ t < to at which the device has a
	// reading, ascending, until it returns false.
	Times(ctx context.Context, slot device.Slot, from, to int64, yield func(at int64) bool) error
	// Gaps are where readings of the device are known to be missing in from ≤ t < to.
	Gaps(slot device.Slot, from, to int64) ([]Gap, error)
	// Faults lists the damage that was found since the store was opened, and at opening.
	Faults() []Fault
	// Verify compares what is stored with what is known of it. What is damaged is
	// reported by Faults; the error is that of what could not be read, or ctx's.
	Verify(ctx context.Context) error
	// Close stops. What was not sealed is forgotten here and stays in the log.
	Close() error
}

// ErrAway: the store that keeps the history cannot be reached. What is acknowledged is in
// the log meanwhile.
var ErrAway = errors.New("history not reachable")

// Elsewhere is a History that another program keeps.
type Elsewhere interface {
	History
	Condition() Condition
}

// Condition is how such a store stands.
type Condition struct {
	Store  string    // its kind, such as postgres
	State  string    // ready, behind, away, refused
	Since  time.Time // it is in that state
	Behind uint64    // messages of the log that it does not have yet
	Error  string    // why it is away, or refused; empty else
}

// The states of a Condition.
const (
	Ready   = "ready"   // it has what is acknowledged, but for what is on its way
	Behind  = "behind"  // it catches up with the log
	Away    = "away"    // it does not answer
	Refused = "refused" // it answers and must not be used
)

// Holder is a History that keeps files which others may read.
type Holder interface {
	// Hold keeps every file where it is until release is called.
	Hold() (release func())
}

// MaxLimit is the most rows that one page of a query holds.
const MaxLimit = 10_000

// Fields selects quantities of a reading; its time, arrival, quality and flags
// come always.
type Fields uint16

// The quantities, named in the API as ParseField says.
const (
	SoC Fields = 1 << iota
	SoH
	Voltage
	Current
	Power
	Temperature
	MaxCharge
	MaxDischarge
	Status
	AllFields = 1<<iota - 1
)

var fieldNames = [...]string{"soc", "soh", "voltage", "current", "power", "temperature", "maxCharge", "maxDischarge", "status"}

// ParseField finds a quantity by its name in the API.
func ParseField(name string) (f Fields, ok bool) {
	for i, n := range fieldNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// ParseFields finds quantities by their names in the API, separated by commas.
func ParseFields(text string) (all Fields, err error) {
	for name := range strings.SplitSeq(text, ",") {
		f, ok := ParseField(name)
		if !ok {
			return 0, fmt.Errorf("there is no quantity %q; there are %s", name, strings.Join(fieldNames[:], ", "))
		}
		all |= f
	}
	return all, nil
}

// Name is the name in the API of a single field.
func (f Fields) Name() string { return fieldNames[bits.TrailingZeros16(uint16(f))] }

// Query asks for readings of one device with From ≤ t < To.
type Query struct {
	Slot     device.Slot
	From, To int64         // ms UTC
	Step     time.Duration // 0: as stored; else one row for each bucket of this length, at least 1 ms
	Fields   Fields        // 0: all
	Limit    int           // rows, 0 or more than MaxLimit: MaxLimit
	Cursor   string        // Next of the page before, empty for the first
	// Room is memory that the rows of the page may take, as far as it goes; its content is
	// of no use afterwards.
	Room []Row
}

// Row is one reading, or one bucket of them.
//
// A bucket begins at a multiple of the step since 1970 UTC, which is its At, and
// holds only readings inside the query's bounds: the arithmetic mean of each
// quantity over the readings that report it and are not bad (NaN when none does), the last
// status, the worst quality, all flags together, and the latest arrival. Buckets
// without readings are left out.
type Row struct {
	device.Reading
	Count int // readings behind the row; 1 without a step
}

// Page is a part of the answer. Next is the cursor of what follows, empty at the
// end; it is safe in a URL and stays valid while readings are appended and
// sealed.
type Page struct {
	Rows []Row
	Next string
	Gaps []Gap // where readings are known to be missing
}

// Cursor is the cursor of a page that begins at a time.
func Cursor(at int64) string { return "t" + strconv.FormatInt(at, 36) }

// ParseCursor is the time from which the page of a cursor begins; ErrQuery for what is
// none.
func ParseCursor(s string) (at int64, err error) {
	if len(s) > 1 && s[0] == 't' {
		if at, err = strconv.ParseInt(s[1:], 36, 64); err == nil {
			return at, nil
		}
	}
	return 0, fmt.Errorf("%w: cursor %q is not one of ours", ErrQuery, s)
}

// Bucket gathers the readings of one step into a Row.
type Bucket struct {
	row Row
	n   [values]int
}

// Open begins the bucket that starts at.
func (b *Bucket) Open(at int64) {
	*b = Bucket{}
	b.row.At = at
}

// Rows counts the readings in the bucket.
func (b *Bucket) Rows() int { return b.row.Count }

// Add takes a reading into the bucket.
func (b *Bucket) Add(r *device.Reading) {
	b.row.Count++
	b.row.Slot, b.row.Status, b.row.Word = r.Slot, r.Status, r.Word
	b.row.Arrived = max(b.row.Arrived, r.Arrived)
	b.row.Quality = max(b.row.Quality, r.Quality)
	b.row.Flags |= r.Flags
	if r.Quality == device.Bad { // it shows in the row's quality and flags, not in its mean
		return
	}
	sum, v := reported(&b.row.Reading), reported(r)
	for i := range v {
		if x := *v[i]; x == x {
			*sum[i] += x
			b.n[i]++
		}
	}
}

// addPart takes what a part of the step amounts to into the bucket.
func (b *Bucket) addPart(p *part) {
	b.row.Count += int(p.n)
	b.row.Slot, b.row.Status, b.row.Word = p.slot, p.status, p.word
	b.row.Arrived = max(b.row.Arrived, p.arrived)
	b.row.Quality = max(b.row.Quality, p.quality)
	b.row.Flags |= p.flags
	for i, sum := range reported(&b.row.Reading) {
		if v := &p.values[i]; v.n > 0 {
			*sum += v.sum
			b.n[i] += int(v.n)
		}
	}
}

// Close is the bucket as a row.
func (b *Bucket) Close() Row {
	sum := reported(&b.row.Reading)
	for i, n := range b.n {
		if n == 0 {
			*sum[i] = math.NaN()
		} else {
			*sum[i] /= float64(n)
		}
	}
	return b.row
}

// values is how many measured quantities a reading has.
const values = 8

// reported and measured list the quantities in the order of Fields.
func reported(r *device.Reading) [values]*float64 {
	return [...]*float64{&r.SoC, &r.SoH, &r.Voltage, &r.Current, &r.Power, &r.Temperature, &r.MaxCharge, &r.MaxDischarge}
}

func measured(f *device.Readings) [values]*[]float64 {
	return [...]*[]float64{&f.SoC, &f.SoH, &f.Voltage, &f.Current, &f.Power, &f.Temperature, &f.MaxCharge, &f.MaxDischarge}
}

// Floor is the multiple of step at or before t.
func Floor(t, step int64) int64 {
	if r := t % step; r > 0 {
		return t - r
	} else if r < 0 {
		return t - r - step
	}
	return t
}

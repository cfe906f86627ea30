package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"yunchu/platform/audit"
	"yunchu/platform/device"
	"yunchu/platform/ingest"
	"yunchu/platform/store/series"
)

// Plant is what the API needs of a running plant, one interface for each
// concern. One value may stand behind several of them. All are called by many
// goroutines at once; what has no context answers at once, also when the plant
// has stopped.
type Plant struct {
	Intake   Intake
	Registry Registry
	Latest   Latest
	History  History
	Control  Control
	Dispatch Dispatch
	System   System
	Live     Live
	Backup   Backup // may be nil
	Quality  Quality
	Audit    Audit // nil: the plant keeps none
}

// Errors that a plant answers with, beside those of device and bus.
var (
	// ErrInvalid: the request makes no sense to the plant; the text says why
	// and is shown to the sender.
	ErrInvalid = errors.New("invalid request")
	// ErrNotAvailable: the plant has no such thing, such as cleaned values of readings
	// that are too dense for it; the text is shown to the sender.
	ErrNotAvailable = errors.New("not available")
)

// Intake takes readings that devices send to us.
type Intake interface {
	// Normalise converts a reading as that device sends it to our units and our clock,
	// once, before anything else is done with it. The device need not be known.
	Normalise(id device.ID, r *device.Reading)
	// Push stores up to MaxReadings readings and returns nil when all are
	// durable; one that is stored already with the same values counts as
	// stored. Slots are known, values are as received. bus.ErrOverload asks the
	// sender to come back later; after any error the sender may send all again.
	// The rows belong to Push until it returns nil, and to it alone after an
	// error.
	Push(ctx context.Context, rows []device.Reading) error
}

// Registry knows the devices.
type Registry interface {
	// Slot finds a device by its id.
	Slot(id device.ID) (device.Slot, bool)
	// Device is what is known of the device in a slot.
	Device(s device.Slot) (device.Info, bool)
	// ReadByUs reports whether a driver of the plant reads the device. Nobody else
	// may speak for it.
	ReadByUs(s device.Slot) bool
	// Devices lists up to limit devices in the order of their ids, after one id.
	Devices(after device.ID, limit int) []device.Info
	// Register adds a device or changes what is known of it, and returns what
	// holds when it is durable. A new device, whose kind is empty, is one that
	// sends its readings to us, and gets a slot; a known one keeps its slot, kind
	// and state.
	Register(ctx context.Context, info device.Info) (device.Info, error)
	// Kept is what the guard keeps the device to now.
	Kept(ctx context.Context, s device.Slot) (Kept, error)
}

// Kept is the power that the guard would let a device have now, and the edges of windows that
// the device tells of itself and that act, NaN for all others.
type Kept struct {
	Envelope
	Own    device.OwnWindows
	Silent string // why its wire gives no reading; empty: it gives, or there is none
}

// Envelope is the power that a device may have now, kW, positive into it, and the limit that
// sets either side.
type Envelope struct {
	MinKW float64 `json:"minKw" doc:"most power out of it, as a number below 0"`
	MinBy string  `json:"minBy" doc:"the limit that sets it, such as rating, cap, device limit or state of charge low"`
	MaxKW float64 `json:"maxKw" doc:"most power into it"`
	MaxBy string  `json:"maxBy" doc:"the limit that sets it"`
}

// Latest knows the newest readings.
type Latest interface {
	// Latest is the newest reading by its own time, or the newest good one.
	Latest(s device.Slot, goodOnly bool) (device.Reading, bool)
	// Online reports whether the newest good reading is fresh enough to act on.
	Online(s device.Slot) bool
}

// Query asks for the readings of one device with From ≤ t < To.
type Query struct {
	Slot     device.Slot
	From, To int64         // ms UTC
	Step     time.Duration // 0: as stored; else one row for each step: means, the last status
	Fields   series.Fields // the quantities that are needed, others may be NaN; 0: all
	Limit    int           // rows, 1 … MaxPage
	Cursor   string        // Next of the page before, empty for the first
	Clean    bool          // cleaned, filled and fused values instead of received ones
	Room     []series.Row  // memory that the rows of the page may take, as far as it goes
}

// Page is a part of the answer, ascending. Next is the cursor of what follows,
// empty at the end, made of characters that are safe in a URL.
type Page struct {
	Rows    []series.Row
	Cleaned []ingest.Row // instead of Rows where the query asks for cleaned values
	Next    string
	Gaps    []series.Gap // where readings are known to be missing
}

// Quality knows what becomes of readings when they are cleaned, and what they amount to.
type Quality interface {
	// Cleaned is the newest reading by its own time, or the newest good one, cleaned;
	// false where there is none. What is newest may be cleaned otherwise once later
	// readings are there.
	Cleaned(ctx context.Context, s device.Slot, goodOnly bool) (ingest.Row, bool, error)
	// Features are those of the readings with from ≤ t < to. ErrInvalid for a time that
	// is too long.
	Features(ctx context.Context, s device.Slot, from, to int64) (Features, error)
}

// Features are what readings amount to, and where some are missing from that.
type Features struct {
	ingest.Features
	Gaps []series.Gap
}

// History knows the readings of the past.
type History interface {
	// Query answers q. ErrInvalid for a cursor that is not one of its own,
	// ErrNotAvailable for cleaned values where there are too many readings to clean,
	// series.ErrAway where the store is elsewhere and does not answer.
	Query(ctx context.Context, q Query) (Page, error)
	// Aggregate answers what readings amount to in steps of time. ErrInvalid for a
	// question that makes no sense.
	Aggregate(ctx context.Context, q series.AggregateQuery) (series.AggregatePage, error)
}

// Control commands devices.
type Control interface {
	// Command hands on c and waits for the acknowledgement until ctx ends; then
	// the command stays open and the error is ctx's. A command that is not
	// allowed, stale ones among them, is answered by an acknowledgement that
	// says so. An ID that was there before takes no effect again: the answer is
	// the first command's. device.ErrOffline when nobody serves the device.
	Command(ctx context.Context, c device.Command) (device.Ack, error)
}

// Settings are what an operator chooses for dispatch.
type Settings struct {
	Enabled  bool         `json:"enabled" doc:"whether dispatch sends commands"`
	Strategy string       `json:"strategy,omitempty" enum:"proportional,soc-balancing,cost,time-to-go" doc:"how the target is shared among the devices; only where dispatch is switched off it may be left out, and stays as it is"`
	TargetKW *float64     `json:"target_kw" required:"false" doc:"power of the fleet in kW, + charges; null: nothing is dispatched"`
	Schedule []Step       `json:"schedule,omitempty" maxItems:"10000" nullable:"false" doc:"ascending; rules over target_kw from its first step on"`
	Sites    []SiteTarget `json:"sites,omitempty" maxItems:"10000" nullable:"false" doc:"targets of sites beneath the fleet's; they rule over those of the configuration"`
}

// SiteTarget is what the devices behind one of the limits of dispatch are asked for together.
type SiteTarget struct {
	Name     string   `json:"name" doc:"of its limit in the configuration"`
	TargetKW *float64 `json:"target_kw" required:"false" doc:"power of its devices in kW, + charges; null: it shares in the fleet's target"`
	Schedule []Step   `json:"schedule,omitempty" maxItems:"10000" nullable:"false" doc:"ascending; rules over target_kw from its first step on"`
}

// Step is one step of a schedule: from At on the target is TargetKW.
type Step struct {
	At       time.Time `json:"at" doc:"RFC 3339"`
	TargetKW float64   `json:"target_kw" doc:"kW, + charges"`
}

// Dispatch has the operator's settings.
type Dispatch interface {
	Settings() Settings
	// Apply makes settings durable and puts them in force. ErrInvalid when they
	// cannot be, such as while a scenario drives.
	Apply(ctx context.Context, by string, s Settings) error
}

// About is what a plant says about itself.
type About struct {
	Name         string    `json:"name"`
	Version      string    `json:"version"`
	Tags         []string  `json:"tags" nullable:"false" doc:"build tags"`
	Simulation   bool      `json:"simulation" doc:"whether simulated devices may be served"`
	BinarySHA256 string    `json:"binary_sha256" doc:"of the running program"`
	Started      time.Time `json:"started"`
	Run          *Run      `json:"run" doc:"the scenario that drives the plant; null when none does"`
	Damage       []Damage  `json:"damage" nullable:"false" doc:"what of the stores is lost or is not what was written"`

	History *HistoryStore `json:"history,omitempty" doc:"the store of readings, where it is not in the data folder"`
}

// HistoryStore is how a store of readings that another program keeps stands.
type HistoryStore struct {
	Store  string    `json:"store" doc:"postgres"`
	State  string    `json:"state" enum:"ready,behind,away,refused" doc:"behind: it catches up with the log; away: it does not answer; refused: it answers and must not be used. Readings are taken in all of them"`
	Since  time.Time `json:"since" doc:"it is so"`
	Behind uint64    `json:"behind" doc:"messages of the log that it does not have yet"`
	Error  string    `json:"error,omitempty" doc:"why it is away, or refused"`
}

// Damage is a part of a store that is lost or is not what was written.
type Damage struct {
	Store        string    `json:"store" doc:"log.data.0, log.control, log.meta, history or state"`
	FromSequence uint64    `json:"from_sequence,omitempty" doc:"of the log; 0 where nobody can say"`
	ToSequence   uint64    `json:"to_sequence,omitempty"`
	Since        time.Time `json:"since,omitzero" doc:"it was written between since and until, as far as is known"`
	Until        time.Time `json:"until,omitzero"`
	What         string    `json:"what"`
	Found        time.Time `json:"found"`
	Fresh        bool      `json:"-"` // found by this process
}

// String says all of it in a line.
func (d Damage) String() string {
	s := d.Store + ": " + d.What
	if d.ToSequence > 0 {
		s += fmt.Sprintf(", sequences %d to %d", d.FromSequence, d.ToSequence)
	}
	if !d.Until.IsZero() {
		s += fmt.Sprintf(", written between %s and %s", d.Since.Format(time.RFC3339), d.Until.Format(time.RFC3339))
	}
	return s
}

// Run is the scenario that drives the plant.
type Run struct {
	Scenario string  `json:"scenario"`
	Clock    string  `json:"clock" enum:"virtual,wall"`
	Speed    float64 `json:"speed" doc:"plant seconds in a second of wall time"`
}

// System knows what runs here.
type System interface {
	About() About
	// Ready reports whether the log is replayed and the plant runs.
	Ready() bool
}

// Backup copies everything that a plant keeps.
type Backup interface {
	// Backup writes the archive to w, encrypted for the age recipient where there is one.
	// ErrInvalid for a recipient that is none and ErrNotAvailable where nothing is kept,
	// both before anything is written.
	Backup(ctx context.Context, w io.Writer, recipient string) error
}

// FleetState is the fleet in one moment. Powers in kW, + charges; NaN is a
// number that is not known.
type FleetState struct {
	Time                 int64 // ms UTC, plant time
	TargetKW             float64
	PowerKW              float64
	AvailableChargeKW    float64
	AvailableDischargeKW float64
	ShortfallKW          float64
	Reason               string // of the shortfall; empty: none
	SoCMean              float64
	SoCMin               float64
	SoCP5                float64
	SoCP95               float64
	SoCMax               float64 // percent
	TemperatureMaxC      float64
	Online               int
	Devices              int
	CommandsPerS         float64
	Interventions        int64   // of the guard, since the start
	Speed                float64 // plant seconds in a second of wall time
}

// Score is one figure of the scenario that runs.
type Score struct {
	Metric string
	Stat   string
	Value  float64 // NaN: not known yet
	Unit   string
	Limit  string // such as "<= 0.02"; empty: none
	Pass   *bool  // nil: not decided yet
}

// Live is what the WebSocket tells beside the frames of the bus.
type Live interface {
	Fleet() FleetState
	Scores() []Score
}

// Audit is what was done and by whom, as the leaves of a Merkle tree.
type Audit interface {
	Query(q audit.Query) (audit.Page, error)
	Checkpoint() (c audit.Checkpoint, signed []byte, key string)
	Inclusion(n, size int64) ([]tlog.Hash, error)
	Consistency(from, size int64) ([]tlog.Hash, error)
}

package accept

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"

	"yunchu/harness/backend"
	"yunchu/harness/metric"
	"yunchu/platform/device"
)

var nan = math.NaN()

// Record is what one test left: all that judgements rest on.
type Record struct {
	Test      string
	Begin     time.Time
	End       time.Time
	Period    time.Duration // of readings, as asked for
	RefPeriod time.Duration // of the reference
	RatedKW   float64
	RatedKWh  float64
	Usable    float64       // of it, within the window of charge that the device states
	VoltStep  float64       // V, in which its battery's voltage is written; 0: nobody says so
	MaxAge    time.Duration // of a reading in a measure
	Parts     bool          // the device is read over several wires
	Kind      string        // of the device, as its entry says

	Samples   []device.Reading
	Reference []backend.Truth
	Skews     []time.Duration // by which the times of these cannot be; below 0: they are too early
	Apart     float64         // parts of the rated power that the reference may be apart from the device
	Reactive  []metric.Point  // s since Begin, kvar, above zero absorbed: what the device shows
	Setpoints []metric.Point  // s since Begin, kW: what was asked for, each until the next
	Let       []float64       // s since Begin: when one was not renewed any more, and none was in its place
	Windows   []*Window
	Exchanges []Exchange
	Events    []device.Event
	Notes     []string // what happened that people should know

	Unfinished string // how the device was not left as it was to be left
	Unrest     string // that by its own fresh readings it is not at rest
	// Pauses are when this machine did not get to its work: s since Begin, and for how long.
	Pauses []metric.Point

	Aborted string // why the test was not done to its end; empty: it was
	Found   Found

	// Silent is what the gateway told of the device's silence before the test; empty: it
	// answered.
	Silent string

	// Barred is why the guard has taken the device away in the midst of the test; empty: it
	// has not.
	Barred string

	// SignWrong: the guard's sign test found that power or current runs against the
	// setpoint. That is a finding about the rig, not a gap.
	SignWrong bool
	// Other: it is armed by nobody, since it differs from the twin of its model.
	Other bool

	power, truth []metric.Point // made once, by settle
	refOff       float64        // s that the reference's clock is ahead, beyond its period
	heard        []metric.Point // power, each at the time at which the reading was there
}

// settle puts the readings into the order of their own times, when all have come.
func (r *Record) settle() {
	slices.SortStableFunc(r.Samples, func(a, b device.Reading) int { return cmp.Compare(a.At, b.At) })
	r.clock()
	r.power, r.truth = r.points(power), r.reference(truePower)
	r.heard = r.heard[:0]
	for i := range r.Samples {
		if s := &r.Samples[i]; !math.IsNaN(power(s)) {
			r.heard = append(r.heard, metric.Point{T: r.atMS(max(s.At, s.Arrived)), V: power(s)})
		}
	}
	slices.SortStableFunc(r.heard, func(a, b metric.Point) int { return cmp.Compare(a.T, b.T) })
}

// samples are the readings from a to b, s since the beginning.
func (r *Record) samples(a, b float64) []device.Reading {
	lo := sort.Search(len(r.Samples), func(i int) bool { return r.atMS(r.Samples[i].At) >= a-1e-9 })
	hi := sort.Search(len(r.Samples), func(i int) bool { return r.atMS(r.Samples[i].At) > b+1e-9 })
	return r.Samples[lo:max(lo, hi)]
}

// Found are the preconditions as they were found.
type Found struct {
	SoC   float64 // percent; NaN: not looked at
	Age   time.Duration
	Quiet time.Duration
}

// Exchange is one exchange with a device on a wire.
type Exchange struct {
	Took time.Duration
	Err  error
}

// Window is one measure: a stretch of the test, and what was asked for in it.
type Window struct {
	*Measure
	Label  string
	T0     time.Time // when the command was issued
	End    time.Time
	ToKW   float64 // what was asked for; NaN: nothing
	Ack    time.Time
	AckKW  float64 // what the device holds, by its acknowledgement
	Issued bool    // a command belongs to it

	Skipped  string   // why the step was left out; empty: it was done
	Doubts   []string // why what it measured may not be judged
	beside   bool     // as the reference sees it, judged beside the device
	apart    float64  // of the rated power, that it may be apart from the device then
	Accepted int      // of kind refused
	Tried    int
	Trials   []device.Trial
	Settings []SettingTrial
	Came     int64 // frames that the device sends by itself
	Lost     int64
	From, To int // exchanges of the record that belong to it
}

// SettingTrial is a setting that was written and put back.
type SettingTrial struct {
	Name, Unit          string
	Before, Wrote, Read float64
	Restored            float64
	Err                 string // of the device or the driver
}

// OK reports whether the setting took the value and was restored.
func (s *SettingTrial) OK() bool { return s.Err == "" }

// unfinished notes that a test has not left the device as it was to be left: at rest, and
// with what was changed put back.
func (r *Record) unfinished(why string) {
	r.note(why)
	if r.Unfinished == "" {
		r.Unfinished = why
	}
}

// note remembers what people should know, once.
func (r *Record) note(what string) {
	if !slices.Contains(r.Notes, what) {
		r.Notes = append(r.Notes, what)
	}
}

func (w *Window) doubt(why string) {
	if !slices.Contains(w.Doubts, why) {
		w.Doubts = append(w.Doubts, why)
	}
}

// at is an instant in s since the beginning of the test.
func (r *Record) at(t time.Time) float64 { return t.Sub(r.Begin).Seconds() }

// paused is the longest pause of this machine that touches a to b, in s.
func (r *Record) paused(a, b float64) (longest float64) {
	for _, p := range r.Pauses {
		if p.T < b && p.T+p.V > a {
			longest = max(longest, p.V)
		}
	}
	return longest
}

func (r *Record) atMS(ms int64) float64 { return r.at(device.Time(ms)) }

// points are a channel of the readings over the whole test.
func (r *Record) points(of func(*device.Reading) float64) []metric.Point {
	out := make([]metric.Point, 0, len(r.Samples))
	for i := range r.Samples {
		if v := of(&r.Samples[i]); !math.IsNaN(v) {
			out = append(out, metric.Point{T: r.atMS(r.Samples[i].At), V: v})
		}
	}
	return out
}

// reference are what the reference shows over the whole test, its clock put right.
func (r *Record) reference(of func(*backend.Truth) float64) []metric.Point {
	out := make([]metric.Point, 0, len(r.Reference))
	for i := range r.Reference {
		out = append(out, metric.Point{T: r.at(r.Reference[i].At) - r.refOff, V: of(&r.Reference[i])})
	}
	return out
}

func power(r *device.Reading) float64 { return r.Power }

func truePower(t *backend.Truth) float64 { return t.PowerKW }

// within are the points from a to b, both s since the beginning, both included.
func within(pts []metric.Point, a, b float64) []metric.Point {
	lo := sort.Search(len(pts), func(i int) bool { return pts[i].T >= a-1e-9 })
	hi := sort.Search(len(pts), func(i int) bool { return pts[i].T > b+1e-9 })
	return pts[lo:max(lo, hi)]
}

func point(t, v float64) metric.Point { return metric.Point{T: t, V: v} }

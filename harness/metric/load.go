package metric

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// answeredMS is within what an answer must come to count as available.
	answeredMS = 1000
	// windows is how many stretches of time a load is shown in at most, of a second or more.
	windows = 600
	// windowMaxUS is the longest latency that the percentiles of a window tell apart.
	windowMaxUS = 60_000_000
)

// Answer is how one request of a load ended. What a subscriber receives is one
// too: its latency is the age of what arrived.
type Answer struct {
	DueS    float64 // s from the begin of the load to when it was due
	MS      float64 // from then to its answer, or to giving up
	Code    string  // why it is an error; empty: answered 2xx
	Items   int64   // readings that it had taken, or that it brought
	Ramp    bool    // it was due before the load had its full rate
	Dropped bool    // it was never sent: too much was in the way
}

// Load is what one load generator saw. Workers may each fill their own and
// merge them; a Load is not safe for concurrent use.
type Load struct {
	latency   *Dist
	late      *Dist
	sent, ok  int64
	available int64
	dropped   int64
	full      int64 // answered of those that were due at the full rate
	items     int64 // of those
	codes     map[string]int64
	seconds   float64 // at the full rate
	users     int64
	width     float64 // s of a window; 0: none are kept
	window    []window
}

// window is a stretch of time.
type window struct {
	due, ok, errors int64
	latency         *hdrhistogram.Histogram // µs
}

// NewLoad makes an empty one.
func NewLoad() *Load {
	return &Load{latency: NewLatency(), late: NewLatency(), codes: map[string]int64{}}
}

// Watch keeps the figures of every second of a load of so many seconds, of a
// longer stretch where there would be too many.
func (l *Load) Watch(seconds float64) {
	l.width = max(1, math.Ceil(seconds/windows))
}

// Request records one request. Its time counts from when it was due to be sent,
// not from when it was, which would hide a stalled server.
func (l *Load) Request(a Answer) {
	l.sent++
	l.latency.Add(a.MS)
	if a.Dropped {
		l.dropped++
	}
	w := l.at(a.DueS)
	if w != nil {
		w.due++
		_ = w.latency.RecordValue(min(max(int64(a.MS*1000), 1), windowMaxUS)) // within its range
	}
	if a.Code != "" {
		l.codes[a.Code]++
		if w != nil {
			w.errors++
		}
		return
	}
	l.ok++
	if w != nil {
		w.ok++
	}
	if !a.Ramp {
		l.full++
		l.items += a.Items
	}
	if a.MS <= answeredMS {
		l.available++
	}
}

// at is the window of an instant.
func (l *Load) at(s float64) *window {
	if l.width == 0 || !(s >= 0) {
		return nil
	}
	i := min(int(s/l.width), 2*windows) // what is that late shares the last one
	for len(l.window) <= i {
		l.window = append(l.window, window{latency: hdrhistogram.New(1, windowMaxUS, 2)})
	}
	return &l.window[i]
}

// Late records how long after its instant the generator itself came to send a
// request while nothing was in its way. A generator that is late does not put on
// the load that it claims.
func (l *Load) Late(ms float64) { l.late.Add(ms) }

// Ran records for how long the generator ran at its full rate and its largest
// number of concurrent users.
func (l *Load) Ran(seconds float64, users int64) {
	l.seconds = max(l.seconds, seconds)
	l.users = max(l.users, users)
}

// Merge adds what another worker of the same generator saw at the same time.
func (l *Load) Merge(o *Load) {
	l.latency.Merge(o.latency)
	l.late.Merge(o.late)
	l.sent += o.sent
	l.ok += o.ok
	l.available += o.available
	l.dropped += o.dropped
	l.full += o.full
	l.items += o.items
	for code, n := range o.codes {
		l.codes[code] += n
	}
	if l.width == 0 {
		l.width = o.width
	}
	for i := range o.window {
		w, from := l.at((float64(i)+0.5)*o.width), &o.window[i]
		w.due, w.ok, w.errors = w.due+from.due, w.ok+from.ok, w.errors+from.errors
		w.latency.Merge(from.latency)
	}
	l.Ran(o.seconds, o.users)
}

// Counts are the totals of a load.
type Counts struct {
	Sent, OK, Dropped, Users int64
	Readings                 int64   // taken or brought, at the full rate
	Seconds                  float64 // at the full rate
	PerS                     float64 // answered, at the full rate
	Errors                   map[string]int64
}

// Counts returns them.
func (l *Load) Counts() Counts {
	return Counts{
		Sent: l.sent, OK: l.ok, Dropped: l.dropped, Users: l.users, Readings: l.items, Seconds: l.seconds,
		PerS: ratio(float64(l.full), l.seconds), Errors: maps.Clone(l.codes),
	}
}

// Latency is the distribution of latencies, Lateness that of what [Load.Late] was told. Milliseconds.
func (l *Load) Latency() *Dist { return l.latency }

// Lateness is the distribution of the generator's own delays, ms.
func (l *Load) Lateness() *Dist { return l.late }

// LoadSeries is a load over time, columns of equal length. Rates are per second;
// what was due in a window counts there, whenever it was answered. Latencies are
// ms, NaN in a window without requests.
type LoadSeries struct {
	T                     []float64 // s from the begin of the load to the middle of the window
	Due, Answered, Errors []float64
	P50, P90, P99, Max    []float64
}

// Series returns it.
func (l *Load) Series() LoadSeries {
	var s LoadSeries
	for i := range l.window {
		w := &l.window[i]
		q := func(p float64) float64 {
			if w.latency.TotalCount() == 0 {
				return math.NaN()
			}
			return float64(w.latency.ValueAtQuantile(p)) / 1000
		}
		s.T = append(s.T, (float64(i)+0.5)*l.width)
		s.Due = append(s.Due, float64(w.due)/l.width)
		s.Answered = append(s.Answered, float64(w.ok)/l.width)
		s.Errors = append(s.Errors, float64(w.errors)/l.width)
		s.P50, s.P90 = append(s.P50, q(50)), append(s.P90, q(90))
		s.P99, s.Max = append(s.P99, q(99)), append(s.Max, q(100))
	}
	return s
}

// ErrorCodes are the codes of errors, the most frequent first.
func (c Counts) ErrorCodes() []string {
	return slices.SortedFunc(maps.Keys(c.Errors), func(a, b string) int {
		if d := c.Errors[b] - c.Errors[a]; d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
}

func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// load splits api.<load>.<field>; the name of a load may contain dots.
func (c *Collector) load(metric string) (*Load, string) {
	rest, ok := strings.CutPrefix(metric, "api.")
	i := strings.LastIndexByte(rest, '.')
	if !ok || i < 0 {
		return nil, ""
	}
	for k, n := range c.names {
		if n == rest[:i] {
			return c.loads[k], rest[i+1:]
		}
	}
	return nil, rest[i+1:]
}

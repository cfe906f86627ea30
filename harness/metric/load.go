package metric

import "strings"

// answeredMS is within what an answer must come to count as available.
const answeredMS = 1000

// Load is what one load generator saw. Workers may each fill their own and
// merge them; a Load is not safe for concurrent use.
type Load struct {
	latency   *Dist
	sent, ok  int64
	available int64
	seconds   float64
	users     int64
}

// NewLoad makes an empty one.
func NewLoad() *Load { return &Load{latency: NewLatency()} }

// Request records one request: the time from when it was due to be sent (not
// from when it was, which would hide a stalled server) to its answer or to
// giving up, and whether it was answered 2xx.
func (l *Load) Request(ms float64, ok bool) {
	l.sent++
	l.latency.Add(ms)
	if !ok {
		return
	}
	l.ok++
	if ms <= answeredMS {
		l.available++
	}
}

// Ran records for how long the generator ran and its largest number of
// concurrent users.
func (l *Load) Ran(seconds float64, users int64) {
	l.seconds = max(l.seconds, seconds)
	l.users = max(l.users, users)
}

// Merge adds what another worker of the same generator saw at the same time.
func (l *Load) Merge(o *Load) {
	l.latency.Merge(o.latency)
	l.sent += o.sent
	l.ok += o.ok
	l.available += o.available
	l.Ran(o.seconds, o.users)
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

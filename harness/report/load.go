package report

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"yunchu/harness/metric"
	"yunchu/harness/scenario"
)

// LoadResult is one load of a run, with its totals.
type LoadResult struct {
	Name    string  `json:"name"`
	API     string  `json:"api"`
	Shape   string  `json:"shape"`   // in words: users, rate, how long
	Begin   float64 `json:"begin_s"` // s since the start
	Users   int64   `json:"users"`   // connected
	Sent    int64   `json:"requests"`
	OK      int64   `json:"answered"`
	Dropped int64   `json:"dropped"`        // never sent: the one before was 10 s late
	PerS    float64 `json:"rate_per_s"`     // answered, after the ramp
	Reading float64 `json:"readings_per_s"` // taken or delivered, after the ramp

	Latency Percentiles      `json:"latency_ms"`
	Late    Percentiles      `json:"generator_late_ms"`
	Errors  map[string]int64 `json:"errors,omitempty"` // by code

	Series metric.LoadSeries `json:"-"` // for the plots
	codes  []string
}

// Percentiles are those of a report of load, ms; all 0 where there was nothing.
type Percentiles struct {
	N    int64   `json:"n"`
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	Med  float64 `json:"med"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func percentiles(d *metric.Dist) Percentiles {
	if d.N() == 0 {
		return Percentiles{}
	}
	return Percentiles{
		d.N(), d.Quantile(0), d.Mean(), d.Quantile(0.5), d.Quantile(0.9), d.Quantile(0.95),
		d.Quantile(0.99), d.Quantile(0.999), d.Quantile(1),
	}
}

// LoadOf takes from what a load has seen what a report shows.
func LoadOf(name, api, shape string, begin time.Duration, l *metric.Load) LoadResult {
	c := l.Counts()
	out := LoadResult{
		Name: name, API: api, Shape: shape, Begin: begin.Seconds(), Users: c.Users, Sent: c.Sent, OK: c.OK, Dropped: c.Dropped,
		PerS: c.PerS, Latency: percentiles(l.Latency()), Late: percentiles(l.Lateness()), Errors: c.Errors, Series: l.Series(), codes: c.ErrorCodes(),
	}
	if c.Seconds > 0 {
		out.Reading = float64(c.Readings) / c.Seconds
	}
	return out
}

// OnTimeMS is how late a generator may be at the 99th percentile and still claim
// the load that it was to put on: half of what an answer may take.
const OnTimeMS = 50

// OnTime is the check that the generators kept up. One that did not has not shown
// that the plant fails, nor that it does not.
func OnTime(loads []LoadResult) Check {
	c := Check{Name: scenario.CheckOnTime, Pass: true, Detail: "requests were sent when they were due"}
	worst := -1.0
	for i := range loads {
		l := &loads[i]
		if l.Late.N == 0 || l.Late.P99 <= worst {
			continue
		}
		worst = l.Late.P99
		c.Detail = fmt.Sprintf("the generator was late by %.3g ms (p99, load %s), at most %d", worst, l.Name, OnTimeMS)
	}
	if worst > OnTimeMS {
		c.Pass, c.Inconclusive = false, true
	}
	return c
}

// timed are the metrics that a machine which stands still makes worse.
var timed = []string{"api.", "availability_percent", "sync.delay_ms", "command.latency_ms", "control.jitter_ms"}

// Excuse makes what a generator that was late has let fail inconclusive: it
// measured itself, or the machine that it shares with the plant.
func Excuse(c Check, scores []Score) {
	if !c.Inconclusive {
		return
	}
	for i := range scores {
		s := &scores[i]
		if s.state() == Failed && slices.ContainsFunc(timed, func(prefix string) bool { return strings.HasPrefix(s.Metric, prefix) }) {
			s.Inconclusive, s.Note = true, c.Detail
		}
	}
}

// text is a load as people read it on a terminal.
func (l *LoadResult) text(b *strings.Builder, p painter) {
	fmt.Fprintf(b, "\n  %s  %s\n", p.paint("1", "load "+l.Name), p.paint("2", l.API+" · "+l.Shape))
	row := func(name, format string, args ...any) {
		dots := strings.Repeat(".", max(26-utf8.RuneCountInString(name), 2))
		fmt.Fprintf(b, "    %s%s: %s\n", name, p.paint("2", dots), fmt.Sprintf(format, args...))
	}
	failed := l.Sent - l.OK
	row("requests", "%s   %s/s answered   ✓ %s   ✗ %s", count(l.Sent), num(l.PerS), count(l.OK), count(failed))
	row("users", "%s", count(l.Users))
	if l.Reading > 0 {
		row("readings", "%s/s", num(l.Reading))
	}
	if x := l.Latency; x.N > 0 {
		row("latency_ms", "min=%s med=%s p90=%s p95=%s p99=%s p99.9=%s max=%s", num(x.Min), num(x.Med), num(x.P90), num(x.P95), num(x.P99), num(x.P999), num(x.Max))
	}
	if x := l.Late; x.N > 0 {
		row("generator_late_ms", "med=%s p99=%s max=%s", num(x.Med), num(x.P99), num(x.Max))
	}
	row("dropped", "%s", count(l.Dropped))
	for i, code := range l.codes {
		if i == 10 {
			row("errors", "%d more kinds", len(l.codes)-i)
			break
		}
		row("errors "+code, "%s", count(l.Errors[code]))
	}
}

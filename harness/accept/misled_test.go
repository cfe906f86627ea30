package accept_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/report"
	"yunchu/platform/device"
)

// powers has a device do something else from a moment on, given in s.
func powers(from float64, kw func(t float64) float64) func(*accept.Record) {
	return func(r *accept.Record) {
		for i := range r.Samples {
			s := &r.Samples[i]
			if t := device.Time(s.At).Sub(origin).Seconds(); t >= from {
				s.Power = kw(t)
			}
		}
	}
}

func constant(kw float64) func(float64) float64 { return func(float64) float64 { return kw } }

// limited has a device with so much power before and under a limit, all in kW.
func limited(limit, before, under float64) func(*accept.Record) {
	return func(r *accept.Record) {
		w := window("limit", 10, 30)
		w.After, w.LimitKW = 4*time.Second, limit
		r.Windows = []*accept.Window{w}
		powers(0, constant(before))(r)
		powers(10, constant(under))(r)
	}
}

// zeroed takes away what a device has of 50 kW.
func zeroed(kw float64) func(*accept.Record) {
	return func(r *accept.Record) {
		r.Windows = []*accept.Window{window("zero", 10, 30)}
		r.Setpoints[0].T, r.Setpoints[0].V = 2, 50
		powers(0, constant(kw))(r)
		powers(10, constant(0))(r)
	}
}

// twice adds a window in which the device is at rest, and changes it.
func twice(change func(w *accept.Window)) func(*accept.Record) {
	return func(r *accept.Record) {
		w := window("step", 2, 9)
		change(w)
		r.Windows = append(r.Windows, w)
	}
}

// TestBadDevicesDoNotPass: what a device does beside what a limit looks at first.
func TestBadDevicesDoNotPass(t *testing.T) {
	doubted := func(w *accept.Window) { w.Doubts = []string{"the guard has set it to 0 kW"} }
	for _, tt := range []struct {
		name   string
		change func(*accept.Record)
		metric string
		limit  string
		want   report.Verdict
		note   string
	}{
		{"swings about its setpoint once it was settled", powers(17, func(t float64) float64 { return 100 + 9*math.Sin(10*t) }), "settling_time_s", "<= 2", report.Failed, "not within"},
		{"drops out once it was settled", powers(29, constant(0)), "settled", "== 1", report.Failed, ""},
		{"stays", powers(29, constant(99)), "settled", "== 1", report.Passed, ""},
		{"a limit that was never reached", limited(66, 30, 30), "exceeding_samples", "< 5", report.Inconclusive, "not shown"},
		{"a limit that holds it", limited(66, 100, 66), "exceeding_samples", "< 5", report.Passed, ""},
		{"a limit of nothing after another", limited(0, 33, 0), "exceeding_samples", "< 5", report.Passed, ""},
		{"a limit that it keeps by more than it must", limited(66, 100, 30), "exceeding_samples", "< 5", report.Passed, ""},
		{"a limit under which it has gone to rest", limited(66, 100, 0), "exceeding_samples", "< 5", report.Inconclusive, "at rest"},
		{"a limit that it does not keep", limited(33, 100, 66), "exceeding_samples", "< 5", report.Failed, ""},
		{"power that was not there to be taken away", zeroed(2), "zero_time_s", "<= 1", report.Inconclusive, "it had 2 kW"},
		{"power that was taken away", zeroed(50), "zero_time_s", "<= 1", report.Passed, ""},
		{"a window that failed beside one in doubt", twice(doubted), "response_time_s", "<= 0.5", report.Failed, ""},
		{"a window in doubt, and none that failed", twice(doubted), "response_time_s", "<= 2", report.Inconclusive, "the guard"},
		{"a window that failed beside one without data", twice(func(w *accept.Window) { w.T0, w.End = origin.Add(-9*time.Second), origin.Add(-5*time.Second) }), "response_time_s", "<= 0.5", report.Failed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := ramped(50*time.Millisecond, 0.1, 100)
			tt.change(r)
			j := accept.Judge(limit(t, "m", tt.metric, tt.limit), r)[0]
			if j.Verdict != tt.want || !strings.Contains(j.Note, tt.note) {
				t.Errorf("%s %s: %v ± %v is %s (%s), want %s with %q", tt.metric, tt.limit, j.Value, j.Res, j.Verdict, j.Note, tt.want, tt.note)
			}
		})
	}
}

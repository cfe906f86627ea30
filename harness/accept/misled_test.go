package accept_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/backend"
	"yunchu/harness/metric"
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

// again asks for 100 kW once more at 20 s of a device that is at rest, and slow; what it had before
// was let go at these times.
func again(let ...float64) func(*accept.Record) {
	return func(r *accept.Record) {
		r.Setpoints = append(r.Setpoints, metric.Point{T: 20, V: 100})
		r.Let = let
		w := window("trip", 20, 30)
		w.ToKW = 100
		r.Windows = []*accept.Window{w}
		powers(15, func(t float64) float64 { return min(max(t-21, 0)*50, 100) })(r)
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

// shown has the bench's reference show a power, every so often.
func shown(every time.Duration, kw func(t float64) float64) func(*accept.Record) {
	return func(r *accept.Record) {
		r.RefPeriod = every
		for at := time.Duration(0); at <= 30*time.Second; at += every {
			r.Reference = append(r.Reference, backend.Truth{At: origin.Add(at), PowerKW: kw(at.Seconds())})
		}
	}
}

// step is a power that goes to kw from a moment on with a slope, s and kW/s.
func step(from, slope, kw float64) func(float64) float64 {
	return func(t float64) float64 { return min(max(t-from, 0)*slope, kw) }
}

// echoes has a device report its setpoint as its power at once, and the reference show another.
func echoes(every time.Duration, kw func(t float64) float64) func(*accept.Record) {
	return func(r *accept.Record) {
		powers(0, step(10, 1e9, 100))(r)
		shown(every, kw)(r)
	}
}

// held is echoes of power that is held for 20 s.
func held(kw float64) func(*accept.Record) {
	return func(r *accept.Record) {
		echoes(50*time.Millisecond, step(10, 1e9, kw))(r)
		r.Windows[0].Kind, r.Windows[0].After = "hold", 5*time.Second
	}
}

// later changes a record after another change.
func later(a, b func(*accept.Record)) func(*accept.Record) {
	return func(r *accept.Record) { a(r); b(r) }
}

// clocked has the clock of the reference off by a time.
func clocked(by time.Duration) func(*accept.Record) {
	return func(r *accept.Record) {
		for i := range r.Reference {
			r.Reference[i].At = r.Reference[i].At.Add(by)
			r.Skews = append(r.Skews, by)
		}
	}
}

// tracked is a signal of 100 kW that is followed with a power, and the reference with another,
// which it may be 3 % apart by.
func tracked(kw, ref float64) func(*accept.Record) {
	return func(r *accept.Record) {
		r.Apart = 0.03
		r.Windows[0].Kind = "tracking"
		powers(10, constant(kw))(r)
		shown(50*time.Millisecond, until(10, 0, ref))(r)
	}
}

func apartBy(parts float64) func(*accept.Record) {
	return func(r *accept.Record) { r.Apart = parts }
}

// unseen takes away what the reference showed from one moment to another, s.
func unseen(from, to float64) func(*accept.Record) {
	return func(r *accept.Record) {
		r.Reference = slices.DeleteFunc(r.Reference, func(x backend.Truth) bool {
			at := x.At.Sub(origin).Seconds()
			return at > from && at < to
		})
	}
}

// stepped is a second step, from 100 to 50 kW at 20 s, that a device follows with a power, and the
// reference with another.
func stepped(kw, ref func(float64) float64) func(*accept.Record) {
	return func(r *accept.Record) {
		r.Setpoints = append(r.Setpoints, metric.Point{T: 20, V: 50})
		w := window("step", 20, 30)
		w.ToKW = 50
		r.Windows = []*accept.Window{w}
		powers(10, kw)(r)
		if ref != nil {
			shown(50*time.Millisecond, ref)(r)
		}
	}
}

// unread takes away the device's readings from one moment to another, s.
func unread(from, to float64) func(*accept.Record) {
	return func(r *accept.Record) {
		r.Samples = slices.DeleteFunc(r.Samples, func(s device.Reading) bool {
			at := device.Time(s.At).Sub(origin).Seconds()
			return at > from && at < to
		})
	}
}

// until is one power up to a moment, in s, and another from then on.
func until(from, before, then float64) func(float64) float64 {
	return func(t float64) float64 {
		if t < from {
			return before
		}
		return then
	}
}

// TestBadDevicesDoNotPass: what a device does beside what a limit looks at first.
func TestBadDevicesDoNotPass(t *testing.T) {
	const fine = 50 * time.Millisecond
	before := func(w *accept.Window) { *w = *window("step", 10, 25) }
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
		{"the same, and stayed before", later(powers(29, constant(0)), twice(before)), "settled", "== 1", report.Failed, ""},
		{"the same, told in the other order", later(later(powers(29, constant(0)), twice(before)), func(r *accept.Record) { slices.Reverse(r.Windows) }), "settled", "== 1", report.Failed, ""},
		{"stays, twice", later(powers(29, constant(99)), twice(before)), "settled", "== 1", report.Passed, ""},
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
		{"80 % of its setpoint behind a report of all of it", echoes(fine, step(10, 1e9, 80)), "deviation_percent", "<= 2", report.Failed, "device 0 %, reference 20"},
		{"the same, when it is to be there in time", echoes(fine, step(10, 1e9, 80)), "response_time_s", "<= 2", report.Failed, "reference not reached"},
		{"the same, when it is held", held(80), "deviation_percent", "<= 2", report.Failed, "reference 20"},
		{"more than it is to have", held(110), "max_error_percent", "<= 5", report.Failed, "reference 10"},
		{"the other direction than it says", held(-100), "wrong_sign", "== 0", report.Failed, "device 0, reference"},
		{"a direction in which the reference sees no power", held(1), "wrong_sign", "== 0", report.Inconclusive, "the reference saw no more than 1 kW"},
		{"one in which it sees less than what it may be apart by", later(held(40), apartBy(0.2)), "wrong_sign", "== 0", report.Passed, "cannot tell"},
		{"the other direction, by a reference that may be farther apart", later(held(-60), apartBy(0.7)), "wrong_sign", "== 0", report.Passed, "cannot tell"},
		{"a setpoint of nothing has no sign", func(r *accept.Record) {
			powers(0, constant(0))(r)
			r.Windows[0].Kind, r.Windows[0].ToKW = "hold", 0
		}, "wrong_sign", "== 0", report.Inconclusive, "has no sign"},
		{"nor has one of next to nothing", func(r *accept.Record) {
			powers(0, constant(1))(r)
			r.Windows[0].Kind, r.Windows[0].ToKW = "hold", 1
		}, "wrong_sign", "== 0", report.Inconclusive, "has no sign"},
		{"a step that it does not do, and nothing read before it", later(stepped(constant(100), nil), unread(17, 20.01)), "response_time_s", "<= 2", report.Inconclusive, "its start is not known"},
		{"the same, read 1 s before", later(stepped(constant(100), nil), unread(18.99, 20.01)), "response_time_s", "<= 2", report.Failed, "its start is what it had 1.05 s before"},
		{"a step that it does, read 1 s before", later(stepped(until(20.1, 100, 50), nil), unread(18.99, 20.01)), "response_time_s", "<= 2", report.Passed, "its start is what it had 1.05 s before"},
		{"the same, of what it goes beyond", later(stepped(until(20.1, 100, 50), nil), unread(17, 20.01)), "overshoot_percent", "<= 10", report.Inconclusive, "its start is not known"},
		{"read before it, but also before another setpoint", later(later(stepped(constant(100), nil), unread(18.99, 20.01)), func(r *accept.Record) {
			r.Setpoints = []metric.Point{{T: 10, V: 20}, {T: 19.5, V: 100}, {T: 20, V: 50}}
		}), "response_time_s", "<= 2", report.Inconclusive, "its start is not known"},
		{"a step that the reference does not see done, with a hole before it", later(stepped(until(20.1, 100, 50), constant(100)), unseen(17, 20.01)), "response_time_s", "<= 2", report.Inconclusive, "reference not reached"},
		{"one that it sees done, with a hole before it", later(stepped(until(20.1, 100, 50), until(20.15, 100, 50)), unseen(17, 20.01)), "response_time_s", "<= 2", report.Passed, "cannot tell"},
		{"the same, of what it goes beyond", later(stepped(until(20.1, 100, 50), until(20.15, 100, 50)), unseen(17, 20.01)), "overshoot_percent", "<= 10", report.Passed, "cannot tell"},
		{"power that is taken away, and nothing read before", later(later(zeroed(50), powers(8, constant(0))), unread(7, 10.01)), "zero_time_s", "<= 1", report.Inconclusive, "nothing was read of the 50 kW"},
		{"a ramp behind a report of the setpoint", echoes(fine, step(10, 20, 100)), "response_time_s", "<= 0.8", report.Failed, "reference 4.5"},
		{"the same, when it is to settle", echoes(fine, step(10, 20, 100)), "settling_time_s", "<= 2", report.Failed, "reference 4.9"},
		{"a power that goes beyond", echoes(fine, step(10, 1e9, 125)), "overshoot_percent", "<= 10", report.Failed, "reference 25"},
		{"power that is not taken away but is reported so", func(r *accept.Record) { zeroed(50)(r); shown(fine, constant(50))(r) }, "zero_time_s", "<= 1", report.Failed, "reference not reached"},
		{"less power that is not taken away", later(zeroed(50), shown(fine, constant(20))), "zero_time_s", "<= 1", report.Failed, "reference not reached"},
		{"the same from the start, by the device's word", zeroed(20), "zero_time_s", "<= 1", report.Inconclusive, "it had 20 kW"},
		{"power that by the reference was not there to be taken away", later(zeroed(50), shown(fine, constant(0.5))), "zero_time_s", "<= 1", report.Inconclusive, "it had 0.5 kW"},
		{"power that is not taken away, and a hole in the reference", later(later(zeroed(50), shown(fine, constant(50))), unseen(12, 15)), "zero_time_s", "<= 1", report.Failed, "reference not reached"},
		{"power that is taken away, and a hole in the reference", later(later(zeroed(50), shown(fine, until(10.1, 50, 0))), unseen(12, 15)), "zero_time_s", "<= 1", report.Passed, "cannot tell"},
		{"a hole in which it was taken away", later(later(zeroed(50), shown(fine, until(12, 50, 0))), unseen(9.5, 15)), "zero_time_s", "<= 1", report.Passed, "cannot tell"},
		{"a hole after which it is less than it says", later(echoes(fine, step(10, 1e9, 80)), unseen(12, 15)), "deviation_percent", "<= 2", report.Inconclusive, "reference 20"},
		{"a hole beside more than it is to have", later(held(110), unseen(16, 18)), "max_error_percent", "<= 5", report.Failed, "reference 10"},
		{"a hole beside less than it is to reach", later(echoes(fine, step(10, 1e9, 80)), unseen(12, 15)), "response_time_s", "<= 2", report.Inconclusive, "reference not reached"},
		{"a reference not watched for as long as is allowed", echoes(fine, step(10, 1e9, 80)), "response_time_s", "<= 60", report.Inconclusive, "reference not reached"},
		{"a slope that the reference never reached", echoes(fine, step(10, 50, 80)), "slope_percent_per_s", ">= 10", report.Inconclusive, "not reached"},
		{"a limit that by the reference was never reached", later(limited(66, 100, 66), shown(fine, constant(30))), "exceeding_samples", "< 5", report.Inconclusive, "not shown"},
		{"a limit under which, by the reference, it has gone to rest", later(limited(66, 100, 66), shown(fine, until(10, 100, 0))), "exceeding_samples", "< 5", report.Inconclusive, "at rest"},
		{"a limit that by the reference it does not keep, with a hole", later(later(limited(66, 100, 66), shown(fine, constant(100))), unseen(16, 18)), "exceeding_samples", "< 5", report.Failed, "reference"},
		{"a limit that the reference shows kept, with a hole", later(later(limited(66, 100, 66), shown(fine, until(10, 100, 66))), unseen(16, 18)), "exceeding_samples", "< 5", report.Passed, "cannot tell"},
		{"a hole in which it may have settled", later(echoes(fine, step(10, 1e9, 100)), unseen(9.9, 26)), "settled", "== 1", report.Inconclusive, "no reading"},
		{"a hole beside the other direction than it says", later(held(-100), unseen(16, 18)), "wrong_sign", "== 0", report.Failed, "reference"},
		{"the step before, by a reference of every 2 s", later(zeroed(50), func(r *accept.Record) {
			r.Windows[0].Kind, r.Windows[0].After = "alive", time.Second
			shown(2*time.Second, until(12.5, 50, 0))(r)
		}), "active_samples", "== 0", report.Passed, ""},
		{"the same, under a limit", later(limited(66, 100, 66), shown(2*time.Second, until(14.5, 100, 66))), "exceeding_samples", "< 1", report.Passed, ""},
		{"the same, when it is held", later(held(100), func(r *accept.Record) {
			r.Reference = nil
			shown(4*time.Second, until(16.5, 0, 100))(r)
		}), "max_error_percent", "<= 5", report.Passed, ""},
		{"the next step, seen with its setpoint", later(held(100), func(r *accept.Record) {
			r.Windows[0].Kind, r.Windows[0].End, r.Reference = "trip", origin.Add(25*time.Second), nil
			shown(fine, until(25, 100, 0))(r)
		}), "trips", "== 0", report.Passed, ""},
		{"the step before, by a slow reference", later(held(100), func(r *accept.Record) {
			r.Windows[0].Kind, r.Reference = "trip", nil
			shown(4*time.Second, until(13, 0, 100))(r)
			r.Reference[4].PowerKW = 0 // at 16 s, as it was at 12.5 s
		}), "trips", "== 0", report.Passed, ""},
		{"a trip that only the reference sees", later(held(100), func(r *accept.Record) {
			r.Windows[0].Kind, r.Reference = "trip", nil
			shown(fine, until(25, 100, 0))(r)
		}), "trips", "== 0", report.Failed, "reference 1"},
		{"the same power once more behind a cut, on its way from rest", again(15), "trips", "== 0", report.Passed, ""},
		{"the same power once more, though it was never let go", again(), "trips", "== 0", report.Failed, ""},
		{"a reference that is known to be apart, of what is followed", tracked(98.5, 97.2), "within_percent", ">= 95", report.Passed, ""},
		{"one further apart than that", tracked(98.5, 94), "within_percent", ">= 95", report.Failed, "reference 0"},
		{"a reference that is known to be apart, of a slope", later(echoes(fine, step(10, 20, 88)), apartBy(0.03)), "slope_percent_per_s", ">= 20", report.Passed, "cannot tell"},
		{"a slope that is not kept", later(echoes(fine, step(10, 10, 100)), apartBy(0.03)), "slope_percent_per_s", ">= 20", report.Failed, "reference 10"},
		{"a window without a reference beside one that contradicts", later(later(echoes(fine, step(10, 1e9, 80)), unseen(-1, 5)),
			twice(func(w *accept.Window) { w.T0, w.End, w.ToKW = origin.Add(time.Second), origin.Add(5*time.Second), 0 })), "deviation_percent", "<= 2", report.Failed, "reference 20"},
		{"the same, and a hole in that one", later(later(later(echoes(fine, step(10, 1e9, 80)), unseen(-1, 5)), unseen(12, 15)),
			twice(func(w *accept.Window) { w.T0, w.End, w.ToKW = origin.Add(time.Second), origin.Add(5*time.Second), 0 })), "deviation_percent", "<= 2", report.Inconclusive, "no data"},
		{"a reference that shows it too", echoes(fine, step(10.05, 1e9, 100)), "response_time_s", "<= 0.8", report.Passed, ""},
		{"a reference beyond the limit by less than it may be apart", held(97.7), "deviation_percent", "<= 2", report.Passed, "cannot tell"},
		{"a reference that is known to be apart", later(held(96), func(r *accept.Record) { r.Apart = 0.03 }), "deviation_percent", "<= 2", report.Passed, ""},
		{"a reference too coarse for this limit", echoes(time.Second, step(11, 1e9, 100)), "response_time_s", "<= 0.8", report.Passed, "cannot tell"},
		{"a coarse reference that shows it all the same", echoes(time.Second, step(10, 20, 100)), "response_time_s", "<= 0.8", report.Failed, "reference 5"},
		{"a reference whose clock is behind", later(echoes(fine, step(10.05, 1e9, 100)), clocked(-7*time.Second)), "deviation_percent", "<= 2", report.Passed, ""},
		{"one that contradicts all the same", later(echoes(fine, step(10.05, 1e9, 80)), clocked(-7*time.Second)), "deviation_percent", "<= 2", report.Failed, "reference 20"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := ramped(fine, 0.1, 100)
			r.Apart = 0.005
			tt.change(r)
			j := accept.Judge(limit(t, "m", tt.metric, tt.limit), r)[0]
			if j.Verdict != tt.want || !strings.Contains(j.Note, tt.note) {
				t.Errorf("%s %s: %v ± %v is %s (%s), want %s with %q", tt.metric, tt.limit, j.Value, j.Res, j.Verdict, j.Note, tt.want, tt.note)
			}
		})
	}
}

// TestClockOfTheReference: whatever a reference shows is taken at its time, however far its clock
// is off; by how much that is stays to be told.
func TestClockOfTheReference(t *testing.T) {
	for _, by := range []time.Duration{-7 * time.Second, 0, 7 * time.Second} {
		r := ramped(50*time.Millisecond, 0.1, 100)
		w := r.Windows[0]
		w.Kind, w.After, w.End = "hold", 2*time.Second, origin.Add(20*time.Second)
		discharge := window("discharge", 20, 30)
		discharge.Name = "m"
		r.Windows = append(r.Windows, discharge)
		for i := range r.Samples {
			s := &r.Samples[i]
			at := device.Time(s.At).Sub(origin).Seconds()
			s.SoC, s.Temperature = 50+at, 25+at
			q := until(20, 20, -20)(at)
			r.Reactive = append(r.Reactive, metric.Point{T: at, V: q})
			r.Reference = append(r.Reference, backend.Truth{At: device.Time(s.At), PowerKW: s.Power, ReactiveKvar: q, SoC: s.SoC, TempC: s.Temperature, AuxKWh: at})
		}
		clocked(by)(r)
		for metric, limited := range map[string]string{
			"reactive_error_percent": "<= 0.5", "soc_truth_error_percent": "<= 0.5", "temperature_error_c": "<= 0.5", "power_error_percent": "<= 0.5",
		} {
			if j := accept.Judge(limit(t, "m", metric, limited), r)[0]; j.Verdict != report.Passed {
				t.Errorf("%v off: %s is %s (%v, %s)", by, metric, j.Verdict, j.Value, j.Note)
			}
		}
	}
	r := ramped(50*time.Millisecond, 0.1, 100)
	shown(50*time.Millisecond, step(10.1, 100, 100))(r)
	clocked(time.Second)(r)
	if j := accept.Judge(limit(t, "test", "time_offset_ms", "<= 100"), r)[0]; j.Verdict != report.Failed || math.Abs(j.Value-1000) > 100 {
		t.Errorf("a clock that is 1 s off: %v ms is %s (%s)", j.Value, j.Verdict, j.Note)
	}
}

// TestStopMustReachTheDevice: that no power flows and that the guard refuses more is no stop of
// the device's own; its own word must say so, and be another than at rest: its status, or that it
// takes and gives nothing, where it does at rest.
func TestStopMustReachTheDevice(t *testing.T) {
	const none = device.OtherStatus
	unsaid := math.NaN()
	for _, tt := range []struct {
		name         string
		kind         string
		under, after device.Status
		may, later   [2]float64 // what it takes and gives, kW, when it is stopped and at rest
		want         report.Verdict
		note         string
	}{
		{"fault", "modbus", device.Fault, device.Idle, [2]float64{}, [2]float64{}, report.Passed, ""},
		{"standby", "modbus", device.Standby, device.Idle, [2]float64{}, [2]float64{}, report.Passed, ""},
		{"standby, as at rest", "modbus", device.Standby, device.Standby, [2]float64{100, 100}, [2]float64{100, 100}, report.Inconclusive, "it says standby, as whenever it rests"},
		{"idle", "modbus", device.Idle, device.Idle, [2]float64{100, 100}, [2]float64{100, 100}, report.Inconclusive, "give its profile e_stop"},
		{"idle, of SunSpec", "sunspec", device.Idle, device.Idle, [2]float64{100, 100}, [2]float64{100, 100}, report.Inconclusive, "MANUAL_SHUTDOWN"},
		{"idle, behind a broker", "mqtt", device.Idle, device.Idle, [2]float64{100, 100}, [2]float64{100, 100}, report.Inconclusive, "event e-stop"},
		{"idle, on two wires", "parts", device.Idle, device.Idle, [2]float64{100, 100}, [2]float64{100, 100}, report.Inconclusive, "give its profile e_stop"},
		{"idle, and it neither takes nor gives", "modbus", device.Idle, device.Idle, [2]float64{0, 0}, [2]float64{100, 80}, report.Passed, "takes and gives nothing"},
		{"idle, and at rest it takes and gives no more", "modbus", device.Idle, device.Idle, [2]float64{0, 0}, [2]float64{0, 0}, report.Inconclusive, "as whenever it rests"},
		{"idle, and it gives all the same", "modbus", device.Idle, device.Idle, [2]float64{0, 50}, [2]float64{100, 50}, report.Inconclusive, "as whenever it rests"},
		{"idle, and it does not say what it takes", "modbus", device.Idle, device.Idle, [2]float64{unsaid, 0}, [2]float64{unsaid, 50}, report.Inconclusive, "as whenever it rests"},
		{"at work", "modbus", device.Discharging, device.Idle, [2]float64{0, 0}, [2]float64{100, 100}, report.Failed, ""},
		{"no state", "modbus", none, none, [2]float64{unsaid, unsaid}, [2]float64{unsaid, unsaid}, report.NotApplicable, "does not say whether it is stopped"},
		{"no state, and it neither takes nor gives", "modbus", none, none, [2]float64{0, 0}, [2]float64{100, 100}, report.Passed, "takes and gives nothing"},
	} {
		r := ramped(50*time.Millisecond, 0.1, 100)
		zeroed(50)(r)
		r.Kind = tt.kind
		r.Windows[0].End = origin.Add(20 * time.Second)
		for i := range r.Samples {
			s := &r.Samples[i]
			switch at := device.Time(s.At).Sub(origin); {
			case at > 20*time.Second:
				s.Status, s.MaxCharge, s.MaxDischarge = tt.after, tt.later[0], tt.later[1]
			case at >= 10*time.Second:
				s.Status, s.MaxCharge, s.MaxDischarge = tt.under, tt.may[0], tt.may[1]
			}
		}
		j := accept.Judge(limit(t, "m", "unstopped", "== 0"), r)[0]
		if j.Verdict != tt.want || !strings.Contains(j.Note, tt.note) {
			t.Errorf("%s: %v is %s (%s), want %s with %q", tt.name, j.Value, j.Verdict, j.Note, tt.want, tt.note)
		}
	}
}

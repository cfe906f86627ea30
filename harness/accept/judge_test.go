package accept_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/backend"
	"yunchu/harness/metric"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/device"
)

var origin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ramped is a record of one step of 100 kW at 10 s, followed with a slope after a dead
// time, sampled every period and watched for 20 s.
func ramped(period time.Duration, dead, slope float64) *accept.Record {
	r := &accept.Record{Test: "X", Begin: origin, Period: period, RefPeriod: period, RatedKW: 100, RatedKWh: 200, Usable: 1, MaxAge: time.Second}
	for at := time.Duration(0); at <= 30*time.Second; at += period {
		s := device.Empty()
		s.At = origin.Add(at).UnixMilli()
		s.Arrived = s.At
		s.Power = min(max(at.Seconds()-10-dead, 0)*slope, 100)
		s.SoC, s.Status = 50, device.Charging
		r.Samples = append(r.Samples, s)
	}
	r.Setpoints = []metric.Point{{T: 10, V: 100}}
	r.Windows = []*accept.Window{window("step", 10, 30)}
	r.End = origin.Add(30 * time.Second)
	return r
}

// apart has power and current not match at a time, in s, by which no setpoint was sent.
func apart(at float64) func(*accept.Record) {
	return func(r *accept.Record) {
		r.Setpoints = nil
		x := &r.Samples[int(at/0.05)]
		x.Quality, x.Flags = device.Suspect, device.FlagLogic
	}
}

// paused has the bench stand still at a time, for so long, in s.
func paused(at, long float64) func(*accept.Record) {
	return func(r *accept.Record) { r.Pauses = append(r.Pauses, metric.Point{T: at, V: long}) }
}

// curtailed is a record of a limit of power that is judged for four seconds.
func curtailed(period time.Duration, kw float64) *accept.Record {
	r := ramped(period, 0, 1000)
	w := window("limit", 10, 18.5)
	w.After, w.LimitKW = 4*time.Second, kw
	r.Windows, r.MaxAge = []*accept.Window{w}, 3*period
	return r
}

// backwards has the device discharge until a time, and take its setpoint at another, in s.
func backwards(ack, until float64) func(*accept.Record) {
	return func(r *accept.Record) {
		r.Windows[0].Kind, r.Windows[0].Ack = "hold", origin.Add(time.Duration(ack*float64(time.Second)))
		for i := range r.Samples {
			if s := &r.Samples[i]; s.At < origin.Add(time.Duration(until*float64(time.Second))).UnixMilli() {
				s.Power = -100
			}
		}
	}
}

// reactive has the device show reactive powers each second, and the reference another, kvar.
func reactive(shown []float64, is float64) func(*accept.Record) {
	return func(r *accept.Record) {
		r.Windows[0].Kind = "hold"
		for i, s := range r.Samples {
			r.Reference = append(r.Reference, backend.Truth{At: device.Time(s.At), PowerKW: s.Power, ReactiveKvar: is})
			if i%20 == 0 && len(shown) > 0 {
				r.Reactive = append(r.Reactive, metric.Point{T: float64(i) * 0.05, V: shown[i/20%len(shown)]})
			}
		}
	}
}

func window(kind string, from, to float64) *accept.Window {
	sec := func(s float64) time.Time { return origin.Add(time.Duration(s * float64(time.Second))) }
	return &accept.Window{
		Measure: &accept.Measure{Name: "m", Kind: kind, Band: 0.02, Dead: 0.01, Share: 0.9, Zero: 0.02, Settle: 5 * time.Second},
		Label:   "step 1", T0: sec(from), End: sec(to), ToKW: 100, Issued: true, Ack: sec(from + 0.04), AckKW: 100,
	}
}

func limit(t *testing.T, measure, name, text string) *scenario.Procedure {
	t.Helper()
	l := scenario.ProcedureLimit{Name: "l", Measure: measure, Metric: name, Source: "test"}
	if text != "" {
		var err error
		if l.Limit, err = scenario.ParseLimit(text); err != nil {
			t.Fatal(err)
		}
	}
	return &scenario.Procedure{Limits: []scenario.ProcedureLimit{l}}
}

// TestVerdicts: each way to a verdict, and each way to have none.
func TestVerdicts(t *testing.T) {
	const ms = time.Millisecond
	response := "response_time_s" // 0.1 s dead and 0.9 s of ramp: 1.0 s
	good := func() *accept.Record { return ramped(50*ms, 0.1, 100) }
	with := func(f func(*accept.Record)) *accept.Record { r := good(); f(r); return r }
	for _, tt := range []struct {
		name    string
		rec     *accept.Record
		measure string
		metric  string
		limit   string
		want    report.Verdict
		note    string
	}{
		{"kept", good(), "m", response, "<= 2", report.Passed, ""},
		{"reported", good(), "m", response, "", report.Passed, ""},
		{"slow ramp", ramped(50*ms, 0.1, 20), "m", response, "<= 2", report.Failed, ""},
		{"as near as it may be wrong", good(), "m", response, "<= 0.98", report.Inconclusive, "as near"},
		{"beyond what it may be wrong by", good(), "m", response, "<= 0.9", report.Failed, ""},
		{"beyond by less than the bench stood still", with(paused(10.2, 0.3)), "m", response, "<= 0.9", report.Inconclusive, "stood still for 0.3 s"},
		{"beyond by more than that", with(paused(10.2, 0.3)), "m", response, "<= 0.6", report.Failed, ""},
		{"it stood still at another time", with(paused(5, 0.3)), "m", response, "<= 0.9", report.Failed, ""},
		{"kept although it stood still", with(paused(10.2, 0.3)), "m", response, "<= 2", report.Passed, ""},
		{"limit finer than the samples", ramped(200*ms, 0, 1000), "m", response, "<= 0.5", report.Inconclusive, "sampled every 0.2 s"},
		{"finer, but clearly failed", ramped(200*ms, 0.1, 20), "m", response, "<= 0.5", report.Failed, ""},
		{"not reached", ramped(50*ms, 0.1, 1), "m", response, "<= 2", report.Failed, "not within 20 s"},
		{"not reached, and not watched for long", ramped(50*ms, 0.1, 1), "m", response, "<= 60", report.Inconclusive, "not watched for longer"},
		{"not settled for its hold", with(func(r *accept.Record) { r.Windows[0].End = origin.Add(13 * time.Second) }), "m", "settling_time_s", "<= 5", report.Inconclusive, "not watched"},
		{"a reading that is not good", with(func(r *accept.Record) {
			r.Samples[220].Quality, r.Samples[220].Flags = device.Suspect, device.FlagFrozen
		}), "m", response, "<= 2", report.Inconclusive, "not good (frozen)"},
		{"one before the measure does not count", with(func(r *accept.Record) { r.Samples[20].Quality = device.Bad }), "m", response, "<= 2", report.Passed, ""},
		{"a silence", with(func(r *accept.Record) { r.Samples = append(r.Samples[:230:230], r.Samples[260:]...) }), "m", response, "<= 2", report.Inconclusive, "no reading for 1.55 s"},
		{"no sample", with(func(r *accept.Record) { r.Samples = r.Samples[:100] }), "m", response, "<= 2", report.Inconclusive, "no data"},
		{"the setpoint was reduced", with(func(r *accept.Record) { r.Windows[0].Doubts = []string{"the setpoint was reduced from 100 kW"} }), "m", response, "<= 2", report.Inconclusive, "reduced"},
		{"broken off before", with(func(r *accept.Record) { r.Windows, r.Aborted = nil, "precondition: the state of charge is 5 %" }), "m", response, "<= 2", report.Inconclusive, "precondition"},
		{"broken off after", with(func(r *accept.Record) { r.Aborted = "setPower rejected: NOT_ARMED" }), "m", response, "<= 2", report.Inconclusive, "NOT_ARMED"},
		{"broken off, and failed before", with(func(r *accept.Record) { r.Aborted = "interrupted" }), "m", response, "<= 0.5", report.Failed, "interrupted"},
		{"left out", with(func(r *accept.Record) { r.Windows[0].Skipped = "needs grid" }), "m", response, "<= 2", report.NotApplicable, "needs grid"},
		{"never measured", with(func(r *accept.Record) { r.Windows = nil }), "m", response, "<= 2", report.Inconclusive, "not measured"},
		{"no reference", with(func(r *accept.Record) { r.Windows[0].Kind = "hold" }), "m", "power_error_percent", "<= 0.5", report.NotApplicable, "no reference"},
		{"reference", with(func(r *accept.Record) {
			r.Windows[0].Kind = "hold"
			for _, s := range r.Samples {
				r.Reference = append(r.Reference, backend.Truth{At: device.Time(s.At), PowerKW: s.Power + 2})
			}
		}), "m", "power_error_percent", "<= 0.5", report.Failed, ""},
		{"reactive power that nobody shows", with(reactive(nil, 20)), "m", "reactive_error_percent", "<= 0.5", report.NotApplicable, "it reports none"},
		{"reactive power that does not flow", with(reactive([]float64{0.1}, 0)), "m", "reactive_error_percent", "<= 0.5", report.NotApplicable, "it shows 0.1 kvar, the reference 0 kvar"},
		{"reactive power", with(reactive([]float64{19.8, 20.2}, 20)), "m", "reactive_error_percent", "<= 0.5", report.Passed, "kvar, the reference 20 kvar"},
		{"reactive power of the other sign", with(reactive([]float64{-20}, 20)), "m", "reactive_error_percent", "<= 0.5", report.Failed, "-20 kvar, the reference 20 kvar"},
		{"reactive power that stands at 0", with(reactive([]float64{0}, 20)), "m", "reactive_error_percent", "<= 0.5", report.Failed, ""},
		{"reactive power that is not there", with(reactive([]float64{20}, 0)), "m", "reactive_error_percent", "<= 0.5", report.Failed, ""},
		{"the sign before, while a setpoint is on its way", with(backwards(12, 11.9)), "m", "wrong_sign", "== 0", report.Passed, ""},
		{"another sign than the setpoint it has taken", with(backwards(10.1, 11.9)), "m", "wrong_sign", "== 0", report.Failed, ""},
		{"a reading in the millisecond in which the next setpoint is sent", with(func(r *accept.Record) {
			backwards(10.1, 0)(r)
			w, next := r.Windows[0], device.Empty()
			w.End = origin.Add(20*time.Second + 100*time.Microsecond)
			next.At = origin.Add(20 * time.Second).UnixMilli() // half a millisecond later
			next.Arrived, next.Power, next.SoC, next.Status = next.At, -100, 50, device.Charging
			i := slices.IndexFunc(r.Samples, func(s device.Reading) bool { return s.At >= next.At })
			r.Samples = slices.Insert(r.Samples, i+1, next)
		}), "m", "wrong_sign", "== 0", report.Passed, ""},
		{"a setpoint that it has not taken shows no sign", with(func(r *accept.Record) {
			backwards(12, 11.9)(r)
			r.Windows[0].Ack = time.Time{}
		}), "m", "wrong_sign", "== 0", report.Inconclusive, "no acknowledgement"},
		{"no acknowledgement", with(func(r *accept.Record) { r.Windows[0].Ack = time.Time{} }), "m", "ack_s", "<= 1", report.Inconclusive, "no acknowledgement"},
		{"acknowledged", good(), "m", "ack_s", "<= 0.1", report.Passed, ""},
		{"all channels", good(), "test", "missing_channels", "== 0", report.Failed, ""}, // voltage, current, temperature
		{"gaps", with(func(r *accept.Record) { r.Samples = append(r.Samples[:30:30], r.Samples[60:]...) }), "test", "gaps", "== 0", report.Failed, "longest silence"},
		{"no reading at all", with(func(r *accept.Record) { r.Samples = nil }), "test", "gaps", "== 0", report.Failed, "longest silence"},
		{"silent to the end", with(func(r *accept.Record) { r.Samples = r.Samples[:500] }), "test", "silence_s", "<= 2", report.Failed, ""},
		{"silent to the end, as was told", with(func(r *accept.Record) {
			r.Samples = r.Samples[:500]
			r.Events = append(r.Events, device.Event{Type: "offline", Text: "u offline: bms: no frame"})
		}), "test", "silence_s", "<= 2", report.Failed, "bms: no frame"},
		{"silent before it began", with(func(r *accept.Record) { r.Samples, r.Silent = nil, "u offline: exception 4" }), "test", "silence_s", "<= 2", report.Failed, "exception 4"},
		{"never silent", good(), "test", "silence_s", "<= 2", report.Passed, ""},
		{"silent while the bench stood still", with(func(r *accept.Record) {
			r.Samples = append(r.Samples[:300:300], r.Samples[350:]...)
			paused(14.9, 2.6)(r)
		}), "test", "silence_s", "<= 2", report.Inconclusive, "stood still"},
		{"all but the power goes on", with(func(r *accept.Record) {
			for i := range r.Samples[400:] {
				r.Samples[400+i].Power = math.NaN()
			}
		}), "test", "silence_s", "<= 2", report.Failed, ""},
		{"a channel that ceases", with(func(r *accept.Record) {
			for i := range r.Samples {
				s := &r.Samples[i]
				s.Voltage, s.Current, s.Temperature = 800, 100, 25
				if i > 400 {
					s.SoC = math.NaN()
				}
			}
		}), "test", "missing_channels", "== 0", report.Failed, "state of charge"},
		{"a slow channel", with(func(r *accept.Record) {
			for i := range r.Samples {
				s := &r.Samples[i]
				s.Voltage, s.Current, s.Temperature = 800, 100, math.NaN()
				if i%150 == 0 {
					s.Temperature = 25
				}
			}
		}), "test", "missing_channels", "== 0", report.Passed, ""},
		{"why exchanges fail", with(func(r *accept.Record) {
			r.Windows[0].Kind, r.Windows[0].To = "exchange", 4
			late := fmt.Errorf("read: %w: left alone after: %w", device.ErrOffline, errors.New("request timed out"))
			r.Exchanges = []accept.Exchange{{}, {Err: late}, {Err: context.DeadlineExceeded}, {Err: late}}
		}), "m", "exchange_error_percent", "<= 0.1", report.Failed, "request timed out (2 of 4); nothing came in time (1 of 4)"},
		{"power and current of two moments, as the step begins", with(apart(10.4)), "m", response, "<= 2", report.Passed, ""},
		{"power and current that do not match", with(apart(15)), "m", response, "<= 2", report.Inconclusive, "not good (logic)"},
		{"time counts until the reading was there", with(func(r *accept.Record) {
			for i := range r.Samples {
				r.Samples[i].Arrived += 600
			}
		}), "m", response, "<= 1.2", report.Inconclusive, "as near"},
		{"too few readings to exceed a limit", curtailed(2*time.Second, 0), "m", "exceeding_samples", "< 5", report.Inconclusive, "3 readings are too few"},
		{"enough readings to exceed a limit", curtailed(time.Second, 0), "m", "exceeding_samples", "< 5", report.Failed, ""},
		{"readings that could exceed a limit", curtailed(time.Second, 100), "m", "exceeding_samples", "< 5", report.Passed, ""},
		{"no reading in which it could have power", with(func(r *accept.Record) {
			r.Windows[0].Kind, r.Windows[0].After = "alive", 30*time.Second
		}), "m", "active_samples", "== 0", report.Inconclusive, "0 readings are too few"},
		{"alarm", with(func(r *accept.Record) { r.Samples[300].Status = device.Fault }), "test", "alarms", "== 0", report.Failed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := accept.Judge(limit(t, tt.measure, tt.metric, tt.limit), tt.rec)[0]
			if j.Verdict != tt.want || !strings.Contains(j.Note, tt.note) {
				t.Errorf("%s %s: %v ± %v is %s (%s), want %s with %q", tt.metric, tt.limit, j.Value, j.Res, j.Verdict, j.Note, tt.want, tt.note)
			}
			if math.IsNaN(j.Value) && (j.Verdict == report.Passed || j.Verdict == report.Failed) {
				t.Errorf("%s without a value", j.Verdict)
			}
		})
	}
}

// The worst of several counts, whichever way the limit looks.
func TestSeveralMeasuresAreJudgedTogether(t *testing.T) {
	r := ramped(50*time.Millisecond, 0.1, 100)
	late := window("step", 10, 30)
	late.Ack, late.Label = origin.Add(12*time.Second), "step 2"
	r.Windows = append(r.Windows, late)
	for _, tt := range []struct {
		limit, stat string
		want        float64
	}{{"<= 1", "worst", 2}, {">= 1", "worst", 0.04}, {"<= 1", "mean", 1.02}, {"<= 1", "sum", 2.04}} {
		p := limit(t, "m", "ack_s", tt.limit)
		p.Limits[0].Stat = tt.stat
		if j := accept.Judge(p, r)[0]; math.Abs(j.Value-tt.want) > 1e-9 {
			t.Errorf("%s of %s: %g, want %g", tt.stat, tt.limit, j.Value, tt.want)
		}
	}
}

func TestVerdictOfATest(t *testing.T) {
	le, _ := scenario.ParseLimit("<= 1")
	judged := func(v report.Verdict) accept.Judged {
		return accept.Judged{ProcedureLimit: scenario.ProcedureLimit{Limit: le}, Verdict: v}
	}
	reported := accept.Judged{Verdict: report.Passed}
	for _, tt := range []struct {
		list []accept.Judged
		want report.Verdict
	}{
		{[]accept.Judged{judged(report.Passed), judged(report.NotApplicable), reported}, report.Passed},
		{[]accept.Judged{judged(report.Passed), judged(report.Inconclusive)}, report.Inconclusive},
		{[]accept.Judged{judged(report.Inconclusive), judged(report.Failed)}, report.Failed},
		{[]accept.Judged{judged(report.NotApplicable)}, report.NotApplicable},
		{[]accept.Judged{reported}, report.Inconclusive}, // nothing was judged
		{nil, report.NotApplicable},
	} {
		if got := accept.Verdict(tt.list); got != tt.want {
			t.Errorf("%d limits: %s, want %s", len(tt.list), got, tt.want)
		}
	}
}

// Efficiency pairs charges with the discharges that follow.
func TestRoundTripOfWindows(t *testing.T) {
	r := &accept.Record{Begin: origin, Period: time.Second, RefPeriod: time.Second, RatedKW: 100, RatedKWh: 200, Usable: 1, MaxAge: 5 * time.Second}
	for i := range 7201 {
		s := device.Empty()
		s.At = origin.Add(time.Duration(i) * time.Second).UnixMilli()
		s.Arrived, s.Power = s.At, 100
		if i > 3600 {
			s.Power = -90
		}
		r.Samples = append(r.Samples, s)
	}
	r.Windows = []*accept.Window{window("charge", 0, 3600), window("discharge", 3601, 7200)}
	r.Windows[0].ToKW, r.Windows[1].ToKW = 100, -100
	p := limit(t, "m", "efficiency_percent", ">= 88")
	if j := accept.Judge(p, r)[0]; j.Verdict != report.Passed || math.Abs(j.Value-90) > 0.1 {
		t.Errorf("%v %s %s", j.Value, j.Verdict, j.Note)
	}
	p = limit(t, "m", "efficiency_net_percent", ">= 88")
	if j := accept.Judge(p, r)[0]; j.Verdict != report.NotApplicable {
		t.Errorf("without a meter of the auxiliaries: %v %s %s", j.Value, j.Verdict, j.Note)
	}
	for i, s := range r.Samples {
		r.Reference = append(r.Reference, backend.Truth{At: device.Time(s.At), AuxKWh: float64(i) / 3600})
	}
	p = limit(t, "m", "efficiency_net_percent", ">= 89")
	if j := accept.Judge(p, r)[0]; j.Verdict != report.Failed || math.Abs(j.Value-100*89.0/101) > 0.1 {
		t.Errorf("%v %s %s", j.Value, j.Verdict, j.Note)
	}
}

// A reported charge that stands, or moves by a tenth of what it must, fits a count that is
// scaled to it, and is wrong all the same.
func TestReportedChargeMovesWithTheEnergy(t *testing.T) {
	for _, tt := range []struct {
		name  string
		share float64 // of the true movement
		want  report.Verdict
	}{{"true", 1, report.Passed}, {"aged", 1.25, report.Passed}, {"frozen", 0, report.Failed}, {"a tenth", 0.1, report.Failed}, {"tenfold", 10, report.Failed}, {"the wrong way", -1, report.Failed}} {
		r := &accept.Record{Begin: origin, Period: time.Second, RatedKW: 100, RatedKWh: 200, Usable: 1, MaxAge: 5 * time.Second}
		for i := range 361 {
			s := device.Empty()
			s.At = origin.Add(time.Duration(i) * time.Second).UnixMilli()
			s.Arrived, s.Power, s.Current = s.At, -100, -130
			s.SoC = 90 - 5*tt.share*float64(i)/360
			r.Samples = append(r.Samples, s)
		}
		r.Windows = []*accept.Window{window("discharge", 0, 360)}
		if j := accept.Judge(limit(t, "m", "soc_error_percent", "<= 1"), r)[0]; j.Verdict != tt.want {
			t.Errorf("%s: %v %s %s", tt.name, j.Value, j.Verdict, j.Note)
		}
	}
}

// Levels that are held one after the other: each must be met in the direction of its
// setpoint.
func TestPowerGoesTheWayOfItsSetpoints(t *testing.T) {
	for _, tt := range []struct {
		name string
		kw   []float64 // at setpoints 20, 40, 40, 0
		want float64
	}{{"monotonic", []float64{20, 40, 39, 0}, 0}, {"stands", []float64{20, 20, 20, 0}, 1}, {"turns back", []float64{20, 15, 15, 18}, 2}} {
		r := &accept.Record{Begin: origin, Period: time.Second, RatedKW: 100, MaxAge: 5 * time.Second}
		for i, kw := range tt.kw {
			for k := range 10 {
				s := device.Empty()
				s.At = origin.Add(time.Duration(10*i+k) * time.Second).UnixMilli()
				s.Arrived, s.Power = s.At, kw
				r.Samples = append(r.Samples, s)
			}
			w := window("hold", float64(10*i), float64(10*i+9))
			w.ToKW = []float64{20, 40, 40, 0}[i]
			r.Windows = append(r.Windows, w)
		}
		if j := accept.Judge(limit(t, "m", "reversals", "== 0"), r)[0]; j.Value != tt.want || (j.Verdict == report.Passed) != (tt.want == 0) {
			t.Errorf("%s: %v %s %s", tt.name, j.Value, j.Verdict, j.Note)
		}
	}
}

// A state of charge that stands while the reference moves is found by whoever has one.
func TestFrozenChannelsAreFound(t *testing.T) {
	for _, tt := range []struct {
		name       string
		moves, ref float64 // of the state of charge, percent
		want       report.Verdict
	}{{"true", 1, 1, report.Passed}, {"frozen", 0, 1, report.Failed}, {"too little to tell", 0, 0.2, report.NotApplicable}, {"no reference", 1, math.NaN(), report.NotApplicable}} {
		r := &accept.Record{Begin: origin, Period: time.Second, RefPeriod: time.Second, RatedKW: 100, MaxAge: 5 * time.Second}
		for i := range 61 {
			at := origin.Add(time.Duration(i) * time.Second)
			s := device.Empty()
			s.At, s.Arrived = at.UnixMilli(), at.UnixMilli()
			s.Power, s.SoC, s.Temperature = 100, 50+tt.moves*float64(i)/60, 25
			r.Samples = append(r.Samples, s)
			if !math.IsNaN(tt.ref) {
				r.Reference = append(r.Reference, backend.Truth{At: at, SoC: 50 + tt.ref*float64(i)/60, TempC: 25.1})
			}
		}
		if j := accept.Judge(limit(t, "test", "frozen_channels", "== 0"), r)[0]; j.Verdict != tt.want {
			t.Errorf("%s: %v %s %s", tt.name, j.Value, j.Verdict, j.Note)
		}
	}
}

// flatly is a record of a minute at 100 kW in one direction and one in the other, of a
// battery of 800 V whose voltage moves by 8 V, seen in steps, until it stands still; s and V.
func flatly(step, until float64) *accept.Record {
	r := &accept.Record{Begin: origin, Period: time.Second, RefPeriod: time.Second, RatedKW: 100, RatedKWh: 200, MaxAge: 5 * time.Second, VoltStep: step}
	for i := range 121 {
		side, at := 1.0, origin.Add(time.Duration(i)*time.Second)
		if i > 60 {
			side = -1
		}
		s := device.Empty()
		s.At, s.Arrived, s.Power, s.Current = at.UnixMilli(), at.UnixMilli(), 100*side, 125*side+0.01*float64(i)
		v := 800.7 + 4*side + 0.01*float64(i)
		s.Voltage = step * math.Round(v/step)
		if n := len(r.Samples); n > 0 && float64(i) > until {
			s.Voltage = r.Samples[n-1].Voltage
		}
		r.Samples = append(r.Samples, s)
		r.Reference = append(r.Reference, backend.Truth{At: at, DCVolt: v, DCAmp: s.Current, SoC: 50, TempC: 25})
	}
	r.End = origin.Add(2 * time.Minute)
	return r
}

// stands has the voltage stand at a value from a moment on, in s, and V.
func stands(from int, volt float64) func(*accept.Record) {
	return func(r *accept.Record) {
		for i := from; i < len(r.Samples); i++ {
			r.Samples[i].Voltage = volt
		}
	}
}

func standsAlone(from int, volt float64) func(*accept.Record) {
	return func(r *accept.Record) {
		stands(from, volt)(r)
		r.Reference = nil
	}
}

// A voltage or a current that stands still while what moves it does is found, with a reference
// and without one; one that is written in coarse steps is not taken for such.
func TestFrozenVoltageIsFound(t *testing.T) {
	alone := func(r *accept.Record) { r.Reference = nil }
	for _, tt := range []struct {
		name   string
		rec    *accept.Record
		change func(*accept.Record)
		want   report.Verdict
		note   string
	}{
		{"true", flatly(0.1, 1000), func(*accept.Record) {}, report.Passed, ""},
		{"true, without a reference", flatly(0.1, 1000), alone, report.Passed, ""},
		{"it stands from the start", flatly(0.1, 0), func(*accept.Record) {}, report.Failed, "voltage stands still"},
		{"the same, without a reference", flatly(0.1, 0), alone, report.Failed, "voltage stands still"},
		{"it stands from then on", flatly(0.1, 30), func(*accept.Record) {}, report.Failed, "voltage stands still"},
		{"in steps of 20 V", flatly(20, 1000), func(*accept.Record) {}, report.Passed, ""},
		{"in steps of 20 V, without a reference", flatly(20, 1000), alone, report.Passed, ""},
		{"in steps of 5 V, without a reference", flatly(5, 0), alone, report.Passed, ""},
		{"it stands at a round number", flatly(0.1, 1000), stands(30, 792), report.Failed, "voltage stands still"},
		{"the same, without a reference", flatly(0.1, 1000), standsAlone(30, 792), report.Failed, "voltage stands still"},
		{"it stands at a rounder one", flatly(0.1, 1000), stands(30, 800), report.Inconclusive, "steps of 100 V"},
		{"it says what to declare", flatly(0.1, 1000), stands(30, 800), report.Inconclusive, "compare: {voltage_step: 100}"},
		{"it says so, too, of one that never moves", flatly(0.1, 0), func(*accept.Record) {}, report.Failed, "voltage stands still (in steps of 0.1 V; if its firmware moves it in coarser ones, its entry must say so: compare: {voltage_step: …})"},
		{"the same, without a reference", flatly(0.1, 1000), standsAlone(30, 800), report.Inconclusive, "steps of 100 V"},
		{"in steps of 1 V it stands at a round number", flatly(1, 1000), stands(30, 790), report.Inconclusive, "steps of 10 V"},
		{"the same, without a reference", flatly(1, 1000), standsAlone(30, 790), report.Inconclusive, "stands at 790 V"},
		{"its current stands as well", flatly(0.1, 1000), func(r *accept.Record) {
			stands(30, 800)(r)
			for i := range r.Samples {
				r.Samples[i].Current = 125
			}
		}, report.Failed, "current stands still"},
		{"its scale becomes coarser, as it says", flatly(0.1, 1000), func(r *accept.Record) {
			stands(30, 800)(r)
			r.VoltStep = 10
		}, report.Passed, ""},
		{"a bus whose voltage is held, as it says", flatly(0.1, 0), func(r *accept.Record) {
			r.VoltStep = 100
		}, report.Passed, ""},
		{"its current stands", flatly(0.1, 1000), func(r *accept.Record) {
			for i := range r.Samples {
				r.Samples[i].Current = 125
			}
		}, report.Failed, "current stands still"},
		{"nothing moves", flatly(0.1, 0), func(r *accept.Record) {
			r.Samples, r.Reference = r.Samples[:40], nil
		}, report.NotApplicable, "no channel had to move"},
	} {
		tt.change(tt.rec)
		if j := accept.Judge(limit(t, "test", "frozen_channels", "== 0"), tt.rec)[0]; j.Verdict != tt.want || !strings.Contains(j.Note, tt.note) {
			t.Errorf("%s: %v %s %s, want %s", tt.name, j.Value, j.Verdict, j.Note, tt.want)
		}
	}
}

// A transition that goes beyond its new setpoint shows.
func TestOvershootOfATransition(t *testing.T) {
	r := ramped(50*time.Millisecond, 0.1, 100)
	r.Windows[0].Kind = "transition"
	for i := range r.Samples {
		if at := float64(i) * 0.05; at > 11.2 && at < 11.5 {
			r.Samples[i].Power = 105
		}
	}
	if j := accept.Judge(limit(t, "m", "overshoot_percent", "<= 2"), r)[0]; j.Verdict != report.Failed || math.Abs(j.Value-5) > 0.01 {
		t.Errorf("%v %s %s", j.Value, j.Verdict, j.Note)
	}
}

// One command of full power, two seconds dead, then ten percent a second, then 0.3 % too high:
// both indices of automatic generation control, and what each is made of.
func TestIndicesOfFollowing(t *testing.T) {
	const period = 100 * time.Millisecond
	r := ramped(period, 2, 10)
	r.Samples = nil
	for at := time.Duration(0); at <= 80*time.Second; at += period {
		s := device.Empty()
		s.At = origin.Add(at).UnixMilli()
		s.Arrived, s.SoC, s.Status = s.At, 50, device.Charging
		s.Power = min(max(at.Seconds()-12, 0)*10, 100.3)
		r.Samples = append(r.Samples, s)
	}
	r.Windows = []*accept.Window{window("tracking", 10, 80)}
	r.End = origin.Add(80 * time.Second)
	for name, want := range map[string]float64{
		"kp1": 2 - 1.5/600, "kp2": 2 - 0.3/1.5, "kp3": 2 - 2.15/20, "kp": 1.9975 * 1.8 * 1.8925,
		"k1": 3, "k2": 1 - 2.15/60, "k3": 1 - 0.3/2, "k": 0.4*3 + 0.3*(1-2.15/60) + 0.3*0.85,
	} {
		if j := accept.Judge(limit(t, "m", name, ""), r)[0]; !(math.Abs(j.Value-want) <= 0.02*want) {
			t.Errorf("%s: %v %s %s, want %v", name, j.Value, j.Verdict, j.Note, want)
		}
	}
}

package metric_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"yunchu/harness/metric"
	"yunchu/platform/settle"
)

// respond samples a power every dt s from from to to.
func respond(from, to, dt float64, p func(t float64) float64) []metric.Point {
	var pts []metric.Point
	for i := 0; ; i++ {
		t := from + float64(i)*dt
		if t > to+1e-9 {
			return pts
		}
		pts = append(pts, metric.Point{T: t, V: p(t)})
	}
}

// ramp is a dead time and a ramp from a to b with a slope in units a second.
func ramp(a, b, dead, slope float64) func(t float64) float64 {
	return func(t float64) float64 {
		way := min(max(t-dead, 0)*slope, math.Abs(b-a))
		return a + math.Copysign(way, b-a)
	}
}

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s = %g, want %g ± %g", what, got, want, tol)
	}
}

func TestFirstOrderResponse(t *testing.T) {
	// P = 100·(1 − e^(−t/τ)) with τ = 0.5 s: 1 % of 100 at 5.0 ms, 90 % at 2.303·τ,
	// within 2 % at 3.912·τ.
	const tau, dt = 0.5, 0.001
	pts := respond(-1, 10, dt, func(t float64) float64 {
		if t < 0 {
			return 0
		}
		return 100 * (1 - math.Exp(-t/tau))
	})
	s := metric.Step{To: 100, Rated: 100, Latency: 0.004}
	dead, err1 := s.Dead(pts, 0.01)
	resp, err2 := s.Response(pts, 0.9)
	set, err3 := s.Settling(pts, 0.02, 5)
	over, err4 := s.Overshoot(pts)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	near(t, "dead time", dead.Value, -tau*math.Log(0.99), dt)
	near(t, "response", resp.Value, tau*math.Log(10), dt)
	near(t, "settling", set.Value, tau*math.Log(50), dt)
	near(t, "overshoot", over.Value, 0, 1e-12)
	near(t, "resolution", resp.Res, dt+0.004, 1e-9)
	slope, err := s.Ramp(pts)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "slope", slope.Value, 80/(tau*math.Log(9)), 0.2)
}

func TestDeadTimeAndRamp(t *testing.T) {
	for _, tt := range []struct{ from, to, dead, slope float64 }{
		{0, 90, 0.2, 50}, {90, -90, 0.1, 300}, {-20, 0, 0, 7}, {10, 5, 1, 2},
	} {
		const dt = 0.01
		pts := respond(-1, 40, dt, ramp(tt.from, tt.to, tt.dead, tt.slope))
		s := metric.Step{From: tt.from, To: tt.to, Rated: 100}
		whole := math.Abs(tt.to - tt.from)
		dead, err1 := s.Dead(pts, 0.01)
		resp, err2 := s.Response(pts, 0.9)
		set, err3 := s.Settling(pts, 0.02, 5)
		slope, err4 := s.Ramp(pts)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatalf("%+v: %v", tt, err)
		}
		near(t, "dead time", dead.Value, tt.dead+1/tt.slope, 1.01*dt)
		near(t, "response", resp.Value, tt.dead+0.9*whole/tt.slope, 1.01*dt)
		near(t, "settling", set.Value, tt.dead+max(0, whole-2)/tt.slope, 1.01*dt)
		near(t, "slope", slope.Value, tt.slope, 0.02*tt.slope+slope.Res)
		if dev, err := s.Deviation(pts, set.Value); err != nil || dev.Value > 0.02 {
			t.Errorf("%+v: deviation %v, %v", tt, dev, err)
		}
	}
}

func TestOvershootAndTransition(t *testing.T) {
	pts := respond(0, 10, 0.01, func(t float64) float64 {
		if t > 1 && t < 2 {
			return -99
		}
		return ramp(90, -90, 0, 180)(t)
	})
	s := metric.Step{From: 90, To: -90, Rated: 100}
	over, err := s.Overshoot(pts)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "overshoot", over.Value, 9.0/180, 1e-9)
	// 90 % of 90 is 81: left at 0.05 s, reached at 0.95 s.
	tr, err := s.Transition(pts, 0.9)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "transition", tr.Value, 0.9, 0.0201)
	if tr.Res < 0.01 {
		t.Errorf("resolution %g is finer than the samples", tr.Res)
	}
}

func TestRampBand(t *testing.T) {
	s := metric.Step{From: 20, To: 100, Rated: 100}
	for _, tt := range []struct {
		name         string
		slope, dead  float64
		excess, lack bool
	}{
		{"as set", 10, 0, false, false},
		{"a little dead time", 10, 0.4, false, false},
		{"too fast", 12, 0, true, false},
		{"too slow", 8, 0, false, true},
	} {
		e, l, err := s.RampBand(respond(0, 12, 0.05, ramp(20, 100, tt.dead, tt.slope)), 10, 0.2, 0.05)
		if err != nil || e.Value > 1e-9 != tt.excess || l.Value > 1e-9 != tt.lack {
			t.Errorf("%s: excess %v, lack %v, %v", tt.name, e, l, err)
		}
	}
}

func TestWhatDoesNotHappen(t *testing.T) {
	s := metric.Step{To: 100, Rated: 100}
	flat := respond(0, 10, 0.1, func(float64) float64 { return 0 })
	for name, f := range map[string]func([]metric.Point) (metric.Measured, error){
		"dead":     func(p []metric.Point) (metric.Measured, error) { return s.Dead(p, 0.01) },
		"response": func(p []metric.Point) (metric.Measured, error) { return s.Response(p, 0.9) },
		"settling": func(p []metric.Point) (metric.Measured, error) { return s.Settling(p, 0.02, 5) },
	} {
		if m, err := f(flat); !errors.Is(err, metric.ErrNotReached) || !math.IsInf(m.Value, 1) {
			t.Errorf("%s of a dead device: %v, %v", name, m, err)
		}
		if m, err := f(nil); !errors.Is(err, metric.ErrNoData) || !math.IsNaN(m.Value) {
			t.Errorf("%s of nothing: %v, %v", name, m, err)
		}
	}
	if m, err := s.Zero(respond(0, 5, 0.1, func(float64) float64 { return 50 }), 0.02); !errors.Is(err, metric.ErrNotReached) {
		t.Errorf("zero: %v, %v", m, err)
	}
	// A settling that was not watched for its hold is not told.
	if m, err := s.Settling(respond(0, 3, 0.1, ramp(0, 100, 0, 100)), 0.02, 5); !errors.Is(err, metric.ErrNotReached) {
		t.Errorf("settled for 2 s: %v, %v", m, err)
	}
}

// TestTimesErrToTheSlowSide: whatever the samples, the true time lies within what is
// told, and never above it.
func TestTimesErrToTheSlowSide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dead := rapid.Float64Range(0, 2).Draw(t, "dead")
		slope := rapid.Float64Range(5, 1000).Draw(t, "slope")
		to := rapid.SampledFrom([]float64{-100, -20, 30, 100}).Draw(t, "to")
		dt := rapid.Float64Range(0.005, 0.5).Draw(t, "dt")
		late := rapid.Float64Range(0, 0.1).Draw(t, "late")
		phase := rapid.Float64Range(0, 1).Draw(t, "phase")
		pts := respond(-phase*dt, 60, dt, ramp(0, to, dead, slope))
		s := metric.Step{To: to, Rated: 100, Latency: late}
		m, err := s.Response(pts, 0.9)
		if err != nil {
			t.Fatal(err)
		}
		if want := dead + 0.9*math.Abs(to)/slope; want > m.Value+1e-9 || want < m.Value-m.Res-1e-9 {
			t.Fatalf("response %v, the truth is %g", m, want)
		}
	})
}

func TestNoiseWithinTheBand(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	f := ramp(0, 80, 0.1, 100)
	pts := respond(-1, 20, 0.05, func(t float64) float64 { return f(t) + 0.3*rng.NormFloat64() })
	s := metric.Step{To: 80, Rated: 100}
	set, err := s.Settling(pts, 0.02, 5)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "settling", set.Value, 0.88, 0.06)
	dev, err := s.Deviation(pts, set.Value)
	if err != nil || math.Abs(dev.Value) > 4*dev.Res || dev.Res > 0.001 {
		t.Errorf("deviation %v, %v", dev, err)
	}
}

func TestRoundTrip(t *testing.T) {
	in, out := metric.Energy(respond(0, 7200, 10, func(t float64) float64 {
		if t < 3600 {
			return 100
		}
		return -90
	}))
	near(t, "in", in, 100, 0.28) // an interval of 10 s lies across the change
	near(t, "out", out, 90, 0.28)
	net, gross, err := metric.RoundTrip([]metric.Cycle{{100, 90, 2, 1}, {100, 92, 2, 2}})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "gross", gross.Value, 0.91, 1e-12)
	near(t, "net", net.Value, (89.0/102+90.0/102)/2, 1e-12)
	if _, _, err := metric.RoundTrip(nil); !errors.Is(err, metric.ErrNoData) {
		t.Error(err)
	}
	if n, _, err := metric.RoundTrip([]metric.Cycle{{100, 90, math.NaN(), math.NaN()}}); err != nil || !math.IsNaN(n.Value) {
		t.Errorf("auxiliaries that nobody metered give %v, %v", n, err)
	}
}

func TestCountedCharge(t *testing.T) {
	amps := respond(0, 3600, 10, func(float64) float64 { return -50 })
	bent := func(by float64) []metric.Point {
		return respond(0, 3600, 10, func(t float64) float64 {
			x := t / 3600
			return 90 - 80*x + by*4*x*(1-x)
		})
	}
	for _, by := range []float64{0, 1.5, -3} {
		m, err := metric.Counted(bent(by), amps)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "error", m.Value, math.Abs(by), 0.01)
	}
}

func TestFollowingFindsTheLag(t *testing.T) {
	signal := func(t float64) float64 { return 50 * math.Sin(t/7) }
	for _, lag := range []float64{0, 0.5, 2} {
		pts := respond(0, 300, 0.1, func(t float64) float64 { return signal(t - lag) })
		f, err := metric.Follow(pts, signal, 100, metric.FollowBand, 0.1, 10)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "lag", f.Lag.Value, lag, 0.1001)
		near(t, "correlation", f.Correlation, 1, 1e-3)
		// |s(t−l) − s(t)| has the RMS 50·√2·|sin(l/14)|.
		near(t, "rms", f.RMSE, 0.5*math.Sqrt2*math.Abs(math.Sin(lag/14)), 1e-3)
		if lag == 0 && f.Within != 1 {
			t.Errorf("within %g of a perfect device", f.Within)
		}
	}
}

func TestTelemetry(t *testing.T) {
	if n, longest := metric.Gaps([]float64{0, 1, 2, 6, 7}, 3); n != 1 || longest != 4 {
		t.Errorf("%d gaps, longest %g", n, longest)
	}
	moving := respond(0, 10, 0.5, func(t float64) float64 { return 10 * t })
	stuck := respond(0, 10, 0.5, func(t float64) float64 { return min(t, 4) })
	near(t, "flat", metric.Flat(stuck, moving, 1, 0), 5.5, 1e-9) // from when the other had moved
	// A level that was held and then left is not flat because the other one was looked at
	// a moment later.
	held := respond(0, 10, 0.5, func(t float64) float64 { return math.Floor(t / 5) })
	ahead := respond(0, 10, 0.5, func(t float64) float64 { return 10 * math.Floor((t+0.5)/5) })
	near(t, "flat", metric.Flat(held, ahead, 1, 0), 0, 1e-9)
	// Nor one that the other was still on its way to when it was looked at.
	behind := respond(0, 10, 0.5, func(t float64) float64 { return 10 * math.Floor((t-0.5)/5) })
	near(t, "flat", metric.Flat(held, behind, 1, 1), 0, 1e-9)
	near(t, "flat", metric.Flat(stuck, moving, 1, 1), 4.5, 1e-9)
	if f := metric.Flat(stuck, respond(0, 10, 0.5, func(float64) float64 { return 7 }), 1, 0); f != 0 {
		t.Errorf("a battery at rest is flat for %g s", f)
	}
	wave := func(d float64) []metric.Point {
		return respond(0, 60, 0.01, func(t float64) float64 { return math.Sin(t-d) + math.Sin(3.1*(t-d)) })
	}
	m, err := metric.Offset(wave(0), wave(0.35), 0.01, 1)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "offset", m.Value, 0.35, 0.0101)
	if m, err := metric.Offset(moving[:2], moving, 0.1, 1); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("%v, %v", m, err)
	}
}

// hunan is the mean index of a response by the rule of that province.
func hunan(pts []metric.Point, signal settle.Curve) (k float64, n int, err error) {
	var c settle.Curve
	for _, p := range pts {
		c.T, c.KW = append(c.T, p.T), append(c.KW, p.V)
	}
	list, err := settle.Hunan.Counting.Adjustments(signal, c, 100)
	return settle.Mean(list, settle.Hunan.K), len(list), err
}

func TestMeanIndexOfCommands(t *testing.T) {
	signal := settle.Curve{T: []float64{-1, 0}, KW: []float64{0, 60}}
	slow, n, err := hunan(respond(-1, 100, 0.1, ramp(0, 60, 1, 1)), signal)
	if err != nil || n != 1 {
		t.Fatal(slow, n, err)
	}
	fast, _, err := hunan(respond(-1, 100, 0.1, ramp(0, 60, 0.1, 100)), signal)
	if err != nil || !(fast > slow) {
		t.Errorf("fast %g, slow %g, %v", fast, slow, err)
	}
}

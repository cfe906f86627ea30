package dispatch_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/fleet/image"
)

// feasible reports whether any sharing can give the demands (kW, each for h hours) from
// batteries of these powers and energies: by the theorem of the largest flow, the k largest
// demands must not need more than each battery can give in k steps.
func feasible(demand, kw, kwh []float64, h float64) bool {
	d := slices.Clone(demand)
	slices.Sort(d)
	slices.Reverse(d)
	need := 0.0
	for k := range d {
		need += d[k] * h
		can := 0.0
		for i := range kw {
			can += min(kwh[i], float64(k+1)*kw[i]*h)
		}
		if need > can+1e-9 {
			return false
		}
	}
	return true
}

// served plays demands on batteries under a strategy and returns the energy that is not
// given. charging turns everything round.
func served(t *testing.T, s dispatch.Strategy, demand, kw, kwh []float64, every time.Duration, charging bool) (short float64, reason string) {
	t.Helper()
	h := every.Hours()
	img := fleet(len(kw), 50)
	left := slices.Clone(kwh)
	p := planner(s)
	p.Settings.Every = every
	p.Window = func(s device.Slot) (lo, hi float64, why string) { // nothing beyond what is left
		most := min(kw[s], left[s]/h)
		return -most, most, "energy"
	}
	for i := range kw {
		img.Devices[i].Info.RatedKW, img.Devices[i].Info.CapacityKWh = kw[i], 1000
		img.Devices[i].Info.SoCMin, img.Devices[i].Info.SoCMax = 0, 100
	}
	for k, x := range demand {
		now := start.Add(time.Duration(k) * every)
		for i := range kw {
			soc := left[i] / 1000 * 100
			if charging {
				soc = 100 - soc
			}
			see(&img.Devices[i], now, soc)
			img.Devices[i].Good.MaxCharge, img.Devices[i].Good.MaxDischarge = kw[i], kw[i]
		}
		if !charging {
			x = -x
		}
		d := decide(t, p, now, img, x)
		short += math.Abs(d.Shortfall) * h
		if d.Shortfall != 0 {
			reason = d.Reason
		}
		for i, p := range powers(&d, len(kw)) {
			left[i] -= math.Abs(p) * h
		}
	}
	return short, reason
}

// TestTimeToGoIsRobust: demands that any sharing can meet are met, and where they are not,
// none could have. Other strategies fail some of them.
func TestTimeToGoIsRobust(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	possible, failed := 0, 0
	for trial := range 400 {
		n, steps := 2+rng.IntN(5), 2+rng.IntN(7)
		kw, kwh, demand := make([]float64, n), make([]float64, n), make([]float64, steps)
		var power, energy float64
		for i := range kw {
			kw[i], kwh[i] = 20+80*rng.Float64(), 5+150*rng.Float64()
			power, energy = power+kw[i], energy+kwh[i]
		}
		for k := range demand {
			demand[k] = min(2*energy/float64(steps)/0.25*rng.Float64(), power)
		}
		ok := feasible(demand, kw, kwh, 0.25)
		for _, charging := range []bool{false, true} {
			short, reason := served(t, dispatch.TimeToGo, demand, kw, kwh, 15*time.Minute, charging)
			if ok != (short < 1e-6) {
				t.Fatalf("trial %d, charging %v: possible %v, %g kWh short: %v of %v kW and %v kWh", trial, charging, ok, short, demand, kw, kwh)
			}
			if !ok && !strings.Contains(reason, "unavoidable") {
				t.Fatalf("trial %d: reason %q", trial, reason)
			}
		}
		if ok {
			possible++
			if short, _ := served(t, dispatch.Proportional, demand, kw, kwh, 15*time.Minute, false); short > 1e-6 {
				failed++
			}
		}
	}
	t.Logf("%d demands were possible; proportional sharing fails %d of them", possible, failed)
	if possible < 50 || failed == 0 {
		t.Errorf("%d demands were possible, proportional sharing fails %d: the test shows nothing", possible, failed)
	}
}

// TestTimeToGoInCycles: in short cycles, where the rule is smoothed, little is lost of what
// was possible.
func TestTimeToGoInCycles(t *testing.T) {
	kw, kwh := []float64{100, 100, 100, 50}, []float64{200, 120, 60, 10}
	demand := make([]float64, 200)
	for k := range demand {
		demand[k] = 100
		if k >= 180 { // three hours later
			demand[k] = 260
		}
	}
	h := time.Minute.Hours()
	var most float64
	for scale := 1.0; scale > 0; scale -= 0.001 {
		scaled := make([]float64, len(demand))
		for k := range demand {
			scaled[k] = scale * demand[k]
		}
		if feasible(scaled, kw, kwh, h) {
			demand, most = scaled, scale
			break
		}
	}
	total := 0.0
	for _, d := range demand {
		total += d * h
	}
	short, _ := served(t, dispatch.TimeToGo, demand, kw, kwh, time.Minute, false)
	other, _ := served(t, dispatch.Proportional, demand, kw, kwh, time.Minute, false)
	t.Logf("at %.3f of the demand, the most that is possible: %.2f %% short, proportional sharing %.2f %%", most, 100*short/total, 100*other/total)
	if short > 0.02*total || other < 2*short {
		t.Errorf("%g of %g kWh short, proportional sharing %g", short, total, other)
	}
}

// TestWhatIsUnavoidable: the reason says whether some are empty while others are not.
func TestWhatIsUnavoidable(t *testing.T) {
	for _, tt := range []struct {
		socs []float64
		kw   float64
		want string
	}{
		{[]float64{50, 50}, -250, "unavoidable: all devices are at their power"},
		{[]float64{5, 4}, -10, "unavoidable: all devices are empty"},
		{[]float64{95, 99}, 10, "unavoidable: all devices are full"},
		{[]float64{5, 50}, -150, "1 device is empty while others have 90 kWh to go"},
	} {
		img := fleet(len(tt.socs), 50)
		for i, soc := range tt.socs {
			see(&img.Devices[i], start, soc)
		}
		if d := decide(t, planner(dispatch.TimeToGo), start, img, tt.kw); !strings.Contains(d.Reason, tt.want) {
			t.Errorf("%v %%, %g kW: %q, want %q", tt.socs, tt.kw, d.Reason, tt.want)
		}
	}
}

// TestWhatIsNotTheSharing: what keeps devices from their power and is no matter of how they
// were shared before is told apart.
func TestWhatIsNotTheSharing(t *testing.T) {
	fault := func(d *image.Device) { d.Good.Status = device.Fault }
	lost := func(d *image.Device) { d.Good.At = 1 }
	for _, tt := range []struct {
		name   string
		socs   []float64
		second func(*image.Device)
		limits []dispatch.Limit
		sd     float64
		want   string
	}{
		{
			"limit",
			[]float64{50, 50},
			nil,
			[]dispatch.Limit{{Name: "f", Devices: "n-*", Import: 120, Export: 80}},
			0,
			"limits hold 2 devices back that have 180 kWh to go",
		},
		{
			"limit of the empty",
			[]float64{5, 5, 50},
			nil,
			[]dispatch.Limit{{Name: "f", Devices: "n-*", Import: 120, Export: 80}},
			0,
			"2 devices are empty while others have 90 kWh to go: unavoidable unless they were used otherwise before",
		},
		{
			"one empty, one in fault",
			[]float64{5, 60},
			fault, nil, 0,
			"unavoidable: all devices that can be told are empty; 1 cannot",
		},
		{
			"one in fault",
			[]float64{50, 50},
			fault, nil, 0,
			"unavoidable: all devices that can be told are at their power; 1 cannot",
		},
		{
			"unreachable",
			[]float64{50, 50},
			lost, nil, 0,
			"unavoidable: all devices that can be told are at their power; 1 cannot",
		},
		{"none", []float64{50}, nil, nil, 0, "unavoidable: all devices are at their power"},
		{"uncertain", []float64{6, 6}, nil, nil, 2, "2 devices are held back by uncertain charge"},
		{"one uncertain, one at its power", []float64{6, 50}, nil, nil, 2, "1 device is held back by uncertain charge"},
	} {
		img := fleet(len(tt.socs), 50)
		for i, soc := range tt.socs {
			img.Devices[i].Info.ID = device.ID([]string{"n-1", "n-2", "s-1"}[i])
			see(&img.Devices[i], start, soc)
		}
		if tt.second != nil {
			tt.second(&img.Devices[1])
		}
		p := limited(t, dispatch.TimeToGo, tt.limits...)
		if tt.sd > 0 {
			p.Settings.Risk, p.Settings.SoCSD = 0.01, tt.sd
		}
		d := decide(t, p, start, img, -250)
		if _, got, _ := strings.Cut(d.Reason, tt.want); got != "" || !strings.HasSuffix(d.Reason, "; "+tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, d.Reason, tt.want)
		}
	}
}

// TestChance: with a standard deviation of the state of charge the true one leaves the
// window within the life of a setpoint no more often than the risk allows, and not much less
// where the window binds.
func TestChance(t *testing.T) {
	const sd, trials = 2.0, 40_000
	for _, risk := range []float64{0.2, 0.05, 0.01} {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, side := range []float64{-1, 1} {
			left := 0
			worst := 0.0
			for _, off := range []float64{0.5, 2, 4, 6, 8} { // percent from the edge, as it is read
				soc := 5 + off
				if side > 0 {
					soc = 95 - off
				}
				img := fleet(1, soc)
				p := planner(dispatch.Proportional)
				p.Settings.Every, p.Settings.Risk, p.Settings.SoCSD = 15*time.Minute, risk, sd
				d := decide(t, p, start, img, 100*side)
				moved := powers(&d, 1)[0] * p.Settings.Life().Hours() / 200 * 100
				if moved == 0 {
					continue // stays where it is
				}
				left = 0
				for range trials {
					true := soc + sd*rng.NormFloat64() + moved
					if true < 5 || true > 95 {
						left++
					}
				}
				worst = max(worst, float64(left)/trials)
			}
			if worst > risk+4*math.Sqrt(risk/trials) || worst < risk/2 {
				t.Errorf("risk %g, side %g: the window is left with %.4f", risk, side, worst)
			}
		}
	}
	img := fleet(2, 10)
	img.Devices[1].Info.SoCSD = 0.1 // its own goes first
	p := planner(dispatch.Proportional)
	p.Settings.Risk, p.Settings.SoCSD = 0.01, 5
	d := decide(t, p, start, img, -150)
	if got := powers(&d, 2); got[0] != 0 || got[1] != -100 || !strings.Contains(d.Reason, "state of charge uncertain") {
		t.Errorf("%v kW, %q", got, d.Reason)
	}
}

// TestChanceCountsHealth: the capacity that is left decides how fast charge moves.
func TestChanceCountsHealth(t *testing.T) {
	img := fleet(1, 13)
	img.Devices[0].Good.SoH = 70
	p := planner(dispatch.Proportional)
	p.Settings.Every, p.Settings.Risk, p.Settings.SoCSD = 15*time.Minute, 0.01, 2
	d := decide(t, p, start, img, -100)
	soc := 13 + powers(&d, 1)[0]*p.Settings.Life().Hours()/140*100
	if risk := 0.5 * math.Erfc((soc-5)/2/math.Sqrt2); !near(risk, 0.01) {
		t.Errorf("down to %.2f %%: the window is left with %.4f, 0.01 is allowed", soc, risk)
	}
}

// TestSoHWeight: of two alike the one in worse health does less, by its weight.
func TestSoHWeight(t *testing.T) {
	img := fleet(2, 50)
	img.Devices[1].Good.SoH = 80
	p := planner(dispatch.Proportional)
	p.Settings.SoHWeight = 2
	d := decide(t, p, start, img, -100)
	if got := powers(&d, 2); !near(got[1]/got[0], 0.64) {
		t.Errorf("%v kW, want 0.64 of the other's for the second", got)
	}
	p = planner(dispatch.Proportional)
	d = decide(t, p, start, img, -100)
	if got := powers(&d, 2); !near(got[1], got[0]) {
		t.Errorf("%v kW without a weight", got)
	}
}

func TestDroop(t *testing.T) {
	d := dispatch.Droop{NominalHz: 50, Percent: 4, DeadbandHz: 0.02, RecoverKW: 30, RecoverPercent: 50}
	for _, tt := range []struct{ hz, power, recover float64 }{
		{50, 0, 30}, {49.98, 0, 30}, {50.02, 0, 30}, {49.48, -250, 0}, {51.02, 500, 0}, {47, -1000, 0}, {53, 1000, 0}, {math.NaN(), 0, 0},
	} {
		if got := d.Power(tt.hz, 1000); !near(got, tt.power) {
			t.Errorf("%g Hz: %g kW, want %g", tt.hz, got, tt.power)
		}
		if got := d.Recover(tt.hz, 40, 2000); !near(got, tt.recover) {
			t.Errorf("%g Hz: %g kW to recover, want %g", tt.hz, got, tt.recover)
		}
	}
	d.MostKW = 100
	if got := d.Power(49, 1000); got != -100 {
		t.Errorf("%g kW beyond the bound", got)
	}
	if got := d.Recover(50, 50.05, 2000); !near(got, -4) {
		t.Errorf("%g kW near the aim, want -4", got)
	}
	if got := d.Recover(50, math.NaN(), 0); got != 0 {
		t.Errorf("%g kW for a fleet that does not say its charge", got)
	}
	bad := dispatch.Droop{NominalHz: 0, Percent: 0, DeadbandHz: -1, MostKW: -1, RecoverKW: -1}
	if err := bad.Validate(); err == nil || strings.Count(err.Error(), "is none") != 5 {
		t.Error(err)
	}
}

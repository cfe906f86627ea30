package metric_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"yunchu/harness/metric"
	"yunchu/platform/device"
)

// TestRevenue: what is discharged is sold and what is charged is bought, each at the price of its step; a step
// without a price earns nothing.
func TestRevenue(t *testing.T) {
	c := metric.New(metric.Config{RatedKW: 1000, Devices: 1})
	for _, s := range []struct{ kw, price float64 }{{100, 0.1}, {-50, 0.4}, {-50, nan}, {20, -0.05}} {
		c.Step(metric.Sample{DT: 1800, TargetKW: nan, AskedKW: nan, PowerKW: s.kw, ImportKW: nan, StoredKWh: nan, PricePerKWh: s.price})
	}
	want(t, c, "market.revenue", "", -50*0.1+25*0.4+10*0.05, 1e-9)
	if _, _, _, _, err := follow(10, constant(1), constant(1)).Value("market.revenue", ""); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("without a price: %v", err)
	}
}

// TestWearCost: cycles cost what rainflow counting says of them: each closed cycle of a depth its cost up to
// that depth, and half of that for a half cycle that stays open.
func TestWearCost(t *testing.T) {
	wear := device.Wear{{ToPercent: 20, CostPerKWh: 0.01}, {ToPercent: 60, CostPerKWh: 0.02}, {ToPercent: 100, CostPerKWh: 0.05}}
	cost := func(depth float64) float64 { // of a cycle, for 200 kWh
		return 200 * (0.01*min(depth, 0.2) + 0.02*min(max(depth-0.2, 0), 0.4) + 0.05*max(depth-0.6, 0))
	}
	run := func(soc ...float64) *metric.Collector {
		c := metric.New(metric.Config{RatedKW: 100, Devices: 2, Units: []metric.Device{{CapacityKWh: 215}, {CapacityKWh: 200, Wear: wear}}})
		for i, x := range soc {
			c.Step(metric.Sample{T: float64(i), DT: 1, TargetKW: nan, AskedKW: nan, PowerKW: 0, ImportKW: nan, StoredKWh: nan, SoC: []float64{math.NaN(), x}})
		}
		return c
	}
	want(t, run(90, 20, 90), "fleet.wear_cost", "", cost(0.7), 1e-9)
	want(t, run(90, 20), "fleet.wear_cost", "", cost(0.7)/2, 1e-9)
	want(t, run(90, 20), "fleet.wear_cost", "count", 1, 0) // of one device of two it is known
	want(t, run(50, 60, 50, 60, 50), "fleet.wear_cost", "", 2*cost(0.1), 1e-9)
	want(t, run(90, 50, 60, 20, 90), "fleet.wear_cost", "", cost(0.1)+cost(0.7), 1e-9) // a small cycle within a large one
	// In however many steps.
	var fine []float64
	for x := 90.0; x >= 20; x -= 0.5 {
		fine = append(fine, x)
	}
	want(t, run(fine...), "fleet.wear_cost", "", cost(0.7)/2, 1e-9)
	// Anything costs no less than its largest cycle and no more than all of its way at the dearest step.
	rng := rand.New(rand.NewPCG(1, 2))
	soc, way := []float64{50}, 0.0
	for range 200 {
		soc = append(soc, min(max(soc[len(soc)-1]+20*rng.NormFloat64(), 0), 100))
		way += math.Abs(soc[len(soc)-1]-soc[len(soc)-2]) / 100
	}
	v, _, _, _, err := run(soc...).Value("fleet.wear_cost", "")
	if err != nil || v < cost(0.9)/2 || v > 0.05*200*way/2 {
		t.Errorf("%v, %v of a way of %v", v, err, way)
	}
	if _, _, _, _, err := follow(10, constant(1), constant(1)).Value("fleet.wear_cost", ""); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("without wear: %v", err)
	}
}

// TestForesight: who does just what is best has all of it, who does half as much half of it, and who buys dear and
// sells cheap less than nothing.
func TestForesight(t *testing.T) {
	// 100 kW and 100 kWh for two hours at 0.1 and two at 0.5: full and empty again, lossless.
	run := func(kw func(hour int) float64) *metric.Collector {
		c := metric.New(metric.Config{RatedKW: 100, Devices: 1, Units: []metric.Device{{CapacityKWh: 100, SoCMin: 0, SoCMax: 100}}})
		stored := 0.0
		for i := range 4*60 + 1 {
			s := metric.Sample{T: 60 * float64(i), DT: 60, TargetKW: nan, AskedKW: nan, ImportKW: nan, PricePerKWh: 0.1}
			if i == 0 {
				s.DT, s.PricePerKWh = 0, nan
			} else {
				s.PowerKW = kw((i - 1) / 60)
				stored += s.PowerKW / 60
			}
			if i > 120 {
				s.PricePerKWh = 0.5
			}
			s.StoredKWh, s.SoC, s.UnitKW = stored, []float64{stored}, []float64{s.PowerKW}
			c.Step(s)
		}
		return c
	}
	for _, tt := range []struct {
		kw    [4]float64
		ratio float64
	}{{[4]float64{100, 0, 0, -100}, 1}, {[4]float64{25, 25, -25, -25}, 0.5}, {[4]float64{0, 0, 50, -50}, 0}} {
		want(t, run(func(h int) float64 { return tt.kw[h] }), "market.revenue_ratio", "", tt.ratio, 1e-6)
	}
	// Ending with more than it began is held against what could be earned with that.
	want(t, run(func(h int) float64 { return [4]float64{100, 0, 0, -50}[h] }), "market.revenue_ratio", "", 1, 1e-6)
	if _, _, _, _, err := run(func(int) float64 { return 0 }).Value("market.revenue_ratio", ""); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("nothing done: %v", err)
	}
}

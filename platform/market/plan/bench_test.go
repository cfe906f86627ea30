package plan_test

import (
	"testing"

	"yunchu/platform/market/plan"
)

// battery is a day of quarter-hours of one battery, with wear in so many segments.
func battery(segments int) plan.Portfolio {
	p := day(wave(96, 1))
	p.Hours = 0.25
	for j := range segments {
		x := float64(j+1) / float64(segments)
		p.Sites[0].Battery.Wear = append(p.Sites[0].Battery.Wear, plan.Segment{To: x, PerMWh: 1 + 8*x})
	}
	return p
}

func bench(b *testing.B, p plan.Portfolio) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Best(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBattery(b *testing.B) { bench(b, battery(0)) }

func BenchmarkWear(b *testing.B) { bench(b, battery(8)) }

// BenchmarkFleet is 100 sites with loads, PV, tariffs, wear in 3 segments and a feeder in common.
func BenchmarkFleet(b *testing.B) { bench(b, fleet(100, 96, 1)) }

// BenchmarkFleetPlain is the same without wear, loads and tariffs.
func BenchmarkFleetPlain(b *testing.B) {
	p := fleet(100, 96, 1)
	for i := range p.Sites {
		s := &p.Sites[i]
		s.Battery.Wear, s.Sell, s.PV, s.Demand = nil, nil, nil, nil
	}
	bench(b, p)
}

// BenchmarkBelowZero has prices so low that charging and discharging at once would pay for hours.
func BenchmarkBelowZero(b *testing.B) {
	p := battery(0)
	for t := range p.Sites[0].Buy {
		p.Sites[0].Buy[t] -= 40
	}
	bench(b, p)
}

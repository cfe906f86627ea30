package plan_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"yunchu/platform/market/lp"
	"yunchu/platform/market/plan"
)

// street is very many sites behind a feeder and a branch of it, of some kind: with batteries alone, or with loads, PV and
// tariffs, or with limits of their own and wear as well.
func street(sites, intervals int, kind string) plan.Portfolio {
	p := fleet(sites, intervals, 1)
	for i := range p.Sites {
		s := &p.Sites[i]
		s.Battery.Wear, s.Curtail, s.ImportMW, s.ExportMW = nil, false, math.Inf(1), math.Inf(1)
		s.Battery.VariableCost = 2
		switch kind {
		case "batteries":
			s.Load, s.PV, s.Sell = nil, nil, nil
		case "limits":
			s.ImportMW, s.ExportMW = 1.7, 1.2
			s.Battery.Wear = []plan.Segment{{To: 1, PerMWh: 3}}
		}
		if i%7 == 0 {
			s.Battery.End = plan.End{Least: s.Battery.Least, Most: s.Battery.Most, Price: 40}
		}
		if i%11 == 0 {
			s.Battery = plan.Battery{}
		}
	}
	n := float64(sites)
	feeder := &p.Limits[0]
	feeder.ImportMW, feeder.ExportMW = 0.35*n, 0.25*n
	branch := plan.Limit{Name: "branch", Sites: feeder.Sites[:sites/2], ImportMW: 0.16 * n, ExportMW: 0.1 * n}
	if kind != "batteries" {
		feeder.ImportMW, branch.ImportMW = 0.9*n, 0.43*n
	}
	p.Limits = append(p.Limits, branch)
	return p
}

// TestMany: very many plain sites are solved by what they are made of. The same with wear in two slices of equal cost,
// which is not plain, is solved as a linear program, and is worth as much; and so do the prices of what binds.
func TestMany(t *testing.T) {
	const sites = 150
	kinds, intervals := []string{"limits", "batteries", "tariffs"}, 12
	if testing.Short() {
		kinds, intervals = kinds[:1], 6
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			quick, general := street(sites, intervals, kind), street(sites, intervals, kind)
			for i := range general.Sites {
				b := &general.Sites[i].Battery
				cost := 0.0
				if len(b.Wear) > 0 {
					cost = b.Wear[0].PerMWh
				}
				b.Wear = []plan.Segment{{To: 0.5, PerMWh: cost}, {To: 1, PerMWh: cost}}
			}
			if !quick.Plain(t.Context()) || general.Plain(t.Context()) {
				t.Fatalf("plain: %v and %v", quick.Plain(t.Context()), general.Plain(t.Context()))
			}
			got, want := solved(t, &quick), solved(t, &general)
			kept(t, &quick, got)
			near(t, "value", got.Value, want.Value, 1e-6)
			near(t, "bound", got.AtMost, want.AtMost, 1e-6)
			near(t, "energy", got.Totals.Energy, want.Totals.Energy, 1e-4)
			if got.AtMost < got.Value || got.AtMost-got.Value > 1e-6*math.Abs(got.Value) {
				t.Errorf("it is worth %v, no plan more than %v", got.Value, got.AtMost)
			}
			worth := func(p *plan.Plan, of string) float64 {
				for _, b := range p.Bounds {
					if b.Of == of {
						return b.Worth
					}
				}
				return 0
			}
			for _, of := range []string{"feeder", "branch"} {
				near(t, "a MW more of the "+of, worth(got, of), worth(want, of), 1e-3)
			}
		})
	}
}

// TestManyBehindTooLittle: that very many plain sites cannot keep to a limit is proven without the general method, where power
// would do and energy does not.
func TestManyBehindTooLittle(t *testing.T) {
	p := street(150, 24, "tariffs")
	p.Limits[1].ImportMW = math.Inf(1)
	load, held := 0.0, 0.0
	for i := range p.Sites {
		held += p.Sites[i].Battery.Start
		for at := range p.Intervals {
			load += (p.Sites[i].Load[at] - p.Sites[i].PV[at]) / float64(p.Intervals)
		}
	}
	p.Limits[0].ImportMW = load - 1.2*held/p.Hours/float64(p.Intervals)
	var limit *plan.TooClose
	if _, err := p.Best(t.Context()); !p.Plain(t.Context()) || !errors.Is(err, lp.ErrInfeasible) || errors.As(err, &limit) {
		t.Errorf("a feeder for less than what is stored leaves of a load of %v MW: %v, plain %v", load, err, p.Plain(t.Context()))
	}
}

// BenchmarkMany is a day of quarter-hours of very many sites, of which BenchmarkFleetPlain and BenchmarkFleet are 100.
func BenchmarkMany(b *testing.B) {
	for _, kind := range []string{"batteries", "tariffs", "limits"} {
		b.Run(fmt.Sprint(kind), func(b *testing.B) { bench(b, street(1000, 96, kind)) })
	}
}

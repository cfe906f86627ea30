package plan_test

import (
	"errors"
	"math"
	"testing"

	"yunchu/platform/market/lp"
	"yunchu/platform/market/plan"
)

// TestTooClose: a limit that load and PV pass whatever batteries do is named, with when; one that they just keep to is not.
func TestTooClose(t *testing.T) {
	inf := math.Inf(1)
	base := func() plan.Portfolio {
		out := plan.Portfolio{Intervals: 3, Hours: 1, Labels: []string{"0 h", "1 h", "2 h"}}
		for _, name := range []string{"a", "b"} {
			out.Sites = append(out.Sites, plan.Site{
				Name: name, ImportMW: inf, ExportMW: inf,
				Outlook: plan.Outlook{Buy: []float64{10, 20, 30}, Load: []float64{1, 2, 2.5}, PV: []float64{0, 0, 4}},
				Battery: plan.Battery{ChargeMW: 0.5, DischargeMW: 0.5, MWh: 2, Most: 2, Start: 1, In: 1, Out: 1, End: plan.End{Most: 2}},
			})
		}
		return out
	}
	for _, x := range []struct {
		want string
		set  func(p *plan.Portfolio)
	}{
		{"", func(p *plan.Portfolio) { p.Sites[0].ImportMW = 1.5 }},
		{"the import limit of a is 1400 kW, and at least 1500 kW remain at 1 h", func(p *plan.Portfolio) { p.Sites[0].ImportMW = 1.4 }},
		{"the import limit of b is 400 kW, and at least 500 kW remain at 0 h, and too much in 1 more", func(p *plan.Portfolio) { p.Sites[1].ImportMW = 0.4 }},
		{"", func(p *plan.Portfolio) { p.Sites[0].ExportMW = 1 }},
		{"the export limit of a is 900 kW, and at least 1000 kW remain at 2 h", func(p *plan.Portfolio) { p.Sites[0].ExportMW = 0.9 }},
		{"", func(p *plan.Portfolio) { p.Sites[0].ExportMW, p.Sites[0].Curtail = 0.9, true }},
		{"", func(p *plan.Portfolio) {
			p.Limits = []plan.Limit{{Name: "feeder", Sites: []int{0, 1}, ImportMW: 3, ExportMW: inf}}
		}},
		{"the import limit of feeder is 2900 kW, and at least 3000 kW remain at 1 h", func(p *plan.Portfolio) {
			p.Limits = []plan.Limit{{Name: "feeder", Sites: []int{0, 1}, ImportMW: 2.9, ExportMW: inf}}
		}},
		{"the import limit of a is 1400 kW, and at least 1500 kW remain at 1 h", func(p *plan.Portfolio) {
			p.Sites[0].ImportMW = 1.4
			for _, more := range []float64{1, 0} {
				some := []plan.Outlook{p.Sites[0].Outlook, p.Sites[1].Outlook}
				some[1].Load = []float64{1 + more, 2, 2.5}
				p.Scenarios = append(p.Scenarios, plan.Scenario{Weight: 1, Sites: some})
			}
		}},
	} {
		p := base()
		x.set(&p)
		_, err := p.Best(t.Context())
		var limit *plan.TooClose
		switch {
		case x.want == "" && err != nil:
			t.Errorf("it can be kept to: %v", err)
		case x.want != "" && (!errors.As(err, &limit) || !errors.Is(err, lp.ErrInfeasible) || err.Error() != x.want):
			t.Errorf("%v, want: %v", err, x.want)
		}
	}
}

// TestOutOfReach: a limit for which the batteries hold too little or too much is named with when, and what cannot be stored by the
// end with how much can; what is just within reach is not.
func TestOutOfReach(t *testing.T) {
	inf := math.Inf(1)
	base := func() plan.Portfolio {
		out := plan.Portfolio{Intervals: 3, Hours: 1, Labels: []string{"0 h", "1 h", "2 h"}}
		for _, name := range []string{"a", "b"} {
			out.Sites = append(out.Sites, plan.Site{
				Name: name, ImportMW: inf, ExportMW: inf,
				Outlook: plan.Outlook{Buy: []float64{10, 20, 30}, Load: []float64{1, 2, 2.5}, PV: []float64{0, 0, 5}},
				Battery: plan.Battery{ChargeMW: 2.5, DischargeMW: 2, MWh: 2, Least: 0.2, Most: 2, Start: 1, In: 0.8, Out: 0.5, End: plan.End{Least: 0.2, Most: 2}},
			})
		}
		return out
	}
	battery := func(b func(b *plan.Battery)) func(p *plan.Portfolio) {
		return func(p *plan.Portfolio) { b(&p.Sites[1].Battery) }
	}
	for _, x := range []struct {
		want string
		set  func(p *plan.Portfolio)
	}{
		// 0.8 MWh are out of a at most, of which half is sold, and 0.8 of what it may take first are in it.
		{"", func(p *plan.Portfolio) { p.Sites[0].ImportMW = 1.46 }},
		{"the import limit of a is 1400 kW, and its battery lacks at least 80 kWh at 1 h to keep to it", func(p *plan.Portfolio) { p.Sites[0].ImportMW = 1.4 }},
		{"", func(p *plan.Portfolio) {
			p.Sites[0].ExportMW, p.Sites[0].Load[2], p.Sites[0].Battery.Start = 0, 2.75, 0.2
		}},
		{"the export limit of a is 0 kW, and its battery has no room for at least 1200 kWh at 2 h to keep to it", func(p *plan.Portfolio) {
			p.Sites[0].ExportMW, p.Sites[0].Load, p.Sites[0].PV = 0, []float64{0, 0, 0}, []float64{1, 0, 2.5}
			p.Sites[0].Battery.Least, p.Sites[0].Battery.End.Least = 1.2, 1.2
			p.Sites[0].Battery.Start = 1.2
		}},
		{"", func(p *plan.Portfolio) {
			p.Sites[0].ExportMW, p.Sites[0].Curtail = 0, true
			p.Sites[0].PV = []float64{3, 4, 5}
		}},
		{"", battery(func(b *plan.Battery) { b.MWh, b.Most, b.End = 9, 9, plan.End{Least: 7, Most: 9} })},
		{"the battery of b is to hold 7500 kWh at the end, and 7000 kWh are the most that it comes to", battery(func(b *plan.Battery) { b.MWh, b.Most, b.End = 9, 9, plan.End{Least: 7.5, Most: 9} })},
		{"", battery(func(b *plan.Battery) { b.MWh, b.Most, b.Start, b.End = 30, 30, 14, plan.End{Least: 1, Most: 2} })},
		{"the battery of b is to hold no more than 1500 kWh at the end, and 2000 kWh are the least that it comes to", battery(func(b *plan.Battery) { b.MWh, b.Most, b.Start, b.End = 30, 30, 14, plan.End{Least: 1, Most: 1.5} })},
		{"", func(p *plan.Portfolio) {
			p.Limits = []plan.Limit{{Name: "feeder", Sites: []int{0, 1}, ImportMW: 2.92, ExportMW: inf}}
		}},
		{"the import limit of feeder is 2800 kW, and its batteries lack at least 160 kWh at 1 h to keep to it", func(p *plan.Portfolio) {
			p.Limits = []plan.Limit{{Name: "feeder", Sites: []int{0, 1}, ImportMW: 2.8, ExportMW: inf}}
		}},
	} {
		p := base()
		x.set(&p)
		_, err := p.Best(t.Context())
		var out *plan.OutOfReach
		switch {
		case x.want == "" && err != nil:
			t.Errorf("it can be kept to: %v", err)
		case x.want != "" && (!errors.As(err, &out) || !errors.Is(err, lp.ErrInfeasible) || err.Error() != x.want):
			t.Errorf("%v, want: %v", err, x.want)
		}
	}
}

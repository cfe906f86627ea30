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
		_, err := p.Best()
		var limit *plan.TooClose
		switch {
		case x.want == "" && err != nil:
			t.Errorf("it can be kept to: %v", err)
		case x.want != "" && (!errors.As(err, &limit) || !errors.Is(err, lp.ErrInfeasible) || err.Error() != x.want):
			t.Errorf("%v, want: %v", err, x.want)
		}
	}
}

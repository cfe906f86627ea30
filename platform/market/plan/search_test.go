package plan

import (
	"math"
	"slices"
	"testing"
)

// TestOneWay: what can go one way only, a battery that only gives and a connection that only does, has no two ways to share.
func TestOneWay(t *testing.T) {
	p := &Portfolio{Hours: 1, Intervals: 1, Weights: Even, Sites: []Site{{
		Outlook: Outlook{Buy: []float64{30}, Sell: []float64{40}, PV: []float64{3}}, ImportMW: math.Inf(1), ExportMW: math.Inf(1),
		Battery: Battery{DischargeMW: 1, MWh: 2, Most: 2, In: 1, Out: 1, Start: 1},
	}}}
	w := &ways{map[[2]int]way{{0, 0}: shared}, map[[3]int]way{{0, 0, 0}: shared}}
	f, err := attempt(t.Context(), p, w, aim{})
	if err != nil {
		t.Fatal(err)
	}
	if want := -4.0 * 40; math.Abs(f.cost-want) > 1e-3 {
		t.Errorf("it costs %v, not %v", f.cost, want)
	}
}

// TestPeakOfAllScenarios: a peak that is the same in all scenarios is written down once, and what comes of it is what comes of
// one for each; where a load or what may be turned down differs each has its own.
func TestPeakOfAllScenarios(t *testing.T) {
	inf, n := math.Inf(1), 8
	load := []float64{1, 3, 2, 4, 1, 2, 5, 1}
	off := slices.Clone(load)
	off[6] += 1e-12
	site := Site{
		ImportMW: inf, ExportMW: inf, Demand: []Demand{{PerMW: 300}, {PerMW: 100, Within: []bool{3: true, 7: false}}},
		Battery: Battery{ChargeMW: 2, DischargeMW: 2, MWh: 4, Most: 4, In: 0.9, Out: 0.95, Start: 1, End: End{Least: 1, Most: 1}},
	}
	portfolio := func(load ...[]float64) *Portfolio {
		p := &Portfolio{Hours: 1, Intervals: n, Weights: Even, Sites: []Site{site}, Risk: Risk{Weight: 0.5, Level: 0.5}}
		for k, load := range load {
			o := Outlook{Load: load, PV: make([]float64, n)}
			for at := range n {
				price := 40 + 10*math.Sin(float64(3*at+7*k))
				o.Buy, o.Sell = append(o.Buy, price+5), append(o.Sell, price-5)
				o.PV[at] = 0.5
			}
			p.Scenarios = append(p.Scenarios, Scenario{Weight: float64(1 + k), Sites: []Outlook{o}})
		}
		p.Sites[0].Outlook = p.Scenarios[0].Sites[0]
		return p
	}
	peaks := func(p *Portfolio) (rows int) {
		for _, g := range newModel(p, &ways{}, aim{}).rows {
			if g.kind == peakSoFar {
				rows++
			}
		}
		return rows
	}
	same, other := portfolio(load, load, load), portfolio(load, off, load)
	if one, two := peaks(same), peaks(other); one != n+1 || two != 2*(n+1) {
		t.Errorf("%d rows of peaks where all are the same, %d where one is not", one, two)
	}
	same.Sites[0].Curtail = true
	if each := peaks(same); each != 3*(n+1) {
		t.Errorf("%d rows of peaks where PV may be turned down", each)
	}
	same.Sites[0].Curtail = false
	a, err := same.Best(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := other.Best(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	alike := func(what string, x, y []float64) {
		t.Helper()
		for k := range x {
			if math.Abs(x[k]-y[k]) > 1e-5*(1+math.Abs(y[k])) {
				t.Errorf("%s %d: %v with one peak, %v with two", what, k, x[k], y[k])
			}
		}
	}
	alike("value, bound and demand", []float64{a.Value, a.AtMost, a.Totals.Demand}, []float64{b.Value, b.AtMost, b.Totals.Demand})
	alike("outcome", a.Outcomes, b.Outcomes)
	alike("peak", a.Sites[0].Peaks, b.Sites[0].Peaks)
	alike("charge", a.Sites[0].Charge, b.Sites[0].Charge)
	alike("discharge", a.Sites[0].Discharge, b.Sites[0].Discharge)
}

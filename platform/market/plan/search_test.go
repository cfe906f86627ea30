package plan

import (
	"math"
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

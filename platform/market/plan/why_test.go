package plan_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"yunchu/platform/market/plan"
)

// TestIdleBetween: an interval that is idle stays so at any price between the two that are said, corners or not: the plan
// earns the same.
func TestIdleBetween(t *testing.T) {
	checked := 0
	for seed := range cases(6) {
		p := day(wave(12, seed))
		b := &p.Sites[0].Battery
		b.In, b.Out, b.MWh, b.Most, b.Start, b.End = 0.9, 0.95, 2, 2, 1, plan.End{Least: 1, Most: 1}
		if seed%2 == 1 {
			b.Wear = []plan.Segment{{To: 0.5, PerMWh: 2}, {To: 1, PerMWh: 9}}
		}
		got := solved(t, &p)
		s := &got.Sites[0]
		for k := range p.Intervals {
			if s.Charge[k]+s.Discharge[k] > 0 {
				continue
			}
			for _, price := range []float64{s.Below[k], s.Above[k]} {
				moved := p
				moved.Sites = slices.Clone(p.Sites)
				moved.Sites[0].Buy = slices.Clone(p.Sites[0].Buy)
				moved.Sites[0].Buy[k] = price
				near(t, "value", solved(t, &moved).Value, got.Value, 1e-5)
				checked++
			}
		}
	}
	if checked < 8 {
		t.Errorf("only %d prices were looked at", checked)
	}
}

// TestWorthAtMost: a MW or MWh more of what binds is worth no more than is said.
func TestWorthAtMost(t *testing.T) {
	const more = 1e-3
	for seed := range cases(6) {
		p := day(wave(12, seed))
		b := &p.Sites[0].Battery
		b.In = []float64{0.5, 0.9, 1}[seed%3]
		got := solved(t, &p)
		said := map[string]float64{}
		for _, x := range got.Bounds {
			said[x.Name] = x.Worth
		}
		for name, room := range map[string]func(*plan.Battery){
			"charge power":    func(b *plan.Battery) { b.ChargeMW += more },
			"discharge power": func(b *plan.Battery) { b.DischargeMW += more },
			"energy: full":    func(b *plan.Battery) { b.MWh, b.Most = b.MWh+more, b.Most+more },
		} {
			roomy := p
			roomy.Sites = slices.Clone(p.Sites)
			room(&roomy.Sites[0].Battery)
			if worth := (solved(t, &roomy).Value - got.Value) / more; worth > said[name]+1e-2 || math.IsNaN(worth) {
				t.Errorf("day %d: more %s is worth %v, more than %v", seed, name, worth, said[name])
			}
		}
	}
}

// TestSlightMoves: a few watts of a megawatt are no charging that somebody would look for a reason of.
func TestSlightMoves(t *testing.T) {
	p := day([]float64{10, 50, 50, 50, 50})
	b := &p.Sites[0].Battery
	b.In, b.Out, b.Start, b.End = 1, 1, b.Most-4e-6, plan.End{Least: 0, Most: b.Most}
	got := solved(t, &p)
	if mw := got.Sites[0].Charge[0]; !(mw > 0 && mw < 1e-5) {
		t.Fatalf("it charges %v MW", mw)
	}
	if why := got.Sites[0].Why[0]; !strings.HasPrefix(why, "idle: 10.00") {
		t.Errorf("of a few watts it says %q", why)
	}
}

// TestPinned: behind a limit of nothing at all no price is right, and none is told.
func TestPinned(t *testing.T) {
	for name, pin := range map[string]func(p *plan.Portfolio){
		"site":   func(p *plan.Portfolio) { p.Sites[0].ImportMW, p.Sites[0].ExportMW = 0, 0 },
		"common": func(p *plan.Portfolio) { p.Limits = []plan.Limit{{Name: "common", Sites: []int{0}}} },
	} {
		p := day([]float64{30, 12, 45, 90})
		pin(&p)
		got := solved(t, &p)
		i := slices.IndexFunc(got.Bounds, func(b plan.Bound) bool { return b.Pinned })
		if i < 0 || got.Bounds[i].Worth != 0 {
			t.Errorf("%s: what binds: %+v", name, got.Bounds)
		}
		for k, why := range got.Sites[0].Why {
			if !strings.HasPrefix(why, "idle: the ") || !strings.HasSuffix(why, " nothing in and nothing out, whatever the market asks") {
				t.Errorf("%s: interval %d: %s", name, k, why)
			}
		}
	}
}

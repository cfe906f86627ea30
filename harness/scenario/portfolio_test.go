package scenario_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/harness/scenario"
)

// portfolio is one of a site with a load of the rows.
func portfolio(t *testing.T, rows, more string) (*scenario.Portfolio, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "load.csv"), []byte("time,load_kw\n"+rows), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "apiVersion: yunchu/v1\nkind: Portfolio\nsites:\n  - id: a\n    load: {csv: load.csv, time: time, column: load_kw}\n" + more
	return scenario.ParsePortfolio(filepath.Join(dir, "p.yaml"), []byte(text), scenario.Options{})
}

// TestMeanOfASeries: an interval has the mean of the rows that hold in it, whatever their steps.
func TestMeanOfASeries(t *testing.T) {
	p, err := portfolio(t, "2026-06-01T00:00:00Z,100\n2026-06-01T00:15:00Z,200\n2026-06-01T00:30:00Z,400\n2026-06-01T01:00:00Z,800\n", "")
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		from, to time.Duration
		want     float64
	}{
		{0, 15 * time.Minute, 100},
		{15 * time.Minute, 30 * time.Minute, 200},
		{30 * time.Minute, 45 * time.Minute, 400},
		{45 * time.Minute, time.Hour, 400},
		{0, time.Hour, 275},
		{10 * time.Minute, 20 * time.Minute, 150},
		{time.Hour, 2 * time.Hour, 800},
	} {
		if got := p.Sites[0].Load.Mean(day.Add(tt.from), day.Add(tt.to)); math.Abs(got-tt.want) > 1e-6 {
			t.Errorf("from %v to %v the mean is %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
	if l := p.Sites[0].Load; !l.Spans(day, day.Add(90*time.Minute)) || l.Spans(day, day.Add(2*time.Hour)) || l.Spans(day.Add(-time.Minute), day.Add(time.Hour)) {
		t.Error("it is not told from when to when there are rows")
	}
}

// TestInstantsOfASeries: an instant may have a blank for the T, and a zone after it.
func TestInstantsOfASeries(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for _, rows := range []string{
		"2026-06-01T08:00:00+08:00,100\n2026-06-01T09:00:00+08:00,200\n", "2026-06-01 08:00:00+08:00,100\n2026-06-01 09:00:00+08:00,200\n",
		"2026-06-01 08:00+08:00,100\n2026-06-01 09:00+08:00,200\n", "2026-06-01T00:00Z,100\n2026-06-01T01:00Z,200\n", "2026-06-01 00:00,100\n2026-06-01 01:00,200\n",
	} {
		p, err := portfolio(t, rows, "")
		if err != nil {
			t.Error(err)
		} else if got := p.Sites[0].Load.Mean(day, day.Add(2*time.Hour)); got != 150 {
			t.Errorf("%q: a mean of %v, want 150", rows, got)
		}
	}
}

// TestPortfolioFaults: what is wrong with a portfolio is told with its place, all at once.
func TestPortfolioFaults(t *testing.T) {
	_, err := portfolio(t, "2026-06-01T00:00:00Z,100\n", `    pv: 50
    battery: {power_kw: 100, energy_kwh: 200, begin_kwh: 300, end_kwh: 10, end_value_per_mwh: 3, wear: [{to: 0.5, cost_per_mwh: 4}, {to: 0.9, cost_per_mwh: 2}]}
  - {id: a, battery: {power_kw: 100}}
  - {id: c, curtail: true, peak_so_far_kw: 3, battery: {power_kw: 100, energy_kwh: 200}}
products: [regup]
zone: Nowhere
limits:
  - {name: x, sites: "b*", import_kw: 3}
  - {name: y}
  - {name: x, export_kw: 3}
`)
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, want := range []string{
		"PV that only consumes", "300 kWh are outside of 0 to 200", "fixed or has a value", "up to 0.9 at 2 after up to 0.5 at 4", "end at a depth of 0.9",
		`sites[0] has the id "a", too`, "a battery of 100 kW and 0 kWh", "what regulation takes has to be bought", `"Nowhere" is no zone`, `no site is called "b*"`, "a limit that bounds nothing",
		`limits[0] has the name "x", too`, "9:22: PV is turned down where there is none", "9:44: a peak that nothing is paid for",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told:\n%v", want, err)
		}
	}
}

// TestLimitsOfCountedSites: a glob is over the ids that a count makes; one that no site answers to is told with its line
// and what sites there are.
func TestLimitsOfCountedSites(t *testing.T) {
	t.Parallel()
	const head = `apiVersion: yunchu/v1
kind: Portfolio
sites:
  - {id: shop, count: 120, battery: {power_kw: 10, energy_kwh: 20}}
  - {id: mill, battery: {power_kw: 10, energy_kwh: 20}}
limits:
`
	p, err := scenario.ParsePortfolio("feeders.yaml", []byte(head+`  - {name: tens, sites: "shop-01?", import_kw: 3}
  - {name: one, sites: shop-120, import_kw: 3}
  - {name: entry, sites: shop, import_kw: 3}
  - {name: plain, sites: "m*", import_kw: 3}
  - {name: all, import_kw: 3}
`), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"10: 9 to 18", "1: 119 to 119", "120: 0 to 119", "1: 120 to 120", "121: 0 to 120"} {
		places := p.Among(p.Limits[i])
		if got := fmt.Sprintf("%d: %d to %d", len(places), places[0], places[len(places)-1]); got != want {
			t.Errorf("%s has %s, want %s", p.Limits[i].Name, got, want)
		}
	}
	for _, tt := range []struct{ sites, want, hint string }{
		{"shop-1", `feeders.yaml:7:22: no site is called "shop-1"`, "shop-001 … shop-120, mill"},
		{"shop-[", `feeders.yaml:7:22: "shop-[" is no glob`, "shop-*"},
	} {
		_, err := scenario.ParsePortfolio("feeders.yaml", []byte(head+`  - {name: x, sites: "`+tt.sites+"\", import_kw: 3}\n"), scenario.Options{})
		faults, ok := errors.AsType[scenario.Faults](err)
		if !ok || len(faults) != 1 || faults[0].Error() != tt.want || !strings.Contains(faults[0].Hint, tt.hint) {
			t.Errorf("%s: %v, want %s, hint %s", tt.sites, err, tt.want, tt.hint)
		}
	}
	twice := strings.Replace(head, "id: mill", "id: shop-007", 1) + "  - {name: x, import_kw: 3}\n"
	if _, err = scenario.ParsePortfolio("feeders.yaml", []byte(twice), scenario.Options{}); err == nil || !strings.Contains(err.Error(), `feeders.yaml:5:10: sites[0] has a site "shop-007", too`) {
		t.Errorf("two sites of one id: %v", err)
	}
}

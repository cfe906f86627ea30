package planning_test

import (
	"strings"
	"testing"

	"yunchu/harness/planning"
	"yunchu/harness/scenario"
)

// holding are options of a battery of 1 W beside a load, with prices and what has been sold as rows of CSV.
func holding(t *testing.T, prices, committed, more string) planning.Options {
	t.Helper()
	p, err := scenario.ParsePortfolio("test", []byte("apiVersion: yunchu/v1\nkind: Portfolio\nprices: "+file(t, prices)+"\nproducts: [energy, regup]\nsites:\n  - id: site\n"+
		"    battery: {power_kw: 0.001, energy_kwh: 0.001}\n"+more), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return planning.Options{Portfolio: p, Committed: file(t, committed)}
}

// hours are three of them.
const hours = `time,energy_per_mwh,regup_per_mw
2026-01-31T00:00:00Z,10,1
2026-01-31T01:00:00Z,50,1
2026-01-31T02:00:00Z,20,1
`

// TestCommittedIsAMean: what has been sold of an interval is the mean of the rows that hold in it, as a load is, so that
// being off by all of it is the load's mirror.
func TestCommittedIsAMean(t *testing.T) {
	t.Parallel()
	rows := "2026-01-31T00:00:00Z,0\n2026-01-31T00:15:00Z,40\n2026-01-31T01:00:00Z,-40\n2026-01-31T01:15:00Z,0\n2026-01-31T02:45:00Z,0\n"
	r := run(t, holding(t, hours, "time,target_kw\n"+rows, ""))
	for k, want := range []float64{-0.030, 0.010, 0} {
		near(t, "sold", r.Problem.Position.Sold[k], want)
	}
	near(t, "what is off", *r.Nothing, 0.030*10-0.010*50)
	o := holding(t, hours, "", "    load: {csv: "+file(t, "time,load_kw\n"+rows)+", time: time, column: load_kw}\n")
	o.Committed = ""
	near(t, "the load", *run(t, o).Nothing, -*r.Nothing)
}

// TestCommittedCapacityHolds: an interval offers one capacity, so that what has been sold of it may not change within.
func TestCommittedCapacityHolds(t *testing.T) {
	t.Parallel()
	r := run(t, holding(t, hours, "time,regup_kw\n2026-01-30T23:59:00Z,0\n2026-01-31T00:00:00Z,0.0004\n2026-01-31T00:15:00Z,0.0004\n2026-01-31T01:00:00Z,0\n2026-01-31T03:30:00Z,5\n", ""))
	for k, want := range []float64{0.0004, 0, 0} {
		near(t, "capacity", 1000*r.Problem.Products[0].Committed[k], want)
	}
	_, err := planning.Run(holding(t, hours, "time,regup_kw\n2026-01-31T00:00:00Z,0.0004\n2026-01-31T01:00:00Z,0\n2026-01-31T01:30:00Z,0.0002\n2026-01-31T02:00:00Z,0\n", ""))
	if err == nil || !strings.Contains(err.Error(), ":4:22: regup_kw changes within the interval from 2026-01-31T01:00:00Z to 2026-01-31T02:00:00Z") {
		t.Errorf("capacity that changes within an interval: %v", err)
	}
}

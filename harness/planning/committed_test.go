package planning_test

import (
	"errors"
	"fmt"
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
	_, err := planning.Run(t.Context(), holding(t, hours, "time,regup_kw\n2026-01-31T00:00:00Z,0.0004\n2026-01-31T01:00:00Z,0\n2026-01-31T01:30:00Z,0.0002\n2026-01-31T02:00:00Z,0\n", ""))
	if err == nil || !strings.Contains(err.Error(), ":4:22: regup_kw changes within the interval from 2026-01-31T01:00:00Z to 2026-01-31T02:00:00Z") {
		t.Errorf("capacity that changes within an interval: %v", err)
	}
}

// TestCommittedIsUnderstood: what has been sold is planned for, or the column that says so is refused.
func TestCommittedIsUnderstood(t *testing.T) {
	t.Parallel()
	rows := func(header, row string) string {
		return header + "\n2026-01-31T00:00:00Z," + row + "\n2026-01-31T03:00:00Z" + strings.Repeat(",0", strings.Count(row, ",")+1) + "\n"
	}
	for _, tt := range []struct{ name, file, want string }{
		{"a product that is not planned", rows("time,target_kw,regdown_kw", "0,10"), ":2:24: 10 kW of regdown are committed, which is not among the products; add regdown to them, or take the column away"},
		{"of another unit", rows("time,target_kw,regup_mw", "0,10"), ":1:16: column regup_mw is not known here; its columns are among: time, target_kw"},
		{"behind a remark", "# by hand\n" + rows("time, target_MW,regup_kw", "0,0"), ":2:7: column target_MW is not known here"},
		{"capacity below 0", rows("time,regup_kw", "-5"), ":2:22: -5 kW of regup are committed; what has been sold of it is 0 or more"},
		{"more than there is", rows("time,target_kw", "-2e9"), ":2:22: -2e+09 kW are committed, more than 1e+09"},
		{"nothing of it", rows("time,target_kw,regdown_kw,reserve_kw", "0,0,0"), ""},
		{"nothing but that", rows("time,regdown_kw", "0"), ":1:1: nothing is committed in this file"},
		{"beside prices", rows("time,energy_per_mwh,target_kw,regup_kw,reserve_per_mw,q05", "10,0,0,1,5"), ":1:55: column q05"},
		{"in the file of prices", rows("time,energy_per_mwh,target_kw,regup_kw,reserve_per_mw", "10,0,0,1"), ""},
	} {
		_, err := planning.Run(t.Context(), holding(t, hours, tt.file, ""))
		said := ""
		if faults, ok := errors.AsType[scenario.Faults](err); ok {
			said = fmt.Sprintf(":%d:%d: %s; %s", faults[0].Line, faults[0].Col, faults[0].Msg, faults[0].Hint)
		}
		if (err == nil) != (tt.want == "") || !strings.Contains(said, tt.want) {
			t.Errorf("%s: %v; want %s", tt.name, err, tt.want)
		}
	}
}

// TestCommittedIsPaidAsExport: what is left over of what has been sold is paid as export is, unless it has a price of its own,
// so that a plan for a site that has sold nothing is the plan without a word of that.
func TestCommittedIsPaidAsExport(t *testing.T) {
	t.Parallel()
	prices := func(header string, rows ...string) string {
		text := "time,energy_per_mwh," + header
		for h, row := range rows {
			text += fmt.Sprintf("\n2026-01-31T%02d:00:00Z,%s", h, row)
		}
		return text + "\n"
	}
	value := func(prices, committed string) float64 {
		o := holding(t, prices, "time,target_kw\n2026-01-31T00:00:00Z,0\n", "    import_fee_per_mwh: 2\n    export_fee_per_mwh: 1\n")
		o.Committed = committed
		o.Portfolio.Products = nil
		b := &o.Portfolio.Sites[0].Battery
		b.PowerKW, b.ChargeKW, b.EnergyKWh, b.MostKWh = 100, 100, 100, 100
		return run(t, o).Plan.Value
	}
	nothing := file(t, "time,target_kw\n2026-01-31T00:00:00Z,0\n")
	export := prices("export_per_mwh", "10,10", "90,0", "20,20")
	near(t, "nothing sold", value(export, nothing), 0.1*(20-1-10-2))
	near(t, "nothing said", value(export, ""), value(export, nothing))
	near(t, "a price of its own", value(prices("export_per_mwh,long_per_mwh", "10,10,0", "90,0,80", "20,20,20"), nothing), 0.1*(80-1-10-2))
	near(t, "no export", value(prices("regup_per_mw", "10,1", "90,1", "20,1"), nothing), 0.1*(90-1-10-2))

	_, err := planning.Run(t.Context(), holding(t, prices("export_per_mwh,regup_per_mw", "10,10,1", "90,91,1", "20,20,1"), "time,target_kw\n2026-01-31T00:00:00Z,0\n", ""))
	if err == nil || !strings.Contains(err.Error(), "from 2026-01-31T01:00:00Z on what is left over is paid 91, and what is missing costs 90") {
		t.Errorf("export that is paid better than energy costs: %v", err)
	}
}

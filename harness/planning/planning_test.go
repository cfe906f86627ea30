package planning_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/harness/planning"
	"yunchu/harness/scenario"
	"yunchu/platform/market/plan"
	"yunchu/platform/market/plan/worth"
)

// file writes a file of the test.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// prices are four hours, with what is paid for export and with carbon.
const prices = `time,energy_per_mwh,export_per_mwh,carbon_t_per_mwh,regup_per_mw
2026-03-01T00:00:00Z,10,-10,0.1,1
2026-03-01T01:00:00Z,20,0,0.2,1
2026-03-01T02:00:00Z,90,70,0.5,1
2026-03-01T03:00:00Z,100,80,0.6,1
`

// options are those of one battery of 1 MW and 2 MWh with such prices.
func options(t *testing.T, more string) planning.Options {
	t.Helper()
	p, err := scenario.ParsePortfolio("test", []byte("apiVersion: yunchu/v1\nkind: Portfolio\nprices: "+file(t, prices)+"\n"+more+
		"\nsites:\n  - id: site\n    battery: {power_kw: 1000, energy_kwh: 2000, efficiency: 0.9}\n"), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return planning.Options{Portfolio: p, Draws: 20, Points: 3, Level: 0.9}
}

func run(t *testing.T, o planning.Options) *planning.Result {
	t.Helper()
	r, err := planning.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-5*(1+math.Abs(want))) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestCameAsExpected: where prices come as they were expected the plan comes to its value, also where what came says
// nothing of export, carbon and capacity: what it leaves out is as it was expected.
func TestCameAsExpected(t *testing.T) {
	for name, more := range map[string]string{"export": "", "carbon": "carbon_price_per_t: 50", "capacity": "products: [energy, regup]"} {
		o := options(t, more)
		o.Actual = file(t, "time,energy_per_mwh\n2026-03-01T00:00:00Z,10\n2026-03-01T01:00:00Z,20\n2026-03-01T02:00:00Z,90\n2026-03-01T03:00:00Z,100\n")
		r := run(t, o)
		near(t, name+": the plan", r.Realized.Plan, r.Plan.Value)
		near(t, name+": known", r.Realized.Perfect, r.Plan.Value)
	}
}

// TestExportMoves: what is paid for export keeps its distance from the price of import where that comes otherwise.
func TestExportMoves(t *testing.T) {
	o := options(t, "")
	o.Actual = file(t, "time,energy_per_mwh\n2026-03-01T00:00:00Z,15\n2026-03-01T01:00:00Z,25\n2026-03-01T02:00:00Z,95\n2026-03-01T03:00:00Z,105\n")
	r := run(t, o)
	if r.Realized == nil {
		t.Fatal("nothing came")
	}
	o = options(t, "")
	o.Actual = file(t, strings.NewReplacer("10,-10", "15,-5", "20,0", "25,5", "90,70", "95,75", "100,80", "105,85").Replace(prices))
	near(t, "with export as it came", r.Realized.Plan, run(t, o).Realized.Plan)
}

// TestScenariosMoveExport: two scenarios about the prices that are expected, with export as far below, come to the mean.
func TestScenariosMoveExport(t *testing.T) {
	o := options(t, "")
	o.Scenarios = file(t, "time,low,high\n2026-03-01T00:00:00Z,5,15\n2026-03-01T01:00:00Z,15,25\n2026-03-01T02:00:00Z,80,100\n2026-03-01T03:00:00Z,90,110\n")
	r := run(t, o)
	// It buys 2/0.9 MWh in the first two hours, or as much as 1 MW does, and sells 1.8 MWh.
	charge, sell := r.Plan.Sites[0].Charge, r.Plan.Sites[0].Discharge
	for k, by := range [][]float64{{-5, -5, -10, -10}, {5, 5, 10, 10}} {
		want := 0.0
		for h, p := range []float64{10, 20, 90, 100} {
			want += (p+by[h]-20)*sell[h] - (p+by[h])*charge[h]
		}
		near(t, "outcome", r.Plan.Outcomes[k], want)
	}
}

// TestSpread: how far prices go against a plan is half of what lies between the outer quantiles, whichever these are.
func TestSpread(t *testing.T) {
	quantiles := func(header, low, mid, high string) string {
		var b strings.Builder
		b.WriteString("time," + header + "\n")
		for _, at := range []string{"00", "01", "02", "03"} {
			b.WriteString("2026-03-01T" + at + ":00:00Z," + strings.Join([]string{low, mid, high}, ",") + "\n")
		}
		return file(t, b.String())
	}
	for name, tt := range map[string]struct {
		path string
		want float64
	}{
		"three":  {quantiles("q05,q50,q95", "-10", "0", "20"), 15},
		"inside": {quantiles("q10,q50,q90", "-10", "0", "20"), 15},
	} {
		o := options(t, "")
		o.Scenarios, o.Budget = tt.path, 2
		r := run(t, o)
		for _, x := range r.Problem.Risk.Deviation {
			near(t, name, x, tt.want)
		}
	}
	o := options(t, "")
	o.Scenarios, o.Budget = quantiles("q05,q10,q90", "-30", "0", "30"), 1
	near(t, "five to ninety", run(t, o).Problem.Risk.Deviation[0], 30)
}

// TestFrontOfScenarios: what is traced is what is earned on average over the scenarios, up to the plan; risk is refused.
func TestFrontOfScenarios(t *testing.T) {
	scenarios := file(t, "time,calm,wild\n2026-03-01T00:00:00Z,10,10\n2026-03-01T01:00:00Z,10,10\n2026-03-01T02:00:00Z,20,300\n2026-03-01T03:00:00Z,20,400\n")
	o := options(t, "")
	o.Portfolio.Sites[0].Battery.VariableCost = 3
	o.Scenarios, o.Front = scenarios, plan.Wear
	r := run(t, o)
	last := r.Front[len(r.Front)-1]
	near(t, "the end of the front", last.Money-last.Measure, r.Plan.Value)
	if first := r.Front[0]; first.Measure != 0 || first.Money > 1e-6 {
		t.Errorf("the front begins with %v at %v: without wear nothing is earned", first.Money, first.Measure)
	}
	o.Tail = 0.5
	if _, err := planning.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--pareto") {
		t.Errorf("a front with risk: %v", err)
	}
}

// TestGain: where risk is counted, what is gained is what is expected less what comes of doing nothing.
func TestGain(t *testing.T) {
	o := options(t, "")
	o.Scenarios = file(t, "time,calm,wild\n2026-03-01T00:00:00Z,10,10\n2026-03-01T01:00:00Z,10,10\n2026-03-01T02:00:00Z,80,300\n2026-03-01T03:00:00Z,80,400\n")
	o.Tail, o.Level = 0.5, 0.5
	s := run(t, o).Summary(false)
	near(t, "gain", *s.Gain, s.Expected-*s.Nothing)
	near(t, "expected", s.Expected, s.Risk.Expected)
	if s.Expected <= s.Value+1 {
		t.Errorf("%v are expected, with risk %v", s.Expected, s.Value)
	}
}

// TestAutumn: the hour that autumn has twice is told apart.
func TestAutumn(t *testing.T) {
	o := options(t, "zone: Europe/Berlin")
	o.Portfolio.Prices = file(t, "time,energy_per_mwh\n2026-10-24T23:00:00Z,10\n2026-10-25T00:00:00Z,20\n2026-10-25T01:00:00Z,90\n2026-10-25T02:00:00Z,100\n")
	r := run(t, o)
	if got, want := strings.Join(r.Problem.Labels, ","), "01:00,02:00 +02:00,02:00 +01:00,03:00"; got != want {
		t.Errorf("hours are called %s, want %s", got, want)
	}
}

// TestHoursOfAZone: on the clock of a zone prices say theirs, or they would be those of other hours.
func TestHoursOfAZone(t *testing.T) {
	o := options(t, "zone: Europe/Berlin")
	o.Portfolio.Prices = file(t, strings.ReplaceAll(prices, "Z,", ","))
	if _, err := planning.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "file.csv:2:1: 2026-03-01T00:00:00 has no zone, and its hour in Europe/Berlin is asked for") {
		t.Errorf("%v", err)
	}
	o.Portfolio.Zone = "UTC"
	run(t, o)
}

// TestOnlyScenarios: the price of capacity and other known columns are no scenarios of the price of energy.
func TestOnlyScenarios(t *testing.T) {
	o := options(t, "")
	o.Scenarios = file(t, strings.Replace(strings.NewReplacer("Z,10", "Z,5,6,10", "Z,20", "Z,5,6,20", "Z,90", "Z,5,6,90", "Z,100", "Z,5,6,100").Replace(prices), "time,", "time,low,high,", 1))
	if n := len(run(t, o).Plan.Outcomes); n != 2 {
		t.Errorf("%d scenarios of low and high", n)
	}
}

// TestRollsCapacity: capacity is sold at the prices that came as far as these are known, and paid so.
func TestRollsCapacity(t *testing.T) {
	o := options(t, "products: [energy, regup]")
	o.Actual = file(t, "time,energy_per_mwh,regup_per_mw\n2026-03-01T00:00:00Z,10,80\n2026-03-01T01:00:00Z,20,2\n2026-03-01T02:00:00Z,90,90\n2026-03-01T03:00:00Z,100,0\n")
	o.Rolling = worth.Rolling{Horizon: 4 * time.Hour, Every: 4 * time.Hour, Known: 4 * time.Hour}
	known := run(t, o).Realized
	near(t, "all known", *known.Rolling, known.Perfect)
	o.Rolling.Known = 0
	if blind := run(t, o).Realized; *blind.Rolling > known.Perfect-1 {
		t.Errorf("nothing known: %v of %v", *blind.Rolling, known.Perfect)
	}
}

// TestRollsExportThatCame: export is paid as it came as far as that is known, also where only what came has a price of it.
func TestRollsExportThatCame(t *testing.T) {
	o := options(t, "")
	o.Portfolio.Prices = file(t, "time,energy_per_mwh\n2026-03-01T00:00:00Z,10\n2026-03-01T01:00:00Z,20\n2026-03-01T02:00:00Z,21\n2026-03-01T03:00:00Z,22\n")
	o.Actual = file(t, strings.NewReplacer("90,70", "21,-5", "100,80", "22,-5").Replace(prices))
	o.Rolling = worth.Rolling{Horizon: 4 * time.Hour, Every: 4 * time.Hour, Known: 4 * time.Hour}
	known := run(t, o).Realized
	near(t, "all known", *known.Rolling, known.Perfect)
	if !(known.Plan < known.Perfect-1) {
		t.Errorf("the plan of what was expected comes to %v of %v", known.Plan, known.Perfect)
	}
}

// TestWhatBindsIsTold: what sites share is told first, equal sites as one with how many there are, and all of it in JSON.
func TestWhatBindsIsTold(t *testing.T) {
	t.Parallel()
	o := options(t, "")
	o.Portfolio.Sites[0].Count = 40
	o.Portfolio.Sites = append(o.Portfolio.Sites, scenario.PortfolioSite{ID: "other", Battery: scenario.PlanBattery{
		PowerKW: 500, ChargeKW: 500, EnergyKWh: 2000, MostKWh: 2000, Efficiency: 0.7, DischargeEfficiency: 1,
	}})
	kw := 20000.0
	o.Portfolio.Limits = []scenario.PortfolioLimit{{Name: "feeder", Sites: "site", ExportKW: &kw}}
	r := run(t, o)
	var text, page strings.Builder
	r.Print(&text)
	if err := r.WritePage(&page); err != nil {
		t.Fatal(err)
	}
	got := text.String()
	feeder, sites := strings.Index(got, "common limit of feeder binds in 2 intervals"), strings.Index(got, "of site-001 and 39 more bind in ")
	if feeder < 0 || sites < feeder || strings.Contains(got, "site-002") || !strings.Contains(got, "of other binds in ") {
		t.Errorf("printed:\n%s", got)
	}
	if strings.Contains(got, " 1 intervals") {
		t.Errorf("one interval is no plural:\n%s", got)
	}
	if s := page.String(); !strings.Contains(s, `<tr><td>common limit</td><td class="text">feeder</td>`) || !strings.Contains(s, "site-001 and 39 more</td>") || strings.Contains(s, `<td class="text">site-002</td><td>2</td>`) {
		t.Error("the page does not tell what binds so")
	}
	n := 0
	for _, b := range r.Summary(false).Bounds {
		if strings.HasPrefix(b.Of, "site-") {
			n++
		}
	}
	if n < 40 || n%40 != 0 {
		t.Errorf("JSON has %d bounds of 40 equal sites", n)
	}
}

// TestNoPriceOfAMarket: a price beside which the others vanish is told with its place, in each file and column of prices.
func TestNoPriceOfAMarket(t *testing.T) {
	t.Parallel()
	const most = " is no price of a market: 1e+09 is the most"
	o := options(t, "")
	o.Actual = file(t, strings.Replace(prices, "100,80", "-2e9,80", 1))
	_, err := planning.Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), ":5:22: -2e+09"+most) {
		t.Errorf("what came: %v", err)
	}
	o = options(t, "")
	o.Scenarios = file(t, "time,low,high\n2026-03-01T00:00:00Z,5,15\n2026-03-01T01:00:00Z,15,1e10\n2026-03-01T02:00:00Z,80,100\n2026-03-01T03:00:00Z,90,110\n")
	if _, err := planning.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), ":3:25: 1e+10"+most) {
		t.Errorf("a scenario: %v", err)
	}
	o = options(t, "products: [energy, regup]")
	o.Portfolio.Prices = file(t, strings.Replace(prices, "0.2,1", "0.2,3e9", 1))
	if _, err := planning.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), ":3:31: 3e+09"+most) {
		t.Errorf("capacity: %v", err)
	}
	// A day that is not planned may have one.
	o.From = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	run(t, o)
}

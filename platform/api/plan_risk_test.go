package api_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// twoHours is a battery of 100 kW and 100 kWh, empty at both ends, that buys at 20 and sells at what is expected to be 45.
const twoHours = `{"start":"2026-01-01T00:00:00Z","interval_minutes":60,"energy_per_mwh":[20,45],"sites":[{"id":"a","battery":{"power_kw":100,"energy_kwh":100}}]`

// fourHours likewise does that twice a day, at a cost of each MWh sold.
const fourHours = `{"start":"2026-01-01T00:00:00Z","interval_minutes":60,"energy_per_mwh":[20,60,20,60],"sites":[{"id":"a","load_kw":[10,10,10,10],"battery":{"power_kw":100,"energy_kwh":100,"variable_cost_per_mwh":5}}]`

// comes are scenarios: three times in four the second hour is at 60, else at 0.
const comes = `,"scenarios":[{"weight":3,"energy_per_mwh":[20,60]},{"energy_per_mwh":[20,0]}]`

func (w *world) plan(t *testing.T, body string) (m map[string]any, number func(path ...any) float64) {
	t.Helper()
	m = w.do("POST", "/api/v1/market/plan", "viewer", body).want(200, "").json()
	return m, func(path ...any) float64 {
		t.Helper()
		var at any = m
		for _, step := range path {
			switch step := step.(type) {
			case string:
				at = at.(map[string]any)[step]
			case int:
				at = at.([]any)[step]
			}
		}
		x, ok := at.(float64)
		if !ok {
			t.Fatalf("%v is %v", path, at)
		}
		return x
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-5 {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestPlanScenarios: one plan for all, its outcomes by scenario, and the worst of them counted.
func TestPlanScenarios(t *testing.T) {
	w := newWorld(t)
	_, x := w.plan(t, twoHours+comes+`,"currency":"EUR"}`)
	// 0.1 MWh earn 4, and one time in four lose 2.
	near(t, "value", x("value"), 0.75*4-0.25*2)
	near(t, "first", x("risk", "outcomes", 0), 4)
	near(t, "second", x("risk", "outcomes", 1), -2)
	near(t, "expected", x("risk", "expected"), 2.5)
	near(t, "worst", x("risk", "worst"), -2)

	_, x = w.plan(t, twoHours+comes+`,"cvar":{"level":0.75,"weight":0.5}}`)
	near(t, "value with half of the worst quarter", x("value"), 0.5*2.5-0.5*2)
	near(t, "expected beside it", x("expected"), 2.5)
	near(t, "tail", x("risk", "tail_mean"), -2)
	_, x = w.plan(t, twoHours+comes+`,"cvar":{"level":0.5,"weight":0.5}}`)
	near(t, "half of the worst half", x("risk", "tail_mean"), 0.5*4-0.5*2)

	m, x := w.plan(t, twoHours+comes+`,"cvar":{"level":0.75,"weight":1}}`)
	near(t, "the worst alone", x("value"), 0)
	near(t, "nothing is risked", x("intervals", 0, "power_kw"), 0)
	if m["currency"] != "USD" {
		t.Errorf("currency %v", m["currency"])
	}

	// A load of its own costs in its scenario, and what is paid for export stays as far off as it is expected.
	load := strings.Replace(comes, `{"energy_per_mwh":[20,0]}`, `{"energy_per_mwh":[20,0],"sites":[{"id":"a","load_kw":[100,0]}]}`, 1)
	_, x = w.plan(t, twoHours+load+`,"export_per_mwh":[20,35]}`)
	near(t, "with export 10 below", x("risk", "outcomes", 0), 4-0.1*10)
	near(t, "with load and export", x("risk", "outcomes", 1), -2-0.1*10-0.1*20)
}

// TestPlanRobust: prices that go against the plan in so many hours at once.
func TestPlanRobust(t *testing.T) {
	w := newWorld(t)
	for budget, want := range map[int]float64{0: 2.5, 1: 0.1 * (25 - 20), 2: 0} {
		_, x := w.plan(t, twoHours+fmt.Sprintf(`,"robust":{"budget":%d,"deviation_per_mwh":[20,20]}}`, budget))
		near(t, fmt.Sprintf("value in %d hours", budget), x("value"), want)
	}
}

// TestPlanCommitted: energy that has been sold is settled where it is off; capacity is kept, and what cannot be costs.
func TestPlanCommitted(t *testing.T) {
	w := newWorld(t)
	_, x := w.plan(t, twoHours+`,"committed":{"target_kw":[0,0]}}`)
	near(t, "all of it is off, at the price itself", x("value"), 2.5)
	const off = `,"short_per_mwh":[30,60],"long_per_mwh":[10,30]}}`
	_, x = w.plan(t, twoHours+`,"committed":{"target_kw":[0,0]`+off)
	near(t, "being off does not pay", x("value"), 0)
	_, x = w.plan(t, twoHours+`,"committed":{"target_kw":[100,-100]`+off)
	near(t, "what was sold is kept", x("intervals", 1, "power_kw"), -100)
	near(t, "and nothing is off", x("value"), 0)
	near(t, "nothing", x("nothing"), 0.1*10-0.1*60)
	_, x = w.plan(t, twoHours+`,"export_per_mwh":[20,35],"committed":{"target_kw":[0,0]}}`)
	near(t, "what is left over is paid as export", x("value"), 0.1*35-0.1*20)
	_, x = w.plan(t, twoHours+`,"export_per_mwh":[20,35],"committed":{"target_kw":[0,0],"long_per_mwh":[0,40]}}`)
	near(t, "unless it has a price", x("value"), 0.1*40-0.1*20)

	reserve := func(more string) float64 {
		_, x := w.plan(t, `{"start":"2026-01-01T00:00:00Z","interval_minutes":60,"energy_per_mwh":[1,1],"products":[{"name":"reserve","up":true,"per_mw":[5,5]`+more+`}],`+
			`"sites":[{"id":"a","battery":{"power_kw":100,"energy_kwh":100,"begin_kwh":100}}]}`)
		return x("value")
	}
	near(t, "all that there is", reserve(""), 2*0.1*5)
	near(t, "what has been sold", reserve(`,"committed_kw":[50,50]`), 2*0.05*5)
	near(t, "more than there is", reserve(`,"committed_kw":[150,150]`), 2*(0.1*5-0.05*10*(1+5)))
}

// TestPlanCalls: what is called on average where nobody says it is what it is for the command.
func TestPlanCalls(t *testing.T) {
	w := newWorld(t)
	value := func(products string) float64 {
		_, x := w.plan(t, `{"start":"2026-01-01T00:00:00Z","interval_minutes":60,"energy_per_mwh":[30,40,20,50],"products":[`+products+`],`+
			`"sites":[{"id":"a","battery":{"power_kw":100,"energy_kwh":400,"begin_kwh":200,"efficiency":0.9}}]}`)
		return x("value")
	}
	const prices = `"per_mw":[20,20,20,20]`
	for _, tt := range []struct{ name, by string }{{`"name":"regup","up":true`, "0.3"}, {`"name":"reserve","up":true`, "0"}} {
		never, left := value("{"+tt.name+","+prices+`,"called":0}`), value("{"+tt.name+","+prices+"}")
		near(t, tt.name, left, value("{"+tt.name+","+prices+`,"called":`+tt.by+"}"))
		if tt.by != "0" && math.Abs(left-never) < 1e-6 {
			t.Errorf("%s: that it is called changes nothing", tt.name)
		}
	}
	both := func(called string) float64 {
		return value(`{"name":"regup","up":true,` + prices + `},{"name":"regdown","up":false,` + prices + called + "}")
	}
	near(t, "regdown", both(""), both(`,"called":0.15`))
	if math.Abs(both("")-both(`,"called":0`)) < 1e-6 {
		t.Error("that regdown is called changes nothing")
	}
}

// TestPlanFront: from the least of a measure to what money alone asks for, in the units of the answer.
func TestPlanFront(t *testing.T) {
	w := newWorld(t)
	_, x := w.plan(t, fourHours+`,"pareto":{"measure":"wear","points":3}}`)
	for k, want := range [][2]float64{{0, -1.6}, {0.5, 4 - 1.6}, {1, 8 - 1.6}} {
		near(t, fmt.Sprint("wear of point ", k), x("front", k, "measure"), want[0])
		near(t, fmt.Sprint("earned at point ", k), x("front", k, "earned"), want[1])
	}
	near(t, "rate", x("front", 0, "rate"), 8)
	_, x = w.plan(t, fourHours+`,"pareto":{"measure":"peak","points":2}}`)
	near(t, "least peak", x("front", 0, "measure"), 10)
	near(t, "peak of the dearest", x("front", 1, "measure"), 110)
	near(t, "a kW of it", x("front", 0, "rate"), 7.0/100)
	near(t, "peak of the plan", x("peak_kw"), 110)
	_, x = w.plan(t, fourHours+`,"carbon_t_per_mwh":[1,0.5,1,0.5],"pareto":{"measure":"carbon","points":2}}`)
	near(t, "carbon of the load and of two cycles", x("carbon_t"), 0.03+0.1)
	near(t, "least carbon, bought when there is least of it", x("front", 0, "measure"), 0.03-0.05)
	near(t, "most carbon", x("front", 1, "measure"), 0.03+0.1)
	_, x = w.plan(t, fourHours+`,"carbon_t_per_mwh":[1,0.5,1,0.5],"carbon_price_per_t":100}`)
	near(t, "at 100 a tonne no cycle pays", x("value"), -1.6-100*0.03+math.Max(0, 0.1*(-40-5+0.5*100)))
	m, _ := w.plan(t, fourHours+comesTwice+`,"pareto":{"measure":"wear"}}`)
	if points := m["front"].([]any); len(points) != 11 {
		t.Errorf("%d points", len(points))
	}
}

const comesTwice = `,"scenarios":[{"energy_per_mwh":[20,60,20,60]},{"energy_per_mwh":[30,50,20,60]}]`

// TestPlanActual: what came of the plan, made once and again and again.
func TestPlanActual(t *testing.T) {
	w := newWorld(t)
	const came = `,"actual":{"energy_per_mwh":[20,10]}`
	_, x := w.plan(t, twoHours+came+`}`)
	near(t, "with what came", x("realized", "plan"), 0.1*(10-20))
	near(t, "had it been known", x("realized", "perfect"), 0)
	near(t, "what is planned", x("intervals", 0, "power_kw"), 100)
	m, x := w.plan(t, twoHours+came+`,"rolling":"2h/1h/2h"}`)
	near(t, "all known", x("realized", "rolling"), 0)
	near(t, "what is carried out", x("intervals", 0, "power_kw"), 0)
	near(t, "the price of it", x("intervals", 1, "energy_per_mwh"), 10)
	if list := m["schedule"].([]any); len(list) != 1 {
		t.Errorf("the schedule is %v", list)
	}
	_, x = w.plan(t, twoHours+came+`,"rolling":"2h/1h","persistence":0}`)
	near(t, "the first hour known", x("realized", "rolling"), -1)
	m, x = w.plan(t, twoHours+`,"export_per_mwh":[20,40],"carbon_t_per_mwh":[1,1],"products":[{"name":"reserve","up":true,"per_mw":[1,1]}]`+came+`}`)
	if list := m["realized"].(map[string]any)["as_expected"]; fmt.Sprint(list) != "[export_per_mwh carbon_t_per_mwh reserve_per_mw]" {
		t.Errorf("as expected: %v", list)
	}
	near(t, "what is expected of energy", x("totals", "energy"), 0.1*(40-20))
	m, _ = w.plan(t, twoHours+`,"levels":[0.1,0.9],"quantiles":[[20,20],[40,50]]}`)
	if list := m["risk"].(map[string]any)["outcomes"].([]any); len(list) != 50 {
		t.Errorf("%d scenarios", len(list))
	}
}

// TestPlanRollsExportThatCame: what is paid for export is taken as it came as far as that is known, also where it was
// expected to be the price of energy.
func TestPlanRollsExportThatCame(t *testing.T) {
	w := newWorld(t)
	_, x := w.plan(t, twoHours+`,"actual":{"energy_per_mwh":[20,45],"export_per_mwh":[20,-5]},"rolling":"2h/2h"}`)
	near(t, "known", x("realized", "perfect"), 0)
	near(t, "all of it known", x("realized", "rolling"), 0)
	near(t, "the plan alone", x("realized", "plan"), -0.1*(20+5))
	_, x = w.plan(t, twoHours+`,"actual":{"energy_per_mwh":[20,45],"export_per_mwh":[20,-5]},"rolling":"2h/1h"}`)
	// Bought before it is known, and what is stored has to be sold by the end.
	near(t, "the first hour known", x("realized", "rolling"), -0.1*(20+5))
}

// TestPlanRiskRefused: what does not go together, or is too much, is told by its key.
func TestPlanRiskRefused(t *testing.T) {
	w := newWorld(t)
	hundred := strings.TrimSuffix(strings.Repeat(`{"energy_per_mwh":[20,60]},`, 100), ",")
	many := func(n int) string { return strings.TrimSuffix(strings.Repeat("1,", n), ",") }
	long := `{"start":"2026-01-01T00:00:00Z","energy_per_mwh":[` + many(700) + `],"sites":[{"id":"a","battery":{"power_kw":100,"energy_kwh":100}}]`
	for body, want := range map[string]string{
		twoHours + `,"cvar":{"level":0.9,"weight":0.5}}`:                                                                    "needs scenarios",
		twoHours + comes + `,"robust":{"budget":1,"deviation_per_mwh":[1,1]}}`:                                              "keep one",
		twoHours + comes + `,"committed":{"target_kw":[0,0]}}`:                                                              "take scenarios",
		twoHours + comes + `,"cvar":{"level":0.9,"weight":0.5},"pareto":{"measure":"wear"}}`:                                "neither cvar",
		twoHours + `,"pareto":{"measure":"carbon"}}`:                                                                        "carbon_t_per_mwh",
		twoHours + `,"pareto":{"measure":"noise"}}`:                                                                         "measure",
		twoHours + `,"pareto":{"measure":"wear","points":1}}`:                                                               "points",
		twoHours + comes + `,"cvar":{"level":1,"weight":0.5}}`:                                                              "level",
		twoHours + `,"carbon_t_per_mwh":[1]}`:                                                                               "carbon_t_per_mwh",
		twoHours + `,"scenarios":[{"energy_per_mwh":[1]}]}`:                                                                 "energy_per_mwh of scenario 0",
		twoHours + `,"scenarios":[{"energy_per_mwh":[1,2],"export_per_mwh":[1]}]}`:                                          "export_per_mwh of scenario 0",
		twoHours + `,"scenarios":[{"energy_per_mwh":[1,1e300]}]}`:                                                           "price of scenario 0",
		twoHours + `,"scenarios":[{"energy_per_mwh":[1,2],"weight":0}]}`:                                                    "no scenario has a weight",
		twoHours + `,"scenarios":[{"energy_per_mwh":[1,2],"sites":[{"id":"b"}]}]}`:                                          "no such site",
		twoHours + `,"scenarios":[{"energy_per_mwh":[1,2],"sites":[{"id":"a"},{"id":"a"}]}]}`:                               "twice",
		twoHours + `,"scenarios":[{"energy_per_mwh":[1,2],"sites":[{"id":"a","pv_kw":[1,-1]}]}]}`:                           "above 0",
		twoHours + `,"scenarios":[{"energy_per_mwh":[1,2],"sites":[{"id":"a","load_kw":[1]}]}]}`:                            "scenario 0",
		twoHours + `,"export_per_mwh":[1],"scenarios":[{"energy_per_mwh":[1,2]}]}`:                                          "export_per_mwh",
		twoHours + `,"robust":{"budget":1,"deviation_per_mwh":[1]}}`:                                                        "deviation_per_mwh",
		twoHours + `,"robust":{"budget":1,"deviation_per_mwh":[1,1e300]}}`:                                                  "deviation_per_mwh",
		twoHours + comes + `,"robust":{"budget":1}}`:                                                                        "take their weight",
		twoHours + `,"robust":{"budget":1}}`:                                                                                "how far prices may go",
		twoHours + `,"levels":[0.1,0.9],"quantiles":[[1,2],[1,2]],"robust":{"budget":1},"cvar":{"level":0.9,"weight":0.5}}`: "cvar and robust",
		twoHours + `,"time_zone":"Nowhere"}`:                                                                                "is no zone",
		twoHours + `,"committed":{"target_kw":[1]}}`:                                                                        "target_kw",
		twoHours + `,"committed":{"target_kw":[1,1],"short_per_mwh":[1,1]}}`:                                                "costs to be short",
		twoHours + `,"products":[{"name":"r","up":true,"per_mw":[1,1],"committed_kw":[-1]}]}`:                               "committed_kw",
		twoHours + `,"products":[{"name":"r","up":true,"per_mw":[1]}]}`:                                                     "r has 1 price for 2 intervals",
		`{"start":"2026-01-01T00:00:00Z","energy_per_mwh":[1],"sites":[{"id":"a","load_kw":[1,2]}]}`:                        "2 values for 1 interval",
		twoHours + `,"products":[{"name":"r","up":true,"per_mw":[1,1],"committed_kw":[1]}]}`:                                `committed_kw of \"r\" has 1 value for 2 intervals`,
		twoHours + `,"products":[{"name":"r","up":true,"per_mw":[1,1],"committed_kw":[1,1,1]}]}`:                            `committed_kw of \"r\" has 3 values for 2 intervals`,
		twoHours + `,"products":[{"name":"","up":true,"per_mw":[1,1]}]}`:                                                    `products[0].name \"\" is not allowed`,
		twoHours + `,"products":[{"name":"energy","up":true,"per_mw":[1,1]}]}`:                                              `products[0].name \"energy\" is not allowed`,
		twoHours + `,"products":[{"name":"r","up":true,"per_mw":[1,1]},{"name":"r","up":true,"per_mw":[2,2]}]}`:             `there are two products \"r\"`,
		twoHours + `,"robust":{"budget":1,"deviation_per_mwh":[1,-1]}}`:                                                     "deviation_per_mwh of interval 1 is -1",
		twoHours + `,"scenarios":[{"energy_per_mwh":[1,2],"sites":[{"id":"a","load_kw":[1,1e12]}]}]}`:                       "load_kw of scenario 0",
		twoHours + `,"products":[{"name":"r","up":true,"per_mw":[],"committed_kw":[1]}]}`:                                   "with prices",
		twoHours + `,"scenarios":[` + hundred + `,` + hundred + `],"pareto":{"measure":"wear","points":50}}`:                "10600 times",
		twoHours + `,"rolling":"2h/1h"}`:                                                                                    "needs actual",
		twoHours + `,"actual":{"energy_per_mwh":[1,2]},"rolling":"1h/2h"}`:                                                  "HORIZON/EVERY",
		twoHours + `,"actual":{"energy_per_mwh":[1,2]},"rolling":"2h/30m"}`:                                                 "no whole number of intervals",
		twoHours + `,"actual":{"energy_per_mwh":[1,2]},"rolling":"2h/1h","persistence":2}`:                                  "persistence",
		twoHours + `,"actual":{"energy_per_mwh":[1]}}`:                                                                      "energy_per_mwh of actual",
		twoHours + `,"actual":{"energy_per_mwh":[1,1e300]}}`:                                                                "price that came",
		twoHours + `,"actual":{"energy_per_mwh":[1,2],"export_per_mwh":[1]}}`:                                               "export_per_mwh of actual",
		twoHours + `,"actual":{"energy_per_mwh":[1,2],"products":[{"name":"r","per_mw":[1,2]}]}}`:                           "no such product",
		twoHours + `,"actual":{"energy_per_mwh":[1,2]},"committed":{"target_kw":[0,0]}}`:                                    "take actual away",
		twoHours + `,"quantiles":[[1,2],[1,2]]}`:                                                                            "levels",
		twoHours + `,"levels":[0.5,0.5],"quantiles":[[1,2],[1,2]]}`:                                                         "levels",
		twoHours + `,"levels":[0.1,0.9],"quantiles":[[1,2]]}`:                                                               "quantiles has 1",
		twoHours + `,"levels":[0.1,0.9],"quantiles":[[1,2],[2,1]]}`:                                                         "quantiles of interval 1",
		twoHours + `,"levels":[0.1,0.9],"quantiles":[[1,2],[1,1e300]]}`:                                                     "quantile",
		twoHours + `,"levels":[0.1,0.9],"quantiles":[[1,2],[1,2]],"draws":1}`:                                               "draws",
		twoHours + comes + `,"levels":[0.1,0.9],"quantiles":[[1,2],[1,2]]}`:                                                 "keep one",
		long + `,"actual":{"energy_per_mwh":[` + many(700) + `]},"rolling":"24h/15m"}`:                                      "again and again",
		long + `,"pareto":{"measure":"wear"}}`:                                                                              "14 times",
		long + `,"scenarios":[` + strings.TrimSuffix(strings.Repeat(`{"energy_per_mwh":[1]},`, 12), ",") + `]}`:             "12 times",
	} {
		if a := w.do("POST", "/api/v1/market/plan", "viewer", body); a.Code != 400 || !strings.Contains(a.Body.String(), want) {
			t.Errorf("%.200s: %d %.300s, want %s", body[min(len(body), len(twoHours)):], a.Code, a.Body, want)
		}
	}
}

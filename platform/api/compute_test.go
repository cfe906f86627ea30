package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/settle"
)

// TestBacktestRoute: a day whose optimum is known by hand: buy all that fits at 10, sell it at 50.
func TestBacktestRoute(t *testing.T) {
	w := newWorld(t)
	m := w.do("POST", "/api/v1/market/backtest", "viewer",
		`{"start":"2020-03-29T00:00:00+01:00","time_zone":"Europe/Berlin","power_kw":1000,"energy_kwh":1500,"efficiency":0.8,"energy_per_mwh":[10,10,50,50],"rows":true}`).want(200, "").json()
	// 1 MWh bought and 0.8 stored, 0.875 MWh bought and 0.7 stored; 1.5 sold.
	if want := 1.5*50 - 1.875*10; math.Abs(m["total"].(float64)-want) > 1e-9 || m["at_most"].(float64) < want-1e-9 {
		t.Errorf("%v and at most %v, want %v", m["total"], m["at_most"], want)
	}
	rows := m["rows"].([]any)
	if first := rows[0].(map[string]any); len(rows) != 4 || first["time"] != "2020-03-28T23:00:00Z" || first["power_kw"].(float64) <= 0 {
		t.Errorf("rows %v", rows)
	}
	if day := m["daily"].([]any); len(day) != 1 || day[0].(map[string]any)["date"] != "2020-03-29" {
		t.Errorf("days %v", day)
	}
	if m["currency"] != "USD" {
		t.Errorf("currency %v", m["currency"])
	}
	for name, bad := range map[string]string{
		"no power":   `{"start":"2020-01-01T00:00:00Z","power_kw":0,"energy_kwh":1,"energy_per_mwh":[1]}`,
		"efficiency": `{"start":"2020-01-01T00:00:00Z","power_kw":1,"energy_kwh":1,"efficiency":1.5,"energy_per_mwh":[1]}`,
		"minutes":    `{"start":"2020-01-01T00:00:00Z","interval_minutes":7,"power_kw":1,"energy_kwh":1,"energy_per_mwh":[1]}`,
		"regulation": `{"start":"2020-01-01T00:00:00Z","power_kw":1,"energy_kwh":1,"energy_per_mwh":[1,2],"regup_per_mw":[1]}`,
		"zone":       `{"start":"2020-01-01T00:00:00Z","time_zone":"Berlin","power_kw":1,"energy_kwh":1,"energy_per_mwh":[1]}`,
		"too many":   `{"start":"2020-01-01T00:00:00Z","power_kw":1,"energy_kwh":1,"energy_per_mwh":[1` + strings.Repeat(",1", 366*96) + `]}`,
	} {
		if a := w.do("POST", "/api/v1/market/backtest", "viewer", bad); a.Code != 400 {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
}

// TestBacktestProducts: what is sold is what products names, by the keys of the command.
func TestBacktestProducts(t *testing.T) {
	w := newWorld(t)
	total := func(more string) float64 {
		t.Helper()
		m := w.do("POST", "/api/v1/market/backtest", "viewer", `{"start":"2020-01-01T00:00:00Z","power_kw":1000,"energy_kwh":1000,"currency":"EUR",`+
			`"energy_per_mwh":[10,50],"regup_per_mw":[5,5],"regdown_per_mw":[1,1]`+more+`}`).want(200, "").json()
		if m["currency"] != "EUR" {
			t.Errorf("currency %v", m["currency"])
		}
		return m["total"].(float64)
	}
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-6 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	near("energy alone", total(`,"products":["energy"],"variable_cost":2`), 50-10-2)
	all := total("")
	near("all that has prices", total(`,"products":["energy","regup","regdown"]`), all)
	near("the defaults of the command", total(`,"regulation_energy_up":0.3,"regulation_energy_down":0.15,"regulation_duration":"1h"`), all)
	// Regulation that is never called, and never has to last, is sold beside energy: 2 MW up while it charges, to stop and to
	// turn round, and none while it discharges all that it can.
	idle := `,"products":["energy","regup"],"regulation_energy_up":0`
	near("up beside energy", total(idle+`,"regulation_duration":"0s"`), 50-10+2*5)
	near("the same in hours", total(idle+`,"regulation_hours":0`), 50-10+2*5)
	if long := total(idle + `,"regulation_duration":"2h"`); long > 50-10+2*5-1e-3 {
		t.Errorf("of two hours %v", long)
	}
	for name, bad := range map[string]string{
		"no energy":     `"products":["regup"],"regup_per_mw":[1,1]`,
		"no prices":     `"products":["energy","regup"]`,
		"no such":       `"products":["energy","reserve"]`,
		"duration":      `"regulation_duration":"1 h"`,
		"below 0":       `"regulation_duration":"-1h"`,
		"both":          `"regulation_duration":"1h","regulation_hours":1`,
		"negative cost": `"variable_cost":-1`,
	} {
		if a := w.do("POST", "/api/v1/market/backtest", "viewer", `{"start":"2020-01-01T00:00:00Z","power_kw":1,"energy_kwh":1,"energy_per_mwh":[1,2],`+bad+`}`); a.Code != 400 {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
}

// TestPlanRoute: two sites under one limit: what binds is told, and the schedule is what dispatch takes.
func TestPlanRoute(t *testing.T) {
	w := newWorld(t)
	site := func(id string) string {
		return `{"id":"` + id + `","battery":{"power_kw":100,"energy_kwh":100,"begin_kwh":50,"end_kwh":50,"wear":[{"to":1,"cost_per_mwh":1}]},"load_kw":[10,10,10,10]}`
	}
	text := `{"start":"2026-01-01T00:00:00Z","interval_minutes":60,"energy_per_mwh":[20,60,20,60],"sites":[` + site("north") + "," + site("south") + `],` +
		`"limits":[{"name":"feeder","sites":["north","south"],"export_kw":80}]}`
	m := w.do("POST", "/api/v1/market/plan", "viewer", text).want(200, "").json()
	value, most := m["value"].(float64), m["at_most"].(float64)
	// Of the feeder 80 kW go out beside the load of 20: 100 kW in each dear hour, bought back at 20, worn by 1.
	if want := 2*0.1*(60-20-1) - 4*20*0.04; math.Abs(value-want) > 1e-4 || most < value-1e-9 || most > value+1e-3 {
		t.Errorf("value %v, at most %v, want %v", value, most, want)
	}
	if nothing := m["nothing"].(float64); math.Abs(nothing+4*20*0.04) > 1e-9 {
		t.Errorf("nothing %v", nothing)
	}
	bound := m["bounds"].([]any)[0].(map[string]any)
	if bound["name"] != "common limit" || bound["of"] != "feeder" || bound["worth"].(float64) <= 0 {
		t.Errorf("bounds %v", m["bounds"])
	}
	rows := m["intervals"].([]any)
	if why := rows[2].(map[string]any)["why"].(string); len(rows) != 8 || why == "" {
		t.Errorf("rows %v", rows)
	}
	schedule, err := json.Marshal(map[string]any{"enabled": true, "strategy": "cost", "target_kw": nil, "schedule": m["schedule"]})
	if err != nil {
		t.Fatal(err)
	}
	set := w.do("PUT", "/api/v1/dispatch", "operator", string(schedule)).want(200, "").json()
	if steps := set["schedule"].([]any); len(steps) < 4 || steps[len(steps)-1].(map[string]any)["target_kw"] != 0.0 {
		t.Errorf("schedule %v", set)
	}
	for name, bad := range map[string]string{
		"infeasible":   `{"start":"2026-01-01T00:00:00Z","energy_per_mwh":[1,2],"sites":[{"id":"a","load_kw":[10,10],"import_limit_kw":5}]}`,
		"few loads":    `{"start":"2026-01-01T00:00:00Z","energy_per_mwh":[1,2],"sites":[{"id":"a","load_kw":[10]}]}`,
		"no such site": `{"start":"2026-01-01T00:00:00Z","energy_per_mwh":[1,2],"sites":[{"id":"a"}],"limits":[{"name":"l","sites":["b"],"import_kw":1}]}`,
		"twice":        `{"start":"2026-01-01T00:00:00Z","energy_per_mwh":[1,2],"sites":[{"id":"a"},{"id":"a"}]}`,
		"negative PV":  `{"start":"2026-01-01T00:00:00Z","energy_per_mwh":[1,2],"sites":[{"id":"a","pv_kw":[1,-1]}]}`,
		"too many":     `{"start":"2026-01-01T00:00:00Z","energy_per_mwh":[1` + strings.Repeat(",1", 8000) + `],"sites":[{"id":"a"},{"id":"b"},{"id":"c"}]}`,
	} {
		if a := w.do("POST", "/api/v1/market/plan", "viewer", bad); a.Code != 400 {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
}

// TestPlanRefused: what a portfolio cannot be is told in the words of yunchu market plan.
func TestPlanRefused(t *testing.T) {
	w := newWorld(t)
	const sites = `"sites":[{"id":"a","battery":{"power_kw":100,"energy_kwh":200}}]`
	battery := func(more string) string {
		return `"sites":[{"id":"a","battery":{"power_kw":100,"energy_kwh":200,` + more + `}}]`
	}
	for members, want := range map[string]string{
		sites + `,"limits":[{"name":"f","sites":["a","a"],"import_kw":50}]}`:                                       `has site \"a\" twice`,
		sites + `,"limits":[{"name":"f","sites":[],"import_kw":50}]}`:                                              "no site",
		sites + `,"limits":[{"name":"f","sites":["a"]}]}`:                                                          "bounds nothing: add import_kw or export_kw",
		sites + `,"limits":[{"name":"f","sites":["a"],"import_kw":50},{"name":"f","sites":["a"],"export_kw":50}]}`: "a name of its own",
		battery(`"end_kwh":10,"end_value_per_mwh":3`) + `}`:                                                        "is fixed or has a value: keep one of the two",
		battery(`"least_kwh":20,"begin_kwh":0`) + `}`:                                                              "0 kWh are stored at the begin, outside of 20 to 200",
		`"sites":[{"id":"","battery":{"power_kw":100,"energy_kwh":200}}]}`:                                         "sites[0]",
		`"sites":[{"id":"a"},{"id":""}],"limits":[{"name":"f","sites":["a",""],"import_kw":50}]}`:                  "sites[1]",
		`"sites":[{"id":"a","curtail":true,"battery":{"power_kw":100,"energy_kwh":200}}]}`:                         "curtail of site \\\"a\\\" needs pv_kw",
		`"sites":[{"id":"a","peak_so_far_kw":5,"battery":{"power_kw":100,"energy_kwh":200}}]}`:                     "peak_so_far_kw of site \\\"a\\\" needs demand_charge_per_kw",
		`"sites":[{"id":"a","battery":{"power_kw":10,"energy_kwh":200,"end_kwh":100}}]}`:                           "no plan keeps to all limits: the battery of a is to hold 100 kWh at the end, and 40 kWh",
		`"sites":[{"id":"a","load_kw":[1,2,3,1e12]}]}`:                                                             `load_kw of site \"a\", 3 is 1e+12`,
		`"sites":[{"id":"a","pv_kw":[1,2,3,1e12]}]}`:                                                               `pv_kw of site \"a\", 3 is 1e+12`,
		`"sites":[{"id":"a","count":0}]}`:                                                                          "count",
		`"sites":[{"id":"a","count":3},{"id":"a-002"}]}`:                                                           `two sites \"a-002\"`,
		`"sites":[{"id":"a","count":3}],"limits":[{"name":"f","sites":["a","a-002"],"import_kw":50}]}`:             `has site \"a-002\" twice`,
		`"sites":[{"id":"a","count":3}],"limits":[{"name":"f","sites":["a-004"],"import_kw":50}]}`:                 "no such site",
		`"sites":[{"id":"a","count":9000,"battery":{"power_kw":100,"energy_kwh":200}}]}`:                           "4 intervals of 9000 sites",
		`"sites":[{"id":"a","import_fee_per_mwh":1e10,"battery":{"power_kw":100,"energy_kwh":200}}]}`:              "import_fee_per_mwh",
	} {
		body := `{"start":"2026-01-01T00:00:00Z","interval_minutes":60,"energy_per_mwh":[10,50,20,80],` + members
		if a := w.do("POST", "/api/v1/market/plan", "viewer", body); a.Code != 400 || !strings.Contains(a.Body.String(), want) {
			t.Errorf("%s: %d %.300s, want %s", members, a.Code, a.Body, want)
		}
	}
}

// TestPlanBeginsAtTheLeast: a battery without begin_kwh begins with what stays stored.
func TestPlanBeginsAtTheLeast(t *testing.T) {
	w := newWorld(t)
	_, x := w.plan(t, `{"start":"2026-01-01T00:00:00Z","interval_minutes":60,"energy_per_mwh":[10,50],"sites":[{"id":"a","battery":{"power_kw":100,"energy_kwh":100,"least_kwh":20}}]}`)
	near(t, "value", x("value"), 0.08*40)
}

// TestComputedBounds: nobody who may read has the plant compute or hold without end.
func TestComputedBounds(t *testing.T) {
	w := newWorld(t)
	lines := strings.Repeat("  - {id: a, side: pays, quantity: charge, price: 1, per: kWh}\\n", 1)
	many := ""
	for i := range 900 {
		many += fmt.Sprintf("  - {id: a%d, side: pays, quantity: charge, price: 1, per: kWh}\\n", i)
	}
	rule := func(lines string) string {
		return `{"rule":"","rule_text":"name: t\ntitle: t\nversion: \"1\"\nsource: own\nstanding: unverified\ncurrency: CNY\ntime_zone: UTC\ninterval: 15m\nrounding: {digits: 2, mode: half-up, of: month}\n%slines:\n` + lines + `",`
	}
	with := func(text, valid string) string { return strings.Replace(text, "%s", valid, 1) }
	year := `"devices":"MINE","from":"2023-01-01T00:00:00Z","to":"2024-01-01T00:00:00Z"}`
	var wear []string
	for i := range 64 {
		wear = append(wear, fmt.Sprintf(`{"to":%g,"cost_per_mwh":1}`, float64(i+1)/64))
	}
	for name, q := range map[string]struct{ path, body, want string }{
		"amounts":       {"/api/v1/settle/bill", with(rule(many), "") + year, "amounts"},
		"not valid":     {"/api/v1/settle/bill", with(rule(lines), `valid: {from: \"2023-06-01\"}\n`) + year, "not valid at 2023-01-01"},
		"no devices":    {"/api/v1/settle/bill", with(rule(lines), "") + `"from":"2023-01-01T00:00:00Z","to":"2024-01-01T00:00:00Z"}`, "devices"},
		"meter's times": {"/api/v1/settle/bill", with(rule(`  - {id: a, side: pays, quantity: charge, price: 1, times: charge, per: kWh}\\n`), "") + year, "times"},
		"variables":     {"/api/v1/market/plan", `{"start":"2026-01-01T00:00:00Z","energy_per_mwh":[1` + strings.Repeat(",1", 400) + `],"sites":[{"id":"a","battery":{"power_kw":1,"energy_kwh":1,"wear":[` + strings.Join(wear, ",") + `]}}]}`, "variables"},
		"huge price":    {"/api/v1/market/backtest", `{"start":"2020-01-01T00:00:00Z","power_kw":1,"energy_kwh":1,"energy_per_mwh":[1e300]}`, "1e9"},
		"huge target":   {"/api/v1/forecast", `{"first_day":"2024-01-01","per_day":1,"target":[1e300` + strings.Repeat(",1", 70) + `]}`, "1e9"},
		"fine steps":    {"/api/v1/forecast", `{"first_day":"2024-01-01","per_day":1440,"target":[1],"exog":[[1]]}`, "more than is computed"},
		"claims":        {"/api/v1/settle/bill", with(rule(lines+strings.Replace(lines, "id: a", "id: b", 1)), "") + `"claims":[{"line":"a","amount":1}],` + year, "month by month"},
	} {
		if a := w.do("POST", q.path, "viewer", q.body); a.Code != 400 || !strings.Contains(a.Body.String(), q.want) {
			t.Errorf("%s: %d %.300s, want %s", name, a.Code, a.Body, q.want)
		}
	}
	// A year without readings says how many amounts are missing and lists some.
	m := w.do("POST", "/api/v1/settle/bill", "viewer", with(rule(lines), "")+year).want(200, "").json()
	if list := m["missing"].([]any); len(list) != 1000 || m["missing_more"] != float64(365*96-1000) {
		t.Errorf("%d missing and %v more", len(list), m["missing_more"])
	}
	// An empty list is none.
	w.do("POST", "/api/v1/market/backtest", "viewer", `{"start":"2020-01-01T00:00:00Z","power_kw":1,"energy_kwh":1,"energy_per_mwh":[1,2],"regup_per_mw":[],"regdown_per_mw":[]}`).want(200, "")
}

// TestScoreRoute: the answer is that of the command.
func TestScoreRoute(t *testing.T) {
	w := newWorld(t)
	const text = `"period_s":10,"signal_kw":[0,10000,10000,10000,10000,10000,10000,10000,10000],"response_kw":[0,0,9000,9900,10000,10000,10000,10000,10000]`
	m := w.do("POST", "/api/v1/settle/score", "viewer", `{"rule":"north-china","rated_kw":100000,`+text+`}`).want(200, "").json()
	if m["rule"] != "north-china" || m["n"] != 1.0 || m["fee"].(float64) <= 0 {
		t.Errorf("%v", m)
	}
	own, err := settle.RuleText("north-china")
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(string(own))
	if err != nil {
		t.Fatal(err)
	}
	if same := w.do("POST", "/api/v1/settle/score", "viewer", `{"rule":"","rule_text":`+string(quoted)+`,"rated_kw":100000,`+text+`}`).want(200, "").json(); same["score"] != m["score"] {
		t.Errorf("%v by its text, %v by its name", same["score"], m["score"])
	}
	for name, bad := range map[string]string{
		"no such rule": `{"rule":"texas",` + text + `}`,
		"variant":      `{"rule":"hunan","variant":"block",` + text + `}`,
		"two rules":    `{"rule":"hunan","rule_text":"name: x",` + text + `}`,
		"an alias":     `{"rule":"","rule_text":"name: &a x\ntitle: *a",` + text + `}`,
		"still":        `{"rule":"hunan","period_s":1,"signal_kw":[0,0],"response_kw":[0,0]}`,
	} {
		if a := w.do("POST", "/api/v1/settle/score", "viewer", bad); a.Code != 400 {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
}

// TestBillRoute: what devices have measured is billed to the cent, what is simulated or not known is not.
func TestBillRoute(t *testing.T) {
	w := newWorld(t)
	begin := time.UnixMilli(start).UTC().Truncate(time.Hour).Add(-24 * time.Hour)
	push := func(id string, kw float64, flags device.Flags, seconds ...int) {
		t.Helper()
		slot, ok := w.Slot(device.ID(id))
		if !ok {
			t.Fatal(id)
		}
		var rows []device.Reading
		for _, s := range seconds {
			rows = append(rows, device.Reading{Slot: slot, At: begin.Add(time.Duration(s) * time.Second).UnixMilli(), Power: kw, SoC: 50, Quality: device.Good, Flags: flags})
		}
		if err := w.Push(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	var all []int
	for s := 0; s <= 3600; s += 30 {
		all = append(all, s)
	}
	push("MINE", 100, 0, all...)
	push("FOREIGN", -30, 0, all...)
	rule := `{"rule":"","rule_text":"name: t\ntitle: t\nversion: \"1\"\nsource: own\nstanding: unverified\ncurrency: CNY\ntime_zone: UTC\ninterval: 15m\nrounding: {digits: 2, mode: half-up, of: month}\nlines:\n  - {id: energy, title: e, side: pays, quantity: charge, price_of: price, per: kWh}\n",`
	span := fmt.Sprintf(`"from":%q,"to":%q,`, begin.Format(time.RFC3339), begin.Add(time.Hour).Format(time.RFC3339))
	prices := `"columns":[{"name":"price","values":[0.1,0.2,0.3,0.4]}]}`
	m := w.do("POST", "/api/v1/settle/bill", "viewer", rule+span+`"devices":"[FM]*",`+prices).want(200, "").json()
	// 70 kW net for a quarter of an hour each: 17.5 kWh · 1.0
	if m["total"] != -17.5 || m["complete"] != true || fmt.Sprint(m["of"]) != "[FOREIGN MINE]" {
		t.Errorf("%v", m)
	}
	if m := w.do("POST", "/api/v1/settle/bill", "viewer", rule+span+`"devices":"MINE","columns":[{"name":"price","values":[0.1,null,0.3,0.4]}]}`).want(200, "").json(); m["total"] != -20.0 || m["complete"] != false {
		t.Errorf("with a price that nobody knows: %v", m)
	}
	for name, bad := range map[string]string{
		"nobody":     rule + span + `"devices":"NOBODY*",` + prices,
		"no column":  rule + span + `"devices":"MINE"}`,
		"few values": rule + span + `"devices":"MINE","columns":[{"name":"price","values":[1]}]}`,
		"no time":    rule + fmt.Sprintf(`"from":%q,"to":%q,`, begin.Format(time.RFC3339), begin.Format(time.RFC3339)) + prices,
		"askew":      rule + fmt.Sprintf(`"from":%q,"to":%q,`, begin.Add(time.Minute).Format(time.RFC3339), begin.Add(time.Hour).Format(time.RFC3339)) + prices,
	} {
		if a := w.do("POST", "/api/v1/settle/bill", "viewer", bad); a.Code != 400 {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}

	push("MINE", 100, device.FlagSimulated, 1801)
	a := w.do("POST", "/api/v1/settle/bill", "viewer", rule+span+`"devices":"MINE",`+prices)
	if a.Code != 400 || !strings.Contains(a.Body.String(), "simulated") {
		t.Errorf("simulated: %d %s", a.Code, a.Body)
	}
	if m := w.do("POST", "/api/v1/settle/bill", "viewer", rule+span+`"devices":"MINE","pro_forma":true,`+prices).want(200, "").json(); m["pro_forma"] != true {
		t.Errorf("pro forma: %v", m)
	}
}

// TestComputingEnds: what takes longer than an answer may is refused, what nobody waits for any more ends too, and either way
// the place is free again.
func TestComputingEnds(t *testing.T) {
	w := newWorld(t)
	battery := `"battery":{"power_kw":100,"energy_kwh":100,"begin_kwh":50}`
	for name, q := range map[string]struct{ path, body string }{
		"plan":     {"/api/v1/market/plan", `{"start":"2026-01-01T00:00:00Z","energy_per_mwh":[20,60],"sites":[{"id":"a",` + battery + `}]}`},
		"backtest": {"/api/v1/market/backtest", `{"start":"2026-01-01T00:00:00Z","power_kw":1,"energy_kwh":1,"energy_per_mwh":[1,2],"regup_per_mw":[1,1]}`},
		"forecast": {"/api/v1/forecast", `{"first_day":"2024-01-01","per_day":1,"target":[1` + strings.Repeat(",2,3", 35) + `]}`},
	} {
		w.server.LetCompute(time.Nanosecond)
		if a := w.do("POST", q.path, "viewer", q.body); a.Code != 400 || !strings.Contains(a.Body.String(), "it takes longer than") {
			t.Errorf("%s that takes too long: %d %s", name, a.Code, a.Body)
		}
		w.server.LetCompute(0)
		gone, leave := context.WithCancel(t.Context())
		leave()
		r := httptest.NewRequestWithContext(gone, "POST", q.path, strings.NewReader(q.body))
		r.Header.Set("Authorization", "Bearer "+w.tokens["viewer"])
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		if w.server.ServeHTTP(rec, r); rec.Code == 200 {
			t.Errorf("%s was made for nobody: %s", name, rec.Body)
		}
		w.do("POST", q.path, "viewer", q.body).want(200, "")
	}
}

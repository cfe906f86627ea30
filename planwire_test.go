package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// planned are eight hours as they are expected and as they come, with what is paid for capacity and with quantiles.
const (
	plannedHours = `time,energy_per_mwh,export_per_mwh,regup_per_mw,reserve_per_mw
2026-01-01T00:00:00Z,12,10,2,3
2026-01-01T01:00:00Z,10,8,2,1
2026-01-01T02:00:00Z,50,48,3,1
2026-01-01T03:00:00Z,15,13,9,2
2026-01-01T04:00:00Z,40,38,2,6
2026-01-01T05:00:00Z,60,58,2,1
2026-01-01T06:00:00Z,30,28,4,1
2026-01-01T07:00:00Z,45,43,2,2
`
	cameHours = `time,energy_per_mwh,regup_per_mw
2026-01-01T00:00:00Z,18,3
2026-01-01T01:00:00Z,25,1
2026-01-01T02:00:00Z,35,8
2026-01-01T03:00:00Z,5,9
2026-01-01T04:00:00Z,80,1
2026-01-01T05:00:00Z,40,12
2026-01-01T06:00:00Z,20,0
2026-01-01T07:00:00Z,95,2
`
)

// shops are three alike and one that is not, with fees and the demand charges of two months, on a clock on which the new year begins
// within these hours.
const shops = `apiVersion: yunchu/v1
kind: Portfolio
prices: day.csv
zone: America/New_York
sites:
  - id: shop
    count: 3
    load: {csv: load.csv, time: time, column: load_kw}
    import_limit_kw: 900
    import_fee_per_mwh: 4
    export_fee_per_mwh: 3
    demand_charge_per_kw: 0.01
    peak_so_far_kw: 250
    battery: {power_kw: 300, energy_kwh: 600, begin_kwh: 100, efficiency: 0.9, most_kwh: 0}
  - id: mill
    battery: {power_kw: 100, energy_kwh: 150}
limits:
  - {name: feeder, sites: shop, import_kw: 1300}
  - {name: pair, sites: "shop-00[12]", export_kw: 250}
`

// columnsOf are the columns of a CSV, without their times.
func columnsOf(text string) map[string][]float64 {
	rows := strings.Split(strings.TrimSpace(text), "\n")
	names, out := strings.Split(rows[0], ","), map[string][]float64{}
	for _, row := range rows[1:] {
		for k, cell := range strings.Split(row, ",")[1:] {
			x, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				panic(err) // of the tables above
			}
			out[names[k+1]] = append(out[names[k+1]], x)
		}
	}
	return out
}

// TestPlanOverTheWire: the API answers what the command prints, planned once, drawn from quantiles, against what came, and
// again and again with capacity sold.
func TestPlanOverTheWire(t *testing.T) {
	const token = "token-of-an-engineer"
	p := fresh(t, "YUNCHU_TOKEN="+token)
	_, c := serving(t, p)
	c.token = token
	expected, came := columnsOf(plannedHours), columnsOf(cameHours)
	quantiles, rows := "time,q10,q50,q90\n", [][]float64{}
	for k, x := range expected["energy_per_mwh"] {
		rows = append(rows, []float64{x - 8, x, x + 15 + float64(k)})
		quantiles += fmt.Sprintf("%s,%v,%v,%v\n", time.Date(2026, 1, 1, k, 0, 0, 0, time.UTC).Format(time.RFC3339), x-8, x, x+15+float64(k))
	}
	write(t, p, "day.csv", plannedHours)
	write(t, p, "came.csv", cameHours)
	write(t, p, "quantiles.csv", quantiles)
	write(t, p, "shops.yaml", shops)
	load, traded := "time,load_kw\n", "time,target_kw\n"
	loads, soldKW, columns, comes := []float64{}, []float64{}, "time,low,middle,high\n", make([]map[string]any, 3)
	for k, row := range rows {
		at := time.Date(2026, 1, 1, k, 0, 0, 0, time.UTC).Format(time.RFC3339)
		loads, soldKW = append(loads, 200+30*float64(k%4)), append(soldKW, 100*float64(3-k%5))
		load += fmt.Sprintf("%s,%v\n", at, loads[k])
		traded += fmt.Sprintf("%s,%v\n", at, soldKW[k])
		columns += fmt.Sprintf("%s,%v,%v,%v\n", at, row[0], row[1], row[2])
	}
	for k := range comes {
		list := []float64{}
		for _, row := range rows {
			list = append(list, row[k])
		}
		comes[k] = map[string]any{"energy_per_mwh": list}
	}
	write(t, p, "load.csv", load)
	write(t, p, "sold.csv", traded)
	write(t, p, "columns.csv", columns)

	actual := map[string]any{"energy_per_mwh": came["energy_per_mwh"]}
	sold := map[string]any{"energy_per_mwh": came["energy_per_mwh"], "products": []any{map[string]any{"name": "regup", "per_mw": came["regup_per_mw"]}}}
	products := []any{
		map[string]any{"name": "regup", "up": true, "per_mw": expected["regup_per_mw"], "called": 0.3},
		map[string]any{"name": "reserve", "up": true, "per_mw": expected["reserve_per_mw"]},
	}
	drawn := map[string]any{"levels": []float64{0.1, 0.5, 0.9}, "quantiles": rows, "draws": 7, "seed": 3}
	with := func(list ...map[string]any) map[string]any {
		out := map[string]any{}
		for _, m := range list {
			maps.Copy(out, m)
		}
		return out
	}
	site := func(more map[string]any) []any {
		battery := map[string]any{"power_kw": 1000, "energy_kwh": 2000, "begin_kwh": 500, "efficiency": 0.9, "variable_cost_per_mwh": 1}
		return []any{with(map[string]any{"id": "site", "battery": battery}, more)}
	}
	portfolio := map[string]any{
		"time_zone": "America/New_York",
		"sites": []any{
			map[string]any{
				"id": "shop", "count": 3, "load_kw": loads, "import_limit_kw": 900, "import_fee_per_mwh": 4, "export_fee_per_mwh": 3, "demand_charge_per_kw": 0.01, "peak_so_far_kw": 250,
				"battery": map[string]any{"power_kw": 300, "energy_kwh": 600, "begin_kwh": 100, "efficiency": 0.9, "most_kwh": 0},
			},
			map[string]any{"id": "mill", "battery": map[string]any{"power_kw": 100, "energy_kwh": 150}},
		},
		"limits": []any{map[string]any{"name": "feeder", "sites": []string{"shop"}, "import_kw": 1300}, map[string]any{"name": "pair", "sites": []string{"shop-00[12]"}, "export_kw": 250}},
	}
	levels := map[string]any{"levels": []float64{0.1, 0.5, 0.9}, "quantiles": rows}
	const selling = " --products energy,regup,reserve --actual came.csv "
	for flags, body := range map[string]map[string]any{
		"":                  {},
		"--actual came.csv": {"actual": actual},
		"--actual came.csv --pareto wear --points 3":                                                    {"actual": actual, "pareto": map[string]any{"measure": "wear", "points": 3}},
		"--actual came.csv --rolling 4h/2h":                                                             {"actual": actual, "rolling": "4h/2h"},
		"--actual came.csv --rolling 1d/1h/3h --persistence 0.5":                                        {"actual": actual, "rolling": "1d/1h/3h", "persistence": 0.5},
		selling + "--rolling 4h/1h/2h":                                                                  {"actual": sold, "products": products, "rolling": "4h/1h/2h"},
		selling + "--rolling 8h/8h/0s --persistence 0":                                                  {"actual": sold, "products": products, "rolling": "8h/8h/0s", "persistence": 0},
		"--scenarios quantiles.csv --draws 7 --seed 3":                                                  drawn,
		"--scenarios quantiles.csv --draws 7 --seed 3 --cvar 0.7,0.5 --actual came.csv --rolling 3h/1h": with(drawn, map[string]any{"cvar": map[string]any{"level": 0.7, "weight": 0.5}, "actual": actual, "rolling": "3h/1h"}),

		"--scenarios quantiles.csv --draws 7 --seed 0":              with(drawn, map[string]any{"seed": 0}),
		"--scenarios quantiles.csv --robust 3":                      with(levels, map[string]any{"robust": map[string]any{"budget": 3}}),
		"--scenarios columns.csv --robust 2 --actual came.csv":      {"scenarios": comes, "robust": map[string]any{"budget": 2}, "actual": actual},
		"--scenarios quantiles.csv --robust 0 --draws 7 --seed 3":   with(drawn, map[string]any{"robust": map[string]any{"budget": 0}}),
		"--zone America/New_York --load load.csv --demand-charge 1": {"time_zone": "America/New_York", "sites": site(map[string]any{"load_kw": loads, "demand_charge_per_kw": 1})},
		"--products energy,reserve --regulation-duration 0s":        {"products": []any{map[string]any{"name": "reserve", "up": true, "per_mw": expected["reserve_per_mw"], "hours": 0}}},
		"--site shops.yaml":                                            portfolio,
		"--site shops.yaml --committed sold.csv":                       with(portfolio, map[string]any{"committed": map[string]any{"target_kw": soldKW}}),
		"--site shops.yaml --scenarios columns.csv --cvar 0.5,0.5":     with(portfolio, map[string]any{"scenarios": comes, "cvar": map[string]any{"level": 0.5, "weight": 0.5}}),
		"--site shops.yaml --scenarios quantiles.csv --robust 2":       with(portfolio, levels, map[string]any{"robust": map[string]any{"budget": 2}}),
		"--site shops.yaml --actual came.csv --rolling 6h/2h":          with(portfolio, map[string]any{"actual": actual, "rolling": "6h/2h"}),
		"--site shops.yaml --pareto peak --points 3 --actual came.csv": with(portfolio, map[string]any{"actual": actual, "pareto": map[string]any{"measure": "peak", "points": 3}}),
	} {
		t.Run(flags, func(t *testing.T) {
			base := "--power-kw 1000 --energy-kwh 2000 --begin-kwh 500 --efficiency 0.9 --variable-cost 1 "
			if strings.Contains(flags, "--site") {
				base = ""
			}
			line := strings.Fields("market plan --json --prices day.csv " + base + flags)
			said := p.run(t, line...)
			if said.code != 0 {
				t.Fatalf("yunchu %s: %s", strings.Join(line, " "), said.stderr)
			}
			var command, answer any
			decode(t, []byte(said.stdout), &command)
			decode(t, c.do(t, http.StatusOK, http.MethodPost, "/api/v1/market/plan", with(map[string]any{
				"start": "2026-01-01T00:00:00Z", "interval_minutes": 60, "energy_per_mwh": expected["energy_per_mwh"], "export_per_mwh": expected["export_per_mwh"],
				"sites": site(nil),
			}, body)), &answer)
			answered := answer.(map[string]any)
			if list, ok := answered["schedule"].([]any); !ok || len(list) == 0 {
				t.Errorf("the schedule is %v", answered["schedule"])
			}
			delete(answered, "schedule") // of the command it is a file
			delete(answered, "$schema")
			agree(t, "answer", answer, command)
			if strings.Contains(flags, "rolling") && !strings.Contains(said.stdout, `"rolling": `) {
				t.Error("nothing is said of planning again and again")
			}
		})
	}

	// What the command refuses is refused in the same words.
	for flags, body := range map[string]map[string]any{
		"--actual came.csv --rolling 6h/90m": {"actual": actual, "rolling": "6h/90m"},
		"--actual came.csv --rolling 1h/6h":  {"actual": actual, "rolling": "1h/6h"},
		"--rolling 6h/1h":                    {"rolling": "6h/1h"},
	} {
		said := p.run(t, strings.Fields("market plan --prices day.csv --power-kw 1000 --energy-kwh 2000 "+flags)...)
		var refusal struct{ Detail string }
		decode(t, c.do(t, http.StatusBadRequest, http.MethodPost, "/api/v1/market/plan", with(map[string]any{
			"start": "2026-01-01T00:00:00Z", "interval_minutes": 60, "energy_per_mwh": expected["energy_per_mwh"],
			"sites": []any{map[string]any{"id": "site", "battery": map[string]any{"power_kw": 1000, "energy_kwh": 2000}}},
		}, body)), &refusal)
		if plain := strings.ReplaceAll(said.stderr, "--", ""); refusal.Detail == "" || !strings.Contains(plain, refusal.Detail) {
			t.Errorf("%s: the command says %s, the API %s", flags, said.stderr, refusal.Detail)
		}
	}
}

// agree reports where two values of JSON differ; numbers may by what the solver leaves.
func agree(t *testing.T, at string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		got, _ := got.(map[string]any)
		for k := range want {
			agree(t, at+"."+k, got[k], want[k])
		}
		for k := range got {
			if _, ok := want[k]; !ok {
				t.Errorf("%s.%s is answered alone", at, k)
			}
		}
	case []any:
		got, _ := got.([]any)
		if len(got) != len(want) {
			t.Errorf("%s has %d values, want %d", at, len(got), len(want))
			return
		}
		for k := range want {
			agree(t, fmt.Sprintf("%s[%d]", at, k), got[k], want[k])
		}
	case float64:
		if x, ok := got.(float64); !ok || math.Abs(x-want) > 1e-6*(1+math.Abs(want)) {
			t.Errorf("%s is %v, want %v", at, got, want)
		}
	default:
		if a, b := text(json.Marshal(got)), text(json.Marshal(want)); a != b {
			t.Errorf("%s is %s, want %s", at, a, b)
		}
	}
}

func text(b []byte, _ error) string { return string(b) }

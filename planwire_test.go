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
	} {
		t.Run(flags, func(t *testing.T) {
			line := strings.Fields("market plan --json --prices day.csv --power-kw 1000 --energy-kwh 2000 --begin-kwh 500 --efficiency 0.9 --variable-cost 1 " + flags)
			said := p.run(t, line...)
			if said.code != 0 {
				t.Fatalf("yunchu %s: %s", strings.Join(line, " "), said.stderr)
			}
			var command, answer any
			decode(t, []byte(said.stdout), &command)
			decode(t, c.do(t, http.StatusOK, http.MethodPost, "/api/v1/market/plan", with(map[string]any{
				"start": "2026-01-01T00:00:00Z", "interval_minutes": 60, "energy_per_mwh": expected["energy_per_mwh"], "export_per_mwh": expected["export_per_mwh"],
				"sites": []any{map[string]any{"id": "site", "battery": map[string]any{"power_kw": 1000, "energy_kwh": 2000, "begin_kwh": 500, "efficiency": 0.9, "variable_cost_per_mwh": 1}}},
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

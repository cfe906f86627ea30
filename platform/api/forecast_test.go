package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"yunchu/platform/forecast"
)

// post sends a request of a viewer over a real socket and reads the answer into a value.
func (w *world) post(path, body string, status int, into any) {
	w.t.Helper()
	if w.http == nil {
		w.listen()
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.http.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.tokens["viewer"])
	r.Header.Set("Content-Type", "application/json")
	a, err := w.http.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != status {
		w.t.Fatalf("%s: %d %.500s, %v", path, a.StatusCode, text, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		w.t.Fatalf("%s: %v\n%.500s", path, err, text)
	}
}

// TestForecastRoute: the answer is what package forecast says.
func TestForecastRoute(t *testing.T) {
	w := newWorld(t)
	const perDay, days = 4, 60
	var target, exog []float64
	for i := range perDay * (days + 1) {
		exog = append(exog, 100+10*math.Sin(float64(i)))
		if i < perDay*days {
			target = append(target, 0.5*exog[i]+math.Sin(float64(i/perDay)))
		}
	}
	text, err := json.Marshal(map[string]any{"first_day": "2024-01-01", "per_day": perDay, "target": target, "exog": [][]float64{exog}})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Day       string
		Forecast  []float64
		Quantiles [][]float64
	}
	if err := json.Unmarshal(w.do("POST", "/api/v1/forecast", "viewer", string(text)).want(200, "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	s := &forecast.Series{PerDay: perDay, Weekday: 1, Target: append(target, make([]float64, perDay)...), Exog: [][]float64{exog}}
	said, err := forecast.Play(s, days, days, forecast.Warm, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := said[0]
	if got.Day != "2024-03-01" || len(got.Forecast) != perDay || len(got.Quantiles) != perDay {
		t.Fatalf("%+v", got)
	}
	for k, x := range want.Value {
		if math.Abs(got.Forecast[k]-x) > 1e-9 || math.Abs(got.Quantiles[k][0]-want.Quantiles[k][0]) > 1e-9 {
			t.Errorf("step %d: %v, want %v", k, got.Forecast[k], x)
		}
	}
	for name, bad := range map[string]string{
		"no whole day": `{"first_day":"2024-01-01","per_day":7,"target":[1,2,3]}`,
		"short":        `{"first_day":"2024-01-01","per_day":1,"target":[1,2,3]}`,
		"exog":         `{"first_day":"2024-01-01","per_day":1,"target":[1,2,3],"exog":[[1,2,3]]}`,
	} {
		if a := w.do("POST", "/api/v1/forecast", "viewer", bad); a.Code != 400 {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
}

// TestForecastBacktestRoute: the answer is what package forecast says of each day, scored.
func TestForecastBacktestRoute(t *testing.T) {
	w := newWorld(t)
	const perDay, days, from = 4, 80, 60
	s := &forecast.Series{PerDay: perDay, Weekday: 1, Exog: [][]float64{nil}}
	for i := range perDay * days {
		s.Exog[0] = append(s.Exog[0], 100+10*math.Sin(float64(i)))
		s.Target = append(s.Target, 0.5*s.Exog[0][i]+3*math.Sin(float64(i/perDay))+math.Cos(float64(7*i)))
	}
	ask := map[string]any{
		"first_day": "2024-01-01", "per_day": perDay, "target": s.Target, "exog": s.Exog, "from": "2024-03-01", "to": "2024-03-10", "rows": true,
		"against": []any{map[string]any{"name": "truth", "values": s.Target[from*perDay : (from+10)*perDay]}},
	}
	body := func(change map[string]any) string {
		q := maps.Clone(ask)
		for k, v := range change {
			if q[k] = v; v == nil {
				delete(q, k)
			}
		}
		text, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var got struct {
		From, To string
		forecast.Figures
		Months  []forecast.Month
		Against []forecast.Rival
		Levels  []float64
		Rows    []struct {
			Day       string
			Forecast  []float64
			Quantiles [][]float64
		}
	}
	w.post("/api/v1/forecast/backtest", body(nil), 200, &got)
	said, err := forecast.Play(s, from, from+9, forecast.Warm, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	var trial forecast.Trial
	week := forecast.NaiveQuantiles(s, from, from+9)
	for i, f := range said {
		trial.Add(s, f, week[i])
		row := got.Rows[i]
		if want := time.Date(2024, 3, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly); row.Day != want || fmt.Sprint(row.Forecast) != fmt.Sprint(f.Value) || fmt.Sprint(row.Quantiles) != fmt.Sprint(f.Quantiles) {
			t.Errorf("%+v, want %s %+v", row, want, f)
		}
	}
	if got.Figures != trial.Figures() || got.N != 10*perDay || got.MAE <= 0 || got.RMAE >= 1 || got.From != "2024-03-01" || got.To != "2024-03-10" || len(got.Levels) != len(forecast.Levels) {
		t.Errorf("%+v, want %+v", got, trial.Figures())
	}
	if m := got.Months; len(m) != 1 || m[0].Month != "2024-03" || m[0].MAE != got.MAE {
		t.Errorf("months %+v", m)
	}
	if r := got.Against; len(r) != 1 || r[0].Name != "truth" || r[0].MAE != 0 || r[0].Statistic <= 0 {
		t.Errorf("against %+v", r)
	}
	// To the end of the series, over two months.
	w.post("/api/v1/forecast/backtest", body(map[string]any{"from": "2024-02-29", "to": nil, "against": nil, "rows": nil}), 200, &got)
	if m := got.Months; got.To != "2024-03-20" || len(m) != 2 || m[0].N != perDay || m[1].N != 20*perDay {
		t.Errorf("%s, %+v", got.To, m)
	}
	for name, bad := range map[string]struct {
		change map[string]any
		want   string
	}{
		"too early":       {map[string]any{"from": "2024-02-18"}, "the series allows 2024-02-19"},
		"too late":        {map[string]any{"to": "2024-03-21"}, "2024-03-20"},
		"turned round":    {map[string]any{"to": "2024-02-28"}, "from 2024-03-01 to 2024-03-20"},
		"no day":          {map[string]any{"from": "March"}, "RFC 3339 date"},
		"a column longer": {map[string]any{"exog": [][]float64{make([]float64, (days+1)*perDay)}}, "must have 320"},
		"few rivals":      {map[string]any{"against": []any{map[string]any{"name": "x", "values": []float64{1}}}}, "has 1 step"},
		"too many days":   {map[string]any{"per_day": 1, "exog": nil, "from": "2024-02-29", "to": nil, "against": nil, "target": make([]float64, 430)}, "366 are forecast at most"},
		"huge":            {map[string]any{"against": []any{map[string]any{"name": "x", "values": []float64{1e300}}}}, "1e9"},
	} {
		var p struct{ Detail string }
		if w.post("/api/v1/forecast/backtest", body(bad.change), 400, &p); !strings.Contains(p.Detail, bad.want) {
			t.Errorf("%s: %s", name, p.Detail)
		}
	}
}

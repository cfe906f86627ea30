package hindcast_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"yunchu/harness/hindcast"
	"yunchu/harness/sheet"
	"yunchu/platform/forecast"
)

func day(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// rows are days of a series in steps of six hours from an evening on, that its column explains.
func rows(days int) []string {
	out := []string{"when,Load forecast,Price"}
	begin := time.Date(2023, 12, 31, 18, 0, 0, 0, time.UTC)
	for i := range 4*days + 1 {
		load := 100 + 10*math.Sin(float64(i)) + float64(i%4)*5
		out = append(out, fmt.Sprintf("%s,%.3f,%.3f", begin.Add(time.Duration(i)*6*time.Hour).Format("2006-01-02 15:04"), load, 0.5*load+3*math.Sin(float64(i/4))))
	}
	return out
}

func write(t *testing.T, name string, rows []string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.Join(rows, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestScoresAreThoseOfTheRows: the scores are what the CSV of the forecasts says by hand.
func TestScoresAreThoseOfTheRows(t *testing.T) {
	lines := rows(70)
	others := []string{"time,real,theirs"}
	for k, line := range lines[1+1+4*55:] { // from 2024-02-25
		f := strings.Split(line, ",")
		price, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, fmt.Sprintf("%s,%g,%g", f[0], price, price+1+float64(k%2)))
	}
	o := hindcast.Options{
		Data: write(t, "data.csv", lines), Target: "Price", Exog: []string{"Load forecast"},
		From: day(t, "2024-02-25"), To: day(t, "2024-03-05"), Against: write(t, "others.csv", others),
	}
	r, err := hindcast.Run(o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	table, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	sum, pinball, n := 0.0, 0.0, 0
	for _, row := range table[1:] {
		x := make([]float64, len(row))
		for i := 1; i < len(row); i++ {
			if x[i], err = strconv.ParseFloat(row[i], 64); err != nil {
				t.Fatal(err)
			}
		}
		y := x[len(x)-1]
		sum += math.Abs(x[1] - y)
		for i, level := range forecast.Levels {
			pinball += forecast.Pinball(level, x[2+i], y) / float64(len(forecast.Levels))
		}
		n++
	}
	if n != 40 || r.N != 40 || table[1][0] != "2024-02-25T00:00:00Z" {
		t.Errorf("%d rows, n %d, first %v", n, r.N, table[1])
	}
	if math.Abs(sum/40-r.MAE) > 1e-4 || math.Abs(pinball/40-r.Pinball) > 1e-4 {
		t.Errorf("MAE %g, by the rows %g; pinball %g, by the rows %g", r.MAE, sum/40, r.Pinball, pinball/40)
	}
	if r.RMAE > 0.5 || math.Abs(r.RMAE-r.MAE/r.MAENaive) > 1e-12 || math.Abs(r.Skill-(1-r.RMAE)) > 1e-12 {
		t.Errorf("%+v", r)
	}
	if len(r.Against) != 1 || r.Against[0].Name != "theirs" || math.Abs(r.Against[0].MAE-1.5) > 1e-9 || r.Against[0].Statistic > -2 || r.Against[0].P > 0.03 || r.Against[0].N != 40 {
		t.Errorf("against others: %+v", r.Against)
	}
	if len(r.Months) != 2 || r.Months[0].Month != "2024-02" || r.Months[0].N != 20 || math.Abs((r.Months[0].MAE+r.Months[1].MAE)/2-r.MAE) > 1e-9 {
		t.Errorf("months: %+v", r.Months)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	b.Reset()
	if err := r.WritePage(&b); err != nil || strings.Count(b.String(), "<svg") < 1 || strings.Contains(b.String(), "<script") {
		t.Errorf("page of %d bytes: %v", b.Len(), err)
	}
}

// TestLaterRowsChangeNothing: the row of a day in the CSV of forecasts is the same whatever the
// file says of later days.
func TestLaterRowsChangeNothing(t *testing.T) {
	lines := rows(60)
	table := func(lines []string) []string {
		r, err := hindcast.Run(hindcast.Options{
			Data: write(t, "data.csv", lines), Target: "Price", Exog: []string{"Load forecast"},
			From: day(t, "2024-02-26"), To: day(t, "2024-02-27"), Warm: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := r.WriteCSV(&b); err != nil {
			t.Fatal(err)
		}
		return strings.Split(b.String(), "\n")
	}
	want := table(lines)
	later := append([]string{}, lines...)
	for i, line := range later {
		f := strings.Split(line, ",")
		switch {
		case f[0] >= "2024-02-28" && i > 0:
			later[i] = f[0] + ",9999,9999"
		case f[0] >= "2024-02-27" && i > 0:
			later[i] = f[0] + "," + f[1] + ",9999"
		}
	}
	got := table(later)
	for i, row := range want {
		if cut := strings.LastIndex(row, ","); cut > 0 { // what came is the last column
			if other := got[i][:strings.LastIndex(got[i], ",")]; other != row[:cut] {
				t.Errorf("%s\nis, with other later rows,\n%s", row, got[i])
			}
		}
	}
}

// TestHoles: a short hole is filled and not scored.
func TestHoles(t *testing.T) {
	hourly := []string{"time,Price"}
	begin := day(t, "2024-01-01")
	for i := range 24 * 60 {
		hourly = append(hourly, fmt.Sprintf("%s,%.2f", begin.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), 50+10*math.Sin(float64(i)/4)))
	}
	at := 1 + 24*58 + 5
	hourly[at] = "2024-02-28T05:00:00Z,"
	holes := append(append([]string{}, hourly[:at+3]...), hourly[at+5:]...)
	r, err := hindcast.Run(hindcast.Options{Data: write(t, "data.csv", holes), Target: "Price", From: day(t, "2024-02-27"), Warm: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r.Filled != 3 || r.N != 3*24-3 || r.To != "2024-02-29" {
		t.Errorf("%d filled, %d scored, to %s", r.Filled, r.N, r.To)
	}
}

func TestFaults(t *testing.T) {
	lines := rows(60)
	changed := func(at int, line string) []string {
		out := append([]string{}, lines...)
		out[at] = line
		return out
	}
	good := hindcast.Options{Target: "Price", Exog: []string{"Load forecast"}, From: day(t, "2024-02-25")}
	for name, tt := range map[string]struct {
		rows   []string
		change func(*hindcast.Options)
		want   string
	}{
		"no target":      {lines, func(o *hindcast.Options) { o.Target = "price" }, "data.csv:1:1: there is no column price"},
		"no column":      {lines, func(o *hindcast.Options) { o.Exog = []string{"Wind"} }, "data.csv:1:1: there is no column Wind"},
		"its own column": {lines, func(o *hindcast.Options) { o.Exog = []string{"Price"} }, "cannot be known beforehand"},
		"time as target": {lines, func(o *hindcast.Options) { o.Target = "when" }, "column when is taken for the times"},
		"too early":      {lines, func(o *hindcast.Options) { o.From = day(t, "2024-01-20") }, "--from may be 2024-02-19 at the earliest"},
		"too late":       {lines, func(o *hindcast.Options) { o.To = day(t, "2024-03-20") }, "whole days up to 2024-02-29"},
		"back to front":  {lines, func(o *hindcast.Options) { o.To = day(t, "2024-02-20") }, "comes after the last day"},
		"a word":         {changed(7, "2024-01-02 06:00,much,3"), nil, `data.csv:8:18: "much" in column Load forecast is not a number`},
		"no value":       {changed(7, "2024-01-02 06:00,1,"), nil, "data.csv:8:20: column Price has no value in this row"},
		"no instant":     {changed(7, "noon,1,3"), nil, `data.csv:8:1: "noon" is no instant`},
		"beside":         {changed(7, "2024-01-02 06:30,1,3"), nil, "data.csv:8:1: this row is beside the grid"},
		"a hole":         {append(append([]string{}, lines[:9]...), lines[10:]...), nil, "data.csv:10:1: 6h0m0s are missing before this row"},
		"empty":          {lines[:1], nil, "the file has no rows"},
		"one row":        {lines[:2], nil, "a single row is no series"},
		"uneven day":     {[]string{"when,Load forecast,Price", "2024-01-01 00:00,1,2", "2024-01-01 07:00,1,2"}, nil, "7h0m0s after the row before"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			o.Data = write(t, "data.csv", tt.rows)
			if tt.change != nil {
				tt.change(&o)
			}
			if _, err := hindcast.Run(o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// TestNext: the day that nobody has seen is forecast as a backtest forecasts it, whatever the
// file has of it.
func TestNext(t *testing.T) {
	lines := rows(70)
	o := hindcast.Options{Data: write(t, "data.csv", lines), Target: "Price", Exog: []string{"Load forecast"}, From: day(t, "2024-03-05")}
	o.To = o.From
	r, err := hindcast.Run(o)
	if err != nil {
		t.Fatal(err)
	}
	text := func(w interface{ WriteCSV(io.Writer) error }) []string {
		t.Helper()
		var b bytes.Buffer
		if err := w.WriteCSV(&b); err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(b.String()), "\n")
	}
	want := text(r)
	first := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "2024-03-05 00:00") })
	for name, known := range map[string]int{"nothing": 0, "half of it": 2} {
		unseen := slices.Clone(lines[:first+4])
		for k := first + known; k < len(unseen); k++ {
			unseen[k] = unseen[k][:strings.LastIndex(unseen[k], ",")+1]
		}
		o.Data = write(t, "unseen.csv", unseen)
		a, err := hindcast.Next(o)
		if err != nil {
			t.Fatalf("%s known: %v", name, err)
		}
		got := text(a)
		for k := range want {
			cut := strings.LastIndex(want[k], ",")
			if !strings.HasPrefix(got[k], want[k][:cut+1]) {
				t.Errorf("%s known: %s, and the backtest has %s", name, got[k], want[k])
			}
		}
		if !a.Day().Equal(o.From) {
			t.Errorf("%s known: the day is %s", name, a.Day())
		}
	}

	// Without columns no row of the day is needed.
	o.Exog, o.Data = nil, write(t, "short.csv", lines[:first])
	if a, err := hindcast.Next(o); err != nil || !a.Day().Equal(o.From) || len(text(a)) != 1+4 {
		t.Errorf("without columns: %v", err)
	}
	o.Exog = []string{"Load forecast"}
	if _, err := hindcast.Next(o); err == nil || !strings.Contains(err.Error(), "2024-03-05 is forecast, and after this row there is none of 00:00") {
		t.Errorf("a column that nobody knows: %v", err)
	}
	o.Exog, o.Data = nil, write(t, "few.csv", lines[:4*30])
	if _, err := hindcast.Next(o); err == nil || !strings.Contains(err.Error(), "whole days before") {
		t.Errorf("a month: %v", err)
	}
}

// TestDevices: what a plant's export has of each device is a series of all of them.
func TestDevices(t *testing.T) {
	begin := day(t, "2024-01-01")
	sum := []string{"time,max_discharge_kw"}
	of := map[string][]string{}
	for k := range 52 * 4 {
		at := begin.Add(time.Duration(k) * 6 * time.Hour).Format(time.RFC3339)
		a, b := 100-float64(k%5), 50+float64(k%3)
		row := func(x float64) string { return fmt.Sprintf("%s,%g,good,simulated,,", at, x) }
		switch k {
		case 30: // b has nothing to say
			sum = append(sum, fmt.Sprintf("%s,%g", at, a))
			of["a"] = append(of["a"], row(a))
			of["b"] = append(of["b"], at+",,,,2024-01-09T00:00:00Z,link")
		case 31: // b says what is not believed
			sum = append(sum, fmt.Sprintf("%s,%g", at, a))
			of["a"] = append(of["a"], row(a))
			of["b"] = append(of["b"], strings.Replace(row(1e6), "good", "bad", 1))
		default:
			sum = append(sum, fmt.Sprintf("%s,%g", at, a+b))
			of["a"], of["b"] = append(of["a"], row(a)), append(of["b"], row(b))
		}
	}
	lines := []string{"device,time,max_discharge_kw,quality,flags,gap_until,gap_reason"}
	for _, id := range []string{"a", "b"} {
		for _, row := range of[id] {
			lines = append(lines, id+","+row)
		}
	}
	play := func(data string) string {
		r, err := hindcast.Run(hindcast.Options{Data: data, Target: "max_discharge_kw", From: day(t, "2024-02-20"), Warm: 1})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := r.WriteCSV(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got, want := play(write(t, "export.csv", lines)), play(write(t, "sum.csv", sum)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	lines[3] = strings.Replace(lines[3], "T", " at ", 1)
	_, err := hindcast.Run(hindcast.Options{Data: write(t, "export.csv", lines), Target: "max_discharge_kw", From: day(t, "2024-02-20")})
	if err == nil || !strings.Contains(err.Error(), "export.csv:4:3:") {
		t.Errorf("no instant: %v", err)
	}
}

// TestFleet: what a fleet could take is forecast better than by the day before, what it could give, which only
// outages that nobody announces change, no worse; and neither leaves what the fleet has (testdata/fleet-months.yaml).
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("how good a forecast is; the days that are forecast side by side are those of other tests")
	}
	for target, least := range map[string]float64{"available_charge_kw": 0.1, "available_discharge_kw": 0} {
		r, err := hindcast.Run(hindcast.Options{Data: "testdata/fleet-months.csv", Target: target, From: day(t, "2025-12-15")})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: skill %.3f against the day before, %.3f against the week before; pinball %.3f of %.3f", target, r.SkillBefore, r.Skill, r.Pinball, r.PinballNaive)
		if r.SkillBefore < least || r.Skill < 0.1 || r.Pinball > 0.85*r.PinballNaive {
			t.Errorf("%s: skill %.3f and %.3f, pinball %.4g of %.4g", target, r.SkillBefore, r.Skill, r.Pinball, r.PinballNaive)
		}
		var b bytes.Buffer
		if err := r.WriteCSV(&b); err != nil {
			t.Fatal(err)
		}
		table, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range table[1:] {
			for _, field := range row[1:] {
				if x, err := strconv.ParseFloat(field, 64); err != nil || x < 0 || x > 1000 {
					t.Fatalf("%s: %v", target, row)
				}
			}
		}
	}
}

// TestHomes: the load of 17 homes, and what their roofs yield, are forecast better than by the day before and
// than by the week before, without anybody's forecast of the weather (the data of CityLearn).
func TestHomes(t *testing.T) {
	if testing.Short() {
		t.Skip("how good a forecast is; the days that are forecast side by side are those of other tests")
	}
	folder := os.Getenv("YUNCHU_DATA")
	if folder == "" {
		t.Skip("YUNCHU_DATA does not name the folder of the reference data")
	}
	s, err := sheet.Read(filepath.Join(folder, "market", "citylearn2022_load_pv_17.csv"), func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"time,load,pv"}
	begin := time.Date(2021, 7, 31, 23, 0, 0, 0, time.UTC) // the file has hours alone
	for k := range s.Line {
		var load, pv float64
		for i, name := range s.Header {
			switch {
			case strings.HasPrefix(name, "load"):
				load += s.Column[i][k]
			case strings.HasPrefix(name, "pv"):
				pv += s.Column[i][k]
			}
		}
		lines = append(lines, fmt.Sprintf("%s,%g,%g", begin.Add(time.Duration(k)*time.Hour).Format("2006-01-02 15:04"), load, pv))
	}
	data := write(t, "homes.csv", lines)
	for target, skill := range map[string]float64{"load": 0.08, "pv": 0.05} {
		r, err := hindcast.Run(hindcast.Options{Data: data, Target: target, From: day(t, "2022-06-01"), To: day(t, "2022-06-30"), Warm: 28})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: skill %.3f against the day before, %.3f against the week before", target, r.SkillBefore, r.Skill)
		if r.SkillBefore < skill || r.Skill < 2*skill || r.Pinball > 0.9*r.PinballNaive {
			t.Errorf("%s: skill %.3f and %.3f, pinball %.4g of %.4g", target, r.SkillBefore, r.Skill, r.Pinball, r.PinballNaive)
		}
	}
}

// TestStop: who interrupts has no scores of the days that were done.
func TestStop(t *testing.T) {
	var asked atomic.Int64
	_, err := hindcast.Run(hindcast.Options{
		Data: write(t, "data.csv", rows(60)), Target: "Price", From: day(t, "2024-02-26"), Warm: 1,
		Stop: func() error { asked.Add(1); return os.ErrDeadlineExceeded },
	})
	if err == nil || asked.Load() == 0 {
		t.Errorf("%v after %d questions", err, asked.Load())
	}
}

// TestNordPool forecasts two weeks of the period of Lago et al. (2021) from real prices.
// docs/market.md has the whole period.
func TestNordPool(t *testing.T) {
	if testing.Short() {
		t.Skip("how good a forecast is; the days that are forecast side by side are those of other tests")
	}
	folder := os.Getenv("YUNCHU_DATA")
	if folder == "" {
		t.Skip("YUNCHU_DATA does not name the folder of the reference data")
	}
	r, err := hindcast.Run(hindcast.Options{
		Data: filepath.Join(folder, "market", "epf_NP_2013_2017.csv"), Target: "Price",
		Exog: []string{"Grid load forecast", "Wind power forecast"},
		From: day(t, "2017-11-01"), To: day(t, "2017-11-14"), Warm: forecast.MinWarm,
		Against: filepath.Join(folder, "market", "epf_forecasts_NP_2017.csv"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	r.Print(&b)
	t.Log(b.String())
	if r.N != 14*24 || r.RMAE > 0.42 || r.Pinball > 0.42*r.PinballNaive {
		t.Errorf("n %d, rMAE %.3f, pinball %.3f against %.3f", r.N, r.RMAE, r.Pinball, r.PinballNaive)
	}
	for _, o := range r.Against {
		if o.Name == "LEAR_ens" && o.Ratio > 1.03 {
			t.Errorf("%.3f of the error of %s", o.Ratio, o.Name)
		}
	}
}

package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/sample"
)

// peer finds a program of others; where it must be, its absence is a failure.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
			t.Fatalf("%s is not installed (Debian: apt-get install prometheus)", name)
		}
		t.Skipf("%s is not installed", name)
	}
	return path
}

// history pushes an hour of readings of two devices, at irregular instants, with a
// silence of eight minutes, bad ones and values that were not reported.
func pushHour(t *testing.T, w *world) (rows []device.Reading) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, id := range []device.ID{"MINE", "FOREIGN"} {
		slot, _ := w.Slot(id)
		power := 0.0
		for at := int64(start) + 137; at < start+3_600_000; at += 3000 + rng.Int64N(9001) | 1 {
			if id == "MINE" && at > start+1_200_000 && at < start+1_680_000 {
				continue
			}
			power += rng.NormFloat64() * 10
			r := device.Empty()
			r.Slot, r.At, r.Arrived, r.Status = slot, at, at, device.Charging
			r.Power, r.SoC, r.Temperature, r.Voltage = math.Round(power*1000)/1000, rng.Float64()*100, 20+1e-9*rng.Float64(), float64(at-start)/7
			if rng.IntN(10) == 0 {
				r.SoC = math.NaN()
			}
			if rng.IntN(20) == 0 {
				r.Quality, r.Status = device.Bad, device.Offline
			}
			rows = append(rows, r)
		}
	}
	if err := w.Push(t.Context(), slices.Clone(rows)); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestQueriesAgreeWithPrometheus asks us and a real Prometheus, which was given the
// same samples, the same questions. Not asked is what versions of it answer
// differently: ranges with a sample exactly on their older end, and the rate of
// something that begins within a distance of zero.
func TestQueriesAgreeWithPrometheus(t *testing.T) {
	program, tool := peer(t, "prometheus"), peer(t, "promtool")
	w := newWorld(t)
	rows := pushHour(t, w)
	dir := t.TempDir()
	var text strings.Builder
	for i := range sample.Devices {
		m := &sample.Devices[i]
		fmt.Fprintf(&text, "# TYPE %s gauge\n", m.Name)
		for k := range rows {
			info, _ := w.Device(rows[k].Slot)
			if v, ok := m.Value(&rows[k]); ok {
				fmt.Fprintf(&text, "%s{device=%q,kind=%q} %g %d.%03d\n", m.Name, info.ID, info.Kind, v, rows[k].At/1000, rows[k].At%1000)
			}
		}
	}
	text.WriteString("# EOF\n")
	in := filepath.Join(dir, "samples")
	if err := os.WriteFile(in, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), tool, "tsdb", "create-blocks-from", "openmetrics", in, filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	x := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--storage.tsdb.retention.time=100y", "--web.listen-address="+address)
	x.Stdout, x.Stderr = log, log
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = x.Process.Kill()
		_ = x.Wait()
	}()
	get := func(path string) (int, []byte) {
		r, err := http.Get("http://" + address + path)
		if err != nil {
			return 0, nil
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, b
	}
	for until := time.Now().Add(hung); ; time.Sleep(50 * time.Millisecond) {
		if code, _ := get("/-/ready"); code == 200 {
			break
		}
		if time.Now().After(until) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("prometheus does not become ready:\n%s", said)
		}
	}
	for _, query := range []string{
		"yunchu_device_power_kw", `yunchu_device_soc_percent{device="MINE"}`, `{__name__=~"yunchu_device_(soc|soh)_percent"}`,
		`yunchu_device_power_kw{device!~"M.*"}`, `yunchu_device_power_kw offset 10m`, `yunchu_device_power_kw offset -90s`,
		"sum(yunchu_device_power_kw)", "avg by(kind) (yunchu_device_soc_percent)", "min without(device) (yunchu_device_power_kw)",
		"max(yunchu_device_temperature_c) by (device)", "count(yunchu_device_online == 0)", "sum({__name__=~\".+_kw\"}) by (__name__)",
		"rate(yunchu_device_voltage_v[5m])", "increase(yunchu_device_voltage_v[97s])", "delta(yunchu_device_power_kw[5m])",
		"avg_over_time(yunchu_device_power_kw[5m])", "min_over_time(yunchu_device_power_kw[1m])", "max_over_time(yunchu_device_power_kw[1m] offset 2m)",
		"sum_over_time(yunchu_device_soc_percent[10m])", "count_over_time(yunchu_device_quality[1m])", "last_over_time(yunchu_device_power_kw[20m])",
		"yunchu_device_power_kw * 2 - 1", "-yunchu_device_power_kw", "yunchu_device_power_kw > 0", "0 < bool yunchu_device_power_kw",
		"yunchu_device_power_kw % 7", "2 ^ 3 ^ 2", "yunchu_device_power_kw / yunchu_device_voltage_v", `yunchu_device_power_kw{device="MINE"} - on(kind) yunchu_device_power_kw{device="FOREIGN"}`,
		`yunchu_device_power_kw{device="MINE"} > ignoring(device,kind) yunchu_device_soc_percent{device="FOREIGN"}`, `yunchu_device_power_kw{device="MINE"} == yunchu_device_power_kw`,
		"abs(clamp_max(clamp_min(yunchu_device_power_kw, -5), 5))", "time() - 1700000000", "vector(1) / 0", "yunchu_device_soh_percent", "0x1f + 010",
		"-yunchu_device_power_kw ^ 2", "sum(rate(yunchu_device_voltage_v[2m])) by (device) / 1e3", "{device=~\".+\"}", "1 - -1", "sum(-{__name__=~\"yunchu_device_(power_kw|soc_percent)\"})",
		"topk(1, yunchu_device_power_kw)", "bottomk by(kind) (1, yunchu_device_soc_percent)", "quantile(0.3, yunchu_device_power_kw)", "stddev(yunchu_device_power_kw)",
		"stdvar by(kind) (yunchu_device_soc_percent)", "group by(device) (yunchu_device_power_kw)", `count_values("q", yunchu_device_quality)`,
		"yunchu_device_power_kw and yunchu_device_soc_percent > 50", "yunchu_device_power_kw > 0 or yunchu_device_soc_percent", "yunchu_device_power_kw unless on(device) yunchu_device_soc_percent < 50",
		"yunchu_device_power_kw > 0 or yunchu_device_power_kw < -5", "yunchu_device_power_kw / on(kind) group_left sum by(kind) (yunchu_device_power_kw)",
		`sum by(kind) (yunchu_device_power_kw) < on(kind) group_right yunchu_device_power_kw`, `yunchu_device_power_kw * on(device) group_left(kind) yunchu_device_soc_percent`,
		fmt.Sprintf("yunchu_device_power_kw @ %d", start/1000+600), "yunchu_device_power_kw - yunchu_device_power_kw @ end()", "avg_over_time(yunchu_device_power_kw[5m] @ start() offset -7m)",
		"max_over_time(avg_over_time(yunchu_device_power_kw[2m])[10m:1m])", "avg_over_time((yunchu_device_power_kw > 0)[20m:] offset 3m)", "sum(max_over_time(yunchu_device_power_kw[3m:30s])) by (kind)",
		"irate(yunchu_device_voltage_v[5m])", "idelta(yunchu_device_power_kw[5m])", "deriv(yunchu_device_power_kw[5m])", "predict_linear(yunchu_device_power_kw[5m], 3600)",
		"quantile_over_time(0.9, yunchu_device_power_kw[10m])", "stddev_over_time(yunchu_device_power_kw[5m])", "stdvar_over_time(yunchu_device_soc_percent[5m])",
		"present_over_time(yunchu_device_power_kw[1m])", "changes(yunchu_device_quality[10m])", "resets(yunchu_device_power_kw[10m])", `absent(yunchu_device_power_kw{device="MINE"})`,
		`absent_over_time(yunchu_device_power_kw{device="NONE",kind=~"x"}[5m])`, `scalar(yunchu_device_power_kw{device="MINE"})`, "scalar(yunchu_device_power_kw)", "timestamp(yunchu_device_power_kw)",
		"timestamp(yunchu_device_power_kw + 1)", "round(yunchu_device_power_kw)", "round(yunchu_device_power_kw, 0.25)", "ceil(yunchu_device_power_kw) - floor(yunchu_device_power_kw)",
		"clamp(yunchu_device_power_kw, -3, 4)", "clamp(yunchu_device_power_kw, 4, 3)", "sgn(yunchu_device_power_kw)", "sqrt(yunchu_device_power_kw)", "ln(yunchu_device_soc_percent)", "log2(yunchu_device_soc_percent) / log10(yunchu_device_soc_percent)",
		"exp(yunchu_device_soc_percent / 50)", "deg(rad(yunchu_device_power_kw))", "sin(yunchu_device_power_kw) atan2 cos(yunchu_device_power_kw)", "hour() * 60 + minute()", "day_of_week(yunchu_device_voltage_v)",
		"day_of_month() + day_of_year() + days_in_month() + month() + year()", `label_replace(yunchu_device_power_kw, "name", "$1_$2", "device", "(M?)(.*)")`, `label_join(yunchu_device_power_kw, "both", "/", "device", "kind")`,
		`sum by(name) (label_replace(yunchu_device_power_kw, "name", "x", "device", "FOR.*"))`, "sort_desc(yunchu_device_power_kw)", "sort(yunchu_device_power_kw)", "pi()",
		"(yunchu_device_power_kw)", "sum(yunchu_device_power_kw) or vector(0)", "yunchu_device_power_kw * on() group_left yunchu_device_soc_percent", "avg(yunchu_device_soc_percent) by (kind) > bool 50",
	} {
		for _, step := range []string{"15", "1m", "7m"} {
			path := "/api/v1/query_range?" + url.Values{"query": {query}, "start": {fmt.Sprint(start/1000 - 30)}, "end": {fmt.Sprint(start/1000 + 4000)}, "step": {step}}.Encode()
			theirsCode, theirs := get(path)
			ours := w.do("GET", path, "viewer", "")
			compareAnswers(t, query+" in steps of "+step, ours.Code, ours.Body.Bytes(), theirsCode, theirs)
		}
		// Whole minutes, of which the history's tiers tell; a subquery's would lie on the ends of
		// ranges.
		if !strings.Contains(query, ":") {
			path := "/api/v1/query_range?" + url.Values{"query": {query}, "start": {fmt.Sprint(start/1000 - 20 - 3600)}, "end": {fmt.Sprint(start/1000 + 4000)}, "step": {"1m"}}.Encode()
			code, theirs := get(path)
			answer := w.do("GET", path, "viewer", "")
			compareAnswers(t, query+" at whole minutes", answer.Code, answer.Body.Bytes(), code, theirs)
		}
		path := "/api/v1/query?" + url.Values{"query": {query}, "time": {fmt.Sprint(start/1000+2000) + ".25"}}.Encode()
		theirsCode, theirs := get(path)
		ours := w.do("GET", path, "viewer", "")
		compareAnswers(t, query, ours.Code, ours.Body.Bytes(), theirsCode, theirs)
	}
	if w.summarized.Load() == 0 {
		t.Error("no answer came from tiers")
	}
}

type promAnswer struct {
	Status    string
	ErrorType string
	Data      struct {
		ResultType string
		Result     json.RawMessage
	}
}

type promSeries struct {
	Metric map[string]string
	Value  [2]any
	Values [][2]any
}

func compareAnswers(t *testing.T, what string, oursCode int, ours []byte, theirsCode int, theirs []byte) {
	t.Helper()
	var a, b promAnswer
	if json.Unmarshal(ours, &a) != nil || json.Unmarshal(theirs, &b) != nil {
		t.Fatalf("%s:\n ours %d %.300s\ntheirs %d %.300s", what, oursCode, ours, theirsCode, theirs)
	}
	if oursCode != theirsCode || a.Status != b.Status || a.ErrorType != b.ErrorType || a.Data.ResultType != b.Data.ResultType {
		t.Errorf("%s:\n ours %d %.300s\ntheirs %d %.300s", what, oursCode, ours, theirsCode, theirs)
		return
	}
	if a.Status != "success" {
		return
	}
	list := func(raw json.RawMessage) (out []promSeries) {
		if json.Unmarshal(raw, &out) != nil { // a scalar
			var v [2]any
			_ = json.Unmarshal(raw, &v)
			out = []promSeries{{Value: v}}
		}
		for i := range out {
			if out[i].Values == nil {
				out[i].Values = [][2]any{out[i].Value}
			}
		}
		slices.SortFunc(out, func(x, y promSeries) int { return strings.Compare(fmt.Sprint(x.Metric), fmt.Sprint(y.Metric)) })
		return out
	}
	x, y := list(a.Data.Result), list(b.Data.Result)
	if len(x) != len(y) {
		t.Errorf("%s: %d series, theirs %d\n%.300s\n%.300s", what, len(x), len(y), ours, theirs)
		return
	}
	for i := range x {
		if fmt.Sprint(x[i].Metric) != fmt.Sprint(y[i].Metric) || len(x[i].Values) != len(y[i].Values) {
			t.Errorf("%s: series %v of %d points, theirs %v of %d", what, x[i].Metric, len(x[i].Values), y[i].Metric, len(y[i].Values))
			continue
		}
		for k, p := range x[i].Values {
			q := y[i].Values[k]
			if p[0] != q[0] || !close9(fmt.Sprint(p[1]), fmt.Sprint(q[1])) {
				t.Errorf("%s: %v has %v, theirs %v", what, x[i].Metric, p, q)
				break
			}
		}
	}
}

func close9(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return a == b || errX == nil && errY == nil && math.Abs(x-y) <= 1e-9*max(math.Abs(x), math.Abs(y), 1)
}

// TestQueryFaces looks at every envelope, and at what is refused.
func TestQueryFaces(t *testing.T) {
	w := newWorld(t)
	r := device.Empty()
	r.Slot, _ = w.Slot("MINE")
	r.At, r.Power, r.Status = start-1000, 1e-7, device.Charging
	if err := w.Push(t.Context(), []device.Reading{r}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		role, path string
		status     int
		want       string
	}{
		{"viewer", "query?query=1%2B1&time=4", 200, `{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}`},
		{"viewer", "query?query=yunchu_device_power_kw", 200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"yunchu_device_power_kw","device":"MINE","kind":"push"},"value":[1700000000,"1e-07"]}]}}`},
		{"viewer", "query_range?query=vector(1)/0&start=1&end=2.5&step=1s", 200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"+Inf"],[2,"+Inf"]]}]}}`},
		{"viewer", "labels?match[]=yunchu_device_online", 200, `{"status":"success","data":["__name__","device","kind"]}`},
		{"viewer", "label/device/values", 200, `{"status":"success","data":["FOREIGN","MINE","OFFLINE","SLOW"]}`},
		{"device", "label/device/values", 200, `{"status":"success","data":["MINE"]}`},
		{"device", `series?match[]={__name__=~".*power_kw"}`, 200, `{"status":"success","data":[{"__name__":"yunchu_device_power_kw","device":"MINE","kind":"push"}]}`},
		{"device", `query?query=yunchu_device_power_kw{device="FOREIGN"}`, 200, `{"status":"success","data":{"resultType":"vector","result":[]}}`},
		{"viewer", "label/none/values", 200, `{"status":"success","data":[]}`},
		{"viewer", "metadata?metric=yunchu_device_voltage_v", 200, `{"status":"success","data":{"yunchu_device_voltage_v":[{"type":"gauge","help":"Voltage at the battery's DC terminals.","unit":"V"}]}}`},
		{"viewer", "query?query=limitk(1,x)", 400, `"errorType":"bad_data","error":"query: at character 1: not supported: the aggregation limitk`},
		{"viewer", "query", 400, `unexpected the end`},
		{"viewer", "query?query=1&time=x", 400, `parameter \"time\"`},
		{"viewer", "query?query=1&time=1e20", 400, `parameter \"time\"`},
		{"viewer", "query?query=1&timeout=no", 400, `parameter \"timeout\"`},
		{"viewer", "query_range?query=1&start=2&end=1&step=1", 400, `parameter \"end\"`},
		{"viewer", "query_range?query=1&start=1&end=2&step=0", 400, `parameter \"step\"`},
		{"viewer", "query_range?query=1&start=0&end=11001&step=1", 400, `at most 11000 points`},
		{"viewer", "series", 400, `parameter \"match[]\"`},
		{"viewer", `query?query=-{device="MINE"}`, 422, `"errorType":"execution"`},
		{"", "query?query=1", 401, `UNAUTHORIZED`},
	} {
		u, err := url.Parse("/api/v1/" + tt.path)
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22", "[", "%5B", "]", "%5D").Replace(u.RawQuery)
		a := w.do("GET", u.String(), tt.role, "")
		if a.Code != tt.status || !strings.Contains(a.Body.String(), tt.want) {
			t.Errorf("%s as %q: %d %s\nwant %d %s", tt.path, tt.role, a.Code, a.Body, tt.status, tt.want)
		}
	}
	form := w.do("POST", "/api/v1/query", "viewer", "query=2&time=3", "Content-Type", "application/x-www-form-urlencoded")
	if got := form.Body.String(); form.Code != 200 || !strings.Contains(got, `[3,"2"]`) {
		t.Errorf("a form is answered %d %s", form.Code, got)
	}
}

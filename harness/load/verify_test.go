package load

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"yunchu/harness/metric"
	"yunchu/harness/report"
)

// TestVerify: a history that lacks what was acknowledged is found out, page by
// page; of many readings a sample of devices is looked at.
func TestVerify(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/d6/") {
			http.Error(w, `{"code":"UNKNOWN_DEVICE"}`, http.StatusNotFound)
			return
		}
		q := r.URL.Query()
		if !strings.HasPrefix(r.URL.Path, "/api/v1/devices/d") || q.Get("from") != "10" || q.Get("to") != "51" {
			t.Errorf("asked for %s", r.URL)
		}
		next, from := "more", 10
		if q.Get("cursor") == "more" {
			next, from = "", 30
		}
		var items []string
		for at := from; at < from+20 || next == "" && at <= 50; at += 10 {
			if !strings.Contains(r.URL.Path, "/d3/") || at != 40 { // which d3 has lost
				items = append(items, fmt.Sprintf(`{"timestamp":%d,"data":{}}`, at))
			}
		}
		fmt.Fprintf(w, `{"items":[%s],"next":%q}`, strings.Join(items, ","), next)
	}))
	t.Cleanup(server.Close)
	acked := map[string][]int64{}
	for i := range 6 {
		acked[fmt.Sprintf("d%d", i)] = []int64{50, 10, 20, 30, 40}
	}
	c := NewClient(Target{Address: strings.TrimPrefix(server.URL, "http://"), Token: "secret"})
	t.Cleanup(c.Close)
	for _, tt := range []struct {
		limit               int64
		looked, lost, units int64
	}{{100, 30, 1, 6}, {10, 10, 1, 2}, {15, 15, 0, 3}} {
		v, err := c.Verify(t.Context(), acked, tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		if v.Acked != 30 || v.Looked != tt.looked || v.Lost != tt.lost || int64(v.Devices) != tt.units || (v.Example != "") != (tt.lost > 0) {
			t.Errorf("up to %d: %+v, want %d looked at, %d lost, %d devices", tt.limit, v, tt.looked, tt.lost, tt.units)
		}
	}
	v, err := c.Verify(t.Context(), map[string][]int64{"d6": {1, 2, 3}}, 100)
	if err != nil || v.Lost != 3 {
		t.Errorf("readings of a device that the plant does not know: %+v, %v; want 3 lost", v, err)
	}
}

// TestLateGenerator: what a generator that was late lets fail is inconclusive, and
// the load has not passed even where every limit held; what is not of its time fails
// all the same.
func TestLateGenerator(t *testing.T) {
	l := metric.NewLoad()
	for range 100 {
		l.Request(metric.Answer{MS: 150})
		l.Late(120)
	}
	l.Ran(1, 1)
	c := metric.New(metric.Config{})
	c.Load("x").Merge(l)
	c.Data(100, 1)
	scores := []report.Score{
		report.Judge(c, "api.x.latency_ms", "p99", "< 100", ""), report.Judge(c, "api.x.latency_ms", "p99", "< 1000", ""),
		report.Judge(c, "data.lost", "", "== 0", ""),
	}
	check := report.OnTime([]report.LoadResult{report.LoadOf("x", RESTSync, "", 0, l)})
	report.Excuse(check, scores)
	if !check.Inconclusive || check.Pass || !strings.Contains(check.Detail, "late by 120 ms") {
		t.Errorf("check %+v", check)
	}
	if !scores[0].Inconclusive || !scores[1].Pass || scores[2].Inconclusive || scores[2].Pass {
		t.Errorf("scores %+v", scores)
	}
	for n, want := range map[int]report.Verdict{2: report.Inconclusive, 3: report.Failed} {
		if got := report.Decide(report.Outcome{}, scores[:n], []report.Check{check}); got != want {
			t.Errorf("verdict of %d scores: %s, want %s", n, got, want)
		}
	}
	if got := report.Decide(report.Outcome{}, scores[1:2], []report.Check{check}); got != report.Inconclusive {
		t.Errorf("verdict where every limit holds: %s", got)
	}
}

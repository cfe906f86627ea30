//go:build !nosim && unix

package main

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"
)

// cleanRow is a row of `values=clean`.
type cleanRow struct {
	Timestamp int64
	Data      struct {
		SoC, Voltage, Power, Current, Temperature *float64
	}
	Raw     *struct{ SoC, Voltage, Power *float64 }
	Filled  []string
	Outlier []string
	Quality string
}

// TestCleanedHistoryOverREST sends ten minutes of readings in watts, with spikes and a
// silence in them, to the production runtime and asks for them cleaned: every spike is found
// and nothing else is taken for one, the silence is filled near the truth and said to be, and
// beside each value is the one that was received.
func TestCleanedHistoryOverREST(t *testing.T) {
	t.Parallel()
	const token = "token-of-an-engineer"
	p := fresh(t, "YUNCHU_TOKEN="+token)
	p.write(t, "plant.yaml", "apiVersion: yunchu/v1\nkind: Config\nquality: [{devices: \"old-*\", units: {power: W}}]\n")
	x, c := serving(t, p, "-c", "plant.yaml")
	c.token = token
	status, body, err := c.try(http.MethodPut, "/api/v1/devices/old-1", map[string]any{"ratedKw": 100, "capacityKwh": 200})
	if err != nil || status/100 != 2 {
		t.Fatalf("register: %d %s, %v", status, body, err)
	}

	// One that registers itself by its first reading has its units from that one on.
	c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", map[string]any{
		"deviceId": "old-2", "timestamp": time.Now().UnixMilli(),
		"data": map[string]any{"soc": 50, "voltage": 800, "current": 62.5, "temperature": 25, "power": 50_000, "status": "charging"},
	})
	var first reading
	if c.get(t, "/api/v1/devices/old-2/latest", &first); first.Data.Power != 50 {
		t.Errorf("the first reading of a device in watts has %v kW, want 50", first.Data.Power)
	}

	const n = 600
	begin := time.Now().Add(-2 * time.Hour).Truncate(time.Hour)
	truth := func(i int) (kw, soc, volt float64) {
		kw = 40 * math.Sin(2*math.Pi*float64(i)/300)
		return kw, 50 + 100*(40*300/(2*math.Pi))*(1-math.Cos(2*math.Pi*float64(i)/300))/3600/200, 800 + 0.05*kw
	}
	spikes := []int{60, 145, 230, 320, 410, 505}
	silent := func(i int) bool { return i > 350 && i < 370 }
	var rows []map[string]any
	for i := range n {
		if silent(i) {
			continue
		}
		kw, soc, volt := truth(i)
		if slices.Contains(spikes, i) {
			volt += 90
		}
		rows = append(rows, map[string]any{
			"deviceId": "old-1", "timestamp": begin.Add(time.Duration(i) * time.Second).UnixMilli(),
			"data": map[string]any{"soc": soc, "voltage": volt, "current": kw * 1e6 / (800 + 0.05*kw) / 1000, "temperature": 25.0, "power": kw * 1000, "status": "idle"},
		})
	}
	for part := range slices.Chunk(rows, 100) {
		c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", part)
	}

	var got []cleanRow
	eventually(t, "the history has all of it", func() bool {
		got = nil
		for cursor := ""; ; {
			var page struct {
				Items []cleanRow
				Next  string
			}
			c.get(t, fmt.Sprintf("/api/v1/devices/old-1/history?values=clean&from=%d&to=%d&limit=250&cursor=%s",
				begin.UnixMilli(), begin.Add(n*time.Second).UnixMilli(), cursor), &page)
			got = append(got, page.Items...)
			if cursor = page.Next; cursor == "" {
				return len(got) >= n-1
			}
		}
	})
	found, wrong, filled := 0, 0, 0
	for _, r := range got {
		i := int(r.Timestamp-begin.UnixMilli()) / 1000
		kw, soc, volt := truth(i)
		spike := slices.Contains(spikes, i)
		switch {
		case len(r.Outlier) > 0 && spike:
			found++
		case len(r.Outlier) > 0:
			wrong++
		}
		if silent(i) {
			filled++
			if r.Raw != nil || len(r.Filled) == 0 || r.Quality == "good" {
				t.Errorf("second %d was never received: %+v", i, r)
			}
			if r.Data.Power == nil || math.Abs(*r.Data.Power-kw) > 2 || r.Data.SoC == nil || math.Abs(*r.Data.SoC-soc) > 0.05 {
				t.Errorf("second %d is filled with %v kW, %v %%, truth %g, %g", i, r.Data.Power, r.Data.SoC, kw, soc)
			}
			continue
		}
		if r.Raw == nil || r.Raw.Power == nil || math.Abs(*r.Raw.Power-kw) > 1e-3 || spike != (math.Abs(*r.Raw.Voltage-volt) > 1) {
			t.Errorf("second %d: what was received is %+v, want %g kW, %g V, a spike: %v", i, r.Raw, kw, volt, spike)
		}
		if spike && r.Data.Voltage != nil && math.Abs(*r.Data.Voltage-volt) > 1 {
			t.Errorf("second %d is cleaned to %g V, truth %g", i, *r.Data.Voltage, volt)
		}
	}
	t.Logf("%d of %d spikes, %d others, %d rows filled", found, len(spikes), wrong, filled)
	if found != len(spikes) || wrong != 0 || filled != 19 {
		t.Errorf("%d of %d spikes found, %d others taken for one, %d of 19 rows filled", found, len(spikes), wrong, filled)
	}
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Errorf("exit code %d", code)
	}
}

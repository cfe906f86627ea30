package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"yunchu/platform/store/series"
)

// TestQueriesTellGaps: an answer in Prometheus's form warns of the readings that are known
// to be missing from it, once for all devices that have a gap, and says nothing where there
// are none.
func TestQueriesTellGaps(t *testing.T) {
	w := newWorld(t)
	pushHour(t, w)
	warnings := func() (out []string) {
		t.Helper()
		path := fmt.Sprintf("/api/v1/query_range?query=yunchu_device_power_kw&start=%d&end=%d&step=15", start/1000, start/1000+600)
		var answer struct {
			Status   string
			Warnings []string
		}
		if err := json.Unmarshal(w.do("GET", path, "viewer", "").want(200, "").Body.Bytes(), &answer); err != nil || answer.Status != "success" {
			t.Fatal(answer, err)
		}
		return answer.Warnings
	}
	if got := warnings(); got != nil {
		t.Errorf("of a whole history it warns %q", got)
	}
	w.lost = []series.Gap{{From: start + 1000, To: start + 2000, Reason: "the file is cut off"}}
	got := warnings()
	if len(got) != 1 || !strings.HasPrefix(got[0], "readings of FOREIGN and 3 more devices from 20") || !strings.HasSuffix(got[0], " are missing: the file is cut off") {
		t.Errorf("it warns %q", got)
	}
	w.lost = nil
	for i := range 30 {
		w.lost = append(w.lost, series.Gap{From: start + int64(i), To: start + int64(i) + 1, Reason: "lost"})
	}
	if got := warnings(); len(got) != 21 || got[20] != "10 more gaps" {
		t.Errorf("of 30 gaps it warns %d times, at the end %q", len(got), got[len(got)-1])
	}
}

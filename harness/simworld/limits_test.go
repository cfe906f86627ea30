//go:build !nosim

package simworld_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"yunchu/harness/report"
	"yunchu/harness/run"
)

func limitEvents(r *report.Run) (said []string) {
	for _, e := range r.EventLog {
		if strings.HasPrefix(e.Kind, "limit-") {
			said = append(said, e.Device+": "+e.Text)
		}
	}
	return said
}

// TestTheBindingLimitIsSaid lets one unit run empty, and another one at rest: the first
// says once what binds, and once that nothing does any more; the second nothing.
func TestTheBindingLimitIsSaid(t *testing.T) {
	r := scene(t, "duration: 40m\nfleet: [{id: low, soc: 6}, {id: rest, soc: 50}]\ntimeline:\n"+
		"  - {at: 1m, command: {device: low, power_kw: -100, duration: 10m}}\n"+
		"  - {at: 20m, command: {device: low, power_kw: 50, duration: 10m}}\n")
	if got, want := limitEvents(r), []string{"low: soc-low binds", "low: no limit binds any more"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestLimitsDoNotFlood drives a full unit by a signal that turns every four seconds.
func TestLimitsDoNotFlood(t *testing.T) {
	var csv strings.Builder
	csv.WriteString("t_s,kw\n")
	for n := range 900 {
		csv.WriteString(strings.Join([]string{strconv.Itoa(4 * n), strconv.Itoa(100 - 200*(n%2))}, ",") + "\n")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s.csv"), []byte(csv.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r := scene(t, "duration: 1h\nfleet: [{id: full, soc: 95}]\ndispatch: {every: 2s, strategy: proportional, target: {csv: "+filepath.Join(dir, "s.csv")+", time: t_s, column: kw, scale_kw: 1}}\n")
	if n := len(limitEvents(r)); n > 4 {
		t.Errorf("%d events of limits in an hour", n)
	}
}

// TestDevicesShowLimitAndReactivePower reads both back from devices.parquet.
func TestDevicesShowLimitAndReactivePower(t *testing.T) {
	s := load(t, "testdata/reactive-run.yaml")
	dir := t.TempDir()
	do(t, s, run.Options{Out: dir})
	rows, err := parquet.ReadFile[report.DeviceRow](filepath.Join(dir, "devices.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, row := range rows {
		if row.PowerKW < -99 && row.ReactiveKvar != -30 {
			t.Fatalf("%+v, want -30 kvar", row)
		}
		seen[row.Limit]++
	}
	if seen["soc-low"] < 60 || seen[""] < 100 {
		t.Errorf("limits in the rows: %v", seen)
	}
}

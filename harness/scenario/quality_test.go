package scenario_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform/ingest"
)

const qualityHead = "apiVersion: yunchu/v1\nkind: Config\nname: q\nquality:\n"

// TestQualityOfAConfig: what a rule leaves out is as ingest.Default has it.
func TestQualityOfAConfig(t *testing.T) {
	c, err := scenario.ParseConfig("q.yaml", []byte(qualityHead+
		"  - {devices: \"ess-*\", gaps: {hold: 2s}, range: {soc: {min: 5, max: 95}}, units: {power: W}}\n  - {}\n"), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := c.Quality[0], c.Quality[1]
	if second.Devices != "*" || !reflect.DeepEqual(second.Profile, ingest.Default()) {
		t.Errorf("an empty rule is %+v, want the default", second)
	}
	want := ingest.Default()
	want.Gaps.Hold, want.Range.SoC, want.Units.Power = 2*time.Second, &ingest.Bounds{Min: 5, Max: 95}, "W"
	if first.Devices != "ess-*" || !reflect.DeepEqual(first.Profile, want) {
		t.Errorf("the first rule is %+v, want %+v", first, want)
	}
	for text, fault := range map[string]string{
		"  - {devices: \"[\"}\n":                 "is not a glob",
		"  - {range: {soc: {min: 9, max: 1}}}\n": "no value is between 9 and 1",
		"  - {units: {clock: 48h}}\n":            "is no time zone",
		"  - {outlier: {sigma: 4}}\n":            "unknown field",
	} {
		if _, err := scenario.ParseConfig("q.yaml", []byte(qualityHead+text), scenario.Options{}); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q: %v, want %q", text, err, fault)
		}
	}
}

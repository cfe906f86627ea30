package ingest_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/ingest"
)

func TestFuse(t *testing.T) {
	const now = 1_000_000
	at := func(v float64, age int64, q device.Quality) ingest.Sample {
		return ingest.Sample{Value: v, At: now - age, Quality: q}
	}
	good := func(v float64) ingest.Sample { return at(v, 0, device.Good) }
	nan := math.NaN()
	for name, tt := range map[string]struct {
		in       []ingest.Sample
		want     float64
		quality  device.Quality
		conflict bool
		sources  int
	}{
		"nobody":                         {nil, nan, device.Bad, false, 0},
		"one":                            {[]ingest.Sample{good(50)}, 50, device.Good, false, 1},
		"two that agree":                 {[]ingest.Sample{good(50), good(51)}, 50.5, device.Good, false, 2},
		"two of three":                   {[]ingest.Sample{good(50), good(500), good(51)}, 50.5, device.Suspect, true, 2},
		"the good one of two":            {[]ingest.Sample{at(80, 0, device.Suspect), good(50)}, 50, device.Suspect, true, 1},
		"the fresher of two":             {[]ingest.Sample{at(80, 8000, device.Good), good(50)}, 50, device.Suspect, true, 1},
		"suspect alone stays suspect":    {[]ingest.Sample{at(80, 0, device.Suspect)}, 80, device.Suspect, false, 1},
		"bad and old ones have no say":   {[]ingest.Sample{at(80, 0, device.Bad), at(90, 10_001, device.Good), good(50)}, 50, device.Good, false, 1},
		"what is no number has no say":   {[]ingest.Sample{good(nan), good(math.Inf(1)), good(50)}, 50, device.Good, false, 1},
		"a clock that is ahead is fresh": {[]ingest.Sample{at(50, -3000, device.Good)}, 50, device.Good, false, 1},
	} {
		got := ingest.Fuse(tt.in, now, 10*time.Second, 2)
		same := got.Value == tt.want || math.IsNaN(got.Value) && math.IsNaN(tt.want)
		if !same || got.Quality != tt.quality || got.Conflict != tt.conflict || got.Sources != tt.sources {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestFuseProperties: the order of sources does not matter, the value lies between those
// that count, and a minority of liars never carries it out of tolerance.
func TestFuseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		truth := rapid.Float64Range(-100, 100).Draw(t, "truth")
		honest := rapid.IntRange(2, 5).Draw(t, "honest")
		liars := rapid.IntRange(0, honest-1).Draw(t, "liars")
		var in []ingest.Sample
		for range honest {
			in = append(in, ingest.Sample{Value: truth + rapid.Float64Range(-0.5, 0.5).Draw(t, "error"), At: 1000, Quality: device.Good})
		}
		for range liars {
			in = append(in, ingest.Sample{Value: rapid.Float64Range(-1e6, 1e6).Draw(t, "lie"), At: 1000, Quality: device.Good})
		}
		got := ingest.Fuse(in, 1000, time.Second, 2)
		if math.Abs(got.Value-truth) > 0.5+2 {
			t.Fatalf("%v of %v", got, in)
		}
		slices.Reverse(in)
		if again := ingest.Fuse(in, 1000, time.Second, 2); math.Abs(again.Value-got.Value) > 1e-9 || again.Conflict != got.Conflict {
			t.Fatalf("%v, backwards %v", got, again)
		}
	})
}

package ingest

import (
	"cmp"
	"math"
	"slices"
	"time"

	"yunchu/platform/device"
)

// Sample is what one source says of a quantity.
type Sample struct {
	Value   float64 // NaN: nothing
	At      int64   // ms UTC, when it was measured
	Quality device.Quality
}

// Fused is a quantity made of several sources.
type Fused struct {
	Value    float64 // NaN: no source can be used
	At       int64   // ms UTC, of the newest source that counts
	Quality  device.Quality
	Conflict bool // sources that could be used contradict one another
	Sources  int  // that count
}

// Fuse makes one value of what several sources say of a quantity at now (ms UTC).
//
// A source that is bad, or was measured longer than maxAge ago, has no say. The weight of
// the others is 1 for good and 1/4 for suspect, and halves with every quarter of maxAge, so
// that of two sources of one quality the fresher counts for more. Those within tolerance of
// the weighted median (Edgeworth 1888) agree, and the value is their weighted mean: a median
// of three or more lies with the majority, and one of two with the heavier (of equals, the lower). If any is left
// out the sources are in conflict, and what comes of it is no better than suspect.
func Fuse(samples []Sample, now int64, maxAge time.Duration, tolerance float64) Fused {
	type vote struct {
		Sample
		weight float64
	}
	out := Fused{Value: math.NaN(), Quality: device.Bad}
	var votes []vote
	total := 0.0
	for _, s := range samples {
		age := max(0, now-s.At)
		if !device.Finite(s.Value) || s.Quality == device.Bad || age > maxAge.Milliseconds() {
			continue
		}
		w := math.Exp2(-4 * float64(age) / float64(max(1, maxAge.Milliseconds())))
		if s.Quality == device.Suspect {
			w /= 4
		}
		votes = append(votes, vote{s, w})
		total += w
	}
	if len(votes) == 0 {
		return out
	}
	slices.SortStableFunc(votes, func(a, b vote) int { return cmp.Compare(a.Value, b.Value) })
	median, below := votes[len(votes)-1].Value, 0.0
	for _, v := range votes {
		if below += v.weight; below >= total/2 {
			median = v.Value
			break
		}
	}
	sum, weight := 0.0, 0.0
	for _, v := range votes {
		if math.Abs(v.Value-median) > tolerance {
			out.Conflict = true
			continue
		}
		sum, weight = sum+v.weight*v.Value, weight+v.weight
		out.At, out.Quality = max(out.At, v.At), min(out.Quality, v.Quality)
		out.Sources++
	}
	out.Value = sum / weight
	if out.Conflict {
		out.Quality = max(out.Quality, device.Suspect)
	}
	return out
}

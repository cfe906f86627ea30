package metric

import "math"

// Gaps counts the silences of more than most s between samples.
func Gaps(times []float64, most float64) (n int, longest float64) {
	for i := 1; i < len(times); i++ {
		d := times[i] - times[i-1]
		longest = max(longest, d)
		if d > most {
			n++
		}
	}
	return n, longest
}

// Flat is the longest time in s for which a channel went on repeating the same raw value
// after another one had moved by more than moves in its unit: a sensor or a gateway that
// has died, and not a battery at rest. The points of both have the same times; what the
// other one does within slack s of a change of the first is the end of that change, seen
// a little later, and no movement.
func Flat(channel, other []Point, moves, slack float64) float64 {
	longest := 0.0
	for i := 0; i < len(channel); {
		low, high := math.Inf(1), math.Inf(-1) // of the other, since the change is over
		since := math.NaN()                    // when it had moved
		j := i
		for ; j < len(channel) && channel[j].V == channel[i].V; j++ {
			if channel[j].T < channel[i].T+slack {
				continue
			}
			low, high = min(low, other[j].V), max(high, other[j].V)
			if math.IsNaN(since) && high-low > moves {
				since = channel[j].T
			}
			if !math.IsNaN(since) {
				longest = max(longest, channel[j].T-since)
			}
		}
		i = j
	}
	return longest
}

// Offset is by how many seconds one channel's time runs behind another's, which
// measures the same: by cross-correlation on a grid of period s, up to most s.
func Offset(reference, device []Point, period, most float64) (Measured, error) {
	if len(reference) < 3 || len(device) < 3 || period <= 0 {
		return lost(), ErrNoData
	}
	t0 := max(reference[0].T, device[0].T)
	n := int((min(reference[len(reference)-1].T, device[len(device)-1].T)-t0)/period) + 1
	if n < 3 {
		return lost(), ErrNoData
	}
	lag, _ := Lag(Resample(reference, t0, period, n), Resample(device, t0, period, n), period, most)
	if lag != lag {
		return lost(), ErrNoData
	}
	return Measured{lag, period}, nil
}

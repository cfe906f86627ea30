package can

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestRhythm(t *testing.T) {
	const period = 100 * time.Millisecond
	rng := rand.New(rand.NewPCG(1, 2))
	begin := time.Unix(1_800_000_000, 0)
	for name, tt := range map[string]struct {
		at       func(i int) time.Duration // after the beginning; below zero: it does not come
		silent   time.Duration             // after the last
		min, max int64
	}{
		"as it should": {at: func(i int) time.Duration { return time.Duration(i) * period }},
		"a tenth missing": {at: func(i int) time.Duration {
			if i%10 == 5 {
				return -1
			}
			return time.Duration(i) * period
		}, min: 100, max: 100},
		"jitter": {at: func(i int) time.Duration {
			return time.Duration(i)*period + time.Duration(rng.Float64()*0.6*float64(period))
		}, max: 1},
		"a clock that is 2 % slow": {at: func(i int) time.Duration { return time.Duration(i) * period * 102 / 100 }},
		"a burst after a pause": {at: func(i int) time.Duration {
			if i >= 500 && i < 530 { // nobody read meanwhile
				return 530 * period
			}
			return time.Duration(i) * period
		}, max: 1},
		"silent at the end": {at: func(i int) time.Duration { return time.Duration(i) * period }, silent: 10 * period, min: 9, max: 10},
		"two in a row": {at: func(i int) time.Duration {
			if i == 300 || i == 301 {
				return -1
			}
			return time.Duration(i) * period
		}, min: 2, max: 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := rhythm{period: period}
			sent := int64(0)
			for i := range 1000 {
				if at := tt.at(i); at >= 0 {
					r.take(begin.Add(at))
					sent++
				}
			}
			came, lost := r.counted(r.last.Add(tt.silent))
			if came != sent || lost < tt.min || lost > tt.max {
				t.Errorf("%d came and %d are missing, want %d and %d to %d", came, lost, sent, tt.min, tt.max)
			}
		})
	}
	if came, lost := (&rhythm{period: period}).counted(begin); came != 0 || lost != 0 {
		t.Errorf("of none %d came and %d are missing", came, lost)
	}
}

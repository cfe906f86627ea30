//go:build !nosim

package shadow_test

import (
	"testing"
	"time"

	"yunchu/harness/shadow"
)

func TestTry(t *testing.T) {
	for _, tt := range []struct {
		model string
		every time.Duration
		units int
	}{
		{"ess-250kw-500kwh", time.Second, 2},
		{"ess-100kw-215kwh", 5 * time.Second, 4},
		{"ess-100kw-215kwh", 20 * time.Second, 4},
		{"ess-100kw-215kwh", 60 * time.Second, 4},
		{"ess-1500kw-3mwh", 5*time.Second, 1},
	} {
		b := newBenchOf(t, tt.model, tt.units, 1)
		b.every = tt.every
		n := 0
		d := 7 * 24 * time.Hour
		if tt.model == "ess-1500kw-3mwh" {
			d = 24 * time.Hour
		}
		b.passes(d, func(i int, c shadow.Change) {
			if n++; n < 6 {
				t.Logf("%s %s unit %d at %s: %s over %v", tt.model, tt.every, i, time.Duration(c.At-b.start.UnixMilli())*time.Millisecond, c.Finding, c.Over)
			}
		})
		t.Log(tt, n)
	}
}

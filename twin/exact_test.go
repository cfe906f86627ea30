package twin_test

import (
	"path/filepath"
	"testing"
	"time"
)

// The oracle agrees with the reference traces, which other solvers made.
func TestOracle(t *testing.T) {
	dir := referenceDir(t)
	for _, ref := range references() {
		t.Run(ref.name, func(t *testing.T) {
			c := ref.traceCase(t, dir)
			want := readReference(t, filepath.Join(dir, ref.name+".csv"))
			o := newOracle(c.ModuleParams)
			var d off
			at := time.Duration(0)
			for k := range c.Profile {
				end := at
				if k+1 < len(c.Profile) {
					end = c.Profile[k+1].T
				}
				drive := c.Profile[k].Drive
				for {
					if w, ok := want[at.Milliseconds()]; ok {
						w.compare(o.row(drive), &d)
					}
					if at >= end {
						break
					}
					step := min(50*time.Second, end-at)
					o.advance(drive, step.Seconds())
					at += step
					if at == end {
						break
					}
				}
			}
			t.Log(d)
			if !d.within(bar{2e-9, 2e-7, 1e-6}) {
				t.Errorf("%v apart", d)
			}
		})
	}
}

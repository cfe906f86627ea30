//go:build !nosim

package shadow_test

import (
	"fmt"
	"testing"
	"time"

	"yunchu/harness/shadow"
	"yunchu/platform/device"
)

func TestDbg(t *testing.T) {
	b := newBench(t, 1, 3)
	b.force = true
	b.passes(3*time.Hour, func(_ int, c shadow.Change) { fmt.Println(c) })
	b.change = func(_ int, r *device.Reading) { r.Voltage += 1.2 }
	for k := range 200 {
		b.step(func(_ int, c shadow.Change) { fmt.Println(c) })
		if k%8 == 0 {
			fmt.Println(k, b.twins.State(0).PackI, b.shadows[0].Debug())
		}
	}
}

package main

import (
	"math"
	"testing"

	"yunchu/twin/kernel"
)

// The race is one of equals: C computes what our kernels compute. A compiler may fuse
// more than it was told to, so the last bits may differ.
func TestPeerComputesTheSame(t *testing.T) {
	c, ok := peer()
	if !ok {
		t.Skip("no C to compare with: it needs cgo, a compiler and AVX-512")
	}
	var slots [2][]kernel.Slot
	for n, k := range []kernel.Kernel{c, kernel.Kernels()[0]} {
		w, err := newWork(length * kernel.Lanes)
		if err != nil {
			t.Fatal(err)
		}
		w.turn(k, 600*w.cells()) // ten minutes
		slots[n] = w.blocks[0].Checkpoint().Slots
	}
	moved := 0.
	for n := range slots[0] {
		for l := range kernel.Lanes {
			x, y := &slots[0][n], &slots[1][n]
			for _, d := range []float64{x.Z[l] - y.Z[l], x.V1[l] - y.V1[l], x.V2[l] - y.V2[l], x.H[l] - y.H[l], x.T[l] - y.T[l]} {
				if math.Abs(d) > 1e-9 {
					t.Fatalf("slot %d, lane %d: %g apart", n, l, d)
				}
			}
			moved += math.Abs(x.V2[l])
		}
	}
	if moved == 0 {
		t.Error("nothing moved")
	}
}

package thermal_test

import (
	"fmt"

	"yunchu/twin/thermal"
)

// Three cells in a row on a cold plate at one end, a step of ten minutes.
func ExampleChain() {
	c := thermal.Chain{Cells: 3, Capacity: 5425, Neighbour: 0.38, Env: 0.25, CoolantFirst: 3}
	step := c.Network().Spectrum().Propagator(600)

	temps, heat := []float64{298.15, 298.15, 298.15}, []float64{20, 20, 20}
	next, p := make([]float64, 3), make([]float64, 3)
	c.Heat(p, heat, 298.15, 293.15, 0)
	step.End.Apply(next, temps, p)
	fmt.Printf("%.3f K\n", next)
	// Output:
	// [298.645 300.298 300.331] K
}

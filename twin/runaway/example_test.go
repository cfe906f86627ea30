package runaway_test

import (
	"fmt"

	"yunchu/twin/runaway"
)

// A nail through the first of three cells shorts it. Its neighbour follows, heated
// through the wall between them.
func ExampleChain() {
	k, err := runaway.New(runaway.Params{
		GasConstant: 8.314,
		SEI:         runaway.Reaction{A: 1.667e15, Ea: 1.3508e5, HeatVol: 2.57e5 * 610.4, Initial: 0.15},
		Negative:    runaway.Reaction{A: 2.5e13, Ea: 1.3508e5, HeatVol: 1.714e6 * 610.4, Initial: 0.75},
		Positive:    runaway.Reaction{A: 6.667e13, Ea: 1.396e5, HeatVol: 3.14e5 * 1221, Initial: 0.04},
		Electrolyte: runaway.Reaction{A: 5.14e25, Ea: 2.74e5, HeatVol: 1.55e5 * 406.9, Initial: 1},
		Film:        0.033,
		Volume:      2.5e-3,
		Short:       runaway.Short{Volt: 3.2, Share: 1},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	row, err := runaway.NewChain(k, 5425, []float64{4, 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	cells := make([]runaway.Cell, 3)
	around := make([]runaway.Surroundings, 3)
	for i := range cells {
		cells[i] = runaway.Cell{State: k.Fresh(3.2e6), TempK: 298.15}
		around[i] = runaway.Surroundings{EnvK: 298.15, WPerK: 0.5}
	}
	cells[0].State.ShortOhm = 0.002

	hot := make([]bool, 3)
	var f runaway.ChainFlow
	for s := 1; s <= 1800; s++ {
		row.Step(cells, around, 1, &f)
		for i, c := range cells {
			if c.TempK > 500 && !hot[i] {
				hot[i] = true
				fmt.Printf("cell %d is at 500 K after %d s\n", i+1, s)
			}
		}
	}
	// Output:
	// cell 1 is at 500 K after 175 s
	// cell 2 is at 500 K after 496 s
	// cell 3 is at 500 K after 830 s
}

package aging_test

import (
	"fmt"

	"yunchu/twin/aging"
	"yunchu/twin/params"
)

func Example() {
	set, err := params.LoadAging("sony-naumann")
	if err != nil {
		panic(err)
	}
	m, err := aging.New(aging.Params{
		Calendar: (*aging.Naumann2018)(set.Calendar.Naumann2018),
		Cycle:    (*aging.Naumann2020)(set.Cycle.Naumann2020),
		Scale:    1,
	})
	if err != nil {
		panic(err)
	}
	cell := m.Start(aging.State{})
	cell.Advance(365*86400, 0.5, 298.15, 0) // a year on the shelf, half full at 25 degC
	fmt.Printf("capacity %.2f %%, resistance %.2f %%\n", 100*cell.SoHQ(), 100*cell.SoHR())
	// Output: capacity 95.75 %, resistance 101.68 %
}

func ExampleModel_DepthSegments() {
	set, err := params.LoadAging("sony-naumann")
	if err != nil {
		panic(err)
	}
	m, err := aging.New(aging.Params{Cycle: (*aging.Naumann2020)(set.Cycle.Naumann2020), Scale: 1})
	if err != nil {
		panic(err)
	}
	table, err := m.DepthSegments(5, aging.Duty{CRate: 0.5, TempK: 298.15, SoC: 0.5, EndLoss: 0.2})
	if err != nil {
		panic(err)
	}
	for _, s := range table {
		fmt.Printf("%.1f..%.1f: %.3g of life a cycle, %.3g for a convex cost\n", s.From, s.To, s.Share, s.Convex)
	}
	// Output:
	// 0.0..0.2: 5.76e-06 of life a cycle, 5.76e-06 for a convex cost
	// 0.2..0.4: 1.28e-05 of life a cycle, 1.19e-05 for a convex cost
	// 0.4..0.6: 1.1e-05 of life a cycle, 1.19e-05 for a convex cost
	// 0.6..0.8: 1.22e-05 of life a cycle, 1.22e-05 for a convex cost
	// 0.8..1.0: 3.35e-05 of life a cycle, 3.35e-05 for a convex cost
}

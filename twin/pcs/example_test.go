package pcs_test

import (
	"fmt"
	"time"

	"yunchu/twin/pcs"
)

// A second in which a converter begins to charge a battery with 50 kW.
func Example() {
	p := pcs.Params{
		RatedW:    100e3,
		Charge:    pcs.Loss{P0: 0.006, K1: 0.0086, K2: 0.012},
		Discharge: pcs.Loss{P0: 0.006, K1: 0.0086, K2: 0.012},
		StandbyW:  60,
		Delay:     40 * time.Millisecond,
		RampWPerS: 250e3,
	}
	s := pcs.State{Active: pcs.Setpoint{Until: pcs.Never}}
	p.Accept(&s, 0, 50e3, pcs.Never)
	var f pcs.Flow
	p.Advance(&s, 0, time.Second, -100e3, 100e3, &f)
	fmt.Printf("%.0f kW, %.2f kJ from the grid, %.2f kJ into the battery, %.2f kJ lost\n", s.PowerW/1e3, f.ACJ()/1e3, f.DCJ()/1e3, (f.LossJ+f.StandbyJ)/1e3)
	// Output: 50 kW, 43.00 kJ from the grid, 41.80 kJ into the battery, 1.20 kJ lost
}

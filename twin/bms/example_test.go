package bms_test

import (
	"fmt"
	"time"

	"yunchu/twin/bms"
)

// A rack with one protection is closed, becomes too warm and trips.
func Example() {
	var p bms.Params
	p.Charge = bms.Direction{RatedA: 140, Hot: bms.Taper{Full: 318, None: 328}}
	p.Discharge = bms.Direction{RatedA: 140}
	p.Limits = bms.Limits{FallAPerS: 140, RiseAPerS: 14, WarningShare: [2]float64{1, 1}}
	p.Protect[bms.TempHigh][bms.Trip] = bms.Level{Used: true, Set: 333, Clear: 323, Delay: 5 * time.Second}
	p.Contactor = bms.Contactor{MatchV: 15, Least: time.Second, Timeout: 5 * time.Second}

	var s bms.State
	events := make([]bms.Event, 0, 8)
	in := bms.Input{MinCellK: 298, MaxCellK: 300, RackV: 790, BusV: 785, Close: true}
	out, events := p.Step(&s, 0, 20*time.Second, &in, events)
	fmt.Printf("%v, %.0f A\n", out.Mode, out.ChargeA)

	in.MaxCellK = 325
	out, events = p.Step(&s, 20*time.Second, 30*time.Second, &in, events)
	fmt.Printf("%v, %.0f A by %v\n", out.Mode, out.ChargeA, out.ChargeBy)

	in.MaxCellK = 340
	_, events = p.Step(&s, 30*time.Second, 40*time.Second, &in, events)
	for _, e := range events {
		fmt.Println(e)
	}
	// Output:
	// connected, 140 A
	// connected, 42 A by temp-high
	// 0s precharge
	// 1s closed
	// 35s trip temp-high at 340
}

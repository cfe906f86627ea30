package scenario_test

import (
	"errors"
	"fmt"
	"time"

	"yunchu/harness/scenario"
)

// A scenario that is right: defaults are filled in.
func ExampleParse() {
	text := `
apiVersion: yunchu/v1
kind: Scenario
name: ten-minutes
duration: 10m
fleet: [{id: ess, count: 100}]
dispatch: {target: {kw: -4000}}
timeline:
  - {at: 5m, target_kw: -8000, for: 1m}
`
	s, err := scenario.Parse("ten-minutes.yaml", []byte(text), scenario.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ids := s.IDs()
	before, _ := s.TargetAt(time.Minute)
	during, _ := s.TargetAt(5 * time.Minute)
	fmt.Println(ids[0], ids[len(ids)-1], s.Fleet[0].Kind, s.Clock)
	fmt.Println(before.KW, during.KW)
	// Output:
	// ess-001 ess-100 sim virtual
	// -4000 -8000
}

// A scenario that is wrong: everything that is wrong, at once.
func ExampleFaults() {
	text := `apiVersion: yunchu/v1
kind: Scenario
name: wrong
duration: 10 min
fleet: [{id: ess, count: 100, soc: 150}]
dispatch: {stratgy: cost}
`
	_, err := scenario.Parse("wrong.yaml", []byte(text), scenario.Options{})
	if faults, ok := errors.AsType[scenario.Faults](err); ok {
		fmt.Println(len(faults), "faults")
	}
	fmt.Println(err)
	// Output:
	// 3 faults
	// wrong.yaml:4:11: duration is a duration; "10 min" has the unknown unit "min"
	//     4 | duration: 10 min
	//       |           ^
	//       write 10m
	// wrong.yaml:5:36: fleet[0].soc cannot be 150
	//     5 | fleet: [{id: ess, count: 100, soc: 150}]
	//       |                                    ^
	//       it lies from 0 to 100
	// wrong.yaml:6:12: unknown field "stratgy" in dispatch
	//     6 | dispatch: {stratgy: cost}
	//       |            ^
	//       did you mean "strategy"?
}

func ExampleLimit_Holds() {
	l, _ := scenario.ParseLimit("< 100")
	fmt.Println(l.Holds(99.5), l.Holds(100))
	// Output: true false
}

func ExampleMetrics() {
	for _, m := range scenario.Metrics()[:3] {
		fmt.Printf("%s [%s] default %s\n", m.Name, m.Unit, m.Stat)
	}
	// Output:
	// tracking.rms_error_ratio [] default last
	// tracking.delivered_ratio [] default last
	// fleet.power_kw [kW] default mean
}

package scenario_test

import (
	"testing"

	"yunchu/harness/scenario"
)

func TestShadowModel(t *testing.T) {
	const text = `apiVersion: yunchu/v1
kind: Scenario
name: t
duration: 1h
clock: wall
fleet:
  - {id: without}
  - {id: refused, shadow: false}
  - {id: own, shadow: true}
  - {id: empty, shadow: {}}
  - {id: wire, device: sunspec, address: "tcp://127.0.0.1:1502", shadow: {model: ess-100kw-215kwh}}
`
	s, err := scenario.Parse("t.yaml", []byte(text), opt)
	if err != nil {
		t.Fatal(err)
	}
	like := &scenario.Shadow{On: true, Model: "ess-100kw-215kwh"}
	for i, want := range []*scenario.Shadow{nil, {}, like, like, like} {
		switch got := s.Fleet[i].Shadow; {
		case (got == nil) != (want == nil), got != nil && *got != *want:
			t.Errorf("%s: shadow %+v, want %+v", s.Fleet[i].ID, got, want)
		}
	}
}

//go:build !nosim

package main

import (
	"strings"
	"testing"
	"time"
)

func TestFaultsOfARig(t *testing.T) {
	for text, want := range map[string]rigFault{
		"sign-flip":       {kind: "sign-flip"},
		"a=reset":         {kind: "reset", id: "a"},
		"reset@1m30s":     {kind: "reset", after: 90 * time.Second},
		"a=sign-flip@50%": {kind: "sign-flip", id: "a", share: 0.5},
	} {
		want.text = text
		if got, err := parseRigFault(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"reset@", "reset@soon", "reset@0%", "reset@101%", "reset@NaN%", "reset@-1s", "reset@0s", "reset@5"} {
		if f, err := parseRigFault(text); err == nil || !strings.Contains(err.Error(), "write KIND@20s") {
			t.Errorf("%s is %+v, %v", text, f, err)
		}
	}
}

// What cannot begin later is told before anything is served.
func TestLaterFaultsAreKnown(t *testing.T) {
	p := fresh(t)
	p.write(t, "rig.yaml", `apiVersion: yunchu/v1
kind: Rig
devices:
  - {id: u, model: ess-100kw-215kwh, serve: {sunspec: {address: "tcp://127.0.0.1:0"}}}
`)
	for fault, want := range map[string]string{"meteor@5s": "known are", "v=reset@5s": "no such device", "reset@x": "no time to begin"} {
		if o := p.run(t, "rig", "rig.yaml", "--fault", fault); o.code != exitInput || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: exit code %d, %s", fault, o.code, o.stderr)
		}
	}
}

//go:build !nosim

package shadow_test

import (
	"testing"
)

func TestDbg(t *testing.T) {
	p := newPlayer(t, "P25", true)
	for from := 4800.0; from < 25000; from += 1009 {
		said, _ := p.play(t, injected{from: from, leak: .1})
		t.Log(from, said[0].Finding, float64(said[0].At)/1000-from)
	}
	for from := 4800.0; from < 25000; from += 509 {
		said, _ := p.play(t, injected{from: from, volt: 5e-3})
		if l := float64(said[0].At)/1000 - from; l > 180 {
			t.Log(from, said[0].Finding, l)
		}
	}
}

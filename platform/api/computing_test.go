package api

import (
	"testing"
	"time"
)

// TestPlacesForComputing: one for each who asks, two at all, and free again when an answer was given.
func TestPlacesForComputing(t *testing.T) {
	var c computing
	leave, ok := c.enter("a")
	if !ok {
		t.Fatal("the first was refused")
	}
	if _, ok := c.enter("a"); ok {
		t.Error("one who asks had two places")
	}
	if _, ok := c.enter("b"); !ok {
		t.Error("the second place was not there")
	}
	if _, ok := c.enter("c"); ok {
		t.Error("there were three places")
	}
	leave()
	if _, ok := c.enter("a"); !ok {
		t.Error("a place was not given back")
	}
}

// LetCompute sets how long an answer may be computed, for tests.
func (s *Server) LetCompute(longest time.Duration) { s.computing.longest = longest }

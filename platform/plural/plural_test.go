package plural_test

import (
	"testing"

	"yunchu/platform/plural"
)

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 batches", 1: "1 batch", 2: "2 batches", 21: "21 batches"} {
		if got := plural.Count(n, "batch", "batches"); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

package main

import (
	"errors"
	"os"
	"testing"
	"time"
)

// The servers of the tests are this program, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-serve" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestPoll(t *testing.T) {
	if err := poll(t.Context(), 20, 100*time.Millisecond, 300*time.Millisecond); err != nil {
		t.Error(err)
	}
	if err := poll(t.Context(), 20, 100*time.Millisecond, 0); err == nil {
		t.Error("nothing polled, and no error")
	}
}

func TestPeerRace(t *testing.T) {
	t.Chdir("../..")
	err := race(t.Context(), 1, 100)
	if errors.Is(err, errAlone) && os.Getenv("CI") != "true" && os.Getenv("YUNCHU_PEERS") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
}

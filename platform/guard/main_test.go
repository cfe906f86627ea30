package guard_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets properties try more cases than rapid does by itself: they cost little, and
// what they find is rare.
func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked && !testing.Short() {
		_ = flag.Set("rapid.checks", "2000") // a flag of rapid's
	}
	os.Exit(m.Run())
}

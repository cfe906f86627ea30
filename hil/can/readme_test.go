package can_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"yunchu/hil/can"
)

// TestREADMENamesEverything holds that every key and every word of a profile stands in the
// grammar, and that its example's keys are ones.
func TestREADMENamesEverything(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(b)), " ")
	for _, x := range []any{can.Profile{}, can.MessageUse{}, can.SignalUse{}, can.Transmit{}, can.SignalValue{}} {
		for f := range reflect.TypeOf(x).Fields() {
			if key := f.Tag.Get("yaml"); key != "" && !strings.Contains(text, "`"+key+"`") {
				t.Errorf("key %s of %T is not there", key, x)
			}
		}
	}
	for _, word := range append(can.Quantities(), can.Alarms()...) {
		if !regexp.MustCompile(`[ ,]` + word + `[ ,;(|]`).MatchString(text) {
			t.Errorf("word %s is not there", word)
		}
	}
	for _, name := range can.Shipped() {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("profile %s is not there", name)
		}
	}
}

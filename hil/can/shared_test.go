package can_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"yunchu/hil/can"
)

// TestDatabasesHoldTheFacts compares what ships with the databases that it was taken from,
// signal for signal.
func TestDatabasesHoldTheFacts(t *testing.T) {
	data := os.Getenv("YUNCHU_DATA")
	if data == "" {
		t.Skip("YUNCHU_DATA is not set")
	}
	for _, name := range can.Shipped() {
		want, err := can.LoadDatabase(filepath.Join(data, "dbc", strings.ReplaceAll(name, "-", "_")+".dbc"))
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := can.LoadDatabase(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if !reflect.DeepEqual(got.Messages, want.Messages) {
			t.Errorf("%s: the messages differ from the facts", name)
		}
	}
}

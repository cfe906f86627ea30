package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestDashboardsAreWhatIsCommitted: nobody has changed a file and not the program, or
// the other way round.
func TestDashboardsAreWhatIsCommitted(t *testing.T) {
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(files) != len(dashboards) {
		t.Errorf("%d files, %v, of %d dashboards", len(files), err, len(dashboards))
	}
	for i := range dashboards {
		name := filepath.Join("dashboards", dashboards[i].file+".json")
		if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, dashboards[i].json()) {
			t.Errorf("%s is not what go generate ./deploy/grafana writes: %v", name, err)
		}
	}
}

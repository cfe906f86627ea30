//go:build !nosim && unix

package main

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yunchu/hil/record"
)

// TestServeRecordsWires: a plant whose configuration asks for it records what crosses a wire
// and what the device was asked for, for as long as it runs, and a recording of it is
// answered from like that of a run. Nothing is recorded where nobody asks.
func TestServeRecordsWires(t *testing.T) {
	t.Parallel()
	x := onARig(t)
	if found, _ := filepath.Glob(filepath.Join(x.p.dir, "data", "links", "*")); found != nil {
		t.Errorf("recorded without having been asked to: %v", found)
	}
	x.bridge.signal(t, os.Interrupt)
	x.p.write(t, "plant.yaml", x.p.read(t, "plant.yaml")+"record: {links: \"rig-*\", keep: 1h, max_bytes: 1000000}\n")
	x.start()
	x.arm()
	if got := x.send("setPower", hold); got != "200 SUCCESS" {
		t.Fatalf("a setpoint: %s", got)
	}
	x.at(50)
	var found []string
	eventually(t, "a file is written", func() bool {
		found, _ = filepath.Glob(filepath.Join(x.p.dir, "data", "links", "links-rig-1-*.rec.gz"))
		return len(found) > 0
	})
	_, metrics, err := x.try(http.MethodGet, "/metrics", nil)
	if err != nil || !strings.Contains(string(metrics), `yunchu_record_shed_total{device="rig-1"} 0`) || !strings.Contains(string(metrics), "yunchu_record_bytes") {
		t.Errorf("the metrics do not tell of the recording: %v", err)
	}
	x.bridge.signal(t, os.Interrupt)
	// On a slow machine there are several by then, each of 10 s.
	if found, err = filepath.Glob(filepath.Join(x.p.dir, "data", "links", "links-rig-1-*.rec.gz")); err != nil {
		t.Fatal(err)
	}
	most, n, told := 0.0, 0, 0
	for i, file := range found {
		r, err := record.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Whole || r.Info.RatedKW != 100 || r.Info.CapacityKWh != 215 {
			t.Errorf("recorded: whole %t, %+v", r.Whole, r.Info)
		}
		told += len(r.Commands(r.Began))
		out := fmt.Sprint("again-", i)
		x.p.write(t, "again.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Scenario
name: again
clock: virtual
duration: %ds
step: 250ms
journal: full
fleet:
  - {id: rig-1, device: replay, recording: %q}
`, 1+int(math.Ceil(r.Length().Seconds())), file))
		if o := x.p.run(t, "run", "again.yaml", "--out", out, "--quiet"); o.code == exitInput || o.code == exitEnvironment {
			t.Fatalf("%d %s", o.code, o.stderr)
		}
		for line := range strings.Lines(x.p.read(t, out+"/journal.jsonl")) {
			var l struct {
				Kind, Device string
				Power        *float64
			}
			if decode(t, []byte(line), &l); l.Kind == "reading" && l.Device == "rig-1" && l.Power != nil {
				most, n = max(most, *l.Power), n+1
			}
		}
	}
	if told < 4 {
		t.Errorf("%d commands in %d recordings", told, len(found))
	}
	if n < 10 || math.Abs(most-50) > 0.5 {
		t.Errorf("%d readings of the recording, up to %g kW", n, most)
	}
}

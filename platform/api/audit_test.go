package api_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"yunchu/platform/api"
	"yunchu/platform/audit"
	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// TestAuditOfWritesOverTheAPI: what was written to a device, and in which mode it was before
// it was stopped, is read back over the API as the audit has it.
func TestAuditOfWritesOverTheAPI(t *testing.T) {
	w := newWorld(t, func(o *api.Options) {
		l, err := audit.Open(audit.Options{Data: t.TempDir(), Bus: o.Bus, Name: func(device.Slot) device.ID { return "rig-1" }, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		nan := math.NaN()
		bus.Writes.Publish(o.Bus, &device.Writes{List: []device.Write{
			{At: start, Act: "adjusted", Asked: nan, Before: nan, After: nan, Source: "user:ann", Reason: "test T03", Text: "setting ramp to 5"},
			{At: start, Act: "adjusted", What: "ramp", Unit: "%/s", Asked: 5, Before: 20, After: 5, Status: device.Done, Source: "user:ann", Reason: "test T03"},
		}}, nil)
		c := device.Command{ID: "S1", Verb: device.EStop, Priority: device.Safety, At: start, Source: "user:ann"}
		a := c.Answer(device.Done, start, "", "")
		a.Was, a.Is = device.Stand(device.Active, device.StandbyMode), device.Stand(device.Failed, device.StandbyMode)
		bus.Acks.Publish(o.Bus, &device.Acks{List: []device.Ack{a}}, nil)
		if err := l.Commit(); err != nil {
			t.Fatal(err)
		}
		o.Plant.Audit = l
	})
	ask := func(kind string) (items []audit.Entry) {
		t.Helper()
		rec := w.do("GET", "/api/v1/audit?from=0&device=rig-1&kind="+kind, "auditor", "")
		var page struct{ Items []audit.Entry }
		if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || len(page.Items) != 1 {
			t.Fatalf("%s: %d %s", kind, rec.Code, rec.Body)
		}
		return page.Items
	}
	if e := ask("work")[0]; e.Text != "setting ramp to 5" || e.Source != "user:ann" || e.Reason != "test T03" {
		t.Errorf("%+v", e)
	}
	if e := ask("write")[0]; e.Subject != "ramp" || *e.Wrote != 5 || *e.Was != 20 || *e.Is != 5 || e.Unit != "%/s" || e.Outcome != "done" || e.Source != "user:ann" || e.Reason != "test T03" {
		t.Errorf("%+v", e)
	}
	if e := ask("outcome")[0]; e.Act != "eStop" || e.StateBefore != "active" || e.StateAfter != "failed" || e.ModeBefore != "standby" {
		t.Errorf("%+v", e)
	}
}

package accept_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"yunchu/harness/accept"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
)

// TestDeviceThatKeepsItsPower: a device that does not come to rest when a test is over, by
// its own fresh readings, is found out, whatever its answers are.
func TestDeviceThatKeepsItsPower(t *testing.T) {
	p := procedure(t, `steps:
  - {power_percent: 50, hold_s: 5, measure: {name: step, kind: step}}
limits:
  - {name: response_s, measure: step, metric: response_time_s, limit: "<= 2", source: test}
`)
	for name, stops := range map[string]bool{"it does": true, "it does not": false} {
		g, err := accept.Compile(p, 100, false)
		if err != nil {
			t.Fatal(err)
		}
		rec := &accept.Record{
			Test: "X", Begin: origin, RatedKW: 100, RatedKWh: 200, Usable: 1, Period: 100 * time.Millisecond, RefPeriod: 100 * time.Millisecond, MaxAge: time.Second,
		}
		player := accept.NewPlayer(g, rec, func(string) bool { return true })
		u := &unit{rng: rand.New(rand.NewPCG(1, 1)), soc: 50, armed: true}
		kw := 0.0
		var acks []device.Ack
		for at := time.Duration(0); at < time.Hour && !player.Over(); at += 100 * time.Millisecond {
			now := origin.Add(at)
			r := device.Empty()
			r.At, r.Arrived, r.Power, r.SoC, r.Status, r.Quality = now.UnixMilli(), now.UnixMilli(), kw, 50, device.Charging, device.Good
			rec.Samples = append(rec.Samples, r)
			o := &accept.Observation{Reading: r, Has: true, Acks: acks, Done: u.done, Armed: true}
			acks, u.done = nil, nil
			for _, a := range player.Step(now, o) {
				if a.Job != nil {
					u.done = append(u.done, accept.Done{ID: a.Job.ID})
					continue
				}
				c := *a.Command
				ack := c.Answer(device.Done, now.UnixMilli(), "", "")
				switch {
				case c.Verb == device.SetPower:
					kw = c.Power
				case stops:
					kw = 0
				default:
					ack.Status, ack.Code = device.Failure, gateway.CodeNoAnswer
				}
				acks = append(acks, ack)
			}
		}
		if !player.Over() || stops != (rec.Unrest == "") || stops != (rec.Unfinished == "") || !stops && !strings.Contains(rec.Unrest, "50 kW") {
			t.Errorf("%s stop: over %v, %q, %q", name, player.Over(), rec.Unrest, rec.Unfinished)
		}
	}
}

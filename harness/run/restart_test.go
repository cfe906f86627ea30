package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/sched"
)

const restarting = `seed: 3
duration: 4m
journal: full
fleet: [{id: u, count: 3, device: sim, model: ideal}]
dispatch: {strategy: proportional, target: {kw: 120}}
timeline:
  - {at: 1m, command: {device: u-002, power_kw: 50, duration: 10m, priority: high}}
  - {at: 2m, fault: {kind: restart}}
  - {at: 3m, command: {device: u-002, power_kw: 10, duration: 1m}}
score: [{metric: control.jitter_ms, stat: max, limit: "== 0"}]
`

// TestRestart takes the runtime down in the middle of a run: it comes back from
// its log with the same slots, holds and commandIds, and dispatch goes on.
func TestRestart(t *testing.T) {
	var slots [2]map[string]device.Slot
	p := play(t, parse(t, restarting), Options{}, nil, func(r *Run) {
		before := r.Plant()
		at := func(after time.Duration, fn func(now time.Time)) { r.Sched.At(r.Start().Add(after), sched.Image, fn) }
		note := func(k int) func(time.Time) {
			return func(time.Time) {
				if renewed := r.Plant() != before; renewed != (k == 1) {
					t.Errorf("the plant is renewed: %v", renewed)
				}
				slots[k] = map[string]device.Slot{}
				for _, id := range r.Scenario.IDs() {
					slot, ok := r.Plant().Fleet.Slot(device.ID(id))
					if !ok {
						t.Errorf("%s is not registered", id)
					}
					slots[k][id] = slot
				}
			}
		}
		at(119*time.Second, note(0))
		at(121*time.Second, note(1))
		once := func(now time.Time) {
			slot, _ := r.Plant().Fleet.Slot("u-003")
			bus.Commands.Publish(r.Bus(), &device.Commands{List: []device.Command{{
				Slot: slot, ID: "once", Verb: device.SetPower, Power: 20, Priority: device.High, At: now.UnixMilli(), Duration: 10_000, Source: "user:test",
			}}}, nil)
		}
		at(90*time.Second, once)
		at(150*time.Second, once)
	})
	for id, slot := range slots[0] {
		if slots[1][id] != slot {
			t.Errorf("%s had slot %d and has %d", id, slot, slots[1][id])
		}
	}
	if held := p.journal(t, "rejected", "u-002"); len(held) == 0 || !strings.Contains(held[len(held)-1].Text, "held by user:timeline at priority high") {
		t.Errorf("refusals of the held device: %+v", held)
	}
	var answers []line
	for _, l := range p.journal(t, "ack", "u-003") {
		if l.ID == "once" {
			answers = append(answers, l)
		}
	}
	if len(answers) != 2 || answers[0].Status != "done" || answers[1].Status != "done" {
		t.Errorf("a commandId sent twice is answered %+v", answers)
	}
	for _, l := range p.journal(t, "reading", "u-003") {
		if at := l.measured(); at > 151 && at < 160 && *l.Power == 20 {
			t.Fatalf("a commandId took effect twice: %+v", l)
		}
	}
	// Every device is read once a second, and dispatch decides every other one; the
	// second of the restart is missed.
	seen := map[string]int{}
	for _, l := range p.journal(t, "reading", "") {
		seen[fmt.Sprint(l.Device, " at ", l.measured())]++
	}
	for what, n := range seen {
		if n != 1 {
			t.Errorf("%d readings of %s in the log", n, what)
		}
	}
	if len(seen) != 3*240 {
		t.Errorf("%d readings, want %d", len(seen), 3*240)
	}
	if n := len(p.journal(t, "cycle", "")); n != 120 {
		t.Errorf("%d cycles of dispatch, want 120", n)
	}
	if j := p.Scores[0]; !j.Pass || j.N == 0 {
		t.Errorf("control jitter %v ms", j.Value)
	}
	for _, c := range p.Checks {
		if !c.Pass {
			t.Errorf("check %s: %s", c.Name, c.Detail)
		}
	}
	again := play(t, parse(t, restarting), Options{}, nil, nil)
	once := play(t, parse(t, restarting), Options{}, nil, nil)
	if again.JournalSHA256 != once.JournalSHA256 {
		t.Error("the same seed gives another journal")
	}
}

// TestRestartUnderLoad restarts the runtime on the wall clock while clients write
// to it: its log is reopened from disk, the API comes back at its address with
// the same tokens, and nothing that was acknowledged is lost.
func TestRestartUnderLoad(t *testing.T) {
	const text = `clock: wall
duration: 6s
fleet: [{id: u, count: 3, device: sim, model: ideal}]
dispatch: {every: 500ms, target: {kw: 120}}
load:
  - {name: sync, api: rest-sync, users: 20, rate: 400, for: 6s}
timeline:
  - {at: 2s, fault: {kind: restart}}
score:
  - {metric: data.lost, limit: "== 0"}
  - {metric: api.sync.error_ratio, limit: "< 0.6"}
`
	late := 0
	p := play(t, parse(t, text), Options{}, nil, func(r *Run) {
		r.Sched.At(r.Start().Add(5900*time.Millisecond), sched.Check, func(time.Time) {
			// The last readings came in after the restart.
			if slot, ok := r.Plant().Fleet.Slot("load-sync-0001"); ok {
				d, _ := r.Plant().Fleet.Device(slot)
				if d.Last.At > r.Start().Add(3*time.Second).UnixMilli() {
					late++
				}
			}
		})
	})
	if late == 0 {
		t.Error("no reading of the load came in after the restart")
	}
	if p.Verdict == report.Failed { // on a busy machine the generator may be late, which is inconclusive
		t.Errorf("verdict %s: %+v %+v", p.Verdict, p.Scores, p.Checks)
	}
	if c := p.check(t, scenario.CheckReadings); !c.Pass || p.Scores[0].N < 500 || p.Scores[0].Value != 0 {
		t.Errorf("of %d acknowledged readings: %s", p.Scores[0].N, c.Detail)
	}
}

// TestPushedIntoVirtualTime: clients may push into a run in virtual time while it
// is paced for people; the run ends when it ends, whoever is still asking.
func TestPushedIntoVirtualTime(t *testing.T) {
	const token = "token-of-the-clients"
	s := parse(t, strings.Replace(calm, "duration: 2m", "duration: 10s\nspeed: 10", 1)) // a second
	var clients sync.WaitGroup
	pushed := 0
	began := time.Now()
	opt := Options{Listen: "127.0.0.1:0", Token: token}
	opt.Listening = func(portal string) {
		base, _, _ := strings.Cut(portal, "/#")
		clients.Go(func() {
			for i := 0; ; i++ {
				body, err := json.Marshal(map[string]any{
					"deviceId": "pushed", "timestamp": s.Start.UnixMilli() + int64(i),
					"data": map[string]any{"soc": 50, "voltage": 400, "current": 0, "power": 0, "temperature": 20, "status": "idle"},
				})
				if err != nil {
					t.Error(err)
					return
				}
				q, err := http.NewRequest(http.MethodPost, base+"/api/v1/device/data/sync", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				q.Header.Set("Authorization", "Bearer "+token)
				q.Header.Set("Content-Type", "application/json")
				w, err := http.DefaultClient.Do(q)
				if err != nil {
					return // the run is over
				}
				w.Body.Close()
				if w.StatusCode == http.StatusOK {
					pushed++
				}
			}
		})
	}
	p := play(t, s, opt, nil, nil)
	if took := time.Since(began); took > 30*time.Second { // whoever holds it up would do so for ever
		t.Errorf("a run of a second took %v", took)
	}
	clients.Wait()
	if pushed < 10 {
		t.Errorf("%d readings were acknowledged, want many", pushed)
	}
	if c := p.check(t, scenario.CheckReadings); !c.Pass {
		t.Error(c.Detail)
	}
}

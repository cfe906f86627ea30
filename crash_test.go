package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// writers post readings and note which of them were acknowledged.
type writers struct {
	all   []*writer
	wg    sync.WaitGroup
	quit  atomic.Bool
	acked atomic.Int64
}

// writer is one device with a mind of its own: it posts one reading or a few at
// a time, each moment once, as fast as it is answered.
type writer struct {
	c      client
	device string
	most   int // readings in one request
	rng    *rand.Rand
	at     int64
	acked  map[int64]values // by timestamp
	sent   map[int64]values // without an answer
}

// startWriters starts n of them, with devices of their own in each round, that
// post up to most readings at once.
func startWriters(c client, n, round, most int) *writers {
	w := &writers{}
	for i := range n {
		one := &writer{
			c: c, most: most, device: fmt.Sprintf("crash-%d-%03d", round, i), rng: rand.New(rand.NewPCG(uint64(round), uint64(i))),
			at: time.Now().UnixMilli() - 3_600_000, acked: map[int64]values{}, sent: map[int64]values{},
		}
		w.all = append(w.all, one)
		w.wg.Go(func() {
			for !w.quit.Load() && one.post(&w.acked) {
			}
		})
	}
	return w
}

func (w *writers) acknowledged() int64 { return w.acked.Load() }

// stop waits for all; those whose server is gone have ended by themselves.
func (w *writers) stop() {
	w.quit.Store(true)
	w.wg.Wait()
}

// post sends readings and reports whether they were answered.
func (w *writer) post(acked *atomic.Int64) bool {
	batch := make([]reading, 1+w.rng.IntN(w.most)*w.rng.IntN(2))
	for i := range batch {
		w.at += 1 + w.rng.Int64N(3)
		batch[i] = reading{Device: w.device, Timestamp: w.at, Data: w.data()}
		w.sent[w.at] = batch[i].Data
	}
	var body any = batch
	if len(batch) == 1 {
		body = batch[0]
	}
	status, answer, err := w.c.try(http.MethodPost, "/api/v1/device/data/sync", body)
	if err != nil {
		return false // the process is gone
	}
	var said struct{ Code string }
	if status != http.StatusOK || json.Unmarshal(answer, &said) != nil || said.Code != "SUCCESS" {
		return status == http.StatusTooManyRequests
	}
	for _, r := range batch {
		w.acked[r.Timestamp] = r.Data
		delete(w.sent, r.Timestamp)
	}
	acked.Add(int64(len(batch)))
	return true
}

// data is a plausible state; to the last bit it comes back or it does not.
func (w *writer) data() values {
	volts, amps := 360+40*w.rng.Float64(), 10+90*w.rng.Float64()
	return values{
		SoC: 20 + 60*w.rng.Float64(), Voltage: volts, Current: amps, Power: volts * amps / 1000,
		Temperature: 15 + 20*w.rng.Float64(), Status: "charging",
	}
}

// verify reads every device back: what was acknowledged is there, once and with
// its values, and nothing is there that nobody has sent.
func (w *writers) verify(t *testing.T, c client) {
	t.Helper()
	lost, strange, total := 0, 0, 0
	for _, one := range w.all {
		if len(one.acked) == 0 {
			continue
		}
		got := map[int64]values{}
		items := c.history(t, one.device)
		if !slices.IsSortedFunc(items, func(a, b reading) int { return int(a.Timestamp - b.Timestamp) }) {
			t.Errorf("history of %s is not in order", one.device)
		}
		for _, r := range items {
			if _, twice := got[r.Timestamp]; twice {
				t.Errorf("%s has two readings at %d", one.device, r.Timestamp)
			}
			got[r.Timestamp] = r.Data
		}
		for at, want := range one.acked {
			total++
			if v, there := got[at]; !there {
				lost++
			} else if v != want {
				t.Errorf("%s at %d: read back %+v, acknowledged %+v", one.device, at, v, want)
			}
			delete(got, at)
		}
		for at, v := range got {
			if one.sent[at] != v {
				strange++
			}
		}
	}
	if lost > 0 || strange > 0 {
		t.Errorf("of %d acknowledged readings %d are lost; %d that nobody sent are there", total, lost, strange)
	}
	if total == 0 {
		t.Error("no reading was acknowledged: nothing was tested")
	}
}

// TestKillLosesNothing kills the production runtime under load, again and again
// on the same data, and reads back what it had acknowledged. YUNCHU_LONG=1 does it
// thirty times.
func TestKillLosesNothing(t *testing.T) {
	const token = "token-of-the-crash-test"
	rounds := 3
	if long {
		rounds = 30
	} else if testing.Short() {
		rounds = 1
	}
	p := fresh(t, "YUNCHU_TOKEN="+token)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)) // a real power cut does not ask for a seed
	x, c := serving(t, p)
	x.says(t, "setup token: ")
	c.token = token
	target := -1234.5
	c.do(t, http.StatusOK, http.MethodPut, "/api/v1/dispatch", map[string]any{"enabled": true, "strategy": "cost", "target_kw": target})

	var before []*writers
	for round := range rounds {
		site := fmt.Sprintf("site-%d", round)
		registered := map[string]any{"deviceType": "battery-storage", "ratedKw": 100 + round, "capacityKwh": 215, "model": "M" + site}
		status, body, err := c.try(http.MethodPut, "/api/v1/devices/"+site, registered)
		if err != nil || status/100 != 2 {
			t.Fatalf("register: %d %s, %v", status, body, err)
		}
		most := 4
		if long && round%3 == 1 {
			most = 1000 // so much that the history is sealed and the log trimmed meanwhile
		}
		w := startWriters(c, 64, round, most)
		eventually(t, "writers at work", func() bool { return w.acknowledged() > 500 })
		after := time.Duration(rng.Int64N(int64(1200 * time.Millisecond)))
		time.Sleep(after)
		x.kill(t)
		w.stop()
		before = append(before, w)

		began := time.Now()
		x, c = serving(t, p)
		c.token = token
		t.Logf("round %d: %d readings acknowledged, killed %v after the first 500, back in %v",
			round+1, w.acknowledged(), after.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		again := before // all of them, at the end and while they are few
		if round >= 3 && round < rounds-1 {
			again = before[len(before)-2:]
		}
		for _, w := range again {
			w.verify(t, c)
		}
		for r := range round + 1 {
			var info struct {
				Model   string
				RatedKW float64
			}
			c.get(t, fmt.Sprintf("/api/v1/devices/site-%d", r), &info)
			if info.Model != fmt.Sprintf("Msite-%d", r) || info.RatedKW != float64(100+r) {
				t.Errorf("registration %d has become %+v", r, info)
			}
		}
		var settings struct {
			Enabled  bool
			Strategy string
			Target   float64 `json:"target_kw"`
		}
		c.get(t, "/api/v1/dispatch", &settings)
		if !settings.Enabled || settings.Strategy != "cost" || math.Abs(settings.Target-target) > 0 {
			t.Errorf("dispatch settings have become %+v", settings)
		}
		if t.Failed() {
			return
		}
	}
}

// TestKillKeepsTokens: users and tokens that were answered outlive a power cut,
// revoked ones stay revoked.
func TestKillKeepsTokens(t *testing.T) {
	p := fresh(t)
	x, c := serving(t, p)
	var admin struct{ Token string }
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/setup", map[string]string{
		"token": x.says(t, "setup token: "), "user": "ann", "password": password,
	}), &admin)
	c.token = admin.Token
	var kept, revoked struct{ Token, ID string }
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/tokens", map[string]string{"role": "operator"}), &kept)
	decode(t, c.do(t, http.StatusCreated, http.MethodPost, "/api/v1/tokens", map[string]string{"role": "engineer"}), &revoked)
	if status, body, err := c.try(http.MethodDelete, "/api/v1/tokens/"+revoked.ID, nil); err != nil || status/100 != 2 {
		t.Fatalf("revoke: %d %s, %v", status, body, err)
	}
	x.kill(t)
	_, c = serving(t, p)
	client{base: c.base, token: kept.Token}.do(t, http.StatusOK, http.MethodGet, "/api/v1/system", nil)
	client{base: c.base, token: admin.Token}.do(t, http.StatusOK, http.MethodGet, "/api/v1/tokens", nil)
	client{base: c.base, token: revoked.Token}.do(t, http.StatusUnauthorized, http.MethodGet, "/api/v1/system", nil)
	c.do(t, http.StatusOK, http.MethodPost, "/api/v1/login", map[string]string{"user": "ann", "password": password})
}

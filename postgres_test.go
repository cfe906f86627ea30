//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"yunchu/platform/store/postgres/pgtest"
)

// inPostgres writes the configuration of a plant whose history is in a database.
func (p program) inPostgres(t *testing.T, s *pgtest.Server, schema string) {
	t.Helper()
	for name, text := range map[string]string{
		"password":   "nobody asks for it, and nobody may see it\n",
		"plant.yaml": "apiVersion: yunchu/v1\nkind: Config\nhistory: {store: postgres, dsn: \"" + s.DSN() + "\", password_file: password, schema: " + schema + "}\n",
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// servingWith starts serve with a configuration.
func servingWith(t *testing.T, p program, token string) (*process, client) {
	t.Helper()
	x := p.start(t, "serve", "-c", "plant.yaml", "--listen", "127.0.0.1:0")
	return x, client{base: x.says(t, "listening on "), token: token}
}

// condition is what the plant says of its history.
type condition struct {
	Store, State, Error string
	Behind              uint64
}

func (c client) condition(t *testing.T) condition {
	t.Helper()
	var about struct{ History condition }
	c.get(t, "/api/v1/system", &about)
	return about.History
}

// TestHistoryInPostgres kills PostgreSQL and the plant under load, together and apart. What
// was acknowledged is there in the end, once and with its values.
func TestHistoryInPostgres(t *testing.T) {
	const token = "token-of-the-postgres-test"
	s := pgtest.New(t)
	p := fresh(t, "YUNCHU_TOKEN="+token)
	p.inPostgres(t, s, "plant")
	x, c := servingWith(t, p, token)
	if got := c.condition(t); got.Store != "postgres" || got.State == "away" || got.State == "refused" {
		t.Fatalf("the history stands as %+v", got)
	}
	var before []*writers
	load := func(what string, n int64) *writers {
		w := startWriters(c, 16, len(before), 40)
		before = append(before, w)
		eventually(t, what, func() bool { return w.acknowledged() > n })
		return w
	}
	caughtUp := func() {
		t.Helper()
		eventually(t, "everything in the database", func() bool { got := c.condition(t); return got.State == "ready" && got.Behind == 0 })
	}

	w := load("readings before the server is killed", 500)
	s.Kill()
	at := w.acknowledged()
	eventually(t, "readings while the server is gone", func() bool { return w.acknowledged() > at+2000 })
	eventually(t, "the server known to be gone", func() bool { return c.condition(t).State == "away" })
	w.stop()
	var problem struct{ Code string }
	decode(t, c.do(t, http.StatusServiceUnavailable, http.MethodGet, "/api/v1/devices/crash-0-000/history?from=0", nil), &problem)
	if problem.Code != "HISTORY_AWAY" {
		t.Errorf("history without the server: code %q", problem.Code)
	}
	decode(t, c.do(t, http.StatusServiceUnavailable, http.MethodGet, "/api/v1/history/aggregate?devices=*", nil), &problem)
	if problem.Code != "HISTORY_AWAY" {
		t.Errorf("aggregate without the server: code %q", problem.Code)
	}
	figures := string(c.do(t, http.StatusOK, http.MethodGet, "/metrics", nil))
	if !strings.Contains(figures, `yunchu_history_up{store="postgres"} 0`) || strings.Contains(figures, `yunchu_history_behind{store="postgres"} 0`) {
		t.Errorf("the metrics do not say that the history is away and behind")
	}

	// The plant is killed too, and comes back first.
	x.kill(t)
	x, c = servingWith(t, p, token)
	c.do(t, http.StatusOK, http.MethodGet, "/healthz", nil)
	load("readings before the server is back", 500).stop()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	caughtUp()
	for _, w := range before {
		w.verify(t, c)
	}

	// The plant alone, in the middle of a batch as like as not.
	w = load("readings before the plant is killed", 500)
	time.Sleep(time.Duration(rand.Int64N(int64(300 * time.Millisecond))))
	x.kill(t)
	w.stop()
	x, c = servingWith(t, p, token)
	caughtUp()
	for _, w := range before {
		w.verify(t, c)
	}
	if strings.Contains(x.stderr.String(), "nobody may see it") {
		t.Error("the password is in what serve says")
	}
	if code := x.signal(t, syscall.SIGTERM); code != exitPassed {
		t.Errorf("serve ended with %d", code)
	}
	if o := p.run(t, "history", "verify", "-c", "plant.yaml"); o.code != 0 || !strings.Contains(o.stdout, "intact: ") || !strings.Contains(o.stdout, "data checksums are on") {
		t.Errorf("history verify: %+v", o)
	}
	total := int64(0)
	for _, w := range before {
		total += w.acknowledged()
	}
	o := p.run(t, "export", "-c", "plant.yaml", "--from", "0", "--to", "all.csv")
	text, err := os.ReadFile(filepath.Join(p.dir, "all.csv"))
	if n := int64(strings.Count(string(text), "\n")); o.code != 0 || err != nil || n <= total { // a line of names, and what was sent without an answer
		t.Errorf("export: %+v, %v, %d lines of %d readings", o, err, n, total)
	}
	if o := p.run(t, "backup", "--data", "data", "--to", "plant.tar.zst"); o.code != 0 || !strings.Contains(o.stdout, "the history is in postgres and not in the backup") {
		t.Errorf("backup: %+v", o)
	}
	if o := p.run(t, "restore", "plant.tar.zst", "--verify-only"); o.code != 0 || !strings.Contains(o.stdout, "the history is in postgres and not in the backup") {
		t.Errorf("restore: %+v", o)
	}
	if o := p.run(t, "history", "rewind", "-c", "plant.yaml"); o.code != 0 || !strings.Contains(o.stdout, "nothing to do") {
		t.Errorf("history rewind: %+v", o)
	}
	if o := p.run(t, "history", "verify", "--data", "data"); o.code != exitEnvironment || !strings.Contains(o.stderr, "is in postgres") {
		t.Errorf("history verify without the configuration: %+v", o)
	}
	if o := p.run(t, "serve", "--listen", "127.0.0.1:0"); o.code != exitEnvironment || !strings.Contains(o.stderr, "history of this plant is in postgres") {
		t.Errorf("serve without the configuration: %+v", o)
	}
}

// TestBothHistoriesAnswerTheSame gives the same readings to a plant with files and to one
// with PostgreSQL: revised, late, doubtful and far apart ones among them.
func TestBothHistoriesAnswerTheSame(t *testing.T) {
	const token = "token-of-the-postgres-test"
	s := pgtest.New(t)
	files, base := fresh(t, "YUNCHU_TOKEN="+token), fresh(t, "YUNCHU_TOKEN="+token)
	base.inPostgres(t, s, "other")
	_, a := serving(t, files)
	a.token = token
	_, b := servingWith(t, base, token)

	start := time.Now().Add(-30 * time.Hour).Truncate(time.Hour).UnixMilli()
	rng := rand.New(rand.NewPCG(1, 2))
	devices := []string{"same-1", "same-2", "same-3"}
	var first []reading
	for i := range 1500 {
		for n, id := range devices {
			at := start + int64(i)*61_000 + int64(n)*1_000
			if i%400 > 380 {
				continue // half an hour of nothing
			}
			v := values{SoC: 50 + 10*math.Sin(float64(i)/50), Voltage: 380, Current: float64(rng.IntN(200) - 100), Temperature: 25 + rng.Float64(), Status: "charging"}
			v.Power = v.Voltage * v.Current / 1000
			if v.Current < 0 {
				v.Status = "discharging"
			}
			if rng.IntN(50) == 0 {
				v.SoC, v.Status = 140, "balancing \u00e9"
			}
			first = append(first, reading{Device: id, Timestamp: at, Data: v})
		}
	}
	late := first[1000:1200]
	first = append(first[:1000:1000], first[1200:]...)
	revised := append([]reading(nil), late[:50]...)
	for i := range revised {
		revised[i].Data.SoC = 33.25
	}
	for _, list := range [][]reading{first, late, revised} {
		for _, c := range []client{a, b} {
			c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", list)
		}
	}
	inTime(t, time.Minute, "the tiers made", func() bool { // each look starts a program
		o := base.run(t, "history", "verify", "-c", "plant.yaml")
		return o.code == 0 && strings.Contains(o.stdout, " 0 to be made")
	})
	from, to := start-3_600_000, start+40*3_600_000
	both := []string{
		"/api/v1/devices/same-1/history?from=%d&to=%d&limit=1000",
		"/api/v1/devices/same-2/history?from=%d&to=%d&limit=700&fields=soc,status",
		"/api/v1/devices/same-1/history?from=%d&to=%d&step=1m&limit=500",
		"/api/v1/devices/same-3/history?from=%d&to=%d&step=15m",
		"/api/v1/devices/same-3/history?from=%d&to=%d&step=7s&limit=100",
		"/api/v1/devices/same-2/history?from=%d&to=%d&step=1h&stats=mean,min,max,last,energy",
		"/api/v1/devices/same-2/history?from=%d&to=%d&step=90s&stats=mean,energy&limit=50",
		"/api/v1/devices/same-1/history?from=%d&to=%d&values=clean&limit=300",
		"/api/v1/history/aggregate?devices=same-*&from=%d&to=%d&step=1h",
		"/api/v1/history/aggregate?devices=same-*&from=%d&to=%d&step=10m&fields=power,temperature&limit=17",
		"/api/v1/devices/same-1/latest?ignored=%d%d",
	}
	compared := 0
	for _, path := range both {
		path = fmt.Sprintf(path, from, to)
		for cursor := ""; ; {
			var x, y map[string]any
			q := path
			if cursor != "" {
				q += "&cursor=" + url.QueryEscape(cursor)
			}
			a.get(t, q, &x)
			b.get(t, q, &y)
			if what := unlike("", x, y); what != "" {
				t.Errorf("%s: %s", q, what)
			}
			items, _ := x["items"].([]any)
			compared += len(items)
			if cursor, _ = x["next"].(string); cursor == "" || t.Failed() {
				break
			}
		}
	}
	if compared < 4000 {
		t.Errorf("only %d rows were compared", compared)
	}
	export := fmt.Sprintf("/api/v1/history/export?devices=same-*&from=%d&to=%d", from, to)
	if x, y := a.do(t, http.StatusOK, http.MethodGet, export, nil), b.do(t, http.StatusOK, http.MethodGet, export, nil); string(x) != string(y) {
		t.Errorf("the exports differ: %d and %d bytes", len(x), len(y))
	}
	q := fmt.Sprintf("/api/v1/query_range?query=%s&start=%d&end=%d&step=600", url.QueryEscape(`avg_over_time(yunchu_device_power_kw[10m])`), start/1000, start/1000+40*3600)
	var x, y map[string]any
	a.get(t, q, &x)
	b.get(t, q, &y)
	if what := unlike("", x, y); what != "" {
		t.Errorf("query_range: %s", what)
	}
	graph := func(c client) (out map[string]any) {
		c.ask(t, fmt.Sprintf(`{device(id:"same-1"){history(from:"%s",to:"%s",limit:50,step:"15m"){items{timestamp}}}}`,
			time.UnixMilli(from).UTC().Format(time.RFC3339), time.UnixMilli(to).UTC().Format(time.RFC3339)), &out)
		return out
	}
	if what := unlike("", graph(a), graph(b)); what != "" {
		t.Errorf("graphql: %s", what)
	}
}

// unlike says where two answers differ by more than the order in which numbers were added.
func unlike(at string, a, b any) string {
	switch x := a.(type) {
	case map[string]any:
		y, _ := b.(map[string]any)
		if len(x) != len(y) {
			return fmt.Sprintf("%s: %v and %v", at, a, b)
		}
		for k := range x {
			if what := unlike(at+"."+k, x[k], y[k]); what != "" {
				return what
			}
		}
	case []any:
		y, _ := b.([]any)
		if len(x) != len(y) {
			return fmt.Sprintf("%s: %d and %d of them", at, len(x), len(y))
		}
		for i := range x {
			if what := unlike(fmt.Sprintf("%s[%d]", at, i), x[i], y[i]); what != "" {
				return what
			}
		}
	case float64:
		if y, ok := b.(float64); !ok || math.Abs(x-y) > 1e-9*max(1, math.Abs(x)) {
			return fmt.Sprintf("%s: %v and %v", at, a, b)
		}
	case string: // values of a Prometheus are numbers in quotes
		y, _ := b.(string)
		m, err1 := strconv.ParseFloat(x, 64)
		n, err2 := strconv.ParseFloat(y, 64)
		if x != y && (err1 != nil || err2 != nil || unlike(at, m, n) != "") {
			return fmt.Sprintf("%s: %q and %q", at, x, y)
		}
	default:
		p, _ := json.Marshal(a)
		q, _ := json.Marshal(b)
		if string(p) != string(q) {
			return fmt.Sprintf("%s: %s and %s", at, p, q)
		}
	}
	return ""
}

//go:build !nosim

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDashboards asks every query of the dashboards in deploy/grafana: those of the
// history of a demo plant, those of operations of a real Prometheus that scrapes it.
// Each must have an answer that is not empty.
func TestDashboards(t *testing.T) {
	const token = "engineer-token-of-the-tests"
	p := fresh(t, "YUNCHU_TOKEN="+token)
	x := p.start(t, "demo", "--listen", "127.0.0.1:0")
	base, viewer, _ := strings.Cut(x.says(t, "portal: "), "/#token=")
	viewer, err := url.PathUnescape(viewer)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]client{"yunchu": {base: base, token: viewer}}
	if _, err := exec.LookPath("prometheus"); err == nil {
		sources["yunchu-metrics"] = client{base: scraping(t, strings.TrimPrefix(base, "http://"), viewer)}
	} else if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
		t.Fatal("prometheus is not installed (Debian: apt-get install prometheus)")
	} else {
		t.Log("prometheus is not installed: the queries of operations are not asked")
	}
	files, err := filepath.Glob("deploy/grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("dashboards: %v, %v", files, err)
	}
	for _, file := range files {
		var d struct {
			Panels []struct {
				Title   string
				Targets []struct {
					Expr       string
					Datasource struct{ UID string }
				}
			}
			Templating struct {
				List []struct{ Query struct{ Query string } }
			}
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decode(t, data, &d)
		for _, v := range d.Templating.List {
			m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(v.Query.Query)
			if m == nil {
				t.Fatalf("%s: the variable asks %q", file, v.Query.Query)
			}
			eventually(t, v.Query.Query, func() bool {
				return answers(sources["yunchu"], "/api/v1/label/"+m[2]+"/values?"+url.Values{"match[]": {m[1]}}.Encode())
			})
		}
		for _, panel := range d.Panels {
			for _, q := range panel.Targets {
				c, there := sources[q.Datasource.UID]
				if !there && q.Datasource.UID == "yunchu-metrics" {
					continue
				}
				expr := strings.NewReplacer("$device", "ess-001", "$__interval", "15s", "$__rate_interval", "1m").Replace(q.Expr)
				eventually(t, fmt.Sprintf("%s, %s: %s", file, panel.Title, expr), func() bool {
					now := time.Now().Unix()
					form := url.Values{"query": {expr}, "start": {fmt.Sprint(now - 60)}, "end": {fmt.Sprint(now)}, "step": {"1"}}
					return answers(c, "/api/v1/query_range?"+form.Encode()) && answers(c, "/api/v1/query?"+form.Encode())
				})
			}
		}
	}
}

// answers reports whether a query has an answer that is not empty.
func answers(c client, path string) bool {
	status, body, err := c.try(http.MethodGet, path, nil)
	var a struct {
		Status string
		Data   json.RawMessage
	}
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &a) != nil || a.Status != "success" {
		return false
	}
	var d struct{ Result []json.RawMessage }
	var list []string
	return json.Unmarshal(a.Data, &d) == nil && len(d.Result) > 0 || json.Unmarshal(a.Data, &list) == nil && len(list) > 0
}

// scraping starts a Prometheus that scrapes the target, with the configuration that
// ships, and returns its address.
func scraping(t *testing.T, target, token string) string {
	t.Helper()
	config, err := os.ReadFile("deploy/grafana/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	secret := filepath.Join(work, "token")
	text := strings.NewReplacer("127.0.0.1:8080", target, "/etc/prometheus/yunchu-token", secret, "scrape_interval: 15s", "scrape_interval: 1s").Replace(string(config))
	for name, content := range map[string]string{"token": token, "prometheus.yml": text} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	x := exec.Command("prometheus", "--config.file="+filepath.Join(work, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(work, "data"), "--web.listen-address="+address)
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = x.Process.Kill()
		_ = x.Wait()
	})
	return "http://" + address
}

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestRemoteWriteOfAPlant: serve sends what comes in to the store that its
// configuration names, and counts it.
func TestRemoteWriteOfAPlant(t *testing.T) {
	const token = "engineer-token-of-the-tests"
	var requests atomic.Int64
	store := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == "application/x-protobuf" {
			requests.Add(1)
		}
	}))
	defer store.Close()
	p := fresh(t, "YUNCHU_TOKEN="+token)
	text := fmt.Sprintf("apiVersion: yunchu/v1\nkind: Config\nremote_write:\n  - {url: %q}\n", store.URL+"/write")
	if err := os.WriteFile(filepath.Join(p.dir, "plant.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, c := serving(t, p, "-c", "plant.yaml")
	c.token = token
	c.do(t, http.StatusOK, http.MethodPost, "/api/v1/device/data/sync", reading{
		Device: "HT_ESS_001", Timestamp: time.Now().UnixMilli(), Data: values{SoC: 50, Voltage: 400, Current: 10, Power: 4, Temperature: 20, Status: "charging"},
	})
	sent := regexp.MustCompile(`(?m)^yunchu_remote_write_samples_total\{receiver="` + strings.TrimPrefix(store.URL, "http://") + `/write"\} 7$`)
	eventually(t, "seven samples of the reading", func() bool {
		return requests.Load() > 0 && sent.Match(c.do(t, http.StatusOK, http.MethodGet, "/metrics", nil))
	})
}

package remotewrite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/remotewrite"
)

// hung is when a test takes something for hanging.
const hung = 60 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(hung); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within %v: %s", hung, what)
		}
	}
}

func known(s device.Slot) (device.Info, bool) {
	return device.Info{ID: device.ID(fmt.Sprintf("ess-%d", s)), Slot: s, Kind: "push"}, s < 100
}

func openBus(t *testing.T) bus.Bus {
	t.Helper()
	b, err := nats.Open(nats.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// publish logs one frame with a reading of each slot at the time.
func publish(t *testing.T, b bus.Bus, at int64, slots ...device.Slot) {
	t.Helper()
	f := new(device.Readings)
	for _, s := range slots {
		r := device.Empty()
		r.Slot, r.At, r.Arrived, r.Status, r.Power = s, at, at, device.Charging, float64(at%1000)+float64(s)/8
		f.Append(&r)
	}
	if _, err := bus.PublishWait(t.Context(), b, bus.Data, f); err != nil {
		t.Fatal(err)
	}
}

// run runs a writer until the returned stop.
func run(t *testing.T, w *remotewrite.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { w.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		done.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// store is a real Prometheus that takes remote write.
type store struct {
	t            *testing.T
	dir, address string
	x            *exec.Cmd
	program      string
}

func newStore(t *testing.T) *store {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("YUNCHU_PEERS") == "1" {
			t.Fatal("prometheus is not installed (Debian: apt-get install prometheus)")
		}
		t.Skip("prometheus is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &store{t: t, dir: t.TempDir(), address: l.Addr().String(), program: program}
	if err := os.WriteFile(filepath.Join(s.dir, "config.yml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

func (s *store) start() {
	s.t.Helper()
	s.x = exec.Command(s.program, "--config.file="+filepath.Join(s.dir, "config.yml"), "--storage.tsdb.path="+filepath.Join(s.dir, "data"),
		"--web.listen-address="+s.address, "--web.enable-remote-write-receiver")
	if err := s.x.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) kill() {
	if s.x != nil {
		_ = s.x.Process.Kill()
		_ = s.x.Wait()
		s.x = nil
	}
}

// samples are the samples of a selector with a range, by their time.
func (s *store) samples(selector string) map[float64]string {
	r, err := http.Get("http://" + s.address + "/api/v1/query?" + url.Values{"query": {selector}}.Encode())
	if err != nil {
		return nil
	}
	defer r.Body.Close()
	var a struct {
		Data struct {
			Result []struct{ Values [][2]any }
		}
	}
	if b, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(b, &a) != nil || len(a.Data.Result) != 1 {
		return nil
	}
	out := map[float64]string{}
	for _, v := range a.Data.Result[0].Values {
		out[v[0].(float64)] = v[1].(string)
	}
	return out
}

// TestOutagesAndRestartsLoseNothing: the receiver is not there, comes, is killed and
// comes back, the sender is restarted meanwhile, and a late reading, which this
// receiver refuses, takes no other with it.
func TestOutagesAndRestartsLoseNothing(t *testing.T) {
	s, b := newStore(t), openBus(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	open := func() *remotewrite.Writer {
		w, err := remotewrite.New(remotewrite.Options{
			URL: "http://" + s.address + "/api/v1/write", Bus: b, Device: known, File: filepath.Join(s.dir, "position"), Client: client,
		})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	t0 := time.Now().Add(-10 * time.Minute).UnixMilli()
	at := func(i int) int64 { return t0 + int64(i)*1003 }
	w := open()
	stop := run(t, w)
	for i := range 100 {
		publish(t, b, at(i), 1, 2, 500) // 500 is of no device
	}
	eventually(t, "a retry while nobody answers", func() bool { return w.Stats.Retries.Load() > 0 })
	if w.Needs() != 1 || w.Stats.Samples.Load() != 0 {
		t.Errorf("needs the log from %d, %d samples sent, while nobody answers", w.Needs(), w.Stats.Samples.Load())
	}
	s.start()
	all := func(n int) func() bool {
		return func() bool { return len(s.samples(`yunchu_device_power_kw{device="ess-1",kind="push"}[1h]`)) == n }
	}
	eventually(t, "what was logged before", all(100))
	eventually(t, "the end of the log", func() bool { return w.Needs() == 101 })
	stop()

	s.kill()
	publish(t, b, at(50)+1, 1) // late
	for i := 100; i < 200; i++ {
		publish(t, b, at(i), 1, 2)
	}
	w = open()
	if w.Needs() != 101 {
		t.Errorf("a restart needs the log from %d, want 101", w.Needs())
	}
	run(t, w)
	eventually(t, "a retry while it is gone", func() bool { return w.Stats.Retries.Load() > 0 })
	s.start()
	eventually(t, "what was logged meanwhile", all(200))
	eventually(t, "the end of the log", func() bool { return w.Needs() == 202 })
	if n := w.Stats.Rejected.Load(); n != 1 {
		t.Errorf("%d readings refused, want the late one", n)
	}
	got := s.samples(`yunchu_device_power_kw{device="ess-2",kind="push"}[1h]`)
	for i := range 200 {
		want := fmt.Sprint(float64(at(i)%1000) + 0.25)
		if v := got[float64(at(i))/1000]; v != want {
			t.Errorf("sample %d is %q, want %s", i, v, want)
		}
	}
	if v := s.samples(`yunchu_device_online{device="ess-1"}[1h]`); len(v) != 200 {
		t.Errorf("online has %d samples", len(v))
	}
}

// TestAnswers: what somebody can mend is tried again, with the token of the file as
// it is then; what the receiver will never take is given up; the bound on the log
// holds and what was trimmed is counted.
func TestAnswers(t *testing.T) {
	b, dir := openBus(t), t.TempDir()
	var mu sync.Mutex
	var seen []string
	status := http.StatusUnauthorized
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header.Get("Authorization")+" "+r.Header.Get("Content-Encoding")+" "+r.Header.Get("X-Prometheus-Remote-Write-Version"))
		if r.Header.Get("Authorization") == "Bearer new" && status == http.StatusUnauthorized {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.WriteHeader(status)
	}))
	defer receiver.Close()
	token := filepath.Join(dir, "token")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(token, "old\n")
	opt := remotewrite.Options{URL: receiver.URL, TokenFile: token, MaxBehind: 10, Bus: b, Device: known, File: filepath.Join(dir, "deep", "position")}
	w, err := remotewrite.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, 1000, 1)
	stop := run(t, w)
	eventually(t, "a wrong token is tried again", func() bool { return w.Stats.Retries.Load() > 1 })
	write(token, "new\n")
	eventually(t, "the right token", func() bool { return w.Stats.Samples.Load() == 3 })
	mu.Lock()
	if first, last := seen[0], seen[len(seen)-1]; first != "Bearer old snappy 0.1.0" || last != "Bearer new snappy 0.1.0" {
		t.Errorf("sent with %q, then %q", first, last)
	}
	status = http.StatusBadRequest
	mu.Unlock()
	write(token, "old\n")
	publish(t, b, 2000, 1, 2, 3)
	eventually(t, "readings are given up", func() bool { return w.Stats.Rejected.Load() == 3 && w.Needs() == 3 })
	stop()

	for i := range int64(30) {
		publish(t, b, 3000+i, 1)
	}
	mu.Lock()
	status = http.StatusServiceUnavailable
	mu.Unlock()
	if w, err = remotewrite.New(opt); err != nil {
		t.Fatal(err)
	}
	stop = run(t, w)
	eventually(t, "the bound", func() bool { return w.Needs() == 32-10 })
	stop()
	if err := b.Trim(bus.Data, w.Needs()); err != nil {
		t.Fatal(err)
	}
	first, _, err := b.Bounds(bus.Data)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	status = http.StatusOK
	mu.Unlock()
	if w, err = remotewrite.New(opt); err != nil {
		t.Fatal(err)
	}
	run(t, w)
	eventually(t, "the end of the log", func() bool { return w.Needs() == 33 })
	if got, want := w.Stats.Skipped.Load(), int64(first)-3; got != want || want <= 0 {
		t.Errorf("%d messages skipped, want %d", got, want)
	}
	write(opt.File, "{")
	if _, err := remotewrite.New(opt); err == nil {
		t.Error("a position that cannot be read is taken for one")
	}
}

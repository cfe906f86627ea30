package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain registers the program under its own name, so that the tests start it
// as people do: as a process of its own, found in PATH.
func TestMain(m *testing.M) {
	// Those that are parallel wait, most of their time, for programs that do what the clock says.
	_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))) // -parallel overrides it
	testscript.Main(m, map[string]func(){"yunchu": main})
}

// long says that the tests may take minutes.
var long = os.Getenv("YUNCHU_LONG") != ""

// hung is when the tests take a program for one that hangs. They do not time it:
// on a busy machine everything may take a while.
const hung = 30 * time.Second

// raced says that the race detector looks on, which makes a simulation twenty
// times slower.
var raced bool

// program is how the program is started: where, and with which environment.
type program struct {
	dir string   // working folder
	tmp string   // its temporary folder
	env []string // beside the test's own, without YUNCHU_TOKEN
	by  []string // the command that starts it; nil: none
}

// write puts a file into the folder of a program.
func write(t *testing.T, p program, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fresh is the program in an empty folder with an empty temporary folder.
func fresh(t *testing.T, env ...string) program {
	t.Helper()
	return program{dir: t.TempDir(), tmp: t.TempDir(), env: env}
}

func (p program) command(args ...string) *exec.Cmd {
	line := slices.Concat(p.by, []string{"yunchu"}, args)
	c := exec.Command(line[0], line[1:]...)
	c.Dir = p.dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "YUNCHU_TOKEN=") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, "TMPDIR="+p.tmp)
	c.Env = append(c.Env, p.env...)
	return c
}

// outcome is what a finished process has left.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs the program to its end.
func (p program) run(t *testing.T, args ...string) outcome {
	t.Helper()
	c := p.command(args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("yunchu %s: %v", strings.Join(args, " "), err)
	}
	return outcome{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// leavesNothing reports what is left in its temporary folder.
func (p program) leavesNothing(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(p.tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("left behind in the temporary folder: %s", e.Name())
	}
}

// process is the program while it runs.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	done           chan struct{}
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// start starts the program; it is killed when the test ends.
func (p program) start(t *testing.T, args ...string) *process {
	t.Helper()
	x := &process{cmd: p.command(args...), stdout: &output{}, stderr: &output{}, done: make(chan struct{})}
	x.cmd.Stdout, x.cmd.Stderr = x.stdout, x.stderr
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = x.cmd.Wait() // its state is asked for
		close(x.done)
	}()
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill() // has ended, as a rule
		<-x.done
		if t.Failed() {
			t.Logf("yunchu %s wrote to stderr:\n%s", strings.Join(args, " "), x.stderr)
		}
	})
	return x
}

// says waits for a line of stderr that begins with prefix and returns its rest.
func (x *process) says(t *testing.T, prefix string) string {
	t.Helper()
	var rest string
	found := func() bool {
		for line := range strings.Lines(x.stderr.String()) {
			var ok bool
			if rest, ok = strings.CutPrefix(line, prefix); ok && strings.HasSuffix(line, "\n") {
				rest = strings.TrimSpace(rest)
				return true
			}
		}
		return false
	}
	for end := time.Now().Add(hung); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if found() {
			return rest
		}
		select {
		case <-x.done:
			if found() {
				return rest
			}
			t.Fatalf("ended with exit code %d before it said %q", x.cmd.ProcessState.ExitCode(), prefix)
		default:
		}
	}
	t.Fatalf("did not say %q within %v", prefix, hung)
	return ""
}

// signal sends a signal and returns the exit code when the process has ended.
func (x *process) signal(t *testing.T, s os.Signal) int {
	t.Helper()
	if err := x.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	select {
	case <-x.done:
	case <-time.After(hung):
		t.Fatalf("still runs %v after %v", hung, s)
	}
	return x.cmd.ProcessState.ExitCode()
}

// kill ends the process as a power cut does: at once and without a word.
func (x *process) kill(t *testing.T) {
	t.Helper()
	if err := x.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-x.done
	if s, ok := x.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signal() != syscall.SIGKILL {
		t.Fatalf("ended before it was killed, with exit code %d:\n%s", x.cmd.ProcessState.ExitCode(), x.stderr)
	}
}

// client calls the API.
type client struct {
	base  string
	token string
	by    *http.Client // nil: patient
}

// patient bounds how long a test waits for one answer.
var patient = &http.Client{Timeout: hung}

// try sends one request and returns status and body.
func (c client) try(method, path string, body any) (status int, answer []byte, err error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		r = bytes.NewReader(b)
	}
	q, err := http.NewRequest(method, c.base+path, r)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		q.Header.Set("Authorization", "Bearer "+c.token)
	}
	by := c.by
	if by == nil {
		by = patient
	}
	w, err := by.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer w.Body.Close()
	answer, err = io.ReadAll(w.Body)
	return w.StatusCode, answer, err
}

// do sends one request and wants the given status.
func (c client) do(t *testing.T, want int, method, path string, body any) []byte {
	t.Helper()
	status, answer, err := c.try(method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if status != want {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, status, want, answer)
	}
	return answer
}

// get asks and decodes the answer.
func (c client) get(t *testing.T, path string, into any) {
	t.Helper()
	decode(t, c.do(t, http.StatusOK, http.MethodGet, path, nil), into)
}

func decode(t *testing.T, b []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%v in %.300s", err, b)
	}
}

// values are the data of a reading.
type values struct {
	SoC         float64  `json:"soc"`
	SoH         *float64 `json:"soh,omitempty"`
	Voltage     float64  `json:"voltage"`
	Current     float64  `json:"current"`
	Power       float64  `json:"power"`
	Temperature float64  `json:"temperature"`
	Status      string   `json:"status"`
}

// reading is the body of POST /api/v1/device/data/sync, and of GET latest.
type reading struct {
	Device    string   `json:"deviceId"`
	Timestamp int64    `json:"timestamp"`
	Data      values   `json:"data"`
	Quality   string   `json:"quality,omitempty"`
	Flags     []string `json:"flags,omitempty"`
}

// order is the body of POST /api/v1/device/control.
type order struct {
	Device     string         `json:"deviceId"`
	ID         string         `json:"commandId"`
	Command    string         `json:"command"`
	Parameters map[string]any `json:"parameters"`
	Timestamp  int64          `json:"timestamp,omitempty"`
}

// history is every reading of a device, page after page.
func (c client) history(t *testing.T, device string) []reading {
	t.Helper()
	var all []reading
	cursor := ""
	for {
		var page struct {
			Items []reading `json:"items"`
			Next  string    `json:"next"`
		}
		path := fmt.Sprintf("/api/v1/devices/%s/history?from=0&limit=10000", device)
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		c.get(t, path, &page)
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// eventually waits for something to hold.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	inTime(t, hung, what, holds)
}

func inTime(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	token     = "peers-0123456789abcdef"
	patience  = 60 * time.Second // for a server that starts
	stopping  = 20 * time.Second // for one that ends
	lastWords = 4096             // bytes of what a server has said that are shown
)

// build makes the production binary.
func build(ctx context.Context, dir string) (string, error) {
	to := filepath.Join(dir, "yunchu")
	if out, err := exec.CommandContext(ctx, "go", "build", "-tags", "nosim", "-o", to, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return to, nil
}

// process is a server of ours or of a peer.
type process struct {
	cmd  *exec.Cmd
	said said
	done chan struct{} // closed when it has ended
	dir  string
}

// said keeps the end of what a process writes.
type said struct {
	mu   sync.Mutex
	text []byte
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, b...)
	if n := len(s.text); n > lastWords {
		s.text = bytes.Clone(s.text[n-lastWords:])
	}
	return len(b), nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// start starts a server whose files are in dir.
func start(dir string, env []string, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), done: make(chan struct{}), dir: dir} //nolint:noctx // it is stopped by stop, in order
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.said, &p.said
	p.cmd.Env = append(os.Environ(), env...)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended does not matter: it is asked for answers
		close(p.done)
	}()
	return p, nil
}

// stop ends the process, and removes its files.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
	select {
	case <-p.done:
	case <-time.After(stopping):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	_ = os.RemoveAll(p.dir) // the folder above goes at the end
}

// until waits for ready to say nil.
func (p *process) until(ctx context.Context, ready func() error) error {
	end := time.Now().Add(patience)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s has ended: %s", p.cmd.Path, p.said.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not answer: %w: %s", p.cmd.Path, err, p.said.String())
		}
	}
}

// memory is what of the process is in memory, in bytes.
func (p *process) memory() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return 1024 * kb, err
		}
	}
	return 0, errors.New("the system does not say how much memory a process uses")
}

// used is what the process and all that it has started have used of the processors.
func (p *process) used() (time.Duration, error) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	type one struct{ parent, ticks int }
	known := map[int]one{}
	for _, path := range all {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name of a process, in parentheses, may have anything in it.
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) < 15 {
			return 0, fmt.Errorf("%s says %.200q", path, b)
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return 0, err
		}
		var x one
		if x.parent, err = strconv.Atoi(f[1]); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		for _, at := range []int{11, 12, 13, 14} { // its own and those of children that have ended, for itself and for the system
			n, err := strconv.Atoi(f[at])
			if err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
			x.ticks += n
		}
		known[pid] = x
	}
	if _, there := known[p.cmd.Process.Pid]; !there {
		return 0, fmt.Errorf("%s has ended: %s", p.cmd.Path, p.said.String())
	}
	ticks := 0
	for pid, x := range known {
		for up := pid; up > 1; up = known[up].parent {
			if up == p.cmd.Process.Pid {
				ticks += x.ticks
				break
			}
		}
	}
	return time.Duration(ticks) * tick, nil
}

// tick is what Linux counts the time of processes in, on every machine that we know.
const tick = 10 * time.Millisecond

// open reports whether somebody accepts connections.
func open(address string) func() error {
	return func() error {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// free is a port of loopback that nobody listens on.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// find is the program of a peer, in the PATH or in one of the folders.
func find(name, pkg string, folders ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range folders {
		if path := filepath.Join(dir, name); isFile(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: there is no %s; apt-get install %s", errAbsent, name, pkg)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// plant is a running yunchu serve.
type plant struct {
	*process
	address, broker string
}

// serve starts one, with a broker.
func serve(ctx context.Context, o *options) (*plant, error) {
	dir, err := os.MkdirTemp(o.dir, "ours-")
	if err != nil {
		return nil, err
	}
	at, err := free()
	if err != nil {
		return nil, err
	}
	broker, err := free()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("apiVersion: yunchu/v1\nkind: Config\nlisten: %q\ndata: data\nmqtt: {listen: %q}\naccess: {limits: {queries: {per_second: 0}}}\n", at, "tcp://"+broker)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := start(dir, []string{"YUNCHU_TOKEN=" + token}, o.binary, "serve", "-c", config)
	if err != nil {
		return nil, err
	}
	us := &plant{process: p, address: at, broker: broker}
	if err := p.until(ctx, func() error { return answers(ctx, "http://"+at+"/healthz") }); err != nil {
		p.stop()
		return nil, err
	}
	return us, nil
}

// answers reports whether a URL is answered with 2xx.
func answers(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode/100 != 2 {
		return fmt.Errorf("%s answers %s", url, a.Status)
	}
	return nil
}

//go:build unix

// Package pgtest runs a PostgreSQL server of a test's own, which can be killed and started
// again.
package pgtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"yunchu/platform/store/postgres"
)

// Server is a cluster in a folder of its own, on a loopback port.
type Server struct {
	bin, dir, port string
	as             *syscall.Credential // whom it runs as, where we are root: it does not run as root
	process        *exec.Cmd
}

// New makes a cluster and starts it. Without PostgreSQL the test is skipped, or fails where
// nothing may be missing.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	switch {
	case err == nil:
		t.Cleanup(s.Close)
		return s
	case s == nil && os.Getenv("CI") != "true" && os.Getenv("YUNCHU_PEERS") != "1":
		t.Skip(err)
	}
	t.Fatal(err)
	return nil
}

// Start is New for who has no test; Close stops the server and removes it.
func Start() (*Server, error) {
	s, err := start()
	if err != nil {
		return nil, err
	}
	return s, nil
}

// start makes a cluster and starts it; nil and an error where PostgreSQL is not installed.
func start() (*Server, error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return nil, err
	}
	if len(bins) == 0 {
		return nil, fmt.Errorf("PostgreSQL is not installed (Debian: apt-get install postgresql)")
	}
	s := &Server{bin: filepath.Dir(slices.Max(bins))}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("user postgres has the ids %q and %q", u.Uid, u.Gid)
		}
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	if s.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return nil, err
	}
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return s, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return s, err
	}
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		return s, err
	}
	c := s.command("initdb", "-D", s.data(), "-A", "trust", "-U", "yunchu", "-E", "UTF8", "--locale=C", "--no-sync", "--data-checksums")
	if out, err := c.CombinedOutput(); err != nil {
		return s, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := s.Restart(); err != nil {
		s.Close()
		return s, err
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return c
}

// Restart starts the server again and returns when it answers.
func (s *Server) Restart() error {
	if s.process != nil {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// What a killed server leaves names a process that may be somebody else's by now.
	_ = os.Remove(filepath.Join(s.data(), "postmaster.pid")) // it need not be there
	c := s.command("postgres", "-D", s.data(), "-h", "127.0.0.1", "-p", s.port, "-k", s.dir)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return err
	}
	s.process = c
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		w, err := pgx.Connect(ctx, s.DSN())
		if err == nil {
			return w.Close(ctx)
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("PostgreSQL does not answer: %w: %s", err, text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// DSN is where it answers.
func (s *Server) DSN() string {
	return "postgres://yunchu@127.0.0.1:" + s.port + "/postgres?sslmode=disable"
}

// At is the server with a schema.
func (s *Server) At(schema string) postgres.Server {
	return postgres.Server{DSN: s.DSN(), Schema: schema}
}

// Kill kills the server and every process of it, as kill -9 does, and waits until they
// are gone.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	children := s.children()
	for _, pid := range append([]int{s.process.Process.Pid}, children...) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
	}
	_ = s.process.Wait() // killed
	for _, pid := range children {
		for until := time.Now().Add(30 * time.Second); alive(pid) && time.Now().Before(until); {
			time.Sleep(10 * time.Millisecond)
		}
	}
	s.process = nil
}

// alive reports whether a process is there that can still do something.
func alive(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// children are the processes that the server has started.
func (s *Server) children() (out []int) {
	list, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, path := range list {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if len(f) > 1 && f[1] == strconv.Itoa(s.process.Process.Pid) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// Close kills the server and removes what it has left.
func (s *Server) Close() {
	s.Kill()
	_ = os.RemoveAll(s.dir) // a temporary folder
}

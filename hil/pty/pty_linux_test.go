package pty_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"yunchu/hil/pty"
)

func open(t *testing.T, link string) *pty.Terminal {
	t.Helper()
	p, err := pty.Open(link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// Every byte goes through as it is in both directions: no echo, no line ends, no signals.
func TestRaw(t *testing.T) {
	link := filepath.Join(t.TempDir(), "line")
	near := open(t, link)
	far, err := os.OpenFile(link, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, way := range []struct {
		name     string
		from, to *os.File
	}{{"to the device", far, near.File}, {"from the device", near.File, far}} {
		if _, err := way.from.Write(all); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(all))
		if _, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, all) {
			t.Errorf("%s: % x, %v", way.name, got, err)
		}
	}
}

func TestCloseEndsRead(t *testing.T) {
	near := open(t, filepath.Join(t.TempDir(), "line"))
	done := make(chan error, 1)
	go func() {
		_, err := near.Read(make([]byte, 1))
		done <- err
	}()
	near.Close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a read of a closed terminal succeeded")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("a read outlives Close")
	}
}

func TestLink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "line")

	first := open(t, link)
	second := open(t, link) // as after a crash that has left the link
	if at, _ := os.Readlink(link); at != second.Path() {
		t.Errorf("link leads to %s, want %s", at, second.Path())
	}
	first.Close()
	if _, err := os.Lstat(link); err != nil {
		t.Errorf("the first took away what is the second's: %v", err)
	}
	second.Close()
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link is still there after Close")
	}

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other")
	if err := os.Symlink(file, other); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, other, dir, filepath.Join(dir, "nowhere", "line")} {
		if p, err := pty.Open(path); err == nil {
			p.Close()
			t.Errorf("opened over %s", path)
		}
	}
	if b, _ := os.ReadFile(other); string(b) != "kept" {
		t.Errorf("the file behind %s holds %q", other, b)
	}
}

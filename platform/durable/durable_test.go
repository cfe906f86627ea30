package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"yunchu/platform/durable"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "position")
	if err := os.WriteFile(path+".tmp", []byte("what a crash has left, and longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two and more", ""} {
		if err := durable.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("read %q, %v, want %q", got, err, text)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("%d files are left", len(list))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// A target that cannot be replaced is left alone, and nothing beside it.
	inside := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(inside, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(inside, []byte("x"), 0o600); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if _, err := os.Stat(inside + ".tmp"); err == nil {
		t.Error("the temporary file is left")
	}
}

// TestTryLock: who comes second is told, and has the file when the first one leaves it.
func TestTryLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	first, second := open(), open()
	unlock, err := durable.TryLock(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := durable.TryLock(second); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	if err := errors.Join(unlock(), first.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.TryLock(second); err != nil {
		t.Errorf("after the first: %v", err)
	}
}

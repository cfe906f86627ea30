package durable_test

import (
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

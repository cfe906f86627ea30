// Package durable writes files that outlive a power cut: a file is there as it was or as it
// was written, never in between. Where several processes write, they wait for each other,
// or are told.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked: another process has a file.
var ErrLocked = errors.New("in use by another process")

// WriteFile replaces the file at path and returns when that is on the disk: written under
// another name, synced, renamed, and its folder synced. What a crash leaves under the other
// name, path with .tmp behind it, is overwritten the next time. One writer at a time.
func WriteFile(path string, b []byte, mode fs.FileMode) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes durable which files a folder has.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

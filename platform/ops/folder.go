// Package ops keeps a plant's data folder over the years: its format and the upgrades
// from one to the next, and backups that can be verified and restored.
package ops

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"yunchu/platform/bus/nats"
	"yunchu/platform/durable"
	"yunchu/platform/store/series"
	"yunchu/platform/store/state"
)

// Format is the number of the form that this program gives a data folder.
//
//	1: no version file; the log without checkpoints, latest values without checksums
//	2: both; the history without a manifest and tiers
//	3: both
const Format = 3

// Names in the data folder.
const (
	versionFile = "version"
	busFolder   = "bus"
	stateFile   = "state.db"
	history     = "history"
)

// ErrNewer: the data folder was written by a newer program. Nothing was changed.
var ErrNewer = errors.New("the data folder is newer than this program")

// Version is the file version of a data folder.
type Version struct {
	Format  int       `json:"format"`
	Program string    `json:"program"` // that wrote it, or upgraded it last
	Created time.Time `json:"created"`
}

// step takes a folder from one format to the next. It may be interrupted anywhere and is
// then done again, so doing it twice must be doing it once.
type step struct {
	changes []string // files, which are copied to before-format-N first
	do      func(dir string) error
}

// steps[i] takes a folder from format i+1 to i+2.
var steps = []step{{
	changes: []string{stateFile},
	do: func(dir string) error {
		// The log's checkpoints are made when the log is opened next.
		return state.Reseal(filepath.Join(dir, stateFile))
	},
}, {
	// Tiers are made while the plant runs. The segments are not changed.
	do: func(dir string) error { return series.Upgrade(filepath.Join(dir, history)) },
}}

// Prepare reads the format of the data folder and brings it to this program's: a new folder
// gets it, an older one is upgraded step by step, each with a copy of what it changes, and a
// newer one is refused with ErrNewer. A folder with data and without a version has format 1.
func Prepare(dir, program string, now time.Time, log *slog.Logger) (Version, error) {
	v, err := prepare(dir, program, now, log, steps, Format)
	if err != nil {
		return v, fmt.Errorf("data folder %s: %w", dir, err)
	}
	return v, nil
}

func prepare(dir, program string, now time.Time, log *slog.Logger, steps []step, format int) (Version, error) {
	v, err := readVersion(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v = Version{Format: format, Program: program, Created: now.UTC()}
		if _, err := os.Stat(filepath.Join(dir, busFolder)); err != nil { // new
			return v, writeVersion(dir, v)
		}
		v.Format = 1
	case err != nil:
		return v, err
	}
	switch {
	case v.Format > format:
		return v, fmt.Errorf("%w: it has format %d, written by %s, and this program (%s) knows formats up to %d; run the newer program or restore a backup",
			ErrNewer, v.Format, v.Program, program, format)
	case v.Format < 1:
		return v, fmt.Errorf("the file %s says format %d, which does not exist", versionFile, v.Format)
	case v.Format == format:
		return v, nil
	}
	lock, err := nats.Lock(filepath.Join(dir, busFolder)) // an older program may be running on it
	if err != nil {
		return v, err
	}
	defer lock.Close()
	for v.Format < format {
		s := steps[v.Format-1]
		kept, err := keep(dir, s.changes, v.Format+1)
		if err != nil {
			return v, fmt.Errorf("copy what the upgrade to format %d changes: %w", v.Format+1, err)
		}
		if err := s.do(dir); err != nil {
			return v, fmt.Errorf("upgrade to format %d: %w; what it changes is kept in %s", v.Format+1, err, kept)
		}
		v.Format, v.Program = v.Format+1, program
		if err := writeVersion(dir, v); err != nil {
			return v, fmt.Errorf("upgrade to format %d: %w", v.Format, err)
		}
		log.Info("data folder upgraded", "folder", dir, "format", v.Format, "kept", kept)
	}
	return v, nil
}

func readVersion(dir string) (v Version, err error) {
	b, err := os.ReadFile(filepath.Join(dir, versionFile))
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("read the file %s: %w", versionFile, err)
	}
	return v, nil
}

func writeVersion(dir string, v Version) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, versionFile), append(b, '\n'), 0o600)
}

// keep copies files to a folder of their own, once: what an interrupted upgrade has begun
// to change is not copied over what it was.
func keep(dir string, files []string, format int) (string, error) {
	if len(files) == 0 {
		return "", nil
	}
	kept := filepath.Join(dir, fmt.Sprintf("before-format-%d", format))
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	temp := kept + ".part"
	if err := os.RemoveAll(temp); err != nil {
		return "", err
	}
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return "", err
	}
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return "", err
		}
		if err := durable.WriteFile(filepath.Join(temp, name), b, 0o600); err != nil {
			return "", err
		}
	}
	if err := os.Rename(temp, kept); err != nil {
		return "", err
	}
	return kept, durable.SyncDir(dir)
}

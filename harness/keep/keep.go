// Package keep puts by what a run or a suite leaves as evidence beside its report: what
// crossed the links of its devices, which is what `device: replay` answers from, and the
// audit of what was written to them.
package keep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"yunchu/harness/report"
	"yunchu/hil"
	"yunchu/hil/record"
	"yunchu/platform/audit"
	"yunchu/platform/device"
)

// Tapes are the recordings of what crosses the links of devices. One without a folder
// records nothing.
type Tapes struct {
	Out   string // folder of the report; empty: nothing is recorded
	dir   string // where they are until the report is written
	files []report.Kept
	tapes []*record.Writer
}

// Begin begins the recording of a device, of which info is known; nil where nothing is
// recorded. What crosses its links is what a driver is told of that is opened with spec
// from here on.
func (t *Tapes) Begin(spec *hil.Device, info device.Info) (_ *record.Writer, err error) {
	if t.Out == "" {
		return nil, nil
	}
	if t.dir == "" {
		if err := os.MkdirAll(t.Out, 0o755); err != nil {
			return nil, fmt.Errorf("record: %w", err)
		}
		if t.dir, err = os.MkdirTemp(t.Out, ".links-*"); err != nil {
			return nil, fmt.Errorf("record: %w", err)
		}
	}
	name := fmt.Sprintf("links-%s.rec.gz", spec.ID)
	at := filepath.Join(t.dir, name)
	tape, err := spec.Record(at, time.Now(), info)
	if err != nil {
		return nil, err
	}
	spec.Tap = tape.Tap
	t.tapes = append(t.tapes, tape)
	t.files = append(t.files, report.Kept{File: report.File{Name: name}, Path: at})
	return tape, nil
}

// Close ends the recordings, and says what they hold.
func (t *Tapes) Close() (files []report.Kept, err error) {
	for i, tape := range t.tapes {
		err = errors.Join(err, tape.Close())
		f := t.files[i]
		sum, hashed := report.HashFile(f.Name, f.Path)
		if hashed != nil {
			err = errors.Join(err, hashed)
			continue
		}
		f.File = sum
		files = append(files, f)
	}
	t.tapes, t.files = nil, nil
	return files, err
}

// Remove removes what is not part of a report by now.
func (t *Tapes) Remove() {
	if t.dir != "" {
		_ = os.RemoveAll(t.dir)
	}
}

// Audit puts the audit of a data folder by at to, as a data folder of its own with the key
// that proves it (yunchu audit verify). The key that has signed it stays behind.
func Audit(to, data string) error {
	err := os.RemoveAll(to)
	if err == nil {
		err = os.CopyFS(filepath.Join(to, audit.Folder), os.DirFS(filepath.Join(data, audit.Folder)))
	}
	if err == nil {
		err = audit.CopyPublicKey(to, data)
	}
	if err != nil {
		return fmt.Errorf("keep the audit: %w", err)
	}
	return nil
}

// Folder is all that lies in dir, as files of a report in its folder name.
func Folder(name, dir string) (list []report.Kept, err error) {
	err = fs.WalkDir(os.DirFS(dir), ".", func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		here := filepath.Join(dir, filepath.FromSlash(at))
		f, err := report.HashFile(path.Join(name, at), here)
		list = append(list, report.Kept{File: f, Path: here})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keep %s: %w", name, err)
	}
	return list, nil
}

package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Write puts the report of run into the folder dir, as WriteFiles does. The journal is
// taken over from run.Journal.
func Write(dir string, run *Run) (err error) {
	if err := run.Signals.validate(); err != nil {
		return fmt.Errorf("write report to %s: %w", dir, err)
	}
	files := []Content{
		{"report.json", run.writeJSON},
		{"report.html", run.writeHTML},
		{"junit.xml", run.writeJUnit},
		{"signals.csv", run.writeCSV},
		{"signals.parquet", run.writeSignals},
	}
	if run.Devices != nil {
		files = append(files, Content{"devices.parquet", run.writeDevices})
	}
	if run.Journal != "" {
		files = append(files, Content{"journal.jsonl", run.copyJournal})
	}
	for _, k := range run.Kept {
		files = append(files, k.Content())
	}
	return WriteFiles(dir, files, run.manifest)
}

// Kept is a file that was there before the report of which it becomes a part.
type Kept struct {
	File
	Path string // where it is until then
}

// Content is the file as part of a report.
func (k Kept) Content() Content {
	return Content{k.Name, func(w io.Writer) error {
		f, err := os.Open(k.Path)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, f)
		return errors.Join(err, f.Close())
	}}
}

// Content is one file of a report.
type Content struct {
	Name  string // with slashes where it lies in a folder of the report
	Write func(io.Writer) error
}

// WriteFiles puts the files of a report into the folder dir, which is made if need be.
// Everything is written and synced in a temporary folder inside dir first and renamed
// then; the manifest goes last, so that a folder with a manifest is complete, and
// [Verify] can tell. Files of an older report that this one has not are removed.
func WriteFiles(dir string, files []Content, manifest func(outputs []File) *Manifest) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write report to %s: %w", dir, err)
		}
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(dir, ".report-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()

	var names []string
	var outputs []File
	for _, f := range files {
		at := filepath.Join(tmp, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		out, err := writeFile(at, f.Write)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		out.Name = f.Name
		names, outputs = append(names, f.Name), append(outputs, out)
	}
	m := manifest(outputs)
	if _, err := writeFile(filepath.Join(tmp, manifestName), m.write); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	if err := removeOld(dir, names); err != nil {
		return err
	}
	// From here the folder is between two reports, and has no manifest to say otherwise.
	if err := os.Remove(filepath.Join(dir, manifestName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, n := range append(names, manifestName) {
		to := filepath.Join(dir, filepath.FromSlash(n))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(tmp, filepath.FromSlash(n)), to); err != nil {
			return err
		}
		if at := filepath.Dir(to); at != filepath.Clean(dir) {
			if err := syncDir(at); err != nil {
				return err
			}
		}
	}
	return syncDir(dir)
}

// removeOld removes what the report that lies in dir has besides the files of a new one.
// A folder without a manifest that can be read has none.
func removeOld(dir string, names []string) error {
	old, err := LoadManifest(dir)
	if err != nil {
		return nil //nolint:nilerr // what lies there was not left by a report
	}
	var errs []error
	for _, f := range old.Outputs {
		if at := filepath.FromSlash(f.Name); filepath.IsLocal(at) && !slices.Contains(names, f.Name) {
			if err := os.Remove(filepath.Join(dir, at)); !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// writeFile writes and syncs one file, and says what it holds.
func writeFile(path string, write func(io.Writer) error) (f File, err error) {
	w, err := os.Create(path)
	if err != nil {
		return File{}, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	sum := newHasher()
	b := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
	if err := write(b); err != nil {
		return File{}, err
	}
	if err := b.Flush(); err != nil {
		return File{}, err
	}
	return sum.file(), w.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (run *Run) writeJSON(w io.Writer) error {
	b, err := json.MarshalIndent(run.Report, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

func (run *Run) copyJournal(w io.Writer) error {
	f, err := os.Open(run.Journal)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// Load reads a report.json, or that of the folder path.
func Load(path string) (*Report, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, "report.json")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Scenario == "" || r.Verdict == "" {
		return nil, fmt.Errorf("%s: no report of a run: scenario and verdict are missing", path)
	}
	return r, nil
}

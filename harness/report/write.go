package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	return WriteFiles(dir, files, run.manifest)
}

// Content is one file of a report.
type Content struct {
	Name  string
	Write func(io.Writer) error
}

// WriteFiles puts the files of a report into the folder dir, which is made if need be.
// Everything is written and synced in a temporary folder inside dir first and renamed
// then; the manifest goes last, so that a folder with a manifest is complete, and
// [Verify] can tell.
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
		out, err := writeFile(filepath.Join(tmp, f.Name), f.Write)
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
	// From here the folder is between two reports, and has no manifest to say otherwise.
	if err := os.Remove(filepath.Join(dir, manifestName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, n := range append(names, manifestName) {
		if err := os.Rename(filepath.Join(tmp, n), filepath.Join(dir, n)); err != nil {
			return err
		}
	}
	return syncDir(dir)
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

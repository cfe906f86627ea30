package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
)

const manifestName = "manifest.json"

// File is the checksum and size of one input or output. Name is how the
// scenario, or the report, calls it, never a path of this machine.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// Manifest is manifest.json: what went in, what came out, and which program did it.
type Manifest struct {
	Scenario      string   `json:"scenario"`
	Verdict       Verdict  `json:"verdict"`
	Seed          uint64   `json:"seed"`
	Binary        string   `json:"binary"`
	Tags          []string `json:"tags"`
	Kernel        string   `json:"kernel"`
	JournalSHA256 string   `json:"journal_sha256"`
	Inputs        []File   `json:"inputs"`
	Outputs       []File   `json:"outputs"`
}

func (run *Run) manifest(outputs []File) *Manifest {
	return &Manifest{
		Scenario: run.Scenario, Verdict: run.Verdict, Seed: run.Seed, Binary: run.Binary, Tags: notNil(run.Tags),
		Kernel: run.Kernel, JournalSHA256: run.JournalSHA256, Inputs: notNil(run.Inputs), Outputs: outputs,
	}
}

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (m *Manifest) write(w io.Writer) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// hasher sums and counts what passes.
type hasher struct {
	hash.Hash
	n int64
}

func newHasher() *hasher { return &hasher{Hash: sha256.New()} }

func (h *hasher) Write(p []byte) (int, error) {
	h.n += int64(len(p))
	return h.Hash.Write(p)
}

func (h *hasher) file() File {
	return File{SHA256: hex.EncodeToString(h.Sum(nil)), Bytes: h.n}
}

// HashFile is the entry of the file at path under the given name.
func HashFile(name, path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	h := newHasher()
	if _, err := io.Copy(h, f); err != nil {
		return File{}, fmt.Errorf("hash %s: %w", path, err)
	}
	out := h.file()
	out.Name = name
	return out, nil
}

// HashBytes is the entry of an input that is not a file of its own.
func HashBytes(name string, b []byte) File {
	sum := sha256.Sum256(b)
	return File{name, hex.EncodeToString(sum[:]), int64(len(b))}
}

// LoadManifest reads the manifest beside a report; path is the folder or a file in it.
func LoadManifest(path string) (*Manifest, error) {
	if st, err := os.Stat(path); err == nil && !st.IsDir() {
		path = filepath.Dir(path)
	}
	path = filepath.Join(path, manifestName)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// Verify recomputes every output in the folder dir and returns all differences
// from its manifest, nil when it is what was written.
func Verify(dir string) error {
	m, err := LoadManifest(dir)
	if err != nil {
		return err
	}
	var faults []error
	for _, want := range m.Outputs {
		at := filepath.FromSlash(want.Name)
		if !filepath.IsLocal(at) {
			faults = append(faults, fmt.Errorf("%s is no file of the report", want.Name))
			continue
		}
		got, err := HashFile(want.Name, filepath.Join(dir, at))
		switch {
		case err != nil:
			faults = append(faults, err)
		case got != want:
			faults = append(faults, fmt.Errorf("%s: %d bytes with sha256 %s, the manifest says %d with %s", want.Name, got.Bytes, got.SHA256, want.Bytes, want.SHA256))
		}
	}
	if !slices.ContainsFunc(m.Outputs, func(f File) bool { return f.Name == "report.json" }) {
		faults = append(faults, errors.New("the manifest does not cover report.json"))
	}
	return errors.Join(faults...)
}

package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrTampered is wrapped by what Verify finds: entries are not what was signed.
var ErrTampered = errors.New("tampered with")

// Report is what Verify found.
type Report struct {
	Checkpoint Checkpoint // the newest one
	Entries    int64      // that it covers
	Unsigned   int64      // entries after it, which a running plant signs within a second
	Kept       *Checkpoint
	// First is the number of the first entry that is not what was signed, -1 when all
	// are, or when nobody can say which.
	First int64
	// Faults are what is wrong, in words; none: the audit is intact.
	Faults []string
}

// Intact reports whether nothing is wrong.
func (r *Report) Intact() bool { return len(r.Faults) == 0 }

func (r *Report) fault(first int64, format string, a ...any) {
	if first >= 0 && (r.First < 0 || first < r.First) {
		r.First = first
	}
	r.Faults = append(r.Faults, fmt.Sprintf(format, a...))
}

// VerifyFolder reads every entry of a plant's data folder and compares the tree over
// them with the newest checkpoint, and with an older one that somebody kept elsewhere,
// where kept is not empty. key is the verifier key; empty takes the folder's own, which
// whoever changed the folder could have changed as well. An error means that it could
// not be judged.
func VerifyFolder(data, key string, kept []byte) (*Report, error) {
	if key == "" {
		var err error
		if key, err = PublicKey(data); err != nil {
			return nil, err
		}
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("the key of the audit: %w", err)
	}
	f := folder{dir: filepath.Join(data, Folder), Report: &Report{First: -1}, verify: v}
	if err := f.keep(kept); err != nil {
		return nil, err
	}
	signed, err := os.ReadFile(filepath.Join(f.dir, checkpointFile))
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	if f.Checkpoint, err = ParseCheckpoint(signed, v); err != nil {
		f.fault(-1, "the checkpoint is not signed by the key of this plant: %v", err)
		return f.Report, nil
	}
	f.Entries = f.Checkpoint.Size
	f.older()
	return f.Report, f.judge()
}

// folder is a verification under way.
type folder struct {
	*Report
	dir    string
	verify note.Verifier
	marks  []mark // older checkpoints, ascending by size
	good   int64  // entries up to the newest of them that agrees
	file   *os.File
}

type mark struct {
	Checkpoint
	kept bool
}

func (f *folder) keep(kept []byte) error {
	if len(kept) == 0 {
		return nil
	}
	c, err := ParseCheckpoint(kept, f.verify)
	if err != nil {
		if _, parse := note.Open(kept, note.VerifierList()); parse != nil {
			if _, unknown := errors.AsType[*note.UnverifiedNoteError](parse); !unknown {
				return fmt.Errorf("the kept checkpoint: %w", err)
			}
		}
		f.fault(-1, "the kept checkpoint was signed with another key than the audit has now, or was changed: %v", err)
		return nil
	}
	f.Kept = &c
	f.marks = append(f.marks, mark{c, true})
	return nil
}

// older reads the checkpoints that the plant put by. They help to say where something
// was changed; what is wrong with them themselves is of no matter.
func (f *folder) older() {
	text, err := os.ReadFile(filepath.Join(f.dir, checkpointsFile))
	if err != nil {
		return
	}
	for part := range bytes.SplitSeq(text, []byte("\n\n"+f.verify.Name()+"\n")) {
		if !bytes.HasPrefix(part, []byte(f.verify.Name()+"\n")) {
			part = append([]byte(f.verify.Name()+"\n"), part...)
		}
		part = append(bytes.TrimRight(part, "\n"), '\n')
		if c, err := ParseCheckpoint(part, f.verify); err == nil && c.Size <= f.Checkpoint.Size {
			f.marks = append(f.marks, mark{c, false})
		}
	}
	slices.SortStableFunc(f.marks, func(a, b mark) int { return int(min(max(a.Size-b.Size, -1), 1)) })
}

// judge walks through all entries.
func (f *folder) judge() error {
	parts, err := listSegments(f.dir)
	if err != nil {
		return fmt.Errorf("read the audit: %w", err)
	}
	file, err := os.Open(filepath.Join(f.dir, hashesFile))
	if err != nil {
		return fmt.Errorf("read the hashes: %w", err)
	}
	defer file.Close()
	f.file = file
	if f.Kept != nil && f.Kept.Size > f.Checkpoint.Size {
		f.fault(f.Checkpoint.Size, "rolled back: the kept checkpoint of %s covers %d entries, the audit has %d signed ones",
			f.Kept.Time.Format("2006-01-02 15:04:05Z"), f.Kept.Size, f.Checkpoint.Size)
	}
	var (
		tree   frontier
		first  = int64(-1) // leaf that differs from its stored hash
		change string
		lines  [][]byte // from there on, a few
		broken error
	)
	f.compare(&tree)
	for _, part := range parts {
		if part.first != tree.n && tree.n < f.Entries && first < 0 {
			first, change = tree.n, fmt.Sprintf("entries %d to %d are missing", tree.n, part.first-1)
			if part.first < tree.n {
				change = fmt.Sprintf("the segment that begins with entry %d has too many entries before it", part.first)
			}
		}
		err := part.lines(f.dir, func(line []byte) bool {
			if tree.n >= f.Entries {
				f.Unsigned++
				return true
			}
			leaf := tlog.RecordHash(line)
			if first < 0 {
				if stored, err := f.leaf(tree.n); err != nil || stored != leaf {
					first = tree.n
				}
			}
			if first >= 0 && len(lines) < lookAhead {
				lines = append(lines, bytes.Clone(line))
			}
			tree.add(leaf)
			f.compare(&tree)
			return true
		})
		if err != nil && broken == nil {
			broken = fmt.Errorf("entry %d and what follows in its segment cannot be read: %w", tree.n, err)
			if first < 0 {
				first, change = tree.n, broken.Error()
			}
		}
	}
	f.conclude(&tree, first, change, lines)
	return nil
}

// lookAhead is how many entries are compared to say what happened to one.
const lookAhead = 64

func (f *folder) leaf(n int64) (tlog.Hash, error) {
	h := hashes{file: f.file}
	got, err := h.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
	if err != nil {
		return tlog.Hash{}, err
	}
	return got[0], nil
}

// compare compares the tree so far with the checkpoints of its size.
func (f *folder) compare(tree *frontier) {
	for len(f.marks) > 0 && f.marks[0].Size <= tree.n {
		m := f.marks[0]
		f.marks = f.marks[1:]
		switch {
		case m.Size < tree.n:
		case m.Root == tree.root():
			f.good = m.Size
		case m.kept:
			f.fault(-1, "the first %d entries are not those of the kept checkpoint of %s", m.Size, m.Time.Format("2006-01-02 15:04:05Z"))
		}
	}
}

// conclude says what is wrong, when the tree over the entries is not the signed one.
func (f *folder) conclude(tree *frontier, first int64, change string, lines [][]byte) {
	signed := tree.n == f.Entries && tree.root() == f.Checkpoint.Root
	trusted := false // the stored hashes
	h := hashes{file: f.file}
	if root, err := tlog.TreeHash(f.Entries, &h); err == nil {
		trusted = root == f.Checkpoint.Root
	}
	switch {
	case signed && first < 0 && trusted:
	case signed:
		f.fault(first, "the entries are those that were signed, but the file of hashes was changed")
	case first < 0 && tree.n < f.Entries:
		f.fault(tree.n, "entries %d to %d are missing at the end", tree.n, f.Entries-1)
	case first < 0 || !trusted:
		at := max(f.good, 0)
		if first >= 0 {
			at = min(max(first, f.good), max(f.Entries-1, 0))
		}
		f.fault(at, "entries and hashes were both changed: the first %d entries are those of a checkpoint, what follows from entry %d on is not what was signed", f.good, at)
	default:
		if change == "" {
			change = f.what(first, lines)
		}
		f.fault(first, "%s", change)
	}
}

// what says what happened to entry n, from the lines that are there from its place on
// and the hashes that ought to be.
func (f *folder) what(n int64, lines [][]byte) string {
	leaf := func(i int64) (tlog.Hash, bool) {
		h, err := f.leaf(i)
		return h, err == nil && i < f.Entries
	}
	is := func(line int, i int64) bool {
		h, ok := leaf(i)
		return ok && line < len(lines) && tlog.RecordHash(lines[line]) == h
	}
	for k := int64(1); k < lookAhead && is(1, n+1); k++ {
		if is(0, n+k) {
			return fmt.Sprintf("entry %d was moved: entry %d is in its place", n, n+k)
		}
	}
	if is(1, n+1) || len(lines) == 1 && n == f.Entries-1 {
		return fmt.Sprintf("entry %d was changed", n)
	}
	there := func(i int64) bool { // somewhere further down
		for k := range lines {
			if is(k, i) {
				return true
			}
		}
		return false
	}
	if is(1, n) { // an entry that was moved up from further down is not one of ours from elsewhere
		for i := n + 1; i < n+lookAhead; i++ {
			if is(0, i) {
				return fmt.Sprintf("entry %d was moved to before entry %d", i, n)
			}
		}
		return fmt.Sprintf("an entry was put in before entry %d", n)
	}
	for k := int64(1); k < lookAhead; k++ {
		if !is(0, n+k) {
			continue
		}
		if there(n) {
			return fmt.Sprintf("entry %d was moved: entry %d is in its place", n, n+k)
		}
		if k == 1 {
			return fmt.Sprintf("entry %d was removed", n)
		}
		return fmt.Sprintf("entries %d to %d were removed", n, n+k-1)
	}
	return fmt.Sprintf("entry %d was changed", n)
}

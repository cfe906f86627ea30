package series

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// verifyAtOpen is how many bytes are compared with the manifest before a store is open, the
// newest files first. The rest is compared while it runs.
const verifyAtOpen = 128 << 20

// load reads what is in the folder.
func (s *Store) load() error {
	listed, end, err := readManifest(s.opt.Dir)
	s.nextID, s.missed = end.NextID, end.Missed
	missing := errors.Is(err, fs.ErrNotExist)
	adopt := missing || errors.Is(err, errManifest)
	if err != nil && !adopt {
		return err
	}
	if errors.Is(err, errManifest) {
		s.fault(Fault{Err: fmt.Errorf("%w; what the files say is taken", err)})
	}
	s.segments, s.dirty = listed, adopt
	known := map[string]bool{}
	for _, g := range listed {
		for t := range g.tables {
			known[t.path] = true
		}
	}
	for _, step := range append([]int64{0}, func() (all []int64) {
		for _, d := range Steps {
			all = append(all, d.Milliseconds())
		}
		return all
	}()...) {
		strays, err := s.tidyFolder(step, known)
		if err != nil {
			return err
		}
		if missing && step == 0 && len(strays) > 0 {
			s.fault(Fault{Err: fmt.Errorf("%w: %s is missing; what the files say is taken", errManifest, filepath.Join(s.opt.Dir, Manifest))})
		}
		for _, t := range strays {
			if adopt {
				err = s.adopt(t)
			} else {
				err = os.Rename(t.path, t.path+strayedSuffix) // a crash came before it was listed
			}
			if err != nil {
				return err
			}
		}
	}
	if adopt {
		s.dropJoined()
	}
	slices.SortFunc(s.segments, func(a, b *segment) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.id, b.id)) })
	for _, g := range s.segments {
		s.nextID = max(s.nextID, g.id+1)
	}
	s.check()
	s.supersede()
	s.covered = coverage(s.segments)
	return s.list()
}

// tidyFolder removes what an interrupted seal has left of a step, and lists the tables that
// are not known.
func (s *Store) tidyFolder(step int64, known map[string]bool) (strays []*table, err error) {
	dir := s.folder(step)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	covered := coverage(s.segments)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if isTemporary(e.Name()) {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		t, suffix, ok := parseName(path)
		if !ok {
			continue
		}
		t.step = step
		s.nextID = max(s.nextID, t.id+1)
		switch {
		case suffix == strayedSuffix && t.last <= covered: // sealed again since
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		case suffix == "" && !known[path]:
			strays = append(strays, t)
		}
	}
	return strays, nil
}

// adopt takes in a table that no manifest lists, by what it says of itself.
func (s *Store) adopt(t *table) error {
	i := slices.IndexFunc(s.segments, func(g *segment) bool { return g.id == t.id && g.first == t.first && g.last == t.last })
	if t.step > 0 && i < 0 { // its readings were not adopted
		return os.Rename(t.path, t.path+strayedSuffix)
	}
	err := t.readMeta()
	if err == nil {
		t.SHA256, err = t.sum()
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if i < 0 {
		s.segments = append(s.segments, &segment{id: t.id, rank: t.rank, first: t.first, given: t.first, last: t.last, contents: t.contents, tiers: map[int64]*table{}, lost: map[int64]string{}})
		i = len(s.segments) - 1
	}
	g := s.segments[i]
	switch {
	case err != nil:
		s.fault(Fault{Err: err})
		s.damaged = append(s.damaged, t.path)
		if t.step == 0 { // it does not say of what time it was
			g.MinAt, g.MaxAt, g.MinSlot, g.MaxSlot = -farthest, farthest, 0, MaxSlot
			g.lost[0] = err.Error()
		}
	case t.step == 0:
		g.readings, g.contents, g.rank = t, t.contents, t.rank
	default:
		g.tiers[t.step] = t
	}
	return nil
}

// errUnread is of a file that was opened and could not be read.
var errUnread = errors.New("read history")

// sum is the SHA-256 of the file.
func (g *table) sum() (string, error) {
	f, err := g.reopen()
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%w: %w", errUnread, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// compare holds the file against the manifest, all of it or its size alone.
func (g *table) compare(whole bool) error {
	st, err := os.Stat(g.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return g.damaged(errors.New("the file is gone"))
	case err != nil:
		return err
	case st.Size() != g.Size:
		return g.damaged(fmt.Errorf("%d bytes long, written as %d", st.Size(), g.Size))
	case !whole:
		return nil
	case g.SHA256 == "":
		return g.readable()
	}
	sum, err := g.sum()
	switch {
	case errors.Is(err, errUnread):
		return g.damaged(err)
	case err == nil && sum != g.SHA256:
		return g.damaged(errors.New("SHA-256 is not that of what was written"))
	}
	return err
}

// readable reads all pages that have not been given up, each of which has a checksum.
func (g *table) readable() error {
	x, err := g.readIndex()
	if err != nil {
		return err
	}
	f, err := g.reopen()
	if err != nil {
		return err
	}
	defer f.Close()
	var pages pageReader
	for _, column := range x.location {
		for p, l := range column {
			if slices.Contains(g.Bad, p) {
				continue
			}
			if _, err := pages.read(f, g.Size, l.Offset, int64(l.CompressedPageSize)); err != nil {
				return g.damaged(err)
			}
		}
	}
	return nil
}

// check holds the files against the manifest: that they are there, and as many bytes as
// that takes no time.
func (s *Store) check() {
	room := int64(verifyAtOpen)
	for _, g := range slices.Backward(slices.Clone(s.segments)) {
		for t := range g.clone().tables {
			room -= t.Size
			err := t.compare(room >= 0)
			if d, ok := errors.AsType[*damage](err); ok {
				err = s.lose(d)
			}
			if err != nil {
				s.log.Error("history file not compared", "path", t.path, "error", err)
			}
		}
	}
}

// supersede takes out segments with lost readings that later ones hold. One that was joined
// is no proof: other days' readings of its part of the log are elsewhere.
func (s *Store) supersede() {
	for _, r := range ranges(s.segments) {
		if r.good && r.sealed {
			left, gone := superseded(s.segments, r.given, r.last)
			for _, g := range gone {
				for t := range g.tables {
					s.doom(t)
				}
				s.dirty = true
			}
			s.segments = left
		}
	}
}

// sequences are a part of the log that segments hold together.
type sequences struct {
	first, last uint64
	given       uint64 // the first that the log gave
	good        bool   // none of their readings are lost
	sealed      bool   // none of them was joined
}

func ranges(list []*segment) (out []sequences) {
	for _, g := range list {
		_, lost := g.lost[0]
		i := slices.IndexFunc(out, func(r sequences) bool { return r.first == g.first && r.last == g.last })
		if i < 0 {
			out = append(out, sequences{g.first, g.last, g.given, !lost, !g.joined()})
			continue
		}
		out[i].given = max(out[i].given, g.given)
		out[i].good = out[i].good && !lost
		out[i].sealed = out[i].sealed && !g.joined()
	}
	slices.SortFunc(out, func(a, b sequences) int { return cmp.Compare(a.first, b.first) })
	return out
}

// coverage is the last sequence before the first gap in what the segments cover, and before
// the first that is lost, unless the log was asked for that already and did not have it. What
// lies before the oldest was removed on purpose.
func coverage(list []*segment) uint64 {
	if len(list) == 0 {
		return 0
	}
	all := ranges(list)
	covered := uint64(math.MaxUint64)
	lost := uint64(math.MaxUint64) // from where on something is
	for _, r := range all {
		covered = min(covered, r.first-1)
		if !r.good && !slices.ContainsFunc(all, func(o sequences) bool { return o.good && o.first <= r.first && r.last < o.given }) {
			lost = min(lost, r.first)
		}
	}
	for _, r := range all {
		if r.good && r.first <= covered+1 {
			covered = max(covered, r.last)
		}
	}
	return min(covered, lost-1)
}

// Upgrade lists the segments of a folder that was written before there were manifests. It
// does nothing where there is one.
func Upgrade(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, Manifest)); err == nil {
		return nil
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s := newStore(Options{Dir: dir})
	return s.load()
}

package audit

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/sumdb/tlog"
)

// hashes is the file of a Merkle tree's hashes, in the order of package tlog: a leaf,
// then each inner node that it completes. 64 bytes for each entry, give or take.
type hashes struct {
	file  *os.File
	count int64 // in the file
}

// ReadHashes implements tlog.HashReader.
func (h *hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if _, err := h.file.ReadAt(out[i][:], x*tlog.HashSize); err != nil {
			return nil, fmt.Errorf("hash %d: %w", x, err)
		}
	}
	return out, nil
}

// ahead are hashes that are not in the file yet, over those that are.
type ahead struct {
	under *hashes
	new   []tlog.Hash
}

// ReadHashes implements tlog.HashReader.
func (a *ahead) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= a.under.count {
			out[i] = a.new[x-a.under.count]
			continue
		}
		below, err := a.under.ReadHashes([]int64{x})
		if err != nil {
			return nil, err
		}
		out[i] = below[0]
	}
	return out, nil
}

// add appends the leaf of entry n.
func (a *ahead) add(n int64, leaf tlog.Hash) error {
	more, err := tlog.StoredHashesForRecordHash(n, leaf, a)
	a.new = append(a.new, more...)
	return err
}

// write puts the new hashes into the file, synced.
func (a *ahead) write() error {
	b := make([]byte, 0, len(a.new)*tlog.HashSize)
	for i := range a.new {
		b = append(b, a.new[i][:]...)
	}
	if _, err := a.under.file.WriteAt(b, a.under.count*tlog.HashSize); err != nil {
		return err
	}
	if err := a.under.file.Sync(); err != nil {
		return err
	}
	a.under.count += int64(len(a.new))
	a.new = nil
	return nil
}

// frontier is the right edge of a tree that grows by leaves: the roots of its complete
// subtrees, the largest first. It is all that a root needs, however many leaves there are.
type frontier struct {
	n     int64
	roots []tlog.Hash
}

func (f *frontier) add(leaf tlog.Hash) {
	for n := f.n; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		leaf = tlog.NodeHash(f.roots[last], leaf)
		f.roots = f.roots[:last]
	}
	f.roots = append(f.roots, leaf)
	f.n++
}

// frontierAt is the frontier of the first n leaves of a tree whose hashes are stored.
func frontierAt(n int64, h tlog.HashReader) (f frontier, err error) {
	var indexes []int64
	before := int64(0) // leaves left of the subtree
	for level := 62; level >= 0; level-- {
		if n&(1<<level) != 0 {
			indexes = append(indexes, tlog.StoredHashIndex(level, before>>level))
			before += 1 << level
		}
	}
	f.n = n
	f.roots, err = h.ReadHashes(indexes)
	return f, err
}

// root is the hash of the tree (RFC 6962, 2.1).
func (f *frontier) root() tlog.Hash {
	if f.n == 0 {
		return emptyRoot
	}
	h := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.roots[i], h)
	}
	return h
}

// emptyRoot is the hash of a tree without leaves.
var emptyRoot = func() tlog.Hash {
	h, err := tlog.TreeHash(0, tlog.HashReaderFunc(func([]int64) ([]tlog.Hash, error) { return nil, io.EOF }))
	if err != nil {
		panic(err) // it asks for no hash
	}
	return h
}()

func openHashes(path string, n int64) (*hashes, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	h := &hashes{f, tlog.StoredHashCount(n)}
	info, err := f.Stat()
	if err == nil && info.Size() < h.count*tlog.HashSize {
		err = fmt.Errorf("%s: %d hashes, %d entries have %d", path, info.Size()/tlog.HashSize, n, h.count)
	}
	if err == nil {
		err = f.Truncate(h.count * tlog.HashSize)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return h, nil
}

package audit

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Remote is the audit of a running plant, as its API answers.
type Remote interface {
	// Checkpoint is the newest one, as it was signed, and the key that the plant names.
	Checkpoint(ctx context.Context) (signed []byte, key string, err error)
	// Entries is a page of entries from number after on.
	Entries(ctx context.Context, after int64) (Page, error)
	// Consistency proves that the tree of size entries begins with that of from.
	Consistency(ctx context.Context, from, size int64) ([]tlog.Hash, error)
}

// VerifyRemote reads every entry of a running plant and judges as VerifyFolder does. key
// is the verifier key; empty takes the one that the plant names. It holds 32 bytes for
// each entry.
func VerifyRemote(ctx context.Context, r Remote, key string, kept []byte) (*Report, error) {
	signed, named, err := r.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	if key == "" {
		key = named
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("the key of the audit: %w", err)
	}
	f := folder{Report: &Report{First: -1}, verify: v}
	if err := f.keep(kept); err != nil {
		return nil, err
	}
	if f.Checkpoint, err = ParseCheckpoint(signed, v); err != nil {
		f.fault(-1, "the checkpoint is not signed by that key: %v", err)
		return f.Report, nil
	}
	f.Entries = f.Checkpoint.Size
	if f.Kept != nil && f.Kept.Size > f.Entries {
		f.fault(f.Entries, "rolled back: the kept checkpoint covers %d entries, the audit has %d signed ones", f.Kept.Size, f.Entries)
	}
	var (
		tree   frontier
		leaves []tlog.Hash
	)
	f.compare(&tree)
	for after := int64(0); tree.n < f.Entries && after >= 0; {
		page, err := r.Entries(ctx, after)
		if err != nil {
			return nil, err
		}
		for _, line := range page.Lines {
			if tree.n == f.Entries { // written since the checkpoint
				break
			}
			leaves = append(leaves, tlog.RecordHash(line))
			tree.add(leaves[tree.n])
			f.compare(&tree)
		}
		if page.Next >= 0 && page.Next <= after {
			return nil, fmt.Errorf("the page of entry %d is followed by that of entry %d", after, page.Next)
		}
		after = page.Next
	}
	switch {
	case tree.n == f.Entries && tree.root() == f.Checkpoint.Root:
	case tree.n < f.Entries:
		f.fault(tree.n, "entries %d to %d are missing at the end", tree.n, f.Entries-1)
	default:
		first, err := f.firstWrong(ctx, r, leaves)
		if err != nil {
			return nil, err
		}
		f.fault(first, "what is there from entry %d on is not what was signed", first)
	}
	return f.Report, nil
}

// firstWrong finds the first leaf that is not what was signed: the tree over what comes
// before it is still one that the signed tree begins with.
func (f *folder) firstWrong(ctx context.Context, r Remote, leaves []tlog.Hash) (int64, error) {
	var fault error
	n := sort.Search(len(leaves)-1, func(i int) bool {
		if fault != nil {
			return true
		}
		size := int64(i) + 1
		var tree frontier
		for _, leaf := range leaves[:size] {
			tree.add(leaf)
		}
		proof, err := r.Consistency(ctx, size, f.Entries)
		if err != nil {
			fault = err
			return true
		}
		return tlog.CheckTree(proof, f.Entries, f.Checkpoint.Root, size, tree.root()) != nil
	})
	if fault != nil {
		return 0, errors.Join(errors.New("the plant gives no proof"), fault)
	}
	return int64(n), nil
}

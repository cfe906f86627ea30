package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Query selects entries.
type Query struct {
	From, To int64  // ms UTC: from ≤ timestamp < to; To 0: no end
	Device   string // of this device alone
	Kind     string
	After    int64 // number of the first entry that is looked at
	Limit    int   // entries in the answer
}

// Page is an answer. The lines are the leaves of the tree, byte for byte.
type Page struct {
	Lines [][]byte
	// Next is the After of the following page, -1 at the end. A page may be short, or
	// empty, and not the last: one answer looks through a bounded number of entries.
	Next int64
}

// Bounds of the work for one page.
const (
	pageBytes   = 4 << 20
	pageScanned = 32 << 20
	// disorder is how far entries may be out of the order of their times, ms.
	disorder = 10 * 60 * 1000
)

// ErrRange: a proof was asked for entries that are not there.
var ErrRange = errors.New("no such entries in the audit")

// Query reads entries in their order. Only what is signed is shown.
func (l *Log) Query(q Query) (Page, error) {
	l.files.RLock()
	defer l.files.RUnlock()
	page := Page{Next: -1}
	at := l.begin(&q)
	bytesOut, scanned := 0, 0
	for i := at; i < len(l.parts); i++ {
		n := l.parts[i].first
		full := false
		err := l.parts[i].lines(l.dir, func(line []byte) bool {
			switch {
			case n >= l.signed.Size:
				return false
			case n < q.After:
				n++
				return true
			case len(page.Lines) >= q.Limit || bytesOut > pageBytes || scanned > pageScanned:
				full = true
				return false
			}
			scanned += len(line)
			if q.matches(line) {
				page.Lines = append(page.Lines, bytes.Clone(line))
				bytesOut += len(line)
			}
			n++
			return true
		})
		if err != nil {
			return page, fmt.Errorf("read the audit: %w", err)
		}
		if full {
			page.Next = n
			return page, nil
		}
	}
	return page, nil
}

// begin is the segment to begin with.
func (l *Log) begin(q *Query) int {
	i, _ := slices.BinarySearchFunc(l.parts, q.After, func(s segment, after int64) int {
		if s.first <= after {
			return -1
		}
		return 1
	})
	i = max(0, i-1)
	if q.After > 0 || q.From <= 0 {
		return i
	}
	// The last segment that began before the time. Where one cannot be read, the
	// reading of its lines says so.
	lo, hi := 0, len(l.parts)
	for lo < hi {
		mid := (lo + hi) / 2
		if began, err := l.parts[mid].began(l.dir); err == nil && began < q.From-disorder {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return max(0, lo-1)
}

func (q *Query) matches(line []byte) bool {
	if q.Device != "" && !bytes.Contains(line, []byte(`"`+q.Device+`"`)) || q.Kind != "" && !bytes.Contains(line, []byte(`"`+q.Kind+`"`)) {
		return false
	}
	var e struct {
		At     int64  `json:"timestamp"`
		Kind   string `json:"kind"`
		Device string `json:"deviceId"`
		Items  []struct {
			Device string `json:"deviceId"`
		} `json:"items"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return true // it is shown as it is; Verify says what is wrong with it
	}
	return e.At >= q.From && (q.To == 0 || e.At < q.To) && (q.Kind == "" || e.Kind == q.Kind) &&
		(q.Device == "" || e.Device == q.Device || slices.ContainsFunc(e.Items, func(i struct {
			Device string `json:"deviceId"`
		},
		) bool {
			return i.Device == q.Device
		}))
}

// Inclusion proves that entry n is in the tree of the first size entries (RFC 6962,
// 2.1.1). ErrRange.
func (l *Log) Inclusion(n, size int64) ([]tlog.Hash, error) {
	l.files.RLock()
	defer l.files.RUnlock()
	if n < 0 || n >= size || size > l.signed.Size {
		return nil, fmt.Errorf("%w: entry %d of %d; %d are signed", ErrRange, n, size, l.signed.Size)
	}
	proof, err := tlog.ProveRecord(size, n, l.hashes)
	if err != nil {
		return nil, fmt.Errorf("prove entry %d: %w", n, err)
	}
	return proof, nil
}

// Consistency proves that the tree of the first size entries begins with that of the
// first from (RFC 6962, 2.1.2). ErrRange.
func (l *Log) Consistency(from, size int64) ([]tlog.Hash, error) {
	l.files.RLock()
	defer l.files.RUnlock()
	if from < 1 || from > size || size > l.signed.Size {
		return nil, fmt.Errorf("%w: %d of %d; %d are signed", ErrRange, from, size, l.signed.Size)
	}
	proof, err := tlog.ProveTree(size, from, l.hashes)
	if err != nil {
		return nil, fmt.Errorf("prove %d of %d entries: %w", from, size, err)
	}
	return proof, nil
}

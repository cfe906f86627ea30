package series

import (
	"slices"
	"testing"
)

// FuzzManifest reads what may be a manifest. What is taken without a word is read again as
// it is written.
func FuzzManifest(f *testing.F) {
	var b []byte
	chain := ""
	for _, v := range []any{
		manifestHead{"history", manifestVersion},
		manifestEntry{ID: 1, First: 1, Last: 9, Readings: contents{Size: 5, Rows: 2}, Tiers: map[string]*contents{"1m": {Size: 3}}, Lost: map[string]string{"1h": "gone"}},
		manifestEnd{1, 2, []Miss{{First: 3, Last: 4, From: 5, To: 6, Why: "gone"}}},
	} {
		var err error
		if b, chain, err = appendLine(b, chain, v); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, end, err := parseManifest("dir", text)
		if err == nil { // it says what it is, down to the last line
			again, err := manifestOf(list, end)
			if err != nil {
				t.Fatal(err)
			}
			if l, e, err := parseManifest("dir", again); err != nil || len(l) != len(list) || e.NextID != end.NextID || !slices.Equal(e.Missed, end.Missed) {
				t.Errorf("%d entries, then %+v, %v; want %d, %+v", len(l), e, err, len(list), end)
			}
		}
		for _, g := range list {
			for table := range g.tables {
				_ = table.mayHold(0, 0, 1)
			}
		}
	})
}

// FuzzPageHead reads what may be the header of a page.
func FuzzPageHead(f *testing.F) {
	f.Add([]byte{0x15, 0, 0x15, 4, 0x15, 2, 0x15, 9})
	f.Add([]byte{0x15})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, _, ok := pageHead(b); ok && n < 0 {
			t.Errorf("a page of %d bytes", n)
		}
	})
}

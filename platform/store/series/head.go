package series

import (
	"cmp"
	"math"
	"slices"

	"yunchu/platform/device"
)

// chunkRows is how many rows one piece of a head's memory holds.
const chunkRows = 1 << 13

// chunk is rows as columns. It holds no pointers, so the collector passes over
// it, and it is used again when its head is sealed.
type chunk struct {
	slot        [chunkRows]device.Slot
	prev        [chunkRows]uint32 // 1 + the row before of the same slot; 0: none
	at, arrived [chunkRows]int64
	values      [values][chunkRows]float64
	status      [chunkRows]device.Status
	quality     [chunkRows]device.Quality
	flags       [chunkRows]device.Flags
}

// head is the readings that no segment holds yet, in the order of the log.
// Rows are only ever added, so that a reader who knows how many there are needs
// no lock to read them.
type head struct {
	chunks []*chunk
	rows   int
	last   []uint32 // by slot: 1 + its newest row; 0: none
	words  []device.Word

	firstSeq, lastSeq  uint64 // of the log: what the head was asked to follow, and up to where it has
	given              uint64 // the first that the log gave; what is before it, from firstSeq on, it does not have
	minAt, maxAt       int64  // ms UTC
	oldestIn, newestIn int64  // ms UTC, arrivals
	refs               int    // readers
	retired            bool   // sealed: the last reader gives the memory back
}

// append copies rows [i, j) of the frame; they fit into the last chunk.
func (h *head) append(f *device.Readings, i, j int) {
	c := h.chunks[len(h.chunks)-1]
	o := h.rows & (chunkRows - 1)
	copy(c.slot[o:], f.Slot[i:j])
	copy(c.at[o:], f.At[i:j])
	copy(c.arrived[o:], f.Arrived[i:j])
	for k, v := range measured(f) {
		copy(c.values[k][o:], (*v)[i:j])
	}
	copy(c.status[o:], f.Status[i:j])
	copy(c.quality[o:], f.Quality[i:j])
	copy(c.flags[o:], f.Flags[i:j])
	for n, slot := range f.Slot[i:j] {
		if int(slot) >= len(h.last) {
			h.last = append(h.last, make([]uint32, int(slot)+1-len(h.last))...)
		}
		c.prev[o+n] = h.last[slot]
		h.last[slot] = uint32(h.rows + n + 1)
	}
	for _, at := range f.At[i:j] {
		h.minAt, h.maxAt = min(h.minAt, at), max(h.maxAt, at)
	}
	for _, at := range f.Arrived[i:j] {
		h.oldestIn, h.newestIn = min(h.oldestIn, at), max(h.newestIn, at)
	}
	for _, w := range f.Words {
		if int(w.Row) >= i && int(w.Row) < j {
			h.words = append(h.words, device.Word{Row: uint32(h.rows + int(w.Row) - i), Text: w.Text})
		}
	}
	h.rows += j - i
}

// view is what a reader sees of a head: the rows that were there when it was
// taken.
type view struct {
	chunks       []*chunk
	words        []device.Word
	newest       uint32 // 1 + the newest row of the slot
	minAt, maxAt int64
}

// view is called with the store's lock held.
func (h *head) view(slot device.Slot) view {
	v := view{chunks: h.chunks, words: h.words, minAt: h.minAt, maxAt: h.maxAt}
	if int(slot) < len(h.last) {
		v.newest = h.last[slot]
	}
	return v
}

// found is a row of a head and its time.
type found struct {
	at  int64
	row uint32
}

// find lists the slot's rows in from ≤ t < to, ascending and one for each time:
// the one that came last.
func (v *view) find(from, to int64) []found {
	var rows []found
	sorted := true // from the newest time down
	for r := v.newest; r != 0; {
		c, o := v.chunks[(r-1)/chunkRows], (r-1)%chunkRows
		if at := c.at[o]; from <= at && at < to {
			sorted = sorted && (len(rows) == 0 || at < rows[len(rows)-1].at)
			rows = append(rows, found{at, r - 1})
		}
		r = c.prev[o]
	}
	slices.Reverse(rows)
	if sorted {
		return rows
	}
	slices.SortStableFunc(rows, func(a, b found) int { return cmp.Compare(a.at, b.at) })
	return newestOfEqual(rows)
}

// newestOfEqual keeps the last of the rows that have the same time.
func newestOfEqual(rows []found) []found {
	n := 0
	for i, r := range rows {
		if i+1 < len(rows) && rows[i+1].at == r.at {
			continue
		}
		rows[n] = r
		n++
	}
	return rows[:n]
}

// copyRows makes a frame of the rows.
func (v *view) copyRows(slot device.Slot, rows []found, fields Fields) *device.Readings {
	f := newFrame(slot, len(rows))
	cols := measured(f)
	for i, r := range rows {
		c, o := v.chunks[r.row/chunkRows], r.row%chunkRows
		f.At[i], f.Arrived[i] = r.at, c.arrived[o]
		f.Quality[i], f.Flags[i] = c.quality[o], c.flags[o]
		for k, col := range cols {
			if fields&(1<<k) != 0 {
				(*col)[i] = c.values[k][o] + 0 // -0 becomes 0, as in a segment
			}
		}
		if fields&Status == 0 {
			continue
		}
		f.Status[i] = c.status[o]
		if c.status[o] == device.OtherStatus {
			if text := word(v.words, r.row); text != "" {
				f.Words = append(f.Words, device.Word{Row: uint32(i), Text: text})
			}
		}
	}
	for k, col := range cols {
		if fields&(1<<k) == 0 {
			fillNaN(*col)
		}
	}
	return f
}

func word(words []device.Word, row uint32) string {
	i, ok := slices.BinarySearchFunc(words, row, func(w device.Word, row uint32) int { return cmp.Compare(w.Row, row) })
	if !ok {
		return ""
	}
	return words[i].Text
}

// newFrame is a frame of n rows of one slot, all else zero.
func newFrame(slot device.Slot, n int) *device.Readings {
	f := &device.Readings{
		Slot: make([]device.Slot, n), At: make([]int64, n), Arrived: make([]int64, n),
		Status: make([]device.Status, n), Quality: make([]device.Quality, n), Flags: make([]device.Flags, n),
	}
	for i := range f.Slot {
		f.Slot[i] = slot
	}
	for _, c := range measured(f) {
		*c = make([]float64, n)
	}
	return f
}

func fillNaN(c []float64) {
	for i := range c {
		c[i] = math.NaN()
	}
}

package series

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"

	"github.com/parquet-go/parquet-go/format"

	"yunchu/platform/device"
)

// reader reads the rows of one slot out of a segment, page by page.
type reader struct {
	g       *table
	x       *index
	files   *openFiles
	f       *openFile // while it is held
	slot    device.Slot
	page    int // the next one
	end     int
	small   []int32
	large   []int64
	present []bool
	pages   pageReader
	resume  int64            // the first time that was not given yet
	frame   *device.Readings // whose memory is used for one page after the other
	// What the frame holds: fields of all rows in since ≤ t < resume, of those before to.
	since, to int64
	fields    Fields
}

// newReader reads the rows of a slot.
func (s *Store) newReader(g *table, slot device.Slot) (*reader, error) {
	x, err := s.index.get(g)
	if err != nil {
		return nil, err
	}
	r := readers.Get().(*reader)
	if r.frame != nil && r.slot != slot {
		all := r.frame.Slot[:cap(r.frame.Slot)]
		for i := range all {
			all[i] = slot
		}
	}
	r.g, r.x, r.files, r.slot, r.resume = g, x, &s.files, slot, math.MinInt64
	r.page, r.end = x.pages(slot)
	return r, nil
}

// readers keep their memory for the next one.
var readers = sync.Pool{New: func() any { return new(reader) }}

// begun are readers of whose newest page somebody has taken a part. Who asks for what follows
// finds the rest of it unpacked: pages of an answer are smaller than those of a file.
type begun struct {
	mu   sync.Mutex
	list []*reader // the oldest first
}

// maxBegun bounds the memory, up to 1 MB for each.
const maxBegun = 8

func (b *begun) put(r *reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.list) == maxBegun {
		readers.Put(b.list[0])
		b.list = slices.Delete(b.list, 0, 1)
	}
	b.list = append(b.list, r)
}

// take is the reader whose frame has what is asked for from its beginning, nil if there is none.
func (b *begun) take(g *table, slot device.Slot, from, to int64, fields Fields) *reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.list, func(r *reader) bool {
		return r.g == g && r.slot == slot && r.fields == fields && r.to == to && r.since <= from && from < r.resume
	})
	if i < 0 {
		return nil
	}
	r := b.list[i]
	b.list = slices.Delete(b.list, i, i+1)
	return r
}

// hold has the file open until drop.
func (r *reader) hold() (err error) {
	r.f, err = r.files.get(r.g)
	return err
}

func (r *reader) drop() { r.files.put(r.f) }

// times are the next page's rows of the slot in from ≤ t < to: they begin at row
// first of page p. ok is false when there are no more.
func (r *reader) times(from, to int64) (p, first int, at []int64, ok bool, err error) {
	for ; r.page < r.end; r.page++ {
		p = r.page
		if r.x.hiAt[p] < from || r.x.loAt[p] >= to || slices.Contains(r.g.Bad, p) {
			continue
		}
		lo, hi := 0, int(r.x.rows[p+1]-r.x.rows[p])
		if r.x.loSlot[p] != r.slot || r.x.hiSlot[p] != r.slot {
			slots, err := r.ints32(colSlot, p)
			if err != nil {
				return 0, 0, nil, false, r.g.damaged(err)
			}
			lo = sort.Search(hi, func(i int) bool { return device.Slot(slots[i]) >= r.slot })
			hi = sort.Search(hi, func(i int) bool { return device.Slot(slots[i]) > r.slot })
		}
		all, err := r.ints64(colTime, p)
		if err != nil {
			return 0, 0, nil, false, r.g.damaged(err)
		}
		at = all[lo:hi]
		a := sort.Search(len(at), func(i int) bool { return at[i] >= from })
		b := sort.Search(len(at), func(i int) bool { return at[i] >= to })
		if a < b {
			r.page++
			return p, lo + a, at[a:b], true, nil
		}
	}
	return 0, 0, nil, false, nil
}

// next is the next page's rows of the slot in from ≤ t < to, nil at the end. They are valid
// until the next call.
func (r *reader) next(from, to int64, fields Fields) (*device.Readings, error) {
	r.to = math.MinInt64 // until the frame is complete
	if r.page == r.end {
		return nil, nil
	}
	if err := r.hold(); err != nil {
		return nil, err
	}
	defer r.drop()
	since := max(from, r.resume)
	p, first, at, ok, err := r.times(since, to)
	if err != nil || !ok {
		return nil, err
	}
	f := r.blank(len(at))
	copy(f.At, at)
	r.resume = at[len(at)-1] + 1
	if fields != timesOnly {
		if err := r.fill(f, p, first, fields); err != nil {
			return nil, r.g.damaged(err)
		}
	}
	r.since, r.to, r.fields = since, to, fields
	return f, nil
}

// blank is the reader's frame with n rows of its slot; what it holds of the rest is left over.
func (r *reader) blank(n int) *device.Readings {
	f := r.frame
	if f == nil || cap(f.Slot) < n {
		r.frame = newFrame(r.slot, n)
		return r.frame
	}
	f.Slot, f.At, f.Arrived = f.Slot[:n], f.At[:n], f.Arrived[:n] // the slot is the same in all rows
	f.Status, f.Quality, f.Flags, f.Words = f.Status[:n], f.Quality[:n], f.Flags[:n], nil
	for _, c := range measured(f) {
		*c = (*c)[:n]
	}
	return f
}

// timesOnly asks for nothing but the times of readings.
const timesOnly Fields = 1 << 15

func (r *reader) fill(f *device.Readings, p, first int, fields Fields) error {
	last := first + f.Rows()
	arrived, err := r.ints64(colArrived, p)
	if err != nil {
		return err
	}
	copy(f.Arrived, arrived[first:last])
	for k, col := range measured(f) {
		if fields&(1<<k) == 0 {
			fillNaN(*col)
		} else if err := r.values(*col, colValues+k, p, first); err != nil {
			return err
		}
	}
	flags, err := r.ints32(colFlags, p)
	if err != nil {
		return err
	}
	for i, v := range flags[first:last] {
		f.Flags[i] = device.Flags(v)
	}
	quality, err := r.indices(colQuality, p)
	if err != nil {
		return err
	}
	for i, v := range quality[first:last] {
		f.Quality[i] = r.x.qualities[v]
	}
	if fields&Status == 0 {
		return nil
	}
	status, err := r.indices(colStatus, p)
	if err != nil {
		return err
	}
	for i, v := range status[first:last] {
		s := &r.x.statuses[v]
		f.Status[i] = s.status
		if s.word != "" {
			f.Words = append(f.Words, device.Word{Row: uint32(i), Text: s.word})
		}
	}
	return nil
}

// body is the unpacked page of a column, valid until the next one is read.
func (r *reader) body(i, p int) ([]byte, error) {
	l := r.x.location[i][p]
	b, err := r.pages.read(r.f, r.g.Size, l.Offset, int64(l.CompressedPageSize))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.x.element[i].Name, err)
	}
	return b, nil
}

func (r *reader) rowsOf(p int) int { return int(r.x.rows[p+1] - r.x.rows[p]) }

var errRows = errors.New("page with a wrong number of rows")

func (r *reader) ints32(i, p int) (v []int32, err error) {
	b, err := r.body(i, p)
	if err != nil {
		return nil, err
	}
	if r.small, err = deltaPacked.DecodeInt32(r.small[:0], b); err == nil && len(r.small) != r.rowsOf(p) {
		err = errRows
	}
	return r.small, err
}

// ints64 is valid until the next call.
func (r *reader) ints64(i, p int) (v []int64, err error) {
	b, err := r.body(i, p)
	if err != nil {
		return nil, err
	}
	if r.large, err = deltaPacked.DecodeInt64(r.large[:0], b); err == nil && len(r.large) != r.rowsOf(p) {
		err = errRows
	}
	return r.large, err
}

// indices are positions in the column's dictionary.
func (r *reader) indices(i, p int) (v []int32, err error) {
	b, err := r.body(i, p)
	if err != nil {
		return nil, err
	}
	if r.small, err = dictionary.DecodeInt32(r.small[:0], b); err != nil {
		return nil, err
	}
	if len(r.small) < r.rowsOf(p) { // runs are padded to eight
		return nil, errRows
	}
	v = r.small[:r.rowsOf(p)]
	for _, k := range v {
		if k < 0 || int(k) >= r.x.words[i] {
			return nil, errors.New("word outside the dictionary")
		}
	}
	return v, nil
}

// values reads a measured quantity from row first of the page into dst.
func (r *reader) values(dst []float64, i, p, first int) error {
	b, err := r.body(i, p)
	if err != nil {
		return err
	}
	n := r.rowsOf(p)
	b, skip, err := r.levels(b, n, first)
	if err != nil {
		return err
	}
	e := &r.x.element[i]
	scale := 1.0
	if s := int(e.Scale.V); s >= 0 && s <= maxScale {
		scale = pow10[s]
	}
	switch e.Type.V {
	case format.Int32:
		if r.small, err = deltaPacked.DecodeInt32(r.small[:0], b); err != nil {
			return err
		}
		return spread(dst, r.small, r.present, first, skip, scale)
	case format.Int64:
		if r.large, err = deltaPacked.DecodeInt64(r.large[:0], b); err != nil {
			return err
		}
		return spread(dst, r.large, r.present, first, skip, scale)
	}
	v, err := byteSplit.DecodeDouble(nil, b)
	if err != nil {
		return err
	}
	return spread(dst, v, r.present, first, skip, 1)
}

// levels reads which rows of the page have a value into r.present, nil when all
// have. skip is how many values lie before row first.
func (r *reader) levels(b []byte, n, first int) (rest []byte, skip int, err error) {
	if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, 0, errors.New("levels cut short")
	}
	size := int(binary.LittleEndian.Uint32(b))
	levels, rest := b[4:4+size], b[4+size:]
	head, used := binary.Uvarint(levels)
	if used <= 0 {
		return nil, 0, errors.New("levels unreadable")
	}
	levels = levels[used:]
	switch {
	case head == uint64(n)<<1 && len(levels) == 1 && levels[0] == 1:
		r.present = nil
		return rest, first, nil
	case head == uint64(n)<<1 && len(levels) == 1:
		r.present = make([]bool, n)
		return rest, 0, nil
	case head == uint64((n+7)/8)<<1|1 && len(levels) == (n+7)/8:
	default:
		return nil, 0, errors.New("levels do not match")
	}
	r.present = make([]bool, n)
	for i := range r.present {
		r.present[i] = levels[i/8]>>(i%8)&1 != 0
		if i < first && r.present[i] {
			skip++
		}
	}
	return rest, skip, nil
}

// spread puts values, divided by the scale, where they are present and NaN elsewhere.
func spread[T int32 | int64 | float64](dst []float64, v []T, present []bool, first, skip int, scale float64) error {
	if skip > len(v) {
		return errRows
	}
	v = v[skip:]
	if present == nil {
		if len(v) < len(dst) {
			return errRows
		}
		for i, k := range v[:len(dst)] {
			dst[i] = float64(k) / scale
		}
		return nil
	}
	for i := range dst {
		if !present[first+i] {
			dst[i] = math.NaN()
			continue
		}
		if len(v) == 0 {
			return errRows
		}
		dst[i] = float64(v[0]) / scale
		v = v[1:]
	}
	return nil
}

// whole is all rows of page p, of whatever slots.
func (r *reader) whole(p int) (*device.Readings, error) {
	if err := r.hold(); err != nil {
		return nil, err
	}
	defer r.drop()
	f := newFrame(0, r.rowsOf(p))
	slots, err := r.ints32(colSlot, p)
	if err != nil {
		return nil, r.g.damaged(err)
	}
	for i, v := range slots {
		f.Slot[i] = device.Slot(v)
	}
	at, err := r.ints64(colTime, p)
	if err != nil {
		return nil, r.g.damaged(err)
	}
	copy(f.At, at)
	if err := r.fill(f, p, 0, AllFields); err != nil {
		return nil, r.g.damaged(err)
	}
	return f, nil
}

// frames calls yield with the rows of one page of readings after the other.
func (s *Store) frames(g *table, yield func(*device.Readings) error) error {
	x, err := s.index.get(g)
	if err != nil {
		return err
	}
	r := &reader{g: g, x: x, files: &s.files}
	for p := range x.location[colSlot] {
		f, err := r.whole(p)
		if err != nil {
			return err
		}
		if err := yield(f); err != nil {
			return err
		}
	}
	return nil
}

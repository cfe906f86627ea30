package series

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"yunchu/platform/device"
)

// sheet is a head put in the order of a segment: by slot, then time, of equal
// keys only the row that came last.
type sheet struct {
	h     *head
	order []uint32 // rows of the head
	at    []int64  // their times
	slots []device.Slot
	rank  []int32 // by slot: its index in slots
	pages []int   // where each page ends in order
	next  []uint32
	tied  []found
}

// arrange fills the sheet from a head.
func (s *sheet) arrange(h *head) {
	s.h = h
	s.count()
	s.place()
	s.order, s.at = s.order[:h.rows], s.at[:h.rows]
	s.slots, s.pages = s.slots[:0], s.pages[:0]
	n, begin := 0, 0
	for slot, end := range s.next {
		from := begin
		begin = int(end)
		if from == begin {
			continue
		}
		s.rank[slot] = int32(len(s.slots))
		s.slots = append(s.slots, device.Slot(slot))
		n += s.settle(from, begin, n)
		s.cut(n)
	}
	s.order, s.at = s.order[:n], s.at[:n]
	if len(s.pages) == 0 || s.pages[len(s.pages)-1] < n {
		s.pages = append(s.pages, n)
	}
}

// count sets next[slot] to where the slot's rows begin.
func (s *sheet) count() {
	h := s.h
	s.next = resize(s.next, len(h.last))
	s.rank = resize(s.rank, len(h.last))
	s.order = resize(s.order, h.rows)
	s.at = resize(s.at, h.rows)
	clear(s.next)
	for left, i := h.rows, 0; left > 0; i++ {
		for _, slot := range h.chunks[i].slot[:min(left, chunkRows)] {
			s.next[slot]++
		}
		left -= chunkRows
	}
	sum := uint32(0)
	for i, n := range s.next {
		s.next[i] = sum
		sum += n
	}
}

// place orders the rows by slot and leaves next[slot] where they end.
func (s *sheet) place() {
	h := s.h
	for left, i := h.rows, 0; left > 0; i++ {
		c := h.chunks[i]
		for o, slot := range c.slot[:min(left, chunkRows)] {
			n := s.next[slot]
			s.order[n] = uint32(i*chunkRows + o)
			s.at[n] = c.at[o]
			s.next[slot] = n + 1
		}
		left -= chunkRows
	}
}

// settle puts the rows [from, to) of one slot in order of time, without those
// that were replaced, and moves them to position n. It returns how many are left.
func (s *sheet) settle(from, to, n int) int {
	order, at := s.order[from:to], s.at[from:to]
	ascending := true
	for i := 1; i < len(at) && ascending; i++ {
		ascending = at[i-1] < at[i]
	}
	if !ascending {
		s.tied = resize(s.tied, len(at))
		for i := range at {
			s.tied[i] = found{at[i], order[i]}
		}
		slices.SortStableFunc(s.tied, func(a, b found) int { return cmp.Compare(a.at, b.at) })
		kept := newestOfEqual(s.tied)
		for i, r := range kept {
			order[i], at[i] = r.row, r.at
		}
		order, at = order[:len(kept)], at[:len(kept)]
	}
	if n != from {
		copy(s.order[n:], order)
		copy(s.at[n:], at)
	}
	return len(at)
}

// cut ends pages after a slot whose rows end at n.
func (s *sheet) cut(n int) { s.pages = cutPages(s.pages, n, minPage) }

// cutPages appends the ends of pages up to a slot's last row, before n; none but the last
// has less than least rows.
func cutPages(pages []int, n, least int) []int {
	begin := 0
	if len(pages) > 0 {
		begin = pages[len(pages)-1]
	}
	for ; n-begin >= maxPage; begin += maxPage {
		pages = append(pages, begin+maxPage)
	}
	if n-begin >= least {
		pages = append(pages, n)
	}
	return pages
}

// pick fills the sheet with the rows of all whose time is in from ≤ t < to.
func (s *sheet) pick(all *sheet, from, to int64) {
	s.h = all.h
	s.rank = resize(s.rank, len(all.rank))
	s.order, s.at, s.slots, s.pages = s.order[:0], s.at[:0], s.slots[:0], s.pages[:0]
	for i, r := range all.order {
		if all.at[i] < from || all.at[i] >= to {
			continue
		}
		slot := all.h.chunks[r/chunkRows].slot[r%chunkRows]
		if n := len(s.slots); n == 0 || s.slots[n-1] != slot {
			s.cut(len(s.order))
			s.rank[slot] = int32(n)
			s.slots = append(s.slots, slot)
		}
		s.order, s.at = append(s.order, r), append(s.at, all.at[i])
	}
	s.cut(len(s.order))
	if n := len(s.order); len(s.pages) == 0 || s.pages[len(s.pages)-1] < n {
		s.pages = append(s.pages, n)
	}
}

// frames calls yield with the rows of one slot after the other.
func (s *sheet) frames(yield func(*device.Readings) error) error {
	v := view{chunks: s.h.chunks, words: s.h.words}
	var rows []found
	for i, n := 0, 0; i < len(s.order); i = n {
		rank := s.slotOf(s.order[i])
		rows = rows[:0]
		for n = i; n < len(s.order) && s.slotOf(s.order[n]) == rank; n++ {
			rows = append(rows, found{s.at[n], s.order[n]})
		}
		if err := yield(v.copyRows(rank, rows, AllFields)); err != nil {
			return err
		}
	}
	return nil
}

func (s *sheet) slotOf(row uint32) device.Slot { return s.h.chunks[row/chunkRows].slot[row%chunkRows] }

// column is an encoded column chunk. Offsets count from the beginning of data.
type column struct {
	data    []byte // dictionary and pages
	kind    kind
	element format.SchemaElement
	meta    format.ColumnMetaData
	pages   format.OffsetIndex
	index   format.ColumnIndex
	ints    span[int64] // of what the pages hold
	floats  span[float64]
	texts   span[string]
}

// encoder makes the columns of a table. It keeps its scratch memory.
type encoder struct {
	ends    []int       // of pages
	codec   *zstd.Codec // nil: the fastest
	col     *column
	small   []int32
	large   []int64
	floats  []float64
	present []byte // one bit a row
	raw     []byte
	body    []byte
	packed  []byte
}

// begin starts a column in col, whose memory is used again.
func (e *encoder) begin(col *column, name string, k kind, enc format.Encoding) {
	e.col = col
	*col = column{data: col.data[:0], kind: k, element: k.element(name)}
	col.meta = format.ColumnMetaData{
		Type: k.physical, Encoding: []format.Encoding{format.RLE, enc}, PathInSchema: []string{name}, Codec: format.Zstd,
	}
	col.index.BoundaryOrder = format.Unordered
}

// page ends a page of n rows, of which nulls are not in values.
func (e *encoder) page(enc format.Encoding, row, n, nulls int, encoded []byte, lo, hi []byte) {
	c := e.col
	body := encoded
	if c.element.RepetitionType.V == format.Optional {
		e.body = appendLevels(e.body[:0], e.present, n, nulls)
		e.body = append(e.body, encoded...)
		body = e.body
	}
	head := format.PageHeader{Type: format.DataPage}
	head.DataPageHeader = thrift.New(format.DataPageHeader{
		NumValues: int32(n), Encoding: enc, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
		Statistics: format.Statistics{NullCount: int64(nulls)},
	})
	offset := len(c.data)
	e.block(&head, body)
	if len(c.pages.PageLocations) == 0 {
		c.meta.DataPageOffset = int64(offset)
	}
	c.pages.PageLocations = append(c.pages.PageLocations, format.PageLocation{
		Offset: int64(offset), CompressedPageSize: int32(len(c.data) - offset), FirstRowIndex: int64(row),
	})
	c.index.NullPages = append(c.index.NullPages, nulls == n)
	c.index.NullCounts = append(c.index.NullCounts, int64(nulls))
	c.index.MinValues = append(c.index.MinValues, lo)
	c.index.MaxValues = append(c.index.MaxValues, hi)
	c.meta.Statistics.NullCount += int64(nulls)
	c.meta.NumValues += int64(n)
}

// block appends a page of any kind: its header, then its body compressed.
func (e *encoder) block(head *format.PageHeader, body []byte) {
	c := e.col
	pack := e.codec
	if pack == nil {
		pack = &codec
	}
	e.packed, _ = pack.Encode(e.packed[:0], body) // never fails
	head.UncompressedPageSize, head.CompressedPageSize = int32(len(body)), int32(len(e.packed))
	head.CRC = int32(crc32.ChecksumIEEE(e.packed))
	h := compact(head)
	c.data = append(append(c.data, h...), e.packed...)
	c.meta.TotalUncompressedSize += int64(len(h) + len(body))
	c.meta.TotalCompressedSize += int64(len(h) + len(e.packed))
}

// appendLevels writes which of the n rows are there: one run when all or none
// is, else a bit each.
func appendLevels(b, present []byte, n, nulls int) []byte {
	b = append(b, 0, 0, 0, 0)
	switch nulls {
	case 0:
		b = append(binary.AppendUvarint(b, uint64(n)<<1), 1)
	case n:
		b = append(binary.AppendUvarint(b, uint64(n)<<1), 0)
	default:
		groups := (n + 7) / 8
		b = binary.AppendUvarint(b, uint64(groups)<<1|1)
		b = append(b, present[:groups]...)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// each calls f with the bounds in order of every page.
func (e *encoder) each(f func(a, b int)) {
	a := 0
	for _, b := range e.ends {
		f(a, b)
		a = b
	}
}

// encode makes column i into col.
func (s *sheet) encode(e *encoder, col *column, i int, names []string) {
	name := columnNames[i]
	switch i {
	case colSlot:
		e.ints32(col, name, kindSlot, func(dst []int32, a, b int) {
			for j, r := range s.order[a:b] {
				dst[j] = int32(s.slotOf(r))
			}
		})
	case colFlags:
		e.ints32(col, name, kindFlags, func(dst []int32, a, b int) {
			for j, r := range s.order[a:b] {
				dst[j] = int32(s.h.chunks[r/chunkRows].flags[r%chunkRows])
			}
		})
	case colTime:
		e.ints64(col, name, func(dst []int64, a, b int) { copy(dst, s.at[a:b]) })
	case colArrived:
		e.ints64(col, name, func(dst []int64, a, b int) {
			for j, r := range s.order[a:b] {
				dst[j] = s.h.chunks[r/chunkRows].arrived[r%chunkRows]
			}
		})
	case colDevice:
		s.encodeDevices(e, col, names)
	case colStatus:
		s.encodeStatus(e, col)
	case colQuality:
		e.words(col, name, qualityWords, func(dst []int32, a, b int) {
			for j, r := range s.order[a:b] {
				dst[j] = qualityCode[s.h.chunks[r/chunkRows].quality[r%chunkRows]]
			}
		})
	default:
		s.encodeValues(e, col, i)
	}
}

func (e *encoder) ints32(col *column, name string, k kind, gather func(dst []int32, a, b int)) {
	e.begin(col, name, k, format.DeltaBinaryPacked)
	e.each(func(a, b int) {
		e.small = resize(e.small, b-a)
		gather(e.small, a, b)
		e.page32(a, e.small)
	})
	e.finish()
}

func (e *encoder) ints64(col *column, name string, gather func(dst []int64, a, b int)) {
	e.begin(col, name, kindTime, format.DeltaBinaryPacked)
	e.each(func(a, b int) {
		e.large = resize(e.large, b-a)
		gather(e.large, a, b)
		e.page64(a, e.large)
	})
	e.finish()
}

// page32 adds a page of integers that begins at a row.
func (e *encoder) page32(row int, v []int32) {
	e.raw, _ = deltaPacked.EncodeInt32(e.raw, v)
	s := spanOf(v)
	e.col.ints.join(span[int64]{int64(s.lo), int64(s.hi), s.any})
	e.page(format.DeltaBinaryPacked, row, len(v), 0, e.raw, plain32(s.lo), plain32(s.hi))
}

// page64 adds a page of long integers.
func (e *encoder) page64(row int, v []int64) {
	e.raw, _ = deltaPacked.EncodeInt64(e.raw, v)
	s := spanOf(v)
	e.col.ints.join(s)
	e.page(format.DeltaBinaryPacked, row, len(v), 0, e.raw, plain64(s.lo), plain64(s.hi))
}

// pageNumbers adds a page of n rows, of which those in e.present have the values v.
func (e *encoder) pageNumbers(row, n int, v []float64) {
	var lo, hi []byte
	enc := format.DeltaBinaryPacked
	switch k := e.col.kind; k.physical {
	case format.Int32:
		e.small = resize(e.small, len(v))
		quantise(e.small, v, pow10[k.scale])
		e.raw, _ = deltaPacked.EncodeInt32(e.raw, e.small)
		if s := spanOf(e.small); s.any {
			e.col.ints.join(span[int64]{int64(s.lo), int64(s.hi), true})
			lo, hi = plain32(s.lo), plain32(s.hi)
		}
	case format.Int64:
		e.large = resize(e.large, len(v))
		quantise(e.large, v, pow10[k.scale])
		e.raw, _ = deltaPacked.EncodeInt64(e.raw, e.large)
		if s := spanOf(e.large); s.any {
			e.col.ints.join(s)
			lo, hi = plain64(s.lo), plain64(s.hi)
		}
	default:
		enc = format.ByteStreamSplit
		e.raw, _ = byteSplit.EncodeDouble(e.raw, v)
		if s := spanOf(v); s.any {
			e.col.floats.join(s)
			lo, hi = plainFloat(s.lo), plainFloat(s.hi)
		}
	}
	e.page(enc, row, n, n-len(v), e.raw, lo, hi)
}

// finish sets the statistics of the whole column.
func (e *encoder) finish() {
	c := e.col
	switch {
	case c.floats.any:
		e.bounds(plainFloat(c.floats.lo), plainFloat(c.floats.hi))
	case c.ints.any && c.kind.physical == format.Int32:
		e.bounds(plain32(int32(c.ints.lo)), plain32(int32(c.ints.hi)))
	case c.ints.any:
		e.bounds(plain64(c.ints.lo), plain64(c.ints.hi))
	}
}

// bounds sets the statistics of the whole column.
func (e *encoder) bounds(lo, hi []byte) {
	e.col.meta.Statistics.MinValue, e.col.meta.Statistics.MaxValue = lo, hi
}

// encodeValues encodes a measured quantity on the grid that its values share.
func (s *sheet) encodeValues(e *encoder, col *column, i int) {
	h := s.h
	g := grid{scale: baseScale}
	for left, n := h.rows, 0; left > 0; n++ {
		g.look(h.chunks[n].values[i-colValues][:min(left, chunkRows)])
		left -= chunkRows
	}
	e.numbers(col, columnNames[i], &g, func(a, b int) []float64 { return s.gather(e, a, b, i-colValues, g.nulls) })
}

// numbers encodes values that lie on g; gather collects those of a page as
// gather of a sheet does.
func (e *encoder) numbers(col *column, name string, g *grid, gather func(a, b int) []float64) {
	k := g.kind()
	e.begin(col, name, k, k.encoding())
	e.each(func(a, b int) { e.pageNumbers(a, b-a, gather(a, b)) })
	e.finish()
}

// gather collects what is reported of quantity k in a page, and when some may be
// missing notes which are there.
func (s *sheet) gather(e *encoder, a, b, k int, nulls bool) []float64 {
	e.floats = resize(e.floats, b-a)
	v, chunks := e.floats, s.h.chunks
	if !nulls {
		for j, r := range s.order[a:b] {
			v[j] = chunks[r/chunkRows].values[k][r%chunkRows] + 0 // -0 becomes 0
		}
		return v
	}
	e.present = resize(e.present, (b-a+7)/8)
	clear(e.present)
	n := 0
	for j, r := range s.order[a:b] {
		x := chunks[r/chunkRows].values[k][r%chunkRows] + 0
		if x == x {
			v[n] = x
			n++
			e.present[j/8] |= 1 << (j % 8)
		}
	}
	return v[:n]
}

func quantise[T int32 | int64](dst []T, v []float64, p float64) {
	for i, x := range v {
		dst[i] = T(math.RoundToEven(x * p))
	}
}

// words encodes words as their indices in dict, which is in ascending order.
func (e *encoder) words(col *column, name string, dict []string, gather func(dst []int32, a, b int)) {
	e.begin(col, name, kindWord, format.RLEDictionary)
	col.meta.Encoding = append(col.meta.Encoding, format.Plain)
	e.dictionary(dict, true)
	var all span[int32]
	e.each(func(a, b int) {
		e.small = resize(e.small, b-a)
		gather(e.small, a, b)
		e.raw, _ = dictionary.EncodeInt32(e.raw, e.small)
		s := spanOf(e.small)
		all.join(s)
		e.page(format.RLEDictionary, a, b-a, 0, e.raw, []byte(dict[s.lo]), []byte(dict[s.hi]))
	})
	e.bounds([]byte(dict[all.lo]), []byte(dict[all.hi]))
}

func (s *sheet) encodeDevices(e *encoder, col *column, names []string) {
	dict, code := dictOf(names)
	e.words(col, columnNames[colDevice], dict, func(dst []int32, a, b int) {
		for j, r := range s.order[a:b] {
			dst[j] = code[s.rank[s.slotOf(r)]]
		}
	})
}

// dictOf is the dictionary of words, and the place in it of each.
func dictOf(words []string) (dict []string, code []int32) {
	dict = slices.Clone(words)
	slices.Sort(dict)
	dict = slices.Compact(dict)
	code = make([]int32, len(words))
	for i, w := range words {
		j, _ := slices.BinarySearch(dict, w)
		code[i] = int32(j)
	}
	return dict, code
}

// vocabulary is a dictionary of the words of states. A reading outside the vocabulary
// and without a word has the empty one.
type vocabulary struct {
	dict  []string
	known [256]int32
}

func newVocabulary(others func(yield func(string) bool)) *vocabulary {
	v := &vocabulary{dict: []string{""}}
	for s := device.Charging; s <= device.Maintenance; s++ {
		v.dict = append(v.dict, s.String())
	}
	for w := range others {
		v.dict = append(v.dict, w)
	}
	slices.Sort(v.dict)
	v.dict = slices.Compact(v.dict)
	for s := range v.known {
		if device.Status(s) > device.OtherStatus && device.Status(s) <= device.Maintenance {
			v.known[s] = v.code(device.Status(s).String())
		}
	}
	return v
}

func (v *vocabulary) code(word string) int32 {
	j, _ := slices.BinarySearch(v.dict, word)
	return int32(j)
}

// encodeStatus writes status words as they were received.
func (s *sheet) encodeStatus(e *encoder, col *column) {
	v := newVocabulary(func(yield func(string) bool) {
		for _, w := range s.h.words {
			if !yield(w.Text) {
				return
			}
		}
	})
	e.words(col, columnNames[colStatus], v.dict, func(dst []int32, a, b int) {
		for j, r := range s.order[a:b] {
			status := s.h.chunks[r/chunkRows].status[r%chunkRows]
			dst[j] = v.known[status]
			if status == device.OtherStatus && len(s.h.words) > 0 {
				dst[j] = v.code(word(s.h.words, r))
			}
		}
	})
}

// Qualities in the order of their words; one that does not exist counts as bad.
var qualityWords = []string{device.Bad.String(), device.Good.String(), device.Suspect.String()}

var qualityCode = [256]int32{device.Good: 1, device.Suspect: 2}

// span is the range of some values.
type span[T cmp.Ordered] struct {
	lo, hi T
	any    bool
}

func spanOf[T cmp.Ordered](v []T) (s span[T]) {
	if len(v) == 0 {
		return s
	}
	s = span[T]{v[0], v[0], true}
	for _, x := range v {
		s.lo, s.hi = min(s.lo, x), max(s.hi, x)
	}
	return s
}

func (s *span[T]) join(o span[T]) {
	switch {
	case !o.any:
	case !s.any:
		*s = o
	default:
		s.lo, s.hi = min(s.lo, o.lo), max(s.hi, o.hi)
	}
}

// resize is a slice of length n in s's memory where that suffices; what it holds
// is left over.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, 1<<bits.Len(uint(n)))
	}
	return s[:n]
}

package series

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"slices"

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
func (s *sheet) cut(n int) {
	begin := 0
	if len(s.pages) > 0 {
		begin = s.pages[len(s.pages)-1]
	}
	for ; n-begin >= maxPage; begin += maxPage {
		s.pages = append(s.pages, begin+maxPage)
	}
	if n-begin >= minPage {
		s.pages = append(s.pages, n)
	}
}

// column is an encoded column chunk. Offsets count from the beginning of data.
type column struct {
	data    []byte // dictionary and pages
	element format.SchemaElement
	meta    format.ColumnMetaData
	pages   format.OffsetIndex
	index   format.ColumnIndex
}

// encoder makes the columns of a sheet. It keeps its scratch memory.
type encoder struct {
	*sheet
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
func (e *encoder) begin(col *column, i int, k kind, enc format.Encoding) {
	e.col = col
	*col = column{data: col.data[:0], element: k.element(columnNames[i])}
	col.meta = format.ColumnMetaData{
		Type: k.physical, Encoding: []format.Encoding{format.RLE, enc}, PathInSchema: []string{columnNames[i]},
		Codec: format.Zstd, NumValues: int64(len(e.order)),
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
}

// block appends a page of any kind: its header, then its body compressed.
func (e *encoder) block(head *format.PageHeader, body []byte) {
	c := e.col
	e.packed, _ = codec.Encode(e.packed[:0], body) // never fails
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
func (s *sheet) each(f func(a, b int)) {
	a := 0
	for _, b := range s.pages {
		f(a, b)
		a = b
	}
}

// encode makes column i into col.
func (e *encoder) encode(col *column, i int, names []string) {
	switch i {
	case colSlot:
		e.encodeInts32(col, i, kindSlot, func(c *chunk, o uint32) int32 { return int32(c.slot[o]) })
	case colFlags:
		e.encodeInts32(col, i, kindFlags, func(c *chunk, o uint32) int32 { return int32(c.flags[o]) })
	case colTime:
		e.encodeInts64(col, i, func(dst []int64, a, b int) { copy(dst, e.at[a:b]) })
	case colArrived:
		e.encodeInts64(col, i, func(dst []int64, a, b int) {
			for j, r := range e.order[a:b] {
				dst[j] = e.h.chunks[r/chunkRows].arrived[r%chunkRows]
			}
		})
	case colDevice:
		e.encodeDevices(col, names)
	case colStatus:
		e.encodeStatus(col)
	case colQuality:
		e.encodeWords(col, i, qualityWords, func(dst []int32, a, b int) {
			for j, r := range e.order[a:b] {
				dst[j] = qualityCode[e.h.chunks[r/chunkRows].quality[r%chunkRows]]
			}
		})
	default:
		e.encodeValues(col, i)
	}
}

func (e *encoder) encodeInts32(col *column, i int, k kind, value func(*chunk, uint32) int32) {
	e.begin(col, i, k, format.DeltaBinaryPacked)
	var all span[int32]
	e.each(func(a, b int) {
		e.small = resize(e.small, b-a)
		for j, r := range e.order[a:b] {
			e.small[j] = value(e.h.chunks[r/chunkRows], r%chunkRows)
		}
		e.raw, _ = deltaPacked.EncodeInt32(e.raw, e.small)
		s := spanOf(e.small)
		all.join(s)
		e.page(format.DeltaBinaryPacked, a, b-a, 0, e.raw, plain32(s.lo), plain32(s.hi))
	})
	e.bounds(plain32(all.lo), plain32(all.hi))
}

func (e *encoder) encodeInts64(col *column, i int, gather func(dst []int64, a, b int)) {
	e.begin(col, i, kindTime, format.DeltaBinaryPacked)
	var all span[int64]
	e.each(func(a, b int) {
		e.large = resize(e.large, b-a)
		gather(e.large, a, b)
		e.raw, _ = deltaPacked.EncodeInt64(e.raw, e.large)
		s := spanOf(e.large)
		all.join(s)
		e.page(format.DeltaBinaryPacked, a, b-a, 0, e.raw, plain64(s.lo), plain64(s.hi))
	})
	e.bounds(plain64(all.lo), plain64(all.hi))
}

// bounds sets the statistics of the whole column.
func (e *encoder) bounds(lo, hi []byte) {
	e.col.meta.Statistics.MinValue, e.col.meta.Statistics.MaxValue = lo, hi
}

// encodeValues encodes a measured quantity on the grid that its values share.
func (e *encoder) encodeValues(col *column, i int) {
	h := e.h
	g := grid{scale: baseScale}
	for left, n := h.rows, 0; left > 0; n++ {
		g.look(h.chunks[n].values[i-colValues][:min(left, chunkRows)])
		left -= chunkRows
	}
	k := g.kind()
	enc := format.DeltaBinaryPacked
	if k.physical == format.Double {
		enc = format.ByteStreamSplit
	}
	e.begin(col, i, k, enc)
	var ints span[int64]
	var floats span[float64]
	e.each(func(a, b int) {
		v := e.gather(a, b, i-colValues, g.nulls)
		nulls := b - a - len(v)
		var lo, hi []byte
		switch k.physical {
		case format.Int32:
			e.small = resize(e.small, len(v))
			quantise(e.small, v, pow10[k.scale])
			e.raw, _ = deltaPacked.EncodeInt32(e.raw, e.small)
			if s := spanOf(e.small); s.any {
				ints.join(span[int64]{int64(s.lo), int64(s.hi), true})
				lo, hi = plain32(s.lo), plain32(s.hi)
			}
		case format.Int64:
			e.large = resize(e.large, len(v))
			quantise(e.large, v, pow10[k.scale])
			e.raw, _ = deltaPacked.EncodeInt64(e.raw, e.large)
			if s := spanOf(e.large); s.any {
				ints.join(s)
				lo, hi = plain64(s.lo), plain64(s.hi)
			}
		default:
			e.raw, _ = byteSplit.EncodeDouble(e.raw, v)
			if s := spanOf(v); s.any {
				floats.join(s)
				lo, hi = plainFloat(s.lo), plainFloat(s.hi)
			}
		}
		e.page(enc, a, b-a, nulls, e.raw, lo, hi)
	})
	switch {
	case floats.any:
		e.bounds(plainFloat(floats.lo), plainFloat(floats.hi))
	case ints.any && k.physical == format.Int32:
		e.bounds(plain32(int32(ints.lo)), plain32(int32(ints.hi)))
	case ints.any:
		e.bounds(plain64(ints.lo), plain64(ints.hi))
	}
}

// gather collects what is reported of quantity k in a page, and when some may be
// missing notes which are there.
func (e *encoder) gather(a, b, k int, nulls bool) []float64 {
	e.floats = resize(e.floats, b-a)
	v, chunks := e.floats, e.h.chunks
	if !nulls {
		for j, r := range e.order[a:b] {
			v[j] = chunks[r/chunkRows].values[k][r%chunkRows] + 0 // -0 becomes 0
		}
		return v
	}
	e.present = resize(e.present, (b-a+7)/8)
	clear(e.present)
	n := 0
	for j, r := range e.order[a:b] {
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

// encodeWords encodes words as their indices in dict, which is in ascending
// order.
func (e *encoder) encodeWords(col *column, i int, dict []string, gather func(dst []int32, a, b int)) {
	e.begin(col, i, kindWord, format.RLEDictionary)
	col.meta.Encoding = append(col.meta.Encoding, format.Plain)
	e.raw = e.raw[:0]
	for _, w := range dict {
		e.raw = binary.LittleEndian.AppendUint32(e.raw, uint32(len(w)))
		e.raw = append(e.raw, w...)
	}
	head := format.PageHeader{Type: format.DictionaryPage}
	head.DictionaryPageHeader = thrift.New(format.DictionaryPageHeader{NumValues: int32(len(dict)), Encoding: format.Plain, IsSorted: true})
	e.block(&head, e.raw)
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

func (e *encoder) encodeDevices(col *column, names []string) {
	dict := slices.Clone(names)
	slices.Sort(dict)
	dict = slices.Compact(dict)
	code := make([]int32, len(names)) // by rank
	for i, n := range names {
		j, _ := slices.BinarySearch(dict, n)
		code[i] = int32(j)
	}
	e.encodeWords(col, colDevice, dict, func(dst []int32, a, b int) {
		for j, r := range e.order[a:b] {
			dst[j] = code[e.rank[e.h.chunks[r/chunkRows].slot[r%chunkRows]]]
		}
	})
}

// encodeStatus writes status words as they were received. A reading outside the
// vocabulary and without a word has the empty one.
func (e *encoder) encodeStatus(col *column) {
	dict := []string{""}
	for s := device.Charging; s <= device.Maintenance; s++ {
		dict = append(dict, s.String())
	}
	for _, w := range e.h.words {
		dict = append(dict, w.Text)
	}
	slices.Sort(dict)
	dict = slices.Compact(dict)
	code := func(word string) int32 {
		j, _ := slices.BinarySearch(dict, word)
		return int32(j)
	}
	var known [256]int32
	for s := range known {
		if device.Status(s) > device.OtherStatus && device.Status(s) <= device.Maintenance {
			known[s] = code(device.Status(s).String())
		}
	}
	e.encodeWords(col, colStatus, dict, func(dst []int32, a, b int) {
		for j, r := range e.order[a:b] {
			s := e.h.chunks[r/chunkRows].status[r%chunkRows]
			dst[j] = known[s]
			if s == device.OtherStatus && len(e.h.words) > 0 {
				dst[j] = code(word(e.h.words, r))
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

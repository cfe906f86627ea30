package series

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"yunchu/platform/device"
)

// joiner writes the rows of several tables as one, a page of all columns at a time: what it
// holds in memory is the compressed file and a page of each source.
type joiner struct {
	store   *Store
	sources []*table // ascending rank
	out     *table
	after   func(worked time.Duration) error
	begun   time.Time
	e       encoder
	columns []column
	words   []lexicon
	slots   int
	last    device.Slot // of the newest row
}

// lexicon numbers words in the order in which they come.
type lexicon struct {
	words []string
	codes map[string]int32
}

func (l *lexicon) code(word string) int32 {
	c, ok := l.codes[word]
	if !ok {
		if l.codes == nil {
			l.codes = map[string]int32{}
		}
		c = int32(len(l.words))
		l.codes[word] = c
		l.words = append(l.words, word)
	}
	return c
}

// surely is a bound of integers k for which k / 10^s as a double times 10^s rounds to k: the
// two roundings are off by less than a half together.
const surely = 1 << 50

// kinds finds for each column one that holds the values of all sources exactly.
func (w *joiner) kinds() ([]kind, error) {
	out := make([]kind, len(columnsOf(w.out.step)))
	peaks := make([]float64, len(out))
	for n, t := range w.sources {
		f, file, _, err := t.open()
		if err != nil {
			return nil, err
		}
		f.Close()
		for i := range out {
			k, peak, err := kindOf(&file.Schema[1+i], &file.RowGroups[0].Columns[i].MetaData)
			if err != nil {
				return nil, t.damaged(err)
			}
			switch {
			case n == 0 || k.physical == format.Double:
				out[i] = k
			case out[i].physical != format.Double && k.scale > out[i].scale:
				out[i] = k
			}
			peaks[i] = max(peaks[i], peak)
		}
	}
	for i, k := range out {
		if k.scale < 0 {
			continue
		}
		switch top := peaks[i] * pow10[k.scale]; {
		case top < 1e9-1:
			out[i] = decimal(k.scale, format.Int32)
		case top < surely:
			out[i] = decimal(k.scale, format.Int64)
		default:
			out[i] = kindDouble
		}
	}
	return out, nil
}

// kindOf is the kind of a column in a file, and the largest magnitude in it when it is a
// decimal.
func kindOf(e *format.SchemaElement, m *format.ColumnMetaData) (k kind, peak float64, err error) {
	switch {
	case e.Type.V == format.ByteArray:
		return kindWord, 0, nil
	case e.RepetitionType.V != format.Optional && e.Type.V == format.Int64:
		return kindTime, 0, nil
	case e.RepetitionType.V != format.Optional && e.Name == columnNames[colSlot]:
		return kindSlot, 0, nil
	case e.RepetitionType.V != format.Optional:
		return kindFlags, 0, nil
	case e.Type.V == format.Double:
		return kindDouble, 0, nil
	}
	scale := int(e.Scale.V)
	if scale < 0 || scale > maxScale {
		return k, 0, fmt.Errorf("%s has the scale %d", e.Name, scale)
	}
	for _, b := range [][]byte{m.Statistics.MinValue, m.Statistics.MaxValue} {
		var v int64
		switch len(b) {
		case 0: // no value at all
		case 4:
			v = int64(int32(binary.LittleEndian.Uint32(b)))
		case 8:
			v = int64(binary.LittleEndian.Uint64(b))
		default:
			return k, 0, fmt.Errorf("bounds of %s of %d bytes", e.Name, len(b))
		}
		peak = max(peak, math.Abs(float64(v)/pow10[scale]))
	}
	return decimal(scale, e.Type.V), peak, nil
}

// pageDone counts what was written of a page and takes a rest.
func (w *joiner) pageDone(slots []device.Slot) error {
	c := &w.out.contents
	for _, slot := range slots {
		if w.slots == 0 || slot != w.last {
			w.slots++
			w.last = slot
		}
	}
	c.Rows += int64(len(slots))
	c.MinSlot, c.MaxSlot = min(c.MinSlot, slots[0]), max(c.MaxSlot, slots[len(slots)-1])
	err := w.after(time.Since(w.begun))
	w.begun = time.Now()
	return err
}

// pageWords adds a page of words to column i.
func (w *joiner) pageWords(i, row, n int, word func(j int) string) {
	e, l := &w.e, &w.words[i]
	e.small = resize(e.small, n)
	var lo, hi, last string
	var code int32
	for j := range n {
		if text := word(j); j == 0 || text != last {
			last, code = text, l.code(text)
			if j == 0 {
				lo, hi = text, text
			}
			lo, hi = min(lo, text), max(hi, text)
		}
		e.small[j] = code
	}
	e.raw, _ = dictionary.EncodeInt32(e.raw, e.small)
	e.col.texts.join(span[string]{lo, hi, true})
	e.page(format.RLEDictionary, row, n, 0, e.raw, []byte(lo), []byte(hi))
}

// finishWords puts the dictionary before the pages of a column of words.
func (e *encoder) finishWords(dict []string) {
	c := e.col
	pages := c.data
	c.data = nil
	c.meta.Encoding = []format.Encoding{format.RLE, format.RLEDictionary, format.Plain}
	e.dictionary(dict, false)
	shift := len(c.data)
	c.data = append(c.data, pages...)
	c.meta.DataPageOffset = int64(shift)
	for i := range c.pages.PageLocations {
		c.pages.PageLocations[i].Offset += int64(shift)
	}
	e.bounds([]byte(c.texts.lo), []byte(c.texts.hi))
}

// dictionary adds the page of a column's words.
func (e *encoder) dictionary(dict []string, sorted bool) {
	e.raw = e.raw[:0]
	for _, w := range dict {
		e.raw = binary.LittleEndian.AppendUint32(e.raw, uint32(len(w)))
		e.raw = append(e.raw, w...)
	}
	head := format.PageHeader{Type: format.DictionaryPage}
	head.DictionaryPageHeader = thrift.New(format.DictionaryPageHeader{NumValues: int32(len(dict)), Encoding: format.Plain, IsSorted: sorted})
	e.block(&head, e.raw)
}

// rowStream goes through the readings of a table.
type rowStream struct {
	r    *reader
	page int // the next one
	f    *device.Readings
	pos  int
}

// fill makes sure that the stream stands on a row; false at its end.
func (s *rowStream) fill() (bool, error) {
	for s.f == nil || s.pos == s.f.Rows() {
		if s.page == len(s.r.x.location[colSlot]) {
			return false, nil
		}
		var err error
		if s.f, err = s.r.whole(s.page); err != nil {
			return false, err
		}
		s.page, s.pos = s.page+1, 0
	}
	return true, nil
}

// readings joins tables of readings: by slot and time, of equal ones that of the higher rank.
func (w *joiner) readings() error {
	var streams []*rowStream // ascending rank
	for _, t := range w.sources {
		x, err := w.store.index.get(t)
		if err != nil {
			return err
		}
		s := &rowStream{r: &reader{g: t, x: x, files: &w.store.files}}
		if ok, err := s.fill(); err != nil {
			return err
		} else if ok {
			streams = append(streams, s)
		}
	}
	page := new(device.Readings)
	flush := func() error {
		if page.Rows() == 0 {
			return nil
		}
		row := int(w.out.Rows)
		for i := range w.columns {
			w.e.col = &w.columns[i]
			w.readingPage(i, row, page)
		}
		for _, at := range page.At {
			w.out.MinAt, w.out.MaxAt = min(w.out.MinAt, at), max(w.out.MaxAt, at)
		}
		err := w.pageDone(page.Slot)
		page.Reset()
		return err
	}
	for len(streams) > 0 {
		best := streams[0]
		for _, s := range streams[1:] {
			if c := s.compare(best); c < 0 || c == 0 { // the higher rank holds
				best = s
			}
		}
		slot := best.f.Slot[best.pos]
		if n := page.Rows(); n >= minPage && page.Slot[n-1] != slot {
			if err := flush(); err != nil {
				return err
			}
		}
		// Rows before the next of any other stream are taken at once.
		until := int64(math.MaxInt64)
		for _, s := range streams {
			if s != best && s.f.Slot[s.pos] == slot {
				until = min(until, s.f.At[s.pos])
			}
		}
		f, begin := best.f, best.pos
		end := begin + 1
		for room := maxPage - page.Rows(); end < f.Rows() && end-begin < room && f.Slot[end] == slot && f.At[end] < until; end++ {
		}
		appendRows(page, f, begin, end)
		at := f.At[begin]
		n := 0
		for _, s := range streams {
			switch {
			case s == best:
				s.pos = end
			case s.f.Slot[s.pos] == slot && s.f.At[s.pos] == at:
				s.pos++
			}
			ok, err := s.fill()
			if err != nil {
				return err
			}
			if ok {
				streams[n] = s
				n++
			}
		}
		streams = streams[:n]
		if page.Rows() == maxPage {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (s *rowStream) compare(o *rowStream) int {
	return cmp.Or(cmp.Compare(s.f.Slot[s.pos], o.f.Slot[o.pos]), cmp.Compare(s.f.At[s.pos], o.f.At[o.pos]))
}

// appendRows adds rows [a, b) of a frame to another.
func appendRows(dst, src *device.Readings, a, b int) {
	n := uint32(dst.Rows())
	dst.Slot = append(dst.Slot, src.Slot[a:b]...)
	dst.At = append(dst.At, src.At[a:b]...)
	dst.Arrived = append(dst.Arrived, src.Arrived[a:b]...)
	from := measured(src)
	for k, v := range measured(dst) {
		*v = append(*v, (*from[k])[a:b]...)
	}
	dst.Status = append(dst.Status, src.Status[a:b]...)
	dst.Quality = append(dst.Quality, src.Quality[a:b]...)
	dst.Flags = append(dst.Flags, src.Flags[a:b]...)
	for _, word := range src.Words {
		if int(word.Row) >= a && int(word.Row) < b {
			dst.Words = append(dst.Words, device.Word{Row: n + word.Row - uint32(a), Text: word.Text})
		}
	}
}

// readingPage adds a page of column i.
func (w *joiner) readingPage(i, row int, f *device.Readings) {
	e, n := &w.e, f.Rows()
	switch i {
	case colSlot, colFlags:
		e.small = resize(e.small, n)
		for j := range e.small {
			if e.small[j] = int32(f.Slot[j]); i == colFlags {
				e.small[j] = int32(f.Flags[j])
			}
		}
		e.page32(row, e.small)
	case colTime:
		e.page64(row, f.At)
	case colArrived:
		e.page64(row, f.Arrived)
	case colDevice:
		w.pageWords(i, row, n, w.namesOf(func(j int) device.Slot { return f.Slot[j] }))
	case colStatus:
		words := f.Words
		w.pageWords(i, row, n, func(j int) string {
			if f.Status[j] != device.OtherStatus {
				return f.Status[j].String()
			}
			if len(words) > 0 && int(words[0].Row) == j {
				text := words[0].Text
				words = words[1:]
				return text
			}
			return ""
		})
	case colQuality:
		w.pageWords(i, row, n, func(j int) string { return qualityWords[qualityCode[f.Quality[j]]] })
	default:
		e.present = resize(e.present, (n+7)/8)
		clear(e.present)
		e.floats = e.floats[:0]
		for j, x := range *measured(f)[i-colValues] {
			if x == x {
				e.floats = append(e.floats, x)
				e.present[j/8] |= 1 << (j % 8)
			}
		}
		e.pageNumbers(row, n, e.floats)
	}
}

// namesOf gives the names of devices, which are asked for once a slot.
func (w *joiner) namesOf(slot func(j int) device.Slot) func(j int) string {
	last, name := device.Plant, ""
	return func(j int) string {
		if s := slot(j); s != last {
			last, name = s, w.name(s)
		}
		return name
	}
}

// partStream goes through the parts of a table.
type partStream struct {
	r    *partReader
	next int // page
	pos  int
}

func (s *partStream) fill() (bool, error) {
	for s.r.page < 0 || s.pos == len(s.r.parts) {
		if s.next == len(s.r.x.location[colSlot]) {
			return false, nil
		}
		if err := s.r.load(s.next, 0); err != nil {
			return false, err
		}
		s.next, s.pos = s.next+1, 0
	}
	return true, nil
}

func (s *partStream) part() *part { return &s.r.parts[s.pos] }

func comparePlaces(a, b *part) int {
	return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.at, b.at))
}

// parts joins tables of parts. Several parts of a step stay several, but those that a part
// of a higher rank stands for are left out.
func (w *joiner) parts() error {
	var streams []*partStream
	for _, t := range w.sources {
		r, err := w.store.newPartReader(t, AllFields)
		if err != nil {
			return err
		}
		s := &partStream{r: r}
		if ok, err := s.fill(); err != nil {
			return err
		} else if ok {
			streams = append(streams, s)
		}
	}
	var page []part
	var slots []device.Slot
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		row := int(w.out.Rows)
		slots = slots[:0]
		for i := range page {
			slots = append(slots, page[i].slot)
			w.out.MinAt, w.out.MaxAt = min(w.out.MinAt, page[i].at), max(w.out.MaxAt, page[i].at+w.out.step-1)
		}
		for i := range w.columns {
			w.e.col = &w.columns[i]
			switch i {
			case colDevice:
				w.pageWords(i, row, len(page), w.namesOf(func(j int) device.Slot { return page[j].slot }))
			case colPartStatus:
				w.pageWords(i, row, len(page), func(j int) string {
					if p := &page[j]; p.status == device.OtherStatus {
						return p.word
					}
					return page[j].status.String()
				})
			case colPartQuality:
				w.pageWords(i, row, len(page), func(j int) string { return qualityWords[qualityCode[page[j].quality]] })
			default:
				w.e.partPage(i, row, page)
			}
		}
		page = page[:0]
		return w.pageDone(slots)
	}
	var here []part
	for len(streams) > 0 {
		best := streams[0].part()
		for _, s := range streams[1:] {
			if comparePlaces(s.part(), best) < 0 {
				best = s.part()
			}
		}
		place := part{slot: best.slot, at: best.at}
		here = here[:0]
		n := 0
		for _, s := range streams { // ascending rank
			ok := true
			for ok && comparePlaces(s.part(), &place) == 0 {
				if s.part().whole {
					here = here[:0]
				}
				here = append(here, *s.part())
				s.pos++
				var err error
				if ok, err = s.fill(); err != nil {
					return err
				}
			}
			if ok {
				streams[n] = s
				n++
			}
		}
		streams = streams[:n]
		// Behind a part that stands for what is older: a reader drops what comes before it.
		slices.SortStableFunc(here, func(a, b part) int {
			if a.whole != b.whole {
				return map[bool]int{true: -1, false: 1}[a.whole]
			}
			return cmp.Compare(a.first, b.first)
		})
		if n := len(page); n >= minParts && page[n-1].slot != place.slot || n+len(here) > maxPage {
			if err := flush(); err != nil {
				return err
			}
		}
		page = append(page, here...)
	}
	return flush()
}

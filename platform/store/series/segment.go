package series

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"yunchu/platform/device"
)

// segment is what was sealed of one day: its readings and what they amount to.
type segment struct {
	id          uint64
	rank        uint64 // of two readings of a time that of the higher rank holds: the id, or the highest of what was joined
	first, last uint64 // log sequences covered, together with others of the same; of what was joined, from the first to the last
	given       uint64 // the first that the log gave; those before it were not there any more
	contents           // of the readings, also when they are gone
	readings    *table // nil: expired, or lost
	tiers       map[int64]*table
	lost        map[int64]string // tables that are damaged or gone, by step; why
	part        bool             // what was lost of the readings of another segment, whose tiers tell of it
}

// table is that of a step, 0 for the readings; nil when it is not there.
func (g *segment) table(step int64) *table {
	if step == 0 {
		return g.readings
	}
	return g.tiers[step]
}

// joined reports whether the segment was made of several.
func (g *segment) joined() bool { return g.rank != g.id }

// tables calls yield with all that are there.
func (g *segment) tables(yield func(t *table) bool) {
	if g.readings != nil && !yield(g.readings) {
		return
	}
	for _, step := range slices.Sorted(maps.Keys(g.tiers)) {
		if !yield(g.tiers[step]) {
			return
		}
	}
}

// clone is a copy that may be changed.
func (g *segment) clone() *segment {
	c := *g
	c.tiers, c.lost = maps.Clone(g.tiers), maps.Clone(g.lost)
	return &c
}

// empty reports whether nothing is left of the segment, and nothing lost is to be told.
func (g *segment) empty() bool { return g.readings == nil && len(g.tiers) == 0 && len(g.lost) == 0 }

// drop takes a table out.
func (g *segment) drop(step int64) {
	if step == 0 {
		g.readings = nil
	} else {
		delete(g.tiers, step)
	}
}

// table is an immutable Parquet file: readings, or parts of a tier.
type table struct {
	id, rank    uint64   // of the segment
	of          []uint64 // segments that it was joined of
	first, last uint64   // log sequences covered
	step        int64    // of the parts, ms; 0: readings
	path        string
	contents
}

// contents are what a table holds, as the manifest says it.
type contents struct {
	Size    int64       `json:"size"`
	SHA256  string      `json:"sha256"` // of the file; empty: it cannot be read whole
	Rows    int64       `json:"rows"`
	MinAt   int64       `json:"min_time_ms"`
	MaxAt   int64       `json:"max_time_ms"`
	MinSlot device.Slot `json:"min_slot"`
	MaxSlot device.Slot `json:"max_slot"`
	Bad     []int       `json:"bad_pages,omitempty"` // that cannot be read, and have been given up
}

// damage is an error of ErrCorrupt that knows its table.
type damage struct {
	t *table
	error
}

// Unwrap gives what errors.Is asks for.
func (d *damage) Unwrap() error { return d.error }

// mayHold reports whether the slot can have rows in from ≤ t < to here. The rows of
// parts are as long as their step.
func (c *contents) mayHold(slot device.Slot, from, to int64) bool {
	return c.MinSlot <= slot && slot <= c.MaxSlot && c.MinAt < to && from <= c.MaxAt
}

func (g *table) damaged(err error) error {
	return &damage{g, fmt.Errorf("%w: %s: %w", ErrCorrupt, g.path, err)}
}

// open opens the file and reads its footer, which is checked.
func (g *table) open() (f handle, file *format.FileMetaData, m *meta, err error) {
	f, err = openHandle(g.path)
	if err != nil {
		return nil, nil, nil, err
	}
	if file, m, err = g.footer(f); err != nil {
		f.Close()
		return nil, nil, nil, err
	}
	return f, file, m, nil
}

func (g *table) footer(f handle) (*format.FileMetaData, *meta, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if g.Size == 0 { // not known from a manifest
		g.Size = st.Size()
	}
	if g.Size != st.Size() {
		return nil, nil, g.damaged(fmt.Errorf("%d bytes long, written as %d", st.Size(), g.Size))
	}
	n, err := g.footerLength(f)
	if err != nil {
		return nil, nil, g.damaged(err)
	}
	footer := make([]byte, n)
	if _, err := f.ReadAt(footer, g.Size-8-n); err != nil {
		return nil, nil, g.damaged(err)
	}
	file, m, err := parseFooter(footer)
	if err != nil {
		return nil, nil, g.damaged(err)
	}
	if m.FirstSeq != g.first || m.LastSeq != g.last || m.Step != g.step {
		return nil, nil, g.damaged(fmt.Errorf("holds sequences %d to %d in steps of %d ms", m.FirstSeq, m.LastSeq, m.Step))
	}
	if n := len(file.RowGroups[0].Columns); n != len(columnsOf(g.step)) {
		return nil, nil, g.damaged(fmt.Errorf("%d columns, not %d", n, len(columnsOf(g.step))))
	}
	return file, m, nil
}

// footerLength is how long the footer is that ends eight bytes before the file.
func (g *table) footerLength(f handle) (int64, error) {
	var tail [8]byte
	if g.Size < int64(len(magic)+len(tail)) {
		return 0, errors.New("too short")
	}
	if _, err := f.ReadAt(tail[:], g.Size-8); err != nil {
		return 0, err
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != magic || n > g.Size-12 {
		return 0, errors.New("no footer")
	}
	return n, nil
}

func parseFooter(footer []byte) (*format.FileMetaData, *meta, error) {
	at := bytes.LastIndex(footer, []byte(footerKey)) + len(footerKey) + 2
	if at+len(noCRC) > len(footer) || !bytes.Contains(footer, []byte(footerKey)) {
		return nil, nil, errors.New("footer without checksum")
	}
	sum := string(footer[at : at+len(noCRC)])
	copy(footer[at:], noCRC)
	if sum != checksum(footer) {
		return nil, nil, errors.New("checksum of the footer does not match")
	}
	file := new(format.FileMetaData)
	if err := thrift.Unmarshal(&protocol, footer, file); err != nil {
		return nil, nil, fmt.Errorf("footer: %w", err)
	}
	for _, kv := range file.KeyValueMetadata {
		if kv.Key != metaKey {
			continue
		}
		m := new(meta)
		if err := json.Unmarshal([]byte(kv.Value), m); err != nil {
			return nil, nil, fmt.Errorf("metadata: %w", err)
		}
		if m.Version != metaVersion || len(file.RowGroups) != 1 || len(file.Schema) != len(file.RowGroups[0].Columns)+1 {
			return nil, nil, fmt.Errorf("version %d, this program reads %d", m.Version, metaVersion)
		}
		return file, m, nil
	}
	return nil, nil, errors.New("no metadata")
}

// readMeta learns from the footer what the table holds.
func (g *table) readMeta() error {
	f, _, m, err := g.open()
	if err != nil {
		return err
	}
	g.Rows, g.MinAt, g.MaxAt = m.Rows, m.MinAt, m.MaxAt
	g.MinSlot, g.MaxSlot = device.Slot(m.MinSlot), device.Slot(m.MaxSlot)
	if g.rank, g.of = m.Rank, m.JoinedOf; len(g.of) == 0 {
		g.rank = g.id
	}
	return f.Close()
}

// index says where a table's pages lie.
type index struct {
	rows     []int64 // the first row of each page, then the number of rows
	loSlot   []device.Slot
	hiSlot   []device.Slot
	loAt     []int64
	hiAt     []int64
	element  []format.SchemaElement
	location [][]format.PageLocation
	// What the words of the columns of states and qualities say, and how many words a column
	// has.
	statuses  []state
	qualities []device.Quality
	words     []int
}

// state is a word of a column of states.
type state struct {
	status device.Status
	word   string // outside the vocabulary
}

// readIndex reads it from the file.
func (g *table) readIndex() (*index, error) {
	f, file, m, err := g.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	x, err := g.parseIndex(f, file, m)
	if err != nil {
		return nil, g.damaged(err)
	}
	return x, nil
}

func (g *table) parseIndex(f handle, file *format.FileMetaData, m *meta) (*index, error) {
	tail, err := g.footerLength(f)
	if err != nil {
		return nil, err
	}
	if m.IndexAt < 0 || m.IndexAt > g.Size-8-tail {
		return nil, errors.New("page indices outside the file")
	}
	indices := make([]byte, g.Size-8-tail-m.IndexAt)
	if _, err := f.ReadAt(indices, m.IndexAt); err != nil {
		return nil, err
	}
	if checksum(indices) != m.IndexCRC {
		return nil, errors.New("checksum of the page indices does not match")
	}
	load := func(offset int64, n int32, v any) error {
		if offset -= m.IndexAt; offset < 0 || n < 0 || offset+int64(n) > int64(len(indices)) {
			return errors.New("not among the indices")
		}
		return thrift.Unmarshal(&protocol, indices[offset:offset+int64(n)], v)
	}
	n := len(file.RowGroups[0].Columns)
	x := &index{element: file.Schema[1:], location: make([][]format.PageLocation, n), words: make([]int, n)}
	name := func(i int) string { return x.element[i].Name }
	for i := range n {
		c := &file.RowGroups[0].Columns[i]
		var pages format.OffsetIndex
		if err := load(c.OffsetIndexOffset, c.OffsetIndexLength, &pages); err != nil {
			return nil, fmt.Errorf("pages of %s: %w", name(i), err)
		}
		x.location[i] = pages.PageLocations
		if len(x.location[i]) != len(x.location[0]) || len(x.location[0]) == 0 {
			return nil, fmt.Errorf("pages of %s do not match", name(i))
		}
		if c.MetaData.DictionaryPageOffset > 0 {
			b, err := new(pageReader).read(f, g.Size, c.MetaData.DictionaryPageOffset, c.MetaData.DataPageOffset-c.MetaData.DictionaryPageOffset)
			if err != nil {
				return nil, fmt.Errorf("words of %s: %w", name(i), err)
			}
			dict, err := words(b)
			if err == nil {
				err = x.know(i, dict)
			}
			if err != nil {
				return nil, fmt.Errorf("words of %s: %w", name(i), err)
			}
		}
	}
	for _, p := range x.location[0] {
		x.rows = append(x.rows, p.FirstRowIndex)
	}
	x.rows = append(x.rows, m.Rows)
	if !sort.SliceIsSorted(x.rows, func(i, j int) bool { return x.rows[i] < x.rows[j] }) {
		return nil, errors.New("pages out of order")
	}
	bounds := func(i, width int) (ci format.ColumnIndex, err error) {
		c := &file.RowGroups[0].Columns[i]
		if err := load(c.ColumnIndexOffset, c.ColumnIndexLength, &ci); err != nil {
			return ci, fmt.Errorf("bounds of %s: %w", name(i), err)
		}
		bad := func(b []byte) bool { return len(b) != width }
		if n := len(x.location[0]); len(ci.MinValues) != n || len(ci.MaxValues) != n || slices.ContainsFunc(ci.MinValues, bad) || slices.ContainsFunc(ci.MaxValues, bad) {
			return ci, fmt.Errorf("bounds of %s do not match", name(i))
		}
		return ci, nil
	}
	slots, err := bounds(colSlot, 4)
	if err != nil {
		return nil, err
	}
	times, err := bounds(colTime, 8)
	if err != nil {
		return nil, err
	}
	for p := range x.location[0] {
		x.loSlot = append(x.loSlot, device.Slot(binary.LittleEndian.Uint32(slots.MinValues[p])))
		x.hiSlot = append(x.hiSlot, device.Slot(binary.LittleEndian.Uint32(slots.MaxValues[p])))
		x.loAt = append(x.loAt, int64(binary.LittleEndian.Uint64(times.MinValues[p])))
		x.hiAt = append(x.hiAt, int64(binary.LittleEndian.Uint64(times.MaxValues[p])))
	}
	return x, nil
}

// know takes the words of column i.
func (x *index) know(i int, dict []string) error {
	x.words[i] = len(dict)
	switch x.element[i].Name {
	case columnNames[colStatus]:
		for _, word := range dict {
			s := state{}
			var ok bool
			if s.status, ok = device.ParseStatus(word); !ok {
				s.word = word
			}
			x.statuses = append(x.statuses, s)
		}
	case columnNames[colQuality]:
		for _, word := range dict {
			var q device.Quality
			if err := q.UnmarshalText([]byte(word)); err != nil {
				return err
			}
			x.qualities = append(x.qualities, q)
		}
	}
	return nil
}

// pages are those that hold the slot: from first to before end.
func (x *index) pages(slot device.Slot) (first, end int) {
	first, _ = slices.BinarySearchFunc(x.hiSlot, slot, cmp.Compare[device.Slot])
	for end = first; end < len(x.loSlot) && x.loSlot[end] <= slot; {
		end++
	}
	return first, end
}

// pageReader reads pages. Each is valid until the next is read.
type pageReader struct {
	packed, body []byte
}

// read reads the page of size bytes at offset, checks and unpacks it.
func (r *pageReader) read(f io.ReaderAt, fileSize, offset, size int64) ([]byte, error) {
	if offset < 0 || size <= 0 || offset+size > fileSize {
		return nil, errors.New("page outside the file")
	}
	r.packed = resize(r.packed, int(size))
	if _, err := f.ReadAt(r.packed, offset); err != nil {
		return nil, err
	}
	n, crc, ok := pageHead(r.packed)
	if !ok || n > size {
		return nil, fmt.Errorf("page at %d: wrong header", offset)
	}
	packed := r.packed[size-n:]
	if crc32.ChecksumIEEE(packed) != crc {
		return nil, fmt.Errorf("page at %d: checksum does not match", offset)
	}
	var err error
	if r.body, err = codec.Decode(r.body[:0], packed); err != nil {
		return nil, fmt.Errorf("page at %d: %w", offset, err)
	}
	return r.body, nil
}

// pageHead reads the first four fields of a page header in thrift's compact protocol, which
// are all that is needed of it: the type, the unpacked and the packed size, the checksum.
func pageHead(b []byte) (packed int64, crc uint32, ok bool) {
	const nextI32 = 1<<4 | 5
	var fields [4]int64
	for i := range fields {
		if len(b) == 0 || b[0] != nextI32 {
			return 0, 0, false
		}
		v, n := binary.Varint(b[1:])
		if n <= 0 || v != int64(int32(v)) {
			return 0, 0, false
		}
		fields[i], b = v, b[1+n:]
	}
	return fields[2], uint32(int32(fields[3])), fields[2] >= 0
}

// words are the entries of a dictionary page.
func words(b []byte) (out []string, err error) {
	for len(b) > 0 {
		if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
			return nil, errors.New("cut short")
		}
		n := int(binary.LittleEndian.Uint32(b))
		out = append(out, strings.Clone(string(b[4:4+n])))
		b = b[4+n:]
	}
	return out, nil
}

// cache keeps the indices of the segments read last.
type cache struct {
	mu    sync.Mutex
	clock uint64
	bytes int
	held  map[string]*held
}

type held struct {
	x    *index
	used uint64
}

// cacheBytes bounds the memory for indices: some 10 kB of what was just sealed, up to 1 MB
// of what was joined.
const cacheBytes = 64 << 20

// size is about how much memory the index takes.
func (x *index) size() int { return 2048 + len(x.loAt)*(32+24*len(x.location)) }

func (c *cache) get(g *table) (*index, error) {
	c.mu.Lock()
	c.clock++
	if h := c.held[g.path]; h != nil {
		h.used = c.clock
		c.mu.Unlock()
		return h.x, nil
	}
	c.mu.Unlock()
	x, err := g.readIndex()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, g.damaged(errors.New("the file is gone"))
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = map[string]*held{}
	}
	if h := c.held[g.path]; h != nil { // somebody was faster
		return h.x, nil
	}
	c.bytes += x.size()
	for c.bytes > cacheBytes && len(c.held) > 0 {
		oldest, used := "", c.clock+1
		for id, h := range c.held {
			if h.used < used {
				oldest, used = id, h.used
			}
		}
		c.bytes -= c.held[oldest].x.size()
		delete(c.held, oldest)
	}
	c.held[g.path] = &held{x, c.clock}
	return x, nil
}

// forget drops the index of a file that is no longer part of the store.
func (c *cache) forget(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.held[path]; h != nil {
		c.bytes -= h.x.size()
		delete(c.held, path)
	}
}

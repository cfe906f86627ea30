package series

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// A segment's file is temporary under tempPattern until it is complete and
// synced. badSuffix marks one that was found damaged.
const (
	tempPattern = "seal-*.tmp"
	badSuffix   = ".bad"
	// strayedSuffix marks one that no manifest lists: a crash came between.
	strayedSuffix = ".unlisted"
	magic         = "PAR1"
)

// Keys in the footer. The first holds meta as JSON, the second the CRC-32C of the
// footer itself, taken while that value is eight zeros.
const (
	metaKey   = "yunchu.segment"
	footerKey = "yunchu.footer_crc32c"
	noCRC     = "00000000"
)

const metaVersion = 1

// meta is what a segment says about itself.
type meta struct {
	Version  int    `json:"version"`
	FirstSeq uint64 `json:"first_seq"` // of the log, covered from here
	LastSeq  uint64 `json:"last_seq"`  // to here
	Rows     int64  `json:"rows"`
	MinAt    int64  `json:"min_time_ms"`
	MaxAt    int64  `json:"max_time_ms"`
	MinSlot  uint32 `json:"min_slot"`
	MaxSlot  uint32 `json:"max_slot"`
	Slots    int    `json:"slots"`
	IndexAt  int64  `json:"index_offset"`      // where the page indices begin, which end at the footer
	IndexCRC string `json:"index_crc32c"`      // of the page indices
	DataCRC  string `json:"data_crc32c"`       // of all that lies before the footer
	Step     int64  `json:"step_ms,omitempty"` // of the parts in it; 0: readings
	// Of what was joined: the numbers of the segments, and the highest rank among them.
	JoinedOf []uint64 `json:"joined_of,omitempty"`
	Rank     uint64   `json:"rank,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func isTemporary(name string) bool {
	ok, err := filepath.Match(tempPattern, name)
	return err == nil && ok
}

func fileName(id, first, last uint64) string {
	return fmt.Sprintf("%08d-%d-%d.parquet", id, first, last)
}

// parseName finds what a file's name says; ok is false when it is no table.
func parseName(path string) (t *table, suffix string, ok bool) {
	plain, suffix := filepath.Base(path), ""
	for _, end := range []string{badSuffix, strayedSuffix} {
		if rest, ok := strings.CutSuffix(plain, end); ok {
			plain, suffix = rest, end
		}
	}
	t = &table{path: path}
	if n, err := fmt.Sscanf(plain, "%d-%d-%d.parquet", &t.id, &t.first, &t.last); err != nil || n != 3 || fileName(t.id, t.first, t.last) != plain {
		return nil, "", false
	}
	return t, suffix, true
}

// writer makes tables. It keeps its memory from one to the next.
type writer struct {
	all, day sheet
	encoders []encoder
	columns  []column
	sync     int // bytes after which what was written is synced; 0: at the end alone
}

// readings writes the rows of a sheet as a table of readings, under a temporary name.
func (w *writer) readings(s *sheet, id uint64, opt *Options) (*table, error) {
	names := make([]string, len(s.slots))
	for i, slot := range s.slots {
		names[i] = string(opt.Name(slot))
	}
	w.encode(len(columnNames), s.pages, opt.Workers, func(e *encoder, col *column, i int) { s.encode(e, col, i, names) })
	t := &table{id: id, first: s.h.firstSeq, last: s.h.lastSeq, contents: contents{
		Rows: int64(len(s.order)), MinAt: slices.Min(s.at), MaxAt: slices.Max(s.at), MinSlot: s.slots[0], MaxSlot: s.slots[len(s.slots)-1],
	}}
	return t, w.save(t, "reading", len(s.slots), opt.Dir)
}

// encode makes all columns, workers at a time.
func (w *writer) encode(columns int, ends []int, workers int, encode func(e *encoder, col *column, i int)) {
	w.columns = slices.Grow(w.columns[:0], columns)[:columns]
	w.encoders = resize(w.encoders, workers)
	todo := make(chan int, columns)
	for i := range columns {
		todo <- i
	}
	close(todo)
	var group sync.WaitGroup
	for n := range w.encoders {
		e := &w.encoders[n]
		e.ends = ends
		group.Go(func() {
			for i := range todo {
				encode(e, &w.columns[i], i)
			}
		})
	}
	group.Wait()
}

// save writes what was encoded to a file with a temporary name, which it leaves in
// t.path, and syncs it.
func (w *writer) save(t *table, row string, slots int, dir string) (err error) {
	f, err := os.CreateTemp(dir, tempPattern)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // what is left over is removed at the next start
		}
	}()
	defer f.Close()
	m := meta{
		Version: metaVersion, FirstSeq: t.first, LastSeq: t.last, Rows: t.Rows, MinAt: t.MinAt, MaxAt: t.MaxAt,
		MinSlot: uint32(t.MinSlot), MaxSlot: uint32(t.MaxSlot), Slots: slots, Step: t.step,
		JoinedOf: t.of, Rank: t.rank,
	}
	if t.Size, t.SHA256, err = w.write(f, &m, row); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	t.path = f.Name()
	return f.Sync()
}

// out counts and sums what passes.
type out struct {
	f      *os.File
	offset int64
	crc    uint32
	sha    hash.Hash
	sync   int // bytes after which what was written is synced; 0: never
	err    error
}

func (o *out) write(b []byte) {
	for ; o.sync > 0 && len(b) > o.sync; b = b[o.sync:] {
		o.write(b[:o.sync])
	}
	if o.err != nil {
		return
	}
	before := o.offset
	o.crc = crc32.Update(o.crc, castagnoli, b)
	o.sha.Write(b)
	o.offset += int64(len(b))
	_, o.err = o.f.Write(b)
	if o.sync > 0 && o.offset/int64(o.sync) > before/int64(o.sync) && o.err == nil {
		o.err = o.f.Sync() // little by little, so that others who sync do not wait for all of it
	}
}

// compact is v in thrift's compact protocol. Structures of our own making always
// have one.
func compact(v any) []byte {
	b, err := thrift.Marshal(&protocol, v)
	if err != nil {
		panic(err)
	}
	return b
}

// write writes the whole file: columns, indices, footer.
func (w *writer) write(f *os.File, m *meta, row string) (size int64, sum string, err error) {
	o := out{f: f, sha: sha256.New(), sync: w.sync}
	o.write([]byte(magic))
	group := format.RowGroup{
		NumRows: m.Rows, FileOffset: o.offset,
		SortingColumns: []format.SortingColumn{{ColumnIdx: colSlot}, {ColumnIdx: colTime}},
	}
	file := format.FileMetaData{Version: 2, NumRows: m.Rows, CreatedBy: "yunchu version 1.0.0 (build series)"}
	file.Schema = append(file.Schema, format.SchemaElement{Name: row, NumChildren: thrift.New(int32(len(w.columns)))})
	for i := range w.columns {
		c := &w.columns[i]
		begin := o.offset
		o.write(c.data)
		if c.meta.DataPageOffset > 0 { // a dictionary lies before the pages
			c.meta.DictionaryPageOffset = begin
		}
		c.meta.DataPageOffset += begin
		for j := range c.pages.PageLocations {
			c.pages.PageLocations[j].Offset += begin
		}
		group.TotalByteSize += c.meta.TotalUncompressedSize
		group.TotalCompressedSize += c.meta.TotalCompressedSize
		group.Columns = append(group.Columns, format.ColumnChunk{MetaData: c.meta})
		file.Schema = append(file.Schema, c.element)
		file.ColumnOrders = append(file.ColumnOrders, format.ColumnOrder{Value: &format.TypeDefinedOrder{}})
	}
	m.IndexAt = o.offset
	var indices []byte
	for i := range w.columns {
		b := compact(&w.columns[i].index)
		group.Columns[i].ColumnIndexOffset, group.Columns[i].ColumnIndexLength = m.IndexAt+int64(len(indices)), int32(len(b))
		indices = append(indices, b...)
	}
	for i := range w.columns {
		b := compact(&w.columns[i].pages)
		group.Columns[i].OffsetIndexOffset, group.Columns[i].OffsetIndexLength = m.IndexAt+int64(len(indices)), int32(len(b))
		indices = append(indices, b...)
	}
	o.write(indices)
	m.IndexCRC, m.DataCRC = checksum(indices), fmt.Sprintf("%08x", o.crc)
	text, err := json.Marshal(m)
	if err != nil {
		return 0, "", err
	}
	file.RowGroups = append(file.RowGroups, group)
	file.KeyValueMetadata = []format.KeyValue{{Key: metaKey, Value: string(text)}, {Key: footerKey, Value: noCRC}}
	footer := compact(&file)
	sign(footer)
	o.write(footer)
	o.write(binary.LittleEndian.AppendUint32(nil, uint32(len(footer))))
	o.write([]byte(magic))
	return o.offset, hex.EncodeToString(o.sha.Sum(nil)), o.err
}

// sign fills in the footer's own checksum.
func sign(footer []byte) {
	at := bytes.LastIndex(footer, []byte(footerKey)) + len(footerKey) + 2 // the value's type and length lie between
	copy(footer[at:], checksum(footer))
}

// checksum is the CRC-32C in eight hexadecimal digits.
func checksum(b []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(b, castagnoli)) }

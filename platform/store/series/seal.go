package series

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"yunchu/platform/durable"
)

// A segment's file is temporary under tempPattern until it is complete and
// synced. badSuffix marks one that was found damaged.
const (
	tempPattern = "seal-*.tmp"
	badSuffix   = ".bad"
	magic       = "PAR1"
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
	IndexAt  int64  `json:"index_offset"` // where the page indices begin, which end at the footer
	IndexCRC string `json:"index_crc32c"` // of the page indices
	DataCRC  string `json:"data_crc32c"`  // of all that lies before the footer
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func isTemporary(name string) bool {
	ok, err := filepath.Match(tempPattern, name)
	return err == nil && ok
}

func fileName(id, first, last uint64) string {
	return fmt.Sprintf("%08d-%d-%d.parquet", id, first, last)
}

// parseName finds what a file's name says; ok is false when it is no segment.
func parseName(path string) (g *segment, intact, ok bool) {
	name := filepath.Base(path)
	plain := strings.TrimSuffix(name, badSuffix)
	g = &segment{path: path}
	if n, err := fmt.Sscanf(plain, "%d-%d-%d.parquet", &g.id, &g.first, &g.last); err != nil || n != 3 || fileName(g.id, g.first, g.last) != plain {
		return nil, false, false
	}
	return g, plain == name, true
}

// writer makes segments of heads. It keeps its memory from one to the next.
type writer struct {
	sheet    sheet
	encoders []encoder
	columns  [columns]column
}

// seal writes the head as segment id and returns when it is durable.
func (w *writer) seal(h *head, id uint64, opt *Options) (*segment, error) {
	w.sheet.arrange(h)
	names := make([]string, len(w.sheet.slots))
	for i, slot := range w.sheet.slots {
		names[i] = string(opt.Name(slot))
	}
	w.encode(names, opt.Workers)

	g := &segment{id: id, first: h.firstSeq, last: h.lastSeq, path: filepath.Join(opt.Dir, fileName(id, h.firstSeq, h.lastSeq))}
	m := w.describe(h)
	g.adopt(&m)
	size, err := w.save(&m, opt.Dir, g.path)
	if err != nil {
		return nil, err
	}
	g.size = size
	return g, nil
}

// encode makes all columns, workers at a time.
func (w *writer) encode(names []string, workers int) {
	w.encoders = resize(w.encoders, workers)
	todo := make(chan int, columns)
	for i := range columns {
		todo <- i
	}
	close(todo)
	var group sync.WaitGroup
	for n := range w.encoders {
		e := &w.encoders[n]
		e.sheet = &w.sheet
		group.Go(func() {
			for i := range todo {
				e.encode(&w.columns[i], i, names)
			}
		})
	}
	group.Wait()
}

func (w *writer) describe(h *head) meta {
	s := &w.sheet
	return meta{
		Version: metaVersion, FirstSeq: h.firstSeq, LastSeq: h.lastSeq, Rows: int64(len(s.order)), MinAt: h.minAt, MaxAt: h.maxAt,
		MinSlot: uint32(s.slots[0]), MaxSlot: uint32(s.slots[len(s.slots)-1]), Slots: len(s.slots),
	}
}

// save writes the file under a temporary name, syncs it, gives it its name and
// syncs the folder.
func (w *writer) save(m *meta, dir, path string) (size int64, err error) {
	f, err := os.CreateTemp(dir, tempPattern)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // what is left over is removed at the next start
		}
	}()
	defer f.Close()
	size, err = w.write(f, m)
	if err != nil {
		return 0, err
	}
	if err = f.Chmod(0o644); err != nil {
		return 0, err
	}
	if err = f.Sync(); err != nil {
		return 0, err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return 0, err
	}
	return size, durable.SyncDir(dir)
}

// out counts and sums what passes.
type out struct {
	f      *os.File
	offset int64
	crc    uint32
	err    error
}

func (o *out) write(b []byte) {
	if o.err != nil {
		return
	}
	o.crc = crc32.Update(o.crc, castagnoli, b)
	o.offset += int64(len(b))
	_, o.err = o.f.Write(b)
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
func (w *writer) write(f *os.File, m *meta) (size int64, err error) {
	o := out{f: f}
	o.write([]byte(magic))
	group := format.RowGroup{
		NumRows: m.Rows, FileOffset: o.offset,
		SortingColumns: []format.SortingColumn{{ColumnIdx: colSlot}, {ColumnIdx: colTime}},
	}
	file := format.FileMetaData{Version: 2, NumRows: m.Rows, CreatedBy: "yunchu version 1.0.0 (build series)"}
	file.Schema = append(file.Schema, format.SchemaElement{Name: "reading", NumChildren: thrift.New(int32(columns))})
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
		return 0, err
	}
	file.RowGroups = append(file.RowGroups, group)
	file.KeyValueMetadata = []format.KeyValue{{Key: metaKey, Value: string(text)}, {Key: footerKey, Value: noCRC}}
	footer := compact(&file)
	sign(footer)
	o.write(footer)
	o.write(binary.LittleEndian.AppendUint32(nil, uint32(len(footer))))
	o.write([]byte(magic))
	return o.offset, o.err
}

// sign fills in the footer's own checksum.
func sign(footer []byte) {
	at := bytes.LastIndex(footer, []byte(footerKey)) + len(footerKey) + 2 // the value's type and length lie between
	copy(footer[at:], checksum(footer))
}

// checksum is the CRC-32C in eight hexadecimal digits.
func checksum(b []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(b, castagnoli)) }
